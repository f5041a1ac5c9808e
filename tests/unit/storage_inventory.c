/* What never goes away, counted: storage/repository/inventory.h. */
#include "storage/repository/inventory.h"

#include <string.h>

#include "storage/repository/record.h"
#include "tests/support/check_main.h"
#include "tests/support/repo_keys.h"
#include "tests/support/repo_store.h"

static const struct instant now = { .sec = 1700000000 };
static struct keys *keys;
static struct store *store;
static struct err e;

static void set_up(void)
{
	keys = repo_keys(7, 2);
	ck_assert_ptr_nonnull(keys);
	ck_ok(store_open("mem:inventory", true, &store, &e));
}

static void tear_down(void)
{
	store_close(store);
	store_mem_forget("mem:inventory");
	keys_free(keys);
}

/* So many receipts are there. */
static void set_receipts(uint8_t n)
{
	for (uint8_t i = 0; i < 10; i++) {
		const struct object_name name = object_name(
			OBJECT_RECEIPT, (struct object_id){ { i + 1 } });

		if (i < n)
			repo_set(store, name.s, "rubbish", 7);
		else
			ck_ok(store_remove(store, name.s, &e));
	}
}

/* One that counted so many; replaces: another one's id, or 0. */
static void put_counted(uint8_t id, uint64_t receipts, uint8_t replaces)
{
	struct record r;

	record_init(&r, OBJECT_INVENTORY);
	r.id = (struct object_id){ { id } };
	r.counts[OBJECT_RECEIPT] = receipts;
	if (replaces)
		ck_ok(record_add_id(&r, (struct object_id){ { replaces } },
				    &e));
	ck_ok(record_put(store, keys, &r, 0, &e));
	record_done(&r);
}

struct told {
	unsigned int times;
	uint64_t listed, counted;
	uint8_t by;
};

static int tell(void *arg, enum object_kind kind, uint64_t listed,
		uint64_t counted, struct object_id by, struct err *_e)
{
	struct told *t = arg;

	(void)_e;
	ck_assert_int_eq(kind, OBJECT_RECEIPT);
	*t = (struct told){ t->times + 1, listed, counted, by.b[0] };
	return 0;
}

static struct told compare(void)
{
	struct told t = { .times = 0 };

	ck_ok(inventory_compare(store, keys, NULL, tell, &t, &e));
	return t;
}

static int add_up(void *arg, const char *name, const struct record *r,
		  const struct err *why, struct err *_e)
{
	struct told *t = arg;

	(void)name;
	(void)why;
	(void)_e;
	t->times++;
	t->counted = r->counts[OBJECT_RECEIPT];
	t->by = r->id.b[0];
	return 0;
}

/* How many inventories there are, and the last one of them. */
static struct told all(void)
{
	struct told t = { .times = 0 };

	ck_ok(record_list(store, keys, OBJECT_INVENTORY, add_up, &t, &e));
	return t;
}

START_TEST(of_several_the_largest_counts)
{
	for (uint8_t largest = 1; largest <= 3; largest++) {
		struct told t;

		tear_down();
		set_up();
		for (uint8_t id = 1; id <= 3; id++)
			put_counted(id, id == largest ? 5 : 2, 0);
		set_receipts(4);
		t = compare();
		ck_assert_uint_eq(t.times, 1);
		ck_assert_uint_eq(t.listed, 4);
		ck_assert_uint_eq(t.counted, 5);
		ck_assert_uint_eq(t.by, largest);
		set_receipts(5);
		ck_assert_uint_eq(compare().times, 0);
		/* Whoever accepted that there are fewer says so. */
		set_receipts(4);
		put_counted(9, 4, largest);
		ck_assert_uint_eq(compare().times, 0);
	}
}
END_TEST

START_TEST(one_takes_the_place_of_those_that_counted_less)
{
	struct told t;

	put_counted(1, 2, 0);
	put_counted(2, 3, 0);
	set_receipts(4);
	ck_ok(inventory_put(store, keys, now, false, &e));
	t = all();
	ck_assert_uint_eq(t.times, 1);
	ck_assert_uint_eq(t.counted, 4);
	/* As long as nothing comes, it stays. */
	ck_ok(inventory_put(store, keys, now, false, &e));
	ck_assert_uint_eq(all().times, 1);
	ck_assert_uint_eq(all().by, t.by);
	/* Less is the truth only for who accepts it. */
	set_receipts(3);
	repo_set(store, object_name(OBJECT_HOLD, (struct object_id){ { 1 } }).s,
		 "rubbish", 7);
	ck_ok(inventory_put(store, keys, now, false, &e));
	ck_assert_uint_eq(all().times, 1);
	ck_assert_uint_eq(all().counted, 4);
	ck_assert_uint_eq(compare().times, 1);
	ck_ok(inventory_put(store, keys, now, true, &e));
	ck_assert_uint_eq(all().times, 2);
	ck_assert_uint_eq(compare().times, 0);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, of_several_the_largest_counts);
	tcase_add_test(tc, one_takes_the_place_of_those_that_counted_less);
}

CHECK_MAIN("storage/inventory", cases)

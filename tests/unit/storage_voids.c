/* What counts of a session that was given up: storage/repository/voids.h. */
#include "storage/repository/voids.h"

#include <string.h>

#include "storage/repository/record.h"
#include "storage/stores/fault.h"
#include "tests/support/check_main.h"
#include "tests/support/repo_keys.h"
#include "tests/support/repo_store.h"

/* More than any list of them begins with room for. */
#define MANY 70

static struct keys *keys;
static struct store *store;
static struct voids *voids;
static struct err e;

static void set_up(void)
{
	keys = repo_keys(7, 2);
	ck_assert_ptr_nonnull(keys);
	ck_ok(store_open("mem:voids", true, &store, &e));
	voids = NULL;
}

static void tear_down(void)
{
	voids_free(voids);
	store_close(store);
	store_mem_forget("mem:voids");
	keys_free(keys);
}

static struct object_id id_of(unsigned int n)
{
	struct object_id id = { { 0x40 } };

	id.b[1] = (uint8_t)n;
	return id;
}

/* A void of that session, after which n objects still count; its name. */
static struct object_name put_void(struct object_id session,
				   const struct object_id *objects, size_t n)
{
	struct object_name name;
	struct record r;

	record_init(&r, OBJECT_VOID);
	r.id = object_id_new();
	r.session = session;
	for (size_t i = 0; i < n; i++)
		ck_ok(record_add_id(&r, objects[i], &e));
	name = record_name(&r);
	ck_ok(record_put(store, keys, &r, 0, &e));
	record_done(&r);
	return name;
}

/* One that no key opens. */
static void put_rubbish(struct object_id session)
{
	static const uint8_t rubbish[256] = { 0x5a };

	repo_set(store,
		 object_name_pair(OBJECT_VOID, session, object_id_new()).s,
		 rubbish, sizeof(rubbish));
}

static void read_voids(void)
{
	voids_free(voids);
	voids = NULL;
	ck_assert_int_eq(voids_read(store, keys, &voids, &e), 0);
}

static enum voids_answer judge(struct object_id session,
			       struct object_id object)
{
	enum voids_answer got = (enum voids_answer)77;

	ck_assert_int_eq(voids_judge(voids, session, object, &got, &e), 0);
	return got;
}

START_TEST(without_a_void_all_counts)
{
	read_voids();
	ck_assert_int_eq(judge(id_of(1), id_of(100)), VOIDS_COUNTS);
	ck_assert(!voids_has(voids, id_of(1)));
	(void)put_void((struct object_id){ { 0 } }, NULL, 0);
	(void)put_void(id_of(2), NULL, 0);
	/* Nor is one what is not called like it. */
	repo_set(store, "voids/1-2", "x", 1);
	read_voids();
	/* What is nobody's nobody gives up. */
	ck_assert_int_eq(judge((struct object_id){ { 0 } }, id_of(100)),
			 VOIDS_COUNTS);
	ck_assert_int_eq(judge(id_of(1), id_of(100)), VOIDS_COUNTS);
	ck_assert_int_eq(judge(id_of(3), id_of(100)), VOIDS_COUNTS);
}
END_TEST

START_TEST(what_a_void_names_counts)
{
	const struct object_id two[] = { id_of(100), id_of(101) };

	(void)put_void(id_of(1), two, 2);
	(void)put_void(id_of(2), NULL, 0);
	read_voids();
	ck_assert_int_eq(judge(id_of(1), two[0]), VOIDS_COUNTS);
	ck_assert_int_eq(judge(id_of(1), two[1]), VOIDS_COUNTS);
	ck_assert_int_eq(judge(id_of(1), id_of(102)), VOIDS_DOES_NOT);
	ck_assert_int_eq(judge(id_of(2), two[0]), VOIDS_DOES_NOT);
	/* Of two, what both name. */
	(void)put_void(id_of(1), two, 1);
	read_voids();
	ck_assert_int_eq(judge(id_of(1), two[0]), VOIDS_COUNTS);
	ck_assert_int_eq(judge(id_of(1), two[1]), VOIDS_DOES_NOT);
}
END_TEST

START_TEST(each_session_has_its_own)
{
	for (unsigned int n = 0; n < MANY; n++) {
		const struct object_id own = id_of(100 + n);

		(void)put_void(id_of(2 * n), &own, 1);
	}
	read_voids();
	for (unsigned int n = 0; n < MANY; n++) {
		ck_assert(voids_has(voids, id_of(2 * n)));
		ck_assert(!voids_has(voids, id_of(2 * n + 1)));
		ck_assert_int_eq(judge(id_of(2 * n), id_of(100 + n)),
				 VOIDS_COUNTS);
		ck_assert_int_eq(judge(id_of(2 * n), id_of(99 + n)),
				 VOIDS_DOES_NOT);
		ck_assert_int_eq(judge(id_of(2 * n + 1), id_of(100 + n)),
				 VOIDS_COUNTS);
	}
	ck_assert(!voids_has(voids, (struct object_id){ { 0xff } }));
	ck_assert(!voids_has(voids, (struct object_id){ { 0 } }));
}
END_TEST

START_TEST(one_that_does_not_open_leaves_it_in_doubt)
{
	const struct object_id named = id_of(100);

	put_rubbish(id_of(1));
	read_voids();
	ck_assert_int_eq(judge(id_of(1), named), VOIDS_IN_DOUBT);
	ck_assert_int_eq(judge(id_of(1), named), VOIDS_IN_DOUBT);
	ck_assert(voids_has(voids, id_of(1)));
	/* Until another one says no, before it or after it in their order. */
	for (int i = 0; i < 8; i++)
		(void)put_void(id_of(1), &named, 1);
	read_voids();
	ck_assert_int_eq(judge(id_of(1), named), VOIDS_IN_DOUBT);
	ck_assert_int_eq(judge(id_of(1), id_of(101)), VOIDS_DOES_NOT);
}
END_TEST

START_TEST(one_that_is_gone_says_nothing)
{
	struct object_name name = put_void(id_of(1), NULL, 0);

	read_voids();
	ck_ok(store_remove(store, name.s, &e));
	ck_assert_int_eq(judge(id_of(1), id_of(100)), VOIDS_COUNTS);
	/* One that was read is remembered, whatever happens to it. */
	name = put_void(id_of(1), NULL, 0);
	read_voids();
	ck_assert_int_eq(judge(id_of(1), id_of(100)), VOIDS_DOES_NOT);
	ck_ok(store_remove(store, name.s, &e));
	ck_assert_int_eq(judge(id_of(1), id_of(100)), VOIDS_DOES_NOT);
}
END_TEST

/* Offline it is not known what it says, and asking again may tell. */
START_TEST(one_that_cannot_be_read_just_now_is_an_error)
{
	const struct object_id named = id_of(100);
	const struct fault offline = { .call = FAULT_READ,
				       .action = FAULT_FAIL,
				       .prefix = "voids/",
				       .times = 1 };
	enum voids_answer got;

	ck_ok(fault_wrap(store, &store, &e));
	(void)put_void(id_of(1), &named, 1);
	read_voids();
	fault_add(store, &offline);
	ck_assert_int_eq(voids_judge(voids, id_of(1), named, &got, &e), -1);
	ck_assert_int_eq(e.code, ERR_IO);
	ck_assert_int_eq(judge(id_of(1), named), VOIDS_COUNTS);
	ck_assert_int_eq(judge(id_of(1), id_of(101)), VOIDS_DOES_NOT);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, without_a_void_all_counts);
	tcase_add_test(tc, what_a_void_names_counts);
	tcase_add_test(tc, each_session_has_its_own);
	tcase_add_test(tc, one_that_does_not_open_leaves_it_in_doubt);
	tcase_add_test(tc, one_that_is_gone_says_nothing);
	tcase_add_test(tc, one_that_cannot_be_read_just_now_is_an_error);
}

CHECK_MAIN("storage/voids", cases)

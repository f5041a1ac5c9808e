/* Looking at entries ahead of their turn: storage/snapshot_ahead.h. */
#include "storage/snapshot_ahead.h"

#include <inttypes.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "storage/snapshot.h"
#include "tests/support/check_main.h"
#include "tests/support/fake_source.h"

enum { ENTRIES = 500 };

/* A fake source whose handles are counted, and some of which take long. */
static struct fake_source f;
static struct source_ops ops;
static struct fake_entry entries[ENTRIES];
static char paths[ENTRIES][16];
static atomic_int taken;
static atomic_int open_now;
static atomic_int most_open;
static size_t fails; /* describing this one; 0: none */
static bool meets;   /* the first one waits for the second */
static sem_t second;
static struct err e;
static const uint8_t key[KEYS_SIZE] = { 1 };

static int take(struct source *s, struct source_handle **ret, struct err *err)
{
	atomic_fetch_add(&taken, 1);
	return fake_take(s, ret, err);
}

static int describe(struct source_handle *h, struct entry *en, struct err *err)
{
	const struct fake_entry *v = ((struct fake_handle *)h)->en;
	const size_t i = (size_t)(v - entries);
	const int now = atomic_fetch_add(&open_now, 1) + 1;
	int most = atomic_load(&most_open);

	while (now > most &&
	       !atomic_compare_exchange_weak(&most_open, &most, now))
		continue;
	if (meets && i == 0)
		(void)sem_wait(&second);
	if (meets && i == 1)
		(void)sem_post(&second);
	/* The first of a few is done last. */
	if (i % 7 == 0)
		clock_sleep_ms(1);
	if (fails && i == fails)
		return err_set(err, ERR_NO_MEMORY, "made up");
	return fake_describe(h, en, err);
}

static void release(struct source_handle *h)
{
	atomic_fetch_sub(&taken, 1);
	atomic_fetch_sub(&open_now, 1);
	fake_release(h);
}

static void set_up(void)
{
	ops = fake_ops;
	ops.take = take;
	ops.describe = describe;
	ops.release = release;
	for (size_t i = 0; i < ENTRIES; i++) {
		(void)snprintf(paths[i], sizeof(paths[i]), "/%05zu", i);
		entries[i] = fake_entry(paths[i], ENTRY_FILE, i % 50, 1);
		entries[i].fill = (uint8_t)i;
	}
	f = fake_source_of(entries, ENTRIES);
	f.base.ops = &ops;
	f.rooted = true;
	fails = 0;
	meets = false;
	(void)sem_init(&second, 0, 0);
	atomic_store(&open_now, 0);
	atomic_store(&most_open, 0);
}

static void tear_down(void)
{
	(void)sem_destroy(&second);
	ck_assert_int_eq(atomic_load(&taken), 0); /* all were released */
}

static bool take_one(struct ahead *a)
{
	struct entry en;

	if (f.next == f.n || !snapshot_ahead_has_room(a, &f.v[f.next].entry))
		return false;
	ck_assert_int_eq(source_next(&f.base, &en, &e), 1);
	ck_ok(snapshot_ahead_take(a, &en, &e));
	return true;
}

static void is_entry(const struct ahead_item *x, size_t i)
{
	ck_assert_str_eq(x->listed.path, paths[i]);
	ck_assert_int_eq(x->described, 1);
	ck_assert_str_eq(x->entry.path, paths[i]);
	ck_assert(x->is_read);
	ck_assert_uint_eq(x->len, entries[i].entry.size);
	for (size_t k = 0; k < x->len; k++)
		ck_assert_uint_eq(x->data[k], entries[i].fill);
	ck_assert_uint_eq(x->n_pieces, x->len ? 1 : 0);
}

START_TEST(entries_come_back_in_order)
{
	CLEANUP(snapshot_ahead_free) struct ahead *a = NULL;
	struct ahead_item *x;

	ck_ok(snapshot_ahead_new(&f.base, key, &a, &e));
	for (size_t i = 0; i < ENTRIES; i++) {
		while (take_one(a))
			continue;
		ck_assert(!snapshot_ahead_is_empty(a));
		ck_ok(snapshot_ahead_next(a, &x, &e));
		is_entry(x, i);
	}
	ck_assert(snapshot_ahead_is_empty(a));
	ck_assert_int_le(atomic_load(&most_open), SNAPSHOT_AHEAD);
}
END_TEST

START_TEST(little_is_ahead)
{
	CLEANUP(snapshot_ahead_free) struct ahead *a = NULL;
	const uint64_t size = SNAPSHOT_SMALL - 1;
	struct ahead_item *x;
	size_t n = 0;

	for (size_t i = 0; i < ENTRIES; i++)
		entries[i].entry.size = size;
	ck_ok(snapshot_ahead_new(&f.base, key, &a, &e));
	while (take_one(a))
		n++;
	ck_assert_uint_eq(n, SNAPSHOT_AHEAD_BYTES / size);
	ck_ok(snapshot_ahead_next(a, &x, &e));
	is_entry(x, 0);
	ck_assert(take_one(a));
	ck_assert(!take_one(a));
}
END_TEST

/* However few large ones: no reader takes all of them while another has none.
 */
START_TEST(readers_share_what_takes_long)
{
	CLEANUP(snapshot_ahead_free) struct ahead *a = NULL;
	struct ahead_item *x;

	for (size_t i = 0; i < 2; i++)
		entries[i].entry.size = SNAPSHOT_SMALL - 1;
	meets = true;
	ck_ok(snapshot_ahead_new(&f.base, key, &a, &e));
	ck_assert(take_one(a));
	ck_assert(take_one(a));
	for (size_t i = 0; i < 2; i++) {
		ck_ok(snapshot_ahead_next(a, &x, &e));
		is_entry(x, i);
	}
}
END_TEST

START_TEST(what_is_not_small_is_left_open)
{
	CLEANUP(snapshot_ahead_free) struct ahead *a = NULL;
	struct ahead_item *x;

	entries[0].entry.size = SNAPSHOT_SMALL;
	entries[1].entry.flags = ENTRY_HARD_LINK;
	entries[1].entry.link_group = 5;
	ck_ok(snapshot_ahead_new(&f.base, key, &a, &e));
	while (take_one(a))
		continue;
	for (int i = 0; i < 2; i++) {
		ck_ok(snapshot_ahead_next(a, &x, &e));
		ck_assert(!x->is_read);
		ck_assert_ptr_nonnull(x->handle);
	}
	ck_ok(snapshot_ahead_read(a, x, &e));
	is_entry(x, 1);
	ck_ok(snapshot_ahead_next(a, &x, &e));
	is_entry(x, 2);
	ck_assert_ptr_null(x->handle);
}
END_TEST

/* The error of an entry comes at its turn, whatever comes after it. */
START_TEST(an_error_comes_at_its_turn)
{
	CLEANUP(snapshot_ahead_free) struct ahead *a = NULL;
	struct ahead_item *x;

	fails = 20;
	ck_ok(snapshot_ahead_new(&f.base, key, &a, &e));
	while (take_one(a))
		continue;
	for (size_t i = 0; i < fails; i++) {
		ck_ok(snapshot_ahead_next(a, &x, &e));
		is_entry(x, i);
	}
	ck_assert_int_eq(snapshot_ahead_next(a, &x, &e), -1);
	ck_assert_int_eq(e.code, ERR_NO_MEMORY);
}
END_TEST

START_TEST(nobody_need_ask_for_them)
{
	CLEANUP(snapshot_ahead_free) struct ahead *a = NULL;

	ck_ok(snapshot_ahead_new(&f.base, key, &a, &e));
	while (take_one(a))
		continue;
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, entries_come_back_in_order);
	tcase_add_test(tc, little_is_ahead);
	tcase_add_test(tc, readers_share_what_takes_long);
	tcase_add_test(tc, what_is_not_small_is_left_open);
	tcase_add_test(tc, an_error_comes_at_its_turn);
	tcase_add_test(tc, nobody_need_ask_for_them);
}
CHECK_MAIN("storage/snapshot_ahead", cases)

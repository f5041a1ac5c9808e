/* Listings of all packs, short and long: storage/repository/pack.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/repository/pack.h"
#include "storage/stores/fault.h"
#include "tests/support/check_main.h"

static struct store *store;
static struct err e;
/* Of a listing: packs, each of a size of its own, and how often it came. */
static unsigned int *seen;
static unsigned int n_packs;
static unsigned int n_seen;
static unsigned int stop_after; /* 0: never */
static const char *last;

static void set_up(void)
{
	struct store *inner = NULL;

	ck_ok(store_open("mem:pack_list", true, &inner, &e));
	ck_ok(fault_wrap(inner, &store, &e));
	fault_set_far(store);
	n_packs = 0;
}

static void tear_down(void)
{
	store_close(store);
	store_mem_forget("mem:pack_list");
}

/* Two thirds in folders as they come, and others in the last one. */
static void fill(const char *folder, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		char *bytes = calloc(++n_packs, 1);
		char name[64];

		ck_assert_ptr_nonnull(bytes);
		(void)snprintf(name, sizeof(name), "%s%02x/%032x", folder,
			       i % 3 ? i * 7919 % 256 : 255, i);
		ck_ok(store_put(store, name, bytes, n_packs, 0, &e));
		free(bytes);
	}
}

static int see(void *arg, const struct store_entry *entry, struct err *err)
{
	(void)arg;
	(void)err;
	ck_assert_uint_ge(entry->size, 1);
	ck_assert_uint_le(entry->size, n_packs);
	seen[entry->size - 1]++;
	n_seen++;
	ck_assert(!last || strcmp(last, "meta/") != 0 ||
		  strncmp(entry->name, "meta/", 5) == 0);
	last = strncmp(entry->name, "meta/", 5) == 0 ? "meta/" : "data/";
	return stop_after && n_seen == stop_after;
}

static int list(void)
{
	free(seen);
	seen = calloc(n_packs + 1, sizeof(*seen));
	ck_assert_ptr_nonnull(seen);
	n_seen = 0;
	last = NULL;
	return pack_list(store, see, NULL, &e);
}

static void expect_all(void)
{
	ck_ok(list());
	for (unsigned int i = 0; i < n_packs; i++)
		ck_assert_uint_eq(seen[i], 1);
	ck_assert_uint_eq(n_seen, n_packs);
}

static uint64_t listings(void)
{
	return fault_calls(store, FAULT_LIST);
}

START_TEST(a_short_listing_is_one_question)
{
	uint64_t before;

	expect_all();
	fill("data/", 1999);
	fill("meta/", 20);
	before = listings();
	expect_all();
	ck_assert_uint_eq(listings() - before, 2);
}
END_TEST

START_TEST(a_long_listing_is_taken_by_its_folders)
{
	uint64_t before;

	fill("data/", 2000);
	before = listings();
	expect_all();
	ck_assert_uint_eq(listings() - before, 1 + 256 + 1);
	/* One folder alone may be too long to be kept. */
	fill("meta/", 9000);
	expect_all();
}
END_TEST

START_TEST(a_listing_that_cannot_be_had_whole_fails)
{
	static const char *const which[] = { "data/",	 "data/00/", "data/1f/",
					     "data/20/", "data/ff/", "meta/" };

	fill("data/", 2500);
	fill("meta/", 3);
	for (size_t i = 0; i < sizeof(which) / sizeof(which[0]); i++) {
		const struct fault f = { .call = FAULT_LIST,
					 .action = FAULT_FAIL,
					 .prefix = which[i],
					 .everyone = true };

		fault_add(store, &f);
		ck_assert_int_eq(list(), -1);
		ck_assert_int_eq(e.code, ERR_IO);
		fault_clear(store);
	}
	/* Once is asked again, but of the first, which is asked for in time. */
	for (size_t i = 1; i + 1 < sizeof(which) / sizeof(which[0]); i++) {
		const struct fault f = { .call = FAULT_LIST,
					 .action = FAULT_FAIL,
					 .prefix = which[i],
					 .everyone = true,
					 .times = 1 };

		fault_add(store, &f);
		expect_all();
		fault_clear(store);
	}
}
END_TEST

START_TEST(a_listing_ends_when_the_visitor_says_so)
{
	static const unsigned int after[] = { 1, 1000, 2499, 2500, 2501 };

	fill("data/", 2500);
	fill("meta/", 3);
	for (size_t i = 0; i < sizeof(after) / sizeof(after[0]); i++) {
		stop_after = after[i];
		ck_ok(list());
		ck_assert_uint_eq(n_seen, after[i]);
	}
	stop_after = 0;
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, a_short_listing_is_one_question);
	tcase_add_test(tc, a_long_listing_is_taken_by_its_folders);
	tcase_add_test(tc, a_listing_that_cannot_be_had_whole_fails);
	tcase_add_test(tc, a_listing_ends_when_the_visitor_says_so);
}
CHECK_MAIN("storage/pack_list", cases)

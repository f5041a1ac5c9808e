/*
 * Collections where a request takes long, so that folders are listed at once:
 * what is short is noticed, whoever lists it, and what fails harms nothing.
 */
#include "storage/repository/gc.h"
#include "tests/support/gc_frame.h"

static struct gc_frame frame;
static struct gc_frame *const g = &frame;
static size_t packs;

/* As in storage_gc_bad.c: one snapshot to keep, one that is deleted. */
static void set_up_near(void)
{
	gc_frame_init(g, "mem:gc_far");
	gc_file(g, "kept");
	gc_file(g, "gone");
	gc_file(g, "gone too");
	(void)gc_take(g);
	gc_unfile(g, "gone");
	gc_unfile(g, "gone too");
	(void)gc_take(g);
	gc_erase(g, 0);
	packs = gc_packs(g);
}

static void set_up(void)
{
	set_up_near();
	fault_set_far(gc_store(g));
}

static void tear_down(void)
{
	gc_frame_done(g);
}

static void expect_refusal(const char *says)
{
	ck_assert_int_eq(gc_collect_with(g, 0, GC_REWRITE_BYTES), -1);
	ck_assert_msg(g->e.code == ERR_CORRUPT, "%s", g->e.text);
	ck_assert_msg(strstr(g->e.text, says), "\"%s\" lacks \"%s\"", g->e.text,
		      says);
	fault_clear(gc_store(g));
	ck_assert_uint_eq(gc_packs(g), packs);
	ck_assert_uint_eq(gc_objects(g, "snapshots/"), 2);
	ck_assert_uint_eq(gc_objects(g, "sessions/"), 0);
}

static void expect_collection(void)
{
	gc_collect(g, 0);
	ck_assert_uint_gt(g->result.deleted, 0);
	gc_expect(g, 1);
	gc_expect_sound(g);
}

START_TEST(a_listing_that_is_cut_short_stops_it)
{
	static const char *const folders[] = { "snapshots/", "index/" };

	for (size_t i = 0; i < 2; i++) {
		const struct fault cut = { .call = FAULT_LIST,
					   .action = FAULT_SHORT,
					   .prefix = folders[i],
					   .everyone = true,
					   .amount = 1 };

		fault_add(gc_store(g), &cut);
		expect_refusal("when asked for more");
	}
	expect_collection();
}
END_TEST

/*
 * Where a request takes long they are counted: one for each folder that
 * decides, and for all of them at once, and what a survey lists; and not one
 * more for each sixteenth of each folder, as there were.
 */
START_TEST(there_are_few_listings)
{
	uint64_t calls = fault_calls(gc_store(g), FAULT_LIST);

	gc_collect(g, -1);
	ck_assert_uint_le(fault_calls(gc_store(g), FAULT_LIST) - calls, 45);
}
END_TEST

/* Of those that were asked for early it is asked again; none is passed over. */
START_TEST(listings_that_fail_harm_nothing)
{
	const uint64_t stride = 7;
	uint64_t nth = 1 + random_below(&g->dice, stride);

	for (; nth < 80; nth += stride) {
		const struct fault f = {
			.call = FAULT_LIST,
			.action = nth % 2 ? FAULT_FAIL : FAULT_FAIL_AFTER,
			.everyone = true,
			.nth = nth,
			.times = nth % 3 ? 1 : 0,
		};

		fault_add(gc_store(g), &f);
		if (gc_collect_with(g, 0, GC_REWRITE_BYTES) < 0)
			ck_assert_msg(g->e.code == ERR_IO, "%s", g->e.text);
		fault_clear(gc_store(g));
		gc_expect(g, 1);
	}
	gc_collect(g, 0);
	gc_expect_sound(g);
	gc_expect(g, 1);
}
END_TEST

#define VISITOR "sessions/11111111111111111111111111111111"

static void come(void *arg UNUSED, const char *name UNUSED)
{
	CLEANUP(store_close) struct store *s = NULL;
	struct err e = { 0 };

	ck_ok(store_open("mem:gc_far", false, &s, &e));
	ck_ok(store_put(s, VISITOR, "writing", 7, 0, &e));
}

static void leave(void *arg UNUSED, const char *name UNUSED)
{
	CLEANUP(store_close) struct store *s = NULL;
	struct err e = { 0 };

	ck_ok(store_open("mem:gc_far", false, &s, &e));
	ck_ok(store_remove(s, VISITOR, &e));
}

/* It is in the listing of all, and in neither of the two of the folder. */
START_TEST(who_comes_and_leaves_meanwhile_is_no_short_listing)
{
	const struct fault comes = { .call = FAULT_LIST,
				     .action = FAULT_RUN,
				     .prefix = ">",
				     .everyone = true,
				     .times = 2,
				     .run = come };
	const struct fault leaves = { .call = FAULT_LIST,
				      .action = FAULT_RUN,
				      .prefix = "sessions/",
				      .everyone = true,
				      .run = leave };

	/* One listing after the other, as near by. */
	fault_clear(gc_store(g));
	tear_down();
	set_up_near();
	fault_add(gc_store(g), &comes);
	fault_add(gc_store(g), &leaves);
	expect_collection();
}
END_TEST

static unsigned int crowd;

static const char *crowd_name(unsigned int i)
{
	static char name[64];

	(void)snprintf(name, sizeof(name), "sessions/%032x", i);
	return name;
}

static void one_more_comes(void *arg UNUSED, const char *name UNUSED)
{
	CLEANUP(store_close) struct store *s = NULL;
	struct err e = { 0 };

	ck_ok(store_open("mem:gc_far", false, &s, &e));
	ck_ok(store_put(s, crowd_name(++crowd), "writing", 7, 0, &e));
}

/* Before each look at the folder one comes, which explains no shorter one. */
START_TEST(a_short_listing_does_not_hide_behind_who_comes)
{
	const struct fault comes = { .call = FAULT_LIST,
				     .action = FAULT_RUN,
				     .prefix = "sessions/",
				     .everyone = true,
				     .run = one_more_comes };
	/* Of all other listings: who acts first acts alone. */
	const struct fault hides = { .call = FAULT_LIST,
				     .action = FAULT_HIDE,
				     .prefix = "sessions/",
				     .everyone = true };

	struct err e = { 0 };

	fault_clear(gc_store(g));
	tear_down();
	set_up_near();
	crowd = 0;
	fault_add(gc_store(g), &comes);
	fault_add(gc_store(g), &hides);
	ck_assert_int_eq(gc_collect_with(g, 0, GC_REWRITE_BYTES), -1);
	ck_assert_msg(strstr(g->e.text, "when asked for more"), "%s",
		      g->e.text);
	fault_clear(gc_store(g));
	ck_assert_uint_eq(gc_packs(g), packs);
	for (; crowd; crowd--)
		ck_ok(store_remove(gc_store(g), crowd_name(crowd), &e));
	expect_collection();
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, a_listing_that_is_cut_short_stops_it);
	tcase_add_test(tc, there_are_few_listings);
	tcase_add_test(tc, listings_that_fail_harm_nothing);
	tcase_add_test(tc, a_short_listing_does_not_hide_behind_who_comes);
	tcase_add_test(tc, who_comes_and_leaves_meanwhile_is_no_short_listing);
}

CHECK_MAIN("storage/gc_far", cases)

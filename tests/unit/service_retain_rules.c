/* Sets of rules beside each other: which are the same, asked, or reach. */
#include "service/retain.h"

#include "tests/support/check_main.h"

enum { FORMER = 1, FLOOR = 2, OWN = 4 };

/* Sets named by letters, each followed by a digit: what of those they are. */
static struct retain_rule_sets sets(struct retain_rules v[4], const char *text)
{
	struct retain_rule_sets s = { .v = v };

	for (; *text; text += 2) {
		const int flags = text[1] - '0';

		v[s.n++] = (struct retain_rules){
			.uid = { text[0] },
			.former = flags & FORMER,
			.floor_only = flags & FLOOR,
			.was_own = flags & OWN,
		};
	}
	return s;
}

static bool same(const char *theirs, const char *ours)
{
	struct retain_rules a[4];
	struct retain_rules b[4];
	const struct retain_rule_sets x = sets(a, theirs);
	const struct retain_rule_sets y = sets(b, ours);

	return retain_rules_same(&x, &y);
}

START_TEST(the_same_are_in_force)
{
	static const char *const are[][2] = {
		{ "", "" },
		{ "A0", "A0" },
		{ "A0B0", "B0A0" },
		{ "A0B0C0", "C0A0B0" }, /* floors are no rules */
		{ "A0B2", "A0" },
		{ "A0", "B2A0" },
		{ "B2", "" },
		/* nor are those that were replaced by others of a schedule */
		{ "A0B1", "A0" },
		{ "A0", "B1A0" },
		{ "A0", "A0B5" },
		{ "A0B7", "A0" },
		{ "A0A1", "A0" },
	};
	static const char *const are_not[][2] = {
		{ "A0", "" },
		{ "", "A0" },
		{ "A0", "B0" },
		{ "A0B0", "A0" },
		{ "A0", "A0B0" },
		{ "B0A0", "A0" },
		{ "A0", "B0A0" },
		{ "A0B0", "A0C0" },
		{ "A2", "A0" },
		{ "A0", "A2" },
		{ "A1", "A0" },
		{ "A0", "A1" },
		/* they ask more: their own, which were replaced */
		{ "A0B5", "A0" },
		{ "B5A0", "A0" },
		{ "A0A5", "A0A5" },
	};

	for (size_t i = 0; i < sizeof(are) / sizeof(are[0]); i++)
		ck_assert_msg(same(are[i][0], are[i][1]), "%s and %s",
			      are[i][0], are[i][1]);
	for (size_t i = 0; i < sizeof(are_not) / sizeof(are_not[0]); i++)
		ck_assert_msg(!same(are_not[i][0], are_not[i][1]), "%s and %s",
			      are_not[i][0], are_not[i][1]);
}
END_TEST

START_TEST(what_is_in_force_is_asked_and_what_was_the_regions_own)
{
	static const bool is[] = { [0] = true,
				   [OWN] = true,
				   [FORMER | OWN] = true,
				   [FORMER | FLOOR | OWN] = false };

	for (int i = 0; i < 8; i++) {
		const struct retain_rules r = { .former = i & FORMER,
						.floor_only = i & FLOOR,
						.was_own = i & OWN };

		ck_assert_msg(retain_rules_is_asked(&r) == is[i], "%d", i);
	}
}
END_TEST

START_TEST(what_was_replaced_reaches_what_was_there)
{
	struct retain_rules r = { .until = { .sec = 100, .nsec = 5 } };

	for (int i = 0; i < 2; i++) {
		r.former = i;
		ck_assert(retain_rules_reach(&r, (struct instant){ 99, 9 }));
		ck_assert(retain_rules_reach(&r, (struct instant){ 100, 5 }));
		ck_assert(retain_rules_reach(&r, (struct instant){ 100, 6 }) ==
			  !i);
	}
}
END_TEST

/* The strictest of each, where it has a floor at all. */
START_TEST(floors_add_up)
{
	struct resource none = { 0 };
	struct resource many = { .policy = { .floor_snapshots = 9,
					     .floor_regions = 1,
					     .floor_verified_within_ms = 90 } };
	struct resource fresh = { .policy = {
					  .floor_snapshots = 3,
					  .floor_regions = 2,
					  .floor_verified_within_ms = 30 } };
	struct retain_rules v[] = {
		{ .resource = &many, .former = true, .until = { .sec = 5 } },
		{ .resource = &fresh },
		{ .resource = &none, .former = true, .until = { .sec = 7 } },
		{ .former = true, .until = { .sec = 6 } },
		{ .resource = &many, .former = true, .until = { .sec = 4 } },
	};
	struct retain_rule_sets s = { .v = v, .n = 5 };

	retain_rules_summarize(&s);
	ck_assert(s.changed);
	ck_assert_int_eq(s.last.sec, 7);
	ck_assert_int_eq(s.floor_until.sec, 5);
	ck_assert_uint_eq(s.floor.snapshots, 3);
	ck_assert_uint_eq(s.floor.regions, 2);
	ck_assert_int_eq(s.floor.verified_within_ms, 30);
	ck_assert_uint_eq(s.floor_before.snapshots, 9);
	ck_assert_uint_eq(s.floor_before.regions, 2);
	ck_assert_int_eq(s.floor_before.verified_within_ms, 30);
	/* In whichever order; and one that asks for none asks for nothing. */
	v[0].resource = &fresh;
	v[1].resource = &many;
	none.policy.floor_verified_within_ms = 1;
	s = (struct retain_rule_sets){ .v = v, .n = 3 };
	retain_rules_summarize(&s);
	ck_assert_uint_eq(s.floor.snapshots, 9);
	ck_assert_int_eq(s.floor.verified_within_ms, 90);
	ck_assert_uint_eq(s.floor_before.snapshots, 9);
	ck_assert_int_eq(s.floor_before.verified_within_ms, 30);
	ck_assert_uint_eq(s.floor_before.regions, 2);
	/* Nothing was replaced. */
	s = (struct retain_rule_sets){ .v = v + 1, .n = 1 };
	retain_rules_summarize(&s);
	ck_assert(!s.changed);
	ck_assert_int_eq(s.last.sec, 0);
	ck_assert_int_eq(s.floor_until.sec, 0);
	ck_assert_uint_eq(s.floor_before.regions, 1);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, the_same_are_in_force);
	tcase_add_test(tc,
		       what_is_in_force_is_asked_and_what_was_the_regions_own);
	tcase_add_test(tc, what_was_replaced_reaches_what_was_there);
	tcase_add_test(tc, floors_add_up);
}

CHECK_MAIN("service/retain_rules", cases)

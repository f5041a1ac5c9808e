#include "schedules/retention.h"

#include <string.h>

#include "tests/support/alloc_fail.h"
#include "tests/support/check_main.h"
#include "tests/support/zonefile.h"

#define MAX   400
#define DAY_S INT64_C(86400)

/* A growing list of snapshots, and what the last judgement said. */
struct world {
	struct retention_policy policy;
	struct retention_snapshot s[MAX];
	char ids[MAX][8];
	size_t n;
	struct instant now;
	struct retention_result r;
};

static struct world w;

static struct instant at(const char *text)
{
	struct instant t = { 0 };
	struct err e;

	ck_ok(instant_parse(text, &t, &e));
	return t;
}

static void start(const char *now)
{
	retention_result_done(&w.r);
	memset(&w, 0, sizeof(w));
	w.policy.zone = zone_utc();
	w.now = at(now);
}

static void rule(const char *name, int64_t count)
{
	enum retention_kind kind = RETENTION_KINDS;
	struct err e;

	ck_assert_int_eq(retention_kind_named(name, &kind), 1);
	ck_ok(retention_add_count(&w.policy, kind, count, &e));
}

static void within(const char *name, const char *duration)
{
	enum retention_kind kind = RETENTION_KINDS;
	struct err e;

	ck_assert_int_eq(retention_kind_named(name, &kind), 1);
	ck_ok(retention_add_duration(&w.policy, kind, duration, &e));
}

static size_t add_at(struct instant t)
{
	const size_t i = w.n++;

	ck_assert_uint_lt(i, MAX);
	(void)snprintf(w.ids[i], sizeof(w.ids[i]), "s%03zu", i);
	w.s[i] = (struct retention_snapshot){ .id = w.ids[i],
					      .received = t,
					      .complete = true };
	return i;
}

static size_t add(const char *t)
{
	return add_at(at(t));
}

static size_t judge(void)
{
	size_t kept = 0;
	size_t n_reasons = 0;
	struct err e;

	retention_result_done(&w.r);
	ck_assert_int_eq(retention_decide(&w.policy, w.s, w.n, w.now, &w.r, &e),
			 0);
	ck_assert_uint_eq(w.r.n, w.n);
	for (size_t i = 0; i < w.n; i++) {
		kept += w.r.decisions[i].keep;
		n_reasons += w.r.decisions[i].n_reasons;
	}
	ck_assert_uint_eq(w.r.n_reasons, n_reasons);
	return kept;
}

static bool kept(size_t i)
{
	return w.r.decisions[i].keep;
}

/* "keep-daily 2026-03-29, keep-weekly 2026-W13 (oldest)". */
static const char *why(size_t i)
{
	static char out[512];
	const struct retention_decision *d = &w.r.decisions[i];
	size_t used = 0;

	out[0] = '\0';
	for (uint32_t k = 0; k < d->n_reasons; k++) {
		const struct retention_reason *r = &w.r.reasons[d->reasons + k];
		char bucket[RETENTION_BUCKET_TEXT] = "not written";

		retention_bucket_format(&w.policy, r, bucket);
		used += (size_t)snprintf(out + used, sizeof(out) - used,
					 "%s%s%s%s%s", k ? ", " : "",
					 retention_kind_name(r->kind),
					 *bucket ? " " : "", bucket,
					 r->oldest ? " (oldest)" : "");
	}
	return out;
}

START_TEST(names_and_values_are_checked)
{
	enum retention_kind kind = RETENTION_KINDS;
	const char *const tags[] = { "gold" };
	struct err e;

	start("2026-01-01T00:00:00Z");
	for (unsigned int i = 0; i < RETENTION_RULES; i++) {
		ck_assert_int_eq(
			retention_kind_named(
				retention_kind_name((enum retention_kind)i),
				&kind),
			1);
		ck_assert_uint_eq(kind, i);
	}
	ck_assert_int_eq(retention_kind_named("future", &kind), 0);
	ck_assert_int_eq(retention_kind_named("no-rules", &kind), 0);
	ck_assert_int_eq(retention_kind_named("keep-fortnightly", &kind), 0);
	ck_assert_str_eq(retention_kind_name(RETENTION_KINDS), "");
	ck_assert_int_eq(
		retention_add_count(&w.policy, RETENTION_NO_RULES, 1, &e), -1);
	ck_assert_ptr_nonnull(strstr(e.text, "no such rule"));
	ck_assert_int_eq(
		retention_add_count(&w.policy, RETENTION_DAILY, -2, &e), -1);
	ck_assert_int_eq(
		retention_add_count(&w.policy, RETENTION_WITHIN, 3, &e), -1);
	ck_assert_ptr_nonnull(strstr(e.text, "takes a duration"));
	ck_assert_int_eq(
		retention_add_duration(&w.policy, RETENTION_WITHIN, "0d", &e),
		-1);
	ck_assert_int_eq(
		retention_add_duration(&w.policy, RETENTION_WITHIN, "5x", &e),
		-1);
	ck_assert_ptr_nonnull(strstr(e.text, "keep-within: duration \"5x\""));
	ck_assert_int_eq(retention_add_tags(&w.policy, tags, 1, &e), 0);
	ck_assert_int_eq(retention_add_tags(&w.policy, tags, 1, &e), -1);
	ck_assert_ptr_nonnull(strstr(e.text, "there twice"));
	ck_assert_uint_eq(w.policy.n_rules, 1);
}
END_TEST

/* A decision about an old one does not change with each new one. */
START_TEST(of_all_no_place_is_told)
{
	start("2026-06-01T00:00:00Z");
	rule("keep-last", -1);
	add("2026-01-01T00:30:00Z");
	add("2026-01-01T14:30:00Z");
	judge();
	ck_assert_str_eq(why(0), "keep-last all");
	ck_assert_str_eq(why(1), "keep-last all");
}
END_TEST

START_TEST(every_rule_names_its_bucket)
{
	const char *const tags[] = { "gold", "tier=1" };
	const char *const has[] = { "tier=1", "x" };
	struct err e;

	start("2026-06-01T00:00:00Z");
	rule("keep-last", 2);
	rule("keep-hourly", 1);
	rule("keep-daily", 1);
	rule("keep-weekly", 1);
	rule("keep-monthly", 1);
	rule("keep-yearly", 1);
	within("keep-within", "1m");
	within("keep-within-hourly", "1d");
	within("keep-within-daily", "1d");
	within("keep-within-weekly", "1d");
	within("keep-within-monthly", "1d");
	within("keep-within-yearly", "1d");
	ck_ok(retention_add_tags(&w.policy, tags, 2, &e));
	add("2026-01-01T00:30:00Z");
	w.s[0].tags = has;
	w.s[0].n_tags = 2;
	add("2026-01-01T14:30:00Z");
	judge();
	ck_assert_str_eq(why(1),
			 "keep-last 1, keep-hourly 2026-01-01T14, "
			 "keep-daily 2026-01-01, keep-weekly 2026-W01, "
			 "keep-monthly 2026-01, keep-yearly 2026, "
			 "keep-within 1m, keep-within-hourly 2026-01-01T14, "
			 "keep-within-daily 2026-01-01, "
			 "keep-within-weekly 2026-W01, "
			 "keep-within-monthly 2026-01, "
			 "keep-within-yearly 2026");
	ck_assert_str_eq(why(0), "keep-last 2, keep-within 1m, "
				 "keep-within-hourly 2026-01-01T00, "
				 "keep-within-daily 2026-01-01 (oldest), "
				 "keep-within-weekly 2026-W01 (oldest), "
				 "keep-within-monthly 2026-01 (oldest), "
				 "keep-within-yearly 2026 (oldest), "
				 "keep-tags tier=1");
}
END_TEST

START_TEST(an_empty_rule_set_keeps_everything)
{
	start("2026-06-01T00:00:00Z");
	add("2026-01-01T00:30:00Z");
	add("2026-02-01T00:30:00Z");
	ck_assert_uint_eq(judge(), 2);
	ck_assert_str_eq(why(0), "no-rules");
	rule("keep-daily", 0);
	ck_assert_uint_eq(judge(), 2);
	rule("keep-last", 1);
	ck_assert_uint_eq(judge(), 1);
	w.n = 0;
	ck_assert_uint_eq(judge(), 0);
}
END_TEST

START_TEST(a_single_tag_is_a_rule)
{
	static const char *const gold[] = { "gold" };
	struct err e;

	start("2026-06-01T00:00:00Z");
	add("2026-01-01T00:30:00Z");
	add("2026-02-01T00:30:00Z");
	w.s[0].tags = gold;
	w.s[0].n_tags = 1;
	ck_ok(retention_add_tags(&w.policy, gold, 1, &e));
	ck_assert_uint_eq(judge(), 1);
	ck_assert_str_eq(why(0), "keep-tags gold");
	/* A list of none can keep nothing, and so is no rule. */
	w.policy.rules[0].n_tags = 0;
	ck_assert_uint_eq(judge(), 2);
	ck_assert_str_eq(why(0), "no-rules");
}
END_TEST

START_TEST(minus_one_keeps_each_bucket)
{
	start("2026-06-01T00:00:00Z");
	rule("keep-daily", -1);
	for (int64_t i = 0; i < 200; i++)
		add_at((struct instant){ w.now.sec - 43200 * (i + 1), 0 });
	/* 100 days, and the oldest of all. */
	ck_assert_uint_eq(judge(), 101);
}
END_TEST

START_TEST(counts_left_keep_the_oldest)
{
	start("2026-06-01T00:00:00Z");
	rule("keep-monthly", 3);
	add("2026-05-01T00:00:00Z");
	add("2026-05-02T00:00:00Z");
	add("2026-05-03T00:00:00Z");
	ck_assert_uint_eq(judge(), 2);
	ck_assert_str_eq(why(2), "keep-monthly 2026-05");
	ck_assert_str_eq(why(0), "keep-monthly 2026-05 (oldest)");
	add("2026-04-03T00:00:00Z");
	add("2026-04-02T00:00:00Z");
	add("2026-03-03T00:00:00Z");
	add("2026-03-02T00:00:00Z");
	ck_assert_uint_eq(judge(), 3);
	ck_assert(kept(2) && kept(3) && kept(5));
}
END_TEST

START_TEST(three_weeks_off_lose_nothing)
{
	start("2026-06-22T00:00:00Z");
	rule("keep-daily", 14);
	for (int i = 0; i < 30; i++)
		add_at((struct instant){
			at("2026-05-31T12:00:00Z").sec - i * DAY_S, 0 });
	ck_assert_uint_eq(judge(), 14);
	for (size_t i = 0; i < 14; i++)
		ck_assert(kept(i));
}
END_TEST

START_TEST(iso_weeks_across_new_year)
{
	bool weeks[26] = { false };

	start("2026-03-31T23:00:00Z");
	rule("keep-weekly", 26);
	for (int i = 0; i < 182; i++)
		add_at((struct instant){
			at("2026-03-31T12:00:00Z").sec - i * DAY_S, 0 });
	judge();
	/* Day 0 is a Thursday, so Monday's number is 4 modulo 7. */
	for (size_t i = 0; i < w.n; i++) {
		const int64_t week = (w.s[0].received.sec / DAY_S + 3) / 7 -
				     (w.s[i].received.sec / DAY_S + 3) / 7;

		if (kept(i) && week < 26) {
			ck_assert_msg(!weeks[week], "week %d is kept twice",
				      (int)week);
			weeks[week] = true;
		}
	}
	for (size_t i = 0; i < 26; i++)
		ck_assert_msg(weeks[i], "week %zu before the last is gone", i);
}
END_TEST

START_TEST(week_years_are_their_thursdays)
{
	static const char *const days[][2] = {
		{ "2027-01-03T12:00:00Z", "keep-weekly 2026-W53" },
		{ "2024-12-30T12:00:00Z", "keep-weekly 2025-W01" },
		{ "2021-01-03T12:00:00Z", "keep-weekly 2020-W53" },
		{ "2018-12-31T12:00:00Z", "keep-weekly 2019-W01" },
		{ "2017-01-01T12:00:00Z", "keep-weekly 2016-W52" },
	};

	start("2030-01-01T00:00:00Z");
	rule("keep-weekly", 50);
	for (size_t i = 0; i < 5; i++)
		add(days[i][0]);
	judge();
	for (size_t i = 0; i < 5; i++)
		ck_assert_str_eq(why(i), days[i][1]);
}
END_TEST

START_TEST(within_counts_back_from_the_newest)
{
	start("2026-12-01T00:00:00Z");
	within("keep-within", "1m");
	add("2026-03-31T12:00:00Z");
	add("2026-03-03T12:00:01Z");
	add("2026-03-03T12:00:00Z");
	add("2026-03-02T12:00:00Z");
	ck_assert_uint_eq(judge(), 2);
	ck_assert(kept(0) && kept(1));
	ck_assert_str_eq(why(1), "keep-within 1m");
}
END_TEST

START_TEST(the_future_takes_no_slot)
{
	start("2026-06-01T00:00:00Z");
	rule("keep-last", 2);
	within("keep-within", "1d");
	add("2099-01-01T00:00:00Z");
	add("2026-05-31T00:00:00Z");
	add("2026-05-30T12:00:00Z");
	add("2026-05-29T00:00:00Z");
	ck_assert_uint_eq(judge(), 3);
	ck_assert_str_eq(why(0), "future");
	ck_assert_str_eq(why(1), "keep-last 1, keep-within 1d");
	ck_assert(!kept(3));
}
END_TEST

/* Whatever the rules, an impossible time changes nothing for the others. */
START_TEST(poisoned_times_change_no_other_decision)
{
	for (unsigned int kind = 0; kind < RETENTION_TAGS; kind++) {
		for (int64_t count = 1; count < 40; count += 6) {
			bool before[30];
			struct err e;
			char text[8];

			start("2026-06-01T00:00:00Z");
			(void)snprintf(text, sizeof(text), "%dd", (int)count);
			if (retention_kind_value((enum retention_kind)kind) ==
			    RETENTION_COUNT)
				ck_ok(retention_add_count(
					&w.policy, (enum retention_kind)kind,
					count, &e));
			else
				ck_ok(retention_add_duration(
					&w.policy, (enum retention_kind)kind,
					text, &e));
			for (int i = 0; i < 30; i++)
				add_at((struct instant){
					w.now.sec - 40000 * (i + 1), 0 });
			judge();
			for (size_t i = 0; i < 30; i++)
				before[i] = kept(i);
			add("2099-01-01T00:00:00Z");
			add("1970-01-01T00:00:00Z");
			add("1970-01-05T00:00:00Z");
			judge();
			for (size_t i = 0; i < 30; i++)
				ck_assert_msg(kept(i) == before[i],
					      "%s %s: snapshot %zu", text,
					      retention_kind_name((
						      enum retention_kind)kind),
					      i);
			ck_assert(kept(30));
		}
	}
}
END_TEST

START_TEST(complete_beats_partial_within_a_bucket)
{
	start("2026-06-01T00:00:00Z");
	rule("keep-daily", 2);
	add("2026-05-31T10:00:00Z");
	add("2026-05-31T12:00:00Z");
	w.s[1].complete = false;
	add("2026-05-30T10:00:00Z");
	add("2026-05-30T12:00:00Z");
	w.s[2].complete = w.s[3].complete = false;
	ck_assert_uint_eq(judge(), 2);
	ck_assert(kept(0) && kept(3));
}
END_TEST

START_TEST(ad_hoc_snapshots_never_expire)
{
	start("2026-06-01T00:00:00Z");
	rule("keep-last", 1);
	add("2026-05-31T10:00:00Z");
	w.s[0].ad_hoc = true;
	add("2026-05-30T10:00:00Z");
	add("2026-05-29T10:00:00Z");
	ck_assert_uint_eq(judge(), 2);
	ck_assert_str_eq(why(0), "ad-hoc");
	ck_assert_str_eq(why(1), "keep-last 1");
}
END_TEST

START_TEST(buckets_follow_the_policys_zone)
{
	struct zone *z = zonefile_load("Pacific/Auckland");

	start("2026-06-01T00:00:00Z");
	rule("keep-daily", 5);
	w.policy.zone = z;
	add("2026-01-01T10:30:00Z");
	add("2026-01-01T11:30:00Z");
	judge();
	ck_assert_str_eq(why(0), "keep-daily 2026-01-01");
	ck_assert_str_eq(why(1), "keep-daily 2026-01-02");
	w.policy.zone = zone_utc();
	judge();
	ck_assert_str_eq(why(0), "keep-daily 2026-01-01 (oldest)");
	zone_free(z);
}
END_TEST

START_TEST(equal_times_are_ordered_by_id)
{
	start("2026-06-01T00:00:00Z");
	rule("keep-last", 1);
	add("2026-05-31T10:00:00Z");
	add("2026-05-31T10:00:00Z");
	judge();
	ck_assert(kept(0) && !kept(1));
	w.s[0].id = "s001";
	w.s[1].id = "s000";
	judge();
	ck_assert(kept(1) && !kept(0));
}
END_TEST

/* Kwajalein lived 23 hours of 1969 twice: their buckets stand apart. */
START_TEST(a_repeated_hour_is_one_bucket)
{
	struct zone *z = zonefile_load("Pacific/Kwajalein");
	size_t distinct = 0;

	start("2026-06-01T00:00:00Z");
	rule("keep-hourly", 1000);
	w.policy.zone = z;
	for (int64_t t = at("1969-09-29T00:00:00Z").sec;
	     t < at("1969-10-02T00:00:00Z").sec; t += 3600)
		add_at((struct instant){ t, 0 });
	for (size_t i = 0; i < w.n; i++) {
		const int64_t hour = zone_to_local(z, w.s[i].received.sec) /
				     3600;
		size_t k = i + 1;

		while (k < w.n &&
		       zone_to_local(z, w.s[k].received.sec) / 3600 != hour)
			k++;
		distinct += k == w.n;
	}
	ck_assert_uint_lt(distinct, w.n - 20);
	ck_assert_uint_eq(judge(), distinct);
	zone_free(z);
}
END_TEST

/* Hours 1 and 2 come twice, one after the other: 1, 2, 1, 2. */
START_TEST(of_hours_that_come_twice_the_newest_is_kept)
{
	struct zone *z = zonefile_load("Antarctica/Troll");
	const int64_t first = at("2026-10-24T22:15:00Z").sec;

	start("2026-11-01T00:00:00Z");
	rule("keep-hourly", 1000);
	w.policy.zone = z;
	/* Newest in the second hour 1, or after all of it. */
	for (size_t n = 11; n <= 20; n++) {
		for (w.n = 0; w.n < n;)
			add_at((struct instant){ first + 1200 * (int64_t)w.n,
						 0 });
		judge();
		for (size_t i = 0; i < n; i++) {
			const int64_t hour =
				zone_to_local(z, w.s[i].received.sec) / 3600;
			bool newer = false;

			for (size_t k = i + 1; k < n; k++)
				newer |= zone_to_local(z, w.s[k].received.sec) /
						 3600 ==
					 hour;
			/* The oldest of all is kept as such. */
			ck_assert_msg(kept(i) == (!newer || i == 0),
				      "%zu of %zu: %s", i, n, why(i));
		}
	}
	zone_free(z);
}
END_TEST

START_TEST(the_later_hour_on_the_wall_is_the_newer_bucket)
{
	struct zone *z = zonefile_load("Antarctica/Troll");

	start("2026-11-01T00:00:00Z");
	rule("keep-hourly", 1);
	w.policy.zone = z;
	add("2026-10-25T01:30:00Z"); /* 1:30, the second one */
	add("2026-10-25T00:30:00Z"); /* 2:30, the first one */
	ck_assert_uint_eq(judge(), 1);
	ck_assert_str_eq(why(1), "keep-hourly 2026-10-25T02");
	zone_free(z);
}
END_TEST

START_TEST(hours_before_1970_have_their_names)
{
	struct zone *z = zonefile_load("Europe/Berlin");

	start("2026-06-01T00:00:00Z");
	rule("keep-hourly", -1);
	add("1969-12-31T23:30:00Z");
	add("1969-12-31T00:30:00Z");
	add("1969-12-30T23:30:00Z");
	add("1970-01-01T00:00:00Z");
	judge();
	ck_assert_str_eq(why(0), "keep-hourly 1969-12-31T23");
	ck_assert_str_eq(why(1), "keep-hourly 1969-12-31T00");
	ck_assert_str_eq(why(2), "keep-hourly 1969-12-30T23");
	ck_assert_str_eq(why(3), "keep-hourly 1970-01-01T00");
	w.policy.zone = z;
	judge();
	ck_assert_str_eq(why(3), "keep-hourly 1970-01-01T01");
	zone_free(z);
}
END_TEST

/* Of a time that can be, the oldest is kept beside the oldest of all. */
START_TEST(what_can_be_begins_with_2001)
{
	start("2026-06-01T00:00:00Z");
	rule("keep-yearly", 9);
	add("2001-01-01T00:00:01Z");
	add("2001-01-01T00:00:00Z");
	add("2000-12-31T23:59:59Z");
	add("2000-12-31T23:59:58Z");
	judge();
	ck_assert_str_eq(why(0), "keep-yearly 2001");
	ck_assert_str_eq(why(1), "keep-yearly 2001 (oldest)");
	ck_assert_str_eq(why(2), "keep-yearly 2000");
	ck_assert_str_eq(why(3), "keep-yearly 2000 (oldest)");
}
END_TEST

START_TEST(a_result_can_be_ended_twice)
{
	start("2026-06-01T00:00:00Z");
	rule("keep-daily", 1);
	add("2026-05-01T00:00:00Z");
	judge();
	retention_result_done(&w.r);
	retention_result_done(&w.r);
	ck_assert_uint_eq(w.r.n, 0);
	ck_assert_uint_eq(w.r.n_reasons, 0);
	ck_assert_ptr_null(w.r.decisions);
}
END_TEST

static int decide(void *arg, struct err *e)
{
	(void)arg;
	retention_result_done(&w.r);
	return retention_decide(&w.policy, w.s, w.n, w.now, &w.r, e);
}

/* With others that are not known, and with these alone. */
static void might(bool others, bool alone, size_t i)
{
	struct err e;

	retention_result_done(&w.r);
	ck_assert_int_eq(
		retention_might_keep(&w.policy, w.s, w.n, w.now, &w.r, &e), 0);
	ck_assert_int_eq(kept(i), others);
	(void)judge();
	ck_assert_int_eq(kept(i), alone);
}

/* A newer one than these makes the complete one too old to beat it. */
START_TEST(a_partial_one_might_be_kept_with_others)
{
	size_t partial;

	start("2026-09-21T12:00:00Z");
	within("keep-within-monthly", "1y");
	add("2026-09-17T11:00:00Z");
	add("2025-09-17T18:00:00Z");
	partial = add("2025-09-18T08:00:00Z");
	w.s[partial].complete = false;
	might(true, false, partial);
	/* Too young for that: none can be that new. */
	w.s[1].received = at("2025-09-27T18:00:00Z");
	w.s[partial].received = at("2025-09-28T08:00:00Z");
	might(false, false, partial);
}
END_TEST

/* 31 March minus one month is 3 March, 1 April minus one month 1 March. */
START_TEST(a_newer_one_may_reach_further_back)
{
	size_t old;

	start("2026-04-01T00:00:00Z");
	within("keep-within", "1m");
	old = add("2026-03-02T00:00:00Z");
	add("2026-03-31T12:00:00Z");
	might(true, false, old);
	w.now = at("2026-03-31T23:59:59Z");
	might(false, false, old);
	w.now = at("2026-04-20T00:00:00Z");
	might(true, false, old);
	w.s[old].received = at("2026-03-01T00:00:00Z");
	might(false, false, old);
	/* What is known is the newest that counts. */
	add("2026-04-01T00:00:00Z");
	w.s[old].received = at("2026-03-01T00:00:01Z");
	might(true, true, old);
}
END_TEST

/* When a clock is set back the cutoff is, too. */
START_TEST(a_clock_that_is_set_back_reaches_further_back)
{
	struct zone *z = zonefile_load("Europe/Berlin");
	size_t old;

	start("2026-10-25T01:20:00Z");
	within("keep-within", "1d");
	w.policy.zone = z;
	old = add("2026-10-24T00:30:00Z");
	add("2026-10-25T00:50:00Z");
	might(true, false, old);
	w.now = at("2026-10-25T00:59:59Z");
	might(false, false, old);
	zone_free(z);
}
END_TEST

START_TEST(without_memory_nothing_is_decided)
{
	struct zone *z = zonefile_load("Antarctica/Troll");

	start("2026-11-01T00:00:00Z");
	rule("keep-hourly", 100);
	rule("keep-last", 100);
	w.policy.zone = z;
	/* Buckets that have to be sorted, and many reasons. */
	for (int64_t i = 0; i < 70; i++)
		add_at((struct instant){
			at("2026-10-25T02:00:00Z").sec - 600 * i, 0 });
	ck_assert_uint_ge(alloc_fail_each(decide, NULL), 10);
	zone_free(z);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, names_and_values_are_checked);
	tcase_add_test(tc, of_all_no_place_is_told);
	tcase_add_test(tc, every_rule_names_its_bucket);
	tcase_add_test(tc, an_empty_rule_set_keeps_everything);
	tcase_add_test(tc, a_single_tag_is_a_rule);
	tcase_add_test(tc, minus_one_keeps_each_bucket);
	tcase_add_test(tc, counts_left_keep_the_oldest);
	tcase_add_test(tc, three_weeks_off_lose_nothing);
	tcase_add_test(tc, iso_weeks_across_new_year);
	tcase_add_test(tc, week_years_are_their_thursdays);
	tcase_add_test(tc, within_counts_back_from_the_newest);
	tcase_add_test(tc, the_future_takes_no_slot);
	tcase_add_test(tc, poisoned_times_change_no_other_decision);
	tcase_add_test(tc, complete_beats_partial_within_a_bucket);
	tcase_add_test(tc, ad_hoc_snapshots_never_expire);
	tcase_add_test(tc, buckets_follow_the_policys_zone);
	tcase_add_test(tc, equal_times_are_ordered_by_id);
	tcase_add_test(tc, a_repeated_hour_is_one_bucket);
	tcase_add_test(tc, of_hours_that_come_twice_the_newest_is_kept);
	tcase_add_test(tc, the_later_hour_on_the_wall_is_the_newer_bucket);
	tcase_add_test(tc, hours_before_1970_have_their_names);
	tcase_add_test(tc, what_can_be_begins_with_2001);
	tcase_add_test(tc, a_result_can_be_ended_twice);
	tcase_add_test(tc, a_partial_one_might_be_kept_with_others);
	tcase_add_test(tc, a_newer_one_may_reach_further_back);
	tcase_add_test(tc, a_clock_that_is_set_back_reaches_further_back);
	tcase_add_test(tc, without_memory_nothing_is_decided);
}
CHECK_MAIN("schedules/retention", cases)

/*
 * Retention against a slow rewriting of its prose: labels by strftime() in
 * the C library's zone, each bucket found by comparing labels, no sorting.
 */
#include "schedules/retention.h"

#include <stdio.h>
#include <string.h>

#include "tests/support/check_main.h"
#include "tests/support/libc_zone.h"
#include "tests/support/random.h"
#include "tests/support/zonefile.h"

#define MAX_N 48
#define DAY   INT64_C(86400)

static const char *const names[RETENTION_RULES] = {
	"keep-last",	      "keep-hourly",	     "keep-daily",
	"keep-weekly",	      "keep-monthly",	     "keep-yearly",
	"keep-within",	      "keep-within-hourly",  "keep-within-daily",
	"keep-within-weekly", "keep-within-monthly", "keep-within-yearly",
	"keep-tags",
};

static const char *const all_tags[] = { "gold", "tier=1", "x" };

struct world {
	struct retention_policy policy;
	struct retention_snapshot s[MAX_N];
	char ids[MAX_N][8];
	const char *tags[MAX_N][3];
	size_t n;
	struct instant now;
	/* What the slow way says: a sorted set of reasons for each. */
	char why[MAX_N][1400];
};

static struct world w;

static bool newer(size_t a, size_t b)
{
	const struct retention_snapshot *x = &w.s[a];
	const struct retention_snapshot *y = &w.s[b];

	if (x->received.sec != y->received.sec)
		return x->received.sec > y->received.sec;
	if (x->received.nsec != y->received.nsec)
		return x->received.nsec > y->received.nsec;
	return strcmp(x->id, y->id) < 0;
}

static bool takes_part(size_t i)
{
	return !w.s[i].ad_hoc && (w.s[i].received.sec < w.now.sec ||
				  (w.s[i].received.sec == w.now.sec &&
				   w.s[i].received.nsec <= w.now.nsec));
}

static bool impossible(size_t i)
{
	return w.s[i].received.sec < INT64_C(978307200);
}

static void reason(size_t i, const char *rule, const char *bucket, bool oldest)
{
	const size_t used = strlen(w.why[i]);

	(void)snprintf(w.why[i] + used, sizeof(w.why[i]) - used, "%s %s%s; ",
		       rule, bucket, oldest ? " oldest" : "");
}

static void label(size_t i, enum retention_kind kind, char out[64])
{
	struct tm tm = libc_zone_tm(w.s[i].received.sec);
	size_t place = 1;

	switch ((int)kind % 6) {
	case RETENTION_HOURLY:
		(void)strftime(out, 64, "%Y-%m-%dT%H", &tm);
		return;
	case RETENTION_DAILY:
		(void)strftime(out, 64, "%Y-%m-%d", &tm);
		return;
	case RETENTION_WEEKLY:
		(void)strftime(out, 64, "%G-W%V", &tm);
		return;
	case RETENTION_MONTHLY:
		(void)strftime(out, 64, "%Y-%m", &tm);
		return;
	case RETENTION_YEARLY:
		(void)strftime(out, 64, "%Y", &tm);
		return;
	default:
		for (size_t k = 0; k < w.n; k++)
			place += takes_part(k) && newer(k, i);
		(void)snprintf(out, 64, "%zu", place);
	}
}

/* The members of one rule, and whether it names i as its bucket's best. */
static bool member[MAX_N];
static char labels[MAX_N][64];

static bool is_best(size_t i)
{
	for (size_t k = 0; k < w.n; k++) {
		if (k == i || !member[k] || strcmp(labels[k], labels[i]) != 0)
			continue;
		if (w.s[k].complete && !w.s[i].complete)
			return false;
		if (w.s[k].complete == w.s[i].complete && newer(k, i))
			return false;
	}
	return true;
}

/* How many buckets are newer than i's: those of newer members. */
static int64_t buckets_before(size_t i)
{
	int64_t count = 0;

	for (size_t k = 0; k < w.n; k++) {
		bool first = member[k] && newer(k, i) &&
			     strcmp(labels[k], labels[i]) != 0;

		/* Count a label at its newest member. */
		for (size_t j = 0; first && j < w.n; j++)
			if (member[j] && newer(j, k) &&
			    strcmp(labels[j], labels[k]) == 0)
				first = false;
		count += first;
	}
	return count;
}

/* The oldest of all that take part, or of those with a possible time. */
static size_t oldest(bool possible)
{
	size_t best = MAX_N;

	for (size_t i = 0; i < w.n; i++)
		if (takes_part(i) && !(possible && impossible(i)) &&
		    (best == MAX_N || newer(best, i)))
			best = i;
	return best;
}

static bool counts_left(size_t i, int64_t count, const bool *kept)
{
	int64_t used = 0;

	if (i == MAX_N || !member[i] || kept[i])
		return false;
	/* Buckets with a member no older than i. */
	for (size_t k = 0; k < w.n; k++) {
		bool first = member[k] && !newer(i, k);

		for (size_t j = 0; first && j < w.n; j++)
			if (member[j] && newer(j, k) &&
			    strcmp(labels[j], labels[k]) == 0)
				first = false;
		used += first;
	}
	return count < 0 || used < count;
}

static void slow_buckets(enum retention_kind kind, int64_t count,
			 const char *within)
{
	bool kept[MAX_N] = { false };
	size_t last;

	if (kind == RETENTION_LAST && count < 0)
		within = "all";
	for (size_t i = 0; i < w.n; i++)
		if (member[i])
			label(i, kind, labels[i]);
	for (size_t i = 0; i < w.n; i++)
		kept[i] = member[i] && is_best(i) &&
			  (count < 0 || buckets_before(i) < count);
	for (size_t i = 0; i < w.n; i++)
		if (kept[i])
			reason(i, names[kind], *within ? within : labels[i],
			       false);
	for (int possible = 1; possible >= 0; possible--) {
		last = oldest(possible);
		if (!counts_left(last, count, kept))
			continue;
		kept[last] = true;
		reason(last, names[kind], *within ? within : labels[last],
		       true);
	}
}

static struct instant slow_cutoff(struct duration d)
{
	struct instant cutoff;
	size_t newest = MAX_N;
	struct tm tm;
	time_t wall;

	for (size_t i = 0; i < w.n; i++)
		if (takes_part(i) && (newest == MAX_N || newer(i, newest)))
			newest = i;
	if (newest == MAX_N)
		return (struct instant){ 0, 0 };
	tm = libc_zone_tm(w.s[newest].received.sec);
	tm.tm_year -= d.years;
	tm.tm_mon -= d.months;
	tm.tm_mday -= 7 * d.weeks + d.days;
	wall = timegm(&tm);
	cutoff = w.s[newest].received;
	if (d.years || d.months || d.weeks || d.days)
		cutoff.sec = libc_zone_instant(wall);
	cutoff.sec -= d.hours * INT64_C(3600);
	return cutoff;
}

static bool can_keep(const struct retention_rule *r)
{
	return r->kind == RETENTION_TAGS    ? r->n_tags > 0
	       : r->kind < RETENTION_WITHIN ? r->count != 0
					    : true;
}

static void slow_rule(const struct retention_rule *r)
{
	char within[DURATION_TEXT] = "";
	struct instant cutoff = { INT64_MIN, 0 };

	if (r->kind == RETENTION_TAGS) {
		for (size_t i = 0; i < w.n; i++)
			for (size_t t = 0; takes_part(i) && t < r->n_tags; t++)
				for (size_t k = 0; k < w.s[i].n_tags; k++)
					if (strcmp(r->tags[t],
						   w.s[i].tags[k]) == 0)
						reason(i, names[r->kind],
						       r->tags[t], false);
		return;
	}
	if (r->kind >= RETENTION_WITHIN)
		cutoff = slow_cutoff(r->within);
	if (r->kind == RETENTION_WITHIN)
		duration_format(r->within, within);
	for (size_t i = 0; i < w.n; i++)
		member[i] = takes_part(i) &&
			    (w.s[i].received.sec > cutoff.sec ||
			     (w.s[i].received.sec == cutoff.sec &&
			      w.s[i].received.nsec > cutoff.nsec));
	slow_buckets(r->kind, r->kind < RETENTION_WITHIN ? r->count : -1,
		     within);
}

static void slow(void)
{
	bool any = false;

	for (size_t i = 0; i < w.policy.n_rules; i++)
		any = any || can_keep(&w.policy.rules[i]);
	memset(w.why, 0, sizeof(w.why));
	for (size_t i = 0; i < w.n; i++) {
		if (w.s[i].ad_hoc)
			reason(i, "ad-hoc", "", false);
		else if (!takes_part(i))
			reason(i, "future", "", false);
		else if (!any)
			reason(i, "no-rules", "", false);
	}
	for (size_t i = 0; any && i < w.policy.n_rules; i++)
		if (can_keep(&w.policy.rules[i]))
			slow_rule(&w.policy.rules[i]);
}

static void fast(const struct retention_result *res, size_t i, char *out,
		 size_t room)
{
	const struct retention_decision *d = &res->decisions[i];
	size_t used = 0;

	out[0] = '\0';
	ck_assert_int_eq(d->keep, d->n_reasons > 0);
	for (uint32_t k = 0; k < d->n_reasons; k++) {
		const struct retention_reason *r =
			&res->reasons[d->reasons + k];
		char bucket[RETENTION_BUCKET_TEXT];

		retention_bucket_format(&w.policy, r, bucket);
		used += (size_t)snprintf(out + used, room - used, "%s %s%s; ",
					 retention_kind_name(r->kind), bucket,
					 r->oldest ? " oldest" : "");
	}
}

/* Snapshots as timetables make them, in clusters, with gaps, ties, lies. */
static void draw_snapshots(struct random *r)
{
	const int64_t steps[] = {
		60, 600, 3600, 43200, DAY, 7 * DAY, 30 * DAY
	};
	const int64_t step = steps[random_below(r, 7)];
	int64_t t = 1000000020 + (int64_t)random_below(r, 20000000) * 60;

	w.n = random_below(r, MAX_N + 1);
	for (size_t i = 0; i < w.n; i++) {
		struct retention_snapshot *s = &w.s[i];

		(void)snprintf(w.ids[i], sizeof(w.ids[i]), "%02x%zu",
			       (unsigned int)random_below(r, 256), i);
		*s = (struct retention_snapshot){
			.id = w.ids[i],
			.received = { t, random_below(r, 8) ? 0 : 500 },
			.complete = random_below(r, 6) > 0,
			.ad_hoc = random_below(r, 15) == 0,
			.tags = w.tags[i],
		};
		for (size_t k = 0; k < 3; k++)
			if (random_below(r, 6) == 0)
				w.tags[i][s->n_tags++] = all_tags[k];
		if (random_below(r, 40) == 0)
			s->received.sec = (int64_t)random_below(r, 30) * DAY;
		if (random_below(r, 4))
			t -= step;
		else
			t -= (int64_t)random_below(r, 3) * step * 5 + 60;
		if (t < 979000020)
			t = 1500000000;
	}
	w.now = (struct instant){
		1000000020 + (int64_t)random_below(r, 22000000) * 60,
		random_below(r, 2) ? 0 : 700
	};
	if (random_below(r, 2) && w.n)
		w.now = w.s[random_below(r, w.n)].received;
}

static void draw_policy(struct random *r)
{
	const unsigned int chance = 1 + (unsigned int)random_below(r, 8);
	const struct zone *z = w.policy.zone;
	struct err e;

	w.policy = (struct retention_policy){ .zone = z };
	for (unsigned int k = 0; k < RETENTION_RULES; k++) {
		const enum retention_kind kind = (enum retention_kind)k;
		struct duration d = { .hours = 1 };

		/* Round ones meet a snapshot at their very end. */
		if (random_below(r, 2))
			d = (struct duration){
				.years = (int32_t)random_below(r, 2),
				.months = (int32_t)random_below(r, 4),
				.weeks = (int32_t)random_below(r, 3),
				.hours = 1 + (int32_t)random_below(r, 30),
			};
		else if (random_below(r, 4))
			d = (struct duration){
				.days = 1 + (int32_t)random_below(r, 9)
			};
		char text[DURATION_TEXT];

		if (random_below(r, 8) >= chance)
			continue;
		duration_format(d, text);
		switch (retention_kind_value(kind)) {
		case RETENTION_COUNT:
			ck_ok(retention_add_count(
				&w.policy, kind,
				(int64_t)random_below(r, 12) - 1, &e));
			break;
		case RETENTION_DURATION:
			ck_ok(retention_add_duration(&w.policy, kind, text,
						     &e));
			break;
		case RETENTION_TAG_LIST:
			ck_ok(retention_add_tags(&w.policy, all_tags,
						 random_below(r, 4), &e));
			break;
		}
	}
}

static void shuffle(struct random *r)
{
	const uint64_t how = random_below(r, 3);

	/* Newest first as drawn, oldest first, or any order. */
	for (size_t i = 0; how && i < w.n; i++) {
		const size_t k = how == 1 ? w.n - 1 - i : random_below(r, w.n);
		struct retention_snapshot t = w.s[i];

		if (how == 1 && k <= i)
			break;
		w.s[i] = w.s[k];
		w.s[k] = t;
	}
}

static void round_of(struct random *r)
{
	CLEANUP(retention_result_done) struct retention_result res = { 0 };
	struct err e;

	draw_snapshots(r);
	draw_policy(r);
	shuffle(r);
	ck_ok(retention_decide(&w.policy, w.s, w.n, w.now, &res, &e));
	slow();
	ck_assert_uint_eq(res.n, w.n);
	for (size_t i = 0; i < w.n; i++) {
		char got[1400];

		fast(&res, i, got, sizeof(got));
		ck_assert_msg(strcmp(got, w.why[i]) == 0,
			      "snapshot %zu of %zu at %lld:\n is  %s\n not %s",
			      i, w.n, (long long)w.s[i].received.sec, got,
			      w.why[i]);
		if (i > 0)
			ck_assert(newer(res.order[i - 1], res.order[i]));
	}
}

START_TEST(the_slow_way_agrees)
{
	static const char *const zones[] = { "UTC", "Europe/Berlin",
					     "America/New_York", "Asia/Kolkata",
					     "Pacific/Auckland" };
	struct random r = random_seed();

	for (int i = 0; i < 700; i++) {
		const char *name = zones[i % 5];
		CLEANUP(zone_free) struct zone *z = zonefile_load(name);

		libc_zone_set(name);
		w.policy.zone = z;
		round_of(&r);
	}
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, the_slow_way_agrees);
}
CHECK_MAIN("schedules/retention, slowly", cases)

#include "schedules/retention.h"

#include <stdlib.h>
#include <string.h>

#include "schedules/retention_internal.h"

/* 2001-01-01T00:00:00Z: no snapshot of ours can be older. */
#define EARLIEST_REAL_S INT64_C(978307200)

#define HOUR_S INT64_C(3600)

/* A reason on its way to the snapshot that it belongs to. */
struct finding {
	size_t snapshot;
	struct retention_reason reason;
};

/*
 * The snapshots that take part, newest first, by place: place 0 is the
 * newest.  Those at `real` and after it have a time that cannot be.
 */
struct bench {
	const struct retention_policy *policy;
	const struct retention_snapshot *snapshots;
	size_t *at; /* place to index */
	size_t n;
	size_t real;
	bool is_open; /* there may be others, received by then */
	struct instant now;
	int64_t *hours; /* on the wall, since 1970, by place */
	int64_t *keys;	/* the current rule's bucket, by place */
	size_t *walk;	/* places, newest bucket first */
	struct finding *found;
	size_t n_found, cap_found;
};

static void bench_done(struct bench *b)
{
	free(b->at);
	free(b->hours);
	free(b->keys);
	free(b->walk);
	free(b->found);
}

void retention_result_done(struct retention_result *r)
{
	free(r->decisions);
	free(r->order);
	free(r->reasons);
	*r = (struct retention_result){ .n = 0 };
}

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

/* Newest first; the same time by id. */
static int newer_first(const struct retention_snapshot *a,
		       const struct retention_snapshot *b)
{
	const int order = instant_compare(b->received, a->received);

	return order ? order : strcmp(a->id, b->id);
}

static int compare_indices(const void *a, const void *b, void *arg)
{
	const struct retention_snapshot *s = *(
		const struct retention_snapshot **)arg;
	const size_t i = *(const size_t *)a;
	const size_t j = *(const size_t *)b;
	const int order = newer_first(&s[i], &s[j]);

	return order ? order : (i > j) - (i < j);
}

/* Catalogs list by time already: look before sorting. */
static void sort_newest_first(const struct retention_snapshot *s, size_t n,
			      size_t *order)
{
	size_t falling = 1;
	size_t rising = 1;

	for (size_t i = 1; i < n; i++) {
		const int c = newer_first(&s[i - 1], &s[i]);

		falling += c <= 0;
		rising += c > 0;
	}
	for (size_t i = 0; i < n; i++)
		order[i] = rising == n ? n - 1 - i : i;
	if (rising < n && falling < n)
		qsort_r(order, n, sizeof(*order), compare_indices, &s);
}

static int report(struct bench *b, size_t snapshot,
		  struct retention_reason reason, struct err *e)
{
	if (b->n_found == b->cap_found) {
		const size_t cap = b->cap_found ? b->cap_found * 2 : 64;
		struct finding *more = reallocarray(b->found, cap,
						    sizeof(*more));

		if (!more)
			return err_oom(e);
		b->found = more;
		b->cap_found = cap;
	}
	b->found[b->n_found++] = (struct finding){ snapshot, reason };
	return 0;
}

/*
 * The bucket's number from the hour; the last day's answer is kept, for
 * neighbours mostly share it.
 */
struct calendar {
	int64_t day;
	int64_t key;
	bool valid;
};

static int64_t bucket_number(enum retention_bucket bucket, int64_t hour,
			     struct calendar *cache)
{
	const int64_t day = floor_div(hour, 24);
	int64_t year;
	unsigned int month;
	unsigned int mday;

	if (bucket == BUCKET_HOUR)
		return hour;
	if (bucket == BUCKET_DAY)
		return day;
	if (bucket == BUCKET_WEEK)
		return floor_div(day + 3, 7);
	if (!cache->valid || cache->day != day) {
		instant_civil_from_days(day, &year, &month, &mday);
		if (bucket == BUCKET_YEAR)
			month = 1;
		*cache = (struct calendar){
			day, instant_days_from_civil(year, month, 1), true
		};
	}
	return cache->key;
}

struct keyed {
	int64_t key;
	size_t place;
};

static int by_bucket(const void *a, const void *b)
{
	const struct keyed *x = a;
	const struct keyed *y = b;

	if (x->key != y->key)
		return x->key > y->key ? -1 : 1;
	return (x->place > y->place) - (x->place < y->place);
}

/*
 * Where the wall clock was set back by more than it fits into a bucket, a
 * bucket's snapshots do not stand together: bring them together.
 */
static int sort_buckets(struct bench *b, size_t n, struct err *e)
{
	struct keyed *sorted = calloc(n, sizeof(*sorted));

	if (!sorted)
		return err_oom(e);
	for (size_t i = 0; i < n; i++)
		sorted[i] = (struct keyed){ b->keys[i], i };
	qsort(sorted, n, sizeof(*sorted), by_bucket);
	for (size_t i = 0; i < n; i++)
		b->walk[i] = sorted[i].place;
	free(sorted);
	return 0;
}

/* Number the first n places' buckets and line them up, newest first. */
static int cut_buckets(struct bench *b, enum retention_bucket bucket, size_t n,
		       struct err *e)
{
	struct calendar cache = { .valid = false };
	bool falling = true;

	for (size_t i = 0; i < n; i++) {
		b->keys[i] = bucket == BUCKET_EACH
				     ? -(int64_t)i
				     : bucket_number(bucket, b->hours[i],
						     &cache);
		b->walk[i] = i;
		falling = falling && (i == 0 || b->keys[i] <= b->keys[i - 1]);
	}
	return falling ? 0 : sort_buckets(b, n, e);
}

/* The newest complete one of a bucket, else its newest. */
static size_t winner(const struct bench *b, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		if (b->snapshots[b->at[b->walk[i]]].complete)
			return b->walk[i];
	return b->walk[from];
}

/* One rule over the first n places, while counts are left. */
struct tally {
	struct retention_reason reason;
	int64_t left;	     /* buckets that may still be kept */
	int64_t left_real;   /* the same once all real ones were seen */
	bool kept_last;	     /* the oldest place */
	bool kept_last_real; /* the oldest real place */
};

static int keep_place(struct bench *b, struct tally *t, size_t place, size_t n,
		      struct err *e)
{
	struct retention_reason r = t->reason;

	t->kept_last |= place + 1 == n;
	t->kept_last_real |= place + 1 == b->real;
	if (r.kind == RETENTION_LAST)
		r.bucket = (int64_t)place + 1;
	else if (r.kind != RETENTION_WITHIN)
		r.bucket = b->keys[place];
	return report(b, b->at[place], r, e);
}

static int keep_buckets(struct bench *b, struct tally *t, size_t n,
			struct err *e)
{
	size_t to;

	t->left_real = t->left;
	for (size_t from = 0; from < n && t->left > 0; from = to) {
		const int64_t key = b->keys[b->walk[from]];

		to = from + 1;
		while (to < n && b->keys[b->walk[to]] == key)
			to++;
		if (keep_place(b, t, winner(b, from, to), n, e))
			return -1;
		t->left--;
		if (b->walk[from] < b->real)
			t->left_real--;
	}
	return 0;
}

/* Of a keep-within rule, the clause is about the oldest of all, if younger. */
static int keep_oldest(struct bench *b, struct tally *t, size_t n,
		       struct err *e)
{
	t->reason.oldest = true;
	if (b->real > 0 && b->real <= n && !t->kept_last_real &&
	    t->left_real > 0 && keep_place(b, t, b->real - 1, n, e))
		return -1;
	if (n == b->n && n > 0 && !t->kept_last && t->left > 0)
		return keep_place(b, t, n - 1, n, e);
	return 0;
}

static int apply_buckets(struct bench *b, struct tally *t, size_t n,
			 struct err *e)
{
	if (cut_buckets(b, retention_bucket_of(t->reason.kind), n, e) ||
	    keep_buckets(b, t, n, e))
		return -1;
	return keep_oldest(b, t, n, e);
}

/* Some changes of a clock after the newest snapshot: two a year. */
enum { CHANGES_MAX = 4 };

/* Of the cutoff, and of what it would be with a newer snapshot of then. */
static void earlier(const struct bench *b, const struct retention_rule *r,
		    int64_t sec, struct instant *io)
{
	const struct instant t = { .sec = sec };
	struct instant cutoff;

	if (instant_compare(t, b->now) > 0)
		return;
	cutoff = duration_before(t, r->within, b->policy->zone);
	if (instant_compare(cutoff, *io) < 0)
		*io = cutoff;
}

static int64_t next_month(const struct zone *z, int64_t sec)
{
	int64_t year;
	unsigned int month;
	unsigned int mday;
	int64_t utc_s;

	instant_civil_from_days(floor_div(zone_to_local(z, sec), 24 * HOUR_S),
				&year, &month, &mday);
	year += month == 12;
	month = month % 12 + 1;
	(void)zone_from_local(
		z, instant_days_from_civil(year, month, 1) * 24 * HOUR_S,
		&utc_s);
	return utc_s;
}

/*
 * What is younger is received after it.  The later the newest, the later it is,
 * but at the beginning of a month, and where a clock was set back: with others
 * it may be what it is with one of those moments.
 */
static struct instant cutoff_of(const struct bench *b,
				const struct retention_rule *r)
{
	const struct zone *z = b->policy->zone;
	const struct instant newest = b->snapshots[b->at[0]].received;
	struct instant cutoff = duration_before(newest, r->within, z);
	struct zone_span sp;

	if (!b->is_open || instant_compare(newest, b->now) >= 0)
		return cutoff;
	earlier(b, r, next_month(z, newest.sec), &cutoff);
	sp = zone_span(z, newest.sec);
	for (int i = 0; i < CHANGES_MAX && sp.until <= b->now.sec; i++) {
		earlier(b, r, sp.until, &cutoff);
		sp = zone_span(z, sp.until);
	}
	return cutoff;
}

/* The first place that is not younger than that. */
static size_t younger(const struct bench *b, struct instant cutoff)
{
	size_t lo = 0;
	size_t hi = b->n;

	while (lo < hi) {
		const size_t mid = lo + (hi - lo) / 2;
		const struct instant t = b->snapshots[b->at[mid]].received;

		if (instant_compare(t, cutoff) > 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/*
 * By a later cutoff a bucket's complete ones may be too old, and the newest,
 * which is partial, is its winner.  Four days are more than the cutoff can be
 * later than that of now.
 */
static int keep_partial(struct bench *b, const struct retention_rule *r,
			struct tally *t, size_t n, struct err *e)
{
	struct instant latest = duration_before(b->now, r->within,
						b->policy->zone);
	size_t to;

	latest.sec += HOUR_S * 4 * 24;
	for (size_t from = 0; from < n; from = to) {
		const int64_t key = b->keys[b->walk[from]];
		size_t won;

		to = from + 1;
		while (to < n && b->keys[b->walk[to]] == key)
			to++;
		won = winner(b, from, to);
		if (won != b->walk[from] &&
		    instant_compare(b->snapshots[b->at[won]].received,
				    latest) <= 0 &&
		    keep_place(b, t, b->walk[from], n, e))
			return -1;
	}
	return 0;
}

static int apply_duration(struct bench *b, const struct retention_rule *r,
			  struct tally *t, struct err *e)
{
	const size_t n = younger(b, cutoff_of(b, r));

	if (apply_buckets(b, t, n, e))
		return -1;
	t->reason.oldest = false;
	return b->is_open ? keep_partial(b, r, t, n, e) : 0;
}

static bool has_tag(const struct retention_snapshot *s, const char *tag)
{
	for (size_t i = 0; i < s->n_tags; i++)
		if (strcmp(s->tags[i], tag) == 0)
			return true;
	return false;
}

static int apply_tags(struct bench *b, const struct retention_rule *r,
		      struct retention_reason reason, struct err *e)
{
	for (size_t i = 0; i < b->n; i++) {
		for (size_t k = 0; k < r->n_tags; k++) {
			reason.bucket = (int64_t)k;
			if (has_tag(&b->snapshots[b->at[i]], r->tags[k]) &&
			    report(b, b->at[i], reason, e))
				return -1;
		}
	}
	return 0;
}

static int apply_rule(struct bench *b, uint32_t rule, struct err *e)
{
	const struct retention_rule *r = &b->policy->rules[rule];
	struct tally t = { .reason = { .kind = r->kind, .rule = rule },
			   .left = INT64_MAX };

	if (b->n == 0)
		return 0;
	switch (retention_kind_value(r->kind)) {
	case RETENTION_COUNT:
		if (r->count >= 0)
			t.left = r->count;
		return apply_buckets(b, &t, b->n, e);
	case RETENTION_DURATION:
		return apply_duration(b, r, &t, e);
	case RETENTION_TAG_LIST:
		return apply_tags(b, r, t.reason, e);
	}
	return 0;
}

static bool can_keep(const struct retention_rule *r)
{
	switch (retention_kind_value(r->kind)) {
	case RETENTION_COUNT:
		return r->count != 0;
	case RETENTION_DURATION:
		return !duration_is_zero(r->within);
	case RETENTION_TAG_LIST:
		return r->n_tags > 0;
	}
	return false;
}

static bool any_rule(const struct retention_policy *p)
{
	for (size_t i = 0; i < p->n_rules; i++)
		if (can_keep(&p->rules[i]))
			return true;
	return false;
}

/* Who takes part, in order, and on which hour of the wall each was received. */
static int seat(struct bench *b, const struct retention_result *r,
		struct instant now, struct err *e)
{
	const bool ruled = any_rule(b->policy);
	struct zone_span sp = { 0, 0, 0 };

	for (size_t i = 0; i < r->n; i++) {
		const size_t k = r->order[i];
		const struct retention_snapshot *s = &b->snapshots[k];
		struct retention_reason why = { .kind = RETENTION_NO_RULES };
		int64_t local;

		if (s->ad_hoc)
			why.kind = RETENTION_AD_HOC;
		else if (instant_compare(s->received, now) > 0)
			why.kind = RETENTION_FUTURE;
		if (!ruled || why.kind != RETENTION_NO_RULES) {
			if (report(b, k, why, e))
				return -1;
			continue;
		}
		if (s->received.sec < sp.from || s->received.sec >= sp.until)
			sp = zone_span(b->policy->zone, s->received.sec);
		if (__builtin_add_overflow(s->received.sec, sp.offset_s,
					   &local))
			local = s->received.sec;
		b->real += s->received.sec >= EARLIEST_REAL_S;
		b->hours[b->n] = floor_div(local, HOUR_S);
		b->at[b->n++] = k;
	}
	return 0;
}

/* Gather each snapshot's reasons, in the order of the rules. */
static int deliver(const struct bench *b, struct retention_result *r,
		   struct err *e)
{
	size_t next = 0;

	r->reasons = calloc(b->n_found ? b->n_found : 1, sizeof(*r->reasons));
	if (!r->reasons)
		return err_oom(e);
	r->n_reasons = b->n_found;
	for (size_t i = 0; i < b->n_found; i++)
		r->decisions[b->found[i].snapshot].n_reasons++;
	for (size_t i = 0; i < r->n; i++) {
		struct retention_decision *d = &r->decisions[i];

		d->keep = d->n_reasons > 0;
		d->reasons = next;
		next += d->n_reasons;
		d->n_reasons = 0;
	}
	for (size_t i = 0; i < b->n_found; i++) {
		struct retention_decision *d =
			&r->decisions[b->found[i].snapshot];

		r->reasons[d->reasons + d->n_reasons++] = b->found[i].reason;
	}
	return 0;
}

static int judge(struct bench *b, struct instant now,
		 struct retention_result *r, struct err *e)
{
	/* One more than none, for calloc(0) may return NULL. */
	const size_t n = r->n ? r->n : 1;

	r->decisions = calloc(n, sizeof(*r->decisions));
	r->order = calloc(n, sizeof(*r->order));
	b->at = calloc(n, sizeof(*b->at));
	b->hours = calloc(n, sizeof(*b->hours));
	b->keys = calloc(n, sizeof(*b->keys));
	b->walk = calloc(n, sizeof(*b->walk));
	if (!r->decisions || !r->order || !b->at || !b->hours || !b->keys ||
	    !b->walk)
		return err_oom(e);
	sort_newest_first(b->snapshots, r->n, r->order);
	if (seat(b, r, now, e))
		return -1;
	for (uint32_t i = 0; i < b->policy->n_rules; i++)
		if (apply_rule(b, i, e))
			return -1;
	return deliver(b, r, e);
}

static int decide(struct bench *b, size_t n, struct instant now,
		  struct retention_result *ret, struct err *e)
{
	struct retention_result r = { .n = n };
	const int failed = judge(b, now, &r, e);

	bench_done(b);
	if (failed) {
		retention_result_done(&r);
		return -1;
	}
	*ret = r;
	return 0;
}

int retention_decide(const struct retention_policy *p,
		     const struct retention_snapshot *snapshots, size_t n,
		     struct instant now, struct retention_result *ret,
		     struct err *e)
{
	struct bench b = { .policy = p, .snapshots = snapshots };

	return decide(&b, n, now, ret, e);
}

int retention_might_keep(const struct retention_policy *p,
			 const struct retention_snapshot *snapshots, size_t n,
			 struct instant now, struct retention_result *ret,
			 struct err *e)
{
	struct bench b = {
		.policy = p, .snapshots = snapshots, .is_open = true, .now = now
	};

	return decide(&b, n, now, ret, e);
}

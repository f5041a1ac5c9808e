/*
 * What must be in the ledger of a world (ledger_world.h), and why each row
 * ended as it did, judged between the lives of its daemon from the catalog's
 * tables and by an oracle (cron_oracle.h) of what is due.
 */
#ifndef TESTS_SUPPORT_LEDGER_JUDGE_H
#define TESTS_SUPPORT_LEDGER_JUDGE_H

#include "schedules/cron.h"
#include "tests/support/cron_oracle.h"
#include "tests/support/ledger_world.h"

#define YEAR_S (INT64_C(366) * 86400)

static struct ledger_world *w;

/* ---- What the ledger says ------------------------------------------------ */

struct row {
	int64_t id, at_s, start_s, noted_s, late_s, finished_s, started_s;
	int64_t version;
	char state[16], reason[48];
	/* Its runs. */
	int64_t runs, failed, interrupted, succeeded, alive;
	int64_t first_s, retry_s; /* of the first start, the queued one's */
	char last[16];
};

static struct row *rows;
static size_t n_rows;

static sqlite3_stmt *prepare(sqlite3 *db, const char *select, const char *uid)
{
	sqlite3_stmt *s = NULL;

	ck_assert_msg(sqlite3_prepare_v2(db, select, -1, &s, NULL) == SQLITE_OK,
		      "%s", sqlite3_errmsg(db));
	ck_assert_int_eq(sqlite3_bind_text(s, 1, uid, -1, SQLITE_STATIC),
			 SQLITE_OK);
	return s;
}

/* Microseconds, or NULL, to seconds that have begun. */
static int64_t seconds(sqlite3_stmt *s, int i)
{
	return sqlite3_column_type(s, i) == SQLITE_NULL
		       ? INT64_MIN
		       : ledger_sec(sqlite3_column_int64(s, i) / 1000);
}

static void text(sqlite3_stmt *s, int i, char *out, size_t room)
{
	(void)snprintf(out, room, "%s",
		       (const char *)sqlite3_column_text(s, i));
}

static void read_rows(sqlite3 *db, const char *uid)
{
	sqlite3_stmt *s = prepare(
		db,
		"SELECT o.id, at_us, jittered_us, noted_us, lateness_ms / 1000,"
		" o.finished_us, o.started_us, schedule_version, o.state,"
		" o.reason, count(r.id), sum(r.state = 'failed'),"
		" sum(r.state = 'interrupted'), sum(r.state = 'succeeded'),"
		" sum(r.state = 'running'), min(r.started_us), max(CASE WHEN"
		" r.state = 'queued' THEN not_before_us END), coalesce((SELECT"
		" state FROM runs WHERE occurrence = o.id ORDER BY attempt DESC"
		" LIMIT 1), '') FROM occurrences o LEFT JOIN runs r ON"
		" r.occurrence = o.id WHERE o.schedule_uid = ? GROUP BY o.id"
		" ORDER BY at_us",
		uid);
	size_t room = 0;

	n_rows = 0;
	free(rows);
	rows = NULL;
	while (sqlite3_step(s) == SQLITE_ROW) {
		struct row *r;

		if (n_rows == room) {
			room = room ? 2 * room : 256;
			rows = reallocarray(rows, room, sizeof(*rows));
			ck_assert_ptr_nonnull(rows);
		}
		r = &rows[n_rows++];
		*r = (struct row){
			.id = sqlite3_column_int64(s, 0),
			.at_s = seconds(s, 1),
			.start_s = seconds(s, 2),
			.noted_s = seconds(s, 3),
			.late_s = sqlite3_column_int64(s, 4),
			.finished_s = seconds(s, 5),
			.started_s = seconds(s, 6),
			.version = sqlite3_column_int64(s, 7),
			.runs = sqlite3_column_int64(s, 10),
			.failed = sqlite3_column_int64(s, 11),
			.interrupted = sqlite3_column_int64(s, 12),
			.succeeded = sqlite3_column_int64(s, 13),
			.alive = sqlite3_column_int64(s, 14),
			.first_s = seconds(s, 15),
			.retry_s = seconds(s, 16),
		};
		text(s, 8, r->state, sizeof(r->state));
		text(s, 9, r->reason, sizeof(r->reason));
		text(s, 17, r->last, sizeof(r->last));
	}
	ck_assert_int_eq(sqlite3_finalize(s), SQLITE_OK);
}

/* ---- What the oracle says ------------------------------------------------ */

struct due {
	int64_t *v;
	size_t n;
};
static struct cron_oracle oracle;
static struct due due[LEDGER_SCHEDULES][LEDGER_VERSIONS];
static struct due black[LEDGER_SCHEDULES][LEDGER_VERSIONS];

static void forget_due(void)
{
	for (int i = 0; i < LEDGER_SCHEDULES; i++)
		for (int k = 0; k < LEDGER_VERSIONS; k++) {
			free(due[i][k].v);
			free(black[i][k].v);
			due[i][k] = black[i][k] = (struct due){ .v = NULL };
		}
}

static const struct due *due_of(int i, int k)
{
	struct due *d = &due[i][k];

	if (!d->v)
		d->n = cron_oracle_due(&oracle, &w->s[i].v[k].cron, &d->v);
	return d;
}

/* The first that comes after t. */
static size_t behind(const struct due *d, int64_t t)
{
	size_t lo = 0;
	size_t hi = d->n;

	while (lo < hi) {
		const size_t mid = (lo + hi) / 2;

		if (d->v[mid] > t)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

static bool is_black(int i, int k, int64_t t)
{
	const struct ledger_plan *p = &w->s[i].v[k];
	struct due *d = &black[i][k];
	size_t first;

	if (!p->blackout_s)
		return false;
	if (!d->v)
		d->n = cron_oracle_due(&oracle, &p->blackout, &d->v);
	first = behind(d, t - p->blackout_s);
	return first < d->n && d->v[first] <= t;
}

/* The version by which something is due. */
static int version_at(const struct ledger_schedule *s, int64_t at_s)
{
	int k = s->n - 1;

	while (k > 0 && at_s <= s->v[k].from_s)
		k--;
	return k;
}

/* All that is due in (from, to], by whichever version. */
static struct due due_between(int i, int64_t from, int64_t to)
{
	const struct ledger_schedule *s = &w->s[i];
	struct due all = { .v = NULL };
	size_t room = 0;

	for (int k = 0; k < s->n; k++) {
		const struct due *d = due_of(i, k);

		for (size_t x = behind(d, from); x < d->n && d->v[x] <= to;
		     x++) {
			if (version_at(s, d->v[x]) != k)
				continue;
			if (all.n == room) {
				room = room ? 2 * room : 256;
				all.v = reallocarray(all.v, room,
						     sizeof(*all.v));
				ck_assert_ptr_nonnull(all.v);
			}
			all.v[all.n++] = d->v[x];
		}
	}
	return all;
}

/* ---- Judging ------------------------------------------------------------- */

static const char *when(int64_t t)
{
	static char texts[4][40];
	static unsigned int next;
	char *out = texts[next++ % 4];
	const struct tm tm = libc_zone_tm(t);

	(void)strftime(out, sizeof(texts[0]), "%Y-%m-%d %H:%M:%S%z", &tm);
	return out;
}

#define must(i, condition, ...)                                  \
	do {                                                     \
		char what[700];                                  \
                                                                 \
		if (condition)                                   \
			break;                                   \
		(void)snprintf(what, sizeof(what), __VA_ARGS__); \
		broken(i, what);                                 \
	} while (0)

static void broken(int i, const char *what)
{
	char spec[1500];

	ledger_spec(w, &w->s[i].v[w->s[i].n - 1], spec, sizeof(spec));
	ck_abort_msg("SNAPCTL_TEST_SEED=%" PRIu64 ": %s in %s, version %d\n"
		     "  %s\n  life %ju, now %s, by the wall %s: %s",
		     w->seed, w->s[i].name, w->zone, w->s[i].n, spec,
		     (uintmax_t)w->lives, when(ledger_sec(w->time_ms)),
		     when(ledger_sec(ledger_wall(w))), what);
}

#define ROW   "%s noted %s %s(%s): "
#define OF(r) when((r)->at_s), when((r)->noted_s), (r)->state, (r)->reason

static int64_t start_of(int i, const struct ledger_plan *p, int64_t at_s)
{
	return at_s +
	       cron_jitter_ms(w->s[i].uid, at_s, p->jitter_s * 1000) / 1000;
}

static bool has_passed(const struct ledger_plan *p, int64_t start_s,
		       int64_t now_s)
{
	return p->window_s && now_s > start_s + p->window_s;
}

/* The newest of version k that is due by now and may run, or INT64_MIN. */
static int64_t newest(int i, int k, int64_t now_s)
{
	const struct ledger_plan *p = &w->s[i].v[k];
	const struct due *d = due_of(i, k);

	for (size_t x = behind(d, now_s); x-- > 0;) {
		const int64_t start_s = start_of(i, p, d->v[x]);

		if (version_at(&w->s[i], d->v[x]) != k ||
		    d->v[x] + YEAR_S < now_s)
			break;
		if (!is_black(i, k, start_s) && !has_passed(p, start_s, now_s))
			return d->v[x];
	}
	return INT64_MIN;
}

/* How it had to enter the ledger: "missed(window)", or "" to wait. */
static const char *entered(int i, const struct row *r)
{
	const int k = (int)r->version - 1;
	const struct ledger_plan *p = &w->s[i].v[k];
	int64_t now_s = r->noted_s;

	/* A version is accounted for until it is replaced. */
	if (k + 1 < w->s[i].n && w->s[i].v[k + 1].from_s < now_s)
		now_s = w->s[i].v[k + 1].from_s;
	if (p->suspended)
		return "skipped(suspended)";
	if (is_black(i, k, r->start_s))
		return "skipped(blackout)";
	if (has_passed(p, r->start_s, now_s))
		return "missed(window)";
	if (p->catch_up == LEDGER_NONE && now_s - r->start_s > 300)
		return "missed(no-catch-up)";
	if (p->catch_up == LEDGER_ONE && r->at_s < newest(i, k, now_s))
		return "superseded(newer)";
	return "";
}

static void judge_entry(int i, const struct row *r)
{
	const struct ledger_schedule *s = &w->s[i];
	const struct ledger_plan *p;
	const int64_t late_s = r->noted_s - r->start_s;
	const char *want;
	char got[80];

	must(i, r->version >= 1 && r->version <= s->n, ROW "version %jd", OF(r),
	     (intmax_t)r->version);
	p = &s->v[r->version - 1];
	must(i,
	     r->version == version_at(s, r->at_s) + 1 ||
		     r->noted_s < s->v[version_at(s, r->at_s)].from_s,
	     ROW "by version %jd", OF(r), (intmax_t)r->version);
	must(i,
	     r->start_s >= r->at_s &&
		     r->start_s <=
			     r->at_s + (p->jitter_s ? p->jitter_s - 1 : 0) &&
		     r->start_s == start_of(i, p, r->at_s),
	     ROW "starts %s", OF(r), when(r->start_s));
	must(i, r->noted_s >= r->at_s, ROW "before its time", OF(r));
	want = entered(i, r);
	(void)snprintf(got, sizeof(got), "%s(%s)", r->state, r->reason);
	if (*want) {
		must(i, strcmp(got, want) == 0 && r->runs == 0, ROW "is not %s",
		     OF(r), want);
		must(i,
		     (int)r->version < s->n ||
			     r->late_s == (late_s > 0 ? late_s : 0),
		     ROW "late by %jd s", OF(r), (intmax_t)r->late_s);
		return;
	}
	must(i,
	     strcmp(got, "missed(no-catch-up)") != 0 &&
		     strcmp(got, "skipped(blackout)") != 0,
	     ROW "should have run", OF(r));
}

/* Another one that ran, or was about to, at that moment. */
static bool in_the_way(const struct row *r, int64_t at_s, int64_t slack_s)
{
	for (size_t x = 0; x < n_rows; x++) {
		const struct row *o = &rows[x];

		if (o != r && o->runs > 0 && o->first_s - slack_s <= at_s &&
		    (o->finished_s == INT64_MIN ||
		     at_s <= o->finished_s + slack_s))
			return true;
	}
	return false;
}

/* By the oracle: the row may have been forgotten when the clock went back. */
static bool newer_is_due(int i, const struct row *r, int64_t at_s)
{
	for (int k = 0; k < w->s[i].n; k++) {
		const struct due *d = due_of(i, k);

		for (size_t x = behind(d, r->at_s); x < d->n && d->v[x] <= at_s;
		     x++)
			if (start_of(i, &w->s[i].v[k], d->v[x]) <= at_s)
				return true;
	}
	return false;
}

/* Any version of it was so. */
static bool ever(int i, bool (*is)(const struct ledger_plan *p))
{
	for (int k = 0; k < w->s[i].n; k++)
		if (is(&w->s[i].v[k]))
			return true;
	return false;
}

static bool queues(const struct ledger_plan *p)
{
	return p->queue;
}

static bool skips(const struct ledger_plan *p)
{
	return !p->queue;
}

static bool is_suspended(const struct ledger_plan *p)
{
	return p->suspended;
}

static bool has_window(const struct ledger_plan *p)
{
	return p->window_s != 0;
}

static bool is(const struct row *r, const char *state, const char *reason)
{
	return strcmp(r->state, state) == 0 &&
	       (!reason || strcmp(r->reason, reason) == 0);
}

/* Why one that had runs ended as it did. */
static bool ended_rightly(int i, const struct row *r)
{
	if (is(r, "succeeded", NULL))
		return r->succeeded == 1 && strcmp(r->last, "succeeded") == 0;
	if (!is(r, "failed", NULL) || r->succeeded)
		return false;
	if (is(r, "failed", "suspended"))
		return ever(i, is_suspended);
	return strcmp(r->last, "interrupted") == 0
		       ? r->interrupted >= 5
		       : strcmp(r->last, "failed") == 0 &&
				 r->failed > w->s[i].v[0].retries;
}

/* Why one that waited never ran. */
static bool waited_in_vain(int i, const struct row *r)
{
	const int64_t slack_s = w->back_ms / 1000 + 1;

	if (is(r, "missed", "window"))
		return ever(i, has_window) &&
		       (w->s[i].n > 1 ||
			has_passed(&w->s[i].v[0], r->start_s, r->finished_s));
	if (is(r, "skipped", "overlap"))
		return ever(i, skips) && in_the_way(r, r->finished_s, slack_s);
	if (is(r, "superseded", "newer"))
		return ever(i, queues) &&
		       newer_is_due(i, r, r->finished_s + slack_s);
	return is(r, "skipped", "suspended") && ever(i, is_suspended);
}

/* A tick has just done what there was to do. */
static void judge_open(int i, const struct row *r, const struct row *under_way)
{
	const struct ledger_schedule *s = &w->s[i];
	const int64_t now_s = ledger_sec(w->time_ms);

	if (r->alive || under_way)
		return;
	if (r->runs) {
		must(i, r->retry_s > now_s || is_black(i, s->n - 1, now_s),
		     ROW "is not tried again", OF(r));
		return;
	}
	must(i, r->start_s > now_s || is_black(i, s->n - 1, now_s),
	     ROW "waits for nothing", OF(r));
}

static void judge_end(int i, const struct row *r)
{
	if (r->runs) {
		must(i, r->first_s >= r->start_s - w->back_ms / 1000 - 1,
		     ROW "ran before its time", OF(r));
		must(i, is(r, "running", NULL) || ended_rightly(i, r),
		     ROW "after %jd runs, %jd failed, the last %s", OF(r),
		     (intmax_t)r->runs, (intmax_t)r->failed, r->last);
		must(i, r->succeeded <= 1, ROW "done twice", OF(r));
		return;
	}
	must(i, is(r, "due", NULL) || *entered(i, r) || waited_in_vain(i, r),
	     ROW "without a reason at %s, of a story that went back by %jd s",
	     OF(r), when(r->finished_s), (intmax_t)(w->back_ms / 1000));
}

/* The queue has one place; of what is to be caught up all of it waits. */
static int64_t places_to_wait(int i, const struct row *under_way)
{
	const struct ledger_plan *p = &w->s[i].v[0];

	if (p->catch_up == LEDGER_ALL)
		return INT64_MAX;
	return p->queue || !under_way;
}

static void judge_rows(int i, bool settled)
{
	const struct row *under_way = NULL;
	const struct ledger_schedule *s = &w->s[i];
	int64_t running = 0;
	int64_t waiting = 0;
	int64_t alive = 0;

	for (size_t x = 0; x < n_rows; x++) {
		judge_entry(i, &rows[x]);
		judge_end(i, &rows[x]);
		alive += rows[x].alive;
		waiting += is(&rows[x], "due", NULL) &&
			   rows[x].start_s <= ledger_sec(w->time_ms);
		if (!is(&rows[x], "running", NULL))
			continue;
		under_way = &rows[x];
		running++;
	}
	must(i, !settled || s->n > 1 || waiting <= places_to_wait(i, under_way),
	     "%jd wait", (intmax_t)waiting);
	must(i, alive <= 1, "%jd runs at once", (intmax_t)alive);
	must(i, running <= 1, "%jd are under way", (intmax_t)running);
	for (size_t x = 0; x < n_rows && settled; x++)
		if (rows[x].finished_s == INT64_MIN)
			judge_open(i, &rows[x],
				   under_way == &rows[x] ? NULL : under_way);
}

/* What is due is there, and nothing else. */
static void judge_coverage(int i)
{
	struct ledger_schedule *s = &w->s[i];
	struct due want = due_between(i, s->low_s, s->accounted_s);
	size_t x = 0;

	for (size_t k = 0; k < want.n; k++, x++) {
		must(i, x < n_rows && rows[x].at_s <= want.v[k], "%s is lost",
		     when(want.v[k]));
		must(i, rows[x].at_s == want.v[k], ROW "was not due",
		     OF(&rows[x]));
	}
	/* Of times that are to come again there is what ran. */
	for (; x < n_rows; x++) {
		must(i, rows[x].at_s > s->accounted_s && rows[x].runs > 0,
		     ROW "is not due: it is %s to %s", OF(&rows[x]),
		     when(s->low_s), when(s->accounted_s));
		must(i, w->back_ms > 0, ROW "is yet to come", OF(&rows[x]));
	}
	free(want.v);
}

/* How far a tick came that was killed. */
static void resume(int i, bool rewound)
{
	struct ledger_schedule *s = &w->s[i];
	const int64_t now_s = ledger_sec(w->time_ms);

	/* What it was to account for ahead is not for sure. */
	if (rewound && now_s < s->accounted_s)
		s->accounted_s = now_s;
	if (rewound && now_s < s->low_s)
		s->low_s = now_s;
	for (size_t x = n_rows; x-- > 0 && rows[x].at_s > s->accounted_s;)
		if (rows[x].noted_s == now_s && rows[x].at_s <= now_s) {
			s->accounted_s = rows[x].at_s;
			break;
		}
}

/* A death in the middle of an apply. */
static void count_versions(sqlite3 *db, struct ledger_schedule *s)
{
	sqlite3_stmt *q = prepare(
		db, "SELECT version FROM resources WHERE name = ?", s->name);
	int n;

	ck_assert_int_eq(sqlite3_step(q), SQLITE_ROW);
	n = sqlite3_column_int(q, 0);
	ck_assert_int_eq(sqlite3_finalize(q), SQLITE_OK);
	ck_assert(n == s->n || n == s->n - 1);
	s->n = n;
}

static bool was_rewound(sqlite3 *db)
{
	sqlite3_stmt *q = prepare(
		db,
		"SELECT wall_us / 1000, suspicious_us IS NULL FROM clock "
		"WHERE ?1 != ''",
		"x");
	const bool found = w->rewind_ms && sqlite3_step(q) == SQLITE_ROW &&
			   sqlite3_column_int64(q, 0) == w->rewind_ms &&
			   sqlite3_column_int(q, 1);

	ck_assert_int_eq(sqlite3_finalize(q), SQLITE_OK);
	return found;
}

static void cover(void)
{
	const int64_t now_s = ledger_sec(w->time_ms) / 60 * 60;
	int64_t from = oracle.from;
	int64_t until = oracle.until;

	for (int i = 0; i < w->n; i++)
		while (w->s[i].low_s < from + 2 * YEAR_S / 12)
			from -= YEAR_S / 2;
	while (now_s > until - 86400)
		until += YEAR_S / 2;
	if (from == oracle.from && until == oracle.until)
		return;
	cron_oracle_cover(&oracle, from / 60 * 60, until / 60 * 60);
	forget_due();
}

/* What a run's process told is its end, also when nobody was there to hear. */
static void judge_told(sqlite3 *db)
{
	sqlite3_stmt *q = prepare(
		db,
		"SELECT count(*) FROM runs r JOIN run_steps s ON s.run = r.id "
		"WHERE s.step = 'run' AND r.state NOT IN (s.state, 'running') "
		"AND ?1 != ''",
		"x");

	ck_assert_int_eq(sqlite3_step(q), SQLITE_ROW);
	must(0, sqlite3_column_int(q, 0) == 0,
	     "a run of any schedule did not end as it told");
	ck_assert_int_eq(sqlite3_finalize(q), SQLITE_OK);
}

static inline void ledger_judge(bool killed)
{
	sqlite3 *db = NULL;
	bool rewound;

	cover();
	ck_assert_int_eq(sqlite3_open(w->path, &db), SQLITE_OK);
	rewound = killed && w->in_tick && was_rewound(db);
	for (int i = 0; i < w->n; i++) {
		count_versions(db, &w->s[i]);
		read_rows(db, w->s[i].uid);
		if (killed && w->in_tick)
			resume(i, rewound);
		judge_coverage(i);
		judge_rows(i, !killed);
	}
	judge_told(db);
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

#endif

/*
 * The ledger against an oracle that steps through time minute by minute, with
 * local time from the C library: the week around a change of clocks in each
 * of many zones, under kills of the daemon, clock steps of a minute to a year
 * and boots.  What was due is there, once, and became what was promised.
 *
 * A failure prints the seed of its story; SNAPCTL_TEST_SEED repeats it.
 * `./dev time [SECONDS]` tells stories for that long.
 */
#include "tests/support/ledger_judge.h"
#include "tests/support/long_run.h"

#define WEEK_S	   (INT64_C(7) * 86400)
#define FIRST_YEAR 1980
#define RULE_YEAR  2037 /* later ones are all alike, and slow to ask for */
#define LAST_YEAR  2100
/* A tick writes 5000 rows at most: no step makes as many due; nor so many runs
 * that a story does not end. */
#define ROWS_MOST  4000
#define RUNS_MOST  150
#define LIVES_MOST 40

/* ---- A supervisor without children --------------------------------------- */

int __wrap_supervisor_start(struct supervisor *s, int64_t run, pid_t *ret_pid,
			    int64_t *ret_start, struct err *e);
void __wrap_supervisor_go(struct supervisor *s, int64_t run, bool go);
size_t __wrap_supervisor_count(const struct supervisor *s);
bool __wrap_supervisor_has(const struct supervisor *s, int64_t run);

int __wrap_supervisor_start(struct supervisor *s UNUSED, int64_t run,
			    pid_t *ret_pid, int64_t *ret_start,
			    struct err *e UNUSED)
{
	ledger_child(w, run);
	*ret_pid = INT32_MAX; /* nobody's */
	*ret_start = 1;
	return 0;
}

void __wrap_supervisor_go(struct supervisor *s UNUSED, int64_t run UNUSED,
			  bool go)
{
	if (!go)
		ledger_fail(w, "a run was not let go");
}

size_t __wrap_supervisor_count(const struct supervisor *s UNUSED)
{
	return (size_t)w->n_children;
}

bool __wrap_supervisor_has(const struct supervisor *s UNUSED, int64_t run)
{
	for (int i = 0; i < w->n_children; i++)
		if (w->children[i].run == run)
			return true;
	return false;
}

/* ---- Stories ------------------------------------------------------------- */

static int64_t year_begin(int year)
{
	struct tm tm = { .tm_year = year - 1900, .tm_mday = 1 };

	return timegm(&tm);
}

/* A change of offset in that year and direction, or INT64_MIN. */
static int64_t change_in(int year, bool ahead)
{
	long before = libc_zone_tm(year_begin(year)).tm_gmtoff;
	int64_t lo;
	int64_t hi;

	for (lo = year_begin(year); lo < year_begin(year + 1); lo += 86400) {
		const long after = libc_zone_tm(lo + 86400).tm_gmtoff;

		if (after != before && (after > before) == ahead)
			break;
		before = after;
	}
	if (lo >= year_begin(year + 1))
		return INT64_MIN;
	for (hi = lo + 86400; hi - lo > 1;) {
		const int64_t mid = lo + (hi - lo) / 2;

		if (libc_zone_tm(mid).tm_gmtoff == before)
			lo = mid;
		else
			hi = mid;
	}
	return hi;
}

/* Any change of the zone in that direction; each zone has had one. */
static int64_t some_change(struct random *r, bool ahead)
{
	const int years = RULE_YEAR - FIRST_YEAR;
	const int first = (int)random_below(r, (uint64_t)years);
	int64_t t;

	/* The day that was not, for once. */
	if (ahead && strcmp(w->zone, "Pacific/Apia") == 0 && random_below(r, 2))
		return change_in(2011, ahead);
	/* A rule that goes on for ever. */
	if (random_below(r, 5) == 0) {
		t = change_in(LAST_YEAR - first, ahead);
		if (t != INT64_MIN)
			return t;
	}
	for (int i = 0; i < years; i++) {
		t = change_in(FIRST_YEAR + (first + i) % years, ahead);
		if (t != INT64_MIN)
			return t;
	}
	return year_begin(FIRST_YEAR + first) + WEEK_S;
}

/* One that is due at some time, but not all the time. */
static struct cron_draw draw_cron(struct random *r, size_t most)
{
	struct cron_draw t;
	int64_t *v;
	size_t n;

	do {
		t = random_below(r, 3) ? cron_draw(r) : cron_draw_usual(r);
		n = cron_oracle_due(&oracle, &t, &v);
		free(v);
	} while (n == 0 || n > most);
	return t;
}

static void draw_plan(struct random *r, struct ledger_plan *p, size_t most)
{
	*p = (struct ledger_plan){
		.cron = draw_cron(r, most),
		.catch_up = (int)random_below(r, 3),
		.queue = random_below(r, 2),
		.suspended = random_below(r, 20) == 0,
		.retries = (unsigned int)random_below(r, 3),
		.from_s = INT64_MIN,
	};
	if (random_below(r, 3) == 0)
		p->window_s = ledger_any(r, 60, 86400);
	if (random_below(r, 3) == 0)
		p->jitter_s = ledger_any(r, 2, 3600);
	if (random_below(r, 3) == 0) {
		p->blackout = draw_cron(r, most);
		p->blackout_s = ledger_any(r, 600, 86400);
	}
}

static void begin_world(int64_t begin_s)
{
	struct frame f = { .c = NULL };
	struct ledger_life l = { .w = w };
	char spec[1500];
	char select[100];

	w->now_ms = w->booted_ms = begin_s * 1000 + 123;
	w->time_ms = w->now_ms;
	(void)snprintf(f.path, sizeof(f.path), "%s", w->path);
	ck_assert_int_eq(catalog_open(w->path, &l.c, &l.e), 0);
	ledger_apply(&l, "Repository", "main",
		     "{\"keyFile\":\"main.key\",\"regions\":[{\"name\":\"a\","
		     "\"url\":\"file:///nowhere\"}],\"concurrency\":64,"
		     "\"gc\":{\"every\":\"0s\"}}");
	ledger_apply(&l, "Source", "etc",
		     "{\"type\":\"files\",\"paths\":[\"/etc\"]}");
	for (int i = 0; i < w->n; i++) {
		struct ledger_schedule *s = &w->s[i];

		(void)snprintf(s->name, sizeof(s->name), "s%d", i);
		ledger_spec(w, &s->v[0], spec, sizeof(spec));
		ledger_apply(&l, "Schedule", s->name, spec);
		s->n = 1;
		s->low_s = s->accounted_s = s->created_s = begin_s;
		/* Jitter is by the uid: the same each time. */
		(void)snprintf(s->uid, sizeof(s->uid), "uid%d", i);
		(void)snprintf(select, sizeof(select),
			       "UPDATE resources SET uid = 'uid%d' WHERE name "
			       "= 's%d'",
			       i, i);
		frame_sql(&f, select);
	}
	catalog_close(l.c);
}

/* A story with as many occurrences in a week, and steps that suit it. */
static void begin_story(uint64_t seed, const struct scratch *dir)
{
	const char *zone = libc_zones[seed % LIBC_ZONES];
	struct random *r = &w->dice;
	size_t in_a_week = 1;
	size_t most = ROWS_MOST;
	int64_t change_s;
	int64_t *v;

	memset(w, 0, sizeof(*w));
	w->seed = seed;
	r->state = seed;
	w->zone = zone;
	(void)scratch_path(dir, "catalog.db", w->path);
	libc_zone_set(zone);
	change_s = some_change(r, seed / LIBC_ZONES % 2);
	change_s -= change_s % 60;
	forget_due();
	cron_oracle_cover(&oracle, change_s - WEEK_S, change_s + WEEK_S);
	w->n = 1 + (int)random_below(r, LEDGER_SCHEDULES);
	for (int i = 0; i < w->n; i++) {
		draw_plan(r, &w->s[i].v[0], 40U << 2 * random_below(r, 3));
		in_a_week += cron_oracle_due(&oracle, &w->s[i].v[0].cron, &v);
		free(v);
		if (w->s[i].v[0].catch_up == LEDGER_ALL)
			most = RUNS_MOST;
	}
	/* Often enough it is awakened only when something is due. */
	w->sleep_ms = ledger_any(r, random_below(r, 30) ? 1800000 : 60000,
				 12 * 3600 * 1000);
	w->changing = random_below(r, 4) == 0;
	w->most_step_ms = (int64_t)(most * WEEK_S / in_a_week) * 1000;
	if (w->most_step_ms > YEAR_S * 1000)
		w->most_step_ms = YEAR_S * 1000;
	begin_world(change_s - WEEK_S / 2 -
		    60 * (int64_t)random_below(r, 24 * 60));
}

/* Nobody is there for a while; the machine may be off, and its clock wrong. */
static void pass_between_lives(struct random *r)
{
	w->now_ms += ledger_any(r, 10, w->changing ? 3600000 : 86400000);
	if (random_below(r, 4))
		return;
	w->boot++;
	w->booted_ms = w->now_ms;
	if (!w->changing && random_below(r, 3) == 0)
		ledger_step(w, 60000, w->most_step_ms / 2);
}

static bool one_life(struct random *r, int64_t end_ms)
{
	int64_t until_ms = w->now_ms + ledger_any(r, 3600000, 4 * 86400000);
	int status;
	pid_t pid;

	w->kill_at = random_below(r, 2) ? 0 : (uint64_t)ledger_any(r, 1, 3000);
	ledger_read(w);
	if (until_ms > end_ms)
		until_ms = end_ms;
	pid = check_fork_child();
	if (pid == 0)
		ledger_live(w, until_ms);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 9)
		must(0, false, "%s", w->failed);
	w->lives++;
	if (WIFSIGNALED(status)) {
		must(0, WTERMSIG(status) == SIGKILL && w->kill_at,
		     "the daemon was killed by signal %d", WTERMSIG(status));
		w->kills++;
		return true;
	}
	must(0, WIFEXITED(status) && WEXITSTATUS(status) == 0,
	     "the daemon ended with status %d", WEXITSTATUS(status));
	return false;
}

static struct {
	uintmax_t stories, lives, kills, ticks, steps, confirmed;
	uintmax_t outcomes[8];
} told;
static const char *const outcomes[8] = {
	"succeeded()",	"failed(",	    "missed(window)",
	"missed(no-",	"superseded(",	    "skipped(blackout)",
	"skipped(susp", "skipped(overlap)",
};

/* Of how many rows each outcome was, so that none is out of sight. */
static void count_outcomes(void)
{
	char text[80];

	for (size_t x = 0; x < n_rows; x++)
		for (size_t i = 0; i < 8; i++) {
			(void)snprintf(text, sizeof(text), "%s(%s)",
				       rows[x].state, rows[x].reason);
			told.outcomes[i] += strncmp(text, outcomes[i],
						    strlen(outcomes[i])) == 0;
		}
}

static void one_story(uint64_t seed)
{
	CLEANUP(scratch_done) struct scratch dir;
	struct random r = { seed ^ 0x55555 };
	int64_t end_ms;

	scratch_init(&dir);
	begin_story(seed, &dir);
	if (oracle.odd)
		return;
	end_ms = w->now_ms + 7 * 86400000LL;
	while (w->now_ms < end_ms && w->lives < LIVES_MOST) {
		ledger_judge(one_life(&r, end_ms));
		pass_between_lives(&r);
	}
	count_outcomes();
	told.stories++;
	told.lives += w->lives;
	told.kills += w->kills;
	told.ticks += w->ticks;
	told.steps += w->steps;
	told.confirmed += w->confirmed;
}

/* The zone and the direction are in the seed. */
static uint64_t next_seed(struct random *r, uint64_t round)
{
	const uint64_t ways = 2 * LIBC_ZONES;

	return (random_u64(r) >> 8) / ways * ways + round % ways;
}

START_TEST(no_occurrence_is_lost_or_doubled)
{
	struct long_run l = long_run_of(LIBC_ZONES / CHECK_EVERY);
	struct random r = random_seed();
	const uint64_t first = getenv("SNAPCTL_TEST_SEED") ? r.state : 0;
	const uint64_t skip = random_below(&r, 2 * LIBC_ZONES);

	w = mmap(NULL, sizeof(*w), PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(w, MAP_FAILED);
	if (first)
		one_story(first);
	while (long_run_next(&l))
		one_story(next_seed(&r, l.rounds + skip));
	(void)printf("%ju stories, %ju lives, %ju kills, %ju ticks, %ju steps "
		     "of the clock, %ju confirmed\n",
		     told.stories, told.lives, told.kills, told.ticks,
		     told.steps, told.confirmed);
	for (size_t i = 0; i < 8; i++)
		(void)printf("%ju %s\n", told.outcomes[i], outcomes[i]);
	ck_assert_uint_gt(told.stories, 0);
	forget_due();
	cron_oracle_done(&oracle);
	free(rows);
	(void)munmap(w, sizeof(*w));
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, no_occurrence_is_lost_or_doubled);
}

CHECK_MAIN("service/scheduler against an oracle", cases)

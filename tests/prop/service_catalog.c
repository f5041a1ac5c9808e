/*
 * The ledger under kills: a process works on it at random and is killed at a
 * random moment, again and again.  What it was told is done stays done; no
 * occurrence is lost, doubled or ended twice; the audit chain stays whole.
 */
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/support/catalog_frame.h"
#include "tests/support/check_main.h"
#include "tests/support/random.h"

#define INSTANTS 40
#define ROUNDS	 25

/* What the worker was told, in memory that survives it. */
struct told {
	bool noted[INSTANTS];
	int ended[INSTANTS]; /* the state it was told, or 0 */
	uint64_t records;    /* of the audit log */
};

/* One random act on the occurrence of one instant. */
static void act(struct frame *f, struct told *told, struct random *r)
{
	static const enum catalog_occurrence_state ends[] = {
		CATALOG_SUCCEEDED, CATALOG_PARTIAL, CATALOG_FAILED,
		CATALOG_SKIPPED, CATALOG_SUPERSEDED
	};
	const size_t i = random_below(r, INSTANTS);
	const struct catalog_occurrence o = occurrence_at(100 + (int64_t)i);
	const enum catalog_occurrence_state end = ends[random_below(r, 5)];
	struct catalog_run run = { .kind = "Schedule",
				   .schedule_uid = "u1",
				   .schedule = "nightly",
				   .queued = at(1000) };
	const struct catalog_actor who = by("worker", 5);
	struct catalog_run_end done = { .state = CATALOG_RUN_FAILED,
					.now = at(2000),
					.outcome = end };
	int64_t id;

	ok(f, catalog_occurrence_note(f->c, &o, &id, &f->e));
	told->noted[i] = true;
	ok(f, catalog_audit_add(f->c, &who, "x", "y", NULL, &f->e));
	told->records++;
	run.occurrence = id;
	if (random_below(r, 3) == 0) {
		const int got = catalog_occurrence_end(f->c, id, end, "",
						       at(3000), &f->e);

		ok(f, got);
		if (got > 0)
			told->ended[i] = (int)end;
		return;
	}
	if (catalog_run_queue(f->c, &run, &done.run, &f->e) < 0) {
		ck_assert(f->e.code == ERR_EXISTS || f->e.code == ERR_USAGE);
		return;
	}
	(void)claim_run(f, done.run, 1500);
	if (random_below(r, 2) == 0)
		done.retry_at = at(2500);
	ck_assert_int_eq(catalog_run_end(f->c, &done, &f->e), 1);
	if (done.retry_at.sec == 0)
		told->ended[i] = (int)end;
	else
		(void)end_run(f, done.run + 1, CATALOG_RUN_FAILED, 2600, end);
}

static void work(const char *path, struct told *told, uint64_t seed)
{
	struct random r = { seed };
	struct frame f = { .c = NULL };

	ok(&f, catalog_open(path, &f.c, &f.e));
	for (;;)
		act(&f, told, &r);
}

static int compare(void *arg, const struct catalog_occurrence *o, struct err *e)
{
	struct told *told = arg;
	const int64_t i = o->at.sec - 100;

	(void)e;
	ck_assert(i >= 0 && i < INSTANTS);
	/* Once only: a second row of that instant would fail here. */
	ck_assert(told->noted[i]);
	told->noted[i] = false;
	if (told->ended[i] != 0)
		ck_assert_int_eq((int)o->state, told->ended[i]);
	ck_assert((o->state <= CATALOG_RUNNING) == (o->finished.sec == 0));
	return 0;
}

static void check_against(struct frame *f, const struct told *told)
{
	struct told left = *told;
	struct catalog_audit_state st;

	ok(f, catalog_check(f->c, &f->e));
	ok(f, catalog_audit_verify(f->c, &st, &f->e));
	ck_assert(st.sound);
	ck_assert_uint_ge(st.records, told->records);
	/* The one act under way may have been done without having been told. */
	ck_assert_uint_le(st.records, told->records + 1);
	for (size_t i = 0; i < INSTANTS; i++) {
		const struct catalog_occurrence o = occurrence_at(100 +
								  (int64_t)i);
		int64_t id;
		const int got = left.noted[i] ? catalog_occurrence_note(
							f->c, &o, &id, &f->e)
					      : 0;

		ok(f, got);
		/* 1 would mean that an acknowledged row was lost. */
		ck_assert_int_eq(got, 0);
	}
}

/* Takes over what was done but not told, as the next round's knowledge. */
static int learn(void *arg, const struct catalog_occurrence *o, struct err *e)
{
	struct told *told = arg;
	const int64_t i = o->at.sec - 100;

	(void)e;
	told->noted[i] = true;
	/* Told to have ended so, and ends otherwise: never. */
	if (told->ended[i] != 0)
		ck_assert_int_eq((int)o->state, told->ended[i]);
	if (o->state > CATALOG_RUNNING)
		told->ended[i] = (int)o->state;
	return 0;
}

/* Killed at a random moment of its first `within` ms. */
static void kill_and_check(struct frame *f, struct told *told, struct random *r,
			   uint32_t within)
{
	const struct catalog_occurrence_filter all = { .limit = 0 };
	const uint64_t seed = random_u64(r);
	struct catalog_audit_state st;
	struct told before;
	int status;
	pid_t pid;

	catalog_close(f->c);
	f->c = NULL;
	pid = check_fork_child();
	if (pid == 0) {
		work(f->path, told, seed);
		_exit(1);
	}
	clock_sleep_ms((int64_t)random_below(r, within));
	(void)kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status));
	ok(f, catalog_open(f->path, &f->c, &f->e));
	check_against(f, told);
	ok(f, catalog_occurrences(f->c, &all, learn, told, &f->e));
	before = *told;
	ok(f, catalog_occurrences(f->c, &all, compare, &before, &f->e));
	ok(f, catalog_audit_verify(f->c, &st, &f->e));
	told->records = st.records;
	ok(f, catalog_runs_interrupt(f->c, "h1", NULL, NULL, at(9000), &f->e));
}

START_TEST(kills_lose_and_double_nothing)
{
	CLEANUP(frame_done) struct frame f;
	struct random r = random_seed();
	struct told *told = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(told, MAP_FAILED);
	frame_open(&f);
	for (int round = 0; round < ROUNDS; round++)
		kill_and_check(&f, told, &r, 60);
	/* A busy machine may have let none of them come to its first act. */
	for (uint32_t ms = 120; told->records == 0 && ms < 60000; ms *= 2)
		kill_and_check(&f, told, &r, ms);
	ck_assert_uint_gt(told->records, 0);
	(void)munmap(told, sizeof(*told));
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, kills_lose_and_double_nothing);
}
CHECK_MAIN("service/catalog under kills", cases)

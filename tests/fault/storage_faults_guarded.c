/*
 * As storage_faults.c, in a folder that guards objects (immutable files): each
 * call to the system fails in turn, or moves half of its bytes, and each
 * allocation, of a snapshot that is to be locked, of the pass that lengthens
 * and holds, of the release of a hold, of a copy of what is locked, of a
 * healing, and of the collection when all that is over.  Each time, besides:
 * what was guarded is; what is said to be guarded is; and what is told to
 * have failed the next pass makes good.
 */
#include <errno.h>
#include <fcntl.h>

#include "storage/heal.h"
#include "storage/replicate.h"
#include "tests/support/alloc_all.h"
#include "tests/support/fault_story.h"
#include "tests/support/guard_frame.h"
#include "tests/support/guard_place.h"

static struct guard_place place;
static struct gc_frame frame;
static struct gc_frame *const g = &frame;
static char region[SCRATCH_PATH], copy[SCRATCH_PATH], pristine[SCRATCH_PATH];
static struct object_id hold; /* on the first snapshot */
static int64_t passed_ms;     /* at the beginning of each story */
static struct err e;

enum { LOCKED, LOCKED_LATER, TAKEN };

/* What became of a telling. */
static struct outcome {
	int failed;
	struct err missing; /* of one that is done but for that, or none */
} outcome;

/* ---- The stories --------------------------------------------------------- */

static struct repository *r;

static int open_region(void)
{
	r = NULL;
	return repository_open(region, g->f.credential, &r, &e);
}

static void shut(void)
{
	repository_close(r);
	r = NULL;
}

static int find(struct object_id id, struct repository_snapshot *s)
{
	char text[OBJECT_ID_TEXT];

	object_id_format(id, text);
	manifest_init(&s->manifest);
	return repository_find(r, text, NULL, true, s, NULL, &e);
}

static int lock_for(struct object_id id, int64_t ms)
{
	CLEANUP(repository_snapshot_done)
	struct repository_snapshot s = { .deleted = false };

	return find(id, &s) || deletion_lock(r, &s,
					     instant_add_ms(s.received, ms),
					     "me", clock_now(), &e)
		       ? -1
		       : 0;
}

/* What it could not read. */
static void note_unread(void *arg, const char *path, size_t len,
			const char *message)
{
	(void)arg;
	(void)err_set(&outcome.missing, ERR_IO, "%.*s: %s", (int)len, path,
		      message);
}

/* As a run of the daemon takes one. */
static int take(void)
{
	const char *const paths[] = { g->f.from };
	CLEANUP(snapshot_errors_free) struct snapshot_errors *lost = NULL;
	CLEANUP(source_close) struct source *source = NULL;
	struct files_options files = { .paths = paths,
				       .path_count = 1,
				       .report = snapshot_report };
	struct snapshot_result result;
	struct manifest about;
	const struct snapshot_options o = { .about = &about,
					    .lock_ms = GUARD_LOCK_MS,
					    .report = note_unread };
	int failed;

	manifest_init(&about);
	(void)snprintf(about.source, sizeof(about.source), "web");
	(void)snprintf(about.type, sizeof(about.type), "files");
	failed = snapshot_errors_new(&lost, &e) ||
		 manifest_list_add(&about.paths, g->f.from, strlen(g->f.from),
				   &e);
	files.report_arg = lost;
	failed = failed || files_open(&files, &source, &e) ||
		 snapshot_take(r, source, lost, &o, &result, &e);
	manifest_done(&about);
	if (failed)
		return -1;
	g->ids[TAKEN] = result.id;
	if (!result.errors && result.guarding.is)
		outcome.missing = result.guarding.why;
	return lock_for(result.id, GUARD_LOCK_MS);
}

static void tell_snapshot(void)
{
	outcome.failed = open_region() || take();
	shut();
}

static int pass(bool release)
{
	const struct guards_options o = { .now = clock_now(),
					  .release = release };
	struct guards_result result;

	return guards_run(r, &o, &result, &e);
}

static void tell_pass(void)
{
	outcome.failed = open_region() || pass(false);
	shut();
}

static void tell_release(void)
{
	outcome.failed = open_region() || pass(true);
	shut();
}

static void tell_collect(void)
{
	const struct gc_options o = { .now = clock_now(), .host = "host" };
	struct gc_result result;

	outcome.failed = open_region() || gc_run(r, &o, &result, &e);
	shut();
}

static int see_copied(void *arg, const struct replicate_one *one,
		      struct err *unused)
{
	const struct err *why = one->why ? one->why : one->unguarded;

	(void)arg;
	(void)unused;
	if (why)
		outcome.missing = *why;
	return 0;
}

static void tell_copy(void)
{
	const struct replicate_options o = { .host = "host",
					     .done = see_copied };
	CLEANUP(repository_close) struct repository *to = NULL;
	CLEANUP(store_close) struct store *s = NULL;
	struct replicate_result result = { .failed = 0 };
	char told[REPLICATE_UNOPENED_TEXT];
	struct replicate_unopened unopened;

	outcome.failed = open_region() || store_open(copy, true, &s, &e) ||
			 replicate_settle(repository_store(r), s,
					  g->f.credential, &e) ||
			 repository_open(copy, g->f.credential, &to, &e) ||
			 replicate_run(r, to, &o, &result, &e);
	unopened = replicate_unopened_sum(&result.unopened_from,
					  &result.unopened_to);
	unopened = replicate_unopened_sum(&unopened, &result.unopened_records);
	if (!outcome.failed && unopened.n)
		(void)err_set(&outcome.missing, ERR_CORRUPT, "%s",
			      replicate_unopened_text(&unopened, told));
	shut();
}

static void tell_heal(void)
{
	struct heal_source from = { .r = NULL };
	const struct heal_options o = {
		.from = &from, .n_from = 1, .now = clock_now(), .host = "host"
	};
	struct heal_result result = { .sound = false };
	const struct check_result *left;

	outcome.failed = repository_open(pristine, g->f.credential, &from.r,
					 &e) ||
			 heal_run(region, g->f.credential, &o, &result, &e);
	left = heal_left(&result);
	if (!outcome.failed && from.why.code)
		outcome.missing = from.why;
	else if (!outcome.failed && !result.sound)
		(void)err_set(&outcome.missing, ERR_IO, "%s %s",
			      result.n_failures ? result.failures[0].why : "",
			      left->n_findings ? left->findings[0].message
					       : "");
	repository_close(from.r);
	heal_result_done(&result);
}

/* ---- The region before, and afterwards ----------------------------------- */

static void do_pass(void)
{
	if (open_region() || pass(false))
		ck_abort_msg("%s", e.text);
	shut();
}

static void before_release(void)
{
	do_pass();
	if (open_region() || deletion_release(r, hold, "me", g->now, &e))
		ck_abort_msg("%s", e.text);
	shut();
}

/* All locks are over, and the first snapshot is not wanted any more. */
static void before_collect(void)
{
	before_release();
	guard_later(g, 60 * GC_DAY_MS);
	tell_release();
	ck_assert_msg(!outcome.failed, "%s", e.text);
	gc_reopen(g);
	gc_erase(g, LOCKED);
	guard_later(g, 2 * GC_DAY_MS);
}

static void before_copy(void)
{
	if (access(copy, F_OK) == 0)
		guard_place_remove(copy);
	ck_assert_int_eq(mkdir(copy, 0700), 0);
	ck_assert(guard_place_change(copy, FS_APPEND_FL, 0));
}

static void before_heal(void)
{
	static const char *const folders[] = { "data", "meta", "index",
					       "snapshots", "receipts" };

	ck_assert(guard_place_change(region, 0, FS_APPEND_FL));
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		char path[2 * SCRATCH_PATH];

		(void)snprintf(path, sizeof(path), "%s/%s", region, folders[i]);
		guard_place_remove(path);
	}
	ck_assert(guard_place_change(region, FS_APPEND_FL, 0));
}

static void expect_guarded(size_t i, bool held, const char *when)
{
	const size_t n = guard_short(g, i, guard_locked_until(g, i), held);

	ck_assert_msg(n == 0, "after %s: %zu objects of snapshot %zu are %s",
		      when, n, i, held ? "not held" : "guarded too briefly");
}

static void after_snapshot(const char *when)
{
	expect_guarded(TAKEN, false, when);
	gc_expect(g, TAKEN);
	scratch_remove(g->f.to);
}

static void after_pass(const char *when)
{
	expect_guarded(LOCKED, true, when);
	expect_guarded(LOCKED_LATER, false, when);
}

static void after_release(const char *when)
{
	ck_assert_msg(
		guard_short(g, LOCKED, (struct instant){ .sec = 0 }, true) > 2,
		"after %s: it is held", when);
	expect_guarded(LOCKED_LATER, false, when);
}

/* Who cannot read its tombstone keeps it for the next time. */
static void after_collect(const char *when)
{
	if (gc_exists(g, LOCKED))
		tell_collect();
	ck_assert_msg(!gc_exists(g, LOCKED), "after %s: it is there", when);
}

static void after_copy(const char *when)
{
	(void)snprintf(g->f.url, sizeof(g->f.url), "%s", copy);
	gc_reopen(g);
	expect_guarded(LOCKED, false, when);
	expect_guarded(LOCKED_LATER, false, when);
	gc_expect_sound(g);
	(void)snprintf(g->f.url, sizeof(g->f.url), "%s", region);
	gc_reopen(g);
}

static void finish_heal(const char *when)
{
	outcome = (struct outcome){ .failed = 0 };
	tell_heal();
	ck_assert_msg(!outcome.failed && !outcome.missing.code,
		      "after %s: %s %s", when, e.text, outcome.missing.text);
}

static void after_heal(const char *when)
{
	do_pass();
	gc_reopen(g);
	after_pass(when);
}

static const struct story {
	struct fault_story frame;
	void (*tell)(void);
	void (*before)(void);
	/* Of one that says that all worked. */
	void (*after)(const char *when);
	/* Of any, before the region is to be sound; or NULL. */
	void (*finish)(const char *when);
	bool is_guarded; /* what was, still is, whatever happens */
} * story;

static void begin_story(void)
{
	guard_passed_ms = passed_ms;
	guard_later(g, 0);
	repository_close(g->f.r);
	g->f.r = NULL;
	if (access(region, F_OK) == 0)
		guard_place_remove(region);
	guard_place_copy(pristine, region);
	if (story->before)
		story->before();
	/* The frame has nothing in its hands that a story might let go of. */
	repository_close(g->f.r);
	g->f.r = NULL;
	outcome = (struct outcome){ .failed = 0 };
	err_clear(&e);
}

static void tell_story(void)
{
	story->tell();
}

static unsigned int entries(const char *folder)
{
	DIR *d = opendir(folder);
	unsigned int n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		(void)closedir(d);
	return n;
}

static void judge_story(const struct telling *x)
{
	const struct outcome o = outcome;
	const struct err why = e;
	char tmp[SCRATCH_PATH + 8];

	(void)snprintf(tmp, sizeof(tmp), "%s/tmp", region);
	if (getenv("SNAPCTL_TEST_SHOW"))
		(void)fprintf(stderr, "%s: %s %s%s\n", x->when,
			      o.failed	       ? err_kind(why.code)->name
			      : o.missing.code ? "partial"
					       : "fine",
			      o.failed ? why.text : "", o.missing.text);
	if (x->must_work)
		ck_assert_msg(!o.failed && !o.missing.code, "%s: %s %s",
			      x->when, why.text, o.missing.text);
	if (o.failed || o.missing.code)
		fault_expect_cause(x, o.failed ? &why : NULL, o.missing.text,
				   o.missing.code == ERR_CORRUPT);
	if (x->what && strcmp(x->what, "unlinkat") != 0)
		ck_assert_msg(entries(tmp) <= 2,
			      "%s: something is left in tmp/", x->when);
	gc_reopen(g);
	if (story->is_guarded)
		expect_guarded(LOCKED, false, x->when);
	if (!o.failed && !o.missing.code)
		story->after(x->when);
	if (x->n % 4 != 0)
		return;
	if (story->finish)
		story->finish(x->when);
	gc_expect_sound(g);
	/* What could not be guarded is by the next pass. */
	if (story->is_guarded && story->tell != tell_release) {
		do_pass();
		after_pass(x->when);
	}
}

#define FRAME(name)                                        \
	{                                                  \
		name, begin_story, tell_story, judge_story \
	}

static const struct story stories[] = {
	{ FRAME("locked snapshot"), tell_snapshot, NULL, after_snapshot, NULL,
	  true },
	{ FRAME("pass"), tell_pass, NULL, after_pass, NULL, true },
	{ FRAME("release"), tell_release, before_release, after_release, NULL,
	  true },
	{ FRAME("copy of what is locked"), tell_copy, before_copy, after_copy,
	  NULL, true },
	{ FRAME("heal what was locked"), tell_heal, before_heal, after_heal,
	  finish_heal, false },
	{ FRAME("collect what was locked"), tell_collect, before_collect,
	  after_collect, NULL, false },
};
#define STORIES (sizeof(stories) / sizeof(stories[0]))

/* So many tellings of a story with each kind of failure, unless all are. */
#define TELLINGS (16 / CHECK_EVERY)

START_TEST(every_call_in_turn)
{
	story = &stories[_i];
	ck_assert_uint_gt(fault_each_call(&story->frame, TELLINGS),
			  6 / CHECK_EVERY);
}
END_TEST

START_TEST(every_allocation_in_turn)
{
	story = &stories[_i];
	ck_assert_uint_gt(fault_each_allocation(&story->frame, TELLINGS),
			  6 / CHECK_EVERY);
}
END_TEST

/* ---- The frame ----------------------------------------------------------- */

static void hold_first(void)
{
	const struct deletion_hold h = { .snapshots = &g->ids[LOCKED],
					 .n_snapshots = 1,
					 .case_name = "case",
					 .custodian = "who",
					 .by = "me",
					 .now = g->now };

	gc_ok(deletion_hold(g->f.r, &h, &hold, &g->e));
}

/*
 * One snapshot that is locked as it is taken, and held since; one that is
 * locked later, for longer than what it needs is guarded.
 */
static void set_up(void)
{
	static unsigned int cases;
	char name[32];

	(void)snprintf(name, sizeof(name), "%d-%u", (int)getpid(), ++cases);
	guard_place_folder(&place, name, region);
	(void)snprintf(copy, sizeof(copy), "%.400s.copy", region);
	(void)snprintf(pristine, sizeof(pristine), "%.400s.pristine", region);
	guard_frame_init(g, region);
	gc_file(g, "kept");
	gc_file(g, "gone");
	(void)guard_take(g);
	gc_unfile(g, "gone");
	gc_file(g, "new");
	(void)guard_take_for(g, 0);
	hold_first();
	gc_unfile(g, "new");
	gc_file(g, "newer");
	if (open_region() || lock_for(g->ids[LOCKED_LATER], 20 * GC_DAY_MS))
		ck_abort_msg("%s", e.text);
	shut();
	repo_list(&g->trees[TAKEN], g->f.from);
	g->n = TAKEN + 1;
	guard_later(g, 7 * GC_DAY_MS);
	passed_ms = guard_passed_ms;
	repository_close(g->f.r);
	g->f.r = NULL;
	guard_place_copy(region, pristine);
}

static void tear_down(void)
{
	repository_close(g->f.r);
	g->f.r = NULL;
	guard_place_remove(region);
	guard_place_remove(pristine);
	if (access(copy, F_OK) == 0)
		guard_place_remove(copy);
	gc_frame_done(g);
}

static void stop(void)
{
	guard_place_end(&place);
}

/* In the program itself: all of it is skipped. */
static void start(void)
{
	if (!guard_place_begin(&place))
		exit(77);
}

static void cases(TCase *tc)
{
	tcase_add_unchecked_fixture(tc, start, stop);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, every_call_in_turn, 0, STORIES);
	if (alloc_all_works())
		tcase_add_loop_test(tc, every_allocation_in_turn, 0, STORIES);
}

CHECK_MAIN("storage/faults/guarded", cases)

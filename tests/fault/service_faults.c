/*
 * Each call to the system that a run makes fails in turn, or moves half of its
 * bytes; and each allocation fails, those of SQLite and the other libraries
 * included.  Each time: a run that says it succeeded has, and one that has not
 * says why; the catalog is sound and says nothing that the region does not
 * bear out; memory and descriptors are given back; the next attempt of the
 * occurrence succeeds, and there is one snapshot.
 */
#include <errno.h>
#include <fcntl.h>

#include "base/log.h"
#include "tests/support/alloc_all.h"
#include "tests/support/check_main.h"
#include "tests/support/fault_story.h"
#include "tests/support/fault_world.h"

static struct run_frame t;

/* What became of a telling. */
struct outcome {
	int failed;
	enum run_state state; /* of a run that did not fail as a whole */
	struct err e;
};

/* ---- The stories --------------------------------------------------------- */

static int64_t run_id; /* claimed in every world */

static void tell_run(struct outcome *o)
{
	struct catalog *c = NULL;
	struct run *r = NULL;
	const struct run_step *steps;
	size_t n;

	o->failed = catalog_open(t.f.path, &c, &o->e) ||
		    run_load(c, run_id, &r, &o->e);
	if (!o->failed) {
		r->config = t.config;
		r->stop = &t.stop;
		steps = run_steps(r->kind, &n);
		o->failed = run_perform(r, steps, n, &o->state, &o->e);
	}
	run_free(r);
	catalog_close(c);
}

static void tell_apply(struct outcome *o)
{
	const struct catalog_document d = {
		.kind = "Policy",
		.name = "extra",
		.spec_json = "{\"retention\":{\"keep-last\":1}}"
	};
	const struct catalog_actor who = { .uid = 1000,
					   .name = "tester",
					   .now = clock_now() };
	struct catalog_applied applied = { 0 };
	struct catalog *c = NULL;

	o->failed = catalog_open(t.f.path, &c, &o->e) ||
		    catalog_apply(c, &d, 1, &who, &applied, &o->e);
	catalog_applied_done(&applied, 1);
	catalog_close(c);
	o->state = RUN_SUCCEEDED;
}

/* ---- Afterwards ---------------------------------------------------------- */

static void after_run(const char *when, const struct outcome *o)
{
	const int live = run_counts(&t, "a").live;
	enum run_state again;

	ck_assert_msg(frame_count(&t.f, "SELECT count(*) FROM snapshots") <=
			      live,
		      "after %s: the catalog has a snapshot too many", when);
	if (!o->failed && o->state == RUN_SUCCEEDED) {
		ck_assert_msg(live == 1, "%s: %d snapshots", when, live);
		return;
	}
	ck_assert_msg(o->failed ||
			      frame_count(&t.f,
					  "SELECT count(*) FROM run_steps "
					  "WHERE state IN ('failed', "
					  "'partial') AND message <> ''") > 0,
		      "%s: no step says why", when);
	/* The same run again, as another attempt has it.  A snapshot that was
	 * published without something is that of the occurrence. */
	again = run_do(&t, run_id);
	ck_assert_msg(again == RUN_SUCCEEDED ||
			      (again == RUN_PARTIAL && !o->failed &&
			       o->state == RUN_PARTIAL && live == 1),
		      "after %s: the next attempt is %d, after %d, %d", when,
		      (int)again, (int)o->state, live);
	ck_assert_msg(run_counts(&t, "a").live == 1 &&
			      frame_count(&t.f, "SELECT count(*) FROM "
						"snapshots") == 1,
		      "after %s: %d snapshots", when, run_counts(&t, "a").live);
}

static void after_apply(const char *when, const struct outcome *o)
{
	const int64_t n = frame_count(&t.f, "SELECT count(*) FROM resources "
					    "WHERE name = 'extra'");
	const int64_t said = frame_count(
		&t.f, "SELECT count(*) FROM audit WHERE object = "
		      "'Policy/extra'");

	ck_assert_msg(o->failed || n == 1, "%s: it is not there", when);
	ck_assert_msg(n == said, "%s: %d rows, %d audit records", when, (int)n,
		      (int)said);
}

struct story {
	struct fault_story frame;
	void (*tell)(struct outcome *o);
	void (*after)(const char *when, const struct outcome *o);
};

static const struct story *story;
static struct outcome outcome;

static void begin_story(void)
{
	outcome = (struct outcome){ .state = RUN_FAILED };
	fault_world_anew(&t);
}

static void tell_story(void)
{
	story->tell(&outcome);
}

static void judge_story(const struct telling *x)
{
	const struct outcome *o = &outcome;

	if (getenv("SNAPCTL_TEST_SHOW"))
		(void)fprintf(stderr, "%s: %s %s\n", x->when,
			      o->failed ? err_kind(o->e.code)->name : "told",
			      o->failed ? o->e.text : "");
	if (x->must_work)
		ck_assert_msg(!o->failed && o->state == RUN_SUCCEEDED, "%s: %s",
			      x->when, o->failed ? o->e.text : "it fails");
	fault_world_open(&t, x->when);
	fault_world_expect_cause(&t, x, o->failed ? &o->e : NULL,
				 o->state == RUN_SUCCEEDED);
	story->after(x->when, o);
}

#define FRAME(name)                                        \
	{                                                  \
		name, begin_story, tell_story, judge_story \
	}

static const struct story stories[] = {
	{ FRAME("run"), tell_run, after_run },
	{ FRAME("apply"), tell_apply, after_apply },
};
#define STORIES (sizeof(stories) / sizeof(stories[0]))

#define TELLINGS (150 / CHECK_EVERY)

START_TEST(every_call_in_turn)
{
	story = &stories[_i];
	ck_assert_uint_gt(fault_each_call(&story->frame, TELLINGS),
			  3 / CHECK_EVERY);
}
END_TEST

START_TEST(every_allocation_in_turn)
{
	story = &stories[_i];
	ck_assert_uint_gt(fault_each_allocation(&story->frame, TELLINGS),
			  50 / CHECK_EVERY);
}
END_TEST

static void set_up(void)
{
	run_open(&t);
	/* It dies of it, in fy_parse_input_append(), as of version 0.7. */
	alloc_all_spare("libfyaml.so");
	log_set_level(LOG_LEVEL_ERROR);
	run_id = run_attempt(&t, 0);
	fault_world_keep(&t);
}

static void tear_down(void)
{
	fault_world_done();
	run_done(&t);
}

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, every_call_in_turn, 0, STORIES);
	if (alloc_all_works())
		tcase_add_loop_test(tc, every_allocation_in_turn, 0, STORIES);
}

CHECK_MAIN("service/faults", cases)

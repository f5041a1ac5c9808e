/*
 * Stories of a service with three regions, told by its own operations and runs
 * in one process: with failover_frame.h's world, laid out anew before each
 * telling, and what each of them is judged by: one that did not do its work
 * says why; the catalog is sound.
 *
 * For one source file of a program that links with --wrap=store_open,
 * --wrap=client_call and --wrap=fy_parser_set_string.
 */
#ifndef TESTS_SUPPORT_FAILOVER_STORY_H
#define TESTS_SUPPORT_FAILOVER_STORY_H

#include "base/json.h"
#include "service/args.h"
#include "service/client.h"
#include "tests/support/alloc_all.h"
#include "tests/support/check_main.h"
#include "tests/support/failover_frame.h"
#include "tests/support/fault_story.h"
#include "tests/support/fault_world.h"

#define REPLY_MAX ((size_t)1 << 20)

static struct run_frame t;
static int64_t run_id; /* claimed in the world of both runs */

/* What became of a telling. */
static struct outcome {
	int failed;
	enum run_state state; /* of a run that did not fail as a whole */
	enum operation_outcome outcome; /* of an operation that did not */
	char said[4096];		/* what it replied */
	struct err e;
} outcome;

/* ---- What is told of ---------------------------------------------------- */

static inline int call(const struct operation *op, const struct args *args,
		       json_sink *sink, void *arg, struct catalog *c,
		       enum operation_outcome *ret, struct err *e)
{
	struct json *j = malloc(sizeof(*j));
	struct operation_call x = { .operation = op,
				    .args = args,
				    .reply = j,
				    .out_fd = -1,
				    .now = clock_now(),
				    .config = c ? t.config : NULL,
				    .catalog = c };
	int failed;

	if (!j)
		return err_oom(e);
	json_init(j, sink, arg);
	failed = op->run(&x, e) || json_finish(j, e);
	free(j);
	*ret = x.outcome;
	return failed ? -1 : 0;
}

/* The daemon, in this process. */
int __wrap_client_call(const struct client_call *asked,
		       enum operation_outcome *ret, struct err *e);
int __wrap_client_call(const struct client_call *asked,
		       enum operation_outcome *ret, struct err *e)
{
	CLEANUP(catalog_close) struct catalog *c = NULL;

	return catalog_open(t.f.path, &c, e) ||
			       call(asked->operation, asked->args, asked->sink,
				    asked->arg, c, ret, e)
		       ? -1
		       : 0;
}

/* As the command line does it: pairs of names and values, up to a NULL. */
static inline void tell_operation(const char *verb,
				  const char *const params[][2])
{
	const struct operation *op = operation_named(verb);
	CLEANUP(args_free) struct args *args = NULL;
	CLEANUP(buf_done) struct buf reply;

	buf_init(&reply, REPLY_MAX);
	outcome.failed = args_new(&args, op, &outcome.e);
	for (size_t i = 0; !outcome.failed && params[i][0]; i++)
		outcome.failed = args_add_str(args, params[i][0], params[i][1],
					      &outcome.e);
	outcome.failed = outcome.failed || args_finish(args, &outcome.e) ||
			 call(op, args, json_to_buf, &reply, NULL,
			      &outcome.outcome, &outcome.e);
	(void)snprintf(outcome.said, sizeof(outcome.said), "%.*s",
		       (int)reply.len, reply.data ? buf_str(&reply) : "");
}

static inline void tell_run(void)
{
	struct outcome *const o = &outcome;
	CLEANUP(catalog_close) struct catalog *c = NULL;
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
}

/* ---- Stories ------------------------------------------------------------- */

static const struct story {
	struct fault_story frame;
	void (*tell)(void);
	void (*before)(void);
	void (*after)(const char *when);
	enum run_state state; /* of an untroubled run */
} * story;

static int64_t first_run;

static inline void begin_story(void)
{
	fault_world_anew(&t);
	run_id = first_run;
	run_clock(&t, 1700000000 + DAY);
	if (story->before)
		story->before();
	catalog_close(t.f.c);
	t.f.c = NULL;
	outcome = (struct outcome){ .state = RUN_FAILED };
}

static inline void tell_story(void)
{
	story->tell();
}

static inline void judge_story(const struct telling *x)
{
	const struct outcome *o = &outcome;

	if (getenv("SNAPCTL_TEST_SHOW"))
		(void)fprintf(stderr, "%s: %s %d %d %s\n", x->when,
			      o->failed ? err_kind(o->e.code)->name : "told",
			      (int)o->state, (int)o->outcome,
			      o->failed ? o->e.text : "");
	if (x->must_work)
		ck_assert_msg(!o->failed &&
				      (story->tell != tell_run ||
				       o->state == story->state) &&
				      o->outcome == OPERATION_DONE,
			      "%s: %s", x->when,
			      o->failed ? o->e.text : "it fails");
	fault_world_open(&t, x->when);
	if (story->tell == tell_run || o->failed)
		fault_world_expect_cause(&t, x, o->failed ? &o->e : NULL,
					 o->state == story->state);
	else if (o->outcome != OPERATION_DONE)
		fault_expect_cause(x, NULL, o->said, false);
	story->after(x->when);
}

#define FRAME(name)                                        \
	{                                                  \
		name, begin_story, tell_story, judge_story \
	}

#endif

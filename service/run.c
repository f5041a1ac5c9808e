#include "service/run.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "service/catalog.h"
#include "service/run_confine.h"
#include "service/starter.h"
#include "storage/stores/store.h"

/* What a step tells about itself, as JSON. */
#define DETAILS_MAX ((size_t)1 << 20)

int run_stopped(const struct run *r, struct err *e)
{
	if (!r->stop || !atomic_load(r->stop))
		return 0;
	return err_set(e, ERR_INTERRUPTED, "asked to stop");
}

int run_clock_is_sure(const struct run *r, struct run_result *result,
		      struct err *e)
{
	struct catalog_clock k;
	char jump[INSTANT_TEXT];
	const int found = catalog_clock_get(r->catalog, &k, e);

	if (found < 0)
		return -1;
	if (found == 0 || k.suspicious.sec == 0)
		return 1;
	instant_duration_format(k.jump_ms < 0 ? -k.jump_ms : k.jump_ms, jump);
	result->state = RUN_FAILED;
	(void)snprintf(result->message, sizeof(result->message),
		       "the clock jumped %s by %s: nothing is deleted until "
		       "`snapctl clock confirm` says that it is right",
		       k.jump_ms < 0 ? "back" : "ahead", jump);
	return 0;
}

bool run_is_without(const struct run *r, const char *region)
{
	const struct resource_texts *names = r->drill ? &r->drill->drill.without
						      : NULL;

	for (size_t i = 0; names && i < names->count; i++)
		if (strcmp(names->items[i], region) == 0)
			return true;
	return false;
}

static const char *state_name(enum run_state state)
{
	static const char *const names[] = { [RUN_SUCCEEDED] = "succeeded",
					     [RUN_SKIPPED] = "skipped",
					     [RUN_PARTIAL] = "partial",
					     [RUN_FAILED] = "failed" };

	return names[state];
}

/* ---- Steps in the catalog ----------------------------------------------- */

struct known {
	const char *step, *source;
	bool done;
	enum run_state state;
};

static int look_at_step(void *arg, const struct catalog_step *s,
			struct err *e UNUSED)
{
	struct known *k = arg;

	if (strcmp(s->step, k->step) != 0 ||
	    strcmp(s->source, k->source) != 0 || s->region[0])
		return 0;
	for (int i = RUN_SUCCEEDED; i <= RUN_PARTIAL; i++)
		if (strcmp(s->state, state_name((enum run_state)i)) == 0) {
			k->done = true;
			k->state = (enum run_state)i;
		}
	return 0;
}

static int put_step(struct run *r, const char *step, const char *source,
		    const char *state, const struct run_result *result,
		    struct instant started, struct err *e)
{
	const struct catalog_step row = {
		.run = r->id,
		.source = source,
		.step = step,
		.region = "",
		.state = state,
		.started = started,
		.finished = result ? clock_now() : (struct instant){ 0 },
		.message = result ? result->message : "",
		.details_json = result && result->details.len
					? buf_str(&result->details)
					: NULL,
	};

	return catalog_step_put(r->catalog, &row, e);
}

/* ---- Performing --------------------------------------------------------- */

/* One step on one source, or on the run as a whole (source NULL). */
static int perform(struct run *r, const struct run_step *step,
		   const struct resource *source, struct run_result *result,
		   struct err *e)
{
	const char *name = source ? source->name : "";
	struct known known = { .step = step->name, .source = name };
	const struct instant started = clock_now();
	struct err why = { 0 };

	if (catalog_steps(r->catalog, r->id, look_at_step, &known, e) < 0)
		return -1;
	if (known.done) {
		result->state = known.state;
		return 0;
	}
	if (run_stopped(r, e) < 0 ||
	    put_step(r, step->name, name, "running", NULL, started, e) < 0)
		return -1;
	if (step->act(r, source, result, &why) < 0) {
		if (why.code == ERR_INTERRUPTED) {
			*e = why;
			return -1;
		}
		result->state = RUN_FAILED;
		(void)text_fit(why.text, result->message,
			       sizeof(result->message));
	}
	log_event(result->state == RUN_FAILED ? LOG_LEVEL_ERROR
					      : LOG_LEVEL_INFO,
		  "step %s%s%s %s%s%s", step->name, source ? " of " : "", name,
		  state_name(result->state), result->message[0] ? ": " : "",
		  result->message);
	return put_step(r, step->name, name, state_name(result->state), result,
			started, e);
}

/* What the steps so far amount to. */
struct tally {
	bool *lost; /* sources whose step failed */
	size_t lost_count;
	bool failed;
	bool partial;
	char message[300]; /* of the first that was not well */
};

static void count(struct tally *t, const struct run_step *step,
		  const struct resource *source,
		  const struct run_result *result)
{
	char text[201];

	if (result->state == RUN_SUCCEEDED || result->state == RUN_SKIPPED)
		return;
	if (result->state == RUN_FAILED && step->essential && !source)
		t->failed = true;
	t->partial = true;
	if (!t->message[0])
		(void)snprintf(t->message, sizeof(t->message), "%s%s%s: %s",
			       step->name, source ? " of " : "",
			       source ? source->name : "",
			       text_fit(result->message, text, sizeof(text)));
}

static int perform_one(struct run *r, const struct run_step *step, size_t index,
		       const struct resource *source, struct tally *t,
		       enum run_state *ret, struct err *e)
{
	struct run_result result = { .state = RUN_FAILED };
	int status;

	if (run_confine(r, step, index, e) < 0)
		return -1;
	buf_init(&result.details, DETAILS_MAX);
	status = perform(r, step, source, &result, e);
	buf_done(&result.details);
	if (status < 0)
		return -1;
	count(t, step, source, &result);
	*ret = result.state;
	return 0;
}

static int perform_for_sources(struct run *r, const struct run_step *step,
			       struct tally *t, struct err *e)
{
	for (size_t i = 0; i < r->source_count; i++) {
		enum run_state state;

		if (t->lost[i])
			continue;
		if (perform_one(r, step, i, r->sources[i], t, &state, e) < 0)
			return -1;
		if (state == RUN_FAILED && step->essential) {
			t->lost[i] = true;
			t->lost_count++;
		}
	}
	/* Nothing is left for the run to have done. */
	if (t->lost_count == r->source_count)
		t->failed = true;
	return 0;
}

static int perform_all(struct run *r, const struct run_step *steps, size_t n,
		       struct tally *t, struct err *e)
{
	enum run_state ignored;

	for (size_t i = 0; i < n; i++)
		if ((!t->failed || steps[i].in_any_case) &&
		    (steps[i].for_each_source
			     ? perform_for_sources(r, &steps[i], t, e)
			     : perform_one(r, &steps[i], 0, NULL, t, &ignored,
					   e)) < 0)
			return -1;
	return 0;
}

/* The run's last word; from here on it is done, whoever sees it end. */
static int put_result(struct run *r, const struct tally *t, enum run_state *ret,
		      struct err *e)
{
	struct run_result result = { .state = t->failed	   ? RUN_FAILED
					      : t->partial ? RUN_PARTIAL
							   : RUN_SUCCEEDED };

	memcpy(result.message, t->message, sizeof(result.message));
	*ret = result.state;
	return put_step(r, "run", "", state_name(result.state), &result,
			clock_now(), e);
}

int run_perform(struct run *r, const struct run_step *steps, size_t n,
		enum run_state *ret, struct err *e)
{
	struct tally t = { 0 };
	int status;

	if (n == 0)
		return err_set(e, ERR_BUG, "a run of kind %s has no steps",
			       r->kind);
	if (r->schedule && r->source_count == 0) {
		/* A selector that matches nothing protects nothing. */
		t.failed = true;
		(void)snprintf(t.message, sizeof(t.message),
			       "no source matches %s", r->name);
		return put_result(r, &t, ret, e);
	}
	t.lost = calloc(r->source_count + 1, sizeof(*t.lost));
	if (!t.lost)
		return err_oom(e);
	status = perform_all(r, steps, n, &t, e);
	free(t.lost);
	return status < 0 ? -1 : put_result(r, &t, ret, e);
}

/* ---- Loading ------------------------------------------------------------ */

void run_free(struct run *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->source_count; i++)
		resource_free(r->sources[i]);
	free(r->sources);
	resource_free(r->policy);
	resource_free(r->repository);
	resource_free(r->schedule);
	resource_free(r->drill);
	free(r->schedule_uid);
	free(r->name);
	free(r->kind);
	free(r);
}

static int copy_run(void *arg, const struct catalog_run *row, struct err *e)
{
	struct run *r = arg;

	r->id = row->id;
	r->attempt = row->attempt;
	r->occurrence = row->occurrence;
	r->occurrence_at = row->occurrence_at;
	r->kind = strdup(row->kind);
	r->name = strdup(row->schedule);
	r->schedule_uid = strdup(row->schedule_uid);
	return r->kind && r->name && r->schedule_uid ? 0 : err_oom(e);
}

static int read_resource(void *arg, const struct catalog_resource *row,
			 struct err *e)
{
	const struct resource_form form = { .kind = row->kind,
					    .name = row->name,
					    .labels_json = row->labels_json,
					    .spec_json = row->spec_json };

	return resource_from_form(&form, (struct resource **)arg, e);
}

static int get(struct run *r, const char *kind, const char *name,
	       struct resource **ret, struct err *e)
{
	const int found = catalog_resource_get(r->catalog, kind, name,
					       read_resource, ret, e);

	if (found < 0)
		return -1;
	return found == 1 ? 0
			  : err_set(e, ERR_NOT_FOUND, "there is no %s %s", kind,
				    text_quote_str(name).s);
}

static int add_source(void *arg, const struct catalog_resource *row,
		      struct err *e)
{
	struct run *r = arg;
	struct resource **more;
	struct resource *source = NULL;

	if (read_resource(&source, row, e) < 0)
		return -1;
	if (!resource_selects(r->schedule, source)) {
		resource_free(source);
		return 0;
	}
	more = reallocarray(r->sources, r->source_count + 1,
			    sizeof(struct resource *));
	if (!more) {
		resource_free(source);
		return err_oom(e);
	}
	r->sources = more;
	r->sources[r->source_count++] = source;
	return 0;
}

static int load(struct run *r, struct err *e)
{
	const struct catalog_resource_filter sources = { .kind = "Source" };
	const char *schedule = r->name;

	if (strcmp(r->kind, "Maintenance") == 0)
		return get(r, "Repository", r->name, &r->repository, e);
	if (strcmp(r->kind, "Drill") == 0) {
		if (get(r, "Drill", r->name, &r->drill, e) < 0)
			return -1;
		schedule = r->drill->drill.schedule;
	}
	if (get(r, "Schedule", schedule, &r->schedule, e) < 0 ||
	    get(r, "Repository", r->schedule->schedule.repository,
		&r->repository, e) < 0)
		return -1;
	if (r->schedule->schedule.policy &&
	    get(r, "Policy", r->schedule->schedule.policy, &r->policy, e) < 0)
		return -1;
	return catalog_resources(r->catalog, &sources, add_source, r, e) < 0
		       ? -1
		       : 0;
}

int run_load(struct catalog *c, int64_t id, struct run **ret, struct err *e)
{
	struct run *r = calloc(1, sizeof(*r));
	int found;

	if (!r)
		return err_oom(e);
	r->catalog = c;
	found = catalog_run_get(c, id, copy_run, r, e);
	if (found == 0)
		(void)err_set(e, ERR_NOT_FOUND, "there is no run %jd",
			      (intmax_t)id);
	if (found < 1 || load(r, e) < 0) {
		run_free(r);
		return -1;
	}
	*ret = r;
	return 0;
}

/* ---- The process -------------------------------------------------------- */

static atomic_bool stop;

static void on_signal(int number UNUSED)
{
	atomic_store(&stop, true);
}

static int run_one(struct catalog *c, const struct config *config, int64_t id,
		   enum run_state *ret, struct err *e)
{
	CLEANUP(run_free) struct run *r = NULL;
	const struct run_step *steps;
	struct err why;
	size_t n;

	if (run_load(c, id, &r, e) < 0)
		return -1;
	r->config = config;
	r->stop = &stop;
	store_stop_when(&stop);
	r->confines = strcmp(config_text(config, CONFIG_CONFINE), "on") == 0;
	if (r->confines && starter_is_needed(r) && starter_begin(r, &why) < 0)
		log_failure(LOG_LEVEL_WARN, "the run cannot be confined yet",
			    &why);
	steps = run_steps(r->kind, &n);
	return run_perform(r, steps, n, ret, e);
}

/* What kept a run from beginning is its result, too. */
static void tell_failure(struct catalog *c, int64_t id, const struct err *why)
{
	const struct catalog_step row = { .run = id,
					  .source = "",
					  .step = "run",
					  .region = "",
					  .state = "failed",
					  .started = clock_now(),
					  .finished = clock_now(),
					  .message = why->text };
	struct err e;

	if (catalog_step_put(c, &row, &e) < 0)
		log_failure(LOG_LEVEL_ERROR, "cannot tell the result", &e);
}

int run_main(const struct config *config, int64_t id)
{
	CLEANUP(catalog_close) struct catalog *c = NULL;
	struct sigaction ask = { .sa_handler = on_signal };
	enum run_state state = RUN_FAILED;
	char path[4096];
	struct err e;

	(void)sigaction(SIGTERM, &ask, NULL);
	(void)sigaction(SIGINT, &ask, NULL);
	(void)snprintf(path, sizeof(path), "%s/catalog.db",
		       config_text(config, CONFIG_STATE));
	if (catalog_open(path, &c, &e) < 0) {
		log_failure(LOG_LEVEL_ERROR, "cannot open the catalog", &e);
		return err_kind(e.code)->exit_status;
	}
	if (run_one(c, config, id, &state, &e) < 0) {
		log_failure(LOG_LEVEL_ERROR, "the run did not finish", &e);
		if (e.code != ERR_INTERRUPTED)
			tell_failure(c, id, &e);
		return err_kind(e.code)->exit_status;
	}
	return state == RUN_PARTIAL  ? err_kind(ERR_PARTIAL)->exit_status
	       : state == RUN_FAILED ? EXIT_FAILURE
				     : EXIT_SUCCESS;
}

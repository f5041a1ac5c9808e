#include "service/run_snapshot.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "service/jsontree.h"
#include "service/run_region.h"

/* Attempts that are looked through: more than any schedule is granted. */
enum { ATTEMPTS_MAX = 64 };

static int put(struct run *r, const char *source, struct object_id id,
	       const char *state, struct err *e)
{
	char text[OBJECT_ID_TEXT];
	char details[OBJECT_ID_TEXT + 32];
	const bool open = strcmp(state, "running") == 0;
	const struct instant now = clock_now();
	struct catalog_step row = {
		.run = r->id,
		.source = source,
		.step = "snapshot",
		.region =
			(r->written ? r->written : run_region_primary(r))->name,
		.state = state,
		.started = now,
		.message = "",
		.details_json = details,
	};

	if (!open)
		row.finished = now;
	object_id_format(id, text);
	(void)snprintf(details, sizeof(details), "{\"snapshot\":\"%s\"}", text);
	return catalog_step_put(r->catalog, &row, e);
}

int run_snapshot_begin(struct run *r, const char *source, struct object_id id,
		       struct err *e)
{
	return put(r, source, id, "running", e);
}

int run_snapshot_end(struct run *r, const char *source, struct object_id id,
		     bool partial, struct err *e)
{
	return put(r, source, id, partial ? "partial" : "succeeded", e);
}

/* Looking through the steps of one run. */
struct search {
	const char *source;
	bool finished_only;
	bool found;
	struct run_snapshot snapshot;
};

static int look(void *arg, const struct catalog_step *row, struct err *e UNUSED)
{
	struct search *s = arg;
	json_t *details;
	const char *id;

	if (strcmp(row->step, "snapshot") != 0 || !row->region[0] ||
	    strcmp(row->source, s->source) != 0)
		return 0;
	if (s->finished_only && strcmp(row->state, "running") == 0)
		return 0;
	details = jsontree_loads(row->details_json, 0, NULL);
	id = json_string_value(json_object_get(details, "snapshot"));
	s->found = id && object_id_parse(id, &s->snapshot.id);
	(void)snprintf(s->snapshot.region, sizeof(s->snapshot.region), "%s",
		       row->region);
	json_decref(details);
	return 0;
}

int run_snapshot_get(struct run *r, const char *source, struct object_id *ret,
		     struct err *e)
{
	struct search s = { .source = source, .finished_only = true };

	if (catalog_steps(r->catalog, r->id, look, &s, e) < 0)
		return -1;
	if (!s.found)
		return 0;
	*ret = s.snapshot.id;
	return 1;
}

struct attempts {
	int64_t runs[ATTEMPTS_MAX];
	size_t n;
};

static int add_attempt(void *arg, const struct catalog_run *row,
		       struct err *e UNUSED)
{
	struct attempts *a = arg;

	if (a->n < ATTEMPTS_MAX)
		a->runs[a->n++] = row->id;
	return 0;
}

int run_snapshot_begun(struct run *r, const char *source,
		       struct run_snapshot **ret, size_t *ret_n, struct err *e)
{
	const struct catalog_run_filter filter = { .occurrence = r->occurrence,
						   .limit = ATTEMPTS_MAX };
	struct attempts a = { .runs = { r->id }, .n = 1 };
	struct run_snapshot *all;
	size_t n = 0;

	if (r->occurrence) {
		a.n = 0;
		if (catalog_runs(r->catalog, &filter, add_attempt, &a, e) < 0)
			return -1;
	}
	all = calloc(a.n + 1, sizeof(*all));
	if (!all)
		return err_oom(e);
	for (size_t i = 0; i < a.n; i++) {
		struct search s = { .source = source };

		if (catalog_steps(r->catalog, a.runs[i], look, &s, e) < 0) {
			free(all);
			return -1;
		}
		if (s.found)
			all[n++] = s.snapshot;
	}
	*ret = all;
	*ret_n = n;
	return 0;
}

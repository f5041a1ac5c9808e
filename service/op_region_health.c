/* What the catalog knows of a repository's regions, without asking them. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "service/args.h"
#include "service/catalog_keep.h"
#include "service/jsontree.h"
#include "service/op.h"
#include "service/op_known.h"
#include "service/region_health.h"
#include "service/region_missing.h"
#include "service/resource.h"
#include "service/run_locks.h"

struct newest_of {
	struct json *j;
	const char *region;
};

static int write_newest(void *arg, const struct catalog_newest *n,
			struct err *e UNUSED)
{
	const struct newest_of *of = arg;

	if (strcmp(n->region, of->region) != 0 || !n->snapshot[0])
		return 0;
	json_begin_object(of->j);
	json_kv_str(of->j, "source", n->source);
	json_kv_str(of->j, "snapshot", n->snapshot);
	json_kv_instant(of->j, "received", n->received);
	json_kv_uint(of->j, "snapshots", n->snapshots);
	json_end_object(of->j);
	return 0;
}

static void write_moment(struct json *j, const char *key, struct instant t)
{
	if (t.sec)
		json_kv_instant(j, key, t);
	else
		json_kv_str(j, key, NULL);
}

struct showing {
	struct operation_call *call;
	struct resource *repository;
};

/* A region that is not declared any more is known, and keeps by nothing. */
static int write_missing(const struct showing *x,
			 const struct catalog_region *r, struct err *e)
{
	const struct resource_region *declared = resource_region(x->repository,
								 r->region);
	const struct resource_region former = { .name = r->region };
	struct json *j = x->call->reply;
	struct region_missing m;

	if (!args_switch(x->call->args, "missing"))
		return 0;
	if (region_missing_find(x->call->catalog, x->call->config,
				x->repository, declared ? declared : &former,
				x->call->now, &m, e) < 0)
		return -1;
	json_kv_uint(j, "missing", m.missing);
	json_kv_uint(j, "let_go", m.let_go);
	json_key(j, "lacks");
	json_begin_list(j);
	for (size_t i = 0; i < m.n_named; i++)
		json_str(j, m.named[i]);
	json_end_list(j);
	return 0;
}

/* What its newest check that came to an end found, as far as that is kept. */
struct damage {
	json_t *objects; /* names; or NULL: nothing */
	uint64_t count;
	uint64_t lost; /* snapshots that it had, and does not list */
};

static void take_objects(struct damage *d, const json_t *list)
{
	d->objects = json_array();
	for (size_t i = 0; d->objects && i < json_array_size(list); i++) {
		const char *name = json_string_value(
			json_object_get(json_array_get(list, i), "object"));

		if (name)
			(void)json_array_append_new(d->objects,
						    json_string(name));
	}
}

static int read_damage(void *arg, const struct catalog_check_row *row,
		       struct err *e UNUSED)
{
	struct damage *d = arg;
	json_t *details;

	if (strcmp(row->result, "failed") == 0)
		return 0;
	if (strcmp(row->result, "damaged") != 0)
		return 1;
	details = jsontree_loads(row->details_json, 0, NULL);
	d->count = row->damaged;
	d->lost = (uint64_t)json_integer_value(
		json_object_get(details, "lost_snapshots"));
	take_objects(d, json_object_get(details, "damaged"));
	json_decref(details);
	return 1;
}

static void write_damaged(struct json *j, const struct damage *d)
{
	json_key(j, "damaged");
	json_begin_list(j);
	for (size_t i = 0; i < json_array_size(d->objects); i++)
		json_str(j, json_string_value(json_array_get(d->objects, i)));
	json_end_list(j);
	json_kv_uint(j, "damaged_count", d->count);
}

/* Why it could not be reached or, when it could, what is wrong in it. */
static void write_message(struct json *j, const struct catalog_region *r,
			  const struct damage *d)
{
	const size_t named = json_array_size(d->objects);
	char text[500];
	size_t n;

	if (r->message[0] || (d->count == 0 && d->lost == 0)) {
		json_kv_str(j, "message", r->message);
		return;
	}
	if (d->count == 0)
		(void)snprintf(text, sizeof(text),
			       "it does not list %ju snapshots that it had",
			       (uintmax_t)d->lost);
	else
		(void)snprintf(text, sizeof(text),
			       "%ju damaged:", (uintmax_t)d->count);
	for (size_t i = 0; i < named && i < 3; i++) {
		n = strlen(text);
		(void)snprintf(
			text + n, sizeof(text) - n, "%s %.120s", i ? "," : "",
			json_string_value(json_array_get(d->objects, i)));
	}
	if (d->count > 3 && named >= 3) {
		n = strlen(text);
		(void)snprintf(text + n, sizeof(text) - n, " and %ju more",
			       (uintmax_t)(d->count - 3));
	}
	json_kv_str(j, "message", text);
}

static int write_region(void *arg, const struct catalog_region *r,
			struct err *e)
{
	const struct showing *x = arg;
	struct operation_call *call = x->call;
	struct newest_of of = { .j = call->reply, .region = r->region };
	const struct catalog_check_filter checks = {
		.repository = r->repository, .region = r->region, .limit = 20
	};
	struct region_fact fact = { 0 };
	struct damage damage = { .count = 0 };
	struct run_locks_known locks;
	struct json *j = call->reply;

	if (region_health_get(call->catalog, r->repository, r->region, &fact,
			      e) < 0 ||
	    run_locks_known(call->catalog, r->repository, r->region,
			    (struct instant){ 0 }, &locks, e) < 0 ||
	    catalog_checks(call->catalog, &checks, read_damage, &damage, e) < 0)
		return -1;
	json_begin_object(j);
	json_kv_str(j, "region", r->region);
	json_kv_bool(j, "primary", r->primary);
	json_kv_bool(j, "answers", !fact.failed);
	json_kv_bool(j, "sound", !fact.damaged);
	json_kv_bool(j, "writable", !fact.unwritable[0]);
	run_locks_known_write(j, &locks);
	json_kv_double(j, "failures", (double)fact.failures / 1000);
	json_kv_int(j, "latency_ms", fact.latency_ms);
	write_moment(j, "answered", r->seen_ok);
	write_moment(j, "failed", r->failed);
	write_message(j, r, &damage);
	write_damaged(j, &damage);
	json_decref(damage.objects);
	if (write_missing(x, r, e) < 0)
		return -1;
	json_key(j, "newest");
	json_begin_list(j);
	if (catalog_newest(call->catalog, r->repository, NULL, write_newest,
			   &of, e) < 0)
		return -1;
	json_end_list(j);
	json_end_object(j);
	return 0;
}

static int read_repository(void *arg, const struct catalog_resource *row,
			   struct err *e)
{
	const struct resource_form form = { .kind = row->kind,
					    .name = row->name,
					    .labels_json = row->labels_json,
					    .spec_json = row->spec_json };

	return resource_from_form(&form, arg, e);
}

static int health(struct operation_call *call, struct err *e)
{
	const char *name = args_text(call->args, "repository");
	CLEANUP(resource_free) struct resource *repository = NULL;
	const int known = catalog_resource_get(call->catalog, "Repository",
					       name, read_repository,
					       &repository, e);
	struct showing x = { .call = call };

	if (known <= 0)
		return known < 0 ? -1
				 : op_known_refuse(call, "Repository", name, e);
	x.repository = repository;
	json_begin_list(call->reply);
	if (catalog_regions(call->catalog, name, write_region, &x, e) < 0)
		return -1;
	json_end_list(call->reply);
	return 0;
}

#define HEALTH_VIEW                                                      \
	"region primary:yesno answers:yesno sound:yesno writable:yesno " \
	"guarded:yesno failures latency_ms answered:age failed:age message"

static const struct operation_param params[] = {
	{ .name = "repository",
	  .kind = PARAM_POSITIONAL,
	  .required = true,
	  .value = "REPOSITORY",
	  .help = "its name" },
	{ .name = "missing",
	  .kind = PARAM_SWITCH,
	  .view = HEALTH_VIEW " missing:count let_go:count",
	  .help = "count the snapshots that others have and it lacks, too: "
		  "those that its rules want, and those they let go of" },
	{ 0 }
};

const struct operation op_region_health_rows[] = {
	{ .verb = "region health",
	  .method = "GET",
	  .route = "/repositories/{repository}/regions",
	  .flags = OPERATION_DAEMON,
	  .params = params,
	  .view = HEALTH_VIEW,
	  .summary = "show how well each region answered the service",
	  .help = "What is known from the service's own runs, and nothing is "
		  "asked now: whether the last contact succeeded, whether the "
		  "last check was sound (else damaged names what it found, "
		  "twenty objects at most, of damaged_count), whether the "
		  "last try to write to it succeeded, whether its store "
		  "guards what is locked (guarded, as runs ask it by shares; "
		  "guards_asked is when), the share of the last dozen contacts "
		  "that failed, how long one takes, and what is newest there. "
		  "When the primary region is away, this decides which other "
		  "one is read.",
	  .run = health },
	{ 0 },
};

#include "service/engine_locks.h"

#include <string.h>

#include "service/engine_named.h"
#include "service/progress.h"

static void on_asked(void *arg, uint64_t asked)
{
	const struct operation_call *call = arg;

	progress_set(call->progress, asked, 0);
}

static int ask(const struct operation_call *call, struct repository *r,
	       struct object_id snapshot, struct engine_locks *ret,
	       struct err *e)
{
	const struct guards_options o = {
		.now = call->now,
		.ask = true,
		.only = &snapshot,
		.progress = on_asked,
		.arg = (void *)(uintptr_t)call,
		.cancel = call->stop,
	};
	struct guards_result result;

	progress_stage(call->progress, "locks", 0);
	if (guards_run(r, &o, &result, &ret->why) < 0)
		return operation_stopped(call, e);
	err_clear(&ret->why); /* of what was got over */
	/* One that is neither locked nor held needs none. */
	ret->exact = result.snapshots > 0;
	ret->objects = result.objects;
	ret->too_short = result.too_short;
	if (ret->exact)
		ret->is.until = result.least;
	return 0;
}

int engine_locks_find(const struct operation_call *call, struct repository *r,
		      struct object_id snapshot, bool exact,
		      struct engine_locks *ret, struct err *e)
{
	*ret = (struct engine_locks){ .exact = false };
	if (guards_of_snapshot(r, snapshot, &ret->is, &ret->why))
		return operation_stopped(call, e);
	return exact && ret->is.mode ? ask(call, r, snapshot, ret, e) : 0;
}

void engine_locks_write(struct json *j, const struct engine_locks *x)
{
	if (x->why.code) {
		json_kv_str(j, "lock_error", x->why.text);
		return;
	}
	json_kv_str(j, "lock_mode", x->is.mode ? x->is.mode : "none");
	if (!x->is.mode)
		return;
	if (x->is.until.sec)
		json_kv_instant(j, "lock_until", x->is.until);
	else
		json_kv_str(j, "lock_until", NULL);
	json_kv_bool(j, "lock_held", x->is.held);
	json_kv_bool(j, "lock_exact", x->exact);
	if (!x->exact)
		return;
	json_kv_uint(j, "lock_objects", x->objects);
	json_kv_uint(j, "lock_short", x->too_short);
}

/* ---- In each region ----------------------------------------------------- */

/* Who may only read may not know; who asks for all of it is told. */
static void write_one(struct operation_call *call, const char *region,
		      int present, bool exact, const struct engine_locks *x)
{
	struct json *j = call->reply;

	json_begin_object(j);
	json_kv_str(j, "region", region);
	if (present >= 0)
		json_kv_bool(j, "present", present);
	if (present)
		engine_locks_write(j, x);
	json_end_object(j);
	if (exact && (x->why.code || x->too_short))
		operation_partial(call);
}

static int list_one(struct operation_call *call, struct repository *r,
		    const char *region, struct object_id snapshot, bool exact,
		    struct err *e)
{
	struct engine_locks x = { .exact = false };
	const int present = repository_counts(r, snapshot, &x.why);

	if (present > 0 && engine_locks_find(call, r, snapshot, exact, &x, e))
		return -1;
	write_one(call, region, present, exact, &x);
	return operation_stopped(call, e);
}

static int list_other(struct operation_call *call, const struct resource *named,
		      const struct resource_region *region,
		      struct object_id snapshot, struct err *e)
{
	CLEANUP(keyring_credential_free) struct keyring_credential *key = NULL;
	CLEANUP(repository_close) struct repository *r = NULL;
	struct engine_locks x = { .exact = false };

	if (engine_named_key(call, named, &key, e))
		return -1;
	if (repository_open(region->url, key, &r, &x.why) == 0)
		return list_one(call, r, region->name, snapshot, true, e);
	write_one(call, region->name, -1, true, &x);
	return operation_stopped(call, e);
}

int engine_locks_list(struct operation_call *call, struct repository *r,
		      const char *region, struct object_id snapshot, bool exact,
		      struct err *e)
{
	CLEANUP(resource_free) struct resource *named = NULL;

	json_key(call->reply, "locks");
	json_begin_list(call->reply);
	if (list_one(call, r, region, snapshot, exact, e) ||
	    (exact && region && engine_named(call, &named, e) < 0))
		return -1;
	for (size_t i = 0; named && i < named->repository.region_count; i++) {
		const struct resource_region *other =
			&named->repository.regions[i];

		if (strcmp(other->name, region) != 0 &&
		    list_other(call, named, other, snapshot, e))
			return -1;
	}
	json_end_list(call->reply);
	return 0;
}

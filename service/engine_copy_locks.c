#include "service/engine_copy_locks.h"

#include <jansson.h>
#include <stdlib.h>

#include "service/engine_named.h"

/* Some hundred thousand snapshots. */
#define REPLY_MAX ((size_t)64 << 20)

struct engine_copy_lock {
	struct object_id snapshot;
	int64_t ms;
};

void engine_copy_locks_done(struct engine_copy_locks *x)
{
	free(x->v);
}

static int ask(const struct operation_call *call, const struct resource *named,
	       const char *region, const char *locks, json_t **ret,
	       struct err *e)
{
	const char *const params[][2] = { { "repository", named->name },
					  { "region", region },
					  { "locks", locks },
					  { NULL, NULL } };

	return engine_ask_tree(call, "region rules", params, REPLY_MAX, ret, e);
}

static int read_ms(const json_t *object, const char *key, int64_t *ret_ms,
		   struct err *e)
{
	const json_t *value = json_object_get(object, key);

	if (!json_is_integer(value) || json_integer_value(value) < 0 ||
	    json_integer_value(value) > INT64_MAX / 1000)
		return err_set(e, ERR_BUG, "the daemon's answer is not known");
	*ret_ms = json_integer_value(value) * 1000;
	return 0;
}

int engine_copy_locks_own(const struct operation_call *call,
			  const struct resource *named,
			  const struct resource_region *region, int64_t *ret_ms,
			  struct err *e)
{
	json_t *value = NULL;
	int failed;

	*ret_ms = 0;
	if (!region->policy)
		return 0;
	failed = ask(call, named, region->name, NULL, &value, e) ||
		 read_ms(value, "lock_seconds", ret_ms, e);
	json_decref(value);
	return failed ? -1 : 0;
}

static int by_snapshot(const void *a, const void *b)
{
	const struct engine_copy_lock *x = a;
	const struct engine_copy_lock *y = b;

	return object_id_compare(x->snapshot, y->snapshot);
}

static int read_locks(struct engine_copy_locks *x, const json_t *value,
		      struct err *e)
{
	const json_t *list = json_object_get(value, "locks");
	const json_t *row;
	size_t i;

	if (read_ms(value, "else_seconds", &x->else_ms, e))
		return -1;
	x->v = calloc(json_array_size(list) + 1, sizeof(*x->v));
	if (!x->v)
		return err_oom(e);
	json_array_foreach(list, i, row)
	{
		const char *id = json_string_value(
			json_object_get(row, "snapshot"));

		if (read_ms(row, "seconds", &x->v[x->n].ms, e))
			return -1;
		if (id && object_id_parse(id, &x->v[x->n].snapshot))
			x->n++;
	}
	if (x->n)
		qsort(x->v, x->n, sizeof(*x->v), by_snapshot);
	return 0;
}

static int ask_all(struct engine_copy_locks *x, struct err *e)
{
	json_t *value = NULL;
	const int failed = ask(x->call, x->named,
			       resource_region(x->named, NULL)->name, "true",
			       &value, e) ||
			   read_locks(x, value, e);

	json_decref(value);
	x->asked = !failed;
	return failed ? -1 : 0;
}

int engine_copy_locks_of(struct engine_copy_locks *x,
			 const struct repository_snapshot *s, int64_t *ret_ms,
			 struct err *e)
{
	const struct engine_copy_lock key = { .snapshot =
						      s->manifest.snapshot };
	const struct engine_copy_lock *found;

	if (!s->lock_is_here)
		return 0;
	if (!x->asked && ask_all(x, e))
		return -1;
	found = x->n ? bsearch(&key, x->v, x->n, sizeof(*x->v), by_snapshot)
		     : NULL;
	*ret_ms = found ? found->ms : x->else_ms;
	return 1;
}

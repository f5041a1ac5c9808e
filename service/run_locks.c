#include "service/run_locks.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/catalog_keep.h"
#include "service/findings.h"
#include "service/jsontree.h"
#include "service/run_region.h"
#include "storage/repository/check.h"

#define DAY_S  INT64_C(86400)
#define DAY_MS (DAY_S * 1000)
/* So many checks that asked are looked through. */
#define CHECKS_MAX 100

/* ---- What is known ------------------------------------------------------ */

struct known {
	struct run_locks_known *out;
	/* For the next turn; parts 0: of whatever cycle. */
	unsigned int parts;
	int64_t day;	  /* the newest of a cycle of so many; or -1 */
	json_t *findings; /* of the newest of any; or NULL */
};

static uint64_t number(const json_t *value, const char *key)
{
	const json_int_t n = json_integer_value(json_object_get(value, key));

	return n > 0 ? (uint64_t)n : 0;
}

static void take_newest(struct known *k, const struct catalog_check_row *row,
			const json_t *locks)
{
	const char *why = json_string_value(json_object_get(locks, "error"));

	*k->out = (struct run_locks_known){
		.any = true,
		.asked = row->started,
		.snapshots = number(locks, "snapshots"),
		.objects = number(locks, "objects"),
		.too_short = number(locks, "short")
	};
	(void)snprintf(k->out->why, sizeof(k->out->why), "%s", why ? why : "");
	k->findings = json_deep_copy(json_object_get(locks, "findings"));
}

static int read_check(void *arg, const struct catalog_check_row *row,
		      struct err *e UNUSED)
{
	struct known *k = arg;
	json_t *details;
	const json_t *locks;
	const json_t *day;

	if (!strstr(row->details_json, "\"object_lock\""))
		return 0;
	details = jsontree_loads(row->details_json, 0, NULL);
	locks = json_object_get(details, "object_lock");
	day = json_object_get(locks, "day");
	if (locks && !k->out->any)
		take_newest(k, row, locks);
	if (json_is_integer(day) && number(locks, "parts") == k->parts)
		k->day = json_integer_value(day);
	json_decref(details);
	return k->out->any && (!k->parts || k->day >= 0);
}

static int read_known(struct catalog *c, const char *repository,
		      const char *region, struct instant to, struct known *k,
		      struct err *e)
{
	const struct catalog_check_filter filter = { .repository = repository,
						     .region = region,
						     .locks = true,
						     .to = to,
						     .limit = CHECKS_MAX };

	k->day = -1;
	*k->out = (struct run_locks_known){ .any = false };
	return catalog_checks(c, &filter, read_check, k, e) < 0 ? -1 : 0;
}

int run_locks_known(struct catalog *c, const char *repository,
		    const char *region, struct instant to,
		    struct run_locks_known *ret, struct err *e)
{
	struct known k = { .out = ret };
	const int failed = read_known(c, repository, region, to, &k, e);

	json_decref(k.findings);
	return failed;
}

static void write_short(const char *region, uint64_t n, char text[300])
{
	(void)snprintf(text, 300,
		       "region %.63s: its store guards %ju %s too briefly for "
		       "their locks",
		       region, (uintmax_t)n, n == 1 ? "object" : "objects");
}

static void write_unasked(const char *region, const char *why, char text[300])
{
	(void)snprintf(text, 300,
		       "region %.63s: whether its store guards what is locked "
		       "could not be asked: %.150s",
		       region, why);
}

bool run_locks_wrong(const struct run_locks_known *x, const char *region,
		     char text[300])
{
	if (*x->why)
		write_unasked(region, x->why, text);
	else if (x->too_short)
		write_short(region, x->too_short, text);
	return *x->why || x->too_short;
}

void run_locks_known_write(struct json *j, const struct run_locks_known *x)
{
	if (!x->any) {
		json_kv_str(j, "guarded", NULL);
		json_kv_str(j, "guards_asked", NULL);
		return;
	}
	json_kv_bool(j, "guarded", !x->too_short && !*x->why);
	json_kv_instant(j, "guards_asked", x->asked);
}

/* ---- The turn ----------------------------------------------------------- */

struct turn {
	const struct run_locks *locks;
	bool all;	      /* more fell short than were named */
	const json_t *short_; /* what fell short before: findings, or NULL */
	bool was_wrong;
};

static bool fell_short(const struct turn *t, const char *name)
{
	for (size_t i = 0; i < json_array_size(t->short_); i++) {
		const char *object = json_string_value(json_object_get(
			json_array_get(t->short_, i), "object"));

		if (object && strcmp(object, name) == 0)
			return true;
	}
	return false;
}

/* By the pack, or by the snapshot; false: it is of every part. */
static bool find_id(const char *name, struct object_id *ret)
{
	static const enum object_kind kinds[] = { OBJECT_MANIFEST,
						  OBJECT_RECEIPT, OBJECT_LOCK };
	struct object_id last;

	if (object_name_parse(OBJECT_DATA_PACK, name, &last, ret) ||
	    object_name_parse(OBJECT_META_PACK, name, &last, ret))
		return true;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (object_name_parse(kinds[i], name, ret, &last))
			return true;
	return false;
}

static bool is_wanted(void *arg, const char *name)
{
	const struct turn *t = arg;
	const struct run_locks *x = t->locks;
	struct object_id id;

	if (t->all || fell_short(t, name))
		return true;
	if (x->behind == 0)
		return false;
	if (!find_id(name, &id))
		return true;
	for (unsigned int i = 0; i < x->behind; i++)
		if (check_in_part(id, (unsigned int)((x->day - i) % x->parts),
				  x->parts))
			return true;
	return false;
}

/* Half of the lock: what nobody lengthened is found while it is guarded. */
static unsigned int parts_of(int64_t lock_ms, int64_t cycle_ms)
{
	int64_t parts;

	if (lock_ms && lock_ms / 2 < cycle_ms)
		cycle_ms = lock_ms / 2;
	parts = cycle_ms / DAY_MS;
	return parts < 1 ? 1 : parts > 3660 ? 3660 : (unsigned int)parts;
}

static void find_turn(struct run_locks *x, int64_t last)
{
	const int64_t days = last < 0 ? 1 : x->day - last;

	/* A day in the future is of a clock that was wrong. */
	x->behind = days < 0		       ? 1
		    : days > (int64_t)x->parts ? x->parts
					       : (unsigned int)days;
}

static int ask(struct run *r, struct repository *repository, struct instant now,
	       struct turn *t, struct run_locks *x, struct err *e)
{
	const struct guards_options o = { .now = now,
					  .ask = true,
					  .wanted = is_wanted,
					  .arg = t,
					  .cancel = r->stop };

	x->asked = true;
	if (guards_run(repository, &o, &x->result, &x->why))
		return run_stopped(r, e) < 0 ? -1 : 0;
	err_clear(&x->why); /* of what was got over */
	/* Where nothing is locked there is nothing to tell, but that nothing is
	 * wrong any more. */
	x->asked = x->result.snapshots || t->was_wrong;
	return 0;
}

int run_locks_ask(struct run *r, const struct resource_region *region,
		  struct repository *repository, struct instant now,
		  int64_t cycle_ms, struct run_locks *ret, struct err *e)
{
	struct run_locks_known newest;
	struct known k = { .out = &newest };
	struct turn t = { .locks = ret };
	struct run_lock how;
	int failed;

	if (run_region_lock(r, region, &how, e) < 0)
		return -1;
	*ret = (struct run_locks){ .day = now.sec / DAY_S,
				   .parts = parts_of(how.ms, cycle_ms) };
	k.parts = ret->parts;
	if (read_known(r->catalog, r->repository->name, region->name,
		       (struct instant){ 0 }, &k, e) < 0) {
		json_decref(k.findings);
		return -1;
	}
	find_turn(ret, k.day);
	t.short_ = k.findings;
	t.all = newest.too_short > json_array_size(k.findings);
	t.was_wrong = newest.too_short || *newest.why;
	failed = ret->behind || t.was_wrong
			 ? ask(r, repository, now, &t, ret, e)
			 : 0;
	json_decref(k.findings);
	return failed;
}

/* ---- Telling ------------------------------------------------------------ */

void run_locks_write(struct json *j, const struct run_locks *x,
		     struct instant now)
{
	const struct guards_result *g = &x->result;

	if (!x->asked)
		return;
	json_key(j, "object_lock");
	json_begin_object(j);
	json_kv_instant(j, "at", now);
	/* One that failed is made up for. */
	if (!x->why.code)
		json_kv_int(j, "day", x->day);
	json_kv_uint(j, "parts", x->parts);
	json_kv_uint(j, "parts_asked", x->behind);
	json_kv_uint(j, "snapshots", g->snapshots);
	json_kv_uint(j, "objects", g->objects);
	json_kv_uint(j, "asked", g->asked);
	json_kv_uint(j, "short", g->too_short);
	if (g->least.sec)
		json_kv_instant(j, "until_least", g->least);
	if (x->why.code)
		json_kv_str(j, "error", x->why.text);
	findings_write_locks(j, g);
	json_end_object(j);
}

bool run_locks_fall_short(const struct run_locks *x, const char *region,
			  char text[300])
{
	if (!x->asked)
		return false;
	if (x->why.code)
		write_unasked(region, x->why.text, text);
	else if (x->result.too_short)
		write_short(region, x->result.too_short, text);
	return x->why.code || x->result.too_short;
}

#include "storage/repository/guards.h"

#include <stdlib.h>
#include <string.h>

#include "storage/repository/guards_internal.h"
#include "storage/repository/inventory.h"
#include "storage/repository/writer.h"

#define HOUR_MS INT64_C(3600000)
#define DAY_MS	(24 * HOUR_MS)

int64_t guards_ahead_ms(int64_t lock_ms)
{
	const int64_t least_ms = lock_ms < DAY_MS ? lock_ms : DAY_MS;
	const int64_t ahead_ms = lock_ms / 4;

	if (ahead_ms < least_ms)
		return least_ms;
	return ahead_ms > 30 * DAY_MS ? 30 * DAY_MS : ahead_ms;
}

struct instant guards_ahead(struct instant from, struct instant until)
{
	const int64_t lock_ms = instant_ms_between(from, until);

	return lock_ms > 0 ? instant_add_ms(until, guards_ahead_ms(lock_ms))
			   : until;
}

static struct instant earlier(struct instant a, struct instant b)
{
	return instant_compare(a, b) < 0 ? a : b;
}

struct instant guards_need(const struct repository_snapshot *s,
			   struct instant now)
{
	/* One that does not open is in force, and nobody knows its end. */
	if (!s->locked || s->locked_until.sec == INT64_MAX)
		return (struct instant){ 0, 0 };
	return earlier(
		s->locked_until,
		instant_add_ms(earlier(s->received, now), GUARDS_LOCK_MAX_MS));
}

struct instant guards_index_need(struct instant need, struct instant now)
{
	return earlier(need, instant_add_ms(now, GUARDS_INDEX_LOW_MS));
}

struct instant guards_index_goal(struct instant goal, struct instant now)
{
	return earlier(goal, instant_add_ms(now, GUARDS_SHORT_MS));
}

struct instant guards_index_judged(struct instant need, struct instant now)
{
	return earlier(need, instant_add_ms(now, GUARDS_INDEX_LEAST_MS));
}

/* ---- Beginning ---------------------------------------------------------- */

static bool is_index(const char *name)
{
	return strncmp(name, "index/", 6) == 0;
}

int guards_begin(struct repository *r, struct instant until, struct instant now,
		 struct err *e)
{
	const struct instant most = guards_ahead(
		now, instant_add_ms(now, GUARDS_LOCK_MAX_MS));
	int can;

	store_guard_none(repository_store(r));
	if (instant_compare(until, now) <= 0)
		return 0;
	can = store_can_guard(repository_store(r), e);
	if (can <= 0)
		return can;
	store_guard_new(repository_store(r), earlier(until, most),
			object_is_guarded);
	store_guard_brief(repository_store(r),
			  earlier(until, instant_add_ms(now, GUARDS_INDEX_MS)),
			  is_index);
	return 1;
}

struct latest {
	struct instant now;
	struct instant until;
};

static int note_snapshot(void *arg, struct repository_snapshot *s,
			 struct err *e)
{
	struct latest *x = arg;
	const struct instant need = guards_need(s, x->now);

	(void)e;
	if (instant_compare(need, x->until) > 0)
		x->until = need;
	return 0;
}

int guards_begin_short(struct repository *r, struct instant now, struct err *e)
{
	struct latest x = { now, now };
	const int can = store_can_guard(repository_store(r), e);

	if (can <= 0)
		return can;
	if (repository_snapshots(r, true, note_snapshot, NULL, &x, e))
		return -1;
	return guards_begin(r,
			    earlier(guards_ahead(now, x.until),
				    instant_add_ms(now, GUARDS_SHORT_MS)),
			    now, e);
}

/* ---- Records ------------------------------------------------------------ */

static int add_one(struct guards *x, struct object_id id, struct instant until,
		   struct err *e)
{
	struct guards_known *known;
	void *value;

	if (filemap_add(x->known, id.b, &value, e) < 0)
		return -1;
	known = value;
	if (until.sec == 0)
		known->held = true;
	else if (until.sec > known->until)
		known->until = until.sec;
	return 0;
}

static int add_record(void *arg, const char *name, const struct record *r,
		      const struct err *why, struct err *e)
{
	struct guards *x = arg;
	struct object_id *grown;
	struct object_id first;
	struct object_id id;

	(void)why;
	if (!object_name_parse(OBJECT_GUARD, name, &first, &id))
		return 0;
	if ((x->n_records & (x->n_records + 1)) == 0) {
		grown = reallocarray(x->records, 2 * x->n_records + 1,
				     sizeof(*grown));
		if (!grown)
			return err_oom(e);
		x->records = grown;
	}
	x->records[x->n_records++] = id;
	for (size_t i = 0; r && i < r->n_ids; i++)
		if (add_one(x, r->ids[i], r->until, e))
			return -1;
	return 0;
}

int guards_new(struct guards **ret, struct err *e)
{
	struct guards *x = calloc(1, sizeof(*x));

	if (!x)
		return err_oom(e);
	if (filemap_new(&x->known, NULL, sizeof(struct object_id),
			sizeof(struct guards_known), e)) {
		free(x);
		return -1;
	}
	*ret = x;
	return 0;
}

int guards_forget(struct guards *x, struct err *e)
{
	filemap_free(x->known);
	x->known = NULL;
	return filemap_new(&x->known, NULL, sizeof(struct object_id),
			   sizeof(struct guards_known), e);
}

int guards_read(struct store *s, const struct keys *k, struct guards **ret,
		struct err *e)
{
	CLEANUP(guards_free) struct guards *x = NULL;

	if (guards_new(&x, e) ||
	    record_list(s, k, OBJECT_GUARD, add_record, x, e))
		return -1;
	*ret = TAKE(x);
	return 0;
}

void guards_free(struct guards *x)
{
	if (!x)
		return;
	filemap_free(x->known);
	free(x->records);
	free(x);
}

struct instant guards_until(struct guards *x, struct object_id id)
{
	const struct guards_known *known = filemap_find(x->known, id.b);

	return (struct instant){ known ? known->until : 0, 0 };
}

bool guards_is_held(struct guards *x, struct object_id id)
{
	const struct guards_known *known = filemap_find(x->known, id.b);

	return known && known->held;
}

int guards_keys_id(struct store *s, const struct keys *k, struct object_id *ret,
		   struct err *e)
{
	struct inventory_sum sum = { 0 };
	struct object_id id = keys_repository(k);

	if (inventory_add(s, "keys/", &sum, e) ||
	    inventory_add(s, "keyring/", &sum, e))
		return -1;
	for (unsigned int i = 0; i < 8; i++)
		id.b[i] ^= (uint8_t)(sum.hash >> (8 * i));
	*ret = id;
	return 0;
}

int guards_lock(struct repository *r, const struct repository_snapshot *s,
		struct instant until, struct instant now,
		struct object_name *ret_name, struct err *e)
{
	const int fenced = writer_is_fenced(r, s->manifest.session, e);
	struct record l;

	if (fenced)
		return fenced < 0 ? -1 : 0;
	record_init(&l, OBJECT_LOCK);
	l.id = record_lock_id(s->manifest.snapshot, s->lock_is_here);
	l.snapshot = s->manifest.snapshot;
	l.session = s->manifest.session;
	l.until = until;
	l.time = now;
	if (ret_name)
		*ret_name = record_name(&l);
	return record_put(repository_store(r), repository_keys(r), &l, 0, e)
		       ? -1
		       : 1;
}

static int note_some(struct store *s, const struct keys *k,
		     const struct object_id *ids, size_t n,
		     struct instant until, struct instant now, struct err *e)
{
	struct record r;
	int failed = 0;

	record_init(&r, OBJECT_GUARD);
	r.id = object_id_new();
	r.time = now;
	r.until = until;
	for (size_t i = 0; !failed && i < n; i++)
		failed = record_add_id(&r, ids[i], e);
	failed = failed || record_put(s, k, &r, 0, e);
	record_done(&r);
	return failed ? -1 : 0;
}

int guards_note(struct store *s, const struct keys *k,
		const struct object_id *ids, size_t n, struct instant until,
		struct instant now, struct err *e)
{
	for (size_t at = 0; at < n; at += RECORD_IDS_MAX) {
		const size_t some = n - at < RECORD_IDS_MAX ? n - at
							    : RECORD_IDS_MAX;

		if (note_some(s, k, ids + at, some, until, now, e))
			return -1;
	}
	return 0;
}

int guards_of_snapshot(struct repository *r, struct object_id snapshot,
		       struct guards_of *ret, struct err *e)
{
	struct store *s = repository_store(r);
	CLEANUP(guards_free) struct guards *known = NULL;
	const int can = store_can_guard(s, e);

	*ret = (struct guards_of){ .held = false };
	if (can <= 0)
		return can;
	ret->mode = store_guard_mode(s);
	if (guards_read(s, repository_keys(r), &known, e))
		return -1;
	ret->until = guards_until(known, snapshot);
	ret->held = guards_is_held(known, snapshot);
	return 0;
}

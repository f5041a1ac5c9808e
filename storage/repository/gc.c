#include "storage/repository/gc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "storage/repository/deletion.h"
#include "storage/repository/gc_internal.h"
#include "storage/repository/guards.h"
#include "storage/repository/inventory.h"
#include "storage/repository/writer.h"

int gc_stopped(struct gc *g, struct err *e)
{
	if (g->o->cancel &&
	    atomic_load_explicit(g->o->cancel, memory_order_relaxed))
		return err_set(e, ERR_INTERRUPTED, "interrupted");
	return 0;
}

void gc_stage(struct gc *g, const char *stage, uint64_t done, uint64_t total)
{
	const struct gc_progress p = { stage, done, total };

	if (g->o->progress)
		g->o->progress(g->o->arg, &p);
}

void gc_block(struct gc *g, enum object_kind kind, struct object_id id,
	      const char *host, const char *why)
{
	struct gc_result *out = g->out;
	struct gc_blocker *b;

	for (uint64_t i = 0; i < out->n_blocked && i < GC_BLOCKERS_MAX; i++)
		if (object_id_equal(out->blocked[i].id, id))
			return;
	if (out->n_blocked++ >= GC_BLOCKERS_MAX)
		return;
	b = &out->blocked[out->n_blocked - 1];
	b->kind = kind;
	b->id = id;
	(void)snprintf(b->host, sizeof(b->host), "%s", host);
	(void)snprintf(b->why, sizeof(b->why), "%s", why);
}

int gc_refuse(struct err *e, const char *format, ...)
{
	char text[sizeof(e->text)];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	(void)err_set(e, ERR_CORRUPT, "%s; nothing was deleted", text);
	return err_hint(e, "`snapctl repo check` says more, and `snapctl repo "
			   "check --repair` settles what cannot be mended");
}

int gc_refuse_because(struct err *e, const char *what)
{
	const struct err why = *e;

	return gc_refuse(e, "%s: %s", what, why.text);
}

static int confirm(struct gc *g, struct err *e)
{
	const int fenced = writer_is_fenced(g->r, g->session, e);

	if (fenced < 0)
		return -1;
	if (!fenced)
		return writer_check_keys(g->r, e);
	(void)err_set(e, ERR_BUSY,
		      "this garbage collection was given up by "
		      "another one while it stood still");
	return err_hint(e, "run it again: nothing is lost");
}

int gc_confirm(struct gc *g, struct err *e)
{
	struct store_asked *asked = writer_ask_confirm(g->store, g->session);
	const int failed = confirm(g, e);

	store_ask_done(asked);
	return failed;
}

/* ---- Ids ---------------------------------------------------------------- */

/* 16 million ids are 256 MiB: more than a region of a petabyte has. */
#define IDS_MAX ((size_t)1 << 24)

int gc_ids_add(struct gc_ids *l, struct object_id id, struct err *e)
{
	if (l->n == l->room) {
		const size_t room = l->room ? 2 * l->room : 16;
		struct object_id *grown;

		if (room > IDS_MAX)
			return err_set(e, ERR_CORRUPT,
				       "the region lists too much");
		grown = reallocarray(l->v, room, sizeof(*grown));
		if (!grown)
			return err_oom(e);
		l->v = grown;
		l->room = room;
	}
	l->v[l->n++] = id;
	return 0;
}

static int compare_ids(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct object_id));
}

void gc_ids_sort(struct gc_ids *l)
{
	if (l->n)
		qsort(l->v, l->n, sizeof(*l->v), compare_ids);
}

bool gc_ids_has(const struct gc_ids *l, struct object_id id)
{
	return l->n && bsearch(&id, l->v, l->n, sizeof(*l->v), compare_ids);
}

void gc_ids_done(struct gc_ids *l)
{
	free(l->v);
	*l = (struct gc_ids){ 0 };
}

/* ---- The steps ---------------------------------------------------------- */

/*
 * What is live in mostly dead packs moves first, so that writers find it
 * where it will be; what then nobody needs is marked.
 */
static int mark_garbage(struct gc *g, struct err *e)
{
	struct gc_ids garbage = { 0 };
	int failed;

	failed = gc_choose(g, e) || gc_copy(g, e) || gc_merge(g, e) ||
		 gc_confirm(g, e) || gc_garbage(g, &garbage, e) ||
		 gc_superseded(g, &garbage, e) || gc_mark(g, &garbage, e);
	gc_ids_done(&garbage);
	return failed ? -1 : 0;
}

/* copy, confirm, reconsider, delete: what was looked at again before. */
static int delete_due(struct gc *g, struct err *e)
{
	return gc_copy(g, e) || gc_confirm(g, e) || gc_delete(g, e) ? -1 : 0;
}

/* With a grace period one look serves what is due and what is new. */
static int collect(struct gc *g, struct err *e)
{
	return gc_marks_read(g, e) || gc_wait(g, e) || gc_survey(g, e) ||
			       delete_due(g, e) || mark_garbage(g, e)
		       ? -1
		       : 0;
}

/* What earlier ones marked: there may be no room for a copy before that. */
static int make_room(struct gc *g, struct err *e)
{
	if (g->n_marks && delete_due(g, e))
		return -1;
	/* What may not go is tried again, and counted then. */
	g->out->locked = 0;
	g->out->bytes_locked = 0;
	return 0;
}

/*
 * Without, what is marked now is looked at again at once.  Who stood still is
 * given up before, so that what it left is among the garbage.
 */
static int collect_at_once(struct gc *g, struct err *e)
{
	return gc_marks_read(g, e) || gc_wait(g, e) || gc_survey(g, e) ||
			       make_room(g, e) || mark_garbage(g, e) ||
			       gc_marks_read(g, e) || gc_wait(g, e) ||
			       gc_survey(g, e) || delete_due(g, e) ||
			       gc_merge(g, e)
		       ? -1
		       : 0;
}

static int run(struct gc *g, struct err *e)
{
	const int can_guard = store_can_guard(g->store, e);
	int failed;

	/* What is copied, and merged, may be what a lock is on. */
	if (can_guard < 0 ||
	    (can_guard && guards_begin_short(g->r, g->o->now, e) < 0))
		return -1;
	g->can_guard = can_guard;
	if (gc_announce(g, e) || gc_listing_check(g, e))
		return -1;
	failed = g->o->grace_ms == 0 ? collect_at_once(g, e) : collect(g, e);
	return failed || gc_marks_clean(g, e) ||
			       inventory_put(g->store, g->keys, g->o->now,
					     false, e)
		       ? -1
		       : 0;
}

/* Given up while we stood still: what we miss may have been taken from us. */
static void judge_ourselves(struct gc *g, struct err *e)
{
	struct err why = { 0 };

	if (e->code == ERR_CORRUPT && gc_confirm(g, &why) &&
	    why.code == ERR_BUSY)
		*e = why;
}

int gc_run(struct repository *r, const struct gc_options *o,
	   struct gc_result *ret, struct err *e)
{
	struct gc_result *out = calloc(1, sizeof(*out));
	struct gc g = { .r = r,
			.store = repository_store(r),
			.keys = repository_keys(r),
			.o = o,
			.out = out,
			.lease_ms = o->lease_ms ? o->lease_ms : beat_lease_ms(),
			.begun_ms = clock_boot_ms() };
	int failed;

	if (!out)
		return err_oom(e);
	failed = run(&g, e);
	if (failed)
		judge_ourselves(&g, e);
	gc_survey_done(&g);
	gc_marks_done(&g);
	gc_ids_done(&g.sessions);
	gc_ids_done(&g.ended);
	gc_ids_done(&g.known[0]);
	gc_ids_done(&g.known[1]);
	gc_ids_done(&g.lost_manifests);
	beat_stop(g.beat);
	*ret = *out;
	free(out);
	return failed ? -1 : 0;
}

/* Which snapshots a pass over a region guards, for how long, in what order. */
#include "storage/repository/guards_pass_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void guards_pass_remember(struct guards_pass *x, const struct err *why)
{
	if (x->failure.code == ERR_NONE)
		x->failure = *why;
}

/* It may be locked, or held; what the disk refuses may be sound, besides. */
static int pass_over(void *arg, const char *name, const struct err *why,
		     struct err *e)
{
	struct guards_pass *x = arg;

	(void)name;
	(void)e;
	x->g->blind = true;
	if (why->sys == EIO)
		guards_pass_remember(x, why);
	return 0;
}

/* A lock that does not open is in force, for nobody knows how long. */
static void tell_endless(struct guards_pass *x,
			 const struct repository_snapshot *s)
{
	char id[OBJECT_ID_TEXT];
	struct err why = { 0 };

	object_id_format(s->manifest.snapshot, id);
	(void)err_set(&why, ERR_CORRUPT, "a lock of snapshot %s does not open",
		      id);
	err_add_reason(&why, s->unread_sys);
	guards_pass_remember(x, &why);
}

/* What is held because of it is held in the store until it is released. */
static void tell_doubt(struct guards_pass *x,
		       const struct repository_snapshot *s)
{
	struct err why = { 0 };

	(void)err_set(&why, ERR_CORRUPT,
		      "a hold does not open, so that everything is held");
	err_add_reason(&why, s->unread_sys);
	guards_pass_remember(x, &why);
}

static int add_wanted(void *arg, struct repository_snapshot *s, struct err *e)
{
	struct guards_pass *x = arg;
	const struct manifest *m = &s->manifest;
	struct guards_wanted *grown;
	struct guards_wanted *w;
	const struct instant need = guards_need(s, x->o->now);
	const bool locked = instant_compare(need, x->o->now) > 0;

	if (x->o->only && !object_id_equal(*x->o->only, m->snapshot))
		return 0;
	if (s->locked && need.sec == 0)
		tell_endless(x, s);
	if (s->held_in_doubt)
		tell_doubt(x, s);
	if (!locked && !s->held)
		return 0;
	if ((x->n & (x->n + 1)) == 0) {
		grown = reallocarray(x->v, 2 * x->n + 1, sizeof(*grown));
		if (!grown)
			return err_oom(e);
		x->v = grown;
	}
	w = &x->v[x->n++];
	*w = (struct guards_wanted){
		.s = { .id = m->snapshot,
		       .tree = m->tree,
		       .hints = m->hints,
		       .error_list = m->error_list,
		       .has_errors = m->errors > 0 },
		.manifest = object_name_pair(OBJECT_MANIFEST, m->snapshot,
					     m->session),
		.id = m->snapshot,
		.received = s->received,
		.held = s->held,
		.locked_elsewhere = s->locked_elsewhere,
		.unnamed = locked && !s->lock_is_ours,
		.lock_is_here = s->lock_is_here,
		.session = m->session,
	};
	if (locked)
		w->need = w->low = w->goal = need;
	(void)snprintf(w->source, sizeof(w->source), "%s", m->source);
	return 0;
}

int guards_pass_list(struct guards_pass *x, struct err *e)
{
	return repository_snapshots(x->g->r, true, add_wanted, pass_over, x, e);
}

static int by_source(const void *a, const void *b)
{
	const struct guards_wanted *x = a;
	const struct guards_wanted *y = b;
	const int c = strcmp(x->source, y->source);

	return c ? c : instant_compare(x->received, y->received);
}

static int by_need(const void *a, const void *b)
{
	const struct guards_wanted *x = a;
	const struct guards_wanted *y = b;
	const int c = instant_compare(y->low, x->low);

	return c ? c : object_id_compare(x->id, y->id);
}

/* What the newest of a source needs, the next one most likely needs, too. */
static void look_ahead(struct guards_pass *x)
{
	qsort(x->v, x->n, sizeof(*x->v), by_source);
	for (size_t i = 0; i < x->n; i++) {
		struct guards_wanted *w = &x->v[i];
		int64_t ahead_ms;

		if (w->need.sec == 0 || !*w->source ||
		    (i + 1 < x->n && !strcmp(w->source, w[1].source)))
			continue;
		w->goal = guards_ahead(w->received, w->need);
		ahead_ms = instant_ms_between(w->need, w->goal);
		w->low = instant_add_ms(w->need, ahead_ms / 2);
	}
}

/* Records are rounded down: what is lengthened has to be enough even so. */
static void round_up(struct guards_pass *x)
{
	for (size_t i = 0; i < x->n; i++) {
		struct instant *goal = &x->v[i].goal;

		if (goal->sec == 0)
			continue;
		goal->sec = (goal->sec / GUARDS_ROUND_S + 1) * GUARDS_ROUND_S;
		goal->nsec = 0;
	}
}

int guards_pass_trace(struct guards_pass *x, struct err *e)
{
	look_ahead(x);
	round_up(x);
	qsort(x->v, x->n, sizeof(*x->v), by_need);
	for (size_t i = 0; i < x->n; i++) {
		struct guards_wanted *w = &x->v[i];

		w->s.rank = (uint32_t)i + 1;
		w->least = w->goal;
		if ((w->need.sec &&
		     gc_live_trace(x->g->live, &w->s, false, e)) ||
		    (w->held && gc_live_trace(x->g->live, &w->s, true, e)))
			return -1;
	}
	return 0;
}

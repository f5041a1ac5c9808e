/* What the store itself says of what a pass over a region wants guarded. */
#include "storage/repository/guards_pass_internal.h"

#include <stdio.h>
#include <string.h>

static bool object_is_pack(const char *name)
{
	return strncmp(name, "data/", 5) == 0 || strncmp(name, "meta/", 5) == 0;
}

static void find(struct guards_pass *x, const char *name,
		 const struct guards_wanted *w, const struct store_guard *is,
		 bool unheld)
{
	struct guards_result *out = x->out;
	struct guards_finding *f;

	if (out->too_short++ >= GUARDS_FINDINGS_MAX)
		return;
	f = &out->findings[out->too_short - 1];
	(void)snprintf(f->object, sizeof(f->object), "%s", name);
	f->until = is->until;
	f->unheld = unheld;
	if (!w)
		return;
	f->snapshot = w->id;
	f->need = w->need;
}

static bool is_short(const struct guards_wanted *w, struct instant until)
{
	return w && w->need.sec && instant_compare(until, w->need) < 0;
}

/* The store's answer.  A pack's is for guards_pass_judge(): another pack may
 * have the same chunks. */
int guards_pass_answered(void *arg, const char *name,
			 const struct guards_question *q,
			 const struct store_guard *is, struct err *e)
{
	struct guards_pass *x = arg;
	struct guards_result *out = x->out;
	const bool unheld = q->held && !is->held;

	out->asked++;
	if (x->o->progress)
		x->o->progress(x->o->arg, out->asked);
	if (out->least.sec == 0 || instant_compare(is->until, out->least) < 0)
		out->least = is->until;
	if (object_is_pack(name))
		return guards_pass_keep(x, q->id, is->until.sec, is->held, e);
	if (unheld || is_short(q->wanted, is->until))
		find(x, name, q->wanted, is, unheld);
	return 0;
}

int guards_pass_ask(struct guards_pass *x, const char *name,
		    struct object_id id, const struct guards_wanted *w,
		    bool held, struct err *e)
{
	const struct guards_question q = { id, w, held };

	if (x->o->wanted && !x->o->wanted(x->o->arg, name))
		return 0;
	return guards_bulk_ask(x->asking, name, &q, e);
}

/* Whether that pack of a chunk is guarded as it has to be, if that is known. */
static bool fits(struct guards_pass *x, const struct gc_group *group, size_t i,
		 struct store_guard *is, bool *known)
{
	const struct guards_wanted *w = group->live ? &x->v[group->rank - 1]
						    : NULL;
	const struct guards_known *k = filemap_find(
		x->now, group->v[i].entry.place.pack.b);

	if (!k || !group->v[i].usable)
		return false;
	*known = true;
	*is = (struct store_guard){ { k->until, 0 }, k->held };
	return !is_short(w, (struct instant){ k->until, 999999999 }) &&
	       (!group->pinned || k->held);
}

/* That was not wanted, and stands in for one that was. */
static int ask_late(struct guards_pass *x, const struct gc_group *group,
		    size_t i, struct err *e)
{
	struct gc_pack *p = group->v[i].pack;
	const struct object_id id = group->v[i].entry.place.pack;
	const struct object_name name = object_name((enum object_kind)p->kind,
						    id);
	const struct guards_question q = { .id = id };
	struct store_guard is;
	int there;

	if (!p->listed || filemap_find(x->now, id.b))
		return 0;
	there = store_guarded(x->g->store, name.s, &is, e);
	p->listed = there != 0;
	return there > 0 ? guards_pass_answered(x, name.s, &q, &is, e) : there;
}

/* Each chunk, in one of its packs at least. */
int guards_pass_judge(void *arg, const struct gc_group *group, struct err *e)
{
	struct guards_pass *x = arg;
	const struct guards_wanted *w = group->live ? &x->v[group->rank - 1]
						    : NULL;
	struct store_guard is = { .held = false };
	struct gc_pack *first;
	bool known = false;

	if (!group->live && !group->pinned)
		return 0;
	for (size_t i = 0; i < group->n; i++)
		if (fits(x, group, i, &is, &known))
			return 0;
	first = group->v[0].pack;
	if (first->locked || !first->listed || !known)
		/* Told already; missing, which check tells; not wanted. */
		return 0;
	for (size_t i = 0; x->o->wanted && i < group->n; i++) {
		if (ask_late(x, group, i, e))
			return -1;
		if (fits(x, group, i, &is, &known))
			return 0;
	}
	first->locked = true;
	find(x,
	     object_name((enum object_kind)first->kind,
			 group->v[0].entry.place.pack)
		     .s,
	     w, &is, group->pinned && !is.held);
	return 0;
}

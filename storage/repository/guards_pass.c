/*
 * Guarding ahead of need, for a whole region: what the snapshots that are
 * locked or held need, as collectors find what all of them need (gc_live.c).
 *
 *  1. read what records say
 *  2. list snapshots, the one that is locked for longest first: its rank is 1
 *  3. trace each in this order; nodes that were walked need not be again, as
 *     whatever they reach has a lower rank already
 *  4. each pack is to be guarded as who has the lowest rank of its chunks, and
 *     held when a snapshot that is held needs any; so are index objects
 *     Segments of the catalog are guarded once
 *  5. lengthen, hold and release what records do not say is so
 *  6. write down what is now, as few records, and remove the older ones
 *
 * What cannot be lengthened or held, as somebody's key may do the one and not
 * the other, keeps nothing else from it; the first failure is told at the end.
 *
 * Killed anywhere, the next pass asks for some things again, which changes
 * nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/repository/guards_pass_internal.h"
#include "storage/repository/index_internal.h"

/* As many records of snapshots may there be before they become few. */
#define RECORDS_MAX 16
/* So many that cannot be held, one after the other: none can. */
#define IN_A_ROW_MAX 16

/* ---- Objects ------------------------------------------------------------ */

static void rank_pack(struct gc_pack *p, const struct gc_group *group)
{
	if (group->live && (!p->rank || group->rank < p->rank))
		p->rank = group->rank;
	p->held = p->held || group->pinned;
}

/* All that hold it, unless they are to go: any may be the one that is read. */
static int rank_group(void *arg, const struct gc_group *group, struct err *e)
{
	bool any = false;

	(void)arg;
	(void)e;
	if (!group->live && !group->pinned)
		return 0;
	for (size_t i = 0; i < group->n; i++)
		any = any || (group->v[i].usable && !group->v[i].pack->marked);
	for (size_t i = 0; i < group->n; i++)
		if (!any || !group->v[i].pack->marked)
			rank_pack(group->v[i].pack, group);
	return 0;
}

int guards_pass_keep(struct guards_pass *x, struct object_id id, int64_t until,
		     bool held, struct err *e)
{
	struct guards_known *known;
	void *value;

	if (filemap_add(x->now, id.b, &value, e) < 0)
		return -1;
	known = value;
	known->until = until > known->until ? until : known->until;
	known->held = known->held || held;
	return 0;
}

/* To be known also when it is over. */
static int keep_once(struct guards_pass *x, struct object_id id, int64_t until,
		     struct err *e)
{
	if (guards_pass_keep(x, id, until, false, e))
		return -1;
	((struct guards_known *)filemap_find(x->now, id.b))->once = true;
	return 0;
}

/* 1; 0 when it is not there, or cannot be held. */
static int hold_name(struct guards_pass *x, const char *name)
{
	struct err why = { 0 };
	int there = -1;

	if (x->in_a_row < IN_A_ROW_MAX)
		there = store_hold(x->g->store, name, true, &why);
	if (there < 0) {
		guards_pass_remember(x, &why);
		x->unheld++;
		x->in_a_row++;
		return 0;
	}
	x->in_a_row = 0;
	x->out->held += there > 0;
	return there;
}

/* Held, when it has to be and is not known to be. */
static int hold(struct guards_pass *x, const char *name, struct object_id id,
		struct err *e)
{
	if (guards_is_held(x->known, id) || hold_name(x, name))
		return guards_pass_keep(x, id, 0, true, e);
	return 0;
}

/* Lengthened: small ones are known by their snapshot; locks, which may come
 * later, by themselves, too. */
static int note_lengthened(void *arg, const char *name, struct instant until,
			   struct err *e)
{
	struct guards_pass *x = arg;
	struct object_id first;
	struct object_id id;

	if (!object_name_parse(OBJECT_DATA_PACK, name, &first, &id) &&
	    !object_name_parse(OBJECT_META_PACK, name, &first, &id) &&
	    !object_name_parse(OBJECT_INDEX, name, &first, &id) &&
	    !object_name_parse(OBJECT_LOCK, name, &first, &id)) {
		return object_name_parse(OBJECT_SEGMENT, name, &first, &id)
			       ? keep_once(x, id, until.sec, e)
			       : 0;
	}
	return guards_pass_keep(x, id, until.sec, false, e);
}

/* Guarded as w says, when it is not known to be. */
static int lengthen(struct guards_pass *x, const char *name,
		    struct object_id id, struct guards_wanted *w, struct err *e)
{
	const struct instant until = guards_until(x->known, id);

	if (instant_compare(until, w->low) < 0)
		return guards_bulk_add(x->bulk, name, w->goal, e);
	if (instant_compare(until, w->least) < 0)
		w->least = until;
	return guards_pass_keep(x, id, until.sec, false, e);
}

static int guard_one(struct guards_pass *x, const char *name,
		     struct object_id id, struct guards_wanted *w, bool held,
		     struct err *e)
{
	x->out->objects++;
	if (x->o->ask)
		return guards_pass_ask(x, name, id, w, held, e);
	if (w && w->need.sec && lengthen(x, name, id, w, e))
		return -1;
	return held ? hold(x, name, id, e) : 0;
}

static int guard_packs(struct guards_pass *x, struct err *e)
{
	uint64_t pos = 0;
	const void *key;
	void *value;

	while (filemap_next(x->g->packs, &pos, &key, &value)) {
		const struct gc_pack *p = value;
		struct object_id id;

		if (!p->listed || (!p->rank && !p->held))
			continue;
		memcpy(id.b, key, sizeof(id.b));
		if (gc_stopped(x->g, e) ||
		    guard_one(x, object_name((enum object_kind)p->kind, id).s,
			      id, p->rank ? &x->v[p->rank - 1] : NULL, p->held,
			      e))
			return -1;
	}
	return 0;
}

static bool any_held(const struct guards_pass *x)
{
	for (size_t i = 0; i < x->n; i++)
		if (x->v[i].held)
			return true;
	return false;
}

/*
 * Each may name what any of them needs.  None is held: they are lengthened
 * again and again instead, so that those that are merged go.
 */
static void want_index(struct guards_pass *x)
{
	const struct instant now = x->o->now;
	struct guards_wanted *w = &x->index;

	*w = x->v[0];
	if (any_held(x))
		w->need = w->goal = instant_add_ms(now, GUARDS_SHORT_MS);
	w->goal = guards_index_goal(w->goal, now);
	w->low = guards_index_need(w->need, now);
	if (x->o->ask)
		w->need = guards_index_judged(w->need, now);
}

static int guard_index(void *arg, const struct index_object *o, struct err *e)
{
	struct guards_pass *x = arg;

	return o->ignored ? 0
			  : guard_one(x, o->in.name.s, o->in.id, &x->index,
				      false, e);
}

struct naming {
	struct guards_pass *x;
	struct guards_wanted *w;
};

/* Small ones are known by their snapshot, and not one by one. */
static int guard_named(void *arg, const struct store_entry *entry,
		       struct err *e)
{
	struct naming *y = arg;
	struct guards_pass *x = y->x;

	x->out->objects++;
	if (x->o->ask)
		return guards_pass_ask(x, entry->name, y->w->id, y->w,
				       y->w->held, e);
	if (y->w->need.sec &&
	    guards_bulk_add(x->bulk, entry->name, y->w->goal, e))
		return -1;
	if (y->w->held)
		(void)hold_name(x, entry->name);
	return 0;
}

static int guard_under(struct guards_pass *x, struct guards_wanted *w,
		       const char *folder, struct object_id id, struct err *e)
{
	struct naming y = { x, w };
	char text[OBJECT_ID_TEXT];
	char prefix[64];

	object_id_format(id, text);
	(void)snprintf(prefix, sizeof(prefix), "%s/%s", folder, text);
	return store_list(x->g->store, prefix, guard_named, &y, e);
}

/*
 * Of a copy that was cut off between its manifest and its lock: a void that is
 * forged would hide it (voids.c).  What may be locked for longer here than in
 * other regions stays here.
 */
static int guard_unnamed(struct guards_pass *x, struct guards_wanted *w,
			 struct err *e)
{
	const struct repository_snapshot s = {
		.manifest = { .snapshot = w->id, .session = w->session },
		.lock_is_here = w->lock_is_here,
	};
	struct object_name name;
	int put;

	if (!w->unnamed || x->o->ask)
		return 0;
	put = guards_lock(x->g->r, &s, w->need, x->o->now, &name, e);
	if (put <= 0)
		return put;
	return guards_bulk_add(x->bulk, name.s, w->goal, e);
}

/* Manifest, receipt, locks: of those that are not known to be. */
static int guard_snapshot(struct guards_pass *x, struct guards_wanted *w,
			  struct err *e)
{
	const struct store_entry manifest = { .name = w->manifest.s };
	struct naming y = { x, w };
	const struct instant until = guards_until(x->known, w->id);
	const bool is_held = guards_is_held(x->known, w->id);
	const uint64_t unheld = x->unheld;

	if ((!w->need.sec || instant_compare(until, w->need) >= 0) &&
	    (!w->held || is_held))
		return guards_pass_keep(x, w->id, until.sec, is_held, e);
	return guard_named(&y, &manifest, e) ||
			       guard_under(x, w, "receipts", w->id, e) ||
			       guard_under(x, w, "locks", w->id, e) ||
			       guards_pass_keep(x, w->id, 0,
						w->held && x->unheld == unheld,
						e)
		       ? -1
		       : 0;
}

static struct guards_wanted *find_wanted(struct guards_pass *x,
					 struct object_id id)
{
	for (size_t i = 0; i < x->n; i++)
		if (object_id_equal(x->v[i].id, id))
			return &x->v[i];
	return NULL;
}

/* Locks that were copied here once their snapshot was known to be guarded. */
static int guard_late_lock(void *arg, const struct store_entry *entry,
			   struct err *e)
{
	struct guards_pass *x = arg;
	const struct guards_wanted *w;
	struct object_id snapshot;
	struct object_id id;

	if (!object_name_parse(OBJECT_LOCK, entry->name, &snapshot, &id))
		return 0;
	w = find_wanted(x, snapshot);
	if (!w || !w->locked_elsewhere ||
	    instant_compare(guards_until(x->known, snapshot), w->need) < 0 ||
	    instant_compare(guards_until(x->known, id), w->need) >= 0)
		return 0;
	return guards_bulk_add(x->bulk, entry->name, w->goal, e);
}

static int guard_late_locks(struct guards_pass *x, struct err *e)
{
	for (size_t i = 0; i < x->n; i++)
		if (x->v[i].need.sec && x->v[i].locked_elsewhere)
			return store_list(x->g->store, "locks/",
					  guard_late_lock, x, e);
	return 0;
}

/* Config, slots and keyrings, as who is locked for longest. */
static int guard_keys(struct guards_pass *x, struct err *e)
{
	const struct store_entry config = { .name = "config" };
	struct guards_wanted *longest = &x->longest;
	struct naming y = { x, longest };
	const uint64_t unheld = x->unheld;
	struct instant until;
	struct object_id id;

	*longest = x->v[0];
	longest->held = any_held(x);
	if (guards_keys_id(x->g->store, x->g->keys, &id, e))
		return -1;
	until = guards_until(x->known, id);
	if (instant_compare(until, longest->low) >= 0 &&
	    (!longest->held || guards_is_held(x->known, id)))
		return guards_pass_keep(x, id, until.sec, longest->held, e);
	x->keys = id;
	x->keys_until = longest->goal.sec;
	return guard_named(&y, &config, e) ||
			       store_list(x->g->store, "keys/", guard_named, &y,
					  e) ||
			       store_list(x->g->store, "keyring/", guard_named,
					  &y, e) ||
			       guards_pass_keep(
				       x, id, 0,
				       longest->held && x->unheld == unheld, e)
		       ? -1
		       : 0;
}

/* Hold records themselves: all that there are. */
static int guard_holds(struct guards_pass *x, struct err *e)
{
	struct naming y = { x, &x->holding };

	x->holding.held = true;
	return any_held(x)
		       ? store_list(x->g->store, "holds/", guard_named, &y, e)
		       : 0;
}

/*
 * The catalog's evidence is added to and never taken back: each segment is
 * guarded once, as the longest lock there is then, which is what it can tell
 * of; by who writes it, or else here.
 */
static int guard_segment(void *arg, const struct store_entry *entry,
			 struct err *e)
{
	struct guards_pass *x = arg;
	struct object_id first;
	struct object_id id;
	struct instant until;

	if (!object_name_parse(OBJECT_SEGMENT, entry->name, &first, &id))
		return 0;
	if (any_held(x)) {
		x->out->objects++;
		if (x->o->ask)
			return guards_pass_ask(x, entry->name, id, &x->holding,
					       true, e);
		if (hold(x, entry->name, id, e))
			return -1;
	}
	until = guards_until(x->known, id);
	if (x->o->ask || (!until.sec && !x->v[0].need.sec))
		return 0;
	return until.sec
		       ? keep_once(x, id, until.sec, e)
		       : guards_bulk_add(x->bulk, entry->name, x->v[0].goal, e);
}

/*
 * Each snapshot as a whole: as briefly as any pack of it or of those that are
 * locked for longer, which it may share.
 */
static int note_snapshots(struct guards_pass *x, struct err *e)
{
	struct instant least = { INT64_MAX, 0 };

	if (x->keys_until &&
	    guards_pass_keep(x, x->keys, x->keys_until, false, e))
		return -1;
	for (size_t i = 0; i < x->n && x->v[i].need.sec; i++) {
		struct guards_wanted *w = &x->v[i];

		if (instant_compare(w->least, least) < 0)
			least = w->least;
		if (guards_pass_keep(x, w->id,
				     instant_compare(least, w->goal) < 0
					     ? least.sec
					     : w->goal.sec,
				     false, e))
			return -1;
	}
	return 0;
}

/* ---- Releasing ---------------------------------------------------------- */

static bool is_to_be_held(struct guards_pass *x, struct object_id id)
{
	const struct guards_known *known = filemap_find(x->now, id.b);

	return known && known->held;
}

static int release_one(void *arg, const struct store_entry *entry,
		       struct err *e)
{
	struct guards_pass *x = arg;
	struct store_guard guard;
	const int found = store_guarded(x->g->store, entry->name, &guard, e);

	if (found <= 0 || !guard.held)
		return found < 0 ? -1 : 0;
	x->out->released++;
	return store_hold(x->g->store, entry->name, false, e) < 0 ? -1 : 0;
}

/* Of a snapshot by its id, all else by its own. */
static int release(void *arg, const struct store_entry *entry, struct err *e)
{
	struct guards_pass *x = arg;
	struct object_id first = { { 0 } };
	struct object_id last = { { 0 } };
	bool found = false;

	for (unsigned int k = OBJECT_DATA_PACK; !found && k < OBJECT_KIND_END;
	     k++)
		found = object_name_parse((enum object_kind)k, entry->name,
					  &first, &last);
	if (!found || is_to_be_held(x, last) || is_to_be_held(x, first))
		return 0;
	return release_one(x, entry, e);
}

/* Whatever any record says: a release must not leave things behind. */
static int release_all(struct guards_pass *x, struct err *e)
{
	static const char *const folders[] = { "data/",	    "meta/",
					       "index/",    "snapshots/",
					       "receipts/", "locks/",
					       "catalog/" };
	static const char *const last[] = { "holds/", "keys/", "keyring/",
					    "config" };

	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
		if (store_list(x->g->store, folders[i], release, x, e))
			return -1;
	if (any_held(x))
		return 0;
	for (size_t i = 0; i < sizeof(last) / sizeof(last[0]); i++)
		if (store_list(x->g->store, last[i], release_one, x, e))
			return -1;
	return 0;
}

/* Not what is to be held, and could not be, or seen: it may be held already. */
static bool is_releasing(const struct guards_pass *x)
{
	return x->o->release && !x->unheld && !x->g->blind;
}

/* What was passed over, and matters. */
static void tell_unseen(struct guards_pass *x)
{
	struct err why = { 0 };

	if (x->g->unread.code)
		guards_pass_remember(x, &x->g->unread);
	if (!x->o->release || !x->g->blind)
		return;
	(void)err_set(&why, ERR_CORRUPT,
		      "nothing is released while what a hold may be on does "
		      "not open");
	guards_pass_remember(x, &why);
}

/* Who may not release keeps in mind what is held still. */
static int keep_held(struct guards_pass *x, struct err *e)
{
	uint64_t pos = 0;
	const void *key;
	void *value;

	while (filemap_next(x->known->known, &pos, &key, &value)) {
		const struct guards_known *known = value;
		struct object_id id;

		memcpy(id.b, key, sizeof(id.b));
		if ((known->held && !is_releasing(x) &&
		     guards_pass_keep(x, id, 0, true, e)) ||
		    (known->until > x->o->now.sec &&
		     guards_pass_keep(x, id, known->until, false, e)))
			return -1;
	}
	return 0;
}

/* ---- Records ------------------------------------------------------------ */

struct line {
	int64_t until; /* rounded down; 0: held */
	struct object_id id;
};

static int by_until(const void *a, const void *b)
{
	const struct line *x = a;
	const struct line *y = b;

	if (x->until != y->until)
		return x->until < y->until ? -1 : 1;
	return object_id_compare(x->id, y->id);
}

static size_t lines_of(struct guards_pass *x, struct line *v)
{
	uint64_t pos = 0;
	const void *key;
	void *value;
	size_t n = 0;

	while (filemap_next(x->now, &pos, &key, &value)) {
		const struct guards_known *known = value;
		struct line l = { .until = known->until / GUARDS_ROUND_S *
					   GUARDS_ROUND_S };

		memcpy(l.id.b, key, sizeof(l.id.b));
		if (l.until > x->o->now.sec || (l.until && known->once))
			v[n++] = l;
		l.until = 0;
		if (known->held)
			v[n++] = l;
	}
	return n;
}

static int write_lines(struct guards_pass *x, const struct line *v, size_t n,
		       struct err *e)
{
	struct gc_ids ids = { 0 };
	int failed = 0;

	for (size_t i = 0; !failed && i < n; i++) {
		failed = gc_ids_add(&ids, v[i].id, e);
		if (failed || (i + 1 < n && v[i + 1].until == v[i].until))
			continue;
		failed = guards_note(x->g->store, x->g->keys, ids.v, ids.n,
				     (struct instant){ v[i].until, 0 },
				     x->o->now, e);
		ids.n = 0;
	}
	gc_ids_done(&ids);
	return failed ? -1 : 0;
}

static int keep_segment(void *arg, const struct store_entry *entry,
			struct err *e)
{
	struct guards_pass *x = arg;
	struct object_id first;
	struct object_id id;
	struct instant until;

	if (!object_name_parse(OBJECT_SEGMENT, entry->name, &first, &id))
		return 0;
	until = guards_until(x->known, id);
	return until.sec ? keep_once(x, id, until.sec, e) : 0;
}

/* Where nothing is locked or held nobody came by the segments: what was guarded
 * once would be forgotten, and guarded anew by the next lock. */
static int keep_segments(struct guards_pass *x, struct err *e)
{
	return x->n ? 0
		    : store_list(x->g->store, "catalog/", keep_segment, x, e);
}

/* The new ones first: what is known twice is no less known. */
static int write_records(struct guards_pass *x, struct err *e)
{
	struct line *v;
	size_t n;
	int failed;

	if (keep_segments(x, e))
		return -1;
	v = calloc(2 * (size_t)filemap_count(x->now) + 1, sizeof(*v));
	if (!v)
		return err_oom(e);
	n = lines_of(x, v);
	qsort(v, n, sizeof(*v), by_until);
	failed = write_lines(x, v, n, e);
	free(v);
	for (size_t i = 0; !failed && i < x->known->n_records; i++)
		failed = store_remove(
			x->g->store,
			object_name(OBJECT_GUARD, x->known->records[i]).s, e);
	return failed ? -1 : 0;
}

/* ---- The pass ----------------------------------------------------------- */

static int guard_all(struct guards_pass *x, struct err *e)
{
	want_index(x);
	if (guard_packs(x, e) ||
	    index_set_each(x->g->index, guard_index, x, e) ||
	    guard_keys(x, e) || guard_holds(x, e) ||
	    (!x->o->ask && guard_late_locks(x, e)) ||
	    store_list(x->g->store, "catalog/", guard_segment, x, e))
		return -1;
	for (size_t i = 0; i < x->n; i++)
		if (guard_unnamed(x, &x->v[i], e) ||
		    guard_snapshot(x, &x->v[i], e))
			return -1;
	return 0;
}

/* What could not be lengthened is of some snapshot: of which is not known. */
static int lengthen_all(struct guards_pass *x, struct err *e)
{
	struct err why = { 0 };

	if (guards_bulk_run(x->bulk, &x->out->lengthened, &why) == 0)
		return note_snapshots(x, e);
	guards_pass_remember(x, &why);
	return 0;
}

static bool changed(const struct guards_pass *x)
{
	return x->o->afresh || x->out->lengthened || x->out->held ||
	       x->out->released || x->known->n_records > RECORDS_MAX;
}

static int run(struct guards_pass *x, struct err *e)
{
	struct gc *g = x->g;

	if (guards_bulk_new_asking(g->store, guards_pass_answered, x,
				   &x->asking, e) ||
	    (x->o->ask ? guards_new(&x->known, e)
		       : guards_read(g->store, g->keys, &x->known, e)) ||
	    (x->o->afresh && guards_forget(x->known, e)) ||
	    guards_bulk_new(g->store, note_lengthened, x, &x->bulk, e) ||
	    filemap_new(&x->now, x->o->scratch, sizeof(struct object_id),
			sizeof(struct guards_known), e) ||
	    guards_pass_list(x, e))
		return -1;
	x->out->snapshots = x->n;
	if (x->n && (gc_survey_packs(g, e) || guards_pass_trace(x, e) ||
		     gc_walk(g, rank_group, x, e) || guard_all(x, e) ||
		     lengthen_all(x, e)))
		return -1;
	if (x->o->ask && (guards_bulk_run(x->asking, NULL, e) ||
			  (x->n && gc_walk(g, guards_pass_judge, x, e))))
		return -1;
	tell_unseen(x);
	if (!x->o->ask &&
	    (keep_held(x, e) || (is_releasing(x) && release_all(x, e)) ||
	     (changed(x) && write_records(x, e))))
		return -1;
	if (x->failure.code == ERR_NONE)
		return 0;
	*e = x->failure;
	return -1;
}

int guards_run(struct repository *r, const struct guards_options *o,
	       struct guards_result *ret, struct err *e)
{
	const struct gc_options go = { .now = o->now,
				       .scratch = o->scratch,
				       .cancel = o->cancel,
				       .host = "" };
	struct gc_result *ignored;
	struct gc g = { .r = r,
			.store = repository_store(r),
			.keys = repository_keys(r),
			.o = &go,
			.guarding = true };
	struct guards_pass x = { .g = &g, .o = o, .out = ret };
	const int can = store_can_guard(g.store, e);
	int failed;

	*ret = (struct guards_result){ .can = can > 0 };
	if (can <= 0)
		return can;
	ignored = calloc(1, sizeof(*ignored));
	if (!ignored)
		return err_oom(e);
	g.out = ignored;
	failed = run(&x, e);
	gc_survey_done(&g);
	guards_free(x.known);
	guards_bulk_free(x.bulk);
	guards_bulk_free(x.asking);
	filemap_free(x.now);
	free(x.v);
	free(ignored);
	return failed ? -1 : 0;
}

/*
 * Marks: putting them, acting on them, and being done with them.
 *
 * A mark stays until nothing that it names is there and no index object names
 * its packs: so long it tells writers that what the index says of them is
 * void.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "storage/repository/deletion.h"
#include "storage/repository/fields.h"
#include "storage/repository/gc_internal.h"
#include "storage/repository/index_internal.h"

/* So many spent marks become one. */
#define SPENT_MAX 8

/* ---- Reading ------------------------------------------------------------ */

static bool is_due(const struct gc *g, struct instant marked)
{
	const int64_t grace_ms = g->o->grace_ms < 0 ? DELETION_GRACE_MS
						    : g->o->grace_ms;

	return grace_ms == 0 ||
	       instant_compare(instant_add_ms(marked, grace_ms), g->o->now) <=
		       0;
}

static int copy_ids(const struct record *r, struct gc_ids *to, struct err *e)
{
	for (size_t i = 0; i < r->n_ids; i++)
		if (gc_ids_add(to, r->ids[i], e))
			return -1;
	gc_ids_sort(to);
	return 0;
}

/* One that does not open counts as absent: nothing goes on its account. */
static int add_mark(void *arg, const char *name, const struct record *r,
		    const struct err *why, struct err *e)
{
	struct gc *g = arg;
	struct gc_mark *grown;
	struct gc_mark *m;

	(void)name;
	(void)why;
	if (!r)
		return 0;
	grown = reallocarray(g->marks, g->n_marks + 1, sizeof(*grown));
	if (!grown)
		return err_oom(e);
	g->marks = grown;
	m = &g->marks[g->n_marks++];
	*m = (struct gc_mark){ .id = r->id,
			       .time = r->time,
			       .due = is_due(g, r->time) };
	return copy_ids(r, &m->ids, e);
}

static int add_census(void *arg, const char *name, const struct record *r,
		      const struct err *why, struct err *e)
{
	struct gc *g = arg;

	(void)name;
	(void)why;
	for (size_t i = 0; r && i < g->n_marks; i++) {
		if (!object_id_equal(g->marks[i].id, r->id))
			continue;
		g->marks[i].has_census = true;
		return copy_ids(r, &g->marks[i].census, e);
	}
	return 0;
}

void gc_marks_done(struct gc *g)
{
	for (size_t i = 0; i < g->n_marks; i++) {
		gc_ids_done(&g->marks[i].ids);
		gc_ids_done(&g->marks[i].census);
	}
	free(g->marks);
	g->marks = NULL;
	g->n_marks = 0;
}

/* ---- mark, census ------------------------------------------------------- */

static int put_mark(struct gc *g, struct instant time,
		    const struct object_id *ids, size_t n,
		    struct object_id *ret, struct err *e)
{
	struct record r;
	int failed = 0;

	record_init(&r, OBJECT_MARK);
	r.id = object_id_new();
	r.time = time;
	fields_text(r.by, sizeof(r.by), g->o->host);
	for (size_t i = 0; !failed && i < n; i++)
		failed = record_add_id(&r, ids[i], e);
	failed = failed || record_put(g->store, g->keys, &r,
				      STORE_FRESH | STORE_OR_NONE, e);
	*ret = r.id;
	record_done(&r);
	return failed ? -1 : 0;
}

/*
 * Whoever is not in it began after the mark, and saw it: 1; 0 when there is one
 * already, which another collection put in our place, or which does not open;
 * -1.
 */
static int put_census(struct gc *g, struct object_id mark,
		      const struct gc_ids *sessions, struct err *e)
{
	struct record r;
	int failed = 0;

	record_init(&r, OBJECT_CENSUS);
	r.id = mark;
	for (size_t i = 0; !failed && i < sessions->n; i++)
		failed = record_add_id(&r, sessions->v[i], e);
	failed = failed || record_put(g->store, g->keys, &r, 0, e);
	record_done(&r);
	if (failed && e->code == ERR_EXISTS) {
		err_clear(e);
		return 0;
	}
	return failed ? -1 : 1;
}

/*
 * Whoever put the mark died before its census.  One that is taken now serves
 * as well: who is not there yet will see the mark.
 */
static int complete(struct gc *g, struct gc_mark *m, struct err *e)
{
	int ours;

	if (gc_others(g, &m->census, e))
		return -1;
	gc_ids_sort(&m->census);
	ours = put_census(g, m->id, &m->census, e);
	/* By another's, all sessions count this time. */
	m->has_census = ours > 0;
	return ours < 0 ? -1 : 0;
}

int gc_marks_read(struct gc *g, struct err *e)
{
	/* A mark whose census came in between has one that is not ours. */
	static const struct store_question both[] = {
		{ STORE_ASK_LISTING, "marks/", 0 },
		{ STORE_ASK_LISTING, "censuses/", 0 },
	};
	struct store_asked *asked = store_ask(g->store, both, 2);
	int failed;

	gc_marks_done(g);
	failed = record_list(g->store, g->keys, OBJECT_MARK, add_mark, g, e) ||
		 record_list(g->store, g->keys, OBJECT_CENSUS, add_census, g,
			     e);
	store_ask_done(asked);
	if (failed)
		return -1;
	for (size_t i = 0; i < g->n_marks; i++)
		if (!g->marks[i].has_census && complete(g, &g->marks[i], e))
			return -1;
	return 0;
}

int gc_mark(struct gc *g, const struct gc_ids *ids, struct err *e)
{
	for (size_t at = 0; at < ids->n; at += GC_IDS_MAX) {
		const size_t n = ids->n - at < GC_IDS_MAX ? ids->n - at
							  : GC_IDS_MAX;
		struct gc_ids sessions = { 0 };
		struct object_id mark;
		int failed;

		/* Tracing took its time: grace counts from now. */
		failed = put_mark(g,
				  instant_add_ms(g->o->now,
						 clock_boot_ms() - g->begun_ms),
				  ids->v + at, n, &mark, e) ||
			 gc_others(g, &sessions, e) ||
			 put_census(g, mark, &sessions, e) < 0;
		gc_ids_done(&sessions);
		if (failed)
			return -1;
	}
	return 0;
}

/* ---- delete ------------------------------------------------------------- */

static int delete_manifests(struct gc *g, struct err *e)
{
	const char *name = buf_str(&g->manifests);
	const char *end = name + g->manifests.len;

	struct object_id last = { { 0 } };

	/* All of one snapshot come together. */
	for (; name < end; name += strlen(name) + 1) {
		struct object_id snapshot;
		struct object_id session;
		const int gone = gc_remove(g, name, e);

		if (gone < 0)
			return -1;
		/* What it needs must stay with it. */
		if (!gone)
			return err_set(e, ERR_BUSY,
				       "object \"%s\" was locked meanwhile",
				       name);
		if (!object_name_parse(OBJECT_MANIFEST, name, &snapshot,
				       &session) ||
		    object_id_equal(snapshot, last))
			continue;
		g->out->snapshots++;
		last = snapshot;
	}
	return 0;
}

static void block_by_pins(struct gc *g)
{
	for (size_t i = 0; i < g->n_pins; i++)
		gc_block(g, OBJECT_PIN, g->pins[i].id, g->pins[i].host,
			 g->pins[i].snapshots.n
				 ? "is reading a snapshot that needs it"
				 : "is reading all there is");
}

static void note_locked(struct gc *g, struct gc_pack *p)
{
	if (p->locked)
		return;
	p->locked = true;
	g->out->locked++;
	g->out->bytes_locked += p->size;
}

static int delete_packs(struct gc *g, struct err *e)
{
	uint64_t pos = 0;
	uint64_t done = 0;
	const void *key;
	void *value;

	while (filemap_next(g->packs, &pos, &key, &value)) {
		struct gc_pack *p = value;
		struct object_id id;
		int gone;

		if (!p->due || !p->listed || p->keeps_lost)
			continue;
		if (p->pinned) {
			block_by_pins(g);
			continue;
		}
		if (gc_stopped(g, e))
			return -1;
		memcpy(id.b, key, sizeof(id.b));
		gone = gc_remove(
			g, object_name((enum object_kind)p->kind, id).s, e);
		if (gone < 0)
			return -1;
		if (!gone) {
			note_locked(g, p);
			continue;
		}
		p->listed = false;
		g->out->deleted++;
		g->out->bytes_freed += p->size;
		gc_stage(g, "deleting", ++done, 0);
	}
	return 0;
}

static int delete_superseded(void *arg, const struct index_object *o,
			     struct err *e)
{
	struct gc *g = arg;
	const struct gc_pack *p = filemap_find(g->packs, o->in.id.b);
	int gone;

	/* One that was voided never counts again: what a lock names is not
	 * (voids.h), whatever voids say. */
	if (!o->voided && (!o->replaced || !p || !p->due))
		return 0;
	gone = gc_remove(g, o->in.name.s, e);
	if (gone <= 0) {
		g->out->bytes_locked += gone < 0 ? 0 : o->in.size;
		return gone;
	}
	g->out->bytes_freed += o->in.size;
	return gc_ids_add(&g->removed, o->in.id, e);
}

int gc_delete(struct gc *g, struct err *e)
{
	if (gc_reconsider(g, e) || delete_manifests(g, e) || delete_packs(g, e))
		return -1;
	/* A reader that merges nothing itself walks them to their end. */
	if (g->n_pins == 0 && index_set_each(g->index, delete_superseded, g, e))
		return -1;
	gc_ids_sort(&g->removed);
	return 0;
}

/* ---- clean -------------------------------------------------------------- */

static int add_index(void *arg, const struct index_object *o, struct err *e)
{
	return gc_ids_add(arg, o->in.id, e);
}

enum use { USED, SPENT, DONE, COVERED };

/* Spent: nothing it names is there; done: nor does any index name it. */
static enum use use_of(struct gc *g, const struct gc_mark *m,
		       const struct gc_ids *index)
{
	enum use use = DONE;

	for (size_t i = 0; i < m->ids.n; i++) {
		const struct object_id id = m->ids.v[i];
		const struct gc_pack *p = filemap_find(g->packs, id.b);

		if ((p && p->listed) ||
		    (gc_ids_has(index, id) && !gc_ids_has(&g->removed, id)))
			return USED;
		if (p && (p->entries || p->named_still))
			use = SPENT;
	}
	return use;
}

static int note_still(void *arg, const struct pack_entry *x, struct err *e)
{
	struct gc *g = arg;
	struct gc_pack *p = filemap_find(g->packs, x->place.pack.b);

	(void)e;
	if (p)
		p->named_still = true;
	return 0;
}

/*
 * What is superseded or voided may name a pack, too: should what supersedes it
 * not count in the end, it would count again.
 */
static int note_ignored(void *arg, const struct index_object *o, struct err *e)
{
	struct gc *g = arg;
	struct index_object *one = (struct index_object *)(uintptr_t)o;

	if (!o->ignored || gc_ids_has(&g->removed, o->in.id))
		return 0;
	return index_set_walk_some(g->index, &one, 1, note_still, g, e);
}

static int remove_mark(struct gc *g, const struct gc_mark *m, struct err *e)
{
	return store_remove(g->store, object_name(OBJECT_MARK, m->id).s, e) ||
			       store_remove(g->store,
					    object_name(OBJECT_CENSUS, m->id).s,
					    e)
		       ? -1
		       : 0;
}

static bool is_named(struct gc *g, struct object_id id)
{
	const struct gc_pack *p = filemap_find(g->packs, id.b);

	return p && (p->entries || p->named_still);
}

/* Whether the other one says all that this one has still to say. */
static bool is_covered(struct gc *g, const struct gc_mark *m,
		       const struct gc_mark *by)
{
	for (size_t i = 0; i < m->ids.n; i++)
		if (is_named(g, m->ids.v[i]) &&
		    !gc_ids_has(&by->ids, m->ids.v[i]))
			return false;
	return true;
}

/*
 * Both were read before it was seen that nobody else is here: whoever came
 * since lists the one that stays.
 */
static int remove_covered(struct gc *g, enum use *uses, struct err *e)
{
	for (size_t m = 0; m < g->n_marks; m++)
		for (size_t by = 0; uses[m] == SPENT && by < g->n_marks; by++) {
			if (by == m || uses[by] != SPENT ||
			    !is_covered(g, &g->marks[m], &g->marks[by]))
				continue;
			if (remove_mark(g, &g->marks[m], e))
				return -1;
			uses[m] = COVERED;
		}
	return 0;
}

/*
 * What is named still, as one mark.  The others stay until the next
 * collection: who lists marks just now may not list this one.
 */
static int unite_spent(struct gc *g, const enum use *uses, struct err *e)
{
	struct gc_ids all = { 0 };
	struct object_id mark;
	struct instant oldest = g->o->now;
	size_t n = 0;
	int failed = 0;

	for (size_t m = 0; !failed && m < g->n_marks; m++) {
		const struct gc_mark *x = &g->marks[m];

		if (uses[m] != SPENT || all.n + x->ids.n > GC_IDS_MAX)
			continue;
		n++;
		if (instant_compare(x->time, oldest) < 0)
			oldest = x->time;
		for (size_t i = 0; !failed && i < x->ids.n; i++)
			if (is_named(g, x->ids.v[i]))
				failed = gc_ids_add(&all, x->ids.v[i], e);
	}
	/* Nobody relies on what is gone. */
	if (!failed && n >= SPENT_MAX)
		failed = put_mark(g, oldest, all.v, all.n, &mark, e) ||
			 put_census(g, mark, &(struct gc_ids){ 0 }, e) < 0;
	gc_ids_done(&all);
	return failed ? -1 : 0;
}

static int add_census_name(void *arg, const struct store_entry *entry,
			   struct err *e)
{
	struct object_id first;
	struct object_id id;

	return object_name_parse(OBJECT_CENSUS, entry->name, &first, &id)
		       ? gc_ids_add(arg, id, e)
		       : 0;
}

/*
 * Of a mark that is gone: somebody died between the two, or was given up and
 * put its census afterwards.  A mark is put before its census, so that one
 * whose census is listed is there, or was.
 */
static int remove_censuses(struct gc *g, struct err *e)
{
	struct gc_ids ids = { 0 };
	int failed = store_list(g->store, "censuses/", add_census_name, &ids,
				e);

	for (size_t i = 0; !failed && i < ids.n; i++) {
		uint64_t size;
		const int there = store_size(
			g->store, object_name(OBJECT_MARK, ids.v[i]).s, &size,
			e);

		failed = there < 0 ||
			 (!there &&
			  store_remove(g->store,
				       object_name(OBJECT_CENSUS, ids.v[i]).s,
				       e));
	}
	gc_ids_done(&ids);
	return failed ? -1 : 0;
}

static void count_pending(struct gc *g)
{
	uint64_t pos = 0;
	const void *key;
	void *value;

	while (filemap_next(g->packs, &pos, &key, &value)) {
		const struct gc_pack *p = value;

		if (p->marked && p->listed)
			g->out->bytes_pending += p->size;
	}
}

int gc_marks_clean(struct gc *g, struct err *e)
{
	struct gc_ids index = { 0 };
	enum use *uses;
	int failed = 0;

	count_pending(g);
	if (remove_censuses(g, e))
		return -1;
	/* Others may know an index that still names what is gone. */
	if (g->others.n || !g->n_marks)
		return 0;
	uses = calloc(g->n_marks, sizeof(*uses));
	if (!uses)
		return err_oom(e);
	failed = index_set_each(g->index, add_index, &index, e) ||
		 index_set_each(g->index, note_ignored, g, e);
	gc_ids_sort(&index);
	for (size_t m = 0; !failed && m < g->n_marks; m++) {
		uses[m] = use_of(g, &g->marks[m], &index);
		if (uses[m] == DONE)
			failed = remove_mark(g, &g->marks[m], e);
	}
	failed = failed || remove_covered(g, uses, e) ||
		 unite_spent(g, uses, e);
	gc_ids_done(&index);
	free(uses);
	return failed ? -1 : 0;
}

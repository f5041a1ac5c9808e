/*
 * judge and look again: what there is, and what of it the snapshots need.
 *
 * The order in which things are listed matters:
 *
 *	marks		before the index: what went from there had a mark
 *	packs		before the sessions: a pack without one is nobody's
 *	sessions	before the snapshots: who left has published
 *	snapshots	before the index: what they reach is named there
 *	index
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "storage/repository/deletion.h"
#include "storage/repository/gc_internal.h"
#include "storage/repository/index_internal.h"

#define INDEX_CACHE_BYTES ((size_t)8 << 20)
#define MANIFESTS_MAX	  ((size_t)1 << 30)

static const struct chunk_id whole = { { 0 } };

struct pair {
	uint8_t b[INDEX_KEY_SIZE];
};

static struct pair pair_of(const struct chunk_id *chunk, struct object_id pack)
{
	struct pair p;

	memcpy(p.b, chunk->b, sizeof(chunk->b));
	memcpy(p.b + sizeof(chunk->b), pack.b, sizeof(pack.b));
	return p;
}

static bool is_given_up(struct gc *g, const struct chunk_id *chunk,
			struct object_id pack)
{
	const struct pair p = pair_of(chunk, pack);

	return filemap_find(g->given_up, p.b) != NULL;
}

static int pack_of(struct gc *g, struct object_id id, struct gc_pack **ret,
		   struct err *e)
{
	void *value;

	if (filemap_add(g->packs, id.b, &value, e) < 0)
		return -1;
	*ret = value;
	return 0;
}

/* ---- Listing ------------------------------------------------------------ */

static int note_mark(void *arg, const char *name, const struct record *r,
		     const struct err *why, struct err *e)
{
	struct gc *g = arg;
	const struct instant soon = instant_add_ms(g->o->now,
						   DELETION_GRACE_MS);
	struct gc_pack *p;

	(void)name;
	/* One that only we cannot read is in force for others. */
	if (!r && (why->code == ERR_IO || why->code == ERR_NEWER)) {
		*e = *why;
		return -1;
	}
	for (size_t i = 0; r && i < r->n_ids; i++) {
		if (pack_of(g, r->ids[i], &p, e))
			return -1;
		p->marked = true;
		if (instant_compare(r->time, soon) <= 0)
			p->marked_well = true;
	}
	return 0;
}

static int note_due(struct gc *g, struct err *e)
{
	struct gc_pack *p;

	for (size_t m = 0; m < g->n_marks; m++)
		for (size_t i = 0; g->marks[m].due && !g->marks[m].blocked &&
				   i < g->marks[m].ids.n;
		     i++) {
			if (pack_of(g, g->marks[m].ids.v[i], &p, e))
				return -1;
			/* Its mark may be spent and gone since. */
			p->due = p->marked;
		}
	return 0;
}

static int note_quarantine(void *arg, const char *name, const struct record *r,
			   const struct err *why, struct err *e)
{
	struct gc *g = arg;
	struct gc_pack *p;
	void *value;

	(void)name;
	(void)why;
	for (size_t i = 0; r && i < r->n_ids; i++) {
		const struct pair key = pair_of(&r->chunks[i], r->ids[i]);

		if (filemap_add(g->given_up, key.b, &value, e) < 0)
			return -1;
		if (!chunk_id_equal(&r->chunks[i], &whole)) {
			if (filemap_add(g->lost, r->chunks[i].b, &value, e) < 0)
				return -1;
			continue;
		}
		if (pack_of(g, r->ids[i], &p, e))
			return -1;
		p->quarantined = true;
	}
	return 0;
}

static int note_pack(void *arg, const struct store_entry *entry, struct err *e)
{
	struct gc *g = arg;
	struct object_id first;
	struct object_id id;
	struct gc_pack *p;
	enum object_kind kind = OBJECT_DATA_PACK;

	if (!object_name_parse(kind, entry->name, &first, &id)) {
		kind = OBJECT_META_PACK;
		if (!object_name_parse(kind, entry->name, &first, &id))
			return 0;
	}
	if (pack_of(g, id, &p, e))
		return -1;
	p->kind = (uint8_t)kind;
	p->size = entry->size;
	p->listed = true;
	return gc_stopped(g, e);
}

static int note_pin(void *arg, const char *name, const struct record *r,
		    const struct err *why, struct err *e)
{
	struct gc *g = arg;
	struct gc_pin *grown;
	struct object_id first;
	struct gc_pin *p;

	(void)why;
	grown = reallocarray(g->pins, g->n_pins + 1, sizeof(*grown));
	if (!grown)
		return err_oom(e);
	g->pins = grown;
	p = &g->pins[g->n_pins++];
	*p = (struct gc_pin){ .host = "?" };
	if (!object_name_parse(OBJECT_PIN, name, &first, &p->id) || !r)
		return 0; /* it does not open: it pins all there is */
	memcpy(p->host, r->by, sizeof(p->host));
	for (size_t i = 0; i < r->n_ids; i++)
		if (gc_ids_add(&p->snapshots, r->ids[i], e))
			return -1;
	return 0;
}

static bool is_pinned(const struct gc *g, struct object_id snapshot)
{
	for (size_t i = 0; i < g->n_pins; i++) {
		const struct gc_ids *l = &g->pins[i].snapshots;

		if (l->n == 0)
			return true;
		for (size_t k = 0; k < l->n; k++)
			if (object_id_equal(l->v[k], snapshot))
				return true;
	}
	return false;
}

/* ---- Snapshots ---------------------------------------------------------- */

static bool is_past(const struct gc *g, const struct repository_snapshot *s)
{
	const struct gc_options *o = g->o;

	if (o->grace_ms == 0)
		return true;
	return instant_compare(o->grace_ms < 0 ? s->restorable_until
					       : instant_add_ms(s->deleted_at,
								o->grace_ms),
			       o->now) <= 0;
}

static bool is_dead(const struct gc *g, const struct repository_snapshot *s)
{
	const bool locked = s->locked &&
			    instant_compare(s->locked_until, g->o->now) > 0;

	return s->deleted && !s->in_doubt && !s->held && !locked &&
	       is_past(g, s) && !is_pinned(g, s->manifest.snapshot);
}

/*
 * Manifests that may go are listed before the sessions, and sessions before it
 * is read once more whether the snapshot is deleted: an undelete publishes it
 * anew while it still is, and its manifest is then of a session that is there.
 */
struct letting_go {
	struct gc *g;
	struct gc_ids sessions;
	struct buf names;
};

static int note_name(void *arg, const struct store_entry *entry, struct err *e)
{
	struct letting_go *x = arg;

	return buf_add(&x->names, entry->name, strlen(entry->name) + 1, e);
}

static int list_manifests(struct letting_go *x, struct object_id snapshot,
			  struct err *e)
{
	char id[OBJECT_ID_TEXT];
	char prefix[64];

	object_id_format(snapshot, id);
	(void)snprintf(prefix, sizeof(prefix), "snapshots/%s-", id);
	return store_list(x->g->store, prefix, note_name, x, e);
}

static struct gc_snapshot *dead_one(struct gc *g, struct object_id id)
{
	for (size_t i = 0; i < g->n_snapshots; i++)
		if (g->snapshots[i].dead &&
		    object_id_equal(g->snapshots[i].id, id))
			return &g->snapshots[i];
	return NULL;
}

static int changed(struct object_id snapshot, const char *how, struct err *e)
{
	char id[OBJECT_ID_TEXT];

	object_id_format(snapshot, id);
	(void)err_set(e, ERR_BUSY, "snapshot %s was %s meanwhile", id, how);
	return err_hint(e, "collect again: it stays");
}

static int keep_those_without_session(struct letting_go *x, struct err *e)
{
	const char *name = buf_str(&x->names);
	const char *end = name + x->names.len;
	struct object_id snapshot;
	struct object_id session;

	for (; name < end; name += strlen(name) + 1) {
		int deleted;

		if (!object_name_parse(OBJECT_MANIFEST, name, &snapshot,
				       &session) ||
		    gc_ids_has(&x->sessions, session) ||
		    !dead_one(x->g, snapshot))
			continue;
		deleted = repository_is_deleted(x->g->r, snapshot, e);
		if (deleted < 0)
			return -1;
		/* Its packs would go, as it is not traced. */
		if (!deleted)
			return changed(snapshot, "undeleted", e);
		if (buf_add(&x->g->manifests, name, strlen(name) + 1, e))
			return -1;
	}
	return 0;
}

/*
 * A manifest that the store does not let go yet stays, and with it all that it
 * needs, as of a snapshot that is locked.
 */
static int keep_guarded(struct letting_go *x, struct err *e)
{
	const char *name = buf_str(&x->names);
	const char *end = name + x->names.len;
	struct object_id snapshot;
	struct object_id session;

	for (; name < end; name += strlen(name) + 1) {
		struct gc_snapshot *s = object_name_parse(OBJECT_MANIFEST, name,
							  &snapshot, &session)
						? dead_one(x->g, snapshot)
						: NULL;
		const int guarded = s ? gc_has_to_wait(x->g, name, e) : 0;

		if (guarded < 0)
			return -1;
		if (!guarded)
			continue;
		s->dead = false;
		x->g->out->snapshots_locked++;
	}
	return 0;
}

static int note_manifests(struct gc *g, struct err *e)
{
	struct letting_go x = { .g = g };
	bool any = false;
	int failed = 0;

	buf_init(&x.names, MANIFESTS_MAX);
	for (size_t i = 0; !failed && i < g->n_snapshots; i++) {
		if (!g->snapshots[i].dead)
			continue;
		any = true;
		failed = list_manifests(&x, g->snapshots[i].id, e);
	}
	if (!failed && any) {
		failed = gc_listing_expect_dead(g, &x.names, e) ||
			 gc_others(g, &x.sessions, e);
		gc_ids_sort(&x.sessions);
		failed = failed || keep_guarded(&x, e) ||
			 keep_those_without_session(&x, e);
	}
	gc_ids_done(&x.sessions);
	buf_done(&x.names);
	return failed ? -1 : 0;
}

static int note_snapshot(void *arg, struct repository_snapshot *s,
			 struct err *e)
{
	struct gc *g = arg;
	const struct manifest *m = &s->manifest;
	struct gc_snapshot *grown;
	const bool dead = is_dead(g, s);

	if ((g->n_snapshots & (g->n_snapshots + 1)) == 0) {
		grown = reallocarray(g->snapshots, 2 * g->n_snapshots + 1,
				     sizeof(*grown));
		if (!grown)
			return err_oom(e);
		g->snapshots = grown;
	}
	g->snapshots[g->n_snapshots++] = (struct gc_snapshot){
		.id = m->snapshot,
		.session = m->session,
		.tree = m->tree,
		.hints = m->hints,
		.error_list = m->error_list,
		.has_errors = m->errors > 0,
		.dead = dead,
		.pinned = is_pinned(g, m->snapshot),
		.source = dead ? strdup(m->source) : NULL,
	};
	return dead && !g->snapshots[g->n_snapshots - 1].source ? err_oom(e)
								: 0;
}

static int note_damaged(void *arg, const char *name, const struct err *why,
			struct err *e)
{
	struct gc *g = arg;
	struct object_id snapshot;
	struct object_id session;

	if (object_name_parse(OBJECT_MANIFEST, name, &snapshot, &session) &&
	    is_given_up(g, &whole, session))
		return gc_ids_add(&g->lost_manifests, session, e);
	return gc_refuse(e, "what a snapshot needs is not known: %s",
			 why->text);
}

/* ---- The index ---------------------------------------------------------- */

static int note_underway_block(struct gc *g, const struct index_object *o,
			       uint32_t block, struct err *e)
{
	uint8_t plain[INDEX_BLOCK_PLAIN];
	struct pack_entry x;
	struct gc_pack *p;

	if (index_object_block(o, block, plain, e))
		return -1;
	for (size_t i = 0; i < index_object_count(o, block); i++) {
		index_decode(plain + 2 + i * INDEX_ENTRY_SIZE, &x);
		if (pack_of(g, x.place.pack, &p, e))
			return -1;
		p->underway = true;
	}
	return 0;
}

/* What a session that is alive has stored is not garbage yet. */
static int note_underway(void *arg, const struct index_object *o, struct err *e)
{
	struct gc *g = arg;

	if (o->voided || !gc_ids_has(&g->others, o->session))
		return 0;
	for (uint32_t b = 0; b < o->blocks; b++)
		if (note_underway_block(g, o, b, e))
			return -1;
	return 0;
}

/*
 * Chunks that were given up are not hidden: a node that opens again is read
 * after all, so that what it reaches stays.
 */
static int open_index(struct gc *g, struct err *e)
{
	/* What the survey counts in one walk it finds again in the next. */
	const struct index_set_options o = { .cache_bytes = INDEX_CACHE_BYTES,
					     .frozen = true };
	static const struct store_question both[] = {
		{ STORE_ASK_LISTING, "voids/", 0 },
		{ STORE_ASK_LISTING, "index/", 0 },
	};
	struct store_asked *asked = store_ask(g->store, both, 2);
	const int failed = index_set_open(g->store, g->keys, &o, &g->index, e);

	store_ask_done(asked);
	if (!failed)
		return gc_adopt(g, e);
	if (object_is_damage(e))
		return gc_refuse_because(e, "the index is damaged");
	return -1;
}

static int look_for_mark(void *arg, const char *name, const struct record *r,
			 const struct err *why, struct err *e)
{
	struct object_id *wanted = arg;

	(void)name;
	(void)why;
	(void)e;
	for (size_t i = 0; r && i < r->n_ids; i++)
		if (object_id_equal(r->ids[i], *wanted))
			*wanted = (struct object_id){ { 0 } };
	return 0;
}

/* Another collector may have marked and deleted it since we read marks. */
static int refuse_missing(struct gc *g, const char *name, struct object_id pack,
			  struct err *e)
{
	struct object_id wanted = pack;

	if (record_list(g->store, g->keys, OBJECT_MARK, look_for_mark, &wanted,
			e))
		return -1;
	if (object_id_is_zero(wanted))
		return err_set(e, ERR_BUSY,
			       "another garbage collection is at work");
	return gc_refuse(e, "the index names \"%s\", which is not there", name);
}

/* A pack that came since packs were listed, or one that is lost. */
static int find_pack(struct gc *g, const struct pack_entry *x,
		     struct gc_pack *p, struct err *e)
{
	const enum object_kind kind = chunk_kind_is_meta(x->seal.kind)
					      ? OBJECT_META_PACK
					      : OBJECT_DATA_PACK;
	const struct object_name name = object_name(kind, x->place.pack);
	const int found = store_size(g->store, name.s, &p->size, e);

	if (found < 0)
		return -1;
	p->asked = true;
	if (!found && g->guarding)
		return 0;
	if (!found)
		return p->marked ? 0
				 : refuse_missing(g, name.s, x->place.pack, e);
	p->kind = (uint8_t)kind;
	p->listed = true;
	p->underway = true;
	return 0;
}

struct first_walk {
	struct gc *g;
	struct chunk_id last;
	bool any;
};

static int note_entry(void *arg, const struct pack_entry *x, struct err *e)
{
	struct first_walk *w = arg;
	struct gc *g = w->g;
	struct gc_pack *p;
	void *value;

	if (pack_of(g, x->place.pack, &p, e))
		return -1;
	p->entries++;
	if (p->quarantined && filemap_add(g->lost, x->seal.id.b, &value, e) < 0)
		return -1;
	p->bytes += x->place.len;
	if (!p->listed && !p->quarantined && !p->asked && find_pack(g, x, p, e))
		return -1;
	if (!w->any || !chunk_id_equal(&w->last, &x->seal.id)) {
		gc_live_add(g->live, &x->seal.id);
		w->last = x->seal.id;
		w->any = true;
		g->out->chunks++;
	}
	if (++g->entries % 4096 == 0) {
		gc_stage(g, "index", g->entries, index_set_entries(g->index));
		return gc_stopped(g, e);
	}
	return 0;
}

/* ---- Walking chunk by chunk --------------------------------------------- */

struct grouping {
	struct gc *g;
	struct gc_group group;
	uint64_t ordinal; /* of the next group */
	gc_visit *visit;
	void *arg;
};

static int end_group(struct grouping *w, struct err *e)
{
	struct gc_group *group = &w->group;

	if (group->n == 0)
		return 0;
	if (!gc_live_fits(w->g->live, w->ordinal, &group->v[0].entry.seal.id))
		return err_set(e, ERR_BUSY, "the index changed meanwhile");
	group->live = gc_live_is(w->g->live, w->ordinal);
	group->pinned = gc_live_is_pinned(w->g->live, w->ordinal);
	group->rank = gc_live_rank(w->g->live, w->ordinal);
	w->ordinal++;
	if (w->ordinal % 4096 == 0 && gc_stopped(w->g, e))
		return -1;
	if (w->visit(w->arg, group, e))
		return -1;
	group->n = 0;
	return 0;
}

static int add_to_group(void *arg, const struct pack_entry *x, struct err *e)
{
	struct grouping *w = arg;
	struct gc_group *group = &w->group;
	struct gc_place *grown;
	struct gc_pack *p;

	if (group->n &&
	    !chunk_id_equal(&group->v[0].entry.seal.id, &x->seal.id) &&
	    end_group(w, e))
		return -1;
	if (group->n == group->room) {
		const size_t room = group->room ? 2 * group->room : 8;

		grown = reallocarray(group->v, room, sizeof(*grown));
		if (!grown)
			return err_oom(e);
		group->v = grown;
		group->room = room;
	}
	p = filemap_find(w->g->packs, x->place.pack.b);
	if (!p)
		return err_set(e, ERR_BUSY, "the index changed meanwhile");
	group->v[group->n++] = (struct gc_place){
		.entry = *x,
		.pack = p,
		.usable = p->listed && !p->quarantined &&
			  !is_given_up(w->g, &x->seal.id, x->place.pack),
	};
	return 0;
}

int gc_walk(struct gc *g, gc_visit *visit, void *arg, struct err *e)
{
	struct grouping w = { .g = g, .visit = visit, .arg = arg };
	int failed;

	failed = index_set_walk(g->index, add_to_group, &w, e) ||
		 end_group(&w, e);
	free(w.group.v);
	return failed ? -1 : 0;
}

const struct gc_place *gc_holder(const struct gc_group *group)
{
	const struct gc_place *other = NULL;

	for (size_t i = 0; i < group->n; i++) {
		const struct gc_place *at = &group->v[i];

		if (!at->usable || at->pack->marked)
			continue;
		if (!at->pack->rewrite)
			return at;
		if (!other)
			other = at;
	}
	return other;
}

/*
 * Chunks that only marked packs hold keep none of them: they are copied.  One
 * that was given up wherever it lies may yet be mended: what is left of it
 * stays.
 */
static int sum_up(void *arg, const struct gc_group *group, struct err *e)
{
	const struct gc_place *at = gc_holder(group);
	struct gc *g = arg;
	bool usable = false;

	if (group->live && at) {
		at->pack->live++;
		at->pack->live_bytes += at->entry.place.len;
	}
	for (size_t i = 0; i < group->n; i++) {
		usable = usable || group->v[i].usable;
		if (group->pinned)
			group->v[i].pack->pinned = true;
	}
	if (!group->live || usable)
		return 0;
	for (size_t i = 0; i < group->n; i++)
		group->v[i].pack->keeps_lost = true;
	return gc_live_expect(g->live, &group->v[0].entry.seal.id, e);
}

int gc_sum_again(struct gc *g, struct err *e)
{
	uint64_t pos = 0;
	const void *key;
	void *value;

	while (filemap_next(g->packs, &pos, &key, &value)) {
		struct gc_pack *p = value;

		p->live = 0;
		p->live_bytes = 0;
	}
	return gc_walk(g, sum_up, g, e);
}

/* ---- All of it ---------------------------------------------------------- */

static int make_maps(struct gc *g, struct err *e)
{
	const char *folder = g->o->scratch;

	buf_init(&g->manifests, MANIFESTS_MAX);
	if (filemap_new(&g->packs, folder, sizeof(struct object_id),
			sizeof(struct gc_pack), e) ||
	    filemap_new(&g->given_up, folder, INDEX_KEY_SIZE, 1, e) ||
	    filemap_new(&g->lost, folder, CHUNK_ID_SIZE, 1, e))
		return -1;
	return 0;
}

/* Marks, and packs: which of the two is listed first is all the same. */
static int list_packs(struct gc *g, struct err *e)
{
	static const struct store_question all[] = {
		{ STORE_ASK_LISTING, "marks/", 0 },
		{ STORE_ASK_LISTING, "quarantine/", 0 },
		{ STORE_ASK_LISTING, "data/", 0 },
		{ STORE_ASK_LISTING, "meta/", 0 },
	};
	struct store_asked *asked = store_ask(g->store, all, 4);
	const int failed = record_list(g->store, g->keys, OBJECT_MARK,
				       note_mark, g, e) ||
			   note_due(g, e) ||
			   record_list(g->store, g->keys, OBJECT_QUARANTINE,
				       note_quarantine, g, e) ||
			   pack_list(g->store, note_pack, g, e);

	store_ask_done(asked);
	return failed ? -1 : 0;
}

/*
 * What decides about snapshots, and who reads them: asked for once sessions are
 * listed, and then all at once, so that a hold, a lock or a pin may be missed
 * that was there before the tombstone was.  gc_reconsider() alone makes up for
 * that, before anything is deleted.
 */
static int list_snapshots(struct gc *g, struct err *e)
{
	static const struct store_question pins = { STORE_ASK_LISTING, "pins/",
						    0 };
	struct store_asked *asked = store_ask(g->store, &pins, 1);
	struct store_asked *snapshots = repository_ask_snapshots(g->r);
	const int failed = record_list(g->store, g->keys, OBJECT_PIN, note_pin,
				       g, e) ||
			   repository_snapshots(g->r, true, note_snapshot,
						note_damaged, g, e);

	store_ask_done(snapshots);
	store_ask_done(asked);
	return failed ? -1 : 0;
}

static int list(struct gc *g, struct err *e)
{
	gc_stage(g, "listing", 0, 0);
	if (list_packs(g, e) || gc_others(g, &g->others, e) ||
	    list_snapshots(g, e) || gc_listing_expect_known(g, e) ||
	    note_manifests(g, e))
		return -1;
	gc_ids_sort(&g->others);
	return 0;
}

static int trace(struct gc *g, struct err *e)
{
	for (size_t i = 0; i < g->n_snapshots; i++) {
		const struct gc_snapshot *s = &g->snapshots[i];

		if (s->dead)
			continue;
		if (gc_live_trace(g->live, s, false, e) ||
		    (s->pinned && gc_live_trace(g->live, s, true, e)))
			return -1;
	}
	g->out->chunks_live = gc_live_count(g->live);
	return 0;
}

/* No node is looked for in packs that are gone. */
static int hide_gone(struct gc *g, struct err *e)
{
	uint64_t pos = 0;
	const void *key;
	void *value;

	while (filemap_next(g->packs, &pos, &key, &value)) {
		const struct gc_pack *p = value;
		struct object_id id;

		memcpy(id.b, key, sizeof(id.b));
		if (p->marked && !p->listed &&
		    index_set_hide_pack(g->index, id, e))
			return -1;
	}
	return 0;
}

int gc_survey(struct gc *g, struct err *e)
{
	struct first_walk w = { .g = g };

	gc_survey_done(g);
	g->out->snapshots_locked = 0;
	g->out->chunks = 0;
	if (make_maps(g, e) || list(g, e) || open_index(g, e) ||
	    index_set_each(g->index, note_underway, g, e) ||
	    gc_live_new(g, &g->live, e) ||
	    index_set_walk(g->index, note_entry, &w, e) || hide_gone(g, e) ||
	    trace(g, e) || gc_walk(g, sum_up, g, e))
		return -1;
	return 0;
}

static int leave_out(void *arg, struct object_id id, const struct err *why,
		     struct err *e)
{
	struct gc *g = arg;

	(void)id;
	(void)e;
	g->blind = true;
	if (why->sys == EIO && g->unread.code == ERR_NONE)
		g->unread = *why;
	return 0;
}

int gc_survey_packs(struct gc *g, struct err *e)
{
	const struct index_set_options o = { .cache_bytes = INDEX_CACHE_BYTES,
					     .damaged = leave_out,
					     .arg = g,
					     .frozen = true };
	struct first_walk w = { .g = g };

	return make_maps(g, e) ||
			       record_list(g->store, g->keys, OBJECT_MARK,
					   note_mark, g, e) ||
			       record_list(g->store, g->keys, OBJECT_QUARANTINE,
					   note_quarantine, g, e) ||
			       pack_list(g->store, note_pack, g, e) ||
			       index_set_open(g->store, g->keys, &o, &g->index,
					      e) ||
			       gc_live_new(g, &g->live, e) ||
			       index_set_walk(g->index, note_entry, &w, e) ||
			       hide_gone(g, e)
		       ? -1
		       : 0;
}

void gc_survey_done(struct gc *g)
{
	gc_live_free(g->live);
	index_set_free(g->index);
	filemap_free(g->packs);
	filemap_free(g->given_up);
	filemap_free(g->lost);
	for (size_t i = 0; i < g->n_pins; i++)
		gc_ids_done(&g->pins[i].snapshots);
	free(g->pins);
	for (size_t i = 0; i < g->n_snapshots; i++)
		free(g->snapshots[i].source);
	free(g->snapshots);
	gc_ids_done(&g->others);
	gc_ids_done(&g->removed);
	buf_done(&g->manifests);
	g->live = NULL;
	g->index = NULL;
	g->packs = g->given_up = g->lost = NULL;
	g->pins = NULL;
	g->n_pins = 0;
	g->snapshots = NULL;
	g->n_snapshots = 0;
	g->entries = 0;
}

/* ---- Once more ---------------------------------------------------------- */

static int reconsider_one(struct gc *g, const struct gc_snapshot *s,
			  struct err *e)
{
	struct repository_snapshot now = { .manifest = { .snapshot = s->id } };
	const int deleted = repository_is_deleted(g->r, s->id, e);

	if (deleted < 0)
		return -1;
	if (!deleted)
		return changed(s->id, "undeleted", e);
	(void)snprintf(now.manifest.source, sizeof(now.manifest.source), "%s",
		       s->source);
	if (repository_snapshot_guards(g->r, &now, e))
		return -1;
	if (now.held)
		return changed(s->id, "put under a hold", e);
	if (now.locked && instant_compare(now.locked_until, g->o->now) > 0)
		return changed(s->id, "locked", e);
	return is_pinned(g, s->id) ? changed(s->id, "pinned by a reader", e)
				   : 0;
}

/*
 * Of all that is dead, and thus was not traced, anew and one after the other,
 * with nothing asked for ahead: list_snapshots() relies on it.
 */
int gc_reconsider(struct gc *g, struct err *e)
{
	/* What was pinned before stays so. */
	if (record_list(g->store, g->keys, OBJECT_PIN, note_pin, g, e))
		return -1;
	for (size_t i = 0; i < g->n_snapshots; i++)
		if (g->snapshots[i].dead &&
		    reconsider_one(g, &g->snapshots[i], e))
			return -1;
	return 0;
}

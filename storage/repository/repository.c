#include "storage/repository/repository.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "storage/repository/deletion.h"
#include "storage/repository/seal.h"
#include "storage/repository/voids.h"

/*
 * Opened index blocks kept in memory: 8 MiB are half a thousand blocks, the
 * whole index of some 130,000 chunks (100 GB), and a fraction that costs one
 * more block read for each look-up beyond that.
 */
#define INDEX_CACHE_BYTES (8U << 20)

struct repository {
	struct store *store;
	struct keys *keys;
	pthread_mutex_t lock; /* guards the opening of index */
	struct index_set *index;
};

/* Of the newest keyring, for keys that were read some time ago. */
static int newest_epoch(void *arg, uint32_t *ret, struct err *e)
{
	return keyring_epoch((struct store *)arg, ret, e);
}

int repository_open_on(struct store *s, const struct keyring_credential *c,
		       struct repository **ret, struct err *e)
{
	CLEANUP(repository_close) struct repository *r = calloc(1, sizeof(*r));

	if (!r) {
		store_close(s);
		return err_oom(e);
	}
	r->store = s;
	(void)pthread_mutex_init(&r->lock, NULL);
	if (keyring_open(r->store, c, &r->keys, e))
		return -1;
	keys_ask(r->keys, newest_epoch, r->store);
	*ret = TAKE(r);
	return 0;
}

int repository_open(const char *url, const struct keyring_credential *c,
		    struct repository **ret, struct err *e)
{
	struct store *s = NULL;

	if (store_open(url, false, &s, e))
		return -1;
	return repository_open_on(s, c, ret, e);
}

void repository_close(struct repository *r)
{
	if (!r)
		return;
	index_set_free(r->index);
	keys_free(r->keys);
	store_close(r->store);
	(void)pthread_mutex_destroy(&r->lock);
	free(r);
}

struct store *repository_store(struct repository *r)
{
	return r->store;
}

const struct keys *repository_keys(const struct repository *r)
{
	return r->keys;
}

/*
 * A quarantine that does not open hides nothing: reading then meets the
 * damage itself, under its own tag.
 */
static int hide_quarantined(void *arg, const char *name, const struct record *r,
			    const struct err *why, struct err *e)
{
	struct index_set *index = (struct index_set *)arg;

	(void)name;
	(void)why;
	for (size_t i = 0; r && i < r->n_ids; i++)
		if (index_set_hide_chunk(index, &r->chunks[i], r->ids[i], e))
			return -1;
	return 0;
}

/*
 * What only a damaged index object names counts as absent: a restore then
 * names the files that it misses, a snapshot stores their chunks again, and
 * neither is refused for the sake of what it does not touch.
 */
static int leave_out(void *arg, struct object_id id, const struct err *why,
		     struct err *e)
{
	(void)arg;
	(void)id;
	(void)why;
	(void)e;
	return 0;
}

int repository_index_open(struct repository *r, bool rely,
			  struct index_set **ret, struct err *e)
{
	const struct index_set_options o = { .cache_bytes = INDEX_CACHE_BYTES,
					     .damaged = leave_out,
					     .rely = rely };
	/* Who relies on it reads voids first, then the index, and has asked
	 * for what comes before that. */
	static const struct store_question all[] = {
		{ STORE_ASK_LISTING, "quarantine/", 0 },
		{ STORE_ASK_LISTING, "voids/", 0 },
		{ STORE_ASK_LISTING, "index/", 0 },
	};
	CLEANUP(index_set_free) struct index_set *index = NULL;
	struct store_asked *asked = store_ask(r->store, all, rely ? 0 : 3);
	const int failed = index_set_open(r->store, r->keys, &o, &index, e) ||
			   record_list(r->store, r->keys, OBJECT_QUARANTINE,
				       hide_quarantined, index, e);

	store_ask_done(asked);
	if (failed)
		return -1;
	*ret = TAKE(index);
	return 0;
}

int repository_index_add(struct repository *r, struct object_id index,
			 struct err *e)
{
	int failed = 0;

	(void)pthread_mutex_lock(&r->lock);
	if (r->index)
		failed = index_set_add(r->index, index, e);
	(void)pthread_mutex_unlock(&r->lock);
	return failed;
}

int repository_index(struct repository *r, struct index_set **ret,
		     struct err *e)
{
	int failed = 0;

	(void)pthread_mutex_lock(&r->lock);
	if (!r->index)
		failed = repository_index_open(r, false, &r->index, e);
	if (!failed)
		*ret = r->index;
	(void)pthread_mutex_unlock(&r->lock);
	return failed;
}

/*
 * Everything that bears on which snapshots exist, gathered by one listing of
 * each kind.  Snapshots are few (thousands) beside chunks and entries, and
 * what is kept of each here is small, so they are sorted in memory.
 */
struct gathered {
	struct repository *r;
	struct repository_snapshot *v;
	size_t n;
	size_t cap;
	struct voids *voids;
	repository_damaged *damaged;
	void *arg;
};

static void gathered_done(struct gathered *g)
{
	for (size_t i = 0; i < g->n; i++)
		manifest_done(&g->v[i].manifest);
	free(g->v);
	voids_free(g->voids);
}

/* Whether something that session wrote counts: 1, 0, -1. */
static int counts(struct gathered *g, struct object_id session,
		  struct object_id object, struct err *e)
{
	enum voids_answer answer;

	if (voids_judge(g->voids, session, object, &answer, e))
		return -1;
	return answer != VOIDS_DOES_NOT;
}

static struct repository_snapshot *gathered_find(struct gathered *g,
						 struct object_id id)
{
	size_t low = 0;
	size_t high = g->n;

	/* Names are listed in order, so v is sorted by id. */
	while (low < high) {
		const size_t mid = low + (high - low) / 2;
		const int c = object_id_compare(g->v[mid].manifest.snapshot,
						id);

		if (c == 0)
			return &g->v[mid];
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

/* What speaks of snapshots that are not there need not be read. */
static bool is_gathered(void *arg, struct object_id snapshot)
{
	return gathered_find(arg, snapshot) != NULL;
}

static int read_manifest(struct repository *r, const char *name,
			 struct manifest *m, struct err *e)
{
	CLEANUP(buf_wipe) struct buf payload;
	struct object_id snapshot;
	struct object_id session;
	int found;

	buf_init(&payload, CHUNK_MAX);
	if (!object_name_parse(OBJECT_MANIFEST, name, &snapshot, &session))
		return err_set(e, ERR_CORRUPT,
			       "object \"%s\" has no name of a manifest", name);
	found = seal_box_get(r->store, r->keys, OBJECT_MANIFEST, name, &payload,
			     e);
	if (found != 1)
		return found;
	manifest_init(m);
	if (manifest_decode(payload.data, payload.len, m, e)) {
		manifest_done(m);
		return -1;
	}
	if (object_id_equal(m->snapshot, snapshot) &&
	    object_id_equal(m->session, session))
		return 1;
	manifest_done(m);
	return err_set(e, ERR_CORRUPT,
		       "manifest \"%s\" speaks of another snapshot", name);
}

static int still_there(void *arg, const struct store_entry *entry,
		       struct err *e)
{
	const char *name = arg;

	if (strcmp(entry->name, name) != 0)
		return 0;
	return err_set(e, ERR_BUSY,
		       "object \"%s\" is listed, and cannot be read", name);
}

/*
 * A manifest that was listed and is not there: somebody has removed it since.
 * One that is listed still is none to pass over, for a collector least of all.
 */
static int expect_removed(struct store *s, const char *name, struct err *e)
{
	return store_list(s, name, still_there, (void *)(uintptr_t)name, e);
}

static int add_manifest(void *arg, const struct store_entry *entry,
			struct err *e)
{
	struct gathered *g = (struct gathered *)arg;
	struct repository_snapshot *grown;
	struct err why = { 0 };
	struct manifest m;
	size_t cap;
	int is;

	switch (read_manifest(g->r, entry->name, &m, &why)) {
	case 0:
		return expect_removed(g->r->store, entry->name, e);
	case -1:
		if (!object_is_damage(&why) && why.code != ERR_NEWER) {
			*e = why;
			return -1;
		}
		return g->damaged ? g->damaged(g->arg, entry->name, &why, e)
				  : 0;
	default:
		break;
	}
	/* Of several sound manifests of one snapshot the first counts. */
	is = counts(g, m.session, m.snapshot, e);
	if (is <= 0 ||
	    (g->n &&
	     object_id_equal(g->v[g->n - 1].manifest.snapshot, m.snapshot))) {
		manifest_done(&m);
		return is < 0 ? -1 : 0;
	}
	if (g->n == g->cap) {
		cap = g->cap ? 2 * g->cap : 64;
		grown = reallocarray(g->v, cap, sizeof(*grown));
		if (!grown) {
			manifest_done(&m);
			return err_oom(e);
		}
		g->v = grown;
		g->cap = cap;
	}
	g->v[g->n++] = (struct repository_snapshot){ .manifest = m,
						     .received = m.ended };
	return 0;
}

static int add_receipt(void *arg, const char *name, const struct record *r,
		       const struct err *why, struct err *e)
{
	struct gathered *g = (struct gathered *)arg;
	struct repository_snapshot *s;

	(void)name;
	(void)why;
	(void)e;
	s = r ? gathered_find(g, r->snapshot) : NULL;
	if (s) {
		s->has_receipt = true;
		s->received = r->time;
		s->clock = r->clock;
	}
	return 0;
}

static void add_lock_for_all(struct repository_snapshot *s,
			     const struct record *r)
{
	const struct instant until = r ? r->until
				       : (struct instant){ INT64_MAX, 0 };

	if (!s->locked_for_all ||
	    instant_compare(until, s->locked_for_all_until) > 0)
		s->locked_for_all_until = until;
	s->locked_for_all = true;
}

static int add_lock(void *arg, const char *name, const struct record *r,
		    const struct err *why, struct err *e)
{
	struct gathered *g = (struct gathered *)arg;
	struct repository_snapshot *s;
	struct object_id first;
	struct object_id last;

	(void)e;
	if (!object_name_parse(OBJECT_LOCK, name, &first, &last))
		return 0;
	s = gathered_find(g, first);
	if (!s)
		return 0;
	if (!r) { /* does not open: in force, with no end that we know */
		s->locked_until = (struct instant){ INT64_MAX, 0 };
		s->unread_sys = why->sys;
	} else if (!s->locked ||
		   instant_compare(r->until, s->locked_until) > 0) {
		s->locked_until = r->until;
	}
	s->locked = true;
	if (r && !object_id_equal(r->session, s->manifest.session))
		s->locked_elsewhere = true;
	if (record_lock_is_here(name))
		s->lock_is_here = true;
	else
		add_lock_for_all(s, r);
	s->lock_is_ours = s->lock_is_ours ||
			  (r &&
			   object_id_equal(r->session, s->manifest.session));
	return 0;
}

/* Records kept for the second look: tombstones, undeletes, holds. */
struct kept {
	struct gathered *g;
	struct record *v;
	size_t n;
	bool unreadable;
	int sys; /* why, if the system did not let it be read */
};

static void kept_done(struct kept *k)
{
	for (size_t i = 0; i < k->n; i++)
		record_done(&k->v[i]);
	free(k->v);
}

static bool is_wanted(void *arg, struct object_id snapshot)
{
	return gathered_find(((struct kept *)arg)->g, snapshot) != NULL;
}

static struct repository_snapshot *named_by(struct kept *k,
					    enum object_kind kind,
					    const char *name)
{
	struct object_id snapshot;
	struct object_id id;

	return object_name_parse(kind, name, &snapshot, &id)
		       ? gathered_find(k->g, snapshot)
		       : NULL;
}

/* An undelete that does not open may be the one that matters, and a tombstone
 * all there is. */
static void note_unreadable(struct kept *k, const char *name, int sys)
{
	struct repository_snapshot *s;

	k->unreadable = true;
	k->sys = sys ? sys : k->sys;
	s = named_by(k, OBJECT_UNDELETE, name);
	if (s)
		s->in_doubt = true;
	s = named_by(k, OBJECT_TOMBSTONE, name);
	if (s) {
		s->deletion_unread = true;
		s->unread_sys = sys;
	}
}

static int keep(void *arg, const char *name, const struct record *r,
		const struct err *why, struct err *e)
{
	struct kept *k = (struct kept *)arg;
	struct record *grown;
	struct record copy;

	if (!r) {
		note_unreadable(k, name, why->sys);
		return 0;
	}
	copy = *r;
	copy.ids = NULL;
	copy.chunks = NULL;
	copy.n_ids = 0;
	for (size_t i = 0; i < r->n_ids; i++)
		if (record_add_id(&copy, r->ids[i], e)) {
			record_done(&copy);
			return -1;
		}
	grown = reallocarray(k->v, k->n + 1, sizeof(*grown));
	if (!grown) {
		record_done(&copy);
		return err_oom(e);
	}
	k->v = grown;
	k->v[k->n++] = copy;
	return 0;
}

/* An undelete of a session that was given up may be none. */
static int drop_voided(struct gathered *g, struct kept *undeletes,
		       struct err *e)
{
	size_t n = 0;

	for (size_t i = 0; i < undeletes->n; i++) {
		struct record *u = &undeletes->v[i];
		const int is = counts(g, u->session, u->id, e);

		if (is < 0)
			return -1;
		if (is)
			undeletes->v[n++] = *u;
		else
			record_done(u);
	}
	undeletes->n = n;
	return 0;
}

static bool is_revoked(const struct kept *undeletes, struct object_id tombstone)
{
	for (size_t i = 0; i < undeletes->n; i++)
		for (size_t j = 0; j < undeletes->v[i].n_ids; j++)
			if (object_id_equal(undeletes->v[i].ids[j], tombstone))
				return true;
	return false;
}

static void apply(struct gathered *g, const struct kept *tombstones,
		  const struct kept *undeletes)
{
	for (size_t i = 0; i < tombstones->n; i++) {
		const struct record *t = &tombstones->v[i];
		struct repository_snapshot *s = gathered_find(g, t->snapshot);

		if (!s || is_revoked(undeletes, t->id))
			continue;
		if (!s->deleted ||
		    instant_compare(t->time, s->deleted_at) < 0) {
			s->deleted_at = t->time;
			s->restorable_until = t->until;
		}
		s->this_region = (t->scope == RECORD_THIS_REGION ||
				  deletion_is_by_rules(t)) &&
				 (!s->deleted || s->this_region);
		s->deleted = true;
	}
}

static int apply_tombstones(struct gathered *g, struct err *e)
{
	struct kept undeletes = { .g = g };
	struct kept tombstones = { .g = g };
	const struct keys *k = g->r->keys;
	int failed;

	failed = record_list_some(g->r->store, k, OBJECT_TOMBSTONE, is_wanted,
				  keep, &tombstones, e) ||
		 (tombstones.n &&
		  (record_list_some(g->r->store, k, OBJECT_UNDELETE, is_wanted,
				    keep, &undeletes, e) ||
		   drop_voided(g, &undeletes, e)));
	if (!failed)
		apply(g, &tombstones, &undeletes);
	kept_done(&tombstones);
	kept_done(&undeletes);
	return failed ? -1 : 0;
}

int repository_is_deleted(struct repository *r, struct object_id snapshot,
			  struct err *e)
{
	struct repository_snapshot s = { .manifest = { .snapshot = snapshot } };
	struct gathered g = { .r = r, .v = &s, .n = 1 };
	struct kept undeletes = { .g = &g };
	struct kept tombstones = { .g = &g };
	int failed;

	failed = voids_read(r->store, r->keys, &g.voids, e) ||
		 record_list_of(r->store, r->keys, OBJECT_TOMBSTONE, snapshot,
				keep, &tombstones, e) ||
		 record_list_of(r->store, r->keys, OBJECT_UNDELETE, snapshot,
				keep, &undeletes, e) ||
		 drop_voided(&g, &undeletes, e);
	if (!failed)
		apply(&g, &tombstones, &undeletes);
	kept_done(&tombstones);
	kept_done(&undeletes);
	voids_free(g.voids);
	return failed ? -1 : s.deleted && !s.in_doubt;
}

struct counting {
	struct gathered g;
	bool any;
};

static int see_manifest(void *arg, const struct store_entry *entry,
			struct err *e)
{
	struct counting *c = (struct counting *)arg;
	struct object_id snapshot;
	struct object_id session;
	int is;

	if (!object_name_parse(OBJECT_MANIFEST, entry->name, &snapshot,
			       &session))
		return 0;
	is = counts(&c->g, session, snapshot, e);
	c->any = c->any || is > 0;
	return is < 0 ? -1 : 0;
}

int repository_counts(struct repository *r, struct object_id snapshot,
		      struct err *e)
{
	struct counting c = { .g = { .r = r } };
	char id[OBJECT_ID_TEXT];
	char prefix[64];
	int failed;

	object_id_format(snapshot, id);
	(void)snprintf(prefix, sizeof(prefix), "snapshots/%s-", id);
	failed = voids_read(r->store, r->keys, &c.g.voids, e) ||
		 store_list(r->store, prefix, see_manifest, &c, e);
	voids_free(c.g.voids);
	return failed ? -1 : c.any;
}

static bool is_released(const struct kept *holds, struct object_id hold)
{
	for (size_t i = 0; i < holds->n; i++)
		if (object_id_equal(holds->v[i].releases, hold))
			return true;
	return false;
}

static bool hold_names(const struct record *hold, const struct manifest *m)
{
	if (*hold->source && strcmp(hold->source, m->source) == 0)
		return true;
	for (size_t i = 0; i < hold->n_ids; i++)
		if (object_id_equal(hold->ids[i], m->snapshot))
			return true;
	return false;
}

static int apply_holds(struct gathered *g, struct err *e)
{
	struct kept holds = { .g = g };

	if (record_list(g->r->store, g->r->keys, OBJECT_HOLD, keep, &holds,
			e)) {
		kept_done(&holds);
		return -1;
	}
	/* A hold that does not open could name anything: all are held. */
	for (size_t i = 0; holds.unreadable && i < g->n; i++) {
		g->v[i].held = g->v[i].held_in_doubt = true;
		g->v[i].unread_sys = holds.sys;
	}
	for (size_t h = 0; h < holds.n; h++) {
		if (!object_id_is_zero(holds.v[h].releases) ||
		    is_released(&holds, holds.v[h].id))
			continue;
		for (size_t i = 0; i < g->n; i++)
			if (hold_names(&holds.v[h], &g->v[i].manifest))
				g->v[i].held = true;
	}
	kept_done(&holds);
	return 0;
}

/*
 * A store's clock may know seconds only (S3's does).  Which of two received in
 * the same one is the later, their writers' clocks say.
 */
static int by_receipt(const void *a, const void *b)
{
	const struct repository_snapshot *x =
		(const struct repository_snapshot *)a;
	const struct repository_snapshot *y =
		(const struct repository_snapshot *)b;
	int c = instant_compare(x->received, y->received);

	if (c == 0)
		c = instant_compare(x->manifest.ended, y->manifest.ended);
	return c ? c
		 : object_id_compare(x->manifest.snapshot,
				     y->manifest.snapshot);
}

static int gather(struct gathered *g, struct err *e)
{
	struct store *s = g->r->store;
	const struct keys *k = g->r->keys;

	if (voids_read(s, k, &g->voids, e) ||
	    store_list_reading(s, "snapshots/", add_manifest, g, e) ||
	    record_list_some(s, k, OBJECT_RECEIPT, is_gathered, add_receipt, g,
			     e) ||
	    record_list_some(s, k, OBJECT_LOCK, is_gathered, add_lock, g, e) ||
	    apply_tombstones(g, e) || apply_holds(g, e))
		return -1;
	if (g->n)
		qsort(g->v, g->n, sizeof(*g->v), by_receipt);
	return 0;
}

struct store_asked *repository_ask_snapshots(struct repository *r)
{
	static const struct store_question all[] = {
		{ STORE_ASK_LISTING, "voids/", 0 },
		{ STORE_ASK_LISTING, "snapshots/", 0 },
		{ STORE_ASK_LISTING, "receipts/", 0 },
		{ STORE_ASK_LISTING, "locks/", 0 },
		{ STORE_ASK_LISTING, "tombstones/", 0 },
		{ STORE_ASK_LISTING, "holds/", 0 },
	};

	return store_ask(r->store, all, sizeof(all) / sizeof(all[0]));
}

int repository_snapshots(struct repository *r, bool with_deleted,
			 repository_visit *visit, repository_damaged *damaged,
			 void *arg, struct err *e)
{
	struct gathered g = { .r = r, .damaged = damaged, .arg = arg };
	int result;

	result = gather(&g, e);
	for (size_t i = 0; result == 0 && i < g.n; i++)
		if (with_deleted || !g.v[i].deleted)
			result = visit(arg, &g.v[i], e);
	gathered_done(&g);
	return result < 0 ? -1 : 0;
}

int repository_snapshot_guards(struct repository *r,
			       struct repository_snapshot *s, struct err *e)
{
	struct gathered g = { .r = r, .v = s, .n = 1 }; /* borrows s */

	return record_list_of(r->store, r->keys, OBJECT_LOCK,
			      s->manifest.snapshot, add_lock, &g, e) ||
			       apply_holds(&g, e)
		       ? -1
		       : 0;
}

void repository_snapshot_done(struct repository_snapshot *s)
{
	manifest_done(&s->manifest);
}

/* Records of a region that the other one lacks, copied byte for byte. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "storage/replicate_internal.h"
#include "storage/repository/deletion.h"
#include "storage/repository/guards.h"
#include "storage/repository/seal.h"

/* Names of records that are to be copied, one after the other, each with its
 * NUL: a hundred bytes for each, so a million records fit. */
#define NAMES_MAX ((size_t)128 << 20)

/* Every kind that is copied ends its name with 16 bytes drawn at random. */
static bool id_of(const char *name, struct object_id *ret)
{
	const size_t n = strlen(name);

	return n >= OBJECT_ID_TEXT &&
	       object_id_parse(name + n - (OBJECT_ID_TEXT - 1), ret);
}

struct lacking {
	struct replicate_ids there;
	struct buf names;
	size_t n;
};

static int add_there(void *arg, const struct store_entry *entry, struct err *e)
{
	struct lacking *l = (struct lacking *)arg;
	struct object_id id;

	return id_of(entry->name, &id) ? replicate_ids_add(&l->there, id, e)
				       : 0;
}

static int add_lacking(void *arg, const struct store_entry *entry,
		       struct err *e)
{
	struct lacking *l = (struct lacking *)arg;
	struct object_id id;

	if (!id_of(entry->name, &id) || replicate_ids_has(&l->there, id))
		return 0;
	l->n++;
	return buf_add(&l->names, entry->name, strlen(entry->name) + 1, e);
}

static void lacking_done(struct lacking *l)
{
	replicate_ids_done(&l->there);
	buf_done(&l->names);
}
static inline void cleanup_lacking_done(struct lacking *l)
{
	lacking_done(l);
}

/* From where to where, and what came of it. */
struct copying {
	struct repository *from;
	struct repository *to;
	struct replicate_tally *tally;
};

/* What has the prefix in one region and not in the other. */
static int find_lacking(const struct copying *c, const char *prefix,
			struct lacking *l, struct err *e)
{
	buf_init(&l->names, NAMES_MAX);
	if (store_list(repository_store(c->to), prefix, add_there, l, e))
		return -1;
	replicate_ids_sort(&l->there);
	return store_list(repository_store(c->from), prefix, add_lacking, l, e);
}

/* Until it ends, as its own region has it. */
static int guard_lock(const struct copying *c, const char *name, struct err *e)
{
	struct store *to = repository_store(c->to);
	const struct instant now = clock_now();
	const struct instant most = instant_add_ms(now, GUARDS_LOCK_MAX_MS);
	struct record lock;
	int can = store_can_guard(to, e);

	if (can <= 0)
		return can;
	can = record_get(to, repository_keys(c->to), OBJECT_LOCK, name, &lock,
			 e);
	if (can <= 0)
		return can;
	if (instant_compare(most, lock.until) < 0)
		lock.until = most;
	if (instant_compare(lock.until, now) > 0)
		can = store_guard(to, name, lock.until, e);
	record_done(&lock);
	return can < 0 ? -1 : 0;
}

/*
 * A lock of a snapshot that is guarded already, which a pass comes by late
 * (guards_pass.c).  It is there, and lacks no more, whatever comes of its
 * guard, so that a failure would end this copying, and be forgotten by the
 * next: it is left to the pass.  Who may not guard there is told by what is
 * copied besides; checks tell all of it, and who does not answer fails next.
 */
static int try_to_guard(const struct copying *c, const char *name,
			struct err *e)
{
	if (guard_lock(c, name, e) == 0)
		return 0;
	if (e->code == ERR_NO_MEMORY || e->code == ERR_INTERRUPTED)
		return -1;
	err_clear(e);
	return 0;
}

/*
 * Copy one record, after opening it: what is damaged here must not become an
 * unreadable hold there, which would be in force for everything.
 */
static int copy_one(const struct copying *c, enum object_kind kind,
		    const char *name, struct err *e)
{
	CLEANUP(buf_done) struct buf box;
	CLEANUP(buf_wipe) struct buf payload;
	struct err why = { 0 };
	int found;

	buf_init(&box, SEAL_BOX_MAX);
	buf_init(&payload, SEAL_PAYLOAD_MAX);
	found = store_get(repository_store(c->from), name, &box, &why);
	if (found == 0)
		return 0; /* removed since it was listed */
	if (found < 0 || seal_box_open(repository_keys(c->from), kind, name,
				       box.data, box.len, &payload, &why)) {
		if (!object_is_damage(&why) && why.code != ERR_NEWER) {
			*e = why;
			return -1;
		}
		replicate_unopened_add(&c->tally->unopened, &why);
		return 0;
	}
	if (store_put(repository_store(c->to), name, box.data, box.len, 0, e)) {
		if (e->code != ERR_EXISTS)
			return -1;
		err_clear(e); /* a rival copied it */
		return 0;
	}
	c->tally->copied++;
	return kind == OBJECT_LOCK ? try_to_guard(c, name, e) : 0;
}

/* Whether a record may be copied yet.  1, 0, -1. */
typedef int may_copy(void *arg, const char *name, struct err *e);

static int copy_lacking(const struct copying *c, enum object_kind kind,
			const struct lacking *l, may_copy *may, void *arg,
			struct err *e)
{
	const char *name = buf_str(&l->names);

	for (size_t i = 0; i < l->n; i++, name += strlen(name) + 1) {
		const int yes = may ? may(arg, name, e) : 1;

		if (yes < 0 || (yes && copy_one(c, kind, name, e)))
			return -1;
	}
	return 0;
}

/* Other locks say nothing of other regions: each copy has its own. */
static int is_for_all(void *arg, const char *name, struct err *e)
{
	(void)arg;
	(void)e;
	return !record_lock_is_here(name);
}

/* Everything of a kind that the target lacks. */
static int unite(const struct copying *c, enum object_kind kind, struct err *e)
{
	CLEANUP(lacking_done) struct lacking l = { .n = 0 };
	char prefix[64];

	(void)snprintf(prefix, sizeof(prefix), "%s/", object_kind_folder(kind));
	if (find_lacking(c, prefix, &l, e))
		return -1;
	return copy_lacking(c, kind, &l,
			    kind == OBJECT_LOCK ? is_for_all : NULL, NULL, e);
}

/* What decides whether an undelete may be copied before its snapshot. */
struct undeleting {
	struct repository *from;
	struct replicate_ids tombstones; /* in the target */
};

static int add_tombstone(void *arg, const struct store_entry *entry,
			 struct err *e)
{
	struct undeleting *u = (struct undeleting *)arg;
	struct object_id id;

	return id_of(entry->name, &id)
		       ? replicate_ids_add(&u->tombstones, id, e)
		       : 0;
}

/*
 * An undelete says that everything the snapshot reaches is there.  That was
 * so where it was written; here a collector may have been at work.  One that
 * revokes no tombstone of this region changes nothing and may come at once
 * (and must, before the tombstone does); another waits until the snapshot
 * was copied again.
 */
static int is_harmless(void *arg, const char *name, struct err *e)
{
	struct undeleting *u = (struct undeleting *)arg;
	struct record r;
	struct err why = { 0 };
	bool harmless = true;
	const int found = record_get(repository_store(u->from),
				     repository_keys(u->from), OBJECT_UNDELETE,
				     name, &r, &why);

	if (found < 0 && !object_is_damage(&why) && why.code != ERR_NEWER) {
		*e = why;
		return -1;
	}
	if (found <= 0)
		return found < 0 ? 1 : 0; /* copying it tells the damage */
	for (size_t i = 0; i < r.n_ids; i++)
		if (replicate_ids_has(&u->tombstones, r.ids[i]))
			harmless = false;
	record_done(&r);
	return harmless;
}

/* What stays in the source: deletions of that region alone. */
struct staying {
	struct replicate_ids lacking;	 /* snapshots whose tombstones lack */
	struct replicate_ids tombstones; /* of those, the ones that stay */
	struct replicate_ids by_rules; /* and those that stay where is_apart */
	bool is_apart;
};

static void staying_done(struct staying *x)
{
	replicate_ids_done(&x->lacking);
	replicate_ids_done(&x->tombstones);
	replicate_ids_done(&x->by_rules);
}
static inline void cleanup_staying_done(struct staying *x)
{
	staying_done(x);
}

static bool is_lacking(void *arg, struct object_id snapshot)
{
	const struct staying *x = (const struct staying *)arg;

	return replicate_ids_has(&x->lacking, snapshot);
}

static int see_scope(void *arg, const char *name, const struct record *r,
		     const struct err *why, struct err *e)
{
	struct staying *x = (struct staying *)arg;
	struct object_id snapshot;
	struct object_id id;

	/* How far one of a newer version goes is not known here. */
	if (!r && why->code == ERR_NEWER &&
	    object_name_parse(OBJECT_TOMBSTONE, name, &snapshot, &id))
		return replicate_ids_add(&x->tombstones, id, e);
	if (r && r->scope == RECORD_THIS_REGION) {
		x->is_apart = true;
		return replicate_ids_add(&x->tombstones, r->id, e);
	}
	return r && deletion_is_by_rules(r)
		       ? replicate_ids_add(&x->by_rules, r->id, e)
		       : 0;
}

/*
 * Only the record itself tells its scope.  Those that stay lack in the target
 * for ever, so they are read at every copying, ahead and many at once, as
 * those of the target are for the plan.
 */
static int find_staying(const struct copying *c, const struct lacking *l,
			struct staying *ret, struct err *e)
{
	const char *name = buf_str(&l->names);
	struct object_id snapshot;
	struct object_id id;

	for (size_t i = 0; i < l->n; i++, name += strlen(name) + 1)
		if (object_name_parse(OBJECT_TOMBSTONE, name, &snapshot, &id) &&
		    replicate_ids_add(&ret->lacking, snapshot, e))
			return -1;
	replicate_ids_sort(&ret->lacking);
	if (l->n && record_list_some(repository_store(c->from),
				     repository_keys(c->from), OBJECT_TOMBSTONE,
				     is_lacking, see_scope, ret, e))
		return -1;
	replicate_ids_sort(&ret->tombstones);
	replicate_ids_sort(&ret->by_rules);
	return 0;
}

static int may_leave(void *arg, const char *name, struct err *e)
{
	const struct staying *x = (const struct staying *)arg;
	struct object_id id;

	(void)e;
	return !id_of(name, &id) ||
	       !(replicate_ids_has(&x->tombstones, id) ||
		 (x->is_apart && replicate_ids_has(&x->by_rules, id)));
}

/*
 * Tombstones are listed before undeletes, so that none is copied without the
 * undelete that revoked it before; and copied after them.
 */
static int copy_deletions(const struct copying *c, bool apart, struct err *e)
{
	CLEANUP(lacking_done) struct lacking tombstones = { .n = 0 };
	CLEANUP(lacking_done) struct lacking undeletes = { .n = 0 };
	CLEANUP(staying_done) struct staying staying = { .is_apart = apart };
	struct undeleting u = { .from = c->from };
	int failed;

	failed = find_lacking(c, "tombstones/", &tombstones, e) ||
		 find_lacking(c, "undeletes/", &undeletes, e) ||
		 store_list(repository_store(c->to), "tombstones/",
			    add_tombstone, &u, e) ||
		 find_staying(c, &tombstones, &staying, e);
	replicate_ids_sort(&u.tombstones);
	failed = failed ||
		 copy_lacking(c, OBJECT_UNDELETE, &undeletes, is_harmless, &u,
			      e) ||
		 copy_lacking(c, OBJECT_TOMBSTONE, &tombstones, may_leave,
			      &staying, e);
	replicate_ids_done(&u.tombstones);
	return failed ? -1 : 0;
}

/* To the source, as far as we may write there. */
static int unite_back(const struct copying *c, enum object_kind kind,
		      struct err *e)
{
	const struct copying back = { c->to, c->from, c->tally };

	if (unite(&back, kind, e) == 0)
		return 0;
	if (e->code != ERR_DENIED)
		return -1;
	err_clear(e);
	return 0;
}

static int bring_back(const struct copying *c, struct err *e)
{
	if (unite(c, OBJECT_HOLD, e) || unite(c, OBJECT_LOCK, e) ||
	    unite(c, OBJECT_RECEIPT, e) || unite(c, OBJECT_SEGMENT, e))
		return err_wrap(e, "cannot bring records back");
	return 0;
}

static int bring_up_to_date(const struct copying *c,
			    const struct replicate_options *o, struct err *e)
{
	/* What protects comes before what deletes. */
	if (unite(c, OBJECT_HOLD, e) || unite(c, OBJECT_LOCK, e) ||
	    unite_back(c, OBJECT_HOLD, e) || unite_back(c, OBJECT_LOCK, e) ||
	    (!o->without_tombstones && copy_deletions(c, o->apart, e)) ||
	    unite(c, OBJECT_SEGMENT, e))
		return err_wrap(e, "cannot bring the records up to date");
	return 0;
}

/*
 * All but two listings may be of the moment when we begin, in whatever order:
 * what came since comes with the next copying, or is there already when it is
 * put.  Those two are the source's undeletes, as nothing that they revoke
 * may be known without them, and the target's tombstones when it is asked
 * which undeletes are harmless there.
 */
static struct store_asked *ask_listings(struct repository *r, bool is_target,
					const struct replicate_options *o)
{
	static const enum object_kind healing[] = { OBJECT_HOLD, OBJECT_LOCK,
						    OBJECT_RECEIPT,
						    OBJECT_SEGMENT };
	/* Holds and locks once for each way; the target's undeletes at last. */
	static const enum object_kind copying[] = {
		OBJECT_HOLD,	OBJECT_LOCK,	  OBJECT_HOLD,	  OBJECT_LOCK,
		OBJECT_SEGMENT, OBJECT_TOMBSTONE, OBJECT_UNDELETE
	};
	const enum object_kind *kinds = o->heal ? healing : copying;
	const size_t n = o->heal		 ? 4
			 : o->without_tombstones ? 5
			 : is_target		 ? 7
						 : 6;
	struct store_question v[7] = { 0 };

	for (size_t i = 0; i < n; i++) {
		v[i].kind = STORE_ASK_LISTING;
		(void)snprintf(v[i].name, sizeof(v[i].name), "%s/",
			       object_kind_folder(kinds[i]));
	}
	return store_ask(repository_store(r), v, n);
}

int replicate_records(struct repository *from, struct repository *to,
		      const struct replicate_options *o,
		      struct replicate_tally *t, struct err *e)
{
	const struct copying c = { from, to, t };
	struct store_asked *asked = ask_listings(from, false, o);
	struct store_asked *asked_to = ask_listings(to, true, o);
	const int failed = o->heal ? bring_back(&c, e)
				   : bring_up_to_date(&c, o, e);

	store_ask_done(asked);
	store_ask_done(asked_to);
	return failed;
}

/* Revoking tombstones of the target: the undelete is the writer's own. */
struct revoking {
	struct replicate_ids tombstones; /* of this snapshot, in the target */
	struct record record;
};

static int add_own_tombstone(void *arg, const struct store_entry *entry,
			     struct err *e)
{
	struct revoking *v = (struct revoking *)arg;
	struct object_id id;

	return id_of(entry->name, &id)
		       ? replicate_ids_add(&v->tombstones, id, e)
		       : 0;
}

/* What an undelete of the source revokes, as far as it is in force here. */
static int add_revoked(const struct copying *c, const char *name,
		       struct revoking *v, struct err *e)
{
	struct err why = { 0 };
	struct record r;
	int failed = 0;
	const int found = record_get(repository_store(c->from),
				     repository_keys(c->from), OBJECT_UNDELETE,
				     name, &r, &why);

	if (found < 0 && !object_is_damage(&why) && why.code != ERR_NEWER) {
		*e = why;
		return -1;
	}
	if (found < 0)
		replicate_unopened_add(&c->tally->unopened, &why);
	if (found <= 0)
		return 0;
	for (size_t i = 0; !failed && i < r.n_ids; i++)
		if (replicate_ids_has(&v->tombstones, r.ids[i]))
			failed = record_add_id(&v->record, r.ids[i], e);
	memcpy(v->record.by, r.by, sizeof(v->record.by));
	v->record.time = r.time;
	record_done(&r);
	return failed;
}

static int revoke(const struct copying *c, struct writer *w,
		  const struct lacking *l, struct revoking *v, struct err *e)
{
	const char *name = buf_str(&l->names);

	for (size_t i = 0; i < l->n; i++, name += strlen(name) + 1)
		if (add_revoked(c, name, v, e))
			return -1;
	if (v->record.n_ids == 0)
		return copy_lacking(c, OBJECT_UNDELETE, l, NULL, NULL, e);
	v->record.id = object_id_new();
	v->record.session = writer_session(w);
	if (record_put(repository_store(c->to), repository_keys(c->to),
		       &v->record, 0, e) ||
	    writer_confirm(w, e))
		return -1;
	c->tally->copied++;
	return 0;
}

int replicate_undeletes(struct repository *from, struct writer *w,
			struct object_id snapshot, struct replicate_tally *t,
			struct err *e)
{
	CLEANUP(lacking_done) struct lacking l = { .n = 0 };
	const struct copying c = { from, writer_repository(w), t };
	struct revoking v = { .record = { .kind = OBJECT_UNDELETE,
					  .snapshot = snapshot } };
	char undeletes[STORE_NAME_MAX];
	char tombstones[STORE_NAME_MAX];
	char id[OBJECT_ID_TEXT];
	int failed;

	object_id_format(snapshot, id);
	(void)snprintf(undeletes, sizeof(undeletes), "undeletes/%s-", id);
	(void)snprintf(tombstones, sizeof(tombstones), "tombstones/%s-", id);
	failed = find_lacking(&c, undeletes, &l, e);
	if (!failed && l.n) {
		failed = store_list(repository_store(c.to), tombstones,
				    add_own_tombstone, &v, e);
		replicate_ids_sort(&v.tombstones);
		failed = failed || revoke(&c, w, &l, &v, e);
	}
	replicate_ids_done(&v.tombstones);
	record_done(&v.record);
	return failed ? -1 : 0;
}

/* Records of a region that the other one lacks, copied byte for byte. */
#include <stdio.h>
#include <string.h>

#include "storage/replicate_internal.h"
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
		c->tally->damaged++;
		return 0;
	}
	if (store_put(repository_store(c->to), name, box.data, box.len, 0, e)) {
		if (e->code != ERR_EXISTS)
			return -1;
		err_clear(e); /* a rival copied it */
		return 0;
	}
	c->tally->copied++;
	return 0;
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

/* Everything of a kind that the target lacks. */
static int unite(const struct copying *c, enum object_kind kind, struct err *e)
{
	CLEANUP(lacking_done) struct lacking l = { .n = 0 };
	char prefix[64];

	(void)snprintf(prefix, sizeof(prefix), "%s/", object_kind_folder(kind));
	if (find_lacking(c, prefix, &l, e))
		return -1;
	return copy_lacking(c, kind, &l, NULL, NULL, e);
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

/*
 * Tombstones are listed before undeletes, so that none is copied without the
 * undelete that revoked it before; and copied after them.
 */
static int copy_deletions(const struct copying *c, struct err *e)
{
	CLEANUP(lacking_done) struct lacking tombstones = { .n = 0 };
	CLEANUP(lacking_done) struct lacking undeletes = { .n = 0 };
	struct undeleting u = { .from = c->from };
	int failed;

	failed = find_lacking(c, "tombstones/", &tombstones, e) ||
		 find_lacking(c, "undeletes/", &undeletes, e) ||
		 store_list(repository_store(c->to), "tombstones/",
			    add_tombstone, &u, e);
	replicate_ids_sort(&u.tombstones);
	failed = failed ||
		 copy_lacking(c, OBJECT_UNDELETE, &undeletes, is_harmless, &u,
			      e) ||
		 copy_lacking(c, OBJECT_TOMBSTONE, &tombstones, NULL, NULL, e);
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

int replicate_records(struct repository *from, struct repository *to,
		      struct replicate_tally *t, struct err *e)
{
	const struct copying c = { from, to, t };

	/* What protects comes before what deletes. */
	if (unite(&c, OBJECT_HOLD, e) || unite(&c, OBJECT_LOCK, e) ||
	    unite_back(&c, OBJECT_HOLD, e) || unite_back(&c, OBJECT_LOCK, e) ||
	    copy_deletions(&c, e) || unite(&c, OBJECT_SEGMENT, e))
		return err_wrap(e, "cannot bring the records up to date");
	return 0;
}

/* Each that is there by our doing, or may be as its PUT failed, is in ours. */
static int copy_undeletes(const struct copying *c, const struct lacking *l,
			  struct lacking *ours, struct err *e)
{
	const char *name = buf_str(&l->names);

	if (buf_reserve(&ours->names, l->names.len, e))
		return -1;
	for (size_t i = 0; i < l->n; i++, name += strlen(name) + 1) {
		const uint64_t before = c->tally->copied;
		const int failed = copy_one(c, OBJECT_UNDELETE, name, e);

		if (failed || c->tally->copied > before) {
			ours->n++;
			if (buf_add(&ours->names, name, strlen(name) + 1, e))
				return -1;
		}
		if (failed)
			return -1;
	}
	return 0;
}

/* So that the next run finds it deleted as it was, and copies it anew. */
static void take_back(struct repository *to, const struct lacking *ours)
{
	const char *name = buf_str(&ours->names);
	struct err ignored = { 0 };

	for (size_t i = 0; i < ours->n; i++, name += strlen(name) + 1)
		if (store_remove(repository_store(to), name, &ignored))
			err_clear(&ignored);
}

int replicate_undeletes(struct repository *from, struct writer *w,
			struct object_id snapshot, struct replicate_tally *t,
			struct err *e)
{
	CLEANUP(lacking_done) struct lacking l = { .n = 0 };
	CLEANUP(lacking_done) struct lacking ours = { .n = 0 };
	const struct copying c = { from, writer_repository(w), t };
	char prefix[STORE_NAME_MAX];
	char id[OBJECT_ID_TEXT];

	object_id_format(snapshot, id);
	(void)snprintf(prefix, sizeof(prefix), "undeletes/%s-", id);
	buf_init(&ours.names, NAMES_MAX);
	if (find_lacking(&c, prefix, &l, e))
		return -1;
	if (copy_undeletes(&c, &l, &ours, e) == 0 &&
	    (ours.n == 0 || writer_confirm(w, e) == 0))
		return 0;
	take_back(c.to, &ours);
	return -1;
}

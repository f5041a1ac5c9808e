/*
 * Private to replicate*.c: the inventory of both regions, the union of their
 * records, and the pipeline that moves chunks.
 */
#ifndef STORAGE_REPLICATE_INTERNAL_H
#define STORAGE_REPLICATE_INTERNAL_H

#include "storage/replicate.h"
#include "storage/repository/writer.h"

/* Ids, sorted by the time they are searched. */
struct replicate_ids {
	struct object_id *v;
	size_t n;
	size_t cap;
};
int replicate_ids_add(struct replicate_ids *x, struct object_id id,
		      struct err *e) NONNULL(1, 3) MUST_CHECK;
void replicate_ids_sort(struct replicate_ids *x) NONNULL(1);
bool replicate_ids_has(const struct replicate_ids *x, struct object_id id)
	NONNULL(1);
void replicate_ids_done(struct replicate_ids *x) NONNULL(1);

/* A snapshot and where it is. */
struct replicate_item {
	struct repository_snapshot s;
	unsigned int where; /* enum replicate_where */
	/* It is in the target, and of the locks there, if there are any, none
	 * names this session, whose manifest of it is there. */
	bool unnamed;
	struct object_id session;
	/* How the target locks it: so long, or not at all, and there alone;
	 * else as the source does. */
	bool by_rule;
	int64_t lock_ms;
};

/* A manifest that did not open. */
struct replicate_unread_one {
	struct object_id snapshot;
	enum err_code code;
	int sys;
};

/* replicate_plan.c: what both regions list. */
struct replicate_plan {
	struct repository *from;
	struct repository *to;
	struct replicate_item *v; /* in order of receipt */
	size_t n;
	size_t cap;
	struct replicate_ids revoked; /* tombstones, by undeletes of either */
	/* Manifests of the source, and of the target. */
	struct replicate_unopened unopened_from;
	struct replicate_unopened unopened_to;
	/* Of the source's: whose they are by name, and why. */
	struct replicate_unread_one *unread;
	size_t n_unread;
	size_t cap_unread;
};
int replicate_plan_make(struct replicate_plan *p, struct repository *from,
			struct repository *to, struct err *e)
	NONNULL(1, 2, 3, 4) MUST_CHECK;
/* Refuse, too, what r has deleted in all regions; the plan is made.  apart: as
 * in struct replicate_options. */
int replicate_plan_refuse(struct replicate_plan *p, struct repository *r,
			  bool apart, struct err *e) NONNULL(1, 2, 4)
	MUST_CHECK;
/* Tell of what the source could not; see replicate_unread. */
int replicate_plan_unread(struct replicate_plan *p, replicate_unread *tell,
			  void *arg, struct err *e) NONNULL(1, 2, 4) MUST_CHECK;
void replicate_plan_done(struct replicate_plan *p) NONNULL(1);
/*
 * Whether r has a tombstone of the snapshot that nothing in the plan revokes:
 * asked again just before something depends on it.  1, 0, -1.
 */
int replicate_plan_deleted(const struct replicate_plan *p, struct repository *r,
			   struct object_id snapshot, struct err *e)
	NONNULL(1, 2, 4) MUST_CHECK;

/* replicate_records.c */
struct replicate_tally {
	uint64_t copied;
	struct replicate_unopened unopened; /* of the source */
};
/*
 * The union of what is not about a snapshot that is still to be copied.  With
 * o->heal only what the target may have lost and lasts, but for deletions; else
 * with what was deleted, or undeleted, in the source, unless
 * o->without_tombstones.
 */
int replicate_records(struct repository *from, struct repository *to,
		      const struct replicate_options *o,
		      struct replicate_tally *t, struct err *e)
	NONNULL(1, 2, 3, 4, 5) MUST_CHECK;
/*
 * Revoke what the source's undeletes of a snapshot revoke, once w has published
 * it, so that the target has all it reaches: by an undelete of that session,
 * which is none when a collector gave the session up before (ERR_BUSY).
 */
int replicate_undeletes(struct repository *from, struct writer *w,
			struct object_id snapshot, struct replicate_tally *t,
			struct err *e) NONNULL(1, 2, 4, 5) MUST_CHECK;

/* replicate_copy.c: the chunks of one snapshot. */
struct replicate_copy {
	struct repository *from;
	struct writer *writer;
	const struct replicate_options *o;
	struct replicate_limits *limits;
	/* A snapshot whose nodes the target has with all below, or NULL. */
	const struct manifest *base;
	/* Called now and then, from the caller's thread. */
	void (*tick)(void *arg);
	void *arg;
};
int replicate_copy_chunks(const struct replicate_copy *c,
			  const struct manifest *m, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;

/* The limits of a whole run. */
struct replicate_limits;
int replicate_limits_new(const struct replicate_options *o,
			 struct replicate_limits **ret, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;
void replicate_limits_free(struct replicate_limits *l);
DEFINE_CLEANUP(struct replicate_limits *, replicate_limits_free);

#endif

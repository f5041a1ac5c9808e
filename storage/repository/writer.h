/*
 * A session: the writing of one snapshot (FORMAT.md §10).
 *
 * Many threads add chunks; those that the region holds already are only
 * named.  New ones are sealed by the adding thread, and flow through a
 * bounded queue to a packer thread, and full packs to a committer thread that
 * makes them durable while the next one fills:
 *
 *	add (n threads) → queue → packer → commit → index
 *
 * Memory: the queue's few sealed chunks, the packs' directories and the index
 * entries since the last index object; the set of chunks of this session
 * lives in an unlinked file.  Nothing is published before writer_publish(),
 * and a writer that fails or is abandoned leaves packs and index objects that
 * the next session reuses; but for what came after a revocation under the old
 * keys, which nothing names.
 */
#ifndef STORAGE_REPOSITORY_WRITER_H
#define STORAGE_REPOSITORY_WRITER_H

#include <stdbool.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/instant.h"
#include "storage/repository/chunk.h"
#include "storage/repository/manifest.h"
#include "storage/repository/record.h"
#include "storage/repository/repository.h"

struct writer;

struct writer_options {
	enum record_purpose purpose;
	struct object_id snapshot; /* what it will publish */
	const char *host;
	const char *scratch; /* folder for unlinked files; NULL: default */
	/*
	 * The snapshot is to be locked for so long after its receipt: where
	 * guards_begin() found that objects can be guarded, all that it needs
	 * is, once it is acknowledged.  0: it is not locked.
	 */
	int64_t lock_ms;
};

/*
 * Open a session: PUT it, keep its counter moving, read marks and
 * quarantines, then the index.
 */
int writer_open(struct repository *r, const struct writer_options *o,
		struct writer **ret, struct err *e) NONNULL(1, 2, 3, 4)
	MUST_CHECK;
/*
 * End the session.  What was stored and not published becomes durable and
 * indexed when possible, so that it is not lost for the next one.
 */
void writer_close(struct writer *w);
DEFINE_CLEANUP(struct writer *, writer_close);

struct object_id writer_session(const struct writer *w) NONNULL(1);
struct repository *writer_repository(struct writer *w) NONNULL(1);
/* What the session found: read after it began, marked packs hidden.  Not what
 * it adds itself: writer_has(). */
struct index_set *writer_index(struct writer *w) NONNULL(1);

/*
 * Make sure that the region has this chunk.  Thread-safe; worker is the
 * caller's own.  *ret_new (may be NULL) is the number of bytes that it added
 * to the store, 0 for one that was there.
 */
int writer_add(struct writer *w, struct chunk_worker *worker,
	       enum chunk_kind kind, const void *plain, size_t n,
	       struct chunk_id *ret, uint64_t *ret_new, struct err *e)
	NONNULL(1, 2, 6, 8) MUST_CHECK;
/*
 * The same for a chunk of domain 0 whose id is known: the caller answers for
 * it, as nothing compares it with the bytes before they are read again.
 */
int writer_add_named(struct writer *w, struct chunk_worker *worker,
		     const struct chunk_id *id, const struct chunk_plain *plain,
		     uint64_t *ret_new, struct err *e) NONNULL(1, 2, 3, 4, 6)
	MUST_CHECK;
/* The same for a chunk that is sealed already (replication). */
int writer_add_sealed(struct writer *w, const struct chunk_seal *seal,
		      const void *sealed, size_t n, uint64_t *ret_new,
		      struct err *e) NONNULL(1, 2, 3, 6) MUST_CHECK;
/* 1 when the region holds the chunk (or this session stores it), 0, -1. */
int writer_has(struct writer *w, const struct chunk_id *id, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;
/*
 * Whether what a sound parent refers to may be taken as present without
 * looking (no mark, no quarantine, no damaged index).
 */
bool writer_trusts_parent(const struct writer *w) NONNULL(1);
/*
 * Which snapshot that is.  For one that is to be locked, a parent whose chunks
 * are not known to be guarded for as long is not trusted: they are looked up,
 * and then guarded.  Before the first use of writer_trusts_parent().
 */
int writer_expect_parent(struct writer *w, struct object_id parent,
			 struct err *e) NONNULL(1, 3) MUST_CHECK;

/*
 * Steps 3 and 4 of FORMAT.md §10: what was added is durable and named.  Nothing
 * may be added afterwards.  writer_publish() begins with it.
 */
int writer_settle(struct writer *w, struct err *e) NONNULL(1, 2) MUST_CHECK;
/*
 * Steps 3 to 8 of FORMAT.md §10: after 0 the snapshot is durable and
 * acknowledged.  received is the receipt's time and clock whose clock it was;
 * a receipt that exists already (replication, undelete) stays as it is.
 * m->session is set here.  ERR_BUSY when the session was fenced, or a key was
 * revoked since the repository was opened: open it again.
 */
int writer_publish(struct writer *w, struct manifest *m,
		   struct instant received, enum record_clock clock,
		   struct err *e) NONNULL(1, 2, 5) MUST_CHECK;

/*
 * Step 7 once more, by those who, with the session still open, revoked the
 * tombstones of what they published: a collector that fenced the session
 * before that took the snapshot for deleted.  ERR_BUSY: put it back as it was.
 */
int writer_confirm(struct writer *w, struct err *e) NONNULL(1, 2) MUST_CHECK;
/*
 * Before anything is named: ERR_BUSY when a key was revoked since the
 * repository was opened.  What was durable before this was asked was so
 * before the revocation; what came after is to be left unnamed.
 */
int writer_check_keys(struct repository *r, struct err *e) NONNULL(1, 2)
	MUST_CHECK;
/*
 * In front of writer_check_keys(), and of writer_confirm() or
 * writer_is_fenced() of that session: both are asked at once.
 */
struct store_asked *writer_ask_confirm(struct store *s,
				       struct object_id session) NONNULL(1);
/*
 * Whether a collector has given a session up, so that its manifest may be
 * annulled: 1, 0, -1.  Whoever finds a manifest that nobody acknowledged asks
 * this before relying on it.
 */
int writer_is_fenced(struct repository *r, struct object_id session,
		     struct err *e) NONNULL(1, 3) MUST_CHECK;

/*
 * After a failure with the session open: when a collector has given it up,
 * what was missing is missing for that reason, and *e says so (ERR_BUSY).
 */
void writer_explain(struct writer *w, struct err *e) NONNULL(1, 2);

/*
 * What came of guarding what the published snapshot needs: is: that was tried;
 * why: what kept it from being guarded until then (ERR_NONE: nothing).
 */
struct writer_guarding {
	bool is;
	struct instant until;
	uint64_t objects;    /* that were considered */
	uint64_t lengthened; /* requests to guard one */
	struct err why;
};
const struct writer_guarding *writer_guarding(const struct writer *w) NONNULL(1)
	RETURNS_NONNULL;

struct writer_totals {
	uint64_t chunks_new;
	uint64_t bytes_new;    /* stored, sealed */
	uint64_t chunks_known; /* added, but there already */
};
struct writer_totals writer_totals(struct writer *w) NONNULL(1);

#endif

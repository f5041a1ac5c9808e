/*
 * Private to check*.c: what a check knows so far, and its stages.
 *
 *	objects   everything listed; small objects opened; packs noted
 *	packs     directories; level data: every chunk (threads)
 *	index     every entry against the directories
 *	trees     every chunk that a snapshot reaches is at a sound place
 *	folders   entries are in order, each in a folder that is one
 *	returned  only after losses: what was given up and opens again
 *	losses    only after damage: which snapshots, which paths
 *	repair    with what other regions have of it; without: whether they do
 *
 * Snapshots are listed first, then the index, then packs, so that what a
 * writer adds meanwhile is never referred to by what was listed before.
 */
#ifndef STORAGE_REPOSITORY_CHECK_INTERNAL_H
#define STORAGE_REPOSITORY_CHECK_INTERNAL_H

#include <pthread.h>

#include "base/buf.h"
#include "base/filemap.h"
#include "storage/repository/check.h"
#include "storage/repository/index_internal.h"
#include "storage/repository/reader.h"

/* Numbers of findings count from 1; 0 is none, this one was not kept. */
#define FINDING_NOT_KEPT UINT32_MAX

/* Key: pack id. */
struct check_pack {
	uint64_t size;
	uint32_t finding;
	uint32_t damaged;  /* chunks */
	uint32_t given_up; /* chunks, by earlier repairs */
	uint8_t kind;	   /* enum object_kind */
	bool listed;
	bool unusable;	  /* missing, or without a sound directory */
	bool quarantined; /* wholly */
	bool newer;	  /* unusable to this program or with these keys */
	bool marked;	  /* a collector may remove it */
	bool missed;	  /* a snapshot still needs what only it held */
};

/* Key: chunk id, pack id. */
struct check_place {
	uint32_t offset;
	uint32_t len;
	uint32_t plain_len;
	uint16_t epoch;
	uint16_t domain;
	uint8_t kind;
	bool in_directory;
	bool indexed;	      /* by any readable block */
	bool indexed_soundly; /* by a sound object: for repairs only */
	bool damaged;
	bool quarantined; /* by itself, or its pack is */
	bool loose; /* it opens, though its pack or index entry is damaged, or
		     * given up: for repairs only, readers do not look there */
};

/* Key: chunk id. */
struct check_chunk {
	uint32_t sound;	  /* places */
	uint32_t loose;	  /* places: readable today, to be copied by repair */
	uint32_t finding; /* of its last unsound place */
	uint32_t told;	  /* number of the snapshot that it was walked for */
	uint8_t kind;
	bool seen; /* a node that was walked, or a chunk that was looked at */
	bool lost; /* a snapshot reaches it and has no sound place of it */
	bool offered; /* by another region's index */
};

struct check_key {
	uint8_t b[INDEX_KEY_SIZE];
};

/* A manifest that was no snapshot's, as it could not be read then. */
struct check_passed {
	struct object_name name;
	struct err why;
};

struct check_snapshot {
	struct object_id id;
	struct object_name name;
	struct manifest_root tree;
	struct manifest_root hints;
	struct chunk_id error_list;
	struct instant received; /* its end, where there is no receipt */
	bool has_errors;
	bool lacks_receipt;
	uint32_t finding; /* of its manifest */
};

struct check {
	struct repository *r;
	struct store *store;
	const struct keys *keys;
	struct object_id session; /* repairs only */
	bool pinned;		  /* others: collectors know about us */
	struct object_id own;	  /* our session or pin: not looked at */
	struct beat *beat;	  /* its sign of life; NULL: there is none */
	const struct check_options *o;
	struct check_result *out;
	pthread_mutex_t lock; /* everything below, while threads run */

	struct check_snapshot *snapshots;
	size_t n_snapshots;
	struct filemap *packs;
	struct filemap *places;
	struct filemap *chunks;
	struct filemap *given_up; /* key as places; of quarantine records */

	/* Index objects as listed before the packs. */
	struct buf index_ids;
	struct index_object **index;
	size_t n_index;
	struct object_id *broken_index; /* to be superseded */
	size_t n_broken_index;
	uint32_t index_finding;
	bool has_newer; /* a pack that only a newer program, or key, reads */
	struct object_id *slots; /* of the newest keyring, and not listed yet */
	size_t n_slots;

	/* For check_opens(), made and as large as first needed. */
	struct chunk_worker *worker;
	struct buf sealed;
	struct buf plain;
	struct err unopened; /* why the last one did not open */

	bool is_short;	   /* of what an inventory counted */
	struct buf passed; /* struct check_passed: manifests, when listed */
	uint32_t cap_findings;
	bool no_memory; /* a finding could not be kept: the check fails */
	uint64_t bytes_total;
	struct check_progress progress;
};

/* ERR_BUSY: what was found is not how it is any more.  -1. */
int check_moved_meanwhile(const struct check *c, const char *what,
			  struct err *e);

/* Findings.  One that finds no memory fails the whole check, at its end. */
uint32_t check_find(struct check *c, const char *object, enum object_kind kind,
		    const char *message) NONNULL(1, 2, 4);
/* NULL when it was not kept. */
struct check_finding *check_finding(struct check *c, uint32_t number)
	NONNULL(1);
/* Whether a failure says something of the object, not of the way to it. */
bool check_is_damage(const struct err *why) NONNULL(1);
/* Note that it was the disk, where it was: it may give later what it did not.
 */
void check_note_unread(struct check *c, const struct err *why) NONNULL(1, 2);
/* Of these, what another program or keyring would read. */
bool check_is_newer(const struct err *why) NONNULL(1);
void check_add_snapshot(struct check_finding *f, struct object_id id)
	NONNULL(1);
int check_add_path(struct check_finding *f, const char *path, size_t len,
		   struct err *e) NONNULL(1, 2, 4) MUST_CHECK;

/* Whether an object (zero chunk), or a chunk in a pack, was given up. */
bool check_given_up(struct check *c, const struct chunk_id *chunk,
		    struct object_id id) NONNULL(1);
struct check_key check_key(const struct chunk_id *chunk, struct object_id pack)
	NONNULL(1);
/* The entry of a place in c->places, from its key and value. */
struct pack_entry check_entry(const void *key, const struct check_place *p)
	NONNULL(1, 2);

void check_stage(struct check *c, const char *stage, uint64_t bytes_total)
	NONNULL(1, 2);
void check_advance(struct check *c, uint64_t items, uint64_t bytes) NONNULL(1);
int check_stopped(struct check *c, struct err *e) NONNULL(1, 2) MUST_CHECK;

/*
 * 1 when what lies at that place, of our store or another region's, is the
 * chunk, 0 when not, -1.  c->sealed holds its sealed bytes then.
 */
int check_opens(struct check *c, struct store *s,
		const struct pack_entry *entry, struct err *e)
	NONNULL(1, 2, 3, 4) MUST_CHECK;

/* The same of bytes that were read already; c->sealed holds them then, too. */
int check_opens_read(struct check *c, const struct pack_entry *entry,
		     const uint8_t *sealed, struct err *e) NONNULL(1, 2, 3, 4)
	MUST_CHECK;

/* Stages. */
int check_snapshots(struct check *c, struct err *e) NONNULL(1, 2) MUST_CHECK;
int check_index_list(struct check *c, struct err *e) NONNULL(1, 2) MUST_CHECK;
int check_objects(struct check *c, struct err *e) NONNULL(1, 2) MUST_CHECK;
int check_packs(struct check *c, struct err *e) NONNULL(1, 2) MUST_CHECK;
int check_index(struct check *c, struct err *e) NONNULL(1, 2) MUST_CHECK;
int check_trees(struct check *c, struct err *e) NONNULL(1, 2) MUST_CHECK;
int check_folders(struct check *c, struct err *e) NONNULL(1, 2) MUST_CHECK;
int check_returned(struct check *c, struct err *e) NONNULL(1, 2) MUST_CHECK;
int check_losses(struct check *c, struct err *e) NONNULL(1, 2) MUST_CHECK;
int check_receipts(struct check *c, struct err *e) NONNULL(1, 2) MUST_CHECK;
int check_repair(struct check *c, struct err *e) NONNULL(1, 2) MUST_CHECK;

/* check_ahead.c: packs are fetched before they are read. */
struct check_ahead;
/* Whether all of it is to be read. */
bool check_reads_whole(const struct check *c, struct object_id id,
		       const struct check_pack *pack) NONNULL(1, 3);
/* NULL where a request costs little; then none of these does anything. */
struct check_ahead *check_ahead_new(struct check *c) NONNULL(1);
void check_ahead_free(struct check_ahead *a);
/* Through which packs are to be read. */
struct store *check_ahead_store(struct check_ahead *a, struct check *c)
	NONNULL(2);
/* What lies before that offset of the pack at hand was read. */
void check_ahead_reached(struct check_ahead *a, uint64_t offset);
/* So was all of it, or as much as is wanted of one to be read whole. */
void check_ahead_passed(struct check_ahead *a, const struct check_pack *pack)
	NONNULL(2);

/*
 * check_fetch.c: what snapshots miss, out of the other regions.  take() gets
 * each chunk that opened, whose sealed bytes are in c->sealed.  With take NULL
 * only their index is asked.
 */
typedef int check_take(void *arg, const struct pack_entry *entry,
		       struct err *e);
int check_fetch(struct check *c, check_take *take, void *arg, struct err *e)
	NONNULL(1, 4) MUST_CHECK;

/*
 * Note damage of one chunk in its pack (under the lock).  why is told with
 * the pack's finding when it is the first.
 */
int check_damage_chunk(struct check *c, const struct pack_entry *entry,
		       const char *why, struct err *e) NONNULL(1, 2, 3, 4)
	MUST_CHECK;

#endif

/*
 * The small sealed records beside manifests: receipts, tombstones, undeletes,
 * holds, locks, sessions, pins, quarantines (FORMAT.md §9).
 *
 * One struct serves all kinds, as they share their fields; record_put() seals
 * and stores those that the kind has.  Nothing here decides anything: what a
 * record means for a snapshot is state.h's business.
 */
#ifndef STORAGE_REPOSITORY_RECORD_H
#define STORAGE_REPOSITORY_RECORD_H

#include "base/attr.h"
#include "base/err.h"
#include "base/instant.h"
#include "storage/repository/chunk.h"
#include "storage/repository/keys.h"
#include "storage/repository/object.h"
#include "storage/stores/store.h"

#define RECORD_TEXT_MAX 255
#define RECORD_IDS_MAX	65536

/* Whose clock a receipt's time is. */
enum record_clock { RECORD_DAEMON = 1, RECORD_STORE = 2, RECORD_PROCESS = 3 };

/* Of a session. */
enum record_purpose {
	RECORD_SNAPSHOT = 1,
	RECORD_REPLICATE = 2,
	RECORD_UNDELETE = 3,
	RECORD_COLLECT = 4,
	RECORD_REPAIR = 5,
};
/*
 * Of a tombstone: where it deletes.  What people delete goes everywhere, what
 * retention lets go of in one region stays there when regions keep by rules
 * of their own.
 */
enum record_scope {
	RECORD_ALL_REGIONS = 0,
	RECORD_THIS_REGION = 1, /* the one that it was written to */
};
/* Of a pin. */
enum record_reading {
	RECORD_READ_RESTORE = 1,
	RECORD_READ_REPLICATE = 2,
	RECORD_READ_VERIFY = 3,
};

struct record {
	enum object_kind kind;
	struct object_id id;	   /* the last id of its name */
	struct object_id snapshot; /* receipts, tombstones, undeletes, locks */
	struct object_id session;  /* voids, undeletes, locks */
	struct object_id *ids;	   /* snapshots, tombstones, packs: by kind */
	size_t n_ids;
	struct chunk_id *chunks; /* quarantine: with packs in ids */
	struct instant time;
	struct instant until;		  /* locks; tombstones: not before */
	struct object_id releases;	  /* holds */
	uint64_t counts[OBJECT_KIND_END]; /* inventories */
	uint64_t counter;
	uint64_t pid;
	unsigned int clock;		  /* enum record_clock */
	unsigned int purpose;		  /* as stored */
	unsigned int scope;		  /* enum record_scope */
	char by[RECORD_TEXT_MAX + 1];	  /* who, or on which host */
	char reason[RECORD_TEXT_MAX + 1]; /* reason; of a hold its case */
	char custodian[RECORD_TEXT_MAX + 1];
	char source[RECORD_TEXT_MAX + 1];
};

void record_init(struct record *r, enum object_kind kind) NONNULL(1);
void record_done(struct record *r) NONNULL(1);
static inline void cleanup_record_done(struct record *r)
{
	record_done(r);
}
int record_add_id(struct record *r, struct object_id id, struct err *e)
	NONNULL(1, 3) MUST_CHECK;

/* A quarantined chunk, and the pack that holds it. */
int record_add_chunk(struct record *r, const struct chunk_id *chunk,
		     struct object_id pack, struct err *e) NONNULL(1, 2, 4)
	MUST_CHECK;

/*
 * The id of a lock of that snapshot; here: one that counts where it lies and is
 * copied to no other region, which its name tells.
 */
struct object_id record_lock_id(struct object_id snapshot, bool here);
bool record_lock_is_here(const char *name) NONNULL(1);

/* The name it has in the store, from its kind and ids. */
struct object_name record_name(const struct record *r) NONNULL(1);

int record_put(struct store *s, const struct keys *k, const struct record *r,
	       unsigned int put_flags, struct err *e) NONNULL(1, 2, 3, 5)
	MUST_CHECK;
/* 1 and the record (initialised here; caller's to done), 0 absent, -1. */
int record_get(struct store *s, const struct keys *k, enum object_kind kind,
	       const char *name, struct record *ret, struct err *e)
	NONNULL(1, 2, 4, 5, 6) MUST_CHECK;

/*
 * Visit every record of a kind, in order of names.  One that does not open is
 * visited with r NULL and why set, so that the caller decides which way its
 * doubt falls (FORMAT.md §9, last paragraph).  With ERR_IO its disk could not
 * give it just now: others may read it all the same.
 */
typedef int record_visit(void *arg, const char *name, const struct record *r,
			 const struct err *why, struct err *e);
int record_list(struct store *s, const struct keys *k, enum object_kind kind,
		record_visit *visit, void *arg, struct err *e)
	NONNULL(1, 2, 4, 6) MUST_CHECK;
/*
 * The same, reading only those whose name begins with an id (of a snapshot)
 * that is wanted.
 */
typedef bool record_wanted(void *arg, struct object_id first);
int record_list_some(struct store *s, const struct keys *k,
		     enum object_kind kind, record_wanted *wanted,
		     record_visit *visit, void *arg, struct err *e)
	NONNULL(1, 2, 4, 5, 7) MUST_CHECK;
/* Those only that are named after a snapshot (FORMAT.md §2). */
int record_list_of(struct store *s, const struct keys *k, enum object_kind kind,
		   struct object_id snapshot, record_visit *visit, void *arg,
		   struct err *e) NONNULL(1, 2, 5, 7) MUST_CHECK;

#endif

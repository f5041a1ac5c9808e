/*
 * Whether a repository holds what it says: every object opens and is what its
 * name says, every snapshot reaches sound chunks, and (level `data`) every
 * stored byte decrypts to what its id promises.
 *
 * What is found is told object by object, with the snapshots and paths that
 * lose by it; a chunk that another pack holds soundly is no loss.  Damage
 * that an earlier repair gave up (FORMAT.md §9, quarantine) is told apart
 * from new damage: it is unsound only while a snapshot misses something.  It
 * stays given up when somebody puts the sound object back, and readers do not
 * look at it: the next repair copies what snapshots miss out of it.
 *
 * Repairing only adds: an index object for what no sound one names, copies of
 * what can still be read in damaged packs, or in other regions, and a
 * quarantine record for what cannot be trusted, so that it counts as absent and
 * the next snapshot stores it again.  Nothing is ever deleted or overwritten,
 * and nothing given up that a newer program, or a keyring that came later, may
 * well read.
 *
 * Safe beside writers: what they add meanwhile is not looked at.  What grows
 * with the number of chunks lies in unlinked files (base/filemap.h).
 *
 * What it cannot see: withheld or rolled-back objects (FORMAT.md §11), and
 * whether a key slot of another owner opens with that owner's key.
 */
#ifndef STORAGE_REPOSITORY_CHECK_H
#define STORAGE_REPOSITORY_CHECK_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/instant.h"
#include "storage/repository/object.h"
#include "storage/repository/repository.h"

enum check_level {
	/* Names, kinds, sizes, and that each small object opens; packs are
	 * listed only. */
	CHECK_LISTED = 1,
	/* Also directories of packs, all of the index, trees: everything but
	 * the chunks that no tree's reading needs. */
	CHECK_STRUCTURE,
	/* Also every sealed chunk: opened, decompressed, its id rederived. */
	CHECK_DATA,
};

/* At most so many of each are kept; all are counted. */
#define CHECK_FINDINGS_MAX  4096
#define CHECK_SNAPSHOTS_MAX 32
#define CHECK_PATHS_MAX	    64

struct check_path {
	char *bytes;
	size_t len;
};

/* One object that is damaged or missing, or a manifest that misses chunks. */
struct check_finding {
	char object[STORE_NAME_MAX + 1];
	enum object_kind kind; /* 0: it is called like no kind */
	char message[200];
	bool quarantined; /* an earlier repair gave it up */
	bool newer;	  /* for a newer program or keyring: never given up */
	bool is_absent;	  /* a receipt that went: there is nothing to give up */
	uint64_t chunks;  /* damaged or missing in it, with or without loss */
	/* Who loses by it: empty when other packs hold all of it. */
	struct object_id snapshots[CHECK_SNAPSHOTS_MAX];
	uint64_t n_snapshots; /* may be more than are kept */
	struct check_path paths[CHECK_PATHS_MAX];
	uint64_t n_paths;
};

struct check_progress {
	const char *stage; /* "objects", "packs", "index", "trees", … */
	uint64_t done;
	uint64_t bytes;
	uint64_t bytes_total; /* of this stage; 0: not known */
};

/* Another region of the repository, and what became of asking it. */
struct check_other {
	struct repository *r; /* read, and pinned meanwhile where that can be */
	uint64_t chunks;      /* that came from it; without repair: it lists */
	uint64_t bytes;
	struct err why; /* what kept it from being asked to the end, or none */
	/* Why it did not give the first of those that it has, or none. */
	struct err unopened;
};

struct check_options {
	enum check_level level;
	bool repair;
	/*
	 * Where what snapshots miss here comes from, in this order; each chunk
	 * is opened before it is taken.  Without repair they are asked, by
	 * their index, what they have of it.
	 */
	struct check_other *others;
	size_t n_others;
	/*
	 * With repair: give up nothing but what is in its place again, so that
	 * what is still lost goes on keeping collectors from what it led to.
	 */
	bool only_replaced;
	/*
	 * Level `data` reads the packs whose id falls into part (from 0) of
	 * parts; 0 parts: all.  A pack is always in the same part, so parts
	 * read one after the other, one every D / parts days, read every
	 * stored byte within D days.
	 */
	unsigned int part;
	unsigned int parts;
	/* Level `data`: whether to read this pack of them; NULL: yes. */
	bool (*wanted)(void *arg, struct object_id pack);
	struct instant now;
	const char *scratch; /* folder for unlinked files; NULL: default */
	/* Polled; true ends with ERR_INTERRUPTED.  May be NULL. */
	const atomic_bool *cancel;
	/* From any thread, one at a time.  May be NULL. */
	void (*progress)(void *arg, const struct check_progress *p);
	/*
	 * So many bytes came from others[other], or will be written here; who
	 * keeps to a limit rests in it.  -1 ends the check.  May be NULL.
	 */
	int (*fetched)(void *arg, size_t other, uint64_t bytes, struct err *e);
	/*
	 * A pack of which every byte was read and is sound; from any thread,
	 * one at a time.  May be NULL.
	 */
	void (*verified)(void *arg, struct object_id pack, uint64_t size,
			 struct instant when);
	void *arg;
	/* Set by an ERR_BUSY that asking again is all there is to do about:
	 * what it looked at was moved or changed meanwhile.  May be NULL. */
	bool *moved;
};

struct check_result {
	bool sound;
	uint64_t objects;
	uint64_t packs;
	uint64_t packs_read; /* level data: those read whole */
	uint64_t chunks;     /* level data: those opened */
	uint64_t bytes;	     /* read from packs */
	uint64_t index_entries;
	uint64_t snapshots;
	uint64_t unknown;    /* objects that are called like no kind */
	uint64_t unindexed;  /* chunks that no index names: no damage */
	uint64_t lost;	     /* chunks that a snapshot misses */
	uint64_t returned;   /* given up, and a repair would bring them back */
	uint64_t offered;    /* of the lost, listed by another region */
	uint64_t n_findings; /* may be more than are kept */
	struct check_finding *findings;
	/* The first read that the disk or the store failed in, or none: what
	 * was found may be its doing, and be there all along. */
	struct err unread;
	/* With repair. */
	uint64_t indexed;     /* entries written into a new index */
	uint64_t salvaged;    /* chunks copied out of damaged packs */
	uint64_t fetched;     /* chunks copied out of other regions */
	uint64_t left;	      /* of the lost: nowhere to be had */
	uint64_t receipts;    /* written, of snapshots that had none */
	uint64_t quarantined; /* chunks and objects */
};

/*
 * 0 also when damage was found: look at ret->sound.  -1 when the question
 * could not be answered: a listing or a read that failed otherwise than by
 * damage, no memory, interrupted; ERR_BUSY when what looks like damage may be
 * what others did, while we stood still or without a pin.
 */
int check_run(struct repository *r, const struct check_options *o,
	      struct check_result *ret, struct err *e) NONNULL(1, 2, 3, 4)
	MUST_CHECK;
void check_result_done(struct check_result *x) NONNULL(1);
static inline void cleanup_check_result_done(struct check_result *x)
{
	check_result_done(x);
}

/* Whether the pack falls into that part. */
bool check_in_part(struct object_id pack, unsigned int part,
		   unsigned int parts);

#endif

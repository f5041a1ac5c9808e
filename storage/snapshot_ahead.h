/*
 * Looking at entries ahead of their turn: opened, described, small files read.
 *
 * For a tree of small files the system calls of each are the bottleneck, and
 * one after the other they keep one core busy and the others waiting.  So the
 * producer takes handles ahead of where it is, a few threads do what needs no
 * order, and the producer gets the entries back in the order of the walk.
 *
 * At most SNAPSHOT_AHEAD entries are ahead, and SNAPSHOT_AHEAD_BYTES of their
 * content, which is named, too; what is larger than SNAPSHOT_SMALL, and the
 * names of hard links (whose content may be known already), are only opened.
 * For use by one thread; sources allow any thread to work on a handle.
 *
 * 1,000,000 files of 375 bytes on average, warm, two cores that did other
 * things, too, one run each: 53 s when the producer did it all, 21 s with two
 * readers.
 */
#ifndef STORAGE_SNAPSHOT_AHEAD_H
#define STORAGE_SNAPSHOT_AHEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/instant.h"
#include "storage/repository/entry.h"
#include "storage/snapshot_small.h"
#include "storage/sources/source.h"

#define SNAPSHOT_AHEAD	     64U
#define SNAPSHOT_AHEAD_BYTES ((size_t)2 << 20)
#define SNAPSHOT_READERS     2U
/* Turns of data and holes that are kept of a small file. */
#define SNAPSHOT_PIECES 256

struct ahead;

/* An entry that was looked at. */
struct ahead_item {
	struct entry listed; /* owned: as source_next() told it */
	struct instant taken;
	struct source_handle *handle; /* NULL: not needed any more */
	int described;		      /* what source_describe() said */
	struct entry entry; /* described: 1; borrows of the two above */
	/* When described is 0, or it is a small file: source_finish()'s. */
	enum source_state state;
	/* A small file that was read: data and holes taking turns. */
	bool is_read;
	uint8_t *data;
	size_t len;
	struct snapshot_name name; /* of that data, if there is any */
	struct source_extent *pieces;
	struct source_extent piece; /* most have one */
	size_t n_pieces;
	struct err why; /* described: -1 */
};

int snapshot_ahead_new(struct source *s, const uint8_t cut_key[KEYS_SIZE],
		       struct ahead **ret, struct err *e) NONNULL(1, 2, 3, 4)
	MUST_CHECK;
/* NULL-safe; also with entries that nobody asked for. */
void snapshot_ahead_free(struct ahead *a);
DEFINE_CLEANUP(struct ahead *, snapshot_ahead_free);

/* Whether an entry may be taken now; never before snapshot_ahead_next() when
 * not. */
bool snapshot_ahead_has_room(const struct ahead *a, const struct entry *listed)
	NONNULL(1, 2);
bool snapshot_ahead_is_empty(const struct ahead *a) NONNULL(1);
/* Take the entry that source_next() delivered last. */
int snapshot_ahead_take(struct ahead *a, const struct entry *listed,
			struct err *e) NONNULL(1, 2, 3) MUST_CHECK;
/*
 * The first entry of those taken, when it was looked at; ahead must not be
 * empty.  It is valid until the next call.  Fails when describing it did.
 */
int snapshot_ahead_next(struct ahead *a, struct ahead_item **ret, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;

/*
 * Read the content of the item given last, a small file that was left open: a
 * hard link whose content, as it turned out, is not known.
 */
int snapshot_ahead_read(struct ahead *a, struct ahead_item *i, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;

#endif

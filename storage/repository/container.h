/*
 * What packs and index objects have in common (FORMAT.md §5, §6): a header, a
 * body, a sealed tail that describes the body, and a sealed trailer that says
 * where the tail begins.  Private to this folder.
 */
#ifndef STORAGE_REPOSITORY_CONTAINER_H
#define STORAGE_REPOSITORY_CONTAINER_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "storage/repository/keys.h"
#include "storage/repository/object.h"
#include "storage/repository/seal.h"
#include "storage/stores/store.h"

#define CONTAINER_TRAILER_PLAIN 24
#define CONTAINER_TRAILER	(CONTAINER_TRAILER_PLAIN + SEAL_OVERHEAD)

/* One kind of container. */
struct container_spec {
	enum object_kind kind;
	const char *tail_label;
	uint64_t size_max;
	size_t tail_max; /* plaintext, which bounds what a reader allocates */
};

/* One object that is written or read. */
struct container {
	struct store *store;
	const struct keys *keys;
	const struct container_spec *spec;
	struct object_id id;
	struct object_name name;
	uint8_t header[OBJECT_HEADER_SIZE];
	const uint8_t *key;
	uint64_t size;		     /* so far, or whole */
	uint64_t tail_at;	     /* where the body ends */
	struct store_upload *upload; /* while writing */
};

/* Associated data of a part of it. */
void container_ad(const struct container *c, const char *label,
		  struct seal_ad *ret) NONNULL(1, 2, 3);

/* Draw an id, begin the upload and write the header. */
int container_begin(struct container *c, struct store *s, const struct keys *k,
		    const struct container_spec *spec, struct err *e)
	NONNULL(1, 2, 3, 4, 5) MUST_CHECK;
int container_append(struct container *c, const void *bytes, size_t n,
		     struct err *e) NONNULL(1, 4) MUST_CHECK;
/* The size before padding if it ended now with that much tail. */
uint64_t container_bare_size(const struct container *c, size_t tail);
/*
 * Pad tail, seal it, write it and the trailer, commit durably.  Ends the
 * upload also on failure.
 */
int container_end(struct container *c, struct buf *tail, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;
/* Give up, if the upload was not ended. */
void container_abort(struct container *c) NONNULL(1);

/*
 * Read header, trailer and tail of the object id; tail gets the plaintext
 * with its padding.  ERR_NOT_FOUND, ERR_CORRUPT, ERR_NEWER, ERR_BAD_KEY.
 */
int container_open(struct container *c, struct store *s, const struct keys *k,
		   const struct container_spec *spec, struct buf *tail,
		   struct err *e) NONNULL(1, 2, 3, 4, 5, 6) MUST_CHECK;

/*
 * The same by a single read of an object that is smaller than whole's ceiling,
 * all of which is then in whole; of a larger one whole stays empty.
 */
int container_open_small(struct container *c, struct store *s,
			 const struct keys *k,
			 const struct container_spec *spec, struct buf *whole,
			 struct buf *tail, struct err *e)
	NONNULL(1, 2, 3, 4, 6, 7) MUST_CHECK;

/* n bytes of the object, all of them, or ERR_CORRUPT, ERR_NOT_FOUND. */
int container_read(struct store *s, const char *name, uint64_t offset,
		   void *out, size_t n, struct err *e) NONNULL(1, 2, 4, 6)
	MUST_CHECK;

#endif

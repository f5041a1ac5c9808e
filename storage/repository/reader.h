/*
 * Reading chunks: find, fetch, open, keep a few.
 *
 * A reader belongs to one thread.  Chunks come back from a small cache of
 * opened ones (small files share chunks with their neighbours, so the next
 * file often needs the same).  A chunk whose holder is damaged is looked for
 * in other packs that hold it too before it counts as lost.
 */
#ifndef STORAGE_REPOSITORY_READER_H
#define STORAGE_REPOSITORY_READER_H

#include "base/attr.h"
#include "base/err.h"
#include "storage/repository/chunk.h"
#include "storage/repository/prefetch.h"
#include "storage/repository/repository.h"

struct reader;

/* cache_bytes bounds the plaintext kept (at least one chunk is), beside which
 * a buffer of up to 2 MiB waits for the next. */
int reader_new(struct repository *r, size_t cache_bytes, struct reader **ret,
	       struct err *e) NONNULL(1, 3, 4) MUST_CHECK;
/* The same, looking chunks up in an index of the caller's, who keeps it. */
int reader_new_in(struct repository *r, struct index_set *index,
		  size_t cache_bytes, struct reader **ret, struct err *e)
	NONNULL(1, 2, 4, 5) MUST_CHECK;
void reader_free(struct reader *x);
DEFINE_CLEANUP(struct reader *, reader_free);

/*
 * The plaintext of a chunk, borrowed until the next call.  ERR_CORRUPT when
 * no pack holds it soundly ("chunk … is in no pack" when none holds it at
 * all), also when what is wrong is a disk that cannot read it; the kind must
 * be the one expected.
 */
int reader_get(struct reader *x, const struct chunk_id *id,
	       enum chunk_kind kind, const uint8_t **ret, size_t *ret_len,
	       struct err *e) NONNULL(1, 2, 4, 5, 6) MUST_CHECK;
/* The same, rederiving the id from the plaintext (level `data`). */
void reader_verify_ids(struct reader *x, bool on) NONNULL(1);

/* Take from there what it has; it outlives the reader.  NULL: no more. */
void reader_take_from(struct reader *x, struct prefetch *p) NONNULL(1);

/* Bytes read from the store so far. */
uint64_t reader_bytes(const struct reader *x) NONNULL(1);

#endif

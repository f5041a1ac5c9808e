/*
 * What an operation has to say about single paths: errors, things left out.
 *
 * Collected while it runs, from any thread, and written into the reply at the
 * end.  Bounded: beyond NOTES_BYTES they are counted but not kept, and the
 * list ends with an entry that says how many.
 */
#ifndef SERVICE_NOTES_H
#define SERVICE_NOTES_H

#include <pthread.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/json.h"

#define NOTES_BYTES (16U << 20)

struct notes {
	pthread_mutex_t lock;
	struct buf list;
	uint64_t n;
	uint64_t kept;
};

void notes_init(struct notes *x) NONNULL(1);
void notes_done(struct notes *x) NONNULL(1);
static inline void cleanup_notes_done(struct notes *x)
{
	notes_done(x);
}

/* Of the form that sources and restores call; arg is the struct notes. */
void notes_add(void *arg, const char *path, size_t len, const char *message);
/* "key":[{"path","message"}, …] */
void notes_write(struct notes *x, struct json *j, const char *key)
	NONNULL(1, 2, 3);

#endif

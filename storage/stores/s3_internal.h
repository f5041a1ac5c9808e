/* What the parts of the S3 store share; private to s3*.c. */
#ifndef STORAGE_STORES_S3_INTERNAL_H
#define STORAGE_STORES_S3_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>

#include "storage/stores/s3_ahead.h"
#include "storage/stores/s3_call.h"
#include "storage/stores/store.h"

struct s3 {
	struct store store;
	struct s3_client *client;
	struct s3_ahead *ahead;
	pthread_mutex_t lock;	  /* of what follows */
	struct s3_batch *batches; /* listings that fetch ahead */
	bool swept;		  /* uploads that nobody ends were looked for */
	/* The server refuses requests that say If-None-Match, as some do. */
	bool no_conditions;
};

/* What an object's head says; its size is ret->total.  1, 0, -1. */
int s3_head(struct s3 *s, const char *name, struct s3_http_reply *ret,
	    struct err *e) NONNULL(1, 2, 3, 4) MUST_CHECK;

/* As store_ops.read, by one request; arg is a struct s3. */
int s3_fetch(void *arg, const char *name, uint64_t offset, void *out, size_t n,
	     size_t *ret_got, struct err *e) NONNULL(1, 2, 6, 7) MUST_CHECK;

/* Whether the bucket is there and lets us in; what it replied. */
int s3_probe(struct s3 *s, struct s3_http_reply *ret, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;

/*
 * A reply that does not read as S3's is a server's fault, or a proxy's: never
 * damage of what is stored.  -1.
 */
int s3_senseless(struct err *e) NONNULL(1);

/*
 * Whether a reply of success is of an object, or by somebody in between who
 * says yes to everything (a network's log-in page, a proxy's).
 */
int s3_is_of_object(const struct s3_call *call, struct err *e) NONNULL(1, 2)
	MUST_CHECK;

/* An answer that makes no sense here; -1. */
int s3_unexpected(const struct s3_call *call, struct err *e) NONNULL(1, 2);

int s3_list(struct store *s, const char *prefix, store_visit *visit, void *arg,
	    struct err *e);
int s3_list_reading(struct store *s, const char *prefix, store_visit *visit,
		    void *arg, struct err *e);
int s3_pure(struct store *s, struct err *e);
/*
 * What a listing of this thread's has fetched of name, from its beginning: 1,
 * or 0 when it is to be read as always.
 */
int s3_fetched_ahead(struct s3 *s, const char *name, void *out, size_t n,
		     size_t *ret_got) NONNULL(1, 2, 5);
/* It was removed: what listings have fetched of it is not to be read. */
void s3_forget_fetched(struct s3 *s, const char *name) NONNULL(1, 2);

int s3_begin(struct store *s, const char *name, uint64_t size,
	     unsigned int flags, struct store_upload **ret, struct err *e);
int s3_append(struct store_upload *upload, const void *bytes, size_t n,
	      struct err *e);
int s3_commit(struct store_upload *upload, struct err *e);
void s3_abort(struct store_upload *upload);

#endif

/*
 * One request of the S3 store, until it has an answer: signed, carried, judged
 * and tried again.
 *
 * A client is a store's: its place, its connections, its credentials, how many
 * requests may be under way.  Calls are made by any number of threads, and
 * each sleeps until its call has ended.
 *
 * A call is tried again while that can help: eight times, three when the
 * server does not reply at all, and no new try begins three minutes after
 * the first.  A try after one that had no reply goes over a new connection:
 * the old ones may lead nowhere.
 *
 * What was learnt of a server that is silent all clients of the process share,
 * so that not every call waits for it anew: s3_silence.h says when a call is
 * refused (ERR_BUSY; nothing was sent), or has one try, the probe.  Whatever
 * was sent, and had no reply, may have been done all the same, as always.
 *
 * Who has all patience (STORE_PATIENT) and is refused, or whose own probe had
 * no reply, waits for his turn until the call is three pauses old, half a
 * minute, and for as long as somebody's probe is under way: what was learnt
 * some seconds ago must not fail a run whose server is back since.  He sends
 * nothing meanwhile, so that the server has one probe in each pause, as ever.
 *
 * With less patience (enum store_patience) the tries at a server that is silent
 * have the limit of a connection, 10 seconds, and there are fewer: STORE_FICKLE
 * has a first one as always, and a second; STORE_HURRIED begins none when half
 * of that time has gone.  Both are in a hurry as s3_silence.h means it.
 *
 * When the program was asked to stop (store_stop_when()) nothing
 * is tried again, and all that is under way ends within 15 seconds of that:
 * enough to take back what others would have to wait for.
 */
#ifndef STORAGE_STORES_S3_CALL_H
#define STORAGE_STORES_S3_CALL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "storage/stores/s3_answer.h"
#include "storage/stores/s3_http.h"
#include "storage/stores/s3_place.h"
#include "storage/stores/store.h"

struct s3_client;

int s3_client_new(const struct s3_place *p, struct s3_client **ret,
		  struct err *e) NONNULL(1, 2, 3) MUST_CHECK;
/* No call may be under way. */
void s3_client_free(struct s3_client *c);
DEFINE_CLEANUP(struct s3_client *, s3_client_free);
const struct s3_place *s3_client_place(const struct s3_client *c) NONNULL(1);

/* At most this many; see s3_call.headers. */
#define S3_CALL_HEADERS 12

/* See above.  For calls, and tries, that begin after this. */
void s3_client_set_patience(struct s3_client *c, enum store_patience p)
	NONNULL(1);
/* Of all servers forget what was learnt, for tests. */
void s3_client_forget_all(void);

struct s3_call {
	/* What is asked.  All is borrowed, and stays the caller's. */
	const char *method;
	const char *right; /* the permission it takes: "s3:PutObject" */
	const char *name;  /* of the object, without the prefix; NULL: bucket */
	const char *query; /* s3_query_add()'s; NULL: none */
	/* "name: value": lower case, in rising order. */
	const char *headers[S3_CALL_HEADERS];
	size_t n_headers;
	const void *body;
	size_t body_len;
	const char *body_sha256; /* 64 digits; NULL: derived here */
	/* Where a reply's body goes, as in struct s3_exchange.  What is in
	 * body_buf is forgotten at each try. */
	void *room;
	size_t room_len;
	struct buf *body_buf; /* NULL: it is thrown away */

	/* What came of it. */
	enum s3_verdict verdict; /* DONE, ABSENT, TAKEN, BEYOND; or FAILED */
	struct s3_http_reply reply;
	struct s3_error error;
	unsigned int attempts;
};

/*
 * 0 when there is an answer, which is call->verdict; -1 when it failed.
 */
int s3_call(struct s3_client *c, struct s3_call *call, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;

/* What was sent and received since the client was made, for tests and figures.
 */
struct s3_traffic {
	uint64_t requests;
	uint64_t retries;
	uint64_t sent, received; /* bytes */
};
void s3_client_traffic(struct s3_client *c, struct s3_traffic *ret)
	NONNULL(1, 2);

#endif

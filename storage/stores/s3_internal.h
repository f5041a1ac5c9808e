/* What the parts of the S3 store share; private to s3*.c. */
#ifndef STORAGE_STORES_S3_INTERNAL_H
#define STORAGE_STORES_S3_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>

#include "storage/stores/s3_ahead.h"
#include "storage/stores/s3_call.h"
#include "storage/stores/s3_xml.h"
#include "storage/stores/store.h"

/* Whether the bucket keeps versions, as far as that is known. */
enum s3_keeping { S3_KEEPS_UNKNOWN, S3_KEEPS_NONE, S3_KEEPS_VERSIONS };
/* Whether it has object lock. */
enum s3_locking { S3_LOCK_UNKNOWN, S3_LOCK_NONE, S3_LOCK_THERE };

struct s3_known; /* of a name: see s3_version.c */
#define S3_KNOWN_ROWS 1024

struct s3 {
	struct store store;
	struct s3_client *client;
	struct s3_ahead *ahead;
	pthread_mutex_t asking;	  /* held by who asks what is asked once */
	pthread_mutex_t lock;	  /* of what follows */
	struct s3_batch *batches; /* listings that fetch ahead */
	bool swept;		  /* uploads that nobody ends were looked for */
	/* The server refuses requests that say If-None-Match, as some do. */
	bool no_conditions;
	/* It wants a sum of what is PUT, as where a rule locks all of it. */
	bool wants_sums;
	enum s3_keeping keeping;
	bool asked_keeping; /* whoever asks again is not told, either */
	bool cannot_tidy;   /* what was replaced stays: it may not be removed */
	enum s3_locking locking;
	bool governance; /* the mode of locks; else compliance */
	/* Replies with an object say what locks it; what holds it may be
	 * asked. */
	bool tells_locks, may_see_holds;
	/* What is PUT with a lock was seen to have it; and to lack it.  Of an
	 * upload in parts (1), and of others (0). */
	bool locks_new[2], leaves_new[2];
	struct s3_known *known[S3_KNOWN_ROWS];
	size_t n_known;
	bool any_several; /* more names than are known have several versions */
};

/*
 * What an object's head says; its size is ret->total.  1, 0, -1.  Of the
 * version that reads are of; or of this one.
 */
int s3_head(struct s3 *s, const char *name, struct s3_http_reply *ret,
	    struct err *e) NONNULL(1, 2, 3, 4) MUST_CHECK;
int s3_head_version(struct s3 *s, const char *name, const char *version,
		    struct s3_http_reply *ret, struct err *e)
	NONNULL(1, 2, 3, 4, 5) MUST_CHECK;

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
int s3_list_after(struct store *s, const char *after, store_visit *visit,
		  void *arg, struct err *e);
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

/* ---- versions (s3_version.c) -------------------------------------------- */

typedef char s3_version[S3_VERSION_MAX + 1];

/* What a reply tells about whether the bucket keeps versions. */
void s3_learn(struct s3 *s, const struct s3_call *call) NONNULL(1, 2);
/* 1 when it does, 0, or -1: asked once, where no reply has told. */
int s3_keeps_versions(struct s3 *s, struct err *e) NONNULL(1, 2) MUST_CHECK;
/* Whether it is known to keep none; asks nothing. */
bool s3_keeps_none(struct s3 *s) NONNULL(1);

/* "versionId=…", or nothing for "". */
int s3_add_version(struct buf *query, const char *version, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;

/* Visit all versions and deletions of name, the newest first. */
int s3_visit_versions(struct s3 *s, const char *name, s3_visit *visit,
		      void *arg, struct err *e) NONNULL(1, 2, 3, 5) MUST_CHECK;
/*
 * The newest and the oldest version that are no deletions: how many such there
 * are (2 is two or more), 0, or -1.
 */
int s3_ends(struct s3 *s, const char *name, s3_version newest,
	    s3_version oldest, struct err *e) NONNULL(1, 2, 3, 4, 5) MUST_CHECK;
/*
 * After a reply that there is no name: 1 and the newest version when only a
 * deletion hides it; 0 when not, or where no versions are kept.
 */
int s3_hidden(struct s3 *s, const char *name, s3_version ret, struct err *e)
	NONNULL(1, 2, 3, 4) MUST_CHECK;

/* The version that reads of name are of; "": the newest. */
void s3_turned(struct s3 *s, const char *name, s3_version ret) NONNULL(1, 2, 3);
/* A listing saw several versions of it. */
void s3_note_several(struct s3 *s, const char *name) NONNULL(1, 2);
bool s3_has_several(struct s3 *s, const char *name) NONNULL(1, 2);
/* Read the newest again; and nothing is known of it any longer. */
void s3_forget_turn(struct s3 *s, const char *name) NONNULL(1, 2);
void s3_forget_known(struct s3 *s, const char *name) NONNULL(1, 2);
void s3_free_known(struct s3 *s) NONNULL(1);

/*
 * version ("": the server told none) was PUT, and whatever it took the place of
 * is to go.
 */
void s3_replaced(struct s3 *s, const char *name, const char *version)
	NONNULL(1, 2, 3);
int s3_remove_version(struct s3 *s, const char *name, const char *version,
		      struct err *e) NONNULL(1, 2, 3, 4) MUST_CHECK;
/* All of them, and deletions; none when one of them is guarded. */
int s3_remove_all(struct s3 *s, const char *name, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;
int s3_turn(struct store *store, const char *name, unsigned int n,
	    struct err *e);

/* ---- object lock (s3_lock.c) -------------------------------------------- */

int s3_can_guard(struct store *store, struct err *e);
const char *s3_guard_mode(struct store *store);
int s3_guard(struct store *store, const char *name, struct instant until,
	     struct err *e);
int s3_hold(struct store *store, const char *name, bool held, struct err *e);
int s3_guarded(struct store *store, const char *name, struct store_guard *ret,
	       struct err *e);
/* What guards this version, or what is read (""): 1, 0, -1. */
int s3_guard_of(struct s3 *s, const char *name, const char *version,
		struct store_guard *ret, struct err *e) NONNULL(1, 2, 3, 4, 5)
	MUST_CHECK;
/*
 * version of name was PUT with a lock until then: see that the server took it,
 * which not all do of uploads in parts.
 */
int s3_guard_written(struct s3 *s, const char *name, const char *version,
		     bool in_parts, struct instant until, struct err *e)
	NONNULL(1, 2, 3, 6) MUST_CHECK;
/* ERR_DENIED when it does now, 0 when not. */
int s3_refuse_guarded(const struct store_guard *g, struct err *e) NONNULL(1, 2)
	MUST_CHECK;
/* Until then, as S3 has it: whole seconds, at least. */
void s3_lock_date(struct instant until, char out[INSTANT_TEXT]) NONNULL(2);
const char *s3_lock_mode(struct s3 *s) NONNULL(1);

/* ------------------------------------------------------------------------- */

int s3_begin(struct store *s, const char *name, uint64_t size,
	     unsigned int flags, struct store_upload **ret, struct err *e);
int s3_append(struct store_upload *upload, const void *bytes, size_t n,
	      struct err *e);
int s3_commit(struct store_upload *upload, struct err *e);
void s3_abort(struct store_upload *upload);
void s3_guard_upload(struct store_upload *upload, struct instant until);

#endif

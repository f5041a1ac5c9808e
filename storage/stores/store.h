/*
 * An object store: named byte strings somewhere else.
 *
 * This is the whole interface between the repository and the outside world.
 * A backend is one file, stores/<scheme>.c, that fills in a struct store_ops;
 * adding one means adding that file and a row in store_backends[] (store.c).
 * The functions below check arguments and add context to errors, so a backend
 * need not.  What each slot promises stands above it, once; tests/unit/
 * storage_store.c holds every backend, plain and wrapped, to it.
 *
 * Names match [a-z0-9_.-]+(/[a-z0-9_.-]+)*, at most 200 bytes, and no
 * component begins with a dot; "tmp" and what is below it is no name (a
 * backend keeps unfinished uploads there).  Names are flat: "/" only groups
 * them for listing; but no object is called as another one's group is ("a"
 * beside "a/b"), which not every backend can hold.  Objects are immutable
 * unless they were PUT with STORE_REPLACE (session counters are the only ones).
 *
 * Some stores can guard an object against everyone, their own writer too: until
 * a moment, or while it is held.  Buckets with S3's object lock do, and folders
 * whose file system has immutable files.  What is guarded is what was written:
 * a store that keeps versions may let others put a newer one on top, or say
 * that it was deleted, and the guarded one stays below (store_turn()).
 *
 * A store is used by many threads at once.  It asks of the other side only
 * that GET and LIST see what was PUT before; one that cannot promise this
 * says so with STORE_EVENTUAL, and gc refuses to work on it.
 */
#ifndef STORAGE_STORES_STORE_H
#define STORAGE_STORES_STORE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/instant.h"
#include "base/text.h"

#define STORE_NAME_MAX 200

/* What a store is like, as questions whose answer may be "yes". */
enum store_feature {
	STORE_EVENTUAL = 1,  /* may a LIST miss a finished PUT? */
	STORE_HAS_CLOCK = 2, /* does store_now() tell the server's time? */
	STORE_LOCAL = 4,     /* is a GET as cheap as a file read? */
	STORE_READ_ONLY = 8, /* does every change fail with ERR_DENIED? */
};

enum store_put_flag {
	/* Take the place of an object of that name.  Without this a name
	 * that is taken fails with ERR_EXISTS and the old bytes stay. */
	STORE_REPLACE = 1,
	/* The name was drawn at random for this object: whether it is taken
	 * costs no request of its own.  Where the store finds that it is, it
	 * fails all the same. */
	STORE_FRESH = 2,
	/* When it cannot be made to last it is taken back, as far as that can
	 * be: nobody acts on it that must not see it go. Without this what may
	 * not last stays, and may be seen. */
	STORE_OR_NONE = 4,
};

/*
 * How long another machine that says nothing at all is waited for before what
 * is asked of it fails (ERR_BUSY).  Of one that answers nothing changes.
 */
enum store_patience {
	/* Up to some minutes: all depends on it. */
	STORE_PATIENT,
	/* It can be had elsewhere, too: once it was silent for as long as is
	 * ever waited for one reply, it has one more chance, of 10 seconds. */
	STORE_FICKLE,
	/* The same, or it is of no use any longer: 10 seconds in all. */
	STORE_HURRIED,
};

/* Whether name may be an object's, by the rule above. */
bool store_name_ok(const char *name) NONNULL(1);

struct store;
struct store_upload;

/* One object of a listing.  name is valid during the call only. */
struct store_entry {
	const char *name;
	uint64_t size;
};
/* 0 goes on, 1 ends the listing early (which is success), -1 fails it. */
typedef int store_visit(void *arg, const struct store_entry *entry,
			struct err *e);

/* A folder of this machine, as fstat(2) tells it from all others. */
struct store_folder {
	dev_t dev;
	ino_t ino;
	char path[4096]; /* "": it is not known */
};

/* What guards an object: nobody removes or replaces it meanwhile. */
struct store_guard {
	struct instant until; /* at least; or 0 */
	bool held;	      /* until it is released */
};

/* A file of this machine; valid during the call. */
typedef int store_file(void *arg, const char *path, struct err *e);

struct store_ops {
	const char *scheme; /* "file", "mem", "s3" */

	/*
	 * Open the store at url, of which the scheme was matched already.
	 * With create, make the place (a folder) when it is missing; without,
	 * a place that is missing is ERR_NOT_FOUND, here or, where it takes a
	 * question to another machine, with the first one that is asked.  A
	 * bucket is nobody's to make but its owner's: it is ERR_NOT_FOUND with
	 * create, too.  Never writes an object.
	 */
	int (*open)(const char *url, bool create, struct store **ret,
		    struct err *e);

	/* Release s.  Never called with NULL.  Uploads were ended before. */
	void (*close)(struct store *s);

	/* Bits of enum store_feature. */
	unsigned int (*features)(const struct store *s);

	/*
	 * Begin an object whose bytes come in pieces; size is a hint (0: not
	 * known).  Nothing is visible under name before commit.  An upload
	 * may be taken for dead, and its commit fail, when no other one begins
	 * in this store for a day; in a bucket, a week after it began.
	 */
	int (*begin)(struct store *s, const char *name, uint64_t size,
		     unsigned int flags, struct store_upload **ret,
		     struct err *e);
	int (*append)(struct store_upload *u, const void *bytes, size_t n,
		      struct err *e);
	/*
	 * Make it visible, durably and atomically: when commit returns 0 the
	 * object survives a power cut, and no reader ever sees part of one.
	 * Ends the upload also when it fails; on failure the object is either
	 * wholly there or absent, and nothing else is left for long.
	 */
	int (*commit)(struct store_upload *u, struct err *e);
	/* Give up.  Cannot fail; leavings are cleaned now or at next open. */
	void (*abort)(struct store_upload *u);

	/*
	 * Read n bytes at offset into out; *ret_got is less than n only at
	 * the object's end.  1 when the object exists, 0 when it does not.
	 */
	int (*read)(struct store *s, const char *name, uint64_t offset,
		    void *out, size_t n, size_t *ret_got, struct err *e);

	/*
	 * The same for a caller that has planned what it reads, and reads it
	 * once: nothing is read along, or kept.  NULL: read().
	 */
	int (*read_once)(struct store *s, const char *name, uint64_t offset,
			 void *out, size_t n, size_t *ret_got, struct err *e);

	/* 1 and the object's size, or 0 when there is none. */
	int (*size)(struct store *s, const char *name, uint64_t *ret,
		    struct err *e);

	/*
	 * Visit every object whose name begins with prefix (any string,
	 * also one that ends within a component), in bytewise order of names.
	 * A listing that cannot be had whole fails; it never ends early in
	 * silence.
	 */
	int (*list)(struct store *s, const char *prefix, store_visit *visit,
		    void *arg, struct err *e);

	/*
	 * The same for a visitor that reads each object it is told of, whole
	 * and none of them replaced: it may fetch them ahead.  NULL: list().
	 */
	int (*list_reading)(struct store *s, const char *prefix,
			    store_visit *visit, void *arg, struct err *e);

	/*
	 * The same as list() of every object whose name comes after that one
	 * (any string), whatever groups them: one question, where the folders
	 * of a repository are twenty.
	 */
	int (*list_after)(struct store *s, const char *after,
			  store_visit *visit, void *arg, struct err *e);

	/* Remove name, durably.  Removing what is absent succeeds. */
	int (*remove)(struct store *s, const char *name, struct err *e);

	/*
	 * ERR_EXISTS, with its name, when the place holds something that no
	 * object is called or can be, so that list() does not tell of it.
	 * NULL where there can be no such thing.
	 */
	int (*pure)(struct store *s, struct err *e);

	/* The other side's wall clock (with STORE_HAS_CLOCK), else NULL. */
	int (*now)(struct store *s, struct instant *ret, struct err *e);

	/*
	 * The folder that holds the objects, where that is one of this machine
	 * (1), so that a snapshot can leave it out; else 0, or NULL.
	 */
	int (*local_folder)(const struct store *s, struct store_folder *ret,
			    struct err *e);

	/*
	 * Visit the files that the store reads now and then and that are no
	 * objects: credentials, certificates.  They need not exist.  NULL where
	 * there can be none.
	 */
	int (*reads)(const struct store *s, store_file *visit, void *arg,
		     struct err *e);

	/*
	 * What follows is NULL where objects cannot be guarded.
	 *
	 * 1 when they can be in this very place, 0 when not.  May ask the other
	 * side, once.
	 */
	int (*can_guard)(struct store *s, struct err *e);

	/*
	 * The object of u is guarded until then from the moment it is there.
	 * Before the first append; cannot fail (commit may).
	 */
	void (*guard_upload)(struct store_upload *u, struct instant until);

	/*
	 * Guard name until then; what is guarded for longer stays so.  1, or 0
	 * when there is no such object.  remove() of what is guarded is
	 * ERR_DENIED, and so is a commit in its place, unless the store keeps
	 * versions: then what is guarded stays below.
	 */
	int (*guard)(struct store *s, const char *name, struct instant until,
		     struct err *e);

	/* Hold it (beside any moment), or release it.  1, 0 absent. */
	int (*hold)(struct store *s, const char *name, bool held,
		    struct err *e);

	/* As the other side says it now: 1, 0 absent. */
	int (*guarded)(struct store *s, const char *name,
		       struct store_guard *ret, struct err *e);

	/*
	 * How, where can_guard() said 1: "compliance" and "governance" are
	 * those of S3, "immutable" are files.  Asks nothing.
	 */
	const char *(*guard_mode)(struct store *s);

	/*
	 * For a store that keeps versions; else NULL.  What is read of name
	 * from now on, and its size, are those of the nth of its versions that
	 * is no deletion, the oldest being 1; with 0 of the newest, as at
	 * first. 1, or 0 when there is none such: then nothing changes.  list()
	 * tells of every object that has a version which is no deletion, with
	 * the size of what would be read.  remove() removes all versions.
	 */
	int (*turn)(struct store *s, const char *name, unsigned int n,
		    struct err *e);

	/*
	 * Whether a list, or a read, told of more than one version of it that
	 * is no deletion.  Asks nothing.  NULL where turn is.
	 */
	bool (*has_several)(struct store *s, const char *name);

	/* As store_set_patience().  NULL: nothing waits for another machine. */
	void (*set_patience)(struct store *s, enum store_patience p);
};

/* First member of every backend's own structs. */
struct store {
	const struct store_ops *ops;
	char url[1024]; /* as shown to people: never holds credentials */
	struct instant new_until; /* see store_guard_new() */
	bool (*new_which)(const char *name);
	struct instant brief_until; /* see store_guard_brief() */
	bool (*brief_which)(const char *name);
	struct store_asked *_Atomic asked; /* store_ask.c's */
};
struct store_upload {
	struct store *store;
	char name[STORE_NAME_MAX + 1];
};

/*
 * Open a store by URL (design §10): file:///DIR, a plain path, s3://BUCKET
 * (s3_place.h), mem:NAME (a store in this process's memory that lasts until
 * store_mem_forget(); for tests).  ERR_USAGE for a URL that makes no sense or
 * an unknown scheme.
 */
int store_open(const char *url, bool create, struct store **ret, struct err *e)
	NONNULL(1, 3, 4) MUST_CHECK;
void store_close(struct store *s);
/*
 * Which one it is, for messages: its URL, quoted.  Without parameters, which
 * would leave no room for what went wrong there, and twice in one sentence.
 */
struct text_quoted store_shown(const struct store *s) NONNULL(1);
DEFINE_CLEANUP(struct store *, store_close);

unsigned int store_features(const struct store *s) NONNULL(1);

/* As the slots of the same names, with context in errors. */
int store_begin(struct store *s, const char *name, uint64_t size,
		unsigned int flags, struct store_upload **ret, struct err *e)
	NONNULL(1, 2, 5, 6) MUST_CHECK;
int store_append(struct store_upload *u, const void *bytes, size_t n,
		 struct err *e) NONNULL(1, 4) MUST_CHECK;
int store_commit(struct store_upload *u, struct err *e) NONNULL(1, 2)
	MUST_CHECK;
void store_abort(struct store_upload *u);
DEFINE_CLEANUP(struct store_upload *, store_abort);
int store_read(struct store *s, const char *name, uint64_t offset, void *out,
	       size_t n, size_t *ret_got, struct err *e) NONNULL(1, 2, 6, 7)
	MUST_CHECK;
int store_read_once(struct store *s, const char *name, uint64_t offset,
		    void *out, size_t n, size_t *ret_got, struct err *e)
	NONNULL(1, 2, 6, 7) MUST_CHECK;
int store_size(struct store *s, const char *name, uint64_t *ret, struct err *e)
	NONNULL(1, 2, 3, 4) MUST_CHECK;
int store_list(struct store *s, const char *prefix, store_visit *visit,
	       void *arg, struct err *e) NONNULL(1, 2, 3, 5) MUST_CHECK;
int store_list_reading(struct store *s, const char *prefix, store_visit *visit,
		       void *arg, struct err *e) NONNULL(1, 2, 3, 5) MUST_CHECK;
int store_list_after(struct store *s, const char *after, store_visit *visit,
		     void *arg, struct err *e) NONNULL(1, 2, 3, 5) MUST_CHECK;
int store_remove(struct store *s, const char *name, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;
int store_pure(struct store *s, struct err *e) NONNULL(1, 2) MUST_CHECK;
int store_now(struct store *s, struct instant *ret, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;

int store_local_folder(const struct store *s, struct store_folder *ret,
		       struct err *e) NONNULL(1, 2, 3) MUST_CHECK;
int store_reads(const struct store *s, store_file *visit, void *arg,
		struct err *e) NONNULL(1, 2, 4) MUST_CHECK;

/* As the slots; 0 where a store has none of them. */
int store_can_guard(struct store *s, struct err *e) NONNULL(1, 2) MUST_CHECK;
int store_guard(struct store *s, const char *name, struct instant until,
		struct err *e) NONNULL(1, 2, 4) MUST_CHECK;
int store_hold(struct store *s, const char *name, bool held, struct err *e)
	NONNULL(1, 2, 4) MUST_CHECK;
int store_guarded(struct store *s, const char *name, struct store_guard *ret,
		  struct err *e) NONNULL(1, 2, 3, 4) MUST_CHECK;
/* NULL where the store has none. */
const char *store_guard_mode(struct store *s) NONNULL(1);
int store_turn(struct store *s, const char *name, unsigned int n, struct err *e)
	NONNULL(1, 2, 4) MUST_CHECK;
/* Whether a name may have several: turn and has_several are there. */
bool store_keeps_versions(const struct store *s) NONNULL(1);
bool store_has_several(struct store *s, const char *name) NONNULL(1, 2);
/*
 * Objects that begin through s from now on, and of whose names which() says
 * true, are guarded until then from their beginning on.  Only where
 * store_can_guard() said 1, and before other threads use s.
 */
void store_guard_new(struct store *s, struct instant until,
		     bool (*which)(const char *name)) NONNULL(1, 3);
/* Of these, those of which this says true until then; after that. */
void store_guard_brief(struct store *s, struct instant until,
		       bool (*which)(const char *name)) NONNULL(1, 3);
/* From now on none are. */
void store_guard_none(struct store *s) NONNULL(1);

/* A whole small object at once. */
int store_put(struct store *s, const char *name, const void *bytes, size_t n,
	      unsigned int flags, struct err *e) NONNULL(1, 2, 6) MUST_CHECK;
/*
 * Append a whole object to out, whose ceiling bounds it (a larger object is
 * ERR_CORRUPT).  1, or 0 when there is none.
 */
int store_get(struct store *s, const char *name, struct buf *out, struct err *e)
	NONNULL(1, 2, 3, 4) MUST_CHECK;

/*
 * Questions that this thread is about to ask, where a request takes long: all
 * are asked now, several at once.  Each listing of precisely such a prefix, and
 * each reading of such an object from its beginning, that this thread does
 * before store_ask_done() then takes its answer, once.
 *
 * An answer is of some moment after this call, and one may be older than one
 * that is taken before it: for what may be looked at in any order alone, and
 * not for what this process changes meanwhile, or is ever replaced.  What fails
 * is asked again by who wants it.  Large objects and listings are not kept.
 * NULL: nothing is asked in advance, of a local store for one.
 */
enum store_question_kind { STORE_ASK_LISTING = 1, STORE_ASK_OBJECT };
struct store_question {
	enum store_question_kind kind;
	char name[STORE_NAME_MAX + 1]; /* or prefix */
	/* An object of as many bytes is large; 0: of 64 KiB. */
	size_t most;
};
struct store_asked *store_ask(struct store *s, const struct store_question *v,
			      size_t n) NONNULL(1);
void store_ask_done(struct store_asked *x);

/*
 * When *stop becomes true (a signal's handler may set it), stores that wait for
 * another machine try nothing again, and end what is under way within 15
 * seconds: until then, what a caller has begun can be taken back.  Of this
 * whole process; NULL: never.
 */
void store_stop_when(const atomic_bool *stop);
bool store_is_stopping(void);

/* From now on, for all threads. */
void store_set_patience(struct store *s, enum store_patience p) NONNULL(1);

/*
 * Whether two locations are one as they are spelled: file: and a percent code
 * are undone, links and relative paths are not.
 */
bool store_local_same(const char *a, const char *b) NONNULL(1, 2);
extern const struct store_ops store_local_ops;
extern const struct store_ops store_mem_ops;
extern const struct store_ops store_s3_ops;
void store_mem_forget(const char *url) NONNULL(1);
/*
 * The clock by which mem: stores of this process end what guards their objects;
 * they have no other.  0, the beginning of time, at first.  Objects can be
 * guarded in those whose names begin with "guard"; those that begin with
 * "guard-versions" keep versions, and guard the oldest.
 */
void store_mem_set_now(struct instant now);

#endif

/*
 * What the parts of the local store share; private to local*.c.
 *
 *	DIR/<name>		an object, mode 0400
 *	DIR/tmp/<32 hex>.part	an upload that was not committed
 *
 * DIR is opened once and held.  All else is reached from that descriptor one
 * component at a time without following symbolic links, so that nothing
 * planted below DIR leads out of it; and when DIR is unmounted, moved or
 * mounted over while it is in use, the store goes on with the folder that it
 * opened, or fails: it never sees the empty mount point.
 *
 * Objects are 0400 from their first byte (a descriptor keeps the right to
 * write with which it was created, so this costs no call): they never change,
 * and this keeps an editor or a shell's ">" from changing one by accident.
 * Folders are 0700.  local_guard.c says what guards objects.
 */
#ifndef STORAGE_STORES_LOCAL_INTERNAL_H
#define STORAGE_STORES_LOCAL_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "storage/stores/store.h"

struct local_upload;

struct local {
	struct store store;
	int root;
	bool read_only;
	pthread_mutex_t lock;	   /* of what follows */
	bool swept;		   /* stale uploads were looked for */
	struct local_upload *open; /* a list of those under way */
	/* Folders whose own entry is known to be durable: "/data/ab/…" */
	struct buf durable;
};

/*
 * Describe errno as a failure of doing something ("" when that is plain from
 * the context which store.c adds).  What cannot be cured by trying again is
 * told apart: a read-only file system is ERR_DENIED, something other than a
 * folder on the way is ERR_CORRUPT.  -1.
 */
int local_sys(struct err *e, const char *doing) NONNULL(1, 2);

/* 0 while the folder that was opened still exists, else ERR_IO. */
int local_alive(const struct local *l, struct err *e) NONNULL(1, 2) MUST_CHECK;

/* 0, or ERR_DENIED when the store says that it is STORE_READ_ONLY. */
int local_writable(const struct local *l, struct err *e) NONNULL(1, 2)
	MUST_CHECK;

/* Open the folder name in dir, not through a symbolic link.  errno. */
int local_open_folder(int dir, const char *name) NONNULL(2) MUST_CHECK;

/*
 * Open the folder that name lies in; *ret_base is its last component.  1, or
 * 0 when that folder does not exist.  local_walk_from() goes from the store's
 * folder as it was opened once more.
 */
int local_walk_from(const struct local *l, int root, const char *name,
		    int *ret_fd, const char **ret_base, struct err *e)
	NONNULL(1, 3, 4, 5, 6) MUST_CHECK;
int local_walk(const struct local *l, const char *name, int *ret_fd,
	       const char **ret_base, struct err *e) NONNULL(1, 2, 3, 4, 5)
	MUST_CHECK;

/*
 * Open an object for reading: 1, or 0 when there is none.
 */
int local_open_object(const struct local *l, const char *name, int *ret_fd,
		      struct stat *ret_st, struct err *e) NONNULL(1, 2, 3, 4, 5)
	MUST_CHECK;

/* ---- guards (local_guard.c) --------------------------------------------- */

int local_can_guard(struct store *s, struct err *e);
const char *local_guard_mode(struct store *s);
int local_guard(struct store *s, const char *name, struct instant until,
		struct err *e);
int local_hold(struct store *s, const char *name, bool held, struct err *e);
int local_guarded(struct store *s, const char *name, struct store_guard *ret,
		  struct err *e);
/*
 * After name could not be removed, or replaced, with EPERM: 1 when that may be
 * tried again, as what guarded it is over; else ERR_DENIED with what does.
 */
int local_release(struct local *l, const char *name, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;
/* It was no guard of its own: -1. */
int local_kept(struct err *e) NONNULL(1);
/*
 * What the attribute of a guard says, n bytes and a NUL; they are changed. What
 * nobody here wrote is held.
 */
void local_guard_parse(char *value, size_t n, struct store_guard *ret)
	NONNULL(1, 3);
/* An upload's file is to be guarded; then that it has its name. */
int local_guard_part(int fd, struct instant until, struct err *e) NONNULL(3)
	MUST_CHECK;
int local_guard_published(const struct local *l, const char *name, int fd,
			  struct err *e) NONNULL(1, 2, 4) MUST_CHECK;

/* ------------------------------------------------------------------------- */

int local_begin(struct store *s, const char *name, uint64_t size,
		unsigned int flags, struct store_upload **ret, struct err *e);
int local_append(struct store_upload *upload, const void *bytes, size_t n,
		 struct err *e);
int local_commit(struct store_upload *upload, struct err *e);
void local_abort(struct store_upload *upload);
void local_guard_upload(struct store_upload *upload, struct instant until);

int local_list_after(struct store *s, const char *after, store_visit *visit,
		     void *arg, struct err *e);
int local_list(struct store *s, const char *prefix, store_visit *visit,
	       void *arg, struct err *e);
int local_pure(struct store *s, struct err *e);

#endif

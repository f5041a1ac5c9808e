/*
 * From what is declared of a source to an open one.
 *
 * A driver of storage/sources/ knows nothing of resources, and a snapshot
 * nothing of drivers: what a Source, or the command line, says is turned here
 * into a driver's options and into what the snapshot's manifest says of its
 * origin.  A new driver adds a row to the table in driver.c, and its keys to
 * resource_source.c.
 *
 * What holds still only as a snapshot of itself, a subvolume or a volume, is
 * made to by driver_hold(), and let go by driver_release(); what is read, and
 * recorded in a manifest, is "files" or "block" then as with any others.
 */
#ifndef SERVICE_DRIVER_H
#define SERVICE_DRIVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/child.h"
#include "base/err.h"
#include "base/json.h"
#include "service/own_folders.h"
#include "service/resource.h"
#include "storage/repository/manifest.h"
#include "storage/snapshot.h"
#include "storage/sources/exclude.h"
#include "storage/sources/source.h"

struct driver {
	/* The caller's; what it points at outlives the driver. */
	const struct resource_source *declared;
	const atomic_bool *cancel; /* may be NULL */
	/* Where to remember what makes the next snapshot cheaper; NULL:
	 * nowhere.
	 */
	const char *cache;
	/* On the command line only: */
	bool exclude_caches;
	bool cross_file_systems;
	bool as_caller; /* a command has the caller's environment and folder */
	/* In a run only: */
	const char *state; /* the daemon's folder */
	int64_t run;

	/* driver_prepare()'s. */
	const struct driver_type *type;
	struct exclude *exclude;
	char **roots; /* one block */
	size_t n_roots;
	struct exclude_scope scope;
	struct block_memory *memory;
	struct btrfs_memory *seen;

	/* What is held. */
	const char *label; /* whose it is: a part of names */
	struct btrfs_snapshot *subvolume;
	struct volume *volume;
	struct own_folders own_held; /* our own folders in it */
};

/*
 * Look at what is declared: paths are resolved, patterns read.  about gets
 * everything that is the source's and the program's: type, host, user,
 * program, paths, excludes; name, time and tags are the caller's.  ERR_USAGE
 * when the type is none that this version reads, or a path leads nowhere.
 */
int driver_prepare(struct driver *d, struct manifest *about, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;
/*
 * What has to be read from a snapshot of it, a volume or subvolume: have all
 * ready to take that, so that what quiesces it need not last longer than the
 * taking.  Nothing for others.
 */
int driver_ready(struct driver *d, struct err *e) NONNULL(1, 2) MUST_CHECK;
/* Take it: from then on until driver_release() what is read holds still. */
int driver_hold(struct driver *d, struct err *e) NONNULL(1, 2) MUST_CHECK;
/* Whether these two do anything. */
bool driver_holds(const struct driver *d) NONNULL(1);
/* Have it to be read.  own are folders that a walk leaves out. */
int driver_locate(struct driver *d, const struct own_folders *own,
		  struct err *e) NONNULL(1, 2, 3) MUST_CHECK;
/* After it was read: -1 when it was not there all the time. */
int driver_check(const struct driver *d, struct err *e) NONNULL(1, 2)
	MUST_CHECK;
/*
 * Let it go, once nothing of it is open any more: -1 when something stays
 * behind for the next run to remove.  Once; then nothing.
 */
int driver_release(struct driver *d, struct err *e) NONNULL(1, 2) MUST_CHECK;
/* What a volume's programs did, as a list; false when there are none. */
bool driver_write_programs(const struct driver *d, const char *key,
			   struct json *j) NONNULL(1, 2, 3);
/*
 * While it holds: tell what lies below it and is not in it, subvolumes of their
 * own; paths relative to its own.
 */
void driver_tell_left_out(const struct driver *d, source_report *tell,
			  void *arg) NONNULL(1, 2);
/*
 * Open it; again, after the source was closed, to begin anew.  own are folders
 * that a walk leaves out.  Until it is closed d, own and errors must stay.
 */
int driver_open(const struct driver *d, const struct own_folders *own,
		struct snapshot_errors *errors, struct source **ret,
		struct err *e) NONNULL(1, 2, 3, 4, 5) MUST_CHECK;
/* What the source printed beside its data; NULL for one that cannot. */
const struct child_tail *driver_said(const struct driver *d,
				     const struct source *s) NONNULL(1, 2);
/*
 * The snapshot was published, whole, and the source closed: keep what was
 * learnt for the next one.  Without, that one reads more.
 */
int driver_keep(struct driver *d, struct err *e) NONNULL(1, 2) MUST_CHECK;
/* All zero but the caller's members is fine. */
void driver_done(struct driver *d) NONNULL(1);

#endif

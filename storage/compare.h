/*
 * Whether a folder holds what a snapshot says: the proof behind a restore.
 *
 * Hidden here: how a tree is laid beside a walk.  The folder is read by the
 * files source, as if it were to be protected, so that nothing which restored
 * it is believed; both sides come in the order of paths and are merged in one
 * pass.  Each entry's type, mode, owner, time, target, device, attributes and
 * hard-link group is compared, and every byte of every file with its chunk,
 * whose id is rederived.
 *
 * Memory: bounded, with 32 MiB that come ahead from a far store; hard-link
 * groups are kept in an unlinked file.
 *
 * Deliberately not compared: times of access and change, holes (only what
 * reads as zeros), hard links between symlinks or specials, and what the
 * files source never records.
 */
#ifndef STORAGE_COMPARE_H
#define STORAGE_COMPARE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/attr.h"
#include "base/err.h"
#include "storage/repository/manifest.h"
#include "storage/repository/repository.h"

/* One difference: the path as the snapshot has it, and a clause. */
typedef void compare_note(void *arg, const char *path, size_t len,
			  const char *message);

struct compare_options {
	const char *folder; /* the whole snapshot was restored into it */
	/*
	 * Restored without root: owners, devices, setuid and setgid bits and
	 * attributes of the system could not be put back, are counted as
	 * excused, and are no difference.
	 */
	bool unprivileged;
	/* Others were restored into the folder before this one, so that the
	 * folder itself ("/") is theirs, and not looked at. */
	bool later;
	/* … and lie where this one does: what it lacks is passed over. */
	bool shared;
	const char *scratch; /* for an unlinked file; NULL: default */
	compare_note *differs;
	void *arg;
	const atomic_bool *cancel; /* or NULL */
};

struct compare_result {
	uint64_t entries; /* of the snapshot */
	uint64_t files;
	uint64_t bytes;	      /* compared */
	uint64_t differences; /* entries that are not as they should be */
	uint64_t excused;     /* entries equal but for what takes root */
};

/*
 * 0 when both were read to the end: ret says whether they differ.  An entry
 * whose chunk is damaged, or that cannot be read, differs.  -1:
 * ERR_INTERRUPTED, ERR_NO_MEMORY, failures of the store.
 */
int compare_run(struct repository *r, const struct manifest *m,
		const struct compare_options *o, struct compare_result *ret,
		struct err *e) NONNULL(1, 2, 3, 4, 5) MUST_CHECK;

#endif

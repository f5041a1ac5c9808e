/*
 * Reading a repository that is named: from the primary region, or from
 * another one when that cannot be had.
 *
 * Hidden here: which region comes next (service/region_choice.h), what the
 * daemon knows of them, and how the user is told.  With --repo as a location,
 * and with --region, there is one region, and its failure is the failure.
 *
 * "latest" is the newest that the catalog knows of in any region that can be
 * reached; where that is behind what is known, or may be behind a region that
 * could not be read, the user is told so.  Without the catalog's knowledge it
 * is the newest of the region that is read.
 */
#ifndef SERVICE_ENGINE_READ_H
#define SERVICE_ENGINE_READ_H

#include "base/attr.h"
#include "base/err.h"
#include "service/operation.h"
#include "storage/repository/repository.h"

struct engine_reading;

/* Settle what --repo, --region and the key options mean; opens nothing. */
int engine_reading_new(const struct operation_call *call,
		       struct engine_reading **ret, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;
void engine_reading_free(struct engine_reading *x);
DEFINE_CLEANUP(struct engine_reading *, engine_reading_free);

/*
 * Open the next region that can be opened; while there are others, one that
 * says nothing is given up soon (STORE_HURRIED), and asked once more, with all
 * patience, when no other is left; with text, that has the snapshot
 * (an id, a prefix, "latest"), too: engine_snapshot().  *ret is the caller's,
 * and *ret_snapshot to be done with, also after -1.  The failure that is told
 * is that of the region asked first.  May be called again, after what was
 * opened turned out to be of no use: ERR_NOT_FOUND when there is no other.
 */
int engine_reading_open(struct engine_reading *x, const char *text,
			struct repository **ret,
			struct repository_snapshot *ret_snapshot, struct err *e)
	NONNULL(1, 3, 5) MUST_CHECK;
/*
 * Tell how far behind the "latest" received then may be: for who found it
 * himself in what was opened last.
 */
void engine_reading_tell_latest(const struct engine_reading *x,
				struct instant received) NONNULL(1);
/*
 * Note why what was opened last is of no use, for what is told next.  Was it
 * ERR_BUSY, it is opened once more when no other is left.
 */
void engine_reading_leave(struct engine_reading *x, const struct err *why)
	NONNULL(1, 2);
/* The name of the region that was opened last, or NULL: --repo is a location.
 */
const char *engine_reading_region(const struct engine_reading *x) NONNULL(1);
/* The name of one that was not tried yet, or NULL. */
const char *engine_reading_other(const struct engine_reading *x) NONNULL(1);
/* {…,"region":"us-east"} of a reply, where --repo is a name. */
void engine_reading_write(const struct engine_reading *x, struct json *j)
	NONNULL(1, 2);

/* All of the above, once: for what needs no second try. */
int engine_read(const struct operation_call *call, struct repository **ret,
		struct err *e) NONNULL(1, 2, 3) MUST_CHECK;

/* What the help of an operation with OPERATION_READS says. */
#define ENGINE_READ_HELP                                                   \
	"With --repo by name and the primary region away, another one is " \
	"read, and a note says so."

#endif

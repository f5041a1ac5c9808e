/*
 * Releases of legal holds that people asked for, and the regions where they
 * came to an end.
 *
 * Who has a writer's key can forge a hold's release in the repository.  So what
 * the store of a region holds is let go of only for releases that the service's
 * audit log has ("hold.release", by whoever is allowed to tell it), also in
 * regions that were away then: until "hold.released" of a region follows, that
 * one still has it.
 */
#ifndef SERVICE_HOLD_RELEASES_H
#define SERVICE_HOLD_RELEASES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/instant.h"
#include "service/catalog.h"
#include "storage/repository/object.h"

struct hold_release {
	struct object_id hold;
	char repository[64];
	char region[64]; /* where it is done; "": it was asked for */
	struct instant at;
};
struct hold_releases {
	struct hold_release *v;
	size_t n;
};
/* All of them. */
int hold_releases_read(struct catalog *c, struct hold_releases *ret,
		       struct err *e) NONNULL(1, 2, 3) MUST_CHECK;
void hold_releases_done(struct hold_releases *x) NONNULL(1);
static inline void cleanup_hold_releases_done(struct hold_releases *x)
{
	hold_releases_done(x);
}
/* Whether somebody asked for that release. */
bool hold_releases_asked(const struct hold_releases *x, const char *repository,
			 struct object_id hold) NONNULL(1, 2);
/*
 * The next one that a region of the repository still has, from *io_at on (from
 * 0); NULL at the end.
 */
const struct hold_release *hold_releases_next(const struct hold_releases *x,
					      const char *repository,
					      const char *region, size_t *io_at)
	NONNULL(1, 2, 3, 4);
size_t hold_releases_pending(const struct hold_releases *x,
			     const char *repository, const char *region)
	NONNULL(1, 2, 3);
/*
 * As many of these as somebody may wait for: not those that were asked for
 * before any version of the Repository declared the region, which never had
 * such a hold.  (A collection may well write them down there all the same.)
 */
int hold_releases_owed(const struct hold_releases *x, struct catalog *c,
		       const char *repository, const char *region, size_t *ret,
		       struct err *e) NONNULL(1, 2, 3, 4, 5, 6) MUST_CHECK;

#endif

/*
 * Repositories by name: what the catalog declares, asked of the daemon.
 *
 * --repo with a '/' or ':' is a location and needs nobody; anything else is a
 * Repository resource, whose primary region and key file the daemon tells.
 * The store is then opened by the caller's own process, with the caller's
 * rights, like every other: the daemon only says where it is.
 */
#ifndef SERVICE_ENGINE_NAMED_H
#define SERVICE_ENGINE_NAMED_H

#include <stdbool.h>

#include "base/attr.h"
#include "base/err.h"
#include "service/operation.h"
#include "service/resource.h"
#include "storage/repository/keyring.h"

/* Whether text is a location (design §10), not a name. */
bool engine_is_location(const char *text) NONNULL(1);

/*
 * The declared resources of a kind, or the one of that name; visited in the
 * daemon's order, borrowed.  ERR_NOT_FOUND, ERR_BUSY when there is no daemon.
 */
typedef int engine_resource(void *arg, const struct resource *r, struct err *e);
int engine_declared(const struct operation_call *call, const char *kind,
		    const char *name, engine_resource *visit, void *arg,
		    struct err *e) NONNULL(1, 2, 4, 6) MUST_CHECK;

/*
 * The Repository that --repo names: 1, for resource_free(), or 0 when it is a
 * location.
 */
int engine_named(const struct operation_call *call, struct resource **ret,
		 struct err *e) NONNULL(1, 2, 3) MUST_CHECK;

/*
 * The key of a repository: what the options name, else the key file that the
 * resource (NULL: none) names, in the keys folder of the settings.
 */
int engine_named_key(const struct operation_call *call,
		     const struct resource *repository,
		     struct keyring_credential **ret, struct err *e)
	NONNULL(1, 3, 4) MUST_CHECK;

#endif

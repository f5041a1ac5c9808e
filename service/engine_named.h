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

#include <jansson.h>
#include <stdbool.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "service/operation.h"
#include "service/resource.h"
#include "storage/repository/keyring.h"

/* Whether text is a location (design §10), not a name. */
bool engine_is_location(const char *text) NONNULL(1);

/*
 * The daemon's reply to an operation; params end with a NULL name, and those
 * whose value is NULL are left out.  ERR_BUSY when there is no daemon.
 */
int engine_ask(const struct operation_call *call, const char *verb,
	       const char *const params[][2], struct buf *reply, struct err *e)
	NONNULL(1, 2, 3, 4, 5) MUST_CHECK;
/* The same, of at most so many bytes, read as JSON: for json_decref(). */
int engine_ask_tree(const struct operation_call *call, const char *verb,
		    const char *const params[][2], size_t most, json_t **ret,
		    struct err *e) NONNULL(1, 2, 3, 5, 6) MUST_CHECK;

/*
 * The declared resources of a kind, or the one of that name; visited in the
 * daemon's order, borrowed.  ERR_NOT_FOUND, ERR_BUSY when there is no daemon.
 */
typedef int engine_resource(void *arg, const struct resource *r, struct err *e);
int engine_declared(const struct operation_call *call, const char *kind,
		    const char *name, engine_resource *visit, void *arg,
		    struct err *e) NONNULL(1, 2, 4, 6) MUST_CHECK;

/* What the daemon knows of a region that is perhaps away. */
struct engine_known {
	struct instant newest; /* complete snapshot there, or 0 */
	int64_t rpo_s;	       /* or 0: there is no target */
	bool late;
	/* What waits there for its lock alone, by the last collection. */
	bool any_locked;
	int64_t locked, bytes_locked;
	struct instant locked_until, collected;
};
/* 1, 0 when it knows nothing of it, -1. */
int engine_known_region(const struct operation_call *call,
			const char *repository, const char *region,
			struct engine_known *ret, struct err *e)
	NONNULL(1, 2, 3, 4, 5) MUST_CHECK;

/*
 * The Repository that --repo names: 1, for resource_free(), or 0 when it is a
 * location.
 */
int engine_named(const struct operation_call *call, struct resource **ret,
		 struct err *e) NONNULL(1, 2, 3) MUST_CHECK;

/*
 * Where text leads, a location or the name of a region of that repository
 * (NULL: there is no name of it): *ret is its region, or NULL for a location.
 */
int engine_named_region(const struct resource *repository, const char *text,
			const struct resource_region **ret,
			const char **ret_url, struct err *e) NONNULL(2, 3, 4, 5)
	MUST_CHECK;

/*
 * The key of a repository: what the options name, else the key file that the
 * resource (NULL: none) names, in the keys folder of the settings.
 */
int engine_named_key(const struct operation_call *call,
		     const struct resource *repository,
		     struct keyring_credential **ret, struct err *e)
	NONNULL(1, 3, 4) MUST_CHECK;

/* What the help of an operation that calls engine_record() says. */
#define ENGINE_RECORD_HELP                                                  \
	"With --repo by name it is written into the audit log at once, in " \
	"the caller's name. With --repo as a location there is no daemon "  \
	"to tell, and the repository alone keeps what it keeps of it."

/* What was done to a repository, for the audit log. */
struct engine_deed {
	const char *action; /* "hold.add" */
	const char *object; /* the id of what it was done to */
	const char *region; /* where, or NULL: in all of the repository */
	const char *reason; /* or NULL */
	struct {
		const char *key, *value; /* left out when the value is NULL */
	} details[3];
	/* Of a hold: what it is on.  The catalog notes each. */
	const struct object_id *snapshots;
	size_t n_snapshots;
};

/*
 * Have the daemon write it down at once, in the caller's name.  With --repo as
 * a location there is no catalog that it belongs to, and nothing is done; the
 * repository's own records tell who did it.  What is done cannot fail any
 * more: when it cannot be written down, the user is told so.
 */
void engine_record(const struct operation_call *call,
		   const struct resource *repository,
		   const struct engine_deed *d) NONNULL(1, 3);

#endif

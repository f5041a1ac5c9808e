/*
 * The hooks of a source, as a run has them done: what quiesces before a
 * snapshot, and thaws after it.
 *
 * They are run by a guardian (guardian.h), so that what is due after a freeze
 * happens once also when the run is killed.  The hooks of one source never run
 * twice at a time: who comes second waits for the first one's guardian, and
 * then, if that one was killed as well, has done what it left undone.
 */
#ifndef SERVICE_HOOKS_H
#define SERVICE_HOOKS_H

#include <stdatomic.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/json.h"
#include "service/resource.h"

struct hooks_settings {
	const struct resource *source; /* with at least one hook */
	const char *folder;	       /* for journals; made when missing */
	int64_t run;
	const atomic_bool *stop;
	/* Becomes the guardian, with its socket and journal as descriptors 3
	 * and 4; NULL: this program's `--guard`. */
	void (*become)(void);
};

struct hooks;

/*
 * Wait for earlier ones, and have a guardian ready; no hook is run yet.
 * ERR_BUSY when earlier ones go on for more than fifteen minutes.
 */
int hooks_open(const struct hooks_settings *settings, struct hooks **ret,
	       struct err *e) NONNULL(1, 2, 3) MUST_CHECK;
/* Run those of "before": -1 when one failed; hooks_after() is still due. */
int hooks_before(struct hooks *h, struct err *e) NONNULL(1, 2) MUST_CHECK;
/*
 * Run what is due of "after", and "always"; once.  It is not interrupted.  -1
 * when one failed.
 */
int hooks_after(struct hooks *h, struct err *e) NONNULL(1, 2) MUST_CHECK;
/* What each of them did so far, as a list. */
void hooks_write(const struct hooks *h, struct json *j) NONNULL(1, 2);
/* Without hooks_after() the guardian does by itself what is due. */
void hooks_close(struct hooks *h);
DEFINE_CLEANUP(struct hooks *, hooks_close);

#endif

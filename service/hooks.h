/*
 * The hooks of a source, as a run has them done: what quiesces before a
 * snapshot, and thaws after it.  The programs that take and remove snapshots
 * of a volume are run like them (volume.h).
 *
 * They are run by a guardian (guardian.h), so that what is due after a freeze
 * happens also when the run is killed: once, and at least once where the
 * guardian is killed as well.  The hooks of one source never run twice at a
 * time: who comes second waits for the first one's guardian.
 */
#ifndef SERVICE_HOOKS_H
#define SERVICE_HOOKS_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/json.h"
#include "service/resource.h"

struct hooks_settings {
	const char *source; /* its name */
	const struct resource_hook *list;
	size_t count;	     /* > 0 */
	int64_t limit_ms;    /* what is due after is done then, in any case */
	const char *folder;  /* for journals; made when missing */
	const char *journal; /* a name in it, and a lock: one at a time */
	/*
	 * What is made before them is there until it is undone: no reboot does
	 * that, and what failed has to be tried again.  The journal, which is
	 * nobody else's then, is kept until it succeeds, and removed after it.
	 * Where the journal is an earlier one's, it is list that is run for it,
	 * or with an empty one what the journal has.
	 */
	bool lasts;
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
 * when one failed, or when it was done before it was asked for.
 */
int hooks_after(struct hooks *h, struct err *e) NONNULL(1, 2) MUST_CHECK;
/* The latter: what was taken is not of one moment. */
bool hooks_were_late(const struct hooks *h) NONNULL(1);
/* Of what lasts: it failed, and stays in the journal to be done later. */
bool hooks_are_kept(const struct hooks *h) NONNULL(1);
/* What each of them did so far, as a list. */
void hooks_write(const struct hooks *h, struct json *j) NONNULL(1, 2);
/* Without hooks_after() the guardian does by itself what is due. */
void hooks_close(struct hooks *h);

/*
 * Do what is still due of a journal that nobody uses: 0 when nothing is any
 * more, or it is in use; -1 when it was tried and failed, and *e says how.
 */
int hooks_settle(const struct hooks_settings *settings, struct err *e)
	NONNULL(1, 2) MUST_CHECK;
/*
 * At the daemon's start, before it has threads: have what killed guardians left
 * undone done by others, and do not wait for them.
 */
void hooks_recover(const char *folder, bool lasts) NONNULL(1);
DEFINE_CLEANUP(struct hooks *, hooks_close);

#endif

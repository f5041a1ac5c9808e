/*
 * A snapshot that somebody's programs take of a volume, for as long as it is
 * read: of LVM, ZFS, a cloud's disk.
 *
 * A provider is three argument vectors, run without a shell.  The snapshot's
 * name, "snapctl-SOURCE-<16 digits>", stands in each for "{}", or where there
 * is none comes last:
 *
 *	create	take it; when this ends with 0, it is there, of one moment
 *	locate	have it to be read, mounted say, and print where: one line, an
 *		absolute path to a folder, or to a device or image
 *	remove	undo both.  It best succeeds when there is none of that name,
 *		too: one that was killed while it began may be none
 *
 * What locate prints is believed only when it is just that, and leads to
 * something of the kind that was asked for, which is not the volume itself, and
 * no empty folder where the volume is none: a mount that failed leaves one.
 *
 * Whatever becomes of the run, remove is called once after create was begun: a
 * guardian does it (guardian.h).  When it fails, or the guardian is killed as
 * well, the name stays written down, and remove is called again before the
 * next snapshot of that source, and at the daemon's start; so it is called
 * again only for what was not removed.  After a create that failed by itself it
 * is called in case there is something, and may fail.  The kernel kills the
 * program when its guardian is killed, though not what that had started: what
 * create leaves to others must not take the snapshot later.
 */
#ifndef SERVICE_VOLUME_H
#define SERVICE_VOLUME_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/json.h"
#include "service/resource.h"

/* That many may be left behind before no more are taken: they cost space. */
#define VOLUME_LEFT_MAX 3

struct volume_settings {
	const char *source; /* its name */
	const struct resource_source *declared;
	const char *state; /* the daemon's folder */
	int64_t run;
	const atomic_bool *stop;
	void (*become)(void); /* see hooks.h */
};

struct volume;

int volume_new(const struct volume_settings *settings, struct volume **ret,
	       struct err *e) NONNULL(1, 2, 3) MUST_CHECK;
/*
 * These three once, in that order; also after -1 volume_remove() is due.
 *
 * Remove what earlier runs left, and have a guardian: so that create, which
 * something may be frozen for, is all that is left to do.
 */
int volume_ready(struct volume *v, struct err *e) NONNULL(1, 2) MUST_CHECK;
int volume_create(struct volume *v, struct err *e) NONNULL(1, 2) MUST_CHECK;
int volume_locate(struct volume *v, struct err *e) NONNULL(1, 2) MUST_CHECK;
/* Once it is located: a folder, device or image. */
const char *volume_place(const struct volume *v) NONNULL(1) RETURNS_NONNULL;
/*
 * Remove it: -1 when it, or an earlier one, stays behind for now.  Once; then
 * nothing.
 */
int volume_remove(struct volume *v, struct err *e) NONNULL(1, 2) MUST_CHECK;
/* What the programs did so far, as a list. */
void volume_write(const struct volume *v, struct json *j) NONNULL(1, 2);
/* Without volume_remove() its guardian removes it.  NULL-safe. */
void volume_free(struct volume *v);

/* Where the name stands in an argument. */
#define VOLUME_HOLE	  "{}"
#define VOLUME_NAME_BYTES (sizeof("snapctl-") + RESOURCE_NAME_MAX + 1 + 16)
/* "snapctl-web-0123456789abcdef" of the source "web", but not of "we". */
bool volume_is_name(const char *name, const char *source) NONNULL(2);
size_t volume_name_length(const char *source) NONNULL(1);
/* Where the names are written down. */
void volume_folder(const char *state, char out[4096]) NONNULL(1, 2);
/*
 * What locate printed, as a path: ERR_USAGE when it is anything but one line
 * with an absolute path without "." and "..".
 */
int volume_parse_place(const char *printed, size_t n, char ret[4096],
		       struct err *e) NONNULL(1, 3, 4) MUST_CHECK;

#endif

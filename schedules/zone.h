/*
 * A time zone: which offset from UTC is in force at which instant.
 *
 * Hides the TZif format (RFC 8536, versions 1 to 4) and the POSIX rule in
 * its footer, which says what happens after the last listed transition, so
 * that an instant in the year 2400 has an offset, too.  The bytes are the
 * caller's: nothing here reads a file or looks at the process's TZ.  They
 * are not trusted: whatever they hold, the answers are some offset between
 * -26 h and +26 h and every loop ends.
 *
 * Everything is in whole seconds: `utc_s` counts since 1970-01-01T00:00:00Z,
 * `local_s` counts the seconds that a clock on the wall would show since it
 * showed 1970-01-01T00:00:00.  At a transition the wall clock jumps.  Where
 * it jumps forwards it leaves out a *gap* of local times, where it jumps
 * backwards it shows the *fold* twice:
 *
 *	Europe/Berlin, 2026-03-29: 01:59:59+01:00 is followed by
 *	03:00:00+02:00; 02:00:00 … 02:59:59 is the gap.
 *	Europe/Berlin, 2026-10-25: 02:59:59+02:00 is followed by
 *	02:00:00+01:00; 02:00:00 … 02:59:59 is the fold, with two passes.
 *
 * A struct zone is immutable and may be shared between threads.  Left out on
 * purpose: names of offsets ("CEST"), whether an offset counts as summer
 * time, leap seconds (such files are refused).
 */
#ifndef SCHEDULES_ZONE_H
#define SCHEDULES_ZONE_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

struct zone;

/* No offset is farther from UTC than this. */
#define ZONE_OFFSET_MAX 93600

/* Larger files are refused; the largest real one has about 4 kB. */
#define ZONE_FILE_MAX (1 << 20)

/*
 * Read the n bytes of a TZif file, which are not needed afterwards.
 * ERR_CORRUPT says what is wrong with them; ERR_USAGE when they count leap
 * seconds (the "right/" files).
 */
int zone_new(const void *bytes, size_t n, struct zone **ret, struct err *e)
	NONNULL(1, 3, 4) MUST_CHECK;
void zone_free(struct zone *z);
DEFINE_CLEANUP(struct zone *, zone_free);

/* UTC, which needs no file: one to own, and one to borrow. */
int zone_new_utc(struct zone **ret, struct err *e) NONNULL(1, 2) MUST_CHECK;
const struct zone *zone_utc(void) RETURNS_NONNULL;

/*
 * A stretch of time with one offset: utc_s in [from, until).  The first
 * starts at INT64_MIN, the last ends at INT64_MAX.  Two neighbours may have
 * the same offset.
 */
struct zone_span {
	int64_t from;
	int64_t until;
	int32_t offset_s;
};

/* The span around an instant.  Any int64 is allowed. */
struct zone_span zone_span(const struct zone *z, int64_t utc_s) NONNULL(1);
int32_t zone_offset_s(const struct zone *z, int64_t utc_s) NONNULL(1);
/* utc_s plus its offset, saturating. */
int64_t zone_to_local(const struct zone *z, int64_t utc_s) NONNULL(1);

/*
 * The high-water mark of the wall clock at the start of a span: the local
 * times below it were shown (or left out in a gap) before sp.from.  When it
 * lies below sp.from + sp.offset_s there is a gap between them, when above,
 * the span starts with a second pass that lasts until it.  INT64_MIN for the
 * first span.
 */
int64_t zone_high_water(const struct zone *z, struct zone_span sp) NONNULL(1);

enum zone_kind { ZONE_ONCE, ZONE_GAP, ZONE_FOLD };

/*
 * When the wall clock shows local_s: the instant (ZONE_ONCE); the first of
 * both (ZONE_FOLD); or, when it never does, the first instant after the gap
 * (ZONE_GAP).
 */
enum zone_kind zone_from_local(const struct zone *z, int64_t local_s,
			       int64_t *ret_utc_s) NONNULL(1, 3);

#endif

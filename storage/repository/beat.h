/*
 * A sign of life: a record in the store whose counter keeps moving, so that
 * collectors can tell who is at work from who has died (FORMAT.md §9, §10).
 *
 * The counter moves every 20 s from a thread of its own.  A collector gives
 * an owner up after its counter stood still for 120 s of the collector's own
 * clock, so five PUTs in a row may fail before anyone doubts us.
 */
#ifndef STORAGE_REPOSITORY_BEAT_H
#define STORAGE_REPOSITORY_BEAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "storage/repository/keys.h"
#include "storage/repository/record.h"
#include "storage/stores/store.h"

struct beat;

/* How long a counter stands still before its owner is given up. */
int64_t beat_lease_ms(void);

/*
 * PUT the record (a session or a pin; its ids are copied) and keep its
 * counter moving.
 */
int beat_start(struct store *s, const struct keys *k, const struct record *r,
	       struct beat **ret, struct err *e) NONNULL(1, 2, 3, 4, 5)
	MUST_CHECK;
/*
 * The same with a pin on the n snapshots: collectors leave alone what they
 * need.  Many (or none) mean all.  1; 0 when it cannot be: who may only read
 * goes on without, and finds what moved through the index; -1 without memory.
 */
int beat_pin(struct store *s, const struct keys *k, enum record_reading reading,
	     const struct object_id *snapshots, size_t n, struct beat **ret,
	     struct err *e) NONNULL(1, 2, 6, 7) MUST_CHECK;
/* The id of the record. */
struct object_id beat_id(const struct beat *b) NONNULL(1);
/*
 * Whether its counter ever stood still for so long that a collector may have
 * given us up, by the boot-time clock.  That the record is there says nothing:
 * one that was removed is there again after the next beat.
 */
bool beat_stood_still(struct beat *b) NONNULL(1) MUST_CHECK;
/*
 * Whoever was given up is no judge of what is lost: what is missing may have
 * been collected meanwhile.  0; -1 with ERR_BUSY when `who` ("the restore")
 * stood still for so long.  b may be NULL: there is nobody to be given up.
 */
int beat_judge(struct beat *b, const char *who, struct err *e) NONNULL(2, 3)
	MUST_CHECK;
/* Stop and remove the record.  NULL-safe; cannot fail: what stays is dead. */
void beat_stop(struct beat *b);
DEFINE_CLEANUP(struct beat *, beat_stop);

#endif

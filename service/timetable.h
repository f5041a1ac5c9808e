/*
 * All schedules and drills of the catalog, and the maintenance of repositories,
 * ready for schedules/plan.h.
 *
 * Hidden here: how a resource becomes a struct plan_schedule, its zone, its
 * sources, the limits of its repository.  A timetable is loaded whole and
 * replaced whole; entries keep what the scheduler remembers between ticks,
 * which timetable_load() carries over from the old one by uid.
 *
 * A resource that cannot be read any more (a zone that tzdata dropped) stays
 * in the list with its problem, so that it can be reported; it is not due.
 */
#ifndef SERVICE_TIMETABLE_H
#define SERVICE_TIMETABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "schedules/plan.h"
#include "service/catalog.h"
#include "service/resource.h"

struct timetable_entry {
	struct resource *resource; /* NULL when it cannot be read */
	/* "Schedule", "Drill"; "Maintenance" of the Repository it names. */
	const char *kind;
	char name[RESOURCE_NAME_MAX + 1];
	char uid[33];
	int64_t version;
	struct instant created, changed;
	struct zone *zone;
	struct plan_blackout *blackouts;
	struct plan_schedule plan;
	char repository[RESOURCE_NAME_MAX + 1];
	unsigned int repository_max; /* runs at once; 0: no limit */
	char *sources_json;	     /* ["web-config"] */
	int64_t rpo_ms;
	char problem[256]; /* why it is never due, or "" */

	int64_t accounted_s; /* of the ledger; INT64_MIN: not read yet */
	bool settled;	     /* and the version before had its account */
	int64_t wake_s;	     /* nothing to do before this */
	bool waits;	     /* … but the end of any run may make room */
};

/* Entries by two texts, sorted; the texts are those of the entries. */
struct timetable_key {
	const char *a, *b;
	size_t entry;
};
struct timetable_index {
	struct timetable_key *keys;
	size_t count;
};

struct timetable {
	struct timetable_entry *entries;
	size_t count;

	struct timetable_index by_uid, by_name, by_selector; /* private */
};

/*
 * Read the catalog.  A drill takes repository and sources from its schedule.
 * old (or NULL) lends what was remembered; it stays valid.
 */
int timetable_load(struct catalog *c, const struct timetable *old,
		   struct timetable **ret, struct err *e) NONNULL(1, 3, 4)
	MUST_CHECK;
void timetable_free(struct timetable *t);
DEFINE_CLEANUP(struct timetable *, timetable_free);

/* The entry with this uid or name (and kind), or NULL. */
struct timetable_entry *timetable_find(const struct timetable *t,
				       const char *uid) NONNULL(1, 2);
struct timetable_entry *timetable_named(const struct timetable *t,
					const char *kind, const char *name)
	NONNULL(1, 2, 3);

/*
 * The schedules that take a source, in the order of the timetable: the first
 * one behind after (NULL: of all), or NULL.  Only those are looked at that
 * name the source or want one of its labels.
 */
const struct timetable_entry *
timetable_taker(const struct timetable *t, const struct resource *source,
		const struct timetable_entry *after) NONNULL(1, 2);

/*
 * One entry as an earlier version had it, for its last account: 1, 0 when
 * that version is not known or cannot be read.
 */
int timetable_old_version(struct catalog *c,
			  const struct timetable_entry *entry, int64_t version,
			  struct timetable_entry *ret, struct err *e)
	NONNULL(1, 2, 4, 5) MUST_CHECK;
void timetable_entry_done(struct timetable_entry *entry) NONNULL(1);

#endif

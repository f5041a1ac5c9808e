/*
 * What a region would let go of as soon as it had it, by the rules that are
 * asked there (retain_rules_is_asked()), and so need not get: of what others
 * have and it has not deleted, as when another region asks what it would keep.
 * What is waited for is never among it, nor what nobody judges: ad hoc
 * snapshots, and those of sources that nobody declares.
 *
 * Who knows the rules is another matter: a run and the daemon read them in the
 * catalog (retain.h), a command asks the daemon (engine_rules.h).
 */
#ifndef SERVICE_UNWANTED_H
#define SERVICE_UNWANTED_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/instant.h"
#include "schedules/retention.h"
#include "service/arena.h"
#include "storage/repository/object.h"
#include "storage/repository/repository.h"

struct retain_rule_sets;

struct unwanted_item {
	struct object_id id;
	const char *source;
	struct retention_snapshot s;
	bool is_lacking; /* the region has not got it */
	bool is_kept;	 /* by its rules; or it is held */
};

struct unwanted {
	struct arena arena;
	struct unwanted_item *v;
	size_t n, room;
};

void unwanted_init(struct unwanted *u) NONNULL(1);
void unwanted_done(struct unwanted *u) NONNULL(1);
static inline void cleanup_unwanted_done(struct unwanted *u)
{
	unwanted_done(u);
}

/* A replicate_visit (arg: the struct), once for each region that has any. */
int unwanted_see(void *arg, const struct repository_snapshot *s,
		 unsigned int where, struct err *e) NONNULL(1, 2, 4);
/* The same of what is only known; texts and tags are copied. */
int unwanted_add(struct unwanted *u, const struct unwanted_item *item,
		 struct err *e) NONNULL(1, 2, 3) MUST_CHECK;

/*
 * The rules of a source in the region, borrowed until the next call: 1; 0
 * when nobody declares it; -1.  Asked only about sources that it lacks.
 */
typedef int unwanted_rules(void *arg, const char *source,
			   const struct retain_rule_sets **ret, struct err *e);
int unwanted_judge(struct unwanted *u, unwanted_rules *rules, void *arg,
		   struct instant now, struct err *e) NONNULL(1, 2, 5)
	MUST_CHECK;

/* Once they are judged, in ascending order; the caller frees it. */
int unwanted_ids(const struct unwanted *u, struct object_id **ret,
		 size_t *ret_n, struct err *e) NONNULL(1, 2, 3, 4) MUST_CHECK;
/* Whether it is among them. */
bool unwanted_has(const struct object_id *v, size_t n, struct object_id id);

#endif

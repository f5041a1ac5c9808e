/*
 * What the parts of `status` share.
 */
#ifndef SERVICE_OP_STATUS_INTERNAL_H
#define SERVICE_OP_STATUS_INTERNAL_H

#include "base/attr.h"
#include "base/json.h"
#include "service/catalog.h"
#include "service/op.h"
#include "service/timetable.h"

/*
 * So many occurrences in a row that found a run of an earlier one mean that it
 * hangs, or that the timetable cannot be kept.  Of so many endings one that
 * was not skipped is looked for.
 */
enum { OVERLAPS = 2, ENDINGS_MAX = 50 };

/* How far a region is behind, of the source that is furthest: its schedules
 * say what it is measured by. */
struct status_lag {
	const char *repository, *region;
	struct instant oldest; /* the newest copy there of that source, or 0 */
	int64_t rpo_ms;	       /* the tightest; 0: none */
	bool late;
};

struct status {
	struct operation_call *call;
	struct timetable *timetable;
	struct catalog_clock clock; /* zeros: none was seen yet */
	struct instant timetable_now;
	struct buf problems_text, held_back_text;
	struct json problems, held_back;
	size_t problem_count;
	size_t sources;
	size_t unprotected;
	size_t waiting; /* for their first run */
	size_t troubled;
	struct instant last_success;
	struct instant next;
	struct status_lag *lags; /* of the regions that schedules write to */
	size_t n_lags;
};

void op_status_moment(struct json *j, const char *key, struct instant t)
	NONNULL(1, 2);
/* Something that is not well, and what helps (or NULL). */
void op_status_problem(struct status *s, const char *message, const char *hint)
	NONNULL(1, 2);

/* How its newest finished occurrence ended, if possible one not skipped. */
struct ending {
	bool any;
	unsigned int overlaps; /* skipped since then because of a run */
	enum catalog_occurrence_state state;
	struct instant at;
	char reason[200];
	/* What somebody asked for and none since then has made good, or 0. */
	int64_t by_hand;
	enum catalog_run_state by_hand_state;
	char by_hand_message[200];
};

/* In op_status_lag.c: a source's newest copies, region by region. */
struct copies {
	struct instant newest; /* anywhere, or 0 */
	struct instant oldest; /* of the regions that are to have it, or 0 */
};
/* Alarms for each region that is beyond the target, also when no run ever came
 * to tell: it is asked now. */
int op_status_copies(struct status *s, const struct timetable_entry *entry,
		     const char *source, struct copies *ret, struct err *e)
	NONNULL(1, 2, 3, 4, 5) MUST_CHECK;
/* What they came to for a region; NULL: no schedule writes there. */
const struct status_lag *op_status_lag(const struct status *s,
				       const char *repository,
				       const char *region) NONNULL(1, 2, 3);

/* In op_status_region.c: the regions, with what keeps their space. */
int op_status_regions(struct status *s, struct err *e) NONNULL(1, 2) MUST_CHECK;
/* How collecting garbage in a repository went, where no region tells. */
int op_status_maintenance(struct status *s, const struct timetable_entry *entry,
			  const struct ending *end, struct err *e)
	NONNULL(1, 2, 3, 4) MUST_CHECK;

#endif

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
};

void op_status_moment(struct json *j, const char *key, struct instant t)
	NONNULL(1, 2);
/* Something that is not well, and what helps (or NULL). */
void op_status_problem(struct status *s, const char *message, const char *hint)
	NONNULL(1, 2);

/* In op_status_region.c. */
int op_status_regions(struct status *s, struct err *e) NONNULL(1, 2) MUST_CHECK;

#endif

/* The steps of each kind of run, in their order. */
#include <stdlib.h>
#include <string.h>

#include "service/step.h"

#ifdef SNAPCTL_TEST_HOOKS
static const struct run_step rehearsal[] = {
	{ "rehearse", .for_each_source = true, .essential = true,
	  .act = step_rehearse },
};
/* Of a run that works on no source. */
static const struct run_step rehearsal_of_none[] = {
	{ "rehearse", .essential = true, .act = step_rehearse },
};
#endif

static const struct run_step schedule[] = {
	{ "snapshot", .for_each_source = true, .essential = true,
	  .act = step_snapshot },
	{ "replicate", .act = step_replicate },
	{ "verify", .in_any_case = true, .act = step_verify },
	{ "retain", .act = step_retain },
	{ "report", .act = step_report },
};

/* As a whole: its sources are restored together, as on a new machine. */
static const struct run_step drill[] = {
	{ "drill", .essential = true, .act = step_drill },
};

/* Of a repository; the report takes along what was deleted for good. */
static const struct run_step maintenance[] = {
	{ "gc", .essential = true, .act = step_gc },
	{ "report", .act = step_report },
};

static const struct {
	const char *kind;
	const struct run_step *steps;
	size_t n;
} kinds[] = {
	{ "Schedule", schedule, sizeof(schedule) / sizeof(schedule[0]) },
	{ "Drill", drill, sizeof(drill) / sizeof(drill[0]) },
	{ "Maintenance", maintenance,
	  sizeof(maintenance) / sizeof(maintenance[0]) },
};

const struct run_step *run_steps(const char *kind, size_t *ret_n)
{
#ifdef SNAPCTL_TEST_HOOKS
	/* Most tests have none of it; its words are its own. */
	if (strcmp(kind, "Maintenance") == 0 &&
	    getenv("SNAPCTL_TEST_COLLECT")) {
		*ret_n = sizeof(rehearsal_of_none) /
			 sizeof(rehearsal_of_none[0]);
		return rehearsal_of_none;
	}
	if (getenv("SNAPCTL_TEST_RUN") && strcmp(kind, "Maintenance") != 0) {
		*ret_n = sizeof(rehearsal) / sizeof(rehearsal[0]);
		return rehearsal;
	}
#endif
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kinds[i].kind, kind) == 0) {
			*ret_n = kinds[i].n;
			return kinds[i].steps;
		}
	*ret_n = 0;
	return NULL;
}

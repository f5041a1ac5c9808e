/*
 * What the parts of the scheduler share.
 */
#ifndef SERVICE_SCHEDULER_INTERNAL_H
#define SERVICE_SCHEDULER_INTERNAL_H

#include "service/scheduler.h"
#include "service/timetable.h"

struct scheduler {
	struct scheduler_settings settings;
	struct timetable *timetable;
	bool stale;	  /* read the resources again */
	int64_t read_ms;  /* boot time of the last reading */
	size_t rows_left; /* to be written in this tick */

	/* See scheduler_clock.c. */
	struct plan_clocks believed; /* boot_id 0: nothing yet */
	char believed_in[40];	     /* the boot of it */
	bool in_doubt;
	int64_t put_ms; /* boot time at which it was stored */
};

/*
 * Compare the clocks; the time it is for the timetable.  From then on
 * scheduler_clock_now() says it without looking into the catalog.
 */
int scheduler_clock_look(struct scheduler *s, struct instant wall,
			 int64_t boot_ms, struct instant *ret_now,
			 struct err *e) NONNULL(1, 4, 5) MUST_CHECK;
struct instant scheduler_clock_now(const struct scheduler *s,
				   struct instant wall, int64_t boot_ms)
	NONNULL(1);

/* Read the resources, when they changed or a while has passed. */
int scheduler_read_resources(struct scheduler *s, struct instant now,
			     int64_t boot_ms, struct err *e) NONNULL(1, 4)
	MUST_CHECK;

/* Something that may start now. */
struct scheduler_start {
	struct timetable_entry *entry; /* or NULL */
	int64_t occurrence;	       /* 0: somebody asked for it */
	int64_t run;		       /* that is queued, or 0 */
	int64_t start_s;	       /* since when it may */
};
struct scheduler_starts {
	struct scheduler_start *v; /* for free() */
	size_t n, room;
};
int scheduler_start_add(struct scheduler_starts *starts,
			const struct scheduler_start *start, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;
/* Add "run start"s: no occurrences, but the same limits. */
int scheduler_start_asked(struct scheduler *s, struct scheduler_starts *starts,
			  struct instant now, struct err *e) NONNULL(1, 2, 4)
	MUST_CHECK;
/*
 * Claim and start what there is room for, the earliest first.  Entries
 * without room get .waits; the end of any run wakes them.
 */
int scheduler_start_all(struct scheduler *s, struct scheduler_starts *starts,
			struct instant now, struct err *e) NONNULL(1, 2, 4)
	MUST_CHECK;

/* A run's row, copied out of a visitor. */
struct scheduler_run {
	int64_t id, occurrence, attempt, pid, pid_start;
	int64_t at_s;
	enum catalog_run_state state;
	struct instant not_before;
	bool cancel_asked;
	char schedule_uid[33];
	char kind[16];
	char boot_id[40];
};
/* A visitor; arg is the struct. */
int scheduler_copy_run(void *arg, const struct catalog_run *r, struct err *e);

/* How a run ended, as its process told or as it can be seen. */
struct scheduler_verdict {
	enum catalog_run_state state;
	char message[400];
};
/* Close the run: end its occurrence, or queue the next attempt. */
int scheduler_close_run(struct scheduler *s, const struct scheduler_run *run,
			const struct scheduler_verdict *verdict,
			struct instant now, struct err *e) NONNULL(1, 2, 3, 5)
	MUST_CHECK;

#endif

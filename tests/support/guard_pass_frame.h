/* Passes over a region whose store guards: run, or asked. */
#ifndef TESTS_SUPPORT_GUARD_PASS_FRAME_H
#define TESTS_SUPPORT_GUARD_PASS_FRAME_H

#include "storage/repository/guards.h"
#include "tests/support/guard_frame.h"

static struct gc_frame frame;
static struct gc_frame *const g = &frame;
static struct guards_result pass; /* what the last one found */

static inline int run_with(bool release)
{
	const struct guards_options o = { .now = g->now, .release = release };

	err_clear(&g->e);
	return guards_run(g->f.r, &o, &pass, &g->e);
}

static inline void run(void)
{
	gc_reopen(g);
	gc_ok(run_with(false));
	ck_assert(pass.can);
}

static inline uint64_t ask(void)
{
	const struct guards_options o = { .now = g->now, .ask = true };
	const size_t records = gc_objects(g, "guards/");

	gc_reopen(g);
	gc_ok(guards_run(g->f.r, &o, &pass, &g->e));
	ck_assert_uint_eq(pass.lengthened + pass.held + pass.released, 0);
	ck_assert_uint_eq(gc_objects(g, "guards/"), records);
	return pass.too_short;
}

static inline void lock_for(size_t i, int64_t ms)
{
	CLEANUP(repository_snapshot_done)
	struct repository_snapshot s = gc_look(g, i);

	gc_ok(deletion_lock(g->f.r, &s, instant_add_ms(g->now, ms), "me",
			    g->now, &g->e));
}

static inline struct object_id hold_one(size_t i)
{
	const struct deletion_hold h = { .snapshots = &g->ids[i],
					 .n_snapshots = 1,
					 .case_name = "case",
					 .custodian = "who",
					 .by = "me",
					 .now = g->now };
	struct object_id id;

	gc_ok(deletion_hold(g->f.r, &h, &id, &g->e));
	return id;
}

#endif

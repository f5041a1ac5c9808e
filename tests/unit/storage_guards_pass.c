/* Guarding a whole region ahead of need, and holding in it what is held. */
#include <errno.h>

#include "storage/replicate.h"
#include "storage/repository/guards_internal.h"
#include "storage/repository/seal.h"
#include "tests/support/guard_pass_frame.h"

/* As where a key may lock, and not hold. */
static bool no_holds;

int __real_store_hold(struct store *s, const char *name, bool held,
		      struct err *e);
int __wrap_store_hold(struct store *s, const char *name, bool held,
		      struct err *e);
int __wrap_store_hold(struct store *s, const char *name, bool held,
		      struct err *e)
{
	if (no_holds && held)
		return err_set(e, ERR_DENIED, "no holds");
	return __real_store_hold(s, name, held, e);
}

static void set_up(void)
{
	no_holds = false;
	guard_frame_init(g, "mem:guard-pass");
	gc_file(g, "kept");
}

static void tear_down(void)
{
	gc_frame_done(g);
}

static int see_known(void *arg, const struct store_entry *entry, struct err *e)
{
	const struct store_guard is = guard_of(g, entry->name);
	struct guards *known = arg;
	struct object_id first;
	struct object_id id = { { 0 } };

	(void)e;
	/* Of a snapshot by its id, all else by its own. */
	if (object_name_parse(OBJECT_MANIFEST, entry->name, &first, &id))
		id = first;
	else
		ck_assert(object_name_parse(OBJECT_DATA_PACK, entry->name,
					    &first, &id) ||
			  object_name_parse(OBJECT_META_PACK, entry->name,
					    &first, &id) ||
			  object_name_parse(OBJECT_INDEX, entry->name, &first,
					    &id));
	ck_assert_int_le(instant_compare(guards_until(known, id), is.until), 0);
	ck_assert(is.held || !guards_is_held(known, id));
	return 0;
}

/* No record says more of an object than its store does. */
static void expect_true_records(void)
{
	static const char *const folders[] = { "data/", "meta/", "index/",
					       "snapshots/" };
	CLEANUP(guards_free) struct guards *known = NULL;

	gc_ok(guards_read(gc_store(g), repository_keys(g->f.r), &known, &g->e));
	for (size_t i = 0; i < 4; i++)
		gc_ok(store_list(gc_store(g), folders[i], see_known, known,
				 &g->e));
}

START_TEST(where_nothing_can_be_guarded_nothing_is_tried)
{
	gc_frame_done(g);
	guard_frame_init(g, "mem:unguarded-pass");
	gc_file(g, "kept");
	(void)guard_take_for(g, 0);
	lock_for(0, GUARD_LOCK_MS);
	gc_reopen(g);
	gc_ok(run_with(false));
	ck_assert(!pass.can);
	ck_assert_uint_eq(pass.snapshots, 0);
	ck_assert_uint_eq(fault_calls(gc_store(g), FAULT_GUARD), 0);
}
END_TEST

START_TEST(where_nothing_is_locked_nothing_is_done)
{
	(void)guard_take_for(g, 0);
	run();
	ck_assert_uint_eq(pass.snapshots, 0);
	ck_assert_uint_eq(fault_calls(gc_store(g), FAULT_GUARD), 0);
	ck_assert_uint_eq(gc_objects(g, "guards/"), 0);
}
END_TEST

/* As after the loss of all records, or a region that could not guard before. */
START_TEST(what_is_locked_is_guarded_ahead_of_need)
{
	const struct instant ahead = instant_add_ms(g->now,
						    GUARD_LOCK_MS + GC_DAY_MS);

	(void)guard_take_for(g, 0);
	lock_for(0, GUARD_LOCK_MS);
	ck_assert_uint_gt(guard_short(g, 0, guard_locked_until(g, 0), false),
			  2);
	run();
	ck_assert_uint_eq(pass.snapshots, 1);
	ck_assert_uint_gt(pass.objects, 4);
	ck_assert_uint_gt(pass.lengthened, 4);
	ck_assert_uint_eq(guard_short(g, 0, ahead, false), 0);
	/* Once is enough. */
	run();
	ck_assert_uint_eq(pass.lengthened, 0);
	ck_assert_uint_eq(fault_calls(gc_store(g), FAULT_GUARD), 0);
}
END_TEST

/* The older one is not guarded ahead of need, and records are rounded. */
START_TEST(what_is_guarded_for_as_long_as_needed_is_not_asked_for_again)
{
	gc_file(g, "gone");
	(void)guard_take_for(g, 0);
	gc_unfile(g, "gone");
	gc_file(g, "new");
	(void)guard_take_for(g, 0);
	lock_for(0, GUARD_LOCK_MS);
	lock_for(1, GUARD_LOCK_MS / 2);
	run();
	ck_assert_uint_gt(pass.lengthened, 4);
	run();
	ck_assert_uint_eq(pass.lengthened, 0);
	guard_expect(g, 0);
	guard_expect(g, 1);
}
END_TEST

START_TEST(a_snapshot_after_it_lengthens_nothing)
{
	struct snapshot_result r;

	(void)guard_take_for(g, 0);
	lock_for(0, GUARD_LOCK_MS);
	run();
	guard_later(g, GC_DAY_MS / 2);
	r = guard_take(g);
	ck_assert_uint_eq(r.guarding.lengthened, 0);
	ck_assert_int_eq(r.guarding.why.code, ERR_NONE);
	guard_expect(g, 1);
}
END_TEST

/* Two sources of need: the older snapshot is locked for longer. */
START_TEST(each_pack_is_guarded_as_who_needs_it_longest)
{
	struct object_name first;

	gc_file(g, "gone");
	gc_file(g, "gone too");
	(void)guard_take_for(g, 0);
	first = gc_last(g, "data/");
	gc_unfile(g, "gone");
	gc_unfile(g, "gone too");
	gc_file(g, "new");
	(void)guard_take_for(g, 0);
	lock_for(0, 100 * GC_DAY_MS);
	lock_for(1, GUARD_LOCK_MS);
	run();
	expect_true_records();
	guard_expect(g, 0);
	guard_expect(g, 1);
	ck_assert_int_ge(
		instant_compare(guard_of(g, first.s).until,
				instant_add_ms(g->now, 100 * GC_DAY_MS)),
		0);
	/* Nothing else: the pack of what is new goes when it may. */
	guard_later(g, 40 * GC_DAY_MS);
	gc_erase(g, 1);
	gc_collect(g, 0);
	ck_assert_uint_eq(g->result.snapshots, 1);
	ck_assert_uint_gt(g->result.deleted, 0);
	gc_expect(g, 0);
}
END_TEST

/* The other way about: what they share is needed for as long as that. */
START_TEST(what_is_shared_is_guarded_as_who_needs_it_longest)
{
	(void)guard_take_for(g, 0);
	gc_file(g, "new");
	(void)guard_take_for(g, 0);
	lock_for(0, GUARD_LOCK_MS);
	lock_for(1, 100 * GC_DAY_MS);
	run();
	expect_true_records();
	guard_expect(g, 0);
	guard_expect(g, 1);
	ck_assert_uint_eq(ask(), 0);
}
END_TEST

START_TEST(what_nobody_locked_needs_is_left_alone)
{
	struct object_name first;

	gc_file(g, "gone");
	(void)guard_take_for(g, 0);
	first = gc_last(g, "data/");
	gc_unfile(g, "gone");
	gc_file(g, "kept");
	(void)guard_take_for(g, 0);
	lock_for(1, GUARD_LOCK_MS);
	run();
	ck_assert_int_eq(guard_of(g, first.s).until.sec, 0);
	guard_expect(g, 1);
	ck_assert_uint_eq(ask(), 0);
}
END_TEST

/* Nobody can undo a guard. */
START_TEST(a_lock_that_no_policy_may_ask_for_is_guarded_within_bounds)
{
	struct instant until;

	(void)guard_take_for(g, 0);
	lock_for(0, 40000 * GC_DAY_MS);
	run();
	until = guard_of(g, gc_last(g, "data/").s).until;
	ck_assert_int_ge(instant_ms_between(g->now, until), GUARDS_LOCK_MAX_MS);
	ck_assert_int_le(instant_ms_between(g->now, until),
			 GUARDS_LOCK_MAX_MS + 31 * GC_DAY_MS);
	ck_assert_uint_eq(ask(), 0);
	/* The bound does not go with the days. */
	guard_later(g, 10 * GC_DAY_MS);
	run();
	ck_assert_uint_eq(pass.lengthened, 0);
}
END_TEST

START_TEST(records_become_few)
{
	for (int i = 0; i < 20; i++) {
		gc_file(g, "changing");
		(void)guard_take(g);
		guard_later(g, GC_DAY_MS / 4);
	}
	ck_assert_uint_gt(gc_objects(g, "guards/"), 22);
	run();
	ck_assert_uint_le(gc_objects(g, "guards/"), 22);
	for (int i = 0; i < 4; i++)
		run();
	ck_assert_uint_le(gc_objects(g, "guards/"), 22);
	for (size_t i = 0; i < g->n; i++)
		guard_expect(g, i);
	/* When all is over none is left. */
	guard_later(g, 20 * GC_DAY_MS);
	run();
	ck_assert_uint_eq(gc_objects(g, "guards/"), 0);
}
END_TEST

/* Of what fails in the middle the next pass does the rest. */
START_TEST(a_pass_that_is_killed_anywhere_is_finished_by_the_next)
{
	uint64_t n = 0;
	int failed;

	gc_file(g, "gone");
	(void)guard_take_for(g, 0);
	gc_unfile(g, "gone");
	(void)guard_take_for(g, 0);
	lock_for(0, GUARD_LOCK_MS);
	lock_for(1, GUARD_LOCK_MS);
	(void)hold_one(0);
	do {
		const struct fault f = { .call = FAULT_ANY,
					 .action = n % 2 ? FAULT_FAIL
							 : FAULT_FAIL_AFTER,
					 .nth = n + 1,
					 .everyone = true };

		gc_reopen(g);
		fault_add(gc_store(g), &f);
		failed = run_with(false);
		ck_assert_uint_lt(n, 1000);
		/* Each may leave one more record to be read. */
		n += 3;
	} while (failed);
	ck_assert_uint_gt(n, 20);
	fault_clear(gc_store(g));
	run();
	ck_assert_uint_eq(guard_short(g, 0, guard_locked_until(g, 0), true), 0);
	guard_expect(g, 1);
	gc_expect_sound(g);
}
END_TEST

/* What is there of it, at least. */
START_TEST(what_is_missing_keeps_nothing_from_being_guarded)
{
	gc_file(g, "other");
	(void)guard_take_for(g, 0);
	lock_for(0, GUARD_LOCK_MS);
	gc_ok(store_remove(gc_store(g), gc_last(g, "data/").s, &g->e));
	run();
	ck_assert_int_gt(guard_of(g, gc_last(g, "meta/").s).until.sec, 0);
	ck_assert_int_gt(guard_of(g, gc_last(g, "snapshots/").s).until.sec, 0);
	ck_assert_uint_eq(ask(), 0); /* that it is missing is told by a check */
}
END_TEST

/* ---- Locks that name no session of a manifest that is there ------------- */

static void lock_of_another(struct repository *r, size_t i, bool here,
			    int64_t ms)
{
	struct record l;

	record_init(&l, OBJECT_LOCK);
	l.id = record_lock_id(g->ids[i], here);
	l.snapshot = g->ids[i];
	l.session = object_id_new();
	l.time = g->now;
	l.until = instant_add_ms(g->now, ms);
	gc_ok(record_put(repository_store(r), repository_keys(r), &l, 0,
			 &g->e));
	record_done(&l);
}

static int count_here(void *arg, const struct store_entry *entry, struct err *e)
{
	size_t *here = arg;

	(void)e;
	*here += record_lock_is_here(entry->name);
	return 0;
}

static size_t locks_here(void)
{
	size_t here = 0;

	gc_ok(store_list(gc_store(g), "locks/", count_here, &here, &g->e));
	return here;
}

/* A lock of this region alone is put in place of one of this region alone. */
START_TEST(a_lock_that_is_lacking_goes_as_far_as_the_one_that_is_there)
{
	for (size_t i = 0; i < 2; i++) {
		(void)guard_take_for(g, 0);
		lock_of_another(g->f.r, i, i, GUARD_LOCK_MS);
	}
	run();
	ck_assert_uint_eq(gc_objects(g, "locks/"), 4);
	ck_assert_uint_eq(locks_here(), 2);
	guard_expect(g, 0);
	guard_expect(g, 1);
	run(); /* each names its session now */
	ck_assert_uint_eq(gc_objects(g, "locks/"), 4);
}
END_TEST

/* As long as the longer of the two: others were told of the shorter one. */
START_TEST(where_one_of_both_kinds_is_longer_no_other_region_hears_of_it)
{
	(void)guard_take_for(g, 0);
	lock_of_another(g->f.r, 0, false, GUARD_LOCK_MS / 2);
	lock_of_another(g->f.r, 0, true, GUARD_LOCK_MS);
	run();
	ck_assert_uint_eq(gc_objects(g, "locks/"), 3);
	ck_assert_uint_eq(locks_here(), 2);
	guard_expect(g, 0);
}
END_TEST

/* A region of the same repository. */
static struct repository *add_region(const char *url)
{
	struct repository *r;
	struct store *s;

	gc_ok(store_open(url, true, &s, &g->e));
	gc_ok(replicate_settle(gc_store(g), s, g->f.credential, &g->e));
	gc_ok(repository_open_on(s, g->f.credential, &r, &g->e));
	return r;
}

/* It protects all the same, and nobody would be served by a failure. */
START_TEST(a_lock_that_is_copied_and_cannot_be_guarded_ends_no_copying)
{
	const struct fault f = { .call = FAULT_GUARD,
				 .action = FAULT_FAIL,
				 .prefix = "locks/",
				 .code = ERR_BUSY };
	const struct replicate_options o = { .host = "h" };
	CLEANUP(repository_close) struct repository *other = NULL;
	struct replicate_result r;

	(void)guard_take(g);
	other = add_region("mem:guard-copies");
	for (int i = 0; i < 2; i++) /* with the lock of the copy */
		gc_ok(replicate_run(g->f.r, other, &o, &r, &g->e));
	run();
	for (int back = 0; back < 2; back++) {
		const size_t locks = gc_objects(g, "locks/");

		lock_of_another(other, 0, false, GC_DAY_MS);
		lock_of_another(other, 0, false, GC_DAY_MS);
		gc_reopen(g);
		fault_add(gc_store(g), &f);
		gc_ok(back ? replicate_run(g->f.r, other, &o, &r, &g->e)
			   : replicate_run(other, g->f.r, &o, &r, &g->e));
		ck_assert_uint_eq(gc_objects(g, "locks/"), locks + 2);
		/* Who checks is told, and the next pass guards it. */
		ck_assert_uint_eq(ask(), 2);
		run();
		ck_assert_uint_eq(ask(), 0);
	}
	store_mem_forget("mem:guard-copies");
}
END_TEST

/* ---- Holds -------------------------------------------------------------- */

START_TEST(a_hold_holds_all_that_its_snapshot_needs)
{
	struct object_id hold;

	(void)guard_take_for(g, 0);
	hold = hold_one(0);
	run();
	ck_assert_uint_gt(pass.held, 4);
	ck_assert(guard_of(g, gc_last(g, "holds/").s).held);
	ck_assert(guard_of(g, gc_last(g, "data/").s).held);
	ck_assert(guard_of(g, gc_last(g, "meta/").s).held);
	/* Lengthened again and again instead, so that what is merged goes. */
	ck_assert(!guard_of(g, gc_last(g, "index/").s).held);
	ck_assert_int_ge(
		instant_ms_between(g->now,
				   guard_of(g, gc_last(g, "index/").s).until),
		29 * GC_DAY_MS);
	ck_assert(guard_of(g, gc_last(g, "snapshots/").s).held);
	ck_assert(guard_of(g, gc_last(g, "receipts/").s).held);
	/* Known, and so not asked for again, but for the few hold records. */
	run();
	ck_assert_uint_le(pass.held, 1);
	gc_ok(deletion_release(g->f.r, hold, "me", g->now, &g->e));
	/* A daemon lets go of nothing: a record is soon forged. */
	run();
	ck_assert(guard_of(g, gc_last(g, "data/").s).held);
	gc_reopen(g);
	gc_ok(run_with(true));
	ck_assert_uint_gt(pass.released, 4);
	ck_assert(!guard_of(g, gc_last(g, "holds/").s).held);
	ck_assert(!guard_of(g, gc_last(g, "data/").s).held);
	ck_assert(!guard_of(g, gc_last(g, "index/").s).held);
	ck_assert(!guard_of(g, gc_last(g, "snapshots/").s).held);
	ck_assert(!guard_of(g, gc_last(g, "receipts/").s).held);
	gc_erase(g, 0);
	gc_collect(g, 0);
	ck_assert_uint_eq(gc_packs(g), 0);
}
END_TEST

START_TEST(a_release_keeps_what_another_hold_needs)
{
	struct object_id first;

	(void)guard_take_for(g, 0);
	gc_file(g, "new");
	(void)guard_take_for(g, 0);
	first = hold_one(0);
	(void)hold_one(1);
	run();
	gc_ok(deletion_release(g->f.r, first, "me", g->now, &g->e));
	gc_reopen(g);
	gc_ok(run_with(true));
	ck_assert_uint_gt(pass.released, 0);
	ck_assert_uint_eq(guard_short(g, 1, (struct instant){ 0, 0 }, true), 0);
}
END_TEST

/* ---- The catalog's segments --------------------------------------------- */

static struct object_name put_segment(uint64_t n)
{
	const struct object_name name = object_name_segment(n, object_id_new());

	gc_ok(seal_box_put(gc_store(g), repository_keys(g->f.r), OBJECT_SEGMENT,
			   name.s, "{}\n", 3, 0, &g->e));
	return name;
}

START_TEST(what_the_catalog_told_is_guarded_once_as_the_longest_lock)
{
	struct object_name old;
	struct instant until;

	(void)guard_take_for(g, 0);
	old = put_segment(1);
	run();
	ck_assert_int_eq(guard_of(g, old.s).until.sec, 0);
	lock_for(0, GUARD_LOCK_MS);
	gc_reopen(g);
	run();
	until = guard_of(g, old.s).until;
	ck_assert_int_ge(instant_ms_between(g->now, until), GUARD_LOCK_MS);
	run();
	ck_assert_uint_eq(pass.lengthened, 0);
	/* Its time is over: what came since told of the others. */
	for (int i = 0; i < 4; i++) {
		guard_later(g, GUARD_LOCK_MS / 2);
		gc_file(g, "changing");
		(void)guard_take(g);
		run();
	}
	ck_assert_int_eq(instant_compare(guard_of(g, old.s).until, until), 0);
	ck_assert_int_lt(instant_compare(until, g->now), 0);
	until = guard_of(g, (old = put_segment(2)).s).until;
	ck_assert_int_eq(until.sec, 0);
	gc_reopen(g);
	run();
	ck_assert_int_gt(instant_compare(guard_of(g, old.s).until, g->now), 0);
}
END_TEST

/* Records become few also while nothing is locked. */
START_TEST(what_the_catalog_told_is_known_while_nothing_is_locked)
{
	struct object_name segment;
	struct object_id known;
	struct instant until;

	(void)guard_take(g);
	segment = put_segment(1);
	run();
	until = guard_of(g, segment.s).until;
	guard_later(g, 20 * GC_DAY_MS);
	ck_assert_int_lt(instant_compare(until, g->now), 0);
	for (int i = 0; i < 20; i++) {
		known = object_id_new();
		gc_ok(guards_note(gc_store(g), repository_keys(g->f.r), &known,
				  1, until, g->now, &g->e));
	}
	run();
	ck_assert_uint_eq(pass.snapshots, 0);
	ck_assert_uint_eq(gc_objects(g, "guards/"), 1);
	(void)guard_take(g);
	run();
	ck_assert_uint_eq(pass.snapshots, 1);
	ck_assert_int_eq(instant_compare(guard_of(g, segment.s).until, until),
			 0);
}
END_TEST

START_TEST(what_the_catalog_told_is_held_while_anything_is)
{
	struct object_name segment;
	struct object_id hold;

	(void)guard_take_for(g, 0);
	segment = put_segment(1);
	hold = hold_one(0);
	run();
	ck_assert(guard_of(g, segment.s).held);
	run();
	ck_assert_uint_le(pass.held, 1);
	ck_assert_uint_eq(ask(), 0);
	ck_assert_int_eq(store_hold(gc_store(g), segment.s, false, &g->e), 1);
	ck_assert_uint_eq(ask(), 1);
	ck_assert_int_eq(store_hold(gc_store(g), segment.s, true, &g->e), 1);
	gc_ok(deletion_release(g->f.r, hold, "me", g->now, &g->e));
	gc_reopen(g);
	gc_ok(run_with(true));
	ck_assert(!guard_of(g, segment.s).held);
}
END_TEST

/* ---- What cannot be ----------------------------------------------------- */

START_TEST(who_may_not_hold_lengthens_all_the_same)
{
	(void)guard_take_for(g, 0);
	lock_for(0, GUARD_LOCK_MS);
	(void)hold_one(0);
	no_holds = true;
	gc_reopen(g);
	ck_assert_int_eq(run_with(false), -1);
	ck_assert_int_eq(g->e.code, ERR_DENIED);
	ck_assert_uint_gt(pass.lengthened, 4);
	ck_assert_uint_eq(pass.held, 0);
	guard_expect(g, 0);
	/* And it is known. */
	gc_reopen(g);
	ck_assert_int_eq(run_with(false), -1);
	ck_assert_int_eq(g->e.code, ERR_DENIED);
	ck_assert_uint_le(pass.lengthened, 6); /* small ones, maybe */
	no_holds = false;
	run();
	ck_assert_uint_gt(pass.held, 4);
	expect_true_records();
	ck_assert_uint_eq(guard_short(g, 0, guard_locked_until(g, 0), true), 0);
	ck_assert_uint_eq(ask(), 0);
}
END_TEST

START_TEST(what_cannot_be_lengthened_keeps_nothing_else_from_it)
{
	const struct fault f = { .call = FAULT_GUARD,
				 .action = FAULT_FAIL,
				 .prefix = "data/",
				 .code = ERR_DENIED,
				 .everyone = true };
	uint64_t first;
	size_t known;

	(void)guard_take_for(g, 0);
	gc_file(g, "new");
	(void)guard_take_for(g, 0);
	lock_for(1, GUARD_LOCK_MS);
	known = gc_objects(g, "meta/") + gc_objects(g, "index/");
	gc_reopen(g);
	fault_add(gc_store(g), &f);
	ck_assert_int_eq(run_with(false), -1);
	ck_assert_int_eq(g->e.code, ERR_DENIED);
	first = pass.lengthened;
	ck_assert_uint_gt(first, known);
	ck_assert_int_gt(guard_of(g, gc_last(g, "index/").s).until.sec, 0);
	ck_assert_int_gt(guard_of(g, "config").until.sec, 0);
	/* What could be is not asked for again. */
	run();
	ck_assert_uint_gt(pass.lengthened, 0);
	ck_assert_uint_lt(pass.lengthened, first + gc_objects(g, "data/"));
	guard_expect(g, 1);
	run();
	ck_assert_uint_eq(pass.lengthened, 0);
}
END_TEST

START_TEST(what_could_not_be_held_is_not_released)
{
	struct object_id first;

	(void)guard_take_for(g, 0);
	gc_file(g, "new");
	(void)guard_take_for(g, 0);
	first = hold_one(0);
	(void)hold_one(1);
	run();
	while (gc_objects(g, "guards/"))
		gc_ok(store_remove(gc_store(g), gc_last(g, "guards/").s,
				   &g->e));
	gc_ok(deletion_release(g->f.r, first, "me", g->now, &g->e));
	no_holds = true;
	gc_reopen(g);
	ck_assert_int_eq(run_with(true), -1);
	ck_assert_uint_eq(pass.released, 0);
	ck_assert_uint_eq(guard_short(g, 1, (struct instant){ 0, 0 }, true), 0);
	no_holds = false;
	gc_reopen(g);
	gc_ok(run_with(true));
	ck_assert_uint_gt(pass.released, 0);
	ck_assert_uint_eq(guard_short(g, 1, (struct instant){ 0, 0 }, true), 0);
}
END_TEST

/* ---- What does not open ------------------------------------------------- */

/* From the next opening on, that object does so. */
static void refuse(const char *name, enum fault_action action)
{
	const struct fault f = { .call = FAULT_READ,
				 .action = action,
				 .prefix = name,
				 .amount = 4321,
				 .everyone = true,
				 .code = ERR_IO,
				 .sys = EIO };

	gc_reopen(g);
	fault_add(gc_store(g), &f);
}

/* One that is locked or held, and another. */
static void take_other(void)
{
	(void)guard_take_for(g, 0);
	gc_file(g, "new");
	(void)guard_take_for(g, 0);
}

START_TEST(what_the_disk_refuses_is_told)
{
	static const char *const folders[] = { "snapshots/", "meta/", "index/",
					       "locks/" };
	const struct guards_options asking = { .now = g->now, .ask = true };

	take_other();
	lock_for(0, GUARD_LOCK_MS);
	lock_for(1, GUARD_LOCK_MS);
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		const struct object_name name = gc_last(g, folders[i]);

		refuse(name.s, FAULT_FAIL);
		ck_assert_int_eq(run_with(false), -1);
		ck_assert_msg(strstr(g->e.text, i < 3 ? name.s : "a lock of"),
			      "%s", g->e.text);
		ck_assert_uint_gt(pass.objects, 2);
		/* Whoever only asks is told so, too. */
		refuse(name.s, FAULT_FAIL);
		ck_assert_int_eq(guards_run(g->f.r, &asking, &pass, &g->e), -1);
		ck_assert_msg(strstr(g->e.text, i < 3 ? name.s : "a lock of"),
			      "%s", g->e.text);
		ck_assert_uint_gt(pass.asked, 2);
	}
	run();
	guard_expect(g, 0);
	guard_expect(g, 1);
}
END_TEST

/* It could be on anything: all is held, and nobody would know why. */
START_TEST(a_hold_that_does_not_open_is_told)
{
	const struct guards_options asking = { .now = g->now, .ask = true };
	struct object_id hold;

	take_other();
	hold = hold_one(0);
	run();
	refuse(gc_last(g, "holds/").s, FAULT_FLIP);
	ck_assert_int_eq(run_with(false), -1);
	ck_assert_msg(strstr(g->e.text, "a hold"), "%s", g->e.text);
	refuse(gc_last(g, "holds/").s, FAULT_FLIP);
	ck_assert_int_eq(guards_run(g->f.r, &asking, &pass, &g->e), -1);
	ck_assert_msg(strstr(g->e.text, "a hold"), "%s", g->e.text);
	gc_reopen(g);
	gc_ok(deletion_release(g->f.r, hold, "me", g->now, &g->e));
	refuse(gc_last(g, "holds/").s, FAULT_FAIL);
	ck_assert_int_eq(run_with(true), -1);
	ck_assert_uint_eq(pass.released, 0);
	gc_reopen(g);
	gc_ok(run_with(true));
	ck_assert_uint_eq(
		guard_short(g, 0, (struct instant){ 0, 0 }, true),
		guard_short(g, 0, (struct instant){ INT32_MAX, 0 }, false));
}
END_TEST

/* It may be what another hold is on, and come back. */
START_TEST(a_release_lets_nothing_go_that_it_does_not_see)
{
	static const char *const folders[] = { "snapshots/", "meta/",
					       "index/" };
	struct object_name names[3];
	struct object_id second;

	(void)guard_take_for(g, 0);
	for (size_t i = 0; i < 3; i++)
		names[i] = gc_last(g, folders[i]);
	gc_unfile(g, "kept");
	gc_file(g, "new");
	(void)guard_take_for(g, 0);
	(void)hold_one(0);
	second = hold_one(1);
	run();
	gc_ok(deletion_release(g->f.r, second, "me", g->now, &g->e));
	for (size_t i = 0; i < 2 * 3; i++) {
		refuse(names[i / 2].s, i % 2 ? FAULT_FAIL : FAULT_FLIP);
		ck_assert_int_eq(run_with(true), -1);
		ck_assert_uint_eq(pass.released, 0);
	}
	gc_reopen(g);
	ck_assert_uint_eq(guard_short(g, 0, (struct instant){ 0, 0 }, true), 0);
	gc_reopen(g);
	gc_ok(run_with(true));
	ck_assert_uint_gt(pass.released, 0);
	ck_assert_uint_eq(guard_short(g, 0, (struct instant){ 0, 0 }, true), 0);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, where_nothing_can_be_guarded_nothing_is_tried);
	tcase_add_test(tc, where_nothing_is_locked_nothing_is_done);
	tcase_add_test(tc, what_is_locked_is_guarded_ahead_of_need);
	tcase_add_test(
		tc,
		what_is_guarded_for_as_long_as_needed_is_not_asked_for_again);
	tcase_add_test(tc, a_snapshot_after_it_lengthens_nothing);
	tcase_add_test(tc, each_pack_is_guarded_as_who_needs_it_longest);
	tcase_add_test(tc, what_is_shared_is_guarded_as_who_needs_it_longest);
	tcase_add_test(tc, what_nobody_locked_needs_is_left_alone);
	tcase_add_test(
		tc, a_lock_that_no_policy_may_ask_for_is_guarded_within_bounds);
	tcase_add_test(tc, records_become_few);
	tcase_add_test(tc,
		       a_pass_that_is_killed_anywhere_is_finished_by_the_next);
	tcase_add_test(tc, what_is_missing_keeps_nothing_from_being_guarded);
	tcase_add_test(
		tc,
		a_lock_that_is_lacking_goes_as_far_as_the_one_that_is_there);
	tcase_add_test(
		tc,
		where_one_of_both_kinds_is_longer_no_other_region_hears_of_it);
	tcase_add_test(
		tc,
		a_lock_that_is_copied_and_cannot_be_guarded_ends_no_copying);
	tcase_add_test(tc, a_hold_holds_all_that_its_snapshot_needs);
	tcase_add_test(tc, a_release_keeps_what_another_hold_needs);
	tcase_add_test(
		tc, what_the_catalog_told_is_guarded_once_as_the_longest_lock);
	tcase_add_test(tc,
		       what_the_catalog_told_is_known_while_nothing_is_locked);
	tcase_add_test(tc, what_the_catalog_told_is_held_while_anything_is);
	tcase_add_test(tc, who_may_not_hold_lengthens_all_the_same);
	tcase_add_test(tc,
		       what_cannot_be_lengthened_keeps_nothing_else_from_it);
	tcase_add_test(tc, what_could_not_be_held_is_not_released);
	tcase_add_test(tc, what_the_disk_refuses_is_told);
	tcase_add_test(tc, a_hold_that_does_not_open_is_told);
	tcase_add_test(tc, a_release_lets_nothing_go_that_it_does_not_see);
}

CHECK_MAIN("storage/guards_pass", cases)

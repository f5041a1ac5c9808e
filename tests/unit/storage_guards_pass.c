/* Guarding a whole region ahead of need, and holding in it what is held. */
#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "storage/repository/guards_internal.h"
#include "storage/repository/seal.h"
#include "tests/support/guard_frame.h"

static struct gc_frame frame;
static struct gc_frame *const g = &frame;
static struct guards_result pass;

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

/* The first that asks waits for another one that asks meanwhile. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t met;
	bool wanted;
	unsigned int inside, most;
} meeting = { .lock = PTHREAD_MUTEX_INITIALIZER,
	      .met = PTHREAD_COND_INITIALIZER };

int __real_store_guarded(struct store *s, const char *name,
			 struct store_guard *ret, struct err *e);
int __wrap_store_guarded(struct store *s, const char *name,
			 struct store_guard *ret, struct err *e);
int __wrap_store_guarded(struct store *s, const char *name,
			 struct store_guard *ret, struct err *e)
{
	struct timespec end;

	ck_assert_int_eq(clock_gettime(CLOCK_REALTIME, &end), 0);
	end.tv_sec += 20;
	(void)pthread_mutex_lock(&meeting.lock);
	meeting.inside++;
	if (meeting.inside > meeting.most)
		meeting.most = meeting.inside;
	(void)pthread_cond_broadcast(&meeting.met);
	while (meeting.wanted && meeting.most < 2 &&
	       pthread_cond_timedwait(&meeting.met, &meeting.lock, &end) == 0)
		;
	meeting.wanted = meeting.wanted && meeting.most >= 2;
	meeting.inside--;
	(void)pthread_mutex_unlock(&meeting.lock);
	return __real_store_guarded(s, name, ret, e);
}

static void set_up(void)
{
	no_holds = false;
	meeting.wanted = false;
	meeting.most = 0;
	guard_frame_init(g, "mem:guard-pass");
	gc_file(g, "kept");
}

static void tear_down(void)
{
	gc_frame_done(g);
}

static int run_with(bool release)
{
	const struct guards_options o = { .now = g->now, .release = release };

	err_clear(&g->e);
	return guards_run(g->f.r, &o, &pass, &g->e);
}

static void run(void)
{
	gc_reopen(g);
	gc_ok(run_with(false));
	ck_assert(pass.can);
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

static uint64_t ask(void)
{
	const struct guards_options o = { .now = g->now, .ask = true };
	const size_t records = gc_objects(g, "guards/");

	gc_reopen(g);
	gc_ok(guards_run(g->f.r, &o, &pass, &g->e));
	ck_assert_uint_eq(pass.lengthened + pass.held + pass.released, 0);
	ck_assert_uint_eq(gc_objects(g, "guards/"), records);
	return pass.too_short;
}

static void lock_for(size_t i, int64_t ms)
{
	CLEANUP(repository_snapshot_done)
	struct repository_snapshot s = gc_look(g, i);

	gc_ok(deletion_lock(g->f.r, &s, instant_add_ms(g->now, ms), "me",
			    g->now, &g->e));
}

static struct object_id hold_one(size_t i)
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

/* ---- Asking ------------------------------------------------------------- */

START_TEST(what_is_guarded_too_briefly_is_found_whatever_records_say)
{
	const struct guards_options afresh = { .now = g->now, .afresh = true };
	struct object_id id;
	struct object_id first;
	struct record forged;

	(void)guard_take_for(g, 0);
	ck_assert_uint_eq(ask(), 0);
	lock_for(0, GUARD_LOCK_MS);
	ck_assert(object_name_parse(OBJECT_DATA_PACK, gc_last(g, "data/").s,
				    &first, &id));
	record_init(&forged, OBJECT_GUARD);
	forged.id = object_id_new();
	forged.until = instant_add_ms(g->now, 1000 * GC_DAY_MS);
	gc_ok(record_add_id(&forged, id, &g->e));
	gc_ok(record_put(gc_store(g), repository_keys(g->f.r), &forged, 0,
			 &g->e));
	record_done(&forged);
	run();
	ck_assert_uint_eq(ask(), 1);
	ck_assert_str_eq(pass.findings[0].object, gc_last(g, "data/").s);
	ck_assert(object_id_equal(pass.findings[0].snapshot, g->ids[0]));
	ck_assert_int_eq(pass.findings[0].until.sec, 0);
	ck_assert_uint_eq(pass.snapshots, 1);
	run();
	ck_assert_uint_eq(ask(), 1);
	gc_reopen(g);
	gc_ok(guards_run(g->f.r, &afresh, &pass, &g->e));
	ck_assert_uint_gt(pass.lengthened, 4);
	ck_assert_uint_eq(ask(), 0);
	ck_assert_int_gt(instant_compare(pass.least,
					 instant_add_ms(g->now, GUARD_LOCK_MS)),
			 0);
	/* What was forged is gone: it is lengthened when its time comes. */
	guard_later(g, 8 * GC_DAY_MS);
	lock_for(0, 30 * GC_DAY_MS);
	run();
	ck_assert_uint_eq(ask(), 0);
}
END_TEST

START_TEST(what_a_run_locks_is_covered)
{
	for (int day = 0; day < 5; day++) {
		gc_file(g, "changing");
		(void)guard_take(g);
		ck_assert_uint_eq(ask(), 0);
		guard_later(g, GC_DAY_MS);
	}
}
END_TEST

START_TEST(a_hold_that_is_missing_in_the_store_is_found)
{
	(void)guard_take_for(g, 0);
	(void)hold_one(0);
	ck_assert_uint_gt(ask(), 4);
	for (uint64_t i = 0; i < pass.too_short; i++)
		ck_assert(pass.findings[i].unheld ==
			  (strncmp(pass.findings[i].object, "index/", 6) != 0));
	run();
	ck_assert_uint_eq(ask(), 0);
	ck_assert_int_eq(
		store_hold(gc_store(g), gc_last(g, "meta/").s, false, &g->e),
		1);
	ck_assert_uint_eq(ask(), 1);
}
END_TEST

static void on_progress(void *arg, uint64_t asked)
{
	uint64_t *last = arg;

	ck_assert_uint_eq(asked, *last + 1);
	*last = asked;
}

START_TEST(many_are_asked_at_once_and_it_is_told_how_far)
{
	uint64_t told = 0;
	const struct guards_options o = { .now = g->now,
					  .ask = true,
					  .progress = on_progress,
					  .arg = &told };

	(void)guard_take(g);
	gc_reopen(g);
	meeting.wanted = true;
	gc_ok(guards_run(g->f.r, &o, &pass, &g->e));
	ck_assert_uint_ge(meeting.most, 2);
	ck_assert_uint_gt(told, 4);
	ck_assert_uint_eq(told, pass.asked);
	ck_assert_uint_eq(told, pass.objects);
}
END_TEST

static bool is_wanted(void *arg, const char *name)
{
	return strncmp(name, arg, strlen(arg)) == 0;
}

/* Of what begins so, how much is short. */
static uint64_t ask_of(const char *prefix)
{
	char text[STORE_NAME_MAX + 1];
	const struct guards_options o = {
		.now = g->now, .ask = true, .wanted = is_wanted, .arg = text
	};

	(void)snprintf(text, sizeof(text), "%s", prefix);
	gc_reopen(g);
	gc_ok(guards_run(g->f.r, &o, &pass, &g->e));
	return pass.too_short;
}

START_TEST(a_part_can_be_asked_alone)
{
	uint64_t all;

	(void)guard_take_for(g, 0);
	lock_for(0, GUARD_LOCK_MS);
	all = ask();
	ck_assert_uint_gt(all, 4);
	ck_assert_uint_eq(ask_of("data/"), gc_objects(g, "data/"));
	ck_assert_uint_eq(pass.asked, gc_objects(g, "data/"));
	ck_assert_uint_eq(ask_of("receipts/"), 1);
	ck_assert_uint_eq(pass.asked, 1);
	ck_assert_uint_gt(pass.objects, 4);
	ck_assert_uint_eq(ask_of("nothing/"), 0);
	ck_assert_uint_eq(pass.asked, 0);
	ck_assert_int_eq(pass.least.sec, 0);
}
END_TEST

static struct guards_of of_snapshot(size_t i)
{
	struct guards_of x;

	gc_reopen(g);
	gc_ok(guards_of_snapshot(g->f.r, g->ids[i], &x, &g->e));
	ck_assert_str_eq(x.mode, "memory");
	return x;
}

/* By records, without a question about any object. */
START_TEST(what_is_known_of_a_snapshot_costs_no_question)
{
	(void)guard_take_for(g, 0);
	(void)guard_take(g);
	meeting.most = 0;
	ck_assert_int_eq(of_snapshot(0).until.sec, 0);
	ck_assert_int_ge(
		instant_compare(of_snapshot(1).until, guard_locked_until(g, 1)),
		0);
	ck_assert(!of_snapshot(1).held);
	(void)hold_one(0);
	run();
	meeting.most = 0;
	ck_assert(of_snapshot(0).held);
	ck_assert(!of_snapshot(1).held);
	ck_assert_uint_eq(meeting.most, 0);
}
END_TEST

START_TEST(one_snapshot_can_be_asked_about)
{
	struct guards_options o = { .now = g->now, .ask = true };
	uint64_t all;

	gc_file(g, "other");
	(void)guard_take(g);
	gc_unfile(g, "other");
	(void)guard_take(g);
	(void)ask();
	all = pass.objects;
	o.only = &g->ids[1];
	gc_reopen(g);
	gc_ok(guards_run(g->f.r, &o, &pass, &g->e));
	ck_assert_uint_eq(pass.snapshots, 1);
	ck_assert_uint_lt(pass.objects, all - 2);
	ck_assert_uint_eq(pass.too_short, 0);
}
END_TEST

/* As while a pack is marked: its chunks are stored once more. */
START_TEST(what_stands_in_another_pack_is_sought_there)
{
	struct object_name first;
	struct object_id id;
	struct object_id pack;
	struct record mark;

	(void)guard_take_for(g, 0);
	first = gc_last(g, "data/");
	ck_assert(object_name_parse(OBJECT_DATA_PACK, first.s, &id, &pack));
	record_init(&mark, OBJECT_MARK);
	mark.id = object_id_new();
	mark.time = g->now;
	gc_ok(record_add_id(&mark, pack, &g->e));
	gc_ok(record_put(gc_store(g), repository_keys(g->f.r), &mark, 0,
			 &g->e));
	(void)guard_take(g);
	gc_ok(store_remove(gc_store(g), record_name(&mark).s, &g->e));
	record_done(&mark);
	ck_assert_uint_eq(gc_objects(g, "data/"), 2);
	ck_assert_int_eq(guard_of(g, first.s).until.sec, 0);
	ck_assert_uint_eq(ask_of(first.s), 0);
	ck_assert_uint_eq(pass.asked, 2);
	ck_assert_uint_eq(ask(), 0);
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
	}
	run();
	guard_expect(g, 0);
	guard_expect(g, 1);
}
END_TEST

/* It could be on anything: all is held, and nobody would know why. */
START_TEST(a_hold_that_does_not_open_is_told)
{
	struct object_id hold;

	take_other();
	hold = hold_one(0);
	run();
	refuse(gc_last(g, "holds/").s, FAULT_FLIP);
	ck_assert_int_eq(run_with(false), -1);
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
	tcase_set_timeout(tc, 120);
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
	tcase_add_test(tc, a_hold_holds_all_that_its_snapshot_needs);
	tcase_add_test(tc, a_release_keeps_what_another_hold_needs);
	tcase_add_test(
		tc, what_is_guarded_too_briefly_is_found_whatever_records_say);
	tcase_add_test(tc, what_a_run_locks_is_covered);
	tcase_add_test(tc, a_hold_that_is_missing_in_the_store_is_found);
	tcase_add_test(tc, many_are_asked_at_once_and_it_is_told_how_far);
	tcase_add_test(tc, a_part_can_be_asked_alone);
	tcase_add_test(tc, what_is_known_of_a_snapshot_costs_no_question);
	tcase_add_test(tc, one_snapshot_can_be_asked_about);
	tcase_add_test(tc, what_stands_in_another_pack_is_sought_there);
	tcase_add_test(
		tc, what_the_catalog_told_is_guarded_once_as_the_longest_lock);
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

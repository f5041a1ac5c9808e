/* What the store itself says of what has to be guarded in a region. */
#include <pthread.h>
#include <time.h>

#include "tests/support/guard_pass_frame.h"

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
	meeting.wanted = false;
	meeting.most = 0;
	guard_frame_init(g, "mem:guard-ask");
	gc_file(g, "kept");
}

static void tear_down(void)
{
	gc_frame_done(g);
}

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

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(
		tc, what_is_guarded_too_briefly_is_found_whatever_records_say);
	tcase_add_test(tc, what_a_run_locks_is_covered);
	tcase_add_test(tc, a_hold_that_is_missing_in_the_store_is_found);
	tcase_add_test(tc, many_are_asked_at_once_and_it_is_told_how_far);
	tcase_add_test(tc, a_part_can_be_asked_alone);
	tcase_add_test(tc, what_is_known_of_a_snapshot_costs_no_question);
	tcase_add_test(tc, one_snapshot_can_be_asked_about);
	tcase_add_test(tc, what_stands_in_another_pack_is_sought_there);
}

CHECK_MAIN("storage/guards_ask", cases)

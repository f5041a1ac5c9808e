/* What a collection of garbage takes, what it leaves, and whom it waits for. */
#include "storage/repository/gc.h"

#include "storage/repository/beat.h"
#include "storage/repository/index_internal.h"
#include "storage/repository/writer.h"
#include "tests/support/gc_frame.h"

static struct gc_frame frame;
static struct gc_frame *const g = &frame;

static void set_up(void)
{
	gc_frame_init(g, "mem:gc");
	gc_file(g, "kept");
}

static void tear_down(void)
{
	gc_frame_done(g);
}

/*
 * Two snapshots: the first has files that the second has not, and more of
 * them: one more cut in what is kept does not make their pack mostly alive.
 */
static void take_two(void)
{
	gc_file(g, "gone");
	gc_file(g, "gone too");
	(void)gc_take(g);
	gc_unfile(g, "gone");
	gc_unfile(g, "gone too");
	(void)gc_take(g);
}

static void later(int64_t ms)
{
	g->now = instant_add_ms(g->now, ms);
}

START_TEST(nothing_goes_while_nothing_is_deleted)
{
	size_t packs;

	take_two();
	packs = gc_packs(g);
	gc_collect(g, 0);
	ck_assert_uint_eq(g->result.deleted, 0);
	ck_assert_uint_eq(g->result.marked, 0);
	ck_assert_uint_eq(gc_packs(g), packs);
	gc_expect(g, 0);
	gc_expect(g, 1);
}
END_TEST

START_TEST(an_empty_repository_has_no_garbage)
{
	gc_collect(g, 0);
	gc_collect(g, -1);
	ck_assert_uint_eq(g->result.chunks, 0);
	ck_assert_uint_eq(gc_objects(g, "sessions/"), 0);
}
END_TEST

START_TEST(a_deleted_snapshot_stays_until_its_time_is_over)
{
	take_two();
	gc_erase(g, 0);
	gc_collect(g, -1);
	ck_assert_uint_eq(g->result.marked, 0);
	later(GC_DAY_MS - 1000);
	gc_collect(g, -1);
	ck_assert_uint_eq(g->result.marked, 0);
	gc_ok(gc_undelete(g, 0));
	gc_expect(g, 0);
}
END_TEST

START_TEST(what_is_marked_is_looked_at_again_a_day_later)
{
	uint64_t pending;
	size_t packs;

	take_two();
	packs = gc_packs(g);
	gc_erase(g, 0);
	later(GC_DAY_MS);
	gc_collect(g, -1);
	ck_assert_uint_gt(g->result.marked, 0);
	ck_assert_uint_eq(g->result.deleted, 0);
	ck_assert_uint_gt(g->result.bytes_pending, 0);
	later(GC_DAY_MS - 1000);
	gc_collect(g, -1);
	ck_assert_uint_eq(g->result.deleted, 0);
	pending = g->result.bytes_pending;
	ck_assert_uint_gt(pending, GC_FILE_BYTES);
	later(600000);
	gc_collect(g, -1);
	ck_assert_uint_gt(g->result.deleted, 0);
	ck_assert_uint_ge(g->result.bytes_freed, pending);
	ck_assert_uint_eq(g->result.bytes_pending, 0);
	ck_assert_uint_le(gc_packs(g), packs);
	ck_assert(!gc_exists(g, 0));
	gc_expect(g, 1);
	gc_expect_sound(g);
}
END_TEST

START_TEST(without_grace_one_call_does_both)
{
	take_two();
	gc_erase(g, 0);
	gc_collect(g, 0);
	ck_assert_uint_eq(g->result.snapshots, 1);
	ck_assert_uint_gt(g->result.bytes_freed, GC_FILE_BYTES);
	ck_assert_uint_eq(g->result.bytes_pending, 0);
	ck_assert(!gc_exists(g, 0));
	gc_expect(g, 1);
	gc_expect_sound(g);
}
END_TEST

START_TEST(a_grace_that_is_given_holds_for_deletions_too)
{
	take_two();
	gc_erase(g, 0);
	later(3600000);
	gc_collect(g, 3600001);
	ck_assert_uint_eq(g->result.marked, 0);
	gc_collect(g, 3600000);
	ck_assert_uint_gt(g->result.marked, 0);
}
END_TEST

/* All snapshots gone: then all packs may go. */
START_TEST(the_last_snapshot_takes_everything_with_it)
{
	take_two();
	gc_erase(g, 0);
	gc_erase(g, 1);
	gc_collect(g, 0);
	ck_assert_uint_eq(gc_packs(g), 0);
	gc_collect(g, 0);
	gc_collect(g, 0);
	ck_assert_uint_eq(gc_objects(g, "marks/"), 0);
	ck_assert_uint_eq(gc_objects(g, "censuses/"), 0);
	(void)gc_take(g);
	gc_expect(g, 2);
	gc_expect_sound(g);
}
END_TEST

/* Of a collector that died, or slept, after its mark was spent. */
START_TEST(a_census_without_a_mark_goes)
{
	struct record census;

	take_two();
	gc_erase(g, 0);
	record_init(&census, OBJECT_CENSUS);
	census.id = (struct object_id){ { 0, 1 } }; /* is listed first */
	gc_ok(record_put(gc_store(g), repository_keys(g->f.r), &census, 0,
			 &g->e));
	later(10);
	gc_collect(g, 1);
	ck_assert_uint_gt(g->result.marked, 0);
	ck_assert_uint_eq(gc_objects(g, "marks/"), 1);
	ck_assert_uint_eq(gc_objects(g, "censuses/"), 1);
	ck_assert_uint_eq(
		gc_objects(g, object_name(OBJECT_CENSUS, census.id).s), 0);
}
END_TEST

/* ---- Clocks ------------------------------------------------------------- */

/* Looking took its time: nobody saw the mark before it was put. */
START_TEST(grace_counts_from_when_the_mark_is_put)
{
	const struct fault slow = { .call = FAULT_READ,
				    .action = FAULT_HANG,
				    .prefix = "meta/",
				    .times = 1,
				    .amount = 150 };
	struct record mark;

	take_two();
	gc_erase(g, 0);
	later(10);
	fault_add(gc_store(g), &slow);
	gc_collect(g, 1);
	fault_clear(gc_store(g));
	ck_assert_int_eq(record_get(gc_store(g), repository_keys(g->f.r),
				    OBJECT_MARK, gc_last(g, "marks/").s, &mark,
				    &g->e),
			 1);
	ck_assert_int_ge(
		instant_compare(mark.time, instant_add_ms(g->now, 150)), 0);
	ck_assert_str_eq(mark.by, "host");
	record_done(&mark);
}
END_TEST

/* It would not be due for as long as that clock was wrong. */
START_TEST(a_mark_of_a_clock_far_ahead_is_put_again)
{
	const struct instant now = g->now;

	take_two();
	gc_erase(g, 0);
	later(400 * GC_DAY_MS);
	gc_collect(g, -1);
	ck_assert_uint_gt(g->result.marked, 0);
	g->now = now;
	gc_collect(g, -1);
	ck_assert_uint_gt(g->result.marked, 0);
	ck_assert_uint_eq(g->result.deleted, 0);
	gc_collect(g, -1);
	ck_assert_uint_eq(g->result.marked, 0); /* once is enough */
	later(GC_DAY_MS + 600000);
	gc_collect(g, -1);
	ck_assert_uint_gt(g->result.deleted, 0);
	ck_assert_uint_eq(g->result.bytes_pending, 0);
	gc_expect(g, 1);
	gc_expect_sound(g);
}
END_TEST

START_TEST(a_mark_of_a_clock_a_little_ahead_will_do)
{
	const struct instant now = g->now;

	take_two();
	gc_erase(g, 0);
	later(GC_DAY_MS / 2);
	gc_collect(g, 1);
	ck_assert_uint_gt(g->result.marked, 0);
	g->now = now;
	gc_collect(g, -1);
	ck_assert_uint_eq(g->result.marked, 0);
}
END_TEST

/* Due at once: it is the look, not the time, that keeps what is needed. */
START_TEST(a_mark_of_a_clock_far_behind_takes_nothing_that_is_needed)
{
	const struct instant now = g->now;

	take_two();
	g->now = (struct instant){ 0, 0 };
	gc_mark_all(g);
	g->now = now;
	gc_collect(g, -1);
	ck_assert_uint_gt(g->result.chunks_copied, 0);
	ck_assert_uint_gt(g->result.deleted, 0);
	gc_expect(g, 0);
	gc_expect(g, 1);
	gc_expect_sound(g);
}
END_TEST

/* ---- What is kept ------------------------------------------------------- */

START_TEST(a_hold_keeps_what_is_deleted)
{
	struct deletion_hold h = { .n_snapshots = 1,
				   .case_name = "case",
				   .custodian = "who",
				   .by = "me",
				   .now = g->now };
	struct object_id hold;

	take_two();
	gc_erase(g, 0);
	h.snapshots = &g->ids[0];
	gc_ok(deletion_hold(g->f.r, &h, &hold, &g->e));
	gc_collect(g, 0);
	ck_assert_uint_eq(g->result.deleted, 0);
	gc_expect(g, 0);
	gc_ok(deletion_release(g->f.r, hold, "me", g->now, &g->e));
	gc_collect(g, 0);
	ck_assert_uint_gt(g->result.deleted, 0);
}
END_TEST

/* A lock that came after the deletion: it can only lengthen. */
START_TEST(a_lock_keeps_what_is_deleted)
{
	take_two();
	gc_erase(g, 0);
	{
		CLEANUP(repository_snapshot_done)
		struct repository_snapshot s = gc_look(g, 0);

		gc_ok(deletion_lock(g->f.r, &s, instant_add_ms(g->now, 5000),
				    "me", g->now, &g->e));
	}
	gc_collect(g, 0);
	ck_assert_uint_eq(g->result.deleted, 0);
	gc_expect(g, 0);
	later(5000);
	gc_collect(g, 0);
	ck_assert_uint_gt(g->result.deleted, 0);
}
END_TEST

/* It was marked when nothing needed it; then the same came back. */
START_TEST(what_is_needed_again_is_stored_again)
{
	take_two();
	gc_erase(g, 0);
	later(1);
	gc_collect(g, 1); /* marks */
	ck_assert_uint_gt(g->result.marked, 0);
	later(600000);
	gc_file(g, "other");
	(void)gc_take(g);
	gc_collect(g, 1);
	ck_assert_uint_gt(g->result.deleted, 0);
	gc_expect(g, 1);
	gc_expect(g, 2);
}
END_TEST

/* Marks are final; what is needed after all is copied first. */
START_TEST(what_a_mark_names_and_a_snapshot_needs_is_copied)
{
	take_two();
	gc_mark_all(g);
	gc_collect(g, 0);
	ck_assert_uint_gt(g->result.chunks_copied, 0);
	ck_assert_uint_gt(g->result.deleted, 0);
	gc_expect(g, 0);
	gc_expect(g, 1);
	gc_expect_sound(g);
	(void)gc_take(g);
	gc_expect(g, 2);
}
END_TEST

struct shown {
	uint64_t copied;
	uint64_t deleted;
	unsigned int listings;
	struct record session;
};

/* The collector's own, at its first word. */
static void note_session(struct shown *s)
{
	gc_ok(record_get(gc_store(g), repository_keys(g->f.r), OBJECT_SESSION,
			 gc_last(g, "sessions/").s, &s->session, &g->e));
}

static void note_progress(void *arg, const struct gc_progress *p)
{
	struct shown *s = arg;

	if (p->total)
		ck_assert_uint_le(p->done, p->total);
	if (strcmp(p->stage, "copying") == 0) {
		ck_assert_uint_eq(p->done, ++s->copied);
		ck_assert_uint_ge(p->total, p->done);
	} else if (strcmp(p->stage, "deleting") == 0) {
		ck_assert_uint_eq(p->done, ++s->deleted);
		ck_assert_uint_eq(p->total, 0);
	} else if (strcmp(p->stage, "listing") == 0) {
		ck_assert_uint_eq(p->done, 0);
		ck_assert_uint_eq(p->total, 0);
		if (s->listings++ == 0)
			note_session(s);
	}
}

START_TEST(progress_is_what_was_done)
{
	struct shown s = { .copied = 0 };
	const struct gc_options o = { .now = g->now,
				      .rewrite_bytes = GC_REWRITE_BYTES,
				      .host = "host",
				      .progress = note_progress,
				      .arg = &s };

	take_two();
	ck_assert_uint_eq(gc_objects(g, "data/"), 1);
	gc_mark_all(g);
	gc_ok(gc_run(g->f.r, &o, &g->result, &g->e));
	ck_assert_uint_gt(s.copied, 0);
	ck_assert_uint_eq(s.copied, g->result.chunks_copied);
	ck_assert_uint_gt(s.deleted, 0);
	ck_assert_uint_eq(s.deleted, g->result.deleted);
	/* The comparison's, and both surveys'. */
	ck_assert_uint_eq(s.listings, 3);
	ck_assert_uint_eq(s.session.purpose, RECORD_COLLECT);
	ck_assert_uint_eq(s.session.pid, (uint64_t)getpid());
	ck_assert_str_eq(s.session.by, "host");
	ck_assert_int_eq(instant_compare(s.session.time, g->now), 0);
	ck_assert(!object_id_is_zero(s.session.id));
	record_done(&s.session);
	/* In as few packs as there were. */
	ck_assert_uint_eq(gc_objects(g, "data/"), 1);
	ck_assert_uint_gt(g->result.bytes_copied, 3 * GC_FILE_BYTES);
	ck_assert_uint_lt(g->result.bytes_copied, 4 * GC_FILE_BYTES);
}
END_TEST

struct stopping {
	const char *at;
	atomic_bool cancel;
	bool reached;
};

static void stop_there(void *arg, const struct gc_progress *p)
{
	struct stopping *s = arg;

	/* As soon as it was begun: there is more of it. */
	if (strcmp(p->stage, s->at) != 0 || p->done > 1)
		return;
	s->reached = true;
	atomic_store(&s->cancel, true);
}

START_TEST(it_can_be_stopped_in_each_stage)
{
	static const char *const stages[] = { "listing",
					      "waiting to see who is alive",
					      "trees", "copying", "deleting" };
	struct stopping s = { .reached = false };
	const struct gc_options o = { .now = g->now,
				      .rewrite_bytes = GC_REWRITE_BYTES,
				      .host = "host",
				      .cancel = &s.cancel,
				      .progress = stop_there,
				      .arg = &s };

	take_two();
	gc_mark_all(g);
	(void)gc_dead(g, OBJECT_PIN, g->ids[0]);
	for (size_t i = 0; i < sizeof(stages) / sizeof(stages[0]); i++) {
		s.at = stages[i];
		s.reached = false;
		atomic_store(&s.cancel, false);
		ck_assert_int_eq(gc_run(g->f.r, &o, &g->result, &g->e), -1);
		ck_assert_msg(g->e.code == ERR_INTERRUPTED, "%s: %s", s.at,
			      g->e.text);
		ck_assert_msg(s.reached, "%s", s.at);
		/* One of those that there are was begun. */
		ck_assert_uint_le(g->result.chunks_copied, i < 4 ? 1 : 99);
		ck_assert_uint_le(g->result.deleted, 1);
		err_clear(&g->e);
	}
	gc_expect(g, 0);
	gc_expect(g, 1);
}
END_TEST

/* Its time is not over, but its packs are somebody's to delete. */
START_TEST(what_is_marked_cannot_be_undeleted)
{
	take_two();
	gc_erase(g, 0);
	gc_mark_all(g);
	ck_assert_int_eq(gc_undelete(g, 0), -1);
	ck_assert_int_eq(g->e.code, ERR_NOT_FOUND);
	gc_expect(g, 0);
}
END_TEST

/* ---- Others at work ----------------------------------------------------- */

static struct writer *begin_writer(uint8_t first)
{
	const struct writer_options o = {
		.purpose = RECORD_SNAPSHOT,
		.snapshot = { { first, 1 } },
		.host = "elsewhere",
	};
	struct writer *w;

	gc_ok(writer_open(g->f.r, &o, &w, &g->e));
	return w;
}

static int publish(struct writer *w)
{
	struct manifest m;
	int failed;

	manifest_init(&m);
	m.state = MANIFEST_COMPLETE;
	m.tree.empty = m.hints.empty = true;
	m.begun = m.ended = g->now;
	failed = writer_publish(w, &m, g->now, RECORD_PROCESS, &g->e);
	manifest_done(&m);
	return failed;
}

/* Without a census: it waits for whoever is here. */
static void mark_nothing(void)
{
	struct record r;

	record_init(&r, OBJECT_MARK);
	r.id = object_id_new();
	r.time = g->now;
	gc_ok(record_add_id(&r, object_id_new(), &g->e));
	gc_ok(record_put(gc_store(g), repository_keys(g->f.r), &r, 0, &g->e));
	record_done(&r);
}

START_TEST(a_session_that_is_alive_keeps_what_it_may_rely_on)
{
	struct writer *w;

	g->lease_ms = GC_LONG_LEASE_MS;
	take_two();
	gc_erase(g, 0);
	w = begin_writer(0xaa);
	gc_collect(g, 0);
	ck_assert_uint_gt(g->result.marked, 0);
	ck_assert_uint_eq(g->result.deleted, 0);
	ck_assert_uint_eq(g->result.n_blocked, 1);
	ck_assert_int_eq(g->result.blocked[0].kind, OBJECT_SESSION);
	ck_assert(object_id_equal(g->result.blocked[0].id, writer_session(w)));
	ck_assert_str_eq(g->result.blocked[0].host, "elsewhere");
	ck_assert_str_eq(g->result.blocked[0].why, "is taking a snapshot");
	/* Once, however many marks wait for it. */
	mark_nothing();
	gc_collect(g, 0);
	ck_assert_uint_eq(g->result.deleted, 0);
	ck_assert_uint_eq(g->result.n_blocked, 1);
	gc_ok(publish(w));
	writer_close(w);
	gc_collect(g, 0);
	ck_assert_uint_gt(g->result.deleted, 0);
	ck_assert_uint_eq(g->result.n_blocked, 0);
	gc_expect(g, 1);
}
END_TEST

/* It saw the mark, and relies on nothing that it names. */
START_TEST(a_session_that_began_after_the_mark_blocks_nothing)
{
	struct writer *w;

	g->lease_ms = GC_LONG_LEASE_MS;
	take_two();
	gc_erase(g, 0);
	gc_collect(g, 1);
	later(600000);
	gc_collect(g, 1);
	w = begin_writer(0xaa);
	later(600000);
	gc_collect(g, 1);
	writer_close(w);
	ck_assert_uint_eq(g->result.n_blocked, 0);
	ck_assert_uint_eq(gc_objects(g, "snapshots/"), 1);
	gc_expect(g, 1);
}
END_TEST

/* Whoever marked died before it wrote down who was there. */
START_TEST(a_mark_without_a_census_waits_for_who_is_there)
{
	struct writer *before;
	struct writer *after;

	g->lease_ms = GC_LONG_LEASE_MS;
	take_two();
	gc_mark_all(g);
	gc_ok(store_remove(gc_store(g), gc_last(g, "censuses/").s, &g->e));
	before = begin_writer(0xaa);
	gc_collect(g, 0);
	ck_assert_uint_eq(g->result.deleted, 0);
	ck_assert_uint_gt(g->result.n_blocked, 0);
	/* On a repository that is never at rest, there always is a session. */
	after = begin_writer(0xbb);
	writer_close(before);
	gc_collect(g, 0);
	ck_assert_uint_gt(g->result.deleted, 0);
	writer_close(after);
	gc_expect(g, 0);
	gc_expect(g, 1);
	gc_expect_sound(g);
}
END_TEST

/* It does not say who was there: whoever is there now may have been. */
START_TEST(a_mark_whose_census_does_not_open_waits_for_all)
{
	struct writer *w;

	g->lease_ms = GC_LONG_LEASE_MS;
	take_two();
	gc_mark_all(g);
	gc_damage(g, gc_last(g, "censuses/").s);
	w = begin_writer(0xaa);
	gc_collect(g, 0);
	ck_assert_uint_eq(g->result.deleted, 0);
	ck_assert_uint_eq(g->result.n_blocked, 1);
	writer_close(w);
	gc_collect(g, 0);
	ck_assert_uint_gt(g->result.deleted, 0);
	gc_expect(g, 0);
	gc_expect(g, 1);
}
END_TEST

/* Two sessions in turn: the second keeps the first one's work from harm. */
START_TEST(what_a_living_session_stored_is_no_garbage)
{
	static uint8_t bytes[100000] = { 1 };
	CLEANUP(chunk_worker_free) struct chunk_worker *worker = NULL;
	struct writer *w = begin_writer(0xaa);
	struct chunk_id id;
	int has;

	g->lease_ms = GC_LONG_LEASE_MS;
	gc_ok(chunk_worker_new(repository_keys(g->f.r), &worker, &g->e));
	gc_ok(writer_add(w, worker, CHUNK_DATA, bytes, sizeof(bytes), &id, NULL,
			 &g->e));
	gc_ok(publish(w)); /* the packs are there and named; it is alive */
	gc_collect(g, 0);
	ck_assert_uint_eq(g->result.marked, 0);
	writer_close(w);
	gc_collect(g, 0);
	ck_assert_uint_eq(g->result.marked, 1);
	ck_assert_uint_eq(g->result.deleted, 1);
	w = begin_writer(0xbb);
	has = writer_has(w, &id, &g->e);
	writer_close(w);
	ck_assert_int_eq(has, 0);
}
END_TEST

START_TEST(a_session_that_stands_still_is_given_up)
{
	const struct object_id id = gc_dead(g, OBJECT_SESSION, object_id_new());

	take_two();
	gc_erase(g, 0);
	gc_collect(g, 0);
	ck_assert_uint_eq(g->result.sessions_ended, 1);
	ck_assert_uint_gt(g->result.deleted, 0);
	ck_assert_uint_eq(gc_objects(g, "sessions/"), 0);
	ck_assert_uint_eq(gc_objects(g, object_name(OBJECT_FENCE, id).s), 1);
	ck_assert_uint_eq(gc_objects(g, "voids/"), 1);
	gc_expect(g, 1);
	gc_expect_sound(g);
}
END_TEST

/* What each acknowledged before it died counts for ever. */
START_TEST(what_sessions_published_before_they_were_given_up_counts)
{
	take_two();
	for (size_t i = 0; i < 2; i++) {
		CLEANUP(repository_snapshot_done)
		struct repository_snapshot s = gc_look(g, i);
		struct record r;

		record_init(&r, OBJECT_SESSION);
		r.id = s.manifest.session;
		gc_ok(record_put(gc_store(g), repository_keys(g->f.r), &r, 0,
				 &g->e));
	}
	gc_collect(g, 0);
	ck_assert_uint_eq(g->result.sessions_ended, 2);
	gc_expect(g, 0);
	gc_expect(g, 1);
	gc_erase(g, 0);
	gc_ok(gc_undelete(g, 0));
	gc_expect(g, 0);
	gc_expect_sound(g);
}
END_TEST

/* Somebody fenced it already, and died: one void is enough, and all of it. */
START_TEST(what_a_session_published_before_it_was_fenced_counts)
{
	CLEANUP(repository_snapshot_done)
	struct repository_snapshot s = { .deleted = false };
	struct record r;

	take_two();
	s = gc_look(g, 0);
	record_init(&r, OBJECT_SESSION);
	r.id = s.manifest.session;
	gc_ok(record_put(gc_store(g), repository_keys(g->f.r), &r, 0, &g->e));
	gc_ok(store_put(gc_store(g), object_name(OBJECT_FENCE, r.id).s, "f", 1,
			0, &g->e));
	gc_collect(g, 0);
	ck_assert_uint_eq(g->result.sessions_ended, 1);
	ck_assert_uint_eq(gc_objects(g, "voids/"), 1);
	gc_expect(g, 0);
	gc_expect(g, 1);
}
END_TEST

/* It slept while it was given up: it cannot publish, nor name packs. */
START_TEST(a_session_that_overslept_cannot_publish)
{
	static uint8_t bytes[100000] = { 2 };
	CLEANUP(chunk_worker_free) struct chunk_worker *worker = NULL;
	struct writer *w = begin_writer(0xaa);
	struct chunk_id id;

	gc_ok(chunk_worker_new(repository_keys(g->f.r), &worker, &g->e));
	gc_ok(writer_add(w, worker, CHUNK_DATA, bytes, sizeof(bytes), &id, NULL,
			 &g->e));
	gc_ok(repo_give_up(g->f.r, writer_session(w),
			   (struct object_id){ { 0 } }, &g->e));
	ck_assert_int_eq(publish(w), -1);
	ck_assert_int_eq(g->e.code, ERR_BUSY);
	writer_close(w);
	ck_assert_uint_eq(gc_objects(g, "snapshots/"), 0);
}
END_TEST

/* An index object that came after its session's void is none. */
START_TEST(an_index_object_that_came_too_late_is_none)
{
	CLEANUP(index_writer_free) struct index_writer *late = NULL;
	const struct object_id session = object_id_new();
	struct pack_entry x = {
		.seal = { .id = { { 7 } },
			  .kind = CHUNK_DATA,
			  .epoch = 1,
			  .plain_len = 10 },
		.place = { .pack = { { 9 } }, .offset = 32, .len = 51 }
	};
	struct writer *w;
	int has;

	gc_ok(repo_give_up(g->f.r, session, (struct object_id){ { 0 } },
			   &g->e));
	gc_ok(index_writer_open(gc_store(g), repository_keys(g->f.r), session,
				&late, &g->e));
	gc_ok(index_writer_add(late, &x, &g->e));
	gc_ok(index_writer_commit(late, NULL, &g->e));
	w = begin_writer(0xaa);
	has = writer_has(w, &x.seal.id, &g->e);
	writer_close(w);
	ck_assert_int_eq(has, 0);
	take_two();
	gc_erase(g, 0);
	gc_collect(g, 0);
	ck_assert_uint_gt(g->result.deleted, 0);
	gc_expect_sound(g);
}
END_TEST

/* A fence whose collector died before the void. */
START_TEST(the_next_collection_finishes_what_a_dead_one_fenced)
{
	const struct object_name fence = object_name(OBJECT_FENCE,
						     object_id_new());

	take_two();
	gc_ok(store_put(gc_store(g), fence.s, "f", 1, 0, &g->e));
	gc_collect(g, 0);
	ck_assert_uint_eq(gc_objects(g, "voids/"), 1);
	gc_collect(g, 0);
	ck_assert_uint_eq(gc_objects(g, "voids/"), 1);
	gc_expect(g, 0);
}
END_TEST

/* Nor of one that moves still: it will find its fence, and leave. */
START_TEST(no_void_is_put_of_who_is_alive)
{
	struct writer *w;

	g->lease_ms = GC_LONG_LEASE_MS;
	w = begin_writer(0xaa);
	gc_ok(store_put(gc_store(g),
			object_name(OBJECT_FENCE, writer_session(w)).s, "f", 1,
			0, &g->e));
	gc_collect(g, 0);
	ck_assert_uint_eq(gc_objects(g, "voids/"), 0);
	writer_close(w);
	gc_collect(g, 0);
	ck_assert_uint_eq(gc_objects(g, "voids/"), 1);
}
END_TEST

START_TEST(a_pin_keeps_what_it_reads)
{
	CLEANUP(repository_close) struct repository *reader = NULL;
	struct beat *pin;

	g->lease_ms = GC_LONG_LEASE_MS;
	take_two();
	gc_erase(g, 0);
	gc_ok(repository_open(g->f.url, g->f.credential, &reader, &g->e));
	ck_assert_int_eq(beat_pin(repository_store(reader),
				  repository_keys(reader), RECORD_READ_RESTORE,
				  &g->ids[0], 1, &pin, &g->e),
			 1);
	gc_collect(g, 0);
	ck_assert_uint_eq(g->result.snapshots, 0);
	ck_assert_uint_eq(g->result.deleted, 0);
	gc_expect(g, 0);
	beat_stop(pin);
	gc_collect(g, 0);
	ck_assert_uint_gt(g->result.deleted, 0);
}
END_TEST

/* Packs that are marked already stay as long as somebody reads them. */
START_TEST(a_pin_keeps_packs_that_are_marked)
{
	CLEANUP(repository_close) struct repository *reader = NULL;
	struct beat *pin;

	g->lease_ms = GC_LONG_LEASE_MS;
	take_two();
	gc_mark_all(g);
	gc_ok(repository_open(g->f.url, g->f.credential, &reader, &g->e));
	ck_assert_int_eq(beat_pin(repository_store(reader),
				  repository_keys(reader), RECORD_READ_RESTORE,
				  &g->ids[0], 1, &pin, &g->e),
			 1);
	gc_collect(g, 0);
	ck_assert_uint_gt(g->result.n_blocked, 0);
	ck_assert_int_eq(g->result.blocked[0].kind, OBJECT_PIN);
	/* What the reader needs is left where it is. */
	ck_assert_uint_lt(g->result.bytes_copied, GC_FILE_BYTES);
	ck_assert_uint_le(g->result.chunks_live, g->result.chunks);
	gc_expect(g, 0);
	beat_stop(pin);
	gc_collect(g, 0);
	ck_assert_uint_eq(g->result.n_blocked, 0);
	ck_assert_uint_eq(g->result.bytes_pending, 0);
	gc_expect(g, 0);
	gc_expect_sound(g);
}
END_TEST

START_TEST(a_pin_that_stands_still_is_removed)
{
	take_two();
	gc_erase(g, 0);
	(void)gc_dead(g, OBJECT_PIN, g->ids[0]);
	gc_collect(g, 0);
	ck_assert_uint_eq(gc_objects(g, "pins/"), 0);
	ck_assert_uint_gt(g->result.deleted, 0);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, nothing_goes_while_nothing_is_deleted);
	tcase_add_test(tc, an_empty_repository_has_no_garbage);
	tcase_add_test(tc, a_deleted_snapshot_stays_until_its_time_is_over);
	tcase_add_test(tc, what_is_marked_is_looked_at_again_a_day_later);
	tcase_add_test(tc, without_grace_one_call_does_both);
	tcase_add_test(tc, a_grace_that_is_given_holds_for_deletions_too);
	tcase_add_test(tc, the_last_snapshot_takes_everything_with_it);
	tcase_add_test(tc, a_census_without_a_mark_goes);
	tcase_add_test(tc, grace_counts_from_when_the_mark_is_put);
	tcase_add_test(tc, a_mark_of_a_clock_far_ahead_is_put_again);
	tcase_add_test(tc, a_mark_of_a_clock_a_little_ahead_will_do);
	tcase_add_test(
		tc, a_mark_of_a_clock_far_behind_takes_nothing_that_is_needed);
	tcase_add_test(tc, a_hold_keeps_what_is_deleted);
	tcase_add_test(tc, a_lock_keeps_what_is_deleted);
	tcase_add_test(tc, what_is_needed_again_is_stored_again);
	tcase_add_test(tc, progress_is_what_was_done);
	tcase_add_test(tc, it_can_be_stopped_in_each_stage);
	tcase_add_test(tc, what_is_marked_cannot_be_undeleted);
	tcase_add_test(tc, what_a_mark_names_and_a_snapshot_needs_is_copied);
	tcase_add_test(tc, a_session_that_is_alive_keeps_what_it_may_rely_on);
	tcase_add_test(tc, a_session_that_began_after_the_mark_blocks_nothing);
	tcase_add_test(tc, a_mark_without_a_census_waits_for_who_is_there);
	tcase_add_test(tc, a_mark_whose_census_does_not_open_waits_for_all);
	tcase_add_test(tc, what_a_living_session_stored_is_no_garbage);
	tcase_add_test(tc, a_session_that_stands_still_is_given_up);
	tcase_add_test(
		tc, what_sessions_published_before_they_were_given_up_counts);
	tcase_add_test(tc,
		       what_a_session_published_before_it_was_fenced_counts);
	tcase_add_test(tc, a_session_that_overslept_cannot_publish);
	tcase_add_test(tc, an_index_object_that_came_too_late_is_none);
	tcase_add_test(tc, the_next_collection_finishes_what_a_dead_one_fenced);
	tcase_add_test(tc, no_void_is_put_of_who_is_alive);
	tcase_add_test(tc, a_pin_keeps_what_it_reads);
	tcase_add_test(tc, a_pin_keeps_packs_that_are_marked);
	tcase_add_test(tc, a_pin_that_stands_still_is_removed);
}

CHECK_MAIN("storage/gc", cases)

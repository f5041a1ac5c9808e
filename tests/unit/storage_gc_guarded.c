/* What a collection does where the store lets nothing go before its time. */
#include "storage/repository/gc.h"

#include "storage/replicate.h"
#include "storage/repository/index_internal.h"
#include "tests/support/guard_frame.h"

static struct gc_frame frame;
static struct gc_frame *const g = &frame;

static void set_up(void)
{
	guard_frame_init(g, "mem:guard-gc");
	gc_file(g, "kept");
}

static void tear_down(void)
{
	gc_frame_done(g);
}

/* Two snapshots; most of what is in the first is not in the second. */
static void take_two(int64_t lock_ms)
{
	gc_file(g, "gone");
	gc_file(g, "gone too");
	(void)guard_take_for(g, lock_ms);
	gc_unfile(g, "gone");
	gc_unfile(g, "gone too");
	(void)guard_take_for(g, lock_ms);
}

/* ---- Born guarded ------------------------------------------------------- */

static struct instant begun;

static int see_born(void *arg, const struct store_entry *entry, struct err *e)
{
	const struct instant least = instant_add_ms(begun, GUARD_LOCK_MS);
	struct store_guard x;

	(void)arg;
	ck_assert_int_eq(store_guarded(gc_store(g), entry->name, &x, e), 1);
	ck_assert(!x.held);
	/* Written before there was anything to be locked. */
	if (strncmp(entry->name, "key", 3) == 0 ||
	    strcmp(entry->name, "config") == 0)
		return 0;
	if (object_is_guarded(entry->name))
		ck_assert_msg(instant_compare(x.until, least) > 0, "%s",
			      entry->name);
	else
		ck_assert_msg(x.until.sec == 0, "%s", entry->name);
	return 0;
}

START_TEST(what_a_locked_snapshot_writes_is_guarded_at_once)
{
	begun = clock_now();
	(void)guard_take(g);
	gc_ok(store_list(gc_store(g), "", see_born, NULL, &g->e));
	ck_assert_uint_ge(gc_objects(g, "locks/"), 1);
	ck_assert_uint_ge(gc_packs(g), 2);
}
END_TEST

START_TEST(what_is_not_locked_is_not_guarded)
{
	(void)guard_take_for(g, 0);
	ck_assert_int_eq(guard_of(g, gc_last(g, "data/").s).until.sec, 0);
	ck_assert_int_eq(guard_of(g, gc_last(g, "snapshots/").s).until.sec, 0);
}
END_TEST

START_TEST(what_is_ahead_is_a_quarter_within_bounds)
{
	ck_assert_int_eq(guards_ahead_ms(GUARD_LOCK_MS), 2 * GC_DAY_MS);
	ck_assert_int_eq(guards_ahead_ms(2 * GC_DAY_MS), GC_DAY_MS);
	ck_assert_int_eq(guards_ahead_ms(1000), 1000);
	ck_assert_int_eq(guards_ahead_ms(3650 * GC_DAY_MS), 30 * GC_DAY_MS);
}
END_TEST

/* What a collector copies, and merges, may be what a lock is on. */
START_TEST(what_a_collector_writes_is_guarded_as_the_latest_lock)
{
	struct instant until;

	(void)guard_take(g);
	{
		CLEANUP(repository_snapshot_done)
		struct repository_snapshot s = gc_look(g, 0);

		until = s.locked_until;
	}
	gc_mark_all(g);
	gc_reopen(g);
	gc_collect(g, 0);
	ck_assert_uint_gt(g->result.chunks_copied, 0);
	ck_assert_uint_eq(g->result.deleted, 0);
	ck_assert_uint_ge(gc_objects(g, "data/"), 2);
	gc_ok(store_list(gc_store(g), "data/", see_born, NULL, &g->e));
	ck_assert_int_ge(
		instant_compare(guard_of(g, gc_last(g, "index/").s).until,
				until),
		0);
	gc_expect(g, 0);
}
END_TEST

/* ---- Waiting ------------------------------------------------------------ */

START_TEST(a_manifest_that_is_guarded_keeps_what_it_needs)
{
	size_t packs;

	take_two(GUARD_LOCK_MS);
	packs = gc_packs(g);
	/* The lock is over, what was ahead of need is not. */
	guard_later(g, GUARD_LOCK_MS + 60000);
	gc_erase(g, 0);
	gc_collect(g, 0);
	ck_assert_uint_eq(g->result.snapshots, 0);
	ck_assert_uint_eq(g->result.snapshots_locked, 1);
	ck_assert_uint_eq(g->result.marked, 0);
	ck_assert_uint_eq(g->result.deleted, 0);
	ck_assert_int_gt(instant_compare(g->result.locked_until, g->now), 0);
	ck_assert_uint_eq(gc_packs(g), packs);
	gc_expect(g, 0);
	guard_later(g, 2 * GC_DAY_MS);
	gc_collect(g, 0);
	ck_assert_uint_eq(g->result.snapshots, 1);
	ck_assert_uint_eq(g->result.snapshots_locked, 0);
	ck_assert_uint_gt(g->result.deleted, 0);
	ck_assert_uint_eq(g->result.bytes_locked, 0);
	ck_assert(!gc_exists(g, 0));
	gc_expect(g, 1);
	gc_expect_sound(g);
}
END_TEST

/* In whatever order their ids are. */
START_TEST(of_several_that_go_only_those_that_may_do)
{
	enum { ALL = 6, GUARDED = 2 };

	for (int i = 0; i <= ALL; i++) {
		const char name[] = { (char)('a' + i), '\0' };

		gc_file(g, name);
		(void)guard_take_for(g, 0);
		gc_unfile(g, name);
	}
	for (size_t i = 0; i < ALL; i++) {
		CLEANUP(repository_snapshot_done)
		struct repository_snapshot s = gc_look(g, i);

		if (i % (ALL / GUARDED) == 1)
			ck_assert_int_eq(
				store_guard(
					gc_store(g),
					object_name_pair(OBJECT_MANIFEST,
							 s.manifest.snapshot,
							 s.manifest.session)
						.s,
					instant_add_ms(g->now, GC_DAY_MS),
					&g->e),
				1);
		gc_erase(g, i);
	}
	gc_collect(g, 0);
	ck_assert_uint_eq(g->result.snapshots, ALL - GUARDED);
	ck_assert_uint_eq(g->result.snapshots_locked, GUARDED);
	for (size_t i = 0; i < ALL; i++) {
		if (i % (ALL / GUARDED) == 1)
			gc_expect(g, i);
		else
			ck_assert(!gc_exists(g, i));
	}
	gc_expect(g, ALL);
	gc_expect_sound(g);
}
END_TEST

/* Nobody needs its pack, which is locked for longer than its manifest. */
static void lock_the_pack(void)
{
	take_two(0);
	ck_assert_int_eq(store_guard(gc_store(g), gc_last(g, "data/").s,
				     instant_add_ms(g->now, GC_DAY_MS), &g->e),
			 1);
	gc_erase(g, 0);
	gc_erase(g, 1);
}

START_TEST(what_may_not_go_yet_is_not_marked)
{
	const struct object_name pack = (lock_the_pack(), gc_last(g, "data/"));
	struct snapshot_result again;

	gc_collect(g, 0);
	ck_assert_uint_eq(g->result.snapshots, 2);
	ck_assert_uint_eq(g->result.locked, 1);
	ck_assert_uint_gt(g->result.bytes_locked, 2 * GC_FILE_BYTES);
	ck_assert_int_eq(instant_compare(g->result.locked_until,
					 instant_add_ms(g->now, GC_DAY_MS)),
			 0);
	ck_assert_uint_eq(gc_objects(g, pack.s), 1);
	/* So it serves whoever needs the same again. */
	again = guard_take_for(g, 0);
	ck_assert_uint_lt(again.bytes_new, GC_FILE_BYTES);
	gc_expect(g, 2);
	gc_erase(g, 2);
	gc_collect(g, 0);
	ck_assert_uint_eq(g->result.locked, 1);
	guard_later(g, GC_DAY_MS);
	gc_collect(g, 0);
	ck_assert_uint_eq(g->result.locked, 0);
	ck_assert_uint_eq(gc_packs(g), 0);
	gc_collect(g, 0);
	ck_assert_uint_eq(gc_objects(g, "marks/"), 0);
}
END_TEST

/* As who may write, and removes nothing, puts it there. */
static void put_on_top(const char *name)
{
	CLEANUP(buf_done) struct buf b;

	gc_reopen(g);
	repo_get(gc_store(g), name, &b);
	b.data[b.len / 2] ^= 1;
	repo_set(gc_store(g), name, b.data, b.len);
	ck_assert(store_has_several(gc_store(g), name));
}

START_TEST(what_lies_on_top_lets_nothing_below_go)
{
	CLEANUP(buf_done) struct buf whole;
	CLEANUP(buf_done) struct buf b;
	struct object_name pack;

	gc_frame_done(g);
	guard_frame_init(g, "mem:guard-versions-gc");
	gc_file(g, "kept");
	lock_the_pack();
	pack = gc_last(g, "data/");
	repo_get(gc_store(g), pack.s, &whole);
	put_on_top(pack.s);
	gc_reopen(g);
	gc_collect(g, 0);
	ck_assert_uint_eq(g->result.locked, 1);
	ck_assert_int_eq(instant_compare(g->result.locked_until,
					 instant_add_ms(g->now, GC_DAY_MS)),
			 0);
	ck_assert_uint_eq(gc_objects(g, pack.s), 1);
	/* Of which the oldest is read, as before. */
	repo_get(gc_store(g), pack.s, &b);
	ck_assert_mem_eq(b.data, whole.data, whole.len);
	guard_later(g, GC_DAY_MS);
	gc_collect(g, 0);
	ck_assert_uint_eq(g->result.locked, 0);
	ck_assert_uint_eq(gc_packs(g), 0);
}
END_TEST

/* Of the one on top: what is read stays the oldest, as whoever asked may go on
 * with this store. */
START_TEST(a_question_of_versions_that_fails_leaves_none_turned)
{
	CLEANUP(buf_done) struct buf whole;
	CLEANUP(buf_done) struct buf b;
	struct object_name pack;
	struct fault f = {
		.call = FAULT_GUARD, .action = FAULT_FAIL, .nth = 2, .times = 1
	};

	gc_frame_done(g);
	guard_frame_init(g, "mem:guard-versions-gc");
	gc_file(g, "kept");
	lock_the_pack();
	pack = gc_last(g, "data/");
	repo_get(gc_store(g), pack.s, &whole);
	put_on_top(pack.s);
	gc_reopen(g);
	f.prefix = pack.s;
	fault_add(gc_store(g), &f);
	ck_assert_int_eq(gc_collect_with(g, 0, 0), -1);
	ck_assert_int_eq(g->e.code, ERR_IO);
	repo_get(gc_store(g), pack.s, &b);
	ck_assert_uint_eq(b.len, whole.len);
	ck_assert_mem_eq(b.data, whole.data, whole.len);
	fault_clear(gc_store(g));
}
END_TEST

START_TEST(what_is_held_waits_without_an_end)
{
	size_t meta;

	take_two(0);
	gc_erase(g, 0);
	gc_erase(g, 1);
	ck_assert_int_eq(
		store_hold(gc_store(g), gc_last(g, "data/").s, true, &g->e), 1);
	guard_later(g, 10000 * GC_DAY_MS);
	meta = gc_objects(g, "meta/");
	gc_collect(g, 0);
	ck_assert_uint_eq(g->result.marked, meta);
	ck_assert_uint_eq(g->result.locked, 1);
	ck_assert_int_eq(g->result.locked_until.sec, 0);
	ck_assert_int_eq(
		store_hold(gc_store(g), gc_last(g, "data/").s, false, &g->e),
		1);
	gc_collect(g, 0);
	ck_assert_uint_eq(gc_packs(g), 0);
}
END_TEST

/* It would only lie there twice. */
START_TEST(a_pack_that_is_guarded_is_not_rewritten)
{
	take_two(0);
	ck_assert_int_eq(store_guard(gc_store(g), gc_last(g, "data/").s,
				     instant_add_ms(g->now, GC_DAY_MS), &g->e),
			 1);
	gc_erase(g, 0);
	gc_collect(g, 0);
	ck_assert_uint_eq(g->result.bytes_copied, 0);
	guard_later(g, GC_DAY_MS);
	gc_collect(g, 0);
	ck_assert_uint_gt(g->result.bytes_copied, GC_FILE_BYTES / 2);
	gc_expect(g, 1);
}
END_TEST

/* Each session has one of its own, until they become one. */
START_TEST(index_objects_that_may_not_go_wait_and_become_no_more)
{
	char name[16];
	size_t n;

	for (int i = 0; i < 12; i++) {
		(void)snprintf(name, sizeof(name), "f%d", i);
		gc_file(g, name);
		(void)guard_take(g);
	}
	gc_collect(g, 0);
	ck_assert_uint_gt(g->result.index_merged, 0);
	ck_assert_uint_gt(g->result.bytes_locked, 0);
	ck_assert_uint_eq(g->result.locked, 0); /* packs */
	n = gc_objects(g, "index/");
	ck_assert_uint_gt(n, g->result.index_objects);
	gc_collect(g, 0);
	ck_assert_uint_eq(gc_objects(g, "index/"), n);
	ck_assert_uint_eq(gc_objects(g, "marks/"), 0);
	guard_later(g, GUARD_ALL_MS + 60000);
	gc_collect(g, 0);
	gc_collect(g, 0);
	ck_assert_uint_eq(gc_objects(g, "index/"), g->result.index_objects);
	for (size_t i = 0; i < g->n; i += 5)
		gc_expect(g, i);
	gc_expect_sound(g);
}
END_TEST

/* Days of snapshots, each of which lasts for ten years, and collections. */
static void go_on(int days, int64_t day_ms, size_t *most,
		  size_t *most_that_count)
{
	char name[16];

	for (int day = 0; day < days; day++) {
		for (int i = 0; i < 2; i++) {
			(void)snprintf(name, sizeof(name), "f%zu", g->n);
			gc_file(g, name);
			(void)guard_take_for(g, 3660 * GC_DAY_MS);
		}
		guard_later(g, day_ms);
		gc_collect(g, GC_DAY_MS / 2);
		if (gc_objects(g, "index/") > *most)
			*most = gc_objects(g, "index/");
		if (g->result.index_objects > *most_that_count)
			*most_that_count = g->result.index_objects;
	}
}

/* All that one says is in the packs, so it need not stay for as long. */
START_TEST(index_objects_are_guarded_for_two_weeks_and_what_counts_for_longer)
{
	struct instant until;
	size_t most = 0;
	size_t count = 0;

	(void)guard_take_for(g, 3660 * GC_DAY_MS);
	until = guard_of(g, gc_last(g, "index/").s).until;
	ck_assert_int_ge(instant_ms_between(g->now, until), 13 * GC_DAY_MS);
	ck_assert_int_le(instant_ms_between(g->now, until), 15 * GC_DAY_MS);
	/* By the snapshots alone. */
	for (int i = 0; i < 4; i++) {
		guard_later(g, 6 * GC_DAY_MS);
		(void)guard_take_for(g, 3660 * GC_DAY_MS);
		until = guard_of(g, gc_last(g, "index/").s).until;
		ck_assert_int_ge(instant_ms_between(g->now, until),
				 7 * GC_DAY_MS);
	}
	ck_assert_int_le(instant_ms_between(g->now, until), 31 * GC_DAY_MS);
	go_on(20, GC_DAY_MS, &most, &count);
	/* Those of two weeks, and what is marked. */
	ck_assert_uint_lt(most, 17 * 2 + 17 + 8);
	ck_assert_uint_le(count, 8);
	gc_expect(g, 0);
	gc_expect(g, g->n - 1);
}
END_TEST

static struct instant lengthened;

static int lengthen_one(void *arg, const struct store_entry *entry,
			struct err *e)
{
	(void)arg;
	return store_guard(gc_store(g), entry->name, lengthened, e) < 0 ? -1
									: 0;
}

static int see_superseded(void *arg, const struct index_object *o,
			  struct err *e)
{
	size_t *n = arg;

	(void)e;
	if (instant_compare(guard_of(g, o->in.name.s).until, lengthened) < 0)
		return 0;
	*n += o->replaced;
	return 0;
}

/* How many were lengthened, and are superseded. */
static size_t lengthened_ones(void)
{
	const struct index_set_options o = { .cache_bytes = 1U << 20 };
	CLEANUP(index_set_free) struct index_set *index = NULL;
	size_t n = 0;

	gc_ok(index_set_open(gc_store(g), repository_keys(g->f.r), &o, &index,
			     &g->e));
	gc_ok(index_set_each(index, see_superseded, &n, &g->e));
	return n;
}

/*
 * As if a root had room for very few: what is more waits below another, which
 * stays as long, and does not count again.
 */
START_TEST(more_superseded_ones_than_a_root_names_are_no_hindrance)
{
	size_t most = 0;
	size_t count = 0;
	char name[16];

	g->superseded_max = 12;
	for (int i = 0; i < 5; i++) {
		(void)snprintf(name, sizeof(name), "first%d", i);
		gc_file(g, name);
		(void)guard_take_for(g, 3660 * GC_DAY_MS);
	}
	/* Longer than what will supersede them. */
	lengthened = instant_add_ms(g->now, 100 * GC_DAY_MS);
	gc_ok(store_list(gc_store(g), "index/", lengthen_one, NULL, &g->e));
	go_on(3, 2 * GC_DAY_MS, &most, &count);
	ck_assert_uint_eq(lengthened_ones(), 5);
	for (int day = 3; day < 22; day++) {
		go_on(1, 2 * GC_DAY_MS, &most, &count);
		ck_assert_uint_eq(lengthened_ones(), 5);
	}
	ck_assert_uint_gt(most, 20);
	ck_assert_uint_le(count, 8);
	for (int i = 0; i < 45; i++) {
		guard_later(g, 2 * GC_DAY_MS);
		gc_collect(g, GC_DAY_MS / 2);
		ck_assert_uint_le(g->result.index_objects, 8);
	}
	/* All that waited has gone. */
	ck_assert_uint_le(gc_objects(g, "index/"), 8);
	gc_expect(g, 0);
	gc_expect(g, g->n - 1);
	gc_expect_sound(g);
}
END_TEST

/* Somebody with the key says that its session was given up, and left nothing.
 */
static void forge_void(size_t i)
{
	CLEANUP(repository_snapshot_done)
	struct repository_snapshot s = gc_look(g, i);

	gc_ok(repo_give_up(g->f.r, s.manifest.session,
			   (struct object_id){ { 0 } }, &g->e));
}

START_TEST(a_void_of_a_session_that_a_lock_names_hides_nothing)
{
	(void)guard_take(g);
	gc_file(g, "other");
	(void)guard_take_for(g, 0);
	forge_void(0);
	forge_void(1);
	gc_reopen(g);
	ck_assert(gc_exists(g, 0));
	ck_assert(!gc_exists(g, 1));
	gc_collect(g, 0);
	gc_expect(g, 0);
	gc_expect_sound(g);
}
END_TEST

/* Of what another session wrote, and a locked snapshot needs. */
START_TEST(a_void_of_a_session_that_is_not_locked_hides_nothing_from_readers)
{
	(void)guard_take_for(g, 0);
	(void)guard_take(g);
	gc_file(g, "other");
	(void)guard_take(g);
	forge_void(0);
	gc_reopen(g);
	ck_assert(!gc_exists(g, 0));
	gc_expect(g, 1);
	gc_expect(g, 2);
	/* Nothing goes; and a repair makes it count again. */
	ck_assert_int_eq(gc_collect_with(g, 0, GC_REWRITE_BYTES), -1);
	ck_assert_int_eq(g->e.code, ERR_CORRUPT);
	gc_expect(g, 1);
	gc_repair(g);
	gc_expect_sound(g);
	gc_collect(g, 0);
	gc_expect(g, 1);
	gc_expect(g, 2);
}
END_TEST

struct lying {
	struct index_writer *w;
	struct chunk_id last;
	bool any;
};

/* Each chunk of data is said to be in a pack that is not there. */
static int lie(void *arg, const struct pack_entry *entry, struct err *e)
{
	struct lying *l = arg;
	struct pack_entry x = *entry;

	if (l->any && chunk_id_equal(&l->last, &entry->seal.id))
		return 0;
	l->any = true;
	l->last = entry->seal.id;
	if (!chunk_kind_is_meta(x.seal.kind))
		memset(&x.place.pack, 0x5a, sizeof(x.place.pack));
	return index_writer_add(l->w, &x, e);
}

/* Somebody with the key says that an object of nothing, or of lies, replaces
 * all others. */
static void forge_superseding(bool lies)
{
	const struct index_set_options o = { .cache_bytes = 1U << 20 };
	CLEANUP(index_writer_free) struct index_writer *w = NULL;
	CLEANUP(index_set_free) struct index_set *index = NULL;
	struct index_object **v;
	size_t n;

	gc_ok(index_set_open(gc_store(g), repository_keys(g->f.r), &o, &index,
			     &g->e));
	gc_ok(index_set_snapshot(index, &v, &n, &g->e));
	gc_ok(index_writer_open(gc_store(g), repository_keys(g->f.r),
				(struct object_id){ { 0 } }, &w, &g->e));
	if (lies)
		gc_ok(index_set_walk(index, lie, &(struct lying){ .w = w },
				     &g->e));
	for (size_t i = 0; i < n; i++)
		gc_ok(index_writer_supersede(w, v[i]->in.id, &g->e));
	gc_ok(index_writer_commit(w, NULL, &g->e));
	free(v);
}

START_TEST(an_object_that_supersedes_all_hides_nothing_from_readers)
{
	(void)guard_take(g);
	gc_file(g, "other");
	(void)guard_take(g);
	forge_superseding(false);
	gc_reopen(g);
	gc_expect(g, 0);
	gc_expect(g, 1);
	gc_repair(g);
	gc_expect_sound(g);
	gc_expect(g, 0);
}
END_TEST

/* Nor from who copies: what is read in vain is looked for there, too. */
START_TEST(an_object_that_lies_of_data_hides_nothing_from_readers)
{
	const struct replicate_options o = { .host = "h" };
	CLEANUP(repository_close) struct repository *to = NULL;
	struct replicate_result r;
	struct store *s;

	(void)guard_take(g);
	forge_superseding(true);
	gc_reopen(g);
	gc_expect(g, 0);
	gc_reopen(g);
	gc_ok(store_open("mem:guard-copies", true, &s, &g->e));
	gc_ok(replicate_settle(gc_store(g), s, g->f.credential, &g->e));
	gc_ok(repository_open_on(s, g->f.credential, &to, &g->e));
	gc_ok(replicate_run(g->f.r, to, &o, &r, &g->e));
	ck_assert_uint_eq(r.copied, 1);
	store_mem_forget("mem:guard-copies");
}
END_TEST

/* ---- What is no guard --------------------------------------------------- */

START_TEST(a_right_that_is_missing_is_told_as_such)
{
	const struct fault denied = { .call = FAULT_REMOVE,
				      .action = FAULT_FAIL,
				      .prefix = "data/",
				      .code = ERR_DENIED };

	take_two(0);
	gc_erase(g, 0);
	gc_erase(g, 1);
	fault_add(gc_store(g), &denied);
	ck_assert_int_eq(gc_collect_with(g, 0, 0), -1);
	ck_assert_int_eq(g->e.code, ERR_DENIED);
	fault_clear(gc_store(g));
	gc_collect(g, 0);
	ck_assert_uint_eq(gc_packs(g), 0);
}
END_TEST

/* Between the question and the deletion somebody locked it. */
static void lock_it(struct gc_frame *other, const char *name)
{
	ck_assert_int_eq(store_guard(gc_store(other), name,
				     instant_add_ms(other->now, GC_DAY_MS),
				     &other->e),
			 1);
}

START_TEST(a_pack_that_is_locked_meanwhile_stays)
{
	take_two(0);
	gc_erase(g, 0);
	gc_erase(g, 1);
	gc_meanwhile(g, FAULT_REMOVE, "data/", 1, lock_it);
	gc_collect(g, 0);
	ck_assert_uint_eq(g->acted, 1);
	ck_assert_uint_eq(g->result.locked, 1);
	ck_assert_int_eq(instant_compare(g->result.locked_until,
					 instant_add_ms(g->now, GC_DAY_MS)),
			 0);
	ck_assert_uint_eq(gc_objects(g, "data/"), 1);
	fault_clear(gc_store(g));
	guard_later(g, GC_DAY_MS);
	gc_collect(g, 0);
	ck_assert_uint_eq(gc_packs(g), 0);
}
END_TEST

static void hold_it(struct gc_frame *other, const char *name)
{
	ck_assert_int_eq(store_hold(gc_store(other), name, true, &other->e), 1);
}

START_TEST(a_pack_that_is_held_meanwhile_stays)
{
	take_two(0);
	gc_erase(g, 0);
	gc_erase(g, 1);
	gc_meanwhile(g, FAULT_REMOVE, "data/", 1, hold_it);
	gc_collect(g, 0);
	ck_assert_uint_eq(g->acted, 1);
	ck_assert_uint_eq(g->result.locked, 1);
	ck_assert_int_eq(g->result.locked_until.sec, 0);
	ck_assert_uint_eq(gc_objects(g, "data/"), 1);
}
END_TEST

START_TEST(a_manifest_that_is_locked_meanwhile_keeps_its_packs)
{
	size_t packs;

	take_two(0);
	packs = gc_packs(g);
	gc_erase(g, 0);
	gc_meanwhile(g, FAULT_REMOVE, "snapshots/", 1, lock_it);
	ck_assert_int_eq(gc_collect_with(g, 0, 0), -1);
	ck_assert_int_eq(g->e.code, ERR_BUSY);
	ck_assert_uint_eq(g->acted, 1);
	fault_clear(gc_store(g));
	ck_assert_uint_eq(gc_packs(g), packs);
	gc_expect(g, 0);
	gc_collect(g, 0);
	ck_assert_uint_eq(g->result.snapshots_locked, 1);
	gc_expect(g, 0);
}
END_TEST

/* Whatever question fails, nothing goes that was not asked about. */
static void fail_each_question(void)
{
	const size_t packs = gc_packs(g);
	uint64_t n = 0;

	for (;;) {
		const struct fault f = { .call = FAULT_GUARD,
					 .action = FAULT_FAIL,
					 .nth = ++n,
					 .times = 1 };

		gc_reopen(g);
		fault_add(gc_store(g), &f);
		if (gc_collect_with(g, 0, GC_REWRITE_BYTES) == 0)
			break;
		ck_assert_int_eq(g->e.code, ERR_IO);
		ck_assert_uint_ge(gc_packs(g), packs);
		ck_assert_uint_lt(n, 100);
	}
	ck_assert_uint_gt(n, 4);
}

START_TEST(a_question_that_fails_lets_nothing_go)
{
	take_two(0);
	gc_erase(g, 0);
	gc_erase(g, 1);
	fail_each_question();
	ck_assert_uint_eq(gc_packs(g), 0);
}
END_TEST

START_TEST(nor_does_one_of_what_is_to_be_rewritten)
{
	take_two(0);
	gc_erase(g, 0);
	fail_each_question();
	gc_expect(g, 1);
	gc_expect_sound(g);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, what_a_locked_snapshot_writes_is_guarded_at_once);
	tcase_add_test(tc, what_is_not_locked_is_not_guarded);
	tcase_add_test(tc, what_is_ahead_is_a_quarter_within_bounds);
	tcase_add_test(tc,
		       what_a_collector_writes_is_guarded_as_the_latest_lock);
	tcase_add_test(tc, a_manifest_that_is_guarded_keeps_what_it_needs);
	tcase_add_test(tc, of_several_that_go_only_those_that_may_do);
	tcase_add_test(tc, what_may_not_go_yet_is_not_marked);
	tcase_add_test(tc, what_lies_on_top_lets_nothing_below_go);
	tcase_add_test(tc,
		       a_question_of_versions_that_fails_leaves_none_turned);
	tcase_add_test(tc, what_is_held_waits_without_an_end);
	tcase_add_test(tc, a_pack_that_is_guarded_is_not_rewritten);
	tcase_add_test(tc,
		       index_objects_that_may_not_go_wait_and_become_no_more);
	tcase_add_test(
		tc,
		index_objects_are_guarded_for_two_weeks_and_what_counts_for_longer);
	tcase_add_test(tc,
		       more_superseded_ones_than_a_root_names_are_no_hindrance);
	tcase_add_test(tc, a_void_of_a_session_that_a_lock_names_hides_nothing);
	tcase_add_test(
		tc,
		a_void_of_a_session_that_is_not_locked_hides_nothing_from_readers);
	tcase_add_test(
		tc, an_object_that_supersedes_all_hides_nothing_from_readers);
	tcase_add_test(tc,
		       an_object_that_lies_of_data_hides_nothing_from_readers);
	tcase_add_test(tc, a_right_that_is_missing_is_told_as_such);
	tcase_add_test(tc, a_pack_that_is_locked_meanwhile_stays);
	tcase_add_test(tc, a_pack_that_is_held_meanwhile_stays);
	tcase_add_test(tc, a_manifest_that_is_locked_meanwhile_keeps_its_packs);
	tcase_add_test(tc, a_question_that_fails_lets_nothing_go);
	tcase_add_test(tc, nor_does_one_of_what_is_to_be_rewritten);
}

CHECK_MAIN("storage/gc_guarded", cases)

/*
 * What others do in the middle of a collection: between any two of its calls
 * to the store anybody may do anything.
 */
#include "storage/repository/beat.h"
#include "storage/repository/gc.h"
#include "storage/repository/gc_internal.h"
#include "storage/repository/index_internal.h"
#include "tests/support/gc_frame.h"

static struct gc_frame frame;
static struct gc_frame *const g = &frame;

static void set_up(void)
{
	gc_frame_init(g, "mem:gc_meanwhile");
	gc_file(g, "kept");
}

static void tear_down(void)
{
	gc_frame_done(g);
}

static void later(int64_t ms)
{
	g->now = instant_add_ms(g->now, ms);
}

/* Two snapshots: the first has files that the second has not; it is deleted. */
static void take_two(void)
{
	char name[16];

	for (int i = 0; i < 4; i++) {
		(void)snprintf(name, sizeof(name), "gone%d", i);
		gc_file(g, name);
	}
	(void)gc_take(g);
	for (int i = 0; i < 4; i++) {
		(void)snprintf(name, sizeof(name), "gone%d", i);
		gc_unfile(g, name);
	}
	(void)gc_take(g);
	gc_erase(g, g->n - 2);
}

/* What was taken last, and everything that is there, is whole. */
static void expect_nothing_lost(void)
{
	gc_expect(g, g->n - 1);
	gc_expect_sound(g);
}

static void expect_busy(int failed, const char *says)
{
	ck_assert_int_eq(failed, -1);
	ck_assert_msg(g->e.code == ERR_BUSY, "%s", g->e.text);
	ck_assert_msg(strstr(g->e.text, says), "\"%s\" lacks \"%s\"", g->e.text,
		      says);
	ck_assert_uint_eq(g->acted, 1);
	fault_clear(gc_store(g));
}

/* ---- The index changes -------------------------------------------------- */

/* The first snapshot there was: a repair gave its tree up. */
static void take_one_without_tree(void)
{
	gc_file(g, "first");
	(void)gc_take(g);
	gc_unfile(g, "first");
	gc_damage_chunks(g, gc_last(g, "meta/").s);
	gc_repair(g);
}

static void take_another(struct gc_frame *x, const char *name)
{
	struct snapshot_result taken;

	(void)name;
	gc_file(x, "another");
	taken = repo_take(&x->f);
	x->ids[x->n] = taken.id;
	repo_list(&x->trees[x->n++], x->f.from);
}

/*
 * Looking for what was given up must not take in what others name since: the
 * survey's numbers are of the index that it opened.
 */
START_TEST(what_is_named_meanwhile_does_not_stop_it)
{
	take_one_without_tree();
	take_two();
	/* Its index is open then: fences are listed last. */
	gc_meanwhile(g, FAULT_LIST, "fences/", 2, take_another);
	gc_collect(g, 0);
	ck_assert_uint_eq(g->acted, 1);
	ck_assert_uint_gt(g->result.deleted, 0);
	gc_expect(g, 2);
	gc_expect(g, 3);
}
END_TEST

struct merging {
	struct index_writer *to;
	struct chunk_id first; /* is left out */
	bool any;
};

static int add_all_but_first(void *arg, const struct pack_entry *x,
			     struct err *e)
{
	struct merging *m = arg;

	if (!m->any) {
		m->first = x->seal.id;
		m->any = true;
	}
	return chunk_id_equal(&m->first, &x->seal.id)
		       ? 0
		       : index_writer_add(m->to, x, e);
}

static int supersede(void *arg, const struct index_object *o, struct err *e)
{
	return index_writer_supersede(arg, o->in.id, e);
}

/* Whether all but the first chunk, or all chunks, are needed. */
static void write_index_without_first(struct store *s, const struct keys *k,
				      struct object_id *ret)
{
	const struct index_set_options o = { .cache_bytes = 0 };
	CLEANUP(index_writer_free) struct index_writer *w = NULL;
	CLEANUP(index_set_free) struct index_set *x = NULL;
	struct merging m = { .any = false };

	gc_ok(index_set_open(s, k, &o, &x, &g->e));
	gc_ok(index_writer_open(s, k, (struct object_id){ { 0 } }, &w, &g->e));
	m.to = w;
	gc_ok(index_set_walk(x, add_all_but_first, &m, &g->e));
	gc_ok(index_set_each(x, supersede, w, &g->e));
	gc_ok(index_writer_commit(w, ret, &g->e));
}

static int see_group(void *arg, const struct gc_group *group, struct err *e)
{
	(void)e;
	*(uint64_t *)arg += group->live;
	return 0;
}

/*
 * The last line: an index that is not the one of the survey, with one chunk
 * less in front, would give each chunk the fate of its neighbour.
 */
START_TEST(an_index_of_other_chunks_ends_a_survey)
{
	struct gc_result out = { 0 };
	const struct gc_options o = { .now = g->now, .host = "host" };
	struct gc x = { .o = &o, .out = &out };
	struct object_id merged;
	uint64_t live = 0;

	take_two();
	x.r = g->f.r;
	x.store = gc_store(g);
	x.keys = repository_keys(g->f.r);
	gc_ok(gc_survey(&x, &g->e));
	gc_ok(gc_walk(&x, see_group, &live, &g->e));
	ck_assert_uint_eq(live, out.chunks_live);
	write_index_without_first(x.store, x.keys, &merged);
	gc_ok(index_set_add(x.index, merged, &g->e));
	ck_assert_int_eq(gc_walk(&x, see_group, &live, &g->e), -1);
	ck_assert_int_eq(g->e.code, ERR_BUSY);
	gc_survey_done(&x);
}
END_TEST

/* ---- Somebody wants it after all ---------------------------------------- */

static void hold(struct gc_frame *x, const char *source)
{
	struct deletion_hold h = {
		.case_name = "case", .by = "me", .now = x->now, .source = source
	};
	struct object_id id;

	if (!source) {
		h.snapshots = &x->ids[0];
		h.n_snapshots = 1;
	}
	gc_ok(deletion_hold(x->f.r, &h, &id, &x->e));
}

static void hold_snapshot(struct gc_frame *x, const char *name)
{
	(void)name;
	hold(x, NULL);
}

static void hold_source(struct gc_frame *x, const char *name)
{
	(void)name;
	hold(x, "web");
}

static void lock(struct gc_frame *x, const char *name)
{
	CLEANUP(repository_snapshot_done)
	struct repository_snapshot s = gc_look(x, 0);

	(void)name;
	gc_ok(deletion_lock(x->f.r, &s, instant_add_ms(x->now, 5000), "me",
			    x->now, &x->e));
}

static void pin(struct gc_frame *x, const char *name)
{
	(void)name;
	(void)gc_dead(x, OBJECT_PIN, x->ids[0]);
}

static void undelete(struct gc_frame *x, const char *name)
{
	(void)name;
	gc_ok(gc_undelete(x, 0));
}

/*
 * It looked again and copied; what it asks now is whether it was fenced, and
 * then things go.  Whoever was answered before that is heard.
 */
static void expect_second_thoughts(void (*act)(struct gc_frame *x,
					       const char *name),
				   bool marked, const char *says)
{
	size_t packs;
	uint64_t nth;

	take_two();
	if (marked)
		gc_mark_all(g);
	packs = gc_packs(g);
	later(10);
	/* Marked, what is needed is copied, which asks once, too. */
	nth = marked ? 2 : 1;
	gc_meanwhile(g, FAULT_READ, "fences/", nth, act);
	expect_busy(gc_collect_with(g, 1, GC_REWRITE_BYTES), says);
	ck_assert_ptr_nonnull(strstr(g->e.hint, "collect again"));
	ck_assert_uint_eq(g->result.deleted, 0);
	ck_assert_uint_eq(g->result.snapshots, 0);
	ck_assert_uint_ge(gc_packs(g), packs);
	gc_expect(g, 0);
	expect_nothing_lost();
}

START_TEST(a_hold_that_comes_before_the_deletion_is_heard)
{
	expect_second_thoughts(hold_snapshot, true, "put under a hold");
}
END_TEST

START_TEST(a_hold_on_its_source_is_heard)
{
	expect_second_thoughts(hold_source, true, "put under a hold");
}
END_TEST

START_TEST(a_lock_that_comes_before_the_deletion_is_heard)
{
	expect_second_thoughts(lock, true, "locked");
}
END_TEST

START_TEST(a_pin_that_comes_before_the_deletion_is_heard)
{
	expect_second_thoughts(pin, true, "pinned by a reader");
}
END_TEST

/* Which can only be of what is not marked: only the manifest would go. */
START_TEST(an_undelete_that_comes_before_the_deletion_is_heard)
{
	expect_second_thoughts(undelete, false, "undeleted");
	gc_collect(g, 0);
	ck_assert_uint_eq(g->result.snapshots, 0);
	gc_expect(g, 0);
}
END_TEST

static void collect_in_between(struct gc_frame *x, const char *name)
{
	(void)name;
	gc_collect(x, 0);
}

/*
 * It published the manifest anew, and has not revoked the tombstone yet: of the
 * two manifests of a snapshot that is deleted still, that one is its session's.
 */
START_TEST(what_an_undelete_has_published_is_left_to_it)
{
	take_two();
	later(10);
	g->lease_ms = GC_LONG_LEASE_MS;
	gc_meanwhile(g, FAULT_BEGIN, "undeletes/", 1, collect_in_between);
	gc_ok(gc_undelete(g, 0));
	ck_assert_uint_eq(g->acted, 1);
	gc_expect(g, 0);
	gc_collect(g, 0);
	gc_expect(g, 0);
	expect_nothing_lost();
}
END_TEST

/* ---- Given up ----------------------------------------------------------- */

/* What a collector does that saw nothing of the session whose fence is asked
 * for. */
static void give_up(struct gc_frame *x, const char *name)
{
	struct object_id first;
	struct object_id session;

	ck_assert(object_name_parse(OBJECT_FENCE, name, &first, &session));
	gc_ok(repo_give_up(x->f.r, session, (struct object_id){ { 0 } },
			   &x->e));
}

/*
 * Between copying and deleting: nothing goes, as the index object that names
 * the copies does not count.
 */
START_TEST(a_collector_that_was_given_up_deletes_nothing)
{
	size_t packs;

	take_two();
	gc_mark_all(g);
	packs = gc_packs(g);
	later(10);
	gc_meanwhile(g, FAULT_READ, "fences/", 2, give_up);
	expect_busy(gc_collect_with(g, 1, GC_REWRITE_BYTES), "given up");
	ck_assert_uint_gt(g->result.chunks_copied, 0);
	ck_assert_uint_eq(g->result.deleted, 0);
	ck_assert_uint_eq(g->result.snapshots, 0);
	ck_assert_uint_gt(gc_packs(g), packs); /* with its copies */
	expect_nothing_lost();
	/* The next copies again, as those do not count, and then they go. */
	gc_collect(g, 1);
	ck_assert_uint_gt(g->result.chunks_copied, 0);
	ck_assert_uint_gt(g->result.deleted, 0);
	expect_nothing_lost();
	gc_collect(g, 0);
	gc_collect(g, 0);
	expect_nothing_lost();
	ck_assert_uint_eq(g->result.bytes_pending, 0);
	ck_assert_uint_eq(g->result.chunks, g->result.chunks_live);
}
END_TEST

/* The session of a snapshot, of which somebody found only the manifest. */
static void void_first(struct gc_frame *x, const char *name)
{
	CLEANUP(repository_snapshot_done)
	struct repository_snapshot s = gc_look(x, 0);
	struct record v;

	(void)name;
	record_init(&v, OBJECT_VOID);
	v.id = object_id_new();
	v.session = s.manifest.session;
	gc_ok(record_add_id(&v, x->ids[0], &x->e));
	gc_ok(record_put(gc_store(x), repository_keys(x->f.r), &v, 0, &x->e));
	record_done(&v);
}

static void stand_still(size_t i)
{
	CLEANUP(repository_snapshot_done)
	struct repository_snapshot s = gc_look(g, i);
	struct record r;

	record_init(&r, OBJECT_SESSION);
	r.id = s.manifest.session;
	gc_ok(record_put(gc_store(g), repository_keys(g->f.r), &r, 0, &g->e));
}

/*
 * Two collectors gave one session up, and the second saw less of it: what its
 * index object names is named by the first collector's own by then.
 */
START_TEST(what_a_second_void_leaves_out_was_adopted)
{
	gc_file(g, "more");
	(void)gc_take(g);
	stand_still(0);
	gc_collect(g, -1);
	ck_assert_uint_eq(g->result.sessions_ended, 1);
	gc_reopen(g);
	void_first(g, "");
	gc_expect(g, 0);
	gc_expect_sound(g);
	gc_collect(g, 0);
	ck_assert_uint_eq(g->result.deleted, 0);
	expect_nothing_lost();
}
END_TEST

/* The second void comes while the first collector is adopting. */
START_TEST(a_second_void_in_the_middle_of_adopting_harms_nothing)
{
	gc_file(g, "more");
	(void)gc_take(g);
	stand_still(0);
	gc_meanwhile(g, FAULT_BEGIN, "index/", 1, void_first);
	gc_collect(g, 0);
	ck_assert_uint_eq(g->acted, 1);
	ck_assert_uint_eq(g->result.deleted, 0);
	expect_nothing_lost();
	gc_collect(g, 0);
	expect_nothing_lost();
}
END_TEST

static struct object_id merger;

static int add_entry(void *arg, const struct pack_entry *x, struct err *e)
{
	return index_writer_add(arg, x, e);
}

/* All that the index names, in one object of a session that is gone. */
static void merge_all(void)
{
	const struct index_set_options o = { .cache_bytes = 0 };
	CLEANUP(index_writer_free) struct index_writer *w = NULL;
	CLEANUP(index_set_free) struct index_set *x = NULL;

	merger = object_id_new();
	gc_ok(index_set_open(gc_store(g), repository_keys(g->f.r), &o, &x,
			     &g->e));
	gc_ok(index_writer_open(gc_store(g), repository_keys(g->f.r), merger,
				&w, &g->e));
	gc_ok(index_set_walk(x, add_entry, w, &g->e));
	gc_ok(index_set_each(x, supersede, w, &g->e));
	gc_ok(index_writer_commit(w, NULL, &g->e));
}

static void fence_merger(struct gc_frame *x, const char *name)
{
	struct record r;

	(void)name;
	record_init(&r, OBJECT_FENCE);
	r.id = merger;
	gc_ok(record_put(gc_store(x), repository_keys(x->f.r), &r, 0, &x->e));
}

/*
 * Its merger is fenced when what it superseded is to be marked: a void may yet
 * leave out what superseded it.  Nor is it marked when that cannot be seen.
 */
START_TEST(what_may_count_again_is_not_marked)
{
	struct fault broken = { .call = FAULT_READ, .action = FAULT_FAIL };
	struct object_name fence;

	take_two();
	merge_all();
	fence = object_name(OBJECT_FENCE, merger);
	broken.prefix = fence.s;
	fault_add(gc_store(g), &broken);
	ck_assert_int_eq(gc_collect_with(g, -1, 0), -1);
	ck_assert_int_eq(g->e.code, ERR_IO);
	fault_clear(gc_store(g));
	ck_assert_uint_eq(gc_objects(g, "marks/"), 0);
	/* It asks for its own before it deletes, and before it marks. */
	gc_meanwhile(g, FAULT_READ, "fences/", 2, fence_merger);
	gc_ok(gc_collect_with(g, -1, 0));
	ck_assert_uint_eq(g->acted, 1);
	ck_assert_uint_eq(gc_objects(g, "marks/"), 0);
	ck_assert_uint_eq(gc_objects(g, "index/"), 3);
	gc_expect(g, 0);
	expect_nothing_lost();
}
END_TEST

/* What it refers to may count, or not, as a void will say: that is no damage.
 */
START_TEST(an_undelete_waits_for_a_void)
{
	struct repository_snapshot s;

	take_two();
	s = gc_look(g, 0);
	merger = s.manifest.session;
	repository_snapshot_done(&s);
	gc_erase(g, 0);
	fence_merger(g, "");
	gc_reopen(g);
	ck_assert_int_eq(gc_undelete(g, 0), -1);
	ck_assert_msg(g->e.code == ERR_BUSY, "%s", g->e.text);
}
END_TEST

/* After that, before it marks: what it would mark was for others to judge. */
START_TEST(a_collector_that_was_given_up_marks_nothing)
{
	take_two();
	gc_erase(g, 0);
	later(10);
	gc_meanwhile(g, FAULT_READ, "fences/", 2, give_up);
	expect_busy(gc_collect_with(g, 1, 0), "given up");
	ck_assert_uint_eq(g->result.marked, 0);
	ck_assert_uint_eq(gc_objects(g, "marks/"), 0);
	expect_nothing_lost();
}
END_TEST

static void give_up_all(struct gc_frame *x, const char *name)
{
	struct object_id first;
	struct object_id session;

	(void)name;
	ck_assert(object_name_parse(OBJECT_SESSION, gc_last(x, "sessions/").s,
				    &first, &session));
	gc_ok(repo_give_up(x->f.r, session, (struct object_id){ { 0 } },
			   &x->e));
}

/* What it misses may have been taken from it; a disk that fails was not. */
START_TEST(what_failed_for_a_collector_that_was_given_up_is_told)
{
	const struct fault broken = { .call = FAULT_LIST,
				      .action = FAULT_FAIL,
				      .prefix = "meta/" };

	take_two();
	gc_meanwhile(g, FAULT_LIST, "data/", 1, give_up_all);
	fault_add(gc_store(g), &broken);
	ck_assert_int_eq(gc_collect_with(g, 0, 0), -1);
	ck_assert_uint_eq(g->acted, 1);
	ck_assert_int_eq(g->e.code, ERR_IO);
}
END_TEST

/* ---- Keys --------------------------------------------------------------- */

static struct object_id second_slot;

static void add_key(void)
{
	CLEANUP(keyring_credential_free) struct keyring_credential *c = NULL;
	char path[SCRATCH_PATH];

	gc_ok(keyring_credential_make_key_file(
		scratch_path(&g->f.dir, "second", path), &c, &g->e));
	gc_ok(keyring_add(gc_store(g), g->f.credential, c, "second", g->now,
			  &second_slot, &g->e));
}

static void revoke_second(struct gc_frame *x, const char *name)
{
	(void)name;
	gc_ok(keyring_revoke(gc_store(x), x->f.credential, second_slot, x->now,
			     &x->e));
}

/* What it copied since is sealed so that the revoked key opens it. */
START_TEST(a_collection_names_nothing_under_a_key_that_was_revoked)
{
	size_t index;
	size_t packs;

	add_key();
	take_two();
	gc_mark_all(g);
	index = gc_objects(g, "index/");
	packs = gc_packs(g);
	later(10);
	gc_meanwhile(g, FAULT_READ, "fences/", 1, revoke_second);
	expect_busy(gc_collect_with(g, 1, GC_REWRITE_BYTES),
		    "a key was revoked");
	ck_assert_uint_eq(gc_objects(g, "index/"), index);
	ck_assert_uint_ge(gc_packs(g), packs);
	gc_reopen(g);
	gc_collect(g, 1);
	ck_assert_uint_gt(g->result.deleted, 0);
	expect_nothing_lost();
}
END_TEST

/* Nor what it merged. */
START_TEST(a_merge_names_nothing_under_a_key_that_was_revoked)
{
	size_t index;

	add_key();
	for (int i = 0; i < 5; i++) {
		gc_file(g, "changing");
		(void)gc_take(g);
	}
	index = gc_objects(g, "index/");
	/* It asks before it deletes, and then before it merges. */
	gc_meanwhile(g, FAULT_READ, "fences/", 2, revoke_second);
	expect_busy(gc_collect_with(g, -1, 0), "a key was revoked");
	ck_assert_uint_eq(gc_objects(g, "index/"), index);
	gc_reopen(g);
	gc_ok(gc_collect_with(g, -1, 0));
	ck_assert_uint_eq(g->result.index_merged, index);
	expect_nothing_lost();
}
END_TEST

START_TEST(a_repair_names_nothing_under_a_key_that_was_revoked)
{
	size_t index;

	add_key();
	take_two();
	gc_ok(store_remove(gc_store(g), gc_last(g, "index/").s, &g->e));
	index = gc_objects(g, "index/");
	gc_never_still();
	/* Its look is over: what it asks now is what it is about to name. */
	gc_meanwhile(g, FAULT_LIST, "keyring/", 3, revoke_second);
	expect_busy(gc_repair_with(g), "a key was revoked");
	ck_assert_uint_eq(gc_objects(g, "index/"), index);
	gc_reopen(g);
	gc_repair(g);
	ck_assert_uint_gt(gc_objects(g, "index/"), index);
	expect_nothing_lost();
}
END_TEST

/* ---- Two at once -------------------------------------------------------- */

static int end_of_other;
static struct err why_other;

static void collect(struct gc_frame *x, const char *name)
{
	(void)name;
	end_of_other = gc_collect_with(x, 1, GC_REWRITE_BYTES);
	why_other = x->e;
}

/* The other one comes at the call that is told, and both at their best. */
static void expect_loser(enum fault_call call, const char *prefix,
			 const char *says)
{
	g->lease_ms = GC_LONG_LEASE_MS;
	gc_meanwhile(g, call, prefix, 1, collect);
	expect_busy(gc_collect_with(g, 1, GC_REWRITE_BYTES), says);
	ck_assert_msg(end_of_other == 0, "the other: %s", why_other.text);
	ck_assert_uint_eq(g->result.deleted, 0);
	expect_nothing_lost();
	gc_collect(g, 1);
	expect_nothing_lost();
}

/* Copied, named elsewhere, and gone while the trees are being walked. */
START_TEST(a_tree_that_another_collection_moved_is_no_damage)
{
	take_two();
	gc_mark_all(g);
	later(10);
	expect_loser(FAULT_READ, "meta/", "another garbage collection");
}
END_TEST

/* The same while it is being copied here, too. */
START_TEST(a_chunk_that_another_collection_moved_is_no_damage)
{
	take_two();
	gc_mark_all(g);
	later(10);
	expect_loser(FAULT_READ, "data/", "another garbage collection");
}
END_TEST

static void collect_at_once(struct gc_frame *x, const char *name)
{
	(void)name;
	end_of_other = gc_collect_with(x, 0, 0);
	why_other = x->e;
}

/*
 * Marked and deleted between our look at marks and at packs.  The index still
 * names them, as little of it is gone.
 */
START_TEST(a_pack_that_another_collection_deleted_is_no_damage)
{
	char name[16];

	for (int i = 0; i < 12; i++) {
		(void)snprintf(name, sizeof(name), "kept%d", i);
		gc_file(g, name);
	}
	(void)gc_take(g);
	gc_file(g, "gone");
	(void)gc_take(g);
	gc_unfile(g, "gone");
	(void)gc_take(g);
	gc_erase(g, 1);
	g->lease_ms = GC_LONG_LEASE_MS;
	gc_meanwhile(g, FAULT_LIST, "data/", 1, collect_at_once);
	expect_busy(gc_collect_with(g, 0, 0), "another garbage collection");
	ck_assert_msg(end_of_other == 0, "the other: %s", why_other.text);
	expect_nothing_lost();
	gc_collect(g, 0);
	expect_nothing_lost();
}
END_TEST

/*
 * One whole collection before any call of another one: each succeeds or ends
 * as busy, never finds damage in what the other did, and nothing is lost.
 */
static bool collect_twice(uint64_t nth)
{
	int failed;

	tear_down();
	set_up();
	take_two();
	gc_mark_all(g);
	gc_file(g, "new");
	(void)gc_take(g);
	later(10);
	gc_meanwhile(g, FAULT_ANY, NULL, nth, collect);
	failed = gc_collect_with(g, 1, GC_REWRITE_BYTES);
	ck_assert_msg(!failed || g->e.code == ERR_BUSY, "before call %llu: %s",
		      (unsigned long long)nth, g->e.text);
	if (g->acted)
		ck_assert_msg(!end_of_other || why_other.code == ERR_BUSY,
			      "the other, before call %llu: %s",
			      (unsigned long long)nth, why_other.text);
	fault_clear(gc_store(g));
	gc_reopen(g);
	gc_collect(g, 1);
	gc_collect(g, 0);
	gc_collect(g, 0);
	ck_assert(!gc_exists(g, 0));
	ck_assert_uint_eq(gc_objects(g, "sessions/"), 0);
	ck_assert_uint_eq(g->result.bytes_pending, 0);
	gc_expect(g, 1);
	expect_nothing_lost();
	return g->acted;
}

#define STRIDE 17

START_TEST(two_collections_at_once_lose_nothing)
{
	struct random dice = random_seed();
	uint64_t nth = 1 + random_below(&dice, STRIDE);

	while (collect_twice(nth))
		nth += STRIDE;
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, what_is_named_meanwhile_does_not_stop_it);
	tcase_add_test(tc, an_index_of_other_chunks_ends_a_survey);
	tcase_add_test(tc, a_hold_that_comes_before_the_deletion_is_heard);
	tcase_add_test(tc, a_hold_on_its_source_is_heard);
	tcase_add_test(tc, a_lock_that_comes_before_the_deletion_is_heard);
	tcase_add_test(tc, a_pin_that_comes_before_the_deletion_is_heard);
	tcase_add_test(tc, an_undelete_that_comes_before_the_deletion_is_heard);
	tcase_add_test(tc, what_an_undelete_has_published_is_left_to_it);
	tcase_add_test(tc, a_collector_that_was_given_up_deletes_nothing);
	tcase_add_test(tc, an_undelete_waits_for_a_void);
	tcase_add_test(tc, a_collector_that_was_given_up_marks_nothing);
	tcase_add_test(tc,
		       what_failed_for_a_collector_that_was_given_up_is_told);
	tcase_add_test(tc, what_may_count_again_is_not_marked);
	tcase_add_test(tc, what_a_second_void_leaves_out_was_adopted);
	tcase_add_test(tc,
		       a_second_void_in_the_middle_of_adopting_harms_nothing);
	tcase_add_test(tc,
		       a_collection_names_nothing_under_a_key_that_was_revoked);
	tcase_add_test(tc, a_merge_names_nothing_under_a_key_that_was_revoked);
	tcase_add_test(tc, a_repair_names_nothing_under_a_key_that_was_revoked);
	tcase_add_test(tc, a_tree_that_another_collection_moved_is_no_damage);
	tcase_add_test(tc, a_chunk_that_another_collection_moved_is_no_damage);
	tcase_add_test(tc, a_pack_that_another_collection_deleted_is_no_damage);
	tcase_add_test(tc, two_collections_at_once_lose_nothing);
}

CHECK_MAIN("storage/gc_meanwhile", cases)

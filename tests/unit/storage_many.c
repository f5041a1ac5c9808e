/*
 * What is too much for one index object, where one is written after another,
 * or for one node of a tree.
 */
#include "storage/repository/gc_internal.h"
#include "storage/repository/index_internal.h"
#include "tests/support/gc_frame.h"

/* One more than copying, and repairing, put into one index object. */
#define MANY 64001

static struct gc_frame frame;
static struct gc_frame *const g = &frame;
static struct pack_entry many[MANY];

static void set_up(void)
{
	gc_frame_init(g, "mem:many");
}

static void tear_down(void)
{
	gc_frame_done(g);
}

static void add_value(struct pack_writer *to, struct chunk_worker *k,
		      uint32_t value)
{
	const struct chunk_plain plain = { .kind = CHUNK_VALUE,
					   .effort = COMPRESS_QUICK,
					   .bytes = &value,
					   .n = sizeof(value) };
	struct chunk_sealed sealed;
	struct chunk_id id;

	gc_ok(chunk_identify(k, 0, plain.kind, &value, sizeof(value), &id,
			     &g->e));
	gc_ok(chunk_seal_new(k, &id, &plain, &sealed, &g->e));
	gc_ok(pack_writer_add(to, &sealed.seal, sealed.bytes, sealed.len,
			      &g->e));
}

/* All in one pack, which nothing names. */
static void store_many(void)
{
	CLEANUP(chunk_worker_free) struct chunk_worker *k = NULL;
	CLEANUP(pack_writer_free) struct pack_writer *w = NULL;
	const struct pack_entry *entries;

	gc_ok(chunk_worker_new(repository_keys(g->f.r), &k, &g->e));
	gc_ok(pack_writer_open(gc_store(g), repository_keys(g->f.r),
			       OBJECT_META_PACK, &w, &g->e));
	for (uint32_t i = 0; i < MANY; i++)
		add_value(w, k, i);
	gc_ok(pack_writer_commit(w, &g->e));
	ck_assert_uint_eq(pack_writer_entries(w, &entries), MANY);
	memcpy(many, entries, sizeof(many));
	ck_assert_uint_eq(index_sort(many, MANY), MANY);
}

static void name_many(void)
{
	CLEANUP(index_writer_free) struct index_writer *w = NULL;

	gc_ok(index_writer_open(gc_store(g), repository_keys(g->f.r),
				(struct object_id){ { 0 } }, &w, &g->e));
	for (size_t i = 0; i < MANY; i++)
		gc_ok(index_writer_add(w, &many[i], &g->e));
	gc_ok(index_writer_commit(w, NULL, &g->e));
}

static void mark_many(void)
{
	struct record r;

	record_init(&r, OBJECT_MARK);
	r.id = object_id_new();
	r.time = g->now;
	gc_ok(record_add_id(&r, many[0].place.pack, &g->e));
	gc_ok(record_put(gc_store(g), repository_keys(g->f.r), &r, 0, &g->e));
	record_done(&r);
}

struct counting {
	bool elsewhere; /* than where they were stored */
	size_t n;
};

static int count_one(void *arg, const struct pack_entry *x, struct err *e)
{
	struct counting *c = arg;

	(void)e;
	c->n += c->elsewhere !=
		object_id_equal(x->place.pack, many[0].place.pack);
	return 0;
}

/* By somebody who knows only what the store says; entries: of all objects. */
static size_t count_named(bool elsewhere, uint64_t entries)
{
	struct counting c = { .elsewhere = elsewhere };
	struct index_set *x;

	gc_reopen(g);
	gc_ok(repository_index(g->f.r, &x, &g->e));
	ck_assert_uint_eq(index_set_entries(x), entries);
	gc_ok(index_set_walk(x, count_one, &c, &g->e));
	return c.n;
}

/* Each of them is what some snapshot tells of files it could not read. */
START_TEST(all_that_is_copied_is_named)
{
	struct gc_result out = { 0 };
	const struct gc_options o = { .now = g->now, .host = "host" };
	struct gc_snapshot s = { .tree = { .empty = true },
				 .hints = { .empty = true },
				 .has_errors = true };
	struct gc x = { .r = g->f.r,
			.store = gc_store(g),
			.keys = repository_keys(g->f.r),
			.o = &o,
			.out = &out,
			.session = object_id_new() };

	store_many();
	name_many();
	mark_many();
	gc_ok(gc_marks_read(&x, &g->e));
	gc_ok(gc_survey(&x, &g->e));
	for (size_t i = 0; i < MANY; i++) {
		s.error_list = many[i].seal.id;
		gc_ok(gc_live_trace(x.live, &s, false, &g->e));
	}
	gc_ok(gc_copy(&x, &g->e));
	ck_assert_uint_eq(out.chunks_copied, MANY);
	gc_survey_done(&x);
	gc_marks_done(&x);
	ck_assert_uint_eq(gc_objects(g, "index/"), 3);
	ck_assert_uint_eq(count_named(true, 2 * MANY), MANY);
}
END_TEST

START_TEST(all_that_is_found_again_is_named)
{
	CLEANUP(check_result_done) struct check_result x = { 0 };
	const struct check_options o = { .level = CHECK_STRUCTURE,
					 .repair = true,
					 .now = g->now };

	store_many();
	gc_never_still();
	gc_ok(check_run(g->f.r, &o, &x, &g->e));
	ck_assert_uint_eq(x.indexed, MANY);
	ck_assert_uint_eq(gc_objects(g, "index/"), 2);
	ck_assert_uint_eq(count_named(false, MANY), MANY);
}
END_TEST

/* A node that names nodes is walked to what they name. */
START_TEST(what_a_high_tree_reaches_stays)
{
	CLEANUP(repository_snapshot_done)
	struct repository_snapshot s = { .deleted = false };
	char path[2 * SCRATCH_PATH];

	/* Names of more bytes than there are in one node, however it is cut. */
	for (int i = 0; i < 1500; i++) {
		(void)snprintf(path, sizeof(path), "%s/%d%0200d", g->f.from, i,
			       i);
		ck_assert_int_eq(mknod(path, S_IFREG | 0600, 0), 0);
	}
	gc_file(g, "file");
	(void)gc_take(g);
	s = gc_look(g, 0);
	ck_assert_uint_gt(s.manifest.tree.height, 0);
	gc_collect(g, 0);
	ck_assert_uint_eq(g->result.marked, 0);
	ck_assert_uint_eq(g->result.chunks_live, g->result.chunks);
	gc_expect(g, 0);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, all_that_is_copied_is_named);
	tcase_add_test(tc, all_that_is_found_again_is_named);
	tcase_add_test(tc, what_a_high_tree_reaches_stays);
}

CHECK_MAIN("storage/many", cases)

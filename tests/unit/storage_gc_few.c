/* What is left is kept in few packs, few index objects and few marks. */
#include "storage/repository/gc.h"

#include "storage/repository/gc_internal.h"
#include "storage/repository/index_internal.h"
#include "tests/support/gc_frame.h"

static struct gc_frame frame;
static struct gc_frame *const g = &frame;

static void set_up(void)
{
	gc_frame_init(g, "mem:gc_few");
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

static int first_entry(void *arg, const struct pack_entry *x, struct err *e)
{
	struct pack_entry *first = arg;

	(void)e;
	if (!first->place.len)
		*first = *x;
	return 0;
}

/* A snapshot of twenty files that is deleted, and one of some of them. */
static void take_mostly_dead_of(int dead)
{
	char name[16];

	for (int i = 0; i < 20; i++) {
		(void)snprintf(name, sizeof(name), "f%d", i);
		gc_file(g, name);
	}
	(void)gc_take(g);
	for (int i = 0; i < dead; i++) {
		(void)snprintf(name, sizeof(name), "f%d", i);
		gc_unfile(g, name);
	}
	(void)gc_take(g);
	gc_erase(g, 0);
}

static void take_mostly_dead(void)
{
	take_mostly_dead_of(18);
}

/* One pack of which nearly half is needed is not one of many small ones. */
START_TEST(a_pack_of_which_more_than_half_is_dead_is_rewritten)
{
	take_mostly_dead_of(12);
	gc_collect(g, 0);
	ck_assert_uint_gt(g->result.bytes_copied, 8 * GC_FILE_BYTES);
	ck_assert_uint_gt(g->result.bytes_freed, 12 * GC_FILE_BYTES);
	gc_expect(g, 1);
}
END_TEST

START_TEST(mostly_dead_packs_are_rewritten)
{
	take_mostly_dead();
	gc_collect(g, 0);
	ck_assert_uint_gt(g->result.chunks_copied, 0);
	ck_assert_uint_gt(g->result.bytes_freed, 18 * GC_FILE_BYTES);
	ck_assert_uint_eq(g->result.bytes_pending, 0);
	gc_expect(g, 1);
	gc_expect_sound(g);
}
END_TEST

/* With no room for what is moved: what was marked before is gone by then. */
START_TEST(what_was_marked_makes_room)
{
	size_t before;

	gc_file(g, "first");
	(void)gc_take(g);
	gc_unfile(g, "first");
	gc_erase(g, 0);
	later(2 * GC_DAY_MS);
	gc_collect(g, -1);
	ck_assert_uint_gt(g->result.marked, 0);
	for (int i = 0; i < 20; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "f%d", i);
		gc_file(g, name);
	}
	(void)gc_take(g);
	for (int i = 0; i < 18; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "f%d", i);
		gc_unfile(g, name);
	}
	(void)gc_take(g);
	gc_erase(g, 1);
	before = gc_packs(g);
	gc_reopen(g);
	fault_add(gc_store(g), &(struct fault){ .call = FAULT_COMMIT,
						.action = FAULT_FAIL,
						.prefix = "data/",
						.code = ERR_FULL });
	ck_assert_int_eq(gc_collect_with(g, 0, GC_REWRITE_BYTES), -1);
	ck_assert_int_eq(g->e.code, ERR_FULL);
	ck_assert_uint_lt(gc_packs(g), before);
	gc_reopen(g);
	gc_expect(g, 2);
	gc_expect_sound(g);
	gc_collect(g, 0);
	gc_expect(g, 2);
}
END_TEST

/* Of a tiny pack most is header, directory and trailer: none of it is dead. */
START_TEST(a_tiny_pack_is_not_rewritten_every_time)
{
	char path[2 * SCRATCH_PATH];
	FILE *file;

	(void)gc_take(g);
	(void)snprintf(path, sizeof(path), "%s/tiny", g->f.from);
	file = fopen(path, "we");
	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(fputc('x', file), 'x');
	ck_assert_int_eq(fclose(file), 0);
	(void)gc_take(g);
	for (int i = 0; i < 3; i++) {
		gc_collect(g, 0);
		ck_assert_uint_eq(g->result.bytes_copied, 0);
		ck_assert_uint_eq(g->result.marked, 0);
	}
	gc_expect(g, 1);
}
END_TEST

START_TEST(no_more_is_rewritten_than_is_allowed)
{
	take_mostly_dead();
	gc_ok(gc_collect_with(g, 0, 1000));
	ck_assert_uint_le(g->result.bytes_copied, 1000);
	gc_expect(g, 1);
}
END_TEST

/* Of two packs that are mostly dead the deader one, and then no more. */
START_TEST(what_is_allowed_is_for_all_packs)
{
	char name[16];

	take_mostly_dead();
	for (int i = 0; i < 18; i++) {
		(void)snprintf(name, sizeof(name), "f%d", i);
		gc_file(g, name);
	}
	(void)gc_take(g);
	for (int i = 1; i < 18; i++) {
		(void)snprintf(name, sizeof(name), "f%d", i);
		gc_unfile(g, name);
	}
	(void)gc_take(g);
	gc_erase(g, 2);
	gc_ok(gc_collect_with(g, 0, 3 * GC_FILE_BYTES));
	ck_assert_uint_gt(g->result.bytes_copied, GC_FILE_BYTES);
	ck_assert_uint_le(g->result.bytes_copied, 3 * GC_FILE_BYTES);
	gc_expect(g, 3);
}
END_TEST

/* Where it stays, else where it is rewritten from, else nowhere. */
START_TEST(a_chunk_is_held_where_it_stays)
{
	struct gc_pack marked = { .marked = true };
	struct gc_pack rewritten = { .rewrite = true };
	struct gc_pack stays = { .live = 1 };
	struct gc_place v[] = { { .pack = &marked, .usable = true },
				{ .pack = &rewritten, .usable = true },
				{ .pack = &rewritten, .usable = true },
				{ .pack = &stays, .usable = false },
				{ .pack = &stays, .usable = true },
				{ .pack = &stays, .usable = true } };
	struct gc_group group = { .v = v };
	const struct gc_place *const want[] = { NULL,  NULL,  &v[1], &v[1],
						&v[1], &v[4], &v[4] };

	for (; group.n < sizeof(want) / sizeof(want[0]); group.n++)
		ck_assert_ptr_eq(gc_holder(&group), want[group.n]);
}
END_TEST

static int add_to_sum(void *arg, const struct pack_entry *x, struct err *e)
{
	uint64_t *sum = arg;
	uint64_t v;

	(void)e;
	memcpy(&v, x->seal.id.b, sizeof(v));
	*sum += v;
	return 0;
}

/* The set of chunks that the index names, as a sum of its ids. */
static uint64_t chunk_sum(void)
{
	const struct index_set_options o = { .cache_bytes = 0 };
	CLEANUP(index_set_free) struct index_set *x = NULL;
	uint64_t sum = 0;

	gc_ok(index_set_open(gc_store(g), repository_keys(g->f.r), &o, &x,
			     &g->e));
	gc_ok(index_set_walk(x, add_to_sum, &sum, &g->e));
	return sum;
}

/* Nothing is rewritten here, so that the merge must keep each entry. */
START_TEST(merging_the_index_loses_nothing)
{
	uint64_t before;
	size_t objects;

	for (int i = 0; i < 40; i++) {
		gc_file(g, "changing");
		(void)gc_take(g);
	}
	before = chunk_sum();
	objects = gc_objects(g, "index/");
	ck_assert_uint_ge(objects, 40);
	gc_ok(gc_collect_with(g, 0, 0));
	ck_assert_uint_eq(g->result.index_merged, objects);
	ck_assert_uint_eq(g->result.index_objects, 1);
	ck_assert_uint_eq(chunk_sum(), before);
	gc_ok(gc_collect_with(g, 0, 0));
	ck_assert_uint_eq(gc_objects(g, "index/"), 1);
	ck_assert_uint_eq(chunk_sum(), before);
	gc_expect(g, 0);
	gc_expect(g, 39);
	gc_expect_sound(g);
}
END_TEST

/* Its time never comes: what was merged is marked once more. */
START_TEST(a_mark_of_a_clock_that_is_ahead_keeps_no_index_object)
{
	for (int i = 0; i < 5; i++) {
		gc_file(g, "changing");
		(void)gc_take(g);
	}
	later(365 * GC_DAY_MS);
	gc_collect(g, -1);
	ck_assert_uint_ge(g->result.index_merged, 5);
	ck_assert_uint_ge(gc_objects(g, "index/"), 6);
	later(-365 * GC_DAY_MS);
	gc_collect(g, -1);
	later(GC_DAY_MS + 600000);
	gc_collect(g, -1);
	ck_assert_uint_eq(gc_objects(g, "index/"), 1);
	ck_assert_uint_eq(gc_objects(g, "marks/"), 0);
	gc_expect(g, 0);
	gc_expect_sound(g);
}
END_TEST

#define SPENT 8

/* Packs that are gone, and that an index object names. */
static struct object_id gone_pack(size_t i)
{
	return (struct object_id){ { (uint8_t)(i + 1) } };
}

static void name_gone_packs(size_t from, size_t to)
{
	CLEANUP(index_writer_free) struct index_writer *w = NULL;
	struct pack_entry entry = { .place = { .len = 0 } };
	struct index_set *x;
	struct object_id id;

	gc_reopen(g);
	gc_ok(repository_index(g->f.r, &x, &g->e));
	gc_ok(index_set_walk(x, first_entry, &entry, &g->e));
	gc_ok(index_writer_open(gc_store(g), repository_keys(g->f.r),
				(struct object_id){ { 0 } }, &w, &g->e));
	for (size_t i = from; i < to; i++) {
		entry.place.pack = gone_pack(i);
		gc_ok(index_writer_add(w, &entry, &g->e));
	}
	gc_ok(index_writer_commit(w, &id, &g->e));
}

static void mark_gone_packs(size_t from, size_t to)
{
	struct record r;

	record_init(&r, OBJECT_MARK);
	r.id = object_id_new();
	r.time = g->now;
	for (size_t i = from; i < to; i++)
		gc_ok(record_add_id(&r, gone_pack(i), &g->e));
	gc_ok(record_put(gc_store(g), repository_keys(g->f.r), &r, 0, &g->e));
	record_done(&r);
}

static int count_entry(void *arg, const struct pack_entry *x, struct err *e)
{
	(void)x;
	(void)e;
	++*(size_t *)arg;
	return 0;
}

/* Of the index, by somebody who knows only what the store says. */
static size_t count_entries(void)
{
	struct index_set *x;
	size_t n = 0;

	gc_reopen(g);
	gc_ok(repository_index(g->f.r, &x, &g->e));
	gc_ok(index_set_walk(x, count_entry, &n, &g->e));
	return n;
}

/* However few there are. */
START_TEST(an_index_of_which_nothing_is_gone_stays)
{
	gc_unfile(g, "kept");
	(void)gc_take(g);
	ck_assert_uint_lt(count_entries(), 4);
	gc_ok(gc_collect_with(g, -1, 0));
	ck_assert_uint_eq(g->result.index_merged, 0);
}
END_TEST

START_TEST(an_index_of_which_a_quarter_is_gone_is_written_anew)
{
	size_t gone = 0;
	size_t there;
	char name[16];

	for (int i = 0; i < 20; i++) {
		(void)snprintf(name, sizeof(name), "f%d", i);
		gc_file(g, name);
	}
	(void)gc_take(g);
	there = count_entries();
	while (gone < (there + gone) / 4)
		gone++;
	/* One less is not enough. */
	name_gone_packs(0, gone - 1);
	mark_gone_packs(0, gone);
	gc_ok(gc_collect_with(g, -1, 0));
	ck_assert_uint_eq(g->result.index_merged, 0);
	ck_assert_uint_eq(count_entries(), there + gone - 1);
	name_gone_packs(gone - 1, gone);
	gc_ok(gc_collect_with(g, -1, 0));
	ck_assert_uint_eq(g->result.index_merged, 3);
	ck_assert_uint_eq(g->result.index_objects, 1);
	ck_assert_uint_eq(count_entries(), there);
	gc_expect(g, 0);
	gc_expect_sound(g);
}
END_TEST

static int list_name(void *arg, const struct store_entry *entry, struct err *e)
{
	return buf_add(arg, entry->name, strlen(entry->name) + 1, e);
}

/* What they name; one that is gone names nothing. */
static size_t count_marked(const struct buf *names)
{
	size_t n = 0;

	for (size_t at = 0; at < names->len;
	     at += strlen((char *)names->data + at) + 1) {
		struct record r;
		const int got = record_get(gc_store(g), repository_keys(g->f.r),
					   OBJECT_MARK,
					   (char *)names->data + at, &r, &g->e);

		gc_ok(got);
		if (!got)
			continue;
		for (size_t i = 0; i < SPENT; i++)
			for (size_t k = 0; k < r.n_ids; k++)
				n += object_id_equal(r.ids[k], gone_pack(i));
		record_done(&r);
	}
	return n;
}

/* A writer lists the marks, and then reads them: none may slip through. */
START_TEST(who_lists_marks_while_they_are_united_misses_none)
{
	CLEANUP(buf_done) struct buf before;
	CLEANUP(buf_done) struct buf after;

	buf_init(&before, 1 << 16);
	buf_init(&after, 1 << 16);
	(void)gc_take(g);
	name_gone_packs(0, SPENT);
	for (size_t i = 0; i < SPENT; i++)
		mark_gone_packs(i, i + 1);
	gc_ok(store_list(gc_store(g), "marks/", list_name, &before, &g->e));
	gc_collect(g, -1);
	ck_assert_uint_eq(count_marked(&before), SPENT);
	/* No session that begins now is taken for one that was before it. */
	ck_assert_uint_eq(gc_objects(g, "censuses/"), gc_objects(g, "marks/"));
	/* Later they are one, and what the index objects name is in it. */
	gc_collect(g, -1);
	ck_assert_uint_eq(count_marked(&before), 0);
	gc_ok(store_list(gc_store(g), "marks/", list_name, &after, &g->e));
	ck_assert_uint_eq(count_marked(&after), SPENT);
	gc_expect(g, 0);
}
END_TEST

/*
 * Without a mark whoever reads the index would take for stored what is gone.
 * So little of it is gone that it is not written anew.
 */
START_TEST(what_the_index_names_stays_marked)
{
	CLEANUP(buf_done) struct buf marks;
	char name[16];

	for (int i = 0; i < 20; i++) {
		(void)snprintf(name, sizeof(name), "f%d", i);
		gc_file(g, name);
	}
	(void)gc_take(g);
	ck_assert_uint_gt(count_entries(), 3 * SPENT / 2);
	name_gone_packs(0, SPENT / 2);
	for (size_t i = 0; i < SPENT / 2; i++)
		mark_gone_packs(i, i + 1);
	for (int i = 0; i < 3; i++) {
		gc_ok(gc_collect_with(g, -1, 0));
		ck_assert_uint_eq(g->result.index_merged, 0);
		buf_init(&marks, 1 << 16);
		gc_ok(store_list(gc_store(g), "marks/", list_name, &marks,
				 &g->e));
		ck_assert_uint_eq(count_marked(&marks), SPENT / 2);
		buf_done(&marks);
	}
}
END_TEST

/* A year of nights: what lies about stays bounded. */
START_TEST(objects_do_not_grow_with_time)
{
	for (int i = 0; i < 60; i++) {
		gc_file(g, "changing");
		(void)gc_take(g);
		if (i >= 3)
			gc_erase(g, (size_t)i - 3);
		gc_collect(g, 0);
	}
	ck_assert_uint_le(gc_objects(g, "index/"), 12);
	ck_assert_uint_le(gc_objects(g, "marks/"), 12);
	ck_assert_uint_le(gc_objects(g, "censuses/"), 12);
	ck_assert_uint_eq(gc_objects(g, "inventories/"), 1);
	ck_assert_uint_le(gc_packs(g), 40);
	ck_assert_uint_eq(gc_objects(g, "sessions/"), 0);
	for (size_t i = 57; i < 60; i++)
		gc_expect(g, i);
	gc_expect_sound(g);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, mostly_dead_packs_are_rewritten);
	tcase_add_test(tc, what_was_marked_makes_room);
	tcase_add_test(tc, a_pack_of_which_more_than_half_is_dead_is_rewritten);
	tcase_add_test(tc, a_tiny_pack_is_not_rewritten_every_time);
	tcase_add_test(tc, no_more_is_rewritten_than_is_allowed);
	tcase_add_test(tc, what_is_allowed_is_for_all_packs);
	tcase_add_test(tc, a_chunk_is_held_where_it_stays);
	tcase_add_test(tc, merging_the_index_loses_nothing);
	tcase_add_test(tc, an_index_of_which_nothing_is_gone_stays);
	tcase_add_test(tc, an_index_of_which_a_quarter_is_gone_is_written_anew);
	tcase_add_test(tc,
		       a_mark_of_a_clock_that_is_ahead_keeps_no_index_object);
	tcase_add_test(tc, who_lists_marks_while_they_are_united_misses_none);
	tcase_add_test(tc, what_the_index_names_stays_marked);
	tcase_add_test(tc, objects_do_not_grow_with_time);
}

CHECK_MAIN("storage/gc_few", cases)

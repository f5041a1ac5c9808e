/*
 * Folders below which a source says that all is as in the parent
 * (source_same_below()): what the parent has is taken over, and what it cannot
 * give is read.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "storage/repository/record.h"
#include "tests/support/repo_frame.h"
#include "tests/support/snapshot_view.h"

/* So many that the tree has several leaves. */
#define FILES  6000
#define N      (FILES + 5)
#define ROUNDS 20

static struct repo_frame f;
static struct err e;
static struct fake_entry v[N];
static char paths[FILES][40];

static void set_up(void)
{
	size_t n = 0;

	repo_frame_init(&f, "mem:below");
	err_clear(&e);
	v[n++] = fake_entry("/a", ENTRY_FILE, 10, 1000);
	v[n++] = fake_entry("/b", ENTRY_FOLDER, 0, 1000);
	for (unsigned int i = 0; i < FILES; i++) {
		(void)snprintf(paths[i], sizeof(paths[i]),
			       "/b/file-of-a-longer-name-%08u", i);
		v[n] = fake_entry(paths[i], ENTRY_FILE, 10, 1000);
		v[n].stamp = i + 1;
		v[n++].entry.inode = 1000 + i;
	}
	v[n++] = fake_entry("/c", ENTRY_FOLDER, 0, 1000);
	v[n++] = fake_entry("/c/b", ENTRY_FILE, 10, 1000);
	v[n++] = fake_entry("/d", ENTRY_FILE, 10, 1000);
	ck_assert_uint_eq(n, N);
}

static void tear_down(void)
{
	repo_frame_done(&f);
}

/* How many entries were delivered, "/" among them. */
static size_t take(const char *same, struct snapshot_result *ret)
{
	CLEANUP(snapshot_errors_free) struct snapshot_errors *errors = NULL;
	struct fake_source s = fake_source_of(v, N);
	struct snapshot_options o = { .no_parent = false };

	s.same = same;
	ck_ok(snapshot_errors_new(&errors, &e));
	ck_ok(repo_take_source(&f, &s.base, errors, &o, ret, &e));
	return s.delivered;
}

/* All of it is there, once, in order, and as it was delivered. */
static void is_whole(struct object_id id)
{
	repo_frame_reopen(&f);
	expect_entries(&f, id, v, N);
}

START_TEST(all_below_is_taken_over)
{
	struct snapshot_result first;
	struct snapshot_result got;

	ck_assert_uint_eq(take(NULL, &first), N + 1);
	ck_assert_uint_eq(take("/b", &got), 6);
	ck_assert_uint_eq(got.bytes_read, 0);
	ck_assert_uint_eq(got.files, first.files);
	ck_assert_uint_eq(got.dirs, first.dirs);
	ck_assert_uint_eq(got.bytes, first.bytes);
	is_whole(got.id);
	/* From one that was taken over itself, to the end, and of one entry. */
	ck_assert_uint_eq(take("/c", &got), N);
	is_whole(got.id);
	/* What lies beside it changed. */
	v[0].entry.ctime.sec++;
	v[N - 1].entry.ctime.sec++;
	ck_assert_uint_eq(take("/b", &got), 6);
	ck_assert_uint_eq(got.bytes_read, 20);
	is_whole(got.id);
}
END_TEST

START_TEST(a_folder_that_is_not_as_it_was_is_walked)
{
	struct snapshot_result got;

	(void)take(NULL, &got);
	v[1].entry.ctime.sec++;
	ck_assert_uint_eq(take("/b", &got), N + 1);
	ck_assert_uint_eq(got.bytes_read, 0);
	is_whole(got.id);
}
END_TEST

/* A file whose hints were not to be trusted: it is looked at, and read. */
START_TEST(what_was_in_doubt_is_looked_at)
{
	struct snapshot_result got;

	v[2000].state = SOURCE_CHANGED;
	(void)take(NULL, &got);
	v[2000].state = SOURCE_OK;
	v[2000].stamp = 99;
	ck_assert_uint_eq(take("/b", &got), N + 1);
	ck_assert_uint_eq(got.bytes_read, 10);
	is_whole(got.id);
	ck_assert_uint_eq(take("/b", &got), 6);
	is_whole(got.id);
}
END_TEST

/* The source does not go by times; what goes by them looks again. */
START_TEST(times_in_doubt_do_not_matter)
{
	struct snapshot_result got;

	/* However long it takes until it is looked at. */
	v[2000].entry.ctime = instant_add_ms(clock_now(), 3600000);
	(void)take(NULL, &got);
	ck_assert_uint_eq(take("/b", &got), 6);
	is_whole(got.id);
	ck_assert_uint_eq(take(NULL, &got), N + 1);
	ck_assert_uint_eq(got.bytes_read, 10);
	is_whole(got.id);
}
END_TEST

START_TEST(links_keep_their_numbers_or_are_walked)
{
	struct snapshot_result got;

	for (size_t i = 100; i < 103; i++) {
		v[i] = v[99];
		v[i].entry.path = paths[i - 2];
		v[i].entry.inode = 55;
		v[i].entry.flags = ENTRY_HARD_LINK;
		v[i].entry.link_group = 55;
	}
	(void)take(NULL, &got);
	ck_assert_uint_eq(take("/b", &got), 6);
	is_whole(got.id);
	for (size_t i = 100; i < 103; i++)
		v[i].entry.link_group = 56;
	(void)take(NULL, &got);
	ck_assert_uint_eq(take("/b", &got), N + 1);
	is_whole(got.id);
}
END_TEST

/* ---- What the region lost ----------------------------------------------- */

static void lose(const struct chunk_id *id)
{
	struct pack_entry place;
	struct index_set *index;
	struct record q;

	record_init(&q, OBJECT_QUARANTINE);
	q.id = object_id_new();
	ck_ok(repository_index(f.r, &index, &e));
	ck_assert_int_eq(index_set_find(index, id, &place, &e), 1);
	ck_ok(record_add_chunk(&q, id, place.place.pack, &e));
	ck_ok(record_put(repository_store(f.r), repository_keys(f.r), &q, 0,
			 &e));
	record_done(&q);
}

START_TEST(content_that_is_lost_is_read_again)
{
	struct snapshot_result got;
	struct view view;

	(void)take(NULL, &got);
	view_open(&view, &f, got.id);
	while (view_next(&view))
		if (view.en.path_len > 1 &&
		    strcmp(view.en.path, paths[FILES / 2]) == 0)
			lose(&view.content.v[0].id);
	view_close(&view);
	ck_assert_uint_eq(take("/b", &got), N + 1);
	ck_assert_uint_gt(got.bytes_read, 0);
	is_whole(got.id);
}
END_TEST

struct nodes {
	struct chunk_id v[200];
	size_t n;
};

static int note_node(void *arg, const struct chunk_id *id, enum chunk_kind kind,
		     struct err *err)
{
	struct nodes *x = arg;

	(void)err;
	ck_assert_uint_lt(x->n, 200);
	x->v[x->n++] = *id;
	return kind == CHUNK_LEAF;
}

static void list_nodes(struct object_id id, struct nodes *ret)
{
	struct view view;

	ret->n = 0;
	view_open(&view, &f, id);
	ck_ok(tree_references(view.reader, &view.s.manifest.tree, false,
			      note_node, NULL, ret, &e));
	ck_ok(tree_references(view.reader, &view.s.manifest.hints, true,
			      note_node, NULL, ret, &e));
	view_close(&view);
}

/*
 * From the first to the last, also the one behind which nothing of the folder
 * comes, and those of the hints.  Where a tree is cut into nodes depends on the
 * repository's keys.
 */
START_TEST(a_node_that_is_lost_costs_a_walk)
{
	for (size_t i = 0; i < ROUNDS; i++) {
		struct snapshot_result first;
		struct snapshot_result got;
		struct nodes nodes;

		if (i) {
			tear_down();
			set_up();
		}
		(void)take(NULL, &first);
		list_nodes(first.id, &nodes);
		ck_assert_uint_gt(nodes.n, 10);
		lose(&nodes.v[i * (nodes.n - 1) / (ROUNDS - 1)]);
		(void)take("/b", &got);
		is_whole(got.id);
	}
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, all_below_is_taken_over);
	tcase_add_test(tc, a_folder_that_is_not_as_it_was_is_walked);
	tcase_add_test(tc, what_was_in_doubt_is_looked_at);
	tcase_add_test(tc, times_in_doubt_do_not_matter);
	tcase_add_test(tc, links_keep_their_numbers_or_are_walked);
	tcase_add_test(tc, content_that_is_lost_is_read_again);
	tcase_add_test(tc, a_node_that_is_lost_costs_a_walk);
}
CHECK_MAIN("storage/snapshot_below", cases)

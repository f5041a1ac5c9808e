/*
 * Small files in groups: storage/snapshot_small.c, and what of it the tree
 * tells.  What one session stored it does not store again.
 */
#include <sys/stat.h>

#include "storage/diff.h"
#include "storage/replicate.h"
#include "storage/repository/check.h"
#include "storage/snapshot_small.h"
#include "tests/support/region.h"
#include "tests/support/repo_frame.h"
#include "tests/support/snapshot_view.h"

static struct repo_frame f;
static struct err e;

static void set_up(void)
{
	repo_frame_init(&f, "mem:small");
	err_clear(&e);
}

static void tear_down(void)
{
	repo_frame_done(&f);
}

/* Where the files of a snapshot lie: the first piece of each. */
#define MOST 9000
struct places {
	size_t n;
	struct extent v[MOST];
};

static struct places places;
static struct fake_entry v[MOST];
static char paths[MOST][32];

static void look(struct places *ret, struct object_id id)
{
	struct view view;

	ret->n = 0;
	view_open(&view, &f, id);
	while (view_next(&view)) {
		struct extent *x = &ret->v[ret->n];

		if (view.en.type != ENTRY_FILE)
			continue;
		ck_assert_uint_lt(ret->n++, MOST);
		*x = (struct extent){ .hole = true };
		for (size_t i = view.content.n; i-- > 0;)
			if (!view.content.v[i].hole)
				*x = view.content.v[i];
	}
	view_close(&view);
}

static bool same_chunk(const struct extent *a, const struct extent *b)
{
	return !a->hole && !b->hole && chunk_id_equal(&a->id, &b->id);
}

static bool same_place(const struct extent *a, const struct extent *b)
{
	return same_chunk(a, b) && a->offset == b->offset;
}

/* File number i of n bytes, whose content is that of every such stamp. */
static void make(size_t i, size_t n, uint64_t stamp)
{
	ck_assert_uint_lt(i, MOST);
	(void)snprintf(paths[i], sizeof(paths[i]), "/%05zu", i);
	v[i] = fake_entry(paths[i], ENTRY_FILE, n, 1000);
	v[i].stamp = stamp;
}

/* Bytes of all the chunks in which the files of a snapshot lie. */
static uint64_t stored(struct object_id id)
{
	struct view view;
	uint64_t sum = 0;

	view_open(&view, &f, id);
	for (size_t i = 0; i < places.n; i++) {
		const uint8_t *plain;
		size_t k = 0;
		size_t n;

		if (places.v[i].hole)
			continue;
		while (k < i && !same_chunk(&places.v[i], &places.v[k]))
			k++;
		if (k < i)
			continue;
		ck_ok(reader_get(view.data, &places.v[i].id, CHUNK_DATA, &plain,
				 &n, &e));
		sum += n;
	}
	view_close(&view);
	return sum;
}

static struct snapshot_result take(size_t n)
{
	struct snapshot_result got;
	uint64_t read;

	ck_ok(take_fake(&f, v, n, &got, &read, &e));
	expect_entries(&f, got.id, v, n);
	look(&places, got.id);
	return got;
}

START_TEST(one_content_of_many_names_lies_in_one_place)
{
	static const uint64_t stamps[] = { 1, 1, 2, 1, 2, 1 };
	struct snapshot_result got;
	struct view view;

	for (size_t i = 0; i < 6; i++)
		make(i, 1000, stamps[i]);
	/* What is not content stays each file's own. */
	v[1].entry.mode = 0751;
	v[1].entry.mtime.sec = 77;
	/* As long and but for a byte the same; a byte longer. */
	v[5].fill = 'y';
	v[5].stamp = 0;
	make(6, 1001, 1);
	make(7, 1000, 1);
	v[7].stamp |= (uint64_t)1 << 56;
	got = take(8);
	for (size_t i = 0; i < 8; i++)
		for (size_t k = 0; k < i; k++)
			ck_assert_int_eq(same_place(&places.v[i], &places.v[k]),
					 i < 5 && k < 5 &&
						 stamps[i] == stamps[k]);
	ck_assert_uint_eq(stored(got.id), 4 * 1000 + 1001);
	view_open(&view, &f, got.id);
	while (view_next(&view))
		if (strcmp(view.en.path, v[1].entry.path) == 0) {
			ck_assert_uint_eq(view.en.mode, 0751);
			ck_assert_int_eq(view.en.mtime.sec, 77);
		}
	view_close(&view);
}
END_TEST

/*
 * The repository's key decides which content ends a group: one of 1,000 bytes
 * does with one key in 500, and hardly with each of so many.
 */
#define KEYS 5

/* The first name of a hard link goes among its neighbours, too. */
START_TEST(hard_links_are_grouped)
{
	for (size_t i = 0; i < 4; i++)
		make(i, 1000, i == 3 ? 2 : 1 + i);
	for (size_t i = 1; i < 4; i += 2) {
		v[i].entry.flags = ENTRY_HARD_LINK;
		v[i].entry.link_group = 5;
	}
	for (int i = 0; i < KEYS; i++) {
		(void)take(4);
		if (same_chunk(&places.v[0], &places.v[1]) &&
		    same_chunk(&places.v[1], &places.v[2]))
			break;
		tear_down();
		set_up();
	}
	ck_assert(same_chunk(&places.v[0], &places.v[1]));
	ck_assert(same_chunk(&places.v[1], &places.v[2]));
	ck_assert(same_place(&places.v[1], &places.v[3]));
}
END_TEST

/* The chunks that all files together name, once each. */
static size_t chunks(size_t n)
{
	size_t sum = 0;

	for (size_t i = 0; i < n; i++) {
		size_t k = 0;

		while (k < i && !same_chunk(&places.v[i], &places.v[k]))
			k++;
		sum += k == i;
	}
	return sum;
}

/* 10 MB of files in about twenty groups, and all of them again. */
START_TEST(a_group_that_was_closed_long_ago_is_named_again)
{
	enum { CONTENTS = 1000, SIZE = 10000 };
	struct snapshot_result got;

	for (size_t i = 0; i < CONTENTS; i++) {
		make(i, SIZE, 1 + i);
		make(2 * CONTENTS - 1 - i, SIZE, 1 + i);
	}
	got = take(2 * CONTENTS);
	ck_assert_uint_eq(stored(got.id), CONTENTS * SIZE);
	ck_assert_uint_gt(chunks(CONTENTS), 5);
	for (size_t i = 0; i < CONTENTS; i++)
		ck_assert(same_place(&places.v[i],
				     &places.v[2 * CONTENTS - 1 - i]));
}
END_TEST

/* More of one content than there can be events before a group is closed. */
START_TEST(nothing_waits_for_a_group_that_gets_nothing_new)
{
	make(0, 500, 1);
	for (size_t i = 1; i < MOST; i++)
		make(i, 300, 2);
	make(MOST / 2, 300, 3);
	make(MOST - 1, 500, 1);
	(void)take(MOST);
	for (size_t i = 2; i < MOST - 1; i++)
		ck_assert_int_eq(same_place(&places.v[1], &places.v[i]),
				 i != MOST / 2);
	ck_assert(same_place(&places.v[0], &places.v[MOST - 1]));
	ck_assert(!same_chunk(&places.v[0], &places.v[MOST / 2]));
}
END_TEST

/* It is data that is named: what lies between is each file's own. */
START_TEST(files_with_holes_share_their_data)
{
	for (size_t i = 0; i < 7; i++)
		make(i, 8000, i < 5 ? 1 : 0);
	v[1].turn = v[2].turn = v[4].turn = 1000; /* 4,000 bytes of data */
	v[2].hole_first = true;			  /* and without the stamp */
	/* Not as long as what 1 and 2 add up to, should it end a group. */
	v[0].entry.size = 9000;
	v[3].entry.size = 4000;
	v[5].entry.size = 4000;
	v[6].turn = 10000; /* no data at all */
	v[6].hole_first = true;
	(void)take(7);
	for (size_t i = 0; i < 6; i++) {
		ck_assert_int_eq(same_place(&places.v[1], &places.v[i]),
				 i == 1 || i == 3 || i == 4);
		ck_assert_int_eq(same_place(&places.v[2], &places.v[i]),
				 i == 2 || i == 5);
	}
	ck_assert(places.v[6].hole);
}
END_TEST

START_TEST(a_file_that_failed_lends_nothing)
{
	struct snapshot_result got;
	uint64_t read;

	for (size_t i = 0; i < 5; i++)
		make(i, 900, 1);
	v[0].state = SOURCE_FAILED;
	v[1].gone = true;
	v[2].state = SOURCE_CHANGED;
	ck_ok(take_fake(&f, v, 5, &got, &read, &e));
	expect_entries(&f, got.id, v + 2, 3);
	look(&places, got.id);
	/* One that changed meanwhile: what was read of it is what it is. */
	ck_assert(same_place(&places.v[0], &places.v[1]));
	ck_assert(same_place(&places.v[0], &places.v[2]));
}
END_TEST

/* Hard links, of which the later ones are not read. */
START_TEST(links_name_what_their_first_name_does)
{
	make(0, 1000, 1);
	for (size_t i = 1; i < 5; i++) {
		make(i, 1000, 1);
		v[i].entry.flags = ENTRY_HARD_LINK;
		v[i].entry.link_group = i / 3;
	}
	(void)take(5);
	for (size_t i = 1; i < 5; i++)
		ck_assert(same_place(&places.v[0], &places.v[i]));
}
END_TEST

/* What costs no more than to name one more chunk. */
START_TEST(the_smallest_are_stored_each)
{
	make(0, SNAPSHOT_NAMED_MIN, 1);
	make(1, SNAPSHOT_NAMED_MIN, 1);
	make(2, SNAPSHOT_NAMED_MIN - 1, 1);
	make(3, SNAPSHOT_NAMED_MIN - 1, 1);
	make(4, 0, 0);
	make(5, 0, 0);
	(void)take(6);
	ck_assert(same_place(&places.v[0], &places.v[1]));
	ck_assert(!same_place(&places.v[2], &places.v[3]));
	ck_assert(places.v[4].hole);
}
END_TEST

/* What the parent has is not read, so nobody knows what is in it. */
START_TEST(beside_a_parent_what_is_read_is_stored_once)
{
	struct snapshot_result got;
	static struct places before;
	uint64_t read;

	for (size_t i = 0; i < 10; i++)
		make(i, 2000, 1 + i / 2);
	(void)take(6);
	before = places;
	got = take(10);
	for (size_t i = 0; i < 6; i++)
		ck_assert(same_place(&before.v[i], &places.v[i]));
	ck_assert(same_place(&places.v[6], &places.v[7]));
	ck_assert(same_place(&places.v[8], &places.v[9]));
	ck_assert(!object_id_is_zero(got.parent));
	/* All of the first again: its groups are there, and stay theirs. */
	for (size_t i = 0; i < 6; i++)
		v[i].entry.inode++;
	ck_ok(take_fake(&f, v, 6, &got, &read, &e));
	ck_assert_uint_eq(read, 6 * 2000);
	expect_entries(&f, got.id, v, 6);
	look(&places, got.id);
	for (size_t i = 0; i < 6; i++)
		ck_assert(same_place(&before.v[i], &places.v[i]));
}
END_TEST

/* Groups that are full to the last byte, as each file is as long as the last
 * room in one: of seventy some end nowhere before. */
START_TEST(groups_are_filled_to_the_last_byte)
{
	enum { FILES = 3840, SIZE = SNAPSHOT_GROUP_MAX / 128 };

	for (size_t i = 0; i < FILES; i++)
		make(i, SIZE, 1 + i);
	(void)take(FILES);
	for (size_t i = 0; i < FILES; i++)
		ck_assert_uint_le(places.v[i].offset + SIZE,
				  SNAPSHOT_GROUP_MAX);
	/* All empty, and more than the pipeline holds. */
	for (size_t i = 0; i < MOST; i++)
		make(i, i == 0, 0);
	(void)take(MOST);
}
END_TEST

static int no_content(void *arg, const struct diff_change *c, struct err *err)
{
	(void)err;
	ck_assert_ptr_nonnull(c->before);
	ck_assert_ptr_nonnull(c->after);
	ck_assert_uint_eq(c->aspects & DIFF_CONTENT, 0);
	*(size_t *)arg += c->aspects != 0;
	return 0;
}

/* Two folders of the same files, but for one byte of one. */
static void fill_folders(void)
{
	struct random dice = { 7 };
	char folder[SCRATCH_PATH + 8];
	char name[16];

	ck_assert_int_eq(mkdir(f.from, 0755), 0);
	for (int i = 0; i < 2; i++) {
		dice.state = 7;
		(void)snprintf(folder, sizeof(folder), "%s/%d", f.from, i);
		ck_assert_int_eq(mkdir(folder, 0755), 0);
		for (int k = 0; k < 60; k++) {
			(void)snprintf(name, sizeof(name), "%d", k);
			region_file(folder, name,
				    1 + random_below(&dice, 50000), &dice);
		}
	}
	region_file(folder, "30", 4000, &dice);
}

/* Whoever else reads trees: restore, diff, check, replicate. */
START_TEST(all_others_only_see_extents)
{
	const struct check_options level = { .level = CHECK_DATA,
					     .now = clock_now() };
	const struct replicate_options o = { .host = "h" };
	CLEANUP(check_result_done) struct check_result checked = { 0 };
	struct replicate_result copied;
	struct repository *to;
	struct snapshot_result first;
	struct snapshot_result second;
	struct tree_list want;
	struct view a;
	struct view b;
	size_t changed = 0;

	fill_folders();
	first = repo_take(&f);
	look(&places, first.id);
	ck_assert_uint_eq(places.n, 120);
	for (size_t i = 0; i < 60; i++)
		changed += !same_place(&places.v[i], &places.v[60 + i]);
	ck_assert_uint_eq(changed, 1);
	repo_list(&want, f.from);
	ck_assert_uint_eq(repo_restore(&f, first.id).errors, 0);
	repo_expect_same(&want, f.to);
	tree_list_done(&want);
	/* The same bytes elsewhere are no other content. */
	scratch_remove(f.from);
	fill_folders();
	second = repo_take(&f);
	view_open(&a, &f, first.id);
	view_open(&b, &f, second.id);
	ck_ok(diff_run(f.r, &a.s.manifest.tree, &b.s.manifest.tree, no_content,
		       &changed, &e));
	view_close(&a);
	view_close(&b);
	to = region_add(f.r, "mem:small-copy", f.credential);
	ck_ok(replicate_run(f.r, to, &o, &copied, &e));
	ck_ok(check_run(to, &level, &checked, &e));
	ck_assert(checked.sound);
	repository_close(to);
	region_expect_same(f.url, "mem:small-copy", f.credential);
	store_mem_forget("mem:small-copy");
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, hard_links_are_grouped);
	tcase_add_test(tc, one_content_of_many_names_lies_in_one_place);
	tcase_add_test(tc, a_group_that_was_closed_long_ago_is_named_again);
	tcase_add_test(tc, nothing_waits_for_a_group_that_gets_nothing_new);
	tcase_add_test(tc, files_with_holes_share_their_data);
	tcase_add_test(tc, a_file_that_failed_lends_nothing);
	tcase_add_test(tc, links_name_what_their_first_name_does);
	tcase_add_test(tc, the_smallest_are_stored_each);
	tcase_add_test(tc, beside_a_parent_what_is_read_is_stored_once);
	tcase_add_test(tc, groups_are_filled_to_the_last_byte);
	tcase_add_test(tc, all_others_only_see_extents);
}

CHECK_MAIN("storage/snapshot_small", cases)

/*
 * Random trees, changed at random, taken and restored: what comes back is what
 * was there, bit for bit, of each of the snapshots.
 */
#include <sys/stat.h>

#include "tests/support/random.h"
#include "tests/support/repo_frame.h"
#include "tests/support/tree_gen.h"

#define ROUNDS	  60
#define SNAPSHOTS 4

static void restore_and_compare(struct repo_frame *f, struct object_id id,
				const struct tree_list *want)
{
	const struct restore_result got = repo_restore(f, id);

	ck_assert_msg(got.errors == 0, "%s", f->failed);
	ck_assert_msg(got.left_out == 0, "%s", f->left);
	ck_assert(!got.damaged);
	ck_assert_uint_eq(got.files + got.folders + got.others, want->count);
	repo_expect_same(want, f->to);
}

static void one_round(struct random *r)
{
	CLEANUP(repo_frame_done) struct repo_frame f;
	struct tree_list want[SNAPSHOTS];
	struct object_id ids[SNAPSHOTS];
	const unsigned int size = 1 + (unsigned int)random_below(r, 120);

	repo_frame_init(&f, "mem:prop");
	ck_assert_int_eq(mkdir(f.from, 0700), 0);
	tree_gen_fill(f.from, size, r);
	for (int i = 0; i < SNAPSHOTS; i++) {
		struct snapshot_result taken;

		if (i)
			tree_gen_mutate(f.from, 1 + size / 8, r);
		taken = repo_take(&f);
		ids[i] = taken.id;
		ck_assert_int_eq(taken.state, MANIFEST_COMPLETE);
		repo_list(&want[i], f.from);
	}
	/* One after the other into the same folder, changed ones replaced
	 * where only files changed; then each by itself. */
	repo_frame_reopen(&f);
	for (int i = 0; i < SNAPSHOTS; i++) {
		restore_and_compare(&f, ids[i], &want[i]);
		ck_assert_uint_eq(repo_restore(&f, ids[i]).errors, 0);
		repo_expect_same(&want[i], f.to);
		scratch_remove(f.to);
		tree_list_done(&want[i]);
	}
	scratch_remove(f.from);
}

START_TEST(what_was_taken_comes_back)
{
	struct random r = random_seed();

	for (int i = 0; i < ROUNDS; i++)
		one_round(&r);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, what_was_taken_comes_back);
}

CHECK_MAIN("storage/snapshot", cases)

/* The walk against a slow walker that shares no code with it. */
#include "storage/sources/files.h"

#include <string.h>

#include "tests/support/check_main.h"
#include "tests/support/random.h"
#include "tests/support/scratch.h"
#include "tests/support/tree_gen.h"
#include "tests/support/tree_list.h"

#define PATHS_MAX 4

static void compare_once(const char *root, struct random *r)
{
	CLEANUP(source_close) struct source *s = NULL;
	struct tree_list got = { 0 };
	struct tree_list want = { 0 };
	const char *paths[PATHS_MAX] = { root };
	const struct files_options o = {
		.paths = paths,
		.path_count = 1 + (size_t)random_below(r, PATHS_MAX),
		.report = tree_list_report,
		.report_arg = &got,
		.threads = 1 + (unsigned int)random_below(r, 4),
	};
	struct err e = { 0 };

	tree_list_naive(&want, root);
	/* Paths within the one say nothing new. */
	for (size_t i = 1; i < o.path_count; i++)
		paths[i] = want.lines[random_below(r, want.count)].path;
	ck_ok(files_open(&o, &s, &e));
	tree_list_source(&got, s, 1 + random_below(r, 100000));
	tree_list_cut(&got, root);
	if (got.error_count)
		ck_abort_msg("%s", got.errors[0]);
	tree_list_expect_same(&got, &want);
	tree_list_done(&got);
	tree_list_done(&want);
}

START_TEST(sees_what_a_slow_walker_sees)
{
	struct random r = random_seed();
	int round;

	for (round = 0; round < 12; round++) {
		struct scratch dir;
		int step;

		scratch_init(&dir);
		tree_gen_fill(dir.path, 30 + (unsigned)random_below(&r, 400),
			      &r);
		for (step = 0; step < 3; step++) {
			compare_once(dir.path, &r);
			tree_gen_mutate(dir.path, 30, &r);
		}
		scratch_done(&dir);
	}
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, sees_what_a_slow_walker_sees);
}
CHECK_MAIN("storage/sources/files against a slow walker", cases)

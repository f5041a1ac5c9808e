/*
 * A snapshot is killed before each of its calls to the system in turn, and so
 * is a restore.  Whatever it got to: the repository opens, what was
 * acknowledged restores bit for bit, the next snapshot works and reuses, the
 * next restore continues.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/seam.h"
#include "tests/support/repo_frame.h"

static struct repo_frame f;
static struct err e;
static struct tree_list before;
static struct tree_list after;

struct plan {
	atomic_uint calls;
	unsigned int at;
	int sys; /* 0: killed there; else calls of that kind fail from then on
		  */
	enum seam_call kind;
};
static struct plan plan;

static int act(void *arg, enum seam_call call, const char *path)
{
	struct plan *p = arg;

	(void)path;
	if (p->sys && call != p->kind)
		return 0;
	if (atomic_fetch_add(&p->calls, 1) + 1 < p->at)
		return 0;
	if (p->sys)
		return p->sys;
	(void)kill(getpid(), SIGKILL);
	return 0;
}

static const char *at(const char *folder, const char *name)
{
	static char paths[4][2 * SCRATCH_PATH];
	static unsigned int next;
	char *path = paths[next++ % 4];

	(void)snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

static void write_bytes(const char *path, size_t n, uint64_t seed)
{
	FILE *file = fopen(path, "we");

	ck_assert_ptr_nonnull(file);
	for (size_t i = 0; i < n; i++) {
		seed = seed * UINT64_C(6364136223846793005) + 1442695040888963;
		(void)fputc((int)(seed >> 56), file);
	}
	ck_assert_int_eq(fclose(file), 0);
}

static void make_tree(void)
{
	ck_assert_int_eq(mkdir(f.from, 0755), 0);
	ck_assert_int_eq(mkdir(at(f.from, "d"), 0750), 0);
	write_bytes(at(f.from, "d/small"), 100, 1);
	write_bytes(at(f.from, "large"), 700000, 2);
	ck_assert_int_eq(link(at(f.from, "d/small"), at(f.from, "link")), 0);
	ck_assert_int_eq(symlink("large", at(f.from, "symlink")), 0);
}

static void change_tree(void)
{
	write_bytes(at(f.from, "d/new"), 5000, 3);
	write_bytes(at(f.from, "large"), 700001, 4);
}

/* Runs story in a child with the plan in force; its status. */
static int in_child(int (*story)(const void *arg), const void *arg)
{
	int status = 0;
	const pid_t pid = check_fork_child();

	if (pid == 0) {
		struct err own = { 0 };

		/* Keys in memory that a fork does not hand on: open anew. */
		f.r = NULL;
		if (repository_open(f.url, f.credential, &f.r, &own))
			_exit(9);
		seam_set_hook(act, &plan);
		_exit(story(arg));
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

static int take_story(const void *arg)
{
	struct snapshot_options o = { .no_parent = false };
	struct snapshot_result result;
	struct err own = { 0 };

	(void)arg;
	if (repo_take_with(&f, &o, &result, &own))
		return own.code == ERR_FULL ? 3 : 4;
	return 0;
}

static int restore_story(const void *arg)
{
	struct restore_options o = { .overwrite = RESTORE_CHANGED };
	struct restore_result result;
	struct err own = { 0 };

	if (repo_restore_with(&f, *(const struct object_id *)arg, &o, &result,
			      &own))
		return 4;
	return result.errors ? 5 : 0;
}

struct all {
	struct object_id ids[300];
	size_t n;
};

static int note_id(void *arg, struct repository_snapshot *s, struct err *err)
{
	struct all *a = arg;

	(void)err;
	ck_assert_uint_lt(a->n, 300);
	a->ids[a->n++] = s->manifest.snapshot;
	return 0;
}

static struct all all_snapshots(void)
{
	struct all a = { .n = 0 };

	ck_ok(repository_snapshots(f.r, false, note_id, NULL, &a, &e));
	return a;
}

static void remove_target(void)
{
	scratch_remove(f.to);
}

static void expect_restores(struct object_id id, const struct tree_list *want)
{
	const struct restore_result got = repo_restore(&f, id);

	ck_assert_msg(got.errors == 0, "%s", f.failed);
	repo_expect_same(want, f.to);
	remove_target();
}

static void set_up(void)
{
	repo_frame_init(&f, NULL);
	make_tree();
	(void)repo_take(&f);
	repo_list(&before, f.from);
	change_tree();
	repo_list(&after, f.from);
	plan = (struct plan){ .at = 1 };
}

static void tear_down(void)
{
	tree_list_done(&before);
	tree_list_done(&after);
	repo_frame_done(&f);
}

/* After whatever happened: all snapshots are whole, and the next one works. */
static void expect_sound(bool acknowledged, size_t were)
{
	struct all a;

	repo_frame_reopen(&f);
	a = all_snapshots();
	ck_assert_uint_ge(a.n, were + acknowledged);
	ck_assert_uint_le(a.n, were + 1);
	expect_restores(a.ids[0], &before);
	if (a.n > were)
		expect_restores(a.ids[a.n - 1], &after);
}

START_TEST(killed_before_every_call_of_a_snapshot)
{
	unsigned int n = 0;
	int status;

	do {
		const size_t were = all_snapshots().n;

		plan = (struct plan){ .at = ++n };
		status = in_child(take_story, NULL);
		ck_assert(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
		if (n % 4 == 1 || WIFEXITED(status))
			expect_sound(WIFEXITED(status), were);
		ck_assert_uint_lt(n, 1000);
	} while (WIFSIGNALED(status));
	ck_assert_uint_gt(n, 20);
	plan.at = 0;
	ck_assert_uint_eq(repo_take(&f).errors, 0);
}
END_TEST

/* No room from the nth write on: told as such, and made good by the next. */
START_TEST(a_full_store_is_told_and_made_good)
{
	unsigned int n = 0;
	int status;

	do {
		const size_t were = all_snapshots().n;

		plan = (struct plan){ .at = ++n,
				      .sys = ENOSPC,
				      .kind = SEAM_WRITE };
		status = in_child(take_story, NULL);
		ck_assert(WIFEXITED(status));
		ck_assert_msg(WEXITSTATUS(status) == 0 ||
				      WEXITSTATUS(status) == 3,
			      "write %u: %d", n, WEXITSTATUS(status));
		if (WEXITSTATUS(status))
			ck_assert_uint_eq(all_snapshots().n, were);
		ck_assert_uint_lt(n, 500);
	} while (WEXITSTATUS(status));
	ck_assert_uint_gt(n, 5);
	expect_sound(true, 1);
}
END_TEST

/* All but the target itself, which was there before. */
static void expect_same_below(const char *root)
{
	struct tree_list got;

	repo_list(&got, root);
	for (size_t k = 0; k < after.count; k++) {
		const struct tree_line *want = &after.lines[k];
		const struct tree_line *have = tree_list_find(&got, want->path);

		ck_assert_ptr_nonnull(have);
		if (*want->path)
			ck_assert_str_eq(have->text, want->text);
	}
	ck_assert_uint_eq(got.count, after.count);
	tree_list_done(&got);
}

/* No file of a final name that the next restore would take for right. */
START_TEST(killed_before_every_call_of_a_restore)
{
	unsigned int n = 0;
	struct object_id id;
	int status;

	id = repo_take(&f).id;
	do {
		plan = (struct plan){ .at = ++n };
		status = in_child(restore_story, &id);
		ck_assert(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
		ck_assert_uint_eq(repo_restore(&f, id).errors, 0);
		repo_expect_same(&after, f.to);
		remove_target();
		ck_assert_uint_lt(n, 1000);
	} while (WIFSIGNALED(status));
	ck_assert_uint_gt(n, 15);
}
END_TEST

/* The same names, and nothing as it should be. */
static void spoil_target(void)
{
	ck_assert_int_eq(mkdir(f.to, 0755), 0);
	ck_assert_int_eq(mkdir(at(f.to, "d"), 0750), 0);
	write_bytes(at(f.to, "d/small"), 90, 5);
	write_bytes(at(f.to, "d/new"), 90, 6);
	write_bytes(at(f.to, "large"), 90, 7);
	write_bytes(at(f.to, "link"), 90, 8);
	ck_assert_int_eq(symlink("small", at(f.to, "symlink")), 0);
}

/* What takes another one's place is beside it first, but not for ever. */
START_TEST(killed_before_every_call_of_a_restore_over_others)
{
	unsigned int n = 0;
	struct object_id id;
	int status;

	id = repo_take(&f).id;
	do {
		spoil_target();
		plan = (struct plan){ .at = ++n };
		status = in_child(restore_story, &id);
		ck_assert(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
		ck_assert_uint_eq(repo_restore(&f, id).errors, 0);
		expect_same_below(f.to);
		remove_target();
		ck_assert_uint_lt(n, 1000);
	} while (WIFSIGNALED(status));
	ck_assert_uint_gt(n, 25);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, killed_before_every_call_of_a_snapshot);
	tcase_add_test(tc, a_full_store_is_told_and_made_good);
	tcase_add_test(tc, killed_before_every_call_of_a_restore);
	tcase_add_test(tc, killed_before_every_call_of_a_restore_over_others);
}

CHECK_MAIN("storage/snapshot_kill", cases)

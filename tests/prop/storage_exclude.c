/*
 * Random patterns over random trees: the same paths are excluded as git
 * ignores.  Exits 77 where there is no git.  The seed is printed and taken
 * from SNAPCTL_TEST_SEED.
 *
 * Left out of the patterns is what git's manual does not promise: asterisks
 * next to one another other than as a whole component.
 */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "storage/sources/exclude.h"
#include "tests/support/check_main.h"
#include "tests/support/scratch.h"

#define ROUNDS	 150
#define PATHS	 80
#define PATTERNS 6

static struct scratch dir;
static struct err e;
static uint64_t state;

static unsigned int draw(unsigned int n)
{
	state = state * 6364136223846793005U + 1442695040888963407U;
	return (unsigned int)(state >> 33) % n;
}

/* One git command in the folder; its exit status, or -1. */
static int git(const char *const argv[], const char *in, const char *out)
{
	static char *env[] = { NULL, NULL, NULL, NULL, NULL };
	static char path_var[4096];
	posix_spawn_file_actions_t actions;
	const char *path = getenv("PATH");
	int status = -1;
	pid_t pid;

	(void)snprintf(path_var, sizeof(path_var), "PATH=%s",
		       path ? path : "/usr/bin:/bin");
	env[0] = path_var;
	env[1] = (char[]){ "GIT_CONFIG_GLOBAL=/dev/null" };
	env[2] = (char[]){ "GIT_CONFIG_NOSYSTEM=1" };
	env[3] = (char[]){ "HOME=/nonexistent" };
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawn_file_actions_addopen(&actions, 0, in, O_RDONLY, 0);
	(void)posix_spawn_file_actions_addopen(
		&actions, 1, out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	(void)posix_spawn_file_actions_addopen(&actions, 2, "/dev/null",
					       O_WRONLY, 0);
	if (posix_spawnp(&pid, "git", &actions, NULL,
			 (char *const *)(uintptr_t)argv, env) == 0 &&
	    waitpid(pid, &status, 0) == pid && WIFEXITED(status))
		status = WEXITSTATUS(status);
	else
		status = -1;
	(void)posix_spawn_file_actions_destroy(&actions);
	return status;
}

struct tree {
	char paths[PATHS][64];
	bool folders[PATHS];
	size_t n;
};

/* A random tree below the folder, every folder before what is in it. */
static void make_tree(struct tree *t)
{
	static const char *const names[] = { "a",   "b",   "c",	 "ab",	 "ba",
					     "abc", "a.b", "-",	 "aa",	 "]",
					     "b!",  " a",  "#c", "a\xff" };

	t->n = 0;
	for (int i = 0; i < PATHS; i++) {
		char path[64] = "";
		const char *name = names[draw(14)];
		char full[SCRATCH_PATH + 64];
		const size_t parent = t->n ? draw((unsigned int)t->n * 2) : 0;
		const bool is_folder = draw(2);

		if (parent < t->n) {
			if (!t->folders[parent] ||
			    strlen(t->paths[parent]) > 30)
				continue;
			(void)snprintf(path, sizeof(path), "%s/%s",
				       t->paths[parent], name);
		} else {
			(void)snprintf(path, sizeof(path), "%s", name);
		}
		(void)snprintf(full, sizeof(full), "%s/t/%s", dir.path, path);
		if (is_folder && mkdir(full, 0700) < 0)
			continue;
		if (!is_folder) {
			const int fd = open(full, O_WRONLY | O_CREAT | O_EXCL,
					    0600);

			if (fd < 0)
				continue;
			(void)close(fd);
		}
		memcpy(t->paths[t->n], path, sizeof(path));
		t->folders[t->n++] = is_folder;
	}
}

static void make_pattern(struct buf *out)
{
	static const char *const pieces[] = {
		"a",	"b",	       "c",	"?",	 "*",	   "[ab]",
		"[!a]", "[a-c]",       ".",	"\\a",	 "[]a]",   "-",
		"ab",	"[[:alpha:]]", "\\#",	"[^-b]", "[b\\]]", "[a-b-]",
		"]",	"\xff",	       "[.-c]",
	};
	const unsigned int components = 1 + draw(3);

	buf_clear(out);
	ck_ok(buf_add_str(out, draw(4) == 0 ? "!" : "", &e));
	ck_ok(buf_add_str(out, draw(4) == 0 ? "/" : "", &e));
	for (unsigned int i = 0; i < components; i++) {
		bool star = false;

		ck_ok(buf_add_str(out, i > 0 ? "/" : "", &e));
		if (draw(4) == 0) {
			ck_ok(buf_add_str(out, "**", &e));
			continue;
		}
		for (unsigned int k = 1 + draw(3); k > 0; k--) {
			const char *piece = pieces[draw(21)];

			if (star && piece[0] == '*')
				continue;
			star = piece[0] == '*';
			ck_ok(buf_add_str(out, piece, &e));
		}
	}
	ck_ok(buf_add_str(out, draw(4) == 0 ? "/" : "", &e));
}

static void path_in(char out[SCRATCH_PATH + 16], const char *name)
{
	(void)snprintf(out, SCRATCH_PATH + 16, "%s/%s", dir.path, name);
}

static void write_to(const char *name, const struct buf *b)
{
	char path[SCRATCH_PATH + 16];
	FILE *f;

	path_in(path, name);
	f = fopen(path, "we");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(b->data, 1, b->len, f), b->len);
	ck_assert_int_eq(fclose(f), 0);
}

/* What git ignores of the tree: the paths, each ended by NUL. */
static void ask_git(const struct tree *t, const struct buf *patterns,
		    struct buf *ret)
{
	char work[SCRATCH_PATH + 16];
	char in[SCRATCH_PATH + 16];
	char out[SCRATCH_PATH + 16];
	const char *const argv[] = { "git",	     "-C",	   work,
				     "check-ignore", "--no-index", "-z",
				     "--stdin",	     NULL };
	CLEANUP(buf_done) struct buf list;
	int r;

	buf_init(&list, 1 << 20);
	for (size_t i = 0; i < t->n; i++)
		ck_ok(buf_add(&list, t->paths[i], strlen(t->paths[i]) + 1, &e));
	write_to("in", &list);
	write_to("t/.gitignore", patterns);
	path_in(work, "t");
	path_in(in, "in");
	path_in(out, "out");
	r = git(argv, in, out);
	ck_assert(r == 0 || r == 1);
	ck_ok(file_read_all(out, ret, &e));
}

static void compare(const struct tree *t, const struct exclude *set,
		    const struct buf *git_says, const char *patterns)
{
	const char *at = buf_str(git_says);
	const char *end = at + git_says->len;

	for (size_t i = 0; i < t->n; i++) {
		const char *path = t->paths[i];
		const bool ours = exclude_match(set, path, strlen(path),
						t->folders[i]);
		const bool theirs = at < end && strcmp(at, path) == 0;

		if (theirs)
			at += strlen(at) + 1;
		if (ours != theirs)
			ck_abort_msg("%s%s: we say %d, git %d, of\n%s",
				     text_quote_str(path).s,
				     t->folders[i] ? " (dir.path)" : "", ours,
				     theirs, patterns);
	}
	ck_assert_ptr_eq(at, end);
}

static unsigned int excluded; /* over all rounds: it must not be trivial */
static unsigned int paths;

static void one_round(void)
{
	CLEANUP(exclude_free) struct exclude *set = NULL;
	CLEANUP(buf_done) struct buf line;
	CLEANUP(buf_done) struct buf lines;
	CLEANUP(buf_done) struct buf git_says;
	char work[SCRATCH_PATH + 16];
	static struct tree t;

	buf_init(&line, 4096);
	buf_init(&lines, 1 << 16);
	buf_init(&git_says, 1 << 20);
	path_in(work, "t");
	ck_assert_int_eq(mkdir(work, 0700), 0);
	make_tree(&t);
	ck_ok(exclude_new(&set, &e));
	for (int i = 0; i < PATTERNS; i++) {
		make_pattern(&line);
		ck_ok(exclude_add(set, buf_str(&line), &e));
		ck_ok(buf_addf(&lines, &e, "%s\n", buf_str(&line)));
	}
	ask_git(&t, &lines, &git_says);
	compare(&t, set, &git_says, buf_str(&lines));
	paths += (unsigned int)t.n;
	for (size_t i = 0; i < git_says.len; i++)
		excluded += git_says.data[i] == '\0';
	scratch_remove(work);
}

START_TEST(git_ignores_what_we_exclude)
{
	const char *const init[] = { "git", "init", "-q", dir.path, NULL };

	scratch_init(&dir);
	ck_assert_int_eq(git(init, "/dev/null", "/dev/null"), 0);
	for (int i = 0; i < ROUNDS; i++)
		one_round();
	scratch_done(&dir);
	ck_assert_uint_gt(excluded, paths / 20);
	ck_assert_uint_gt(paths - excluded, paths / 20);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, git_ignores_what_we_exclude);
}

int main(void)
{
	const char *const version[] = { "git", "--version", NULL };
	const char *seed = getenv("SNAPCTL_TEST_SEED");
	Suite *suite = suite_create("storage/exclude");
	TCase *tc = tcase_create("git");
	SRunner *r = srunner_create(suite);
	int failed;

	if (git(version, "/dev/null", "/dev/null") != 0) {
		(void)fputs("there is no git to compare with\n", stderr);
		srunner_free(r);
		return 77;
	}
	state = seed ? strtoull(seed, NULL, 10) : (uint64_t)clock_now().sec;
	(void)printf("SNAPCTL_TEST_SEED=%llu\n", (unsigned long long)state);
	tcase_set_timeout(tc, 0);
	cases(tc);
	suite_add_tcase(suite, tc);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

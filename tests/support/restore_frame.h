/*
 * What the tests of restoring share: a repository and a source folder for
 * each test, and short spellings of making and of looking at files.
 */
#ifndef TESTS_SUPPORT_RESTORE_FRAME_H
#define TESTS_SUPPORT_RESTORE_FRAME_H

#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/repo_frame.h"

static struct repo_frame f;
static struct err e;

static inline void set_up(void)
{
	repo_frame_init(&f, "mem:restore");
	ck_assert_int_eq(mkdir(f.from, 0755), 0);
	err_clear(&e);
}

static inline void tear_down(void)
{
	repo_frame_done(&f);
}

static inline const char *at(const char *folder, const char *name)
{
	static char paths[4][2 * SCRATCH_PATH];
	static unsigned int next;
	char *path = paths[next++ % 4];

	(void)snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

static inline void write_bytes(const char *path, size_t n, uint64_t seed)
{
	FILE *file = fopen(path, "we");

	ck_assert_ptr_nonnull(file);
	for (size_t i = 0; i < n; i++) {
		seed = seed * UINT64_C(6364136223846793005) + 1442695040888963;
		(void)fputc((int)(seed >> 56), file);
	}
	ck_assert_int_eq(fclose(file), 0);
}

static inline void write_text(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	ck_assert_ptr_nonnull(file);
	(void)fputs(text, file);
	ck_assert_int_eq(fclose(file), 0);
}

static inline void expect_text(const char *path, const char *want)
{
	char got[200] = "";
	FILE *file = fopen(path, "re");

	ck_assert_msg(file != NULL, "%s is not there", path);
	got[fread(got, 1, sizeof(got) - 1, file)] = '\0';
	(void)fclose(file);
	ck_assert_str_eq(got, want);
}

static inline bool exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static inline struct stat look(const char *path)
{
	struct stat st;

	ck_assert_int_eq(lstat(path, &st), 0);
	return st;
}

static inline int restore(struct object_id id, enum restore_overwrite overwrite,
			  struct restore_result *ret)
{
	struct restore_options o = { .overwrite = overwrite };

	return repo_restore_with(&f, id, &o, ret, &e);
}

#endif

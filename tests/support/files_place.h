/*
 * A tree below a scratch folder, and the walk over it: for tests of the files
 * source.
 */
#ifndef TESTS_SUPPORT_FILES_PLACE_H
#define TESTS_SUPPORT_FILES_PLACE_H

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/sources/files.h"
#include "tests/support/check_main.h"
#include "tests/support/scratch.h"
#include "tests/support/tree_list.h"

/* The tree, which is the working folder meanwhile. */
struct place {
	struct scratch dir;
	struct tree_list list;
	struct files_options options;
	const char *paths[4];
};

static inline void place_init(struct place *p)
{
	memset(p, 0, sizeof(*p));
	scratch_init(&p->dir);
	ck_assert_int_eq(chdir(p->dir.path), 0);
	p->paths[0] = p->dir.path;
	p->options.paths = p->paths;
	p->options.path_count = 1;
	p->options.report = tree_list_report;
	p->options.report_arg = &p->list;
}

static inline void place_done(struct place *p)
{
	ck_assert_int_eq(chdir("/"), 0);
	tree_list_done(&p->list);
	scratch_done(&p->dir);
}

static inline void cleanup_place_done(struct place *p)
{
	place_done(p);
}

static inline void write_file(const char *path, const char *text)
{
	const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_APPEND,
			    0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	(void)close(fd);
}

static inline void make_folder(const char *path)
{
	ck_assert_int_eq(mkdir(path, 0700), 0);
}

/* Walk it all; only what is below the scratch folder stays in the list. */
static inline void walk(struct place *p)
{
	CLEANUP(source_close) struct source *s = NULL;
	struct err e = { 0 };

	ck_ok(files_open(&p->options, &s, &e));
	tree_list_source(&p->list, s, 1000);
	tree_list_cut(&p->list, p->dir.path);
}

/* The names below the scratch folder, with spaces between. */
static inline void expect_names(const struct place *p, const char *want)
{
	const size_t skip = strlen(p->dir.path) + 1;
	char got[2000] = "";
	size_t n = 0;
	size_t i;

	for (i = 1; i < p->list.count; i++)
		n += (size_t)snprintf(got + n, sizeof(got) - n, "%s%s",
				      n ? " " : "",
				      p->list.lines[i].path + skip);
	ck_assert_str_eq(got, want);
}

static inline const struct tree_line *line_of(const struct place *p,
					      const char *name)
{
	char path[SCRATCH_PATH];

	return tree_list_find(&p->list, scratch_path(&p->dir, name, path));
}

#endif

/*
 * What is in a tree, as lines of text to compare: from a source, and from a
 * slow walker that shares no code with it (readdir, lstat, qsort, whole
 * paths).
 *
 * A line tells type, mode, owner, times, size, target, device, attributes,
 * a hash of the content (holes as zeros), and of hard links the line of the
 * first fellow.
 */
#ifndef TESTS_SUPPORT_TREE_LIST_H
#define TESTS_SUPPORT_TREE_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/sources/source.h"

struct tree_line {
	char *path;
	char *text;
	uint64_t group[2]; /* of hard links; 0, 0: none */
	uint64_t holes;	   /* bytes; from a source only, not compared */
	enum source_state state;
};
struct tree_list {
	struct tree_line *lines;
	size_t count;
	char **errors; /* "path: message" */
	size_t error_count;
};

/* For source_report, with the list as its arg. */
void tree_list_report(void *arg, const char *path, size_t path_len,
		      const char *message);
/* Everything that s delivers, looked at closely; read in pieces of `piece`. */
void tree_list_source(struct tree_list *t, struct source *s, size_t piece);
/* Everything below root, root included, but not the folders above it. */
void tree_list_naive(struct tree_list *t, const char *root);
/* Drop what lies above root. */
void tree_list_cut(struct tree_list *t, const char *root);
/* Fails the test, showing the first difference. */
void tree_list_expect_same(const struct tree_list *got,
			   const struct tree_list *want);
/* The line of a path, or NULL. */
const struct tree_line *tree_list_find(const struct tree_list *t,
				       const char *path);
void tree_list_done(struct tree_list *t);

#endif

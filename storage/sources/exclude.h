/*
 * Patterns that leave out, or pick, paths: in gitignore(5)'s manner.
 *
 *	*.o		any name that ends so, at any depth
 *	/build, a/b	a slash at the start or within: from the root on
 *	cache/		a slash at the end: folders only
 *	?, *, [a-z0-9], [!a-z], [[:digit:]]	match no slash
 *	!keep.o		takes back what an earlier pattern matched
 *	\#a, \!a	no comment, no "!"; as "\ " at the end is a space
 *
 * and two asterisks as a whole component stand for any number of folders, or
 * at the end for everything inside.
 *
 * The last pattern that matches a path decides; but what lies in an excluded
 * folder is excluded, whatever its own verdict is.  Bytes are compared as
 * they are: names need not be UTF-8, and case counts.
 *
 * Where git lets a pattern silently never match (an unclosed "[", a "\" at
 * the end, an unknown [:class:]), this refuses it.
 *
 * Matching one path costs at most its length times the pattern's: there is no
 * pattern that takes exponential time.  A set does not change once it is
 * complete, so any number of threads may match with it.
 */
#ifndef STORAGE_SOURCES_EXCLUDE_H
#define STORAGE_SOURCES_EXCLUDE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"

#define EXCLUDE_PATTERN_MAX 4096  /* bytes of one pattern */
#define EXCLUDE_COUNT_MAX   10000 /* patterns of a set */

struct exclude;

int exclude_new(struct exclude **ret, struct err *e) NONNULL(1, 2) MUST_CHECK;
void exclude_free(struct exclude *set);
DEFINE_CLEANUP(struct exclude *, exclude_free);

/* Add a line.  Blank ones and comments add nothing.  ERR_USAGE. */
int exclude_add(struct exclude *set, const char *line, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;
/* Whether there is no pattern at all. */
bool exclude_empty(const struct exclude *set) NONNULL(1);

enum exclude_verdict {
	EXCLUDE_NONE, /* no pattern matches */
	EXCLUDE_YES,
	EXCLUDE_NO, /* the last one that matches begins with "!" */
};

/*
 * What the patterns say about this very path, its parents left aside.  path
 * is relative to the root of the patterns, without slashes around it, len
 * bytes; the empty one (the root itself) has no verdict.
 */
enum exclude_verdict exclude_verdict(const struct exclude *set,
				     const char *path, size_t len,
				     bool is_folder) NONNULL(1, 2);

/* Whether path or a folder above it is excluded. */
bool exclude_match(const struct exclude *set, const char *path, size_t len,
		   bool is_folder) NONNULL(1, 2);

/*
 * The same set read as a list of what to include: whether path itself or,
 * where it has no verdict, the nearest folder above it that has one, is
 * picked.
 */
bool exclude_picks(const struct exclude *set, const char *path, size_t len,
		   bool is_folder) NONNULL(1, 2);

/*
 * A set that holds below each of some roots (as files_resolve() gives them):
 * the path is cut after the longest root that it lies in; has it no verdict
 * then, after the next shorter one; and what lies in none is not excluded.
 * exclude_below() is a files_excluded (files.h), so it looks at the path's own
 * verdict only: a walk does not enter what it excluded.
 */
struct exclude_scope {
	const struct exclude *set;
	const char *const *roots;
	size_t root_count;
};
bool exclude_below(const void *scope, const char *path, size_t len,
		   bool is_folder) NONNULL(1, 2);

#endif

/*
 * YAML 1.2 as a plain tree in which every value knows its place.
 *
 * This hides libfyaml.  What is read is a subset: maps with scalar keys,
 * lists and scalars, resolved by the core schema, so JSON is read too.
 * Refused, each at its place: bytes that are not UTF-8, NULs, anchors and
 * aliases (a small file of them unfolds into gigabytes), merge keys, tags
 * other than the core ones, duplicate keys, directives for another version,
 * nesting beyond YAML_DEPTH, more than YAML_BYTES or YAML_NODES.  The parser
 * works on events and stops at the first thing refused, so that memory is
 * bounded by these limits whatever the input.
 *
 * Deliberately without anchors, floats as numbers, time stamps, and writing.
 */
#ifndef SERVICE_YAML_H
#define SERVICE_YAML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "service/problem.h"

#define YAML_BYTES ((size_t)1 << 20)
#define YAML_DEPTH 32U
#define YAML_NODES 65536U

enum yaml_kind {
	YAML_NULL,
	YAML_BOOL,
	YAML_INT,
	YAML_FLOAT, /* recognised, kept as text */
	YAML_TEXT,
	YAML_LIST,
	YAML_MAP,
};

struct yaml_node {
	enum yaml_kind kind;
	uint32_t line, column; /* from 1; an absent value has its key's */
	/* Scalars: the text as it reads without quotes, NUL-terminated;
	 * for YAML_TEXT no byte of it is NUL.  Else "". */
	const char *text;
	size_t len;
	bool boolean;	/* YAML_BOOL */
	int64_t number; /* YAML_INT */
	size_t count;	/* YAML_LIST, YAML_MAP: children */
	const struct yaml_node *first;
	const struct yaml_node *next; /* sibling, in the file's order */
	/* When the parent is a map: */
	const char *key;
	uint32_t key_line, key_column;
};

struct yaml;

/*
 * Read the n bytes of text, which messages call label.  Whatever is wrong is
 * added to problems (one problem: nothing after it is sure) and -1 returned
 * with ERR_USAGE; ERR_NO_MEMORY otherwise.  The result is independent of
 * text and label.
 */
int yaml_parse(const char *label, const void *text, size_t n, struct yaml **ret,
	       struct problem_list *problems, struct err *e) NONNULL(1, 4, 5, 6)
	MUST_CHECK;
void yaml_free(struct yaml *y);
DEFINE_CLEANUP(struct yaml *, yaml_free);

const char *yaml_label(const struct yaml *y) NONNULL(1) RETURNS_NONNULL;
/*
 * The documents; one that holds nothing but comments does not count.
 */
size_t yaml_count(const struct yaml *y) NONNULL(1);
const struct yaml_node *yaml_document(const struct yaml *y, size_t n) NONNULL(1)
	RETURNS_NONNULL;

/* The value of key in a map; NULL when absent or node is NULL or no map. */
const struct yaml_node *yaml_get(const struct yaml_node *node, const char *key)
	NONNULL(2);

/* Where a value, or its key, stands. */
struct problem_place yaml_place(const struct yaml *y,
				const struct yaml_node *node) NONNULL(1, 2);
struct problem_place yaml_key_place(const struct yaml *y,
				    const struct yaml_node *node) NONNULL(1, 2);

/*
 * What was found, for a message: "the number 7", "the text \"x\"", "a list",
 * "nothing".  On the caller's stack.
 */
struct yaml_found {
	char s[240];
};
struct yaml_found yaml_found(const struct yaml_node *node) NONNULL(1);

#endif

/*
 * Stories of a tree: what is made in it, what changes, when it is taken,
 * collected, checked, restored.  A story is data, so that it can be drawn from
 * a seed, told, cut down to what matters, and printed for a person.
 *
 * Steps are forgiving: one whose folder is not there, or that the system
 * refuses, does nothing.  So any part of a story is one, too.
 */
#ifndef TESTS_SUPPORT_TREE_STORY_H
#define TESTS_SUPPORT_TREE_STORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "tests/support/random.h"

#define TREE_NAMES 32
#define TREE_DEPTH 47

/* A name of any bytes. */
struct tree_name {
	char bytes[256];
};

/* Below the tree's root, which is n = 0; names by their numbers. */
struct tree_path {
	uint8_t n;
	uint8_t name[TREE_DEPTH];
};

enum tree_act {
	/* Of the tree. */
	TREE_FOLDER,
	TREE_FOLDERS, /* with all above it */
	TREE_MANY,    /* a folder with so many entries */
	TREE_FILE,    /* of a bytes */
	TREE_WRITE,   /* b bytes at a */
	TREE_APPEND,
	TREE_CUT,     /* or lengthen it, to a bytes */
	TREE_PUNCH,   /* b bytes at a */
	TREE_REWRITE, /* other bytes, and the mtime from before */
	TREE_SYMLINK, /* to `to`, or to a bytes of nonsense */
	TREE_LINK,    /* `at` once more, as `to` */
	TREE_FIFO,
	TREE_SOCKET,
	TREE_DEVICE,
	TREE_MOVE,
	TREE_SWAP,
	TREE_REMOVE, /* with all in it */
	TREE_MODE,
	TREE_OWNER,
	TREE_TIME,
	TREE_ATTR,
	TREE_UNATTR,
	TREE_ACL,
	/* Of the repository: the teller's part. */
	TREE_TAKE,   /* a: without parent; b: the clock is so far ahead */
	TREE_FORGET, /* number a */
	TREE_COLLECT,
	TREE_CHECK,
	TREE_RESTORE, /* number a into an empty folder */
	TREE_OVER,    /* number a over what number b left, in mode c */
	TREE_ACTS
};

struct tree_step {
	enum tree_act act;
	struct tree_path at, to;
	int64_t a, b;
	uint64_t c; /* what is left to choose: bytes, kinds */
};

struct tree_story {
	struct tree_name names[TREE_NAMES];
	struct tree_step *steps;
	size_t n, room;
};

/* Some steps of each kind, about `size` of them before it is taken first. */
void tree_story_draw(struct tree_story *t, unsigned int size, struct random *r);
void tree_story_add(struct tree_story *t, const struct tree_step *s);
void tree_story_copy(struct tree_story *to, const struct tree_story *from);
void tree_story_done(struct tree_story *t);

/* Do a step of the tree's, below the folder root. */
void tree_story_do(const struct tree_story *t, const struct tree_step *s,
		   const char *root);

/* As commands of bash, each with what a person has to know. */
void tree_story_print(const struct tree_story *t, FILE *out);

/*
 * Cut a story that fails down: fewer steps, smaller ones, plain names.  In the
 * end no step can be left out.  fails() is asked at most so often.
 */
void tree_story_shrink(struct tree_story *t,
		       bool (*fails)(void *arg, const struct tree_story *t),
		       void *arg, unsigned int most);

#endif

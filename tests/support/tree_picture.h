/*
 * What is at a place, entry by entry, however deep: seen through descriptors,
 * so that no path is too long, and sharing no code with the walk of storage/.
 */
#ifndef TESTS_SUPPORT_TREE_PICTURE_H
#define TESTS_SUPPORT_TREE_PICTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

struct tree_dot {
	char *path; /* below the root, which is "" */
	char *meta; /* mode, owner, mtime, attributes */
	char *what; /* of a file its size and a hash; a target, a device */
	struct stat st;
	size_t first; /* the number of the first entry that is this one */
};
struct tree_picture {
	struct tree_dot *v; /* by path */
	size_t n, room;
};

/* Empty when root is not there. */
void tree_picture_take(struct tree_picture *p, const char *root);
void tree_picture_done(struct tree_picture *p);
/* The entry of a path, or NULL. */
const struct tree_dot *tree_picture_find(const struct tree_picture *p,
					 const char *path);
/* Whether both are the same; else what differs first. */
bool tree_picture_same(const struct tree_picture *got,
		       const struct tree_picture *want, char *ret_why,
		       size_t room);
/* For messages: "its-path: got this, not that". */
void tree_picture_say(char *out, size_t room, const char *path, const char *got,
		      const char *want);

#endif

/*
 * Random file trees with everything that Linux holds: folders, files (empty,
 * small, large, sparse), symlinks, hard links, fifos, sockets; names of any
 * bytes; odd modes and times; extended attributes and ACLs; and, for root,
 * devices, odd owners, capabilities, trusted attributes.
 */
#ifndef TESTS_SUPPORT_TREE_GEN_H
#define TESTS_SUPPORT_TREE_GEN_H

#include "tests/support/random.h"

/* Fill the folder at root, which exists, with about n entries. */
void tree_gen_fill(const char *root, unsigned int n, struct random *r);
/* Change about n things in it: content, names, modes, times, removals. */
void tree_gen_mutate(const char *root, unsigned int n, struct random *r);

#endif

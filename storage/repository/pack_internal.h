/*
 * The plaintext of a pack's directory, apart from the store and the seal, for
 * pack.c and its fuzzer.
 */
#ifndef STORAGE_REPOSITORY_PACK_INTERNAL_H
#define STORAGE_REPOSITORY_PACK_INTERNAL_H

#include "storage/repository/pack.h"

/* The pack whose chunks a directory describes: they end where it begins. */
struct pack_body {
	enum object_kind kind;
	struct object_id id;
	uint64_t end;
};

/*
 * Check the whole directory, padding included, and then visit each chunk.
 * ERR_CORRUPT before any visit.
 */
int pack_parse_directory(const struct pack_body *body, const void *plain,
			 size_t n, pack_visit *visit, void *arg, struct err *e)
	NONNULL(1, 2, 4, 6) MUST_CHECK;

/* What pack.c and index.c demand of an entry from outside. */
bool pack_entry_is_sound(const struct pack_entry *entry) NONNULL(1);

#endif

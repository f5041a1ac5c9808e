#include "storage/repository/aliens.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/repository/hash.h"
#include "storage/repository/object.h"

#define READ_BYTES ((size_t)1 << 20)
/* Whoever puts more on top of one object is seen by the first of these. */
#define VERSIONS_MAX 1000

struct looking {
	struct store *store;
	const atomic_bool *cancel;
	struct aliens_result *out;
	uint8_t *bytes; /* READ_BYTES */
	struct hash *hash;
};

/* Of the version that the store is turned to, piece by piece: 0, -1. */
static int hash(struct looking *x, const char *name, uint8_t ret[HASH_SIZE],
		struct err *e)
{
	uint8_t both[2 * HASH_SIZE] = { 0 }; /* all before, and this one */
	uint64_t at = 0;
	size_t got;

	do {
		const int found = store_read(x->store, name, at, x->bytes,
					     READ_BYTES, &got, e);

		if (found < 0)
			return -1;
		if (found == 0)
			break;
		if (hash_bytes(x->hash, x->bytes, got, both + HASH_SIZE, e) ||
		    hash_bytes(x->hash, both, sizeof(both), both, e))
			return -1;
		at += got;
	} while (got == READ_BYTES);
	memcpy(ret, both, HASH_SIZE);
	return 0;
}

/* How many there are, up to a limit, and what is to be seen of that: 0, -1. */
static int count(struct looking *x, const char *name, unsigned int *ret,
		 bool *ret_differ, struct err *e)
{
	uint64_t first = 0;
	uint64_t size = 0;
	unsigned int n = 0;
	bool differ = false;
	int there = 1;

	while (n < VERSIONS_MAX &&
	       (there = store_turn(x->store, name, n + 1, e)) > 0) {
		if (store_size(x->store, name, &size, e) < 0)
			return -1;
		if (n++ == 0)
			first = size;
		differ |= size != first;
	}
	*ret = n;
	*ret_differ = differ;
	return there < 0 ? -1 : 0;
}

/* Whether any of so many is not what the first is: 1, 0, -1. */
static int read_all(struct looking *x, const char *name, unsigned int n,
		    struct err *e)
{
	uint8_t first[HASH_SIZE];
	uint8_t other[HASH_SIZE];

	for (unsigned int i = 1; i <= n; i++) {
		if (store_turn(x->store, name, i, e) < 0 ||
		    hash(x, name, i == 1 ? first : other, e) < 0)
			return -1;
		if (i > 1 && memcmp(first, other, sizeof(first)) != 0)
			return 1;
	}
	return 0;
}

/* 1 and how many there are, when they differ; 0, -1. */
static int compare(struct looking *x, const char *name, unsigned int *ret,
		   struct err *e)
{
	struct err ignored = { 0 };
	bool differ = false;
	int r = count(x, name, ret, &differ, e);

	if (r == 0)
		r = differ ? 1 : read_all(x, name, *ret > 1 ? *ret : 0, e);
	/* The first is what is read from here on, whatever was found. */
	if (store_turn(x->store, name, 1, r < 0 ? &ignored : e) < 0)
		return -1;
	return r;
}

static int look(void *arg, const struct store_entry *entry, struct err *e)
{
	struct looking *x = arg;
	struct aliens_finding *f;
	unsigned int n;
	int differ;

	if (x->cancel && atomic_load_explicit(x->cancel, memory_order_relaxed))
		return err_set(e, ERR_INTERRUPTED, "interrupted");
	if (!object_is_guarded(entry->name) ||
	    !store_has_several(x->store, entry->name))
		return 0;
	differ = compare(x, entry->name, &n, e);
	if (differ <= 0 || x->out->objects++ >= ALIENS_FINDINGS_MAX)
		return differ < 0 ? -1 : 0;
	f = &x->out->findings[x->out->objects - 1];
	(void)snprintf(f->object, sizeof(f->object), "%s", entry->name);
	f->versions = n;
	return 0;
}

int aliens_find(struct repository *r, const atomic_bool *cancel,
		struct aliens_result *ret, struct err *e)
{
	struct looking x = { .store = repository_store(r),
			     .cancel = cancel,
			     .out = ret };
	static const uint8_t nobodys[KEYS_SIZE];
	int failed;

	*ret = (struct aliens_result){ .objects = 0 };
	if (!store_keeps_versions(x.store))
		return 0;
	x.bytes = malloc(READ_BYTES);
	if (!x.bytes)
		return err_oom(e);
	failed = hash_new(nobodys, &x.hash, e);
	for (unsigned int k = OBJECT_CONFIG; !failed && k < OBJECT_KIND_END;
	     k++)
		if (object_is_guarded(object_kind_folder((enum object_kind)k)))
			failed = store_list(
				x.store,
				object_kind_folder((enum object_kind)k), look,
				&x, e);
	hash_free(x.hash);
	free(x.bytes);
	return failed;
}

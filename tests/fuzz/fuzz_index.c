/*
 * The plaintexts of an index object: its root, and a block that claims to
 * belong to it.  The first byte says how many blocks lie before the root, the
 * next two how long the root is.
 */
#include <stdlib.h>

#include "storage/repository/index_internal.h"
#include "tests/support/fuzz.h"

static void check_block(const struct index_object *o, const uint8_t *data,
			size_t n)
{
	static uint8_t plain[INDEX_BLOCK_PLAIN];
	struct err e;

	memset(plain, 0, sizeof(plain));
	memcpy(plain, data, n < sizeof(plain) ? n : sizeof(plain));
	for (uint32_t i = 0; i < o->blocks && i < 4; i++)
		(void)!index_object_check_block(o, i, plain, &e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	CLEANUP(index_object_free)
	struct index_object *o = calloc(1, sizeof(*o));
	size_t root;
	struct err e;

	if (!o || n < 3)
		return 0;
	o->in.tail_at = OBJECT_HEADER_SIZE +
			(uint64_t)data[0] * INDEX_BLOCK_SIZE;
	root = data[1] | (size_t)data[2] << 8;
	data += 3;
	n -= 3;
	if (root > n)
		root = n;
	if (index_object_parse_root(o, data, root, &e))
		return 0;
	FUZZ_PROMISE(o->blocks + o->fillers ==
		     (o->in.tail_at - OBJECT_HEADER_SIZE) / INDEX_BLOCK_SIZE);
	check_block(o, data + root, n - root);
	return 0;
}

/*
 * The map of an image, as a local file keeps it.  Its checksums are mended, so
 * that the fuzzer gets behind them; what is taken is written again and is its
 * own form.
 */
#include "storage/repository/hash.h"
#include "storage/sources/block_map.h"
#include "tests/support/fuzz_folder.h"

#define HEAD_BYTES 112
#define PAGE_BYTES ((size_t)BLOCK_MAP_PAGE * 56)
#define ID_AT	   8

static void mend_part(struct hash *h, uint8_t *at, size_t n, const uint8_t *id,
		      uint64_t number)
{
	uint8_t bytes[24 + PAGE_BYTES];
	struct err e;

	memcpy(bytes, id, 16);
	for (unsigned int i = 0; i < 8; i++)
		bytes[16 + i] = (uint8_t)(number >> (8 * i));
	memcpy(bytes + 24, at, n);
	FUZZ_PROMISE(hash_bytes(h, bytes, 24 + n, at + n, &e) == 0);
}

static void mend(uint8_t *file, size_t n, const uint8_t *id)
{
	static const uint8_t label[KEYS_SIZE] = "snapctl: map of an image, v1";
	const size_t head = HEAD_BYTES + HASH_SIZE;
	struct hash *h = NULL;
	struct err e;

	FUZZ_PROMISE(hash_new(label, &h, &e) == 0);
	if (n >= head)
		mend_part(h, file, HEAD_BYTES, id, UINT64_MAX);
	for (size_t i = 0; head + (i + 1) * (PAGE_BYTES + HASH_SIZE) <= n; i++)
		mend_part(h, file + head + i * (PAGE_BYTES + HASH_SIZE),
			  PAGE_BYTES, id, i);
	hash_free(h);
}

static void write_again(struct block_map *m, const uint8_t *file, size_t n)
{
	CLEANUP(block_map_free) struct block_map *again = NULL;
	uint8_t *got = malloc(n);
	struct block_piece p;
	struct err e;
	int more;

	FUZZ_PROMISE(got != NULL);
	FUZZ_PROMISE(block_map_new(NULL, block_map_head(m), &again, &e) == 0);
	while ((more = block_map_next(m, &p, &e)) == 1)
		FUZZ_PROMISE(block_map_add(again, &p, &e) == 0);
	FUZZ_PROMISE(more == 0);
	FUZZ_PROMISE(block_map_end(again, &e) == 0);
	FUZZ_PROMISE(block_map_save(again, fuzz_folder(), "again", &e) == 0);
	fuzz_folder_get("again", got, n);
	FUZZ_PROMISE(memcmp(got, file, n) == 0);
	free(got);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	CLEANUP(block_map_free) struct block_map *m = NULL;
	struct object_id id = { { 0 } };
	uint8_t *file;
	struct err e;

	if (n > (1 << 16))
		return 0;
	file = malloc(n + 1);
	FUZZ_PROMISE(file != NULL);
	if (n)
		memcpy(file, bytes, n);
	if (n >= ID_AT + sizeof(id.b))
		memcpy(id.b, bytes + ID_AT, sizeof(id.b));
	mend(file, n, id.b);
	fuzz_folder_put("map", file, n);
	if (block_map_open(fuzz_folder(), "map", id, &m, &e) < 0)
		FUZZ_PROMISE(e.code == ERR_CORRUPT);
	else
		write_again(m, file, n);
	free(file);
	return 0;
}

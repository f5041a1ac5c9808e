#include "base/filemap.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mapped.h"
#include "base/secret.h"

#define FIRST_PART  64 /* entries; a power of two */
#define FIRST_SLOTS 128
#define SIZE_LIMIT  4096
#define PARTS	    34

/*
 * Where to find an entry: the upper bits of its key's hash and, in the lower
 * ones, its number plus one; 0 is a free slot.
 */
#define NUMBER_BITS 40
#define NUMBER_MASK ((UINT64_C(1) << NUMBER_BITS) - 1)

/* Slots in one mapped file; a power of two of them. */
struct slots {
	struct mapped file;
	uint64_t *v;
	uint64_t n;
};

/*
 * Entries follow each other in the order in which they came, the value and
 * then the key, rounded up to eight bytes so that values are aligned.  They
 * never move: part 0 holds the first FIRST_PART of them, each part after it as
 * many as all before.
 *
 * Pages of entries so become dirty one after another.  When entries lay in
 * the slots, each new one made some page of all dirty, and the kernel wrote a
 * table of 800 MB to the disk as often as it could.
 */
struct filemap {
	struct slots slots;
	struct mapped parts[PARTS];
	uint64_t count;
	size_t key_size;
	size_t key_at;
	size_t entry_size;
	uint8_t hash_key[16];
	char *folder;
};

static size_t round_up_8(size_t n)
{
	return (n + 7) / 8 * 8;
}

/* ---- Entries ------------------------------------------------------------ */

static unsigned int part_of(uint64_t number)
{
	const uint64_t n = number / FIRST_PART;

	return n ? 64 - (unsigned int)__builtin_clzll(n) : 0;
}

/* The number of a part's first entry; and how many it holds. */
static uint64_t part_begin(unsigned int part)
{
	return part ? (uint64_t)FIRST_PART << (part - 1) : 0;
}

static uint64_t part_length(unsigned int part)
{
	return part ? part_begin(part) : FIRST_PART;
}

static uint8_t *entry(const struct filemap *m, uint64_t number)
{
	const unsigned int part = part_of(number);

	return m->parts[part].bytes +
	       (number - part_begin(part)) * m->entry_size;
}

/* That there is room for the entry of this number. */
static int make_room(struct filemap *m, uint64_t number, struct err *e)
{
	const unsigned int part = part_of(number);
	size_t bytes;

	if (part >= PARTS || number >= NUMBER_MASK ||
	    __builtin_mul_overflow(part_length(part), m->entry_size, &bytes))
		return err_oom(e);
	if (m->parts[part].bytes)
		return 0;
	return mapped_open(m->folder, bytes, &m->parts[part], e);
}

/* ---- Slots -------------------------------------------------------------- */

static int slots_open(const struct filemap *m, struct slots *ret, uint64_t n,
		      struct err *e)
{
	struct mapped file;
	size_t bytes;

	if (__builtin_mul_overflow(n, sizeof(uint64_t), &bytes))
		return err_oom(e);
	if (mapped_open(m->folder, bytes, &file, e))
		return -1;
	*ret = (struct slots){ file, (uint64_t *)(void *)file.bytes, n };
	return 0;
}

static void slots_close(struct slots *s)
{
	mapped_close(&s->file);
	*s = (struct slots){ .n = 0 };
}

static uint64_t hash(const struct filemap *m, const void *key)
{
	return secret_table_hash(m->hash_key, key, m->key_size);
}

/* The slot of the key with that hash, or the free one where it belongs. */
static uint64_t *locate(const struct filemap *m, uint64_t h, const void *key)
{
	for (uint64_t i = h;; i++) {
		uint64_t *s = &m->slots.v[i & (m->slots.n - 1)];

		if (*s == 0 ||
		    ((*s ^ h) >> NUMBER_BITS == 0 &&
		     memcmp(entry(m, (*s & NUMBER_MASK) - 1) + m->key_at, key,
			    m->key_size) == 0))
			return s;
	}
}

static void occupy(uint64_t *slot, uint64_t h, uint64_t number)
{
	*slot = (h & ~NUMBER_MASK) | (number + 1);
}

static int grow(struct filemap *m, struct err *e)
{
	struct slots bigger;

	if (slots_open(m, &bigger, m->slots.n * 2, e))
		return -1;
	for (uint64_t number = 0; number < m->count; number++) {
		const uint64_t h = hash(m, entry(m, number) + m->key_at);
		uint64_t i = h;

		while (bigger.v[i & (bigger.n - 1)] != 0)
			i++;
		occupy(&bigger.v[i & (bigger.n - 1)], h, number);
	}
	slots_close(&m->slots);
	m->slots = bigger;
	return 0;
}

/* ---- The map ------------------------------------------------------------ */

int filemap_new(struct filemap **ret, const char *folder, size_t key_size,
		size_t value_size, struct err *e)
{
	struct filemap *m;

	assert(key_size > 0 && key_size <= SIZE_LIMIT);
	assert(value_size <= SIZE_LIMIT);
	m = calloc(1, sizeof(*m));
	if (!m)
		return err_oom(e);
	m->key_size = key_size;
	m->key_at = round_up_8(value_size);
	m->entry_size = round_up_8(m->key_at + key_size);
	secret_random(m->hash_key, sizeof(m->hash_key));
	if (folder) {
		m->folder = strdup(folder);
		if (!m->folder) {
			filemap_free(m);
			return err_oom(e);
		}
	}
	/* The first file comes when much has been done. */
	if (file_check_temporary(folder, e) ||
	    slots_open(m, &m->slots, FIRST_SLOTS, e)) {
		filemap_free(m);
		return -1;
	}
	*ret = m;
	return 0;
}

void filemap_free(struct filemap *m)
{
	if (!m)
		return;
	slots_close(&m->slots);
	for (unsigned int i = 0; i < PARTS; i++)
		mapped_close(&m->parts[i]);
	free(m->folder);
	free(m);
}

void *filemap_find(struct filemap *m, const void *key)
{
	const uint64_t *s = locate(m, hash(m, key), key);

	return *s ? entry(m, (*s & NUMBER_MASK) - 1) : NULL;
}

int filemap_add(struct filemap *m, const void *key, void **ret_value,
		struct err *e)
{
	const uint64_t h = hash(m, key);
	uint64_t *s = locate(m, h, key);

	if (*s) {
		*ret_value = entry(m, (*s & NUMBER_MASK) - 1);
		return 0;
	}
	if (make_room(m, m->count, e))
		return -1;
	if (m->count >= m->slots.n / 4 * 3) {
		if (grow(m, e))
			return -1;
		s = locate(m, h, key);
	}
	memcpy(entry(m, m->count) + m->key_at, key, m->key_size);
	occupy(s, h, m->count);
	*ret_value = entry(m, m->count);
	m->count++;
	return 1;
}

uint64_t filemap_count(const struct filemap *m)
{
	return m->count;
}

int filemap_next(struct filemap *m, uint64_t *pos, const void **ret_key,
		 void **ret_value)
{
	uint8_t *found;

	if (*pos >= m->count)
		return 0;
	found = entry(m, (*pos)++);
	*ret_key = found + m->key_at;
	*ret_value = found;
	return 1;
}

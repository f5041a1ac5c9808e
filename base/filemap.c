#include "base/filemap.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mapped.h"
#include "base/secret.h"

#define FIRST_CAPACITY 64
#define SIZE_LIMIT     4096

/* One mapped file of slots; a power of two of them. */
struct table {
	struct mapped file;
	uint64_t capacity;
};

/*
 * A slot is the value, then the key, then one byte that is 1 when the slot is
 * taken; rounded up to eight bytes so that values are aligned.
 */
struct filemap {
	struct table table;
	uint64_t count;
	size_t key_size;
	size_t value_size;
	size_t key_at;
	size_t slot_size;
	uint8_t hash_key[16];
	char *folder;
};

static size_t round_up_8(size_t n)
{
	return (n + 7) / 8 * 8;
}

static uint8_t *slot(const struct filemap *m, const struct table *t, uint64_t i)
{
	return t->file.bytes + i * m->slot_size;
}

static bool is_taken(const struct filemap *m, const uint8_t *s)
{
	return s[m->key_at + m->key_size] != 0;
}

/* The slot that holds key, or the free one where it belongs. */
static uint8_t *locate(const struct filemap *m, const struct table *t,
		       const void *key)
{
	uint64_t i = secret_table_hash(m->hash_key, key, m->key_size);

	for (;; i++) {
		uint8_t *s = slot(m, t, i & (t->capacity - 1));

		if (!is_taken(m, s) ||
		    memcmp(s + m->key_at, key, m->key_size) == 0)
			return s;
	}
}

static int table_open(const struct filemap *m, struct table *ret,
		      uint64_t capacity, struct err *e)
{
	struct mapped file;
	size_t bytes;

	if (__builtin_mul_overflow(capacity, m->slot_size, &bytes))
		return err_oom(e);
	if (mapped_open(m->folder, bytes, &file, e))
		return -1;
	*ret = (struct table){ file, capacity };
	return 0;
}

static void table_close(struct table *t)
{
	mapped_close(&t->file);
	t->capacity = 0;
}

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
	m->value_size = value_size;
	m->key_at = round_up_8(value_size);
	m->slot_size = round_up_8(m->key_at + key_size + 1);
	secret_random(m->hash_key, sizeof(m->hash_key));
	if (folder) {
		m->folder = strdup(folder);
		if (!m->folder) {
			filemap_free(m);
			return err_oom(e);
		}
	}
	if (table_open(m, &m->table, FIRST_CAPACITY, e)) {
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
	table_close(&m->table);
	free(m->folder);
	free(m);
}

void *filemap_find(struct filemap *m, const void *key)
{
	uint8_t *s = locate(m, &m->table, key);

	return is_taken(m, s) ? s : NULL;
}

static int grow(struct filemap *m, struct err *e)
{
	struct table bigger;

	if (table_open(m, &bigger, m->table.capacity * 2, e))
		return -1;
	for (uint64_t i = 0; i < m->table.capacity; i++) {
		const uint8_t *s = slot(m, &m->table, i);

		if (is_taken(m, s))
			memcpy(locate(m, &bigger, s + m->key_at), s,
			       m->slot_size);
	}
	table_close(&m->table);
	m->table = bigger;
	return 0;
}

int filemap_add(struct filemap *m, const void *key, void **ret_value,
		struct err *e)
{
	uint8_t *s = locate(m, &m->table, key);

	if (is_taken(m, s)) {
		*ret_value = s;
		return 0;
	}
	if (m->count >= m->table.capacity / 4 * 3) {
		if (grow(m, e))
			return -1;
		s = locate(m, &m->table, key);
	}
	memcpy(s + m->key_at, key, m->key_size);
	s[m->key_at + m->key_size] = 1;
	m->count++;
	*ret_value = s;
	return 1;
}

uint64_t filemap_count(const struct filemap *m)
{
	return m->count;
}

int filemap_next(struct filemap *m, uint64_t *pos, const void **ret_key,
		 void **ret_value)
{
	while (*pos < m->table.capacity) {
		uint8_t *s = slot(m, &m->table, (*pos)++);

		if (is_taken(m, s)) {
			*ret_key = s + m->key_at;
			*ret_value = s;
			return 1;
		}
	}
	return 0;
}

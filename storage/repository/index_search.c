/*
 * Looking up in a set of index objects.
 */
#include <stdlib.h>
#include <string.h>

#include "storage/repository/index_set.h"

struct search {
	const struct index_hidden *hidden;
	const struct chunk_id *id;
	const struct object_id *not_in;
	size_t n_not_in;
	bool everywhere; /* also in what does not count */
	struct pack_entry ret;
	bool found;
	bool by_ignored; /* found in what does not count */
};

static bool is_excluded(const struct search *s, const uint8_t *entry)
{
	for (size_t i = 0; i < s->n_not_in; i++)
		if (memcmp(s->not_in[i].b, entry + CHUNK_ID_SIZE,
			   sizeof(s->not_in[i].b)) == 0)
			return true;
	return index_hidden_has(s->hidden, entry);
}

static void search_entries(struct search *s, const uint8_t *entries, size_t n)
{
	for (size_t i = index_lower_bound(entries, n, s->id); i < n; i++) {
		const uint8_t *entry = entries + i * INDEX_ENTRY_SIZE;

		if (memcmp(entry, s->id->b, CHUNK_ID_SIZE) != 0)
			return;
		if (is_excluded(s, entry))
			continue;
		index_decode(entry, &s->ret);
		s->found = true;
		return;
	}
}

static void search_block(void *arg, const uint8_t *plain)
{
	search_entries(arg, plain + 2, plain[0] | (size_t)plain[1] << 8);
}

static int search_one_block(struct index_set *x, struct index_object *o,
			    uint32_t block, struct search *s, struct err *e)
{
	const uint64_t key = (uint64_t)o->serial << 32 | block;
	struct err why = { 0 };
	uint8_t *plain;

	if (index_cache_find(x->cache, key, search_block, s))
		return 0;
	plain = malloc(INDEX_BLOCK_PLAIN);
	if (!plain)
		return err_oom(e);
	index_object_missed(o);
	if (index_object_block(o, block, plain, &why)) {
		if (index_set_leave_out(x, o, &why, e)) {
			free(plain);
			return -1;
		}
		/* Kept as one without entries: a disk fails slowly. */
		memset(plain, 0, INDEX_BLOCK_PLAIN);
	}
	search_block(s, plain);
	index_cache_keep(x->cache, key, plain);
	return 0;
}

/*
 * The blocks that may hold id: the last whose first id begins lower, and
 * those whose first id begins as it does, of which there is one only when
 * id is the first of its block.
 */
static int search_object(struct index_set *x, struct index_object *o,
			 struct search *s, struct err *e)
{
	uint64_t want = 0;
	uint32_t low = 0;
	uint32_t high = o->blocks;

	for (unsigned int i = 0; i < 8; i++)
		want = want << 8 | s->id->b[i];
	while (low < high) {
		const uint32_t middle = low + (high - low) / 2;

		if (o->fences[middle] < want)
			low = middle + 1;
		else
			high = middle;
	}
	for (uint32_t b = low ? low - 1 : 0;
	     b < o->blocks && (b < low || o->fences[b] == want) && !s->found;
	     b++)
		if (search_one_block(x, o, b, s, e))
			return -1;
	return 0;
}

/*
 * What does not count is as authentic as what does, and a chunk that it names
 * opens or does not.  What of it cannot be read is passed over.
 */
static int search_ignored(struct index_set *x, struct search *s)
{
	for (size_t i = x->n; i > 0 && !s->found; i--) {
		struct index_object *o = x->objects[i - 1];
		struct err ignored = { 0 };

		if (o->ignored)
			(void)!search_object(x, o, s, &ignored);
	}
	s->by_ignored = s->found;
	return s->found;
}

static int search_all(struct index_set *x, struct search *s, struct err *e)
{
	for (size_t i = 0; i < x->n_runs && !s->found; i++)
		search_entries(s, x->runs[i].entries, x->runs[i].n);
	for (size_t i = x->n; i > 0 && !s->found; i--) {
		struct index_object *o = x->objects[i - 1];

		if (!o->ignored && !o->resident && search_object(x, o, s, e))
			return -1;
	}
	if (!s->found && (s->everywhere || atomic_load(&x->everywhere)))
		return search_ignored(x, s);
	return s->found;
}

static int search_once(struct index_set *x, struct search *s, struct err *e)
{
	int r;

	(void)pthread_rwlock_rdlock(&x->lock);
	r = search_all(x, s, e);
	(void)pthread_rwlock_unlock(&x->lock);
	return r;
}

static int search(struct index_set *x, struct search *s, struct pack_entry *ret,
		  struct err *e)
{
	int r;

	s->hidden = &x->hidden;
	r = search_once(x, s, e);
	/* An object was merged into another one and removed. */
	for (int i = 0; r < 0 && e->code == ERR_BUSY && !x->frozen &&
			i < INDEX_LISTINGS_MAX;
	     i++) {
		if (index_set_refresh(x, e))
			return -1;
		err_clear(e);
		r = search_once(x, s, e);
	}
	if (r == 1)
		*ret = s->ret;
	return r;
}

int index_set_find_other(struct index_set *x, const struct chunk_id *id,
			 const struct object_id *not_in, size_t n,
			 struct pack_entry *ret, struct err *e)
{
	struct search s = { .id = id, .not_in = not_in, .n_not_in = n };

	return search(x, &s, ret, e);
}

int index_set_find(struct index_set *x, const struct chunk_id *id,
		   struct pack_entry *ret, struct err *e)
{
	return index_set_find_other(x, id, NULL, 0, ret, e);
}

int index_set_find_everywhere(struct index_set *x, const struct chunk_id *id,
			      const struct object_id *not_in, size_t n,
			      struct pack_entry *ret, struct err *e)
{
	struct search s = {
		.id = id, .not_in = not_in, .n_not_in = n, .everywhere = true
	};
	const int found = search(x, &s, ret, e);

	/* Where there is nothing to be had, nobody is to look again. */
	if (s.by_ignored)
		atomic_store(&x->everywhere, true);
	return found;
}

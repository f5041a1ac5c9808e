/*
 * Writing one index object: blocks leave as they fill, fences stay.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "storage/repository/index_internal.h"

struct index_writer {
	struct container out;
	struct object_id session;
	struct buf fences;
	struct buf superseded;
	uint64_t entries;
	uint32_t blocks;
	uint32_t in_block;
	bool ended;
	uint8_t last[INDEX_KEY_SIZE];
	uint8_t plain[INDEX_BLOCK_PLAIN];
	uint8_t sealed[INDEX_BLOCK_SIZE];
};

int index_writer_open(struct store *s, const struct keys *k,
		      struct object_id session, struct index_writer **ret,
		      struct err *e)
{
	struct index_writer *w = calloc(1, sizeof(*w));

	if (!w)
		return err_oom(e);
	buf_init(&w->fences, (size_t)INDEX_BLOCKS_MAX * 8);
	buf_init(&w->superseded,
		 INDEX_SUPERSEDED_MAX * sizeof(struct object_id));
	w->session = session;
	if (container_begin(&w->out, s, k, &index_spec, e)) {
		free(w);
		return -1;
	}
	*ret = w;
	return 0;
}

static int write_block(struct index_writer *w, uint32_t position, struct err *e)
{
	struct seal_ad ad;

	w->plain[0] = (uint8_t)w->in_block;
	w->plain[1] = (uint8_t)(w->in_block >> 8);
	container_ad(&w->out, "block", &ad);
	seal_ad_u64(&ad, position);
	seal_bytes(w->out.key, &ad, w->plain, sizeof(w->plain), w->sealed);
	memset(w->plain, 0, sizeof(w->plain));
	w->in_block = 0;
	return container_append(&w->out, w->sealed, sizeof(w->sealed), e);
}

static int end_block(struct index_writer *w, struct err *e)
{
	if (w->blocks == INDEX_BLOCKS_MAX)
		return err_set(e, ERR_BUG, "too many entries for one index");
	if (buf_add(&w->fences, w->plain + 2, 8, e) ||
	    write_block(w, w->blocks, e))
		return -1;
	w->blocks++;
	return 0;
}

int index_writer_add(struct index_writer *w, const struct pack_entry *entry,
		     struct err *e)
{
	uint8_t *at = w->plain + 2 + (size_t)w->in_block * INDEX_ENTRY_SIZE;

	assert(!w->ended);
	index_encode(entry, at);
	if (w->entries && memcmp(w->last, at, INDEX_KEY_SIZE) >= 0)
		return err_set(e, ERR_BUG, "index entries do not ascend");
	memcpy(w->last, at, INDEX_KEY_SIZE);
	w->entries++;
	w->in_block++;
	if (w->in_block == INDEX_BLOCK_ENTRIES)
		return end_block(w, e);
	return 0;
}

int index_writer_supersede(struct index_writer *w, struct object_id index,
			   struct err *e)
{
	return buf_add(&w->superseded, index.b, sizeof(index.b), e);
}

/*
 * The filling of a large index is whole blocks, so that neither side has to
 * hold it in memory: the root itself is filled by less than one.
 */
static int write_fillers(struct index_writer *w, size_t root, struct err *e)
{
	uint32_t position = w->blocks;
	const uint64_t bare = container_bare_size(&w->out, root);
	uint64_t filling = object_padded(bare) - bare;

	for (; filling >= INDEX_BLOCK_SIZE; filling -= INDEX_BLOCK_SIZE)
		if (write_block(w, position++, e))
			return -1;
	return 0;
}

static int write_rest(struct index_writer *w, struct err *e)
{
	CLEANUP(buf_done) struct buf root;

	buf_init(&root, index_spec.tail_max);
	if (w->in_block && end_block(w, e))
		return -1;
	if (buf_add(&root, w->session.b, sizeof(w->session.b), e) ||
	    buf_add_u64(&root, w->entries, e) ||
	    buf_add_u32(&root, w->blocks, e) ||
	    buf_add_u32(
		    &root,
		    (uint32_t)(w->superseded.len / sizeof(struct object_id)),
		    e) ||
	    buf_add(&root, w->superseded.data, w->superseded.len, e) ||
	    buf_add(&root, w->fences.data, w->fences.len, e) ||
	    write_fillers(w, root.len, e))
		return -1;
	return container_end(&w->out, &root, e);
}

int index_writer_commit(struct index_writer *w, struct object_id *ret_id,
			struct err *e)
{
	assert(!w->ended);
	w->ended = true;
	if (write_rest(w, e))
		return -1;
	if (ret_id)
		*ret_id = w->out.id;
	return 0;
}

void index_writer_free(struct index_writer *w)
{
	if (!w)
		return;
	container_abort(&w->out);
	buf_done(&w->fences);
	buf_done(&w->superseded);
	free(w);
}

/*
 * Reading one index object, and what an entry looks like.
 */
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "base/text.h"
#include "storage/repository/index_internal.h"
#include "storage/repository/pack_internal.h"
#include "storage/repository/versions.h"

#define ROOT_FIXED 32

const struct container_spec index_spec = {
	.kind = OBJECT_INDEX,
	.tail_label = "root",
	/* All blocks, and as much again as Padmé could ask for. */
	.size_max = (uint64_t)INDEX_BLOCKS_MAX * INDEX_BLOCK_SIZE * 2,
	.tail_max = ROOT_FIXED + INDEX_SUPERSEDED_MAX * 16 +
		    (size_t)INDEX_BLOCKS_MAX * 8 + INDEX_BLOCK_SIZE,
};

static uint8_t *put_number(uint8_t *p, uint32_t v, unsigned int bytes)
{
	for (unsigned int i = 0; i < bytes; i++)
		*p++ = (uint8_t)(v >> (8 * i));
	return p;
}

void index_encode(const struct pack_entry *x, uint8_t out[INDEX_ENTRY_SIZE])
{
	uint8_t *p = out + INDEX_KEY_SIZE;

	memcpy(out, x->seal.id.b, sizeof(x->seal.id.b));
	memcpy(out + CHUNK_ID_SIZE, x->place.pack.b, sizeof(x->place.pack.b));
	p = put_number(p, x->place.offset, 4);
	p = put_number(p, x->place.len, 4);
	p = put_number(p, x->seal.plain_len, 4);
	p = put_number(p, x->seal.epoch, 2);
	p = put_number(p, x->seal.domain, 2);
	*p = (uint8_t)x->seal.kind;
}

static uint32_t get_number(const uint8_t *p, unsigned int bytes)
{
	uint32_t v = 0;

	for (unsigned int i = 0; i < bytes; i++)
		v |= (uint32_t)p[i] << (8 * i);
	return v;
}

void index_decode(const uint8_t in[INDEX_ENTRY_SIZE], struct pack_entry *ret)
{
	/* No cursor: a look-up decodes the 251 entries of a block. */
	memcpy(ret->seal.id.b, in, sizeof(ret->seal.id.b));
	memcpy(ret->place.pack.b, in + 32, sizeof(ret->place.pack.b));
	ret->place.offset = get_number(in + 48, 4);
	ret->place.len = get_number(in + 52, 4);
	ret->seal.plain_len = get_number(in + 56, 4);
	ret->seal.epoch = (uint16_t)get_number(in + 60, 2);
	ret->seal.domain = (uint16_t)get_number(in + 62, 2);
	ret->seal.kind = (enum chunk_kind)in[64];
}

size_t index_lower_bound(const uint8_t *entries, size_t n,
			 const struct chunk_id *id)
{
	size_t low = 0;

	while (low < n) {
		const size_t middle = low + (n - low) / 2;

		if (memcmp(entries + middle * INDEX_ENTRY_SIZE, id->b,
			   CHUNK_ID_SIZE) < 0)
			low = middle + 1;
		else
			n = middle;
	}
	return low;
}

static uint64_t big_endian(const uint8_t *p)
{
	uint64_t v = 0;

	for (unsigned int i = 0; i < 8; i++)
		v = v << 8 | p[i];
	return v;
}

static int read_fences(struct index_object *o, struct cursor *c, struct err *e)
{
	if (o->blocks == 0)
		return 0;
	o->fences = malloc((size_t)o->blocks * sizeof(*o->fences));
	if (!o->fences)
		return err_oom(e);
	for (uint32_t i = 0; i < o->blocks; i++) {
		o->fences[i] = big_endian(cursor_bytes(c, 8));
		if (i && o->fences[i] < o->fences[i - 1])
			return err_set(e, ERR_CORRUPT,
				       "its blocks are out of order");
	}
	return 0;
}

static int read_superseded(struct index_object *o, struct cursor *c,
			   struct err *e)
{
	if (o->n_superseded == 0)
		return 0;
	o->superseded = calloc(o->n_superseded, sizeof(*o->superseded));
	if (!o->superseded)
		return err_oom(e);
	for (size_t i = 0; i < o->n_superseded; i++)
		cursor_copy(c, o->superseded[i].b, sizeof(o->superseded[i].b));
	return 0;
}

/* The space between header and root is whole blocks, all full but the last. */
static bool blocks_fit(struct index_object *o)
{
	const uint64_t body = o->in.tail_at - OBJECT_HEADER_SIZE;
	const uint64_t want = o->entries / INDEX_BLOCK_ENTRIES +
			      (o->entries % INDEX_BLOCK_ENTRIES != 0);

	if (o->blocks > INDEX_BLOCKS_MAX || o->blocks != want ||
	    body % INDEX_BLOCK_SIZE != 0 ||
	    body / INDEX_BLOCK_SIZE < o->blocks ||
	    body / INDEX_BLOCK_SIZE > 2 * (uint64_t)INDEX_BLOCKS_MAX)
		return false;
	o->fillers = (uint32_t)(body / INDEX_BLOCK_SIZE) - o->blocks;
	return true;
}

int index_object_parse_root(struct index_object *o, const void *plain, size_t n,
			    struct err *e)
{
	struct cursor c = cursor_of(plain, n);

	cursor_copy(&c, o->session.b, sizeof(o->session.b));
	o->entries = cursor_u64(&c);
	o->blocks = cursor_u32(&c);
	o->n_superseded = cursor_u32(&c);
	if (c.bad || o->n_superseded > INDEX_SUPERSEDED_MAX || !blocks_fit(o) ||
	    c.left < o->n_superseded * sizeof(struct object_id) +
			     (size_t)o->blocks * 8)
		return err_set(e, ERR_CORRUPT, "its root makes no sense");
	if (read_superseded(o, &c, e) || read_fences(o, &c, e))
		return -1;
	if (c.left >= INDEX_BLOCK_SIZE || !cursor_zeros(&c))
		return err_set(e, ERR_CORRUPT, "its padding is wrong");
	return 0;
}

static int wrap(const struct index_object *o, struct err *e)
{
	return err_wrap(e, "cannot read index %s",
			text_quote_str(o->in.name.s).s);
}

int index_object_open(struct store *s, const struct keys *k,
		      struct object_id id, struct index_object **ret,
		      struct err *e)
{
	CLEANUP(buf_done) struct buf root;
	CLEANUP(index_object_free)
	struct index_object *o = calloc(1, sizeof(*o));

	buf_init(&root, index_spec.tail_max + SEAL_OVERHEAD);
	if (!o)
		return err_oom(e);
	o->in.id = id;
	buf_init(&o->whole, INDEX_WHOLE_MAX);
	if (container_open_small(&o->in, s, k, &index_spec,
				 store_features(s) & STORE_LOCAL ? NULL
								 : &o->whole,
				 &root, e))
		return -1;
	if (index_object_parse_root(o, root.data, root.len, e))
		return wrap(o, e);
	*ret = TAKE(o);
	return 0;
}

void index_object_free(struct index_object *o)
{
	if (!o)
		return;
	free(o->fences);
	free(o->superseded);
	buf_done(&o->whole);
	mapped_close(&o->copy);
	free(o);
}

void index_object_slim(struct index_object *o)
{
	buf_done(&o->whole);
}

/* Of one request. */
#define COPY_BYTES ((size_t)8 << 20)

static int copy(struct index_object *o, struct err *e)
{
	const size_t n = (size_t)o->in.tail_at;
	struct mapped m = { .n = 0 };
	size_t got = 1;
	int found = 1;

	if (mapped_open(NULL, n, &m, e))
		return -1;
	for (size_t at = 0; at < n && found > 0 && got; at += got)
		found = store_read_once(
			o->in.store, o->in.name.s, at, m.bytes + at,
			n - at < COPY_BYTES ? n - at : COPY_BYTES, &got, e);
	if (found <= 0 || !got) {
		mapped_close(&m);
		return -1;
	}
	o->copy = m;
	return 0;
}

/*
 * One thread copies; others go on as before meanwhile.  When it cannot be had,
 * or there is no room for it, all do.
 */
void index_object_missed(struct index_object *o)
{
	const unsigned int missed = atomic_fetch_add(&o->missed, 1);
	int not_copied = INDEX_NOT_COPIED;
	struct err ignored = { 0 };

	if (o->whole.len || missed < o->blocks / INDEX_COPY_PART ||
	    store_features(o->in.store) & STORE_LOCAL ||
	    !atomic_compare_exchange_strong(&o->copied, &not_copied,
					    INDEX_COPYING))
		return;
	if (copy(o, &ignored) == 0)
		atomic_store(&o->copied, INDEX_COPIED);
}

size_t index_object_count(const struct index_object *o, uint32_t block)
{
	if (block >= o->blocks)
		return 0;
	if (block < o->blocks - 1)
		return INDEX_BLOCK_ENTRIES;
	return (size_t)(o->entries - (uint64_t)block * INDEX_BLOCK_ENTRIES);
}

static bool fences_agree(const struct index_object *o, uint32_t block,
			 const uint8_t *entries, size_t n)
{
	return big_endian(entries) == o->fences[block] &&
	       (block + 1 == o->blocks ||
		big_endian(entries + (n - 1) * INDEX_ENTRY_SIZE) <=
			o->fences[block + 1]);
}

int index_object_check_block(const struct index_object *o, uint32_t block,
			     const uint8_t plain[INDEX_BLOCK_PLAIN],
			     struct err *e)
{
	struct cursor c = cursor_of(plain, INDEX_BLOCK_PLAIN);
	const size_t n = index_object_count(o, block);
	const uint8_t *before = NULL;
	struct pack_entry x;

	if (cursor_u16(&c) != n)
		return err_set(e, ERR_CORRUPT,
			       "block %u has another number of entries", block);
	for (size_t i = 0; i < n; i++) {
		const uint8_t *at = cursor_bytes(&c, INDEX_ENTRY_SIZE);

		index_decode(at, &x);
		if (!pack_entry_is_sound(&x) ||
		    (before && memcmp(before, at, INDEX_KEY_SIZE) >= 0))
			return err_set(e, ERR_CORRUPT,
				       "entry %zu of block %u makes no sense",
				       i, block);
		before = at;
	}
	if ((n && !fences_agree(o, block, plain + 2, n)) || !cursor_zeros(&c))
		return err_set(e, ERR_CORRUPT, "block %u does not fit its root",
			       block);
	return 0;
}

/* copied: from what index_object_missed() has of it. */
static int read_block(const struct index_object *o, uint32_t block, bool copied,
		      uint8_t plain[INDEX_BLOCK_PLAIN], struct err *e)
{
	const uint64_t at = OBJECT_HEADER_SIZE +
			    (uint64_t)block * INDEX_BLOCK_SIZE;
	uint8_t sealed[INDEX_BLOCK_SIZE];
	struct seal_ad ad;

	/* What a root says lies before it: blocks_fit(). */
	if (o->whole.len)
		memcpy(sealed, o->whole.data + at, sizeof(sealed));
	else if (copied)
		memcpy(sealed, o->copy.bytes + at, sizeof(sealed));
	else if (container_read(o->in.store, o->in.name.s, at, sealed,
				sizeof(sealed), e)) {
		if (e->code == ERR_NOT_FOUND) {
			e->code = ERR_BUSY;
			err_put_hint_(e, "it was merged meanwhile: try again");
		}
		return -1;
	}
	container_ad(&o->in, "block", &ad);
	seal_ad_u64(&ad, block);
	if (!seal_open(o->in.key, &ad, sealed, sizeof(sealed), plain))
		return err_set(e, ERR_CORRUPT, "block %u fails authentication",
			       block);
	return index_object_check_block(o, block, plain, e);
}

struct reading {
	const struct index_object *o;
	uint32_t block;
	uint8_t *plain;
};

static int read_version(void *arg, struct err *e)
{
	const struct reading *x = arg;

	return read_block(x->o, x->block, false, x->plain, e) ? -1 : 1;
}

int index_object_block(const struct index_object *o, uint32_t block,
		       uint8_t plain[INDEX_BLOCK_PLAIN], struct err *e)
{
	struct reading x = { o, block, plain };

	/* What does not open there may have been spoilt there. */
	if (atomic_load(&o->copied) == INDEX_COPIED &&
	    read_block(o, block, true, plain, e) == 0)
		return 0;
	if (read_block(o, block, false, plain, e) == 0)
		return 0;
	/* Somebody put another version on top since it was opened. */
	if (object_is_damage(e) && store_keeps_versions(o->in.store) &&
	    versions_open(o->in.store, o->in.name.s, read_version, &x, e) > 0)
		return 0;
	return wrap(o, e);
}

#include "storage/repository/pack.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cursor.h"
#include "base/text.h"
#include "storage/repository/container.h"
#include "storage/repository/pack_internal.h"
#include "storage/repository/versions.h"

#define COUNT_SIZE 4
#define ENTRY_SIZE 45

/* The largest directory, with the filling that 256 MiB may need. */
#define DIRECTORY_MAX \
	(COUNT_SIZE + (size_t)PACK_CHUNKS_MAX * ENTRY_SIZE + ((size_t)4 << 20))

static const struct container_spec *spec_of(enum object_kind kind)
{
	static const struct container_spec data = {
		.kind = OBJECT_DATA_PACK,
		.tail_label = "directory",
		.size_max = PACK_MAX,
		.tail_max = DIRECTORY_MAX,
	};
	static const struct container_spec meta = {
		.kind = OBJECT_META_PACK,
		.tail_label = "directory",
		.size_max = PACK_MAX,
		.tail_max = DIRECTORY_MAX,
	};

	assert(kind == OBJECT_DATA_PACK || kind == OBJECT_META_PACK);
	return kind == OBJECT_DATA_PACK ? &data : &meta;
}

struct pack_writer {
	struct container out;
	struct pack_entry *entries;
	size_t n;
	size_t cap;
	bool ended;
};

int pack_writer_open(struct store *s, const struct keys *k,
		     enum object_kind kind, struct pack_writer **ret,
		     struct err *e)
{
	struct pack_writer *p = calloc(1, sizeof(*p));

	if (!p)
		return err_oom(e);
	if (container_begin(&p->out, s, k, spec_of(kind), e)) {
		free(p);
		return -1;
	}
	*ret = p;
	return 0;
}

static int grow(struct pack_writer *p, struct err *e)
{
	const size_t cap = p->cap ? p->cap * 2 : 64;
	struct pack_entry *grown;

	if (p->n < p->cap)
		return 0;
	grown = reallocarray(p->entries, cap, sizeof(*grown));
	if (!grown)
		return err_oom(e);
	p->entries = grown;
	p->cap = cap;
	return 0;
}

static size_t directory_size(size_t n)
{
	return COUNT_SIZE + n * ENTRY_SIZE;
}

bool pack_writer_fits(const struct pack_writer *p, size_t n)
{
	return p->n < PACK_CHUNKS_MAX &&
	       container_bare_size(&p->out, directory_size(p->n + 1)) + n <=
		       PACK_MAX;
}

int pack_writer_add(struct pack_writer *p, const struct chunk_seal *seal,
		    const void *sealed, size_t n, struct err *e)
{
	struct pack_entry entry = { .seal = *seal };

	assert(!p->ended);
	entry.place.pack = p->out.id;
	entry.place.offset = (uint32_t)p->out.size;
	entry.place.len = (uint32_t)n;
	if (!pack_writer_fits(p, n))
		return err_set(e, ERR_BUG, "a pack is full");
	if (!pack_entry_is_sound(&entry) ||
	    chunk_kind_is_meta(seal->kind) !=
		    (p->out.spec->kind == OBJECT_META_PACK))
		return err_set(e, ERR_BUG, "no chunk for this pack");
	if (grow(p, e) || container_append(&p->out, sealed, n, e))
		return -1;
	p->entries[p->n++] = entry;
	return 0;
}

uint64_t pack_writer_size(const struct pack_writer *p)
{
	return p->out.size;
}

uint64_t pack_writer_final_size(const struct pack_writer *p)
{
	return object_padded(
		container_bare_size(&p->out, directory_size(p->n)));
}

/*
 * Padded sizes lie a step apart, and after which chunk least of a step is
 * filled up is chance.  Whoever waits for the best of k more of them, and takes
 * one as soon as waiting would not better it, may expect about 2 / (k + 3) of
 * a step: v(0) = 1, v(k + 1) = v(k) - v(k)² / 2.
 */
bool pack_writer_ends_well(const struct pack_writer *p, uint64_t aim, size_t n)
{
	const uint64_t bare = container_bare_size(&p->out,
						  directory_size(p->n));
	const uint64_t size = object_padded(bare);
	const uint64_t step = object_padded(size + 1) - size;
	const uint64_t more = size < aim && n ? (aim - size) / n : 0;

	return size >= aim / 2 && (size - bare) * (more + 3) <= 2 * step;
}

size_t pack_writer_entries(const struct pack_writer *p,
			   const struct pack_entry **ret)
{
	*ret = p->entries;
	return p->n;
}

static int encode_directory(const struct pack_writer *p, struct buf *b,
			    struct err *e)
{
	if (buf_reserve(b, directory_size(p->n), e) ||
	    buf_add_u32(b, (uint32_t)p->n, e))
		return -1;
	for (size_t i = 0; i < p->n; i++) {
		const struct pack_entry *x = &p->entries[i];

		if (buf_add(b, x->seal.id.b, sizeof(x->seal.id.b), e) ||
		    buf_add_u32(b, x->place.len, e) ||
		    buf_add_u32(b, x->seal.plain_len, e) ||
		    buf_add_u16(b, x->seal.epoch, e) ||
		    buf_add_u16(b, x->seal.domain, e) ||
		    buf_add_byte(b, (uint8_t)x->seal.kind, e))
			return -1;
	}
	return 0;
}

int pack_writer_commit(struct pack_writer *p, struct err *e)
{
	CLEANUP(buf_done) struct buf directory;

	assert(!p->ended);
	p->ended = true;
	buf_init(&directory, DIRECTORY_MAX);
	if (encode_directory(p, &directory, e))
		return -1;
	return container_end(&p->out, &directory, e);
}

void pack_writer_free(struct pack_writer *p)
{
	if (!p)
		return;
	container_abort(&p->out);
	free(p->entries);
	free(p);
}

/*
 * Sealing adds a fixed number of bytes and compression only takes away, so a
 * length beyond that is nothing that was ever written.
 */
bool pack_entry_is_sound(const struct pack_entry *x)
{
	return x->seal.kind >= CHUNK_DATA && x->seal.kind < CHUNK_KIND_END &&
	       x->seal.epoch != 0 && x->seal.plain_len <= CHUNK_MAX &&
	       x->place.len > SEAL_OVERHEAD &&
	       x->place.len <= x->seal.plain_len + 1 + SEAL_OVERHEAD &&
	       x->place.offset >= OBJECT_HEADER_SIZE &&
	       x->place.offset <= PACK_MAX &&
	       x->place.len <= PACK_MAX - x->place.offset;
}

static void next_entry(struct cursor *c, uint64_t offset, struct object_id pack,
		       struct pack_entry *ret)
{
	cursor_copy(c, ret->seal.id.b, sizeof(ret->seal.id.b));
	ret->place.pack = pack;
	/* Sound entries before it keep it below PACK_MAX. */
	ret->place.offset = (uint32_t)offset;
	ret->place.len = cursor_u32(c);
	ret->seal.plain_len = cursor_u32(c);
	ret->seal.epoch = cursor_u16(c);
	ret->seal.domain = cursor_u16(c);
	ret->seal.kind = (enum chunk_kind)cursor_u8(c);
}

static int check_directory(const struct pack_body *body, struct cursor c,
			   uint32_t count, struct err *e)
{
	uint64_t offset = OBJECT_HEADER_SIZE;
	struct pack_entry x;

	if (c.bad || count > PACK_CHUNKS_MAX || count > c.left / ENTRY_SIZE)
		return err_set(e, ERR_CORRUPT, "its directory is too short");
	for (uint32_t i = 0; i < count; i++) {
		next_entry(&c, offset, body->id, &x);
		if (c.bad || !pack_entry_is_sound(&x) ||
		    chunk_kind_is_meta(x.seal.kind) !=
			    (body->kind == OBJECT_META_PACK))
			return err_set(e, ERR_CORRUPT,
				       "entry %u of its directory makes no "
				       "sense",
				       i);
		offset += x.place.len;
	}
	if (offset != body->end)
		return err_set(e, ERR_CORRUPT,
			       "its chunks do not fill it from end to end");
	if (!cursor_zeros(&c))
		return err_set(e, ERR_CORRUPT, "its padding is wrong");
	return 0;
}

int pack_parse_directory(const struct pack_body *body, const void *plain,
			 size_t n, pack_visit *visit, void *arg, struct err *e)
{
	struct cursor c = cursor_of(plain, n);
	const uint32_t count = cursor_u32(&c);
	uint64_t offset = OBJECT_HEADER_SIZE;
	struct pack_entry x;

	if (check_directory(body, c, count, e))
		return err_wrap(
			e, "cannot read %s %s", object_kind_name(body->kind),
			text_quote_str(object_name(body->kind, body->id).s).s);
	for (uint32_t i = 0; i < count; i++) {
		next_entry(&c, offset, body->id, &x);
		offset += x.place.len;
		if (visit(arg, &x, e))
			return -1;
	}
	return 0;
}

int pack_read_directory(struct store *s, const struct keys *k,
			enum object_kind kind, struct object_id id,
			pack_visit *visit, void *arg, struct err *e)
{
	CLEANUP(buf_done) struct buf directory;
	struct container in = { .id = id };
	struct pack_body body = { .kind = kind, .id = id };

	buf_init(&directory, DIRECTORY_MAX + SEAL_OVERHEAD);
	if (container_open(&in, s, k, spec_of(kind), &directory, e))
		return -1;
	body.end = in.tail_at;
	return pack_parse_directory(&body, directory.data, directory.len, visit,
				    arg, e);
}

int pack_read(struct store *s, enum object_kind kind,
	      const struct pack_place *place, uint8_t *out, struct err *e)
{
	const struct object_name name = object_name(kind, place->pack);

	if (container_read(s, name.s, place->offset, out, place->len, e))
		return err_wrap(e, "cannot read %s %s", object_kind_name(kind),
				text_quote_str(name.s).s);
	return 0;
}

struct reading {
	struct store *store;
	enum object_kind kind;
	const struct pack_place *place;
	uint8_t *out;
	pack_opens *opens;
	void *arg;
};

static int read_version(void *arg, struct err *e)
{
	const struct reading *x = arg;

	return pack_read(x->store, x->kind, x->place, x->out, e) ||
			       x->opens(x->arg, x->out, e)
		       ? -1
		       : 1;
}

int pack_read_that(struct store *s, enum object_kind kind,
		   const struct pack_place *place, uint8_t *out,
		   pack_opens *opens, void *arg, struct err *e)
{
	struct reading x = { .store = s,
			     .kind = kind,
			     .place = place,
			     .opens = opens,
			     .arg = arg };

	x.out = out;
	/* As it is first: to find versions takes a listing. */
	if (read_version(&x, e) > 0)
		return 0;
	if (!object_is_damage(e) || !store_keeps_versions(s))
		return -1;
	return versions_open(s, object_name(kind, place->pack).s, read_version,
			     &x, e) > 0
		       ? 0
		       : -1;
}

int pack_by_place(const void *a, const void *b)
{
	const struct pack_entry *x = a;
	const struct pack_entry *y = b;
	const int c = object_id_compare(x->place.pack, y->place.pack);

	if (c)
		return c;
	return (x->place.offset > y->place.offset) -
	       (x->place.offset < y->place.offset);
}

size_t pack_run(const struct pack_entry *v, size_t n)
{
	const bool is_meta = chunk_kind_is_meta(v[0].seal.kind);
	const uint64_t begin = v[0].place.offset;
	uint64_t end = begin + v[0].place.len;
	size_t i;

	for (i = 1; i < n; i++) {
		const struct pack_place *next = &v[i].place;
		const uint64_t next_end = (uint64_t)next->offset + next->len;

		if (!object_id_equal(next->pack, v[0].place.pack) ||
		    chunk_kind_is_meta(v[i].seal.kind) != is_meta ||
		    next->offset < end || next->offset - end > PACK_RUN_GAP ||
		    next_end - begin > PACK_RUN_BYTES)
			break;
		end = next_end;
	}
	return i;
}

#include "storage/repository/reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

/* More than this many chunks are never kept, however small they are. */
#define SLOTS 64
/* A larger buffer than what a snapshot makes is not kept for the next chunk. */
#define SPARE_MAX ((2U << 20) + 1)

struct slot {
	struct chunk_id id;
	enum chunk_kind kind;
	uint8_t *plain;
	size_t len;
	size_t room;   /* of plain, at least len */
	uint64_t used; /* the reader's tick when last asked for; 0: empty */
};

struct reader {
	struct repository *repository;
	struct index_set *index;
	struct chunk_worker *worker;
	struct prefetch *prefetch; /* not ours; or NULL */
	struct slot slots[SLOTS];
	size_t kept; /* room in slots */
	size_t budget;
	uint64_t tick;
	uint64_t bytes;
	unsigned int futile; /* times in a row that the index was no newer */
	uint8_t *sealed;
	size_t sealed_cap;
	uint8_t *spare; /* of what was dropped: the next chunk's */
	size_t spare_room;
	bool verify;
	bool only_reads; /* and stores nothing that relies on what is read */
	bool is_last;	 /* no other place is tried after this one */
};

int reader_new_in(struct repository *r, struct index_set *index,
		  size_t cache_bytes, struct reader **ret, struct err *e)
{
	CLEANUP(reader_free) struct reader *x = calloc(1, sizeof(*x));

	if (!x)
		return err_oom(e);
	x->repository = r;
	x->budget = cache_bytes;
	x->index = index;
	if (chunk_worker_new(repository_keys(r), &x->worker, e))
		return -1;
	*ret = TAKE(x);
	return 0;
}

int reader_new(struct repository *r, size_t cache_bytes, struct reader **ret,
	       struct err *e)
{
	struct index_set *index;

	if (repository_index(r, &index, e))
		return -1;
	if (reader_new_in(r, index, cache_bytes, ret, e))
		return -1;
	(*ret)->only_reads = true;
	return 0;
}

/* What was in it is wiped before others get the memory. */
static void give_back(uint8_t *plain, size_t room)
{
	if (plain)
		explicit_bzero(plain, room);
	free(plain);
}

/*
 * The larger of two buffers stays, and soon most chunks fit into it: to wipe
 * one for each of them was 3 % of a restore's time.
 */
static void drop(struct reader *x, struct slot *s)
{
	x->kept -= s->room;
	if (s->room > x->spare_room && s->room <= SPARE_MAX) {
		give_back(x->spare, x->spare_room);
		x->spare = s->plain;
		x->spare_room = s->room;
	} else {
		give_back(s->plain, s->room);
	}
	*s = (struct slot){ 0 };
}

/* A small chunk leaves a large buffer to the next large one. */
static bool spare_fits(const struct reader *x, size_t len)
{
	return len < x->spare_room && len >= x->spare_room / 2;
}

static int get_buffer(struct reader *x, struct slot *s, size_t len,
		      struct err *e)
{
	if (spare_fits(x, len)) {
		s->plain = x->spare;
		s->room = x->spare_room;
		x->spare = NULL;
		x->spare_room = 0;
	} else {
		s->room = len + 1;
		s->plain = malloc(s->room);
		if (!s->plain) {
			*s = (struct slot){ 0 };
			return err_oom(e);
		}
	}
	s->len = len;
	x->kept += s->room;
	return 0;
}

void reader_free(struct reader *x)
{
	if (!x)
		return;
	for (size_t i = 0; i < SLOTS; i++)
		drop(x, &x->slots[i]);
	give_back(x->spare, x->spare_room);
	chunk_worker_free(x->worker);
	free(x->sealed);
	free(x);
}

void reader_verify_ids(struct reader *x, bool on)
{
	x->verify = on;
}

void reader_take_from(struct reader *x, struct prefetch *p)
{
	x->prefetch = p;
}

uint64_t reader_bytes(const struct reader *x)
{
	return x->bytes;
}

static struct slot *cached(struct reader *x, const struct chunk_id *id,
			   enum chunk_kind kind)
{
	for (size_t i = 0; i < SLOTS; i++)
		if (x->slots[i].used && x->slots[i].kind == kind &&
		    chunk_id_equal(&x->slots[i].id, id))
			return &x->slots[i];
	return NULL;
}

/* An empty slot with room for len more bytes, the oldest ones dropped. */
static struct slot *make_room(struct reader *x, size_t len)
{
	for (;;) {
		struct slot *oldest = NULL;
		struct slot *empty = NULL;
		size_t room;

		for (size_t i = 0; i < SLOTS; i++) {
			struct slot *s = &x->slots[i];

			if (!s->used)
				empty = s;
			else if (!oldest || s->used < oldest->used)
				oldest = s;
		}
		room = spare_fits(x, len) ? x->spare_room : len + 1;
		if (empty && (!oldest || x->kept + room <= x->budget))
			return empty;
		drop(x, oldest);
	}
}

static enum object_kind pack_of(const struct pack_entry *at)
{
	return chunk_kind_is_meta(at->seal.kind) ? OBJECT_META_PACK
						 : OBJECT_DATA_PACK;
}

/*
 * From what came ahead: 1; 0 when it is to be read as always, also when what
 * came does not open; -1.
 */
static int open_ahead(struct reader *x, const struct pack_entry *at,
		      uint8_t *plain, struct err *e)
{
	struct err ignored = { 0 };
	int r;

	if (!x->prefetch)
		return 0;
	r = prefetch_take(x->prefetch, pack_of(at), &at->place, x->sealed, e);
	if (r <= 0)
		return r;
	x->bytes += at->place.len;
	return chunk_open(x->worker, &at->seal, x->sealed, at->place.len, plain,
			  &ignored) == 0;
}

struct opening {
	struct reader *x;
	const struct pack_entry *at;
	uint8_t *plain;
};

static int opens(void *arg, const uint8_t *sealed, struct err *e)
{
	const struct opening *o = arg;

	o->x->bytes += o->at->place.len;
	return chunk_open(o->x->worker, &o->at->seal, sealed, o->at->place.len,
			  o->plain, e);
}

static int open_one(struct reader *x, const struct pack_entry *at,
		    uint8_t *plain, struct err *e)
{
	struct opening o = { x, at, plain };
	uint8_t *grown;
	int ahead;

	if (at->place.len > x->sealed_cap) {
		grown = realloc(x->sealed, at->place.len);
		if (!grown)
			return err_oom(e);
		x->sealed = grown;
		x->sealed_cap = at->place.len;
	}
	ahead = open_ahead(x, at, plain, e);
	if (ahead < 0 ||
	    (!ahead &&
	     pack_read_that(repository_store(x->repository), pack_of(at),
			    &at->place, x->sealed, opens, &o, e)))
		return -1;
	return x->verify ? chunk_verify(x->worker, &at->seal, plain, e) : 0;
}

/* Damage that another copy could make good, unlike a broken connection. */
static bool is_damage(const struct err *e)
{
	return object_is_damage(e) || e->code == ERR_NOT_FOUND;
}

/* Most of many are gone: the index names them until it is merged. */
#define HOLDERS_MAX 64

/* A place that is in none of these packs. */
static int look_up(struct reader *x, const struct chunk_id *id,
		   const struct object_id *not_in, size_t n,
		   struct pack_entry *ret, struct err *e)
{
	return x->is_last
		       ? index_set_find_everywhere(x->index, id, not_in, n, ret,
						   e)
		       : index_set_find_other(x->index, id, not_in, n, ret, e);
}

/*
 * Fill plain from the first sound holder; at is the first one.  A holder that
 * could not be reached may be sound: then nothing is known to be lost.
 */
static int open_any(struct reader *x, struct pack_entry *at, uint8_t *plain,
		    bool *ret_gone, struct err *e)
{
	struct object_id tried[HOLDERS_MAX];
	struct err other = { 0 };

	for (size_t n = 0; n < HOLDERS_MAX; n++) {
		const uint32_t len = at->seal.plain_len;
		int found;

		if (open_one(x, at, plain, n ? &other : e) == 0) {
			if (n)
				err_clear(e);
			return 0;
		}
		if (n && !is_damage(&other)) {
			*e = other;
			return -1;
		}
		if (!is_damage(e))
			return -1;
		if ((n ? &other : e)->code == ERR_NOT_FOUND)
			*ret_gone = true;
		tried[n] = at->place.pack;
		found = look_up(x, &at->seal.id, tried, n + 1, at, &other);
		if (found < 0 && !object_is_damage(&other)) {
			*e = other;
			return -1;
		}
		if (found <= 0 || at->seal.plain_len != len)
			break;
	}
	e->code = ERR_CORRUPT;
	return -1;
}

/* Into an empty slot: 0, or -1.  *ret_gone when a pack was not there. */
static int load(struct reader *x, const struct chunk_id *id,
		enum chunk_kind kind, struct slot **ret, bool *ret_gone,
		struct err *e)
{
	struct pack_entry at;
	char hex[2 * CHUNK_ID_SIZE + 1];
	struct slot *s;
	int found;

	text_hex(id->b, CHUNK_ID_SIZE, hex);
	hex[16] = '\0';
	*ret_gone = false;
	found = look_up(x, id, NULL, 0, &at, e);
	if (found < 0 && object_is_damage(e))
		e->code = ERR_CORRUPT;
	if (found < 0)
		return -1;
	if (!found) {
		*ret_gone = true;
		return err_set(e, ERR_CORRUPT, "chunk %s… is in no pack", hex);
	}
	if (at.seal.kind != kind || at.seal.plain_len > CHUNK_MAX)
		return err_set(e, ERR_CORRUPT,
			       "chunk %s… is not what refers to it expects",
			       hex);
	s = make_room(x, at.seal.plain_len);
	if (get_buffer(x, s, at.seal.plain_len, e))
		return -1;
	if (open_any(x, &at, s->plain, ret_gone, e)) {
		drop(x, s);
		return err_wrap(e, "chunk %s…", hex);
	}
	s->id = *id;
	s->kind = kind;
	*ret = s;
	return 0;
}

/* What is lost must not cost a listing again and again. */
#define FUTILE_MAX 64

/* Why the second try failed, unless that says less than why the first did. */
static int prefer(const struct err *second, struct err *e)
{
	if (!is_damage(second)) {
		*e = *second;
	} else if (second->sys == EIO && is_damage(e)) {
		/* What seemed to be in no pack may be there all along. */
		*e = *second;
		e->code = ERR_CORRUPT;
	}
	return -1;
}

/* What a collector moved while we read is found in the index as it is now. */
static int load_moved(struct reader *x, const struct chunk_id *id,
		      enum chunk_kind kind, struct slot **ret, struct err *e)
{
	struct err other = { 0 };
	bool gone;

	if (x->futile >= FUTILE_MAX)
		return -1;
	x->futile++;
	if (index_set_refresh(x->index, &other))
		return prefer(&other, e);
	x->is_last = x->only_reads;
	if (load(x, id, kind, ret, &gone, &other)) {
		x->is_last = false;
		return prefer(&other, e);
	}
	x->is_last = false;
	x->futile = 0;
	err_clear(e);
	return 0;
}

int reader_get(struct reader *x, const struct chunk_id *id,
	       enum chunk_kind kind, const uint8_t **ret, size_t *ret_len,
	       struct err *e)
{
	struct slot *s = cached(x, id, kind);
	bool gone;

	if (!s && load(x, id, kind, &s, &gone, e)) {
		if (!gone || load_moved(x, id, kind, &s, e))
			return -1;
	}
	s->used = ++x->tick;
	*ret = s->plain;
	*ret_len = s->len;
	return 0;
}

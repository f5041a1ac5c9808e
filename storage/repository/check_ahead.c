/*
 * Packs that a check will read from end to end, ahead of it, where a request
 * takes long: prefetch.h.  The reading thread plans by itself, as far as there
 * is room, and reads through a store that takes from there what it has.
 *
 * Position: bytes of the packs before, and within this one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/repository/check_internal.h"
#include "storage/repository/prefetch.h"

#define AHEAD_BYTES ((size_t)32 << 20)

struct check_ahead {
	struct store view; /* what is read through */
	struct check *c;
	struct prefetch *prefetch;
	/* What is planned next. */
	uint64_t pos;
	struct object_id id;
	const struct check_pack *pack; /* NULL: all are */
	uint64_t offset;
	uint64_t planned; /* bytes of the packs before */
	/* What is read. */
	uint64_t begun; /* bytes of the packs before */
	/* The last that was turned to another version than was had ahead. */
	char turned[STORE_NAME_MAX + 1];
};

bool check_reads_whole(const struct check *c, struct object_id id,
		       const struct check_pack *pack)
{
	return c->o->level >= CHECK_DATA && pack->listed &&
	       check_in_part(id, c->o->part, c->o->parts) &&
	       (!c->o->wanted || c->o->wanted(c->o->arg, id));
}

static void next_pack(struct check_ahead *a)
{
	const void *key;
	void *value;

	a->pack = NULL;
	a->offset = 0;
	while (!a->pack && filemap_next(a->c->packs, &a->pos, &key, &value)) {
		memcpy(a->id.b, key, sizeof(a->id.b));
		if (check_reads_whole(a->c, a->id, value))
			a->pack = value;
	}
}

/* As far as there is room. */
static void plan(struct check_ahead *a)
{
	while (a->pack) {
		const uint64_t left = a->pack->size - a->offset;
		const struct pack_place place = {
			.pack = a->id,
			.offset = (uint32_t)a->offset,
			.len = (uint32_t)(left < PREFETCH_RANGE
						  ? left
						  : PREFETCH_RANGE),
		};

		/* A size that no pack has is the reader's to tell of. */
		if (a->pack->size == 0 || a->pack->size > PACK_MAX) {
			a->planned += a->pack->size;
			next_pack(a);
			continue;
		}
		if (!prefetch_try(a->prefetch, (enum object_kind)a->pack->kind,
				  &place,
				  a->planned + a->offset + place.len - 1))
			return;
		a->offset += place.len;
		if (a->offset < a->pack->size)
			continue;
		prefetch_wanted_all(a->prefetch);
		a->planned += a->pack->size;
		next_pack(a);
	}
}

static bool parse(const char *name, enum object_kind *ret,
		  struct object_id *ret_id)
{
	struct object_id first;

	*ret = OBJECT_DATA_PACK;
	if (object_name_parse(*ret, name, &first, ret_id))
		return true;
	*ret = OBJECT_META_PACK;
	return object_name_parse(*ret, name, &first, ret_id);
}

/* What lies within one range, by that; the rest as always. */
static int view_read(struct store *s, const char *name, uint64_t offset,
		     void *out, size_t n, size_t *ret_got, struct err *e)
{
	struct check_ahead *a = (struct check_ahead *)s;
	struct store *inner = a->c->store;
	struct pack_place place;
	enum object_kind kind;
	size_t done = 0;
	size_t got = 0;
	int r = parse(name, &kind, &place.pack) && strcmp(name, a->turned) != 0;

	while (r > 0 && done < n && offset + done < PACK_MAX) {
		const uint64_t at = offset + done;
		const uint64_t end = at - at % PREFETCH_RANGE + PREFETCH_RANGE;
		const uint64_t most = end - at;

		place.offset = (uint32_t)at;
		place.len = (uint32_t)(n - done < most ? n - done : most);
		r = prefetch_take(a->prefetch, kind, &place, (char *)out + done,
				  e);
		if (r > 0)
			done += place.len;
	}
	if (r < 0)
		return -1;
	if (done < n || n == 0) {
		/* Without words of its own, which would stand there twice. */
		r = inner->ops->read(inner, name, offset + done,
				     (char *)out + done, n - done, &got, e);
		if (r <= 0)
			return r;
	}
	*ret_got = done + got;
	return 1;
}

static int view_size(struct store *s, const char *name, uint64_t *ret,
		     struct err *e)
{
	struct store *inner = ((struct check_ahead *)s)->c->store;

	return inner->ops->size(inner, name, ret, e);
}

static bool view_has_several(struct store *s, const char *name)
{
	return store_has_several(((struct check_ahead *)s)->c->store, name);
}

static int view_turn(struct store *s, const char *name, unsigned int n,
		     struct err *e)
{
	struct check_ahead *a = (struct check_ahead *)s;

	(void)snprintf(a->turned, sizeof(a->turned), "%s", name);
	return store_turn(a->c->store, name, n, e);
}

static unsigned int view_features(const struct store *s)
{
	return store_features(((const struct check_ahead *)s)->c->store);
}

static const struct store_ops view_ops = {
	.scheme = "ahead", /* never opened by a URL */
	.features = view_features,
	.read = view_read,
	.size = view_size,
	.turn = view_turn,
	.has_several = view_has_several,
};

struct check_ahead *check_ahead_new(struct check *c)
{
	struct check_ahead *a;
	struct err ignored = { 0 };

	if (store_features(c->store) & STORE_LOCAL || c->o->level < CHECK_DATA)
		return NULL;
	a = calloc(1, sizeof(*a));
	if (!a || prefetch_new(c->store, AHEAD_BYTES, &a->prefetch, &ignored)) {
		free(a);
		return NULL;
	}
	a->view.ops = &view_ops;
	memcpy(a->view.url, c->store->url, sizeof(a->view.url));
	a->c = c;
	next_pack(a);
	plan(a);
	return a;
}

void check_ahead_free(struct check_ahead *a)
{
	if (!a)
		return;
	prefetch_free(a->prefetch);
	free(a);
}

struct store *check_ahead_store(struct check_ahead *a, struct check *c)
{
	return a ? &a->view : c->store;
}

void check_ahead_reached(struct check_ahead *a, uint64_t offset)
{
	if (!a)
		return;
	prefetch_reached(a->prefetch, a->begun + offset);
	plan(a);
}

void check_ahead_passed(struct check_ahead *a, const struct check_pack *pack)
{
	if (!a)
		return;
	a->begun += pack->size;
	check_ahead_reached(a, 0);
}

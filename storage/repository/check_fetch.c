/*
 * What snapshots miss here, out of the other regions: one after the other,
 * each asked for what those before it did not give.  Their index says where a
 * chunk lies, and it is taken only when it opens and is what its id says, so
 * that no region's damage reaches another.
 *
 * What is asked for is gathered, and read in the order in which it lies.
 */
#include <stdlib.h>
#include <string.h>

#include "storage/repository/beat.h"
#include "storage/repository/check_internal.h"

/* Places gathered before they are read: 5 MB. */
#define BATCH 65536
/* Packs of a region that are tried for one chunk. */
#define HOLDERS 8

struct fetching {
	struct check *c;
	struct check_other *other;
	struct index_set *index;
	check_take *take;
	void *arg;
	struct pack_entry *batch;
	size_t n;
	uint8_t *run; /* PACK_RUN_BYTES, of neighbours */
};

/* What is wrong with the other region is no failure of ours: 1; else 0, -1. */
static int theirs(struct fetching *x, const struct err *why, struct err *e)
{
	if (why->code == ERR_INTERRUPTED) {
		*e = *why;
		return -1;
	}
	x->other->why = *why;
	return 1;
}

static void note_unopened(struct fetching *x, const struct err *why)
{
	if (!x->other->unopened.code)
		x->other->unopened = *why;
}

/* A damaged block of its index finds nothing. */
static int find(struct fetching *x, const struct chunk_id *id,
		const struct object_id *not_in, size_t n,
		struct pack_entry *ret, struct err *why)
{
	const int found = index_set_find_other(x->index, id, not_in, n, ret,
					       why);

	if (found >= 0 || !object_is_damage(why))
		return found;
	note_unopened(x, why);
	err_clear(why);
	return 0;
}

static int taken(struct fetching *x, const struct pack_entry *at, struct err *e)
{
	struct check_chunk *chunk = filemap_find(x->c->chunks, at->seal.id.b);

	if (x->take(x->arg, at, e))
		return -1;
	if (chunk)
		chunk->sound++;
	x->c->out->fetched++;
	x->other->chunks++;
	x->other->bytes += at->place.len;
	check_advance(x->c, 1, at->place.len);
	if (!x->c->o->fetched)
		return 0;
	return x->c->o->fetched(x->c->o->arg,
				(size_t)(x->other - x->c->o->others),
				at->place.len, e);
}

/* From any pack that holds it soundly: 0, also when there is none; 1 when the
 * region cannot be asked further; -1. */
static int get_one(struct fetching *x, const struct pack_entry *first,
		   struct err *e)
{
	struct object_id tried[HOLDERS];
	struct pack_entry at = *first;
	struct err why = { 0 };

	for (size_t n = 0; n < HOLDERS; n++) {
		int got = n ? find(x, &first->seal.id, tried, n, &at, &why) : 1;

		if (got > 0) {
			got = check_opens(x->c, repository_store(x->other->r),
					  &at, &why);
			if (got > 0)
				return taken(x, &at, e);
			note_unopened(x, &x->c->unopened);
			tried[n] = at.place.pack;
		} else if (got == 0) {
			return 0;
		}
		if (got < 0)
			return theirs(x, &why, e);
	}
	return 0;
}

/* Neighbours, with one request: what does not come by it is asked for by
 * itself.  As get_one(). */
static int get_run(struct fetching *x, const struct pack_entry *v, size_t n,
		   struct err *e)
{
	struct pack_place span = v[0].place;
	struct err why = { 0 };
	bool whole;
	int result = 0;

	span.len = v[n - 1].place.offset + v[n - 1].place.len - span.offset;
	whole = n > 1 &&
		pack_read(repository_store(x->other->r),
			  chunk_kind_is_meta(v[0].seal.kind) ? OBJECT_META_PACK
							     : OBJECT_DATA_PACK,
			  &span, x->run, &why) == 0;
	for (size_t i = 0; result == 0 && i < n; i++) {
		int got = 0;

		if (check_stopped(x->c, e))
			return -1;
		if (whole)
			got = check_opens_read(
				x->c, &v[i],
				x->run + (v[i].place.offset - span.offset), e);
		if (got < 0)
			return -1;
		result = got ? taken(x, &v[i], e) : get_one(x, &v[i], e);
	}
	return result;
}

static int get_batch(struct fetching *x, struct err *e)
{
	int result = 0;
	size_t n;

	if (x->n)
		qsort(x->batch, x->n, sizeof(*x->batch), pack_by_place);
	for (size_t i = 0; result == 0 && i < x->n; i += n) {
		n = pack_run(&x->batch[i], x->n - i);
		result = get_run(x, &x->batch[i], n, e);
	}
	x->n = 0;
	return result;
}

/* It may have what it says nothing of. */
static void note_left_out(struct fetching *x)
{
	struct err why = { 0 };

	if (index_set_is_whole(x->index))
		return;
	(void)err_set(&why, ERR_CORRUPT,
		      "its index is damaged, or cannot be read now");
	err_add_reason(&why, index_set_left_out_sys(x->index));
	note_unopened(x, &why);
}

/* As get_one(). */
static int ask(struct fetching *x, const struct chunk_id *id,
	       struct check_chunk *chunk, struct err *e)
{
	struct err why = { 0 };
	const int found = find(x, id, NULL, 0, &x->batch[x->n], &why);

	if (found < 0)
		return theirs(x, &why, e);
	if (found == 0) {
		note_left_out(x);
		return 0;
	}
	if (!x->take) {
		x->other->chunks++;
		x->other->bytes += x->batch[x->n].place.len;
		x->c->out->offered += !chunk->offered;
		chunk->offered = true;
		return 0;
	}
	return ++x->n == BATCH ? get_batch(x, e) : 0;
}

static int ask_for_all(struct fetching *x, struct err *e)
{
	struct check *c = x->c;
	uint64_t pos = 0;
	const void *key;
	void *value;
	int result = 0;

	while (result == 0 && filemap_next(c->chunks, &pos, &key, &value)) {
		struct check_chunk *chunk = value;
		struct chunk_id id;

		if (!chunk->lost || chunk->sound)
			continue;
		if (check_stopped(c, e))
			return -1;
		memcpy(id.b, key, sizeof(id.b));
		result = ask(x, &id, chunk, e);
	}
	return result ? result : get_batch(x, e);
}

/* Its collectors leave alone what we read; and what they moved before is
 * where its index says by now. */
static int ask_region(struct fetching *x, struct err *e)
{
	struct repository *r = x->other->r;
	struct beat *pin = NULL;
	struct err why = { 0 };
	int result;

	if (x->take && beat_pin(repository_store(r), repository_keys(r),
				RECORD_READ_REPLICATE, NULL, 0, &pin, e) < 0)
		return -1;
	if (repository_index(r, &x->index, &why) ||
	    index_set_refresh(x->index, &why))
		result = theirs(x, &why, e);
	else
		result = ask_for_all(x, e);
	beat_stop(pin);
	return result < 0 ? -1 : 0;
}

int check_fetch(struct check *c, check_take *take, void *arg, struct err *e)
{
	struct fetching x = { .c = c, .take = take, .arg = arg };
	int failed = 0;

	if (!c->o->n_others || !c->out->lost)
		return 0;
	x.batch = calloc(BATCH, sizeof(*x.batch));
	x.run = malloc(PACK_RUN_BYTES);
	if (!x.batch || !x.run) {
		free(x.batch);
		free(x.run);
		return err_oom(e);
	}
	if (take)
		check_stage(c, "fetching", 0);
	for (size_t i = 0; !failed && i < c->o->n_others; i++) {
		x.other = &c->o->others[i];
		x.n = 0;
		if (!x.other->why.code)
			failed = ask_region(&x, e);
	}
	free(x.batch);
	free(x.run);
	return failed;
}

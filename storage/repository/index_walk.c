/*
 * All entries of some objects in order: a heap of them, each at its next
 * entry; and which of them are merged so.
 */
#include <stdlib.h>
#include <string.h>

#include "storage/repository/index_internal.h"

/* So many that belong together are merged. */
#define TOGETHER 4
/* An object joins smaller ones when it is at most so many times their sum. */
#define RATIO 2
/* Whatever the ratio, objects of up to this many entries belong together. */
#define SMALL_ENTRIES 4096

struct reader {
	struct index_set *set; /* that goes on without damaged ones, or NULL */
	struct index_object *object;
	uint32_t block;
	size_t at;
	size_t count;
	uint8_t plain[INDEX_BLOCK_PLAIN];
};

struct walk {
	struct reader **heap; /* of those that have an entry left */
	size_t n;
};

static const uint8_t *current(const struct reader *r)
{
	return r->plain + 2 + r->at * INDEX_ENTRY_SIZE;
}

/* Load the next block that has entries: 1, or 0 at the end of the object. */
static int load(struct reader *r, struct err *e)
{
	struct index_object *o = r->object;

	for (; r->block < o->blocks + o->fillers; r->block++) {
		struct err why;

		if (index_object_block(o, r->block, r->plain, &why)) {
			if (!r->set)
				*e = why;
			if (!r->set || index_set_leave_out(r->set, o, &why, e))
				return -1;
			continue;
		}
		r->count = index_object_count(o, r->block);
		r->at = 0;
		if (r->count) {
			r->block++;
			return 1;
		}
	}
	return 0;
}

static int advance(struct reader *r, struct err *e)
{
	if (++r->at < r->count)
		return 1;
	return load(r, e);
}

static bool is_before(const struct reader *a, const struct reader *b)
{
	return memcmp(current(a), current(b), INDEX_KEY_SIZE) < 0;
}

static void sink(struct walk *w, size_t i)
{
	struct reader *const moved = w->heap[i];

	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= w->n)
			break;
		if (child + 1 < w->n &&
		    is_before(w->heap[child + 1], w->heap[child]))
			child++;
		if (!is_before(w->heap[child], moved))
			break;
		w->heap[i] = w->heap[child];
		i = child;
	}
	w->heap[i] = moved;
}

static int start(struct walk *w, struct index_set *x,
		 struct index_object *const *objects, size_t n, struct err *e)
{
	w->heap = calloc(n + 1, sizeof(struct reader *));
	if (!w->heap)
		return err_oom(e);
	for (size_t i = 0; i < n; i++) {
		struct reader *r = calloc(1, sizeof(*r));
		int has;

		if (!r)
			return err_oom(e);
		r->set = x;
		r->object = objects[i];
		w->heap[w->n++] = r;
		has = load(r, e);
		if (has < 0)
			return -1;
		if (!has)
			free(w->heap[--w->n]);
	}
	for (size_t i = w->n / 2; i > 0; i--)
		sink(w, i - 1);
	return 0;
}

/* Move the first on; 0, or -1. */
static int step(struct walk *w, struct err *e)
{
	const int has = advance(w->heap[0], e);

	if (has < 0)
		return -1;
	if (!has) {
		free(w->heap[0]);
		w->heap[0] = w->heap[--w->n];
	}
	if (w->n)
		sink(w, 0);
	return 0;
}

static int run(struct walk *w, index_visit *visit, void *arg, struct err *e)
{
	uint8_t last[INDEX_KEY_SIZE];
	struct pack_entry entry;
	bool any = false;

	while (w->n > 0) {
		const uint8_t *at = current(w->heap[0]);

		if (!any || memcmp(last, at, sizeof(last)) != 0) {
			memcpy(last, at, sizeof(last));
			any = true;
			index_decode(at, &entry);
			if (visit(arg, &entry, e))
				return -1;
		}
		if (step(w, e))
			return -1;
	}
	return 0;
}

static int walk_some(struct index_set *x, struct index_object *const *objects,
		     size_t n, index_visit *visit, void *arg, struct err *e)
{
	struct walk w = { .n = 0 };
	int r = start(&w, x, objects, n, e);

	if (r == 0)
		r = run(&w, visit, arg, e);
	for (size_t i = 0; i < w.n; i++)
		free(w.heap[i]);
	free(w.heap);
	return r;
}

int index_set_walk_some(struct index_set *x,
			struct index_object *const *objects, size_t n,
			index_visit *visit, void *arg, struct err *e)
{
	return walk_some(x, objects, n, visit, arg, e);
}

int index_objects_walk(struct index_object *const *objects, size_t n,
		       index_visit *visit, void *arg, struct err *e)
{
	return walk_some(NULL, objects, n, visit, arg, e);
}

size_t index_objects_choose(struct index_object *const *objects, size_t n)
{
	uint64_t sum = 0;
	size_t chosen = 0;

	for (size_t i = 0; i < n; i++) {
		const uint64_t size = objects[i]->entries;

		if (size <= SMALL_ENTRIES || size <= RATIO * sum)
			chosen = i + 1;
		sum += size;
	}
	return chosen >= TOGETHER ? chosen : 0;
}

int index_set_walk(struct index_set *x, index_visit *visit, void *arg,
		   struct err *e)
{
	struct index_object **objects;
	size_t n;
	int r;

	if (index_set_snapshot(x, &objects, &n, e))
		return -1;
	r = index_set_walk_some(x, objects, n, visit, arg, e);
	free(objects);
	return r;
}

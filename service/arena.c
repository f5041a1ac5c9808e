#include "service/arena.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

/* A block is as large as all before it, between these: a small resource
 * wastes little, a large file takes few. */
#define BLOCK_MIN ((size_t)1 << 10)
#define BLOCK_MAX ((size_t)64 << 10)

struct arena_block {
	struct arena_block *older;
	size_t used, size;
	alignas(max_align_t) unsigned char bytes[];
};

void arena_init(struct arena *a, size_t max)
{
	*a = (struct arena){ .max = max };
}

void arena_done(struct arena *a)
{
	struct arena_block *b = a->newest;

	while (b) {
		struct arena_block *older = b->older;

		free(b);
		b = older;
	}
	arena_init(a, a->max);
}

void *arena_new(struct arena *a, size_t n, struct err *e)
{
	const size_t unit = alignof(max_align_t);
	struct arena_block *b = a->newest;
	size_t size;
	void *p;

	if (n > a->max) {
		(void)err_set(e, ERR_USAGE, "the document is too large");
		return NULL;
	}
	n = (n + unit - 1) / unit * unit;
	if (b == NULL || b->size - b->used < n) {
		size = a->total < BLOCK_MIN   ? BLOCK_MIN
		       : a->total > BLOCK_MAX ? BLOCK_MAX
					      : a->total;
		size = n > size ? n : size;
		if (a->total + size > a->max) {
			(void)err_set(e, ERR_USAGE,
				      "the document is too large");
			return NULL;
		}
		b = calloc(1, sizeof(*b) + size);
		if (b == NULL) {
			(void)err_oom(e);
			return NULL;
		}
		b->size = size;
		b->older = a->newest;
		a->newest = b;
		a->total += size;
	}
	p = b->bytes + b->used;
	b->used += n;
	return p;
}

char *arena_text(struct arena *a, const void *bytes, size_t n, struct err *e)
{
	char *s = arena_new(a, n + 1, e);

	if (s && n > 0)
		memcpy(s, bytes, n);
	return s;
}

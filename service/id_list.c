#include "service/id_list.h"

#include <stdlib.h>

/* More than any region lists that is one: 256 MiB. */
#define IDS_MAX ((size_t)1 << 24)

int id_list_add(struct id_list *x, struct object_id id, struct err *e)
{
	if (x->n == x->room) {
		const size_t room = x->room ? 2 * x->room : 64;
		struct object_id *more;

		if (room > IDS_MAX)
			return err_set(e, ERR_CORRUPT,
				       "the region lists too much");
		more = reallocarray(x->v, room, sizeof(*more));
		if (!more)
			return err_oom(e);
		x->v = more;
		x->room = room;
	}
	x->v[x->n++] = id;
	return 0;
}

static int by_id(const void *a, const void *b)
{
	return object_id_compare(*(const struct object_id *)a,
				 *(const struct object_id *)b);
}

void id_list_sort(struct id_list *x)
{
	if (x->n)
		qsort(x->v, x->n, sizeof(*x->v), by_id);
}

bool id_list_has(const struct id_list *x, struct object_id id)
{
	return x->n && bsearch(&id, x->v, x->n, sizeof(*x->v), by_id);
}

void id_list_done(struct id_list *x)
{
	free(x->v);
	*x = (struct id_list){ .n = 0 };
}

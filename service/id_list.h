/* A growing list of ids, for look-ups once it is sorted. */
#ifndef SERVICE_ID_LIST_H
#define SERVICE_ID_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"
#include "storage/repository/object.h"

struct id_list {
	struct object_id *v;
	size_t n, room;
};
int id_list_add(struct id_list *x, struct object_id id, struct err *e)
	NONNULL(1, 3) MUST_CHECK;
void id_list_sort(struct id_list *x) NONNULL(1);
bool id_list_has(const struct id_list *x, struct object_id id) NONNULL(1);
void id_list_done(struct id_list *x) NONNULL(1);

#endif

/* What store.c and store_ask.c share; private to this folder. */
#ifndef STORAGE_STORES_STORE_INTERNAL_H
#define STORAGE_STORES_STORE_INTERNAL_H

#include "storage/stores/store.h"

/*
 * What this thread asked for in advance: 1 and the entries visited (*ret is
 * what came of it, as of store_ops.list), or 0 when it did not, or it failed.
 * reading: as store_ops.list_reading.
 */
int store_ask_list(struct store *s, const char *prefix, bool reading,
		   store_visit *visit, void *arg, int *ret, struct err *e)
	NONNULL(1, 2, 4, 6, 7);
/* The same of the first n bytes of an object: *ret is 1 or 0. */
int store_ask_read(struct store *s, const char *name, void *out, size_t n,
		   size_t *ret_got, int *ret) NONNULL(1, 2, 5, 6);
/* It is changed: what was had of it is not to be read. */
void store_ask_forget(struct store *s, const char *name) NONNULL(1, 2);

#endif

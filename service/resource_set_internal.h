/*
 * Private to service/resource_set*.c: the documents of one apply.
 */
#ifndef SERVICE_RESOURCE_SET_INTERNAL_H
#define SERVICE_RESOURCE_SET_INTERNAL_H

#include "service/resource_internal.h"

struct set_item {
	struct resource *resource;
	const struct yaml *y;
	const struct yaml_node *document;
	size_t file; /* the number of its file */
};

struct resource_set {
	struct yaml **files;
	size_t file_count;
	/* By kind, name and place. */
	struct set_item *items;
	size_t count;
	/* Those with problems: what refers to them is not blamed as well. */
	struct set_item *broken;
	size_t broken_count;
};

#endif

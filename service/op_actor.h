/*
 * Who changes something, as the catalog writes it down.
 */
#ifndef SERVICE_OP_ACTOR_H
#define SERVICE_OP_ACTOR_H

#include "base/attr.h"
#include "service/catalog.h"
#include "service/operation.h"

/* The caller of an operation; actor.name points into name. */
struct op_actor {
	struct catalog_actor actor;
	char name[64];
};

/* The system's name for the caller, or "uid 1000". */
void op_actor_init(struct op_actor *a, const struct operation_call *call)
	NONNULL(1, 2);

#endif

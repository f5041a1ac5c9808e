/*
 * Names that a person gives, when nothing has them: a list that is asked for
 * by a name that does not exist is a typing error, not an empty list.
 */
#ifndef SERVICE_OP_KNOWN_H
#define SERVICE_OP_KNOWN_H

#include "base/attr.h"
#include "service/operation.h"

/* Whether a resource of kind ("Schedule") has that name: 1, 0, -1. */
int op_known(struct operation_call *call, const char *kind, const char *name,
	     struct err *e) NONNULL(1, 2, 3, 4) MUST_CHECK;

/* "there is no schedule "x"" with the nearest name; ERR_NOT_FOUND, -1. */
int op_known_refuse(struct operation_call *call, const char *kind,
		    const char *name, struct err *e) NONNULL(1, 2, 3, 4);

#endif

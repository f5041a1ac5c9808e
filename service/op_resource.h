/* A resource as the catalog takes it. */
#ifndef SERVICE_OP_RESOURCE_H
#define SERVICE_OP_RESOURCE_H

#include "base/attr.h"
#include "base/err.h"
#include "service/catalog.h"
#include "service/resource.h"

struct op_document {
	struct catalog_document doc;
	struct catalog_ref *refs;
};

/*
 * Labels, spec and references; `where` is the caller's to set.  ret borrows
 * from r, and is to be done with also after -1.
 */
int op_document_init(struct op_document *ret, const struct resource *r,
		     struct err *e) NONNULL(1, 2, 3) MUST_CHECK;
void op_document_done(struct op_document *d) NONNULL(1);

#endif

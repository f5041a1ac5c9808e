/* What a garbage collection came to, as JSON: by hand and by the daemon. */
#ifndef SERVICE_OP_GC_H
#define SERVICE_OP_GC_H

#include "base/attr.h"
#include "base/json.h"
#include "storage/repository/gc.h"
#include "storage/repository/guards.h"

/* The keys, within an object that the caller began. */
void op_gc_write(struct json *j, const struct gc_result *x) NONNULL(1, 2);
/* One more, where the store guards objects; why: not all could be. */
void op_gc_write_guards(struct json *j, const struct guards_result *x,
			const struct err *why) NONNULL(1, 2, 3);

#endif

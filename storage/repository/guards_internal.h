/* Private to guards*.c: what records say, as it is kept. */
#ifndef STORAGE_REPOSITORY_GUARDS_INTERNAL_H
#define STORAGE_REPOSITORY_GUARDS_INTERNAL_H

#include "base/filemap.h"
#include "storage/repository/guards.h"

struct guards_known {
	int64_t until; /* seconds since 1970; 0: not known */
	bool held;
	bool once; /* written down when it is over, too */
};

struct guards {
	struct filemap *known;	   /* object id: struct guards_known */
	struct object_id *records; /* that were listed */
	size_t n_records;
};

/* That knows of nothing. */
int guards_new(struct guards **ret, struct err *e) NONNULL(1, 2) MUST_CHECK;
bool guards_is_held(struct guards *x, struct object_id id) NONNULL(1);

#endif

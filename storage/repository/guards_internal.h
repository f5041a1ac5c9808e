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
/* From now on it knows of nothing but which records there are. */
int guards_forget(struct guards *x, struct err *e) NONNULL(1, 2) MUST_CHECK;
/*
 * Many questions, several at a time: what guards each object.  Told of those
 * that are there, in the order in which they were added, by who adds and runs.
 */
struct guards_question {
	struct object_id id; /* of the object */
	const void *wanted;  /* who asks knows what */
	bool held;
};
typedef int guards_bulk_answer(void *arg, const char *name,
			       const struct guards_question *about,
			       const struct store_guard *is, struct err *e);
int guards_bulk_new_asking(struct store *s, guards_bulk_answer *answer,
			   void *arg, struct guards_bulk **ret, struct err *e)
	NONNULL(1, 2, 4, 5) MUST_CHECK;
int guards_bulk_ask(struct guards_bulk *b, const char *name,
		    const struct guards_question *about, struct err *e)
	NONNULL(1, 2, 3, 4) MUST_CHECK;

bool guards_is_held(struct guards *x, struct object_id id) NONNULL(1);

#endif

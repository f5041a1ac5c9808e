/*
 * An object of each kind that snapshots alone do not leave behind, for tests
 * of what becomes of damage to any.
 */
#ifndef TESTS_SUPPORT_REPO_RECORDS_H
#define TESTS_SUPPORT_REPO_RECORDS_H

#include "base/clock.h"
#include "storage/repository/record.h"
#include "storage/repository/seal.h"
#include "tests/support/check_main.h"

static inline void repo_put_record(struct store *s, const struct keys *k,
				   enum object_kind kind)
{
	const struct chunk_id chunk = { { 7 } };
	struct record r;
	struct err e;

	record_init(&r, kind);
	r.id = object_id_new();
	r.snapshot = kind == OBJECT_RECEIPT ? r.id : object_id_new();
	r.session = object_id_new();
	r.time = clock_now();
	if (kind == OBJECT_QUARANTINE)
		ck_ok(record_add_chunk(&r, &chunk, object_id_new(), &e));
	ck_ok(record_put(s, k, &r, 0, &e));
	record_done(&r);
}

static inline void repo_put_records(struct store *s, const struct keys *k)
{
	struct err e;

	for (unsigned int kind = OBJECT_SESSION; kind < OBJECT_KIND_END; kind++)
		if (kind != OBJECT_SEGMENT)
			repo_put_record(s, k, (enum object_kind)kind);
	ck_ok(seal_box_put(s, k, OBJECT_SEGMENT,
			   object_name_segment(1, object_id_new()).s, "{}", 2,
			   0, &e));
}

#endif

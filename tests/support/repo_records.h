/*
 * An object of each kind that snapshots alone do not leave behind, for tests
 * of what becomes of damage to any.
 */
#ifndef TESTS_SUPPORT_REPO_RECORDS_H
#define TESTS_SUPPORT_REPO_RECORDS_H

#include "base/clock.h"
#include "storage/repository/keyring.h"
#include "storage/repository/record.h"
#include "storage/repository/seal.h"
#include "tests/support/check_main.h"
#include "tests/support/scratch.h"

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

/* What else a record of its kind may say; nothing of the snapshots there. */
static inline struct record repo_variant(enum object_kind kind)
{
	struct record r;

	record_init(&r, kind);
	r.id = object_id_new();
	r.snapshot = object_id_new();
	r.session = object_id_new();
	r.time = clock_now();
	(void)snprintf(r.by, sizeof(r.by), "somebody");
	(void)snprintf(r.reason, sizeof(r.reason), "a reason");
	return r;
}

static inline void repo_put_variant(struct store *s, const struct keys *k,
				    struct record *r)
{
	struct err e;

	ck_ok(record_put(s, k, r, 0, &e));
	record_done(r);
}

static inline void repo_put_variants(struct store *s, const struct keys *k)
{
	const struct chunk_id whole = { { 0 } };
	const struct object_id segment = object_id_new();
	struct object_id hold;
	struct record r;
	struct err e;

	r = repo_variant(OBJECT_TOMBSTONE); /* of version 1 */
	r.scope = RECORD_THIS_REGION;
	r.until = r.time;
	repo_put_variant(s, k, &r);
	r = repo_variant(OBJECT_LOCK);
	r.id = record_lock_id(r.snapshot, true);
	r.until = instant_add_ms(r.time, 86400000);
	repo_put_variant(s, k, &r);
	r = repo_variant(OBJECT_HOLD);
	hold = r.id;
	(void)snprintf(r.source, sizeof(r.source), "mail");
	(void)snprintf(r.custodian, sizeof(r.custodian), "counsel");
	repo_put_variant(s, k, &r);
	r = repo_variant(OBJECT_HOLD);
	r.releases = hold;
	repo_put_variant(s, k, &r);
	r = repo_variant(OBJECT_GUARD); /* the bare one holds */
	r.until = instant_add_ms(r.time, 86400000);
	ck_ok(record_add_id(&r, object_id_new(), &e));
	repo_put_variant(s, k, &r);
	r = repo_variant(OBJECT_VOID);
	ck_ok(record_add_id(&r, object_id_new(), &e));
	ck_ok(record_add_id(&r, object_id_new(), &e));
	repo_put_variant(s, k, &r);
	r = repo_variant(OBJECT_QUARANTINE);
	ck_ok(record_add_chunk(&r, &whole, object_id_new(), &e));
	repo_put_variant(s, k, &r);
	r = repo_variant(OBJECT_INVENTORY);
	r.counts[OBJECT_HOLD] = 1;
	r.counts[OBJECT_RECEIPT] = 2;
	repo_put_variant(s, k, &r);
	for (uint64_t part = 0; part < 3; part++)
		ck_ok(seal_box_put(
			s, k, OBJECT_SEGMENT,
			object_name_segment(2 * OBJECT_SEGMENT_PARTS + part,
					    segment)
				.s,
			"{}", 2, 0, &e));
}

/* One of each kind, bare, and what else they may be. */
static inline void repo_put_records(struct store *s, const struct keys *k)
{
	struct err e;

	for (unsigned int kind = OBJECT_SESSION; kind < OBJECT_KIND_END; kind++)
		if (kind != OBJECT_SEGMENT)
			repo_put_record(s, k, (enum object_kind)kind);
	ck_ok(seal_box_put(s, k, OBJECT_SEGMENT,
			   object_name_segment(1, object_id_new()).s, "{}", 2,
			   0, &e));
	repo_put_variants(s, k);
}

/* By which there are a slot of another kind and a second keyring. */
static inline void repo_add_passphrase(struct store *s,
				       const struct keyring_credential *yours,
				       const struct scratch *dir)
{
	struct keyring_credential *c = NULL;
	char path[SCRATCH_PATH];
	struct object_id slot;
	FILE *f = fopen(scratch_path(dir, "phrase", path), "we");
	struct err e;

	ck_assert_ptr_nonnull(f);
	ck_assert(fputs("a passphrase\n", f) >= 0 && fclose(f) == 0);
	ck_assert_int_eq(chmod(path, 0600), 0);
	ck_ok(keyring_credential_passphrase_file(path, &c, &e));
	ck_ok(keyring_add(s, yours, c, "other", clock_now(), &slot, &e));
	keyring_credential_free(c);
}

#endif

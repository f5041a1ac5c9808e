/*
 * Damage done to objects of a store, for tests that no damage goes unnoticed.
 */
#ifndef TESTS_SUPPORT_REPO_STORE_H
#define TESTS_SUPPORT_REPO_STORE_H

#include <stdbool.h>

#include "base/buf.h"
#include "storage/repository/record.h"
#include "storage/repository/repository.h"
#include "storage/stores/store.h"
#include "tests/support/check_main.h"

#define REPO_OBJECT_MAX ((size_t)64 << 20)

static inline void repo_get(struct store *s, const char *name, struct buf *out)
{
	struct err e;

	buf_init(out, REPO_OBJECT_MAX);
	ck_assert_int_eq(store_get(s, name, out, &e), 1);
}

static inline void repo_set(struct store *s, const char *name, const void *p,
			    size_t n)
{
	struct err e;

	ck_ok(store_put(s, name, p, n, STORE_REPLACE, &e));
}

/* Whether everything in name is still believed; asserts what it must. */
typedef bool repo_believed(void *arg);

/*
 * Flip each bit (of every step-th byte) of name in turn, cut it to each
 * length, lengthen it: believed() must be false each time, and true before
 * and after.
 */
static inline void repo_damage(struct store *s, const char *name, size_t step,
			       repo_believed *believed, void *arg)
{
	CLEANUP(buf_done) struct buf b;
	size_t n;
	struct err e;

	repo_get(s, name, &b);
	n = b.len;
	ck_assert(believed(arg));
	for (size_t bit = 0; bit < n * 8;
	     bit += (bit % 8 == 7 && step > 1) ? 8 * (step - 1) + 1 : 1) {
		b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		repo_set(s, name, b.data, n);
		ck_assert_msg(!believed(arg), "bit %zu of %s", bit, name);
		b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t len = 0; len < n; len += step) {
		repo_set(s, name, b.data, len);
		ck_assert_msg(!believed(arg), "%s cut to %zu", name, len);
	}
	ck_ok(buf_add_zeros(&b, 300, &e));
	for (size_t len = n + 1; len <= n + 300; len += step) {
		repo_set(s, name, b.data, len);
		ck_assert_msg(!believed(arg), "%s grown to %zu", name, len);
	}
	repo_set(s, name, b.data, n);
	ck_assert(believed(arg));
}

/* Exchange two objects under each other's names. */
static inline void repo_swap(struct store *s, const char *a, const char *b)
{
	CLEANUP(buf_done) struct buf in_a;
	CLEANUP(buf_done) struct buf in_b;

	repo_get(s, a, &in_a);
	repo_get(s, b, &in_b);
	repo_set(s, a, in_b.data, in_b.len);
	repo_set(s, b, in_a.data, in_a.len);
}

/*
 * What a collector does to a session that stood still when it found nothing
 * of it but the manifest of that snapshot (zero: nothing at all).
 */
static inline int repo_give_up(struct repository *r, struct object_id session,
			       struct object_id snapshot, struct err *e)
{
	struct record fence;
	struct record v;
	int failed;

	record_init(&fence, OBJECT_FENCE);
	record_init(&v, OBJECT_VOID);
	fence.id = v.session = session;
	v.id = object_id_new();
	failed = (!object_id_is_zero(snapshot) &&
		  record_add_id(&v, snapshot, e)) ||
		 record_put(repository_store(r), repository_keys(r), &fence, 0,
			    e) ||
		 record_put(repository_store(r), repository_keys(r), &v, 0, e);
	record_done(&v);
	return failed ? -1 : 0;
}

#endif

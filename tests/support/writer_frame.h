/*
 * A repository in memory, behind stores that can be told to misbehave, and
 * sessions that write to it.  The program that has this wraps store_open().
 */
#ifndef TESTS_SUPPORT_WRITER_FRAME_H
#define TESTS_SUPPORT_WRITER_FRAME_H

#include <stdio.h>
#include <stdlib.h>

#include "storage/repository/reader.h"
#include "storage/repository/writer.h"
#include "storage/repository/writer_internal.h"
#include "storage/stores/fault.h"
#include "tests/support/repo_frame.h"

/* Every store that a repository opens here is wrapped, to fail as told. */
static struct store *faulty;

int __real_store_open(const char *url, bool create, struct store **ret,
		      struct err *e);
int __wrap_store_open(const char *url, bool create, struct store **ret,
		      struct err *e);
int __wrap_store_open(const char *url, bool create, struct store **ret,
		      struct err *e)
{
	struct store *inner;

	if (__real_store_open(url, create, &inner, e) ||
	    fault_wrap(inner, &faulty, e))
		return -1;
	*ret = faulty;
	return 0;
}

static struct repo_frame f;
static struct err e;

static inline void set_up(void)
{
	repo_frame_init(&f, "mem:writer");
	err_clear(&e);
}

static inline void tear_down(void)
{
	repo_frame_done(&f);
}

static inline struct writer *open_writer(void)
{
	const struct writer_options o = {
		.purpose = RECORD_SNAPSHOT,
		.snapshot = object_id_new(),
		.host = "host",
	};
	struct writer *w = NULL;

	ck_ok(writer_open(f.r, &o, &w, &e));
	return w;
}

static inline struct chunk_worker *new_worker(void)
{
	struct chunk_worker *k = NULL;

	ck_ok(chunk_worker_new(repository_keys(f.r), &k, &e));
	return k;
}

/* The nth chunk: its bytes do not compress. */
static inline size_t chunk_of(uint32_t n, size_t size, uint8_t *out)
{
	uint64_t x = n * UINT64_C(0x9e3779b97f4a7c15) + 1;

	for (size_t i = 0; i < size; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		out[i] = (uint8_t)(x >> 32);
	}
	return size;
}

static inline int add(struct writer *w, struct chunk_worker *k, uint32_t n,
		      size_t size, struct chunk_id *ret, uint64_t *ret_new,
		      struct err *err)
{
	uint8_t *bytes = malloc(size);
	int r;

	ck_assert_ptr_nonnull(bytes);
	(void)chunk_of(n, size, bytes);
	r = writer_add(w, k, CHUNK_DATA, bytes, size, ret, ret_new, err);
	free(bytes);
	return r;
}

static inline void publish(struct writer *w)
{
	struct manifest m;

	manifest_init(&m);
	ck_ok(writer_publish(w, &m, (struct instant){ 5, 0 }, RECORD_PROCESS,
			     &e));
	manifest_done(&m);
}

static inline void expect_readable(uint32_t n, size_t size,
				   const struct chunk_id *id)
{
	CLEANUP(reader_free) struct reader *x = NULL;
	uint8_t *want = malloc(size);
	const uint8_t *plain;
	size_t len;

	ck_assert_ptr_nonnull(want);
	ck_ok(reader_new(f.r, 0, &x, &e));
	reader_verify_ids(x, true);
	ck_ok(reader_get(x, id, CHUNK_DATA, &plain, &len, &e));
	ck_assert_uint_eq(len, size);
	(void)chunk_of(n, size, want);
	ck_assert_mem_eq(plain, want, size);
	free(want);
}

static inline int count_one(void *arg, const struct store_entry *entry,
			    struct err *err)
{
	(void)entry;
	(void)err;
	(*(unsigned int *)arg)++;
	return 0;
}

static inline unsigned int objects(const char *prefix)
{
	unsigned int n = 0;

	ck_ok(store_list(repository_store(f.r), prefix, count_one, &n, &e));
	return n;
}

static inline int keep_name(void *arg, const struct store_entry *entry,
			    struct err *err)
{
	(void)err;
	(void)snprintf(arg, STORE_NAME_MAX + 1, "%s", entry->name);
	return 0;
}

/* The last object whose name begins so. */
static inline const char *last(const char *prefix)
{
	static char name[STORE_NAME_MAX + 1];

	name[0] = '\0';
	ck_ok(store_list(repository_store(f.r), prefix, keep_name, name, &e));
	return name;
}

static inline void put_simple(enum object_kind kind, struct object_id id)
{
	struct record r;

	record_init(&r, kind);
	r.id = id;
	ck_ok(record_put(repository_store(f.r), repository_keys(f.r), &r, 0,
			 &e));
	record_done(&r);
}

#endif

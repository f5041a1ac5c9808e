/*
 * Small repositories for tests of copying between regions: made, filled with
 * snapshots of a folder, and looked at chunk by chunk.
 */
#ifndef TESTS_SUPPORT_REGION_H
#define TESTS_SUPPORT_REGION_H

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/secret.h"
#include "storage/replicate.h"
#include "storage/repository/keyring.h"
#include "storage/repository/reader.h"
#include "storage/repository/tree.h"
#include "storage/snapshot.h"
#include "storage/sources/files.h"
#include "tests/support/check_main.h"
#include "tests/support/random.h"

/* A fresh key at path; the caller frees it. */
static inline struct keyring_credential *region_key(const char *path)
{
	struct keyring_credential *c = NULL;
	struct err e;

	ck_ok(secret_start(&e));
	ck_ok(keyring_credential_make_key_file(path, &c, &e));
	return c;
}

static inline void region_init(const char *url,
			       const struct keyring_credential *c)
{
	struct store *s = NULL;
	struct keys *k = NULL;
	struct err e;

	ck_ok(store_open(url, true, &s, &e));
	ck_ok(keyring_init(s, c, "test", clock_now(), &k, &e));
	keys_free(k);
	store_close(s);
}

static inline struct repository *region_open(const char *url,
					     const struct keyring_credential *c)
{
	struct repository *r = NULL;
	struct err e;

	ck_ok(repository_open(url, c, &r, &e));
	return r;
}

/* Settle url as a region of from, and open it. */
static inline struct repository *region_add(struct repository *from,
					    const char *url,
					    const struct keyring_credential *c)
{
	struct store *s = NULL;
	struct err e;

	ck_ok(store_open(url, true, &s, &e));
	ck_ok(replicate_settle(repository_store(from), s, c, &e));
	store_close(s);
	return region_open(url, c);
}

/* A file of n random bytes. */
static inline void region_file(const char *folder, const char *name, size_t n,
			       struct random *dice)
{
	char path[600];
	uint8_t piece[65536];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	while (n) {
		const size_t part = n < sizeof(piece) ? n : sizeof(piece);

		random_bytes(dice, piece, part);
		ck_assert_int_eq(write(fd, piece, part), (ssize_t)part);
		n -= part;
	}
	(void)close(fd);
}

/* A file of many islands, so that its extents need maps. */
static inline void region_islands(const char *folder, const char *name,
				  unsigned int n, struct random *dice)
{
	char path[600];
	uint8_t piece[4096];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	for (unsigned int i = 0; i < n; i++) {
		random_bytes(dice, piece, sizeof(piece));
		ck_assert_int_eq(
			pwrite(fd, piece, sizeof(piece), (off_t)i * 65536),
			(ssize_t)sizeof(piece));
	}
	(void)close(fd);
}

/*
 * A snapshot of folder; with `errors` it is partial, and lists that many.  It
 * is to be locked for so long, where the region guards objects.
 */
static inline struct object_id region_snapshot_for(struct repository *r,
						   const char *folder,
						   const char *source,
						   unsigned int n_errors,
						   int64_t lock_ms)
{
	struct snapshot_errors *errors = NULL;
	struct snapshot_result result;
	struct source *s = NULL;
	struct manifest about;
	const struct files_options files = { .paths = &folder,
					     .path_count = 1 };
	const struct snapshot_options o = { .about = &about,
					    .lock_ms = lock_ms };
	struct err e;

	manifest_init(&about);
	(void)snprintf(about.source, sizeof(about.source), "%s", source);
	(void)snprintf(about.type, sizeof(about.type), "files");
	ck_ok(manifest_list_add(&about.paths, folder, strlen(folder), &e));
	ck_ok(snapshot_errors_new(&errors, &e));
	ck_ok(files_open(&files, &s, &e));
	for (unsigned int i = 0; i < n_errors; i++)
		snapshot_report(errors, "/gone", 5, "it is not there");
	ck_ok(snapshot_take(r, s, errors, &o, &result, &e));
	source_close(s);
	snapshot_errors_free(errors);
	manifest_done(&about);
	ck_assert_int_eq(result.guarding.why.code, ERR_NONE);
	return result.id;
}

static inline struct object_id region_snapshot(struct repository *r,
					       const char *folder,
					       const char *source,
					       unsigned int n_errors)
{
	return region_snapshot_for(r, folder, source, n_errors, 0);
}

/* Everything that a snapshot reaches is there and opens. */
struct region_walk {
	struct repository *r;
	struct index_set *index;
	struct chunk_worker *worker;
	uint64_t chunks;
};

static inline int region_visit(void *arg, const struct chunk_id *id,
			       enum chunk_kind kind, struct err *e)
{
	struct region_walk *w = arg;
	struct pack_entry at;
	uint8_t *sealed;
	uint8_t *plain;
	int failed;

	(void)kind;
	if (index_set_find(w->index, id, &at, e) != 1)
		return err_set(e, ERR_CORRUPT, "a chunk is missing");
	sealed = malloc(at.place.len);
	plain = malloc((size_t)at.seal.plain_len + 1);
	ck_assert(sealed && plain);
	failed = pack_read(repository_store(w->r),
			   chunk_kind_is_meta(at.seal.kind) ? OBJECT_META_PACK
							    : OBJECT_DATA_PACK,
			   &at.place, sealed, e) ||
		 chunk_open(w->worker, &at.seal, sealed, at.place.len, plain,
			    e) ||
		 chunk_verify(w->worker, &at.seal, plain, e);
	free(sealed);
	free(plain);
	w->chunks++;
	return failed ? -1 : 0;
}

struct region_census {
	struct repository *r;
	uint64_t n;
	uint64_t damaged;
	char ids[65536]; /* of what is listed, one line each */
};

static inline int region_count(void *arg, struct repository_snapshot *s,
			       struct err *err)
{
	struct region_census *c = arg;
	struct region_walk w = { .r = c->r };
	const struct manifest *m = &s->manifest;
	struct reader *x = NULL;
	size_t len = strlen(c->ids);
	char id[OBJECT_ID_TEXT];
	struct err e;

	(void)err;
	ck_ok(repository_index(c->r, &w.index, &e));
	ck_ok(chunk_worker_new(repository_keys(c->r), &w.worker, &e));
	ck_ok(reader_new(c->r, 1 << 20, &x, &e));
	ck_ok(tree_references(x, &m->tree, false, region_visit, NULL, &w, &e));
	ck_ok(tree_references(x, &m->hints, true, region_visit, NULL, &w, &e));
	if (m->errors)
		ck_ok(region_visit(&w, &m->error_list, CHUNK_VALUE, &e));
	reader_free(x);
	chunk_worker_free(w.worker);
	object_id_format(m->snapshot, id);
	(void)snprintf(c->ids + len, sizeof(c->ids) - len, "%s %d %lld.%u %s\n",
		       id, (int)m->state, (long long)s->received.sec,
		       (unsigned int)s->received.nsec, m->source);
	c->n++;
	return 0;
}

static inline int region_damage(void *arg, const char *name,
				const struct err *why, struct err *e)
{
	(void)name;
	(void)why;
	(void)e;
	((struct region_census *)arg)->damaged++;
	return 0;
}

/*
 * What a region lists, opened afresh: every snapshot must be restorable in
 * full.  In order of receipt.
 */
static inline void region_census(const char *url,
				 const struct keyring_credential *c,
				 struct region_census *ret)
{
	struct err e;

	memset(ret, 0, sizeof(*ret));
	ret->r = region_open(url, c);
	ck_ok(repository_snapshots(ret->r, false, region_count, region_damage,
				   ret, &e));
	ck_assert_uint_eq(ret->damaged, 0);
	repository_close(ret->r);
}

/* Both list the same snapshots, with the same receipts. */
static inline void region_expect_same(const char *a, const char *b,
				      const struct keyring_credential *c)
{
	static struct region_census in_a;
	static struct region_census in_b;

	region_census(a, c, &in_a);
	region_census(b, c, &in_b);
	ck_assert_str_eq(in_a.ids, in_b.ids);
}

#endif

/*
 * What a collection costs in a repository of many chunks.
 *
 *	gc FOLDER [CHUNKS]		default 1,000,000
 *
 * A repository is made in FOLDER, which has to be empty: files of one small
 * chunk each, two snapshots of which the second has every other file of the
 * first, as its child would.  The first is deleted; a collection marks what
 * that leaves, another with no grace deletes it.  Of more than ten million
 * there are several such pairs, whose first snapshots begin at the same time,
 * as those of several machines may: none of them looks for its chunks among
 * the others'.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "storage/repository/deletion.h"
#include "storage/repository/gc.h"
#include "storage/repository/keyring.h"
#include "storage/repository/tree.h"
#include "storage/repository/writer.h"
#include "tests/bench/measure.h"

#define CHUNK_BYTES 200
#define PAIR_CHUNKS UINT64_C(10000000)
#define PAIRS_MAX   100

static struct err e;

static void check(int failed)
{
	if (!failed)
		return;
	(void)fprintf(stderr, "gc: %s\n", e.text);
	exit(1);
}

/* One that its parent has is not looked up, as of a file that is unchanged. */
static void add_file(struct writer *w, struct chunk_worker *worker,
		     struct tree_builder *tree, struct content_builder *content,
		     uint64_t n, bool is_parents)
{
	uint64_t bytes[CHUNK_BYTES / 8] = { n };
	struct extent x = { .len = sizeof(bytes) };
	struct content c;
	struct entry en = { .type = ENTRY_FILE,
			    .mode = 0644,
			    .size = sizeof(bytes) };
	char path[32];

	for (size_t i = 1; i < sizeof(bytes) / sizeof(bytes[0]); i++)
		bytes[i] = bytes[i - 1] * 6364136223846793005U +
			   1442695040888963407U;
	check(is_parents ? chunk_identify(worker, 0, CHUNK_DATA, bytes,
					  sizeof(bytes), &x.id, &e)
			 : writer_add(w, worker, CHUNK_DATA, bytes,
				      sizeof(bytes), &x.id, NULL, &e));
	(void)snprintf(path, sizeof(path), "/%012llu", (unsigned long long)n);
	en.path = path;
	en.path_len = strlen(path);
	check(content_builder_add(content, &x, &e) ||
	      content_builder_finish(content, &c, &e) ||
	      tree_builder_add(tree, &en, &c, &e));
}

/* Of the pair of that number: all its files, or every other. */
struct half {
	uint8_t id, pair;
	uint64_t from, to, step;
};

/* Its first part. */
static struct writer *begin(struct repository *r, const struct half *h)
{
	const struct writer_options o = { .purpose = RECORD_SNAPSHOT,
					  .snapshot = { { h->id, h->pair } } };
	struct writer *w;

	check(writer_open(r, &o, &w, &e));
	return w;
}

/* And the rest of it. */
static void take(struct writer *w, const struct half *h)
{
	const struct entry root = {
		.path = "/", .path_len = 1, .type = ENTRY_FOLDER, .mode = 0755
	};
	struct repository *r = writer_repository(w);
	struct chunk_worker *worker;
	struct content_builder *content;
	struct tree_builder *tree;
	struct manifest m;

	manifest_init(&m);
	check(chunk_worker_new(repository_keys(r), &worker, &e) ||
	      tree_builder_new(w, worker, &tree, &e) ||
	      content_builder_new(w, worker, &content, &e) ||
	      tree_builder_add(tree, &root, NULL, &e));
	for (uint64_t n = h->from; n < h->to; n += h->step)
		add_file(w, worker, tree, content, n, h->step > 1);
	m.state = MANIFEST_COMPLETE;
	m.begun = m.ended = clock_now();
	check(tree_builder_finish(tree, &m.tree, &m.hints, &e) ||
	      writer_publish(w, &m, m.ended, RECORD_PROCESS, &e));
	tree_builder_free(tree);
	content_builder_free(content);
	chunk_worker_free(worker);
	writer_close(w);
	manifest_done(&m);
}

struct job {
	const char *repo;
	const struct keyring_credential *credential;
	uint64_t chunks;
};

static void collect(const struct job *j, int64_t grace_ms)
{
	const struct gc_options o = { .now = clock_now(),
				      .grace_ms = grace_ms,
				      .rewrite_bytes = GC_REWRITE_BYTES,
				      .host = "bench" };
	struct repository *r;
	struct gc_result x;

	check(repository_open(j->repo, j->credential, &r, &e) ||
	      gc_run(r, &o, &x, &e));
	repository_close(r);
}

static struct half half(const struct job *j, uint8_t pair, bool is_first)
{
	const uint64_t from = pair * PAIR_CHUNKS;
	const uint64_t to = from + PAIR_CHUNKS;

	return (struct half){ .id = is_first ? 0xa1 : 0xb2,
			      .pair = pair,
			      .from = from,
			      .to = to < j->chunks ? to : j->chunks,
			      .step = is_first ? 1 : 2 };
}

static void delete_first(const struct job *j, uint8_t pair)
{
	const struct deletion d = { .now = clock_now(),
				    .by = "",
				    .reason = "" };
	struct repository_snapshot s;
	struct repository *r;
	struct object_id none;
	char id[8];

	manifest_init(&s.manifest);
	(void)snprintf(id, sizeof(id), "a1%02x", pair);
	check(repository_open(j->repo, j->credential, &r, &e) ||
	      repository_find(r, id, NULL, false, &s, &none, &e) ||
	      deletion_delete(r, &s, &d, &e));
	repository_snapshot_done(&s);
	repository_close(r);
}

static void make(void *arg)
{
	const struct job *j = arg;
	const uint64_t pairs = (j->chunks + PAIR_CHUNKS - 1) / PAIR_CHUNKS;
	struct repository *r[PAIRS_MAX];
	struct writer *first[PAIRS_MAX];
	struct store *store;
	struct keys *keys = NULL;

	check(store_open(j->repo, true, &store, &e) ||
	      keyring_init(store, j->credential, "bench", clock_now(), &keys,
			   &e));
	keys_free(keys);
	store_close(store);
	for (uint8_t pair = 0; pair < pairs; pair++) {
		const struct half h = half(j, pair, true);

		check(repository_open(j->repo, j->credential, &r[pair], &e));
		first[pair] = begin(r[pair], &h);
	}
	for (uint8_t pair = 0; pair < pairs; pair++) {
		const struct half a = half(j, pair, true);
		const struct half b = half(j, pair, false);

		take(first[pair], &a);
		take(begin(r[pair], &b), &b);
		repository_close(r[pair]);
	}
	for (uint8_t pair = 0; pair < pairs; pair++)
		delete_first(j, pair);
}

static void mark(void *arg)
{
	collect(arg, INT64_C(86400000));
}

static void collect_all(void *arg)
{
	collect(arg, 0);
}

int main(int argc, char **argv)
{
	struct keyring_credential *c;
	int64_t chunks = 1000000;
	struct job j;
	char key[4096];
	char repo[4096];

	if (argc < 2 ||
	    (argc > 2 &&
	     !text_number(argv[2], 1, PAIRS_MAX * (int64_t)PAIR_CHUNKS,
			  &chunks))) {
		(void)fprintf(stderr, "usage: gc FOLDER [CHUNKS]\n");
		return 2;
	}
	(void)snprintf(key, sizeof(key), "%s/key", argv[1]);
	(void)snprintf(repo, sizeof(repo), "%s/repo", argv[1]);
	check(keyring_credential_make_key_file(key, &c, &e));
	j = (struct job){ repo, c, (uint64_t)chunks };
	measure("gc: two snapshots of small files", j.chunks, make, &j);
	measure("gc: survey and mark", j.chunks, mark, &j);
	measure("gc: survey, delete, merge", j.chunks, collect_all, &j);
	measure("gc: nothing to do", j.chunks, collect_all, &j);
	keyring_credential_free(c);
	return 0;
}

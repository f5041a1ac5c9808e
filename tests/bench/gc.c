/*
 * What a collection costs in a repository of many chunks.
 *
 *	gc FOLDER [CHUNKS]		default 1,000,000
 *
 * A repository is made in FOLDER, which has to be empty: files of one small
 * chunk each, two snapshots of which the second has every other file of the
 * first.  The first is deleted; a collection marks what that leaves, another
 * with no grace deletes it.
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

static struct err e;

static void check(int failed)
{
	if (!failed)
		return;
	(void)fprintf(stderr, "gc: %s\n", e.text);
	exit(1);
}

static void add_file(struct writer *w, struct chunk_worker *worker,
		     struct tree_builder *tree, struct content_builder *content,
		     uint64_t n)
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
	check(writer_add(w, worker, CHUNK_DATA, bytes, sizeof(bytes), &x.id,
			 NULL, &e));
	(void)snprintf(path, sizeof(path), "/%012llu", (unsigned long long)n);
	en.path = path;
	en.path_len = strlen(path);
	check(content_builder_add(content, &x, &e) ||
	      content_builder_finish(content, &c, &e) ||
	      tree_builder_add(tree, &en, &c, &e));
}

static void take(struct repository *r, uint64_t chunks, uint64_t step,
		 uint8_t id)
{
	const struct writer_options o = { .purpose = RECORD_SNAPSHOT,
					  .snapshot = { { id } } };
	const struct entry root = {
		.path = "/", .path_len = 1, .type = ENTRY_FOLDER, .mode = 0755
	};
	struct chunk_worker *worker;
	struct content_builder *content;
	struct tree_builder *tree;
	struct writer *w;
	struct manifest m;

	manifest_init(&m);
	check(writer_open(r, &o, &w, &e) ||
	      chunk_worker_new(repository_keys(r), &worker, &e) ||
	      tree_builder_new(w, worker, &tree, &e) ||
	      content_builder_new(w, worker, &content, &e) ||
	      tree_builder_add(tree, &root, NULL, &e));
	for (uint64_t n = 0; n < chunks; n += step)
		add_file(w, worker, tree, content, n);
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

static void make(void *arg)
{
	const struct job *j = arg;
	const struct deletion d = { .now = clock_now(),
				    .by = "",
				    .reason = "" };
	struct repository_snapshot s;
	struct repository *r;
	struct object_id none;
	struct store *store;
	struct keys *keys = NULL;

	check(store_open(j->repo, true, &store, &e) ||
	      keyring_init(store, j->credential, "bench", clock_now(), &keys,
			   &e));
	keys_free(keys);
	store_close(store);
	check(repository_open(j->repo, j->credential, &r, &e));
	take(r, j->chunks, 1, 0xa1);
	take(r, j->chunks, 2, 0xb2);
	manifest_init(&s.manifest);
	check(repository_find(r, "a1", NULL, false, &s, &none, &e) ||
	      deletion_delete(r, &s, &d, &e));
	repository_snapshot_done(&s);
	repository_close(r);
}

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
	    (argc > 2 && !text_number(argv[2], 1, INT32_MAX, &chunks))) {
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

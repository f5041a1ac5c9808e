#include "storage/repository/ahead.h"

#include <pthread.h>
#include <stdlib.h>

#include "storage/repository/reader.h"
#include "storage/repository/tree.h"

/* The tree's nodes and maps. */
#define CACHE_BYTES (2U << 20)

struct ahead {
	struct repository *repository;
	struct ahead_work work;
	struct prefetch *prefetch;
	pthread_t thread;
	bool is_running;
	/* The thread's. */
	struct index_set *index;
	struct reader *reader;
	uint64_t position; /* of this file */
	struct chunk_id last;
	bool ended;
};

static int want(void *arg, uint64_t offset, const struct extent *x,
		struct err *e)
{
	struct ahead *a = arg;
	struct pack_entry at;
	int found;

	if (x->hole || chunk_id_equal(&a->last, &x->id))
		return 0;
	a->last = x->id;
	/* What is not found, whoever needs it tells. */
	found = index_set_find(a->index, &x->id, &at, e);
	if (found < 0 && !object_is_damage(e))
		a->ended = true;
	if (found == 1)
		a->ended = !prefetch_want(a->prefetch, OBJECT_DATA_PACK,
					  &at.place, a->position + offset);
	return a->ended;
}

/* Whether to go on. */
static bool plan_file(struct ahead *a, const struct content *content)
{
	struct err e = { 0 };

	return content_walk(a->reader, content, want, a, &e) >= 0 ||
	       e.code == ERR_CORRUPT;
}

static bool is_past(const struct ahead *a, const struct entry *en)
{
	const struct ahead_work *w = &a->work;

	return w->path &&
	       !entry_path_within(en->path, en->path_len, w->path, w->path_len);
}

static void plan_files(struct ahead *a, struct tree *t)
{
	const struct ahead_work *w = &a->work;
	struct content content;
	struct entry en;
	struct err e = { 0 };
	int got;

	while (!a->ended && (got = tree_next(t, &en, &content, &e)) != 0) {
		if (got < 0 && e.code != ERR_CORRUPT)
			return;
		if (got < 0)
			continue;
		if (is_past(a, &en))
			return;
		if (en.type != ENTRY_FILE)
			continue;
		if ((!w->reads || w->reads(w->arg, &en)) &&
		    !plan_file(a, &content))
			return;
		a->position += en.size;
	}
}

static void plan_tree(struct ahead *a)
{
	const struct ahead_work *w = &a->work;
	CLEANUP(tree_close) struct tree *t = NULL;
	struct err e = { 0 };

	if (tree_open(a->reader, w->tree, NULL, &t, &e))
		return;
	if (!w->path || tree_seek(t, w->path, w->path_len, &e) == 0 ||
	    e.code == ERR_CORRUPT)
		plan_files(a, t);
}

static void *run(void *arg)
{
	struct ahead *a = arg;
	CLEANUP(reader_free) struct reader *reader = NULL;
	struct err e = { 0 };

	if (reader_new(a->repository, CACHE_BYTES, &reader, &e) ||
	    repository_index(a->repository, &a->index, &e))
		return NULL;
	a->reader = reader;
	if (a->work.content)
		(void)plan_file(a, a->work.content);
	else
		plan_tree(a);
	prefetch_wanted_all(a->prefetch);
	return NULL;
}

struct ahead *ahead_start(struct repository *r, const struct ahead_work *w)
{
	struct store *s = repository_store(r);
	struct ahead *a;
	struct err ignored = { 0 };

	if (store_features(s) & STORE_LOCAL)
		return NULL;
	a = calloc(1, sizeof(*a));
	if (!a)
		return NULL;
	a->repository = r;
	a->work = *w;
	if (prefetch_new(s, w->bytes, &a->prefetch, &ignored) == 0)
		a->is_running = pthread_create(&a->thread, NULL, run, a) == 0;
	if (a->is_running)
		return a;
	ahead_free(a);
	return NULL;
}

struct prefetch *ahead_prefetch(const struct ahead *a)
{
	return a ? a->prefetch : NULL;
}

void ahead_at(struct ahead *a, size_t i, uint64_t position)
{
	if (a)
		prefetch_at(a->prefetch, i, position);
}

void ahead_reached(struct ahead *a, uint64_t position)
{
	if (a)
		prefetch_reached(a->prefetch, position);
}

void ahead_end(struct ahead *a)
{
	if (!a || !a->is_running)
		return;
	prefetch_end(a->prefetch);
	(void)pthread_join(a->thread, NULL);
	a->is_running = false;
}

void ahead_free(struct ahead *a)
{
	if (!a)
		return;
	ahead_end(a);
	prefetch_free(a->prefetch);
	free(a);
}

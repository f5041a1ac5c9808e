/*
 * A gc_frame whose store guards objects, by a clock that goes with the
 * frame's: snapshots that are locked as a run of the daemon locks them.
 *
 * Linked with -Wl,--wrap=clock_now, so that days go by as a test says.
 */
#ifndef TESTS_SUPPORT_GUARD_FRAME_H
#define TESTS_SUPPORT_GUARD_FRAME_H

#include "storage/repository/guards.h"
#include "storage/repository/reader.h"
#include "storage/repository/tree.h"
#include "tests/support/gc_frame.h"

#define GUARD_LOCK_MS (8 * GC_DAY_MS)
/* From beginning to end: what is ahead of need comes on top of the lock. */
#define GUARD_ALL_MS (GUARD_LOCK_MS + 2 * GC_DAY_MS)

static int64_t guard_passed_ms; /* that nobody waited for */

struct instant __real_clock_now(void);
struct instant __wrap_clock_now(void);
struct instant __wrap_clock_now(void)
{
	return instant_add_ms(__real_clock_now(), guard_passed_ms);
}

static inline void guard_frame_init(struct gc_frame *g, const char *url)
{
	guard_passed_ms = 0;
	gc_frame_init(g, url);
	store_mem_set_now(g->now);
}

static inline void guard_later(struct gc_frame *g, int64_t ms)
{
	guard_passed_ms += ms;
	g->now = clock_now();
	store_mem_set_now(g->now);
}

/* A snapshot that is to be locked for so long; 0: it is not. */
static inline struct snapshot_result guard_take_for(struct gc_frame *g,
						    int64_t lock_ms)
{
	struct snapshot_options o = { .lock_ms = lock_ms };
	struct snapshot_result result;

	ck_assert_uint_lt(g->n, GC_SNAPSHOTS);
	gc_reopen(g);
	gc_ok(repo_take_with(&g->f, &o, &result, &g->e));
	g->ids[g->n] = result.id;
	repo_list(&g->trees[g->n], g->f.from);
	g->n++;
	if (lock_ms) {
		CLEANUP(repository_snapshot_done)
		struct repository_snapshot s = gc_look(g, g->n - 1);

		gc_ok(deletion_lock(g->f.r, &s,
				    instant_add_ms(s.received, lock_ms), "me",
				    g->now, &g->e));
	}
	return result;
}

static inline struct snapshot_result guard_take(struct gc_frame *g)
{
	return guard_take_for(g, GUARD_LOCK_MS);
}

static inline struct store_guard guard_of(struct gc_frame *g, const char *name)
{
	struct store_guard x;

	ck_assert_int_eq(store_guarded(gc_store(g), name, &x, &g->e), 1);
	return x;
}

struct guard_judge {
	struct gc_frame *g;
	struct index_set *index;
	struct instant until;
	bool held;
	size_t short_; /* that are guarded too briefly */
	size_t chunks;
};

static inline bool guard_fits(const struct guard_judge *j, const char *name)
{
	const struct store_guard x = guard_of(j->g, name);

	return instant_compare(x.until, j->until) >= 0 && (x.held || !j->held);
}

/* In one of the packs that hold it, at least. */
static inline int guard_judge_chunk(void *arg, const struct chunk_id *id,
				    enum chunk_kind kind, struct err *e)
{
	struct guard_judge *j = arg;
	struct object_id seen[8];
	size_t n = 0;
	bool fits = false;
	struct pack_entry at;

	j->chunks++;
	while (n < 8 && !fits) {
		const int found = index_set_find_other(j->index, id, seen, n,
						       &at, e);

		if (found < 0)
			return -1;
		if (!found)
			break;
		fits = guard_fits(j, object_name(chunk_kind_is_meta(kind)
							 ? OBJECT_META_PACK
							 : OBJECT_DATA_PACK,
						 at.place.pack)
					     .s);
		seen[n++] = at.place.pack;
	}
	j->short_ += !fits;
	return 0;
}

static inline int guard_judge_name(void *arg, const struct store_entry *entry,
				   struct err *e)
{
	struct guard_judge *j = arg;

	(void)e;
	j->short_ += !guard_fits(j, entry->name);
	return 0;
}

/* How much of what that snapshot needs is not guarded so. */
static inline size_t guard_short(struct gc_frame *g, size_t i,
				 struct instant until, bool held)
{
	const struct index_set_options o = { .cache_bytes = 1U << 20 };
	CLEANUP(reader_free) struct reader *reader = NULL;
	CLEANUP(index_set_free) struct index_set *index = NULL;
	CLEANUP(repository_snapshot_done) struct repository_snapshot s;
	struct guard_judge j = { .g = g, .until = until, .held = held };
	char id[OBJECT_ID_TEXT];
	char prefix[64];

	gc_reopen(g);
	s = gc_look(g, i);
	gc_ok(index_set_open(gc_store(g), repository_keys(g->f.r), &o, &index,
			     &g->e));
	j.index = index;
	gc_ok(reader_new_in(g->f.r, index, 1U << 20, &reader, &g->e));
	gc_ok(tree_references(reader, &s.manifest.tree, false,
			      guard_judge_chunk, NULL, &j, &g->e));
	gc_ok(tree_references(reader, &s.manifest.hints, true,
			      guard_judge_chunk, NULL, &j, &g->e));
	ck_assert_uint_gt(j.chunks, 2);
	object_id_format(g->ids[i], id);
	(void)snprintf(prefix, sizeof(prefix), "snapshots/%s", id);
	gc_ok(store_list(gc_store(g), prefix, guard_judge_name, &j, &g->e));
	(void)snprintf(prefix, sizeof(prefix), "receipts/%s", id);
	gc_ok(store_list(gc_store(g), prefix, guard_judge_name, &j, &g->e));
	(void)snprintf(prefix, sizeof(prefix), "locks/%s", id);
	gc_ok(store_list(gc_store(g), prefix, guard_judge_name, &j, &g->e));
	gc_ok(store_list(gc_store(g), "key", guard_judge_name, &j, &g->e));
	gc_ok(store_list(gc_store(g), "config", guard_judge_name, &j, &g->e));
	return j.short_;
}

static inline struct instant guard_locked_until(struct gc_frame *g, size_t i)
{
	CLEANUP(repository_snapshot_done)
	struct repository_snapshot s = gc_look(g, i);

	ck_assert(s.locked);
	return s.locked_until;
}

/* For as long as it is locked. */
static inline void guard_expect(struct gc_frame *g, size_t i)
{
	const struct instant until = guard_locked_until(g, i);

	ck_assert_uint_eq(guard_short(g, i, until, false), 0);
}

#endif

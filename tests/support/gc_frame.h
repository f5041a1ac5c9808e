/*
 * A repository in memory behind a store that can be told to misbehave, real
 * snapshots of a small folder in it, and collections of its garbage.
 *
 * The lease is shortened, so that an owner that stands still is given up in
 * a third of a second, and one that is alive beats twenty times in it.
 */
#ifndef TESTS_SUPPORT_GC_FRAME_H
#define TESTS_SUPPORT_GC_FRAME_H

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/seam.h"
#include "storage/repository/check.h"
#include "storage/repository/deletion.h"
#include "storage/repository/gc.h"
#include "storage/stores/fault.h"
#include "tests/support/random.h"
#include "tests/support/repo_frame.h"
#include "tests/support/repo_store.h"

#define GC_SNAPSHOTS 64
/* A file of its own chunk, which no group of small files takes in. */
#define GC_FILE_BYTES 300000
#define GC_DAY_MS     (24LL * 3600 * 1000)
/*
 * A check that was not let run for a third of a second says that it stood
 * still: on a busy machine it is begun again.
 */
#define GC_PATIENCE 50
/* So long nobody who is alive stands still, even there. */
#define GC_LONG_LEASE_MS 20000

struct gc_frame {
	struct repo_frame f;
	struct random dice;
	struct instant now;
	struct gc_result result;
	struct err e;
	struct object_id ids[GC_SNAPSHOTS]; /* as they were taken */
	struct tree_list trees[GC_SNAPSHOTS];
	size_t n;
	unsigned int restores;
	int64_t lease_ms;      /* of collectors; 0: the shortened one */
	size_t superseded_max; /* 0: as FORMAT.md has it */
	void (*act)(struct gc_frame *g, const char *name); /* gc_meanwhile() */
	unsigned int acted;
};

/* A call that must succeed, showing g's error when it does not. */
#define gc_ok(call)                                               \
	do {                                                      \
		if ((call) < 0)                                   \
			ck_abort_msg("%s: %s", #call, g->e.text); \
	} while (0)

static inline struct store *gc_store(struct gc_frame *g)
{
	return repository_store(g->f.r);
}

/* Open anew, through a store that can be told to misbehave. */
static inline void gc_reopen(struct gc_frame *g)
{
	struct store *s;

	repository_close(g->f.r);
	g->f.r = NULL;
	gc_ok(store_open(g->f.url, false, &s, &g->e));
	gc_ok(fault_wrap(s, &s, &g->e));
	gc_ok(repository_open_on(s, g->f.credential, &g->f.r, &g->e));
}

static inline void gc_frame_init(struct gc_frame *g, const char *url)
{
	memset(g, 0, sizeof(*g));
	/* Restores sync: a disk that others write to would set our pace. */
	if (access("/dev/shm", W_OK) == 0)
		ck_assert_int_eq(setenv("TMPDIR", "/dev/shm", 0), 0);
	ck_assert_int_eq(setenv("SNAPCTL_TEST_LEASE_MS", "300", 1), 0);
	seam_from_environment();
	repo_frame_init(&g->f, url);
	gc_reopen(g);
	g->dice = random_seed();
	g->now = clock_now();
	ck_assert_int_eq(mkdir(g->f.from, 0700), 0);
}

/*
 * However busy the machine is, nobody of ours says from now on that it stood
 * still.  Nor does anybody beat: who is alive looks dead to a collector.
 */
static inline void gc_never_still(void)
{
	ck_assert_int_eq(setenv("SNAPCTL_TEST_LEASE_MS", "600000", 1), 0);
	seam_from_environment();
}

static inline void gc_frame_done(struct gc_frame *g)
{
	for (size_t i = 0; i < g->n; i++)
		tree_list_done(&g->trees[i]);
	repo_frame_done(&g->f);
}

static inline void gc_file(struct gc_frame *g, const char *name)
{
	static uint64_t words[GC_FILE_BYTES / 8];
	char path[2 * SCRATCH_PATH];
	FILE *file;

	for (size_t i = 0; i < GC_FILE_BYTES / 8; i++)
		words[i] = random_u64(&g->dice);
	(void)snprintf(path, sizeof(path), "%s/%s", g->f.from, name);
	file = fopen(path, "we");
	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(words, sizeof(words), 1, file), 1);
	ck_assert_int_eq(fclose(file), 0);
}

static inline void gc_unfile(struct gc_frame *g, const char *name)
{
	char path[2 * SCRATCH_PATH];

	(void)snprintf(path, sizeof(path), "%s/%s", g->f.from, name);
	ck_assert_int_eq(unlink(path), 0);
}

/* The number of the snapshot that is taken now. */
static inline size_t gc_take(struct gc_frame *g)
{
	ck_assert_uint_lt(g->n, GC_SNAPSHOTS);
	gc_reopen(g); /* whoever takes one knows only what the store says */
	g->ids[g->n] = repo_take(&g->f).id;
	repo_list(&g->trees[g->n], g->f.from);
	return g->n++;
}

static inline struct repository_snapshot gc_look(struct gc_frame *g, size_t i)
{
	struct repository_snapshot s;
	char text[OBJECT_ID_TEXT];

	object_id_format(g->ids[i], text);
	manifest_init(&s.manifest);
	gc_ok(repository_find(g->f.r, text, NULL, true, &s, NULL, &g->e));
	return s;
}

/* Whether there is such a snapshot, deleted or not. */
static inline bool gc_exists(struct gc_frame *g, size_t i)
{
	struct repository_snapshot s;
	char text[OBJECT_ID_TEXT];
	struct err e = { 0 };
	int failed;

	object_id_format(g->ids[i], text);
	manifest_init(&s.manifest);
	failed = repository_find(g->f.r, text, NULL, true, &s, NULL, &e);
	repository_snapshot_done(&s);
	if (failed)
		ck_assert_int_eq(e.code, ERR_NOT_FOUND);
	return !failed;
}

static inline struct deletion gc_asked(const struct gc_frame *g)
{
	return (struct deletion){
		.now = g->now, .grace_ms = GC_DAY_MS, .by = "me", .reason = ""
	};
}

static inline void gc_erase(struct gc_frame *g, size_t i)
{
	CLEANUP(repository_snapshot_done)
	struct repository_snapshot s = gc_look(g, i);
	const struct deletion d = gc_asked(g);

	gc_ok(deletion_delete(g->f.r, &s, &d, &g->e));
}

static inline int gc_undelete(struct gc_frame *g, size_t i)
{
	CLEANUP(repository_snapshot_done)
	struct repository_snapshot s = gc_look(g, i);
	const struct deletion d = gc_asked(g);

	return deletion_undelete(g->f.r, &s, &d, &g->e);
}

/* A collection by somebody who knows only what the store says. */
static inline int gc_collect_with(struct gc_frame *g, int64_t grace_ms,
				  uint64_t rewrite)
{
	const struct gc_options o = { .now = g->now,
				      .grace_ms = grace_ms,
				      .rewrite_bytes = rewrite,
				      .lease_ms = g->lease_ms,
				      .superseded_max = g->superseded_max,
				      .host = "host" };

	memset(&g->result, 0, sizeof(g->result));
	err_clear(&g->e);
	return gc_run(g->f.r, &o, &g->result, &g->e);
}
static inline void gc_collect(struct gc_frame *g, int64_t grace_ms)
{
	const int failed = gc_collect_with(g, grace_ms, GC_REWRITE_BYTES);

	gc_ok(failed);
	ck_assert_int_eq(failed, 0);
}

/* It restores bit for bit, by somebody who knows only what the store says. */
static inline void gc_expect(struct gc_frame *g, size_t i)
{
	char name[32];

	/* Each into a folder of its own. */
	(void)snprintf(name, sizeof(name), "to%u", g->restores++);
	(void)scratch_path(&g->f.dir, name, g->f.to);
	gc_reopen(g);
	(void)repo_restore(&g->f, g->ids[i]);
	ck_assert_msg(g->f.failures == 0, "snapshot %zu: %s", i, g->f.failed);
	repo_expect_same(&g->trees[i], g->f.to);
}

/* Every byte is what it should be, and every snapshot has what it needs. */
static inline void gc_expect_sound(struct gc_frame *g)
{
	CLEANUP(check_result_done) struct check_result x = { 0 };
	const struct check_options o = { .level = CHECK_DATA, .now = g->now };
	int failed = -1;

	gc_reopen(g);
	for (int i = 0; failed && i < GC_PATIENCE; i++) {
		check_result_done(&x);
		x = (struct check_result){ 0 };
		failed = check_run(g->f.r, &o, &x, &g->e);
		if (failed)
			ck_assert_msg(g->e.code == ERR_BUSY, "%s", g->e.text);
	}
	ck_assert_int_eq(failed, 0);
	ck_assert_msg(x.sound, "%llu findings: %s %s",
		      (unsigned long long)x.n_findings,
		      x.n_findings ? x.findings[0].object : "",
		      x.n_findings ? x.findings[0].message : "");
}

static inline int gc_count_one(void *arg, const struct store_entry *entry,
			       struct err *e)
{
	(void)entry;
	(void)e;
	++*(size_t *)arg;
	return 0;
}
/* Objects whose names begin so. */
static inline size_t gc_objects(struct gc_frame *g, const char *prefix)
{
	size_t n = 0;

	gc_ok(store_list(gc_store(g), prefix, gc_count_one, &n, &g->e));
	return n;
}
static inline size_t gc_packs(struct gc_frame *g)
{
	return gc_objects(g, "data/") + gc_objects(g, "meta/");
}

static inline int gc_keep_name(void *arg, const struct store_entry *entry,
			       struct err *e)
{
	(void)e;
	(void)snprintf(arg, STORE_NAME_MAX + 1, "%s", entry->name);
	return 0;
}
/* The last object whose name begins so; there is one. */
static inline struct object_name gc_last(struct gc_frame *g, const char *prefix)
{
	struct object_name name = { "" };

	gc_ok(store_list(gc_store(g), prefix, gc_keep_name, name.s, &g->e));
	ck_assert_msg(name.s[0], "nothing is in %s", prefix);
	return name;
}

/* One bit of it, in the middle. */
static inline void gc_damage(struct gc_frame *g, const char *name)
{
	CLEANUP(buf_done) struct buf b;

	repo_get(gc_store(g), name, &b);
	b.data[b.len / 2] ^= 1;
	repo_set(gc_store(g), name, b.data, b.len);
}

static inline void gc_act(void *arg, const char *name)
{
	struct gc_frame *g = arg;
	struct repository *const mine = g->f.r;
	const struct err e = g->e;

	g->f.r = NULL;
	gc_reopen(g);
	g->acted++;
	g->act(g, name);
	repository_close(g->f.r);
	g->f.r = mine;
	g->e = e;
}

/*
 * Somebody else, with a repository of its own in g->f.r, acts before the nth
 * call of that kind from now on; name is that call's.
 */
static inline void gc_meanwhile(struct gc_frame *g, enum fault_call call,
				const char *prefix, uint64_t nth,
				void (*act)(struct gc_frame *g,
					    const char *name))
{
	const struct fault f = { .call = call,
				 .action = FAULT_RUN,
				 .prefix = prefix,
				 .nth = nth,
				 .times = 1,
				 .run = gc_act,
				 .arg = g };

	g->act = act;
	g->acted = 0;
	fault_add(gc_store(g), &f);
}

static inline int gc_keep_pack(void *arg, const struct pack_entry *x,
			       struct err *e)
{
	return record_add_id(arg, x->place.pack, e);
}

/*
 * Another collector's mark on every pack there is, whatever needs it; when it
 * was put nobody was at work.
 */
static inline void gc_mark_all(struct gc_frame *g)
{
	const struct index_set_options o = { .cache_bytes = 0 };
	CLEANUP(index_set_free) struct index_set *x = NULL;
	struct record mark;
	struct record census;

	record_init(&mark, OBJECT_MARK);
	record_init(&census, OBJECT_CENSUS);
	mark.id = census.id = object_id_new();
	mark.time = g->now;
	gc_ok(index_set_open(gc_store(g), repository_keys(g->f.r), &o, &x,
			     &g->e));
	gc_ok(index_set_walk(x, gc_keep_pack, &mark, &g->e));
	gc_ok(record_put(gc_store(g), repository_keys(g->f.r), &mark, 0,
			 &g->e));
	gc_ok(record_put(gc_store(g), repository_keys(g->f.r), &census, 0,
			 &g->e));
	record_done(&mark);
}

/* The repair of a repository, as `repo check --repair` does it. */
static inline int gc_repair_with(struct gc_frame *g)
{
	CLEANUP(check_result_done) struct check_result x = { 0 };
	const struct check_options o = { .level = CHECK_DATA,
					 .repair = true,
					 .now = g->now };

	return check_run(g->f.r, &o, &x, &g->e);
}
static inline void gc_repair(struct gc_frame *g)
{
	int failed = -1;

	for (int i = 0; failed && i < GC_PATIENCE; i++) {
		failed = gc_repair_with(g);
		if (failed)
			ck_assert_msg(g->e.code == ERR_BUSY, "%s", g->e.text);
	}
	ck_assert_int_eq(failed, 0);
	gc_reopen(g);
}

/* Of every chunk in a pack of that name; header and directory stay whole. */
static inline void gc_damage_chunks(struct gc_frame *g, const char *name)
{
	CLEANUP(buf_done) struct buf b;

	repo_get(gc_store(g), name, &b);
	for (size_t k = OBJECT_HEADER_SIZE; k + 200 < b.len; k += 7)
		b.data[k] ^= 1;
	repo_set(gc_store(g), name, b.data, b.len);
}

/* An owner of that kind that died: its counter stands still. */
static inline struct object_id gc_dead(struct gc_frame *g,
				       enum object_kind kind,
				       struct object_id snapshot)
{
	const struct object_id id = object_id_new();
	struct record r;

	record_init(&r, kind);
	r.id = id;
	r.time = g->now;
	r.purpose = RECORD_SNAPSHOT; /* of a pin: a restore */
	(void)snprintf(r.by, sizeof(r.by), "elsewhere");
	gc_ok(record_add_id(&r, snapshot, &g->e));
	gc_ok(record_put(gc_store(g), repository_keys(g->f.r), &r, 0, &g->e));
	record_done(&r);
	return id;
}

#endif

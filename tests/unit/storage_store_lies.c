/*
 * Stores that lie, once or for ever, while something is done there: a listing
 * without every second object, without a folder, or of nothing; sessions and
 * pins as they were before; objects that were never written, although the
 * store said so.  Whatever comes of it, when the store is sound again, what
 * was acknowledged before or meanwhile restores, what is held or locked is not
 * deleted, and a collection ends.
 *
 * What a store lost that it had acknowledged nobody else has: such a snapshot
 * is named by a check, or not there at all, and all the others are.
 *
 * Some combinations at random, or with $SNAPCTL_TEST_FULL all of them.
 */
#include "base/seam.h"
#include "storage/heal.h"
#include "storage/repository/check.h"
#include "storage/repository/deletion.h"
#include "storage/repository/gc.h"
#include "storage/repository/guards.h"
#include "storage/restore.h"
#include "storage/stores/fault.h"
#include "tests/support/region.h"
#include "tests/support/repo_store.h"
#include "tests/support/scratch.h"

#define HERE   "mem:guard-lies-here"
#define THERE  "mem:guard-lies-there" /* another region */
#define DAY_MS INT64_C(86400000)
/* A collector here has nobody to wait for who is alive. */
#define LEASE_MS 60
#define PATIENCE 50
#define SOME	 60

static struct scratch dir;
static struct keyring_credential *key;
static struct random dice;
static char tree[SCRATCH_PATH];
static struct instant now;
static struct err e;
static char trial[200];

/* ---- The lie ------------------------------------------------------------ */

static struct fault lie;
static const char *liar; /* the store that tells it; NULL: none does */

int __real_store_open(const char *url, bool create, struct store **ret,
		      struct err *err);
int __wrap_store_open(const char *url, bool create, struct store **ret,
		      struct err *err);
int __wrap_store_open(const char *url, bool create, struct store **ret,
		      struct err *err)
{
	if (__real_store_open(url, create, ret, err))
		return -1;
	if (!liar || strcmp(url, liar) != 0)
		return 0;
	if (fault_wrap(*ret, ret, err))
		return -1;
	fault_add(*ret, &lie);
	return 0;
}

/* ---- The world ---------------------------------------------------------- */

struct object {
	char name[STORE_NAME_MAX + 1];
	struct buf bytes;
	struct store_guard guard;
};

struct image {
	struct store *from;
	struct object v[200];
	size_t n;
};

static struct image here;
static struct image there;

/* Snapshots: one that is deleted, one held, one locked, one held by mistake,
 * one that is in one region only; and what is acknowledged in a trial. */
enum { DELETED, HELD, LOCKED, MISTAKEN, ALONE, NEW, N_IDS };
static struct object_id ids[N_IDS];
static struct object_id mistake; /* that hold */

static int keep_object(void *arg, const struct store_entry *entry,
		       struct err *err)
{
	struct image *x = arg;
	struct object *o = &x->v[x->n++];

	ck_assert_uint_lt(x->n, 200);
	(void)snprintf(o->name, sizeof(o->name), "%s", entry->name);
	repo_get(x->from, o->name, &o->bytes);
	return store_guarded(x->from, o->name, &o->guard, err) == 1 ? 0 : -1;
}

static void keep(struct image *x, const char *url)
{
	ck_ok(store_open(url, false, &x->from, &e));
	ck_ok(store_list(x->from, "", keep_object, x, &e));
	store_close(x->from);
}

static void lay_out(const struct image *x, const char *url)
{
	struct store *s = NULL;

	store_mem_forget(url);
	ck_ok(store_open(url, true, &s, &e));
	for (size_t i = 0; i < x->n; i++) {
		const struct object *o = &x->v[i];

		repo_set(s, o->name, o->bytes.data, o->bytes.len);
		if (o->guard.until.sec)
			ck_ok(store_guard(s, o->name, o->guard.until, &e));
		if (o->guard.held)
			ck_ok(store_hold(s, o->name, true, &e));
	}
	store_close(s);
}

static struct repository *open_it(const char *url)
{
	struct repository *r = NULL;

	if (repository_open(url, key, &r, &e))
		return NULL;
	return r;
}

static int find(struct repository *r, size_t i, struct repository_snapshot *s)
{
	char id[OBJECT_ID_TEXT];

	object_id_format(ids[i], id);
	manifest_init(&s->manifest);
	return repository_find(r, id, NULL, true, s, NULL, &e);
}

static void hold(struct repository *r, size_t i, struct object_id *ret)
{
	const struct deletion_hold h = { .snapshots = &ids[i],
					 .n_snapshots = 1,
					 .case_name = "case",
					 .custodian = "who",
					 .by = "me",
					 .now = now };

	ck_ok(deletion_hold(r, &h, ret, &e));
}

static void pass_over(struct repository *r)
{
	const struct guards_options o = { .now = now };
	struct guards_result x;

	ck_ok(guards_run(r, &o, &x, &e));
	ck_assert(x.can);
}

static void lock(struct repository *r, size_t i)
{
	CLEANUP(repository_snapshot_done) struct repository_snapshot s;

	ck_ok(find(r, i, &s));
	ck_ok(deletion_lock(r, &s, instant_add_ms(now, 8 * DAY_MS), "me", now,
			    &e));
}

static void delete (struct repository *r, size_t i)
{
	CLEANUP(repository_snapshot_done) struct repository_snapshot s;
	const struct deletion d = {
		.now = now, .grace_ms = DAY_MS, .by = "me", .reason = ""
	};

	ck_ok(find(r, i, &s));
	ck_ok(deletion_delete(r, &s, &d, &e));
}

static void copy_all(struct repository *from)
{
	const struct replicate_options o = { .host = "h" };
	struct repository *to = region_add(from, THERE, key);
	struct replicate_result x;

	ck_ok(replicate_run(from, to, &o, &x, &e));
	repository_close(to);
}

static void make_world(void)
{
	struct object_id held;
	struct repository *r;

	region_init(HERE, key);
	r = region_open(HERE, key);
	region_file(tree, "a", 50000, &dice);
	region_file(tree, "b", 300000, &dice);
	ids[DELETED] = region_snapshot(r, tree, "s", 0);
	region_file(tree, "b", 50000, &dice);
	ids[HELD] = region_snapshot(r, tree, "s", 0);
	hold(r, HELD, &held);
	region_file(tree, "c", 50000, &dice);
	ids[LOCKED] = region_snapshot_for(r, tree, "s", 0, 8 * DAY_MS);
	lock(r, LOCKED);
	region_file(tree, "d", 50000, &dice);
	ids[MISTAKEN] = region_snapshot(r, tree, "t", 0);
	hold(r, MISTAKEN, &mistake);
	pass_over(r);
	copy_all(r);
	region_file(tree, "e", 300000, &dice);
	ids[ALONE] = region_snapshot(r, tree, "s", 0);
	delete (r, DELETED);
	region_file(tree, "f", 50000, &dice);
	repository_close(r);
	keep(&here, HERE);
	keep(&there, THERE);
}

/* ---- What is done meanwhile --------------------------------------------- */

/* What was acknowledged in the trial. */
static struct acknowledged {
	bool snapshot; /* NEW, here */
	bool undelete;
	bool copy; /* of ALONE, there */
} told;

static int take(struct repository *r)
{
	const char *const path = tree;
	const struct files_options files = { .paths = &path, .path_count = 1 };
	CLEANUP(snapshot_errors_free) struct snapshot_errors *errors = NULL;
	CLEANUP(source_close) struct source *s = NULL;
	struct manifest about;
	const struct snapshot_options o = { .about = &about };
	struct snapshot_result result;
	int failed;

	manifest_init(&about);
	(void)snprintf(about.source, sizeof(about.source), "s");
	(void)snprintf(about.type, sizeof(about.type), "files");
	ck_ok(manifest_list_add(&about.paths, path, strlen(path), &e));
	ck_ok(snapshot_errors_new(&errors, &e));
	ck_ok(files_open(&files, &s, &e));
	failed = snapshot_take(r, s, errors, &o, &result, &e);
	manifest_done(&about);
	told.snapshot = !failed;
	ids[NEW] = result.id;
	return failed;
}

static int collect(struct repository *r)
{
	const struct gc_options o = { .now = now,
				      .rewrite_bytes = GC_REWRITE_BYTES,
				      .lease_ms = LEASE_MS,
				      .host = "h" };
	struct gc_result x;

	return gc_run(r, &o, &x, &e);
}

/* A check that was not let run stands still, and is to be begun again. */
static int look(struct repository *r, bool repair, struct check_result *ret)
{
	const struct check_options o = { .level = CHECK_DATA,
					 .repair = repair,
					 .now = now };
	int failed = -1;

	for (int i = 0; failed && i < PATIENCE; i++) {
		check_result_done(ret);
		*ret = (struct check_result){ 0 };
		failed = check_run(r, &o, ret, &e);
		if (failed && (liar || e.code != ERR_BUSY))
			break;
	}
	return failed;
}

static int check(struct repository *r)
{
	CLEANUP(check_result_done) struct check_result x = { 0 };

	return look(r, false, &x);
}

static int repair(struct repository *r)
{
	CLEANUP(check_result_done) struct check_result x = { 0 };

	return look(r, true, &x);
}

static int restore(struct repository *r)
{
	CLEANUP(repository_snapshot_done) struct repository_snapshot s;
	struct restore_result x;
	char to[SCRATCH_PATH];
	const struct restore_options o = {
		.to = scratch_path(&dir, "to", to),
		.path = tree,
		.path_len = strlen(tree),
		.overwrite = RESTORE_ALWAYS,
	};

	if (find(r, HELD, &s) || restore_run(r, &s.manifest, &o, &x, &e))
		return -1;
	ck_assert_msg(x.errors || x.files == 2, "%s: a restore that is short",
		      trial);
	return 0;
}

static int undelete(struct repository *r)
{
	CLEANUP(repository_snapshot_done) struct repository_snapshot s;
	const struct deletion d = { .now = now, .by = "me", .reason = "" };

	if (find(r, DELETED, &s) || deletion_undelete(r, &s, &d, &e))
		return -1;
	told.undelete = true;
	return 0;
}

static int guard(struct repository *r)
{
	const struct guards_options o = { .now = now };
	struct guards_result x;

	return guards_run(r, &o, &x, &e);
}

static int release(struct repository *r)
{
	const struct guards_options o = { .now = now, .release = true };
	struct guards_result x;

	return deletion_release(r, mistake, "me", now, &e) ||
			       guards_run(r, &o, &x, &e)
		       ? -1
		       : 0;
}

static int note_copied(void *arg, const struct replicate_one *one,
		       struct err *err)
{
	(void)arg;
	(void)err;
	if (!one->why &&
	    object_id_equal(one->snapshot->manifest.snapshot, ids[ALONE]))
		told.copy = true;
	return 0;
}

static int copy(struct repository *from)
{
	const struct replicate_options o = { .host = "h", .done = note_copied };
	CLEANUP(repository_close) struct repository *to = open_it(THERE);
	struct replicate_result x;

	return to ? replicate_run(from, to, &o, &x, &e) : -1;
}

static int heal(struct repository *from)
{
	struct heal_source source = { .r = from };
	const struct heal_options o = {
		.from = &source, .n_from = 1, .now = now, .host = "h"
	};
	CLEANUP(heal_result_done) struct heal_result x = { 0 };

	return heal_run(HERE, key, &o, &x, &e);
}

/*
 * A snapshot, and just before it is published a collection that is lied to,
 * which may give the snapshot's session up.
 */
static void collect_meanwhile(void *arg, const char *name)
{
	struct repository *r = open_it(HERE);

	(void)arg;
	(void)name;
	if (r)
		(void)!collect(r);
	repository_close(r);
}

static int take_beside_a_collection(struct repository *unused)
{
	const struct fault meanwhile = { .call = FAULT_COMMIT,
					 .action = FAULT_RUN,
					 .prefix = "snapshots/",
					 .times = 1,
					 .run = collect_meanwhile };
	const char *const lies_to = liar;
	struct repository *r = NULL;
	struct store *s = NULL;
	int failed;

	(void)unused;
	liar = NULL;
	ck_ok(store_open(HERE, false, &s, &e));
	ck_ok(fault_wrap(s, &s, &e));
	fault_add(s, &meanwhile);
	ck_ok(repository_open_on(s, key, &r, &e));
	liar = lies_to;
	failed = take(r);
	repository_close(r);
	return failed;
}

static const struct deed {
	const char *name;
	int (*act)(struct repository *r);
	const char *in;	  /* what is opened for it; NULL: nothing */
	const char *liar; /* which store lies */
} deeds[] = {
	{ "a snapshot", take, HERE, HERE },
	{ "a snapshot beside a collection", take_beside_a_collection, NULL,
	  HERE },
	{ "a check", check, HERE, HERE },
	{ "a repair", repair, HERE, HERE },
	{ "a restore", restore, HERE, HERE },
	{ "a collection", collect, HERE, HERE },
	{ "a copy from it", copy, HERE, HERE },
	{ "a copy to it", copy, HERE, THERE },
	{ "healing from it", heal, THERE, THERE },
	{ "healing it", heal, THERE, HERE },
	{ "an undeletion", undelete, HERE, HERE },
	{ "a pass", guard, HERE, HERE },
	{ "a release", release, HERE, HERE },
};
#define N_DEEDS (sizeof(deeds) / sizeof(*deeds))

/* ---- All lies ----------------------------------------------------------- */

struct combination {
	const struct deed *deed;
	struct fault lie;
};

static struct combination *all;
static size_t n_all;

static const char *prefix_of(unsigned int kind)
{
	static char prefixes[OBJECT_KIND_END][32];

	(void)snprintf(prefixes[kind], sizeof(prefixes[kind]), "%s/",
		       object_kind_folder((enum object_kind)kind));
	return prefixes[kind];
}

static void add(struct fault f)
{
	for (size_t d = 0; d < N_DEEDS; d++) {
		all = realloc(all, (n_all + 1) * sizeof(*all));
		ck_assert_ptr_nonnull(all);
		all[n_all++] = (struct combination){ &deeds[d], f };
	}
}

/* Of one folder: its first, second or third listing, or each of them. */
static void add_listings(const char *prefix)
{
	static const enum fault_action actions[] = { FAULT_HALF, FAULT_HIDE,
						     FAULT_ABSENT };

	for (size_t a = 0; a < 3; a++)
		for (unsigned int nth = 0; nth <= 3; nth++)
			add((struct fault){ .call = FAULT_LIST,
					    .action = actions[a],
					    .prefix = prefix,
					    .nth = nth,
					    .times = nth > 0 });
}

static void add_all(void)
{
	for (unsigned int k = OBJECT_SLOT; k < OBJECT_KIND_END; k++) {
		add_listings(prefix_of(k));
		for (unsigned int once = 0; once <= 1; once++)
			add((struct fault){ .call = FAULT_COMMIT,
					    .action = FAULT_LOSE,
					    .prefix = prefix_of(k),
					    .times = once });
	}
	/* Whatever is listed, also all that comes after something. */
	for (unsigned int nth = 1; nth <= 30; nth++)
		for (unsigned int a = 0; a < 2; a++)
			add((struct fault){ .call = FAULT_LIST,
					    .action = a ? FAULT_HALF
							: FAULT_ABSENT,
					    .nth = nth,
					    .times = 1 });
	for (unsigned int i = 0; i < 2; i++)
		add((struct fault){ .call = FAULT_READ,
				    .action = FAULT_STALE,
				    .prefix = i ? "pins/" : "sessions/" });
}

static bool loses(void)
{
	return lie.action == FAULT_LOSE;
}

/* What could not be seen was given up, or is not back yet. */
static bool mends(const struct deed *d)
{
	return d->act == heal || d->act == repair;
}

/*
 * All manifests withheld for as long as it takes: nothing tells that from
 * there being none (FORMAT.md, 11), and only what is guarded is left.
 */
static bool withholds(void)
{
	return lie.action == FAULT_HIDE && lie.times == 0 &&
	       strcmp(lie.prefix, "snapshots/") == 0;
}

/* ---- When it is sound again --------------------------------------------- */

/* What snapshots miss is named, and given up. */
static void expect_sound(const char *url, const struct deed *d)
{
	CLEANUP(check_result_done) struct check_result x = { 0 };
	struct repository *r = region_open(url, key);

	ck_ok(look(r, false, &x));
	if (!x.sound) {
		ck_assert_msg(loses() || withholds() || mends(d),
			      "%s: %s, %s: %s", trial, url,
			      x.findings[0].object, x.findings[0].message);
		ck_ok(repair(r));
	}
	repository_close(r);
}

static void expect_collected(const char *url)
{
	int failed = -1;

	/* Two looks that differ, where something just went, are no refusal. */
	for (int i = 0; failed && i < PATIENCE; i++) {
		struct repository *r = region_open(url, key);

		failed = collect(r);
		repository_close(r);
		if (failed)
			ck_assert_msg(e.code == ERR_BUSY, "%s: %s: %s", trial,
				      url, e.text);
	}
	ck_assert_int_eq(failed, 0);
}

static int read_chunk(void *arg, const struct chunk_id *id,
		      enum chunk_kind kind, struct err *err)
{
	const uint8_t *plain;
	size_t len;

	return reader_get(arg, id, kind, &plain, &len, err);
}

static bool is_whole(const char *url, size_t i)
{
	CLEANUP(repository_snapshot_done) struct repository_snapshot s;
	struct repository *r = region_open(url, key);
	struct reader *tree_reader = NULL;
	struct reader *x = NULL;
	bool whole;

	ck_ok(reader_new(r, 1 << 20, &tree_reader, &e));
	ck_ok(reader_new(r, 1 << 20, &x, &e));
	reader_verify_ids(x, true);
	whole = find(r, i, &s) == 0 && !s.deleted &&
		tree_references(tree_reader, &s.manifest.tree, false,
				read_chunk, NULL, x, &e) == 0;
	reader_free(x);
	reader_free(tree_reader);
	repository_close(r);
	return whole;
}

static void expect_whole(const char *url, size_t i)
{
	ck_assert_msg(is_whole(url, i), "%s: snapshot %zu of %s: %s", trial, i,
		      url, e.text);
}

static void expect_kept(void)
{
	for (size_t i = HELD; i <= MISTAKEN; i++) {
		expect_whole(HERE, i);
		expect_whole(THERE, i);
	}
	if (withholds())
		return;
	expect_whole(HERE, ALONE);
	if (loses())
		return; /* what was acknowledged was not there then */
	if (told.snapshot)
		expect_whole(HERE, NEW);
	if (told.undelete)
		expect_whole(HERE, DELETED);
	if (told.copy)
		expect_whole(THERE, ALONE);
}

static void expect_denied(const char *url, size_t i)
{
	CLEANUP(repository_snapshot_done) struct repository_snapshot s;
	const struct deletion d = { .now = now, .by = "me", .reason = "" };
	struct repository *r = region_open(url, key);

	ck_ok(find(r, i, &s));
	ck_assert_msg(deletion_delete(r, &s, &d, &e) == -1 &&
			      e.code == ERR_DENIED,
		      "%s: %s lets snapshot %zu go", trial, url, i);
	repository_close(r);
}

/*
 * Nothing that is held or locked is guarded for less, as the store says.  Of a
 * manifest that a healing published anew, as it saw none, the records know
 * nothing: only a pass that believes none of them, as a repair has it, guards
 * it.
 */
static void expect_guarded(const struct deed *d)
{
	const struct guards_options o = { .now = now,
					  .afresh = d->act == heal };
	const struct guards_options ask = { .now = now, .ask = true };
	struct repository *r = region_open(HERE, key);
	struct guards_result x;

	ck_ok(guards_run(r, &o, &x, &e));
	ck_ok(guards_run(r, &ask, &x, &e));
	ck_assert_msg(x.too_short == 0, "%s: %s is guarded too briefly", trial,
		      x.findings[0].object);
	repository_close(r);
}

static void try(const struct combination *c)
{
	struct repository *r = NULL;
	int failed = 0;

	(void)snprintf(trial, sizeof(trial),
		       "%s: call %u, action %u, %s, from %u on, %u times",
		       c->deed->name, (unsigned int)c->lie.call,
		       (unsigned int)c->lie.action,
		       c->lie.prefix ? c->lie.prefix : "all",
		       (unsigned int)c->lie.nth, (unsigned int)c->lie.times);
	lay_out(&here, HERE);
	lay_out(&there, THERE);
	memset(&told, 0, sizeof(told));
	err_clear(&e);
	lie = c->lie;
	liar = c->deed->liar;
	if (c->deed->in)
		r = open_it(c->deed->in);
	if (r || !c->deed->in)
		failed = c->deed->act(r);
	else
		failed = -1;
	repository_close(r);
	liar = NULL;
	if (getenv("SNAPCTL_TEST_SHOW"))
		(void)printf("%s: %s\n", trial, failed ? e.text : "done");
	expect_sound(HERE, c->deed);
	expect_sound(THERE, c->deed);
	expect_collected(HERE);
	expect_collected(THERE);
	expect_kept();
	for (size_t i = HELD; i <= LOCKED; i++) {
		expect_denied(HERE, i);
		expect_denied(THERE, i);
	}
	expect_guarded(c->deed);
}

START_TEST(whatever_it_lies_about_nothing_is_lost)
{
	const bool full = getenv("SNAPCTL_TEST_FULL") != NULL;

	for (size_t i = 0; i < (full ? n_all : SOME); i++)
		try(&all[full ? i : random_below(&dice, n_all)]);
	(void)printf("%zu combinations of %zu\n", full ? n_all : SOME, n_all);
}
END_TEST

/* The record would revoke nothing, and the snapshot go with the next
 * collection. */
START_TEST(an_undeletion_that_sees_no_tombstone_is_none)
{
	for (size_t i = 0; i < n_all; i++)
		if (all[i].deed->act == undelete && all[i].lie.prefix &&
		    strcmp(all[i].lie.prefix, "tombstones/") == 0)
			try(&all[i]);
}
END_TEST

static void set_up(void)
{
	char path[SCRATCH_PATH];

	ck_assert_int_eq(setenv("SNAPCTL_TEST_LEASE_MS", "300", 1), 0);
	seam_from_environment();
	scratch_init(&dir);
	key = region_key(scratch_path(&dir, "key", path));
	(void)scratch_path(&dir, "tree", tree);
	ck_assert_int_eq(mkdir(tree, 0700), 0);
	dice = random_seed();
	now = clock_now();
	store_mem_set_now(now);
	make_world();
	add_all();
}

static void forget(struct image *x)
{
	for (size_t i = 0; i < x->n; i++)
		buf_done(&x->v[i].bytes);
	x->n = 0;
}

static void tear_down(void)
{
	forget(&here);
	forget(&there);
	free(all);
	all = NULL;
	n_all = 0;
	keyring_credential_free(key);
	store_mem_forget(HERE);
	store_mem_forget(THERE);
	scratch_done(&dir);
}

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, an_undeletion_that_sees_no_tombstone_is_none);
	tcase_add_test(tc, whatever_it_lies_about_nothing_is_lost);
}

CHECK_MAIN("storage, stores that lie", cases)

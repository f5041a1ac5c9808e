/*
 * Whatever anybody does in the middle of whatever somebody else does: what was
 * acknowledged and not deleted is there and can be read at every moment, and
 * when all is quiet what is dead goes, and nothing else.
 *
 * Writers, collectors, deletions, undeletes and readers work on one
 * repository.  Before some of its calls to the store each is interrupted: by
 * another one that does its whole work, and may be interrupted itself, or by
 * its death.  Some stand still meanwhile, so that collectors give them up.
 *
 * A seed repeats who does what and when.  Keys are drawn anew each time, and
 * with them the order of chunks; leases run by the machine's clock.
 */
#include <pthread.h>

#include "base/seam.h"
#include "storage/repository/check.h"
#include "storage/repository/deletion.h"
#include "storage/repository/gc.h"
#include "storage/repository/reader.h"
#include "storage/repository/tree.h"
#include "storage/stores/fault.h"
#include "tests/support/fake_source.h"
#include "tests/support/random.h"
#include "tests/support/repo_frame.h"

#define URL	     "mem:gc_prop"
#define ROUNDS	     6
#define STEPS	     16
#define DEPTH	     3	/* of interruptions in interruptions */
#define FILES	     10 /* that a snapshot has or has not */
#define FILE_BYTES   300000
#define MOST	     64
#define READER_BYTES ((size_t)4 << 20)

enum state {
	UNSURE, /* somebody failed to change it, or two did at once */
	KEPT,	/* acknowledged, and so was no deletion since */
	DELETED,
};

struct one {
	struct object_id id;
	enum state state;
	unsigned int touched; /* so often somebody set out to change it */
};

static struct repo_frame f;
static struct random dice;
static struct random names; /* ids, in the place of the kernel's numbers */
static pthread_mutex_t names_lock = PTHREAD_MUTEX_INITIALIZER;
static struct instant now;
static struct one all[MOST];
static size_t n_all;
static unsigned int depth;

struct object_id __wrap_object_id_new(void);
struct object_id __wrap_object_id_new(void)
{
	struct object_id id;

	(void)pthread_mutex_lock(&names_lock);
	random_bytes(&names, id.b, sizeof(id.b));
	(void)pthread_mutex_unlock(&names_lock);
	return id;
}

/* ---- Actors ------------------------------------------------------------- */

struct actor {
	struct store *store;
	struct repository *r;
	pthread_mutex_t acting; /* its threads are interrupted one by one */
	bool died;
};

static void step(void);

static void die(void *arg, const char *name)
{
	struct actor *a = arg;

	(void)name;
	a->died = true;
	fault_add(a->store,
		  &(struct fault){ .call = FAULT_ANY, .action = FAULT_FAIL });
}

static void interrupt(void *arg, const char *name)
{
	struct actor *a = arg;

	(void)name;
	(void)pthread_mutex_lock(&a->acting);
	depth++;
	step();
	depth--;
	(void)pthread_mutex_unlock(&a->acting);
}

/* Sessions are asked for as often as time passes: they are not among these. */
static const struct {
	enum fault_call call;
	const char *prefix;
} moments[] = {
	{ FAULT_LIST, "sessions/" },	{ FAULT_LIST, "marks/" },
	{ FAULT_LIST, "data/" },	{ FAULT_LIST, "snapshots/" },
	{ FAULT_LIST, "index/" },	{ FAULT_LIST, "fences/" },
	{ FAULT_LIST, "undeletes/" },	{ FAULT_LIST, "voids/" },
	{ FAULT_LIST, "tombstones/" },	{ FAULT_LIST, "pins/" },
	{ FAULT_READ, "meta/" },	{ FAULT_READ, "data/" },
	{ FAULT_READ, "fences/" },	{ FAULT_READ, "keyring/" },
	{ FAULT_BEGIN, "marks/" },	{ FAULT_BEGIN, "censuses/" },
	{ FAULT_COMMIT, "data/" },	{ FAULT_COMMIT, "meta/" },
	{ FAULT_COMMIT, "index/" },	{ FAULT_COMMIT, "snapshots/" },
	{ FAULT_BEGIN, "undeletes/" },	{ FAULT_BEGIN, "tombstones/" },
	{ FAULT_BEGIN, "fences/" },	{ FAULT_BEGIN, "voids/" },
	{ FAULT_BEGIN, "receipts/" },	{ FAULT_REMOVE, "data/" },
	{ FAULT_REMOVE, "meta/" },	{ FAULT_REMOVE, "index/" },
	{ FAULT_REMOVE, "snapshots/" }, { FAULT_REMOVE, "marks/" },
	{ FAULT_REMOVE, "sessions/" },
};
#define MOMENTS (sizeof(moments) / sizeof(moments[0]))

static void add_moment(struct actor *a, fault_run *run)
{
	const size_t at = (size_t)random_below(&dice, MOMENTS);
	const struct fault x = { .call = moments[at].call,
				 .action = FAULT_RUN,
				 .prefix = moments[at].prefix,
				 .nth = 1 + random_below(&dice, 3),
				 .times = 1,
				 .everyone = true,
				 .run = run,
				 .arg = a };

	fault_add(a->store, &x);
}

/* Knows what the store says, and has its fate before it. */
static void enter(struct actor *a, bool charmed)
{
	static const struct fault asleep = { .call = FAULT_COMMIT,
					     .action = FAULT_FAIL,
					     .prefix = "sessions/",
					     .nth = 2 };
	struct store *inner = NULL;
	struct err e = { 0 };

	*a = (struct actor){ .died = false };
	(void)pthread_mutex_init(&a->acting, NULL);
	ck_ok(store_open(URL, false, &inner, &e));
	ck_ok(fault_wrap(inner, &a->store, &e));
	ck_ok(repository_open_on(a->store, f.credential, &a->r, &e));
	if (charmed)
		return;
	for (uint64_t n = random_below(&dice, 7); n && depth < DEPTH; n--)
		add_moment(a, interrupt);
	if (random_below(&dice, 3) == 0)
		fault_add(a->store, &asleep);
	if (random_below(&dice, 6) == 0)
		add_moment(a, die);
}

static void leave(struct actor *a)
{
	repository_close(a->r);
	(void)pthread_mutex_destroy(&a->acting);
}

/* What may happen to anybody is to be given up, or to die. */
static void expect_excuse(const struct actor *a, const char *what,
			  const struct err *e)
{
	ck_assert_msg(e->code == ERR_BUSY || (a->died && e->code == ERR_IO),
		      "%s: %s", what, e->text);
}

static size_t set_out(size_t i, unsigned int *ret_touched)
{
	*ret_touched = ++all[i].touched;
	all[i].state = UNSURE;
	return i;
}

static void acknowledged(size_t i, unsigned int touched, enum state state)
{
	all[i].state = all[i].touched == touched ? state : UNSURE;
}

static int find(struct actor *a, size_t i, struct repository_snapshot *ret,
		struct err *e)
{
	char text[OBJECT_ID_TEXT];

	object_id_format(all[i].id, text);
	manifest_init(&ret->manifest);
	return repository_find(a->r, text, NULL, true, ret, NULL, e);
}

/* ---- What they do ------------------------------------------------------- */

static void take(void)
{
	static const char *const paths[FILES] = { "/f0", "/f1", "/f2", "/f3",
						  "/f4", "/f5", "/f6", "/f7",
						  "/f8", "/f9" };
	struct snapshot_options o = { .no_parent = random_below(&dice, 2) };
	CLEANUP(snapshot_errors_free) struct snapshot_errors *errors = NULL;
	struct fake_entry v[FILES];
	struct snapshot_result result;
	struct repo_frame mine = f;
	struct fake_source source;
	struct err e = { 0 };
	struct actor a;
	size_t n = 0;

	if (n_all == MOST)
		return;
	for (size_t i = 0; i < FILES; i++) {
		if (random_below(&dice, 2))
			continue;
		v[n] = fake_entry(paths[i], ENTRY_FILE, FILE_BYTES, 1000);
		v[n].entry.inode = i + 1;
		v[n++].fill = (uint8_t)i;
	}
	if (n == 0)
		return;
	source = fake_source_of(v, n);
	ck_ok(snapshot_errors_new(&errors, &e));
	enter(&a, false);
	mine.r = a.r;
	if (repo_take_source(&mine, &source.base, errors, &o, &result, &e))
		expect_excuse(&a, "take", &e);
	else if (n_all < MOST)
		all[n_all++] = (struct one){ .id = result.id, .state = KEPT };
	leave(&a);
}

static void erase_or_undelete(void)
{
	const struct deletion d = { .now = now, .grace_ms = 1000, .by = "me" };
	CLEANUP(repository_snapshot_done) struct repository_snapshot s = { 0 };
	struct err e = { 0 };
	unsigned int touched;
	struct actor a;
	size_t i;

	if (n_all == 0)
		return;
	i = set_out((size_t)random_below(&dice, n_all), &touched);
	enter(&a, false);
	if (find(&a, i, &s, &e)) {
		if (e.code != ERR_NOT_FOUND) /* it is gone */
			expect_excuse(&a, "find", &e);
	} else if (s.deleted) {
		if (deletion_undelete(a.r, &s, &d, &e) == 0)
			acknowledged(i, touched, KEPT);
		else if (e.code != ERR_NOT_FOUND) /* its data are */
			expect_excuse(&a, "undelete", &e);
	} else if (deletion_delete(a.r, &s, &d, &e) == 0) {
		acknowledged(i, touched, DELETED);
	} else {
		expect_excuse(&a, "delete", &e);
	}
	leave(&a);
}

static void collect(void)
{
	static const int64_t graces_ms[] = { 0, 0, 1, 3600000, -1 };
	const struct gc_options o = {
		.now = now,
		.grace_ms = graces_ms[random_below(&dice, 5)],
		.rewrite_bytes = random_below(&dice, 2) ? GC_REWRITE_BYTES : 0,
		.host = "host",
		.scratch = f.dir.path,
	};
	static struct gc_result results[DEPTH + 1];
	struct err e = { 0 };
	struct actor a;

	enter(&a, false);
	if (gc_run(a.r, &o, &results[depth], &e))
		expect_excuse(&a, "collect", &e);
	leave(&a);
}

static int read_chunk(void *arg, const struct chunk_id *id,
		      enum chunk_kind kind, struct err *e)
{
	const uint8_t *plain;
	size_t n;

	if (kind != CHUNK_DATA)
		return 0;
	return reader_get(arg, id, kind, &plain, &n, e);
}

static int read_all(struct actor *a, const struct manifest *m, struct err *e)
{
	CLEANUP(reader_free) struct reader *x = NULL;

	if (reader_new(a->r, READER_BYTES, &x, e))
		return -1;
	reader_verify_ids(x, true);
	return tree_references(x, &m->tree, false, read_chunk, NULL, x, e) ||
			       tree_references(x, &m->hints, true, read_chunk,
					       NULL, x, e)
		       ? -1
		       : 0;
}

/* Without a pin: what moves meanwhile is found. */
static void read_one(size_t i, bool charmed)
{
	CLEANUP(repository_snapshot_done) struct repository_snapshot s = { 0 };
	const unsigned int touched = all[i].touched;
	struct err e = { 0 };
	struct actor a;
	int failed;

	if (all[i].state != KEPT)
		return;
	enter(&a, charmed);
	failed = find(&a, i, &s, &e) || read_all(&a, &s.manifest, &e);
	if (all[i].touched == touched && !a.died) {
		ck_assert_msg(!failed, "snapshot %zu: %s", i, e.text);
		ck_assert_msg(!s.deleted, "snapshot %zu is deleted", i);
	}
	leave(&a);
}

static void step(void)
{
	static const int64_t passes_ms[] = { 0, 1, 1000, 3600001, 90000000 };

	now = instant_add_ms(now, passes_ms[random_below(&dice, 5)]);
	switch (random_below(&dice, 8)) {
	case 0:
	case 1:
		take();
		break;
	case 2:
	case 3:
		erase_or_undelete();
		break;
	case 4:
		if (n_all)
			read_one((size_t)random_below(&dice, n_all), false);
		break;
	default:
		collect();
	}
}

/* ---- What is so --------------------------------------------------------- */

static int count_one(void *arg, const struct store_entry *entry, struct err *e)
{
	(void)entry;
	(void)e;
	++*(size_t *)arg;
	return 0;
}

static size_t objects(struct actor *a, const char *prefix)
{
	struct err e = { 0 };
	size_t n = 0;

	ck_ok(store_list(a->store, prefix, count_one, &n, &e));
	return n;
}

#define PACKS_MAX  256
#define CHUNKS_MAX 256

/* What is named, by the packs that are there. */
struct named {
	struct actor *a;
	struct chunk_id needed[CHUNKS_MAX];
	size_t n_needed;
	struct {
		struct object_id id;
		uint64_t bytes;
		uint64_t needed_bytes;
	} packs[PACKS_MAX];
	size_t n_packs;
};

static bool is_needed(const struct named *x, const struct chunk_id *id)
{
	for (size_t i = 0; i < x->n_needed; i++)
		if (chunk_id_equal(&x->needed[i], id))
			return true;
	return false;
}

static int note_needed(void *arg, const struct chunk_id *id,
		       enum chunk_kind kind, struct err *e)
{
	struct named *x = arg;

	(void)kind;
	(void)e;
	if (is_needed(x, id))
		return 0;
	ck_assert_uint_lt(x->n_needed, CHUNKS_MAX);
	x->needed[x->n_needed++] = *id;
	return 0;
}

static int note_snapshot(void *arg, struct repository_snapshot *s,
			 struct err *e)
{
	CLEANUP(reader_free) struct reader *r = NULL;
	struct named *x = arg;
	const struct manifest *m = &s->manifest;

	if (reader_new(x->a->r, READER_BYTES, &r, e) ||
	    tree_references(r, &m->tree, false, note_needed, NULL, x, e) ||
	    tree_references(r, &m->hints, true, note_needed, NULL, x, e))
		return -1;
	return 0;
}

static bool is_there(struct named *x, const struct pack_entry *at)
{
	const enum object_kind kind = chunk_kind_is_meta(at->seal.kind)
					      ? OBJECT_META_PACK
					      : OBJECT_DATA_PACK;
	struct err e = { 0 };
	uint64_t size;
	int there = store_size(x->a->store, object_name(kind, at->place.pack).s,
			       &size, &e);

	ck_assert_int_ge(there, 0);
	return there;
}

static int note_entry(void *arg, const struct pack_entry *at, struct err *e)
{
	struct named *x = arg;
	size_t i = 0;

	(void)e;
	if (!is_there(x, at))
		return 0;
	while (i < x->n_packs &&
	       !object_id_equal(x->packs[i].id, at->place.pack))
		i++;
	if (i == x->n_packs) {
		ck_assert_uint_lt(i, PACKS_MAX);
		x->packs[x->n_packs++].id = at->place.pack;
	}
	x->packs[i].bytes += at->place.len;
	if (is_needed(x, &at->seal.id))
		x->packs[i].needed_bytes += at->place.len;
	return 0;
}

/* Each pack is named by the index, and more than half of it is needed. */
static void expect_packs_needed(struct actor *a)
{
	static struct named x;
	struct index_set *index;
	struct err e = { 0 };

	memset(&x, 0, sizeof(x));
	x.a = a;
	ck_ok(repository_snapshots(a->r, true, note_snapshot, NULL, &x, &e));
	ck_ok(repository_index(a->r, &index, &e));
	ck_ok(index_set_walk(index, note_entry, &x, &e));
	ck_assert_uint_eq(objects(a, "data/") + objects(a, "meta/"), x.n_packs);
	for (size_t i = 0; i < x.n_packs; i++)
		ck_assert_uint_gt(2 * x.packs[i].needed_bytes,
				  x.packs[i].bytes);
}

static void expect_sound(struct actor *a)
{
	CLEANUP(check_result_done) struct check_result x = { 0 };
	const struct check_options o = { .level = CHECK_DATA, .now = now };
	struct err e = { 0 };
	int failed = -1;

	/* A busy machine lets it stand still for longer than its lease. */
	for (int i = 0; failed && i < 100; i++) {
		failed = check_run(a->r, &o, &x, &e);
		if (failed)
			ck_assert_msg(e.code == ERR_BUSY, "%s", e.text);
	}
	ck_assert_int_eq(failed, 0);
	ck_assert_msg(x.sound, "%llu findings: %s %s",
		      (unsigned long long)x.n_findings,
		      x.n_findings ? x.findings[0].object : "",
		      x.n_findings ? x.findings[0].message : "");
}

static void expect_kept(void)
{
	for (size_t i = 0; i < n_all; i++)
		read_one(i, true);
}

/* The last of a few collections, which finds nothing to do. */
static void expect_idle(const struct gc_result *r)
{
	ck_assert_uint_eq(r->n_blocked, 0);
	ck_assert_uint_eq(r->bytes_pending, 0);
	ck_assert_uint_eq(r->marked, 0);
	ck_assert_uint_eq(r->deleted, 0);
	ck_assert_uint_eq(r->chunks_copied, 0);
}

static void expect_tidy(struct actor *a)
{
	ck_assert_uint_eq(objects(a, "sessions/"), 0);
	/* Some are of packs that are gone, and named still. */
	ck_assert_uint_le(objects(a, "marks/"), 8);
	ck_assert_uint_le(objects(a, "censuses/"), objects(a, "marks/"));
	ck_assert_uint_eq(objects(a, "inventories/"), 1);
	expect_packs_needed(a);
}

static void expect_deleted_gone(struct actor *a)
{
	for (size_t i = 0; i < n_all; i++) {
		CLEANUP(repository_snapshot_done)
		struct repository_snapshot s = { 0 };
		struct err e = { 0 };

		if (all[i].state != DELETED)
			continue;
		ck_assert_int_eq(find(a, i, &s, &e), -1);
		ck_assert_int_eq(e.code, ERR_NOT_FOUND);
	}
}

/* Nobody is there any more: a few collections later nothing dead is. */
static void expect_quiet(void)
{
	static struct gc_result result;
	struct err e = { 0 };
	struct actor a;

	now = instant_add_ms(now, 90000000);
	for (int i = 0; i < 4; i++) {
		const struct gc_options o = { .now = now,
					      .rewrite_bytes = GC_REWRITE_BYTES,
					      .host = "host",
					      .scratch = f.dir.path };

		enter(&a, true);
		ck_ok(gc_run(a.r, &o, &result, &e));
		leave(&a);
	}
	expect_idle(&result);
	enter(&a, true);
	expect_tidy(&a);
	expect_deleted_gone(&a);
	expect_sound(&a);
	leave(&a);
	expect_kept();
}

START_TEST(whatever_happens_what_is_kept_is_there_and_what_is_dead_goes)
{
	if (access("/dev/shm", W_OK) == 0)
		ck_assert_int_eq(setenv("TMPDIR", "/dev/shm", 0), 0);
	ck_assert_int_eq(setenv("SNAPCTL_TEST_LEASE_MS", "60", 1), 0);
	seam_from_environment();
	dice = random_seed();
	names = (struct random){ random_u64(&dice) };
	for (int round = 0; round < ROUNDS; round++) {
		repo_frame_init(&f, URL);
		now = (struct instant){ 1700000000, 0 };
		n_all = 0;
		for (int i = 0; i < STEPS; i++) {
			step();
			expect_kept();
		}
		expect_quiet();
		repo_frame_done(&f);
	}
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(
		tc,
		whatever_happens_what_is_kept_is_there_and_what_is_dead_goes);
}

CHECK_MAIN("storage/gc among everybody", cases)

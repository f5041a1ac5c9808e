/*
 * The power goes while a repository is worked with: after each call that
 * changed the disk, and whatever of what was not synced the disk then has.
 * What was acknowledged is there and restores bit for bit, the repository is
 * sound, work goes on, and what is left over goes with the next collection.
 *
 * Where the machine has immutable files the story's regions guard objects, and
 * one of its snapshots is locked.
 */
#include <sys/stat.h>
#include <unistd.h>

#include "base/seam.h"
#include "storage/repository/check.h"
#include "storage/repository/deletion.h"
#include "storage/repository/gc.h"
#include "storage/repository/guards.h"
#include "tests/support/guard_place.h"
#include "tests/support/power_cut.h"
#include "tests/support/region.h"
#include "tests/support/repo_frame.h"

/* What was acknowledged last, in the order of the story. */
enum step {
	NOTHING,
	MADE,
	FIRST,
	SECOND,
	SETTLED,
	REPLICATED,
	LENGTHENED, /* what the second snapshot needs, which is locked */
	KEY_ADDED,
	DELETED, /* the first snapshot, in the first region alone */
	KEY_REVOKED,
	COLLECTED,
	THIRD,
	SETTLED_AGAIN,
	THE_END
};

#define SNAPSHOTS 3
static const enum step taken_at[SNAPSHOTS] = { FIRST, SECOND, THIRD };

#define LOCKED	1
#define LOCK_MS (8LL * 24 * 3600 * 1000)

static struct guard_place place;
static bool can_guard;
static int64_t passed_ms; /* that nobody waited for */
static struct scratch dir;
static char disk[SCRATCH_PATH], tree[SCRATCH_PATH];
static char url_a[SCRATCH_PATH + 16], url_b[SCRATCH_PATH + 16];
static struct keyring_credential *key, *second_key;
static struct object_id ids[SNAPSHOTS];
static struct tree_list trees[SNAPSHOTS];
static struct power_cut *power;
static struct err e;

struct instant __real_clock_now(void);
struct instant __wrap_clock_now(void);
struct instant __wrap_clock_now(void)
{
	return instant_add_ms(__real_clock_now(), passed_ms);
}

/* ---- The story ----------------------------------------------------------- */

static struct deletion deletion(void)
{
	return (struct deletion){ .now = clock_now(),
				  .grace_ms = 0,
				  .by = "test",
				  .reason = "",
				  .this_region = true };
}

static void find(struct repository *r, size_t i, struct repository_snapshot *s)
{
	char text[OBJECT_ID_TEXT];

	object_id_format(ids[i], text);
	manifest_init(&s->manifest);
	ck_ok(repository_find(r, text, NULL, true, s, NULL, &e));
}

static void erase(struct repository *r, size_t i)
{
	CLEANUP(repository_snapshot_done) struct repository_snapshot s;
	const struct deletion d = deletion();

	find(r, i, &s);
	ck_ok(deletion_delete(r, &s, &d, &e));
}

static struct gc_result collect(struct repository *r)
{
	const struct gc_options o = { .now = clock_now(), .host = "host" };
	struct gc_result result;

	ck_ok(gc_run(r, &o, &result, &e));
	ck_assert_uint_eq(result.n_blocked, 0);
	return result;
}

static void lock(struct repository *r, size_t i, int64_t ms)
{
	CLEANUP(repository_snapshot_done) struct repository_snapshot s;

	find(r, i, &s);
	ck_ok(deletion_lock(r, &s, instant_add_ms(s.received, ms), "test",
			    clock_now(), &e));
}

static void take(struct repository *r, size_t i)
{
	struct random dice = { .state = i };
	char name[16];

	(void)snprintf(name, sizeof(name), "file%zu", i);
	region_file(tree, name, 100000, &dice);
	ids[i] = region_snapshot_for(r, tree, "web", i == 1,
				     i == LOCKED ? LOCK_MS : 0);
	repo_list(&trees[i], tree);
	if (i == LOCKED)
		lock(r, i, LOCK_MS);
}

static int see_copied(void *arg, const struct replicate_one *one,
		      struct err *why)
{
	(void)arg;
	(void)why;
	ck_assert(!one->why && !one->unguarded);
	return 0;
}

static void replicate(struct repository *from)
{
	CLEANUP(repository_close)
	struct repository *to = region_add(from, url_b, key);
	const struct replicate_options o = { .host = "h", .done = see_copied };
	struct replicate_result result;

	power_cut_acknowledge(power);
	ck_ok(replicate_run(from, to, &o, &result, &e));
}

static void lengthen(struct repository *r)
{
	const struct guards_options o = { .now = clock_now() };
	struct guards_result result;

	lock(r, LOCKED, 2 * LOCK_MS);
	ck_ok(guards_run(r, &o, &result, &e));
	ck_assert(result.can == can_guard);
	ck_assert(!can_guard || result.lengthened > 4);
}

static void work(void)
{
	struct repository *r;
	struct object_id slot;

	region_init(url_a, key);
	power_cut_acknowledge(power);
	r = region_open(url_a, key);
	take(r, 0);
	power_cut_acknowledge(power);
	take(r, 1);
	power_cut_acknowledge(power);
	replicate(r);
	power_cut_acknowledge(power);
	lengthen(r);
	power_cut_acknowledge(power);
	ck_ok(keyring_add(repository_store(r), key, second_key, "second",
			  clock_now(), &slot, &e));
	power_cut_acknowledge(power);
	erase(r, 0);
	power_cut_acknowledge(power);
	ck_ok(keyring_revoke(repository_store(r), key, slot, clock_now(), &e));
	power_cut_acknowledge(power);
	repository_close(r);
	r = region_open(url_a, key);
	(void)collect(r);
	power_cut_acknowledge(power);
	repository_close(r);
	r = region_open(url_a, key);
	take(r, 2);
	power_cut_acknowledge(power);
	replicate(r);
	repository_close(r);
	power_cut_acknowledge(power);
}

/* ---- After the cut ------------------------------------------------------- */

static struct {
	char root[SCRATCH_PATH];
	unsigned int looked, restored;
} after;

static void expect_key(const char *url, const struct keyring_credential *c,
		       bool opens)
{
	struct repository *r = NULL;
	struct err why = { 0 };
	const int failed = repository_open(url, c, &r, &why);

	repository_close(r);
	if (opens)
		ck_assert_msg(!failed, "%s: %s", power_cut_describe(power),
			      why.text);
	else
		ck_assert_msg(failed && why.code == ERR_BAD_KEY, "%s: %s",
			      power_cut_describe(power),
			      failed ? why.text : "a revoked key opens it");
}

/* The locked one is guarded for as long as it is locked. */
static void expect_guarded(struct repository *r, bool after_a_pass)
{
	struct guards_options o = { .now = clock_now() };
	struct guards_result result;

	if (after_a_pass && guards_run(r, &o, &result, &e))
		ck_abort_msg("%s: %s", power_cut_describe(power), e.text);
	o.ask = true;
	if (guards_run(r, &o, &result, &e))
		ck_abort_msg("%s: %s", power_cut_describe(power), e.text);
	ck_assert(result.can == can_guard);
	ck_assert_msg(!can_guard || result.snapshots == 1, "%s: %ju are locked",
		      power_cut_describe(power), (uintmax_t)result.snapshots);
	ck_assert_msg(result.too_short == 0, "%s: %s is guarded too briefly",
		      power_cut_describe(power), result.findings[0].object);
}

struct listed {
	bool there[SNAPSHOTS];
	bool deleted[SNAPSHOTS];
	bool locked[SNAPSHOTS];
	unsigned int n;
};

static int note(void *arg, struct repository_snapshot *s, struct err *why)
{
	struct listed *l = arg;

	(void)why;
	for (size_t i = 0; i < SNAPSHOTS; i++)
		if (object_id_equal(s->manifest.snapshot, ids[i])) {
			l->there[i] = true;
			l->deleted[i] = s->deleted;
			l->locked[i] = s->locked;
			l->n++;
		}
	return 0;
}

static int damaged(void *arg, const char *name, const struct err *why,
		   struct err *unused)
{
	(void)arg;
	(void)unused;
	ck_abort_msg("%s: %s: %s", power_cut_describe(power), name, why->text);
	return 0;
}

/* Returns the chunks of packs that no index names. */
static uint64_t expect_sound(struct repository *r)
{
	CLEANUP(check_result_done) struct check_result x = { 0 };
	const struct check_options o = { .level = CHECK_DATA,
					 .now = clock_now() };
	int failed = -1;

	/* With a lease so short, a busy machine lets it stand still. */
	for (int i = 0; failed && i < 50; i++) {
		check_result_done(&x);
		x = (struct check_result){ 0 };
		failed = check_run(r, &o, &x, &e);
		ck_assert_msg(!failed || e.code == ERR_BUSY, "%s: %s",
			      power_cut_describe(power), e.text);
	}
	ck_assert_msg(!failed, "%s: %s", power_cut_describe(power), e.text);
	ck_assert_msg(x.sound, "%s: %s: %s", power_cut_describe(power),
		      x.findings[0].object, x.findings[0].message);
	return x.unindexed;
}

static struct listed list(struct repository *r)
{
	struct listed l = { .n = 0 };

	if (repository_snapshots(r, true, note, damaged, &l, &e))
		ck_abort_msg("%s: %s", power_cut_describe(power), e.text);
	return l;
}

/* What a region lists is sound, and what was acknowledged is listed. */
static struct listed look(const char *url, unsigned int done, bool second)
{
	CLEANUP(repository_close) struct repository *r = region_open(url, key);
	const struct listed l = list(r);

	for (size_t i = 0; i < SNAPSHOTS; i++) {
		const enum step at = !second ? taken_at[i]
				     : i < 2 ? REPLICATED
					     : THE_END;
		const bool may_be_gone = i == 0 && !second && done >= DELETED;

		ck_assert_msg(l.there[i] || done < at || may_be_gone,
			      "%s: snapshot %zu is lost",
			      power_cut_describe(power), i);
		/* What was deleted there alone is not here. */
		ck_assert_msg(!l.deleted[i] || (i == 0 && !second &&
						done + 1 >= DELETED),
			      "%s: snapshot %zu is deleted",
			      power_cut_describe(power), i);
		ck_assert_msg(l.locked[i] || done < at || i != LOCKED,
			      "%s: snapshot %zu is not locked",
			      power_cut_describe(power), i);
	}
	ck_assert_msg(second || done < DELETED || !l.there[0] || l.deleted[0],
		      "%s: what was deleted is back",
		      power_cut_describe(power));
	(void)expect_sound(r);
	/* What is under way may have let go of it, to lengthen it; and new
	 * keys wait for a pass. */
	if (done >= (second ? REPLICATED : SECOND))
		expect_guarded(r, second ? done >= THIRD : done > SETTLED);
	return l;
}

static void expect_restores(const char *url, const struct listed *l)
{
	struct repo_frame f = { .failures = 0 };

	f.r = region_open(url, key);
	(void)snprintf(f.from, sizeof(f.from), "%s", tree);
	(void)scratch_path(&dir, "to", f.to);
	for (size_t i = 0; i < SNAPSHOTS; i++) {
		if (!l->there[i] || l->deleted[i])
			continue;
		(void)repo_restore(&f, ids[i]);
		ck_assert_msg(f.failures == 0, "%s: %s",
			      power_cut_describe(power), f.failed);
		repo_expect_same(&trees[i], f.to);
		scratch_remove(f.to);
	}
	repository_close(f.r);
}

static int count(void *arg, const struct store_entry *entry, struct err *why)
{
	(void)entry;
	(void)why;
	++*(unsigned int *)arg;
	return 0;
}

static unsigned int objects(struct repository *r, const char *prefix)
{
	unsigned int n = 0;

	ck_ok(store_list(repository_store(r), prefix, count, &n, &e));
	return n;
}

/* What died long ago: two days from now. */
static void age(const char *url)
{
	char path[SCRATCH_PATH + 32];
	const struct timespec old[2] = { { .tv_sec = 1000 },
					 { .tv_sec = 1000 } };
	const struct dirent *entry;
	DIR *d;

	(void)snprintf(path, sizeof(path), "%s/tmp", url);
	d = opendir(path);
	while (d && (entry = readdir(d)))
		if (entry->d_name[0] != '.')
			ck_assert_int_eq(
				utimensat(dirfd(d), entry->d_name, old, 0), 0);
	if (d)
		(void)closedir(d);
}

/*
 * The next snapshot works, and with it gone all is gone that the cut left:
 * unfinished uploads, sessions, packs that nobody names.
 */
static void expect_no_leak(const char *url)
{
	struct gc_result result = { 0 };
	struct repository *r;
	struct listed l;
	char tmp[SCRATCH_PATH + 32];

	age(url);
	passed_ms = 60 * LOCK_MS; /* no lock is in force any more */
	r = region_open(url, key);
	(void)region_snapshot(r, tree, "other", 0);
	l = list(r);
	for (size_t i = 0; i < SNAPSHOTS; i++)
		if (l.there[i] && !l.deleted[i])
			erase(r, i);
	repository_close(r);
	/* Once for what is seen, once for what that leaves to be seen. */
	for (int i = 0; i < 2; i++) {
		r = region_open(url, key);
		result = collect(r);
		repository_close(r);
	}
	r = region_open(url, key);
	ck_assert_uint_eq(list(r).n, 0);
	ck_assert_uint_eq(objects(r, "snapshots/"), 1);
	ck_assert_uint_eq(objects(r, "sessions/"), 0);
	ck_assert_uint_eq(objects(r, "pins/"), 0);
	ck_assert_uint_eq(objects(r, "marks/"), 0);
	ck_assert_msg(
		expect_sound(r) == 0 && result.chunks == result.chunks_live,
		"%s: packs that nothing needs", power_cut_describe(power));
	ck_assert_uint_eq(objects(r, "index/"), 1);
	(void)snprintf(tmp, sizeof(tmp), "%s/tmp", url);
	(void)guard_place_change(url, 0, FS_APPEND_FL);
	ck_assert_int_eq(rmdir(tmp), 0);
	repository_close(r);
	passed_ms = 0;
}

#define EVERY_RESTORED 10
#define EVERY_GOES_ON  20

static void check(void *arg, const char *root, unsigned int done)
{
	struct repository *r = NULL;
	struct listed l;
	char url[2][SCRATCH_PATH + 16];
	struct err why = { 0 };
	bool second;

	(void)arg;
	(void)snprintf(url[0], sizeof(url[0]), "%s/a", root);
	(void)snprintf(url[1], sizeof(url[1]), "%s/b", root);
	/* Not made yet: it can be. */
	if (done < MADE && repository_open(url[0], key, &r, &why)) {
		region_init(url[0], key);
		expect_key(url[0], key, true);
		return;
	}
	repository_close(r);
	expect_key(url[0], key, true);
	if (done == KEY_ADDED)
		expect_key(url[0], second_key, true);
	if (done >= KEY_REVOKED)
		expect_key(url[0], second_key, false);
	l = look(url[0], done, false);
	r = NULL;
	second = done >= SETTLED || repository_open(url[1], key, &r, &why) == 0;
	repository_close(r);
	if (second)
		(void)look(url[1], done, true);
	after.looked++;
	if (after.looked % EVERY_RESTORED == 0)
		expect_restores(url[0], &l);
	if (after.looked % EVERY_GOES_ON == 0) {
		expect_no_leak(url[0]);
		after.restored++;
	}
}

START_TEST(whatever_is_left_of_what_was_not_synced)
{
	char path[SCRATCH_PATH];
	unsigned int looked;

	work();
	power_cut_stop(power);
	/* On one that guards as well. */
	looked = power_cut_each(power,
				scratch_path(can_guard ? &place.dir : &dir,
					     can_guard ? "on/disk" : "disk",
					     path),
				power_cut_full(600), check, NULL);
	(void)printf("%zu calls, %u disks, %u went on\n",
		     power_cut_calls(power), looked, after.restored);
	ck_assert_uint_gt(looked, 100 / CHECK_EVERY);
}
END_TEST

/* That guards, where that can be. */
static void make_place(const char *url)
{
	ck_assert_int_eq(mkdir(url, 0700), 0);
	ck_assert(!can_guard || guard_place_change(url, FS_APPEND_FL, 0));
}

static void set_up(void)
{
	char path[SCRATCH_PATH];

	/* Collectors give up what stands still soon. */
	ck_assert_int_eq(setenv("SNAPCTL_TEST_LEASE_MS", "300", 1), 0);
	seam_from_environment();
	can_guard = guard_place_begin(&place);
	scratch_init(&dir);
	(void)scratch_path(can_guard ? &place.dir : &dir,
			   can_guard ? "on/work" : "work", disk);
	(void)scratch_path(&dir, "tree", tree);
	(void)snprintf(url_a, sizeof(url_a), "%s/a", disk);
	(void)snprintf(url_b, sizeof(url_b), "%s/b", disk);
	ck_assert_int_eq(mkdir(disk, 0700), 0);
	make_place(url_a);
	make_place(url_b);
	ck_assert_int_eq(mkdir(tree, 0700), 0);
	key = region_key(scratch_path(&dir, "key", path));
	second_key = region_key(scratch_path(&dir, "second", path));
	power = power_cut_record(disk);
}

static void tear_down(void)
{
	power_cut_free(power);
	for (size_t i = 0; i < SNAPSHOTS; i++)
		tree_list_done(&trees[i]);
	keyring_credential_free(key);
	keyring_credential_free(second_key);
	guard_place_remove(disk);
	if (can_guard)
		guard_place_end(&place);
	scratch_done(&dir);
}

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, whatever_is_left_of_what_was_not_synced);
}

CHECK_MAIN("storage/power_cut", cases)

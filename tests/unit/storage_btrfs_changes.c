/*
 * What changed in a subvolume, by generations instead of a walk
 * (storage/sources/btrfs_changes.h, btrfs_memory.h): held against walks.
 */
#include "storage/sources/btrfs_changes.h"

#include "storage/sources/btrfs.h"
#include "storage/sources/btrfs_memory.h"
#include "tests/support/btrfs_place.h"
#include "tests/support/random.h"
#include "tests/support/repo_frame.h"
#include "tests/support/snapshot_view.h"

static struct btrfs_place place;
static struct repo_frame f;
static struct err e;
static char cache[SCRATCH_PATH];

/* Commands in the subvolume. */
static void shell(const char *commands)
{
	char script[4096];

	ck_assert_int_lt(snprintf(script, sizeof(script), "cd %s && %s",
				  place.data, commands),
			 (int)sizeof(script));
	RUN("bash", "-euc", script);
}

static void set_up(void)
{
	btrfs_place_init(&place);
	repo_frame_init(&f, "mem:changes");
	(void)snprintf(f.from, sizeof(f.from), "%s", place.data);
	(void)scratch_path(&f.dir, "cache", cache);
	shell("for d in a a/x a/x/deep b c empty; do mkdir $d;"
	      " for i in 1 2 3; do echo $d $i > $d/f$i; done; done;"
	      " rm empty/f*; ln a/f1 b/linked; ln -s f1 c/symlink; sync");
	err_clear(&e);
	/* A ctime counts from two seconds on. */
	ck_assert_int_eq(setenv("SNAPCTL_TEST_CLOCK", "100", 1), 0);
}

static void tear_down(void)
{
	repo_frame_done(&f);
	btrfs_place_done(&place);
}

static void hold(struct btrfs_snapshot **ret)
{
	if (btrfs_snapshot_new(place.data, ret, &e) < 0 ||
	    btrfs_snapshot_take(*ret, "web", &e) < 0)
		ck_abort_msg("%s", e.text);
}

static void let_go(struct btrfs_snapshot *s)
{
	if (btrfs_snapshot_remove(s, &e) < 0)
		ck_abort_msg("%s", e.text);
}

/* ---- Against a walk of both --------------------------------------------- */

#define ENTRIES 2000

struct listing {
	struct entry v[ENTRIES];
	size_t n;
};

static bool same_entry(const struct entry *a, const struct entry *b)
{
	return a->type == b->type && a->mode == b->mode && a->uid == b->uid &&
	       a->size == b->size && a->inode == b->inode &&
	       instant_compare(a->mtime, b->mtime) == 0 &&
	       instant_compare(a->ctime, b->ctime) == 0;
}

static int compare_paths(const void *a, const void *b)
{
	const struct entry *x = a;
	const struct entry *y = b;

	return entry_path_compare(x->path, x->path_len, y->path, y->path_len);
}

static const struct entry *find(const struct listing *l, const struct entry *en)
{
	return bsearch(en, l->v, l->n, sizeof(*l->v), compare_paths);
}

static bool has_other(const struct listing *of, const struct listing *in,
		      const struct entry *folder)
{
	for (size_t i = 0; i < of->n; i++) {
		const struct entry *en = &of->v[i];
		const struct entry *other;

		if (!entry_path_within(en->path, en->path_len, folder->path,
				       folder->path_len))
			continue;
		other = find(in, en);
		if (!other || !same_entry(en, other))
			return true;
	}
	return false;
}

/* Without our own folder, which is as empty as before. */
static void walk(const struct btrfs_snapshot *s, struct listing *l)
{
	const char *const path = place.data;
	const struct files_options o = { .paths = &path,
					 .path_count = 1,
					 .place = btrfs_snapshot_place(s) };
	CLEANUP(source_close) struct source *walked = NULL;
	struct entry en;

	l->n = 0;
	ck_ok(files_open(&o, &walked, &e));
	while (source_next(walked, &en, &e) == 1) {
		if (!entry_path_within(en.path, en.path_len, path,
				       strlen(path)) ||
		    strstr(en.path, "/" BTRFS_FOLDER))
			continue;
		ck_assert_uint_lt(l->n, ENTRIES);
		ck_ok(entry_copy(&l->v[l->n++], &en, &e));
	}
}

static void listing_done(struct listing *l)
{
	for (size_t i = 0; i < l->n; i++)
		entry_done(&l->v[i]);
}

/*
 * Of folders that look the same in both, those are marked below which something
 * differs; when it is exact no other.  One that does not look the same is not
 * asked about.
 */
static void compare(const struct btrfs_snapshot *then,
		    const struct btrfs_snapshot *now, bool is_exact)
{
	CLEANUP(btrfs_changes_free) struct btrfs_changes *changes = NULL;
	static struct listing was;
	static struct listing is;
	struct btrfs_moment first;
	struct btrfs_moment second;

	ck_assert(btrfs_snapshot_moment(then, &first));
	ck_assert(btrfs_snapshot_moment(now, &second));
	ck_assert_uint_le(first.generation, second.generation);
	ck_assert_int_eq(btrfs_changes_find(second.fd, first.generation,
					    second.folder, NULL, &changes, &e),
			 1);
	walk(then, &was);
	walk(now, &is);
	for (size_t i = 0; i < is.n; i++) {
		const struct entry *en = &is.v[i];
		const struct entry *other = find(&was, en);
		bool differs;
		bool marked;

		if (en->type != ENTRY_FOLDER || !other ||
		    !same_entry(en, other))
			continue;
		differs = has_other(&is, &was, en) || has_other(&was, &is, en);
		marked = btrfs_changes_below(changes, en->inode);
		ck_assert_msg(!differs || marked, "%s differs, unnoticed",
			      en->path);
		ck_assert_msg(!is_exact || differs == marked, "%s is as it was",
			      en->path);
	}
	listing_done(&was);
	listing_done(&is);
}

static void is_noticed(const char *commands)
{
	struct btrfs_snapshot *then = NULL;
	struct btrfs_snapshot *now = NULL;

	hold(&then);
	/* Nothing of it belongs to the transaction of the first. */
	RUN("btrfs", "filesystem", "sync", place.on);
	shell(commands);
	shell("sync");
	hold(&now);
	compare(then, now, true);
	let_go(then);
	let_go(now);
}

START_TEST(what_changes_is_noticed_and_nothing_else)
{
	struct btrfs_snapshot *first = NULL;

	hold(&first); /* so that our folder is there */
	let_go(first);
	RUN("btrfs", "filesystem", "sync", place.on);
	is_noticed("true");
	is_noticed("echo more >> a/x/deep/f2");
	is_noticed("touch -d 2020-01-01 c/f1");
	is_noticed("chmod 600 b/linked"); /* also where its other name is */
	is_noticed("setfattr -n user.x -v 1 a/f2");
	is_noticed("chown 1 c/symlink -h");
	is_noticed("rm a/x/f3");
	is_noticed("mkdir b/new; echo n > b/new/n");
	is_noticed("mv a/x c/");
	is_noticed("mv c/x/f1 c/x/g1");
	is_noticed("mv c/x/g1 empty/");
	is_noticed("ln empty/g1 a/again");
	is_noticed("rm a/again");
	is_noticed("rm -r b/new");
	is_noticed("btrfs -q subvolume create b/sub");
	is_noticed("btrfs -q subvolume delete b/sub");
	is_noticed("cp --reflink=always a/f1 a/f2");
	is_noticed("truncate -s 1M c/f2");
	is_noticed("for i in $(seq 300); do ln a/f3 b/l$i; done");
	is_noticed("echo x >> b/l7");
	/* Names in leaves that are older than the inode's. */
	is_noticed("for i in $(seq 400); do mkdir b/k$i; "
		   "ln a/f3 b/k$i/of-a-name-that-takes-its-room-in-a-leaf; "
		   "done");
	is_noticed("echo x >> a/f3");
	is_noticed("touch a/orphan; exec 5>a/orphan; rm a/orphan; echo x >&5");
	is_noticed("chmod 700 .");
}
END_TEST

/* As they come: not synced, and in one transaction with the taking. */
static const char *mutation(struct random *r)
{
	static const char *const all[] = {
		"echo x >> a/f1",
		"echo x > c/n$RANDOM",
		"rm -f c/n*1",
		"k=b/m$((RANDOM % 5))/k; mkdir -p $k; touch $k/t",
		"rm -rf b/m$((RANDOM % 5))",
		"[ ! -e a/x ] || mv a/x c/y",
		"[ ! -e c/y ] || mv c/y a/x",
		"ln -f a/f3 c/l$((RANDOM % 3))",
		"chmod 6$((RANDOM % 7))0 a/f3",
		"touch -h c/symlink",
		"find a b c -name 'f*' | xargs -r cat > empty/all",
		"setfattr -n user.n -v $RANDOM b",
		"true",
		"sync",
		"sleep 0.03; echo y >> b/f2",
		"fallocate -l 100K -n a/f2",
		"mv b b2; mv b2 b",
	};

	return all[random_below(r, sizeof(all) / sizeof(*all))];
}

START_TEST(nothing_is_missed_however_it_comes)
{
	struct random r = random_seed();
	struct btrfs_snapshot *then = NULL;

	hold(&then);
	for (unsigned int i = 0; i < 25; i++) {
		struct btrfs_snapshot *now = NULL;

		for (uint64_t n = random_below(&r, 4); n > 0; n--)
			shell(mutation(&r));
		hold(&now);
		compare(then, now, false);
		let_go(then);
		then = now;
	}
	let_go(then);
}
END_TEST

/* ---- Snapshots ---------------------------------------------------------- */

static const uint8_t rules[BTRFS_RULES_BYTES] = { 1 };

/* As the driver has it. */
static bool is_ours(const void *arg, const char *path, size_t len,
		    bool is_folder)
{
	(void)arg;
	(void)len;
	return is_folder && strstr(path, "/" BTRFS_FOLDER) != NULL;
}

/* How many entries the source delivered; memory NULL: of a walk. */
static uint64_t take_with(struct btrfs_memory *m, const uint8_t *by,
			  struct snapshot_result *ret)
{
	const char *const path = place.data;
	CLEANUP(snapshot_errors_free) struct snapshot_errors *errors = NULL;
	CLEANUP(source_close) struct source *s = NULL;
	struct btrfs_snapshot *held = NULL;
	struct files_options fo = { .paths = &path,
				    .path_count = 1,
				    .excluded = is_ours,
				    .report = snapshot_report };
	struct snapshot_options o = { .no_parent = false };
	struct source_progress p;

	hold(&held);
	ck_ok(snapshot_errors_new(&errors, &e));
	fo.report_arg = errors;
	fo.place = btrfs_snapshot_place(held);
	if (m)
		fo.known = btrfs_memory_known(m, held, by, NULL);
	ck_ok(files_open(&fo, &s, &e));
	ck_ok(repo_take_source(&f, s, errors, &o, ret, &e));
	ck_assert_int_eq(ret->state, MANIFEST_COMPLETE);
	source_progress(s, &p);
	source_close(TAKE(s));
	let_go(held);
	if (m)
		ck_ok(btrfs_memory_save(m, &e));
	return p.entries_delivered;
}

static uint64_t take(struct btrfs_memory *m, struct snapshot_result *ret)
{
	return take_with(m, rules, ret);
}

static struct btrfs_memory *memory_new(void)
{
	struct btrfs_memory *m = NULL;

	ck_ok(btrfs_memory_new(cache, place.data, &m, &e));
	return m;
}

/* The next entry of the subvolume; what lies above it is others'. */
static bool next_below(struct view *view)
{
	while (view_next(view))
		if (entry_path_within(view->en.path, view->en.path_len,
				      place.data, strlen(place.data)))
			return true;
	return false;
}

/* Their trees, and what each says of inodes and change times, are the same. */
static void same_tree(struct object_id a, struct object_id b)
{
	struct view x;
	struct view y;

	view_open(&x, &f, a);
	view_open(&y, &f, b);
	while (next_below(&x)) {
		ck_assert(next_below(&y));
		ck_assert_str_eq(x.en.path, y.en.path);
		ck_assert_msg(same_entry(&x.en, &y.en), "%s", x.en.path);
		ck_assert_uint_eq(x.en.flags, y.en.flags);
		ck_assert_uint_eq(x.en.link_group, y.en.link_group);
		ck_assert_uint_eq(x.en.xattr_count, y.en.xattr_count);
		ck_assert_uint_eq(x.content.n, y.content.n);
		for (size_t i = 0; i < x.content.n; i++) {
			const struct extent *was = &x.content.v[i];
			const struct extent *is = &y.content.v[i];

			ck_assert(chunk_id_equal(&was->id, &is->id));
			ck_assert_uint_eq(was->offset, is->offset);
			ck_assert_uint_eq(was->len, is->len);
		}
	}
	ck_assert(!next_below(&y));
	view_close(&x);
	view_close(&y);
}

START_TEST(a_snapshot_is_as_one_by_a_walk)
{
	struct random r = random_seed();
	CLEANUP(btrfs_memory_free) struct btrfs_memory *m = memory_new();
	struct snapshot_result by_walk;
	struct snapshot_result got;
	uint64_t delivered = 0;
	uint64_t all = 0;

	for (unsigned int i = 0; i < 15; i++) {
		/* One that is remembered, for a parent. */
		(void)take(m, &got);
		for (uint64_t n = random_below(&r, 3); n > 0; n--)
			shell(mutation(&r));
		delivered += take(m, &got);
		/* Nobody changes anything between these two. */
		all += take(NULL, &by_walk);
		ck_assert(object_id_equal(by_walk.parent, got.id));
		same_tree(got.id, by_walk.id);
	}
	ck_assert_uint_lt(delivered, all);
}
END_TEST

START_TEST(what_did_not_change_is_not_walked)
{
	CLEANUP(btrfs_memory_free) struct btrfs_memory *m = memory_new();
	struct snapshot_result first;
	struct snapshot_result got;
	uint64_t all;
	uint64_t above = 1; /* "/" and the folders down to the subvolume */

	for (const char *c = place.data; *c; c++)
		above += *c == '/';
	shell("sync");
	all = take(m, &first);
	ck_assert_uint_gt(all, above + 15);
	shell("sync");
	/* Our folder was made, so the root changed. */
	(void)take(m, &got);
	shell("sync");
	ck_assert_uint_eq(take(m, &got), above);
	ck_assert_uint_eq(got.bytes_read, 0);
	ck_assert_uint_eq(got.files, first.files);
	ck_assert_uint_eq(got.bytes, first.bytes);
	/* The root's entries, and those of the one folder. */
	shell("echo more >> c/f1; sync");
	ck_assert_uint_eq(take(m, &got), above + 8);
	ck_assert_uint_eq(got.bytes, first.bytes + 5);
	ck_assert_uint_eq(got.bytes_read, 9);
}
END_TEST

/* Everything is walked where what is remembered does not count. */
static void is_walked(struct btrfs_memory *m, const uint8_t *by, uint64_t all)
{
	struct snapshot_result got;

	ck_assert_uint_eq(take_with(m, by, &got), all);
	shell("sync");
	ck_assert_uint_lt(take_with(m, by, &got), all);
	shell("sync");
}

static void spoil(const char *commands)
{
	char script[1000];

	(void)snprintf(script, sizeof(script),
		       "cd %s/btrfs && for f in *; do %s; done", cache,
		       commands);
	RUN("bash", "-euc", script);
}

START_TEST(what_does_not_count_is_walked)
{
	static const uint8_t others[BTRFS_RULES_BYTES] = { 2 };
	CLEANUP(btrfs_memory_free) struct btrfs_memory *m = memory_new();
	struct snapshot_result got;
	uint64_t all;

	(void)take(m, &got);
	shell("sync");
	(void)take(m, &got);
	shell("sync");
	all = take(NULL, &got);
	/* Its parent is one that nothing is remembered of. */
	is_walked(m, rules, all);
	is_walked(m, others, all);
	spoil("printf x >> $f");
	is_walked(m, others, all);
	spoil("printf x | dd of=$f bs=1 seek=100 conv=notrunc status=none");
	is_walked(m, others, all);
	spoil("truncate -s 70 $f");
	is_walked(m, others, all);
	spoil("rm $f; mkdir $f");
	(void)take(NULL, &got);
	is_walked(m, others, all);
	/* One that another could have written. */
	RUN("chmod", "777", cache);
	RUN("bash", "-c", "chmod 777 \"$0\"/btrfs", cache);
	ck_assert_int_eq(btrfs_memory_save(m, &e), -1);
	RUN("bash", "-c", "chmod 700 \"$0\"/btrfs", cache);
	/* Mounted again: transactions may not have happened after all. */
	RUN("umount", place.on);
	RUN("bash", "-euc", "mount -o loop,noatime \"$0\"/image \"$1\"",
	    place.dir.path, place.on);
	is_walked(m, others, all);
}
END_TEST

START_TEST(another_subvolume_of_the_name_is_walked)
{
	CLEANUP(btrfs_memory_free) struct btrfs_memory *m = memory_new();
	struct snapshot_result by_walk;
	struct snapshot_result got;
	char script[3 * SCRATCH_PATH];

	(void)take(m, &got);
	shell("sync");
	(void)take(m, &got);
	/* Put back to an older state, as one does with a snapshot. */
	(void)snprintf(script, sizeof(script),
		       "cd %s; btrfs -q subvolume snapshot data old; "
		       "echo new > data/a/f1; sync",
		       place.on);
	RUN("bash", "-euc", script);
	(void)take(m, &got);
	(void)snprintf(script, sizeof(script),
		       "cd %s; mv data gone; mv old data; sync", place.on);
	RUN("bash", "-euc", script);
	(void)take(m, &got);
	(void)take(NULL, &by_walk);
	ck_assert(object_id_equal(by_walk.parent, got.id));
	same_tree(got.id, by_walk.id);
}
END_TEST

static void cases(TCase *tc)
{
	btrfs_place_begin();
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, what_changes_is_noticed_and_nothing_else);
	tcase_add_test(tc, nothing_is_missed_however_it_comes);
	tcase_add_test(tc, a_snapshot_is_as_one_by_a_walk);
	tcase_add_test(tc, what_did_not_change_is_not_walked);
	tcase_add_test(tc, what_does_not_count_is_walked);
	tcase_add_test(tc, another_subvolume_of_the_name_is_walked);
}
CHECK_MAIN("storage/sources/btrfs_changes", cases)

/*
 * Trees that no builder makes: what storage/repository/check_folders.c finds,
 * and where a restore of them does not go.
 */
#include "storage/repository/check.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/repository/writer.h"
#include "tests/support/repo_frame.h"

static struct repo_frame f;
static struct writer *writer;
static struct chunk_worker *worker;
static struct err e;

static void set_up(void)
{
	const struct writer_options o = { .purpose = RECORD_SNAPSHOT,
					  .snapshot = object_id_new(),
					  .host = "host" };

	repo_frame_init(&f, "mem:folders");
	err_clear(&e);
	ck_ok(writer_open(f.r, &o, &writer, &e));
	ck_ok(chunk_worker_new(repository_keys(f.r), &worker, &e));
}

static void tear_down(void)
{
	chunk_worker_free(worker);
	repo_frame_done(&f);
}

static struct chunk_id store(struct buf *b, enum chunk_kind kind)
{
	struct chunk_id id;

	ck_ok(writer_add(writer, worker, kind, b->data, b->len, &id, NULL, &e));
	buf_done(b);
	return id;
}

/* Paths in turn, folders written with '/' at their end, up to NULL. */
static struct chunk_id leaf(const char *const *paths)
{
	struct buf b;
	size_t n = 0;

	while (paths[n])
		n++;
	buf_init(&b, 10000);
	ck_ok(buf_add_varint(&b, 0, &e)); /* no chunks */
	ck_ok(buf_add_varint(&b, n, &e));
	for (size_t i = 0; i < n; i++) {
		const size_t len = strlen(paths[i]);
		const bool folder = paths[i][len - 1] == '/';
		const size_t path_len = folder && len > 1 ? len - 1 : len;

		ck_ok(buf_add_varint(&b, i > 0, &e)); /* the first '/' */
		ck_ok(buf_add_varint(&b, path_len - (i > 0), &e));
		ck_ok(buf_add(&b, paths[i] + (i > 0), path_len - (i > 0), &e));
		ck_ok(buf_add_byte(&b, folder ? ENTRY_FOLDER : ENTRY_FIFO, &e));
		/* flags, mode, owner, group, seconds, nanoseconds */
		ck_ok(buf_add(&b, "\0\0\0\0\0\0", 6, &e));
	}
	return store(&b, CHUNK_LEAF);
}

struct child {
	const char *path;
	struct chunk_id id;
};

static struct manifest_root inner(const struct child *v, size_t n)
{
	struct manifest_root root = { .height = 1 };
	struct buf b;

	buf_init(&b, 10000);
	ck_ok(buf_add_byte(&b, 1, &e));
	ck_ok(buf_add_varint(&b, n, &e));
	for (size_t i = 0; i < n; i++) {
		ck_ok(buf_add_varint(&b, i > 0, &e));
		ck_ok(buf_add_varint(&b, strlen(v[i].path) - (i > 0), &e));
		ck_ok(buf_add_str(&b, v[i].path + (i > 0), &e));
		ck_ok(buf_add(&b, v[i].id.b, CHUNK_ID_SIZE, &e));
		ck_ok(buf_add_varint(&b, 1, &e));
		ck_ok(buf_add_varint(&b, 0, &e));
	}
	root.id = store(&b, CHUNK_INNER);
	return root;
}

/* A snapshot of that tree; the writer is a new one afterwards. */
static void publish(const struct manifest_root *root)
{
	const struct writer_options o = { .purpose = RECORD_SNAPSHOT,
					  .snapshot = object_id_new(),
					  .host = "host" };
	struct manifest m;

	manifest_init(&m);
	m.state = MANIFEST_COMPLETE;
	m.tree = *root;
	m.hints = (struct manifest_root){ .empty = true };
	ck_ok(writer_publish(writer, &m, clock_now(), RECORD_PROCESS, &e));
	writer_close(writer);
	writer = NULL;
	manifest_done(&m);
	chunk_worker_free(worker);
	repo_frame_reopen(&f);
	ck_ok(chunk_worker_new(repository_keys(f.r), &worker, &e));
	ck_ok(writer_open(f.r, &o, &writer, &e));
}

/* How many snapshots are told of; the first path of the first in *ret_path. */
static uint64_t check(bool repair, char ret_path[100])
{
	const struct check_options o = { .level = CHECK_STRUCTURE,
					 .repair = repair,
					 .now = clock_now(),
					 .scratch = f.dir.path };
	CLEANUP(check_result_done) struct check_result x = { 0 };

	writer_close(writer);
	writer = NULL;
	ck_ok(check_run(f.r, &o, &x, &e));
	ck_assert_int_eq(x.sound, x.n_findings == 0);
	ck_assert_uint_eq(x.lost, 0);
	ck_assert_uint_eq(x.quarantined, 0);
	ret_path[0] = '\0';
	for (uint64_t i = 0; i < x.n_findings; i++) {
		const struct check_finding *found = &x.findings[i];

		ck_assert_int_eq(found->kind, OBJECT_MANIFEST);
		ck_assert_ptr_nonnull(strstr(found->message, "no folder"));
		ck_assert_uint_eq(found->n_snapshots, 1);
		ck_assert_uint_eq(found->n_paths, 1);
		(void)snprintf(ret_path, 100, "%s", found->paths[0].bytes);
	}
	return x.n_findings;
}

static const struct {
	const char *first[6], *second[4];
	const char *found; /* the entry in no place, or NULL */
} trees[] = {
	{ { "/", "/a/", "/a/b", "/c" }, { NULL }, NULL },
	{ { "/", "/a/b" }, { NULL }, "/a/b" },
	{ { "/a/" }, { NULL }, "/a" },
	{ { "/", "/a", "/a/b" }, { NULL }, "/a/b" },
	{ { "/", "/a/", "/a/b/c/", "/a/d" }, { NULL }, "/a/b/c" },
	{ { "/", "/a/" }, { "/a/b", "/c" }, NULL },
	{ { "/", "/a/", "/a/b/", "/a/b/c" }, { "/a/d" }, NULL },
	{ { "/", "/a" }, { "/a/b" }, "/a/b" },
	{ { "/", "/a/" }, { "/c/d" }, "/c/d" },
	{ { "/", "/c" }, { "/b" }, "/b" },
};

START_TEST(entries_in_no_place_are_found)
{
	struct manifest_root root = { 0 };
	char found[100];

	root.id = leaf(trees[_i].first);
	if (trees[_i].second[0]) {
		const struct child v[] = { { trees[_i].first[0], root.id },
					   { trees[_i].second[0],
					     leaf(trees[_i].second) } };

		root = inner(v, 2);
	}
	publish(&root);
	ck_assert_uint_eq(check(false, found), trees[_i].found != NULL);
	ck_assert_str_eq(found, trees[_i].found ? trees[_i].found : "");
}
END_TEST

/* Leaves that are sound beside others, and the same ones that are not. */
START_TEST(every_snapshot_with_such_a_tree_is_named)
{
	static const char *const with[] = { "/", "/a/", NULL };
	static const char *const without[] = { "/", "/b", NULL };
	static const char *const last[] = { "/c/d", NULL };
	static const char *const below[] = { "/a/b", NULL };
	const struct chunk_id c = leaf(last);
	const struct child sound[] = { { "/", leaf(with) },
				       { "/a/b", leaf(below) } };
	const struct child broken[] = { { "/", leaf(without) }, { "/c/d", c } };
	const struct child beside[] = { { "/", leaf(with) }, { "/c/d", c } };
	const struct manifest_root roots[] = {
		inner(sound, 2), inner(broken, 2), inner(broken, 2),
		inner(beside, 2), inner(sound, 2)
	};
	char found[100];

	for (size_t i = 0; i < 5; i++)
		publish(&roots[i]);
	ck_assert_uint_eq(check(true, found), 3);
	/* Nothing brings the folder back, so it is not settled either. */
	ck_assert_uint_eq(check(false, found), 3);
	ck_assert_str_eq(found, "/c/d");
}
END_TEST

/* An entry of a leaf that somebody with the key forged. */
struct forged {
	const char *path;
	enum entry_type type;
	bool is_linked; /* all such ones are one */
};
#define OUT "/../outside"
static const struct {
	struct forged v[4];
} forgeries[] = {
	{ { { "/" OUT "/x", ENTRY_FIFO, false } } },
	{ { { OUT, ENTRY_FOLDER, false }, { OUT "/x", ENTRY_FIFO, false } } },
	{ { { "/a", ENTRY_FOLDER, false },
	    { "/a/../../outside/x", ENTRY_FIFO, false } } },
	{ { { "/a", ENTRY_FOLDER, false },
	    { "/a/..", ENTRY_FOLDER, false },
	    { "/a/../x", ENTRY_FIFO, false } } },
	{ { { "/a", ENTRY_SYMLINK, false }, { "/a/x", ENTRY_FIFO, false } } },
	{ { { "/a", ENTRY_SYMLINK, false },
	    { "/a/b", ENTRY_FOLDER, false },
	    { "/a/b/x", ENTRY_FIFO, false } } },
	{ { { "/a", ENTRY_SYMLINK, true },
	    { "/b", ENTRY_FIFO, true },
	    { "/b/x", ENTRY_FIFO, false } } },
	{ { { "/a", ENTRY_SYMLINK, true }, { "/b", ENTRY_FILE, true } } },
};

static struct manifest_root forge(const struct forged *v, const char *target)
{
	struct manifest_root root = { .height = 0 };
	struct buf b;
	size_t n = 0;

	while (n < 4 && v[n].path)
		n++;
	buf_init(&b, 10000);
	ck_ok(buf_add_varint(&b, 0, &e));
	ck_ok(buf_add_varint(&b, n + 1, &e));
	for (size_t i = 0; i <= n; i++) {
		const struct forged top = { "/", ENTRY_FOLDER, false };
		const struct forged *x = i ? &v[i - 1] : &top;

		ck_ok(buf_add_varint(&b, 0, &e));
		ck_ok(buf_add_varint(&b, strlen(x->path), &e));
		ck_ok(buf_add_str(&b, x->path, &e));
		ck_ok(buf_add_byte(&b, (uint8_t)x->type, &e));
		ck_ok(buf_add_varint(&b, x->is_linked ? ENTRY_HARD_LINK : 0,
				     &e));
		ck_ok(buf_add_varint(&b, 0777, &e));
		ck_ok(buf_add(&b, "\0\0\0\0", 4, &e));
		if (x->type == ENTRY_SYMLINK) {
			ck_ok(buf_add_varint(&b, strlen(target), &e));
			ck_ok(buf_add_str(&b, target, &e));
		}
		if (x->type == ENTRY_FILE) /* empty */
			ck_ok(buf_add(&b, "\0\0\0", 3, &e));
		if (x->is_linked)
			ck_ok(buf_add_u64(&b, 7, &e));
	}
	root.id = store(&b, CHUNK_LEAF);
	return root;
}

/* Whatever a repository says, also to somebody who has its key. */
START_TEST(no_forged_tree_leads_a_restore_outside)
{
	CLEANUP(repository_snapshot_done) struct repository_snapshot s;
	struct restore_options o = { .overwrite = RESTORE_ALWAYS };
	struct restore_result got = { .files = 0 };
	char outside[SCRATCH_PATH];
	char file[SCRATCH_PATH];
	struct manifest_root root;
	struct stat before;
	struct stat after;
	int fd;

	ck_assert_int_eq(mkdir(scratch_path(&f.dir, "outside", outside), 0700),
			 0);
	fd = open(scratch_path(&f.dir, "file", file),
		  O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(close(fd), 0);
	ck_assert_int_eq(stat(file, &before), 0);
	/* Its symlinks lead to a folder; the last one's to a file. */
	root = forge(forgeries[_i].v,
		     _i + 1 == sizeof(forgeries) / sizeof(forgeries[0])
			     ? file
			     : outside);
	publish(&root);
	writer_close(writer);
	writer = NULL;
	manifest_init(&s.manifest);
	ck_ok(repository_find(f.r, "latest", NULL, true, &s, NULL, &e));
	o.to = f.to;
	ck_assert_int_eq(mkdir(f.to, 0700), 0);
	/* It may fail at once, or tell of entries; or make them within. */
	if (restore_run(f.r, &s.manifest, &o, &got, &e) == 0)
		ck_assert_uint_gt(
			got.errors + got.left_out + got.others + got.files, 0);
	ck_assert_int_eq(rmdir(outside), 0);
	ck_assert_int_eq(stat(file, &after), 0);
	ck_assert_uint_eq(after.st_mode, before.st_mode);
	ck_assert_int_eq(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
	ck_assert_uint_eq(after.st_nlink, 1);
	/* What else is there: the key, the file, the target. */
	ck_assert_uint_eq(scratch_count(&f.dir), 3);
}
END_TEST

/* The tree is to blame for it: the leaf is another's, too, and stays. */
START_TEST(a_leaf_that_is_named_by_another_path_is_found)
{
	static const char *const top[] = { "/", NULL };
	static const char *const last[] = { "/c", NULL };
	const struct chunk_id first = leaf(top);
	const struct chunk_id second = leaf(last);
	const struct child sound[] = { { "/", first }, { "/c", second } };
	const struct child named[] = { { "/", first }, { "/b", second } };
	const struct manifest_root roots[] = { inner(sound, 2),
					       inner(named, 2) };
	char found[100];

	publish(&roots[0]);
	publish(&roots[1]);
	ck_assert_uint_eq(check(true, found), 1);
	ck_assert_str_eq(found, "/c");
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, entries_in_no_place_are_found, 0,
			    (int)(sizeof(trees) / sizeof(trees[0])));
	tcase_add_test(tc, every_snapshot_with_such_a_tree_is_named);
	tcase_add_loop_test(tc, no_forged_tree_leads_a_restore_outside, 0,
			    (int)(sizeof(forgeries) / sizeof(forgeries[0])));
	tcase_add_test(tc, a_leaf_that_is_named_by_another_path_is_found);
}

CHECK_MAIN("storage/repository/check_folders", cases)

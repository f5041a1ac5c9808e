/* A restored folder against its snapshot: every difference is found. */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/secret.h"
#include "storage/compare.h"
#include "storage/repository/keyring.h"
#include "storage/restore.h"
#include "storage/snapshot.h"
#include "storage/sources/files.h"
#include "tests/support/check_main.h"
#include "tests/support/scratch.h"
#include "tests/support/tree_gen.h"

struct world {
	struct scratch dir;
	struct repository *r;
	struct repository_snapshot s;
	struct err e;
	char tree[SCRATCH_PATH], to[SCRATCH_PATH];
	struct compare_result result;
	char first[400]; /* "path: message" */
	bool shared;
};

#define w_ok(w, call)                                    \
	do {                                             \
		if ((call) < 0)                          \
			ck_abort_msg("%s", (w)->e.text); \
	} while (0)

static void world_open(struct world *w)
{
	CLEANUP(keyring_credential_free) struct keyring_credential *key = NULL;
	CLEANUP(store_close) struct store *s = NULL;
	struct keys *keys = NULL;
	char path[SCRATCH_PATH];

	memset(w, 0, sizeof(*w));
	scratch_init(&w->dir);
	manifest_init(&w->s.manifest);
	(void)scratch_path(&w->dir, "tree", w->tree);
	(void)scratch_path(&w->dir, "to", w->to);
	ck_assert_int_eq(mkdir(w->tree, 0755), 0);
	w_ok(w, secret_start(&w->e));
	w_ok(w, keyring_credential_make_key_file(
			scratch_path(&w->dir, "key", path), &key, &w->e));
	(void)scratch_path(&w->dir, "repo", path);
	w_ok(w, store_open(path, true, &s, &w->e));
	w_ok(w, keyring_init(s, key, "test", (struct instant){ 1, 0 }, &keys,
			     &w->e));
	keys_free(keys);
	w_ok(w, repository_open(path, key, &w->r, &w->e));
}

static void world_done(struct world *w)
{
	repository_snapshot_done(&w->s);
	repository_close(w->r);
	scratch_done(&w->dir);
}
static inline void cleanup_world_done(struct world *w)
{
	world_done(w);
}

static const char *in(struct world *w, const char *folder, const char *name)
{
	static char text[4][3 * SCRATCH_PATH];
	static unsigned int turn;
	char *out = text[turn++ % 4];

	(void)snprintf(out, sizeof(text[0]), "%s%s/%s",
		       folder == w->to ? w->to : "", w->tree, name);
	return out;
}

static void put(struct world *w, const char *name, const char *bytes)
{
	FILE *f = fopen(in(w, w->tree, name), "w");

	ck_assert_ptr_nonnull(f);
	ck_assert(fputs(bytes, f) >= 0);
	ck_assert_int_eq(fclose(f), 0);
}

/* Take a snapshot of the tree and restore it. */
static void take_and_restore(struct world *w)
{
	CLEANUP(snapshot_errors_free) struct snapshot_errors *errors = NULL;
	CLEANUP(source_close) struct source *source = NULL;
	struct manifest about;
	const char *paths[] = { w->tree };
	struct files_options files = { .paths = paths,
				       .path_count = 1,
				       .report = snapshot_report };
	const struct snapshot_options o = { .about = &about };
	struct restore_options restore = { .to = w->to };
	struct snapshot_result taken;
	struct restore_result restored;

	manifest_init(&about);
	(void)snprintf(about.source, sizeof(about.source), "tree");
	(void)snprintf(about.type, sizeof(about.type), "files");
	w_ok(w,
	     manifest_list_add(&about.paths, w->tree, strlen(w->tree), &w->e));
	w_ok(w, snapshot_errors_new(&errors, &w->e));
	files.report_arg = errors;
	w_ok(w, files_open(&files, &source, &w->e));
	w_ok(w, snapshot_take(w->r, source, errors, &o, &taken, &w->e));
	manifest_done(&about);
	w_ok(w,
	     repository_find(w->r, "latest", NULL, false, &w->s, NULL, &w->e));
	w_ok(w, restore_run(w->r, &w->s.manifest, &restore, &restored, &w->e));
	ck_assert_uint_eq(restored.errors, 0);
}

static void note(void *arg, const char *path, size_t len, const char *message)
{
	struct world *w = arg;
	const size_t skip = strlen(w->tree);

	if (len > skip) {
		path += skip;
		len -= skip;
	}
	if (!w->first[0])
		(void)snprintf(w->first, sizeof(w->first), "%.*s: %.200s",
			       (int)len, path, message);
}

static void compare(struct world *w)
{
	const struct compare_options o = { .folder = w->to,
					   .unprivileged = geteuid() != 0,
					   .shared = w->shared,
					   .differs = note,
					   .arg = w };

	w->first[0] = '\0';
	w_ok(w, compare_run(w->r, &w->s.manifest, &o, &w->result, &w->e));
	ck_assert_int_eq(w->result.differences > 0, w->first[0] != '\0');
}

static void expect(struct world *w, const char *first)
{
	compare(w);
	ck_assert_str_eq(w->first, first);
}

static struct timespec mtime_of(const char *path)
{
	struct stat st;

	ck_assert_int_eq(lstat(path, &st), 0);
	return st.st_mtim;
}

/* Put the times back that a change of the test's own moved. */
static void keep_time(const char *path, struct timespec t)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, t };

	ck_assert_int_eq(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW),
			 0);
}

START_TEST(everything_linux_holds_is_equal)
{
	CLEANUP(world_done) struct world w;
	struct random r = random_seed();

	world_open(&w);
	if (getuid() != 0)
		ck_skip("compare everything", "setuid bits take root");
	tree_gen_fill(w.tree, 300, &r);
	take_and_restore(&w);
	expect(&w, "");
	ck_assert_uint_gt(w.result.entries, 200);
	ck_assert_uint_gt(w.result.bytes, 0);
	scratch_remove(w.to);
	scratch_remove(w.tree);
}
END_TEST

START_TEST(each_byte_counts)
{
	CLEANUP(world_done) struct world w;
	char *bytes = malloc(3000001);
	const size_t at[] = { 0, 1, 1048575, 1048576, 2999999 };
	char file[3 * SCRATCH_PATH];
	struct timespec t;
	int fd;

	world_open(&w);
	ck_assert_ptr_nonnull(bytes);
	for (size_t i = 0; i < 3000000; i++)
		bytes[i] = (char)('a' + (i * 7 + i / 1000) % 26);
	bytes[3000000] = '\0';
	put(&w, "large", bytes);
	put(&w, "small", "x");
	take_and_restore(&w);
	expect(&w, "");
	ck_assert_uint_eq(w.result.bytes, 3000001);
	(void)snprintf(file, sizeof(file), "%s", in(&w, w.to, "large"));
	t = mtime_of(file);
	fd = open(file, O_RDWR);
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		ck_assert_int_eq(pwrite(fd, "!", 1, (off_t)at[i]), 1);
		keep_time(file, t);
		expect(&w, "/large: content");
		ck_assert_uint_eq(w.result.differences, 1);
		ck_assert_int_eq(pwrite(fd, bytes + at[i], 1, (off_t)at[i]), 1);
		keep_time(file, t);
	}
	expect(&w, "");
	ck_assert_int_eq(ftruncate(fd, 2999999), 0);
	keep_time(file, t);
	expect(&w, "/large: size");
	(void)close(fd);
	free(bytes);
}
END_TEST

START_TEST(each_attribute_counts)
{
	CLEANUP(world_done) struct world w;
	char file[3 * SCRATCH_PATH];
	struct timespec t;

	world_open(&w);
	put(&w, "file", "x");
	ck_assert_int_eq(symlink("here", in(&w, w.tree, "link")), 0);
	ck_assert_int_eq(mkfifo(in(&w, w.tree, "pipe"), 0600), 0);
	take_and_restore(&w);
	(void)snprintf(file, sizeof(file), "%s", in(&w, w.to, "file"));
	t = mtime_of(file);
	ck_assert_int_eq(chmod(file, 0640), 0);
	expect(&w, "/file: mode");
	ck_assert_int_eq(chmod(file, 0644), 0);
	keep_time(file,
		  (struct timespec){ .tv_sec = t.tv_sec,
				     .tv_nsec = (t.tv_nsec + 1) % 1000000000 });
	expect(&w, "/file: mtime");
	keep_time(file, t);
	if (setxattr(file, "user.new", "1", 1, 0) == 0) {
		expect(&w, "/file: xattrs");
		ck_assert_int_eq(removexattr(file, "user.new"), 0);
	}
	if (geteuid() == 0) {
		ck_assert_int_eq(lchown(file, 12345, 0), 0);
		expect(&w, "/file: owner");
		ck_assert_int_eq(lchown(file, 0, 0), 0);
	}
	expect(&w, "");
}
END_TEST

START_TEST(each_entry_counts)
{
	CLEANUP(world_done) struct world w;
	char folder[3 * SCRATCH_PATH];
	struct timespec t;

	world_open(&w);
	put(&w, "a", "1");
	put(&w, "b", "2");
	ck_assert_int_eq(symlink("here", in(&w, w.tree, "link")), 0);
	take_and_restore(&w);
	(void)snprintf(folder, sizeof(folder), "%s", in(&w, w.to, "."));
	t = mtime_of(folder);
	ck_assert_int_eq(rename(in(&w, w.to, "a"), in(&w, w.to, "aa")), 0);
	keep_time(folder, t);
	expect(&w, "/a: missing");
	ck_assert_uint_eq(w.result.differences, 2);
	ck_assert_int_eq(rename(in(&w, w.to, "aa"), in(&w, w.to, "a")), 0);
	ck_assert_int_eq(mkdir(in(&w, w.to, "new"), 0700), 0);
	keep_time(folder, t);
	expect(&w, "/new: not in the snapshot");
	/* Where others lie, too, that is no difference. */
	w.shared = true;
	expect(&w, "");
	w.shared = false;
	ck_assert_int_eq(rmdir(in(&w, w.to, "new")), 0);
	ck_assert_int_eq(unlink(in(&w, w.to, "b")), 0);
	ck_assert_int_eq(mkdir(in(&w, w.to, "b"), 0700), 0);
	keep_time(folder, t);
	expect(&w, "/b: type");
	ck_assert_int_eq(rmdir(in(&w, w.to, "b")), 0);
	ck_assert_int_eq(unlink(in(&w, w.to, "link")), 0);
	ck_assert_int_eq(symlink("there", in(&w, w.to, "link")), 0);
	keep_time(folder, t);
	compare(&w);
	ck_assert_uint_eq(w.result.differences, 2);
}
END_TEST

START_TEST(hard_links_are_groups)
{
	CLEANUP(world_done) struct world w;
	char folder[3 * SCRATCH_PATH];
	struct timespec t, of_folder;

	world_open(&w);
	put(&w, "a", "same");
	put(&w, "c", "same");
	put(&w, "lone", "alone");
	ck_assert_int_eq(link(in(&w, w.tree, "a"), in(&w, w.tree, "b")), 0);
	ck_assert_int_eq(link(in(&w, w.tree, "c"), in(&w, w.tree, "d")), 0);
	/* A fellow outside of what is protected. */
	{
		char outside[SCRATCH_PATH];

		ck_assert_int_eq(link(in(&w, w.tree, "lone"),
				      scratch_path(&w.dir, "outside", outside)),
				 0);
	}
	take_and_restore(&w);
	expect(&w, "");
	/* b and d change groups. */
	(void)snprintf(folder, sizeof(folder), "%s", in(&w, w.to, "."));
	of_folder = mtime_of(folder);
	t = mtime_of(in(&w, w.to, "a"));
	keep_time(in(&w, w.to, "c"), t);
	compare(&w);
	ck_assert_int_eq(unlink(in(&w, w.to, "b")), 0);
	ck_assert_int_eq(link(in(&w, w.to, "c"), in(&w, w.to, "b")), 0);
	keep_time(folder, of_folder);
	keep_time(in(&w, w.to, "a"), t);
	compare(&w);
	ck_assert_ptr_nonnull(strstr(w.first, "links"));
}
END_TEST

START_TEST(stops_when_asked)
{
	CLEANUP(world_done) struct world w;
	const atomic_bool stop = true;
	struct compare_options o = { .cancel = &stop };

	world_open(&w);
	put(&w, "a", "1");
	take_and_restore(&w);
	o.folder = w.to;
	ck_assert_int_eq(compare_run(w.r, &w.s.manifest, &o, &w.result, &w.e),
			 -1);
	ck_assert_int_eq(w.e.code, ERR_INTERRUPTED);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, everything_linux_holds_is_equal);
	tcase_add_test(tc, each_byte_counts);
	tcase_add_test(tc, each_attribute_counts);
	tcase_add_test(tc, each_entry_counts);
	tcase_add_test(tc, hard_links_are_groups);
	tcase_add_test(tc, stops_when_asked);
}

CHECK_MAIN("storage/compare", cases)

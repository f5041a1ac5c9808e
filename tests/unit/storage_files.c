#include "storage/sources/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/support/alloc_fail.h"
#include "tests/support/check_main.h"
#include "tests/support/files_place.h"
#include "tests/support/tree_gen.h"

/* Reading can be made to fail: file_pread() leads here. */
static int fail_reads_with;
ssize_t __wrap_file_pread(int fd, void *out, size_t n, int64_t offset);
ssize_t __real_file_pread(int fd, void *out, size_t n, int64_t offset);
ssize_t __wrap_file_pread(int fd, void *out, size_t n, int64_t offset)
{
	if (fail_reads_with && offset > 0) {
		errno = fail_reads_with;
		return -1;
	}
	return __real_file_pread(fd, out, n, offset);
}

/*
 * And opening, as a file system does that shows what it cannot open; by either
 * name that openat() has, the second one when it is fortified.
 */
static const char *fail_opening;
int __wrap_openat64(int dir, const char *name, int flags, ...);
int __real_openat64(int dir, const char *name, int flags, ...);
int __wrap___openat64_2(int dir, const char *name, int flags);
int __wrap_openat64(int dir, const char *name, int flags, ...)
{
	mode_t mode = 0;
	va_list ap;

	if (fail_opening && strcmp(name, fail_opening) == 0) {
		errno = ENOENT;
		return -1;
	}
	va_start(ap, flags);
	if (flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE)
		mode = va_arg(ap, mode_t);
	va_end(ap);
	return __real_openat64(dir, name, flags, mode);
}
int __wrap___openat64_2(int dir, const char *name, int flags)
{
	return __wrap_openat64(dir, name, flags);
}

/* A link can be made to have no target, as those of FUSE can. */
static bool links_are_empty;
ssize_t __wrap_readlinkat(int fd, const char *name, char *out, size_t n);
ssize_t __real_readlinkat(int fd, const char *name, char *out, size_t n);
ssize_t __wrap_readlinkat(int fd, const char *name, char *out, size_t n)
{
	return links_are_empty ? 0 : __real_readlinkat(fd, name, out, n);
}

START_TEST(a_link_without_a_target_is_named)
{
	CLEANUP(place_done) struct place p;

	place_init(&p);
	write_file("file", "x");
	ck_assert_int_eq(symlink("file", "link"), 0);
	links_are_empty = true;
	walk(&p);
	links_are_empty = false;
	ck_assert_int_eq(line_of(&p, "file")->state, SOURCE_OK);
	ck_assert_int_eq(line_of(&p, "link")->state, SOURCE_FAILED);
	ck_assert_uint_eq(p.list.error_count, 1);
	ck_assert_ptr_nonnull(
		strstr(p.list.errors[0], "/link: the link has no target"));
}
END_TEST

/* No file system of a test machine holds as many attributes as some do. */
static unsigned int attributes; /* of each file, of 64 KiB; 0: the true ones */
ssize_t __wrap_flistxattr(int fd, char *out, size_t n);
ssize_t __real_flistxattr(int fd, char *out, size_t n);
ssize_t __wrap_flistxattr(int fd, char *out, size_t n)
{
	const size_t len = sizeof("user.000");

	if (!attributes)
		return __real_flistxattr(fd, out, n);
	if (n < attributes * len) {
		errno = ERANGE;
		return -1;
	}
	for (unsigned int i = 0; i < attributes; i++)
		(void)snprintf(out + i * len, len, "user.%03u", i % 1000);
	return (ssize_t)(attributes * len);
}
ssize_t __wrap_fgetxattr(int fd, const char *name, void *out, size_t n);
ssize_t __real_fgetxattr(int fd, const char *name, void *out, size_t n);
ssize_t __wrap_fgetxattr(int fd, const char *name, void *out, size_t n)
{
	if (!attributes)
		return __real_fgetxattr(fd, name, out, n);
	ck_assert_uint_ge(n, 64 << 10);
	memset(out, 'x', 64 << 10);
	return 64 << 10;
}

START_TEST(attributes_that_are_too_large_are_left_out_and_named_once)
{
	CLEANUP(place_done) struct place p;

	place_init(&p);
	write_file("a", "x");
	write_file("b", "x");
	attributes = 255; /* 16 MiB hold 256 */
	walk(&p);
	ck_assert_uint_eq(p.list.error_count, 0);
	tree_list_done(&p.list);
	attributes = 300;
	walk(&p);
	attributes = 0;
	ck_assert_int_eq(line_of(&p, "a")->state, SOURCE_OK);
	ck_assert_int_eq(line_of(&p, "b")->state, SOURCE_OK);
	/* The folder is read by path, which is not made to say so. */
	ck_assert_uint_eq(p.list.error_count, 2);
	ck_assert_ptr_nonnull(
		strstr(p.list.errors[0],
		       "/a: its attributes are too large all together: left "
		       "out from \"user.256\" on"));
}
END_TEST

START_TEST(comes_in_the_order_of_trees)
{
	CLEANUP(place_done) struct place p;

	place_init(&p);
	make_folder("a");
	make_folder("a!");
	write_file("a/z", "");
	write_file("a!/b", "");
	write_file("a.c", "");
	write_file("B", "");
	write_file("\xff", "");
	walk(&p);
	expect_names(&p, "B a a/z a! a!/b a.c \xff");
}
END_TEST

static bool excludes(const void *arg, const char *path, size_t len,
		     bool is_folder)
{
	const char *name = strrchr(path, '/') + 1;

	ck_assert_ptr_eq(arg, excludes);
	ck_assert_uint_eq(strlen(path), len);
	return strcmp(name, "no") == 0 ||
	       (is_folder && strcmp(name, "no-folder") == 0);
}

START_TEST(what_is_excluded_is_not_looked_at)
{
	CLEANUP(place_done) struct place p;

	place_init(&p);
	make_folder("no");
	write_file("no/file", "");
	make_folder("a");
	write_file("a/no", "");
	write_file("a/yes", "");
	make_folder("no-folder");
	make_folder("b");
	write_file("b/no-folder", "");
	p.options.excluded = excludes;
	p.options.excluded_arg = excludes;
	walk(&p);
	expect_names(&p, "a a/yes b b/no-folder");
}
END_TEST

START_TEST(caches_are_told_by_their_tag)
{
	static const char tag[] =
		"Signature: 8a477f597d28d172789f06886806bc55\n# a cache\n";
	CLEANUP(place_done) struct place p;

	place_init(&p);
	make_folder("cache");
	make_folder("cache/below");
	write_file("cache/CACHEDIR.TAG", tag);
	write_file("cache/file", "");
	make_folder("not");
	write_file("not/CACHEDIR.TAG", "Signature: none");
	write_file("not/file", "");
	make_folder("trick");
	ck_assert_int_eq(symlink("../cache/CACHEDIR.TAG", "trick/CACHEDIR.TAG"),
			 0);
	p.options.exclude_caches = true;
	walk(&p);
	expect_names(&p, "cache cache/CACHEDIR.TAG not not/CACHEDIR.TAG "
			 "not/file trick trick/CACHEDIR.TAG");
	tree_list_done(&p.list);
	p.options.exclude_caches = false;
	walk(&p);
	ck_assert_ptr_nonnull(line_of(&p, "cache/file"));
}
END_TEST

START_TEST(folders_to_skip_are_left_out_wholly)
{
	CLEANUP(place_done) struct place p;
	struct files_identity skip;
	struct stat st;

	place_init(&p);
	make_folder("keep");
	make_folder("keep/repository");
	write_file("keep/repository/config", "");
	ck_assert_int_eq(stat("keep/repository", &st), 0);
	skip = (struct files_identity){ st.st_dev, st.st_ino };
	p.options.skip = &skip;
	p.options.skip_count = 1;
	walk(&p);
	expect_names(&p, "keep");
}
END_TEST

START_TEST(holes_are_holes_and_cost_nothing)
{
	CLEANUP(place_done) struct place p;
	const int64_t size = (int64_t)1 << 40;
	int fd;

	place_init(&p);
	fd = open("sparse", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, "x", 1, (int64_t)1 << 30), 1);
	ck_assert_int_eq(ftruncate(fd, size), 0);
	(void)close(fd);
	fd = open("all-hole", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_eq(ftruncate(fd, 1), 0);
	(void)close(fd);
	{
		CLEANUP(source_close) struct source *s = NULL;
		struct err e = { 0 };
		struct entry en;
		uint64_t holes[2] = { 0 };
		uint64_t total[2] = { 0 };
		int files = 0;

		ck_ok(files_open(&p.options, &s, &e));
		while (source_next(s, &en, &e) > 0) {
			CLEANUP(source_release) struct source_handle *h = NULL;
			struct source_extent x;
			char bytes[4096];

			if (en.type != ENTRY_FILE)
				continue;
			ck_ok(source_take(s, &h, &e));
			ck_assert_int_eq(source_describe(h, &en, &e), 1);
			while (source_read(h, bytes, sizeof(bytes), &x, &e) >
			       0) {
				total[files] += x.len;
				holes[files] += x.hole ? x.len : 0;
			}
			ck_assert_int_eq(source_finish(h, &en), SOURCE_OK);
			ck_assert_uint_eq(en.size, total[files]);
			files++;
		}
		ck_assert_int_eq(files, 2);
		ck_assert_uint_eq(total[0], 1);
		ck_assert_uint_eq(holes[0], 1);
		ck_assert_uint_eq(total[1], size);
		ck_assert_uint_ge(holes[1], (uint64_t)size - (1 << 20));
		ck_assert_uint_lt(holes[1], (uint64_t)size);
	}
}
END_TEST

/* More names than lie in memory.  Links, since making files is slow. */
START_TEST(large_folders)
{
	CLEANUP(place_done) struct place p;
	CLEANUP(source_close) struct source *s = NULL;
	struct err e = { 0 };
	struct entry en;
	char last[256] = "";
	unsigned int n = 0;
	char name[300];
	int i;

	place_init(&p);
	make_folder("large");
	write_file("large/0", "");
	for (i = 1; i < 5000; i++) {
		(void)snprintf(name, sizeof(name), "large/%d-%0230d", i, i);
		ck_assert_int_eq(link("large/0", name), 0);
	}
	p.options.temporary = p.dir.path;
	ck_ok(files_open(&p.options, &s, &e));
	while (source_next(s, &en, &e) > 0) {
		const char *tail = strrchr(en.path, '/') + 1;

		if (en.type != ENTRY_FILE)
			continue;
		ck_assert_int_gt(strcmp(tail, last), 0);
		(void)snprintf(last, sizeof(last), "%s", tail);
		n++;
	}
	ck_assert_uint_eq(n, 5000);
}
END_TEST

START_TEST(deeper_than_a_path_can_say)
{
	CLEANUP(place_done) struct place p;
	CLEANUP(source_close) struct source *s = NULL;
	struct source_handle *last = NULL;
	struct err e = { 0 };
	struct entry en;
	struct entry copy;
	struct source_extent x;
	char bytes[8];
	int i;

	place_init(&p);
	for (i = 0; i < 600; i++) {
		make_folder("folder-that-is-deep");
		ck_assert_int_eq(chdir("folder-that-is-deep"), 0);
	}
	write_file("end", "found");
	ck_ok(files_open(&p.options, &s, &e));
	while (source_next(s, &en, &e) > 0) {
		if (en.type != ENTRY_FILE)
			continue;
		ck_assert_uint_gt(en.path_len, 11000);
		ck_ok(source_take(s, &last, &e));
		ck_ok(entry_copy(&copy, &en, &e));
	}
	ck_assert_ptr_nonnull(last);
	ck_assert_int_eq(source_describe(last, &copy, &e), 1);
	ck_assert_int_eq(source_read(last, bytes, sizeof(bytes), &x, &e), 1);
	ck_assert_mem_eq(bytes, "found", 5);
	source_release(last);
	entry_done(&copy);
	ck_assert_uint_eq(p.list.error_count, 0);
}
END_TEST

/* More handles than descriptors are kept: folders are opened again. */
START_TEST(handles_outlive_the_walk)
{
	CLEANUP(place_done) struct place p;
	CLEANUP(source_close) struct source *s = NULL;
	static struct source_handle *handles[400];
	struct err e = { 0 };
	char name[64];
	struct entry en;
	size_t n = 0;
	size_t i;

	place_init(&p);
	for (i = 0; i < 400; i++) {
		(void)snprintf(name, sizeof(name), "%03zu", i);
		make_folder(name);
		(void)snprintf(name, sizeof(name), "%03zu/file", i);
		write_file(name, name);
	}
	ck_ok(files_open(&p.options, &s, &e));
	while (source_next(s, &en, &e) > 0)
		if (en.type == ENTRY_FILE)
			ck_ok(source_take(s, &handles[n++], &e));
	ck_assert_uint_eq(n, 400);
	/* One of the first folders, whose descriptor was given up. */
	ck_assert_int_eq(rename("001", "moved"), 0);
	make_folder("001");
	write_file("001/file", "not the one");
	for (i = 0; i < n; i++) {
		struct source_extent x;
		char bytes[64];

		en = (struct entry){ .path = "/x", .path_len = 2 };
		if (i == 1) {
			ck_assert_int_eq(source_describe(handles[i], &en, &e),
					 0);
			ck_assert_int_eq(source_finish(handles[i], &en),
					 SOURCE_VANISHED);
		} else {
			(void)snprintf(name, sizeof(name), "%03zu/file", i);
			ck_assert_int_eq(source_describe(handles[i], &en, &e),
					 1);
			ck_assert_int_eq(source_read(handles[i], bytes,
						     sizeof(bytes), &x, &e),
					 1);
			ck_assert_mem_eq(bytes, name, 8);
			ck_assert_int_eq(source_finish(handles[i], &en),
					 SOURCE_OK);
		}
		source_release(handles[i]);
	}
	ck_assert_uint_eq(p.list.error_count, 1);
	ck_assert_ptr_nonnull(strstr(p.list.errors[0], "/001: it vanished"));
}
END_TEST

/* More names than are read ahead, so that what comes after them is late. */
#define LATE 17000U

START_TEST(a_folder_that_goes_before_those_in_it_were_listed)
{
	CLEANUP(place_done) struct place p;
	CLEANUP(source_close) struct source *s = NULL;
	struct source_progress at = { 0 };
	struct err e = { 0 };
	char name[64];
	struct entry en;
	unsigned int i;

	place_init(&p);
	make_folder("a");
	make_folder("a/1");
	make_folder("a/2");
	write_file("a/2/file", "");
	/* More than descriptors are kept: that of "a" is given up. */
	for (i = 0; i < 400; i++) {
		(void)snprintf(name, sizeof(name), "a/1/%03u", i);
		make_folder(name);
	}
	make_folder("a/1/late");
	write_file("a/1/late/0", "");
	for (i = 1; i < LATE; i++) {
		(void)snprintf(name, sizeof(name), "a/1/late/%u", i);
		ck_assert_int_eq(link("a/1/late/0", name), 0);
	}
	p.options.threads = 1;
	ck_ok(files_open(&p.options, &s, &e));
	while (at.entries_found < LATE) {
		clock_sleep_ms(1);
		source_progress(s, &at);
	}
	ck_assert(!at.all_found);
	ck_assert_int_eq(rename("a", "b"), 0);
	while (source_next(s, &en, &e) > 0)
		ck_assert_ptr_null(strstr(en.path, "/2/file"));
	ck_assert_uint_eq(p.list.error_count, 1);
	ck_assert_ptr_nonnull(strstr(p.list.errors[0], "/a: it vanished"));
}
END_TEST

/* What happens between source_next() and source_describe(), and after. */
typedef void change(const char *path);

static void remove_it(const char *path)
{
	ck_assert_int_eq(unlink(path), 0);
}

static void become_fifo(const char *path)
{
	remove_it(path);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
}

static void become_link(const char *path)
{
	remove_it(path);
	ck_assert_int_eq(symlink("/etc/passwd", path), 0);
}

static void become_folder(const char *path)
{
	remove_it(path);
	make_folder(path);
}

static void become_another(const char *path)
{
	write_file("new", "another file");
	ck_assert_int_eq(rename("new", path), 0);
}

static void grow(const char *path)
{
	write_file(path, "more");
}

static void shrink(const char *path)
{
	ck_assert_int_eq(truncate(path, 2), 0);
}

static void touch(const char *path)
{
	const struct timespec times[2] = { { 1, 2 }, { 3, 4 } };

	ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void nothing(const char *path)
{
	(void)path;
}

static const struct {
	change *before; /* it is described */
	change *during; /* reading: after the first byte */
	enum source_state state;
	const char *content; /* when it is recorded */
} changes[] = {
	{ nothing, nothing, SOURCE_OK, "0123456789" },
	{ remove_it, nothing, SOURCE_VANISHED, NULL },
	{ become_fifo, nothing, SOURCE_VANISHED, NULL },
	{ become_link, nothing, SOURCE_VANISHED, NULL },
	{ become_folder, nothing, SOURCE_VANISHED, NULL },
	{ become_another, nothing, SOURCE_OK, "another file" },
	{ grow, nothing, SOURCE_OK, "0123456789more" },
	{ shrink, nothing, SOURCE_OK, "01" },
	{ nothing, grow, SOURCE_GREW, "0123456789" },
	{ nothing, shrink, SOURCE_SHRANK, "01" },
	{ nothing, touch, SOURCE_CHANGED, "0123456789" },
	{ nothing, become_another, SOURCE_CHANGED, "0123456789" },
};

static void read_with_change(struct source_handle *h, change *during, char *out,
			     size_t *ret_len)
{
	struct source_extent x;
	struct err e = { 0 };
	size_t n = 0;

	ck_assert_int_eq(source_read(h, out, 1, &x, &e), 1);
	ck_assert_uint_eq(x.len, 1);
	/* The clock of file times ticks every few milliseconds. */
	clock_sleep_ms(20);
	during("file");
	for (n = 1; source_read(h, out + n, 3, &x, &e) > 0; n += x.len)
		ck_assert(!x.hole);
	*ret_len = n;
}

START_TEST(what_does_not_hold_still_has_a_stated_result)
{
	CLEANUP(place_done) struct place p;
	CLEANUP(source_close) struct source *s = NULL;
	CLEANUP(source_release) struct source_handle *h = NULL;
	struct err e = { 0 };
	struct entry en;
	char got[64] = "";
	size_t n = 0;
	enum source_state state;

	place_init(&p);
	write_file("file", "0123456789");
	ck_ok(files_open(&p.options, &s, &e));
	while (source_next(s, &en, &e) > 0 && en.type != ENTRY_FILE)
		continue;
	ck_ok(source_take(s, &h, &e));
	changes[_i].before("file");
	if (source_describe(h, &en, &e) > 0)
		read_with_change(h, changes[_i].during, got, &n);
	state = source_finish(h, &en);
	ck_assert_str_eq(source_state_name(state),
			 source_state_name(changes[_i].state));
	ck_assert(source_state_recorded(state) == !!changes[_i].content);
	ck_assert_int_eq(!!(en.flags & ENTRY_CHANGED),
			 state != SOURCE_OK && state != SOURCE_VANISHED);
	if (changes[_i].content) {
		ck_assert_uint_eq(en.size, n);
		ck_assert_uint_eq(n, strlen(changes[_i].content));
		ck_assert_mem_eq(got, changes[_i].content, n);
	}
	ck_assert_uint_eq(p.list.error_count, 0);
}
END_TEST

START_TEST(a_read_error_leaves_the_file_out)
{
	CLEANUP(place_done) struct place p;

	place_init(&p);
	write_file("file", "");
	ck_assert_int_eq(truncate("file", 0), 0);
	{
		char bytes[2500];

		memset(bytes, 'x', sizeof(bytes) - 1);
		bytes[sizeof(bytes) - 1] = '\0';
		write_file("file", bytes);
	}
	write_file("other", "x");
	fail_reads_with = EIO;
	walk(&p);
	fail_reads_with = 0;
	ck_assert_int_eq(line_of(&p, "file")->state, SOURCE_FAILED);
	ck_assert_int_eq(line_of(&p, "other")->state, SOURCE_OK);
	ck_assert_uint_eq(p.list.error_count, 1);
	ck_assert_ptr_nonnull(
		strstr(p.list.errors[0], "/file: cannot read it: "));
}
END_TEST

START_TEST(what_cannot_be_opened_and_is_still_there_has_not_vanished)
{
	CLEANUP(place_done) struct place p;

	place_init(&p);
	write_file("stubborn", "x");
	make_folder("a");
	make_folder("a/stubborn");
	write_file("a/stubborn/file", "x");
	fail_opening = "stubborn";
	walk(&p);
	fail_opening = NULL;
	expect_names(&p, "a a/stubborn stubborn");
	ck_assert_int_eq(line_of(&p, "stubborn")->state, SOURCE_FAILED);
	ck_assert_int_eq(line_of(&p, "a/stubborn")->state, SOURCE_FAILED);
	ck_assert_uint_eq(p.list.error_count, 3);
	ck_assert_ptr_nonnull(
		strstr(p.list.errors[0], "/a/stubborn: cannot open it: "));
	ck_assert_ptr_nonnull(strstr(p.list.errors[1],
				     "/a/stubborn: cannot list the folder: "));
	ck_assert_ptr_nonnull(
		strstr(p.list.errors[2], "/stubborn: cannot open it: "));
}
END_TEST

START_TEST(what_is_not_permitted_is_named)
{
	CLEANUP(place_done) struct place p;
	const bool root = geteuid() == 0;

	place_init(&p);
	write_file("closed", "x");
	make_folder("hidden");
	write_file("hidden/file", "x");
	write_file("open", "x");
	ck_assert_int_eq(chmod("closed", 0), 0);
	ck_assert_int_eq(chmod("hidden", 0), 0);
	ck_assert_int_eq(chmod("open", 0644), 0);
	ck_assert_int_eq(chmod(".", 0755), 0);
	if (root)
		ck_assert_int_eq(seteuid(65534), 0);
	walk(&p);
	if (root)
		ck_assert_int_eq(seteuid(0), 0);
	expect_names(&p, "closed hidden open");
	ck_assert_int_eq(line_of(&p, "closed")->state, SOURCE_FAILED);
	ck_assert_int_eq(line_of(&p, "open")->state, SOURCE_OK);
	ck_assert_uint_eq(p.list.error_count, 2);
	ck_assert_ptr_nonnull(
		strstr(p.list.errors[0], "/closed: cannot open it: "));
	ck_assert_ptr_nonnull(
		strstr(p.list.errors[1], "/hidden: cannot list the folder: "));
}
END_TEST

START_TEST(hard_links_share_a_number)
{
	CLEANUP(place_done) struct place p;

	place_init(&p);
	write_file("a", "x");
	write_file("b", "x");
	write_file("c", "x");
	ck_assert_int_eq(link("a", "a2"), 0);
	ck_assert_int_eq(link("b", "b2"), 0);
	walk(&p);
	ck_assert_uint_eq(line_of(&p, "a")->group[1],
			  line_of(&p, "a2")->group[1]);
	ck_assert_uint_eq(line_of(&p, "b")->group[1],
			  line_of(&p, "b2")->group[1]);
	ck_assert_uint_ne(line_of(&p, "a")->group[1],
			  line_of(&p, "b")->group[1]);
	ck_assert_uint_eq(line_of(&p, "c")->group[0], 0);
}
END_TEST

START_TEST(the_access_time_is_left_alone)
{
	CLEANUP(place_done) struct place p;
	const struct timespec times[2] = { { 1000, 0 }, { 2000000000, 0 } };
	struct stat st;

	place_init(&p);
	write_file("file", "x");
	ck_assert_int_eq(utimensat(AT_FDCWD, "file", times, 0), 0);
	ck_assert_int_eq(utimensat(AT_FDCWD, ".", times, 0), 0);
	walk(&p);
	ck_assert_int_eq(stat("file", &st), 0);
	ck_assert_int_eq(st.st_atime, 1000);
	ck_assert_int_eq(stat(".", &st), 0);
	ck_assert_int_eq(st.st_atime, 1000);
}
END_TEST

START_TEST(progress_ends_where_the_walk_does)
{
	CLEANUP(place_done) struct place p;
	CLEANUP(source_close) struct source *s = NULL;
	struct source_progress at;
	struct err e = { 0 };
	struct entry en;
	uint64_t n = 0;

	place_init(&p);
	make_folder("a");
	write_file("a/b", "12345");
	write_file("c", "123");
	ck_ok(files_open(&p.options, &s, &e));
	while (source_next(s, &en, &e) > 0)
		n++;
	source_progress(s, &at);
	ck_assert(at.all_found);
	ck_assert_uint_eq(at.entries_delivered, n);
	ck_assert_uint_eq(at.entries_found, n);
	ck_assert_uint_eq(at.bytes_delivered, 8);
	ck_assert_uint_eq(at.bytes_found, 8);
	ck_assert_int_eq(source_next(s, &en, &e), 0);
	ck_assert_uint_eq(source_features(s), 0);
}
END_TEST

START_TEST(closing_early_gives_everything_back)
{
	CLEANUP(place_done) struct place p;
	struct err e = { 0 };
	char name[32];
	int stop;
	int i;

	place_init(&p);
	for (i = 0; i < 50; i++) {
		(void)snprintf(name, sizeof(name), "%d", i);
		make_folder(name);
		(void)snprintf(name, sizeof(name), "%d/below", i);
		make_folder(name);
	}
	for (stop = 0; stop < 60; stop += 3) {
		CLEANUP(source_close) struct source *s = NULL;
		struct entry en;

		ck_ok(files_open(&p.options, &s, &e));
		for (i = 0; i < stop; i++)
			ck_assert_int_eq(source_next(s, &en, &e), 1);
	}
}
END_TEST

static int story(void *arg, struct err *e)
{
	struct place *p = arg;
	CLEANUP(source_close) struct source *s = NULL;
	struct entry en;
	int r;

	if (files_open(&p->options, &s, e) < 0)
		return -1;
	while ((r = source_next(s, &en, e)) > 0) {
		CLEANUP(source_release) struct source_handle *h = NULL;

		if (source_take(s, &h, e) < 0 || source_describe(h, &en, e) < 0)
			return -1;
	}
	return r;
}

START_TEST(out_of_memory_ends_the_walk)
{
	CLEANUP(place_done) struct place p;

	place_init(&p);
	make_folder("a");
	write_file("a/file", "x");
	ck_assert_int_eq(link("a/file", "a/link"), 0);
	ck_assert_int_eq(symlink("to", "a/symlink"), 0);
	ck_assert_uint_gt(alloc_fail_each(story, &p), 5);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, a_link_without_a_target_is_named);
	tcase_add_test(
		tc, attributes_that_are_too_large_are_left_out_and_named_once);
	tcase_add_test(tc, comes_in_the_order_of_trees);
	tcase_add_test(tc, what_is_excluded_is_not_looked_at);
	tcase_add_test(tc, caches_are_told_by_their_tag);
	tcase_add_test(tc, folders_to_skip_are_left_out_wholly);
	tcase_add_test(tc, holes_are_holes_and_cost_nothing);
	tcase_add_test(tc, large_folders);
	tcase_add_test(tc, deeper_than_a_path_can_say);
	tcase_add_test(tc, handles_outlive_the_walk);
	tcase_add_test(tc, a_folder_that_goes_before_those_in_it_were_listed);
	tcase_add_loop_test(tc, what_does_not_hold_still_has_a_stated_result, 0,
			    (int)(sizeof(changes) / sizeof(changes[0])));
	tcase_add_test(tc, a_read_error_leaves_the_file_out);
	tcase_add_test(
		tc, what_cannot_be_opened_and_is_still_there_has_not_vanished);
	tcase_add_test(tc, what_is_not_permitted_is_named);
	tcase_add_test(tc, hard_links_share_a_number);
	tcase_add_test(tc, the_access_time_is_left_alone);
	tcase_add_test(tc, progress_ends_where_the_walk_does);
	tcase_add_test(tc, closing_early_gives_everything_back);
	tcase_add_test(tc, out_of_memory_ends_the_walk);
}
CHECK_MAIN("storage/sources/files", cases)

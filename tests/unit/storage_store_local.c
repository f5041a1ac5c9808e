/*
 * What only the store in a folder promises: its URLs, its files, and that
 * nothing planted in the folder, or taken from it, passes for an answer.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/seam.h"
#include "storage/stores/store.h"
#include "tests/support/check_main.h"
#include "tests/support/scratch.h"

static struct scratch dir;
static struct store *store;
static struct err e;

/* A path below the test's folder; lives on the caller's stack. */
struct path {
	char s[SCRATCH_PATH + 256];
};
static struct path at(const char *below)
{
	struct path p;

	(void)snprintf(p.s, sizeof(p.s), "%s/%s", dir.path, below);
	return p;
}

static void set_up(void)
{
	err_clear(&e);
	scratch_init(&dir);
	ck_ok(store_open(at("s").s, true, &store, &e));
}

static void tear_down(void)
{
	seam_set_hook(NULL, NULL);
	store_close(store);
	scratch_done(&dir);
}

static void put(const char *name, const char *text)
{
	ck_ok(store_put(store, name, text, strlen(text), 0, &e));
}

static int append_name(void *arg, const struct store_entry *entry,
		       struct err *err)
{
	return buf_addf(arg, err, "%s ", entry->name);
}

static void expect_list(const char *prefix, const char *text)
{
	CLEANUP(buf_done) struct buf b;

	buf_init(&b, 10000);
	ck_ok(store_list(store, prefix, append_name, &b, &e));
	ck_assert_str_eq(buf_str(&b), text);
}

static void expect_no_list(const char *prefix, enum err_code code)
{
	CLEANUP(buf_done) struct buf b;

	buf_init(&b, 10000);
	ck_assert_int_eq(store_list(store, prefix, append_name, &b, &e), -1);
	ck_assert_int_eq(e.code, code);
}

static void write_file(const char *below, const char *text)
{
	FILE *f = fopen(at(below).s, "we");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

/* How many entries a folder below the test's has. */
static unsigned int count(const char *below)
{
	DIR *d = opendir(at(below).s);
	const struct dirent *entry;
	unsigned int n = 0;

	if (!d)
		return 0;
	while ((entry = readdir(d)) != NULL)
		n += entry->d_name[0] != '.';
	(void)closedir(d);
	return n;
}

static void make_old(const char *below, time_t seconds)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_NOW },
				     { .tv_nsec = 0 } };

	times[1].tv_sec = clock_now().sec - seconds;
	ck_assert_int_eq(utimensat(AT_FDCWD, at(below).s, times, 0), 0);
}

static void refuse_url(const char *url, enum err_code code, const char *says)
{
	struct store *none = NULL;

	err_clear(&e);
	ck_assert_int_eq(store_open(url, false, &none, &e), -1);
	ck_assert_msg(e.code == code, "%s: %s", url, e.text);
	ck_assert_msg(strstr(e.text, says) != NULL, "%s: %s", url, e.text);
	ck_assert_ptr_null(none);
}

START_TEST(urls_that_make_no_sense)
{
	char longest[1100];

	set_up();
	refuse_url("", ERR_USAGE, "empty");
	refuse_url("ftp://x/y", ERR_USAGE, "file:, s3:, mem:");
	refuse_url("a:b", ERR_USAGE, "unknown scheme \"a\"");
	refuse_url("file://host/x", ERR_USAGE, "absolute");
	refuse_url("file:x", ERR_USAGE, "absolute");
	refuse_url("file:", ERR_USAGE, "absolute");
	refuse_url("file:///a%2", ERR_USAGE, "percent");
	refuse_url("file:///a%zz", ERR_USAGE, "percent");
	refuse_url("file:///a%00b", ERR_USAGE, "percent");
	refuse_url("file:///a?b=c", ERR_USAGE, "%3F");
	refuse_url("mem:", ERR_USAGE, "name");
	refuse_url("mem:nobody-made-it", ERR_NOT_FOUND, "no such store");
	memset(longest, 'a', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	refuse_url(longest, ERR_USAGE, "longer");
	refuse_url(at("nothing").s, ERR_NOT_FOUND, "no such folder");
	ck_assert_str_ne(e.hint, "");
	write_file("plain", "");
	refuse_url(at("plain").s, ERR_USAGE, "not a folder");
	refuse_url(at("plain/below").s, ERR_USAGE, "not a folder");
	tear_down();
}
END_TEST

START_TEST(a_url_a_path_and_a_relative_path_mean_the_same)
{
	char url[SCRATCH_PATH + 32];
	struct store *other = NULL;
	uint64_t size = 0;

	set_up();
	store_close(store);
	ck_ok(store_open(at("a b%").s, true, &store, &e));
	put("x", "123");
	(void)snprintf(url, sizeof(url), "file://%s/a%%20b%%25", dir.path);
	ck_ok(store_open(url, false, &other, &e));
	ck_assert_str_eq(other->url, url);
	ck_assert_int_eq(store_size(other, "x", &size, &e), 1);
	store_close(other);
	ck_assert_int_eq(chdir(dir.path), 0);
	ck_ok(store_open("a b%", false, &other, &e));
	ck_assert_int_eq(store_size(other, "x", &size, &e), 1);
	store_close(other);
	ck_assert_int_eq(chdir("/"), 0);
	tear_down();
}
END_TEST

START_TEST(locations_that_are_one_are_known)
{
	static const struct {
		const char *a, *b;
		bool same;
	} rows[] = {
		{ "/a", "/a", true },
		{ "/a", "file:///a", true },
		{ "file:///a%20b", "/a b", true },
		{ "file:///a%20b", "/a%20b", false },
		{ "file:///a%2520b", "/a%20b", true },
		{ "file:///a%zz", "file:///a%zz", true },
		{ "file:///a%zz", "/a%zz", false },
		{ "mem:a", "mem:a", true },
		{ "mem:a", "mem:b", false },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		ck_assert_int_eq(store_local_same(rows[i].a, rows[i].b),
				 rows[i].same);
		ck_assert_int_eq(store_local_same(rows[i].b, rows[i].a),
				 rows[i].same);
	}
}
END_TEST

static mode_t mode_of(const char *below)
{
	struct stat st;

	ck_assert_int_eq(stat(at(below).s, &st), 0);
	return st.st_mode & 07777;
}

START_TEST(objects_and_folders_are_their_owners_alone)
{
	set_up();
	put("data/ab/1", "x");
	ck_ok(store_put(store, "sessions/1", "x", 1, STORE_REPLACE, &e));
	ck_assert_int_eq(mode_of("s"), 0700);
	ck_assert_int_eq(mode_of("s/tmp"), 0700);
	ck_assert_int_eq(mode_of("s/data"), 0700);
	ck_assert_int_eq(mode_of("s/data/ab"), 0700);
	ck_assert_int_eq(mode_of("s/data/ab/1"), 0400);
	ck_assert_int_eq(mode_of("s/sessions/1"), 0400);
	ck_assert_uint_eq(count("s/tmp"), 0);
	tear_down();
}
END_TEST

START_TEST(opening_and_reading_write_nothing)
{
	uint64_t size;

	set_up();
	ck_assert_int_eq(store_size(store, "a/b", &size, &e), 0);
	expect_list("", "");
	ck_ok(store_remove(store, "a/b", &e));
	ck_assert_uint_eq(count("s"), 0);
	tear_down();
}
END_TEST

START_TEST(foreign_files_are_left_alone_and_unseen)
{
	set_up();
	put("data/1", "x");
	write_file("s/.DS_Store", "x");
	write_file("s/data/.nfs0001", "x");
	write_file("s/README", "x");
	ck_assert_int_eq(mkdir(at("s/lost+found").s, 0700), 0);
	write_file("s/lost+found/x", "x");
	expect_list("", "data/1 ");
	ck_assert_uint_eq(count("s/lost+found"), 1);
	tear_down();
}
END_TEST

#define PART "0123456789abcdef0123456789abcdef.part"

START_TEST(dead_uploads_are_swept_after_a_day_by_a_writer)
{
	set_up();
	put("a", "x");
	write_file("s/tmp/" PART, "old");
	make_old("s/tmp/" PART, 25 * 3600);
	write_file("s/tmp/1" PART, "not ours");
	make_old("s/tmp/1" PART, 25 * 3600);
	write_file("s/tmp/ffffffffffffffffffffffffffffffff.part", "young");
	make_old("s/tmp/ffffffffffffffffffffffffffffffff.part", 23 * 3600);
	store_close(store);
	ck_ok(store_open(at("s").s, false, &store, &e));
	expect_list("", "a ");
	ck_assert_uint_eq(count("s/tmp"), 3); /* a reader removes nothing */
	put("b", "x");
	ck_assert_uint_eq(count("s/tmp"), 2);
	ck_assert_int_eq(access(at("s/tmp/" PART).s, F_OK), -1);
	tear_down();
}
END_TEST

static bool is_older(const char *below, time_t seconds)
{
	struct stat st;

	ck_assert_int_eq(stat(at(below).s, &st), 0);
	return st.st_mtime < clock_now().sec - seconds;
}

/* The only upload that is under way. */
static struct path part_name(void)
{
	DIR *d = opendir(at("s/tmp").s);
	const struct dirent *entry;
	struct path p = { "" };

	ck_assert_ptr_nonnull(d);
	while ((entry = readdir(d)) != NULL)
		if (entry->d_name[0] != '.')
			(void)snprintf(p.s, sizeof(p.s), "s/tmp/%s",
				       entry->d_name);
	(void)closedir(d);
	return p;
}

/*
 * A pack may stay open for days in a session that finds everything stored
 * already; what it puts meanwhile (its counter) keeps the pack alive.
 */
START_TEST(an_open_upload_is_not_swept)
{
	struct store_upload *u = NULL;
	struct store_upload *other = NULL;
	struct store *sweeper = NULL;
	struct path part;

	set_up();
	ck_ok(store_begin(store, "data/pack", 0, 0, &u, &e));
	ck_ok(store_append(u, "x", 1, &e));
	part = part_name();
	make_old(part.s, 1800);
	put("sessions/1", "1");
	ck_assert(is_older(part.s, 1700)); /* half an hour is nothing */
	for (int day = 0; day < 3; day++) {
		make_old(part.s, 23 * 3600);
		put(day ? "sessions/2" : "sessions/3", "2");
		ck_assert(!is_older(part.s, 60));
		ck_ok(store_remove(store, "sessions/2", &e));
	}
	/* One that ended is nobody's to touch any more. */
	ck_ok(store_begin(store, "data/other", 0, 0, &other, &e));
	store_abort(other);
	ck_ok(store_begin(store, "data/other", 0, 0, &other, &e));
	ck_ok(store_commit(other, &e));
	make_old("s/data/other", 25 * 3600);
	put("sessions/4", "4");
	ck_assert(is_older("s/data/other", 24 * 3600));
	ck_ok(store_open(at("s").s, false, &sweeper, &e));
	ck_ok(store_put(sweeper, "a", "x", 1, 0, &e));
	store_close(sweeper);
	ck_ok(store_commit(u, &e));
	expect_list("data/", "data/other data/pack ");
	tear_down();
}
END_TEST

/*
 * A file system may show a name that is renamed over while its folder is read
 * not at all (btrfs: under its old place it is gone, the new one lies behind
 * what the reading takes in).
 */
static const char *hidden;
static unsigned int hidings; /* how often it will happen */
struct dirent *__wrap_readdir64(DIR *d);
struct dirent *__real_readdir64(DIR *d);
struct dirent *__wrap_readdir64(DIR *d)
{
	struct dirent *entry = __real_readdir64(d);

	if (!entry || !hidings || strcmp(entry->d_name, hidden) != 0)
		return entry;
	hidings--;
	write_file("s/new", "2");
	ck_assert_int_eq(renameat(AT_FDCWD, at("s/new").s, dirfd(d), hidden),
			 0);
	return __real_readdir64(d);
}

START_TEST(what_is_replaced_while_it_is_listed_is_listed)
{
	set_up();
	put("sessions/1", "1");
	put("sessions/2", "1");
	put("sessions/3", "1");
	hidden = "2";
	for (unsigned int n = 0; n <= 3; n++) {
		hidings = n;
		expect_list("sessions/", "sessions/1 sessions/2 sessions/3 ");
		ck_assert_uint_eq(hidings, 0);
	}
	/* Also in the moment after another change. */
	for (int i = 0; i < 100; i++) {
		hidings = 1;
		put("sessions/4", "1");
		expect_list("sessions/2", "sessions/2 ");
		ck_assert_uint_eq(hidings, 0);
		ck_ok(store_remove(store, "sessions/4", &e));
	}
	tear_down();
}
END_TEST

START_TEST(symbolic_links_are_not_followed)
{
	uint64_t size;
	size_t got;
	char c;

	set_up();
	put("data/ab/1", "x");
	put("meta/1", "x");
	ck_assert_int_eq(mkdir(at("outside").s, 0700), 0);
	write_file("outside/1", "secret");
	/* In the place of an object. */
	ck_assert_int_eq(symlink("../../outside/1", at("s/meta/2").s), 0);
	ck_assert_int_eq(store_read(store, "meta/2", 0, &c, 1, &got, &e), -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	ck_assert_int_eq(store_size(store, "meta/2", &size, &e), -1);
	expect_no_list("meta/", ERR_CORRUPT);
	expect_list("data/", "data/ab/1 ");
	/* It is replaced as a name, not written through. */
	ck_ok(store_put(store, "meta/2", "y", 1, STORE_REPLACE, &e));
	ck_assert_int_eq(store_size(store, "meta/2", &size, &e), 1);
	expect_list("meta/", "meta/1 meta/2 ");
	/* In the place of a folder. */
	ck_assert_int_eq(symlink("../../outside", at("s/data/zz").s), 0);
	ck_assert_int_eq(store_read(store, "data/zz/1", 0, &c, 1, &got, &e),
			 -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	ck_assert_int_eq(store_put(store, "data/zz/2", "x", 1, 0, &e), -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	ck_assert_int_eq(store_remove(store, "data/zz/1", &e), -1);
	expect_no_list("", ERR_CORRUPT);
	expect_no_list("data/z", ERR_CORRUPT);
	expect_no_list("data/zz/", ERR_CORRUPT);
	ck_assert_ptr_nonnull(strstr(e.text, "\"data/zz\" is neither"));
	ck_assert_uint_eq(count("outside"), 1);
	tear_down();
}
END_TEST

/* It begins in the folder that its prefix names, and in no other. */
START_TEST(a_listing_goes_only_where_objects_are)
{
	static const char *const nowhere[] = {
		"../",	 "../s/", "/",	       "data//",
		"tmp/",	 "./",	  "data/..",   "data/../meta/",
		"Data/", "none/", "data/n/n/", ".data/",
		"data/2"
	};
	char name[STORE_NAME_MAX + 10];
	char listed[sizeof(name) + 1];

	set_up();
	put("data/1", "x");
	put("data/1a/2", "x");
	put("meta/1", "x");
	put("top", "x");
	ck_assert_int_eq(mkdir(at("s/Data").s, 0700), 0);
	write_file("s/Data/1", "x");
	write_file("s/tmp/1", "x");
	for (size_t i = 0; i < sizeof(nowhere) / sizeof(nowhere[0]); i++)
		expect_list(nowhere[i], "");
	for (size_t n = STORE_NAME_MAX - 3; n < STORE_NAME_MAX + 3; n++) {
		memset(name, 'a', n);
		memcpy(name + n, "/", 2);
		expect_list(name, "");
	}
	memcpy(name + STORE_NAME_MAX - 2, "/b", 3);
	put(name, "x");
	(void)snprintf(listed, sizeof(listed), "%s ", name);
	name[STORE_NAME_MAX - 1] = '\0';
	expect_list(name, listed);
	expect_list("data/", "data/1 data/1a/2 ");
	expect_list("data/1", "data/1 data/1a/2 ");
	expect_list("data/1a/", "data/1a/2 ");
	expect_list("data", "data/1 data/1a/2 ");
	expect_list("t", "top ");
	/* What it does not go through does not disturb it. */
	ck_assert_int_eq(symlink("meta", at("s/oddly").s), 0);
	expect_no_list("", ERR_CORRUPT);
	expect_list("meta/", "meta/1 ");
	expect_no_list("oddly/", ERR_CORRUPT);
	expect_no_list("oddly/x/y/", ERR_CORRUPT);
	/* Nothing lies below an object. */
	expect_list("data/1/", "");
	expect_list("data/1/2/", "");
	tear_down();
}
END_TEST

START_TEST(a_planted_tmp_is_not_written_through)
{
	set_up();
	ck_assert_int_eq(mkdir(at("outside").s, 0700), 0);
	ck_assert_int_eq(symlink("../outside", at("s/tmp").s), 0);
	ck_assert_int_eq(store_put(store, "a", "x", 1, 0, &e), -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	ck_assert_uint_eq(count("outside"), 0);
	tear_down();
}
END_TEST

START_TEST(what_is_no_file_is_no_object)
{
	size_t got;
	char c;

	set_up();
	put("keys/1", "x");
	ck_assert_int_eq(mkfifo(at("s/keys/2").s, 0600), 0);
	/* Neither waits for a writer nor passes for absent. */
	ck_assert_int_eq(store_read(store, "keys/2", 0, &c, 1, &got, &e), -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	expect_no_list("keys/", ERR_CORRUPT);
	ck_assert_int_eq(store_put(store, "keys", "x", 1, 0, &e), -1);
	ck_assert_int_eq(store_put(store, "keys", "x", 1, STORE_REPLACE, &e),
			 -1);
	ck_assert_int_eq(store_put(store, "keys/1/x", "x", 1, 0, &e), -1);
	ck_assert_uint_eq(count("s/tmp"), 0);
	tear_down();
}
END_TEST

START_TEST(a_folder_that_is_gone_is_not_empty)
{
	uint64_t size;

	set_up();
	put("a", "x");
	ck_assert_int_eq(unlink(at("s/a").s), 0);
	ck_assert_int_eq(rmdir(at("s/tmp").s), 0);
	ck_assert_int_eq(rmdir(at("s").s), 0);
	ck_assert_int_eq(mkdir(at("s").s, 0700), 0);
	expect_no_list("", ERR_IO);
	ck_assert_int_eq(store_size(store, "a", &size, &e), -1);
	ck_assert_int_eq(e.code, ERR_IO);
	ck_assert_int_eq(store_remove(store, "a", &e), -1);
	ck_assert_int_eq(store_put(store, "b", "x", 1, 0, &e), -1);
	ck_assert_int_eq(e.code, ERR_IO);
	ck_assert_uint_eq(count("s"), 0);
	tear_down();
}
END_TEST

/* The folder is moved and another takes its place, as a mount does. */
START_TEST(the_folder_that_was_opened_is_the_store)
{
	set_up();
	put("a/1", "x");
	ck_assert_int_eq(rename(at("s").s, at("moved").s), 0);
	ck_assert_int_eq(mkdir(at("s").s, 0700), 0);
	expect_list("", "a/1 ");
	put("a/2", "x");
	expect_list("", "a/1 a/2 ");
	ck_assert_uint_eq(count("s"), 0);
	tear_down();
}
END_TEST

static int remove_folder_b(void *arg, const struct store_entry *entry,
			   struct err *err)
{
	int *n = arg;

	(void)err;
	++*n;
	if (strcmp(entry->name, "a/1") != 0)
		return 0;
	ck_assert_int_eq(unlink(at("s/b/1").s), 0);
	ck_assert_int_eq(rmdir(at("s/b").s), 0);
	return 0;
}

START_TEST(a_folder_that_vanishes_fails_the_listing)
{
	int n = 0;

	set_up();
	put("a/1", "x");
	put("b/1", "x");
	put("c/1", "x");
	ck_assert_int_eq(store_list(store, "", remove_folder_b, &n, &e), -1);
	ck_assert_int_eq(e.code, ERR_IO);
	ck_assert_ptr_nonnull(strstr(e.text, "b/"));
	ck_assert_int_eq(n, 1);
	tear_down();
}
END_TEST

static int remove_file_2(void *arg, const struct store_entry *entry,
			 struct err *err)
{
	if (strcmp(entry->name, "a/1") == 0)
		ck_assert_int_eq(unlink(at("s/a/2").s), 0);
	return append_name(arg, entry, err);
}

START_TEST(an_object_that_vanishes_was_removed)
{
	CLEANUP(buf_done) struct buf b;

	set_up();
	put("a/1", "x");
	put("a/2", "x");
	put("a/3", "x");
	buf_init(&b, 1000);
	ck_ok(store_list(store, "", remove_file_2, &b, &e));
	ck_assert_str_eq(buf_str(&b), "a/1 a/3 ");
	tear_down();
}
END_TEST

/* Fails, or lies about, one kind of call to the system. */
struct failing {
	enum seam_call call;
	int sys;
	unsigned int times; /* 0: every one */
	unsigned int seen;
};

static int fail_call(void *arg, enum seam_call call, const char *path)
{
	struct failing *f = arg;

	(void)path;
	if (call != f->call)
		return 0;
	f->seen++;
	return f->times && f->seen > f->times ? 0 : f->sys;
}

static void put_failing(enum seam_call call, int sys, enum err_code code)
{
	struct failing f = { .call = call, .sys = sys };

	seam_set_hook(fail_call, &f);
	ck_assert_int_eq(store_put(store, "d/1", "text", 4, 0, &e), -1);
	seam_set_hook(NULL, NULL);
	ck_assert_msg(e.code == code, "%d: %s", (int)call, e.text);
	ck_assert_uint_gt(f.seen, 0);
	ck_assert_uint_eq(count("s/tmp"), 0);
}

START_TEST(each_failing_call_is_reported_and_leaves_nothing)
{
	set_up();
	put_failing(SEAM_MKDIR, ENOSPC, ERR_FULL);
	put_failing(SEAM_MKDIR, EROFS, ERR_DENIED);
	put_failing(SEAM_OPEN_WRITE, EACCES, ERR_DENIED);
	put_failing(SEAM_OPEN_WRITE, EDQUOT, ERR_FULL);
	put_failing(SEAM_WRITE, ENOSPC, ERR_FULL);
	ck_assert_str_eq(strrchr(e.text, ':'), ": no space left on device");
	put_failing(SEAM_FSYNC, EIO, ERR_IO);
	put_failing(SEAM_FSYNC, ENOSPC, ERR_FULL);
	put_failing(SEAM_RENAME, EIO, ERR_IO);
	put_failing(SEAM_RENAME, EXDEV, ERR_IO);
	expect_list("", "");
	put("d/1", "text");
	tear_down();
}
END_TEST

/* Others may have acted on what they saw, but for what nobody needs to see. */
START_TEST(what_may_not_last_stays_unless_it_is_to_be_none)
{
	set_up();
	for (unsigned int flags = 0; flags <= STORE_OR_NONE;
	     flags += STORE_OR_NONE) {
		struct failing f = { .call = SEAM_SYNC_DIR,
				     .sys = EIO,
				     .times = 1 };

		put("d/first", "text");
		seam_set_hook(fail_call, &f);
		ck_assert_int_eq(store_put(store, "d/1", "text", 4, flags, &e),
				 -1);
		seam_set_hook(NULL, NULL);
		ck_assert_int_eq(e.code, ERR_IO);
		ck_assert_uint_eq(f.seen, 1);
		expect_list("", flags ? "d/first " : "d/1 d/first ");
		ck_ok(store_remove(store, "d/1", &e));
		ck_ok(store_remove(store, "d/first", &e));
	}
	tear_down();
}
END_TEST

/* As on NFS, where renameat2() takes no flags. */
START_TEST(a_file_system_that_cannot_rename_without_replacing)
{
	struct failing f = { .call = SEAM_RENAME, .sys = EINVAL };

	set_up();
	seam_set_hook(fail_call, &f);
	put("a/1", "first");
	ck_assert_int_eq(store_put(store, "a/1", "no", 2, 0, &e), -1);
	ck_assert_int_eq(e.code, ERR_EXISTS);
	seam_set_hook(NULL, NULL);
	ck_assert_uint_eq(f.seen, 2);
	expect_list("", "a/1 ");
	ck_assert_uint_eq(count("s/tmp"), 0);
	tear_down();
}
END_TEST

/* Move the only upload to where it is going, behind the store's back. */
static void move_part(const char *to)
{
	DIR *d = opendir(at("s/tmp").s);
	const struct dirent *entry;
	char below[300] = "";

	ck_assert_ptr_nonnull(d);
	while ((entry = readdir(d)) != NULL)
		if (entry->d_name[0] != '.')
			(void)snprintf(below, sizeof(below), "s/tmp/%s",
				       entry->d_name);
	(void)closedir(d);
	if (below[0])
		ck_assert_int_eq(rename(at(below).s, at(to).s), 0);
}

static int move_first(void *arg, enum seam_call call, const char *path)
{
	(void)path;
	if (call == SEAM_RENAME)
		move_part(arg);
	return 0;
}

/* NFS may do a call, lose the answer, ask again and find it done. */
START_TEST(a_rename_that_was_done_before_it_failed)
{
	char to[] = "s/a/1";
	uint64_t size;

	set_up();
	seam_set_hook(move_first, to);
	put("a/1", "first");
	ck_ok(store_put(store, "a/1", "second", 6, STORE_REPLACE, &e));
	seam_set_hook(NULL, NULL);
	ck_assert_int_eq(store_size(store, "a/1", &size, &e), 1);
	ck_assert_uint_eq(size, 6);
	expect_list("", "a/1 ");
	tear_down();
}
END_TEST

struct recorded {
	char calls[64];
	size_t n;
};

static int record(void *arg, enum seam_call call, const char *path)
{
	static const char letters[SEAM_COUNT + 1] = "owfdrlumtxs";
	struct recorded *r = arg;

	(void)path;
	ck_assert_uint_lt(r->n, sizeof(r->calls) - 1);
	r->calls[r->n++] = letters[call];
	r->calls[r->n] = '\0';
	return 0;
}

static void expect_calls(const char *name, const char *letters)
{
	struct recorded r = { .n = 0 };

	seam_set_hook(record, &r);
	put(name, "x");
	seam_set_hook(NULL, NULL);
	ck_assert_str_eq(r.calls, letters);
}

/*
 * The order on which durability rests: bytes before the name, the name before
 * the answer; and the entry of a folder that this process has not yet seen
 * durable, whoever made it.
 */
START_TEST(the_steps_of_an_upload)
{
	set_up();
	expect_calls("a/b/1", "m"
			      "owf"
			      "md"
			      "md"
			      "r"
			      "d");
	expect_calls("a/b/2", "owf"
			      "r"
			      "d");
	expect_calls("a/c/2", "owf"
			      "md"
			      "r"
			      "d");
	expect_calls("top", "owf"
			    "r"
			    "d");
	ck_assert_int_eq(mkdir(at("s/a/d").s, 0700), 0);
	expect_calls("a/d/1", "owf"
			      "d"
			      "r"
			      "d");
	store_close(store);
	ck_ok(store_open(at("s").s, false, &store, &e));
	expect_calls("a/b/3", "owf"
			      "d"
			      "d"
			      "r"
			      "d");
	/* What lay beside them was synced with them. */
	expect_calls("a/d/2", "owf"
			      "r"
			      "d");
	expect_calls("a/e/1", "owf"
			      "m"
			      "d"
			      "r"
			      "d");
	tear_down();
}
END_TEST

START_TEST(a_removal_is_synced_also_when_there_was_nothing)
{
	struct recorded r = { .n = 0 };

	set_up();
	put("a/1", "x");
	seam_set_hook(record, &r);
	ck_ok(store_remove(store, "a/1", &e));
	ck_assert_str_eq(r.calls, "ud");
	ck_ok(store_remove(store, "a/1", &e));
	ck_assert_str_eq(r.calls, "udud");
	tear_down();
}
END_TEST

/* Private memory of this process, in KiB. */
static long anonymous_kib(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	char line[200];
	long kib = -1;

	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f))
		if (strncmp(line, "RssAnon:", 8) == 0)
			kib = strtol(line + 8, NULL, 10);
	(void)fclose(f);
	return kib;
}

START_TEST(a_large_upload_takes_little_memory)
{
	static uint8_t piece[100000];
	struct store_upload *u = NULL;
	uint64_t size = 0;
	long before;

	set_up();
	memset(piece, 7, sizeof(piece));
	before = anonymous_kib();
	ck_ok(store_begin(store, "big", 0, 0, &u, &e));
	for (int i = 0; i < 1000; i++)
		ck_ok(store_append(u, piece, sizeof(piece), &e));
	ck_assert_int_lt(anonymous_kib() - before, 8 * 1024);
	ck_ok(store_commit(u, &e));
	ck_assert_int_eq(store_size(store, "big", &size, &e), 1);
	ck_assert_uint_eq(size, 100000000);
	tear_down();
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, urls_that_make_no_sense);
	tcase_add_test(tc, a_url_a_path_and_a_relative_path_mean_the_same);
	tcase_add_test(tc, locations_that_are_one_are_known);
	tcase_add_test(tc, objects_and_folders_are_their_owners_alone);
	tcase_add_test(tc, opening_and_reading_write_nothing);
	tcase_add_test(tc, foreign_files_are_left_alone_and_unseen);
	tcase_add_test(tc, dead_uploads_are_swept_after_a_day_by_a_writer);
	tcase_add_test(tc, an_open_upload_is_not_swept);
	tcase_add_test(tc, what_is_replaced_while_it_is_listed_is_listed);
	tcase_add_test(tc, symbolic_links_are_not_followed);
	tcase_add_test(tc, a_listing_goes_only_where_objects_are);
	tcase_add_test(tc, a_planted_tmp_is_not_written_through);
	tcase_add_test(tc, what_is_no_file_is_no_object);
	tcase_add_test(tc, a_folder_that_is_gone_is_not_empty);
	tcase_add_test(tc, the_folder_that_was_opened_is_the_store);
	tcase_add_test(tc, a_folder_that_vanishes_fails_the_listing);
	tcase_add_test(tc, an_object_that_vanishes_was_removed);
	tcase_add_test(tc, each_failing_call_is_reported_and_leaves_nothing);
	tcase_add_test(tc, a_file_system_that_cannot_rename_without_replacing);
	tcase_add_test(tc, a_rename_that_was_done_before_it_failed);
	tcase_add_test(tc, what_may_not_last_stays_unless_it_is_to_be_none);
	tcase_add_test(tc, the_steps_of_an_upload);
	tcase_add_test(tc, a_removal_is_synced_also_when_there_was_nothing);
	tcase_add_test(tc, a_large_upload_takes_little_memory);
}

CHECK_MAIN("storage/store_local", cases)

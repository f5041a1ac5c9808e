/* Disk images as sources, and their way back: storage/sources/block.h,
 * storage/restore_output.h. */
#include "storage/sources/block.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "storage/restore_output.h"
#include "tests/support/repo_frame.h"

#define B ((off_t)SOURCE_BLOCK)

static struct repo_frame f;
static struct err e;
static char image[SCRATCH_PATH];
static char out[SCRATCH_PATH];

static void set_up(void)
{
	repo_frame_init(&f, "mem:block");
	(void)scratch_path(&f.dir, "disk.img", image);
	(void)scratch_path(&f.dir, "out.img", out);
	err_clear(&e);
	/* Old enough for its ctime to be trusted. */
	ck_assert_int_eq(setenv("SNAPCTL_TEST_CLOCK", "100", 1), 0);
}

static void tear_down(void)
{
	repo_frame_done(&f);
}

/* Bytes that do not compress, or zeros for seed 0, into a file. */
static void put(const char *path, off_t at, size_t n, uint64_t seed)
{
	const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	uint8_t *bytes = calloc(1, n + 1);

	ck_assert_int_ge(fd, 0);
	ck_assert_ptr_nonnull(bytes);
	for (size_t i = 0; seed && i < n; i++) {
		seed = seed * UINT64_C(6364136223846793005) + 1442695040888963;
		bytes[i] = (uint8_t)(seed >> 56);
	}
	ck_assert_int_eq(pwrite(fd, bytes, n, at), (ssize_t)n);
	ck_assert_int_eq(close(fd), 0);
	free(bytes);
}

static void size_to(const char *path, off_t size)
{
	const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, size), 0);
	ck_assert_int_eq(close(fd), 0);
}

static int take_of(const char *path, struct snapshot_result *ret)
{
	const struct block_options o = { .path = path, .name = "disk" };
	CLEANUP(snapshot_errors_free) struct snapshot_errors *errors = NULL;
	CLEANUP(source_close) struct source *source = NULL;
	struct snapshot_options so = { .no_parent = false };

	ck_ok(snapshot_errors_new(&errors, &e));
	if (block_open(&o, &source, &e) < 0 || !source)
		return -1;
	return repo_take_source(&f, source, errors, &so, ret, &e);
}

static struct snapshot_result take(void)
{
	struct snapshot_result r;

	ck_ok(take_of(image, &r));
	ck_assert_int_eq(r.state, MANIFEST_COMPLETE);
	return r;
}

static int put_back(struct object_id id, bool overwrite,
		    struct restore_output_result *ret)
{
	const struct restore_output_options o = { .to = out,
						  .overwrite = overwrite };
	CLEANUP(repository_snapshot_done) struct repository_snapshot s;
	char text[OBJECT_ID_TEXT];

	object_id_format(id, text);
	manifest_init(&s.manifest);
	repo_frame_reopen(&f);
	if (!f.r)
		return -1;
	ck_ok(repository_find(f.r, text, NULL, true, &s, NULL, &e));
	return restore_output(f.r, &s.manifest, &o, ret, &e);
}

static void expect_same(void)
{
	FILE *a = fopen(image, "re");
	FILE *b = fopen(out, "re");
	static uint8_t x[65536];
	static uint8_t y[65536];
	size_t n;

	ck_assert(a && b);
	do {
		n = fread(x, 1, sizeof(x), a);
		ck_assert_uint_eq(fread(y, 1, sizeof(y), b), n);
		ck_assert_int_eq(memcmp(x, y, n), 0);
	} while (n);
	(void)fclose(a);
	(void)fclose(b);
}

static blkcnt_t blocks_of(const char *path)
{
	struct stat st;

	ck_assert_int_eq(stat(path, &st), 0);
	return st.st_blocks;
}

START_TEST(an_image_comes_back_as_sparse_as_it_was)
{
	struct snapshot_result r;
	struct restore_output_result back;
	struct stat st;

	size_to(image, 400 * B + 100);
	put(image, 3 * B + 7, 100, 1);
	put(image, 100 * B, 3 * SOURCE_BLOCK, 2);
	put(image, 200 * B, 5 * SOURCE_BLOCK, 0); /* zeros, written */
	put(image, 400 * B + 50, 50, 3);
	r = take();
	ck_assert_uint_eq(r.bytes, (uint64_t)(400 * B + 100));
	ck_assert_uint_lt(r.bytes_new, 4 * SOURCE_BLOCK);
	ck_ok(put_back(r.id, false, &back));
	ck_assert_uint_eq(back.bytes, r.bytes);
	expect_same();
	ck_assert_int_eq(stat(out, &st), 0);
	/* Also the zeros that were written take nothing now. */
	ck_assert_int_lt(blocks_of(out), 8 * B / 512);
	ck_assert_int_eq(st.st_mode & 07777, 0600);
	ck_assert_uint_eq(scratch_count(&f.dir), 3); /* key, image, out */
}
END_TEST

START_TEST(what_is_as_it_was_is_not_read)
{
	struct snapshot_result r;

	put(image, 0, 4 * SOURCE_BLOCK, 1);
	r = take();
	ck_assert_uint_eq(r.bytes_read, (uint64_t)(4 * B));
	r = take();
	ck_assert_uint_eq(r.bytes_read, 0);
	ck_assert_uint_eq(r.bytes, (uint64_t)(4 * B));
}
END_TEST

START_TEST(only_the_blocks_that_changed_are_stored)
{
	struct snapshot_result first;
	struct snapshot_result second;
	struct restore_output_result back;

	put(image, 0, 40 * SOURCE_BLOCK, 1);
	first = take();
	put(image, 7 * B + 1000, 1, 2);
	put(image, 20 * B, 10, 3);
	second = take();
	ck_assert_uint_eq(second.bytes_read, (uint64_t)(40 * B));
	ck_assert_uint_lt(second.bytes_new, 3 * SOURCE_BLOCK);
	ck_assert_uint_gt(first.bytes_new, 39 * SOURCE_BLOCK);
	ck_ok(put_back(second.id, false, &back));
	expect_same();
}
END_TEST

START_TEST(sizes_need_not_be_round)
{
	static const off_t sizes[] = { 0,     1,     4095,	 B - 1,	    B,
				       B + 1, 8 * B, 16 * B - 1, 17 * B + 1 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct restore_output_result back;
		struct snapshot_result r;

		(void)unlink(image);
		(void)unlink(out);
		size_to(image, 0);
		if (sizes[i])
			put(image, 0, (size_t)sizes[i], 5 + i);
		r = take();
		ck_assert_uint_eq(r.bytes, (uint64_t)sizes[i]);
		ck_ok(put_back(r.id, false, &back));
		expect_same();
	}
}
END_TEST

START_TEST(what_is_there_is_kept_unless_told)
{
	struct snapshot_result first;
	struct restore_output_result back;

	size_to(image, 100 * B);
	put(image, 0, 10 * SOURCE_BLOCK, 1);
	first = take();
	put(out, 0, 10, 9);
	ck_assert_int_eq(put_back(first.id, false, &back), -1);
	ck_assert_int_eq(e.code, ERR_EXISTS);
	err_clear(&e);
	ck_ok(put_back(first.id, true, &back));
	expect_same();
	/* Now only what differs: one block, a hole filled, one too long. */
	put(out, 3 * B, 1, 0);
	put(out, 50 * B, 100, 7);
	put(out, 100 * B, 5000, 7);
	ck_ok(put_back(first.id, true, &back));
	expect_same();
	ck_assert_uint_le(back.written, (uint64_t)(6 * B));
	ck_assert_uint_gt(back.written, 0);
	ck_ok(put_back(first.id, true, &back));
	ck_assert_uint_eq(back.written, 0);
}
END_TEST

static unsigned int reports;

static void count_report(void *arg, const char *path, size_t len,
			 const char *message)
{
	(void)arg;
	(void)len;
	ck_assert_str_eq(path, "/disk");
	ck_assert_ptr_nonnull(strstr(message, "not of one moment"));
	reports++;
}

/* Read all of it; a byte is written in between, if so. */
static enum source_state read_through(bool change)
{
	const struct block_options o = { .path = image,
					 .name = "disk",
					 .report = count_report };
	CLEANUP(source_close) struct source *s = NULL;
	CLEANUP(source_release) struct source_handle *h = NULL;
	static uint8_t bytes[4 * SOURCE_BLOCK];
	struct source_extent x;
	struct entry en;
	int got;

	ck_ok(block_open(&o, &s, &e));
	ck_assert_int_eq(source_next(s, &en, &e), 1);
	ck_assert_int_eq(source_next(s, &en, &e), 1);
	ck_ok(source_take(s, &h, &e));
	ck_assert_int_eq(source_describe(h, &en, &e), 1);
	while ((got = source_read(h, bytes, sizeof(bytes), &x, &e)) == 1)
		if (change)
			put(image, 0, 1, 77);
	ck_assert_int_eq(got, 0);
	return source_finish(h, &en);
}

START_TEST(an_image_that_is_written_to_is_told)
{
	reports = 0;
	put(image, 0, 9 * SOURCE_BLOCK, 1);
	ck_assert_int_eq(read_through(false), SOURCE_OK);
	ck_assert_uint_eq(reports, 0);
	ck_assert_int_eq(read_through(true), SOURCE_CHANGED);
	ck_assert_uint_eq(reports, 1);
}
END_TEST

START_TEST(what_is_no_disk_is_refused)
{
	struct snapshot_result r;
	char path[SCRATCH_PATH];

	ck_assert_int_eq(take_of(f.dir.path, &r), -1);
	ck_assert_int_eq(e.code, ERR_USAGE);
	ck_assert_int_eq(take_of("/dev/null", &r), -1);
	ck_assert_int_eq(e.code, ERR_USAGE);
	ck_assert_int_eq(mkfifo(scratch_path(&f.dir, "fifo", path), 0600), 0);
	ck_assert_int_eq(take_of(path, &r), -1);
	ck_assert_int_eq(e.code, ERR_USAGE);
	ck_assert_int_eq(take_of("/nowhere/at/all", &r), -1);
	ck_assert_int_eq(e.code, ERR_USAGE);
}
END_TEST

START_TEST(a_target_of_no_use_is_refused)
{
	struct restore_output_result back;
	struct snapshot_result r;

	put(image, 0, 100, 1);
	r = take();
	(void)snprintf(out, sizeof(out), "/dev/null");
	ck_assert_int_eq(put_back(r.id, true, &back), -1);
	ck_assert_int_eq(e.code, ERR_USAGE);
	(void)snprintf(out, sizeof(out), "/nowhere/at/all");
	ck_assert_int_eq(put_back(r.id, true, &back), -1);
	ck_assert_int_eq(e.code, ERR_NOT_FOUND);
	ck_assert_int_eq(symlink("nowhere", scratch_path(&f.dir, "link", out)),
			 0);
	ck_assert_int_eq(put_back(r.id, true, &back), -1);
	ck_assert_int_eq(e.code, ERR_EXISTS);
	ck_assert_uint_eq(scratch_count(&f.dir), 3);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, an_image_comes_back_as_sparse_as_it_was);
	tcase_add_test(tc, what_is_as_it_was_is_not_read);
	tcase_add_test(tc, only_the_blocks_that_changed_are_stored);
	tcase_add_test(tc, sizes_need_not_be_round);
	tcase_add_test(tc, what_is_there_is_kept_unless_told);
	tcase_add_test(tc, an_image_that_is_written_to_is_told);
	tcase_add_test(tc, what_is_no_disk_is_refused);
	tcase_add_test(tc, a_target_of_no_use_is_refused);
}
CHECK_MAIN("storage/block", cases)

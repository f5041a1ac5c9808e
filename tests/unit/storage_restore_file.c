/* Restored regular files: storage/restore_file.c. */
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/seam.h"
#include "tests/support/restore_frame.h"

/* What was done to files, in its order. */
static pthread_mutex_t order_lock = PTHREAD_MUTEX_INITIALIZER;
static enum seam_call order[4000];
static unsigned int ordered;

static int note_order(void *arg, enum seam_call call, const char *path)
{
	(void)arg;
	(void)path;
	(void)pthread_mutex_lock(&order_lock);
	if (ordered < sizeof(order) / sizeof(order[0]))
		order[ordered++] = call;
	(void)pthread_mutex_unlock(&order_lock);
	return 0;
}

/* Whether what followed the last change of a content was fsync(2). */
static bool is_synced_before_its_times(struct object_id id)
{
	struct restore_result got;
	unsigned int last = 0;

	ordered = 0;
	seam_set_hook(note_order, NULL);
	ck_ok(restore(id, RESTORE_ALWAYS, &got));
	seam_set_hook(NULL, NULL);
	ck_assert_uint_eq(got.errors, 0);
	ck_assert_uint_eq(got.files, 1);
	for (unsigned int i = 0; i < ordered; i++)
		if (order[i] == SEAM_WRITE || order[i] == SEAM_TRUNCATE)
			last = i;
	ck_assert_uint_gt(last, 0);
	ck_assert_uint_lt(last + 1, ordered);
	return order[last + 1] == SEAM_FSYNC;
}

static void write_holes(const char *path, const char *head, off_t size)
{
	write_text(path, head);
	ck_assert_int_eq(truncate(path, size), 0);
}

static bool is_synced(const char *name)
{
	const struct object_id id = repo_take(&f).id;
	bool is = is_synced_before_its_times(id);

	/* In place of what is there as well. */
	ck_assert_int_eq(is_synced_before_its_times(id), is);
	ck_assert_int_eq(unlink(at(f.from, name)), 0);
	ck_assert_int_eq(unlink(at(f.to, name)), 0);
	return is;
}

/*
 * The next restore trusts size and mtime.  A power cut must not leave both
 * right and the content missing.
 */
START_TEST(no_size_is_durable_before_the_content)
{
	int fd;

	write_holes(at(f.from, "holes"), "", 100000);
	ck_assert(is_synced("holes"));
	write_holes(at(f.from, "tail"), "head", 3000000);
	ck_assert(is_synced("tail"));
	write_holes(at(f.from, "middle"), "head", 3000000);
	fd = open(at(f.from, "middle"), O_WRONLY | O_APPEND | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, "end", 3), 3);
	(void)close(fd);
	ck_assert(is_synced("middle"));
	/* By several workers. */
	write_bytes(at(f.from, "large"), 12000000, 1);
	ck_assert(is_synced("large"));
	/* Many small ones would wait long. */
	write_bytes(at(f.from, "small"), 300000, 1);
	ck_assert(!is_synced("small"));
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, no_size_is_durable_before_the_content);
}

CHECK_MAIN("storage/restore_file", cases)

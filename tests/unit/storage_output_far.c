/*
 * One large file from where a request takes long (storage/restore_output.h):
 * what is fetched ahead, and how often; and that it is the same file, or the
 * same loss, whatever comes instead of what was asked for.
 */
#include <stdatomic.h>

#include "storage/restore_output.h"
#include "storage/stores/fault.h"
#include "tests/support/restore_frame.h"

#define SIZE ((size_t)24 << 20)

static struct object_id id;
static struct store *far;
static char image[SCRATCH_PATH];
static char out[SCRATCH_PATH];
static atomic_uint reads; /* of data packs */
static atomic_bool cancel;
static atomic_ullong lost;

static void count_read(void *arg UNUSED, const char *name UNUSED)
{
	atomic_fetch_add(&reads, 1);
}

static const struct fault counted = { .call = FAULT_READ,
				      .action = FAULT_RUN,
				      .prefix = "data/",
				      .everyone = true,
				      .run = count_read };

/* Open the repository anew, as something far, with that fault. */
static void go_far(const struct fault *fault)
{
	repository_close(f.r);
	f.r = NULL;
	ck_ok(store_open(f.url, false, &far, &e));
	ck_ok(fault_wrap(far, &far, &e));
	fault_set_far(far);
	if (fault)
		fault_add(far, fault);
	fault_add(far, &counted);
	ck_ok(repository_open_on(far, f.credential, &f.r, &e));
	atomic_store(&reads, 0);
	(void)unlink(out);
}

static void set_up_image(void)
{
	set_up();
	(void)snprintf(image, sizeof(image), "%s", at(f.from, "disk"));
	(void)snprintf(out, sizeof(out), "%s", at(f.dir.path, "out"));
	write_bytes(image, SIZE, 7);
	id = repo_take(&f).id;
	atomic_store(&cancel, false);
	atomic_store(&lost, 0);
}

static void note_lost(void *arg UNUSED, uint64_t from UNUSED, uint64_t n,
		      const char *why UNUSED)
{
	atomic_fetch_add(&lost, n);
}

static int put_out(struct restore_output_options *o,
		   struct restore_output_result *ret)
{
	CLEANUP(repository_snapshot_done) struct repository_snapshot s;
	char text[OBJECT_ID_TEXT];

	object_id_format(id, text);
	manifest_init(&s.manifest);
	ck_ok(repository_find(f.r, text, NULL, true, &s, NULL, &e));
	o->to = out;
	o->path = image;
	o->path_len = strlen(image);
	o->cancel = &cancel;
	o->lost = note_lost;
	return restore_output(f.r, &s.manifest, o, ret, &e);
}

static int put(struct restore_output_result *ret)
{
	struct restore_output_options o = { .overwrite = false };

	return put_out(&o, ret);
}

static void expect_same(void)
{
	static uint8_t x[65536];
	static uint8_t y[65536];
	FILE *a = fopen(image, "re");
	FILE *b = fopen(out, "re");
	size_t n;

	ck_assert(a && b);
	do {
		n = fread(x, 1, sizeof(x), a);
		ck_assert_uint_eq(fread(y, 1, sizeof(y), b), n);
		ck_assert(memcmp(x, y, n) == 0);
	} while (n);
	(void)fclose(a);
	(void)fclose(b);
}

/* Whoever walks stands still at the first extent until three ranges are
 * read: of 24 MiB what is left after them is little. */
static void wait_for_reads(void *arg UNUSED, uint64_t bytes UNUSED,
			   uint64_t total UNUSED)
{
	while (atomic_load(&reads) < 3)
		clock_sleep_ms(1);
}

START_TEST(it_is_fetched_before_it_is_needed)
{
	struct restore_output_options o = { .progress = wait_for_reads };
	struct restore_output_result got;

	go_far(NULL);
	ck_ok(put_out(&o, &got));
	ck_assert_uint_eq(got.bytes, SIZE);
	ck_assert_uint_eq(got.lost, 0);
	expect_same();
	/* Not one for each chunk: there are some thirty. */
	ck_assert_uint_lt(atomic_load(&reads), 16);
}
END_TEST

/* Whatever each of the first reads of data comes to, once. */
START_TEST(what_comes_wrong_is_read_again)
{
	static const struct fault faults[] = {
		{ .action = FAULT_FLIP, .amount = 12345 },
		{ .action = FAULT_SHORT, .amount = 70000 },
		{ .action = FAULT_SHORT, .amount = 0 },
		{ .action = FAULT_FAIL },
		{ .action = FAULT_ABSENT },
	};

	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		struct restore_output_result got;
		struct fault fault = faults[i];

		fault.call = FAULT_READ;
		fault.prefix = "data/";
		fault.everyone = true;
		fault.times = 1;
		fault.nth = i % 3 + 1;
		go_far(&fault);
		/* By one who was to fetch it ahead, or, where the threads came
		 * late, by one who needs it. */
		if (put(&got) < 0) {
			ck_assert_int_eq(e.code, ERR_IO);
			continue;
		}
		ck_assert_uint_eq(got.lost, atomic_load(&lost));
		if (got.lost == 0)
			expect_same();
		atomic_store(&lost, 0);
	}
}
END_TEST

/* What is so for good is told as it is nearby: range by range. */
START_TEST(damage_is_told)
{
	const struct fault fault = { .call = FAULT_READ,
				     .action = FAULT_FLIP,
				     .prefix = "data/",
				     .everyone = true,
				     .amount = 4567 };
	struct restore_output_result got;

	go_far(&fault);
	ck_ok(put(&got));
	ck_assert_uint_gt(got.lost, 0);
	ck_assert_uint_eq(got.lost, atomic_load(&lost));
}
END_TEST

START_TEST(who_does_not_answer_ends_it)
{
	const struct fault fault = { .call = FAULT_READ,
				     .action = FAULT_FAIL,
				     .prefix = "data/",
				     .everyone = true,
				     .nth = 2,
				     .code = ERR_BUSY };
	struct restore_output_result got;

	go_far(&fault);
	ck_assert_int_lt(put(&got), 0);
	ck_assert_int_eq(e.code, ERR_BUSY);
	ck_assert(!exists(out));
	go_far(NULL);
	ck_ok(put(&got));
	expect_same();
}
END_TEST

/* Nobody waits for whom, and nothing is left. */
static void stop(void *arg UNUSED, const char *name UNUSED)
{
	atomic_store(&cancel, true);
}

START_TEST(it_can_be_stopped_while_much_is_ahead)
{
	const struct fault fault = { .call = FAULT_READ,
				     .action = FAULT_RUN,
				     .prefix = "data/",
				     .everyone = true,
				     .times = 1,
				     .run = stop };
	struct restore_output_result got;

	go_far(&fault);
	ck_assert_int_lt(put(&got), 0);
	ck_assert_int_eq(e.code, ERR_INTERRUPTED);
	ck_assert(!exists(out));
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up_image, tear_down);
	tcase_add_test(tc, it_is_fetched_before_it_is_needed);
	tcase_add_test(tc, what_comes_wrong_is_read_again);
	tcase_add_test(tc, damage_is_told);
	tcase_add_test(tc, who_does_not_answer_ends_it);
	tcase_add_test(tc, it_can_be_stopped_while_much_is_ahead);
}

CHECK_MAIN("storage/output_far", cases)

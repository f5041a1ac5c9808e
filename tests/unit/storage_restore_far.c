/*
 * Restoring from where a request takes long: what is fetched ahead, and how
 * often; and that it is the same tree whatever comes instead of what was asked
 * for.
 */
#include <stdatomic.h>

#include "storage/compare.h"
#include "storage/stores/fault.h"
#include "tests/support/restore_frame.h"

static struct store *far;
static struct tree_list want;
static atomic_uint reads; /* of data packs */

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
}

/* 21 MB in files of all sizes, some twice, some linked. */
static struct object_id fill(void)
{
	char name[100];

	for (unsigned int i = 0; i < 150; i++) {
		if (i % 50 == 0) {
			(void)snprintf(name, sizeof(name), "d%u", i);
			ck_assert_int_eq(mkdir(at(f.from, name), 0755), 0);
		}
		(void)snprintf(name, sizeof(name), "d%u/f%03u", i / 50 * 50, i);
		write_bytes(at(f.from, name),
			    i % 20 == 0 ? 2000000 : 1000 * (i % 70) + i,
			    i % 7 == 3 ? 3 : i);
	}
	ck_assert_int_eq(link(at(f.from, "d0/f020"), at(f.from, "d50/link")),
			 0);
	repo_list(&want, f.from);
	return repo_take(&f).id;
}

static void done(void)
{
	tree_list_done(&want);
}

/* The walk stands still at its first entry until three ranges are read. */
static void wait_for_reads(void *arg UNUSED,
			   const struct restore_progress *p UNUSED)
{
	while (atomic_load(&reads) < 3)
		clock_sleep_ms(1);
}

START_TEST(it_is_fetched_before_it_is_needed)
{
	const struct object_id id = fill();
	struct restore_options o = { .progress = wait_for_reads };
	struct restore_result got;

	go_far(NULL);
	ck_ok(repo_restore_with(&f, id, &o, &got, &e));
	ck_assert_uint_eq(got.errors, 0);
	repo_expect_same(&want, f.to);
	done();
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
		{ .action = FAULT_FAIL_AFTER },
	};
	const struct object_id id = fill();
	struct restore_result got;

	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		struct fault fault = faults[i];

		fault.call = FAULT_READ;
		fault.prefix = "data/";
		fault.everyone = true;
		fault.times = 1;
		fault.nth = i % 3 + 1;
		go_far(&fault);
		ck_ok(restore(id, RESTORE_ALWAYS, &got));
		/* By one who was to fetch it ahead, or by one who needs it. */
		ck_assert_uint_le(got.errors, 60);
		if (got.errors == 0)
			repo_expect_same(&want, f.to);
	}
	done();
}
END_TEST

/* What is so for good is told as it is nearby. */
START_TEST(damage_is_told_and_the_rest_is_restored)
{
	const struct fault fault = { .call = FAULT_READ,
				     .action = FAULT_FLIP,
				     .prefix = "data/",
				     .everyone = true,
				     .amount = 4567 };
	const struct object_id id = fill();
	struct restore_result got;

	go_far(&fault);
	ck_ok(restore(id, RESTORE_CHANGED, &got));
	ck_assert_uint_gt(got.errors, 0);
	ck_assert(got.damaged);
	go_far(NULL);
	ck_ok(restore(id, RESTORE_CHANGED, &got));
	ck_assert_uint_eq(got.errors, 0);
	repo_expect_same(&want, f.to);
	done();
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
	const struct object_id id = fill();
	struct restore_result got;

	go_far(&fault);
	ck_assert_int_lt(restore(id, RESTORE_CHANGED, &got), 0);
	ck_assert_int_eq(e.code, ERR_BUSY);
	ck_assert(got.unread && !got.damaged);
	go_far(NULL);
	ck_ok(restore(id, RESTORE_CHANGED, &got));
	repo_expect_same(&want, f.to);
	done();
}
END_TEST

static int add_name(void *arg, const struct store_entry *entry,
		    struct err *err UNUSED)
{
	(void)snprintf(arg, STORE_NAME_MAX + 1, "%s", entry->name);
	return 0;
}

/* A pack goes, before anything of it was read. */
static void remove_pack(void *arg, const char *name)
{
	static atomic_bool once;
	struct store *s = NULL;
	struct err why;

	if (atomic_exchange(&once, true) || strcmp(arg, name) == 0)
		return;
	ck_ok(store_open(f.url, false, &s, &why));
	ck_ok(store_remove(s, arg, &why));
	store_close(s);
}

/* What it held is missed; nothing else is, and nothing is wrong. */
START_TEST(a_pack_that_goes_meanwhile_is_missed)
{
	static char last[STORE_NAME_MAX + 1];
	const struct fault fault = { .call = FAULT_READ,
				     .action = FAULT_RUN,
				     .prefix = "data/",
				     .times = 1,
				     .everyone = true,
				     .run = remove_pack,
				     .arg = last };
	const struct object_id id = fill();
	struct restore_result got;
	struct store *s = NULL;
	struct tree_list there;

	ck_ok(store_open(f.url, false, &s, &e));
	ck_ok(store_list(s, "data/", add_name, last, &e));
	store_close(s);
	go_far(&fault);
	ck_ok(restore(id, RESTORE_CHANGED, &got));
	repo_list(&there, f.to);
	for (size_t i = 0; i < there.count; i++) {
		const struct tree_line *line = tree_list_find(
			&want, there.lines[i].path);

		ck_assert_ptr_nonnull(line);
		if (!strstr(line->path, "link") && !strstr(line->path, "f020"))
			ck_assert_str_eq(there.lines[i].text, line->text);
	}
	tree_list_done(&there);
	done();
}
END_TEST

/* Going on where a restore was interrupted costs what is missing. */
START_TEST(what_is_there_is_not_fetched)
{
	const struct object_id id = fill();
	struct restore_result got;

	go_far(NULL);
	ck_ok(restore(id, RESTORE_CHANGED, &got));
	atomic_store(&reads, 0);
	ck_ok(restore(id, RESTORE_CHANGED, &got));
	ck_assert_uint_eq(got.reused, got.files - 1); /* the link */
	ck_assert_uint_eq(atomic_load(&reads), 0);
	write_text(at(f.to, "d0/f001"), "other");
	ck_ok(restore(id, RESTORE_NEVER, &got));
	ck_assert_uint_eq(atomic_load(&reads), 0);
	ck_ok(restore(id, RESTORE_CHANGED, &got));
	ck_assert_uint_gt(atomic_load(&reads), 0);
	repo_expect_same(&want, f.to);
	done();
}
END_TEST

static bool is_folder(void *arg UNUSED, const char *path UNUSED,
		      size_t len UNUSED, bool folder)
{
	return folder;
}

START_TEST(what_is_not_wanted_is_not_fetched)
{
	const struct object_id id = fill();
	struct restore_options o = { .wanted = is_folder };
	struct restore_result got;

	go_far(NULL);
	ck_ok(repo_restore_with(&f, id, &o, &got, &e));
	ck_assert_uint_eq(got.files, 0);
	ck_assert_uint_eq(atomic_load(&reads), 0);
	done();
}
END_TEST

/* The first one, of a file that was not restored, comes before all others:
 * nothing is compared until three ranges are read. */
static void note_difference(void *arg, const char *path UNUSED,
			    size_t len UNUSED, const char *message UNUSED)
{
	++*(unsigned int *)arg;
	while (atomic_load(&reads) < 3)
		clock_sleep_ms(1);
}

static int compare(struct object_id id, struct compare_result *ret,
		   unsigned int *ret_differences)
{
	CLEANUP(repository_snapshot_done) struct repository_snapshot s;
	const struct compare_options o = { .folder = f.to,
					   .unprivileged = geteuid() != 0,
					   .differs = note_difference,
					   .arg = ret_differences };
	char text[OBJECT_ID_TEXT];

	*ret_differences = 0;
	object_id_format(id, text);
	manifest_init(&s.manifest);
	ck_ok(repository_find(f.r, text, NULL, true, &s, NULL, &e));
	return compare_run(f.r, &s.manifest, &o, ret, &e);
}

/* What a drill does next: all is read once more, to its end. */
START_TEST(comparing_reads_ahead)
{
	const struct fault flip = { .call = FAULT_READ,
				    .action = FAULT_FLIP,
				    .prefix = "data/",
				    .everyone = true,
				    .amount = 4567 };
	struct object_id id;
	struct compare_result same;
	struct restore_result got;
	struct restore_options whole = { .path = "/", .path_len = 1 };
	char first[2 * SCRATCH_PATH + 2];
	unsigned int differences;

	/* More than there is room for at once. */
	write_bytes(at(f.from, "large"), 30000000, 5);
	id = fill();
	go_far(NULL);
	ck_ok(repo_restore_with(&f, id, &whole, &got, &e));
	(void)snprintf(first, sizeof(first), "%s%s/a", f.to, f.from);
	write_text(first, "");
	atomic_store(&reads, 0);
	ck_ok(compare(id, &same, &differences));
	ck_assert_uint_ge(differences, 1);
	ck_assert_uint_le(differences, 2); /* and the folder's time */
	ck_assert_uint_ge(same.bytes, 50000000);
	/* Of 65 chunks, those of the first three ranges not by themselves. */
	ck_assert_uint_lt(atomic_load(&reads), 55);
	go_far(&flip); /* which counts none */
	atomic_store(&reads, 3);
	ck_ok(compare(id, &same, &differences));
	ck_assert_uint_gt(differences, 2);
	ck_assert_uint_lt(differences, 150);
	done();
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, it_is_fetched_before_it_is_needed);
	tcase_add_test(tc, what_comes_wrong_is_read_again);
	tcase_add_test(tc, damage_is_told_and_the_rest_is_restored);
	tcase_add_test(tc, who_does_not_answer_ends_it);
	tcase_add_test(tc, a_pack_that_goes_meanwhile_is_missed);
	tcase_add_test(tc, what_is_there_is_not_fetched);
	tcase_add_test(tc, what_is_not_wanted_is_not_fetched);
	tcase_add_test(tc, comparing_reads_ahead);
}

CHECK_MAIN("storage/restore_far", cases)

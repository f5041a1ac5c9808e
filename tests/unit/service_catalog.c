/* Opening, transactions, lists, and files that are no catalog. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "service/sql.h"
#include "tests/support/catalog_frame.h"
#include "tests/support/check_main.h"

START_TEST(a_new_catalog_is_private_and_keeps_its_identity)
{
	CLEANUP(frame_done) struct frame f;
	struct catalog_uid first;
	struct stat st;

	frame_open(&f);
	first = catalog_identity(f.c);
	ck_assert_uint_eq(strlen(first.s), 32);
	ck_assert_int_eq(stat(f.path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	ok(&f, catalog_check(f.c, &f.e));
	catalog_close(f.c);
	f.c = NULL;
	ok(&f, catalog_open(f.path, &f.c, &f.e));
	ck_assert_str_eq(catalog_identity(f.c).s, first.s);
}
END_TEST

START_TEST(a_transaction_is_all_or_nothing_and_nests)
{
	CLEANUP(frame_done) struct frame f;

	frame_open(&f);
	ok(&f, catalog_begin(f.c, &f.e));
	(void)note_due(&f, 100);
	ok(&f, catalog_begin(f.c, &f.e));
	(void)note_due(&f, 200);
	catalog_rollback(f.c);
	ck_assert_int_eq(frame_count(&f, "SELECT count(*) FROM occurrences"),
			 0);
	ok(&f, catalog_commit(f.c, &f.e));
	ck_assert_int_eq(frame_count(&f, "SELECT sum(at_us) FROM occurrences"),
			 100000000);
	ok(&f, catalog_begin(f.c, &f.e));
	(void)note_due(&f, 300);
	catalog_rollback(f.c);
	catalog_rollback(f.c);
	ck_assert_int_eq(frame_count(&f, "SELECT count(*) FROM occurrences"),
			 1);
}
END_TEST

static const char *refused; /* scripts that begin so fail, once each */

int __real_sql_exec(struct sql *db, const char *script, struct err *e);
int __wrap_sql_exec(struct sql *db, const char *script, struct err *e);
int __wrap_sql_exec(struct sql *db, const char *script, struct err *e)
{
	if (!refused || strncmp(script, refused, strlen(refused)) != 0)
		return __real_sql_exec(db, script, e);
	refused = NULL;
	return err_oom(e);
}

START_TEST(a_rollback_that_fails_leaves_nothing_behind)
{
	CLEANUP(frame_done) struct frame f;

	frame_open(&f);
	/* Of a change within another: the other must not be committed. */
	ok(&f, catalog_begin(f.c, &f.e));
	(void)note_due(&f, 100);
	ok(&f, catalog_begin(f.c, &f.e));
	(void)note_due(&f, 200);
	refused = "ROLLBACK TO";
	catalog_rollback(f.c);
	ck_assert_int_lt(catalog_begin(f.c, &f.e), 0);
	ck_assert_int_lt(catalog_commit(f.c, &f.e), 0);
	ck_assert_int_eq(f.e.code, ERR_IO);
	/* Of the outermost: the next change ends it, and is one of its own. */
	ok(&f, catalog_begin(f.c, &f.e));
	(void)note_due(&f, 300);
	refused = "ROLLBACK";
	catalog_rollback(f.c);
	ok(&f, catalog_begin(f.c, &f.e));
	(void)note_due(&f, 400);
	ok(&f, catalog_commit(f.c, &f.e));
	/* Of reading. */
	ok(&f, catalog_begin_read(f.c, &f.e));
	refused = "ROLLBACK";
	catalog_end_read(f.c);
	ok(&f, catalog_begin_read(f.c, &f.e));
	catalog_end_read(f.c);
	ck_assert_ptr_null(refused);
	ck_assert_int_eq(frame_count(&f, "SELECT sum(at_us) FROM occurrences"),
			 400000000);
}
END_TEST

START_TEST(a_transaction_that_is_left_open_is_undone)
{
	CLEANUP(frame_done) struct frame f;

	frame_open(&f);
	ok(&f, catalog_begin(f.c, &f.e));
	(void)note_due(&f, 100);
	catalog_close(f.c);
	f.c = NULL;
	ck_assert_int_eq(frame_count(&f, "SELECT count(*) FROM occurrences"),
			 0);
}
END_TEST

START_TEST(a_read_transaction_sees_one_moment)
{
	CLEANUP(frame_done) struct frame f;
	CLEANUP(catalog_close) struct catalog *other = NULL;
	uint64_t counts[CATALOG_OCCURRENCE_STATES];
	const struct catalog_occurrence o = occurrence_at(100);
	int64_t id;

	frame_open(&f);
	ok(&f, catalog_open(f.path, &other, &f.e));
	ok(&f, catalog_begin_read(f.c, &f.e));
	ok(&f, catalog_occurrence_note(other, &o, &id, &f.e));
	ok(&f,
	   catalog_occurrence_counts(f.c, NULL, at(0), at(0), counts, &f.e));
	ck_assert_uint_eq(counts[CATALOG_DUE], 0);
	ck_assert_int_eq(catalog_occurrence_note(f.c, &o, &id, &f.e), -1);
	ck_assert_int_eq(f.e.code, ERR_BUG);
	catalog_end_read(f.c);
	ok(&f,
	   catalog_occurrence_counts(f.c, NULL, at(0), at(0), counts, &f.e));
	ck_assert_uint_eq(counts[CATALOG_DUE], 1);
}
END_TEST

struct nested {
	struct frame *f;
	int depth, seen, stop_at;
};

static int list_within(void *arg, const struct catalog_occurrence *o,
		       struct err *e)
{
	const struct catalog_occurrence_filter all = { .limit = 0 };
	struct nested *n = arg;
	int64_t id;

	n->seen++;
	if (n->stop_at == n->seen)
		return 1;
	if (n->depth == 0)
		return 0;
	n->depth--;
	/* The same statement again, while it is in use. */
	ok(n->f, catalog_occurrences(n->f->c, &all, list_within, n, e));
	ck_assert_int_eq(catalog_occurrence_note(n->f->c, o, &id, e), -1);
	ck_assert_int_eq(e->code, ERR_BUG);
	return 0;
}

START_TEST(a_visitor_may_list_and_stop_but_not_write)
{
	CLEANUP(frame_done) struct frame f;
	const struct catalog_occurrence_filter all = { .limit = 0 };
	struct nested n = { .f = &f, .depth = 2 };

	frame_open(&f);
	for (int i = 1; i <= 3; i++)
		(void)note_due(&f, i);
	ok(&f, catalog_occurrences(f.c, &all, list_within, &n, &f.e));
	ck_assert_int_eq(n.seen, 9);
	n = (struct nested){ .f = &f, .stop_at = 2 };
	ok(&f, catalog_occurrences(f.c, &all, list_within, &n, &f.e));
	ck_assert_int_eq(n.seen, 2);
	/* Afterwards writing works again. */
	(void)note_due(&f, 9);
}
END_TEST

static int refuse(void *arg, const struct catalog_occurrence *o, struct err *e)
{
	(void)arg;
	(void)o;
	return err_set(e, ERR_INTERRUPTED, "enough");
}

START_TEST(a_visitor_that_fails_fails_the_list)
{
	CLEANUP(frame_done) struct frame f;
	const struct catalog_occurrence_filter all = { .limit = 0 };

	frame_open(&f);
	(void)note_due(&f, 1);
	ck_assert_int_eq(catalog_occurrences(f.c, &all, refuse, NULL, &f.e),
			 -1);
	ck_assert_int_eq(f.e.code, ERR_INTERRUPTED);
	(void)note_due(&f, 2);
}
END_TEST

static void scribble(const char *path, off_t offset, size_t n)
{
	const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	char junk[4096];

	memset(junk, 0xa5, sizeof(junk));
	ck_assert_int_ge(fd, 0);
	for (size_t i = 0; i < n; i += sizeof(junk))
		ck_assert_int_eq(
			pwrite(fd, junk, sizeof(junk), offset + (off_t)i),
			(ssize_t)sizeof(junk));
	(void)close(fd);
}

START_TEST(a_damaged_file_is_named_with_its_mend)
{
	CLEANUP(frame_done) struct frame f;
	struct catalog *c = NULL;
	struct stat st;
	int got;

	frame_open(&f);
	for (int i = 1; i <= 500; i++)
		(void)note_due(&f, i);
	catalog_close(f.c);
	f.c = NULL;
	ck_assert_int_eq(stat(f.path, &st), 0);
	/* All but the first page: the file opens, its contents do not. */
	scribble(f.path, 4096, (size_t)st.st_size - 4096);
	got = catalog_open(f.path, &c, &f.e);
	if (got == 0) {
		got = catalog_check(c, &f.e);
		catalog_close(c);
	}
	ck_assert_int_eq(got, -1);
	ck_assert_int_eq(f.e.code, ERR_CORRUPT);
	ck_assert_ptr_nonnull(strstr(f.e.hint, "catalog rebuild"));
	/* The first page as well. */
	scribble(f.path, 0, 4096);
	ck_assert_int_eq(catalog_open(f.path, &c, &f.e), -1);
	ck_assert_int_eq(f.e.code, ERR_CORRUPT);
	ck_assert_ptr_nonnull(strstr(f.e.hint, "catalog rebuild"));
}
END_TEST

START_TEST(a_dangling_reference_is_found)
{
	CLEANUP(frame_done) struct frame f;

	frame_open(&f);
	frame_sql(&f, "PRAGMA foreign_keys = OFF; INSERT INTO evaluations "
		      "(uid, repository, source, region, policy, policy_uid, "
		      "policy_version, now_us, actor, inputs, summary) VALUES "
		      "('u', '', '', '', '', '', 1, 1, '', 77, '{}')");
	ck_assert_int_eq(catalog_check(f.c, &f.e), -1);
	ck_assert_int_eq(f.e.code, ERR_CORRUPT);
	ck_assert_ptr_nonnull(strstr(f.e.text, "evaluations"));
}
END_TEST

START_TEST(another_programs_database_is_left_alone)
{
	CLEANUP(frame_done) struct frame f;
	struct catalog *c = NULL;
	char before[SCRATCH_PATH];

	frame_open(&f);
	catalog_close(f.c);
	f.c = NULL;
	(void)scratch_path(&f.dir, "other.db", f.path);
	frame_sql(&f, "CREATE TABLE songs (title TEXT)");
	ck_assert_int_eq(catalog_open(f.path, &c, &f.e), -1);
	ck_assert_int_eq(f.e.code, ERR_EXISTS);
	ck_assert_int_eq(frame_count(&f, "SELECT count(*) FROM sqlite_schema"),
			 1);
	ck_assert_int_eq(frame_count(&f, "PRAGMA application_id"), 0);
	(void)scratch_path(&f.dir, "other.db-wal", before);
	ck_assert_int_eq(access(before, F_OK), -1);
}
END_TEST

START_TEST(a_place_that_cannot_be_written_is_told)
{
	CLEANUP(frame_done) struct frame f;
	struct catalog *c = NULL;
	char path[SCRATCH_PATH];

	frame_open(&f);
	(void)scratch_path(&f.dir, "no/such/catalog.db", path);
	ck_assert_int_eq(catalog_open(path, &c, &f.e), -1);
	ck_assert_int_eq(f.e.code, ERR_NOT_FOUND);
	(void)scratch_path(&f.dir, "folder", path);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	ck_assert_int_eq(catalog_open(path, &c, &f.e), -1);
	ck_assert_int_ne(f.e.code, ERR_BUG);
}
END_TEST

START_TEST(instants_keep_their_microseconds)
{
	CLEANUP(frame_done) struct frame f;
	struct catalog_account a;
	const struct instant odd = { .sec = -2, .nsec = 999999000 };
	const struct instant fine = { .sec = 1767225600, .nsec = 123456789 };

	frame_open(&f);
	ok(&f, catalog_account_set(f.c, "u", odd, &f.e));
	ck_assert_int_eq(catalog_account_get(f.c, "u", &a, &f.e), 1);
	ck_assert_int_eq(a.accounted.sec, -2);
	ck_assert_uint_eq(a.accounted.nsec, 999999000);
	ok(&f, catalog_account_set(f.c, "u", fine, &f.e));
	ck_assert_int_eq(catalog_account_get(f.c, "u", &a, &f.e), 1);
	ck_assert_uint_eq(a.accounted.nsec, 123456000);
	ck_assert_int_eq(a.applied.sec, -2);
	ck_assert_int_eq(catalog_account_get(f.c, "v", &a, &f.e), 0);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, a_new_catalog_is_private_and_keeps_its_identity);
	tcase_add_test(tc, a_transaction_is_all_or_nothing_and_nests);
	tcase_add_test(tc, a_rollback_that_fails_leaves_nothing_behind);
	tcase_add_test(tc, a_transaction_that_is_left_open_is_undone);
	tcase_add_test(tc, a_read_transaction_sees_one_moment);
	tcase_add_test(tc, a_visitor_may_list_and_stop_but_not_write);
	tcase_add_test(tc, a_visitor_that_fails_fails_the_list);
	tcase_add_test(tc, a_damaged_file_is_named_with_its_mend);
	tcase_add_test(tc, a_dangling_reference_is_found);
	tcase_add_test(tc, another_programs_database_is_left_alone);
	tcase_add_test(tc, a_place_that_cannot_be_written_is_told);
	tcase_add_test(tc, instants_keep_their_microseconds);
}
CHECK_MAIN("service/catalog", cases)

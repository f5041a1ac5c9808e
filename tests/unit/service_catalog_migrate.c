/* Migrations: order, digests, copies, races, and kills at every write. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "service/catalog_internal.h"
#include "tests/support/catalog_frame.h"
#include "tests/support/check_main.h"

#define D1 "1111111111111111111111111111111111111111111111111111111111111111"
#define D2 "2222222222222222222222222222222222222222222222222222222222222222"
#define D3 "3333333333333333333333333333333333333333333333333333333333333333"

static const struct migration chain[] = {
	{ 1, "one", D1,
	  "CREATE TABLE a (n INTEGER) STRICT; "
	  "INSERT INTO a VALUES (1)" },
	{ 2, "two", D2,
	  "CREATE TABLE b (n INTEGER) STRICT; "
	  "INSERT INTO b SELECT n + 1 FROM a" },
	{ 3, "three", D3,
	  "ALTER TABLE b ADD COLUMN m INTEGER; "
	  "UPDATE b SET m = n + 1" },
};

/* A folder with a path in it; no catalog yet. */
static void begin(struct frame *f)
{
	memset(f, 0, sizeof(*f));
	scratch_init(&f->dir);
	(void)scratch_path(&f->dir, "catalog.db", f->path);
}

static int migrate(struct frame *f, const struct migration *all, size_t n)
{
	CLEANUP(sql_close) struct sql *db = NULL;

	ok(f, sql_open(f->path, &db, &f->e));
	return catalog_migrate(db, f->path, all, n, &f->e);
}

static bool has_copy(const struct frame *f, const char *name)
{
	char path[SCRATCH_PATH];

	return access(scratch_path(&f->dir, name, path), F_OK) == 0;
}

START_TEST(a_fresh_file_takes_all_and_keeps_no_copy)
{
	CLEANUP(frame_done) struct frame f;

	begin(&f);
	ok(&f, migrate(&f, chain, 3));
	ck_assert_int_eq(frame_count(&f, "SELECT m FROM b"), 3);
	ck_assert_int_eq(frame_count(&f, "SELECT count(*) FROM migrations"), 3);
	ck_assert(!has_copy(&f, "catalog.db.before-0002"));
	ok(&f, migrate(&f, chain, 3));
	ck_assert_int_eq(frame_count(&f, "SELECT count(*) FROM b"), 1);
}
END_TEST

START_TEST(an_older_file_is_copied_and_brought_up)
{
	CLEANUP(frame_done) struct frame f;

	begin(&f);
	ok(&f, migrate(&f, chain, 1));
	ok(&f, migrate(&f, chain, 3));
	ck_assert_int_eq(frame_count(&f, "SELECT m FROM b"), 3);
	ck_assert(has_copy(&f, "catalog.db.before-0002"));
	ck_assert(!has_copy(&f, "catalog.db.before-0003"));
	ck_assert(!has_copy(&f, "catalog.db.before-0002.part"));
	/* The copy is the catalog as it was. */
	(void)scratch_path(&f.dir, "catalog.db.before-0002", f.path);
	ck_assert_int_eq(frame_count(&f, "SELECT count(*) FROM migrations"), 1);
	ck_assert_int_eq(frame_count(&f, "SELECT n FROM a"), 1);
	ok(&f, migrate(&f, chain, 2));
}
END_TEST

START_TEST(an_altered_migration_is_refused)
{
	CLEANUP(frame_done) struct frame f;
	struct migration other[3];

	begin(&f);
	ok(&f, migrate(&f, chain, 2));
	memcpy(other, chain, sizeof(other));
	other[0].digest = D3;
	ck_assert_int_eq(migrate(&f, other, 3), -1);
	ck_assert_int_eq(f.e.code, ERR_CORRUPT);
	ck_assert_ptr_nonnull(strstr(f.e.text, "migration 1"));
	ck_assert_int_eq(frame_count(&f, "SELECT count(*) FROM migrations"), 2);
}
END_TEST

START_TEST(a_newer_catalog_is_refused)
{
	CLEANUP(frame_done) struct frame f;

	begin(&f);
	ok(&f, migrate(&f, chain, 3));
	ck_assert_int_eq(migrate(&f, chain, 2), -1);
	ck_assert_int_eq(f.e.code, ERR_NEWER);
	ck_assert_int_eq(frame_count(&f, "SELECT count(*) FROM migrations"), 3);
}
END_TEST

START_TEST(a_migration_that_fails_leaves_the_file_as_it_was)
{
	CLEANUP(frame_done) struct frame f;
	struct migration bad[3];

	begin(&f);
	ok(&f, migrate(&f, chain, 1));
	memcpy(bad, chain, sizeof(bad));
	bad[1].sql = "CREATE TABLE b (n INTEGER) STRICT; "
		     "INSERT INTO nowhere VALUES (1)";
	ck_assert_int_eq(migrate(&f, bad, 3), -1);
	ck_assert_ptr_nonnull(strstr(f.e.text, "migration 0002_two"));
	ck_assert_int_eq(frame_count(&f, "SELECT count(*) FROM migrations"), 1);
	ck_assert_int_eq(frame_count(&f,
				     "SELECT count(*) FROM sqlite_schema WHERE "
				     "name = 'b'"),
			 0);
	ok(&f, migrate(&f, chain, 3));
}
END_TEST

START_TEST(openers_racing_each_other_all_succeed)
{
	CLEANUP(frame_done) struct frame f;
	pid_t pids[4];

	begin(&f);
	for (int i = 0; i < 4; i++) {
		pids[i] = check_fork_child();
		if (pids[i] == 0) {
			struct catalog *c = NULL;
			struct err e;

			if (catalog_open(f.path, &c, &e) < 0) {
				(void)fprintf(stderr, "%s\n", e.text);
				_exit(1);
			}
			catalog_close(c);
			_exit(0);
		}
	}
	for (int i = 0; i < 4; i++) {
		int status;

		ck_assert_int_eq(waitpid(pids[i], &status, 0), pids[i]);
		ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	}
	ck_assert_int_eq(frame_count(&f, "SELECT count(*) FROM migrations"),
			 (int64_t)migrations_count);
	ck_assert_int_eq(frame_count(&f, "SELECT count(*) FROM identity"), 1);
}
END_TEST

/* ---- Kills: SQLite's own writes, counted from outside ------------------- */

static sqlite3_syscall_ptr real_pwrite, real_unlink, real_truncate;
static int writes_left;

static void one_write(void)
{
	if (--writes_left == 0)
		(void)kill(getpid(), SIGKILL);
}

static ssize_t dying_pwrite(int fd, const void *bytes, size_t n, off_t at_byte)
{
	one_write();
	return ((ssize_t(*)(int, const void *, size_t, off_t))real_pwrite)(
		fd, bytes, n, at_byte);
}

static int dying_unlink(const char *path)
{
	one_write();
	return ((int (*)(const char *))real_unlink)(path);
}

static int dying_truncate(int fd, off_t size)
{
	one_write();
	return ((int (*)(int, off_t))real_truncate)(fd, size);
}

static void die_at_write(int n)
{
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);

	writes_left = n;
	real_pwrite = vfs->xGetSystemCall(vfs, "pwrite64");
	real_unlink = vfs->xGetSystemCall(vfs, "unlink");
	real_truncate = vfs->xGetSystemCall(vfs, "ftruncate");
	(void)vfs->xSetSystemCall(vfs, "pwrite64",
				  (sqlite3_syscall_ptr)dying_pwrite);
	(void)vfs->xSetSystemCall(vfs, "pwrite",
				  (sqlite3_syscall_ptr)dying_pwrite);
	(void)vfs->xSetSystemCall(vfs, "unlink",
				  (sqlite3_syscall_ptr)dying_unlink);
	(void)vfs->xSetSystemCall(vfs, "ftruncate",
				  (sqlite3_syscall_ptr)dying_truncate);
}

/* Whether a process that dies at its nth write got to the end before. */
static bool survives(struct frame *f, size_t from, int n)
{
	int status;
	pid_t pid;

	if (from > 0)
		ok(f, migrate(f, chain, from));
	pid = check_fork_child();
	if (pid == 0) {
		die_at_write(n);
		_exit(migrate(f, chain, 3) < 0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status))
		ck_assert_int_eq(WEXITSTATUS(status), 0);
	return WIFEXITED(status);
}

START_TEST(killed_at_each_write_the_next_opener_finishes)
{
	bool survived = false;
	int n = 0;

	while (!survived && ++n < 500) {
		CLEANUP(frame_done) struct frame f;

		begin(&f);
		survived = survives(&f, (size_t)_i, n);
		ok(&f, migrate(&f, chain, 3));
		ck_assert_int_eq(frame_count(&f, "SELECT m FROM b"), 3);
		ck_assert_int_eq(frame_count(&f, "SELECT count(*) FROM b"), 1);
		ck_assert(!has_copy(&f, "catalog.db.before-0002.part"));
	}
	/* There were writes to die at, and an end to them. */
	ck_assert(survived);
	ck_assert_int_gt(n, 5);
}
END_TEST

START_TEST(the_compiled_in_table_is_in_order)
{
	ck_assert_uint_gt(migrations_count, 0);
	for (size_t i = 0; i < migrations_count; i++) {
		ck_assert_int_eq(migrations_all[i].number, (int)i + 1);
		ck_assert_uint_eq(strlen(migrations_all[i].digest), 64);
	}
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, a_fresh_file_takes_all_and_keeps_no_copy);
	tcase_add_test(tc, an_older_file_is_copied_and_brought_up);
	tcase_add_test(tc, an_altered_migration_is_refused);
	tcase_add_test(tc, a_newer_catalog_is_refused);
	tcase_add_test(tc, a_migration_that_fails_leaves_the_file_as_it_was);
	tcase_add_test(tc, openers_racing_each_other_all_succeed);
	tcase_add_loop_test(tc, killed_at_each_write_the_next_opener_finishes,
			    0, 2);
	tcase_add_test(tc, the_compiled_in_table_is_in_order);
}
CHECK_MAIN("service/catalog migrate", cases)

/* What SQLite writes passes base/seam.h, and fails as it says. */
#include <errno.h>

#include "base/seam.h"
#include "tests/support/catalog_frame.h"
#include "tests/support/check_main.h"

struct watch {
	char text[8192];    /* "kind end-of-path", one a line */
	unsigned int n;	    /* calls so far */
	unsigned int fail;  /* which of them fails; 0: none */
	int sys;	    /* with what */
	enum seam_call hit; /* the kind of the one that failed */
};

static int note(void *arg, enum seam_call call, const char *path)
{
	static const char *const kinds[SEAM_COUNT] = {
		[SEAM_OPEN_WRITE] = "open",   [SEAM_WRITE] = "write",
		[SEAM_FSYNC] = "fsync",	      [SEAM_SYNC_DIR] = "sync-dir",
		[SEAM_RENAME] = "rename",     [SEAM_UNLINK] = "unlink",
		[SEAM_TRUNCATE] = "truncate",
	};
	struct watch *s = arg;
	const char *slash = strrchr(path, '/');
	const size_t used = strlen(s->text);

	s->n++;
	(void)snprintf(s->text + used, sizeof(s->text) - used, "%s %s\n",
		       kinds[call] ? kinds[call] : "other",
		       slash ? slash + 1 : path);
	if (s->n != s->fail)
		return 0;
	s->hit = call;
	return s->sys;
}

static void expect(const struct watch *s, const char *line)
{
	ck_assert_msg(strstr(s->text, line), "no \"%s\" in:\n%.3000s", line,
		      s->text);
}

static int change(struct frame *f)
{
	const struct instant t = { .sec = 100 };

	return catalog_account_set(f->c, "u", t, &f->e);
}

START_TEST(all_that_sqlite_writes_passes_the_seam)
{
	CLEANUP(frame_done) struct frame f;
	struct watch s = { .fail = 0 };

	frame_open(&f);
	seam_set_hook(note, &s);
	ok(&f, change(&f));
	expect(&s, "write catalog.db-wal\n");
	expect(&s, "fsync catalog.db-wal\n");
	ck_assert_ptr_null(strstr(s.text, " catalog.db\n"));
	s.text[0] = '\0';
	catalog_close(f.c);
	f.c = NULL;
	expect(&s, "write catalog.db\n");
	expect(&s, "fsync catalog.db\n");
	expect(&s, "unlink catalog.db-wal\n");
	s.text[0] = '\0';
	ok(&f, catalog_open(f.path, &f.c, &f.e));
	expect(&s, "open catalog.db\n");
	seam_set_hook(NULL, NULL);
}
END_TEST

/*
 * A failure of any one call: told as what it is, and what was there before
 * stands.  Neither a failed copy of the log into the file nor one at closing
 * undoes what was acknowledged.
 */
static unsigned int fail_each(int sys)
{
	bool failed = true;
	unsigned int refused = 0;

	for (unsigned int n = 1; failed; n++) {
		CLEANUP(frame_done) struct frame f;
		struct watch s = { .fail = n, .sys = sys };
		int got;

		frame_open(&f);
		ok(&f, change(&f));
		catalog_close(f.c);
		f.c = NULL;
		seam_set_hook(note, &s);
		got = catalog_open(f.path, &f.c, &f.e);
		if (got == 0)
			got = catalog_account_set(
				f.c, "v", (struct instant){ .sec = 200 }, &f.e);
		catalog_close(f.c);
		f.c = NULL;
		seam_set_hook(NULL, NULL);
		failed = s.n >= n;
		if (got < 0) {
			refused++;
			ck_assert_msg(failed, "%s", f.e.text);
			/* A full disk is told as such by a write. */
			if (sys != ENOSPC || s.hit == SEAM_WRITE)
				ck_assert_msg(f.e.code == (sys == ENOSPC
								   ? ERR_FULL
								   : ERR_IO),
					      "at %u: %s", n, f.e.text);
		}
		ok(&f, catalog_open(f.path, &f.c, &f.e));
		ok(&f, catalog_check(f.c, &f.e));
		ck_assert_int_eq(frame_count(&f,
					     "SELECT count(*) FROM accounts "
					     "WHERE schedule_uid = 'u'"),
				 1);
		if (got == 0)
			ck_assert_int_eq(
				frame_count(
					&f,
					"SELECT count(*) FROM "
					"accounts WHERE schedule_uid = 'v'"),
				1);
	}
	return refused;
}

START_TEST(a_call_that_fails_is_told_and_loses_nothing)
{
	ck_assert_uint_ge(fail_each(EIO), 3);
	ck_assert_uint_ge(fail_each(ENOSPC), 3);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, all_that_sqlite_writes_passes_the_seam);
	tcase_add_test(tc, a_call_that_fails_is_told_and_loses_nothing);
}
CHECK_MAIN("service/sql_vfs", cases)

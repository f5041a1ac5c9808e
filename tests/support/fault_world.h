/*
 * The world of a run_frame as a story finds it, over and over: kept once, at
 * the same place anew before each telling.  Each file of it is seen to be
 * copied whole: of a world with a hole a story would tell something else.
 */
#ifndef TESTS_SUPPORT_FAULT_WORLD_H
#define TESTS_SUPPORT_FAULT_WORLD_H

#include <dirent.h>
#include <errno.h>

#include <libfyaml.h>

#include "tests/support/alloc_all.h"
#include "tests/support/fault_story.h"
#include "tests/support/run_frame.h"

/* It dies in there without memory, as of version 0.7, also of what the C
 * library asks for. */
int __real_fy_parser_set_string(struct fy_parser *p, const char *s, size_t n);
int __wrap_fy_parser_set_string(struct fy_parser *p, const char *s, size_t n);
int __wrap_fy_parser_set_string(struct fy_parser *p, const char *s, size_t n)
{
	int r;

	alloc_all_rest(true);
	r = __real_fy_parser_set_string(p, s, n);
	alloc_all_rest(false);
	return r;
}

static char fault_world_kept[SCRATCH_PATH + 16];

static inline void fault_world_copy_file(const char *from, const char *to)
{
	static uint8_t bytes[1 << 22];
	FILE *in = fopen(from, "re");
	FILE *out = fopen(to, "we");
	size_t n;

	ck_assert(in && out);
	n = fread(bytes, 1, sizeof(bytes), in);
	ck_assert_uint_lt(n, sizeof(bytes));
	ck_assert_uint_eq(fwrite(bytes, 1, n, out), n);
	(void)fclose(in);
	ck_assert_int_eq(fclose(out), 0);
	ck_assert_int_eq(chmod(to, 0600), 0);
}

static inline void fault_world_copy(const char *from, const char *to)
{
	DIR *d = opendir(from);
	const struct dirent *entry;

	ck_assert_ptr_nonnull(d);
	ck_assert_int_eq(mkdir(to, 0700), 0);
	while ((entry = readdir(d))) {
		char old[3 * SCRATCH_PATH];
		char new[3 * SCRATCH_PATH];

		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(old, sizeof(old), "%.1000s/%s", from,
			       entry->d_name);
		(void)snprintf(new, sizeof(new), "%.1000s/%s", to,
			       entry->d_name);
		if (entry->d_type == DT_DIR)
			fault_world_copy(old, new);
		else
			fault_world_copy_file(old, new);
	}
	(void)closedir(d);
}

/* As it is now.  The catalog is closed from here on. */
static inline void fault_world_keep(struct run_frame *t)
{
	catalog_close(t->f.c);
	t->f.c = NULL;
	(void)snprintf(fault_world_kept, sizeof(fault_world_kept), "%s.kept",
		       t->root);
	ck_assert_int_eq(rename(t->root, fault_world_kept), 0);
	ck_assert_int_eq(mkdir(t->root, 0700), 0);
}

static inline void fault_world_anew(struct run_frame *t)
{
	catalog_close(t->f.c);
	t->f.c = NULL;
	scratch_remove(t->root);
	fault_world_copy(fault_world_kept, t->root);
}

static inline void fault_world_done(void)
{
	scratch_remove(fault_world_kept);
}

/* The catalog opens, and is sound. */
static inline void fault_world_open(struct run_frame *t, const char *when)
{
	struct catalog_audit_state audit;

	if (catalog_open(t->f.path, &t->f.c, &t->f.e) ||
	    catalog_check(t->f.c, &t->f.e) ||
	    catalog_audit_verify(t->f.c, &audit, &t->f.e))
		ck_abort_msg("after %s: %s", when, t->f.e.text);
	ck_assert_msg(audit.sound, "after %s: the audit trail is broken", when);
}

/* What went wrong in steps of runs, as the catalog has it. */
static inline void fault_world_said(struct run_frame *t, char *out, size_t n)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *s = NULL;

	ck_assert_int_eq(sqlite3_open(t->f.path, &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_prepare_v2(
				 db,
				 "SELECT coalesce(group_concat(message, '; '), "
				 "'') FROM run_steps "
				 "WHERE state IN ('failed', 'partial')",
				 -1, &s, NULL),
			 SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(s), SQLITE_ROW);
	(void)snprintf(out, n, "%s", (const char *)sqlite3_column_text(s, 0));
	(void)sqlite3_finalize(s);
	(void)sqlite3_close(db);
}

/* It failed as a whole, or ends in a state other than that of good days. */
static inline void fault_world_expect_cause(struct run_frame *t,
					    const struct telling *x,
					    const struct err *failed, bool good)
{
	char said[4096];

	if (good && !failed)
		return;
	fault_world_said(t, said, sizeof(said));
	/* It says only that, and where the cause of each is. */
	if (!failed &&
	    (strstr(said, "`snapctl snapshot show ") ||
	     (x->sys == EIO && strstr(said, "`snapctl repo check "))))
		return;
	fault_expect_cause(x, failed, said,
			   failed && failed->code == ERR_CORRUPT);
}

#endif

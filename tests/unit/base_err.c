#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/check_main.h"

START_TEST(describes_and_wraps)
{
	struct err e = { .code = ERR_NONE };

	ck_assert_int_eq(err_set(&e, ERR_CORRUPT, "pack %d is short", 7), -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	ck_assert_int_eq(e.sys, 0);
	ck_assert_str_eq(e.text, "pack 7 is short");
	ck_assert_int_eq(err_hint(&e, "run %s", "check"), -1);
	ck_assert_int_eq(err_wrap(&e, "region \"%s\"", "eu"), -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	ck_assert_str_eq(e.text, "region \"eu\": pack 7 is short");
	ck_assert_str_eq(e.hint, "run check");
	/* A new failure takes nothing over from the last one. */
	ck_assert_int_eq(err_oom(&e), -1);
	ck_assert_int_eq(e.code, ERR_NO_MEMORY);
	ck_assert_str_eq(e.text, "out of memory");
	ck_assert_str_eq(e.hint, "");
	err_clear(&e);
	ck_assert_int_eq(e.code, ERR_NONE);
	ck_assert_str_eq(e.text, "");
}
END_TEST

START_TEST(adds_a_reason_that_is_known)
{
	struct err e = { 0 };

	(void)err_set(&e, ERR_CORRUPT, "it does not open");
	err_add_reason(&e, 0);
	ck_assert_str_eq(e.text, "it does not open");
	ck_assert_int_eq(e.sys, 0);
	err_add_reason(&e, EIO);
	ck_assert_str_eq(e.text, "it does not open: input/output error");
	ck_assert_int_eq(e.sys, EIO);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
}
END_TEST

START_TEST(maps_errno)
{
	static const struct {
		int sys;
		enum err_code code;
		const char *text;
	} rows[] = {
		{ ENOSPC, ERR_FULL, "no space left on device" },
		{ EDQUOT, ERR_FULL, "disk quota exceeded" },
		{ EACCES, ERR_DENIED, "permission denied" },
		{ EPERM, ERR_DENIED, "operation not permitted" },
		{ ENOENT, ERR_NOT_FOUND, "no such file or directory" },
		{ ENOMEM, ERR_NO_MEMORY, "out of memory" },
		{ EIO, ERR_IO, "input/output error" },
		{ EROFS, ERR_DENIED, "read-only file system" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err e;
		char want[200];

		errno = rows[i].sys;
		ck_assert_int_eq(err_sys(&e, "cannot open \"%s\"", "/x"), -1);
		ck_assert_int_eq(e.code, rows[i].code);
		ck_assert_int_eq(e.sys, rows[i].sys);
		(void)snprintf(want, sizeof(want), "cannot open \"/x\": %s",
			       rows[i].text);
		ck_assert_str_eq(e.text, want);
		ck_assert_int_eq(err_advice(&e) != NULL,
				 rows[i].sys == EACCES ||
					 rows[i].sys == EROFS ||
					 rows[i].code == ERR_FULL);
	}
}
END_TEST

START_TEST(knows_a_text_for_every_errno)
{
	for (int sys = -1; sys < 5000; sys++)
		ck_assert_uint_gt(strlen(err_errno_text(sys)), 3);
	ck_assert_str_eq(err_errno_text(4999), "unknown system error");
}
END_TEST

START_TEST(cuts_what_is_too_long)
{
	struct err e;
	char text[2000];

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	ck_assert_int_eq(err_set(&e, ERR_USAGE, "%s", text), -1);
	ck_assert_uint_eq(strlen(e.text), sizeof(e.text) - 1);
	ck_assert_int_eq(err_wrap(&e, "%s", text), -1);
	ck_assert_uint_eq(strlen(e.text), sizeof(e.text) - 1);
	ck_assert_int_eq(err_hint(&e, "%s", text), -1);
	ck_assert_uint_eq(strlen(e.hint), sizeof(e.hint) - 1);
	errno = EIO;
	ck_assert_int_eq(err_sys(&e, "%s", text), -1);
	ck_assert_uint_eq(strlen(e.text), sizeof(e.text) - 1);
}
END_TEST

/* Scripts depend on these: design, section 10. */
START_TEST(keeps_the_contract_with_scripts)
{
	static const struct {
		enum err_code code;
		const char *name;
		int exit_status;
	} rows[] = {
		{ ERR_USAGE, "usage", 2 },
		{ ERR_PARTIAL, "partial", 3 },
		{ ERR_CORRUPT, "corrupt", 4 },
		{ ERR_BAD_KEY, "bad-key", 4 },
		{ ERR_NOT_FOUND, "not-found", 5 },
		{ ERR_BUSY, "busy", 6 },
		{ ERR_DENIED, "denied", 7 },
		{ ERR_INTERRUPTED, "interrupted", 130 },
		{ ERR_EXISTS, "exists", 1 },
		{ ERR_NEWER, "newer", 1 },
		{ ERR_IO, "io", 1 },
		{ ERR_FULL, "full", 1 },
		{ ERR_NO_MEMORY, "no-memory", 1 },
		{ ERR_BUG, "bug", 1 },
		{ ERR_IN_USE, "in-use", 1 },
	};
	const size_t n = sizeof(rows) / sizeof(rows[0]);

	ck_assert_uint_eq(n + 1, ERR_COUNT);
	for (size_t i = 0; i < n; i++) {
		ck_assert_str_eq(err_kind(rows[i].code)->name, rows[i].name);
		ck_assert_int_eq(err_kind(rows[i].code)->exit_status,
				 rows[i].exit_status);
		ck_assert_int_eq(err_code_named(rows[i].name), rows[i].code);
		ck_assert_int_ge(err_kind(rows[i].code)->http_status, 200);
	}
	ck_assert_int_eq(err_code_named("none"), ERR_NONE);
	ck_assert_int_eq(err_code_named("nonsense"), ERR_NONE);
	ck_assert_ptr_eq(err_kind(ERR_COUNT), err_kind(ERR_BUG));
	ck_assert_ptr_eq(err_kind((enum err_code) - 5), err_kind(ERR_BUG));
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, describes_and_wraps);
	tcase_add_test(tc, adds_a_reason_that_is_known);
	tcase_add_test(tc, maps_errno);
	tcase_add_test(tc, knows_a_text_for_every_errno);
	tcase_add_test(tc, cuts_what_is_too_long);
	tcase_add_test(tc, keeps_the_contract_with_scripts);
}

CHECK_MAIN("base/err", cases)

#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/*
 * The contract with scripts (exit status) and HTTP clients, once.  Rows are
 * indexed by code; err_kind() maps anything else to the row of ERR_BUG.
 */
static const struct err_kind err_kinds[ERR_COUNT] = {
	[ERR_NONE] = { "none", 0, 200, 0, NULL },
	[ERR_USAGE] = { "usage", 2, 400, 0, NULL },
	[ERR_PARTIAL] = { "partial", 3, 200, 0, NULL },
	[ERR_DENIED] = { "denied", 7, 403, 0, NULL },
	[ERR_BAD_KEY] = { "bad-key", 4, 403, 0, NULL },
	[ERR_NOT_FOUND] = { "not-found", 5, 404, 0, NULL },
	[ERR_EXISTS] = { "exists", 1, 409, 0, NULL },
	[ERR_BUSY] = { "busy", 6, 503, 1, "try again in a while" },
	[ERR_CORRUPT] = { "corrupt", 4, 500, 0, NULL },
	[ERR_NEWER] = { "newer", 1, 500, 0,
			"a newer snapctl made it: upgrade this one" },
	[ERR_IO] = { "io", 1, 500, 1, NULL },
	[ERR_FULL] = { "full", 1, 507, 1,
		       "make room there and run it again: nothing is "
		       "half-done" },
	[ERR_NO_MEMORY] = { "no-memory", 1, 503, 1, NULL },
	[ERR_INTERRUPTED] = { "interrupted", 130, 503, 1,
			      "nothing is half-done: run it again to "
			      "continue" },
	[ERR_BUG] = { "bug", 1, 500, 0,
		      "this is a defect of snapctl: please report it" },
	[ERR_IN_USE] = { "in-use", 1, 409, 0, NULL },
};

PRINTF_LIKE(3, 0)
static void set_text(struct err *e, enum err_code code, const char *fmt,
		     va_list ap)
{
	e->code = code;
	e->sys = 0;
	e->of_store = false;
	e->hint[0] = '\0';
	(void)vsnprintf(e->text, sizeof(e->text), fmt, ap);
}

void err_put_(struct err *e, enum err_code code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	set_text(e, code, fmt, ap);
	va_end(ap);
}

enum err_code err_code_of_errno(int sys)
{
	switch (sys) {
	case ENOSPC:
	case EDQUOT:
		return ERR_FULL;
	case EACCES:
	case EPERM:
	case EROFS:
		return ERR_DENIED;
	case ENOENT:
		return ERR_NOT_FOUND;
	case ENOMEM:
		return ERR_NO_MEMORY;
	default:
		return ERR_IO;
	}
}

void err_add_reason(struct err *e, int sys)
{
	const size_t used = strlen(e->text);

	if (sys == 0)
		return;
	e->sys = sys;
	(void)snprintf(e->text + used, sizeof(e->text) - used, ": %s",
		       err_errno_text(sys));
}

void err_put_sys_(struct err *e, const char *fmt, ...)
{
	const int sys = errno;
	va_list ap;

	va_start(ap, fmt);
	set_text(e, err_code_of_errno(sys), fmt, ap);
	va_end(ap);
	err_add_reason(e, sys);
	/* What helps is the same wherever it is met. */
	if (sys == EROFS)
		err_put_hint_(e, "name another place, or mount it to be "
				 "written to");
	else if (sys == EACCES)
		err_put_hint_(e, "ask as its owner, or as root");
}

void err_put_context_(struct err *e, const char *fmt, ...)
{
	char inner[sizeof(e->text)];
	size_t used;
	va_list ap;

	memcpy(inner, e->text, sizeof(inner));
	va_start(ap, fmt);
	(void)vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	used = strlen(e->text);
	(void)snprintf(e->text + used, sizeof(e->text) - used, ": %s", inner);
}

void err_put_hint_(struct err *e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(e->hint, sizeof(e->hint), fmt, ap);
	va_end(ap);
}

const char *err_advice(const struct err *e)
{
	return e->hint[0] ? e->hint : err_kind(e->code)->advice;
}

void err_clear(struct err *e)
{
	*e = (struct err){ .code = ERR_NONE };
}

const struct err_kind *err_kind(enum err_code code)
{
	if ((unsigned int)code >= ERR_COUNT)
		return &err_kinds[ERR_BUG];
	return &err_kinds[code];
}

enum err_code err_code_named(const char *name)
{
	for (unsigned int i = 1; i < ERR_COUNT; i++)
		if (strcmp(err_kinds[i].name, name) == 0)
			return (enum err_code)i;
	return ERR_NONE;
}

const char *err_errno_text(int sys)
{
	/* The GNU strerrordesc_np() returns constants: no buffer, no locale. */
	const char *text = strerrordesc_np(sys);
	static const struct {
		int sys;
		const char *text;
	} lower[] = {
		{ ENOENT, "no such file or directory" },
		{ EACCES, "permission denied" },
		{ EPERM, "operation not permitted" },
		{ ENOSPC, "no space left on device" },
		{ EDQUOT, "disk quota exceeded" },
		{ EIO, "input/output error" },
		{ EEXIST, "file exists" },
		{ ENOTDIR, "not a directory" },
		{ EISDIR, "is a directory" },
		{ EROFS, "read-only file system" },
		{ EMFILE, "too many open files" },
		{ ENFILE, "too many open files in system" },
		{ EINTR, "interrupted system call" },
		{ EAGAIN, "resource temporarily unavailable" },
		{ ELOOP, "too many levels of symbolic links" },
		{ ECONNREFUSED, "connection refused" },
		{ ESTALE, "stale file handle" },
		{ ENOTEMPTY, "directory not empty" },
		{ ENAMETOOLONG, "file name too long" },
		{ ENODATA, "no data available" },
		{ EINVAL, "invalid argument" },
		{ ENOTSUP, "operation not supported" },
		{ EXDEV, "not on the same file system" },
		{ EBUSY, "device or resource busy" },
		{ ENOMEM, "out of memory" },
		{ EFBIG, "file too large" },
	};

	for (size_t i = 0; i < sizeof(lower) / sizeof(lower[0]); i++)
		if (lower[i].sys == sys)
			return lower[i].text;
	return text ? text : "unknown system error";
}

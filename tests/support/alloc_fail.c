#include "tests/support/alloc_fail.h"

#include <check.h>
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>

static _Thread_local unsigned int countdown;
static _Thread_local bool happened;

void alloc_fail_at(unsigned int n)
{
	countdown = n;
	happened = false;
}

bool alloc_fail_happened(void)
{
	return happened;
}

static bool fails_now(void)
{
	if (countdown == 0 || --countdown > 0)
		return false;
	happened = true;
	errno = ENOMEM;
	return true;
}

/* The linker's --wrap leads each name here, and __real_ to the original. */
#define WRAPPED(type, name, params, args)  \
	type __real_##name params;         \
	type __wrap_##name params;         \
	type __wrap_##name params          \
	{                                  \
		if (fails_now())           \
			return NULL;       \
		return __real_##name args; \
	}

WRAPPED(void *, malloc, (size_t n), (n))
WRAPPED(void *, calloc, (size_t n, size_t size), (n, size))
WRAPPED(void *, realloc, (void *p, size_t n), (p, n))
WRAPPED(void *, reallocarray, (void *p, size_t n, size_t size), (p, n, size))
WRAPPED(void *, aligned_alloc, (size_t align, size_t n), (align, n))
WRAPPED(char *, strdup, (const char *s), (s))
WRAPPED(char *, strndup, (const char *s, size_t n), (s, n))

int __real_posix_memalign(void **ret, size_t align, size_t n);
int __wrap_posix_memalign(void **ret, size_t align, size_t n);
int __wrap_posix_memalign(void **ret, size_t align, size_t n)
{
	if (fails_now())
		return ENOMEM;
	return __real_posix_memalign(ret, align, n);
}

int __real_vasprintf(char **ret, const char *fmt, va_list ap)
	__attribute__((format(printf, 2, 0)));
int __wrap_vasprintf(char **ret, const char *fmt, va_list ap)
	__attribute__((format(printf, 2, 0)));
int __wrap_vasprintf(char **ret, const char *fmt, va_list ap)
{
	if (fails_now())
		return -1;
	return __real_vasprintf(ret, fmt, ap);
}

int __wrap_asprintf(char **ret, const char *fmt, ...) PRINTF_LIKE(2, 3);
int __wrap_asprintf(char **ret, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = __wrap_vasprintf(ret, fmt, ap);
	va_end(ap);
	return n;
}

/* What the two become under _FORTIFY_SOURCE. */
int __wrap___vasprintf_chk(char **ret, int flag, const char *fmt, va_list ap)
	__attribute__((format(printf, 3, 0)));
int __wrap___vasprintf_chk(char **ret, int flag, const char *fmt, va_list ap)
{
	(void)flag;
	return __wrap_vasprintf(ret, fmt, ap);
}

int __wrap___asprintf_chk(char **ret, int flag, const char *fmt, ...)
	PRINTF_LIKE(3, 4);
int __wrap___asprintf_chk(char **ret, int flag, const char *fmt, ...)
{
	va_list ap;
	int n;

	(void)flag;
	va_start(ap, fmt);
	n = __wrap_vasprintf(ret, fmt, ap);
	va_end(ap);
	return n;
}

/* No story of ours allocates more often; one that does never ends. */
#define MOST_ALLOCATIONS 100000

unsigned int alloc_fail_each(int (*story)(void *arg, struct err *e), void *arg)
{
	for (unsigned int n = 1; n < MOST_ALLOCATIONS; n++) {
		struct err e = { .code = ERR_NONE };
		int result;
		bool failed;

		alloc_fail_at(n);
		result = story(arg, &e);
		failed = alloc_fail_happened();
		alloc_fail_at(0);
		if (!failed) {
			ck_assert_msg(result >= 0, "untroubled, it says: %s",
				      e.text);
			ck_assert_msg(n > 1, "the story allocates nothing");
			return n - 1;
		}
		ck_assert_msg(result == -1, "allocation %u failed unnoticed",
			      n);
		ck_assert_msg(e.code == ERR_NO_MEMORY,
			      "allocation %u failed: %s: %s", n,
			      err_kind(e.code)->name, e.text);
	}
	ck_abort_msg("the story does not end");
	return 0;
}

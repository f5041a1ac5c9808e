/*
 * What every fuzz target includes.  A target parses hostile bytes and abort()s
 * when a promise of the parser does not hold; FUZZ_PROMISE says which.
 */
#ifndef TESTS_SUPPORT_FUZZ_H
#define TESTS_SUPPORT_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

#define FUZZ_PROMISE(expr)                                                   \
	do {                                                                 \
		if (!(expr)) {                                               \
			(void)fprintf(stderr, "%s:%d: broken promise: %s\n", \
				      __FILE__, __LINE__, #expr);            \
			abort();                                             \
		}                                                            \
	} while (0)

/* The input as a C string, to be freed; up to its first NUL. */
static inline char *fuzz_text(const uint8_t *bytes, size_t n)
{
	char *s = malloc(n + 1);

	if (!s)
		abort();
	if (n)
		memcpy(s, bytes, n);
	s[n] = '\0';
	return s;
}

#endif

#include "service/jsontree.h"

#include <errno.h>

/*
 * Of jansson's error codes that of memory is not among what its parser gives:
 * a string for which there is none is an "invalid token".  What is sure is what
 * malloc() leaves; free() leaves that alone, and so does the rest of the way.
 */
int jsontree_load(const char *text, size_t n, size_t flags, json_t **ret,
		  json_error_t *ret_why, struct err *e)
{
	const int before = errno;
	int failed = 0;

	errno = 0;
	*ret = json_loadb(text, n, flags, ret_why);
	if (!*ret && errno == ENOMEM)
		failed = err_oom(e);
	errno = before;
	return failed ? -1 : *ret != NULL;
}

/* What was parsed can be written, but for want of memory. */
int jsontree_text(const json_t *tree, char **ret, struct err *e)
{
	*ret = json_dumps(tree, JSON_COMPACT);
	return *ret ? 0 : err_oom(e);
}

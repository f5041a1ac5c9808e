#include "service/jsontree.h"

#include <stdbool.h>
#include <stdlib.h>

/*
 * jansson does not tell that it had no memory: a string that there is none for
 * is an "invalid token", and bytes for which a buffer could not grow are gone
 * without a word, of a token as of a text that is written.  So its allocator is
 * ours, which remembers.
 */
static _Thread_local bool lacked;

static void *get_memory(size_t n)
{
	void *got = malloc(n);

	lacked = lacked || !got;
	return got;
}

/* Before there are threads, or trees; malloc()'s own free() fits all. */
__attribute__((constructor)) static void use_our_memory(void)
{
	json_set_alloc_funcs(get_memory, free);
}

int jsontree_load(const char *text, size_t n, size_t flags, json_t **ret,
		  json_error_t *ret_why, struct err *e)
{
	lacked = false;
	*ret = json_loadb(text, n, flags, ret_why);
	if (!lacked)
		return *ret != NULL;
	json_decref(*ret);
	*ret = NULL;
	return err_oom(e);
}

char *jsontree_dump(const json_t *tree, size_t flags)
{
	char *text;

	lacked = false;
	text = json_dumps(tree, flags);
	if (!lacked)
		return text;
	free(text);
	return NULL;
}

/* What was parsed can be written, but for want of memory. */
int jsontree_text(const json_t *tree, char **ret, struct err *e)
{
	*ret = jsontree_dump(tree, JSON_COMPACT);
	return *ret ? 0 : err_oom(e);
}

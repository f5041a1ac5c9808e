#include "service/jsontree.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/*
 * jansson does not tell that it had no memory: a string that there is none for
 * is an "invalid token", and bytes for which a buffer could not grow are gone
 * without a word, of a token as of a text that is written.  So its allocator is
 * ours, which remembers.
 */
static _Thread_local bool lacked;
/* While it reads: once it lacked some it gets none, for of a token of which
 * bytes are gone it writes more than it then asks for. */
static _Thread_local bool reading;

static void *get_memory(size_t n)
{
	void *got = reading && lacked ? NULL : malloc(n);

	lacked = lacked || !got;
	return got;
}

/* Before there are threads, or trees; malloc()'s own free() fits all. */
__attribute__((constructor)) static void use_our_memory(void)
{
	json_set_alloc_funcs(get_memory, free);
}

json_t *jsontree_loadb(const char *text, size_t n, size_t flags,
		       json_error_t *ret_why)
{
	json_t *tree;

	lacked = false;
	reading = true;
	tree = json_loadb(text, n, flags, ret_why);
	reading = false;
	if (!lacked)
		return tree;
	json_decref(tree);
	return NULL;
}

json_t *jsontree_loads(const char *text, size_t flags, json_error_t *ret_why)
{
	return text ? jsontree_loadb(text, strlen(text), flags, ret_why) : NULL;
}

int jsontree_load(const char *text, size_t n, size_t flags, json_t **ret,
		  json_error_t *ret_why, struct err *e)
{
	*ret = jsontree_loadb(text, n, flags, ret_why);
	return lacked ? err_oom(e) : *ret != NULL;
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

/*
 * JSON texts as trees of jansson's.  It tells by NULL both that a text is no
 * JSON and that there is no memory for it, mostly without saying which; who
 * reads an answer wants to know, as a sound one can be asked for again.
 */
#ifndef SERVICE_JSONTREE_H
#define SERVICE_JSONTREE_H

#include <jansson.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"

/*
 * As json_loadb(): 1, and *ret is for json_decref(); 0 when the text is no
 * JSON, as *ret_why (may be NULL) tells; -1 out of memory.  Else *ret is NULL.
 */
int jsontree_load(const char *text, size_t n, size_t flags, json_t **ret,
		  json_error_t *ret_why, struct err *e) NONNULL(1, 4, 6)
	MUST_CHECK;
/* As json_loadb() and json_loads(); NULL, too, when there was no memory for all
 * of it, which *ret_why then need not tell.  Of NULL jsontree_loads() gives
 * NULL. */
json_t *jsontree_loadb(const char *text, size_t n, size_t flags,
		       json_error_t *ret_why) NONNULL(1) MUST_CHECK;
json_t *jsontree_loads(const char *text, size_t flags, json_error_t *ret_why)
	MUST_CHECK;
/* As json_dumps(): for free(); NULL when there was no memory for all of it. */
char *jsontree_dump(const json_t *tree, size_t flags) MUST_CHECK;
/* The same, compact. */
int jsontree_text(const json_t *tree, char **ret, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;

#endif

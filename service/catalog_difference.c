#include "service/catalog_difference.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/jsontree.h"

/* Deeper than any manifest; jansson's own limit is 2048. */
#define DEPTH_MAX      64
#define PATH_MAX_BYTES 1024

#define CANONICAL (JSON_SORT_KEYS | JSON_COMPACT | JSON_REAL_PRECISION(17))

static void release(json_t *v)
{
	json_decref(v);
}
DEFINE_CLEANUP(json_t *, release);

static int load(const char *text, const char *what, json_t **ret, struct err *e)
{
	json_error_t at;
	json_t *v;
	const int got = jsontree_load(text, strlen(text),
				      JSON_REJECT_DUPLICATES, &v, &at, e);

	if (got < 0)
		return -1;
	if (got == 0)
		return err_set(e, ERR_USAGE, "%s is not JSON: %s", what,
			       at.text);
	if (!json_is_object(v)) {
		json_decref(v);
		return err_set(e, ERR_USAGE, "%s is not a JSON object", what);
	}
	*ret = v;
	return 0;
}

static int dump(const json_t *v, char **ret, struct err *e)
{
	char *text = jsontree_dump(v, CANONICAL);

	if (text == NULL)
		return err_oom(e);
	*ret = text;
	return 0;
}

int catalog_difference_canonical(const char *json, const char *what, char **ret,
				 struct err *e)
{
	CLEANUP(release) json_t *v = NULL;

	if (load(json, what, &v, e) < 0)
		return -1;
	return dump(v, ret, e);
}

/* A JSON pointer (RFC 6901) that grows and shrinks with the walk. */
struct place {
	char path[PATH_MAX_BYTES];
	size_t len;
	unsigned int depth;
	json_t *out;
};

static int emit(struct place *p, json_t *from, json_t *to, struct err *e)
{
	CLEANUP(release) json_t *entry = json_object();

	if (entry == NULL ||
	    json_object_set_new(entry, "path", json_stringn(p->path, p->len)) <
		    0 ||
	    (from && json_object_set(entry, "from", from) < 0) ||
	    (to && json_object_set(entry, "to", to) < 0) ||
	    json_array_append(p->out, entry) < 0)
		return err_oom(e);
	return 0;
}

/* "/" and the key with ~ and / escaped; false when it does not fit. */
static bool descend(struct place *p, const char *key)
{
	size_t len = p->len;

	if (p->depth >= DEPTH_MAX || len + 1 >= sizeof(p->path))
		return false;
	p->path[len++] = '/';
	for (; *key != '\0'; key++) {
		if (len + 2 >= sizeof(p->path))
			return false;
		if (*key == '~' || *key == '/') {
			p->path[len++] = '~';
			p->path[len++] = *key == '~' ? '0' : '1';
		} else {
			p->path[len++] = *key;
		}
	}
	p->len = len;
	p->depth++;
	return true;
}

static int compare(struct place *p, json_t *from, json_t *to, struct err *e);

static int compare_key(struct place *p, const char *key, json_t *from,
		       json_t *to, struct err *e)
{
	const size_t len = p->len;
	int result;

	/* What lies too deep to name is told as a whole. */
	if (!descend(p, key))
		return 2;
	result = compare(p, from, to, e);
	p->len = len;
	p->depth--;
	return result;
}

static int compare_objects(struct place *p, json_t *from, json_t *to,
			   struct err *e)
{
	const char *key;
	json_t *v;
	int got;

	json_object_foreach(from, key, v)
	{
		got = compare_key(p, key, v, json_object_get(to, key), e);
		if (got != 0)
			return got;
	}
	json_object_foreach(to, key, v)
	{
		if (json_object_get(from, key) != NULL)
			continue;
		got = compare_key(p, key, NULL, v, e);
		if (got != 0)
			return got;
	}
	return 0;
}

static int compare(struct place *p, json_t *from, json_t *to, struct err *e)
{
	const size_t before = json_array_size(p->out);
	int got;

	if (from && to && json_equal(from, to))
		return 0;
	if (!json_is_object(from) || !json_is_object(to))
		return emit(p, from, to, e);
	got = compare_objects(p, from, to, e);
	if (got != 2)
		return got;
	while (json_array_size(p->out) > before)
		(void)json_array_remove(p->out, json_array_size(p->out) - 1);
	return emit(p, from, to, e);
}

int catalog_difference(const char *from, const char *to, char **ret,
		       struct err *e)
{
	CLEANUP(release) json_t *a = NULL;
	CLEANUP(release) json_t *b = NULL;
	struct place p = { .len = 0 };
	int got;

	if (load(from, "the old version", &a, e) < 0 ||
	    load(to, "the new version", &b, e) < 0)
		return -1;
	p.out = json_array();
	if (p.out == NULL)
		return err_oom(e);
	got = compare(&p, a, b, e);
	if (got >= 0)
		got = dump(p.out, ret, e);
	json_decref(p.out);
	return got;
}

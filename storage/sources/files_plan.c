#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "storage/sources/files_internal.h"

/* A given path, resolved. */
struct given {
	char *path;
	size_t len;
	bool follow;
};

static void given_free(struct given *list, size_t count)
{
	size_t i;

	for (i = 0; list && i < count; i++)
		free(list[i].path);
	free(list);
}

/* The length of path up to and with its last ".." component, or 0. */
static size_t through_last_dots(const char *path)
{
	const char *p = path;
	size_t found = 0;

	while (*p) {
		const size_t n = strcspn(p, "/");

		if (n == 2 && p[0] == '.' && p[1] == '.')
			found = (size_t)(p - path) + 2;
		p += n;
		p += strspn(p, "/");
	}
	return found;
}

/*
 * Where the path begins to be plain: "x/../y" is looked up as far as "..",
 * since only the file system knows where that leads when x is a symlink.
 * *path is moved behind what was looked up.
 */
static int base_of(const char **path, char **ret, struct err *e)
{
	const size_t dots = through_last_dots(*path);
	const struct text_quoted shown = text_quote_str(*path);
	char *prefix;
	char *real;

	if (dots == 0 && **path == '/') {
		*ret = strdup("");
		return *ret ? 0 : err_oom(e);
	}
	prefix = dots ? strndup(*path, dots) : strdup(".");
	if (!prefix)
		return err_oom(e);
	real = realpath(prefix, NULL);
	free(prefix);
	if (!real && errno == ENOMEM)
		return err_oom(e);
	if (!real)
		return err_set(e, ERR_USAGE, "cannot find %s: %s", shown.s,
			       err_errno_text(errno));
	*path += dots;
	*ret = real;
	return 0;
}

/* Append the components of path to out, which is absolute and plain. */
static bool add_components(struct given *out, const char *path)
{
	bool follow = true;

	while (*path) {
		const size_t n = strcspn(path, "/");

		follow = n == 0 || (n == 1 && path[0] == '.');
		if (!follow) {
			if (out->len > 1)
				out->path[out->len++] = '/';
			memcpy(out->path + out->len, path, n);
			out->len += n;
			follow = path[n] == '/';
		}
		path += n + (path[n] == '/');
	}
	out->path[out->len] = '\0';
	return follow;
}

static int resolve(const char *path, struct given *ret, struct err *e)
{
	const struct text_quoted shown = text_quote_str(path);
	struct given g = { 0 };
	char *base;

	if (!*path)
		return err_set(e, ERR_USAGE, "an empty path names nothing");
	if (base_of(&path, &base, e) < 0)
		return -1;
	g.path = malloc(strlen(base) + strlen(path) + 3);
	if (!g.path) {
		free(base);
		return err_oom(e);
	}
	g.path[g.len++] = '/';
	(void)add_components(&g, base);
	g.follow = add_components(&g, path);
	free(base);
	if (!entry_path_valid(g.path, g.len)) {
		free(g.path);
		return err_set(e, ERR_USAGE, "the path %s is too long",
			       shown.s);
	}
	*ret = g;
	return 0;
}

static int compare_given(const void *a, const void *b)
{
	const struct given *x = a;
	const struct given *y = b;

	return entry_path_compare(x->path, x->len, y->path, y->len);
}

/*
 * Drop duplicates; list is sorted.  The new count.  A path that lies within
 * another stays: a mount point, a pattern, a tag or a symlink between the two
 * may be where the other one ends, and only the walk gets to know.
 */
static size_t merge(struct given *list, size_t count)
{
	size_t kept = 0;
	size_t i;

	for (i = 1; i < count; i++) {
		struct given *last = &list[kept];

		if (compare_given(&list[i], last) == 0) {
			last->follow |= list[i].follow;
			free(list[i].path);
		} else {
			list[++kept] = list[i];
		}
	}
	return kept + 1;
}

static int resolve_all(const char *const *paths, size_t count,
		       struct given **ret, size_t *ret_count, struct err *e)
{
	struct given *list;
	size_t i;

	if (count == 0)
		return err_set(e, ERR_USAGE, "no path was given");
	list = calloc(count, sizeof(*list));
	if (!list)
		return err_oom(e);
	for (i = 0; i < count; i++) {
		if (resolve(paths[i], &list[i], e) < 0) {
			given_free(list, i);
			return -1;
		}
	}
	qsort(list, count, sizeof(*list), compare_given);
	*ret_count = merge(list, count);
	*ret = list;
	return 0;
}

int files_resolve(const char *const *paths, size_t count, char ***ret,
		  size_t *ret_count, struct err *e)
{
	struct given *list;
	size_t n;
	size_t i;
	size_t size = 1;
	char **out;
	char *at;

	if (resolve_all(paths, count, &list, &n, e) < 0)
		return -1;
	for (i = 0; i < n; i++)
		size += sizeof(char *) + list[i].len + 1;
	out = malloc(size);
	if (!out) {
		given_free(list, n);
		return err_oom(e);
	}
	at = (char *)(out + n);
	for (i = 0; i < n; i++) {
		out[i] = memcpy(at, list[i].path, list[i].len + 1);
		at += list[i].len + 1;
	}
	given_free(list, n);
	*ret = out;
	*ret_count = n;
	return 0;
}

static uint32_t child_named(struct files_plan *p, uint32_t node,
			    const char *name, size_t len)
{
	struct files_plan_node *parent = &p->nodes[node];
	const uint32_t last = parent->last_child;
	struct files_plan_node *child;

	/* Paths come in order, so only the last child can be the one. */
	if (last && p->nodes[last].name_len == len &&
	    memcmp(p->names + p->nodes[last].name, name, len) == 0)
		return last;
	child = &p->nodes[p->count];
	child->name = p->nodes[p->count - 1].name +
		      p->nodes[p->count - 1].name_len + 1U;
	child->name_len = (uint16_t)len;
	memcpy(p->names + child->name, name, len);
	if (last)
		p->nodes[last].next_sibling = (uint32_t)p->count;
	else
		parent->first_child = (uint32_t)p->count;
	parent->last_child = (uint32_t)p->count;
	return (uint32_t)p->count++;
}

static void plan_add(struct files_plan *p, const struct given *g)
{
	const char *at = g->path + 1;
	uint32_t node = 0;

	while (*at) {
		const size_t n = strcspn(at, "/");

		node = child_named(p, node, at, n);
		at += n + (at[n] == '/');
	}
	p->nodes[node].whole = true;
	p->nodes[node].follow = g->follow;
}

/* A place stands for the one path there is. */
static int set_place(struct files_plan *p, const char *place, struct err *e)
{
	if (!place)
		return 0;
	assert(place[0] == '/');
	for (uint32_t i = 0; i < p->count; i++)
		if (p->nodes[i].whole)
			p->placed = i;
	p->place = strdup(place);
	return p->place ? 0 : err_oom(e);
}

const char *files_place_of(const struct files_plan *p,
			   const struct files_record *rec)
{
	return p->place && rec->flags & RECORD_PLANNED && rec->plan == p->placed
		       ? p->place
		       : NULL;
}

int files_plan_init(struct files_plan *p, const struct files_options *o,
		    struct err *e)
{
	struct given *list;
	size_t bytes = 2;
	size_t n;
	size_t i;

	if (resolve_all(o->paths, o->path_count, &list, &n, e) < 0)
		return -1;
	assert(!o->place || n == 1);
	for (i = 0; i < n; i++)
		bytes += list[i].len + 1;
	if (bytes >= UINT32_MAX / 2) {
		given_free(list, n);
		return err_set(e, ERR_USAGE, "too many paths");
	}
	/* No more names than bytes; every name with its NUL fits as well. */
	p->nodes = calloc(bytes, sizeof(*p->nodes));
	p->names = calloc(1, bytes);
	if (!p->nodes || !p->names) {
		given_free(list, n);
		files_plan_done(p);
		return err_oom(e);
	}
	p->count = 1;
	for (i = 0; i < n; i++)
		plan_add(p, &list[i]);
	given_free(list, n);
	if (set_place(p, o->place, e) < 0) {
		files_plan_done(p);
		return -1;
	}
	return 0;
}

void files_plan_done(struct files_plan *p)
{
	free(p->nodes);
	free(p->names);
	free(p->place);
	memset(p, 0, sizeof(*p));
}

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "storage/sources/files_internal.h"

/*
 * What Linux allows: 64 KiB for the list of names and for each value.  The
 * sum has to be bounded as well; no file system comes near this.
 */
#define NAMES_MAX  ((size_t)64 << 10)
#define VALUE_MAX  ((size_t)64 << 10)
#define VALUES_MAX ((size_t)16 << 20)

/* Where attributes are read from: a descriptor, or a path to one. */
struct place {
	int fd;
	char path[32]; /* "" when fd itself can be asked */
};

/* Names, each with a NUL, as the kernel lists them. */
struct names {
	const char *text;
	size_t len;
};

void files_attrs_init(struct files_attrs *a)
{
	memset(a, 0, sizeof(*a));
	buf_init(&a->bytes, NAMES_MAX + VALUES_MAX);
}

void files_attrs_done(struct files_attrs *a)
{
	free(a->list);
	buf_done(&a->bytes);
	files_attrs_init(a);
}

static ssize_t list_names(const struct place *p, char *out, size_t n)
{
	return p->path[0] ? listxattr(p->path, out, n)
			  : flistxattr(p->fd, out, n);
}

static ssize_t get_value(const struct place *p, const char *name, void *out,
			 size_t n)
{
	return p->path[0] ? getxattr(p->path, name, out, n)
			  : fgetxattr(p->fd, name, out, n);
}

static int compare_names(const void *a, const void *b)
{
	const struct entry_xattr *x = a;
	const struct entry_xattr *y = b;

	return strcmp(x->name, y->name);
}

/* The value of name, appended; 1, 0 when it is gone or cannot be had, -1. */
static int add_value(struct files_attrs *a, const struct place *p,
		     const char *name, size_t *ret_len, int *ret_sys,
		     struct err *e)
{
	ssize_t n;

	if (buf_reserve(&a->bytes, VALUE_MAX, e) < 0)
		return -1;
	n = get_value(p, name, a->bytes.data + a->bytes.len, VALUE_MAX);
	if (n < 0) {
		*ret_sys = errno == ENODATA ? 0 : errno;
		return 0;
	}
	a->bytes.len += (size_t)n;
	*ret_len = (size_t)n;
	return 1;
}

static size_t count_wanted(const char *names, size_t n)
{
	size_t count = 0;
	size_t at;

	for (at = 0; at < n; at += strlen(names + at) + 1)
		count += entry_holds_xattr(names + at);
	return count;
}

/*
 * The bytes move as values are added, so first only lengths are kept, in the
 * order of the names; pointers follow when nothing moves any more.
 */
static int add_values(struct files_attrs *a, const struct place *p,
		      struct names names, files_attr_failed *failed, void *arg,
		      struct err *e)
{
	size_t at;

	for (at = 0; at < names.len; at += strlen(names.text + at) + 1) {
		const char *name = names.text + at;
		size_t len = 0;
		int sys = 0;
		int r;

		if (!entry_holds_xattr(name))
			continue;
		if (a->bytes.max - a->bytes.len < VALUE_MAX) {
			failed(arg, name, 0);
			return 0;
		}
		r = add_value(a, p, name, &len, &sys, e);
		if (r < 0)
			return -1;
		if (sys)
			failed(arg, name, sys);
		if (r == 0)
			continue;
		a->list[a->count].value_len = len;
		a->list[a->count++].name = name;
	}
	return 0;
}

/* A copy of names lies at the start of bytes, the values behind it. */
static void point(struct files_attrs *a, struct names names)
{
	const uint8_t *value = a->bytes.data + names.len;
	size_t i;

	for (i = 0; i < a->count; i++) {
		const ptrdiff_t at = a->list[i].name - names.text;

		a->list[i].name = (const char *)a->bytes.data + at;
		a->list[i].value = value;
		value += a->list[i].value_len;
	}
}

/*
 * The list of names, into small or, where that does not do, into *ret_large.
 * Most things have none, so the usual case must cost no more than one call.
 */
static ssize_t all_names(const struct place *p, char *small, size_t size,
			 char **ret_large)
{
	ssize_t n = list_names(p, small, size);

	if (n >= 0 || errno != ERANGE)
		return n;
	*ret_large = malloc(NAMES_MAX);
	return *ret_large ? list_names(p, *ret_large, NAMES_MAX) : -1;
}

static int read_all(struct files_attrs *a, const struct place *p,
		    struct names names, files_attr_failed *failed, void *arg,
		    struct err *e)
{
	const size_t count = count_wanted(names.text, names.len);

	if (count == 0)
		return 0;
	a->list = calloc(count, sizeof(*a->list));
	if (!a->list)
		return err_oom(e);
	if (buf_add(&a->bytes, names.text, names.len, e) < 0 ||
	    add_values(a, p, names, failed, arg, e) < 0)
		return -1;
	point(a, names);
	qsort(a->list, a->count, sizeof(*a->list), compare_names);
	return 0;
}

int files_attrs_read(struct files_attrs *a, int fd, bool by_path,
		     files_attr_failed *failed, void *arg, struct err *e)
{
	struct place p = { .fd = fd };
	char small[512];
	char *large = NULL;
	ssize_t n;
	int r = 0;

	if (by_path)
		(void)snprintf(p.path, sizeof(p.path), "/proc/self/fd/%d", fd);
	n = all_names(&p, small, sizeof(small), &large);
	if (n < 0 && errno != EOPNOTSUPP)
		failed(arg, NULL, errno);
	if (n > 0)
		r = read_all(a, &p,
			     (struct names){ large ? large : small, (size_t)n },
			     failed, arg, e);
	free(large);
	return r;
}

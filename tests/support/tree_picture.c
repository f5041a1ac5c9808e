#include "tests/support/tree_picture.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

/* As ck_assert(), which writes to a file each time. */
#define must(done)                                                    \
	do {                                                          \
		if (!(done))                                          \
			ck_abort_msg("the tree cannot be looked at: " \
				     "error %d",                      \
				     errno);                          \
	} while (0)

/* FNV-1a. */
static uint64_t hash(uint64_t h, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		h = (h ^ bytes[i]) * UINT64_C(0x100000001b3);
	return h;
}

static struct tree_dot *add(struct tree_picture *p)
{
	if (p->n == p->room) {
		p->room = p->room ? 2 * p->room : 64;
		p->v = reallocarray(p->v, p->room, sizeof(*p->v));
		must(p->v != NULL);
	}
	memset(&p->v[p->n], 0, sizeof(p->v[0]));
	return &p->v[p->n++];
}

static uint64_t hash_content(int dir, const char *name)
{
	static uint8_t bytes[65536];
	const int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	uint64_t h = UINT64_C(0xcbf29ce484222325);
	ssize_t n;

	must(fd >= 0);
	while ((n = read(fd, bytes, sizeof(bytes))) > 0)
		h = hash(h, bytes, (size_t)n);
	must(n == 0);
	(void)close(fd);
	return h;
}

static void describe_what(struct tree_dot *dot, int dir, const char *name)
{
	char target[4100];
	ssize_t n;
	int made = 0;

	if (S_ISREG(dot->st.st_mode)) {
		made = asprintf(&dot->what, "%jd bytes %016" PRIx64,
				(intmax_t)dot->st.st_size,
				hash_content(dir, name));
	} else if (S_ISLNK(dot->st.st_mode)) {
		n = readlinkat(dir, name, target, sizeof(target) - 1);
		must(n >= 0);
		made = asprintf(&dot->what, "-> %.*s", (int)n, target);
	} else if (S_ISCHR(dot->st.st_mode) || S_ISBLK(dot->st.st_mode)) {
		made = asprintf(&dot->what, "device %jx",
				(uintmax_t)dot->st.st_rdev);
	} else {
		dot->what = strdup("");
	}
	must(made >= 0 && dot->what != NULL);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void write_attr(FILE *f, const char *path, const char *name)
{
	static uint8_t value[65536];
	const ssize_t n = lgetxattr(path, name, value, sizeof(value));

	must(n >= 0);
	(void)fprintf(f, " %s=%zd:%016" PRIx64, name, n,
		      hash(UINT64_C(0xcbf29ce484222325), value, (size_t)n));
}

static void write_attrs(FILE *f, int dir, const char *name)
{
	static char list[65536];
	char *names[64];
	char path[320];
	size_t n = 0;
	ssize_t len;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dir, name);
	len = llistxattr(path, list, sizeof(list));
	for (ssize_t at = 0; at < len && n < 64;
	     at += (ssize_t)strlen(list + at) + 1)
		names[n++] = list + at;
	qsort(names, n, sizeof(names[0]), by_text);
	for (size_t i = 0; i < n; i++)
		write_attr(f, path, names[i]);
}

static void describe(struct tree_dot *dot, int dir, const char *name)
{
	size_t len = 0;
	FILE *f;

	must(fstatat(dir, name, &dot->st, AT_SYMLINK_NOFOLLOW) == 0);
	f = open_memstream(&dot->meta, &len);
	must(f != NULL);
	(void)fprintf(f, "%o %u:%u %jd.%09ld", dot->st.st_mode, dot->st.st_uid,
		      dot->st.st_gid, (intmax_t)dot->st.st_mtim.tv_sec,
		      dot->st.st_mtim.tv_nsec);
	write_attrs(f, dir, name);
	must(fclose(f) == 0);
	describe_what(dot, dir, name);
}

static void walk(struct tree_picture *p, int dir, const char *name,
		 const char *path)
{
	struct tree_dot *dot = add(p);
	const struct dirent *entry;
	DIR *d;
	int fd;

	dot->path = strdup(path);
	must(dot->path != NULL);
	describe(dot, dir, name);
	if (!S_ISDIR(dot->st.st_mode))
		return;
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	d = fd < 0 ? NULL : fdopendir(fd);
	must(d != NULL);
	while ((entry = readdir(d))) {
		char *below;

		if (strcmp(entry->d_name, ".") == 0 ||
		    strcmp(entry->d_name, "..") == 0)
			continue;
		must(asprintf(&below, "%s/%s", path, entry->d_name) >= 0);
		walk(p, fd, entry->d_name, below);
		free(below);
	}
	(void)closedir(d);
}

static int by_path(const void *a, const void *b)
{
	const struct tree_dot *x = a;
	const struct tree_dot *y = b;

	return strcmp(x->path, y->path);
}

struct inode {
	dev_t dev;
	ino_t ino;
	size_t at;
};

static int by_inode(const void *a, const void *b)
{
	const struct inode *x = a;
	const struct inode *y = b;

	if (x->dev != y->dev)
		return x->dev < y->dev ? -1 : 1;
	if (x->ino != y->ino)
		return x->ino < y->ino ? -1 : 1;
	return x->at < y->at ? -1 : x->at > y->at;
}

static void find_first(struct tree_picture *p)
{
	struct inode *v = calloc(p->n + 1, sizeof(*v));

	must(v != NULL);
	for (size_t i = 0; i < p->n; i++)
		v[i] = (struct inode){ p->v[i].st.st_dev, p->v[i].st.st_ino,
				       i };
	qsort(v, p->n, sizeof(*v), by_inode);
	for (size_t i = 0; i < p->n; i++) {
		const bool same = i && v[i].dev == v[i - 1].dev &&
				  v[i].ino == v[i - 1].ino;

		p->v[v[i].at].first = same ? p->v[v[i - 1].at].first : v[i].at;
	}
	free(v);
}

void tree_picture_take(struct tree_picture *p, const char *root)
{
	memset(p, 0, sizeof(*p));
	if (access(root, F_OK) == 0)
		walk(p, AT_FDCWD, root, "");
	if (p->n)
		qsort(p->v, p->n, sizeof(*p->v), by_path);
	find_first(p);
}

void tree_picture_done(struct tree_picture *p)
{
	for (size_t i = 0; i < p->n; i++) {
		free(p->v[i].path);
		free(p->v[i].meta);
		free(p->v[i].what);
	}
	free(p->v);
	memset(p, 0, sizeof(*p));
}

const struct tree_dot *tree_picture_find(const struct tree_picture *p,
					 const char *path)
{
	const struct tree_dot key = { .path = (char *)(uintptr_t)path };

	return p->n == 0 ? NULL
			 : bsearch(&key, p->v, p->n, sizeof(*p->v), by_path);
}

/* What a terminal can show of it. */
static void say_text(char *out, size_t room, const char *text)
{
	size_t n = 0;

	for (; *text && n + 8 < room && n < 300; text++) {
		const unsigned char c = (unsigned char)*text;

		if (c < ' ' || c > '~')
			n += (size_t)snprintf(out + n, room - n, "\\x%02x", c);
		else
			out[n++] = (char)c;
	}
	(void)snprintf(out + n, room - n, "%s", *text ? "..." : "");
}

void tree_picture_say(char *out, size_t room, const char *path, const char *got,
		      const char *want)
{
	char texts[3][320];

	say_text(texts[0], sizeof(texts[0]), path);
	say_text(texts[1], sizeof(texts[1]), got);
	say_text(texts[2], sizeof(texts[2]), want);
	(void)snprintf(out, room, "\"%s\":\n   got %s\n  want %s", texts[0],
		       texts[1], texts[2]);
}

bool tree_picture_same(const struct tree_picture *got,
		       const struct tree_picture *want, char *ret_why,
		       size_t room)
{
	const char *a = NULL;
	const char *b = NULL;
	size_t i;

	for (i = 0; i < got->n && i < want->n && !a; i++) {
		const struct tree_dot *x = &got->v[i];
		const struct tree_dot *y = &want->v[i];

		if (strcmp(x->path, y->path) != 0) {
			a = x->path;
			b = y->path;
		} else if (strcmp(x->meta, y->meta) != 0) {
			a = x->meta;
			b = y->meta;
		} else if (strcmp(x->what, y->what) != 0) {
			a = x->what;
			b = y->what;
		} else if (x->first != y->first) {
			a = got->v[x->first].path;
			b = want->v[y->first].path;
		}
	}
	if (a) {
		tree_picture_say(ret_why, room, got->v[i - 1].path, a, b);
		return false;
	}
	if (got->n == want->n)
		return true;
	tree_picture_say(ret_why, room,
			 got->n > want->n ? got->v[i].path : want->v[i].path,
			 got->n > want->n ? "there" : "not there",
			 got->n > want->n ? "not there" : "there");
	return false;
}

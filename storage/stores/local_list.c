/*
 * Listing the store in a folder.
 *
 * The order of a listing is that of whole names, and "/" sorts above "-" and
 * "."; so a folder takes the place of its name with "/" behind it, and one
 * walk in that order streams the listing with one folder's names in memory
 * for each level.
 *
 * Nothing is left out in silence: a folder that cannot be read, or that is
 * gone when its turn comes (we never remove one), fails the listing, and so
 * does a symbolic link, pipe or device under the name of an object.  An
 * object that vanishes between its folder and its size was removed, which is
 * no failure.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/file.h"
#include "base/text.h"
#include "storage/stores/local_internal.h"

/* Of one folder's names: some millions. */
#define NAMES_MAX ((size_t)256 << 20)

/* Of a folder that changes all the time. */
#define READINGS_MAX 4

struct lister {
	const char *prefix;
	const char *after;
	store_visit *visit;
	void *arg;
	char path[STORE_NAME_MAX + 2]; /* "" or "data/", "data/ab/" */
	size_t path_len;
};

/* A folder's names, each ended by NUL; those of folders by "/" and NUL. */
struct names {
	struct buf bytes;
	size_t *at; /* where each name begins, sorted */
	size_t n, cap;
};

static void names_done(struct names *names)
{
	buf_done(&names->bytes);
	free(names->at);
}

static inline void cleanup_names_done(struct names *names)
{
	names_done(names);
}

static inline void cleanup_closedir(DIR **d)
{
	if (*d)
		(void)closedir(*d);
}

static int fail(struct err *e, const struct lister *l)
{
	char doing[STORE_NAME_MAX + 32];

	if (l->path_len == 0)
		return local_sys(e, "");
	(void)snprintf(doing, sizeof(doing), "folder \"%s\"", l->path);
	return local_sys(e, doing);
}

static int add_name(struct names *names, const char *name, bool folder,
		    struct err *e)
{
	if (names->n == names->cap) {
		const size_t cap = names->cap ? names->cap * 2 : 256;
		size_t *more = reallocarray(names->at, cap, sizeof(*more));

		if (!more)
			return err_oom(e);
		names->at = more;
		names->cap = cap;
	}
	names->at[names->n] = names->bytes.len;
	if (buf_add(&names->bytes, name, strlen(name), e) < 0 ||
	    (folder && buf_add_byte(&names->bytes, '/', e) < 0) ||
	    buf_add_byte(&names->bytes, '\0', e) < 0)
		return -1;
	names->n++;
	return 0;
}

/* Whether an object's name, or one below a folder's, is to be listed. */
static bool wanted(const char *full, bool folder, const struct lister *l)
{
	const size_t n = strlen(full);
	const size_t p = strlen(l->prefix);

	if (strcmp(full, l->after) <= 0 &&
	    !(folder && strncmp(full, l->after, n) == 0))
		return false;
	if (n >= p)
		return strncmp(full, l->prefix, p) == 0;
	return folder && strncmp(full, l->prefix, n) == 0;
}

/*
 * Take one entry of a folder into names, unless it is none of the listing's:
 * a name that no object can have, the folder of uploads, another prefix.
 */
static int take_entry(const struct lister *l, int fd, const struct dirent *d,
		      struct names *names, struct err *e)
{
	char full[STORE_NAME_MAX + 2];
	const size_t n = strlen(d->d_name);
	unsigned char type = d->d_type;
	bool folder;

	if (l->path_len + n > STORE_NAME_MAX)
		return 0;
	memcpy(full, l->path, l->path_len);
	memcpy(full + l->path_len, d->d_name, n + 1);
	if (!store_name_ok(full))
		return 0;
	if (type == DT_UNKNOWN) {
		struct stat st;

		if (fstatat(fd, d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return errno == ENOENT ? 0 : fail(e, l);
		type = (unsigned char)IFTODT(st.st_mode);
	}
	folder = type == DT_DIR;
	/* A symbolic link or device may stand where a folder belongs. */
	if (type != DT_REG)
		memcpy(full + l->path_len + n, "/", 2);
	if (!wanted(full, type != DT_REG, l))
		return 0;
	full[l->path_len + n] = '\0';
	if (!folder && type != DT_REG)
		return err_set(e, ERR_CORRUPT,
			       "%s is neither a regular file nor a folder",
			       text_quote_str(full).s);
	return add_name(names, d->d_name, folder, e);
}

static int compare(const void *a, const void *b, void *bytes)
{
	const char *base = bytes;

	return strcmp(base + *(const size_t *)a, base + *(const size_t *)b);
}

/* Add all that the folder shows. */
static int read_once(const struct lister *l, int fd, struct names *names,
		     struct err *e)
{
	/* Opened anew: btrfs shows a descriptor what was there when it was. */
	const int again = local_open_folder(fd, ".");
	__attribute__((cleanup(cleanup_closedir))) DIR *dir = NULL;

	if (again < 0)
		return fail(e, l);
	dir = fdopendir(again);
	if (!dir) {
		file_close(again);
		return fail(e, l);
	}
	for (;;) {
		const struct dirent *d;

		errno = 0;
		d = readdir(dir);
		if (!d)
			break;
		if (take_entry(l, fd, d, names, e) < 0)
			return -1;
	}
	return errno ? fail(e, l) : 0;
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/*
 * Whether the folder may have changed between two looks at it, the first of
 * them at the time given.  What changes within one tick of the clock has one
 * time, so a change that is as young as the reading counts.
 */
static bool may_differ(const struct stat *a, const struct stat *b,
		       const struct timespec *begun)
{
	return !same_time(&a->st_mtim, &b->st_mtim) ||
	       !same_time(&a->st_ctim, &b->st_ctim) ||
	       b->st_ctim.tv_sec > begun->tv_sec ||
	       (b->st_ctim.tv_sec == begun->tv_sec &&
		b->st_ctim.tv_nsec >= begun->tv_nsec);
}

static void sort_names(struct names *names)
{
	char *bytes = (char *)names->bytes.data;
	size_t kept = 0;

	if (names->n == 0)
		return;
	qsort_r(names->at, names->n, sizeof(names->at[0]), compare, bytes);
	for (size_t i = 1; i < names->n; i++)
		if (compare(&names->at[kept], &names->at[i], bytes) != 0)
			names->at[++kept] = names->at[i];
	names->n = kept + 1;
}

/*
 * A name that is renamed over while the folder is read may be shown not at
 * all, so what was read while the folder changed is united with what another
 * reading shows.  A name would have to be replaced during each of them to be
 * missed; a session's is replaced three times a minute.
 */
static int read_folder(const struct lister *l, int fd, struct names *names,
		       struct err *e)
{
	struct timespec begun;
	struct stat before;
	struct stat after;

	for (int i = 0; i < READINGS_MAX; i++) {
		(void)clock_gettime(CLOCK_REALTIME_COARSE, &begun);
		if (fstat(fd, &before) < 0)
			return fail(e, l);
		if (read_once(l, fd, names, e) < 0)
			return -1;
		if (fstat(fd, &after) < 0)
			return fail(e, l);
		/* A folder that is removed while it is read ends early in
		 * silence: glibc takes the kernel's ENOENT for the end. */
		if (after.st_nlink == 0) {
			errno = ENOENT;
			return fail(e, l);
		}
		if (!may_differ(&before, &after, &begun))
			break;
	}
	sort_names(names);
	return 0;
}

/* 0 goes on, 1 ends the listing, -1 fails it. */
static int visit_object(struct lister *l, int fd, const char *name,
			struct err *e)
{
	struct store_entry entry = { .name = l->path };
	struct stat st;
	int r;

	if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : fail(e, l);
	memcpy(l->path + l->path_len, name, strlen(name) + 1);
	entry.size = (uint64_t)st.st_size;
	if (S_ISREG(st.st_mode))
		r = l->visit(l->arg, &entry, e);
	else
		r = err_set(e, ERR_CORRUPT, "%s is not a regular file",
			    text_quote_str(l->path).s);
	l->path[l->path_len] = '\0';
	return r;
}

static int list_folder(struct lister *l, int fd, struct err *e);

static int visit_folder(struct lister *l, int parent, const char *name,
			struct err *e)
{
	const size_t n = strlen(name); /* with its slash */
	const size_t len = l->path_len;
	CLEANUP(file_close) int fd = -1;
	int r;

	memcpy(l->path + len, name, n);
	l->path[len + n - 1] = '\0';
	fd = local_open_folder(parent, l->path + len);
	memcpy(l->path + len, name, n + 1);
	l->path_len += n;
	r = fd < 0 ? fail(e, l) : list_folder(l, fd, e);
	l->path_len = len;
	l->path[len] = '\0';
	return r;
}

/* A level for each component of a name, so at most a hundred deep. */
static int list_folder(struct lister *l, int fd, struct err *e)
{
	__attribute__((cleanup(cleanup_names_done))) struct names names = { 0 };
	int r;

	buf_init(&names.bytes, NAMES_MAX);
	r = read_folder(l, fd, &names, e);
	for (size_t i = 0; i < names.n && r == 0; i++) {
		const char *name = (const char *)names.bytes.data + names.at[i];

		if (name[strlen(name) - 1] == '/')
			r = visit_folder(l, fd, name, e);
		else
			r = visit_object(l, fd, name, e);
	}
	return r;
}

/*
 * Open the folder that holds whatever has the prefix, and be there: what lies
 * in those above it is not looked at.  1, or 0 when there is none.
 *
 * Where it is not to be had, the way there is listed, from a root that was
 * opened anew: a client of NFS, SMB or FUSE may go for a while by what was
 * missing when it looked up that name before.
 */
static int open_first(const struct local *local, int root, struct lister *l,
		      int *ret_fd, struct err *e)
{
	const char *base = strrchr(l->prefix, '/');
	struct err why;
	int r;

	if (!base)
		return local_walk_from(local, root, "", ret_fd, &base, e);
	l->path_len = (size_t)(base - l->prefix);
	if (l->path_len > STORE_NAME_MAX)
		return local_alive(local, e);
	memcpy(l->path, l->prefix, l->path_len);
	l->path[l->path_len] = '\0';
	if (!store_name_ok(l->path)) /* of no object's name */
		return local_alive(local, e);
	memcpy(l->path + l->path_len++, "/", 2);
	r = local_walk_from(local, root, l->path, ret_fd, &base, &why);
	if (r > 0)
		return r;
	if (r < 0 && (why.code != ERR_CORRUPT || !why.sys)) {
		*e = why;
		return why.sys ? err_wrap(e, "folder \"%s\"", l->path) : -1;
	}
	/* Nothing lies below an object; what else is in a folder's place is
	 * found on the way. */
	l->path_len = 0;
	l->path[0] = '\0';
	return local_walk_from(local, root, "", ret_fd, &base, e);
}

static int list_store(const struct local *local, struct lister *l,
		      struct err *e)
{
	CLEANUP(file_close) int root = local_open_folder(local->root, ".");
	CLEANUP(file_close) int fd = -1;
	int r;

	if (root < 0)
		return fail(e, l);
	r = open_first(local, root, l, &fd, e);
	if (r <= 0)
		return r;
	r = list_folder(l, fd, e);
	if (r < 0)
		return -1;
	return r > 0 ? 0 : local_alive(local, e);
}

int local_list(struct store *s, const char *prefix, store_visit *visit,
	       void *arg, struct err *e)
{
	struct lister l = {
		.prefix = prefix, .after = "", .visit = visit, .arg = arg
	};

	return list_store((const struct local *)s, &l, e);
}

int local_list_after(struct store *s, const char *after, store_visit *visit,
		     void *arg, struct err *e)
{
	struct lister l = {
		.prefix = "", .after = after, .visit = visit, .arg = arg
	};

	return list_store((const struct local *)s, &l, e);
}

/*
 * What lies in the store's own folder: objects and their folders, uploads, and
 * what mkfs leaves in a new file system.
 */
static bool is_ours(const char *name, mode_t mode)
{
	if (S_ISDIR(mode) &&
	    (strcmp(name, "tmp") == 0 || strcmp(name, "lost+found") == 0))
		return true;
	return store_name_ok(name) && (S_ISDIR(mode) || S_ISREG(mode));
}

int local_pure(struct store *s, struct err *e)
{
	const struct local *local = (const struct local *)s;
	const int fd = local_open_folder(local->root, ".");
	__attribute__((cleanup(cleanup_closedir))) DIR *dir = NULL;

	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		file_close(fd);
		return local_sys(e, "the store's folder");
	}
	for (;;) {
		const struct dirent *d;
		struct stat st;

		errno = 0;
		d = readdir(dir);
		if (!d)
			break;
		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			continue;
		if (fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) ==
			    0 &&
		    !is_ours(d->d_name, st.st_mode))
			return err_set(e, ERR_EXISTS,
				       "it is not empty: it holds %s",
				       text_quote_str(d->d_name).s);
	}
	return errno ? local_sys(e, "the store's folder") : 0;
}

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "storage/sources/files_internal.h"

/*
 * Idle descriptors that are kept.  A handle is mostly used while its folder
 * is among the last hundred that were read; more would only take from the
 * 1,024 that a process may have by default.
 */
#define OPEN_MAX_IDLE 128U

void files_pool_init(struct files_pool *p)
{
	memset(p, 0, sizeof(*p));
	pthread_mutex_init(&p->lock, NULL);
}

void files_pool_done(struct files_pool *p)
{
	assert(!p->newest && p->open == 0);
	pthread_mutex_destroy(&p->lock);
}

static void idle_add(struct files_pool *p, struct files_folder *f)
{
	f->older = p->newest;
	f->newer = NULL;
	if (p->newest)
		p->newest->newer = f;
	else
		p->oldest = f;
	p->newest = f;
}

static void idle_remove(struct files_pool *p, struct files_folder *f)
{
	if (f->newer)
		f->newer->older = f->older;
	else
		p->newest = f->older;
	if (f->older)
		f->older->newer = f->newer;
	else
		p->oldest = f->newer;
}

/* What has to be closed after the lock was released, or -1. */
static int idle_trim(struct files_pool *p)
{
	struct files_folder *f = p->oldest;
	int fd;

	if (p->open <= OPEN_MAX_IDLE || !f)
		return -1;
	idle_remove(p, f);
	fd = TAKE_FD(f->fd);
	p->open--;
	return fd;
}

int files_folder_new(struct files_pool *p, struct files_folder *parent,
		     const char *name, bool follow, const char *place, int fd,
		     struct files_folder **ret)
{
	const size_t len = strlen(name);
	struct files_folder *f;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -1;
	f = calloc(1, sizeof(*f) + len + 1);
	if (!f)
		return -1;
	f->pool = p;
	f->parent = files_folder_ref(parent);
	f->refs = 1;
	f->dev = st.st_dev;
	f->ino = st.st_ino;
	f->path_len = (uint32_t)len;
	if (parent)
		f->path_len += parent->path_len + (parent->parent != NULL);
	f->follow = follow;
	f->place = place;
	f->fd = fd;
	f->pins = 1;
	f->name_len = (uint16_t)len;
	memcpy(f->name, name, len + 1);
	pthread_mutex_lock(&p->lock);
	p->open++;
	pthread_mutex_unlock(&p->lock);
	*ret = f;
	return 0;
}

struct files_folder *files_folder_ref(struct files_folder *f)
{
	if (f)
		atomic_fetch_add(&f->refs, 1);
	return f;
}

/* A loop, since the chain to the root may be 30,000 folders long. */
void files_folder_unref(struct files_folder *f)
{
	while (f && atomic_fetch_sub(&f->refs, 1) == 1) {
		struct files_folder *parent = f->parent;

		assert(f->pins == 0);
		pthread_mutex_lock(&f->pool->lock);
		if (f->fd >= 0) {
			idle_remove(f->pool, f);
			f->pool->open--;
		}
		pthread_mutex_unlock(&f->pool->lock);
		file_close(f->fd);
		free(f);
		f = parent;
	}
}

/* Its descriptor, pinned, when it has one. */
static int pin_open(struct files_folder *f)
{
	int fd;

	pthread_mutex_lock(&f->pool->lock);
	fd = f->fd;
	if (fd >= 0 && f->pins++ == 0)
		idle_remove(f->pool, f);
	pthread_mutex_unlock(&f->pool->lock);
	return fd;
}

/* Open f from the folder above and see that it is still the one. */
static int open_below(int dir_fd, const struct files_folder *f)
{
	CLEANUP(file_close) int fd = -1;
	struct stat st;

	fd = openat(dir_fd, f->place ? f->place : f->name,
		    O_PATH | O_DIRECTORY | O_CLOEXEC |
			    (f->follow ? 0 : O_NOFOLLOW));
	if (fd < 0 || fstat(fd, &st) < 0)
		return -1;
	if (st.st_dev != f->dev || st.st_ino != f->ino) {
		errno = ENOENT;
		return -1;
	}
	return TAKE_FD(fd);
}

/* Open the n folders of chain, the uppermost last, below dir_fd. */
static int open_chain(int dir_fd, struct files_folder *const *chain, size_t n)
{
	CLEANUP(file_close) int fd = -1;

	while (n-- > 0) {
		const int next = open_below(fd >= 0 ? fd : dir_fd, chain[n]);

		if (next < 0)
			return -1;
		file_close(fd);
		fd = next;
	}
	return TAKE_FD(fd);
}

/* Keep fd as f's, pinned; another thread may have been faster. */
static int install(struct files_folder *f, int fd)
{
	struct files_pool *p = f->pool;
	int extra = fd;

	pthread_mutex_lock(&p->lock);
	if (f->fd < 0) {
		f->fd = TAKE_FD(extra);
		p->open++;
	} else if (f->pins == 0) {
		idle_remove(p, f);
	}
	f->pins++;
	fd = f->fd;
	pthread_mutex_unlock(&p->lock);
	file_close(extra);
	return fd;
}

/* f has no descriptor: start at the nearest folder above that has one. */
static int pin_again(struct files_folder *f)
{
	struct files_folder **chain;
	struct files_folder *up;
	size_t n = 0;
	int from = AT_FDCWD;
	int saved;
	int fd;

	for (up = f; up; up = up->parent)
		n++;
	chain = calloc(n, sizeof(struct files_folder *));
	if (!chain)
		return -1;
	chain[0] = f;
	n = 1;
	for (up = f->parent; up; up = up->parent) {
		from = pin_open(up);
		if (from >= 0)
			break;
		chain[n++] = up;
	}
	fd = open_chain(up ? from : AT_FDCWD, chain, n);
	saved = errno;
	if (up)
		files_folder_unpin(up);
	free(chain);
	/* Something else has its name: it is gone as well. */
	errno = saved == ENOTDIR || saved == ELOOP ? ENOENT : saved;
	return fd < 0 ? -1 : install(f, fd);
}

int files_folder_pin(struct files_folder *f)
{
	int fd;

	if (!f)
		return AT_FDCWD;
	fd = pin_open(f);
	return fd >= 0 ? fd : pin_again(f);
}

void files_folder_unpin(struct files_folder *f)
{
	int extra;

	if (!f)
		return;
	pthread_mutex_lock(&f->pool->lock);
	assert(f->pins > 0);
	if (--f->pins == 0)
		idle_add(f->pool, f);
	extra = idle_trim(f->pool);
	pthread_mutex_unlock(&f->pool->lock);
	file_close(extra);
}

bool files_met_other(int sys)
{
	/* ENXIO: a socket, or a device that is not there, for a file. */
	return sys == ENOENT || sys == ENOTDIR || sys == ELOOP || sys == ENXIO;
}

bool files_is_gone(int dir_fd, const char *name, bool follow, mode_t format)
{
	const int saved = errno;
	struct stat st;
	bool gone = false;

	if (!files_met_other(saved))
		return false;
	if (fstatat(dir_fd, name, &st,
		    AT_NO_AUTOMOUNT | (follow ? 0 : AT_SYMLINK_NOFOLLOW)) < 0)
		gone = errno == ENOENT || errno == ELOOP;
	else
		gone = (st.st_mode & S_IFMT) != format;
	errno = saved;
	return gone;
}

void files_folder_path(const struct files_folder *f, char *out)
{
	size_t at = f->path_len;

	out[at] = '\0';
	for (; f->parent; f = f->parent) {
		at -= f->name_len;
		memcpy(out + at, f->name, f->name_len);
		out[--at] = '/';
	}
	out[0] = '/';
}

/*
 * One entry of the walk, looked at closely.
 *
 * A file is opened for reading, without following a symlink, without waiting
 * (a FIFO may lie in its place) and without becoming a terminal's owner; what
 * was opened is then asked what it is, and anything but a regular file counts
 * as "the file is gone".  Everything else is opened with O_PATH, which
 * touches nothing, and asked through that.
 *
 * The page cache is left as it is found: nothing is dropped after it was read
 * (POSIX_FADV_DONTNEED would also evict what a database beside us needs), but
 * large files are announced as sequential.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"
#include "storage/sources/files_internal.h"

/* From here on the kernel's doubled read-ahead window pays. */
#define SEQUENTIAL_FROM ((uint64_t)1 << 20)

struct files_handle {
	struct source_handle base;
	struct files *files;
	struct files_folder *folder; /* a reference; NULL: "/" itself */
	struct files_attrs attrs;
	char *target;
	int fd;
	bool follow;
	bool missed; /* when it vanishes, that is reported */
	bool sparse;
	enum source_state state;
	int sys;	   /* with SOURCE_FAILED; 0: doing says it all */
	const char *doing; /* with SOURCE_FAILED: "cannot open it" */
	uint16_t format;   /* of mode, when it was delivered */
	struct files_record opened;
	uint64_t offset;   /* delivered */
	uint64_t size;	   /* how far to read */
	uint64_t data_end; /* sparse: data is known to reach so far */
	char name[];	   /* or place */
};

static struct files_handle *handle_of(struct source_handle *handle)
{
	return (struct files_handle *)(void *)handle;
}

int files_handle_new(struct files *f, struct source_handle **ret, struct err *e)
{
	const struct files_record *rec = &f->list->records[f->index];
	const char *place = files_place_of(&f->plan, rec);
	const char *name = place ? place : f->list->names + rec->name;
	struct files_handle *h = calloc(1, sizeof(*h) + strlen(name) + 1U);

	if (!h)
		return err_oom(e);
	h->base.source = &f->base;
	h->files = f;
	h->folder = files_folder_ref(f->list->folder);
	files_attrs_init(&h->attrs);
	h->fd = -1;
	h->follow = rec->flags & RECORD_FOLLOW;
	h->missed = rec->flags & RECORD_PLANNED || f->options.holds_still;
	h->format = rec->mode & S_IFMT;
	memcpy(h->name, name, strlen(name) + 1U);
	*ret = &h->base;
	return 0;
}

void files_handle_free(struct source_handle *handle)
{
	struct files_handle *h = handle_of(handle);

	file_close(h->fd);
	files_folder_unref(h->folder);
	files_attrs_done(&h->attrs);
	free(h->target);
	free(h);
}

static void failed(struct files_handle *h, const char *doing, int sys)
{
	h->state = SOURCE_FAILED;
	h->doing = doing;
	h->sys = sys;
}

/* No error, unless it was asked for by its name, or nothing may vanish. */
static void vanished(struct files_handle *h)
{
	if (h->missed)
		failed(h, "it vanished", ENOENT);
	else
		h->state = SOURCE_VANISHED;
}

/*
 * A file under a lease answers EAGAIN to one who would not wait; by now it is
 * known to be no FIFO, so wait for the lease to be given up.
 */
static int open_leased(int dir_fd, const char *name)
{
	CLEANUP(file_close) int pinned = -1;
	char path[32];
	struct stat st;

	pinned = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (pinned < 0 || fstat(pinned, &st) < 0)
		return -1;
	if (!S_ISREG(st.st_mode)) {
		errno = ENXIO;
		return -1;
	}
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", pinned);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static int open_file(int dir_fd, const char *name)
{
	const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY |
			  O_CLOEXEC;
	int fd = openat(dir_fd, name, flags | O_NOATIME);

	/* Only the owner, or root, may leave the access time alone. */
	if (fd < 0 && errno == EPERM)
		fd = openat(dir_fd, name, flags);
	if (fd < 0 && errno == EAGAIN)
		fd = open_leased(dir_fd, name);
	return fd;
}

static int open_other(int dir_fd, const struct files_handle *h)
{
	const int flags = h->follow ? O_DIRECTORY : O_NOFOLLOW;

	return openat(dir_fd, h->name, O_PATH | O_CLOEXEC | flags);
}

/* Open what the handle stands for; false when it is to be left out. */
static bool open_entry(struct files_handle *h)
{
	const int dir_fd = files_folder_pin(h->folder);
	int tries = FILES_OPEN_TRIES;
	bool gone;

	if (dir_fd < 0 && dir_fd != AT_FDCWD) {
		if (errno == ENOENT) {
			files_report_lost(h->files, h->folder);
			vanished(h);
		} else {
			failed(h, "cannot open its folder", errno);
		}
		return false;
	}
	/* Another one may take its place in between, more than once. */
	do {
		h->fd = h->format == S_IFREG ? open_file(dir_fd, h->name)
					     : open_other(dir_fd, h);
		gone = h->fd < 0 &&
		       files_is_gone(dir_fd, h->name, h->follow, h->format);
	} while (h->fd < 0 && !gone && files_met_other(errno) && --tries > 0);
	if (gone)
		vanished(h);
	else if (h->fd < 0)
		failed(h, "cannot open it", errno);
	files_folder_unpin(h->folder);
	return h->fd >= 0;
}

static bool look(struct files_handle *h, struct statx *x)
{
	if (statx(h->fd, "", AT_EMPTY_PATH, FILES_STAT_MASK | STATX_BLOCKS, x) <
	    0) {
		failed(h, "cannot look at it", errno);
		return false;
	}
	return true;
}

struct reporting {
	const struct files_handle *handle;
	const struct entry *entry;
};

static void report(const struct files_handle *h, const struct entry *en,
		   const char *doing, int sys)
{
	const struct files_options *o = &h->files->options;
	char message[300];

	if (!o->report)
		return;
	(void)snprintf(message, sizeof(message), "%s%s%s", doing,
		       sys ? ": " : "", sys ? err_errno_text(sys) : "");
	o->report(o->report_arg, en->path, en->path_len, message);
}

static void attr_failed(void *arg, const char *name, int sys)
{
	const struct reporting *r = arg;
	char doing[250] = "cannot list its attributes";

	if (name)
		(void)snprintf(doing, sizeof(doing),
			       sys ? "cannot read its attribute %s"
				   : "its attributes are too large all "
				     "together: left out from %s on",
			       text_quote_str(name).s);
	report(r->handle, r->entry, doing, sys);
}

static int read_target(struct files_handle *h, struct entry *en, struct err *e)
{
	char target[PATH_MAX + 1]; /* more than Linux lets a link hold */
	const ssize_t n = readlinkat(h->fd, "", target, sizeof(target));

	if (n < 0) {
		failed(h, "cannot read the link", errno);
		return 0;
	}
	/* A file system in user space may say so; nothing could restore it. */
	if (n == 0) {
		failed(h, "the link has no target", 0);
		return 0;
	}
	h->target = malloc((size_t)n + 1);
	if (!h->target)
		return err_oom(e);
	memcpy(h->target, target, (size_t)n);
	h->target[n] = '\0';
	en->target = h->target;
	en->target_len = (size_t)n;
	return 1;
}

static void begin_content(struct files_handle *h, const struct statx *x)
{
	h->size = x->stx_size;
	/*
	 * Fewer blocks than bytes: holes, or compression.  Only then is it
	 * worth asking where data begins.
	 */
	h->sparse = x->stx_blocks * 512 < x->stx_size;
	if (h->size >= SEQUENTIAL_FROM)
		(void)posix_fadvise(h->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
}

int files_handle_describe(struct source_handle *handle, struct entry *en,
			  struct err *e)
{
	struct files_handle *h = handle_of(handle);
	struct reporting r = { h, en };
	struct statx x;

	if (!open_entry(h) || !look(h, &x))
		return 0;
	if ((x.stx_mode & S_IFMT) != h->format) {
		vanished(h);
		return 0;
	}
	files_record_set(&h->opened, &x);
	files_record_get(&h->opened, en);
	if (h->opened.linked &&
	    files_links_number(&h->files->links, h->opened.dev, h->opened.ino,
			       &en->link_group, e) < 0)
		return -1;
	if (h->format == S_IFLNK) {
		const int got = read_target(h, en, e);

		if (got <= 0)
			return got;
	}
	if (files_attrs_read(&h->attrs, h->fd, h->format != S_IFREG,
			     attr_failed, &r, e) < 0)
		return -1;
	en->xattrs = h->attrs.list;
	en->xattr_count = h->attrs.count;
	if (en->xattr_count)
		en->flags |= ENTRY_XATTRS;
	if (h->format == S_IFREG)
		begin_content(h, &x);
	return 1;
}

/* What is there now is the end of it. */
static void shrank(struct files_handle *h, uint64_t size)
{
	h->state = SOURCE_SHRANK;
	h->size = size > h->offset ? size : h->offset;
}

/*
 * Sparse: at the edge of what is known, find the next data.  A hole up to it
 * goes to *ret_hole (0: data begins here).
 */
static bool find_data(struct files_handle *h, uint64_t *ret_hole)
{
	off_t data = lseek(h->fd, (off_t)h->offset, SEEK_DATA);
	off_t end;

	*ret_hole = 0;
	if (data < 0 && errno == ENXIO) {
		struct stat st;

		/* No data up to the end; which may have moved. */
		if (fstat(h->fd, &st) < 0)
			return false;
		if ((uint64_t)st.st_size < h->size)
			shrank(h, (uint64_t)st.st_size);
		*ret_hole = h->size - h->offset;
		return true;
	}
	/* A file system that cannot tell has no holes. */
	if (data < 0) {
		h->sparse = false;
		return errno == EINVAL || errno == EOPNOTSUPP;
	}
	if ((uint64_t)data > h->offset) {
		const uint64_t to = (uint64_t)data < h->size ? (uint64_t)data
							     : h->size;

		*ret_hole = to - h->offset;
		return true;
	}
	end = lseek(h->fd, data, SEEK_HOLE);
	h->data_end = end > data ? (uint64_t)end : h->size;
	return true;
}

static int read_data(struct files_handle *h, void *out, size_t n,
		     struct source_extent *ret)
{
	const uint64_t end = h->sparse && h->data_end < h->size ? h->data_end
								: h->size;
	const uint64_t left = end - h->offset;
	const size_t want = left < n ? (size_t)left : n;
	const ssize_t got = file_pread(h->fd, out, want, (int64_t)h->offset);

	if (got < 0) {
		failed(h, "cannot read it", errno);
		return 0;
	}
	if ((size_t)got < want)
		shrank(h, h->offset + (uint64_t)got);
	if (got == 0)
		return 0;
	h->offset += (uint64_t)got;
	ret->len = (uint64_t)got;
	ret->hole = false;
	return 1;
}

int files_handle_read(struct source_handle *handle, void *out, size_t n,
		      struct source_extent *ret, struct err *e)
{
	struct files_handle *h = handle_of(handle);

	(void)e;
	assert(h->fd >= 0 && h->format == S_IFREG);
	if (h->state == SOURCE_FAILED || h->offset >= h->size)
		return 0;
	if (h->sparse && h->offset >= h->data_end) {
		uint64_t hole;

		if (!find_data(h, &hole)) {
			failed(h, "cannot read it", errno);
			return 0;
		}
		if (hole > 0) {
			h->offset += hole;
			ret->len = hole;
			ret->hole = true;
			return 1;
		}
		if (h->offset >= h->size)
			return 0;
	}
	return read_data(h, out, n, ret);
}

/* Compare with what it was when it was opened. */
static void look_again(struct files_handle *h)
{
	struct files_record now = { 0 };
	struct statx x;

	if (!look(h, &x))
		return;
	files_record_set(&now, &x);
	if (h->state == SOURCE_SHRANK)
		return;
	if (now.size < h->opened.size)
		h->state = SOURCE_SHRANK;
	else if (now.size > h->opened.size)
		h->state = SOURCE_GREW;
	else if (now.mtime_sec != h->opened.mtime_sec ||
		 now.mtime_nsec != h->opened.mtime_nsec ||
		 now.ctime_sec != h->opened.ctime_sec ||
		 now.ctime_nsec != h->opened.ctime_nsec)
		h->state = SOURCE_CHANGED;
}

enum source_state files_handle_finish(struct source_handle *handle,
				      struct entry *en)
{
	struct files_handle *h = handle_of(handle);

	if (source_state_recorded(h->state) && h->fd >= 0 &&
	    h->format == S_IFREG) {
		look_again(h);
		en->size = h->offset;
	}
	if (h->state == SOURCE_FAILED)
		report(h, en, h->doing, h->sys);
	else if (h->state != SOURCE_OK && h->state != SOURCE_VANISHED)
		en->flags |= ENTRY_CHANGED;
	return h->state;
}

#include "storage/sources/block.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"

/* Read at a time. */
#define READ_BYTES (4 * SOURCE_BLOCK)
/* And when some of that failed. */
#define SECTOR ((size_t)4096)

enum stage { STAGE_ROOT, STAGE_STREAM, STAGE_DONE };

struct block {
	struct source base;
	struct block_options options;
	int fd;
	struct stat st;
	uint64_t size;
	enum stage stage; /* what source_next() delivers next */
	/* Of the stream; one handle reads it. */
	atomic_ullong offset; /* delivered */
	uint8_t *bytes;	      /* READ_BYTES; `left` of them, from `at` on, are
			       * those at the offset */
	size_t at;
	size_t left;
	uint64_t data_end; /* an image's data is known to reach so far */
	bool can_seek;	   /* it tells where data lies */
	/* Of the memory: the next blocks that are as they were. */
	uint64_t same_from;
	uint64_t same_to; /* = same_from: none any more */
	uint64_t offered; /* the last offer's length; 0: it was none */
	bool is_reading;  /* and has not ended well yet */
	uint64_t failures;
	uint64_t bad_bytes;
	/* What cannot be read, while it goes on. */
	uint64_t bad_from;
	uint64_t bad_to; /* = bad_from: nothing */
	int bad_sys;
	char path[258];
};

static struct block *block_of(struct source *s)
{
	return (struct block *)(void *)s;
}

/* ---- As a tree of one file ---------------------------------------------- */

static struct instant instant_of(struct timespec t)
{
	return (struct instant){ t.tv_sec, (uint32_t)t.tv_nsec };
}

static struct entry entry_of(const struct block *b, bool is_root)
{
	struct entry en = {
		.path = is_root ? "/" : b->path,
		.path_len = is_root ? 1 : strlen(b->path),
		.type = is_root ? ENTRY_FOLDER : ENTRY_FILE,
		.mode = is_root ? 0700 : 0600,
		.uid = b->st.st_uid,
		.gid = b->st.st_gid,
		.mtime = instant_of(b->st.st_mtim),
		.ctime = instant_of(b->st.st_ctim),
	};

	if (is_root)
		return en;
	en.size = b->size;
	if (S_ISREG(b->st.st_mode))
		en.inode = b->st.st_ino;
	return en;
}

/* The next blocks that need not be read, behind those before. */
static void find_same(struct block *b)
{
	b->same_from = b->same_to;
	if (b->options.memory &&
	    !block_memory_same(b->options.memory, &b->same_from, &b->same_to))
		b->same_from = b->same_to = 0;
}

static void begin(struct source *s, const struct object_id *parent,
		  struct object_id own)
{
	struct block *b = block_of(s);

	if (!b->options.memory || !S_ISREG(b->st.st_mode))
		return;
	block_memory_begin(b->options.memory, b->fd, b->size, parent, own,
			   b->options.cancel);
	find_same(b);
}

static int next(struct source *s, struct entry *ret, struct err *e)
{
	struct block *b = block_of(s);

	(void)e;
	if (b->stage == STAGE_DONE)
		return 0;
	*ret = entry_of(b, b->stage == STAGE_ROOT);
	b->stage++;
	return 1;
}

static int take(struct source *s, struct source_handle **ret, struct err *e)
{
	struct source_handle *h = calloc(1, sizeof(*h));

	if (!h)
		return err_oom(e);
	h->source = s;
	*ret = h;
	return 0;
}

static int describe(struct source_handle *h, struct entry *en, struct err *e)
{
	const struct entry listed = *en;

	(void)e;
	*en = entry_of(block_of(h->source), listed.path_len == 1);
	en->path = listed.path;
	en->owned = listed.owned;
	return 1;
}

/* ---- Its content -------------------------------------------------------- */

static void report_bad(struct block *b)
{
	char message[200];

	if (b->bad_to == b->bad_from)
		return;
	(void)snprintf(message, sizeof(message),
		       "bytes %" PRIu64 " to %" PRIu64
		       " cannot be read, and are zeros here: %s",
		       b->bad_from, b->bad_to - 1, err_errno_text(b->bad_sys));
	b->failures++;
	b->bad_from = b->bad_to = 0;
	if (b->options.report)
		b->options.report(b->options.report_arg, b->path,
				  strlen(b->path), message);
}

/* Neighbouring ones are told of together. */
static void note_bad(struct block *b, uint64_t at, uint64_t n, int sys)
{
	if (b->bad_to != at || b->bad_sys != sys)
		report_bad(b);
	if (b->bad_to == b->bad_from)
		b->bad_from = at;
	b->bad_to = at + n;
	b->bad_sys = sys;
	b->bad_bytes += n;
}

static bool is_cancelled(const struct block *b, struct err *e)
{
	if (!b->options.cancel || !atomic_load(b->options.cancel))
		return false;
	(void)err_set(e, ERR_INTERRUPTED, "interrupted");
	return true;
}

/* A disk that was pulled out fails like one with a bad sector, for ever. */
static bool is_hopeless(const struct block *b, struct err *e)
{
	uint64_t size = 0;

	if (S_ISBLK(b->st.st_mode) &&
	    (ioctl(b->fd, BLKGETSIZE64, &size) < 0 || size < b->size)) {
		(void)err_set(e, ERR_IO, "the device %s is gone",
			      text_quote_str(b->options.path).s);
		return true;
	}
	if (b->failures < BLOCK_FAILURES_MAX && b->bad_bytes <= BLOCK_BAD_MAX)
		return false;
	(void)err_set(e, ERR_IO,
		      "%s cannot be read at %ju places, %ju bytes: given up",
		      text_quote_str(b->options.path).s, (uintmax_t)b->failures,
		      (uintmax_t)b->bad_bytes);
	return true;
}

/* A sector at a time: what fails is zeros.  -1 when it is no use. */
static int read_sectors(struct block *b, size_t n, uint64_t offset,
			struct err *e)
{
	for (size_t i = 0; i < n; i += SECTOR) {
		const size_t want = n - i < SECTOR ? n - i : SECTOR;
		const ssize_t got = file_pread(b->fd, b->bytes + i, want,
					       (int64_t)(offset + i));

		if (got == (ssize_t)want)
			continue;
		/* Shorter than it was: nothing is there. */
		memset(b->bytes + i, 0, want);
		note_bad(b, offset + i, want, got < 0 ? errno : ENODATA);
		if (is_cancelled(b, e) || is_hopeless(b, e))
			return -1;
	}
	return 0;
}

/*
 * Reading ahead, and what is kept in large pieces, would make one bad sector
 * spoil its neighbours.
 */
static int read_around(struct block *b, size_t n, uint64_t offset,
		       struct err *e)
{
	int failed;

	(void)posix_fadvise(b->fd, (off_t)offset, (off_t)n,
			    POSIX_FADV_DONTNEED);
	(void)posix_fadvise(b->fd, 0, 0, POSIX_FADV_RANDOM);
	failed = read_sectors(b, n, offset, e);
	(void)posix_fadvise(b->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	return failed;
}

static bool is_zero(const uint8_t *p, size_t n)
{
	return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

/* How much of n bytes at p is whole blocks of zeros, or of others. */
static size_t run_of(const uint8_t *p, size_t n, bool *ret_zero)
{
	size_t at = 0;

	while (at < n) {
		const size_t len = n - at < SOURCE_BLOCK ? n - at
							 : SOURCE_BLOCK;
		const bool zero = is_zero(p + at, len);

		if (at == 0)
			*ret_zero = zero;
		else if (zero != *ret_zero)
			break;
		at += len;
	}
	return at;
}

/*
 * The hole at the offset, in whole blocks, 0 when there is data in the next
 * one.
 */
static uint64_t hole_at(struct block *b, uint64_t offset)
{
	off_t data;
	off_t end;

	if (!b->can_seek || offset < b->data_end)
		return 0;
	data = lseek(b->fd, (off_t)offset, SEEK_DATA);
	if (data < 0 && errno == ENXIO)
		return b->size - offset;
	if (data < 0) {
		b->can_seek = false;
		return 0;
	}
	end = lseek(b->fd, data, SEEK_HOLE);
	b->data_end = end > data ? (uint64_t)end : b->size;
	if ((uint64_t)data >= b->size)
		return b->size - offset;
	return ((uint64_t)data - offset) / SOURCE_BLOCK * SOURCE_BLOCK;
}

/* What is as it was from the offset on, in whole blocks. */
static uint64_t same_at(struct block *b, uint64_t offset)
{
	while (b->same_from < b->same_to && b->same_to <= offset)
		find_same(b);
	return b->same_from <= offset && offset < b->same_to
		       ? b->same_to - offset
		       : 0;
}

static int fill(struct block *b, uint64_t offset, struct err *e)
{
	const uint64_t end = b->same_from < b->same_to && b->same_from > offset
				     ? b->same_from
				     : b->size;
	const uint64_t left = end - offset;
	const size_t want = left < READ_BYTES ? (size_t)left : READ_BYTES;
	const ssize_t got = file_pread(b->fd, b->bytes, want, (int64_t)offset);

	if (got != (ssize_t)want && read_around(b, want, offset, e) < 0)
		return -1;
	b->at = 0;
	b->left = want;
	return 0;
}

/* A run of data, or of zeros, of what was read; n is a block or more. */
static void give(struct block *b, uint8_t *out, size_t n,
		 struct source_extent *ret)
{
	const size_t most = b->left <= n ? b->left
					 : n / SOURCE_BLOCK * SOURCE_BLOCK;
	bool zero = false;
	size_t len;

	assert(most > 0);
	len = run_of(b->bytes + b->at, most, &zero);

	if (!zero)
		memcpy(out, b->bytes + b->at, len);
	b->at += len;
	b->left -= len;
	*ret = (struct source_extent){ .len = len, .hole = zero };
}

static int read_stream(struct source_handle *h, void *out, size_t n,
		       struct source_extent *ret, struct err *e)
{
	struct block *b = block_of(h->source);
	const uint64_t offset = atomic_load(&b->offset);
	uint64_t same = 0;
	uint64_t hole = 0;

	b->is_reading = true;
	b->offered = 0;
	if (is_cancelled(b, e))
		return -1;
	if (offset >= b->size) {
		report_bad(b);
		return 0;
	}
	if (b->left == 0)
		same = same_at(b, offset);
	if (b->left == 0 && same == 0)
		hole = hole_at(b, offset);
	if (b->left == 0 && same == 0 && hole == 0 && fill(b, offset, e) < 0)
		return -1;
	b->offered = same;
	if (same > 0)
		*ret = (struct source_extent){ .len = same, .same = true };
	else if (hole > 0)
		*ret = (struct source_extent){ .len = hole, .hole = true };
	else
		give(b, out, n, ret);
	atomic_fetch_add(&b->offset, (unsigned long long)ret->len);
	return 1;
}

static void refuse(struct source_handle *h)
{
	struct block *b = block_of(h->source);

	assert(b->offered > 0);
	atomic_fetch_sub(&b->offset, (unsigned long long)b->offered);
	b->offered = 0;
	b->same_from = b->same_to = 0;
}

static bool is_same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* 1, 0; -1: that cannot be told, as errno says. */
static int is_as_it_was(const struct block *b)
{
	struct stat now;

	if (fstat(b->fd, &now) < 0)
		return -1;
	return now.st_size == b->st.st_size &&
	       is_same_time(now.st_mtim, b->st.st_mtim) &&
	       is_same_time(now.st_ctim, b->st.st_ctim);
}

static void report(const struct block *b, const char *message)
{
	if (b->options.report)
		b->options.report(b->options.report_arg, b->path,
				  strlen(b->path), message);
}

/* An image that was written to meanwhile is not of one moment. */
static enum source_state finish(struct source_handle *h, struct entry *en)
{
	struct block *b = block_of(h->source);
	char message[120];
	int is;

	if (en->type != ENTRY_FILE || !S_ISREG(b->st.st_mode))
		return SOURCE_OK;
	is = is_as_it_was(b);
	if (is > 0) {
		b->is_reading = b->bad_bytes > 0;
		return SOURCE_OK;
	}
	if (is < 0) {
		(void)snprintf(message, sizeof(message),
			       "whether it was written to meanwhile cannot be "
			       "told: %s",
			       err_errno_text(errno));
		report(b, message);
	} else {
		/* Half of a file is bad enough; half of a file system is none.
		 */
		report(b, "it was written to while it was read: it is not of "
			  "one moment");
	}
	en->flags |= ENTRY_CHANGED;
	return SOURCE_CHANGED;
}

static void release(struct source_handle *h)
{
	free(h);
}

static void progress(const struct source *s, struct source_progress *ret)
{
	const struct block *b = (const struct block *)(const void *)s;

	*ret = (struct source_progress){
		.entries_found = 2,
		.bytes_found = b->size,
		.entries_delivered = 2,
		.bytes_delivered = atomic_load(&b->offset),
		.all_found = true,
	};
}

static unsigned int features(const struct source *s)
{
	(void)s;
	return SOURCE_BLOCKS;
}

static void block_close(struct source *s)
{
	struct block *b = block_of(s);

	if (!b)
		return;
	/* All of it was delivered, or need not be, and as it is now. */
	if (b->options.memory)
		block_memory_end(b->options.memory,
				 b->stage == STAGE_DONE && !b->is_reading &&
					 is_as_it_was(b) > 0);
	file_close(b->fd);
	free(b->bytes);
	free(b);
}

static const struct source_ops block_ops = {
	.type = "block",
	.close = block_close,
	.features = features,
	.begin = begin,
	.next = next,
	.take = take,
	.describe = describe,
	.read = read_stream,
	.refuse = refuse,
	.finish = finish,
	.release = release,
	.progress = progress,
};

static int look(struct block *b, struct err *e)
{
	const char *path = b->options.path;

	/* A FIFO in its place must not keep us waiting. */
	b->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (b->fd < 0 || fstat(b->fd, &b->st) < 0) {
		(void)err_sys(e, "cannot open %s", text_quote_str(path).s);
		if (e->code == ERR_NOT_FOUND)
			e->code = ERR_USAGE;
		return -1;
	}
	if (S_ISREG(b->st.st_mode)) {
		b->size = (uint64_t)b->st.st_size;
		b->can_seek = true;
		return 0;
	}
	if (!S_ISBLK(b->st.st_mode))
		return err_set(e, ERR_USAGE,
			       "%s is neither a block device nor an image",
			       text_quote_str(path).s);
	if (ioctl(b->fd, BLKGETSIZE64, &b->size) < 0)
		return err_sys(e, "cannot learn the size of %s",
			       text_quote_str(path).s);
	return 0;
}

int block_open(const struct block_options *o, struct source **ret,
	       struct err *e)
{
	struct block *b;

	assert(source_name_valid(o->name));
	b = calloc(1, sizeof(*b));
	if (!b)
		return err_oom(e);
	b->base.ops = &block_ops;
	b->options = *o;
	b->fd = -1;
	(void)snprintf(b->path, sizeof(b->path), "/%s", o->name);
	b->bytes = malloc(READ_BYTES);
	if (b->bytes ? look(b, e) < 0 : err_oom(e) < 0) {
		block_close(&b->base);
		return -1;
	}
	(void)posix_fadvise(b->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	*ret = &b->base;
	return 0;
}

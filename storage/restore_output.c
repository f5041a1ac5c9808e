#include "storage/restore_output.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/queue.h"
#include "base/seam.h"
#include "base/text.h"
#include "storage/repository/ahead.h"
#include "storage/repository/beat.h"
#include "storage/repository/content.h"
#include "storage/repository/reader.h"
#include "storage/repository/tree.h"

#define WORKERS_MAX PREFETCH_WORKERS
/* Extents in the queue, and what each worker keeps opened. */
#define JOBS	    64
#define CACHE_BYTES ((size_t)4 << 20)
/* Sealed chunks that come ahead, where a request takes long. */
#define AHEAD_BYTES ((size_t)32 << 20)
/* Zeros are written, and compared with, so many at a time. */
#define ZERO_BYTES ((size_t)1 << 20)

struct job {
	uint64_t offset;
	struct extent extent;
};

struct target {
	int fd;
	bool is_device;
	bool in_place;	 /* what is there is compared with */
	char *temporary; /* to be renamed; NULL: in place */
};

struct output {
	struct repository *repository;
	const struct restore_output_options *o;
	struct target target;
	struct restore_output_result result;
	uint64_t walked;

	struct queue *work;
	pthread_t workers[WORKERS_MAX];
	size_t n_workers;
	struct ahead *ahead;
	pthread_mutex_t popping; /* n_entered; taking a job, and telling so */
	size_t n_entered;
	pthread_mutex_t lock; /* result, failure */
	bool failed;
	struct err failure;
};

/* ---- Where it goes ------------------------------------------------------ */

static int open_device(struct output *x, uint64_t size, struct err *e)
{
	const char *to = x->o->to;
	uint64_t room = 0;

	/* O_EXCL: refused for what is mounted, or part of something else. */
	x->target.fd = seam_open(
		AT_FDCWD, to,
		O_RDWR | O_CLOEXEC | (x->o->overwrite ? 0 : O_EXCL), 0);
	if (x->target.fd < 0 && errno == EBUSY) {
		(void)err_set(e, ERR_BUSY, "%s is mounted, or otherwise in use",
			      text_quote_str(to).s);
		return err_hint(e, "unmount it; --overwrite always writes to "
				   "it as it is");
	}
	if (x->target.fd < 0)
		return err_sys(e, "cannot open %s", text_quote_str(to).s);
	x->target.is_device = true;
	x->target.in_place = true;
	if (ioctl(x->target.fd, BLKGETSIZE64, &room) < 0)
		return err_sys(e, "cannot learn the size of %s",
			       text_quote_str(to).s);
	if (room < size)
		return err_set(e, ERR_USAGE,
			       "%s holds %ju bytes, and the snapshot has %ju",
			       text_quote_str(to).s, (uintmax_t)room,
			       (uintmax_t)size);
	return 0;
}

static int open_existing(struct output *x, struct err *e)
{
	const char *to = x->o->to;

	if (!x->o->overwrite) {
		(void)err_set(e, ERR_EXISTS, "%s is there already",
			      text_quote_str(to).s);
		return err_hint(e, "--overwrite always writes what differs "
				   "into it");
	}
	x->target.fd = seam_open(AT_FDCWD, to, O_RDWR | O_CLOEXEC, 0);
	x->target.in_place = true;
	return x->target.fd < 0
		       ? err_sys(e, "cannot open %s", text_quote_str(to).s)
		       : 0;
}

/* Whether name is what fd is, ours alone, and no link to something else. */
static bool is_ours(int fd, const char *name)
{
	struct stat st;
	struct stat named;

	return fstat(fd, &st) == 0 && lstat(name, &named) == 0 &&
	       S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
	       st.st_nlink == 1 && st.st_dev == named.st_dev &&
	       st.st_ino == named.st_ino;
}

/*
 * Beside it, under a name that follows from it and the snapshot, so that what
 * a restore left that was killed is taken over by the next; nobody else has a
 * file of that name, for the snapshot's id was drawn after its time.
 */
static int open_fresh(struct output *x, const struct manifest *m, struct err *e)
{
	const int flags = O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC;
	char id[OBJECT_ID_TEXT];
	char *name;

	object_id_format(m->snapshot, id);
	if (asprintf(&name, "%s.%.16s.part", x->o->to, id) < 0)
		return err_oom(e);
	x->target.fd = seam_open(AT_FDCWD, name, flags, 0600);
	if (x->target.fd < 0)
		(void)err_sys(e, "cannot create %s",
			      text_quote_str(x->o->to).s);
	/* It may have got its name, and been let go, in between. */
	else if (flock(x->target.fd, LOCK_EX | LOCK_NB) < 0 ||
		 !is_ours(x->target.fd, name))
		(void)err_set(e, ERR_BUSY,
			      "another restore writes %s, or did just now",
			      text_quote_str(x->o->to).s);
	else if (seam_truncate(x->target.fd, 0) < 0)
		(void)err_sys(e, "cannot empty %s", text_quote_str(name).s);
	else
		x->target.temporary = name;
	if (x->target.temporary)
		return 0;
	free(name);
	return -1;
}

static int open_target(struct output *x, const struct manifest *m,
		       uint64_t size, struct err *e)
{
	struct stat st;

	if (stat(x->o->to, &st) < 0) {
		if (errno != ENOENT)
			return err_sys(e, "cannot look at %s",
				       text_quote_str(x->o->to).s);
		if (lstat(x->o->to, &st) < 0)
			return open_fresh(x, m, e);
		return err_set(e, ERR_EXISTS,
			       "%s is a symlink that leads nowhere",
			       text_quote_str(x->o->to).s);
	}
	if (S_ISBLK(st.st_mode))
		return open_device(x, size, e);
	if (S_ISREG(st.st_mode))
		return open_existing(x, e);
	(void)err_set(e, ERR_USAGE, "%s is neither a file nor a block device",
		      text_quote_str(x->o->to).s);
	return err_hint(e, "`snapctl cat` writes to standard output");
}

/* ---- Workers ------------------------------------------------------------ */

struct hand {
	struct output *x;
	struct reader *reader;
	uint8_t *there; /* ZERO_BYTES, to compare with */
};

static void fail(struct output *x, const struct err *why)
{
	(void)pthread_mutex_lock(&x->lock);
	if (!x->failed)
		x->failure = *why;
	x->failed = true;
	(void)pthread_mutex_unlock(&x->lock);
	queue_abort(x->work);
}

static void count_written(struct output *x, uint64_t n)
{
	(void)pthread_mutex_lock(&x->lock);
	x->result.written += n;
	(void)pthread_mutex_unlock(&x->lock);
}

static void count_lost(struct output *x, const struct job *j,
		       const struct err *why)
{
	(void)pthread_mutex_lock(&x->lock);
	x->result.lost += j->extent.len;
	if (x->o->lost)
		x->o->lost(x->o->arg, j->offset, j->extent.len, why->text);
	(void)pthread_mutex_unlock(&x->lock);
}

/*
 * Bytes of the target that must become those at p, or zeros when p is NULL;
 * at most ZERO_BYTES.
 */
static int write_range(struct hand *h, const uint8_t *p, size_t n,
		       uint64_t offset, struct err *e)
{
	static const uint8_t zeros[ZERO_BYTES];
	const uint8_t *want = p ? p : zeros;
	struct target *t = &h->x->target;

	if (t->in_place) {
		const ssize_t got = file_pread(t->fd, h->there, n,
					       (int64_t)offset);

		/* What cannot be read may be mended by being written. */
		if (got == (ssize_t)n && memcmp(h->there, want, n) == 0)
			return 0;
	}
	if (!p && !t->is_device &&
	    seam_fallocate(t->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			   (int64_t)offset, (int64_t)n) == 0) {
		count_written(h->x, n);
		return 0;
	}
	if (seam_pwrite(t->fd, want, n, (int64_t)offset) < 0)
		return err_sys(e, "cannot write %s",
			       text_quote_str(h->x->o->to).s);
	count_written(h->x, n);
	return 0;
}

static int write_pieces(struct hand *h, const uint8_t *p, uint64_t n,
			uint64_t offset, struct err *e)
{
	while (n > 0) {
		const size_t now = n < ZERO_BYTES ? (size_t)n : ZERO_BYTES;

		if (h->x->o->cancel && atomic_load(h->x->o->cancel))
			return err_set(e, ERR_INTERRUPTED, "interrupted");
		if (write_range(h, p, now, offset, e) < 0)
			return -1;
		p = p ? p + now : NULL;
		offset += now;
		n -= now;
	}
	return 0;
}

static int do_job(struct hand *h, const struct job *j, struct err *e)
{
	const struct extent *want = &j->extent;
	const uint8_t *plain;
	struct err why = { 0 };
	size_t n;

	if (want->hole) /* a new file has it already */
		return h->x->target.in_place
			       ? write_pieces(h, NULL, want->len, j->offset, e)
			       : 0;
	if (reader_get(h->reader, &want->id, CHUNK_DATA, &plain, &n, &why) ==
		    0 &&
	    (want->offset > n || want->len > n - want->offset))
		(void)err_set(&why, ERR_CORRUPT,
			      "it refers to bytes beyond its chunk");
	if (why.code == ERR_CORRUPT) {
		count_lost(h->x, j, &why);
		return 0;
	}
	if (why.code) {
		*e = why;
		return -1;
	}
	return write_pieces(h, plain + want->offset, want->len, j->offset, e);
}

static size_t enter(struct output *x)
{
	size_t i;

	(void)pthread_mutex_lock(&x->popping);
	i = x->n_entered++;
	(void)pthread_mutex_unlock(&x->popping);
	return i;
}

/* They come in order: nobody is before the least of those under way. */
static struct job *next_job(struct output *x, size_t i)
{
	struct job *j = NULL;
	void *item;

	(void)pthread_mutex_lock(&x->popping);
	if (queue_pop(x->work, &item)) {
		j = item;
		ahead_at(x->ahead, i, j->offset);
	}
	(void)pthread_mutex_unlock(&x->popping);
	return j;
}

static void *worker(void *arg)
{
	struct output *x = arg;
	const size_t i = enter(x);
	struct hand h = { .x = x, .there = malloc(ZERO_BYTES) };
	CLEANUP(reader_free) struct reader *reader = NULL;
	struct err e = { 0 };
	struct job *j;

	if (!h.there)
		(void)err_oom(&e);
	if (!h.there ||
	    reader_new(x->repository, CACHE_BYTES, &reader, &e) < 0) {
		fail(x, &e);
		free(h.there);
		return NULL;
	}
	h.reader = reader;
	reader_take_from(reader, ahead_prefetch(x->ahead));
	while ((j = next_job(x, i)) != NULL) {
		if (do_job(&h, j, &e) < 0)
			fail(x, &e);
		ahead_at(x->ahead, i, PREFETCH_NOWHERE);
		free(j);
	}
	free(h.there);
	return NULL;
}

static int start_workers(struct output *x, struct err *e)
{
	const long cores = sysconf(_SC_NPROCESSORS_ONLN);
	const size_t want = cores < 1		  ? 1
			    : cores > WORKERS_MAX ? WORKERS_MAX
						  : (size_t)cores;

	if (queue_new(&x->work, JOBS, e) < 0)
		return -1;
	while (x->n_workers < want) {
		errno = pthread_create(&x->workers[x->n_workers], NULL, worker,
				       x);
		if (errno)
			return err_sys(e, "cannot start a thread");
		x->n_workers++;
	}
	return 0;
}

static void stop_workers(struct output *x)
{
	void *item;

	if (!x->work)
		return;
	queue_close(x->work);
	for (size_t i = 0; i < x->n_workers; i++)
		(void)pthread_join(x->workers[i], NULL);
	while ((item = queue_drain(x->work)))
		free(item);
	queue_free(x->work);
}

/* ---- Its content -------------------------------------------------------- */

static int send_extent(void *arg, uint64_t offset, const struct extent *extent,
		       struct err *e)
{
	struct output *x = arg;
	struct job *j;

	/* Of a new file nobody else looks at holes. */
	if (x->o->cancel && atomic_load(x->o->cancel))
		return err_set(e, ERR_INTERRUPTED, "interrupted");
	j = malloc(sizeof(*j));
	if (!j)
		return err_oom(e);
	*j = (struct job){ offset, *extent };
	x->walked = offset;
	if (x->o->progress)
		x->o->progress(x->o->arg, offset, x->result.bytes);
	if (queue_push(x->work, j))
		return 0;
	free(j);
	/* Whoever aborted it has said why. */
	return err_set(e, ERR_BUG, "the queue closed early");
}

/* The file that is meant: its entry and content, borrowed from the tree. */
static int find_file(struct output *x, struct tree *t, struct entry *en,
		     struct content *content, struct err *e)
{
	const struct restore_output_options *o = x->o;
	int got;

	if (o->path && tree_seek(t, o->path, o->path_len, e) < 0)
		return -1;
	do
		got = tree_next(t, en, content, e);
	while (got == 1 && !o->path && en->type == ENTRY_FOLDER);
	if (got < 0)
		return -1;
	if (got == 0 ||
	    (o->path && entry_path_compare(en->path, en->path_len, o->path,
					   o->path_len) != 0)) {
		(void)err_set(e, ERR_NOT_FOUND,
			      "there is no such file in the "
			      "snapshot");
		return err_hint(e, "`snapctl ls` shows what is");
	}
	if (en->type != ENTRY_FILE)
		return err_set(e, ERR_USAGE, "%s is a %s, not a file",
			       text_quote(en->path, en->path_len).s,
			       entry_type_name(en->type));
	return 0;
}

static int sync_folder_of(const char *path, struct err *e)
{
	CLEANUP(file_close) int fd = -1;
	const char *slash = strrchr(path, '/');
	char folder[4096];

	(void)snprintf(folder, sizeof(folder), "%.*s",
		       slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || seam_sync_dir(fd) < 0)
		return err_sys(e, "cannot make %s durable",
			       text_quote_str(folder).s);
	return 0;
}

/* Nobody else's file of that name is replaced. */
static int name_target(const char *temporary, const char *to)
{
	if (seam_rename(AT_FDCWD, temporary, AT_FDCWD, to, RENAME_NOREPLACE) ==
	    0)
		return 0;
	/* NFS, and some in user space. */
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	return seam_link(AT_FDCWD, temporary, AT_FDCWD, to, 0) < 0 ||
			       seam_unlink(AT_FDCWD, temporary, 0) < 0
		       ? -1
		       : 0;
}

static int settle(struct output *x, struct err *e)
{
	struct target *t = &x->target;
	const char *to = x->o->to;

	if (!t->is_device && seam_truncate(t->fd, (int64_t)x->result.bytes) < 0)
		return err_sys(e, "cannot set the size of %s",
			       text_quote_str(to).s);
	if (seam_fsync(t->fd) < 0)
		return err_sys(e, "cannot make %s durable",
			       text_quote_str(to).s);
	if (!t->temporary)
		return 0;
	if (name_target(t->temporary, to) < 0)
		return err_sys(e, "cannot give %s its name",
			       text_quote_str(to).s);
	free(t->temporary);
	t->temporary = NULL;
	return sync_folder_of(to, e);
}

static void close_target(struct output *x)
{
	if (x->target.temporary)
		(void)!seam_unlink(AT_FDCWD, x->target.temporary, 0);
	free(x->target.temporary);
	file_close(x->target.fd);
}

static int run(struct output *x, const struct manifest *m, struct err *e)
{
	CLEANUP(reader_free) struct reader *reader = NULL;
	CLEANUP(reader_free) struct reader *maps = NULL;
	CLEANUP(tree_close) struct tree *t = NULL;
	struct content content;
	const struct ahead_work ahead = { .bytes = AHEAD_BYTES,
					  .content = &content };
	struct entry en;
	int failed;

	if (reader_new(x->repository, CACHE_BYTES, &reader, e) < 0 ||
	    reader_new(x->repository, CACHE_BYTES, &maps, e) < 0 ||
	    tree_open(reader, &m->tree, NULL, &t, e) < 0 ||
	    find_file(x, t, &en, &content, e) < 0)
		return -1;
	x->result.bytes = en.size;
	if (open_target(x, m, en.size, e) < 0)
		return -1;
	x->ahead = ahead_start(x->repository, &ahead);
	failed = start_workers(x, e) < 0 ||
		 content_walk(maps, &content, send_extent, x, e) < 0;
	stop_workers(x);
	ahead_free(x->ahead);
	if (x->failed) {
		*e = x->failure;
		return -1;
	}
	if (failed || settle(x, e) < 0)
		return -1;
	if (x->o->progress)
		x->o->progress(x->o->arg, en.size, en.size);
	return 0;
}

int restore_output(struct repository *r, const struct manifest *m,
		   const struct restore_output_options *o,
		   struct restore_output_result *ret, struct err *e)
{
	struct output x = { .repository = r, .o = o, .target = { .fd = -1 } };
	struct beat *b = NULL;
	int failed;
	const int pinned = beat_pin(repository_store(r), repository_keys(r),
				    RECORD_READ_RESTORE, &m->snapshot, 1, &b,
				    e);

	if (pinned < 0)
		return -1;
	x.result.pinned = pinned > 0;
	(void)pthread_mutex_init(&x.popping, NULL);
	(void)pthread_mutex_init(&x.lock, NULL);
	failed = run(&x, m, e);
	close_target(&x);
	if (failed ? e->code == ERR_CORRUPT : x.result.lost > 0)
		failed = beat_judge(b, "the restore", e) < 0 || failed;
	beat_stop(b);
	(void)pthread_mutex_destroy(&x.lock);
	(void)pthread_mutex_destroy(&x.popping);
	*ret = x.result;
	return failed ? -1 : 0;
}

/*
 * Times after content.
 *
 * Size and mtime are what the next restore goes by, so after a power cut they
 * must not both be there without the content.  No order of writing makes sure
 * of that: a size gets to the disk on its own (ftruncate(2), or with a later
 * part), and an ext4 as it is mounted by default has the size of a file that
 * was written from its first byte to its last in its journal while the bytes
 * are still on their way; until they have arrived, it reads as zeros.  Only
 * what syncfs(2) or fsync(2) waited for is there.
 *
 * To wait with each of many small files would make a restore several times
 * slower.  So whole files stay open, without their time, until they are many;
 * then one syncfs(2), which somebody waits for beside the writing, serves for
 * all of them, and they get their times.  It writes what the one at the end
 * would have to write.  A restore that is killed begins again with those that
 * had no time yet, so they are not left for long.
 *
 * With the time comes the mode: what a killed restore left is told by that from
 * what was there before it, also where what is there is to stay.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "storage/restore_internal.h"

/* A batch is due when it has one of these; 3 are in memory at most. */
#define BATCH_FILES 4096
#define BATCH_BYTES ((uint64_t)128 << 20)
#define BATCH_MS    5000
/* Of all descriptors, so many are for one batch. */
#define BATCH_SHARE 16

struct restore_disk {
	struct restore_disk *next;
	dev_t dev;
	int fd;
	uint64_t batch; /* for which it was synced; settler's */
};

int restore_settle_disk(struct restore_run *r, int fd, dev_t dev,
			struct restore_disk **ret, struct err *e)
{
	struct restore_disk *d = r->disks;

	while (d && d->dev != dev)
		d = d->next;
	if (!d) {
		d = calloc(1, sizeof(*d));
		if (!d)
			return err_oom(e);
		d->dev = dev;
		d->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (d->fd < 0) {
			free(d);
			return err_sys(e, "cannot keep the folder open");
		}
		d->next = r->disks;
		r->disks = d;
	}
	*ret = d;
	return 0;
}

static int sync_disk(const struct restore_disk *d, struct err *e)
{
	if (syncfs(d->fd))
		return err_sys(e, "cannot make what was restored durable");
	return 0;
}

int restore_settle_disks(const struct restore_run *r, struct err *e)
{
	for (const struct restore_disk *d = r->disks; d; d = d->next)
		if (sync_disk(d, e))
			return -1;
	return 0;
}

/* Everything of it on all disks that it lies on. */
static int sync_batch(struct restore_run *r, const struct restore_file *batch,
		      struct err *e)
{
	r->batches++;
	for (; batch; batch = batch->next) {
		if (batch->disk->batch == r->batches)
			continue;
		if (sync_disk(batch->disk, e))
			return -1;
		batch->disk->batch = r->batches;
	}
	return 0;
}

static void set_time(struct restore_run *r, const struct restore_file *file)
{
	struct err e = { 0 };

	if (restore_times(NULL, NULL, file->fd, &file->entry, &e) == 0 &&
	    restore_mode(file->fd, file->mode, &e) == 0)
		return;
	restore_error(r, &file->entry, &e);
	(void)pthread_mutex_lock(&r->lock);
	r->result.files--;
	r->result.bytes -= file->entry.size;
	(void)pthread_mutex_unlock(&r->lock);
}

static void settle(struct restore_run *r, struct restore_file *batch)
{
	struct err e = { 0 };
	const bool durable = sync_batch(r, batch, &e) == 0;

	if (!durable)
		restore_fail(r, &e);
	while (batch) {
		struct restore_file *next = batch->next;

		if (durable)
			set_time(r, batch);
		restore_file_free(batch);
		batch = next;
	}
}

static void *settler(void *arg)
{
	struct restore_run *r = (struct restore_run *)arg;
	void *item;

	while (queue_pop(r->whole, &item))
		settle(r, (struct restore_file *)item);
	return NULL;
}

int restore_settle_start(struct restore_run *r, struct err *e)
{
	struct rlimit l;

	r->batch_max = BATCH_FILES;
	if (getrlimit(RLIMIT_NOFILE, &l) == 0 &&
	    l.rlim_cur / BATCH_SHARE < r->batch_max)
		r->batch_max = l.rlim_cur / BATCH_SHARE;
	if (queue_new(&r->whole, 1, e))
		return -1;
	(void)pthread_mutex_init(&r->batch_lock, NULL);
	errno = pthread_create(&r->settler, NULL, settler, r);
	if (errno) {
		queue_free(r->whole);
		r->whole = NULL;
		return err_sys(e, "cannot start a thread");
	}
	return 0;
}

static void send_batch(struct restore_run *r)
{
	const bool sent = queue_push(r->whole, r->batch);

	assert(sent); /* closed by restore_settle_end() alone */
	r->batch = NULL;
	r->batch_n = 0;
	r->batch_bytes = 0;
}

void restore_settle_later(struct restore_run *r, struct restore_file *file)
{
	const int64_t now_ms = clock_boot_ms();

	/* Held also while the settler is waited for, by all. */
	(void)pthread_mutex_lock(&r->batch_lock);
	if (!r->batch)
		r->batch_begun_ms = now_ms;
	file->next = r->batch;
	r->batch = file;
	r->batch_n++;
	r->batch_bytes += file->entry.size + file->entry.path_len;
	if (r->batch_n >= r->batch_max || r->batch_bytes >= BATCH_BYTES ||
	    now_ms - r->batch_begun_ms >= BATCH_MS)
		send_batch(r);
	(void)pthread_mutex_unlock(&r->batch_lock);
}

void restore_settle_end(struct restore_run *r)
{
	if (!r->whole)
		return;
	if (r->batch)
		send_batch(r);
	queue_close(r->whole);
	(void)pthread_join(r->settler, NULL);
	queue_free(r->whole);
	r->whole = NULL;
	(void)pthread_mutex_destroy(&r->batch_lock);
}

void restore_settle_done(struct restore_run *r)
{
	while (r->disks) {
		struct restore_disk *next = r->disks->next;

		file_close(r->disks->fd);
		free(r->disks);
		r->disks = next;
	}
}

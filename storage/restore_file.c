/* Regular files: deciding, writing, finishing. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/seam.h"
#include "storage/repository/cut.h"
#include "storage/restore_internal.h"

char *restore_temporary_name(const struct restore_run *r,
			     const struct restore_folder *f,
			     const struct entry *en, struct err *e)
{
	uint8_t key[KEYS_SIZE] = { 0 };
	char *name;

	static_assert(sizeof(r->snapshot) <= sizeof(key), "it is a key");
	memcpy(key, &r->snapshot, sizeof(r->snapshot));
	if (asprintf(&name, ".snapctl-%016" PRIx64 ".part",
		     cut_hash(key, en->path, en->path_len)) < 0) {
		(void)err_oom(e);
		return NULL;
	}
	/* Nearly always there is none; one that stays fails what comes. */
	(void)!seam_unlink(f->fd, name, 0);
	return name;
}

bool restore_leads_to(const struct restore_folder *f, const char *name, int fd)
{
	struct stat ours;
	struct stat there;

	return fstat(fd, &ours) == 0 &&
	       fstatat(f->fd, name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
	       ours.st_ino == there.st_ino && ours.st_dev == there.st_dev;
}

int restore_put_in_place(const struct restore_folder *f, int fd,
			 const char *temporary, const char *name, struct err *e)
{
	if (!restore_leads_to(f, temporary, fd))
		return err_set(e, ERR_BUSY,
			       "another restore of this snapshot has begun it");
	if (seam_rename(f->fd, temporary, f->fd, name, 0))
		return err_sys(e, "cannot put it in place");
	return 0;
}

void restore_file_free(struct restore_file *file)
{
	file_close(file->fd);
	entry_done(&file->entry);
	free(file->name);
	free(file->temporary);
	free(file);
}

static struct restore_file *file_new(const struct entry *en, const char *name,
				     struct err *e)
{
	struct restore_file *file = calloc(1, sizeof(*file));

	if (!file) {
		(void)err_oom(e);
		return NULL;
	}
	file->fd = -1;
	file->refs = 1;
	file->name = strdup(name);
	if (!file->name) {
		(void)err_oom(e);
		restore_file_free(file);
		return NULL;
	}
	if (entry_copy(&file->entry, en, e)) {
		restore_file_free(file);
		return NULL;
	}
	return file;
}

/*
 * Whether found is all that the file system can keep of the entry's mtime.
 * Times on NTFS and SMB come in 100 ns, on others in µs or ms, on exFAT in
 * 10 ms, on HFS+ and an ext4 that was ext3 in seconds.  A coarser mtime alone
 * proves nothing, whoever copies with old tools makes such; but the change
 * time is the file system's own, and where that is finer nothing was cut off.
 */
static bool is_cut_mtime(const struct stat *found, const struct entry *en)
{
	static const uint32_t steps_ns[] = { 100, 1000, 1000000, 10000000,
					     1000000000 };
	const uint32_t mtime = (uint32_t)found->st_mtim.tv_nsec;
	const uint32_t ctime = (uint32_t)found->st_ctim.tv_nsec;

	for (size_t i = 0; i < sizeof(steps_ns) / sizeof(steps_ns[0]); i++) {
		const uint32_t step = steps_ns[i];

		if (found->st_mtim.tv_sec == en->mtime.sec &&
		    mtime == en->mtime.nsec - en->mtime.nsec % step &&
		    ctime % step == 0)
			return true;
	}
	/* FAT keeps even seconds, and shows one stamp for both. */
	return mtime == 0 && ctime == 0 &&
	       found->st_mtim.tv_sec == (en->mtime.sec & ~INT64_C(1)) &&
	       found->st_ctim.tv_sec == found->st_mtim.tv_sec;
}

static bool is_same(const struct stat *st, const struct entry *en)
{
	return S_ISREG(st->st_mode) && st->st_size >= 0 &&
	       (uint64_t)st->st_size == en->size &&
	       ((st->st_mtim.tv_sec == en->mtime.sec &&
		 (uint32_t)st->st_mtim.tv_nsec == en->mtime.nsec) ||
		is_cut_mtime(st, en));
}

bool restore_is_unfinished(const struct stat *st, const struct entry *en)
{
	const mode_t bits = S_ISUID | S_ISGID | S_ISVTX | S_IRWXU;

	/* An ACL may have given others something. */
	return S_ISREG(st->st_mode) &&
	       (st->st_mode & bits) == RESTORE_UNFINISHED &&
	       !(en->mode & S_ISVTX) && st->st_size >= 0 &&
	       (uint64_t)st->st_size <= en->size;
}

bool restore_is_there(const struct restore_run *r,
		      const struct restore_folder *root, const char *path,
		      const struct entry *en)
{
	CLEANUP(file_close) const int fd = restore_open_entry(root, path);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return false;
	return r->o->overwrite == RESTORE_NEVER
		       ? !restore_is_unfinished(&st, en)
		       : is_same(&st, en);
}

/*
 * What was seen at name, and no other: opened so that its metadata can be
 * set.  Who is not root needs to read a file for that, and to write it where
 * it has attributes, so its owner may until it gets its mode.
 */
static int open_kept(const struct restore_run *r,
		     const struct restore_folder *f, const char *name,
		     const struct stat *seen, int *ret_fd, struct err *e)
{
	const mode_t need = S_IRUSR | S_IWUSR;
	CLEANUP(file_close)
	const int found = openat(f->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	char path[64];

	if (found < 0 || fstat(found, &st))
		return err_sys(e, "cannot open it");
	if (st.st_ino != seen->st_ino || st.st_dev != seen->st_dev)
		return err_set(e, ERR_IO, "another has just taken its place");
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", found);
	/* Who does not own it may be allowed to read it nevertheless. */
	if (r->uid != 0 && (st.st_mode & need) != need)
		(void)!seam_chmod(AT_FDCWD, path,
				  (st.st_mode & ENTRY_MODE_BITS) | need);
	*ret_fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	return *ret_fd < 0 ? err_sys(e, "cannot open it") : 0;
}

/* What is there already is right, or is to stay: no content is written. */
static int keep_file(struct restore_run *r, struct restore_folder *f,
		     const struct entry *en, const char *name,
		     const struct stat *seen, bool same, struct err *e)
{
	CLEANUP(file_close) int fd = -1;

	(void)pthread_mutex_lock(&r->lock);
	if (same) {
		r->result.files++;
		r->result.reused++;
		r->result.bytes += en->size;
	} else {
		r->result.skipped++;
	}
	(void)pthread_mutex_unlock(&r->lock);
	if (!same)
		return RESTORE_KEPT;
	if (r->o->dry_run || (r->o->overwrite == RESTORE_NEVER &&
			      !restore_is_unfinished(seen, en)))
		return RESTORE_SAME;
	/* Owner, mode and attributes may have changed all the same. */
	if (open_kept(r, f, name, seen, &fd, e))
		return -1;
	return restore_metadata(r, f, name, fd, en, e) ? -1 : RESTORE_SAME;
}

/*
 * In place when nothing is there, else beside it, to be renamed over it; and
 * where the file system can, without a name until then.
 */
static int open_output(const struct restore_run *r, struct restore_file *file,
		       bool there, struct err *e)
{
	const int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;

	if (there) {
		file->temporary = restore_temporary_name(r, file->folder,
							 &file->entry, e);
		if (!file->temporary)
			return -1;
		file->fd = seam_open(file->folder->fd, ".",
				     O_RDWR | O_TMPFILE | O_CLOEXEC,
				     RESTORE_UNFINISHED);
		file->unnamed = file->fd >= 0;
		if (file->unnamed)
			return 0;
	}
	file->fd = seam_open(file->folder->fd,
			     there ? file->temporary : file->name, flags,
			     RESTORE_UNFINISHED);
	if (file->fd < 0)
		return err_sys(e, "cannot create it");
	return 0;
}

static int begin(struct restore_run *r, struct restore_folder *f,
		 const struct entry *en, const char *name, bool there,
		 struct restore_file **ret, struct err *e)
{
	struct restore_file *file = file_new(en, name, e);

	if (!file)
		return -1;
	file->folder = f;
	file->disk = f->disk;
	if (open_output(r, file, there, e)) {
		restore_file_free(file);
		return -1;
	}
	restore_folder_ref(r, f);
	*ret = file;
	return RESTORE_WRITE;
}

int restore_file_begin(struct restore_run *r, struct restore_folder *f,
		       const struct entry *en, const char *name,
		       struct restore_file **ret, struct err *e)
{
	struct stat st;
	int there;
	bool same;
	bool stays;

	/* In a folder that we made there is nothing, mostly: no look before. */
	if (f->is_ours && !r->o->dry_run) {
		struct err first = { 0 };

		if (begin(r, f, en, name, false, ret, &first) >= 0)
			return RESTORE_WRITE;
		if (first.sys != EEXIST) {
			*e = first;
			return -1;
		}
	}
	there = restore_look(f, name, &st, e);
	if (there < 0)
		return -1;
	same = there && is_same(&st, en);
	stays = there && r->o->overwrite == RESTORE_NEVER &&
		(same || !restore_is_unfinished(&st, en));
	if (there && (stays || (same && r->o->overwrite == RESTORE_CHANGED)))
		return keep_file(r, f, en, name, &st, same, e);
	if (there && S_ISDIR(st.st_mode))
		return err_set(e, ERR_EXISTS, "a folder is in the way");
	if (r->o->dry_run) {
		(void)pthread_mutex_lock(&r->lock);
		r->result.files++;
		r->result.bytes += en->size;
		(void)pthread_mutex_unlock(&r->lock);
		return RESTORE_KEPT;
	}
	return begin(r, f, en, name, there, ret, e);
}

void restore_file_ref(struct restore_run *r, struct restore_file *file)
{
	(void)pthread_mutex_lock(&r->lock);
	file->refs++;
	(void)pthread_mutex_unlock(&r->lock);
}

/* Attributes that are set take no memory any more. */
static int forget_xattrs(struct restore_file *file, struct err *e)
{
	struct entry old = file->entry;
	struct entry bare = old;
	int failed;

	if (!old.xattr_count)
		return 0;
	bare.xattrs = NULL;
	bare.xattr_count = 0;
	failed = entry_copy(&file->entry, &bare, e);
	if (!failed)
		entry_done(&old);
	return failed;
}

/* All but its times and mode, which come when it is durable. */
static int finish_file(struct restore_run *r, struct restore_file *file,
		       struct err *e)
{
	/* A hole at the end, or nothing but holes. */
	const bool extend = !file->ends_in_data && file->entry.size;

	if (extend && seam_truncate(file->fd, (int64_t)file->entry.size))
		return err_sys(e, "cannot set the size");
	if (restore_rights(r, file->folder, file->fd, &file->entry, &file->mode,
			   e) ||
	    forget_xattrs(file, e))
		return -1;
	if (!file->temporary)
		return 0;
	if (file->unnamed &&
	    restore_link_fd(file->fd, file->folder->fd, file->temporary))
		return err_sys(e, "cannot give it a name");
	return restore_put_in_place(file->folder, file->fd, file->temporary,
				    file->name, e);
}

/* It is ours and not whole: nobody may take it for right. */
static void discard(const struct restore_file *file)
{
	const char *name = file->temporary ? file->temporary : file->name;

	if (restore_leads_to(file->folder, name, file->fd))
		(void)!seam_unlink(file->folder->fd, name, 0);
}

void restore_file_unref(struct restore_run *r, struct restore_file *file)
{
	struct err e = { 0 };
	bool last;
	bool whole;

	(void)pthread_mutex_lock(&r->lock);
	last = --file->refs == 0;
	whole = !file->failed && !r->failed;
	(void)pthread_mutex_unlock(&r->lock);
	if (!last)
		return;
	if (whole && finish_file(r, file, &e)) {
		restore_error(r, &file->entry, &e);
		whole = false;
	}
	if (whole) {
		(void)pthread_mutex_lock(&r->lock);
		r->result.files++;
		r->result.bytes += file->entry.size;
		(void)pthread_mutex_unlock(&r->lock);
	} else {
		discard(file);
	}
	if (file->done)
		*file->done = whole;
	restore_folder_unref(r, file->folder);
	if (whole)
		restore_settle_later(r, file);
	else
		restore_file_free(file);
}

static int write_piece(struct restore_run *r, struct reader *x,
		       const struct restore_piece *p, struct err *e)
{
	const uint8_t *plain;
	size_t n;

	if (reader_get(x, &p->extent.id, CHUNK_DATA, &plain, &n, e)) {
		restore_note_unread(r, e);
		return -1;
	}
	if (p->extent.offset > n || p->extent.len > n - p->extent.offset)
		return err_set(e, ERR_CORRUPT,
			       "it refers to bytes beyond its chunk");
	if (seam_pwrite(p->file->fd, plain + p->extent.offset,
			(size_t)p->extent.len, (int64_t)p->offset))
		return err_sys(e, "cannot write it to the target");
	return 0;
}

void restore_file_error(struct restore_run *r, struct restore_file *file,
			const struct err *why)
{
	bool first;

	(void)pthread_mutex_lock(&r->lock);
	first = !file->failed;
	file->failed = true;
	(void)pthread_mutex_unlock(&r->lock);
	if (first)
		restore_error(r, &file->entry, why);
}

static bool has_failed(struct restore_run *r, const struct restore_file *file)
{
	bool failed;

	(void)pthread_mutex_lock(&r->lock);
	failed = file->failed || r->failed;
	(void)pthread_mutex_unlock(&r->lock);
	return failed;
}

/*
 * What a job wrote to a large file is on its way to the disk at once, beside
 * the opening of further chunks, instead of all of it at the end.
 */
#define PUSH_BYTES ((uint64_t)1 << 20)

static void push(const struct restore_job *job, size_t first, size_t end)
{
	const struct restore_piece *from = &job->pieces[first];
	const struct restore_piece *last = &job->pieces[end - 1];
	const uint64_t to = last->offset + last->extent.len;

	/* Only a hint, which some file systems do not take. */
	if (to > from->offset && to - from->offset >= PUSH_BYTES)
		(void)sync_file_range(from->file->fd, (off64_t)from->offset,
				      (off64_t)(to - from->offset),
				      SYNC_FILE_RANGE_WRITE);
}

void restore_job_write(struct restore_run *r, struct reader *x,
		       struct restore_job *job)
{
	size_t first = 0; /* of the pieces of one file */

	for (size_t i = 0; i < job->n; i++) {
		struct restore_file *file = job->pieces[i].file;
		struct err e = { 0 };

		if (!has_failed(r, file) &&
		    write_piece(r, x, &job->pieces[i], &e))
			restore_file_error(r, file, &e);
		if (i + 1 < job->n && job->pieces[i + 1].file == file)
			continue;
		push(job, first, i + 1);
		for (; first <= i; first++)
			restore_file_unref(r, file);
	}
	job->n = 0;
}

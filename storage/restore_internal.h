/*
 * Private to restore*.c.
 */
#ifndef STORAGE_RESTORE_INTERNAL_H
#define STORAGE_RESTORE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "base/queue.h"
#include "storage/repository/ahead.h"
#include "storage/repository/content.h"
#include "storage/repository/entry.h"
#include "storage/repository/reader.h"
#include "storage/restore.h"

#define RESTORE_WORKERS_MAX PREFETCH_WORKERS
/*
 * Opened chunks that each worker keeps.  Of ten versions of a source tree,
 * whose small files lie in the chunks of all ten, with 4 MiB 26 MB are read for
 * the 9.4 MB that are restored, in 0.13 s, with 6 MiB 13 MB in 0.095, with 8
 * MiB 11 MB in 0.105; and in 18, 21 and 23 MiB of memory.
 */
#define RESTORE_CACHE_BYTES (6U << 20)
/*
 * Attributes that folders on the way keep until they are finished: as much as
 * two of them can have, and more than any disk lets all of them have.
 */
#define RESTORE_HELD_MAX (2 * ENTRY_XATTR_VALUES_MAX)
/* Files of more attributes are not written side by side. */
#define RESTORE_HEAVY_BYTES ((size_t)64 << 10)

/*
 * A folder of the target on the way from the top to the current entry.  It is
 * made when something in it is, and finished when nobody refers to it.
 */
struct restore_folder {
	struct restore_folder *up; /* NULL for the target itself */
	struct restore_disk *disk; /* that it lies on; once it is made */
	struct entry entry;	   /* owned, without its path; type 0: none */
	size_t path_len;	   /* of its path, which ends in name */
	char *name;		   /* in up */
	int fd;			   /* -1 until it is made */
	struct restore_folder *below; /* while those above are made */
	/* Made by us, now or by a run that did not finish it: it gets its
	 * metadata. */
	bool is_ours;
	bool is_closed; /* seen to be ours alone, until it gets its metadata */
	bool is_wanted; /* the entry itself is restored */
	bool is_lost;	/* its own entry is: nothing is known but its name */
	bool failed;
	char *why;	/* it failed: of the highest one that did; or NULL */
	bool is_absent; /* a dry run: it would have to be made */
	/* It is closed, and a new file in it had no attributes: no default
	 * ACL, which nobody else can set now, no labels. */
	atomic_bool makes_plain;
	size_t held;	   /* bytes of attributes */
	unsigned int refs; /* the run's lock guards it */
};

struct restore_run {
	struct repository *repository;
	struct object_id snapshot;
	const struct restore_options *o;
	struct restore_result result;
	bool privileged;
	uid_t uid;
	gid_t gid;

	/* restore_work.c's */
	struct queue *work;
	pthread_t workers[RESTORE_WORKERS_MAX];
	size_t n_workers;
	size_t n_entered;	 /* lock */
	pthread_mutex_t popping; /* taking a job, and telling its position */

	/* restore_ahead.c's; NULL where a request costs little */
	pthread_mutex_t wanted_lock; /* o->wanted may wait for workers */
	struct restore_ahead *ahead_plan;
	struct ahead *ahead;

	pthread_mutex_t lock; /* result, refs, held, failure */
	size_t held;	      /* bytes of attributes of folders */
	bool failed;
	struct err failure;

	/* restore_settle.c's */
	struct restore_disk *disks; /* the walking thread's */
	struct queue *whole;	    /* batches of files */
	pthread_t settler;
	uint64_t batches; /* settler's: begun */
	pthread_mutex_t batch_lock;
	struct restore_file *batch; /* that one, and the next, and so on */
	size_t batch_n;
	size_t batch_max;
	size_t job_max; /* pieces of one job, whose files are all open */
	uint64_t batch_bytes;
	int64_t batch_begun_ms;
};

/* A file that is being written by one or several workers. */
struct restore_file {
	struct restore_folder *folder;
	struct entry entry; /* owned */
	char *name;
	char *temporary; /* to be renamed to name; NULL: written in place */
	bool unnamed;	 /* has no name yet, not even the temporary one */
	int fd;
	bool ends_in_data; /* its last byte is written: the size comes along */
	unsigned int refs; /* lock */
	bool failed;	   /* lock */
	bool *done;	   /* NULL, or where to say that it is there, whole */
	mode_t mode;	   /* that it gets at last */
	struct restore_disk *disk;
	struct restore_file *next; /* in a batch */
};

/* What one worker does at a time. */
#define RESTORE_EXTENTS 64
struct restore_piece {
	struct restore_file *file;
	uint64_t offset;
	struct extent extent;
};
struct restore_job {
	uint64_t position; /* of the first piece: ahead.h */
	size_t n;
	uint64_t bytes;
	struct restore_piece pieces[RESTORE_EXTENTS];
};

/* restore.c */
void restore_error(struct restore_run *r, const struct entry *en,
		   const struct err *why) NONNULL(1, 2, 3);
/* The same for a file that is being written; only its first counts. */
void restore_file_error(struct restore_run *r, struct restore_file *file,
			const struct err *why) NONNULL(1, 2, 3);
void restore_leave_out(struct restore_run *r, const struct entry *en,
		       const char *what) NONNULL(1, 2, 3);
/*
 * Reading the repository failed.  One that does not answer does not with the
 * next file either, and ends the run.
 */
void restore_note_unread(struct restore_run *r, const struct err *why)
	NONNULL(1, 2);
/* The first failure that concerns everything ends the run. */
void restore_fail(struct restore_run *r, const struct err *why) NONNULL(1, 2);
bool restore_failed(struct restore_run *r) NONNULL(1);

/* restore_work.c: the threads that write files. */
int restore_work_start(struct restore_run *r, struct err *e) NONNULL(1, 2)
	MUST_CHECK;
void restore_work_stop(struct restore_run *r) NONNULL(1);

/* restore_ahead.c: what will be needed is fetched before. */
/* As restore_options.wanted; from any thread. */
bool restore_is_wanted(struct restore_run *r, const struct entry *en)
	NONNULL(1, 2);
/* root lives until restore_ahead_end(); before there are workers. */
void restore_ahead_start(struct restore_run *r,
			 const struct manifest_root *tree,
			 const struct restore_folder *root) NONNULL(1, 2, 3);
/* The walk is over; workers may still be at work. */
void restore_ahead_end(struct restore_run *r) NONNULL(1);
/* All readers are gone. */
void restore_ahead_done(struct restore_run *r) NONNULL(1);

/* restore_target.c: folders and what is put into them. */
/* Bytes that a copy of an entry takes for its attributes. */
size_t restore_weight(const struct entry *en) NONNULL(1);
int restore_target_open(struct restore_run *r, struct restore_folder **ret,
			struct err *e) NONNULL(1, 2, 3) MUST_CHECK;
struct restore_folder *restore_folder_enter(struct restore_run *r,
					    struct restore_folder *up,
					    const struct entry *en,
					    const char *name, bool wanted,
					    struct err *e)
	NONNULL(1, 2, 3, 4, 6);
/* Make it, and those above it, if need be. */
int restore_folder_make(struct restore_run *r, struct restore_folder *f,
			struct err *e) NONNULL(1, 2, 3) MUST_CHECK;
void restore_folder_ref(struct restore_run *r, struct restore_folder *f)
	NONNULL(1, 2);
/* The last one finishes the folder: metadata, descriptor, memory. */
void restore_folder_unref(struct restore_run *r, struct restore_folder *f)
	NONNULL(1, 2);

/*
 * A descriptor (O_PATH) of an entry by its path below the target, never
 * through a symlink; -1.
 */
int restore_open_entry(const struct restore_folder *root, const char *path)
	NONNULL(1, 2) MUST_CHECK;
/* Another name for what fd is; 0 or -1 with errno. */
int restore_link_fd(int fd, int dir_fd, const char *name) NONNULL(3) MUST_CHECK;

/* Symlinks, fifos, sockets, devices: 1 when it is there, 0 left out, -1. */
int restore_special(struct restore_run *r, struct restore_folder *f,
		    const struct entry *en, const char *name, struct err *e)
	NONNULL(1, 2, 3, 4, 5) MUST_CHECK;

/* What is at name in f: 1 and its status, 0 nothing, -1. */
int restore_look(const struct restore_folder *f, const char *name,
		 struct stat *ret, struct err *e) NONNULL(1, 2, 3, 4)
	MUST_CHECK;
/* Whether what is at name has the entry's mode, owner and attributes. */
bool restore_has_metadata(const struct restore_run *r,
			  const struct restore_folder *f, const char *name,
			  const struct entry *en) NONNULL(1, 2, 3, 4);
/* Owner, attributes, mode, times; by fd, or by name for fd -1. */
int restore_metadata(struct restore_run *r, const struct restore_folder *f,
		     const char *name, int fd, const struct entry *en,
		     struct err *e) NONNULL(1, 5, 6) MUST_CHECK;
/* The same, of a file that was made in f, without times and mode, of which *ret
 * is what it may get; the times; and the mode. */
int restore_rights(struct restore_run *r, struct restore_folder *f, int fd,
		   const struct entry *en, mode_t *ret, struct err *e)
	NONNULL(1, 2, 4, 5, 6) MUST_CHECK;
int restore_times(const struct restore_folder *f, const char *name, int fd,
		  const struct entry *en, struct err *e) NONNULL(4, 5)
	MUST_CHECK;

int restore_mode(int fd, mode_t mode, struct err *e) NONNULL(3) MUST_CHECK;

/* restore_file.c: regular files. */
/*
 * The mode of one that has no content that lasts, or not all of it: it gets
 * its own with its time.  Nobody else makes such files; an entry that is one
 * is not told from it, so that --overwrite never keeps it, whole or not.
 */
#define RESTORE_UNFINISHED (S_ISVTX | S_IRUSR | S_IWUSR)
bool restore_is_unfinished(const struct stat *st, const struct entry *en)
	NONNULL(1, 2);
/* What restore_file_begin() found to do. */
enum restore_begun {
	RESTORE_KEPT,  /* nothing: what is there stays, whatever it is */
	RESTORE_WRITE, /* a file that takes pieces */
	RESTORE_SAME,  /* nothing: it is there as it was */
};
/* Begin a file: decides by the overwrite rule.  enum restore_begun, or -1. */
int restore_file_begin(struct restore_run *r, struct restore_folder *f,
		       const struct entry *en, const char *name,
		       struct restore_file **ret, struct err *e)
	NONNULL(1, 2, 3, 4, 5, 6) MUST_CHECK;
/* Whether it would find at path below root what is kept as it is. */
bool restore_is_there(const struct restore_run *r,
		      const struct restore_folder *root, const char *path,
		      const struct entry *en) NONNULL(1, 2, 3, 4);
void restore_file_ref(struct restore_run *r, struct restore_file *file)
	NONNULL(1, 2);
void restore_file_free(struct restore_file *file) NONNULL(1);
/* The last one finishes the file, or removes what is unfinished. */
void restore_file_unref(struct restore_run *r, struct restore_file *file)
	NONNULL(1, 2);
/* Write a job's pieces; failures are noted at their files. */
void restore_job_write(struct restore_run *r, struct reader *x,
		       struct restore_job *job) NONNULL(1, 2, 3);
/*
 * The name in f of what will be renamed to the entry's own, free to be made:
 * what a restore of the same snapshot that was killed left there is removed.
 * It follows from snapshot and path, so that the next restore finds it, and
 * so that no tree holds a file of that name by chance or by design: the
 * snapshot's id is drawn when its files are there already.
 */
char *restore_temporary_name(const struct restore_run *r,
			     const struct restore_folder *f,
			     const struct entry *en, struct err *e)
	NONNULL(1, 2, 3, 4);
/* Whether name in f leads to what fd is. */
bool restore_leads_to(const struct restore_folder *f, const char *name, int fd)
	NONNULL(1, 2);
/*
 * What fd is gets its name in place of the temporary one.  ERR_BUSY when that
 * leads elsewhere: another restore of the same snapshot uses it, took ours for
 * left there, and is not done with its own.
 */
int restore_put_in_place(const struct restore_folder *f, int fd,
			 const char *temporary, const char *name, struct err *e)
	NONNULL(1, 3, 4, 5) MUST_CHECK;

/* restore_settle.c: times, when the content is durable. */
int restore_settle_start(struct restore_run *r, struct err *e) NONNULL(1, 2)
	MUST_CHECK;
/*
 * Takes a file that is whole but for its times; waits for the disk when there
 * are many already.  What fails is noted as everywhere, at the latest when
 * restore_settle_end() is back, after which there must be no more.
 */
void restore_settle_later(struct restore_run *r, struct restore_file *file)
	NONNULL(1, 2);
void restore_settle_end(struct restore_run *r) NONNULL(1);
/* The file system of a folder of the target, fd. */
int restore_settle_disk(struct restore_run *r, int fd, dev_t dev,
			struct restore_disk **ret, struct err *e)
	NONNULL(1, 4, 5) MUST_CHECK;
/* All that was restored is durable, on all of them. */
int restore_settle_disks(const struct restore_run *r, struct err *e)
	NONNULL(1, 2) MUST_CHECK;
void restore_settle_done(struct restore_run *r) NONNULL(1);

#endif

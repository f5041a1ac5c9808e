/*
 * The parts of the files source, private to it.
 *
 *	files.c		options, the caller's side of the walk
 *	files_plan.c	the given paths as a tree of names
 *	files_folder.c	folders as places to open things from; descriptors
 *	files_list.c	one folder read: names, order, stats
 *	files_ahead.c	threads that read folders before they are asked for
 *	files_handle.c	one entry: attributes, content
 *	files_attrs.c	extended attributes
 *	files_links.c	numbers for groups of hard links
 *	files_spill.c	memory that moves to a file when it grows large
 */
#ifndef STORAGE_SOURCES_FILES_INTERNAL_H
#define STORAGE_SOURCES_FILES_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/filemap.h"
#include "storage/sources/files.h"

/*
 * Growing memory, in ordinary memory while it is small and from then on in
 * an unlinked file, whose pages the kernel can write back.
 */
struct files_spill {
	uint8_t *data;
	size_t len;
	size_t cap;
	int fd; /* of the file, -1: there is none */
};
void files_spill_init(struct files_spill *p) NONNULL(1);
void files_spill_done(struct files_spill *p) NONNULL(1);
/* n more bytes, not initialised; data may move.  folder as in files.h. */
void *files_spill_add(struct files_spill *p, size_t n, const char *folder,
		      struct err *e) NONNULL(1, 4) MUST_CHECK;

/*
 * The given paths as a tree: node 0 is "/".  A node that ends a path is read
 * whole, also when paths go on below it; any other one leads to such nodes.
 */
struct files_plan_node {
	uint32_t name; /* offset in names */
	uint16_t name_len;
	bool whole;
	bool follow;	      /* given with '/' at its end */
	uint32_t first_child; /* 0: none */
	uint32_t last_child;
	uint32_t next_sibling; /* 0: last; ascending by name */
};
struct files_plan {
	struct files_plan_node *nodes;
	char *names;
	size_t count;
	/* What stands for the one path, to be opened in its stead; or NULL. */
	char *place;
	uint32_t placed; /* the path's node */
};
int files_plan_init(struct files_plan *p, const struct files_options *o,
		    struct err *e) NONNULL(1, 2, 3) MUST_CHECK;
void files_plan_done(struct files_plan *p) NONNULL(1);

/*
 * Folders from which things are opened, each with at most one descriptor,
 * which is closed when too many are open and opened again from the folder
 * above when needed.
 */
struct files_pool {
	pthread_mutex_t lock;
	struct files_folder *newest; /* open and not pinned */
	struct files_folder *oldest;
	unsigned int open;
};
struct files_folder {
	struct files_pool *pool;
	struct files_folder *parent; /* a reference; NULL above "/" */
	atomic_uint refs;
	dev_t dev;
	ino_t ino;
	uint32_t path_len;
	bool follow;
	const char *place; /* it is opened as that; or NULL */
	atomic_bool told;  /* that it is lost */
	/* Under the pool's lock: */
	int fd;
	unsigned int pins;
	struct files_folder *newer;
	struct files_folder *older;
	uint16_t name_len;
	char name[]; /* "/" for the root */
};
void files_pool_init(struct files_pool *p) NONNULL(1);
void files_pool_done(struct files_pool *p) NONNULL(1);
/*
 * Takes fd over, as a pinned descriptor; parent gets a reference.  place may be
 * NULL, and outlives the folder.
 */
int files_folder_new(struct files_pool *p, struct files_folder *parent,
		     const char *name, bool follow, const char *place, int fd,
		     struct files_folder **ret) NONNULL(1, 3, 7) MUST_CHECK;
struct files_folder *files_folder_ref(struct files_folder *f);
void files_folder_unref(struct files_folder *f);
/*
 * A descriptor to open from until files_folder_unpin(); -1 and errno, ENOENT
 * when the folder is no longer what was read.  NULL stands for what is above
 * "/": AT_FDCWD, to open "/" itself.
 */
int files_folder_pin(struct files_folder *f) MUST_CHECK;
void files_folder_unpin(struct files_folder *f);
/* How often to open what is replaced again and again meanwhile. */
#define FILES_OPEN_TRIES 10
/*
 * Whether an open that failed with sys met nothing, or a thing of another
 * type, under the name: where files_is_gone() then says no, the right one has
 * come back, and to open it again may succeed.
 */
bool files_met_other(int sys);
/*
 * After name could not be opened, with errno: whether it vanished.  Not, when
 * something of that format (S_IFMT) is still there: then it is the file system
 * that cannot open what it shows.
 */
bool files_is_gone(int dir_fd, const char *name, bool follow, mode_t format)
	NONNULL(2);
/* Its path, path_len bytes and a NUL, to out. */
void files_folder_path(const struct files_folder *f, char *out) NONNULL(1, 2);

enum {
	RECORD_DESCEND = 1,  /* a folder whose content comes next */
	RECORD_FOLLOW = 2,   /* reached through a symlink, if it is one */
	RECORD_PLANNED = 4,  /* `plan` is its node */
	RECORD_THROUGH = 8,  /* only what is planned in the folder is meant */
	RECORD_LISTED = 16,  /* planned, and in the listing of a whole folder */
	RECORD_STAYS = 32,   /* in the list, though `sys` is to be reported */
	RECORD_SKIPPED = 64, /* planned, and to be left out: `sys` is set */
	RECORD_LATER = 128,  /* not read ahead: it may not be asked for */
};
/* What one stat tells about a name. */
struct files_record {
	uint64_t dev;
	uint64_t ino;
	uint64_t size;
	int64_t mtime_sec;
	int64_t ctime_sec;
	uint32_t mtime_nsec;
	uint32_t ctime_nsec;
	uint32_t uid;
	uint32_t gid;
	uint32_t rdev_major;
	uint32_t rdev_minor;
	uint32_t name; /* offset in the list's names, NUL-terminated */
	uint32_t plan;
	int32_t sys; /* errno: why what was asked for cannot be had, else 0 */
	uint16_t name_len;
	uint16_t mode; /* with its format */
	uint8_t flags;
	bool linked; /* more than one name, and no folder */
};
/*
 * Where the thing with that record is to be opened: a path of its own for the
 * folder that has a place, and else NULL, by its name.
 */
const char *files_place_of(const struct files_plan *p,
			   const struct files_record *rec) NONNULL(1, 2);
/* A folder that was read. */
struct files_list {
	struct files_folder *folder; /* NULL: the list of "/" alone */
	atomic_uint refs;
	size_t count;
	const struct files_record *records;
	const char *names;
	int sys;   /* why the listing ended early, else 0 */
	bool gone; /* then: since the folder went before it was listed */
	bool lost; /* since the folder that it lies in is gone */
	struct files_spill record_memory; /* when it is too large for block */
	struct files_spill name_memory;
	void *block;
};
/* What the threads that read share, and do not change. */
struct files_rules {
	const struct files_options *options;
	const struct files_plan *plan;
	struct files_pool *pool;
};
/* One thread's scratch memory. */
struct files_reader {
	const struct files_rules *rules;
	bool later; /* what lies in the folder is RECORD_LATER, too */
	uint8_t *dirents;
	struct buf path;
	size_t folder_len; /* of the folder's path in path */
	struct files_spill keys;
	struct files_spill names;
	struct files_spill records;
};
int files_reader_init(struct files_reader *r, const struct files_rules *rules,
		      struct err *e) NONNULL(1, 2, 3) MUST_CHECK;
void files_reader_done(struct files_reader *r) NONNULL(1);
/* The list that holds "/" alone. */
int files_list_root(const struct files_plan *plan, struct files_list **ret,
		    struct err *e) NONNULL(1, 2, 3) MUST_CHECK;
/* Read the folder that record i of list is. */
int files_list_read(struct files_reader *r, struct files_list *list, size_t i,
		    struct files_list **ret, struct err *e) NONNULL(1, 2, 4, 5)
	MUST_CHECK;
struct files_list *files_list_ref(struct files_list *l) NONNULL(1);
void files_list_unref(struct files_list *l);
DEFINE_CLEANUP(struct files_list *, files_list_unref);
/* What statx(2) says, as a record and back as an entry. */
struct statx;
void files_record_set(struct files_record *r, const struct statx *x)
	NONNULL(1, 2);
/* Everything but path, link_group and owned. */
void files_record_get(const struct files_record *r, struct entry *ret)
	NONNULL(1, 2);
#define FILES_STAT_MASK                                                  \
	(STATX_TYPE | STATX_MODE | STATX_NLINK | STATX_UID | STATX_GID | \
	 STATX_MTIME | STATX_CTIME | STATX_INO | STATX_SIZE)

struct files_ahead;
int files_ahead_start(const struct files_rules *rules, struct files_list *root,
		      struct files_ahead **ret, struct err *e)
	NONNULL(1, 2, 3, 4) MUST_CHECK;
/* Stops the threads, waits for what they are in the middle of. */
void files_ahead_stop(struct files_ahead *a);
DEFINE_CLEANUP(struct files_ahead *, files_ahead_stop);
/*
 * The next folder's list, in path order: that of record i of list, which has
 * RECORD_DESCEND and not RECORD_LATER.  The caller gets a reference.
 */
int files_ahead_next(struct files_ahead *a, const struct files_list *list,
		     size_t i, struct files_list **ret, struct err *e)
	NONNULL(1, 2, 4, 5) MUST_CHECK;
/* A folder's list that was read besides. */
void files_ahead_count(struct files_ahead *a, const struct files_list *l)
	NONNULL(1, 2);
void files_ahead_found(struct files_ahead *a, struct source_progress *ret)
	NONNULL(1, 2);

/*
 * Numbers for groups of hard links: different for different inodes, and the
 * inode's own number where that can be, so that they stay the same from one
 * snapshot to the next.
 */
struct files_links {
	pthread_mutex_t lock;
	struct filemap *devices; /* dev -> ordinal */
	struct filemap *large;	 /* dev, ino -> number, where needed */
	const char *temporary;
};
void files_links_init(struct files_links *l, const char *temporary) NONNULL(1);
void files_links_done(struct files_links *l) NONNULL(1);
int files_links_number(struct files_links *l, uint64_t dev, uint64_t ino,
		       uint64_t *ret, struct err *e) NONNULL(1, 4, 5)
	MUST_CHECK;

/* The extended attributes of one thing, read. */
struct files_attrs {
	struct entry_xattr *list;
	size_t count;
	struct buf bytes;
};
void files_attrs_init(struct files_attrs *a) NONNULL(1);
void files_attrs_done(struct files_attrs *a) NONNULL(1);
/*
 * Those of fd; with by_path, when fd was opened with O_PATH.  For each that
 * cannot be had, failed(arg, name or NULL for all, errno), and once with 0
 * when from that name on they are left out, as all together are too large.
 */
typedef void files_attr_failed(void *arg, const char *name, int sys);
int files_attrs_read(struct files_attrs *a, int fd, bool by_path,
		     files_attr_failed *failed, void *arg, struct err *e)
	NONNULL(1, 4, 6) MUST_CHECK;

struct files {
	struct source base;
	struct files_options options;
	struct files_plan plan;
	struct files_pool pool;
	struct files_rules rules;
	struct files_links links;
	_Atomic(struct files_ahead *) ahead; /* NULL until it is begun */
	struct files_reader *late;  /* for what is not read ahead; or NULL */
	struct files_level *levels; /* from "/" to where the walk is */
	size_t depth;
	size_t level_cap;
	struct buf path;
	/* What was delivered last. */
	struct files_list *list;
	size_t index;
	bool enter; /* its content comes next */
	atomic_bool at_end;
	char *temporary;
	atomic_ullong delivered;
	atomic_ullong delivered_bytes;
};

/*
 * What lies in the folder cannot be had any more, though it was seen: it was
 * renamed or removed before it was done with.  Reported once.
 */
void files_report_lost(const struct files *f, struct files_folder *folder)
	NONNULL(1, 2);

int files_handle_new(struct files *f, struct source_handle **ret, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;
int files_handle_describe(struct source_handle *handle, struct entry *en,
			  struct err *e) NONNULL(1, 2, 3) MUST_CHECK;
int files_handle_read(struct source_handle *handle, void *out, size_t n,
		      struct source_extent *ret, struct err *e)
	NONNULL(1, 2, 4, 5) MUST_CHECK;
enum source_state files_handle_finish(struct source_handle *handle,
				      struct entry *en) NONNULL(1, 2);
void files_handle_free(struct source_handle *handle) NONNULL(1);

#endif

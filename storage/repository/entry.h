/*
 * One entry of a tree as a value: what a source finds, what a tree stores,
 * what a restore puts back (FORMAT.md §7).  Where the bytes of a file lie is
 * the tree's business and not part of it.
 *
 * A struct entry borrows everything that it points at; whoever filled it in
 * says for how long.  entry_copy() makes one that owns its memory, and only
 * such a one needs entry_done() (which is harmless on any).
 *
 * Deliberately knows neither files nor formats: no I/O, no parsing.
 */
#ifndef STORAGE_REPOSITORY_ENTRY_H
#define STORAGE_REPOSITORY_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/instant.h"

#define ENTRY_PATH_MAX	 65535
#define ENTRY_TARGET_MAX 65535
/* Attributes of an entry, their names and values, all values together. */
#define ENTRY_XATTRS_MAX       65536
#define ENTRY_XATTR_NAME_MAX   255
#define ENTRY_XATTR_VALUE_MAX  65536
#define ENTRY_XATTR_VALUES_MAX ((size_t)64 << 20)
/* The permission bits that an entry carries. */
#define ENTRY_MODE_BITS 07777U

/* The numbers are FORMAT.md's. */
enum entry_type {
	ENTRY_FOLDER = 1,
	ENTRY_FILE,
	ENTRY_SYMLINK,
	ENTRY_FIFO,
	ENTRY_SOCKET,
	ENTRY_CHARACTER,
	ENTRY_BLOCK,
	ENTRY_TYPE_END
};

/* Bits of struct entry's flags; again FORMAT.md's. */
enum entry_flag {
	ENTRY_HARD_LINK = 1, /* link_group counts */
	ENTRY_XATTRS = 2,    /* xattr_count > 0; set by who fills those in */
	ENTRY_CHANGED = 4,   /* it changed while it was read */
};

struct entry_xattr {
	const char *name; /* NUL-terminated, with its namespace: "user.x" */
	const uint8_t *value;
	size_t value_len;
};

struct entry {
	const char *path; /* path_len bytes; not necessarily a NUL after them */
	size_t path_len;
	enum entry_type type;
	uint32_t flags;
	uint32_t mode; /* within ENTRY_MODE_BITS */
	uint32_t uid;
	uint32_t gid;
	struct instant mtime;
	uint64_t size;	    /* ENTRY_FILE, else 0 */
	const char *target; /* ENTRY_SYMLINK: target_len bytes, else NULL */
	size_t target_len;
	uint32_t device_major; /* ENTRY_CHARACTER and ENTRY_BLOCK, else 0 */
	uint32_t device_minor;
	/*
	 * Entries of one snapshot with the same number were names of one
	 * inode.  A name was counted also when its fellows are not part of
	 * the snapshot.
	 */
	uint64_t link_group;
	const struct entry_xattr *xattrs; /* ascending bytewise by name */
	size_t xattr_count;

	/* Hints: for "unchanged?" only, never restored. */
	uint64_t inode;
	struct instant ctime;

	void *owned; /* entry_copy()'s memory, else NULL */
};

/* A copy of all that src points at, in one allocation. */
int entry_copy(struct entry *ret, const struct entry *src, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;
/* Give back what entry_copy() allocated; en is all zero afterwards. */
void entry_done(struct entry *en) NONNULL(1);
static inline void cleanup_entry_done(struct entry *en)
{
	entry_done(en);
}

/*
 * The order of trees: bytewise, with '/' lower than every other byte, a
 * prefix before what it begins.  <0, 0, >0.
 */
int entry_path_compare(const void *a, size_t a_len, const void *b,
		       size_t b_len);
/*
 * Whether the bytes are a path as trees hold them: absolute, no empty, "."
 * or ".." component, no NUL, no '/' at the end but of "/" itself, at most
 * ENTRY_PATH_MAX.
 */
bool entry_path_valid(const void *path, size_t len);
/*
 * The same for one whose first `known` bytes begin a valid path: what was
 * looked at there is not looked at again.
 */
bool entry_path_goes_on(const void *path, size_t len, size_t known);
/*
 * Whether everything else about an entry is as trees hold it: what they do
 * not store is what they refuse to read.  That the content of a file adds up
 * to its size is content_valid()'s.
 */
bool entry_valid(const struct entry *en) NONNULL(1);
/*
 * Whether path lies in folder or is it: "/a" holds "/a" and "/a/b", not
 * "/ab".  Both valid.
 */
bool entry_path_within(const void *path, size_t len, const void *folder,
		       size_t folder_len);

/*
 * Whether an entry of that path may come right behind another one (NULL: as
 * the first) in a sequence that has every folder above an entry before it: its
 * folder is that one, or lies above that one.
 */
bool entry_has_folder(const struct entry *before, const void *path, size_t len)
	NONNULL(2);

/*
 * Whether entries hold extended attributes of this name.  All, but: system.*
 * other than the two POSIX ACLs (they show what the file system keeps
 * elsewhere, as NFSv4 ACLs, and can neither be set alike everywhere nor be
 * removed), and security.ima, security.evm (bound to one very inode).
 */
bool entry_holds_xattr(const char *name) NONNULL(1);

/*
 * Whether an entry is as it was by what a stat tells: inode, type, size,
 * device numbers and both times are the same.  Never when its hints are not
 * trusted (inode 0).
 */
bool entry_unchanged(const struct entry *was, const struct entry *is)
	NONNULL(1, 2);

/* "folder", "file", "symlink", …; NULL for a number that is no type. */
const char *entry_type_name(enum entry_type type);
/* The type in st_mode's terms (S_IFDIR, …) and back; 0 when there is none. */
uint32_t entry_type_to_format(enum entry_type type);
enum entry_type entry_type_from_format(uint32_t st_mode);

#endif

/*
 * The way by which SQLite's own writes reach base/seam.h.
 *
 * Hidden here: an SQLite VFS around the system's own.  Each opening for
 * writing, write, truncation, sync and removal is announced to the seam, with
 * the path of the file, before the system's VFS does it; an errno from there
 * is what SQLite is told.  What it has done is told in turn.  So a test kills,
 * fails and records what the catalog writes as it does for the rest.
 *
 * A VFS and not sqlite3_vfs's xSetSystemCall: the table behind that has no
 * fsync, and knows descriptors where this knows the file.
 *
 * Not announced: the -shm file.  It is written through a mapping, means
 * nothing without the processes that share it, and is made anew from the
 * write-ahead log.
 */
#ifndef SERVICE_SQL_VFS_H
#define SERVICE_SQL_VFS_H

/*
 * The name to open with, registered by the first call; should that have failed,
 * SQLite knows none of that name.
 */
const char *sql_vfs_name(void);

#endif

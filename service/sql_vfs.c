#include "service/sql_vfs.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>

#include "base/attr.h"
#include "base/seam.h"

#define NAME "snapctl"

/* What SQLite's own VFS syncs the folder of, with the first sync of it. */
#define JOURNALS \
	(SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL | SQLITE_OPEN_WAL)

/* What SQLite holds for one file; the system's own struct follows it. */
struct seam_file {
	sqlite3_file base;
	const char *path;  /* SQLite keeps it while the file is open */
	bool syncs_folder; /* at its first sync: a journal or log */
	sqlite3_file *real;
};

static sqlite3_vfs vfs;
static sqlite3_vfs *real_vfs;

static sqlite3_file *real_of(sqlite3_file *file)
{
	return ((struct seam_file *)file)->real;
}

/* Whether it may happen; SQLite asks errno what the failure was. */
static bool may(enum seam_call call, const char *path)
{
	return seam_announce(call, path) == 0;
}

/* Yields code, having told of what was done if it was. */
static int told(int code, const struct seam_deed *deed)
{
	if (code == SQLITE_OK)
		seam_tell(deed);
	return code;
}

/* ---- Files: what changes them ---------------------------------------------
 */

static int handle_write(sqlite3_file *file, const void *bytes, int n,
			sqlite3_int64 offset)
{
	sqlite3_file *real = real_of(file);
	const struct seam_deed deed = {
		.call = SEAM_WRITE,
		.fd = -1,
		.dir_fd = AT_FDCWD,
		.path = ((struct seam_file *)file)->path,
		.bytes = bytes,
		.n = (size_t)n,
		.offset = offset
	};

	if (!may(SEAM_WRITE, deed.path))
		return errno == ENOSPC ? SQLITE_FULL : SQLITE_IOERR_WRITE;
	return told(real->pMethods->xWrite(real, bytes, n, offset), &deed);
}

static int handle_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	sqlite3_file *real = real_of(file);

	const struct seam_deed deed = {
		.call = SEAM_TRUNCATE,
		.fd = -1,
		.dir_fd = AT_FDCWD,
		.path = ((struct seam_file *)file)->path,
		.offset = size
	};

	if (!may(SEAM_TRUNCATE, deed.path))
		return SQLITE_IOERR_TRUNCATE;
	return told(real->pMethods->xTruncate(real, size), &deed);
}

/* The first one of a new journal syncs its folder, too. */
static int handle_fsync(sqlite3_file *file, int flags)
{
	struct seam_file *f = (struct seam_file *)file;
	struct seam_deed deed = { .call = SEAM_FSYNC,
				  .fd = -1,
				  .dir_fd = AT_FDCWD,
				  .path = f->path };
	int code;

	if (!may(SEAM_FSYNC, f->path))
		return SQLITE_IOERR_FSYNC;
	code = told(f->real->pMethods->xSync(f->real, flags), &deed);
	if (code == SQLITE_OK && f->syncs_folder) {
		f->syncs_folder = false;
		deed.call = SEAM_SYNC_DIR; /* of what path lies in */
		seam_tell(&deed);
	}
	return code;
}

/* ---- Files: the rest, handed on -------------------------------------------
 */

static int handle_shut(sqlite3_file *file)
{
	sqlite3_file *real = real_of(file);

	return real->pMethods->xClose(real);
}

static int handle_read(sqlite3_file *file, void *bytes, int n,
		       sqlite3_int64 offset)
{
	sqlite3_file *real = real_of(file);

	return real->pMethods->xRead(real, bytes, n, offset);
}

static int handle_length(sqlite3_file *file, sqlite3_int64 *ret_size)
{
	sqlite3_file *real = real_of(file);

	return real->pMethods->xFileSize(real, ret_size);
}

static int handle_lock(sqlite3_file *file, int level)
{
	sqlite3_file *real = real_of(file);

	return real->pMethods->xLock(real, level);
}

static int handle_unlock(sqlite3_file *file, int level)
{
	sqlite3_file *real = real_of(file);

	return real->pMethods->xUnlock(real, level);
}

static int handle_is_reserved(sqlite3_file *file, int *ret_reserved)
{
	sqlite3_file *real = real_of(file);

	return real->pMethods->xCheckReservedLock(real, ret_reserved);
}

static int handle_control(sqlite3_file *file, int what, void *arg)
{
	sqlite3_file *real = real_of(file);

	return real->pMethods->xFileControl(real, what, arg);
}

static int handle_sector_size(sqlite3_file *file)
{
	sqlite3_file *real = real_of(file);

	return real->pMethods->xSectorSize(real);
}

static int handle_device(sqlite3_file *file)
{
	sqlite3_file *real = real_of(file);

	return real->pMethods->xDeviceCharacteristics(real);
}

static int handle_shm_map(sqlite3_file *file, int page, int size, int extend,
			  void volatile **ret_at)
{
	sqlite3_file *real = real_of(file);

	return real->pMethods->xShmMap(real, page, size, extend, ret_at);
}

static int handle_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
	sqlite3_file *real = real_of(file);

	return real->pMethods->xShmLock(real, offset, n, flags);
}

static void handle_shm_barrier(sqlite3_file *file)
{
	sqlite3_file *real = real_of(file);

	real->pMethods->xShmBarrier(real);
}

static int handle_shm_unmap(sqlite3_file *file, int delete)
{
	sqlite3_file *real = real_of(file);

	return real->pMethods->xShmUnmap(real, delete);
}

/*
 * Version 2: that of a write-ahead log.  The third reads through a mapping of
 * the file, which we do not ask for.
 */
static const sqlite3_io_methods methods = {
	.iVersion = 2,
	.xClose = handle_shut,
	.xRead = handle_read,
	.xWrite = handle_write,
	.xTruncate = handle_truncate,
	.xSync = handle_fsync,
	.xFileSize = handle_length,
	.xLock = handle_lock,
	.xUnlock = handle_unlock,
	.xCheckReservedLock = handle_is_reserved,
	.xFileControl = handle_control,
	.xSectorSize = handle_sector_size,
	.xDeviceCharacteristics = handle_device,
	.xShmMap = handle_shm_map,
	.xShmLock = handle_shm_lock,
	.xShmBarrier = handle_shm_barrier,
	.xShmUnmap = handle_shm_unmap,
};

/* ---- The file system ------------------------------------------------------
 */

/* A temporary file has no path. */
static int vfs_open(sqlite3_vfs *self UNUSED, const char *path,
		    sqlite3_file *file, int flags, int *ret_flags)
{
	struct seam_file *f = (struct seam_file *)file;
	const struct seam_deed deed = { .call = SEAM_OPEN_WRITE,
					.flags = O_CREAT,
					.fd = -1,
					.dir_fd = AT_FDCWD,
					.path = path };
	int code;

	f->base.pMethods = NULL;
	f->path = path ? path : "";
	f->syncs_folder = (flags & SQLITE_OPEN_CREATE) != 0 &&
			  (flags & JOURNALS) != 0;
	f->real = (sqlite3_file *)(f + 1);
	f->real->pMethods = NULL;
	if ((flags & (SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE)) != 0 &&
	    !may(SEAM_OPEN_WRITE, f->path))
		return SQLITE_CANTOPEN;
	code = real_vfs->xOpen(real_vfs, path, f->real, flags, ret_flags);
	/* A file that has methods is closed by SQLite, opened or not. */
	if (f->real->pMethods != NULL)
		f->base.pMethods = &methods;
	if (path && (flags & SQLITE_OPEN_CREATE) != 0)
		(void)told(code, &deed);
	return code;
}

/* Never with a sync of the folder: the catalog is not synchronous=EXTRA. */
static int vfs_delete(sqlite3_vfs *self UNUSED, const char *path, int sync)
{
	const struct seam_deed deed = {
		.call = SEAM_UNLINK, .fd = -1, .dir_fd = AT_FDCWD, .path = path
	};

	if (!may(SEAM_UNLINK, path))
		return SQLITE_IOERR_DELETE;
	return told(real_vfs->xDelete(real_vfs, path, sync), &deed);
}

static void set_up(void)
{
	real_vfs = sqlite3_vfs_find(NULL);
	if (real_vfs == NULL)
		return;
	/* What is not replaced is called with our struct in the place of the
	 * system's, of which it reads pAppData. */
	vfs = *real_vfs;
	vfs.pNext = NULL;
	vfs.zName = NAME;
	vfs.szOsFile = (int)sizeof(struct seam_file) + real_vfs->szOsFile;
	vfs.xOpen = vfs_open;
	vfs.xDelete = vfs_delete;
	(void)sqlite3_vfs_register(&vfs, 0);
}

const char *sql_vfs_name(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, set_up);
	return NAME;
}

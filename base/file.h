/*
 * Small things done with whole files and descriptors.
 */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

/* CLEANUP(file_close) int fd = -1; */
void file_close(int fd);
DEFINE_CLEANUP(int, file_close);

/* Yields the descriptor and leaves -1 behind. */
#define TAKE_FD(fd)                           \
	__extension__({                       \
		const int take_value_ = (fd); \
		(fd) = -1;                    \
		take_value_;                  \
	})

/*
 * Up to n bytes from fd, or from an offset: short only at end of file.
 * n = 0 is fine with out = NULL.
 */
ssize_t file_read(int fd, void *out, size_t n) MUST_CHECK;
ssize_t file_pread(int fd, void *out, size_t n, int64_t offset) MUST_CHECK;

/*
 * Append the whole file to out, whose ceiling bounds it.  "-" is standard
 * input.  ERR_NOT_FOUND, ERR_DENIED, ERR_IO; ERR_USAGE for a directory.
 */
int file_read_all(const char *path, struct buf *out, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;

/*
 * Replace path by bytes, durably and atomically: after 0 the new content
 * survives a power cut, and at no time does anyone see part of it.  Leaves no
 * temporary file behind on failure.
 */
int file_replace(const char *path, const void *bytes, size_t n, mode_t mode,
		 struct err *e) NONNULL(1, 5) MUST_CHECK;
/* The same for a path that must not exist yet: ERR_EXISTS. */
int file_create(const char *path, const void *bytes, size_t n, mode_t mode,
		struct err *e) NONNULL(1, 5) MUST_CHECK;

/* mkdir -p with each new folder made durable; existing ones are left alone. */
int file_make_folders(const char *path, mode_t mode, struct err *e)
	NONNULL(1, 3) MUST_CHECK;

/* An unlinked, empty, read-write file in folder (NULL: $TMPDIR or /var/tmp). */
int file_open_unnamed(const char *folder, int *ret_fd, struct err *e)
	NONNULL(2, 3) MUST_CHECK;
/* Whether one could be had there, as far as its rights say: for who will need
 * it later. */
int file_check_temporary(const char *folder, struct err *e) NONNULL(2)
	MUST_CHECK;

#endif

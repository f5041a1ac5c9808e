/*
 * Descriptors handed from one process to another over a Unix socket.
 *
 * Whoever is at the other end is believed nothing: what it sends beyond what
 * was asked for is closed, and refused.  A byte goes along, for there has to be
 * something; in a stream it stands where the descriptors do.
 */
#ifndef BASE_DESCRIPTORS_H
#define BASE_DESCRIPTORS_H

#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"

#define DESCRIPTORS_MAX 3

/* They stay the caller's.  0 < n <= DESCRIPTORS_MAX. */
int descriptors_send(int to, const int *fds, size_t n, struct err *e)
	NONNULL(2, 4) MUST_CHECK;
/*
 * Exactly n, closed on exec, n <= DESCRIPTORS_MAX; else ERR_IO, none is open
 * and ret_fds is as it was.
 */
int descriptors_receive(int from, int *ret_fds, size_t n, struct err *e)
	NONNULL(2, 4) MUST_CHECK;

#endif

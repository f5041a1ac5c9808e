/*
 * What every program of ours does first.
 */
#ifndef SERVICE_START_H
#define SERVICE_START_H

#include "base/attr.h"
#include "base/err.h"

/*
 * Make sure that descriptors 0, 1 and 2 are open (else the first file opened
 * would become standard output), ignore SIGPIPE so that a reader who goes
 * away is an error like any other, have malloc keep what is freed, start
 * libsodium, and read the test hooks.
 * Call before any thread.
 */
int start_process(struct err *e) NONNULL(1) MUST_CHECK;

#endif

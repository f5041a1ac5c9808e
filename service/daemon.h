/*
 * snapctld between its start and its end: one loop that waits for the time, a
 * signal, or a word from the API, and never for a run.
 *
 * Before it is ready: one daemon for each state folder (a lock that dies
 * with the process), the catalog brought up to date, what an earlier daemon
 * left closed, the socket made. SIGTERM and SIGINT stop it: no new requests,
 * runs are asked to end and made to when stopTimeout is over, and their
 * occurrences go on with the next daemon. SIGHUP reads the settings and the
 * schedules again; settings that name places (state, socket) hold until the
 * next start, which is said. Runs go by the settings that the daemon goes by,
 * whatever the files say meanwhile. It never forks into the background.
 */
#ifndef SERVICE_DAEMON_H
#define SERVICE_DAEMON_H

#include "base/attr.h"
#include "base/err.h"
#include "service/config.h"

struct daemon_settings {
	const struct config_input *input; /* to read the settings again */
	const struct config *config;
};

/* Run until asked to stop.  -1 when it could not start. */
int daemon_run(const struct daemon_settings *settings, struct err *e)
	NONNULL(1, 2) MUST_CHECK;

#endif

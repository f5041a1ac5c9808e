/*
 * Telling the service manager how we are: systemd's notification protocol,
 * sd_notify(3), which is one datagram to $NOTIFY_SOCKET.  Without that
 * variable everything here does nothing.
 */
#ifndef SERVICE_NOTIFY_H
#define SERVICE_NOTIFY_H

#include <stdint.h>

#include "base/attr.h"

/* "READY=1", "STOPPING=1", "WATCHDOG=1", "STATUS=…"; lines may be joined.
 * Whether anybody heard it does not matter. */
void notify_send(const char *state) NONNULL(1);
/* "RELOADING=1" with the time that systemd asks for; READY=1 ends it. */
void notify_reloading(void);
/* How often WATCHDOG=1 is wanted, in ms, or 0: half of what is granted. */
int64_t notify_watchdog_ms(void);

#endif

/*
 * The C library's opinion of local time, as the second implementation that
 * schedules/ is tested against.  Changes the process's TZ, which nothing of
 * ours reads.
 */
#ifndef TESTS_SUPPORT_LIBC_ZONE_H
#define TESTS_SUPPORT_LIBC_ZONE_H

#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

/* Zones with as many habits. */
static const char *const libc_zones[] = {
	"Africa/Cairo",	       "Africa/Casablanca",
	"America/Asuncion",    "America/Bogota",
	"America/Caracas",     "America/Godthab",
	"America/Havana",      "America/New_York",
	"America/Santiago",    "America/Sao_Paulo",
	"America/St_Johns",    "Antarctica/Casey",
	"Antarctica/Troll",    "Asia/Amman",
	"Asia/Beirut",	       "Asia/Dhaka",
	"Asia/Gaza",	       "Asia/Jerusalem",
	"Asia/Kathmandu",      "Asia/Kolkata",
	"Asia/Pyongyang",      "Asia/Tehran",
	"Atlantic/Azores",     "Australia/Adelaide",
	"Australia/Lord_Howe", "Australia/Sydney",
	"Europe/Berlin",       "Europe/Chisinau",
	"Europe/Dublin",       "Europe/Istanbul",
	"Europe/Lisbon",       "Europe/Moscow",
	"Pacific/Apia",	       "Pacific/Auckland",
	"Pacific/Chatham",     "Pacific/Kiritimati",
	"Pacific/Norfolk",     "America/Scoresbysund",
};
#define LIBC_ZONES (sizeof(libc_zones) / sizeof(libc_zones[0]))

static inline void libc_zone_set(const char *name)
{
	ck_assert_int_eq(setenv("TZ", name, 1), 0);
	tzset();
}

static inline struct tm libc_zone_tm(int64_t t)
{
	const time_t when = (time_t)t;
	struct tm tm = { 0 };

	/* An assertion writes to a file each time: this is asked too often. */
	if (!localtime_r(&when, &tm))
		ck_abort_msg("there is no local time of %jd", (intmax_t)t);
	return tm;
}

/* Seconds since the wall showed 1970-01-01T00:00:00. */
static inline int64_t libc_zone_local(int64_t t)
{
	struct tm tm = libc_zone_tm(t);

	return timegm(&tm);
}

/*
 * The first instant at which the wall shows `local` or, having skipped it,
 * something later: found by trying each minute of two days.
 */
static inline int64_t libc_zone_instant(int64_t local)
{
	int64_t t = local - INT64_C(86400);

	while (libc_zone_local(t) < local)
		t += 60;
	return t;
}

#endif

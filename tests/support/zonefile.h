/*
 * Zones for tests, read from the system's tz database.
 */
#ifndef TESTS_SUPPORT_ZONEFILE_H
#define TESTS_SUPPORT_ZONEFILE_H

#include <check.h>
#include <stdio.h>

#include "schedules/zone.h"

static inline struct zone *zonefile_load(const char *name)
{
	static uint8_t bytes[65536];
	char path[256];
	struct zone *z = NULL;
	struct err e = { .code = ERR_NONE };
	FILE *f;
	size_t n;

	(void)snprintf(path, sizeof(path), "/usr/share/zoneinfo/%s", name);
	f = fopen(path, "rb");
	ck_assert_msg(f != NULL, "%s is not there: install tzdata", path);
	n = fread(bytes, 1, sizeof(bytes), f);
	(void)fclose(f);
	if (zone_new(bytes, n, &z, &e))
		ck_abort_msg("%s: %s", path, e.text);
	return z;
}

#endif

#include "service/zoneinfo.h"

#include <stdlib.h>
#include <string.h>

#include "tests/support/check_main.h"

START_TEST(known_names_are_loaded)
{
	static const char *const names[] = {
		"UTC",	      "Europe/Berlin", "America/Argentina/Ushuaia",
		"Etc/GMT+12", "EST5EDT",       "America/Port-au-Prince",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		CLEANUP(zone_free) struct zone *z = NULL;
		struct err e;

		ck_ok(zoneinfo_load(names[i], &z, &e));
		ck_assert_ptr_nonnull(z);
	}
}
END_TEST

START_TEST(other_names_are_refused_with_the_nearest)
{
	static const struct {
		const char *name, *hint;
	} wrong[] = {
		{ "Europe/Berlni", "did you mean Europe/Berlin?" },
		{ "europe/berlin", "did you mean Europe/Berlin?" },
		{ "Berlin", "did you mean Europe/Berlin?" },
		{ "Amerika/New_York", "did you mean America/New_York?" },
		{ "Middle-earth/Rivendell", "write an IANA name" },
		{ "", "write an IANA name" },
		{ "Europe", "" },
		{ "/usr/share/zoneinfo/Europe/Berlin", "write an IANA name" },
		{ "../zoneinfo/Europe/Berlin", "" },
		{ "Europe/../Europe/Berlin", "" },
		{ "Europe//Berlin", "did you mean Europe/Berlin?" },
		{ "Europe/Berlin/", "did you mean Europe/Berlin?" },
		{ "Europe/Berlin/Mitte", "" },
		{ "Etc/GMT/3", "" },
		{ "posix/Europe/Berlin", "" },
		{ "right/Europe/Berlin", "" },
		{ "localtime", "" },
		{ "zone.tab", "" },
		{ "CET-1CEST,M3.5.0,M10.5.0/3", "" },
		{ ":Europe/Berlin", "did you mean Europe/Berlin?" },
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct zone *z = NULL;
		struct err e = { 0 };

		ck_assert_msg(zoneinfo_load(wrong[i].name, &z, &e) == -1,
			      "%s was loaded", wrong[i].name);
		ck_assert_int_eq(e.code, ERR_USAGE);
		ck_assert_msg(strstr(e.hint, wrong[i].hint) != NULL,
			      "%s: the hint is \"%s\"", wrong[i].name, e.hint);
	}
}
END_TEST

START_TEST(the_process_zone_plays_no_part)
{
	CLEANUP(zone_free) struct zone *z = NULL;
	struct err e;

	ck_assert_int_eq(setenv("TZ", "Asia/Tokyo", 1), 0);
	ck_ok(zoneinfo_load("Europe/Berlin", &z, &e));
	ck_assert_int_eq(zone_offset_s(z, 1767225600), 3600);
	ck_assert_int_eq(unsetenv("TZ"), 0);
}
END_TEST

START_TEST(a_missing_database_is_named)
{
	struct zone *z = NULL;
	struct err e = { 0 };

	ck_assert_int_eq(setenv("TZDIR", "/nonexistent/zones", 1), 0);
	ck_assert_int_eq(zoneinfo_load("Europe/Berlin", &z, &e), -1);
	ck_assert_int_eq(e.code, ERR_NOT_FOUND);
	ck_assert_ptr_nonnull(strstr(e.text, "/nonexistent/zones"));
	ck_ok(zoneinfo_load("UTC", &z, &e));
	ck_assert_int_eq(unsetenv("TZDIR"), 0);
	zone_free(z);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, known_names_are_loaded);
	tcase_add_test(tc, other_names_are_refused_with_the_nearest);
	tcase_add_test(tc, the_process_zone_plays_no_part);
	tcase_add_test(tc, a_missing_database_is_named);
}
CHECK_MAIN("service/zoneinfo", cases)

#include "schedules/zone.h"

#include <stdlib.h>
#include <string.h>

#include "base/instant.h"
#include "tests/support/check_main.h"
#include "tests/support/zonefile.h"

static int64_t utc(const char *text)
{
	struct instant t = { 0 };
	struct err e;

	ck_ok(instant_parse(text, &t, &e));
	return t.sec;
}

/* A file of the given version: one type, `n` transitions, a footer. */
struct made {
	uint8_t bytes[512];
	size_t n;
};

static void put32(struct made *m, uint32_t v)
{
	const uint32_t big = __builtin_bswap32(v);

	memcpy(m->bytes + m->n, &big, 4);
	m->n += 4;
}

static void put_header(struct made *m, uint32_t leaps, uint32_t times)
{
	static const char start[20] = "TZif2";

	memcpy(m->bytes + m->n, start, sizeof(start));
	m->n += sizeof(start);
	put32(m, 0);
	put32(m, 0);
	put32(m, leaps);
	put32(m, times);
	put32(m, 1);
	put32(m, 4);
}

static void put_type(struct made *m, int32_t offset)
{
	put32(m, (uint32_t)offset);
	memcpy(m->bytes + m->n, "\0\0XXX", 6);
	m->n += 6;
}

static struct made make(int32_t offset, const char *footer)
{
	struct made m = { .n = 0 };

	for (int i = 0; i < 2; i++) {
		put_header(&m, 0, 0);
		put_type(&m, offset);
	}
	m.bytes[m.n++] = '\n';
	memcpy(m.bytes + m.n, footer, strlen(footer));
	m.n += strlen(footer);
	m.bytes[m.n++] = '\n';
	return m;
}

static struct zone *ruled(const char *footer)
{
	const struct made m = make(0, footer);
	struct zone *z = NULL;
	struct err e;

	ck_ok(zone_new(m.bytes, m.n, &z, &e));
	return z;
}

START_TEST(utc_needs_no_file)
{
	const struct zone_span sp = zone_span(zone_utc(), 0);
	int64_t t;

	ck_assert_int_eq(sp.from, INT64_MIN);
	ck_assert_int_eq(sp.until, INT64_MAX);
	ck_assert_int_eq(sp.offset_s, 0);
	ck_assert_int_eq(zone_from_local(zone_utc(), 12345, &t), ZONE_ONCE);
	ck_assert_int_eq(t, 12345);
}
END_TEST

START_TEST(gap_and_fold_are_told)
{
	struct zone *z = zonefile_load("Europe/Berlin");
	int64_t t;

	ck_assert_int_eq(zone_offset_s(z, utc("2026-01-01T00:00:00Z")), 3600);
	ck_assert_int_eq(zone_offset_s(z, utc("2026-07-01T00:00:00Z")), 7200);
	ck_assert_int_eq(zone_from_local(z, utc("2026-07-01T12:00:00Z"), &t),
			 ZONE_ONCE);
	ck_assert_int_eq(t, utc("2026-07-01T10:00:00Z"));
	ck_assert_int_eq(zone_from_local(z, utc("2026-03-29T02:30:00Z"), &t),
			 ZONE_GAP);
	ck_assert_int_eq(t, utc("2026-03-29T01:00:00Z"));
	ck_assert_int_eq(zone_from_local(z, utc("2026-03-29T03:00:00Z"), &t),
			 ZONE_ONCE);
	ck_assert_int_eq(t, utc("2026-03-29T01:00:00Z"));
	ck_assert_int_eq(zone_from_local(z, utc("2026-10-25T02:00:00Z"), &t),
			 ZONE_FOLD);
	ck_assert_int_eq(t, utc("2026-10-25T00:00:00Z"));
	ck_assert_int_eq(zone_from_local(z, utc("2026-10-25T03:00:00Z"), &t),
			 ZONE_ONCE);
	ck_assert_int_eq(t, utc("2026-10-25T02:00:00Z"));
	zone_free(z);
}
END_TEST

START_TEST(the_footer_rules_the_far_future)
{
	struct zone *z = zonefile_load("Europe/Berlin");

	ck_assert_int_eq(zone_offset_s(z, utc("2500-01-01T00:00:00Z")), 3600);
	ck_assert_int_eq(zone_offset_s(z, utc("2500-07-01T00:00:00Z")), 7200);
	zone_free(z);
}
END_TEST

START_TEST(rules_of_every_form_are_read)
{
	struct zone *z = ruled("XXX3EDT4,0/0,J365/23");

	/* Summer all year round. */
	for (int64_t t = utc("2030-12-30T00:00:00Z");
	     t < utc("2031-01-03T00:00:00Z"); t += 600)
		ck_assert_int_eq(zone_offset_s(z, t), -4 * 3600);
	zone_free(z);
	z = ruled("<-02>2<-01>,M3.5.0/-1,M10.5.0/0");
	ck_assert_int_eq(zone_offset_s(z, utc("2030-03-31T00:59:59Z")), -7200);
	ck_assert_int_eq(zone_offset_s(z, utc("2030-03-31T01:00:00Z")), -3600);
	zone_free(z);
	z = ruled("IST-1GMT0,M10.5.0,M3.5.0/1");
	ck_assert_int_eq(zone_offset_s(z, utc("2030-01-01T00:00:00Z")), 0);
	ck_assert_int_eq(zone_offset_s(z, utc("2030-07-01T00:00:00Z")), 3600);
	zone_free(z);
	z = ruled("AAA-5:30BBB-6:30:15,J60/2,59/2");
	ck_assert_int_eq(zone_offset_s(z, utc("2032-03-01T00:00:00Z")),
			 6 * 3600 + 1815);
	zone_free(z);
	z = ruled("EET-2EEST,M3.4.4/50,M10.4.4/50");
	ck_assert_int_eq(zone_offset_s(z, utc("2031-03-28T23:59:59Z")), 7200);
	ck_assert_int_eq(zone_offset_s(z, utc("2031-03-29T00:00:00Z")), 10800);
	zone_free(z);
	/* Both changes in the first days of the next year. */
	z = ruled("AAA0BBB,J365/100,J365/160");
	ck_assert_int_eq(zone_offset_s(z, utc("2031-01-02T00:00:00Z")), 0);
	ck_assert_int_eq(zone_offset_s(z, utc("2031-01-05T00:00:00Z")), 3600);
	ck_assert_int_eq(zone_offset_s(z, utc("2031-01-08T00:00:00Z")), 0);
	ck_assert(zone_span(z, utc("2031-01-02T00:00:00Z")).from > INT64_MIN);
	zone_free(z);
}
END_TEST

static void refused(const struct made *m, const char *part)
{
	struct zone *z = NULL;
	struct err e = { 0 };

	ck_assert_msg(zone_new(m->bytes, m->n, &z, &e) == -1, "was read: %s",
		      part);
	ck_assert_msg(strstr(e.text, part) != NULL, "\"%s\" lacks \"%s\"",
		      e.text, part);
	ck_assert_ptr_null(z);
}

START_TEST(broken_files_are_refused)
{
	static const char *const footers[] = {
		"X1",
		"CET-1CEST",
		"CET-1CEST,M3.5.0",
		"CET-25",
		"CET-1CEST,M13.5.0,M1.1.1",
		"CET-1CEST,M3.6.0,M1.1.1",
		"CET-1CEST,J0,J1",
		"CET-1CEST,366,1",
		"CET-1CEST,M3.5.7,M1.1.1",
		"<CET-1",
		"CET-1 ",
		"CET-1CEST,J1/168,J2",
		"-1",
		"CET-1CEST,J1,J2,",
	};
	struct made m = make(26 * 3600 + 1, "UTC0");

	refused(&m, "an offset of");
	m = make(0, "UTC0");
	m.bytes[0] = 'X';
	refused(&m, "not a time zone file");
	m = make(0, "UTC0");
	m.bytes[4] = 'A';
	refused(&m, "no known version");
	m = (struct made){ .n = 0 };
	put_header(&m, 1, 0);
	put_type(&m, 0);
	m.n += 8;
	put_header(&m, 1, 0);
	put_type(&m, 0);
	m.n += 12;
	refused(&m, "leap seconds");
	for (size_t i = 0; i < sizeof(footers) / sizeof(footers[0]); i++) {
		m = make(0, footers[i]);
		refused(&m, "no rule for a time zone");
	}
}
END_TEST

START_TEST(every_prefix_and_flip_is_survived)
{
	static uint8_t bytes[8192];
	FILE *f = fopen("/usr/share/zoneinfo/America/Nuuk", "rb");
	size_t n;

	ck_assert_ptr_nonnull(f);
	n = fread(bytes, 1, sizeof(bytes), f);
	(void)fclose(f);
	for (size_t i = 0; i < n; i++) {
		struct zone *z = NULL;
		struct err e;

		ck_assert_int_eq(zone_new(bytes, i, &z, &e), -1);
		bytes[i] ^= 0x81;
		if (zone_new(bytes, n, &z, &e) == 0) {
			int64_t t;

			(void)zone_from_local(z, 1774749600, &t);
			(void)zone_from_local(z, INT64_MAX, &t);
			(void)zone_from_local(z, INT64_MIN, &t);
			(void)zone_high_water(z, zone_span(z, 0));
			zone_free(z);
		}
		bytes[i] ^= 0x81;
	}
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, utc_needs_no_file);
	tcase_add_test(tc, gap_and_fold_are_told);
	tcase_add_test(tc, the_footer_rules_the_far_future);
	tcase_add_test(tc, rules_of_every_form_are_read);
	tcase_add_test(tc, broken_files_are_refused);
	tcase_add_test(tc, every_prefix_and_flip_is_survived);
}
CHECK_MAIN("schedules/zone", cases)

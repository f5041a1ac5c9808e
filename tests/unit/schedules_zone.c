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
	ck_assert_int_eq(zone_from_local(z, utc("2026-10-25T01:59:59Z"), &t),
			 ZONE_ONCE);
	ck_assert_int_eq(t, utc("2026-10-24T23:59:59Z"));
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
	ck_assert_int_eq(zone_span(z, utc("2500-01-01T00:00:00Z")).until,
			 utc("2500-03-28T01:00:00Z"));
	/* But not the past: two hours of summer time after a war. */
	ck_assert_int_eq(zone_offset_s(z, utc("1945-06-01T00:00:00Z")), 10800);
	ck_assert_int_eq(zone_to_local(z, INT64_MAX), INT64_MAX);
	zone_free(z);
	z = ruled("AAA5");
	ck_assert_int_eq(zone_to_local(z, INT64_MIN), INT64_MIN);
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

/* The rule says summer from then on, and not a second before. */
static void summer_begins(const struct zone *z, const char *when)
{
	const int64_t at = utc(when);

	ck_assert_msg(zone_span(z, at).from == at, "%s is no beginning", when);
	ck_assert_msg(zone_offset_s(z, at) > zone_offset_s(z, at - 1),
		      "summer does not begin on %s", when);
}

/* In summer, an hour ahead, it begins; J60 is 1 March, 60 is the 61st day. */
START_TEST(days_are_counted_with_and_without_29_february)
{
	struct zone *z = ruled("AAA0BBB,J60/0,J300/0");

	summer_begins(z, "2031-03-01T00:00:00Z");
	summer_begins(z, "2032-03-01T00:00:00Z");
	summer_begins(z, "2100-03-01T00:00:00Z");
	summer_begins(z, "2400-03-01T00:00:00Z");
	zone_free(z);
	z = ruled("AAA0BBB,J59/0,J300/0");
	summer_begins(z, "2031-02-28T00:00:00Z");
	summer_begins(z, "2032-02-28T00:00:00Z");
	zone_free(z);
	z = ruled("AAA0BBB,59/0,300/0");
	summer_begins(z, "2031-03-01T00:00:00Z");
	summer_begins(z, "2032-02-29T00:00:00Z");
	zone_free(z);
	z = ruled("AAA0BBB,M12.5.0/0,M6.1.1/0");
	summer_begins(z, "2031-12-28T00:00:00Z");
	summer_begins(z, "2028-12-31T00:00:00Z");
	zone_free(z);
	z = ruled("AAA0BBB,J1/0,J365/0");
	summer_begins(z, "2032-01-01T00:00:00Z");
	zone_free(z);
	z = ruled("AAA0BBB,M1.1.0/0,M6.1.1/0");
	summer_begins(z, "2032-01-04T00:00:00Z");
	/* Before 1970, too, and at the year's very end. */
	summer_begins(z, "1961-01-01T00:00:00Z");
	ck_assert_int_eq(zone_offset_s(z, utc("1969-12-31T23:59:59Z")), 0);
	ck_assert_int_eq(zone_offset_s(z, utc("1970-01-01T00:00:00Z")), 0);
	zone_free(z);
}
END_TEST

START_TEST(offsets_have_minutes_seconds_and_signs)
{
	static const struct {
		const char *rule;
		int32_t offset_s;
	} all[] = {
		{ "UTC0", 0 },		 { "AAA+3", -3 * 3600 },
		{ "AAA-3", 3 * 3600 },	 { "abz24", -24 * 3600 },
		{ "AAA-1:59:59", 7199 }, { "AAA1:00:00", -3600 },
		{ "<+05>-5", 5 * 3600 },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct zone *z = ruled(all[i].rule);

		ck_assert_int_eq(zone_offset_s(z, 0), all[i].offset_s);
		zone_free(z);
	}
}
END_TEST

/* Some two billion years from now there is still an answer. */
START_TEST(beyond_all_years_the_standard_holds)
{
	struct zone *z = ruled("AAA-1BBB,J1/0,J365/24");

	ck_assert_int_eq(zone_offset_s(z, utc("2031-06-01T00:00:00Z")), 7200);
	ck_assert_int_eq(zone_offset_s(z, INT64_MAX), 3600);
	ck_assert_int_eq(zone_offset_s(z, INT64_MIN), 3600);
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
		"CET-1CEST-25,J1,J2",
		"CET-1:60",
		"CET-1:0:60",
		"CET-1:",
		"CET",
		"CE@-1",
		"CE[-1",
		"CE`-1",
		"CE{-1",
		"CET-1CEST,J366,J1",
		"CET-1CEST,M0.1.0,J1",
		"CET-1CEST,M3.0.0,J1",
		"CET-1CEST,M3.5,J1",
		"CET-1CEST,M3..5,J1",
		"CET-1CEST,J1,J",
		"CET-1CEST,J1 J2",
		"CET-1<CES",
		"CET-1CEST2",
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
	m.bytes[4] = '0';
	refused(&m, "no known version");
	m.bytes[4] = '9' + 1;
	refused(&m, "no known version");
	m = make(0, "");
	m.bytes[m.n - 2] = 'X';
	refused(&m, "has no footer");
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

/* Where they stand in a file of version 1, the types of each behind them. */
#define VERSION_1_TIMES 44

/* The only block of an old file: times of 32 bits, no footer. */
START_TEST(files_of_version_1_are_read)
{
	struct made m = { .n = 0 };
	struct zone *z = NULL;
	struct err e;

	put_header(&m, 0, 2);
	m.bytes[4] = '\0';
	m.bytes[39] = 2; /* types */
	put32(&m, (uint32_t)-1000);
	put32(&m, 2000);
	memcpy(m.bytes + m.n, "\1\0", 2);
	m.n += 2;
	put32(&m, 3600);
	m.n += 2;
	put32(&m, 7200);
	memcpy(m.bytes + m.n, "\0\0XXX", 6);
	m.n += 6;
	ck_ok(zone_new(m.bytes, m.n, &z, &e));
	ck_assert_int_eq(zone_offset_s(z, -1001), 3600);
	ck_assert_int_eq(zone_offset_s(z, -1000), 7200);
	ck_assert_int_eq(zone_offset_s(z, 1999), 7200);
	ck_assert_int_eq(zone_offset_s(z, 2000), 3600);
	ck_assert_int_eq(zone_offset_s(z, INT64_MAX), 3600);
	zone_free(z);
	m.bytes[VERSION_1_TIMES + 8] = 2;
	refused(&m, "names type 2 of 2");
	m.bytes[VERSION_1_TIMES + 8] = 1;
	memcpy(m.bytes + VERSION_1_TIMES + 4, m.bytes + VERSION_1_TIMES, 4);
	refused(&m, "do not ascend");
	m.bytes[VERSION_1_TIMES + 7]--;
	refused(&m, "do not ascend");
}
END_TEST

/* Two transitions, and the offsets before, between and after them. */
static struct zone *stepping(int32_t first, int32_t at, int32_t second,
			     int32_t again, int32_t third)
{
	const int32_t offsets[] = { first, second, third };
	struct made m = { .n = 0 };
	struct zone *z = NULL;
	struct err e;

	put_header(&m, 0, 2);
	m.bytes[4] = '\0';
	m.bytes[39] = 3; /* types */
	put32(&m, (uint32_t)at);
	put32(&m, (uint32_t)again);
	memcpy(m.bytes + m.n, "\1\2", 2);
	m.n += 2;
	for (size_t i = 0; i < 3; i++) {
		put32(&m, (uint32_t)offsets[i]);
		m.n += 2;
	}
	memcpy(m.bytes + m.n, "ABC", 4);
	m.n += 4;
	ck_ok(zone_new(m.bytes, m.n, &z, &e));
	return z;
}

/* No place had such spans; a file may. */
START_TEST(spans_may_be_short_and_far_apart)
{
	struct zone *z = stepping(3600, 0, 0, 1800, 3600);
	int64_t t;

	/* It is shown once, and is where the span that is shown next ends. */
	ck_assert_int_eq(zone_from_local(z, 1800, &t), ZONE_ONCE);
	ck_assert_int_eq(t, -1800);
	ck_assert_int_eq(zone_from_local(z, 1799, &t), ZONE_FOLD);
	ck_assert_int_eq(t, -1801);
	zone_free(z);
	/* As far back as there is: it is shown again where that begins. */
	z = stepping(0, 0, -ZONE_OFFSET_MAX, 1000, -ZONE_OFFSET_MAX + 1);
	ck_assert_int_eq(zone_from_local(z, -ZONE_OFFSET_MAX, &t), ZONE_FOLD);
	ck_assert_int_eq(t, -ZONE_OFFSET_MAX);
	zone_free(z);
	/* Before all there was nothing to skip from. */
	z = stepping(3600, 0, 0, 1, 3600);
	ck_assert_int_eq(zone_from_local(z, INT64_MIN, &t), ZONE_ONCE);
	ck_assert_int_eq(t, INT64_MIN);
	zone_free(z);
	/* A second in which clocks were ahead. */
	z = stepping(0, 0, 7200, 1, 0);
	ck_assert_int_eq(zone_high_water(z, zone_span(z, 1)), 7201);
	zone_free(z);
}
END_TEST

/* A file with that many types and transitions, in its second block. */
static int of_counts(uint32_t types, uint32_t times, size_t n, struct err *e)
{
	static uint8_t bytes[ZONE_FILE_MAX + 1];
	struct made head = { .n = 0 };
	struct zone *z = NULL;
	size_t used;
	int status;

	put_header(&head, 0, 0);
	put_type(&head, 0);
	used = head.n;
	put_header(&head, 0, times);
	head.bytes[used + 38] = (uint8_t)(types >> 8);
	head.bytes[used + 39] = (uint8_t)types;
	memset(bytes, 0, sizeof(bytes));
	memcpy(bytes, head.bytes, head.n);
	used = head.n;
	for (uint32_t i = 0; i < times; i++)
		bytes[used + 8 * i + 6] = (uint8_t)(i >> 8),
				     bytes[used + 8 * i + 7] = (uint8_t)i;
	used += 9 * (size_t)times + 6 * (size_t)types + 4;
	memcpy(bytes + used, "\n\n", 2);
	status = zone_new(bytes, n ? n : used + 2, &z, e);
	zone_free(z);
	return status;
}

START_TEST(limits_are_what_they_say)
{
	struct made m;
	struct zone *z = NULL;
	struct err e;

	ck_ok(of_counts(1, 0, 0, &e));
	ck_ok(of_counts(256, 4096, 0, &e));
	ck_assert_int_eq(of_counts(0, 1, 0, &e), -1);
	ck_assert_int_eq(of_counts(0, 0, 0, &e), -1);
	ck_assert_int_eq(of_counts(257, 1, 0, &e), -1);
	ck_assert_int_eq(of_counts(1, 4097, 0, &e), -1);
	ck_ok(of_counts(1, 1, ZONE_FILE_MAX, &e));
	ck_assert_int_eq(of_counts(1, 1, ZONE_FILE_MAX + 1, &e), -1);
	ck_assert_ptr_nonnull(strstr(e.text, "too large"));
	for (int sign = -1; sign <= 1; sign += 2) {
		m = make(sign * ZONE_OFFSET_MAX, "");
		m.bytes[4] = '9';
		ck_ok(zone_new(m.bytes, m.n, &z, &e));
		ck_assert_int_eq(zone_offset_s(z, 0), sign * ZONE_OFFSET_MAX);
		zone_free(z);
		m = make(sign * (ZONE_OFFSET_MAX + 1), "");
		refused(&m, "an offset of");
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
	tcase_add_test(tc, days_are_counted_with_and_without_29_february);
	tcase_add_test(tc, offsets_have_minutes_seconds_and_signs);
	tcase_add_test(tc, beyond_all_years_the_standard_holds);
	tcase_add_test(tc, broken_files_are_refused);
	tcase_add_test(tc, files_of_version_1_are_read);
	tcase_add_test(tc, spans_may_be_short_and_far_apart);
	tcase_add_test(tc, limits_are_what_they_say);
	tcase_add_test(tc, every_prefix_and_flip_is_survived);
}
CHECK_MAIN("schedules/zone", cases)

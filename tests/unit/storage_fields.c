/* Tagged fields: storage/repository/fields.h. */
#include "storage/repository/fields.h"

#include <string.h>

#include "tests/support/check_main.h"

START_TEST(every_type_round_trips)
{
	CLEANUP(buf_done) struct buf b;
	const struct object_id id = { { 1, 2, 3 } };
	const struct instant t = { .sec = INT64_MIN, .nsec = 999999999 };
	struct cursor c;
	struct field f;
	uint64_t last = 0;
	struct instant back;
	char text[8];
	struct err e;

	buf_init(&b, 4096);
	ck_ok(fields_add_uint(&b, 1, UINT64_MAX, &e));
	ck_ok(fields_add_instant(&b, 2, t, &e));
	ck_ok(fields_add_id(&b, 3, id, &e));
	ck_ok(fields_add_str(&b, 3, "sch\xc3\xb6n", &e));
	ck_ok(fields_add(&b, 70000, NULL, 0, &e));
	c = cursor_of(b.data, b.len);

	ck_assert_int_eq(fields_next(&c, &last, &f, &e), 1);
	ck_assert_uint_eq(f.tag, 1);
	ck_assert_uint_eq(field_uint(&f), UINT64_MAX);
	ck_assert(!f.value.bad);
	ck_assert_int_eq(fields_next(&c, &last, &f, &e), 1);
	back = field_instant(&f);
	ck_assert_int_eq(instant_compare(back, t), 0);
	ck_assert_int_eq(fields_next(&c, &last, &f, &e), 1);
	ck_assert(object_id_equal(field_id(&f), id));
	ck_assert_int_eq(fields_next(&c, &last, &f, &e), 1);
	ck_assert_uint_eq(f.tag, 3);
	memset(text, 'x', sizeof(text));
	field_str(&f, text, sizeof(text));
	ck_assert_str_eq(text, "sch\xc3\xb6n");
	ck_assert_int_eq(fields_next(&c, &last, &f, &e), 1);
	ck_assert_uint_eq(f.tag, 70000);
	ck_assert_uint_eq(f.value.left, 0);
	ck_assert_int_eq(fields_next(&c, &last, &f, &e), 0);
}
END_TEST

static int walk(const void *bytes, size_t n)
{
	struct cursor c = cursor_of(bytes, n);
	uint64_t last = 0;
	struct field f;
	struct err e;
	int r;

	while ((r = fields_next(&c, &last, &f, &e)) == 1)
		;
	if (r < 0)
		ck_assert_int_eq(e.code, ERR_CORRUPT);
	return r;
}

START_TEST(broken_lists_are_refused)
{
	ck_assert_int_eq(walk("", 0), 0);
	ck_assert_int_eq(walk("\1\0\2\0", 4), 0);
	ck_assert_int_eq(walk("\2\0\1\0", 4), -1); /* descends */
	ck_assert_int_eq(walk("\0\0", 2), -1);	   /* tag 0 */
	ck_assert_int_eq(walk("\1", 1), -1);	   /* no length */
	ck_assert_int_eq(walk("\1\2\0", 3), -1);   /* too short */
	ck_assert_int_eq(walk("\x81\0\0", 3), -1); /* not minimal */
	ck_assert_int_eq(walk("\1\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", 11),
			 -1);
	ck_assert_int_eq(walk("\1\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 11),
			 -1);
}
END_TEST

START_TEST(values_of_another_type_are_bad)
{
	static const struct {
		const char *bytes;
		size_t n;
	} values[] = { { "", 0 },	  { "\1\1\1", 3 },
		       { "\xff", 1 },	  { "\0\xff\xff\xff\xff\x7f", 6 },
		       { "a\0b", 3 },	  { "\xc3", 1 },
		       { "123456789", 9 } };

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		const struct cursor v = cursor_of(values[i].bytes, values[i].n);
		struct field f = { .value = v };
		char text[9];

		(void)field_uint(&f);
		ck_assert(f.value.bad);
		f.value = v;
		(void)field_instant(&f);
		ck_assert(f.value.bad);
		f.value = v;
		ck_assert(object_id_is_zero(field_id(&f)));
		ck_assert(f.value.bad);
		f.value = v;
		field_str(&f, text, sizeof(text));
		ck_assert(f.value.bad == (i >= 2));
	}
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, every_type_round_trips);
	tcase_add_test(tc, broken_lists_are_refused);
	tcase_add_test(tc, values_of_another_type_are_bad);
}
CHECK_MAIN("storage/fields", cases)

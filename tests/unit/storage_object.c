/* Names, headers, sizes: storage/repository/object.h. */
#include "storage/repository/object.h"

#include <string.h>

#include "tests/support/check_main.h"

static struct object_id id_of(uint8_t first)
{
	struct object_id id;

	for (size_t i = 0; i < sizeof(id.b); i++)
		id.b[i] = (uint8_t)(first + i * 0x11);
	return id;
}

START_TEST(names_have_the_written_form)
{
	const struct object_id a = id_of(0xa0);
	const struct object_id b = id_of(0x01);

	ck_assert_str_eq(object_name(OBJECT_DATA_PACK, a).s,
			 "data/a0/a0b1c2d3e4f5061728394a5b6c7d8e9f");
	ck_assert_str_eq(object_name(OBJECT_META_PACK, b).s,
			 "meta/01/0112233445566778899aabbccddeef00");
	ck_assert_str_eq(object_name(OBJECT_SESSION, b).s,
			 "sessions/0112233445566778899aabbccddeef00");
	ck_assert_str_eq(object_name_pair(OBJECT_MANIFEST, a, b).s,
			 "snapshots/a0b1c2d3e4f5061728394a5b6c7d8e9f-"
			 "0112233445566778899aabbccddeef00");
	ck_assert_str_eq(object_name_generation(0x1f).s, "keyring/0000001f");
	ck_assert_str_eq(object_name_segment(255, b).s,
			 "catalog/00000000000000ff-"
			 "0112233445566778899aabbccddeef00");
}
END_TEST

START_TEST(names_parse_back)
{
	const struct object_id a = id_of(0xa0);
	const struct object_id b = id_of(0x01);
	struct object_id first = b;
	struct object_id last = b;
	uint64_t n;

	ck_assert(object_name_parse(OBJECT_DATA_PACK,
				    object_name(OBJECT_DATA_PACK, a).s, &first,
				    &last));
	ck_assert(object_id_is_zero(first));
	ck_assert(object_id_equal(last, a));
	ck_assert(object_name_parse(OBJECT_LOCK,
				    object_name_pair(OBJECT_LOCK, a, b).s,
				    &first, &last));
	ck_assert(object_id_equal(first, a) && object_id_equal(last, b));
	ck_assert(object_name_parse(OBJECT_SEGMENT, object_name_segment(7, a).s,
				    &first, &last));
	ck_assert(object_id_equal(last, a));
	ck_assert(object_name_parse_number(OBJECT_SEGMENT,
					   object_name_segment(7, a).s, &n));
	ck_assert_uint_eq(n, 7);
	ck_assert(object_name_parse_number(
		OBJECT_KEYRING, object_name_generation(0xffffffff).s, &n));
	ck_assert_uint_eq(n, 0xffffffff);
}
END_TEST

START_TEST(other_names_are_refused)
{
	static const struct {
		enum object_kind kind;
		const char *name;
	} wrong[] = {
		{ OBJECT_DATA_PACK,
		  "data/a1/a0b1c2d3e4f5061728394a5b6c7d8e9f" },
		{ OBJECT_DATA_PACK, "data/a0b1c2d3e4f5061728394a5b6c7d8e9f" },
		{ OBJECT_DATA_PACK,
		  "meta/a0/a0b1c2d3e4f5061728394a5b6c7d8e9f" },
		{ OBJECT_INDEX, "index/a0b1c2d3e4f5061728394a5b6c7d8e9" },
		{ OBJECT_INDEX, "index/a0b1c2d3e4f5061728394a5b6c7d8e9ff" },
		{ OBJECT_INDEX, "index/A0b1c2d3e4f5061728394a5b6c7d8e9f" },
		{ OBJECT_INDEX, "indexa0b1c2d3e4f5061728394a5b6c7d8e9f" },
		{ OBJECT_INDEX, "index/" },
		{ OBJECT_INDEX, "" },
		{ OBJECT_MANIFEST,
		  "snapshots/a0b1c2d3e4f5061728394a5b6c7d8e9f" },
		{ OBJECT_MANIFEST, "snapshots/a0b1c2d3e4f5061728394a5b6c7d8e9f-"
				   "a0b1c2d3e4f5061728394a5b6c7d8e9" },
		{ OBJECT_KEYRING, "keyring/00000001" },
		{ OBJECT_CONFIG, "config" },
		{ OBJECT_KIND_END, "index/a0b1c2d3e4f5061728394a5b6c7d8e9f" },
	};
	struct object_id first;
	struct object_id last;
	uint64_t n;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ck_assert_msg(!object_name_parse(wrong[i].kind, wrong[i].name,
						 &first, &last),
			      "%s", wrong[i].name);
	ck_assert(!object_name_parse_number(OBJECT_KEYRING, "keyring/1", &n));
	ck_assert(!object_name_parse_number(OBJECT_KEYRING, "keyring/000000001",
					    &n));
	ck_assert(!object_name_parse_number(OBJECT_KEYRING, "keyring/0000000G",
					    &n));
	ck_assert(!object_name_parse_number(
		OBJECT_INDEX, "index/a0b1c2d3e4f5061728394a5b6c7d8e9f", &n));
}
END_TEST

START_TEST(ids_are_32_digits)
{
	struct object_id id;
	char text[OBJECT_ID_TEXT];

	ck_assert(object_id_parse("a0b1c2d3e4f5061728394a5b6c7d8e9f", &id));
	object_id_format(id, text);
	ck_assert_str_eq(text, "a0b1c2d3e4f5061728394a5b6c7d8e9f");
	ck_assert(!object_id_parse("a0b1c2d3e4f5061728394a5b6c7d8e9", &id));
	ck_assert(!object_id_parse("a0b1c2d3e4f5061728394a5b6c7d8e9ff", &id));
	ck_assert(!object_id_parse("g0b1c2d3e4f5061728394a5b6c7d8e9f", &id));
	ck_assert(!object_id_equal(object_id_new(), object_id_new()));
}
END_TEST

START_TEST(header_round_trips_and_refuses)
{
	const struct object_header h = { .kind = OBJECT_INDEX,
					 .epoch = 0x01020304,
					 .id = id_of(9) };
	struct object_header got;
	uint8_t bytes[OBJECT_HEADER_SIZE];
	struct err e;

	object_header_encode(&h, bytes);
	ck_assert_mem_eq(bytes, "snapctl\n\6\0\0\0\4\3\2\1", 16);
	ck_ok(object_header_decode(bytes, OBJECT_INDEX, &got, &e));
	ck_assert_uint_eq(got.epoch, h.epoch);
	ck_assert(object_id_equal(got.id, h.id));
	ck_assert_int_eq(object_header_decode(bytes, OBJECT_MARK, &got, &e),
			 -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	for (size_t i = 0; i < 12; i++) {
		bytes[i] ^= 1;
		ck_assert_int_eq(
			object_header_decode(bytes, OBJECT_INDEX, &got, &e),
			-1);
		ck_assert_int_eq(e.code, i == 9 ? ERR_NEWER : ERR_CORRUPT);
		bytes[i] ^= 1;
	}
}
END_TEST

/* The definition, step by step, as a second opinion. */
static bool padme_by_definition(uint64_t n)
{
	unsigned int e = 0;
	unsigned int s = 0;

	while (n >> (e + 1))
		e++;
	while (e >> (s + 1))
		s++;
	s++;
	return (n & (((uint64_t)1 << (e - s)) - 1)) == 0;
}

START_TEST(padme_is_the_next_size)
{
	uint64_t next = 4;

	ck_assert_uint_eq(object_padded(0), 0);
	ck_assert_uint_eq(object_padded(3), 3);
	for (uint64_t n = 4; n < 300000; n++) {
		while (next < n || !padme_by_definition(next))
			next++;
		ck_assert_uint_eq(object_padded(n), next);
		ck_assert_uint_eq(object_padded(next), next);
		ck_assert(object_is_padded(n) == (n == next));
		ck_assert_uint_le((next - n) * 100, n * 12);
	}
	ck_assert_uint_eq(object_padded(UINT64_MAX), UINT64_MAX);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, names_have_the_written_form);
	tcase_add_test(tc, names_parse_back);
	tcase_add_test(tc, other_names_are_refused);
	tcase_add_test(tc, ids_are_32_digits);
	tcase_add_test(tc, header_round_trips_and_refuses);
	tcase_add_test(tc, padme_is_the_next_size);
}
CHECK_MAIN("storage/object", cases)

/* Every field of a manifest, there and back: storage/repository/manifest.h. */
#include "storage/repository/manifest.h"

#include <stdio.h>
#include <string.h>

#include "tests/support/check_main.h"

static struct manifest m;
static struct manifest back;
static struct err e;

static void add(struct manifest_list *l, const char *text)
{
	ck_ok(manifest_list_add(l, text, strlen(text), &e));
}

/* With another value in each field. */
static void set_up(void)
{
	manifest_init(&m);
	manifest_init(&back);
	m.snapshot.b[0] = 1;
	m.session.b[15] = 2;
	m.parent.b[7] = 3;
	(void)snprintf(m.source, sizeof(m.source), "source");
	(void)snprintf(m.type, sizeof(m.type), "files");
	(void)snprintf(m.host, sizeof(m.host), "host");
	(void)snprintf(m.user, sizeof(m.user), "user");
	(void)snprintf(m.program, sizeof(m.program), "program");
	add(&m.paths, "/a");
	add(&m.paths, "/b");
	add(&m.tags, "k=v");
	add(&m.excludes, "*.swp");
	add(&m.excludes, "");
	m.begun = (struct instant){ 1700000001, 4 };
	m.ended = (struct instant){ 1700000002, 5 };
	m.claimed = (struct instant){ -1, 6 };
	m.has_claimed = true;
	m.state = MANIFEST_PARTIAL;
	m.tree = (struct manifest_root){ .height = 7, .id = { { 8 } } };
	m.hints = (struct manifest_root){ .height = 32, .id = { { 9 } } };
	m.files = 10;
	m.dirs = 11;
	m.others = 12;
	m.bytes = INT64_MAX;
	m.errors = 14;
	m.error_list.b[31] = 15;
	m.domain = UINT16_MAX;
}

static void tear_down(void)
{
	manifest_done(&m);
	manifest_done(&back);
}

static int there_and_back(void)
{
	CLEANUP(buf_done) struct buf b;
	int failed;

	manifest_done(&back);
	buf_init(&b, CHUNK_MAX);
	ck_ok(manifest_encode(&m, &b, &e));
	failed = manifest_decode(b.data, b.len, &back, &e);
	if (failed)
		ck_assert_int_eq(e.code, ERR_CORRUPT);
	return failed;
}

static size_t encoded_bytes(void)
{
	CLEANUP(buf_done) struct buf b;

	buf_init(&b, CHUNK_MAX);
	ck_ok(manifest_encode(&m, &b, &e));
	return b.len;
}

static void expect_same_root(const struct manifest_root *a,
			     const struct manifest_root *b)
{
	ck_assert_int_eq(a->empty, b->empty);
	ck_assert_uint_eq(a->height, b->height);
	ck_assert(chunk_id_equal(&a->id, &b->id));
}

static void expect_same(void)
{
	ck_assert_int_eq(there_and_back(), 0);
	ck_assert(object_id_equal(back.snapshot, m.snapshot));
	ck_assert(object_id_equal(back.session, m.session));
	ck_assert(object_id_equal(back.parent, m.parent));
	ck_assert_str_eq(back.source, m.source);
	ck_assert_str_eq(back.type, m.type);
	ck_assert_str_eq(back.host, m.host);
	ck_assert_str_eq(back.user, m.user);
	ck_assert_str_eq(back.program, m.program);
	ck_assert(manifest_list_equal(&back.paths, &m.paths));
	ck_assert(manifest_list_equal(&back.tags, &m.tags));
	ck_assert(manifest_list_equal(&back.excludes, &m.excludes));
	ck_assert_int_eq(instant_compare(back.begun, m.begun), 0);
	ck_assert_int_eq(instant_compare(back.ended, m.ended), 0);
	ck_assert_int_eq(instant_compare(back.claimed, m.claimed), 0);
	ck_assert_int_eq(back.has_claimed, m.has_claimed);
	ck_assert_int_eq(back.state, m.state);
	expect_same_root(&back.tree, &m.tree);
	expect_same_root(&back.hints, &m.hints);
	ck_assert_uint_eq(back.files, m.files);
	ck_assert_uint_eq(back.dirs, m.dirs);
	ck_assert_uint_eq(back.others, m.others);
	ck_assert_uint_eq(back.bytes, m.bytes);
	ck_assert_uint_eq(back.errors, m.errors);
	ck_assert(chunk_id_equal(&back.error_list, &m.error_list));
	ck_assert_uint_eq(back.domain, m.domain);
}

START_TEST(each_field_comes_back)
{
	expect_same();
}
END_TEST

START_TEST(what_need_not_be_there_comes_back_as_nothing)
{
	const struct object_id snapshot = m.snapshot;
	const struct object_id session = m.session;

	manifest_done(&m);
	m.snapshot = snapshot;
	m.session = session;
	m.tree.empty = m.hints.empty = true;
	expect_same();
	ck_assert(!back.has_claimed);
	ck_assert(object_id_is_zero(back.parent));
	ck_assert_uint_eq(back.excludes.n, 0);
	ck_assert_ptr_null(back.excludes.v);
}
END_TEST

/* A parent that is none is not written: a tag, a length and an id less. */
START_TEST(what_is_nothing_is_not_written)
{
	const size_t with = encoded_bytes();

	m.parent = (struct object_id){ { 0 } };
	ck_assert_uint_eq(encoded_bytes(), with - 18);
	m.has_claimed = false;
	m.claimed = (struct instant){ 0 };
	ck_assert_uint_lt(encoded_bytes(), with - 18);
}
END_TEST

START_TEST(what_must_be_there_is_missed)
{
	const struct object_id none = { { 0 } };
	struct object_id was = m.snapshot;

	m.snapshot = none;
	ck_assert_int_eq(there_and_back(), -1);
	m.snapshot = was;
	was = m.session;
	m.session = none;
	ck_assert_int_eq(there_and_back(), -1);
	m.session = was;
	m.state = (enum manifest_state)0;
	ck_assert_int_eq(there_and_back(), -1);
	m.state = (enum manifest_state)3;
	ck_assert_int_eq(there_and_back(), -1);
	m.state = MANIFEST_COMPLETE;
	ck_assert_int_eq(there_and_back(), 0);
	m.tree.height = 33;
	ck_assert_int_eq(there_and_back(), -1);
}
END_TEST

/* It decides nothing, and is no number that others read. */
START_TEST(a_count_that_is_too_large_is_the_largest)
{
	m.bytes = (uint64_t)INT64_MAX + 1;
	m.files = m.dirs = m.others = m.errors = UINT64_MAX;
	ck_assert_int_eq(there_and_back(), 0);
	ck_assert_uint_eq(back.bytes, INT64_MAX);
	ck_assert_uint_eq(back.files, INT64_MAX);
	ck_assert_uint_eq(back.dirs, INT64_MAX);
	ck_assert_uint_eq(back.others, INT64_MAX);
	ck_assert_uint_eq(back.errors, INT64_MAX);
}
END_TEST

START_TEST(lists_differ_by_length_content_and_number)
{
	struct manifest_list a = { .n = 0 };
	struct manifest_list b = { .n = 0 };

	ck_assert(manifest_list_equal(&a, &b));
	add(&a, "one");
	ck_assert(!manifest_list_equal(&a, &b));
	add(&b, "on");
	ck_assert(!manifest_list_equal(&a, &b));
	ck_assert(!manifest_list_equal(&b, &a));
	manifest_list_done(&b);
	add(&b, "two");
	ck_assert(!manifest_list_equal(&a, &b));
	manifest_list_done(&b);
	add(&b, "one");
	ck_assert(manifest_list_equal(&a, &b));
	/* Whoever prints one finds its end. */
	ck_assert_str_eq((const char *)b.v[0].data, "one");
	manifest_list_done(&a);
	manifest_list_done(&b);
}
END_TEST

START_TEST(lists_have_an_end)
{
	static struct manifest_bytes many[MANIFEST_LIST_MAX + 1];
	static uint8_t p[] = { 'p' };
	const struct manifest_list paths = m.paths;

	for (size_t n = 0; n <= MANIFEST_LIST_MAX; n++)
		many[n] = (struct manifest_bytes){ .data = p, .len = 1 };
	m.paths = (struct manifest_list){ many, MANIFEST_LIST_MAX + 1 };
	ck_assert_int_eq(there_and_back(), -1);
	m.paths = paths;
	for (size_t n = m.paths.n; n < MANIFEST_LIST_MAX; n++)
		add(&m.paths, "p");
	expect_same();
	ck_assert_int_eq(manifest_list_add(&m.paths, "p", 1, &e), -1);
	ck_assert_int_eq(e.code, ERR_USAGE);
	ck_assert_uint_eq(m.paths.n, MANIFEST_LIST_MAX);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, each_field_comes_back);
	tcase_add_test(tc, what_need_not_be_there_comes_back_as_nothing);
	tcase_add_test(tc, what_is_nothing_is_not_written);
	tcase_add_test(tc, what_must_be_there_is_missed);
	tcase_add_test(tc, a_count_that_is_too_large_is_the_largest);
	tcase_add_test(tc, lists_differ_by_length_content_and_number);
	tcase_add_test(tc, lists_have_an_end);
}

CHECK_MAIN("storage/manifest", cases)

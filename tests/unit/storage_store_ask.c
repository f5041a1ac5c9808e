/*
 * Questions asked before their turn: nobody can tell the answers from others,
 * and each is had once.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "storage/stores/fault.h"
#include "tests/support/check_main.h"

#define URL	"mem:ask"
#define OBJECTS 150

static struct store *store;
static struct err e;

static void name_of(unsigned int i, char out[16])
{
	(void)snprintf(out, 16, "k/%03u", i);
}

/* Sizes about the bound of what is kept. */
static size_t size_of(unsigned int i)
{
	static const size_t sizes[] = { 0, 1, 65535, 65536, 65537 };

	return i % 30 ? i : sizes[i / 30];
}

static void set_up(void)
{
	static uint8_t bytes[1 << 17];
	char name[16];

	err_clear(&e);
	ck_ok(store_open(URL, true, &store, &e));
	ck_ok(fault_wrap(store, &store, &e));
	fault_set_far(store);
	for (unsigned int i = 0; i < OBJECTS; i++) {
		memset(bytes, (int)i, sizeof(bytes));
		name_of(i, name);
		ck_ok(store_put(store, name, bytes, size_of(i), 0, &e));
	}
	ck_ok(store_put(store, "other/a", "a", 1, 0, &e));
}

static void tear_down(void)
{
	store_close(store);
	store_mem_forget(URL);
}

static struct store_asked *ask(enum store_question_kind kind, const char *name)
{
	struct store_question q = { .kind = kind };
	struct store_asked *asked;

	(void)snprintf(q.name, sizeof(q.name), "%s", name);
	asked = store_ask(store, &q, 1);
	ck_assert_ptr_nonnull(asked);
	return asked;
}

/* 1 when it is there and right, 0 when it is not there, else an error. */
static int read_right(unsigned int i)
{
	CLEANUP(buf_done) struct buf b;
	char name[16];
	int r;

	buf_init(&b, 1 << 18);
	name_of(i, name);
	r = store_get(store, name, &b, &e);
	if (r == 1 && b.len != size_of(i))
		r = -1;
	for (size_t k = 0; r == 1 && k < b.len; k++)
		if (b.data[k] != (uint8_t)i)
			r = -1;
	return r;
}

struct seen {
	unsigned int n;
	unsigned int stop_after, fail_after; /* 0: never */
	bool reads;
};

static int visit(void *arg, const struct store_entry *entry, struct err *err)
{
	struct seen *s = arg;
	char name[16];

	name_of(s->n, name);
	if (strcmp(entry->name, name) != 0 || entry->size != size_of(s->n))
		return err_set(err, ERR_BUG, "%s", entry->name);
	if (s->reads && read_right(s->n) != 1)
		return err_set(err, ERR_BUG, "%s is wrong", name);
	s->n++;
	if (s->n == s->fail_after)
		return err_set(err, ERR_IO, "as told");
	return s->n == s->stop_after;
}

static uint64_t lists(void)
{
	return fault_calls(store, FAULT_LIST);
}

static uint64_t reads(void)
{
	return fault_calls(store, FAULT_READ);
}

START_TEST(a_listing_is_had_once)
{
	struct seen s = { 0 };
	struct store_asked *asked = ask(STORE_ASK_LISTING, "k/");

	ck_ok(store_list(store, "k/", visit, &s, &e));
	ck_assert_uint_eq(s.n, OBJECTS);
	ck_assert_uint_eq(lists(), 1);
	s.n = 0;
	ck_ok(store_list(store, "k/", visit, &s, &e));
	ck_assert_uint_eq(s.n, OBJECTS);
	ck_assert_uint_eq(lists(), 2);
	store_ask_done(asked);
}
END_TEST

START_TEST(only_what_was_asked_is_answered)
{
	struct seen s = { 0 };
	struct store_asked *asked = ask(STORE_ASK_LISTING, "k/0");
	uint64_t before;

	ck_ok(store_list(store, "k/", visit, &s, &e));
	ck_assert_uint_eq(s.n, OBJECTS);
	store_ask_done(asked);
	/* Nor after it was done. */
	before = lists();
	s.n = 0;
	ck_ok(store_list(store, "k/0", visit, &s, &e));
	ck_assert_uint_eq(lists(), before + 1);
}
END_TEST

START_TEST(a_visitor_ends_it_or_fails_it)
{
	struct store_asked *asked = ask(STORE_ASK_LISTING, "k/");
	struct seen s = { .stop_after = 7 };

	ck_ok(store_list(store, "k/", visit, &s, &e));
	ck_assert_uint_eq(s.n, 7);
	store_ask_done(asked);
	asked = ask(STORE_ASK_LISTING, "k/");
	s = (struct seen){ .fail_after = 70, .reads = true };
	ck_assert_int_eq(store_list_reading(store, "k/", visit, &s, &e), -1);
	ck_assert_int_eq(e.code, ERR_IO);
	ck_assert_str_eq(e.text, "as told");
	ck_assert_uint_eq(s.n, 70);
	store_ask_done(asked);
}
END_TEST

START_TEST(who_reads_what_is_listed_gets_what_is_there)
{
	struct store_asked *asked = ask(STORE_ASK_LISTING, "k/");
	struct seen s = { .reads = true };

	ck_ok(store_list_reading(store, "k/", visit, &s, &e));
	ck_assert_uint_eq(s.n, OBJECTS);
	ck_assert_uint_eq(lists(), 1);
	store_ask_done(asked);
}
END_TEST

START_TEST(an_object_is_had_once)
{
	struct store_asked *asked = ask(STORE_ASK_OBJECT, "k/007");

	ck_assert_int_eq(read_right(7), 1);
	ck_assert_uint_eq(reads(), 1);
	ck_assert_int_eq(read_right(7), 1);
	ck_assert_uint_eq(reads(), 2);
	store_ask_done(asked);
	/* Of a part of it, too, from the beginning alone. */
	asked = ask(STORE_ASK_OBJECT, "k/009");
	{
		char out[4];
		size_t got;

		ck_assert_int_eq(
			store_read(store, "k/009", 5, out, 4, &got, &e), 1);
		ck_assert_int_eq(
			store_read(store, "k/009", 0, out, 4, &got, &e), 1);
		ck_assert_uint_eq(got, 4);
		ck_assert_int_eq(out[3], 9);
	}
	store_ask_done(asked);
	ck_assert_uint_eq(reads(), 4);
}
END_TEST

START_TEST(what_is_absent_is_absent)
{
	struct store_asked *asked = ask(STORE_ASK_OBJECT, "k/999");
	CLEANUP(buf_done) struct buf b;

	buf_init(&b, 100);
	ck_assert_int_eq(store_get(store, "k/999", &b, &e), 0);
	ck_assert_uint_eq(reads(), 1);
	store_ask_done(asked);
}
END_TEST

START_TEST(what_is_large_is_read_as_ever)
{
	struct store_asked *asked = ask(STORE_ASK_OBJECT, "k/090");
	struct store_question q = { .kind = STORE_ASK_OBJECT,
				    .name = "k/120",
				    .most = 65538 };

	ck_assert_int_eq(read_right(90), 1);
	store_ask_done(asked);
	asked = store_ask(store, &q, 1);
	ck_assert_int_eq(read_right(120), 1);
	store_ask_done(asked);
	ck_assert_int_eq(read_right(60), 1);
}
END_TEST

START_TEST(what_fails_is_asked_again)
{
	const struct fault list = { .call = FAULT_LIST,
				    .action = FAULT_FAIL,
				    .times = 1,
				    .everyone = true };
	const struct fault read = { .call = FAULT_READ,
				    .action = FAULT_FAIL,
				    .times = 1,
				    .everyone = true };
	struct seen s = { 0 };
	struct store_asked *asked;

	fault_add(store, &list);
	fault_add(store, &read);
	asked = ask(STORE_ASK_LISTING, "k/");
	ck_ok(store_list(store, "k/", visit, &s, &e));
	ck_assert_uint_eq(s.n, OBJECTS);
	store_ask_done(asked);
	asked = ask(STORE_ASK_OBJECT, "k/007");
	ck_assert_int_eq(read_right(7), 1);
	store_ask_done(asked);
	ck_assert_uint_eq(lists() + reads(), 4);
}
END_TEST

START_TEST(what_was_removed_is_not_there)
{
	struct store_asked *asked = ask(STORE_ASK_OBJECT, "k/007");

	ck_ok(store_remove(store, "k/007", &e));
	ck_assert_int_eq(read_right(7), 0);
	store_ask_done(asked);
}
END_TEST

static void *list_and_read(void *arg UNUSED)
{
	static char listing[] = "the listing";
	static char object[] = "the object";
	struct seen s = { 0 };
	struct err why;

	if (store_list(store, "k/", visit, &s, &why) || s.n != OBJECTS)
		return listing;
	return read_right(7) == 1 ? NULL : object;
}

START_TEST(it_is_nobody_elses)
{
	const struct store_question q[] = {
		{ STORE_ASK_LISTING, "k/", 0 },
		{ STORE_ASK_OBJECT, "k/007", 0 },
	};
	struct store_asked *asked = store_ask(store, q, 2);
	pthread_t thread;
	void *wrong;

	ck_assert_int_eq(pthread_create(&thread, NULL, list_and_read, NULL), 0);
	(void)pthread_join(thread, &wrong);
	ck_assert_ptr_null(wrong);
	ck_assert_ptr_null(list_and_read(NULL));
	store_ask_done(asked);
	ck_assert_uint_eq(lists(), 2);
	ck_assert_uint_eq(reads(), 2);
}
END_TEST

/* All of them wait until all are asked. */
static atomic_uint met;

static void meet(void *arg, const char *name UNUSED)
{
	atomic_fetch_add(&met, 1);
	while (atomic_load(&met) < *(const unsigned int *)arg)
		clock_sleep_ms(1);
}

START_TEST(all_are_asked_at_once)
{
	static unsigned int all = 8;
	const struct fault fault = { .call = FAULT_LIST,
				     .action = FAULT_RUN,
				     .run = meet,
				     .arg = &all,
				     .everyone = true };
	struct store_question q[8] = { 0 };
	struct store_asked *asked;
	struct seen s = { 0 };

	for (unsigned int i = 0; i < 8; i++) {
		q[i].kind = STORE_ASK_LISTING;
		memcpy(q[i].name, "k/", 3);
	}
	atomic_store(&met, 0);
	fault_add(store, &fault);
	asked = store_ask(store, q, 8);
	for (unsigned int i = 0; i < 8; i++) {
		s.n = 0;
		ck_ok(store_list(store, "k/", visit, &s, &e));
	}
	store_ask_done(asked);
	ck_assert_uint_eq(lists(), 8);
}
END_TEST

START_TEST(a_local_store_is_asked_nothing)
{
	const struct store_question q = { STORE_ASK_LISTING, "k/", 0 };
	struct store *local = NULL;

	ck_ok(store_open(URL, true, &local, &e));
	ck_assert_ptr_null(store_ask(local, &q, 1));
	ck_assert_ptr_null(store_ask(store, &q, 0));
	store_ask_done(NULL);
	store_close(local);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, a_listing_is_had_once);
	tcase_add_test(tc, only_what_was_asked_is_answered);
	tcase_add_test(tc, a_visitor_ends_it_or_fails_it);
	tcase_add_test(tc, who_reads_what_is_listed_gets_what_is_there);
	tcase_add_test(tc, an_object_is_had_once);
	tcase_add_test(tc, what_is_absent_is_absent);
	tcase_add_test(tc, what_is_large_is_read_as_ever);
	tcase_add_test(tc, what_fails_is_asked_again);
	tcase_add_test(tc, what_was_removed_is_not_there);
	tcase_add_test(tc, it_is_nobody_elses);
	tcase_add_test(tc, all_are_asked_at_once);
	tcase_add_test(tc, a_local_store_is_asked_nothing);
}

CHECK_MAIN("storage/store_ask", cases)

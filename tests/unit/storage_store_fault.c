/*
 * The fault injector does what it is told, once for each kind of fault: the
 * tests above it rely on that.
 */
#include <errno.h>
#include <string.h>

#include "storage/stores/fault.h"
#include "tests/support/check_main.h"

static struct store *store;
static struct err e;
static int64_t slept_ms;

/* The linker leads the injector's sleep here. */
void __wrap_clock_sleep_ms(int64_t ms);
void __wrap_clock_sleep_ms(int64_t ms)
{
	slept_ms += ms;
}

static void set_up(void)
{
	struct store *inner = NULL;

	err_clear(&e);
	ck_ok(store_open("mem:guard-fault", true, &inner, &e));
	ck_ok(fault_wrap(inner, &store, &e));
}

static void tear_down(void)
{
	store_close(store);
	store_mem_forget("mem:guard-fault");
}

static int put(const char *name, const char *text, unsigned int flags)
{
	return store_put(store, name, text, strlen(text), flags, &e);
}

static void add(struct fault f)
{
	fault_add(store, &f);
}

/* The object's text in out, "-" when there is none, "!" when that failed. */
static const char *get(const char *name)
{
	static char out[64];
	size_t got = 0;
	const int r = store_read(store, name, 0, out, sizeof(out) - 1, &got,
				 &e);

	out[got] = '\0';
	return r < 0 ? "!" : r == 0 ? "-" : out;
}

static int count(void *arg, const struct store_entry *entry, struct err *err)
{
	(void)entry;
	(void)err;
	++*(int *)arg;
	return 0;
}

static int list(void)
{
	int n = 0;

	return store_list(store, "", count, &n, &e) < 0 ? -1 : n;
}

static int list_after(const char *name)
{
	int n = 0;

	return store_list_after(store, name, count, &n, &e) < 0 ? -1 : n;
}

START_TEST(the_nth_call_fails_as_told)
{
	set_up();
	add((struct fault){ .call = FAULT_COMMIT,
			    .nth = 2,
			    .times = 1,
			    .code = ERR_FULL,
			    .sys = ENOSPC });
	ck_ok(put("a", "1", 0));
	ck_assert_int_eq(put("b", "1", 0), -1);
	ck_assert_int_eq(e.code, ERR_FULL);
	ck_assert_int_eq(e.sys, ENOSPC);
	ck_assert_ptr_nonnull(strstr(e.text, "no space left"));
	ck_ok(put("c", "1", 0));
	ck_assert_int_eq(list(), 2);
	ck_assert_uint_eq(fault_calls(store, FAULT_COMMIT), 3);
	ck_assert_uint_eq(fault_calls(store, FAULT_ANY), 10);
	tear_down();
}
END_TEST

START_TEST(every_kind_of_call_can_fail)
{
	set_up();
	ck_ok(put("a", "1", 0));
	for (int call = FAULT_BEGIN; call <= FAULT_ANY; call++) {
		struct store_guard guard;
		uint64_t size;
		int failed = 0;

		fault_clear(store);
		add((struct fault){ .call = (enum fault_call)call });
		failed += put("b", "1", 0) < 0;
		failed += strcmp(get("a"), "!") == 0;
		failed += store_size(store, "a", &size, &e) < 0;
		failed += list() < 0;
		failed += store_guarded(store, "a", &guard, &e) < 0;
		failed += store_remove(store, "b", &e) < 0;
		ck_assert_int_eq(failed, call == FAULT_ANY ? 6 : 1);
		fault_clear(store);
		ck_ok(store_remove(store, "b", &e));
	}
	tear_down();
}
END_TEST

START_TEST(a_lost_answer_leaves_the_deed)
{
	set_up();
	add((struct fault){
		.call = FAULT_COMMIT, .times = 1, .action = FAULT_FAIL_AFTER });
	ck_assert_int_eq(put("a", "1", 0), -1);
	ck_assert_str_eq(get("a"), "1");
	add((struct fault){ .call = FAULT_REMOVE, .action = FAULT_FAIL_AFTER });
	ck_assert_int_eq(store_remove(store, "a", &e), -1);
	ck_assert_str_eq(get("a"), "-");
	tear_down();
}
END_TEST

START_TEST(a_lost_deed_answers_well)
{
	set_up();
	add((struct fault){ .call = FAULT_COMMIT,
			    .action = FAULT_LOSE,
			    .prefix = "data/" });
	add((struct fault){ .call = FAULT_REMOVE, .action = FAULT_LOSE });
	ck_ok(put("data/1", "1", 0));
	ck_ok(put("meta/1", "1", 0));
	ck_assert_str_eq(get("data/1"), "-");
	ck_ok(store_remove(store, "meta/1", &e));
	ck_assert_str_eq(get("meta/1"), "1");
	tear_down();
}
END_TEST

START_TEST(reads_lie_as_told)
{
	set_up();
	ck_ok(put("s", "old", 0));
	ck_ok(put("s", "newer", STORE_REPLACE));
	add((struct fault){
		.call = FAULT_READ, .times = 1, .action = FAULT_STALE });
	ck_assert_str_eq(get("s"), "old");
	ck_assert_str_eq(get("s"), "newer");
	add((struct fault){ .call = FAULT_READ,
			    .times = 1,
			    .action = FAULT_SHORT,
			    .amount = 2 });
	ck_assert_str_eq(get("s"), "ne");
	add((struct fault){ .call = FAULT_READ,
			    .times = 1,
			    .action = FAULT_FLIP,
			    .amount = 8 });
	ck_assert_str_eq(get("s"), "ndwer");
	add((struct fault){
		.call = FAULT_READ, .times = 1, .action = FAULT_ABSENT });
	ck_assert_str_eq(get("s"), "-");
	ck_assert_str_eq(get("s"), "newer");
	tear_down();
}
END_TEST

START_TEST(listings_lie_as_told)
{
	char name[] = "n0";

	set_up();
	for (; name[1] <= '9'; name[1]++)
		ck_ok(put(name, "", 0));
	ck_assert_int_eq(list(), 10);
	add((struct fault){
		.call = FAULT_LIST, .times = 1, .action = FAULT_HALF });
	ck_assert_int_eq(list(), 5);
	add((struct fault){ .call = FAULT_LIST,
			    .times = 1,
			    .action = FAULT_SHORT,
			    .amount = 7 });
	ck_assert_int_eq(list(), 7);
	add((struct fault){
		.call = FAULT_LIST, .times = 1, .action = FAULT_ABSENT });
	ck_assert_int_eq(list(), 0);
	add((struct fault){
		.call = FAULT_LIST, .times = 1, .action = FAULT_FAIL_AFTER });
	ck_assert_int_eq(list(), -1);
	/* What is hidden is so from all listings; others have their name. */
	add((struct fault){ .call = FAULT_LIST,
			    .times = 2,
			    .action = FAULT_HIDE,
			    .prefix = "n3" });
	ck_assert_int_eq(list(), 9);
	ck_assert_int_eq(list_after("n1"), 7);
	add((struct fault){ .call = FAULT_LIST,
			    .times = 1,
			    .action = FAULT_ABSENT,
			    .prefix = ">n1" });
	ck_assert_int_eq(list_after("n2"), 7);
	ck_assert_int_eq(list_after("n1"), 0);
	ck_assert_int_eq(list_after("n1"), 8);
	ck_assert_int_eq(list(), 10);
	tear_down();
}
END_TEST

START_TEST(a_hang_ends_and_the_call_is_done)
{
	set_up();
	ck_ok(put("a", "1", 0));
	add((struct fault){
		.call = FAULT_READ, .action = FAULT_HANG, .amount = 30 });
	slept_ms = 0;
	ck_assert_str_eq(get("a"), "1");
	ck_assert_int_eq(slept_ms, 30);
	tear_down();
}
END_TEST

static void add_another(void *arg, const char *name)
{
	ck_assert_str_eq(name, "");
	ck_ok(store_put(arg, "b", "2", 1, 0, &e));
}

/* Before the call is done, which sees it; and once. */
START_TEST(somebody_else_acts_before_the_nth_call)
{
	set_up();
	ck_ok(put("a", "1", 0));
	add((struct fault){ .call = FAULT_LIST,
			    .action = FAULT_RUN,
			    .nth = 2,
			    .times = 1,
			    .run = add_another,
			    .arg = store });
	ck_assert_int_eq(list(), 1);
	ck_assert_int_eq(list(), 2);
	ck_assert_int_eq(list(), 2);
	tear_down();
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, the_nth_call_fails_as_told);
	tcase_add_test(tc, every_kind_of_call_can_fail);
	tcase_add_test(tc, a_lost_answer_leaves_the_deed);
	tcase_add_test(tc, a_lost_deed_answers_well);
	tcase_add_test(tc, reads_lie_as_told);
	tcase_add_test(tc, listings_lie_as_told);
	tcase_add_test(tc, a_hang_ends_and_the_call_is_done);
	tcase_add_test(tc, somebody_else_acts_before_the_nth_call);
}

CHECK_MAIN("storage/store_fault", cases)

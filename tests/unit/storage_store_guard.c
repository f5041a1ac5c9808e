/*
 * What storage/stores/store.h promises of guards, held against every backend
 * that has them, plain and wrapped.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "storage/stores/limit.h"
#include "tests/support/guard_place.h"
#include "tests/support/store_backends.h"

#define HOUR 3600

/* The last two in a folder that is append-only, where there can be one. */
static const int backends[] = { MEM, MEM_FAULTY, S3_LOCKED, LOCAL,
				LOCAL_FAULTY };
#define N_GUARDING (sizeof(backends) / sizeof(backends[0]))

static struct guard_place place;
static bool has_place;

static int64_t ahead_s; /* of all clocks */

struct instant __real_clock_now(void);
struct instant __wrap_clock_now(void);
struct instant __wrap_clock_now(void)
{
	struct instant now = __real_clock_now();

	now.sec += ahead_s;
	return now;
}

static void set_clocks(int64_t seconds)
{
	ahead_s = seconds;
	store_mem_set_now(clock_now());
	(void)s3_server_tell(&server, "{\"do\": \"set\", \"shift\": %lld}",
			     (long long)seconds);
}

static struct instant in_s(int64_t seconds)
{
	struct instant t = clock_now();

	t.sec += seconds;
	return t;
}

#define EACH(name) START_TEST(name)
#define BEGIN                                                           \
	do {                                                            \
		if (is_local(backends[_i]) && !has_place)               \
			ck_skip("guards_in_folders",                    \
				"no file system with immutable files"); \
		begin(_i);                                              \
	} while (0)
#define END end(_i)

static void begin_folder(bool faulty)
{
	static unsigned int cases;
	char name[32];
	char path[SCRATCH_PATH];
	struct store *inner = NULL;

	(void)snprintf(name, sizeof(name), "%d-%u", (int)getpid(), ++cases);
	guard_place_folder(&place, name, path);
	ck_ok(store_open(path, false, &inner, &e));
	store = inner;
	if (faulty)
		ck_ok(fault_wrap(inner, &store, &e));
}

static void begin(int i)
{
	if (is_local(backends[i]))
		begin_folder(backends[i] == LOCAL_FAULTY);
	else
		set_up(backends[i]);
	set_clocks(0);
	ck_assert_int_eq(store_can_guard(store, &e), 1);
}

static void end(int i)
{
	set_clocks(0);
	if (is_local(backends[i]))
		store_close(store); /* its folder goes with the place */
	else
		tear_down(backends[i]);
}

static void start(void)
{
	has_place = guard_place_begin(&place);
	backends_start();
}

static void stop(void)
{
	backends_stop();
	if (has_place)
		guard_place_end(&place);
}

static void put(const char *name, const char *text)
{
	ck_ok(store_put(store, name, text, strlen(text), 0, &e));
}

static void expect(const char *name, const char *text)
{
	CLEANUP(buf_done) struct buf b;

	buf_init(&b, 1 << 20);
	ck_assert_int_eq(store_get(store, name, &b, &e), 1);
	ck_assert_str_eq(buf_str(&b), text);
}

static struct store_guard guard_of(const char *name)
{
	struct store_guard g;

	if (store_guarded(store, name, &g, &e) != 1)
		ck_abort_msg("%s", e.text);
	return g;
}

static void expect_refused(const char *name, const char *why)
{
	ck_assert_int_eq(store_remove(store, name, &e), -1);
	if (e.code != ERR_DENIED || !strstr(e.text, why))
		ck_abort_msg("%s", e.text);
}

static void expect_gone(const char *name)
{
	uint64_t size;

	ck_ok(store_remove(store, name, &e));
	ck_assert_int_eq(store_size(store, name, &size, &e), 0);
}

EACH(nothing_guards_what_nobody_guarded)
{
	struct store_guard g;

	BEGIN;
	put("data/aa/1", "1");
	g = guard_of("data/aa/1");
	ck_assert(!g.held && g.until.sec <= clock_now().sec);
	ck_assert_int_eq(store_guarded(store, "data/aa/2", &g, &e), 0);
	ck_assert_int_eq(store_guard(store, "data/aa/2", in_s(HOUR), &e), 0);
	ck_assert_int_eq(store_hold(store, "data/aa/2", true, &e), 0);
	ck_assert_int_eq(store_hold(store, "data/aa/2", false, &e), 0);
	expect_gone("data/aa/1");
	END;
}
END_TEST

EACH(a_guarded_object_stays_until_its_time)
{
	const struct instant until = in_s(HOUR);

	BEGIN;
	put("data/aa/1", "1");
	ck_assert_int_eq(store_guard(store, "data/aa/1", until, &e), 1);
	ck_assert_int_le(instant_compare(until, guard_of("data/aa/1").until),
			 0);
	ck_assert_int_le(guard_of("data/aa/1").until.sec, until.sec + 1);
	expect_refused("data/aa/1", "locked until");
	expect("data/aa/1", "1");
	set_clocks(HOUR + 2);
	expect_gone("data/aa/1");
	END;
}
END_TEST

EACH(a_guard_only_gets_longer)
{
	BEGIN;
	put("holds/a", "1");
	ck_assert_int_eq(store_guard(store, "holds/a", in_s(2 * HOUR), &e), 1);
	ck_assert_int_eq(store_guard(store, "holds/a", in_s(HOUR), &e), 1);
	ck_assert_int_eq(store_guard(store, "holds/a", in_s(-HOUR), &e), 1);
	ck_assert_int_eq(
		store_guard(store, "holds/a", (struct instant){ .sec = 0 }, &e),
		1);
	set_clocks(HOUR + 600);
	expect_refused("holds/a", "locked until");
	ck_assert_int_eq(store_guard(store, "holds/a", in_s(HOUR), &e), 1);
	set_clocks(2 * HOUR + 2);
	expect_refused("holds/a", "locked until");
	/* It may be guarded anew when that is over. */
	set_clocks(3 * HOUR);
	ck_assert_int_eq(store_guard(store, "holds/a", in_s(HOUR), &e), 1);
	expect_refused("holds/a", "locked until");
	set_clocks(4 * HOUR + 2);
	expect_gone("holds/a");
	END;
}
END_TEST

EACH(a_hold_stands_beside_the_guard)
{
	BEGIN;
	put("holds/a", "1");
	ck_assert_int_eq(store_hold(store, "holds/a", true, &e), 1);
	ck_assert_int_eq(store_hold(store, "holds/a", true, &e), 1);
	ck_assert(guard_of("holds/a").held);
	expect_refused("holds/a", "held");
	ck_assert_int_eq(store_guard(store, "holds/a", in_s(HOUR), &e), 1);
	ck_assert(guard_of("holds/a").held);
	ck_assert_int_eq(store_hold(store, "holds/a", false, &e), 1);
	ck_assert_int_eq(store_hold(store, "holds/a", false, &e), 1);
	ck_assert(!guard_of("holds/a").held);
	expect_refused("holds/a", "locked until");
	set_clocks(HOUR + 2);
	ck_assert_int_eq(store_hold(store, "holds/a", true, &e), 1);
	expect_refused("holds/a", "held");
	ck_assert_int_eq(store_hold(store, "holds/a", false, &e), 1);
	expect_gone("holds/a");
	END;
}
END_TEST

static bool is_data(const char *name)
{
	return strncmp(name, "data/", 5) == 0;
}

static void no_limit(void *arg UNUSED, struct limit_rates *ret)
{
	*ret = (struct limit_rates){ .up = 0 };
}

EACH(what_is_new_is_guarded_from_its_beginning_on)
{
	static const char large[9 << 20] = "more than one part of an upload";
	struct store *limited = NULL;
	const struct limit_options options = { .ask = no_limit };

	BEGIN;
	store_guard_new(store, in_s(HOUR), is_data);
	put("data/aa/1", "1");
	put("sessions/1", "1");
	ck_ok(store_put(store, "data/aa/2", large, sizeof(large), 0, &e));
	ck_assert_int_ge(guard_of("data/aa/1").until.sec, in_s(HOUR - 60).sec);
	ck_assert_int_ge(guard_of("data/aa/2").until.sec, in_s(HOUR - 60).sec);
	expect_refused("data/aa/1", "locked until");
	expect_refused("data/aa/2", "locked until");
	expect_gone("sessions/1");
	/* Through a wrapper. */
	ck_ok(limit_wrap(store, &options, &limited, &e));
	store = limited;
	ck_assert_int_eq(store_can_guard(store, &e), 1);
	store_guard_new(store, in_s(2 * HOUR), is_data);
	put("data/aa/3", "3");
	set_clocks(HOUR + 2);
	expect_gone("data/aa/1");
	expect_gone("data/aa/2");
	expect_refused("data/aa/3", "locked until");
	ck_assert_int_eq(store_hold(store, "data/aa/3", true, &e), 1);
	ck_assert(guard_of("data/aa/3").held);
	ck_assert_int_eq(store_hold(store, "data/aa/3", false, &e), 1);
	/* What would be over guards nothing. */
	store_guard_new(store, in_s(-HOUR), is_data);
	put("data/aa/4", "4");
	expect_gone("data/aa/4");
	set_clocks(2 * HOUR + 2);
	expect_gone("data/aa/3");
	END;
}
END_TEST

EACH(a_name_that_is_guarded_is_taken)
{
	BEGIN;
	put("data/aa/1", "1");
	ck_assert_int_eq(store_guard(store, "data/aa/1", in_s(HOUR), &e), 1);
	ck_assert_int_eq(store_put(store, "data/aa/1", "2", 1, 0, &e), -1);
	ck_assert_int_eq(e.code, ERR_EXISTS);
	expect("data/aa/1", "1");
	END;
}
END_TEST

EACH(how_it_guards_has_a_name)
{
	const char *mode;

	BEGIN;
	mode = store_guard_mode(store);
	ck_assert_ptr_nonnull(mode);
	if (is_local(backends[_i]))
		ck_assert_str_eq(mode, "immutable");
	else if (strcmp(mode, "memory") != 0)
		ck_assert_str_eq(mode, "compliance");
	END;
}
END_TEST

EACH(names_that_are_none_are_refused)
{
	struct store_guard g;

	BEGIN;
	ck_assert_int_eq(store_guard(store, "../a", in_s(HOUR), &e), -1);
	ck_assert_int_eq(e.code, ERR_USAGE);
	ck_assert_int_eq(store_hold(store, "A", true, &e), -1);
	ck_assert_int_eq(store_guarded(store, "tmp/x", &g, &e), -1);
	ck_assert_int_eq(store_turn(store, "a//b", 1, &e), -1);
	ck_assert_int_eq(e.code, ERR_USAGE);
	END;
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_unchecked_fixture(tc, start, stop);
#define ADD(name) tcase_add_loop_test(tc, name, 0, (int)N_GUARDING)
	ADD(nothing_guards_what_nobody_guarded);
	ADD(a_guarded_object_stays_until_its_time);
	ADD(a_guard_only_gets_longer);
	ADD(a_hold_stands_beside_the_guard);
	ADD(what_is_new_is_guarded_from_its_beginning_on);
	ADD(a_name_that_is_guarded_is_taken);
	ADD(how_it_guards_has_a_name);
	ADD(names_that_are_none_are_refused);
}

CHECK_MAIN("storage/store/guard", cases)

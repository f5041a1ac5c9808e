/*
 * Guards in a folder: what the file system itself then refuses, to root as
 * well; who may not set them; a writer that dies at any of its steps; and
 * folders that have none.
 */
#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/seam.h"
#include "storage/stores/store.h"
#include "tests/support/guard_place.h"

#define HOUR 3600

static struct guard_place place;
static char folder[SCRATCH_PATH];
static struct store *store;
static struct err e;
static int64_t ahead_s;

struct instant __real_clock_now(void);
struct instant __wrap_clock_now(void);
struct instant __wrap_clock_now(void)
{
	struct instant now = __real_clock_now();

	now.sec += ahead_s;
	return now;
}

static struct instant in_s(int64_t seconds)
{
	struct instant t = clock_now();

	t.sec += seconds;
	return t;
}

static void set_up(bool append_only)
{
	static unsigned int cases;
	char name[32];

	err_clear(&e);
	ahead_s = 0;
	(void)snprintf(name, sizeof(name), "%d-%u", (int)getpid(), ++cases);
	guard_place_folder(&place, name, folder);
	if (!append_only)
		ck_assert(guard_place_change(folder, 0, FS_APPEND_FL));
	ck_ok(store_open(folder, true, &store, &e));
}

static void tear_down(void)
{
	ahead_s = 0;
	store_close(store);
}

static void put(const char *name, unsigned int flags)
{
	if (store_put(store, name, name, strlen(name), flags, &e))
		ck_abort_msg("%s", e.text);
}

static char *path_of(const char *name)
{
	static char path[2 * SCRATCH_PATH];

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static int flags_of(const char *name)
{
	return guard_place_flags(path_of(name)) &
	       (FS_IMMUTABLE_FL | FS_APPEND_FL);
}

static struct store_guard guard_of(struct store *s, const char *name)
{
	struct store_guard g;

	if (store_guarded(s, name, &g, &e) != 1)
		ck_abort_msg("%s", e.text);
	return g;
}

static bool is_guarded(struct store *s, const char *name)
{
	const struct store_guard g = guard_of(s, name);

	return g.held || instant_compare(g.until, clock_now()) > 0;
}

/* "Operation not permitted", to root. */
static void refuse(int result)
{
	ck_assert_int_eq(result, -1);
	ck_assert_int_eq(errno, EPERM);
}

static void refuse_all(const char *name)
{
	char old[2 * SCRATCH_PATH];
	char new[2 * SCRATCH_PATH];
	int fd;

	(void)snprintf(old, sizeof(old), "%s", path_of(name));
	(void)snprintf(new, sizeof(new), "%.400s/tmp/away", folder);
	refuse(unlink(old));
	refuse(rename(old, new));
	refuse(link(old, new));
	refuse(truncate(old, 0));
	refuse(open(old, O_WRONLY | O_CLOEXEC));
	refuse(setxattr(old, "user.snapctl.guard", "1970-01-01T00:00:00Z", 20,
			0));
	/* Nor is anything put in its place, nor its folder out of the way. */
	(void)snprintf(new, sizeof(new), "%.400s/tmp/other", folder);
	fd = open(new, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	(void)close(fd);
	refuse(rename(new, old));
	ck_assert_int_eq(unlink(new), 0);
}

START_TEST(what_is_guarded_nobody_removes)
{
	char away[2 * SCRATCH_PATH];

	set_up(true);
	put("data/aa/1", 0);
	put("data/aa/2", 0);
	put("snapshots/1", 0);
	ck_assert_int_eq(store_guard(store, "data/aa/1", in_s(HOUR), &e), 1);
	ck_assert_int_eq(store_guard(store, "snapshots/1", in_s(HOUR), &e), 1);
	ck_assert_int_eq(flags_of("data/aa/1"), FS_IMMUTABLE_FL);
	refuse_all("data/aa/1");
	refuse_all("snapshots/1");
	/* The folders above it stay where they are. */
	ck_assert_int_eq(flags_of("data"), FS_APPEND_FL);
	ck_assert_int_eq(flags_of("data/aa"), 0);
	ck_assert_int_eq(flags_of("snapshots"), 0);
	(void)snprintf(away, sizeof(away), "%.400s/tmp/away", folder);
	refuse(rename(path_of("data/aa"), away));
	refuse(rename(path_of("data"), away));
	refuse(rename(path_of("snapshots"), away));
	/* What nothing guards goes, and more can come. */
	ck_ok(store_remove(store, "data/aa/2", &e));
	put("data/aa/3", 0);
	put("data/bb/1", 0);
	put("sessions/1", 0);
	put("sessions/1", STORE_REPLACE);
	ck_ok(store_remove(store, "sessions/1", &e));
	ck_assert_int_eq(
		store_put(store, "data/aa/1", "x", 1, STORE_REPLACE, &e), -1);
	ck_assert_int_eq(e.code, ERR_DENIED);
	ck_assert_ptr_nonnull(strstr(e.text, "locked until"));
	tear_down();
}
END_TEST

START_TEST(what_was_guarded_can_be_replaced)
{
	set_up(true);
	put("holds/1", 0);
	ck_assert_int_eq(store_guard(store, "holds/1", in_s(HOUR), &e), 1);
	ahead_s = HOUR + 2;
	put("holds/1", STORE_REPLACE);
	ck_assert_int_eq(flags_of("holds/1"), 0);
	ck_ok(store_remove(store, "holds/1", &e));
	tear_down();
}
END_TEST

/* As an administrator's, whatever it may be for. */
START_TEST(what_does_not_say_until_when_is_held)
{
	static const char *const values[] = {
		NULL,
		"",
		"tomorrow",
		"2026-01-01T00:00:00Z held",
		"2026-01-01T00:00:00Z heldx",
		"2026-01-01T00:00:00Z and much more than there is room for in "
		"anything that could be written there",
	};

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		set_up(true);
		put("holds/1", 0);
		if (values[i])
			ck_assert_int_eq(setxattr(path_of("holds/1"),
						  "user.snapctl.guard",
						  values[i], strlen(values[i]),
						  0),
					 0);
		ck_assert(!is_guarded(store, "holds/1"));
		ck_assert(guard_place_change(path_of("holds/1"),
					     FS_IMMUTABLE_FL, 0));
		ck_assert(guard_of(store, "holds/1").held);
		ck_assert_int_eq(store_remove(store, "holds/1", &e), -1);
		ck_assert_ptr_nonnull(strstr(e.text, "it is held"));
		ck_assert_int_eq(store_guard(store, "holds/1", in_s(HOUR), &e),
				 1);
		ck_assert(guard_of(store, "holds/1").held);
		ck_assert_int_eq(store_hold(store, "holds/1", false, &e), 1);
		ck_assert(!guard_of(store, "holds/1").held);
		ck_assert(is_guarded(store, "holds/1"));
		tear_down();
	}
}
END_TEST

START_TEST(a_folder_that_is_not_append_only_has_no_guards)
{
	struct store_guard g;

	set_up(false);
	ck_assert_int_eq(store_can_guard(store, &e), 0);
	put("data/aa/1", 0);
	ck_assert_int_eq(store_guard(store, "data/aa/1", in_s(HOUR), &e), -1);
	ck_assert_int_eq(e.code, ERR_USAGE);
	ck_assert_ptr_nonnull(strstr(e.hint, "chattr +a"));
	ck_assert_int_eq(store_hold(store, "data/aa/1", true, &e), -1);
	ck_assert_int_eq(e.code, ERR_USAGE);
	ck_assert_int_eq(store_guarded(store, "data/aa/1", &g, &e), 1);
	ck_assert(!g.held && g.until.sec == 0);
	ck_assert_int_eq(flags_of("data"), 0);
	ck_ok(store_remove(store, "data/aa/1", &e));
	tear_down();
}
END_TEST

/* What lies in the store's own folder stays there, guarded or not. */
START_TEST(nothing_goes_from_the_folder_itself)
{
	set_up(true);
	put("config", 0);
	ck_assert_int_eq(store_remove(store, "config", &e), -1);
	ck_assert_int_eq(e.code, ERR_DENIED);
	ck_assert_ptr_nonnull(strstr(e.hint, "append-only"));
	ck_assert_int_eq(store_guard(store, "config", in_s(HOUR), &e), 1);
	ck_assert_int_eq(flags_of("config"), FS_IMMUTABLE_FL);
	ahead_s = HOUR + 2;
	ck_assert_int_eq(store_remove(store, "config", &e), -1);
	ck_assert_int_eq(e.code, ERR_DENIED);
	tear_down();
}
END_TEST

/* Root without the one capability; in a process of its own. */
static void give_up_capability(void)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3
	};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data) < 0)
		_exit(3);
	data[CAP_LINUX_IMMUTABLE / 32].effective &= ~(
		1U << CAP_LINUX_IMMUTABLE % 32);
	if (syscall(SYS_capset, &head, data) < 0)
		_exit(4);
}

static bool says_capability(void)
{
	return e.code == ERR_DENIED && strstr(e.hint, "CAP_LINUX_IMMUTABLE");
}

static bool all(const char *name UNUSED)
{
	return true;
}

static int without_capability(void)
{
	give_up_capability();
	if (store_can_guard(store, &e) != 1)
		return 10;
	if (store_guard(store, "data/aa/2", in_s(HOUR), &e) != -1 ||
	    !says_capability())
		return 11;
	/* Neither longer nor shorter. */
	if (store_guard(store, "data/aa/1", in_s(2 * HOUR), &e) != -1 ||
	    !says_capability())
		return 12;
	if (store_hold(store, "data/aa/1", false, &e) != 1 ||
	    store_hold(store, "data/aa/1", true, &e) != -1 ||
	    !says_capability())
		return 13;
	if (store_remove(store, "data/aa/1", &e) != -1 ||
	    !strstr(e.text, "locked until"))
		return 14;
	if (store_remove(store, "data/aa/2", &e))
		return 15;
	if (store_put(store, "data/aa/3", "3", 1, 0, &e))
		return 16;
	store_guard_new(store, in_s(HOUR), all);
	if (store_put(store, "data/aa/4", "4", 1, 0, &e) != -1 ||
	    !says_capability())
		return 17;
	/* Not either when it is over. */
	ahead_s = 2 * HOUR;
	if (store_remove(store, "data/aa/1", &e) != -1 || !says_capability())
		return 18;
	return 0;
}

START_TEST(it_takes_a_capability)
{
	int status = 0;
	pid_t pid;

	set_up(true);
	put("data/aa/1", 0);
	put("data/aa/2", 0);
	ck_assert_int_eq(store_guard(store, "data/aa/1", in_s(HOUR), &e), 1);
	pid = fork();
	if (pid == 0)
		_exit(without_capability());
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(WIFEXITED(status) ? WEXITSTATUS(status) : -1, 0);
	tear_down();
}
END_TEST

/* ---- a writer that dies ----------------------------------------------------
 */

static unsigned int calls;
static unsigned int die_at;

static int die(void *arg UNUSED, enum seam_call call UNUSED,
	       const char *path UNUSED)
{
	if (++calls == die_at)
		(void)kill(getpid(), SIGKILL);
	return 0;
}

static int fail_once(void *arg UNUSED, enum seam_call call UNUSED,
		     const char *path UNUSED)
{
	return ++calls == die_at ? EIO : 0;
}

/* Guarded, held, for longer, released; one that is new. */
static int story(void)
{
	if (store_guard(store, "data/aa/1", in_s(HOUR), &e) != 1 ||
	    store_hold(store, "data/aa/1", true, &e) != 1 ||
	    store_guard(store, "data/aa/1", in_s(2 * HOUR), &e) != 1)
		return 10;
	store_guard_new(store, in_s(HOUR), all);
	if (store_put(store, "data/aa/2", "2", 1, 0, &e))
		return 11;
	return 0;
}

/* A child tells the story; whether it came to its end, and nothing failed. */
static bool tell_story(seam_hook *hook, unsigned int at)
{
	const pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		calls = 0;
		die_at = at;
		seam_set_hook(hook, NULL);
		status = story();
		_exit(status == 0 && calls >= at ? 12 : status);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Wherever it ended, the object is there, and what is asked next holds. */
static void check_after(void)
{
	uint64_t size = 0;

	ck_assert_int_eq(store_size(store, "data/aa/1", &size, &e), 1);
	ck_assert_uint_eq(size, strlen("data/aa/1"));
	ck_assert_int_eq(store_guard(store, "data/aa/1", in_s(3 * HOUR), &e),
			 1);
	ck_assert_int_ge(guard_of(store, "data/aa/1").until.sec,
			 in_s(3 * HOUR - 60).sec);
	ck_assert_int_eq(flags_of("data/aa/1"), FS_IMMUTABLE_FL);
	ck_assert_int_eq(flags_of("data"), FS_APPEND_FL);
	if (store_size(store, "data/aa/2", &size, &e) == 1)
		ck_assert_int_eq(
			store_guard(store, "data/aa/2", in_s(HOUR), &e), 1);
	ck_assert_int_eq(store_hold(store, "data/aa/1", false, &e), 1);
	ahead_s = 3 * HOUR + 2;
	ck_ok(store_remove(store, "data/aa/1", &e));
	ck_ok(store_remove(store, "data/aa/2", &e));
	ahead_s = 0;
}

/* So many that the story's own end is among them. */
#define STEPS_MAX 100

static void at_each_step(seam_hook *hook)
{
	bool ended = false;
	unsigned int at;

	for (at = 1; !ended && at < STEPS_MAX; at++) {
		set_up(true);
		put("data/aa/1", 0);
		ended = tell_story(hook, at);
		check_after();
		tear_down();
	}
	ck_assert(ended);
	ck_assert_uint_gt(at, 15);
}

START_TEST(who_dies_while_guarding_is_mended_by_the_next)
{
	at_each_step(die);
}
END_TEST

START_TEST(a_step_that_fails_is_told_and_mended_by_the_next)
{
	at_each_step(fail_once);
}
END_TEST

/* Whatever fails while it is lengthened, it is guarded all along. */
START_TEST(a_step_that_fails_lets_nothing_go)
{
	set_up(true);
	put("data/aa/1", 0);
	ck_assert_int_eq(store_guard(store, "data/aa/1", in_s(HOUR), &e), 1);
	calls = die_at = 0;
	do {
		die_at++;
		ck_assert_uint_lt(die_at, STEPS_MAX);
		calls = 0;
		seam_set_hook(fail_once, NULL);
		(void)!store_guard(store, "data/aa/1", in_s(HOUR + 60 * die_at),
				   &e);
		seam_set_hook(NULL, NULL);
		ck_assert_int_eq(flags_of("data/aa/1"), FS_IMMUTABLE_FL);
		ck_assert_int_ge(guard_of(store, "data/aa/1").until.sec,
				 in_s(HOUR - 60).sec);
	} while (calls >= die_at);
	ck_assert_uint_gt(die_at, 4);
	ahead_s = 3 * HOUR;
	ck_ok(store_remove(store, "data/aa/1", &e));
	tear_down();
}
END_TEST

/* A hold that was there is not lost by one who dies while lengthening. */
START_TEST(a_hold_outlives_who_died)
{
	set_up(true);
	put("holds/1", 0);
	ck_assert_int_eq(store_hold(store, "holds/1", true, &e), 1);
	ck_assert(guard_place_change(path_of("holds/1"), 0, FS_IMMUTABLE_FL));
	ck_assert(!is_guarded(store, "holds/1"));
	ck_assert_int_eq(store_guard(store, "holds/1", in_s(HOUR), &e), 1);
	ck_assert(guard_of(store, "holds/1").held);
	ck_assert_int_eq(store_hold(store, "holds/1", false, &e), 1);
	ahead_s = HOUR + 2;
	ck_ok(store_remove(store, "holds/1", &e));
	tear_down();
}
END_TEST

static void stop(void)
{
	guard_place_end(&place);
}

/* In the program itself: all of it is skipped. */
static void start(void)
{
	if (!guard_place_begin(&place))
		exit(77);
}

static void cases(TCase *tc)
{
	tcase_add_unchecked_fixture(tc, start, stop);
	tcase_add_test(tc, what_is_guarded_nobody_removes);
	tcase_add_test(tc, what_was_guarded_can_be_replaced);
	tcase_add_test(tc, what_does_not_say_until_when_is_held);
	tcase_add_test(tc, a_folder_that_is_not_append_only_has_no_guards);
	tcase_add_test(tc, nothing_goes_from_the_folder_itself);
	tcase_add_test(tc, it_takes_a_capability);
	tcase_add_test(tc, who_dies_while_guarding_is_mended_by_the_next);
	tcase_add_test(tc, a_step_that_fails_is_told_and_mended_by_the_next);
	tcase_add_test(tc, a_step_that_fails_lets_nothing_go);
	tcase_add_test(tc, a_hold_outlives_who_died);
}

CHECK_MAIN("storage/local/guard", cases)

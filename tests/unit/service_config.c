#include "service/config.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "tests/support/alloc_fail.h"
#include "tests/support/check_main.h"
#include "tests/support/scratch.h"

static struct err e;
static struct problem_list problems;
static struct scratch dir;
static char etc[SCRATCH_PATH + 32];
static char *environment[8];

static void put(const char *name, const char *text)
{
	char path[SCRATCH_PATH];

	ck_ok(file_replace(scratch_path(&dir, name, path), text, strlen(text),
			   0600, &e));
}

static void begin(void)
{
	scratch_init(&dir);
	(void)snprintf(etc, sizeof(etc), "SNAPCTL_ETC=%s", dir.path);
	memset(environment, 0, sizeof(environment));
	environment[0] = etc;
	problem_init(&problems);
}

static void end(void)
{
	problem_done(&problems);
	scratch_done(&dir);
}

static struct config_input input(void)
{
	return (struct config_input){ .environment = environment,
				      .daemon = true };
}

/* What is wrong, with the folder's name left out. */
static void check_problems(const char *expected)
{
	CLEANUP(buf_done) struct buf b = { 0 };
	char found[4096] = "";
	const size_t n = strlen(dir.path);

	buf_init(&b, 1 << 16);
	ck_ok(problem_format(&problems, &b, &e));
	for (const char *p = buf_str(&b); *p; p++) {
		const size_t used = strlen(found);

		if (strncmp(p, dir.path, n) == 0)
			p += n + 1;
		ck_assert_uint_lt(used, sizeof(found) - 1);
		found[used] = *p;
		found[used + 1] = '\0';
	}
	ck_assert_str_eq(found, expected);
}

START_TEST(built_in_values_are_those_of_the_design)
{
	CLEANUP(config_free) struct config *c = NULL;
	struct config_input in = { .daemon = true };
	char *nothing[] = { NULL };

	in.environment = nothing;
	ck_ok(config_load(&in, &c, &problems, &e));
	ck_assert_str_eq(config_text(c, CONFIG_STATE), "/var/lib/snapctl");
	ck_assert_str_eq(config_text(c, CONFIG_KEYS), "/etc/snapctl/keys");
	ck_assert_str_eq(config_text(c, CONFIG_CACHE), "/var/cache/snapctl");
	ck_assert_str_eq(config_text(c, CONFIG_SOCKET),
			 "/run/snapctl/snapctl.sock");
	ck_assert_str_eq(config_text(c, CONFIG_GROUP), "snapctl");
	ck_assert_int_eq(config_ms(c, CONFIG_GRACE), INT64_C(86400000));
	ck_assert_int_eq(config_ms(c, CONFIG_COOLING_OFF), INT64_C(604800000));
	ck_assert_int_eq(config_number(c, CONFIG_CONCURRENCY), 4);
	ck_assert_uint_eq(config_bytes(c, CONFIG_REQUEST_BYTES), 4 << 20);
}
END_TEST

START_TEST(a_user_gets_folders_of_their_own)
{
	CLEANUP(config_free) struct config *c = NULL;
	CLEANUP(config_free) struct config *d = NULL;
	struct config_input in = { .uid = 1000, .daemon = true };
	char *home[] = { (char[]){ "HOME=/nowhere/u" }, NULL };
	char *all[] = { (char[]){ "HOME=/nowhere/u" },
			(char[]){ "XDG_STATE_HOME=/nowhere/s" },
			(char[]){ "XDG_CACHE_HOME=relative" },
			(char[]){ "XDG_CONFIG_HOME=/nowhere/c" },
			(char[]){ "XDG_RUNTIME_DIR=/nowhere/r" },
			NULL };
	char *none[] = { NULL };

	in.environment = home;
	ck_ok(config_load(&in, &c, &problems, &e));
	ck_assert_str_eq(config_text(c, CONFIG_STATE),
			 "/nowhere/u/.local/state/snapctl");
	ck_assert_str_eq(config_text(c, CONFIG_KEYS),
			 "/nowhere/u/.config/snapctl/keys");
	ck_assert_str_eq(config_text(c, CONFIG_SOCKET),
			 "/nowhere/u/.local/state/snapctl/snapctl.sock");
	in.environment = all;
	ck_ok(config_load(&in, &d, &problems, &e));
	ck_assert_str_eq(config_text(d, CONFIG_STATE), "/nowhere/s/snapctl");
	ck_assert_str_eq(config_text(d, CONFIG_CACHE),
			 "/nowhere/u/.cache/snapctl");
	ck_assert_str_eq(config_text(d, CONFIG_KEYS),
			 "/nowhere/c/snapctl/keys");
	ck_assert_str_eq(config_text(d, CONFIG_SOCKET),
			 "/nowhere/r/snapctl/snapctl.sock");
	in.environment = none;
	d = (config_free(d), NULL);
	ck_assert_int_eq(config_load(&in, &d, &problems, &e), -1);
	ck_assert_int_eq(e.code, ERR_USAGE);
	problem_done(&problems);
}
END_TEST

START_TEST(later_layers_win_and_are_remembered)
{
	const struct config_flag flag = { CONFIG_TICK, "9s" };
	CLEANUP(config_free) struct config *c = NULL;
	CLEANUP(buf_done) struct buf b = { 0 };
	struct config_input in;
	char expected[SCRATCH_PATH + 128];
	struct json j;

	begin();
	put("environment.yaml", "tick: 2s\ngrace: 2h\ngroup: a\nstate: /a\n"
				"cache: /a\n");
	put("snapctld.yaml", "# ours\ntick: 3s\ngrace: 3h\ngroup: b\n"
			     "state: /b\n");
	put("instance.yaml", "tick: 4s\ngrace: 4h\ngroup: c\n");
	environment[1] = (char[]){ "SNAPCTL_TICK=5s" };
	environment[2] = (char[]){ "SNAPCTL_GRACE=5h" };
	in = input();
	in.flags = &flag;
	in.flag_count = 1;
	ck_ok(config_load(&in, &c, &problems, &e));
	ck_assert_int_eq(config_ms(c, CONFIG_TICK), 9000);
	ck_assert_int_eq(config_ms(c, CONFIG_GRACE), INT64_C(18000000));
	ck_assert_str_eq(config_text(c, CONFIG_GROUP), "c");
	ck_assert_str_eq(config_text(c, CONFIG_STATE), "/b");
	ck_assert_str_eq(config_text(c, CONFIG_CACHE), "/a");
	ck_assert_int_eq(config_layer_of(c, CONFIG_TICK), CONFIG_LAYER_FLAG);
	ck_assert_int_eq(config_layer_of(c, CONFIG_SOCKET),
			 CONFIG_LAYER_BUILT_IN);
	buf_init(&b, 1 << 16);
	json_init(&j, json_to_buf, &b);
	config_write(c, true, &j);
	ck_ok(json_finish(&j, &e));
	(void)snprintf(expected, sizeof(expected),
		       "{\"key\":\"state\",\"value\":\"/b\",\"layer\":"
		       "\"snapctld.yaml\",\"file\":\"%s/snapctld.yaml\","
		       "\"line\":5}",
		       dir.path);
	ck_assert_ptr_nonnull(strstr(buf_str(&b), expected));
	ck_assert_ptr_nonnull(
		strstr(buf_str(&b),
		       "{\"key\":\"grace\",\"value\":\"5h\",\"layer\":"
		       "\"environment\",\"file\":\"SNAPCTL_GRACE\",\"line\":"
		       "null}"));
	end();
}
END_TEST

static int load_and_free(void *arg UNUSED, struct err *why)
{
	CLEANUP(config_free) struct config *c = NULL;
	CLEANUP(problem_done) struct problem_list none;
	const struct config_input in = input();

	problem_init(&none);
	return config_load(&in, &c, &none, why);
}

START_TEST(want_of_memory_is_said_and_leaves_nothing)
{
	begin();
	put("snapctld.yaml", "tick: 3s\ngroup: b\n");
	environment[1] = (char[]){ "SNAPCTL_GRACE=5h" };
	ck_assert_uint_gt(alloc_fail_each(load_and_free, NULL), 20);
	end();
}
END_TEST

START_TEST(config_names_another_instance_file)
{
	CLEANUP(config_free) struct config *c = NULL;
	struct config_input in;
	char path[SCRATCH_PATH];

	begin();
	put("instance.yaml", "tick: 4s\n");
	put("other.yaml", "tick: 7s\n");
	in = input();
	in.config_file = scratch_path(&dir, "other.yaml", path);
	ck_ok(config_load(&in, &c, &problems, &e));
	ck_assert_int_eq(config_ms(c, CONFIG_TICK), 7000);
	config_free(c);
	c = NULL;
	in.config_file = scratch_path(&dir, "absent.yaml", path);
	ck_assert_int_eq(config_load(&in, &c, &problems, &e), -1);
	ck_assert_ptr_nonnull(strstr(e.text, "absent.yaml"));
	end();
}
END_TEST

START_TEST(all_that_is_wrong_is_said)
{
	CLEANUP(config_free) struct config *c = NULL;
	CLEANUP(buf_done) struct buf b = { 0 };
	struct config_input in;
	struct json j;
	bool ok = true;

	begin();
	put("environment.yaml", "tick: 0s\nlogLevel: loud\nlisten: here:1\n"
				"concurrency: many\nstate: relative\n");
	put("snapctld.yaml", "tik: 3s\ngrace: 3w\ncolour: red\n"
			     "requestBytes: 10X\ntick: 10\n");
	put("instance.yaml", "- a\n");
	environment[1] = (char[]){ "SNAPCTL_TIKC=5s" };
	environment[2] = (char[]){ "SNAPCTL_GRACE=never" };
	environment[3] = (char[]){ "SNAPCTL_REPO=/r" };
	environment[4] = (char[]){ "SNAPCTL_TEST_CLOCK=5" };
	in = input();
	ck_assert_int_eq(config_load(&in, &c, &problems, &e), -1);
	ck_assert_int_eq(e.code, ERR_USAGE);
	check_problems(
		"environment.yaml:1:7: tick: found \"0s\", expected a "
		"duration as 1d12h30m (m = minutes), from 1s to 1h\n"
		"environment.yaml:2:11: logLevel: found \"loud\", expected "
		"one of error|warn|info|debug\n"
		"environment.yaml:3:1: found the setting \"listen\", which "
		"there is not; snapctl config show lists the settings\n"
		"environment.yaml:4:14: concurrency: found the text \"many\", "
		"expected a whole number from 1 to 1024\n"
		"environment.yaml:5:8: state: found \"relative\", expected an "
		"absolute path\n"
		"snapctld.yaml:1:1: found the setting \"tik\", which there is "
		"not; did you mean \"tick\"?\n"
		"snapctld.yaml:2:8: grace: found \"3w\", expected a duration "
		"as 1d12h30m (m = minutes), from 0s to 3660d\n"
		"snapctld.yaml:3:1: found the setting \"colour\", which there "
		"is not; snapctl config show lists the settings\n"
		"snapctld.yaml:4:15: requestBytes: found \"10X\", expected "
		"bytes as 64K, 10M or 2G, from 65536 to 1073741824\n"
		"snapctld.yaml:5:7: tick: found the number 10, expected a "
		"duration as 1d12h30m (m = minutes), from 1s to 1h\n"
		"instance.yaml:1:1: found a list, expected a map of "
		"settings\n"
		"SNAPCTL_TIKC: warning: this variable sets nothing; did you "
		"mean \"SNAPCTL_TICK\"?\n"
		"SNAPCTL_GRACE: grace: found \"never\", expected a duration "
		"as 1d12h30m (m = minutes), from 0s to 3660d\n");
	buf_init(&b, 1 << 16);
	json_init(&j, json_to_buf, &b);
	ck_ok(config_check(&in, &j, &ok, &e));
	ck_ok(json_finish(&j, &e));
	ck_assert(!ok);
	ck_assert_int_eq(strncmp(buf_str(&b), "{\"ok\":false,\"files\":[", 21),
			 0);
	end();
}
END_TEST

START_TEST(the_table_is_whole)
{
	CLEANUP(buf_done) struct buf b = { 0 };
	struct json j;

	for (size_t i = 0; i < CONFIG_KEY_COUNT; i++) {
		const struct config_setting *s = config_setting(i);

		ck_assert_ptr_nonnull(s->doc);
		ck_assert_int_eq(config_flag_named(s->flag), (int)i);
		ck_assert_int_eq(strncmp(s->env, "SNAPCTL_", 8), 0);
	}
	ck_assert_ptr_null(config_setting(CONFIG_KEY_COUNT));
	ck_assert_int_eq(config_flag_named("nothing"), -1);
	buf_init(&b, 1 << 16);
	json_init(&j, json_to_buf, &b);
	config_describe(&j);
	ck_ok(json_finish(&j, &e));
	ck_assert_ptr_null(strstr(buf_str(&b), "null"));
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, built_in_values_are_those_of_the_design);
	tcase_add_test(tc, a_user_gets_folders_of_their_own);
	tcase_add_test(tc, later_layers_win_and_are_remembered);
	tcase_add_test(tc, want_of_memory_is_said_and_leaves_nothing);
	tcase_add_test(tc, config_names_another_instance_file);
	tcase_add_test(tc, all_that_is_wrong_is_said);
	tcase_add_test(tc, the_table_is_whole);
}

CHECK_MAIN("service/config", cases)

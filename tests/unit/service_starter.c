/* What is started for a run that is confined: service/starter.h. */
#include "service/starter.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/child.h"
#include "base/descriptors.h"
#include "service/guardian.h"
#include "service/resource.h"
#include "tests/support/check_main.h"
#include "tests/support/hostile_control.h"

static struct err e;

static struct resource *source(const char *name, const char *spec)
{
	const struct resource_form form = { .kind = "Source",
					    .name = name,
					    .spec_json = spec };
	struct resource *r = NULL;

	ck_ok(resource_from_form(&form, &r, &e));
	return r;
}

static struct resource *sources[4];
static struct run run = { .sources = sources, .source_count = 4 };

static void begin(void)
{
	sources[0] = source("tree", "{\"type\":\"files\",\"paths\":[\"/etc\"],"
				    "\"hooks\":[{\"when\":\"before\",\"argv\":"
				    "[\"/bin/freeze\",\"/srv\"]},{\"when\":"
				    "\"after\",\"argv\":[\"/bin/thaw\"],"
				    "\"user\":\"root\"}]}");
	sources[1] = source("dump", "{\"type\":\"command\",\"argv\":["
				    "\"/bin/dump\",\"shop\"],\"user\":\"pg\","
				    "\"environment\":[\"PGHOST=/run/pg\"]}");
	sources[2] = source("disk", "{\"type\":\"volume\",\"paths\":[\"/d\"],"
				    "\"content\":\"files\",\"create\":["
				    "\"/bin/lv\",\"-n{}\",\"/v/{}\"],"
				    "\"locate\":[\"/bin/where\"],\"remove\":["
				    "\"/bin/rm\",\"{}\"]}");
	sources[3] = source("plain", "{\"type\":\"files\",\"paths\":"
				     "[\"/srv\"]}");
}

static void end(void)
{
	for (size_t i = 0; i < 4; i++)
		resource_free(sources[i]);
}

#define NAME  "snapctl-disk-0123456789abcdef"
#define OTHER "/etc/passwd/aaaaaaaaaaaaaaaaa" /* as long */

static const struct {
	const char *request;
	bool may;
} starts[] = {
	{ "{\"argv\":[\"/bin/dump\",\"shop\"],\"environment\":[\"PGHOST=/run/"
	  "pg\"],\"user\":\"pg\"}",
	  true },
	/* Another user, environment, or argument; one more, and one less. */
	{ "{\"argv\":[\"/bin/dump\",\"shop\"],\"environment\":[\"PGHOST=/run/"
	  "pg\"],\"user\":\"root\"}",
	  false },
	{ "{\"argv\":[\"/bin/dump\",\"shop\"],\"environment\":[\"PGHOST=/run/"
	  "pg\"]}",
	  false },
	{ "{\"argv\":[\"/bin/dump\",\"shop\"],\"environment\":[\"LD_PRELOAD=/"
	  "x\"],\"user\":\"pg\"}",
	  false },
	{ "{\"argv\":[\"/bin/dump\",\"shop\"],\"environment\":[\"PGHOST=/run/"
	  "pg\",\"A=b\"],\"user\":\"pg\"}",
	  false },
	{ "{\"argv\":[\"/bin/dump\",\"shops\"],\"environment\":[\"PGHOST=/run/"
	  "pg\"],\"user\":\"pg\"}",
	  false },
	{ "{\"argv\":[\"/bin/dump\",\"shop\",\"x\"],\"environment\":[\"PGHOST=/"
	  "run/pg\"],\"user\":\"pg\"}",
	  false },
	{ "{\"argv\":[\"/bin/dump\"],\"environment\":[\"PGHOST=/run/pg\"],"
	  "\"user\":\"pg\"}",
	  false },
	{ "{\"argv\":[\"/bin/sh\",\"-c\",\"x\"],\"environment\":[]}", false },
	{ "{\"argv\":[],\"environment\":[]}", false },
	{ "{}", false },
	{ "[]", false },
	{ "", false },
	/* A hook, or a provider's create, is for guardians. */
	{ "{\"argv\":[\"/bin/freeze\",\"/srv\"],\"environment\":[]}", false },
	{ "{\"argv\":[\"/bin/lv\",\"-n" NAME "\",\"/v/" NAME
	  "\"],\"environment\":[]}",
	  false },
	/* The name comes last, and is one of ours. */
	{ "{\"argv\":[\"/bin/where\",\"" NAME "\"],\"environment\":[]}", true },
	{ "{\"argv\":[\"/bin/where\",\"" NAME "\"],\"environment\":[],\"user\":"
	  "\"pg\"}",
	  false },
	{ "{\"argv\":[\"/bin/where\"],\"environment\":[]}", false },
	{ "{\"argv\":[\"/bin/where\",\"snapctl-dump-0123456789abcdef\"],"
	  "\"environment\":[]}",
	  false },
	{ "{\"argv\":[\"/bin/where\",\"snapctl-disk-0123456789abcdeg\"],"
	  "\"environment\":[]}",
	  false },
	{ "{\"argv\":[\"/bin/where\",\"snapctl-disk-0123456789abcde\"],"
	  "\"environment\":[]}",
	  false },
	{ "{\"argv\":[\"/bin/where\",\"/etc/passwd\"],\"environment\":[]}",
	  false },
	{ "{\"argv\":[\"/bin/where\",\"" NAME "\",\"" NAME
	  "\"],\"environment\":[]}",
	  false },
};

START_TEST(only_what_is_declared_is_started)
{
	begin();
	for (size_t i = 0; i < sizeof(starts) / sizeof(*starts); i++)
		ck_assert_msg(starter_may_start(&run, starts[i].request) ==
				      starts[i].may,
			      "%s", starts[i].request);
	end();
}
END_TEST

#define HOOK(when, argv) "{\"when\":\"" when "\",\"argv\":[" argv "]}"
#define FREEZE		 "\"/bin/freeze\",\"/srv\""
#define THAW		 "{\"when\":\"after\",\"argv\":[\"/bin/thaw\"],\"user\":\"root\"}"

static const struct {
	const char *hooks;
	bool may;
} plans[] = {
	{ HOOK("before", FREEZE), true },
	{ HOOK("before", FREEZE) "," THAW, true },
	{ THAW, true },
	{ HOOK("after", "\"/bin/thaw\""), false }, /* as another user */
	{ HOOK("always", FREEZE), false },
	{ HOOK("before", "\"/bin/freeze\",\"/\""), false },
	{ HOOK("before", FREEZE) "," HOOK("after", "\"/bin/sh\""), false },
	{ "", false },
	/* In each hole the same name. */
	{ HOOK("before", "\"/bin/lv\",\"-n" NAME "\",\"/v/" NAME "\""), true },
	{ HOOK("before", "\"/bin/lv\",\"-n" NAME
			 "\",\"/v/snapctl-disk-ffffffffffffffff\""),
	  false },
	{ HOOK("before", "\"/bin/lv\",\"-n" NAME "\",\"/v/" NAME "x\""),
	  false },
	{ HOOK("before", "\"/bin/lv\",\"-n{}\",\"/v/{}\""), false },
	{ HOOK("before", "\"/bin/lv\",\"-n\",\"/v/\""), false },
	{ HOOK("before", "\"/bin/lv\",\"-n" OTHER "\",\"/v/" OTHER "\""),
	  false },
	{ HOOK("always", "\"/bin/lv\",\"-n" NAME "\",\"/v/" NAME "\""), false },
	{ HOOK("always", "\"/bin/rm\",\"" NAME "\""), true },
	{ HOOK("always", "\"/bin/rm\",\"../" NAME "\""), false },
	{ HOOK("always", "\"/bin/rm\",\"" NAME "\",\"" NAME "\""), false },
	{ HOOK("before", "\"/bin/rm\",\"" NAME "\""), false },
};

START_TEST(only_what_is_declared_is_a_plan)
{
	char plan[1024];

	begin();
	for (size_t i = 0; i < sizeof(plans) / sizeof(*plans); i++) {
		(void)snprintf(plan, sizeof(plan),
			       "{\"name\":\"x\",\"limit_ms\":1,\"hooks\":[%s]}",
			       plans[i].hooks);
		ck_assert_msg(starter_may_guard(&run, plan) == plans[i].may,
			      "%s", plan);
	}
	ck_assert(!starter_may_guard(&run, "{}"));
	end();
}
END_TEST

START_TEST(some_need_none)
{
	struct resource drill = { .kind = 0 };

	begin();
	ck_assert(starter_is_needed(&run));
	run.sources = sources + 3;
	run.source_count = 1;
	ck_assert(!starter_is_needed(&run));
	run.sources = sources;
	run.source_count = 4;
	run.drill = &drill;
	ck_assert(!starter_is_needed(&run));
	run.drill = NULL;
	end();
}
END_TEST

/* ---- The process -------------------------------------------------------- */

static int started(const char *script, const char *user, struct child_tail *out,
		   struct child_tail *said)
{
	const char *const argv[] = { "/bin/sh", "-c", script };
	const struct child_options o = {
		.argv = argv, .argc = 3, .user = user, .apart = true
	};
	struct child c;
	int status;

	if (child_start(&c, &o, &e) < 0)
		return -1;
	if (child_watch(&c, 60000, NULL, out, said) != CHILD_ENDED)
		return -2;
	status = child_end(&c);
	(void)child_tail_read(out, c.out);
	(void)child_tail_read(said, c.err);
	child_drop(&c);
	return status;
}

/* In a process of its own, for there is one starter in each. */
static int by_a_starter(void)
{
	struct child_tail out = { 0 }, said = { 0 };
	char spec[300];

	(void)snprintf(spec, sizeof(spec),
		       "{\"type\":\"command\",\"argv\":[\"/bin/sh\",\"-c\","
		       "\"echo $PPID; echo $1 oops >&2; exit 3\"]}");
	sources[0] = source("dump", spec);
	run.source_count = 1;
	if (starter_is_there() || starter_begin(&run, &e) < 0 ||
	    !starter_is_there())
		return 1;
	for (int i = 0; i < 20; i++) {
		const int status = started("echo $PPID; echo $1 oops >&2; "
					   "exit 3",
					   NULL, &out, &said);

		if (status != 3 << 8)
			return 2;
	}
	/* Its parent is neither this process nor its parent. */
	if (strtol(out.bytes, NULL, 10) == getpid() ||
	    strtol(out.bytes, NULL, 10) == getppid() ||
	    strtol(out.bytes, NULL, 10) < 2)
		return 3;
	if (said.len != 20 * strlen("oops\n"))
		return 4;
	if (started("echo $PPID", NULL, &out, &said) != -1 ||
	    e.code != ERR_DENIED)
		return 5;
	return 0;
}

START_TEST(another_process_starts_it)
{
	const pid_t child = check_fork_child();
	int status = 0;

	if (child == 0)
		_exit(by_a_starter());
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
}
END_TEST

/* ---- A run that was taken over ------------------------------------------ */

static int hostile = -1; /* its end of the socket */

static bool hostile_begin(const char *script)
{
	static const char form[] = "{\"type\":\"command\",\"argv\":[\"/bin/"
				   "sh\",\"-c\",\"%s\"]}";
	char spec[300];

	(void)snprintf(spec, sizeof(spec), form, script);
	sources[0] = source("dump", spec);
	run.source_count = 1;
	/* It gets the lowest number that is free. */
	hostile = dup(0);
	return hostile >= 0 && close(hostile) == 0 &&
	       starter_begin(&run, &e) == 0;
}

static bool hostile_asks(const char *request)
{
	return guardian_send(hostile, request, strlen(request), &e) == 0;
}

/* Of the starter, which dies of nothing that it is sent. */
static bool ends_well(void)
{
	int status = -1;

	return shutdown(hostile, SHUT_WR) == 0 && wait(&status) > 0 &&
	       status == 0;
}

static const struct {
	size_t first, second;
	bool answered;
} sent[] = {
	{ 0, 0, false }, { 1, 0, false }, { 2, 0, true },   { 3, 0, false },
	{ 4, 0, false }, { 5, 0, false }, { 16, 0, false }, { 1, 1, true },
	{ 2, 2, false }, { 1, 3, false }, { 4, 4, false },  { 16, 16, false },
};

/* What it said is none of a source: with two it is told so, else nothing. */
static int hands_over(size_t i)
{
	CLEANUP(buf_done) struct buf answer;
	int got;

	buf_init(&answer, GUARDIAN_FRAME_MAX + 1);
	if (!hostile_begin("exit 3"))
		return 1;
	if (!hostile_asks("{\"do\":\"guard\",\"plan\":{\"hooks\":[]}}") ||
	    !hostile_control(hostile, sent[i].first, sent[i].second))
		return 2;
	got = guardian_receive(hostile, &answer, &e);
	if (got != sent[i].answered)
		return 3;
	if (got == 1 && !strstr(buf_str(&answer), "no source of this run"))
		return 4;
	return ends_well() ? 0 : 5;
}

START_TEST(it_takes_two_descriptors_and_no_others)
{
	const pid_t child = check_fork_child();
	int status = 0;

	if (child == 0)
		_exit(hands_over((size_t)_i));
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_msg(status == 0, "%zu and %zu descriptors: %d",
		      sent[_i].first, sent[_i].second, WEXITSTATUS(status));
}
END_TEST

/* {"id","pid"} and two descriptors, as of a program that has ended. */
static bool hostile_starts(pid_t *ret)
{
	CLEANUP(buf_done) struct buf answer;
	struct pollfd ended = { .events = POLLIN };
	const char *pid;
	int fds[2];

	buf_init(&answer, GUARDIAN_FRAME_MAX + 1);
	if (!hostile_asks("{\"do\":\"start\",\"argv\":[\"/bin/sh\",\"-c\","
			  "\"exit 3\"]}") ||
	    guardian_receive(hostile, &answer, &e) != 1)
		return false;
	pid = strstr(buf_str(&answer), "\"pid\":");
	if (!pid || descriptors_receive(hostile, fds, 2, &e) < 0)
		return false;
	*ret = (pid_t)strtol(pid + strlen("\"pid\":"), NULL, 10);
	ended.fd = fds[0];
	return poll(&ended, 1, -1) == 1;
}

/* Else the number is free, and the next "end" kills who has it by then. */
static int waits_for_a_program(void)
{
	CLEANUP(buf_done) struct buf answer;
	char request[64];
	pid_t pid = -1;

	buf_init(&answer, GUARDIAN_FRAME_MAX + 1);
	if (!hostile_begin("exit 3") || !hostile_starts(&pid))
		return 1;
	(void)snprintf(request, sizeof(request), "{\"do\":\"wait\",\"pid\":%d}",
		       (int)pid);
	if (!hostile_asks(request) ||
	    guardian_receive(hostile, &answer, &e) != 1)
		return 2;
	buf_clear(&answer);
	if (!hostile_asks("{\"do\":\"end\",\"id\":0}") ||
	    guardian_receive(hostile, &answer, &e) != 1)
		return 3;
	if (!strstr(buf_str(&answer), "\"status\":768"))
		return 4;
	return ends_well() ? 0 : 5;
}

START_TEST(only_guardians_are_waited_for)
{
	const pid_t child = check_fork_child();
	int status = 0;

	if (child == 0)
		_exit(waits_for_a_program());
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, only_what_is_declared_is_started);
	tcase_add_test(tc, only_what_is_declared_is_a_plan);
	tcase_add_test(tc, some_need_none);
	tcase_add_test(tc, another_process_starts_it);
	tcase_add_loop_test(tc, it_takes_two_descriptors_and_no_others, 0,
			    (int)(sizeof(sent) / sizeof(*sent)));
	tcase_add_test(tc, only_guardians_are_waited_for);
}

CHECK_MAIN("service/starter", cases)

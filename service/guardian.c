#include "service/guardian.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/seam.h"
#include "base/text.h"
#include "service/jsontree.h"

#define LOG_MAX (1U << 20)

/* ---- Frames ------------------------------------------------------------- */

int guardian_send(int fd, const void *bytes, size_t n, struct err *e)
{
	uint8_t head[4];
	const uint8_t *parts[2] = { head, bytes };
	const size_t lengths[2] = { sizeof(head), n };

	for (unsigned int i = 0; i < 4; i++)
		head[i] = (uint8_t)(n >> (8 * i));
	for (unsigned int i = 0; i < 2; i++) {
		size_t done = 0;

		while (done < lengths[i]) {
			const ssize_t k = send(fd, parts[i] + done,
					       lengths[i] - done, MSG_NOSIGNAL);

			if (k < 0 && errno == EINTR)
				continue;
			if (k < 0)
				return err_sys(e, "cannot reach the guardian "
						  "of the hooks");
			done += (size_t)k;
		}
	}
	return 0;
}

int guardian_receive(int fd, struct buf *out, struct err *e)
{
	uint8_t head[4];
	ssize_t got = file_read(fd, head, sizeof(head));
	uint32_t n = 0;

	if (got == 0)
		return 0;
	for (unsigned int i = 0; i < 4; i++)
		n |= (uint32_t)head[i] << (8 * i);
	if (got != sizeof(head) || n > GUARDIAN_FRAME_MAX)
		return err_set(e, ERR_IO, "the hooks' socket broke off");
	buf_clear(out);
	if (buf_add_zeros(out, (size_t)n + 1, e) < 0)
		return -1;
	out->len = n;
	got = file_read(fd, out->data, n);
	return got == (ssize_t)n
		       ? 1
		       : err_set(e, ERR_IO, "the hooks' socket broke off");
}

int guardian_boot(char out[64], struct err *e)
{
	CLEANUP(buf_done) struct buf b;

	buf_init(&b, 63);
	if (file_read_all("/proc/sys/kernel/random/boot_id", &b, e) < 0)
		return -1;
	(void)snprintf(out, 64, "%.*s", (int)strcspn(buf_str(&b), "\n"),
		       buf_str(&b));
	return 0;
}

/* ---- One hook ----------------------------------------------------------- */

struct guardian {
	int fd;
	int journal_fd;
	json_t *plan;
	const char *name; /* "source web of run 5" */
	bool begun;	  /* before was asked for */
	bool due;	  /* after is */
	bool lost;	  /* the run is gone, or wants it all to end */
	bool late;	  /* it did not ask in time */
	bool kept;	  /* what is due is in the journal still */
	int64_t until_ms; /* when it should have */
	/* The answer that is being put together, or waits for its question. */
	struct buf answer;
	struct json reply;
	char failed[700];
	/* Lines that wait: the log may lie on what is frozen. */
	struct buf log;
};

enum how { HOW_ENDED, HOW_TIMED_OUT, HOW_CUT_OFF, HOW_NOT_STARTED };

struct outcome {
	enum how how;
	int status;
	char message[200];
	struct child_tail output;
};

/* Until it ends, its time is over, or, if it may be, the run calls it off. */
static enum how watch(struct guardian *g, const struct child *c,
		      int64_t timeout_ms, bool may_cut, struct child_tail *out)
{
	const int64_t deadline = clock_boot_ms() + timeout_ms;
	struct pollfd fds[3] = {
		{ .fd = c->pid_fd, .events = POLLIN },
		{ .fd = c->out, .events = POLLIN },
		{ .fd = may_cut ? g->fd : -1, .events = POLLIN },
	};

	for (;;) {
		const int64_t left = deadline - clock_boot_ms();

		if (left <= 0)
			return HOW_TIMED_OUT;
		(void)poll(fds, 3, left < 60000 ? (int)left : 60000);
		if (fds[1].revents && !child_tail_read(out, c->out))
			fds[1].fd = -1;
		if (fds[0].revents)
			return HOW_ENDED;
		if (fds[2].revents) {
			g->lost = true;
			return HOW_CUT_OFF;
		}
	}
}

static void tell_how(struct outcome *o, int64_t timeout_ms)
{
	char text[64];

	instant_duration_format(timeout_ms, text);
	if (o->how == HOW_TIMED_OUT)
		(void)snprintf(o->message, sizeof(o->message),
			       "it was not done within %s, and was killed",
			       text);
	else if (o->how == HOW_CUT_OFF)
		(void)snprintf(o->message, sizeof(o->message),
			       "it was killed, since the run was asked to stop "
			       "or died");
	else {
		child_tell_end(o->status, text);
		(void)snprintf(o->message, sizeof(o->message), "%s", text);
	}
}

static const char **arguments(const json_t *list, size_t *ret_n)
{
	const size_t n = json_array_size(list);
	const char **argv = calloc(n + 1, sizeof(*argv));

	for (size_t i = 0; argv && i < n; i++)
		argv[i] = json_string_value(json_array_get(list, i));
	*ret_n = n;
	return argv;
}

static void start_and_watch(struct guardian *g, const json_t *hook,
			    bool may_cut, struct outcome *o)
{
	const int64_t timeout_ms = json_integer_value(
		json_object_get(hook, "timeout_ms"));
	struct child_options options = {
		.user = json_string_value(json_object_get(hook, "user")),
	};
	CLEANUP(child_drop) struct child c;
	struct err e = { 0 };
	const char **argv = arguments(json_object_get(hook, "argv"),
				      &options.argc);

	child_init(&c);
	options.argv = argv;
	*o = (struct outcome){ .how = HOW_NOT_STARTED };
	if (!argv)
		(void)err_oom(&e);
	if (!argv || child_start(&c, &options, &e) < 0) {
		(void)snprintf(o->message, sizeof(o->message), "%.199s",
			       e.text);
	} else {
		o->how = watch(g, &c, timeout_ms, may_cut, &o->output);
		o->status = child_end(&c);
		(void)child_tail_read(&o->output, c.out);
		tell_how(o, timeout_ms);
	}
	free(argv);
}

/* Whether it may have done what it was to do. */
static bool may_have_happened(const struct outcome *o)
{
	return o->how == HOW_TIMED_OUT || o->how == HOW_CUT_OFF ||
	       (o->how == HOW_ENDED &&
		(o->status == 0 || WIFSIGNALED(o->status)));
}

static bool succeeded(const struct outcome *o)
{
	return o->how == HOW_ENDED && o->status == 0;
}

/* hook "/usr/bin/psql" (before) */
static void tell_what(const json_t *hook, char out[400])
{
	const char *called = json_string_value(json_object_get(hook, "called"));
	const char *when = json_string_value(json_object_get(hook, "when"));
	const char *program = json_string_value(
		json_array_get(json_object_get(hook, "argv"), 0));

	if (called)
		(void)snprintf(out, 400, "%s, %s,", called,
			       text_quote_str(program).s);
	else
		(void)snprintf(out, 400, "hook %s (%s)",
			       text_quote_str(program).s, when);
}

static void report(struct guardian *g, const json_t *hook,
		   const struct outcome *o, int64_t ms)
{
	const char *when = json_string_value(json_object_get(hook, "when"));
	const char *program = json_string_value(
		json_array_get(json_object_get(hook, "argv"), 0));
	const char *line;
	const size_t n = child_tail_line(&o->output, &line);
	struct err ignored;
	char called[400];
	char said[220] = "";

	tell_what(hook, called);
	if (n)
		(void)snprintf(said, sizeof(said), ", saying %s",
			       text_quote(line, n).s);
	if (!succeeded(o) && !g->failed[0])
		(void)snprintf(g->failed, sizeof(g->failed),
			       "the %s failed: %s%s", called, o->message, said);
	if (buf_addf(&g->log, &ignored, "%c%s of %s: %s%s",
		     succeeded(o) ? '+' : '-', called, g->name, o->message,
		     said) < 0 ||
	    buf_add(&g->log, "", 1, &ignored) < 0)
		buf_clear(&g->log);
	json_begin_object(&g->reply);
	json_kv_str(&g->reply, "when", when);
	json_kv_str(&g->reply, "program", program);
	json_kv_bool(&g->reply, "passed", succeeded(o));
	json_kv_str(&g->reply, "message", o->message);
	json_key(&g->reply, "output");
	child_tail_write(&o->output, &g->reply);
	json_kv_double(&g->reply, "seconds", (double)ms / 1000.0);
	json_end_object(&g->reply);
}

/* ---- All of a kind ------------------------------------------------------ */

/* Whether the next is to be run, too. */
static bool run_hook(struct guardian *g, const json_t *hook, bool is_before)
{
	const int64_t begun_ms = clock_boot_ms();
	struct outcome o;

	start_and_watch(g, hook, is_before, &o);
	report(g, hook, &o, clock_boot_ms() - begun_ms);
	if (!is_before)
		return true;
	g->due = g->due || may_have_happened(&o);
	return succeeded(&o);
}

static size_t run_all(struct guardian *g, const char *when)
{
	const json_t *hooks = json_object_get(g->plan, "hooks");
	const bool is_before = strcmp(when, "before") == 0;
	size_t n = 0;

	for (size_t i = 0; i < json_array_size(hooks); i++) {
		const json_t *hook = json_array_get(hooks, i);

		if (strcmp(json_string_value(json_object_get(hook, "when")),
			   when) != 0)
			continue;
		n++;
		if (!run_hook(g, hook, is_before))
			break;
	}
	return n;
}

static bool lasts(const struct guardian *g)
{
	return json_is_true(json_object_get(g->plan, "lasts"));
}

/* What another guardian would need to know. */
static int write_journal(const struct guardian *g, struct err *e)
{
	char boot[64];
	char *text;
	json_t *j;
	int failed;

	if (guardian_boot(boot, e) < 0)
		return -1;
	j = json_pack("{sssO}", "boot", boot, "plan", g->plan);
	text = j ? jsontree_dump(j, JSON_COMPACT) : NULL;
	json_decref(j);
	if (!text)
		return err_oom(e);
	failed = seam_pwrite(g->journal_fd, text, strlen(text), 0) < 0 ||
		 (lasts(g) && seam_fsync(g->journal_fd) < 0);
	free(text);
	return failed ? err_sys(e, "cannot write the hooks' journal") : 0;
}

static void forget_journal(const struct guardian *g)
{
	struct err e;

	if (seam_truncate(g->journal_fd, 0) < 0) {
		(void)err_sys(&e, "cannot empty the hooks' journal");
		log_failure(LOG_LEVEL_ERROR, "hooks", &e);
	}
}

static void begin(struct guardian *g)
{
	struct err e;

	g->begun = true;
	g->failed[0] = '\0';
	/* Without it a freeze could outlive us for good.  Nothing else is
	 * written until what it is for is over. */
	if (write_journal(g, &e) < 0)
		(void)snprintf(g->failed, sizeof(g->failed), "%.299s", e.text);
	else if (run_all(g, "before") == 0)
		g->due = true;
}

static void write_log(struct guardian *g)
{
	const char *at = buf_str(&g->log);
	const char *end = at + g->log.len;

	for (; at < end; at += strlen(at) + 1)
		log_event(*at == '+' ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR, "%s",
			  at + 1);
	buf_clear(&g->log);
}

static void finish(struct guardian *g)
{
	const bool was_due = g->due;

	g->failed[0] = '\0';
	if (g->due)
		(void)run_all(g, "after");
	g->due = false;
	(void)run_all(g, "always");
	g->begun = false;
	write_log(g);
	/* What lasts is due until it is done; if there is anything to be. */
	g->kept = g->failed[0] && was_due && lasts(g);
	if (!g->kept)
		forget_journal(g);
}

/* Do it, and have the answer ready. */
static void act(struct guardian *g, void (*what)(struct guardian *g))
{
	struct err e;

	buf_clear(&g->answer);
	json_init(&g->reply, json_to_buf, &g->answer);
	json_begin_object(&g->reply);
	json_key(&g->reply, "hooks");
	json_begin_list(&g->reply);
	what(g);
	json_end_list(&g->reply);
	json_kv_str(&g->reply, "failed", g->failed[0] ? g->failed : NULL);
	json_kv_bool(&g->reply, "late", g->late);
	json_kv_bool(&g->reply, "kept", g->kept);
	json_end_object(&g->reply);
	if (json_finish(&g->reply, &e) < 0)
		buf_clear(&g->answer);
}

/* Nobody need be there to hear it, but who is must not wait in vain. */
static void send_answer(struct guardian *g)
{
	static const char lost[] = "{\"hooks\":[],\"late\":false,\"failed\":"
				   "\"what the hooks did could not be told\"}";
	struct err e;

	if (g->answer.len)
		(void)!guardian_send(g->fd, g->answer.data, g->answer.len, &e);
	else
		(void)!guardian_send(g->fd, lost, strlen(lost), &e);
}

static void answer(struct guardian *g, void (*what)(struct guardian *g))
{
	act(g, what);
	send_answer(g);
}

/* As finish(), unasked. */
static void finish_late(struct guardian *g)
{
	char limit[INSTANT_TEXT];

	char more[300];

	finish(g);
	(void)snprintf(more, sizeof(more), "%s%.290s",
		       g->failed[0] ? "; and " : "", g->failed);
	instant_duration_format(
		json_integer_value(json_object_get(g->plan, "limit_ms")),
		limit);
	(void)snprintf(g->failed, sizeof(g->failed),
		       "what is due after the hooks was done after %s, before "
		       "the snapshot was: spec.quiesceLimit%s",
		       limit, more);
}

/* ---- The process -------------------------------------------------------- */

/* What a run, or a journal, says has to be as we would have written it. */
static bool is_plan(const json_t *plan)
{
	const json_t *hooks = json_object_get(plan, "hooks");
	size_t i;
	json_t *hook;

	if (!json_is_string(json_object_get(plan, "name")) ||
	    !json_is_integer(json_object_get(plan, "limit_ms")) ||
	    !json_is_array(hooks))
		return false;
	json_array_foreach(hooks, i, hook)
	{
		const json_t *argv = json_object_get(hook, "argv");
		size_t k;
		json_t *word;

		if (!json_is_string(json_object_get(hook, "when")) ||
		    !json_is_integer(json_object_get(hook, "timeout_ms")) ||
		    json_array_size(argv) == 0)
			return false;
		json_array_foreach(argv, k, word)
		{
			if (!json_is_string(word))
				return false;
		}
	}
	return true;
}

static int read_file(int fd, struct buf *out, struct err *e)
{
	ssize_t n;

	if (buf_reserve(out, GUARDIAN_FRAME_MAX, e) < 0)
		return -1;
	n = file_pread(fd, out->data, GUARDIAN_FRAME_MAX, 0);
	if (n < 0)
		return err_sys(e, "cannot read a plan of hooks");
	out->len = (size_t)n;
	return 1;
}

static int read_plan(struct guardian *g, int plan_fd, struct err *e)
{
	CLEANUP(buf_done) struct buf b;
	int got;

	buf_init(&b, GUARDIAN_FRAME_MAX + 1);
	got = plan_fd < 0 ? guardian_receive(g->fd, &b, e)
			  : read_file(plan_fd, &b, e);
	if (got <= 0)
		return got;
	g->plan = jsontree_loadb(buf_str(&b), b.len, 0, NULL);
	if (!is_plan(g->plan))
		return err_set(e, ERR_BUG, "a plan of hooks is none");
	g->name = json_string_value(json_object_get(g->plan, "name"));
	return 1;
}

/* Until the run says something; or for as long as it may take to. */
static void wait_for_word(struct guardian *g)
{
	struct pollfd fd = { .fd = g->fd, .events = POLLIN };

	while (g->begun) {
		const int64_t left = g->until_ms - clock_boot_ms();

		if (left <= 0) {
			g->late = true;
			act(g, finish_late);
		} else if (poll(&fd, 1, left < 60000 ? (int)left : 60000) > 0) {
			return;
		}
	}
}

/* One word of the run: whether there will be more. */
static bool serve(struct guardian *g)
{
	CLEANUP(buf_done) struct buf b;
	struct err e;

	buf_init(&b, GUARDIAN_FRAME_MAX + 1);
	if (!g->lost)
		wait_for_word(g);
	if (g->lost || guardian_receive(g->fd, &b, &e) <= 0) {
		if (g->begun)
			answer(g, finish);
		return false;
	}
	if (g->late) {
		send_answer(g);
		return false;
	}
	if (strcmp(buf_str(&b), "\"before\"") == 0 && !g->begun) {
		act(g, begin);
		g->until_ms = clock_boot_ms() +
			      json_integer_value(
				      json_object_get(g->plan, "limit_ms"));
		send_answer(g);
		return true;
	}
	if (strcmp(buf_str(&b), "\"recover\"") == 0)
		g->begun = g->due = true;
	if (g->begun)
		answer(g, finish);
	return false;
}

int guardian_main(int fd, int journal_fd, int plan_fd)
{
	struct guardian g = { .fd = fd, .journal_fd = journal_fd };
	const struct sigaction ignore = { .sa_handler = SIG_IGN };
	struct err e;
	int got;

	/* Who stops the daemon and all its kin still wants things thawed. */
	(void)sigaction(SIGTERM, &ignore, NULL);
	(void)sigaction(SIGINT, &ignore, NULL);
	(void)sigaction(SIGHUP, &ignore, NULL);
	(void)sigaction(SIGPIPE, &ignore, NULL);
	buf_init(&g.log, LOG_MAX);
	buf_init(&g.answer, GUARDIAN_FRAME_MAX);
	got = read_plan(&g, plan_fd, &e);
	if (got < 0)
		log_failure(LOG_LEVEL_ERROR, "the hooks' guardian", &e);
	while (got > 0 && serve(&g))
		;
	json_decref(g.plan);
	buf_done(&g.log);
	buf_done(&g.answer);
	return got < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

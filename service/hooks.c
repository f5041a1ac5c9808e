#include "service/hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/seam.h"
#include "base/text.h"
#include "service/guardian.h"

#define POLL_MS 200
/* How long to wait for the hooks of an earlier run. */
#define BUSY_MS (INT64_C(15) * 60 * 1000)

struct hooks {
	struct hooks_settings settings;
	int fd; /* to the guardian; -1: none */
	int journal_fd;
	pid_t pid;
	bool said_stop; /* it was told that nothing more comes */
	bool is_over;	/* what is due was done, or its guardian is gone */
	json_t *done;	/* a list */
};

/* ---- The guardian ------------------------------------------------------- */

static void become_guardian(void)
{
	static char name[] = "snapctld";
	static char flag[] = "--guard";
	static char number[] = "3";
	char *const argv[] = { name, flag, number, NULL };

	(void)execv("/proc/self/exe", argv);
	_exit(127);
}

/*
 * In the child of a process that may have threads: only what is safe in signal
 * handlers.  What ends the run's process group does not end it.
 */
_Noreturn static void begin_child(const struct hooks *h, int fd)
{
	const struct sigaction ignore = { .sa_handler = SIG_IGN };
	int high[2];

	(void)setsid();
	(void)sigaction(SIGTERM, &ignore, NULL);
	(void)sigaction(SIGINT, &ignore, NULL);
	(void)sigaction(SIGHUP, &ignore, NULL);
	/* Out of the way first: either may be 3 or 4. */
	high[0] = fcntl(fd, F_DUPFD, 5);
	high[1] = fcntl(h->journal_fd, F_DUPFD, 5);
	if (high[0] < 0 || high[1] < 0 || dup2(high[0], 3) < 0 ||
	    dup2(high[1], 4) < 0)
		_exit(126);
	(void)close_range(5, ~0U, 0);
	(h->settings.become ? h->settings.become : become_guardian)();
	_exit(127);
}

static int start_guardian(struct hooks *h, struct err *e)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return err_sys(e, "cannot make a socket for the hooks");
	h->pid = fork();
	if (h->pid == 0)
		begin_child(h, fds[1]);
	file_close(fds[1]);
	h->fd = fds[0];
	h->said_stop = false;
	h->is_over = false;
	if (h->pid < 0)
		return err_sys(e, "cannot start the guardian of the hooks");
	return 0;
}

/* It does what is due when it sees our end closed; wait for that. */
static void end_guardian(struct hooks *h)
{
	file_close(h->fd);
	h->fd = -1;
	while (h->pid > 0 && waitpid(h->pid, NULL, 0) < 0 && errno == EINTR)
		;
	h->pid = -1;
}

static int send_text(struct hooks *h, const char *text, struct err *e)
{
	return guardian_send(h->fd, text, strlen(text), e);
}

/* An answer is there, or we are to stop: then it is told, and cuts short what
 * it runs before. */
static void wait_for_answer(struct hooks *h)
{
	struct pollfd fd = { .fd = h->fd, .events = POLLIN };

	while (poll(&fd, 1, POLL_MS) <= 0) {
		if (h->said_stop || !h->settings.stop ||
		    !atomic_load(h->settings.stop))
			continue;
		(void)shutdown(h->fd, SHUT_WR);
		h->said_stop = true;
	}
}

/* The answer to what was sent; its hooks are added to what was done. */
static int take_answer(struct hooks *h, struct err *e)
{
	CLEANUP(buf_done) struct buf b;
	const char *failed;
	json_t *answer;
	int got;

	buf_init(&b, GUARDIAN_FRAME_MAX + 1);
	wait_for_answer(h);
	got = guardian_receive(h->fd, &b, e);
	if (got < 0)
		return -1;
	if (got == 0) {
		h->is_over = true;
		return err_set(e, ERR_IO,
			       "the guardian of the hooks was killed: what is "
			       "due after them is done by the next run");
	}
	answer = json_loadb(buf_str(&b), b.len, 0, NULL);
	(void)json_array_extend(h->done, json_object_get(answer, "hooks"));
	failed = json_string_value(json_object_get(answer, "failed"));
	if (failed)
		(void)err_set(e, ERR_IO, "%s", failed);
	json_decref(answer);
	return failed ? -1 : 0;
}

/* ---- What it is told ---------------------------------------------------- */

static json_t *texts(const struct resource_texts *t)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < t->count; i++)
		(void)json_array_append_new(list, json_string(t->items[i]));
	return list;
}

static json_t *make_plan(const struct hooks *h)
{
	const struct resource *source = h->settings.source;
	char name[RESOURCE_NAME_MAX + 64];
	json_t *list = json_array();

	for (size_t i = 0; i < source->source.hook_count; i++) {
		const struct resource_hook *k = &source->source.hooks[i];

		(void)json_array_append_new(
			list,
			json_pack("{sssosIss*}", "when", k->when, "argv",
				  texts(&k->argv), "timeout_ms",
				  (json_int_t)k->timeout_ms, "user", k->user));
	}
	(void)snprintf(name, sizeof(name), "source %s of run %jd", source->name,
		       (intmax_t)h->settings.run);
	return json_pack("{ssso}", "name", name, "hooks", list);
}

static int send_plan(struct hooks *h, json_t *plan, struct err *e)
{
	char *text = plan ? json_dumps(plan, JSON_COMPACT) : NULL;
	int failed;

	if (!text)
		return err_oom(e);
	failed = send_text(h, text, e);
	free(text);
	return failed;
}

/* ---- One at a time ------------------------------------------------------ */

static int open_journal(struct hooks *h, struct err *e)
{
	char path[4096];
	const int n = snprintf(path, sizeof(path), "%s/%s", h->settings.folder,
			       h->settings.source->name);

	if (n < 0 || (size_t)n >= sizeof(path))
		return err_set(e, ERR_USAGE,
			       "the state folder's path is too "
			       "long");
	if (file_make_folders(h->settings.folder, 0700, e) < 0)
		return -1;
	h->journal_fd = seam_open(AT_FDCWD, path,
				  O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
				  0600);
	return h->journal_fd < 0
		       ? err_sys(e, "cannot open the hooks' journal %s",
				 text_quote_str(path).s)
		       : 0;
}

static int lock_journal(struct hooks *h, struct err *e)
{
	const int64_t until = clock_boot_ms() + BUSY_MS;

	while (flock(h->journal_fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return err_sys(e, "cannot lock the hooks' journal");
		if (h->settings.stop && atomic_load(h->settings.stop))
			return err_set(e, ERR_INTERRUPTED, "asked to stop");
		if (clock_boot_ms() >= until)
			return err_set(e, ERR_BUSY,
				       "the hooks of an earlier run of this "
				       "source still go on");
		clock_sleep_ms(POLL_MS);
	}
	return 0;
}

/* The plan that a killed guardian left, or NULL. */
static json_t *left_behind(struct hooks *h)
{
	CLEANUP(buf_done) struct buf b;
	char boot[64];
	struct err e;
	ssize_t n;
	json_t *journal;
	json_t *plan = NULL;

	buf_init(&b, GUARDIAN_FRAME_MAX);
	if (buf_reserve(&b, GUARDIAN_FRAME_MAX, &e) < 0)
		return NULL;
	n = file_pread(h->journal_fd, b.data, GUARDIAN_FRAME_MAX, 0);
	journal = n > 0 ? json_loadb((const char *)b.data, (size_t)n, 0, NULL)
			: NULL;
	/* What another boot froze is not frozen any more. */
	if (journal && guardian_boot(boot, &e) == 0 &&
	    json_is_string(json_object_get(journal, "boot")) &&
	    strcmp(json_string_value(json_object_get(journal, "boot")), boot) ==
		    0)
		plan = json_incref(json_object_get(journal, "plan"));
	json_decref(journal);
	return plan;
}

static int recover(struct hooks *h, json_t *plan, struct err *e)
{
	int failed;

	log_event(LOG_LEVEL_WARN,
		  "the guardian of earlier hooks of source %s was killed: what "
		  "it left undone is done now",
		  h->settings.source->name);
	failed = start_guardian(h, e) < 0 || send_plan(h, plan, e) < 0 ||
		 send_text(h, "\"recover\"", e) < 0 || take_answer(h, e) < 0;
	end_guardian(h);
	return failed ? err_wrap(e, "hooks of an earlier run") : 0;
}

static int settle_earlier(struct hooks *h, struct err *e)
{
	json_t *plan = left_behind(h);
	int failed = 0;

	if (plan)
		failed = recover(h, plan, e);
	json_decref(plan);
	/* Also what could not be read, or is another boot's. */
	if (!failed && seam_truncate(h->journal_fd, 0) < 0)
		failed = err_sys(e, "cannot empty the hooks' journal");
	return failed;
}

/* ---- From outside ------------------------------------------------------- */

static int open_all(struct hooks *h, struct err *e)
{
	json_t *plan;
	int failed;

	h->done = json_array();
	if (!h->done)
		return err_oom(e);
	if (open_journal(h, e) < 0 || lock_journal(h, e) < 0 ||
	    settle_earlier(h, e) < 0 || start_guardian(h, e) < 0)
		return -1;
	plan = make_plan(h);
	failed = send_plan(h, plan, e);
	json_decref(plan);
	return failed;
}

int hooks_open(const struct hooks_settings *settings, struct hooks **ret,
	       struct err *e)
{
	struct hooks *h = calloc(1, sizeof(*h));

	if (!h)
		return err_oom(e);
	h->settings = *settings;
	h->fd = -1;
	h->journal_fd = -1;
	h->pid = -1;
	if (open_all(h, e) < 0) {
		hooks_close(h);
		return -1;
	}
	*ret = h;
	return 0;
}

int hooks_before(struct hooks *h, struct err *e)
{
	if (send_text(h, "\"before\"", e) < 0 || take_answer(h, e) < 0)
		return h->said_stop
			       ? err_set(e, ERR_INTERRUPTED, "asked to stop")
			       : -1;
	return 0;
}

int hooks_after(struct hooks *h, struct err *e)
{
	int failed;

	if (h->is_over)
		return 0;
	if (!h->said_stop && send_text(h, "\"after\"", e) < 0)
		return -1;
	failed = take_answer(h, e);
	h->is_over = true;
	return failed;
}

void hooks_write(const struct hooks *h, struct json *j)
{
	char *text = json_dumps(h->done, JSON_COMPACT);

	json_raw(j, text ? text : "[]");
	free(text);
}

void hooks_close(struct hooks *h)
{
	if (!h)
		return;
	end_guardian(h);
	file_close(h->journal_fd);
	json_decref(h->done);
	free(h);
}

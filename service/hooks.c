#include "service/hooks.h"

#include <dirent.h>
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
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/seam.h"
#include "base/text.h"
#include "service/guardian.h"
#include "service/jsontree.h"
#include "service/starter.h"

#define POLL_MS 200
/* What messages call it. */
#define JOURNAL "the journal of what is due after snapshots"
/* How long to wait for the hooks of an earlier run. */
#define BUSY_MS (INT64_C(15) * 60 * 1000)

struct hooks {
	struct hooks_settings settings;
	int fd; /* to the guardian; -1: none */
	int journal_fd;
	pid_t pid;
	bool is_remote; /* it is the starter's child */
	bool said_stop; /* it was told that nothing more comes */
	bool is_over;	/* what is due was done */
	bool late;
	bool kept;    /* what failed is in the journal, to be done later */
	json_t *done; /* a list */
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

/*
 * The answer to what was sent; its hooks are added to what was done.  1 when
 * all is well, 0 when a hook failed, and *e says how; -1: nobody answers.
 */
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
	if (got == 0)
		return err_set(e, ERR_IO, "the guardian of the hooks died");
	answer = jsontree_loadb(buf_str(&b), b.len, 0, NULL);
	failed = json_array_extend(h->done, json_object_get(answer, "hooks")) <
				 0
			 ? "what the hooks did could not be told"
			 : json_string_value(json_object_get(answer, "failed"));
	h->late = json_is_true(json_object_get(answer, "late"));
	h->kept = json_is_true(json_object_get(answer, "kept"));
	if (failed)
		(void)err_set(e, ERR_IO, "%s", failed);
	json_decref(answer);
	return failed ? 0 : 1;
}

/* ---- What it is told ---------------------------------------------------- */

static json_t *texts(const struct resource_texts *t)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < t->count; i++)
		if (json_array_append_new(list, json_string(t->items[i])) < 0) {
			json_decref(list);
			return NULL;
		}
	return list;
}

static json_t *make_plan(const struct hooks *h)
{
	const struct hooks_settings *s = &h->settings;
	char name[RESOURCE_NAME_MAX + 64];
	json_t *list = json_array();

	for (size_t i = 0; i < s->count; i++) {
		const struct resource_hook *k = &s->list[i];
		json_t *hook = json_pack("{sssosIss*ss*}", "when", k->when,
					 "argv", texts(&k->argv), "timeout_ms",
					 (json_int_t)k->timeout_ms, "user",
					 k->user, "called", k->called);

		/* One that is left out would be a freeze that is not there. */
		if (json_array_append_new(list, hook) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	(void)snprintf(name, sizeof(name), "source %s of run %jd", s->source,
		       (intmax_t)s->run);
	return json_pack("{sssIsbso}", "name", name, "limit_ms",
			 (json_int_t)s->limit_ms, "lasts", s->lasts, "hooks",
			 list);
}

/* ---- The guardian's beginning and end ----------------------------------- */

static int fork_guardian(struct hooks *h, int fd, const char *plan,
			 struct err *e)
{
	h->pid = fork();
	if (h->pid == 0)
		begin_child(h, fd);
	if (h->pid < 0)
		return err_sys(e, "cannot start the guardian of the hooks");
	return send_text(h, plan, e);
}

/* Of a run that is confined, by the process that starts its programs. */
static int start_guardian(struct hooks *h, const json_t *plan, struct err *e)
{
	char *text = plan ? jsontree_dump(plan, JSON_COMPACT) : NULL;
	int fds[2];
	int failed;

	if (!text)
		return err_oom(e);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0) {
		free(text);
		return err_sys(e, "cannot make a socket for the hooks");
	}
	h->fd = fds[0];
	h->said_stop = false;
	h->is_over = false;
	h->is_remote = starter_is_there() && !h->settings.become;
	failed = h->is_remote ? starter_guard(fds[1], h->journal_fd, text,
					      &h->pid, e)
			      : fork_guardian(h, fds[1], text, e);
	file_close(fds[1]);
	free(text);
	return failed;
}

/* It does what is due when it sees our end closed; wait for that. */
static void end_guardian(struct hooks *h)
{
	file_close(h->fd);
	h->fd = -1;
	if (h->is_remote && h->pid > 0)
		starter_wait(h->pid);
	else
		while (h->pid > 0 && waitpid(h->pid, NULL, 0) < 0 &&
		       errno == EINTR)
			;
	h->pid = -1;
}

/* ---- One at a time ------------------------------------------------------ */

static int open_journal(struct hooks *h, struct err *e)
{
	char path[4096];
	const int n = snprintf(path, sizeof(path), "%s/%s", h->settings.folder,
			       h->settings.journal);

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
		       ? err_sys(e,
				 "cannot open the journal %s of what is due "
				 "after snapshots",
				 text_quote_str(path).s)
		       : 0;
}

static int wait_for_lock(struct hooks *h, struct err *e)
{
	const int64_t until = clock_boot_ms() + BUSY_MS;

	while (flock(h->journal_fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return err_sys(e, "cannot lock " JOURNAL);
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

/* That it is there outlives a power cut, as does what it is about. */
static int sync_folder(const struct hooks *h, struct err *e)
{
	CLEANUP(file_close)
	int fd = open(h->settings.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (!h->settings.lasts)
		return 0;
	return fd < 0 || seam_fsync(fd) < 0
		       ? err_sys(e, "cannot write to the folder %s",
				 text_quote_str(h->settings.folder).s)
		       : 0;
}

/*
 * Whoever settles what others left may have taken ours, still empty, for one
 * of those, and removed it.
 */
static int lock_journal(struct hooks *h, struct err *e)
{
	struct stat st;

	for (int i = 0; i < 10; i++) {
		if (open_journal(h, e) < 0 || wait_for_lock(h, e) < 0)
			return -1;
		if (fstat(h->journal_fd, &st) == 0 && st.st_nlink > 0)
			return sync_folder(h, e);
		file_close(h->journal_fd);
		h->journal_fd = -1;
	}
	return err_set(e, ERR_IO, JOURNAL " is removed all the time");
}

/*
 * The plan that a killed guardian left: 1; 0 when there is none, or it is
 * another boot's; -1.
 */
static int left_behind(struct hooks *h, json_t **ret, struct err *e)
{
	CLEANUP(buf_done) struct buf b;
	char boot[64];
	const char *of;
	ssize_t n;
	json_t *journal;

	buf_init(&b, GUARDIAN_FRAME_MAX);
	if (buf_reserve(&b, GUARDIAN_FRAME_MAX, e) < 0 ||
	    guardian_boot(boot, e) < 0)
		return -1;
	n = file_pread(h->journal_fd, b.data, GUARDIAN_FRAME_MAX, 0);
	if (n < 0)
		return err_sys(e, "cannot read " JOURNAL);
	if (n == 0)
		return 0;
	if (jsontree_load((const char *)b.data, (size_t)n, 0, &journal, NULL,
			  e) < 0)
		return -1;
	of = json_string_value(json_object_get(journal, "boot"));
	if (!of && h->settings.lasts) {
		json_decref(journal);
		return err_set(e, ERR_CORRUPT,
			       "the journal %s/%s makes no sense, so that "
			       "what is due is not known",
			       h->settings.folder, h->settings.journal);
	}
	if (!of)
		log_event(LOG_LEVEL_ERROR,
			  "the hooks' journal of source %s makes no sense: "
			  "what it says is due is not done",
			  h->settings.source);
	*ret = NULL;
	/* What another boot froze is not frozen any more. */
	if (of && (h->settings.lasts || strcmp(of, boot) == 0))
		*ret = json_incref(json_object_get(journal, "plan"));
	json_decref(journal);
	return *ret != NULL;
}

/*
 * Those that fail may have been done before, and if what they are for is still
 * frozen, the next freeze says so.  What lasts is another matter: 0 then.
 */
static int recover(struct hooks *h, json_t *plan, struct err *e)
{
	struct err why;
	int got = -1;
	int failed;

	log_event(LOG_LEVEL_WARN,
		  "what is due after a snapshot of source %s was not done, or "
		  "failed: it is done now",
		  h->settings.source);
	failed = start_guardian(h, plan, e) < 0 ||
		 send_text(h, "\"recover\"", e) < 0;
	if (!failed)
		got = take_answer(h, &why);
	if (!failed && got <= 0)
		log_failure(LOG_LEVEL_ERROR, "what was due", &why);
	end_guardian(h);
	if (!failed && got <= 0 && h->settings.lasts) {
		*e = why;
		failed = true;
	}
	return failed ? -1 : 0;
}

/*
 * What is due of an earlier journal: 1, 0 when nothing is, -1.  For what lasts
 * it is what is declared today, where that is known: it may have been mended.
 */
static int find_due(struct hooks *h, json_t **ret, struct err *e)
{
	struct stat st;

	*ret = NULL;
	if (!h->settings.lasts || h->settings.count == 0)
		return left_behind(h, ret, e);
	if (fstat(h->journal_fd, &st) < 0)
		return err_sys(e, "cannot read " JOURNAL);
	if (st.st_size == 0)
		return 0;
	*ret = make_plan(h);
	return *ret ? 1 : err_oom(e);
}

static int settle_earlier(struct hooks *h, struct err *e)
{
	json_t *plan = NULL;
	int failed = find_due(h, &plan, e) < 0;

	if (plan)
		failed = recover(h, plan, e) < 0;
	json_decref(plan);
	/* Also what made no sense, or is another boot's. */
	if (!failed && seam_truncate(h->journal_fd, 0) < 0)
		failed = err_sys(e, "cannot empty " JOURNAL) < 0;
	return failed ? -1 : 0;
}

/* One that is nobody else's, and has done its duty. */
static void drop_journal(struct hooks *h)
{
	char path[4096];
	struct stat st;

	if (!h->settings.lasts || h->journal_fd < 0 ||
	    fstat(h->journal_fd, &st) < 0 || st.st_size != 0)
		return;
	(void)snprintf(path, sizeof(path), "%s/%s", h->settings.folder,
		       h->settings.journal);
	/* An empty one says that nothing is due. */
	(void)!seam_unlink(AT_FDCWD, path, 0);
}

/*
 * It does not answer: it is gone, and another one does what is due.  What lasts
 * was there until now: nobody else has the journal's lock.
 */
static int replace_guardian(struct hooks *h, bool is_before, struct err *e)
{
	struct err why;
	int failed;

	end_guardian(h);
	failed = settle_earlier(h, &why);
	h->is_over = true;
	h->late = !h->settings.lasts; /* nobody knows since when */
	h->kept = h->settings.lasts && failed < 0;
	if (h->settings.lasts && !is_before && failed == 0)
		return 0;
	if (failed)
		return err_set(e, ERR_IO,
			       "the guardian of the hooks died, and what is "
			       "due after them was not done: %.300s",
			       why.text);
	return err_set(e, ERR_IO,
		       "the guardian of the hooks died, and another one did "
		       "what is due after them");
}

/* ---- From outside ------------------------------------------------------- */

static int open_all(struct hooks *h, struct err *e)
{
	json_t *plan;
	int failed;

	h->done = json_array();
	if (!h->done)
		return err_oom(e);
	if (lock_journal(h, e) < 0 || settle_earlier(h, e) < 0)
		return -1;
	plan = make_plan(h);
	failed = start_guardian(h, plan, e);
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

/* 0, or -1: as it was told, or because nobody is there. */
static int ask(struct hooks *h, bool is_before, struct err *e)
{
	const char *what = is_before ? "\"before\"" : "\"after\"";
	int got = -1;

	if (h->said_stop || send_text(h, what, e) == 0)
		got = take_answer(h, e);
	if (got < 0)
		return replace_guardian(h, is_before, e);
	return got > 0 ? 0 : -1;
}

int hooks_before(struct hooks *h, struct err *e)
{
	int failed;

	if (h->settings.stop && atomic_load(h->settings.stop)) {
		h->is_over = true; /* nothing was begun */
		return err_set(e, ERR_INTERRUPTED, "asked to stop");
	}
	failed = ask(h, true, e);
	return h->said_stop ? err_set(e, ERR_INTERRUPTED, "asked to stop")
			    : failed;
}

int hooks_after(struct hooks *h, struct err *e)
{
	int failed;

	if (h->is_over)
		return 0;
	failed = ask(h, false, e);
	h->is_over = true;
	return failed;
}

bool hooks_were_late(const struct hooks *h)
{
	return h->late;
}

bool hooks_are_kept(const struct hooks *h)
{
	return h->kept;
}

void hooks_write(const struct hooks *h, struct json *j)
{
	char *text = jsontree_dump(h->done, JSON_COMPACT);

	json_raw(j, text);
	free(text);
}

void hooks_close(struct hooks *h)
{
	if (!h)
		return;
	end_guardian(h);
	drop_journal(h);
	file_close(h->journal_fd);
	json_decref(h->done);
	free(h);
}

/* ---- What others left undone -------------------------------------------- */

int hooks_settle(const struct hooks_settings *settings, struct err *e)
{
	struct hooks h = {
		.settings = *settings, .fd = -1, .journal_fd = -1, .pid = -1
	};
	int failed = 0;

	h.done = json_array();
	if (!h.done)
		return err_oom(e);
	if (open_journal(&h, e) < 0)
		failed = -1;
	else if (flock(h.journal_fd, LOCK_EX | LOCK_NB) == 0)
		failed = settle_earlier(&h, e);
	else if (errno != EWOULDBLOCK && errno != EINTR)
		failed = err_sys(e, "cannot lock " JOURNAL);
	/* In use, it is not empty, or is about to be written. */
	else
		h.settings.lasts = false;
	if (failed == 0)
		drop_journal(&h);
	json_decref(h.done);
	file_close(h.journal_fd);
	return failed;
}

/* ---- At the daemon's start ---------------------------------------------- */

static void recover_all(const char *folder, bool lasts)
{
	DIR *d = opendir(folder);
	const struct dirent *entry;
	struct err e;

	while (d && (entry = readdir(d))) {
		const struct hooks_settings settings = {
			.source = entry->d_name,
			.folder = folder,
			.journal = entry->d_name,
			.lasts = lasts,
		};

		if (entry->d_name[0] != '.' && hooks_settle(&settings, &e) < 0)
			log_failure(LOG_LEVEL_ERROR, "hooks", &e);
	}
	if (d)
		(void)closedir(d);
}

void hooks_recover(const char *folder, bool lasts)
{
	const pid_t pid = access(folder, F_OK) == 0 ? fork() : -1;

	/* Nobody waits for the one that does it. */
	if (pid == 0) {
		(void)setsid();
		/* Nor does it keep what is the daemon's, its lock among it. */
		if (fork() == 0 && close_range(3, ~0U, 0) == 0)
			recover_all(folder, lasts);
		_exit(0);
	}
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

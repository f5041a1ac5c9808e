#include "service/starter.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/child.h"
#include "base/descriptors.h"
#include "base/file.h"
#include "base/seam.h"
#include "service/guardian.h"
#include "service/jsontree.h"

/* Of a run there is one at a time. */
enum { CHILDREN = 4, MESSAGE_MAX = GUARDIAN_FRAME_MAX + 1 };

/* ---- Messages ----------------------------------------------------------- */

static int send_json(int fd, json_t *message, struct err *e)
{
	char *text = message ? jsontree_dump(message, JSON_COMPACT) : NULL;
	int failed;

	json_decref(message);
	if (!text)
		return err_oom(e);
	failed = guardian_send(fd, text, strlen(text), e);
	free(text);
	return failed;
}

/* NULL at the end, or when it breaks off. */
static json_t *receive_json(int fd)
{
	CLEANUP(buf_done) struct buf b;
	struct err ignored;

	buf_init(&b, MESSAGE_MAX);
	return guardian_receive(fd, &b, &ignored) == 1
		       ? jsontree_loadb(buf_str(&b), b.len, 0, NULL)
		       : NULL;
}

static json_t *failure(const struct err *e)
{
	return json_pack("{s{sisisoso}}", "error", "code", (int)e->code, "sys",
			 e->sys, "text",
			 json_stringn_nocheck(e->text, strlen(e->text)), "hint",
			 json_stringn_nocheck(e->hint, strlen(e->hint)));
}

/* ---- The process -------------------------------------------------------- */

struct starter {
	const struct run *run;
	int fd;
	struct child children[CHILDREN];
};

static const char **texts_of(const json_t *list, size_t *ret_n)
{
	const size_t n = json_array_size(list);
	const char **texts = calloc(n + 1, sizeof(*texts));

	for (size_t i = 0; texts && i < n; i++)
		texts[i] = json_string_value(json_array_get(list, i));
	*ret_n = n;
	return texts;
}

static int start_asked(struct starter *s, const json_t *request, size_t id,
		       struct err *e)
{
	char *text = jsontree_dump(request, JSON_COMPACT);
	struct child_options o = {
		.user = json_string_value(json_object_get(request, "user")),
		.apart = json_is_true(json_object_get(request, "apart")),
	};
	const char **argv = texts_of(json_object_get(request, "argv"), &o.argc);
	const char **environment = texts_of(
		json_object_get(request, "environment"), &o.environment_count);
	int failed;

	o.argv = argv;
	o.environment = environment;
	if (!text || !argv || !environment)
		failed = err_oom(e);
	else if (!starter_may_start(s->run, text))
		failed = err_set(e, ERR_DENIED,
				 "no source of this run declares the program");
	else
		failed = child_start(&s->children[id], &o, e);
	free(environment);
	free(argv);
	free(text);
	return failed;
}

/* The program is the run's to read from, and ours to end. */
static int hand_over(const struct starter *s, struct child *c, size_t id,
		     struct err *e)
{
	const int fds[] = { c->pid_fd, c->out, c->err };
	const int failed =
		send_json(s->fd,
			  json_pack("{sIsisisi}", "id", (json_int_t)id, "pid",
				    (int)c->pid, "uid", (int)c->uid, "gid",
				    (int)c->gid),
			  e) < 0 ||
		descriptors_send(s->fd, fds, c->err < 0 ? 2 : 3, e) < 0;

	file_close(c->out);
	file_close(c->err);
	c->out = c->err = -1;
	return failed ? -1 : 0;
}

static int start(struct starter *s, const json_t *request, struct err *e)
{
	struct err why = { 0 };
	size_t id = 0;

	while (id < CHILDREN && s->children[id].pid >= 0)
		id++;
	if (id == CHILDREN)
		(void)err_set(&why, ERR_BUSY, "too many programs at once");
	if (id == CHILDREN || start_asked(s, request, id, &why) < 0)
		return send_json(s->fd, failure(&why), e);
	return hand_over(s, &s->children[id], id, e);
}

static int end(struct starter *s, const json_t *request, struct err *e)
{
	const json_int_t id = json_integer_value(
		json_object_get(request, "id"));
	int status = SIGKILL;

	if (id >= 0 && id < CHILDREN) {
		status = child_end(&s->children[id]);
		child_drop(&s->children[id]);
	}
	return send_json(s->fd, json_pack("{si}", "status", status), e);
}

/* 3 and 4 are its socket and journal, 5 is its plan. */
_Noreturn static void become_guardian(int socket_fd, int journal_fd,
				      int plan_fd)
{
	static char name[] = "snapctld";
	static char flag[] = "--guard";
	static char number[] = "5";
	char *const argv[] = { name, flag, number, NULL };
	const int fds[] = { socket_fd, journal_fd, plan_fd };
	int high[3];

	(void)setsid();
	for (int i = 0; i < 3; i++)
		high[i] = fcntl(fds[i], F_DUPFD, 6);
	for (int i = 0; i < 3; i++)
		if (high[i] < 0 || dup2(high[i], 3 + i) < 0)
			_exit(126);
	(void)close_range(6, ~0U, 0);
	(void)execv("/proc/self/exe", argv);
	_exit(127);
}

static int write_plan(const char *plan, int *ret_fd, struct err *e)
{
	CLEANUP(file_close)
	int fd = memfd_create("plan", MFD_CLOEXEC);

	if (fd < 0 || seam_pwrite(fd, plan, strlen(plan), 0) < 0)
		return err_sys(e, "cannot hand on a plan of hooks");
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int guard_asked(const struct starter *s, const json_t *request,
		       const int fds[2], pid_t *ret, struct err *e)
{
	char *plan = jsontree_dump(json_object_get(request, "plan"),
				   JSON_COMPACT);
	CLEANUP(file_close) int plan_fd = -1;
	int failed;

	if (!plan)
		failed = err_oom(e);
	else if (!starter_may_guard(s->run, plan))
		failed = err_set(e, ERR_DENIED,
				 "no source of this run declares these hooks; "
				 "what an earlier one left to be done, the "
				 "daemon does when it starts");
	else
		failed = write_plan(plan, &plan_fd, e);
	free(plan);
	if (failed)
		return -1;
	*ret = fork();
	if (*ret == 0)
		become_guardian(fds[0], fds[1], plan_fd);
	return *ret > 0 ? 0
			: err_sys(e, "cannot start the guardian of the "
				     "hooks");
}

static int guard(const struct starter *s, const json_t *request, struct err *e)
{
	struct err why = { 0 };
	int fds[2] = { -1, -1 };
	pid_t pid = -1;
	int failed;

	if (descriptors_receive(s->fd, fds, 2, e) < 0)
		return -1;
	failed = guard_asked(s, request, fds, &pid, &why);
	file_close(fds[0]);
	file_close(fds[1]);
	return send_json(
		s->fd,
		failed ? failure(&why) : json_pack("{si}", "pid", (int)pid), e);
}

static bool is_program(const struct starter *s, pid_t pid)
{
	for (size_t i = 0; i < CHILDREN; i++)
		if (s->children[i].pid == pid)
			return true;
	return false;
}

/*
 * For a guardian.  Programs are waited for where they are ended, or their
 * number is somebody else's by then.
 */
static int wait_for(const struct starter *s, const json_t *request,
		    struct err *e)
{
	const pid_t pid = (pid_t)json_integer_value(
		json_object_get(request, "pid"));

	while (pid > 0 && !is_program(s, pid) && waitpid(pid, NULL, 0) < 0 &&
	       errno == EINTR)
		;
	return send_json(s->fd, json_pack("{si}", "pid", (int)pid), e);
}

static int serve(struct starter *s, const json_t *request)
{
	const char *what = json_string_value(json_object_get(request, "do"));
	struct err e;

	if (what && strcmp(what, "start") == 0)
		return start(s, request, &e);
	if (what && strcmp(what, "end") == 0)
		return end(s, request, &e);
	if (what && strcmp(what, "guard") == 0)
		return guard(s, request, &e);
	if (what && strcmp(what, "wait") == 0)
		return wait_for(s, request, &e);
	return -1;
}

_Noreturn static void serve_run(const struct run *r, int fd, pid_t parent)
{
	const struct sigaction ignore = { .sa_handler = SIG_IGN };
	struct starter s = { .run = r, .fd = 3 };
	json_t *request;
	bool goes_on = true;

	/* The run is asked to stop, and asks us to end what it wants ended. */
	(void)sigaction(SIGTERM, &ignore, NULL);
	(void)sigaction(SIGINT, &ignore, NULL);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || (fd != 3 && dup2(fd, 3) < 0))
		_exit(126);
	(void)close_range(4, ~0U, 0);
	(void)fcntl(3, F_SETFD, FD_CLOEXEC);
	for (size_t i = 0; i < CHILDREN; i++)
		child_init(&s.children[i]);
	while (goes_on && (request = receive_json(s.fd))) {
		goes_on = serve(&s, request) == 0;
		json_decref(request);
	}
	for (size_t i = 0; i < CHILDREN; i++)
		child_drop(&s.children[i]);
	_exit(0);
}

/* ---- The run's side ----------------------------------------------------- */

static int starter_fd = -1;
/* One question at a time: a source's threads end what others began. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Its answer, or NULL and *e. */
static json_t *ask(json_t *request, const int *fds, size_t n, struct err *e)
{
	const json_t *why;
	json_t *answer;

	if (send_json(starter_fd, request, e) < 0 ||
	    (fds && descriptors_send(starter_fd, fds, n, e) < 0))
		return NULL;
	answer = receive_json(starter_fd);
	if (!answer) {
		(void)err_set(e, ERR_IO,
			      "who starts programs for the run "
			      "is gone");
		return NULL;
	}
	why = json_object_get(answer, "error");
	if (!why)
		return answer;
	*e = (struct err){
		.code = (enum err_code)json_integer_value(
			json_object_get(why, "code")),
		.sys = (int)json_integer_value(json_object_get(why, "sys")),
	};
	(void)snprintf(e->text, sizeof(e->text), "%s",
		       json_string_value(json_object_get(why, "text")));
	(void)snprintf(e->hint, sizeof(e->hint), "%s",
		       json_string_value(json_object_get(why, "hint")));
	json_decref(answer);
	return NULL;
}

static json_t *list_of(const char *const *texts, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		if (json_array_append_new(list, json_string(texts[i])) < 0) {
			json_decref(list);
			return NULL;
		}
	return list;
}

static int take_child(struct child *c, json_t *answer, bool apart,
		      struct err *e)
{
	int fds[DESCRIPTORS_MAX] = { -1, -1, -1 };

	if (descriptors_receive(starter_fd, fds, apart ? 3 : 2, e) < 0)
		return -1;
	c->remote = 1 + (int)json_integer_value(json_object_get(answer, "id"));
	c->pid = (pid_t)json_integer_value(json_object_get(answer, "pid"));
	c->uid = (uid_t)json_integer_value(json_object_get(answer, "uid"));
	c->gid = (gid_t)json_integer_value(json_object_get(answer, "gid"));
	c->pid_fd = fds[0];
	c->out = fds[1];
	c->err = apart ? fds[2] : -1;
	return 0;
}

static int start_there(struct child *c, const struct child_options *o,
		       struct err *e)
{
	json_t *answer;
	int failed = -1;

	if ((o->folder && strcmp(o->folder, "/") != 0) || o->confined)
		return err_set(e, ERR_BUG, "a starter has no such program");
	(void)pthread_mutex_lock(&lock);
	answer = ask(json_pack("{sssososs*sb}", "do", "start", "argv",
			       list_of(o->argv, o->argc), "environment",
			       list_of(o->environment, o->environment_count),
			       "user", o->user, "apart", (int)o->apart),
		     NULL, 0, e);
	if (answer)
		failed = take_child(c, answer, o->apart, e);
	json_decref(answer);
	(void)pthread_mutex_unlock(&lock);
	return failed;
}

static int end_there(struct child *c)
{
	struct err ignored;
	json_t *answer;
	int status = SIGKILL;

	(void)pthread_mutex_lock(&lock);
	answer = ask(json_pack("{sssi}", "do", "end", "id", c->remote - 1),
		     NULL, 0, &ignored);
	if (answer)
		status = (int)json_integer_value(
			json_object_get(answer, "status"));
	json_decref(answer);
	(void)pthread_mutex_unlock(&lock);
	return status;
}

int starter_guard(int fd, int journal_fd, const char *plan, pid_t *ret,
		  struct err *e)
{
	const int fds[] = { fd, journal_fd };
	json_t *answer;

	(void)pthread_mutex_lock(&lock);
	answer = ask(json_pack("{ssso}", "do", "guard", "plan",
			       jsontree_loads(plan, 0, NULL)),
		     fds, 2, e);
	if (answer)
		*ret = (pid_t)json_integer_value(
			json_object_get(answer, "pid"));
	(void)pthread_mutex_unlock(&lock);
	if (!answer)
		return -1;
	json_decref(answer);
	return 0;
}

void starter_wait(pid_t guardian)
{
	struct err ignored;

	(void)pthread_mutex_lock(&lock);
	json_decref(ask(json_pack("{sssi}", "do", "wait", "pid", (int)guardian),
			NULL, 0, &ignored));
	(void)pthread_mutex_unlock(&lock);
}

bool starter_is_there(void)
{
	return starter_fd >= 0;
}

int starter_begin(const struct run *r, struct err *e)
{
	static const struct child_starter there = { start_there, end_there };
	const pid_t self = getpid();
	int fds[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return err_sys(e, "cannot make a socket for programs");
	pid = fork();
	if (pid == 0)
		serve_run(r, fds[1], self);
	file_close(fds[1]);
	if (pid < 0) {
		file_close(fds[0]);
		return err_sys(e, "cannot start a process for programs");
	}
	starter_fd = fds[0];
	child_set_starter(&there);
	return 0;
}

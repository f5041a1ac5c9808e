#include "service/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/seam.h"
#include "base/text.h"

struct child {
	struct child *next;
	int64_t run;
	pid_t pid;
	int go_fd;	 /* -1 once it may run */
	int64_t kill_ms; /* boot time of its SIGKILL; 0: not asked to stop */
	bool killed;
	bool lingers; /* and did not die of it */
};

/* From SIGKILL until nobody waits for a process any more. */
enum { LINGER_MS = 2000 };

struct supervisor {
	char **argv; /* for children; the last words are "--run", ID */
	size_t argc; /* without those */
	char *log_folder;
	int64_t grace_ms;
	struct child *children;
	struct child *lingering; /* told to have ended; they still have to */
};

static void drop_argv(char **argv, size_t n)
{
	for (size_t i = 0; argv && i < n; i++)
		free(argv[i]);
	free(argv);
}

int supervisor_set_arguments(struct supervisor *s, char *const *arguments,
			     size_t n, struct err *e)
{
	/* The program's name, --run, the number, NULL. */
	char **argv = calloc(n + 4, sizeof(*argv));
	bool whole = argv != NULL;

	if (whole)
		whole = (argv[0] = strdup("snapctld")) != NULL;
	for (size_t i = 0; i < n && whole; i++)
		whole = (argv[i + 1] = strdup(arguments[i])) != NULL;
	if (!whole) {
		drop_argv(argv, n + 1);
		return err_oom(e);
	}
	drop_argv(s->argv, s->argc);
	s->argv = argv;
	s->argc = n + 1;
	return 0;
}

int supervisor_new(const struct supervisor_settings *settings,
		   struct supervisor **ret, struct err *e)
{
	struct supervisor *s = calloc(1, sizeof(*s));

	if (!s)
		return err_oom(e);
	s->grace_ms = settings->grace_ms;
	s->log_folder = strdup(settings->log_folder);
	if (!s->log_folder) {
		supervisor_free(s);
		return err_oom(e);
	}
	if (supervisor_set_arguments(s, NULL, 0, e) < 0) {
		supervisor_free(s);
		return -1;
	}
	if (file_make_folders(s->log_folder, 0700, e) < 0) {
		supervisor_free(s);
		return -1;
	}
	*ret = s;
	return 0;
}

static void kill_group(const struct child *c, int number)
{
	/* The group may not exist yet, or hold only grandchildren. */
	if (kill(-c->pid, number) < 0)
		(void)kill(c->pid, number);
}

static void kill_all(struct child *c)
{
	while (c) {
		struct child *next = c->next;

		kill_group(c, SIGKILL);
		file_close(c->go_fd);
		free(c);
		c = next;
	}
}

void supervisor_free(struct supervisor *s)
{
	if (!s)
		return;
	kill_all(s->children);
	kill_all(s->lingering);
	free(s->log_folder);
	drop_argv(s->argv, s->argc);
	free(s);
}

int64_t supervisor_process_start(pid_t pid)
{
	char path[64];
	char stat[1024];
	CLEANUP(file_close) int fd = -1;
	ssize_t n;
	char *at;
	int64_t start = -1;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = file_read(fd, stat, sizeof(stat) - 1);
	if (n <= 0)
		return -1;
	stat[n] = '\0';
	/* The name may hold anything; what follows its ")" is regular: the
	 * state is field 3, the start time field 22. */
	at = strrchr(stat, ')');
	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	if (!at)
		return -1;
	at[1 + strcspn(at + 1, " ")] = '\0';
	if (!text_number(at + 1, 0, INT64_MAX, &start))
		return -1;
	return start;
}

static int open_log(const struct supervisor *s, int64_t run, int *ret_fd,
		    struct err *e)
{
	CLEANUP(buf_done) struct buf path;

	buf_init(&path, 4096);
	if (buf_addf(&path, e, "%s/%jd.log", s->log_folder, (intmax_t)run) < 0)
		return -1;
	*ret_fd = seam_open(AT_FDCWD, buf_str(&path),
			    O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC |
				    O_NOFOLLOW | O_NOCTTY,
			    0600);
	if (*ret_fd >= 0)
		return 0;
	return err_sys(e, "cannot write the run's log %s",
		       text_quote_str(buf_str(&path)).s);
}

/*
 * In the child, after fork() of a process with threads: only functions that
 * are safe in signal handlers, up to the exec.
 */
static void become_run(char *const *argv, int log_fd, int go_fd, pid_t parent)
{
	sigset_t none;
	char go;
	int null;

	(void)setpgid(0, 0);
	/* Who is left alone goes: the next daemon repeats the run. */
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent || read(go_fd, &go, 1) != 1)
		_exit(125);
	null = open("/dev/null", O_RDONLY);
	if (null < 0 || dup2(null, 0) < 0 || dup2(log_fd, 1) < 0 ||
	    dup2(log_fd, 2) < 0)
		_exit(126);
	(void)close_range(3, ~0U, 0);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)execv("/proc/self/exe", argv);
	_exit(127);
}

static int start_child(struct supervisor *s, int64_t run, struct child *c,
		       struct err *e)
{
	CLEANUP(file_close) int log_fd = -1;
	int pipe_fds[2];
	char id[24];
	char run_flag[] = "--run";
	const pid_t self = getpid();

	if (open_log(s, run, &log_fd, e) < 0)
		return -1;
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return err_sys(e, "cannot make a pipe");
	(void)snprintf(id, sizeof(id), "%jd", (intmax_t)run);
	s->argv[s->argc] = run_flag;
	s->argv[s->argc + 1] = id;
	c->pid = fork();
	if (c->pid == 0) {
		(void)close(pipe_fds[1]);
		become_run(s->argv, log_fd, pipe_fds[0], self);
	}
	s->argv[s->argc] = NULL;
	s->argv[s->argc + 1] = NULL;
	file_close(pipe_fds[0]);
	if (c->pid < 0) {
		file_close(pipe_fds[1]);
		return err_sys(e, "cannot start a process");
	}
	c->go_fd = pipe_fds[1];
	return 0;
}

int supervisor_start(struct supervisor *s, int64_t run, pid_t *ret_pid,
		     int64_t *ret_start, struct err *e)
{
	struct child *c = calloc(1, sizeof(*c));

	if (!c)
		return err_oom(e);
	c->run = run;
	c->go_fd = -1;
	if (start_child(s, run, c, e) < 0) {
		free(c);
		return -1;
	}
	c->next = s->children;
	s->children = c;
	*ret_pid = c->pid;
	*ret_start = supervisor_process_start(c->pid);
	return 0;
}

static struct child *find(const struct supervisor *s, int64_t run)
{
	for (struct child *c = s->children; c; c = c->next)
		if (c->run == run)
			return c;
	return NULL;
}

void supervisor_go(struct supervisor *s, int64_t run, bool go)
{
	struct child *c = find(s, run);

	if (!c || c->go_fd < 0)
		return;
	/* Who does not get the byte reads the end of the pipe, and ends. */
	if (go)
		(void)!write(c->go_fd, "g", 1);
	file_close(c->go_fd);
	c->go_fd = -1;
}

static void cancel(const struct supervisor *s, struct child *c, int64_t now_ms)
{
	if (c->kill_ms)
		return;
	c->kill_ms = now_ms + s->grace_ms;
	file_close(c->go_fd);
	c->go_fd = -1;
	kill_group(c, SIGTERM);
}

void supervisor_cancel(struct supervisor *s, int64_t run, int64_t now_ms)
{
	struct child *c = find(s, run);

	if (c)
		cancel(s, c, now_ms);
}

void supervisor_cancel_all(struct supervisor *s, int64_t now_ms)
{
	for (struct child *c = s->children; c; c = c->next)
		cancel(s, c, now_ms);
}

int64_t supervisor_enforce(struct supervisor *s, int64_t now_ms)
{
	int64_t next = INT64_MAX;

	for (struct child *c = s->children; c; c = c->next) {
		int64_t due = c->kill_ms;

		if (!due || c->lingers)
			continue;
		if (due <= now_ms && !c->killed) {
			c->killed = true;
			/* Its two seconds begin now, however late that is. */
			c->kill_ms = due = now_ms;
			kill_group(c, SIGKILL);
		}
		if (c->killed)
			due += LINGER_MS;
		c->lingers = due <= now_ms;
		/* Who lingers is to be taken for ended at once. */
		if (c->lingers)
			due = now_ms;
		if (due < next)
			next = due;
	}
	return next;
}

/* Whether a child ended; it stays a zombie, so its id stays its own. */
static bool has_ended(const struct child *c)
{
	siginfo_t info = { 0 };

	if (waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
		return errno == ECHILD;
	return info.si_pid == c->pid;
}

/* What the run started and left behind goes with it. */
static int take_status(const struct child *c)
{
	int status = 0;

	(void)kill(-c->pid, SIGKILL);
	return waitpid(c->pid, &status, WNOHANG) == c->pid ? status : -1;
}

static struct child *take_out(struct child **at)
{
	struct child *c = *at;

	*at = c->next;
	file_close(c->go_fd);
	c->go_fd = -1;
	return c;
}

/* Those of which nobody wants to hear any more. */
static void reap_lingering(struct supervisor *s)
{
	struct child **at = &s->lingering;

	while (*at) {
		if (!has_ended(*at)) {
			at = &(*at)->next;
			continue;
		}
		(void)take_status(*at);
		free(take_out(at));
	}
}

static void linger(struct supervisor *s, struct child *c)
{
	c->next = s->lingering;
	s->lingering = c;
}

int supervisor_reap(struct supervisor *s, struct supervisor_end *ret)
{
	reap_lingering(s);
	for (struct child **at = &s->children; *at; at = &(*at)->next) {
		struct child *c = *at;
		const bool ended = has_ended(c);
		int status;

		if (!ended && !c->lingers)
			continue;
		*ret = (struct supervisor_end){ .run = c->run,
						.exit_status = -1,
						.cancelled = c->kill_ms != 0,
						.lingers = ended ? 0 : c->pid };
		(void)take_out(at);
		if (!ended) {
			linger(s, c);
			return 1;
		}
		status = take_status(c);
		if (status != -1 && WIFEXITED(status))
			ret->exit_status = WEXITSTATUS(status);
		else if (status != -1 && WIFSIGNALED(status))
			ret->signal = WTERMSIG(status);
		free(c);
		return 1;
	}
	return 0;
}

size_t supervisor_count(const struct supervisor *s)
{
	size_t n = 0;

	for (const struct child *c = s->children; c; c = c->next)
		n++;
	return n;
}

bool supervisor_has(const struct supervisor *s, int64_t run)
{
	return find(s, run) != NULL;
}

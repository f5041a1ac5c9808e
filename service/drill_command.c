#include "service/drill_command.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"

#define PATH_FOLDERS \
	"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
/* How often a wish to stop is looked for. */
#define POLL_MS 200
#define NOBODY	65534

/* Everything that the child needs, made before the fork. */
struct child {
	char program[PATH_MAX];
	char **argv;
	int folder_fd;
	int null_fd;
	int out[2];
	bool drop; /* become uid and gid */
	uid_t uid;
	gid_t gid;
	pid_t parent;
	pid_t pid;
	int pid_fd;
};

static void child_done(struct child *c)
{
	file_close(c->folder_fd);
	file_close(c->null_fd);
	file_close(c->out[0]);
	file_close(c->out[1]);
	file_close(c->pid_fd);
	free(c->argv);
}
static inline void cleanup_child_done(struct child *c)
{
	child_done(c);
}

/* ---- Before ------------------------------------------------------------- */

static int find_user(struct child *c, const char *name, struct err *e)
{
	struct passwd entry;
	struct passwd *found = NULL;
	char room[16384];

	c->drop = geteuid() == 0;
	if (getpwnam_r(name ? name : "nobody", &entry, room, sizeof(room),
		       &found) != 0)
		found = NULL;
	if (!found && name)
		return err_set(e, ERR_NOT_FOUND, "there is no user %s",
			       text_quote_str(name).s);
	c->uid = found ? found->pw_uid : NOBODY;
	c->gid = found ? found->pw_gid : NOBODY;
	if (!c->drop && name && c->uid != geteuid())
		return err_set(e, ERR_DENIED,
			       "only root can run it as the user %s",
			       text_quote_str(name).s);
	return 0;
}

static bool is_program(struct child *c, const char *folder, size_t n,
		       const char *name)
{
	const int len = snprintf(c->program, sizeof(c->program), "%.*s%s%s",
				 (int)n, folder, n ? "/" : "", name);

	return len > 0 && (size_t)len < sizeof(c->program) &&
	       faccessat(c->folder_fd, c->program, X_OK, 0) == 0;
}

/* With a '/' it is a path, a relative one from the restored folder. */
static int find_program(struct child *c, const char *name, struct err *e)
{
	const char *at = PATH_FOLDERS;

	if (strchr(name, '/') && is_program(c, "", 0, name))
		return 0;
	while (!strchr(name, '/') && *at) {
		const size_t n = strcspn(at, ":");

		if (is_program(c, at, n, name))
			return 0;
		at += n + (at[n] == ':');
	}
	return err_set(e, ERR_NOT_FOUND, "there is no program %s",
		       text_quote_str(name).s);
}

static int prepare(struct child *c, const struct drill_command *command,
		   struct err *e)
{
	*c = (struct child){ .folder_fd = -1,
			     .null_fd = -1,
			     .out = { -1, -1 },
			     .parent = getpid(),
			     .pid_fd = -1 };
	c->argv = calloc(command->argc + 1, sizeof(*c->argv));
	if (!c->argv)
		return err_oom(e);
	for (size_t i = 0; i < command->argc; i++)
		c->argv[i] = (char *)(uintptr_t)command->argv[i];
	c->folder_fd = open(command->folder,
			    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->folder_fd < 0)
		return err_sys(e, "cannot open the restored folder");
	c->null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (c->null_fd < 0 || pipe2(c->out, O_CLOEXEC) < 0)
		return err_sys(e, "cannot prepare its input and output");
	(void)fcntl(c->out[0], F_SETFL, O_NONBLOCK);
	if (find_user(c, command->user, e) < 0)
		return -1;
	return find_program(c, command->argv[0], e);
}

/* ---- In the child ------------------------------------------------------- */

static int become_user(const struct child *c)
{
	if (!c->drop)
		return 0;
	return setgroups(1, &c->gid) < 0 ||
			       setresgid(c->gid, c->gid, c->gid) < 0 ||
			       setresuid(c->uid, c->uid, c->uid) < 0
		       ? -1
		       : 0;
}

/* Only functions that are safe in signal handlers, up to the exec. */
_Noreturn static void become(const struct child *c)
{
	static char path[] = "PATH=" PATH_FOLDERS;
	static char lang[] = "LANG=C.UTF-8";
	static char home[] = "HOME=/";
	static char cannot[] = "it cannot be executed\n";
	char *const environment[] = { path, lang, home, NULL };
	const struct sigaction plain = { .sa_handler = SIG_DFL };
	const struct rlimit no_core = { 0, 0 };
	sigset_t none;

	(void)setpgid(0, 0);
	if (dup2(c->null_fd, 0) < 0 || dup2(c->out[1], 1) < 0 ||
	    dup2(c->out[1], 2) < 0 || fchdir(c->folder_fd) < 0)
		_exit(126);
	(void)close_range(3, ~0U, 0);
	(void)setrlimit(RLIMIT_CORE, &no_core);
	(void)sigaction(SIGPIPE, &plain, NULL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (become_user(c) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		_exit(126);
	/* After the change of user, which forgets it. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != c->parent)
		_exit(125);
	(void)execve(c->program, c->argv, environment);
	(void)!write(2, cannot, sizeof(cannot) - 1);
	_exit(127);
}

/* ---- Watching it -------------------------------------------------------- */

/* Take what was printed; of more than there is room for the end stays. */
static void drain(const struct child *c, struct drill_command_end *end)
{
	char bytes[4096];
	ssize_t n;

	/* Bounded: who prints for ever is looked at for its time, too. */
	for (int i = 0; i < 64; i++) {
		size_t keep;

		n = read(c->out[0], bytes, sizeof(bytes));
		if (n <= 0)
			return;
		keep = sizeof(end->output) - (size_t)n;
		if (keep > end->output_len)
			keep = end->output_len;
		memmove(end->output, end->output + end->output_len - keep,
			keep);
		memcpy(end->output + keep, bytes, (size_t)n);
		end->output_len = keep + (size_t)n;
	}
}

enum watch { WATCH_ENDED, WATCH_TIMED_OUT, WATCH_STOPPED };

static enum watch watch(const struct child *c,
			const struct drill_command *command,
			struct drill_command_end *end)
{
	const int64_t deadline = clock_boot_ms() + command->timeout_ms;
	struct pollfd fds[2] = { { .fd = c->pid_fd, .events = POLLIN },
				 { .fd = c->out[0], .events = POLLIN } };

	for (;;) {
		const int64_t left = deadline - clock_boot_ms();

		if (command->stop && atomic_load(command->stop))
			return WATCH_STOPPED;
		if (left <= 0)
			return WATCH_TIMED_OUT;
		(void)poll(fds, 2, (int)(left < POLL_MS ? left : POLL_MS));
		if (fds[1].revents)
			drain(c, end);
		/* Its end of output is not its end. */
		if (fds[1].revents & POLLHUP)
			fds[1].fd = -1;
		if (fds[0].revents)
			return WATCH_ENDED;
	}
}

static void tell(struct drill_command_end *end, enum watch how, int status,
		 int64_t timeout_ms)
{
	char limit[INSTANT_TEXT];

	instant_duration_format(timeout_ms, limit);
	if (how == WATCH_TIMED_OUT) {
		(void)snprintf(end->message, sizeof(end->message),
			       "it was not done within %s, and was killed",
			       limit);
	} else if (WIFSIGNALED(status)) {
		(void)snprintf(end->message, sizeof(end->message),
			       "signal %d ended it", WTERMSIG(status));
	} else {
		end->exit_status = WEXITSTATUS(status);
		end->passed = end->exit_status == 0;
		(void)snprintf(end->message, sizeof(end->message),
			       "it ended with status %d", end->exit_status);
	}
}

static int start(struct child *c, struct err *e)
{
	c->pid = fork();
	if (c->pid == 0)
		become(c);
	if (c->pid < 0)
		return err_sys(e, "cannot start a process");
	(void)setpgid(c->pid, c->pid);
	file_close(c->out[1]);
	c->out[1] = -1;
	c->pid_fd = pidfd_open(c->pid, 0);
	if (c->pid_fd >= 0)
		return 0;
	(void)err_sys(e, "cannot watch a process");
	(void)kill(-c->pid, SIGKILL);
	(void)waitpid(c->pid, NULL, 0);
	return -1;
}

int drill_command_run(const struct drill_command *command,
		      struct drill_command_end *ret, struct err *e)
{
	CLEANUP(child_done) struct child c;
	struct err why = { 0 };
	enum watch how;
	int status = 0;

	*ret = (struct drill_command_end){ .exit_status = -1 };
	if (prepare(&c, command, &why) < 0 || start(&c, &why) < 0) {
		/* The cleanup frees c; clang-tidy 14 misses those of structs.
		 * NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
		(void)snprintf(ret->message, sizeof(ret->message), "%.299s",
			       why.text);
		return 0;
	}
	how = watch(&c, command, ret);
	/* Until it is waited for, its number cannot be anybody else's. */
	(void)kill(-c.pid, SIGKILL);
	while (waitpid(c.pid, &status, 0) < 0 && errno == EINTR)
		;
	drain(&c, ret);
	if (how == WATCH_STOPPED)
		return err_set(e, ERR_INTERRUPTED, "asked to stop");
	tell(ret, how, status, command->timeout_ms);
	return 0;
}

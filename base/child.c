#include "base/child.h"

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
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"

#define PATH_FOLDERS \
	"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define NOBODY		  65534
#define GROUPS_MAX	  256
#define ENVIRONMENT_BYTES (1U << 20)
/* How long one that cannot be killed has to end. */
#define PATIENCE_MS 5000
/* How often a wish to stop is looked for. */
#define STOP_MS 200
/* Reads of child_tail_read(): who prints for ever is looked at for its time,
 * too. */
#define TAIL_READS 64

/* Everything that the child needs, made before the fork. */
struct beginning {
	const struct child_options *options;
	char program[PATH_MAX];
	char **argv;
	char **environment;
	struct buf variables; /* what it points into */
	int folder_fd;
	int null_fd;
	int out[2];
	int err[2];
	bool becomes; /* uid, and groups of which the first is its own */
	uid_t uid;
	gid_t groups[GROUPS_MAX];
	int n_groups;
	char home[PATH_MAX];
	char name[256];
	pid_t parent;
};

static void beginning_done(struct beginning *b)
{
	file_close(b->folder_fd);
	file_close(b->null_fd);
	for (int i = 0; i < 2; i++) {
		file_close(b->out[i]);
		file_close(b->err[i]);
	}
	buf_done(&b->variables);
	free(b->argv);
	free(b->environment);
}
static inline void cleanup_beginning_done(struct beginning *b)
{
	beginning_done(b);
}

/* ---- Before ------------------------------------------------------------- */

static int find_groups(struct beginning *b, gid_t first, struct err *e)
{
	b->n_groups = GROUPS_MAX;
	if (getgrouplist(b->name, first, b->groups, &b->n_groups) < 0)
		return err_set(e, ERR_USAGE,
			       "the user %s is in more than %d groups",
			       text_quote_str(b->name).s, GROUPS_MAX);
	return 0;
}

static int find_user(struct beginning *b, struct err *e)
{
	const char *wanted = b->options->user;
	struct passwd entry;
	struct passwd *found = NULL;
	char room[16384];
	const int sys = wanted ? getpwnam_r(wanted, &entry, room, sizeof(room),
					    &found)
			       : getpwuid_r(geteuid(), &entry, room,
					    sizeof(room), &found);

	if (sys != 0 && wanted) {
		errno = sys;
		return err_sys(e, "cannot look up the user %s",
			       text_quote_str(wanted).s);
	}
	if (sys != 0)
		found = NULL;
	b->uid = found ? found->pw_uid : NOBODY;
	(void)snprintf(b->home, sizeof(b->home), "%s",
		       found && found->pw_dir[0] ? found->pw_dir : "/");
	(void)snprintf(b->name, sizeof(b->name), "%s",
		       found	? found->pw_name
		       : wanted ? wanted
				: "");
	if (!wanted)
		return 0;
	if (!found && strcmp(wanted, "nobody") != 0)
		return err_set(e, ERR_USAGE, "there is no user %s",
			       text_quote_str(wanted).s);
	if (b->uid == geteuid())
		return 0;
	if (geteuid() != 0)
		return err_set(e, ERR_DENIED,
			       "only root can run it as the user %s",
			       text_quote_str(wanted).s);
	b->becomes = true;
	return find_groups(b, found ? found->pw_gid : NOBODY, e);
}

static bool is_program(struct beginning *b, const char *folder, size_t n,
		       const char *name)
{
	struct stat st;
	const int len = snprintf(b->program, sizeof(b->program), "%.*s%s%s",
				 (int)n, folder, n ? "/" : "", name);

	/* A folder can be "executed", too. */
	return len > 0 && (size_t)len < sizeof(b->program) &&
	       faccessat(b->folder_fd, b->program, X_OK, 0) == 0 &&
	       fstatat(b->folder_fd, b->program, &st, 0) == 0 &&
	       S_ISREG(st.st_mode);
}

/* With a '/' it is a path, a relative one from its folder. */
static int find_program(struct beginning *b, struct err *e)
{
	const char *name = b->options->argv[0];
	const char *at = b->options->inherits ? getenv("PATH") : NULL;

	if (strchr(name, '/') && is_program(b, "", 0, name))
		return 0;
	if (!at || !*at)
		at = PATH_FOLDERS;
	while (!strchr(name, '/') && *name && *at) {
		const size_t n = strcspn(at, ":");

		if (is_program(b, at, n, name))
			return 0;
		at += n + (at[n] == ':');
	}
	return err_set(e, ERR_USAGE, "there is no program %s",
		       text_quote_str(name).s);
}

/* ---- Its environment ---------------------------------------------------- */

/* The bytes before the '='. */
static size_t key_length(const char *variable)
{
	return strcspn(variable, "=");
}

static bool is_replaced(const struct child_options *o, const char *variable)
{
	const size_t n = key_length(variable);

	for (size_t i = 0; i < o->environment_count; i++)
		if (key_length(o->environment[i]) == n &&
		    strncmp(o->environment[i], variable, n) == 0)
			return true;
	return false;
}

static int add_variable(struct beginning *b, size_t *count,
			const char *variable, struct err *e)
{
	if (is_replaced(b->options, variable))
		return 0;
	++*count;
	if (buf_add(&b->variables, variable, strlen(variable) + 1, e) == 0)
		return 0;
	return e->code == ERR_NO_MEMORY
		       ? -1
		       : err_set(e, ERR_USAGE,
				 "the environment is larger than %u KiB",
				 ENVIRONMENT_BYTES >> 10);
}

static int add_anew(struct beginning *b, size_t *count, struct err *e)
{
	char home[PATH_MAX + 8];
	char user[sizeof(b->name) + 8];
	char logname[sizeof(b->name) + 8];

	(void)snprintf(home, sizeof(home), "HOME=%s", b->home);
	(void)snprintf(user, sizeof(user), "USER=%s", b->name);
	(void)snprintf(logname, sizeof(logname), "LOGNAME=%s", b->name);
	if (add_variable(b, count, "PATH=" PATH_FOLDERS, e) < 0 ||
	    add_variable(b, count, "LANG=C.UTF-8", e) < 0 ||
	    add_variable(b, count, home, e) < 0)
		return -1;
	if (!b->name[0])
		return 0;
	return add_variable(b, count, user, e) < 0 ||
			       add_variable(b, count, logname, e) < 0
		       ? -1
		       : 0;
}

/* Bytes first, pointers when they do not move any more. */
static int make_environment(struct beginning *b, struct err *e)
{
	const struct child_options *o = b->options;
	char *at;
	size_t n = 0;

	if (!o->inherits && add_anew(b, &n, e) < 0)
		return -1;
	for (char **v = environ; o->inherits && v && *v; v++)
		if (add_variable(b, &n, *v, e) < 0)
			return -1;
	b->environment = calloc(n + o->environment_count + 1,
				sizeof(*b->environment));
	if (!b->environment)
		return err_oom(e);
	at = (char *)b->variables.data;
	for (size_t i = 0; i < n; i++, at += strlen(at) + 1)
		b->environment[i] = at;
	for (size_t i = 0; i < o->environment_count; i++)
		b->environment[n + i] = (char *)(uintptr_t)o->environment[i];
	return 0;
}

static int prepare(struct beginning *b, struct err *e)
{
	const struct child_options *o = b->options;
	const char *folder = o->folder ? o->folder : "/";

	b->argv = calloc(o->argc + 1, sizeof(*b->argv));
	if (!b->argv)
		return err_oom(e);
	for (size_t i = 0; i < o->argc; i++)
		b->argv[i] = (char *)(uintptr_t)o->argv[i];
	b->folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (b->folder_fd < 0) {
		(void)err_sys(e, "cannot open its folder %s",
			      text_quote_str(folder).s);
		if (e->code == ERR_NOT_FOUND)
			e->code = ERR_USAGE;
		return -1;
	}
	b->null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (b->null_fd < 0 || pipe2(b->out, O_CLOEXEC) < 0 ||
	    (o->apart && pipe2(b->err, O_CLOEXEC) < 0))
		return err_sys(e, "cannot prepare its input and output");
	(void)fcntl(b->out[0], F_SETFL, O_NONBLOCK);
	if (o->apart)
		(void)fcntl(b->err[0], F_SETFL, O_NONBLOCK);
	if (find_user(b, e) < 0 || find_program(b, e) < 0)
		return -1;
	return make_environment(b, e);
}

/* ---- In the child ------------------------------------------------------- */

static int become_user(const struct beginning *b)
{
	const gid_t gid = b->groups[0];

	if (!b->becomes)
		return 0;
	return setgroups((size_t)b->n_groups, b->groups) < 0 ||
			       setresgid(gid, gid, gid) < 0 ||
			       setresuid(b->uid, b->uid, b->uid) < 0
		       ? -1
		       : 0;
}

_Noreturn static void give_up(const char *what)
{
	const char *const text[] = { what, ": ", err_errno_text(errno), "\n" };

	for (size_t i = 0; i < sizeof(text) / sizeof(text[0]); i++)
		(void)!write(2, text[i], strlen(text[i]));
	_exit(127);
}

/* Only functions that are safe in signal handlers, up to the exec. */
_Noreturn static void become(const struct beginning *b)
{
	const struct sigaction plain = { .sa_handler = SIG_DFL };
	const struct rlimit no_core = { 0, 0 };
	const int err = b->options->apart ? b->err[1] : b->out[1];
	sigset_t none;

	(void)setpgid(0, 0);
	if (dup2(b->null_fd, 0) < 0 || dup2(b->out[1], 1) < 0 ||
	    dup2(err, 2) < 0)
		_exit(126);
	if (fchdir(b->folder_fd) < 0)
		give_up("its folder cannot be entered");
	(void)close_range(3, ~0U, 0);
	(void)setrlimit(RLIMIT_CORE, &no_core);
	/* What is ignored would stay so. */
	for (int number = 1; number < NSIG; number++)
		(void)sigaction(number, &plain, NULL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (become_user(b) < 0)
		give_up("it cannot become its user");
	if (b->options->confined && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		give_up("it cannot be confined");
	/* After the change of user, which forgets it. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != b->parent)
		_exit(125);
	(void)execve(b->program, b->argv, b->environment);
	give_up("it cannot be executed");
}

/* ---- The child, from outside -------------------------------------------- */

static const struct child_starter *in_our_place;

void child_set_starter(const struct child_starter *starter)
{
	in_our_place = starter;
}

void child_init(struct child *c)
{
	*c = (struct child){ .pid = -1, .pid_fd = -1, .out = -1, .err = -1 };
}

int child_start(struct child *c, const struct child_options *o, struct err *e)
{
	CLEANUP(beginning_done)
	struct beginning b = { .options = o,
			       .folder_fd = -1,
			       .null_fd = -1,
			       .out = { -1, -1 },
			       .err = { -1, -1 },
			       .parent = getpid() };

	child_init(c);
	if (in_our_place && !o->inherits)
		return in_our_place->start(c, o, e);
	buf_init(&b.variables, ENVIRONMENT_BYTES);
	/* The cleanup frees b; clang-tidy 14 misses those of structs.
	 * NOLINTBEGIN(clang-analyzer-unix.Malloc) */
	if (prepare(&b, e) < 0)
		return -1;
	c->pid = fork();
	if (c->pid == 0)
		become(&b);
	if (c->pid < 0)
		return err_sys(e, "cannot start a process");
	/* NOLINTEND(clang-analyzer-unix.Malloc) */
	/* Whoever of us two comes first. */
	(void)setpgid(c->pid, c->pid);
	c->uid = b.becomes ? b.uid : geteuid();
	c->gid = b.becomes ? b.groups[0] : getegid();
	c->out = TAKE_FD(b.out[0]);
	c->err = TAKE_FD(b.err[0]);
	c->pid_fd = pidfd_open(c->pid, 0);
	if (c->pid_fd >= 0)
		return 0;
	(void)err_sys(e, "cannot watch a process");
	child_drop(c);
	return -1;
}

/*
 * One that we may not kill, since it has become somebody else, ends when it
 * finds its pipes closed, or does not: then it is left to itself.
 */
static bool is_gone(struct child *c)
{
	struct pollfd end = { .fd = c->pid_fd, .events = POLLIN };

	if (c->pid_fd < 0 || poll(&end, 1, 0) == 1)
		return true;
	file_close(c->out);
	file_close(c->err);
	c->out = c->err = -1;
	return poll(&end, 1, PATIENCE_MS) == 1;
}

int child_end(struct child *c)
{
	int status = SIGKILL;
	bool killed;

	if (c->pid < 0)
		return 0;
	if (c->remote) {
		status = in_our_place->end(c);
		c->pid = -1;
		return status;
	}
	/* Until it is waited for, its number cannot be anybody else's.  It may
	 * have left its group. */
	(void)kill(-c->pid, SIGKILL);
	killed = kill(c->pid, SIGKILL) == 0;
	if (killed || is_gone(c))
		while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
			;
	c->pid = -1;
	return status;
}

void child_drop(struct child *c)
{
	(void)child_end(c);
	file_close(c->pid_fd);
	file_close(c->out);
	file_close(c->err);
	child_init(c);
}

void child_tell_end(int status, char out[64])
{
	if (WIFSIGNALED(status))
		(void)snprintf(out, 64, "signal %d ended it", WTERMSIG(status));
	else
		(void)snprintf(out, 64, "it ended with status %d",
			       WEXITSTATUS(status));
}

/* ---- What it prints ----------------------------------------------------- */

bool child_tail_read(struct child_tail *t, int fd)
{
	char bytes[sizeof(t->bytes)];

	for (int i = 0; i < TAIL_READS; i++) {
		const ssize_t n = read(fd, bytes, sizeof(bytes));
		size_t keep;

		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		if (n == 0)
			return false;
		keep = sizeof(t->bytes) - (size_t)n;
		if (keep > t->len)
			keep = t->len;
		memmove(t->bytes, t->bytes + t->len - keep, keep);
		memcpy(t->bytes + keep, bytes, (size_t)n);
		t->len = keep + (size_t)n;
	}
	return true;
}

enum child_watched child_watch(struct child *c, int64_t timeout_ms,
			       const atomic_bool *stop, struct child_tail *out,
			       struct child_tail *err_tail)
{
	const int64_t deadline = clock_boot_ms() + timeout_ms;
	struct pollfd fds[3] = {
		{ .fd = c->pid_fd, .events = POLLIN },
		{ .fd = c->out, .events = POLLIN },
		{ .fd = err_tail ? c->err : -1, .events = POLLIN },
	};

	for (;;) {
		const int64_t left = deadline - clock_boot_ms();

		if (stop && atomic_load(stop))
			return CHILD_STOPPED;
		if (left <= 0)
			return CHILD_TIMED_OUT;
		(void)poll(fds, 3, (int)(left < STOP_MS ? left : STOP_MS));
		/* Its end of output is not its end. */
		if (fds[1].revents && !child_tail_read(out, c->out))
			fds[1].fd = -1;
		if (err_tail && fds[2].revents &&
		    !child_tail_read(err_tail, c->err))
			fds[2].fd = -1;
		if (fds[0].revents)
			return CHILD_ENDED;
	}
}

static bool is_blank(char c)
{
	return c == '\n' || c == '\r' || c == ' ' || c == '\t';
}

/* The line that ends before `end`, without blanks at its end. */
static size_t line_before(const struct child_tail *t, size_t end,
			  size_t *ret_at)
{
	while (end > 0 && is_blank(t->bytes[end - 1]))
		end--;
	*ret_at = end;
	while (*ret_at > 0 && t->bytes[*ret_at - 1] != '\n')
		--*ret_at;
	return end - *ret_at;
}

size_t child_tail_line(const struct child_tail *t, const char **ret)
{
	size_t at;
	size_t n = line_before(t, t->len, &at);
	const size_t last = at;
	const size_t last_n = n;

	while (n > 0 && is_blank(t->bytes[at]))
		n = line_before(t, at, &at);
	*ret = t->bytes + (n > 0 ? at : last);
	return n > 0 ? n : last_n;
}

void child_tail_write(const struct child_tail *t, struct json *j)
{
	char text[4 * sizeof(t->bytes) + 1];
	const char *at = t->bytes;
	size_t n = t->len;
	size_t out = 0;

	while (n && out + 8 < sizeof(text)) {
		const char *newline = memchr(at, '\n', n);
		const size_t line = newline ? (size_t)(newline - at) : n;

		out += text_escape(at, line, text + out, sizeof(text) - out);
		if (newline && out + 1 < sizeof(text))
			text[out++] = '\n';
		at += line + (newline != NULL);
		n -= line + (newline != NULL);
	}
	json_strn(j, text, out);
}

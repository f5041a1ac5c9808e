#include "base/sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"

/* ---- The filter --------------------------------------------------------- */

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

#ifdef ARCHITECTURE

/* Later than the headers here; the numbers are those of all architectures. */
#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif
#ifndef SYS_setxattrat
#define SYS_setxattrat	  463
#define SYS_removexattrat 466
#endif
#ifndef SYS_open_tree_attr
#define SYS_open_tree_attr 467
#endif
#ifndef SYS_file_setattr
#define SYS_file_setattr 469
#endif

/* Nobody asks for these to see whether they are there. */
static const int ending[] = {
	SYS_kexec_load,	  SYS_kexec_file_load, SYS_init_module,
	SYS_finit_module, SYS_delete_module,   SYS_reboot,
	SYS_swapon,	  SYS_swapoff,	       SYS_acct,
#ifdef SYS_iopl
	SYS_iopl,	  SYS_ioperm,	       SYS_modify_ldt,
#endif
};

static const int never[] = {
	/* other processes */
	SYS_ptrace,
	SYS_process_vm_readv,
	SYS_process_vm_writev,
	SYS_kcmp,
	SYS_pidfd_getfd,
	SYS_process_madvise,
	/* what the kernel is programmed with */
	SYS_bpf,
	SYS_perf_event_open,
	SYS_userfaultfd,
	SYS_io_uring_setup,
	SYS_io_uring_enter,
	SYS_io_uring_register,
	SYS_fanotify_init,
	SYS_personality,
	SYS_syslog,
	SYS_lookup_dcookie,
	SYS_nfsservctl,
	/* its keys */
	SYS_add_key,
	SYS_request_key,
	SYS_keyctl,
	/* mounts, names, namespaces, and files by other means than names */
	SYS_mount,
	SYS_umount2,
	SYS_pivot_root,
	SYS_chroot,
	SYS_fsopen,
	SYS_fsconfig,
	SYS_fsmount,
	SYS_fspick,
	SYS_move_mount,
	SYS_open_tree,
	SYS_open_tree_attr,
	SYS_mount_setattr,
	SYS_unshare,
	SYS_setns,
	SYS_sethostname,
	SYS_setdomainname,
	SYS_quotactl,
	SYS_quotactl_fd,
	SYS_vhangup,
	SYS_open_by_handle_at,
	/* clocks */
	SYS_settimeofday,
	SYS_clock_settime,
	SYS_adjtimex,
	SYS_clock_adjtime,
#ifdef SYS_uselib
	SYS_uselib,
	SYS_ustat,
	SYS__sysctl,
#endif
};

static const int executing[] = {
	SYS_execve,    SYS_execveat, SYS_setuid,    SYS_setgid,
	SYS_setreuid,  SYS_setregid, SYS_setresuid, SYS_setresgid,
	SYS_setgroups, SYS_setfsuid, SYS_setfsgid,  SYS_capset,
};

static const int attributing[] = {
	SYS_fchmod,	SYS_fchmodat,	   SYS_fchown,	     SYS_fchownat,
	SYS_setxattr,	SYS_lsetxattr,	   SYS_fsetxattr,    SYS_removexattr,
	SYS_mknodat,	SYS_lremovexattr,  SYS_fremovexattr, SYS_fchmodat2,
	SYS_setxattrat, SYS_removexattrat, SYS_file_setattr,
#ifdef SYS_chmod
	SYS_chmod,	SYS_chown,	   SYS_lchown,	     SYS_mknod,
#endif
};

/* The low half of an argument; both architectures are little-endian. */
#define ARGUMENT(n)   ((uint32_t)offsetof(struct seccomp_data, args[n]))
#define FAILS(number) (SECCOMP_RET_ERRNO | (number))
#define NAMESPACES                                                   \
	(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | \
	 CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP)

struct filter {
	struct sock_filter v[400];
	unsigned short n;
};

static void say(struct filter *f, struct sock_filter one)
{
	if (f->n < sizeof(f->v) / sizeof(*f->v))
		f->v[f->n] = one;
	f->n++;
}

static void load(struct filter *f, uint32_t offset)
{
	say(f, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset));
}

static void answer(struct filter *f, uint32_t what)
{
	say(f, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, what));
}

/* Go on with the next when it is so, else leave out `skipped` of them. */
static void unless(struct filter *f, uint16_t how, uint32_t k, uint8_t skipped)
{
	say(f, (struct sock_filter){ .code = (uint16_t)(BPF_JMP | how | BPF_K),
				     .jf = skipped,
				     .k = k });
}

static void answer_all(struct filter *f, const int *calls, size_t n,
		       uint32_t what)
{
	for (size_t i = 0; i < n; i++) {
		unless(f, BPF_JEQ, (uint32_t)calls[i], 1);
		answer(f, what);
	}
}
#define ANSWER_ALL(f, calls, what) \
	answer_all(f, calls, sizeof(calls) / sizeof(*(calls)), what)

static void judge_arguments(struct filter *f)
{
	static const uint32_t families[] = { AF_UNIX, AF_INET, AF_INET6,
					     AF_NETLINK };

	/* Six at the end: four comparisons, the refusal, the next number. */
	unless(f, BPF_JEQ, SYS_socket, 7);
	load(f, ARGUMENT(0));
	for (uint8_t i = 0; i < 4; i++)
		say(f, (struct sock_filter){ .code = BPF_JMP | BPF_JEQ | BPF_K,
					     .jt = (uint8_t)(4 - i),
					     .k = families[i] });
	answer(f, FAILS(EAFNOSUPPORT));
	say(f, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
					    offsetof(struct seccomp_data, nr)));
	/* Words put into a terminal as if they had been typed. */
	unless(f, BPF_JEQ, SYS_ioctl, 4);
	load(f, ARGUMENT(1));
	unless(f, BPF_JEQ, TIOCSTI, 1);
	answer(f, FAILS(EPERM));
	load(f, offsetof(struct seccomp_data, nr));
	unless(f, BPF_JEQ, SYS_clone, 4);
	load(f, ARGUMENT(0));
	unless(f, BPF_JSET, NAMESPACES, 1);
	answer(f, FAILS(EPERM));
	load(f, offsetof(struct seccomp_data, nr));
	/* Its arguments cannot be read; the C library then takes clone(). */
	unless(f, BPF_JEQ, SYS_clone3, 1);
	answer(f, FAILS(ENOSYS));
}

static void make_filter(struct filter *f, const struct sandbox *s)
{
	f->n = 0;
	load(f, offsetof(struct seccomp_data, arch));
	unless(f, BPF_JEQ, ARCHITECTURE, 1);
	say(f, (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, 1));
	answer(f, SECCOMP_RET_KILL_PROCESS);
	load(f, offsetof(struct seccomp_data, nr));
#ifdef __X32_SYSCALL_BIT
	unless(f, BPF_JGE, __X32_SYSCALL_BIT, 1);
	answer(f, SECCOMP_RET_KILL_PROCESS);
#endif
	ANSWER_ALL(f, ending, SECCOMP_RET_KILL_PROCESS);
	ANSWER_ALL(f, never, FAILS(EPERM));
	if (!s->executes)
		ANSWER_ALL(f, executing, FAILS(EPERM));
	if (!s->attributes)
		ANSWER_ALL(f, attributing, FAILS(EPERM));
	judge_arguments(f);
	answer(f, SECCOMP_RET_ALLOW);
}

/* 1, 0: the kernel has none, -1. */
static int enter_filter(const struct sandbox *s, struct err *e)
{
	struct filter f;
	struct sock_fprog program = { .filter = f.v };

	make_filter(&f, s);
	program.len = f.n;
	if (f.n > sizeof(f.v) / sizeof(*f.v))
		return err_set(e, ERR_BUG, "the filter is too long");
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0)
		return 1;
	return errno == ENOSYS || errno == EINVAL
		       ? 0
		       : err_sys(e, "cannot filter system calls");
}

static bool has_filter(void)
{
	const uint32_t action = SECCOMP_RET_KILL_PROCESS;

	return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

#else

static int enter_filter(const struct sandbox *s UNUSED, struct err *e UNUSED)
{
	return 0;
}

static bool has_filter(void)
{
	return false;
}

#endif

/* ---- Landlock ----------------------------------------------------------- */

/* Numbers of the kernel's, some newer than its headers here. */
enum {
	FS_EXECUTE = 1 << 0,
	FS_WRITE_FILE = 1 << 1,
	FS_READ_FILE = 1 << 2,
	FS_READ_DIR = 1 << 3,
	FS_REMOVE_DIR = 1 << 4,
	FS_REMOVE_FILE = 1 << 5,
	FS_MAKE_CHAR = 1 << 6,
	FS_MAKE_DIR = 1 << 7,
	FS_MAKE_REG = 1 << 8,
	FS_MAKE_SOCK = 1 << 9,
	FS_MAKE_FIFO = 1 << 10,
	FS_MAKE_BLOCK = 1 << 11,
	FS_MAKE_SYM = 1 << 12,
	FS_REFER = 1 << 13,
	FS_TRUNCATE = 1 << 14, /* since 3 */
	NET_BIND = 1 << 0,     /* since 4 */
	NET_CONNECT = 1 << 1,
	SCOPE_ABSTRACT = 1 << 0, /* since 6 */
	SCOPE_SIGNAL = 1 << 1,

	OF_FILES = FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE,
	READING = FS_READ_FILE | FS_READ_DIR,
	WRITING = FS_WRITE_FILE | FS_TRUNCATE | FS_REMOVE_DIR | FS_REMOVE_FILE |
		  FS_MAKE_DIR | FS_MAKE_REG | FS_MAKE_SYM | FS_REFER,
	SPECIAL = FS_MAKE_CHAR | FS_MAKE_SOCK | FS_MAKE_FIFO | FS_MAKE_BLOCK,

	/* The first one refuses every rename into another folder. */
	LEAST_VERSION = 2
};

struct rules {
	uint64_t fs, net, scoped;
};

struct rule {
	uint64_t allowed;
	int32_t folder;
} __attribute__((packed));

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule	    445
#define SYS_landlock_restrict_self  446
#endif
enum { VERSION = 1, PATH_BENEATH = 1 };

static int version(void)
{
	const long v = syscall(SYS_landlock_create_ruleset, NULL, 0, VERSION);

	return v >= LEAST_VERSION ? (int)v : 0;
}

static struct rules rules_of(const struct sandbox *s, int v)
{
	struct rules r = { 0 };

	if (!s->reads)
		r.fs |= READING;
	if (!s->writes)
		r.fs |= WRITING | SPECIAL;
	if (!s->executes)
		r.fs |= FS_EXECUTE;
	if (v < 3)
		r.fs &= ~(uint64_t)FS_TRUNCATE;
	if (v >= 4)
		r.net = NET_BIND | (s->connects ? 0 : NET_CONNECT);
	if (v >= 6)
		r.scoped = SCOPE_ABSTRACT | SCOPE_SIGNAL;
	/* What it starts is the administrator's, and may talk to others. */
	if (s->executes)
		r.net = r.scoped = 0;
	return r;
}

static uint64_t rights_of(unsigned int rights)
{
	uint64_t all = 0;

	if (rights & SANDBOX_READ)
		all |= READING;
	if (rights & SANDBOX_WRITE)
		all |= WRITING;
	if (rights & SANDBOX_FOLDERS)
		all |= FS_MAKE_DIR | FS_REMOVE_DIR;
	if (rights & SANDBOX_SPECIAL)
		all |= SPECIAL;
	return all;
}

static int add_place(int rules_fd, const struct rules *r,
		     const struct sandbox_place *place, struct err *e)
{
	CLEANUP(file_close)
	int fd = open(place->path, O_PATH | O_CLOEXEC);
	struct rule rule = { .allowed = r->fs & rights_of(place->rights),
			     .folder = fd };
	struct stat st;

	if (fd < 0)
		return 0; /* what needs it will say so */
	if (fstat(fd, &st) < 0)
		return err_sys(e, "cannot look at %s",
			       text_quote_str(place->path).s);
	if (!S_ISDIR(st.st_mode))
		rule.allowed &= OF_FILES;
	if (rule.allowed == 0)
		return 0;
	/* EBADFD: a pipe, or what only the kernel has, which needs none. */
	if (syscall(SYS_landlock_add_rule, rules_fd, PATH_BENEATH, &rule, 0) <
	    0)
		return errno == EBADFD ? 0
				       : err_sys(e, "cannot confine to %s",
						 text_quote_str(place->path).s);
	if (place->rights & SANDBOX_WRITE)
		(void)TAKE_FD(fd); /* held open to the end */
	return 0;
}

/*
 * Moving into another folder is refused by any set of rules that does not
 * allow it, even by one that has no word about it.
 */
static int allow_moves(int rules_fd, struct err *e)
{
	CLEANUP(file_close) const int fd = open("/", O_PATH | O_CLOEXEC);
	const struct rule rule = { .allowed = FS_REFER, .folder = fd };

	return fd >= 0 && syscall(SYS_landlock_add_rule, rules_fd, PATH_BENEATH,
				  &rule, 0) == 0
		       ? 0
		       : err_sys(e, "cannot allow files to be moved");
}

/* The build that counts lines writes its counts at the end. */
static int add_counts(int rules_fd UNUSED, const struct rules *r UNUSED,
		      struct err *e UNUSED)
{
#ifdef SNAPCTL_COVERAGE
	return add_place(
		rules_fd, r,
		&(const struct sandbox_place){ SNAPCTL_COVERAGE,
					       SANDBOX_READ | SANDBOX_WRITE },
		e);
#else
	return 0;
#endif
}

static int enter_landlock(const struct sandbox *s, int v, struct err *e)
{
	struct rules r = rules_of(s, v);
	CLEANUP(file_close) int fd = -1;

	if (!r.fs && !r.net && !r.scoped)
		return 0; /* rules about nothing are none */
	r.fs |= FS_REFER;
	fd = (int)syscall(SYS_landlock_create_ruleset, &r, sizeof(r), 0);
	if (fd < 0)
		return err_sys(e, "cannot make rules for files");
	if ((s->writes && allow_moves(fd, e) < 0) || add_counts(fd, &r, e) < 0)
		return -1;
	for (size_t i = 0; i < s->place_count; i++)
		if (add_place(fd, &r, &s->places[i], e) < 0)
			return -1;
	return syscall(SYS_landlock_restrict_self, fd, 0) == 0
		       ? 0
		       : err_sys(e, "cannot confine to some places");
}

/* ---- All of it ---------------------------------------------------------- */

static bool are_there_threads(void)
{
	DIR *d = opendir("/proc/self/task");
	const struct dirent *entry;
	unsigned int n = 0;

	while (d && (entry = readdir(d)))
		n += entry->d_name[0] != '.';
	if (d)
		(void)closedir(d);
	return n > 1;
}

/* Those that were joined are there until the kernel has put them away. */
#define THREADS_LOOKS 50

static bool has_threads(void)
{
	for (int i = 0; i < THREADS_LOOKS; i++) {
		if (!are_there_threads())
			return false;
		clock_sleep_ms(2);
	}
	return true;
}

int sandbox_enter(const struct sandbox *s, struct sandbox_state *ret,
		  struct err *e)
{
	const int v = version();
	int filtered;

	*ret = (struct sandbox_state){ 0 };
	if (has_threads())
		return err_set(e, ERR_BUG,
			       "there are threads, which would stay free");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(e, "cannot renounce privileges");
	ret->no_new_privileges = true;
	if (v > 0 && enter_landlock(s, v, e) < 0)
		return -1;
	ret->landlock = v;
	filtered = enter_filter(s, e);
	ret->filter = filtered > 0;
	return filtered < 0 ? -1 : 0;
}

void sandbox_probe(struct sandbox_state *ret)
{
	*ret = (struct sandbox_state){ .no_new_privileges = true,
				       .filter = has_filter(),
				       .landlock = version() };
}

void sandbox_tell(const struct sandbox_state *s, char out[SANDBOX_TEXT])
{
	char landlock[24] = "";

	if (s->landlock)
		(void)snprintf(landlock, sizeof(landlock), ", Landlock %d",
			       s->landlock);
	(void)snprintf(out, SANDBOX_TEXT, "%s%s%s",
		       s->no_new_privileges ? "no new privileges" : "nothing",
		       s->filter ? ", a filter of system calls" : "", landlock);
}

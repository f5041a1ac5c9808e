#include "service/start.h"

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/seam.h"
#include "base/secret.h"

/* More than any pipeline has open at a time. */
#define DESCRIPTORS ((rlim_t)4096)

/*
 * The pipelines make and free buffers of up to some MiB all the time.  Pages
 * given back each time must be had, and cleared, again: a first snapshot of
 * 74,000 files, 1 GB, took 50,000 page faults and 3.6 s with the C library's
 * own settings, 15,000 and 3.2 s with these, in as much memory.
 */
static void keep_freed_memory(void)
{
#ifdef M_ARENA_MAX
	const long cores = sysconf(_SC_NPROCESSORS_ONLN);

	(void)mallopt(M_MMAP_THRESHOLD, 32 << 20);
	(void)mallopt(M_TRIM_THRESHOLD, 64 << 20);
	(void)mallopt(M_ARENA_MAX, cores < 2 ? 2 : (int)cores);
#endif
}

/*
 * Linux lets a table of descriptors grow, of a process that has threads, only
 * once all processors have let go of the old one: 10 to 15 ms each time, while
 * nobody can open anything.  Of one that has no thread yet it grows at once.
 */
static void make_room_for_descriptors(int fd)
{
	struct rlimit was;
	struct rlimit most;
	int last;

	if (getrlimit(RLIMIT_NOFILE, &was) < 0)
		return;
	/* Who opens many raises the limit as far as that. */
	most = was;
	most.rlim_cur = was.rlim_max > DESCRIPTORS ? DESCRIPTORS : was.rlim_max;
	if (most.rlim_cur > was.rlim_cur)
		(void)setrlimit(RLIMIT_NOFILE, &most);
	last = fcntl(fd, F_DUPFD_CLOEXEC, (int)most.rlim_cur - 1);
	if (last >= 0)
		close(last);
	(void)setrlimit(RLIMIT_NOFILE, &was);
}

int start_process(struct err *e)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	int fd;

	do {
		fd = open("/dev/null", O_RDWR | O_NOCTTY);
	} while (fd >= 0 && fd <= 2);
	if (fd < 0)
		return err_sys(e, "cannot open /dev/null");
	make_room_for_descriptors(fd);
	close(fd);
	if (sigaction(SIGPIPE, &ignore, NULL) < 0)
		return err_sys(e, "cannot ignore SIGPIPE");
	keep_freed_memory();
	seam_from_environment();
	return secret_start(e);
}

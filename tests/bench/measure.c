#include "tests/bench/measure.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SAMPLE_NS 5000000

struct moment {
	double wall, processor;
	uint64_t read, written;
};

static struct moment begun;
static atomic_uint_fast64_t peak_kib;
static atomic_uint_fast64_t looked; /* bytes of /proc that we read ourselves */
static atomic_bool over;

static double clock_of(clockid_t which)
{
	struct timespec t;

	(void)clock_gettime(which, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A figure of a file of /proc/self, such as "RssAnon:" in KiB. */
static uint64_t figure(const char *file, const char *name)
{
	char text[4096];
	const int fd = open(file, O_RDONLY | O_CLOEXEC);
	const ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	const char *at;

	if (fd >= 0)
		(void)close(fd);
	if (n <= 0)
		return 0;
	(void)atomic_fetch_add(&looked, (uint64_t)n);
	text[n] = '\0';
	at = strstr(text, name);
	return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

static void sample(void)
{
	const uint64_t now = figure("/proc/self/status", "RssAnon:");

	if (now > atomic_load(&peak_kib))
		atomic_store(&peak_kib, now);
}

static void *sampler(void *arg)
{
	const struct timespec pause = { .tv_nsec = SAMPLE_NS };

	(void)arg;
	while (!atomic_load(&over)) {
		sample();
		(void)nanosleep(&pause, NULL);
	}
	return NULL;
}

static struct moment now(void)
{
	return (struct moment){
		.wall = clock_of(CLOCK_MONOTONIC),
		.processor = clock_of(CLOCK_PROCESS_CPUTIME_ID),
		.written = figure("/proc/self/io", "wchar:"),
		.read = figure("/proc/self/io", "rchar:") -
			atomic_load(&looked),
	};
}

void measure_begin(void)
{
	begun = now();
	atomic_store(&peak_kib, 0);
}

static void in_child(const char *what, uint64_t n, measure_run *run, void *arg)
{
	pthread_t thread;
	struct moment end;
	int64_t bytes_read;

	if (pthread_create(&thread, NULL, sampler, NULL))
		_exit(1);
	measure_begin();
	run(arg);
	sample();
	end = now();
	/* Each may be off by looks that were under way: less than nothing. */
	bytes_read = (int64_t)(end.read - begun.read);
	if (bytes_read < 0)
		bytes_read = 0;
	atomic_store(&over, true);
	(void)pthread_join(thread, NULL);
	(void)printf("%-44s %10llu %10.4f s %10.4f s of the processor "
		     "%8.1f MiB %10.1f MiB read %10.1f MiB written\n",
		     what, (unsigned long long)n, end.wall - begun.wall,
		     end.processor - begun.processor,
		     (double)atomic_load(&peak_kib) / 1024,
		     (double)bytes_read / 1048576,
		     (double)(end.written - begun.written) / 1048576);
	(void)fflush(stdout);
	_exit(0);
}

void measure(const char *what, uint64_t n, measure_run *run, void *arg)
{
	pid_t child;
	int status;

	(void)fflush(stdout);
	child = fork();
	if (child == 0)
		in_child(what, n, run, arg);
	if (child > 0 && waitpid(child, &status, 0) == child && status == 0)
		return;
	(void)fprintf(stderr, "%s: did not come to its end\n", what);
	exit(1);
}

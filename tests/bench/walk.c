/*
 * How long an unchanged walk takes: every entry with its stat, nothing
 * opened.
 *
 *	walk PATH [THREADS [ROUNDS]]
 *
 * Beside it: find PATH -printf '%p %s %T@' > /dev/null
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/text.h"
#include "storage/sources/files.h"

static int walk(const char *path, unsigned int threads, struct err *e)
{
	CLEANUP(source_close) struct source *s = NULL;
	const struct files_options o = {
		.paths = &path,
		.path_count = 1,
		.threads = threads,
	};
	const int64_t begun = clock_boot_ms();
	struct rusage usage;
	struct entry en;
	uint64_t bytes = 0;
	uint64_t count = 0;
	int r;

	if (files_open(&o, &s, e) < 0)
		return -1;
	while ((r = source_next(s, &en, e)) > 0) {
		bytes += en.size;
		count++;
	}
	if (r < 0)
		return -1;
	(void)getrusage(RUSAGE_SELF, &usage);
	printf("%" PRIu64 " entries, %" PRIu64 " bytes, %" PRId64
	       " ms, peak %ld KiB\n",
	       count, bytes, clock_boot_ms() - begun, usage.ru_maxrss);
	return 0;
}

int main(int argc, char **argv)
{
	struct err e = { 0 };
	int64_t threads = 0;
	int64_t rounds = 1;

	if (argc < 2 || argc > 4 ||
	    (argc > 2 && !text_number(argv[2], 0, 16, &threads)) ||
	    (argc > 3 && !text_number(argv[3], 1, 1000, &rounds))) {
		fputs("usage: walk PATH [THREADS [ROUNDS]]\n", stderr);
		return 2;
	}
	while (rounds-- > 0) {
		if (walk(argv[1], (unsigned int)threads, &e) < 0) {
			fprintf(stderr, "walk: %s\n", e.text);
			return EXIT_FAILURE;
		}
	}
	return EXIT_SUCCESS;
}

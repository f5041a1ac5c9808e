/*
 * The main() of a fuzz target in normal builds: every file of the corpus
 * folders given, and of each the beginnings, so that a cut is tried anywhere.
 */
#include <dirent.h>
#include <fcntl.h>

#include "base/buf.h"
#include "base/file.h"
#include "tests/support/fuzz.h"

#define INPUT_MAX (1 << 20)
/* Of longer inputs only some beginnings: time grows with the square. */
#define CUTS 512

/* A copy of exactly n bytes, so that a sanitizer sees a read past them. */
static void try_bytes(const uint8_t *bytes, size_t n)
{
	uint8_t *copy = malloc(n ? n : 1);

	if (!copy)
		abort();
	if (n)
		memcpy(copy, bytes, n);
	(void)LLVMFuzzerTestOneInput(copy, n);
	free(copy);
}

static void try_file(const char *path)
{
	CLEANUP(buf_done) struct buf b;
	struct err e;
	size_t step;

	buf_init(&b, INPUT_MAX);
	if (file_read_all(path, &b, &e)) {
		(void)fprintf(stderr, "%s\n", e.text);
		exit(EXIT_FAILURE);
	}
	(void)fprintf(stderr, "trying %s\n", path);
	step = b.len / CUTS + 1;
	for (size_t n = 0; n < b.len; n += step)
		try_bytes(b.data, n);
	try_bytes(b.data, b.len);
}

static unsigned int try_folder(const char *folder)
{
	DIR *d = opendir(folder);
	const struct dirent *entry;
	unsigned int tried = 0;

	if (!d) {
		perror(folder);
		exit(EXIT_FAILURE);
	}
	while ((entry = readdir(d))) {
		char path[4096];

		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", folder,
			       entry->d_name);
		try_file(path);
		tried++;
	}
	(void)closedir(d);
	return tried;
}

int main(int argc, char **argv)
{
	unsigned int tried = 0;

	for (int i = 1; i < argc; i++)
		tried += try_folder(argv[i]);
	/* An empty corpus would pass for ever. */
	(void)printf("%s: Checks: %u, Failures: 0, Errors: 0\n",
		     tried ? "100%" : "0%", tried);
	return tried ? EXIT_SUCCESS : EXIT_FAILURE;
}

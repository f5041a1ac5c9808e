/*
 * The location of a store, and the name of an object in it.  Nothing is opened:
 * what would be is compared with another reading of the location.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>

#include "storage/stores/store.h"
#include "tests/support/fuzz.h"

static char opened[PATH_MAX];
static bool any;
static bool armed; /* only what store_open() opens is looked at */

static int note(const char *path, int flags)
{
	FUZZ_PROMISE(flags & O_DIRECTORY);
	FUZZ_PROMISE(!(flags & (O_CREAT | O_WRONLY | O_RDWR)));
	FUZZ_PROMISE(strlen(path) < sizeof(opened));
	memcpy(opened, path, strlen(path) + 1);
	any = true;
	errno = ENOENT;
	return -1;
}

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...)
{
	return armed ? note(path, flags) : __real_open64(path, flags);
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
	return armed ? note(path, flags) : __real_open(path, flags);
}

/* Percent-decoding with sscanf(), of what was accepted. */
static void check_path(const char *url)
{
	const char *at = url;
	const char *got = opened;

	if (strncasecmp(url, "file:", 5) == 0) {
		FUZZ_PROMISE(strncmp(url + 5, "///", 3) == 0);
		at = url + 7;
	} else {
		FUZZ_PROMISE(strcmp(url, opened) == 0);
		return;
	}
	for (; *at; at++, got++) {
		unsigned int byte = (unsigned char)*at;

		if (*at == '%') {
			FUZZ_PROMISE(sscanf(at + 1, "%2x", &byte) == 1);
			at += 2;
		}
		FUZZ_PROMISE(byte != 0 && (unsigned char)*got == byte);
	}
	FUZZ_PROMISE(*got == '\0' && opened[0] == '/');
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	char *url = fuzz_text(bytes, n);
	struct store *s = NULL;
	struct err e;

	any = false;
	if (store_name_ok(url)) {
		FUZZ_PROMISE(url[0] != '/' && url[0] != '.' &&
			     !strstr(url, "/.") && !strstr(url, "//") &&
			     strlen(url) <= STORE_NAME_MAX &&
			     url[strlen(url) - 1] != '/');
	}
	/* Stores in memory are for tests; fuzz_s3_place reads the others, which
	 * open no folder, and need not be there to be opened. */
	if (strncasecmp(url, "mem:", 4) != 0 &&
	    strncasecmp(url, "s3:", 3) != 0) {
		armed = true;
		FUZZ_PROMISE(store_open(url, false, &s, &e) < 0);
		armed = false;
		FUZZ_PROMISE(e.code == ERR_USAGE || e.code == ERR_NOT_FOUND);
		FUZZ_PROMISE(any == (e.code == ERR_NOT_FOUND));
		if (any)
			check_path(url);
	}
	free(url);
	return 0;
}

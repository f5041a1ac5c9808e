/* A time zone's name: whatever it is, no file but the database's is read. */
#include <stdbool.h>

#include "base/file.h"
#include "service/zoneinfo.h"
#include "tests/support/fuzz.h"

/* A folder that is there, and holds no zones. */
#define DATABASE "/proc/tty"

static bool armed; /* only what zoneinfo_load() reads is looked at */

int __real_file_read_all(const char *path, struct buf *out, struct err *e);
int __wrap_file_read_all(const char *path, struct buf *out, struct err *e);
int __wrap_file_read_all(const char *path, struct buf *out, struct err *e)
{
	if (!armed)
		return __real_file_read_all(path, out, e);
	FUZZ_PROMISE(strncmp(path, DATABASE "/", strlen(DATABASE) + 1) == 0);
	FUZZ_PROMISE(!strstr(path, "/.") && !strstr(path, "//"));
	return err_set(e, ERR_NOT_FOUND, "it is not there");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	char *name = fuzz_text(bytes, n);
	struct zone *z = NULL;
	struct err e;

	FUZZ_PROMISE(setenv("TZDIR", DATABASE, 1) == 0);
	armed = true;
	if (zoneinfo_load(name, &z, &e) == 0)
		FUZZ_PROMISE(strcmp(name, "UTC") == 0);
	else
		FUZZ_PROMISE(e.code == ERR_USAGE && e.text[0] && e.hint[0]);
	armed = false;
	zone_free(z);
	free(name);
	return 0;
}

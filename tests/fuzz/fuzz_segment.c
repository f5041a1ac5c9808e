/*
 * A segment of the catalog, as a repository holds it: what is taken into a
 * fresh catalog can be told again, and that is taken, too.
 */
#include "base/buf.h"
#include "base/secret.h"
#include "service/catalog.h"
#include "service/catalog_audit.h"
#include "tests/support/fuzz_folder.h"

static struct catalog *catalog;

static void path_of(const char *name, char out[4200])
{
	(void)fuzz_folder();
	(void)snprintf(out, 4200, "%s/%s", fuzz_folder_path, name);
}

static void close_catalog(void)
{
	catalog_close(catalog);
	catalog = NULL;
}

/* One for all inputs, each of which is undone; and how an empty one looks. */
static void open_catalog(void)
{
	char path[4200];
	struct err e;

	if (catalog)
		return;
	FUZZ_PROMISE(secret_start(&e) == 0);
	path_of("empty.db", path);
	FUZZ_PROMISE(catalog_open(path, &catalog, &e) == 0);
	close_catalog();
	path_of("catalog.db", path);
	FUZZ_PROMISE(catalog_open(path, &catalog, &e) == 0);
	FUZZ_PROMISE(atexit(close_catalog) == 0);
}

/* Whether it is taken; nothing of it stays. */
static bool is_taken(const char *text, size_t n)
{
	struct catalog_imported io = { 0 };
	struct err e = { 0 };
	int failed;

	FUZZ_PROMISE(catalog_begin(catalog, &e) == 0);
	failed = catalog_segment_import(catalog, text, n, &io, &e);
	catalog_rollback(catalog);
	if (failed)
		FUZZ_PROMISE(e.code == ERR_CORRUPT || e.code == ERR_NEWER ||
			     e.code == ERR_FULL);
	return !failed;
}

/* A copy of the empty catalog, for one that is not undone. */
static struct catalog *open_fresh(void)
{
	struct catalog *c = NULL;
	static uint8_t bytes[4 << 20];
	char path[4200];
	struct err e;
	ssize_t n;
	int fd;

	fd = openat(fuzz_folder(), "empty.db", O_RDONLY | O_CLOEXEC);
	n = read(fd, bytes, sizeof(bytes));
	FUZZ_PROMISE(n > 0 && (size_t)n < sizeof(bytes));
	(void)close(fd);
	fuzz_folder_put("fresh.db", bytes, (size_t)n);
	path_of("fresh.db", path);
	FUZZ_PROMISE(catalog_open(path, &c, &e) == 0);
	return c;
}

/* Told again by a catalog that took it. */
static void tell_again(const char *text, size_t n, struct buf *out)
{
	const struct catalog_export x = { .repository = "main",
					  .now = { .sec = 1000 },
					  .sink = json_to_buf,
					  .arg = out };
	struct catalog_imported io = { 0 };
	struct catalog_segment segment;
	struct catalog *c = open_fresh();
	struct err e = { 0 };

	FUZZ_PROMISE(catalog_segment_import(c, text, n, &io, &e) == 0);
	FUZZ_PROMISE(catalog_segment_export(c, &x, &segment, &e) == 0);
	catalog_close(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	CLEANUP(buf_done) struct buf out;

	buf_init(&out, (size_t)64 << 20);
	if (n > (1 << 16))
		return 0;
	open_catalog();
	if (is_taken((const char *)bytes, n)) {
		tell_again((const char *)bytes, n, &out);
		FUZZ_PROMISE(is_taken(buf_str(&out), out.len));
	}
	return 0;
}

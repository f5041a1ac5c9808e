/* What becomes of damage: here, a check that runs out of memory over it. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/repository/check.h"
#include "tests/support/alloc_fail.h"
#include "tests/support/random.h"
#include "tests/support/repo_frame.h"
#include "tests/support/repo_store.h"

#define URL "mem:damage"

static struct repo_frame f;
static struct random dice = { 1 };
static struct err e;

static void write_file(const char *name, size_t n)
{
	char path[SCRATCH_PATH + 64];
	uint8_t *bytes = malloc(n + 1);
	FILE *file;

	ck_assert_ptr_nonnull(bytes);
	random_bytes(&dice, bytes, n);
	(void)snprintf(path, sizeof(path), "%s/%s", f.from, name);
	file = fopen(path, "we");
	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(bytes, 1, n, file), n);
	ck_assert_int_eq(fclose(file), 0);
	free(bytes);
}

static void set_up(void)
{
	repo_frame_init(&f, URL);
	ck_assert_int_eq(mkdir(f.from, 0700), 0);
	write_file("small", 900);
	write_file("large", 900000);
}

static void tear_down(void)
{
	repo_frame_done(&f);
}

static int look(enum check_level level, bool repair, struct check_result *ret,
		struct err *_e)
{
	const struct check_options o = { .level = level,
					 .repair = repair,
					 .now = clock_now(),
					 .scratch = f.dir.path };
	CLEANUP(repository_close) struct repository *r = NULL;

	if (repository_open(URL, f.credential, &r, _e))
		return -1;
	return check_run(r, &o, ret, _e);
}

static int keep_name(void *arg, const struct store_entry *entry, struct err *_e)
{
	(void)_e;
	(void)snprintf(arg, STORE_NAME_MAX + 1, "%s", entry->name);
	return 0;
}

/* The last object whose name begins with prefix. */
static void find_object(const char *prefix, char name[STORE_NAME_MAX + 1])
{
	name[0] = '\0';
	ck_ok(store_list(repository_store(f.r), prefix, keep_name, name, &e));
	ck_assert_msg(name[0] != '\0', "there is nothing in %s", prefix);
}

/*
 * Out of memory.
 */
static int story_check(void *arg, struct err *_e)
{
	CLEANUP(check_result_done) struct check_result x = { 0 };

	(void)arg;
	if (look(CHECK_STRUCTURE, false, &x, _e))
		return -1;
	return x.sound ? err_set(_e, ERR_BUG, "it is sound") : 0;
}

START_TEST(a_check_without_memory_never_says_sound)
{
	char name[STORE_NAME_MAX + 1];

	(void)repo_take(&f);
	find_object("data/", name);
	ck_ok(store_remove(repository_store(f.r), name, &e));
	ck_assert_uint_gt(alloc_fail_each(story_check, NULL), 20);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, a_check_without_memory_never_says_sound);
}

CHECK_MAIN("storage, damaged", cases)

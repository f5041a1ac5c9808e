/* Snapshots that a provider's programs take: service/volume.h. */
#include "service/volume.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "service/guardian.h"
#include "service/hooks.h"
#include "tests/support/check_main.h"
#include "tests/support/scratch.h"

static struct scratch dir;
static struct err e;
static atomic_bool stop;
static char script[SCRATCH_PATH];
static char log_path[SCRATCH_PATH];
static char of[SCRATCH_PATH];
static const char *paths[1] = { of };
static const char *create[2] = { script, "create" };
static const char *locate[2] = { script, "locate" };
static const char *removing[2] = { script, "remove" };
static struct resource_source declared;

/*
 * Snapshots are folders "snapshots/NAME".  Each call is written into the log;
 * a file "bad-<verb>" has it do something else.
 */
static void write_provider(void)
{
	FILE *f = fopen(script, "we");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_gt(
		fprintf(f,
			"#!/bin/sh\n"
			"cd '%s' || exit 9\n"
			"case $2 in snapctl-web-*[0-9a-f]) ;;\n"
			"*) exit 8;; esac\n"
			"printf '%%s ' \"$1\" >>log\n"
			"if [ -e \"bad-$1\" ]; then . \"./bad-$1\"; fi\n"
			"case $1 in\n"
			"create) mkdir \"snapshots/$2\";;\n"
			"locate) echo \"$PWD/snapshots/$2\";;\n"
			"remove) rm -rf \"snapshots/$2\";;\n"
			"esac\n",
			dir.path),
		0);
	ck_assert_int_eq(fclose(f), 0);
	ck_assert_int_eq(chmod(script, 0755), 0);
}

static void set_up(void)
{
	char path[SCRATCH_PATH];

	scratch_init(&dir);
	(void)scratch_path(&dir, "provider", script);
	(void)scratch_path(&dir, "log", log_path);
	ck_assert_int_eq(mkdir(scratch_path(&dir, "of", of), 0700), 0);
	ck_assert_int_eq(mkdir(scratch_path(&dir, "snapshots", path), 0700), 0);
	write_provider();
	declared = (struct resource_source){
		.type = "volume",
		.content = "files",
		.paths = { paths, 1 },
		.create = { create, 2 },
		.locate = { locate, 2 },
		.remove = { removing, 2 },
		.timeout_ms = 60000,
	};
	atomic_store(&stop, false);
	err_clear(&e);
}

static void tear_down(void)
{
	scratch_done(&dir);
}

/* The test's own program stands in for snapctld. */
static void become(void)
{
	_exit(guardian_main(3, 4, -1));
}

static int take(struct volume **ret)
{
	const struct volume_settings settings = { .source = "web",
						  .declared = &declared,
						  .state = dir.path,
						  .run = 7,
						  .stop = &stop,
						  .become = become };

	struct err ignored;

	if (volume_new(&settings, ret, &e) < 0)
		ck_abort_msg("%s", e.text);
	if (volume_ready(*ret, &e) == 0 && volume_create(*ret, &e) == 0 &&
	    volume_locate(*ret, &e) == 0)
		return 0;
	(void)!volume_remove(*ret, &ignored);
	volume_free(*ret);
	return -1;
}

static void taken(struct volume **ret)
{
	if (take(ret) < 0)
		ck_abort_msg("%s", e.text);
}

static void refused(const char *said)
{
	struct volume *v = NULL;

	err_clear(&e);
	ck_assert_int_eq(take(&v), -1);
	ck_assert_msg(strstr(e.text, said) != NULL, "%s", e.text);
}

static void removed(struct volume *v)
{
	if (volume_remove(v, &e) < 0)
		ck_abort_msg("%s", e.text);
	volume_free(v);
}

static void write_file(const char *name)
{
	char path[SCRATCH_PATH];
	FILE *f = fopen(scratch_path(&dir, name, path), "we");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fclose(f), 0);
}

static size_t count(const char *name)
{
	char path[SCRATCH_PATH];
	DIR *d = opendir(scratch_path(&dir, name, path));
	const struct dirent *entry;
	size_t n = 0;

	while (d && (entry = readdir(d)))
		n += entry->d_name[0] != '.';
	if (d)
		(void)closedir(d);
	return n;
}

/* Which programs were called so far. */
static const char *log_of(void)
{
	static char text[1000];
	FILE *f = fopen(log_path, "re");
	const size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;

	if (f)
		(void)fclose(f);
	text[n] = '\0';
	return text;
}

static void expect_log(const char *want)
{
	ck_assert_str_eq(log_of(), want);
}

/* The programs that were called last, and left nothing. */
static bool ended_with(const char *want)
{
	const char *log = log_of();
	const size_t n = strlen(log);
	const size_t k = strlen(want);

	return n >= k && strcmp(log + n - k, want) == 0 &&
	       count("snapshots") + count("volumes") == 0;
}

static void bad(const char *verb, const char *what)
{
	char name[64];
	char path[SCRATCH_PATH];
	FILE *f;

	(void)snprintf(name, sizeof(name), "bad-%s", verb);
	f = fopen(scratch_path(&dir, name, path), "we");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(what, f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

static void good(const char *verb)
{
	char name[64];
	char path[SCRATCH_PATH];

	(void)snprintf(name, sizeof(name), "bad-%s", verb);
	ck_assert_int_eq(unlink(scratch_path(&dir, name, path)), 0);
}

START_TEST(it_is_taken_located_and_removed_once)
{
	struct volume *v = NULL;
	struct stat st;

	taken(&v);
	expect_log("create locate ");
	ck_assert_int_eq(stat(volume_place(v), &st), 0);
	ck_assert_uint_eq(count("volumes"), 1);
	ck_assert_int_eq(volume_remove(v, &e), 0);
	ck_assert_int_eq(volume_remove(v, &e), 0);
	volume_free(v);
	expect_log("create locate remove ");
	ck_assert_uint_eq(count("snapshots"), 0);
	ck_assert_uint_eq(count("volumes"), 0);
}
END_TEST

START_TEST(what_locate_prints_is_read_strictly)
{
	static const struct {
		const char *printed;
		const char *said; /* NULL: fine */
	} table[] = {
		{ "/dev/vg0/snap\n", NULL },
		{ "/dev/vg0/snap", NULL },
		{ "/a b/\xc3\xa4", NULL },
		{ "", "printed nothing" },
		{ "\n", "printed nothing" },
		{ "dev/vg0\n", "an absolute path" },
		{ "/dev//vg0\n", "an absolute path" },
		{ "/dev/../etc\n", "an absolute path" },
		{ "/dev/./vg0\n", "an absolute path" },
		{ "/dev/vg0/\n", "an absolute path" },
		{ "/\n", "an absolute path" },
		{ "/dev/vg0\n\n", "one line" },
		{ "WARNING: x\n/dev/vg0\n", "one line" },
		{ "/dev/vg0\n/dev/vg1\n", "one line" },
		{ "/dev/vg0\r\n", "one line" },
		{ "/dev/\033[31m\n", "one line" },
	};
	char path[4096];
	char long_one[5000];

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		const char *p = table[i].printed;

		err_clear(&e);
		ck_assert_int_eq(volume_parse_place(p, strlen(p), path, &e),
				 table[i].said ? -1 : 0);
		if (table[i].said)
			ck_assert_msg(strstr(e.text, table[i].said) != NULL,
				      "%zu: %s", i, e.text);
		else
			ck_assert_int_eq(strncmp(path, p, strlen(path)), 0);
	}
	ck_assert_int_eq(volume_parse_place("/a\0b", 4, path, &e), -1);
	memset(long_one, 'a', sizeof(long_one));
	long_one[0] = '/';
	ck_assert_int_eq(
		volume_parse_place(long_one, sizeof(long_one), path, &e), -1);
}
END_TEST

/* Whatever is wrong with it, it is removed again. */
START_TEST(what_it_cannot_be_read_as_is_refused)
{
	bad("locate", "echo /nowhere/at/all; exit 0");
	refused("nothing can be read at");
	bad("locate", "echo \"$PWD/log\"; exit 0");
	refused("is no folder");
	bad("locate", "echo \"$PWD/of\"; exit 0");
	refused("no snapshot of it");
	bad("locate", "echo on fire >&2; exit 5");
	refused("saying \"on fire\"");
	bad("locate", "exit 0");
	refused("printed nothing");
	/* What a mount that failed leaves. */
	bad("locate", "mkdir -p empty; echo \"$PWD/empty\"; exit 0");
	write_file("of/file");
	refused("is an empty folder");
	bad("locate", "yes /a | head -n 3000; exit 0");
	refused("");
	declared.content = "block";
	bad("locate", "echo \"$PWD/of\"; exit 0");
	refused("is no device and no image");
	ck_assert_ptr_nonnull(strstr(log_of(), "create locate remove create"));
	ck_assert(ended_with("create locate remove "));
	ck_assert_int_eq(unlink(log_path), 0);
	bad("locate", "sleep 1000");
	/* Long enough for the others, which a busy machine decides. */
	for (declared.timeout_ms = 300; !ended_with("create locate remove ");
	     declared.timeout_ms *= 4) {
		ck_assert_int_le(declared.timeout_ms, 300 << 8);
		refused("was not done within");
	}
}
END_TEST

/* It may have done half of its work. */
START_TEST(one_that_cannot_be_taken_is_removed)
{
	static const char *nowhere[1] = { "/nowhere/at/all" };

	bad("create", "mkdir \"snapshots/$2\"; echo no space left; exit 5");
	refused("the provider's create, ");
	refused("saying \"no space left\"");
	expect_log("create remove create remove ");
	ck_assert_uint_eq(count("snapshots"), 0);
	declared.create = (struct resource_texts){ nowhere, 1 };
	refused("there is no program");
}
END_TEST

/* So that many a command is a provider without a script. */
START_TEST(the_name_stands_where_it_is_told)
{
	static const char *printing[3] = { "/bin/echo", NULL, NULL };
	static const char *failing[3] = { "/bin/false", "x", "{}" };
	char pattern[SCRATCH_PATH];
	struct volume *v = NULL;

	printing[1] = scratch_path(&dir, "snapshots/{}", pattern);
	declared.locate = (struct resource_texts){ printing, 2 };
	taken(&v);
	ck_assert_ptr_nonnull(
		strstr(volume_place(v), "/snapshots/snapctl-web-"));
	removed(v);
	ck_assert_uint_eq(count("snapshots"), 0);
	/* What was not taken, and cannot be removed, is none that is left. */
	declared.create = (struct resource_texts){ failing, 3 };
	declared.remove = (struct resource_texts){ failing, 3 };
	for (int i = 0; i <= VOLUME_LEFT_MAX; i++)
		refused("the provider's create, ");
	ck_assert_uint_eq(count("volumes"), 0);
}
END_TEST

START_TEST(one_that_stays_is_removed_by_the_next)
{
	struct volume *v = NULL;

	bad("remove", "echo in use; exit 5");
	taken(&v);
	ck_assert_int_eq(volume_remove(v, &e), -1);
	ck_assert_msg(strstr(e.text, "is still there") != NULL, "%s", e.text);
	ck_assert_msg(strstr(e.text, "saying \"in use\"") != NULL, "%s",
		      e.text);
	volume_free(v);
	ck_assert_uint_eq(count("snapshots"), 1);
	ck_assert_uint_eq(count("volumes"), 1);
	/* By what remove is today. */
	good("remove");
	taken(&v);
	ck_assert_uint_eq(count("snapshots"), 1); /* the new one */
	removed(v);
	ck_assert_uint_eq(count("snapshots"), 0);
	ck_assert_uint_eq(count("volumes"), 0);
	expect_log("create locate remove remove create locate remove ");
}
END_TEST

START_TEST(so_many_may_stay_and_no_more)
{
	char mended[SCRATCH_PATH];
	struct volume *v = NULL;

	(void)scratch_path(&dir, "mended", mended);

	bad("remove", "exit 5");
	for (size_t i = 0; i < VOLUME_LEFT_MAX; i++) {
		taken(&v);
		ck_assert_int_eq(volume_remove(v, &e), -1);
		volume_free(v);
		ck_assert_uint_eq(count("snapshots"), i + 1);
	}
	refused("cannot be removed, so none is taken: snapctl-web-");
	ck_assert_uint_eq(count("snapshots"), VOLUME_LEFT_MAX);
	/* What is declared today counts, not what was then. */
	removing[0] = mended;
	refused("cannot be removed, so none is taken");
	ck_assert_int_eq(symlink(script, mended), 0);
	good("remove");
	taken(&v);
	removed(v);
	ck_assert_uint_eq(count("snapshots"), 0);
	removing[0] = script;
}
END_TEST

/* Those of a source whose name begins with ours are not ours. */
START_TEST(what_others_left_is_theirs)
{
	char path[SCRATCH_PATH];
	struct volume *v = NULL;
	FILE *f;

	ck_assert_int_eq(mkdir(scratch_path(&dir, "volumes", path), 0700), 0);
	f = fopen(scratch_path(&dir, "volumes/snapctl-web-2-0123456789abcdef",
			       path),
		  "we");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs("?", f), 0);
	ck_assert_int_eq(fclose(f), 0);
	taken(&v);
	removed(v);
	ck_assert_uint_eq(count("volumes"), 1);
}
END_TEST

/* A run that is killed while it reads: what it does is `during`. */
static void die(void (*during)(void))
{
	const pid_t pid = fork();
	int status;

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		struct volume *v;

		if (take(&v) < 0)
			_exit(1);
		during();
		_exit(2);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status));
}

static void kill_ourselves(void)
{
	(void)kill(getpid(), SIGKILL);
}

/* Its guardian holds a lock for as long as it lives. */
static void wait_for_guardian(void)
{
	char path[SCRATCH_PATH];
	DIR *d = opendir(scratch_path(&dir, "volumes", path));
	const struct dirent *entry;
	int fd;

	ck_assert_ptr_nonnull(d);
	while ((entry = readdir(d))) {
		if (entry->d_name[0] == '.')
			continue;
		fd = openat(dirfd(d), entry->d_name, O_RDONLY | O_CLOEXEC);
		ck_assert_int_ge(fd, 0);
		ck_assert_int_eq(flock(fd, LOCK_EX), 0);
		(void)close(fd);
	}
	(void)closedir(d);
}

START_TEST(that_of_a_killed_run_is_removed_once)
{
	struct volume *v = NULL;

	die(kill_ourselves);
	wait_for_guardian();
	expect_log("create locate remove ");
	ck_assert_uint_eq(count("snapshots"), 0);
	/* Its empty journal is cleared away by the next. */
	taken(&v);
	removed(v);
	ck_assert_uint_eq(count("volumes"), 0);
	expect_log("create locate remove create locate remove ");
}
END_TEST

/* The only child of ours. */
static void kill_guardian(void)
{
	char path[64];
	FILE *f;
	int pid = 0;

	(void)snprintf(path, sizeof(path), "/proc/self/task/%d/children",
		       (int)getpid());
	f = fopen(path, "re");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fscanf(f, "%d", &pid), 1);
	(void)fclose(f);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
}

static void kill_guardian_and_ourselves(void)
{
	kill_guardian();
	kill_ourselves();
}

START_TEST(and_also_when_nobody_is_left_to_do_it)
{
	struct volume *v = NULL;

	die(kill_guardian_and_ourselves);
	wait_for_guardian();
	expect_log("create locate ");
	ck_assert_uint_eq(count("snapshots"), 1);
	taken(&v);
	expect_log("create locate remove create locate ");
	removed(v);
	ck_assert_uint_eq(count("snapshots"), 0);
	ck_assert_uint_eq(count("volumes"), 0);
}
END_TEST

/* Nobody else can have removed it before: what was read is whole. */
START_TEST(a_dead_guardian_is_replaced)
{
	struct volume *v = NULL;

	taken(&v);
	kill_guardian();
	ck_assert_uint_eq(count("snapshots"), 1);
	removed(v);
	expect_log("create locate remove ");
	ck_assert_uint_eq(count("volumes"), 0);
	taken(&v);
	kill_guardian();
	bad("remove", "exit 5");
	ck_assert_int_eq(volume_remove(v, &e), -1);
	ck_assert_msg(strstr(e.text, "is still there") != NULL, "%s", e.text);
	volume_free(v);
	good("remove");
	taken(&v);
	removed(v);
	ck_assert_uint_eq(count("volumes"), 0);
}
END_TEST

/* After a power cut, say; its name is what counts. */
START_TEST(a_journal_that_makes_no_sense_is_followed_by_its_name)
{
	char path[SCRATCH_PATH];
	struct volume *v = NULL;
	FILE *f;

	ck_assert_int_eq(mkdir(scratch_path(&dir, "volumes", path), 0700), 0);
	ck_assert_int_eq(mkdir(scratch_path(&dir,
					    "snapshots/snapctl-web-"
					    "0123456789abcdef",
					    path),
			       0700),
			 0);
	f = fopen(scratch_path(&dir, "volumes/snapctl-web-0123456789abcdef",
			       path),
		  "we");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fputc(0, f), 0);
	ck_assert_int_eq(fclose(f), 0);
	taken(&v);
	removed(v);
	expect_log("remove create locate remove ");
	ck_assert_uint_eq(count("snapshots"), 0);
	ck_assert_uint_eq(count("volumes"), 0);
}
END_TEST

/* "current", and the like. */
START_TEST(a_symlink_leads_to_it)
{
	struct volume *v = NULL;
	struct stat st;

	bad("locate",
	    "ln -s \"snapshots/$2\" link; echo \"$PWD/link\"; exit 0");
	taken(&v);
	ck_assert_int_eq(lstat(volume_place(v), &st), 0);
	ck_assert(S_ISDIR(st.st_mode));
	removed(v);
}
END_TEST

START_TEST(one_that_is_in_use_is_left_alone)
{
	struct volume *first = NULL;
	struct volume *second = NULL;

	taken(&first);
	taken(&second);
	ck_assert_uint_eq(count("snapshots"), 2);
	removed(second);
	ck_assert_uint_eq(count("snapshots"), 1);
	removed(first);
	expect_log("create locate create locate remove remove ");
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, it_is_taken_located_and_removed_once);
	tcase_add_test(tc, what_locate_prints_is_read_strictly);
	tcase_add_test(tc, what_it_cannot_be_read_as_is_refused);
	tcase_add_test(tc, one_that_cannot_be_taken_is_removed);
	tcase_add_test(tc, the_name_stands_where_it_is_told);
	tcase_add_test(tc, one_that_stays_is_removed_by_the_next);
	tcase_add_test(tc, so_many_may_stay_and_no_more);
	tcase_add_test(tc, what_others_left_is_theirs);
	tcase_add_test(tc, that_of_a_killed_run_is_removed_once);
	tcase_add_test(tc, and_also_when_nobody_is_left_to_do_it);
	tcase_add_test(tc, a_dead_guardian_is_replaced);
	tcase_add_test(tc,
		       a_journal_that_makes_no_sense_is_followed_by_its_name);
	tcase_add_test(tc, a_symlink_leads_to_it);
	tcase_add_test(tc, one_that_is_in_use_is_left_alone);
}
CHECK_MAIN("service/volume", cases)

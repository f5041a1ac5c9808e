/*
 * A sync fails once, and what was to be synced is lost, although later ones
 * work: of each sync that snapshots, deletions and collections make, in turn.
 * Whoever tries again gets what it was told to have, after a power cut as well.
 */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/seam.h"
#include "storage/repository/check.h"
#include "storage/repository/deletion.h"
#include "storage/repository/gc.h"
#include "tests/support/power_cut.h"
#include "tests/support/region.h"
#include "tests/support/repo_frame.h"

/* What was acknowledged last, in the order of the story. */
enum step { NOTHING, FIRST, SECOND, DELETED, COLLECTED, THIRD, THE_END };

#define SNAPSHOTS 3
static const enum step taken_at[SNAPSHOTS] = { FIRST, SECOND, THIRD };

static struct repo_frame f;
static char disk[SCRATCH_PATH];
static struct object_id ids[SNAPSHOTS];
static struct tree_list trees[SNAPSHOTS];
static struct power_cut *power;
static struct err e;

/* ---- The sync that fails ------------------------------------------------- */

static size_t syncs;	/* that this story has asked for */
static size_t the_nth;	/* of them fails; 0: none */
static bool has_failed; /* it came, and nobody has told of it yet */

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
	if (__atomic_add_fetch(&syncs, 1, __ATOMIC_SEQ_CST) != the_nth)
		return __real_fsync(fd);
	power_cut_sync_failed(power, fd);
	has_failed = true;
	errno = EIO;
	return -1;
}

/* ---- The story ----------------------------------------------------------- */

static struct snapshot_result taken;

static int take(void)
{
	struct snapshot_options o = { .no_parent = false };

	return repo_take_with(&f, &o, &taken, &e);
}

static int erase(void)
{
	CLEANUP(repository_snapshot_done) struct repository_snapshot s;
	const struct deletion d = {
		.now = clock_now(), .grace_ms = 0, .by = "test", .reason = ""
	};
	char text[OBJECT_ID_TEXT];

	object_id_format(ids[0], text);
	manifest_init(&s.manifest);
	return repository_find(f.r, text, NULL, true, &s, NULL, &e) ||
			       deletion_delete(f.r, &s, &d, &e)
		       ? -1
		       : 0;
}

static int collect(void)
{
	const struct gc_options o = { .now = clock_now(), .host = "host" };
	struct gc_result result;

	return gc_run(f.r, &o, &result, &e);
}

/* As whoever sees it fail does it again; the cause is told. */
static void twice(const char *what, int (*step)(void))
{
	int failed;

	memset(&e, 0, sizeof(e));
	failed = repository_open(f.url, f.credential, &f.r, &e) || step();
	if (failed) {
		ck_assert_msg(has_failed && e.code == ERR_IO &&
				      strstr(e.text, err_errno_text(EIO)),
			      "%s, sync %zu: %s", what, the_nth, e.text);
		has_failed = false;
		repository_close(f.r);
		f.r = NULL;
		if (repository_open(f.url, f.credential, &f.r, &e) || step())
			ck_abort_msg("%s again, sync %zu: %s", what, the_nth,
				     e.text);
	}
	repository_close(f.r);
	f.r = NULL;
	power_cut_acknowledge(power);
}

static void take_nth(size_t i)
{
	struct random dice = { .state = i };
	char name[16];

	(void)snprintf(name, sizeof(name), "file%zu", i);
	region_file(f.from, name, 60000, &dice);
	tree_list_done(&trees[i]);
	repo_list(&trees[i], f.from);
	twice("snapshot", take);
	ids[i] = taken.id;
}

static void work(void)
{
	take_nth(0);
	take_nth(1);
	twice("deletion", erase);
	twice("collection", collect);
	take_nth(2);
}

/* ---- After the cut ------------------------------------------------------- */

/*
 * A receipt whose folder could not be synced stays, as others may rely on it,
 * and is counted: that it went then is told, and nothing needs it.
 */
static bool is_counted(const char *object)
{
	return the_nth && strncmp(object, "inventories/", 12) == 0;
}

static void expect_sound(struct repository *r)
{
	CLEANUP(check_result_done) struct check_result x = { 0 };
	const struct check_options o = { .level = CHECK_DATA,
					 .now = clock_now() };

	if (check_run(r, &o, &x, &e))
		ck_abort_msg("sync %zu, %s: %s", the_nth,
			     power_cut_describe(power), e.text);
	for (uint64_t i = 0; i < x.n_findings; i++)
		ck_assert_msg(is_counted(x.findings[i].object),
			      "sync %zu, %s: %s: %s", the_nth,
			      power_cut_describe(power), x.findings[i].object,
			      x.findings[i].message);
}

static void expect_restored(size_t i)
{
	struct restore_options o = { .overwrite = RESTORE_NEVER };
	struct restore_result result;

	if (repo_restore_with(&f, ids[i], &o, &result, &e) || f.failures)
		ck_abort_msg("sync %zu, %s: snapshot %zu: %s %s", the_nth,
			     power_cut_describe(power), i, e.text, f.failed);
	repo_expect_same(&trees[i], f.to);
	scratch_remove(f.to);
}

static void check(void *arg, const char *root, unsigned int done)
{
	char url[SCRATCH_PATH + 16];

	(void)arg;
	(void)snprintf(url, sizeof(url), "%s/repo", root);
	if (repository_open(url, f.credential, &f.r, &e))
		ck_abort_msg("sync %zu, %s: %s", the_nth,
			     power_cut_describe(power), e.text);
	expect_sound(f.r);
	for (size_t i = 0; i < SNAPSHOTS; i++)
		if (done >= taken_at[i] && (i > 0 || done + 1 < DELETED))
			expect_restored(i);
	repository_close(f.r);
	f.r = NULL;
}

/* One world after the other, of one key. */
static void begin(void)
{
	ck_assert_int_eq(mkdir(disk, 0700), 0);
	scratch_remove(f.from);
	ck_assert_int_eq(mkdir(f.from, 0700), 0);
	region_init(f.url, f.credential);
	power = power_cut_record(disk);
	syncs = 0;
}

static void end(void)
{
	power_cut_free(power);
	power = NULL;
	scratch_remove(disk);
}

#define STORIES 8
#define DISKS	40

START_TEST(what_is_acknowledged_after_a_sync_that_failed_is_there)
{
	struct random dice = random_seed();
	const bool full = power_cut_full(1) == 0;
	char path[SCRATCH_PATH];
	unsigned int looked = 0, stories = 0, told = 0;
	size_t n, step;

	begin();
	work();
	power_cut_stop(power);
	n = syncs;
	ck_assert_uint_gt(n, 20);
	end();
	step = full ? 1 : n / (STORIES / CHECK_EVERY + 1);
	for (size_t i = 1 + (full ? 0 : random_below(&dice, step)); i <= n;
	     i += step) {
		begin();
		the_nth = i;
		has_failed = false;
		work();
		told += !has_failed;
		the_nth = 0;
		power_cut_stop(power);
		the_nth = i;
		looked += power_cut_each(power,
					 scratch_path(&f.dir, "cut", path),
					 power_cut_full(DISKS), check, NULL);
		the_nth = 0;
		end();
		stories++;
	}
	(void)printf("%zu syncs, %u failed, %u were told, %u disks\n", n,
		     stories, told, looked);
	ck_assert_uint_gt(looked, stories);
}
END_TEST

static void set_up(void)
{
	char path[SCRATCH_PATH];

	/* Collectors give up what stands still soon. */
	ck_assert_int_eq(setenv("SNAPCTL_TEST_LEASE_MS", "300", 1), 0);
	seam_from_environment();
	memset(&f, 0, sizeof(f));
	scratch_init(&f.dir);
	(void)scratch_path(&f.dir, "disk", disk);
	(void)scratch_path(&f.dir, "disk/repo", f.url);
	(void)scratch_path(&f.dir, "from", f.from);
	(void)scratch_path(&f.dir, "to", f.to);
	ck_assert_int_eq(mkdir(f.from, 0700), 0);
	f.credential = region_key(scratch_path(&f.dir, "key", path));
}

static void tear_down(void)
{
	for (size_t i = 0; i < SNAPSHOTS; i++)
		tree_list_done(&trees[i]);
	keyring_credential_free(f.credential);
	scratch_done(&f.dir);
}

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc,
		       what_is_acknowledged_after_a_sync_that_failed_is_there);
}

CHECK_MAIN("storage/sync_lies", cases)

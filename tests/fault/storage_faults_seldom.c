/*
 * As storage_faults.c, of what is done now and then: repairs, deletions that
 * are taken back, legal holds and their releases, snapshots of a disk image and
 * of what a command prints, comparisons of two snapshots, of one with its files
 * and of one with what was restored, and statistics.
 */
#include "storage/compare.h"
#include "storage/diff.h"
#include "storage/diff_live.h"
#include "storage/repository/deletion.h"
#include "storage/repository/stats.h"
#include "storage/sources/block.h"
#include "storage/sources/command.h"
#include "tests/support/region_story.h"

#define DAY_MS INT64_C(86400000)

static char other[SCRATCH_PATH]; /* another region, of the same */
static char image[SCRATCH_PATH]; /* of a disk */
static uint64_t found;		 /* by the last telling that worked */
static uint64_t expected;	 /* by each; 0: by none yet */

/* Of one that worked: as much as the others. */
static void expect_found(const char *when)
{
	if (!expected)
		expected = found;
	ck_assert_msg(found && found == expected, "%s: %d instead of %d", when,
		      (int)found, (int)expected);
}

/* ---- Repairs ------------------------------------------------------------- */

/* In a file of its own: others have it by hard links. */
static void flip_middle(const char *path)
{
	static uint8_t bytes[1 << 20];
	FILE *file = fopen(path, "re");
	size_t n;

	ck_assert_ptr_nonnull(file);
	n = fread(bytes, 1, sizeof(bytes), file);
	ck_assert_int_eq(fclose(file), 0);
	ck_assert(n > 0 && n < sizeof(bytes));
	bytes[n / 2] ^= 1;
	ck_assert_int_eq(unlink(path), 0);
	file = fopen(path, "we");
	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(bytes, 1, n, file), n);
	ck_assert_int_eq(fclose(file), 0);
	ck_assert_int_eq(chmod(path, 0400), 0);
}

static void flip_all(const char *folder)
{
	DIR *d = opendir(folder);
	const struct dirent *entry;

	ck_assert_ptr_nonnull(d);
	while ((entry = readdir(d))) {
		char path[2 * SCRATCH_PATH];

		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof(path), "%.700s/%s", folder,
			       entry->d_name);
		if (entry->d_type == DT_DIR)
			flip_all(path);
		else
			flip_middle(path);
	}
	(void)closedir(d);
}

static void before_rebuild(void)
{
	char path[2 * SCRATCH_PATH];

	(void)snprintf(path, sizeof(path), "%s/index", f.url);
	scratch_remove(path);
}

/* In each pack of data is a chunk that does not open. */
static void before_repair(void)
{
	char path[2 * SCRATCH_PATH];

	(void)snprintf(path, sizeof(path), "%s/data", f.url);
	flip_all(path);
}

static void note_findings(struct outcome *o, const struct check_result *x)
{
	for (uint64_t i = 0; i < x->n_findings; i++)
		note_failed(o, x->findings[i].object,
			    strlen(x->findings[i].object),
			    x->findings[i].message);
}

/* A disk that refuses to give what is damaged anyway is no finding. */
static void note_unread_by(struct outcome *o, const struct check_result *x)
{
	if (x->unread.code)
		note_failed(o, "check", strlen("check"), x->unread.text);
}

/* And another look, as `snapctl repo check --repair` takes. */
static void tell_repair(struct outcome *o)
{
	CLEANUP(check_result_done) struct check_result x = { .sound = false };
	CLEANUP(check_result_done) struct check_result left = { .packs = 0 };
	struct check_other from = { .r = NULL };
	struct check_options options = { .level = CHECK_DATA,
					 .repair = true,
					 .others = &from,
					 .n_others = 1,
					 .now = clock_now() };

	o->failed = open_repository() ||
		    repository_open(other, f.credential, &from.r, &e) ||
		    check_run(f.r, &options, &x, &e);
	options.repair = false;
	o->failed = o->failed || check_run(f.r, &options, &left, &e);
	o->partial = !o->failed && (!left.sound || from.why.code);
	/* (There is damage, whatever fails.) */
	if (from.why.code)
		note_failed(o, other, strlen(other), from.why.text);
	if (from.unopened.code)
		note_failed(o, other, strlen(other), from.unopened.text);
	if (o->partial) {
		note_findings(o, &x);
		note_findings(o, &left);
		note_unread_by(o, &x);
		note_unread_by(o, &left);
	}
	repository_close(from.r);
	(void)shut(0);
}

/* One that could not read a pack gave it up; the next brings that back. */
static void finish_repair(void)
{
	struct outcome o = { .partial = true };

	for (int i = 0; i < 3 && !o.failed && o.partial; i++) {
		o = (struct outcome){ .failed = 0 };
		tell_repair(&o);
	}
	ck_assert_msg(!o.failed && !o.partial, "%s %s", e.text, o.said);
}

static void after_repair(const char *when)
{
	expect_sound(f.url, when);
	expect_restored(when);
}

/* ---- Deletions that are taken back --------------------------------------- */

static int with_taken(int (*change)(struct repository *r,
				    const struct repository_snapshot *s,
				    const struct deletion *d, struct err *e))
{
	CLEANUP(repository_snapshot_done)
	struct repository_snapshot s = { .deleted = false };
	const struct deletion d = {
		.now = clock_now(), .grace_ms = DAY_MS, .by = "me", .reason = ""
	};

	return find_taken(&s) || change(f.r, &s, &d, &e) ? -1 : 0;
}

static void before_undelete(void)
{
	ck_assert_msg(open_repository() == 0 &&
			      with_taken(deletion_delete) == 0,
		      "%s", e.text);
	(void)shut(0);
}

static void tell_undelete(struct outcome *o)
{
	o->failed = open_repository() || with_taken(deletion_undelete);
	(void)shut(0);
}

static void after_undelete(const char *when)
{
	CLEANUP(repository_snapshot_done)
	struct repository_snapshot s = { .deleted = true };

	ck_assert_msg(open_repository() == 0 && find_taken(&s) == 0 &&
			      !s.deleted,
		      "after %s: %s", when, e.text);
	(void)shut(0);
	expect_restored(when);
}

/* It is deleted, or it is not; a collector may come. */
static void finish_undelete(void)
{
	CLEANUP(repository_snapshot_done)
	struct repository_snapshot s = { .deleted = true };

	ck_assert_msg(open_repository() == 0 && find_taken(&s) == 0, "%s",
		      e.text);
	(void)shut(0);
	if (s.deleted) {
		struct outcome o = { .failed = 0 };

		tell_undelete(&o);
		ck_assert_msg(!o.failed, "%s", e.text);
	}
}

/* ---- Legal holds --------------------------------------------------------- */

static struct object_id hold;

static void tell_hold(struct outcome *o)
{
	const struct deletion_hold h = { .snapshots = &first,
					 .n_snapshots = 1,
					 .source = "web",
					 .case_name = "case",
					 .custodian = "keeper",
					 .by = "me",
					 .now = clock_now() };

	o->failed = open_repository() || deletion_hold(f.r, &h, &hold, &e);
	(void)shut(0);
}

static void before_release(void)
{
	struct outcome o = { .failed = 0 };

	tell_hold(&o);
	ck_assert_msg(!o.failed, "%s", e.text);
}

static void tell_release(struct outcome *o)
{
	o->failed = open_repository() ||
		    deletion_release(f.r, hold, "me", clock_now(), &e);
	(void)shut(0);
}

static void expect_held(bool held, const char *when)
{
	CLEANUP(repository_snapshot_done)
	struct repository_snapshot s = { .deleted = true };
	struct err why = { 0 };

	ck_assert_msg(open_repository() == 0 && find_taken(&s) == 0,
		      "after %s: %s", when, e.text);
	(void)shut(0);
	ck_assert_msg(deletion_may(&s, clock_now(), &why) == (held ? -1 : 0),
		      "after %s: %s", when, held ? "not held" : why.text);
}

static void after_hold(const char *when)
{
	expect_held(true, when);
}

static void after_release(const char *when)
{
	expect_held(false, when);
}

/* ---- Streams ------------------------------------------------------------- */

static void tell_block(struct outcome *o)
{
	CLEANUP(snapshot_errors_free) struct snapshot_errors *lost = NULL;
	CLEANUP(source_close) struct source *source = NULL;
	struct block_options block = { .path = image,
				       .name = "disk",
				       .report = snapshot_report };
	struct snapshot_result result = { .errors = 0 };

	o->failed = open_repository() || snapshot_errors_new(&lost, &e);
	block.report_arg = lost;
	o->failed = o->failed || block_open(&block, &source, &e) ||
		    take_source(o, source, lost, "block", &result);
	was_taken(o, &result);
}

static void tell_command(struct outcome *o)
{
	static const char *const argv[] = { "cat", image };
	static const struct command_options command = {
		.name = "disk",
		.child = { .argv = argv, .argc = 2 },
		.timeout_ms = 60000,
	};
	CLEANUP(snapshot_errors_free) struct snapshot_errors *lost = NULL;
	CLEANUP(source_close) struct source *source = NULL;
	struct snapshot_result result = { .errors = 0 };

	o->failed = open_repository() || snapshot_errors_new(&lost, &e) ||
		    command_open(&command, &source, &e) ||
		    take_source(o, source, lost, "command", &result);
	was_taken(o, &result);
}

/* To f.to, all of it. */
static void restore_all(void)
{
	struct repository_snapshot s = { .deleted = false };
	struct restore_options options = { .to = f.to };
	struct restore_result result = { .errors = 0 };

	manifest_init(&s.manifest);
	ck_assert_msg(open_repository() == 0 && find_taken(&s) == 0 &&
			      restore_run(f.r, &s.manifest, &options, &result,
					  &e) == 0 &&
			      !result.errors,
		      "%s", e.text);
	repository_snapshot_done(&s);
	(void)shut(0);
}

static size_t read_all(const char *path, uint8_t *out, size_t room)
{
	FILE *file = fopen(path, "re");
	size_t n;

	ck_assert_msg(file != NULL, "no %s", path);
	n = fread(out, 1, room, file);
	ck_assert_int_eq(fclose(file), 0);
	ck_assert(n > 0 && n < room);
	return n;
}

static void after_stream(const char *when)
{
	static uint8_t was[2 << 20], is[2 << 20];
	char path[2 * SCRATCH_PATH];
	size_t n;

	restore_all();
	(void)snprintf(path, sizeof(path), "%s/disk", f.to);
	n = read_all(image, was, sizeof(was));
	ck_assert_msg(read_all(path, is, sizeof(is)) == n &&
			      memcmp(was, is, n) == 0,
		      "after %s: other bytes", when);
	scratch_remove(f.to);
}

/* ---- Comparisons --------------------------------------------------------- */

/* Below f.from: what leads there is others' to change, too. */
static int count_live(void *arg, const struct diff_change *c,
		      struct err *unused)
{
	const struct entry *en = c->after ? c->after : c->before;
	const size_t n = strlen(f.from);

	(void)unused;
	found += en->path_len > n && memcmp(en->path, f.from, n) == 0;
	if (c->unreadable)
		note_unread(arg, "", 0, c->unreadable);
	return 0;
}

/* With both versions of what differs. */
static int count_change(void *arg, const struct diff_change *c,
			struct err *unused)
{
	CLEANUP(buf_done) struct buf text;

	(void)unused;
	buf_init(&text, 2 * DIFF_READ_MAX);
	found++;
	if (c->unreadable)
		note_unread(arg, "", 0, c->unreadable);
	if (diff_read(c, false, &text, &e) < 0 ||
	    diff_read(c, true, &text, &e) < 0)
		return -1;
	found += text.len;
	return 0;
}

static void before_diff(void)
{
	struct outcome o = { .failed = 0 };

	tell_block(&o);
	ck_assert_msg(!o.failed && !o.partial, "%s", e.text);
}

static void tell_diff(struct outcome *o)
{
	struct repository_snapshot before = { .deleted = false };
	struct repository_snapshot after = { .deleted = false };
	struct object_id newest = taken;

	found = 0;
	manifest_init(&before.manifest);
	manifest_init(&after.manifest);
	o->failed = open_repository() || find_taken(&after);
	taken = first;
	o->failed = o->failed || find_taken(&before) ||
		    diff_run(f.r, &before.manifest.tree, &after.manifest.tree,
			     count_change, o, &e);
	taken = newest;
	o->partial = !o->failed && o->said[0];
	repository_snapshot_done(&before);
	repository_snapshot_done(&after);
	(void)shut(0);
}

/* What is there now is not what it was. */
static void before_live(void)
{
	write_file("small", 120, 7, 0);
}

static void tell_live(struct outcome *o)
{
	const struct diff_live_options options = { .skip = NULL };
	struct repository_snapshot s = { .deleted = false };

	found = 0;
	manifest_init(&s.manifest);
	o->failed = open_repository() || find_taken(&s) ||
		    diff_live(f.r, &s.manifest, &options, count_live, o, &e);
	o->partial = !o->failed && o->said[0];
	repository_snapshot_done(&s);
	(void)shut(0);
}

static void tell_compare(struct outcome *o)
{
	const struct compare_options options = { .folder = f.to,
						 .differs = note_failed,
						 .arg = o };
	struct repository_snapshot s = { .deleted = false };
	struct compare_result result = { .entries = 0 };

	manifest_init(&s.manifest);
	o->failed = open_repository() || find_taken(&s) ||
		    compare_run(f.r, &s.manifest, &options, &result, &e);
	o->partial = !o->failed && result.differences;
	found = result.entries;
	repository_snapshot_done(&s);
	(void)shut(0);
}

static int note_damaged(void *arg, const char *object, const struct err *why,
			struct err *unused)
{
	struct outcome *o = arg;

	(void)unused;
	(void)snprintf(o->said, sizeof(o->said), "%s: %s", object, why->text);
	return 0;
}

static void tell_stats(struct outcome *o)
{
	struct stats x = { .chunks = 0 };

	o->failed = open_repository() ||
		    stats_count(f.r, note_damaged, o, &x, &e);
	o->partial = !o->failed && o->said[0];
	o->damage = o->partial;
	found = x.chunks + x.stored_bytes;
	(void)shut(0);
}

/* ---- The stories --------------------------------------------------------- */

static const struct story stories[] = {
	{ FRAME("repair"), tell_repair, before_repair, after_repair, true,
	  finish_repair, 6, false },
	{ FRAME("rebuild"), tell_repair, before_rebuild, after_repair, true,
	  finish_repair, 6, false },
	{ FRAME("undelete"), tell_undelete, before_undelete, after_undelete,
	  false, finish_undelete, 3, false },
	{ FRAME("hold"), tell_hold, NULL, after_hold, false, NULL, 3, false },
	{ FRAME("release"), tell_release, before_release, after_release, false,
	  NULL, 3, false },
	{ FRAME("block"), tell_block, NULL, after_stream, true, NULL, 3,
	  false },
	{ FRAME("command"), tell_command, NULL, after_stream, true, NULL, 3,
	  false },
	{ FRAME("diff"), tell_diff, before_diff, expect_found, true, NULL, 3,
	  false },
	{ FRAME("live"), tell_live, before_live, expect_found, true, NULL, 3,
	  false },
	{ FRAME("compare"), tell_compare, restore_all, expect_found, true, NULL,
	  3, false },
	{ FRAME("stats"), tell_stats, NULL, expect_found, true, NULL, 3,
	  false },
	FAR("diff, far", tell_diff, before_diff, expect_found, true),
	FAR("compare, far", tell_compare, restore_all, expect_found, true),
};
#define STORIES (sizeof(stories) / sizeof(stories[0]))

START_TEST(every_call_in_turn)
{
	tell_all_calls(&stories[_i]);
}
END_TEST

START_TEST(every_allocation_in_turn)
{
	tell_all_allocations(&stories[_i]);
}
END_TEST

static void set_up(void)
{
	int fd;

	region_set_up(other);
	write_file("../image", 180000, 5, 0);
	write_file("../image", 20000, 6, 1 << 20);
	fd = open(scratch_path(&f.dir, "image", image), O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	(void)close(fd);
	expected = 0;
}

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, region_tear_down);
	tcase_add_loop_test(tc, every_call_in_turn, 0, STORIES);
	if (alloc_all_works())
		tcase_add_loop_test(tc, every_allocation_in_turn, 0, STORIES);
}

CHECK_MAIN("storage/faults_seldom", cases)

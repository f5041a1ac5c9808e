/*
 * Stories of a region in a folder, and how each of their tellings is judged,
 * whatever failed in it: what is said to have worked has; what has not is told,
 * with the cause; memory and descriptors are given back, nothing is left over,
 * the repository is sound.
 *
 * A region with one snapshot of a small tree is made once and laid out anew
 * before each telling, by hard links.
 */
#ifndef TESTS_SUPPORT_REGION_STORY_H
#define TESTS_SUPPORT_REGION_STORY_H

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "storage/repository/check.h"
#include "storage/stores/fault.h"
#include "tests/support/alloc_all.h"
#include "tests/support/fault_story.h"
#include "tests/support/repo_frame.h"

static struct repo_frame f;
static struct tree_list tree;
static struct object_id first; /* what is in the repository from the start */
static struct object_id taken; /* the newest one that was acknowledged */
static char pristine[SCRATCH_PATH];
static struct err e;

/* What became of a telling. */
struct outcome {
	int failed;   /* as the call said, with e */
	bool partial; /* it says that something is missing, and what */
	bool damage;  /* or that what is stored is damaged */
	char said[1400];
};

/* ---- What is told of ---------------------------------------------------- */

static bool is_far; /* a request takes long, so that much is read ahead */

static inline int open_region(const char *url, struct repository **ret)
{
	struct store *s = NULL;

	if (!is_far)
		return repository_open(url, f.credential, ret, &e);
	if (store_open(url, false, &s, &e) || fault_wrap(s, &s, &e))
		return -1;
	fault_set_far(s);
	return repository_open_on(s, f.credential, ret, &e);
}

static inline int open_repository(void)
{
	f.r = NULL;
	return open_region(f.url, &f.r);
}

static inline int shut(int result)
{
	repository_close(f.r);
	f.r = NULL;
	return result;
}

/* What it could not read. */
static inline void note_unread(void *arg, const char *path, size_t len,
			       const char *message)
{
	struct outcome *o = arg;

	(void)snprintf(o->said, sizeof(o->said), "%.*s: %s", (int)len, path,
		       message);
}

/* No assertion in it, which would allocate as well. */
static inline int take_source(struct outcome *told, struct source *source,
			      struct snapshot_errors *lost_paths,
			      const char *type, struct snapshot_result *ret)
{
	struct manifest about;
	const struct snapshot_options o = { .about = &about,
					    .report = note_unread,
					    .arg = told };
	int failed;

	manifest_init(&about);
	(void)snprintf(about.source, sizeof(about.source), "web");
	(void)snprintf(about.type, sizeof(about.type), "%s", type);
	failed = manifest_list_add(&about.paths, f.from, strlen(f.from), &e) ||
		 snapshot_take(f.r, source, lost_paths, &o, ret, &e);
	manifest_done(&about);
	return failed ? -1 : 0;
}

static inline int take(struct outcome *told, struct snapshot_result *ret)
{
	const char *const paths[] = { f.from };
	CLEANUP(snapshot_errors_free) struct snapshot_errors *lost_paths = NULL;
	CLEANUP(source_close) struct source *source = NULL;
	struct files_options files = { .paths = paths,
				       .path_count = 1,
				       .report = snapshot_report };

	if (snapshot_errors_new(&lost_paths, &e))
		return -1;
	files.report_arg = lost_paths;
	return files_open(&files, &source, &e) ||
			       take_source(told, source, lost_paths, "files",
					   ret)
		       ? -1
		       : 0;
}

/* What became of it is known. */
static inline void was_taken(struct outcome *o, const struct snapshot_result *x)
{
	(void)shut(0);
	o->partial = !o->failed && x->errors > 0;
	if (!o->failed)
		taken = x->id;
}

static inline void tell_snapshot(struct outcome *o)
{
	struct snapshot_result result = { .errors = 0 };

	o->failed = open_repository() || take(o, &result);
	was_taken(o, &result);
}

static inline int find_taken(struct repository_snapshot *s)
{
	char text[OBJECT_ID_TEXT];

	object_id_format(taken, text);
	manifest_init(&s->manifest);
	return repository_find(f.r, text, NULL, true, s, NULL, &e);
}

/* All of them: the cause is told with the first that it kept from coming. */
static inline void note_failed(void *arg, const char *path, size_t len,
			       const char *message)
{
	struct outcome *o = arg;
	const size_t n = strlen(o->said);

	(void)snprintf(o->said + n, sizeof(o->said) - n, "%.*s: %s; ", (int)len,
		       path, message);
}

static inline void tell_restore(struct outcome *o)
{
	struct repository_snapshot s = { .deleted = false };
	struct restore_options options = { .overwrite = RESTORE_CHANGED,
					   .to = f.to,
					   .path = f.from,
					   .path_len = strlen(f.from),
					   .failed = note_failed,
					   .left_out = note_failed,
					   .arg = o };
	struct restore_result result = { .errors = 0 };

	o->failed = open_repository() || find_taken(&s) ||
		    restore_run(f.r, &s.manifest, &options, &result, &e);
	repository_snapshot_done(&s);
	(void)shut(0);
	o->partial = !o->failed && (result.errors || result.left_out);
	o->damage = result.damaged;
}

/* ---- Afterwards ---------------------------------------------------------- */

static inline unsigned int entries(const char *folder)
{
	DIR *d = opendir(folder);
	unsigned int n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		(void)closedir(d);
	return n;
}

static inline void expect_sound(const char *url, const char *when)
{
	CLEANUP(check_result_done) struct check_result x = { .sound = false };
	const struct check_options o = { .level = CHECK_DATA,
					 .now = clock_now() };
	struct repository *r = NULL;
	struct err why = { 0 };

	if (repository_open(url, f.credential, &r, &why) ||
	    check_run(r, &o, &x, &why))
		ck_abort_msg("after %s: %s", when, why.text);
	repository_close(r);
	ck_assert_msg(x.sound, "after %s: %s: %s", when,
		      x.n_findings ? x.findings[0].object : "",
		      x.n_findings ? x.findings[0].message : "");
}

static inline void expect_restored(const char *when)
{
	struct outcome o = { .failed = 0 };

	if (access(f.to, F_OK) != 0) {
		tell_restore(&o);
		ck_assert_msg(!o.failed && !o.partial, "after %s: %s %s", when,
			      e.text, o.said);
	}
	repo_expect_same(&tree, f.to);
	scratch_remove(f.to);
}

/* A folder with the files of another one, under names of their own. */
static inline void copy_links(const char *from, const char *to)
{
	DIR *d = opendir(from);
	const struct dirent *entry;

	ck_assert_ptr_nonnull(d);
	ck_assert_int_eq(mkdir(to, 0700), 0);
	while ((entry = readdir(d))) {
		char old[2 * SCRATCH_PATH];
		char new[2 * SCRATCH_PATH];

		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(old, sizeof(old), "%s/%s", from, entry->d_name);
		(void)snprintf(new, sizeof(new), "%s/%s", to, entry->d_name);
		if (entry->d_type == DT_DIR)
			copy_links(old, new);
		else
			ck_assert_int_eq(link(old, new), 0);
	}
	(void)closedir(d);
}

/* Every story begins with the same repository. */
static inline void begin_anew(void)
{
	taken = first;
	if (access(f.url, F_OK) == 0)
		scratch_remove(f.url);
	copy_links(pristine, f.url);
}

/* ---- Stories ------------------------------------------------------------- */

struct story {
	struct fault_story frame;
	void (*tell)(struct outcome *o);
	void (*before)(void);
	/* Of one that says that all worked. */
	void (*after)(const char *when);
	bool may_be_partial;
	/* Of any, before the repository is to be sound; or NULL. */
	void (*finish)(void);
	unsigned int part; /* of the tellings of others; 0: as many */
	bool is_far;
};

static const struct story *story;
static struct outcome outcome;

static inline void begin_story(void)
{
	outcome = (struct outcome){ .failed = 0 };
	is_far = false;
	begin_anew();
	if (access(f.to, F_OK) == 0)
		scratch_remove(f.to);
	if (story->before)
		story->before();
	err_clear(&e);
}

static inline void tell_story(void)
{
	is_far = story->is_far;
	story->tell(&outcome);
	is_far = false;
}

static inline void judge_story(const struct telling *x)
{
	const struct outcome *o = &outcome;
	char tmp[SCRATCH_PATH + 8];

	(void)snprintf(tmp, sizeof(tmp), "%s/tmp", f.url);
	if (getenv("SNAPCTL_TEST_SHOW"))
		(void)fprintf(stderr, "%s: %s%s%s %s\n", x->when,
			      o->failed	   ? err_kind(e.code)->name
			      : o->partial ? "partial"
					   : "fine",
			      o->failed ? ": " : "", o->failed ? e.text : "",
			      o->said);
	if (x->must_work)
		ck_assert_msg(!o->failed && !o->partial, "%s: %s %s", x->when,
			      e.text, o->said);
	if (o->failed || o->partial)
		fault_expect_cause(x, o->failed ? &e : NULL, o->said,
				   o->damage);
	ck_assert_msg(!o->partial || story->may_be_partial, "%s: partial",
		      x->when);
	/* As for all else: why. */
	ck_assert_msg(!strstr(o->said, "hard link") ||
			      strstr(o->said, "hard link ("),
		      "%s: %s", x->when, o->said);
	ck_assert_msg(!strstr(o->said, "could not be restored") ||
			      strstr(o->said, "could not be restored: "),
		      "%s: %s", x->when, o->said);
	if (x->what && strcmp(x->what, "unlinkat") != 0)
		ck_assert_msg(entries(tmp) <= 2,
			      "%s: something is left in tmp/", x->when);
	if (!o->failed && !o->partial)
		story->after(x->when);
	if (access(f.to, F_OK) == 0)
		scratch_remove(f.to);
	if (x->n % 4 == 0 && story->finish)
		story->finish();
	if (x->n % 4 == 0)
		expect_sound(f.url, x->when);
}

#define FRAME(name)                                        \
	{                                                  \
		name, begin_story, tell_story, judge_story \
	}

#define FAR(name, tell, before, after, partial)                           \
	{                                                                 \
		FRAME(name), tell, before, after, partial, NULL, 12, true \
	}

/* So many tellings of a story with each kind of failure, unless all are. */
#define TELLINGS (270 / CHECK_EVERY)

/* It fails in as many tellings as are its part, and in most of them. */
static inline unsigned int part_of(unsigned int n)
{
	return n / (story->part + 1);
}

static inline void tell_all_calls(const struct story *s)
{
	story = s;
	ck_assert_uint_gt(fault_each_call(&story->frame,
					  TELLINGS / (s->part ? s->part : 1)),
			  part_of(100 / CHECK_EVERY));
}

static inline void tell_all_allocations(const struct story *s)
{
	story = s;
	ck_assert_uint_gt(
		fault_each_allocation(&story->frame,
				      TELLINGS / (s->part ? s->part : 1)),
		part_of(100 / CHECK_EVERY));
}

/* ---- The region ---------------------------------------------------------- */

static inline void write_file(const char *name, size_t n, uint8_t byte,
			      off_t at)
{
	static uint8_t bytes[200000];
	char path[2 * SCRATCH_PATH];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", f.from, name);
	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)(byte * (i >> 7) + i * i);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, bytes, n, at), (ssize_t)n);
	ck_assert_int_eq(fsetxattr(fd, "user.test", "x", 1, 0), 0);
	(void)close(fd);
}

/* With its other: another region of the repository. */
static inline void region_set_up(char *other)
{
	struct outcome o = { .failed = 0 };
	char path[2 * SCRATCH_PATH];
	char linked[2 * SCRATCH_PATH];

	repo_frame_init(&f, NULL);
	(void)shut(0);
	ck_assert_int_eq(mkdir(f.from, 0755), 0);
	write_file("small", 100, 1, 0);
	write_file("large", 150000, 2, 0);
	write_file("sparse", 5000, 3, 1 << 20);
	(void)snprintf(path, sizeof(path), "%s/folder", f.from);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	write_file("folder/inner", 3000, 4, 0);
	(void)snprintf(path, sizeof(path), "%s/small", f.from);
	(void)snprintf(linked, sizeof(linked), "%s/link", f.from);
	ck_assert_int_eq(link(path, linked), 0);
	(void)snprintf(linked, sizeof(linked), "%s/symlink", f.from);
	ck_assert_int_eq(symlink("small", linked), 0);
	repo_list(&tree, f.from);
	tell_snapshot(&o);
	ck_assert_msg(!o.failed && !o.partial, "%s", e.text);
	first = taken;
	/* A region is one wherever it was copied to. */
	copy_links(f.url, scratch_path(&f.dir, "other", other));
	(void)scratch_path(&f.dir, "pristine", pristine);
	ck_assert_int_eq(rename(f.url, pristine), 0);
}

static inline void region_tear_down(void)
{
	tree_list_done(&tree);
	repo_frame_done(&f);
}

#endif

/* Restoring: storage/restore.h. */
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <pthread.h>
#include <stdatomic.h>

#include "base/file.h"
#include "storage/repository/reader.h"
#include "storage/repository/tree.h"
#include "storage/repository/writer.h"
#include "storage/stores/fault.h"
#include "tests/support/repo_store.h"
#include "tests/support/restore_frame.h"

/* Hides a chunk by a quarantine of all packs that hold it. */
static void lose(const struct chunk_id *id)
{
	struct index_set *index;
	struct pack_entry place;
	struct record q;

	ck_ok(repository_index(f.r, &index, &e));
	ck_assert_int_eq(index_set_find(index, id, &place, &e), 1);
	record_init(&q, OBJECT_QUARANTINE);
	q.id = object_id_new();
	ck_ok(record_add_chunk(&q, id, place.place.pack, &e));
	ck_ok(record_put(repository_store(f.r), repository_keys(f.r), &q, 0,
			 &e));
	record_done(&q);
}

/* A part of a snapshot, found by the path of a file. */
struct find_part {
	const char *path;
	struct chunk_id data;
	struct chunk_id leaf;
	bool found;
};

static int first_data(void *arg, uint64_t offset, const struct extent *x,
		      struct err *err)
{
	(void)offset;
	(void)err;
	if (x->hole)
		return 0;
	((struct find_part *)arg)->data = x->id;
	return 1;
}

static void find_parts(struct object_id snapshot, struct find_part *p)
{
	CLEANUP(repository_snapshot_done) struct repository_snapshot s;
	CLEANUP(reader_free) struct reader *x = NULL;
	CLEANUP(tree_close) struct tree *t = NULL;
	struct chunk_id leaf = { { 0 } };
	struct content content;
	struct entry en;
	char id[OBJECT_ID_TEXT];

	manifest_init(&s.manifest);
	object_id_format(snapshot, id);
	ck_ok(repository_find(f.r, id, NULL, false, &s, NULL, &e));
	ck_ok(reader_new(f.r, 0, &x, &e));
	ck_ok(tree_open(x, &s.manifest.tree, NULL, &t, &e));
	for (;;) {
		ck_ok(tree_at_leaf(t, &leaf, &e));
		if (tree_next(t, &en, &content, &e) != 1)
			break;
		if (strcmp(en.path, p->path) != 0)
			continue;
		p->leaf = leaf;
		p->found = true;
		ck_ok(content_walk(x, &content, first_data, p, &e));
		break;
	}
	ck_assert(p->found);
}

START_TEST(overwriting_follows_the_rule)
{
	struct restore_result got;
	struct object_id id;

	write_text(at(f.from, "same"), "same");
	write_text(at(f.from, "other"), "other");
	write_text(at(f.from, "gone"), "gone");
	id = repo_take(&f).id;
	(void)repo_restore(&f, id);
	for (int rule = RESTORE_CHANGED; rule <= RESTORE_NEVER; rule++) {
		write_text(at(f.to, "other"), "changed here");
		(void)unlink(at(f.to, "gone"));
		write_text(at(f.to, "ours"), "not in the snapshot");
		ck_ok(restore(id, (enum restore_overwrite)rule, &got));
		expect_text(at(f.to, "gone"), "gone");
		expect_text(at(f.to, "ours"), "not in the snapshot");
		expect_text(at(f.to, "other"),
			    rule == RESTORE_NEVER ? "changed here" : "other");
		ck_assert_uint_eq(got.reused, rule != RESTORE_ALWAYS);
		ck_assert_uint_eq(got.skipped, rule == RESTORE_NEVER);
		ck_assert_uint_eq(got.files, rule == RESTORE_NEVER ? 2 : 3);
	}
}
END_TEST

START_TEST(a_dry_run_writes_nothing)
{
	struct restore_options o = { .dry_run = true };
	struct restore_result got;
	struct object_id id;

	ck_assert_int_eq(mkdir(at(f.from, "d"), 0700), 0);
	write_text(at(f.from, "d/x"), "x");
	ck_assert_int_eq(symlink("d", at(f.from, "l")), 0);
	id = repo_take(&f).id;
	ck_ok(repo_restore_with(&f, id, &o, &got, &e));
	ck_assert(!exists(f.to));
	ck_assert_uint_eq(got.files, 1);
	ck_assert_uint_eq(got.folders, 2);
	ck_assert_uint_eq(got.others, 1);
	ck_assert_int_eq(mkdir(f.to, 0700), 0);
	ck_ok(repo_restore_with(&f, id, &o, &got, &e));
	ck_assert_int_eq(rmdir(f.to), 0);
}
END_TEST

/* Symlinks that someone planted are not followed, wherever they stand. */
START_TEST(planted_symlinks_lead_nowhere)
{
	char outside[SCRATCH_PATH];
	struct restore_result got;
	struct object_id id;

	(void)scratch_path(&f.dir, "outside", outside);
	ck_assert_int_eq(mkdir(outside, 0700), 0);
	write_text(at(outside, "file"), "outside");
	ck_assert_int_eq(mkdir(at(f.from, "a"), 0700), 0);
	ck_assert_int_eq(mkdir(at(f.from, "a/b"), 0700), 0);
	write_text(at(f.from, "a/b/file"), "inside");
	write_text(at(f.from, "file"), "inside");
	ck_assert_int_eq(mkfifo(at(f.from, "fifo"), 0612), 0);
	id = repo_take(&f).id;
	ck_assert_int_eq(mkdir(f.to, 0700), 0);
	ck_assert_int_eq(symlink(outside, at(f.to, "a")), 0);
	ck_assert_int_eq(symlink(at(outside, "file"), at(f.to, "file")), 0);
	ck_assert_int_eq(symlink(at(outside, "file"), at(f.to, "fifo")), 0);
	ck_ok(restore(id, RESTORE_ALWAYS, &got));
	/* The folder, what is in it twice: told, not made. */
	ck_assert_uint_eq(got.errors, 3);
	ck_assert(!exists(at(outside, "b")));
	expect_text(at(outside, "file"), "outside");
	ck_assert(S_ISLNK(look(at(f.to, "a")).st_mode));
	expect_text(at(f.to, "file"), "inside");
	ck_assert(S_ISREG(look(at(f.to, "file")).st_mode));
	ck_assert(S_ISFIFO(look(at(f.to, "fifo")).st_mode));
	ck_assert_uint_ne(look(at(outside, "file")).st_mode & 07777, 0612);
}
END_TEST

struct rival {
	char inside[2 * SCRATCH_PATH];
	char aside[2 * SCRATCH_PATH];
	char outside[SCRATCH_PATH];
	atomic_bool stop;
};

/* Exchanges a folder for a symlink to the outside, for ever. */
static void *swap_for_ever(void *arg)
{
	struct rival *r = arg;

	while (!atomic_load(&r->stop)) {
		if (rename(r->inside, r->aside) == 0) {
			(void)!symlink(r->outside, r->inside);
			(void)unlink(r->inside);
			(void)rename(r->aside, r->inside);
		}
	}
	return NULL;
}

START_TEST(a_rival_cannot_lead_it_outside)
{
	static struct rival r;
	struct restore_result got;
	struct object_id id;
	pthread_t thread;
	char name[100];

	(void)scratch_path(&f.dir, "outside", r.outside);
	ck_assert_int_eq(mkdir(r.outside, 0777), 0);
	for (int i = 0; i < 40; i++) {
		(void)snprintf(name, sizeof(name), "d%d", i % 2);
		(void)mkdir(at(f.from, name), 0700);
		(void)snprintf(name, sizeof(name), "d%d/s%d", i % 2, i);
		(void)mkdir(at(f.from, name), 0700);
		(void)snprintf(name, sizeof(name), "d%d/s%d/x", i % 2, i);
		write_text(at(f.from, name), name);
	}
	id = repo_take(&f).id;
	ck_assert_int_eq(mkdir(f.to, 0700), 0);
	(void)snprintf(r.inside, sizeof(r.inside), "%s/d1", f.to);
	(void)snprintf(r.aside, sizeof(r.aside), "%s/aside", f.to);
	ck_assert_int_eq(pthread_create(&thread, NULL, swap_for_ever, &r), 0);
	for (int i = 0; i < 12; i++) {
		/* Errors are fine: they are told. */
		if (restore(id, RESTORE_ALWAYS, &got) == 0)
			(void)got;
	}
	atomic_store(&r.stop, true);
	(void)pthread_join(thread, NULL);
	ck_assert_int_eq(rmdir(r.outside), 0);
}
END_TEST

/* A file whose bytes are lost is left out and named; the others come. */
START_TEST(a_lost_chunk_costs_one_file)
{
	char lost[2 * SCRATCH_PATH];
	struct find_part part = { .path = lost };
	struct restore_result got;
	struct object_id id;

	write_bytes(at(f.from, "big"), 2000000, 1);
	write_bytes(at(f.from, "other"), 2000000, 2);
	write_text(at(f.from, "small"), "small");
	(void)snprintf(lost, sizeof(lost), "%s", at(f.from, "big"));
	id = repo_take(&f).id;
	find_parts(id, &part);
	lose(&part.data);
	repo_frame_reopen(&f);
	ck_ok(restore(id, RESTORE_CHANGED, &got));
	ck_assert(got.damaged);
	ck_assert_uint_eq(got.errors, 1);
	ck_assert_uint_eq(f.failures, 1);
	ck_assert_ptr_nonnull(strstr(f.failed, "/big: "));
	ck_assert(!exists(at(f.to, "big")));
	ck_assert_int_eq(look(at(f.to, "other")).st_size, 2000000);
	expect_text(at(f.to, "small"), "small");
}
END_TEST

/*
 * Of a group of hard links whose content is lost no name comes back, also not
 * as a link to what was there before.
 */
START_TEST(links_never_lead_to_what_was_there_before)
{
	char lost[2 * SCRATCH_PATH];
	struct find_part part = { .path = lost };
	struct restore_result got;
	struct object_id id;

	write_bytes(at(f.from, "a"), 9000000, 1);
	ck_assert_int_eq(link(at(f.from, "a"), at(f.from, "b")), 0);
	(void)snprintf(lost, sizeof(lost), "%s", at(f.from, "a"));
	id = repo_take(&f).id;
	/* Sound, but in the way: the new content, for both. */
	ck_assert_int_eq(mkdir(f.to, 0700), 0);
	write_text(at(f.to, "a"), "old");
	ck_ok(restore(id, RESTORE_ALWAYS, &got));
	ck_assert_int_eq(look(at(f.to, "b")).st_size, 9000000);
	ck_assert_uint_eq(look(at(f.to, "a")).st_ino,
			  look(at(f.to, "b")).st_ino);
	(void)unlink(at(f.to, "a"));
	(void)unlink(at(f.to, "b"));
	write_text(at(f.to, "a"), "old");
	find_parts(id, &part);
	lose(&part.data);
	repo_frame_reopen(&f);
	ck_ok(restore(id, RESTORE_ALWAYS, &got));
	ck_assert_uint_eq(got.errors, 2);
	ck_assert_uint_eq(got.files, 0);
	expect_text(at(f.to, "a"), "old");
	ck_assert(!exists(at(f.to, "b")));
}
END_TEST

/* Links stay links also where nothing may be overwritten. */
START_TEST(links_are_made_where_nothing_is_overwritten)
{
	struct restore_result got;
	struct object_id id;

	write_text(at(f.from, "a"), "a");
	ck_assert_int_eq(link(at(f.from, "a"), at(f.from, "b")), 0);
	ck_assert_int_eq(link(at(f.from, "a"), at(f.from, "c")), 0);
	id = repo_take(&f).id;
	ck_ok(restore(id, RESTORE_NEVER, &got));
	ck_assert_uint_eq(look(at(f.to, "a")).st_nlink, 3);
	ck_assert_uint_eq(got.files, 3);
	/* A first name that stays as it is lends its content to nobody. */
	(void)unlink(at(f.to, "a"));
	(void)unlink(at(f.to, "b"));
	write_text(at(f.to, "a"), "stays");
	ck_ok(restore(id, RESTORE_NEVER, &got));
	expect_text(at(f.to, "a"), "stays");
	expect_text(at(f.to, "b"), "a");
	ck_assert_uint_eq(look(at(f.to, "a")).st_nlink, 1);
}
END_TEST

/*
 * Nor does one that has the content, but not what else belongs to it: what is
 * kept keeps that, and what comes anew comes as it was.
 */
START_TEST(what_is_kept_lends_nobody_its_mode)
{
	struct restore_result got;
	struct object_id id;

	write_text(at(f.from, "a"), "a");
	ck_assert_int_eq(chmod(at(f.from, "a"), 0640), 0);
	ck_assert_int_eq(link(at(f.from, "a"), at(f.from, "b")), 0);
	id = repo_take(&f).id;
	(void)repo_restore(&f, id);
	for (int other = 0; other < 3; other++) {
		ck_assert_int_eq(unlink(at(f.to, "b")), 0);
		ck_assert_int_eq(chmod(at(f.to, "a"), other == 1 ? 0666 : 0640),
				 0);
		if (other == 2)
			ck_assert_int_eq(
				setxattr(at(f.to, "a"), "user.x", "y", 1, 0),
				0);
		ck_ok(restore(id, RESTORE_NEVER, &got));
		ck_assert_uint_eq(look(at(f.to, "a")).st_nlink, other ? 1 : 2);
		ck_assert_uint_eq(look(at(f.to, "a")).st_mode & 07777,
				  other == 1 ? 0666 : 0640);
		ck_assert_uint_eq(look(at(f.to, "b")).st_mode & 07777, 0640);
		ck_assert_int_lt(getxattr(at(f.to, "b"), "user.x", NULL, 0), 0);
	}
}
END_TEST

#define MANY 3000

/* The rest of a tree comes back to where it was, folders' entries or not. */
START_TEST(a_lost_leaf_costs_what_it_held)
{
	char lost[2 * SCRATCH_PATH];
	struct find_part part = { .path = lost };
	struct restore_result got;
	struct object_id id;
	unsigned int right = 0;
	char name[100];

	/* The folder's entry lies in an earlier leaf than most of its files. */
	ck_assert_int_eq(mkdir(at(f.from, "d"), 0750), 0);
	ck_assert_int_eq(mkdir(at(f.from, "d/e"), 0750), 0);
	for (int i = 0; i < MANY; i++) {
		(void)snprintf(name, sizeof(name), "d/e/%04d", i);
		write_text(at(f.from, name), name);
	}
	id = repo_take(&f).id;
	(void)snprintf(lost, sizeof(lost), "%s", at(f.from, "d/e"));
	find_parts(id, &part);
	lose(&part.leaf);
	repo_frame_reopen(&f);
	for (int twice = 0; twice < 2; twice++) {
		char path[2 * SCRATCH_PATH];
		struct restore_options o = { .path = path };

		/* All of it, and the lost folder by its name. */
		(void)snprintf(path, sizeof(path), "%s%s", f.from,
			       twice ? "/d/e" : "");
		o.path_len = strlen(path);
		ck_ok(repo_restore_with(&f, id, &o, &got, &e));
		ck_assert(got.damaged);
		ck_assert_uint_ge(got.errors, 1);
		ck_assert_uint_gt(got.files, MANY / 4);
		ck_assert_uint_lt(got.files, MANY);
		right = 0;
		for (int i = 0; i < MANY; i++) {
			const char *there;

			(void)snprintf(name, sizeof(name), "d/e/%04d", i);
			there = at(f.to, twice ? name + 4 : name);
			if (!exists(there))
				continue;
			expect_text(there, name);
			right++;
		}
		ck_assert_uint_eq(right, got.files);
	}
}
END_TEST

START_TEST(a_part_that_is_all_lost_is_no_typing_error)
{
	char lost[2 * SCRATCH_PATH];
	struct find_part part = { .path = lost };
	struct restore_options o = { .path = lost };
	struct restore_result got;
	struct object_id id;

	write_text(at(f.from, "x"), "x");
	id = repo_take(&f).id;
	(void)snprintf(lost, sizeof(lost), "%s", at(f.from, "x"));
	o.path_len = strlen(lost);
	find_parts(id, &part);
	lose(&part.leaf);
	repo_frame_reopen(&f);
	ck_ok(repo_restore_with(&f, id, &o, &got, &e));
	ck_assert(got.damaged);
	ck_assert_uint_eq(got.errors, 1);
	ck_assert_uint_eq(got.files, 0);
}
END_TEST

START_TEST(a_part_is_put_below_the_target)
{
	char path[2 * SCRATCH_PATH];
	struct restore_options o = { .path = path };
	struct restore_result got;
	struct object_id id;

	ck_assert_int_eq(mkdir(at(f.from, "d"), 0750), 0);
	write_text(at(f.from, "d/x"), "x");
	write_text(at(f.from, "d!"), "beside");
	id = repo_take(&f).id;
	(void)snprintf(path, sizeof(path), "%s", at(f.from, "d"));
	o.path_len = strlen(path);
	ck_ok(repo_restore_with(&f, id, &o, &got, &e));
	expect_text(at(f.to, "x"), "x");
	ck_assert_uint_eq(look(f.to).st_mode & 07777, 0750);
	ck_assert(!exists(at(f.to, "d!")));
	(void)snprintf(path, sizeof(path), "%s", at(f.from, "d!"));
	o.path_len = strlen(path);
	ck_ok(repo_restore_with(&f, id, &o, &got, &e));
	expect_text(at(f.to, "d!"), "beside");
	(void)snprintf(path, sizeof(path), "%s", at(f.from, "nothing"));
	o.path_len = strlen(path);
	ck_assert_int_lt(repo_restore_with(&f, id, &o, &got, &e), 0);
	ck_assert_int_eq(e.code, ERR_NOT_FOUND);
}
END_TEST

static atomic_bool cancel;
static unsigned int wanted_before_cancel;

static bool cancel_at(void *arg, const char *path, size_t len, bool is_folder)
{
	(void)arg;
	(void)path;
	(void)len;
	(void)is_folder;
	if (wanted_before_cancel-- > 0)
		return true;
	/* The first file is whole by then. */
	while (getxattr(at(f.to, "00"), "user.whole", NULL, 0) < 0)
		(void)sched_yield();
	atomic_store(&cancel, true);
	return true;
}

START_TEST(an_interrupted_restore_is_continued)
{
	struct tree_list want;
	struct restore_options o = { .wanted = cancel_at, .cancel = &cancel };
	struct restore_result got;
	struct object_id id;
	uint64_t reused = 0;
	char name[100];

	for (int i = 0; i < 30; i++) {
		(void)snprintf(name, sizeof(name), "%02d", i);
		write_bytes(at(f.from, name), 300000, (uint64_t)i);
	}
	if (setxattr(at(f.from, "00"), "user.whole", "", 0, 0) != 0) {
		ck_skip("interrupted restore", "no attributes here");
		return;
	}
	id = repo_take(&f).id;
	repo_list(&want, f.from);
	for (unsigned int n = 12; n < 30; n += 8) {
		wanted_before_cancel = n;
		atomic_store(&cancel, false);
		ck_assert_int_lt(repo_restore_with(&f, id, &o, &got, &e), 0);
		ck_assert_int_eq(e.code, ERR_INTERRUPTED);
		/* No file of a final name that is not as it was. */
		for (int i = 0; i < 30; i++) {
			(void)snprintf(name, sizeof(name), "%02d", i);
			if (exists(at(f.to, name)))
				ck_assert_int_eq(look(at(f.to, name)).st_size,
						 300000);
		}
		ck_assert_uint_ge(got.reused, reused);
		reused = got.reused;
	}
	got = repo_restore(&f, id);
	ck_assert_uint_gt(got.reused, 0);
	repo_expect_same(&want, f.to);
	tree_list_done(&want);
}
END_TEST

START_TEST(a_full_disk_ends_it_with_that_message)
{
	struct restore_result got;
	struct object_id id;

	if (getuid() != 0)
		return;
	write_bytes(at(f.from, "big"), 4000000, 1);
	write_bytes(at(f.from, "small"), 40, 1);
	id = repo_take(&f).id;
	ck_assert_int_eq(mkdir(f.to, 0700), 0);
	if (mount("none", f.to, "tmpfs", 0, "size=1m") != 0) {
		ck_skip("full disk", "cannot mount");
		return;
	}
	ck_assert_int_lt(restore(id, RESTORE_CHANGED, &got), 0);
	ck_assert_int_eq(e.code, ERR_FULL);
	ck_assert_ptr_nonnull(strstr(e.text, "big"));
	ck_assert(!exists(at(f.to, "big")));
	ck_assert_int_eq(umount(f.to), 0);
}
END_TEST

/* Copies where a link would cross into another file system. */
START_TEST(links_across_mounts_become_copies)
{
	struct restore_result got;
	struct object_id id;

	if (getuid() != 0)
		return;
	ck_assert_int_eq(mkdir(at(f.from, "m"), 0700), 0);
	write_text(at(f.from, "a"), "a");
	ck_assert_int_eq(link(at(f.from, "a"), at(f.from, "m/b")), 0);
	id = repo_take(&f).id;
	ck_assert_int_eq(mkdir(f.to, 0700), 0);
	ck_assert_int_eq(mkdir(at(f.to, "m"), 0700), 0);
	if (mount("none", at(f.to, "m"), "tmpfs", 0, "size=1m") != 0) {
		ck_skip("across mounts", "cannot mount");
		return;
	}
	ck_ok(restore(id, RESTORE_CHANGED, &got));
	ck_assert_uint_eq(got.errors, 0);
	ck_assert_uint_eq(got.left_out, 1);
	expect_text(at(f.to, "m/b"), "a");
	ck_assert_int_eq(umount(at(f.to, "m")), 0);
}
END_TEST

/* An attribute that the file system has no room for is left out and named. */
START_TEST(an_attribute_too_large_for_there_is_left_out)
{
	static uint8_t value[60000];
	struct restore_result got;
	struct object_id id;

	write_text(at(f.from, "a"), "a");
	if (setxattr(at(f.from, "a"), "user.large", value, 3000, 0) != 0) {
		ck_skip("attributes", "not supported here");
		return;
	}
	id = repo_take(&f).id;
	ck_ok(restore(id, RESTORE_CHANGED, &got));
	ck_assert_uint_eq(got.left_out, 0);
	ck_assert_int_eq(
		getxattr(at(f.to, "a"), "user.large", value, sizeof(value)),
		3000);
}
END_TEST

/* As somebody who is not root: what is left out is told, content is not. */
static int as_nobody(struct object_id id)
{
	struct restore_result got;

	if (setgid(65534) || setuid(65534))
		return 10;
	if (restore(id, RESTORE_CHANGED, &got))
		return 11;
	if (got.errors)
		return 12;
	if (got.left_out != 3) /* owners of folder and file, the setuid bit */
		return 13;
	if (look(at(f.to, "s")).st_mode & S_ISUID)
		return 14;
	return strstr(f.left, "/s: ") || strstr(f.left, "from: ") ? 0 : 15;
}

START_TEST(without_privileges_what_is_left_out_is_told)
{
	char to[SCRATCH_PATH];
	int status = 0;
	struct object_id id;
	pid_t pid;

	if (getuid() != 0)
		return;
	write_text(at(f.from, "s"), "s");
	ck_assert_int_eq(chmod(at(f.from, "s"), 04755), 0);
	id = repo_take(&f).id;
	ck_assert_int_eq(chmod(f.dir.path, 0777), 0);
	(void)snprintf(to, sizeof(to), "%s", f.to);
	pid = check_fork_child();
	if (pid == 0)
		_exit(as_nobody(id));
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

/* Nor does an ACL that forbids its owner to write hinder what follows it. */
static int read_only_as_nobody(struct object_id id)
{
	struct restore_result got;
	char value[8];

	if (getuid() == 0 && (setgid(65534) || setuid(65534)))
		return 10;
	if (restore(id, RESTORE_CHANGED, &got))
		return 11;
	if (got.errors)
		return 12;
	return getxattr(at(f.to, "a"), "user.z", value, sizeof(value)) == 1
		       ? 0
		       : 13;
}

START_TEST(a_read_only_acl_is_set_after_other_attributes)
{
	/* user::r-- user:1:r-- group::r-- mask::r-- other::--- */
	static const uint8_t acl[] = {
		2, 0, 0,   0,	1,   0,	  4,  0, 255, 255, 255, 255, 2,	  0,  4,
		0, 1, 0,   0,	0,   4,	  0,  4, 0,   255, 255, 255, 255, 16, 0,
		4, 0, 255, 255, 255, 255, 32, 0, 0,   0,   255, 255, 255, 255
	};
	int status = 0;
	struct object_id id;
	pid_t pid;

	write_text(at(f.from, "a"), "a");
	if (setxattr(at(f.from, "a"), "user.z", "z", 1, 0) != 0 ||
	    setxattr(at(f.from, "a"), "system.posix_acl_access", acl,
		     sizeof(acl), 0) != 0) {
		ck_skip("read-only ACL", "not supported here");
		return;
	}
	id = repo_take(&f).id;
	ck_assert_int_eq(chmod(f.dir.path, 0777), 0);
	pid = fork();
	if (pid == 0)
		_exit(read_only_as_nobody(id));
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

/* A file is left without its time, as one is whose restore was killed. */
static int closed_folder_as_nobody(struct object_id id)
{
	const struct timespec old[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };
	struct restore_result got;

	if (getuid() == 0 && (setgid(65534) || setuid(65534)))
		return 10;
	if (restore(id, RESTORE_CHANGED, &got) || got.errors)
		return 11;
	if (utimensat(AT_FDCWD, at(f.to, "closed/in"), old, 0))
		return 12;
	if (restore(id, RESTORE_CHANGED, &got) || got.errors)
		return 13;
	if (look(at(f.to, "closed/in")).st_mtim.tv_sec == 1)
		return 14;
	return (look(at(f.to, "closed")).st_mode & 07777) == 0555 ? 0 : 15;
}

START_TEST(a_restore_goes_on_in_a_folder_that_is_closed_to_its_owner)
{
	int status = 0;
	struct object_id id;
	pid_t pid;

	ck_assert_int_eq(mkdir(at(f.from, "closed"), 0755), 0);
	write_text(at(f.from, "closed/in"), "in");
	ck_assert_int_eq(chmod(at(f.from, "closed"), 0555), 0);
	id = repo_take(&f).id;
	ck_assert_int_eq(chmod(f.dir.path, 0777), 0);
	pid = check_fork_child();
	if (pid == 0)
		_exit(closed_folder_as_nobody(id));
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
	/* So that it can be removed. */
	ck_assert_int_eq(chmod(at(f.from, "closed"), 0755), 0);
}
END_TEST

START_TEST(what_is_in_the_way_stays)
{
	struct restore_result got;
	struct object_id id;

	ck_assert_int_eq(mkdir(at(f.from, "folder"), 0700), 0);
	write_text(at(f.from, "folder/in"), "in");
	write_text(at(f.from, "file"), "file");
	ck_assert_int_eq(symlink("t", at(f.from, "link")), 0);
	id = repo_take(&f).id;
	ck_assert_int_eq(mkdir(f.to, 0700), 0);
	write_text(at(f.to, "folder"), "a file");
	ck_assert_int_eq(mkdir(at(f.to, "file"), 0700), 0);
	ck_assert_int_eq(mkdir(at(f.to, "link"), 0700), 0);
	ck_ok(restore(id, RESTORE_ALWAYS, &got));
	ck_assert_uint_eq(got.errors, 4);
	ck_assert(!got.damaged);
	expect_text(at(f.to, "folder"), "a file");
	ck_assert(S_ISDIR(look(at(f.to, "file")).st_mode));
	ck_assert(S_ISDIR(look(at(f.to, "link")).st_mode));
}
END_TEST

/* From the nth read of a data pack on, the repository fails so. */
static void read_fails(uint64_t nth, enum err_code code)
{
	const struct fault fault = { .call = FAULT_READ,
				     .action = FAULT_FAIL,
				     .prefix = "data/",
				     .nth = nth,
				     .everyone = true,
				     .code = code };
	struct store *s = NULL;

	repository_close(f.r);
	f.r = NULL;
	ck_ok(store_open(f.url, false, &s, &e));
	ck_ok(fault_wrap(s, &s, &e));
	fault_add(s, &fault);
	ck_ok(repository_open_on(s, f.credential, &f.r, &e));
}

/*
 * Who does not answer any more ends it; what only fails costs what it fails
 * for. Either way it is no damage, and another region may have it.
 */
START_TEST(a_lost_repository_is_told)
{
	struct restore_result got;
	struct object_id id;
	char name[100];

	for (uint64_t i = 0; i < 40; i++) {
		(void)snprintf(name, sizeof(name), "f%02ju", (uintmax_t)i);
		write_bytes(at(f.from, name), 300000, i);
	}
	id = repo_take(&f).id;
	read_fails(1, ERR_IO);
	ck_ok(restore(id, RESTORE_CHANGED, &got));
	ck_assert(got.unread && !got.damaged);
	ck_assert_uint_eq(got.errors, 40);
	read_fails(5, ERR_BUSY);
	ck_assert_int_lt(restore(id, RESTORE_CHANGED, &got), 0);
	ck_assert_int_eq(e.code, ERR_BUSY);
	ck_assert(got.unread && !got.damaged);
	ck_assert_uint_gt(got.files, 0);
	ck_assert_uint_lt(got.errors, 30);
	repo_frame_reopen(&f);
	ck_ok(restore(id, RESTORE_CHANGED, &got));
	ck_assert(!got.unread);
	ck_assert_uint_eq(got.files, 40);
	ck_assert_uint_gt(got.reused, 0);
}
END_TEST

START_TEST(the_target_must_be_a_folder)
{
	struct restore_result got;
	const struct object_id id = repo_take(&f).id;

	write_text(f.to, "file");
	ck_assert_int_lt(restore(id, RESTORE_ALWAYS, &got), 0);
	ck_assert_int_eq(e.code, ERR_USAGE);
	expect_text(f.to, "file");
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, overwriting_follows_the_rule);
	tcase_add_test(tc, a_dry_run_writes_nothing);
	tcase_add_test(tc, planted_symlinks_lead_nowhere);
	tcase_add_test(tc, a_rival_cannot_lead_it_outside);
	tcase_add_test(tc, a_lost_chunk_costs_one_file);
	tcase_add_test(tc, links_never_lead_to_what_was_there_before);
	tcase_add_test(tc, links_are_made_where_nothing_is_overwritten);
	tcase_add_test(tc, what_is_kept_lends_nobody_its_mode);
	tcase_add_test(tc, a_lost_leaf_costs_what_it_held);
	tcase_add_test(tc, a_part_that_is_all_lost_is_no_typing_error);
	tcase_add_test(tc, a_part_is_put_below_the_target);
	tcase_add_test(tc, an_interrupted_restore_is_continued);
	tcase_add_test(tc, a_full_disk_ends_it_with_that_message);
	tcase_add_test(tc, links_across_mounts_become_copies);
	tcase_add_test(tc, an_attribute_too_large_for_there_is_left_out);
	tcase_add_test(tc, without_privileges_what_is_left_out_is_told);
	tcase_add_test(tc, a_read_only_acl_is_set_after_other_attributes);
	tcase_add_test(
		tc, a_restore_goes_on_in_a_folder_that_is_closed_to_its_owner);
	tcase_add_test(tc, what_is_in_the_way_stays);
	tcase_add_test(tc, the_target_must_be_a_folder);
	tcase_add_test(tc, a_lost_repository_is_told);
}

CHECK_MAIN("storage/restore", cases)

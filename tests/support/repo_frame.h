/*
 * A fresh repository in a folder for each test, and short spellings of taking
 * snapshots of a folder and of restoring them.
 */
#ifndef TESTS_SUPPORT_REPO_FRAME_H
#define TESTS_SUPPORT_REPO_FRAME_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "storage/repository/keyring.h"
#include "storage/repository/repository.h"
#include "storage/restore.h"
#include "storage/snapshot.h"
#include "storage/sources/files.h"
#include "tests/support/check_main.h"
#include "tests/support/scratch.h"
#include "tests/support/tree_list.h"

struct repo_frame {
	struct scratch dir;
	char url[SCRATCH_PATH];
	char from[SCRATCH_PATH]; /* what snapshots are taken of */
	char to[SCRATCH_PATH];	 /* where they are restored */
	struct keyring_credential *credential;
	struct repository *r;
	unsigned int failures;		 /* that restores told of */
	char failed[SCRATCH_PATH + 700]; /* the last one: "path: message" */
	char named[16384];		 /* their paths, each with a NUL */
	size_t named_len;
	unsigned int left_out;
	char left[SCRATCH_PATH + 700];
};

static inline void repo_frame_reopen(struct repo_frame *f)
{
	struct err e = { 0 };

	repository_close(f->r);
	f->r = NULL;
	ck_ok(repository_open(f->url, f->credential, &f->r, &e));
}

/* url NULL: in the test's folder. */
static inline void repo_frame_init(struct repo_frame *f, const char *url)
{
	CLEANUP(store_close) struct store *s = NULL;
	struct keys *k = NULL;
	char path[SCRATCH_PATH];
	struct err e = { 0 };

	memset(f, 0, sizeof(*f));
	scratch_init(&f->dir);
	(void)scratch_path(&f->dir, "from", f->from);
	(void)scratch_path(&f->dir, "to", f->to);
	if (url)
		(void)snprintf(f->url, sizeof(f->url), "%s", url);
	else
		(void)scratch_path(&f->dir, "repo", f->url);
	ck_ok(keyring_credential_make_key_file(
		scratch_path(&f->dir, "key", path), &f->credential, &e));
	ck_ok(store_open(f->url, true, &s, &e));
	ck_ok(keyring_init(s, f->credential, "test", clock_now(), &k, &e));
	keys_free(k);
	repo_frame_reopen(f);
}

static inline void repo_frame_done(struct repo_frame *f)
{
	repository_close(f->r);
	keyring_credential_free(f->credential);
	if (strncmp(f->url, "mem:", 4) == 0)
		store_mem_forget(f->url);
	scratch_done(&f->dir);
}
static inline void cleanup_repo_frame_done(struct repo_frame *f)
{
	repo_frame_done(f);
}

/* A snapshot of whatever source: as snapshot_take(). */
static inline int repo_take_source(struct repo_frame *f, struct source *s,
				   struct snapshot_errors *errors,
				   struct snapshot_options *o,
				   struct snapshot_result *ret, struct err *e)
{
	struct manifest about;
	int failed;

	manifest_init(&about);
	(void)snprintf(about.source, sizeof(about.source), "web");
	(void)snprintf(about.type, sizeof(about.type), "files");
	(void)snprintf(about.host, sizeof(about.host), "host");
	ck_assert_int_eq(
		manifest_list_add(&about.paths, f->from, strlen(f->from), e),
		0);
	o->about = &about;
	failed = snapshot_take(f->r, s, errors, o, ret, e);
	manifest_done(&about);
	return failed;
}

/* A snapshot of f->from with options that may leave out about. */
static inline int repo_take_with(struct repo_frame *f,
				 struct snapshot_options *o,
				 struct snapshot_result *ret, struct err *e)
{
	const char *const paths[] = { f->from };
	CLEANUP(snapshot_errors_free) struct snapshot_errors *errors = NULL;
	CLEANUP(source_close) struct source *s = NULL;
	struct files_options fo = { .paths = paths, .path_count = 1 };

	if (snapshot_errors_new(&errors, e))
		return -1;
	fo.report = snapshot_report;
	fo.report_arg = errors;
	if (files_open(&fo, &s, e))
		return -1;
	return repo_take_source(f, s, errors, o, ret, e);
}

static inline struct snapshot_result repo_take(struct repo_frame *f)
{
	struct snapshot_options o = { .no_parent = false };
	struct snapshot_result result;
	struct err e = { 0 };

	ck_ok(repo_take_with(f, &o, &result, &e));
	return result;
}

static inline void repo_note_failed(void *arg, const char *path, size_t len,
				    const char *message)
{
	struct repo_frame *f = arg;

	f->failures++;
	/* One that has no room left there is as good as not named. */
	if (f->named_len + len + 1 < sizeof(f->named)) {
		memcpy(f->named + f->named_len, path, len);
		f->named_len += len;
		f->named[f->named_len++] = '\0';
	}
	(void)snprintf(f->failed, sizeof(f->failed), "%.*s: %s", (int)len, path,
		       message);
}

static inline void repo_note_left_out(void *arg, const char *path, size_t len,
				      const char *message)
{
	struct repo_frame *f = arg;

	f->left_out++;
	(void)snprintf(f->left, sizeof(f->left), "%.*s: %s", (int)len, path,
		       message);
}

/* Restore what was f->from to f->to: as restore_run(). */
static inline int repo_restore_with(struct repo_frame *f, struct object_id id,
				    struct restore_options *o,
				    struct restore_result *ret, struct err *e)
{
	CLEANUP(repository_snapshot_done) struct repository_snapshot s;
	char text[OBJECT_ID_TEXT];
	struct err own = { 0 };

	object_id_format(id, text);
	manifest_init(&s.manifest);
	if (repository_find(f->r, text, NULL, true, &s, NULL, &own))
		ck_abort_msg("%s: %s", text, own.text);
	if (!o->to)
		o->to = f->to;
	if (!o->path) {
		o->path = f->from;
		o->path_len = strlen(f->from);
	}
	o->failed = repo_note_failed;
	o->left_out = repo_note_left_out;
	o->arg = f;
	f->failures = 0;
	f->named_len = 0;
	f->left_out = 0;
	return restore_run(f->r, &s.manifest, o, ret, e);
}

static inline struct restore_result repo_restore(struct repo_frame *f,
						 struct object_id id)
{
	struct restore_options o = { .overwrite = RESTORE_CHANGED };
	struct restore_result result;
	struct err e = { 0 };

	ck_ok(repo_restore_with(f, id, &o, &result, &e));
	return result;
}

/*
 * What is at root, with paths below it and without what no restore can bring
 * back: inode numbers and ctimes.
 */
static inline void repo_list(struct tree_list *t, const char *root)
{
	memset(t, 0, sizeof(*t));
	tree_list_naive(t, root);
	for (size_t i = 0; i < t->count; i++) {
		struct tree_line *line = &t->lines[i];
		char *from = strstr(line->text, " ino ");
		char *to = strchr(strstr(from, " ctime ") + 7, ' ');

		memmove(line->path, line->path + strlen(root),
			strlen(line->path + strlen(root)) + 1);
		if (to)
			memmove(from, to, strlen(to) + 1);
		else
			*from = '\0';
	}
}

static inline void repo_expect_same(const struct tree_list *want,
				    const char *root)
{
	struct tree_list got;

	repo_list(&got, root);
	tree_list_expect_same(&got, want);
	tree_list_done(&got);
}

/* Whether a restore told that it failed at that path in f->from, or above. */
static inline bool repo_is_named(const struct repo_frame *f, const char *path)
{
	for (size_t at = 0; at < f->named_len;
	     at += strlen(f->named + at) + 1) {
		const char *name = f->named + at;
		const char *below = strstr(name, f->from);
		size_t n;

		/* What lies above it all. */
		if (!below)
			return true;
		below += strlen(f->from);
		n = strlen(below);
		if (strncmp(below, path, n) == 0 &&
		    (path[n] == '\0' || path[n] == '/'))
			return true;
	}
	return false;
}

/* Up to its content: what another restore goes by. */
static inline bool repo_looks_like(const char *a, const char *b)
{
	const char *end = strstr(a, " content ");

	return end && strncmp(a, b, (size_t)(end - a) + 9) == 0;
}

/*
 * What is at root after a restore that failed in part: all that it did not
 * name is as it was, and nothing else is there; and what it named does not
 * look as if it was, unless it is.
 */
static inline void repo_expect_rest(const struct repo_frame *f,
				    const struct tree_list *want,
				    const char *root)
{
	struct tree_list got;

	if (!f->named_len) {
		repo_expect_same(want, root);
		return;
	}
	if (access(root, F_OK) != 0) {
		ck_assert_msg(repo_is_named(f, ""), "nothing is there");
		return;
	}
	repo_list(&got, root);
	for (size_t i = 0; i < want->count; i++) {
		const struct tree_line *line = &want->lines[i];
		const struct tree_line *is = tree_list_find(&got, line->path);

		if (repo_is_named(f, line->path)
			    ? !is || !repo_looks_like(line->text, is->text)
			    : is && strcmp(line->text, is->text) == 0)
			continue;
		ck_assert_msg(is && strcmp(line->text, is->text) == 0,
			      "%s: %s\nwant %s", line->path,
			      is ? is->text : "not there", line->text);
	}
	for (size_t i = 0; i < got.count; i++)
		ck_assert_msg(tree_list_find(want, got.lines[i].path) != NULL,
			      "%s is there", got.lines[i].path);
	tree_list_done(&got);
}

#endif

/*
 * Snapshots of made-up entries, and what trees hold of them.
 */
#ifndef TESTS_SUPPORT_SNAPSHOT_VIEW_H
#define TESTS_SUPPORT_SNAPSHOT_VIEW_H

#include <check.h>
#include <string.h>

#include "storage/repository/content.h"
#include "storage/repository/reader.h"
#include "storage/repository/tree.h"
#include "storage/snapshot.h"
#include "tests/support/fake_source.h"
#include "tests/support/repo_frame.h"

/* A snapshot of made-up entries; the number of bytes that it read. */
static inline int take_fake(struct repo_frame *f, const struct fake_entry *v,
			    size_t n, struct snapshot_result *ret,
			    uint64_t *ret_read, struct err *err)
{
	CLEANUP(snapshot_errors_free) struct snapshot_errors *errors = NULL;
	struct fake_source s = fake_source_of(v, n);
	struct snapshot_options o = { .no_parent = false };
	struct err e = { 0 };
	int failed;

	ck_ok(snapshot_errors_new(&errors, &e));
	failed = repo_take_source(f, &s.base, errors, &o, ret, err);
	*ret_read = s.reads;
	return failed;
}

/* The tree of a snapshot, one entry after the other. */
struct view {
	struct repository_snapshot s;
	struct reader *reader;
	struct reader *data;
	struct tree *tree;
	struct entry en;
	struct content content;
};

static inline void view_open(struct view *v, struct repo_frame *f,
			     struct object_id id)
{
	char text[OBJECT_ID_TEXT];
	struct err e = { 0 };

	memset(v, 0, sizeof(*v));
	object_id_format(id, text);
	ck_ok(repository_find(f->r, text, NULL, false, &v->s, NULL, &e));
	ck_ok(reader_new(f->r, 1 << 20, &v->reader, &e));
	ck_ok(reader_new(f->r, 1 << 20, &v->data, &e));
	ck_ok(tree_open(v->reader, &v->s.manifest.tree, &v->s.manifest.hints,
			&v->tree, &e));
}

static inline bool view_next(struct view *v)
{
	struct err e = { 0 };
	const int got = tree_next(v->tree, &v->en, &v->content, &e);

	ck_assert_msg(got >= 0, "%s", e.text);
	return got == 1;
}

static inline void view_close(struct view *v)
{
	tree_close(v->tree);
	reader_free(v->reader);
	reader_free(v->data);
	repository_snapshot_done(&v->s);
}

struct expected {
	struct view *view;
	const struct fake_entry *want;
	uint64_t sum;
};

static inline int check_extent(void *arg, uint64_t offset,
			       const struct extent *x, struct err *err)
{
	struct expected *want = arg;
	const uint8_t *plain;
	struct err e = { 0 };
	size_t n;

	(void)err;
	ck_assert_uint_eq(offset, want->sum);
	want->sum += x->len;
	if (x->hole)
		return 0;
	ck_ok(reader_get(want->view->data, &x->id, CHUNK_DATA, &plain, &n, &e));
	for (uint64_t i = 0; i < x->len; i++)
		if (plain[x->offset + i] != fake_byte(want->want, offset + i))
			ck_abort_msg("%s differs", want->want->entry.path);
	return 0;
}

/* That a snapshot holds exactly these entries, with their bytes. */
static inline void expect_entries(struct repo_frame *f, struct object_id id,
				  const struct fake_entry *v, size_t n)
{
	struct view view;
	struct err e = { 0 };
	size_t i = 0;

	view_open(&view, f, id);
	while (view_next(&view)) {
		struct expected want = { .view = &view, .want = &v[i] };

		ck_assert_uint_lt(i, n);
		/* The root, which v may leave out. */
		if (i == 0 && view.en.path_len == 1 && v[0].entry.path_len > 1)
			continue;
		ck_assert_str_eq(view.en.path, v[i].entry.path);
		ck_assert_uint_eq(view.en.size, v[i].entry.size);
		ck_ok(content_walk(view.data, &view.content, check_extent,
				   &want, &e));
		ck_assert_uint_eq(want.sum, v[i].entry.size);
		i++;
	}
	ck_assert_uint_eq(i, n);
	view_close(&view);
}

#endif

/*
 * Random trees, changed at random, taken and restored: what comes back is what
 * was there, bit for bit, of each of the snapshots.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/snapshot_small.h"
#include "tests/support/random.h"
#include "tests/support/repo_frame.h"
#include "tests/support/snapshot_view.h"
#include "tests/support/tree_gen.h"

#define ROUNDS	  60
#define SNAPSHOTS 4

static void restore_and_compare(struct repo_frame *f, struct object_id id,
				const struct tree_list *want)
{
	const struct restore_result got = repo_restore(f, id);

	ck_assert_msg(got.errors == 0, "%s", f->failed);
	ck_assert_msg(got.left_out == 0, "%s", f->left);
	ck_assert(!got.damaged);
	ck_assert_uint_eq(got.files + got.folders + got.others, want->count);
	repo_expect_same(want, f->to);
}

static void one_round(struct random *r)
{
	CLEANUP(repo_frame_done) struct repo_frame f;
	struct tree_list want[SNAPSHOTS];
	struct object_id ids[SNAPSHOTS];
	const unsigned int size = 1 + (unsigned int)random_below(r, 120);

	repo_frame_init(&f, "mem:prop");
	ck_assert_int_eq(mkdir(f.from, 0700), 0);
	tree_gen_fill(f.from, size, r);
	for (int i = 0; i < SNAPSHOTS; i++) {
		struct snapshot_result taken;

		if (i)
			tree_gen_mutate(f.from, 1 + size / 8, r);
		taken = repo_take(&f);
		ids[i] = taken.id;
		ck_assert_int_eq(taken.state, MANIFEST_COMPLETE);
		repo_list(&want[i], f.from);
	}
	/* One after the other into the same folder, changed ones replaced
	 * where only files changed; then each by itself. */
	repo_frame_reopen(&f);
	for (int i = 0; i < SNAPSHOTS; i++) {
		restore_and_compare(&f, ids[i], &want[i]);
		ck_assert_uint_eq(repo_restore(&f, ids[i]).errors, 0);
		repo_expect_same(&want[i], f.to);
		scratch_remove(f.to);
		tree_list_done(&want[i]);
	}
	scratch_remove(f.from);
}

START_TEST(what_was_taken_comes_back)
{
	struct random r = random_seed();

	for (int i = 0; i < ROUNDS; i++)
		one_round(&r);
}
END_TEST

/* Contents to choose from, so that the same ones turn up again and again. */
#define CONTENTS     40
#define CONTENT_MOST (SNAPSHOT_SMALL + 2)
#define COPIES	     300
struct pool {
	size_t len[CONTENTS];
	uint8_t bytes[CONTENTS][CONTENT_MOST];
};

static void fill_pool(struct pool *p, struct random *r)
{
	for (size_t i = 0; i < CONTENTS; i++) {
		p->len[i] = random_any_size(r) % CONTENT_MOST;
		random_bytes(r, p->bytes[i], p->len[i]);
		/* Now and then as the one before, but for one byte. */
		if (i == 0 || p->len[i - 1] == 0 || random_below(r, 4))
			continue;
		p->len[i] = p->len[i - 1];
		memcpy(p->bytes[i], p->bytes[i - 1], p->len[i]);
		p->bytes[i][random_below(r, p->len[i])] ^= 1;
	}
}

static void write_copy(const struct repo_frame *f, const struct pool *p,
		       unsigned int name, struct random *r)
{
	const size_t i = random_below(r, CONTENTS);
	char path[SCRATCH_PATH + 20];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%u", f->from, name % 7);
	(void)!mkdir(path, 0700);
	(void)snprintf(path, sizeof(path), "%s/%u/%u", f->from, name % 7, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, p->bytes[i], p->len[i]), (ssize_t)p->len[i]);
	ck_assert_int_eq(close(fd), 0);
}

/* Small files of a snapshot that are worth a name, by where they lie. */
static size_t count_places(struct repo_frame *f, struct object_id id)
{
	static struct extent seen[COPIES];
	struct view view;
	size_t n = 0;

	view_open(&view, f, id);
	while (view_next(&view)) {
		const struct extent *x = view.content.v;
		size_t i = 0;

		if (view.en.type != ENTRY_FILE ||
		    view.en.size < SNAPSHOT_NAMED_MIN ||
		    view.en.size >= SNAPSHOT_SMALL)
			continue;
		ck_assert_uint_eq(view.content.n, 1);
		while (i < n && (!chunk_id_equal(&seen[i].id, &x->id) ||
				 seen[i].offset != x->offset))
			i++;
		if (i < n)
			ck_assert_uint_eq(seen[i].len, x->len);
		else
			seen[n++] = *x;
	}
	view_close(&view);
	return n;
}

/* Each content that any file has, counted once. */
static size_t count_contents(const struct pool *p, struct repo_frame *f,
			     unsigned int files)
{
	static uint8_t bytes[CONTENT_MOST];
	bool used[CONTENTS] = { false };
	size_t sum = 0;

	for (unsigned int name = 0; name < files; name++) {
		char path[SCRATCH_PATH + 20];
		size_t i = 0;
		ssize_t n;
		int fd;

		(void)snprintf(path, sizeof(path), "%s/%u/%u", f->from,
			       name % 7, name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		ck_assert_int_ge(fd, 0);
		n = read(fd, bytes, sizeof(bytes));
		ck_assert_int_ge(n, 0);
		(void)close(fd);
		while (p->len[i] != (size_t)n ||
		       memcmp(p->bytes[i], bytes, (size_t)n) != 0)
			ck_assert_uint_lt(++i, CONTENTS);
		if (!used[i] && n >= SNAPSHOT_NAMED_MIN && n < SNAPSHOT_SMALL)
			sum++;
		used[i] = true;
	}
	return sum;
}

static void one_round_of_copies(struct random *r)
{
	static struct pool pool;
	CLEANUP(repo_frame_done) struct repo_frame f;
	struct snapshot_options all = { .no_parent = true };
	struct tree_list want[SNAPSHOTS];
	struct snapshot_result taken[SNAPSHOTS];
	const unsigned int files = 1 + (unsigned int)random_below(r, COPIES);
	struct err e = { 0 };

	fill_pool(&pool, r);
	repo_frame_init(&f, "mem:prop");
	ck_assert_int_eq(mkdir(f.from, 0700), 0);
	for (unsigned int i = 0; i < files; i++)
		write_copy(&f, &pool, i, r);
	for (int i = 0; i < SNAPSHOTS; i++) {
		for (unsigned int k = 0; i && k < 1 + files / 8; k++)
			write_copy(&f, &pool,
				   (unsigned int)random_below(r, files), r);
		/* The last one without a parent: everything is read. */
		if (i < SNAPSHOTS - 1)
			taken[i] = repo_take(&f);
		else
			ck_ok(repo_take_with(&f, &all, &taken[i], &e));
		if (i == 0 || i == SNAPSHOTS - 1)
			ck_assert_uint_eq(count_places(&f, taken[i].id),
					  count_contents(&pool, &f, files));
		repo_list(&want[i], f.from);
	}
	for (int i = 0; i < SNAPSHOTS; i++) {
		restore_and_compare(&f, taken[i].id, &want[i]);
		tree_list_done(&want[i]);
	}
	scratch_remove(f.from);
}

START_TEST(each_content_of_many_copies_is_stored_once)
{
	struct random r = random_seed();

	for (int i = 0; i < ROUNDS / 12; i++)
		one_round_of_copies(&r);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, what_was_taken_comes_back);
	tcase_add_test(tc, each_content_of_many_copies_is_stored_once);
}

CHECK_MAIN("storage/snapshot", cases)

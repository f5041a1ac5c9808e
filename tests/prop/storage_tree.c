/*
 * Trees and contents against plain arrays: what goes in comes out, by walking,
 * seeking, and behind damage; what does not change is shared.
 */
#include "storage/repository/tree.h"

#include "tests/support/random.h"
#include "tests/support/repo_frame.h"

static struct repo_frame f;
static struct err e;
static struct writer *writer;
static struct chunk_worker *worker;

static void open_session(void)
{
	const struct writer_options o = { .purpose = RECORD_SNAPSHOT,
					  .snapshot = object_id_new(),
					  .host = "host" };

	ck_ok(writer_open(f.r, &o, &writer, &e));
}

static void set_up(void)
{
	repo_frame_init(&f, "mem:tree");
	err_clear(&e);
	ck_ok(chunk_worker_new(repository_keys(f.r), &worker, &e));
	open_session();
}

/* Makes readable what was added, and begins the next session. */
static void settle(void)
{
	writer_close(writer);
	open_session();
}

static void tear_down(void)
{
	writer_close(writer);
	chunk_worker_free(worker);
	repo_frame_done(&f);
}

struct sample {
	struct extent *v;
	size_t n;
	uint64_t size;
};

/* n extents, no two of which the builder joins. */
static struct sample sample_of(struct random *r, size_t n)
{
	struct sample s = { .v = calloc(n + 1, sizeof(*s.v)), .n = n };

	ck_assert_ptr_nonnull(s.v);
	for (size_t i = 0; i < n; i++) {
		struct extent *x = &s.v[i];

		x->hole = i && !x[-1].hole && random_below(r, 4) == 0;
		x->len = 1 + random_below(r, 100000);
		if (!x->hole) {
			random_bytes(r, x->id.b, sizeof(x->id.b));
			x->offset = (uint32_t)random_below(r, 1000000);
		}
		s.size += x->len;
	}
	return s;
}

struct walked {
	const struct sample *want;
	size_t i;
	uint64_t offset;
};

static int compare_extent(void *arg, uint64_t offset, const struct extent *x,
			  struct err *err)
{
	struct walked *w = arg;
	const struct extent *want = &w->want->v[w->i++];

	(void)err;
	ck_assert_uint_le(w->i, w->want->n);
	ck_assert_uint_eq(offset, w->offset);
	ck_assert_uint_eq(x->len, want->len);
	ck_assert_int_eq(x->hole, want->hole);
	ck_assert_uint_eq(x->offset, want->offset);
	ck_assert_mem_eq(x->id.b, want->id.b, sizeof(x->id.b));
	w->offset += x->len;
	return 0;
}

START_TEST(contents_of_any_length_come_back)
{
	static const size_t sizes[] = {
		0,    1,    2,	  127,	 128,	 1023,
		1024, 1025, 5000, 40000, 300000, 1000000
	};
	struct random r = random_seed();

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		CLEANUP(content_builder_free) struct content_builder *b = NULL;
		CLEANUP(reader_free) struct reader *x = NULL;
		const struct sample s = sample_of(&r, sizes[i]);
		struct walked w = { .want = &s };
		struct content c;

		ck_ok(content_builder_new(writer, worker, &b, &e));
		for (size_t k = 0; k < s.n; k++)
			ck_ok(content_builder_add(b, &s.v[k], &e));
		ck_ok(content_builder_finish(b, &c, &e));
		ck_assert_uint_le(c.n, CONTENT_EXTENTS_MAX);
		settle();
		ck_ok(reader_new(f.r, 1 << 20, &x, &e));
		ck_ok(content_walk(x, &c, compare_extent, &w, &e));
		ck_assert_uint_eq(w.i, s.n);
		free(s.v);
	}
}
END_TEST

START_TEST(neighbours_become_one)
{
	CLEANUP(content_builder_free) struct content_builder *b = NULL;
	struct extent hole = { .len = 5, .hole = true };
	struct extent data = { .len = 7, .offset = 1 };
	struct content c;

	ck_ok(content_builder_new(writer, worker, &b, &e));
	ck_ok(content_builder_add(b, &hole, &e));
	ck_ok(content_builder_add(b, &hole, &e));
	ck_ok(content_builder_add(b, &data, &e));
	data.offset = 8;
	ck_ok(content_builder_add(b, &data, &e));
	data.offset = 16; /* not where the last one ended */
	ck_ok(content_builder_add(b, &data, &e));
	ck_ok(content_builder_finish(b, &c, &e));
	ck_assert_uint_eq(c.n, 3);
	ck_assert_uint_eq(c.v[0].len, 10);
	ck_assert_uint_eq(c.v[1].len, 14);
	ck_ok(content_builder_finish(b, &c, &e));
	ck_assert_uint_eq(c.n, 0);
}
END_TEST

struct path {
	char *s;
	size_t len;
	size_t depth;
	bool is_folder;
};

static int compare_paths(const void *a, const void *b)
{
	const struct path *x = a;
	const struct path *y = b;

	return entry_path_compare(x->s, x->len, y->s, y->len);
}

/* Components of any bytes, some long, many with common beginnings. */
static size_t random_component(struct random *r, char *out)
{
	const size_t n = random_below(r, 50) ? 1 + random_below(r, 6)
					     : 1 + random_below(r, 250);

	for (size_t i = 0; i < n; i++) {
		do
			out[i] = (char)(random_below(r, 3)
						? 'a' + (int)random_below(r, 3)
						: (int)random_below(r, 256));
		while (out[i] == '/' || out[i] == '\0' || out[i] == '.');
	}
	return n;
}

/* One below another: each in one of those before it, often the last. */
static void add_path(struct random *r, struct path *all, size_t n,
		     size_t depth_max)
{
	static char text[ENTRY_PATH_MAX];
	const struct path *in = &all[random_below(r, n)];
	size_t len;

	if (random_below(r, 20))
		in = &all[n - 1];
	if (in->depth == depth_max || in->len > 65000)
		in = &all[0];
	len = in->len == 1 ? 0 : in->len;
	memcpy(text, in->s, len);
	text[len++] = '/';
	len += random_component(r, text + len);
	all[n] = (struct path){ .s = malloc(len),
				.len = len,
				.depth = in->depth + 1 };
	ck_assert_ptr_nonnull(all[n].s);
	memcpy(all[n].s, text, len);
}

static size_t make_paths(struct random *r, size_t n, size_t depth_max,
			 struct path *out)
{
	size_t kept = 1;

	out[0] = (struct path){ .s = strdup("/"), .len = 1 };
	ck_assert_ptr_nonnull(out[0].s);
	for (size_t i = 1; i < n; i++)
		add_path(r, out, i, depth_max);
	qsort(out, n, sizeof(*out), compare_paths);
	for (size_t i = 1; i < n; i++)
		if (compare_paths(&out[kept - 1], &out[i]) != 0)
			out[kept++] = out[i];
		else
			free(out[i].s);
	for (size_t i = 0; i < kept; i++)
		out[i].is_folder = i + 1 == kept || i % 7 == 0 ||
				   entry_path_within(out[i + 1].s,
						     out[i + 1].len, out[i].s,
						     out[i].len);
	return kept;
}

static struct entry entry_of(const struct path *p, size_t i)
{
	static uint8_t large[3000];
	static struct entry_xattr xattrs[2] = {
		{ .name = "user.a",
		  .value = (const uint8_t *)"",
		  .value_len = 0 },
		{ .name = "user.b",
		  .value = large,
		  .value_len = sizeof(large) },
	};
	struct entry en = { .path = p->s,
			    .path_len = p->len,
			    .type = p->is_folder ? ENTRY_FOLDER : ENTRY_FIFO,
			    .mode = (uint32_t)(i % 4096),
			    .uid = i % 3 ? 0 : UINT32_MAX,
			    .gid = (uint32_t)i,
			    .mtime = { i % 2 ? INT64_MIN : INT64_MAX,
				       (uint32_t)(i % 1000000000) },
			    .inode = i + 1,
			    .ctime = { (int64_t)i, 999999999 } };

	if (i % 100 == 7) {
		large[0] = (uint8_t)i;
		en.xattrs = xattrs;
		en.xattr_count = 2;
	}
	if (i % 5 == 0) {
		en.flags = ENTRY_HARD_LINK;
		en.link_group = UINT64_MAX - i;
	}
	return en;
}

static void build(const struct path *p, size_t n, size_t odd,
		  struct manifest_root *tree, struct manifest_root *hints)
{
	CLEANUP(tree_builder_free) struct tree_builder *b = NULL;

	ck_ok(tree_builder_new(writer, worker, &b, &e));
	for (size_t i = 0; i < n; i++) {
		struct entry en = entry_of(&p[i], i);

		if (i == odd)
			en.gid++;
		ck_ok(tree_builder_add(b, &en, NULL, &e));
	}
	ck_ok(tree_builder_finish(b, tree, hints, &e));
	settle();
}

static void expect_entry(const struct entry *got, const struct path *p,
			 size_t i)
{
	const struct entry want = entry_of(p, i);

	ck_assert_uint_eq(got->path_len, p->len);
	ck_assert_mem_eq(got->path, p->s, p->len);
	ck_assert_uint_eq(got->mode, want.mode);
	ck_assert_uint_eq(got->uid, want.uid);
	ck_assert_uint_eq(got->gid, want.gid);
	ck_assert_int_eq(instant_compare(got->mtime, want.mtime), 0);
	ck_assert_int_eq(instant_compare(got->ctime, want.ctime), 0);
	ck_assert_uint_eq(got->inode, want.inode);
	ck_assert_uint_eq(got->link_group, want.link_group);
	ck_assert_uint_eq(got->xattr_count, want.xattr_count);
	if (want.xattr_count)
		ck_assert_mem_eq(got->xattrs[1].value, want.xattrs[1].value,
				 want.xattrs[1].value_len);
}

static void one_tree(struct random *r, size_t n, size_t depth)
{
	CLEANUP(reader_free) struct reader *x = NULL;
	CLEANUP(tree_close) struct tree *t = NULL;
	struct path *p = calloc(n + 1, sizeof(*p));
	struct manifest_root tree;
	struct manifest_root hints;
	struct content c;
	struct entry en;

	ck_assert_ptr_nonnull(p);
	n = n ? make_paths(r, n, depth, p) : 0;
	build(p, n, SIZE_MAX, &tree, &hints);
	ck_assert_int_eq(tree.empty, n == 0);
	ck_ok(reader_new(f.r, 1 << 20, &x, &e));
	ck_ok(tree_open(x, &tree, &hints, &t, &e));
	for (size_t i = 0; i < n; i++) {
		ck_assert_int_eq(tree_next(t, &en, &c, &e), 1);
		expect_entry(&en, &p[i], i);
	}
	ck_assert_int_eq(tree_next(t, &en, &c, &e), 0);
	for (int k = 0; k < 100 && n; k++) {
		const size_t i = random_below(r, n);
		/* Itself, or what would come right behind it. */
		const size_t cut = p[i].len - random_below(r, 2);
		size_t want = 0;

		while (want < n && entry_path_compare(p[want].s, p[want].len,
						      p[i].s, cut) < 0)
			want++;
		ck_ok(tree_seek(t, p[i].s, cut, &e));
		for (size_t more = 0; more < 3 && want < n; more++, want++) {
			ck_assert_int_eq(tree_next(t, &en, &c, &e), 1);
			expect_entry(&en, &p[want], want);
		}
	}
	for (size_t i = 0; i < n; i++)
		free(p[i].s);
	free(p);
}

START_TEST(trees_hold_what_went_in)
{
	struct random r = random_seed();
	static const size_t sizes[] = { 0, 1, 2, 31, 33, 300, 5000, 60000 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		one_tree(&r, sizes[i], 4);
	/* Paths so long that a few fill a node: inner nodes are cut, too. */
	one_tree(&r, 3000, 4000);
}
END_TEST

#define MANY 100000

START_TEST(one_change_costs_few_nodes)
{
	struct random r = random_seed();
	struct path *p = calloc(MANY, sizeof(*p));
	struct manifest_root tree;
	struct manifest_root hints;
	uint64_t before;
	size_t n;

	ck_assert_ptr_nonnull(p);
	n = make_paths(&r, MANY, 8, p);
	build(p, n, SIZE_MAX, &tree, &hints);
	{
		CLEANUP(tree_builder_free) struct tree_builder *b = NULL;

		before = writer_totals(writer).chunks_new;
		ck_ok(tree_builder_new(writer, worker, &b, &e));
		for (size_t i = 0; i < n; i++) {
			struct entry en = entry_of(&p[i], i);

			en.gid += i == n / 2;
			ck_ok(tree_builder_add(b, &en, NULL, &e));
		}
		ck_ok(tree_builder_finish(b, &tree, &hints, &e));
		/* A leaf, and an inner node for each height above it. */
		ck_assert_uint_le(writer_totals(writer).chunks_new - before,
				  1U + tree.height);
	}
	for (size_t i = 0; i < n; i++)
		free(p[i].s);
	free(p);
}
END_TEST

static void refuse(struct tree_builder *b, const struct entry *en)
{
	err_clear(&e);
	ck_assert_int_lt(tree_builder_add(b, en, NULL, &e), 0);
	ck_assert_int_eq(e.code, ERR_BUG);
}

static void set_path(struct entry *en, const char *path)
{
	en->path = path;
	en->path_len = strlen(path);
}

START_TEST(what_contradicts_itself_is_not_stored)
{
	CLEANUP(tree_builder_free) struct tree_builder *b = NULL;
	struct entry root = { .path = "/",
			      .path_len = 1,
			      .type = ENTRY_FOLDER };
	struct entry en = { .path = "/b", .path_len = 2, .type = ENTRY_FILE };

	ck_ok(tree_builder_new(writer, worker, &b, &e));
	refuse(b, &en); /* it lies in nothing */
	ck_ok(tree_builder_add(b, &root, NULL, &e));
	en.size = 5; /* and no content */
	refuse(b, &en);
	en.size = 0;
	ck_ok(tree_builder_add(b, &en, NULL, &e));
	set_path(&en, "/a");
	refuse(b, &en);
	/* In a file, and in folders that did not come. */
	set_path(&en, "/b/c");
	refuse(b, &en);
	set_path(&root, "/c");
	ck_ok(tree_builder_add(b, &root, NULL, &e));
	set_path(&en, "/c/d/e");
	refuse(b, &en);
	set_path(&en, "/d/e");
	refuse(b, &en);
	set_path(&root, "/c/d");
	ck_ok(tree_builder_add(b, &root, NULL, &e));
	set_path(&en, "/c/d/e");
	ck_ok(tree_builder_add(b, &en, NULL, &e));
	set_path(&en, "/c/f");
	ck_ok(tree_builder_add(b, &en, NULL, &e));
	set_path(&en, "/c/d.e/f");
	refuse(b, &en);
	set_path(&en, "/d");
	ck_ok(tree_builder_add(b, &en, NULL, &e));
}
END_TEST

static uint8_t zeros[70000];
static char long_name[257];

static void spoil_target_empty(struct entry *en)
{
	en->type = ENTRY_SYMLINK;
	en->target = "";
}

static void spoil_target_long(struct entry *en)
{
	static char target[65536];

	memset(target, 't', sizeof(target));
	en->type = ENTRY_SYMLINK;
	en->target = target;
	en->target_len = sizeof(target);
}

static void spoil_target_nul(struct entry *en)
{
	en->type = ENTRY_SYMLINK;
	en->target = "a\0b";
	en->target_len = 3;
}

static void spoil_type(struct entry *en)
{
	en->type = ENTRY_TYPE_END;
}

static void spoil_mode(struct entry *en)
{
	en->mode = 010000;
}

static void spoil_size(struct entry *en)
{
	en->size = 1;
}

static void spoil_mtime(struct entry *en)
{
	en->mtime.nsec = 1000000000;
}

static void spoil_ctime(struct entry *en)
{
	en->inode = 1;
	en->ctime.nsec = 1000000000;
}

static void set_xattr(struct entry *en, const char *name, size_t len)
{
	static struct entry_xattr x;

	x = (struct entry_xattr){ name, zeros, len };
	en->xattrs = &x;
	en->xattr_count = 1;
}

static void spoil_name_empty(struct entry *en)
{
	set_xattr(en, "", 1);
}

static void spoil_name_long(struct entry *en)
{
	memset(long_name, 'n', 256);
	set_xattr(en, long_name, 1);
}

static void spoil_value_long(struct entry *en)
{
	set_xattr(en, "user.x", 65537);
}

static struct entry_xattr many[65537];

static void set_many(struct entry *en, size_t n, size_t len)
{
	for (size_t i = 0; i < n; i++)
		many[i] = (struct entry_xattr){ "user.x", zeros, len };
	en->xattrs = many;
	en->xattr_count = n;
}

static void spoil_values_long(struct entry *en)
{
	set_many(en, 1025, 65536);
}

static void spoil_count(struct entry *en)
{
	set_many(en, 65537, 0);
}

/* Every other entry lies in it. */
static void add_root(struct tree_builder *b)
{
	const struct entry root = { .path = "/",
				    .path_len = 1,
				    .type = ENTRY_FOLDER };

	ck_ok(tree_builder_add(b, &root, NULL, &e));
}

/* What the reader would refuse, and lose with the rest of its leaf. */
START_TEST(what_no_reader_takes_is_not_stored)
{
	static void (*const spoil[])(struct entry * en) = {
		spoil_target_empty, spoil_target_long, spoil_target_nul,
		spoil_type,	    spoil_mode,	       spoil_size,
		spoil_mtime,	    spoil_ctime,       spoil_name_empty,
		spoil_name_long,    spoil_value_long,  spoil_values_long,
		spoil_count,
	};
	CLEANUP(tree_builder_free) struct tree_builder *b = NULL;
	CLEANUP(reader_free) struct reader *x = NULL;
	CLEANUP(tree_close) struct tree *t = NULL;
	const struct entry good = { .path = "/a",
				    .path_len = 2,
				    .type = ENTRY_FIFO };
	struct manifest_root tree;
	struct manifest_root hints;
	struct content c;
	struct entry en;

	ck_ok(tree_builder_new(writer, worker, &b, &e));
	add_root(b);
	for (size_t i = 0; i < sizeof(spoil) / sizeof(*spoil); i++) {
		en = good;
		spoil[i](&en);
		ck_assert_msg(tree_builder_add(b, &en, NULL, &e) < 0,
			      "spoiled by %zu", i);
		ck_assert_int_eq(e.code, ERR_BUG);
		ck_assert_ptr_null(strstr(e.text, "lies in no folder"));
	}
	/* The longest of everything is taken, by both. */
	spoil_target_long(&en);
	en.target_len--;
	en.mode = 07777;
	en.mtime.nsec = 999999999;
	long_name[255] = '\0';
	set_xattr(&en, long_name, 65536);
	ck_ok(tree_builder_add(b, &en, NULL, &e));
	ck_ok(tree_builder_finish(b, &tree, &hints, &e));
	settle();
	ck_ok(reader_new(f.r, 1 << 20, &x, &e));
	ck_ok(tree_open(x, &tree, &hints, &t, &e));
	ck_assert_int_eq(tree_next(t, &en, &c, &e), 1);
	ck_assert_int_eq(tree_next(t, &en, &c, &e), 1);
	ck_assert_uint_eq(en.target_len, 65535);
	ck_assert_uint_eq(en.xattrs[0].value_len, 65536);
}
END_TEST

static void expect_refused(struct extent *v, size_t n, uint8_t level)
{
	CLEANUP(tree_builder_free) struct tree_builder *b = NULL;
	const struct content c = { .level = level, .n = n, .v = v };
	struct entry en = { .path = "/a", .path_len = 2, .type = ENTRY_FILE };

	for (size_t i = 0; i < n; i++)
		en.size += v[i].len;
	ck_ok(tree_builder_new(writer, worker, &b, &e));
	add_root(b);
	ck_assert_int_lt(tree_builder_add(b, &en, &c, &e), 0);
	ck_assert_int_eq(e.code, ERR_BUG);
	ck_assert_ptr_null(strstr(e.text, "lies in no folder"));
}

START_TEST(contents_that_no_reader_takes_are_not_stored)
{
	CLEANUP(content_builder_free) struct content_builder *b = NULL;
	static struct extent many_of[CONTENT_EXTENTS_MAX + 1];
	struct extent empty = { .len = 0 };
	struct extent beyond = { .len = 2, .offset = CHUNK_MAX - 1 };
	struct extent huge[2] = { { .len = INT64_MAX, .hole = true },
				  { .len = 1 } };
	struct extent sound = { .len = 1 };

	for (size_t i = 0; i <= CONTENT_EXTENTS_MAX; i++)
		many_of[i] = sound;
	expect_refused(many_of, CONTENT_EXTENTS_MAX + 1, 0);
	expect_refused(&empty, 1, 0);
	expect_refused(&beyond, 1, 0);
	expect_refused(huge, 2, 0);
	expect_refused(&sound, 1, CONTENT_LEVEL_MAX + 1);
	sound.hole = true;
	expect_refused(&sound, 1, 1);
	/* Nor on its way into a map. */
	ck_ok(content_builder_new(writer, worker, &b, &e));
	ck_assert_int_lt(content_builder_add(b, &beyond, &e), 0);
	ck_assert_int_eq(e.code, ERR_BUG);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, contents_of_any_length_come_back);
	tcase_add_test(tc, neighbours_become_one);
	tcase_add_test(tc, trees_hold_what_went_in);
	tcase_add_test(tc, one_change_costs_few_nodes);
	tcase_add_test(tc, what_contradicts_itself_is_not_stored);
	tcase_add_test(tc, what_no_reader_takes_is_not_stored);
	tcase_add_test(tc, contents_that_no_reader_takes_are_not_stored);
}

CHECK_MAIN("storage/tree", cases)

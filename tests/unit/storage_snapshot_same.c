/* What a source says is as in the parent: storage/sources/source.h,
 * storage/snapshot_produce.c. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "storage/restore_output.h"
#include "tests/support/repo_frame.h"

#define B ((uint64_t)SOURCE_BLOCK)
/* With holes between them more extents than an entry has itself. */
#define BLOCKS 1030

/* Block i is a hole, or filled with its number; what is asked for is counted.
 */
struct disk {
	struct source base;
	uint32_t v[BLOCKS]; /* 0: a hole */
	uint64_t blocks;
	unsigned int features;
	/* Offered, unless there is no parent or it was refused. */
	uint64_t from, to; /* blocks */
	const char *name;
	int stage;
	uint64_t offset;
	uint64_t offered;
	bool has_parent;
	bool is_refused;
	struct object_id parent;
	struct object_id own;
};

static struct repo_frame f;
static struct err e;
static struct disk d;
static char out[SCRATCH_PATH];

static void set_up(void)
{
	repo_frame_init(&f, "mem:same");
	(void)scratch_path(&f.dir, "out", out);
	err_clear(&e);
	ck_assert_int_eq(setenv("SNAPCTL_TEST_CLOCK", "100", 1), 0);
}

static void tear_down(void)
{
	repo_frame_done(&f);
}

static struct disk *disk_of(struct source *s)
{
	return (struct disk *)(void *)s;
}

static void close_disk(struct source *s)
{
	(void)s;
}

static unsigned int features(const struct source *s)
{
	return ((const struct disk *)(const void *)s)->features;
}

static void begin(struct source *s, const struct object_id *parent,
		  struct object_id own)
{
	struct disk *x = disk_of(s);

	x->has_parent = parent;
	x->parent = parent ? *parent : (struct object_id){ { 0 } };
	x->own = own;
}

static struct entry entry_of(const struct disk *x, bool is_root)
{
	static char path[20];

	(void)snprintf(path, sizeof(path), "/%s", x->name);
	return (struct entry){
		.path = is_root ? "/" : path,
		.path_len = is_root ? 1 : strlen(path),
		.type = is_root ? ENTRY_FOLDER : ENTRY_FILE,
		.size = is_root ? 0 : x->blocks * B,
	};
}

static int next(struct source *s, struct entry *ret, struct err *err)
{
	struct disk *x = disk_of(s);

	(void)err;
	if (x->stage == 2)
		return 0;
	*ret = entry_of(x, x->stage++ == 0);
	return 1;
}

static int take_handle(struct source *s, struct source_handle **ret,
		       struct err *err)
{
	(void)err;
	*ret = calloc(1, sizeof(**ret));
	ck_assert_ptr_nonnull(*ret);
	(*ret)->source = s;
	return 0;
}

static int describe(struct source_handle *h, struct entry *en, struct err *err)
{
	const struct entry listed = *en;

	(void)err;
	*en = entry_of(disk_of(h->source), listed.path_len == 1);
	en->path = listed.path;
	en->owned = listed.owned;
	return 1;
}

static int read_disk(struct source_handle *h, void *to, size_t n,
		     struct source_extent *ret, struct err *err)
{
	struct disk *x = disk_of(h->source);
	const uint64_t i = x->offset / B;
	const uint64_t within = x->offset % B;

	(void)err;
	x->offered = 0;
	if (i == x->blocks)
		return 0;
	/* Who cuts elsewhere has less room than that. */
	ck_assert(n >= B || !(x->features & SOURCE_BLOCKS));
	ret->len = n < B - within ? n : B - within;
	if (x->has_parent && !x->is_refused && i >= x->from && i < x->to) {
		ret->same = true;
		x->offered = ret->len = (x->to - i) * B - within;
	} else if (x->v[i] == 0) {
		ret->hole = true;
	} else {
		for (size_t k = 0; k < ret->len; k++)
			((uint8_t *)to)[k] =
				((const uint8_t *)&x->v[i])[(within + k) %
							    sizeof(x->v[i])];
	}
	x->offset += ret->len;
	return 1;
}

static void refuse(struct source_handle *h)
{
	struct disk *x = disk_of(h->source);

	ck_assert_uint_gt(x->offered, 0);
	x->offset -= x->offered;
	x->is_refused = true;
}

static enum source_state finish(struct source_handle *h, struct entry *en)
{
	(void)h;
	(void)en;
	return SOURCE_OK;
}

static void release(struct source_handle *h)
{
	free(h);
}

static void progress(const struct source *s, struct source_progress *ret)
{
	(void)s;
	*ret = (struct source_progress){ .all_found = true };
}

static const struct source_ops ops = {
	.type = "fake",
	.close = close_disk,
	.features = features,
	.begin = begin,
	.next = next,
	.take = take_handle,
	.describe = describe,
	.read = read_disk,
	.refuse = refuse,
	.finish = finish,
	.release = release,
	.progress = progress,
};

/* A disk with data in every other block. */
static void make_disk(uint64_t blocks)
{
	memset(&d, 0, sizeof(d));
	d.base.ops = &ops;
	d.features = SOURCE_BLOCKS;
	d.name = "disk";
	d.blocks = blocks;
	for (uint32_t i = 0; i < blocks; i++)
		d.v[i] = i % 2 ? 0 : i + 1;
}

static struct snapshot_result take(bool no_parent)
{
	CLEANUP(snapshot_errors_free) struct snapshot_errors *errors = NULL;
	struct snapshot_options so = { .no_parent = no_parent };
	struct snapshot_result r;

	d.stage = 0;
	d.offset = 0;
	d.is_refused = false;
	ck_ok(snapshot_errors_new(&errors, &e));
	ck_ok(repo_take_source(&f, &d.base, errors, &so, &r, &e));
	ck_assert_int_eq(r.state, MANIFEST_COMPLETE);
	ck_assert_uint_eq(r.bytes, d.blocks * B);
	ck_assert(object_id_equal(r.id, d.own));
	return r;
}

/* What the snapshot holds is what the disk holds. */
static void expect_whole(const struct snapshot_result *r)
{
	const struct restore_output_options o = { .to = out };
	CLEANUP(repository_snapshot_done) struct repository_snapshot s;
	struct restore_output_result back;
	char text[OBJECT_ID_TEXT];
	int fd;

	(void)unlink(out);
	object_id_format(r->id, text);
	manifest_init(&s.manifest);
	repo_frame_reopen(&f);
	ck_ok(repository_find(f.r, text, NULL, true, &s, NULL, &e));
	ck_ok(restore_output(f.r, &s.manifest, &o, &back, &e));
	ck_assert_uint_eq(back.bytes, d.blocks * B);
	fd = open(out, O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	for (uint64_t i = 0; i < d.blocks; i++) {
		uint32_t got[2];

		ck_assert_int_eq(pread(fd, &got[0], 4, (off_t)(i * B)), 4);
		ck_assert_int_eq(pread(fd, &got[1], 4, (off_t)(i * B + B - 4)),
				 4);
		ck_assert_uint_eq(got[0], d.v[i]);
		ck_assert_uint_eq(got[1], d.v[i]);
	}
	(void)close(fd);
}

START_TEST(what_is_as_it_was_keeps_its_chunks)
{
	struct snapshot_result first;
	struct snapshot_result r;

	make_disk(40);
	d.from = 3;
	d.to = 31;
	first = take(false);
	ck_assert(!d.has_parent);
	ck_assert_uint_eq(first.bytes_read, 20 * B);
	d.v[2] = 77;
	d.v[31] = 78;
	r = take(false);
	ck_assert(d.has_parent && object_id_equal(d.parent, first.id));
	ck_assert(!d.is_refused);
	/* 0, 2, 31, 32, 34, 36, 38 */
	ck_assert_uint_eq(r.bytes_read, 7 * B);
	expect_whole(&r);
	/* From a hole on, and into one; all; the parent's parent's. */
	d.from = 1;
	d.to = 40;
	r = take(false);
	ck_assert_uint_eq(r.bytes_read, B);
	expect_whole(&r);
	d.from = 0;
	r = take(false);
	ck_assert_uint_eq(r.bytes_read, 0);
	expect_whole(&r);
	/* It grew, and shrank. */
	d.blocks = 50;
	d.v[44] = 5;
	r = take(false);
	ck_assert_uint_eq(r.bytes_read, B);
	expect_whole(&r);
	d.blocks = 20;
	d.to = 20;
	r = take(false);
	ck_assert_uint_eq(r.bytes_read, 0);
	expect_whole(&r);
}
END_TEST

START_TEST(what_the_parent_lacks_is_read)
{
	struct snapshot_result r;

	/* Beyond the parent's end. */
	make_disk(10);
	(void)take(false);
	d.blocks = 12;
	d.v[10] = 7;
	d.from = 8;
	d.to = 12;
	r = take(false);
	ck_assert(d.is_refused);
	ck_assert_uint_eq(r.bytes_read, 6 * B);
	expect_whole(&r);
	/* By another name. */
	d.name = "other";
	d.from = 0;
	r = take(false);
	ck_assert(d.is_refused);
	ck_assert_uint_eq(r.bytes_read, 6 * B);
	expect_whole(&r);
	/* Nobody asked for what it was. */
	r = take(true);
	ck_assert(!d.has_parent);
	ck_assert_uint_eq(r.bytes_read, 6 * B);
	expect_whole(&r);
}
END_TEST

START_TEST(what_was_cut_otherwise_is_read)
{
	struct snapshot_result r;

	make_disk(40);
	for (uint32_t i = 0; i < 40; i++)
		d.v[i] = i + 1;
	d.features = 0;
	(void)take(false);
	d.features = SOURCE_BLOCKS;
	d.from = 1;
	d.to = 39;
	r = take(false);
	ck_assert(d.is_refused);
	ck_assert_uint_eq(r.bytes_read, 40 * B);
	expect_whole(&r);
	/* And the other way round: nothing is kept but by blocks. */
	d.features = 0;
	r = take(false);
	ck_assert(d.is_refused);
	ck_assert_uint_eq(r.bytes_read, 40 * B);
	expect_whole(&r);
}
END_TEST

START_TEST(maps_of_a_large_disk_are_gone_through)
{
	struct snapshot_result r;

	make_disk(BLOCKS);
	(void)take(false);
	d.from = 5;
	d.to = BLOCKS - 7;
	d.v[0] = 99;
	r = take(false);
	ck_assert(!d.is_refused);
	ck_assert_uint_eq(r.bytes_read, 6 * B); /* 0, 2, 4; 3 at the end */
	expect_whole(&r);
	d.from = 0;
	d.to = BLOCKS;
	r = take(false);
	ck_assert_uint_eq(r.bytes_read, 0);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, what_is_as_it_was_keeps_its_chunks);
	tcase_add_test(tc, what_the_parent_lacks_is_read);
	tcase_add_test(tc, what_was_cut_otherwise_is_read);
	tcase_add_test(tc, maps_of_a_large_disk_are_gone_through);
}
CHECK_MAIN("storage/snapshot_same", cases)

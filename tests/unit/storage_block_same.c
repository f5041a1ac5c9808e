/* Maps of images, and two of them compared: storage/sources/block_map.h,
 * storage/sources/block_same.h. */
#include "storage/sources/block_same.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/sources/source.h"
#include "tests/support/check_main.h"
#include "tests/support/random.h"
#include "tests/support/scratch.h"

#define B ((uint64_t)SOURCE_BLOCK)
#define K UINT64_C(4096)

static struct scratch dir;
static int dir_fd;
static struct err e;

static void set_up(void)
{
	scratch_init(&dir);
	dir_fd = open(dir.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(dir_fd, 0);
	err_clear(&e);
}

static void tear_down(void)
{
	(void)close(dir_fd);
	scratch_done(&dir);
}

static struct block_map_head head_of(uint8_t snapshot, uint64_t size)
{
	return (struct block_map_head){ .snapshot = { { snapshot } },
					.mounting = { .file_system = { 1, 2 },
						      .boot = { 3, 4 },
						      .number = 5 },
					.tree = 6,
					.inode = 7,
					.generation = 8,
					.transid = 9,
					.size = size };
}

static struct block_map *map_of(uint8_t snapshot, uint64_t size,
				const struct block_piece *v, size_t n)
{
	const struct block_map_head h = head_of(snapshot, size);
	struct block_map *m = NULL;

	ck_ok(block_map_new(dir.path, &h, &m, &e));
	for (size_t i = 0; i < n; i++)
		ck_ok(block_map_add(m, &v[i], &e));
	ck_ok(block_map_end(m, &e));
	return m;
}

static struct block_piece piece(uint64_t at, uint64_t len, uint64_t disk,
				uint64_t offset)
{
	return (struct block_piece){ .at = at,
				     .len = len,
				     .disk = disk,
				     .disk_len = UINT64_C(1) << 40,
				     .offset = offset,
				     .transid = 1 };
}

static struct block_piece zeros(uint64_t at, uint64_t len)
{
	return (struct block_piece){ .at = at, .len = len, .zero = true };
}

/* ---- The file ----------------------------------------------------------- */

#define MANY 200

static void save_many(const char *name)
{
	struct block_piece v[MANY];
	CLEANUP(block_map_free) struct block_map *m = NULL;

	for (size_t i = 0; i < MANY; i++)
		v[i] = i % 3 ? piece(i * K, K, 77 + i, i) : zeros(i * K, K);
	v[1].compression = 3;
	m = map_of(1, MANY * K, v, MANY);
	ck_ok(block_map_save(m, dir_fd, name, &e));
}

static int open_map(const char *name, uint8_t snapshot)
{
	CLEANUP(block_map_free) struct block_map *m = NULL;

	err_clear(&e);
	return block_map_open(dir_fd, name, (struct object_id){ { snapshot } },
			      &m, &e);
}

START_TEST(a_map_comes_back)
{
	CLEANUP(block_map_free) struct block_map *m = NULL;
	const struct block_map_head want = head_of(1, MANY * K);
	struct block_piece p;

	save_many("a.map");
	ck_ok(block_map_open(dir_fd, "a.map", want.snapshot, &m, &e));
	ck_assert_int_eq(memcmp(block_map_head(m), &want, sizeof(want)), 0);
	for (size_t i = 0; i < MANY; i++) {
		ck_assert_int_eq(block_map_next(m, &p, &e), 1);
		ck_assert_uint_eq(p.at, i * K);
		ck_assert_uint_eq(p.len, K);
		ck_assert_int_eq(p.zero, i % 3 == 0);
		ck_assert_uint_eq(p.disk, i % 3 ? 77 + i : 0);
		ck_assert_uint_eq(p.offset, i % 3 ? i : 0);
		ck_assert_uint_eq(p.compression, i == 1 ? 3 : 0);
	}
	ck_assert_int_eq(block_map_next(m, &p, &e), 0);
	/* And over itself, of nothing. */
	block_map_free(TAKE(m));
	m = map_of(2, 0, NULL, 0);
	ck_ok(block_map_save(m, dir_fd, "a.map", &e));
	ck_assert_int_eq(open_map("a.map", 2), 0);
	ck_assert_uint_eq(scratch_count(&dir), 1);
}
END_TEST

START_TEST(a_map_is_of_one_snapshot)
{
	save_many("a.map");
	ck_assert_int_eq(open_map("a.map", 1), 0);
	ck_assert_int_eq(open_map("a.map", 2), -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	ck_assert_int_eq(open_map("b.map", 1), -1);
	ck_assert_int_eq(e.code, ERR_NOT_FOUND);
	ck_assert_int_eq(symlinkat("a.map", dir_fd, "b.map"), 0);
	ck_assert_int_eq(open_map("b.map", 1), -1);
	ck_assert_int_eq(open_map(".", 1), -1);
}
END_TEST

/* Every byte, and every length. */
START_TEST(damage_is_found)
{
	struct stat st;
	int fd;

	save_many("a.map");
	fd = openat(dir_fd, "a.map", O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	for (off_t at = 0; at < st.st_size; at += at < 300 ? 1 : 37) {
		uint8_t byte;
		uint8_t other;

		ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
		other = byte ^ (uint8_t)(1 << at % 8);
		ck_assert_int_eq(pwrite(fd, &other, 1, at), 1);
		ck_assert_int_eq(open_map("a.map", 1), -1);
		ck_assert_int_eq(e.code, ERR_CORRUPT);
		ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
	}
	ck_assert_int_eq(open_map("a.map", 1), 0);
	ck_assert_int_eq(ftruncate(fd, st.st_size + 1), 0);
	ck_assert_int_eq(open_map("a.map", 1), -1);
	for (off_t n = st.st_size - 1; n >= 0; n -= n < 300 ? 1 : 41) {
		ck_assert_int_eq(ftruncate(fd, n), 0);
		ck_assert_int_eq(open_map("a.map", 1), -1);
		ck_assert_int_eq(e.code, ERR_CORRUPT);
	}
	(void)close(fd);
}
END_TEST

START_TEST(pages_cannot_be_swapped)
{
	static uint8_t one[64 * 56 + 32];
	static uint8_t two[sizeof(one)];
	const off_t first = 112 + 32;
	int fd;

	save_many("a.map");
	fd = openat(dir_fd, "a.map", O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pread(fd, one, sizeof(one), first), sizeof(one));
	ck_assert_int_eq(
		pread(fd, two, sizeof(two), first + (off_t)sizeof(one)),
		sizeof(two));
	ck_assert_int_eq(pwrite(fd, two, sizeof(two), first), sizeof(two));
	ck_assert_int_eq(
		pwrite(fd, one, sizeof(one), first + (off_t)sizeof(one)),
		sizeof(one));
	ck_assert_int_eq(open_map("a.map", 1), -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	(void)close(fd);
}
END_TEST

START_TEST(no_map_holds_nonsense)
{
	const struct block_map_head h = head_of(1, 100 * K);
	CLEANUP(block_map_free) struct block_map *m = NULL;
	const struct block_piece first = piece(K, K, 1, 0);
	struct block_piece bad[9];

	for (size_t i = 0; i < 9; i++)
		bad[i] = piece(10 * K, K, 1, 0);
	bad[0].at = K;			   /* overlaps */
	bad[1].len = 0;			   /* nothing */
	bad[2].len = UINT64_MAX;	   /* wraps around */
	bad[3].len = INT64_MAX;		   /* no file is so long */
	bad[4].disk = 0;		   /* nowhere */
	bad[5].disk_len = 0;		   /* of nothing */
	bad[6].offset = UINT64_C(1) << 40; /* behind its extent */
	bad[7].zero = true;		   /* on a disk */
	bad[8].transid = 0;		   /* since never */
	ck_ok(block_map_new(dir.path, &h, &m, &e));
	ck_ok(block_map_add(m, &first, &e));
	for (size_t i = 0; i < 9; i++) {
		err_clear(&e);
		ck_assert_int_eq(block_map_add(m, &bad[i], &e), -1);
		ck_assert_int_eq(e.code, ERR_CORRUPT);
	}
}
END_TEST

/* ---- What is as it was -------------------------------------------------- */

/* Extents on the disk below 1 << 60 are as they were. */
static bool is_old(void *arg, const struct block_piece *now)
{
	(void)arg;
	return now->disk < UINT64_C(1) << 60;
}

/* Ranges as "0-3 5-6", in blocks. */
static void expect(const struct block_piece *then, size_t n_then,
		   const struct block_piece *now, size_t n_now, uint64_t size,
		   const char *want)
{
	CLEANUP(block_map_free)
	struct block_map *a = map_of(1, size, then, n_then);
	CLEANUP(block_map_free)
	struct block_map *b = map_of(2, size, now, n_now);
	struct block_same x;
	char got[200] = "";
	size_t n = 0;
	uint64_t from;
	uint64_t to;
	int more;

	block_same_init(&x, a, b, is_old, NULL);
	while ((more = block_same_next(&x, &from, &to, &e)) == 1) {
		ck_assert_uint_eq(from % B, 0);
		ck_assert_uint_eq(to % B, 0);
		n += (size_t)snprintf(got + n, sizeof(got) - n, "%s%ju-%ju",
				      n ? " " : "", (uintmax_t)(from / B),
				      (uintmax_t)(to / B));
	}
	ck_assert_int_eq(more, 0);
	ck_assert_str_eq(got, want);
	ck_assert_int_eq(block_same_next(&x, &from, &to, &e), 0);
}

START_TEST(what_is_equal_is_as_it_was)
{
	const struct block_piece one = piece(0, 10 * B, 5, 0);
	struct block_piece other = one;
	const struct block_piece split[] = {
		piece(0, 3 * B + K, 5, 0),
		piece(3 * B + K, K, 6, 0),
		piece(3 * B + 2 * K, 7 * B - 2 * K, 5, 3 * B + 2 * K),
	};
	const struct block_piece lost[] = { piece(0, 3 * B, 5, 0),
					    piece(4 * B, 6 * B, 5, 4 * B) };
	const struct block_piece moved[] = { piece(0, 3 * B, 5, 0),
					     piece(3 * B, 7 * B, 5, 4 * B) };
	const struct block_piece young = piece(0, 10 * B, UINT64_C(1) << 60, 0);

	expect(&one, 1, &one, 1, 10 * B, "0-10");
	expect(&one, 1, &one, 1, 10 * B - 1, "0-9"); /* whole blocks only */
	expect(&one, 1, split, 3, 10 * B, "0-3 4-10");
	expect(split, 3, &one, 1, 10 * B, "0-3 4-10");
	expect(&one, 1, lost, 2, 10 * B, "0-3 4-10");
	expect(&one, 1, moved, 2, 10 * B, "0-3");
	expect(&one, 1, NULL, 0, 10 * B, "");
	expect(NULL, 0, &one, 1, 10 * B, "");
	expect(&young, 1, &young, 1, 10 * B, "");
	other.compression = 1;
	expect(&one, 1, &other, 1, 10 * B, "");
	other = one;
	other.disk_len++;
	expect(&one, 1, &other, 1, 10 * B, "");
	other = zeros(0, 10 * B);
	expect(&one, 1, &other, 1, 10 * B, "");
	expect(&other, 1, &one, 1, 10 * B, "");
	expect(&other, 1, &other, 1, 10 * B, "0-10");
}
END_TEST

/* A range that ends since it is long loses no block. */
START_TEST(long_ranges_come_in_parts)
{
	enum { N = 100 };
	const uint64_t step = 3 * B + 5 * K;
	struct block_piece v[N];

	for (uint64_t i = 0; i < N; i++)
		v[i] = piece(i * step, step, 5 + i, 0);
	expect(v, N, v, N, N * step, "0-258 258-307");
	v[0] = zeros(0, 1000 * B);
	expect(v, 1, v, 1, 1000 * B, "0-1000");
}
END_TEST

/*
 * A model of a file system: an image is units of 4 KiB, each a unit of some
 * extent.  Extents are numbered as they are written; numbers are given again,
 * as places on a disk are, and a proof is right about which are old.
 */
enum { UNITS = 64 * 12, PLACES = 60 };

struct unit {
	uint32_t place; /* 0: zero; PLACES: nothing is known */
	uint32_t offset;
	uint64_t data;
};

struct model {
	struct unit v[UNITS];
	bool is_old[PLACES];
};

static void edit(struct model *m, struct random *r, uint64_t *data)
{
	const uint32_t at = (uint32_t)random_below(r, UNITS);
	const uint32_t most = (uint32_t)random_below(r, 4) ? 80 : 2;
	const uint32_t left = UNITS - at;
	uint32_t n = 1 + (uint32_t)random_below(r, most);
	const uint64_t kind = random_below(r, 8);
	const uint32_t place = 1 + (uint32_t)random_below(r, PLACES - 1);

	n = n < left ? n : left;
	if (kind == 0) { /* clone from elsewhere */
		const uint32_t from = (uint32_t)random_below(r, UNITS - n + 1);

		memmove(&m->v[at], &m->v[from], n * sizeof(*m->v));
		return;
	}
	if (kind > 1) /* whatever lay there is gone */
		for (size_t i = 0; i < UNITS; i++)
			if (m->v[i].place == place)
				m->v[i] = (struct unit){ .place = PLACES,
							 .data = ++*data };
	if (kind > 1)
		m->is_old[place] = false;
	for (uint32_t i = 0; i < n; i++)
		m->v[at + i] = kind == 1 ? (struct unit){ 0 }
					 : (struct unit){ place, i, ++*data };
}

static struct block_map *map_model(const struct model *m, uint8_t id,
				   struct random *r)
{
	static struct block_piece v[UNITS];
	size_t n = 0;

	for (uint32_t i = 0; i < UNITS; i++) {
		const struct unit *u = &m->v[i];
		struct block_piece p = u->place ? piece(i * K, K, u->place,
							u->offset * K)
						: zeros(i * K, K);
		struct block_piece *last = n ? &v[n - 1] : NULL;

		if (u->place == PLACES || random_below(r, 300) == 0)
			continue;
		if (last && last->at + last->len == p.at &&
		    last->zero == p.zero && last->disk == p.disk &&
		    (p.zero || last->offset + last->len == p.offset) &&
		    random_below(r, 20))
			last->len += K;
		else
			v[n++] = p;
	}
	return map_of(id, UNITS * K, v, n);
}

static bool model_proof(void *arg, const struct block_piece *now)
{
	return ((const struct model *)arg)->is_old[now->disk];
}

START_TEST(nothing_that_changed_is_ever_as_it_was)
{
	struct random r = random_seed();
	uint64_t data = 0;
	uint64_t blocks = 0;

	for (int round = 0; round < 300; round++) {
		struct model then = { 0 };
		struct model now;
		CLEANUP(block_map_free) struct block_map *a = NULL;
		CLEANUP(block_map_free) struct block_map *b = NULL;
		const uint64_t edits = random_below(&r, 12);
		struct block_same x;
		uint64_t from;
		uint64_t to;
		uint64_t end = 0;

		for (int i = 0; i < 60; i++)
			edit(&then, &r, &data);
		memset(then.is_old, 1, sizeof(then.is_old));
		now = then;
		for (uint64_t i = 0; i < edits; i++)
			edit(&now, &r, &data);
		a = map_model(&then, 1, &r);
		b = map_model(&now, 2, &r);
		block_same_init(&x, a, b, model_proof, &now);
		while (block_same_next(&x, &from, &to, &e) == 1) {
			ck_assert_uint_ge(from, end);
			ck_assert_uint_gt(to, from);
			end = to;
			for (uint64_t u = from / K; u < to / K; u++)
				ck_assert_uint_eq(then.v[u].data,
						  now.v[u].data);
			blocks += (to - from) / B;
		}
	}
	ck_assert_uint_gt(blocks, 0);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, a_map_comes_back);
	tcase_add_test(tc, a_map_is_of_one_snapshot);
	tcase_add_test(tc, damage_is_found);
	tcase_add_test(tc, pages_cannot_be_swapped);
	tcase_add_test(tc, no_map_holds_nonsense);
	tcase_add_test(tc, what_is_equal_is_as_it_was);
	tcase_add_test(tc, long_ranges_come_in_parts);
	tcase_add_test(tc, nothing_that_changed_is_ever_as_it_was);
}
CHECK_MAIN("storage/block_same", cases)

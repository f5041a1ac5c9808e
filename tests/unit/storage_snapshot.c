/* Taking snapshots: storage/snapshot.h. */
#include "storage/snapshot.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/repository/fields.h"
#include "storage/repository/reader.h"
#include "storage/repository/seal.h"
#include "storage/repository/tree.h"
#include "storage/snapshot_internal.h"
#include "tests/support/fake_source.h"
#include "tests/support/repo_frame.h"
#include "tests/support/snapshot_view.h"

static struct repo_frame f;
static struct err e;

/* Entries that the tree has got; each takes it so long. */
static atomic_size_t built;
static int64_t build_ms;

int __real_tree_builder_add(struct tree_builder *b, const struct entry *en,
			    const struct content *c, struct err *err);
int __wrap_tree_builder_add(struct tree_builder *b, const struct entry *en,
			    const struct content *c, struct err *err);
int __wrap_tree_builder_add(struct tree_builder *b, const struct entry *en,
			    const struct content *c, struct err *err)
{
	if (build_ms)
		clock_sleep_ms(build_ms);
	atomic_fetch_add(&built, 1);
	return __real_tree_builder_add(b, en, c, err);
}

/*
 * While pinned, time only passes by a microsecond each time that somebody
 * looks: what was written just now stays so, however slow this machine is.
 */
enum { PINNED_S = 1700000000 };
static atomic_bool pinned;
static atomic_llong looks;

struct instant __real_clock_now(void);
struct instant __wrap_clock_now(void);
struct instant __wrap_clock_now(void)
{
	const long long us = atomic_fetch_add(&looks, 1);

	if (!atomic_load(&pinned))
		return __real_clock_now();
	return (struct instant){ PINNED_S + us / 1000000,
				 (uint32_t)(us % 1000000) * 1000 };
}

static void set_up(void)
{
	atomic_store(&built, 0);
	build_ms = 0;
	atomic_store(&pinned, false);
	repo_frame_init(&f, "mem:snapshot");
	ck_assert_int_eq(mkdir(f.from, 0755), 0);
	err_clear(&e);
}

static void tear_down(void)
{
	repo_frame_done(&f);
}

/* Files are old enough for their ctimes to be trusted. */
static void let_time_pass(void)
{
	ck_assert_int_eq(setenv("SNAPCTL_TEST_CLOCK", "100", 1), 0);
}

static const char *at(const char *folder, const char *name)
{
	static char paths[4][2 * SCRATCH_PATH];
	static unsigned int next;
	char *path = paths[next++ % 4];

	(void)snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

static void write_bytes(const char *path, size_t n, uint64_t seed)
{
	FILE *file = fopen(path, "we");

	ck_assert_ptr_nonnull(file);
	for (size_t i = 0; i < n; i++) {
		seed = seed * UINT64_C(6364136223846793005) + 1442695040888963;
		(void)fputc((int)(seed >> 56), file);
	}
	ck_assert_int_eq(fclose(file), 0);
}

static int count_one(void *arg, const struct store_entry *entry,
		     struct err *err)
{
	(void)entry;
	(void)err;
	(*(unsigned int *)arg)++;
	return 0;
}

static unsigned int data_packs(void)
{
	unsigned int n = 0;

	ck_ok(store_list(repository_store(f.r), "data/", count_one, &n, &e));
	return n;
}

START_TEST(an_unchanged_tree_costs_no_read_and_no_data)
{
	struct snapshot_result first;
	struct snapshot_result second;
	unsigned int packs;
	char name[100];

	let_time_pass();
	for (int i = 0; i < 600; i++) {
		(void)snprintf(name, sizeof(name), "%03d", i);
		write_bytes(at(f.from, name), 100, (uint64_t)i);
	}
	write_bytes(at(f.from, "large"), 3000000, 1);
	first = repo_take(&f);
	packs = data_packs();
	ck_assert_uint_eq(first.bytes_read, 3060000);
	second = repo_take(&f);
	ck_assert_uint_eq(second.bytes_read, 0);
	/* The folder above all tests' may have changed: a leaf at most. */
	ck_assert_uint_lt(second.bytes_new, 30000);
	ck_assert_uint_eq(data_packs(), packs);
	ck_assert_uint_eq(second.bytes, first.bytes);
	ck_assert_uint_eq(second.files, first.files);
	ck_assert(object_id_equal(second.parent, first.id));
	/* One that changes costs itself. */
	write_bytes(at(f.from, "007"), 101, 9);
	second = repo_take(&f);
	ck_assert_uint_eq(second.bytes_read, 101);
	ck_assert_uint_lt(second.bytes_new, 60000);
}
END_TEST

/* A ctime within two seconds of the read is not trusted the next time. */
START_TEST(what_was_written_just_now_is_read_again)
{
	const int64_t now = PINNED_S;
	struct fake_entry v[] = {
		fake_entry("/old", ENTRY_FILE, 100, now - 10),
		fake_entry("/soon", ENTRY_FILE, 20, now + 10),
		fake_entry("/young", ENTRY_FILE, 3, now),
	};
	struct snapshot_result got;
	uint64_t read;

	atomic_store(&pinned, true);
	ck_ok(take_fake(&f, v, 3, &got, &read, &e));
	ck_assert_uint_eq(read, 123);
	ck_ok(take_fake(&f, v, 3, &got, &read, &e));
	ck_assert_uint_eq(read, 23);
	v[0].entry.inode++; /* another file of that name and time */
	ck_ok(take_fake(&f, v, 3, &got, &read, &e));
	ck_assert_uint_eq(read, 123);
	v[0].state = SOURCE_CHANGED; /* while it was read */
	v[0].entry.inode++;
	ck_ok(take_fake(&f, v, 3, &got, &read, &e));
	ck_ok(take_fake(&f, v, 3, &got, &read, &e));
	ck_assert_uint_eq(read, 123);
}
END_TEST

static uint64_t take_held(const struct fake_entry *v, size_t n, int64_t held_s)
{
	CLEANUP(snapshot_errors_free) struct snapshot_errors *errors = NULL;
	struct fake_source s = fake_source_of(v, n);
	struct snapshot_options o = { .held_at = { .sec = held_s } };
	struct snapshot_result got;

	ck_ok(snapshot_errors_new(&errors, &e));
	ck_ok(repo_take_source(&f, &s.base, errors, &o, &got, &e));
	return s.reads;
}

/* Of what was held since, it is the holding that counts, not the reading. */
START_TEST(what_was_written_just_before_it_was_held_is_read_again)
{
	const int64_t now = PINNED_S;
	struct fake_entry v[] = {
		fake_entry("/after", ENTRY_FILE, 100, now - 8),
		fake_entry("/before", ENTRY_FILE, 20, now - 10),
		fake_entry("/old", ENTRY_FILE, 3, now - 20),
	};

	atomic_store(&pinned, true);
	ck_assert_uint_eq(take_held(v, 3, now - 9), 123);
	ck_assert_uint_eq(take_held(v, 3, now - 5), 120);
	ck_assert_uint_eq(take_held(v, 3, now - 5), 0);
}
END_TEST

/* Later names of a file are read again when it may have changed since. */
START_TEST(no_name_of_a_link_gets_stale_content)
{
	const int64_t now = PINNED_S;
	struct fake_entry v[6];
	struct snapshot_result got;
	uint64_t read;

	atomic_store(&pinned, true);
	for (unsigned int i = 0; i < 6; i++) {
		static const char *const paths[] = { "/a", "/b", "/c",
						     "/d", "/e", "/f" };

		v[i] = fake_entry(paths[i], ENTRY_FILE, 300000, now - 100);
		v[i].entry.flags = ENTRY_HARD_LINK;
		v[i].entry.link_group = i / 3;
	}
	/* Another content and time; the same ones again; and one that is
	 * as fresh as can be, where times cannot tell. */
	v[1].fill = v[2].fill = 'y';
	v[1].entry.ctime.nsec = v[2].entry.ctime.nsec = 1;
	v[3].entry.ctime.sec = v[4].entry.ctime.sec = now + 1;
	v[5].entry.ctime.sec = now + 1;
	v[4].fill = v[5].fill = 'z';
	ck_ok(take_fake(&f, v, 6, &got, &read, &e));
	expect_entries(&f, got.id, v, 6);
	ck_assert_uint_eq(read, 5 * 300000);
	/* A name that was read while it changed lends nothing to others. */
	v[0].state = SOURCE_CHANGED;
	v[1] = v[0];
	v[1].entry.path = "/b";
	v[1].fill = 'q';
	v[1].state = SOURCE_OK;
	v[0].entry.inode = v[1].entry.inode = 77;
	ck_ok(take_fake(&f, v, 2, &got, &read, &e));
	expect_entries(&f, got.id, v, 2);
	ck_assert_uint_eq(read, 2 * 300000);
}
END_TEST

/* Unchanged files of as many extents as an entry can have. */
#define WIDE	     250
#define WIDE_EXTENTS 1000

/* The most entries that were told of and not yet in the tree. */
static void note_lag(void *arg, size_t i)
{
	const size_t lag = i - atomic_load(&built);
	size_t *most = arg;

	if (lag > *most)
		*most = lag;
}

/*
 * What waits for a slow tree is bounded by its bytes, also behind a small
 * file whose group is still open.
 */
START_TEST(extents_of_unchanged_files_do_not_pile_up)
{
	CLEANUP(snapshot_errors_free) struct snapshot_errors *errors = NULL;
	static struct fake_entry v[1 + WIDE];
	static char paths[1 + WIDE][8];
	struct snapshot_options o = { .no_parent = false };
	struct fake_source s = fake_source_of(v, 1 + WIDE);
	struct snapshot_result got;
	uint64_t read;
	size_t most = 0;

	for (unsigned int i = 0; i <= WIDE; i++) {
		(void)snprintf(paths[i], sizeof(paths[i]), "/%03u", i);
		v[i] = fake_entry(paths[i], ENTRY_FILE,
				  i ? WIDE_EXTENTS * 300 : 100, 1000);
		v[i].turn = i ? 300 : 0;
		v[i].entry.flags = i ? ENTRY_HARD_LINK : 0;
	}
	ck_ok(take_fake(&f, v, 1 + WIDE, &got, &read, &e));
	v[0].entry.inode++; /* a small file changed */
	ck_ok(snapshot_errors_new(&errors, &e));
	s.before = note_lag;
	s.arg = &most;
	atomic_store(&built, 0);
	build_ms = 2;
	ck_ok(repo_take_source(&f, &s.base, errors, &o, &got, &e));
	ck_assert_uint_eq(s.reads, 100);
	ck_assert_uint_gt(most, 2);
	/* One is made, one is in work. */
	ck_assert_uint_le((most - 2) * WIDE_EXTENTS * sizeof(struct extent),
			  SNAPSHOT_CONTENT_BYTES);
	build_ms = 0;
	expect_entries(&f, got.id, v, 1 + WIDE);
}
END_TEST

START_TEST(sizes_around_the_bounds_come_back)
{
	static const int64_t edges[] = { 1,
					 SNAPSHOT_SMALL,
					 SNAPSHOT_CHUNK_AIM,
					 SNAPSHOT_GROUP_MAX,
					 SNAPSHOT_CHUNK_MAX,
					 2 * (int64_t)SNAPSHOT_CHUNK_MAX };
	struct fake_entry v[18];
	char paths[18][8];
	struct snapshot_result got;
	uint64_t read;
	size_t n = 0;

	for (size_t i = 0; i < 6; i++)
		for (int64_t d = -1; d <= 1; d++) {
			(void)snprintf(paths[n], sizeof(paths[n]), "/%02zu", n);
			v[n] = fake_entry(paths[n], ENTRY_FILE,
					  (uint64_t)(edges[i] + d), 1000);
			v[n].fill = (uint8_t)('a' + n);
			n++;
		}
	ck_ok(take_fake(&f, v, n, &got, &read, &e));
	expect_entries(&f, got.id, v, n);
}
END_TEST

/* Holes anywhere, as many as there can be. */
START_TEST(holes_come_back_as_zeros)
{
	struct fake_entry v[40];
	char paths[40][8];
	struct snapshot_result got;
	uint64_t read;

	for (unsigned int i = 0; i < 40; i++) {
		(void)snprintf(paths[i], sizeof(paths[i]), "/%02u", i);
		v[i] = fake_entry(paths[i], ENTRY_FILE,
				  i % 4 == 3 ? 700001 : 60000 + i, 1000);
		v[i].turn = (uint64_t)1 << (5 + i % 13);
		v[i].hole_first = i % 2;
		v[i].fill = (uint8_t)('a' + i);
	}
	v[0].turn = 1; /* 30,000 holes in a small file */
	v[1].turn = 100000;
	ck_ok(take_fake(&f, v, 40, &got, &read, &e));
	expect_entries(&f, got.id, v, 40);
}
END_TEST

START_TEST(what_does_not_hold_still_is_flagged_or_left_out)
{
	struct fake_entry v[] = {
		fake_entry("/", ENTRY_FOLDER, 0, 1000),
		fake_entry("/changed", ENTRY_FILE, 300001, 1000),
		fake_entry("/failed", ENTRY_FILE, 300002, 1000),
		fake_entry("/failed-small", ENTRY_FILE, 302, 1000),
		fake_entry("/gone", ENTRY_FILE, 5, 1000),
		fake_entry("/grew", ENTRY_FILE, 304, 1000),
		fake_entry("/last", ENTRY_FILE, 305, 1000),
	};
	struct fake_entry want[4];
	struct snapshot_result got;
	struct view view;
	uint64_t read;

	v[1].state = SOURCE_CHANGED;
	v[2].state = SOURCE_FAILED;
	v[3].state = SOURCE_FAILED;
	v[4].gone = true;
	v[5].state = SOURCE_GREW;
	for (size_t i = 0; i < 7; i++)
		v[i].fill = (uint8_t)('a' + i);
	ck_ok(take_fake(&f, v, 7, &got, &read, &e));
	want[0] = v[0];
	want[1] = v[1];
	want[2] = v[5];
	want[3] = v[6];
	expect_entries(&f, got.id, want, 4);
	ck_assert_uint_eq(got.files, 3);
	ck_assert_uint_eq(got.dirs, 1);
	ck_assert_uint_eq(got.bytes, 300001 + 304 + 305);
	view_open(&view, &f, got.id);
	while (view_next(&view))
		ck_assert_int_eq(!!(view.en.flags & ENTRY_CHANGED),
				 view.en.path[1] == 'c' ||
					 view.en.path[1] == 'g');
	view_close(&view);
}
END_TEST

/* The paths of a snapshot below f.from, with spaces between. */
static void expect_paths(struct object_id id, const char *want)
{
	const size_t skip = strlen(f.from) + 1;
	char got[500] = "";
	struct view view;
	size_t n = 0;

	view_open(&view, &f, id);
	while (view_next(&view))
		if (view.en.path_len > skip)
			n += (size_t)snprintf(got + n, sizeof(got) - n, "%s%s",
					      n ? " " : "",
					      view.en.path + skip);
	view_close(&view);
	ck_assert_str_eq(got, want);
}

static char told[2 * SCRATCH_PATH];

static void tell(void *arg, const char *path, size_t len, const char *message)
{
	(void)arg;
	(void)snprintf(told, sizeof(told), "%.*s: %s", (int)len, path, message);
}

/* A snapshot of f.from, which change() meets when all of it is listed. */
static struct snapshot_result take_changed(void (*change)(void))
{
	const char *const paths[] = { f.from };
	CLEANUP(snapshot_errors_free) struct snapshot_errors *errors = NULL;
	CLEANUP(source_close) struct source *s = NULL;
	struct files_options fo = { .paths = paths, .path_count = 1 };
	struct snapshot_options o = { .report = tell };
	struct source_progress at = { 0 };
	struct snapshot_result got;

	told[0] = '\0';
	ck_ok(snapshot_errors_new(&errors, &e));
	fo.report = snapshot_report;
	fo.report_arg = errors;
	ck_ok(files_open(&fo, &s, &e));
	while (!at.all_found) {
		clock_sleep_ms(1);
		source_progress(s, &at);
	}
	change();
	ck_ok(repo_take_source(&f, s, errors, &o, &got, &e));
	return got;
}

static void rename_folder(void)
{
	ck_assert_int_eq(rename(at(f.from, "a"), at(f.from, "z")), 0);
}

static void remove_folder(void)
{
	ck_assert_int_eq(unlink(at(f.from, "a/b/file")), 0);
	ck_assert_int_eq(rmdir(at(f.from, "a/b")), 0);
	ck_assert_int_eq(rmdir(at(f.from, "a")), 0);
}

START_TEST(a_folder_that_vanishes_keeps_its_place_above_its_files)
{
	struct snapshot_result got;

	ck_assert_int_eq(mkdir(at(f.from, "a"), 0755), 0);
	ck_assert_int_eq(mkdir(at(f.from, "a/b"), 0700), 0);
	write_bytes(at(f.from, "a/b/file"), 10, 1);
	/* Its files are still to be had, its attributes are not. */
	got = take_changed(rename_folder);
	expect_paths(got.id, "a a/b a/b/file");
	ck_assert_int_eq(got.state, MANIFEST_PARTIAL);
	ck_assert_uint_eq(got.errors, 1);
	ck_assert_ptr_nonnull(strstr(told, "/a: "));
	ck_assert_ptr_nonnull(strstr(told, "vanished"));
	/* Nothing is lost with one that was removed with all it had. */
	ck_assert_int_eq(rename(at(f.from, "z"), at(f.from, "a")), 0);
	got = take_changed(remove_folder);
	expect_paths(got.id, "a a/b");
	ck_assert_int_eq(got.state, MANIFEST_COMPLETE);
}
END_TEST

START_TEST(a_folder_that_cannot_be_described_is_as_it_was_listed)
{
	struct fake_entry v[] = {
		fake_entry("/", ENTRY_FOLDER, 0, 1000),
		fake_entry("/a", ENTRY_FOLDER, 0, 1000),
		fake_entry("/a/b", ENTRY_FOLDER, 0, 1000),
		fake_entry("/a/b/c", ENTRY_FILE, 5, 1000),
		fake_entry("/d", ENTRY_FOLDER, 0, 1000),
	};
	struct snapshot_result got;
	struct view view;
	uint64_t read;

	v[1].gone = v[2].gone = v[4].gone = true;
	ck_ok(take_fake(&f, v, 5, &got, &read, &e));
	expect_entries(&f, got.id, v, 5);
	ck_assert_int_eq(got.state, MANIFEST_PARTIAL);
	ck_assert_uint_eq(got.errors, 1);
	/* It is looked at again the next time. */
	view_open(&view, &f, got.id);
	while (view_next(&view))
		ck_assert(!view.en.inode ==
			  (view.en.path[1] == 'd' || view.en.path_len == 2 ||
			   view.en.path_len == 4));
	view_close(&view);
	v[1].state = v[2].state = v[4].state = SOURCE_FAILED;
	ck_ok(take_fake(&f, v, 5, &got, &read, &e));
	expect_entries(&f, got.id, v, 5);
}
END_TEST

START_TEST(a_source_that_fails_ends_it)
{
	struct fake_entry v[] = {
		fake_entry("/a", ENTRY_FILE, 300001, 1000),
		fake_entry("/b", ENTRY_FILE, 2000000, 1000),
	};
	struct snapshot_result got;
	uint64_t read;

	v[1].error = ERR_NO_MEMORY;
	ck_assert_int_lt(take_fake(&f, v, 2, &got, &read, &e), 0);
	ck_assert_int_eq(e.code, ERR_NO_MEMORY);
	v[1].entry.size = 20;
	ck_assert_int_lt(take_fake(&f, v, 2, &got, &read, &e), 0);
	ck_assert_int_eq(e.code, ERR_NO_MEMORY);
	/* Out of order: a mistake of the source, told by the tree thread. */
	v[1].error = 0;
	v[1].entry.path = "/A";
	ck_assert_int_lt(take_fake(&f, v, 2, &got, &read, &e), 0);
	ck_assert_int_eq(e.code, ERR_BUG);
	/* Below what is no folder. */
	v[1].entry.path = "/a/b";
	v[1].entry.path_len = 4;
	ck_assert_int_lt(take_fake(&f, v, 2, &got, &read, &e), 0);
	ck_assert_int_eq(e.code, ERR_BUG);
}
END_TEST

/* As much as a file may hold on file systems of 4 KiB blocks, but a little. */
#define TERABYTES ((off_t)10 << 40)

START_TEST(a_huge_hole_costs_nothing)
{
	struct stat st;
	struct snapshot_result got;
	int fd;

	fd = open(at(f.from, "sparse"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, TERABYTES), 0);
	ck_assert_int_eq(pwrite(fd, "middle", 6, (off_t)1 << 39), 6);
	(void)close(fd);
	got = repo_take(&f);
	ck_assert_uint_eq(got.bytes, (uint64_t)TERABYTES);
	ck_assert_uint_lt(got.bytes_read, 1 << 20);
	ck_assert_uint_eq(repo_restore(&f, got.id).errors, 0);
	ck_assert_int_eq(stat(at(f.to, "sparse"), &st), 0);
	ck_assert_int_eq(st.st_size, TERABYTES);
	ck_assert_int_lt(st.st_blocks, 4096);
}
END_TEST

/* Sums of sizes go beyond what is told, and what is told is read by all. */
START_TEST(sizes_beyond_all_numbers_are_told_as_the_largest)
{
	struct fake_entry v[] = {
		fake_entry("/a", ENTRY_FILE, (uint64_t)7 << 60, 1000),
		fake_entry("/b", ENTRY_FILE, (uint64_t)7 << 60, 1000),
		fake_entry("/c", ENTRY_FILE, (uint64_t)7 << 60, 1000),
	};
	CLEANUP(repository_snapshot_done)
	struct repository_snapshot s = { .deleted = false };
	struct snapshot_result got;
	uint64_t read;

	for (size_t i = 0; i < 3; i++) {
		v[i].turn = (uint64_t)7 << 60;
		v[i].hole_first = true;
	}
	ck_ok(take_fake(&f, v, 3, &got, &read, &e));
	ck_assert_uint_eq(got.bytes, INT64_MAX);
	manifest_init(&s.manifest);
	ck_ok(repository_find(f.r, "latest", NULL, true, &s, NULL, &e));
	ck_assert_uint_eq(s.manifest.bytes, INT64_MAX);
	ck_assert_uint_eq(s.manifest.files, 3);
}
END_TEST

START_TEST(nothing_at_all_is_a_snapshot)
{
	struct snapshot_result got;
	struct restore_options o = { .path = "/", .path_len = 1 };
	struct restore_result result;
	uint64_t read;

	ck_ok(take_fake(&f, NULL, 0, &got, &read, &e));
	expect_entries(&f, got.id, NULL, 0);
	ck_assert_int_lt(repo_restore_with(&f, got.id, &o, &result, &e), 0);
	ck_assert_int_eq(e.code, ERR_NOT_FOUND);
}
END_TEST

/* Quarantines all data chunks of the newest snapshot in their packs. */
static void quarantine(struct object_id id)
{
	struct view view;
	struct record q;
	struct index_set *index;

	record_init(&q, OBJECT_QUARANTINE);
	q.id = object_id_new();
	ck_ok(repository_index(f.r, &index, &e));
	view_open(&view, &f, id);
	while (view_next(&view))
		for (size_t i = 0; i < view.content.n; i++) {
			struct pack_entry place;

			ck_assert_int_eq(index_set_find(index,
							&view.content.v[i].id,
							&place, &e),
					 1);
			ck_ok(record_add_chunk(&q, &view.content.v[i].id,
					       place.place.pack, &e));
		}
	view_close(&view);
	ck_ok(record_put(repository_store(f.r), repository_keys(f.r), &q, 0,
			 &e));
	record_done(&q);
}

/* What the parent's entries refer to must be there to be referred to again. */
START_TEST(what_the_region_lost_is_read_again)
{
	struct fake_entry v[] = {
		fake_entry("/a", ENTRY_FILE, 2000000, 1000),
		fake_entry("/b", ENTRY_FILE, 100, 1000),
	};
	struct snapshot_result got;
	uint64_t read;

	ck_ok(take_fake(&f, v, 2, &got, &read, &e));
	quarantine(got.id);
	ck_ok(take_fake(&f, v, 2, &got, &read, &e));
	ck_assert_uint_eq(read, 2000100);
	repo_frame_reopen(&f);
	expect_entries(&f, got.id, v, 2);
	ck_ok(take_fake(&f, v, 2, &got, &read, &e));
	ck_assert_uint_eq(read, 0);
}
END_TEST

static atomic_bool cancel;

static void cancel_now(void *arg, size_t i)
{
	(void)arg;
	if (i == 3)
		atomic_store(&cancel, true);
}

START_TEST(a_cancelled_one_leaves_what_the_next_reuses)
{
	struct fake_entry v[5];
	static const char *const paths[] = { "/a", "/b", "/c", "/d", "/e" };
	CLEANUP(snapshot_errors_free) struct snapshot_errors *errors = NULL;
	struct snapshot_options o = { .cancel = &cancel };
	struct snapshot_result got;
	struct fake_source s;
	uint64_t all;
	uint64_t read;

	for (unsigned int i = 0; i < 5; i++) {
		v[i] = fake_entry(paths[i], ENTRY_FILE, 3000000, 1000);
		v[i].fill = (uint8_t)i;
	}
	s = fake_source_of(v, 5);
	s.before = cancel_now;
	ck_ok(snapshot_errors_new(&errors, &e));
	ck_assert_int_lt(repo_take_source(&f, &s.base, errors, &o, &got, &e),
			 0);
	ck_assert_int_eq(e.code, ERR_INTERRUPTED);
	ck_ok(take_fake(&f, v, 5, &got, &read, &e));
	ck_assert(object_id_is_zero(got.parent));
	all = got.bytes_new;
	expect_entries(&f, got.id, v, 5);
	ck_assert_uint_gt(all, 0);
}
END_TEST

/* What one user may not see, trusted attributes above all, another one may. */
START_TEST(only_the_same_users_snapshot_is_a_parent)
{
	static const char *const users[] = { "you", "you", "root", "root" };
	static const uint64_t reads[] = { 100, 0, 100, 0 };
	const struct fake_entry v[] = { fake_entry("/a", ENTRY_FILE, 100,
						   1000) };

	for (size_t i = 0; i < 4; i++) {
		CLEANUP(snapshot_errors_free)
		struct snapshot_errors *errors = NULL;
		struct fake_source s = fake_source_of(v, 1);
		struct manifest about;
		const struct snapshot_options o = { .about = &about };
		struct snapshot_result got;

		manifest_init(&about);
		(void)snprintf(about.user, sizeof(about.user), "%s", users[i]);
		ck_ok(snapshot_errors_new(&errors, &e));
		ck_ok(snapshot_take(f.r, &s.base, errors, &o, &got, &e));
		ck_assert_uint_eq(s.reads, reads[i]);
		manifest_done(&about);
	}
}
END_TEST

/* Text that is no UTF-8 must not make a manifest that nobody can open. */
START_TEST(a_host_of_any_bytes_is_recorded)
{
	CLEANUP(snapshot_errors_free) struct snapshot_errors *errors = NULL;
	struct fake_source s = fake_source_of(NULL, 0);
	struct manifest about;
	struct snapshot_options o = { .about = &about };
	struct snapshot_result got;
	struct view view;

	manifest_init(&about);
	(void)snprintf(about.host, sizeof(about.host), "h\xffst");
	(void)snprintf(about.user, sizeof(about.user), "\xc3\xa9\xc3");
	ck_ok(snapshot_errors_new(&errors, &e));
	ck_ok(snapshot_take(f.r, &s.base, errors, &o, &got, &e));
	view_open(&view, &f, got.id);
	ck_assert_str_eq(view.s.manifest.host, "h?st");
	ck_assert_str_eq(view.s.manifest.user, "\xc3\xa9?");
	view_close(&view);
	(void)snprintf(about.source, sizeof(about.source), "\xff");
	ck_assert_int_lt(snapshot_take(f.r, &s.base, errors, &o, &got, &e), 0);
	ck_assert_int_eq(e.code, ERR_USAGE);
}
END_TEST

/* A snapshot of n paths, each of len bytes, which asks for no entry. */
static int take_paths(size_t n, size_t len, struct snapshot_result *ret)
{
	CLEANUP(snapshot_errors_free) struct snapshot_errors *errors = NULL;
	CLEANUP(manifest_done) struct manifest about;
	const struct fake_entry one = fake_entry("/a", ENTRY_FILE, 1, 1000);
	struct fake_source s = fake_source_of(&one, 1);
	struct snapshot_options o = { .about = &about };
	char path[4096];
	int failed;

	memset(path, 'p', sizeof(path));
	manifest_init(&about);
	for (size_t i = 0; i < n; i++) {
		(void)snprintf(path, 8, "/%06zu", i);
		path[7] = '/';
		ck_ok(manifest_list_add(&about.paths, path, len, &e));
	}
	ck_ok(snapshot_errors_new(&errors, &e));
	failed = snapshot_take(f.r, &s.base, errors, &o, ret, &e);
	ck_assert_uint_eq(s.next, failed ? 0 : 1);
	return failed;
}

/* FORMAT.md §2: a field repeats at most 65,536 times. */
START_TEST(as_many_paths_as_the_format_takes)
{
	CLEANUP(buf_done) struct buf payload;
	CLEANUP(manifest_done) struct manifest m;
	struct manifest_list list = { .n = MANIFEST_LIST_MAX };
	struct snapshot_result got;
	struct view view;

	ck_ok(take_paths(65536, 9, &got));
	view_open(&view, &f, got.id);
	ck_assert_uint_eq(view.s.manifest.paths.n, 65536);
	view_close(&view);
	ck_assert_int_lt(manifest_list_add(&list, "", 0, &e), 0);
	ck_assert_int_eq(e.code, ERR_USAGE);
	/* Of whoever writes more it is damage. */
	manifest_init(&m);
	buf_init(&payload, SEAL_PAYLOAD_MAX);
	ck_ok(fields_add_id(&payload, 1, object_id_new(), &e));
	ck_ok(fields_add_id(&payload, 2, object_id_new(), &e));
	for (int i = 0; i < 65537; i++)
		ck_ok(fields_add(&payload, 6, "/", 1, &e));
	ck_assert_int_lt(manifest_decode(payload.data, payload.len, &m, &e), 0);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
}
END_TEST

START_TEST(more_than_a_manifest_holds_is_refused_at_once)
{
	struct snapshot_result got;

	ck_ok(take_paths(4200, 3500, &got));
	ck_assert_int_lt(take_paths(4200, 4000, &got), 0);
	ck_assert_int_eq(e.code, ERR_USAGE);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, an_unchanged_tree_costs_no_read_and_no_data);
	tcase_add_test(tc, what_was_written_just_now_is_read_again);
	tcase_add_test(tc,
		       what_was_written_just_before_it_was_held_is_read_again);
	tcase_add_test(tc, no_name_of_a_link_gets_stale_content);
	tcase_add_test(tc, extents_of_unchanged_files_do_not_pile_up);
	tcase_add_test(tc, sizes_around_the_bounds_come_back);
	tcase_add_test(tc, holes_come_back_as_zeros);
	tcase_add_test(tc, what_does_not_hold_still_is_flagged_or_left_out);
	tcase_add_test(tc,
		       a_folder_that_vanishes_keeps_its_place_above_its_files);
	tcase_add_test(tc,
		       a_folder_that_cannot_be_described_is_as_it_was_listed);
	tcase_add_test(tc, a_source_that_fails_ends_it);
	tcase_add_test(tc, a_huge_hole_costs_nothing);
	tcase_add_test(tc, sizes_beyond_all_numbers_are_told_as_the_largest);
	tcase_add_test(tc, nothing_at_all_is_a_snapshot);
	tcase_add_test(tc, what_the_region_lost_is_read_again);
	tcase_add_test(tc, a_cancelled_one_leaves_what_the_next_reuses);
	tcase_add_test(tc, only_the_same_users_snapshot_is_a_parent);
	tcase_add_test(tc, a_host_of_any_bytes_is_recorded);
	tcase_add_test(tc, as_many_paths_as_the_format_takes);
	tcase_add_test(tc, more_than_a_manifest_holds_is_refused_at_once);
}

CHECK_MAIN("storage/snapshot", cases)

/*
 * Chunks, attributes and devices by someone who has the key and means ill:
 * frames that declare what they like, attributes without end, what a manifest
 * says of its paths.
 */
#include "tests/support/hostile_frame.h"

#include <sys/sysmacros.h>

#include "storage/repository/chunk_cipher.h"
#include "storage/sources/files.h"

/* ---- Frames ------------------------------------------------------------- */

/*
 * A chunk of that frame, sealed as FORMAT.md §4 says: nothing of ours would
 * make it.  plain NULL: its id is that of nothing.
 */
static struct chunk_id put_frame(const void *frame, size_t n, const void *plain,
				 uint32_t plain_len)
{
	static const char prefix[] = "snapctl/1 chunk";
	static uint8_t out[CHUNK_SEALED_MAX];
	const struct keys *k = repository_keys(f.r);
	struct chunk_seal s = { .kind = CHUNK_DATA,
				.epoch = (uint16_t)keys_epoch(k),
				.plain_len = plain_len };
	const struct object_id repository = keys_repository(k);
	CLEANUP(chunk_cipher_free) struct chunk_cipher *c = NULL;
	struct chunk_binding to = { .data_key = keys_data(k, 0, s.epoch),
				    .id = &s.id };
	const uint8_t rest[5] = { 0, 0, (uint8_t)s.epoch,
				  (uint8_t)(s.epoch >> 8), CHUNK_DATA };

	hostile_open();
	ck_ok(chunk_identify(worker, 0, CHUNK_DATA, plain ? plain : frame,
			     plain ? plain_len : n, &s.id, &e));
	seal_ad_add(&to.ad, prefix, sizeof(prefix));
	seal_ad_add(&to.ad, repository.b, sizeof(repository.b));
	seal_ad_add(&to.ad, rest, sizeof(rest));
	seal_ad_add(&to.ad, s.id.b, sizeof(s.id.b));
	ck_ok(chunk_cipher_new(&c, &e));
	ck_ok(chunk_cipher_seal(c, &to, 1, frame, n, out, &e));
	ck_ok(writer_add_sealed(writer, &s, out, n + 1 + SEAL_OVERHEAD, NULL,
				&e));
	return s.id;
}

static void put_file_of(struct node *x, const char *path,
			const struct chunk_id *id, uint64_t len)
{
	put_entry(x, path, strlen(path), ENTRY_FILE, 0);
	put_varint(&x->body, len);
	put_bytes(&x->body, "\0\1", 2);
	put_varint(&x->body, table_number(x, id) + 1);
	put_varint(&x->body, 0);
	put_varint(&x->body, len);
}

/* RFC 8878: descriptor, window, size; a block of one byte 64 times. */
#define WINDOW_2_GIB "\x28\xb5\x2f\xfd\x80\xa8\x40\0\0\0\3\2\0a"
#define WINDOW_ALONE "\x28\xb5\x2f\xfd\0\xa8\3\2\0a"
#define SIZE_2_TO_63 \
	"\x28\xb5\x2f\xfd\xe0\xff\xff\xff\xff\xff\xff\xff\x7f\3\2\0a"
#define SIZE_256_MIB "\x28\xb5\x2f\xfd\xa0\0\0\0\x10\3\2\0a"
#define MORE_THAN_64 "\x28\xb5\x2f\xfd\x20\x40\2\0\20a\2\0\20a\3\0\20a"
#define FRAME_TWICE \
	"\x28\xb5\x2f\xfd\x20\x20\3\1\0a\x28\xb5\x2f\xfd\x20\x20\3\1\0a"
#define FRAME_SKIPPED "\x50\x2a\x4d\x18\4\0\0\0abcd"
#define FRAME(s)                 \
	{                        \
		s, sizeof(s) - 1 \
	}

static const struct {
	const char *s;
	size_t n;
} bad_frames[] = {
	FRAME(WINDOW_ALONE), FRAME(SIZE_2_TO_63), FRAME(SIZE_256_MIB),
	FRAME(MORE_THAN_64), FRAME(FRAME_TWICE),  FRAME(FRAME_SKIPPED),
};

static void restore_frames(struct object_id id)
{
	struct restore_result got;

	ck_ok(restore_it(id, &got));
	ck_assert_uint_eq(got.errors, 6);
	ck_assert(got.damaged);
	ck_assert_uint_eq(got.files, 2);
	ck_assert(!check_it());
	ck_assert_uint_lt(peak_mib(), 300);
}

START_TEST(frames_take_what_belongs_there_and_no_more)
{
	struct chunk_id ids[2];
	struct object_id id;
	char same[64];
	struct node x;
	char name[8];

	memset(same, 'a', sizeof(same));
	node_init(&x);
	put_folder(&x, "/");
	for (size_t i = 0; i < 6; i++) {
		ids[0] = put_frame(bad_frames[i].s, bad_frames[i].n, NULL, 64);
		(void)snprintf(name, sizeof(name), "/%zu", i);
		put_file_of(&x, name, &ids[0], 64);
	}
	/* Its window is no business of who knows how much comes out of it. */
	ids[1] = put_frame(WINDOW_2_GIB, sizeof(WINDOW_2_GIB) - 1, same, 64);
	put_file_of(&x, "/good", &ids[1], 64);
	put_file(&x, "/whole", "mine", 0, 4, 0);
	id = publish(node_end(&x, CHUNK_LEAF), 0);
	in_child(restore_frames, id);
	ck_assert_int_eq(look("good").st_size, 64);
	ck_assert_int_eq(look("whole").st_size, 4);
	ck_assert_uint_eq(compare_it(id).differences, 6);
}
END_TEST

/* ---- Attributes --------------------------------------------------------- */

enum { VALUES = ENTRY_XATTR_VALUES_MAX / ENTRY_XATTR_VALUE_MAX };
enum { HEAVY_FOLDERS = 14, HEAVY_FILES = 16 };

/* So many attributes, each of the largest value, which is one chunk. */
static void put_attributes(struct node *x, size_t number, unsigned int n)
{
	char name[32];

	put_varint(&x->body, n);
	for (unsigned int i = 0; i < n; i++) {
		(void)snprintf(name, sizeof(name), "user.%04x", i);
		put_varint(&x->body, strlen(name));
		put_bytes(&x->body, name, strlen(name));
		put_varint(&x->body, 1 + 2 * number);
	}
}

static void restore_heavy(struct object_id id)
{
	struct restore_result got;

	ck_ok(restore_it(id, &got));
	ck_assert(!got.damaged);
	ck_assert_uint_eq(got.folders, HEAVY_FOLDERS + 1);
	ck_assert_uint_eq(got.files, HEAVY_FILES);
	ck_assert_uint_gt(got.errors + got.left_out, 0);
	ck_assert_uint_lt(peak_mib(), 640);
}

/* A gigabyte of them in folders within one another, and one beside them. */
START_TEST(attributes_are_not_held_without_end)
{
	static uint8_t value[ENTRY_XATTR_VALUE_MAX];
	struct object_id id;
	struct chunk_id v;
	struct node x;
	char path[100] = "";
	size_t number;

	node_init(&x);
	v = put_chunk(CHUNK_VALUE, value, sizeof(value));
	number = table_number(&x, &v);
	v = put_chunk(CHUNK_DATA, "x", 1);
	(void)table_number(&x, &v);
	put_folder(&x, "/");
	for (int i = 0; i < HEAVY_FOLDERS; i++) {
		(void)snprintf(path + strlen(path), sizeof(path) - strlen(path),
			       "/d");
		put_entry(&x, path, strlen(path), ENTRY_FOLDER, ENTRY_XATTRS);
		put_attributes(&x, number, VALUES);
	}
	for (int i = 0; i < HEAVY_FILES; i++) {
		(void)snprintf(path, sizeof(path), "/f%02d", i);
		put_entry(&x, path, strlen(path), ENTRY_FILE, ENTRY_XATTRS);
		/* Its one byte is a worker's to write. */
		put_bytes(&x.body, "\1\0\1\2\0\1", 6);
		put_attributes(&x, number, VALUES);
	}
	id = publish(node_end(&x, CHUNK_LEAF), 0);
	in_child(restore_heavy, id);
}
END_TEST

static void put_attribute(struct node *x, const char *path, const char *name,
			  size_t n)
{
	put_entry(x, path, strlen(path), ENTRY_FILE, ENTRY_XATTRS);
	put_bytes(&x->body, "\0\0\0\1", 4);
	put_varint(&x->body, n);
	put_bytes(&x->body, name, n);
	put_varint(&x->body, 2);
	put_bytes(&x->body, "v", 1);
}

static struct restore_result restore_attribute(const char *name, size_t n)
{
	struct restore_result got;
	struct object_id id;
	struct node x;

	node_init(&x);
	put_folder(&x, "/");
	put_attribute(&x, "/f", name, n);
	id = publish(node_end(&x, CHUNK_LEAF), 0);
	ck_ok(restore_it(id, &got));
	return got;
}

/* A name is the kernel's to take; one that none can have is damage. */
START_TEST(names_of_attributes_are_bounded)
{
	char name[300];
	struct restore_result got;

	memset(name, 'n', sizeof(name));
	memcpy(name, "user.", 5);
	got = restore_attribute(name, 255);
	ck_assert(!got.damaged);
	got = restore_attribute(name, 256);
	ck_assert(got.damaged && got.errors == 1);
	got = restore_attribute("", 0);
	ck_assert(got.damaged && got.errors == 1);
	got = restore_attribute("user.a\0b", 8);
	ck_assert(got.damaged && got.errors == 1);
	got = restore_attribute("../../x", 7);
	ck_assert(!got.damaged && got.left_out == 1 && got.errors == 0);
	ck_assert_int_eq(look("f").st_size, 0);
}
END_TEST

/* ---- Devices and owners ------------------------------------------------- */

static void put_device(struct node *x, const char *path, uint64_t major_number,
		       uint64_t minor_number)
{
	put_entry(x, path, strlen(path), ENTRY_CHARACTER, 0);
	put_varint(&x->body, major_number);
	put_varint(&x->body, minor_number);
}

/* Numbers that the system does not know become no others that it does. */
START_TEST(devices_are_what_they_say_or_not_there)
{
	static const uint64_t numbers[][2] = {
		{ 1, 3 },	   { UINT32_MAX, 3 }, { 0x100000001, 3 },
		{ 1, UINT32_MAX }, { 4097, 3 },	      { 1, 0x100003 },
	};
	struct restore_result got;
	struct object_id id;
	struct stat st;

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		struct node x;

		node_init(&x);
		put_folder(&x, "/");
		put_device(&x, "/dev", numbers[i][0], numbers[i][1]);
		id = publish(node_end(&x, CHUNK_LEAF), 0);
		ck_ok(restore_it(id, &got));
		ck_assert_int_eq(got.damaged, numbers[i][0] > UINT32_MAX);
		if (!is_there("dev")) {
			ck_assert_uint_eq(got.errors + got.left_out, 1);
			continue;
		}
		st = look("dev");
		ck_assert_uint_eq(major(st.st_rdev), numbers[i][0]);
		ck_assert_uint_eq(minor(st.st_rdev), numbers[i][1]);
		ck_assert_int_eq(unlink(hostile_at(f.to, "dev")), 0);
	}
}
END_TEST

/* To the system an owner of -1 means "as it is": then it is nobody's bit. */
START_TEST(an_owner_that_is_none_makes_nothing_setuid)
{
	struct restore_result got;
	struct object_id id;
	struct node x;

	node_init(&x);
	put_bytes(&x.body, "\0\1/\1\0", 5); /* "/", a folder */
	put_varint(&x.body, 0755);
	ck_ok(buf_add_svarint(&x.body, UINT32_MAX, &e));
	ck_ok(buf_add_svarint(&x.body, UINT32_MAX, &e));
	put_bytes(&x.body, "\0\0\0\2/f\2\0", 8); /* "/f", a file */
	put_varint(&x.body, 06755);
	put_bytes(&x.body, "\0\0\0\0\0\0\0", 7);
	x.n = 2;
	id = publish(node_end(&x, CHUNK_LEAF), 0);
	ck_ok(restore_it(id, &got));
	ck_assert_uint_eq(got.errors, 0);
	ck_assert_uint_eq(look("f").st_mode & 07777, 0755);
	ck_assert_uint_ge(got.left_out, 2);
}
END_TEST

/* ---- Paths of a manifest ------------------------------------------------ */

static unsigned int opened;

int __real_files_open(const struct files_options *o, struct source **ret,
		      struct err *why);
int __wrap_files_open(const struct files_options *o, struct source **ret,
		      struct err *why);
int __wrap_files_open(const struct files_options *o, struct source **ret,
		      struct err *why)
{
	opened++;
	for (size_t i = 0; i < o->path_count; i++) {
		ck_assert(strncmp(o->paths[i], f.to, strlen(f.to)) == 0);
		ck_assert_msg(!strstr(o->paths[i], "/.."), "%s", o->paths[i]);
	}
	return __real_files_open(o, ret, why);
}

/* What a restore is compared with is what was restored, wherever a manifest
 * says that it was taken. */
START_TEST(a_comparison_stays_in_the_folder)
{
	static const char *const paths[] = {
		"/../outside", "/f/../../outside", "..", "/.", "", "/f"
	};
	const struct compare_options o = { .folder = f.to };
	struct compare_result x = { 0 };
	struct restore_result got;
	struct repository_snapshot s;
	struct object_id id;
	struct node n;

	node_init(&n);
	put_folder(&n, "/");
	put_file(&n, "/f", "mine", 0, 4, 0);
	id = publish(node_end(&n, CHUNK_LEAF), 0);
	ck_ok(restore_it(id, &got));
	s = look_up(id);
	for (size_t i = 0; i < 6; i++)
		ck_ok(manifest_list_add(&s.manifest.paths, paths[i],
					strlen(paths[i]), &e));
	opened = 0;
	ck_ok(compare_run(f.r, &s.manifest, &o, &x, &e));
	ck_assert_uint_eq(opened, 1);
	ck_assert_uint_eq(x.differences, 0);
	repository_snapshot_done(&s);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, frames_take_what_belongs_there_and_no_more);
	tcase_add_test(tc, attributes_are_not_held_without_end);
	tcase_add_test(tc, names_of_attributes_are_bounded);
	tcase_add_test(tc, devices_are_what_they_say_or_not_there);
	tcase_add_test(tc, an_owner_that_is_none_makes_nothing_setuid);
	tcase_add_test(tc, a_comparison_stays_in_the_folder);
}

CHECK_MAIN("storage/hostile_chunks", cases)

/*
 * Snapshots by someone who has the key and means ill: nothing they hold leaves
 * the target of a restore, goes on for ever, or takes more memory than a
 * snapshot may; and each reader says what is wrong, or stays with what is
 * right.
 */
#include "tests/support/hostile_frame.h"

#include <pthread.h>
#include <stdatomic.h>

#include "storage/replicate.h"
#include "storage/repository/deletion.h"
#include "storage/restore_output.h"

/*
 * Every reader says that it is damaged.  A collector takes nothing where it
 * cannot read; what can be read and stands elsewhere, it keeps.
 */
static void readers_refuse(struct object_id id, enum err_code collected)
{
	size_t lost;

	(void)list_it(id, &lost);
	ck_assert_uint_gt(lost, 0);
	ck_assert_int_eq(diff_it(id), ERR_CORRUPT);
	ck_assert_uint_gt(compare_it(id).differences, 0);
	ck_assert(!check_it());
	ck_assert_int_eq(collect_it(), collected);
}

/* Of a restore that went on: the entries that could not be made were told. */
static void expect_errors(const struct restore_result *got, uint64_t errors,
			  bool damaged)
{
	ck_assert_msg(got->errors == errors, "%llu errors, the last: %s",
		      (unsigned long long)got->errors, f.failed);
	ck_assert_uint_eq(f.failures, errors);
	ck_assert_int_eq(got->damaged, damaged);
}

/* ---- Names -------------------------------------------------------------- */

#define NAME(s)                  \
	{                        \
		s, sizeof(s) - 1 \
	}
static const struct {
	const char *s;
	size_t n;
} bad_names[] = {
	NAME("/.."),
	NAME("/../outside/x"),
	NAME("/a/../../outside/x"),
	NAME("/a/.."),
	NAME("/."),
	NAME("/./a"),
	NAME("/a/."),
	NAME("//"),
	NAME("//outside"),
	NAME("/a//b"),
	NAME("/a/"),
	NAME("a"),
	NAME("../outside/x"),
	NAME(""),
	NAME("/a\0b"),
	NAME("/a\0"),
};
#define BAD_NAMES (sizeof(bad_names) / sizeof(bad_names[0]))

START_TEST(names_that_lead_elsewhere_are_refused)
{
	const char *name = bad_names[_i].s;
	const size_t n = bad_names[_i].n;
	struct restore_result got;
	struct object_id id;
	struct node x;

	node_init(&x);
	put_folder(&x, "/");
	put_entry(&x, name, n, ENTRY_FOLDER, 0);
	id = publish(node_end(&x, CHUNK_LEAF), 0);
	ck_ok(restore_it(id, &got));
	expect_errors(&got, 1, true);
	ck_assert_uint_eq(got.folders, 1);
	ck_assert_int_eq(rmdir(f.to), 0); /* nothing is in it */
	readers_refuse(id, ERR_CORRUPT);
}
END_TEST

/* Each component must be one that a folder takes. */
START_TEST(a_name_that_no_folder_takes_is_told)
{
	static char path[ENTRY_PATH_MAX];
	struct restore_result got;
	struct object_id id;
	struct node x;

	memset(path, 'n', sizeof(path));
	path[0] = '/';
	node_init(&x);
	put_folder(&x, "/");
	put_folder(&x, "/a");
	put_entry(&x, path, 300, ENTRY_FOLDER, 0);
	put_entry(&x, path, sizeof(path), ENTRY_FIFO, 0);
	put_folder(&x, "/z");
	id = publish(node_end(&x, CHUNK_LEAF), 0);
	ck_ok(restore_it(id, &got));
	expect_errors(&got, 2, false);
	ck_assert(is_there("a") && is_there("z"));
}
END_TEST

/* In folders that are not there, of which one cannot be made. */
START_TEST(what_lies_below_a_name_that_no_folder_takes_is_told)
{
	char path[2000];
	struct restore_result got;
	struct object_id id;
	struct node x;
	int n;

	node_init(&x);
	put_folder(&x, "/");
	for (int last = 'f'; last <= 'h'; last++) {
		n = snprintf(path, sizeof(path), "/%0200d/%0200d/%0300d/%c", 0,
			     0, 0, last);
		put_entry(&x, path, (size_t)n, ENTRY_FIFO, 0);
	}
	put_folder(&x, "/z");
	id = publish(node_end(&x, CHUNK_LEAF), 0);
	ck_ok(restore_it(id, &got));
	expect_errors(&got, 3, false);
	ck_assert(is_there("z"));
}
END_TEST

/* ---- Links -------------------------------------------------------------- */

/* What is said to lie in a symlink, or in a file, lies nowhere. */
START_TEST(nothing_is_put_behind_a_symlink)
{
	struct restore_result got;
	struct object_id id;
	struct node x;

	node_init(&x);
	put_folder(&x, "/");
	put_symlink(&x, "/d", outside, 0);
	put_file(&x, "/d/file", "theirs", 0, 6, 0);
	put_symlink(&x, "/d/x", "/", 0);
	put_folder(&x, "/d/y");
	put_file(&x, "/f", "mine", 0, 4, 0);
	put_file(&x, "/f/file", "theirs", 0, 6, 0);
	put_symlink(&x, "/up", "../outside", 0);
	put_entry(&x, "/up/x", 5, ENTRY_FIFO, 0);
	id = publish(node_end(&x, CHUNK_LEAF), 0);
	ck_ok(restore_it(id, &got));
	ck_assert_uint_ge(got.errors, 5);
	ck_assert(!got.damaged);
	ck_assert(S_ISLNK(look("d").st_mode) && S_ISLNK(look("up").st_mode));
	ck_assert(S_ISREG(look("f").st_mode));
}
END_TEST

/* A group of names of which one leads outside, in every order of types. */
START_TEST(hard_links_lead_nowhere_else)
{
	struct restore_result got;
	struct object_id id;
	struct node x;

	node_init(&x);
	put_folder(&x, "/");
	put_symlink(&x, "/a", hostile_at(outside, "file"), 7);
	put_file(&x, "/b", "theirs", 0, 6, 7);
	put_symlink(&x, "/c", "../outside/file", 7);
	put_file(&x, "/d", "theirs", 0, 6, 7);
	put_entry(&x, "/e", 2, ENTRY_FOLDER, ENTRY_HARD_LINK);
	ck_ok(buf_add_u64(&x.body, 7, &e));
	put_symlink(&x, "/e/f", hostile_at(outside, "file"), 7);
	put_file(&x, "/e/g", "others", 0, 6, 7);
	id = publish(node_end(&x, CHUNK_LEAF), 0);
	for (int again = 0; again < 2; again++) {
		ck_ok(restore_it(id, &got));
		expect_errors(&got, 0, false);
		ck_assert(S_ISLNK(look("a").st_mode));
		ck_assert(S_ISREG(look("b").st_mode));
		ck_assert(S_ISLNK(look("c").st_mode));
		ck_assert(S_ISREG(look("d").st_mode));
		ck_assert(S_ISDIR(look("e").st_mode));
		ck_assert(S_ISREG(look("e/g").st_mode));
	}
}
END_TEST

/* ---- Trees -------------------------------------------------------------- */

/* What belongs behind the next leaf's beginning is no part of this one. */
START_TEST(leaves_out_of_order_are_refused)
{
	static const char *const paths[] = { "/", "/b", "/d" };
	struct restore_result got;
	struct chunk_id leaves[3];
	struct object_id id;
	struct node x;
	size_t lost;

	node_init(&x);
	put_folder(&x, "/");
	put_file(&x, "/c", "first", 0, 5, 0);
	leaves[0] = node_end(&x, CHUNK_LEAF);
	node_init(&x);
	put_folder(&x, "/b");
	put_file(&x, "/c", "second", 0, 6, 0);
	leaves[1] = node_end(&x, CHUNK_LEAF);
	node_init(&x);
	put_folder(&x, "/d");
	leaves[2] = node_end(&x, CHUNK_LEAF);
	id = publish(put_inner(1, paths, leaves, 3), 1);
	ck_assert_uint_eq(list_it(id, &lost), 4);
	ck_assert_uint_eq(lost, 1);
	ck_ok(restore_it(id, &got));
	expect_errors(&got, 1, true);
	ck_assert_int_eq(look("c").st_size, 6);
	ck_assert(is_there("b") && is_there("d"));
	readers_refuse(id, ERR_NONE);
}
END_TEST

enum { TREE_WIDTH = 2048, TREE_HEIGHT = 12 };

/*
 * Each node names the one below it again and again: 2048 to the power of 12
 * leaves, of which there is one.
 */
static struct object_id publish_bomb(void)
{
	static char text[TREE_WIDTH][8];
	static const char *paths[TREE_WIDTH];
	static struct chunk_id ids[TREE_WIDTH];
	struct chunk_id id;
	struct node x;

	node_init(&x);
	put_folder(&x, "/0000");
	id = node_end(&x, CHUNK_LEAF);
	for (int i = 0; i < TREE_WIDTH; i++) {
		(void)snprintf(text[i], sizeof(text[i]), "/%04d", i);
		paths[i] = text[i];
	}
	for (uint8_t h = 1; h <= TREE_HEIGHT; h++) {
		for (int i = 0; i < TREE_WIDTH; i++)
			ids[i] = id;
		id = put_inner(h, paths, ids, TREE_WIDTH);
	}
	return publish(id, TREE_HEIGHT);
}

START_TEST(nodes_that_are_named_again_and_again_are_refused)
{
	struct restore_result got;
	const struct object_id id = publish_bomb();
	size_t lost;

	ck_assert_uint_eq(list_it(id, &lost), 0);
	ck_assert_uint_eq(lost, TREE_WIDTH);
	ck_ok(restore_it(id, &got));
	ck_assert_uint_eq(got.folders, 0);
	expect_errors(&got, TREE_WIDTH, true);
	readers_refuse(id, ERR_NONE);
}
END_TEST

/* A map of a map of a map …, each 1024 times the same: 2^50 holes. */
static void put_holes_bomb(struct node *x, const char *path)
{
	uint64_t len = 1024;
	struct chunk_id id;

	for (uint8_t level = 0; level <= CONTENT_LEVEL_MAX; level++) {
		struct buf *const to = &x->body;
		struct node map;
		struct node *in = level == CONTENT_LEVEL_MAX ? x : &map;

		node_init(&map);
		if (in == x) {
			put_entry(x, path, strlen(path), ENTRY_FILE, 0);
			put_varint(to, len);
		}
		if (level)
			(void)table_number(in, &id);
		ck_ok(buf_add_byte(&in->body, level, &e));
		put_varint(&in->body, 1024);
		for (int i = 0; i < 1024; i++) {
			put_varint(&in->body, level ? in->n_table - 1 : 0);
			put_varint(&in->body, len / 1024);
		}
		if (in == x)
			return;
		id = node_end(&map, CHUNK_MAP);
		len *= 1024;
	}
}

/* Whoever visits all that a tree reaches does so once, too. */
START_TEST(what_is_named_again_and_again_is_undeleted_and_copied)
{
	const struct deletion d = { .now = clock_now(),
				    .grace_ms = 1000000,
				    .by = "me",
				    .reason = "" };
	CLEANUP(repository_snapshot_done) struct repository_snapshot s;
	struct object_id id;
	struct node n;
	struct replicate_result x = { 0 };
	const struct replicate_options o = { .host = "host" };
	CLEANUP(repository_close) struct repository *to = NULL;
	CLEANUP(store_close) struct store *store = NULL;

	node_init(&n);
	put_folder(&n, "/");
	put_holes_bomb(&n, "/holes");
	id = publish(node_end(&n, CHUNK_LEAF), 0);
	s = look_up(id);
	ck_ok(deletion_delete(f.r, &s, &d, &e));
	repository_snapshot_done(&s);
	s = look_up(id);
	ck_assert(s.deleted);
	ck_ok(deletion_undelete(f.r, &s, &d, &e));
	ck_ok(store_open("mem:hostile-to", true, &store, &e));
	ck_ok(replicate_settle(repository_store(f.r), store, f.credential, &e));
	ck_ok(repository_open("mem:hostile-to", f.credential, &to, &e));
	ck_ok(replicate_run(f.r, to, &o, &x, &e));
	ck_assert_uint_eq(x.copied, 1);
	repository_close(TAKE(to));
	store_mem_forget("mem:hostile-to");
}
END_TEST

/* Of two bytes a component, as deep as a path can be. */
enum { DEPTH = 32767 };

static struct object_id publish_deep(void)
{
	static char path[2 * DEPTH];
	struct node x;

	node_init(&x);
	put_folder(&x, "/");
	for (size_t i = 0; i < DEPTH; i++) {
		path[2 * i] = '/';
		path[2 * i + 1] = 'd';
		/* Coded against the path before, as leaves do. */
		put_varint(&x.body, i ? 2 * i : 0);
		put_varint(&x.body, 2);
		put_bytes(&x.body, path + 2 * i, 2);
		ck_ok(buf_add_byte(&x.body, ENTRY_FOLDER, &e));
		put_varint(&x.body, 0);
		put_varint(&x.body, 0755);
		put_bytes(&x.body, "\0\0\0\0", 4);
		x.n++;
	}
	return publish(node_end(&x, CHUNK_LEAF), 0);
}

/* The next snapshot of what it claims to be of begins from there. */
START_TEST(a_parent_that_is_hostile_spoils_no_snapshot)
{
	struct restore_result got;
	struct tree_list want;
	struct object_id id;
	FILE *file;

	taken_of = f.from;
	(void)(_i ? publish_deep() : publish_bomb());
	ck_assert_int_eq(mkdir(f.from, 0700), 0);
	file = fopen(hostile_at(f.from, "file"), "we");
	ck_assert_ptr_nonnull(file);
	(void)fputs("mine", file);
	ck_assert_int_eq(fclose(file), 0);
	repo_list(&want, f.from);
	id = repo_take(&f).id;
	got = repo_restore(&f, id);
	ck_assert_uint_eq(got.files, 1);
	repo_expect_same(&want, f.to);
	tree_list_done(&want);
}
END_TEST

/* A manifest's root may claim any height; trees have at most twelve. */
START_TEST(a_tree_that_is_too_high_is_refused)
{
	struct restore_result got;
	struct object_id id;
	struct node x;

	node_init(&x);
	put_folder(&x, "/");
	id = publish(node_end(&x, CHUNK_LEAF), 13);
	ck_ok(restore_it(id, &got));
	expect_errors(&got, 1, true);
	ck_assert_int_eq(diff_it(id), ERR_CORRUPT);
}
END_TEST

static void restore_deep(struct object_id id)
{
	const struct rlimit l = { 300, 300 };
	struct restore_result got;

	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &l), 0);
	ck_ok(restore_it(id, &got));
	/* The rest is told to lie in what could not be made. */
	ck_assert_uint_gt(got.folders, 200);
	ck_assert_uint_lt(got.folders, 300);
	ck_assert_uint_gt(got.errors, 0);
	ck_assert_uint_lt(peak_mib(), 400);
}

START_TEST(depth_ends_where_descriptors_do)
{
	struct restore_options o = { .path = "/",
				     .path_len = 1,
				     .dry_run = true };
	const struct object_id id = publish_deep();
	struct restore_result got;
	size_t lost;

	in_child(restore_deep, id);
	ck_assert_uint_eq(list_it(id, &lost), DEPTH + 1);
	ck_assert_uint_eq(lost, 0);
	ck_assert_int_eq(diff_it(id), ERR_NONE);
	ck_ok(repo_restore_with(&f, id, &o, &got, &e));
	ck_assert_uint_eq(got.folders, DEPTH + 1);
	ck_assert(check_it());
}
END_TEST

/* ---- Sizes -------------------------------------------------------------- */

START_TEST(sizes_that_no_file_has_are_refused)
{
	static const uint64_t sizes[] = { UINT64_MAX, (uint64_t)INT64_MAX + 1 };
	struct restore_result got;
	struct object_id id;
	struct node x;

	for (size_t i = 0; i < 2; i++) {
		node_init(&x);
		put_folder(&x, "/");
		put_hole(&x, "/hole", sizes[i]);
		id = publish(node_end(&x, CHUNK_LEAF), 0);
		ck_ok(restore_it(id, &got));
		expect_errors(&got, 1, true);
	}
	readers_refuse(id, ERR_CORRUPT);
}
END_TEST

/* Some file systems take a hole of 2^63 - 1 bytes; others are told of. */
START_TEST(the_largest_hole_takes_no_room)
{
	struct restore_result got;
	struct object_id id;
	struct node x;

	node_init(&x);
	put_folder(&x, "/");
	put_hole(&x, "/a", INT64_MAX);
	put_hole(&x, "/b", INT64_MAX);
	put_hole(&x, "/c", INT64_MAX);
	put_file(&x, "/d", "mine", 0, 4, 0);
	id = publish(node_end(&x, CHUNK_LEAF), 0);
	ck_ok(restore_it(id, &got));
	ck_assert(!got.damaged && got.errors <= 3);
	ck_assert_uint_eq(got.files + got.errors, 4);
	ck_assert_int_eq(look("d").st_size, 4);
	ck_assert(check_it());
	for (const char *s = "abc"; *s; s++) {
		const char name[2] = { *s, '\0' };

		if (is_there(name))
			ck_assert_int_eq(look(name).st_blocks, 0);
		else
			ck_assert_uint_gt(got.errors, 0);
	}
}
END_TEST

START_TEST(bytes_beyond_a_chunk_are_refused)
{
	static const uint64_t at[][2] = {
		{ 4, 1 }, { 0, 5 }, { 3, 2 }, { CHUNK_MAX - 1, 1 }
	};
	struct restore_result got;
	struct object_id id;
	struct node x;
	char name[8];

	node_init(&x);
	put_folder(&x, "/");
	for (size_t i = 0; i < 4; i++) {
		(void)snprintf(name, sizeof(name), "/%zu", i);
		put_file(&x, name, "mine", at[i][0], at[i][1], 0);
	}
	put_file(&x, "/good", "mine", 1, 2, 0);
	id = publish(node_end(&x, CHUNK_LEAF), 0);
	ck_ok(restore_it(id, &got));
	expect_errors(&got, 4, true);
	ck_assert_uint_eq(got.files, 1);
	ck_assert_int_eq(look("good").st_size, 2);
	ck_assert(!is_there("0"));
	ck_assert_uint_ge(compare_it(id).differences, 4);
}
END_TEST

static atomic_bool stop;

/* Asked of each entry before it is restored. */
static bool stop_at_the_file(void *arg, const char *path, size_t len,
			     bool is_folder)
{
	(void)arg;
	(void)path;
	(void)len;
	if (!is_folder)
		atomic_store(&stop, true);
	return true;
}

START_TEST(a_file_of_endless_pieces_can_be_stopped)
{
	struct restore_options o = { .path = "/",
				     .path_len = 1,
				     .wanted = stop_at_the_file,
				     .cancel = &stop };
	struct restore_result got;
	struct object_id id;
	struct node x;
	size_t lost;

	node_init(&x);
	put_folder(&x, "/");
	put_holes_bomb(&x, "/holes");
	id = publish(node_end(&x, CHUNK_LEAF), 0);
	ck_assert_uint_eq(list_it(id, &lost), 2);
	ck_assert_int_eq(repo_restore_with(&f, id, &o, &got, &e), -1);
	ck_assert_int_eq(e.code, ERR_INTERRUPTED);
	ck_assert(!is_there("holes"));
	ck_assert(check_it());
	ck_assert_int_eq(collect_it(), ERR_NONE);
}
END_TEST

/* The same by `restore --output`, where holes of a new file are nobody's work.
 */
START_TEST(endless_pieces_of_an_output_can_be_stopped)
{
	struct restore_output_result got;
	struct restore_output_options o = { .path = "/holes",
					    .path_len = 6,
					    .cancel = &stop };
	CLEANUP(repository_snapshot_done) struct repository_snapshot s;
	struct object_id id;
	struct node x;

	node_init(&x);
	put_folder(&x, "/");
	put_holes_bomb(&x, "/holes");
	id = publish(node_end(&x, CHUNK_LEAF), 0);
	s = look_up(id);
	ck_assert_int_eq(mkdir(f.to, 0700), 0);
	o.to = hostile_at(f.to, "out");
	atomic_store(&stop, true);
	ck_assert_int_eq(restore_output(f.r, &s.manifest, &o, &got, &e), -1);
	ck_assert_int_eq(e.code, ERR_INTERRUPTED);
	ck_assert(!is_there("out"));
}
END_TEST

static atomic_bool losses;

static void see_stage(void *arg, const struct check_progress *p)
{
	(void)arg;
	if (strcmp(p->stage, "losses") == 0)
		atomic_store(&losses, true);
}

/* When it goes through the pieces of files, to tell whose loss it is. */
static void *stop_then(void *arg)
{
	(void)arg;
	while (!atomic_load(&losses) && !atomic_load(&stop))
		clock_sleep_ms(5);
	clock_sleep_ms(200);
	atomic_store(&stop, true);
	return NULL;
}

START_TEST(a_check_of_endless_pieces_can_be_stopped)
{
	const struct check_options o = { .level = CHECK_STRUCTURE,
					 .now = clock_now(),
					 .progress = see_stage,
					 .cancel = &stop };
	CLEANUP(check_result_done) struct check_result x = { 0 };
	const struct chunk_id lost = { { 1, 2, 3 } };
	pthread_t thread;
	struct node n;

	node_init(&n);
	put_folder(&n, "/");
	(void)table_number(&n, &lost);
	put_holes_bomb(&n, "/holes");
	(void)publish(node_end(&n, CHUNK_LEAF), 0);
	atomic_store(&stop, false);
	ck_assert_int_eq(pthread_create(&thread, NULL, stop_then, NULL), 0);
	ck_assert_int_eq(check_run(f.r, &o, &x, &e), -1);
	ck_assert_msg(e.code == ERR_INTERRUPTED, "%s", e.text);
	ck_assert(atomic_load(&losses));
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, names_that_lead_elsewhere_are_refused, 0,
			    BAD_NAMES);
	tcase_add_test(tc, a_name_that_no_folder_takes_is_told);
	tcase_add_test(tc, what_lies_below_a_name_that_no_folder_takes_is_told);
	tcase_add_test(tc, nothing_is_put_behind_a_symlink);
	tcase_add_test(tc, hard_links_lead_nowhere_else);
	tcase_add_test(tc, leaves_out_of_order_are_refused);
	tcase_add_test(tc, nodes_that_are_named_again_and_again_are_refused);
	tcase_add_test(tc,
		       what_is_named_again_and_again_is_undeleted_and_copied);
	tcase_add_loop_test(tc, a_parent_that_is_hostile_spoils_no_snapshot, 0,
			    2);
	tcase_add_test(tc, a_tree_that_is_too_high_is_refused);
	tcase_add_test(tc, depth_ends_where_descriptors_do);
	tcase_add_test(tc, sizes_that_no_file_has_are_refused);
	tcase_add_test(tc, the_largest_hole_takes_no_room);
	tcase_add_test(tc, bytes_beyond_a_chunk_are_refused);
	tcase_add_test(tc, a_file_of_endless_pieces_can_be_stopped);
	tcase_add_test(tc, endless_pieces_of_an_output_can_be_stopped);
	tcase_add_test(tc, a_check_of_endless_pieces_can_be_stopped);
}

CHECK_MAIN("storage/hostile", cases)

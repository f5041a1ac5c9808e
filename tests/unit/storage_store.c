/*
 * The contract of storage/stores/store.h, held against every backend, plain
 * and wrapped in a fault injector that injects nothing.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/store_backends.h"

/* Each case runs once for each backend. */
#define EACH(name) START_TEST(name)

#define BEGIN set_up(_i)
#define END   tear_down(_i)

static void put(const char *name, const char *text)
{
	ck_ok(store_put(store, name, text, strlen(text), 0, &e));
}

static void expect(const char *name, const char *text)
{
	CLEANUP(buf_done) struct buf b;
	uint64_t size = 0;

	buf_init(&b, 1 << 20);
	ck_ok(store_get(store, name, &b, &e));
	ck_assert_str_eq(buf_str(&b), text);
	ck_assert_int_eq(store_size(store, name, &size, &e), 1);
	ck_assert_uint_eq(size, strlen(text));
}

static void expect_none(const char *name)
{
	CLEANUP(buf_done) struct buf b;
	uint64_t size = 7;
	size_t got = 7;
	char c;

	buf_init(&b, 16);
	ck_assert_int_eq(store_get(store, name, &b, &e), 0);
	ck_assert_int_eq(store_size(store, name, &size, &e), 0);
	ck_assert_int_eq(store_read(store, name, 0, &c, 1, &got, &e), 0);
	ck_assert_uint_eq(size, 7);
	ck_assert_uint_eq(got, 7);
}

/* What a listing visits: "name=size " for each. */
struct listing {
	struct buf text;
	size_t n;
	size_t stop_after; /* 0: never */
	bool fail;
};

static int collect(void *arg, const struct store_entry *entry, struct err *err)
{
	struct listing *l = arg;

	if (l->fail)
		return err_set(err, ERR_BUSY, "the visitor gave up");
	if (buf_addf(&l->text, err, "%s=%llu ", entry->name,
		     (unsigned long long)entry->size) < 0)
		return -1;
	l->n++;
	return l->stop_after && l->n == l->stop_after;
}

static void expect_list(const char *prefix, const char *text)
{
	struct listing l = { .n = 0 };

	buf_init(&l.text, 1 << 20);
	ck_ok(store_list(store, prefix, collect, &l, &e));
	ck_assert_str_eq(buf_str(&l.text), text);
	buf_done(&l.text);
}

EACH(what_was_put_is_got)
{
	BEGIN;
	put("config", "hello");
	put("data/ab/0123", "pack");
	expect("config", "hello");
	expect("data/ab/0123", "pack");
	expect_none("data/ab/0124");
	expect_none("data/ac/0123");
	expect_none("other");
	END;
}
END_TEST

EACH(an_empty_object_is_an_object)
{
	size_t got = 9;

	BEGIN;
	put("empty", "");
	expect("empty", "");
	ck_assert_int_eq(store_read(store, "empty", 0, NULL, 0, &got, &e), 1);
	ck_assert_uint_eq(got, 0);
	expect_list("", "empty=0 ");
	END;
}
END_TEST

EACH(a_taken_name_is_refused_and_keeps_its_bytes)
{
	BEGIN;
	put("data/aa/1", "old");
	ck_assert_int_eq(store_put(store, "data/aa/1", "new", 3, 0, &e), -1);
	ck_assert_int_eq(e.code, ERR_EXISTS);
	ck_assert_ptr_nonnull(strstr(e.text, "\"data/aa/1\""));
	ck_assert_ptr_nonnull(strstr(e.text, store_shown(store).s));
	expect("data/aa/1", "old");
	expect_list("", "data/aa/1=3 ");
	END;
}
END_TEST

EACH(replace_replaces_and_also_creates)
{
	BEGIN;
	ck_ok(store_put(store, "sessions/1", "one", 3, STORE_REPLACE, &e));
	expect("sessions/1", "one");
	ck_ok(store_put(store, "sessions/1", "fourteen", 8, STORE_REPLACE, &e));
	expect("sessions/1", "fourteen");
	ck_ok(store_put(store, "sessions/1", "", 0, STORE_REPLACE, &e));
	expect("sessions/1", "");
	expect_list("", "sessions/1=0 ");
	END;
}
END_TEST

EACH(nothing_is_visible_before_commit)
{
	struct store_upload *u = NULL;

	BEGIN;
	ck_ok(store_begin(store, "index/1", 0, 0, &u, &e));
	ck_ok(store_append(u, "abc", 3, &e));
	expect_none("index/1");
	expect_list("", "");
	ck_ok(store_append(u, NULL, 0, &e));
	ck_ok(store_append(u, "def", 3, &e));
	expect_none("index/1");
	ck_ok(store_commit(u, &e));
	expect("index/1", "abcdef");
	END;
}
END_TEST

EACH(abort_leaves_nothing)
{
	struct store_upload *u = NULL;

	BEGIN;
	put("a", "kept");
	ck_ok(store_begin(store, "b", 5, 0, &u, &e));
	ck_ok(store_append(u, "bytes", 5, &e));
	store_abort(u);
	ck_ok(store_begin(store, "a", 5, STORE_REPLACE, &u, &e));
	ck_ok(store_append(u, "bytes", 5, &e));
	store_abort(u);
	store_abort(NULL);
	expect_none("b");
	expect("a", "kept");
	expect_list("", "a=4 ");
	put("b", "again");
	expect("b", "again");
	END;
}
END_TEST

EACH(two_uploads_of_one_name_let_one_win)
{
	struct store_upload *u = NULL;
	struct store_upload *v = NULL;

	BEGIN;
	ck_ok(store_begin(store, "x/1", 0, 0, &u, &e));
	ck_ok(store_begin(store, "x/1", 0, 0, &v, &e));
	ck_ok(store_append(u, "first", 5, &e));
	ck_ok(store_append(v, "second", 6, &e));
	ck_ok(store_commit(v, &e));
	ck_assert_int_eq(store_commit(u, &e), -1);
	ck_assert_int_eq(e.code, ERR_EXISTS);
	expect("x/1", "second");
	END;
}
END_TEST

static void expect_range(uint64_t offset, size_t n, const char *text)
{
	char out[32];
	size_t got = 99;

	memset(out, '#', sizeof(out));
	ck_assert_int_eq(store_read(store, "r", offset, out, n, &got, &e), 1);
	ck_assert_uint_eq(got, strlen(text));
	ck_assert_mem_eq(out, text, got);
	ck_assert_int_eq(out[got], '#');
}

EACH(ranges_are_short_only_at_the_end)
{
	char c;
	size_t got = 0;

	BEGIN;
	put("r", "0123456789");
	expect_range(0, 10, "0123456789");
	expect_range(0, 4, "0123");
	expect_range(3, 4, "3456");
	expect_range(8, 2, "89");
	expect_range(8, 20, "89");
	expect_range(10, 5, "");
	expect_range(11, 5, "");
	expect_range((uint64_t)1 << 40, 5, "");
	expect_range(4, 0, "");
	ck_assert_int_eq(store_read(store, "r", UINT64_MAX, &c, 1, &got, &e),
			 -1);
	ck_assert_int_eq(e.code, ERR_USAGE);
	END;
}
END_TEST

EACH(listings_are_in_bytewise_order_of_whole_names)
{
	BEGIN;
	put("b/2", "22");
	put("b-c", "1");
	put("b.x", "1");
	put("b0", "1");
	put("b_", "1");
	put("b/10/z", "333");
	put("b/1-", "1");
	put("a", "1");
	put("c/d/e/f", "4444");
	put("b/1_/y", "55555");
	expect_list("", "a=1 b-c=1 b.x=1 b/1-=1 b/10/z=3 b/1_/y=5 b/2=2 b0=1 "
			"b_=1 c/d/e/f=4 ");
	END;
}
END_TEST

EACH(a_prefix_may_end_within_a_component)
{
	BEGIN;
	put("data/ab/1", "1");
	put("data/ab/12", "1");
	put("data/ac/1", "1");
	put("datum", "1");
	put("meta/ab/1", "1");
	expect_list("data/ab/1", "data/ab/1=1 data/ab/12=1 ");
	expect_list("data/ab/", "data/ab/1=1 data/ab/12=1 ");
	expect_list("data/a", "data/ab/1=1 data/ab/12=1 data/ac/1=1 ");
	expect_list("data/", "data/ab/1=1 data/ab/12=1 data/ac/1=1 ");
	expect_list("dat", "data/ab/1=1 data/ab/12=1 data/ac/1=1 datum=1 ");
	expect_list("data/ab/12", "data/ab/12=1 ");
	expect_list("data/ab/123", "");
	expect_list("data/ab/12/", "");
	expect_list("nothing/", "");
	expect_list("/", "");
	expect_list("../", "");
	expect_list("data//", "");
	expect_list("DATA/", "");
	END;
}
END_TEST

static void expect_after(const char *after, const char *text)
{
	struct listing l = { .n = 0 };

	buf_init(&l.text, 1 << 20);
	ck_ok(store_list_after(store, after, collect, &l, &e));
	ck_assert_msg(strcmp(buf_str(&l.text), text) == 0, "after %s: %s",
		      after, buf_str(&l.text));
	buf_done(&l.text);
}

EACH(what_comes_after_a_name_is_one_listing)
{
	static const char *const names[] = { "a/b/c",  "config",  "data/0-",
					     "data/1", "data/12", "data/2/1",
					     "f.x",    "f/x" };
	struct listing l = { .stop_after = 1 };
	char longest[STORE_NAME_MAX + 2];
	char text[STORE_NAME_MAX + 8];

	BEGIN;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		put(names[i], "x");
	expect_after("", "a/b/c=1 config=1 data/0-=1 data/1=1 data/12=1 "
			 "data/2/1=1 f.x=1 f/x=1 ");
	/* An object, what no object can be, one that is not there, a folder,
	 * and what lies in one. */
	expect_after("config", "data/0-=1 data/1=1 data/12=1 data/2/1=1 f.x=1 "
			       "f/x=1 ");
	expect_after("data/~", "f.x=1 f/x=1 ");
	expect_after("data/11", "data/12=1 data/2/1=1 f.x=1 f/x=1 ");
	expect_after("data/1", "data/12=1 data/2/1=1 f.x=1 f/x=1 ");
	expect_after("data/2", "data/2/1=1 f.x=1 f/x=1 ");
	expect_after("data/2/", "data/2/1=1 f.x=1 f/x=1 ");
	expect_after("f.x", "f/x=1 ");
	expect_after("f/x", "");
	expect_after("f/x/y", "");
	expect_after("z", "");
	/* The longest name, what begins with it, and what comes before. */
	memset(longest, 'x', sizeof(longest) - 1);
	longest[STORE_NAME_MAX] = '\0';
	put(longest, "x");
	(void)snprintf(text, sizeof(text), "%s=1 ", longest);
	expect_after("f/x", text);
	expect_after(longest, "");
	longest[STORE_NAME_MAX - 1] = 'w';
	expect_after(longest, text);
	memset(longest, 'x', sizeof(longest) - 1);
	longest[STORE_NAME_MAX + 1] = '\0';
	expect_after(longest, "");
	/* It ends early, and fails, as the other one does. */
	buf_init(&l.text, 1 << 10);
	ck_ok(store_list_after(store, "config", collect, &l, &e));
	ck_assert_str_eq(buf_str(&l.text), "data/0-=1 ");
	l.fail = true;
	ck_assert_int_eq(store_list_after(store, "", collect, &l, &e), -1);
	ck_assert_int_eq(e.code, ERR_BUSY);
	ck_assert_str_eq(e.text, "the visitor gave up");
	ck_assert(!e.of_store);
	buf_done(&l.text);
	END;
}
END_TEST

EACH(a_listing_ends_when_the_visitor_says_so)
{
	struct listing l = { .stop_after = 2 };

	BEGIN;
	put("a/1", "1");
	put("a/2", "1");
	put("a/3", "1");
	put("b", "1");
	buf_init(&l.text, 1000);
	ck_ok(store_list(store, "", collect, &l, &e));
	ck_assert_str_eq(buf_str(&l.text), "a/1=1 a/2=1 ");
	l.fail = true;
	ck_assert_int_eq(store_list(store, "", collect, &l, &e), -1);
	ck_assert_int_eq(e.code, ERR_BUSY);
	ck_assert_str_eq(e.text, "the visitor gave up");
	buf_done(&l.text);
	END;
}
END_TEST

/* A visitor may use the store that it is visiting. */
static int remove_it(void *arg, const struct store_entry *entry,
		     struct err *err)
{
	size_t *n = arg;
	char name[STORE_NAME_MAX + 1];

	(void)snprintf(name, sizeof(name), "%s", entry->name);
	++*n;
	return store_remove(store, name, err);
}

EACH(a_visitor_may_change_the_store)
{
	size_t n = 0;
	char name[32];

	BEGIN;
	for (int i = 0; i < 50; i++) {
		(void)snprintf(name, sizeof(name), "m/%02d", i);
		put(name, "1");
	}
	ck_ok(store_list(store, "m/", remove_it, &n, &e));
	ck_assert_uint_eq(n, 50);
	expect_list("", "");
	END;
}
END_TEST

EACH(removal_is_idempotent)
{
	BEGIN;
	put("a/b/1", "1");
	put("a/b/2", "2");
	ck_ok(store_remove(store, "a/b/1", &e));
	expect_none("a/b/1");
	expect("a/b/2", "2");
	ck_ok(store_remove(store, "a/b/1", &e));
	ck_ok(store_remove(store, "never/was/there", &e));
	put("a/b/1", "new");
	expect("a/b/1", "new");
	END;
}
END_TEST

EACH(names_that_are_none_are_refused_by_every_call)
{
	static const char *const bad[] = {
		"",	 "/",	   "/a",       "a/",	  "a//b",      "..",
		"../a",	 "a/../b", "./a",      ".hidden", "a/.hidden", "A",
		"a b",	 "a\nb",   "\xc3\xa9", "a\\b",	  "a:b",       "tmp",
		"tmp/x", "a%2f",   "a*",
	};
	struct store_upload *u = NULL;
	uint64_t size;
	size_t got;
	char c;

	BEGIN;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_int_eq(store_put(store, bad[i], "x", 1, 0, &e), -1);
		ck_assert_int_eq(e.code, ERR_USAGE);
		ck_assert_int_eq(store_begin(store, bad[i], 1, 0, &u, &e), -1);
		ck_assert_int_eq(store_read(store, bad[i], 0, &c, 1, &got, &e),
				 -1);
		ck_assert_int_eq(store_size(store, bad[i], &size, &e), -1);
		ck_assert_int_eq(store_remove(store, bad[i], &e), -1);
		ck_assert_int_eq(e.code, ERR_USAGE);
	}
	expect_list("", "");
	END;
}
END_TEST

EACH(names_of_all_lengths_up_to_the_limit)
{
	char name[STORE_NAME_MAX + 2];

	BEGIN;
	put("tmpfile", "1");
	put("x/tmp/y.z-_0", "1");
	expect("x/tmp/y.z-_0", "1");
	memset(name, 'a', sizeof(name));
	name[STORE_NAME_MAX + 1] = '\0';
	ck_assert_int_eq(store_put(store, name, "x", 1, 0, &e), -1);
	ck_assert_int_eq(e.code, ERR_USAGE);
	name[STORE_NAME_MAX] = '\0';
	put(name, "long");
	expect(name, "long");
	/* As many components as a name can have. */
	for (size_t i = 1; i < STORE_NAME_MAX - 1; i += 2)
		name[i] = '/';
	name[STORE_NAME_MAX - 1] = '\0';
	name[0] = 'z';
	put(name, "deep");
	expect(name, "deep");
	ck_ok(store_remove(store, name, &e));
	END;
}
END_TEST

EACH(an_object_above_the_ceiling_is_corrupt)
{
	CLEANUP(buf_done) struct buf b;

	BEGIN;
	put("k", "0123456789");
	buf_init(&b, 12);
	ck_ok(buf_add(&b, "ab", 2, &e));
	ck_assert_int_eq(store_get(store, "k", &b, &e), 1);
	ck_assert_str_eq(buf_str(&b), "ab0123456789");
	buf_done(&b);
	buf_init(&b, 9);
	ck_assert_int_eq(store_get(store, "k", &b, &e), -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	ck_assert_ptr_nonnull(strstr(e.text, "\"k\""));
	END;
}
END_TEST

EACH(objects_are_pure)
{
	BEGIN;
	ck_ok(store_pure(store, &e));
	put("data/ab/1", "1");
	put("config", "1");
	ck_ok(store_pure(store, &e));
	END;
}
END_TEST

EACH(there_is_a_clock_only_where_it_says_so)
{
	struct instant now;

	BEGIN;
	if (!(store_features(store) & STORE_HAS_CLOCK)) {
		ck_assert_int_eq(store_now(store, &now, &e), -1);
		ck_assert_int_eq(e.code, ERR_USAGE);
	} else {
		ck_ok(store_now(store, &now, &e));
	}
	END;
}
END_TEST

EACH(only_a_folder_tells_which_it_is)
{
	struct store_folder folder = { 0 };
	struct stat st;

	BEGIN;
	if (is_local(_i)) {
		char path[SCRATCH_PATH];

		ck_assert_int_eq(stat(scratch_path(&dir, "store", path), &st),
				 0);
		ck_assert_int_eq(store_local_folder(store, &folder, &e), 1);
		ck_assert_uint_eq(folder.dev, st.st_dev);
		ck_assert_uint_eq(folder.ino, st.st_ino);
	} else {
		ck_assert_int_eq(store_local_folder(store, &folder, &e), 0);
	}
	END;
}
END_TEST

/* Byte i of a large object, so that any misplaced block shows. */
static uint8_t pattern(uint64_t i)
{
	return (uint8_t)(i * 2654435761U >> 13);
}

static void check_pattern(const char *name, uint64_t offset, size_t n)
{
	static uint8_t out[70000];
	size_t got = 0;

	ck_assert_int_eq(store_read(store, name, offset, out, n, &got, &e), 1);
	ck_assert_uint_eq(got, n);
	for (size_t i = 0; i < n; i++)
		if (out[i] != pattern(offset + i))
			ck_abort_msg("byte %zu differs", (size_t)offset + i);
}

/* Pieces of every size, across the bounds of any buffer inside. */
EACH(pieces_of_all_sizes_make_one_object)
{
	static uint8_t piece[3 << 20];
	static const size_t sizes[] = {
		1,	 4095,	  1 << 20, 7, (1 << 20) - 8, (1 << 20) + 1,
		3 << 20, 2 << 20, 65536,   1,
	};
	struct store_upload *u = NULL;
	uint64_t at = 0;
	uint64_t size = 0;

	BEGIN;
	ck_ok(store_begin(store, "big", 0, 0, &u, &e));
	for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
		for (size_t i = 0; i < sizes[k]; i++)
			piece[i] = pattern(at + i);
		ck_ok(store_append(u, piece, sizes[k], &e));
		memset(piece, 0, sizes[k]);
		at += sizes[k];
	}
	ck_ok(store_commit(u, &e));
	ck_assert_int_eq(store_size(store, "big", &size, &e), 1);
	ck_assert_uint_eq(size, at);
	for (uint64_t off = 0; off + 65536 <= at; off += 65536)
		check_pattern("big", off, 65536);
	check_pattern("big", at - 1000, 1000);
	END;
}
END_TEST

EACH(a_hint_that_is_wrong_does_no_harm)
{
	struct store_upload *u = NULL;

	BEGIN;
	ck_ok(store_begin(store, "h", 3, 0, &u, &e));
	ck_ok(store_append(u, "0123", 4, &e));
	ck_ok(store_append(u, "45", 2, &e));
	ck_ok(store_append(u, "6789", 4, &e));
	ck_ok(store_commit(u, &e));
	expect("h", "0123456789");
	ck_ok(store_begin(store, "i", 1 << 20, 0, &u, &e));
	ck_ok(store_append(u, "0", 1, &e));
	ck_ok(store_commit(u, &e));
	expect("i", "0");
	END;
}
END_TEST

/* 10,000 names in 20 groups, listed in order and whole. */
struct count {
	size_t n;
	char last[STORE_NAME_MAX + 1];
};

static int in_order(void *arg, const struct store_entry *entry, struct err *err)
{
	struct count *c = arg;

	if (strcmp(entry->name, c->last) <= 0)
		return err_set(err, ERR_BUG, "%s after %s", entry->name,
			       c->last);
	(void)snprintf(c->last, sizeof(c->last), "%s", entry->name);
	c->n++;
	return 0;
}

static int in_order_and_read(void *arg, const struct store_entry *entry,
			     struct err *err)
{
	size_t got = 1;
	char c;

	if (store_read(store, entry->name, 0, &c, 1, &got, err) != 1 || got)
		return err_set(err, ERR_BUG, "%s cannot be read", entry->name);
	return in_order(arg, entry, err);
}

/*
 * Once is enough of twenty thousand syncs; of S3's two requests for each name,
 * a page of a listing and some of the next.
 */
static unsigned int many(int backend)
{
	if (backend == S3)
		return 1020;
	if (is_s3(backend))
		return 40;
	return backend == LOCAL_FAULTY ? 1000 : 10000;
}

EACH(many_names)
{
	const unsigned int total = many(_i);
	struct count c = { .n = 0 };
	char name[64];

	BEGIN;
	for (unsigned int i = 0; i < total; i++) {
		const unsigned int k = i * 7919 % total;

		(void)snprintf(name, sizeof(name), "n/%02x/%08x", k % 20,
			       k * 2654435761U);
		put(name, "");
	}
	ck_ok(store_list(store, "", in_order, &c, &e));
	ck_assert_uint_eq(c.n, total);
	c = (struct count){ .n = 0 };
	ck_ok(store_list_reading(store, "", in_order_and_read, &c, &e));
	ck_assert_uint_eq(c.n, total);
	c = (struct count){ .n = 0 };
	ck_ok(store_list(store, "n/07", in_order, &c, &e));
	ck_assert_uint_eq(c.n, total / 20);
	/* Pages, of which the first does not begin at the beginning. */
	c = (struct count){ .n = 0 };
	ck_ok(store_list_after(store, "n/07/~", in_order, &c, &e));
	ck_assert_uint_eq(c.n, total / 20 * 12);
	c = (struct count){ .n = 0 };
	ck_ok(store_list_after(store, "n/", in_order, &c, &e));
	ck_assert_uint_eq(c.n, total);
	END;
}
END_TEST

/* Threads that put, read, replace, list and remove at the same time. */
struct worker {
	pthread_t thread;
	unsigned int number;
	unsigned int won; /* of the names all try to take */
	struct err e;
	int r;
};

#define ROUNDS 20

static int only_valid(void *arg, const struct store_entry *entry,
		      struct err *err)
{
	size_t *n = arg;

	++*n;
	/* A session's object is 4 or 1000 bytes: never a part. */
	if (strcmp(entry->name, "sessions/x") == 0 && entry->size != 4 &&
	    entry->size != 1000)
		return err_set(err, ERR_BUG, "half an object");
	return 0;
}

static int replace_and_read(struct worker *w, unsigned int i)
{
	uint8_t bytes[1000];
	uint8_t out[1001];
	size_t got = 0;
	const size_t n = (w->number + i) % 2 ? 4 : 1000;

	memset(bytes, (int)(w->number * ROUNDS + i), n);
	if (store_put(store, "sessions/x", bytes, n, STORE_REPLACE, &w->e) <
		    0 ||
	    store_read(store, "sessions/x", 0, out, 1001, &got, &w->e) <= 0)
		return -1;
	for (size_t k = 1; k < got; k++)
		if (out[k] != out[0])
			return err_set(&w->e, ERR_BUG, "two versions mixed");
	return got == 4 || got == 1000 ? 0
				       : err_set(&w->e, ERR_BUG, "%zu", got);
}

static int work_once(struct worker *w, unsigned int i)
{
	char name[64];
	size_t n = 0;
	int r;

	(void)snprintf(name, sizeof(name), "own/%u/%u", w->number, i);
	if (store_put(store, name, name, strlen(name), 0, &w->e) < 0)
		return -1;
	(void)snprintf(name, sizeof(name), "shared/%u", i);
	r = store_put(store, name, &w->number, sizeof(w->number), 0, &w->e);
	if (r < 0 && w->e.code != ERR_EXISTS)
		return -1;
	w->won += r == 0;
	if (replace_and_read(w, i) < 0 ||
	    store_list(store, "", only_valid, &n, &w->e) < 0)
		return -1;
	(void)snprintf(name, sizeof(name), "own/%u/%u", w->number, i);
	return i % 2 ? store_remove(store, name, &w->e) : 0;
}

static void *work(void *arg)
{
	struct worker *w = arg;

	for (unsigned int i = 0; i < ROUNDS && w->r == 0; i++)
		w->r = work_once(w, i);
	return NULL;
}

EACH(threads_do_not_disturb_one_another)
{
	struct worker workers[6];
	struct count c = { .n = 0 };
	unsigned int won = 0;

	BEGIN;
	for (unsigned int i = 0; i < 6; i++) {
		workers[i] = (struct worker){ .number = i };
		ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, work,
						&workers[i]),
				 0);
	}
	for (unsigned int i = 0; i < 6; i++) {
		(void)pthread_join(workers[i].thread, NULL);
		if (workers[i].r < 0)
			ck_abort_msg("%s", workers[i].e.text);
		won += workers[i].won;
	}
	/* Where the server does not know of the condition that a name be free,
	 * of two at the same moment both may be told that they have it. */
	if (_i == S3_CARELESS)
		ck_assert_uint_ge(won, ROUNDS);
	else
		ck_assert_uint_eq(won, ROUNDS);
	ck_ok(store_list(store, "", in_order, &c, &e));
	ck_assert_uint_eq(c.n, 6 * ROUNDS / 2 + ROUNDS + 1);
	END;
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_unchecked_fixture(tc, backends_start, backends_stop);
#define ADD(name) tcase_add_loop_test(tc, name, 0, N_BACKENDS)
	ADD(what_was_put_is_got);
	ADD(an_empty_object_is_an_object);
	ADD(a_taken_name_is_refused_and_keeps_its_bytes);
	ADD(replace_replaces_and_also_creates);
	ADD(nothing_is_visible_before_commit);
	ADD(abort_leaves_nothing);
	ADD(two_uploads_of_one_name_let_one_win);
	ADD(ranges_are_short_only_at_the_end);
	ADD(listings_are_in_bytewise_order_of_whole_names);
	ADD(a_prefix_may_end_within_a_component);
	ADD(what_comes_after_a_name_is_one_listing);
	ADD(a_listing_ends_when_the_visitor_says_so);
	ADD(a_visitor_may_change_the_store);
	ADD(removal_is_idempotent);
	ADD(names_that_are_none_are_refused_by_every_call);
	ADD(names_of_all_lengths_up_to_the_limit);
	ADD(an_object_above_the_ceiling_is_corrupt);
	ADD(objects_are_pure);
	ADD(there_is_a_clock_only_where_it_says_so);
	ADD(only_a_folder_tells_which_it_is);
	ADD(pieces_of_all_sizes_make_one_object);
	ADD(a_hint_that_is_wrong_does_no_harm);
	ADD(many_names);
	ADD(threads_do_not_disturb_one_another);
}

CHECK_MAIN("storage/store", cases)

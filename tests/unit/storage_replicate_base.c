/* A snapshot below whose nodes nothing is looked up must still count. */
#include "storage/replicate.h"
#include "tests/support/region.h"
#include "tests/support/repo_store.h"
#include "tests/support/scratch.h"

static struct scratch dir;
static struct keyring_credential *key;
static struct repository *from;
static struct repository *to;
static struct err e;

static int keep_name(void *arg, const struct store_entry *entry,
		     struct err *err)
{
	return buf_add(arg, entry->name, strlen(entry->name) + 1, err);
}

static void remove_all(struct store *s, const char *prefix)
{
	CLEANUP(buf_done) struct buf names;

	buf_init(&names, 1 << 20);
	ck_ok(store_list(s, prefix, keep_name, &names, &e));
	for (size_t at = 0; at < names.len;
	     at += strlen((char *)names.data + at) + 1)
		ck_ok(store_remove(s, (char *)names.data + at, &e));
}

struct story {
	struct object_id session; /* that copied the first snapshot */
	uint64_t copied;
	uint64_t chunks; /* of the last one */
};

/* Its void leaves the manifest out, and its packs are collected. */
static int give_up_first(void *arg, const struct replicate_one *one,
			 struct err *err)
{
	struct story *s = arg;
	struct store *store = repository_store(to);

	s->chunks = one->chunks;
	if (s->copied++)
		return 0;
	remove_all(store, "index/");
	remove_all(store, "data/");
	return repo_give_up(to, s->session, (struct object_id){ { 0 } }, err);
}

static int note_session(void *arg, const struct store_entry *entry,
			struct err *err)
{
	struct object_id first;

	(void)err;
	ck_assert(object_name_parse(OBJECT_MANIFEST, entry->name, &first, arg));
	return 0;
}

START_TEST(a_base_that_counts_no_more_is_not_trusted)
{
	struct story s = { .copied = 0 };
	const struct replicate_options plain = { .host = "h" };
	const struct replicate_options o = { .host = "h",
					     .done = give_up_first,
					     .arg = &s };
	struct random dice = random_seed();
	char tree[SCRATCH_PATH];
	struct replicate_result r;
	uint64_t whole;

	(void)scratch_path(&dir, "tree", tree);
	ck_assert_int_eq(mkdir(tree, 0700), 0);
	region_islands(tree, "a", 1500, &dice);
	(void)region_snapshot(from, tree, "s", 0);
	to = region_add(from, "mem:to", key);
	ck_ok(replicate_run(from, to, &plain, &r, &e));
	whole = r.chunks;
	ck_ok(store_list(repository_store(to), "snapshots/", note_session,
			 &s.session, &e));
	(void)region_snapshot(from, tree, "s", 0);
	(void)region_snapshot(from, tree, "s", 0);
	ck_ok(replicate_run(from, to, &o, &r, &e));
	ck_assert_uint_eq(s.copied, 2);
	/* Its base was the first one when the copying began. */
	ck_assert_uint_ge(s.chunks, whole / 2);
	repository_close(to);
}
END_TEST

static void set_up(void)
{
	char path[SCRATCH_PATH];

	scratch_init(&dir);
	key = region_key(scratch_path(&dir, "key", path));
	region_init("mem:from", key);
	from = region_open("mem:from", key);
}

static void tear_down(void)
{
	repository_close(from);
	keyring_credential_free(key);
	store_mem_forget("mem:from");
	store_mem_forget("mem:to");
	scratch_done(&dir);
}

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, a_base_that_counts_no_more_is_not_trusted);
}

CHECK_MAIN("storage/replicate_base", cases)

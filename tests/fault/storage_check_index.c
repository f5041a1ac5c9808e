/*
 * A damaged block of an index object that is too large to be held in memory
 * stops nothing but what only that block names; check and repair mend it.
 */
#include <errno.h>
#include <sys/stat.h>

#include "storage/repository/check.h"
#include "storage/repository/index.h"
#include "storage/repository/writer.h"
#include "storage/stores/fault.h"
#include "tests/support/random.h"
#include "tests/support/region.h"
#include "tests/support/repo_frame.h"
#include "tests/support/repo_store.h"

/* Of which the index has 17 blocks and a bit. */
#define FILLING 4300

static struct repo_frame f;
static struct random dice;
static struct object_id old_one; /* its chunks are in the large object */
static struct object_id new_one; /* its chunks are in another */
static struct object_name large;
static struct buf bytes; /* of it, undamaged */
static struct err e;

/* A session that stored many chunks and died before it published. */
static void fill(void)
{
	const struct writer_options o = { .purpose = RECORD_SNAPSHOT,
					  .snapshot = object_id_new(),
					  .host = "host" };
	struct chunk_worker *k = NULL;
	struct writer *w = NULL;

	ck_ok(writer_open(f.r, &o, &w, &e));
	ck_ok(chunk_worker_new(repository_keys(f.r), &k, &e));
	for (int i = 0; i < FILLING; i++) {
		struct chunk_id id;
		uint8_t piece[40];

		random_bytes(&dice, piece, sizeof(piece));
		ck_ok(writer_add(w, k, CHUNK_DATA, piece, sizeof(piece), &id,
				 NULL, &e));
	}
	chunk_worker_free(k);
	writer_close(w);
}

static int copy_entry(void *arg, const struct pack_entry *entry,
		      struct err *err)
{
	return index_writer_add(arg, entry, err);
}

static int take_id(void *arg, const struct store_entry *entry, struct err *err)
{
	struct object_id first;
	struct object_id id;

	ck_assert(object_name_parse(OBJECT_INDEX, entry->name, &first, &id));
	return buf_add(arg, id.b, sizeof(id.b), err);
}

/* One object instead of all that there are, as a collector leaves it. */
static void merge(void)
{
	struct store *s = repository_store(f.r);
	CLEANUP(index_writer_free) struct index_writer *w = NULL;
	CLEANUP(index_set_free) struct index_set *x = NULL;
	CLEANUP(buf_done) struct buf ids;
	struct object_id id;

	buf_init(&ids, 4096);
	ck_ok(store_list(s, "index/", take_id, &ids, &e));
	ck_ok(repository_index_open(f.r, true, &x, &e));
	ck_ok(index_writer_open(s, repository_keys(f.r),
				(struct object_id){ { 0 } }, &w, &e));
	ck_ok(index_set_walk(x, copy_entry, w, &e));
	ck_ok(index_writer_commit(w, &id, &e));
	for (size_t at = 0; at < ids.len; at += sizeof(id)) {
		struct object_id was;

		memcpy(was.b, ids.data + at, sizeof(was.b));
		ck_ok(store_remove(s, object_name(OBJECT_INDEX, was).s, &e));
	}
	large = object_name(OBJECT_INDEX, id);
}

static void setup(void)
{
	char name[16];

	dice = (struct random){ 7 };
	repo_frame_init(&f, "mem:check-index");
	ck_assert_int_eq(mkdir(f.from, 0700), 0);
	for (int i = 0; i < 12; i++) {
		(void)snprintf(name, sizeof(name), "old%d", i);
		region_file(f.from, name, 300000, &dice);
	}
	fill();
	old_one = repo_take(&f).id;
	merge();
	scratch_remove(f.from);
	ck_assert_int_eq(mkdir(f.from, 0700), 0);
	region_file(f.from, "new", 300000, &dice);
	repo_frame_reopen(&f);
	new_one = repo_take(&f).id;
	repo_get(repository_store(f.r), large.s, &bytes);
	ck_assert_uint_ge(bytes.len, 18 * INDEX_BLOCK_SIZE);
}

static void teardown(void)
{
	buf_done(&bytes);
	repo_frame_done(&f);
}

static const struct check_finding *look(bool repair, struct check_result *ret)
{
	const struct check_options o = { .level = CHECK_STRUCTURE,
					 .repair = repair,
					 .now = clock_now(),
					 .scratch = f.dir.path };

	ck_ok(check_run(f.r, &o, ret, &e));
	for (uint64_t i = 0; i < ret->n_findings; i++)
		if (strcmp(ret->findings[i].object, large.s) == 0)
			return &ret->findings[i];
	return NULL;
}

static void expect_restored(struct object_id id, unsigned int files)
{
	struct restore_result result;

	repo_frame_reopen(&f);
	result = repo_restore(&f, id);
	ck_assert_uint_eq(result.errors, 0);
	ck_assert_uint_eq(result.files, files);
	scratch_remove(f.to);
}

/* Found, named, mended; and what it does not touch works all the time. */
static void expect_mended(void)
{
	CLEANUP(check_result_done) struct check_result x = { 0 };
	CLEANUP(check_result_done) struct check_result y = { 0 };
	CLEANUP(check_result_done) struct check_result z = { 0 };
	const struct check_finding *found;

	expect_restored(new_one, 1);
	ck_assert_int_eq(repo_take(&f).state, MANIFEST_COMPLETE);
	repo_frame_reopen(&f);
	found = look(false, &x);
	ck_assert(!x.sound);
	ck_assert_ptr_nonnull(found);
	ck_assert(!found->quarantined);
	repo_frame_reopen(&f);
	ck_assert_ptr_nonnull(look(true, &y));
	ck_assert_uint_gt(y.indexed, FILLING);
	ck_assert_uint_eq(y.quarantined, 0);
	repo_frame_reopen(&f);
	found = look(false, &z);
	ck_assert(z.sound);
	ck_assert(found && found->quarantined);
	expect_restored(old_one, 12);
	expect_restored(new_one, 1);
}

struct names {
	char v[64][STORE_NAME_MAX + 1];
	size_t n;
};

static int keep(void *arg, const struct store_entry *entry, struct err *err)
{
	struct names *names = arg;

	(void)err;
	ck_assert_uint_lt(names->n, 64);
	(void)snprintf(names->v[names->n++], STORE_NAME_MAX + 1, "%s",
		       entry->name);
	return 0;
}

/* Back to what the repository was, without what came since. */
static void forget_new(const struct names *was)
{
	struct store *s = repository_store(f.r);
	struct names is = { .n = 0 };

	ck_ok(store_list(s, "", keep, &is, &e));
	for (size_t i = 0; i < is.n; i++) {
		size_t k = 0;

		while (k < was->n && strcmp(was->v[k], is.v[i]) != 0)
			k++;
		if (k == was->n)
			ck_ok(store_remove(s, is.v[i], &e));
	}
	repo_set(s, large.s, bytes.data, bytes.len);
}

START_TEST(a_flipped_bit_in_any_block_is_mended)
{
	struct names was = { .n = 0 };

	ck_ok(store_list(repository_store(f.r), "", keep, &was, &e));
	for (size_t at = OBJECT_HEADER_SIZE + 100; at < bytes.len;
	     at += INDEX_BLOCK_SIZE) {
		bytes.data[at] ^= 1;
		repo_set(repository_store(f.r), large.s, bytes.data, bytes.len);
		bytes.data[at] ^= 1;
		expect_mended();
		forget_new(&was);
	}
}
END_TEST

/* With a disk that cannot read the object any more. */
static void reopen_refusing(void)
{
	const struct fault refuses = { .call = FAULT_READ,
				       .action = FAULT_FAIL,
				       .prefix = large.s,
				       .sys = EIO };
	struct store *s = NULL;

	repository_close(f.r);
	f.r = NULL;
	ck_ok(store_open(f.url, false, &s, &e));
	ck_ok(fault_wrap(s, &s, &e));
	ck_ok(repository_open_on(s, f.credential, &f.r, &e));
	fault_add(s, &refuses);
}

START_TEST(an_object_that_the_disk_refuses_is_mended)
{
	CLEANUP(check_result_done) struct check_result x = { 0 };
	CLEANUP(check_result_done) struct check_result y = { 0 };
	const struct check_finding *found;

	reopen_refusing();
	found = look(true, &x);
	ck_assert(!x.sound);
	ck_assert(found && !found->quarantined);
	ck_assert_uint_gt(x.indexed, FILLING);
	reopen_refusing();
	found = look(false, &y);
	ck_assert(y.sound);
	ck_assert(found && found->quarantined);
	expect_restored(old_one, 12);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_flipped_bit_in_any_block_is_mended);
	tcase_add_test(tc, an_object_that_the_disk_refuses_is_mended);
}

CHECK_MAIN("storage/repository/check, of a large index", cases)

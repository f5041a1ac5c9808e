/* Copying snapshots between regions whose disks, or stores, refuse. */
#include <errno.h>

#include "storage/replicate.h"
#include "storage/repository/deletion.h"
#include "storage/stores/fault.h"
#include "tests/support/region.h"
#include "tests/support/repo_store.h"
#include "tests/support/scratch.h"

static struct scratch dir;
static struct keyring_credential *key;
static struct repository *from;
static struct random dice;
static char tree[SCRATCH_PATH];
static struct err e;

static void set_up(void)
{
	char path[SCRATCH_PATH];

	scratch_init(&dir);
	key = region_key(scratch_path(&dir, "key", path));
	(void)scratch_path(&dir, "tree", tree);
	ck_assert_int_eq(mkdir(tree, 0700), 0);
	dice = random_seed();
	region_file(tree, "a", 3000000, &dice);
	region_file(tree, "b", 1000, &dice);
	region_islands(tree, "c", 1500, &dice);
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

static struct repository *open_faulty(const char *url, const struct fault *x)
{
	struct repository *r = NULL;
	struct store *inner = NULL;
	struct store *faulty = NULL;

	ck_ok(store_open(url, false, &inner, &e));
	ck_ok(fault_wrap(inner, &faulty, &e));
	fault_add(faulty, x);
	ck_ok(repository_open_on(faulty, key, &r, &e));
	return r;
}

/* The last name that begins with prefix. */
static int keep_name(void *arg, const struct store_entry *entry,
		     struct err *err)
{
	(void)err;
	(void)snprintf(arg, STORE_NAME_MAX + 1, "%s", entry->name);
	return 0;
}

static struct fault bad_sector(const char *name)
{
	return (struct fault){ .call = FAULT_READ,
			       .action = FAULT_FAIL,
			       .prefix = name,
			       .sys = EIO };
}

/* Copies from a disk that cannot read name; how many snapshots arrive. */
static uint64_t copy_around(const char *name, struct replicate_result *ret)
{
	static struct region_census c;
	const struct fault bad = bad_sector(name);
	const struct replicate_options o = { .host = "h" };
	struct repository *to = region_add(from, "mem:to", key);
	struct repository *faulty = open_faulty("mem:from", &bad);

	ck_assert_msg(replicate_run(faulty, to, &o, ret, &e) == 0, "%s: %s",
		      name, e.text);
	repository_close(faulty);
	repository_close(to);
	region_census("mem:to", key, &c);
	store_mem_forget("mem:to");
	return c.n;
}

/*
 * What the source's disk cannot read any more costs the snapshots that need
 * it, and no other.
 */
START_TEST(a_bad_sector_costs_one_snapshot)
{
	static const char *const prefixes[] = { "data/", "meta/",
						"snapshots/" };
	char names[3][STORE_NAME_MAX + 1];
	char other[SCRATCH_PATH];
	struct replicate_result r;

	(void)region_snapshot(from, tree, "s", 0);
	for (size_t i = 0; i < 3; i++)
		ck_ok(store_list(repository_store(from), prefixes[i], keep_name,
				 names[i], &e));
	ck_assert_int_eq(mkdir(scratch_path(&dir, "other", other), 0700), 0);
	region_file(other, "d", 300000, &dice);
	(void)region_snapshot(from, other, "t", 0);
	for (size_t i = 0; i < 3; i++) {
		ck_assert_uint_eq(copy_around(names[i], &r), 1);
		ck_assert_uint_eq(r.failed, i < 2);
		ck_assert_uint_eq(r.unopened_from.n, i == 2);
		ck_assert_uint_eq(r.unopened_records.n, 0);
	}
}
END_TEST

START_TEST(a_bad_sector_costs_one_record)
{
	const struct deletion_hold hold = {
		.source = "s", .by = "test", .case_name = "", .custodian = ""
	};
	struct replicate_result r;
	struct object_id id;

	(void)region_snapshot(from, tree, "s", 0);
	ck_ok(deletion_hold(from, &hold, &id, &e));
	ck_assert_uint_eq(copy_around(object_name(OBJECT_HOLD, id).s, &r), 1);
	ck_assert_uint_eq(r.unopened_records.n, 1);
}
END_TEST

/* Nothing can be written there: that is no damage of what is copied. */
START_TEST(a_bad_disk_of_the_target_ends_it)
{
	static const char *const prefixes[] = { "data/", "meta/", "index/",
						"snapshots/" };
	const struct replicate_options o = { .host = "h" };

	(void)region_snapshot(from, tree, "s", 0);
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(*prefixes); i++) {
		struct fault bad = bad_sector(prefixes[i]);
		struct repository *to;
		struct replicate_result r;

		bad.call = FAULT_APPEND;
		repository_close(region_add(from, "mem:to", key));
		to = open_faulty("mem:to", &bad);
		ck_assert_int_eq(replicate_run(from, to, &o, &r, &e), -1);
		ck_assert_int_eq(e.code, ERR_IO);
		repository_close(to);
		store_mem_forget("mem:to");
	}
}
END_TEST

/*
 * It asks for one snapshot, whose manifest is unreadable: that does not mean
 * that there is no such snapshot.
 */
START_TEST(what_cannot_be_read_is_not_called_missing)
{
	const struct object_id ids[] = { region_snapshot(from, tree, "s", 0),
					 { { 1 } } };
	const struct fault bad = bad_sector("snapshots/");
	const struct fault none = bad_sector("nothing/");
	static const enum err_code codes[] = { ERR_IO, ERR_NOT_FOUND,
					       ERR_NOT_FOUND };
	struct repository *to = region_add(from, "mem:to", key);

	/* That another cannot be read says nothing of one that is not there. */
	for (size_t i = 0; i < 3; i++) {
		struct repository *faulty = open_faulty("mem:from",
							i == 2 ? &none : &bad);
		const struct replicate_options o = { .only = &ids[i > 0],
						     .n_only = 1 };
		struct replicate_result r;

		ck_assert_int_eq(replicate_run(faulty, to, &o, &r, &e), -1);
		ck_assert_msg(e.code == codes[i], "%s", e.text);
		ck_assert_int_eq(strstr(e.text, err_errno_text(EIO)) != NULL,
				 i == 0);
		repository_close(faulty);
	}
	repository_close(to);
}
END_TEST

/* A manifest of no sense is damage, and one of a newer program none. */
START_TEST(a_damaged_manifest_is_not_called_missing)
{
	CLEANUP(buf_done) struct buf bytes;
	const struct object_id id = region_snapshot(from, tree, "s", 0);
	const struct replicate_options o = { .only = &id, .n_only = 1 };
	struct repository *to = region_add(from, "mem:to", key);
	struct replicate_result r;
	char name[STORE_NAME_MAX + 1];

	ck_ok(store_list(repository_store(from), "snapshots/", keep_name, name,
			 &e));
	repo_get(repository_store(from), name, &bytes);
	bytes.data[9] = 99; /* the format's version */
	bytes.data[bytes.len - 5] ^= 1;
	repo_set(repository_store(from), name, bytes.data, bytes.len);
	ck_assert_int_eq(replicate_run(from, to, &o, &r, &e), -1);
	ck_assert_msg(e.code == ERR_NEWER, "%s", e.text);
	repo_set(repository_store(from), name, "no manifest", 11);
	ck_assert_int_eq(replicate_run(from, to, &o, &r, &e), -1);
	ck_assert_msg(e.code == ERR_CORRUPT, "%s", e.text);
	repository_close(to);
}
END_TEST

/* An error of a listing is never "nothing there". */
static void list_fails(bool in_source, const char *prefix)
{
	const struct fault f = { .call = FAULT_LIST,
				 .action = FAULT_FAIL,
				 .prefix = prefix };
	const struct replicate_options o = { .host = NULL };
	struct repository *a = in_source ? open_faulty("mem:from", &f)
					 : region_open("mem:from", key);
	struct repository *b = in_source ? region_open("mem:to", key)
					 : open_faulty("mem:to", &f);
	struct replicate_result r;

	ck_assert_msg(replicate_run(a, b, &o, &r, &e) == -1, "%s of %s", prefix,
		      in_source ? "the source" : "the target");
	ck_assert_int_eq(e.code, ERR_IO);
	repository_close(a);
	repository_close(b);
}

static void erase(struct repository *r, struct object_id id)
{
	const struct deletion d = {
		.grace_ms = 1000, .by = "test", .reason = "", .now = clock_now()
	};
	struct repository_snapshot s;
	char text[OBJECT_ID_TEXT];

	object_id_format(id, text);
	manifest_init(&s.manifest);
	ck_ok(repository_find(r, text, NULL, true, &s, NULL, &e));
	ck_ok(deletion_delete(r, &s, &d, &e));
	repository_snapshot_done(&s);
}

START_TEST(listings_that_fail_end_it)
{
	static const char *const prefixes[] = {
		"snapshots/", "tombstones/", "undeletes/",
		"holds/",     "locks/",	     "catalog/",
		"receipts/",  "voids/",	     "quarantine/",
	};
	static struct region_census c;
	const struct replicate_options o = { .host = "h" };
	const struct object_id id = region_snapshot(from, tree, "s", 0);
	struct replicate_result r;
	struct repository *to;

	to = region_add(from, "mem:to", key);
	ck_ok(replicate_run(from, to, &o, &r, &e));
	erase(to, id);
	repository_close(to);
	region_file(tree, "d", 300000, &dice);
	(void)region_snapshot(from, tree, "s", 0);
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(*prefixes); i++) {
		list_fails(true, prefixes[i]);
		list_fails(false, prefixes[i]);
	}
	list_fails(false, "marks/");
	region_census("mem:to", key, &c);
	ck_assert_uint_eq(c.n, 0);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, a_bad_sector_costs_one_snapshot);
	tcase_add_test(tc, a_bad_sector_costs_one_record);
	tcase_add_test(tc, a_bad_disk_of_the_target_ends_it);
	tcase_add_test(tc, what_cannot_be_read_is_not_called_missing);
	tcase_add_test(tc, a_damaged_manifest_is_not_called_missing);
	tcase_add_test(tc, listings_that_fail_end_it);
}

CHECK_MAIN("storage/replicate, disks that refuse", cases)

/* Copying snapshots between regions. */
#include "storage/replicate.h"

#include <errno.h>

#include "storage/repository/deletion.h"
#include "storage/repository/writer.h"
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

/* Whether a collector fences sessions that have just published. */
static bool overslept;

int __real_writer_publish(struct writer *w, struct manifest *m,
			  struct instant received, enum record_clock clock,
			  struct err *err);
int __wrap_writer_publish(struct writer *w, struct manifest *m,
			  struct instant received, enum record_clock clock,
			  struct err *err);
int __wrap_writer_publish(struct writer *w, struct manifest *m,
			  struct instant received, enum record_clock clock,
			  struct err *err)
{
	const int failed = __real_writer_publish(w, m, received, clock, err);

	if (failed || !overslept)
		return failed;
	return repo_give_up(writer_repository(w), writer_session(w),
			    m->snapshot, err);
}

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
	overslept = false;
}

static void tear_down(void)
{
	repository_close(from);
	keyring_credential_free(key);
	store_mem_forget("mem:from");
	store_mem_forget("mem:to");
	store_mem_forget("mem:other");
	scratch_done(&dir);
}

/* A file of its own, so that the next snapshot differs. */
static void touch(const char *name)
{
	region_file(tree, name, 300000, &dice);
}

static struct replicate_result copy(struct repository *to)
{
	const struct replicate_options o = { .host = "h" };
	struct replicate_result r;

	ck_ok(replicate_run(from, to, &o, &r, &e));
	return r;
}

static struct replicate_result copy_to(const char *url)
{
	struct repository *to = region_add(from, url, key);
	const struct replicate_result r = copy(to);

	repository_close(to);
	return r;
}

START_TEST(a_replica_is_the_same)
{
	struct replicate_result r;

	(void)region_snapshot(from, tree, "s", 0);
	touch("d");
	(void)region_snapshot(from, tree, "s", 2); /* with a list of errors */
	touch("e");
	(void)region_snapshot(from, tree, "t", 0);
	r = copy_to("mem:to");
	ck_assert_uint_eq(r.copied, 3);
	ck_assert_uint_eq(r.failed, 0);
	ck_assert(r.pinned);
	ck_assert_uint_gt(r.bytes, 3000000);
	region_expect_same("mem:from", "mem:to", key);
	/* Nothing is left to do, and nothing is done. */
	r = copy_to("mem:to");
	ck_assert_uint_eq(r.copied, 0);
	ck_assert_uint_eq(r.present, 3);
	ck_assert_uint_eq(r.chunks, 0);
	ck_assert_uint_eq(r.records, 0);
}
END_TEST

START_TEST(only_what_is_new_moves)
{
	struct replicate_result r;

	(void)region_snapshot(from, tree, "s", 0);
	(void)copy_to("mem:to");
	touch("d");
	(void)region_snapshot(from, tree, "s", 0);
	r = copy_to("mem:to");
	ck_assert_uint_eq(r.copied, 1);
	ck_assert_uint_ge(r.bytes, 300000);
	ck_assert_uint_lt(r.bytes, 320000);
	region_expect_same("mem:from", "mem:to", key);
}
END_TEST

static int nothing_left(void *arg, const struct store_entry *entry,
			struct err *err)
{
	(void)arg;
	return err_set(err, ERR_BUG, "%s is left", entry->name);
}

START_TEST(sessions_and_pins_go_away)
{
	struct repository *to;

	(void)region_snapshot(from, tree, "s", 0);
	(void)copy_to("mem:to");
	to = region_open("mem:to", key);
	ck_ok(store_list(repository_store(to), "sessions/", nothing_left, NULL,
			 &e));
	ck_ok(store_list(repository_store(from), "pins/", nothing_left, NULL,
			 &e));
	repository_close(to);
}
END_TEST

/* The newest complete one of each source, then the rest, newest first. */
struct order {
	char text[2000];
};

static int note(void *arg, const struct replicate_one *one, struct err *err)
{
	struct order *o = arg;
	char id[OBJECT_ID_TEXT];
	const size_t len = strlen(o->text);

	(void)err;
	object_id_format(one->snapshot->manifest.snapshot, id);
	(void)snprintf(o->text + len, sizeof(o->text) - len, "%s%s\n", id,
		       one->why ? " failed" : "");
	return 0;
}

START_TEST(newest_complete_ones_come_first)
{
	/* In order of receipt; what is expected, as indices of it. */
	static const char *const sources[] = { "s", "t", "s", "t", "s", "s" };
	static const unsigned int errors[] = { 0, 0, 0, 1, 0, 1 };
	static const int expected[] = { 4, 1, 5, 3, 2, 0 };
	struct order got = { "" };
	struct order want = { "" };
	const struct replicate_options o = { .done = note, .arg = &got };
	struct repository *to = region_add(from, "mem:to", key);
	struct replicate_result r;
	struct object_id ids[6];
	char id[OBJECT_ID_TEXT];

	for (int i = 0; i < 6; i++) {
		touch("x");
		ids[i] = region_snapshot(from, tree, sources[i], errors[i]);
	}
	for (int i = 0; i < 6; i++) {
		const size_t len = strlen(want.text);

		object_id_format(ids[expected[i]], id);
		(void)snprintf(want.text + len, sizeof(want.text) - len, "%s\n",
			       id);
	}
	ck_ok(replicate_run(from, to, &o, &r, &e));
	ck_assert_str_eq(got.text, want.text);
	repository_close(to);
}
END_TEST

START_TEST(a_choice_is_obeyed)
{
	struct object_id id = region_snapshot(from, tree, "s", 0);
	const struct replicate_options o = { .only = &id, .n_only = 1 };
	struct repository *to = region_add(from, "mem:to", key);
	struct replicate_result r;

	(void)region_snapshot(from, tree, "s", 0);
	ck_ok(replicate_run(from, to, &o, &r, &e));
	ck_assert_uint_eq(r.copied, 1);
	id = object_id_new();
	ck_assert_int_eq(replicate_run(from, to, &o, &r, &e), -1);
	ck_assert_int_eq(e.code, ERR_NOT_FOUND);
	repository_close(to);
}
END_TEST

/*
 * A node in the target does not prove that what it refers to is there: here
 * metadata arrived, and data did not.
 */
START_TEST(nodes_without_their_data_are_completed)
{
	const struct fault no_data = { .call = FAULT_COMMIT,
				       .action = FAULT_FAIL,
				       .prefix = "data/" };
	const struct replicate_options o = { .host = NULL };
	static struct region_census c;
	struct replicate_result r;
	struct repository *to;
	struct store *inner = NULL;
	struct store *faulty = NULL;

	(void)region_snapshot(from, tree, "s", 0);
	repository_close(region_add(from, "mem:to", key));
	ck_ok(store_open("mem:to", false, &inner, &e));
	ck_ok(fault_wrap(inner, &faulty, &e));
	ck_ok(repository_open_on(faulty, key, &to, &e));
	fault_add(faulty, &no_data);
	ck_assert_int_eq(replicate_run(from, to, &o, &r, &e), -1);
	ck_assert_int_eq(e.code, ERR_IO);
	fault_clear(faulty);
	region_census("mem:to", key, &c);
	ck_assert_uint_eq(c.n, 0);
	repository_close(to);
	(void)copy_to("mem:to");
	region_expect_same("mem:from", "mem:to", key);
}
END_TEST

/*
 * Below the nodes of a snapshot that the target lists nothing is looked up,
 * but not when something there is known to be damaged.
 */
static int first_data(void *arg, const struct pack_entry *entry,
		      struct err *err)
{
	struct pack_entry *first = arg;

	(void)err;
	if (!first->place.len && entry->seal.kind == CHUNK_DATA)
		*first = *entry;
	return 0;
}

START_TEST(a_quarantine_ends_trust)
{
	struct record q;
	struct pack_entry at = { .place = { .len = 0 } };
	struct index_set *index;
	struct repository *to;
	static struct region_census c;

	(void)region_snapshot(from, tree, "s", 0);
	(void)copy_to("mem:to");
	to = region_open("mem:to", key);
	ck_ok(repository_index(to, &index, &e));
	ck_ok(index_set_walk(index, first_data, &at, &e));
	record_init(&q, OBJECT_QUARANTINE);
	q.id = object_id_new();
	ck_ok(record_add_chunk(&q, &at.seal.id, at.place.pack, &e));
	ck_ok(record_put(repository_store(to), repository_keys(to), &q, 0, &e));
	record_done(&q);
	repository_close(to);
	/* The same content: the new snapshot needs the chunk that is
	 * quarantined, and brings it back for both. */
	(void)region_snapshot(from, tree, "s", 0);
	ck_assert_uint_ge(copy_to("mem:to").chunks, 1);
	region_census("mem:to", key, &c);
	ck_assert_uint_eq(c.n, 2);
}
END_TEST

static void find(struct repository *r, struct object_id id,
		 struct repository_snapshot *ret)
{
	char text[OBJECT_ID_TEXT];

	object_id_format(id, text);
	manifest_init(&ret->manifest);
	ck_ok(repository_find(r, text, NULL, true, ret, NULL, &e));
}

static const struct deletion *deletion(void)
{
	static struct deletion d = { .grace_ms = 1000,
				     .by = "test",
				     .reason = "" };

	d.now = clock_now();
	return &d;
}

static void erase(struct repository *r, struct object_id id)
{
	struct repository_snapshot s;

	find(r, id, &s);
	ck_ok(deletion_delete(r, &s, deletion(), &e));
	repository_snapshot_done(&s);
}

static bool is_listed(const char *url, struct object_id id)
{
	static struct region_census c;
	char text[OBJECT_ID_TEXT];

	object_id_format(id, text);
	region_census(url, key, &c);
	return strstr(c.ids, text) != NULL;
}

START_TEST(what_is_deleted_there_stays_deleted)
{
	const struct object_id id = region_snapshot(from, tree, "s", 0);
	struct replicate_result r;
	struct repository *to;

	(void)copy_to("mem:to");
	to = region_open("mem:to", key);
	erase(to, id);
	repository_close(to);
	r = copy_to("mem:to");
	ck_assert_uint_eq(r.copied, 0);
	ck_assert_uint_eq(r.deleted, 1);
	ck_assert(!is_listed("mem:to", id));
	/* Nor does a region that keeps less spread it. */
	ck_assert(is_listed("mem:from", id));
}
END_TEST

START_TEST(deletions_follow_and_so_do_undeletes)
{
	const struct object_id id = region_snapshot(from, tree, "s", 0);
	struct repository_snapshot s;

	(void)copy_to("mem:to");
	erase(from, id);
	(void)copy_to("mem:to");
	ck_assert(!is_listed("mem:to", id));
	find(from, id, &s);
	ck_ok(deletion_undelete(from, &s, deletion(), &e));
	repository_snapshot_done(&s);
	ck_assert_uint_eq(copy_to("mem:to").copied, 1);
	region_expect_same("mem:from", "mem:to", key);
	ck_assert(is_listed("mem:to", id));
}
END_TEST

/* The undelete must not arrive where the data is gone before the data does. */
static int remove_one(void *arg, const struct store_entry *entry,
		      struct err *err)
{
	return buf_add(arg, entry->name, strlen(entry->name) + 1, err);
}

static void remove_all(struct store *s, const char *prefix)
{
	CLEANUP(buf_done) struct buf names;

	buf_init(&names, 1 << 20);
	ck_ok(store_list(s, prefix, remove_one, &names, &e));
	for (size_t at = 0; at < names.len;
	     at += strlen((char *)names.data + at) + 1)
		ck_ok(store_remove(s, (char *)names.data + at, &e));
}

START_TEST(an_undelete_brings_the_data_along)
{
	const struct object_id id = region_snapshot(from, tree, "s", 0);
	struct repository_snapshot s;
	struct store *st = NULL;

	(void)copy_to("mem:to");
	erase(from, id);
	(void)copy_to("mem:to");
	/* A collector of the target did its work, except for the manifest. */
	ck_ok(store_open("mem:to", false, &st, &e));
	remove_all(st, "index/");
	remove_all(st, "data/");
	store_close(st);
	find(from, id, &s);
	ck_ok(deletion_undelete(from, &s, deletion(), &e));
	repository_snapshot_done(&s);
	ck_assert_uint_eq(copy_to("mem:to").copied, 1);
	region_expect_same("mem:from", "mem:to", key);
	ck_assert(is_listed("mem:to", id));
}
END_TEST

/* The collector that fenced it saw a deleted snapshot, and collects it. */
START_TEST(an_undelete_that_overslept_does_not_stay)
{
	const struct object_id id = region_snapshot(from, tree, "s", 0);
	const struct replicate_options o = { .host = NULL };
	struct repository_snapshot s;
	struct replicate_result r;
	struct repository *to;

	(void)copy_to("mem:to");
	erase(from, id);
	(void)copy_to("mem:to");
	find(from, id, &s);
	ck_ok(deletion_undelete(from, &s, deletion(), &e));
	repository_snapshot_done(&s);
	to = region_open("mem:to", key);
	overslept = true;
	ck_assert_int_eq(replicate_run(from, to, &o, &r, &e), -1);
	ck_assert_int_eq(e.code, ERR_BUSY);
	ck_assert(!is_listed("mem:to", id));
	overslept = false;
	ck_assert_uint_eq(copy(to).copied, 1);
	ck_assert(is_listed("mem:to", id));
	repository_close(to);
}
END_TEST

/* One that was deleted and undeleted before the target heard of either. */
START_TEST(a_revoked_tombstone_is_no_deletion)
{
	const struct object_id id = region_snapshot(from, tree, "s", 0);
	struct repository_snapshot s;

	(void)copy_to("mem:to");
	erase(from, id);
	find(from, id, &s);
	ck_ok(deletion_undelete(from, &s, deletion(), &e));
	repository_snapshot_done(&s);
	ck_assert_uint_eq(copy_to("mem:to").records, 2);
	ck_assert(is_listed("mem:to", id));
}
END_TEST

START_TEST(holds_and_locks_go_both_ways)
{
	const struct object_id id = region_snapshot(from, tree, "s", 0);
	struct deletion_hold h = { .snapshots = &id,
				   .n_snapshots = 1,
				   .case_name = "c",
				   .custodian = "",
				   .by = "test" };
	struct repository_snapshot s;
	struct repository *to;
	struct object_id hold;

	(void)copy_to("mem:to");
	to = region_open("mem:to", key);
	h.now = clock_now();
	ck_ok(deletion_hold(to, &h, &hold, &e));
	find(from, id, &s);
	ck_ok(deletion_lock(from, &s, instant_add_ms(h.now, 3600000), "test",
			    h.now, &e));
	repository_snapshot_done(&s);
	(void)copy(to);
	find(from, id, &s);
	ck_assert(s.held);
	repository_snapshot_done(&s);
	find(to, id, &s);
	ck_assert(s.locked);
	repository_snapshot_done(&s);
	ck_ok(deletion_release(from, hold, "test", clock_now(), &e));
	(void)copy(to);
	find(to, id, &s);
	ck_assert(!s.held);
	repository_snapshot_done(&s);
	repository_close(to);
}
END_TEST

/* A snapshot with damage is named; the others go on. */
static int first_name(void *arg, const struct store_entry *entry,
		      struct err *err)
{
	(void)err;
	(void)snprintf(arg, STORE_NAME_MAX + 1, "%s", entry->name);
	return 1;
}

START_TEST(damage_stops_one_snapshot_only)
{
	struct order got = { "" };
	const struct replicate_options o = { .done = note, .arg = &got };
	char name[STORE_NAME_MAX + 1];
	char path[SCRATCH_PATH];
	CLEANUP(buf_done) struct buf b;
	struct store *s = repository_store(from);
	struct repository *to = region_add(from, "mem:to", key);
	struct replicate_result r;

	(void)region_snapshot(from, tree, "s", 0);
	buf_init(&b, 64 << 20);
	ck_ok(store_list(s, "data/", first_name, name, &e));
	ck_assert_int_eq(store_get(s, name, &b, &e), 1);
	memset(b.data + 100, 0, 3000000);
	ck_ok(store_put(s, name, b.data, b.len, STORE_REPLACE, &e));
	ck_assert_int_eq(unlink(scratch_path(&dir, "tree/a", path)), 0);
	ck_assert_int_eq(unlink(scratch_path(&dir, "tree/b", path)), 0);
	ck_assert_int_eq(unlink(scratch_path(&dir, "tree/c", path)), 0);
	touch("z");
	(void)region_snapshot(from, tree, "t", 0);
	ck_ok(replicate_run(from, to, &o, &r, &e));
	ck_assert_uint_eq(r.copied, 1);
	ck_assert_uint_eq(r.failed, 1);
	ck_assert_ptr_nonnull(strstr(got.text, "failed"));
	repository_close(to);
}
END_TEST

START_TEST(different_repositories_are_refused)
{
	const struct replicate_options o = { .host = NULL };
	struct repository *other;
	struct replicate_result r;
	struct store *s = NULL;

	region_init("mem:other", key);
	other = region_open("mem:other", key);
	ck_assert_int_eq(replicate_run(from, other, &o, &r, &e), -1);
	ck_assert_int_eq(e.code, ERR_USAGE);
	ck_assert_int_eq(replicate_settle(repository_store(from),
					  repository_store(other), key, &e),
			 -1);
	ck_assert_int_eq(e.code, ERR_EXISTS);
	repository_close(other);
	ck_ok(store_open("mem:to", true, &s, &e));
	ck_ok(store_put(s, "something", "x", 1, 0, &e));
	ck_assert_int_eq(replicate_settle(repository_store(from), s, key, &e),
			 -1);
	ck_assert_int_eq(e.code, ERR_EXISTS);
	ck_assert_ptr_nonnull(strstr(e.text, "something"));
	store_close(s);
}
END_TEST

/* Interrupted after any number of PUTs, it is finished by the next. */
START_TEST(settling_resumes)
{
	for (uint64_t nth = 1; nth <= 3; nth++) {
		const struct fault stop = { .call = FAULT_COMMIT,
					    .action = FAULT_FAIL,
					    .nth = nth };
		struct repository *r = NULL;
		struct store *inner = NULL;
		struct store *s = NULL;

		ck_ok(store_open("mem:to", true, &inner, &e));
		ck_ok(fault_wrap(inner, &s, &e));
		fault_add(s, &stop);
		ck_assert_int_eq(
			replicate_settle(repository_store(from), s, key, &e),
			-1);
		ck_assert_int_eq(e.code, ERR_IO);
		fault_clear(s);
		/* Until it is finished there is no repository. */
		ck_assert_int_eq(repository_open("mem:to", key, &r, &e), -1);
		ck_assert_int_eq(e.code, ERR_NOT_FOUND);
		ck_ok(replicate_settle(repository_store(from), s, key, &e));
		ck_ok(replicate_settle(repository_store(from), s, key, &e));
		store_close(s);
		repository_close(region_open("mem:to", key));
		store_mem_forget("mem:to");
	}
}
END_TEST

struct slots {
	struct object_id mine;
	struct object_id other;
};

static int see_slot(void *arg, const struct keyring_slot *slot, struct err *err)
{
	struct slots *s = arg;

	(void)err;
	*(slot->is_yours ? &s->mine : &s->other) = slot->id;
	return 0;
}

START_TEST(keys_follow)
{
	char path[SCRATCH_PATH];
	struct keyring_credential *second = region_key(
		scratch_path(&dir, "second", path));
	struct repository *to = region_add(from, "mem:to", key);
	struct store *s = repository_store(to);
	struct repository *r = NULL;
	struct object_id slot;
	struct slots slots;
	uint64_t size;

	ck_ok(keyring_add(repository_store(from), key, second, "2", clock_now(),
			  &slot, &e));
	ck_assert_int_eq(repository_open("mem:to", second, &r, &e), -1);
	ck_ok(replicate_settle(repository_store(from), s, key, &e));
	repository_close(region_open("mem:to", second));
	/* Revoked, it opens nothing in either region, nor lies about. */
	ck_ok(keyring_revoke(repository_store(from), key, slot, clock_now(),
			     &e));
	ck_ok(replicate_settle(repository_store(from), s, key, &e));
	ck_assert_int_eq(repository_open("mem:to", second, &r, &e), -1);
	ck_assert_int_eq(e.code, ERR_BAD_KEY);
	ck_assert_int_eq(
		store_size(s, object_name(OBJECT_SLOT, slot).s, &size, &e), 0);
	ck_assert_int_eq(store_size(s, "keyring/00000001", &size, &e), 0);
	ck_ok(keyring_list(s, key, see_slot, &slots, &e));
	/* What is sealed under the new epoch arrives. */
	repository_close(from);
	from = region_open("mem:from", key);
	(void)region_snapshot(from, tree, "s", 0);
	(void)copy_to("mem:to");
	region_expect_same("mem:from", "mem:to", key);
	repository_close(to);
	keyring_credential_free(second);
}
END_TEST

START_TEST(keys_changed_apart_are_refused)
{
	char path[SCRATCH_PATH];
	struct keyring_credential *second = region_key(
		scratch_path(&dir, "second", path));
	struct repository *to = region_add(from, "mem:to", key);
	struct object_id slot;

	ck_ok(keyring_add(repository_store(from), key, second, "2", clock_now(),
			  &slot, &e));
	ck_ok(keyring_add(repository_store(to), key, second, "2", clock_now(),
			  &slot, &e));
	ck_assert_int_eq(replicate_settle(repository_store(from),
					  repository_store(to), key, &e),
			 -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	repository_close(to);
	keyring_credential_free(second);
}
END_TEST

/* Cancelled before it begins, it does nothing and says so. */
START_TEST(can_be_cancelled)
{
	static atomic_bool stop = true;
	const struct replicate_options o = { .cancel = &stop };
	struct repository *to = region_add(from, "mem:to", key);
	static struct region_census c;
	struct replicate_result r;

	(void)region_snapshot(from, tree, "s", 0);
	ck_assert_int_eq(replicate_run(from, to, &o, &r, &e), -1);
	ck_assert_int_eq(e.code, ERR_INTERRUPTED);
	repository_close(to);
	region_census("mem:to", key, &c);
	ck_assert_uint_eq(c.n, 0);
}
END_TEST

static int see(void *arg, const struct repository_snapshot *s,
	       unsigned int where, struct err *err)
{
	char *text = arg;
	const size_t len = strlen(text);

	(void)err;
	(void)snprintf(text + len, 100 - len, "%s%u ", s->manifest.source,
		       where);
	return 0;
}

START_TEST(an_inventory_tells_where_each_is)
{
	const struct object_id gone = region_snapshot(from, tree, "gone", 0);
	struct repository *to;
	struct replicate_compared unopened = { { .n = 9 }, { .n = 9 } };
	char text[100] = "";

	(void)region_snapshot(from, tree, "both", 0);
	(void)copy_to("mem:to");
	(void)region_snapshot(from, tree, "lag", 0);
	to = region_open("mem:to", key);
	erase(to, gone);
	(void)region_snapshot(to, tree, "there", 0);
	ck_ok(replicate_compare(from, to, see, NULL, text, &unopened, &e));
	ck_assert_str_eq(text, "gone5 both19 lag1 there2 ");
	ck_assert(unopened.from.n == 0 && unopened.to.n == 0);
	repository_close(to);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, a_replica_is_the_same);
	tcase_add_test(tc, only_what_is_new_moves);
	tcase_add_test(tc, sessions_and_pins_go_away);
	tcase_add_test(tc, newest_complete_ones_come_first);
	tcase_add_test(tc, a_choice_is_obeyed);
	tcase_add_test(tc, nodes_without_their_data_are_completed);
	tcase_add_test(tc, a_quarantine_ends_trust);
	tcase_add_test(tc, what_is_deleted_there_stays_deleted);
	tcase_add_test(tc, deletions_follow_and_so_do_undeletes);
	tcase_add_test(tc, an_undelete_brings_the_data_along);
	tcase_add_test(tc, an_undelete_that_overslept_does_not_stay);
	tcase_add_test(tc, a_revoked_tombstone_is_no_deletion);
	tcase_add_test(tc, holds_and_locks_go_both_ways);
	tcase_add_test(tc, damage_stops_one_snapshot_only);
	tcase_add_test(tc, different_repositories_are_refused);
	tcase_add_test(tc, settling_resumes);
	tcase_add_test(tc, keys_follow);
	tcase_add_test(tc, keys_changed_apart_are_refused);
	tcase_add_test(tc, can_be_cancelled);
	tcase_add_test(tc, an_inventory_tells_where_each_is);
}

CHECK_MAIN("storage/replicate", cases)

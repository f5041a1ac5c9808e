/*
 * Deleting and what forbids it, and which snapshot a person means:
 * storage/repository/deletion.h and repository_find().
 */
#include "storage/repository/deletion.h"

#include <sys/stat.h>

#include "storage/repository/writer.h"
#include "tests/support/repo_frame.h"
#include "tests/support/repo_store.h"

#define NOW 1700000000

static struct repo_frame f;
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
	return repo_give_up(f.r, writer_session(w), m->snapshot, err);
}

static void set_up(void)
{
	overslept = false;
	repo_frame_init(&f, "mem:deletion");
	err_clear(&e);
}

static void tear_down(void)
{
	repo_frame_done(&f);
}

static struct object_id id_of(uint8_t first)
{
	struct object_id id = { { first, 0xcd } };

	id.b[15] = 1;
	return id;
}

/* An empty snapshot of source, received at NOW + at. */
static struct object_id publish(uint8_t first, const char *source, int at,
				enum manifest_state state)
{
	const struct writer_options o = { .purpose = RECORD_SNAPSHOT,
					  .snapshot = id_of(first),
					  .host = "host" };
	CLEANUP(writer_close) struct writer *w = NULL;
	struct manifest m;

	ck_ok(writer_open(f.r, &o, &w, &e));
	manifest_init(&m);
	m.snapshot = o.snapshot;
	(void)snprintf(m.source, sizeof(m.source), "%s", source);
	m.state = state;
	m.begun = (struct instant){ NOW + at, 0 };
	m.ended = m.begun;
	ck_ok(writer_publish(w, &m, m.ended, RECORD_PROCESS, &e));
	manifest_done(&m);
	return o.snapshot;
}

static struct object_id publish_one(void)
{
	return publish(0xab, "web", 0, MANIFEST_COMPLETE);
}

/* What is true of it now; asserts that it is there. */
static struct repository_snapshot look(struct object_id id)
{
	struct repository_snapshot s;
	char text[OBJECT_ID_TEXT];

	object_id_format(id, text);
	manifest_init(&s.manifest);
	ck_ok(repository_find(f.r, text, NULL, true, &s, NULL, &e));
	ck_assert(object_id_equal(s.manifest.snapshot, id));
	return s;
}

static const struct deletion asked = {
	.now = { NOW + 100, 0 }, .grace_ms = 5000, .by = "me", .reason = ""
};

static int delete_it(struct object_id id)
{
	CLEANUP(repository_snapshot_done)
	struct repository_snapshot s = look(id);

	return deletion_delete(f.r, &s, &asked, &e);
}

static int undelete_it(struct object_id id)
{
	CLEANUP(repository_snapshot_done)
	struct repository_snapshot s = look(id);

	return deletion_undelete(f.r, &s, &asked, &e);
}

static bool is_deleted(struct object_id id)
{
	CLEANUP(repository_snapshot_done)
	struct repository_snapshot s = look(id);

	return s.deleted;
}

static bool is_held(struct object_id id)
{
	CLEANUP(repository_snapshot_done)
	struct repository_snapshot s = look(id);

	return s.held;
}

static int lock_until(struct object_id id, int at)
{
	CLEANUP(repository_snapshot_done)
	struct repository_snapshot s = look(id);

	return deletion_lock(f.r, &s, (struct instant){ NOW + at, 0 }, "me",
			     (struct instant){ NOW, 0 }, &e);
}

static struct object_id hold(const struct object_id *snapshots, size_t n,
			     const char *source)
{
	const struct deletion_hold h = { .snapshots = snapshots,
					 .n_snapshots = n,
					 .source = source,
					 .case_name = "case",
					 .custodian = "she",
					 .by = "me",
					 .now = { NOW, 0 } };
	struct object_id id = { { 0 } };

	ck_ok(deletion_hold(f.r, &h, &id, &e));
	return id;
}

static int release(struct object_id id)
{
	return deletion_release(f.r, id, "me", (struct instant){ NOW, 0 }, &e);
}

/* An object of that name that no key opens. */
static void put_rubbish(struct object_name name)
{
	static const uint8_t rubbish[256] = { 0x5a };

	repo_set(repository_store(f.r), name.s, rubbish, sizeof(rubbish));
}

static int find(const char *text, const char *source, struct object_id *ret,
		struct object_id *ret_newer_partial)
{
	struct repository_snapshot s;

	manifest_init(&s.manifest);
	if (repository_find(f.r, text, source, false, &s, ret_newer_partial,
			    &e))
		return -1;
	*ret = s.manifest.snapshot;
	repository_snapshot_done(&s);
	return 0;
}

/* The records of a kind, without their lists. */
struct recorded {
	struct record r[4];
	size_t n;
};

static int keep_record(void *arg, const char *name, const struct record *r,
		       const struct err *why, struct err *_e)
{
	struct recorded *all = (struct recorded *)arg;

	(void)name;
	(void)why;
	(void)_e;
	ck_assert_ptr_nonnull(r);
	ck_assert_uint_lt(all->n, 4);
	all->r[all->n] = *r;
	all->r[all->n].ids = NULL;
	all->r[all->n++].chunks = NULL;
	return 0;
}

static struct recorded recorded(enum object_kind kind)
{
	struct recorded all = { .n = 0 };

	ck_ok(record_list(repository_store(f.r), repository_keys(f.r), kind,
			  keep_record, &all, &e));
	return all;
}

START_TEST(a_deletion_says_who_why_and_until_when)
{
	const struct deletion why = { .now = { NOW + 100, 0 },
				      .grace_ms = 5000,
				      .by = "me",
				      .reason = "too large" };
	const struct object_id id = publish_one();
	struct repository_snapshot s = look(id);
	struct recorded all;

	ck_assert_int_eq(deletion_delete(f.r, &s, &why, &e), 0);
	repository_snapshot_done(&s);
	all = recorded(OBJECT_TOMBSTONE);
	ck_assert_uint_eq(all.n, 1);
	ck_assert(object_id_equal(all.r[0].snapshot, id));
	ck_assert(!object_id_is_zero(all.r[0].id));
	ck_assert_str_eq(all.r[0].by, "me");
	ck_assert_str_eq(all.r[0].reason, "too large");
	ck_assert_int_eq(all.r[0].time.sec, NOW + 100);
	ck_assert_int_eq(all.r[0].until.sec, NOW + 105);
	/* Once more is as good as once. */
	ck_assert_int_eq(delete_it(id), 0);
	ck_assert_uint_eq(recorded(OBJECT_TOMBSTONE).n, 1);
	ck_assert_int_eq(undelete_it(id), 0);
	all = recorded(OBJECT_UNDELETE);
	ck_assert_uint_eq(all.n, 1);
	ck_assert(object_id_equal(all.r[0].snapshot, id));
	ck_assert(!object_id_is_zero(all.r[0].session));
	ck_assert_str_eq(all.r[0].by, "me");
	ck_assert_int_eq(all.r[0].time.sec, NOW + 100);
	ck_assert_uint_eq(all.r[0].n_ids, 1);
}
END_TEST

START_TEST(undelete_brings_back_no_other)
{
	const struct object_id id = publish_one();
	const struct object_id other = publish(0x12, "db", 1,
					       MANIFEST_COMPLETE);

	ck_ok(delete_it(id));
	ck_ok(delete_it(other));
	ck_ok(undelete_it(id));
	ck_assert(!is_deleted(id));
	ck_assert(is_deleted(other));
	ck_assert_uint_eq(recorded(OBJECT_UNDELETE).r[0].n_ids, 1);
}
END_TEST

/* One that does not open deletes nothing, and is in nobody's way. */
START_TEST(undelete_passes_over_a_tombstone_that_does_not_open)
{
	const struct object_id id = publish_one();

	put_rubbish(object_name_pair(OBJECT_TOMBSTONE, id, id_of(0x77)));
	ck_ok(delete_it(id));
	ck_assert(is_deleted(id));
	ck_assert_int_eq(undelete_it(id), 0);
	ck_assert(!is_deleted(id));
}
END_TEST

START_TEST(deletes_until_the_grace_period_ends)
{
	const struct object_id id = publish_one();
	struct repository_snapshot s;
	struct object_id found;

	ck_assert(!is_deleted(id));
	ck_ok(delete_it(id));
	s = look(id);
	ck_assert(s.deleted);
	ck_assert_int_eq(s.deleted_at.sec, NOW + 100);
	repository_snapshot_done(&s);
	ck_assert_int_eq(find("latest", NULL, &found, NULL), -1);
	ck_assert_int_eq(e.code, ERR_NOT_FOUND);
	ck_assert_int_eq(find("abcd", NULL, &found, NULL), -1);
	ck_assert_int_eq(e.code, ERR_NOT_FOUND);
	ck_ok(delete_it(id)); /* stays as it is */
}
END_TEST

START_TEST(undelete_brings_back)
{
	const struct object_id id = publish_one();
	struct object_id found;

	ck_assert_int_eq(undelete_it(id), -1);
	ck_assert_int_eq(e.code, ERR_NOT_FOUND);
	ck_ok(delete_it(id));
	ck_ok(undelete_it(id));
	ck_assert(!is_deleted(id));
	ck_ok(find("latest", NULL, &found, NULL));
	ck_assert(object_id_equal(found, id));
	ck_ok(delete_it(id)); /* a later tombstone is not revoked */
	ck_assert(is_deleted(id));
}
END_TEST

static int last_name(void *arg, const struct store_entry *entry, struct err *_e)
{
	char *name = (char *)arg;

	(void)_e;
	(void)snprintf(name, STORE_NAME_MAX + 1, "%s", entry->name);
	return 0;
}

/* Remove all whose names begin with prefix. */
static void remove_all(const char *prefix)
{
	struct store *s = repository_store(f.r);
	char name[STORE_NAME_MAX + 1];

	for (;;) {
		name[0] = '\0';
		ck_ok(store_list(s, prefix, last_name, name, &e));
		if (!name[0])
			break;
		ck_ok(store_remove(s, name, &e));
	}
}

START_TEST(undelete_refuses_what_is_gone)
{
	char path[SCRATCH_PATH];
	struct object_id id;
	FILE *file;

	ck_assert_int_eq(mkdir(f.from, 0700), 0);
	file = fopen(scratch_path(&f.dir, "from/a", path), "w");
	ck_assert_ptr_nonnull(file);
	ck_assert_int_ge(fputs("some bytes", file), 0);
	ck_assert_int_eq(fclose(file), 0);
	id = repo_take(&f).id;
	ck_ok(delete_it(id));
	remove_all("index/");
	repo_frame_reopen(&f);
	ck_assert_int_eq(undelete_it(id), -1);
	ck_assert_int_eq(e.code, ERR_NOT_FOUND);
	ck_assert(is_deleted(id));
}
END_TEST

/* Give a chunk up wherever it lies. */
static void quarantine(const struct chunk_id *id)
{
	struct index_set *index;
	struct pack_entry at;
	struct record q;

	ck_ok(repository_index(f.r, &index, &e));
	ck_assert_int_eq(index_set_find(index, id, &at, &e), 1);
	record_init(&q, OBJECT_QUARANTINE);
	q.id = object_id_new();
	ck_ok(record_add_chunk(&q, id, at.place.pack, &e));
	ck_ok(record_put(repository_store(f.r), repository_keys(f.r), &q, 0,
			 &e));
	record_done(&q);
}

/* Whichever of what the manifest names is missing. */
START_TEST(undelete_refuses_without_any_part)
{
	CLEANUP(snapshot_errors_free) struct snapshot_errors *errors = NULL;
	CLEANUP(source_close) struct source *from = NULL;
	const char *const paths[] = { f.from };
	struct snapshot_options o = { .no_parent = true };
	struct snapshot_result got;
	struct chunk_id parts[3];

	ck_assert_int_eq(mkdir(f.from, 0700), 0);
	ck_ok(snapshot_errors_new(&errors, &e));
	ck_ok(files_open(
		&(struct files_options){ .paths = paths, .path_count = 1 },
		&from, &e));
	snapshot_report(errors, "/gone", 5, "it is not there");
	ck_ok(repo_take_source(&f, from, errors, &o, &got, &e));
	for (size_t i = 0; i < 3; i++) {
		struct repository_snapshot s = look(got.id);

		parts[0] = s.manifest.tree.id;
		parts[1] = s.manifest.hints.id;
		parts[2] = s.manifest.error_list;
		repository_snapshot_done(&s);
		ck_ok(delete_it(got.id));
		ck_ok(undelete_it(got.id));
		ck_ok(delete_it(got.id));
		quarantine(&parts[i]);
		ck_assert_int_eq(undelete_it(got.id), -1);
		ck_assert_int_eq(e.code, ERR_NOT_FOUND);
		ck_assert(is_deleted(got.id));
		/* It is whole again, and so is the snapshot. */
		remove_all("quarantine/");
		ck_ok(undelete_it(got.id));
	}
}
END_TEST

/* The collector that fenced it saw a deleted snapshot, and collects it. */
START_TEST(an_undelete_that_overslept_is_none)
{
	const struct object_id id = publish_one();
	struct repository_snapshot s;

	ck_ok(delete_it(id));
	overslept = true;
	ck_assert_int_eq(undelete_it(id), -1);
	ck_assert_int_eq(e.code, ERR_BUSY);
	s = look(id);
	ck_assert(s.deleted);
	ck_assert_int_eq(s.deleted_at.sec, NOW + 100);
	ck_assert_int_eq(s.restorable_until.sec, NOW + 105);
	repository_snapshot_done(&s);
	overslept = false;
	ck_ok(undelete_it(id));
	ck_assert(!is_deleted(id));
}
END_TEST

START_TEST(holds_deny_until_released)
{
	const struct object_id id = publish_one();
	const struct object_id other = publish(0x12, "db", 1,
					       MANIFEST_COMPLETE);
	const struct object_id h = hold(&id, 1, NULL);

	ck_assert(is_held(id));
	ck_assert(!is_held(other));
	ck_assert_int_eq(delete_it(id), -1);
	ck_assert_int_eq(e.code, ERR_DENIED);
	ck_assert(!is_deleted(id));
	ck_ok(delete_it(other));
	ck_ok(release(h));
	ck_assert(!is_held(id));
	ck_ok(delete_it(id));
	ck_assert(is_deleted(id));
}
END_TEST

/* Between looking and deleting, another one's hold or lock may come. */
START_TEST(what_came_since_it_was_listed_denies)
{
	const struct object_id ids[] = {
		publish_one(), publish(0x12, "db", 1, MANIFEST_COMPLETE),
		publish(0x13, "web", 2, MANIFEST_COMPLETE)
	};
	struct repository_snapshot before[3];

	for (size_t i = 0; i < 3; i++)
		before[i] = look(ids[i]);
	(void)hold(&ids[0], 1, NULL);
	ck_ok(lock_until(ids[1], 200));
	for (size_t i = 0; i < 2; i++) {
		ck_assert_int_eq(deletion_delete(f.r, &before[i], &asked, &e),
				 -1);
		ck_assert_int_eq(e.code, ERR_DENIED);
		ck_assert(!is_deleted(ids[i]));
	}
	ck_ok(deletion_delete(f.r, &before[2], &asked, &e));
	for (size_t i = 0; i < 3; i++)
		repository_snapshot_done(&before[i]);
}
END_TEST

START_TEST(holds_name_sources)
{
	const struct object_id id = publish_one();
	const struct object_id other = publish(0x12, "db", 1,
					       MANIFEST_COMPLETE);

	(void)hold(NULL, 0, "web");
	ck_assert(is_held(id));
	ck_assert(!is_held(other));
}
END_TEST

START_TEST(releases_only_what_is_in_force)
{
	const struct object_id id = publish_one();
	const struct object_id h = hold(&id, 1, NULL);
	const struct object_id again = hold(&id, 1, NULL);

	ck_assert_int_eq(release(id), -1);
	ck_assert_int_eq(e.code, ERR_NOT_FOUND);
	ck_ok(release(h));
	ck_assert_int_eq(release(h), -1);
	ck_assert_int_eq(e.code, ERR_NOT_FOUND);
	ck_assert(is_held(id)); /* by the other */
	ck_ok(release(again));
	ck_assert(!is_held(id));
}
END_TEST

START_TEST(a_hold_says_who_what_and_why)
{
	const struct object_id id = publish_one();
	const struct object_id h = hold(&id, 1, "web");
	struct object_id releases;
	struct recorded all = recorded(OBJECT_HOLD);

	ck_assert_uint_eq(all.n, 1);
	ck_assert(object_id_equal(all.r[0].id, h));
	ck_assert_str_eq(all.r[0].by, "me");
	ck_assert_str_eq(all.r[0].reason, "case");
	ck_assert_str_eq(all.r[0].custodian, "she");
	ck_assert_str_eq(all.r[0].source, "web");
	ck_assert_int_eq(all.r[0].time.sec, NOW);
	ck_assert_uint_eq(all.r[0].n_ids, 1);
	ck_assert_int_eq(release(h), 0);
	all = recorded(OBJECT_HOLD);
	ck_assert_uint_eq(all.n, 2);
	if (object_id_equal(all.r[0].id, h))
		all.r[0] = all.r[1];
	ck_assert(object_id_equal(all.r[0].releases, h));
	ck_assert_str_eq(all.r[0].by, "me");
	ck_assert_int_eq(all.r[0].time.sec, NOW);
	/* A release is no hold. */
	releases = all.r[0].id;
	ck_assert_int_eq(release(releases), -1);
	ck_assert_int_eq(e.code, ERR_NOT_FOUND);
	ck_assert_uint_eq(recorded(OBJECT_HOLD).n, 2);
}
END_TEST

START_TEST(a_hold_names_what_can_be_a_source)
{
	char source[RECORD_TEXT_MAX + 2];
	const struct deletion_hold h = { .source = source, .by = "me" };
	struct object_id id;

	memset(source, 'a', sizeof(source));
	source[RECORD_TEXT_MAX + 1] = '\0';
	ck_assert_int_eq(deletion_hold(f.r, &h, &id, &e), -1);
	ck_assert_int_eq(e.code, ERR_USAGE);
	source[RECORD_TEXT_MAX] = '\0';
	ck_assert_int_eq(deletion_hold(f.r, &h, &id, &e), 0);
	ck_assert_str_eq(recorded(OBJECT_HOLD).r[0].source, source);
	memcpy(source, "a\xff", 3);
	ck_assert_int_eq(deletion_hold(f.r, &h, &id, &e), -1);
	ck_assert_int_eq(e.code, ERR_USAGE);
	ck_assert_uint_eq(recorded(OBJECT_HOLD).n, 1);
}
END_TEST

START_TEST(a_hold_that_does_not_open_holds_all)
{
	const struct object_id id = publish_one();
	const struct object_id other = publish(0x12, "db", 1,
					       MANIFEST_COMPLETE);

	put_rubbish(object_name(OBJECT_HOLD, id_of(0x77)));
	ck_assert(is_held(id));
	ck_assert(is_held(other));
	ck_assert_int_eq(delete_it(other), -1);
	ck_assert_int_eq(e.code, ERR_DENIED);
}
END_TEST

START_TEST(locks_deny_until_they_end)
{
	const struct object_id id = publish_one();

	ck_ok(lock_until(id, 200));
	ck_ok(lock_until(id, 50)); /* never shortened */
	ck_assert_int_eq(delete_it(id), -1);
	ck_assert_int_eq(e.code, ERR_DENIED);
	ck_assert(!is_deleted(id));
}
END_TEST

/* What is no later than the one in force writes nothing. */
START_TEST(a_lock_is_lengthened_only)
{
	const struct object_id id = publish_one();
	char text[OBJECT_ID_TEXT];
	char until[INSTANT_TEXT];
	struct recorded all;

	ck_assert_int_eq(lock_until(id, 200), 0);
	all = recorded(OBJECT_LOCK);
	ck_assert_uint_eq(all.n, 1);
	ck_assert(object_id_equal(all.r[0].snapshot, id));
	ck_assert(!object_id_is_zero(all.r[0].id));
	ck_assert_int_eq(all.r[0].until.sec, NOW + 200);
	ck_assert_int_eq(all.r[0].time.sec, NOW);
	ck_assert_str_eq(all.r[0].by, "me");
	ck_assert_int_eq(lock_until(id, 200), 0);
	ck_assert_int_eq(lock_until(id, 50), 0);
	ck_assert_uint_eq(recorded(OBJECT_LOCK).n, 1);
	ck_assert_int_eq(lock_until(id, 201), 0);
	ck_assert_uint_eq(recorded(OBJECT_LOCK).n, 2);
	ck_assert_int_eq(delete_it(id), -1);
	object_id_format(id, text);
	instant_format((struct instant){ NOW + 201, 0 }, until);
	ck_assert_ptr_nonnull(strstr(e.text, text));
	ck_assert_ptr_nonnull(strstr(e.text, until));
}
END_TEST

START_TEST(a_lock_is_over_when_it_ends)
{
	const struct object_id id = publish_one();

	ck_ok(lock_until(id, 100));
	ck_ok(delete_it(id));
	ck_assert(is_deleted(id));
}
END_TEST

START_TEST(locks_end)
{
	const struct object_id id = publish_one();

	ck_ok(lock_until(id, 99));
	ck_ok(delete_it(id));
	ck_assert(is_deleted(id));
}
END_TEST

START_TEST(a_lock_that_does_not_open_has_no_end)
{
	const struct object_id id = publish_one();

	put_rubbish(object_name_pair(OBJECT_LOCK, id, id_of(0x77)));
	ck_assert_int_eq(delete_it(id), -1);
	ck_assert_int_eq(e.code, ERR_DENIED);
}
END_TEST

START_TEST(a_tombstone_that_does_not_open_deletes_nothing)
{
	const struct object_id id = publish_one();

	put_rubbish(object_name_pair(OBJECT_TOMBSTONE, id, id_of(0x77)));
	ck_assert(!is_deleted(id));
}
END_TEST

START_TEST(a_void_annuls_a_manifest)
{
	const struct object_id id = publish_one();
	struct repository_snapshot s = look(id);
	struct object_id found;
	struct record v;

	record_init(&v, OBJECT_VOID);
	v.id = object_id_new();
	v.session = s.manifest.session;
	v.time = (struct instant){ NOW, 0 };
	repository_snapshot_done(&s);
	ck_ok(record_put(repository_store(f.r), repository_keys(f.r), &v, 0,
			 &e));
	ck_assert_int_eq(find("abcd", NULL, &found, NULL), -1);
	ck_assert_int_eq(e.code, ERR_NOT_FOUND);
}
END_TEST

static void put_void(struct object_id session, const struct object_id *counts)
{
	struct record v;

	record_init(&v, OBJECT_VOID);
	v.id = object_id_new();
	v.session = session;
	if (counts)
		ck_ok(record_add_id(&v, *counts, &e));
	ck_ok(record_put(repository_store(f.r), repository_keys(f.r), &v, 0,
			 &e));
	record_done(&v);
}

/* Two collectors gave it up: what both saw counts, and that alone. */
START_TEST(a_manifest_that_every_void_names_counts)
{
	const struct object_id id = publish_one();
	struct repository_snapshot s = look(id);
	const struct object_id session = s.manifest.session;
	struct object_id found;

	repository_snapshot_done(&s);
	put_void(session, &id);
	put_void(session, &id);
	ck_ok(find("abcd", NULL, &found, NULL));
	put_void(session, NULL);
	ck_assert_int_eq(find("abcd", NULL, &found, NULL), -1);
	ck_assert_int_eq(e.code, ERR_NOT_FOUND);
}
END_TEST

/* Nobody can tell what it names: what its session wrote can be read. */
START_TEST(a_void_that_does_not_open_hides_nothing)
{
	const struct object_id id = publish_one();
	struct repository_snapshot s = look(id);
	struct object_id found;

	put_rubbish(
		object_name_pair(OBJECT_VOID, s.manifest.session, id_of(0x77)));
	repository_snapshot_done(&s);
	ck_ok(find("abcd", NULL, &found, NULL));
}
END_TEST

START_TEST(latest_is_the_newest_complete_one)
{
	const struct object_id newest = publish(0x11, "web", 20,
						MANIFEST_COMPLETE);
	struct object_id partial = { { 1 } };
	struct object_id found;

	(void)publish(0x22, "web", 10, MANIFEST_COMPLETE);
	(void)publish(0x33, "web", 15, MANIFEST_PARTIAL);
	ck_ok(find("latest", NULL, &found, &partial));
	ck_assert(object_id_equal(found, newest));
	ck_assert(object_id_is_zero(partial)); /* it is older */
	(void)publish(0x44, "web", 30, MANIFEST_PARTIAL);
	ck_ok(find("latest", NULL, &found, &partial));
	ck_assert(object_id_equal(found, newest));
	ck_assert(object_id_equal(partial, id_of(0x44)));
}
END_TEST

/* What lies at the name of the manifest of s, from now on. */
static void break_manifest(struct object_id id)
{
	struct repository_snapshot s = look(id);

	put_rubbish(object_name_pair(OBJECT_MANIFEST, id, s.manifest.session));
	repository_snapshot_done(&s);
}

/* An older one in place of the newest would be taken for it. */
START_TEST(latest_is_refused_when_a_newer_one_does_not_open)
{
	const struct object_id old = publish(0x11, "web", 10,
					     MANIFEST_COMPLETE);
	const struct object_id newest = publish(0x22, "web", 20,
						MANIFEST_COMPLETE);
	char text[OBJECT_ID_TEXT];
	struct object_id found;

	break_manifest(newest);
	ck_assert_int_eq(find("latest", NULL, &found, NULL), -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	object_id_format(newest, text);
	ck_assert_ptr_nonnull(strstr(e.text, text));
	ck_assert_int_eq(find(text, NULL, &found, NULL), -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	ck_assert_int_eq(find("2", NULL, &found, NULL), -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	/* It can be had by its id, and by a prefix that no other has. */
	ck_assert_int_eq(find("latest", "web", &found, NULL), -1);
	object_id_format(old, text);
	ck_assert_ptr_nonnull(strstr(e.hint, text));
	ck_ok(find(text, NULL, &found, NULL));
	ck_ok(find("1", NULL, &found, NULL));
	ck_assert(object_id_equal(found, old));
	(void)publish(0x23, "web", 15, MANIFEST_COMPLETE);
	ck_assert_int_eq(find("2", NULL, &found, NULL), -1);
	ck_assert_int_eq(e.code, ERR_USAGE);
}
END_TEST

START_TEST(latest_is_clear_of_what_is_older_or_deleted)
{
	const struct object_id old = publish(0x11, "web", 10,
					     MANIFEST_COMPLETE);
	const struct object_id newest = publish(0x22, "web", 20,
						MANIFEST_COMPLETE);
	const struct object_id deleted = publish(0x33, "web", 30,
						 MANIFEST_COMPLETE);
	struct object_id found;

	ck_ok(delete_it(deleted));
	break_manifest(deleted);
	break_manifest(old);
	ck_ok(find("latest", NULL, &found, NULL));
	ck_assert(object_id_equal(found, newest));
	/* Without its receipt the old one could be of any time. */
	ck_ok(store_remove(repository_store(f.r),
			   object_name(OBJECT_RECEIPT, old).s, &e));
	ck_assert_int_eq(find("latest", NULL, &found, NULL), -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
}
END_TEST

START_TEST(latest_of_several_sources_must_be_named)
{
	const struct object_id web = publish_one();
	struct object_id found;

	(void)publish(0x12, "db", 1, MANIFEST_COMPLETE);
	ck_assert_int_eq(find("latest", NULL, &found, NULL), -1);
	ck_assert_int_eq(e.code, ERR_USAGE);
	ck_assert_ptr_nonnull(strstr(e.text, "web"));
	ck_assert_ptr_nonnull(strstr(e.text, "db"));
	ck_ok(find("latest", "web", &found, NULL));
	ck_assert(object_id_equal(found, web));
	ck_assert_int_eq(find("latest", "mail", &found, NULL), -1);
	ck_assert_int_eq(e.code, ERR_NOT_FOUND);
}
END_TEST

START_TEST(prefixes_must_be_unique)
{
	const struct object_id a = publish(0xa1, "web", 0, MANIFEST_COMPLETE);
	struct object_id found;
	char text[OBJECT_ID_TEXT];

	(void)publish(0xa2, "web", 1, MANIFEST_COMPLETE);
	ck_assert_int_eq(find("a", NULL, &found, NULL), -1);
	ck_assert_int_eq(e.code, ERR_USAGE);
	object_id_format(a, text);
	ck_assert_ptr_nonnull(strstr(e.hint, text));
	for (uint8_t i = 3; i < 8; i++)
		(void)publish((uint8_t)(0xa0 + i), "web", i, MANIFEST_COMPLETE);
	ck_assert_int_eq(find("a", NULL, &found, NULL), -1);
	ck_assert_int_eq(e.code, ERR_USAGE);
	ck_assert_ptr_nonnull(strstr(e.hint, "or others"));
	ck_ok(find("A1", NULL, &found, NULL));
	ck_assert(object_id_equal(found, a));
}
END_TEST

START_TEST(unknown_ids_are_told_the_nearest)
{
	const struct object_id id = publish_one();
	char text[OBJECT_ID_TEXT];
	char right[OBJECT_ID_TEXT];
	struct object_id found;

	(void)publish(0x12, "web", 1, MANIFEST_COMPLETE);
	object_id_format(id, right);
	memcpy(text, right, sizeof(text));
	text[5] = 'f';
	ck_assert_int_eq(find(text, NULL, &found, NULL), -1);
	ck_assert_int_eq(e.code, ERR_NOT_FOUND);
	ck_assert_ptr_nonnull(strstr(e.hint, right));
	ck_assert_int_eq(find("no id", NULL, &found, NULL), -1);
	ck_assert_int_eq(e.code, ERR_NOT_FOUND);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, a_deletion_says_who_why_and_until_when);
	tcase_add_test(tc, undelete_brings_back_no_other);
	tcase_add_test(tc, undelete_passes_over_a_tombstone_that_does_not_open);
	tcase_add_test(tc, deletes_until_the_grace_period_ends);
	tcase_add_test(tc, undelete_brings_back);
	tcase_add_test(tc, undelete_refuses_what_is_gone);
	tcase_add_test(tc, undelete_refuses_without_any_part);
	tcase_add_test(tc, an_undelete_that_overslept_is_none);
	tcase_add_test(tc, holds_deny_until_released);
	tcase_add_test(tc, what_came_since_it_was_listed_denies);
	tcase_add_test(tc, holds_name_sources);
	tcase_add_test(tc, releases_only_what_is_in_force);
	tcase_add_test(tc, a_hold_says_who_what_and_why);
	tcase_add_test(tc, a_hold_names_what_can_be_a_source);
	tcase_add_test(tc, a_hold_that_does_not_open_holds_all);
	tcase_add_test(tc, locks_deny_until_they_end);
	tcase_add_test(tc, a_lock_is_lengthened_only);
	tcase_add_test(tc, a_lock_is_over_when_it_ends);
	tcase_add_test(tc, locks_end);
	tcase_add_test(tc, a_lock_that_does_not_open_has_no_end);
	tcase_add_test(tc, a_tombstone_that_does_not_open_deletes_nothing);
	tcase_add_test(tc, a_void_annuls_a_manifest);
	tcase_add_test(tc, a_manifest_that_every_void_names_counts);
	tcase_add_test(tc, a_void_that_does_not_open_hides_nothing);
	tcase_add_test(tc, latest_is_the_newest_complete_one);
	tcase_add_test(tc, latest_is_refused_when_a_newer_one_does_not_open);
	tcase_add_test(tc, latest_is_clear_of_what_is_older_or_deleted);
	tcase_add_test(tc, latest_of_several_sources_must_be_named);
	tcase_add_test(tc, prefixes_must_be_unique);
	tcase_add_test(tc, unknown_ids_are_told_the_nearest);
}

CHECK_MAIN("storage/deletion", cases)

/* Sessions: storage/repository/writer.h, and their signs of life. */
#include "storage/repository/beat.h"
#include "storage/repository/writer.h"

#include <pthread.h>

#include "storage/repository/deletion.h"
#include "tests/support/writer_frame.h"

START_TEST(a_chunk_is_stored_once_and_found_by_the_next_session)
{
	struct chunk_worker *k = new_worker();
	struct writer *w = open_writer();
	struct chunk_id a;
	struct chunk_id b;
	uint64_t more;

	ck_assert_uint_eq(objects("sessions/"), 1);
	ck_ok(add(w, k, 1, 1000, &a, &more, &e));
	ck_assert_uint_gt(more, 1000);
	ck_ok(add(w, k, 1, 1000, &b, &more, &e));
	ck_assert_uint_eq(more, 0);
	ck_assert(chunk_id_equal(&a, &b));
	ck_assert_int_eq(writer_has(w, &a, &e), 1);
	publish(w);
	ck_assert_uint_eq(writer_totals(w).chunks_new, 1);
	ck_assert_uint_eq(writer_totals(w).chunks_known, 1);
	writer_close(w);
	ck_assert_uint_eq(objects("sessions/"), 0);
	ck_assert_uint_eq(objects("receipts/"), 1);
	/* The same handle, whose readers opened no index yet; then others. */
	expect_readable(1, 1000, &a);
	for (int i = 0; i < 2; i++) {
		w = open_writer();
		ck_ok(add(w, k, 1, 1000, &b, &more, &e));
		ck_assert_uint_eq(more, 0);
		ck_ok(add(w, k, 2 + (uint32_t)i, 1000, &b, &more, &e));
		ck_assert_uint_gt(more, 0);
		publish(w);
		writer_close(w);
		/* Readers that have an index already see what came since. */
		expect_readable(2 + (uint32_t)i, 1000, &b);
		chunk_worker_free(k);
		repo_frame_reopen(&f);
		k = new_worker();
	}
	chunk_worker_free(k);
}
END_TEST

#define THREADS	 4
#define EACH	 200
#define ADD_SIZE 3000

struct adder {
	struct writer *w;
	uint32_t from;
	uint64_t stored;
	struct chunk_id ids[EACH];
	struct err e;
	int failed;
};

static void *adder(void *arg)
{
	struct adder *a = arg;
	struct chunk_worker *k = NULL;
	struct err own = { 0 };
	uint64_t more;

	if (chunk_worker_new(repository_keys(f.r), &k, &own))
		return NULL;
	for (uint32_t i = 0; i < EACH && !a->failed; i++) {
		a->failed = add(a->w, k, a->from + i, ADD_SIZE, &a->ids[i],
				&more, &a->e);
		a->stored += more > 0;
	}
	chunk_worker_free(k);
	return NULL;
}

static void run_adders(struct writer *w, struct adder a[THREADS])
{
	pthread_t threads[THREADS];

	for (uint32_t i = 0; i < THREADS; i++) {
		/* Halves overlap with the neighbour's. */
		a[i] = (struct adder){ .w = w, .from = i * EACH / 2 };
		ck_assert_int_eq(
			pthread_create(&threads[i], NULL, adder, &a[i]), 0);
	}
	for (uint32_t i = 0; i < THREADS; i++)
		(void)pthread_join(threads[i], NULL);
}

START_TEST(many_threads_store_each_chunk_once)
{
	static struct adder a[THREADS];
	struct writer *w = open_writer();
	uint64_t stored = 0;

	run_adders(w, a);
	publish(w);
	for (uint32_t i = 0; i < THREADS; i++) {
		ck_assert_msg(!a[i].failed, "%s", a[i].e.text);
		stored += a[i].stored;
	}
	ck_assert_uint_eq(stored, (THREADS + 1) * EACH / 2);
	ck_assert_uint_eq(writer_totals(w).chunks_new, stored);
	writer_close(w);
	repo_frame_reopen(&f);
	for (uint32_t i = 0; i < THREADS; i++)
		for (uint32_t n = 0; n < EACH; n += 37)
			expect_readable(a[i].from + n, ADD_SIZE, &a[i].ids[n]);
}
END_TEST

static void fail_at(enum fault_call call, const char *prefix, uint64_t nth)
{
	const struct fault x = { .call = call,
				 .action = FAULT_FAIL,
				 .prefix = prefix,
				 .nth = nth,
				 .code = ERR_FULL };

	fault_add(faulty, &x);
}

/* With the store failing from some commit on, every thread gets to know. */
START_TEST(a_store_that_fails_stops_all_threads)
{
	static struct adder a[THREADS];

	for (uint64_t nth = 1; nth < 4; nth++) {
		struct writer *w = open_writer();
		struct manifest m;

		manifest_init(&m);
		fail_at(FAULT_APPEND, "data/", nth * 100);
		run_adders(w, a);
		ck_assert_int_lt(writer_publish(w, &m, (struct instant){ 0 },
						RECORD_PROCESS, &e),
				 0);
		ck_assert_int_eq(e.code, ERR_FULL);
		writer_close(w);
		fault_clear(faulty);
		ck_assert_uint_eq(objects("snapshots/"), 0);
		ck_assert_uint_eq(objects("sessions/"), 0);
		manifest_done(&m);
	}
}
END_TEST

/* Entries of the nth pack; where its chunks lie is nobody's concern here. */
#define PACK_ENTRIES 5000
static void remember_pack(struct writer *w, uint32_t n)
{
	static struct pack_entry v[PACK_ENTRIES];

	for (uint32_t i = 0; i < PACK_ENTRIES; i++) {
		v[i] = (struct pack_entry){
			.seal = { .kind = CHUNK_DATA,
				  .epoch = 1,
				  .plain_len = 100 },
			.place = { .pack.b[0] = (uint8_t)n,
				   .offset = OBJECT_HEADER_SIZE + i,
				   .len = 100 }
		};
		(void)chunk_of(n * PACK_ENTRIES + i, sizeof(v[i].seal.id.b),
			       v[i].seal.id.b);
	}
	ck_ok(writer_index_remember(w, v, PACK_ENTRIES, 1, &e));
}

/* One call on the index fails, and none after it: that is enough. */
START_TEST(what_cannot_be_named_is_not_published)
{
	/* Opening it, its header, a full block, its end; reading it again. */
	static const struct {
		enum fault_call call;
		uint64_t nth;
	} calls[] = { { FAULT_BEGIN, 1 },
		      { FAULT_APPEND, 1 },
		      { FAULT_APPEND, 2 },
		      { FAULT_COMMIT, 1 },
		      { FAULT_READ, 1 } };
	struct chunk_worker *k = new_worker();
	struct chunk_id id;
	struct manifest m;

	manifest_init(&m);
	for (uint32_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		const struct fault x = { .call = calls[i].call,
					 .action = FAULT_FAIL,
					 .prefix = "index/",
					 .nth = calls[i].nth,
					 .times = 1,
					 .everyone = true,
					 .code = ERR_FULL };
		struct writer *w = open_writer();

		ck_ok(add(w, k, i, 5000, &id, NULL, &e));
		remember_pack(w, i);
		fault_add(faulty, &x);
		ck_assert_int_lt(writer_publish(w, &m, (struct instant){ 0 },
						RECORD_PROCESS, &e),
				 0);
		ck_assert_int_eq(e.code, ERR_FULL);
		fault_clear(faulty);
		writer_close(w);
		ck_assert_uint_eq(objects("snapshots/"), 0);
		w = open_writer();
		ck_ok(add(w, k, i, 5000, &id, NULL, &e));
		publish(w);
		writer_close(w);
		expect_readable(i, 5000, &id);
		ck_ok(store_remove(repository_store(f.r), last("snapshots/"),
				   &e));
	}
	chunk_worker_free(k);
	manifest_done(&m);
}
END_TEST

#define BIG ((size_t)3 << 20)

/* Packs that are durable are named although a later one could not be. */
START_TEST(what_is_durable_is_reused_after_a_failure)
{
	struct chunk_worker *k = new_worker();
	struct writer *w = open_writer();
	struct manifest m;
	struct chunk_id id;
	uint64_t more;
	uint64_t known;

	manifest_init(&m);
	fail_at(FAULT_COMMIT, "data/", 2);
	for (uint32_t n = 0; n < 24; n++)
		if (add(w, k, n, BIG, &id, &more, &e))
			break;
	ck_assert_int_lt(writer_publish(w, &m, (struct instant){ 0 },
					RECORD_PROCESS, &e),
			 0);
	ck_assert_int_eq(e.code, ERR_FULL);
	writer_close(w);
	fault_clear(faulty);
	ck_assert_uint_ge(objects("data/"), 1);
	ck_assert_uint_eq(objects("snapshots/"), 0);
	repo_frame_reopen(&f);
	chunk_worker_free(k); /* its keys went with the repository */
	k = new_worker();
	w = open_writer();
	for (uint32_t n = 0; n < 10; n++)
		ck_ok(add(w, k, n, BIG, &id, &more, &e));
	known = writer_totals(w).chunks_known;
	ck_assert_uint_ge(known, 9);
	publish(w);
	writer_close(w);
	chunk_worker_free(k);
	manifest_done(&m);
}
END_TEST

/* A cancelled session: closed without publishing. */
START_TEST(what_was_added_is_reused_when_nothing_was_published)
{
	struct chunk_worker *k = new_worker();
	struct writer *w = open_writer();
	struct chunk_id id;
	uint64_t more;

	ck_ok(add(w, k, 1, 5000, &id, &more, &e));
	writer_close(w);
	ck_assert_uint_eq(objects("snapshots/"), 0);
	w = open_writer();
	ck_assert_int_eq(writer_has(w, &id, &e), 1);
	ck_ok(add(w, k, 1, 5000, &id, &more, &e));
	ck_assert_uint_eq(more, 0);
	writer_close(w);
	chunk_worker_free(k);
}
END_TEST

static struct object_id pack_of(const struct chunk_id *id)
{
	struct index_set *index;
	struct pack_entry at;

	ck_ok(repository_index(f.r, &index, &e));
	ck_assert_int_eq(index_set_find(index, id, &at, &e), 1);
	return at.place.pack;
}

/* What only a marked pack holds is stored anew; readers still find it. */
START_TEST(marked_packs_count_as_absent_for_writers_only)
{
	struct chunk_worker *k = new_worker();
	struct writer *w = open_writer();
	struct chunk_id id;
	struct record mark;
	uint64_t more;

	ck_ok(add(w, k, 1, 5000, &id, &more, &e));
	publish(w);
	writer_close(w);
	w = open_writer();
	ck_assert(writer_trusts_parent(w));
	writer_close(w);
	record_init(&mark, OBJECT_MARK);
	mark.id = object_id_new();
	ck_ok(record_add_id(&mark, object_id_new(), &e));
	ck_ok(record_add_id(&mark, pack_of(&id), &e));
	ck_ok(record_put(repository_store(f.r), repository_keys(f.r), &mark, 0,
			 &e));
	record_done(&mark);
	w = open_writer();
	ck_assert(!writer_trusts_parent(w));
	ck_assert_int_eq(writer_has(w, &id, &e), 0);
	expect_readable(1, 5000, &id);
	ck_ok(add(w, k, 1, 5000, &id, &more, &e));
	ck_assert_uint_gt(more, 0);
	publish(w);
	writer_close(w);
	chunk_worker_free(k);
}
END_TEST

/*
 * A session believes the index as it is when it begins: packs that were
 * collected since the repository was opened are not relied on.
 */
START_TEST(what_was_collected_meanwhile_is_stored_anew)
{
	struct chunk_worker *k = new_worker();
	struct writer *w = open_writer();
	struct chunk_id id;
	uint64_t more;

	ck_ok(add(w, k, 1, 5000, &id, &more, &e));
	publish(w);
	writer_close(w);
	expect_readable(1, 5000, &id);
	/* A collector elsewhere: index and pack are gone. */
	ck_ok(store_remove(repository_store(f.r),
			   object_name(OBJECT_DATA_PACK, pack_of(&id)).s, &e));
	ck_ok(store_remove(repository_store(f.r), last("index/"), &e));
	w = open_writer();
	ck_assert_int_eq(writer_has(w, &id, &e), 0);
	ck_ok(add(w, k, 1, 5000, &id, &more, &e));
	ck_assert_uint_gt(more, 0);
	publish(w);
	writer_close(w);
	expect_readable(1, 5000, &id);
	chunk_worker_free(k);
}
END_TEST

/* As many as two full marks name, the last of them ours. */
START_TEST(marks_may_name_many_packs)
{
	struct chunk_worker *k = new_worker();
	struct writer *w = open_writer();
	struct chunk_id id;

	ck_ok(add(w, k, 1, 5000, &id, NULL, &e));
	publish(w);
	writer_close(w);
	for (int i = 0; i < 2; i++) {
		CLEANUP(record_done) struct record mark;

		record_init(&mark, OBJECT_MARK);
		mark.id = object_id_new();
		for (size_t n = 1; n < RECORD_IDS_MAX; n++)
			ck_ok(record_add_id(&mark, object_id_new(), &e));
		ck_ok(record_add_id(&mark, pack_of(&id), &e));
		ck_ok(record_put(repository_store(f.r), repository_keys(f.r),
				 &mark, 0, &e));
	}
	w = open_writer();
	ck_assert_int_eq(writer_has(w, &id, &e), 0);
	writer_close(w);
	chunk_worker_free(k);
}
END_TEST

START_TEST(a_fenced_session_is_not_acknowledged)
{
	struct writer *w = open_writer();
	struct manifest m;

	manifest_init(&m);
	put_simple(OBJECT_FENCE, writer_session(w));
	ck_assert_int_lt(writer_publish(w, &m, (struct instant){ 0 },
					RECORD_PROCESS, &e),
			 0);
	ck_assert_int_eq(e.code, ERR_BUSY);
	ck_assert_str_ne(e.hint, "");
	writer_close(w);
	manifest_done(&m);
}
END_TEST

/* Let another key in. */
static struct object_id add_key(void)
{
	CLEANUP(keyring_credential_free) struct keyring_credential *c = NULL;
	struct object_id slot = { { 0 } };
	char path[SCRATCH_PATH];

	ck_ok(keyring_credential_make_key_file(
		scratch_path(&f.dir, "second", path), &c, &e));
	ck_ok(keyring_add(repository_store(f.r), f.credential, c, "second",
			  clock_now(), &slot, &e));
	return slot;
}

static void expect_revoked(struct writer *w)
{
	struct manifest m;

	manifest_init(&m);
	ck_assert_int_lt(writer_publish(w, &m, (struct instant){ 0 },
					RECORD_PROCESS, &e),
			 0);
	ck_assert_int_eq(e.code, ERR_BUSY);
	ck_assert_str_ne(e.hint, "");
	manifest_done(&m);
	writer_close(w);
}

/*
 * What a session wrote after a key was revoked is sealed so that this key
 * opens it: it is neither published nor given to the next session.
 */
START_TEST(a_revocation_ends_sessions_under_way)
{
	const struct object_id slot = add_key();
	struct chunk_worker *k = new_worker();
	struct writer *idle = open_writer();
	struct writer *w = open_writer();
	struct chunk_id before;
	struct chunk_id after;
	uint64_t more;

	ck_ok(add(w, k, 1, 5000, &before, &more, &e));
	publish(w);
	writer_close(w);
	w = open_writer();
	ck_ok(keyring_revoke(repository_store(f.r), f.credential, slot,
			     clock_now(), &e));
	ck_ok(add(w, k, 2, 5000, &after, &more, &e));
	expect_revoked(w);
	expect_revoked(idle); /* which stored nothing */
	ck_assert_uint_eq(objects("snapshots/"), 1);
	ck_assert_uint_eq(objects("index/"), 1);
	chunk_worker_free(k);
	repo_frame_reopen(&f);
	k = new_worker();
	w = open_writer();
	ck_assert_int_eq(writer_has(w, &before, &e), 1);
	ck_ok(add(w, k, 2, 5000, &after, &more, &e));
	ck_assert_uint_gt(more, 0);
	publish(w);
	writer_close(w);
	expect_readable(2, 5000, &after);
	chunk_worker_free(k);
}
END_TEST

/* No alarm: who read the keys before has only to read them again. */
START_TEST(what_came_with_a_revocation_is_no_damage)
{
	const struct object_id slot = add_key();
	const struct object_id snapshot = object_id_new();
	struct repository *later = NULL;
	struct object_id hold;
	const struct deletion_hold h = { .snapshots = &snapshot,
					 .n_snapshots = 1,
					 .source = "",
					 .case_name = "c",
					 .custodian = "",
					 .by = "b",
					 .now = clock_now() };

	ck_ok(keyring_revoke(repository_store(f.r), f.credential, slot,
			     clock_now(), &e));
	ck_ok(repository_open(f.url, f.credential, &later, &e));
	ck_ok(deletion_hold(later, &h, &hold, &e));
	ck_assert_int_eq(deletion_release(f.r, hold, "b", clock_now(), &e), -1);
	ck_assert_int_eq(e.code, ERR_BUSY);
	ck_assert_str_ne(e.hint, "");
	/* That of a keyring which is nowhere is none of it. */
	ck_assert(keys_came_later(repository_keys(f.r), 2));
	ck_assert(!keys_came_later(repository_keys(f.r), 3));
	ck_assert(!keys_came_later(repository_keys(later), 2));
	repository_close(later);
	repo_frame_reopen(&f);
	ck_ok(deletion_release(f.r, hold, "b", clock_now(), &e));
}
END_TEST

START_TEST(a_new_key_ends_no_session)
{
	struct chunk_worker *k = new_worker();
	struct writer *w = open_writer();
	struct chunk_id id;

	ck_ok(add(w, k, 1, 5000, &id, NULL, &e));
	(void)add_key();
	publish(w);
	writer_close(w);
	expect_readable(1, 5000, &id);
	chunk_worker_free(k);
}
END_TEST

static void name_pack(struct writer *w, uint32_t n)
{
	remember_pack(w, n);
	ck_ok(writer_index_flush(w, &e));
}

static int count_entry(void *arg, const struct pack_entry *x, struct err *err)
{
	(void)x;
	(void)err;
	(*(uint64_t *)arg)++;
	return 0;
}

/* Each costs every other session a block for each look-up. */
START_TEST(a_long_session_leaves_few_index_objects)
{
	const struct index_set_options o = { .cache_bytes = 1 << 20 };
	CLEANUP(index_set_free) struct index_set *x = NULL;
	struct writer *w = open_writer();
	uint64_t entries = 0;

	for (uint32_t n = 0; n < 60; n++) {
		name_pack(w, n);
		ck_assert_uint_le(w->n_named, 8);
	}
	ck_assert_uint_gt(objects("index/"), 60); /* they are superseded */
	writer_close(w);
	ck_ok(index_set_open(repository_store(f.r), repository_keys(f.r), &o,
			     &x, &e));
	ck_assert_uint_le(index_set_objects(x), 8);
	ck_ok(index_set_walk(x, count_entry, &entries, &e));
	ck_assert_uint_eq(entries, 60 * PACK_ENTRIES);
}
END_TEST

/* A collector gives the session up, and lists what it named so far. */
static void give_up(const struct writer *w)
{
	CLEANUP(record_done) struct record fence;
	CLEANUP(record_done) struct record v;

	record_init(&fence, OBJECT_FENCE);
	record_init(&v, OBJECT_VOID);
	fence.id = v.session = writer_session(w);
	v.id = object_id_new();
	for (size_t i = 0; i < w->n_named; i++)
		ck_ok(record_add_id(&v, w->named[i]->in.id, &e));
	ck_ok(record_put(repository_store(f.r), repository_keys(f.r), &fence, 0,
			 &e));
	ck_ok(record_put(repository_store(f.r), repository_keys(f.r), &v, 0,
			 &e));
}

/* Its void names what was there when it was given up, merged or not. */
START_TEST(what_a_session_merged_too_late_hides_nothing)
{
	const struct index_set_options o = { .cache_bytes = 1 << 20 };
	CLEANUP(index_set_free) struct index_set *x = NULL;
	struct writer *w = open_writer();
	uint64_t entries = 0;

	for (uint32_t n = 0; n < 3; n++)
		name_pack(w, n);
	give_up(w);
	/* As by a session that looked for its fence just before. */
	{
		CLEANUP(index_writer_free) struct index_writer *late = NULL;

		ck_ok(index_writer_open(repository_store(f.r),
					repository_keys(f.r), writer_session(w),
					&late, &e));
		for (size_t i = 0; i < w->n_named; i++)
			ck_ok(index_writer_supersede(late, w->named[i]->in.id,
						     &e));
		ck_ok(index_writer_commit(late, NULL, &e));
	}
	writer_close(w);
	ck_ok(index_set_open(repository_store(f.r), repository_keys(f.r), &o,
			     &x, &e));
	ck_ok(index_set_walk(x, count_entry, &entries, &e));
	ck_assert_uint_eq(entries, 3 * PACK_ENTRIES);
}
END_TEST

/* All tests of leases shorten them: what it is for everybody else. */
START_TEST(who_stands_still_delays_others_for_two_minutes_at_most)
{
	ck_assert_ptr_null(getenv("SNAPCTL_TEST_LEASE_MS"));
	ck_assert_int_gt(beat_lease_ms(), 0);
	ck_assert_int_le(beat_lease_ms(), 2 * 60 * 1000);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc,
		       a_chunk_is_stored_once_and_found_by_the_next_session);
	tcase_add_test(tc, many_threads_store_each_chunk_once);
	tcase_add_test(tc, a_store_that_fails_stops_all_threads);
	tcase_add_test(tc, what_cannot_be_named_is_not_published);
	tcase_add_test(tc, what_is_durable_is_reused_after_a_failure);
	tcase_add_test(tc, what_was_added_is_reused_when_nothing_was_published);
	tcase_add_test(tc, marked_packs_count_as_absent_for_writers_only);
	tcase_add_test(tc, what_was_collected_meanwhile_is_stored_anew);
	tcase_add_test(tc, a_fenced_session_is_not_acknowledged);
	tcase_add_test(tc, marks_may_name_many_packs);
	tcase_add_test(tc, a_revocation_ends_sessions_under_way);
	tcase_add_test(tc, what_came_with_a_revocation_is_no_damage);
	tcase_add_test(tc, a_new_key_ends_no_session);
	tcase_add_test(tc, a_long_session_leaves_few_index_objects);
	tcase_add_test(tc, what_a_session_merged_too_late_hides_nothing);
	tcase_add_test(tc,
		       who_stands_still_delays_others_for_two_minutes_at_most);
}

CHECK_MAIN("storage/writer", cases)

/*
 * What a session says and writes once, and that it publishes nothing of which
 * a call failed.
 */
#include <stdatomic.h>
#include <unistd.h>

#include "tests/support/writer_frame.h"

static void count_call(void *arg, const char *name)
{
	(void)name;
	atomic_fetch_add((atomic_ullong *)arg, 1);
}

/* A session of some chunks: what publishing it says. */
static int session_with(const struct fault *x)
{
	struct chunk_worker *k = new_worker();
	struct writer *w = open_writer();
	struct chunk_id id;
	struct manifest m;
	struct err ignored;
	int failed = 0;

	manifest_init(&m);
	fault_add(faulty, x);
	for (uint32_t n = 0; !failed && n < 3; n++)
		failed = add(w, k, n, 5000, &id, NULL, &ignored);
	failed = writer_publish(w, &m, (struct instant){ 0 }, RECORD_PROCESS,
				&e);
	fault_clear(faulty);
	writer_close(w);
	chunk_worker_free(k);
	manifest_done(&m);
	return failed;
}

/*
 * Any call fails, and none after it: nobody is told that a snapshot is there
 * of which something was not written.
 */
START_TEST(a_call_that_fails_once_is_not_passed_over)
{
	/* But its session's, which beats when it likes. */
	static const char *const tried[] = { "data/",	   "index/",
					     "receipts/",  "keyring/",
					     "snapshots/", "fences/" };

	for (size_t i = 0; i < sizeof(tried) / sizeof(tried[0]); i++) {
		atomic_ullong calls = 0;
		struct fault x = { .call = FAULT_ANY,
				   .action = FAULT_RUN,
				   .prefix = tried[i],
				   .everyone = true,
				   .run = count_call,
				   .arg = &calls,
				   .code = ERR_FULL };

		tear_down();
		set_up();
		ck_assert_int_eq(session_with(&x), 0);
		ck_assert_uint_gt(calls, 0);
		x.action = FAULT_FAIL;
		x.times = 1;
		for (x.nth = 1; x.nth <= calls; x.nth++) {
			tear_down();
			set_up();
			ck_assert_int_lt(session_with(&x), 0);
			ck_assert_int_eq(e.code, ERR_FULL);
		}
	}
}
END_TEST

/* Smaller ones before larger ones, of data and of metadata each in one. */
START_TEST(what_is_added_shares_packs)
{
	struct chunk_worker *k = new_worker();
	struct writer *w = open_writer();
	uint8_t *bytes = malloc(20000);
	struct chunk_id id;

	ck_assert_ptr_nonnull(bytes);
	for (uint32_t n = 1; n < 20; n++) {
		(void)chunk_of(n, n * 1000, bytes);
		ck_ok(writer_add(w, k, n % 2 ? CHUNK_DATA : CHUNK_LEAF, bytes,
				 n * 1000, &id, NULL, &e));
	}
	publish(w);
	ck_assert_uint_eq(objects("data/"), 1);
	ck_assert_uint_eq(objects("meta/"), 1);
	ck_assert_uint_eq(w->n_fresh, 0);
	writer_close(w);
	ck_assert_uint_eq(objects("index/"), 1);
	chunk_worker_free(k);
	free(bytes);
}
END_TEST

START_TEST(a_session_says_whose_it_is)
{
	const struct writer_options o = { .purpose = RECORD_REPLICATE,
					  .snapshot = object_id_new(),
					  .host = "host" };
	CLEANUP(record_done) struct record r;
	const struct instant before = clock_now();
	struct writer *w = NULL;

	ck_ok(writer_open(f.r, &o, &w, &e));
	ck_assert_int_eq(
		record_get(repository_store(f.r), repository_keys(f.r),
			   OBJECT_SESSION,
			   object_name(OBJECT_SESSION, writer_session(w)).s, &r,
			   &e),
		1);
	ck_assert_uint_eq(r.purpose, RECORD_REPLICATE);
	ck_assert_uint_eq(r.pid, (uint64_t)getpid());
	ck_assert_str_eq(r.by, "host");
	ck_assert_int_ge(instant_compare(r.time, before), 0);
	ck_assert_uint_eq(r.n_ids, 1);
	ck_assert(object_id_equal(r.ids[0], o.snapshot));
	writer_close(w);
}
END_TEST

/*
 * Whoever publishes it again, as an undelete does, changes nothing of when it
 * was received; nor is a manifest ever replaced.
 */
START_TEST(what_is_published_stays)
{
	const struct writer_options o = { .purpose = RECORD_UNDELETE,
					  .snapshot = object_id_new(),
					  .host = "host" };
	struct writer *w = NULL;
	CLEANUP(record_done) struct record r;
	struct object_name name;
	struct manifest m;

	manifest_init(&m);
	for (int32_t i = 0; i < 2; i++) {
		ck_ok(writer_open(f.r, &o, &w, &e));
		ck_ok(writer_publish(w, &m, (struct instant){ 5 + i, 0 },
				     i ? RECORD_PROCESS : RECORD_STORE, &e));
		writer_close(w);
	}
	ck_assert_uint_eq(objects("snapshots/"), 2);
	ck_assert_uint_eq(objects("receipts/"), 1);
	ck_assert_int_eq(record_get(repository_store(f.r), repository_keys(f.r),
				    OBJECT_RECEIPT,
				    object_name(OBJECT_RECEIPT, o.snapshot).s,
				    &r, &e),
			 1);
	ck_assert_int_eq(r.time.sec, 5);
	ck_assert_uint_eq(r.clock, RECORD_STORE);
	ck_assert(object_id_equal(r.id, o.snapshot));
	ck_assert(object_id_equal(r.snapshot, o.snapshot));
	ck_ok(writer_open(f.r, &o, &w, &e));
	name = object_name_pair(OBJECT_MANIFEST, o.snapshot, writer_session(w));
	ck_ok(store_put(repository_store(f.r), name.s, "there", 5, 0, &e));
	ck_assert_int_lt(writer_publish(w, &m, (struct instant){ 0 },
					RECORD_PROCESS, &e),
			 0);
	ck_assert_int_eq(e.code, ERR_EXISTS);
	writer_close(w);
	manifest_done(&m);
}
END_TEST

/* So many entries, or so many bytes of packs. */
START_TEST(an_index_object_is_due_in_time)
{
	static struct pack_entry v[1000];
	struct writer *w = open_writer();

	for (uint32_t i = 0; i < 1000; i++)
		v[i].seal.id.b[0] = (uint8_t)i;
	ck_assert(!writer_index_is_due(w));
	ck_ok(writer_index_remember(w, v, 1, 1, &e));
	ck_ok(writer_index_remember(w, v, 1, (8ULL << 30) - 2, &e));
	ck_assert(!writer_index_is_due(w));
	ck_ok(writer_index_remember(w, v, 1, 1, &e));
	ck_assert(writer_index_is_due(w));
	ck_ok(writer_index_flush(w, &e));
	ck_assert(!writer_index_is_due(w));
	for (unsigned int n = 0; n < 64; n++) {
		ck_assert(!writer_index_is_due(w));
		ck_ok(writer_index_remember(w, v, 1000, 1, &e));
	}
	ck_assert(writer_index_is_due(w));
	writer_close(w);
}
END_TEST

/* Entries of which none is like another. */
static void name_some(struct writer *w, uint32_t n)
{
	static uint32_t last;
	struct pack_entry *v = calloc(n, sizeof(*v));

	ck_assert_ptr_nonnull(v);
	for (uint32_t i = 0; i < n; i++) {
		v[i] = (struct pack_entry){ .seal = { .kind = CHUNK_DATA,
						      .epoch = 1,
						      .plain_len = 100 },
					    .place = { .offset = 32,
						       .len = 100 } };
		last++;
		memcpy(v[i].seal.id.b, &last, sizeof(last));
	}
	ck_ok(writer_index_remember(w, v, n, 1, &e));
	ck_ok(writer_index_flush(w, &e));
	free(v);
}

/* The smallest of a session's own, wherever the large one came. */
START_TEST(small_index_objects_are_merged_first)
{
	for (uint32_t at = 0; at < 5; at++) {
		struct writer *w = open_writer();

		for (uint32_t i = 0; i < 5; i++)
			name_some(w, i == at ? 5000 : 10 - i);
		ck_assert_uint_eq(w->n_named, 2);
		ck_assert_uint_lt(w->named[0]->entries + w->named[1]->entries,
				  5040);
		ck_assert(w->named[0]->entries == 5000 ||
			  w->named[1]->entries == 5000);
		writer_close(w);
	}
}
END_TEST

#define FUTILE 64

/* Each is looked for where it may have been moved to; but not without end. */
START_TEST(what_is_lost_costs_no_listing_for_ever)
{
	CLEANUP(reader_free) struct reader *x = NULL;
	struct chunk_id id = { { 0 } };
	const uint8_t *plain;
	size_t len;

	ck_ok(reader_new(f.r, 0, &x, &e));
	for (uint8_t i = 0; i < FUTILE + 6; i++) {
		const uint64_t before = fault_calls(faulty, FAULT_LIST);

		id.b[0] = i;
		ck_assert_int_eq(
			reader_get(x, &id, CHUNK_DATA, &plain, &len, &e), -1);
		ck_assert_int_eq(e.code, ERR_CORRUPT);
		ck_assert_int_eq(fault_calls(faulty, FAULT_LIST) > before,
				 i < FUTILE);
	}
}
END_TEST

static enum err_code explained(struct writer *w, enum err_code code)
{
	struct err why = { 0 };

	(void)err_set(&why, code, "it went wrong");
	writer_explain(w, &why);
	return why.code;
}

/* What went wrong for being given up is told so, and nothing else is. */
START_TEST(a_fence_explains_what_went_wrong)
{
	struct writer *w = open_writer();
	struct fault broken = { .call = FAULT_READ,
				.action = FAULT_FAIL,
				.prefix = "fences/" };

	ck_assert_int_eq(explained(w, ERR_NOT_FOUND), ERR_NOT_FOUND);
	fault_add(faulty, &broken);
	ck_assert_int_eq(explained(w, ERR_NOT_FOUND), ERR_NOT_FOUND);
	fault_clear(faulty);
	/* That nobody answers is no fence. */
	broken.code = ERR_BUSY;
	fault_add(faulty, &broken);
	ck_assert_int_eq(explained(w, ERR_DENIED), ERR_DENIED);
	fault_clear(faulty);
	put_simple(OBJECT_FENCE, writer_session(w));
	ck_assert_int_eq(explained(w, ERR_NOT_FOUND), ERR_BUSY);
	ck_assert_int_eq(explained(w, ERR_INTERRUPTED), ERR_INTERRUPTED);
	writer_close(w);
}
END_TEST

/* Its author will void and delete, whether or not we can read it. */
START_TEST(a_fence_that_does_not_open_is_one)
{
	struct writer *w = open_writer();
	const struct object_name fence = object_name(OBJECT_FENCE,
						     writer_session(w));
	struct manifest m;

	manifest_init(&m);
	ck_ok(store_put(repository_store(f.r), fence.s, "damaged", 7, 0, &e));
	ck_assert_int_lt(writer_publish(w, &m, (struct instant){ 0 },
					RECORD_PROCESS, &e),
			 0);
	ck_assert_int_eq(e.code, ERR_BUSY);
	writer_close(w);
	manifest_done(&m);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, a_call_that_fails_once_is_not_passed_over);
	tcase_add_test(tc, what_is_added_shares_packs);
	tcase_add_test(tc, a_session_says_whose_it_is);
	tcase_add_test(tc, what_is_published_stays);
	tcase_add_test(tc, an_index_object_is_due_in_time);
	tcase_add_test(tc, small_index_objects_are_merged_first);
	tcase_add_test(tc, what_is_lost_costs_no_listing_for_ever);
	tcase_add_test(tc, a_fence_explains_what_went_wrong);
	tcase_add_test(tc, a_fence_that_does_not_open_is_one);
}

CHECK_MAIN("storage/writer_once", cases)

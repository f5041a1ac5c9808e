/*
 * Reading ahead, over a made-up store: what is read is what is there, what it
 * costs in requests, and what is forgotten when.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "storage/stores/s3_ahead.h"
#include "tests/support/check_main.h"
#include "tests/support/random.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

/* Objects are "a", "b", …: byte i is a mixture of i and the name. */
struct place {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint64_t size;
	unsigned int requests;
	uint64_t fetched; /* bytes */
	uint64_t last_offset;
	size_t last_n;
	bool absent;
	unsigned int fail; /* so many of the next ones */
	bool held;	   /* fetches wait */
	unsigned int waiting;
	uint8_t version;
};

static struct place place;
static struct s3_ahead *ahead;
static struct err e;

static uint8_t byte_of(const char *name, uint64_t i, uint8_t version)
{
	return (uint8_t)((i * 2654435761U >> 11) + (uint8_t)name[0] + version);
}

static int fetch(void *arg, const char *name, uint64_t offset, void *out,
		 size_t n, size_t *ret_got, struct err *err)
{
	struct place *p = arg;
	uint64_t there;
	bool fails;
	bool absent;
	uint8_t version;

	(void)pthread_mutex_lock(&p->lock);
	p->requests++;
	p->last_offset = offset;
	p->last_n = n;
	version = p->version;
	p->waiting++;
	(void)pthread_cond_broadcast(&p->changed);
	while (p->held)
		(void)pthread_cond_wait(&p->changed, &p->lock);
	p->waiting--;
	fails = p->fail && p->fail--;
	absent = p->absent;
	there = offset < p->size ? p->size - offset : 0;
	*ret_got = there < n ? (size_t)there : n;
	p->fetched += *ret_got;
	(void)pthread_mutex_unlock(&p->lock);
	if (fails)
		return err_set(err, ERR_BUSY, "made up");
	if (absent)
		return 0;
	for (size_t i = 0; i < *ret_got; i++)
		((uint8_t *)out)[i] = byte_of(name, offset + i, version);
	return 1;
}

static void set_up(uint64_t size)
{
	place = (struct place){ .size = size };
	(void)pthread_mutex_init(&place.lock, NULL);
	(void)pthread_cond_init(&place.changed, NULL);
	err_clear(&e);
	ck_ok(s3_ahead_new(fetch, &place, &ahead, &e));
}

static void tear_down(void)
{
	s3_ahead_free(ahead);
	(void)pthread_cond_destroy(&place.changed);
	(void)pthread_mutex_destroy(&place.lock);
}

static void hold(bool on)
{
	(void)pthread_mutex_lock(&place.lock);
	place.held = on;
	(void)pthread_cond_broadcast(&place.changed);
	(void)pthread_mutex_unlock(&place.lock);
}

/* What is fetched from now on is another version. */
static void change(void)
{
	(void)pthread_mutex_lock(&place.lock);
	place.version++;
	(void)pthread_mutex_unlock(&place.lock);
}

/* Until so many fetches are held. */
static void wait_for_held(unsigned int n)
{
	(void)pthread_mutex_lock(&place.lock);
	while (place.waiting < n)
		(void)pthread_cond_wait(&place.changed, &place.lock);
	(void)pthread_mutex_unlock(&place.lock);
}

/* NULL, or what is wrong with n bytes at offset. */
static const char *read_wrong(const char *name, uint64_t offset, size_t n,
			      int64_t now_ms, uint8_t version)
{
	uint8_t *out = malloc(n + 1);
	const uint64_t there = offset < place.size ? place.size - offset : 0;
	const char *wrong = NULL;
	size_t got = 0;
	struct err why;

	if (!out)
		return "no memory";
	out[n] = 0x5a;
	if (s3_ahead_read(ahead, name, offset, out, n, now_ms, &got, &why) != 1)
		wrong = "it failed";
	else if (got != (there < n ? there : n))
		wrong = "its length";
	for (size_t i = 0; !wrong && i < got; i++) {
		if (out[i] != byte_of(name, offset + i, version))
			wrong = "a byte";
	}
	if (out[n] != 0x5a)
		wrong = "written beyond";
	free(out);
	return wrong;
}

static void expect(const char *name, uint64_t offset, size_t n, int64_t now_ms)
{
	const char *wrong = read_wrong(name, offset, n, now_ms, place.version);

	if (wrong)
		ck_abort_msg("%s of %s at %llu for %zu", wrong, name,
			     (unsigned long long)offset, n);
}

START_TEST(a_single_read_gets_what_it_asks_for)
{
	set_up(10 * MIB);
	expect("a", 5 * MIB, 1000, 0);
	ck_assert_uint_eq(place.requests, 1);
	ck_assert_uint_eq(place.fetched, 1000);
	expect("a", MIB, 1000, 0);
	expect("a", 9 * MIB, 1000, 0);
	expect("a", 3 * MIB, 1000, 0);
	ck_assert_uint_eq(place.requests, 4);
	ck_assert_uint_eq(place.fetched, 4000);
	tear_down();
}
END_TEST

START_TEST(reading_on_takes_few_requests)
{
	set_up(64 * MIB);
	for (uint64_t at = 0; at < 64 * MIB; at += 100 * KIB)
		expect("a", at, 100 * KIB, 0);
	ck_assert_uint_le(place.requests, 25);
	/* Nothing is fetched twice, and nothing behind the end. */
	ck_assert_uint_eq(place.fetched, 64 * MIB);
	tear_down();
}
END_TEST

START_TEST(what_is_ahead_doubles_up_to_a_bound)
{
	size_t most = 0;

	set_up(40 * MIB);
	expect("a", 0, 1000, 0);
	expect("a", 1000, 1000, 0);
	ck_assert_uint_eq(place.last_n, 256 * KIB);
	expect("a", 1000 + 256 * KIB, 1000, 0);
	ck_assert_uint_eq(place.last_n, 512 * KIB);
	for (uint64_t at = 2000 + 256 * KIB; at < 30 * MIB; at += 100 * KIB) {
		expect("a", at, 100 * KIB, 0);
		most = place.last_n > most ? place.last_n : most;
	}
	ck_assert_uint_eq(most, 4 * MIB);
	tear_down();
}
END_TEST

START_TEST(reading_random_places_fetches_no_more)
{
	struct random r = random_seed();
	uint64_t asked = 0;

	set_up((uint64_t)1 << 40);
	for (uint64_t i = 0; i < 300; i++) {
		const size_t n = 1 + (size_t)random_below(&r, 100000);
		/* In no order; and no two are neighbours by chance. */
		const uint64_t stripe = i * 211 % 512;

		expect("a", (stripe << 31) + random_below(&r, 1U << 30) + 1, n,
		       0);
		asked += n;
	}
	ck_assert_uint_eq(place.requests, 300);
	ck_assert_uint_eq(place.fetched, asked);
	tear_down();
}
END_TEST

START_TEST(a_large_read_goes_by_itself)
{
	set_up(40 * MIB);
	expect("a", 0, 4 * MIB, 0);
	expect("a", 4 * MIB, 4 * MIB, 0);
	expect("a", 8 * MIB, 5 * MIB, 0);
	ck_assert_uint_eq(place.requests, 3);
	ck_assert_uint_eq(place.fetched, 13 * MIB);
	/* One byte less may be kept. */
	expect("b", 0, 1000, 0);
	expect("b", 1000, 4 * MIB - 1, 0);
	expect("b", 2000, 1000, 0);
	ck_assert_uint_eq(place.requests, 5);
	tear_down();
}
END_TEST

START_TEST(an_object_ends_where_it_ends)
{
	static const uint64_t sizes[] = {
		0, 1, 999, 1000, 1001, 256 * KIB + 1000, 256 * KIB + 999, MIB
	};

	for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
		set_up(sizes[k]);
		for (uint64_t at = 0; at < sizes[k] + 3000; at += 1000)
			expect("a", at, 1000, 0);
		expect("a", sizes[k], 10, 0);
		expect("a", sizes[k] + 1, 10, 0);
		expect("a", (uint64_t)1 << 50, 10, 0);
		expect("a", 0, 0, 0);
		tear_down();
	}
}
END_TEST

START_TEST(absent_is_absent)
{
	char out[10];
	size_t got = 77;

	set_up(MIB);
	place.absent = true;
	for (unsigned int i = 0; i < 3; i++)
		ck_assert_int_eq(
			s3_ahead_read(ahead, "a", i * 10, out, 10, 0, &got, &e),
			0);
	ck_assert_uint_eq(got, 77);
	/* It is not kept that it was so. */
	place.absent = false;
	expect("a", 30, 10, 0);
	tear_down();
}
END_TEST

START_TEST(a_failure_is_told_and_not_kept)
{
	char out[10];
	size_t got = 77;

	set_up(MIB);
	for (unsigned int i = 0; i < 4; i++) {
		place.fail = 1;
		ck_assert_int_eq(
			s3_ahead_read(ahead, "a", i * 10, out, 10, 0, &got, &e),
			-1);
		ck_assert_int_eq(e.code, ERR_BUSY);
		ck_assert_uint_eq(got, 77);
	}
	expect("a", 40, 10, 0);
	tear_down();
}
END_TEST

START_TEST(what_is_kept_is_forgotten_after_ten_seconds)
{
	unsigned int n;

	set_up(10 * MIB);
	expect("a", 0, 1000, 5000);
	expect("a", 1000, 1000, 5000);
	n = place.requests;
	expect("a", 2000, 1000, 15000);
	ck_assert_uint_eq(place.requests, n);
	change();
	expect("a", 3000, 1000, 15001);
	ck_assert_uint_eq(place.requests, n + 1);
	tear_down();
}
END_TEST

START_TEST(what_changes_is_forgotten)
{
	set_up(10 * MIB);
	expect("a", 0, 1000, 0);
	expect("a", 1000, 1000, 0);
	expect("b", 0, 1000, 0);
	expect("b", 1000, 1000, 0);
	s3_ahead_forget(ahead, "a");
	s3_ahead_forget(ahead, "never read");
	ck_assert_uint_eq(place.requests, 4);
	expect("b", 2000, 1000, 0);
	ck_assert_uint_eq(place.requests, 4);
	change();
	expect("a", 2000, 1000, 0);
	ck_assert_uint_eq(place.requests, 5);
	tear_down();
}
END_TEST

/* ---- threads ------------------------------------------------------------ */

struct reader {
	pthread_t thread;
	uint64_t offset;
	size_t n;
	uint8_t version;
	const char *wrong;
};

static void *read_one(void *arg)
{
	struct reader *r = arg;

	r->wrong = read_wrong("a", r->offset, r->n, 0, r->version);
	return NULL;
}

static void start(struct reader *r)
{
	ck_assert_int_eq(pthread_create(&r->thread, NULL, read_one, r), 0);
}

static void finish(struct reader *r)
{
	(void)pthread_join(r->thread, NULL);
	if (r->wrong)
		ck_abort_msg("%s at %llu", r->wrong,
			     (unsigned long long)r->offset);
}

/* The new bytes are read, although the old ones were under way. */
START_TEST(what_comes_while_it_changes_is_not_kept)
{
	struct reader r = { .offset = 1000, .n = 1000, .version = 1 };
	struct reader after = { .offset = 2000, .n = 1000, .version = 1 };
	unsigned int n;

	set_up(10 * MIB);
	expect("a", 0, 1000, 0);
	hold(true);
	start(&r);
	wait_for_held(1);
	s3_ahead_forget(ahead, "a");
	change();
	start(&after);
	wait_for_held(2);
	hold(false);
	finish(&after);
	finish(&r);
	/* And from then on what comes is kept as ever. */
	s3_ahead_forget(ahead, "a");
	n = place.requests;
	for (unsigned int i = 0; i < 6; i++)
		expect("a", 3000 + i * 100, 100, 0);
	ck_assert_uint_eq(place.requests, n + 1);
	tear_down();
}
END_TEST

START_TEST(two_that_want_the_same_send_one_request)
{
	struct reader r[6];

	set_up(10 * MIB);
	expect("a", 0, 1000, 0);
	hold(true);
	for (unsigned int i = 0; i < 6; i++) {
		r[i] = (struct reader){ .offset = 1000 + i * 100, .n = 1000 };
		start(&r[i]);
		wait_for_held(1);
	}
	hold(false);
	for (unsigned int i = 0; i < 6; i++)
		finish(&r[i]);
	ck_assert_uint_eq(place.requests, 2);
	tear_down();
}
END_TEST

/* Who waited for what failed asks by itself. */
START_TEST(one_that_fails_does_not_fail_who_waited)
{
	struct reader r[2] = { { .offset = 1000, .n = 1000 },
			       { .offset = 1500, .n = 1000 } };

	set_up(10 * MIB);
	expect("a", 0, 1000, 0);
	place.fail = 1;
	hold(true);
	start(&r[0]);
	wait_for_held(1);
	start(&r[1]);
	hold(false);
	(void)pthread_join(r[0].thread, NULL);
	(void)pthread_join(r[1].thread, NULL);
	ck_assert_int_eq((r[0].wrong != NULL) + (r[1].wrong != NULL), 1);
	tear_down();
}
END_TEST

/*
 * Two that share the work, out of step: each goes on where the other is, whom
 * it leaves behind by one read at most, however long that one sleeps.
 */
struct sharing {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint64_t next;
	uint64_t end;
	uint64_t at[2]; /* what each reads; the end: nothing */
};
struct pair {
	pthread_t thread;
	struct sharing *work;
	unsigned int i;
	const char *wrong;
};

#define TURN (60 * KIB)

static uint64_t take_turn(struct sharing *w, unsigned int i)
{
	uint64_t at;

	(void)pthread_mutex_lock(&w->lock);
	w->at[i] = w->end;
	(void)pthread_cond_broadcast(&w->changed);
	while (w->next < w->end && w->at[!i] + TURN < w->next)
		(void)pthread_cond_wait(&w->changed, &w->lock);
	at = w->next;
	if (at < w->end) {
		w->at[i] = at;
		w->next += TURN;
	}
	(void)pthread_mutex_unlock(&w->lock);
	return at;
}

static void *read_turns(void *arg)
{
	struct pair *p = arg;
	uint64_t at;

	while ((at = take_turn(p->work, p->i)) < p->work->end)
		if (!p->wrong)
			p->wrong = read_wrong("a", at, TURN, 0, 0);
	return NULL;
}

START_TEST(two_who_share_the_work_still_read_on)
{
	struct sharing work = { .lock = PTHREAD_MUTEX_INITIALIZER,
				.changed = PTHREAD_COND_INITIALIZER,
				.end = 16 * MIB,
				.at = { 16 * MIB, 16 * MIB } };
	struct pair p[2];

	set_up(16 * MIB);
	for (unsigned int i = 0; i < 2; i++) {
		p[i] = (struct pair){ .work = &work, .i = i };
		ck_assert_int_eq(
			pthread_create(&p[i].thread, NULL, read_turns, &p[i]),
			0);
	}
	for (unsigned int i = 0; i < 2; i++) {
		(void)pthread_join(p[i].thread, NULL);
		if (p[i].wrong)
			ck_abort_msg("%s", p[i].wrong);
	}
	/* Of 274 reads. */
	ck_assert_uint_le(place.requests, 40);
	tear_down();
}
END_TEST

/* The same, always out of step: the second of a pair before the first. */
START_TEST(a_step_back_is_still_reading_on)
{
	set_up(16 * MIB);
	for (uint64_t at = 0; at < 16 * MIB; at += 128 * KIB) {
		expect("a", at + 64 * KIB, 64 * KIB, 0);
		expect("a", at, 64 * KIB, 0);
	}
	ck_assert_uint_le(place.requests, 15);
	tear_down();
}
END_TEST

/* As two do of whom one walks a tree before the other. */
START_TEST(two_places_of_one_object_are_read_on)
{
	set_up(32 * MIB);
	for (uint64_t at = 0; at < 8 * MIB; at += 100 * KIB) {
		expect("a", at, 100 * KIB, 0);
		expect("a", 16 * MIB + at, 100 * KIB, 0);
	}
	/* The first read of each, and five stretches that double. */
	ck_assert_uint_le(place.requests, 14);
	tear_down();
}
END_TEST

/* More objects than there is room for: what is had most lately is kept. */
START_TEST(six_stretches_are_kept_and_the_oldest_goes)
{
	static const char *const names[] = {
		"a", "b", "c", "d", "e", "f", "g"
	};
	unsigned int n;

	set_up(10 * MIB);
	for (unsigned int i = 0; i < 7; i++) {
		expect(names[i], 0, 1000, 0);
		expect(names[i], 1000, 1000, 0);
	}
	n = place.requests;
	ck_assert_uint_eq(n, 14);
	for (unsigned int i = 1; i < 7; i++)
		expect(names[i], 2000, 1000, 0);
	ck_assert_uint_eq(place.requests, n);
	expect("a", 2000, 1000, 0);
	ck_assert_uint_eq(place.requests, n + 1);
	/* By when it was read, not by when it came: "c" is the oldest now, and
	 * goes for "h" unless it is read once more. */
	expect("c", 3000, 1000, 0);
	expect("h", 0, 1000, 0);
	expect("h", 1000, 1000, 0);
	n = place.requests;
	expect("c", 4000, 1000, 0);
	expect("a", 3000, 1000, 0);
	ck_assert_uint_eq(place.requests, n);
	tear_down();
}
END_TEST

static void *read_second(void *name)
{
	return (void *)(uintptr_t)read_wrong(name, 1000, 1000, 0, 0);
}

/* All of them coming: the seventh gets what it asks for, and waits for none. */
START_TEST(when_all_are_coming_a_read_goes_by_itself)
{
	static const char *const names[] = {
		"b", "c", "d", "e", "f", "g", "h"
	};
	pthread_t threads[7];

	set_up(10 * MIB);
	for (unsigned int i = 0; i < 7; i++)
		expect(names[i], 0, 1000, 0);
	hold(true);
	for (unsigned int i = 0; i < 7; i++) {
		ck_assert_int_eq(pthread_create(&threads[i], NULL, read_second,
						(void *)(uintptr_t)names[i]),
				 0);
		wait_for_held(i + 1);
	}
	ck_assert_uint_eq(place.last_n, 1000);
	hold(false);
	for (unsigned int i = 0; i < 7; i++) {
		void *wrong;

		(void)pthread_join(threads[i], &wrong);
		ck_assert_ptr_null(wrong);
	}
	tear_down();
}
END_TEST

/* ---- at random ---------------------------------------------------------- */

struct walker {
	pthread_t thread;
	struct random random;
	const char *wrong;
};

/* Sequential for a while, then elsewhere; now and then it forgets. */
static void *walk(void *arg)
{
	static const char *const names[] = { "a", "b", "c", "d" };
	struct walker *w = arg;
	struct random r = w->random;
	uint64_t at = 0;
	const char *name = "a";

	for (unsigned int i = 0; i < 400 && !w->wrong; i++) {
		const size_t n = random_below(&r, 10)
					 ? random_below(&r, 30000)
					 : random_below(&r, 600000);

		if (random_below(&r, 8) == 0) {
			name = names[random_below(&r, 4)];
			at = random_below(&r, place.size + 100000);
		}
		if (random_below(&r, 40) == 0)
			s3_ahead_forget(ahead, name);
		w->wrong = read_wrong(name, at, n, (int64_t)i * 50, 0);
		at += n;
		if (random_below(&r, 6) == 0)
			at -= random_below(&r, at < 200000 ? at + 1 : 200000);
	}
	return NULL;
}

START_TEST(any_reads_give_the_same_bytes)
{
	struct random seed = random_seed();
	struct walker w[6];

	set_up(9 * MIB + 12345);
	for (unsigned int i = 0; i < 6; i++) {
		w[i] = (struct walker){ .random = { random_u64(&seed) } };
		ck_assert_int_eq(
			pthread_create(&w[i].thread, NULL, walk, &w[i]), 0);
	}
	for (unsigned int i = 0; i < 6; i++) {
		(void)pthread_join(w[i].thread, NULL);
		if (w[i].wrong)
			ck_abort_msg("%s", w[i].wrong);
	}
	tear_down();
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, a_single_read_gets_what_it_asks_for);
	tcase_add_test(tc, reading_on_takes_few_requests);
	tcase_add_test(tc, what_is_ahead_doubles_up_to_a_bound);
	tcase_add_test(tc, reading_random_places_fetches_no_more);
	tcase_add_test(tc, a_large_read_goes_by_itself);
	tcase_add_test(tc, an_object_ends_where_it_ends);
	tcase_add_test(tc, absent_is_absent);
	tcase_add_test(tc, a_failure_is_told_and_not_kept);
	tcase_add_test(tc, what_is_kept_is_forgotten_after_ten_seconds);
	tcase_add_test(tc, what_changes_is_forgotten);
	tcase_add_test(tc, what_comes_while_it_changes_is_not_kept);
	tcase_add_test(tc, two_that_want_the_same_send_one_request);
	tcase_add_test(tc, one_that_fails_does_not_fail_who_waited);
	tcase_add_test(tc, two_who_share_the_work_still_read_on);
	tcase_add_test(tc, a_step_back_is_still_reading_on);
	tcase_add_test(tc, two_places_of_one_object_are_read_on);
	tcase_add_test(tc, six_stretches_are_kept_and_the_oldest_goes);
	tcase_add_test(tc, when_all_are_coming_a_read_goes_by_itself);
	tcase_add_test(tc, any_reads_give_the_same_bytes);
}

CHECK_MAIN("storage/s3_ahead", cases)

/*
 * Chunks ahead of those who need them, over a made-up store: what is taken is
 * what is there, what it costs in requests, who waits for whom, and what comes
 * of a store that fails.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "storage/repository/prefetch.h"
#include "tests/support/check_main.h"
#include "tests/support/random.h"

#define KIB ((uint32_t)1 << 10)
#define MIB ((uint32_t)1 << 20)

/* Byte i of a pack is a mixture of i and its id. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint64_t size;
	unsigned int requests;
	uint64_t fetched; /* bytes */
	uint64_t most;	  /* of one request */
	bool absent;
	enum err_code fails;
	bool held; /* requests wait */
	unsigned int waiting;
} place;

static struct prefetch *p;
static struct err e;

static uint8_t byte_of(uint8_t pack, uint64_t i)
{
	return (uint8_t)((i * 2654435761U >> 11) + pack);
}

static int read_made_up(struct store *s UNUSED, const char *name,
			uint64_t offset, void *out, size_t n, size_t *ret_got,
			struct err *err)
{
	const uint8_t pack = (uint8_t)strtoul(name + strlen("data/xx/") + 30,
					      NULL, 16);
	uint64_t there;
	enum err_code fails;
	bool absent;

	(void)pthread_mutex_lock(&place.lock);
	place.requests++;
	place.waiting++;
	(void)pthread_cond_broadcast(&place.changed);
	while (place.held)
		(void)pthread_cond_wait(&place.changed, &place.lock);
	place.waiting--;
	fails = place.fails;
	absent = place.absent;
	there = offset < place.size ? place.size - offset : 0;
	*ret_got = there < n ? (size_t)there : n;
	place.fetched += *ret_got;
	place.most = n > place.most ? n : place.most;
	(void)pthread_mutex_unlock(&place.lock);
	if (fails != ERR_NONE)
		return err_set(err, fails, "made up");
	if (absent)
		return 0;
	for (size_t i = 0; i < *ret_got; i++)
		((uint8_t *)out)[i] = byte_of(pack, offset + i);
	return 1;
}

static const struct store_ops ops = { .scheme = "made-up",
				      .read_once = read_made_up };
static struct store store = { .ops = &ops, .url = "made-up:" };

static void set_up_with(size_t bytes)
{
	memset(&place, 0, sizeof(place));
	place.size = PACK_MAX;
	(void)pthread_mutex_init(&place.lock, NULL);
	(void)pthread_cond_init(&place.changed, NULL);
	err_clear(&e);
	ck_ok(prefetch_new(&store, bytes, &p, &e));
}

static void set_up(void)
{
	set_up_with(PREFETCH_BYTES);
}

static void tear_down(void)
{
	prefetch_free(p);
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

/* Until so many requests are held. */
static void wait_for_held(unsigned int n)
{
	(void)pthread_mutex_lock(&place.lock);
	while (place.waiting < n)
		(void)pthread_cond_wait(&place.changed, &place.lock);
	(void)pthread_mutex_unlock(&place.lock);
}

static unsigned int requests(void)
{
	unsigned int n;

	(void)pthread_mutex_lock(&place.lock);
	n = place.requests;
	(void)pthread_mutex_unlock(&place.lock);
	return n;
}

static struct pack_place at(uint8_t pack, uint32_t offset, uint32_t len)
{
	struct pack_place x = { .offset = offset, .len = len };

	x.pack.b[sizeof(x.pack.b) - 1] = pack;
	return x;
}

static bool want(uint8_t pack, uint32_t offset, uint32_t len, uint64_t position)
{
	const struct pack_place x = at(pack, offset, len);

	return prefetch_want(p, OBJECT_DATA_PACK, &x, position);
}

/* As prefetch_take(); 7 when the bytes are wrong. */
static int take(uint8_t pack, uint32_t offset, uint32_t len, struct err *err)
{
	const struct pack_place x = at(pack, offset, len);
	uint8_t *out = malloc((size_t)len + 1);
	int r;

	ck_assert_ptr_nonnull(out);
	out[len] = 0x5a;
	r = prefetch_take(p, OBJECT_DATA_PACK, &x, out, err);
	for (uint32_t i = 0; r == 1 && i < len; i++)
		if (out[i] != byte_of(pack, (uint64_t)offset + i))
			r = 7;
	if (out[len] != 0x5a)
		r = 7;
	free(out);
	return r;
}

START_TEST(neighbours_come_in_few_requests_and_once)
{
	set_up();
	/* Two packs, in turns, neighbours out of order. */
	for (uint32_t i = 0; i < 160; i++)
		ck_assert(want((uint8_t)(i / 16 % 2 + 1),
			       (i / 32 * 16 + (i % 16 ^ 1)) * 100 * KIB,
			       100 * KIB, i));
	prefetch_wanted_all(p);
	for (uint32_t i = 0; i < 160; i++)
		ck_assert_int_eq(take((uint8_t)(i / 16 % 2 + 1),
				      (i / 32 * 16 + i % 16) * 100 * KIB,
				      100 * KIB, &e),
				 1);
	/* 8,000 KiB of each. */
	ck_assert_uint_eq(requests(), 2);
	ck_assert_uint_eq(place.fetched, (uint64_t)16000 * KIB);
	tear_down();
}
END_TEST

START_TEST(what_lies_apart_is_not_read_along)
{
	set_up();
	ck_assert(want(1, 0, 1000, 0));
	ck_assert(want(1, 1000 + PACK_RUN_GAP, 1000, 0));
	ck_assert(want(1, 2001 + 2 * PACK_RUN_GAP, 1000, 0));
	prefetch_wanted_all(p);
	ck_assert_int_eq(take(1, 0, 1000, &e), 1);
	ck_assert_int_eq(take(1, 1000 + PACK_RUN_GAP, 1000, &e), 1);
	ck_assert_int_eq(take(1, 2001 + 2 * PACK_RUN_GAP, 1000, &e), 1);
	ck_assert_uint_eq(requests(), 2);
	ck_assert_uint_eq(place.fetched, 3000 + PACK_RUN_GAP);
	tear_down();
}
END_TEST

START_TEST(no_request_is_larger_than_a_range)
{
	set_up();
	for (uint32_t i = 0; i < 20; i++)
		ck_assert(want(1, i * 3 * MIB, 3 * MIB, i));
	prefetch_wanted_all(p);
	for (uint32_t i = 0; i < 20; i++)
		ck_assert_int_eq(take(1, i * 3 * MIB, 3 * MIB, &e), 1);
	ck_assert_uint_le(place.most, PREFETCH_RANGE);
	ck_assert_uint_le(requests(), 14);
	ck_assert_uint_eq(place.fetched, (uint64_t)60 * MIB);
	tear_down();
}
END_TEST

START_TEST(what_was_not_planned_is_not_here)
{
	set_up();
	ck_assert_int_eq(take(1, 0, 1000, &e), 0);
	ck_assert(want(1, 0, 1000, 0));
	ck_assert(want(1, 5000, 1000, 0));
	/* It was read by whoever missed it: not once more. */
	prefetch_wanted_all(p);
	ck_assert_int_eq(take(1, 0, 1000, &e), 0);
	ck_assert_int_eq(take(1, 5000, 1000, &e), 1);
	/* Beyond a range, of another pack or kind, or over its end. */
	ck_assert_int_eq(take(1, 5500, 1000, &e), 0);
	ck_assert_int_eq(take(2, 5000, 1000, &e), 0);
	ck_assert_uint_eq(requests(), 1);
	tear_down();
}
END_TEST

START_TEST(what_is_planned_and_not_begun_is_fetched_by_who_needs_it)
{
	set_up();
	ck_assert(want(1, 0, 1000, 0));
	ck_assert(want(1, 1000, 1000, 0));
	/* Nobody said that this is all: it is being gathered. */
	ck_assert_int_eq(take(1, 1000, 1000, &e), 1);
	ck_assert_int_eq(take(1, 0, 1000, &e), 1);
	ck_assert_uint_eq(requests(), 1);
	tear_down();
}
END_TEST

START_TEST(what_comes_again_is_kept)
{
	set_up();
	ck_assert(want(1, 0, MIB, 0));
	prefetch_wanted_all(p);
	ck_assert_int_eq(take(1, 0, MIB, &e), 1);
	prefetch_reached(p, 100);
	ck_assert(want(1, 0, MIB, 200));
	prefetch_wanted_all(p);
	ck_assert_int_eq(take(1, 0, MIB, &e), 1);
	ck_assert_uint_eq(requests(), 1);
	tear_down();
}
END_TEST

/* ---- room --------------------------------------------------------------- */

struct planner {
	pthread_t thread;
	uint32_t n;
	uint32_t len;
	uint32_t told; /* lock */
	bool ended;
};

static void *plan(void *arg)
{
	struct planner *x = arg;

	for (uint32_t i = 0; i < x->n && !x->ended; i++) {
		x->ended = !want(1, i * x->len, x->len, i);
		(void)pthread_mutex_lock(&place.lock);
		x->told = i + 1;
		(void)pthread_cond_broadcast(&place.changed);
		(void)pthread_mutex_unlock(&place.lock);
	}
	prefetch_wanted_all(p);
	return NULL;
}

static void start(struct planner *x)
{
	ck_assert_int_eq(pthread_create(&x->thread, NULL, plan, x), 0);
}

static void wait_for_told(struct planner *x, uint32_t n)
{
	(void)pthread_mutex_lock(&place.lock);
	while (x->told < n)
		(void)pthread_cond_wait(&place.changed, &place.lock);
	(void)pthread_mutex_unlock(&place.lock);
}

/* 32 MiB through 4 MiB: nothing is fetched twice, or never. */
START_TEST(the_planner_waits_for_the_work)
{
	struct planner x = { .n = 64, .len = MIB / 2 };

	set_up_with(4 * MIB);
	start(&x);
	wait_for_told(&x, 8);
	for (uint32_t i = 0; i < x.n; i++) {
		prefetch_reached(p, i);
		wait_for_told(&x, i + 1);
		ck_assert_int_eq(take(1, i * x.len, x.len, &e), 1);
		ck_assert_uint_le(place.fetched,
				  (uint64_t)(i + 8) * x.len + 8 * MIB);
	}
	(void)pthread_join(x.thread, NULL);
	ck_assert(!x.ended);
	ck_assert_uint_eq(place.fetched, (uint64_t)32 * MIB);
	tear_down();
}
END_TEST

START_TEST(the_end_wakes_the_planner)
{
	struct planner x = { .n = 64, .len = MIB / 2 };

	set_up_with(4 * MIB);
	start(&x);
	wait_for_told(&x, 8);
	prefetch_end(p);
	(void)pthread_join(x.thread, NULL);
	ck_assert(x.ended);
	tear_down();
}
END_TEST

/* What was passed over, as it was there already, makes room unread. */
START_TEST(a_planner_that_was_wrong_goes_on)
{
	struct planner x = { .n = 64, .len = MIB / 2 };

	set_up_with(4 * MIB);
	start(&x);
	wait_for_told(&x, 8);
	prefetch_reached(p, 60);
	(void)pthread_join(x.thread, NULL);
	ck_assert(!x.ended);
	for (uint32_t i = 60; i < 64; i++)
		ck_assert_int_eq(take(1, i * x.len, x.len, &e), 1);
	/* Those between were never begun. */
	ck_assert_uint_le(place.fetched, (uint64_t)6 * MIB);
	tear_down();
}
END_TEST

/* Of those who share the work, the one that is least far counts. */
START_TEST(it_has_come_as_far_as_the_last_of_those_who_share_it)
{
	const struct pack_place next = at(2, 0, MIB);

	set_up_with(4 * MIB);
	ck_assert(want(1, 0, 4 * MIB, 7));
	prefetch_at(p, 0, 0);
	prefetch_at(p, 1, 8);
	ck_assert(!prefetch_try(p, OBJECT_DATA_PACK, &next, 9));
	prefetch_at(p, 0, 7);
	ck_assert(!prefetch_try(p, OBJECT_DATA_PACK, &next, 9));
	/* Who has nothing to do holds nobody up. */
	prefetch_at(p, 0, PREFETCH_NOWHERE);
	ck_assert(prefetch_try(p, OBJECT_DATA_PACK, &next, 9));
	tear_down();
}
END_TEST

static void *leave(void *arg UNUSED)
{
	struct err why;

	/* What is on its way makes no room. */
	if (take(1, 0, 4 * MIB, &why) == 1)
		prefetch_at(p, 0, PREFETCH_NOWHERE);
	return NULL;
}

/* One on whom the work depends waits for nobody who is not at work. */
START_TEST(room_is_waited_for_while_somebody_works)
{
	const struct pack_place next = at(2, 0, MIB);
	pthread_t worker;

	set_up_with(4 * MIB);
	ck_assert(want(1, 0, 4 * MIB, 7));
	prefetch_wait(p, MIB);
	ck_assert(!prefetch_try(p, OBJECT_DATA_PACK, &next, 8));
	prefetch_at(p, 0, 7);
	ck_assert_int_eq(pthread_create(&worker, NULL, leave, NULL), 0);
	prefetch_wait(p, MIB);
	ck_assert(prefetch_try(p, OBJECT_DATA_PACK, &next, 8));
	(void)pthread_join(worker, NULL);
	/* What never has room. */
	prefetch_wait(p, 5 * MIB);
	prefetch_at(p, 0, 9);
	prefetch_end(p);
	prefetch_wait(p, 5 * MIB);
	tear_down();
}
END_TEST

START_TEST(when_all_have_nothing_to_do_all_is_done)
{
	const struct pack_place next = at(2, 0, MIB);

	set_up_with(4 * MIB);
	prefetch_at(p, 0, 6);
	ck_assert(want(1, 0, 4 * MIB, 7));
	prefetch_at(p, 1, 7);
	prefetch_at(p, 1, PREFETCH_NOWHERE);
	ck_assert(!prefetch_try(p, OBJECT_DATA_PACK, &next, 8));
	prefetch_at(p, 0, PREFETCH_NOWHERE);
	ck_assert(prefetch_try(p, OBJECT_DATA_PACK, &next, 8));
	tear_down();
}
END_TEST

/* ---- a store that fails ------------------------------------------------- */

START_TEST(what_does_not_come_is_not_here)
{
	set_up();
	place.fails = ERR_IO;
	ck_assert(want(1, 0, 1000, 0));
	ck_assert_int_eq(take(1, 0, 1000, &e), 0);
	place.fails = ERR_NONE;
	place.absent = true;
	ck_assert(want(2, 0, 1000, 0));
	ck_assert_int_eq(take(2, 0, 1000, &e), 0);
	place.absent = false;
	place.size = 1500;
	ck_assert(want(3, 0, 1000, 0));
	ck_assert(want(3, 1000, 1000, 0));
	ck_assert_int_eq(take(3, 0, 1000, &e), 0);
	ck_assert_int_eq(take(3, 1000, 1000, &e), 0);
	ck_assert_uint_eq(requests(), 3);
	tear_down();
}
END_TEST

/* Nobody waits for it once more, and nothing more is begun. */
START_TEST(a_store_that_does_not_answer_ends_it)
{
	set_up();
	place.fails = ERR_BUSY;
	ck_assert(want(1, 0, 1000, 0));
	ck_assert_int_eq(take(1, 0, 1000, &e), -1);
	ck_assert_int_eq(e.code, ERR_BUSY);
	ck_assert(!want(2, 0, 1000, 0));
	ck_assert_int_eq(take(2, 0, 1000, &e), 0);
	ck_assert_uint_eq(requests(), 1);
	tear_down();
}
END_TEST

/* ---- several ------------------------------------------------------------ */

struct taker {
	pthread_t thread;
	uint32_t offset;
	int got;
};

static void *take_one(void *arg)
{
	struct taker *t = arg;
	struct err why;

	t->got = take(1, t->offset, 1000, &why);
	return NULL;
}

START_TEST(two_that_need_one_range_send_one_request)
{
	struct taker t[4];

	set_up();
	for (uint32_t i = 0; i < 4; i++)
		ck_assert(want(1, i * 1000, 1000, 0));
	hold(true);
	prefetch_wanted_all(p);
	for (uint32_t i = 0; i < 4; i++) {
		t[i] = (struct taker){ .offset = i * 1000 };
		ck_assert_int_eq(
			pthread_create(&t[i].thread, NULL, take_one, &t[i]), 0);
	}
	wait_for_held(1);
	hold(false);
	for (uint32_t i = 0; i < 4; i++) {
		(void)pthread_join(t[i].thread, NULL);
		ck_assert_int_eq(t[i].got, 1);
	}
	ck_assert_uint_eq(requests(), 1);
	tear_down();
}
END_TEST

START_TEST(several_ranges_are_under_way_at_once)
{
	set_up();
	hold(true);
	for (uint32_t i = 0; i < 5; i++)
		ck_assert(want((uint8_t)i, 0, PREFETCH_RANGE, i));
	wait_for_held(5);
	hold(false);
	for (uint32_t i = 0; i < 5; i++)
		ck_assert_int_eq(take((uint8_t)i, 0, 1000, &e), 1);
	ck_assert_uint_eq(requests(), 5);
	tear_down();
}
END_TEST

/* One plans at random, some take in that order, out of step; some things are
 * taken that nobody planned, and some planned are never taken. */
#define STEPS 600
struct story {
	uint8_t pack[STEPS];
	uint32_t offset[STEPS], len[STEPS];
	bool planned[STEPS], taken[STEPS];
	pthread_mutex_t lock;
	uint32_t next;
	const char *wrong;
};

static void *plan_story(void *arg)
{
	const struct story *x = arg;

	for (uint32_t i = 0; i < STEPS; i++)
		if (x->planned[i] &&
		    !want(x->pack[i], x->offset[i], x->len[i], i))
			return NULL;
	prefetch_wanted_all(p);
	return NULL;
}

static void *take_story(void *arg)
{
	struct story *x = arg;
	struct err why;

	for (;;) {
		uint32_t i;

		(void)pthread_mutex_lock(&x->lock);
		i = x->next++;
		(void)pthread_mutex_unlock(&x->lock);
		if (i >= STEPS)
			return NULL;
		/* Three takers: those before may be under way still. */
		prefetch_reached(p, i < 3 ? 0 : i - 3);
		if (x->taken[i] &&
		    take(x->pack[i], x->offset[i], x->len[i], &why) == 7)
			x->wrong = "a byte";
	}
}

START_TEST(whatever_is_planned_and_taken_is_right)
{
	struct random r = random_seed();
	static struct story x;
	pthread_t planner;
	pthread_t takers[3];
	uint32_t offset = 0;

	memset(&x, 0, sizeof(x));
	(void)pthread_mutex_init(&x.lock, NULL);
	set_up_with((size_t)2 * MIB);
	for (uint32_t i = 0; i < STEPS; i++) {
		if (random_below(&r, 10) == 0)
			offset = (uint32_t)random_below(&r, 30 * MIB);
		x.pack[i] = (uint8_t)(random_below(&r, 20) ? 1 + i / 200
							   : i % 7);
		x.offset[i] = offset;
		x.len[i] = 1 + (uint32_t)random_below(&r, 60 * KIB);
		x.planned[i] = random_below(&r, 20) != 0;
		x.taken[i] = random_below(&r, 20) != 0;
		offset += random_below(&r, 8) ? x.len[i] : 0;
	}
	ck_assert_int_eq(pthread_create(&planner, NULL, plan_story, &x), 0);
	for (uint32_t i = 0; i < 3; i++)
		ck_assert_int_eq(
			pthread_create(&takers[i], NULL, take_story, &x), 0);
	for (uint32_t i = 0; i < 3; i++)
		(void)pthread_join(takers[i], NULL);
	prefetch_end(p);
	(void)pthread_join(planner, NULL);
	if (x.wrong)
		ck_abort_msg("%s", x.wrong);
	(void)pthread_mutex_destroy(&x.lock);
	tear_down();
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, neighbours_come_in_few_requests_and_once);
	tcase_add_test(tc, what_lies_apart_is_not_read_along);
	tcase_add_test(tc, no_request_is_larger_than_a_range);
	tcase_add_test(tc, what_was_not_planned_is_not_here);
	tcase_add_test(
		tc, what_is_planned_and_not_begun_is_fetched_by_who_needs_it);
	tcase_add_test(tc, what_comes_again_is_kept);
	tcase_add_test(tc, the_planner_waits_for_the_work);
	tcase_add_test(tc, the_end_wakes_the_planner);
	tcase_add_test(tc, a_planner_that_was_wrong_goes_on);
	tcase_add_test(tc,
		       it_has_come_as_far_as_the_last_of_those_who_share_it);
	tcase_add_test(tc, room_is_waited_for_while_somebody_works);
	tcase_add_test(tc, when_all_have_nothing_to_do_all_is_done);
	tcase_add_test(tc, what_does_not_come_is_not_here);
	tcase_add_test(tc, a_store_that_does_not_answer_ends_it);
	tcase_add_test(tc, two_that_need_one_range_send_one_request);
	tcase_add_test(tc, several_ranges_are_under_way_at_once);
	tcase_add_test(tc, whatever_is_planned_and_taken_is_right);
}

CHECK_MAIN("storage/prefetch", cases)

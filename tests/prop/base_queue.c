/* Many producers and consumers: nothing lost, doubled, or out of order. */
#include "base/queue.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>

#include "tests/support/check_main.h"
#include "tests/support/random.h"

enum { THREADS = 4, EACH = 20000 };

struct worker {
	pthread_t thread;
	struct queue *q;
	uintptr_t id;
	uint64_t seed;
	bool ok;
};

/* How often an item of each producer came out; its number plus one. */
static _Atomic unsigned int taken[THREADS][EACH];
static _Atomic unsigned int pushed_in;

static void *produce(void *arg)
{
	struct worker *w = arg;
	struct random r = { w->seed };

	for (uintptr_t i = 0; i < EACH; i++) {
		if (random_below(&r, 64) == 0)
			(void)sched_yield();
		if (!queue_push(w->q, (void *)(w->id * EACH + i + 1)))
			break;
		atomic_fetch_add(&pushed_in, 1);
	}
	return NULL;
}

static void *consume(void *arg)
{
	struct worker *w = arg;
	struct random r = { w->seed };
	uintptr_t last[THREADS] = { 0 };
	void *item;

	w->ok = true;
	while (queue_pop(w->q, &item)) {
		const uintptr_t v = (uintptr_t)item - 1;
		const uintptr_t from = v / EACH;

		atomic_fetch_add(&taken[from][v % EACH], 1);
		/* One producer's items reach one consumer in their order. */
		w->ok = w->ok && (uintptr_t)item > last[from];
		last[from] = (uintptr_t)item;
		if (random_below(&r, 64) == 0)
			(void)sched_yield();
	}
	return NULL;
}

static unsigned int taken_once(void)
{
	unsigned int n = 0;

	for (size_t p = 0; p < THREADS; p++)
		for (size_t i = 0; i < EACH; i++) {
			ck_assert_uint_le(taken[p][i], 1);
			n += taken[p][i];
			taken[p][i] = 0;
		}
	return n;
}

static void run(struct random *r, size_t capacity, bool abort_it)
{
	CLEANUP(queue_free) struct queue *q = NULL;
	struct worker producers[THREADS];
	struct worker consumers[THREADS];
	unsigned int left = 0;
	struct err e;

	ck_ok(queue_new(&q, capacity, &e));
	atomic_store(&pushed_in, 0);
	for (uintptr_t i = 0; i < THREADS; i++) {
		producers[i] = (struct worker){ .q = q,
						.id = i,
						.seed = random_u64(r) };
		consumers[i] = (struct worker){ .q = q,
						.id = i,
						.seed = random_u64(r) };
		ck_assert(!pthread_create(&producers[i].thread, NULL, produce,
					  &producers[i]));
		ck_assert(!pthread_create(&consumers[i].thread, NULL, consume,
					  &consumers[i]));
	}
	while (abort_it && atomic_load(&pushed_in) < EACH)
		(void)sched_yield();
	if (abort_it)
		queue_abort(q);
	for (size_t i = 0; i < THREADS; i++)
		ck_assert(!pthread_join(producers[i].thread, NULL));
	queue_close(q);
	for (size_t i = 0; i < THREADS; i++) {
		ck_assert(!pthread_join(consumers[i].thread, NULL));
		ck_assert(consumers[i].ok);
	}
	while (queue_drain(q))
		left++;
	ck_assert_uint_le(left, capacity);
	ck_assert_uint_eq(taken_once() + left, atomic_load(&pushed_in));
	if (!abort_it) {
		ck_assert_uint_eq(left, 0);
		ck_assert_uint_eq(atomic_load(&pushed_in), THREADS * EACH);
	}
}

START_TEST(nothing_is_lost_or_doubled)
{
	struct random r = random_seed();

	run(&r, 1, false);
	run(&r, 2, false);
	run(&r, 64, false);
}
END_TEST

START_TEST(what_an_abort_leaves_is_still_there)
{
	struct random r = random_seed();

	for (size_t i = 0; i < 5; i++)
		run(&r, 1 + random_below(&r, 100), true);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, nothing_is_lost_or_doubled);
	tcase_add_test(tc, what_an_abort_leaves_is_still_there);
}

CHECK_MAIN("prop base/queue", cases)

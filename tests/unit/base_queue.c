#include "base/queue.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/clock.h"
#include "tests/support/alloc_fail.h"
#include "tests/support/check_main.h"

static int items[1000];

START_TEST(gives_back_in_order)
{
	CLEANUP(queue_free) struct queue *q = NULL;
	struct err e;
	void *item;

	ck_ok(queue_new(&q, 3, &e));
	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < 3; i++)
			ck_assert(queue_push(q, &items[i]));
		for (int i = 0; i < 3; i++) {
			ck_assert_int_eq(queue_pop(q, &item), 1);
			ck_assert_ptr_eq(item, &items[i]);
		}
	}
}
END_TEST

START_TEST(closing_lets_the_rest_out)
{
	CLEANUP(queue_free) struct queue *q = NULL;
	struct err e;
	void *item;

	ck_ok(queue_new(&q, 2, &e));
	ck_assert(queue_push(q, &items[0]));
	ck_assert(queue_push(q, &items[1]));
	queue_close(q);
	ck_assert(!queue_push(q, &items[2]));
	ck_assert_int_eq(queue_pop(q, &item), 1);
	ck_assert_ptr_eq(item, &items[0]);
	ck_assert_int_eq(queue_pop(q, &item), 1);
	ck_assert_ptr_eq(item, &items[1]);
	item = &items[9];
	ck_assert_int_eq(queue_pop(q, &item), 0);
	ck_assert_ptr_eq(item, &items[9]);
	queue_close(q);
	ck_assert_int_eq(queue_pop(q, &item), 0);
	ck_assert_ptr_null(queue_drain(q));
}
END_TEST

START_TEST(whoever_does_not_wait_gets_what_is_there)
{
	CLEANUP(queue_free) struct queue *q = NULL;
	struct err e;
	void *item;

	ck_ok(queue_new(&q, 1, &e));
	ck_assert_int_eq(queue_try_pop(q, &item), 0);
	for (int i = 0; i < 3; i++) {
		ck_assert(queue_push(q, &items[i]));
		ck_assert_int_eq(queue_try_pop(q, &item), 1);
		ck_assert_ptr_eq(item, &items[i]);
	}
	ck_assert(queue_push(q, &items[0]));
	/* The last ones are shared out one by one. */
	queue_close(q);
	ck_assert_int_eq(queue_try_pop(q, &item), 0);
	ck_assert_int_eq(queue_pop(q, &item), 1);
	ck_assert_int_eq(queue_pop(q, &item), 0);
}
END_TEST

static atomic_int popper; /* the thread, by its number */

static void *pop_one(void *arg)
{
	void *item = NULL;

	atomic_store(&popper, (int)gettid());
	return queue_pop(arg, &item) ? item : NULL;
}

/* What the kernel says of it: nothing but the queue lets it sleep. */
static bool is_asleep(int thread)
{
	char path[64];
	char state = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/self/task/%d/stat", thread);
	f = fopen(path, "re");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fscanf(f, "%*d (%*[^)]) %c", &state), 1);
	ck_assert_int_eq(fclose(f), 0);
	return state == 'S';
}

static void goes_to_who_waits(struct queue *q)
{
	pthread_t waiting;
	void *item;

	atomic_store(&popper, 0);
	ck_assert_int_eq(pthread_create(&waiting, NULL, pop_one, q), 0);
	while (atomic_load(&popper) == 0 || !is_asleep(atomic_load(&popper)))
		clock_sleep_ms(1);
	ck_assert(queue_push(q, &items[0]));
	ck_assert_int_eq(queue_try_pop(q, &item), 0);
	ck_assert_int_eq(pthread_join(waiting, &item), 0);
	ck_assert_ptr_eq(item, &items[0]);
}

START_TEST(nobody_takes_what_another_waits_for)
{
	CLEANUP(queue_free) struct queue *q = NULL;
	struct err e;

	ck_ok(queue_new(&q, 2, &e));
	for (int i = 0; i < 20; i++)
		goes_to_who_waits(q);
}
END_TEST

START_TEST(aborting_keeps_the_rest_for_its_owner)
{
	CLEANUP(queue_free) struct queue *q = NULL;
	struct err e;
	void *item;

	ck_ok(queue_new(&q, 2, &e));
	ck_assert(queue_push(q, &items[0]));
	ck_assert(queue_push(q, &items[1]));
	queue_close(q);
	queue_abort(q);
	ck_assert_int_eq(queue_pop(q, &item), 0);
	ck_assert_int_eq(queue_try_pop(q, &item), 0);
	ck_assert(!queue_push(q, &items[2]));
	ck_assert_ptr_eq(queue_drain(q), &items[0]);
	ck_assert_ptr_eq(queue_drain(q), &items[1]);
	ck_assert_ptr_null(queue_drain(q));
}
END_TEST

static void *push_until_refused(void *arg)
{
	uintptr_t n = 0;

	while (queue_push(arg, &items[0]))
		n++;
	return (void *)n;
}

static void *pop_until_refused(void *arg)
{
	uintptr_t n = 0;
	void *item;

	while (queue_pop(arg, &item))
		n++;
	return (void *)n;
}

/* Threads that wait are let go, whichever side they wait on. */
START_TEST(ending_wakes_those_who_wait)
{
	for (int abort_it = 0; abort_it < 2; abort_it++) {
		struct queue *full = NULL;
		struct queue *empty = NULL;
		pthread_t pushing[2];
		pthread_t popping[2];
		uintptr_t pushed = 0;
		struct err e;

		ck_ok(queue_new(&full, 4, &e));
		ck_ok(queue_new(&empty, 4, &e));
		for (int i = 0; i < 2; i++) {
			ck_assert(!pthread_create(&pushing[i], NULL,
						  push_until_refused, full));
			ck_assert(!pthread_create(&popping[i], NULL,
						  pop_until_refused, empty));
		}
		(abort_it ? queue_abort : queue_close)(full);
		(abort_it ? queue_abort : queue_close)(empty);
		for (int i = 0; i < 2; i++) {
			void *n;

			ck_assert(!pthread_join(pushing[i], &n));
			pushed += (uintptr_t)n;
			ck_assert(!pthread_join(popping[i], &n));
			ck_assert_ptr_null(n);
		}
		ck_assert_uint_le(pushed, 4);
		while (pushed--)
			ck_assert_ptr_nonnull(queue_drain(full));
		ck_assert_ptr_null(queue_drain(full));
		queue_free(full);
		queue_free(empty);
	}
}
END_TEST

static int make(void *arg, struct err *e)
{
	CLEANUP(queue_free) struct queue *q = NULL;

	(void)arg;
	return queue_new(&q, 100, e);
}

START_TEST(survives_the_lack_of_memory)
{
	struct queue *q = NULL;
	struct err e;

	ck_assert_uint_eq(alloc_fail_each(make, NULL), 1);
	ck_assert_int_eq(queue_new(&q, SIZE_MAX / 4, &e), -1);
	ck_assert_int_eq(e.code, ERR_NO_MEMORY);
	ck_assert_ptr_null(q);
	queue_free(NULL);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, gives_back_in_order);
	tcase_add_test(tc, closing_lets_the_rest_out);
	tcase_add_test(tc, whoever_does_not_wait_gets_what_is_there);
	tcase_add_test(tc, nobody_takes_what_another_waits_for);
	tcase_add_test(tc, aborting_keeps_the_rest_for_its_owner);
	tcase_add_test(tc, ending_wakes_those_who_wait);
	tcase_add_test(tc, survives_the_lack_of_memory);
}

CHECK_MAIN("base/queue", cases)

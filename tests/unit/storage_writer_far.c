/*
 * A long session to where sending takes long: what it has stored is named now
 * and then, so that the next one after a kill need not send it again.
 */
#include <stdatomic.h>

#include "base/clock.h"
#include "tests/support/writer_frame.h"

#define CHUNK ((size_t)16 << 20)

/* Each look at the clock takes a while. */
static atomic_int_fast64_t now_ms;

int64_t __wrap_clock_boot_ms(void);
int64_t __wrap_clock_boot_ms(void)
{
	return atomic_fetch_add(&now_ms, 20000);
}

static int see(void *arg, const struct store_entry *entry UNUSED,
	       struct err *err UNUSED)
{
	*(bool *)arg = true;
	return 1;
}

static bool is_any(const char *prefix)
{
	struct store *s = NULL;
	bool any = false;

	ck_ok(__real_store_open(f.url, false, &s, &e));
	ck_ok(store_list(s, prefix, see, &any, &e));
	store_close(s);
	return any;
}

START_TEST(what_was_stored_is_named_after_a_while)
{
	struct chunk_worker *k = new_worker();
	struct repository *first = f.r;
	struct chunk_id id[3];
	struct writer *w;
	struct writer *next;
	uint8_t *bytes = malloc(CHUNK);

	ck_assert_ptr_nonnull(bytes);
	fault_set_far(faulty);
	w = open_writer();
	/* A pack each: the last one is not full. */
	for (uint32_t i = 0; i < 3; i++) {
		(void)chunk_of(i, CHUNK, bytes);
		ck_ok(writer_add(w, k, CHUNK_DATA, bytes, CHUNK, &id[i], NULL,
				 &e));
	}
	while (!is_any("index/"))
		clock_sleep_ms(5);
	/* It never comes to its end; another begins. */
	f.r = NULL;
	ck_ok(repository_open(f.url, f.credential, &f.r, &e));
	next = open_writer();
	ck_assert_int_eq(writer_has(next, &id[0], &e), 1);
	ck_assert_int_eq(writer_has(next, &id[2], &e), 0);
	writer_close(next);
	chunk_worker_free(k);
	writer_close(w);
	repository_close(first);
	free(bytes);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, what_was_stored_is_named_after_a_while);
}

CHECK_MAIN("storage/writer_far", cases)

/* What a reader keeps of the chunks that it opened:
 * storage/repository/reader.h. */
#include "tests/support/random.h"
#include "tests/support/writer_frame.h"

#define CHUNKS 63
#define BUDGET ((size_t)4 << 20)
#define GETS   600

static const size_t sizes[] = { 1, 500, 5000, 60000, 700000, 1900000, 2097152 };
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

static struct chunk_id ids[CHUNKS];
static unsigned int asked[GETS]; /* in turn */

static size_t size_of(unsigned int n)
{
	return sizes[n % SIZES];
}

/* Small ones, mostly: each large one leaves a buffer to those after it. */
static unsigned int draw(struct random *dice)
{
	const unsigned int n = (unsigned int)random_below(dice, CHUNKS);

	return random_below(dice, 4) ? n - n % (unsigned int)SIZES + n % 3 : n;
}

/* Whether, with all that was asked for since, it is half of what is kept. */
static bool is_recent(unsigned int i)
{
	bool seen[CHUNKS] = { false };
	size_t sum = size_of(asked[i]);

	for (unsigned int k = i; k-- > 0;) {
		if (asked[k] == asked[i])
			return sum <= BUDGET / 2;
		sum += seen[asked[k]] ? 0 : size_of(asked[k]);
		seen[asked[k]] = true;
		if (sum > BUDGET / 2)
			return false;
	}
	return false;
}

static struct reader *read_from(struct repo_frame *frame)
{
	struct reader *x = NULL;
	struct chunk_worker *k = new_worker();
	struct writer *w = open_writer();

	for (unsigned int n = 0; n < CHUNKS; n++)
		ck_ok(add(w, k, n, size_of(n), &ids[n], NULL, &e));
	publish(w);
	writer_close(w);
	chunk_worker_free(k);
	ck_ok(reader_new(frame->r, BUDGET, &x, &e));
	return x;
}

/* Chunk n, which is right whatever was in its memory before. */
static void get(struct reader *x, unsigned int n)
{
	static uint8_t want[2097152];
	const uint8_t *plain;
	size_t len;

	ck_ok(reader_get(x, &ids[n], CHUNK_DATA, &plain, &len, &e));
	ck_assert_uint_eq(len, size_of(n));
	ck_assert_mem_eq(plain, want, chunk_of(n, len, want));
}

START_TEST(what_was_read_last_is_kept)
{
	CLEANUP(reader_free) struct reader *x = read_from(&f);
	struct random dice = random_seed();
	unsigned int kept = 0;

	for (unsigned int i = 0; i < GETS; i++) {
		const uint64_t before = reader_bytes(x);

		asked[i] = draw(&dice);
		get(x, asked[i]);
		if (!is_recent(i))
			continue;
		kept++;
		ck_assert_uint_eq(reader_bytes(x), before);
	}
	ck_assert_uint_gt(kept, 0);
}
END_TEST

/* Large ones go, and small ones do not sit in their buffers. */
START_TEST(small_ones_take_no_more_than_they_need)
{
	CLEANUP(reader_free) struct reader *x = read_from(&f);
	uint64_t before;

	for (unsigned int n = 0; n < CHUNKS; n++)
		if (size_of(n) > 1000000)
			get(x, n);
	for (unsigned int n = 0; n < CHUNKS; n++)
		if (size_of(n) <= 60000)
			get(x, n);
	before = reader_bytes(x);
	for (unsigned int n = 0; n < CHUNKS; n++)
		if (size_of(n) <= 60000)
			get(x, n);
	ck_assert_uint_eq(reader_bytes(x), before);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, what_was_read_last_is_kept);
	tcase_add_test(tc, small_ones_take_no_more_than_they_need);
}

CHECK_MAIN("storage/repository/reader", cases)

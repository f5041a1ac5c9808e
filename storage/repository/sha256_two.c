#include "storage/repository/sha256_two.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

void sha256_two_begin(struct sha256_state *s)
{
	*s = (struct sha256_state){ { 0x6a09e667, 0xbb67ae85, 0x3c6ef372,
				      0xa54ff53a, 0x510e527f, 0x9b05688c,
				      0x1f83d9ab, 0x5be0cd19 } };
}

void sha256_two_digest(const struct sha256_state *s, uint8_t out[32])
{
	for (int i = 0; i < 8; i++) {
		const uint32_t word = htobe32(s->h[i]);

		memcpy(out + 4 * (size_t)i, &word, sizeof(word));
	}
}

#ifdef __x86_64__

#include <cpuid.h>
#include <immintrin.h>

#define WITH_SHA __attribute__((target("sha,sse4.1,ssse3")))

bool sha256_two_here(void)
{
	unsigned int a, b, c, d;

	return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_SSE4_1) &&
	       (c & bit_SSSE3) && __get_cpuid_count(7, 0, &a, &b, &c, &d) &&
	       (b & bit_SHA);
}

/* The first 32 bits of the fractions of the cube roots of the first primes. */
static const uint32_t constants[64] __attribute__((aligned(16))) = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1,
	0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
	0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
	0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
	0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
	0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
	0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
	0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2
};

/*
 * The working variables as the instructions want them, a and c highest, and
 * the last sixteen words of the schedule, four to a register.  Everything is
 * written out and inlined, so that it stays in registers.
 */
struct lane {
	__m128i abef;
	__m128i cdgh;
	__m128i w0;
	__m128i w1;
	__m128i w2;
	__m128i w3;
};

#define INLINE static inline __attribute__((always_inline)) WITH_SHA

INLINE void load_state(struct lane *x, const struct sha256_state *s)
{
	const uint32_t *h = s->h;

	x->abef = _mm_set_epi32((int)h[0], (int)h[1], (int)h[4], (int)h[5]);
	x->cdgh = _mm_set_epi32((int)h[2], (int)h[3], (int)h[6], (int)h[7]);
}

INLINE void store_state(const struct lane *x, struct sha256_state *s)
{
	uint32_t *h = s->h;

	h[0] = (uint32_t)_mm_extract_epi32(x->abef, 3);
	h[1] = (uint32_t)_mm_extract_epi32(x->abef, 2);
	h[2] = (uint32_t)_mm_extract_epi32(x->cdgh, 3);
	h[3] = (uint32_t)_mm_extract_epi32(x->cdgh, 2);
	h[4] = (uint32_t)_mm_extract_epi32(x->abef, 1);
	h[5] = (uint32_t)_mm_extract_epi32(x->abef, 0);
	h[6] = (uint32_t)_mm_extract_epi32(x->cdgh, 1);
	h[7] = (uint32_t)_mm_extract_epi32(x->cdgh, 0);
}

/* Four words of the text, which has them in big-endian order. */
INLINE __m128i load_words(const uint8_t *from)
{
	const __m128i order = _mm_set_epi64x(0x0c0d0e0f08090a0b,
					     0x0405060700010203);

	return _mm_shuffle_epi8(
		_mm_loadu_si128((const __m128i *)(const void *)from), order);
}

INLINE void load_block(struct lane *x, const uint8_t *from)
{
	x->w0 = load_words(from);
	x->w1 = load_words(from + 16);
	x->w2 = load_words(from + 32);
	x->w3 = load_words(from + 48);
}

/* The four words of the schedule that follow sixteen. */
INLINE __m128i schedule(__m128i w0, __m128i w1, __m128i w2, __m128i w3)
{
	const __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(w0, w1),
					  _mm_alignr_epi8(w3, w2, 4));

	return _mm_sha256msg2_epu32(sum, w3);
}

INLINE __m128i add_constants(__m128i w, const uint32_t *constant)
{
	return _mm_add_epi32(
		w, _mm_load_si128((const __m128i *)(const void *)constant));
}

/* Four rounds of both, each step of one beside the same step of the other. */
INLINE void rounds(struct lane *x, struct lane *y, __m128i wx, __m128i wy)
{
	x->cdgh = _mm_sha256rnds2_epu32(x->cdgh, x->abef, wx);
	y->cdgh = _mm_sha256rnds2_epu32(y->cdgh, y->abef, wy);
	wx = _mm_shuffle_epi32(wx, 0x0e);
	wy = _mm_shuffle_epi32(wy, 0x0e);
	x->abef = _mm_sha256rnds2_epu32(x->abef, x->cdgh, wx);
	y->abef = _mm_sha256rnds2_epu32(y->abef, y->cdgh, wy);
}

/*
 * Four rounds with the words in w0; then w0 is what follows w3.  The words to
 * come are begun first, for the rounds are what all else waits for.
 */
#define ROUNDS_AND_SCHEDULE(w0, w1, w2, w3, constant)              \
	do {                                                       \
		const __m128i wx = add_constants(x->w0, constant); \
		const __m128i wy = add_constants(y->w0, constant); \
                                                                   \
		x->w0 = schedule(x->w0, x->w1, x->w2, x->w3);      \
		y->w0 = schedule(y->w0, y->w1, y->w2, y->w3);      \
		rounds(x, y, wx, wy);                              \
	} while (0)

/* Sixteen rounds; after them the schedule holds the next sixteen words. */
INLINE void sixteen(struct lane *x, struct lane *y, const uint32_t *constant)
{
	ROUNDS_AND_SCHEDULE(w0, w1, w2, w3, constant);
	ROUNDS_AND_SCHEDULE(w1, w2, w3, w0, constant + 4);
	ROUNDS_AND_SCHEDULE(w2, w3, w0, w1, constant + 8);
	ROUNDS_AND_SCHEDULE(w3, w0, w1, w2, constant + 12);
}

INLINE void last_sixteen(struct lane *x, struct lane *y,
			 const uint32_t *constant)
{
	rounds(x, y, add_constants(x->w0, constant),
	       add_constants(y->w0, constant));
	rounds(x, y, add_constants(x->w1, constant + 4),
	       add_constants(y->w1, constant + 4));
	rounds(x, y, add_constants(x->w2, constant + 8),
	       add_constants(y->w2, constant + 8));
	rounds(x, y, add_constants(x->w3, constant + 12),
	       add_constants(y->w3, constant + 12));
}

WITH_SHA void sha256_two_blocks(struct sha256_state *a, const uint8_t *from_a,
				struct sha256_state *b, const uint8_t *from_b,
				size_t n)
{
	struct lane x, y;

	load_state(&x, a);
	load_state(&y, b);
	for (; n; n--) {
		const __m128i x_abef = x.abef, x_cdgh = x.cdgh;
		const __m128i y_abef = y.abef, y_cdgh = y.cdgh;

		load_block(&x, from_a);
		load_block(&y, from_b);
		sixteen(&x, &y, constants);
		sixteen(&x, &y, constants + 16);
		sixteen(&x, &y, constants + 32);
		last_sixteen(&x, &y, constants + 48);
		x.abef = _mm_add_epi32(x.abef, x_abef);
		x.cdgh = _mm_add_epi32(x.cdgh, x_cdgh);
		y.abef = _mm_add_epi32(y.abef, y_abef);
		y.cdgh = _mm_add_epi32(y.cdgh, y_cdgh);
		from_a += SHA256_BLOCK;
		from_b += SHA256_BLOCK;
	}
	store_state(&x, a);
	store_state(&y, b);
}

#else

bool sha256_two_here(void)
{
	return false;
}

void sha256_two_blocks(struct sha256_state *a, const uint8_t *from_a,
		       struct sha256_state *b, const uint8_t *from_b, size_t n)
{
	(void)a;
	(void)from_a;
	(void)b;
	(void)from_b;
	(void)n;
	assert(false && "asked without sha256_two_here()");
}

#endif

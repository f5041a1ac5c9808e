/*
 * Random numbers that a seed repeats, for property tests.
 *
 * The seed is SNAPCTL_TEST_SEED when that is set, else drawn, and is printed
 * by random_seed() so that a failure can be repeated.
 */
#ifndef TESTS_SUPPORT_RANDOM_H
#define TESTS_SUPPORT_RANDOM_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

struct random {
	uint64_t state;
};

static inline struct random random_seed(void)
{
	const char *setting = getenv("SNAPCTL_TEST_SEED");
	struct random r = { 1 };

	if (setting)
		r.state = strtoull(setting, NULL, 10);
	else if (getrandom(&r.state, sizeof(r.state), 0) != sizeof(r.state))
		abort();
	(void)printf("SNAPCTL_TEST_SEED=%" PRIu64 "\n", r.state);
	(void)fflush(stdout);
	return r;
}

/* SplitMix64 (Steele, Lea, Flood: Fast splittable generators, 2014). */
static inline uint64_t random_u64(struct random *r)
{
	uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* 0 … n - 1. */
static inline uint64_t random_below(struct random *r, uint64_t n)
{
	return random_u64(r) % n;
}

/* Any number of bits is as likely as any other. */
static inline uint64_t random_any_size(struct random *r)
{
	const uint64_t v = random_u64(r);

	return v >> random_below(r, 64);
}

static inline void random_bytes(struct random *r, void *out, size_t n)
{
	uint8_t *p = out;

	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(random_u64(r) >> 32);
}

#endif

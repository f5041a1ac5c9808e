#include "base/secret.h"

#include <errno.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>

int secret_start(struct err *e)
{
	const struct rlimit none = { 0, 0 };

	if (sodium_init() < 0)
		return err_set(e, ERR_BUG, "cannot start libsodium");
	if (setrlimit(RLIMIT_CORE, &none) || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
		return err_sys(e, "cannot keep keys out of core dumps");
	return 0;
}

void *secret_new(size_t n)
{
	void *p;

	/* Guard pages need its start; a program that did so pays nothing. */
	if (sodium_init() < 0)
		return NULL;
	p = sodium_malloc(n);
	if (p)
		memset(p, 0, n);
	return p;
}

void secret_free(void *p)
{
	sodium_free(p);
}

void secret_random(void *out, size_t n)
{
	uint8_t *p = out;

	while (n > 0) {
		const ssize_t k = getrandom(p, n, 0);

		if (k < 0 && errno == EINTR)
			continue;
		/* Nobody can go on without random bytes. */
		if (k <= 0)
			abort();
		p += k;
		n -= (size_t)k;
	}
}

void secret_wipe(void *p, size_t n)
{
	if (n)
		explicit_bzero(p, n);
}

/*
 * Each thread has a ChaCha20 key; a block of its stream gives the next key
 * and the bytes to hand out, so a block's bytes cannot be told from later
 * state.  A fork changes the generation, and with it every generator of the
 * child: parent and child would otherwise draw the same ids.
 */
static _Atomic unsigned int generation = 1;
static pthread_once_t watch_forks_once = PTHREAD_ONCE_INIT;

struct generator {
	unsigned int generation; /* 0: never seeded */
	size_t used;
	uint8_t key[crypto_stream_chacha20_KEYBYTES];
	uint8_t block[1024];
};
static _Thread_local struct generator generator;

static void after_fork(void)
{
	atomic_fetch_add(&generation, 1);
}

static void watch_forks(void)
{
	if (pthread_atfork(NULL, NULL, after_fork))
		abort();
}

static void refill(struct generator *g)
{
	static const uint8_t nonce[crypto_stream_chacha20_NONCEBYTES];

	(void)crypto_stream_chacha20(g->block, sizeof(g->block), nonce, g->key);
	memcpy(g->key, g->block, sizeof(g->key));
	explicit_bzero(g->block, sizeof(g->key));
	g->used = sizeof(g->key);
}

void secret_nonce(void *out, size_t n)
{
	struct generator *g = &generator;
	uint8_t *p = out;
	unsigned int now;

	(void)pthread_once(&watch_forks_once, watch_forks);
	now = atomic_load(&generation);
	if (g->generation != now) {
		secret_random(g->key, sizeof(g->key));
		g->used = sizeof(g->block);
		g->generation = now;
	}
	while (n > 0) {
		size_t k;

		if (g->used == sizeof(g->block))
			refill(g);
		k = sizeof(g->block) - g->used;
		if (k > n)
			k = n;
		memcpy(p, g->block + g->used, k);
		explicit_bzero(g->block + g->used, k);
		g->used += k;
		p += k;
		n -= k;
	}
}

uint64_t secret_table_hash(const uint8_t key[16], const void *bytes, size_t n)
{
	uint64_t hash;

	_Static_assert(crypto_shorthash_KEYBYTES == 16, "SipHash key");
	_Static_assert(crypto_shorthash_BYTES == sizeof(hash), "SipHash size");
	(void)crypto_shorthash((uint8_t *)&hash, bytes, n, key);
	return hash;
}

/*
 * What a large index costs: building it, opening it, looking up.
 *
 *	index FOLDER [CHUNKS]		default 10,000,000
 *
 * The store is made in FOLDER, which has to be empty.  Building runs in a
 * process of its own, so that the peak memory printed is that of looking up.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/secret.h"
#include "base/text.h"
#include "storage/repository/index.h"

#define LOOKUPS 10000

/* Of the processor: the machine may be busy with other things. */
static double seconds(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double peak_mib(void)
{
	struct rusage u;

	(void)getrusage(RUSAGE_SELF, &u);
	return (double)u.ru_maxrss / 1024;
}

static void fail(const struct err *e)
{
	(void)fprintf(stderr, "index: %s\n", e->text);
	exit(1);
}

/* The nth of all chunks: ids ascend in even steps, the rest looks random. */
static struct pack_entry entry_of(uint64_t n, uint64_t all)
{
	struct pack_entry x = {
		.seal = { .kind = CHUNK_DATA, .epoch = 1, .plain_len = 500000 },
		.place = { .len = 200000 }
	};
	const uint64_t at = (UINT64_MAX / all) * n;
	uint64_t mixed = at;

	for (unsigned int i = 0; i < 8; i++)
		x.seal.id.b[i] = (uint8_t)(at >> (56 - 8 * i));
	for (unsigned int i = 8; i < sizeof(x.seal.id.b); i++) {
		mixed = mixed * 6364136223846793005U + 1442695040888963407U;
		x.seal.id.b[i] = (uint8_t)(mixed >> 56);
	}
	memcpy(x.place.pack.b, x.seal.id.b + 8, sizeof(x.place.pack.b));
	x.place.offset = 32 + (uint32_t)(mixed >> 40);
	return x;
}

static void build(struct store *s, const struct keys *k, uint64_t all)
{
	const double start = seconds();
	struct index_writer *w;
	struct err e;

	if (index_writer_open(s, k, (struct object_id){ { 0 } }, &w, &e))
		fail(&e);
	for (uint64_t n = 0; n < all; n++) {
		const struct pack_entry x = entry_of(n, all);

		if (index_writer_add(w, &x, &e))
			fail(&e);
	}
	if (index_writer_commit(w, NULL, &e))
		fail(&e);
	index_writer_free(w);
	(void)printf("build      %8.3f s  peak %5.1f MiB\n", seconds() - start,
		     peak_mib());
}

static void look_up(struct store *s, const struct keys *k, uint64_t all)
{
	double start = seconds();
	struct index_set *x;
	struct err e;

	if (index_set_open(s, k,
			   &(const struct index_set_options){
				   .cache_bytes = (size_t)32 << 20 },
			   &x, &e))
		fail(&e);
	(void)printf("open       %8.3f s  peak %5.1f MiB\n", seconds() - start,
		     peak_mib());
	for (int absent = 0; absent < 2; absent++) {
		uint64_t at = 12345;
		size_t found = 0;

		start = seconds();
		for (int i = 0; i < LOOKUPS; i++) {
			struct pack_entry want;
			struct pack_entry got;
			int r;

			at = at * 6364136223846793005U + 1442695040888963407U;
			want = entry_of((at >> 16) % all, all);
			want.seal.id.b[31] ^= (uint8_t)absent;
			r = index_set_find(x, &want.seal.id, &got, &e);
			if (r < 0)
				fail(&e);
			found += (size_t)r;
		}
		(void)printf("%-10s %8.3f s  peak %5.1f MiB  (%d, found %zu)\n",
			     absent ? "absent" : "present", seconds() - start,
			     peak_mib(), LOOKUPS, found);
	}
	index_set_free(x);
}

int main(int argc, char **argv)
{
	const uint8_t key[KEYS_SIZE] = { 7 };
	struct store *s;
	struct keys *k;
	int64_t all = 10000000;
	struct err e;
	pid_t pid;
	int status;

	if (argc < 2 ||
	    (argc > 2 && !text_number(argv[2], 1, 100000000, &all))) {
		(void)fprintf(stderr, "usage: index FOLDER [CHUNKS]\n");
		return 2;
	}
	if (secret_start(&e) || keys_new((struct object_id){ { 1 } }, &k, &e) ||
	    keys_add_domain(k, 0, key, &e) || keys_add_epoch(k, 1, key, &e) ||
	    store_open(argv[1], true, &s, &e))
		fail(&e);
	(void)fflush(stdout);
	pid = fork();
	if (pid == 0) {
		build(s, k, (uint64_t)all);
		(void)fflush(stdout);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
	    WEXITSTATUS(status) != 0)
		return 1;
	look_up(s, k, (uint64_t)all);
	store_close(s);
	keys_free(k);
	return 0;
}

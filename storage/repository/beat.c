#include "storage/repository/beat.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/seam.h"
#include "storage/repository/fields.h"

#define LEASE_MS 120000
/* Beats in a lease. */
#define BEATS 6

/* A pin that names more snapshots names none, and so all. */
#define PINNED_MAX 1024

int64_t beat_lease_ms(void)
{
	const int64_t shortened_ms = seam_lease_ms();

	return shortened_ms ? shortened_ms : LEASE_MS;
}

struct beat {
	struct store *store;
	const struct keys *keys;
	struct record record;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_t thread;
	bool stop;
	bool stood_still;
	int64_t beaten_ms; /* before the last PUT that succeeded */
};

/*
 * glibc's conditions know the monotonic clock but not the boot clock, which
 * also counts suspend: so wait in small steps of the one and look at the
 * other.
 */
static void wait_a_while(struct beat *b, int64_t ms)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (ms < 1000 ? ms : 1000) * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	(void)pthread_cond_timedwait(&b->wake, &b->lock, &until);
}

/* A beat less than the lease: no two clocks run quite alike. */
static bool is_late(const struct beat *b)
{
	return clock_boot_ms() - b->beaten_ms >=
	       beat_lease_ms() / BEATS * (BEATS - 1);
}

static void *run(void *arg)
{
	struct beat *b = (struct beat *)arg;
	struct err ignored = { 0 };
	int64_t before_ms;
	bool failed;

	(void)pthread_mutex_lock(&b->lock);
	while (!b->stop) {
		const int64_t every_ms = beat_lease_ms() / BEATS;
		const int64_t next_ms = clock_boot_ms() + every_ms;

		while (!b->stop && clock_boot_ms() < next_ms)
			wait_a_while(b, every_ms);
		if (b->stop)
			break;
		(void)pthread_mutex_unlock(&b->lock);
		b->record.counter++;
		/* One that fails is made good by the next.  Should somebody
		 * give us up meanwhile, publishing finds out, and who reads
		 * asks beat_stood_still(). */
		before_ms = clock_boot_ms();
		failed = record_put(b->store, b->keys, &b->record,
				    STORE_REPLACE, &ignored);
		(void)pthread_mutex_lock(&b->lock);
		if (failed)
			continue;
		b->stood_still = b->stood_still || is_late(b);
		b->beaten_ms = before_ms;
	}
	(void)pthread_mutex_unlock(&b->lock);
	return NULL;
}

static int copy_record(struct record *to, const struct record *from,
		       struct err *e)
{
	*to = *from;
	to->ids = NULL;
	to->n_ids = 0;
	to->chunks = NULL;
	for (size_t i = 0; i < from->n_ids; i++)
		if (record_add_id(to, from->ids[i], e))
			return -1;
	return 0;
}

static int start_thread(struct beat *b, struct err *e)
{
	pthread_condattr_t attr;

	(void)pthread_mutex_init(&b->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&b->wake, &attr);
	(void)pthread_condattr_destroy(&attr);
	errno = pthread_create(&b->thread, NULL, run, b);
	if (!errno)
		return 0;
	(void)pthread_cond_destroy(&b->wake);
	(void)pthread_mutex_destroy(&b->lock);
	return err_sys(e, "cannot start a thread");
}

static void release(struct beat *b)
{
	const struct object_name name = record_name(&b->record);
	struct err ignored = { 0 };

	(void)!store_remove(b->store, name.s, &ignored);
	record_done(&b->record);
	free(b);
}

int beat_start(struct store *s, const struct keys *k, const struct record *r,
	       struct beat **ret, struct err *e)
{
	struct beat *b = calloc(1, sizeof(*b));

	if (!b)
		return err_oom(e);
	b->store = s;
	b->keys = k;
	b->beaten_ms = clock_boot_ms();
	if (copy_record(&b->record, r, e) ||
	    record_put(s, k, &b->record, STORE_FRESH, e)) {
		record_done(&b->record);
		free(b);
		return -1;
	}
	if (start_thread(b, e)) {
		release(b);
		return -1;
	}
	*ret = b;
	return 0;
}

int beat_pin(struct store *s, const struct keys *k, enum record_reading reading,
	     const struct object_id *snapshots, size_t n, struct beat **ret,
	     struct err *e)
{
	char host[RECORD_TEXT_MAX + 1] = { 0 };
	struct err why = { 0 };
	struct record r;
	int failed = 0;

	record_init(&r, OBJECT_PIN);
	r.id = object_id_new();
	r.time = clock_now();
	r.pid = (uint64_t)getpid();
	/* A pin of no known host is one, too. */
	if (gethostname(host, sizeof(host) - 1) == 0)
		fields_text(r.by, sizeof(r.by), host);
	r.purpose = reading;
	for (size_t i = 0; !failed && n <= PINNED_MAX && i < n; i++)
		failed = record_add_id(&r, snapshots[i], &why);
	failed = failed || beat_start(s, k, &r, ret, &why);
	record_done(&r);
	if (failed && why.code == ERR_NO_MEMORY) {
		*e = why;
		return -1;
	}
	return !failed;
}

struct object_id beat_id(const struct beat *b)
{
	return b->record.id;
}

bool beat_stood_still(struct beat *b)
{
	bool yes;

	(void)pthread_mutex_lock(&b->lock);
	yes = b->stood_still || is_late(b);
	(void)pthread_mutex_unlock(&b->lock);
	return yes;
}

int beat_judge(struct beat *b, const char *who, struct err *e)
{
	if (!b || !beat_stood_still(b))
		return 0;
	(void)err_set(e, ERR_BUSY,
		      "%s stood still for so long that a garbage collection "
		      "may have gone on without it",
		      who);
	return err_hint(e, "give the command again");
}

void beat_stop(struct beat *b)
{
	if (!b)
		return;
	(void)pthread_mutex_lock(&b->lock);
	b->stop = true;
	(void)pthread_cond_signal(&b->wake);
	(void)pthread_mutex_unlock(&b->lock);
	(void)pthread_join(b->thread, NULL);
	(void)pthread_cond_destroy(&b->wake);
	(void)pthread_mutex_destroy(&b->lock);
	release(b);
}

/*
 * What the S3 store asks of object lock and of versions, told to one server:
 *
 *	s3_locks URL-OF-A-LOCKED-BUCKET URL-OF-A-PLAIN-ONE
 *
 * s3_server.py runs it with our server and with a real one.  What it locks it
 * leaves behind: the locks end in an hour, and the server before that.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "storage/stores/store.h"

#define HOUR  3600
#define LARGE ((size_t)9 << 20) /* two parts */

static struct err e;

static void must_at(int line, const char *what, bool true_)
{
	if (true_)
		return;
	(void)fprintf(stderr, "s3_locks.c:%d: not %s; last error: %s (%s)\n",
		      line, what, e.text, e.hint);
	exit(1);
}
#define MUST(x) must_at(__LINE__, #x, (x))

static struct instant in_s(int64_t seconds)
{
	struct instant t = clock_now();

	t.sec += seconds;
	return t;
}

static bool put(struct store *s, const char *name, const char *text,
		unsigned int flags)
{
	return store_put(s, name, text, strlen(text), flags, &e) == 0;
}

static bool reads(struct store *s, const char *name, const char *text)
{
	char out[32];
	size_t got = 0;

	return store_read(s, name, 0, out, sizeof(out), &got, &e) == 1 &&
	       got == strlen(text) && memcmp(out, text, got) == 0;
}

static int collect(void *arg, const struct store_entry *entry, struct err *err)
{
	return buf_addf(arg, err, "%s=%llu ", entry->name,
			(unsigned long long)entry->size);
}

static bool lists(struct store *s, const char *text)
{
	CLEANUP(buf_done) struct buf b;

	buf_init(&b, 4096);
	return store_list(s, "", collect, &b, &e) == 0 &&
	       strcmp(buf_str(&b), text) == 0;
}

static bool refuses_removal(struct store *s, const char *name, const char *why)
{
	return store_remove(s, name, &e) == -1 && e.code == ERR_DENIED &&
	       strstr(e.text, why);
}

static bool is_locked(struct store *s, const char *name, int64_t seconds)
{
	struct store_guard g;

	return store_guarded(s, name, &g, &e) == 1 && !g.held &&
	       g.until.sec >= in_s(seconds - 300).sec &&
	       g.until.sec <= in_s(seconds + 1).sec;
}

static bool is_held(struct store *s, const char *name)
{
	struct store_guard g;

	return store_guarded(s, name, &g, &e) == 1 && g.held;
}

static bool is_data(const char *name)
{
	return strncmp(name, "data/", 5) == 0;
}

static void plain(struct store *s)
{
	MUST(store_can_guard(s, &e) == 0);
	MUST(put(s, "a", "1", 0) && reads(s, "a", "1") && lists(s, "a=1 "));
	MUST(store_remove(s, "a", &e) == 0 && lists(s, ""));
	MUST(store_turn(s, "a", 1, &e) == 0);
}

static void guards(struct store *s)
{
	char *large = calloc(1, LARGE);
	struct store_guard g;

	MUST(large && store_can_guard(s, &e) == 1);
	MUST(put(s, "snapshots/1", "m", 0));
	MUST(store_guarded(s, "snapshots/1", &g, &e) == 1 && !g.held &&
	     g.until.sec == 0);
	store_guard_new(s, in_s(HOUR), is_data);
	MUST(put(s, "data/aa/1", "mine", 0));
	MUST(store_put(s, "data/aa/2", large, LARGE, 0, &e) == 0);
	free(large);
	MUST(is_locked(s, "data/aa/1", HOUR) &&
	     is_locked(s, "data/aa/2", HOUR));
	MUST(refuses_removal(s, "data/aa/1", "locked until"));
	MUST(refuses_removal(s, "data/aa/2", "locked until"));
	MUST(store_guard(s, "data/aa/1", in_s(2 * HOUR), &e) == 1);
	MUST(store_guard(s, "data/aa/1", in_s(HOUR), &e) == 1);
	MUST(is_locked(s, "data/aa/1", 2 * HOUR));
	MUST(store_hold(s, "snapshots/1", true, &e) == 1);
	MUST(is_held(s, "snapshots/1"));
	MUST(refuses_removal(s, "snapshots/1", "it is held"));
	MUST(store_hold(s, "snapshots/1", false, &e) == 1);
	MUST(!is_held(s, "snapshots/1"));
	MUST(store_guard(s, "data/aa/3", in_s(HOUR), &e) == 0);
	MUST(store_hold(s, "data/aa/3", true, &e) == 0);
	MUST(store_guarded(s, "data/aa/3", &g, &e) == 0);
	MUST(store_remove(s, "snapshots/1", &e) == 0);
}

static void versions(struct store *s)
{
	MUST(put(s, "data/aa/1", "forged", STORE_REPLACE));
	MUST(reads(s, "data/aa/1", "forged"));
	MUST(lists(s, "data/aa/1=6 data/aa/2=9437184 "));
	MUST(store_turn(s, "data/aa/1", 1, &e) == 1);
	MUST(reads(s, "data/aa/1", "mine") && is_locked(s, "data/aa/1", 7200));
	MUST(lists(s, "data/aa/1=4 data/aa/2=9437184 "));
	MUST(store_turn(s, "data/aa/1", 3, &e) == 0);
	MUST(reads(s, "data/aa/1", "mine"));
	MUST(store_turn(s, "data/aa/1", 0, &e) == 1);
	MUST(reads(s, "data/aa/1", "forged"));
	MUST(refuses_removal(s, "data/aa/1", "locked until"));
	MUST(store_turn(s, "data/aa/1", 2, &e) == 1);
	for (int i = 0; i < 5; i++)
		MUST(put(s, "sessions/1", "beat", STORE_REPLACE));
	MUST(store_turn(s, "sessions/1", 2, &e) == 0);
	MUST(store_remove(s, "sessions/1", &e) == 0);
	MUST(store_turn(s, "sessions/1", 1, &e) == 0);
}

int main(int argc, char **argv)
{
	struct store *locked = NULL;
	struct store *open = NULL;

	MUST(argc == 3);
	MUST(store_open(argv[1], true, &locked, &e) == 0);
	MUST(store_open(argv[2], true, &open, &e) == 0);
	plain(open);
	guards(locked);
	versions(locked);
	store_close(locked);
	store_close(open);
	return 0;
}

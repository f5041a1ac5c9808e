/*
 * Regions that keep by policies of their own: two small real regions, the first
 * of which is the primary, and nights on which a schedule writes to it and
 * copies to the other.  Without a daemon.
 */
#ifndef TESTS_SUPPORT_APART_FRAME_H
#define TESTS_SUPPORT_APART_FRAME_H

#include <stdarg.h>

#include "storage/replicate.h"
#include "storage/repository/deletion.h"
#include "tests/support/run_frame.h"

enum { DAY = 86400 };
#define START 1700000000

static int64_t today;

static inline void night(struct run_frame *t)
{
	int64_t id;

	today += DAY;
	run_clock(t, today);
	id = run_attempt(t, 0);
	(void)run_do(t, id);
	(void)end_run(&t->f, id, CATALOG_RUN_SUCCEEDED, clock_now().sec,
		      CATALOG_SUCCEEDED);
}

static inline void nights(struct run_frame *t, int n)
{
	for (int i = 0; i < n; i++)
		night(t);
}

/* How many rows there are, of a query that begins so. */
static inline int64_t rows(struct run_frame *t, const char *fmt, ...)
	PRINTF_LIKE(2, 3);
static inline int64_t rows(struct run_frame *t, const char *fmt, ...)
{
	char rest[1000];
	char sql[1100];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(rest, sizeof(rest), fmt, ap);
	va_end(ap);
	(void)snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s", rest);
	return frame_count(&t->f, sql);
}

/* Decided of that region in the last run, about so many. */
static inline int64_t decided(struct run_frame *t, const char *region,
			      const char *outcome)
{
	return rows(t,
		    "decisions WHERE ended IS NULL AND region = '%s' AND "
		    "outcome = '%s'",
		    region, outcome);
}

static inline void settle(struct run_frame *t, const char *name)
{
	CLEANUP(keyring_credential_free) struct keyring_credential *key = NULL;
	CLEANUP(store_close) struct store *from = NULL;
	CLEANUP(store_close) struct store *to = NULL;

	ok(&t->f, keyring_credential_key_file(run_path(t, "keys/main.key"),
					      &key, &t->f.e));
	ok(&t->f, store_open(run_path(t, "a"), false, &from, &t->f.e));
	ok(&t->f, store_open(run_path(t, name), true, &to, &t->f.e));
	ok(&t->f, replicate_settle(from, to, key, &t->f.e));
}

/* Region a, the primary, and another one below folder b; with these policies,
 * or none. */
static inline void declare(struct run_frame *t, const char *a,
			   const char *other, const char *b)
{
	char spec[4 * SCRATCH_PATH], of_a[100] = "", of_b[100] = "";

	if (a)
		(void)snprintf(of_a, sizeof(of_a), ",\"policy\":\"%s\"", a);
	if (b)
		(void)snprintf(of_b, sizeof(of_b), ",\"policy\":\"%s\"", b);
	(void)snprintf(spec, sizeof(spec),
		       "{\"keyFile\":\"main.key\",\"regions\":["
		       "{\"name\":\"a\",\"url\":\"file://%s\"%s},"
		       "{\"name\":\"%s\",\"url\":\"file://%s\"%s}]}",
		       run_path(t, "a"), of_a, other, run_path(t, "b"), of_b);
	run_apply(t, "Repository", "main", NULL, spec);
	(void)snprintf(spec, sizeof(spec),
		       "{\"cron\":\"0 1 * * *\",\"sources\":{\"matchLabels\":{"
		       "\"tier\":\"gold\"}},\"repository\":\"main\",\"policy\":"
		       "\"gold\",\"replicateTo\":[\"%s\"]}",
		       other);
	run_apply(t, "Schedule", "nightly", NULL, spec);
}

static inline void policy(struct run_frame *t, const char *name,
			  const char *rules)
{
	char spec[300];

	(void)snprintf(spec, sizeof(spec), "{\"retention\":{%s}}", rules);
	run_apply(t, "Policy", name, NULL, spec);
}

/* gold and years keep so many; b keeps by years, if it has any policy. */
static inline void begin(struct run_frame *t, int gold, int years, bool apart)
{
	char rules[64];

	today = START;
	run_open(t);
	(void)snprintf(rules, sizeof(rules), "\"keep-last\":%d", gold);
	policy(t, "gold", rules);
	(void)snprintf(rules, sizeof(rules), "\"keep-last\":%d", years);
	policy(t, "years", rules);
	settle(t, "b");
	declare(t, NULL, "b", apart ? "years" : NULL);
}

static inline void away(const struct run_frame *t, bool is)
{
	ck_assert_int_eq(rename(run_path(t, is ? "b" : "gone"),
				run_path(t, is ? "gone" : "b")),
			 0);
}

static inline int live(struct run_frame *t, const char *region)
{
	return run_counts(t, region).live;
}

static inline int count_tombstone(void *arg,
				  const struct store_entry *entry UNUSED,
				  struct err *e UNUSED)
{
	++*(int *)arg;
	return 0;
}

static inline int tombstones(struct run_frame *t, const char *region)
{
	CLEANUP(repository_close)
	struct repository *r = run_repository(t, region);
	int n = 0;

	ok(&t->f, store_list(repository_store(r), "tombstones/",
			     count_tombstone, &n, &t->f.e));
	return n;
}

#endif

/*
 * Runs of a schedule that writes to region a and copies to b and c, each of
 * which may be away, or refuse; in a world of folders, without a daemon.
 *
 * For one source file of a program that links with --wrap=store_open.
 */
#ifndef TESTS_SUPPORT_FAILOVER_FRAME_H
#define TESTS_SUPPORT_FAILOVER_FRAME_H

#include <errno.h>

#include "storage/replicate.h"
#include "storage/repository/deletion.h"
#include "storage/stores/fault.h"
#include "tests/support/run_frame.h"

#define DAY INT64_C(86400)

/* How regions of these letters refuse, from that opening of one on, and until
 * before another; and one that fails. */
static struct refusal {
	const char *regions;
	struct fault fault;
	int from, until, gone, opened;
} refusal;

int __real_store_open(const char *url, bool create, struct store **ret,
		      struct err *e);
int __wrap_store_open(const char *url, bool create, struct store **ret,
		      struct err *e);
int __wrap_store_open(const char *url, bool create, struct store **ret,
		      struct err *e)
{
	const char *name = strrchr(url, '/');
	struct store *inner = NULL;

	if (__real_store_open(url, create, &inner, e) < 0)
		return -1;
	if (!refusal.regions || !name || !name[1] ||
	    !strchr(refusal.regions, name[1])) {
		*ret = inner;
		return 0;
	}
	if (fault_wrap(inner, ret, e) < 0)
		return -1;
	refusal.fault.everyone = true;
	if (++refusal.opened == refusal.gone) {
		store_close(*ret);
		*ret = NULL;
		return err_set(e, ERR_BUSY, "it does not answer");
	}
	if (refusal.opened >= refusal.from &&
	    (!refusal.until || refusal.opened < refusal.until))
		fault_add(*ret, &refusal.fault);
	return 0;
}

static inline void refuse(const char *regions, enum fault_call call,
			  enum err_code code, const char *prefix)
{
	refusal = (struct refusal){ .regions = regions,
				    .fault = { .call = call,
					       .action = FAULT_FAIL,
					       .prefix = prefix,
					       .code = code } };
}

static inline void refuse_nothing(void)
{
	refusal = (struct refusal){ .regions = NULL };
}

/* The disks of regions of these letters do not give the manifests of the newest
 * snapshot there is in the first of them. */
static inline void hide_newest(struct run_frame *t, const char *regions)
{
	static char prefix[20 + OBJECT_ID_TEXT];
	const char region[] = { regions[0], '\0' };
	CLEANUP(repository_close)
	struct repository *r = run_repository(t, region);
	CLEANUP(repository_snapshot_done) struct repository_snapshot s;
	char id[OBJECT_ID_TEXT];

	manifest_init(&s.manifest);
	ok(&t->f,
	   repository_find(r, "latest", "web", false, &s, NULL, &t->f.e));
	object_id_format(s.manifest.snapshot, id);
	(void)snprintf(prefix, sizeof(prefix), "snapshots/%s", id);
	refuse(regions, FAULT_READ, ERR_IO, prefix);
	refusal.fault.sys = EIO;
}

/* Make <root>/name a region of the repository. */
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

static inline void declare(struct run_frame *t, const char *primary,
			   bool failover)
{
	char spec[4 * SCRATCH_PATH];

	(void)snprintf(spec, sizeof(spec),
		       "{\"failover\":%s,\"keyFile\":\"main.key\",\"regions\":["
		       "{\"name\":\"a\",\"primary\":%s,\"url\":\"file://%s\"},"
		       "{\"name\":\"b\",\"primary\":%s,\"url\":\"file://%s\"},"
		       "{\"name\":\"c\",\"url\":\"file://%s\"}]}",
		       failover ? "true" : "false",
		       *primary == 'a' ? "true" : "false", run_path(t, "a"),
		       *primary == 'b' ? "true" : "false", run_path(t, "b"),
		       run_path(t, "c"));
	run_apply(t, "Repository", "main", NULL, spec);
	(void)snprintf(spec, sizeof(spec),
		       "{\"cron\":\"0 1 * * *\",\"sources\":{\"matchLabels\":{"
		       "\"tier\":\"gold\"}},\"repository\":\"main\",\"policy\":"
		       "\"gold\",\"replicateTo\":[\"%s\",\"c\"]}",
		       *primary == 'a' ? "b" : "a");
	run_apply(t, "Schedule", "nightly", NULL, spec);
}

/* Regions a, b and c; a is the primary. */
static inline void begin(struct run_frame *t, bool failover)
{
	run_open(t);
	run_apply(t, "Policy", "gold", NULL,
		  "{\"retention\":{\"keep-last\":50}}");
	declare(t, "a", failover);
	settle(t, "b");
	settle(t, "c");
}

static inline void move(struct run_frame *t, const char *from, const char *to)
{
	ck_assert_int_eq(rename(run_path(t, from), run_path(t, to)), 0);
}

/* A run on the nth day, of a tree that differs. */
static inline enum run_state day(struct run_frame *t, int n)
{
	char text[32];

	run_clock(t, 1700000000 + n * DAY);
	(void)snprintf(text, sizeof(text), "%d\n", n);
	run_file(t, "web/one", text);
	return run_do(t, run_attempt(t, 0));
}

static inline int64_t steps(struct run_frame *t, const char *where)
{
	char sql[600];

	(void)snprintf(sql, sizeof(sql),
		       "SELECT count(*) FROM run_steps WHERE %s", where);
	return frame_count(&t->f, sql);
}

static inline void expect_live(struct run_frame *t, int a, int b, int c)
{
	ck_assert_int_eq(run_counts(t, "a").live, a);
	ck_assert_int_eq(run_counts(t, "b").live, b);
	ck_assert_int_eq(run_counts(t, "c").live, c);
}

/* Whether that is told of the region. */
static inline int64_t unwritable(struct run_frame *t, const char *region)
{
	char sql[200];

	(void)snprintf(sql, sizeof(sql),
		       "SELECT count(*) FROM regions WHERE region = '%s' AND "
		       "inventory ->> '$.unwritable' LIKE "
		       "'%%cannot write object%%'",
		       region);
	return frame_count(&t->f, sql);
}

/* The newest one of source web there. */
static inline void delete_in(struct run_frame *t, const char *region)
{
	CLEANUP(repository_close)
	struct repository *r = run_repository(t, region);
	CLEANUP(repository_snapshot_done) struct repository_snapshot s;
	struct deletion d = { .by = "tester",
			      .reason = "",
			      .now = clock_now(),
			      .grace_ms = DAY * 1000 };

	manifest_init(&s.manifest);
	ok(&t->f,
	   repository_find(r, "latest", "web", false, &s, NULL, &t->f.e));
	ok(&t->f, deletion_delete(r, &s, &d, &t->f.e));
}

#endif

/*
 * A small world for tests of a run's steps: a catalog, a key, regions that are
 * folders, a tree to protect, and runs of a schedule without a daemon.
 *
 * Wall time is the test's own: frame_clock() sets it through the file that
 * SNAPCTL_TEST_CLOCK names.
 */
#ifndef TESTS_SUPPORT_RUN_FRAME_H
#define TESTS_SUPPORT_RUN_FRAME_H

#include <stdatomic.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/secret.h"
#include "service/config.h"
#include "service/run.h"
#include "service/step.h"
#include "storage/repository/keyring.h"
#include "storage/repository/repository.h"
#include "tests/support/catalog_frame.h"

struct run_frame {
	struct frame f;
	struct config *config;
	struct run *run;
	atomic_bool stop;
	char root[SCRATCH_PATH];
};

/* "<root>/<name>", in one of a few buffers that are used in turn. */
static inline const char *run_path(const struct run_frame *t, const char *name)
{
	static char text[8][2 * SCRATCH_PATH];
	static unsigned int turn;
	char *out = text[turn++ % 8];

	(void)snprintf(out, sizeof(text[0]), "%s/%s", t->root, name);
	return out;
}

static inline void run_file(const struct run_frame *t, const char *name,
			    const char *text)
{
	FILE *f = fopen(run_path(t, name), "w");

	ck_assert_ptr_nonnull(f);
	ck_assert(fputs(text, f) >= 0);
	ck_assert_int_eq(fclose(f), 0);
}

/* Let the clock stand at that second, and run on from there. */
static inline void run_clock(const struct run_frame *t, int64_t sec)
{
	struct timespec real;
	char text[32];

	ck_assert_int_eq(clock_gettime(CLOCK_REALTIME, &real), 0);
	(void)snprintf(text, sizeof(text), "%lld",
		       (long long)(sec - real.tv_sec));
	run_file(t, "clock", text);
}

static inline void run_region(struct run_frame *t, const char *name)
{
	CLEANUP(keyring_credential_free) struct keyring_credential *key = NULL;
	CLEANUP(store_close) struct store *s = NULL;
	const char *file = run_path(t, "keys/main.key");
	struct keys *keys = NULL;

	if (access(file, F_OK) == 0)
		ok(&t->f, keyring_credential_key_file(file, &key, &t->f.e));
	else
		ok(&t->f,
		   keyring_credential_make_key_file(file, &key, &t->f.e));
	ok(&t->f, store_open(run_path(t, name), true, &s, &t->f.e));
	ok(&t->f, keyring_init(s, key, "test", at(1), &keys, &t->f.e));
	keys_free(keys);
}

static inline void run_apply(struct run_frame *t, const char *kind,
			     const char *name, const char *labels,
			     const char *spec)
{
	const struct catalog_document d = { .kind = kind,
					    .name = name,
					    .labels_json = labels,
					    .spec_json = spec };
	const struct catalog_actor who = { .uid = 1000,
					   .name = "tester",
					   .now = clock_now() };
	struct catalog_applied applied = { 0 };

	ok(&t->f, catalog_apply(t->f.c, &d, 1, &who, &applied, &t->f.e));
	catalog_applied_done(&applied, 1);
}

static inline void run_config(struct run_frame *t)
{
	char state[SCRATCH_PATH + 64], keys[SCRATCH_PATH + 64];
	char cache[SCRATCH_PATH + 64], etc[SCRATCH_PATH + 64];
	char *environment[] = { state, keys, cache, etc, NULL };
	const struct config_input in = { .environment = environment,
					 .uid = 0,
					 .daemon = true };
	CLEANUP(problem_done) struct problem_list problems;

	problem_init(&problems);
	(void)snprintf(state, sizeof(state), "SNAPCTL_STATE=%s/state", t->root);
	(void)snprintf(keys, sizeof(keys), "SNAPCTL_KEYS=%s/keys", t->root);
	(void)snprintf(cache, sizeof(cache), "SNAPCTL_CACHE=%s/cache", t->root);
	(void)snprintf(etc, sizeof(etc), "SNAPCTL_ETC=%s/etc", t->root);
	ok(&t->f, config_load(&in, &t->config, &problems, &t->f.e));
}

/* Region "a" of repository "main", source "web" below <root>/web. */
static inline void run_open(struct run_frame *t)
{
	char spec[4 * SCRATCH_PATH];

	memset(t, 0, sizeof(*t));
	frame_open(&t->f);
	(void)snprintf(t->root, sizeof(t->root), "%s", t->f.dir.path);
	(void)snprintf(spec, sizeof(spec), "@%s/clock", t->root);
	ck_assert_int_eq(setenv("SNAPCTL_TEST_CLOCK", spec, 1), 0);
	run_clock(t, 1700000000);
	ok(&t->f, secret_start(&t->f.e));
	ck_assert_int_eq(mkdir(run_path(t, "keys"), 0700), 0);
	ck_assert_int_eq(mkdir(run_path(t, "web"), 0700), 0);
	run_file(t, "web/one", "one\n");
	run_region(t, "a");
	run_config(t);
	(void)snprintf(spec, sizeof(spec),
		       "{\"keyFile\":\"main.key\",\"regions\":[{\"name\":"
		       "\"a\",\"url\":\"file://%s\"}]}",
		       run_path(t, "a"));
	run_apply(t, "Repository", "main", NULL, spec);
	(void)snprintf(spec, sizeof(spec),
		       "{\"type\":\"files\",\"paths\":[\"%s\"]}",
		       run_path(t, "web"));
	run_apply(t, "Source", "web", "{\"tier\":\"gold\"}", spec);
	run_apply(t, "Policy", "gold", NULL,
		  "{\"retention\":{\"keep-last\":3}}");
	run_apply(t, "Schedule", "nightly", NULL,
		  "{\"cron\":\"0 1 * * *\",\"sources\":{\"matchLabels\":{"
		  "\"tier\":\"gold\"}},\"repository\":\"main\",\"policy\":"
		  "\"gold\"}");
}

static inline void run_done(struct run_frame *t)
{
	run_free(t->run);
	config_free(t->config);
	frame_done(&t->f);
	(void)unsetenv("SNAPCTL_TEST_CLOCK");
}
static inline void cleanup_run_done(struct run_frame *t)
{
	run_done(t);
}

static inline int copy_uid(void *arg, const struct catalog_resource *r,
			   struct err *e UNUSED)
{
	(void)snprintf((char *)arg, 33, "%s", r->uid);
	return 0;
}

/*
 * Another attempt of an occurrence (0: of a new one at this moment), of a
 * "Schedule", or "Maintenance" of a repository.
 */
static inline int64_t run_attempt_of(struct run_frame *t, const char *kind,
				     const char *name, int64_t occurrence)
{
	const char *resource = strcmp(kind, "Maintenance") == 0 ? "Repository"
								: kind;
	const struct instant now = clock_now();
	char uid[33] = "";
	struct catalog_occurrence o = { .kind = kind,
					.schedule_uid = uid,
					.schedule = name,
					.schedule_version = 1,
					.repository = "main",
					.at = now,
					.jittered = now,
					.noted = now,
					.state = CATALOG_DUE };
	struct catalog_run r = { .kind = kind,
				 .schedule_uid = uid,
				 .schedule = name,
				 .repository = "main",
				 .queued = now,
				 .requested_by = "snapctld" };
	int64_t id = 0;

	ck_assert_int_eq(catalog_resource_get(t->f.c, resource, name, copy_uid,
					      uid, &t->f.e),
			 1);
	if (occurrence == 0)
		ok(&t->f,
		   catalog_occurrence_note(t->f.c, &o, &occurrence, &t->f.e));
	r.occurrence = occurrence;
	ok(&t->f, catalog_run_queue(t->f.c, &r, &id, &t->f.e));
	ck_assert_int_eq(claim_run(&t->f, id, now.sec), CATALOG_CLAIMED);
	return id;
}

static inline int64_t run_attempt(struct run_frame *t, int64_t occurrence)
{
	return run_attempt_of(t, "Schedule", "nightly", occurrence);
}

/* Load a run, without performing it. */
static inline struct run *run_get(struct run_frame *t, int64_t id)
{
	run_free(t->run);
	t->run = NULL;
	ok(&t->f, run_load(t->f.c, id, &t->run, &t->f.e));
	t->run->config = t->config;
	t->run->stop = &t->stop;
	return t->run;
}

/* Do the steps of that run, as `snapctld --run` does. */
static inline enum run_state run_do(struct run_frame *t, int64_t id)
{
	enum run_state state = RUN_FAILED;
	struct run *r = run_get(t, id);
	const struct run_step *steps;
	size_t n;

	steps = run_steps(r->kind, &n);
	ok(&t->f, run_perform(r, steps, n, &state, &t->f.e));
	return state;
}

/* Open a region, as the direct commands do. */
static inline struct repository *run_repository(struct run_frame *t,
						const char *region)
{
	CLEANUP(keyring_credential_free) struct keyring_credential *key = NULL;
	struct repository *r = NULL;

	ok(&t->f, keyring_credential_key_file(run_path(t, "keys/main.key"),
					      &key, &t->f.e));
	ok(&t->f, repository_open(run_path(t, region), key, &r, &t->f.e));
	return r;
}

struct run_count {
	int live, deleted, locked;
};

static inline int count_snapshot(void *arg, struct repository_snapshot *s,
				 struct err *e UNUSED)
{
	struct run_count *n = arg;

	n->live += !s->deleted;
	n->deleted += s->deleted;
	n->locked += s->locked;
	return 0;
}

static inline struct run_count run_counts(struct run_frame *t,
					  const char *region)
{
	CLEANUP(repository_close)
	struct repository *r = run_repository(t, region);
	struct run_count n = { 0 };

	ok(&t->f,
	   repository_snapshots(r, true, count_snapshot, NULL, &n, &t->f.e));
	return n;
}

#endif

/* The step "verify", between folders, without a daemon. */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>

#include "service/run_locks.h"
#include "storage/replicate.h"
#include "tests/support/check_main.h"
#include "tests/support/report_frame.h"
#include "tests/support/run_frame.h"

enum { DAY = 86400 };
#define START 1700000000

/* So many copyings fail, as those from a damaged primary may. */
static int failing;

int __real_replicate_run(struct repository *from, struct repository *to,
			 const struct replicate_options *o,
			 struct replicate_result *ret, struct err *e);
int __wrap_replicate_run(struct repository *from, struct repository *to,
			 const struct replicate_options *o,
			 struct replicate_result *ret, struct err *e);
int __wrap_replicate_run(struct repository *from, struct repository *to,
			 const struct replicate_options *o,
			 struct replicate_result *ret, struct err *e)
{
	if (failing == 0)
		return __real_replicate_run(from, to, o, ret, e);
	failing--;
	return err_set(e, ERR_CORRUPT, "it is damaged");
}

/* ---- A store that guards: folders do only where a file system can -------- */

static bool guards;
static const char *too_short; /* names that begin so are not guarded */
static bool cannot_ask;
static char asked[4096][STORE_NAME_MAX + 1]; /* in the order of asking */
static size_t n_asked;
static pthread_mutex_t asking = PTHREAD_MUTEX_INITIALIZER;

int __wrap_store_can_guard(struct store *s, struct err *e);
int __wrap_store_can_guard(struct store *s UNUSED, struct err *e UNUSED)
{
	return guards;
}

int __wrap_store_guard(struct store *s, const char *name, struct instant until,
		       struct err *e);
int __wrap_store_guard(struct store *s UNUSED, const char *name UNUSED,
		       struct instant until UNUSED, struct err *e UNUSED)
{
	return 1;
}

void __wrap_store_guard_new(struct store *s, struct instant until,
			    bool (*which)(const char *name));
void __wrap_store_guard_new(struct store *s UNUSED, struct instant until UNUSED,
			    bool (*which)(const char *name) UNUSED)
{
}

void __wrap_store_guard_brief(struct store *s, struct instant until,
			      bool (*which)(const char *name));
void __wrap_store_guard_brief(struct store *s UNUSED,
			      struct instant until UNUSED,
			      bool (*which)(const char *name) UNUSED)
{
}

int __wrap_store_guarded(struct store *s, const char *name,
			 struct store_guard *ret, struct err *e);
int __wrap_store_guarded(struct store *s UNUSED, const char *name,
			 struct store_guard *ret, struct err *e)
{
	const bool fails = too_short &&
			   strncmp(name, too_short, strlen(too_short)) == 0;

	(void)pthread_mutex_lock(&asking);
	ck_assert_uint_lt(n_asked, 4096);
	(void)snprintf(asked[n_asked++], STORE_NAME_MAX + 1, "%s", name);
	(void)pthread_mutex_unlock(&asking);
	*ret = (struct store_guard){ .held = false };
	if (!fails)
		ret->until.sec = INT64_C(1) << 33;
	return cannot_ask ? err_set(e, ERR_DENIED, "nobody may know") : 1;
}

static size_t times_asked(const char *prefix)
{
	size_t n = 0;

	for (size_t i = 0; i < n_asked; i++)
		n += strncmp(asked[i], prefix, strlen(prefix)) == 0;
	return n;
}

/* Regions a and b, and a floor that wants both. */
static void begin(struct run_frame *t)
{
	CLEANUP(keyring_credential_free) struct keyring_credential *key = NULL;
	CLEANUP(store_close) struct store *from = NULL;
	CLEANUP(store_close) struct store *to = NULL;
	char spec[4 * SCRATCH_PATH];

	run_open(t);
	(void)snprintf(spec, sizeof(spec),
		       "{\"keyFile\":\"main.key\",\"verifyEvery\":\"30d\","
		       "\"regions\":["
		       "{\"name\":\"a\",\"url\":\"file://%s\"},"
		       "{\"name\":\"b\",\"url\":\"file://%s\"}]}",
		       run_path(t, "a"), run_path(t, "b"));
	run_apply(t, "Repository", "main", NULL, spec);
	run_apply(t, "Policy", "gold", NULL,
		  "{\"retention\":{\"keep-last\":1},\"floor\":{\"snapshots\":1,"
		  "\"verifiedWithin\":\"30d\",\"regions\":2}}");
	run_apply(t, "Schedule", "nightly", NULL,
		  "{\"cron\":\"0 1 * * *\",\"sources\":{\"matchLabels\":{"
		  "\"tier\":\"gold\"}},\"repository\":\"main\",\"policy\":"
		  "\"gold\",\"replicateTo\":[\"b\"]}");
	ok(&t->f, keyring_credential_key_file(run_path(t, "keys/main.key"),
					      &key, &t->f.e));
	ok(&t->f, store_open(run_path(t, "a"), false, &from, &t->f.e));
	ok(&t->f, store_open(run_path(t, "b"), true, &to, &t->f.e));
	ok(&t->f, replicate_settle(from, to, key, &t->f.e));
}

/* A run on that day; its state. */
static enum run_state night(struct run_frame *t, int day)
{
	enum run_state state;
	int64_t id;

	run_clock(t, START + (int64_t)day * DAY);
	id = run_attempt(t, 0);
	state = run_do(t, id);
	(void)end_run(&t->f, id, CATALOG_RUN_SUCCEEDED, clock_now().sec,
		      CATALOG_SUCCEEDED);
	return state;
}

static void damage_file(const char *path)
{
	const int fd = open(path, O_RDWR | O_CLOEXEC);
	struct stat st;
	char c;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	/* Within the first sealed chunk, behind the pack's header. */
	ck_assert_int_eq(pread(fd, &c, 1, 60), 1);
	c = (char)(c ^ 1);
	ck_assert_int_eq(pwrite(fd, &c, 1, 60), 1);
	ck_assert_int_eq(close(fd), 0);
}

/* Spoil every data pack below a folder, however it is laid out. */
static int damage(const char *folder)
{
	DIR *d = opendir(folder);
	struct dirent *entry;
	int n = 0;

	ck_assert_ptr_nonnull(d);
	while ((entry = readdir(d))) {
		char path[4096];
		struct stat st;

		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", folder,
			       entry->d_name);
		ck_assert_int_eq(stat(path, &st), 0);
		if (S_ISDIR(st.st_mode)) {
			n += damage(path);
		} else {
			ck_assert_int_eq(chmod(path, 0600), 0);
			damage_file(path);
			n++;
		}
	}
	ck_assert_int_eq(closedir(d), 0);
	return n;
}

/* Remove every file below a folder, not the folders. */
static int unlink_all(const char *folder)
{
	DIR *d = opendir(folder);
	struct dirent *entry;
	int n = 0;

	ck_assert_ptr_nonnull(d);
	while ((entry = readdir(d))) {
		char path[4096];
		struct stat st;

		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", folder,
			       entry->d_name);
		ck_assert_int_eq(stat(path, &st), 0);
		if (S_ISDIR(st.st_mode)) {
			n += unlink_all(path);
		} else {
			ck_assert_int_eq(unlink(path), 0);
			n++;
		}
	}
	ck_assert_int_eq(closedir(d), 0);
	return n;
}

static int64_t proven(struct run_frame *t, const char *region)
{
	char sql[200];

	(void)snprintf(sql, sizeof(sql),
		       "SELECT count(*) FROM replicas WHERE state = 'complete' "
		       "AND oldest_verified_us IS NOT NULL AND region = '%s'",
		       region);
	return frame_count(&t->f, sql);
}

START_TEST(a_new_copy_is_proven_at_once)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t);
	ck_assert_int_eq(night(&t, 0), RUN_SUCCEEDED);
	ck_assert_int_eq(proven(&t, "a"), 1);
	ck_assert_int_eq(proven(&t, "b"), 1);
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM checks WHERE "
					   "level = 'data' AND result = "
					   "'sound' AND run IS NOT NULL"),
			 2);
	/* So the floor is satisfied, and the older one may go. */
	run_file(&t, "web/two", "two\n");
	ck_assert_int_eq(night(&t, 1), RUN_SUCCEEDED);
	ck_assert_int_eq(run_counts(&t, "a").live, 1);
	ck_assert_int_eq(run_counts(&t, "b").live, 1);
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM decisions "
					   "WHERE outcome = 'floor-blocked'"),
			 0);
}
END_TEST

START_TEST(damage_is_told_and_proves_nothing)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t);
	ck_assert_int_eq(night(&t, 0), RUN_SUCCEEDED);
	/* In both, so that there is nothing to heal either from. */
	ck_assert_int_ge(damage(run_path(&t, "a/data")), 1);
	ck_assert_int_ge(damage(run_path(&t, "b/data")), 1);
	/* Long enough for each pack to have had its turn. */
	ck_assert_int_eq(night(&t, 29), RUN_PARTIAL);
	ck_assert_int_eq(proven(&t, "a") + proven(&t, "b"), 0);
	ck_assert_int_eq(
		frame_count(&t.f, "SELECT count(*) FROM run_steps WHERE step = "
				  "'verify' AND region = '' AND state = "
				  "'partial' AND message LIKE 'region a is "
				  "damaged in %snapctl repo check%file://%'"),
		1);
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM checks WHERE "
					   "region = 'b' AND result = "
					   "'damaged' AND damaged > 0"),
			 1);
	/* It is read again at every run, and nothing is deleted meanwhile. */
	ck_assert_int_eq(night(&t, 30), RUN_PARTIAL);
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM checks WHERE "
					   "region = 'b' AND result = "
					   "'damaged'"),
			 2);
	ck_assert_int_eq(run_counts(&t, "a").deleted, 0);
}
END_TEST

static int64_t healings(struct run_frame *t, const char *state)
{
	char sql[200];

	(void)snprintf(sql, sizeof(sql),
		       "SELECT count(*) FROM run_steps WHERE step = 'heal' AND "
		       "state = '%s'",
		       state);
	return frame_count(&t->f, sql);
}

/* One bit of each pack, found by the cycle, in either region. */
START_TEST(what_another_region_has_heals_at_once)
{
	static const char *const regions[] = { "a", "b" };
	CLEANUP(run_done) struct run_frame t;

	begin(&t);
	ck_assert_int_eq(night(&t, 0), RUN_SUCCEEDED);
	for (int i = 0; i < 2; i++) {
		char data[40];

		(void)snprintf(data, sizeof(data), "%s/data", regions[i]);
		ck_assert_int_ge(damage(run_path(&t, data)), 1);
		ck_assert_int_eq(night(&t, 29 * (i + 1)), RUN_SUCCEEDED);
		ck_assert_int_eq(healings(&t, "succeeded"), i + 1);
		ck_assert_int_eq(proven(&t, regions[i]), 1);
		ck_assert_int_eq(
			frame_count(&t.f,
				    "SELECT count(*) FROM audit WHERE action = "
				    "'region.heal' AND object = "
				    "'Repository/main' AND details ->> "
				    "'$.sound' AND details ->> '$.chunks' > "
				    "0"),
			i + 1);
	}
	/* Both looks are evidence: what was wrong, and that it is no more. */
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM checks WHERE "
					   "result = 'damaged'"),
			 2);
	ck_assert_int_eq(
		frame_count(&t.f, "SELECT count(*) FROM run_steps WHERE step = "
				  "'verify' AND state = 'succeeded' AND "
				  "message LIKE '%damaged, and healed from%'"),
		4);
	/* Now nothing is wrong any more. */
	ck_assert_int_eq(night(&t, 59), RUN_SUCCEEDED);
	ck_assert_int_eq(healings(&t, "succeeded"), 2);
}
END_TEST

/* A primary that lists nothing any more gets back what nobody deleted. */
START_TEST(lost_manifests_come_back)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t);
	ck_assert_int_eq(night(&t, 0), RUN_SUCCEEDED);
	run_file(&t, "web/two", "two\n");
	ck_assert_int_eq(night(&t, 1), RUN_SUCCEEDED);
	ck_assert_int_eq(run_counts(&t, "a").live, 1);
	ck_assert_int_eq(run_counts(&t, "a").deleted, 1);
	ck_assert_int_ge(unlink_all(run_path(&t, "a/snapshots")), 2);
	ck_assert_int_eq(night(&t, 2), RUN_SUCCEEDED);
	ck_assert_int_eq(healings(&t, "succeeded"), 1);
	ck_assert_int_eq(
		frame_count(&t.f, "SELECT details ->> '$.snapshot_count' FROM "
				  "audit WHERE action = 'region.heal'"),
		1);
	/* Last night's, which came back, gives way to this one's. */
	ck_assert_int_eq(run_counts(&t, "a").live, 1);
	ck_assert_int_eq(run_counts(&t, "a").deleted, 1);
}
END_TEST

/* The run's own snapshot is not left in the primary alone. */
START_TEST(what_damage_kept_from_being_copied_is_copied)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t);
	ck_assert_int_eq(night(&t, 0), RUN_SUCCEEDED);
	ck_assert_int_ge(unlink_all(run_path(&t, "a/meta")), 1);
	run_file(&t, "web/two", "two\n");
	failing = 1;
	ck_assert_int_eq(night(&t, 1), RUN_PARTIAL); /* it did not go at once */
	ck_assert_int_eq(failing, 0);
	ck_assert_int_eq(healings(&t, "succeeded"), 1);
	ck_assert_int_eq(
		frame_count(&t.f, "SELECT count(*) FROM run_steps WHERE step = "
				  "'replicate' AND region = '' AND state <> "
				  "'succeeded'"),
		1);
	ck_assert_int_eq(
		frame_count(&t.f, "SELECT count(*) FROM run_steps WHERE step = "
				  "'replicate' AND region = 'b' AND state = "
				  "'succeeded' AND details ->> '$.copied' = 1"),
		2);
	ck_assert_int_eq(proven(&t, "b"), 1);
}
END_TEST

START_TEST(without_another_region_nothing_heals)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t);
	ck_assert_int_eq(night(&t, 0), RUN_SUCCEEDED);
	ck_assert_int_ge(damage(run_path(&t, "a/data")), 1);
	ck_assert_int_eq(rename(run_path(&t, "b"), run_path(&t, "away")), 0);
	ck_assert_int_eq(night(&t, 29), RUN_PARTIAL);
	ck_assert_int_eq(healings(&t, "failed"), 1);
	ck_assert_int_eq(
		frame_count(&t.f, "SELECT count(*) FROM run_steps WHERE step = "
				  "'heal' AND message LIKE '%no other region "
				  "answers%'"),
		1);
	ck_assert_int_eq(rename(run_path(&t, "away"), run_path(&t, "b")), 0);
	ck_assert_int_eq(night(&t, 30), RUN_SUCCEEDED);
	ck_assert_int_eq(healings(&t, "succeeded"), 1);
}
END_TEST

/* Everything within a cycle, and far from everything in each run. */
START_TEST(every_pack_has_its_turn)
{
	CLEANUP(run_done) struct run_frame t;
	int64_t reads;

	begin(&t);
	for (int day = 0; day < 60; day++) {
		ck_assert_int_eq(night(&t, day), RUN_SUCCEEDED);
		ck_assert_int_eq(
			frame_count(&t.f,
				    "SELECT count(*) FROM pack_reads WHERE "
				    "read_us < (SELECT max(started_us) FROM "
				    "checks) - 30 * 86400 * 1000000"),
			0);
	}
	reads = frame_count(&t.f, "SELECT sum(details ->> '$.packs_read') "
				  "FROM checks WHERE region = 'a'");
	ck_assert_int_ge(reads, 1);
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM checks WHERE "
					   "details ->> '$.unread_bytes' > 0"),
			 0);
	ck_assert_int_lt(reads,
			 frame_count(&t.f, "SELECT sum(details ->> "
					   "'$.packs') FROM checks WHERE "
					   "region = 'a'") /
				 4);
}
END_TEST

/* What `region health` says of region a, which has each of these. */
static void expect_health(struct run_frame *t, const char *const *all)
{
	const char *const told[] = { "repository", "main", NULL };
	CLEANUP(buf_done) struct buf out;
	const char *end;

	(void)report_reply(&t->f, "region health", clock_now().sec, told, &out);
	end = strstr(buf_str(&out), "\"region\":\"b\"");
	ck_assert_ptr_nonnull(end);
	for (; *all; all++) {
		const char *at = strstr(buf_str(&out), *all);

		ck_assert_msg(at && at < end, "no %s in %s", *all,
			      buf_str(&out));
	}
}

/* Neither another region nor a repair brings these back. */
START_TEST(what_is_damaged_besides_data_is_named)
{
	static const char fence[] = "fences/0123456789abcdef0123456789abcdef";
	CLEANUP(run_done) struct run_frame t;
	char path[100];

	begin(&t);
	ck_assert_int_eq(night(&t, 0), RUN_SUCCEEDED);
	expect_health(&t, (const char *const[]){ "\"sound\":true",
						 "\"message\":\"\"",
						 "\"damaged\":[]", NULL });
	(void)mkdir(run_path(&t, "a/fences"), 0700);
	(void)snprintf(path, sizeof(path), "a/%s", fence);
	run_file(&t, path, "no fence at all");
	ck_assert_int_eq(night(&t, 1), RUN_PARTIAL);
	expect_health(&t, (const char *const[]){
				  "\"sound\":false",
				  "\"message\":\"1 damaged: fences/0123",
				  "\"damaged\":[\"fences/0123",
				  "\"damaged_count\":1", NULL });
	ck_assert_int_eq(unlink(run_path(&t, path)), 0);
	ck_assert_int_eq(night(&t, 2), RUN_SUCCEEDED);
	expect_health(&t, (const char *const[]){ "\"sound\":true",
						 "\"damaged\":[]", NULL });
}
END_TEST

/* ---- What is locked ----------------------------------------------------- */

static void begin_locked(struct run_frame *t, const char *lock)
{
	char spec[200];

	guards = true;
	too_short = NULL;
	cannot_ask = false;
	n_asked = 0;
	begin(t);
	(void)snprintf(spec, sizeof(spec), "{\"lock\":\"%s\"}", lock);
	run_apply(t, "Policy", "gold", NULL, spec);
}

/* Of the newest check of region a. */
static int64_t told(struct run_frame *t, const char *key)
{
	char sql[300];

	(void)snprintf(sql, sizeof(sql),
		       "SELECT coalesce((SELECT details ->> '$.object_lock.%s' "
		       "FROM checks WHERE region = 'a' ORDER BY id DESC LIMIT "
		       "1), -1)",
		       key);
	return frame_count(&t->f, sql);
}

static int name_one(void *arg, const struct store_entry *entry,
		    struct err *e UNUSED)
{
	(void)snprintf(arg, STORE_NAME_MAX + 1, "%s", entry->name);
	return 1;
}

/* Each has its turn, once in 28 days, and those of a day are few. */
START_TEST(what_is_locked_is_asked_by_shares)
{
	CLEANUP(run_done) struct run_frame t;
	char pack[STORE_NAME_MAX + 1] = "";

	begin_locked(&t, "60d");
	ck_assert_int_eq(night(&t, 0), RUN_SUCCEEDED);
	ck_assert_int_eq(told(&t, "parts"), 28);
	ck_assert_int_eq(told(&t, "parts_asked"), 1);
	ck_assert_int_eq(told(&t, "short"), 0);
	ck_assert_int_eq(told(&t, "snapshots"), 1);
	ck_assert_int_gt(told(&t, "objects"), 6);
	{
		CLEANUP(repository_close)
		struct repository *r = run_repository(&t, "a");

		ok(&t.f, store_list(repository_store(r), "data/", name_one,
				    pack, &t.f.e));
	}
	n_asked = 0;
	for (int day = 1; day <= 28; day++) {
		const size_t before = n_asked;

		ck_assert_int_eq(night(&t, day), RUN_SUCCEEDED);
		ck_assert_int_eq(told(&t, "parts_asked"), 1);
		ck_assert_int_lt(told(&t, "asked"), told(&t, "objects"));
		ck_assert_int_gt((int64_t)(n_asked - before),
				 told(&t, "asked"));
	}
	ck_assert_uint_eq(times_asked(pack), 1);
}
END_TEST

START_TEST(a_day_asks_once_and_those_without_runs_are_made_up_for)
{
	CLEANUP(run_done) struct run_frame t;
	size_t before;

	begin_locked(&t, "60d");
	ck_assert_int_eq(night(&t, 0), RUN_SUCCEEDED);
	before = n_asked;
	ck_assert_int_eq(night(&t, 0), RUN_SUCCEEDED);
	ck_assert_uint_eq(n_asked, before);
	ck_assert_int_eq(told(&t, "asked"), -1);
	ck_assert_int_eq(night(&t, 10), RUN_SUCCEEDED);
	ck_assert_int_eq(told(&t, "parts_asked"), 10);
	/* At most all of them. */
	ck_assert_int_eq(night(&t, 90), RUN_SUCCEEDED);
	ck_assert_int_eq(told(&t, "parts_asked"), 28);
	ck_assert_int_eq(told(&t, "asked"), told(&t, "objects"));
}
END_TEST

/* What was locked too briefly is found before that is over. */
START_TEST(a_short_lock_is_asked_more_often)
{
	CLEANUP(run_done) struct run_frame t;

	begin_locked(&t, "2d");
	ck_assert_int_eq(night(&t, 0), RUN_SUCCEEDED);
	ck_assert_int_eq(told(&t, "parts"), 1);
	ck_assert_int_eq(told(&t, "asked"), told(&t, "objects"));
}
END_TEST

/* Though the schedule's policy locks nothing. */
START_TEST(a_lock_of_the_region_alone_is_asked_by_its_own_length)
{
	CLEANUP(run_done) struct run_frame t;
	char spec[4 * SCRATCH_PATH];

	begin_locked(&t, "60d");
	run_apply(&t, "Policy", "gold", NULL, "{\"retention\":{}}");
	run_apply(&t, "Policy", "archive", NULL, "{\"lock\":\"14d\"}");
	(void)snprintf(spec, sizeof(spec),
		       "{\"keyFile\":\"main.key\",\"verifyEvery\":\"30d\","
		       "\"regions\":["
		       "{\"name\":\"a\",\"url\":\"file://%s\","
		       "\"policy\":\"archive\"},"
		       "{\"name\":\"b\",\"url\":\"file://%s\"}]}",
		       run_path(&t, "a"), run_path(&t, "b"));
	run_apply(&t, "Repository", "main", NULL, spec);
	ck_assert_int_eq(night(&t, 0), RUN_SUCCEEDED);
	ck_assert_int_eq(told(&t, "parts"), 7);
	ck_assert_int_eq(told(&t, "snapshots"), 1);
}
END_TEST

/* As two schedules of one repository do. */
START_TEST(each_cycle_has_days_of_its_own)
{
	CLEANUP(run_done) struct run_frame t;

	begin_locked(&t, "60d");
	ck_assert_int_eq(night(&t, 0), RUN_SUCCEEDED);
	run_apply(&t, "Policy", "gold", NULL, "{\"lock\":\"2d\"}");
	ck_assert_int_eq(night(&t, 0), RUN_SUCCEEDED);
	ck_assert_int_eq(told(&t, "asked"), told(&t, "objects"));
	run_apply(&t, "Policy", "gold", NULL, "{\"lock\":\"60d\"}");
	ck_assert_int_eq(night(&t, 0), RUN_SUCCEEDED);
	ck_assert_int_eq(told(&t, "asked"), -1);
}
END_TEST

static struct run_locks_known known(struct run_frame *t)
{
	struct run_locks_known x;

	ok(&t->f, run_locks_known(t->f.c, "main", "a", at(0), &x, &t->f.e));
	return x;
}

START_TEST(what_is_guarded_too_briefly_is_told_until_it_is_not)
{
	CLEANUP(run_done) struct run_frame t;
	char text[300];
	struct run_locks_known x;

	begin_locked(&t, "2d");
	too_short = "receipts/";
	ck_assert_int_eq(night(&t, 0), RUN_PARTIAL);
	ck_assert_int_eq(
		frame_count(&t.f, "SELECT count(*) FROM run_steps WHERE step = "
				  "'verify' AND state = 'partial' AND message "
				  "LIKE 'region _: its store guards 1 object "
				  "too briefly%'"),
		3); /* of each region, and of all */
	x = known(&t);
	ck_assert_uint_eq(x.too_short, 1);
	ck_assert(run_locks_wrong(&x, "a", text));
	ck_assert_ptr_nonnull(strstr(text, "too briefly"));
	/* No damage: nothing is healed, and copies are proven. */
	ck_assert_int_eq(proven(&t, "a"), 1);
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM checks WHERE "
					   "result = 'sound'"),
			 2);
	ck_assert_int_eq(healings(&t, "succeeded") + healings(&t, "failed"), 0);
	/* On the same day, too. */
	n_asked = 0;
	ck_assert_int_eq(night(&t, 0), RUN_PARTIAL);
	ck_assert_uint_ge(times_asked("receipts/"), 2);
	ck_assert_uint_eq(times_asked("receipts/"), n_asked);
	too_short = NULL;
	ck_assert_int_eq(night(&t, 0), RUN_SUCCEEDED);
	x = known(&t);
	ck_assert_uint_eq(x.too_short, 0);
	ck_assert(x.any);
	ck_assert(!run_locks_wrong(&x, "a", text));
}
END_TEST

START_TEST(that_it_cannot_be_asked_is_told)
{
	CLEANUP(run_done) struct run_frame t;
	struct run_locks_known x;
	char text[300];

	begin_locked(&t, "60d");
	cannot_ask = true;
	ck_assert_int_eq(night(&t, 0), RUN_PARTIAL);
	x = known(&t);
	ck_assert(run_locks_wrong(&x, "a", text));
	ck_assert_ptr_nonnull(strstr(text, "nobody may know"));
	cannot_ask = false;
	ck_assert_int_eq(night(&t, 0), RUN_SUCCEEDED);
	x = known(&t);
	ck_assert(!run_locks_wrong(&x, "a", text));
	/* It is made up for. */
	ck_assert_int_eq(told(&t, "parts_asked"), 1);
}
END_TEST

START_TEST(of_stores_without_guards_nothing_is_told)
{
	CLEANUP(run_done) struct run_frame t;

	begin_locked(&t, "60d");
	guards = false;
	ck_assert_int_eq(night(&t, 0), RUN_SUCCEEDED);
	ck_assert_uint_eq(n_asked, 0);
	ck_assert_int_eq(told(&t, "short"), -1);
	ck_assert(!known(&t).any);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, a_new_copy_is_proven_at_once);
	tcase_add_test(tc, damage_is_told_and_proves_nothing);
	tcase_add_test(tc, what_another_region_has_heals_at_once);
	tcase_add_test(tc, lost_manifests_come_back);
	tcase_add_test(tc, what_damage_kept_from_being_copied_is_copied);
	tcase_add_test(tc, without_another_region_nothing_heals);
	tcase_add_test(tc, every_pack_has_its_turn);
	tcase_add_test(tc, what_is_damaged_besides_data_is_named);
	tcase_add_test(tc, what_is_locked_is_asked_by_shares);
	tcase_add_test(tc,
		       a_day_asks_once_and_those_without_runs_are_made_up_for);
	tcase_add_test(tc, a_short_lock_is_asked_more_often);
	tcase_add_test(tc,
		       a_lock_of_the_region_alone_is_asked_by_its_own_length);
	tcase_add_test(tc, each_cycle_has_days_of_its_own);
	tcase_add_test(tc, what_is_guarded_too_briefly_is_told_until_it_is_not);
	tcase_add_test(tc, that_it_cannot_be_asked_is_told);
	tcase_add_test(tc, of_stores_without_guards_nothing_is_told);
}

CHECK_MAIN("service/step_verify", cases)

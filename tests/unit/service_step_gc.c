/* The step "gc", on real small repositories, without a daemon. */
#include <dirent.h>
#include <errno.h>

#include "base/seam.h"
#include "service/catalog_audit.h"
#include "service/catalog_keep.h"
#include "service/hold_releases.h"
#include "storage/replicate.h"
#include "storage/repository/deletion.h"
#include "storage/repository/guards.h"
#include "tests/support/check_main.h"
#include "tests/support/run_frame.h"

enum { DAY = 86400 };
#define START 1700000000

static int64_t today;

/* Of the regions of one collection, in their order: what was let go of. */
static bool released[8];
static size_t passes;
static bool keeps; /* the store lets go of nothing */

int __wrap_guards_run(struct repository *r, const struct guards_options *o,
		      struct guards_result *ret, struct err *e);
int __wrap_guards_run(struct repository *r UNUSED,
		      const struct guards_options *o, struct guards_result *ret,
		      struct err *e)
{
	*ret = (struct guards_result){ .can = true };
	released[passes++ % 8] = o->release;
	return keeps ? err_set(e, ERR_DENIED, "it may not be released") : 0;
}

/* Region b, beside a. */
static void settle(struct run_frame *t)
{
	CLEANUP(keyring_credential_free) struct keyring_credential *key = NULL;
	CLEANUP(store_close) struct store *from = NULL;
	CLEANUP(store_close) struct store *to = NULL;

	ok(&t->f, keyring_credential_key_file(run_path(t, "keys/main.key"),
					      &key, &t->f.e));
	ok(&t->f, store_open(run_path(t, "a"), false, &from, &t->f.e));
	ok(&t->f, store_open(run_path(t, "b"), true, &to, &t->f.e));
	ok(&t->f, replicate_settle(from, to, key, &t->f.e));
}

static void pass(struct run_frame *t, int days)
{
	today += (int64_t)days * DAY;
	run_clock(t, today);
}

/* A run of that kind now; its state. */
static enum run_state perform(struct run_frame *t, const char *kind,
			      const char *name)
{
	const int64_t id = run_attempt_of(t, kind, name, 0);
	const enum run_state state = run_do(t, id);

	(void)end_run(&t->f, id,
		      state == RUN_FAILED ? CATALOG_RUN_FAILED
					  : CATALOG_RUN_SUCCEEDED,
		      clock_now().sec, CATALOG_SUCCEEDED);
	return state;
}

static enum run_state collect(struct run_frame *t)
{
	return perform(t, "Maintenance", "main");
}

/* Some nights, of which only the last is kept. */
static void nights(struct run_frame *t, int n)
{
	for (int i = 0; i < n; i++) {
		char text[64];

		pass(t, 1);
		(void)snprintf(text, sizeof(text), "of day %lld",
			       (long long)today);
		run_file(t, "web/one", text);
		ck_assert_int_eq(perform(t, "Schedule", "nightly"),
				 RUN_SUCCEEDED);
	}
}

/* Regions a and b, in which two of three snapshots are deleted. */
static void begin(struct run_frame *t)
{
	char spec[4 * SCRATCH_PATH];

	today = START;
	keeps = false;
	passes = 0;
	run_open(t);
	settle(t);
	(void)snprintf(spec, sizeof(spec),
		       "{\"keyFile\":\"main.key\",\"regions\":["
		       "{\"name\":\"a\",\"url\":\"file://%s\"},"
		       "{\"name\":\"b\",\"url\":\"file://%s\"}]}",
		       run_path(t, "a"), run_path(t, "b"));
	run_apply(t, "Repository", "main", NULL, spec);
	run_apply(t, "Policy", "gold", NULL,
		  "{\"retention\":{\"keep-last\":1}}");
	run_apply(t, "Schedule", "nightly", NULL,
		  "{\"cron\":\"0 1 * * *\",\"sources\":{\"matchLabels\":{"
		  "\"tier\":\"gold\"}},\"repository\":\"main\",\"policy\":"
		  "\"gold\",\"replicateTo\":[\"b\"]}");
	nights(t, 3);
	ck_assert_int_eq(run_counts(t, "a").deleted, 2);
	ck_assert_int_eq(run_counts(t, "b").deleted, 2);
}

/* Of the newest row for the region. */
static int64_t told(struct run_frame *t, const char *region, const char *what)
{
	char sql[300];

	(void)snprintf(sql, sizeof(sql),
		       "SELECT %s FROM run_steps WHERE step = 'gc' AND region "
		       "= '%s' ORDER BY id DESC LIMIT 1",
		       what, region);
	return frame_count(&t->f, sql);
}

static int64_t audited(struct run_frame *t, const char *region)
{
	char sql[300];

	(void)snprintf(sql, sizeof(sql),
		       "SELECT count(*) FROM audit WHERE action = 'repo.gc' "
		       "AND object = 'Repository/main' AND actor = 'snapctld' "
		       "AND details ->> 'region' = '%s'",
		       region);
	return frame_count(&t->f, sql);
}

static int copy_collected(void *arg, const struct catalog_collection *k,
			  struct err *e UNUSED)
{
	*(int64_t *)arg = k->collected.sec;
	return 0;
}

static int64_t collected(struct run_frame *t, const char *region)
{
	int64_t sec = 0;

	ck_assert_int_eq(catalog_collection_get(t->f.c, "main", region,
						copy_collected, &sec, &t->f.e),
			 1);
	return sec;
}

/* Rows of deleted snapshots that say since when they are gone. */
static int64_t purged(struct run_frame *t)
{
	return frame_count(&t->f, "SELECT count(*) FROM snapshots WHERE "
				  "deleted_us <= purged_us");
}

START_TEST(space_comes_back_in_every_region)
{
	static const char *const regions[] = { "a", "b" };
	CLEANUP(run_done) struct run_frame t;

	begin(&t);
	/* Restorable for a day: one is no more, the other still is. */
	today += DAY / 2;
	run_clock(&t, today);
	ck_assert_int_eq(collect(&t), RUN_SUCCEEDED);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(told(&t, regions[i], "state = 'succeeded'"),
				 1);
		ck_assert_int_eq(told(&t, regions[i], "details ->> 'deleted'"),
				 0);
		ck_assert_int_eq(
			told(&t, regions[i], "details ->> 'snapshots'"), 1);
		ck_assert_int_eq(audited(&t, regions[i]), 1);
	}
	ck_assert_int_eq(purged(&t), 1);
	pass(&t, 2);
	/* Whoever writes there shows that it can be written to. */
	frame_sql(&t.f, "UPDATE regions SET inventory = json_set(inventory, "
			"'$.unwritable', 'its disk was full')");
	ck_assert_int_eq(collect(&t), RUN_SUCCEEDED);
	ck_assert_int_gt(told(&t, "a", "details ->> 'marked'"), 0);
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM regions WHERE "
					   "inventory ->> '$.unwritable' <> "
					   "''"),
			 0);
	pass(&t, 2);
	ck_assert_int_eq(collect(&t), RUN_SUCCEEDED);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_gt(told(&t, regions[i], "details ->> 'deleted'"),
				 0);
		ck_assert_int_gt(
			told(&t, regions[i], "details ->> 'bytes_freed'"), 0);
		ck_assert_int_eq(run_counts(&t, regions[i]).deleted, 0);
		ck_assert_int_eq(run_counts(&t, regions[i]).live, 1);
		ck_assert_int_ge(audited(&t, regions[i]), 1);
		ck_assert_int_ge(collected(&t, regions[i]), today);
	}
	ck_assert_int_eq(frame_count(&t.f, "SELECT sum(details ->> "
					   "'snapshots') FROM audit WHERE "
					   "action = 'repo.gc'"),
			 4);
	ck_assert_int_eq(purged(&t), 2);
	/* No source, no schedule: it needs neither. */
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM run_sources s "
					   "JOIN runs r ON r.id = s.run WHERE "
					   "r.kind = 'Maintenance'"),
			 0);
	nights(&t, 1);
	ck_assert_int_eq(run_counts(&t, "b").live, 1);
}
END_TEST

START_TEST(a_region_that_is_away_keeps_what_it_has)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t);
	pass(&t, 2);
	ck_assert_int_eq(rename(run_path(&t, "b"), run_path(&t, "away")), 0);
	ck_assert_int_eq(collect(&t), RUN_PARTIAL);
	ck_assert_int_eq(told(&t, "a", "state = 'succeeded'"), 1);
	ck_assert_int_eq(told(&t, "b", "state = 'failed'"), 1);
	ck_assert_int_eq(told(&t, "b",
			      "message LIKE 'region \"b\" of "
			      "repository \"main\": %'"),
			 1);
	ck_assert_int_eq(collected(&t, "b"), 0);
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM regions WHERE "
					   "region = 'b' AND failed_us > "
					   "seen_ok_us"),
			 1);
	ck_assert_int_eq(access(run_path(&t, "b"), F_OK), -1);
	/* Gone from a, but b may have a copy. */
	ck_assert_int_eq(run_counts(&t, "a").deleted, 0);
	ck_assert_int_eq(purged(&t), 0);
	ck_assert_int_eq(rename(run_path(&t, "away"), run_path(&t, "b")), 0);
	ck_assert_int_eq(run_counts(&t, "b").deleted, 2);
	ck_assert_int_eq(collect(&t), RUN_SUCCEEDED);
	ck_assert_int_ge(collected(&t, "b"), today);
	ck_assert_int_eq(run_counts(&t, "b").deleted, 0);
	ck_assert_int_eq(purged(&t), 2);
	/* None of them: all of it failed. */
	ck_assert_int_eq(rename(run_path(&t, "a"), run_path(&t, "away")), 0);
	ck_assert_int_eq(rename(run_path(&t, "b"), run_path(&t, "far")), 0);
	ck_assert_int_eq(collect(&t), RUN_FAILED);
}
END_TEST

static void turn_bit(const char *path)
{
	FILE *f = fopen(path, "r+");
	int byte;

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fseek(f, 100, SEEK_SET), 0);
	byte = fgetc(f);
	ck_assert_int_eq(fseek(f, 100, SEEK_SET), 0);
	ck_assert_int_eq(fputc(byte ^ 1, f), byte ^ 1);
	ck_assert_int_eq(fclose(f), 0);
}

/* Every index object is damaged, or well again. */
static void spoil_index(struct run_frame *t, const char *region)
{
	char name[300];
	struct dirent *entry;
	DIR *dir;
	int n = 0;

	(void)snprintf(name, sizeof(name), "%s/index", region);
	dir = opendir(run_path(t, name));
	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(name, sizeof(name), "%s/index/%s", region,
			       entry->d_name);
		turn_bit(run_path(t, name));
		n++;
	}
	ck_assert_int_gt(n, 0);
	ck_assert_int_eq(closedir(dir), 0);
}

START_TEST(a_damaged_region_loses_nothing)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t);
	pass(&t, 2);
	spoil_index(&t, "a");
	ck_assert_int_eq(collect(&t), RUN_PARTIAL);
	ck_assert_int_eq(told(&t, "a",
			      "state = 'failed' AND message LIKE "
			      "'%nothing was deleted%'"),
			 1);
	ck_assert_int_eq(told(&t, "b", "state = 'succeeded'"), 1);
	ck_assert_int_eq(run_counts(&t, "a").deleted, 2);
	ck_assert_int_eq(audited(&t, "a"), 0);
	/* Well again, by the same turn. */
	spoil_index(&t, "a");
	ck_assert_int_eq(collect(&t), RUN_SUCCEEDED);
	ck_assert_int_eq(run_counts(&t, "a").deleted, 0);
}
END_TEST

START_TEST(nothing_goes_while_the_clock_is_in_doubt)
{
	CLEANUP(run_done) struct run_frame t;
	struct catalog_clock k = { .boot_ms = 1,
				   .boot_id = "b",
				   .jump_ms = -400000 };
	struct catalog_actor who = by("root", 0);

	begin(&t);
	pass(&t, 4);
	k.wall = k.suspicious = clock_now();
	ok(&t.f, catalog_clock_put(t.f.c, &k, &t.f.e));
	ck_assert_int_eq(collect(&t), RUN_FAILED);
	ck_assert_int_eq(run_counts(&t, "a").deleted, 2);
	ck_assert_int_eq(
		frame_count(&t.f, "SELECT count(*) FROM run_steps WHERE step = "
				  "'run' AND state = 'failed' AND message LIKE "
				  "'gc: the clock jumped back by %'"),
		1);
	who.now = clock_now();
	ck_assert_int_eq(catalog_clock_confirm(t.f.c, &who, &t.f.e), 1);
	ck_assert_int_eq(collect(&t), RUN_SUCCEEDED);
	ck_assert_int_eq(run_counts(&t, "a").deleted, 0);
}
END_TEST

START_TEST(one_that_is_asked_to_stop_goes_on_next_time)
{
	CLEANUP(run_done) struct run_frame t;
	enum run_state state;
	const struct run_step *steps;
	struct run *r;
	size_t n;

	begin(&t);
	pass(&t, 2);
	r = run_get(&t, run_attempt_of(&t, "Maintenance", "main", 0));
	steps = run_steps(r->kind, &n);
	atomic_store(&t.stop, true);
	ck_assert_int_eq(run_perform(r, steps, n, &state, &t.f.e), -1);
	ck_assert_int_eq(t.f.e.code, ERR_INTERRUPTED);
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM run_steps "
					   "WHERE step = 'gc' AND region <> "
					   "''"),
			 0);
	ck_assert_int_eq(run_counts(&t, "a").deleted, 2);
	atomic_store(&t.stop, false);
	ok(&t.f, run_perform(r, steps, n, &state, &t.f.e));
	ck_assert_int_eq(state, RUN_SUCCEEDED);
	ck_assert_int_eq(run_counts(&t, "a").deleted, 0);
}
END_TEST

struct failing {
	const struct run_frame *t;
	int n;
};

/* The second pack of region a that is to go does not. */
static int second_pack(void *arg, enum seam_call call, const char *path)
{
	struct failing *x = arg;
	char name[128];

	if (call != SEAM_UNLINK)
		return 0;
	(void)snprintf(name, sizeof(name), "a/data/%.2s/%.64s", path, path);
	if (access(run_path(x->t, name), F_OK) < 0)
		return 0;
	return ++x->n == 2 ? EIO : 0;
}

START_TEST(what_went_before_a_failure_is_written_down)
{
	CLEANUP(run_done) struct run_frame t;
	enum run_state state;
	struct failing x = { .t = &t };

	begin(&t);
	pass(&t, 2);
	ck_assert_int_eq(collect(&t), RUN_SUCCEEDED);
	pass(&t, 2);
	seam_set_hook(second_pack, &x);
	state = collect(&t);
	seam_set_hook(NULL, NULL);
	ck_assert_int_ge(x.n, 2);
	ck_assert_int_ne(state, RUN_SUCCEEDED);
	ck_assert_int_eq(told(&t, "a", "state = 'failed'"), 1);
	ck_assert_int_eq(
		frame_count(&t.f, "SELECT details ->> 'packs' FROM audit WHERE "
				  "action = 'repo.gc' AND details ->> "
				  "'region' = 'a' ORDER BY id DESC LIMIT 1"),
		told(&t, "a", "details ->> 'deleted'"));
	ck_assert_int_ge(told(&t, "a", "details ->> 'deleted'"), 1);
}
END_TEST

START_TEST(segments_carry_it)
{
	CLEANUP(run_done) struct run_frame t;
	int64_t before;

	begin(&t);
	before = frame_count(&t.f, "SELECT number FROM segments");
	pass(&t, 2);
	ck_assert_int_eq(collect(&t), RUN_SUCCEEDED);
	ck_assert_int_eq(frame_count(&t.f, "SELECT number FROM segments"),
			 before + 1);
	/* The collection's row and its audit record are not left behind. */
	ck_assert_int_eq(
		frame_count(
			&t.f,
			"SELECT count(*) FROM changes c WHERE seq > (SELECT "
			"upto FROM segments) AND (kind = 'audit' OR (kind "
			"= 'step' AND row IN (SELECT id FROM run_steps "
			"WHERE step = 'gc')))"),
		0);
}
END_TEST

/* ---- Legal holds -------------------------------------------------------- */

static struct object_id hold_in(struct run_frame *t, const char *region,
				struct object_id id)
{
	CLEANUP(repository_close)
	struct repository *r = run_repository(t, region);
	const struct deletion_hold h = { .id = id,
					 .source = "web",
					 .case_name = "case",
					 .custodian = "who",
					 .by = "me",
					 .now = clock_now() };
	struct object_id made;

	ok(&t->f, deletion_hold(r, &h, &made, &t->f.e));
	return made;
}

static void release_in(struct run_frame *t, const char *region,
		       struct object_id id)
{
	CLEANUP(repository_close)
	struct repository *r = run_repository(t, region);

	ok(&t->f, deletion_release(r, id, "me", clock_now(), &t->f.e));
}

/* As `hold release` has it written down. */
static void tell_release(struct run_frame *t, int64_t uid, const char *action,
			 const char *region, struct object_id hold)
{
	const struct catalog_actor who = { .uid = uid,
					   .name = "ann",
					   .now = clock_now() };
	char id[OBJECT_ID_TEXT];
	char details[100];

	object_id_format(hold, id);
	(void)snprintf(
		details, sizeof(details), "{\"repository\":\"main\"%s%s%s}",
		*region ? ",\"region\":\"" : "", region, *region ? "\"" : "");
	ok(&t->f,
	   catalog_audit_add(t->f.c, &who, action, id, details, &t->f.e));
}

static size_t pending(struct run_frame *t, const char *region)
{
	CLEANUP(hold_releases_done) struct hold_releases x;

	ok(&t->f, hold_releases_read(t->f.c, &x, &t->f.e));
	return hold_releases_pending(&x, "main", region);
}

static enum run_state collect_guarded(struct run_frame *t)
{
	passes = 0;
	return collect(t);
}

static void away(struct run_frame *t, bool is)
{
	ck_assert_int_eq(rename(run_path(t, is ? "b" : "gone"),
				run_path(t, is ? "gone" : "b")),
			 0);
}

START_TEST(a_hold_is_released_where_it_was_away)
{
	const struct object_id none = { { 0 } };
	CLEANUP(run_done) struct run_frame t;
	struct object_id hold;

	begin(&t);
	hold = hold_in(&t, "a", none);
	(void)hold_in(&t, "b", hold);
	ck_assert_int_eq(collect_guarded(&t), RUN_SUCCEEDED);
	ck_assert(!released[0] && !released[1]);
	/* Somebody releases it, while b is away. */
	away(&t, true);
	release_in(&t, "a", hold);
	tell_release(&t, 0, "hold.release", "", hold);
	tell_release(&t, 0, "hold.released", "a", hold);
	ck_assert_uint_eq(pending(&t, "a"), 0);
	ck_assert_uint_eq(pending(&t, "b"), 1);
	ck_assert_int_eq(collect_guarded(&t), RUN_PARTIAL);
	ck_assert_uint_eq(passes, 1);
	ck_assert_uint_eq(pending(&t, "b"), 1);
	away(&t, false);
	/* Its store does not let go. */
	keeps = true;
	ck_assert_int_eq(collect_guarded(&t), RUN_FAILED);
	ck_assert(!released[0] && released[1]);
	ck_assert_uint_eq(pending(&t, "b"), 1);
	keeps = false;
	ck_assert_int_eq(collect_guarded(&t), RUN_SUCCEEDED);
	ck_assert(!released[0] && released[1]);
	ck_assert_uint_eq(pending(&t, "b"), 0);
	{
		CLEANUP(repository_close)
		struct repository *b = run_repository(&t, "b");

		ck_assert_int_eq(
			deletion_release(b, hold, "me", clock_now(), &t.f.e),
			-1);
		ck_assert_int_eq(t.f.e.code, ERR_NOT_FOUND);
	}
	/* Once is enough. */
	ck_assert_int_eq(collect_guarded(&t), RUN_SUCCEEDED);
	ck_assert(!released[0] && !released[1]);
}
END_TEST

/* Whose record is in the repository, and nobody told the service. */
START_TEST(a_release_that_nobody_told_lets_go_of_nothing)
{
	const struct object_id none = { { 0 } };
	CLEANUP(run_done) struct run_frame t;
	struct object_id hold;
	struct object_id other;

	begin(&t);
	hold = hold_in(&t, "a", none);
	other = hold_in(&t, "a", none);
	release_in(&t, "a", hold);
	/* The service itself saw it, which is no word of anybody's. */
	tell_release(&t, -1, "hold.release", "", hold);
	ck_assert_int_eq(collect_guarded(&t), RUN_SUCCEEDED);
	ck_assert(!released[0]);
	/* Nor does the release of another one. */
	tell_release(&t, 0, "hold.release", "", other);
	ck_assert_int_eq(collect_guarded(&t), RUN_PARTIAL);
	ck_assert(!released[0]);
	ck_assert_uint_eq(pending(&t, "a"), 1);
	ck_assert_int_eq(
		frame_count(&t.f, "SELECT count(*) FROM run_steps WHERE "
				  "message LIKE 'region a: hold % is released "
				  "there, which nobody told%'"),
		1);
	tell_release(&t, 0, "hold.release", "", hold);
	ck_assert_int_eq(collect_guarded(&t), RUN_SUCCEEDED);
	ck_assert(released[0]);
	ck_assert_uint_eq(pending(&t, "a"), 0);
}
END_TEST

static size_t owed(struct run_frame *t, const char *region)
{
	CLEANUP(hold_releases_done) struct hold_releases x;
	size_t n;

	ok(&t->f, hold_releases_read(t->f.c, &x, &t->f.e));
	ok(&t->f, hold_releases_owed(&x, t->f.c, "main", region, &n, &t->f.e));
	return n;
}

static void declare(struct run_frame *t, const char *more)
{
	char spec[4 * SCRATCH_PATH];

	(void)snprintf(spec, sizeof(spec),
		       "{\"keyFile\":\"main.key\",\"regions\":["
		       "{\"name\":\"a\",\"url\":\"file://%s\"}%s]}",
		       run_path(t, "a"), more);
	run_apply(t, "Repository", "main", NULL, spec);
}

#define WITH_C ",{\"name\":\"c\",\"url\":\"file:///c\"}"

/* A region that came later never had what was released before. */
START_TEST(a_region_is_owed_what_was_released_since_it_is_declared)
{
	const struct object_id first = { { 1 } };
	const struct object_id second = { { 2 } };
	const struct object_id third = { { 3 } };
	CLEANUP(run_done) struct run_frame t;

	run_open(&t);
	declare(&t, "");
	tell_release(&t, 0, "hold.release", "", first);
	declare(&t, WITH_C);
	ck_assert_uint_eq(owed(&t, "a"), 1);
	ck_assert_uint_eq(owed(&t, "c"), 0);
	tell_release(&t, 0, "hold.release", "", second);
	ck_assert_uint_eq(owed(&t, "a"), 2);
	ck_assert_uint_eq(owed(&t, "c"), 1);
	/* It may still have it, when it is declared again. */
	declare(&t, "");
	tell_release(&t, 0, "hold.release", "", third);
	declare(&t, WITH_C);
	ck_assert_uint_eq(owed(&t, "c"), 2);
	/* Asked for again it is for all that there are. */
	tell_release(&t, 0, "hold.release", "", first);
	ck_assert_uint_eq(owed(&t, "c"), 3);
	tell_release(&t, 0, "hold.released", "c", first);
	ck_assert_uint_eq(owed(&t, "c"), 2);
	ck_assert_uint_eq(owed(&t, "unheard-of"), 3);
}
END_TEST

static bool is_held(struct run_frame *t, const char *region,
		    struct object_id hold)
{
	CLEANUP(repository_close)
	struct repository *r = run_repository(t, region);

	if (deletion_release(r, hold, "me", clock_now(), &t->f.e) == 0)
		return true;
	ck_assert_int_eq(t->f.e.code, ERR_NOT_FOUND);
	return false;
}

/* The store of b lets go of what no hold is on that b has: so it has to have
 * those that came while it was away. */
START_TEST(a_store_lets_go_when_its_region_has_all_holds)
{
	const struct object_id none = { { 0 } };
	const struct catalog_actor who = { .uid = 0, .name = "ann" };
	CLEANUP(run_done) struct run_frame t;
	char id[OBJECT_ID_TEXT];
	struct object_id hold;
	struct object_id second;
	struct object_id third = { { 3 } };
	struct catalog_hold known = { .repository = "main",
				      .id = id,
				      .snapshots_json = "[]",
				      .source = "web",
				      .matter = "case",
				      .custodian = "",
				      .by = "ann" };

	begin(&t);
	hold = hold_in(&t, "a", none);
	(void)hold_in(&t, "b", hold);
	away(&t, true);
	second = hold_in(&t, "a", none);
	release_in(&t, "a", hold);
	tell_release(&t, 0, "hold.release", "", hold);
	tell_release(&t, 0, "hold.released", "a", hold);
	away(&t, false);
	/* What a has is known by asking it, when that is there. */
	known.placed = clock_now();
	object_id_format(third, id);
	ok(&t.f, catalog_hold_put(t.f.c, &known, &who, &t.f.e));
	ck_assert_int_eq(collect_guarded(&t), RUN_SUCCEEDED);
	ck_assert(released[1]);
	ck_assert(!is_held(&t, "b", hold));
	ck_assert(is_held(&t, "b", second));
	ck_assert(!is_held(&t, "b", third));
	/* And by the catalog, when it is not. */
	tell_release(&t, 0, "hold.release", "", second);
	ck_assert_int_eq(rename(run_path(&t, "a"), run_path(&t, "elsewhere")),
			 0);
	ck_assert_int_eq(collect_guarded(&t), RUN_PARTIAL);
	ck_assert(released[0]);
	ck_assert(is_held(&t, "b", third));
}
END_TEST

/* What follows half an id does not make up for it. */
START_TEST(a_known_hold_that_cannot_be_read_lets_no_store_go)
{
	static const char *const ids[] = {
		"[\"0123456789abcdef\"]",
		"[\"0123456789abcdef\",\"0123456789abcdef0123456789abcdef\"]",
		"[7]",
		"{",
	};
	const struct object_id none = { { 0 } };
	const struct catalog_actor who = { .uid = 0, .name = "ann" };
	CLEANUP(run_done) struct run_frame t;
	struct object_id hold;
	struct catalog_hold known = { .repository = "main",
				      .id = "0000000000000000000000000000000f",
				      .snapshots_json = ids[_i],
				      .source = "",
				      .matter = "case",
				      .custodian = "",
				      .by = "ann" };

	begin(&t);
	hold = hold_in(&t, "a", none);
	(void)hold_in(&t, "b", hold);
	tell_release(&t, 0, "hold.release", "", hold);
	known.placed = clock_now();
	ok(&t.f, catalog_hold_put(t.f.c, &known, &who, &t.f.e));
	ck_assert_int_eq(rename(run_path(&t, "a"), run_path(&t, "elsewhere")),
			 0);
	(void)collect_guarded(&t);
	ck_assert(!released[0]);
	ck_assert_uint_eq(pending(&t, "b"), 1);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, space_comes_back_in_every_region);
	tcase_add_test(tc, a_region_that_is_away_keeps_what_it_has);
	tcase_add_test(tc, a_damaged_region_loses_nothing);
	tcase_add_test(tc, nothing_goes_while_the_clock_is_in_doubt);
	tcase_add_test(tc, one_that_is_asked_to_stop_goes_on_next_time);
	tcase_add_test(tc, what_went_before_a_failure_is_written_down);
	tcase_add_test(tc, segments_carry_it);
	tcase_add_test(tc, a_hold_is_released_where_it_was_away);
	tcase_add_test(tc, a_release_that_nobody_told_lets_go_of_nothing);
	tcase_add_test(tc,
		       a_region_is_owed_what_was_released_since_it_is_declared);
	tcase_add_test(tc, a_store_lets_go_when_its_region_has_all_holds);
	tcase_add_loop_test(
		tc, a_known_hold_that_cannot_be_read_lets_no_store_go, 0, 4);
}

CHECK_MAIN("service/step_gc", cases)

/* The step "report", and a catalog that comes back from its segments. */
#include "base/buf.h"
#include "storage/repository/seal.h"
#include "tests/support/check_main.h"
#include "tests/support/run_frame.h"

enum { DAY = 86400 };

static void nights(struct run_frame *t, int n)
{
	static int64_t today;

	if (today == 0)
		today = 1700000000;
	for (int i = 0; i < n; i++) {
		int64_t id;

		today += DAY;
		run_clock(t, today);
		id = run_attempt(t, 0);
		ck_assert_int_eq(run_do(t, id), RUN_SUCCEEDED);
		(void)end_run(&t->f, id, CATALOG_RUN_SUCCEEDED, clock_now().sec,
			      CATALOG_SUCCEEDED);
	}
}

struct importing {
	struct run_frame *t;
	struct repository *r;
	struct catalog *to;
	struct catalog_imported got;
	int objects;
};

static int import(void *arg, const struct store_entry *entry, struct err *e)
{
	struct importing *i = arg;
	CLEANUP(buf_done) struct buf b;

	i->objects++;
	buf_init(&b, SEAL_PAYLOAD_MAX);
	ck_assert_int_eq(seal_box_get(repository_store(i->r),
				      repository_keys(i->r), OBJECT_SEGMENT,
				      entry->name, &b, e),
			 1);
	return catalog_segment_import(i->to, buf_str(&b), b.len, &i->got, e);
}

/* How many segments a region has; what they say goes into a new catalog. */
static struct importing import_all(struct run_frame *t, const char *region,
				   const char *catalog)
{
	struct importing i = { .t = t };
	CLEANUP(repository_close)
	struct repository *r = run_repository(t, region);

	i.r = r;
	ok(&t->f, catalog_open(catalog, &i.to, &t->f.e));
	ok(&t->f,
	   store_list(repository_store(r), "catalog/", import, &i, &t->f.e));
	catalog_close(i.to);
	i.to = NULL;
	return i;
}

static void same(struct run_frame *t, const char *other, const char *select)
{
	struct frame o = { .c = NULL };

	(void)snprintf(o.path, sizeof(o.path), "%s", other);
	ck_assert_msg(frame_count(&t->f, select) == frame_count(&o, select),
		      "%s: %lld, not %lld", select,
		      (long long)frame_count(&o, select),
		      (long long)frame_count(&t->f, select));
}

START_TEST(brings_everything_back)
{
	CLEANUP(run_done) struct run_frame t;
	struct importing got;
	char other[SCRATCH_PATH];

	run_open(&t);
	nights(&t, 5);
	(void)scratch_path(&t.f.dir, "other.db", other);
	got = import_all(&t, "a", other);
	ck_assert_int_eq(got.objects, 5);
	same(&t, other, "SELECT count(*) FROM resources");
	same(&t, other, "SELECT sum(version) FROM resource_versions");
	same(&t, other, "SELECT count(*) FROM occurrences");
	same(&t, other, "SELECT count(*) FROM snapshots");
	same(&t, other,
	     "SELECT count(*) FROM snapshots WHERE deleted_us IS "
	     "NOT NULL");
	same(&t, other, "SELECT sum(received_us) FROM snapshots");
	same(&t, other, "SELECT count(*) FROM evaluations");
	same(&t, other,
	     "SELECT count(*) FROM decisions WHERE outcome = "
	     "'delete'");
	same(&t, other, "SELECT sum(length(reasons)) FROM decisions");
}
END_TEST

/* As of a source with more snapshots than one object can tell of. */
START_TEST(a_row_larger_than_an_object_comes_back)
{
	CLEANUP(run_done) struct run_frame t;
	CLEANUP(buf_done) struct buf inputs;
	struct catalog_evaluation v = { .repository = "main",
					.source = "web",
					.policy = "gold",
					.now = { .sec = 1 } };
	char other[SCRATCH_PATH];
	int64_t id;

	run_open(&t);
	buf_init(&inputs, 32U << 20);
	while (inputs.len < (20U << 20))
		ok(&t.f, buf_add_str(&inputs, "{\"id\":\"0123456789abcdef\"},",
				     &t.f.e));
	v.inputs_json = buf_str(&inputs);
	ok(&t.f, catalog_evaluation_add(t.f.c, &v, NULL, 0, &id, &t.f.e));
	nights(&t, 1);
	(void)scratch_path(&t.f.dir, "other.db", other);
	ck_assert_int_gt(import_all(&t, "a", other).objects, 1);
	same(&t, other, "SELECT count(*) FROM evaluations");
	same(&t, other, "SELECT sum(length(body)) FROM inputs");
}
END_TEST

START_TEST(a_region_that_was_away_catches_up)
{
	CLEANUP(run_done) struct run_frame t;
	char spec[4 * SCRATCH_PATH];
	char other[SCRATCH_PATH];
	int64_t id;

	run_open(&t);
	nights(&t, 2);
	(void)snprintf(spec, sizeof(spec),
		       "{\"keyFile\":\"main.key\",\"regions\":[{\"name\":"
		       "\"a\",\"url\":\"file://%s\"},{\"name\":\"b\",\"url\":"
		       "\"file://%s\"}]}",
		       run_path(&t, "a"), run_path(&t, "b"));
	run_apply(&t, "Repository", "main", NULL, spec);
	run_clock(&t, 1710000000);
	id = run_attempt(&t, 0);
	ck_assert_int_eq(run_do(&t, id), RUN_PARTIAL);
	(void)end_run(&t.f, id, CATALOG_RUN_PARTIAL, clock_now().sec,
		      CATALOG_PARTIAL);
	run_region(&t, "b");
	run_clock(&t, 1710086400);
	ck_assert_int_eq(run_do(&t, run_attempt(&t, 0)), RUN_SUCCEEDED);
	(void)scratch_path(&t.f.dir, "other.db", other);
	ck_assert_int_eq(import_all(&t, "b", other).objects, 4);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, brings_everything_back);
	tcase_add_test(tc, a_row_larger_than_an_object_comes_back);
	tcase_add_test(tc, a_region_that_was_away_catches_up);
}

CHECK_MAIN("service/step_report", cases)

/* Which schedules take a source, and which are asked. */
#include "service/timetable.h"
#include "tests/support/catalog_frame.h"
#include "tests/support/check_main.h"

static void apply(struct frame *f, const char *kind, const char *name,
		  const char *labels, const char *spec)
{
	struct catalog_document d = { .kind = kind,
				      .name = name,
				      .labels_json = labels,
				      .spec_json = spec };
	const struct catalog_actor who = by("root", 1000);
	struct catalog_applied applied = { 0 };

	ok(f, catalog_apply(f->c, &d, 1, &who, &applied, &f->e));
	catalog_applied_done(&applied, 1);
}

#define SOURCE "{\"type\":\"files\",\"paths\":[\"/w\"]}"
#define SCHEDULE(sources)                                  \
	"{\"cron\":\"0 3 * * *\",\"repository\":\"main\"," \
	"\"sources\":" sources "}"

static void takes(const struct frame *f, const char *name, const char *sources)
{
	CLEANUP(timetable_free) struct timetable *t = NULL;
	struct err e;

	ck_assert_int_eq(timetable_load(f->c, NULL, &t, &e), 0);
	ck_assert_str_eq(timetable_named(t, "Schedule", name)->sources_json,
			 sources);
	ck_assert_ptr_null(timetable_named(t, "Drill", name));
	ck_assert_ptr_null(timetable_find(t, name));
}

START_TEST(a_source_is_taken_by_name_or_by_all_labels)
{
	CLEANUP(frame_done) struct frame f;

	frame_open(&f);
	apply(&f, "Repository", "main", NULL,
	      "{\"keyFile\":\"k\",\"regions\":[{\"name\":\"eu\",\"url\":"
	      "\"file:///eu\"}]}");
	apply(&f, "Source", "web", "{\"app\":\"a\",\"env\":\"prod\"}", SOURCE);
	apply(&f, "Source", "db", "{\"app\":\"b\",\"env\":\"prod\"}", SOURCE);
	apply(&f, "Source", "old", "{\"app\":\"a\"}", SOURCE);
	apply(&f, "Schedule", "names", NULL,
	      SCHEDULE("{\"names\":[\"web\",\"old\"]}"));
	apply(&f, "Schedule", "all", NULL,
	      SCHEDULE("{\"matchLabels\":{\"env\":\"prod\"}}"));
	apply(&f, "Schedule", "both", NULL,
	      SCHEDULE("{\"matchLabels\":{\"app\":\"a\",\"env\":\"prod\"}}"));
	apply(&f, "Schedule", "nobody", NULL,
	      SCHEDULE("{\"matchLabels\":{\"app\":\"c\"}}"));
	takes(&f, "names", "[\"old\",\"web\"]");
	takes(&f, "all", "[\"db\",\"web\"]");
	takes(&f, "both", "[\"web\"]");
	takes(&f, "nobody", "[]");
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, a_source_is_taken_by_name_or_by_all_labels);
}

CHECK_MAIN("service/timetable", cases)

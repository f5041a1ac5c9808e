/* Applying, versions, references, selectors. */
#include "tests/support/catalog_frame.h"
#include "tests/support/check_main.h"

static struct catalog_document doc(const char *kind, const char *name,
				   const char *labels, const char *spec)
{
	return (struct catalog_document){ .kind = kind,
					  .name = name,
					  .labels_json = labels,
					  .spec_json = spec };
}

/* Apply one document: what became of it. */
static enum catalog_change apply(struct frame *f, struct catalog_document d,
				 int64_t *ret_version)
{
	const struct catalog_actor who = by("root", 50);
	struct catalog_applied a;
	enum catalog_change change;

	ok(f, catalog_apply(f->c, &d, 1, &who, &a, &f->e));
	change = a.change;
	*ret_version = a.version;
	catalog_applied_done(&a, 1);
	return change;
}

static int see_name(void *arg, const struct catalog_resource *r, struct err *e)
{
	(void)e;
	return see(arg, r->name);
}

static int see_version(void *arg, const struct catalog_version *v,
		       struct err *e)
{
	char text[1200];

	(void)e;
	(void)snprintf(text, sizeof(text), "%" PRId64 "%s:%s:%s", v->version,
		       v->deleted ? "x" : "", v->actor, v->difference_json);
	return see(arg, text);
}

static int see_spec(void *arg, const struct catalog_resource *r, struct err *e)
{
	(void)e;
	return see(arg, r->spec_json);
}

START_TEST(a_change_is_a_new_version_with_its_difference)
{
	CLEANUP(frame_done) struct frame f;
	struct seen s = { .n = 0 };
	int64_t v;

	frame_open(&f);
	ck_assert_int_eq(apply(&f,
			       doc("Policy", "gold", NULL,
				   "{\"lock\":\"7d\",\"b\":{\"x\":1}}"),
			       &v),
			 CATALOG_CREATED);
	ck_assert_int_eq(v, 1);
	/* Another order of keys is the same document. */
	ck_assert_int_eq(apply(&f,
			       doc("Policy", "gold", "{}",
				   "{\"b\": {\"x\": 1}, \"lock\": \"7d\"}"),
			       &v),
			 CATALOG_UNCHANGED);
	ck_assert_int_eq(v, 1);
	ck_assert_int_eq(apply(&f,
			       doc("Policy", "gold", "{\"a/b\":\"c\"}",
				   "{\"b\":{\"x\":2},\"n\":[1]}"),
			       &v),
			 CATALOG_CHANGED);
	ck_assert_int_eq(v, 2);
	ok(&f, catalog_versions(f.c, "Policy", "gold", see_version, &s, &f.e));
	ck_assert_str_eq(s.text,
			 "2:root:[{\"path\":\"/labels/a~1b\",\"to\":\"c\"},"
			 "{\"from\":1,\"path\":\"/spec/b/x\",\"to\":2},"
			 "{\"from\":\"7d\",\"path\":\"/spec/lock\"},"
			 "{\"path\":\"/spec/n\",\"to\":[1]}] "
			 "1:root:[{\"path\":\"/spec/b\",\"to\":{\"x\":1}},"
			 "{\"path\":\"/spec/lock\",\"to\":\"7d\"}]");
	ck_assert_int_eq(frame_count(&f, "SELECT count(*) FROM audit"), 2);
	s = (struct seen){ .n = 0 };
	ck_assert_int_eq(
		catalog_resource_get(f.c, "Policy", "gold", see_spec, &s, &f.e),
		1);
	ck_assert_str_eq(s.text, "{\"b\":{\"x\":2},\"n\":[1]}");
	ck_assert_int_eq(catalog_resource_get(f.c, "Policy", "silver", see_spec,
					      &s, &f.e),
			 0);
}
END_TEST

START_TEST(applying_several_is_all_or_nothing)
{
	CLEANUP(frame_done) struct frame f;
	const struct catalog_ref gone = { "Policy", "glod" };
	struct catalog_document docs[] = {
		doc("Policy", "gold", NULL, "{}"),
		doc("Schedule", "nightly", NULL, "{\"policy\":\"glod\"}"),
	};
	const struct catalog_actor who = by("root", 50);
	struct catalog_applied applied[2];

	frame_open(&f);
	docs[1].refs = &gone;
	docs[1].n_refs = 1;
	docs[1].where = "a.yaml:7:3";
	ck_assert_int_eq(catalog_apply(f.c, docs, 2, &who, applied, &f.e), -1);
	ck_assert_int_eq(f.e.code, ERR_NOT_FOUND);
	ck_assert_str_eq(f.e.text, "a.yaml:7:3: there is no Policy \"glod\"");
	ck_assert_str_eq(f.e.hint, "did you mean \"gold\"?");
	ck_assert_int_eq(frame_count(&f, "SELECT count(*) FROM resources"), 0);
	ck_assert_int_eq(frame_count(&f, "SELECT count(*) FROM audit"), 0);
	docs[1].spec_json = "[1]";
	ck_assert_int_eq(catalog_apply(f.c, docs, 2, &who, applied, &f.e), -1);
	ck_assert_int_eq(f.e.code, ERR_USAGE);
	docs[1] = docs[0];
	ck_assert_int_eq(catalog_apply(f.c, docs, 2, &who, applied, &f.e), -1);
	ck_assert_int_eq(f.e.code, ERR_USAGE);
	ck_assert_int_eq(frame_count(&f, "SELECT count(*) FROM resources"), 0);
}
END_TEST

START_TEST(a_reference_within_the_same_documents_is_found_in_any_order)
{
	CLEANUP(frame_done) struct frame f;
	const struct catalog_ref refs[] = { { "Policy", "gold" },
					    { "Policy", "gold" } };
	struct catalog_document docs[] = {
		doc("Schedule", "nightly", NULL, "{}"),
		doc("Policy", "gold", NULL, "{}"),
	};
	const struct catalog_actor who = by("root", 50);
	struct catalog_applied applied[2];
	int64_t v;

	frame_open(&f);
	docs[0].refs = refs;
	docs[0].n_refs = 2;
	ok(&f, catalog_apply(f.c, docs, 2, &who, applied, &f.e));
	catalog_applied_done(applied, 2);
	/* It is in use … */
	ck_assert_int_eq(
		catalog_resource_delete(f.c, "Policy", "gold", &who, &f.e), -1);
	ck_assert_int_eq(f.e.code, ERR_IN_USE);
	ck_assert_ptr_nonnull(strstr(f.e.text, "Schedule \"nightly\""));
	/* … until nothing names it. */
	ok(&f, catalog_resource_delete(f.c, "Schedule", "nightly", &who, &f.e));
	ok(&f, catalog_resource_delete(f.c, "Policy", "gold", &who, &f.e));
	ck_assert_int_eq(
		catalog_resource_delete(f.c, "Policy", "gold", &who, &f.e), -1);
	ck_assert_int_eq(f.e.code, ERR_NOT_FOUND);
	/* The name begins anew. */
	ck_assert_int_eq(apply(&f, doc("Policy", "gold", NULL, "{}"), &v),
			 CATALOG_CREATED);
	ck_assert_int_eq(v, 1);
	ck_assert_int_eq(frame_count(&f, "SELECT count(DISTINCT uid) FROM "
					 "resources WHERE name = 'gold'"),
			 2);
}
END_TEST

START_TEST(versions_outlive_deletion)
{
	CLEANUP(frame_done) struct frame f;
	const struct catalog_actor who = by("ann", 60);
	struct seen s = { .n = 0 };
	int64_t v;

	frame_open(&f);
	(void)apply(&f, doc("Source", "web", NULL, "{\"a\":1}"), &v);
	ok(&f, catalog_resource_delete(f.c, "Source", "web", &who, &f.e));
	(void)apply(&f, doc("Source", "web", NULL, "{\"a\":2}"), &v);
	ok(&f, catalog_versions(f.c, "Source", "web", see_version, &s, &f.e));
	ck_assert_str_eq(s.text, "1:root:[{\"path\":\"/spec/a\",\"to\":2}] "
				 "2x:ann:[] "
				 "1:root:[{\"path\":\"/spec/a\",\"to\":1}]");
}
END_TEST

START_TEST(selectors_need_every_label)
{
	CLEANUP(frame_done) struct frame f;
	const struct catalog_label labels[] = { { "tier", "gold" },
						{ "site", "b" } };
	struct catalog_resource_filter filter = { .kind = "Source",
						  .labels = labels,
						  .n_labels = 2 };
	struct seen s = { .n = 0 };
	int64_t v;

	frame_open(&f);
	(void)apply(
		&f,
		doc("Source", "c", "{\"tier\":\"gold\",\"site\":\"b\"}", "{}"),
		&v);
	(void)apply(
		&f,
		doc("Source", "a", "{\"tier\":\"gold\",\"site\":\"b\"}", "{}"),
		&v);
	(void)apply(&f, doc("Source", "b", "{\"tier\":\"gold\"}", "{}"), &v);
	(void)apply(
		&f,
		doc("Policy", "a", "{\"tier\":\"gold\",\"site\":\"b\"}", "{}"),
		&v);
	ok(&f, catalog_resources(f.c, &filter, see_name, &s, &f.e));
	ck_assert_str_eq(s.text, "a c");
	/* A label that was taken away no longer matches. */
	(void)apply(&f, doc("Source", "c", "{}", "{}"), &v);
	s = (struct seen){ .n = 0 };
	ok(&f, catalog_resources(f.c, &filter, see_name, &s, &f.e));
	ck_assert_str_eq(s.text, "a");
	filter = (struct catalog_resource_filter){ .kind = NULL };
	s = (struct seen){ .n = 0 };
	ok(&f, catalog_resources(f.c, &filter, see_name, &s, &f.e));
	ck_assert_str_eq(s.text, "a a b c");
}
END_TEST

START_TEST(a_dry_run_tells_and_leaves_nothing)
{
	CLEANUP(frame_done) struct frame f;
	int64_t v;

	frame_open(&f);
	ok(&f, catalog_begin(f.c, &f.e));
	ck_assert_int_eq(apply(&f, doc("Policy", "gold", NULL, "{}"), &v),
			 CATALOG_CREATED);
	catalog_rollback(f.c);
	ck_assert_int_eq(frame_count(&f, "SELECT count(*) FROM resources"), 0);
	ck_assert_int_eq(frame_count(&f, "SELECT count(*) FROM audit_heads"),
			 0);
}
END_TEST

START_TEST(the_nearest_name_is_near)
{
	CLEANUP(frame_done) struct frame f;
	char name[256] = "untouched";
	int64_t v;

	frame_open(&f);
	(void)apply(&f, doc("Policy", "gold", NULL, "{}"), &v);
	(void)apply(&f, doc("Policy", "platinum", NULL, "{}"), &v);
	ck_assert_int_eq(
		catalog_resource_nearest(f.c, "Policy", "platimun", name, &f.e),
		1);
	ck_assert_str_eq(name, "platinum");
	ck_assert_int_eq(
		catalog_resource_nearest(f.c, "Policy", "zzzzzzzz", name, &f.e),
		0);
	ck_assert_str_eq(name, "platinum");
}
END_TEST

START_TEST(a_very_deep_document_is_compared_without_harm)
{
	CLEANUP(frame_done) struct frame f;
	char spec[2][4096];
	int64_t v;

	frame_open(&f);
	for (int k = 0; k < 2; k++) {
		size_t n = 0;

		for (int i = 0; i < 200; i++)
			n += (size_t)snprintf(spec[k] + n, sizeof(spec[k]) - n,
					      "{\"deeper\":");
		n += (size_t)snprintf(spec[k] + n, sizeof(spec[k]) - n, "%d",
				      k);
		memset(spec[k] + n, '}', 200);
		spec[k][n + 200] = '\0';
	}
	(void)apply(&f, doc("Policy", "deep", NULL, spec[0]), &v);
	ck_assert_int_eq(apply(&f, doc("Policy", "deep", NULL, spec[1]), &v),
			 CATALOG_CHANGED);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, a_change_is_a_new_version_with_its_difference);
	tcase_add_test(tc, applying_several_is_all_or_nothing);
	tcase_add_test(
		tc,
		a_reference_within_the_same_documents_is_found_in_any_order);
	tcase_add_test(tc, versions_outlive_deletion);
	tcase_add_test(tc, selectors_need_every_label);
	tcase_add_test(tc, a_dry_run_tells_and_leaves_nothing);
	tcase_add_test(tc, the_nearest_name_is_near);
	tcase_add_test(tc, a_very_deep_document_is_compared_without_harm);
}
CHECK_MAIN("service/catalog resources", cases)

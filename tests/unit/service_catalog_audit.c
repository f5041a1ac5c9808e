/* The chain: whatever is done to a record behind its back is found. */
#include "tests/support/catalog_frame.h"
#include "tests/support/check_main.h"

#define RECORDS 7
#define UNLOCK	"DROP TRIGGER audit_kept; DROP TRIGGER audit_fixed; "

static void open_with_records(struct frame *f)
{
	frame_open(f);
	for (int i = 1; i <= RECORDS; i++) {
		const struct catalog_actor who = by("ann", i * 100);
		char object[24];

		(void)snprintf(object, sizeof(object), "Thing/%d", i);
		ok(f, catalog_audit_add(f->c, &who, "thing.change", object,
					"{\"n\":1}", &f->e));
	}
}

/* 0 when sound, else the number of the first bad record. */
static int64_t first_bad(struct frame *f)
{
	struct catalog_audit_state st;

	ok(f, catalog_audit_verify(f->c, &st, &f->e));
	if (st.sound)
		return 0;
	ck_assert_str_eq(st.chain.s, catalog_identity(f->c).s);
	ck_assert_uint_gt(strlen(st.why), 0);
	return st.seq;
}

static int see_object(void *arg, const struct catalog_audit *a, struct err *e)
{
	(void)e;
	return see(arg, a->object);
}

START_TEST(a_chain_that_was_left_alone_is_sound)
{
	CLEANUP(frame_done) struct frame f;
	struct catalog_audit_state st;

	open_with_records(&f);
	ok(&f, catalog_audit_verify(f.c, &st, &f.e));
	ck_assert(st.sound);
	ck_assert_uint_eq(st.records, RECORDS);
}
END_TEST

START_TEST(an_empty_chain_is_sound)
{
	CLEANUP(frame_done) struct frame f;

	frame_open(&f);
	ck_assert_int_eq(first_bad(&f), 0);
}
END_TEST

/* SQL with %d for the record, and the record that is named for it. */
static const struct {
	const char *sql;
	int shift;
} tampers[] = {
	{ "DELETE FROM audit WHERE seq = %d", 0 },
	{ "UPDATE audit SET actor = 'bob' WHERE seq = %d", 0 },
	{ "UPDATE audit SET action = 'x' WHERE seq = %d", 0 },
	{ "UPDATE audit SET object = 'x' WHERE seq = %d", 0 },
	{ "UPDATE audit SET details = '{}' WHERE seq = %d", 0 },
	{ "UPDATE audit SET at_us = at_us + 1 WHERE seq = %d", 0 },
	{ "UPDATE audit SET actor_uid = 0 WHERE seq = %d", 0 },
	{ "UPDATE audit SET hash = 'no hash' WHERE seq = %d", 0 },
	{ "UPDATE audit SET prev = 'no hash' WHERE seq = %d", 0 },
	{ "UPDATE audit SET seq = seq + 100 WHERE seq = %d", 0 },
	/* Truncated after that record. */
	{ "DELETE FROM audit WHERE seq > %d", 1 },
};

START_TEST(each_way_to_tamper_with_each_record_is_found)
{
	const int record = _i % RECORDS + 1;
	const size_t way = (size_t)(_i / RECORDS);
	CLEANUP(frame_done) struct frame f;
	char sql[400], text[200];

	open_with_records(&f);
	(void)snprintf(text, sizeof(text), "%s", tampers[way].sql);
	*strstr(text, "%d") = '\0';
	(void)snprintf(sql, sizeof(sql), UNLOCK "%s%d", text, record);
	frame_sql(&f, sql);
	/* Nothing lies after the last record. */
	ck_assert_int_eq(first_bad(&f), tampers[way].shift && record == RECORDS
						? 0
						: record + tampers[way].shift);
}
END_TEST

START_TEST(reordered_records_are_found)
{
	CLEANUP(frame_done) struct frame f;

	open_with_records(&f);
	frame_sql(&f, UNLOCK "UPDATE audit SET seq = 1000 WHERE seq = 3; "
			     "UPDATE audit SET seq = 3 WHERE seq = 5; "
			     "UPDATE audit SET seq = 5 WHERE seq = 1000");
	ck_assert_int_eq(first_bad(&f), 3);
}
END_TEST

START_TEST(a_record_that_was_added_behind_is_found)
{
	CLEANUP(frame_done) struct frame f;

	open_with_records(&f);
	frame_sql(&f, "INSERT INTO audit (chain, seq, at_us, actor_uid, "
		      "actor, action, object, details, prev, hash) SELECT "
		      "chain, 8, at_us, actor_uid, actor, action, object, "
		      "details, prev, hash FROM audit WHERE seq = 7");
	ck_assert_int_eq(first_bad(&f), 8);
}
END_TEST

/* A copy of the catalog in which one record says something else. */
static void splice(struct frame *f, const char *object, int64_t record)
{
	CLEANUP(frame_done) struct frame other;
	char sql[1400];

	frame_open(&other);
	(void)snprintf(sql, sizeof(sql), "UPDATE identity SET uid = '%s'",
		       catalog_identity(f->c).s);
	frame_sql(&other, sql);
	catalog_close(other.c);
	ok(f, catalog_open(other.path, &other.c, &f->e));
	for (int i = 1; i <= RECORDS; i++) {
		const struct catalog_actor who = by("ann", i * 100);
		char name[24];

		(void)snprintf(name, sizeof(name), "Thing/%d", i);
		ok(f, catalog_audit_add(other.c, &who, "thing.change",
					i == record ? object : name,
					"{\"n\":1}", &f->e));
	}
	/* Only that record, with hashes that are right for it. */
	(void)snprintf(sql, sizeof(sql),
		       UNLOCK "ATTACH '%s' AS o; UPDATE audit SET (object, "
			      "hash) = (SELECT object, hash FROM o.audit p "
			      "WHERE p.seq = audit.seq) WHERE seq = %" PRId64,
		       other.path, record);
	frame_sql(f, sql);
}

START_TEST(a_record_rewritten_with_its_hash_is_found)
{
	CLEANUP(frame_done) struct frame f;

	open_with_records(&f);
	splice(&f, "Thing/forged", _i);
	ck_assert_int_eq(first_bad(&f), _i);
}
END_TEST

static int swallow(void *arg, const char *text, size_t n, struct err *e)
{
	(void)arg;
	(void)text;
	(void)n;
	(void)e;
	return 0;
}

static void export_once(struct frame *f)
{
	const struct catalog_export x = { .repository = "main",
					  .now = at(5000),
					  .sink = swallow };
	struct catalog_segment g;

	ok(f, catalog_segment_export(f->c, &x, &g, &f->e));
	ok(f, catalog_segment_done(f->c, "main", &g, at(5000), &f->e));
}

START_TEST(truncating_the_head_as_well_is_found_by_what_was_exported)
{
	CLEANUP(frame_done) struct frame f;

	open_with_records(&f);
	export_once(&f);
	ck_assert_int_eq(first_bad(&f), 0);
	frame_sql(&f, UNLOCK "DELETE FROM audit WHERE seq > 4; UPDATE "
			     "audit_heads SET count = 4, hash = (SELECT hash "
			     "FROM audit WHERE seq = 4)");
	ck_assert_int_eq(first_bad(&f), 5);
}
END_TEST

START_TEST(an_overwritten_head_is_found)
{
	CLEANUP(frame_done) struct frame f;

	open_with_records(&f);
	frame_sql(&f, "UPDATE audit_heads SET hash = (SELECT hash FROM audit "
		      "WHERE seq = 2)");
	ck_assert_int_eq(first_bad(&f), 7);
	frame_sql(&f, "DELETE FROM audit_heads");
	ck_assert_int_eq(first_bad(&f), 1);
}
END_TEST

START_TEST(records_cannot_be_changed_by_mistake)
{
	CLEANUP(frame_done) struct frame f;
	sqlite3 *db = NULL;

	open_with_records(&f);
	ck_assert_int_eq(sqlite3_open(f.path, &db), SQLITE_OK);
	ck_assert_int_ne(
		sqlite3_exec(db, "DELETE FROM audit", NULL, NULL, NULL),
		SQLITE_OK);
	ck_assert_int_ne(sqlite3_exec(db, "UPDATE audit SET actor = 'x'", NULL,
				      NULL, NULL),
			 SQLITE_OK);
	(void)sqlite3_close(db);
	ck_assert_int_eq(first_bad(&f), 0);
}
END_TEST

START_TEST(the_log_is_filtered)
{
	CLEANUP(frame_done) struct frame f;
	const struct catalog_actor who = by("root", 10000);
	struct catalog_audit_filter filter = { .action = "hold.*" };
	struct seen s = { .n = 0 };

	open_with_records(&f);
	ok(&f, catalog_audit_add(f.c, &who, "hold.add", "h1", NULL, &f.e));
	ok(&f, catalog_audit_add(f.c, &who, "hold.release", "h1", NULL, &f.e));
	ok(&f, catalog_audits(f.c, &filter, see_object, &s, &f.e));
	ck_assert_str_eq(s.text, "h1 h1");
	filter = (struct catalog_audit_filter){ .from = at(200),
						.to = at(500),
						.limit = 2 };
	s = (struct seen){ .n = 0 };
	ok(&f, catalog_audits(f.c, &filter, see_object, &s, &f.e));
	ck_assert_str_eq(s.text, "Thing/4 Thing/3");
	filter = (struct catalog_audit_filter){ .object = "Thing/2",
						.action = "thing.change" };
	s = (struct seen){ .n = 0 };
	ok(&f, catalog_audits(f.c, &filter, see_object, &s, &f.e));
	ck_assert_str_eq(s.text, "Thing/2");
	ck_assert_int_eq(first_bad(&f), 0);
}
END_TEST

START_TEST(a_change_that_is_undone_leaves_no_record)
{
	CLEANUP(frame_done) struct frame f;
	const struct catalog_actor who = by("root", 10000);

	open_with_records(&f);
	ok(&f, catalog_begin(f.c, &f.e));
	ok(&f, catalog_audit_add(f.c, &who, "x", "y", NULL, &f.e));
	catalog_rollback(f.c);
	ok(&f, catalog_audit_add(f.c, &who, "x", "z", NULL, &f.e));
	ck_assert_int_eq(frame_count(&f, "SELECT max(seq) FROM audit"),
			 RECORDS + 1);
	ck_assert_int_eq(first_bad(&f), 0);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, a_chain_that_was_left_alone_is_sound);
	tcase_add_test(tc, an_empty_chain_is_sound);
	tcase_add_loop_test(
		tc, each_way_to_tamper_with_each_record_is_found, 0,
		(int)(RECORDS * sizeof(tampers) / sizeof(tampers[0])));
	tcase_add_test(tc, reordered_records_are_found);
	tcase_add_test(tc, a_record_that_was_added_behind_is_found);
	tcase_add_loop_test(tc, a_record_rewritten_with_its_hash_is_found, 1,
			    RECORDS + 1);
	tcase_add_test(
		tc, truncating_the_head_as_well_is_found_by_what_was_exported);
	tcase_add_test(tc, an_overwritten_head_is_found);
	tcase_add_test(tc, records_cannot_be_changed_by_mistake);
	tcase_add_test(tc, the_log_is_filtered);
	tcase_add_test(tc, a_change_that_is_undone_leaves_no_record);
}
CHECK_MAIN("service/catalog audit", cases)

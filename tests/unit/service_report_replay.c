/* `report retention --as-of`: stored decisions are made again and compared. */
#include <jansson.h>

#include "service/catalog_hash.h"
#include "storage/repository/deletion.h"
#include "tests/support/check_main.h"
#include "tests/support/report_frame.h"
#include "tests/support/run_frame.h"

enum { DAY = 86400 };
#define START 1700000000

static int64_t today;

static void nights(struct run_frame *t, int n)
{
	for (int i = 0; i < n; i++) {
		int64_t id;

		today += DAY;
		run_clock(t, today);
		id = run_attempt(t, 0);
		ck_assert_int_ne(run_do(t, id), RUN_FAILED);
		(void)end_run(&t->f, id, CATALOG_RUN_SUCCEEDED, clock_now().sec,
			      CATALOG_SUCCEEDED);
	}
}

static void begin(struct run_frame *t, const char *policy)
{
	today = START;
	run_open(t);
	run_apply(t, "Policy", "gold", NULL, policy);
}

struct told {
	json_t *rows;
	enum operation_outcome outcome;
	size_t same, differs, unknown;
};

static void told_done(struct told *k)
{
	json_decref(k->rows);
}
static inline void cleanup_told_done(struct told *k)
{
	told_done(k);
}

static const char *text_of(const json_t *row, const char *key)
{
	const char *text = json_string_value(json_object_get(row, key));

	return text ? text : "";
}

static void replay(struct run_frame *t, int64_t as_of, struct told *ret)
{
	struct buf out;
	char when[INSTANT_TEXT];
	size_t i;
	const json_t *row;

	instant_format(at(as_of), when);
	*ret = (struct told){
		.outcome = report_reply(
			&t->f, "report retention", as_of + 1,
			(const char *const[]){ "as-of", when, NULL }, &out)
	};
	ret->rows = json_loads(buf_str(&out), 0, NULL);
	report_columns(operation_param_named(
			       operation_named("report retention"), "as-of")
			       ->csv,
		       buf_str(&out));
	buf_done(&out);
	ck_assert_ptr_nonnull(ret->rows);
	json_array_foreach(ret->rows, i, row)
	{
		const char *is = text_of(row, "replayed");

		ret->same += strcmp(is, "same") == 0;
		ret->differs += strcmp(is, "differs") == 0;
		ret->unknown += strcmp(is, "unknown") == 0;
		/* What is the same says so, and nothing else. */
		ck_assert_int_eq(json_is_null(json_object_get(row, "message")),
				 strcmp(is, "same") == 0);
		if (strcmp(is, "same") == 0)
			ck_assert_str_eq(text_of(row, "decision"),
					 text_of(row, "replay_decision"));
	}
	ck_assert_uint_eq(ret->same + ret->differs + ret->unknown,
			  json_array_size(ret->rows));
	ck_assert_int_eq(ret->outcome, ret->differs   ? OPERATION_DAMAGED
				       : ret->unknown ? OPERATION_PARTIAL
						      : OPERATION_DONE);
}

/* The one row that is not the same. */
static const json_t *odd_one(const struct told *k)
{
	const json_t *found = NULL;
	const json_t *row;
	size_t i;

	json_array_foreach(k->rows, i, row)
	{
		if (strcmp(text_of(row, "replayed"), "same") == 0)
			continue;
		ck_assert_msg(!found, "more than one: %s",
			      text_of(row, "message"));
		found = row;
	}
	ck_assert_ptr_nonnull(found);
	return found;
}

/* How many rows have this decision. */
static size_t decided(const struct told *k, const char *decision)
{
	const json_t *row;
	size_t n = 0;
	size_t i;

	json_array_foreach(k->rows, i, row)
	{
		n += strcmp(text_of(row, "decision"), decision) == 0;
	}
	return n;
}

static void same(struct run_frame *t, int64_t as_of, size_t n)
{
	CLEANUP(told_done) struct told k;

	replay(t, as_of, &k);
	for (size_t i = 0; i < json_array_size(k.rows); i++)
		ck_assert_msg(json_is_null(json_object_get(
				      json_array_get(k.rows, i), "message")),
			      "%s",
			      text_of(json_array_get(k.rows, i), "message"));
	ck_assert_uint_eq(json_array_size(k.rows), n);
	ck_assert_uint_eq(k.same, n);
}

/* The decision about the newest snapshot. */
#define NEWEST                                           \
	"first = (SELECT max(id) FROM evaluations) AND " \
	"reasons LIKE '%\"rule\":\"keep-last\",\"bucket\":\"1\"%'"

#define RULES                                                             \
	"\"retention\":{\"keep-last\":2,\"keep-weekly\":2,\"keep-tags\":" \
	"[\"x\"],\"keep-within\":\"1d\"},\"timeZone\":\"Europe/Berlin\""

START_TEST(what_ran_is_the_same)
{
	CLEANUP(run_done) struct run_frame t;
	CLEANUP(told_done) struct told k;

	begin(&t, "{" RULES "}");
	nights(&t, 9);
	same(&t, today + DAY, 9);
	/* As of then: what was there, and as it was decided then. */
	same(&t, START + 3 * DAY + 3600, 3);
	same(&t, START, 0);
	replay(&t, today + DAY, &k);
	ck_assert_uint_ge(decided(&k, "delete"), 3);
	ck_assert_uint_ge(decided(&k, "keep"), 3);
}
END_TEST

/* Every guard and both phases of a shortening have their say. */
START_TEST(guards_and_shortenings_are_the_same)
{
	CLEANUP(run_done) struct run_frame t;
	CLEANUP(told_done) struct told k;
	struct catalog_actor who = by("root", 0);
	struct object_id hold;
	uint64_t count;

	begin(&t, "{\"retention\":{\"keep-last\":9},\"floor\":{\"snapshots\":"
		  "2,\"verifiedWithin\":\"30d\"}}");
	nights(&t, 8);
	run_apply(&t, "Policy", "gold", NULL,
		  "{\"retention\":{\"keep-last\":1},\"floor\":{\"snapshots\":"
		  "1,\"verifiedWithin\":\"30d\"},\"lock\":\"36h\"}");
	nights(&t, 1);
	same(&t, today + 3600, 9);
	replay(&t, today + 3600, &k);
	ck_assert_uint_ge(decided(&k, "waiting"), 5);
	who.now = at(today + 7200);
	ok(&t.f,
	   catalog_shortening_cancel(t.f.c, "gold", &who, &count, &t.f.e));
	nights(&t, 1);
	same(&t, today + 3600, 10);
	{
		CLEANUP(repository_close)
		struct repository *r = run_repository(&t, "a");
		const struct deletion_hold h = { .source = "web",
						 .case_name = "case",
						 .custodian = "c",
						 .by = "root",
						 .now = clock_now() };

		ok(&t.f, deletion_hold(r, &h, &hold, &t.f.e));
	}
	nights(&t, 9);
	same(&t, today + 3600, 19);
	told_done(&k);
	replay(&t, today + 3600, &k);
	ck_assert_uint_ge(decided(&k, "held"), 15);
	for (size_t i = 0; i < json_array_size(k.rows); i++) {
		const json_t *row = json_array_get(k.rows, i);

		if (strcmp(text_of(row, "decision"), "held") == 0)
			ck_assert_str_eq(
				json_string_value(json_array_get(
					json_object_get(row, "reasons"), 0)),
				"hold case (c)");
	}
	{
		CLEANUP(repository_close)
		struct repository *r = run_repository(&t, "a");

		ok(&t.f,
		   deletion_release(r, hold, "root", clock_now(), &t.f.e));
	}
	/* As of then it was in force, and still is. */
	same(&t, today + 3600, 19);
	nights(&t, 2);
	told_done(&k);
	replay(&t, today + 3600, &k);
	ck_assert_uint_ge(decided(&k, "held-by-budget"), 1);
	ck_assert_uint_ge(decided(&k, "locked"), 1);
	ck_assert_uint_ge(decided(&k, "delete"), 2);
	same(&t, today + 3600, 21);
}
END_TEST

START_TEST(a_floor_that_blocks_is_the_same)
{
	CLEANUP(run_done) struct run_frame t;
	CLEANUP(told_done) struct told k;

	begin(&t, "{\"retention\":{\"keep-last\":1},\"floor\":{\"snapshots\":"
		  "1,\"verifiedWithin\":\"30d\",\"regions\":2}}");
	nights(&t, 3);
	replay(&t, today + 3600, &k);
	ck_assert_uint_eq(decided(&k, "floor-blocked"), 2);
	ck_assert_uint_eq(k.same, 3);
}
END_TEST

START_TEST(a_changed_decision_is_named)
{
	CLEANUP(run_done) struct run_frame t;
	CLEANUP(told_done) struct told k;

	begin(&t, "{" RULES "}");
	nights(&t, 4);
	frame_sql(&t.f, "UPDATE decisions SET outcome = 'held' WHERE " NEWEST);
	replay(&t, today + 3600, &k);
	ck_assert_uint_eq(k.differs, 1);
	ck_assert_str_eq(text_of(odd_one(&k), "decision"), "held");
	ck_assert_str_eq(text_of(odd_one(&k), "replay_decision"), "keep");
	ck_assert_ptr_nonnull(strstr(text_of(odd_one(&k), "message"),
				     "the replay says keep: keep-last 1"));
}
END_TEST

START_TEST(changed_reasons_are_named)
{
	CLEANUP(run_done) struct run_frame t;
	CLEANUP(told_done) struct told k;

	begin(&t, "{" RULES "}");
	nights(&t, 4);
	frame_sql(&t.f, "UPDATE decisions SET reasons = replace(reasons, "
			"'\"bucket\":\"1\"', '\"bucket\":\"2\"') "
			"WHERE " NEWEST);
	replay(&t, today + 3600, &k);
	ck_assert_uint_eq(k.differs, 1);
	ck_assert_ptr_nonnull(
		strstr(text_of(odd_one(&k), "message"), "keep-last 1"));
}
END_TEST

START_TEST(a_lost_decision_is_named)
{
	CLEANUP(run_done) struct run_frame t;
	CLEANUP(told_done) struct told k, l;

	begin(&t, "{" RULES "}");
	nights(&t, 4);
	frame_sql(&t.f, "DELETE FROM changes; DELETE FROM decisions WHERE id = "
			"(SELECT max(id) FROM decisions)");
	replay(&t, today + 3600, &k);
	ck_assert_uint_eq(k.differs, 1);
	ck_assert(json_is_null(json_object_get(odd_one(&k), "decision")));
	ck_assert_ptr_nonnull(strstr(text_of(odd_one(&k), "message"),
				     "no decision is stored"));
	/* Where a segment of that time is lost, so may be a decision. */
	frame_sql(&t.f, "UPDATE evaluations SET unsure = 1 WHERE id = "
			"(SELECT max(id) FROM evaluations)");
	replay(&t, today + 3600, &l);
	ck_assert_uint_eq(l.differs, 0);
	ck_assert_uint_eq(l.unknown, 1);
}
END_TEST

static int take_inputs(void *arg, const struct catalog_evaluation *v,
		       struct err *e UNUSED)
{
	*(char **)arg = strdup(v->inputs_json);
	return 1;
}

/* The row that the newest evaluation names holds them whole. */
static void make_whole(struct run_frame *t)
{
	const struct catalog_evaluation_filter newest = { .limit = 1 };
	sqlite3 *db = NULL;
	sqlite3_stmt *s = NULL;
	char *body = NULL;

	ok(&t->f,
	   catalog_evaluations(t->f.c, &newest, take_inputs, &body, &t->f.e));
	ck_assert_int_eq(sqlite3_open(t->f.path, &db), SQLITE_OK);
	ck_assert_int_eq(
		sqlite3_prepare_v2(db,
				   "UPDATE inputs SET body = ?, base = NULL "
				   "WHERE id = (SELECT inputs FROM evaluations "
				   "ORDER BY id DESC LIMIT 1)",
				   -1, &s, NULL),
		SQLITE_OK);
	(void)sqlite3_bind_text(s, 1, body, -1, SQLITE_STATIC);
	ck_assert_int_eq(sqlite3_step(s), SQLITE_DONE);
	(void)sqlite3_finalize(s);
	(void)sqlite3_close(db);
	free(body);
}

/* The inputs that the newest evaluation names, changed. */
static void change_inputs(struct run_frame *t, const char *from, const char *to)
{
	char sql[400];

	make_whole(t);

	(void)snprintf(sql, sizeof(sql),
		       "UPDATE inputs SET body = replace(body, '%s', '%s') "
		       "WHERE id = (SELECT inputs FROM evaluations ORDER BY id "
		       "DESC LIMIT 1)",
		       from, to);
	frame_sql(&t->f, sql);
}

/* As somebody would who knows of the hash. */
static void hash_again(struct run_frame *t)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *s = NULL;
	char hash[CATALOG_HASH_TEXT];
	char sql[200];
	const char *body;

	ck_assert_int_eq(sqlite3_open(t->f.path, &db), SQLITE_OK);
	ck_assert_int_eq(
		sqlite3_prepare_v2(db,
				   "SELECT body FROM inputs WHERE id = "
				   "(SELECT inputs FROM evaluations ORDER BY "
				   "id DESC LIMIT 1)",
				   -1, &s, NULL),
		SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(s), SQLITE_ROW);
	body = (const char *)sqlite3_column_text(s, 0);
	catalog_hash(body, strlen(body), hash);
	(void)sqlite3_finalize(s);
	(void)sqlite3_close(db);
	(void)snprintf(sql, sizeof(sql),
		       "UPDATE inputs SET hash = '%s' WHERE id = (SELECT "
		       "inputs FROM evaluations ORDER BY id DESC LIMIT 1)",
		       hash);
	frame_sql(&t->f, sql);
}

/* And why is told of one at least. */
static void some_differ(struct run_frame *t, const char *why)
{
	CLEANUP(told_done) struct told k;
	const char *last = "";
	const json_t *row;
	size_t i;

	replay(t, today + 3600, &k);
	ck_assert_uint_ge(k.differs, 1);
	json_array_foreach(k.rows, i, row)
	{
		if (strcmp(text_of(row, "replayed"), "differs") != 0)
			continue;
		last = text_of(row, "message");
		if (strstr(last, why))
			return;
	}
	ck_abort_msg("no \"%s\" in \"%s\"", why, last);
}

START_TEST(changed_inputs_are_named)
{
	static const struct {
		const char *from, *to, *why;
		bool again; /* the hash is made to fit */
	} changes[] = {
		{ "\"held\":false", "\"held\":true", "SHA-256", false },
		{ "\"doubtful\":false", "\"doubtful\":true", "SHA-256", false },
		{ "\"present\":", "\"present\":1", "SHA-256", false },
		{ "\"keep-last\":2", "\"keep-last\":1",
		  "the stored rules are not those of policy gold version 2",
		  true },
		{ "\"version\":2", "\"version\":1",
		  "the stored rules are not those", true },
		{ "\"policy\":\"gold\"", "\"policy\":\"tin\"",
		  "the inputs are of policy tin version 2", true },
		{ "\"received\"", "\"recieved\"", "cannot be read", true },
		{ "\"budget\":{", "\"budget\":{{", "cannot be read", true },
		{ "}]}", "}]", "cannot be read", true },
	};

	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		CLEANUP(run_done) struct run_frame t;

		begin(&t, "{" RULES "}");
		nights(&t, 3);
		same(&t, today + 3600, 3);
		change_inputs(&t, changes[i].from, changes[i].to);
		if (changes[i].again)
			hash_again(&t);
		some_differ(&t, changes[i].why);
	}
}
END_TEST

/* One snapshot's lie changes what is decided about others. */
START_TEST(a_changed_snapshot_changes_decisions)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, "{\"retention\":{\"keep-last\":2}}");
	nights(&t, 4);
	/* The oldest that is there is let go; held, it would stay. */
	change_inputs(&t, "\"held\":false", "\"held\":true");
	hash_again(&t);
	some_differ(&t, "the replay says held");
}
END_TEST

START_TEST(another_moment_is_named)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, "{" RULES "}");
	nights(&t, 3);
	/* Before what it judged was received. */
	frame_sql(&t.f, "UPDATE evaluations SET now_us = now_us - 86400000000 "
			"WHERE id = (SELECT max(id) FROM evaluations)");
	some_differ(&t, "the replay says keep: future");
}
END_TEST

START_TEST(a_rewritten_version_of_the_policy_is_named)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, "{" RULES "}");
	nights(&t, 2);
	frame_sql(&t.f, "UPDATE resource_versions SET spec = replace(spec, "
			"'\"keep-last\":2', '\"keep-last\":1')");
	some_differ(&t, "the stored rules are not those of policy gold "
			"version 2");
}
END_TEST

/* What a program before this one stored. */
START_TEST(old_inputs_are_unknown)
{
	CLEANUP(run_done) struct run_frame t;
	CLEANUP(told_done) struct told k;

	begin(&t, "{" RULES "}");
	nights(&t, 2);
	change_inputs(&t, "\"format\":2,", "");
	hash_again(&t);
	replay(&t, today + 3600, &k);
	ck_assert_uint_eq(k.unknown, 2);
	ck_assert_str_eq(text_of(json_array_get(k.rows, 0), "message"),
			 "inputs not stored: cannot be replayed");
	ck_assert_str_eq(text_of(json_array_get(k.rows, 0), "decision"),
			 "keep");
	/* Of the evaluation before, as of then. */
	same(&t, today - DAY + 3600, 1);
	/* One of a format to come. */
	change_inputs(&t, "\"cooling_off_ms\"",
		      "\"format\":5,\"cooling_off_ms\"");
	hash_again(&t);
	told_done(&k);
	replay(&t, today + 3600, &k);
	ck_assert_uint_eq(k.unknown, 2);
}
END_TEST

/* The n-th evaluation from the beginning has that in its row. */
static void harm(struct run_frame *t, int n, const char *what)
{
	char sql[200];

	(void)snprintf(sql, sizeof(sql),
		       "UPDATE inputs SET %s WHERE id = (SELECT inputs FROM "
		       "evaluations ORDER BY id LIMIT 1 OFFSET %d)",
		       what, n - 1);
	frame_sql(&t->f, sql);
}

START_TEST(each_night_of_a_chain_is_the_same)
{
	CLEANUP(run_done) struct run_frame t;

	begin(&t, "{\"retention\":{\"keep-daily\":-1}}");
	nights(&t, 4);
	run_apply(&t, "Policy", "gold", NULL,
		  "{\"retention\":{\"keep-daily\":-1,\"keep-last\":1}}");
	nights(&t, 4);
	ck_assert_int_gt(frame_count(&t.f, "SELECT count(*) FROM inputs "
					   "WHERE base IS NOT NULL"),
			 3);
	for (int i = 1; i <= 8; i++)
		same(&t, START + i * DAY + 3600, (size_t)i);
}
END_TEST

START_TEST(a_chain_that_is_broken_is_told)
{
	CLEANUP(run_done) struct run_frame t;
	CLEANUP(told_done) struct told k, l;

	begin(&t, "{\"retention\":{\"keep-daily\":-1}}");
	nights(&t, 3);
	ck_assert_int_eq(frame_count(&t.f, "SELECT count(*) FROM inputs WHERE "
					   "base = 1"),
			 2);
	/* As a rebuild leaves it of a segment that was lost. */
	harm(&t, 1, "body = ''");
	replay(&t, today + 3600, &k);
	ck_assert_uint_eq(k.unknown, 3);
	ck_assert_ptr_nonnull(strstr(
		text_of(json_array_get(k.rows, 0), "message"), "is lost"));
	ck_assert_str_eq(text_of(json_array_get(k.rows, 0), "decision"),
			 "keep");
	/* The next is whole. */
	nights(&t, 1);
	same(&t, today + 3600, 4);
	harm(&t, 1, "body = 'x'");
	replay(&t, today - DAY + 3600, &l);
	ck_assert_uint_eq(l.differs, 3);
	ck_assert_ptr_nonnull(
		strstr(text_of(json_array_get(l.rows, 0), "message"),
		       "the stored inputs were changed"));
}
END_TEST

/* A decision cannot be made again with other data about the zone. */
START_TEST(another_zone_is_unknown)
{
	CLEANUP(run_done) struct run_frame t;
	CLEANUP(told_done) struct told k;

	begin(&t, "{" RULES "}");
	nights(&t, 2);
	change_inputs(&t, "\"zone_data\":\"", "\"zone_data\":\"x");
	hash_again(&t);
	/* It makes no difference: the same. */
	same(&t, today + 3600, 2);
	frame_sql(&t.f, "UPDATE decisions SET outcome = 'held'");
	replay(&t, today + 3600, &k);
	ck_assert_uint_eq(k.unknown, 2);
	ck_assert_ptr_nonnull(
		strstr(text_of(json_array_get(k.rows, 0), "message"),
		       "time zone Europe/Berlin"));
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, what_ran_is_the_same);
	tcase_add_test(tc, guards_and_shortenings_are_the_same);
	tcase_add_test(tc, a_floor_that_blocks_is_the_same);
	tcase_add_test(tc, a_changed_decision_is_named);
	tcase_add_test(tc, changed_reasons_are_named);
	tcase_add_test(tc, a_lost_decision_is_named);
	tcase_add_test(tc, changed_inputs_are_named);
	tcase_add_test(tc, a_changed_snapshot_changes_decisions);
	tcase_add_test(tc, another_moment_is_named);
	tcase_add_test(tc, a_rewritten_version_of_the_policy_is_named);
	tcase_add_test(tc, old_inputs_are_unknown);
	tcase_add_test(tc, each_night_of_a_chain_is_the_same);
	tcase_add_test(tc, a_chain_that_is_broken_is_told);
	tcase_add_test(tc, another_zone_is_unknown);
}

CHECK_MAIN("service/report_replay", cases)

/* From when to when a decision holds: here, after a rebuild, and before. */
#include "base/buf.h"
#include "service/catalog_internal.h"
#include "tests/support/catalog_frame.h"
#include "tests/support/check_main.h"

/* ---- Evaluations of one group ------------------------------------------- */

#define MOST 64

static const char *source = "web";
static const char *region = "eu";

/* What was decided, as words "SNAPSHOT:OUTCOME", at that second. */
static int64_t evaluate_by(struct frame *f, int64_t sec, int64_t version,
			   const char *words)
{
	struct catalog_evaluation v = { .repository = "main",
					.source = source,
					.region = region,
					.policy = "gold",
					.policy_uid = "p",
					.policy_version = version,
					.now = at(sec),
					.inputs_json = "[1]" };
	struct catalog_decision d[MOST];
	char *text = strdup(words);
	char *rest = text;
	char *word;
	size_t n = 0;
	int64_t id;

	while ((word = strsep(&rest, " ")) != NULL) {
		char *outcome = strchr(word, ':');

		if (!outcome)
			continue;
		*outcome = '\0';
		ck_assert_uint_lt(n, MOST);
		d[n++] = (struct catalog_decision){ .snapshot = word,
						    .outcome = outcome + 1 };
	}
	ok(f, catalog_evaluation_add(f->c, &v, d, n, &id, &f->e));
	free(text);
	return id;
}

static int64_t evaluate(struct frame *f, int64_t sec, const char *words)
{
	return evaluate_by(f, sec, 1, words);
}

/* Every row as "SNAPSHOT:OUTCOME:FIRST-ENDED ", the latter empty when open. */
static const char *rows(const struct frame *f)
{
	static char text[4][4096];
	static unsigned int turn;
	char *out = text[turn++ % 4];
	sqlite3 *db = NULL;
	sqlite3_stmt *s = NULL;
	size_t n = 0;

	out[0] = '\0';
	ck_assert_int_eq(sqlite3_open(f->path, &db), SQLITE_OK);
	ck_assert_int_eq(
		sqlite3_prepare_v2(
			db,
			"SELECT format('%s:%s:%d-%s', d.snapshot, d.outcome, "
			"f.now_us / 1000000, n.now_us / 1000000) "
			"FROM decisions d JOIN evaluations f ON f.id = d.first "
			"LEFT JOIN evaluations n ON n.id = d.ended "
			"ORDER BY d.snapshot, d.first",
			-1, &s, NULL),
		SQLITE_OK);
	while (sqlite3_step(s) == SQLITE_ROW)
		n += (size_t)snprintf(out + n, sizeof(text[0]) - n, "%s ",
				      (const char *)sqlite3_column_text(s, 0));
	ck_assert_uint_lt(n, sizeof(text[0]));
	(void)sqlite3_finalize(s);
	(void)sqlite3_close(db);
	return out;
}

/* A function, so that a test of many stays simple. */
static void expect(const struct frame *f, const char *all)
{
	ck_assert_str_eq(rows(f), all);
}

static int see_decision(void *arg, const struct catalog_decision_row *d,
			struct err *e)
{
	char text[200];

	(void)e;
	(void)snprintf(text, sizeof(text), "%s:%s:%" PRId64 "-%" PRId64,
		       d->snapshot, d->outcome, d->first.sec, d->last.sec);
	return see(arg, text);
}

static struct seen of(struct frame *f, int64_t evaluation)
{
	struct seen s = { .n = 0 };

	ok(f, catalog_decisions(f->c, evaluation, see_decision, &s, &f->e));
	return s;
}

static struct seen as_of(struct frame *f, int64_t sec)
{
	const struct catalog_decision_filter filter = { .as_of = at(sec) };
	struct seen s = { .n = 0 };

	ok(f, catalog_decisions_as_of(f->c, &filter, see_decision, &s, &f->e));
	return s;
}

START_TEST(it_holds_until_it_is_ended)
{
	CLEANUP(frame_done) struct frame f;
	int64_t ids[5];

	frame_open(&f);
	ids[0] = evaluate(&f, 100, "b:keep a:keep");
	ids[1] = evaluate(&f, 200, "a:keep c:keep b:keep");
	ids[2] = evaluate(&f, 300, "c:keep b:delete a:keep");
	ids[3] = evaluate(&f, 400, "c:keep a:keep");
	ids[4] = evaluate(&f, 500, "a:keep b:delete c:keep");
	expect(&f, "a:keep:100- b:keep:100-300 "
		   "b:delete:300-400 b:delete:500- "
		   "c:keep:200- ");
	ck_assert_str_eq(of(&f, ids[0]).text, "a:keep:100-500 b:keep:100-200");
	ck_assert_str_eq(of(&f, ids[2]).text,
			 "a:keep:100-500 b:delete:300-300 c:keep:200-500");
	ck_assert_str_eq(of(&f, ids[3]).text, "a:keep:100-500 c:keep:200-500");
	ck_assert_str_eq(as_of(&f, 250).text,
			 "a:keep:100-200 b:keep:100-200 c:keep:200-200");
	ck_assert_str_eq(as_of(&f, 450).text,
			 "b:delete:300-300 a:keep:100-400 c:keep:200-400");
	ck_assert_int_eq(catalog_decided(f.c, ids[2], "b", &f.e), 1);
	ck_assert_int_eq(catalog_decided(f.c, ids[3], "b", &f.e), 0);
	ck_assert_int_eq(catalog_decided(f.c, ids[4], "b", &f.e), 1);
}
END_TEST

START_TEST(another_policy_decides_anew)
{
	CLEANUP(frame_done) struct frame f;

	frame_open(&f);
	(void)evaluate_by(&f, 100, 1, "a:keep b:keep");
	(void)evaluate_by(&f, 200, 1, "a:keep b:keep");
	(void)evaluate_by(&f, 300, 2, "a:keep b:keep");
	(void)evaluate_by(&f, 400, 2, "a:keep b:keep");
	(void)evaluate_by(&f, 500, 1, "a:keep");
	expect(&f, "a:keep:100-300 a:keep:300-500 a:keep:500- "
		   "b:keep:100-300 b:keep:300-500 ");
	ck_assert_str_eq(as_of(&f, 250).text, "a:keep:100-200 b:keep:100-200");
}
END_TEST

START_TEST(of_a_group_without_snapshots_nothing_holds)
{
	CLEANUP(frame_done) struct frame f;
	int64_t gone;
	int64_t later;

	frame_open(&f);
	(void)evaluate(&f, 100, "a:keep b:delete");
	(void)evaluate(&f, 200, "a:delete");
	gone = evaluate(&f, 300, "");
	later = evaluate(&f, 400, "");
	expect(&f, "a:keep:100-200 a:delete:200-300 "
		   "b:delete:100-200 ");
	ck_assert_str_eq(of(&f, gone).text, "");
	ck_assert_str_eq(of(&f, later).text, "");
	ck_assert_int_eq(catalog_decided(f.c, gone, "a", &f.e), 0);
	/* What was decided last about each is still told. */
	ck_assert_str_eq(as_of(&f, 500).text,
			 "b:delete:100-100 a:delete:200-200");
}
END_TEST

/* ---- Out and back ------------------------------------------------------- */

static void export(struct frame *f, struct buf *out)
{
	const struct catalog_export x = { .repository = "main",
					  .now = at(1000),
					  .sink = json_to_buf,
					  .arg = out };
	struct catalog_segment g;

	buf_init(out, 16U << 20);
	ok(f, catalog_segment_export(f->c, &x, &g, &f->e));
	ok(f, catalog_segment_done(f->c, "main", &g, at(1001), &f->e));
}

static void import(struct frame *f, const char *text)
{
	struct catalog_imported io = { .rows = 0 };

	ok(f, catalog_segment_import(f->c, text, strlen(text), &io, &f->e));
}

/* Lines of that kind. */
static unsigned int lines(const struct buf *b, const char *kind)
{
	const char *text = buf_str(b);
	char head[64];
	unsigned int n = 0;

	(void)snprintf(head, sizeof(head), "{\"row\":\"%s\",", kind);
	for (; (text = strstr(text, head)) != NULL; text++)
		n++;
	return n;
}

static const char *const days[] = {
	"a:keep",	 "a:keep b:keep",	 "a:keep b:delete c:keep",
	"a:keep c:keep", "a:keep c:keep d:keep", "a:delete c:keep d:keep",
};
#define DAYS (sizeof(days) / sizeof(days[0]))
#define ALL_ROWS                                                        \
	"a:keep:100-600 a:delete:600- b:keep:200-300 b:delete:300-400 " \
	"c:keep:300- d:keep:500- "

/* A segment after each evaluation. */
static void make_segments(struct frame *f, struct buf *segments)
{
	for (size_t i = 0; i < DAYS; i++) {
		(void)evaluate(f, 100 * ((int64_t)i + 1), days[i]);
		export(f, &segments[i]);
	}
	expect(f, ALL_ROWS);
}

/* All, but for one when it is not -1. */
static void import_all(struct frame *f, const struct buf *segments, int without)
{
	for (int i = 0; i < (int)DAYS; i++)
		if (i != without)
			import(f, buf_str(&segments[i]));
}

static int expect_inputs(void *arg UNUSED, const struct catalog_evaluation *v,
			 struct err *e UNUSED)
{
	ck_assert_str_eq(v->inputs_json, "[1]");
	ck_assert_int_eq(v->inputs_state, CATALOG_INPUTS_THERE);
	return 0;
}

static void rebuilt(struct frame *f)
{
	const struct catalog_actor who = by("root", 50);

	ok(f, catalog_rebuilt(f->c, "main", &(struct catalog_imported){ 0 },
			      &who, &f->e));
}

static void free_segments(struct buf *segments)
{
	for (size_t i = 0; i < DAYS; i++)
		buf_done(&segments[i]);
}

static int see_unsure(void *arg, const struct catalog_evaluation *v,
		      struct err *e UNUSED)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%" PRId64, v->now.sec);
	return v->is_unsure ? see(arg, text) : 0;
}

START_TEST(segments_bring_it_back)
{
	CLEANUP(frame_done) struct frame f, g;
	CLEANUP(buf_done) struct buf later;
	struct buf segments[DAYS];

	frame_open(&f);
	frame_open(&g);
	make_segments(&f, segments);
	/* Twice is once, in another order as well. */
	import_all(&g, segments, -1);
	expect(&g, ALL_ROWS);
	for (size_t i = DAYS; i-- > 0;)
		import(&g, buf_str(&segments[i]));
	expect(&g, ALL_ROWS);
	ok(&g, catalog_check(g.c, &g.e));
	rebuilt(&g);
	/* What came back goes on, and only what is new goes out. */
	(void)evaluate(&g, 700, "a:delete c:keep d:keep");
	(void)evaluate(&g, 800, "c:keep d:keep");
	export(&g, &later);
	ck_assert_uint_eq(lines(&later, "evaluation"), 2);
	ck_assert_uint_eq(lines(&later, "decision"), 0);
	import(&f, buf_str(&later));
	expect(&f, rows(&g));
	expect(&f, "a:keep:100-600 a:delete:600-800 "
		   "b:keep:200-300 b:delete:300-400 "
		   "c:keep:300- d:keep:500- ");
	free_segments(segments);
}
END_TEST

START_TEST(one_segment_of_many_evaluations_brings_it_back)
{
	CLEANUP(frame_done) struct frame f, g;
	CLEANUP(buf_done) struct buf b;

	frame_open(&f);
	frame_open(&g);
	for (size_t i = 0; i < DAYS; i++)
		(void)evaluate(&f, 100 * ((int64_t)i + 1), days[i]);
	export(&f, &b);
	import(&g, buf_str(&b));
	expect(&g, ALL_ROWS);
}
END_TEST

/*
 * Of a segment that is lost nothing is made up: what held before holds until
 * then, and no further, for who tells that it did?
 */
START_TEST(beyond_a_lost_segment_nothing_is_prolonged)
{
	CLEANUP(frame_done) struct frame f, g;
	struct buf segments[DAYS];
	int64_t last;

	frame_open(&f);
	frame_open(&g);
	make_segments(&f, segments);
	import_all(&g, segments, 3);
	expect(&g, "a:keep:100-500 a:delete:600- "
		   "b:keep:200-300 b:delete:300-500 "
		   "c:keep:300-500 d:keep:500- ");
	ck_assert_str_eq(as_of(&g, 450).text,
			 "a:keep:100-300 b:delete:300-300 c:keep:300-300");
	last = frame_count(&g, "SELECT max(id) FROM evaluations");
	ck_assert_str_eq(of(&g, last).text, "a:delete:600-600 d:keep:500-600");
	ck_assert_int_eq(catalog_decided(g.c, last, "c", &g.e), 0);
	/* The next evaluation decides about all again. */
	(void)evaluate(&g, 700, days[DAYS - 1]);
	expect(&g, "a:keep:100-500 a:delete:600- "
		   "b:keep:200-300 b:delete:300-500 "
		   "c:keep:300-500 c:keep:700- d:keep:500- ");
	free_segments(segments);
}
END_TEST

/* Evaluations at which decisions may be missing, by their second. */
static struct seen unsure(struct frame *f)
{
	const struct catalog_evaluation_filter all = { .id = 0 };
	struct seen s = { .n = 0 };

	ok(f, catalog_evaluations(f->c, &all, see_unsure, &s, &f->e));
	return s;
}

START_TEST(those_after_a_lost_segment_are_unsure)
{
	CLEANUP(frame_done) struct frame f, g;
	CLEANUP(buf_done) struct buf later;
	struct buf segments[DAYS];

	frame_open(&f);
	frame_open(&g);
	make_segments(&f, segments);
	import_all(&g, segments, 3);
	rebuilt(&g);
	ck_assert_str_eq(unsure(&g).text, "600 500");
	(void)evaluate(&g, 700, days[DAYS - 1]);
	ck_assert_str_eq(unsure(&g).text, "600 500");
	/*
	 * With all segments: it is another branch, and c, of which both tell
	 * that it stands, stands once, whatever is decided of it next.
	 */
	export(&g, &later);
	import(&f, buf_str(&later));
	ck_assert_str_eq(unsure(&f).text, "");
	expect(&f, "a:keep:100-600 a:delete:600- b:keep:200-300 "
		   "b:delete:300-400 c:keep:300-700 c:keep:700- "
		   "d:keep:500- ");
	(void)evaluate(&f, 800, "a:delete d:keep");
	expect(&f, "a:keep:100-600 a:delete:600- b:keep:200-300 "
		   "b:delete:300-400 c:keep:300-700 c:keep:700-800 "
		   "d:keep:500- ");
	free_segments(segments);
}
END_TEST

/* Those lines of the segment that do not have this. */
static void import_without(struct frame *f, const struct buf *b,
			   const char *without)
{
	const char *text = buf_str(b);
	const char *end;

	for (; (end = strchr(text, '\n')) != NULL; text = end + 1) {
		char *line = strndup(text, (size_t)(end - text));

		if (!strstr(line, without))
			import(f, line);
		free(line);
	}
}

/* An object of a segment is lost: evaluations are there, decisions are not. */
START_TEST(without_its_line_a_decision_is_none)
{
	CLEANUP(frame_done) struct frame f, g;
	struct buf segments[DAYS];

	frame_open(&f);
	frame_open(&g);
	make_segments(&f, segments);
	for (size_t i = 0; i < DAYS; i++)
		import_without(&g, &segments[i],
			       i == 5 || i == 2 ? "{\"row\":\"decision\","
						: "no line has this");
	expect(&g, "a:keep:100-600 b:keep:200-300 "
		   "d:keep:500- ");
	free_segments(segments);
}
END_TEST

/* Of another source, and of another region, nothing ends. */
START_TEST(groups_are_apart)
{
	CLEANUP(frame_done) struct frame f, g, h;
	struct buf segments[DAYS];
	static const char *const groups[][2] = { { "web", "eu" },
						 { "db", "eu" },
						 { "web", "us" } };

	frame_open(&f);
	frame_open(&g);
	frame_open(&h);
	for (size_t i = 0; i < DAYS; i++) {
		const char *const *group = groups[i % 3];

		source = group[0];
		region = group[1];
		(void)evaluate(&f, 100 * ((int64_t)i + 1),
			       i < 3 ? "a:keep b:keep" : "b:keep");
		export(&f, &segments[i]);
	}
	source = "web";
	region = "eu";
	expect(&f, "a:keep:100-400 a:keep:200-500 a:keep:300-600 "
		   "b:keep:100- b:keep:200- b:keep:300- ");
	import_all(&g, segments, -1);
	expect(&g, rows(&f));
	ck_assert_str_eq(unsure(&g).text, "");
	/* Without the first of the second group, of which the fifth tells. */
	import_all(&h, segments, 1);
	expect(&h, "a:keep:100-400 a:keep:300-600 b:keep:100- b:keep:300- ");
	ck_assert_str_eq(unsure(&h).text, "500");
	free_segments(segments);
}
END_TEST

/* ---- A catalog of an earlier program ------------------------------------ */

#define INSERT_EVALUATION(uid, source, sec)                           \
	"INSERT INTO evaluations (uid, repository, source, region, "  \
	"policy, policy_uid, policy_version, now_us, actor, inputs, " \
	"summary) VALUES ('" uid "', 'main', '" source                \
	"', 'eu', 'gold', 'p', 1, " sec "000000, 'snapctld', 1, '{}');"
#define INSERT_DECISION(source, snapshot, outcome, first, last)         \
	"INSERT INTO decisions (repository, source, region, snapshot, " \
	"first, last, outcome, reasons) VALUES ('main', '" source       \
	"', 'eu', '" snapshot "', " first ", " last ", '" outcome "', '[]');"

/* Brought as far as migration 5, and filled as programs did then. */
static void make_earlier(struct frame *f)
{
	CLEANUP(sql_close) struct sql *db = NULL;

	memset(f, 0, sizeof(*f));
	scratch_init(&f->dir);
	(void)scratch_path(&f->dir, "catalog.db", f->path);
	ok(f, sql_open(f->path, &db, &f->e));
	ok(f, catalog_migrate(db, f->path, migrations_all, 5, &f->e));
	frame_sql(
		f,
		"INSERT INTO inputs VALUES (1, '080a9ed428559ef602668b4c00f114f1a11c3f6b02a435f0bdc154578e4d7f22', '[1]');" //
		INSERT_EVALUATION("e1", "web", "100")		      //
		INSERT_DECISION("web", "a", "keep", "1", "1")	      //
		"DELETE FROM changes;"				      //
		INSERT_EVALUATION("e2", "other", "200")		      //
		INSERT_DECISION("other", "z", "keep", "2", "2")	      //
		INSERT_EVALUATION("e3", "web", "300")		      //
		"UPDATE decisions SET last = 3 WHERE snapshot = 'a';" //
		INSERT_DECISION("web", "b", "keep", "3", "3")	      //
		INSERT_EVALUATION("e4", "web", "400")		      //
		"UPDATE decisions SET last = 4 WHERE snapshot = 'a';");
}

START_TEST(an_earlier_catalog_is_brought_up)
{
	const struct catalog_evaluation_filter all = { .id = 0 };
	CLEANUP(frame_done) struct frame f;

	make_earlier(&f);
	ok(&f, catalog_open(f.path, &f.c, &f.e));
	expect(&f, "a:keep:100- b:keep:300-400 z:keep:200- ");
	ok(&f, catalog_check(f.c, &f.e));
	ok(&f, catalog_evaluations(f.c, &all, expect_inputs, NULL, &f.e));
	/* What is yet to go out is what was: the first of them went before. */
	ck_assert_int_eq(frame_count(&f, "SELECT count(*) FROM changes WHERE "
					 "kind = 'decision'"),
			 3);
	(void)evaluate(&f, 500, "a:delete");
	expect(&f, "a:keep:100-500 a:delete:500- b:keep:300-400 "
		   "z:keep:200- ");
}
END_TEST

/* Until when is not known: it is not taken for one that still holds. */
START_TEST(one_whose_end_is_lost_is_left_out)
{
	CLEANUP(frame_done) struct frame f, g;
	CLEANUP(buf_done) struct buf b;

	frame_open(&f);
	frame_open(&g);
	(void)evaluate(&f, 100, "a:keep");
	(void)evaluate(&f, 200, "a:delete b:keep");
	(void)evaluate(&f, 300, "b:keep");
	export(&f, &b);
	import_without(&g, &b, "\"now_us\":200000000");
	expect(&g, "");
}
END_TEST

/* ---- Growth ------------------------------------------------------------- */

/* A snapshot more each day, all kept; ret_bytes of segments. */
static void grow(struct frame *f, int from, int to, size_t *ret_bytes)
{
	*ret_bytes = 0;
	for (int day = from; day < to; day++) {
		char words[MOST * 16] = "";
		struct buf b;
		size_t n = 0;

		for (int i = 0; i <= day; i++)
			n += (size_t)snprintf(words + n, sizeof(words) - n,
					      "s%02d:keep ", i);
		(void)evaluate(f, 100 * ((int64_t)day + 1), words);
		export(f, &b);
		ck_assert_uint_eq(lines(&b, "evaluation"), 1);
		ck_assert_uint_eq(lines(&b, "decision"), 1);
		*ret_bytes += b.len;
		buf_done(&b);
	}
}

START_TEST(what_is_still_so_costs_nothing)
{
	CLEANUP(frame_done) struct frame f;
	size_t first;
	size_t second;

	frame_open(&f);
	grow(&f, 0, MOST / 2, &first);
	ck_assert_int_eq(frame_count(&f, "SELECT count(*) FROM decisions"),
			 MOST / 2);
	grow(&f, MOST / 2, MOST, &second);
	ck_assert_int_eq(frame_count(&f, "SELECT count(*) FROM decisions"),
			 MOST);
	/* Numbers have some more digits. */
	ck_assert_uint_le(second, first + first / 20);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, it_holds_until_it_is_ended);
	tcase_add_test(tc, another_policy_decides_anew);
	tcase_add_test(tc, of_a_group_without_snapshots_nothing_holds);
	tcase_add_test(tc, segments_bring_it_back);
	tcase_add_test(tc, one_segment_of_many_evaluations_brings_it_back);
	tcase_add_test(tc, beyond_a_lost_segment_nothing_is_prolonged);
	tcase_add_test(tc, those_after_a_lost_segment_are_unsure);
	tcase_add_test(tc, groups_are_apart);
	tcase_add_test(tc, without_its_line_a_decision_is_none);
	tcase_add_test(tc, an_earlier_catalog_is_brought_up);
	tcase_add_test(tc, one_whose_end_is_lost_is_left_out);
	tcase_add_test(tc, what_is_still_so_costs_nothing);
}

CHECK_MAIN("service/catalog_decisions", cases)

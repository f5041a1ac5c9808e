/* Out to a repository and back into a fresh catalog. */
#include "base/buf.h"
#include "tests/support/catalog_frame.h"
#include "tests/support/check_main.h"

static const char SNAP[] = "00112233445566778899aabbccddeeff";

/* One row of every kind, all of repository "main". */
static void fill(struct frame *f)
{
	const struct catalog_actor who = by("root", 50);
	const struct catalog_ref ref = { "Policy", "gold" };
	const struct catalog_document docs[] = {
		{ .kind = "Policy", .name = "gold", .spec_json = "{\"a\":1}" },
		{ .kind = "Schedule",
		  .name = "nightly",
		  .labels_json = "{\"tier\":\"gold\"}",
		  .spec_json = "{}",
		  .refs = &ref,
		  .n_refs = 1 },
	};
	struct catalog_applied applied[2];
	struct catalog_snapshot n = snapshot_of(SNAP, "web", 119);
	const struct catalog_replica r = { .repository = "main",
					   .snapshot = SNAP,
					   .region = "us",
					   .state = "complete",
					   .completed = at(130) };
	const struct catalog_step step = { .run = 1,
					   .source = "web",
					   .step = "snapshot",
					   .state = "succeeded" };
	const struct catalog_region region = { .repository = "main",
					       .region = "us",
					       .url = "file:///us" };
	const struct catalog_check_row check = { .repository = "main",
						 .region = "us",
						 .level = "data",
						 .result = "sound",
						 .run = 1 };
	const struct catalog_drill drill = { .drill = "dr",
					     .repository = "main",
					     .started = at(140),
					     .finished = at(141),
					     .passed = true };
	const struct catalog_evaluation v = { .repository = "main",
					      .source = "web",
					      .policy = "gold",
					      .run = 1,
					      .now = at(125),
					      .inputs_json = "[\"in\"]" };
	const struct catalog_decision d = { .snapshot = SNAP,
					    .outcome = "keep" };
	const struct catalog_shortening s = { .repository = "main",
					      .source = "web",
					      .policy = "gold",
					      .cause = "c",
					      .actor = "root",
					      .shown = at(1),
					      .due = at(2) };
	const struct catalog_hold h = { .repository = "main",
					.id = "h1",
					.snapshots_json = "[\"11\",\"22\"]",
					.by = "ann@box",
					.placed = at(3) };
	const char *list[] = { SNAP };
	int64_t id;

	ok(f, catalog_apply(f->c, docs, 2, &who, applied, &f->e));
	catalog_applied_done(applied, 2);
	ck_assert_int_eq(queue_run(f, note_due(f, 100), 106), 1);
	ck_assert_int_eq(claim_run(f, 1, 108), CATALOG_CLAIMED);
	ok(f, catalog_step_put(f->c, &step, &f->e));
	n.run = 1;
	ok(f, catalog_snapshot_put(f->c, &n, &f->e));
	ok(f, catalog_replica_put(f->c, &r, &f->e));
	ok(f, catalog_region_put(f->c, &region, &f->e));
	ok(f, catalog_check_add(f->c, &check, &id, &f->e));
	ok(f, catalog_drill_put(f->c, &drill, &id, &f->e));
	ok(f, catalog_evaluation_add(f->c, &v, &d, 1, &id, &f->e));
	ok(f, catalog_shortening_add(f->c, &s, list, 1, &id, &f->e));
	ok(f, catalog_hold_put(f->c, &h, &who, &f->e));
}

static void export(struct frame *f, struct buf *out, bool done)
{
	const struct catalog_export x = { .repository = "main",
					  .now = at(200),
					  .sink = json_to_buf,
					  .arg = out };
	struct catalog_segment g;

	ok(f, catalog_segment_export(f->c, &x, &g, &f->e));
	if (done)
		ok(f, catalog_segment_done(f->c, "main", &g, at(201), &f->e));
}

static unsigned int lines(const struct buf *b)
{
	unsigned int n = 0;

	for (size_t i = 0; i < b->len; i++)
		n += b->data[i] == '\n';
	return n;
}

static const char *const tables[] = {
	"resources",	 "resource_labels",
	"resource_refs", "resource_versions",
	"occurrences",	 "runs",
	"run_sources",	 "run_steps",
	"snapshots",	 "replicas",
	"regions",	 "checks",
	"drills",	 "inputs",
	"evaluations",	 "decisions",
	"shortenings",	 "shortening_snapshots",
	"holds",	 "audit",
	"audit_heads",
};

static void expect_same_counts(const struct frame *a, const struct frame *b)
{
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		char sql[100];
		int64_t n;

		(void)snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s",
			       tables[i]);
		n = frame_count(a, sql);
		if (n == 0 || n != frame_count(b, sql))
			ck_abort_msg("%s: %" PRId64 " and %" PRId64, tables[i],
				     n, frame_count(b, sql));
	}
}

START_TEST(everything_comes_back_and_twice_is_once)
{
	CLEANUP(frame_done) struct frame f, g;
	CLEANUP(buf_done) struct buf b;
	struct catalog_imported io = { .rows = 0 };
	struct catalog_audit_state st;

	frame_open(&f);
	frame_open(&g);
	buf_init(&b, 1U << 20);
	fill(&f);
	export(&f, &b, true);
	for (int i = 0; i < 2; i++) {
		ok(&g,
		   catalog_segment_import(g.c, buf_str(&b), b.len, &io, &g.e));
		expect_same_counts(&f, &g);
	}
	ck_assert_int_eq(io.newest.sec, 200);
	ck_assert_uint_eq(io.rows, 2U * (lines(&b) - 1));
	ok(&g, catalog_check(g.c, &g.e));
	ok(&g, catalog_audit_verify(g.c, &st, &g.e));
	ck_assert(st.sound);
	ck_assert_int_eq(frame_count(&g, "SELECT count(*) FROM snapshots n "
					 "JOIN runs r ON r.id = n.run JOIN "
					 "occurrences o ON o.id = "
					 "r.occurrence WHERE o.at_us = "
					 "100000000"),
			 1);
	ck_assert_int_eq(
		frame_count(&g, "SELECT body = '[\"in\"]' FROM inputs"), 1);
}
END_TEST

START_TEST(an_acknowledged_row_goes_out_once_and_a_changed_one_again)
{
	CLEANUP(frame_done) struct frame f, g;
	CLEANUP(buf_done) struct buf b;
	struct catalog_imported io = { .rows = 0 };

	frame_open(&f);
	frame_open(&g);
	buf_init(&b, 1U << 20);
	fill(&f);
	export(&f, &b, false);
	ck_assert_uint_gt(lines(&b), 10);
	buf_clear(&b);
	export(&f, &b, true);
	ck_assert_uint_gt(lines(&b), 10);
	ok(&g, catalog_segment_import(g.c, buf_str(&b), b.len, &io, &g.e));
	buf_clear(&b);
	export(&f, &b, true);
	ck_assert_uint_eq(lines(&b), 1);
	/* The end of the run: the run and its occurrence. */
	(void)end_run(&f, 1, CATALOG_RUN_SUCCEEDED, 150, CATALOG_SUCCEEDED);
	buf_clear(&b);
	export(&f, &b, true);
	ck_assert_uint_eq(lines(&b), 3);
	ok(&g, catalog_segment_import(g.c, buf_str(&b), b.len, &io, &g.e));
	ck_assert_int_eq(frame_count(&g, "SELECT count(*) FROM occurrences "
					 "WHERE state = 'succeeded'"),
			 1);
}
END_TEST

START_TEST(another_repositorys_rows_stay_out)
{
	CLEANUP(frame_done) struct frame f;
	CLEANUP(buf_done) struct buf b;
	struct catalog_snapshot n = snapshot_of(SNAP, "mail", 1);

	frame_open(&f);
	buf_init(&b, 1U << 20);
	n.repository = "other";
	ok(&f, catalog_snapshot_put(f.c, &n, &f.e));
	export(&f, &b, true);
	ck_assert_uint_eq(lines(&b), 1);
}
END_TEST

static int see_gap(void *arg, const struct catalog_gap *g, struct err *e)
{
	char text[100];

	(void)e;
	(void)snprintf(text, sizeof(text), "%s:%" PRId64 "-%" PRId64,
		       g->repository, g->from.sec, g->to.sec);
	return see(arg, text);
}

START_TEST(after_a_rebuild_the_gap_is_recorded_and_nothing_is_live)
{
	CLEANUP(frame_done) struct frame f, g;
	CLEANUP(buf_done) struct buf b;
	const struct catalog_actor who = by("root", 900);
	struct catalog_imported io = { .rows = 0 };
	struct catalog_audit_state st;
	struct catalog_account a;
	struct seen s = { .n = 0 };

	frame_open(&f);
	frame_open(&g);
	buf_init(&b, 1U << 20);
	fill(&f);
	export(&f, &b, true);
	ok(&g, catalog_segment_import(g.c, buf_str(&b), b.len, &io, &g.e));
	ok(&g, catalog_rebuilt(g.c, "main", &io, &who, &g.e));
	ok(&g, catalog_gaps(g.c, see_gap, &s, &g.e));
	ck_assert_str_eq(s.text, "main:200-900");
	ck_assert_int_eq(frame_count(&g, "SELECT count(*) FROM occurrences "
					 "WHERE state = 'failed'"),
			 1);
	ck_assert_int_eq(frame_count(&g, "SELECT count(*) FROM runs WHERE "
					 "state = 'interrupted'"),
			 1);
	ck_assert_int_eq(frame_count(&g, "SELECT count(*) FROM accounts WHERE "
					 "accounted_us = 900000000"),
			 1);
	ck_assert_int_eq(catalog_account_get(g.c, "none", &a, &g.e), 0);
	/* Two chains now: the lost catalog's and this one's. */
	ck_assert_int_eq(frame_count(&g, "SELECT count(*) FROM audit_heads"),
			 2);
	ok(&g, catalog_audit_verify(g.c, &st, &g.e));
	ck_assert(st.sound);
	/* Only what the rebuild changed goes out again. */
	buf_clear(&b);
	export(&g, &b, true);
	ck_assert_uint_eq(lines(&b), 1 + 4);
	/* Numbers go on: 1 was the lost catalog's. */
	ck_assert_int_eq(io.number, 1);
	ck_assert_int_eq(strncmp(buf_str(&b), "{\"segment\":2,", 13), 0);
}
END_TEST

START_TEST(a_resource_applied_meanwhile_stays_the_live_one)
{
	CLEANUP(frame_done) struct frame f, g;
	CLEANUP(buf_done) struct buf b;
	const struct catalog_actor who = by("root", 50);
	const struct catalog_document doc = { .kind = "Policy",
					      .name = "gold",
					      .spec_json = "{\"mine\":1}" };
	struct catalog_imported io = { .rows = 0 };
	struct catalog_applied applied;

	frame_open(&f);
	frame_open(&g);
	buf_init(&b, 1U << 20);
	fill(&f);
	export(&f, &b, true);
	ok(&g, catalog_apply(g.c, &doc, 1, &who, &applied, &g.e));
	catalog_applied_done(&applied, 1);
	ok(&g, catalog_segment_import(g.c, buf_str(&b), b.len, &io, &g.e));
	ck_assert_int_eq(frame_count(&g, "SELECT count(*) FROM resources WHERE "
					 "name = 'gold'"),
			 2);
	ck_assert_int_eq(frame_count(&g, "SELECT count(*) FROM resources WHERE "
					 "name = 'gold' AND deleted_us IS NULL "
					 "AND spec = '{\"mine\":1}'"),
			 1);
}
END_TEST

START_TEST(a_line_that_is_wrong_is_named_and_nothing_is_taken)
{
	static const char *const bad[] = {
		"{\"row\":\"hold\",\"repository\":\"r\"}",
		"not json",
		"[1]",
		"{\"row\":\"run\",\"uid\":5}",
	};
	CLEANUP(frame_done) struct frame f;
	struct catalog_imported io = { .rows = 0 };
	char text[400];
	int n;

	frame_open(&f);
	n = snprintf(text, sizeof(text), "%s\n%s\n",
		     "{\"row\":\"gap\",\"repository\":\"r\",\"from_us\":1,"
		     "\"to_us\":2,\"reason\":\"\"}",
		     bad[_i]);
	ck_assert_int_eq(
		catalog_segment_import(f.c, text, (size_t)n, &io, &f.e), -1);
	ck_assert_int_eq(f.e.code, ERR_CORRUPT);
	ck_assert_ptr_nonnull(strstr(f.e.text, "line 2"));
	ck_assert_int_eq(frame_count(&f, "SELECT count(*) FROM gaps"), 0);
	ck_assert_uint_eq(io.rows, 0);
}
END_TEST

START_TEST(a_kind_from_the_future_is_told_as_such)
{
	static const char text[] = "{\"row\":\"wormhole\"}";
	CLEANUP(frame_done) struct frame f;
	struct catalog_imported io = { .rows = 0 };

	frame_open(&f);
	ck_assert_int_eq(
		catalog_segment_import(f.c, text, sizeof(text) - 1, &io, &f.e),
		-1);
	ck_assert_int_eq(f.e.code, ERR_NEWER);
}
END_TEST

#define LINE_MAX_BYTES ((size_t)4 << 20)

/* Inputs that take several pieces, to be cut within characters and escapes. */
static void make_inputs(struct buf *b)
{
	struct err e;

	buf_init(b, 8U << 20);
	while (b->len < (6U << 20))
		ck_ok(buf_add_str(
			b, "\\\"a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", &e));
}

/* Import up to n lines one by one; those beyond must not be too long either. */
static void import_some(struct frame *f, const struct buf *from, size_t n,
			struct catalog_imported *io)
{
	const char *text = buf_str(from);
	const char *end;

	for (; (end = strchr(text, '\n')) != NULL; text = end + 1) {
		ck_assert_uint_le((size_t)(end - text), LINE_MAX_BYTES);
		if (n == 0)
			continue;
		n--;
		ok(f, catalog_segment_import(
			      f->c, text, (size_t)(end + 1 - text), io, &f->e));
	}
}

static int same_inputs(void *arg, const struct catalog_evaluation *v,
		       struct err *e)
{
	const struct buf *inputs = arg;

	(void)e;
	ck_assert_int_eq(strcmp(v->inputs_json, buf_str(inputs)), 0);
	return 0;
}

START_TEST(a_row_too_long_for_a_line_goes_out_in_pieces)
{
	CLEANUP(frame_done) struct frame f, g;
	CLEANUP(buf_done) struct buf first, second, inputs;
	struct catalog_evaluation v = { .repository = "main",
					.source = "web",
					.policy = "gold",
					.now = at(125) };
	const struct catalog_decision d = { .snapshot = SNAP,
					    .outcome = "keep" };
	const struct catalog_evaluation_filter all = { .repository = "main" };
	struct catalog_imported io = { .rows = 0 };
	int64_t id;

	frame_open(&f);
	frame_open(&g);
	make_inputs(&inputs);
	buf_init(&first, 64U << 20);
	buf_init(&second, 64U << 20);
	v.inputs_json = buf_str(&inputs);
	ok(&f, catalog_evaluation_add(f.c, &v, &d, 1, &id, &f.e));
	/* The first attempt is killed within the row, the second is not. */
	export(&f, &first, false);
	export(&f, &second, true);
	import_some(&g, &first, 3, &io);
	ck_assert_uint_eq(io.rows, 0);
	ck_assert_int_eq(frame_count(&g, "SELECT count(*) FROM inputs"), 0);
	import_some(&g, &second, SIZE_MAX, &io);
	ck_assert_uint_eq(io.rows, 2);
	ck_assert_uint_gt(lines(&second), 5);
	ck_assert_int_eq(frame_count(&g, "SELECT count(*) FROM decisions"), 1);
	ok(&g, catalog_evaluations(g.c, &all, same_inputs, &inputs, &g.e));
	ck_assert_int_eq(frame_count(&g, "SELECT count(*) FROM evaluations"),
			 1);
}
END_TEST

START_TEST(pieces_that_do_not_fit_are_refused)
{
	static const char *const bad[] = {
		"{\"row\":\"piece\",\"of\":\"a\",\"at\":1,\"total\":2,"
		"\"text\":\"ab\"}",
		"{\"row\":\"piece\",\"of\":\"a\",\"at\":0,\"total\":2}",
		"{\"row\":\"piece\",\"at\":0,\"total\":2,\"text\":\"ab\"}",
		"{\"row\":\"piece\",\"of\":\"a\",\"at\":0,\"total\":2,"
		"\"text\":\"ab\"}",
	};
	CLEANUP(frame_done) struct frame f;
	struct catalog_imported io = { .rows = 0 };

	frame_open(&f);
	ck_assert_int_eq(catalog_segment_import(f.c, bad[_i], strlen(bad[_i]),
						&io, &f.e),
			 -1);
	ck_assert_int_eq(f.e.code, ERR_CORRUPT);
	ck_assert_uint_eq(io.rows, 0);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, everything_comes_back_and_twice_is_once);
	tcase_add_test(
		tc, an_acknowledged_row_goes_out_once_and_a_changed_one_again);
	tcase_add_test(tc, another_repositorys_rows_stay_out);
	tcase_add_test(tc,
		       after_a_rebuild_the_gap_is_recorded_and_nothing_is_live);
	tcase_add_test(tc, a_resource_applied_meanwhile_stays_the_live_one);
	tcase_add_loop_test(
		tc, a_line_that_is_wrong_is_named_and_nothing_is_taken, 0, 4);
	tcase_add_test(tc, a_kind_from_the_future_is_told_as_such);
	tcase_add_test(tc, a_row_too_long_for_a_line_goes_out_in_pieces);
	tcase_add_loop_test(tc, pieces_that_do_not_fit_are_refused, 0, 4);
}
CHECK_MAIN("service/catalog segments", cases)

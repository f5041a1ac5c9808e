/* What evaluations were made with, as what changed since the one before. */
#include "base/buf.h"
#include "service/catalog_hash.h"
#include "service/catalog_internal.h"
#include "tests/support/catalog_frame.h"
#include "tests/support/check_main.h"

#define MAX ((size_t)64 << 20)

/* ---- Evaluations of a source of which everything is kept ---------------- */

static void make_inputs(struct buf *b, int day)
{
	struct err e;

	buf_init(b, MAX);
	ck_ok(buf_addf(b, &e, "{\"policies\":[],\"present\":%d,\"snapshots\":[",
		       day));
	for (int i = 0; i <= day; i++)
		ck_ok(buf_addf(b, &e,
			       "%s{\"id\":\"%08x\",\"received\":\"day %d\","
			       "\"complete\":true,\"tags\":[]}",
			       i ? "," : "", (unsigned int)i * 0x9e3779b1U, i));
	ck_ok(buf_add_str(b, "]}", &e));
}

static int64_t evaluate_in(struct frame *f, const char *repository, int day)
{
	CLEANUP(buf_done) struct buf inputs;
	struct catalog_evaluation v = { .repository = repository,
					.source = "web",
					.region = "eu",
					.policy = "gold",
					.policy_uid = "p",
					.policy_version = 1,
					.now = at(100 * ((int64_t)day + 1)) };
	int64_t id;

	make_inputs(&inputs, day);
	v.inputs_json = buf_str(&inputs);
	ok(f, catalog_evaluation_add(f->c, &v, NULL, 0, &id, &f->e));
	return id;
}

static int64_t evaluate(struct frame *f, int day)
{
	return evaluate_in(f, "main", day);
}

struct read {
	enum catalog_inputs_state state;
	int n;
};

/* Those of the evaluation of a day are what they were, or none. */
static int see_inputs(void *arg, const struct catalog_evaluation *v,
		      struct err *e UNUSED)
{
	CLEANUP(buf_done) struct buf inputs;
	struct read *r = arg;
	char hash[CATALOG_HASH_TEXT];

	make_inputs(&inputs, (int)(v->now.sec / 100) - 1);
	catalog_hash(inputs.data, inputs.len, hash);
	ck_assert_str_eq(v->inputs_hash, hash);
	r->state = v->inputs_state;
	r->n++;
	ck_assert_str_eq(v->inputs_json, v->inputs_state == CATALOG_INPUTS_THERE
						 ? buf_str(&inputs)
						 : "");
	return 0;
}

static enum catalog_inputs_state state_of(struct frame *f, int64_t evaluation)
{
	const struct catalog_evaluation_filter filter = { .id = evaluation };
	struct read r = { .n = 0 };

	ok(f, catalog_evaluations(f->c, &filter, see_inputs, &r, &f->e));
	ck_assert_int_eq(r.n, 1);
	return r.state;
}

/* "TTMD": one letter for each evaluation, the first first. */
static const char *states(struct frame *f)
{
	static const char letters[] = { [CATALOG_INPUTS_THERE] = 'T',
					[CATALOG_INPUTS_MISSING] = 'M',
					[CATALOG_INPUTS_DAMAGED] = 'D' };
	static char text[64];
	const int64_t n = frame_count(f, "SELECT count(*) FROM evaluations");

	ck_assert_int_lt(n, (int64_t)sizeof(text));
	for (int64_t id = 1; id <= n; id++)
		text[id - 1] = letters[state_of(f, id)];
	text[n] = '\0';
	return text;
}

static int64_t wholes(const struct frame *f)
{
	return frame_count(f, "SELECT count(*) FROM inputs WHERE base IS NULL");
}

/* Steps from the row of a day to the whole text. */
static int64_t steps(const struct frame *f, int day)
{
	char sql[300];

	(void)snprintf(sql, sizeof(sql),
		       "WITH RECURSIVE steps (base, n) AS (SELECT base, 0 "
		       "FROM inputs WHERE id = %d UNION ALL SELECT i.base, "
		       "n + 1 FROM inputs i JOIN steps s ON i.id = s.base) "
		       "SELECT max(n) FROM steps",
		       day + 1);
	return frame_count(f, sql);
}

START_TEST(each_is_read_as_it_was)
{
	CLEANUP(frame_done) struct frame f;
	int64_t ids[40];

	frame_open(&f);
	for (int day = 0; day < 40; day++)
		ids[day] = evaluate(&f, day);
	/* The day before's again: they share a row. */
	(void)evaluate(&f, 38);
	ck_assert_int_eq(frame_count(&f, "SELECT count(*) FROM inputs"), 40);
	for (int day = 0; day < 40; day++) {
		ck_assert_int_eq(state_of(&f, ids[day]), CATALOG_INPUTS_THERE);
		ck_assert_int_eq(steps(&f, day),
				 __builtin_popcount((unsigned int)day));
	}
	ck_assert_int_eq(wholes(&f), 1);
	ok(&f, catalog_check(f.c, &f.e));
}
END_TEST

/* As one change: to the disk once. */
static void evaluate_all(struct frame *f, int from, int to)
{
	ok(f, catalog_begin(f->c, &f->e));
	for (int day = from; day < to; day++)
		(void)evaluate(f, day);
	ok(f, catalog_commit(f->c, &f->e));
}

START_TEST(what_is_stored_grows_with_what_changes)
{
	CLEANUP(frame_done) struct frame f;
	const char *bytes = "SELECT sum(length(body)) FROM inputs";
	int64_t half;
	int64_t all;

	frame_open(&f);
	evaluate_all(&f, 0, 120);
	half = frame_count(&f, bytes);
	evaluate_all(&f, 120, 240);
	all = frame_count(&f, bytes);
	/* n log n of a number of bytes each, not n^2. */
	ck_assert_int_lt(all, half * 5 / 2);
	ck_assert_int_eq(wholes(&f), 1);
	/* No segment takes all that comes with it. */
	evaluate_all(&f, 240, 258);
	ck_assert_int_eq(wholes(&f), 2);
	frame_sql(&f, "UPDATE inputs SET body = '' WHERE id = 1");
	ck_assert_int_eq(state_of(&f, 256), CATALOG_INPUTS_MISSING);
	ck_assert_int_eq(state_of(&f, 257), CATALOG_INPUTS_THERE);
	ck_assert_int_eq(state_of(&f, 258), CATALOG_INPUTS_THERE);
}
END_TEST

/* ---- Broken chains ------------------------------------------------------ */

START_TEST(what_is_damaged_is_told_and_not_built_upon)
{
	static const char *const harms[] = {
		"UPDATE inputs SET body = 'x' WHERE id = 13",
		"UPDATE inputs SET body = substr(body, 1, 8) WHERE id = 13",
		"UPDATE inputs SET body = (SELECT body FROM inputs "
		"WHERE id = 14) WHERE id = 13",
		"UPDATE inputs SET base = 14 WHERE id = 13",
		"PRAGMA foreign_keys = OFF; UPDATE inputs SET base = 999 "
		"WHERE id = 13",
		"UPDATE inputs SET base = NULL WHERE id = 13",
	};

	for (size_t i = 0; i < sizeof(harms) / sizeof(harms[0]); i++) {
		CLEANUP(frame_done) struct frame f;
		int64_t next;

		frame_open(&f);
		for (int day = 0; day < 15; day++)
			(void)evaluate(&f, day);
		ck_assert_str_eq(states(&f), "TTTTTTTTTTTTTTT");
		frame_sql(&f, harms[i]);
		next = evaluate(&f, 15);
		/* Numbers 13 and 14 from 0 are told by number 12. */
		ck_assert_str_eq(states(&f), "TTTTTTTTTTTTDDDT");
		ck_assert_int_eq(state_of(&f, next), CATALOG_INPUTS_THERE);
	}
}
END_TEST

START_TEST(a_whole_text_that_was_changed_is_told)
{
	CLEANUP(frame_done) struct frame f;

	frame_open(&f);
	for (int day = 0; day < 4; day++)
		(void)evaluate(&f, day);
	frame_sql(&f, "UPDATE inputs SET body = replace(body, 'true', 'fals') "
		      "WHERE id = 1");
	/* What is known again, in the hand of who asks, is put right. */
	(void)evaluate(&f, 3);
	ck_assert_str_eq(states(&f), "DDDTT");
	(void)evaluate(&f, 4);
	ck_assert_str_eq(states(&f), "DDDTTT");
}
END_TEST

/* ---- Out and back ------------------------------------------------------- */

#define DAYS 14

static void export_of(struct frame *f, const char *repository, struct buf *out)
{
	const struct catalog_export x = { .repository = repository,
					  .now = at(1000),
					  .sink = json_to_buf,
					  .arg = out };
	struct catalog_segment g;

	buf_init(out, MAX);
	ok(f, catalog_segment_export(f->c, &x, &g, &f->e));
	ok(f, catalog_segment_done(f->c, repository, &g, at(1001), &f->e));
}

static void import(struct frame *f, const struct buf *segment)
{
	struct catalog_imported io = { .rows = 0 };

	ok(f, catalog_segment_import(f->c, buf_str(segment), segment->len, &io,
				     &f->e));
}

/* A segment after each evaluation. */
static void make_segments(struct frame *f, struct buf *segments)
{
	frame_open(f);
	for (int day = 0; day < DAYS; day++) {
		(void)evaluate(f, day);
		export_of(f, "main", &segments[day]);
	}
}

static void import_all(struct frame *f, const struct buf *segments, int without)
{
	for (int i = 0; i < DAYS; i++)
		if (i != without)
			import(f, &segments[i]);
}

static void free_segments(struct buf *segments)
{
	for (size_t i = 0; i < DAYS; i++)
		buf_done(&segments[i]);
}

START_TEST(segments_bring_them_back)
{
	CLEANUP(frame_done) struct frame f, g;
	struct buf segments[DAYS];

	make_segments(&f, segments);
	frame_open(&g);
	import_all(&g, segments, -1);
	import_all(&g, segments, -1);
	ck_assert_str_eq(states(&g), "TTTTTTTTTTTTTT");
	ck_assert_int_eq(frame_count(&g, "SELECT sum(length(body)) + "
					 "sum(place) FROM inputs"),
			 frame_count(&f, "SELECT sum(length(body)) + "
					 "sum(place) FROM inputs"));
	ck_assert_int_eq(wholes(&g), wholes(&f));
	/* The chain goes on. */
	ck_assert_int_eq(state_of(&g, evaluate(&g, DAYS)),
			 CATALOG_INPUTS_THERE);
	free_segments(segments);
}
END_TEST

START_TEST(what_a_lost_segment_told_is_missing)
{
	CLEANUP(frame_done) struct frame f, g;
	struct buf segments[DAYS];
	int64_t next;
	const int lost = 8; /* a power of two: all after it need it */

	make_segments(&f, segments);
	frame_open(&g);
	import_all(&g, segments, lost);
	/* Evaluations after it are there, and most of their inputs are not. */
	ck_assert_int_eq(frame_count(&g, "SELECT count(*) FROM evaluations"),
			 DAYS - 1);
	ck_assert_int_eq(state_of(&g, lost), CATALOG_INPUTS_THERE);
	ck_assert_int_eq(state_of(&g, lost + 1), CATALOG_INPUTS_MISSING);
	ck_assert_int_eq(state_of(&g, lost + 2), CATALOG_INPUTS_MISSING);
	/* The newest text again: it is in hand. */
	next = evaluate(&g, DAYS - 1);
	ck_assert_int_eq(state_of(&g, next), CATALOG_INPUTS_THERE);
	next = evaluate(&g, DAYS);
	ck_assert_int_eq(state_of(&g, next), CATALOG_INPUTS_THERE);
	/* Another region has the segment: what was missing is found. */
	import(&g, &segments[lost]);
	ck_assert_ptr_null(strchr(states(&g), 'M'));
	ck_assert_ptr_null(strchr(states(&g), 'D'));
	free_segments(segments);
}
END_TEST

/* Rows of several catalogs, none of which tells of another's. */
START_TEST(texts_that_are_whole_come_back)
{
	CLEANUP(frame_done) struct frame g;

	frame_open(&g);
	/* As if each had been the first. */
	for (int day = 0; day < DAYS; day++) {
		CLEANUP(frame_done) struct frame alone;
		CLEANUP(buf_done) struct buf b;

		frame_open(&alone);
		(void)evaluate(&alone, day);
		export_of(&alone, "main", &b);
		ck_assert_ptr_nonnull(strstr(buf_str(&b), "\"base\":null"));
		import(&g, &b);
	}
	ck_assert_str_eq(states(&g), "TTTTTTTTTTTTTT");
	ck_assert_int_eq(wholes(&g), DAYS);
	(void)evaluate(&g, DAYS);
	ck_assert_int_eq(wholes(&g), DAYS);
	ck_assert_str_eq(states(&g), "TTTTTTTTTTTTTTT");
}
END_TEST

/* Each repository brings its own back, alone. */
START_TEST(what_two_repositories_share_is_whole)
{
	CLEANUP(frame_done) struct frame f, g;
	CLEANUP(buf_done) struct buf b, other;

	frame_open(&f);
	frame_open(&g);
	for (int day = 0; day < 5; day++)
		(void)evaluate(&f, day);
	ck_assert_int_eq(
		frame_count(&f, "SELECT base IS NULL FROM inputs WHERE id = 5"),
		0);
	(void)evaluate_in(&f, "other", 4);
	ck_assert_int_eq(frame_count(&f, "SELECT count(*) FROM inputs"), 5);
	(void)evaluate_in(&f, "other", 5);
	(void)evaluate(&f, 5);
	ck_assert_str_eq(states(&f), "TTTTTTTT");
	export_of(&f, "other", &other);
	import(&g, &other);
	ck_assert_str_eq(states(&g), "TT");
	export_of(&f, "main", &b);
	import(&g, &b);
	ck_assert_str_eq(states(&g), "TTTTTTTT");
}
END_TEST

/* What one repository lost of a chain, another one may tell whole. */
START_TEST(a_whole_text_is_taken_for_a_patch)
{
	CLEANUP(frame_done) struct frame f, g;
	CLEANUP(buf_done) struct buf lost, b, other;

	frame_open(&f);
	frame_open(&g);
	for (int day = 0; day < 4; day++)
		(void)evaluate(&f, day);
	export_of(&f, "main", &lost);
	(void)evaluate(&f, 4);
	export_of(&f, "main", &b);
	(void)evaluate_in(&f, "other", 4);
	export_of(&f, "other", &other);
	import(&g, &b);
	ck_assert_str_eq(states(&g), "M");
	import(&g, &other);
	ck_assert_str_eq(states(&g), "TT");
	/* And is not taken back. */
	import(&g, &b);
	ck_assert_int_eq(wholes(&g), 2);
}
END_TEST

#define LINE(uid, hash, base, place, body)                                          \
	"{\"row\":\"evaluation\",\"uid\":\"" uid "\",\"repository\":\"main\","      \
	"\"source\":\"web\",\"region\":\"eu\",\"policy\":\"gold\","                 \
	"\"policy_uid\":\"p\",\"policy_version\":1,\"now_us\":100000000,"           \
	"\"actor\":\"snapctld\",\"summary\":\"{}\",\"run\":null,\"inputs\":\"" hash \
	" " body "\",\"base\":" base ",\"place\":" place "}\n"
#define HASH_A \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HASH_B \
	"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static int see_state(void *arg, const struct catalog_evaluation *v,
		     struct err *e UNUSED)
{
	ck_assert_str_eq(v->inputs_json, "");
	*(enum catalog_inputs_state *)arg = v->inputs_state;
	return 0;
}

START_TEST(lines_that_make_no_sense_lead_nowhere)
{
	static const char *const lines[] = {
		LINE("e1", HASH_A, "\"" HASH_A "\"", "1", "AAAA"),
		LINE("e1", HASH_A, "\"" HASH_B "\"", "-9223372036854775808",
		     "AAAA") LINE("e2", HASH_B, "\"" HASH_A "\"",
				  "9223372036854775807", "AAAA"),
		LINE("e1", HASH_A, "null", "null", "[1]"),
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		CLEANUP(frame_done) struct frame g;
		const struct catalog_evaluation_filter all = { .id = 0 };
		enum catalog_inputs_state state = CATALOG_INPUTS_THERE;
		struct catalog_imported io = { .rows = 0 };

		frame_open(&g);
		ok(&g, catalog_segment_import(g.c, lines[i], strlen(lines[i]),
					      &io, &g.e));
		ok(&g, catalog_evaluations(g.c, &all, see_state, &state, &g.e));
		ck_assert_int_ne(state, CATALOG_INPUTS_THERE);
		/* It goes on. */
		ck_assert_int_eq(state_of(&g, evaluate(&g, 5)),
				 CATALOG_INPUTS_THERE);
	}
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, each_is_read_as_it_was);
	tcase_add_test(tc, what_is_stored_grows_with_what_changes);
	tcase_add_test(tc, what_is_damaged_is_told_and_not_built_upon);
	tcase_add_test(tc, a_whole_text_that_was_changed_is_told);
	tcase_add_test(tc, lines_that_make_no_sense_lead_nowhere);
	tcase_add_test(tc, segments_bring_them_back);
	tcase_add_test(tc, what_a_lost_segment_told_is_missing);
	tcase_add_test(tc, texts_that_are_whole_come_back);
	tcase_add_test(tc, what_two_repositories_share_is_whole);
	tcase_add_test(tc, a_whole_text_is_taken_for_a_patch);
}

CHECK_MAIN("service/catalog_inputs", cases)

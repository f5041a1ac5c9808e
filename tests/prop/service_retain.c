/*
 * Decisions on random snapshots, policies, holds, locks, floors, budgets and
 * lists, with what other regions wait for, are stored and made again: the same
 * ones, whatever the inputs were; and one that was changed since is the one
 * that is named.
 *
 * What a region that is asked might keep is all that it would keep if it was
 * known what it has besides.
 */
#include <jansson.h>

#include "service/retain_decide.h"
#include "tests/support/check_main.h"
#include "tests/support/random.h"
#include "tests/support/report_frame.h"

#define ROUNDS 300
#define MOST   30
#define OTHERS 2
#define START  INT64_C(1790000000)

/* Tags that a careless reader of JSON stumbles over. */
static const char *const odd_tags[] = {
	"gold",	  "tier=1", "quote=\"", "{\"id\":", ",\"snapshots\":[",
	"ä=ö\\n", "]}",
};
static const char *const zones[] = { "UTC", "Europe/Berlin", "Asia/Tokyo",
				     "America/Sao_Paulo",
				     "Australia/Lord_Howe" };

/* The day of a round; ends of months and changes of clocks are others. */
static int64_t today = START;

struct world {
	struct retain_rule_sets rules;
	struct retain_rule_sets others[OTHERS];
	struct retain_elsewhere elsewhere[OTHERS];
	struct retain_case c;
	struct retain_input v[MOST];
	char ids[MOST][33];
	const char *tags[MOST][3];
	struct retain_verified copies[MOST][4];
};

static bool one_in(struct random *r, uint64_t n)
{
	return random_below(r, n) == 0;
}

/* Now and then with a part of a second. */
static struct instant moment(struct random *r, int64_t from, int64_t to)
{
	return (struct instant){
		from + (int64_t)random_below(r, (uint64_t)(to - from)),
		one_in(r, 2) ? 0 : (uint32_t)random_below(r, 1000000) * 1000
	};
}

static void draw_rules(struct random *r, struct json *j)
{
	json_begin_object(j);
	if (one_in(r, 2))
		json_kv_int(j, "keep-last", (int64_t)random_below(r, 12) - 1);
	if (one_in(r, 2))
		json_kv_int(j, "keep-daily", (int64_t)random_below(r, 12) - 1);
	if (one_in(r, 3))
		json_kv_int(j, "keep-weekly", (int64_t)random_below(r, 6) - 1);
	if (one_in(r, 3))
		json_kv_str(j, "keep-within", one_in(r, 2) ? "1m3d" : "36h");
	if (one_in(r, 4))
		json_kv_str(j, "keep-within-monthly", "1y");
	if (one_in(r, 3)) {
		json_key(j, "keep-tags");
		json_begin_list(j);
		json_str(j, odd_tags[random_below(r, 7)]);
		json_end_list(j);
	}
	json_end_object(j);
}

static void draw_spec(struct random *r, struct buf *out)
{
	struct err e;
	struct json j;

	buf_init(out, 4096);
	json_init(&j, json_to_buf, out);
	json_begin_object(&j);
	json_kv_str(&j, "timeZone", zones[random_below(r, 5)]);
	json_key(&j, "retention");
	draw_rules(r, &j);
	if (one_in(r, 2)) {
		json_key(&j, "floor");
		json_begin_object(&j);
		json_kv_uint(&j, "snapshots", 1 + random_below(r, 5));
		json_kv_str(&j, "verifiedWithin", one_in(r, 2) ? "30d" : "2d");
		json_kv_uint(&j, "regions", 1 + random_below(r, 2));
		json_end_object(&j);
	}
	json_end_object(&j);
	ck_assert_msg(json_finish(&j, &e) == 0, "%s", e.text);
}

static void draw_set(struct random *r, struct retain_rule_sets *sets,
		     bool former)
{
	struct err e;
	struct retain_rules *set = retain_rules_add(sets, &e);
	struct buf spec;
	struct resource_form form = { .kind = "Policy" };

	ck_assert_ptr_nonnull(set);
	(void)snprintf(set->name, sizeof(set->name), "p%zu", sets->n);
	(void)snprintf(set->uid, sizeof(set->uid), "u%zu", sets->n);
	set->version = 1 + (int64_t)random_below(r, 9);
	set->former = former;
	set->floor_only = sets->n > 1 && one_in(r, 4);
	if (former) {
		set->until = moment(r, today - 10 * 86400, today);
		set->before_all = one_in(r, 4);
		set->was_own = one_in(r, 2);
	}
	/* No policy, or a version that is gone. */
	if (one_in(r, 8))
		return;
	draw_spec(r, &spec);
	form.name = set->name;
	form.spec_json = buf_str(&spec);
	ck_assert_msg(retain_rules_prepare(set, &form, &e) == 0, "%s", e.text);
	buf_done(&spec);
}

static void draw_snapshot(struct random *r, struct world *w, size_t i)
{
	struct retain_input *in = &w->v[i];

	(void)snprintf(w->ids[i], sizeof(w->ids[i]), "%016jx%016zx",
		       (uintmax_t)random_u64(r), i);
	*in = (struct retain_input){
		.id = w->ids[i],
		.received = moment(r, today - (one_in(r, 2) ? 9 : 400) * 86400,
				   today + (one_in(r, 9) ? 86400 : 1)),
		.complete = !one_in(r, 5),
		.scheduled = !one_in(r, 4),
		.held = one_in(r, 8),
		.locked = one_in(r, 6),
		.cancelled = one_in(r, 8),
		.shown = one_in(r, 4),
		.tags = w->tags[i],
		.n_tags = random_below(r, 4),
		.copies = w->copies[i],
		.n_copies = random_below(r, 5),
	};
	if (in->locked)
		in->locked_until = one_in(r, 4)
					   ? (struct instant){ INT64_MAX, 0 }
					   : moment(r, today - 86400,
						    today + 86400);
	if (w->c.n_elsewhere) {
		in->lacks = (uint32_t)random_below(
			r, UINT64_C(1) << w->c.n_elsewhere);
		in->gone = ~in->lacks &
			   (uint32_t)random_below(
				   r, UINT64_C(1) << w->c.n_elsewhere);
	}
	if (in->shown)
		in->shown_at = moment(r, today - 9 * 86400, today);
	for (size_t k = 0; k < in->n_tags; k++)
		w->tags[i][k] = odd_tags[random_below(r, 7)];
	for (size_t k = 0; k < in->n_copies; k++) {
		struct retain_verified *v = &w->copies[i][k];

		*v = (struct retain_verified){ .copy.verified = !one_in(r, 3) };
		(void)snprintf(v->region, sizeof(v->region), "r%zu", k);
		if (v->copy.verified)
			v->copy.oldest = moment(r, today - 40 * 86400,
						today + 86400);
	}
}

static void draw(struct random *r, struct world *w)
{
	const size_t former = random_below(r, 3);

	const size_t others = one_in(r, 2) ? random_below(r, OTHERS + 1) : 0;

	*w = (struct world){ .rules.n = 0 };
	for (size_t n = 1 + random_below(r, 3); n > 0; n--)
		draw_set(r, &w->rules, false);
	for (size_t i = 0; i < former; i++)
		draw_set(r, &w->rules, true);
	for (size_t i = 0; i < others; i++) {
		draw_set(r, &w->others[i], false);
		for (size_t n = random_below(r, 3); n > 0; n--)
			draw_set(r, &w->others[i], true);
		w->elsewhere[i] = (struct retain_elsewhere){
			.region = i ? "b" : "c", .rules = &w->others[i]
		};
	}
	retain_rules_summarize(&w->rules);
	w->c = (struct retain_case){
		.now = moment(r, today, today + 2),
		.rules = &w->rules,
		.cooling_off_ms = INT64_C(7) * 86400 * 1000,
		.present = random_below(r, 60),
		.deleted = random_below(r, 3),
		.is_doubtful = one_in(r, 10),
		.elsewhere = w->elsewhere,
		.n_elsewhere = others,
		.asks_exactly = one_in(r, 4),
		.v = w->v,
		.n = random_below(r, MOST + 1),
	};
	for (size_t i = 0; i < w->c.n; i++)
		draw_snapshot(r, w, i);
}

static void world_done(struct world *w)
{
	retain_rules_done(&w->rules);
	for (size_t i = 0; i < OTHERS; i++)
		retain_rules_done(&w->others[i]);
}

static void store(struct frame *f, const struct world *w, const char *source,
		  size_t *counts)
{
	CLEANUP(retain_decisions_done) struct retain_decisions d = { .n = 0 };
	CLEANUP(buf_done) struct buf inputs;
	struct catalog_decision rows[MOST];
	const struct retain_rules *own = &w->rules.v[0];
	struct catalog_evaluation v = { .repository = "main",
					.source = source,
					.region = "a",
					.policy = own->name,
					.policy_uid = own->uid,
					.policy_version = own->version,
					.now = w->c.now,
					.actor = "snapctld" };
	int64_t id;

	buf_init(&inputs, RETAIN_INPUTS_MAX);
	ok(f, retain_decide(&w->c, &d, &f->e));
	ok(f, retain_inputs_write(&w->c, &inputs, &f->e));
	v.inputs_json = buf_str(&inputs);
	for (size_t i = 0; i < d.n; i++) {
		counts[d.v[i].verdict]++;
		rows[i] = (struct catalog_decision){
			.snapshot = w->c.v[i].id,
			.outcome = retain_outcome_name(d.v[i].verdict),
			.reasons_json = d.v[i].reasons
		};
	}
	ok(f, catalog_evaluation_add(f->c, &v, rows, d.n, &id, &f->e));
}

/* How many rows there are, and how many of them differ. */
static size_t replay(struct frame *f, const char *source, struct instant as_of,
		     size_t *ret_differ)
{
	struct buf out;
	char when[INSTANT_TEXT];
	json_t *rows;
	json_t *row;
	size_t i;

	instant_format(as_of, when);
	*ret_differ = 0;
	(void)report_reply(
		f, "report retention", as_of.sec + 1,
		(const char *const[]){ "as-of", when, "source", source, NULL },
		&out);
	rows = json_loads(buf_str(&out), 0, NULL);
	ck_assert_ptr_nonnull(rows);
	json_array_foreach(rows, i, row)
	{
		const char *is = json_string_value(
			json_object_get(row, "replayed"));

		ck_assert_str_ne(is, "unknown");
		*ret_differ += strcmp(is, "differs") == 0;
	}
	i = json_array_size(rows);
	json_decref(rows);
	buf_done(&out);
	return i;
}

START_TEST(what_was_decided_is_decided_again)
{
	CLEANUP(frame_done) struct frame f;
	struct random r = random_seed();
	size_t counts[GUARD_VERDICTS] = { 0 };

	frame_open(&f);
	for (int i = 0; i < ROUNDS; i++) {
		static struct world w;
		struct instant first;
		char source[16];
		size_t differ;

		(void)snprintf(source, sizeof(source), "s%d", i);
		draw(&r, &w);
		first = w.c.now;
		store(&f, &w, source, counts);
		/* Again, an hour later: some of it is "still so". */
		w.c.now.sec += 3600;
		store(&f, &w, source, counts);
		ck_assert_uint_eq(replay(&f, source, first, &differ), w.c.n);
		ck_assert_msg(differ == 0, "round %d: %zu differ", i, differ);
		ck_assert_uint_eq(replay(&f, source, w.c.now, &differ), w.c.n);
		ck_assert_msg(differ == 0, "round %d: %zu differ later", i,
			      differ);
		if (w.c.n) {
			frame_sql(&f, "UPDATE decisions SET reasons = '[{}]' "
				      "WHERE id = (SELECT max(id) FROM "
				      "decisions)");
			(void)replay(&f, source, w.c.now, &differ);
			ck_assert_msg(differ == 1, "round %d: %zu differ", i,
				      differ);
		}
		world_done(&w);
	}
	/* All verdicts were among them. */
	for (int v = 0; v < GUARD_VERDICTS; v++)
		ck_assert_msg(counts[v] > 0, "none was %s",
			      guard_verdict_name((enum guard_verdict)v));
}
END_TEST

typedef int decide(const struct retention_policy *p,
		   const struct retention_snapshot *snapshots, size_t n,
		   struct instant now, struct retention_result *ret,
		   struct err *e);

/* Whether each of n is kept. */
static void keep(const struct retention_policy *p, decide *how,
		 const struct retention_snapshot *s, size_t n,
		 struct instant now, bool kept[MOST])
{
	CLEANUP(retention_result_done) struct retention_result result = { 0 };
	struct err e;

	ck_assert_int_eq(how(p, s, n, now, &result, &e), 0);
	for (size_t i = 0; i < n; i++)
		kept[i] = result.decisions[i].keep;
}

static void drop_some(struct random *r, const struct world *w)
{
	struct retention_snapshot all[MOST] = { 0 }, some[MOST] = { 0 };
	bool kept[MOST] = { false }, kept_too[MOST] = { false };
	size_t of[MOST] = { 0 };
	size_t n = 0;

	for (size_t i = 0; i < w->c.n; i++) {
		const struct retain_input *in = &w->v[i];

		all[i] = (struct retention_snapshot){ .id = in->id,
						      .received = in->received,
						      .complete = in->complete,
						      .tags = in->tags,
						      .n_tags = in->n_tags };
		of[n] = i;
		some[n] = all[i];
		n += !one_in(r, 3);
	}
	keep(&w->rules.v[0].policy, retention_decide, all, w->c.n, w->c.now,
	     kept);
	keep(&w->rules.v[0].policy, retention_might_keep, some, n, w->c.now,
	     kept_too);
	for (size_t i = 0; i < n; i++)
		ck_assert_msg(
			kept_too[i] || !kept[of[i]],
			"%s is kept among %zu, and might not be among %zu",
			some[i].id, w->c.n, n);
}

START_TEST(what_is_kept_with_others_might_be_without)
{
	struct random r = random_seed();

	for (int i = 0; i < 20 * ROUNDS; i++) {
		static struct world w;

		today = START + (int64_t)random_below(&r, 500 * 24) * 3600;
		draw(&r, &w);
		drop_some(&r, &w);
		world_done(&w);
	}
	today = START;
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, what_is_kept_with_others_might_be_without);
	tcase_add_test(tc, what_was_decided_is_decided_again);
}

CHECK_MAIN("service/retain", cases)

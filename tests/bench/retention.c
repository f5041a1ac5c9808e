/*
 * What retention stores of one source, judged once a day.
 *
 *	retention FOLDER [EVALUATIONS]		default 400
 *
 * FOLDER has to be empty.  For each policy below: as many snapshots as
 * evaluations, a day apart, decided as the step "retain" decides, and gone the
 * day after they may be deleted; each day's segment is exported and
 * acknowledged.  Printed, at each doubling: the rows and bytes of each kind so
 * far, in the catalog and in the segments.  What grows linearly doubles from
 * line to line; what grows with the square becomes four times as much.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"
#include "service/catalog_audit.h"
#include "service/catalog_keep.h"
#include "service/retain_decide.h"

#define BEGIN_S INT64_C(1767225600) /* 2026-01-01 */
#define DAY_S	86400
#define MOST	4000

static struct err e;

static void must(int got, const char *what)
{
	if (got >= 0)
		return;
	(void)fprintf(stderr, "%s: %s\n", what, e.text);
	exit(1);
}

static const struct {
	const char *name, *spec;
	bool verified; /* every copy is dated anew each day */
} policies[] = {
	{ "usual",
	  "{\"retention\":{\"keep-daily\":7,\"keep-weekly\":4,"
	  "\"keep-monthly\":12,\"keep-yearly\":3,\"keep-within\":\"14d\"}}",
	  false },
	{ "keep-all", "{\"retention\":{}}", false },
	{ "keep-daily-all", "{\"retention\":{\"keep-daily\":-1}}", false },
	{ "keep-last-all", "{\"retention\":{\"keep-last\":-1}}", false },
	{ "floor",
	  "{\"retention\":{\"keep-daily\":-1},\"floor\":{\"snapshots\":3,"
	  "\"regions\":2,\"verifiedWithin\":\"30d\"}}",
	  true },
};

/* Bytes and rows of the segments so far. */
struct mirrored {
	uint64_t evaluations, decisions, rows[2], other;
};

struct world {
	struct catalog *c;
	struct retain_rule_sets rules;
	struct retain_input v[MOST];
	char ids[MOST][33];
	struct retain_verified copies[MOST][2];
	size_t n;
	struct mirrored m;
	uint64_t changes;
	uint64_t is; /* the kind of line that is being written */
	bool in_line;
};

static int count(void *arg, const char *text, size_t n, struct err *why)
{
	struct world *w = arg;

	(void)why;
	if (!w->in_line)
		w->is = strncmp(text, "{\"row\":\"evaluation\"", 19) == 0 ? 1
			: strncmp(text, "{\"row\":\"decision\"", 17) == 0 ? 2
									  : 0;
	if (!w->in_line && w->is)
		w->m.rows[w->is - 1]++;
	w->in_line = n == 0 || text[n - 1] != '\n';
	*(w->is == 1   ? &w->m.evaluations
	  : w->is == 2 ? &w->m.decisions
		       : &w->m.other) += n;
	return 0;
}

static void mirror(struct world *w, struct instant now)
{
	const struct catalog_export x = {
		.repository = "main", .now = now, .sink = count, .arg = w
	};
	struct catalog_segment segment;

	must(catalog_segment_export(w->c, &x, &segment, &e), "export");
	w->changes += segment.rows;
	must(catalog_segment_done(w->c, "main", &segment, now, &e), "done");
}

static void take_snapshot(struct world *w, int day, struct instant now)
{
	uint64_t id = ((uint64_t)day + 1) * 0x9e3779b97f4a7c15U;
	char text[33];
	size_t i = 0;

	(void)snprintf(text, sizeof(text), "%016llx%016x",
		       (unsigned long long)id, (unsigned int)day);
	while (i < w->n && strcmp(w->v[i].id, text) < 0)
		i++;
	memmove(&w->v[i + 1], &w->v[i], (w->n - i) * sizeof(w->v[0]));
	w->n++;
	memcpy(w->ids[day], text, sizeof(text));
	w->v[i] = (struct retain_input){ .id = w->ids[day],
					 .received = now,
					 .complete = true,
					 .scheduled = true };
}

static void date_copies(struct world *w, struct instant now)
{
	static const char *const regions[] = { "eu", "us" };

	for (size_t i = 0; i < w->n; i++) {
		for (size_t k = 0; k < 2; k++) {
			struct retain_verified *v = &w->copies[i][k];

			v->copy.verified = true;
			v->copy.oldest = instant_add_ms(
				now, -INT64_C(86400000) * (int64_t)(20 + k));
			(void)snprintf(v->region, sizeof(v->region), "%s",
				       regions[k]);
		}
		w->v[i].copies = w->copies[i];
		w->v[i].n_copies = 2;
	}
}

static void judge(struct world *w, struct instant now)
{
	static struct catalog_decision rows[MOST];
	struct retain_decisions d = { .n = 0 };
	struct buf inputs;
	struct retain_case k = { .now = now,
				 .rules = &w->rules,
				 .cooling_off_ms = INT64_C(604800000),
				 .present = w->n,
				 .v = w->v,
				 .n = w->n };
	struct catalog_evaluation v = { .repository = "main",
					.source = "web",
					.region = "eu",
					.policy = "gold",
					.policy_uid = "p",
					.policy_version = 1,
					.now = now,
					.actor = "snapctld" };
	size_t left = 0;
	int64_t id;

	buf_init(&inputs, RETAIN_INPUTS_MAX);
	must(retain_decide(&k, &d, &e), "decide");
	must(retain_inputs_write(&k, &inputs, &e), "inputs");
	v.inputs_json = buf_str(&inputs);
	for (size_t i = 0; i < d.n; i++)
		rows[i] = (struct catalog_decision){
			.snapshot = w->v[i].id,
			.outcome = retain_outcome_name(d.v[i].verdict),
			.reasons_json = d.v[i].reasons
		};
	must(catalog_evaluation_add(w->c, &v, rows, d.n, &id, &e),
	     "evaluation");
	for (size_t i = 0; i < d.n; i++)
		if (d.v[i].verdict != GUARD_DELETE)
			w->v[left++] = w->v[i];
	w->n = left;
	retain_decisions_done(&d);
	buf_done(&inputs);
}

static void open_catalog(struct world *w, const char *folder, size_t policy)
{
	char path[4096];

	(void)snprintf(path, sizeof(path), "%s/%s.db", folder,
		       policies[policy].name);
	must(catalog_open(path, &w->c, &e), "open");
}

static void take_policy(struct world *w, size_t policy)
{
	struct resource_form form = { .kind = "Policy",
				      .name = "gold",
				      .spec_json = policies[policy].spec };
	struct retain_rules *set = retain_rules_add(&w->rules, &e);

	must(set ? 0 : -1, "rules");
	(void)snprintf(set->name, sizeof(set->name), "gold");
	(void)snprintf(set->uid, sizeof(set->uid), "p");
	set->version = 1;
	must(retain_rules_prepare(set, &form, &e), "policy");
	retain_rules_summarize(&w->rules);
}

/* Of a catalog that is closed: its log has gone into the file. */
static uint64_t size_of(const char *folder, const char *name)
{
	char path[4096];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/%s.db", folder, name);
	return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static void run(const char *folder, size_t policy, int days)
{
	struct world *w = calloc(1, sizeof(*w));
	int next = 50;

	if (!w)
		exit(1);
	take_policy(w, policy);
	open_catalog(w, folder, policy);
	for (int day = 0; day < days; day++) {
		const struct instant now = { .sec = BEGIN_S +
						    (int64_t)day * DAY_S };

		take_snapshot(w, day, now);
		if (policies[policy].verified)
			date_copies(w, now);
		judge(w, now);
		mirror(w, now);
		if (day + 1 != next)
			continue;
		next *= 2;
		catalog_close(w->c);
		(void)printf("%-15s %5d %7zu %9llu %9llu %9llu %11llu %11llu "
			     "%11llu\n",
			     policies[policy].name, day + 1, w->n,
			     (unsigned long long)w->changes,
			     (unsigned long long)w->m.rows[0],
			     (unsigned long long)w->m.rows[1],
			     (unsigned long long)w->m.evaluations,
			     (unsigned long long)w->m.decisions,
			     (unsigned long long)size_of(
				     folder, policies[policy].name));
		open_catalog(w, folder, policy);
	}
	catalog_close(w->c);
	retain_rules_done(&w->rules);
	free(w);
}

int main(int argc, char **argv)
{
	int64_t days = 400;

	if (argc < 2 || (argc > 2 && !text_number(argv[2], 1, MOST, &days))) {
		(void)fprintf(stderr, "usage: retention FOLDER "
				      "[EVALUATIONS]\n");
		return 2;
	}
	(void)printf("%-15s %5s %7s %9s %9s %9s %11s %11s %11s\n", "policy",
		     "days", "there", "rows", "evaluat.", "decisions",
		     "B evaluat.", "B decisions", "B catalog");
	for (size_t i = 0; i < sizeof(policies) / sizeof(policies[0]); i++)
		run(argv[1], i, (int)days);
	return 0;
}

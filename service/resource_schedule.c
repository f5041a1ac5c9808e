#include "service/resource_internal.h"

#include <assert.h>
#include <string.h>

#include "base/text.h"

#define DAYS(n) (INT64_C(n) * 86400 * 1000)

static const struct field blackout_fields[] = {
	{ .key = "cron",
	  .type = FIELD_TEXT,
	  .required = true,
	  .offset = offsetof(struct resource_blackout, cron),
	  .check = resource_field_check_cron,
	  .doc = "when it begins, in the schedule's time zone" },
	{ .key = "for",
	  .type = FIELD_CLOCK,
	  .required = true,
	  .offset = offsetof(struct resource_blackout, for_ms),
	  .min = INT64_C(60) * 1000,
	  .max = DAYS(31),
	  .doc = "how long it lasts" },
	{ 0 }
};

#define MEMBER(m) offsetof(struct resource, schedule.m)
static const struct field selector_fields[] = {
	{ .key = "matchLabels",
	  .type = FIELD_LABELS,
	  .offset = MEMBER(match_labels),
	  .doc = "sources that have all of these labels" },
	{ .key = "names",
	  .type = FIELD_TEXTS,
	  .offset = MEMBER(source_names),
	  .check = resource_field_check_name,
	  .doc = "or sources by name" },
	{ 0 }
};

static const struct field fields[] = {
	{ .key = "cron",
	  .type = FIELD_TEXT,
	  .required = true,
	  .offset = MEMBER(cron),
	  .check = resource_field_check_cron,
	  .doc = "when it is due: five fields, or @daily and the like" },
	{ .key = "timeZone",
	  .type = FIELD_TEXT,
	  .offset = MEMBER(time_zone),
	  .fallback = "UTC",
	  .check = resource_field_check_zone,
	  .doc = "an IANA name: whose clock cron means" },
	{ .key = "sources",
	  .type = FIELD_MAP,
	  .required = true,
	  .fields = selector_fields,
	  .doc = "what is protected: {names: […]} or {matchLabels: {…}}" },
	{ .key = "repository",
	  .type = FIELD_TEXT,
	  .required = true,
	  .offset = MEMBER(repository),
	  .check = resource_field_check_name,
	  .doc = "the Repository that holds the snapshots" },
	{ .key = "policy",
	  .type = FIELD_TEXT,
	  .offset = MEMBER(policy),
	  .check = resource_field_check_name,
	  .doc = "the Policy; without one everything is kept" },
	{ .key = "replicateTo",
	  .type = FIELD_TEXTS,
	  .offset = MEMBER(replicate_to),
	  .check = resource_field_check_name,
	  .doc = "further regions of the repository that get a copy" },
	{ .key = "rpo",
	  .type = FIELD_CLOCK,
	  .offset = MEMBER(rpo_ms),
	  .min = 1000,
	  .max = DAYS(3660),
	  .doc = "how old the newest copy may be, in each region" },
	{ .key = "startWindow",
	  .type = FIELD_CLOCK,
	  .offset = MEMBER(start_window_ms),
	  .min = 1000,
	  .max = DAYS(31),
	  .doc = "how late a run may start; later it is missed" },
	{ .key = "jitter",
	  .type = FIELD_CLOCK,
	  .offset = MEMBER(jitter_ms),
	  .fallback = "0s",
	  .max = DAYS(1),
	  .doc = "starts are spread over this time" },
	{ .key = "catchUp",
	  .type = FIELD_TEXT,
	  .offset = MEMBER(catch_up),
	  .fallback = "one",
	  .choices = "one|all|none",
	  .doc = "what runs of what was due while the daemon was down" },
	{ .key = "overlap",
	  .type = FIELD_TEXT,
	  .offset = MEMBER(overlap),
	  .fallback = "skip",
	  .choices = "skip|queue",
	  .doc = "what happens when the last run is still at work" },
	{ .key = "retries",
	  .type = FIELD_COUNT,
	  .offset = MEMBER(retries),
	  .fallback = "3",
	  .max = 100,
	  .doc = "attempts after a failed one" },
	{ .key = "blackout",
	  .type = FIELD_MAPS,
	  .offset = MEMBER(blackouts),
	  .count_offset = MEMBER(blackout_count),
	  .fields = blackout_fields,
	  .size = sizeof(struct resource_blackout),
	  .doc = "times in which nothing starts" },
	{ .key = "suspend",
	  .type = FIELD_BOOL,
	  .offset = MEMBER(suspend),
	  .fallback = "false",
	  .doc = "nothing is due while this is true" },
	{ 0 }
};

static int check_unique(struct reading *r, const struct resource_texts *texts,
			const struct yaml_node *list)
{
	const struct yaml_node *node;

	if (texts->count > 1000) {
		problem_add(r->problems, yaml_place(r->y, list),
			    "found %zu names, expected at most 1000",
			    texts->count);
		problem_mend(r->problems, "select them by labels");
		return -1;
	}
	node = list ? list->first : NULL;
	for (size_t i = 0; i < texts->count; i++, node = node->next) {
		assert(node);
		for (size_t k = 0; k < i; k++)
			if (strcmp(texts->items[i], texts->items[k]) == 0) {
				problem_add(r->problems, yaml_place(r->y, node),
					    "found %s again, expected it once",
					    text_quote_str(texts->items[i]).s);
				break;
			}
	}
	return 0;
}

static int add_refs(struct reading *r, struct resource *res)
{
	const struct resource_schedule *s = &res->schedule;
	struct resource_ref *ref;

	ref = arena_new(r->arena, (s->source_names.count + 2) * sizeof(*ref),
			r->e);
	if (ref == NULL)
		return -1;
	res->refs = ref;
	if (s->repository)
		*ref++ = (struct resource_ref){ RESOURCE_REPOSITORY,
						s->repository };
	if (s->policy)
		*ref++ = (struct resource_ref){ RESOURCE_POLICY, s->policy };
	for (size_t i = 0; i < s->source_names.count; i++)
		*ref++ = (struct resource_ref){ RESOURCE_SOURCE,
						s->source_names.items[i] };
	res->ref_count = (size_t)(ref - res->refs);
	return 0;
}

static int finish(struct reading *r, struct resource *res,
		  const struct yaml_node *spec)
{
	const struct resource_schedule *s = &res->schedule;
	const struct yaml_node *selector = yaml_get(spec, "sources");
	const struct yaml_node *names = yaml_get(selector, "names");

	if (selector && selector->kind == YAML_MAP &&
	    (s->match_labels.count > 0) == (s->source_names.count > 0)) {
		problem_add(r->problems, yaml_place(r->y, selector),
			    "found %s, expected either names or matchLabels",
			    s->source_names.count > 0 ? "both" : "neither");
		problem_mend(r->problems, "write it as {names: [web-config]}");
	}
	if (check_unique(r, &s->source_names, names) < 0)
		return 0;
	if (check_unique(r, &s->replicate_to, yaml_get(spec, "replicateTo")) <
	    0)
		return 0;
	return add_refs(r, res);
}

const struct resource_type resource_schedule_type = {
	.name = "Schedule",
	.plural = "schedules",
	.fields = fields,
	.finish = finish,
};

#include "service/resource_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "service/operation.h"
#include "storage/repository/guards.h"

static const char *nth_rule(void *arg, size_t n)
{
	(void)arg;
	return n < RETENTION_RULES ? retention_kind_name((enum retention_kind)n)
				   : NULL;
}

static void unknown_rule(struct reading *r, const struct yaml_node *node)
{
	const char *nearest = operation_nearest(node->key, nth_rule, NULL);

	problem_add(r->problems, yaml_key_place(r->y, node),
		    "found the key %s, which spec.retention does not have",
		    text_quote_str(node->key).s);
	problem_mend(r->problems, "did you mean \"%s\"?",
		     nearest ? nearest : "keep-daily");
}

static int read_count(struct reading *r, const struct yaml_node *node,
		      enum retention_kind kind, struct retention_policy *p)
{
	struct err why;

	if (node->kind == YAML_INT &&
	    retention_add_count(p, kind, node->number, &why) == 0)
		return 0;
	resource_field_expected(r, node,
				"a whole number from 0, or -1 for all");
	return 0;
}

static int read_duration(struct reading *r, const struct yaml_node *node,
			 enum retention_kind kind, struct retention_policy *p)
{
	struct err why;
	int64_t ms;

	if (node->kind == YAML_TEXT &&
	    retention_add_duration(p, kind, node->text, &why) == 0)
		return 0;
	resource_field_expected(
		r, node,
		"a duration of calendar time as 1y2m3d (y, m = months, "
		"w, d, h)");
	if (node->kind == YAML_TEXT &&
	    instant_duration_parse(node->text, &ms, &why) == 0)
		problem_mend(r->problems,
			     "minutes and seconds do not stand in retention");
	return 0;
}

/* Others than those that `snapshot create` accepts match no snapshot. */
static bool is_tag(const struct reading *r, const struct yaml_node *node)
{
	return node->kind == YAML_TEXT && node->len > 0 &&
	       (r->stored || node->text[0] != '=');
}

static int read_tags(struct reading *r, const struct yaml_node *node,
		     struct retention_policy *p)
{
	const struct yaml_node *item;
	const char **tags;
	struct err why;
	size_t n = 0;

	if (node->kind != YAML_LIST || node->count == 0) {
		resource_field_expected(r, node, "a list of tags");
		return 0;
	}
	tags = arena_new(r->arena, node->count * sizeof(*tags), r->e);
	if (tags == NULL)
		return -1;
	for (item = node->first; item; item = item->next) {
		if (!is_tag(r, item)) {
			resource_field_expected(
				r, item, "a tag as KEY=VALUE, or KEY alone");
			return 0;
		}
		tags[n] = arena_text(r->arena, item->text, item->len, r->e);
		if (tags[n++] == NULL)
			return -1;
	}
	if (retention_add_tags(p, tags, n, &why) < 0)
		problem_add(r->problems, yaml_place(r->y, node), "%s",
			    why.text);
	return 0;
}

int resource_field_read_rules(struct reading *r, const struct yaml_node *map,
			      struct retention_policy *ret)
{
	const struct yaml_node *node;
	enum retention_kind kind;
	int rc = 0;

	if (map->kind != YAML_MAP) {
		resource_field_expected(r, map,
					"a map of rules as {keep-daily: 7}");
		return 0;
	}
	for (node = map->first; node && rc == 0; node = node->next) {
		if (!retention_kind_named(node->key, &kind)) {
			unknown_rule(r, node);
			continue;
		}
		switch (retention_kind_value(kind)) {
		case RETENTION_COUNT:
			rc = read_count(r, node, kind, ret);
			break;
		case RETENTION_DURATION:
			rc = read_duration(r, node, kind, ret);
			break;
		case RETENTION_TAG_LIST:
			rc = read_tags(r, node, ret);
			break;
		}
	}
	return rc;
}

static void write_rule(const struct retention_rule *rule, struct json *j)
{
	char text[DURATION_TEXT];

	json_key(j, retention_kind_name(rule->kind));
	switch (retention_kind_value(rule->kind)) {
	case RETENTION_COUNT:
		json_int(j, rule->count);
		break;
	case RETENTION_DURATION:
		duration_format(rule->within, text);
		json_str(j, text);
		break;
	case RETENTION_TAG_LIST:
		json_begin_list(j);
		for (size_t i = 0; i < rule->n_tags; i++)
			json_str(j, rule->tags[i]);
		json_end_list(j);
		break;
	}
}

/* In the order of the kinds, whatever the manifest's. */
void resource_field_write_rules(const struct retention_policy *p,
				struct json *j)
{
	json_begin_object(j);
	for (int kind = 0; kind < RETENTION_RULES; kind++)
		for (size_t i = 0; i < p->n_rules; i++)
			if ((int)p->rules[i].kind == kind)
				write_rule(&p->rules[i], j);
	json_end_object(j);
}

#define MEMBER(m) offsetof(struct resource, policy.m)
#define YEARS(n)  (INT64_C(n) * 366 * 86400 * 1000)
static const struct field floor_fields[] = {
	{ .key = "snapshots",
	  .type = FIELD_COUNT,
	  .required = true,
	  .offset = MEMBER(floor_snapshots),
	  .min = 1,
	  .max = 1000000,
	  .doc = "so many snapshots must remain" },
	{ .key = "verifiedWithin",
	  .type = FIELD_CLOCK,
	  .required = true,
	  .offset = MEMBER(floor_verified_within_ms),
	  .min = INT64_C(60) * 1000,
	  .max = YEARS(100),
	  .doc = "whose copies were verified within this time" },
	{ .key = "regions",
	  .type = FIELD_COUNT,
	  .offset = MEMBER(floor_regions),
	  .fallback = "1",
	  .min = 1,
	  .max = 16,
	  .doc = "in at least so many regions" },
	{ 0 }
};

static const struct field fields[] = {
	{ .key = "timeZone",
	  .type = FIELD_TEXT,
	  .offset = MEMBER(time_zone),
	  .fallback = "UTC",
	  .check = resource_field_check_zone,
	  .doc = "an IANA name: where days, weeks and months begin" },
	{ .key = "retention",
	  .type = FIELD_RULES,
	  .offset = MEMBER(retention),
	  .doc = "what is kept; without rules everything is" },
	{ .key = "floor",
	  .type = FIELD_MAP,
	  .fields = floor_fields,
	  .doc = "what must remain, whatever the rules say" },
	{ .key = "lock",
	  .type = FIELD_CLOCK,
	  .offset = MEMBER(lock_ms),
	  .min = 1000,
	  .max = GUARDS_LOCK_MAX_MS,
	  .doc = "no snapshot is deleted before this age, of ten years at "
		 "most" },
	{ 0 }
};

const struct resource_type resource_policy_type = {
	.name = "Policy",
	.plural = "policies",
	.fields = fields,
};

#include "service/resource_internal.h"

#include <assert.h>
#include <string.h>

static const struct field check_fields[] = {
	{ .key = "type",
	  .type = FIELD_TEXT,
	  .required = true,
	  .offset = offsetof(struct resource_check, type),
	  .choices = "tree|command",
	  .doc = "tree compares with the manifest, command runs one" },
	{ .key = "argv",
	  .type = FIELD_TEXTS,
	  .offset = offsetof(struct resource_check, argv),
	  .doc = "the program and its arguments, run in the restored tree" },
	{ .key = "user",
	  .type = FIELD_TEXT,
	  .offset = offsetof(struct resource_check, user),
	  .check = resource_field_check_text,
	  .doc = "run the command as this user; as nobody when absent" },
	{ .key = "timeout",
	  .type = FIELD_CLOCK,
	  .offset = offsetof(struct resource_check, timeout_ms),
	  .fallback = "5m",
	  .min = 1000,
	  .max = INT64_C(86400) * 1000,
	  .doc = "the command is killed after this time" },
	{ 0 }
};

static bool only_tree(const void *base)
{
	const struct resource_drill *d =
		&((const struct resource *)base)->drill;

	return d->check_count == 1 && strcmp(d->checks[0].type, "tree") == 0;
}

#define MEMBER(m) offsetof(struct resource, drill.m)
static const struct field fields[] = {
	{ .key = "cron",
	  .type = FIELD_TEXT,
	  .required = true,
	  .offset = MEMBER(cron),
	  .check = resource_field_check_cron,
	  .doc = "when it is due: five fields, or @weekly and the like" },
	{ .key = "timeZone",
	  .type = FIELD_TEXT,
	  .offset = MEMBER(time_zone),
	  .fallback = "UTC",
	  .check = resource_field_check_zone,
	  .doc = "an IANA name: whose clock cron means" },
	{ .key = "schedule",
	  .type = FIELD_TEXT,
	  .required = true,
	  .offset = MEMBER(schedule),
	  .check = resource_field_check_name,
	  .doc = "the Schedule whose newest snapshots are restored" },
	{ .key = "region",
	  .type = FIELD_TEXT,
	  .offset = MEMBER(region),
	  .check = resource_field_check_name,
	  .doc = "restore from this region; when absent from the primary or, "
		 "if that is shut away, from the best of the others" },
	{ .key = "without",
	  .type = FIELD_TEXTS,
	  .offset = MEMBER(without),
	  .check = resource_field_check_name,
	  .doc = "regions that are shut away meanwhile: it has to do without "
		 "them" },
	{ .key = "rto",
	  .type = FIELD_CLOCK,
	  .offset = MEMBER(rto_ms),
	  .min = 1000,
	  .max = INT64_C(366) * 86400 * 1000,
	  .doc = "the restore must be done within this time" },
	{ .key = "checks",
	  .type = FIELD_MAPS,
	  .offset = MEMBER(checks),
	  .count_offset = MEMBER(check_count),
	  .fields = check_fields,
	  .size = sizeof(struct resource_check),
	  .is_default = only_tree,
	  .fallback = "[{type: tree}]",
	  .doc = "what must hold afterwards" },
	{ 0 }
};

static void check_argv(struct reading *r, const struct resource_check *check,
		       const struct yaml_node *node)
{
	static const char *const only[] = { "argv", "user", "timeout" };
	const struct yaml_node *argv = yaml_get(node, "argv");
	bool command;

	if (check->type == NULL)
		return;
	command = strcmp(check->type, "command") == 0;
	if (command && argv == NULL)
		problem_add(r->problems, yaml_place(r->y, node),
			    "found no \"argv\", expected one in a check of "
			    "type command");
	for (size_t i = 0; !command && i < sizeof(only) / sizeof(only[0]); i++)
		if (yaml_get(node, only[i]))
			problem_add(
				r->problems,
				yaml_key_place(r->y, yaml_get(node, only[i])),
				"found \"%s\", expected it only in a "
				"check of type command",
				only[i]);
	if (command && argv && argv->kind == YAML_LIST &&
	    (argv->count == 0 || check->argv.items[0][0] == '\0'))
		problem_add(r->problems, yaml_place(r->y, argv),
			    "found no program, expected one in argv");
}

static int finish(struct reading *r, struct resource *res,
		  const struct yaml_node *spec)
{
	struct resource_drill *d = &res->drill;
	const struct yaml_node *list = yaml_get(spec, "checks");
	const struct yaml_node *node = list ? list->first : NULL;

	for (size_t i = 0; i < d->check_count; i++, node = node->next) {
		assert(node);
		check_argv(r, &d->checks[i], node);
	}
	if (d->check_count == 0) {
		d->checks = arena_new(r->arena, sizeof(*d->checks), r->e);
		if (d->checks == NULL)
			return -1;
		d->checks[0].type = "tree";
		d->check_count = 1;
	}
	res->refs = arena_new(r->arena, sizeof(*res->refs), r->e);
	if (res->refs == NULL)
		return -1;
	if (d->schedule)
		res->refs[res->ref_count++] =
			(struct resource_ref){ RESOURCE_SCHEDULE, d->schedule };
	return 0;
}

const struct resource_type resource_drill_type = {
	.name = "Drill",
	.plural = "drills",
	.fields = fields,
	.finish = finish,
};

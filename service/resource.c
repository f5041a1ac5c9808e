#include "service/resource_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "service/operation.h"

/* What one stored resource may take; its text is 1 MiB at most. */
#define ARENA_MAX ((size_t)8 << 20)

struct owned {
	struct resource resource; /* first: resource_free() gets its address */
	struct arena arena;
};

static const struct resource_type *const types[RESOURCE_KINDS] = {
	[RESOURCE_REPOSITORY] = &resource_repository_type,
	[RESOURCE_POLICY] = &resource_policy_type,
	[RESOURCE_SOURCE] = &resource_source_type,
	[RESOURCE_SCHEDULE] = &resource_schedule_type,
	[RESOURCE_DRILL] = &resource_drill_type,
};

const struct resource_type *resource_type_of(enum resource_kind kind)
{
	assert(kind < RESOURCE_KINDS);
	return types[kind];
}

const char *resource_kind_name(enum resource_kind kind)
{
	return resource_type_of(kind)->name;
}

static const char *nth_kind(void *arg, size_t n)
{
	(void)arg;
	return n < RESOURCE_KINDS ? types[n]->name : NULL;
}

int resource_kind_named(const char *name, enum resource_kind *ret,
			struct err *e)
{
	const char *nearest;

	for (unsigned int i = 0; i < RESOURCE_KINDS; i++) {
		if (strcasecmp(name, types[i]->name) != 0 &&
		    strcasecmp(name, types[i]->plural) != 0)
			continue;
		*ret = (enum resource_kind)i;
		return 0;
	}
	(void)err_set(e, ERR_USAGE,
		      "found the kind %s, expected Repository, Policy, Source, "
		      "Schedule or Drill",
		      text_quote_str(name).s);
	nearest = operation_nearest(name, nth_kind, NULL);
	if (nearest)
		(void)err_hint(e, "did you mean \"%s\"?", nearest);
	return -1;
}

static bool lower_or_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool resource_name_valid(const char *name)
{
	const size_t n = strlen(name);

	if (n == 0 || n > RESOURCE_NAME_MAX || !lower_or_digit(name[0]) ||
	    !lower_or_digit(name[n - 1]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!lower_or_digit(name[i]) && name[i] != '-')
			return false;
	return true;
}

int resource_new(struct resource **ret, struct arena **ret_arena, struct err *e)
{
	struct owned *o = calloc(1, sizeof(*o));

	if (o == NULL)
		return err_oom(e);
	arena_init(&o->arena, ARENA_MAX);
	*ret = &o->resource;
	*ret_arena = &o->arena;
	return 0;
}

void resource_free(struct resource *r)
{
	struct owned *o = (struct owned *)r;

	if (o == NULL)
		return;
	arena_done(&o->arena);
	free(o);
}

int resource_read(struct reading *r, enum resource_kind kind,
		  const struct yaml_node *labels, const struct yaml_node *spec,
		  struct resource *base)
{
	const struct resource_type *type = resource_type_of(kind);

	base->kind = kind;
	if (labels && resource_field_read_labels(r, labels, &base->labels) < 0)
		return -1;
	if (resource_field_read(r, type->fields, spec, "spec", base) < 0)
		return -1;
	if (type->finish == NULL || spec->kind != YAML_MAP)
		return 0;
	return type->finish(r, base, spec);
}

/* ---- From what was stored ------------------------------------------------ */

static int read_stored(struct reading *r, const char *json,
		       struct yaml **ret_tree)
{
	if (yaml_parse("the stored resource", json, strlen(json), ret_tree,
		       r->problems, r->e) < 0)
		return -1;
	if (yaml_count(*ret_tree) == 1)
		return 0;
	return err_set(r->e, ERR_CORRUPT, "it is not one JSON value");
}

static int read_form(struct reading *r, const struct resource_form *form,
		     struct resource *res)
{
	CLEANUP(yaml_free) struct yaml *labels = NULL;
	CLEANUP(yaml_free) struct yaml *spec = NULL;
	enum resource_kind kind;

	if (resource_kind_named(form->kind, &kind, r->e) < 0)
		return -1;
	if (form->labels_json && read_stored(r, form->labels_json, &labels) < 0)
		return -1;
	if (read_stored(r, form->spec_json, &spec) < 0)
		return -1;
	r->y = spec;
	res->name = arena_text(r->arena, form->name, strlen(form->name), r->e);
	if (res->name == NULL)
		return -1;
	if (!resource_name_valid(form->name))
		return err_set(r->e, ERR_CORRUPT, "its name is none");
	return resource_read(r, kind, labels ? yaml_document(labels, 0) : NULL,
			     yaml_document(spec, 0), res);
}

int resource_from_form(const struct resource_form *form, struct resource **ret,
		       struct err *e)
{
	CLEANUP(resource_free) struct resource *res = NULL;
	CLEANUP(problem_done) struct problem_list problems;
	struct reading r = { .problems = &problems, .e = e, .stored = true };
	int rc;

	problem_init(&problems);
	if (resource_new(&res, &r.arena, e) < 0)
		return -1;
	rc = read_form(&r, form, res);
	if (rc == 0)
		rc = problem_err(&problems, e);
	if (rc == 0) {
		*ret = TAKE(res);
		return 0;
	}
	/* Not this user's fault: it was valid when it was stored. */
	if (e->code == ERR_USAGE)
		e->code = ERR_CORRUPT;
	return err_wrap(e, "stored %s %s", form->kind,
			text_quote_str(form->name).s);
}

/* ---- Questions ------------------------------------------------------------
 */

bool resource_has_argv(const struct resource *r)
{
	if (r->kind == RESOURCE_SOURCE)
		return r->source.hook_count > 0 || r->source.argv.count > 0;
	if (r->kind != RESOURCE_DRILL)
		return false;
	for (size_t i = 0; i < r->drill.check_count; i++)
		if (r->drill.checks[i].argv.count > 0)
			return true;
	return false;
}

static bool has_label(const struct resource_labels *labels,
		      const struct resource_label *want)
{
	for (size_t i = 0; i < labels->count; i++)
		if (strcmp(labels->items[i].key, want->key) == 0)
			return strcmp(labels->items[i].value, want->value) == 0;
	return false;
}

bool resource_selects(const struct resource *schedule,
		      const struct resource *source)
{
	const struct resource_schedule *s = &schedule->schedule;

	assert(schedule->kind == RESOURCE_SCHEDULE);
	assert(source->kind == RESOURCE_SOURCE);
	for (size_t i = 0; i < s->source_names.count; i++)
		if (strcmp(s->source_names.items[i], source->name) == 0)
			return true;
	for (size_t i = 0; i < s->match_labels.count; i++)
		if (!has_label(&source->labels, &s->match_labels.items[i]))
			return false;
	return s->match_labels.count > 0;
}

const struct resource_region *resource_region(const struct resource *repository,
					      const char *name)
{
	const struct resource_repository *repo = &repository->repository;

	assert(repository->kind == RESOURCE_REPOSITORY);
	for (size_t i = 0; i < repo->region_count; i++)
		if (name ? strcmp(repo->regions[i].name, name) == 0
			 : repo->regions[i].primary)
			return &repo->regions[i];
	return NULL;
}

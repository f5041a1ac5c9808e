#include "service/resource_set_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "service/operation.h"

/* More documents in one apply than anyone reviews. */
#define DOCUMENTS_MAX 10000

int resource_set_new(struct resource_set **ret, struct err *e)
{
	struct resource_set *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return err_oom(e);
	*ret = s;
	return 0;
}

void resource_set_free(struct resource_set *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < s->count; i++)
		resource_free(s->items[i].resource);
	for (size_t i = 0; i < s->broken_count; i++)
		resource_free(s->broken[i].resource);
	for (size_t i = 0; i < s->file_count; i++)
		yaml_free(s->files[i]);
	free(s->items);
	free(s->broken);
	free(s->files);
	free(s);
}

/* ---- Reading documents --------------------------------------------------- */

static const char *nth_part(void *arg, size_t n)
{
	static const char *const parts[] = { "apiVersion", "kind", "metadata",
					     "spec",	   "name", "labels" };
	const bool metadata = *(const bool *)arg;

	if (n >= (metadata ? 2U : 4U))
		return NULL;
	return parts[metadata ? n + 4 : n];
}

static void check_parts(struct reading *r, const struct yaml_node *map,
			bool metadata)
{
	const struct yaml_node *node;
	const char *part;
	size_t i;

	for (node = map->first; node; node = node->next) {
		for (i = 0; (part = nth_part(&metadata, i)); i++)
			if (strcmp(part, node->key) == 0)
				break;
		if (part)
			continue;
		problem_add(r->problems, yaml_key_place(r->y, node),
			    "found the key %s, which %s does not have",
			    text_quote_str(node->key).s,
			    metadata ? "metadata" : "a manifest");
		part = operation_nearest(node->key, nth_part, &metadata);
		if (part)
			problem_mend(r->problems, "did you mean \"%s\"?", part);
		else
			problem_mend(r->problems, "it has %s",
				     metadata ? "name, labels"
					      : "apiVersion, kind, metadata, "
						"spec");
	}
}

/* The value of a part that must be there and of this kind, or NULL. */
static const struct yaml_node *need(struct reading *r,
				    const struct yaml_node *map,
				    const char *key, enum yaml_kind kind)
{
	const struct yaml_node *node = yaml_get(map, key);

	if (node && node->kind == kind)
		return node;
	if (node) {
		resource_field_expected(r, node,
					kind == YAML_MAP ? "a map" : "text");
		if (kind == YAML_TEXT && node->kind > YAML_NULL &&
		    node->kind < YAML_TEXT)
			problem_mend(r->problems, "put it in quotes");
	} else
		problem_add(r->problems, yaml_place(r->y, map),
			    "found no \"%s\", expected one", key);
	return NULL;
}

static bool check_version(struct reading *r, const struct yaml_node *document)
{
	const struct yaml_node *v = need(r, document, "apiVersion", YAML_TEXT);

	if (v && strcmp(v->text, RESOURCE_API_VERSION) != 0)
		resource_field_expected(r, v, RESOURCE_API_VERSION);
	return v != NULL;
}

static bool check_kind(struct reading *r, const struct yaml_node *document,
		       enum resource_kind *ret)
{
	const struct yaml_node *kind = need(r, document, "kind", YAML_TEXT);
	struct err why;
	bool known;

	if (kind == NULL)
		return false;
	known = resource_kind_named(kind->text, ret, &why) == 0;
	if (known && strcmp(kind->text, resource_kind_name(*ret)) == 0)
		return true;
	problem_add(r->problems, yaml_place(r->y, kind),
		    "found the kind %s, expected Repository, Policy, Source, "
		    "Schedule or Drill",
		    text_quote_str(kind->text).s);
	if (known)
		problem_mend(r->problems, "write it as %s",
			     resource_kind_name(*ret));
	else if (why.hint[0])
		problem_mend(r->problems, "%s", why.hint);
	return false;
}

static int read_document(struct reading *r, const struct yaml_node *document,
			 struct resource *res)
{
	const struct yaml_node *metadata, *spec, *name = NULL;
	enum resource_kind kind;
	const char *text;

	if (document->kind != YAML_MAP) {
		resource_field_expected(r, document,
					"a manifest, which is a map");
		return 0;
	}
	check_parts(r, document, false);
	check_version(r, document);
	metadata = need(r, document, "metadata", YAML_MAP);
	if (metadata) {
		check_parts(r, metadata, true);
		name = need(r, metadata, "name", YAML_TEXT);
	}
	if (name) {
		text = arena_text(r->arena, name->text, name->len, r->e);
		res->name = text;
		if (text == NULL ||
		    resource_field_check_name(r, name, &text) < 0)
			return -1;
	}
	spec = need(r, document, "spec", YAML_MAP);
	/* Of an unknown kind nothing more can be said. */
	if (!check_kind(r, document, &kind) || spec == NULL)
		return 0;
	return resource_read(r, kind, yaml_get(metadata, "labels"), spec, res);
}

static int add_document(struct resource_set *s, struct reading *r,
			const struct yaml_node *document)
{
	CLEANUP(resource_free) struct resource *res = NULL;
	const size_t before = r->problems->errors;
	struct set_item item;

	if (resource_new(&res, &r->arena, r->e) < 0)
		return -1;
	if (read_document(r, document, res) < 0) {
		if (r->e->code != ERR_USAGE)
			return -1;
		problem_add(r->problems, yaml_place(r->y, document), "%s",
			    r->e->text);
	}
	item = (struct set_item){ TAKE(res), r->y, document, s->file_count };
	if (r->problems->errors == before)
		s->items[s->count++] = item;
	else
		s->broken[s->broken_count++] = item;
	return 0;
}

static int grow(struct resource_set *s, size_t more, struct err *e)
{
	struct set_item *items;
	struct yaml **files;

	items = realloc(s->items, (s->count + more) * sizeof(*items));
	if (items == NULL)
		return err_oom(e);
	s->items = items;
	items = realloc(s->broken, (s->broken_count + more) * sizeof(*items));
	if (items == NULL)
		return err_oom(e);
	s->broken = items;
	files = realloc(s->files, (s->file_count + 1) * sizeof(*files));
	if (files == NULL)
		return err_oom(e);
	s->files = files;
	return 0;
}

static int by_kind(const void *a, const void *b)
{
	const struct set_item *x = a;
	const struct set_item *y = b;

	int c = strcmp(x->resource->name, y->resource->name);

	if (x->resource->kind != y->resource->kind)
		return x->resource->kind < y->resource->kind ? -1 : 1;
	if (c != 0)
		return c;
	/* Of two with one name the later stands behind. */
	if (x->file != y->file)
		return x->file < y->file ? -1 : 1;
	return x->document->line < y->document->line ? -1 : 1;
}

int resource_set_add(struct resource_set *s, const char *label,
		     const char *text, size_t n, struct problem_list *problems,
		     struct err *e)
{
	struct reading r = { .problems = problems, .e = e };
	const struct yaml_node *document;
	struct yaml *y;

	if (yaml_parse(label, text, n, &y, problems, e) < 0)
		return e->code == ERR_USAGE && problems->errors > 0 ? 0 : -1;
	r.y = y;
	if (s->count + yaml_count(y) > DOCUMENTS_MAX) {
		problem_add(problems, (struct problem_place){ label, 0, 0 },
			    "found %zu documents, expected at most %d",
			    s->count + yaml_count(y), DOCUMENTS_MAX);
		yaml_free(y);
		return 0;
	}
	if (grow(s, yaml_count(y) + 1, e) < 0) {
		yaml_free(y);
		return -1;
	}
	s->files[s->file_count++] = y;
	if (yaml_count(y) == 0) {
		problem_add(problems, (struct problem_place){ label, 0, 0 },
			    "found no document, expected at least one");
		return 0;
	}
	document = yaml_document(y, 0);
	for (; document; document = document->next)
		if (add_document(s, &r, document) < 0)
			return -1;
	qsort(s->items, s->count, sizeof(*s->items), by_kind);
	return 0;
}

size_t resource_set_count(const struct resource_set *s)
{
	return s->count;
}

const struct resource *resource_set_get(const struct resource_set *s, size_t n)
{
	assert(n < s->count);
	return s->items[n].resource;
}

struct problem_place resource_set_place(const struct resource_set *s, size_t n)
{
	assert(n < s->count);
	return yaml_place(s->items[n].y, s->items[n].document);
}

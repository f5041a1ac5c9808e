#include "service/resource_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/instant.h"

static const void *member_of(const struct field *f, const void *base)
{
	return (const char *)base + f->offset;
}

static size_t maps_count(const struct field *f, const void *base)
{
	return *(const size_t *)(const void *)((const char *)base +
					       f->count_offset);
}

static bool is_default(const struct field *f, const void *base);

static bool all_default(const struct field *fields, const void *base)
{
	for (; fields->key; fields++)
		if (!is_default(fields, base))
			return false;
	return true;
}

/* A map that is absent leaves zeros, not the fallbacks of its fields. */
static bool all_zero(const struct field *fields, const void *base)
{
	for (; fields->key; fields++) {
		struct field bare = *fields;

		bare.fallback = NULL;
		if (!is_default(&bare, base))
			return false;
	}
	return true;
}

static bool text_is_default(const struct field *f, const char *text)
{
	if (text == NULL)
		return true;
	return f->fallback && strcmp(text, f->fallback) == 0;
}

static bool is_default(const struct field *f, const void *base)
{
	const void *member = member_of(f, base);

	if (f->is_default)
		return f->is_default(base);
	switch (f->type) {
	case FIELD_TEXT:
		return text_is_default(f, *(const char *const *)member);
	case FIELD_TEXTS:
		return ((const struct resource_texts *)member)->count == 0;
	case FIELD_BOOL:
		return !*(const bool *)member;
	case FIELD_COUNT:
	case FIELD_CLOCK:
		return *(const int64_t *)member == resource_field_fallback(f);
	case FIELD_RATE:
		return *(const uint64_t *)member == 0;
	case FIELD_SIZE:
		return *(const uint64_t *)member ==
		       (uint64_t)resource_field_fallback(f);
	case FIELD_LABELS:
		return ((const struct resource_labels *)member)->count == 0;
	case FIELD_MAP:
		return all_default(f->fields, base) ||
		       (!f->fallback && all_zero(f->fields, base));
	case FIELD_MAPS:
		return maps_count(f, base) == 0;
	case FIELD_RULES:
		return ((const struct retention_policy *)member)->n_rules == 0;
	}
	return true;
}

static void write_texts(const struct resource_texts *t, struct json *j)
{
	json_begin_list(j);
	for (size_t i = 0; i < t->count; i++)
		json_str(j, t->items[i]);
	json_end_list(j);
}

static void write_labels(const struct resource_labels *l, struct json *j)
{
	json_begin_object(j);
	for (size_t i = 0; i < l->count; i++)
		json_kv_str(j, l->items[i].key, l->items[i].value);
	json_end_object(j);
}

static void write_clock(int64_t ms, struct json *j)
{
	char text[INSTANT_TEXT];

	instant_duration_format(ms, text);
	json_str(j, text);
}

/* With the largest unit that leaves no remainder. */
static void write_bytes(uint64_t bytes, struct json *j)
{
	static const char units[] = "KMGT";
	char text[32];
	size_t n = 0;

	while (n < 4 && bytes && bytes % 1024 == 0) {
		bytes /= 1024;
		n++;
	}
	(void)snprintf(text, sizeof(text), "%" PRIu64 "%.*s", bytes, n ? 1 : 0,
		       n ? &units[n - 1] : "");
	json_str(j, text);
}

static void write_map(const struct field *fields, const void *base,
		      struct json *j);

static void write_maps(const struct field *f, const void *base, struct json *j)
{
	const char *item = *(const char *const *)(const void *)member_of(f,
									 base);
	size_t n = maps_count(f, base);

	json_begin_list(j);
	for (size_t i = 0; i < n; i++)
		write_map(f->fields, item + i * f->size, j);
	json_end_list(j);
}

static void write_value(const struct field *f, const void *base, struct json *j)
{
	const void *member = member_of(f, base);

	switch (f->type) {
	case FIELD_TEXT:
		json_str(j, *(const char *const *)member);
		break;
	case FIELD_TEXTS:
		write_texts(member, j);
		break;
	case FIELD_BOOL:
		json_bool(j, *(const bool *)member);
		break;
	case FIELD_COUNT:
		json_int(j, *(const int64_t *)member);
		break;
	case FIELD_CLOCK:
		write_clock(*(const int64_t *)member, j);
		break;
	case FIELD_RATE:
	case FIELD_SIZE:
		write_bytes(*(const uint64_t *)member, j);
		break;
	case FIELD_LABELS:
		write_labels(member, j);
		break;
	case FIELD_MAP:
		write_map(f->fields, base, j);
		break;
	case FIELD_MAPS:
		write_maps(f, base, j);
		break;
	case FIELD_RULES:
		resource_field_write_rules(member, j);
		break;
	}
}

static void write_map(const struct field *fields, const void *base,
		      struct json *j)
{
	json_begin_object(j);
	for (; fields->key; fields++) {
		if (is_default(fields, base))
			continue;
		json_key(j, fields->key);
		write_value(fields, base, j);
	}
	json_end_object(j);
}

void resource_write_labels(const struct resource *r, struct json *j)
{
	write_labels(&r->labels, j);
}

void resource_write_spec(const struct resource *r, struct json *j)
{
	write_map(resource_type_of(r->kind)->fields, r, j);
}

void resource_write(const struct resource *r, struct json *j)
{
	json_begin_object(j);
	json_kv_str(j, "apiVersion", RESOURCE_API_VERSION);
	json_kv_str(j, "kind", resource_kind_name(r->kind));
	json_key(j, "metadata");
	json_begin_object(j);
	json_kv_str(j, "name", r->name);
	if (r->labels.count > 0) {
		json_key(j, "labels");
		resource_write_labels(r, j);
	}
	json_end_object(j);
	json_key(j, "spec");
	resource_write_spec(r, j);
	json_end_object(j);
}

static void describe_fields(const struct field *fields, const char *where,
			    struct json *j)
{
	static const char *const types[] = {
		[FIELD_TEXT] = "text",	       [FIELD_TEXTS] = "list of texts",
		[FIELD_BOOL] = "true|false",   [FIELD_COUNT] = "number",
		[FIELD_CLOCK] = "duration",    [FIELD_RATE] = "bytes a second",
		[FIELD_LABELS] = "labels",     [FIELD_MAP] = "map",
		[FIELD_MAPS] = "list of maps", [FIELD_RULES] = "rules",
		[FIELD_SIZE] = "bytes",
	};
	char path[128];

	for (; fields->key; fields++) {
		(void)snprintf(path, sizeof(path), "%s.%s%s", where,
			       fields->key,
			       fields->type == FIELD_MAPS ? "[]" : "");
		json_begin_object(j);
		json_kv_str(j, "path", path);
		json_kv_str(j, "type",
			    fields->choices ? fields->choices
					    : types[fields->type]);
		json_kv_bool(j, "required", fields->required);
		json_kv_str(j, "default", fields->fallback);
		json_kv_str(j, "doc", fields->doc);
		json_end_object(j);
		if (fields->fields)
			describe_fields(fields->fields, path, j);
	}
}

void resource_describe(enum resource_kind kind, struct json *j)
{
	json_begin_list(j);
	describe_fields(resource_type_of(kind)->fields, "spec", j);
	json_end_list(j);
}

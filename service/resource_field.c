#include "service/resource_internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/instant.h"
#include "base/text.h"
#include "schedules/cron.h"
#include "service/operation.h"
#include "service/zoneinfo.h"

void resource_field_expected(struct reading *r, const struct yaml_node *node,
			     const char *expected)
{
	problem_add(r->problems, yaml_place(r->y, node),
		    "found %s, expected %s", yaml_found(node).s, expected);
}

/* ---- Texts ----------------------------------------------------------------
 */

int resource_field_check_name(struct reading *r, const struct yaml_node *node,
			      const char **text)
{
	if (!resource_name_valid(*text))
		resource_field_expected(
			r, node,
			"a name of a-z, 0-9 and - (not first or last), "
			"at most 63 long");
	return 0;
}

int resource_field_check_text(struct reading *r, const struct yaml_node *node,
			      const char **text)
{
	if ((*text)[0] == '\0')
		resource_field_expected(r, node, "a text that is not empty");
	return 0;
}

int resource_field_check_cron(struct reading *r, const struct yaml_node *node,
			      const char **text)
{
	struct cron ignored;
	struct err why;

	if (cron_parse(*text, &ignored, &why) == 0)
		return 0;
	problem_add(r->problems, yaml_place(r->y, node), "%s", why.text);
	if (why.hint[0])
		problem_mend(r->problems, "%s", why.hint);
	return 0;
}

int resource_field_check_zone(struct reading *r, const struct yaml_node *node,
			      const char **text)
{
	CLEANUP(zone_free) struct zone *z = NULL;
	struct err why;

	if (strcmp(*text, "UTC") == 0 || zoneinfo_load(*text, &z, &why) == 0)
		return 0;
	problem_add(r->problems, yaml_place(r->y, node), "%s", why.text);
	if (why.hint[0])
		problem_mend(r->problems, "%s", why.hint);
	return 0;
}

/* "one|all|none" as "one, all or none". */
static void spell_choices(const char *choices, char *out, size_t size)
{
	size_t used = 0;

	for (const char *p = choices; *p && used + 1 < size;) {
		size_t n = strcspn(p, "|");
		const char *rest = p[n] ? p + n + 1 : p + n;
		const char *join = *rest == '\0'       ? ""
				   : strchr(rest, '|') ? ", "
						       : " or ";
		int k = snprintf(out + used, size - used, "%.*s%s", (int)n, p,
				 join);

		used += k > 0 ? (size_t)k : 0;
		p = rest;
	}
}

static bool is_choice(const char *choices, const char *text)
{
	const size_t n = strlen(text);

	for (const char *p = choices; *p;) {
		size_t k = strcspn(p, "|");

		if (k == n && memcmp(p, text, n) == 0)
			return true;
		p += p[k] ? k + 1 : k;
	}
	return false;
}

static int read_text(struct reading *r, const struct field *f,
		     const struct yaml_node *node, const char **ret)
{
	char expected[160] = "text";
	const char *text = node->text;

	if (f->choices)
		spell_choices(f->choices, expected, sizeof(expected));
	if (node->kind != YAML_TEXT) {
		resource_field_expected(r, node, expected);
		if (node->kind > YAML_NULL && node->kind < YAML_TEXT)
			problem_mend(r->problems, "put it in quotes");
		return 0;
	}
	if (f->choices && !is_choice(f->choices, text)) {
		resource_field_expected(r, node, expected);
		return 0;
	}
	text = arena_text(r->arena, text, node->len, r->e);
	if (text == NULL || (f->check && f->check(r, node, &text) < 0))
		return -1;
	*ret = text;
	return 0;
}

static int read_texts(struct reading *r, const struct field *f,
		      const struct yaml_node *list, struct resource_texts *ret)
{
	const struct yaml_node *node;
	size_t i = 0;

	if (list->kind != YAML_LIST) {
		resource_field_expected(r, list, "a list of texts");
		return 0;
	}
	ret->items = arena_new(r->arena, (list->count + 1) * sizeof(char *),
			       r->e);
	if (ret->items == NULL)
		return -1;
	for (node = list->first; node; node = node->next, i++) {
		ret->items[i] = "";
		if (read_text(r, f, node, &ret->items[i]) < 0)
			return -1;
	}
	ret->count = list->count;
	if (list->count == 0 && f->required)
		resource_field_expected(r, list, "at least one");
	return 0;
}

/* ---- Labels ---------------------------------------------------------------
 */

static bool alphanumeric(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9');
}

/* [A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?, at most 63, as in Kubernetes. */
static bool label_part(const char *s, size_t n)
{
	if (n == 0 || n > 63 || !alphanumeric(s[0]) || !alphanumeric(s[n - 1]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!alphanumeric(s[i]) && s[i] != '-' && s[i] != '_' &&
		    s[i] != '.')
			return false;
	return true;
}

/* A part, or "prefix/part" where the prefix is a DNS name. */
static bool label_key(const char *s)
{
	const char *slash = strchr(s, '/');
	size_t n;

	if (slash == NULL)
		return label_part(s, strlen(s));
	n = (size_t)(slash - s);
	if (n == 0 || n > 253 || !label_part(slash + 1, strlen(slash + 1)))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!((s[i] >= 'a' && s[i] <= 'z') ||
		      (s[i] >= '0' && s[i] <= '9') || s[i] == '-' ||
		      s[i] == '.'))
			return false;
	return s[0] != '-' && s[0] != '.' && s[n - 1] != '-' && s[n - 1] != '.';
}

static int by_label(const void *a, const void *b)
{
	const struct resource_label *x = a;
	const struct resource_label *y = b;

	return strcmp(x->key, y->key);
}

static int read_label(struct reading *r, const struct yaml_node *node,
		      struct resource_label *ret)
{
	if (!label_key(node->key))
		problem_add(r->problems, yaml_key_place(r->y, node),
			    "found the label %s, expected letters, digits, "
			    "-, _ and . (not first or last), at most 63",
			    text_quote_str(node->key).s);
	if (node->kind != YAML_TEXT) {
		resource_field_expected(r, node, "text");
		if (node->kind > YAML_NULL && node->kind < YAML_TEXT)
			problem_mend(r->problems, "put it in quotes");
	} else if (node->len > 0 && !label_part(node->text, node->len)) {
		resource_field_expected(
			r, node,
			"letters, digits, -, _ and . (not first or "
			"last), at most 63");
	}
	ret->key = arena_text(r->arena, node->key, strlen(node->key), r->e);
	ret->value = arena_text(r->arena, node->text, node->len, r->e);
	return ret->key && ret->value ? 0 : -1;
}

int resource_field_read_labels(struct reading *r, const struct yaml_node *map,
			       struct resource_labels *ret)
{
	const struct yaml_node *node;
	size_t i = 0;

	if (map->kind != YAML_MAP) {
		resource_field_expected(r, map,
					"a map of labels as {tier: gold}");
		return 0;
	}
	if (map->count == 0)
		return 0;
	ret->items = arena_new(r->arena, map->count * sizeof(*ret->items),
			       r->e);
	if (ret->items == NULL)
		return -1;
	for (node = map->first; node; node = node->next)
		if (read_label(r, node, &ret->items[i++]) < 0)
			return -1;
	ret->count = map->count;
	qsort(ret->items, ret->count, sizeof(*ret->items), by_label);
	return 0;
}

/* ---- Numbers --------------------------------------------------------------
 */

static void read_count(struct reading *r, const struct field *f,
		       const struct yaml_node *node, int64_t *ret)
{
	char expected[96];

	if (node->kind == YAML_INT && node->number >= f->min &&
	    node->number <= f->max) {
		*ret = node->number;
		return;
	}
	(void)snprintf(expected, sizeof(expected),
		       "a whole number from %" PRId64 " to %" PRId64, f->min,
		       f->max);
	resource_field_expected(r, node, expected);
}

static void read_clock(struct reading *r, const struct field *f,
		       const struct yaml_node *node, int64_t *ret)
{
	char low[INSTANT_TEXT], high[INSTANT_TEXT], expected[160];
	struct duration calendar;
	struct err ignored;
	int64_t ms;

	if (node->kind != YAML_TEXT ||
	    instant_duration_parse(node->text, &ms, &ignored) < 0) {
		resource_field_expected(
			r, node,
			"a duration of clock time as 1d12h30m (d, h, "
			"m = minutes, s)");
		if (node->kind == YAML_TEXT &&
		    duration_parse(node->text, &calendar, &ignored) == 0)
			problem_mend(r->problems,
				     "years, months and weeks stand only in "
				     "retention; write days");
		else if (node->kind == YAML_INT)
			problem_mend(r->problems, "add a unit, as %.20ss",
				     node->text);
		return;
	}
	if (ms >= f->min && ms <= f->max) {
		*ret = ms;
		return;
	}
	instant_duration_format(f->min, low);
	instant_duration_format(f->max, high);
	(void)snprintf(expected, sizeof(expected), "a duration from %s to %s",
		       low, high);
	resource_field_expected(r, node, expected);
}

/* Digits and K, M, G or T of 1024; from min to 2^60. */
static bool parse_bytes(const char *s, int64_t min, uint64_t *ret)
{
	static const char units[] = "KMGT";
	size_t n = strspn(s, "0123456789");
	char digits[24];
	const char *unit;
	unsigned int shift = 0;
	int64_t v;

	if (n == 0 || n >= sizeof(digits))
		return false;
	memcpy(digits, s, n);
	digits[n] = '\0';
	if (s[n]) {
		unit = strchr(units, s[n]);
		if (unit == NULL || s[n + 1])
			return false;
		shift = (unsigned int)(unit - units + 1) * 10;
	}
	if (!text_number(digits, min, INT64_C(1) << (60 - shift), &v))
		return false;
	*ret = (uint64_t)v << shift;
	return true;
}

static void read_rate(struct reading *r, const struct yaml_node *node,
		      uint64_t *ret)
{
	if ((node->kind != YAML_TEXT && node->kind != YAML_INT) ||
	    !parse_bytes(node->text, 1, ret))
		resource_field_expected(
			r, node, "bytes a second as 500K, 50M or 1G, from 1");
}

static void read_size(struct reading *r, const struct yaml_node *node,
		      uint64_t *ret)
{
	if ((node->kind != YAML_TEXT && node->kind != YAML_INT) ||
	    !parse_bytes(node->text, 0, ret))
		resource_field_expected(r, node, "bytes as 0, 500M, 4G or 1T");
}

static void read_bool(struct reading *r, const struct yaml_node *node,
		      bool *ret)
{
	if (node->kind == YAML_BOOL)
		*ret = node->boolean;
	else
		resource_field_expected(r, node, "true or false");
}

/* ---- Maps -----------------------------------------------------------------
 */

static int read_maps(struct reading *r, const struct field *f,
		     const struct yaml_node *list, const char *where,
		     void *base)
{
	const struct yaml_node *node;
	size_t *count = (void *)((char *)base + f->count_offset);
	void **items = (void *)((char *)base + f->offset);
	char *item;

	if (list->kind != YAML_LIST) {
		resource_field_expected(r, list, "a list of maps");
		return 0;
	}
	if (list->count == 0) {
		if (f->required)
			resource_field_expected(r, list, "at least one");
		return 0;
	}
	item = arena_new(r->arena, list->count * f->size, r->e);
	if (item == NULL)
		return -1;
	*items = item;
	*count = list->count;
	for (node = list->first; node; node = node->next, item += f->size)
		if (resource_field_read(r, f->fields, node, where, item) < 0)
			return -1;
	return 0;
}

static int read_value(struct reading *r, const struct field *f,
		      const struct yaml_node *node, const char *where,
		      void *base)
{
	void *member = (char *)base + f->offset;
	char inner[128];

	switch (f->type) {
	case FIELD_TEXT:
		return read_text(r, f, node, member);
	case FIELD_TEXTS:
		return read_texts(r, f, node, member);
	case FIELD_BOOL:
		read_bool(r, node, member);
		return 0;
	case FIELD_COUNT:
		read_count(r, f, node, member);
		return 0;
	case FIELD_CLOCK:
		read_clock(r, f, node, member);
		return 0;
	case FIELD_RATE:
		read_rate(r, node, member);
		return 0;
	case FIELD_SIZE:
		read_size(r, node, member);
		return 0;
	case FIELD_LABELS:
		return resource_field_read_labels(r, node, member);
	case FIELD_RULES:
		return resource_field_read_rules(r, node, member);
	case FIELD_MAP:
	case FIELD_MAPS:
		(void)snprintf(inner, sizeof(inner), "%s.%s", where, f->key);
		if (f->type == FIELD_MAP)
			return resource_field_read(r, f->fields, node, inner,
						   base);
		return read_maps(r, f, node, inner, base);
	}
	return 0;
}

int64_t resource_field_fallback(const struct field *f)
{
	struct err ignored;
	uint64_t bytes = 0;
	int64_t v = 0;
	bool ok = true;

	if (f->fallback == NULL)
		return 0;
	if (f->type == FIELD_CLOCK)
		ok = instant_duration_parse(f->fallback, &v, &ignored) == 0;
	else if (f->type == FIELD_COUNT)
		ok = text_number(f->fallback, f->min, f->max, &v);
	else if (f->type == FIELD_SIZE)
		ok = parse_bytes(f->fallback, 0, &bytes);
	assert(ok); /* the tables are ours */
	return f->type == FIELD_SIZE ? (int64_t)bytes : v;
}

static void set_fallback(const struct field *f, void *base)
{
	void *member = (char *)base + f->offset;

	if (f->fallback == NULL)
		return;
	if (f->type == FIELD_TEXT)
		*(const char **)member = f->fallback;
	else if (f->type == FIELD_COUNT || f->type == FIELD_CLOCK)
		*(int64_t *)member = resource_field_fallback(f);
	else if (f->type == FIELD_SIZE)
		*(uint64_t *)member = (uint64_t)resource_field_fallback(f);
	else if (f->type == FIELD_MAP)
		for (const struct field *in = f->fields; in->key; in++)
			set_fallback(in, base);
}

static const char *nth_key(void *arg, size_t n)
{
	const struct field *fields = arg;

	return fields[n].key;
}

static void unknown_key(struct reading *r, const struct field *fields,
			const struct yaml_node *node, const char *where)
{
	struct field *walk;
	const char *nearest;
	char known[400] = "";
	size_t used = 0;

	memcpy(&walk, &fields, sizeof(walk));
	nearest = operation_nearest(node->key, nth_key, walk);
	problem_add(r->problems, yaml_key_place(r->y, node),
		    "found the key %s, which %s does not have",
		    text_quote_str(node->key).s, where);
	if (nearest) {
		problem_mend(r->problems, "did you mean \"%s\"?", nearest);
		return;
	}
	for (; fields->key && used < sizeof(known); fields++) {
		int k = snprintf(known + used, sizeof(known) - used, "%s%s",
				 used ? ", " : "", fields->key);

		used += k > 0 ? (size_t)k : 0;
	}
	problem_mend(r->problems, "it has %s", known);
}

static const struct field *find(const struct field *fields, const char *key)
{
	for (; fields->key; fields++)
		if (strcmp(fields->key, key) == 0)
			return fields;
	return NULL;
}

int resource_field_read(struct reading *r, const struct field *fields,
			const struct yaml_node *map, const char *where,
			void *base)
{
	const struct yaml_node *node;
	const struct field *f;

	if (map->kind != YAML_MAP) {
		problem_add(r->problems, yaml_place(r->y, map),
			    "found %s, expected %s to be a map",
			    yaml_found(map).s, where);
		return 0;
	}
	for (f = fields; f->key; f++) {
		set_fallback(f, base);
		if (f->required && yaml_get(map, f->key) == NULL)
			problem_add(r->problems, yaml_place(r->y, map),
				    "found no \"%s\", expected one in %s",
				    f->key, where);
	}
	for (node = map->first; node; node = node->next) {
		f = find(fields, node->key);
		if (f == NULL)
			unknown_key(r, fields, node, where);
		else if (read_value(r, f, node, where, base) < 0)
			return -1;
	}
	return 0;
}

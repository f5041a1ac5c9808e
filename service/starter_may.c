/* What the starter starts: only what the sources of its run declare. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "service/jsontree.h"
#include "service/starter.h"
#include "service/volume.h"

static bool is_text(const json_t *value, const char *text)
{
	const char *have = json_string_value(value);

	return text ? have && strcmp(have, text) == 0 : !have;
}

static bool are_texts(const json_t *list, const struct resource_texts *texts)
{
	if (json_array_size(list) != texts->count)
		return false;
	for (size_t i = 0; i < texts->count; i++)
		if (!is_text(json_array_get(list, i), texts->items[i]))
			return false;
	return true;
}

/* ---- A volume's, with the snapshot's name filled in ---------------------- */

/* Each hole of the declared word has one and the same name. */
static bool is_filled_in(const char *word, const char *declared,
			 const char *source, char name[VOLUME_NAME_BYTES])
{
	const char *hole;

	while ((hole = strstr(declared, VOLUME_HOLE))) {
		const size_t n = (size_t)(hole - declared);
		const size_t length = volume_name_length(source);

		if (strncmp(word, declared, n) != 0 ||
		    strnlen(word + n, length) < length)
			return false;
		if (!*name) {
			(void)snprintf(name, VOLUME_NAME_BYTES, "%.*s",
				       (int)length, word + n);
			if (!volume_is_name(name, source))
				return false;
		}
		if (strncmp(word + n, name, length) != 0)
			return false;
		word += n + length;
		declared = hole + strlen(VOLUME_HOLE);
	}
	return strcmp(word, declared) == 0;
}

static bool are_filled_in(const json_t *list,
			  const struct resource_texts *declared,
			  const char *source)
{
	char name[VOLUME_NAME_BYTES] = "";
	const size_t n = json_array_size(list);

	if (declared->count == 0 || n < declared->count ||
	    n > declared->count + 1)
		return false;
	for (size_t i = 0; i < declared->count; i++) {
		const char *word = json_string_value(json_array_get(list, i));

		if (!word ||
		    !is_filled_in(word, declared->items[i], source, name))
			return false;
	}
	/* Where no word has a hole, the name comes last. */
	if (*name)
		return n == declared->count;
	return n == declared->count + 1 &&
	       volume_is_name(json_string_value(json_array_get(list, n - 1)),
			      source);
}

/* ---- Programs ----------------------------------------------------------- */

static bool declares(const struct resource *r, const json_t *request)
{
	const struct resource_source *s = &r->source;
	const json_t *argv = json_object_get(request, "argv");
	const json_t *environment = json_object_get(request, "environment");
	const json_t *user = json_object_get(request, "user");

	if (strcmp(s->type, "command") == 0)
		return are_texts(argv, &s->argv) &&
		       are_texts(environment, &s->environment) &&
		       is_text(user, s->user);
	return strcmp(s->type, "volume") == 0 &&
	       json_array_size(environment) == 0 && is_text(user, NULL) &&
	       are_filled_in(argv, &s->locate, r->name);
}

bool starter_may_start(const struct run *r, const char *request)
{
	json_t *j = jsontree_loads(request, 0, NULL);
	bool may = false;

	for (size_t i = 0; j && i < r->source_count && !may; i++)
		may = declares(r->sources[i], j);
	json_decref(j);
	return may;
}

/* ---- Plans -------------------------------------------------------------- */

static bool is_hook_of(const struct resource_source *s, const json_t *hook)
{
	for (size_t i = 0; i < s->hook_count; i++)
		if (are_texts(json_object_get(hook, "argv"),
			      &s->hooks[i].argv) &&
		    is_text(json_object_get(hook, "user"), s->hooks[i].user) &&
		    is_text(json_object_get(hook, "when"), s->hooks[i].when))
			return true;
	return false;
}

static bool is_provider_of(const struct resource *r, const json_t *hook)
{
	const json_t *argv = json_object_get(hook, "argv");
	const json_t *when = json_object_get(hook, "when");

	if (strcmp(r->source.type, "volume") != 0 ||
	    !is_text(json_object_get(hook, "user"), NULL))
		return false;
	return (is_text(when, "before") &&
		are_filled_in(argv, &r->source.create, r->name)) ||
	       (is_text(when, "always") &&
		are_filled_in(argv, &r->source.remove, r->name));
}

static bool is_declared(const struct run *r, const json_t *hook)
{
	for (size_t i = 0; i < r->source_count; i++)
		if (is_hook_of(&r->sources[i]->source, hook) ||
		    is_provider_of(r->sources[i], hook))
			return true;
	return false;
}

bool starter_may_guard(const struct run *r, const char *plan)
{
	json_t *j = jsontree_loads(plan, 0, NULL);
	const json_t *hooks = json_object_get(j, "hooks");
	bool may = json_array_size(hooks) > 0;

	for (size_t i = 0; may && i < json_array_size(hooks); i++)
		may = is_declared(r, json_array_get(hooks, i));
	json_decref(j);
	return may;
}

/* ---- Whether there is anything ------------------------------------------ */

bool starter_is_needed_for(const struct resource_source *s)
{
	return s->hook_count > 0 || strcmp(s->type, "command") == 0 ||
	       strcmp(s->type, "volume") == 0;
}

bool starter_is_needed(const struct run *r)
{
	for (size_t i = 0; !r->drill && i < r->source_count; i++)
		if (starter_is_needed_for(&r->sources[i]->source))
			return true;
	return false;
}

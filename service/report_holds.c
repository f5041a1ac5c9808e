/* For which cases a snapshot is held. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "service/catalog.h"
#include "service/catalog_keep.h"
#include "service/jsontree.h"
#include "service/report.h"

/* The list as an object, in which an id is found at once. */
static json_t *set_of(const char *snapshots_json)
{
	json_t *list = jsontree_loads(snapshots_json, 0, NULL);
	json_t *set = json_object();

	for (size_t i = 0; set && i < json_array_size(list); i++) {
		const char *id = json_string_value(json_array_get(list, i));

		if (id && json_object_set_new(set, id, json_true()) < 0) {
			json_decref(set);
			set = NULL;
		}
	}
	json_decref(list);
	return set;
}

static int take(void *arg, const struct catalog_hold *h, struct err *e)
{
	json_t *x = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:o}",
			      "repository", h->repository, "source", h->source,
			      "matter", h->matter, "custodian", h->custodian,
			      "placed", (json_int_t)h->placed.sec, "released",
			      (json_int_t)h->released.sec, "snapshots",
			      set_of(h->snapshots_json));

	return !x || json_array_append_new(arg, x) < 0 ? err_oom(e) : 0;
}

int report_holds_load(struct catalog *c, json_t **ret, struct err *e)
{
	json_t *holds = json_array();

	if (!holds)
		return err_oom(e);
	if (catalog_holds(c, NULL, false, take, holds, e) < 0) {
		json_decref(holds);
		return -1;
	}
	*ret = holds;
	return 0;
}

static const char *text_of(const json_t *hold, const char *key)
{
	return json_string_value(json_object_get(hold, key));
}

static bool is_on(const json_t *hold, const struct report_held *what)
{
	const json_int_t placed = json_integer_value(
		json_object_get(hold, "placed"));
	const json_int_t released = json_integer_value(
		json_object_get(hold, "released"));
	const char *source = text_of(hold, "source");

	return strcmp(text_of(hold, "repository"), what->repository) == 0 &&
	       placed <= what->at.sec &&
	       (released == 0 || what->at.sec < released) &&
	       (json_object_get(json_object_get(hold, "snapshots"),
				what->snapshot) ||
		(*source && strcmp(source, what->source) == 0));
}

void report_holds(struct json *j, const json_t *holds,
		  const struct report_held *what)
{
	for (size_t i = 0; i < json_array_size(holds); i++) {
		const json_t *hold = json_array_get(holds, i);
		const char *who = text_of(hold, "custodian");
		char text[600];

		if (!is_on(hold, what))
			continue;
		(void)snprintf(text, sizeof(text), "hold %.280s%s%.280s%s",
			       text_of(hold, "matter"), *who ? " (" : "", who,
			       *who ? ")" : "");
		json_str(j, text);
	}
}

bool report_is_held(const json_t *holds, const struct report_held *what)
{
	for (size_t i = 0; i < json_array_size(holds); i++)
		if (is_on(json_array_get(holds, i), what))
			return true;
	return false;
}

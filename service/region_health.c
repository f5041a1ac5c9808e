#include "service/region_health.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "service/catalog_keep.h"
#include "service/jsontree.h"

bool region_health_read(const char *json, struct region_fact *ret)
{
	json_t *value = jsontree_loads(json, 0, NULL);
	const json_t *failures = json_object_get(value, "failures");
	const json_t *latency = json_object_get(value, "latency_ms");
	const char *unwritable = json_string_value(
		json_object_get(value, "unwritable"));
	const char *refusal = json_string_value(
		json_object_get(value, "refusal"));
	const bool known = json_is_integer(failures) &&
			   json_integer_value(failures) >= 0 &&
			   json_integer_value(failures) <= 1000;

	if (known)
		ret->failures = (unsigned int)json_integer_value(failures);
	if (known && json_is_integer(latency) &&
	    json_integer_value(latency) >= 0)
		ret->latency_ms = (int64_t)json_integer_value(latency);
	(void)snprintf(ret->unwritable, sizeof(ret->unwritable), "%s",
		       unwritable ? unwritable : "");
	(void)snprintf(ret->refusal, sizeof(ret->refusal), "%s",
		       !unwritable	       ? ""
		       : refusal && refusal[0] ? refusal
					       : "read-only");
	json_decref(value);
	return known;
}

int region_health_write(const struct region_fact *fact, struct buf *out,
			struct err *e)
{
	size_t n = strlen(fact->unwritable);
	struct json j;

	/* It may have been cut within a character. */
	while (!text_is_utf8(fact->unwritable, n))
		n--;
	json_init(&j, json_to_buf, out);
	json_begin_object(&j);
	json_kv_uint(&j, "failures", fact->failures);
	json_kv_int(&j, "latency_ms", fact->latency_ms);
	if (n) {
		json_key(&j, "unwritable");
		json_strn(&j, fact->unwritable, n);
		json_kv_str(&j, "refusal", fact->refusal);
	}
	json_end_object(&j);
	return json_finish(&j, e);
}

struct known {
	const char *region;
	struct region_fact *fact;
};

static int read_row(void *arg, const struct catalog_region *r,
		    struct err *e UNUSED)
{
	struct known *k = arg;

	if (strcmp(r->region, k->region) != 0)
		return 0;
	k->fact->primary = r->primary;
	k->fact->failed = instant_compare(r->failed, r->seen_ok) > 0;
	(void)region_health_read(r->inventory_json, k->fact);
	return 0;
}

/* Of the newest check that came to an end. */
static int read_check(void *arg, const struct catalog_check_row *row,
		      struct err *e UNUSED)
{
	struct known *k = arg;

	if (strcmp(row->result, "failed") == 0)
		return 0;
	k->fact->damaged = strcmp(row->result, "sound") != 0;
	return 1;
}

int region_health_get(struct catalog *c, const char *repository,
		      const char *region, struct region_fact *ret,
		      struct err *e)
{
	const struct catalog_check_filter checks = { .repository = repository,
						     .region = region,
						     .limit = 20 };
	struct known k = { region, ret };

	*ret = (struct region_fact){ .primary = false };
	return catalog_regions(c, repository, read_row, &k, e) < 0 ||
			       catalog_checks(c, &checks, read_check, &k, e) < 0
		       ? -1
		       : 0;
}

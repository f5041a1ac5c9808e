#include "service/region_health.h"

#include <jansson.h>

#include "base/json.h"

bool region_health_read(const char *json, struct region_fact *ret)
{
	json_t *value = json_loads(json, 0, NULL);
	const json_t *failures = json_object_get(value, "failures");
	const json_t *latency = json_object_get(value, "latency_ms");
	const bool known = json_is_integer(failures) &&
			   json_integer_value(failures) >= 0 &&
			   json_integer_value(failures) <= 1000;

	if (known)
		ret->failures = (unsigned int)json_integer_value(failures);
	if (known && json_is_integer(latency) &&
	    json_integer_value(latency) >= 0)
		ret->latency_ms = (int64_t)json_integer_value(latency);
	json_decref(value);
	return known;
}

int region_health_write(const struct region_fact *fact, struct buf *out,
			struct err *e)
{
	return buf_addf(out, e, "{\"failures\":%u,\"latency_ms\":%lld}",
			fact->failures, (long long)fact->latency_ms);
}

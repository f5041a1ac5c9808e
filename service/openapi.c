#include "service/openapi.h"

#include <stdio.h>
#include <string.h>

#include "service/operation.h"

static const char *type_of(const struct operation_param *p)
{
	if (p->kind == PARAM_SWITCH)
		return "boolean";
	return p->type == PARAM_NUMBER ? "integer" : "string";
}

static void write_choices(const char *choices, struct json *j)
{
	json_key(j, "enum");
	json_begin_list(j);
	while (*choices) {
		const size_t n = strcspn(choices, "|");

		json_strn(j, choices, n);
		choices += n + (choices[n] == '|');
	}
	json_end_list(j);
}

static void write_item(const struct operation_param *p, struct json *j)
{
	json_kv_str(j, "type", type_of(p));
	if (p->type == PARAM_TIME)
		json_kv_str(j, "format", "date-time");
	if (p->choices)
		write_choices(p->choices, j);
	if (p->fallback && p->type == PARAM_NUMBER) {
		json_key(j, "default");
		json_raw(j, p->fallback);
	} else if (p->fallback) {
		json_kv_str(j, "default", p->fallback);
	}
}

static void write_schema(const struct operation_param *p, struct json *j)
{
	json_begin_object(j);
	if (p->repeated) {
		json_kv_str(j, "type", "array");
		json_key(j, "items");
		json_begin_object(j);
		write_item(p, j);
		json_end_object(j);
	} else {
		write_item(p, j);
	}
	json_end_object(j);
}

/* Parameters of the path, and of the query where there is no body. */
static void write_parameters(const struct operation *op, bool query,
			     struct json *j)
{
	const struct operation_param *p;

	json_key(j, "parameters");
	json_begin_list(j);
	for (size_t i = 0; (p = operation_param(op, i)); i++) {
		const bool in_path = operation_in_route(op, p->name);

		if (!in_path && !query)
			continue;
		json_begin_object(j);
		json_kv_str(j, "name", p->name);
		json_kv_str(j, "in", in_path ? "path" : "query");
		json_kv_bool(j, "required", in_path || p->required);
		json_kv_str(j, "description", p->help);
		json_key(j, "schema");
		write_schema(p, j);
		json_end_object(j);
	}
	json_end_list(j);
}

static void write_required(const struct operation *op, struct json *j)
{
	const struct operation_param *p;
	bool any = false;

	for (size_t i = 0; (p = operation_param(op, i)); i++) {
		if (!p->required || operation_in_route(op, p->name))
			continue;
		if (!any) {
			json_key(j, "required");
			json_begin_list(j);
		}
		any = true;
		json_str(j, p->name);
	}
	if (any)
		json_end_list(j);
}

static void write_body(const struct operation *op, struct json *j)
{
	const struct operation_param *p;

	json_key(j, "requestBody");
	json_begin_object(j);
	json_key(j, "content");
	json_begin_object(j);
	json_key(j, "application/json");
	json_begin_object(j);
	json_key(j, "schema");
	json_begin_object(j);
	json_kv_str(j, "type", "object");
	write_required(op, j);
	json_key(j, "properties");
	json_begin_object(j);
	for (size_t i = 0; (p = operation_param(op, i)); i++) {
		if (operation_in_route(op, p->name))
			continue;
		json_key(j, p->name);
		write_schema(p, j);
	}
	for (int i = 0; i < 5; i++)
		json_end_object(j);
}

static void write_responses(struct json *j)
{
	json_key(j, "responses");
	json_begin_object(j);
	json_key(j, "200");
	json_begin_object(j);
	json_kv_str(j, "description", "the reply, one JSON value");
	json_end_object(j);
	json_key(j, "default");
	json_begin_object(j);
	json_kv_str(j, "description",
		    "{\"error\":{\"code\",\"message\",\"hint\"}}");
	json_end_object(j);
	json_end_object(j);
}

/* "run list" is run_list. */
static void write_id(const char *verb, struct json *j)
{
	char id[64];
	size_t n = 0;

	for (; n < sizeof(id) - 1 && verb[n]; n++)
		id[n] = (char)(verb[n] == ' ' ? '_' : verb[n]);
	json_key(j, "operationId");
	json_strn(j, id, n);
}

static void write_operation(const struct operation *op, struct json *j)
{
	const bool query = strcmp(op->method, "GET") == 0;
	char method[16];
	size_t n = 0;

	for (; n < sizeof(method) - 1 && op->method[n]; n++)
		method[n] = (char)(op->method[n] | 0x20);
	method[n] = '\0';
	json_key(j, method);
	json_begin_object(j);
	write_id(op->verb, j);
	json_kv_str(j, "summary", op->summary);
	if (op->help)
		json_kv_str(j, "description", op->help);
	write_parameters(op, query, j);
	if (!query)
		write_body(op, j);
	write_responses(j);
	json_end_object(j);
}

/* Whether an earlier row has this route. */
static bool was_written(size_t n)
{
	const char *route = operation_nth(n)->route;

	for (size_t i = 0; i < n; i++) {
		const char *other = operation_nth(i)->route;

		if (other && strcmp(other, route) == 0)
			return true;
	}
	return false;
}

static void write_path(size_t n, struct json *j)
{
	const struct operation *op = operation_nth(n);
	const struct operation *other;
	char path[128];

	(void)snprintf(path, sizeof(path), "/v1%s", op->route);
	json_key(j, path);
	json_begin_object(j);
	for (size_t i = n; (other = operation_nth(i)); i++)
		if (other->route && strcmp(other->route, op->route) == 0)
			write_operation(other, j);
	json_end_object(j);
}

void openapi_write(struct json *j)
{
	const struct operation *op;

	json_begin_object(j);
	json_kv_str(j, "openapi", "3.0.3");
	json_key(j, "info");
	json_begin_object(j);
	json_kv_str(j, "title", "snapctld");
	json_kv_str(j, "version", SNAPCTL_VERSION);
	json_end_object(j);
	json_key(j, "paths");
	json_begin_object(j);
	for (size_t i = 0; (op = operation_nth(i)); i++)
		if (op->route && !was_written(i))
			write_path(i, j);
	json_end_object(j);
	json_end_object(j);
}

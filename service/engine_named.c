#include "service/engine_named.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "service/args.h"
#include "service/client.h"
#include "service/config.h"
#include "service/engine.h"
#include "service/jsontree.h"
#include "service/progress.h"
#include "storage/repository/fields.h"
#include "storage/repository/record.h"

/* "KEY=VALUE" of a text that a record of a repository can hold. */
#define DETAIL_MAX (64 + RECORD_TEXT_MAX)

/* What the daemon may declare of one kind. */
#define REPLY_MAX ((size_t)64 << 20)

bool engine_is_location(const char *text)
{
	return strpbrk(text, "/:") != NULL;
}

static int load_config(const struct operation_call *call, struct config **ret,
		       struct err *e)
{
	CLEANUP(problem_done) struct problem_list problems;
	const struct config_flag flag = { .key = CONFIG_SOCKET,
					  .text = call->socket };
	const struct config_input input = { .config_file = call->config_file,
					    .flags = &flag,
					    .flag_count = call->socket != NULL,
					    .environment = environ,
					    .uid = call->caller.uid };

	problem_init(&problems);
	return config_load(&input, ret, &problems, e);
}

int engine_ask(const struct operation_call *call, const char *verb,
	       const char *const params[][2], struct buf *reply, struct err *e)
{
	const struct operation *op = operation_named(verb);
	CLEANUP(config_free) struct config *config = NULL;
	CLEANUP(args_free) struct args *args = NULL;
	struct client_call request = { .operation = op,
				       .stop = call->stop,
				       .sink = json_to_buf,
				       .arg = reply };
	enum operation_outcome outcome;

	if (load_config(call, &config, e) || args_new(&args, op, e))
		return -1;
	for (size_t i = 0; params[i][0]; i++)
		if (params[i][1] &&
		    args_add_str(args, params[i][0], params[i][1], e))
			return -1;
	if (args_finish(args, e))
		return -1;
	request.socket = config_text(config, CONFIG_SOCKET);
	request.args = args;
	return client_call(&request, &outcome, e);
}

int engine_ask_tree(const struct operation_call *call, const char *verb,
		    const char *const params[][2], size_t most, json_t **ret,
		    struct err *e)
{
	CLEANUP(buf_done) struct buf reply;
	int got;

	*ret = NULL;
	buf_init(&reply, most);
	if (engine_ask(call, verb, params, &reply, e))
		return -1;
	got = jsontree_load(buf_str(&reply), reply.len, 0, ret, NULL, e);
	if (got == 0)
		(void)err_set(e, ERR_BUG, "the daemon's answer is not known");
	return got > 0 ? 0 : -1;
}

static int visit_one(const json_t *item, engine_resource *visit, void *arg,
		     struct err *e)
{
	const json_t *about = json_object_get(item, "metadata");
	const json_t *labels = json_object_get(about, "labels");
	const json_t *told = json_object_get(item, "spec");
	CLEANUP(resource_free) struct resource *r = NULL;
	struct resource_form form = {
		.kind = json_string_value(json_object_get(item, "kind")),
		.name = json_string_value(json_object_get(about, "name")),
	};
	char *spec = NULL;
	char *label_text = NULL;
	int failed;

	if (!form.kind || !form.name || !json_is_object(told))
		return err_set(e, ERR_BUG,
			       "the daemon tells of a resource in a form "
			       "that is not known here");
	failed = jsontree_text(told, &spec, e) ||
		 (labels && jsontree_text(labels, &label_text, e));
	form.spec_json = spec;
	form.labels_json = label_text;
	failed = failed || resource_from_form(&form, &r, e);
	free(spec);
	free(label_text);
	return failed ? -1 : visit(arg, r, e);
}

int engine_declared(const struct operation_call *call, const char *kind,
		    const char *name, engine_resource *visit, void *arg,
		    struct err *e)
{
	const char *const params[][2] = { { "kind", kind },
					  { "name", name },
					  { NULL, NULL } };
	json_t *value;
	int failed = 0;

	if (engine_ask_tree(call, "get", params, REPLY_MAX, &value, e))
		return -1;
	/* One by its name is told as itself, a kind as a list. */
	if (json_is_object(value))
		failed = visit_one(value, visit, arg, e);
	else if (!json_is_array(value))
		failed = err_set(e, ERR_BUG,
				 "the daemon's answer is not a list");
	for (size_t i = 0; !failed && i < json_array_size(value); i++)
		failed = visit_one(json_array_get(value, i), visit, arg, e);
	json_decref(value);
	return failed;
}

static bool is_region(const json_t *item, const char *repository,
		      const char *region)
{
	const char *of = json_string_value(json_object_get(item, "repository"));
	const char *is = json_string_value(json_object_get(item, "region"));

	return of && is && strcmp(of, repository) == 0 &&
	       strcmp(is, region) == 0;
}

static struct instant moment_of(const json_t *item, const char *key)
{
	const char *text = json_string_value(json_object_get(item, key));
	struct instant t = { 0 };
	struct err ignored;

	if (text && instant_parse(text, &t, &ignored) < 0)
		t = (struct instant){ 0 };
	return t;
}

static void read_locked(const json_t *item, struct engine_known *ret)
{
	const json_t *bytes = json_object_get(item, "bytes_locked");

	ret->any_locked = json_is_integer(bytes);
	ret->bytes_locked = json_integer_value(bytes);
	ret->locked = json_integer_value(json_object_get(item, "locked"));
	ret->locked_until = moment_of(item, "locked_until");
	ret->collected = moment_of(item, "collected");
}

int engine_known_region(const struct operation_call *call,
			const char *repository, const char *region,
			struct engine_known *ret, struct err *e)
{
	static const char *const none[][2] = { { NULL, NULL } };
	const json_t *item;
	json_t *value;
	size_t i;
	int found = 0;

	if (engine_ask_tree(call, "status", none, REPLY_MAX, &value, e))
		return -1;
	json_array_foreach(json_object_get(value, "regions"), i, item)
	{
		if (!is_region(item, repository, region))
			continue;
		found = 1;
		*ret = (struct engine_known){
			.rpo_s = json_integer_value(
				json_object_get(item, "rpo_seconds")),
			.late = json_is_true(json_object_get(item, "late")),
			.newest = moment_of(item, "newest"),
		};
		read_locked(item, ret);
	}
	json_decref(value);
	return found;
}

/* The one Repository, made anew so that it outlives the reply. */
static int keep(void *arg, const struct resource *r, struct err *e)
{
	CLEANUP(buf_done) struct buf spec;
	struct resource_form form = { .kind = resource_kind_name(r->kind),
				      .name = r->name };
	struct resource **ret = (struct resource **)arg;
	struct json j;

	buf_init(&spec, REPLY_MAX);
	json_init(&j, json_to_buf, &spec);
	resource_write_spec(r, &j);
	if (json_finish(&j, e))
		return -1;
	form.spec_json = buf_str(&spec);
	return *ret ? 0 : resource_from_form(&form, ret, e);
}

int engine_named(const struct operation_call *call, struct resource **ret,
		 struct err *e)
{
	const char *name = args_text(call->args, "repo");
	struct resource *found = NULL;

	if (engine_is_location(name))
		return 0;
	if (engine_declared(call, "repository", name, keep, &found, e)) {
		resource_free(found);
		(void)err_wrap(e, "repository %s", text_quote_str(name).s);
		if (e->code == ERR_BUSY)
			(void)err_hint(e, "without the daemon, give --repo as "
					  "a location, such as "
					  "file:///srv/backups or ./backups");
		return -1;
	}
	if (!found)
		return err_set(e, ERR_NOT_FOUND, "there is no repository %s",
			       text_quote_str(name).s);
	*ret = found;
	return 1;
}

int engine_named_region(const struct resource *repository, const char *text,
			const struct resource_region **ret,
			const char **ret_url, struct err *e)
{
	*ret = NULL;
	*ret_url = text;
	if (engine_is_location(text))
		return 0;
	if (!repository) {
		(void)err_set(e, ERR_USAGE,
			      "regions have names only where --repo is the "
			      "name of a repository");
		return err_hint(e, "give %s as a location, or --repo by name",
				text_quote_str(text).s);
	}
	*ret = resource_region(repository, text);
	if (!*ret)
		return err_set(e, ERR_NOT_FOUND,
			       "repository %s declares no region %s",
			       text_quote_str(repository->name).s,
			       text_quote_str(text).s);
	*ret_url = (*ret)->url;
	return 0;
}

int engine_named_key(const struct operation_call *call,
		     const struct resource *repository,
		     struct keyring_credential **ret, struct err *e)
{
	CLEANUP(config_free) struct config *config = NULL;
	char path[4096];
	int n;

	if (!repository || args_text(call->args, "key-file") ||
	    args_text(call->args, "passphrase-file"))
		return engine_credential(call, ret, e);
	if (load_config(call, &config, e))
		return -1;
	n = snprintf(path, sizeof(path), "%s/%s",
		     config_text(config, CONFIG_KEYS),
		     repository->repository.key_file);
	if (n < 0 || (size_t)n >= sizeof(path))
		return err_set(e, ERR_USAGE, "the key file's path is too long");
	return keyring_credential_key_file(path, ret, e);
}

/* ---- Telling of what was done ------------------------------------------- */

/* As much of it as the repository's own record keeps. */
static int add_cut(struct args *args, const char *name, const char *key,
		   const char *value, struct err *e)
{
	char cut[RECORD_TEXT_MAX + 1];
	char text[DETAIL_MAX];

	if (!value)
		return 0;
	fields_text(cut, sizeof(cut), value);
	(void)snprintf(text, sizeof(text), "%s%s%s", key, *key ? "=" : "", cut);
	return args_add_str(args, name, text, e);
}

static int add_details(struct args *args, const struct engine_deed *d,
		       struct err *e)
{
	for (size_t i = 0; i < sizeof(d->details) / sizeof(d->details[0]); i++)
		if (add_cut(args, "detail", d->details[i].key,
			    d->details[i].value, e))
			return -1;
	return 0;
}

static int add_snapshots(struct args *args, const struct engine_deed *d,
			 struct err *e)
{
	char id[OBJECT_ID_TEXT];

	for (size_t i = 0; i < d->n_snapshots; i++) {
		object_id_format(d->snapshots[i], id);
		if (args_add_str(args, "snapshot", id, e))
			return -1;
	}
	return 0;
}

static int tell(const struct operation_call *call,
		const struct resource *repository, const struct engine_deed *d,
		struct err *e)
{
	const struct operation *note = operation_named("audit note");
	CLEANUP(config_free) struct config *config = NULL;
	CLEANUP(args_free) struct args *args = NULL;
	CLEANUP(buf_done) struct buf reply;
	/* It is done: who asks to stop now still wants it written down. */
	const atomic_bool never = false;
	struct client_call request = { .operation = note,
				       .stop = &never,
				       .sink = json_to_buf,
				       .arg = &reply };
	enum operation_outcome outcome;

	buf_init(&reply, REPLY_MAX);
	if (load_config(call, &config, e) || args_new(&args, note, e) ||
	    args_add_str(args, "action", d->action, e) ||
	    args_add_str(args, "object", d->object, e) ||
	    args_add_str(args, "in", repository->name, e) ||
	    (d->region && args_add_str(args, "region", d->region, e)) ||
	    add_cut(args, "reason", "", d->reason, e) ||
	    add_details(args, d, e) || add_snapshots(args, d, e) ||
	    args_finish(args, e))
		return -1;
	request.socket = config_text(config, CONFIG_SOCKET);
	request.args = args;
	return client_call(&request, &outcome, e);
}

void engine_record(const struct operation_call *call,
		   const struct resource *repository,
		   const struct engine_deed *d)
{
	struct err e = { 0 };

	if (repository && tell(call, repository, d, &e))
		progress_note(call->progress,
			      "warning: %s of %s is done, but the audit log "
			      "does not tell of it: %s",
			      d->action, d->object, e.text);
}

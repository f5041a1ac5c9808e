/* What is declared: apply, get, delete. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "service/args.h"
#include "service/catalog.h"
#include "service/config.h"
#include "service/jsontree.h"
#include "service/op.h"
#include "service/op_actor.h"
#include "service/op_resource.h"
#include "service/resource.h"
#include "service/yaml.h"

/* The labels or the spec of a manifest: what can be read back. */
#define FORM_MAX YAML_BYTES

/* ---- apply -------------------------------------------------------------- */

typedef void write_part(const struct resource *r, struct json *j);

static int form_of(const struct resource *r, write_part *write,
		   const char **ret, struct err *e)
{
	CLEANUP(buf_done) struct buf text;
	struct json j;

	buf_init(&text, FORM_MAX);
	json_init(&j, json_to_buf, &text);
	write(r, &j);
	if (json_finish(&j, e) < 0) {
		if (e->code != ERR_CORRUPT)
			return -1;
		/* Escaped, it takes more room than in its manifest. */
		return err_set(e, ERR_USAGE,
			       "%s %s is too large: stored, it would take more "
			       "than %u bytes",
			       resource_kind_name(r->kind), r->name,
			       (unsigned int)FORM_MAX);
	}
	*ret = strdup(buf_str(&text));
	return *ret ? 0 : err_oom(e);
}

static int refs_of(const struct resource *r, struct op_document *d,
		   struct err *e)
{
	d->refs = calloc(r->ref_count + 1, sizeof(*d->refs));
	if (!d->refs)
		return err_oom(e);
	for (size_t i = 0; i < r->ref_count; i++)
		d->refs[i] = (struct catalog_ref){ .kind = resource_kind_name(
							   r->refs[i].kind),
						   .name = r->refs[i].name };
	d->doc.refs = d->refs;
	d->doc.n_refs = r->ref_count;
	return 0;
}

int op_document_init(struct op_document *ret, const struct resource *r,
		     struct err *e)
{
	*ret = (struct op_document){
		.doc = { .kind = resource_kind_name(r->kind), .name = r->name }
	};
	return form_of(r, resource_write_labels, &ret->doc.labels_json, e) <
				       0 ||
			       form_of(r, resource_write_spec,
				       &ret->doc.spec_json, e) < 0 ||
			       refs_of(r, ret, e) < 0
		       ? -1
		       : 0;
}

void op_document_done(struct op_document *d)
{
	free((char *)(uintptr_t)d->doc.labels_json);
	free((char *)(uintptr_t)d->doc.spec_json);
	free((char *)(uintptr_t)d->doc.where);
	free(d->refs);
}

/* What the catalog takes, made from a set. */
struct documents {
	struct op_document *made;
	struct catalog_document *docs; /* the same, in a row */
	struct catalog_applied *applied;
	size_t n;
};

static void documents_done(struct documents *d)
{
	for (size_t i = 0; i < d->n; i++)
		op_document_done(&d->made[i]);
	if (d->applied)
		catalog_applied_done(d->applied, d->n);
	free(d->applied);
	free(d->made);
	free(d->docs);
}

static int where_of(struct problem_place place, const char **ret, struct err *e)
{
	char *text;

	if (asprintf(&text, "%s:%u:%u", place.file, place.line, place.column) <
	    0)
		return err_oom(e);
	*ret = text;
	return 0;
}

static int make_documents(const struct resource_set *set, struct documents *d,
			  struct err *e)
{
	const size_t n = resource_set_count(set);

	d->made = calloc(n + 1, sizeof(*d->made));
	d->docs = calloc(n + 1, sizeof(*d->docs));
	d->applied = calloc(n + 1, sizeof(*d->applied));
	if (!d->made || !d->docs || !d->applied)
		return err_oom(e);
	for (; d->n < n;) {
		struct op_document *made = &d->made[d->n];
		const size_t i = d->n++;

		if (op_document_init(made, resource_set_get(set, i), e) < 0 ||
		    where_of(resource_set_place(set, i), &made->doc.where, e) <
			    0)
			return -1;
		d->docs[i] = made->doc;
	}
	return 0;
}

struct listing {
	resource_visit *visit;
	void *arg;
};

static int pass_form(void *arg, const struct catalog_resource *row,
		     struct err *e)
{
	const struct listing *l = arg;
	const struct resource_form form = { .kind = row->kind,
					    .name = row->name,
					    .labels_json = row->labels_json,
					    .spec_json = row->spec_json };

	return l->visit(l->arg, &form, e);
}

static int list_kind(void *arg, enum resource_kind kind, resource_visit *visit,
		     void *visit_arg, struct err *e)
{
	const struct catalog_resource_filter filter = {
		.kind = resource_kind_name(kind)
	};
	struct listing l = { .visit = visit, .arg = visit_arg };

	return catalog_resources(arg, &filter, pass_form, &l, e);
}

/* Nothing takes effect unless all documents are right, also together. */
static int read_set(struct operation_call *call, struct resource_set *set,
		    struct err *e)
{
	CLEANUP(problem_done) struct problem_list problems;
	const struct resource_world world = { .list = list_kind,
					      .arg = call->catalog };
	const char *label;
	size_t n;
	const char *text = args_document(call->args, "file", &n, &label);

	problem_init(&problems);
	if (resource_set_add(set, label, text, n, &problems, e) < 0 ||
	    (problems.errors == 0 &&
	     resource_set_check(set, &world, &problems, e) < 0))
		return -1;
	return problem_err(&problems, e);
}

static int check_argv(const struct operation_call *call,
		      const struct resource_set *set, struct err *e)
{
	if (call->caller.uid == 0 || call->caller.uid == geteuid())
		return 0;
	for (size_t i = 0; i < resource_set_count(set); i++)
		if (resource_has_argv(resource_set_get(set, i)))
			return err_set(e, ERR_DENIED,
				       "user %u may not declare commands",
				       (unsigned int)call->caller.uid);
	return 0;
}

/* ---- May a change let go of what was kept? ------------------------------ */

/* Of one that sets so many rules, whether this member of it may. */
static bool rule_may_let_go(const json_t *from, const json_t *to, size_t rules,
			    size_t added)
{
	const int64_t before = (int64_t)json_integer_value(from);
	const int64_t after = (int64_t)json_integer_value(to);

	/* An empty rule set keeps everything; a rule more keeps more. */
	if (!to)
		return rules > 0;
	if (!from)
		return rules == added;
	if (!json_is_integer(from) || !json_is_integer(to))
		return true;
	return after != -1 && (before == -1 || after < before);
}

static bool begins(const char *path, const char *with)
{
	return strncmp(path, with, strlen(with)) == 0;
}

struct change {
	const char *path;
	const json_t *from, *to;
};

static bool policy_may_let_go(const json_t *spec, const struct change *c,
			      size_t added)
{
	const size_t rules = json_object_size(
		json_object_get(spec, "retention"));

	if (strcmp(c->path, "/spec/retention") == 0)
		return rules > 0;
	if (begins(c->path, "/spec/retention/"))
		return rule_may_let_go(c->from, c->to, rules, added);
	if (strcmp(c->path, "/spec/floor") == 0)
		return !c->to;
	return strcmp(c->path, "/spec/timeZone") == 0 ||
	       begins(c->path, "/spec/floor/");
}

static bool may_let_go(const char *kind, const json_t *spec,
		       const struct change *c, size_t added)
{
	if (strcmp(kind, "Policy") == 0)
		return policy_may_let_go(spec, c, added);
	/* Other rules for the same snapshots: of a schedule that has some. */
	if (strcmp(kind, "Schedule") == 0)
		return json_object_get(spec, "policy") &&
		       (strcmp(c->path, "/spec/policy") == 0 ||
			strcmp(c->path, "/spec/repository") == 0 ||
			begins(c->path, "/spec/sources"));
	return strcmp(kind, "Source") == 0 && begins(c->path, "/labels");
}

static struct change change_of(const json_t *one)
{
	const char *path = json_string_value(json_object_get(one, "path"));

	return (struct change){ .path = path ? path : "",
				.from = json_object_get(one, "from"),
				.to = json_object_get(one, "to") };
}

static bool any_may_let_go(const char *kind, const json_t *spec,
			   const json_t *changes)
{
	size_t added = 0;

	for (size_t i = 0; i < json_array_size(changes); i++) {
		const struct change c = change_of(json_array_get(changes, i));

		added += begins(c.path, "/spec/retention/") && !c.from;
	}
	for (size_t i = 0; i < json_array_size(changes); i++) {
		const struct change c = change_of(json_array_get(changes, i));

		if (may_let_go(kind, spec, &c, added))
			return true;
	}
	return false;
}

/* What the next run will find, it lists then: earlier nothing is deleted. */
static void write_note(const struct operation_call *call,
		       const struct catalog_document *doc,
		       const struct catalog_applied *applied)
{
	json_t *spec = jsontree_loads(doc->spec_json, 0, NULL);
	json_t *changes = applied->change == CATALOG_CHANGED
				  ? jsontree_loads(applied->difference_json, 0,
						   NULL)
				  : NULL;
	char until[INSTANT_TEXT] = "the cooling-off period is over";
	char text[400];

	if (call->config)
		instant_format(
			(struct instant){ .sec = call->now.sec +
						 config_ms(call->config,
							   CONFIG_COOLING_OFF) /
							 1000 },
			until);
	(void)snprintf(text, sizeof(text),
		       "snapshots that were kept may be let go by this; the "
		       "next run lists them, and they stay until %s at least; "
		       "\"snapctl policy pending\" shows the list",
		       until);
	json_kv_str(call->reply, "note",
		    any_may_let_go(doc->kind, spec, changes) ? text : NULL);
	json_decref(changes);
	json_decref(spec);
}

static void write_applied(const struct documents *d,
			  const struct operation_call *call)
{
	struct json *j = call->reply;

	static const char *const results[] = {
		[CATALOG_UNCHANGED] = "unchanged",
		[CATALOG_CREATED] = "created",
		[CATALOG_CHANGED] = "changed",
	};

	json_begin_list(j);
	for (size_t i = 0; i < d->n; i++) {
		json_begin_object(j);
		json_kv_str(j, "kind", d->docs[i].kind);
		json_kv_str(j, "name", d->docs[i].name);
		json_kv_str(j, "result", results[d->applied[i].change]);
		json_kv_int(j, "version", d->applied[i].version);
		json_key(j, "difference");
		json_raw(j, d->applied[i].difference_json
				    ? d->applied[i].difference_json
				    : "[]");
		write_note(call, &d->docs[i], &d->applied[i]);
		json_end_object(j);
	}
	json_end_list(j);
}

static int apply_documents(struct operation_call *call, struct documents *d,
			   struct err *e)
{
	struct op_actor actor;

	op_actor_init(&actor, call);
	if (catalog_begin(call->catalog, e) < 0)
		return -1;
	if (catalog_apply(call->catalog, d->docs, d->n, &actor.actor,
			  d->applied, e) < 0) {
		catalog_rollback(call->catalog);
		return -1;
	}
	if (args_switch(call->args, "dry-run")) {
		catalog_rollback(call->catalog);
		return 0;
	}
	if (catalog_commit(call->catalog, e) < 0) {
		catalog_rollback(call->catalog);
		return -1;
	}
	if (call->wake)
		call->wake(call->wake_arg);
	return 0;
}

static int apply(struct operation_call *call, struct err *e)
{
	CLEANUP(resource_set_free) struct resource_set *set = NULL;
	struct documents d = { .n = 0 };
	int status = -1;

	if (resource_set_new(&set, e) < 0 || read_set(call, set, e) < 0 ||
	    check_argv(call, set, e) < 0)
		return -1;
	if (make_documents(set, &d, e) == 0 &&
	    apply_documents(call, &d, e) == 0) {
		write_applied(&d, call);
		status = 0;
	}
	documents_done(&d);
	return status;
}

/* ---- get and delete ----------------------------------------------------- */

static int write_resource(void *arg, const struct catalog_resource *r,
			  struct err *e UNUSED)
{
	struct json *j = arg;

	json_begin_object(j);
	json_kv_str(j, "apiVersion", RESOURCE_API_VERSION);
	json_kv_str(j, "kind", r->kind);
	json_key(j, "metadata");
	json_begin_object(j);
	json_kv_str(j, "name", r->name);
	json_key(j, "labels");
	json_raw(j, r->labels_json);
	json_kv_str(j, "uid", r->uid);
	json_kv_int(j, "version", r->version);
	json_kv_instant(j, "created", r->created);
	json_kv_instant(j, "changed", r->changed);
	json_end_object(j);
	json_key(j, "spec");
	json_raw(j, r->spec_json);
	json_end_object(j);
	return 0;
}

static int no_resource(struct operation_call *call, const char *kind,
		       const char *name, struct err *e)
{
	char near[256];
	struct err ignored;

	(void)err_set(e, ERR_NOT_FOUND, "there is no %s %s", kind,
		      text_quote_str(name).s);
	if (catalog_resource_nearest(call->catalog, kind, name, near,
				     &ignored) == 1)
		return err_hint(e, "did you mean \"%s\"?", near);
	return err_hint(e, "\"snapctl get %s\" lists them", kind);
}

/* "-l tier=gold" */
static int split_labels(const struct args *args, struct catalog_label *labels,
			size_t n, char **texts, struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		const char *text = args_nth(args, "label", i);
		char *equals;

		texts[i] = strdup(text);
		if (!texts[i])
			return err_oom(e);
		equals = strchr(texts[i], '=');
		if (!equals)
			return err_set(e, ERR_USAGE, "%s is not LABEL=VALUE",
				       text_quote_str(text).s);
		*equals = '\0';
		labels[i] = (struct catalog_label){ .key = texts[i],
						    .value = equals + 1 };
	}
	return 0;
}

static int list_resources(struct operation_call *call, const char *kind,
			  struct err *e)
{
	enum { LABELS = 16 };
	struct catalog_label labels[LABELS];
	char *texts[LABELS] = { NULL };
	const struct catalog_resource_filter filter = {
		.kind = kind,
		.labels = labels,
		.n_labels = args_count(call->args, "label"),
	};
	int status;

	if (filter.n_labels > LABELS)
		return err_set(e, ERR_USAGE, "more than %d labels", LABELS);
	status = split_labels(call->args, labels, filter.n_labels, texts, e);
	if (status == 0) {
		json_begin_list(call->reply);
		status = catalog_resources(call->catalog, &filter,
					   write_resource, call->reply, e);
		json_end_list(call->reply);
	}
	for (size_t i = 0; i < LABELS; i++)
		free(texts[i]);
	return status;
}

static int get(struct operation_call *call, struct err *e)
{
	const char *name = args_text(call->args, "name");
	enum resource_kind kind;
	int found;

	if (resource_kind_named(args_text(call->args, "kind"), &kind, e) < 0)
		return -1;
	if (!name)
		return list_resources(call, resource_kind_name(kind), e);
	found = catalog_resource_get(call->catalog, resource_kind_name(kind),
				     name, write_resource, call->reply, e);
	if (found == 0)
		return no_resource(call, resource_kind_name(kind), name, e);
	return found < 0 ? -1 : 0;
}

static int delete (struct operation_call *call, struct err *e)
{
	const char *name = args_text(call->args, "name");
	struct op_actor actor;
	enum resource_kind kind;

	op_actor_init(&actor, call);
	if (resource_kind_named(args_text(call->args, "kind"), &kind, e) < 0 ||
	    catalog_resource_delete(call->catalog, resource_kind_name(kind),
				    name, &actor.actor, e) < 0)
		return -1;
	if (call->wake)
		call->wake(call->wake_arg);
	json_begin_object(call->reply);
	json_kv_str(call->reply, "kind", resource_kind_name(kind));
	json_kv_str(call->reply, "name", name);
	json_kv_str(call->reply, "result", "deleted");
	json_end_object(call->reply);
	return 0;
}

/* ---- Rows --------------------------------------------------------------- */

static const struct operation_param apply_params[] = {
	{ .name = "file",
	  .kind = PARAM_OPTION,
	  .type = PARAM_DOCUMENT,
	  .letter = 'f',
	  .required = true,
	  .value = "FILE|-",
	  .help = "the manifest: YAML documents" },
	{ .name = "dry-run",
	  .kind = PARAM_SWITCH,
	  .help = "check everything and change nothing" },
	{ 0 }
};

static const struct operation_param get_params[] = {
	{ .name = "kind",
	  .kind = PARAM_POSITIONAL,
	  .required = true,
	  .value = "KIND",
	  .help = "repository, policy, source, schedule or drill" },
	{ .name = "name",
	  .kind = PARAM_POSITIONAL,
	  .value = "NAME",
	  .help = "one of them; all without it" },
	{ .name = "label",
	  .kind = PARAM_OPTION,
	  .letter = 'l',
	  .repeated = true,
	  .value = "LABEL=VALUE",
	  .help = "only those with this label" },
	{ 0 }
};

static const struct operation_param delete_params[] = {
	{ .name = "kind",
	  .kind = PARAM_POSITIONAL,
	  .required = true,
	  .value = "KIND",
	  .help = "repository, policy, source, schedule or drill" },
	{ .name = "name",
	  .kind = PARAM_POSITIONAL,
	  .required = true,
	  .value = "NAME",
	  .help = "which one" },
	{ 0 }
};

const struct operation op_resource_rows[] = {
	{ .verb = "apply",
	  .method = "POST",
	  .route = "/apply",
	  .flags = OPERATION_DAEMON | OPERATION_CHANGES,
	  .params = apply_params,
	  .view = "!apply",
	  .summary = "declare what is protected, when, how long and where to",
	  .help = "All documents are checked before any takes effect; what is "
		  "wrong is named with file, line and column. Applying a "
		  "schedule starts nothing: its first run is the next moment "
		  "of its timetable.\n\n"
		  "What changed is told field by field. A change by which "
		  "snapshots that were kept may be let go says so: the next "
		  "run lists them, which \"policy pending\" shows, and they "
		  "stay for the cooling-off period (coolingOff) at least.",
	  .run = apply },
	{ .verb = "get",
	  .method = "GET",
	  .route = "/resources/{kind}",
	  .flags = OPERATION_DAEMON,
	  .params = get_params,
	  .view = "kind metadata.name=name metadata.version=version "
		  "metadata.changed:age=changed metadata.labels:fields=labels "
		  "spec:fields",
	  .summary = "show what is declared",
	  .run = get },
	{ .verb = "delete",
	  .method = "DELETE",
	  .route = "/resources/{kind}/{name}",
	  .flags = OPERATION_DAEMON | OPERATION_CHANGES,
	  .params = delete_params,
	  .view = "kind name result",
	  .summary = "take a declaration back",
	  .help = "What others refer to cannot be deleted. Snapshots stay "
		  "until their policy lets them go.",
	  .run = delete },
	{ 0 },
};

#include <assert.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "service/catalog_difference.h"
#include "service/catalog_hash.h"
#include "service/catalog_internal.h"
#include "service/jsontree.h"

/* A live resource as apply and delete see it. */
struct current {
	int64_t id;
	struct catalog_uid uid;
	int64_t version;
	char *labels, *spec; /* owned */
};

static void current_done(struct current *r)
{
	free(r->labels);
	free(r->spec);
}

static void free_text(char *s)
{
	free(s);
}
DEFINE_CLEANUP(char *, free_text);

/* 1, or 0 when there is none. */
static int find_current(struct catalog *c, const char *kind, const char *name,
			struct current *ret, struct err *e)
{
	CLEANUP(sql_end)
	struct sql_stmt *s = sql_stmt(
		c->db,
		"SELECT id, uid, version, labels, spec FROM resources "
		"WHERE kind = ? AND name = ? AND deleted_us IS NULL",
		e);
	int got;

	if (s == NULL)
		return -1;
	sql_text(s, kind);
	sql_text(s, name);
	got = sql_step(s, e);
	if (got <= 0)
		return got;
	ret->id = sql_get_int(s);
	(void)snprintf(ret->uid.s, sizeof(ret->uid.s), "%s", sql_get_text(s));
	ret->version = sql_get_int(s);
	ret->labels = strdup(sql_get_text(s));
	ret->spec = strdup(sql_get_text(s));
	if (ret->labels == NULL || ret->spec == NULL) {
		current_done(ret);
		ret->labels = ret->spec = NULL;
		return err_oom(e);
	}
	return 1;
}

/* ---- Writing one version
 * ------------------------------------------------------ */

/* A document in canonical spelling. */
struct canonical {
	const struct catalog_document *doc;
	char *labels, *spec, *refs; /* owned */
};

static void canonical_done(struct canonical *k)
{
	free(k->labels);
	free(k->spec);
	free(k->refs);
}

static int spell_refs(const struct catalog_document *doc, char **ret,
		      struct err *e)
{
	json_t *list = json_array();
	bool failed = list == NULL;

	for (size_t i = 0; i < doc->n_refs && !failed; i++)
		failed = json_array_append_new(
				 list, json_pack("{s:s, s:s}", "kind",
						 doc->refs[i].kind, "name",
						 doc->refs[i].name)) < 0;
	*ret = failed ? NULL
		      : jsontree_dump(list, JSON_SORT_KEYS | JSON_COMPACT);
	json_decref(list);
	return *ret == NULL ? err_oom(e) : 0;
}

static int canonical_init(struct canonical *k,
			  const struct catalog_document *doc, struct err *e)
{
	const char *labels = doc->labels_json ? doc->labels_json : "{}";

	*k = (struct canonical){ .doc = doc };
	if (catalog_difference_canonical(labels, "the list of labels",
					 &k->labels, e) < 0 ||
	    catalog_difference_canonical(doc->spec_json ? doc->spec_json : "{}",
					 "the spec", &k->spec, e) < 0 ||
	    spell_refs(doc, &k->refs, e) < 0) {
		canonical_done(k);
		return -1;
	}
	return 0;
}

static int run_for(struct catalog *c, const char *text, int64_t id,
		   const char *json, struct err *e)
{
	struct sql_stmt *s = sql_stmt(c->db, text, e);

	if (s == NULL)
		return -1;
	sql_int(s, id);
	if (json != NULL)
		sql_text(s, json);
	return sql_run(s, e) < 0 ? -1 : 0;
}

/* The look-up tables follow the current version. */
static int refill(struct catalog *c, int64_t id, const struct canonical *k,
		  struct err *e)
{
	if (run_for(c, "DELETE FROM resource_labels WHERE resource = ?", id,
		    NULL, e) < 0 ||
	    run_for(c, "DELETE FROM resource_refs WHERE resource = ?", id, NULL,
		    e) < 0 ||
	    run_for(c,
		    "INSERT INTO resource_labels (resource, key, value) "
		    "SELECT ?1, key, value FROM json_each(?2)",
		    id, k->labels, e) < 0)
		return -1;
	return run_for(c,
		       "INSERT OR IGNORE INTO resource_refs "
		       "(resource, kind, name) SELECT ?1, value ->> 'kind', "
		       "value ->> 'name' FROM json_each(?2)",
		       id, k->refs, e);
}

static int insert_resource(struct catalog *c, const struct canonical *k,
			   struct instant now, struct current *ret,
			   struct err *e)
{
	struct sql_stmt *s = sql_stmt(
		c->db,
		"INSERT INTO resources (kind, name, uid, version, created_us, "
		"changed_us, labels, spec) VALUES (?, ?, ?, 1, ?, ?, ?, ?)",
		e);

	if (s == NULL)
		return -1;
	ret->uid = catalog_draw_uid();
	ret->version = 1;
	sql_text(s, k->doc->kind);
	sql_text(s, k->doc->name);
	sql_text(s, ret->uid.s);
	sql_time(s, now);
	sql_time(s, now);
	sql_text(s, k->labels);
	sql_text(s, k->spec);
	if (sql_run(s, e) < 0)
		return -1;
	ret->id = sql_last_id(c->db);
	return 0;
}

static int update_resource(struct catalog *c, const struct canonical *k,
			   struct instant now, struct current *r, struct err *e)
{
	struct sql_stmt *s = sql_stmt(
		c->db,
		"UPDATE resources SET version = ?, changed_us = ?, "
		"labels = ?, spec = ? WHERE id = ?",
		e);

	if (s == NULL)
		return -1;
	r->version++;
	sql_int(s, r->version);
	sql_time(s, now);
	sql_text(s, k->labels);
	sql_text(s, k->spec);
	sql_int(s, r->id);
	return sql_run(s, e) < 0 ? -1 : 0;
}

struct new_version {
	int64_t resource, version;
	bool deleted;
	const char *labels, *spec, *refs, *difference;
};

static int insert_version(struct catalog *c, const struct new_version *v,
			  const struct catalog_actor *actor, struct err *e)
{
	struct sql_stmt *s = sql_stmt(
		c->db,
		"INSERT INTO resource_versions (resource, version, deleted, "
		"at_us, actor_uid, actor, labels, spec, refs, difference) "
		"VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		e);

	if (s == NULL)
		return -1;
	sql_int(s, v->resource);
	sql_int(s, v->version);
	sql_int(s, v->deleted);
	sql_time(s, actor->now);
	sql_int(s, actor->uid);
	sql_text(s, actor->name);
	sql_text(s, v->labels);
	sql_text(s, v->spec);
	sql_text(s, v->refs);
	sql_text(s, v->difference);
	return sql_run(s, e) < 0 ? -1 : 0;
}

/* The spec's digest goes into the chain: a version cannot be rewritten. */
static int record_version(struct catalog *c, const struct catalog_actor *actor,
			  const char *action, const char *object,
			  const struct new_version *v, struct err *e)
{
	char hex[CATALOG_HASH_TEXT], number[24];

	assert(v->spec);
	catalog_hash(v->spec, strlen(v->spec), hex);
	(void)snprintf(number, sizeof(number), "%lld", (long long)v->version);
	return catalog_record(
		c, actor, action, object,
		(const struct catalog_fact[2]){ { "version", number },
						{ "spec_sha256", hex } },
		e);
}

/* ---- Apply
 * -------------------------------------------------------------------- */

/* {"labels":…,"spec":…}: what a difference is taken of. */
static int whole(const char *labels, const char *spec, char **ret,
		 struct err *e)
{
	if (asprintf(ret, "{\"labels\":%s,\"spec\":%s}", labels, spec) >= 0)
		return 0;
	*ret = NULL;
	return err_oom(e);
}

static int difference_of(const struct current *r, const struct canonical *k,
			 char **ret, struct err *e)
{
	CLEANUP(free_text) char *from = NULL;
	CLEANUP(free_text) char *to = NULL;

	if (whole(r->labels ? r->labels : "{}", r->spec ? r->spec : "{}", &from,
		  e) < 0 ||
	    whole(k->labels, k->spec, &to, e) < 0)
		return -1;
	return catalog_difference(from, to, ret, e);
}

static int write_change(struct catalog *c, struct current *r,
			const struct canonical *k,
			const struct catalog_actor *actor,
			struct catalog_applied *ret, struct err *e)
{
	const bool is_new = ret->change == CATALOG_CREATED;
	struct new_version v = { .labels = k->labels,
				 .spec = k->spec,
				 .refs = k->refs };
	char object[600];

	if (difference_of(r, k, &ret->difference_json, e) < 0)
		return -1;
	if ((is_new ? insert_resource(c, k, actor->now, r, e)
		    : update_resource(c, k, actor->now, r, e)) < 0)
		return -1;
	v.resource = r->id;
	v.version = r->version;
	v.difference = ret->difference_json;
	(void)snprintf(object, sizeof(object), "%s/%s", k->doc->kind,
		       k->doc->name);
	if (refill(c, r->id, k, e) < 0 || insert_version(c, &v, actor, e) < 0)
		return -1;
	return record_version(c, actor,
			      is_new ? "resource.create" : "resource.change",
			      object, &v, e);
}

static int apply_canonical(struct catalog *c, const struct canonical *k,
			   const struct catalog_actor *actor,
			   struct catalog_applied *ret, struct err *e)
{
	struct current r = { .id = 0 };
	int got = find_current(c, k->doc->kind, k->doc->name, &r, e);

	if (got < 0)
		return -1;
	ret->change = CATALOG_CREATED;
	if (got > 0)
		ret->change = strcmp(r.spec, k->spec) == 0 &&
					      strcmp(r.labels, k->labels) == 0
				      ? CATALOG_UNCHANGED
				      : CATALOG_CHANGED;
	got = 0;
	if (ret->change != CATALOG_UNCHANGED)
		got = write_change(c, &r, k, actor, ret, e);
	ret->uid = r.uid;
	ret->version = r.version;
	current_done(&r);
	return got;
}

static int apply_one(struct catalog *c, const struct catalog_document *doc,
		     const struct catalog_actor *actor,
		     struct catalog_applied *ret, struct err *e)
{
	struct canonical k;
	int got;

	if (canonical_init(&k, doc, e) < 0)
		return -1;
	got = apply_canonical(c, &k, actor, ret, e);
	canonical_done(&k);
	return got;
}

static int expect_target(struct catalog *c, const struct catalog_ref *ref,
			 struct err *e)
{
	struct current r = { .id = 0 };
	char nearest[256];
	const int got = find_current(c, ref->kind, ref->name, &r, e);

	current_done(&r);
	if (got != 0)
		return got < 0 ? -1 : 0;
	switch (catalog_resource_nearest(c, ref->kind, ref->name, nearest, e)) {
	case 0:
		return err_set(e, ERR_NOT_FOUND, "there is no %s %s", ref->kind,
			       text_quote_str(ref->name).s);
	case 1:
		(void)err_set(e, ERR_NOT_FOUND, "there is no %s %s", ref->kind,
			      text_quote_str(ref->name).s);
		return err_hint(e, "did you mean %s?",
				text_quote_str(nearest).s);
	default:
		return -1;
	}
}

static int with_place(const struct catalog_document *doc, struct err *e)
{
	return doc->where ? err_wrap(e, "%s", doc->where)
			  : err_wrap(e, "%s %s", doc->kind,
				     text_quote_str(doc->name).s);
}

static int by_identity(const void *a, const void *b)
{
	const struct catalog_document *const *x = a, *const *y = b;
	const int kinds = strcmp((*x)->kind, (*y)->kind);
	const int names = kinds ? kinds : strcmp((*x)->name, (*y)->name);

	return names ? names : (*x > *y) - (*x < *y);
}

static int expect_once(const struct catalog_document *docs, size_t n,
		       struct err *e)
{
	const struct catalog_document **sorted = calloc(n, sizeof(*sorted));
	const struct catalog_document *twice = NULL;

	if (sorted == NULL)
		return err_oom(e);
	for (size_t i = 0; i < n; i++)
		sorted[i] = &docs[i];
	qsort(sorted, n, sizeof(*sorted), by_identity);
	for (size_t i = 1; i < n && twice == NULL; i++)
		if (strcmp(sorted[i]->kind, sorted[i - 1]->kind) == 0 &&
		    strcmp(sorted[i]->name, sorted[i - 1]->name) == 0)
			twice = sorted[i];
	free(sorted);
	if (twice == NULL)
		return 0;
	(void)err_set(e, ERR_USAGE, "it is given twice");
	return with_place(twice, e);
}

static int apply_all(struct catalog *c, const struct catalog_document *docs,
		     size_t n, const struct catalog_actor *actor,
		     struct catalog_applied *ret, struct err *e)
{
	if (expect_once(docs, n, e) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (apply_one(c, &docs[i], actor, &ret[i], e) < 0)
			return with_place(&docs[i], e);
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < docs[i].n_refs; j++)
			if (expect_target(c, &docs[i].refs[j], e) < 0)
				return with_place(&docs[i], e);
	return 0;
}

int catalog_apply(struct catalog *c, const struct catalog_document *docs,
		  size_t n, const struct catalog_actor *actor,
		  struct catalog_applied *ret, struct err *e)
{
	struct catalog_applied *applied;
	int got;

	if (n == 0)
		return 0;
	applied = calloc(n, sizeof(*applied));
	if (applied == NULL)
		return err_oom(e);
	got = catalog_begin(c, e);
	if (got == 0)
		got = catalog_finish(
			c, apply_all(c, docs, n, actor, applied, e), e);
	if (got == 0)
		memcpy(ret, applied, n * sizeof(*applied));
	else
		catalog_applied_done(applied, n);
	free(applied);
	return got;
}

void catalog_applied_done(struct catalog_applied *applied, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(applied[i].difference_json);
		applied[i].difference_json = NULL;
	}
}

/* ---- Delete
 * ------------------------------------------------------------------- */

static int expect_unreferenced(struct catalog *c, const char *kind,
			       const char *name, struct err *e)
{
	CLEANUP(sql_end)
	struct sql_stmt *s = sql_stmt(
		c->db,
		"SELECT r.kind, r.name FROM resource_refs f "
		"JOIN resources r ON r.id = f.resource WHERE f.kind = ? AND "
		"f.name = ? AND r.deleted_us IS NULL ORDER BY r.kind, r.name",
		e);
	const char *by;
	int got;

	if (s == NULL)
		return -1;
	sql_text(s, kind);
	sql_text(s, name);
	got = sql_step(s, e);
	if (got <= 0)
		return got;
	by = sql_get_text(s);
	(void)err_set(e, ERR_IN_USE, "%s %s is in use by %s %s", kind,
		      text_quote_str(name).s, by,
		      text_quote_str(sql_get_text(s)).s);
	return err_hint(e, "change or delete what refers to it first");
}

static int delete_current(struct catalog *c, const struct current *r,
			  const struct catalog_actor *actor, const char *object,
			  struct err *e)
{
	const struct new_version v = { .resource = r->id,
				       .version = r->version + 1,
				       .deleted = true,
				       .labels = r->labels,
				       .spec = r->spec,
				       .refs = "[]",
				       .difference = "[]" };
	const struct canonical nothing = { .labels = (char[]){ "{}" },
					   .refs = (char[]){ "[]" } };
	struct sql_stmt *s = sql_stmt(
		c->db,
		"UPDATE resources SET deleted_us = ?2, changed_us = ?2, "
		"version = version + 1 WHERE id = ?1",
		e);

	if (s == NULL)
		return -1;
	sql_int(s, r->id);
	sql_time(s, actor->now);
	if (sql_run(s, e) < 0 || refill(c, r->id, &nothing, e) < 0 ||
	    insert_version(c, &v, actor, e) < 0)
		return -1;
	return record_version(c, actor, "resource.delete", object, &v, e);
}

static int delete_named(struct catalog *c, const char *kind, const char *name,
			const struct catalog_actor *actor, struct err *e)
{
	const struct catalog_ref itself = { kind, name };
	struct current r = { .id = 0 };
	char object[600];
	int got;

	if (expect_target(c, &itself, e) < 0 ||
	    expect_unreferenced(c, kind, name, e) < 0 ||
	    find_current(c, kind, name, &r, e) < 0)
		return -1;
	(void)snprintf(object, sizeof(object), "%s/%s", kind, name);
	got = delete_current(c, &r, actor, object, e);
	current_done(&r);
	return got;
}

int catalog_resource_delete(struct catalog *c, const char *kind,
			    const char *name, const struct catalog_actor *actor,
			    struct err *e)
{
	if (catalog_begin(c, e) < 0)
		return -1;
	return catalog_finish(c, delete_named(c, kind, name, actor, e), e);
}

/* ---- Reading
 * ------------------------------------------------------------------ */

#define RESOURCE_COLUMNS                                                    \
	"SELECT kind, name, uid, version, created_us, changed_us, labels, " \
	"spec FROM resources r"

struct resource_to {
	catalog_resource_visit *visit;
	void *arg;
};

static int resource_row(const void *to, struct sql_stmt *s, struct err *e)
{
	const struct resource_to *t = to;
	struct catalog_resource r;

	r.kind = sql_get_text(s);
	r.name = sql_get_text(s);
	r.uid = sql_get_text(s);
	r.version = sql_get_int(s);
	r.created = sql_get_time(s);
	r.changed = sql_get_time(s);
	r.labels_json = sql_get_text(s);
	r.spec_json = sql_get_text(s);
	return t->visit(t->arg, &r, e);
}

int catalog_resource_get(struct catalog *c, const char *kind, const char *name,
			 catalog_resource_visit *visit, void *arg,
			 struct err *e)
{
	const struct resource_to to = { visit, arg };
	struct sql_query q;

	sql_query(&q, RESOURCE_COLUMNS);
	sql_when_text(&q, "kind = ?", kind);
	sql_when_text(&q, "name = ?", name);
	sql_when(&q, "deleted_us IS NULL");
	return catalog_each(c, sql_query_stmt(c->db, &q, e), resource_row, &to,
			    e);
}

int catalog_resource_get_uid(struct catalog *c, const char *uid,
			     catalog_resource_visit *visit, void *arg,
			     struct err *e)
{
	const struct resource_to to = { visit, arg };
	struct sql_query q;

	sql_query(&q, RESOURCE_COLUMNS);
	sql_when_text(&q, "uid = ?", uid);
	return catalog_each(c, sql_query_stmt(c->db, &q, e), resource_row, &to,
			    e);
}

int catalog_resources(struct catalog *c,
		      const struct catalog_resource_filter *filter,
		      catalog_resource_visit *visit, void *arg, struct err *e)
{
	const struct resource_to to = { visit, arg };
	struct sql_query q;

	/* Each label is two arguments and some 120 bytes of the query. */
	if (filter->n_labels > 8)
		return err_set(e, ERR_USAGE,
			       "more than 8 labels are asked for at once");
	sql_query(&q, RESOURCE_COLUMNS);
	sql_when(&q, "deleted_us IS NULL");
	sql_when_text(&q, "kind = ?", filter->kind);
	for (size_t i = 0; i < filter->n_labels; i++) {
		sql_when(&q, "r.id IN (SELECT resource FROM resource_labels "
			     "WHERE key = ? AND value = ?)");
		sql_arg_text(&q, filter->labels[i].key);
		sql_arg_text(&q, filter->labels[i].value);
	}
	sql_more(&q, " ORDER BY kind, name");
	return catalog_list(c, sql_query_stmt(c->db, &q, e), resource_row, &to,
			    e);
}

struct nearest {
	const char *name;
	char *best;
	unsigned int distance;
};

static int consider(void *arg, const struct catalog_resource *r, struct err *e)
{
	struct nearest *n = arg;
	const unsigned int d = text_distance(n->name, r->name);

	(void)e;
	if (d < n->distance) {
		n->distance = d;
		(void)snprintf(n->best, 256, "%s", r->name);
	}
	return 0;
}

int catalog_resource_nearest(struct catalog *c, const char *kind,
			     const char *name, char ret_name[256],
			     struct err *e)
{
	const struct catalog_resource_filter filter = { .kind = kind };
	char best[256] = "";
	/* A third of the letters wrong is still a slip of the fingers. */
	struct nearest n = { .name = name,
			     .best = best,
			     .distance = (unsigned int)(strlen(name) / 3) + 2 };

	if (catalog_resources(c, &filter, consider, &n, e) < 0)
		return -1;
	if (best[0] == '\0')
		return 0;
	memcpy(ret_name, best, sizeof(best));
	return 1;
}

#define VERSION_COLUMNS                                                       \
	"SELECT r.uid, v.version, v.deleted, v.at_us, v.actor_uid, v.actor, " \
	"v.labels, v.spec, v.difference FROM resource_versions v "            \
	"JOIN resources r ON r.id = v.resource"

struct version_to {
	catalog_version_visit *visit;
	void *arg;
};

static int version_row(const void *to, struct sql_stmt *s, struct err *e)
{
	const struct version_to *t = to;
	struct catalog_version v;

	v.uid = sql_get_text(s);
	v.version = sql_get_int(s);
	v.deleted = sql_get_bool(s);
	v.at = sql_get_time(s);
	v.actor_uid = sql_get_int(s);
	v.actor = sql_get_text(s);
	v.labels_json = sql_get_text(s);
	v.spec_json = sql_get_text(s);
	v.difference_json = sql_get_text(s);
	return t->visit(t->arg, &v, e);
}

int catalog_versions(struct catalog *c, const char *kind, const char *name,
		     catalog_version_visit *visit, void *arg, struct err *e)
{
	const struct version_to to = { visit, arg };
	struct sql_query q;

	sql_query(&q, VERSION_COLUMNS);
	sql_when_text(&q, "r.kind = ?", kind);
	sql_when_text(&q, "r.name = ?", name);
	sql_more(&q, " ORDER BY r.id DESC, v.version DESC");
	return catalog_list(c, sql_query_stmt(c->db, &q, e), version_row, &to,
			    e);
}

int catalog_version_get(struct catalog *c, const char *uid, int64_t version,
			catalog_version_visit *visit, void *arg, struct err *e)
{
	const struct version_to to = { visit, arg };
	struct sql_query q;

	sql_query(&q, VERSION_COLUMNS);
	sql_when_text(&q, "r.uid = ?", uid);
	sql_when_int(&q, "v.version = ?", version);
	return catalog_each(c, sql_query_stmt(c->db, &q, e), version_row, &to,
			    e);
}

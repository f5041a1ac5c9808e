/*
 * Another primary region.
 *
 * `region promote` looks, in the caller's own process and with the caller's
 * rights: the region must be one that opens, and has what the old one has, as
 * far as that can be told.  `region set-primary` changes what is declared, in
 * the daemon and in one transaction: the Repository, and each Schedule that
 * copied to the new primary, which copies to the old one from then on.
 *
 * Nothing waits for it. A run that is under way keeps to the region it began
 * with; what it wrote there comes to the new primary with the next run.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "service/args.h"
#include "service/catalog.h"
#include "service/catalog_audit.h"
#include "service/catalog_keep.h"
#include "service/engine_named.h"
#include "service/engine_rules.h"
#include "service/jsontree.h"
#include "service/op.h"
#include "service/op_actor.h"
#include "service/op_known.h"
#include "service/op_resource.h"
#include "service/progress.h"
#include "service/region_choice.h"
#include "service/retain.h"
#include "service/unwanted.h"
#include "storage/replicate.h"
#include "storage/repository/keyring.h"

#define REPLY_MAX ((size_t)16 << 20)

/* ---- set-primary: in the daemon ----------------------------------------- */

/* What changes, the Repository first. */
struct change {
	struct operation_call *call;
	struct resource **v;
	struct op_document *docs;
	size_t n, room;
	struct resource_region *now, *was; /* of v[0] */
};

static void change_done(struct change *c)
{
	for (size_t i = 0; i < c->n; i++) {
		op_document_done(&c->docs[i]);
		resource_free(c->v[i]);
	}
	free((void *)c->v);
	free(c->docs);
}
static inline void cleanup_change_done(struct change *c)
{
	change_done(c);
}

/* Takes over r in any case. */
static int add(struct change *c, struct resource *r, struct err *e)
{
	if (c->n == c->room) {
		const size_t room = c->room ? 2 * c->room : 8;
		struct resource **v = reallocarray((void *)c->v, room,
						   sizeof(struct resource *));
		struct op_document *docs =
			v ? reallocarray(c->docs, room, sizeof(*docs)) : NULL;

		if (v)
			c->v = v;
		if (!docs) {
			resource_free(r);
			return err_oom(e);
		}
		c->docs = docs;
		c->room = room;
	}
	c->docs[c->n] = (struct op_document){ .refs = NULL };
	c->v[c->n++] = r;
	return 0;
}

static int read_form(const struct catalog_resource *row, struct resource **ret,
		     struct err *e)
{
	const struct resource_form form = { .kind = row->kind,
					    .name = row->name,
					    .labels_json = row->labels_json,
					    .spec_json = row->spec_json };

	return resource_from_form(&form, ret, e);
}

static int take_repository(void *arg, const struct catalog_resource *row,
			   struct err *e)
{
	struct resource *r = NULL;

	return read_form(row, &r, e) < 0 ? -1 : add(arg, r, e);
}

static int find_regions(struct change *c, struct err *e)
{
	struct resource *repository = c->v[0];
	const char *region = args_text(c->call->args, "region");
	const char *was = args_text(c->call->args, "was");

	for (size_t i = 0; i < repository->repository.region_count; i++) {
		struct resource_region *r = &repository->repository.regions[i];

		if (r->primary)
			c->was = r;
		if (strcmp(r->name, region) == 0)
			c->now = r;
	}
	if (!c->now)
		return err_set(e, ERR_NOT_FOUND,
			       "repository %s declares no region %s",
			       text_quote_str(repository->name).s,
			       text_quote_str(region).s);
	if (was && c->was && strcmp(c->was->name, was) != 0)
		return err_set(
			e, ERR_BUSY, "region %s is the primary by now, not %s",
			text_quote_str(c->was->name).s, text_quote_str(was).s);
	return 0;
}

/* A schedule that copied to the new primary copies to the old one now. */
static int take_schedule(void *arg, const struct catalog_resource *row,
			 struct err *e)
{
	struct change *c = arg;
	struct resource *r = NULL;
	bool copies = false;

	if (read_form(row, &r, e) < 0)
		return -1;
	for (size_t i = 0; i < r->schedule.replicate_to.count; i++) {
		const char **name = &r->schedule.replicate_to.items[i];

		if (strcmp(*name, c->now->name) != 0)
			continue;
		*name = c->was->name;
		copies = true;
	}
	if (copies && strcmp(r->schedule.repository, c->v[0]->name) == 0)
		return add(c, r, e);
	resource_free(r);
	return 0;
}

/* What is known of the regions says so, too, before anybody asks them. */
struct known {
	char *region, *url, *message, *health;
	struct catalog_region row;
};
struct knowns {
	struct known v[32];
	size_t n;
};

static int take_known(void *arg, const struct catalog_region *row,
		      struct err *e)
{
	struct knowns *all = arg;
	struct known *k;

	if (all->n == sizeof(all->v) / sizeof(all->v[0]))
		return 0;
	k = &all->v[all->n++];
	k->row = *row;
	k->row.region = k->region = strdup(row->region);
	k->row.url = k->url = strdup(row->url);
	k->row.message = k->message = strdup(row->message);
	k->row.inventory_json = k->health = strdup(row->inventory_json);
	return k->region && k->url && k->message && k->health ? 0 : err_oom(e);
}

static int put_known(const struct change *c, struct err *e)
{
	const char *name = c->v[0]->name;
	struct knowns all = { .n = 0 };
	int failed = catalog_regions(c->call->catalog, name, take_known, &all,
				     e);

	for (size_t i = 0; i < all.n; i++) {
		struct known *k = &all.v[i];
		const bool primary = k->region &&
				     strcmp(k->region, c->now->name) == 0;

		k->row.repository = name;
		if (failed >= 0 && k->row.primary != primary) {
			k->row.primary = primary;
			failed = catalog_region_put(c->call->catalog, &k->row,
						    e);
		}
		free(k->region);
		free(k->url);
		free(k->message);
		free(k->health);
	}
	return failed < 0 ? -1 : 0;
}

static int record(const struct change *c, const struct catalog_actor *actor,
		  struct err *e)
{
	const char *found = args_text(c->call->args, "found");
	char object[sizeof("Repository/") + RESOURCE_NAME_MAX];
	CLEANUP(buf_done) struct buf details;
	struct json j;

	(void)snprintf(object, sizeof(object), "Repository/%s", c->v[0]->name);
	buf_init(&details, 8192);
	json_init(&j, json_to_buf, &details);
	json_begin_object(&j);
	json_kv_str(&j, "repository", c->v[0]->name);
	json_kv_str(&j, "region", c->now->name);
	json_kv_str(&j, "was", c->was->name);
	if (found)
		json_kv_str(&j, "found", found);
	json_end_object(&j);
	return json_finish(&j, e) < 0
		       ? -1
		       : catalog_audit_add(c->call->catalog, actor,
					   "region.promote", object,
					   buf_str(&details), e);
}

static void write_changes(const struct change *c,
			  const struct catalog_applied *applied)
{
	struct json *j = c->call->reply;

	json_begin_object(j);
	json_kv_str(j, "repository", c->v[0]->name);
	json_kv_str(j, "region", c->now->name);
	json_kv_str(j, "was", c->was->name);
	json_key(j, "changed");
	json_begin_list(j);
	for (size_t i = 0; applied && i < c->n; i++) {
		json_begin_object(j);
		json_kv_str(j, "kind", c->docs[i].doc.kind);
		json_kv_str(j, "name", c->docs[i].doc.name);
		json_kv_int(j, "version", applied[i].version);
		json_key(j, "difference");
		json_raw(j, applied[i].difference_json
				    ? applied[i].difference_json
				    : "[]");
		json_end_object(j);
	}
	json_end_list(j);
	json_end_object(j);
}

static int apply(const struct change *c, struct catalog_applied *applied,
		 struct err *e)
{
	struct catalog_document *docs = calloc(c->n + 1, sizeof(*docs));
	struct op_actor actor;
	int failed;

	if (!docs)
		return err_oom(e);
	op_actor_init(&actor, c->call);
	for (size_t i = 0; i < c->n; i++)
		docs[i] = c->docs[i].doc;
	failed = catalog_apply(c->call->catalog, docs, c->n, &actor.actor,
			       applied, e);
	free(docs);
	return failed < 0 || put_known(c, e) < 0 ||
			       record(c, &actor.actor, e) < 0
		       ? -1
		       : 0;
}

static int find_change(struct change *c, struct err *e)
{
	const struct catalog_resource_filter schedules = { .kind = "Schedule" };
	const char *name = args_text(c->call->args, "repository");
	const int found = catalog_resource_get(c->call->catalog, "Repository",
					       name, take_repository, c, e);

	if (found <= 0)
		return found < 0 ? -1
				 : op_known_refuse(c->call, "Repository", name,
						   e);
	if (find_regions(c, e) < 0)
		return -1;
	if (c->now == c->was)
		return 0;
	return catalog_resources(c->call->catalog, &schedules, take_schedule, c,
				 e) < 0
		       ? -1
		       : 0;
}

static int carry_out(struct change *c, struct err *e)
{
	struct catalog_applied *applied;
	int failed = 0;

	if (find_change(c, e) < 0)
		return -1;
	if (c->now == c->was) {
		write_changes(c, NULL);
		return 0;
	}
	c->now->primary = true;
	c->was->primary = false;
	for (size_t i = 0; i < c->n; i++)
		if (op_document_init(&c->docs[i], c->v[i], e) < 0)
			return -1;
	applied = calloc(c->n + 1, sizeof(*applied));
	if (!applied)
		return err_oom(e);
	failed = apply(c, applied, e);
	if (!failed)
		write_changes(c, applied);
	catalog_applied_done(applied, c->n);
	free(applied);
	return failed;
}

static int set_primary(struct operation_call *call, struct err *e)
{
	CLEANUP(change_done) struct change c = { .call = call };

	if (catalog_begin(call->catalog, e) < 0)
		return -1;
	if (carry_out(&c, e) < 0 || catalog_commit(call->catalog, e) < 0) {
		catalog_rollback(call->catalog);
		return -1;
	}
	if (call->wake)
		call->wake(call->wake_arg);
	return 0;
}

/* ---- promote: in the caller's process ----------------------------------- */

/* So many of what is missing are told by their ids. */
enum { NAMED = 20, NAMED_IN_TEXT = 3 };
#define FOUND_MAX 700

struct promoting {
	struct operation_call *call;
	struct resource *named;
	struct keyring_credential *key;
	const struct resource_region *now, *was;
	/* What the region lacks, of what the old primary has: what its rules
	 * want, the newest of it by its ids, and what they let go of. */
	uint64_t missing, let_go;
	char named_ids[NAMED][OBJECT_ID_TEXT];
	size_t n_named;
	struct instant newest_there, newest_here;
	bool is_from_catalog; /* that is what was known, nobody was asked */
	/* Of the old primary, and readable neither there nor in the region. */
	uint64_t unread;
	struct replicate_compared unopened;
};

static void promoting_done(struct promoting *p)
{
	keyring_credential_free(p->key);
	resource_free(p->named);
}
static inline void cleanup_promoting_done(struct promoting *p)
{
	promoting_done(p);
}

/* What both list. */
struct seeing {
	struct promoting *p;
	bool is_apart; /* regions keep by rules of their own */
	struct unwanted unwanted;
	struct object_id *lacking; /* in order of receipt */
	size_t n, room;
};

static void seeing_done(struct seeing *x)
{
	unwanted_done(&x->unwanted);
	free(x->lacking);
}
static inline void cleanup_seeing_done(struct seeing *x)
{
	seeing_done(x);
}

static int add_lacking(struct seeing *x, struct object_id id, struct err *e)
{
	if (x->n == x->room) {
		const size_t room = x->room ? 2 * x->room : 64;
		struct object_id *more = reallocarray(x->lacking, room,
						      sizeof(*more));

		if (!more)
			return err_oom(e);
		x->lacking = more;
		x->room = room;
	}
	x->lacking[x->n++] = id;
	return 0;
}

static int see(void *arg, const struct repository_snapshot *s,
	       unsigned int where, struct err *e)
{
	struct seeing *x = arg;
	struct promoting *p = x->p;

	if (where == REPLICATE_FROM &&
	    add_lacking(x, s->manifest.snapshot, e) < 0)
		return -1;
	p->let_go += x->is_apart && where & REPLICATE_FROM &&
		     where & REPLICATE_ALONE;
	if (x->is_apart && unwanted_see(&x->unwanted, s, where, e) < 0)
		return -1;
	if (s->manifest.state != MANIFEST_COMPLETE)
		return 0;
	if (where & REPLICATE_FROM)
		p->newest_there = s->received;
	if (where & REPLICATE_TO)
		p->newest_here = s->received;
	return 0;
}

static int see_unread(void *arg, struct object_id id UNUSED,
		      struct err *e UNUSED)
{
	((struct seeing *)arg)->p->unread++;
	return 0;
}

/* What its own rules want of what it lacks, the newest first. */
static int tell_apart(struct seeing *x, struct err *e)
{
	struct promoting *p = x->p;
	CLEANUP(engine_rules_done) struct engine_rules rules;
	struct object_id *ids = NULL;
	size_t n = 0;

	engine_rules_init(&rules, p->call, p->named, p->now);
	if (unwanted_judge(&x->unwanted, engine_rules_load, &rules,
			   p->call->now, e) < 0 ||
	    unwanted_ids(&x->unwanted, &ids, &n, e) < 0)
		return -1;
	for (size_t i = x->n; i-- > 0;) {
		if (unwanted_has(ids, n, x->lacking[i])) {
			p->let_go++;
			continue;
		}
		p->missing++;
		if (p->n_named < NAMED)
			object_id_format(x->lacking[i],
					 p->named_ids[p->n_named++]);
	}
	free(ids);
	return 0;
}

static void read_missing(struct promoting *p, const json_t *row)
{
	const json_t *one;
	size_t i;

	p->missing = (uint64_t)json_integer_value(
		json_object_get(row, "missing"));
	p->let_go = (uint64_t)json_integer_value(
		json_object_get(row, "let_go"));
	p->n_named = 0;
	json_array_foreach(json_object_get(row, "lacks"), i, one)
	{
		const char *id = json_string_value(one);

		if (id && p->n_named < NAMED)
			(void)snprintf(p->named_ids[p->n_named++],
				       OBJECT_ID_TEXT, "%s", id);
	}
}

static void read_known(struct promoting *p, const json_t *row)
{
	const char *name = json_string_value(json_object_get(row, "region"));
	const bool here = name && strcmp(name, p->now->name) == 0;
	struct instant *newest = here ? &p->newest_here : &p->newest_there;
	const json_t *one;
	size_t i;

	if (!name || (!here && strcmp(name, p->was->name) != 0))
		return;
	if (here)
		read_missing(p, row);
	json_array_foreach(json_object_get(row, "newest"), i, one)
	{
		const char *text = json_string_value(
			json_object_get(one, "received"));
		struct instant t;
		struct err ignored;

		if (text && instant_parse(text, &t, &ignored) == 0 &&
		    instant_compare(t, *newest) > 0)
			*newest = t;
	}
}

/* The old primary is away: what the catalog knows of both has to do. */
static int recall(struct promoting *p, struct err *e)
{
	const char *const params[][2] = { { "repository", p->named->name },
					  { "missing", "true" },
					  { NULL, NULL } };
	json_t *value;
	size_t i;

	p->is_from_catalog = true;
	if (engine_ask_tree(p->call, "region health", params, REPLY_MAX, &value,
			    e))
		return -1;
	for (i = 0; i < json_array_size(value); i++)
		read_known(p, json_array_get(value, i));
	json_decref(value);
	return 0;
}

/*
 * What was deleted in the old primary, and not passed on, would come back: from
 * now on its deletions are none of the others'.  No snapshot is copied.
 */
static int pass_on_deletions(const struct promoting *p,
			     struct repository *there, struct repository *here,
			     struct err *e)
{
	static const struct object_id none;
	struct replicate_options o = { .only = &none, .n_only = 0 };
	struct replicate_result r;

	if (engine_rules_apart(p->call, p->named, &o.apart, e) < 0 ||
	    replicate_run(there, here, &o, &r, e) < 0)
		return -1;
	if (r.unopened_records.n == 0)
		return 0;
	(void)err_set(e, ERR_IO, "%ju of its records do%s not open",
		      (uintmax_t)r.unopened_records.n,
		      r.unopened_records.n == 1 ? "es" : "");
	err_add_reason(e, r.unopened_records.sys);
	return -1;
}

/*
 * Both answered: what fails now is no answer that the old one owes.  An old one
 * that is ill may never give its deletions away; --force does without.
 */
static int settle_deletions(const struct promoting *p, struct repository *there,
			    struct repository *here, struct err *e)
{
	struct err why = { 0 };

	if (pass_on_deletions(p, there, here, &why) == 0)
		return 0;
	(void)err_wrap(
		&why, "what was deleted in region %s cannot be passed on to %s",
		text_quote_str(p->was->name).s, text_quote_str(p->now->name).s);
	if (args_switch(p->call->args, "force") &&
	    region_choice_is_away(&why, REGION_OPEN_TO_WRITE)) {
		progress_note(p->call->progress, "warning: %.500s", why.text);
		return 0;
	}
	*e = why;
	return err_hint(e,
			"--force promotes it all the same, and what was "
			"deleted in \"%s\" alone may come back",
			p->was->name);
}

/* What stands against it. */
static int look(struct promoting *p, struct err *e)
{
	CLEANUP(repository_close) struct repository *here = NULL;
	CLEANUP(repository_close) struct repository *there = NULL;
	CLEANUP(seeing_done)
	struct seeing x = {
		.p = p, .is_apart = retain_any_apart(&p->named->repository)
	};
	struct err why = { 0 };

	unwanted_init(&x.unwanted);
	if (repository_open(p->now->url, p->key, &here, e))
		return err_wrap(e, "region %s cannot be the primary",
				text_quote_str(p->now->name).s);
	if (repository_open(p->was->url, p->key, &there, &why) == 0 &&
	    replicate_compare(there, here, see, see_unread, &x, &p->unopened,
			      &why) == 0)
		return tell_apart(&x, e) < 0 ||
				       settle_deletions(p, there, here, e) < 0
			       ? -1
			       : 0;
	if (!region_choice_is_away(&why, REGION_OPEN_TO_WRITE)) {
		*e = why;
		return -1;
	}
	progress_note(p->call->progress,
		      "note: region \"%s\" cannot be asked (%.300s); what "
		      "\"%s\" lacks is told from the catalog",
		      p->was->name, why.text, p->now->name);
	p->missing = p->let_go = p->unread = 0;
	p->unopened = (struct replicate_compared){ .from = { .n = 0 } };
	p->newest_here = p->newest_there = (struct instant){ 0 };
	return recall(p, e);
}

static int64_t behind_ms(const struct promoting *p)
{
	const int64_t ms =
		p->newest_here.sec == 0 && p->newest_there.sec
			? instant_ms_between(p->newest_there, p->call->now)
			: instant_ms_between(p->newest_here, p->newest_there);

	return ms > 0 ? ms : 0;
}

/* Why the disk did not give what stands against it: errno; 0: it gave all. */
static int disk_refusal(const struct promoting *p)
{
	return p->unread && p->unopened.from.sys ? p->unopened.from.sys
						 : p->unopened.to.sys;
}

/* What is known of it is only that there is something. */
static void add_unread(const struct promoting *p, char out[FOUND_MAX])
{
	const int sys = disk_refusal(p);
	const size_t used = strlen(out);

	if (p->unread)
		(void)snprintf(out + used, FOUND_MAX - used,
			       "%s%ju snapshot%s that \"%s\" lists can be read "
			       "neither there nor in \"%s\"%s%s",
			       used ? "; " : "", (uintmax_t)p->unread,
			       p->unread == 1 ? "" : "s", p->was->name,
			       p->now->name, sys ? ": " : "",
			       sys ? err_errno_text(sys) : "");
}

/* What it lacks it may have, and not give. */
static void add_unopened(const struct promoting *p, char out[FOUND_MAX])
{
	const struct replicate_unopened *its = &p->unopened.to;
	char text[REPLICATE_UNOPENED_TEXT];
	const size_t used = strlen(out);

	if (its->n && !p->unread)
		(void)snprintf(out + used, FOUND_MAX - used, "; of \"%s\" %s",
			       p->now->name,
			       replicate_unopened_text(its, text));
}

static void tell_lack(const struct promoting *p, char out[FOUND_MAX])
{
	char behind[INSTANT_TEXT];
	char which[NAMED_IN_TEXT * 16 + 16] = "";
	size_t n = 0;

	instant_duration_format(behind_ms(p), behind);
	for (size_t i = 0; i < p->n_named && i < NAMED_IN_TEXT; i++)
		n += (size_t)snprintf(which + n, sizeof(which) - n, "%s%.12s",
				      i ? ", " : "", p->named_ids[i]);
	(void)snprintf(
		out, FOUND_MAX,
		"region \"%s\" lacks %ju snapshot%s that \"%s\" has (%s%s), "
		"and is %s behind%s",
		p->now->name, (uintmax_t)p->missing, p->missing == 1 ? "" : "s",
		p->was->name, which, p->missing > NAMED_IN_TEXT ? ", …" : "",
		behind, p->is_from_catalog ? ", as far as is known" : "");
	add_unopened(p, out);
}

/* No loss, and no surprise later on. */
static void tell_let_go(const struct promoting *p)
{
	const bool alone = p->named->repository.region_count == 2;

	if (p->let_go)
		progress_note(p->call->progress,
			      "note: %ju older snapshot%s stay%s in region "
			      "\"%s\"%s%s, as the rules of \"%s\" let them go; "
			      "after the promotion runs go on in \"%s\"",
			      (uintmax_t)p->let_go, p->let_go == 1 ? "" : "s",
			      p->let_go == 1 ? "s" : "", p->was->name,
			      alone ? " alone" : "",
			      p->is_from_catalog ? ", as far as is known" : "",
			      p->now->name, p->now->name);
}

static int judge(const struct promoting *p, char found[FOUND_MAX],
		 struct err *e)
{
	int sys;

	found[0] = '\0';
	tell_let_go(p);
	if (p->missing == 0 && p->unread == 0)
		return 0;
	if (p->missing)
		tell_lack(p, found);
	add_unread(p, found);
	if (!args_switch(p->call->args, "force")) {
		/* What a disk may give the next time is not for --force. */
		sys = disk_refusal(p);
		(void)err_set(e, sys ? err_code_of_errno(sys) : ERR_DENIED,
			      "%s", found);
		e->sys = sys;
		if (!p->missing)
			return err_hint(e,
					"`snapctl repo check` of \"%s\" names "
					"them, and a third region may heal "
					"them; --force promotes it all the "
					"same, and leaves them behind",
					p->was->name);
		return err_hint(e,
				"\"snapctl replicate --to %s\" copies them; "
				"--force promotes it all the same, and they "
				"follow when \"%s\" is back",
				p->now->name, p->was->name);
	}
	progress_note(p->call->progress, "warning: %s", found);
	return 0;
}

static int tell(const struct promoting *p, const json_t *reply, struct err *e)
{
	const json_t *list = json_object_get(reply, "changed");
	struct json *j = p->call->reply;
	char *changed;
	char note[300];

	if (!json_is_array(list))
		return err_set(e, ERR_BUG, "the daemon's answer is not known");
	if (jsontree_text(list, &changed, e))
		return -1;
	(void)snprintf(note, sizeof(note),
		       "let the manifest say so, too (primary: true of \"%s\", "
		       "and replicateTo): else the next apply turns it back",
		       p->now->name);
	json_begin_object(j);
	json_kv_str(j, "repository", p->named->name);
	json_kv_str(j, "region", p->now->name);
	json_kv_str(j, "was", p->was->name);
	json_kv_uint(j, "missing", p->missing);
	json_key(j, "lacks");
	json_begin_list(j);
	for (size_t i = 0; i < p->n_named; i++)
		json_str(j, p->named_ids[i]);
	json_end_list(j);
	json_kv_uint(j, "let_go", p->let_go);
	json_kv_uint(j, "unread", p->unread);
	json_kv_int(j, "behind_seconds", behind_ms(p) / 1000);
	json_key(j, "changed");
	json_raw(j, changed);
	json_kv_str(j, "note", p->now->primary ? NULL : note);
	json_end_object(j);
	free(changed);
	return 0;
}

static int ask(const struct promoting *p, const char *found, struct err *e)
{
	const char *const params[][2] = { { "repository", p->named->name },
					  { "region", p->now->name },
					  { "was", p->was->name },
					  { "found", *found ? found : NULL },
					  { NULL, NULL } };
	json_t *reply;
	int failed;

	if (engine_ask_tree(p->call, "region set-primary", params, REPLY_MAX,
			    &reply, e))
		return -1;
	failed = tell(p, reply, e);
	json_decref(reply);
	return failed;
}

static int promote(struct operation_call *call, struct err *e)
{
	CLEANUP(promoting_done) struct promoting p = { .call = call };
	const char *name = args_text(call->args, "name");
	const char *url;
	char found[FOUND_MAX];

	if (engine_named(call, &p.named, e) < 0)
		return -1;
	if (!p.named) {
		(void)err_set(e, ERR_USAGE,
			      "a location has no primary region: that is what "
			      "a Repository declares");
		return err_hint(e, "give --repo by name");
	}
	if (engine_is_location(name))
		return err_set(e, ERR_USAGE, "%s is no name of a region",
			       text_quote_str(name).s);
	if (engine_named_region(p.named, name, &p.now, &url, e) ||
	    engine_named_key(call, p.named, &p.key, e))
		return -1;
	p.was = resource_region(p.named, NULL);
	if (!p.now->primary && look(&p, e))
		return -1;
	return judge(&p, found, e) ? -1 : ask(&p, found, e);
}

/* ---- Rows --------------------------------------------------------------- */

static const struct operation_param promote_params[] = {
	{ .name = "name",
	  .kind = PARAM_POSITIONAL,
	  .required = true,
	  .value = "NAME",
	  .help = "the region that is to be the primary" },
	{ .name = "force",
	  .kind = PARAM_SWITCH,
	  .help = "also when it lacks snapshots that the old one has, or "
		  "lists and cannot tell of, or cannot be told what was "
		  "deleted there" },
	{ 0 }
};

static const struct operation_param set_params[] = {
	{ .name = "repository",
	  .kind = PARAM_POSITIONAL,
	  .required = true,
	  .value = "REPOSITORY",
	  .help = "its name" },
	{ .name = "region",
	  .kind = PARAM_POSITIONAL,
	  .required = true,
	  .value = "REGION",
	  .help = "the region that is to be the primary" },
	{ .name = "was",
	  .kind = PARAM_OPTION,
	  .value = "REGION",
	  .help = "only when this one is the primary" },
	{ .name = "found",
	  .kind = PARAM_OPTION,
	  .value = "TEXT",
	  .help = "what was known to stand against it, for the audit log" },
	{ 0 }
};

const struct operation op_promote_rows[] = {
	{ .verb = "region promote",
	  .flags = OPERATION_DIRECT | OPERATION_NEEDS_REPO,
	  .params = promote_params,
	  .view = "repository region was missing:count let_go:count "
		  "behind_seconds:seconds=behind note",
	  .summary = "make another region the primary one",
	  .help = "Runs write to it from then on, and the schedules that "
		  "copied to it copy to the old one. The region must be there; "
		  "when it lacks snapshots that the old primary has, as that "
		  "or the catalog tells, it takes --force, and they follow "
		  "with the first run that finds the old one back. What the "
		  "region's own rules let go of is none of them (let_go counts "
		  "it): it stays where it is. Runs that are under way keep to "
		  "the region they began with.\n\n"
		  "It is one step, with a record in the audit log. What the "
		  "manifest says is not changed: until it says the same, the "
		  "next `snapctl apply` of it turns it back, and says so.",
	  .run = promote },
	{ .verb = "region set-primary",
	  .method = "POST",
	  .route = "/repositories/{repository}/primary",
	  .flags = OPERATION_DAEMON | OPERATION_CHANGES,
	  .params = set_params,
	  .view = "repository region was",
	  .summary = "declare another primary region, looking at nothing",
	  .help = "`region promote` calls this after it has looked at the "
		  "regions.",
	  .run = set_primary },
	{ 0 },
};

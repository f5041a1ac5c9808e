/* What both regions have, by listing snapshots and deletions: no data read. */
#include <stdio.h>
#include <stdlib.h>

#include "storage/replicate_internal.h"
#include "storage/repository/deletion.h"
#include "storage/repository/voids.h"

int replicate_ids_add(struct replicate_ids *x, struct object_id id,
		      struct err *e)
{
	struct object_id *grown;

	if (x->n == x->cap) {
		const size_t cap = x->cap ? 2 * x->cap : 64;

		grown = reallocarray(x->v, cap, sizeof(*grown));
		if (!grown)
			return err_oom(e);
		x->v = grown;
		x->cap = cap;
	}
	x->v[x->n++] = id;
	return 0;
}

static int by_id(const void *a, const void *b)
{
	return object_id_compare(*(const struct object_id *)a,
				 *(const struct object_id *)b);
}

void replicate_ids_sort(struct replicate_ids *x)
{
	if (x->n)
		qsort(x->v, x->n, sizeof(*x->v), by_id);
}

bool replicate_ids_has(const struct replicate_ids *x, struct object_id id)
{
	return x->n && bsearch(&id, x->v, x->n, sizeof(*x->v), by_id);
}

void replicate_ids_done(struct replicate_ids *x)
{
	free(x->v);
	*x = (struct replicate_ids){ 0 };
}

/* Collecting either side's snapshots. */
struct collecting {
	struct replicate_plan *plan;
	unsigned int where;
};

static int collect(void *arg, struct repository_snapshot *s, struct err *e)
{
	const struct collecting *c = (const struct collecting *)arg;
	struct replicate_plan *p = c->plan;
	struct replicate_item *grown;

	if (p->n == p->cap) {
		const size_t cap = p->cap ? 2 * p->cap : 64;

		grown = reallocarray(p->v, cap, sizeof(*grown));
		if (!grown)
			return err_oom(e);
		p->v = grown;
		p->cap = cap;
	}
	p->v[p->n++] = (struct replicate_item){
		.s = *s,
		.where = c->where,
		.unnamed = c->where == REPLICATE_TO && !s->lock_is_ours,
		.session = s->manifest.session,
	};
	manifest_init(&s->manifest); /* taken */
	return 0;
}

void replicate_unopened_add(struct replicate_unopened *x, const struct err *why)
{
	x->n++;
	if (x->sys == 0)
		x->sys = why->sys;
}

struct replicate_unopened replicate_unopened_sum(
	const struct replicate_unopened *a, const struct replicate_unopened *b)
{
	return (struct replicate_unopened){ .n = a->n + b->n,
					    .sys = a->sys ? a->sys : b->sys };
}

char *replicate_unopened_text(const struct replicate_unopened *x,
			      char out[REPLICATE_UNOPENED_TEXT])
{
	(void)snprintf(out, REPLICATE_UNOPENED_TEXT,
		       "%ju manifest%s or record%s do%s not open%s%s",
		       (uintmax_t)x->n, x->n == 1 ? "" : "s",
		       x->n == 1 ? "" : "s", x->n == 1 ? "es" : "",
		       x->sys ? ": " : "",
		       x->sys ? err_errno_text(x->sys) : "");
	return out;
}

static int add_unread(struct replicate_plan *p, struct object_id snapshot,
		      const struct err *why, struct err *e)
{
	struct replicate_unread_one *grown;

	if (p->n_unread == p->cap_unread) {
		const size_t cap = p->cap_unread ? 2 * p->cap_unread : 16;

		grown = reallocarray(p->unread, cap, sizeof(*grown));
		if (!grown)
			return err_oom(e);
		p->unread = grown;
		p->cap_unread = cap;
	}
	p->unread[p->n_unread++] = (struct replicate_unread_one){
		.snapshot = snapshot, .code = why->code, .sys = why->sys
	};
	return 0;
}

static int count_unopened(void *arg, const char *name, const struct err *why,
			  struct err *e)
{
	const struct collecting *c = (const struct collecting *)arg;
	struct object_id snapshot;
	struct object_id session;

	replicate_unopened_add(c->where == REPLICATE_FROM
				       ? &c->plan->unopened_from
				       : &c->plan->unopened_to,
			       why);
	if (c->where != REPLICATE_FROM ||
	    !object_name_parse(OBJECT_MANIFEST, name, &snapshot, &session))
		return 0;
	return add_unread(c->plan, snapshot, why, e);
}

/* The same snapshot in both regions becomes one item, the source's. */
static int by_snapshot(const void *a, const void *b)
{
	const struct replicate_item *x = (const struct replicate_item *)a;
	const struct replicate_item *y = (const struct replicate_item *)b;
	const int c = object_id_compare(x->s.manifest.snapshot,
					y->s.manifest.snapshot);

	return c ? c : (int)x->where - (int)y->where;
}

static int by_receipt(const void *a, const void *b)
{
	const struct replicate_item *x = (const struct replicate_item *)a;
	const struct replicate_item *y = (const struct replicate_item *)b;
	int c = instant_compare(x->s.received, y->s.received);

	if (c == 0)
		c = instant_compare(x->s.manifest.ended, y->s.manifest.ended);
	return c ? c : by_snapshot(a, b);
}

static void unite(struct replicate_plan *p)
{
	size_t n = 0;

	if (p->n)
		qsort(p->v, p->n, sizeof(*p->v), by_snapshot);
	for (size_t i = 0; i < p->n; i++) {
		if (n && object_id_equal(p->v[n - 1].s.manifest.snapshot,
					 p->v[i].s.manifest.snapshot)) {
			p->v[n - 1].where |= p->v[i].where;
			if (p->v[i].unnamed) {
				p->v[n - 1].unnamed = true;
				p->v[n - 1].session = p->v[i].session;
			}
			repository_snapshot_done(&p->v[i].s);
			continue;
		}
		p->v[n++] = p->v[i];
	}
	p->n = n;
}

struct revoking {
	struct replicate_plan *plan;
	struct voids *voids; /* of that region */
};

/* An undelete that its session's voids leave out revokes nothing. */
static int add_revoked(void *arg, const char *name, const struct record *r,
		       const struct err *why, struct err *e)
{
	struct revoking *x = (struct revoking *)arg;
	enum voids_answer answer;

	(void)name;
	(void)why;
	if (!r)
		return 0;
	if (voids_judge(x->voids, r->session, r->id, &answer, e))
		return -1;
	for (size_t i = 0; answer != VOIDS_DOES_NOT && i < r->n_ids; i++)
		if (replicate_ids_add(&x->plan->revoked, r->ids[i], e))
			return -1;
	return 0;
}

static int list_revoked(struct replicate_plan *p, struct repository *r,
			struct err *e)
{
	struct revoking x = { .plan = p };
	int failed;

	failed = voids_read(repository_store(r), repository_keys(r), &x.voids,
			    e) ||
		 record_list(repository_store(r), repository_keys(r),
			     OBJECT_UNDELETE, add_revoked, &x, e);
	voids_free(x.voids);
	return failed;
}

/* Snapshots with a tombstone in a region that nothing revokes. */
struct refusing {
	const struct replicate_plan *plan;
	bool is_target; /* else what it deleted for itself alone is no matter */
	bool is_apart;	/* nor what its rules did */
	struct replicate_ids snapshots;
	struct replicate_ids in_all;   /* of those, as far as is known */
	struct replicate_ids by_rules; /* of a region that may not be apart */
};

static void refusing_done(struct refusing *x)
{
	replicate_ids_done(&x->snapshots);
	replicate_ids_done(&x->in_all);
	replicate_ids_done(&x->by_rules);
}

static int add_refused(void *arg, const char *name, const struct record *r,
		       const struct err *why, struct err *e)
{
	struct refusing *x = (struct refusing *)arg;
	struct object_id snapshot;
	struct object_id id;
	bool by_rules;
	bool alone;

	(void)why;
	/* One that does not open is no deletion for readers, but reason
	 * enough not to make the snapshot anew. */
	if (!object_name_parse(OBJECT_TOMBSTONE, name, &snapshot, &id) ||
	    (r && replicate_ids_has(&x->plan->revoked, id)))
		return 0;
	alone = r && r->scope == RECORD_THIS_REGION;
	by_rules = !alone && r && deletion_is_by_rules(r);
	x->is_apart |= alone;
	if (!x->is_target && by_rules)
		return replicate_ids_add(&x->by_rules, snapshot, e);
	if (!x->is_target && alone)
		return 0;
	if (!alone && !by_rules && replicate_ids_add(&x->in_all, snapshot, e))
		return -1;
	return replicate_ids_add(&x->snapshots, snapshot, e);
}

static void mark(struct replicate_item *item, const struct refusing *x)
{
	const struct object_id id = item->s.manifest.snapshot;

	if (item->where & REPLICATE_TO ||
	    (!replicate_ids_has(&x->snapshots, id) &&
	     (x->is_apart || !replicate_ids_has(&x->by_rules, id))))
		return;
	item->where |= REPLICATE_REFUSED;
	if (x->is_target && !replicate_ids_has(&x->in_all, id))
		item->where |= REPLICATE_ALONE;
	else
		item->where &= ~(unsigned int)REPLICATE_ALONE;
}

static int mark_refused(struct replicate_plan *p, struct repository *r,
			bool apart, struct err *e)
{
	struct refusing x = { .plan = p,
			      .is_target = r == p->to,
			      .is_apart = apart };
	const int failed = record_list(repository_store(r), repository_keys(r),
				       OBJECT_TOMBSTONE, add_refused, &x, e);

	replicate_ids_sort(&x.snapshots);
	replicate_ids_sort(&x.in_all);
	replicate_ids_sort(&x.by_rules);
	for (size_t i = 0; !failed && i < p->n; i++)
		mark(&p->v[i], &x);
	refusing_done(&x);
	return failed ? -1 : 0;
}

static int collect_both(struct replicate_plan *p, struct err *e)
{
	struct collecting c = { .plan = p, .where = REPLICATE_FROM };

	if (repository_snapshots(p->from, false, collect, count_unopened, &c,
				 e))
		return -1;
	c.where = REPLICATE_TO;
	return repository_snapshots(p->to, false, collect, count_unopened, &c,
				    e);
}

/*
 * What both regions have, and undeleted, is asked for at once; tombstones by
 * which the target refuses are asked for after it, and what depends on a
 * deletion asks again.
 */
static int list_both(struct replicate_plan *p, struct err *e)
{
	static const struct store_question undeleted[] = {
		{ STORE_ASK_LISTING, "voids/", 0 },
		{ STORE_ASK_LISTING, "undeletes/", 0 },
	};
	struct store_asked *asked[] = {
		repository_ask_snapshots(p->from),
		repository_ask_snapshots(p->to),
		store_ask(repository_store(p->from), undeleted, 2),
		store_ask(repository_store(p->to), undeleted, 2),
	};
	const int failed = collect_both(p, e) || list_revoked(p, p->from, e) ||
			   list_revoked(p, p->to, e);

	for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++)
		store_ask_done(asked[i]);
	return failed;
}

int replicate_plan_make(struct replicate_plan *p, struct repository *from,
			struct repository *to, struct err *e)
{
	*p = (struct replicate_plan){ .from = from, .to = to };
	if (list_both(p, e))
		goto failed;
	replicate_ids_sort(&p->revoked);
	unite(p);
	if (mark_refused(p, to, false, e))
		goto failed;
	if (p->n)
		qsort(p->v, p->n, sizeof(*p->v), by_receipt);
	return 0;
failed:
	replicate_plan_done(p);
	return -1;
}

int replicate_plan_refuse(struct replicate_plan *p, struct repository *r,
			  bool apart, struct err *e)
{
	if (list_revoked(p, r, e))
		return -1;
	replicate_ids_sort(&p->revoked);
	return mark_refused(p, r, apart, e);
}

void replicate_plan_done(struct replicate_plan *p)
{
	for (size_t i = 0; i < p->n; i++)
		repository_snapshot_done(&p->v[i].s);
	free(p->v);
	replicate_ids_done(&p->revoked);
	free(p->unread);
	*p = (struct replicate_plan){ 0 };
}

struct asking {
	const struct replicate_plan *plan;
	bool deleted;
};

static int see_tombstone(void *arg, const struct store_entry *entry,
			 struct err *e)
{
	struct asking *a = (struct asking *)arg;
	struct object_id snapshot;
	struct object_id id;

	(void)e;
	if (object_name_parse(OBJECT_TOMBSTONE, entry->name, &snapshot, &id) &&
	    !replicate_ids_has(&a->plan->revoked, id))
		a->deleted = true;
	return 0;
}

int replicate_plan_deleted(const struct replicate_plan *p, struct repository *r,
			   struct object_id snapshot, struct err *e)
{
	struct asking a = { .plan = p };
	char prefix[STORE_NAME_MAX];
	char id[OBJECT_ID_TEXT];

	object_id_format(snapshot, id);
	(void)snprintf(prefix, sizeof(prefix), "%s/%s-",
		       object_kind_folder(OBJECT_TOMBSTONE), id);
	if (store_list(repository_store(r), prefix, see_tombstone, &a, e))
		return -1;
	return a.deleted ? 1 : 0;
}

/* ---- What the source could not tell of ----------------------------------- */

/* Ids that are told of already, or need not be. */
struct settled {
	const struct replicate_plan *plan;
	struct replicate_ids ids;
};

static int add_deleted(void *arg, const struct store_entry *entry,
		       struct err *e)
{
	struct settled *x = (struct settled *)arg;
	struct object_id snapshot;
	struct object_id id;

	if (!object_name_parse(OBJECT_TOMBSTONE, entry->name, &snapshot, &id) ||
	    replicate_ids_has(&x->plan->revoked, id))
		return 0;
	return replicate_ids_add(&x->ids, snapshot, e);
}

static int list_settled(struct settled *x, struct err *e)
{
	const struct replicate_plan *p = x->plan;
	char folder[STORE_NAME_MAX];

	(void)snprintf(folder, sizeof(folder), "%s/",
		       object_kind_folder(OBJECT_TOMBSTONE));
	for (size_t i = 0; i < p->n; i++)
		if (replicate_ids_add(&x->ids, p->v[i].s.manifest.snapshot, e))
			return -1;
	if (store_list(repository_store(p->from), folder, add_deleted, x, e) ||
	    store_list(repository_store(p->to), folder, add_deleted, x, e))
		return -1;
	replicate_ids_sort(&x->ids);
	return 0;
}

static int by_unread(const void *a, const void *b)
{
	const struct replicate_unread_one *x = a;
	const struct replicate_unread_one *y = b;

	return object_id_compare(x->snapshot, y->snapshot);
}

int replicate_plan_unread(struct replicate_plan *p, replicate_unread *tell,
			  void *arg, struct err *e)
{
	struct settled x = { .plan = p };
	int failed;

	if (p->n_unread == 0)
		return 0;
	qsort(p->unread, p->n_unread, sizeof(*p->unread), by_unread);
	failed = list_settled(&x, e);
	for (size_t i = 0; !failed && i < p->n_unread; i++) {
		const struct object_id id = p->unread[i].snapshot;

		/* One may have several manifests. */
		if ((i && object_id_equal(p->unread[i - 1].snapshot, id)) ||
		    replicate_ids_has(&x.ids, id))
			continue;
		failed = tell(arg, id, e);
	}
	replicate_ids_done(&x.ids);
	return failed ? -1 : 0;
}

static unsigned int where_of(const struct replicate_item *item)
{
	const bool is_copy = item->unnamed && (item->where & REPLICATE_FROM) &&
			     (item->where & REPLICATE_TO);

	return item->where | (is_copy ? REPLICATE_UNNAMED : 0);
}

int replicate_compare(struct repository *from, struct repository *to,
		      replicate_visit *visit, replicate_unread *unread,
		      void *arg, struct replicate_compared *ret, struct err *e)
{
	struct replicate_plan p;
	int result = 0;

	if (replicate_plan_make(&p, from, to, e))
		return -1;
	for (size_t i = 0; result == 0 && i < p.n; i++)
		result = visit(arg, &p.v[i].s, where_of(&p.v[i]), e);
	if (result == 0 && unread)
		result = replicate_plan_unread(&p, unread, arg, e);
	if (result == 0 && ret)
		*ret = (struct replicate_compared){ p.unopened_from,
						    p.unopened_to };
	replicate_plan_done(&p);
	return result < 0 ? -1 : 0;
}

#include "storage/repository/inventory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/repository/record.h"

/* What never goes away. */
static const enum object_kind lasting[] = {
	OBJECT_RECEIPT, OBJECT_TOMBSTONE, OBJECT_UNDELETE, OBJECT_HOLD,
	OBJECT_LOCK,	OBJECT_FENCE,	  OBJECT_VOID,
};
#define LASTING (sizeof(lasting) / sizeof(lasting[0]))

/* FNV-1a: nobody gains by names that collide here. */
void inventory_note(struct inventory_sum *sum, const char *name)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (const char *c = name; *c; c++)
		h = (h ^ (uint8_t)*c) * UINT64_C(0x100000001b3);
	sum->n++;
	sum->hash += h;
}

static int add_name(void *arg, const struct store_entry *entry, struct err *e)
{
	(void)e;
	inventory_note(arg, entry->name);
	return 0;
}

int inventory_add(struct store *s, const char *prefix,
		  struct inventory_sum *sum, struct err *e)
{
	return store_list(s, prefix, add_name, sum, e);
}

static int count_kind(struct store *s, enum object_kind kind, uint64_t *ret,
		      struct err *e)
{
	struct inventory_sum sum = { 0 };
	char prefix[64];

	(void)snprintf(prefix, sizeof(prefix), "%s/", object_kind_folder(kind));
	if (inventory_add(s, prefix, &sum, e))
		return -1;
	*ret = sum.n;
	return 0;
}

struct summing {
	struct inventory_sum *sums;
	enum object_kind kind; /* of the last name: they come in order */
};

static bool is_of(enum object_kind kind, const char *name)
{
	const char *folder = object_kind_folder(kind);
	const size_t n = strlen(folder);

	return strncmp(name, folder, n) == 0 && name[n] == '/';
}

static int sum_up(void *arg, const struct store_entry *entry, struct err *e)
{
	struct summing *x = arg;

	(void)e;
	if (!is_of(x->kind, entry->name)) {
		x->kind = OBJECT_SLOT;
		while (x->kind < OBJECT_KIND_END &&
		       !is_of(x->kind, entry->name))
			x->kind++;
	}
	if (x->kind < OBJECT_KIND_END)
		inventory_note(&x->sums[x->kind], entry->name);
	else
		x->kind = OBJECT_SLOT;
	return 0;
}

int inventory_sums(struct store *s, struct inventory_sum ret[OBJECT_KIND_END],
		   struct err *e)
{
	struct summing x = { .sums = ret, .kind = OBJECT_SLOT };

	memset(ret, 0, OBJECT_KIND_END * sizeof(*ret));
	return store_list_after(s, INVENTORY_AFTER, sum_up, &x, e);
}

/* All inventories: a handful, since newer ones take the place of older. */
struct all {
	struct record *v;
	size_t n;
};

static void all_done(struct all *a)
{
	for (size_t i = 0; i < a->n; i++)
		record_done(&a->v[i]);
	free(a->v);
}
static inline void cleanup_all_done(struct all *a)
{
	all_done(a);
}

static int keep(void *arg, const char *name, const struct record *r,
		const struct err *why, struct err *e)
{
	struct all *a = arg;
	struct record *grown;
	struct record copy;

	(void)name;
	(void)why;
	if (!r)
		return 0;
	grown = reallocarray(a->v, a->n + 1, sizeof(*grown));
	if (!grown)
		return err_oom(e);
	a->v = grown;
	copy = *r;
	copy.ids = NULL;
	copy.n_ids = 0;
	copy.chunks = NULL;
	for (size_t i = 0; i < r->n_ids; i++)
		if (record_add_id(&copy, r->ids[i], e)) {
			record_done(&copy);
			return -1;
		}
	a->v[a->n++] = copy;
	return 0;
}

static bool is_replaced(const struct all *a, struct object_id id)
{
	for (size_t i = 0; i < a->n; i++)
		for (size_t k = 0; k < a->v[i].n_ids; k++)
			if (object_id_equal(a->v[i].ids[k], id))
				return true;
	return false;
}

/* The inventory that counted the most of a kind, or NULL. */
static const struct record *most_of(const struct all *a, enum object_kind kind)
{
	const struct record *most = NULL;

	for (size_t i = 0; i < a->n; i++)
		if (!is_replaced(a, a->v[i].id) && a->v[i].counts[kind] &&
		    (!most || a->v[i].counts[kind] > most->counts[kind]))
			most = &a->v[i];
	return most;
}

/* What was listed before all inventories were may be fewer, and no fault. */
static int compare_all(struct store *s, const struct all *a,
		       const struct inventory_sum *sums, bool again,
		       inventory_short *visit, void *arg, struct err *e)
{
	for (size_t i = 0; i < LASTING; i++) {
		const struct record *most = most_of(a, lasting[i]);
		uint64_t listed = sums[lasting[i]].n;

		if (!most)
			continue;
		if (again && listed < most->counts[lasting[i]] &&
		    count_kind(s, lasting[i], &listed, e))
			return -1;
		if (listed < most->counts[lasting[i]] &&
		    visit(arg, lasting[i], listed, most->counts[lasting[i]],
			  most->id, e))
			return -1;
	}
	return 0;
}

int inventory_compare(struct store *s, const struct keys *k,
		      const struct inventory_sum *before,
		      inventory_short *visit, void *arg, struct err *e)
{
	CLEANUP(all_done) struct all a = { .n = 0 };
	struct inventory_sum now[OBJECT_KIND_END];

	if (record_list(s, k, OBJECT_INVENTORY, keep, &a, e))
		return -1;
	if (a.n == 0)
		return 0;
	if (!before && inventory_sums(s, now, e))
		return -1;
	return compare_all(s, &a, before ? before : now, before != NULL, visit,
			   arg, e);
}

/* A listing that is short just now must not become the truth. */
static void count_all(const struct inventory_sum *sums, const struct all *a,
		      bool accept, struct record *r, bool *ret_grown)
{
	for (size_t i = 0; i < LASTING; i++) {
		const struct record *most = most_of(a, lasting[i]);
		const uint64_t before = most ? most->counts[lasting[i]] : 0;
		uint64_t *n = &r->counts[lasting[i]];

		*n = sums[lasting[i]].n;
		if (*n > before)
			*ret_grown = true;
		else if (!accept)
			*n = before;
	}
}

/* Counts only grow: whoever listed after us counted as many. */
static int replace(struct store *s, const struct keys *k, const struct all *a,
		   struct record *r, bool accept, struct err *e)
{
	for (size_t i = 0; accept && i < a->n; i++)
		if (record_add_id(r, a->v[i].id, e))
			return -1;
	if (record_put(s, k, r, STORE_FRESH, e))
		return -1;
	for (size_t i = 0; !accept && i < a->n; i++)
		if (store_remove(s, object_name(OBJECT_INVENTORY, a->v[i].id).s,
				 e))
			return -1;
	return 0;
}

int inventory_put(struct store *s, const struct keys *k, struct instant now,
		  bool accept, struct err *e)
{
	CLEANUP(all_done) struct all a = { .n = 0 };
	CLEANUP(record_done) struct record r;
	static const struct store_question inventories[] = {
		{ STORE_ASK_LISTING, "inventories/", 0 },
	};
	struct inventory_sum sums[OBJECT_KIND_END];
	struct store_asked *asked;
	bool write = accept;
	int failed;

	record_init(&r, OBJECT_INVENTORY);
	r.id = object_id_new();
	r.time = now;
	/* Both at once: what is counted only grows. */
	asked = store_ask(s, inventories, 1);
	failed = inventory_sums(s, sums, e) ||
		 record_list(s, k, OBJECT_INVENTORY, keep, &a, e);
	store_ask_done(asked);
	if (failed)
		return -1;
	count_all(sums, &a, accept, &r, &write);
	return write ? replace(s, k, &a, &r, accept, e) : 0;
}

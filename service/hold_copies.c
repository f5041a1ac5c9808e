#include "service/hold_copies.h"

#include <stdlib.h>
#include <string.h>

#include "storage/repository/deletion.h"

void hold_copies_done(struct hold_copies *x)
{
	for (size_t i = 0; i < x->n; i++)
		record_done(&x->v[i]);
	free(x->v);
	*x = (struct hold_copies){ .n = 0 };
}

void hold_ids_done(struct hold_ids *x)
{
	free(x->v);
	*x = (struct hold_ids){ .n = 0 };
}

bool hold_ids_has(const struct hold_ids *x, struct object_id id)
{
	for (size_t i = 0; i < x->n; i++)
		if (object_id_equal(x->v[i], id))
			return true;
	return false;
}

static int add_id(struct hold_ids *x, struct object_id id, struct err *e)
{
	struct object_id *grown;

	if ((x->n & (x->n + 1)) == 0) {
		grown = reallocarray(x->v, 2 * x->n + 1, sizeof(*grown));
		if (!grown)
			return err_oom(e);
		x->v = grown;
	}
	x->v[x->n++] = id;
	return 0;
}

static bool has(const struct hold_copies *x, struct object_id id)
{
	for (size_t i = 0; i < x->n; i++)
		if (object_id_equal(x->v[i].id, id))
			return true;
	return false;
}

int hold_copies_add(struct hold_copies *x, const struct record *hold,
		    struct err *e)
{
	struct record *grown;
	struct record copy = *hold;

	if (has(x, hold->id))
		return 0;
	if ((x->n & (x->n + 1)) == 0) {
		grown = reallocarray(x->v, 2 * x->n + 1, sizeof(*grown));
		if (!grown)
			return err_oom(e);
		x->v = grown;
	}
	copy.chunks = NULL;
	copy.ids = NULL;
	if (hold->n_ids) {
		copy.ids = reallocarray(NULL, hold->n_ids, sizeof(*copy.ids));
		if (!copy.ids)
			return err_oom(e);
		memcpy(copy.ids, hold->ids, hold->n_ids * sizeof(*copy.ids));
	}
	x->v[x->n++] = copy;
	return 0;
}

/* ---- Reading a region --------------------------------------------------- */

struct reading {
	struct hold_copies holds;
	struct hold_ids released;
};

static int see(void *arg, const char *name UNUSED, const struct record *r,
	       const struct err *why, struct err *e)
{
	struct reading *x = arg;

	if (!r) {
		*e = *why;
		return -1;
	}
	return object_id_is_zero(r->releases)
		       ? hold_copies_add(&x->holds, r, e)
		       : add_id(&x->released, r->releases, e);
}

int hold_copies_read(struct hold_copies *x, struct repository *r, struct err *e)
{
	struct reading here = { .holds = { .n = 0 } };
	int failed = record_list(repository_store(r), repository_keys(r),
				 OBJECT_HOLD, see, &here, e);

	for (size_t i = 0; !failed && i < here.holds.n; i++)
		if (!hold_ids_has(&here.released, here.holds.v[i].id))
			failed = hold_copies_add(x, &here.holds.v[i], e);
	hold_copies_done(&here.holds);
	hold_ids_done(&here.released);
	return failed ? -1 : 0;
}

/* ---- Putting them in a region ------------------------------------------- */

/* What does not open there keeps its store from letting go (guards.h). */
static int see_id(void *arg, const char *name UNUSED, const struct record *r,
		  const struct err *why UNUSED, struct err *e)
{
	return r ? add_id(arg,
			  object_id_is_zero(r->releases) ? r->id : r->releases,
			  e)
		 : 0;
}

static int put(struct repository *r, const struct record *hold, struct err *e)
{
	const struct deletion_hold h = { .id = hold->id,
					 .snapshots = hold->ids,
					 .n_snapshots = hold->n_ids,
					 .source = hold->source,
					 .case_name = hold->reason,
					 .custodian = hold->custodian,
					 .by = hold->by,
					 .now = hold->time };
	struct object_id ignored;

	return deletion_hold(r, &h, &ignored, e);
}

int hold_copies_put(const struct hold_copies *x, struct repository *r,
		    hold_is_released *is_released, const void *arg,
		    struct hold_ids *ret, struct err *e)
{
	struct hold_ids there = { .n = 0 };
	int failed = record_list(repository_store(r), repository_keys(r),
				 OBJECT_HOLD, see_id, &there, e);

	for (size_t i = 0; !failed && i < x->n; i++) {
		const struct record *hold = &x->v[i];

		if (hold_ids_has(&there, hold->id) ||
		    is_released(arg, hold->id))
			continue;
		failed = put(r, hold, e) || add_id(&there, hold->id, e);
	}
	if (failed) {
		hold_ids_done(&there);
		return -1;
	}
	*ret = there;
	return 0;
}

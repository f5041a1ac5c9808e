/*
 * What a snapshot that is to be locked refers to, and that is guarded too
 * briefly by its store: lengthened once the snapshot is acknowledged, so that
 * it is safe whatever comes of this, and while the session keeps collectors
 * from what it names.
 *
 * What was looked up is known pack by pack; what was taken for present because
 * its parent has it, only by what is known of the parent as a whole: a parent
 * that is not guarded for long enough is not trusted, so that all that it has
 * is looked up.  Records say how long objects are guarded, and nothing is asked
 * of the store; what they do not tell is guarded again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "storage/repository/guards.h"
#include "storage/repository/writer_internal.h"

/* The value of `used`: a pack that the session wrote, or found. */
struct used {
	uint8_t kind; /* enum object_kind */
	bool fresh;
};

bool writer_is_guarding(const struct writer *w)
{
	return w->options.lock_ms > 0 &&
	       repository_store(w->repository)->new_which != NULL;
}

int writer_note_use(struct writer *w, const struct pack_entry *at, bool fresh,
		    struct err *e)
{
	struct used *used;
	void *value;
	int added;

	if (!w->used)
		return 0;
	(void)pthread_mutex_lock(&w->lock);
	added = filemap_add(w->used, at->place.pack.b, &value, e);
	if (added > 0) {
		used = value;
		used->kind = (uint8_t)(chunk_kind_is_meta(at->seal.kind)
					       ? OBJECT_META_PACK
					       : OBJECT_DATA_PACK);
		used->fresh = fresh;
	}
	(void)pthread_mutex_unlock(&w->lock);
	return added < 0 ? -1 : 0;
}

/* Until a snapshot that ends now would be locked, and a little more. */
static struct instant soon(const struct writer *w)
{
	const int64_t lock_ms = w->options.lock_ms;

	return instant_add_ms(clock_now(),
			      lock_ms + guards_ahead_ms(lock_ms) / 8);
}

int writer_expect_parent(struct writer *w, struct object_id parent,
			 struct err *e)
{
	CLEANUP(guards_free) struct guards *known = NULL;

	if (!w->used || !w->trusts_parent)
		return 0;
	if (guards_read(repository_store(w->repository),
			repository_keys(w->repository), &known, e))
		return -1;
	w->relied_until = guards_until(known, parent);
	if (instant_compare(w->relied_until, soon(w)) < 0)
		w->trusts_parent = false;
	return 0;
}

/* ---- Afterwards --------------------------------------------------------- */

/* Ids that guard records are to name. */
struct noted {
	struct object_id *v;
	size_t n;
};

struct settling {
	struct writer *w;
	struct store *store;
	const struct keys *keys;
	struct guards *known;
	struct guards_bulk *bulk;
	struct instant need; /* until which all has to be guarded */
	struct instant goal; /* until which what is not will be */
	struct instant least;
	/* Of index objects, which are guarded more briefly (guards.h). */
	struct instant index_need;
	struct instant index_goal;
	struct noted packs; /* until born, or goal */
	struct noted index; /* until index_goal */
	struct noted fresh_index;
	uint64_t asked;
};

static void at_least(struct settling *x, struct instant until)
{
	if (instant_compare(until, x->least) < 0)
		x->least = until;
}

static int keep_id(struct noted *to, struct object_id id, struct err *e)
{
	struct object_id *grown;

	if ((to->n & (to->n + 1)) == 0) {
		grown = reallocarray(to->v, 2 * to->n + 1, sizeof(*grown));
		if (!grown)
			return err_oom(e);
		to->v = grown;
	}
	to->v[to->n++] = id;
	return 0;
}

/* Guarded until then, as far as is known. */
static int consider(struct settling *x, const char *name, struct instant until,
		    struct err *e)
{
	x->w->guarding.objects++;
	if (instant_compare(until, x->need) >= 0) {
		at_least(x, until);
		return 0;
	}
	at_least(x, x->goal);
	x->asked++;
	return guards_bulk_add(x->bulk, name, x->goal, e);
}

static struct instant born(const struct settling *x)
{
	return x->store->new_until;
}

static int consider_packs(struct settling *x, struct err *e)
{
	uint64_t pos = 0;
	const void *key;
	void *value;

	while (filemap_next(x->w->used, &pos, &key, &value)) {
		const struct used *used = value;
		struct object_id id;
		struct instant until;

		memcpy(id.b, key, sizeof(id.b));
		until = used->fresh ? born(x) : guards_until(x->known, id);
		if ((used->fresh || instant_compare(until, x->need) < 0) &&
		    keep_id(&x->packs, id, e))
			return -1;
		if (consider(x, object_name((enum object_kind)used->kind, id).s,
			     until, e))
			return -1;
	}
	return 0;
}

/*
 * What all snapshots need, and what is lengthened by whoever comes: it says
 * nothing of how long this one's own is guarded.
 */
static int consider_index(struct settling *x, struct index_object *const *v,
			  size_t n, bool fresh, struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		const struct object_id id = v[i]->in.id;
		const struct instant until = fresh ? x->store->brief_until
						   : guards_until(x->known, id);

		x->w->guarding.objects++;
		if (instant_compare(until, x->index_need) >= 0) {
			if (fresh && keep_id(&x->fresh_index, id, e))
				return -1;
			continue;
		}
		x->asked++;
		if (keep_id(&x->index, id, e) ||
		    guards_bulk_add(x->bulk, v[i]->in.name.s, x->index_goal, e))
			return -1;
	}
	return 0;
}

static int consider_all_index(struct settling *x, struct err *e)
{
	struct index_object **v = NULL;
	size_t n = 0;
	int failed;

	if (index_set_snapshot(x->w->index, &v, &n, e))
		return -1;
	failed = consider_index(x, v, n, false, e) ||
		 consider_index(x, x->w->named, x->w->n_named, true, e);
	free(v);
	return failed ? -1 : 0;
}

static int add_one(void *arg, const struct store_entry *entry, struct err *e)
{
	struct settling *x = arg;

	return consider(x, entry->name, (struct instant){ 0, 0 }, e);
}

/* Config, slots and keyrings: without them nothing opens. */
static int consider_keys(struct settling *x, struct err *e)
{
	struct object_id id;
	struct instant until;

	if (guards_keys_id(x->store, x->keys, &id, e))
		return -1;
	until = guards_until(x->known, id);
	if (instant_compare(until, x->need) >= 0) {
		at_least(x, until);
		return 0;
	}
	return keep_id(&x->packs, id, e) ||
			       consider(x, "config", (struct instant){ 0, 0 },
					e) ||
			       store_list(x->store, "keys/", add_one, x, e) ||
			       store_list(x->store, "keyring/", add_one, x, e)
		       ? -1
		       : 0;
}

/* Of a copy, locks were copied before; a snapshot is locked afterwards. */
static int consider_locks(struct settling *x, struct object_id snapshot,
			  struct err *e)
{
	char prefix[STORE_NAME_MAX];
	char id[OBJECT_ID_TEXT];

	if (x->w->options.purpose != RECORD_REPLICATE)
		return 0;
	object_id_format(snapshot, id);
	(void)snprintf(prefix, sizeof(prefix), "locks/%s-", id);
	return store_list(x->store, prefix, add_one, x, e);
}

/* A receipt that was there before is of another session. */
static int consider_own(struct settling *x, const struct manifest *m,
			struct err *e)
{
	return consider(x,
			object_name_pair(OBJECT_MANIFEST, m->snapshot,
					 m->session)
				.s,
			born(x), e) ||
			       consider(x,
					object_name(OBJECT_RECEIPT, m->snapshot)
						.s,
					x->w->wrote_receipt
						? born(x)
						: (struct instant){ 0, 0 },
					e)
		       ? -1
		       : 0;
}

/* What is known afterwards; who cannot write it down only asks again. */
static int note(struct settling *x, struct object_id snapshot, struct err *e)
{
	struct instant until = born(x);
	const struct instant now = clock_now();

	if (instant_compare(until, x->need) < 0)
		until = x->goal;
	return guards_note(x->store, x->keys, x->packs.v, x->packs.n, until,
			   now, e) ||
			       guards_note(x->store, x->keys, x->fresh_index.v,
					   x->fresh_index.n,
					   x->store->brief_until, now, e) ||
			       guards_note(x->store, x->keys, x->index.v,
					   x->index.n, x->index_goal, now, e) ||
			       guards_note(x->store, x->keys, &snapshot, 1,
					   x->least, now, e)
		       ? -1
		       : 0;
}

static int settle(struct settling *x, const struct manifest *m, struct err *e)
{
	uint64_t there;

	if (guards_read(x->store, x->keys, &x->known, e) ||
	    guards_bulk_new(x->store, NULL, NULL, &x->bulk, e) ||
	    consider_packs(x, e) || consider_all_index(x, e) ||
	    consider_keys(x, e) || consider_own(x, m, e) ||
	    consider_locks(x, m->snapshot, e) ||
	    guards_bulk_run(x->bulk, &there, e))
		return -1;
	if (there != x->asked)
		return err_set(e, ERR_NOT_FOUND,
			       "%llu of the objects that it refers to are gone",
			       (unsigned long long)(x->asked - there));
	x->w->guarding.lengthened = there;
	return note(x, m->snapshot, e);
}

void writer_guard(struct writer *w, const struct manifest *m,
		  struct instant received)
{
	const int64_t lock_ms = w->options.lock_ms;
	struct settling x = {
		.w = w,
		.store = repository_store(w->repository),
		.keys = repository_keys(w->repository),
		.need = instant_add_ms(received, lock_ms),
		.goal = instant_add_ms(received,
				       lock_ms + guards_ahead_ms(lock_ms)),
		.least = { INT64_MAX, 0 },
	};
	const struct instant now = clock_now();

	if (!w->used)
		return;
	x.index_need = guards_index_need(x.need, now);
	x.index_goal = guards_index_goal(x.goal, now);
	w->guarding.is = true;
	w->guarding.until = x.need;
	if (w->trusts_parent && w->relied_until.sec)
		at_least(&x, w->relied_until);
	if (instant_compare(x.least, x.need) < 0)
		(void)err_set(&w->guarding.why, ERR_BUSY,
			      "taking it took longer than its parent is locked "
			      "for");
	else if (settle(&x, m, &w->guarding.why) == 0)
		err_clear(&w->guarding.why);
	guards_free(x.known);
	guards_bulk_free(x.bulk);
	free(x.packs.v);
	free(x.index.v);
	free(x.fresh_index.v);
}

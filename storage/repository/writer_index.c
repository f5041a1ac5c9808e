/*
 * Naming what is stored: index objects of a session (FORMAT.md §10, step 4).
 *
 * One is written after so many entries, and after so many bytes, so that a
 * session that is killed loses little; and where sending them again takes long,
 * after a while.  A large session writes hundreds so;
 * each would cost others a block for a look-up, so it merges its own as a
 * collector does, into one that supersedes them.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "storage/repository/writer_internal.h"

/* Index entries kept before an index object is written: × 100 B. */
#define FLUSH_ENTRIES 64000
/* An index object at least for each 8 GiB, so that a killed first snapshot
 * of a large tree loses little. */
#define FLUSH_BYTES (8ULL << 30)
/*
 * To a store that is not local: when what waits is so old, and has taken a
 * tenth of the session.  So a kill costs a tenth of it at most, and days of it
 * write a hundred objects, each of which costs whoever opens the index a read
 * until it is collected.
 */
#define FLUSH_FAR_MS   INT64_C(10000)
#define FLUSH_FAR_PART 10

int writer_index_remember(struct writer *w, const struct pack_entry *entries,
			  size_t n, uint64_t bytes, struct err *e)
{
	struct pack_entry *grown;

	if (w->n_fresh + n > w->cap_fresh) {
		const size_t cap = (w->n_fresh + n) * 2;

		grown = reallocarray(w->fresh, cap, sizeof(*grown));
		if (!grown)
			return err_oom(e);
		w->fresh = grown;
		w->cap_fresh = cap;
	}
	if (w->n_fresh == 0)
		w->fresh_ms = clock_boot_ms();
	if (w->first_ms == 0)
		w->first_ms = w->fresh_ms;
	for (size_t i = 0; i < n; i++)
		w->fresh[w->n_fresh++] = entries[i];
	w->fresh_bytes += bytes;
	return 0;
}

bool writer_index_is_due(const struct writer *w)
{
	const struct store *s = repository_store(w->repository);
	int64_t now;

	if (w->n_fresh >= FLUSH_ENTRIES || w->fresh_bytes >= FLUSH_BYTES)
		return true;
	if (w->n_fresh == 0 || store_features(s) & STORE_LOCAL)
		return false;
	now = clock_boot_ms();
	return now - w->fresh_ms >= FLUSH_FAR_MS &&
	       now - w->fresh_ms >= (now - w->first_ms) / FLUSH_FAR_PART;
}

/* The object is written: ours, and the repository's readers'. */
static int keep(struct writer *w, struct object_id id, struct err *e)
{
	struct index_object **grown;

	grown = reallocarray(w->named, w->n_named + 1, sizeof(*grown));
	if (!grown)
		return err_oom(e);
	w->named = grown;
	/* Not into our own set of the index: what it names is in `known`, and
	 * it would cost each look-up of what is new a block. */
	if (index_object_open(repository_store(w->repository),
			      repository_keys(w->repository), id,
			      &w->named[w->n_named], e))
		return -1;
	w->n_named++;
	return repository_index_add(w->repository, id, e);
}

/*
 * The next session would take what is named here for stored; and a collector
 * that gave us up does not count it.  Both are looked at at once.
 */
static int check(struct writer *w, struct err *e)
{
	struct store_asked *asked = writer_ask_confirm(
		repository_store(w->repository), w->session);
	const int failed = writer_check_keys(w->repository, e) ||
			   writer_confirm(w, e);

	store_ask_done(asked);
	return failed ? -1 : 0;
}

static int begin(struct writer *w, struct index_writer **ret, struct err *e)
{
	const int failed = check(w, e);

	return failed ? -1
		      : index_writer_open(repository_store(w->repository),
					  repository_keys(w->repository),
					  w->session, ret, e);
}

static int add_entry(void *arg, const struct pack_entry *x, struct err *e)
{
	return index_writer_add(arg, x, e);
}

static int by_entries(const void *a, const void *b)
{
	const struct index_object *x = *(struct index_object *const *)a;
	const struct index_object *y = *(struct index_object *const *)b;

	return (x->entries > y->entries) - (x->entries < y->entries);
}

/* The n smallest of our objects become one. */
static int merge(struct writer *w, size_t n, struct err *e)
{
	CLEANUP(index_writer_free) struct index_writer *x = NULL;
	struct object_id id;

	if (begin(w, &x, e) || index_objects_walk(w->named, n, add_entry, x, e))
		return -1;
	for (size_t i = 0; i < n; i++)
		if (index_writer_supersede(x, w->named[i]->in.id, e))
			return -1;
	if (index_writer_commit(x, &id, e))
		return -1;
	for (size_t i = 0; i < n; i++)
		index_object_free(w->named[i]);
	for (size_t i = n; i < w->n_named; i++)
		w->named[i - n] = w->named[i];
	w->n_named -= n;
	return keep(w, id, e);
}

int writer_index_flush(struct writer *w, struct err *e)
{
	CLEANUP(index_writer_free) struct index_writer *x = NULL;
	struct object_id id;
	size_t n;

	if (w->n_fresh == 0)
		return 0;
	if (begin(w, &x, e))
		return -1;
	n = index_sort(w->fresh, w->n_fresh);
	w->n_fresh = n;
	for (size_t i = 0; i < n; i++)
		if (index_writer_add(x, &w->fresh[i], e))
			return -1;
	if (index_writer_commit(x, &id, e))
		return -1;
	w->n_fresh = 0;
	w->fresh_bytes = 0;
	if (keep(w, id, e))
		return -1;
	qsort(w->named, w->n_named, sizeof(*w->named), by_entries);
	n = index_objects_choose(w->named, w->n_named);
	return n ? merge(w, n, e) : 0;
}

void writer_index_done(struct writer *w)
{
	for (size_t i = 0; i < w->n_named; i++)
		index_object_free(w->named[i]);
	free(w->named);
	free(w->fresh);
}

#include "storage/repository/writer.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/filemap.h"
#include "base/queue.h"
#include "storage/repository/writer_internal.h"

/*
 * Packs end before 32 MiB: large enough that the cost of a PUT and an fsync is
 * small beside its bytes, small enough that rewriting a mostly dead one is
 * cheap and that two of them in flight fit a small machine.  Metadata packs
 * are smaller, since a restore reads them first.
 */
#define DATA_PACK_BYTES (32U << 20)
#define META_PACK_BYTES (8U << 20)
/* Sealed chunks between the adding threads and the packer. */
#define QUEUE_LENGTH 4

/* What this session knows of a chunk that it added: the filemap's value. */
struct known {
	uint8_t stored; /* 0 while its adder is at work */
};

static void *packer(void *arg);
static void *committer(void *arg);

/* The first failure of any thread is the session's. */
static void fail(struct writer *w, const struct err *why)
{
	(void)pthread_mutex_lock(&w->lock);
	if (!w->failed) {
		w->failure = *why;
		w->failed = true;
	}
	(void)pthread_mutex_unlock(&w->lock);
	queue_abort(w->sealed);
	queue_abort(w->full);
}

static int failure(struct writer *w, struct err *e)
{
	int failed;

	(void)pthread_mutex_lock(&w->lock);
	failed = w->failed;
	if (failed)
		*e = w->failure;
	(void)pthread_mutex_unlock(&w->lock);
	if (failed)
		return -1;
	return 0;
}

struct presence {
	bool any;
};

static int mark_seen(void *arg, const struct store_entry *entry, struct err *e)
{
	(void)entry;
	(void)e;
	((struct presence *)arg)->any = true;
	return 1;
}

/* Packs that are marked; more would be more than any region has. */
#define MARKED_MAX ((size_t)1 << 24)

/*
 * A mark that does not open counts as absent (FORMAT.md §9); one that only
 * we cannot read, for its disk or as it is newer, is in force for the
 * collector that wrote it.
 */
static int note_marked(void *arg, const char *name, const struct record *r,
		       const struct err *why, struct err *e)
{
	struct buf *marked = (struct buf *)arg;

	(void)name;
	if (!r && (why->code == ERR_IO || why->code == ERR_NEWER)) {
		*e = *why;
		return -1;
	}
	return r ? buf_add(marked, r->ids, r->n_ids * sizeof(*r->ids), e) : 0;
}

/*
 * Step 2: marks, then the index, both after the session was PUT.  A pack that
 * is still in the index that we read has its mark seen before; one whose mark
 * is gone again is not in the index any more.
 */
static int read_state(struct writer *w, struct err *e)
{
	struct presence quarantine = { .any = false };
	struct store *s = repository_store(w->repository);
	const struct keys *k = repository_keys(w->repository);
	/* The last two are repository_index_open()'s, which come before the
	 * index as well.  A void that came since has its fence listed there. */
	static const struct store_question all[] = {
		{ STORE_ASK_LISTING, "quarantine/", 0 },
		{ STORE_ASK_LISTING, "marks/", 0 },
		{ STORE_ASK_LISTING, "quarantine/", 0 },
		{ STORE_ASK_LISTING, "voids/", 0 },
	};
	CLEANUP(buf_done) struct buf marked;
	struct store_asked *asked = store_ask(s, all, 4);
	struct object_id id;
	int failed;

	buf_init(&marked, MARKED_MAX * sizeof(id));
	failed = record_list(s, k, OBJECT_MARK, note_marked, &marked, e) ||
		 store_list(s, "quarantine/", mark_seen, &quarantine, e) ||
		 repository_index_open(w->repository, true, &w->index, e);
	store_ask_done(asked);
	if (failed)
		return -1;
	for (size_t at = 0; at < marked.len; at += sizeof(id)) {
		memcpy(id.b, marked.data + at, sizeof(id));
		if (index_set_hide_pack(w->index, id, e))
			return -1;
	}
	w->trusts_parent = !marked.len && !quarantine.any;
	return 0;
}

/* With the first chunk: most sessions of an unchanged source add none. */
static int start_threads(struct writer *w, struct err *e)
{
	errno = pthread_create(&w->packer, NULL, packer, w);
	if (errno)
		return err_sys(e, "cannot start a thread");
	w->has_packer = true;
	errno = pthread_create(&w->committer, NULL, committer, w);
	if (errno)
		return err_sys(e, "cannot start a thread");
	w->has_committer = true;
	return 0;
}

int writer_open(struct repository *r, const struct writer_options *o,
		struct writer **ret, struct err *e)
{
	CLEANUP(writer_close) struct writer *w = calloc(1, sizeof(*w));

	if (!w)
		return err_oom(e);
	(void)pthread_mutex_init(&w->lock, NULL);
	w->repository = r;
	w->options = *o;
	if (filemap_new(&w->known, o->scratch, CHUNK_ID_SIZE,
			sizeof(struct known), e) ||
	    (writer_is_guarding(w) &&
	     filemap_new(&w->used, o->scratch, sizeof(struct object_id), 2,
			 e)) ||
	    writer_session_open(w, e) || read_state(w, e) ||
	    queue_new(&w->sealed, QUEUE_LENGTH, e) || queue_new(&w->full, 1, e))
		return -1;
	*ret = TAKE(w);
	return 0;
}

struct object_id writer_session(const struct writer *w)
{
	return w->session;
}

struct repository *writer_repository(struct writer *w)
{
	return w->repository;
}

struct index_set *writer_index(struct writer *w)
{
	return w->index;
}

bool writer_trusts_parent(const struct writer *w)
{
	/* Damage of the index may show at any look-up. */
	return w->trusts_parent && index_set_is_whole(w->index);
}

struct writer_totals writer_totals(struct writer *w)
{
	struct writer_totals t;

	(void)pthread_mutex_lock(&w->lock);
	t = w->totals;
	(void)pthread_mutex_unlock(&w->lock);
	return t;
}

/*
 * Claim a chunk for this session: 1 when the caller is the one to store it,
 * 0 when another thread stores it or the session did.
 */
static int claim(struct writer *w, const struct chunk_id *id, struct err *e)
{
	void *value;
	int fresh;

	(void)pthread_mutex_lock(&w->lock);
	fresh = filemap_add(w->known, id->b, &value, e);
	if (fresh == 0)
		w->totals.chunks_known++;
	(void)pthread_mutex_unlock(&w->lock);
	return fresh;
}

int writer_has(struct writer *w, const struct chunk_id *id, struct err *e)
{
	struct pack_entry at;
	bool here;
	int found;

	(void)pthread_mutex_lock(&w->lock);
	here = filemap_find(w->known, id->b) != NULL;
	(void)pthread_mutex_unlock(&w->lock);
	if (here)
		return 1;
	found = index_set_find(w->index, id, &at, e);
	return found > 0 && writer_note_use(w, &at, false, e) ? -1 : found;
}

/* 1 when this session added the chunk, or the index says where it is. */
static int is_stored(struct writer *w, const struct chunk_id *id, struct err *e)
{
	const int found = writer_has(w, id, e);

	if (found == 1) {
		(void)pthread_mutex_lock(&w->lock);
		w->totals.chunks_known++;
		(void)pthread_mutex_unlock(&w->lock);
	}
	return found;
}

/* A sealed chunk on its way to the packer. */
struct parcel {
	struct chunk_seal seal;
	size_t len;
	uint8_t sealed[];
};

static int send_parcel(struct writer *w, const struct chunk_seal *seal,
		       const void *sealed, size_t n, uint64_t *ret_new,
		       struct err *e)
{
	struct parcel *p = malloc(sizeof(*p) + n);
	int failed = 0;

	if (!p) {
		(void)err_oom(e);
		fail(w, e); /* as in writer_add_named() */
		return -1;
	}
	p->seal = *seal;
	p->len = n;
	memcpy(p->sealed, sealed, n);
	(void)pthread_mutex_lock(&w->lock);
	if (w->totals.chunks_new++ == 0)
		failed = start_threads(w, e);
	w->totals.bytes_new += n;
	(void)pthread_mutex_unlock(&w->lock);
	if (failed) {
		free(p);
		fail(w, e);
		return -1;
	}
	if (!queue_push(w->sealed, p)) {
		free(p);
		if (failure(w, e))
			return -1;
		return err_set(e, ERR_BUG, "the session takes no more chunks");
	}
	if (ret_new)
		*ret_new = n;
	return 0;
}

int writer_add_named(struct writer *w, struct chunk_worker *worker,
		     const struct chunk_id *id, const struct chunk_plain *plain,
		     uint64_t *ret_new, struct err *e)
{
	struct chunk_sealed sealed;
	int is;

	assert(plain->domain == 0);
	if (ret_new)
		*ret_new = 0;
	is = is_stored(w, id, e);
	if (is)
		return is < 0 ? -1 : 0;
	is = claim(w, id, e);
	if (is <= 0)
		return is;
	if (chunk_seal_new(worker, id, plain, &sealed, e)) {
		fail(w, e); /* others may have counted on our claim */
		return -1;
	}
	return send_parcel(w, &sealed.seal, sealed.bytes, sealed.len, ret_new,
			   e);
}

int writer_add(struct writer *w, struct chunk_worker *worker,
	       enum chunk_kind kind, const void *plain, size_t n,
	       struct chunk_id *ret, uint64_t *ret_new, struct err *e)
{
	const struct chunk_plain whole = {
		.kind = kind,
		.effort = chunk_kind_is_meta(kind) ? COMPRESS_BEST
						   : COMPRESS_QUICK,
		.bytes = plain,
		.n = n,
	};

	if (chunk_identify(worker, whole.domain, kind, plain, n, ret, e))
		return -1;
	return writer_add_named(w, worker, ret, &whole, ret_new, e);
}

int writer_add_sealed(struct writer *w, const struct chunk_seal *seal,
		      const void *sealed, size_t n, uint64_t *ret_new,
		      struct err *e)
{
	int is;

	if (ret_new)
		*ret_new = 0;
	is = is_stored(w, &seal->id, e);
	if (is)
		return is < 0 ? -1 : 0;
	is = claim(w, &seal->id, e);
	if (is <= 0)
		return is;
	return send_parcel(w, seal, sealed, n, ret_new, e);
}

/* Hand a pack that is full to the committer. */
static int close_pack(struct writer *w, struct pack_writer **p, struct err *e)
{
	if (!queue_push(w->full, *p)) {
		if (failure(w, e))
			return -1;
		return err_set(e, ERR_BUG, "the session commits no more packs");
	}
	*p = NULL;
	return 0;
}

static int pack_parcel(struct writer *w, struct pack_writer **open,
		       const struct parcel *p, struct err *e)
{
	const bool meta = chunk_kind_is_meta(p->seal.kind);
	struct pack_writer **slot = &open[meta];
	const uint64_t aim = meta ? META_PACK_BYTES : DATA_PACK_BYTES;

	if (*slot &&
	    (pack_writer_size(*slot) + p->len > aim ||
	     !pack_writer_fits(*slot, p->len)) &&
	    close_pack(w, slot, e))
		return -1;
	if (!*slot &&
	    pack_writer_open(repository_store(w->repository),
			     repository_keys(w->repository),
			     meta ? OBJECT_META_PACK : OBJECT_DATA_PACK, slot,
			     e))
		return -1;
	if (pack_writer_add(*slot, &p->seal, p->sealed, p->len, e))
		return -1;
	if (pack_writer_ends_well(*slot, aim, p->len))
		return close_pack(w, slot, e);
	return 0;
}

static void *packer(void *arg)
{
	struct writer *w = (struct writer *)arg;
	struct pack_writer *open[2] = { NULL, NULL };
	struct err e = { 0 };
	void *item;
	int failed = 0;

	while (!failed && queue_pop(w->sealed, &item)) {
		failed = pack_parcel(w, open, (struct parcel *)item, &e);
		free(item);
	}
	for (int i = 0; i < 2; i++) {
		if (!failed && open[i])
			failed = close_pack(w, &open[i], &e);
		pack_writer_free(open[i]);
	}
	if (failed)
		fail(w, &e);
	queue_close(w->full);
	return NULL;
}

static int commit_one(struct writer *w, struct pack_writer *p, struct err *e)
{
	const struct pack_entry *entries;
	size_t n;

	if (pack_writer_commit(p, e))
		return -1;
	n = pack_writer_entries(p, &entries);
	if ((n && writer_note_use(w, &entries[0], true, e)) ||
	    writer_index_remember(w, entries, n, pack_writer_size(p), e))
		return -1;
	return writer_index_is_due(w) ? writer_index_flush(w, e) : 0;
}

static void *committer(void *arg)
{
	struct writer *w = (struct writer *)arg;
	struct err e = { 0 };
	struct err other = { 0 };
	void *item;
	int failed = 0;

	while (!failed && queue_pop(w->full, &item)) {
		struct pack_writer *p = (struct pack_writer *)item;

		failed = commit_one(w, p, &e);
		pack_writer_free(p);
	}
	if (failed)
		fail(w, &e);
	/* Also after a failure: what is durable is worth naming. */
	if (writer_index_flush(w, &other))
		fail(w, &other); /* the first one counts */
	return NULL;
}

/* Let everything that was added become durable and indexed. */
static int finish(struct writer *w, struct err *e)
{
	void *item;

	if (w->sealed)
		queue_close(w->sealed);
	if (w->has_packer)
		(void)pthread_join(w->packer, NULL);
	w->has_packer = false;
	if (w->full)
		queue_close(w->full);
	if (w->has_committer)
		(void)pthread_join(w->committer, NULL);
	w->has_committer = false;
	while (w->sealed && (item = queue_drain(w->sealed)))
		free(item);
	while (w->full && (item = queue_drain(w->full)))
		pack_writer_free((struct pack_writer *)item);
	return failure(w, e);
}

int writer_settle(struct writer *w, struct err *e)
{
	return finish(w, e);
}

int writer_publish(struct writer *w, struct manifest *m,
		   struct instant received, enum record_clock clock,
		   struct err *e)
{
	assert(!w->published);
	m->session = w->session;
	m->snapshot = w->options.snapshot;
	if (finish(w, e)) /* steps 3 and 4 */
		return -1;
	if (writer_session_publish(w, m, received, clock, e))
		return -1;
	w->published = true;
	writer_guard(w, m, received);
	return 0;
}

const struct writer_guarding *writer_guarding(const struct writer *w)
{
	return &w->guarding;
}

void writer_close(struct writer *w)
{
	struct err ignored = { 0 };
	struct store *s;

	if (!w)
		return;
	s = repository_store(w->repository);
	(void)finish(w, &ignored);
	/* What only keeps others from waiting for us need not be waited for. */
	if (w->failed)
		store_set_patience(s, STORE_HURRIED);
	beat_stop(w->beat); /* step 9 */
	store_set_patience(s, STORE_PATIENT);
	queue_free(w->sealed);
	queue_free(w->full);
	filemap_free(w->known);
	filemap_free(w->used);
	index_set_free(w->index);
	writer_index_done(w);
	(void)pthread_mutex_destroy(&w->lock);
	free(w);
}

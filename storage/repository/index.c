#include "storage/repository/index.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "storage/repository/index_set.h"
#include "storage/repository/voids.h"

/* Objects up to this size are held in memory, as long as half the cache's. */
#define RESIDENT_BLOCKS	 16
#define OBJECTS_MAX	 1000000
#define FENCES_BYTES	 ((size_t)1 << 28)
#define SUPERSEDED_BYTES ((size_t)1 << 30)
/* More than this many that do not open are no accident to work around. */
#define UNOPENED_MAX ((size_t)65536)

static int compare_entries(const void *a, const void *b)
{
	const struct pack_entry *x = a;
	const struct pack_entry *y = b;
	const int by_id = chunk_id_compare(&x->seal.id, &y->seal.id);

	return by_id ? by_id : object_id_compare(x->place.pack, y->place.pack);
}

size_t index_sort(struct pack_entry *entries, size_t n)
{
	size_t kept = 0;

	if (n == 0)
		return 0;
	qsort(entries, n, sizeof(*entries), compare_entries);
	for (size_t i = 1; i < n; i++)
		if (compare_entries(&entries[kept], &entries[i]) != 0)
			entries[++kept] = entries[i];
	return kept + 1;
}

/*
 * Hiding.
 */
int index_set_hide_pack(struct index_set *x, struct object_id pack,
			struct err *e)
{
	const struct chunk_id none = { { 0 } };

	return index_hidden_add(&x->hidden, &none, pack, e);
}

int index_set_hide_chunk(struct index_set *x, const struct chunk_id *id,
			 struct object_id pack, struct err *e)
{
	return index_hidden_add(&x->hidden, id, pack, e);
}

/*
 * Runs of resident entries.
 */
static void runs_clear(struct index_set *x)
{
	while (x->n_runs > 0)
		free(x->runs[--x->n_runs].entries);
	x->resident_bytes = 0;
}

static int merge_runs(struct run *a, const struct run *b, struct err *e)
{
	uint8_t *out = malloc((a->n + b->n) * INDEX_ENTRY_SIZE);
	size_t i = 0;
	size_t k = 0;
	size_t n = 0;

	if (!out)
		return err_oom(e);
	while (i < a->n || k < b->n) {
		const uint8_t *p = a->entries + i * INDEX_ENTRY_SIZE;
		const uint8_t *q = b->entries + k * INDEX_ENTRY_SIZE;
		const int order = i == a->n   ? 1
				  : k == b->n ? -1
					      : memcmp(p, q, INDEX_KEY_SIZE);

		memcpy(out + n++ * INDEX_ENTRY_SIZE, order <= 0 ? p : q,
		       INDEX_ENTRY_SIZE);
		i += order <= 0;
		k += order >= 0;
	}
	free(a->entries);
	*a = (struct run){ .entries = out, .n = n };
	return 0;
}

/* Takes the run over, also when it fails. */
static int add_run(struct index_set *x, struct run run, struct err *e)
{
	/* Each run is more than twice the next, so 64 are never needed. */
	assert(x->n_runs < RUNS_MAX);
	x->runs[x->n_runs++] = run;
	x->resident_bytes += run.n * INDEX_ENTRY_SIZE;
	while (x->n_runs > 1) {
		struct run *last = &x->runs[x->n_runs - 1];

		if (last[-1].n > 2 * last->n)
			break;
		if (merge_runs(&last[-1], last, e))
			return -1;
		free(last->entries);
		x->n_runs--;
	}
	return 0;
}

/* Make o resident when it is small and there is room. */
static int load_resident(struct index_set *x, struct index_object *o,
			 struct err *e)
{
	const size_t bytes = (size_t)o->entries * INDEX_ENTRY_SIZE;
	uint8_t plain[INDEX_BLOCK_PLAIN];
	uint8_t *entries;
	size_t n = 0;

	o->resident = false;
	if (o->blocks > RESIDENT_BLOCKS ||
	    bytes > x->resident_max - x->resident_bytes)
		return 0;
	if (o->blocks == 0) {
		o->resident = true;
		return 0;
	}
	entries = malloc(bytes);
	if (!entries)
		return err_oom(e);
	for (uint32_t i = 0; i < o->blocks; i++) {
		const size_t k = index_object_count(o, i);

		if (index_object_block(o, i, plain, e)) {
			free(entries);
			return -1;
		}
		memcpy(entries + n * INDEX_ENTRY_SIZE, plain + 2,
		       k * INDEX_ENTRY_SIZE);
		n += k;
	}
	o->resident = true;
	return add_run(x, (struct run){ .entries = entries, .n = n }, e);
}

/*
 * Opening.
 */
static int append_object(struct index_set *x, struct index_object *o,
			 struct err *e)
{
	if (x->n == x->cap) {
		const size_t cap = x->cap ? x->cap * 2 : 16;
		struct index_object **grown = reallocarray(x->objects, cap,
							   sizeof(*grown));

		if (!grown)
			return err_oom(e);
		x->objects = grown;
		x->cap = cap;
	}
	o->serial = (uint32_t)x->n;
	x->objects[x->n++] = o;
	return 0;
}

static int compare_ids(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct object_id));
}

static bool is_among(const struct buf *ids, struct object_id id)
{
	return ids->len && bsearch(&id, ids->data, ids->len / sizeof(id),
				   sizeof(id), compare_ids);
}

static void sort_ids(struct buf *ids)
{
	if (ids->len)
		qsort(ids->data, ids->len / sizeof(struct object_id),
		      sizeof(struct object_id), compare_ids);
}

static bool counts(const struct index_set *x, const struct index_object *o)
{
	return !o->voided && !(x->rely && o->fenced);
}

/*
 * Ignore what any object that counts names as superseded.  What is left out
 * for the fence of its session alone is missed.
 */
static int ignore_superseded(struct index_set *x, struct err *e)
{
	CLEANUP(buf_done) struct buf all;

	buf_init(&all, SUPERSEDED_BYTES);
	for (size_t i = 0; i < x->n; i++) {
		const struct index_object *o = x->objects[i];

		if (counts(x, o) && o->n_superseded &&
		    buf_add(&all, o->superseded,
			    o->n_superseded * sizeof(*o->superseded), e))
			return -1;
	}
	sort_ids(&all);
	for (size_t i = 0; i < x->n; i++) {
		struct index_object *o = x->objects[i];

		o->replaced = is_among(&all, o->in.id);
		if (o->replaced || !counts(x, o))
			o->ignored = true;
		if (!o->replaced && !o->voided && !counts(x, o))
			atomic_store(&x->awaits, true);
	}
	return 0;
}

static int visit_fence(void *arg, const struct store_entry *entry,
		       struct err *e)
{
	struct object_id first;
	struct object_id id;

	if (!object_name_parse(OBJECT_FENCE, entry->name, &first, &id))
		return 0;
	return buf_add(arg, id.b, sizeof(id.b), e);
}

/* After the objects were listed: who is fenced later had its LIST later. */
static int note_fences(struct index_set *x, struct err *e)
{
	CLEANUP(buf_done) struct buf ids;

	buf_init(&ids, FENCES_BYTES);
	if (store_list(x->store, "fences/", visit_fence, &ids, e))
		return -1;
	for (size_t i = 0; i < x->n; i++)
		x->objects[i]->fenced = is_among(&ids, x->objects[i]->session);
	return 0;
}

/* Of a listing. */
struct listed {
	struct buf ids;
	struct buf sizes; /* u64 */
};

static int visit_name(void *arg, const struct store_entry *entry, struct err *e)
{
	struct listed *l = arg;
	struct object_id first;
	struct object_id id;

	/* What is not called like an index object is none. */
	if (!object_name_parse(OBJECT_INDEX, entry->name, &first, &id))
		return 0;
	return buf_add(&l->ids, id.b, sizeof(id.b), e) ||
			       buf_add(&l->sizes, &entry->size,
				       sizeof(entry->size), e)
		       ? -1
		       : 0;
}

static void clear(struct index_set *x)
{
	runs_clear(x);
	while (x->n > 0)
		index_object_free(x->objects[--x->n]);
	x->whole_bytes = 0;
}

/* 0 when the others are to be used without what failed. */
static int leave_out(struct index_set *x, struct object_id id,
		     const struct err *why, struct err *e)
{
	if (!x->damaged || !object_is_damage(why)) {
		*e = *why;
		return -1;
	}
	if (why->sys)
		atomic_store(&x->left_out_sys, why->sys);
	atomic_store(&x->lacks, true);
	return x->damaged(x->arg, id, why, e);
}

/* The same of one that is open; any number of threads may meet it. */
int index_set_leave_out(struct index_set *x, struct index_object *o,
			const struct err *why, struct err *e)
{
	if (x->damaged && object_is_damage(why) &&
	    atomic_exchange(&o->told, true))
		return 0;
	return leave_out(x, o->in.id, why, e);
}

/* An object that did not open, until it is known whether that matters. */
struct unopened {
	struct object_id id;
	struct err why;
};

struct opening {
	bool again; /* an object was gone that had been listed */
	struct store_asked *asked;
	struct buf unopened; /* struct unopened, one after the other */
};

static int judge(struct index_set *x, struct index_object *o, struct err *e)
{
	enum voids_answer answer;

	if (voids_judge(x->voids, o->session, o->in.id, &answer, e))
		return -1;
	o->voided = answer == VOIDS_DOES_NOT;
	o->ignored = o->voided;
	return 0;
}

/* o is the set's from now on, or freed. */
static int take_judged(struct index_set *x, struct index_object *o,
		       struct err *e)
{
	if (judge(x, o, e) || append_object(x, o, e)) {
		index_object_free(o);
		return -1;
	}
	return 0;
}

static bool is_open(const struct index_set *x, struct object_id id)
{
	for (size_t i = 0; i < x->n; i++)
		if (object_id_equal(x->objects[i]->in.id, id))
			return true;
	return false;
}

/* Small objects that are asked for at once. */
#define ASKED 32

/*
 * The next ones, and with the first of them the fences, which are to be listed
 * after the objects were.
 */
static struct store_asked *ask_listed(const struct index_set *x,
				      const struct listed *l, size_t from)
{
	struct store_question *v;
	struct store_asked *asked;
	size_t n = 0;

	if (store_features(x->store) & STORE_LOCAL)
		return NULL;
	v = calloc(ASKED + 1, sizeof(*v));
	if (!v) /* they are read one after the other */
		return NULL;
	if (from == 0) {
		v[n].kind = STORE_ASK_LISTING;
		memcpy(v[n++].name, "fences/", sizeof("fences/"));
	}
	for (size_t i = from; i < from + ASKED; i++) {
		struct object_id id;
		uint64_t size;

		if ((i + 1) * sizeof(id) > l->ids.len)
			break;
		memcpy(id.b, l->ids.data + i * sizeof(id), sizeof(id));
		memcpy(&size, l->sizes.data + i * sizeof(size), sizeof(size));
		if (size >= INDEX_WHOLE_MAX || is_open(x, id))
			continue;
		v[n].kind = STORE_ASK_OBJECT;
		v[n].most = INDEX_WHOLE_MAX;
		memcpy(v[n++].name, object_name(OBJECT_INDEX, id).s,
		       sizeof(object_name(OBJECT_INDEX, id).s));
	}
	asked = store_ask(x->store, v, n);
	free(v);
	return asked;
}

/* One that was listed: 0, also when it is to be judged later; -1. */
static int open_one(struct index_set *x, struct object_id id,
		    struct opening *how, struct err *e)
{
	struct unopened u = { .id = id };
	struct index_object *o;

	if (index_object_open(x->store, x->keys, id, &o, &u.why)) {
		how->again = u.why.code == ERR_NOT_FOUND;
		return how->again ? 0
				  : buf_add(&how->unopened, &u, sizeof(u), e);
	}
	if (x->whole_bytes + o->whole.len > x->resident_max)
		index_object_slim(o);
	x->whole_bytes += o->whole.len;
	return take_judged(x, o, e);
}

static int open_listed(struct index_set *x, const struct listed *l,
		       struct opening *how, struct err *e)
{
	const bool refreshing = x->n > 0;
	int failed = 0;

	/* Voids may have come since: what superseded one may be none. */
	for (size_t i = 0; i < x->n; i++)
		if (judge(x, x->objects[i], e))
			return -1;
	for (size_t i = 0; !failed && !how->again &&
			   i * sizeof(struct object_id) < l->ids.len;
	     i++) {
		struct object_id id;

		if (i % ASKED == 0) {
			store_ask_done(how->asked);
			how->asked = ask_listed(x, l, i);
		}
		memcpy(id.b, l->ids.data + i * sizeof(id), sizeof(id));
		if (!refreshing || !is_open(x, id))
			failed = open_one(x, id, how, e);
	}
	return failed ? -1 : 0;
}

/* What is open and not listed any more was merged into another. */
static void ignore_gone(struct index_set *x, const struct buf *ids)
{
	for (size_t i = 0; i < x->n; i++) {
		struct index_object *o = x->objects[i];

		/* Listed in the order of their names. */
		o->ignored = o->ignored || !is_among(ids, o->in.id);
	}
}

static bool is_superseded(const struct index_set *x, struct object_id id)
{
	for (size_t i = 0; i < x->n; i++)
		for (size_t k = 0; counts(x, x->objects[i]) &&
				   k < x->objects[i]->n_superseded;
		     k++)
			if (object_id_equal(x->objects[i]->superseded[k], id))
				return true;
	return false;
}

/* One that a repair superseded holds nothing any more that counts. */
static int judge_unopened(struct index_set *x, struct opening *how,
			  struct err *e)
{
	for (size_t at = 0; at < how->unopened.len;
	     at += sizeof(struct unopened)) {
		struct unopened u;

		memcpy(&u, how->unopened.data + at, sizeof(u));
		if (!is_superseded(x, u.id) && leave_out(x, u.id, &u.why, e))
			return -1;
	}
	return 0;
}

static int load_residents(struct index_set *x, struct opening *how,
			  struct err *e)
{
	for (size_t i = 0; i < x->n; i++) {
		struct index_object *o = x->objects[i];
		struct err why;

		if (o->ignored || load_resident(x, o, &why) == 0)
			continue;
		how->again = why.code == ERR_BUSY;
		if (how->again)
			return 0;
		if (index_set_leave_out(x, o, &why, e))
			return -1;
		o->ignored = true;
	}
	return 0;
}

/*
 * What is kept of objects until they are loaded is kept no longer; but who
 * walks what stays as it is walks it several times.
 */
static void slim_all(struct index_set *x)
{
	if (x->frozen)
		return;
	for (size_t i = 0; i < x->n; i++)
		index_object_slim(x->objects[i]);
	x->whole_bytes = 0;
}

static int open_rest(struct index_set *x, const struct listed *l,
		     struct opening *how, struct err *e)
{
	if (open_listed(x, l, how, e))
		return -1;
	if (how->again)
		return 0;
	ignore_gone(x, &l->ids);
	if (note_fences(x, e))
		return -1;
	if (judge_unopened(x, how, e) || ignore_superseded(x, e))
		return -1;
	return load_residents(x, how, e);
}

static int open_all(struct index_set *x, struct opening *how, struct err *e)
{
	struct listed l;
	int failed;

	buf_init(&l.ids, OBJECTS_MAX * sizeof(struct object_id));
	buf_init(&l.sizes, OBJECTS_MAX * sizeof(uint64_t));
	how->again = false;
	buf_clear(&how->unopened);
	voids_free(x->voids);
	x->voids = NULL;
	failed = voids_read(x->store, x->keys, &x->voids, e) ||
		 store_list(x->store, "index/", visit_name, &l, e) ||
		 open_rest(x, &l, how, e);
	store_ask_done(how->asked);
	how->asked = NULL;
	slim_all(x);
	buf_done(&l.ids);
	buf_done(&l.sizes);
	return failed ? -1 : 0;
}

int index_set_open(struct store *s, const struct keys *k,
		   const struct index_set_options *o, struct index_set **ret,
		   struct err *e)
{
	struct opening how = { .again = false };
	struct index_set *x = calloc(1, sizeof(*x));

	if (!x)
		return err_oom(e);
	buf_init(&how.unopened, UNOPENED_MAX * sizeof(struct unopened));
	x->store = s;
	x->keys = k;
	x->resident_max = o->cache_bytes / 2;
	x->damaged = o->damaged;
	x->arg = o->arg;
	x->rely = o->rely;
	x->frozen = o->frozen;
	(void)pthread_rwlock_init(&x->lock, NULL);
	if (index_cache_new(o->cache_bytes - x->resident_max, &x->cache, e))
		goto failed;
	/* What is merged between LIST and GET is found in the next LIST. */
	for (int i = 0; i < INDEX_LISTINGS_MAX; i++) {
		if (open_all(x, &how, e))
			goto failed;
		if (!how.again) {
			buf_done(&how.unopened);
			*ret = x;
			return 0;
		}
		clear(x);
	}
	(void)err_set(e, ERR_BUSY, "the index changes all the time");
failed:
	buf_done(&how.unopened);
	index_set_free(x);
	return -1;
}

void index_set_free(struct index_set *x)
{
	if (!x)
		return;
	clear(x);
	voids_free(x->voids);
	free(x->objects);
	index_cache_free(x->cache);
	index_hidden_done(&x->hidden);
	(void)pthread_rwlock_destroy(&x->lock);
	free(x);
}

bool index_set_is_whole(const struct index_set *x)
{
	return !index_set_is_damaged(x) && !atomic_load(&x->awaits);
}

bool index_set_is_damaged(const struct index_set *x)
{
	return atomic_load(&x->lacks);
}

int index_set_left_out_sys(const struct index_set *x)
{
	return atomic_load(&x->left_out_sys);
}

int index_set_refresh(struct index_set *x, struct err *e)
{
	struct opening how = { .again = true };
	int failed = 0;

	if (x->frozen)
		return 0;
	buf_init(&how.unopened, UNOPENED_MAX * sizeof(struct unopened));
	(void)pthread_rwlock_wrlock(&x->lock);
	for (int i = 0; !failed && how.again && i < INDEX_LISTINGS_MAX; i++) {
		runs_clear(x);
		failed = open_all(x, &how, e);
	}
	/* Read block by block from now on: what is in no run is not lost. */
	for (size_t i = 0; (failed || how.again) && i < x->n; i++)
		x->objects[i]->resident = false;
	(void)pthread_rwlock_unlock(&x->lock);
	buf_done(&how.unopened);
	if (!failed && how.again)
		failed = err_set(e, ERR_BUSY, "the index changes all the time");
	return failed ? -1 : 0;
}

/* After something resident was superseded its entries have to go. */
static int reload(struct index_set *x, struct err *e)
{
	struct opening how = { .again = false };

	runs_clear(x);
	if (load_residents(x, &how, e))
		return -1;
	if (how.again)
		return err_set(e, ERR_BUSY, "an index was merged meanwhile");
	return 0;
}

static bool lost_a_resident(const struct index_set *x)
{
	for (size_t i = 0; i < x->n; i++)
		if (x->objects[i]->ignored && x->objects[i]->resident)
			return true;
	return false;
}

/* Takes o over when it succeeds. */
static int take_object(struct index_set *x, struct index_object *o,
		       struct err *e)
{
	if (append_object(x, o, e))
		return -1;
	if (load_resident(x, o, e) || ignore_superseded(x, e)) {
		x->n--;
		return -1;
	}
	index_object_slim(o);
	return 0;
}

int index_set_add(struct index_set *x, struct object_id index, struct err *e)
{
	CLEANUP(index_object_free) struct index_object *o = NULL;
	int r;

	if (index_object_open(x->store, x->keys, index, &o, e))
		return -1;
	(void)pthread_rwlock_wrlock(&x->lock);
	r = take_object(x, o, e);
	if (r == 0) {
		o = NULL;
		if (lost_a_resident(x))
			r = reload(x, e);
	}
	(void)pthread_rwlock_unlock(&x->lock);
	return r;
}

int index_set_snapshot(struct index_set *x, struct index_object ***ret,
		       size_t *ret_n, struct err *e)
{
	struct index_object **list;
	size_t n = 0;

	(void)pthread_rwlock_rdlock(&x->lock);
	list = calloc(x->n + 1, sizeof(struct index_object *));
	for (size_t i = 0; list && i < x->n; i++)
		if (!x->objects[i]->ignored)
			list[n++] = x->objects[i];
	(void)pthread_rwlock_unlock(&x->lock);
	if (!list)
		return err_oom(e);
	*ret = list;
	*ret_n = n;
	return 0;
}

int index_set_each(struct index_set *x, index_object_visit *visit, void *arg,
		   struct err *e)
{
	for (size_t i = 0; i < x->n; i++)
		if (visit(arg, x->objects[i], e))
			return -1;
	return 0;
}

uint64_t index_set_entries(const struct index_set *x)
{
	uint64_t n = 0;

	for (size_t i = 0; i < x->n; i++)
		if (!x->objects[i]->ignored)
			n += x->objects[i]->entries;
	return n;
}

size_t index_set_objects(const struct index_set *x)
{
	size_t n = 0;

	for (size_t i = 0; i < x->n; i++)
		n += !x->objects[i]->ignored;
	return n;
}

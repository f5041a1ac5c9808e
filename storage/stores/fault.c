#include "storage/stores/fault.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define FAULTS_MAX 16
/* An old version that FAULT_STALE can give: session counters are small. */
#define OLD_MAX	    ((size_t)64 * 1024)
#define HANG_MAX_MS 60000

/* The version of an object before its last replacement. */
struct old {
	struct old *next;
	struct buf bytes;
	char name[STORE_NAME_MAX + 1];
};

struct active {
	struct fault fault;
	pthread_t by; /* who added it */
	uint64_t seen;
};

struct faulty {
	struct store store;
	struct store *inner;
	pthread_mutex_t lock; /* of what follows */
	struct active active[FAULTS_MAX];
	size_t n;
	uint64_t calls[FAULT_ANY + 1];
	struct old *olds;
	bool is_far;
};

struct faulty_upload {
	struct store_upload upload;
	struct store_upload *inner;
	bool replace;
};

static bool begins(const char *name, const char *prefix)
{
	return strncmp(name, prefix, strlen(prefix)) == 0;
}

static bool fires(struct active *a, enum fault_call call, const char *name)
{
	const struct fault *f = &a->fault;
	const uint64_t first = f->nth ? f->nth : 1;

	if (f->call != call && f->call != FAULT_ANY)
		return false;
	if (f->prefix && f->action != FAULT_HIDE && !begins(name, f->prefix))
		return false;
	if (f->action == FAULT_RUN && !f->everyone &&
	    !pthread_equal(a->by, pthread_self()))
		return false;
	a->seen++;
	return a->seen >= first && (!f->times || a->seen - first < f->times);
}

/*
 * Count a call and find the fault that acts on it, if any, in *ret.  A hang,
 * and what is run first, is over when this returns.
 */
static bool consult(struct faulty *s, enum fault_call call, const char *name,
		    struct fault *ret)
{
	bool found = false;

	(void)pthread_mutex_lock(&s->lock);
	s->calls[call]++;
	s->calls[FAULT_ANY]++;
	for (size_t i = 0; i < s->n; i++) {
		/* Each fault counts each call, whichever of them acts. */
		if (!fires(&s->active[i], call, name) || found)
			continue;
		*ret = s->active[i].fault;
		found = true;
	}
	(void)pthread_mutex_unlock(&s->lock);
	if (found && ret->action == FAULT_HANG) {
		const uint64_t ms = ret->amount;

		clock_sleep_ms((int64_t)(ms < HANG_MAX_MS ? ms : HANG_MAX_MS));
		return false;
	}
	if (found && ret->action == FAULT_RUN) {
		ret->run(ret->arg, name);
		return false;
	}
	if (found && ret->note)
		ret->note(ret->arg, name);
	return found;
}

static int fail(const struct fault *f, struct err *e)
{
	(void)err_set(e, f->code ? f->code : ERR_IO, "%s",
		      f->sys ? err_errno_text(f->sys) : "a fault was injected");
	e->sys = f->sys;
	return -1;
}

static void faulty_close(struct store *store)
{
	struct faulty *s = (struct faulty *)store;

	while (s->olds) {
		struct old *o = s->olds;

		s->olds = o->next;
		buf_done(&o->bytes);
		free(o);
	}
	store_close(s->inner);
	(void)pthread_mutex_destroy(&s->lock);
	free(s);
}

static unsigned int faulty_features(const struct store *store)
{
	const struct faulty *s = (const struct faulty *)store;
	const unsigned int inner = store_features(s->inner);

	return s->is_far ? inner & ~(unsigned int)STORE_LOCAL : inner;
}

static int faulty_begin(struct store *store, const char *name, uint64_t size,
			unsigned int flags, struct store_upload **ret,
			struct err *e)
{
	struct faulty *s = (struct faulty *)store;
	struct faulty_upload *u;
	struct fault f;

	if (consult(s, FAULT_BEGIN, name, &f) &&
	    (f.action == FAULT_FAIL || f.action == FAULT_FAIL_AFTER))
		return fail(&f, e);
	u = calloc(1, sizeof(*u));
	if (!u)
		return err_oom(e);
	/* The slots themselves: context is added once, by the outer store. */
	if (s->inner->ops->begin(s->inner, name, size, flags, &u->inner, e) <
	    0) {
		free(u);
		return -1;
	}
	u->inner->store = s->inner;
	(void)snprintf(u->inner->name, sizeof(u->inner->name), "%s", name);
	u->replace = flags & STORE_REPLACE;
	*ret = &u->upload;
	return 0;
}

static int faulty_append(struct store_upload *upload, const void *bytes,
			 size_t n, struct err *e)
{
	struct faulty_upload *u = (struct faulty_upload *)upload;
	struct faulty *s = (struct faulty *)upload->store;
	struct fault f;
	const bool act = consult(s, FAULT_APPEND, upload->name, &f);

	if (act && f.action == FAULT_FAIL)
		return fail(&f, e);
	if (s->inner->ops->append(u->inner, bytes, n, e) < 0)
		return -1;
	return act && f.action == FAULT_FAIL_AFTER ? fail(&f, e) : 0;
}

static void faulty_abort(struct store_upload *upload)
{
	struct faulty_upload *u = (struct faulty_upload *)upload;

	store_abort(u->inner);
	free(u);
}

static struct old *find_old(struct faulty *s, const char *name)
{
	struct old *o = s->olds;

	while (o && strcmp(o->name, name) != 0)
		o = o->next;
	return o;
}

/* Keep the bytes of name, which is about to be replaced. */
static int keep_old(struct faulty *s, const char *name, struct err *e)
{
	CLEANUP(buf_done) struct buf bytes;
	struct old *o;
	uint64_t size = 0;
	int r;

	buf_init(&bytes, OLD_MAX);
	r = store_size(s->inner, name, &size, e);
	if (r > 0 && size > OLD_MAX)
		return 0;
	if (r > 0)
		r = store_get(s->inner, name, &bytes, e);
	if (r <= 0)
		return r;
	(void)pthread_mutex_lock(&s->lock);
	o = find_old(s, name);
	if (!o) {
		o = calloc(1, sizeof(*o));
		if (o) {
			(void)snprintf(o->name, sizeof(o->name), "%s", name);
			o->next = s->olds;
			s->olds = o;
		}
	}
	if (o) {
		buf_done(&o->bytes);
		o->bytes = bytes;
		buf_init(&bytes, 0);
	}
	(void)pthread_mutex_unlock(&s->lock);
	return o ? 0 : err_oom(e);
}

static int faulty_commit(struct store_upload *upload, struct err *e)
{
	struct faulty_upload *u = (struct faulty_upload *)upload;
	struct faulty *s = (struct faulty *)upload->store;
	struct fault f;
	const bool act = consult(s, FAULT_COMMIT, upload->name, &f);
	int r = 0;

	if (act && f.action == FAULT_FAIL) {
		faulty_abort(upload);
		return fail(&f, e);
	}
	if (act && f.action == FAULT_LOSE) {
		faulty_abort(upload);
		return 0;
	}
	if (u->replace)
		r = keep_old(s, upload->name, e);
	if (r < 0) {
		faulty_abort(upload);
		return -1;
	}
	r = s->inner->ops->commit(u->inner, e);
	free(u);
	if (r == 0 && act && f.action == FAULT_FAIL_AFTER)
		return fail(&f, e);
	return r;
}

/* 1 when there is an older version and [out, n) was filled from it. */
static int read_old(struct faulty *s, const char *name, uint64_t offset,
		    void *out, size_t n, size_t *ret_got)
{
	const struct old *o;
	size_t got = 0;

	(void)pthread_mutex_lock(&s->lock);
	o = find_old(s, name);
	if (o && offset < o->bytes.len) {
		got = o->bytes.len - (size_t)offset;
		got = got < n ? got : n;
		if (got > 0)
			memcpy(out, o->bytes.data + offset, got);
	}
	(void)pthread_mutex_unlock(&s->lock);
	if (!o)
		return 0;
	*ret_got = got;
	return 1;
}

static int faulty_read(struct store *store, const char *name, uint64_t offset,
		       void *out, size_t n, size_t *ret_got, struct err *e)
{
	struct faulty *s = (struct faulty *)store;
	struct fault f;
	const bool act = consult(s, FAULT_READ, name, &f);
	size_t got = 0;
	int r;

	if (act && f.action == FAULT_FAIL)
		return fail(&f, e);
	if (act && f.action == FAULT_ABSENT)
		return 0;
	if (act && f.action == FAULT_STALE &&
	    read_old(s, name, offset, out, n, ret_got) > 0)
		return 1;
	r = s->inner->ops->read(s->inner, name, offset, out, n, &got, e);
	if (r <= 0)
		return r;
	if (act && f.action == FAULT_FAIL_AFTER)
		return fail(&f, e);
	if (act && f.action == FAULT_SHORT && got > f.amount)
		got = (size_t)f.amount;
	if (act && f.action == FAULT_FLIP && got > 0) {
		const size_t bit = (size_t)(f.amount % ((uint64_t)got * 8));

		((uint8_t *)out)[bit / 8] ^= (uint8_t)(1U << bit % 8);
	}
	*ret_got = got;
	return 1;
}

static int faulty_size(struct store *store, const char *name, uint64_t *ret,
		       struct err *e)
{
	struct faulty *s = (struct faulty *)store;
	struct fault f;

	if (consult(s, FAULT_SIZE, name, &f)) {
		if (f.action == FAULT_FAIL || f.action == FAULT_FAIL_AFTER)
			return fail(&f, e);
		if (f.action == FAULT_ABSENT)
			return 0;
	}
	return s->inner->ops->size(s->inner, name, ret, e);
}

struct faulty_visit {
	const struct fault *fault; /* NULL: none acts */
	uint64_t n;
	store_visit *visit;
	void *arg;
};

static int visit_some(void *arg, const struct store_entry *entry, struct err *e)
{
	struct faulty_visit *v = arg;
	const uint64_t i = v->n++;

	if (v->fault && v->fault->action == FAULT_SHORT &&
	    i >= v->fault->amount)
		return 1;
	if (v->fault && v->fault->action == FAULT_HALF && i % 2)
		return 0;
	if (v->fault && v->fault->action == FAULT_HIDE &&
	    begins(entry->name, v->fault->prefix))
		return 0;
	return v->visit(v->arg, entry, e);
}

typedef int list_slot(struct store *s, const char *prefix, store_visit *visit,
		      void *arg, struct err *e);

/* named: as faults know it. */
static int list_by(list_slot *list, struct faulty *s, const char *named,
		   const char *prefix, store_visit *visit, void *arg,
		   struct err *e)
{
	struct fault f;
	const bool act = consult(s, FAULT_LIST, named, &f);
	struct faulty_visit v = { .visit = visit, .arg = arg };
	int r;

	if (act && f.action == FAULT_FAIL)
		return fail(&f, e);
	if (act && f.action == FAULT_ABSENT)
		return 0;
	if (act)
		v.fault = &f;
	r = list(s->inner, prefix, visit_some, &v, e);
	if (r == 0 && act && f.action == FAULT_FAIL_AFTER)
		return fail(&f, e);
	return r;
}

static int faulty_list(struct store *store, const char *prefix,
		       store_visit *visit, void *arg, struct err *e)
{
	struct faulty *s = (struct faulty *)store;

	return list_by(s->inner->ops->list, s, prefix, prefix, visit, arg, e);
}

static int faulty_list_reading(struct store *store, const char *prefix,
			       store_visit *visit, void *arg, struct err *e)
{
	struct faulty *s = (struct faulty *)store;
	const struct store_ops *ops = s->inner->ops;

	return list_by(ops->list_reading ? ops->list_reading : ops->list, s,
		       prefix, prefix, visit, arg, e);
}

static int faulty_list_after(struct store *store, const char *after,
			     store_visit *visit, void *arg, struct err *e)
{
	struct faulty *s = (struct faulty *)store;
	char named[STORE_NAME_MAX + 2];

	(void)snprintf(named, sizeof(named), ">%s", after);
	return list_by(s->inner->ops->list_after, s, named, after, visit, arg,
		       e);
}

static int faulty_remove(struct store *store, const char *name, struct err *e)
{
	struct faulty *s = (struct faulty *)store;
	struct fault f;
	const bool act = consult(s, FAULT_REMOVE, name, &f);

	if (act && f.action == FAULT_FAIL)
		return fail(&f, e);
	if (act && f.action == FAULT_LOSE)
		return 0;
	if (s->inner->ops->remove(s->inner, name, e) < 0)
		return -1;
	return act && f.action == FAULT_FAIL_AFTER ? fail(&f, e) : 0;
}

static int faulty_now(struct store *store, struct instant *ret, struct err *e)
{
	return store_now(((struct faulty *)store)->inner, ret, e);
}

static int faulty_local_folder(const struct store *store,
			       struct store_folder *ret, struct err *e)
{
	return store_local_folder(((const struct faulty *)store)->inner, ret,
				  e);
}

static int faulty_pure(struct store *store, struct err *e)
{
	return store_pure(((struct faulty *)store)->inner, e);
}

static int faulty_reads(const struct store *store, store_file *visit, void *arg,
			struct err *e)
{
	return store_reads(((const struct faulty *)store)->inner, visit, arg,
			   e);
}

static int faulty_can_guard(struct store *store, struct err *e)
{
	return store_can_guard(((struct faulty *)store)->inner, e);
}

static const char *faulty_guard_mode(struct store *store)
{
	return store_guard_mode(((struct faulty *)store)->inner);
}

static void faulty_guard_upload(struct store_upload *upload,
				struct instant until)
{
	struct faulty_upload *u = (struct faulty_upload *)upload;

	u->inner->store->ops->guard_upload(u->inner, until);
}

/* 1 when it is to fail at once, or 2 afterwards; else 0. */
static int guard_fault(struct store *store, const char *name, struct fault *f)
{
	if (!consult((struct faulty *)store, FAULT_GUARD, name, f))
		return 0;
	return f->action == FAULT_FAIL	       ? 1
	       : f->action == FAULT_FAIL_AFTER ? 2
					       : 0;
}

static int faulty_guard(struct store *store, const char *name,
			struct instant until, struct err *e)
{
	struct store *inner = ((struct faulty *)store)->inner;
	struct fault f;
	const int when = guard_fault(store, name, &f);
	int r;

	if (when == 1)
		return fail(&f, e);
	r = inner->ops->guard ? inner->ops->guard(inner, name, until, e) : 0;
	return r > 0 && when == 2 ? fail(&f, e) : r;
}

static int faulty_hold(struct store *store, const char *name, bool held,
		       struct err *e)
{
	struct store *inner = ((struct faulty *)store)->inner;
	struct fault f;
	const int when = guard_fault(store, name, &f);
	int r;

	if (when == 1)
		return fail(&f, e);
	r = inner->ops->hold ? inner->ops->hold(inner, name, held, e) : 0;
	return r > 0 && when == 2 ? fail(&f, e) : r;
}

static int faulty_guarded(struct store *store, const char *name,
			  struct store_guard *ret, struct err *e)
{
	struct store *inner = ((struct faulty *)store)->inner;
	struct fault f;

	if (guard_fault(store, name, &f))
		return fail(&f, e);
	return inner->ops->guarded ? inner->ops->guarded(inner, name, ret, e)
				   : 0;
}

static int faulty_turn(struct store *store, const char *name, unsigned int n,
		       struct err *e)
{
	return store_turn(((struct faulty *)store)->inner, name, n, e);
}

static bool faulty_has_several(struct store *store, const char *name)
{
	return store_has_several(((struct faulty *)store)->inner, name);
}

static void faulty_set_patience(struct store *store, enum store_patience p)
{
	store_set_patience(((struct faulty *)store)->inner, p);
}

/* Has no open: a faulty store is not reached by a URL. */
static const struct store_ops faulty_ops = {
	.scheme = "fault",
	.close = faulty_close,
	.features = faulty_features,
	.begin = faulty_begin,
	.append = faulty_append,
	.commit = faulty_commit,
	.abort = faulty_abort,
	.read = faulty_read,
	.size = faulty_size,
	.list = faulty_list,
	.list_reading = faulty_list_reading,
	.list_after = faulty_list_after,
	.remove = faulty_remove,
	.pure = faulty_pure,
	.now = faulty_now,
	.local_folder = faulty_local_folder,
	.reads = faulty_reads,
	.can_guard = faulty_can_guard,
	.guard_upload = faulty_guard_upload,
	.guard = faulty_guard,
	.hold = faulty_hold,
	.guarded = faulty_guarded,
	.guard_mode = faulty_guard_mode,
	.turn = faulty_turn,
	.has_several = faulty_has_several,
	.set_patience = faulty_set_patience,
};

int fault_wrap(struct store *inner, struct store **ret, struct err *e)
{
	struct faulty *s = calloc(1, sizeof(*s));

	if (!s) {
		store_close(inner);
		return err_oom(e);
	}
	s->store.ops = &faulty_ops;
	memcpy(s->store.url, inner->url, sizeof(s->store.url));
	s->inner = inner;
	(void)pthread_mutex_init(&s->lock, NULL);
	*ret = &s->store;
	return 0;
}

void fault_add(struct store *store, const struct fault *fault)
{
	struct faulty *s = (struct faulty *)store;

	assert(store->ops == &faulty_ops);
	(void)pthread_mutex_lock(&s->lock);
	assert(s->n < FAULTS_MAX);
	s->active[s->n++] = (struct active){ .fault = *fault,
					     .by = pthread_self() };
	(void)pthread_mutex_unlock(&s->lock);
}

void fault_set_far(struct store *store)
{
	((struct faulty *)store)->is_far = true;
}

void fault_clear(struct store *store)
{
	struct faulty *s = (struct faulty *)store;

	assert(store->ops == &faulty_ops);
	(void)pthread_mutex_lock(&s->lock);
	s->n = 0;
	(void)pthread_mutex_unlock(&s->lock);
}

uint64_t fault_calls(struct store *store, enum fault_call call)
{
	struct faulty *s = (struct faulty *)store;
	uint64_t n;

	assert(store->ops == &faulty_ops);
	(void)pthread_mutex_lock(&s->lock);
	n = s->calls[call];
	(void)pthread_mutex_unlock(&s->lock);
	return n;
}

#include "storage/stores/limit.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "storage/rate.h"

#define ASK_MS	INT64_C(1000)
#define REST_MS INT64_C(100) /* how soon a rest notices that it is to end */

struct limited {
	struct store store;
	struct store *inner;
	struct limit_options o;
	pthread_mutex_t lock; /* of what follows */
	bool asked;
	int64_t asked_ms;
	uint64_t generation; /* one more each time that a limit is raised */
	struct rate up;
	struct rate down;
};

struct limited_upload {
	struct store_upload upload;
	struct store_upload *inner;
	bool is_beat; /* it replaces, as a session's counter does */
};

static struct limited *of(const struct store *s)
{
	return (struct limited *)(uintptr_t)s;
}

/* With the lock held: a rate that is higher forgets what a lower one cost. */
static void set_rate(struct rate *r, uint64_t bytes_per_s, uint64_t *generation)
{
	const uint64_t before = r->bytes_per_s;

	if (bytes_per_s == before)
		return;
	rate_init(r, bytes_per_s);
	if (before && (bytes_per_s == 0 || bytes_per_s > before))
		++*generation;
}

/* With the lock held. */
static void ask_rates(struct limited *l, int64_t now_ms)
{
	struct limit_rates rates = { 0 };

	if (l->asked && now_ms - l->asked_ms < ASK_MS)
		return;
	l->o.ask(l->o.arg, &rates);
	set_rate(&l->up, rates.up, &l->generation);
	set_rate(&l->down, rates.down, &l->generation);
	l->asked = true;
	l->asked_ms = now_ms;
}

/*
 * n bytes were moved: rest for what they cost, or until a limit is raised.  A
 * beat is counted and must arrive, whatever there is to rest for.
 */
static void pace(struct limited *l, struct rate *r, uint64_t n, bool is_beat)
{
	int64_t now_ms = clock_boot_ms();
	uint64_t generation;
	int64_t until_ms;
	bool over;

	(void)pthread_mutex_lock(&l->lock);
	ask_rates(l, now_ms);
	until_ms = now_ms + (rate_moved(r, n, now_ms * 1000) + 999) / 1000;
	generation = l->generation;
	(void)pthread_mutex_unlock(&l->lock);
	for (over = is_beat; !over && now_ms < until_ms;
	     now_ms = clock_boot_ms()) {
		const int64_t left = until_ms - now_ms;

		clock_sleep_ms(left < REST_MS ? left : REST_MS);
		(void)pthread_mutex_lock(&l->lock);
		ask_rates(l, clock_boot_ms());
		over = generation != l->generation || store_is_stopping();
		(void)pthread_mutex_unlock(&l->lock);
	}
}

/* ---- as the inner one does ---------------------------------------------- */

static void limited_close(struct store *s)
{
	struct limited *l = of(s);

	store_close(l->inner);
	if (l->o.done)
		l->o.done(l->o.arg);
	(void)pthread_mutex_destroy(&l->lock);
	free(l);
}

static unsigned int limited_features(const struct store *s)
{
	return of(s)->inner->ops->features(of(s)->inner);
}

static int limited_begin(struct store *s, const char *name, uint64_t size,
			 unsigned int flags, struct store_upload **ret,
			 struct err *e)
{
	struct limited *l = of(s);
	struct limited_upload *u = calloc(1, sizeof(*u));

	if (!u)
		return err_oom(e);
	if (l->inner->ops->begin(l->inner, name, size, flags, &u->inner, e)) {
		free(u);
		return -1;
	}
	u->inner->store = l->inner;
	(void)snprintf(u->inner->name, sizeof(u->inner->name), "%s", name);
	u->is_beat = flags & STORE_REPLACE;
	*ret = &u->upload;
	return 0;
}

static int limited_append(struct store_upload *upload, const void *bytes,
			  size_t n, struct err *e)
{
	struct limited_upload *u = (struct limited_upload *)upload;
	struct limited *l = of(upload->store);

	if (l->inner->ops->append(u->inner, bytes, n, e))
		return -1;
	pace(l, &l->up, n, u->is_beat);
	return 0;
}

static int limited_commit(struct store_upload *upload, struct err *e)
{
	struct limited_upload *u = (struct limited_upload *)upload;
	const int r = of(upload->store)->inner->ops->commit(u->inner, e);

	free(u);
	return r;
}

static void limited_abort(struct store_upload *upload)
{
	struct limited_upload *u = (struct limited_upload *)upload;

	of(upload->store)->inner->ops->abort(u->inner);
	free(u);
}

static int limited_read(struct store *s, const char *name, uint64_t offset,
			void *out, size_t n, size_t *ret_got, struct err *e)
{
	struct limited *l = of(s);
	const int r = l->inner->ops->read(l->inner, name, offset, out, n,
					  ret_got, e);

	if (r > 0)
		pace(l, &l->down, *ret_got, false);
	return r;
}

static int limited_read_once(struct store *s, const char *name, uint64_t offset,
			     void *out, size_t n, size_t *ret_got,
			     struct err *e)
{
	struct limited *l = of(s);
	const struct store_ops *ops = l->inner->ops;
	const int r = (ops->read_once ? ops->read_once : ops->read)(
		l->inner, name, offset, out, n, ret_got, e);

	if (r > 0)
		pace(l, &l->down, *ret_got, false);
	return r;
}

static int limited_size(struct store *s, const char *name, uint64_t *ret,
			struct err *e)
{
	return of(s)->inner->ops->size(of(s)->inner, name, ret, e);
}

static int limited_list(struct store *s, const char *prefix, store_visit *visit,
			void *arg, struct err *e)
{
	return of(s)->inner->ops->list(of(s)->inner, prefix, visit, arg, e);
}

static int limited_list_reading(struct store *s, const char *prefix,
				store_visit *visit, void *arg, struct err *e)
{
	struct store *inner = of(s)->inner;

	return (inner->ops->list_reading
			? inner->ops->list_reading
			: inner->ops->list)(inner, prefix, visit, arg, e);
}

static int limited_list_after(struct store *s, const char *after,
			      store_visit *visit, void *arg, struct err *e)
{
	struct store *inner = of(s)->inner;

	return inner->ops->list_after(inner, after, visit, arg, e);
}

static int limited_remove(struct store *s, const char *name, struct err *e)
{
	return of(s)->inner->ops->remove(of(s)->inner, name, e);
}

static int limited_pure(struct store *s, struct err *e)
{
	return store_pure(of(s)->inner, e);
}

static int limited_now(struct store *s, struct instant *ret, struct err *e)
{
	return of(s)->inner->ops->now(of(s)->inner, ret, e);
}

static int limited_local_folder(const struct store *s, struct store_folder *ret,
				struct err *e)
{
	return store_local_folder(of(s)->inner, ret, e);
}

static int limited_reads(const struct store *s, store_file *visit, void *arg,
			 struct err *e)
{
	return store_reads(of(s)->inner, visit, arg, e);
}

static void limited_guard_upload(struct store_upload *upload,
				 struct instant until)
{
	struct limited_upload *u = (struct limited_upload *)upload;

	of(upload->store)->inner->ops->guard_upload(u->inner, until);
}

static int limited_can_guard(struct store *s, struct err *e)
{
	return store_can_guard(of(s)->inner, e);
}

static int limited_guard(struct store *s, const char *name,
			 struct instant until, struct err *e)
{
	return of(s)->inner->ops->guard
		       ? of(s)->inner->ops->guard(of(s)->inner, name, until, e)
		       : 0;
}

static int limited_hold(struct store *s, const char *name, bool held,
			struct err *e)
{
	return of(s)->inner->ops->hold
		       ? of(s)->inner->ops->hold(of(s)->inner, name, held, e)
		       : 0;
}

static int limited_guarded(struct store *s, const char *name,
			   struct store_guard *ret, struct err *e)
{
	return of(s)->inner->ops->guarded
		       ? of(s)->inner->ops->guarded(of(s)->inner, name, ret, e)
		       : 0;
}

static const char *limited_guard_mode(struct store *s)
{
	return store_guard_mode(of(s)->inner);
}

static int limited_turn(struct store *s, const char *name, unsigned int n,
			struct err *e)
{
	return store_turn(of(s)->inner, name, n, e);
}

static bool limited_has_several(struct store *s, const char *name)
{
	return store_has_several(of(s)->inner, name);
}

static void limited_set_patience(struct store *s, enum store_patience p)
{
	store_set_patience(of(s)->inner, p);
}

static const struct store_ops limited_ops = {
	.scheme = "limited", /* never opened by a URL */
	.close = limited_close,
	.features = limited_features,
	.begin = limited_begin,
	.append = limited_append,
	.commit = limited_commit,
	.abort = limited_abort,
	.read = limited_read,
	.read_once = limited_read_once,
	.size = limited_size,
	.list = limited_list,
	.list_reading = limited_list_reading,
	.list_after = limited_list_after,
	.remove = limited_remove,
	.pure = limited_pure,
	.now = limited_now,
	.local_folder = limited_local_folder,
	.reads = limited_reads,
	.can_guard = limited_can_guard,
	.guard_upload = limited_guard_upload,
	.guard = limited_guard,
	.hold = limited_hold,
	.guarded = limited_guarded,
	.guard_mode = limited_guard_mode,
	.turn = limited_turn,
	.has_several = limited_has_several,
	.set_patience = limited_set_patience,
};

int limit_wrap(struct store *inner, const struct limit_options *o,
	       struct store **ret, struct err *e)
{
	struct limited *l = calloc(1, sizeof(*l));

	if (!l) {
		store_close(inner);
		if (o->done)
			o->done(o->arg);
		return err_oom(e);
	}
	l->store.ops = &limited_ops;
	memcpy(l->store.url, inner->url, sizeof(l->store.url));
	l->inner = inner;
	l->o = *o;
	(void)pthread_mutex_init(&l->lock, NULL);
	rate_init(&l->up, 0);
	rate_init(&l->down, 0);
	*ret = &l->store;
	return 0;
}

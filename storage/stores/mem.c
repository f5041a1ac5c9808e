/*
 * A store in this process's memory, for tests.
 *
 * All handles on one name share a place, which lasts until
 * store_mem_forget().  The objects are a sorted array of pointers: adding one
 * moves the pointers behind it, which for the hundred thousand objects of a
 * large test is less work than hashing plus sorting for each listing.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "storage/stores/store.h"

/* As much as a test can want of one object. */
#define MEM_OBJECT_MAX ((size_t)1 << 30)

struct mem_object {
	struct buf bytes;
	struct store_guard guard;
	struct mem_object *older; /* where versions are kept: the one before */
	unsigned int turned;	  /* of the newest: what is read; 0: it */
	char name[STORE_NAME_MAX + 1];
};

struct mem_place {
	struct mem_place *next; /* in the list of places; under places_lock */
	unsigned int refs;	/* under places_lock */
	pthread_mutex_t lock;	/* of what follows */
	struct mem_object **objects;
	size_t n, cap;
	bool keeps_versions;
	char name[];
};

struct mem {
	struct store store;
	struct mem_place *place;
};

struct mem_upload {
	struct store_upload upload;
	struct mem_object *object;
	bool replace;
};

static pthread_mutex_t places_lock = PTHREAD_MUTEX_INITIALIZER;
static struct mem_place *places;
static _Atomic int64_t now_sec; /* whole seconds are enough */

static void object_free(struct mem_object *o)
{
	while (o) {
		struct mem_object *older = o->older;

		buf_done(&o->bytes);
		free(o);
		o = older;
	}
}

static void place_unref(struct mem_place *p)
{
	if (--p->refs > 0)
		return;
	for (size_t i = 0; i < p->n; i++)
		object_free(p->objects[i]);
	free(p->objects);
	(void)pthread_mutex_destroy(&p->lock);
	free(p);
}

/* The link that points at the place called name, or at the list's end. */
static struct mem_place **find_place(const char *name)
{
	struct mem_place **at = &places;

	while (*at && strcmp((*at)->name, name) != 0)
		at = &(*at)->next;
	return at;
}

static struct mem_place *place_new(const char *name)
{
	const size_t n = strlen(name) + 1;
	struct mem_place *p = calloc(1, sizeof(*p) + n);

	if (!p)
		return NULL;
	(void)pthread_mutex_init(&p->lock, NULL);
	p->refs = 1; /* the list's */
	memcpy(p->name, name, n);
	p->keeps_versions = strncmp(name, "guard-versions", 14) == 0;
	return p;
}

/* The place called name with one more reference, made if asked to. */
static int take_place(const char *name, bool create, struct mem_place **ret,
		      struct err *e)
{
	struct mem_place **at;
	int r = 0;

	(void)pthread_mutex_lock(&places_lock);
	at = find_place(name);
	if (!*at && !create) {
		r = err_set(e, ERR_NOT_FOUND, "no such store");
	} else if (!*at) {
		*at = place_new(name);
		if (!*at)
			r = err_oom(e);
	}
	if (r == 0) {
		(*at)->refs++;
		*ret = *at;
	}
	(void)pthread_mutex_unlock(&places_lock);
	return r;
}

static int mem_open(const char *url, bool create, struct store **ret,
		    struct err *e)
{
	const char *name = url + strlen("mem:");
	struct mem *m;

	if (!name[0])
		return err_set(e, ERR_USAGE, "mem: needs a name");
	m = calloc(1, sizeof(*m));
	if (!m)
		return err_oom(e);
	if (take_place(name, create, &m->place, e) < 0) {
		free(m);
		return -1;
	}
	*ret = &m->store;
	return 0;
}

static void mem_close(struct store *s)
{
	struct mem *m = (struct mem *)s;

	(void)pthread_mutex_lock(&places_lock);
	place_unref(m->place);
	(void)pthread_mutex_unlock(&places_lock);
	free(m);
}

void store_mem_forget(const char *url)
{
	const char *colon = strchr(url, ':');
	struct mem_place **at;
	struct mem_place *p;

	(void)pthread_mutex_lock(&places_lock);
	at = find_place(colon ? colon + 1 : url);
	p = *at;
	if (p) {
		*at = p->next;
		place_unref(p);
	}
	(void)pthread_mutex_unlock(&places_lock);
}

static unsigned int mem_features(const struct store *s UNUSED)
{
	return STORE_LOCAL;
}

/* The index of the first object whose name is not below name. */
static size_t lower_bound(const struct mem_place *p, const char *name)
{
	size_t low = 0;
	size_t high = p->n;

	while (low < high) {
		const size_t mid = low + (high - low) / 2;

		if (strcmp(p->objects[mid]->name, name) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* The object called name, or NULL; *ret_at is where it is or belongs. */
static struct mem_object *find_object(const struct mem_place *p,
				      const char *name, size_t *ret_at)
{
	const size_t at = lower_bound(p, name);

	*ret_at = at;
	if (at < p->n && strcmp(p->objects[at]->name, name) == 0)
		return p->objects[at];
	return NULL;
}

static int mem_begin(struct store *s UNUSED, const char *name, uint64_t size,
		     unsigned int flags, struct store_upload **ret,
		     struct err *e)
{
	struct mem_upload *u;

	/* What a disk says when it is full before anything was written. */
	if (size > MEM_OBJECT_MAX)
		return err_set(e, ERR_FULL, "larger than memory holds");
	u = calloc(1, sizeof(*u));
	if (!u)
		return err_oom(e);
	u->object = calloc(1, sizeof(*u->object));
	if (!u->object) {
		free(u);
		return err_oom(e);
	}
	buf_init(&u->object->bytes, MEM_OBJECT_MAX);
	(void)snprintf(u->object->name, sizeof(u->object->name), "%s", name);
	u->replace = flags & STORE_REPLACE;
	*ret = &u->upload;
	return 0;
}

static int mem_append(struct store_upload *upload, const void *bytes, size_t n,
		      struct err *e)
{
	struct mem_upload *u = (struct mem_upload *)upload;
	struct buf *b = &u->object->bytes;

	if (n > b->max - b->len)
		return err_set(e, ERR_FULL, "larger than memory holds");
	return buf_add(b, bytes, n, e);
}

static void mem_abort(struct store_upload *upload)
{
	struct mem_upload *u = (struct mem_upload *)upload;

	object_free(u->object);
	free(u);
}

static int grow(struct mem_place *p, struct err *e)
{
	const size_t cap = p->cap ? p->cap * 2 : 64;
	struct mem_object **more;

	if (p->n < p->cap)
		return 0;
	more = reallocarray(p->objects, cap, sizeof(struct mem_object *));
	if (!more)
		return err_oom(e);
	p->objects = more;
	p->cap = cap;
	return 0;
}

static int refuse_guarded(const struct mem_object *o, struct err *e)
{
	char until[INSTANT_TEXT];

	if (o->guard.held)
		return err_set(e, ERR_DENIED, "it is held");
	if (o->guard.until.sec <= atomic_load(&now_sec))
		return 0;
	instant_format(o->guard.until, until);
	return err_set(e, ERR_DENIED, "it is locked until %s", until);
}

/* Put u's object into p, leaving in u what is to be released. */
static int insert(struct mem_place *p, struct mem_upload *u, struct err *e)
{
	size_t at;
	struct mem_object *old = find_object(p, u->object->name, &at);

	if (old && !u->replace)
		return err_set(e, ERR_EXISTS, "it exists already");
	if (old && p->keeps_versions) {
		u->object->older = old;
		p->objects[at] = TAKE(u->object);
		return 0;
	}
	if (old && refuse_guarded(old, e))
		return -1;
	if (old) {
		p->objects[at] = u->object;
		u->object = old;
		return 0;
	}
	if (grow(p, e) < 0)
		return -1;
	memmove(p->objects + at + 1, p->objects + at,
		(p->n - at) * sizeof(struct mem_object *));
	p->objects[at] = TAKE(u->object);
	p->n++;
	return 0;
}

static int mem_commit(struct store_upload *upload, struct err *e)
{
	struct mem_upload *u = (struct mem_upload *)upload;
	struct mem_place *p = ((struct mem *)upload->store)->place;
	int r;

	(void)pthread_mutex_lock(&p->lock);
	r = insert(p, u, e);
	(void)pthread_mutex_unlock(&p->lock);
	mem_abort(upload);
	return r;
}

static unsigned int versions(const struct mem_object *o)
{
	unsigned int n = 0;

	for (; o; o = o->older)
		n++;
	return n;
}

/* The nth, the oldest being 1; 0: what it is turned to. */
static const struct mem_object *version_of(const struct mem_object *o,
					   unsigned int n)
{
	unsigned int at = versions(o);

	if (o && n == 0)
		n = o->turned ? o->turned : at;
	for (; o && at > n; at--)
		o = o->older;
	return o;
}

static int mem_read(struct store *s, const char *name, uint64_t offset,
		    void *out, size_t n, size_t *ret_got, struct err *e UNUSED)
{
	struct mem_place *p = ((struct mem *)s)->place;
	const struct mem_object *o;
	size_t got = 0;
	size_t at;

	(void)pthread_mutex_lock(&p->lock);
	o = version_of(find_object(p, name, &at), 0);
	if (o && offset < o->bytes.len) {
		got = o->bytes.len - (size_t)offset;
		got = got < n ? got : n;
		if (got)
			memcpy(out, o->bytes.data + offset, got);
	}
	(void)pthread_mutex_unlock(&p->lock);
	*ret_got = got;
	return o ? 1 : 0;
}

static int mem_size(struct store *s, const char *name, uint64_t *ret,
		    struct err *e UNUSED)
{
	struct mem_place *p = ((struct mem *)s)->place;
	const struct mem_object *o;
	size_t at;

	(void)pthread_mutex_lock(&p->lock);
	o = version_of(find_object(p, name, &at), 0);
	if (o)
		*ret = o->bytes.len;
	(void)pthread_mutex_unlock(&p->lock);
	return o ? 1 : 0;
}

/*
 * The first object at or after *name that begins with prefix; *name becomes
 * its name.
 */
static bool next_object(struct mem_place *p, const char *prefix,
			char name[STORE_NAME_MAX + 2], uint64_t *ret_size)
{
	size_t at;
	bool found;

	(void)pthread_mutex_lock(&p->lock);
	at = lower_bound(p, name);
	found = at < p->n &&
		strncmp(p->objects[at]->name, prefix, strlen(prefix)) == 0;
	if (found) {
		(void)snprintf(name, STORE_NAME_MAX + 2, "%s",
			       p->objects[at]->name);
		*ret_size = p->objects[at]->bytes.len;
	}
	(void)pthread_mutex_unlock(&p->lock);
	return found;
}

/* From the first that is not below from. */
static int list_from(struct store *s, const char *from, const char *prefix,
		     store_visit *visit, void *arg, struct err *e)
{
	struct mem_place *p = ((struct mem *)s)->place;
	char name[STORE_NAME_MAX + 2];
	uint64_t size = 0;

	(void)snprintf(name, sizeof(name), "%s", from);
	/* The lock is not held while visiting: a visitor may use the store. */
	while (next_object(p, prefix, name, &size)) {
		const struct store_entry entry = { .name = name, .size = size };
		const int r = visit(arg, &entry, e);
		const size_t n = strlen(name);

		if (r != 0)
			return r < 0 ? -1 : 0;
		/* The smallest string above this name. */
		name[n] = '\x01';
		name[n + 1] = '\0';
	}
	return 0;
}

static int mem_list(struct store *s, const char *prefix, store_visit *visit,
		    void *arg, struct err *e)
{
	return strlen(prefix) > STORE_NAME_MAX
		       ? 0
		       : list_from(s, prefix, prefix, visit, arg, e);
}

static int mem_list_after(struct store *s, const char *after,
			  store_visit *visit, void *arg, struct err *e)
{
	char from[STORE_NAME_MAX + 2];

	/* No name is longer, so that none lies between it and its cut. */
	(void)snprintf(from, sizeof(from), "%.*s\x01", STORE_NAME_MAX, after);
	return list_from(s, from, "", visit, arg, e);
}

static int mem_remove(struct store *s, const char *name, struct err *e)
{
	struct mem_place *p = ((struct mem *)s)->place;
	struct mem_object *o;
	size_t at;
	int r = 0;

	(void)pthread_mutex_lock(&p->lock);
	o = find_object(p, name, &at);
	for (const struct mem_object *v = o; v && r == 0; v = v->older)
		r = refuse_guarded(v, e);
	if (r)
		o = NULL;
	if (o) {
		p->n--;
		memmove(p->objects + at, p->objects + at + 1,
			(p->n - at) * sizeof(struct mem_object *));
	}
	(void)pthread_mutex_unlock(&p->lock);
	object_free(o);
	return r;
}

/* ---- guards ------------------------------------------------------------- */

void store_mem_set_now(struct instant now)
{
	atomic_store(&now_sec, now.sec);
}

static const char *mem_guard_mode(struct store *s UNUSED)
{
	return "memory";
}

static int mem_can_guard(struct store *s, struct err *e UNUSED)
{
	return strncmp(((struct mem *)s)->place->name, "guard", 5) == 0;
}

static void mem_guard_upload(struct store_upload *upload, struct instant until)
{
	((struct mem_upload *)upload)->object->guard.until = until;
}

/* The object called name, with the lock of its place, or NULL without. */
static struct mem_object *lock_object(struct mem_place *p, const char *name)
{
	struct mem_object *o;
	size_t at;

	(void)pthread_mutex_lock(&p->lock);
	o = find_object(p, name, &at);
	if (!o)
		(void)pthread_mutex_unlock(&p->lock);
	return o;
}

static int mem_guard(struct store *s, const char *name, struct instant until,
		     struct err *e UNUSED)
{
	struct mem_place *p = ((struct mem *)s)->place;
	struct mem_object *o = lock_object(p, name);

	if (!o)
		return 0;
	while (o->older)
		o = o->older;
	if (instant_compare(o->guard.until, until) < 0)
		o->guard.until = until;
	(void)pthread_mutex_unlock(&p->lock);
	return 1;
}

static int mem_hold(struct store *s, const char *name, bool held,
		    struct err *e UNUSED)
{
	struct mem_place *p = ((struct mem *)s)->place;
	struct mem_object *o = lock_object(p, name);

	if (!o)
		return 0;
	while (o->older)
		o = o->older;
	o->guard.held = held;
	(void)pthread_mutex_unlock(&p->lock);
	return 1;
}

static int mem_guarded(struct store *s, const char *name,
		       struct store_guard *ret, struct err *e UNUSED)
{
	struct mem_place *p = ((struct mem *)s)->place;
	const struct mem_object *o = lock_object(p, name);

	if (!o)
		return 0;
	while (o->older)
		o = o->older;
	*ret = o->guard;
	(void)pthread_mutex_unlock(&p->lock);
	return 1;
}

/* A place that keeps none has one of each. */
static int mem_turn(struct store *s, const char *name, unsigned int n,
		    struct err *e UNUSED)
{
	struct mem_place *p = ((struct mem *)s)->place;
	struct mem_object *o = lock_object(p, name);
	int found;

	if (!o)
		return 0;
	found = n <= versions(o);
	if (found)
		o->turned = n;
	(void)pthread_mutex_unlock(&p->lock);
	return found;
}

static bool mem_has_several(struct store *s, const char *name)
{
	struct mem_place *p = ((struct mem *)s)->place;
	const struct mem_object *o = lock_object(p, name);
	const bool several = o && o->older;

	if (o)
		(void)pthread_mutex_unlock(&p->lock);
	return several;
}

const struct store_ops store_mem_ops = {
	.scheme = "mem",
	.open = mem_open,
	.close = mem_close,
	.features = mem_features,
	.begin = mem_begin,
	.append = mem_append,
	.commit = mem_commit,
	.abort = mem_abort,
	.read = mem_read,
	.size = mem_size,
	.list = mem_list,
	.list_after = mem_list_after,
	.remove = mem_remove,
	.can_guard = mem_can_guard,
	.guard_upload = mem_guard_upload,
	.guard = mem_guard,
	.hold = mem_hold,
	.guarded = mem_guarded,
	.guard_mode = mem_guard_mode,
	.turn = mem_turn,
	.has_several = mem_has_several,
};

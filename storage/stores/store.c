#include "storage/stores/store_internal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"

/* Every backend, once.  A plain path is the first row's. */
static const struct store_ops *const store_backends[] = {
	&store_local_ops,
	&store_s3_ops,
	&store_mem_ops,
};
#define N_BACKENDS (sizeof(store_backends) / sizeof(store_backends[0]))

static const atomic_bool *_Atomic stop_when;

void store_stop_when(const atomic_bool *stop)
{
	atomic_store(&stop_when, stop);
}

bool store_is_stopping(void)
{
	const atomic_bool *stop = atomic_load(&stop_when);

	return stop && atomic_load(stop);
}

bool store_name_ok(const char *name)
{
	size_t n = 0;
	size_t component = 0; /* bytes in the component so far */

	for (; name[n]; n++) {
		const char c = name[n];
		const bool lower = c >= 'a' && c <= 'z';
		const bool digit = c >= '0' && c <= '9';

		if (n == STORE_NAME_MAX)
			return false;
		if (c == '/') {
			if (component == 0)
				return false;
			component = 0;
			continue;
		}
		if (!lower && !digit && c != '_' && c != '-' &&
		    (c != '.' || component == 0))
			return false;
		component++;
	}
	if (component == 0)
		return false;
	return strncmp(name, "tmp/", 4) != 0 && strcmp(name, "tmp") != 0;
}

static int check_name(const char *name, struct err *e)
{
	if (store_name_ok(name))
		return 0;
	return err_set(e, ERR_USAGE, "%s is not the name of an object",
		       text_quote_str(name).s);
}

/*
 * The length of the scheme that url begins with, or 0 for a path: RFC 3986's
 * scheme, before any slash.
 */
static size_t scheme_length(const char *url)
{
	size_t n = 0;

	for (;; n++) {
		const char c = url[n];
		const char low = (char)(c | 0x20);

		if (low >= 'a' && low <= 'z')
			continue;
		if (n > 0 && ((c >= '0' && c <= '9') || c == '+' || c == '-' ||
			      c == '.'))
			continue;
		return c == ':' ? n : 0;
	}
}

static int unknown_scheme(const char *url, size_t n, struct err *e)
{
	char known[128] = "";
	size_t used = 0;

	for (size_t i = 0; i < N_BACKENDS; i++) {
		const int r = snprintf(known + used, sizeof(known) - used,
				       "%s%s:", i ? ", " : "",
				       store_backends[i]->scheme);

		assert(r > 0 && (size_t)r < sizeof(known) - used);
		used += (size_t)r;
	}
	(void)err_set(e, ERR_USAGE,
		      "store URL %s has the unknown scheme %s, known are %s",
		      text_quote_str(url).s, text_quote(url, n).s, known);
	return err_hint(e, "write ./%.40s%s if it is a folder", url,
			strlen(url) > 40 ? "…" : "");
}

static int find_backend(const char *url, const struct store_ops **ret,
			struct err *e)
{
	const size_t n = scheme_length(url);

	if (n == 0) {
		*ret = store_backends[0];
		return 0;
	}
	for (size_t i = 0; i < N_BACKENDS; i++) {
		const char *scheme = store_backends[i]->scheme;

		if (strlen(scheme) == n && strncasecmp(scheme, url, n) == 0) {
			*ret = store_backends[i];
			return 0;
		}
	}
	return unknown_scheme(url, n, e);
}

/*
 * In front of what a backend says.  Of a URL that makes no sense only what
 * holds no secret in any: a backend has refused what looks like one.
 */
static int wrap_opening(const char *url, struct err *e)
{
	const size_t n = strcspn(url, "?#");
	const char *authority = strstr(url, "://");
	const char *at = memchr(url, '@', n);
	char shown[sizeof(((struct store *)NULL)->url) + 8];

	if (e->code != ERR_USAGE || scheme_length(url) == 0)
		return err_wrap(e, "cannot open store %s",
				text_quote_str(url).s);
	if (authority && at)
		(void)snprintf(shown, sizeof(shown), "%.*s…%.*s",
			       (int)(authority + 3 - url), url,
			       (int)(url + n - at), at);
	else
		(void)snprintf(shown, sizeof(shown), "%.*s", (int)n, url);
	return err_wrap(e, "cannot open store %s", text_quote_str(shown).s);
}

int store_open(const char *url, bool create, struct store **ret, struct err *e)
{
	const struct store_ops *ops = NULL;
	struct store *s = NULL;

	if (!url[0])
		return err_set(e, ERR_USAGE, "the store URL is empty");
	if (strlen(url) >= sizeof(s->url))
		return err_set(e, ERR_USAGE,
			       "store URL %s is longer than %zu bytes",
			       text_quote_str(url).s, sizeof(s->url) - 1);
	if (find_backend(url, &ops, e) < 0)
		return -1;
	assert(ops);
	if (ops->open(url, create, &s, e) < 0)
		return wrap_opening(url, e);
	s->ops = ops;
	/* A backend whose URLs can hold credentials has set it without. */
	if (!s->url[0])
		(void)snprintf(s->url, sizeof(s->url), "%s", url);
	*ret = s;
	return 0;
}

void store_close(struct store *s)
{
	if (s)
		s->ops->close(s);
}

struct text_quoted store_shown(const struct store *s)
{
	/* A path may hold a question mark. */
	const bool is_path = s->ops == &store_local_ops;

	return text_quote(s->url,
			  is_path ? strlen(s->url) : strcspn(s->url, "?"));
}

unsigned int store_features(const struct store *s)
{
	return s->ops->features(s);
}

/*
 * "cannot read object "a/b" in "file:///srv/eu": " in front of *e; and that it
 * was the store, so that a caller with other business knows whose failure it
 * is.
 */
static int wrap(struct err *e, const char *verb, const char *name,
		const struct store *s)
{
	e->of_store = true;
	return err_wrap(e, "cannot %s %s in %s", verb, text_quote_str(name).s,
			store_shown(s).s);
}

int store_begin(struct store *s, const char *name, uint64_t size,
		unsigned int flags, struct store_upload **ret, struct err *e)
{
	struct store_upload *u = NULL;

	assert((flags & ~(unsigned int)(STORE_REPLACE | STORE_FRESH |
					STORE_OR_NONE)) == 0);
	if (check_name(name, e) < 0 ||
	    s->ops->begin(s, name, size, flags, &u, e) < 0)
		return wrap(e, "write object", name, s);
	u->store = s;
	(void)snprintf(u->name, sizeof(u->name), "%s", name);
	if (s->new_which && s->new_which(name))
		s->ops->guard_upload(u, s->brief_which && s->brief_which(name)
						? s->brief_until
						: s->new_until);
	*ret = u;
	return 0;
}

int store_append(struct store_upload *u, const void *bytes, size_t n,
		 struct err *e)
{
	if (n == 0)
		return 0;
	if (u->store->ops->append(u, bytes, n, e) < 0)
		return wrap(e, "write object", u->name, u->store);
	return 0;
}

int store_commit(struct store_upload *u, struct err *e)
{
	const struct store *s = u->store;
	char name[STORE_NAME_MAX + 1];

	memcpy(name, u->name, sizeof(name));
	if (s->ops->commit(u, e) < 0)
		return wrap(e, "write object", name, s);
	return 0;
}

void store_abort(struct store_upload *u)
{
	if (u)
		u->store->ops->abort(u);
}

typedef int read_slot(struct store *s, const char *name, uint64_t offset,
		      void *out, size_t n, size_t *ret_got, struct err *e);

static int read_by(read_slot *read, struct store *s, const char *name,
		   uint64_t offset, void *out, size_t n, size_t *ret_got,
		   struct err *e)
{
	size_t got = 0;
	int r = check_name(name, e);

	/* One read at a time fits what preadv(2) takes, and any offset_t. */
	if (r == 0 && (offset > INT64_MAX || n > INT64_MAX - offset))
		r = err_set(e, ERR_USAGE, "the range is out of all bounds");
	if (r == 0 && !(offset == 0 && s->asked &&
			store_ask_read(s, name, out, n, &got, &r)))
		r = read(s, name, offset, out, n, &got, e);
	if (r < 0)
		return wrap(e, "read object", name, s);
	assert(got <= n);
	if (r > 0)
		*ret_got = got;
	return r;
}

int store_read(struct store *s, const char *name, uint64_t offset, void *out,
	       size_t n, size_t *ret_got, struct err *e)
{
	return read_by(s->ops->read, s, name, offset, out, n, ret_got, e);
}

int store_read_once(struct store *s, const char *name, uint64_t offset,
		    void *out, size_t n, size_t *ret_got, struct err *e)
{
	return read_by(s->ops->read_once ? s->ops->read_once : s->ops->read, s,
		       name, offset, out, n, ret_got, e);
}

int store_size(struct store *s, const char *name, uint64_t *ret, struct err *e)
{
	int r = check_name(name, e);

	if (r == 0)
		r = s->ops->size(s, name, ret, e);
	if (r < 0)
		return wrap(e, "look up object", name, s);
	return r;
}

/* Keeps what the visitor says apart from what the store says. */
struct visit_frame {
	store_visit *visit;
	void *arg;
	bool visitor_failed;
};

static int visit_framed(void *arg, const struct store_entry *entry,
			struct err *e)
{
	struct visit_frame *f = arg;
	const int r = f->visit(f->arg, entry, e);

	f->visitor_failed = r < 0;
	return r;
}

typedef int list_slot(struct store *s, const char *prefix, store_visit *visit,
		      void *arg, struct err *e);

static int end_list(struct store *s, const char *prefix,
		    const struct visit_frame *f, int r, struct err *e)
{
	if (r == 0)
		return 0;
	if (f->visitor_failed)
		return -1;
	if (prefix[0])
		return wrap(e, "list objects", prefix, s);
	e->of_store = true;
	return err_wrap(e, "cannot list objects in %s", store_shown(s).s);
}

static int list_by(list_slot *list, bool reading, struct store *s,
		   const char *prefix, struct visit_frame *f, struct err *e)
{
	int r;

	if (!s->asked ||
	    !store_ask_list(s, prefix, reading, visit_framed, f, &r, e))
		r = list(s, prefix, visit_framed, f, e);
	return end_list(s, prefix, f, r, e);
}

int store_list(struct store *s, const char *prefix, store_visit *visit,
	       void *arg, struct err *e)
{
	struct visit_frame f = { .visit = visit, .arg = arg };

	return list_by(s->ops->list, false, s, prefix, &f, e);
}

int store_list_reading(struct store *s, const char *prefix, store_visit *visit,
		       void *arg, struct err *e)
{
	struct visit_frame f = { .visit = visit, .arg = arg };

	return list_by(s->ops->list_reading ? s->ops->list_reading
					    : s->ops->list,
		       true, s, prefix, &f, e);
}

int store_list_after(struct store *s, const char *after, store_visit *visit,
		     void *arg, struct err *e)
{
	struct visit_frame f = { .visit = visit, .arg = arg };
	const int r = s->ops->list_after(s, after, visit_framed, &f, e);

	return end_list(s, "", &f, r, e);
}

int store_pure(struct store *s, struct err *e)
{
	return s->ops->pure ? s->ops->pure(s, e) : 0;
}

int store_remove(struct store *s, const char *name, struct err *e)
{
	int r = check_name(name, e);

	if (r == 0)
		r = s->ops->remove(s, name, e);
	/* Not before: who asks meanwhile would have it kept. */
	if (s->asked)
		store_ask_forget(s, name);
	return r < 0 ? wrap(e, "remove object", name, s) : 0;
}

int store_now(struct store *s, struct instant *ret, struct err *e)
{
	if (!s->ops->now || !(store_features(s) & STORE_HAS_CLOCK))
		return err_set(e, ERR_USAGE, "the store %s has no clock",
			       store_shown(s).s);
	if (s->ops->now(s, ret, e) < 0)
		return err_wrap(e, "cannot ask %s for its time",
				store_shown(s).s);
	return 0;
}

int store_local_folder(const struct store *s, struct store_folder *ret,
		       struct err *e)
{
	const int r = s->ops->local_folder ? s->ops->local_folder(s, ret, e)
					   : 0;

	if (r < 0)
		return err_wrap(e, "cannot tell where %s lies",
				store_shown(s).s);
	return r;
}

int store_reads(const struct store *s, store_file *visit, void *arg,
		struct err *e)
{
	return s->ops->reads ? s->ops->reads(s, visit, arg, e) : 0;
}

int store_can_guard(struct store *s, struct err *e)
{
	const int r = s->ops->can_guard ? s->ops->can_guard(s, e) : 0;

	if (r < 0)
		return err_wrap(e,
				"cannot tell whether objects can be locked "
				"in %s",
				store_shown(s).s);
	return r;
}

const char *store_guard_mode(struct store *s)
{
	return s->ops->guard_mode ? s->ops->guard_mode(s) : NULL;
}

void store_guard_new(struct store *s, struct instant until,
		     bool (*which)(const char *name))
{
	assert(s->ops->guard_upload);
	s->new_until = until;
	s->new_which = which;
	s->brief_which = NULL;
}

void store_guard_brief(struct store *s, struct instant until,
		       bool (*which)(const char *name))
{
	assert(s->new_which);
	s->brief_until = until;
	s->brief_which = which;
}

void store_guard_none(struct store *s)
{
	s->new_until = (struct instant){ 0, 0 };
	s->new_which = NULL;
	s->brief_which = NULL;
}

int store_guard(struct store *s, const char *name, struct instant until,
		struct err *e)
{
	int r = check_name(name, e);

	if (r == 0 && s->ops->guard)
		r = s->ops->guard(s, name, until, e);
	return r < 0 ? wrap(e, "lock object", name, s) : r;
}

int store_hold(struct store *s, const char *name, bool held, struct err *e)
{
	int r = check_name(name, e);

	if (r == 0 && s->ops->hold)
		r = s->ops->hold(s, name, held, e);
	return r < 0 ? wrap(e, held ? "hold object" : "release object", name, s)
		     : r;
}

int store_guarded(struct store *s, const char *name, struct store_guard *ret,
		  struct err *e)
{
	int r = check_name(name, e);

	*ret = (struct store_guard){ .held = false };
	if (r == 0 && s->ops->guarded)
		r = s->ops->guarded(s, name, ret, e);
	return r < 0 ? wrap(e, "see what locks object", name, s) : r;
}

int store_turn(struct store *s, const char *name, unsigned int n, struct err *e)
{
	int r = check_name(name, e);

	if (r == 0 && s->ops->turn) {
		/* It was asked for as it is without. */
		store_ask_forget(s, name);
		r = s->ops->turn(s, name, n, e);
	}
	return r < 0 ? wrap(e, "find the versions of object", name, s) : r;
}

bool store_keeps_versions(const struct store *s)
{
	return s->ops->turn != NULL;
}

void store_set_patience(struct store *s, enum store_patience p)
{
	if (s->ops->set_patience)
		s->ops->set_patience(s, p);
}

bool store_has_several(struct store *s, const char *name)
{
	return s->ops->has_several && s->ops->has_several(s, name);
}

int store_put(struct store *s, const char *name, const void *bytes, size_t n,
	      unsigned int flags, struct err *e)
{
	struct store_upload *u = NULL;

	if (store_begin(s, name, n, flags, &u, e) < 0)
		return -1;
	if (store_append(u, bytes, n, e) < 0) {
		store_abort(u);
		return -1;
	}
	return store_commit(u, e);
}

/* What most objects fit into, so that one request gets them. */
#define FIRST_READ ((size_t)64 << 10)

/* Append up to n bytes from the beginning; 1, 0, -1. */
static int read_beginning(struct store *s, const char *name, size_t n,
			  struct buf *out, size_t *ret_got, struct err *e)
{
	int r;

	if (buf_reserve(out, n, e) < 0)
		return -1;
	r = store_read(s, name, 0, out->data + out->len, n, ret_got, e);
	if (r > 0 && *ret_got < n) {
		out->len += *ret_got;
		if (out->data)
			out->data[out->len] = '\0';
	}
	return r;
}

/*
 * The same of an object that is larger: 1, 0, -1, or 2 when it was replaced by
 * a larger one between the two calls.
 */
static int get_large(struct store *s, const char *name, struct buf *out,
		     struct err *e)
{
	const size_t room = out->max - out->len;
	uint64_t size = 0;
	size_t want;
	size_t got = 0;
	int r = store_size(s, name, &size, e);

	if (r <= 0)
		return r;
	if (size > room)
		return err_set(e, ERR_CORRUPT,
			       "object %s in %s has %llu bytes, at most %zu "
			       "can be right",
			       text_quote_str(name).s, store_shown(s).s,
			       (unsigned long long)size, room);
	/* One byte more than expected shows that it grew.  A single read is
	 * of a single version, so what it returns is never a mixture. */
	want = (size_t)size < room ? (size_t)size + 1 : room;
	if (buf_reserve(out, want, e) < 0)
		return -1;
	r = store_read(s, name, 0, out->data + out->len, want, &got, e);
	if (r <= 0)
		return r;
	if (got > size)
		return 2;
	out->len += got;
	if (out->data)
		out->data[out->len] = '\0';
	return 1;
}

static int get_once(struct store *s, const char *name, struct buf *out,
		    struct err *e)
{
	const size_t room = out->max - out->len;
	const size_t first = room < FIRST_READ ? room : FIRST_READ;
	size_t got = 0;
	int r;

	/* One that ends before is whole: a read is of a single version. */
	if (first > 0) {
		r = read_beginning(s, name, first, out, &got, e);
		if (r <= 0 || got < first)
			return r;
	}
	return get_large(s, name, out, e);
}

int store_get(struct store *s, const char *name, struct buf *out, struct err *e)
{
	/* Only a session's counter is replaced, twice a minute at most. */
	for (int attempt = 0; attempt < 8; attempt++) {
		const int r = get_once(s, name, out, e);

		if (r != 2)
			return r;
	}
	return err_set(e, ERR_BUSY,
		       "object %s in %s is replaced faster than it can be read",
		       text_quote_str(name).s, store_shown(s).s);
}

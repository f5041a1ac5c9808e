/*
 * The store in a bucket: opening, reading.
 *
 *	BUCKET/PREFIX/<name>	an object
 *
 * Unfinished uploads are the server's own affair (s3_upload.c) and never in
 * the way of a listing.  A key below the prefix that no object can be called is
 * left alone: list() does not tell of it, pure() does.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "storage/stores/s3_credentials.h"
#include "storage/stores/s3_internal.h"

#define QUERY_MAX ((size_t)8 << 10)

static void free_s3(struct s3 *s)
{
	s3_ahead_free(s->ahead);
	s3_client_free(s->client);
	s3_free_known(s);
	(void)pthread_mutex_destroy(&s->lock);
	(void)pthread_mutex_destroy(&s->asking);
	free(s);
}

static void defaults_of_environment(struct s3_defaults *d)
{
	d->endpoint = getenv("AWS_ENDPOINT_URL_S3");
	if (!d->endpoint || !d->endpoint[0])
		d->endpoint = getenv("AWS_ENDPOINT_URL");
	d->region = getenv("AWS_REGION");
	if (!d->region || !d->region[0])
		d->region = getenv("AWS_DEFAULT_REGION");
	d->profile = getenv("AWS_PROFILE");
	d->ca = getenv("AWS_CA_BUNDLE");
}

int s3_senseless(struct err *e)
{
	if (e->code == ERR_CORRUPT) {
		e->code = ERR_IO;
		(void)err_hint(e, "look at the endpoint, and at what is in "
				  "between: is it an S3 server?");
	}
	return -1;
}

int s3_unexpected(const struct s3_call *call, struct err *e)
{
	return err_set(e, ERR_IO,
		       "the server's reply makes no sense here (status %d)",
		       call->reply.status);
}

int s3_is_of_object(const struct s3_call *call, struct err *e)
{
	if (call->reply.etag[0])
		return 0;
	(void)err_set(e, ERR_IO,
		      "what answered is no S3 server: its reply (status %d) "
		      "has no ETag",
		      call->reply.status);
	return err_hint(e, "look at the endpoint, and at what is between: a "
			   "proxy, or a network's log-in page");
}

/* ---- objects ------------------------------------------------------------ */

static const char *right_to_read(const char *query)
{
	return query[0] ? "s3:GetObjectVersion" : "s3:GetObject";
}

/* The head alone, whose failures have no words. */
static int ask_head(struct s3 *s, const char *name, const char *query,
		    struct s3_http_reply *ret, struct err *e)
{
	struct s3_call call = { .method = "HEAD",
				.right = right_to_read(query),
				.name = name,
				.query = query };

	if (s3_call(s->client, &call, e))
		return -1;
	if (call.verdict == S3_ABSENT)
		return 0;
	if (call.verdict != S3_DONE)
		return s3_unexpected(&call, e);
	if (s3_is_of_object(&call, e))
		return -1;
	s3_learn(s, &call);
	*ret = call.reply;
	ret->total = call.reply.length;
	return 1;
}

/*
 * A HEAD that fails does not say why: keys that have ended, a clock that is
 * off, a proxy's 404 look like an object that is not there.  So the first byte
 * is asked for, which costs the same; the head alone is for what has none, and
 * for what is in an archive.
 */
int s3_head_version(struct s3 *s, const char *name, const char *version,
		    struct s3_http_reply *ret, struct err *e)
{
	CLEANUP(buf_done) struct buf query;
	char first;
	struct s3_call call = { .method = "GET",
				.name = name,
				.headers = { "range: bytes=0-0" },
				.n_headers = 1,
				.room = &first,
				.room_len = 1 };
	int r;

	buf_init(&query, QUERY_MAX);
	if (s3_add_version(&query, version, e))
		return -1;
	call.query = buf_str(&query);
	call.right = right_to_read(call.query);
	r = s3_call(s->client, &call, e);
	s3_learn(s, &call);
	if (r == 0 && call.verdict == S3_ABSENT)
		return 0;
	if (r == 0 && call.verdict == S3_DONE) {
		if (s3_is_of_object(&call, e))
			return -1;
		*ret = call.reply;
		if (call.reply.status == 200)
			ret->total = call.reply.length;
		return 1;
	}
	if ((r == 0 && call.verdict == S3_BEYOND) ||
	    strcmp(call.error.code, "InvalidObjectState") == 0) {
		err_clear(e);
		return ask_head(s, name, buf_str(&query), ret, e);
	}
	return r ? -1 : s3_unexpected(&call, e);
}

int s3_head(struct s3 *s, const char *name, struct s3_http_reply *ret,
	    struct err *e)
{
	s3_version version;
	int r;

	s3_turned(s, name, version);
	r = s3_head_version(s, name, version, ret, e);
	if (r || version[0])
		return r;
	r = s3_hidden(s, name, version, e);
	return r > 0 ? s3_head_version(s, name, version, ret, e) : r;
}

static int s3_size(struct store *s, const char *name, uint64_t *ret,
		   struct err *e)
{
	struct s3_http_reply reply;
	const int r = s3_head((struct s3 *)s, name, &reply, e);

	if (r <= 0)
		return r;
	if (reply.total == UINT64_MAX)
		return err_set(e, ERR_IO,
			       "the server does not say how large it is");
	*ret = reply.total;
	return 1;
}

/* Whether what came is what was asked for. */
static int check_range(const struct s3_call *call, uint64_t offset, size_t n,
		       struct err *e)
{
	const struct s3_http_reply *r = &call->reply;
	uint64_t there;

	/* The whole object, from a server that found the range to be that or
	 * knows no ranges. */
	if (r->status == 200 && offset == 0) {
		if (r->length == r->body_len)
			return 0;
		return err_set(e, ERR_IO,
			       "the server does not say how large it is");
	}
	if (r->status != 206 || r->total == UINT64_MAX ||
	    r->range_at != offset || offset > r->total)
		return err_set(e, ERR_IO,
			       "the server sent other bytes than it was asked "
			       "for (status %d)",
			       r->status);
	there = r->total - offset;
	if (r->body_len != (there < n ? there : n))
		return err_set(e, ERR_IO,
			       "the server sent %zu bytes where there are %llu",
			       r->body_len, (unsigned long long)there);
	return 0;
}

static int fetch_version(struct s3 *x, const char *name, const char *version,
			 uint64_t offset, void *out, size_t n, size_t *ret_got,
			 struct err *e)
{
	CLEANUP(buf_done) struct buf query;
	char range[64];
	struct s3_call call = { .method = "GET",
				.name = name,
				.headers = { range },
				.n_headers = 1,
				.room = out,
				.room_len = n };

	buf_init(&query, QUERY_MAX);
	if (s3_add_version(&query, version, e))
		return -1;
	call.query = buf_str(&query);
	call.right = right_to_read(call.query);
	(void)snprintf(range, sizeof(range), "range: bytes=%llu-%llu",
		       (unsigned long long)offset,
		       (unsigned long long)(offset + n - 1));
	if (s3_call(x->client, &call, e))
		return -1;
	s3_learn(x, &call);
	if (call.verdict == S3_ABSENT)
		return 0;
	*ret_got = 0;
	if (call.verdict == S3_BEYOND)
		return 1;
	if (call.verdict != S3_DONE)
		return s3_unexpected(&call, e);
	if (s3_is_of_object(&call, e) || check_range(&call, offset, n, e))
		return -1;
	*ret_got = call.reply.body_len;
	return 1;
}

int s3_fetch(void *arg, const char *name, uint64_t offset, void *out, size_t n,
	     size_t *ret_got, struct err *e)
{
	struct s3 *x = arg;
	struct s3_http_reply head;
	s3_version version;
	int r;

	if (n == 0) {
		*ret_got = 0;
		return s3_head(x, name, &head, e);
	}
	s3_turned(x, name, version);
	r = fetch_version(x, name, version, offset, out, n, ret_got, e);
	if (r || version[0])
		return r;
	r = s3_hidden(x, name, version, e);
	return r <= 0 ? r
		      : fetch_version(x, name, version, offset, out, n, ret_got,
				      e);
}

static bool is_pack(const char *name)
{
	return strncmp(name, "data/", 5) == 0 || strncmp(name, "meta/", 5) == 0;
}

static int s3_read(struct store *s, const char *name, uint64_t offset,
		   void *out, size_t n, size_t *ret_got, struct err *e)
{
	struct s3 *x = (struct s3 *)s;

	if (offset == 0 && s3_fetched_ahead(x, name, out, n, ret_got))
		return 1;
	if (!is_pack(name))
		return s3_fetch(x, name, offset, out, n, ret_got, e);
	return s3_ahead_read(x->ahead, name, offset, out, n, clock_boot_ms(),
			     ret_got, e);
}

static int s3_read_once(struct store *s, const char *name, uint64_t offset,
			void *out, size_t n, size_t *ret_got, struct err *e)
{
	return s3_fetch(s, name, offset, out, n, ret_got, e);
}

/* The newest version, which is the only one where none are kept. */
static int remove_newest(struct s3 *x, const char *name, struct err *e)
{
	struct s3_call call = { .method = "DELETE",
				.right = "s3:DeleteObject",
				.name = name };

	if (s3_call(x->client, &call, e))
		return -1;
	s3_learn(x, &call);
	if (call.verdict != S3_DONE && call.verdict != S3_ABSENT)
		return s3_unexpected(&call, e);
	return 0;
}

static int s3_remove(struct store *s, const char *name, struct err *e)
{
	struct s3 *x = (struct s3 *)s;
	int keeps = s3_keeps_versions(x, e);
	int r = keeps < 0 ? -1 : 0;

	if (keeps == 0) {
		r = remove_newest(x, name, e);
		/* It was not known, and that only put a deletion on top. */
		keeps = r == 0 ? s3_keeps_versions(x, e) : 0;
	}
	if (keeps > 0)
		r = s3_remove_all(x, name, e);
	/* Not before: who reads meanwhile would have it kept. */
	s3_ahead_forget(x->ahead, name);
	s3_forget_fetched(x, name);
	if (r == 0)
		s3_forget_known(x, name);
	return r || keeps < 0 ? -1 : 0;
}

/* ---- opening ------------------------------------------------------------ */

static int s3_open(const char *url, bool create, struct store **ret,
		   struct err *e)
{
	struct s3_defaults d;
	struct s3_place place;
	struct s3_http_reply reply;
	struct s3 *s;

	defaults_of_environment(&d);
	if (s3_place_parse(url, &d, &place, e))
		return -1;
	s = calloc(1, sizeof(*s));
	if (!s)
		return err_oom(e);
	(void)pthread_mutex_init(&s->lock, NULL);
	(void)pthread_mutex_init(&s->asking, NULL);
	if (s3_client_new(&place, &s->client, e) ||
	    s3_ahead_new(s3_fetch, s, &s->ahead, e) ||
	    (create && s3_probe(s, &reply, e))) {
		free_s3(s);
		return -1;
	}
	*ret = &s->store;
	return 0;
}

static void s3_close(struct store *s)
{
	free_s3((struct s3 *)s);
}

static unsigned int s3_features(const struct store *s)
{
	const struct s3 *x = (const struct s3 *)s;

	return STORE_HAS_CLOCK |
	       (s3_client_place(x->client)->eventual ? STORE_EVENTUAL : 0U);
}

static int s3_reads(const struct store *s, store_file *visit, void *arg,
		    struct err *e)
{
	const struct s3 *x = (const struct s3 *)s;
	const struct s3_place *p = s3_client_place(x->client);

	if (p->ca[0] && visit(arg, p->ca, e))
		return -1;
	return s3_credentials_files(p, visit, arg, e);
}

static int s3_now(struct store *s, struct instant *ret, struct err *e)
{
	struct s3_http_reply reply;

	if (s3_probe((struct s3 *)s, &reply, e))
		return -1;
	if (!reply.has_date)
		return err_set(e, ERR_IO,
			       "the server does not say what time "
			       "it is");
	*ret = reply.date;
	return 0;
}

static bool s3_store_has_several(struct store *s, const char *name)
{
	return s3_has_several((struct s3 *)s, name);
}

static void s3_set_patience(struct store *s, enum store_patience p)
{
	s3_client_set_patience(((struct s3 *)s)->client, p);
}

const struct store_ops store_s3_ops = {
	.scheme = "s3",
	.open = s3_open,
	.close = s3_close,
	.features = s3_features,
	.begin = s3_begin,
	.append = s3_append,
	.commit = s3_commit,
	.abort = s3_abort,
	.read = s3_read,
	.read_once = s3_read_once,
	.size = s3_size,
	.list = s3_list,
	.list_reading = s3_list_reading,
	.list_after = s3_list_after,
	.remove = s3_remove,
	.pure = s3_pure,
	.now = s3_now,
	.reads = s3_reads,
	.can_guard = s3_can_guard,
	.guard_upload = s3_guard_upload,
	.guard = s3_guard,
	.hold = s3_hold,
	.guarded = s3_guarded,
	.guard_mode = s3_guard_mode,
	.turn = s3_turn,
	.has_several = s3_store_has_several,
	.set_patience = s3_set_patience,
};

/*
 * Listings of a bucket, a page of a thousand keys at a time.
 *
 * A caller that reads each object which it is told of would wait for one
 * request after the other.  Who says so (store_list_reading()) has them fetched
 * by some threads a few names ahead, in memory until they are read; nothing
 * else changes.
 *
 * Where the bucket keeps versions these are listed, and an object is told of
 * when one of them is no deletion.  The versions of a name may be spread over
 * pages, so it is told of when the next name comes, or the end.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "storage/stores/s3_internal.h"
#include "storage/stores/s3_sign.h"
#include "storage/stores/s3_xml.h"

#define QUERY_MAX ((size_t)8 << 10)
/* A page of a thousand keys of a kilobyte, each byte as "%XX". */
#define PAGE_MAX ((size_t)8 << 20)
/* 10^9 objects: a server that goes on for ever is told so. */
#define PAGES_MAX 1000000

/* Of an object that is fetched ahead; larger ones are not. */
#define SMALL_MAX  ((size_t)64 << 10)
#define AHEAD_KEYS 64
#define FETCHERS   12

enum ahead_state { AHEAD_WAITING, AHEAD_COMING, AHEAD_THERE, AHEAD_FAILED };

struct ahead_key {
	char *name;
	uint64_t size;
	enum ahead_state state;
	bool removed; /* what comes is not to be used */
	struct buf bytes;
};

/* A page whose objects are read as they are visited. */
struct s3_batch {
	struct s3_batch *next; /* of the store's, under its lock */
	struct s3 *s;
	pthread_t visitor;
	pthread_mutex_t lock; /* of what follows, but for keys[].name, .size */
	pthread_cond_t changed;
	struct ahead_key *keys;
	size_t n, room;
	size_t fetched; /* the next one to fetch */
	size_t visited; /* the one that is visited */
	bool visiting;	/* keys[] stays as it is */
	bool ending;
	pthread_t threads[FETCHERS];
	size_t n_threads;
};

/* ---- fetching ahead ----------------------------------------------------- */

/* The next key to fetch, in the order of visits; NULL at the end. */
static struct ahead_key *next_key(struct s3_batch *b)
{
	struct ahead_key *k = NULL;

	(void)pthread_mutex_lock(&b->lock);
	while (!k && !b->ending && b->fetched < b->n) {
		if (b->fetched < b->visited)
			b->fetched = b->visited;
		if (b->fetched - b->visited >= AHEAD_KEYS) {
			(void)pthread_cond_wait(&b->changed, &b->lock);
			continue;
		}
		k = &b->keys[b->fetched++];
		if (k->state != AHEAD_WAITING || k->size >= SMALL_MAX)
			k = NULL;
		else
			k->state = AHEAD_COMING;
	}
	(void)pthread_mutex_unlock(&b->lock);
	return k;
}

/* What fails here is asked for again by whoever reads it, and told then. */
static bool fetch_key(struct s3_batch *b, struct ahead_key *k)
{
	const size_t n = (size_t)k->size + 1;
	size_t got = 0;
	struct err ignored;

	buf_init(&k->bytes, SMALL_MAX);
	if (buf_reserve(&k->bytes, n, &ignored) ||
	    s3_fetch(b->s, k->name, 0, k->bytes.data, n, &got, &ignored) != 1 ||
	    got == n)
		return false;
	k->bytes.len = got;
	return true;
}

static void *fetcher(void *arg)
{
	struct s3_batch *b = arg;
	struct ahead_key *k;

	while ((k = next_key(b)) != NULL) {
		const bool there = fetch_key(b, k);

		(void)pthread_mutex_lock(&b->lock);
		k->state = there ? AHEAD_THERE : AHEAD_FAILED;
		(void)pthread_cond_broadcast(&b->changed);
		(void)pthread_mutex_unlock(&b->lock);
	}
	return NULL;
}

static void add_batch(struct s3_batch *b)
{
	(void)pthread_mutex_lock(&b->s->lock);
	b->next = b->s->batches;
	b->s->batches = b;
	(void)pthread_mutex_unlock(&b->s->lock);
}

static void remove_batch(struct s3_batch *b)
{
	struct s3_batch **at = &b->s->batches;

	(void)pthread_mutex_lock(&b->s->lock);
	while (*at != b)
		at = &(*at)->next;
	*at = b->next;
	(void)pthread_mutex_unlock(&b->s->lock);
}

/* Fewer threads, or none, only make it slower. */
static void start_fetchers(struct s3_batch *b)
{
	const size_t most = b->n / 2 < FETCHERS ? b->n / 2 : FETCHERS;

	(void)pthread_mutex_lock(&b->lock);
	b->visiting = true;
	(void)pthread_mutex_unlock(&b->lock);
	while (b->n_threads < most &&
	       pthread_create(&b->threads[b->n_threads], NULL, fetcher, b) == 0)
		b->n_threads++;
}

static void end_fetchers(struct s3_batch *b)
{
	(void)pthread_mutex_lock(&b->lock);
	b->ending = true;
	b->visiting = false;
	(void)pthread_cond_broadcast(&b->changed);
	(void)pthread_mutex_unlock(&b->lock);
	for (size_t i = 0; i < b->n_threads; i++)
		(void)pthread_join(b->threads[i], NULL);
	b->n_threads = 0;
	b->ending = false;
}

static void clear_batch(struct s3_batch *b)
{
	for (size_t i = 0; i < b->n; i++) {
		free(b->keys[i].name);
		buf_done(&b->keys[i].bytes);
	}
	b->n = b->fetched = b->visited = 0;
}

static int add_key(struct s3_batch *b, const struct store_entry *entry,
		   struct err *e)
{
	if (b->n == b->room) {
		const size_t room = b->room ? b->room * 2 : 128;
		struct ahead_key *more = reallocarray(b->keys, room,
						      sizeof(*more));

		if (!more)
			return err_oom(e);
		b->keys = more;
		b->room = room;
	}
	b->keys[b->n] = (struct ahead_key){ .name = strdup(entry->name),
					    .size = entry->size };
	if (!b->keys[b->n].name)
		return err_oom(e);
	b->n++;
	return 0;
}

static void leave_key(struct s3_batch *b, size_t i)
{
	(void)pthread_mutex_lock(&b->lock);
	b->visited = i + 1;
	/* It may still come, when it was not read. */
	if (b->keys[i].state != AHEAD_COMING)
		buf_done(&b->keys[i].bytes);
	(void)pthread_cond_broadcast(&b->changed);
	(void)pthread_mutex_unlock(&b->lock);
}

/* Visit what was collected of a page; as a store_visit does: 0, 1, -1. */
static int visit_batch(struct s3_batch *b, store_visit *visit, void *arg,
		       struct err *e)
{
	int r = 0;

	start_fetchers(b);
	for (size_t i = 0; r == 0 && i < b->n; i++) {
		const struct store_entry entry = { .name = b->keys[i].name,
						   .size = b->keys[i].size };

		r = visit(arg, &entry, e);
		leave_key(b, i);
	}
	end_fetchers(b);
	clear_batch(b);
	return r;
}

/* What b has of name, or will have: 1 copied, 0 it has nothing. */
static int take_from(struct s3_batch *b, const char *name, void *out, size_t n,
		     size_t *ret_got)
{
	struct ahead_key *k = NULL;

	(void)pthread_mutex_lock(&b->lock);
	if (b->visited < b->n && b->n_threads &&
	    strcmp(b->keys[b->visited].name, name) == 0)
		k = &b->keys[b->visited];
	while (k && k->state == AHEAD_COMING)
		(void)pthread_cond_wait(&b->changed, &b->lock);
	/* It is read now: no need to fetch it once more. */
	if (k && k->state == AHEAD_WAITING)
		k->state = AHEAD_FAILED;
	if (k && (k->removed || k->state != AHEAD_THERE))
		k = NULL;
	if (k) {
		*ret_got = k->bytes.len < n ? k->bytes.len : n;
		if (*ret_got)
			memcpy(out, k->bytes.data, *ret_got);
	}
	(void)pthread_mutex_unlock(&b->lock);
	return k != NULL;
}

int s3_fetched_ahead(struct s3 *s, const char *name, void *out, size_t n,
		     size_t *ret_got)
{
	struct s3_batch *b;

	/* One whose visitor is this thread does not end meanwhile. */
	(void)pthread_mutex_lock(&s->lock);
	for (b = s->batches; b && !pthread_equal(b->visitor, pthread_self());)
		b = b->next;
	(void)pthread_mutex_unlock(&s->lock);
	return b ? take_from(b, name, out, n, ret_got) : 0;
}

void s3_forget_fetched(struct s3 *s, const char *name)
{
	(void)pthread_mutex_lock(&s->lock);
	for (struct s3_batch *b = s->batches; b; b = b->next) {
		(void)pthread_mutex_lock(&b->lock);
		for (size_t i = b->visited; b->visiting && i < b->n; i++)
			b->keys[i].removed |= strcmp(b->keys[i].name, name) ==
					      0;
		(void)pthread_mutex_unlock(&b->lock);
	}
	(void)pthread_mutex_unlock(&s->lock);
}

/* ---- listing ------------------------------------------------------------ */

struct listing {
	struct s3 *s;
	store_visit *visit;
	void *arg;
	/* What keys begin with that are objects of ours. */
	const char *prefix;
	size_t prefix_len;
	const char *whole; /* with the prefix that is listed */
	/* As keys are: those after it are wanted; "": all. */
	char after[S3_KEY_MAX + 1];
	bool visitor_failed;
	bool foreign; /* visit those that are no objects, and no others */
	struct s3_batch *batch; /* of a visitor who reads; or NULL */
	char last[S3_KEY_MAX + 1];
	/* Of last, where there are versions: how many were seen, the size of
	 * what would be read, and whether that is of the version that reads
	 * are turned to. */
	unsigned int n_versions;
	uint64_t size;
	s3_version turned;
	bool turned_seen;
};

static int tell(struct listing *l, const struct store_entry *entry,
		struct err *e)
{
	const int r = l->visit(l->arg, entry, e);

	l->visitor_failed = r < 0;
	return r;
}

static int out_of_order(const struct s3_item *item, struct err *e)
{
	return err_set(e, ERR_IO, "the server lists %s out of order",
		       text_quote_str(item->key).s);
}

static int check_asked_for(const struct listing *l, const struct s3_item *item,
			   struct err *e)
{
	if (strncmp(item->key, l->whole, strlen(l->whole)) == 0)
		return 0;
	return err_set(e, ERR_IO,
		       "the server lists %s, which was not asked for",
		       text_quote_str(item->key).s);
}

/* A key that is there, with what is read of it. */
static int on_key(struct listing *l, const char *key, uint64_t size,
		  struct err *e)
{
	const struct store_entry entry = { .name = key + l->prefix_len,
					   .size = size };

	/* The prefix itself: what consoles show as an empty folder. */
	if (!entry.name[0] || store_name_ok(entry.name) == l->foreign)
		return 0;
	return l->batch ? add_key(l->batch, &entry, e) : tell(l, &entry, e);
}

/* A server that knows no start-after has begun with the first of all. */
static bool is_before(const struct listing *l, const char *key)
{
	return l->after[0] && strcmp(key, l->after) <= 0;
}

static int on_item(void *arg, const struct s3_item *item, struct err *e)
{
	struct listing *l = arg;

	if (strcmp(item->key, l->last) <= 0)
		return out_of_order(item, e);
	memcpy(l->last, item->key, strlen(item->key) + 1);
	if (check_asked_for(l, item, e))
		return -1;
	return is_before(l, item->key) ? 0
				       : on_key(l, item->key, item->size, e);
}

/* All versions of the last key were seen. */
static int end_versions(struct listing *l, struct err *e)
{
	const unsigned int n = l->n_versions;

	l->n_versions = 0;
	if (n == 0)
		return 0;
	if (n > 1 && store_name_ok(l->last + l->prefix_len))
		s3_note_several(l->s, l->last + l->prefix_len);
	if (is_before(l, l->last))
		return 0;
	return on_key(l, l->last, l->size, e);
}

/* Deletions, wherever they stand, change nothing. */
static int on_version(void *arg, const struct s3_item *item, struct err *e)
{
	struct listing *l = arg;
	const int order = strcmp(item->key, l->last);

	if (item->deletion)
		return 0;
	if (order < 0)
		return out_of_order(item, e);
	if (order > 0) {
		const int r = end_versions(l, e);

		if (r || check_asked_for(l, item, e))
			return r ? r : -1;
		memcpy(l->last, item->key, strlen(item->key) + 1);
		s3_turned(l->s, l->last + l->prefix_len, l->turned);
		l->turned_seen = false;
	}
	if (l->n_versions++ == 0 ||
	    (!l->turned_seen && strcmp(item->id, l->turned) == 0))
		l->size = item->size;
	l->turned_seen |= strcmp(item->id, l->turned) == 0;
	return 0;
}

static int ask_keys(const struct listing *l, const struct s3_page *page,
		    struct buf *query, struct err *e)
{
	if ((page->token[0] &&
	     s3_query_add(query, "continuation-token", page->token, e)) ||
	    s3_query_add(query, "encoding-type", "url", e) ||
	    s3_query_add(query, "list-type", "2", e) ||
	    s3_query_add(query, "max-keys", "1000", e))
		return -1;
	if (s3_query_add(query, "prefix", l->whole, e))
		return -1;
	return l->after[0] && !page->token[0]
		       ? s3_query_add(query, "start-after", l->after, e)
		       : 0;
}

static int ask_versions(const struct listing *l, const struct s3_page *page,
			struct buf *query, struct err *e)
{
	const char *from = page->token[0] ? page->token : l->after;

	if (s3_query_add(query, "encoding-type", "url", e) ||
	    (from[0] && s3_query_add(query, "key-marker", from, e)) ||
	    s3_query_add(query, "max-keys", "1000", e) ||
	    s3_query_add(query, "prefix", l->whole, e) ||
	    (page->id_marker[0] &&
	     s3_query_add(query, "version-id-marker", page->id_marker, e)))
		return -1;
	return s3_query_add(query, "versions", NULL, e);
}

/* One page: 1 when no more are wanted, 0, -1. */
static int list_page(struct listing *l, bool versions, struct s3_page *page,
		     struct buf *xml, struct err *e)
{
	CLEANUP(buf_done) struct buf query;
	struct s3_call call = { .method = "GET",
				.right = versions ? "s3:ListBucketVersions"
						  : "s3:ListBucket",
				.body_buf = xml };
	int r;

	buf_init(&query, QUERY_MAX);
	if (versions ? ask_versions(l, page, &query, e)
		     : ask_keys(l, page, &query, e))
		return -1;
	call.query = buf_str(&query);
	if (s3_call(l->s->client, &call, e))
		return -1;
	if (call.verdict != S3_DONE)
		return s3_unexpected(&call, e);
	if (versions)
		r = s3_xml_versions(buf_str(xml), xml->len, on_version, l, page,
				    e);
	else
		r = s3_xml_list(buf_str(xml), xml->len, on_item, l, page, e);
	if (r == 0 && !page->more)
		r = end_versions(l, e);
	if (r < 0 && !l->visitor_failed)
		return s3_senseless(e);
	if (r == 0 && l->batch)
		r = visit_batch(l->batch, l->visit, l->arg, e);
	return r;
}

static int list_keys(struct listing *l, const char *prefix, struct err *e)
{
	CLEANUP(buf_done) struct buf whole;
	CLEANUP(buf_done) struct buf xml;
	struct s3_page page = { .more = true };
	struct s3_page before;
	int versions;

	l->prefix = s3_client_place(l->s->client)->prefix;
	l->prefix_len = strlen(l->prefix);
	buf_init(&whole, S3_KEY_MAX);
	buf_init(&xml, PAGE_MAX);
	versions = s3_keeps_versions(l->s, e);
	if (versions < 0 || buf_addf(&whole, e, "%s%s", l->prefix, prefix))
		return -1;
	l->whole = buf_str(&whole);
	for (unsigned int n = 0; n < PAGES_MAX; n++) {
		int r;

		before = page;
		r = list_page(l, versions, &page, &xml, e);
		if (r || !page.more)
			return r < 0 ? -1 : 0;
		if (strcmp(before.token, page.token) == 0 &&
		    strcmp(before.id_marker, page.id_marker) == 0)
			break;
	}
	return err_set(e, ERR_IO, "the server's listing does not end");
}

int s3_list(struct store *s, const char *prefix, store_visit *visit, void *arg,
	    struct err *e)
{
	struct listing l = { .s = (struct s3 *)s, .visit = visit, .arg = arg };

	return list_keys(&l, prefix, e);
}

int s3_list_after(struct store *s, const char *after, store_visit *visit,
		  void *arg, struct err *e)
{
	struct listing l = { .s = (struct s3 *)s, .visit = visit, .arg = arg };
	const char *prefix = s3_client_place(l.s->client)->prefix;
	int n = 0;

	/* No name is longer, so that none lies between it and its cut. */
	if (after[0])
		n = snprintf(l.after, sizeof(l.after), "%s%.*s", prefix,
			     STORE_NAME_MAX, after);
	assert(n >= 0 && (size_t)n < sizeof(l.after)); /* s3_place.h's limit */
	return list_keys(&l, "", e);
}

int s3_list_reading(struct store *s, const char *prefix, store_visit *visit,
		    void *arg, struct err *e)
{
	struct s3_batch b = { .s = (struct s3 *)s, .visitor = pthread_self() };
	struct listing l = {
		.s = b.s, .visit = visit, .arg = arg, .batch = &b
	};
	int r;

	(void)pthread_mutex_init(&b.lock, NULL);
	(void)pthread_cond_init(&b.changed, NULL);
	add_batch(&b);
	r = list_keys(&l, prefix, e);
	remove_batch(&b);
	clear_batch(&b);
	free(b.keys);
	(void)pthread_cond_destroy(&b.changed);
	(void)pthread_mutex_destroy(&b.lock);
	return r;
}

static int refuse_foreign(void *arg UNUSED, const struct store_entry *entry,
			  struct err *e)
{
	return err_set(e, ERR_EXISTS,
		       "%s is there, which is no object of a repository",
		       text_quote_str(entry->name).s);
}

int s3_pure(struct store *s, struct err *e)
{
	struct listing l = { .s = (struct s3 *)s,
			     .visit = refuse_foreign,
			     .foreign = true };

	return list_keys(&l, "", e);
}

static int visit_none(void *arg UNUSED, const struct store_entry *entry UNUSED,
		      struct err *e UNUSED)
{
	return 1;
}

/* Whether the bucket is there and lets us in. */
int s3_probe(struct s3 *s, struct s3_http_reply *ret, struct err *e)
{
	struct listing l = { .s = s, .visit = visit_none };
	CLEANUP(buf_done) struct buf query;
	CLEANUP(buf_done) struct buf xml;
	struct s3_page page;
	struct s3_call call = { .method = "GET",
				.right = "s3:ListBucket",
				.body_buf = &xml };

	buf_init(&query, QUERY_MAX);
	buf_init(&xml, PAGE_MAX);
	l.prefix = s3_client_place(s->client)->prefix;
	l.prefix_len = strlen(l.prefix);
	l.whole = l.prefix;
	if (s3_query_add(&query, "encoding-type", "url", e) ||
	    s3_query_add(&query, "list-type", "2", e) ||
	    s3_query_add(&query, "max-keys", "1", e) ||
	    s3_query_add(&query, "prefix", l.prefix, e))
		return -1;
	call.query = buf_str(&query);
	if (s3_call(s->client, &call, e))
		return -1;
	if (call.verdict != S3_DONE)
		return s3_unexpected(&call, e);
	/* Whatever else says 200 is no S3 server. */
	if (s3_xml_list(buf_str(&xml), xml.len, on_item, &l, &page, e) < 0)
		return s3_senseless(e);
	*ret = call.reply;
	return 0;
}

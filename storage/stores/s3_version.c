/*
 * Versions of objects in a bucket that keeps them.
 *
 * Whoever may PUT can put another version on top there, and whoever may DELETE
 * a deletion ("delete marker"); what was there before stays below both.  So an
 * object is there while it has a version that is no deletion: lists tell of it,
 * and reads fall through deletions to the newest such version, or are turned to
 * an older one.  We never put a deletion ourselves: what is removed is removed
 * version by version, or nothing would ever give its space back.
 *
 * Whether a bucket keeps versions, replies with an object say by the way; it is
 * asked only when the answer matters before there was one.  Where none are kept
 * nothing here costs a request.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "storage/stores/s3_internal.h"
#include "storage/stores/s3_sign.h"

#define QUERY_MAX ((size_t)8 << 10)
#define REPLY_MAX ((size_t)64 << 10)
#define PAGE_MAX  ((size_t)16 << 20) /* keys, and ids of versions */
/* Of one name: somebody puts version upon version there. */
#define PAGES_MAX 1000
#define IDS_MAX	  ((size_t)16 << 20)
#define TURN_MAX  10000
#define KNOWN_MAX ((size_t)1 << 20)

/* ---- names of which something is known ---------------------------------- */

struct s3_known {
	struct s3_known *next;
	char *turned;  /* the version that is read; NULL: the newest */
	char *written; /* that we PUT in place of another; NULL: none */
	bool several;  /* versions that are no deletions */
	char name[];
};

/* FNV-1a: names are ours, or as good as random. */
static size_t row_of(const char *name)
{
	uint32_t h = 2166136261U;

	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 16777619U;
	return h % S3_KNOWN_ROWS;
}

static void free_one(struct s3_known *k)
{
	free(k->turned);
	free(k->written);
	free(k);
}

void s3_free_known(struct s3 *s)
{
	for (size_t i = 0; i < S3_KNOWN_ROWS; i++) {
		while (s->known[i]) {
			struct s3_known *k = s->known[i];

			s->known[i] = k->next;
			free_one(k);
		}
	}
}

/* With the lock; NULL when nothing is known. */
static struct s3_known *find_known(struct s3 *s, const char *name)
{
	struct s3_known *k = s->n_known ? s->known[row_of(name)] : NULL;

	while (k && strcmp(k->name, name) != 0)
		k = k->next;
	return k;
}

/* The same, made if need be; NULL without memory, or when there are too many.
 */
static struct s3_known *make_known(struct s3 *s, const char *name)
{
	struct s3_known *k = find_known(s, name);
	struct s3_known **row = &s->known[row_of(name)];

	if (k || s->n_known == KNOWN_MAX)
		return k;
	k = calloc(1, sizeof(*k) + strlen(name) + 1);
	if (!k)
		return NULL;
	memcpy(k->name, name, strlen(name) + 1);
	k->next = *row;
	*row = k;
	s->n_known++;
	return k;
}

void s3_forget_known(struct s3 *s, const char *name)
{
	struct s3_known **at = &s->known[row_of(name)];

	(void)pthread_mutex_lock(&s->lock);
	while (*at && strcmp((*at)->name, name) != 0)
		at = &(*at)->next;
	if (*at) {
		struct s3_known *k = *at;

		*at = k->next;
		s->n_known--;
		free_one(k);
	}
	(void)pthread_mutex_unlock(&s->lock);
}

void s3_turned(struct s3 *s, const char *name, s3_version ret)
{
	const struct s3_known *k;

	(void)pthread_mutex_lock(&s->lock);
	k = find_known(s, name);
	(void)snprintf(ret, sizeof(s3_version), "%s",
		       k && k->turned ? k->turned : "");
	(void)pthread_mutex_unlock(&s->lock);
}

/* "": to the newest. */
static int turn_to(struct s3 *s, const char *name, const char *version,
		   struct err *e)
{
	char *copy = version[0] ? strdup(version) : NULL;
	struct s3_known *k = NULL;

	if (version[0] && !copy)
		return err_oom(e);
	(void)pthread_mutex_lock(&s->lock);
	k = copy ? make_known(s, name) : find_known(s, name);
	if (k) {
		free(k->turned);
		k->turned = copy;
	}
	(void)pthread_mutex_unlock(&s->lock);
	if (k || !copy)
		return 0;
	free(copy);
	return err_set(e, ERR_NO_MEMORY,
		       "too many objects have several versions");
}

void s3_forget_turn(struct s3 *s, const char *name)
{
	struct err ignored;

	if (turn_to(s, name, "", &ignored))
		return; /* it needs no memory */
}

void s3_note_several(struct s3 *s, const char *name)
{
	struct s3_known *k;

	(void)pthread_mutex_lock(&s->lock);
	k = make_known(s, name);
	if (k)
		k->several = true;
	else
		s->any_several = true;
	(void)pthread_mutex_unlock(&s->lock);
}

bool s3_has_several(struct s3 *s, const char *name)
{
	const struct s3_known *k;
	bool several;

	(void)pthread_mutex_lock(&s->lock);
	k = find_known(s, name);
	several = s->any_several || (k && k->several);
	(void)pthread_mutex_unlock(&s->lock);
	return several;
}

/* ---- whether there are any ---------------------------------------------- */

static enum s3_keeping keeping(struct s3 *s, bool *ret_asked)
{
	enum s3_keeping is;

	(void)pthread_mutex_lock(&s->lock);
	is = s->keeping;
	*ret_asked = s->asked_keeping;
	(void)pthread_mutex_unlock(&s->lock);
	return is;
}

bool s3_keeps_none(struct s3 *s)
{
	bool asked;

	return keeping(s, &asked) == S3_KEEPS_NONE;
}

/* That a bucket keeps versions is never unlearned. */
static void learn(struct s3 *s, enum s3_keeping is)
{
	(void)pthread_mutex_lock(&s->lock);
	if (is == S3_KEEPS_VERSIONS || s->keeping == S3_KEEPS_UNKNOWN)
		s->keeping = is;
	(void)pthread_mutex_unlock(&s->lock);
}

/*
 * Where versions were kept and are no longer, a PUT tells of none: only that
 * an object was read without counts for there being none.
 */
void s3_learn(struct s3 *s, const struct s3_call *call)
{
	const struct s3_http_reply *r = &call->reply;
	const bool read = call->verdict == S3_DONE && r->etag[0] &&
			  (strcmp(call->method, "GET") == 0 ||
			   strcmp(call->method, "HEAD") == 0);

	if (r->version[0])
		learn(s, S3_KEEPS_VERSIONS);
	else if (read)
		learn(s, S3_KEEPS_NONE);
	(void)pthread_mutex_lock(&s->lock);
	s->tells_locks |= r->lock_until[0] != '\0';
	(void)pthread_mutex_unlock(&s->lock);
}

/* As it says itself; servers that know no versions say anything. */
static enum s3_keeping read_keeping(const struct buf *xml)
{
	char status[16];
	struct err ignored;

	if (s3_xml_text(buf_str(xml), xml->len, "VersioningConfiguration",
			"Status", status, sizeof(status), &ignored))
		return S3_KEEPS_NONE;
	/* Suspended: those that are there stay. */
	return strcmp(status, "Enabled") == 0 ||
			       strcmp(status, "Suspended") == 0
		       ? S3_KEEPS_VERSIONS
		       : S3_KEEPS_NONE;
}

static int ask_keeping(struct s3 *s, struct err *e)
{
	CLEANUP(buf_done) struct buf xml;
	struct s3_call call = { .method = "GET",
				.right = "s3:GetBucketVersioning",
				.query = "versioning=",
				.body_buf = &xml };
	int r;

	buf_init(&xml, REPLY_MAX);
	r = s3_call(s->client, &call, e);
	if (r == 0 && call.verdict != S3_DONE)
		return s3_unexpected(&call, e);
	if (r == 0) {
		learn(s, read_keeping(&xml));
	} else if (call.reply.status == 501 || call.reply.status == 405 ||
		   call.reply.status == 400) {
		learn(s, S3_KEEPS_NONE);
	} else if (e->code != ERR_DENIED) {
		return -1;
	}
	/* Who may not ask goes on as if there were none, until a reply tells.
	 */
	(void)pthread_mutex_lock(&s->lock);
	s->asked_keeping = true;
	(void)pthread_mutex_unlock(&s->lock);
	return 0;
}

int s3_keeps_versions(struct s3 *s, struct err *e)
{
	bool asked;
	int r = 0;

	if (keeping(s, &asked) != S3_KEEPS_UNKNOWN || asked)
		return keeping(s, &asked) == S3_KEEPS_VERSIONS;
	(void)pthread_mutex_lock(&s->asking);
	if (keeping(s, &asked) == S3_KEEPS_UNKNOWN && !asked)
		r = ask_keeping(s, e);
	(void)pthread_mutex_unlock(&s->asking);
	if (r)
		return err_wrap(e, "whether the bucket keeps versions");
	return keeping(s, &asked) == S3_KEEPS_VERSIONS;
}

/* ---- those of one name -------------------------------------------------- */

int s3_add_version(struct buf *query, const char *version, struct err *e)
{
	return version[0] ? s3_query_add(query, "versionId", version, e) : 0;
}

struct visiting {
	const char *key;
	s3_visit *visit;
	void *arg;
	bool visitor_failed;
	bool over; /* other names follow, or the visitor has enough */
};

static int visit_one(void *arg, const struct s3_item *item, struct err *e)
{
	struct visiting *v = arg;
	const size_t n = strlen(v->key);
	int r;

	if (strncmp(item->key, v->key, n) != 0)
		return err_set(e, ERR_IO,
			       "the server lists %s, which was not asked for",
			       text_quote_str(item->key).s);
	if (item->key[n]) {
		/* A name that begins with this one: that is over. */
		v->over = true;
		return 1;
	}
	if (strlen(item->id) > S3_VERSION_MAX)
		return err_set(e, ERR_IO, "the id of a version is none");
	r = v->visit(v->arg, item, e);
	v->visitor_failed = r < 0;
	v->over = r != 0;
	return r;
}

static int ask_versions(struct s3 *s, const char *key,
			const struct s3_page *page, struct buf *xml,
			struct err *e)
{
	CLEANUP(buf_done) struct buf query;
	struct s3_call call = { .method = "GET",
				.right = "s3:ListBucketVersions",
				.body_buf = xml };

	buf_init(&query, QUERY_MAX);
	if (s3_query_add(&query, "encoding-type", "url", e) ||
	    (page->token[0] &&
	     s3_query_add(&query, "key-marker", page->token, e)) ||
	    s3_query_add(&query, "max-keys", "1000", e) ||
	    s3_query_add(&query, "prefix", key, e) ||
	    (page->id_marker[0] &&
	     s3_query_add(&query, "version-id-marker", page->id_marker, e)) ||
	    s3_query_add(&query, "versions", NULL, e))
		return -1;
	call.query = buf_str(&query);
	if (s3_call(s->client, &call, e))
		return -1;
	return call.verdict == S3_DONE ? 0 : s3_unexpected(&call, e);
}

int s3_visit_versions(struct s3 *s, const char *name, s3_visit *visit,
		      void *arg, struct err *e)
{
	CLEANUP(buf_done) struct buf key;
	CLEANUP(buf_done) struct buf xml;
	struct visiting v = { .visit = visit, .arg = arg };
	struct s3_page page = { .more = true };
	struct s3_page before;

	buf_init(&key, S3_KEY_MAX);
	buf_init(&xml, PAGE_MAX);
	if (buf_addf(&key, e, "%s%s", s3_client_place(s->client)->prefix, name))
		return -1;
	v.key = buf_str(&key);
	for (unsigned int n = 0; n < PAGES_MAX; n++) {
		before = page;
		if (ask_versions(s, v.key, &page, &xml, e))
			return -1;
		if (s3_xml_versions(buf_str(&xml), xml.len, visit_one, &v,
				    &page, e) < 0)
			return v.visitor_failed ? -1 : s3_senseless(e);
		if (v.over || !page.more)
			return 0;
		if (strcmp(before.token, page.token) == 0 &&
		    strcmp(before.id_marker, page.id_marker) == 0)
			break;
	}
	return err_set(e, ERR_IO, "the server's list of versions does not end");
}

/* One that visit_one() found to be short enough. */
static void copy_id(s3_version out, const char *id)
{
	const size_t n = strlen(id);

	assert(n < sizeof(s3_version));
	memcpy(out, id, n + 1);
}

/* The ends, or (with only_newest) one of them. */
struct ends {
	s3_version newest, oldest;
	bool only_newest;
	int n;
};

static int note_end(void *arg, const struct s3_item *item, struct err *e UNUSED)
{
	struct ends *x = arg;

	if (item->deletion)
		return 0;
	if (x->n == 0)
		copy_id(x->newest, item->id);
	if (x->only_newest)
		x->n = 1;
	else
		x->n = x->n ? 2 : 1;
	copy_id(x->oldest, item->id);
	return x->only_newest;
}

int s3_ends(struct s3 *s, const char *name, s3_version newest,
	    s3_version oldest, struct err *e)
{
	struct ends x = { .n = 0 };

	if (s3_visit_versions(s, name, note_end, &x, e))
		return -1;
	if (x.n > 1)
		s3_note_several(s, name);
	memcpy(newest, x.newest, sizeof(s3_version));
	memcpy(oldest, x.oldest, sizeof(s3_version));
	return x.n;
}

/* What is written once, and read in many pieces. */
static bool is_written_once(const char *name)
{
	return strncmp(name, "data/", 5) == 0 ||
	       strncmp(name, "meta/", 5) == 0 ||
	       strncmp(name, "index/", 6) == 0;
}

int s3_hidden(struct s3 *s, const char *name, s3_version ret, struct err *e)
{
	struct ends x = { .only_newest = true };
	const int r = s3_keeps_versions(s, e);

	if (r <= 0)
		return r;
	if (s3_visit_versions(s, name, note_end, &x, e))
		return -1;
	memcpy(ret, x.newest, sizeof(s3_version));
	if (x.n && is_written_once(name) && turn_to(s, name, ret, e))
		return -1;
	return x.n;
}

/* ---- turning ------------------------------------------------------------ */

/* The last n versions that were visited. */
struct last {
	s3_version *ids;
	size_t n;
	size_t seen;
};

static int note_last(void *arg, const struct s3_item *item,
		     struct err *e UNUSED)
{
	struct last *x = arg;

	if (!item->deletion)
		copy_id(x->ids[x->seen++ % x->n], item->id);
	return 0;
}

/* The nth oldest: 1, 0 when there are fewer, -1. */
static int find_nth(struct s3 *s, const char *name, unsigned int n,
		    s3_version ret, struct err *e)
{
	struct last x = { .n = n };
	int r = -1;

	if (n > TURN_MAX)
		return err_set(e, ERR_IO, "it has more than %d versions",
			       TURN_MAX);
	x.ids = calloc(n, sizeof(*x.ids));
	if (!x.ids)
		return err_oom(e);
	if (s3_visit_versions(s, name, note_last, &x, e) == 0)
		r = x.seen >= n;
	/* Once round, where the next one would go is the first of the last. */
	if (r > 0)
		memcpy(ret, x.ids[x.seen % n], sizeof(s3_version));
	if (x.seen > 1)
		s3_note_several(s, name);
	free(x.ids);
	return r;
}

int s3_turn(struct store *store, const char *name, unsigned int n,
	    struct err *e)
{
	struct s3 *s = (struct s3 *)store;
	struct s3_http_reply reply;
	s3_version to;
	s3_version other;
	int r = s3_keeps_versions(s, e);

	if (r == 0)
		return n > 1 ? 0 : s3_head(s, name, &reply, e);
	if (r > 0)
		r = n ? find_nth(s, name, n, to, e)
		      : s3_ends(s, name, to, other, e);
	if (r <= 0)
		return r;
	if (turn_to(s, name, n ? to : "", e))
		return -1;
	/* Bytes of another version are not to be read any longer. */
	s3_ahead_forget(s->ahead, name);
	s3_forget_fetched(s, name);
	return 1;
}

/* ---- removing ----------------------------------------------------------- */

int s3_remove_version(struct s3 *s, const char *name, const char *version,
		      struct err *e)
{
	CLEANUP(buf_done) struct buf query;
	struct s3_call call = { .method = "DELETE",
				.right = "s3:DeleteObjectVersion",
				.name = name };

	buf_init(&query, QUERY_MAX);
	if (s3_add_version(&query, version, e))
		return -1;
	call.query = buf_str(&query);
	if (s3_call(s->client, &call, e))
		return -1;
	if (call.verdict != S3_DONE && call.verdict != S3_ABSENT)
		return s3_unexpected(&call, e);
	return 0;
}

/* Ids that end in NUL, the newest first, each behind a "v" or, of a deletion,
 * a "d". */
struct ids {
	struct buf bytes;
	size_t versions, deletions;
};

static int note_id(void *arg, const struct s3_item *item, struct err *e)
{
	struct ids *x = arg;

	if (item->deletion)
		x->deletions++;
	else
		x->versions++;
	if (buf_add_byte(&x->bytes, item->deletion ? 'd' : 'v', e) ||
	    buf_add(&x->bytes, item->id, strlen(item->id) + 1, e))
		return err_wrap(e, "it has too many versions");
	return 0;
}

static int refuse_any_guarded(struct s3 *s, const char *name,
			      const struct ids *x, struct err *e)
{
	const char *at = (const char *)x->bytes.data;

	for (size_t i = 0; i < x->versions + x->deletions; i++) {
		struct store_guard g;

		if (*at == 'v' && (s3_guard_of(s, name, at + 1, &g, e) < 0 ||
				   s3_refuse_guarded(&g, e)))
			return -1;
		at += strlen(at) + 1;
	}
	return 0;
}

/* The server refuses to remove a version: what guards it says more. */
static int explain(struct s3 *s, const char *name, const char *version,
		   struct err *e)
{
	struct store_guard g;
	struct err why;

	if (e->code == ERR_DENIED &&
	    s3_guard_of(s, name, version, &g, &why) > 0 &&
	    s3_refuse_guarded(&g, &why))
		*e = why;
	return -1;
}

/* Those of one kind, the oldest first: what is left is what is read. */
static int remove_kind(struct s3 *s, const char *name, const struct ids *x,
		       char kind, struct err *e)
{
	const char *bytes = (const char *)x->bytes.data;
	size_t end = x->bytes.len;

	while (end) {
		size_t at = end - 1;

		while (at > 0 && bytes[at - 1])
			at--;
		if (bytes[at] == kind &&
		    s3_remove_version(s, name, bytes + at + 1, e))
			return kind == 'v' ? explain(s, name, bytes + at + 1, e)
					   : -1;
		end = at;
	}
	return 0;
}

int s3_remove_all(struct s3 *s, const char *name, struct err *e)
{
	struct ids x = { .versions = 0 };
	int r;

	buf_init(&x.bytes, IDS_MAX);
	r = s3_visit_versions(s, name, note_id, &x, e);
	/* Of a single version the server tells when we try. */
	if (r == 0 && x.versions > 1)
		r = refuse_any_guarded(s, name, &x, e);
	if (r == 0)
		r = remove_kind(s, name, &x, 'v', e);
	if (r == 0)
		r = remove_kind(s, name, &x, 'd', e);
	buf_done(&x.bytes);
	return r;
}

/* ---- replacing ---------------------------------------------------------- */

/* Note that we PUT it; what we PUT before, or "". */
static void swap_written(struct s3 *s, const char *name, const char *version,
			 s3_version ret)
{
	char *copy = strdup(version);
	struct s3_known *k;

	ret[0] = '\0';
	(void)pthread_mutex_lock(&s->lock);
	k = copy ? make_known(s, name) : NULL;
	if (k) {
		if (k->written)
			(void)snprintf(ret, sizeof(s3_version), "%s",
				       k->written);
		free(k->written);
		k->written = copy;
		copy = NULL;
	}
	(void)pthread_mutex_unlock(&s->lock);
	free(copy);
}

static bool may_tidy(struct s3 *s)
{
	bool may;

	(void)pthread_mutex_lock(&s->lock);
	may = !s->cannot_tidy;
	(void)pthread_mutex_unlock(&s->lock);
	return may;
}

/* Those below version. */
static void remove_older(struct s3 *s, const char *name, const char *version)
{
	struct ids x = { .versions = 0 };
	struct err ignored;
	const char *at;
	bool below = false;

	buf_init(&x.bytes, IDS_MAX);
	if (s3_visit_versions(s, name, note_id, &x, &ignored) == 0) {
		at = (const char *)x.bytes.data;
		for (size_t i = 0; i < x.versions + x.deletions; i++) {
			if (below &&
			    s3_remove_version(s, name, at + 1, &ignored))
				break;
			below |= strcmp(at + 1, version) == 0;
			at += strlen(at) + 1;
		}
	}
	buf_done(&x.bytes);
}

/*
 * What fails here only takes space until the object is removed.  Where versions
 * are no longer kept the new one has the old one's id, "null".
 */
void s3_replaced(struct s3 *s, const char *name, const char *version)
{
	s3_version old;
	struct err why;

	if (!version[0])
		return;
	swap_written(s, name, version, old);
	if (!may_tidy(s) || strcmp(old, version) == 0)
		return;
	if (!old[0]) {
		remove_older(s, name, version);
		return;
	}
	if (s3_remove_version(s, name, old, &why) == 0 ||
	    why.code != ERR_DENIED)
		return;
	(void)pthread_mutex_lock(&s->lock);
	s->cannot_tidy = true;
	(void)pthread_mutex_unlock(&s->lock);
}

/*
 * Uploads to a bucket.
 *
 * What fits into one part is kept in memory and sent by a single PUT at
 * commit.  A larger object goes in parts, a few of them under way while the
 * next one fills, each by a thread of its own; it becomes visible when the
 * server is told to put them together.
 *
 *	begin → append … → [part 1] [part 2] … → commit: complete
 *
 * Memory: PARTS_UNDER_WAY parts and the one that fills.
 *
 * A name that is taken is looked for before, and the server is asked to refuse
 * one (If-None-Match) where it knows how.  Not all do, so of two writers at the
 * same moment the later may win: the names that matter are drawn at random.
 * An answer that was lost says nothing about what was done; each upload carries
 * a random tag, by which it knows its own object again.
 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/secret.h"
#include "base/text.h"
#include "storage/stores/s3_internal.h"
#include "storage/stores/s3_sign.h"
#include "storage/stores/s3_xml.h"

/*
 * The least that Amazon takes for a part is 5 MiB.  Larger ones cost memory,
 * smaller ones requests: a pack of 32 MiB is four parts.
 */
#define PART_BYTES	((size_t)8 << 20)
#define PARTS_UNDER_WAY 3
#define PARTS_MAX	10000
#define TAG_TEXT	33
#define STALE_MS	(INT64_C(7) * 24 * 3600 * 1000)
#define REPLY_MAX	((size_t)1 << 20)
#define UPLOADS_MAX	((size_t)16 << 20)
#define QUERY_MAX	((size_t)8 << 10)

/* A part that is under way, or was. */
struct part {
	struct s3_upload *upload;
	pthread_t thread;
	bool running;
	unsigned int number;
	struct buf bytes;
	int failed;
	struct err why;
};

struct s3_upload {
	struct store_upload upload;
	struct s3 *s;
	char name[STORE_NAME_MAX + 1];
	bool replace;
	struct instant until; /* guarded from its beginning on; or 0 */
	s3_version version;   /* what it became; "" where none are kept */
	char tag[TAG_TEXT];
	char id[S3_TOKEN_MAX + 1]; /* of an upload in parts, or "" */
	unsigned int n_parts;
	struct part parts[PARTS_UNDER_WAY + 1]; /* part n is n modulo that */
	struct part *filling;
	char (*etags)[128]; /* of each part */
	size_t etags_cap;
};

/* The headers that an object is made with. */
struct making {
	char md5[16 + S3_MD5_TEXT];
	char tag[64 + TAG_TEXT];
	char lock_mode[64];
	char lock_until[64 + INSTANT_TEXT];
	char sse[64];
	char sse_key[64 + 256];
	char class[96];
};

static void free_upload(struct s3_upload *u)
{
	for (size_t i = 0; i <= PARTS_UNDER_WAY; i++)
		buf_done(&u->parts[i].bytes);
	free(u->etags);
	free(u);
}

static bool may_ask_condition(struct s3 *s)
{
	bool may;

	(void)pthread_mutex_lock(&s->lock);
	may = !s->no_conditions;
	(void)pthread_mutex_unlock(&s->lock);
	return may;
}

static void add_header(struct s3_call *call, const char *line)
{
	assert(call->n_headers < S3_CALL_HEADERS);
	call->headers[call->n_headers++] = line;
}

/*
 * A sum of the body, which S3 wants of what is locked.  MD5 is the one that
 * every server knows; the signature's is the one that counts.
 */
static int add_sum(const struct s3_upload *u, char md5[16 + S3_MD5_TEXT],
		   struct s3_call *call, struct err *e)
{
	char sum[S3_MD5_TEXT];
	bool wanted = u->until.sec != 0;

	(void)pthread_mutex_lock(&u->s->lock);
	wanted |= u->s->wants_sums;
	(void)pthread_mutex_unlock(&u->s->lock);
	if (!wanted)
		return 0;
	if (s3_md5(call->body, call->body_len, sum, e))
		return -1;
	(void)snprintf(md5, 16 + S3_MD5_TEXT, "content-md5: %s", sum);
	add_header(call, md5);
	return 0;
}

static void add_lock(const struct s3_upload *u, struct making *m,
		     struct s3_call *call)
{
	char date[INSTANT_TEXT];

	if (!u->until.sec)
		return;
	s3_lock_date(u->until, date);
	(void)snprintf(m->lock_mode, sizeof(m->lock_mode),
		       "x-amz-object-lock-mode: %s", s3_lock_mode(u->s));
	(void)snprintf(m->lock_until, sizeof(m->lock_until),
		       "x-amz-object-lock-retain-until-date: %s", date);
	add_header(call, m->lock_mode);
	add_header(call, m->lock_until);
}

/* In rising order of names.  Data may be in a colder class than the rest. */
static void add_making(const struct s3_upload *u, struct making *m,
		       struct s3_call *call)
{
	const struct s3_place *p = s3_client_place(u->s->client);

	(void)snprintf(m->tag, sizeof(m->tag), "x-amz-meta-snapctl-upload: %s",
		       u->tag);
	add_header(call, m->tag);
	add_lock(u, m, call);
	if (p->sse[0]) {
		(void)snprintf(m->sse, sizeof(m->sse),
			       "x-amz-server-side-encryption: %s", p->sse);
		add_header(call, m->sse);
	}
	if (p->sse_key[0]) {
		(void)snprintf(m->sse_key, sizeof(m->sse_key),
			       "x-amz-server-side-encryption-aws-kms-key-id: "
			       "%s",
			       p->sse_key);
		add_header(call, m->sse_key);
	}
	if (p->class[0] && strncmp(u->name, "data/", 5) == 0) {
		(void)snprintf(m->class, sizeof(m->class),
			       "x-amz-storage-class: %s", p->class);
		add_header(call, m->class);
	}
}

/* ---- what others left ---------------------------------------------------- */

/*
 * An upload that its writer never ended goes on costing money.  Of ours, those
 * that began more than a week ago are given up: a session may take days to fill
 * a pack.  What fails here is no harm.
 */
struct stale {
	struct s3 *s;
	struct instant now;
};

/* Only these can be larger than a part; the bucket may be others' as well. */
static bool is_in_parts(const char *name)
{
	return store_name_ok(name) && (strncmp(name, "data/", 5) == 0 ||
				       strncmp(name, "meta/", 5) == 0 ||
				       strncmp(name, "index/", 6) == 0);
}

static int drop_stale(void *arg, const struct s3_item *item,
		      struct err *e UNUSED)
{
	const struct stale *x = arg;
	const char *prefix = s3_client_place(x->s->client)->prefix;
	const size_t n = strlen(prefix);
	CLEANUP(buf_done) struct buf query;
	struct s3_call call = { .method = "DELETE",
				.right = "s3:AbortMultipartUpload" };
	struct err ignored;

	buf_init(&query, QUERY_MAX);
	if (strncmp(item->key, prefix, n) != 0 || !is_in_parts(item->key + n) ||
	    instant_ms_between(item->when, x->now) < STALE_MS)
		return 0;
	call.name = item->key + n;
	if (s3_query_add(&query, "uploadId", item->id, &ignored) == 0) {
		call.query = buf_str(&query);
		if (s3_call(x->s->client, &call, &ignored))
			return 0; /* the next one who writes tries again */
	}
	return 0;
}

/* One page of them is enough for a time. */
static void sweep(struct s3 *s)
{
	CLEANUP(buf_done) struct buf query;
	CLEANUP(buf_done) struct buf xml;
	const char *prefix = s3_client_place(s->client)->prefix;
	struct s3_call call = { .method = "GET",
				.right = "s3:ListBucketMultipartUploads",
				.body_buf = &xml };
	struct stale x = { .s = s };
	struct s3_page page;
	struct err ignored;
	bool swept;

	buf_init(&query, QUERY_MAX);
	buf_init(&xml, UPLOADS_MAX);
	(void)pthread_mutex_lock(&s->lock);
	swept = s->swept;
	s->swept = true;
	(void)pthread_mutex_unlock(&s->lock);
	if (swept)
		return;
	if (s3_query_add(&query, "encoding-type", "url", &ignored) ||
	    s3_query_add(&query, "prefix", prefix, &ignored) ||
	    s3_query_add(&query, "uploads", NULL, &ignored))
		return;
	call.query = buf_str(&query);
	if (s3_call(s->client, &call, &ignored) || call.verdict != S3_DONE ||
	    !call.reply.has_date)
		return;
	x.now = call.reply.date; /* it wrote down when they began */
	if (s3_xml_uploads(buf_str(&xml), xml.len, drop_stale, &x, &page,
			   &ignored))
		return;
}

/* ---- parts -------------------------------------------------------------- */

static int upload_query(const struct s3_upload *u, unsigned int number,
			struct buf *out, struct err *e)
{
	char text[16];

	(void)snprintf(text, sizeof(text), "%u", number);
	if (number && s3_query_add(out, "partNumber", text, e))
		return -1;
	return s3_query_add(out, "uploadId", u->id, e);
}

static bool is_etag(const char *s)
{
	static const char allowed[] = "0123456789abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ-\"";

	return s[0] && s[strspn(s, allowed)] == '\0';
}

static int send_part(struct part *p, struct err *e)
{
	CLEANUP(buf_done) struct buf query;
	struct s3_upload *u = p->upload;
	char md5[16 + S3_MD5_TEXT];
	struct s3_call call = { .method = "PUT",
				.right = "s3:PutObject",
				.name = u->name,
				.body = p->bytes.data,
				.body_len = p->bytes.len };

	buf_init(&query, QUERY_MAX);
	if (upload_query(u, p->number, &query, e) || add_sum(u, md5, &call, e))
		return -1;
	call.query = buf_str(&query);
	if (s3_call(u->s->client, &call, e))
		return -1;
	if (call.verdict == S3_ABSENT)
		return err_set(e, ERR_BUSY,
			       "somebody removed the unfinished upload");
	if (call.verdict != S3_DONE || !is_etag(call.reply.etag))
		return s3_unexpected(&call, e);
	memcpy(u->etags[p->number - 1], call.reply.etag,
	       sizeof(call.reply.etag));
	return 0;
}

static void *part_thread(void *arg)
{
	struct part *p = arg;

	p->failed = send_part(p, &p->why);
	return NULL;
}

/* Until it has arrived. */
static int join_part(struct part *p, struct err *e)
{
	if (p->running) {
		(void)pthread_join(p->thread, NULL);
		p->running = false;
		buf_clear(&p->bytes);
	}
	if (p->failed)
		*e = p->why;
	return p->failed;
}

static int join_all(struct s3_upload *u, struct err *e)
{
	int failed = 0;

	for (size_t i = 0; i <= PARTS_UNDER_WAY; i++) {
		struct err why;

		if (join_part(&u->parts[i], &why)) {
			failed = -1;
			*e = why;
		}
	}
	return failed;
}

/* An upload in parts begins: the server gives it a number. */
static int initiate(struct s3_upload *u, struct err *e)
{
	CLEANUP(buf_done) struct buf xml;
	struct making m = { .tag = "" };
	struct s3_call call = { .method = "POST",
				.right = "s3:PutObject",
				.name = u->name,
				.query = "uploads=",
				.body_buf = &xml };

	sweep(u->s);
	buf_init(&xml, REPLY_MAX);
	add_making(u, &m, &call);
	if (s3_call(u->s->client, &call, e))
		return -1;
	if (call.verdict != S3_DONE)
		return s3_unexpected(&call, e);
	if (s3_xml_text(buf_str(&xml), xml.len, "InitiateMultipartUploadResult",
			"UploadId", u->id, sizeof(u->id), e))
		return s3_senseless(e);
	return 0;
}

static int room_for_etag(struct s3_upload *u, struct err *e)
{
	const size_t cap = u->etags_cap ? u->etags_cap * 2 : 16;
	char(*more)[128];

	if (u->n_parts >= PARTS_MAX)
		return err_set(e, ERR_FULL,
			       "it is larger than an object can be");
	if (u->n_parts < u->etags_cap)
		return 0;
	/* Threads write into the old one. */
	if (join_all(u, e))
		return -1;
	more = reallocarray(u->etags, cap, sizeof(*more));
	if (!more)
		return err_oom(e);
	u->etags = more;
	u->etags_cap = cap;
	return 0;
}

/* What has filled goes, and the next one fills. */
static int send_filled(struct s3_upload *u, struct err *e)
{
	struct part *p = u->filling;
	struct part *next = p == &u->parts[PARTS_UNDER_WAY] ? u->parts : p + 1;

	if ((!u->id[0] && initiate(u, e)) || room_for_etag(u, e) ||
	    join_part(next, e))
		return -1;
	p->number = ++u->n_parts;
	errno = pthread_create(&p->thread, NULL, part_thread, p);
	if (errno)
		return err_sys(e, "cannot start a thread");
	p->running = true;
	u->filling = next;
	return 0;
}

/* ---- the four calls ----------------------------------------------------- */

int s3_begin(struct store *s, const char *name, uint64_t size UNUSED,
	     unsigned int flags, struct store_upload **ret, struct err *e)
{
	struct s3_upload *u = calloc(1, sizeof(*u));
	uint8_t tag[(TAG_TEXT - 1) / 2];

	if (!u)
		return err_oom(e);
	u->s = (struct s3 *)s;
	u->replace = flags & STORE_REPLACE;
	(void)snprintf(u->name, sizeof(u->name), "%s", name);
	secret_nonce(tag, sizeof(tag));
	text_hex(tag, sizeof(tag), u->tag);
	for (size_t i = 0; i <= PARTS_UNDER_WAY; i++) {
		u->parts[i].upload = u;
		buf_init(&u->parts[i].bytes, PART_BYTES);
	}
	u->filling = u->parts;
	*ret = &u->upload;
	return 0;
}

int s3_append(struct store_upload *upload, const void *bytes, size_t n,
	      struct err *e)
{
	struct s3_upload *u = (struct s3_upload *)upload;
	const char *from = bytes;

	while (n) {
		struct buf *b = &u->filling->bytes;
		const size_t room = PART_BYTES - b->len;
		const size_t take = n < room ? n : room;

		if (room == 0) {
			if (send_filled(u, e))
				return -1;
			continue;
		}
		if (buf_add(b, from, take, e))
			return -1;
		from += take;
		n -= take;
	}
	return 0;
}

/* Forget what the server has of it; it is not asked whether it did. */
static void forget(struct s3_upload *u)
{
	CLEANUP(buf_done) struct buf query;
	struct s3_call call = { .method = "DELETE",
				.right = "s3:AbortMultipartUpload",
				.name = u->name };
	struct err ignored;

	(void)join_all(u, &ignored);
	buf_init(&query, QUERY_MAX);
	if (!u->id[0] || upload_query(u, 0, &query, &ignored))
		return;
	call.query = buf_str(&query);
	if (s3_call(u->s->client, &call, &ignored))
		return; /* a later writer's sweep() finds it */
}

void s3_abort(struct store_upload *upload)
{
	struct s3_upload *u = (struct s3_upload *)upload;

	forget(u);
	free_upload(u);
}

/*
 * 0 when the object that is there is this upload's; ERR_EXISTS when it is
 * another's, ERR_BUSY and these words when there is none.
 */
static int is_ours(struct s3_upload *u, const char *none, struct err *e)
{
	struct s3_http_reply reply;
	const int there = s3_head(u->s, u->name, &reply, e);

	if (there < 0)
		return -1;
	if (!there)
		return err_set(e, ERR_BUSY, "%s", none);
	if (strcmp(reply.upload_tag, u->tag) == 0)
		return 0;
	return err_set(e, ERR_EXISTS, "it exists already");
}

/* Where versions are kept, one of them is enough, below a deletion, too. */
static int is_taken(struct s3_upload *u, struct err *e)
{
	struct s3_http_reply reply;
	s3_version newest;
	s3_version oldest;
	const int keeps = s3_keeps_versions(u->s, e);

	if (keeps < 0)
		return -1;
	return keeps ? s3_ends(u->s, u->name, newest, oldest, e)
		     : s3_head(u->s, u->name, &reply, e);
}

static int refuse_taken(struct s3_upload *u, struct err *e)
{
	const int there = u->replace ? 0 : is_taken(u, e);

	if (there > 0)
		return err_set(e, ERR_EXISTS, "it exists already");
	return there;
}

/*
 * A request that makes the object visible; with the condition that it be
 * absent where that can be said.
 */
static int make(struct s3_upload *u, struct s3_call *call, struct err *e)
{
	const struct s3_call plain = *call;
	int r;

	if (!u->replace && may_ask_condition(u->s)) {
		const size_t at = call->n_headers &&
				  strncmp(call->headers[0], "content-md5",
					  11) == 0;

		memmove(call->headers + at + 1, call->headers + at,
			(call->n_headers - at) * sizeof(call->headers[0]));
		call->headers[at] = "if-none-match: *";
		call->n_headers++;
	}
	r = s3_call(u->s->client, call, e);
	if (r == 0)
		s3_learn(u->s, call);
	if (r == 0 || call->n_headers == plain.n_headers ||
	    strcmp(call->error.code, "NotImplemented") != 0)
		return r;
	(void)pthread_mutex_lock(&u->s->lock);
	u->s->no_conditions = true;
	(void)pthread_mutex_unlock(&u->s->lock);
	*call = plain;
	r = s3_call(u->s->client, call, e);
	if (r == 0)
		s3_learn(u->s, call);
	return r;
}

static const char contradiction[] =
	"the server says that it exists, and that it does not";

/* Whether the server refused it for want of a sum, and did not before. */
static bool wants_sum(struct s3_upload *u, const struct s3_call *call)
{
	bool before;

	if (strcmp(call->error.code, "InvalidRequest") != 0 ||
	    call->n_headers == 0 ||
	    strncmp(call->headers[0], "content-md5", 11) == 0)
		return false;
	(void)pthread_mutex_lock(&u->s->lock);
	before = u->s->wants_sums;
	u->s->wants_sums = true;
	(void)pthread_mutex_unlock(&u->s->lock);
	return !before;
}

static int put_once(struct s3_upload *u, struct s3_call *call, struct err *e)
{
	struct making m = { .tag = "" };

	*call = (struct s3_call){ .method = "PUT",
				  .right = "s3:PutObject",
				  .name = u->name,
				  .body = u->filling->bytes.data,
				  .body_len = u->filling->bytes.len };
	if (add_sum(u, m.md5, call, e))
		return -1;
	add_making(u, &m, call);
	return make(u, call, e);
}

static int put_whole(struct s3_upload *u, struct err *e)
{
	struct s3_call call;

	if (put_once(u, &call, e) &&
	    (!wants_sum(u, &call) || put_once(u, &call, e)))
		return -1;
	if (call.verdict == S3_TAKEN)
		return is_ours(u, contradiction, e);
	if (call.verdict != S3_DONE)
		return s3_unexpected(&call, e);
	memcpy(u->version, call.reply.version, sizeof(u->version));
	return s3_is_of_object(&call, e);
}

static int list_parts(const struct s3_upload *u, struct buf *out, struct err *e)
{
	if (buf_add_str(out, "<CompleteMultipartUpload>", e))
		return -1;
	for (unsigned int i = 0; i < u->n_parts; i++) {
		if (buf_addf(out, e,
			     "<Part><PartNumber>%u</PartNumber>"
			     "<ETag>%s</ETag></Part>",
			     i + 1, u->etags[i]))
			return -1;
	}
	return buf_add_str(out, "</CompleteMultipartUpload>", e);
}

static int complete(struct s3_upload *u, struct err *e)
{
	CLEANUP(buf_done) struct buf query;
	CLEANUP(buf_done) struct buf body;
	CLEANUP(buf_done) struct buf xml;
	char key[S3_KEY_MAX + 1];
	struct s3_call call = { .method = "POST",
				.right = "s3:PutObject",
				.name = u->name,
				.body_buf = &xml };

	buf_init(&query, QUERY_MAX);
	buf_init(&body, (size_t)PARTS_MAX * 256);
	buf_init(&xml, REPLY_MAX);
	if (upload_query(u, 0, &query, e) || list_parts(u, &body, e))
		return -1;
	call.query = buf_str(&query);
	call.body = body.data;
	call.body_len = body.len;
	if (make(u, &call, e))
		return -1;
	if (call.verdict == S3_TAKEN)
		return is_ours(u, contradiction, e);
	if (call.verdict == S3_ABSENT)
		return is_ours(u, "somebody removed the unfinished upload", e);
	if (call.verdict != S3_DONE)
		return s3_unexpected(&call, e);
	memcpy(u->version, call.reply.version, sizeof(u->version));
	if (s3_xml_text(buf_str(&xml), xml.len, "CompleteMultipartUploadResult",
			"Key", key, sizeof(key), e) == 0)
		return 0;
	/* A reply that ends early may be that of a failure; what is there
	 * tells.  (Ceph's has an empty ETag.) */
	return is_ours(u,
		       "the server's reply makes no sense, and nothing is "
		       "there",
		       e);
}

static int commit(struct s3_upload *u, struct err *e)
{
	/* Who replaces it reads what is new. */
	if (u->replace)
		s3_forget_turn(u->s, u->name);
	if (!u->id[0])
		return refuse_taken(u, e) ? -1 : put_whole(u, e);
	if (u->filling->bytes.len && send_filled(u, e))
		return -1;
	if (join_all(u, e) || refuse_taken(u, e))
		return -1;
	return complete(u, e);
}

/* It is there, and is to be guarded as well. */
static int see_guarded(struct s3_upload *u, struct err *e)
{
	return u->until.sec ? s3_guard_written(u->s, u->name, u->version,
					       u->id[0] != '\0', u->until, e)
			    : 0;
}

int s3_commit(struct store_upload *upload, struct err *e)
{
	struct s3_upload *u = (struct s3_upload *)upload;
	const int r = commit(u, e) || see_guarded(u, e) ? -1 : 0;

	s3_ahead_forget(u->s->ahead, u->name);
	if (r)
		forget(u);
	else if (u->replace)
		s3_replaced(u->s, u->name, u->version);
	free_upload(u);
	return r;
}

void s3_guard_upload(struct store_upload *upload, struct instant until)
{
	struct s3_upload *u = (struct s3_upload *)upload;

	/* What is over guards nothing, and S3 refuses it. */
	if (instant_compare(until, clock_now()) > 0)
		u->until = until;
}

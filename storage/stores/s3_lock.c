/*
 * Object lock: what guards versions in a bucket that was made with it.
 *
 * A retention (until a moment, in one of two modes) only ever gets longer: S3
 * refuses a shorter one, and we never say that we may bypass one of the mode
 * governance.  A legal hold stands beside it.
 *
 * Both are of a version.  A guard is for the version that reads are turned to;
 * else for the newest, which reads give, and, where a listing saw that there
 * are several, for the oldest as well: whoever put another on top must not have
 * the guard in its place.  What is told of both is the less.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "storage/stores/s3_internal.h"
#include "storage/stores/s3_sign.h"

#define QUERY_MAX ((size_t)8 << 10)
#define REPLY_MAX ((size_t)64 << 10)
#define BODY_MAX  512
#define XMLNS	  "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""

/* ---- whether the bucket has it ------------------------------------------ */

static enum s3_locking locking(struct s3 *s)
{
	enum s3_locking is;

	(void)pthread_mutex_lock(&s->lock);
	is = s->locking;
	(void)pthread_mutex_unlock(&s->lock);
	return is;
}

const char *s3_lock_mode(struct s3 *s)
{
	bool governance;

	(void)pthread_mutex_lock(&s->lock);
	governance = s->governance;
	(void)pthread_mutex_unlock(&s->lock);
	return governance ? "GOVERNANCE" : "COMPLIANCE";
}

const char *s3_guard_mode(struct store *store)
{
	struct s3 *s = (struct s3 *)store;
	bool governance;

	(void)pthread_mutex_lock(&s->lock);
	governance = s->governance;
	(void)pthread_mutex_unlock(&s->lock);
	return governance ? "governance" : "compliance";
}

static void learn(struct s3 *s, enum s3_locking is, bool governance)
{
	(void)pthread_mutex_lock(&s->lock);
	s->locking = is;
	s->governance = governance;
	(void)pthread_mutex_unlock(&s->lock);
}

static int has_none(struct s3 *s, struct err *e)
{
	const char *wanted = s3_client_place(s->client)->lock;

	if (wanted[0]) {
		(void)err_set(e, ERR_USAGE,
			      "lock=%s is wanted of it, and the bucket has no "
			      "object lock",
			      wanted);
		return err_hint(e, "a bucket gets it when it is made; or take "
				   "lock= out of the region's URL");
	}
	learn(s, S3_LOCK_NONE, false);
	return 0;
}

/* What a bucket says that has it, or a server that knows no such question. */
static int read_locking(struct s3 *s, const struct buf *xml, struct err *e)
{
	static const char root[] = "ObjectLockConfiguration";
	const char *wanted = s3_client_place(s->client)->lock;
	char text[32];
	struct err ignored;

	if (s3_xml_text(buf_str(xml), xml->len, root, "ObjectLockEnabled", text,
			sizeof(text), &ignored) ||
	    strcmp(text, "Enabled") != 0)
		return has_none(s, e);
	if (s3_xml_text(buf_str(xml), xml->len, root,
			"Rule/DefaultRetention/Mode", text, sizeof(text),
			&ignored))
		text[0] = '\0';
	learn(s, S3_LOCK_THERE,
	      wanted[0] ? strcmp(wanted, "governance") == 0
			: strcmp(text, "GOVERNANCE") == 0);
	return 0;
}

static int ask_locking(struct s3 *s, struct err *e)
{
	CLEANUP(buf_done) struct buf xml;
	struct s3_call call = { .method = "GET",
				.right = "s3:GetBucketObjectLockConfiguration",
				.query = "object-lock=",
				.body_buf = &xml };
	int r;

	buf_init(&xml, REPLY_MAX);
	r = s3_call(s->client, &call, e);
	if (r == 0 && call.verdict == S3_DONE)
		return read_locking(s, &xml, e);
	if (r == 0 && call.verdict == S3_ABSENT)
		return has_none(s, e);
	if (r == 0)
		return s3_unexpected(&call, e);
	/* Object lock is not without versions: what was read has told, whose
	 * key need not be allowed to ask. */
	if (call.reply.status == 501 || call.reply.status == 405 ||
	    (call.reply.status && s3_keeps_none(s)))
		return has_none(s, e);
	/* Who may not know would write what nothing guards. */
	if (e->code == ERR_DENIED && strlen(e->hint) + 64 < sizeof(e->hint))
		(void)snprintf(e->hint + strlen(e->hint),
			       sizeof(e->hint) - strlen(e->hint),
			       "; or lock=off in its URL, to lock nothing");
	return -1;
}

int s3_can_guard(struct store *store, struct err *e)
{
	struct s3 *s = (struct s3 *)store;
	int r = 0;

	if (strcmp(s3_client_place(s->client)->lock, "off") == 0)
		return 0;
	(void)pthread_mutex_lock(&s->asking);
	if (locking(s) == S3_LOCK_UNKNOWN)
		r = ask_locking(s, e);
	(void)pthread_mutex_unlock(&s->asking);
	return r ? -1 : locking(s) == S3_LOCK_THERE;
}

/* -1 where there can be no guards. */
static int need_lock(struct s3 *s, struct err *e)
{
	const int r = s3_can_guard(&s->store, e);

	if (r)
		return r < 0 ? -1 : 0;
	if (strcmp(s3_client_place(s->client)->lock, "off") == 0)
		return err_set(e, ERR_USAGE, "the region's URL says lock=off");
	(void)err_set(e, ERR_USAGE, "the bucket has no object lock");
	return err_hint(e, "a bucket gets it when it is made");
}

/* ---- dates -------------------------------------------------------------- */

void s3_lock_date(struct instant until, char out[INSTANT_TEXT])
{
	if (until.nsec) {
		until.sec++;
		until.nsec = 0;
	}
	instant_format(until, out);
}

int s3_refuse_guarded(const struct store_guard *g, struct err *e)
{
	char until[INSTANT_TEXT];

	if (g->held)
		return err_set(e, ERR_DENIED, "it is held");
	if (instant_compare(g->until, clock_now()) <= 0)
		return 0;
	s3_lock_date(g->until, until);
	return err_set(e, ERR_DENIED, "it is locked until %s", until);
}

/* ---- what guards a version ---------------------------------------------- */

/* GET of a sub-resource of a version: 1 with its document, 0 none, -1. */
static int ask(struct s3 *s, const char *name, const char *what,
	       const char *right, const char *version, struct buf *xml,
	       struct err *e)
{
	CLEANUP(buf_done) struct buf query;
	struct s3_call call = {
		.method = "GET", .right = right, .name = name, .body_buf = xml
	};
	int r;

	buf_init(&query, QUERY_MAX);
	if (s3_query_add(&query, what, NULL, e) ||
	    s3_add_version(&query, version, e))
		return -1;
	call.query = buf_str(&query);
	r = s3_call(s->client, &call, e);
	if (r == 0 && call.verdict == S3_DONE)
		return 1;
	if (r == 0 && call.verdict == S3_ABSENT)
		return 0;
	/* The bucket has no object lock. */
	if (r && strcmp(call.error.code, "InvalidRequest") == 0)
		return 0;
	return r ? -1 : s3_unexpected(&call, e);
}

static int read_until(const char *text, struct instant *ret, struct err *e)
{
	struct err ignored;

	if (instant_parse(text, ret, &ignored) == 0)
		return 0;
	return err_set(e, ERR_IO, "the server says that it is locked until %s",
		       text_quote_str(text).s);
}

static int ask_retention(struct s3 *s, const char *name, const char *version,
			 struct instant *ret, struct err *e)
{
	CLEANUP(buf_done) struct buf xml;
	char until[64];
	int r;

	buf_init(&xml, REPLY_MAX);
	r = ask(s, name, "retention", "s3:GetObjectRetention", version, &xml,
		e);
	if (r <= 0)
		return r;
	if (s3_xml_text(buf_str(&xml), xml.len, "Retention", "RetainUntilDate",
			until, sizeof(until), e))
		return s3_senseless(e);
	return read_until(until, ret, e);
}

static int ask_hold(struct s3 *s, const char *name, const char *version,
		    bool *ret, struct err *e)
{
	CLEANUP(buf_done) struct buf xml;
	char status[8];
	int r;

	buf_init(&xml, REPLY_MAX);
	r = ask(s, name, "legal-hold", "s3:GetObjectLegalHold", version, &xml,
		e);
	if (r < 0)
		return -1;
	(void)pthread_mutex_lock(&s->lock);
	s->may_see_holds = true;
	(void)pthread_mutex_unlock(&s->lock);
	if (r == 0)
		return 0;
	if (s3_xml_text(buf_str(&xml), xml.len, "LegalHold", "Status", status,
			sizeof(status), e))
		return s3_senseless(e);
	*ret = strcmp(status, "ON") == 0;
	return 0;
}

/*
 * A reply with an object says what guards it, to those who may know; so what it
 * does not say is asked until it is known that it would have.
 */
static int guard_of_reply(struct s3 *s, const char *name, const char *version,
			  const struct s3_http_reply *reply,
			  struct store_guard *ret, struct err *e)
{
	bool tells_locks;
	bool tells_holds;

	(void)pthread_mutex_lock(&s->lock);
	tells_locks = s->tells_locks;
	tells_holds = s->tells_locks && s->may_see_holds;
	(void)pthread_mutex_unlock(&s->lock);
	*ret = (struct store_guard){ .held = false };
	if (reply->lock_until[0] &&
	    read_until(reply->lock_until, &ret->until, e))
		return -1;
	if (!reply->lock_until[0] && !tells_locks &&
	    ask_retention(s, name, version, &ret->until, e))
		return -1;
	ret->held = strcmp(reply->lock_hold, "ON") == 0;
	if (!reply->lock_hold[0] && !tells_holds &&
	    ask_hold(s, name, version, &ret->held, e))
		return -1;
	return 1;
}

int s3_guard_of(struct s3 *s, const char *name, const char *version,
		struct store_guard *ret, struct err *e)
{
	struct s3_http_reply reply;
	const int r = version[0] ? s3_head_version(s, name, version, &reply, e)
				 : s3_head(s, name, &reply, e);

	if (r <= 0)
		return r;
	*ret = (struct store_guard){ .held = false };
	if (locking(s) == S3_LOCK_NONE)
		return 1;
	/* What was read may be below a deletion. */
	return guard_of_reply(s, name, version[0] ? version : reply.version,
			      &reply, ret, e);
}

/* ---- which versions ----------------------------------------------------- */

struct targets {
	s3_version ids[2];
	unsigned int n;
};

/* From the list of its versions: how many, 0, -1. */
static int list_targets(struct s3 *s, const char *name, struct targets *t,
			struct err *e)
{
	const int n = s3_ends(s, name, t->ids[0], t->ids[1], e);

	t->n = n > 0 ? (unsigned int)n : 0;
	return n;
}

/* Those that a guard is for; "" is what is read. */
static int find_targets(struct s3 *s, const char *name, struct targets *t,
			struct err *e)
{
	s3_turned(s, name, t->ids[0]);
	t->n = 1;
	if (t->ids[0][0] || !s3_has_several(s, name))
		return 1;
	return list_targets(s, name, t, e);
}

int s3_guarded(struct store *store, const char *name, struct store_guard *ret,
	       struct err *e)
{
	struct s3 *s = (struct s3 *)store;
	struct targets t;
	int r = find_targets(s, name, &t, e);

	for (unsigned int i = 0; r > 0 && i < t.n; i++) {
		struct store_guard g;

		r = s3_guard_of(s, name, t.ids[i], &g, e);
		if (r > 0 && i == 0)
			*ret = g;
		if (r > 0 && instant_compare(g.until, ret->until) < 0)
			ret->until = g.until;
		if (r > 0)
			ret->held &= g.held;
	}
	return r > 0 ? 1 : r;
}

/* ---- changing it -------------------------------------------------------- */

/*
 * PUT of a sub-resource of a version: 1, 0 there is no such object (or only a
 * deletion), -1.
 */
static int tell(struct s3 *s, const char *name, const char *what,
		const char *right, const char *version, const char *body,
		struct err *e)
{
	CLEANUP(buf_done) struct buf query;
	char md5[16 + S3_MD5_TEXT];
	char sum[S3_MD5_TEXT];
	struct s3_call call = { .method = "PUT",
				.right = right,
				.name = name,
				.headers = { md5 },
				.n_headers = 1,
				.body = body,
				.body_len = strlen(body) };
	int r;

	buf_init(&query, QUERY_MAX);
	if (s3_md5(body, call.body_len, sum, e) ||
	    s3_query_add(&query, what, NULL, e) ||
	    s3_add_version(&query, version, e))
		return -1;
	(void)snprintf(md5, sizeof(md5), "content-md5: %s", sum);
	call.query = buf_str(&query);
	r = s3_call(s->client, &call, e);
	if (r == 0 && call.verdict == S3_DONE)
		return 1;
	if ((r == 0 && call.verdict == S3_ABSENT) || call.reply.status == 405)
		return 0;
	return r ? -1 : s3_unexpected(&call, e);
}

static int put_retention(struct s3 *s, const char *name, const char *version,
			 const char *mode, struct instant until, struct err *e)
{
	char body[BODY_MAX];
	char date[INSTANT_TEXT];

	s3_lock_date(until, date);
	(void)snprintf(body, sizeof(body),
		       "<Retention " XMLNS "><Mode>%s</Mode>"
		       "<RetainUntilDate>%s</RetainUntilDate></Retention>",
		       mode, date);
	return tell(s, name, "retention", "s3:PutObjectRetention", version,
		    body, e);
}

/*
 * Refused: because it is guarded for longer, which is as good; or in the other
 * mode, which can be made longer as it is.  -1: what was said first holds.
 */
static int guard_further(struct s3 *s, const char *name, const char *version,
			 struct instant until)
{
	const bool governance = strcmp(s3_lock_mode(s), "GOVERNANCE") == 0;
	struct store_guard g;
	struct err why;
	int r;

	if (s3_guard_of(s, name, version, &g, &why) <= 0)
		return -1;
	if (instant_compare(g.until, until) >= 0)
		return 1;
	if (instant_compare(g.until, clock_now()) <= 0)
		return -1;
	r = put_retention(s, name, version,
			  governance ? "COMPLIANCE" : "GOVERNANCE", until,
			  &why);
	return r;
}

static int guard_version(struct s3 *s, const char *name, const char *version,
			 struct instant until, struct err *e)
{
	const int r = put_retention(s, name, version, s3_lock_mode(s), until,
				    e);

	if (r < 0 && (e->code == ERR_DENIED || e->code == ERR_IO))
		return guard_further(s, name, version, until);
	return r;
}

int s3_guard_written(struct s3 *s, const char *name, const char *version,
		     bool in_parts, struct instant until, struct err *e)
{
	struct store_guard g = { .held = false };
	bool locks;
	bool leaves;
	int r = 1;

	(void)pthread_mutex_lock(&s->lock);
	locks = s->locks_new[in_parts];
	leaves = s->leaves_new[in_parts];
	(void)pthread_mutex_unlock(&s->lock);
	if (locks)
		return 0;
	/* Once: it is what a server does with all of them. */
	if (!leaves)
		r = s3_guard_of(s, name, version, &g, e);
	if (r > 0 && instant_compare(g.until, until) < 0) {
		leaves = true;
		r = guard_version(s, name, version, until, e);
	}
	if (r == 0)
		(void)err_set(e, ERR_BUSY,
			      "it was written, and is not there to be locked");
	if (r <= 0)
		return -1;
	(void)pthread_mutex_lock(&s->lock);
	s->locks_new[in_parts] |= !leaves;
	s->leaves_new[in_parts] |= leaves;
	(void)pthread_mutex_unlock(&s->lock);
	return 0;
}

static int hold_version(struct s3 *s, const char *name, const char *version,
			bool held, struct err *e)
{
	char body[BODY_MAX];

	(void)snprintf(body, sizeof(body),
		       "<LegalHold " XMLNS "><Status>%s</Status></LegalHold>",
		       held ? "ON" : "OFF");
	return tell(s, name, "legal-hold", "s3:PutObjectLegalHold", version,
		    body, e);
}

/* What is to be done to each of the versions. */
struct change {
	bool is_hold;
	bool held;
	struct instant until;
};

static int change_one(struct s3 *s, const char *name, const char *version,
		      const struct change *c, struct err *e)
{
	return c->is_hold ? hold_version(s, name, version, c->held, e)
			  : guard_version(s, name, version, c->until, e);
}

static int change_targets(struct s3 *s, const char *name,
			  const struct targets *t, const struct change *c,
			  struct err *e)
{
	int r = 1;

	/* The oldest first: it is what others cannot have put on top. */
	for (unsigned int i = t->n; r > 0 && i-- > 0;)
		r = change_one(s, name, t->ids[i], c, e);
	return r;
}

static int change(struct s3 *s, const char *name, const struct change *c,
		  struct err *e)
{
	struct targets t;
	int r;

	if (need_lock(s, e))
		return -1;
	r = find_targets(s, name, &t, e);
	if (r > 0)
		r = change_targets(s, name, &t, c, e);
	/* What is there may be below a deletion. */
	if (r == 0 && t.n == 1 && !t.ids[0][0]) {
		r = list_targets(s, name, &t, e);
		if (r > 0)
			r = change_targets(s, name, &t, c, e);
	}
	return r > 0 ? 1 : r;
}

int s3_guard(struct store *store, const char *name, struct instant until,
	     struct err *e)
{
	struct s3 *s = (struct s3 *)store;
	const struct change c = { .until = until };
	struct s3_http_reply reply;

	/* What is over guards nothing, and S3 refuses it. */
	if (instant_compare(until, clock_now()) <= 0)
		return need_lock(s, e) ? -1 : s3_head(s, name, &reply, e);
	return change(s, name, &c, e);
}

/* A version between the ends that was held when it was one of them. */
struct releasing {
	struct s3 *s;
	const char *name;
	int n;
};

static int release_one(void *arg, const struct s3_item *item, struct err *e)
{
	struct releasing *x = arg;

	if (item->deletion)
		return 0;
	x->n = 1;
	return hold_version(x->s, x->name, item->id, false, e) < 0 ? -1 : 0;
}

int s3_hold(struct store *store, const char *name, bool held, struct err *e)
{
	struct s3 *s = (struct s3 *)store;
	const struct change c = { .is_hold = true, .held = held };
	struct releasing x = { .s = s, .name = name };

	if (held || !s3_has_several(s, name))
		return change(s, name, &c, e);
	if (need_lock(s, e) || s3_visit_versions(s, name, release_one, &x, e))
		return -1;
	return x.n;
}

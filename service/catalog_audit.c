#include "service/catalog_audit.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "service/catalog_hash.h"
#include "service/catalog_internal.h"

#define HASH_BYTES 32
/* What SQLite allows for one row. */
#define RECORD_MAX 1000000000
#define NO_HASH \
	"0000000000000000000000000000000000000000000000000000000000000000"
#define PREAMBLE "snapctl audit 1\n"

/* ---- Hashes
 * ------------------------------------------------------------------ */

static int add_text(struct buf *b, const char *s, struct err *e)
{
	const size_t n = strlen(s);

	if (buf_add_u32(b, (uint32_t)n, e) < 0)
		return -1;
	return buf_add(b, s, n, e);
}

/* b ends up holding what is hashed: see struct catalog_audit. */
static int spell(struct buf *b, const struct catalog_audit *a,
		 const uint8_t prev[HASH_BYTES], struct err *e)
{
	if (buf_add_str(b, PREAMBLE, e) < 0 ||
	    buf_add_str(b, a->chain, e) < 0 ||
	    buf_add_u64(b, (uint64_t)a->seq, e) < 0 ||
	    buf_add_u64(b, (uint64_t)sql_us(a->at), e) < 0 ||
	    buf_add_u64(b, (uint64_t)a->actor_uid, e) < 0 ||
	    add_text(b, a->actor, e) < 0 || add_text(b, a->action, e) < 0 ||
	    add_text(b, a->object, e) < 0 ||
	    add_text(b, a->details_json, e) < 0)
		return -1;
	return buf_add(b, prev, HASH_BYTES, e);
}

/* 1, or 0 when prev is no hash (a row that was tampered with). */
static int hash_record(const struct catalog_audit *a, const char *prev,
		       char out[CATALOG_HASH_TEXT], struct err *e)
{
	CLEANUP(buf_done) struct buf b;
	uint8_t raw[HASH_BYTES];

	buf_init(&b, RECORD_MAX);
	if (strlen(prev) + 1 != CATALOG_HASH_TEXT ||
	    !text_unhex(prev, sizeof(raw), raw))
		return 0;
	if (spell(&b, a, raw, e) < 0)
		return -1;
	catalog_hash(b.data, b.len, out);
	return 1;
}

/* ---- Adding
 * ------------------------------------------------------------------ */

struct head {
	int64_t count;
	char hash[CATALOG_HASH_TEXT];
};

static int read_head(struct catalog *c, const char *chain, struct head *ret,
		     struct err *e)
{
	CLEANUP(sql_end)
	struct sql_stmt *s = sql_stmt(
		c->db, "SELECT count, hash FROM audit_heads WHERE chain = ?",
		e);
	int got;

	if (s == NULL)
		return -1;
	sql_text(s, chain);
	got = sql_step(s, e);
	if (got < 0)
		return -1;
	ret->count = got ? sql_get_int(s) : 0;
	(void)snprintf(ret->hash, sizeof(ret->hash), "%s",
		       got ? sql_get_text(s) : NO_HASH);
	return got;
}

static int write_record(struct catalog *c, const struct catalog_audit *a,
			const char *prev, struct err *e)
{
	struct sql_stmt *s = sql_stmt(
		c->db,
		"INSERT INTO audit (chain, seq, at_us, actor_uid, actor, "
		"action, object, details, prev, hash) "
		"VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		e);

	if (s == NULL)
		return -1;
	sql_text(s, a->chain);
	sql_int(s, a->seq);
	sql_time(s, a->at);
	sql_int(s, a->actor_uid);
	sql_text(s, a->actor);
	sql_text(s, a->action);
	sql_text(s, a->object);
	sql_text(s, a->details_json);
	sql_text(s, prev);
	sql_text(s, a->hash);
	return sql_run(s, e) < 0 ? -1 : 0;
}

static int write_head(struct catalog *c, const struct catalog_audit *a,
		      struct err *e)
{
	struct sql_stmt *s = sql_stmt(
		c->db,
		"INSERT INTO audit_heads VALUES (?, ?, ?) ON CONFLICT (chain) "
		"DO UPDATE SET count = excluded.count, hash = excluded.hash",
		e);

	if (s == NULL)
		return -1;
	sql_text(s, a->chain);
	sql_int(s, a->seq);
	sql_text(s, a->hash);
	return sql_run(s, e) < 0 ? -1 : 0;
}

static int add_record(struct catalog *c, struct catalog_audit *a, struct err *e)
{
	char hash[CATALOG_HASH_TEXT];
	struct head head;
	int got, failed;

	if (read_head(c, c->identity.s, &head, e) < 0)
		return -1;
	a->chain = c->identity.s;
	a->seq = head.count + 1;
	/* What is hashed is what is stored: whole microseconds. */
	a->at = sql_instant(sql_us(a->at));
	got = hash_record(a, head.hash, hash, e);
	if (got < 0)
		return -1;
	if (got == 0)
		return err_set(e, ERR_CORRUPT,
			       "the head of the audit log is damaged");
	a->hash = hash;
	failed = write_record(c, a, head.hash, e) < 0 ||
		 write_head(c, a, e) < 0;
	a->hash = NULL;
	return failed ? -1 : 0;
}

int catalog_audit_add(struct catalog *c, const struct catalog_actor *actor,
		      const char *action, const char *object,
		      const char *details_json, struct err *e)
{
	struct catalog_audit a = {
		.at = actor->now,
		.actor_uid = actor->uid,
		.actor = actor->name ? actor->name : "",
		.action = action,
		.object = object,
		.details_json = details_json ? details_json : "{}",
	};

	if (catalog_begin(c, e) < 0)
		return -1;
	return catalog_finish(c, add_record(c, &a, e), e);
}

int catalog_record(struct catalog *c, const struct catalog_actor *actor,
		   const char *action, const char *object,
		   const struct catalog_fact facts[2], struct err *e)
{
	CLEANUP(buf_done) struct buf details;
	struct json j;

	buf_init(&details, 64U << 10);
	json_init(&j, json_to_buf, &details);
	json_begin_object(&j);
	for (size_t i = 0; facts != NULL && i < 2; i++)
		if (facts[i].key != NULL)
			json_kv_str(&j, facts[i].key, facts[i].value);
	json_end_object(&j);
	if (json_finish(&j, e) < 0)
		return -1;
	return catalog_audit_add(c, actor, action, object, buf_str(&details),
				 e);
}

/* ---- Reading
 * ----------------------------------------------------------------- */

#define AUDIT_COLUMNS                                                  \
	"SELECT chain, seq, at_us, actor_uid, actor, action, object, " \
	"details, hash"

static void read_record(struct sql_stmt *s, struct catalog_audit *a)
{
	a->chain = sql_get_text(s);
	a->seq = sql_get_int(s);
	a->at = sql_get_time(s);
	a->actor_uid = sql_get_int(s);
	a->actor = sql_get_text(s);
	a->action = sql_get_text(s);
	a->object = sql_get_text(s);
	a->details_json = sql_get_text(s);
	a->hash = sql_get_text(s);
}

struct audit_to {
	catalog_audit_visit *visit;
	void *arg;
};

static int audit_row(const void *to, struct sql_stmt *s, struct err *e)
{
	const struct audit_to *t = to;
	struct catalog_audit a;

	read_record(s, &a);
	return t->visit(t->arg, &a, e);
}

static void when_action(struct sql_query *q, const char *action)
{
	const size_t n = action ? strlen(action) : 0;

	if (n > 0 && action[n - 1] == '*') {
		sql_when(q, "substr(action, 1, ?) = substr(?, 1, ?)");
		sql_arg_int(q, (int64_t)n - 1);
		sql_arg_text(q, action);
		sql_arg_int(q, (int64_t)n - 1);
	} else {
		sql_when_text(q, "action = ?", action);
	}
}

int catalog_audits(struct catalog *c, const struct catalog_audit_filter *filter,
		   catalog_audit_visit *visit, void *arg, struct err *e)
{
	const struct audit_to to = { visit, arg };
	struct sql_query q;

	sql_query(&q, AUDIT_COLUMNS " FROM audit");
	when_action(&q, filter->action);
	if (filter->releases) /* by the words of the index audit_releases */
		sql_when(&q, "action IN ('hold.release', 'hold.released')");
	sql_when_text(&q, "object = ?", filter->object);
	sql_when_time(&q, "at_us >= ?", filter->from);
	sql_when_time(&q, "at_us < ?", filter->to);
	sql_more(&q, " ORDER BY at_us DESC, id DESC");
	sql_limit(&q, filter->limit);
	return catalog_list(c, sql_query_stmt(c->db, &q, e), audit_row, &to, e);
}

/* ---- Verifying
 * --------------------------------------------------------------- */

/* One chain's walk.  prev is the hash of the record before. */
struct walk {
	struct catalog *c;
	struct catalog_audit_state *state;
	struct sql_stmt *exported; /* heads, by count */
	bool has_exported;	   /* the row it is at is still to come */
	int64_t exported_count;
	char exported_hash[CATALOG_HASH_TEXT];
	char chain[33];
	int64_t seq;
	char prev[CATALOG_HASH_TEXT];
};

static int bad(struct walk *w, int64_t seq, const char *why)
{
	struct catalog_audit_state *st = w->state;

	st->sound = false;
	(void)snprintf(st->chain.s, sizeof(st->chain.s), "%s", w->chain);
	st->seq = seq;
	(void)snprintf(st->why, sizeof(st->why), "record %lld %s",
		       (long long)seq, why);
	return 1;
}

static int next_exported(struct walk *w, struct err *e)
{
	const int got = sql_step(w->exported, e);

	if (got < 0)
		return -1;
	w->has_exported = got > 0;
	if (got > 0) {
		w->exported_count = sql_get_int(w->exported);
		(void)snprintf(w->exported_hash, sizeof(w->exported_hash), "%s",
			       sql_get_text(w->exported));
	}
	return 0;
}

static int compare_exported(struct walk *w, const char *hash, struct err *e)
{
	while (w->has_exported && w->exported_count <= w->seq) {
		if (w->exported_count == w->seq &&
		    strcmp(w->exported_hash, hash) != 0)
			return bad(w, w->seq,
				   "is not the one that was exported");
		if (next_exported(w, e) < 0)
			return -1;
	}
	return 0;
}

static int walk_record(struct walk *w, struct sql_stmt *s, struct err *e)
{
	char hash[CATALOG_HASH_TEXT];
	struct catalog_audit a;
	const char *prev;
	int got;

	read_record(s, &a);
	prev = sql_get_text(s);
	if (a.seq != w->seq + 1)
		return a.seq > w->seq ? bad(w, w->seq + 1, "is missing")
				      : bad(w, a.seq, "does not belong here");
	got = hash_record(&a, prev, hash, e);
	if (got < 0)
		return -1;
	if (got == 0 || strcmp(hash, a.hash) != 0)
		return bad(w, a.seq, "was changed after it was written");
	/* This record is whole, so the one before is what changed. */
	if (strcmp(prev, w->prev) != 0)
		return bad(w, a.seq > 1 ? a.seq - 1 : 1,
			   "is not the one that its successor was chained to");
	w->seq = a.seq;
	memcpy(w->prev, hash, sizeof(w->prev));
	w->state->records++;
	return compare_exported(w, hash, e);
}

static int compare_head(struct walk *w, struct err *e)
{
	struct head head;
	const int got = read_head(w->c, w->chain, &head, e);

	if (got < 0)
		return -1;
	if (head.count > w->seq || w->has_exported)
		return bad(w, w->seq + 1, "is missing");
	if (head.count < w->seq)
		return bad(w, head.count + 1, "was not written by the catalog");
	if (strcmp(head.hash, w->prev) != 0)
		return bad(w, w->seq, "is not the one that the head names");
	return 0;
}

/* 0 sound, 1 the first bad record was found, -1. */
static int walk_records(struct walk *w, struct sql_stmt *s, struct err *e)
{
	int got;

	while ((got = sql_step(s, e)) > 0) {
		const int found = walk_record(w, s, e);

		if (found != 0)
			return found;
	}
	return got < 0 ? -1 : compare_head(w, e);
}

static int walk_chain(struct walk *w, struct err *e)
{
	CLEANUP(sql_end) struct sql_stmt *records = NULL;
	CLEANUP(sql_end) struct sql_stmt *exported = NULL;

	records = sql_stmt(w->c->db,
			   AUDIT_COLUMNS ", prev FROM audit WHERE chain = ? "
					 "ORDER BY seq",
			   e);
	if (records == NULL)
		return -1;
	sql_text(records, w->chain);
	exported = sql_stmt(w->c->db,
			    "SELECT head_count, head_hash FROM segments "
			    "WHERE chain = ? AND head_count > 0 "
			    "ORDER BY head_count",
			    e);
	if (exported == NULL)
		return -1;
	sql_text(exported, w->chain);
	w->exported = exported;
	if (next_exported(w, e) < 0)
		return -1;
	return walk_records(w, records, e);
}

static int verify(struct catalog *c, struct catalog_audit_state *st,
		  struct err *e)
{
	CLEANUP(sql_end)
	struct sql_stmt *s = sql_stmt(c->db,
				      "SELECT chain FROM audit_heads UNION "
				      "SELECT chain FROM segments UNION "
				      "SELECT chain FROM audit",
				      e);
	int got;

	if (s == NULL)
		return -1;
	while ((got = sql_step(s, e)) > 0) {
		struct walk w = { .c = c, .state = st, .prev = NO_HASH };
		int found;

		(void)snprintf(w.chain, sizeof(w.chain), "%s", sql_get_text(s));
		found = walk_chain(&w, e);
		if (found != 0)
			return found < 0 ? -1 : 0;
	}
	return got;
}

int catalog_audit_verify(struct catalog *c, struct catalog_audit_state *ret,
			 struct err *e)
{
	struct catalog_audit_state st = { .sound = true };
	const bool own = c->depth == 0 && !c->reading;
	int result;

	/* One moment, or a record added meanwhile would look wrong. */
	if (own && catalog_begin_read(c, e) < 0)
		return -1;
	result = verify(c, &st, e);
	if (own)
		catalog_end_read(c);
	if (result == 0)
		*ret = st;
	return result;
}

#include "service/catalog_inputs.h"

#include <stdlib.h>
#include <string.h>

#include "service/catalog_hash.h"
#include "storage/repository/compress_patch.h"

/* Rows that one text is put together from: more were not written here. */
#define ROWS_MAX 64
/* So many evaluations may depend on one that a lost segment told. */
#define PLACES_MAX 256

/* ---- Getting ------------------------------------------------------------ */

/* From the row that is asked for back to the whole one, which is the last. */
struct chain {
	int64_t ids[ROWS_MAX];
	size_t n;
};

/* 1, or 0 when the rows lead nowhere. */
static int find_chain(struct catalog *c, int64_t id, struct chain *ret,
		      struct err *e)
{
	ret->n = 0;
	while (id != 0) {
		struct sql_stmt *s = sql_stmt(
			c->db, "SELECT base FROM inputs WHERE id = ?", e);
		int got;

		if (ret->n == ROWS_MAX)
			return 0;
		if (s == NULL)
			return -1;
		ret->ids[ret->n++] = id;
		sql_int(s, id);
		/* 0 when it is NULL. */
		got = catalog_one_int(s, &id, e);
		if (got <= 0)
			return got;
	}
	return 1;
}

/* Make *text what the row holds, or what it makes of the text. */
static int step(struct buf *text, const char *body, bool whole, struct err *e)
{
	struct buf made;

	buf_init(&made, CATALOG_WHOLE_MAX);
	if ((whole ? buf_add_str(&made, body, e)
		   : compress_patch_apply(text, body, &made, e)) < 0) {
		buf_done(&made);
		return -1;
	}
	buf_done(text);
	*text = made;
	return 0;
}

/* Whether it is the text that the row's hash is of. */
static bool has_hash(const struct buf *text, const char *hash)
{
	char found[CATALOG_HASH_TEXT];

	catalog_hash(buf_str(text), text->len, found);
	return strcmp(found, hash) == 0;
}

/* In turn: the whole one first.  0 with the state of the last. */
static int put_together(struct catalog *c, const struct chain *h,
			struct buf *text, enum catalog_inputs_state *ret_state,
			struct err *e)
{
	*ret_state = CATALOG_INPUTS_THERE;
	for (size_t i = h->n; i-- > 0;) {
		CLEANUP(sql_end)
		struct sql_stmt *s = sql_stmt(
			c->db, "SELECT body, hash FROM inputs WHERE id = ?", e);
		const char *body;
		struct err why;
		int got;

		if (s == NULL)
			return -1;
		sql_int(s, h->ids[i]);
		got = sql_step(s, e);
		if (got < 0)
			return -1;
		body = got ? sql_get_text(s) : "";
		if (body[0] == '\0') {
			*ret_state = CATALOG_INPUTS_MISSING;
			return 0;
		}
		if (step(text, body, i + 1 == h->n, &why) < 0) {
			*ret_state = CATALOG_INPUTS_DAMAGED;
			if (why.code == ERR_CORRUPT)
				return 0;
			*e = why;
			return -1;
		}
		if (i == 0 && !has_hash(text, sql_get_text(s)))
			*ret_state = CATALOG_INPUTS_DAMAGED;
	}
	return 0;
}

int catalog_inputs_get(struct catalog *c, int64_t id, struct buf *ret,
		       enum catalog_inputs_state *ret_state, struct err *e)
{
	CLEANUP(buf_done) struct buf text;
	struct chain h;
	int got;

	buf_init(&text, CATALOG_WHOLE_MAX);
	got = find_chain(c, id, &h, e);
	if (got == 0)
		*ret_state = CATALOG_INPUTS_DAMAGED;
	if (got > 0)
		got = put_together(c, &h, &text, ret_state, e);
	if (got < 0)
		return -1;
	return *ret_state == CATALOG_INPUTS_THERE
		       ? buf_add(ret, text.data, text.len, e)
		       : 0;
}

/* ---- Putting ------------------------------------------------------------ */

struct putting {
	const char *body;
	char hash[CATALOG_HASH_TEXT];
	int64_t base, place; /* or 0 */
	struct buf patch;
};

/* Whether a repository's own segments tell a row's text. */
static int is_told(struct catalog *c, const struct catalog_evaluation *v,
		   int64_t id, struct err *e)
{
	struct sql_stmt *s = sql_stmt(
		c->db,
		"SELECT i.base IS NULL OR EXISTS (SELECT 1 FROM evaluations v "
		"WHERE v.inputs = i.id AND v.repository = ?) FROM inputs i "
		"WHERE i.id = ?",
		e);
	int64_t told = 0;

	if (s == NULL)
		return -1;
	sql_text(s, v->repository);
	sql_int(s, id);
	return catalog_one_int(s, &told, e) < 0 ? -1 : told != 0;
}

static int make_whole(struct catalog *c, const struct putting *p, int64_t id,
		      struct err *e)
{
	struct sql_stmt *s = sql_stmt(
		c->db,
		"UPDATE inputs SET body = ?, base = NULL, place = 0 "
		"WHERE id = ?",
		e);

	if (s == NULL)
		return -1;
	sql_text(s, p->body);
	sql_int(s, id);
	return sql_run(s, e) < 0 ? -1 : 0;
}

/*
 * 1 and the row that has this text.  It is made whole when it cannot be read,
 * and when it is another repository's: each has to bring its own back, and what
 * it is a patch of is told there.
 */
static int find_known(struct catalog *c, const struct catalog_evaluation *v,
		      const struct putting *p, int64_t *ret_id, struct err *e)
{
	CLEANUP(buf_done) struct buf text;
	struct sql_stmt *s = sql_stmt(
		c->db, "SELECT id FROM inputs WHERE hash = ?", e);
	enum catalog_inputs_state state;
	int got;

	buf_init(&text, CATALOG_WHOLE_MAX);
	if (s == NULL)
		return -1;
	sql_text(s, p->hash);
	got = catalog_one_int(s, ret_id, e);
	if (got <= 0)
		return got;
	if (catalog_inputs_get(c, *ret_id, &text, &state, e) < 0)
		return -1;
	got = is_told(c, v, *ret_id, e);
	if (got < 0)
		return -1;
	if ((!got || state != CATALOG_INPUTS_THERE) &&
	    make_whole(c, p, *ret_id, e) < 0)
		return -1;
	return 1;
}

struct row {
	int64_t id, base, place;
};

static int one_row(struct sql_stmt *s, struct row *ret, struct err *e)
{
	const int got = sql_step(s, e);

	if (got > 0) {
		ret->id = sql_get_int(s);
		ret->base = sql_get_int(s);
		ret->place = sql_get_int(s);
	}
	sql_end(s);
	return got;
}

/* The inputs of the group's evaluation before: 1, or 0. */
static int find_previous(struct catalog *c, const struct catalog_evaluation *v,
			 struct row *ret, struct err *e)
{
	struct sql_stmt *s = sql_stmt(
		c->db,
		"SELECT i.id, i.base, i.place FROM evaluations v JOIN inputs i "
		"ON i.id = v.inputs WHERE v.repository = ? AND v.source = ? "
		"AND v.region = ? ORDER BY v.id DESC LIMIT 1",
		e);

	if (s == NULL)
		return -1;
	sql_text(s, v->repository);
	sql_text(s, v->source);
	sql_text(s, v->region);
	return one_row(s, ret, e);
}

static int find_row(struct catalog *c, int64_t id, struct row *ret,
		    struct err *e)
{
	struct sql_stmt *s = sql_stmt(
		c->db, "SELECT id, base, place FROM inputs WHERE id = ?", e);

	if (s == NULL)
		return -1;
	sql_int(s, id);
	return one_row(s, ret, e);
}

/* Among what the evaluation before is put together from: 1, or 0. */
static int find_base(struct catalog *c, const struct catalog_evaluation *v,
		     struct putting *p, struct err *e)
{
	struct row at = { .id = 0 };
	int got = find_previous(c, v, &at, e);

	if (got <= 0)
		return got;
	if (at.place < 0 || at.place >= PLACES_MAX - 1)
		return 0; /* the next whole text */
	p->place = at.place + 1;
	for (int n = 0; at.place > (p->place & (p->place - 1)); n++) {
		if (at.base == 0 || n == ROWS_MAX)
			return 0;
		got = find_row(c, at.base, &at, e);
		if (got <= 0)
			return got;
	}
	p->base = at.id;
	return 1;
}

/* 1 when the patch makes the text of the base, to the byte. */
static int is_right(const struct putting *p, const struct buf *base,
		    struct err *e)
{
	CLEANUP(buf_done) struct buf made;

	buf_init(&made, CATALOG_WHOLE_MAX);
	if (compress_patch_apply(base, buf_str(&p->patch), &made, e) < 0)
		return -1;
	return strcmp(buf_str(&made), p->body) == 0;
}

static int make_patch(struct catalog *c, struct putting *p, struct err *e)
{
	CLEANUP(buf_done) struct buf base;
	enum catalog_inputs_state state;
	int got;

	buf_init(&base, CATALOG_WHOLE_MAX);
	if (catalog_inputs_get(c, p->base, &base, &state, e) < 0)
		return -1;
	if (state != CATALOG_INPUTS_THERE)
		return 0;
	got = compress_patch_make(&base, p->body, strlen(p->body), &p->patch,
				  e);
	return got <= 0 ? got : is_right(p, &base, e);
}

static int insert(struct catalog *c, const struct putting *p, bool whole,
		  int64_t *ret_id, struct err *e)
{
	struct sql_stmt *s = sql_stmt(
		c->db,
		"INSERT INTO inputs (hash, body, base, place) "
		"VALUES (?, ?, ?, ?)",
		e);

	if (s == NULL)
		return -1;
	sql_text(s, p->hash);
	sql_text(s, whole ? p->body : buf_str(&p->patch));
	sql_id_or_null(s, whole ? 0 : p->base);
	sql_int(s, whole ? 0 : p->place);
	if (sql_run(s, e) < 0)
		return -1;
	*ret_id = sql_last_id(c->db);
	return 0;
}

static int put(struct catalog *c, const struct catalog_evaluation *v,
	       struct putting *p, int64_t *ret_id, struct err *e)
{
	int got = find_known(c, v, p, ret_id, e);
	struct err why = { 0 };

	if (got != 0)
		return got < 0 ? -1 : 0;
	got = find_base(c, v, p, e);
	if (got < 0)
		return -1;
	if (got > 0)
		got = make_patch(c, p, &why);
	/* What no patch can be made of is stored as it is. */
	if (got < 0 && why.code != ERR_CORRUPT) {
		*e = why;
		return -1;
	}
	return insert(c, p, got <= 0, ret_id, e);
}

int catalog_inputs_put(struct catalog *c, const struct catalog_evaluation *v,
		       int64_t *ret_id, struct err *e)
{
	struct putting p = { .body = v->inputs_json ? v->inputs_json : "{}" };
	int got;

	buf_init(&p.patch, CATALOG_WHOLE_MAX);
	catalog_hash(p.body, strlen(p.body), p.hash);
	got = put(c, v, &p, ret_id, e);
	buf_done(&p.patch);
	return got;
}

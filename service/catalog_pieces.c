/*
 * Lines of a segment that are too long for one object: an evaluation tells of
 * every snapshot of its source.
 *
 * Such a line goes out as lines of the kind "piece", each with a stretch of
 * its text, where that begins, the length of it all, and an id drawn for this
 * one writing of it: of an export that was killed some pieces remain, and
 * must not be joined with those of the next.  On the way back pieces are
 * kept in a temporary table, as they come in several objects, until the last
 * that was missing is there.
 */
#include <string.h>

#include "base/buf.h"
#include "service/catalog_internal.h"

/* Bytes of a piece; each may be escaped, which takes two. */
#define PIECE_MAX ((size_t)1 << 20)

/* ---- Out ---------------------------------------------------------------- */

/* How much of line goes into the next piece: whole characters. */
static size_t piece_length(const char *line, size_t n)
{
	size_t k = PIECE_MAX;

	if (n <= PIECE_MAX)
		return n;
	while (k > PIECE_MAX - 4 && ((unsigned char)line[k] & 0xc0) == 0x80)
		k--;
	return k;
}

int catalog_pieces_write(const char *line, size_t n, json_sink *sink, void *arg,
			 struct err *e)
{
	const struct catalog_uid uid = catalog_draw_uid();
	size_t k;

	for (size_t at = 0; at < n; at += k) {
		struct json j;

		k = piece_length(line + at, n - at);
		json_init(&j, sink, arg);
		json_begin_object(&j);
		json_kv_str(&j, "row", "piece");
		json_kv_str(&j, "of", uid.s);
		json_kv_uint(&j, "at", at);
		json_kv_uint(&j, "total", n);
		json_key(&j, "text");
		json_strn(&j, line + at, k);
		json_end_object(&j);
		if (json_finish(&j, e) < 0 || sink(arg, "\n", 1, e) < 0)
			return -1;
	}
	return 0;
}

/* ---- Back --------------------------------------------------------------- */

#define MAKE_TABLE                                                 \
	"CREATE TEMP TABLE IF NOT EXISTS pieces (line TEXT NOT "   \
	"NULL, at INTEGER NOT NULL, bytes INTEGER NOT NULL, text " \
	"TEXT NOT NULL, UNIQUE (line, at)) STRICT"

static int keep(struct catalog *c, const char *piece, size_t n, struct err *e)
{
	struct sql_stmt *s;

	if (sql_exec(c->db, MAKE_TABLE, e) < 0)
		return -1;
	s = sql_stmt(c->db,
		     "INSERT INTO temp.pieces (line, at, bytes, text) SELECT "
		     "?1 ->> 'of', ?1 ->> 'at', "
		     "length(CAST(?1 ->> 'text' AS BLOB)), ?1 ->> 'text' "
		     "WHERE true ON CONFLICT (line, at) DO NOTHING",
		     e);
	if (s == NULL)
		return -1;
	sql_textn(s, piece, n);
	return sql_run(s, e) < 0 ? -1 : 0;
}

/* 1 when nothing is missing of the line that piece is of. */
static int is_whole(struct catalog *c, const char *piece, size_t n,
		    struct err *e)
{
	struct sql_stmt *s = sql_stmt(
		c->db,
		"SELECT sum(bytes) >= ?1 ->> 'total' FROM temp.pieces "
		"WHERE line = ?1 ->> 'of'",
		e);
	int64_t whole = 0;

	if (s == NULL)
		return -1;
	sql_textn(s, piece, n);
	return catalog_one_int(s, &whole, e) < 0 ? -1 : whole != 0;
}

static int join_row(const void *to, struct sql_stmt *s, struct err *e)
{
	struct buf *const *whole = to;

	if (sql_get_uint(s) != (*whole)->len)
		return err_set(e, ERR_CORRUPT, "its pieces do not fit");
	return buf_add_str(*whole, sql_get_text(s), e);
}

static int join(struct catalog *c, const char *piece, size_t n,
		struct buf *whole, struct err *e)
{
	struct sql_stmt *s = sql_stmt(c->db,
				      "SELECT at, text FROM temp.pieces WHERE "
				      "line = ?1 ->> 'of' ORDER BY at",
				      e);

	if (s == NULL)
		return -1;
	sql_textn(s, piece, n);
	return catalog_list(c, s, join_row, &whole, e);
}

static int forget(struct catalog *c, const char *piece, size_t n, struct err *e)
{
	struct sql_stmt *s = sql_stmt(
		c->db, "DELETE FROM temp.pieces WHERE line = ?1 ->> 'of'", e);

	if (s == NULL)
		return -1;
	sql_textn(s, piece, n);
	return sql_run(s, e) < 0 ? -1 : 0;
}

int catalog_pieces_join(struct catalog *c, const char *piece, size_t n,
			struct buf *ret, struct err *e)
{
	int got;

	if (keep(c, piece, n, e) < 0)
		return -1;
	got = is_whole(c, piece, n, e);
	if (got <= 0)
		return got;
	return join(c, piece, n, ret, e) < 0 || forget(c, piece, n, e) < 0 ? -1
									   : 1;
}

#include "service/catalog.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "base/text.h"
#include "service/catalog_internal.h"

/* ---- Opening ---------------------------------------------------------------
 */

static int read_identity(struct catalog *c, struct err *e)
{
	CLEANUP(sql_end)
	struct sql_stmt *s = sql_stmt(c->db, "SELECT uid FROM identity", e);
	int got;

	if (s == NULL)
		return -1;
	got = sql_step(s, e);
	if (got < 0)
		return -1;
	if (got == 0)
		return err_set(e, ERR_CORRUPT, "the catalog has no identity");
	(void)snprintf(c->identity.s, sizeof(c->identity.s), "%s",
		       sql_get_text(s));
	return 0;
}

int catalog_open(const char *path, struct catalog **ret, struct err *e)
{
	CLEANUP(catalog_close) struct catalog *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return err_oom(e);
	if (sql_open(path, &c->db, e) < 0 ||
	    catalog_migrate(c->db, path, migrations_all, migrations_count, e) <
		    0 ||
	    read_identity(c, e) < 0)
		return -1;
	*ret = TAKE(c);
	return 0;
}

int catalog_open_another(const struct catalog *c, struct catalog **ret,
			 struct err *e)
{
	return catalog_open(sql_path(c->db), ret, e);
}

void catalog_set_patience(struct catalog *c, int64_t ms)
{
	sql_set_patience(c->db, ms);
}

void catalog_close(struct catalog *c)
{
	if (c == NULL)
		return;
	sql_close(c->db);
	free(c);
}

struct catalog_uid catalog_identity(const struct catalog *c)
{
	return c->identity;
}

struct catalog_uid catalog_draw_uid(void)
{
	struct catalog_uid u;
	uint8_t raw[16];

	secret_nonce(raw, sizeof(raw));
	text_hex(raw, sizeof(raw), u.s);
	return u;
}

static int expect_ok(const void *to, struct sql_stmt *s, struct err *e)
{
	const char *said = sql_get_text(s);

	(void)to;
	if (strcmp(said, "ok") == 0)
		return 0;
	(void)err_set(e, ERR_CORRUPT, "the catalog is damaged: %s",
		      text_quote_str(said).s);
	return err_hint(e, "move it away, then run `snapctl catalog rebuild`; "
			   "snapshots are not affected");
}

static int dangling(const void *to, struct sql_stmt *s, struct err *e)
{
	const char *table = sql_get_text(s);
	const int64_t row = sql_get_int(s);

	(void)to;
	(void)err_set(e, ERR_CORRUPT,
		      "the catalog is damaged: row %lld of %s refers to a row "
		      "that is missing",
		      (long long)row, table);
	return err_hint(e, "move it away, then run `snapctl catalog rebuild`; "
			   "snapshots are not affected");
}

int catalog_check(struct catalog *c, struct err *e)
{
	const int unused = 0;

	if (catalog_list(c, sql_stmt(c->db, "PRAGMA integrity_check(1)", e),
			 expect_ok, &unused, e) < 0)
		return -1;
	return catalog_list(c, sql_stmt(c->db, "PRAGMA foreign_key_check", e),
			    dangling, &unused, e);
}

/* ---- Transactions
 * ------------------------------------------------------------ */

/*
 * SQLite ends a transaction by itself when the disk is full or memory runs
 * out.  What the callers above still believe to be open must then fail, and
 * must not become a transaction of its own.
 */
static int still_open(const struct catalog *c, struct err *e)
{
	if (c->depth > 0 && (c->torn || sql_autocommit(c->db)))
		return err_set(e, ERR_IO,
			       "the change was given up after a failure");
	return 0;
}

/* What a rollback that failed has left open is given up now. */
static int end_torn(struct catalog *c, struct err *e)
{
	if (c->depth > 0 || c->reading)
		return 0;
	if (!sql_autocommit(c->db) && sql_exec(c->db, "ROLLBACK", e) < 0)
		return -1;
	c->torn = false;
	return 0;
}

int catalog_begin(struct catalog *c, struct err *e)
{
	char script[40] = "BEGIN IMMEDIATE";

	if (c->visiting > 0 || c->reading)
		return err_set(e, ERR_BUG,
			       "the catalog is being changed while it is read");
	if (end_torn(c, e) < 0 || still_open(c, e) < 0)
		return -1;
	if (c->depth > 0)
		(void)snprintf(script, sizeof(script), "SAVEPOINT s%u",
			       c->depth);
	if (sql_exec(c->db, script, e) < 0)
		return -1;
	c->depth++;
	return 0;
}

int catalog_commit(struct catalog *c, struct err *e)
{
	char script[40] = "COMMIT";

	assert(c->depth > 0);
	if (c->depth > 1)
		(void)snprintf(script, sizeof(script), "RELEASE s%u",
			       c->depth - 1);
	if (still_open(c, e) < 0 || sql_exec(c->db, script, e) < 0) {
		catalog_rollback(c);
		return -1;
	}
	c->depth--;
	return 0;
}

void catalog_rollback(struct catalog *c)
{
	struct err ignored;
	char script[60] = "ROLLBACK";

	if (c->depth == 0)
		return;
	c->depth--;
	if (sql_autocommit(c->db))
		return;
	if (c->depth > 0)
		(void)snprintf(script, sizeof(script),
			       "ROLLBACK TO s%u; RELEASE s%u", c->depth,
			       c->depth);
	/* Out of memory, say. What is around it must not be committed then,
	 * and whoever begins the next change ends it first. */
	if (sql_exec(c->db, script, &ignored) < 0)
		c->torn = true;
}

int catalog_finish(struct catalog *c, int result, struct err *e)
{
	if (result < 0) {
		catalog_rollback(c);
		return -1;
	}
	return catalog_commit(c, e) < 0 ? -1 : result;
}

int catalog_begin_read(struct catalog *c, struct err *e)
{
	if (c->depth > 0 || c->reading)
		return err_set(e, ERR_BUG,
			       "a transaction of the catalog is open already");
	if (end_torn(c, e) < 0 || sql_exec(c->db, "BEGIN", e) < 0)
		return -1;
	c->reading = true;
	/* The moment that is seen is that of the first read. */
	if (sql_exec(c->db, "SELECT 1 FROM identity", e) < 0) {
		catalog_end_read(c);
		return -1;
	}
	return 0;
}

void catalog_end_read(struct catalog *c)
{
	struct err ignored;

	if (!c->reading)
		return;
	c->reading = false;
	if (sql_exec(c->db, "ROLLBACK", &ignored) < 0)
		c->torn = true;
}

/* ---- Rows
 * -------------------------------------------------------------------- */

int catalog_each(struct catalog *c, struct sql_stmt *s, catalog_row *row,
		 const void *to, struct err *e)
{
	int seen = 0;
	int got = s == NULL ? -1 : 1;

	c->visiting++;
	while (got > 0) {
		got = sql_step(s, e);
		if (got <= 0)
			break;
		seen = 1;
		switch (row(to, s, e)) {
		case 0:
			break;
		case 1:
			got = 0;
			break;
		default:
			got = -1;
		}
	}
	c->visiting--;
	sql_end(s);
	return got < 0 ? -1 : seen;
}

int catalog_list(struct catalog *c, struct sql_stmt *s, catalog_row *row,
		 const void *to, struct err *e)
{
	return catalog_each(c, s, row, to, e) < 0 ? -1 : 0;
}

int catalog_one_int(struct sql_stmt *s, int64_t *ret, struct err *e)
{
	int got;

	if (s == NULL)
		return -1;
	got = sql_step(s, e);
	if (got > 0)
		*ret = sql_get_int(s);
	sql_end(s);
	return got;
}

void catalog_when_states(struct sql_query *q, unsigned int bits,
			 const char *const *names, size_t n)
{
	const char *mark = "'";

	if (bits == 0)
		return;
	sql_when(q, "state IN (");
	for (size_t i = 0; i < n; i++) {
		if ((bits >> i & 1U) == 0)
			continue;
		sql_more(q, mark);
		sql_more(q, names[i]);
		mark = "', '";
	}
	sql_more(q, mark[1] == '\0' ? ")" : "')");
}

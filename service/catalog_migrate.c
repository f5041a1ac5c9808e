#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "service/catalog_internal.h"

/* "SNCT": tells file(1), and us, whose database this is. */
#define APPLICATION_ID 0x534e4354

struct position {
	const char *path;
	const struct migration *all;
	size_t n;
	size_t applied; /* the first so many are in the file */
};

static int number_of(struct sql *db, const char *text, int64_t *ret,
		     struct err *e)
{
	const int got = catalog_one_int(sql_stmt(db, text, e), ret, e);

	if (got == 0)
		*ret = 0;
	return got < 0 ? -1 : 0;
}

static int ask_whose(struct sql *db, int64_t *id, int64_t *things,
		     struct err *e)
{
	return number_of(db, "PRAGMA application_id", id, e) < 0 ||
			       number_of(db,
					 "SELECT count(*) FROM sqlite_schema",
					 things, e) < 0
		       ? -1
		       : 0;
}

/* Never take over a file that another program wrote.  Asked as of one moment:
 * a rival may make it in between. */
static int expect_ours(struct sql *db, const char *path, struct err *e)
{
	int64_t id, things;

	if (sql_exec(db, "BEGIN", e) < 0)
		return -1;
	if (ask_whose(db, &id, &things, e) < 0) {
		struct err ignored;

		(void)!sql_exec(db, "ROLLBACK", &ignored);
		return -1;
	}
	if (sql_exec(db, "COMMIT", e) < 0)
		return -1;
	if (id == APPLICATION_ID || (id == 0 && things == 0))
		return 0;
	(void)err_set(e, ERR_EXISTS, "%s is the database of another program",
		      text_quote_str(path).s);
	return err_hint(e, "name another file for the catalog");
}

static int compare(struct position *p, int64_t number, const char *name,
		   const char *digest, struct err *e)
{
	const struct migration *m = &p->all[p->applied];

	if (p->applied >= p->n) {
		(void)err_set(e, ERR_NEWER,
			      "the catalog %s was brought to version %lld by a "
			      "newer program; this one knows %zu",
			      text_quote_str(p->path).s, (long long)number,
			      p->n);
		return err_hint(e, "use that program, or start from the copy "
				   "that it kept beside the catalog");
	}
	if (number == m->number && strcmp(digest, m->digest) == 0) {
		p->applied++;
		return 0;
	}
	(void)err_set(e, ERR_CORRUPT,
		      "the catalog %s holds a migration %lld (%s) that is not "
		      "the one of this program",
		      text_quote_str(p->path).s, (long long)number,
		      text_quote_str(name).s);
	return err_hint(e, "use the program that made it, or move it away and "
			   "run `snapctl catalog rebuild`");
}

/* How far the file is, having compared each digest on the way. */
static int find_position(struct sql *db, struct position *p, struct err *e)
{
	CLEANUP(sql_end) struct sql_stmt *s = NULL;
	int64_t exists;
	int got;

	p->applied = 0;
	if (number_of(db,
		      "SELECT count(*) FROM sqlite_schema "
		      "WHERE type = 'table' AND name = 'migrations'",
		      &exists, e) < 0)
		return -1;
	if (exists == 0)
		return 0;
	s = sql_stmt(db,
		     "SELECT number, name, digest FROM migrations "
		     "ORDER BY number",
		     e);
	if (s == NULL)
		return -1;
	while ((got = sql_step(s, e)) > 0) {
		const int64_t number = sql_get_int(s);
		const char *name = sql_get_text(s);
		const char *digest = sql_get_text(s);

		if (compare(p, number, name, digest, e) < 0)
			return -1;
	}
	return got;
}

static int begin_file(struct sql *db, struct err *e)
{
	char script[64];

	(void)snprintf(script, sizeof(script), "PRAGMA application_id = %d",
		       APPLICATION_ID);
	if (sql_exec(db, script, e) < 0)
		return -1;
	return sql_exec(db,
			"CREATE TABLE migrations ("
			" number INTEGER PRIMARY KEY, name TEXT NOT NULL,"
			" digest TEXT NOT NULL, applied_us INTEGER NOT NULL,"
			" program TEXT NOT NULL) STRICT",
			e);
}

static int note(struct sql *db, const struct migration *m, struct err *e)
{
	struct sql_stmt *s = sql_stmt(db,
				      "INSERT INTO migrations VALUES "
				      "(?, ?, ?, ?, ?)",
				      e);

	if (s == NULL)
		return -1;
	sql_int(s, m->number);
	sql_text(s, m->name);
	sql_text(s, m->digest);
	sql_time(s, clock_now());
	sql_text(s, SNAPCTL_VERSION);
	return sql_run(s, e) < 0 ? -1 : 0;
}

static int keep_copy(const struct position *p, struct err *e)
{
	char to[4096];

	if (snprintf(to, sizeof(to), "%s.before-%04d", p->path,
		     p->all[p->applied].number) >= (int)sizeof(to))
		return err_set(e, ERR_USAGE, "the catalog's path is too long");
	return sql_copy(p->path, to, e);
}

/*
 * One migration, in a transaction that the caller began.  Having the write
 * lock, look again: another opener may have come first.  The copy is taken
 * under the lock as well, so nothing written in between is missing from it.
 */
static int apply_next(struct sql *db, struct position *p, bool *copied,
		      struct err *e)
{
	const struct migration *m;

	if (find_position(db, p, e) < 0)
		return -1;
	if (p->applied == p->n)
		return 0;
	m = &p->all[p->applied];
	if (p->applied == 0 && begin_file(db, e) < 0)
		return -1;
	if (p->applied > 0 && !*copied) {
		if (keep_copy(p, e) < 0)
			return -1;
		*copied = true;
	}
	if (sql_exec(db, m->sql, e) < 0 || note(db, m, e) < 0)
		return err_wrap(e, "migration %04d_%s", m->number, m->name);
	p->applied++;
	return 0;
}

int catalog_migrate(struct sql *db, const char *path,
		    const struct migration *all, size_t n, struct err *e)
{
	struct position p = { .path = path, .all = all, .n = n };
	bool copied = false;
	struct err ignored;

	assert(n > 0);
	if (expect_ours(db, path, e) < 0 || sql_use_wal(db, e) < 0 ||
	    find_position(db, &p, e) < 0)
		return -1;
	/* A file that is made now has nothing worth a copy. */
	copied = p.applied == 0;
	while (p.applied < n) {
		if (sql_exec(db, "BEGIN IMMEDIATE", e) < 0)
			return -1;
		if (apply_next(db, &p, &copied, e) < 0 ||
		    sql_exec(db, "COMMIT", e) < 0) {
			if (!sql_autocommit(db) &&
			    sql_exec(db, "ROLLBACK", &ignored) < 0)
				return -1;
			return -1;
		}
	}
	return 0;
}

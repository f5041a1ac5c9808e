/*
 * Statements on the catalog's SQLite file: prepared once, bound and read in
 * order, with SQLite's results turned into struct err.
 *
 * Hidden here: sqlite3.h, its types and result codes; no other file of the
 * service includes it, except sql_vfs.c, through which its writes go.  Only the
 * catalog's own files include this one.
 *
 * A statement is taken from the connection's cache with sql_stmt() and given
 * back with sql_end(); bindings and columns each have a cursor, so a row is
 * written and read in the order of its SQL.  A failed binding is reported by
 * the next sql_step().  Strings given to a binding must live until sql_end().
 * One thread at a time.
 */
#ifndef SERVICE_SQL_H
#define SERVICE_SQL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/instant.h"

struct sql;
struct sql_stmt;

/*
 * Open the file, with the patience below, foreign keys and synchronous=FULL;
 * nothing is written yet.  A missing file is made, 0600.
 */
int sql_open(const char *path, struct sql **ret, struct err *e) NONNULL(1, 2, 3)
	MUST_CHECK;
void sql_close(struct sql *db);
/* As it was given. */
const char *sql_path(const struct sql *db) NONNULL(1) RETURNS_NONNULL;
/* How long another one's writing is waited for from now on. */
#define SQL_PATIENCE_MS 10000
void sql_set_patience(struct sql *db, int64_t ms) NONNULL(1);
DEFINE_CLEANUP(struct sql *, sql_close);

/* Change to write-ahead logging, which the file then remembers. */
int sql_use_wal(struct sql *db, struct err *e) NONNULL(1, 2) MUST_CHECK;

/*
 * Copy what is committed in the file at path to a new file, durably and
 * atomically, also while another connection holds the write lock.
 */
int sql_copy(const char *path, const char *to, struct err *e) NONNULL(1, 2, 3)
	MUST_CHECK;

/* Statements without parameters or results, separated by semicolons. */
int sql_exec(struct sql *db, const char *script, struct err *e) NONNULL(1, 2, 3)
	MUST_CHECK;
/* Whether no transaction is open. */
bool sql_autocommit(const struct sql *db) NONNULL(1);
int64_t sql_last_id(const struct sql *db) NONNULL(1);

/* NULL on failure. */
struct sql_stmt *sql_stmt(struct sql *db, const char *text, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;
void sql_end(struct sql_stmt *s);
DEFINE_CLEANUP(struct sql_stmt *, sql_end);

void sql_int(struct sql_stmt *s, int64_t v) NONNULL(1);
void sql_uint(struct sql_stmt *s, uint64_t v) NONNULL(1);    /* saturates */
void sql_text(struct sql_stmt *s, const char *v) NONNULL(1); /* NULL is "" */
void sql_textn(struct sql_stmt *s, const char *v, size_t n) NONNULL(1, 2);
void sql_json(struct sql_stmt *s, const char *v, const char *otherwise)
	NONNULL(1, 3);
void sql_time(struct sql_stmt *s, struct instant t) NONNULL(1);
void sql_time_or_null(struct sql_stmt *s, struct instant t) NONNULL(1);
void sql_id_or_null(struct sql_stmt *s, int64_t id) NONNULL(1); /* 0: NULL */

/* 1 with a row, 0 at the end, -1. */
int sql_step(struct sql_stmt *s, struct err *e) NONNULL(1, 2) MUST_CHECK;
/* To the end, and give it back: how many rows it changed, or -1. */
int sql_run(struct sql_stmt *s, struct err *e) NONNULL(1, 2) MUST_CHECK;

/* The next column of the row; NULL reads as 0, "" or {0, 0}. */
int64_t sql_get_int(struct sql_stmt *s) NONNULL(1);
uint64_t sql_get_uint(struct sql_stmt *s) NONNULL(1);
bool sql_get_bool(struct sql_stmt *s) NONNULL(1);
const char *sql_get_text(struct sql_stmt *s) NONNULL(1) RETURNS_NONNULL;
struct instant sql_get_time(struct sql_stmt *s) NONNULL(1);

int64_t sql_us(struct instant t);
struct instant sql_instant(int64_t us);

/* A statement whose conditions depend on the filter. */
struct sql_query {
	char text[3000];
	size_t len;
	bool where; /* a condition was written */
	size_t n_args;
	struct {
		const char *s; /* or NULL and n */
		int64_t n;
	} args[24];
};
void sql_query(struct sql_query *q, const char *select) NONNULL(1, 2);
/* Join with AND: a condition with one "?" for each of its arguments. */
void sql_when(struct sql_query *q, const char *condition) NONNULL(1, 2);
void sql_when_int(struct sql_query *q, const char *condition, int64_t v)
	NONNULL(1, 2);
/* Left out when v is NULL. */
void sql_when_text(struct sql_query *q, const char *condition, const char *v)
	NONNULL(1, 2);
/* Left out when t is {0, 0}. */
void sql_when_time(struct sql_query *q, const char *condition, struct instant t)
	NONNULL(1, 2);
/* An argument of the last condition, or of text that was added. */
void sql_arg_text(struct sql_query *q, const char *v) NONNULL(1);
void sql_arg_int(struct sql_query *q, int64_t v) NONNULL(1);
void sql_more(struct sql_query *q, const char *text) NONNULL(1, 2);
/* " LIMIT n" unless n is 0. */
void sql_limit(struct sql_query *q, unsigned int n) NONNULL(1);
struct sql_stmt *sql_query_stmt(struct sql *db, const struct sql_query *q,
				struct err *e) NONNULL(1, 2, 3) MUST_CHECK;

#endif

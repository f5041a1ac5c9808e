#include "service/sql.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/seam.h"
#include "base/text.h"
#include "service/sql_vfs.h"

/*
 * About as many as the catalog has; a filter makes a few more.  When all are
 * taken or a text is in use already (a visitor that lists what is being
 * listed), a statement is prepared for that one use.
 */
#define CACHED 128

struct sql_stmt {
	struct sql *db;
	sqlite3_stmt *stmt;
	char *text;
	uint64_t hash;
	uint64_t used; /* the connection's count when last taken */
	bool taken;
	bool cached;
	int next_arg, next_column;
	int failed; /* a binding's result code */
};

struct sql {
	sqlite3 *handle;
	char *path;
	uint64_t count;
	struct sql_stmt *cache[CACHED];
};

/* ---- Errors -------------------------------------------------------------- */

static int damaged(const struct sql *db, const char *doing, struct err *e)
{
	(void)err_set(e, ERR_CORRUPT, "%s: the catalog %s is damaged", doing,
		      text_quote_str(db->path).s);
	return err_hint(e, "move it away, then run `snapctl catalog rebuild`; "
			   "snapshots are not affected");
}

static int describe(const struct sql *db, int code, const char *doing,
		    struct err *e)
{
	const char *path = db->path;
	const int sys = sqlite3_system_errno(db->handle);

	switch (code & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return err_set(e, ERR_BUSY,
			       "%s: another process is writing the catalog",
			       doing);
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return damaged(db, doing, e);
	case SQLITE_FULL:
		return err_set(e, ERR_FULL, "%s: no space left for %s", doing,
			       text_quote_str(path).s);
	case SQLITE_NOMEM:
		return err_oom(e);
	case SQLITE_CONSTRAINT:
		return err_set(e,
			       code == SQLITE_CONSTRAINT_UNIQUE ||
					       code == SQLITE_CONSTRAINT_TRIGGER
				       ? ERR_EXISTS
				       : ERR_USAGE,
			       "%s: the catalog refuses it: %s", doing,
			       sqlite3_errmsg(db->handle));
	case SQLITE_IOERR:
	case SQLITE_CANTOPEN:
	case SQLITE_READONLY:
	case SQLITE_PERM:
		errno = sys != 0			   ? sys
			: (code & 0xff) == SQLITE_READONLY ? EACCES
							   : EIO;
		return err_sys(e, "%s: %s", doing, text_quote_str(path).s);
	default:
		return err_set(e, ERR_BUG, "%s: %s", doing,
			       sqlite3_errmsg(db->handle));
	}
}

/* ---- Opening --------------------------------------------------------------
 */

/*
 * SQLite makes files readable by all.  An existing file is not opened here:
 * closing any descriptor of it would drop this process's locks on it.
 */
static int make_private(const char *path, struct err *e)
{
	const int fd = seam_open(AT_FDCWD, path,
				 O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0 && errno != EEXIST)
		return err_sys(e, "cannot make the catalog %s",
			       text_quote_str(path).s);
	file_close(fd);
	return 0;
}

static int open_handle(struct sql *db, int flags, struct err *e)
{
	const int code = sqlite3_open_v2(db->path, &db->handle,
					 flags | SQLITE_OPEN_NOMUTEX |
						 SQLITE_OPEN_EXRESCODE,
					 sql_vfs_name());

	if (db->handle == NULL)
		return err_oom(e);
	if (code != SQLITE_OK)
		return describe(db, code, "cannot open the catalog", e);
	(void)sqlite3_busy_timeout(db->handle, SQL_PATIENCE_MS);
	return 0;
}

static int new_connection(const char *path, struct sql **ret, struct err *e)
{
	struct sql *db = calloc(1, sizeof(*db));

	if (db == NULL)
		return err_oom(e);
	db->path = strdup(path);
	if (db->path == NULL) {
		free(db);
		return err_oom(e);
	}
	*ret = db;
	return 0;
}

/*
 * What a nested transaction would have to undo is kept in memory up to this,
 * and given up with it.  SQLite's own limit, 64 KiB, is just too small for
 * what we do within one, and from the first that goes beyond it all the others
 * of the outermost transaction go through a file.  It cannot be much more:
 * it is written to that file at once, and SQLite writes less than 128 KiB.
 */
#define UNDO_BYTES (120 << 10)

static void configure(void)
{
	/* Refused, and of no weight, when somebody began before us. */
	(void)sqlite3_config(SQLITE_CONFIG_STMTJRNL_SPILL, UNDO_BYTES);
}

int sql_open(const char *path, struct sql **ret, struct err *e)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	CLEANUP(sql_close) struct sql *db = NULL;

	(void)pthread_once(&once, configure);
	if (make_private(path, e) < 0 || new_connection(path, &db, e) < 0 ||
	    open_handle(db, SQLITE_OPEN_READWRITE, e) < 0 ||
	    sql_exec(db,
		     "PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL; "
		     "PRAGMA trusted_schema = OFF",
		     e) < 0)
		return -1;
	*ret = TAKE(db);
	return 0;
}

static void forget(struct sql_stmt *s)
{
	if (s == NULL)
		return;
	(void)sqlite3_finalize(s->stmt);
	free(s->text);
	free(s);
}

void sql_set_patience(struct sql *db, int64_t ms)
{
	(void)sqlite3_busy_timeout(db->handle, (int)ms);
}

const char *sql_path(const struct sql *db)
{
	return db->path;
}

void sql_close(struct sql *db)
{
	if (db == NULL)
		return;
	for (size_t i = 0; i < CACHED; i++)
		forget(db->cache[i]);
	(void)sqlite3_close_v2(db->handle);
	free(db->path);
	free(db);
}

/*
 * The change needs the file for itself for a moment, and SQLite does not
 * wait for that: several first openers at once would fail.
 */
int sql_use_wal(struct sql *db, struct err *e)
{
	const int64_t until = clock_boot_ms() + SQL_PATIENCE_MS;
	int code;

	for (;;) {
		code = sqlite3_exec(db->handle, "PRAGMA journal_mode = WAL",
				    NULL, NULL, NULL);
		if ((code & 0xff) != SQLITE_BUSY || clock_boot_ms() > until)
			break;
		clock_sleep_ms(10);
	}
	return code == SQLITE_OK ? 0 : describe(db, code, "cannot open", e);
}

/* ---- Copying --------------------------------------------------------------
 */

static int copy_pages(struct sql *from, struct sql *to, struct err *e)
{
	sqlite3_backup *b = sqlite3_backup_init(to->handle, "main",
						from->handle, "main");
	int code;

	if (b == NULL)
		return describe(to, sqlite3_extended_errcode(to->handle),
				"cannot copy the catalog", e);
	(void)sqlite3_backup_step(b, -1);
	code = sqlite3_backup_finish(b);
	return code == SQLITE_OK
		       ? 0
		       : describe(to, code, "cannot copy the catalog", e);
}

static int copy_to(const char *path, const char *part, struct err *e)
{
	CLEANUP(sql_close) struct sql *from = NULL;
	CLEANUP(sql_close) struct sql *to = NULL;

	if (new_connection(path, &from, e) < 0 ||
	    open_handle(from, SQLITE_OPEN_READONLY, e) < 0 ||
	    sql_open(part, &to, e) < 0)
		return -1;
	return copy_pages(from, to, e);
}

static int sync_folder_of(const char *path, struct err *e)
{
	const char *slash = strrchr(path, '/');
	CLEANUP(file_close) int fd = -1;
	char folder[4096];

	if (slash == NULL)
		(void)snprintf(folder, sizeof(folder), ".");
	else
		(void)snprintf(folder, sizeof(folder), "%.*s",
			       slash == path ? 1 : (int)(slash - path), path);
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || seam_sync_dir(fd) < 0)
		return err_sys(e, "cannot make the copy %s durable",
			       text_quote_str(path).s);
	return 0;
}

/*
 * What a killed predecessor left is of no use, and its journal would be
 * rolled back into the new file.
 */
static int remove_parts(const char *part, struct err *e)
{
	static const char *const suffixes[] = { "-journal", "-wal", "-shm",
						"" };
	char path[4200];

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s%s", part, suffixes[i]);
		if (seam_unlink(AT_FDCWD, path, 0) < 0 && errno != ENOENT)
			return err_sys(e, "cannot remove %s",
				       text_quote_str(path).s);
	}
	return 0;
}

/* The first failure is the one to tell. */
static int give_up(const char *part)
{
	struct err ignored;
	const int removed = remove_parts(part, &ignored);

	(void)removed;
	return -1;
}

int sql_copy(const char *path, const char *to, struct err *e)
{
	char part[4096];

	if (snprintf(part, sizeof(part), "%s.part", to) >= (int)sizeof(part))
		return err_set(e, ERR_USAGE, "the path %s is too long",
			       text_quote_str(to).s);
	/* 1. Begin with nothing.  2. SQLite syncs the copy when it commits
	 * it.  3. Its name appears only now, and 4. survives a power cut. */
	if (remove_parts(part, e) < 0)
		return -1;
	if (copy_to(path, part, e) < 0)
		return give_up(part);
	if (seam_rename(AT_FDCWD, part, AT_FDCWD, to, 0) < 0) {
		(void)err_sys(e, "cannot rename %s", text_quote_str(part).s);
		return give_up(part);
	}
	return sync_folder_of(to, e);
}

/* ---- Statements ------------------------------------------------------------
 */

int sql_exec(struct sql *db, const char *script, struct err *e)
{
	const int code = sqlite3_exec(db->handle, script, NULL, NULL, NULL);

	return code == SQLITE_OK
		       ? 0
		       : describe(db, code, "cannot change the catalog", e);
}

bool sql_autocommit(const struct sql *db)
{
	return sqlite3_get_autocommit(db->handle) != 0;
}

int64_t sql_last_id(const struct sql *db)
{
	return sqlite3_last_insert_rowid(db->handle);
}

static uint64_t hash_of(const char *text)
{
	uint64_t h = 14695981039346656037U; /* FNV-1a, 64 bits */

	for (; *text != '\0'; text++)
		h = (h ^ (unsigned char)*text) * 1099511628211U;
	return h;
}

static struct sql_stmt *prepare(struct sql *db, const char *text, bool keep,
				struct err *e)
{
	struct sql_stmt *s = calloc(1, sizeof(*s));
	int code;

	if (s == NULL)
		goto out_of_memory;
	s->db = db;
	s->cached = keep;
	s->hash = hash_of(text);
	s->text = strdup(text);
	if (s->text == NULL)
		goto out_of_memory;
	code = sqlite3_prepare_v3(db->handle, text, -1,
				  keep ? SQLITE_PREPARE_PERSISTENT : 0,
				  &s->stmt, NULL);
	if (code == SQLITE_OK)
		return s;
	(void)describe(db, code, "cannot ask the catalog", e);
	forget(s);
	return NULL;
out_of_memory:
	forget(s);
	(void)err_oom(e);
	return NULL;
}

/* Where a new statement may stay: an empty place, else the least used. */
static struct sql_stmt **place(struct sql *db)
{
	struct sql_stmt **best = NULL;

	for (size_t i = 0; i < CACHED; i++) {
		if (db->cache[i] == NULL)
			return &db->cache[i];
		if (db->cache[i]->taken)
			continue;
		if (best == NULL || db->cache[i]->used < (*best)->used)
			best = &db->cache[i];
	}
	return best;
}

static struct sql_stmt *find(struct sql *db, const char *text)
{
	const uint64_t hash = hash_of(text);

	for (size_t i = 0; i < CACHED && db->cache[i] != NULL; i++)
		if (db->cache[i]->hash == hash && !db->cache[i]->taken &&
		    strcmp(db->cache[i]->text, text) == 0)
			return db->cache[i];
	return NULL;
}

struct sql_stmt *sql_stmt(struct sql *db, const char *text, struct err *e)
{
	struct sql_stmt *s = find(db, text);
	struct sql_stmt **at = NULL;

	if (s == NULL) {
		at = place(db);
		s = prepare(db, text, at != NULL, e);
		if (s == NULL)
			return NULL;
		if (at != NULL) {
			forget(*at);
			*at = s;
		}
	}
	s->taken = true;
	s->used = ++db->count;
	s->next_arg = 1;
	s->next_column = 0;
	s->failed = SQLITE_OK;
	return s;
}

void sql_end(struct sql_stmt *s)
{
	if (s == NULL)
		return;
	if (!s->cached) {
		forget(s);
		return;
	}
	(void)sqlite3_reset(s->stmt);
	(void)sqlite3_clear_bindings(s->stmt);
	s->taken = false;
}

static void bound(struct sql_stmt *s, int code)
{
	s->next_arg++;
	if (s->failed == SQLITE_OK)
		s->failed = code;
}

void sql_int(struct sql_stmt *s, int64_t v)
{
	bound(s, sqlite3_bind_int64(s->stmt, s->next_arg, v));
}

void sql_uint(struct sql_stmt *s, uint64_t v)
{
	sql_int(s, v > INT64_MAX ? INT64_MAX : (int64_t)v);
}

void sql_text(struct sql_stmt *s, const char *v)
{
	bound(s, sqlite3_bind_text(s->stmt, s->next_arg, v ? v : "", -1,
				   SQLITE_STATIC));
}

void sql_textn(struct sql_stmt *s, const char *v, size_t n)
{
	bound(s, sqlite3_bind_text64(s->stmt, s->next_arg, v, n, SQLITE_STATIC,
				     SQLITE_UTF8));
}

void sql_json(struct sql_stmt *s, const char *v, const char *otherwise)
{
	sql_text(s, v != NULL && v[0] != '\0' ? v : otherwise);
}

int64_t sql_us(struct instant t)
{
	int64_t us;

	if (__builtin_mul_overflow(t.sec, (int64_t)1000000, &us) ||
	    __builtin_add_overflow(us, (int64_t)(t.nsec / 1000), &us))
		return t.sec < 0 ? INT64_MIN : INT64_MAX;
	return us;
}

struct instant sql_instant(int64_t us)
{
	const int64_t rest = us % 1000000;
	const int64_t down = rest < 0 ? 1 : 0;

	return (struct instant){ .sec = us / 1000000 - down,
				 .nsec = (uint32_t)((rest + down * 1000000) *
						    1000) };
}

void sql_time(struct sql_stmt *s, struct instant t)
{
	sql_int(s, sql_us(t));
}

void sql_time_or_null(struct sql_stmt *s, struct instant t)
{
	if (t.sec == 0 && t.nsec == 0)
		bound(s, sqlite3_bind_null(s->stmt, s->next_arg));
	else
		sql_time(s, t);
}

void sql_id_or_null(struct sql_stmt *s, int64_t id)
{
	if (id == 0)
		bound(s, sqlite3_bind_null(s->stmt, s->next_arg));
	else
		sql_int(s, id);
}

int sql_step(struct sql_stmt *s, struct err *e)
{
	int code = s->failed;

	s->next_column = 0;
	if (code == SQLITE_OK)
		code = sqlite3_step(s->stmt);
	if (code == SQLITE_ROW)
		return 1;
	if (code == SQLITE_DONE)
		return 0;
	return describe(s->db, code,
			sqlite3_stmt_readonly(s->stmt)
				? "cannot read the catalog"
				: "cannot change the catalog",
			e);
}

int sql_run(struct sql_stmt *s, struct err *e)
{
	int got;

	do
		got = sql_step(s, e);
	while (got > 0);
	if (got == 0)
		got = sqlite3_changes(s->db->handle);
	sql_end(s);
	return got;
}

int64_t sql_get_int(struct sql_stmt *s)
{
	return sqlite3_column_int64(s->stmt, s->next_column++);
}

uint64_t sql_get_uint(struct sql_stmt *s)
{
	const int64_t v = sql_get_int(s);

	return v < 0 ? 0 : (uint64_t)v;
}

bool sql_get_bool(struct sql_stmt *s)
{
	return sql_get_int(s) != 0;
}

const char *sql_get_text(struct sql_stmt *s)
{
	const unsigned char *t = sqlite3_column_text(s->stmt, s->next_column++);

	return t ? (const char *)t : "";
}

struct instant sql_get_time(struct sql_stmt *s)
{
	return sql_instant(sql_get_int(s));
}

/* ---- Queries with filters ---------------------------------------------------
 */

void sql_more(struct sql_query *q, const char *text)
{
	const size_t n = strlen(text);

	/* Ours alone writes these texts: running over is our mistake. */
	assert(n < sizeof(q->text) - q->len);
	memcpy(q->text + q->len, text, n + 1);
	q->len += n;
}

void sql_query(struct sql_query *q, const char *select)
{
	q->len = 0;
	q->n_args = 0;
	q->where = false;
	sql_more(q, select);
}

void sql_when(struct sql_query *q, const char *condition)
{
	sql_more(q, q->where ? " AND " : " WHERE ");
	q->where = true;
	sql_more(q, condition);
}

void sql_arg_text(struct sql_query *q, const char *v)
{
	assert(q->n_args < sizeof(q->args) / sizeof(q->args[0]));
	q->args[q->n_args].s = v ? v : "";
	q->args[q->n_args++].n = 0;
}

void sql_arg_int(struct sql_query *q, int64_t v)
{
	assert(q->n_args < sizeof(q->args) / sizeof(q->args[0]));
	q->args[q->n_args].s = NULL;
	q->args[q->n_args++].n = v;
}

void sql_when_int(struct sql_query *q, const char *condition, int64_t v)
{
	sql_when(q, condition);
	sql_arg_int(q, v);
}

void sql_when_text(struct sql_query *q, const char *condition, const char *v)
{
	if (v == NULL)
		return;
	sql_when(q, condition);
	sql_arg_text(q, v);
}

void sql_when_time(struct sql_query *q, const char *condition, struct instant t)
{
	if (t.sec != 0 || t.nsec != 0)
		sql_when_int(q, condition, sql_us(t));
}

void sql_limit(struct sql_query *q, unsigned int n)
{
	if (n == 0)
		return;
	sql_more(q, " LIMIT ?");
	sql_arg_int(q, n);
}

struct sql_stmt *sql_query_stmt(struct sql *db, const struct sql_query *q,
				struct err *e)
{
	struct sql_stmt *s = sql_stmt(db, q->text, e);

	if (s == NULL)
		return NULL;
	for (size_t i = 0; i < q->n_args; i++)
		if (q->args[i].s != NULL)
			sql_text(s, q->args[i].s);
		else
			sql_int(s, q->args[i].n);
	return s;
}

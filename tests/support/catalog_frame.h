/*
 * A fresh catalog for each test, and short spellings of what tests do often.
 */
#ifndef TESTS_SUPPORT_CATALOG_FRAME_H
#define TESTS_SUPPORT_CATALOG_FRAME_H

#include <check.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/seam.h"
#include "service/catalog.h"
#include "service/catalog_audit.h"
#include "service/catalog_keep.h"
#include "tests/support/scratch.h"

struct frame {
	struct scratch dir;
	char path[SCRATCH_PATH];
	struct catalog *c;
	struct err e;
};

#define ok(f, call)                                                 \
	do {                                                        \
		if ((call) < 0)                                     \
			ck_abort_msg("%s: %s", #call, (f)->e.text); \
	} while (0)

static inline void frame_open(struct frame *f)
{
	memset(f, 0, sizeof(*f));
	scratch_init(&f->dir);
	(void)scratch_path(&f->dir, "catalog.db", f->path);
	ok(f, catalog_open(f->path, &f->c, &f->e));
}

static inline void frame_done(struct frame *f)
{
	catalog_close(f->c);
	scratch_done(&f->dir);
}
static inline void cleanup_frame_done(struct frame *f)
{
	frame_done(f);
}

/* As another program would: behind the catalog's back. */
static inline void frame_sql(const struct frame *f, const char *script)
{
	sqlite3 *db = NULL;
	char *message = NULL;

	ck_assert_int_eq(sqlite3_open(f->path, &db), SQLITE_OK);
	(void)sqlite3_busy_timeout(db, 5000);
	if (sqlite3_exec(db, script, NULL, NULL, &message) != SQLITE_OK)
		ck_abort_msg("%s: %s", script, message);
	(void)sqlite3_close(db);
}

static inline int64_t frame_count(const struct frame *f, const char *select)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *s = NULL;
	int64_t n;

	ck_assert_int_eq(sqlite3_open(f->path, &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_prepare_v2(db, select, -1, &s, NULL),
			 SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(s), SQLITE_ROW);
	n = sqlite3_column_int64(s, 0);
	(void)sqlite3_finalize(s);
	(void)sqlite3_close(db);
	return n;
}

static inline struct instant at(int64_t sec)
{
	return (struct instant){ .sec = sec };
}

static inline struct catalog_actor by(const char *name, int64_t sec)
{
	return (struct catalog_actor){ .uid = 1000,
				       .name = name,
				       .now = at(sec) };
}

/*
 * Calls before which a step is killed in a unit test: not the catalog's own,
 * which are many, and are SQLite's to survive; scenario_kill_daemon kills runs
 * at those, too.
 */
static inline bool frame_matters(const char *path)
{
	return strstr(path, "/catalog.db") == NULL;
}

/* What visitors saw, as one line: "a b c". */
struct seen {
	char text[4096];
	int n;
};

static inline int see(struct seen *s, const char *what)
{
	const size_t len = strlen(s->text);

	(void)snprintf(s->text + len, sizeof(s->text) - len, "%s%s",
		       len ? " " : "", what);
	s->n++;
	return 0;
}

/* A due occurrence of schedule "nightly" (uid "u1") at that second. */
static inline struct catalog_occurrence occurrence_at(int64_t sec)
{
	return (struct catalog_occurrence){
		.kind = "Schedule",
		.schedule_uid = "u1",
		.schedule = "nightly",
		.schedule_version = 1,
		.repository = "main",
		.sources_json = "[\"web\",\"db\"]",
		.at = at(sec),
		.jittered = at(sec + 5),
		.noted = at(sec + 5),
		.state = CATALOG_DUE,
	};
}

static inline int64_t note_due(struct frame *f, int64_t sec)
{
	const struct catalog_occurrence o = occurrence_at(sec);
	int64_t id = 0;

	ok(f, catalog_occurrence_note(f->c, &o, &id, &f->e));
	return id;
}

static inline int64_t queue_run(struct frame *f, int64_t occurrence,
				int64_t sec)
{
	const struct catalog_run r = { .occurrence = occurrence,
				       .kind = "Schedule",
				       .schedule_uid = "u1",
				       .schedule = "nightly",
				       .repository = "main",
				       .sources_json = "[\"web\",\"db\"]",
				       .queued = at(sec),
				       .requested_by = "snapctld" };
	int64_t id = 0;

	ok(f, catalog_run_queue(f->c, &r, &id, &f->e));
	return id;
}

static inline enum catalog_claim_result claim_run(struct frame *f, int64_t run,
						  int64_t sec)
{
	const struct catalog_claim k = { .run = run,
					 .now = at(sec),
					 .host = "h1",
					 .boot_id = "b1",
					 .pid = 7 };
	enum catalog_claim_result result;

	ok(f, catalog_run_claim(f->c, &k, &result, &f->e));
	return result;
}

static inline int end_run(struct frame *f, int64_t run,
			  enum catalog_run_state state, int64_t sec,
			  enum catalog_occurrence_state outcome)
{
	const struct catalog_run_end end = { .run = run,
					     .state = state,
					     .message = "m",
					     .now = at(sec),
					     .outcome = outcome,
					     .reason = "r" };
	int got = catalog_run_end(f->c, &end, &f->e);

	ok(f, got);
	return got;
}

static inline struct catalog_snapshot snapshot_of(const char *id,
						  const char *source,
						  int64_t sec)
{
	return (struct catalog_snapshot){ .repository = "main",
					  .id = id,
					  .source = source,
					  .type = "files",
					  .host = "h1",
					  .state = "complete",
					  .time = at(sec),
					  .received = at(sec),
					  .receipt = "daemon",
					  .started = at(sec - 9),
					  .finished = at(sec),
					  .files = 3,
					  .bytes = 1000 };
}

#endif

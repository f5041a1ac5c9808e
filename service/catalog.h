/*
 * The catalog: what the service knows, in a database.
 *
 * Hidden here: that it is SQLite, every line of SQL, and how rows are spelled
 * in tables.  Callers see plain structs.  A second database (PostgreSQL) can
 * take the place of these files without a change above this header.
 *
 * Invariants
 * - A function that returned 0 or 1 for a change has made it durable, unless
 *   the caller holds a transaction of its own; then catalog_commit() does.
 *   A function that failed has changed nothing, also within a transaction.
 * - An occurrence has one row for each (schedule uid, instant) and reaches at
 *   most one final state; a run likewise.  Changes of state compare first:
 *   1 "done now", 0 "had happened already" (nothing changed), -1 failed.
 * - A change that a person or a policy makes carries its audit record in the
 *   same transaction; functions that take an actor write it themselves.
 *
 * Manners
 * - One struct catalog serves one thread at a time; open one for each thread
 *   and each process, and never carry one across fork().
 * - Lists are streamed to a visitor: 0 goes on, 1 ends the list (success),
 *   -1 fails it.  What a row points to is valid during that call only.  A
 *   visitor may read from the catalog and must not write to it (ERR_BUG).
 *   A getter visits at most one row and returns 1 or 0 ("there is none").
 * - In rows, strings are never NULL ("" when absent) and members named _json
 *   hold one JSON value.  In what callers pass, NULL means "" or, for JSON,
 *   the value named beside the member.
 * - Instants are kept to the microsecond.  {0, 0} in a member marked "or 0"
 *   means "not (yet)".
 * - A limit of 0 means no limit.
 *
 * Errors everywhere: ERR_BUSY another process holds the catalog for longer
 * than the ten seconds that are waited; ERR_FULL; ERR_IO; ERR_CORRUPT the
 * file is damaged (the hint names `catalog rebuild`).
 *
 * It deliberately does not decide: what is due, what is kept, whether to
 * retry, whether a clock is wrong.  It never touches a repository.
 */
#ifndef SERVICE_CATALOG_H
#define SERVICE_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/instant.h"

struct catalog;

/* 128 random bits as 32 hexadecimal digits. */
struct catalog_uid {
	char s[33];
};

/* Who changes something, and when. */
struct catalog_actor {
	int64_t uid;	  /* of the peer; -1 for the service itself */
	const char *name; /* "root", "snapctld" */
	struct instant now;
};

/* ---- Opening, transactions --------------------------------------------- */

/*
 * Open the catalog at path, making it (0600) or bringing it up to this
 * program's version as needed; before an existing one is changed, a copy is
 * kept beside it ("<path>.before-0002").  ERR_NEWER when it was changed by a
 * newer program; ERR_CORRUPT when an applied migration is not the one that
 * this program knows; ERR_EXISTS when the file belongs to something else.
 */
int catalog_open(const char *path, struct catalog **ret, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;
/* The same catalog once more, for another thread. */
int catalog_open_another(const struct catalog *c, struct catalog **ret,
			 struct err *e) NONNULL(1, 2, 3) MUST_CHECK;
/* How long another process's writing is waited for, from now on; ERR_BUSY. */
#define CATALOG_PATIENCE_MS 10000
void catalog_set_patience(struct catalog *c, int64_t ms) NONNULL(1);
/* NULL-safe.  An open transaction is rolled back. */
void catalog_close(struct catalog *c);
DEFINE_CLEANUP(struct catalog *, catalog_close);

/* Read every page and every reference: ERR_CORRUPT names what is wrong. */
int catalog_check(struct catalog *c, struct err *e) NONNULL(1, 2) MUST_CHECK;

/* This catalog's own identity, drawn when it was made. */
struct catalog_uid catalog_identity(const struct catalog *c) NONNULL(1);

/*
 * Several changes as one.  They nest: an inner rollback undoes the inner
 * changes only.  Between begin and commit no other process can write, so keep
 * it short: nothing that waits belongs in it.  For a dry run, end with
 * catalog_rollback().
 */
int catalog_begin(struct catalog *c, struct err *e) NONNULL(1, 2) MUST_CHECK;
int catalog_commit(struct catalog *c, struct err *e) NONNULL(1, 2) MUST_CHECK;
/* Cannot fail; does nothing when no transaction is open. */
void catalog_rollback(struct catalog *c) NONNULL(1);

/*
 * Several reads of one moment: they see no change made by others until
 * catalog_end_read().  Nothing may be written in between (ERR_BUG).
 */
int catalog_begin_read(struct catalog *c, struct err *e) NONNULL(1, 2)
	MUST_CHECK;
void catalog_end_read(struct catalog *c) NONNULL(1);

/* ---- Resources ---------------------------------------------------------- */

struct catalog_label {
	const char *key, *value;
};
struct catalog_ref {
	const char *kind, *name;
};

/* One parsed and validated document. */
struct catalog_document {
	const char *kind, *name;
	const char *labels_json;	/* {"key":"value"}; NULL: {} */
	const char *spec_json;		/* an object; kept with sorted keys */
	const struct catalog_ref *refs; /* resources that it names */
	size_t n_refs;
	const char *where; /* "FILE:LINE:COLUMN" for errors, or NULL */
};

enum catalog_change { CATALOG_UNCHANGED, CATALOG_CREATED, CATALOG_CHANGED };

struct catalog_applied {
	enum catalog_change change;
	struct catalog_uid uid;
	int64_t version;
	char *difference_json; /* as in struct catalog_version; owned */
};
/* Free what n elements own (not the array). */
void catalog_applied_done(struct catalog_applied *applied, size_t n);

/*
 * Apply n documents, all or none; ret[i] tells what became of docs[i].  A
 * document equal to the current version changes nothing, not even the audit
 * log.  A name that was deleted before begins anew: new uid, version 1.
 * ERR_USAGE for JSON that is not an object or a document given twice;
 * ERR_NOT_FOUND for a reference to what exists neither before nor in docs.
 */
int catalog_apply(struct catalog *c, const struct catalog_document *docs,
		  size_t n, const struct catalog_actor *actor,
		  struct catalog_applied *ret, struct err *e) NONNULL(1, 4, 6)
	MUST_CHECK;

/*
 * ERR_NOT_FOUND with the nearest name; ERR_IN_USE, naming one that refers to
 * it, while it is referred to.  Its versions and its ledger stay.
 */
int catalog_resource_delete(struct catalog *c, const char *kind,
			    const char *name, const struct catalog_actor *actor,
			    struct err *e) NONNULL(1, 2, 3, 4, 5) MUST_CHECK;

struct catalog_resource {
	const char *kind, *name, *uid;
	int64_t version;
	struct instant created, changed;
	const char *labels_json, *spec_json;
};
typedef int catalog_resource_visit(void *arg, const struct catalog_resource *r,
				   struct err *e);

int catalog_resource_get(struct catalog *c, const char *kind, const char *name,
			 catalog_resource_visit *visit, void *arg,
			 struct err *e) NONNULL(1, 2, 3, 4, 6) MUST_CHECK;
/* By uid; also finds deleted ones. */
int catalog_resource_get_uid(struct catalog *c, const char *uid,
			     catalog_resource_visit *visit, void *arg,
			     struct err *e) NONNULL(1, 2, 3, 5) MUST_CHECK;

struct catalog_resource_filter {
	const char *kind;		    /* NULL: all kinds */
	const struct catalog_label *labels; /* all must match; at most 8 */
	size_t n_labels;
};
/* By kind, then name. */
int catalog_resources(struct catalog *c,
		      const struct catalog_resource_filter *filter,
		      catalog_resource_visit *visit, void *arg, struct err *e)
	NONNULL(1, 2, 3, 5) MUST_CHECK;

/* 1 and the existing name of this kind most like name, or 0. */
int catalog_resource_nearest(struct catalog *c, const char *kind,
			     const char *name, char ret_name[256],
			     struct err *e) NONNULL(1, 2, 3, 4, 5) MUST_CHECK;

struct catalog_version {
	const char *uid;
	int64_t version;
	bool deleted; /* this change was the deletion */
	struct instant at;
	int64_t actor_uid;
	const char *actor;
	const char *labels_json, *spec_json;
	/* [{"path":"/spec/cron","from":V,"to":V}]; from or to is left out
	 * where there was or is nothing */
	const char *difference_json;
};
typedef int catalog_version_visit(void *arg, const struct catalog_version *v,
				  struct err *e);
/* Newest first, with those of deleted resources of that name. */
int catalog_versions(struct catalog *c, const char *kind, const char *name,
		     catalog_version_visit *visit, void *arg, struct err *e)
	NONNULL(1, 2, 3, 4, 6) MUST_CHECK;
/* One version of one resource, by uid: for replay. */
int catalog_version_get(struct catalog *c, const char *uid, int64_t version,
			catalog_version_visit *visit, void *arg, struct err *e)
	NONNULL(1, 2, 4, 6) MUST_CHECK;

/* ---- The ledger: occurrences -------------------------------------------- */

enum catalog_occurrence_state {
	CATALOG_DUE,	 /* expected; no attempt began */
	CATALOG_RUNNING, /* from its first attempt, also between retries */
	CATALOG_SUCCEEDED,
	CATALOG_PARTIAL,
	CATALOG_FAILED,
	CATALOG_MISSED,
	CATALOG_SKIPPED,
	CATALOG_SUPERSEDED,
	CATALOG_OCCURRENCE_STATES
};
const char *catalog_occurrence_state_name(enum catalog_occurrence_state s)
	RETURNS_NONNULL;
/* The state of that name, or -1. */
int catalog_occurrence_state_named(const char *name) NONNULL(1);

struct catalog_occurrence {
	int64_t id;		  /* 0 when noting */
	const char *kind;	  /* "Schedule", "Drill", "Maintenance" */
	const char *schedule_uid; /* … of a Repository: Maintenance */
	const char *schedule;	  /* its name */
	int64_t schedule_version;
	const char *repository;
	const char *sources_json; /* ["web-config"]; NULL: [] */
	struct instant at;	  /* before jitter: the key */
	struct instant jittered;  /* when it is to start */
	struct instant noted;	  /* when the row was written */
	enum catalog_occurrence_state state;
	const char *reason; /* of skipped, missed, superseded, failed */
	/* Of the first attempt, or of the ending; 0 before its start. */
	int64_t lateness_ms;
	struct instant started, finished; /* or 0 */
};

/*
 * Write an occurrence down: 1 and its id, or 0 and the id of the row that was
 * there (which is left alone).  The state may be a final one without a run
 * (missed, skipped, superseded); otherwise it is due.
 */
int catalog_occurrence_note(struct catalog *c,
			    const struct catalog_occurrence *o, int64_t *ret_id,
			    struct err *e) NONNULL(1, 2, 3, 4) MUST_CHECK;

/*
 * End one that has no running run: 1, or 0 when it has ended already or has
 * such a run.  A queued run (the next attempt) is cancelled with it.
 */
int catalog_occurrence_end(struct catalog *c, int64_t id,
			   enum catalog_occurrence_state state,
			   const char *reason, struct instant now,
			   struct err *e) NONNULL(1, 6) MUST_CHECK;

typedef int catalog_occurrence_visit(void *arg,
				     const struct catalog_occurrence *o,
				     struct err *e);
int catalog_occurrence_get(struct catalog *c, int64_t id,
			   catalog_occurrence_visit *visit, void *arg,
			   struct err *e) NONNULL(1, 3, 5) MUST_CHECK;

struct catalog_occurrence_filter {
	const char *schedule;	  /* name, or NULL */
	const char *schedule_uid; /* or NULL */
	const char *repository;	  /* or NULL */
	unsigned int states;	  /* bits 1 << state; 0: all */
	bool orphaned; /* only due or running ones without a live run */
	struct instant from, to; /* from <= at < to; or 0 */
	int64_t after_id;	 /* paging: only what follows it; 0: all */
	unsigned int limit;
	bool oldest_first; /* else the latest instants first */
};
int catalog_occurrences(struct catalog *c,
			const struct catalog_occurrence_filter *filter,
			catalog_occurrence_visit *visit, void *arg,
			struct err *e) NONNULL(1, 2, 3, 5) MUST_CHECK;

/* How many in each state, for from <= at < to (0: open). */
int catalog_occurrence_counts(struct catalog *c, const char *schedule_uid,
			      struct instant from, struct instant to,
			      uint64_t ret[CATALOG_OCCURRENCE_STATES],
			      struct err *e) NONNULL(1, 5, 6) MUST_CHECK;

/*
 * Up to where a schedule's occurrences have been written down.  It only moves
 * forward, but for catalog_ledger_rewind().  applied is the first account:
 * nothing before it is due.
 */
struct catalog_account {
	struct instant accounted, applied;
};
/* 1, or 0 when nothing was accounted yet. */
int catalog_account_get(struct catalog *c, const char *schedule_uid,
			struct catalog_account *ret, struct err *e)
	NONNULL(1, 2, 3, 4) MUST_CHECK;
int catalog_account_set(struct catalog *c, const char *schedule_uid,
			struct instant accounted, struct err *e)
	NONNULL(1, 2, 4) MUST_CHECK;

/*
 * The clock was set back to now, and rightly: occurrences of a later instant
 * that no run was made for are forgotten (how many), accounts go back to now,
 * and attempts that wait for a later time need not.  What ran has run, and
 * keeps its instant.  Leaves an audit record when anything was forgotten.
 */
int catalog_ledger_rewind(struct catalog *c, struct instant now,
			  uint64_t *ret_forgotten, struct err *e)
	NONNULL(1, 3, 4) MUST_CHECK;

/* ---- Runs --------------------------------------------------------------- */

enum catalog_run_state {
	CATALOG_RUN_QUEUED,
	CATALOG_RUN_RUNNING,
	CATALOG_RUN_SUCCEEDED,
	CATALOG_RUN_PARTIAL,
	CATALOG_RUN_FAILED,
	CATALOG_RUN_CANCELLED,
	CATALOG_RUN_INTERRUPTED, /* its process is gone and told nothing */
	CATALOG_RUN_STATES
};
const char *catalog_run_state_name(enum catalog_run_state s) RETURNS_NONNULL;
int catalog_run_state_named(const char *name) NONNULL(1);

struct catalog_run {
	int64_t id;
	const char *uid;    /* for segments; drawn by catalog_run_queue() */
	int64_t occurrence; /* 0: ad hoc */
	struct instant occurrence_at; /* its instant, or 0 */
	const char *kind;	      /* "Schedule", "Drill", "Maintenance" */
	const char *schedule_uid, *schedule;
	const char *repository;
	const char *sources_json; /* NULL: [] */
	enum catalog_run_state state;
	int64_t attempt; /* from 1 */
	struct instant queued;
	struct instant not_before;	  /* or 0 */
	struct instant started, finished; /* or 0 */
	struct instant next_retry;	  /* or 0 */
	struct instant cancel_asked;	  /* or 0 */
	const char *host, *boot_id;
	int64_t pid, pid_start; /* 0: not known */
	const char *requested_by;
	const char *message;
	const char *snapshots_json; /* ids it made, from the snapshots table */
};

/*
 * Queue one attempt.  Read from r: occurrence, kind, schedule_uid, schedule,
 * repository, sources_json, not_before, queued, requested_by.  The attempt's
 * number follows the occurrence's last.  ERR_EXISTS when that occurrence has
 * a live run, ERR_USAGE when it has ended.
 */
int catalog_run_queue(struct catalog *c, const struct catalog_run *r,
		      int64_t *ret_id, struct err *e) NONNULL(1, 2, 3, 4)
	MUST_CHECK;
/* The same for a person, with an audit record of who asked. */
int catalog_run_ask(struct catalog *c, const struct catalog_run *r,
		    const struct catalog_actor *actor, int64_t *ret_id,
		    struct err *e) NONNULL(1, 2, 3, 4, 5) MUST_CHECK;

struct catalog_claim {
	int64_t run;
	struct instant now;
	const char *host, *boot_id;
	int64_t pid, pid_start; /* or 0, and catalog_run_process() later */
	/*
	 * How many runs may run at once, this one counted; 0: no limit.
	 * Those of the kind "Maintenance" take only what room others leave:
	 * they count all, and are counted by one another alone.
	 */
	unsigned int repository_max, host_max, schedule_max;
};
enum catalog_claim_result {
	CATALOG_CLAIMED,
	CATALOG_NOT_QUEUED, /* claimed, ended or cancelled already */
	CATALOG_NOT_YET,    /* before its time */
	CATALOG_REPOSITORY_BUSY,
	CATALOG_HOST_BUSY,
	CATALOG_SCHEDULE_BUSY,
};
/*
 * Take a queued run if the limits allow; its occurrence becomes running.  Of
 * any number of claimants exactly one gets CATALOG_CLAIMED.  ERR_NOT_FOUND.
 */
int catalog_run_claim(struct catalog *c, const struct catalog_claim *claim,
		      enum catalog_claim_result *ret, struct err *e)
	NONNULL(1, 2, 3, 4) MUST_CHECK;
/* The process that does a running run; 0 when the run is not running. */
int catalog_run_process(struct catalog *c, int64_t run, int64_t pid,
			int64_t pid_start, struct err *e) NONNULL(1, 5)
	MUST_CHECK;

struct catalog_run_end {
	int64_t run;
	enum catalog_run_state state; /* a final one */
	const char *message;
	struct instant now;
	/* Queue another attempt for then (or 0) … */
	struct instant retry_at;
	/* … else the occurrence ends so, for this reason. */
	enum catalog_occurrence_state outcome;
	const char *reason;
};
/*
 * End a queued or running run, and with it either queue the next attempt or
 * end the occurrence (ad hoc runs have neither): 1, or 0 when it had ended.
 */
int catalog_run_end(struct catalog *c, const struct catalog_run_end *end,
		    struct err *e) NONNULL(1, 2, 3) MUST_CHECK;

/*
 * Ask for an end: a queued run is cancelled at once (its occurrence ends as
 * skipped, or failed after earlier attempts) and 1 returned; of a running one
 * the wish is recorded and 2 returned, for the supervisor to send the signal;
 * 0 when it had ended.  ERR_NOT_FOUND.
 */
int catalog_run_cancel(struct catalog *c, int64_t run,
		       const struct catalog_actor *actor, struct err *e)
	NONNULL(1, 3, 4) MUST_CHECK;

typedef int catalog_run_visit(void *arg, const struct catalog_run *r,
			      struct err *e);
int catalog_run_get(struct catalog *c, int64_t id, catalog_run_visit *visit,
		    void *arg, struct err *e) NONNULL(1, 3, 5) MUST_CHECK;

struct catalog_run_filter {
	const char *schedule;	 /* or NULL */
	const char *source;	 /* runs that name it, or NULL */
	const char *repository;	 /* or NULL */
	const char *kind;	 /* or NULL */
	int64_t occurrence;	 /* or 0 */
	unsigned int states;	 /* bits 1 << state; 0: all */
	struct instant from, to; /* by the moment of queueing; or 0 */
	int64_t after_id;	 /* paging: only what follows it; 0: all */
	unsigned int limit;
	bool oldest_first; /* the queue's order: by not_before, then id */
};
int catalog_runs(struct catalog *c, const struct catalog_run_filter *filter,
		 catalog_run_visit *visit, void *arg, struct err *e)
	NONNULL(1, 2, 3, 5) MUST_CHECK;

/*
 * At start-up: every running run of host for which alive() says 0 becomes
 * interrupted.  alive NULL: none is alive.  Their occurrences stay running:
 * list them with .orphaned and decide.
 */
int catalog_runs_interrupt(struct catalog *c, const char *host,
			   catalog_run_visit *alive, void *arg,
			   struct instant now, struct err *e) NONNULL(1, 2, 6)
	MUST_CHECK;

struct catalog_step {
	int64_t run;
	const char *source; /* "" for the run as a whole */
	const char *step; /* "snapshot", "replicate", "verify", "retain", … */
	const char *region; /* "" where it makes no sense */
	const char *state;  /* "pending", "running", "succeeded", "partial",
			       "failed", "skipped" */
	struct instant started, finished; /* or 0 */
	const char *message;
	const char *details_json; /* NULL: {} */
};
/* Insert or replace the step of that run, source, name and region. */
int catalog_step_put(struct catalog *c, const struct catalog_step *s,
		     struct err *e) NONNULL(1, 2, 3) MUST_CHECK;
typedef int catalog_step_visit(void *arg, const struct catalog_step *s,
			       struct err *e);
/* In the order in which they were first put. */
int catalog_steps(struct catalog *c, int64_t run, catalog_step_visit *visit,
		  void *arg, struct err *e) NONNULL(1, 3, 5) MUST_CHECK;

/* What a run found changed in a source since the snapshot before: drift.h. */
struct catalog_drift {
	int64_t run;
	struct instant finished;
	uint64_t added, removed, changed;
};
/* The last such run of which the snapshot was received after that moment: 1,
 * 0 when none found anything, -1. */
int catalog_drift(struct catalog *c, const char *repository, const char *source,
		  struct instant after, struct catalog_drift *ret,
		  struct err *e) NONNULL(1, 2, 3, 5, 6) MUST_CHECK;

/* ---- The clock ---------------------------------------------------------- */

struct catalog_clock {
	struct instant wall; /* the last pair that was believed … */
	int64_t boot_ms;
	char boot_id[40];	   /* … and its boot */
	struct instant suspicious; /* since when retention stops, or 0 */
	int64_t jump_ms;	   /* by how much wall time jumped */
};
/* 1, or 0 before the first catalog_clock_put(). */
int catalog_clock_get(struct catalog *c, struct catalog_clock *ret,
		      struct err *e) NONNULL(1, 2, 3) MUST_CHECK;
/*
 * Remember the pair.  A suspicion stays until confirmed, whatever is put
 * later; a new one (suspicious not 0) leaves an audit record.
 */
int catalog_clock_put(struct catalog *c, const struct catalog_clock *k,
		      struct err *e) NONNULL(1, 2, 3) MUST_CHECK;
/* The clock is right: 1, or 0 when nothing was suspected. */
int catalog_clock_confirm(struct catalog *c, const struct catalog_actor *actor,
			  struct err *e) NONNULL(1, 2, 3) MUST_CHECK;

#endif

/*
 * What an auditor asks the catalog: was everything done that was expected,
 * what is kept and why, what is protected and what is not, when was a restore
 * last proven.
 *
 * Each report is one list, written row by row as the catalog yields it, so
 * that neither the ledger's length nor the number of snapshots costs memory.
 * The keys of each are told in its operation's help (op_report.c) and are a
 * contract with scripts.  What the ledger and the decisions say is reported as
 * it was written; only report_replay() decides anew, and compares.
 */
#ifndef SERVICE_REPORT_H
#define SERVICE_REPORT_H

#include "base/attr.h"
#include "base/err.h"
#include "base/instant.h"
#include "base/json.h"
#include "service/operation.h"

/* What the report is about: from <= moment < to. */
struct report_window {
	struct instant from; /* {0, 0}: from the beginning */
	struct instant to;
};

/*
 * --from and --to; to defaults to now, from to default_ms before to (0: the
 * beginning).  ERR_USAGE when from is not before to.
 */
int report_window(const struct operation_call *call, int64_t default_ms,
		  struct report_window *ret, struct err *e) NONNULL(1, 3, 4)
	MUST_CHECK;
/* A moment, or null when there is none. */
void report_moment(struct json *j, const char *key, struct instant t)
	NONNULL(1, 2);
/* Milliseconds as seconds, or null. */
void report_seconds(struct json *j, const char *key, int64_t ms, bool known)
	NONNULL(1, 2);

/* One of a decision's reasons, {"rule","bucket"}: "keep-daily 2026-03-29". */
#define REPORT_RULE_TEXT 200
struct json_t;
void report_rule(const struct json_t *reason, char out[REPORT_RULE_TEXT])
	NONNULL(2);
/* All of them, as elements of a list. */
void report_rules(struct json *j, const char *reasons_json) NONNULL(1, 2);

/*
 * The catalog's holds, the caller's to json_decref(); and those that were in
 * force at a moment for a snapshot, as elements of a list: "hold CASE
 * (CUSTODIAN)".
 */
struct report_held {
	const char *repository, *snapshot, *source;
	struct instant at;
};
int report_holds_load(struct catalog *c, struct json_t **ret, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;
void report_holds(struct json *j, const struct json_t *holds,
		  const struct report_held *what) NONNULL(1, 3);
/* Whether there is any. */
bool report_is_held(const struct json_t *holds, const struct report_held *what)
	NONNULL(2);

/* `report retention --as-of`: the decisions of then, made again. */
int report_replay(struct operation_call *call, struct err *e) NONNULL(1, 2)
	MUST_CHECK;

operation_run report_runs;
operation_run report_retention;
operation_run report_coverage;
operation_run report_drills;

#endif

/* The rows of the reports. */
#include "service/op.h"
#include "service/report.h"

#define WINDOW_PARAMS(from_help, to_help)                                     \
	{ .name = "from",                                                     \
	  .kind = PARAM_OPTION,                                               \
	  .type = PARAM_TIME,                                                 \
	  .value = "TIME",                                                    \
	  .help = (from_help) },                                              \
		{ .name = "to",                                               \
		  .kind = PARAM_OPTION,                                       \
		  .type = PARAM_TIME,                                         \
		  .value = "TIME",                                            \
		  .help = (to_help) },                                        \
	{                                                                     \
		.name = "format", .kind = PARAM_OPTION, .type = PARAM_CHOICE, \
		.choices = "text|json|csv", .fallback = "text",               \
		.value = "FORMAT",                                            \
		.help = "a table, JSON, or CSV (RFC 4180) with JSON's keys "  \
			"as its columns"                                      \
	}

static const struct operation_param retention_params[] = {
	{ .name = "source",
	  .kind = PARAM_OPTION,
	  .value = "NAME",
	  .help = "only snapshots of this source" },
	{ .name = "as-of",
	  .kind = PARAM_OPTION,
	  .type = PARAM_TIME,
	  .value = "TIME",
	  .help = "the decisions that were in force at this moment, each made "
		  "again from its stored inputs and compared",
	  .view = "received:time source region snapshot:short "
		  "decision:state reasons:list policy policy_version=version "
		  "replayed:state message +replayed=decisions",
	  .csv = "snapshot repository source region received decision reasons "
		 "policy policy_version since decided replayed "
		 "replay_decision replay_reasons message" },
	WINDOW_PARAMS("received at this moment or later; else from the first",
		      "received before this moment; else before now"),
	{ 0 }
};

static const struct operation_param runs_params[] = {
	{ .name = "schedule",
	  .kind = PARAM_OPTION,
	  .value = "NAME",
	  .help = "only of this schedule or drill" },
	WINDOW_PARAMS("due at this moment or later; else 30 days before --to",
		      "due before this moment; else before now"),
	{ 0 }
};

static const struct operation_param coverage_params[] = {
	WINDOW_PARAMS("count runs due from then on; else 30 days before --to",
		      "as it was at this moment; else as it is now"),
	{ 0 }
};

static const struct operation_param drills_params[] = {
	WINDOW_PARAMS("begun at this moment or later; else a year before --to",
		      "begun before this moment; else before now"),
	{ 0 }
};

const struct operation op_report_rows[] = {
	{ .verb = "report retention",
	  .method = "GET",
	  .route = "/reports/retention",
	  .flags = OPERATION_DAEMON | OPERATION_FORMATS,
	  .params = retention_params,
	  .view = "received:time source snapshot:short state:state "
		  "reasons:list regions:list policy policy_version=version "
		  "deleted:time +state=snapshots",
	  .csv = "snapshot repository source received completeness state "
		 "reasons regions policy policy_version decided deleted "
		 "purged lock_until",
	  .summary = "show of each snapshot why it is kept or was deleted",
	  .help = "One row for each snapshot, the newest first; more than one "
		  "where regions were judged differently. JSON: snapshot, "
		  "repository, source (null: none was named), received, "
		  "completeness, state, reasons, regions, policy, "
		  "policy_version, decided, deleted, purged, lock_until.\n\n"
		  "States: kept; held, locked, waits-for-region (until a region "
		  "whose own rules would keep it has it, too), floor-blocked, "
		  "held-by-budget, "
		  "waiting (for the end of a cooling-off) stay although no "
		  "rule keeps them; expiring goes with the next run; deleted "
		  "can be undeleted; purged is gone for good, from every "
		  "region, since the daemon's own collection saw that.\n\n"
		  "With --as-of: one row for each snapshot and region, with "
		  "the last decision not after that moment. JSON: snapshot, "
		  "repository, source, region, received, decision (keep, "
		  "delete, held, locked, waits-for-region, floor-blocked, "
		  "held-by-budget, waiting), reasons, policy, policy_version, since (when it "
		  "was first decided so), decided (the evaluation that is "
		  "replayed), replayed, replay_decision, replay_reasons, "
		  "message. Replayed is same; differs, when the stored "
		  "inputs give another decision or are not those that were "
		  "stored, and then the exit status is 4; or unknown, when "
		  "the inputs were not stored, as by programs before this "
		  "option, and then it is 3.",
	  .run = report_retention },
	{ .verb = "report runs",
	  .method = "GET",
	  .route = "/reports/runs",
	  .flags = OPERATION_DAEMON | OPERATION_FORMATS,
	  .params = runs_params,
	  .view = "occurrence:time kind schedule sources:list state:state "
		  "lateness_seconds:seconds=late attempts message "
		  "+state=expected",
	  .csv = "occurrence kind schedule sources state lateness_seconds "
		 "started finished attempts message",
	  .summary = "show every expected run and what became of it",
	  .help = "One row for each occurrence, whether or not anything ran, "
		  "the oldest first. JSON: occurrence, kind (Schedule, Drill, "
		  "Maintenance: garbage was collected in the repository that "
		  "schedule names), schedule, "
		  "sources, state (due, running, succeeded, partial, failed, "
		  "missed, skipped, superseded), lateness_seconds, started, "
		  "finished, attempts, message. A stretch of time about which "
		  "a rebuilt catalog does not know comes first, as kind Gap "
		  "in the state unknown.",
	  .run = report_runs },
	{ .verb = "report coverage",
	  .method = "GET",
	  .route = "/reports/coverage",
	  .flags = OPERATION_DAEMON | OPERATION_FORMATS,
	  .params = coverage_params,
	  .view = "source state:state schedule last_success:age=last "
		  "rpo_met:yesno=rpo regions:list last_verified:age=verified "
		  "guarded:yesno last_proven:age=proven message +state=sources",
	  .csv = "source schedule repository state last_success age_seconds "
		 "rpo_seconds rpo_met regions last_verified guarded guards_asked "
		 "last_proven expected succeeded message",
	  .summary = "show what is protected, and what is not",
	  .help = "One row for each source and schedule that takes it. JSON: "
		  "source, schedule, repository, state, last_success (when "
		  "the newest complete snapshot was received), age_seconds, "
		  "rpo_seconds, rpo_met, regions (that hold it), "
		  "last_verified (of the copy that was verified longest ago; "
		  "null when one never was), guarded (whether the stores of "
		  "these regions guard what is locked in them; null: nothing "
		  "is known), guards_asked (when they were asked: of the "
		  "region that was asked longest ago), last_proven (by a drill that "
		  "passed), expected and succeeded (runs), message.\n\n"
		  "States: protected; late, when the newest is older than the "
		  "schedule's rpo; never-succeeded; never-due; suspended; "
		  "unprotected, when no schedule takes it.",
	  .run = report_coverage },
	{ .verb = "report drills",
	  .method = "GET",
	  .route = "/reports/drills",
	  .flags = OPERATION_DAEMON | OPERATION_FORMATS,
	  .params = drills_params,
	  .view = "drill schedule region state:state last_proven:age=proven "
		  "rto_seconds:seconds=rto rto_target_seconds:seconds=target "
		  "rpo_seconds:seconds=rpo rpo_target_seconds:seconds=target "
		  "done failed message +state=drills",
	  .csv = "drill schedule region state last_proven last_done id "
		 "snapshot rto_seconds rto_target_seconds rpo_seconds "
		 "rpo_target_seconds done failed message",
	  .summary = "show when restores were last proven",
	  .help = "One row for each Drill. JSON: drill, schedule, region, "
		  "state (passed, failed, never-run, never-due), last_proven, "
		  "last_done, id (of the newest, for `drill show`), snapshot, "
		  "rto_seconds, rto_target_seconds, rpo_seconds, "
		  "rpo_target_seconds, done and failed (how many in this "
		  "time), message.",
	  .run = report_drills },
	{ 0 },
};

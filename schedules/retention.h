/*
 * Which snapshots a policy's rules keep, and why.
 *
 * One call judges the snapshots of one source; grouping is the caller's, by
 * source and by nothing else.  Only the receipt time counts: a time that the
 * client claimed is not even an argument.  What may still prevent a deletion
 * (holds, locks, floors, budget, cooling-off) is schedules/guard.h's.
 *
 * The rules.  Snapshots are looked at newest first.  A counting rule cuts
 * time into buckets in the policy's zone and keeps one snapshot of each of
 * the N newest buckets that have any: the newest complete one, or the newest
 * when none is complete.
 *
 *	keep-last N		each snapshot is a bucket	bucket "1"
 *	keep-hourly N		hours on the wall		"2026-03-29T14"
 *	keep-daily N		days				"2026-03-29"
 *	keep-weekly N		ISO weeks, Monday first, with
 *				the ISO week's own year		"2026-W13"
 *	keep-monthly N		months				"2026-03"
 *	keep-yearly N		years				"2026"
 *	keep-within D		each snapshot younger than D	"1y2m"
 *	keep-within-hourly … -yearly D	as above, all buckets of what is
 *				younger than D			"2026-W13"
 *	keep-tags T…		has one of these tags		the tag
 *
 * N = -1 keeps all buckets, N = 0 none.  The bucket of keep-last is the
 * snapshot's place, newest first, or "all" where all are kept: a place changes
 * with every new snapshot, and what was decided of all of them with it.  An
 *hour that the wall clock shows twice is one bucket.  "Younger than D" is
 *measured from the newest snapshot that is not in the future, by the calendar
 *(schedules/duration.h), and a snapshot of exactly that age is not younger.
 *
 * A counting rule that has counts left at the oldest snapshot keeps that one,
 * too, so that the history grows backwards until the counts are used; a
 * keep-within-… rule counts as having counts left when the oldest snapshot is
 * younger than D.  Receipt times before 2001 come from a clock that was never
 * set: they are older than everything real, and when there are any, the
 * oldest real snapshot is kept by this clause as if they were not there, so
 * they change no decision about others.
 *
 * A snapshot is kept when any rule keeps it, and each such rule and bucket is
 * a reason.  Snapshots from the future (received after now) are kept, take no
 * slot and change nothing for others.  Ad hoc snapshots (no source named)
 * likewise.  A rule set in which no rule can keep anything (empty, or counts
 * of 0 only) keeps everything.
 *
 * Equal receipt times are ordered by id.  The outcome depends on the inputs
 * only, not on their order; they are plain values, to be stored and replayed.
 */
#ifndef SCHEDULES_RETENTION_H
#define SCHEDULES_RETENTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/instant.h"
#include "schedules/duration.h"
#include "schedules/zone.h"

enum retention_kind {
	RETENTION_LAST,
	RETENTION_HOURLY,
	RETENTION_DAILY,
	RETENTION_WEEKLY,
	RETENTION_MONTHLY,
	RETENTION_YEARLY,
	RETENTION_WITHIN,
	RETENTION_WITHIN_HOURLY,
	RETENTION_WITHIN_DAILY,
	RETENTION_WITHIN_WEEKLY,
	RETENTION_WITHIN_MONTHLY,
	RETENTION_WITHIN_YEARLY,
	RETENTION_TAGS,
	RETENTION_RULES, /* how many kinds of rule there are */
	/* Reasons that are no rule. */
	RETENTION_NO_RULES = RETENTION_RULES,
	RETENTION_FUTURE,
	RETENTION_AD_HOC,
	RETENTION_KINDS
};

/* What stands after the rule's name in a manifest. */
enum retention_value {
	RETENTION_COUNT,    /* an integer, -1 or more */
	RETENTION_DURATION, /* a calendar duration, not zero */
	RETENTION_TAG_LIST, /* a list of strings */
};

struct retention_rule {
	enum retention_kind kind;
	int64_t count;		 /* RETENTION_COUNT */
	struct duration within;	 /* RETENTION_DURATION */
	const char *const *tags; /* RETENTION_TAG_LIST, borrowed */
	size_t n_tags;
};

/* Each kind at most once. */
struct retention_policy {
	struct retention_rule rules[RETENTION_RULES];
	size_t n_rules;
	const struct zone *zone; /* borrowed */
};

/*
 * "keep-daily" and so on: 1 and the kind, or 0.  Reasons that are no rule
 * have names as well ("future"), which this does not find.
 */
int retention_kind_named(const char *name, enum retention_kind *ret)
	NONNULL(1, 2);
const char *retention_kind_name(enum retention_kind kind) RETURNS_NONNULL;
enum retention_value retention_kind_value(enum retention_kind kind);

/*
 * Add a rule; ERR_USAGE when the kind takes another value, the value is out
 * of range, or the policy has such a rule.  Tags are borrowed.
 */
int retention_add_count(struct retention_policy *p, enum retention_kind kind,
			int64_t count, struct err *e) NONNULL(1, 4) MUST_CHECK;
int retention_add_duration(struct retention_policy *p, enum retention_kind kind,
			   const char *text, struct err *e) NONNULL(1, 3, 4)
	MUST_CHECK;
int retention_add_tags(struct retention_policy *p, const char *const *tags,
		       size_t n_tags, struct err *e) NONNULL(1, 4) MUST_CHECK;

struct retention_snapshot {
	const char *id;
	struct instant received;
	bool complete;
	bool ad_hoc;
	const char *const *tags;
	size_t n_tags;
};

/* Why a snapshot is kept. */
struct retention_reason {
	enum retention_kind kind;
	bool oldest;	/* kept because counts were left at the oldest */
	uint32_t rule;	/* its index in the policy, when it is a rule */
	int64_t bucket; /* for retention_bucket_format() */
};

struct retention_decision {
	bool keep;
	uint32_t n_reasons; /* 0 when not kept */
	size_t reasons;	    /* the first one's index in the result */
};

struct retention_result {
	struct retention_decision *decisions; /* in the order of the input */
	size_t *order;			      /* the input, newest first */
	size_t n;
	struct retention_reason *reasons;
	size_t n_reasons;
};

/*
 * Judge n snapshots.  ERR_NO_MEMORY is the only failure.  Cost: a sort (none
 * when they are in order, either way) and a pass for each rule.
 */
int retention_decide(const struct retention_policy *p,
		     const struct retention_snapshot *snapshots, size_t n,
		     struct instant now, struct retention_result *ret,
		     struct err *e) NONNULL(1, 5, 6) MUST_CHECK;
/*
 * The same, of somebody who may have others as well, received by now, that are
 * not known here: what is kept among all of those is kept here, too.  Most
 * rules would do so by themselves; but by the newest of all "younger than D"
 * may leave out a complete snapshot that beats a partial one here, and of a
 * newer one it may even reach further back, as 1 April minus one month is 1
 * March, and 31 March minus one month 3 March.  So this keeps more, where that
 * may be so, and no less.
 */
int retention_might_keep(const struct retention_policy *p,
			 const struct retention_snapshot *snapshots, size_t n,
			 struct instant now, struct retention_result *ret,
			 struct err *e) NONNULL(1, 5, 6) MUST_CHECK;
void retention_result_done(struct retention_result *r) NONNULL(1);

static inline void cleanup_retention_result_done(struct retention_result *r)
{
	retention_result_done(r);
}

/*
 * The bucket's label as in the table above: "" for a reason that is no rule.
 * Tags may be cut to fit.
 */
#define RETENTION_BUCKET_TEXT 96
void retention_bucket_format(const struct retention_policy *p,
			     const struct retention_reason *r,
			     char out[RETENTION_BUCKET_TEXT]) NONNULL(1, 2, 3);

#endif

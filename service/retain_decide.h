/*
 * What the step "retain" decides about one source in one region: the pure part
 * of retain_judge(), on values that are stored with the decisions, so that
 * they can be made again (`report retention --as-of`).
 *
 *	retain_decide()		the rules in force and the former ones, their
 *				floors, the lists of shortenings, what other
 *				regions wait for, the guards
 *	retain_inputs_write()	all that it depends on, as JSON
 *	retain_inputs_read()	the same, back
 *
 * What stands beside the inputs in an evaluation's row is `now`, which is
 * therefore a whole number of microseconds.  A policy's rules are stored as
 * its spec.  Of its time zone only a digest is stored, of the offsets from
 * 1970 to `now`: with tz data that say something else about those years a
 * decision cannot be made again, and retain_zone_digest() tells so.
 */
#ifndef SERVICE_RETAIN_DECIDE_H
#define SERVICE_RETAIN_DECIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/instant.h"
#include "schedules/guard.h"
#include "schedules/shortening.h"
#include "service/arena.h"
#include "service/retain.h"

/* The text of inputs: some hundreds of bytes a snapshot. */
#define RETAIN_INPUTS_MAX ((size_t)256 << 20)

/* A copy of a snapshot, whole, in a region. */
struct retain_verified {
	char region[RESOURCE_NAME_MAX + 1];
	struct guard_copy copy;
};

enum { RETAIN_COPIES_MAX = 64 };

struct retain_input {
	const char *id;
	struct instant received;
	bool complete;
	bool scheduled; /* made by a schedule's run */
	bool held;	/* in any region */
	bool locked;
	bool shown, cancelled; /* on a list that waits, or was cancelled */
	struct instant locked_until;
	struct instant shown_at;
	const char *const *tags;
	size_t n_tags;
	/* In every region; none where no floor was ever in force. */
	const struct retain_verified *copies;
	size_t n_copies;
	/* A bit for each region of the case's `elsewhere`: it lacks it, though
	 * it should get it from here; or it has deleted it. */
	uint32_t lacks, gone;
};

/* Another region that the source is copied to, by whose other rules what is
 * to go here might be kept there: see retain_rules_is_asked(). */
struct retain_elsewhere {
	const char *region;
	const struct retain_rule_sets *rules;
};

enum { RETAIN_ELSEWHERE_MAX = 32 };

struct retain_case {
	struct instant now;
	const struct retain_rule_sets *rules;
	int64_t cooling_off_ms;
	uint64_t present, deleted; /* see guard_budget() */
	bool is_doubtful;	   /* nothing is deleted */
	const struct retain_elsewhere *elsewhere;
	size_t n_elsewhere;
	bool asks_exactly; /* these, as if they had no others: as of before */
	const struct retain_input *v;
	size_t n;
};

struct retain_decision {
	enum guard_verdict verdict;
	enum shortening shortening;
	const char *reasons; /* JSON: [{"rule","bucket"}] */
};

struct retain_decisions {
	struct retain_decision *v; /* in the order of the case */
	size_t n;
	struct buf text; /* the reasons */
};

int retain_decide(const struct retain_case *c, struct retain_decisions *ret,
		  struct err *e) NONNULL(1, 2, 3) MUST_CHECK;
void retain_decisions_done(struct retain_decisions *d) NONNULL(1);
static inline void cleanup_retain_decisions_done(struct retain_decisions *d)
{
	retain_decisions_done(d);
}

/* The catalog's word for a verdict: "keep", "waiting". */
const char *retain_outcome_name(enum guard_verdict v) RETURNS_NONNULL;

#define RETAIN_ZONE_DIGEST 17
void retain_zone_digest(const struct zone *z, struct instant now,
			char out[RETAIN_ZONE_DIGEST]) NONNULL(1, 3);

/* Whether the case's copies matter, and are to be looked up and stored. */
bool retain_has_floor(const struct retain_rule_sets *rules) NONNULL(1);

int retain_inputs_write(const struct retain_case *c, struct buf *out,
			struct err *e) NONNULL(1, 2, 3) MUST_CHECK;

/* A case that was read, and what it consists of. */
struct retain_stored {
	struct retain_case c;
	struct retain_rule_sets rules;
	struct retain_elsewhere elsewhere[RETAIN_ELSEWHERE_MAX];
	struct retain_rule_sets others[RETAIN_ELSEWHERE_MAX]; /* theirs */
	/* A rule's zone says something else now than then. */
	const char *zone_changed; /* its name, or NULL */
	struct arena arena;
};

/*
 * 1; 0 when the inputs were stored by a program that did not store all of
 * them; ERR_CORRUPT when they cannot be read.  Memory: some hundreds of bytes
 * a snapshot.
 */
int retain_inputs_read(const char *inputs, struct instant now,
		       struct retain_stored *ret, struct err *e)
	NONNULL(1, 3, 4) MUST_CHECK;
void retain_stored_done(struct retain_stored *s) NONNULL(1);
static inline void cleanup_retain_stored_done(struct retain_stored *s)
{
	retain_stored_done(s);
}

#endif

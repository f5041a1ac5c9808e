/*
 * The catalog's memory that outlives it: the audit chain, and the segments
 * through which `catalog rebuild` gets everything back.
 *
 * The manners are those of service/catalog.h.
 */
#ifndef SERVICE_CATALOG_AUDIT_H
#define SERVICE_CATALOG_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/instant.h"
#include "base/json.h"
#include "service/catalog.h"

/* ---- Audit -------------------------------------------------------------- */

/*
 * Records form a chain for each catalog identity.  A record's hash is SHA-256
 * of, in this order: "snapctl audit 1\n"; the chain's 32 digits; sequence
 * number, microseconds since 1970 and actor's uid (each 8 bytes, little
 * endian, two's complement); actor, action, object, details (each 4 bytes
 * of length, then the bytes); the 32 bytes of the hash before (zeros for the
 * first).  The head (count and hash) is kept in a row of its own and goes out
 * with every exported segment.
 */
struct catalog_audit {
	const char *chain; /* catalog identity; ignored on input */
	int64_t seq;	   /* from 1; ignored on input */
	struct instant at;
	int64_t actor_uid;
	const char *actor;
	const char *action;	  /* "resource.apply", "hold.add" */
	const char *object;	  /* "Policy/gold" */
	const char *details_json; /* NULL: {} */
	const char *hash;	  /* 64 hexadecimal digits; ignored on input */
};
/* For changes that no function above records. */
int catalog_audit_add(struct catalog *c, const struct catalog_actor *actor,
		      const char *action, const char *object,
		      const char *details_json, struct err *e)
	NONNULL(1, 2, 3, 4, 6) MUST_CHECK;
typedef int catalog_audit_visit(void *arg, const struct catalog_audit *a,
				struct err *e);
struct catalog_audit_filter {
	const char *action; /* or NULL; a trailing "*" matches any ending */
	const char *object; /* or NULL */
	bool releases;	    /* of legal holds, and where they were done */
	struct instant from, to;
	unsigned int limit;
};
/* Newest first. */
int catalog_audits(struct catalog *c, const struct catalog_audit_filter *filter,
		   catalog_audit_visit *visit, void *arg, struct err *e)
	NONNULL(1, 2, 3, 5) MUST_CHECK;

struct catalog_audit_state {
	bool sound;
	uint64_t records; /* found sound, over all chains */
	/* The first bad one: */
	struct catalog_uid chain;
	int64_t seq;
	char why[160]; /* "record 7 was changed after it was written" */
};
/*
 * Walk every chain and compare with its head and with the heads that were
 * exported.  0 also when it is not sound: ret says so.
 */
int catalog_audit_verify(struct catalog *c, struct catalog_audit_state *ret,
			 struct err *e) NONNULL(1, 2, 3) MUST_CHECK;

/* ---- Segments ----------------------------------------------------------- */

/*
 * What a repository needs for `catalog rebuild`: one JSON object a line; the
 * first is {"segment":N,"catalog":UID,"repository":NAME,"made":US,…} with the
 * audit heads, each other one row that is new or changed since the last
 * segment that was acknowledged.  Resources and audit records go to every
 * repository, all else to its own.  Rows name one another by keys that mean
 * the same in every catalog, so importing is idempotent.  No line is longer
 * than 4 MiB: a row that is goes out as several lines, of its pieces.
 */
struct catalog_export {
	const char *repository;
	struct instant now;
	json_sink *sink;
	void *arg;
};
struct catalog_segment {
	int64_t number;	     /* from 1, for this repository */
	int64_t upto;	     /* opaque: what acknowledging covers */
	uint64_t rows;	     /* without the first line */
	uint64_t head_count; /* of this catalog's audit chain … */
	char head_hash[65];  /* … at that moment */
};
int catalog_segment_export(struct catalog *c, const struct catalog_export *x,
			   struct catalog_segment *ret, struct err *e)
	NONNULL(1, 2, 3, 4) MUST_CHECK;
/* The segment is durable in the repository: do not export its rows again. */
int catalog_segment_done(struct catalog *c, const char *repository,
			 const struct catalog_segment *s, struct instant now,
			 struct err *e) NONNULL(1, 2, 3, 5) MUST_CHECK;

struct catalog_imported {
	uint64_t rows;	       /* first lines left out, pieces put together */
	struct instant newest; /* when the newest segment was made, or 0 */
	int64_t number;	       /* the highest of a segment, or 0 */
};
/*
 * Read a segment (or whole lines of one) into this catalog, as one change;
 * *io adds up over calls, so start with zeros.  Pieces of a row may come in
 * several calls, in any order; one of which some are missing is left out.
 * ERR_CORRUPT names the line.
 */
int catalog_segment_import(struct catalog *c, const char *text, size_t n,
			   struct catalog_imported *io, struct err *e)
	NONNULL(1, 2, 4, 5) MUST_CHECK;
/*
 * After the last segment: what was live then is ended as interrupted, nothing
 * between the newest segment and now will be called due, and this gap is
 * recorded, with an audit record.  The next segment's number follows the
 * highest in imported, so that segments are read in the order they were made.
 */
int catalog_rebuilt(struct catalog *c, const char *repository,
		    const struct catalog_imported *imported,
		    const struct catalog_actor *actor, struct err *e)
	NONNULL(1, 2, 3, 4, 5) MUST_CHECK;

struct catalog_gap {
	const char *repository;
	struct instant from, to;
	const char *reason;
};
typedef int catalog_gap_visit(void *arg, const struct catalog_gap *g,
			      struct err *e);
/* Stretches about which the catalog does not know, oldest first. */
int catalog_gaps(struct catalog *c, catalog_gap_visit *visit, void *arg,
		 struct err *e) NONNULL(1, 2, 4) MUST_CHECK;

#endif

/*
 * What the operations on repositories share: which repository, which key,
 * which snapshot and path a user means.
 */
#ifndef SERVICE_ENGINE_H
#define SERVICE_ENGINE_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "service/operation.h"
#include "storage/repository/keyring.h"
#include "storage/repository/repository.h"

/*
 * The key that --key-file or --passphrase-file names.  ERR_USAGE when neither
 * or both are given: there is no default key.
 */
int engine_credential(const struct operation_call *call,
		      struct keyring_credential **ret, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;

/* Open the repository that --repo and the key options name. */
int engine_open(const struct operation_call *call, struct repository **ret,
		struct err *e) NONNULL(1, 2, 3) MUST_CHECK;

/* What --source says where it goes with "latest". */
#define ENGINE_SOURCE_HELP \
	"whose latest snapshot is meant; \"\" means the ad hoc ones"

/*
 * The snapshot that text means (an id, a prefix, "latest"), of --source where
 * the operation has it; a newer partial one is mentioned to the user.
 */
int engine_snapshot(const struct operation_call *call, struct repository *r,
		    const char *text, struct repository_snapshot *ret,
		    struct err *e) NONNULL(1, 2, 3, 4, 5) MUST_CHECK;

/*
 * Whether any snapshot is of that source, also a deleted one: 1; 0 with the
 * nearest name in near, "" when there is none; -1.
 */
int engine_source(struct repository *r, const char *source,
		  char near[MANIFEST_TEXT_MAX + 1], struct err *e)
	NONNULL(1, 2, 3, 4) MUST_CHECK;

/*
 * 0 when there is such a source: in the repository or, where --repo is a name,
 * declared; else ERR_NOT_FOUND with the nearest.  "" is always there.
 */
int engine_expect_source(const struct operation_call *call,
			 struct repository *r, const char *source,
			 struct err *e) NONNULL(1, 2, 3, 4) MUST_CHECK;

/*
 * Split SNAP[:PATH].  snap gets the first part; path the second as trees hold
 * it (absolute, no '/' at the end), or is left empty when there is none or it
 * is "/".
 */
int engine_split(const char *text, struct buf *snap, struct buf *path,
		 struct err *e) NONNULL(1, 2, 3, 4) MUST_CHECK;

/* One snapshot as an object: design §10's keys for `snapshot list`. */
void engine_write_snapshot(struct json *j, const struct repository_snapshot *s)
	NONNULL(1, 2);

/*
 * Everything that is known of one, read in that region (NULL: --repo is a
 * location): the keys, within an object that the caller began.
 */
int engine_write_details(struct operation_call *call, struct repository *r,
			 const struct repository_snapshot *s,
			 const char *region, struct err *e) NONNULL(1, 2, 3, 5)
	MUST_CHECK;

/* Who asks, for the records: "user@host". */
void engine_who(const struct operation_call *call, char *out, size_t n)
	NONNULL(1, 2);

/* This host's name. */
void engine_host(char *out, size_t n) NONNULL(1);

#endif

/*
 * What users declare: repositories, policies, sources, schedules, drills.
 *
 * Each kind is one table of fields (resource_<kind>.c) that drives parsing,
 * validation, `get`, the canonical form and the documentation; to add a field
 * is to add a member here and a row there.  A struct resource is always
 * valid by itself: whatever is wrong with a manifest is said, at its line and
 * column, before one comes to be.  What it refers to is checked by
 * resource_set_check(), because that needs the others.
 *
 * The canonical form is JSON with keys in the table's order and without what
 * equals its default; it is what the catalog stores and compares versions by
 * (which also makes the list of differences), and itself a manifest: reading
 * it gives the same form again.
 *
 * Strings and lists inside belong to the resource.  Optional things that are
 * absent are NULL or 0.  Durations are milliseconds, of clock time; calendar
 * durations occur only in retention rules.
 *
 * Deliberately without effects: nothing here opens a key, a region or the
 * catalog.
 */
#ifndef SERVICE_RESOURCE_H
#define SERVICE_RESOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "schedules/retention.h"
#include "service/problem.h"

#define RESOURCE_API_VERSION "snapctl.io/v1"
#define RESOURCE_NAME_MAX    63

enum resource_kind {
	RESOURCE_REPOSITORY,
	RESOURCE_POLICY,
	RESOURCE_SOURCE,
	RESOURCE_SCHEDULE,
	RESOURCE_DRILL,
	RESOURCE_KINDS
};

/* A list of strings. */
struct resource_texts {
	const char **items;
	size_t count;
};

struct resource_label {
	const char *key;
	const char *value;
};
/* Sorted by key. */
struct resource_labels {
	struct resource_label *items;
	size_t count;
};

/* What holds for a while from each time that its cron expression fires. */
struct resource_bandwidth {
	const char *cron;
	int64_t for_ms;
	uint64_t up_bytes, down_bytes; /* a second; 0: as at other times */
};
struct resource_region {
	const char *name;
	const char *url; /* "file:///…": a plain path was completed */
	bool primary;	 /* exactly one of a repository's regions */
	uint64_t up_bytes, down_bytes;	    /* a second; 0: no limit */
	struct resource_bandwidth *windows; /* in time_zone; the first wins */
	size_t window_count;
	const char *time_zone;
	/* A Policy, whose rules decide what is kept here; NULL: those of the
	 * schedules. */
	const char *policy;
};
struct resource_repository {
	const char *key_file; /* relative to the keys folder, stays inside */
	struct resource_region *regions; /* at least one */
	size_t region_count;
	/* Runs write to another region while the primary is away. */
	bool failover;
	int64_t concurrency;
	int64_t verify_every_ms;
	int64_t gc_every_ms; /* 0: the service collects no garbage */
	uint64_t gc_rewrite_bytes;
};

struct resource_policy {
	const char *time_zone;
	/* As it is taken by retention_decide(), once the caller has set the
	 * zone.  No rules: everything is kept. */
	struct retention_policy retention;
	int64_t floor_snapshots; /* 0: no floor */
	int64_t floor_verified_within_ms;
	int64_t floor_regions;
	int64_t lock_ms; /* 0: none */
};

struct resource_hook {
	const char *when; /* "before", "after", "always" */
	struct resource_texts argv;
	int64_t timeout_ms;
	const char *user; /* NULL: the daemon's */
	/* What messages call it: "the provider's create"; NULL: a hook. */
	const char *called;
};
/* What holds for a command when nothing was said. */
#define RESOURCE_SOURCE_TIMEOUT	 "6h"
#define RESOURCE_SOURCE_MIN_SIZE "1"
struct resource_source {
	const char *type; /* "files", "command", "block", "btrfs", "volume" */
	/* Absolute, without "." and "..": of files; one, of all others. */
	struct resource_texts paths;
	/* Of files, and of volumes that are read as such: */
	struct resource_texts exclude;
	bool text;		    /* configuration: drift is told */
	struct resource_texts mask; /* with it: mask.h's patterns */
	/* Of a volume; "{}" stands for its snapshot's name (volume.h): */
	const char *content; /* "files", "block" */
	struct resource_texts create;
	struct resource_texts locate;
	struct resource_texts remove;
	/* Of a command: */
	struct resource_texts argv;	   /* an absolute path first */
	struct resource_texts environment; /* "KEY=VALUE" */
	const char *user;		   /* NULL: the daemon's */
	/* Also of a block: what its stream is called; NULL: "stdout", or the
	 * last component of its path. */
	const char *file;
	int64_t timeout_ms;
	uint64_t min_size; /* bytes */
	struct resource_hook *hooks;
	size_t hook_count;
	int64_t quiesce_limit_ms;
};

struct resource_blackout {
	const char *cron;
	int64_t for_ms;
};
struct resource_schedule {
	const char *cron;
	const char *time_zone;
	/* Exactly one of these two is not empty. */
	struct resource_labels match_labels;
	struct resource_texts source_names;
	const char *repository;
	const char *policy;		    /* NULL keeps everything */
	struct resource_texts replicate_to; /* regions of the repository */
	int64_t rpo_ms;			    /* 0: no target */
	int64_t start_window_ms;	    /* 0: no limit */
	int64_t jitter_ms;
	const char *catch_up; /* "one", "all", "none" */
	const char *overlap;  /* "skip", "queue" */
	int64_t retries;
	struct resource_blackout *blackouts; /* in time_zone */
	size_t blackout_count;
	bool suspend;
};

struct resource_check {
	const char *type; /* "tree", "command" */
	/* Of a command: */
	struct resource_texts argv;
	const char *user; /* NULL: "nobody" for root, else the daemon's own */
	int64_t timeout_ms;
};
struct resource_drill {
	const char *cron;
	const char *time_zone;
	const char *schedule;
	/* NULL: the repository's primary or, if that is shut away, the best
	 * of those that the schedule copies to. */
	const char *region;
	struct resource_texts without; /* regions that are shut away */
	int64_t rto_ms;		       /* 0: no target */
	struct resource_check *checks; /* at least one: tree, if none named */
	size_t check_count;
};

/* A resource that is named by another. */
struct resource_ref {
	enum resource_kind kind;
	const char *name;
};

struct resource {
	enum resource_kind kind;
	const char *name;
	struct resource_labels labels;
	struct resource_ref *refs;
	size_t ref_count;
	union {
		struct resource_repository repository;
		struct resource_policy policy;
		struct resource_source source;
		struct resource_schedule schedule;
		struct resource_drill drill;
	};
};

/* "Repository"; and back: "Repository", "repository" or "repositories". */
const char *resource_kind_name(enum resource_kind kind) RETURNS_NONNULL;
/* ERR_USAGE, with the nearest kind as hint. */
int resource_kind_named(const char *name, enum resource_kind *ret,
			struct err *e) NONNULL(1, 2, 3) MUST_CHECK;
/* Whether name is [a-z0-9]([-a-z0-9]*[a-z0-9])? of at most 63 bytes. */
bool resource_name_valid(const char *name) NONNULL(1);

/* A resource as it is stored: what the catalog's rows hold. */
struct resource_form {
	const char *kind, *name;
	const char *labels_json; /* NULL: none */
	const char *spec_json;
};

/* Read what was stored.  ERR_CORRUPT when it is not valid (any more). */
int resource_from_form(const struct resource_form *form, struct resource **ret,
		       struct err *e) NONNULL(1, 2, 3) MUST_CHECK;
/* Only for what resource_from_form() returned. */
void resource_free(struct resource *r);
DEFINE_CLEANUP(struct resource *, resource_free);

/*
 * The canonical form, written as values: the whole manifest, and the two
 * parts that are stored.
 */
void resource_write(const struct resource *r, struct json *j) NONNULL(1, 2);
void resource_write_labels(const struct resource *r, struct json *j)
	NONNULL(1, 2);
void resource_write_spec(const struct resource *r, struct json *j)
	NONNULL(1, 2);

/* Whether it holds an argument vector (commands, hooks, checks): such a
 * manifest is taken only from uid 0 or the daemon's own uid. */
bool resource_has_argv(const struct resource *r) NONNULL(1);

/* Whether the selector of a schedule takes this source. */
bool resource_selects(const struct resource *schedule,
		      const struct resource *source) NONNULL(1, 2);
/* The region with this name (NULL: the primary), or NULL. */
const struct resource_region *resource_region(const struct resource *repository,
					      const char *name) NONNULL(1);

/*
 * What exists already, for references: list visits the stored form of every
 * resource of a kind, and passes on what a visit returns unless it is 0.
 */
typedef int resource_visit(void *arg, const struct resource_form *form,
			   struct err *e);
struct resource_world {
	int (*list)(void *arg, enum resource_kind kind, resource_visit *visit,
		    void *visit_arg, struct err *e);
	void *arg;
};

/* The documents of one apply. */
struct resource_set;

int resource_set_new(struct resource_set **ret, struct err *e) NONNULL(1, 2)
	MUST_CHECK;
void resource_set_free(struct resource_set *s);
DEFINE_CLEANUP(struct resource_set *, resource_set_free);
/*
 * Read all documents of a file, which messages call label.  What is wrong is
 * added to problems; 0 also then.  -1 only for want of memory.
 */
int resource_set_add(struct resource_set *s, const char *label,
		     const char *text, size_t n, struct problem_list *problems,
		     struct err *e) NONNULL(1, 2, 3, 5, 6) MUST_CHECK;
/*
 * Check the documents with each other and with what exists, as everything
 * would be after the apply: references, regions, selectors, floors, two
 * documents of one name; also what exists and refers to something that a
 * document changes.  world NULL: nothing exists.  -1 for a failure of world
 * or want of memory; what is wrong is added to problems.
 */
int resource_set_check(const struct resource_set *s,
		       const struct resource_world *world,
		       struct problem_list *problems, struct err *e)
	NONNULL(1, 3, 4) MUST_CHECK;
/* The valid ones, in the order in which they can be created. */
size_t resource_set_count(const struct resource_set *s) NONNULL(1);
const struct resource *resource_set_get(const struct resource_set *s, size_t n)
	NONNULL(1) RETURNS_NONNULL;
/* Where the nth stands in its file. */
struct problem_place resource_set_place(const struct resource_set *s, size_t n)
	NONNULL(1);

/*
 * The fields of a kind as JSON, from the tables:
 * [{"path","type","required","default","doc"}].
 */
void resource_describe(enum resource_kind kind, struct json *j) NONNULL(2);

#endif

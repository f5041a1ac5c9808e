/*
 * Private to service/resource*.c: fields as rows of tables.
 *
 * A table describes one map of a manifest and the struct that it becomes.
 * resource_field.c reads a map by its table, resource_write.c writes the
 * struct back, leaving out what equals its default, and describes it.
 * Members that a manifest does not set hold their fallback, or zero.
 */
#ifndef SERVICE_RESOURCE_INTERNAL_H
#define SERVICE_RESOURCE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/json.h"
#include "service/arena.h"
#include "service/problem.h"
#include "service/resource.h"
#include "service/yaml.h"

/* What readers share.  Problems are added; -1 is for want of memory only. */
struct reading {
	const struct yaml *y;
	struct problem_list *problems;
	struct arena *arena;
	struct err *e;
	/* It was applied once: what newer rules refuse must stay readable, so
	 * that it can be mended. */
	bool stored;
};

enum field_type {
	FIELD_TEXT,   /* const char * */
	FIELD_TEXTS,  /* struct resource_texts */
	FIELD_BOOL,   /* bool */
	FIELD_COUNT,  /* int64_t within min … max */
	FIELD_CLOCK,  /* int64_t, ms within min … max */
	FIELD_RATE,   /* uint64_t, bytes a second */
	FIELD_SIZE,   /* uint64_t, bytes */
	FIELD_LABELS, /* struct resource_labels */
	/* A map by .fields, members of the same struct.  Left out, its members
	 * are zero; or, with the fallback "{}", what the empty map says. */
	FIELD_MAP,
	FIELD_MAPS,  /* a list of maps: .fields, .size; pointer and count */
	FIELD_RULES, /* struct retention_policy */
};

/*
 * Whether a text will do; it may put a better spelling in its place.  When
 * not, it has added the problem.
 */
typedef int field_check(struct reading *r, const struct yaml_node *node,
			const char **text);

struct field {
	const char *key;
	enum field_type type;
	bool required;
	size_t offset;	     /* of the member */
	size_t count_offset; /* FIELD_MAPS: of the count, a size_t */
	const char *fallback;
	field_check *check;  /* FIELD_TEXT, and each of FIELD_TEXTS */
	const char *choices; /* "one|all|none" */
	int64_t min, max;
	const struct field *fields; /* ends with key = NULL */
	size_t size;
	/* Where equality with the default is no matter of one member. */
	bool (*is_default)(const void *base);
	const char *doc;
};

/* One kind of resource. */
struct resource_type {
	const char *name;   /* "Repository" */
	const char *plural; /* "repositories" */
	const struct field *fields;
	/* What the table cannot say; sets what follows from other members. */
	int (*finish)(struct reading *r, struct resource *res,
		      const struct yaml_node *spec);
};

extern const struct resource_type resource_repository_type;
extern const struct resource_type resource_policy_type;
extern const struct resource_type resource_source_type;
extern const struct resource_type resource_schedule_type;
extern const struct resource_type resource_drill_type;
const struct resource_type *resource_type_of(enum resource_kind kind)
	RETURNS_NONNULL;

/* Read map into base; where is what messages call it ("spec.floor"). */
int resource_field_read(struct reading *r, const struct field *fields,
			const struct yaml_node *map, const char *where,
			void *base) NONNULL(1, 2, 3, 4, 5) MUST_CHECK;
int resource_field_read_labels(struct reading *r, const struct yaml_node *map,
			       struct resource_labels *ret) NONNULL(1, 2, 3)
	MUST_CHECK;
/* Add the problem "found … , expected <expected>". */
void resource_field_expected(struct reading *r, const struct yaml_node *node,
			     const char *expected) NONNULL(1, 2, 3);

field_check resource_field_check_name;
field_check resource_field_check_cron;
field_check resource_field_check_zone;
field_check resource_field_check_text; /* not empty */

/* In resource_policy.c: FIELD_RULES. */
int resource_field_read_rules(struct reading *r, const struct yaml_node *map,
			      struct retention_policy *ret) NONNULL(1, 2, 3)
	MUST_CHECK;
void resource_field_write_rules(const struct retention_policy *p,
				struct json *j) NONNULL(1, 2);

/* What fallback means, for the members that are numbers. */
int64_t resource_field_fallback(const struct field *f) NONNULL(1);

/*
 * Read one resource: base is zeroed.  labels may be NULL.  Whether it is
 * valid the caller tells by the problems that were added.
 */
int resource_read(struct reading *r, enum resource_kind kind,
		  const struct yaml_node *labels, const struct yaml_node *spec,
		  struct resource *base) NONNULL(1, 4, 5) MUST_CHECK;

/* A zeroed resource that owns the arena its parts are put into. */
int resource_new(struct resource **ret, struct arena **ret_arena, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;

#endif

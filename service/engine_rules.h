/*
 * What a region of a declared repository would let go of by its rules, for
 * commands that copy into it: the daemon tells the rules (`region rules`), and
 * the command asks them about what it sees in the regions itself.
 */
#ifndef SERVICE_ENGINE_RULES_H
#define SERVICE_ENGINE_RULES_H

#include "base/attr.h"
#include "base/err.h"
#include "service/operation.h"
#include "service/resource.h"
#include "service/retain_decide.h"
#include "service/unwanted.h"

struct engine_rules {
	const struct operation_call *call;
	const struct resource *named;
	const struct resource_region *region;
	struct retain_stored stored; /* of the source that was asked last */
};

/* named, region: NULL where there is none, so that there are no rules. */
void engine_rules_init(struct engine_rules *x,
		       const struct operation_call *call,
		       const struct resource *named,
		       const struct resource_region *region) NONNULL(1, 2);
void engine_rules_done(struct engine_rules *x) NONNULL(1);
static inline void cleanup_engine_rules_done(struct engine_rules *x)
{
	engine_rules_done(x);
}
/* An unwanted_rules(); arg: the struct.  Rules of a time zone of which this
 * machine knows something else are as good as none: all is kept. */
int engine_rules_load(void *arg, const char *source,
		      const struct retain_rule_sets **ret, struct err *e)
	NONNULL(1, 2, 3, 4) MUST_CHECK;

/*
 * Whether regions of it keep, or ever kept, by policies of their own: what
 * replicate_options call `apart`.  Of none that is named (NULL) nothing is
 * known.
 */
int engine_rules_apart(const struct operation_call *call,
		       const struct resource *named, bool *ret, struct err *e)
	NONNULL(1, 3, 4) MUST_CHECK;

/* The region that a location is of, or NULL. */
const struct resource_region *engine_rules_region(const struct resource *named,
						  const char *url) NONNULL(2);

/*
 * Of what n regions have, and `to`, which is that region, neither has nor has
 * deleted: what it need not get, in ascending order (the caller frees it).
 * None where there are no rules, or no region has a policy of its own.
 */
int engine_rules_unwanted(struct engine_rules *x,
			  struct repository *const *from, size_t n,
			  struct repository *to, struct object_id **ret,
			  size_t *ret_n, struct err *e) NONNULL(1, 4, 5, 6, 7)
	MUST_CHECK;

#endif

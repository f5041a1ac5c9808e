/*
 * A story told again and again with each call to the system failing in turn,
 * or moving half of its bytes, or with each allocation failing, those of
 * libraries included.  Each time no descriptor stays open, no allocation is
 * lost, and the story's own judge has its say.
 *
 * Not all of them, but about as many as are asked for, unless
 * $SNAPCTL_TEST_FULL is set; with $SNAPCTL_TEST_PART as well, "2/3", the second
 * of every three.  With $SNAPCTL_TEST_SHOW judges may say more.
 */
#ifndef TESTS_SUPPORT_FAULT_STORY_H
#define TESTS_SUPPORT_FAULT_STORY_H

#include <stdbool.h>

#include "base/attr.h"
#include "base/err.h"

/* One telling. */
struct telling {
	const char *when; /* for messages: the story, the call, the failure */
	const char *what; /* the function that failed; NULL: it never came */
	int sys;	  /* with that errno; 0: it did not fail */
	unsigned int n;	  /* the how manieth it was to be */
	bool must_work;	  /* nothing failed: at most bytes came by half */
};

struct fault_story {
	const char *name;
	/* The world as it is before each telling; nothing fails meanwhile. */
	void (*begin)(void);
	/* Makes no assertion, which would allocate as well. */
	void (*tell)(void);
	void (*judge)(const struct telling *f);
};

/*
 * A telling that did not go well says why: what e says, or (NULL: it is done
 * but for something) said, has what failed in the words of base/err.h, and its
 * code is that of the cause.  Damage is what only EIO may come to be: no lack
 * of room, of memory or of descriptors ever says anything of what is stored.
 */
void fault_expect_cause(const struct telling *x, const struct err *e,
			const char *said, bool damage) NONNULL(1, 3);

/*
 * How many calls failed, or allocations; of a part, times the parts, and
 * UINT_MAX where its number is beyond those of the story.  Each kind of call
 * that can fail by half does so in some tellings.
 */
unsigned int fault_each_call(const struct fault_story *s, unsigned int tellings)
	NONNULL(1);
unsigned int fault_each_allocation(const struct fault_story *s,
				   unsigned int tellings) NONNULL(1);

#endif

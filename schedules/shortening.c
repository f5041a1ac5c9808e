#include "schedules/shortening.h"

static bool has_passed(struct instant since, int64_t ms, struct instant now)
{
	return instant_compare(now, instant_add_ms(since, ms)) >= 0;
}

enum shortening shortening_decide(const struct shortening_change *c,
				  const struct shortening_snapshot *s,
				  struct instant now)
{
	if (s->kept)
		return s->shown ? SHORTENING_FORGET : SHORTENING_NONE;
	if (s->shown)
		return has_passed(s->shown_at, c->cooling_off_ms, now)
			       ? SHORTENING_RIPE
			       : SHORTENING_WAITING;
	if (c->any && s->kept_before &&
	    !has_passed(c->changed, c->cooling_off_ms, now))
		return SHORTENING_SHOW;
	return SHORTENING_NONE;
}

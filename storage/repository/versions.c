#include "storage/repository/versions.h"

#include "storage/repository/object.h"

/* Whoever puts more on top of one object is noticed otherwise. */
#define VERSIONS_MAX 1000

static bool is_alien(const struct err *why)
{
	return object_is_damage(why) || why->code == ERR_NEWER ||
	       why->code == ERR_BAD_KEY;
}

/* 1 and what attempt said, 0 when none opens, -1 when asking failed. */
static int oldest(struct store *s, const char *name, versions_attempt *attempt,
		  void *arg, int *ret, struct err *e)
{
	for (unsigned int n = 1; n <= VERSIONS_MAX; n++) {
		const int there = store_turn(s, name, n, e);

		if (there <= 0)
			return there;
		*ret = attempt(arg, e);
		if (*ret >= 0 || !is_alien(e))
			return 1;
	}
	return 0;
}

int versions_open(struct store *s, const char *name, versions_attempt *attempt,
		  void *arg, struct err *e)
{
	struct err why = { 0 };
	struct err ignored = { 0 };
	int r = -1;
	int found;

	if (!store_has_several(s, name) || !object_is_guarded(name)) {
		r = attempt(arg, e);
		if (r >= 0 || !is_alien(e) || !store_keeps_versions(s))
			return r;
		why = *e;
	}
	found = oldest(s, name, attempt, arg, &r, e);
	if (found > 0) {
		if (r >= 0)
			err_clear(e);
		return r;
	}
	/* Who could not ask does not know that it is damaged, nor what the
	 * newest is; what went wrong is in *e. */
	if (store_turn(s, name, 0, found < 0 ? &ignored : e) < 0 || found < 0)
		return -1;
	if (why.code)
		*e = why;
	return why.code ? -1 : attempt(arg, e);
}

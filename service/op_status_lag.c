/* How old the newest copies of a source are, in each region that is to have
 * it, against the target of its schedule. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/catalog_keep.h"
#include "service/op_status_internal.h"

/* The regions that a schedule writes to: the primary, and its replicateTo. */
struct places {
	struct instant newest; /* anywhere */
	const char *primary;   /* or NULL */
	const char **names;
	struct instant *in; /* of each */
	size_t n;
};

/* The primary, where a hand put the only copies elsewhere, lacks nothing that
 * a schedule owes it. */
static bool counts(const struct places *p, size_t i)
{
	return p->in[i].sec || p->names[i] != p->primary;
}

static int read_newest(void *arg, const struct catalog_newest *n,
		       struct err *e UNUSED)
{
	struct places *p = arg;

	if (instant_compare(n->received, p->newest) > 0)
		p->newest = n->received;
	for (size_t i = 0; i < p->n; i++)
		if (strcmp(n->region, p->names[i]) == 0)
			p->in[i] = n->received;
	return 0;
}

static void add_place(struct places *p, const char *name)
{
	for (size_t i = 0; i < p->n; i++)
		if (strcmp(p->names[i], name) == 0)
			return;
	p->names[p->n++] = name;
}

static int find_places(const struct status *s,
		       const struct timetable_entry *entry, struct places *ret,
		       struct err *e)
{
	const struct resource_texts *to =
		&entry->resource->schedule.replicate_to;
	const struct timetable_entry *about = timetable_named(
		s->timetable, "Maintenance", entry->repository);
	const struct resource_region *primary =
		about && about->resource
			? resource_region(about->resource, NULL)
			: NULL;

	ret->names = calloc(to->count + 1, sizeof(char *));
	ret->in = calloc(to->count + 1, sizeof(*ret->in));
	if (!ret->names || !ret->in)
		return err_oom(e);
	if (primary) {
		ret->primary = primary->name;
		add_place(ret, primary->name);
	}
	for (size_t i = 0; i < to->count; i++)
		add_place(ret, to->items[i]);
	return 0;
}

/* ---- Alarms ------------------------------------------------------------- */

static bool is_late(const struct status *s, const struct timetable_entry *entry,
		    struct instant copy)
{
	return entry->rpo_ms &&
	       instant_ms_between(copy, s->call->now) > entry->rpo_ms;
}

/* region NULL: none has a newer one. */
static void tell_late(struct status *s, const struct timetable_entry *entry,
		      const char *source, const char *region,
		      struct instant copy)
{
	char age[INSTANT_TEXT];
	char rpo[INSTANT_TEXT];
	char text[300];

	instant_duration_format(
		instant_ms_between(copy, s->call->now) / 60000 * 60000, age);
	instant_duration_format(entry->rpo_ms, rpo);
	if (copy.sec == 0)
		(void)snprintf(text, sizeof(text),
			       "%s: region %s has no copy, %s is the target",
			       source, region, rpo);
	else
		(void)snprintf(
			text, sizeof(text),
			"%s: the newest %s%s is %s old, %s is the target",
			source, region ? "copy in region " : "snapshot",
			region ? region : "", age, rpo);
	op_status_problem(s, text, "\"snapctl run list\" shows what happened");
}

/* ---- What it comes to for each region ----------------------------------- */

const struct status_lag *op_status_lag(const struct status *s,
				       const char *repository,
				       const char *region)
{
	for (size_t i = 0; i < s->n_lags; i++)
		if (strcmp(s->lags[i].repository, repository) == 0 &&
		    strcmp(s->lags[i].region, region) == 0)
			return &s->lags[i];
	return NULL;
}

static int note_lag(struct status *s, const struct timetable_entry *entry,
		    const char *region, struct instant copy, struct err *e)
{
	struct status_lag *l = (struct status_lag *)(uintptr_t)op_status_lag(
		s, entry->repository, region);

	if (!l) {
		l = reallocarray(s->lags, s->n_lags + 1, sizeof(*l));
		if (!l)
			return err_oom(e);
		s->lags = l;
		l += s->n_lags++;
		*l = (struct status_lag){ .repository = entry->repository,
					  .region = region,
					  .oldest = copy };
	}
	if (instant_compare(copy, l->oldest) < 0)
		l->oldest = copy;
	if (entry->rpo_ms && (!l->rpo_ms || entry->rpo_ms < l->rpo_ms))
		l->rpo_ms = entry->rpo_ms;
	l->late = l->late || is_late(s, entry, copy);
	return 0;
}

/* ---- The whole ---------------------------------------------------------- */

static int look(struct status *s, const struct timetable_entry *entry,
		const char *source, struct places *p, struct copies *ret,
		struct err *e)
{
	if (find_places(s, entry, p, e) < 0 ||
	    catalog_newest(s->call->catalog, entry->repository, source,
			   read_newest, p, e) < 0)
		return -1;
	*ret = (struct copies){ p->newest, p->newest };
	if (p->newest.sec == 0)
		return 0; /* that there is none at all is told otherwise */
	if (is_late(s, entry, p->newest))
		tell_late(s, entry, source, NULL, p->newest);
	for (size_t i = 0; i < p->n; i++) {
		if (!counts(p, i))
			continue;
		if (note_lag(s, entry, p->names[i], p->in[i], e) < 0)
			return -1;
		if (instant_compare(p->in[i], ret->oldest) < 0)
			ret->oldest = p->in[i];
		if (instant_compare(p->in[i], p->newest) < 0 &&
		    is_late(s, entry, p->in[i]))
			tell_late(s, entry, source, p->names[i], p->in[i]);
	}
	return 0;
}

int op_status_copies(struct status *s, const struct timetable_entry *entry,
		     const char *source, struct copies *ret, struct err *e)
{
	struct places p = { .n = 0 };
	const int failed = look(s, entry, source, &p, ret, e);

	free(p.names);
	free(p.in);
	return failed;
}

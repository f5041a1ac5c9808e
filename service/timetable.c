#include "service/timetable.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "service/zoneinfo.h"

/* A host with more schedules than this has another problem. */
#define ENTRIES_MAX 1000000

struct loading {
	struct catalog *catalog;
	struct timetable *t;
	size_t room;
	struct resource **repositories;
	size_t repository_count;
	struct resource **sources;
	size_t source_count;
	/* Which schedule takes which source, sorted. */
	struct taking {
		size_t entry, source;
	} * takings;
	size_t taking_count, taking_room;
};

void timetable_entry_done(struct timetable_entry *entry)
{
	resource_free(entry->resource);
	zone_free(entry->zone);
	free(entry->blackouts);
	free(entry->sources_json);
	*entry = (struct timetable_entry){ 0 };
}

void timetable_free(struct timetable *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->count; i++)
		timetable_entry_done(&t->entries[i]);
	free(t->entries);
	free(t->by_uid.keys);
	free(t->by_name.keys);
	free(t->by_selector.keys);
	free(t);
}

/* ---- Finding ------------------------------------------------------------ */

/* What an index says of no entry. */
#define NOWHERE SIZE_MAX

static int compare_keys(const void *x, const void *y)
{
	const struct timetable_key *a = x;
	const struct timetable_key *b = y;
	int order = strcmp(a->a, b->a);

	if (order == 0)
		order = strcmp(a->b, b->b);
	if (order == 0)
		order = (a->entry > b->entry) - (a->entry < b->entry);
	return order;
}

/* The first entry of these two texts that is not before from, or NOWHERE. */
static size_t look_up(const struct timetable_index *x, const char *a,
		      const char *b, size_t from)
{
	const struct timetable_key wanted = { a, b, from };
	size_t low = 0;
	size_t high = x->count;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (compare_keys(&x->keys[middle], &wanted) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == x->count || strcmp(x->keys[low].a, a) != 0 ||
	    strcmp(x->keys[low].b, b) != 0)
		return NOWHERE;
	return x->keys[low].entry;
}

struct timetable_entry *timetable_find(const struct timetable *t,
				       const char *uid)
{
	const size_t i = look_up(&t->by_uid, "", uid, 0);

	return i == NOWHERE ? NULL : &t->entries[i];
}

struct timetable_entry *timetable_named(const struct timetable *t,
					const char *kind, const char *name)
{
	const size_t i = look_up(&t->by_name, kind, name, 0);

	return i == NOWHERE ? NULL : &t->entries[i];
}

const struct timetable_entry *
timetable_taker(const struct timetable *t, const struct resource *source,
		const struct timetable_entry *after)
{
	size_t from = after ? (size_t)(after - t->entries) + 1 : 0;

	for (;;) {
		const size_t named = look_up(&t->by_selector, "", source->name,
					     from);
		size_t next = named;

		for (size_t i = 0; i < source->labels.count; i++) {
			const struct resource_label *label =
				&source->labels.items[i];
			const size_t found = look_up(&t->by_selector,
						     label->key, label->value,
						     from);

			next = found < next ? found : next;
		}
		if (next == NOWHERE)
			return NULL;
		if (next == named ||
		    resource_selects(t->entries[next].resource, source))
			return &t->entries[next];
		from = next + 1;
	}
}

static void put_key(struct timetable_index *x, const char *a, const char *b,
		    size_t entry)
{
	x->keys[x->count++] = (struct timetable_key){ a, b, entry };
}

static bool is_schedule(const struct timetable_entry *entry)
{
	return entry->resource && entry->resource->kind == RESOURCE_SCHEDULE;
}

/* A source has to have all labels of a schedule: its first one will do. */
static void put_selectors(struct timetable *t, size_t entry)
{
	const struct resource_schedule *s =
		&t->entries[entry].resource->schedule;

	for (size_t i = 0; i < s->source_names.count; i++)
		put_key(&t->by_selector, "", s->source_names.items[i], entry);
	if (s->match_labels.count > 0)
		put_key(&t->by_selector, s->match_labels.items[0].key,
			s->match_labels.items[0].value, entry);
}

static int start_index(struct timetable_index *x, size_t n, struct err *e)
{
	x->keys = calloc(n + 1, sizeof(*x->keys));
	return x->keys ? 0 : err_oom(e);
}

static void sort_index(struct timetable_index *x)
{
	qsort(x->keys, x->count, sizeof(*x->keys), compare_keys);
}

/* Once all entries are there: they do not move any more. */
static int make_indexes(struct timetable *t, struct err *e)
{
	size_t selectors = 0;

	for (size_t i = 0; i < t->count; i++)
		if (is_schedule(&t->entries[i]))
			selectors +=
				1 +
				t->entries[i]
					.resource->schedule.source_names.count;
	if (start_index(&t->by_uid, t->count, e) < 0 ||
	    start_index(&t->by_name, t->count, e) < 0 ||
	    start_index(&t->by_selector, selectors, e) < 0)
		return -1;
	for (size_t i = 0; i < t->count; i++) {
		const struct timetable_entry *entry = &t->entries[i];

		put_key(&t->by_uid, "", entry->uid, i);
		put_key(&t->by_name, entry->kind, entry->name, i);
		if (is_schedule(entry))
			put_selectors(t, i);
	}
	sort_index(&t->by_uid);
	sort_index(&t->by_name);
	sort_index(&t->by_selector);
	return 0;
}

/* ---- From a resource to a plan ------------------------------------------ */

static int load_blackouts(struct timetable_entry *entry,
			  const struct resource_schedule *s, struct err *e)
{
	entry->blackouts = calloc(s->blackout_count + 1,
				  sizeof(*entry->blackouts));
	if (!entry->blackouts)
		return err_oom(e);
	for (size_t i = 0; i < s->blackout_count; i++) {
		if (cron_parse(s->blackouts[i].cron, &entry->blackouts[i].cron,
			       e) < 0)
			return -1;
		entry->blackouts[i].for_s = s->blackouts[i].for_ms / 1000;
	}
	entry->plan.blackouts = entry->blackouts;
	entry->plan.n_blackouts = s->blackout_count;
	return 0;
}

static int plan_of_schedule(struct timetable_entry *entry,
			    const struct resource_schedule *s, struct err *e)
{
	struct plan_schedule *p = &entry->plan;

	if (cron_parse(s->cron, &p->cron, e) < 0 ||
	    zoneinfo_load(s->time_zone, &entry->zone, e) < 0 ||
	    load_blackouts(entry, s, e) < 0)
		return -1;
	if (!plan_catch_up_named(s->catch_up, &p->catch_up) ||
	    !plan_overlap_named(s->overlap, &p->overlap))
		return err_set(e, ERR_CORRUPT, "catchUp or overlap is wrong");
	p->start_window_s = s->start_window_ms / 1000;
	p->jitter_ms = s->jitter_ms;
	p->suspended = s->suspend;
	p->retries = (uint32_t)s->retries;
	entry->rpo_ms = s->rpo_ms;
	(void)snprintf(entry->repository, sizeof(entry->repository), "%s",
		       s->repository);
	return 0;
}

static int plan_of_drill(struct timetable_entry *entry,
			 const struct resource_drill *d, struct err *e)
{
	struct plan_schedule *p = &entry->plan;

	if (cron_parse(d->cron, &p->cron, e) < 0 ||
	    zoneinfo_load(d->time_zone, &entry->zone, e) < 0)
		return -1;
	/* What a drill proves is of today: one for all that were missed. */
	p->catch_up = PLAN_CATCH_UP_ONE;
	p->overlap = PLAN_OVERLAP_SKIP;
	return 0;
}

/* What it would have done while nobody was there, one does now. */
static int plan_of_repository(struct timetable_entry *entry,
			      const struct resource_repository *r)
{
	struct plan_schedule *p = &entry->plan;

	p->every_s = r->gc_every_ms ? r->gc_every_ms / 1000 : PLAN_NEVER;
	p->catch_up = PLAN_CATCH_UP_ONE;
	p->overlap = PLAN_OVERLAP_SKIP;
	(void)snprintf(entry->repository, sizeof(entry->repository), "%s",
		       entry->name);
	return 0;
}

static int make_plan_of(struct timetable_entry *entry, struct err *e)
{
	const struct resource *r = entry->resource;

	switch (r->kind) {
	case RESOURCE_SCHEDULE:
		return plan_of_schedule(entry, &r->schedule, e);
	case RESOURCE_DRILL:
		return plan_of_drill(entry, &r->drill, e);
	case RESOURCE_REPOSITORY:
		return plan_of_repository(entry, &r->repository);
	case RESOURCE_POLICY:
	case RESOURCE_SOURCE:
	case RESOURCE_KINDS:
		break;
	}
	return err_set(e, ERR_BUG, "a %s has no timetable",
		       resource_kind_name(r->kind));
}

/* Fill in what follows from the resource itself. */
static int make_plan(struct timetable_entry *entry, struct err *e)
{
	entry->plan.uid = entry->uid;
	if (make_plan_of(entry, e) < 0)
		return -1;
	entry->plan.zone = entry->zone;
	return 0;
}

/* ---- From the catalog to entries ---------------------------------------- */

static int read_form(const struct catalog_resource *row, struct resource **ret,
		     struct err *e)
{
	const struct resource_form form = { .kind = row->kind,
					    .name = row->name,
					    .labels_json = row->labels_json,
					    .spec_json = row->spec_json };

	return resource_from_form(&form, ret, e);
}

/* What each kind of resource with a timetable calls its entry. */
static const struct {
	const char *resource, *entry;
} kinds[] = { { "Schedule", "Schedule" },
	      { "Drill", "Drill" },
	      { "Repository", "Maintenance" } };
#define N_KINDS (sizeof(kinds) / sizeof(kinds[0]))

static const char *entry_kind(const char *resource)
{
	for (size_t i = 0; i < N_KINDS; i++)
		if (strcmp(kinds[i].resource, resource) == 0)
			return kinds[i].entry;
	return "";
}

static const char *resource_kind_of(const struct timetable_entry *entry)
{
	for (size_t i = 0; i < N_KINDS; i++)
		if (strcmp(kinds[i].entry, entry->kind) == 0)
			return kinds[i].resource;
	return "";
}

static int add_entry(void *arg, const struct catalog_resource *row,
		     struct err *e)
{
	struct loading *l = arg;
	struct timetable *t = l->t;
	struct timetable_entry *entry;
	struct err why;

	if (t->count == ENTRIES_MAX)
		return err_set(e, ERR_FULL, "there are too many schedules");
	if (t->count == l->room) {
		const size_t room = l->room ? 2 * l->room : 64;

		entry = reallocarray(t->entries, room, sizeof(*entry));
		if (!entry)
			return err_oom(e);
		t->entries = entry;
		l->room = room;
	}
	entry = &t->entries[t->count++];
	*entry = (struct timetable_entry){ .version = row->version,
					   .created = row->created,
					   .changed = row->changed,
					   .accounted_s = INT64_MIN,
					   .wake_s = INT64_MIN };
	entry->kind = entry_kind(row->kind);
	(void)snprintf(entry->name, sizeof(entry->name), "%s", row->name);
	(void)snprintf(entry->uid, sizeof(entry->uid), "%s", row->uid);
	if (read_form(row, &entry->resource, &why) < 0) {
		if (why.code == ERR_NO_MEMORY)
			return err_oom(e);
		(void)snprintf(entry->problem, sizeof(entry->problem), "%.255s",
			       why.text);
	}
	return 0;
}

struct forms {
	struct resource ***list;
	size_t *count;
};

static int add_form(void *arg, const struct catalog_resource *row,
		    struct err *e)
{
	struct forms *f = arg;
	struct resource **more;
	struct err why;

	more = reallocarray(*f->list, *f->count + 1, sizeof(struct resource *));
	if (!more)
		return err_oom(e);
	*f->list = more;
	/* What cannot be read is missed by whatever refers to it. */
	if (read_form(row, &more[*f->count], &why) == 0)
		++*f->count;
	return 0;
}

static int list_forms(struct loading *l, const char *kind,
		      struct resource ***list, size_t *count, struct err *e)
{
	const struct catalog_resource_filter filter = { .kind = kind };
	struct forms forms;

	forms.list = list;
	forms.count = count;
	return catalog_resources(l->catalog, &filter, add_form, &forms, e);
}

static int list_entries(struct loading *l, const char *kind, struct err *e)
{
	const struct catalog_resource_filter filter = { .kind = kind };

	return catalog_resources(l->catalog, &filter, add_entry, l, e);
}

static int compare_takings(const void *x, const void *y)
{
	const struct taking *a = x;
	const struct taking *b = y;

	if (a->entry != b->entry)
		return a->entry < b->entry ? -1 : 1;
	return (a->source > b->source) - (a->source < b->source);
}

static int add_taking(struct loading *l, size_t entry, size_t source,
		      struct err *e)
{
	if (l->taking_count == l->taking_room) {
		const size_t room = l->taking_room ? 2 * l->taking_room : 64;
		struct taking *more = reallocarray(l->takings, room,
						   sizeof(*more));

		if (!more)
			return err_oom(e);
		l->takings = more;
		l->taking_room = room;
	}
	l->takings[l->taking_count++] = (struct taking){ entry, source };
	return 0;
}

static int find_takings(struct loading *l, struct err *e)
{
	for (size_t i = 0; i < l->source_count; i++) {
		const struct timetable_entry *entry = NULL;

		while ((entry = timetable_taker(l->t, l->sources[i], entry)))
			if (add_taking(l, (size_t)(entry - l->t->entries), i,
				       e) < 0)
				return -1;
	}
	if (l->taking_count)
		qsort(l->takings, l->taking_count, sizeof(*l->takings),
		      compare_takings);
	return 0;
}

/* The first of what an entry takes. */
static size_t first_taking(const struct loading *l, size_t entry)
{
	size_t low = 0;
	size_t high = l->taking_count;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (l->takings[middle].entry < entry)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The sources that a schedule takes, as a JSON list of names. */
static int list_sources(const struct loading *l, struct timetable_entry *entry,
			const struct timetable_entry *schedule, struct err *e)
{
	const size_t of = (size_t)(schedule - l->t->entries);
	CLEANUP(buf_done) struct buf text;
	struct json j;

	buf_init(&text, (size_t)16 << 20);
	json_init(&j, json_to_buf, &text);
	json_begin_list(&j);
	for (size_t i = first_taking(l, of);
	     i < l->taking_count && l->takings[i].entry == of; i++)
		json_str(&j, l->sources[l->takings[i].source]->name);
	json_end_list(&j);
	if (json_finish(&j, e) < 0)
		return -1;
	entry->sources_json = strdup(buf_str(&text));
	return entry->sources_json ? 0 : err_oom(e);
}

static void find_limit(const struct loading *l, struct timetable_entry *entry)
{
	for (size_t i = 0; i < l->repository_count; i++)
		if (strcmp(l->repositories[i]->name, entry->repository) == 0)
			entry->repository_max =
				(unsigned int)l->repositories[i]
					->repository.concurrency;
}

/* What follows from other resources as well. */
static int connect_entry(const struct loading *l, struct timetable_entry *entry,
			 struct err *e)
{
	const struct timetable_entry *schedule = entry;

	if (entry->resource->kind == RESOURCE_REPOSITORY) {
		find_limit(l, entry);
		entry->sources_json = strdup("[]");
		return entry->sources_json ? 0 : err_oom(e);
	}
	if (entry->resource->kind == RESOURCE_DRILL) {
		schedule = timetable_named(l->t, "Schedule",
					   entry->resource->drill.schedule);
		if (!schedule || !schedule->resource)
			return err_set(e, ERR_NOT_FOUND,
				       "its schedule is not there");
		(void)snprintf(entry->repository, sizeof(entry->repository),
			       "%s", schedule->resource->schedule.repository);
	}
	find_limit(l, entry);
	return list_sources(l, entry, schedule, e);
}

/* Only want of memory fails; anything else makes the entry a problem. */
static int complete(const struct loading *l, struct timetable_entry *entry,
		    struct err *e)
{
	struct err why = { 0 };

	if (entry->problem[0])
		return 0;
	if (make_plan(entry, &why) == 0 && connect_entry(l, entry, &why) == 0)
		return 0;
	if (why.code == ERR_NO_MEMORY)
		return err_oom(e);
	(void)snprintf(entry->problem, sizeof(entry->problem), "%.255s",
		       why.text);
	return 0;
}

static void remember(const struct timetable *old, struct timetable_entry *entry)
{
	const struct timetable_entry *before =
		old ? timetable_find(old, entry->uid) : NULL;

	if (!before)
		return;
	entry->accounted_s = before->accounted_s;
	entry->settled = before->settled && before->version == entry->version;
}

static void loading_done(struct loading *l)
{
	for (size_t i = 0; i < l->repository_count; i++)
		resource_free(l->repositories[i]);
	for (size_t i = 0; i < l->source_count; i++)
		resource_free(l->sources[i]);
	free(l->repositories);
	free(l->sources);
	free(l->takings);
}

static int load(struct loading *l, const struct timetable *old, struct err *e)
{
	if (list_forms(l, "Repository", &l->repositories, &l->repository_count,
		       e) < 0 ||
	    list_forms(l, "Source", &l->sources, &l->source_count, e) < 0)
		return -1;
	for (size_t i = 0; i < N_KINDS; i++)
		if (list_entries(l, kinds[i].resource, e) < 0)
			return -1;
	if (make_indexes(l->t, e) < 0 || find_takings(l, e) < 0)
		return -1;
	for (size_t i = 0; i < l->t->count; i++) {
		if (complete(l, &l->t->entries[i], e) < 0)
			return -1;
		remember(old, &l->t->entries[i]);
	}
	return 0;
}

int timetable_load(struct catalog *c, const struct timetable *old,
		   struct timetable **ret, struct err *e)
{
	struct loading l = { .catalog = c };
	int status;

	l.t = calloc(1, sizeof(*l.t));
	if (!l.t)
		return err_oom(e);
	status = load(&l, old, e);
	loading_done(&l);
	if (status < 0) {
		timetable_free(l.t);
		return -1;
	}
	*ret = l.t;
	return 0;
}

/* ---- Earlier versions --------------------------------------------------- */

struct old_version {
	const struct timetable_entry *now;
	struct timetable_entry *entry;
};

static int read_version(void *arg, const struct catalog_version *v,
			struct err *e)
{
	struct old_version *o = arg;
	const struct resource_form form = { .kind = resource_kind_of(o->now),
					    .name = o->now->name,
					    .labels_json = v->labels_json,
					    .spec_json = v->spec_json };

	return resource_from_form(&form, &o->entry->resource, e);
}

int timetable_old_version(struct catalog *c,
			  const struct timetable_entry *entry, int64_t version,
			  struct timetable_entry *ret, struct err *e)
{
	struct old_version o = { .now = entry, .entry = ret };
	struct err why;
	int found;

	*ret = (struct timetable_entry){ .kind = entry->kind,
					 .version = version,
					 .accounted_s = entry->accounted_s };
	memcpy(ret->name, entry->name, sizeof(ret->name));
	memcpy(ret->uid, entry->uid, sizeof(ret->uid));
	memcpy(ret->repository, entry->repository, sizeof(ret->repository));
	ret->sources_json = strdup(entry->sources_json ? entry->sources_json
						       : "[]");
	if (!ret->sources_json)
		return err_oom(e);
	found = catalog_version_get(c, entry->uid, version, read_version, &o,
				    &why);
	if (found == 1 && make_plan(ret, &why) == 0)
		return 1;
	timetable_entry_done(ret);
	return found == 0 || why.code != ERR_NO_MEMORY ? 0 : err_oom(e);
}

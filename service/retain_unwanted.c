/* What a region would let go as soon as it had it, and so need not get. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "service/arena.h"
#include "service/retain.h"
#include "storage/replicate.h"

/* A million snapshots with a few tags each. */
#define ITEMS_MAX ((size_t)1 << 30)

/* What the one has, and the other has not deleted. */
struct item {
	struct object_id id;
	const char *source;
	struct retention_snapshot s;
	bool is_lacking; /* the other has not got it */
	bool is_kept;
};

struct looking {
	struct retain x;
	struct arena arena;
	struct item *v;
	size_t n, room;
};

static void looking_done(struct looking *l)
{
	retain_done(&l->x);
	arena_done(&l->arena);
	free(l->v);
}
static inline void cleanup_looking_done(struct looking *l)
{
	looking_done(l);
}

static int take_tags(struct looking *l, const struct manifest_list *tags,
		     struct retention_snapshot *s, struct err *e)
{
	const char **v = arena_new(&l->arena, (tags->n + 1) * sizeof(*v), e);

	if (!v)
		return -1;
	s->tags = v;
	/* Those that are no text match no rule. */
	for (size_t i = 0; i < tags->n; i++) {
		if (!text_is_utf8(tags->v[i].data, tags->v[i].len))
			continue;
		v[s->n_tags] = arena_text(&l->arena, tags->v[i].data,
					  tags->v[i].len, e);
		if (!v[s->n_tags++])
			return -1;
	}
	return 0;
}

static int take(struct looking *l, const struct repository_snapshot *s,
		struct item *io, struct err *e)
{
	const char *source = s->manifest.source;
	char id[OBJECT_ID_TEXT];

	object_id_format(io->id, id);
	io->source = arena_text(&l->arena, source, strlen(source), e);
	io->s.id = arena_text(&l->arena, id, strlen(id), e);
	return io->source && io->s.id &&
			       take_tags(l, &s->manifest.tags, &io->s, e) == 0
		       ? 0
		       : -1;
}

/* Ad hoc ones are expired by nobody. */
static int see(void *arg, const struct repository_snapshot *s,
	       unsigned int where, struct err *e)
{
	struct looking *l = arg;
	struct item item = {
		.id = s->manifest.snapshot,
		.s = { .received = s->received,
		       .complete = s->manifest.state == MANIFEST_COMPLETE },
		.is_lacking = !(where & REPLICATE_TO),
		.is_kept = s->held,
	};

	if (!(where & REPLICATE_FROM) || where & REPLICATE_REFUSED ||
	    !s->manifest.source[0])
		return 0;
	if (l->n == l->room) {
		const size_t room = l->room ? 2 * l->room : 64;
		struct item *more = reallocarray(l->v, room, sizeof(*more));

		if (!more)
			return err_oom(e);
		l->v = more;
		l->room = room;
	}
	if (take(l, s, &item, e) < 0)
		return -1;
	l->v[l->n++] = item;
	return 0;
}

static int by_source(const void *a, const void *b)
{
	return strcmp(((const struct item *)a)->source,
		      ((const struct item *)b)->source);
}

/* What the rules keep of the n items of one source. */
static int apply(const struct retain_rule_sets *rules, struct item *v, size_t n,
		 struct instant now, struct err *e)
{
	struct retention_snapshot *s = calloc(n + 1, sizeof(*s));
	int failed = s ? 0 : err_oom(e);

	for (size_t i = 0; i < n && failed == 0; i++)
		s[i] = v[i].s;
	for (size_t k = 0; k < rules->n && failed == 0; k++) {
		const struct retain_rules *r = &rules->v[k];
		struct retention_result result = { 0 };

		if (!retain_rules_is_asked(r))
			continue;
		failed = retention_decide(&r->policy, s, n, now, &result, e);
		for (size_t i = 0; i < n && failed == 0; i++)
			v[i].is_kept |= result.decisions[i].keep &&
					retain_rules_reach(r, s[i].received);
		retention_result_done(&result);
	}
	free(s);
	return failed;
}

static int read_source(void *arg, const struct catalog_resource *row,
		       struct err *e)
{
	const struct resource_form form = { .kind = row->kind,
					    .name = row->name,
					    .labels_json = row->labels_json,
					    .spec_json = row->spec_json };

	return resource_from_form(&form, arg, e);
}

/* Nobody judges what nobody declares. */
static int judge_source(struct looking *l, const struct resource_region *region,
			struct item *v, size_t n, struct err *e)
{
	CLEANUP(resource_free) struct resource *source = NULL;
	CLEANUP(retain_rules_done) struct retain_rule_sets rules = { .n = 0 };
	const int found = catalog_resource_get(l->x.run->catalog, "Source",
					       v->source, read_source, &source,
					       e);

	if (found < 0)
		return -1;
	if (found == 0) {
		for (size_t i = 0; i < n; i++)
			v[i].is_kept = true;
		return 0;
	}
	return retain_rules_load(&l->x, source, region, &rules, e) < 0 ||
			       apply(&rules, v, n, l->x.now, e) < 0
		       ? -1
		       : 0;
}

static int judge_all(struct looking *l, const struct resource_region *region,
		     struct err *e)
{
	size_t n;

	if (l->n)
		qsort(l->v, l->n, sizeof(*l->v), by_source);
	for (size_t i = 0; i < l->n; i += n) {
		for (n = 1; i + n < l->n; n++)
			if (strcmp(l->v[i + n].source, l->v[i].source) != 0)
				break;
		if (judge_source(l, region, &l->v[i], n, e) < 0)
			return -1;
	}
	return 0;
}

static int by_id(const void *a, const void *b)
{
	return object_id_compare(*(const struct object_id *)a,
				 *(const struct object_id *)b);
}

static int deliver(const struct looking *l, struct object_id **ret,
		   size_t *ret_n, struct err *e)
{
	struct object_id *ids = calloc(l->n + 1, sizeof(*ids));
	size_t n = 0;

	if (!ids)
		return err_oom(e);
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i].is_lacking && !l->v[i].is_kept)
			ids[n++] = l->v[i].id;
	if (n)
		qsort(ids, n, sizeof(*ids), by_id);
	*ret = ids;
	*ret_n = n;
	return 0;
}

static bool any_apart(const struct resource_repository *r)
{
	for (size_t i = 0; i < r->region_count; i++)
		if (r->regions[i].policy)
			return true;
	return false;
}

int retain_unwanted(struct run *r, const struct resource_region *region,
		    struct repository *from, struct repository *to,
		    struct object_id **ret, size_t *ret_n, struct err *e)
{
	CLEANUP(looking_done) struct looking l = { .n = 0 };

	*ret = NULL;
	*ret_n = 0;
	if (!any_apart(&r->repository->repository))
		return 0;
	retain_init(&l.x, r, clock_now());
	arena_init(&l.arena, ITEMS_MAX);
	return replicate_compare(from, to, see, &l, NULL, e) < 0 ||
			       judge_all(&l, region, e) < 0 ||
			       deliver(&l, ret, ret_n, e) < 0
		       ? -1
		       : 0;
}

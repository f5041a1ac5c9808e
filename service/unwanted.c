#include "service/unwanted.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "service/retain.h"
#include "storage/replicate.h"

/* A million snapshots with a few tags each. */
#define ITEMS_MAX ((size_t)1 << 30)

void unwanted_init(struct unwanted *u)
{
	*u = (struct unwanted){ .n = 0 };
	arena_init(&u->arena, ITEMS_MAX);
}

void unwanted_done(struct unwanted *u)
{
	arena_done(&u->arena);
	free(u->v);
	u->v = NULL;
	u->n = u->room = 0;
}

/* ---- Gathering ---------------------------------------------------------- */

static int push(struct unwanted *u, const struct unwanted_item *item,
		struct err *e)
{
	if (u->n == u->room) {
		const size_t room = u->room ? 2 * u->room : 64;
		struct unwanted_item *more = reallocarray(u->v, room,
							  sizeof(*more));

		if (!more)
			return err_oom(e);
		u->v = more;
		u->room = room;
	}
	u->v[u->n++] = *item;
	return 0;
}

static const char *copy(struct unwanted *u, const char *text, struct err *e)
{
	return arena_text(&u->arena, text, strlen(text), e);
}

static int name(struct unwanted *u, const char *source,
		struct unwanted_item *io, struct err *e)
{
	char id[OBJECT_ID_TEXT];

	object_id_format(io->id, id);
	io->source = copy(u, source, e);
	io->s.id = io->source ? copy(u, id, e) : NULL;
	return io->s.id ? 0 : -1;
}

static int take_tags(struct unwanted *u, const struct manifest_list *tags,
		     struct retention_snapshot *s, struct err *e)
{
	const char **v = arena_new(&u->arena, (tags->n + 1) * sizeof(*v), e);

	if (!v)
		return -1;
	s->tags = v;
	/* Those that are no text match no rule. */
	for (size_t i = 0; i < tags->n; i++) {
		if (!text_is_utf8(tags->v[i].data, tags->v[i].len))
			continue;
		v[s->n_tags] = arena_text(&u->arena, tags->v[i].data,
					  tags->v[i].len, e);
		if (!v[s->n_tags++])
			return -1;
	}
	return 0;
}

/* Ad hoc ones are expired by nobody. */
int unwanted_see(void *arg, const struct repository_snapshot *s,
		 unsigned int where, struct err *e)
{
	struct unwanted *u = arg;
	struct unwanted_item item = {
		.id = s->manifest.snapshot,
		.s = { .received = s->received,
		       .complete = s->manifest.state == MANIFEST_COMPLETE },
		.is_lacking = !(where & REPLICATE_TO),
		.is_kept = s->held,
	};

	if (!(where & REPLICATE_FROM) || where & REPLICATE_REFUSED ||
	    !s->manifest.source[0])
		return 0;
	return name(u, s->manifest.source, &item,
		    e) < 0 || take_tags(u, &s->manifest.tags, &item.s, e) < 0 ||
			       push(u, &item, e) < 0
		       ? -1
		       : 0;
}

int unwanted_add(struct unwanted *u, const struct unwanted_item *item,
		 struct err *e)
{
	struct unwanted_item mine = *item;
	const char **tags;

	if (!item->source[0])
		return 0;
	tags = arena_new(&u->arena, (item->s.n_tags + 1) * sizeof(*tags), e);
	if (!tags || name(u, item->source, &mine, e) < 0)
		return -1;
	for (size_t i = 0; i < item->s.n_tags; i++) {
		tags[i] = copy(u, item->s.tags[i], e);
		if (!tags[i])
			return -1;
	}
	mine.s.tags = tags;
	return push(u, &mine, e);
}

/* ---- Judging ------------------------------------------------------------ */

static int by_source(const void *a, const void *b)
{
	const struct unwanted_item *x = a;
	const struct unwanted_item *y = b;
	const int c = strcmp(x->source, y->source);

	return c ? c : object_id_compare(x->id, y->id);
}

/* Several regions may have the same one. */
static void unite(struct unwanted *u)
{
	size_t n = 0;

	if (u->n)
		qsort(u->v, u->n, sizeof(*u->v), by_source);
	for (size_t i = 0; i < u->n; i++) {
		if (n && by_source(&u->v[n - 1], &u->v[i]) == 0) {
			u->v[n - 1].is_kept |= u->v[i].is_kept;
			u->v[n - 1].is_lacking &= u->v[i].is_lacking;
			continue;
		}
		u->v[n++] = u->v[i];
	}
	u->n = n;
}

/* What the rules keep of the n items of one source. */
static int apply(const struct retain_rule_sets *rules, struct unwanted_item *v,
		 size_t n, struct instant now, struct err *e)
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
		failed = retention_might_keep(&r->policy, s, n, now, &result,
					      e);
		for (size_t i = 0; i < n && failed == 0; i++)
			v[i].is_kept |= result.decisions[i].keep &&
					retain_rules_reach(r, s[i].received);
		retention_result_done(&result);
	}
	free(s);
	return failed;
}

/* Nobody judges what nobody declares. */
static int judge_source(struct unwanted_item *v, size_t n,
			unwanted_rules *rules, void *arg, struct instant now,
			struct err *e)
{
	const struct retain_rule_sets *sets = NULL;
	bool any = false;
	int found;

	for (size_t i = 0; i < n; i++)
		any |= v[i].is_lacking;
	if (!any)
		return 0;
	found = rules(arg, v->source, &sets, e);
	if (found < 0)
		return -1;
	if (found > 0 && sets)
		return apply(sets, v, n, now, e);
	for (size_t i = 0; i < n; i++)
		v[i].is_kept = true;
	return 0;
}

int unwanted_judge(struct unwanted *u, unwanted_rules *rules, void *arg,
		   struct instant now, struct err *e)
{
	size_t n;

	unite(u);
	for (size_t i = 0; i < u->n; i += n) {
		for (n = 1; i + n < u->n; n++)
			if (strcmp(u->v[i + n].source, u->v[i].source) != 0)
				break;
		if (judge_source(&u->v[i], n, rules, arg, now, e) < 0)
			return -1;
	}
	return 0;
}

/* ---- What comes of it --------------------------------------------------- */

static int by_id(const void *a, const void *b)
{
	return object_id_compare(*(const struct object_id *)a,
				 *(const struct object_id *)b);
}

int unwanted_ids(const struct unwanted *u, struct object_id **ret,
		 size_t *ret_n, struct err *e)
{
	struct object_id *ids = calloc(u->n + 1, sizeof(*ids));
	size_t n = 0;

	if (!ids)
		return err_oom(e);
	for (size_t i = 0; i < u->n; i++)
		if (u->v[i].is_lacking && !u->v[i].is_kept)
			ids[n++] = u->v[i].id;
	if (n)
		qsort(ids, n, sizeof(*ids), by_id);
	*ret = ids;
	*ret_n = n;
	return 0;
}

bool unwanted_has(const struct object_id *v, size_t n, struct object_id id)
{
	return n && bsearch(&id, v, n, sizeof(*v), by_id);
}

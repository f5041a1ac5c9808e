#include "service/drift.h"

#include <string.h>

#include "base/json.h"
#include "service/mask.h"
#include "service/unified.h"
#include "storage/diff.h"

/*
 * JSON's escapes make six bytes of one at worst.  It must fit into a step's
 * details, beside the errors.
 */
#define JSON_MAX ((size_t)640 << 10)

void drift_init(struct drift *d)
{
	*d = (struct drift){ .added = 0 };
	buf_init(&d->json, JSON_MAX);
}

void drift_done(struct drift *d)
{
	buf_done(&d->json);
}

/* ---- The one before ----------------------------------------------------- */

struct search {
	const struct manifest *of;
	struct repository_snapshot *ret;
	bool found;
	bool over; /* what comes is ours, or later */
};

/* In order of receipt: the last one before ours. */
static int consider(void *arg, struct repository_snapshot *s,
		    struct err *e UNUSED)
{
	struct search *x = (struct search *)arg;

	x->over |= object_id_equal(s->manifest.snapshot, x->of->snapshot);
	if (x->over || s->manifest.state != MANIFEST_COMPLETE ||
	    strcmp(s->manifest.source, x->of->source) != 0 ||
	    strcmp(s->manifest.type, x->of->type) != 0)
		return 0;
	manifest_done(&x->ret->manifest);
	x->ret->manifest = s->manifest;
	manifest_init(&s->manifest);
	x->found = true;
	return 0;
}

/* 1, 0 when there is none, -1. */
static int find_before(struct repository *r, const struct manifest *m,
		       struct repository_snapshot *ret, struct err *e)
{
	struct search x = { .of = m, .ret = ret };
	char text[OBJECT_ID_TEXT];
	struct err why = { 0 };

	if (!object_id_is_zero(m->parent)) {
		object_id_format(m->parent, text);
		if (repository_find(r, text, NULL, true, ret, NULL, &why) == 0)
			return 1;
		if (why.code != ERR_NOT_FOUND) {
			*e = why;
			return -1;
		}
	}
	if (repository_snapshots(r, false, consider, NULL, &x, e) < 0)
		return -1;
	return x.found;
}

/* ---- What changed ------------------------------------------------------- */

struct finding {
	struct drift *drift;
	const atomic_bool *stop;
	struct mask *mask;
	struct json j; /* the list of files */
	struct buf files;
	size_t listed;
	uint64_t more;
	size_t paths; /* bytes that may still be kept */
	size_t diffs;
	size_t look; /* bytes of files that may still be read for it */
	bool partial;
};

#define TOO_MUCH "differ (too much to keep)"

/* Up to the last line that fits. */
static void cut(struct unified *u, size_t room)
{
	while (room > 0 && u->text.data[room - 1] != '\n')
		room--;
	u->text.len = room;
	if (room == 0)
		u->instead = TOO_MUCH;
}

static bool may_look(struct finding *x, const struct diff_change *c)
{
	const struct entry *both[2] = { c->before, c->after };

	for (int i = 0; i < 2; i++) {
		const uint64_t size = both[i] ? both[i]->size : 0;

		if (size > x->look)
			return false;
		x->look -= (size_t)size;
	}
	return true;
}

static int write_lines(struct finding *x, const struct diff_change *c,
		       struct err *e)
{
	CLEANUP(unified_done) struct unified u;
	bool is_cut;
	int got;

	unified_init(&u);
	/* Nothing more can be kept, so nothing more is read; nor is what would
	 * hold up the run. */
	if (x->diffs == 0 || !may_look(x, c)) {
		if (!c->before || !c->after || (c->aspects & DIFF_CONTENT))
			json_kv_str(&x->j, "note", TOO_MUCH);
		return 0;
	}
	got = unified_make(c, x->mask, &u, e);
	if (got != 1)
		return got;
	is_cut = !u.instead && u.text.len > x->diffs;
	if (is_cut)
		cut(&u, x->diffs);
	x->diffs = is_cut ? 0 : x->diffs - u.text.len;
	unified_write(&u, &x->j);
	if (is_cut && !u.instead)
		json_kv_str(&x->j, "note", "cut off here");
	return 0;
}

static int list_one(struct finding *x, const struct diff_change *c,
		    struct err *e)
{
	const struct entry *en = c->after ? c->after : c->before;

	if (!en)
		return err_set(e, ERR_BUG, "a change of nothing");
	if (x->listed == DRIFT_FILES || en->path_len > x->paths) {
		x->more++;
		return 0;
	}
	x->listed++;
	x->paths -= en->path_len;
	json_begin_object(&x->j);
	json_kv_str(&x->j, "change",
		    !c->before	? "added"
		    : !c->after ? "removed"
				: "changed");
	json_path(&x->j, "path", en->path, en->path_len);
	json_kv_str(&x->j, "type", entry_type_name(en->type));
	json_key(&x->j, "what");
	json_begin_list(&x->j);
	for (unsigned int bit = 1; bit <= DIFF_LINKS; bit <<= 1)
		if (c->aspects & bit)
			json_str(&x->j, diff_aspect_name(bit));
	json_end_list(&x->j);
	if (write_lines(x, c, e) < 0)
		return -1;
	json_end_object(&x->j);
	return 0;
}

static int look_at(void *arg, const struct diff_change *c, struct err *e)
{
	struct finding *x = (struct finding *)arg;

	if (x->stop && atomic_load(x->stop))
		return err_set(e, ERR_INTERRUPTED, "asked to stop");
	if (c->before && c->after && c->aspects == DIFF_TIME)
		return 0;
	/* What could not be read is not there either. */
	if (!c->after && x->partial)
		return 0;
	if (!c->before)
		x->drift->added++;
	else if (!c->after)
		x->drift->removed++;
	else
		x->drift->changed++;
	return list_one(x, c, e);
}

static int write_all(struct finding *x, struct err *e)
{
	struct drift *d = x->drift;
	char since[OBJECT_ID_TEXT];
	struct json j;

	json_end_list(&x->j);
	if (json_finish(&x->j, e) < 0)
		return -1;
	object_id_format(d->since, since);
	json_init(&j, json_to_buf, &d->json);
	json_begin_object(&j);
	json_kv_str(&j, "since", since);
	json_kv_uint(&j, "added", d->added);
	json_kv_uint(&j, "removed", d->removed);
	json_kv_uint(&j, "changed", d->changed);
	json_key(&j, "files");
	json_raw(&j, buf_str(&x->files));
	json_kv_uint(&j, "more", x->more);
	json_end_object(&j);
	return json_finish(&j, e);
}

static int compare(struct repository *r, const struct manifest *before,
		   const struct manifest *m, struct finding *x, struct err *e)
{
	json_init(&x->j, json_to_buf, &x->files);
	json_begin_list(&x->j);
	if (diff_run(r, &before->tree, &m->tree, look_at, x, e) < 0)
		return -1;
	return write_all(x, e);
}

int drift_find(struct repository *r, const struct manifest *m,
	       const struct resource_source *source, const atomic_bool *stop,
	       struct drift *ret, struct err *e)
{
	CLEANUP(repository_snapshot_done) struct repository_snapshot before;
	struct finding x = { .drift = ret,
			     .stop = stop,
			     .paths = DRIFT_PATHS,
			     .diffs = DRIFT_DIFFS,
			     .look = DRIFT_LOOK,
			     .partial = m->state != MANIFEST_COMPLETE };
	int found;

	before = (struct repository_snapshot){ .held = false };
	manifest_init(&before.manifest);
	if (!source->text)
		return 0;
	found = find_before(r, m, &before, e);
	if (found != 1)
		return found;
	ret->since = before.manifest.snapshot;
	buf_init(&x.files, JSON_MAX);
	found = mask_new(&x.mask, e);
	for (size_t i = 0; found == 0 && i < source->mask.count; i++)
		found = mask_add(x.mask, source->mask.items[i], e);
	if (found == 0)
		found = compare(r, &before.manifest, m, &x, e);
	mask_free(x.mask);
	buf_done(&x.files);
	return found < 0 ? -1 : 1;
}

/*
 * The step "report": what the catalog learnt about this repository goes into
 * it, as a sealed segment, so that a region and the key bring it back.
 *
 *  1. export the rows that are new since the last acknowledged segment,
 *  2. put them into the region that the run writes to, the primary,
 *  3. acknowledge, so that they are not exported again,
 *  4. copy to every other region the segments that it lacks.
 *
 * Killed between 2 and 3, the next run exports the same rows once more;
 * importing twice changes nothing.  A region that was away gets at 4 what it
 * missed.  A segment of more than a box holds becomes several objects, whose
 * sequence numbers follow each other; each holds whole lines.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "service/catalog_audit.h"
#include "service/catalog_keep.h"
#include "service/run_region.h"
#include "service/step.h"
#include "storage/repository/guards.h"
#include "storage/repository/object.h"
#include "storage/repository/seal.h"

/* Lines of one object, well within a box. */
#define PART_MAX ((size_t)8 << 20)

/*
 * Where its store can guard objects, what a region is told is guarded there
 * until the last lock is over that the catalog knows of, with what is ahead of
 * need: it may be evidence of any of these snapshots.
 */
struct guarding {
	struct instant until; /* of those locks */
};

static int see_lock(void *arg, const struct catalog_snapshot *s, struct err *e)
{
	struct guarding *x = arg;

	(void)e;
	if (instant_compare(s->lock_until, x->until) > 0)
		x->until = s->lock_until;
	return 0;
}

static int guard(struct run *r, const struct resource_region *region,
		 struct repository *to, struct err *e)
{
	const struct instant now = clock_now();
	const struct catalog_snapshot_filter filter = {
		.repository = r->repository->name,
		.from = instant_add_ms(now, -GUARDS_LOCK_MAX_MS),
	};
	struct guarding x = { .until = now };
	struct run_lock own;
	const int can = store_can_guard(repository_store(to), e);

	if (can <= 0)
		return can;
	if (run_region_lock(r, region, &own, e) < 0)
		return -1;
	x.until = instant_add_ms(now, own.ms);
	if (catalog_snapshots(r->catalog, &filter, see_lock, &x, e) < 0)
		return -1;
	return guards_begin(to, guards_ahead(now, x.until), now, e) < 0 ? -1
									: 0;
}

/* Who cannot write that down has it guarded once more. */
static int note(struct repository *to, const struct object_name *name,
		struct err *e)
{
	const struct store *s = repository_store(to);
	struct object_id first;
	struct object_id id;

	if (!s->new_which ||
	    !object_name_parse(OBJECT_SEGMENT, name->s, &first, &id))
		return 0;
	return guards_note(repository_store(to), repository_keys(to), &id, 1,
			   s->new_until, clock_now(), e);
}

struct export
{
	struct repository *to;
	uint64_t part;
	uint64_t number; /* of the segment, read off its first line */
	struct buf lines;
};

static int put_part(struct export *x, struct err *e)
{
	const struct object_name name = object_name_segment(
		x->number * OBJECT_SEGMENT_PARTS + x->part, object_id_new());

	if (x->part == OBJECT_SEGMENT_PARTS)
		return err_set(e, ERR_FULL, "the segment is too large");
	if (seal_box_put(repository_store(x->to), repository_keys(x->to),
			 OBJECT_SEGMENT, name.s, x->lines.data, x->lines.len, 0,
			 e) < 0 ||
	    note(x->to, &name, e) < 0)
		return err_wrap(e, "cannot write the catalog's segment");
	x->part++;
	buf_clear(&x->lines);
	return 0;
}

static int take(void *arg, const char *text, size_t n, struct err *e)
{
	struct export *x = arg;
	static const char head[] = "{\"segment\":";

	/* The first line tells the number. */
	if (x->number == 0 && n > sizeof(head) &&
	    memcmp(text, head, sizeof(head) - 1) == 0)
		x->number = strtoull(text + sizeof(head) - 1, NULL, 10);
	if (buf_add(&x->lines, text, n, e) < 0)
		return -1;
	return n && text[n - 1] == '\n' && x->lines.len >= PART_MAX
		       ? put_part(x, e)
		       : 0;
}

static int export_rows(struct run *r, struct repository *primary,
		       struct catalog_segment *ret, struct err *e)
{
	CLEANUP(buf_done) struct buf lines;
	struct export x = { .to = primary };
	const struct catalog_export how = { .repository = r->repository->name,
					    .now = clock_now(),
					    .sink = take,
					    .arg = &x };
	int failed;

	buf_init(&lines, SEAL_PAYLOAD_MAX);
	x.lines = lines;
	failed = catalog_segment_export(r->catalog, &how, ret, e);
	if (failed == 0 && x.lines.len)
		failed = put_part(&x, e);
	lines = x.lines;
	return failed < 0
		       ? -1
		       : catalog_segment_done(r->catalog, r->repository->name,
					      ret, clock_now(), e);
}

/* ---- To the other regions ----------------------------------------------- */

struct copying {
	struct run *run;
	const struct resource_region *region;
	struct repository *from, *to;
	uint64_t copied;
};

static int copy_one(void *arg, const struct store_entry *entry, struct err *e)
{
	struct copying *c = arg;
	CLEANUP(buf_done) struct buf payload;
	struct object_name name;
	uint64_t size;
	int got;

	buf_init(&payload, SEAL_PAYLOAD_MAX);
	got = store_size(repository_store(c->to), entry->name, &size, e);
	if (got != 0)
		return got < 0 ? -1 : 0;
	if (run_stopped(c->run, e) < 0)
		return -1;
	got = seal_box_get(repository_store(c->from), repository_keys(c->from),
			   OBJECT_SEGMENT, entry->name, &payload, e);
	if (got <= 0)
		return got;
	if (c->copied++ == 0 && guard(c->run, c->region, c->to, e) < 0)
		return -1;
	(void)snprintf(name.s, sizeof(name.s), "%s", entry->name);
	return seal_box_put(repository_store(c->to), repository_keys(c->to),
			    OBJECT_SEGMENT, name.s, payload.data, payload.len,
			    0, e) < 0
		       ? -1
		       : note(c->to, &name, e);
}

static int copy_to(struct run *r, struct repository *primary,
		   const struct resource_region *region, struct err *e)
{
	CLEANUP(repository_close) struct repository *to = NULL;
	struct copying c = { .run = r, .region = region, .from = primary };
	char prefix[64];

	(void)snprintf(prefix, sizeof(prefix), "%s/",
		       object_kind_folder(OBJECT_SEGMENT));
	if (run_region_open(r, region, &to, e) < 0)
		return -1;
	c.to = to;
	return store_list(repository_store(primary), prefix, copy_one, &c, e) <
			       0
		       ? -1
		       : 0;
}

int step_report(struct run *r, const struct resource *source UNUSED,
		struct run_result *result, struct err *e)
{
	const struct resource_repository *all = &r->repository->repository;
	CLEANUP(repository_close) struct repository *primary = NULL;
	struct catalog_segment segment = { .number = 0 };

	if (run_region_written(r, &primary, e) < 0 ||
	    guard(r, r->written, primary, e) < 0 ||
	    export_rows(r, primary, &segment, e) < 0)
		return -1;
	result->state = RUN_SUCCEEDED;
	for (size_t i = 0; i < all->region_count; i++) {
		struct err why = { 0 };

		if (&all->regions[i] == r->written ||
		    copy_to(r, primary, &all->regions[i], &why) == 0)
			continue;
		if (why.code == ERR_INTERRUPTED) {
			*e = why;
			return -1;
		}
		result->state = RUN_PARTIAL;
		(void)snprintf(result->message, sizeof(result->message),
			       "%.299s", why.text);
	}
	return buf_addf(&result->details, e, "{\"segment\":%jd,\"rows\":%ju}",
			(intmax_t)segment.number, (uintmax_t)segment.rows);
}

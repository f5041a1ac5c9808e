#include "storage/replicate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "storage/replicate_internal.h"
#include "storage/repository/beat.h"
#include "storage/repository/guards.h"
#include "storage/repository/seal.h"

int replicate_settle(struct store *from, struct store *to,
		     const struct keyring_credential *c, struct err *e)
{
	if (keyring_copy(from, to, c, e))
		return err_wrap(e, "cannot make %s a region",
				text_quote_str(to->url).s);
	return 0;
}

/* One run. */
struct replication {
	const struct replicate_options *o;
	struct replicate_plan plan;
	struct replicate_limits *limits;
	struct replicate_progress progress;
	struct replicate_result result;
	struct replicate_tally tally;
	size_t *order; /* what is copied, as indices of the plan */
	size_t n_order;
	struct beat *pin;      /* on what is copied; NULL: it could not be */
	struct writer *writer; /* of the snapshot under way */
	struct writer_guarding guarding; /* of the one before */
};

static void tick(void *arg)
{
	struct replication *x = (struct replication *)arg;
	struct replicate_progress p = x->progress;

	if (!x->o->progress)
		return;
	if (x->writer) {
		const struct writer_totals t = writer_totals(x->writer);

		p.chunks += t.chunks_new;
		p.bytes += t.bytes_new;
	}
	x->o->progress(x->o->arg, &p);
}

static bool is_wanted(const struct replicate_options *o, struct object_id id)
{
	for (size_t i = 0; i < o->n_only; i++)
		if (object_id_equal(o->only[i], id))
			return true;
	return o->only == NULL;
}

static int by_id(const void *a, const void *b)
{
	return object_id_compare(*(const struct object_id *)a,
				 *(const struct object_id *)b);
}

static bool is_skipped(const struct replicate_options *o, struct object_id id)
{
	return o->n_skip &&
	       bsearch(&id, o->skip, o->n_skip, sizeof(*o->skip), by_id);
}

/* It may be there: its manifest could not be read, or is damaged, or newer. */
static int lacks_wanted(const struct replicate_plan *p, struct object_id id,
			struct err *e)
{
	char hex[OBJECT_ID_TEXT];

	object_id_format(id, hex);
	for (size_t i = 0; i < p->n_unread; i++) {
		const struct replicate_unread_one *u = &p->unread[i];

		if (!object_id_equal(u->snapshot, id))
			continue;
		(void)err_set(
			e, u->code,
			"the manifest of snapshot %s in the region copied "
			"from does not open",
			hex);
		err_add_reason(e, u->sys);
		return -1;
	}
	return err_set(e, ERR_NOT_FOUND,
		       "the region copied from has no snapshot %s, or it is "
		       "deleted there",
		       hex);
}

static int check_wanted(const struct replication *x, struct err *e)
{
	const struct replicate_plan *p = &x->plan;

	for (size_t i = 0; !x->o->heal && i < x->o->n_only; i++) {
		size_t at = 0;

		while (at < p->n &&
		       !((p->v[at].where & REPLICATE_FROM) &&
			 object_id_equal(p->v[at].s.manifest.snapshot,
					 x->o->only[i])))
			at++;
		if (at == p->n)
			return lacks_wanted(p, x->o->only[i], e);
	}
	return 0;
}

/* Whether item at is the newest complete one of its source. */
static bool is_newest(const struct replicate_plan *p, size_t at)
{
	const struct manifest *m = &p->v[at].s.manifest;

	if (m->state != MANIFEST_COMPLETE)
		return false;
	for (size_t i = at + 1; i < p->n; i++)
		if ((p->v[i].where & REPLICATE_FROM) &&
		    p->v[i].s.manifest.state == MANIFEST_COMPLETE &&
		    strcmp(p->v[i].s.manifest.source, m->source) == 0)
			return false;
	return true;
}

/*
 * Two passes, newest first: what shortens the lag, then the rest.  The plan
 * is in order of receipt.
 */
static int put_in_order(struct replication *x, struct err *e)
{
	const struct replicate_plan *p = &x->plan;
	CLEANUP(buf_done) struct buf first;

	buf_init(&first, p->n + 1);
	x->order = calloc(p->n + 1, sizeof(*x->order));
	if (!x->order)
		return err_oom(e);
	if (buf_add_zeros(&first, p->n, e))
		return -1;
	for (size_t i = p->n; i-- > 0;) {
		const struct replicate_item *item = &p->v[i];

		if (!(item->where & REPLICATE_FROM) ||
		    !is_wanted(x->o, item->s.manifest.snapshot))
			continue;
		if (item->where & REPLICATE_TO)
			x->result.present++;
		else if (item->where & REPLICATE_REFUSED)
			x->result.deleted++;
		else if (!is_skipped(x->o, item->s.manifest.snapshot))
			first.data[i] = is_newest(p, i) ? 2 : 1;
	}
	for (uint8_t pass = 2; pass > 0; pass--)
		for (size_t i = p->n; i-- > 0;)
			if (first.data[i] == pass)
				x->order[x->n_order++] = i;
	x->progress.snapshots_total = x->n_order;
	return 0;
}

/* Collectors of the source leave alone what we read. */
static int pin(struct replication *x, struct err *e)
{
	struct repository *from = x->plan.from;
	struct object_id *ids;
	int pinned;

	if (!x->n_order)
		return 0;
	ids = calloc(x->n_order, sizeof(*ids));
	if (!ids)
		return err_oom(e);
	for (size_t i = 0; i < x->n_order; i++)
		ids[i] = x->plan.v[x->order[i]].s.manifest.snapshot;
	pinned = beat_pin(repository_store(from), repository_keys(from),
			  RECORD_READ_REPLICATE, ids, x->n_order, &x->pin, e);
	free(ids);
	x->result.pinned = pinned > 0;
	return pinned < 0 ? -1 : 0;
}

/* The snapshot of the same source nearest in time that the target lists. */
static size_t nearest(const struct replicate_plan *p, size_t at)
{
	const char *source = p->v[at].s.manifest.source;
	size_t best = p->n;

	for (size_t d = 1; d < p->n && best == p->n; d++) {
		if (d <= at && (p->v[at - d].where & REPLICATE_TO) &&
		    !strcmp(p->v[at - d].s.manifest.source, source))
			best = at - d;
		else if (at + d < p->n && (p->v[at + d].where & REPLICATE_TO) &&
			 !strcmp(p->v[at + d].s.manifest.source, source))
			best = at + d;
	}
	return best;
}

/*
 * Whose nodes may be taken for complete (replicate.h): asked after the
 * session was opened.  What the plan saw may have been given up since, and
 * collected.
 */
static int choose_base(struct replication *x, size_t at,
		       const struct manifest **ret, struct err *e)
{
	const struct replicate_plan *p = &x->plan;
	const size_t base = nearest(p, at);
	struct object_id id;
	int deleted;
	int there;

	*ret = NULL;
	if (base == p->n || !writer_trusts_parent(x->writer))
		return 0;
	id = p->v[base].s.manifest.snapshot;
	if (writer_expect_parent(x->writer, id, e))
		return -1;
	if (!writer_trusts_parent(x->writer))
		return 0;
	there = repository_counts(p->to, id, e);
	if (there <= 0)
		return there;
	deleted = replicate_plan_deleted(p, p->to, id, e);
	if (deleted == 0)
		*ret = &p->v[base].s.manifest;
	return deleted < 0 ? -1 : 0;
}

/* Deleted since the plan was made, here or there: 1, 0, -1. */
static int is_deleted(const struct replication *x, struct object_id snapshot,
		      struct err *e)
{
	const int there = replicate_plan_deleted(&x->plan, x->plan.to, snapshot,
						 e);

	if (there)
		return there;
	return replicate_plan_deleted(&x->plan, x->plan.from, snapshot, e);
}

static int publish(struct replication *x, struct repository_snapshot *s,
		   struct err *e)
{
	struct manifest again = s->manifest; /* borrows the lists */
	const enum record_clock clock = s->has_receipt
						? (enum record_clock)s->clock
						: RECORD_PROCESS;

	if (writer_publish(x->writer, &again, s->received, clock, e))
		return -1;
	/* What makes it visible where it was deleted comes last, while our
	 * session still keeps collectors from what it reaches. */
	return replicate_undeletes(x->plan.from, x->writer,
				   s->manifest.snapshot, &x->tally, e);
}

/* Item's snapshot as it is to be locked in the target; borrows. */
static struct repository_snapshot as_locked(const struct replicate_item *item)
{
	struct repository_snapshot own = item->s;
	const struct instant until = instant_add_ms(own.received,
						    item->lock_ms);

	if (!item->by_rule)
		return own;
	/* These were copied with the records. */
	own.locked = own.locked_for_all;
	own.locked_until = own.locked_for_all_until;
	own.lock_is_here = item->lock_ms > 0;
	if (item->lock_ms == 0)
		return own;
	if (!own.locked || own.locked_until.sec == INT64_MAX ||
	    instant_compare(until, own.locked_until) > 0)
		own.locked_until = until;
	own.locked = true;
	return own;
}

/*
 * The same for what is there already: without a rule, the locks that every
 * region has.  Others of the source's region may last for years, and it may
 * never have been copied from there.
 */
static struct repository_snapshot
as_locked_late(const struct replicate_item *item)
{
	struct repository_snapshot own = as_locked(item);

	if (item->by_rule)
		return own;
	own.locked = own.locked_for_all;
	own.locked_until = own.locked_for_all_until;
	own.lock_is_here = false;
	return own;
}

/* Of what is copied, or may have been cut off. */
static int ask_rules(struct replication *x, struct err *e)
{
	for (size_t i = 0; i < x->plan.n; i++) {
		struct replicate_item *item = &x->plan.v[i];
		int by_rule = x->o->lock_ms > 0;

		item->lock_ms = x->o->lock_ms;
		if (x->o->lock_of &&
		    (item->unnamed || !(item->where & REPLICATE_TO)))
			by_rule = x->o->lock_of(x->o->arg, &item->s,
						&item->lock_ms, e);
		if (by_rule < 0)
			return -1;
		item->by_rule = by_rule > 0;
	}
	return 0;
}

/*
 * The locks that were copied name sessions of the source: one of this region
 * has to name ours, so that a void that is forged hides nothing (voids.c).
 */
static int lock_here(struct replication *x,
		     const struct repository_snapshot *own,
		     struct instant until, struct instant now, struct err *e)
{
	struct repository *to = x->plan.to;
	struct record l;

	record_init(&l, OBJECT_LOCK);
	l.id = record_lock_id(own->manifest.snapshot, own->lock_is_here);
	l.snapshot = own->manifest.snapshot;
	l.session = writer_session(x->writer);
	l.until = until;
	l.time = now;
	(void)snprintf(l.by, sizeof(l.by), "%s", x->o->host);
	if (record_put(repository_store(to), repository_keys(to), &l, 0, e))
		return err_wrap(e, "cannot lock the copy");
	return 0;
}

/*
 * What concerns this snapshot alone, so that the others can go on.  What the
 * source's disk cannot read comes as ERR_CORRUPT, too (reader.h): EIO is the
 * target's, and nothing can be written there.
 */
static bool concerns_one(const struct err *e)
{
	return e->code == ERR_CORRUPT || e->code == ERR_NEWER ||
	       e->code == ERR_BAD_KEY;
}

/*
 * One snapshot: 1 copied, 0 left out because it was deleted meanwhile, -1.
 *
 *  1. PUT the session; read marks and quarantines
 *  2. packs of what the target lacks, then index objects that name them
 *  3. receipt, manifest, fence (writer_publish)
 *  4. undeletes, if the target had it deleted; where it is guarded, a lock that
 *     names the session; remove the session
 */
static int copy_one(struct replication *x, size_t at, struct replicate_one *one,
		    struct err *e)
{
	struct repository_snapshot *s = &x->plan.v[at].s;
	const struct instant now = clock_now();
	const struct repository_snapshot own = as_locked(&x->plan.v[at]);
	/* Until when the copy is to be locked; 0: it is not. */
	const struct instant need = guards_need(&own, now);
	const struct writer_options o = {
		.purpose = RECORD_REPLICATE,
		.snapshot = s->manifest.snapshot,
		.host = x->o->host,
		.scratch = x->o->scratch,
		.lock_ms = need.sec ? instant_ms_between(s->received, need) : 0,
	};
	struct replicate_copy c = { .from = x->plan.from,
				    .o = x->o,
				    .limits = x->limits,
				    .tick = tick,
				    .arg = x };
	CLEANUP(writer_close) struct writer *w = NULL;
	struct err why = { 0 };
	struct writer_totals t;
	int guarding;
	int deleted;

	/* As long as its own lock: others need not what only it needs. */
	guarding = guards_begin(x->plan.to, guards_ahead(s->received, need),
				now, e);
	if (guarding < 0 || writer_open(x->plan.to, &o, &w, e))
		return -1;
	x->writer = w;
	c.writer = w;
	if (choose_base(x, at, &c.base, e) ||
	    replicate_copy_chunks(&c, &s->manifest, e)) {
		/* Before there was a pin, or after we stood still, a collector
		 * may have taken what was deleted: that is no damage. */
		if (concerns_one(e) &&
		    is_deleted(x, s->manifest.snapshot, &why) > 0)
			return 0;
		writer_explain(w, e);
		return -1;
	}
	deleted = is_deleted(x, s->manifest.snapshot, e);
	if (deleted)
		return deleted < 0 ? -1 : 0;
	if (publish(x, s, e) || ((guarding || (need.sec && own.lock_is_here)) &&
				 lock_here(x, &own, need, now, e))) {
		writer_explain(w, e);
		return -1;
	}
	t = writer_totals(w);
	x->guarding = *writer_guarding(w);
	/* In force, for nobody knows how long. */
	if (own.locked && need.sec == 0 &&
	    store_can_guard(repository_store(x->plan.to), &why) > 0) {
		(void)err_set(&x->guarding.why, ERR_CORRUPT,
			      "a lock of it does not open");
		err_add_reason(&x->guarding.why, own.unread_sys);
	}
	if (x->guarding.why.code)
		one->unguarded = &x->guarding.why;
	one->chunks = t.chunks_new;
	one->bytes = t.bytes_new;
	return 1;
}

static int copy_next(struct replication *x, size_t at, struct err *e)
{
	struct replicate_item *item = &x->plan.v[at];
	struct replicate_one one = { .snapshot = &item->s };
	struct err why = { 0 };
	const int copied = copy_one(x, at, &one, &why);
	char hex[OBJECT_ID_TEXT];

	x->writer = NULL;
	if (copied == 0) {
		x->result.deleted++;
		return 0;
	}
	if (copied < 0) {
		if (why.code == ERR_CORRUPT)
			(void)!beat_judge(x->pin, "the copying", &why);
		object_id_format(item->s.manifest.snapshot, hex);
		(void)err_wrap(&why, "cannot copy snapshot %s", hex);
		if (!concerns_one(&why)) {
			*e = why;
			return -1;
		}
		x->result.failed++;
		one.why = &why;
	} else {
		item->where |= REPLICATE_TO;
		x->result.copied++;
		x->progress.snapshots++;
		x->progress.chunks += one.chunks;
		x->progress.bytes += one.bytes;
	}
	tick(x);
	return x->o->done ? x->o->done(x->o->arg, &one, e) : 0;
}

static int tell_all(struct replication *x, struct err *e)
{
	for (size_t i = 0; i < x->n_order; i++) {
		const struct replicate_one one = {
			.snapshot = &x->plan.v[x->order[i]].s
		};

		x->result.copied++;
		if (x->o->done && x->o->done(x->o->arg, &one, e))
			return -1;
	}
	return 0;
}

/*
 * Whether a copy may have been cut off between its manifest and lock_here().
 * Where the target has a rule of its own that is not told from one that is
 * older than the rule, and locked as well.  Else what was copied without a lock
 * stays so, and nothing is known of the others' rule when they were not asked
 * for: the source's may be of that region alone, and last for years.
 */
static bool lacks_lock(const struct replication *x,
		       const struct replicate_item *item, struct instant need,
		       struct instant now)
{
	return item->unnamed &&
	       (x->o->lock_ms > 0 ||
		(item->s.locked &&
		 (item->by_rule ||
		  is_wanted(x->o, item->s.manifest.snapshot)))) &&
	       instant_compare(need, now) > 0;
}

static int lock_unnamed(struct replication *x, struct err *e)
{
	struct repository *to = x->plan.to;
	const struct instant now = clock_now();
	int can = -1;

	for (size_t i = 0; i < x->plan.n; i++) {
		const struct replicate_item *item = &x->plan.v[i];
		struct repository_snapshot s = as_locked_late(item);
		const struct instant need = guards_need(&s, now);

		if (!lacks_lock(x, item, need, now))
			continue;
		s.manifest.session = item->session;
		if (can < 0)
			can = store_can_guard(repository_store(to), e);
		if (can < 0)
			return -1;
		/* Where nothing is guarded the locks that were copied do. */
		if (!can && !s.lock_is_here)
			continue;
		if (guards_begin(to, guards_ahead(s.received, need), now, e) <
			    0 ||
		    guards_lock(to, &s, need, now, NULL, e) < 0)
			return err_wrap(e, "cannot lock a copy");
	}
	return 0;
}

static int copy_all(struct replication *x, struct err *e)
{
	if (lock_unnamed(x, e))
		return -1;
	for (size_t i = 0; i < x->n_order; i++) {
		if (x->o->cancel && atomic_load(x->o->cancel))
			return err_set(e, ERR_INTERRUPTED, "interrupted");
		if (copy_next(x, x->order[i], e))
			return -1;
	}
	return 0;
}

/* What another region deleted; it need not know that the target has it. */
static int refuse_deleted(struct replication *x, struct err *e)
{
	for (size_t i = 0; i < x->o->n_also; i++)
		if (replicate_plan_refuse(&x->plan, x->o->also[i], x->o->apart,
					  e))
			return -1;
	return 0;
}

static int run(struct replication *x, struct repository *from,
	       struct repository *to, struct err *e)
{
	int failed;

	if (replicate_limits_new(x->o, &x->limits, e) ||
	    (!x->o->dry_run &&
	     replicate_records(from, to, x->o, &x->tally, e)) ||
	    replicate_plan_make(&x->plan, from, to, e) || check_wanted(x, e) ||
	    refuse_deleted(x, e) || put_in_order(x, e) || ask_rules(x, e))
		return -1;
	if (x->o->dry_run)
		return tell_all(x, e);
	if (pin(x, e))
		return -1;
	tick(x);
	failed = copy_all(x, e);
	beat_stop(x->pin);
	if (!failed && x->o->unread && !x->o->only)
		failed = replicate_plan_unread(&x->plan, x->o->unread,
					       x->o->arg, e);
	return failed;
}

int replicate_run(struct repository *from, struct repository *to,
		  const struct replicate_options *o,
		  struct replicate_result *ret, struct err *e)
{
	struct replication x = { .o = o };
	int failed;

	if (!object_id_equal(keys_repository(repository_keys(from)),
			     keys_repository(repository_keys(to))))
		return err_set(e, ERR_USAGE,
			       "%s and %s are different repositories",
			       store_shown(repository_store(from)).s,
			       store_shown(repository_store(to)).s);
	/* Boxes and chunks move sealed: under another key of the same number
	 * they would arrive, be listed, and never open. */
	if (!keys_agree(repository_keys(from), repository_keys(to))) {
		(void)err_set(e, ERR_CORRUPT, "the keys of %s and %s differ",
			      store_shown(repository_store(from)).s,
			      store_shown(repository_store(to)).s);
		return err_hint(e, "they were changed in both, apart from one "
				   "another");
	}
	failed = run(&x, from, to, e);
	if (!failed) {
		x.result.unopened_from = x.plan.unopened_from;
		x.result.unopened_to = x.plan.unopened_to;
		x.result.unopened_records = x.tally.unopened;
		x.result.records = x.tally.copied;
		x.result.chunks = x.progress.chunks;
		x.result.bytes = x.progress.bytes;
		*ret = x.result;
	}
	replicate_plan_done(&x.plan);
	replicate_limits_free(x.limits);
	free(x.order);
	return failed ? -1 : 0;
}

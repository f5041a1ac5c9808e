#include "storage/heal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "storage/rate.h"
#include "storage/replicate.h"
#include "storage/repository/seal.h"

/* Each look leads at least one level further down some tree; there are a
 * handful.  More means that somebody damages it meanwhile. */
#define LOOKS_MAX 32
/* So many find that others moved or changed what they looked at. */
#define MOVED_MAX 5

struct healing {
	const char *url;
	const struct keyring_credential *credential;
	const struct heal_options *o;
	struct heal_result result;
	struct check_other *others; /* as o->from */
	struct rate *in;	    /* from each of them */
	struct rate out;
	unsigned int moved; /* looks that were for nothing */
	bool looked;
	bool reads; /* packs, not only their directories */
	/* Packs that the next look reads: what the last one found damaged. */
	struct object_id *suspects;
	size_t n_suspects;
	struct object_id *only; /* or NULL */
	size_t n_only;
	struct object_id *skip;
	size_t n_skip;

	/* Step 3: whose turn it is. */
	struct heal_source *source;
};

static void healing_done(struct healing *x)
{
	heal_result_done(&x->result);
	free(x->others);
	free(x->in);
	free(x->suspects);
	free(x->only);
	free(x->skip);
}

void heal_result_done(struct heal_result *x)
{
	check_result_done(&x->found);
	check_result_done(&x->left);
	free(x->snapshots);
	free(x->failures);
	*x = (struct heal_result){ .sound = false };
}

static uint64_t kept(const struct check_result *r)
{
	return r->n_findings < CHECK_FINDINGS_MAX ? r->n_findings
						  : CHECK_FINDINGS_MAX;
}

static bool has(const struct object_id *v, size_t n, struct object_id id)
{
	for (size_t i = 0; i < n; i++)
		if (object_id_equal(v[i], id))
			return true;
	return false;
}

/* ---- Looking, and what chunks it takes ---------------------------------- */

static bool is_suspect(void *arg, struct object_id pack)
{
	const struct healing *x = arg;

	return has(x->suspects, x->n_suspects, pack);
}

static void on_progress(void *arg, const struct check_progress *p)
{
	const struct healing *x = arg;

	x->o->progress(x->o->arg, p);
}

/* Rest for what came, awake enough to be cancelled. */
static int on_fetched(void *arg, size_t other, uint64_t bytes, struct err *e)
{
	struct healing *x = arg;
	const int64_t now_us = clock_boot_ms() * 1000;
	const int64_t in_us = rate_moved(&x->in[other], bytes, now_us);
	const int64_t out_us = rate_moved(&x->out, bytes, now_us);

	for (int64_t us = in_us > out_us ? in_us : out_us; us > 0;
	     us -= 100000) {
		if (x->o->cancel && atomic_load(x->o->cancel))
			return err_set(e, ERR_INTERRUPTED, "interrupted");
		clock_sleep_ms(((us < 100000 ? us : 100000) + 999) / 1000);
	}
	return 0;
}

/* ---- What it takes to be opened ----------------------------------------- */

/* Whether anything sealed there opens with these keys. */
struct proving {
	struct store *s;
	const struct keys *keys;
	bool proven;
	unsigned int tried;
};

/* Objects that are looked at: not all of them will be damaged. */
#define PROOFS 64

static int prove(void *arg, const struct store_entry *entry,
		 struct err *e UNUSED)
{
	struct proving *p = arg;
	CLEANUP(buf_wipe) struct buf payload;
	struct err why = { 0 };

	buf_init(&payload, SEAL_PAYLOAD_MAX);
	p->proven = seal_box_get(p->s, p->keys, OBJECT_MANIFEST, entry->name,
				 &payload, &why) == 1;
	return p->proven || ++p->tried == PROOFS;
}

/*
 * A place without a config, or with one that does not open, is this region
 * only if its manifests say so: they are sealed with this repository's keys.
 */
static int mend_config(struct repository *from, struct store *to, struct err *e)
{
	struct proving p = { .s = to, .keys = repository_keys(from) };
	CLEANUP(buf_done) struct buf ours;
	CLEANUP(buf_done) struct buf theirs;
	int found;

	buf_init(&ours, SEAL_BOX_MAX);
	buf_init(&theirs, SEAL_BOX_MAX);
	found = store_get(to, "config", &ours, e);
	if (found < 0 ||
	    store_get(repository_store(from), "config", &theirs, e) <= 0)
		return -1;
	if (found && ours.len == theirs.len &&
	    !memcmp(ours.data, theirs.data, ours.len))
		return 0;
	if (store_list(to, "snapshots/", prove, &p, e))
		return -1;
	if (!p.proven)
		return err_set(e, ERR_NOT_FOUND,
			       "nothing at %s shows that it is a region of the "
			       "repository",
			       text_quote_str(to->url).s);
	return store_put(to, "config", theirs.data, theirs.len, STORE_REPLACE,
			 e);
}

static int mend_opening(const struct healing *x, struct err *e)
{
	CLEANUP(store_close) struct store *s = NULL;
	struct err why = { 0 };

	if (store_open(x->url, false, &s, e))
		return -1;
	for (size_t i = 0; i < x->o->n_from; i++) {
		struct repository *from = x->o->from[i].r;

		if (mend_config(from, s, &why) == 0 &&
		    replicate_settle(repository_store(from), s, x->credential,
				     &why) == 0)
			return 0;
	}
	*e = why;
	return -1;
}

/*
 * What fails is told by the opening.  Not where there is no config: settling
 * would make a region of an empty place, which a typing error may name.
 */
static void bring_keys(const struct healing *x)
{
	CLEANUP(store_close) struct store *s = NULL;
	struct err ignored = { 0 };
	uint64_t size;

	if (store_open(x->url, false, &s, &ignored) ||
	    store_size(s, "config", &size, &ignored) <= 0)
		return;
	for (size_t i = 0; i < x->o->n_from; i++)
		(void)!replicate_settle(repository_store(x->o->from[i].r), s,
					x->credential, &ignored);
}

/* A failure to mend it tells less than why it does not open. */
static int open_or_mend(const struct healing *x, struct repository **ret,
			struct err *e)
{
	struct err ignored = { 0 };

	if (repository_open(x->url, x->credential, ret, e) == 0)
		return 0;
	if (x->o->dry_run ||
	    (e->code != ERR_NOT_FOUND && e->code != ERR_CORRUPT &&
	     e->code != ERR_BAD_KEY) ||
	    mend_opening(x, &ignored))
		return -1;
	err_clear(e);
	return repository_open(x->url, x->credential, ret, e);
}

static int open_region(const struct healing *x, struct repository **ret,
		       struct err *e)
{
	CLEANUP(repository_close) struct repository *r = NULL;

	if (open_or_mend(x, &r, e))
		return -1;
	for (size_t i = 0; i < x->o->n_from; i++) {
		struct repository *from = x->o->from[i].r;

		if (object_id_equal(keys_repository(repository_keys(r)),
				    keys_repository(repository_keys(from))) &&
		    keys_agree(repository_keys(r), repository_keys(from)))
			continue;
		return err_set(e, ERR_USAGE,
			       "%s and %s are no regions of one repository, or "
			       "their keys differ",
			       text_quote_str(x->url).s,
			       text_quote_str(repository_store(from)->url).s);
	}
	*ret = TAKE(r);
	return 0;
}

/* What the last look found in packs: they are read again. */
static int suspect(struct healing *x, const struct check_result *r,
		   struct err *e)
{
	const uint64_t n = kept(r);
	struct object_id *v = calloc(n + 1, sizeof(*v));
	struct object_id first;

	if (!v)
		return err_oom(e);
	free(x->suspects);
	x->suspects = v;
	x->n_suspects = 0;
	for (uint64_t i = 0; i < n; i++) {
		const struct check_finding *f = &r->findings[i];

		if ((f->kind == OBJECT_DATA_PACK ||
		     f->kind == OBJECT_META_PACK) &&
		    object_name_parse(f->kind, f->object, &first,
				      &v[x->n_suspects]))
			x->n_suspects++;
	}
	return 0;
}

static void gather(struct healing *x, const struct check_result *r)
{
	struct heal_result *out = &x->result;

	out->indexed += r->indexed;
	out->salvaged += r->salvaged;
	out->fetched += r->fetched;
	out->quarantined += r->quarantined;
	for (size_t i = 0; i < x->o->n_from; i++) {
		struct heal_source *s = &x->o->from[i];

		s->chunks += x->others[i].chunks;
		s->bytes += x->others[i].bytes;
		out->bytes += x->others[i].bytes;
		s->why = x->others[i].why;
	}
}

/* One look: 1 when another is due, as it changed anything, or others did; 0;
 * -1. */
static int look(struct healing *x, struct err *e)
{
	CLEANUP(repository_close) struct repository *r = NULL;
	struct heal_result *out = &x->result;
	const bool all = !x->looked && x->o->read_data;
	bool moved = false;
	const struct check_options o = {
		.level = all || (x->reads && x->n_suspects) ? CHECK_DATA
							    : CHECK_STRUCTURE,
		.repair = !x->o->dry_run,
		.others = x->others,
		.n_others = x->o->n_from,
		.only_replaced = true,
		.wanted = all ? NULL : is_suspect,
		.now = x->o->now,
		.scratch = x->o->scratch,
		.cancel = x->o->cancel,
		.progress = x->o->progress ? on_progress : NULL,
		.fetched = on_fetched,
		.arg = x,
		.moved = &moved,
	};
	struct check_result *ret = x->looked ? &out->left : &out->found;

	/* What is told of a source is what came in this look. */
	for (size_t i = 0; i < x->o->n_from; i++)
		x->others[i] = (struct check_other){ .r = x->o->from[i].r,
						     .why = x->o->from[i].why };
	check_result_done(&out->left);
	if (open_region(x, &r, e))
		return -1;
	if (check_run(r, &o, ret, e))
		return moved && x->moved++ < MOVED_MAX ? 1 : -1;
	if (suspect(x, ret, e))
		return -1;
	x->looked = true;
	gather(x, ret);
	return ret->indexed || ret->salvaged || ret->fetched ||
	       ret->quarantined;
}

/* Until nothing more comes of it: the last look tells what is left. */
static int settle(struct healing *x, struct err *e)
{
	for (unsigned int i = 0; i < LOOKS_MAX; i++) {
		const int more = look(x, e);

		if (more <= 0)
			return more;
	}
	(void)err_set(e, ERR_BUSY, "it is damaged again and again");
	return err_hint(e, "look at its disk");
}

/* ---- Snapshots ---------------------------------------------------------- */

static int add_id(struct object_id **v, size_t *n, struct object_id id,
		  struct err *e)
{
	/* A power of two, or the first: there is no more room. */
	if ((*n & (*n - 1)) == 0) {
		struct object_id *more = reallocarray(*v, *n ? 2 * *n : 1,
						      sizeof(*more));

		if (!more)
			return err_oom(e);
		*v = more;
	}
	(*v)[(*n)++] = id;
	return 0;
}

/* Those that are asked for, and those whose manifests do not open. */
static int choose(struct healing *x, struct err *e)
{
	const struct check_result *r = &x->result.found;
	struct object_id first;
	struct object_id last;

	if (!x->o->only)
		return 0;
	for (size_t i = 0; i < x->o->n_only; i++)
		if (add_id(&x->only, &x->n_only, x->o->only[i], e))
			return -1;
	for (uint64_t i = 0; i < kept(r); i++)
		if (r->findings[i].kind == OBJECT_MANIFEST &&
		    object_name_parse(OBJECT_MANIFEST, r->findings[i].object,
				      &first, &last) &&
		    add_id(&x->only, &x->n_only, first, e))
			return -1;
	return 0;
}

static void forget_failure(struct heal_result *out, struct object_id snapshot)
{
	for (size_t i = 0; i < out->n_failures && i < HEAL_FAILURES_MAX; i++)
		if (object_id_equal(out->failures[i].snapshot, snapshot)) {
			out->n_failures--;
			if (out->n_failures < HEAL_FAILURES_MAX)
				out->failures[i] =
					out->failures[out->n_failures];
			return;
		}
}

/* The first region's reason stands, unless another one has it soundly. */
static int note_failure(struct heal_result *out, struct object_id snapshot,
			const struct err *why, struct err *e)
{
	struct heal_failure *more;

	for (size_t i = 0; i < out->n_failures && i < HEAL_FAILURES_MAX; i++)
		if (object_id_equal(out->failures[i].snapshot, snapshot))
			return 0;
	if (out->n_failures >= HEAL_FAILURES_MAX) {
		out->n_failures++;
		return 0;
	}
	more = reallocarray(out->failures, out->n_failures + 1, sizeof(*more));
	if (!more)
		return err_oom(e);
	out->failures = more;
	more[out->n_failures].snapshot = snapshot;
	(void)text_fit(why->text, more[out->n_failures].why, sizeof(more->why));
	out->n_failures++;
	return 0;
}

static int on_done(void *arg, const struct replicate_one *one, struct err *e)
{
	struct healing *x = arg;
	struct heal_result *out = &x->result;
	const struct object_id id = one->snapshot->manifest.snapshot;

	if (one->why)
		return note_failure(out, id, one->why, e);
	forget_failure(out, id);
	x->source->bytes += one->bytes;
	x->source->chunks += one->chunks;
	out->bytes += one->bytes;
	out->fetched += one->chunks;
	/* With dry_run several regions may offer it. */
	if (has(out->snapshots, out->n_snapshots, id))
		return 0;
	x->source->snapshots++;
	return add_id(&out->snapshots, &out->n_snapshots, id, e);
}

static void on_copying(void *arg, const struct replicate_progress *p)
{
	const struct healing *x = arg;
	const struct check_progress told = { .stage = "snapshots",
					     .done = p->snapshots,
					     .bytes = p->bytes };

	x->o->progress(x->o->arg, &told);
}

static int on_locking(void *arg, const struct repository_snapshot *s,
		      int64_t *ret_ms, struct err *e)
{
	const struct healing *x = arg;

	return x->o->lock_of(x->o->arg, s, ret_ms, e);
}

/* From one region.  That it fails is told, and the next has its turn. */
static int bring_back_from(struct healing *x, struct repository *to,
			   struct repository *const *all, struct err *e)
{
	const struct replicate_options o = {
		.only = x->only,
		.n_only = x->n_only,
		.skip = x->skip,
		.n_skip = x->n_skip,
		.heal = true,
		.apart = x->o->apart,
		.dry_run = x->o->dry_run,
		.also = all,
		.n_also = x->o->n_from,
		.lock_ms = x->o->lock_ms,
		.lock_of = x->o->lock_of ? on_locking : NULL,
		.read_limit = x->source->read_limit,
		.write_limit = x->o->write_limit,
		.host = x->o->host,
		.scratch = x->o->scratch,
		.cancel = x->o->cancel,
		.progress = x->o->progress ? on_copying : NULL,
		.done = on_done,
		.arg = x,
	};
	char told[REPLICATE_UNOPENED_TEXT];
	struct replicate_unopened unopened;
	struct replicate_result r;
	struct err why = { 0 };

	if (replicate_run(x->source->r, to, &o, &r, &why)) {
		if (why.code == ERR_INTERRUPTED || why.code == ERR_NO_MEMORY) {
			*e = why;
			return -1;
		}
		x->source->why = why;
		return 0;
	}
	unopened = replicate_unopened_sum(&r.unopened_from,
					  &r.unopened_records);
	if (unopened.n)
		(void)err_set(&x->source->why, ERR_CORRUPT, "%s",
			      replicate_unopened_text(&unopened, told));
	x->result.records += r.records;
	if (r.deleted > x->result.deleted)
		x->result.deleted = r.deleted;
	return 0;
}

static bool is_damaged(const struct healing *x, struct object_id id)
{
	const struct check_result *r = &x->result.found;
	struct object_id first;
	struct object_id last;

	for (uint64_t i = 0; i < kept(r); i++)
		if (r->findings[i].kind == OBJECT_MANIFEST &&
		    object_name_parse(OBJECT_MANIFEST, r->findings[i].object,
				      &first, &last) &&
		    object_id_equal(first, id))
			return true;
	return false;
}

/* A manifest that is damaged nobody lets go of: it stays so until it is
 * mended. */
static int leave_out(struct healing *x, struct repository *to, struct err *e)
{
	size_t n = 0;

	if (!x->o->unwanted)
		return 0;
	if (x->o->unwanted(x->o->arg, to, &x->skip, &x->n_skip, e) < 0)
		return -1;
	for (size_t i = 0; i < x->n_skip; i++)
		if (!is_damaged(x, x->skip[i]))
			x->skip[n++] = x->skip[i];
	x->n_skip = n;
	x->result.let_go = n;
	return 0;
}

/* They come with the records, of whatever snapshots. */
static bool lacks_receipts(const struct healing *x)
{
	const struct check_result *r = heal_left(&x->result);

	for (uint64_t i = 0; i < kept(r); i++)
		if (r->findings[i].is_absent)
			return true;
	return false;
}

static int bring_back(struct healing *x, struct err *e)
{
	CLEANUP(repository_close) struct repository *to = NULL;
	struct repository **all;
	int failed = 0;

	if (choose(x, e))
		return -1;
	if (x->o->only && !x->n_only && !lacks_receipts(x))
		return 0;
	all = calloc(x->o->n_from + 1, sizeof(struct repository *));
	if (!all)
		return err_oom(e);
	for (size_t i = 0; i < x->o->n_from; i++)
		all[i] = x->o->from[i].r;
	failed = open_region(x, &to, e) || leave_out(x, to, e);
	for (size_t i = 0; !failed && i < x->o->n_from; i++) {
		x->source = &x->o->from[i];
		if (!x->source->why.code)
			failed = bring_back_from(x, to, all, e);
	}
	free(all);
	return failed;
}

/* ---- The whole ---------------------------------------------------------- */

static void conclude(struct healing *x)
{
	struct heal_result *out = &x->result;

	out->offered = out->found.offered;
	out->sound = heal_left(out)->sound && out->n_failures == 0 &&
		     !(x->o->dry_run && out->n_snapshots);
}

static int run(struct healing *x, struct err *e)
{
	x->others = calloc(x->o->n_from + 1, sizeof(*x->others));
	x->in = calloc(x->o->n_from + 1, sizeof(*x->in));
	if (!x->others || !x->in)
		return err_oom(e);
	for (size_t i = 0; i < x->o->n_from; i++)
		rate_init(&x->in[i], x->o->from[i].read_limit);
	rate_init(&x->out, x->o->write_limit);
	for (size_t i = 0; i < x->o->n_suspects; i++)
		if (add_id(&x->suspects, &x->n_suspects, x->o->suspects[i], e))
			return -1;
	x->reads = x->o->read_data || x->n_suspects;
	if (!x->o->dry_run)
		bring_keys(x);
	if ((x->o->dry_run ? look(x, e) : settle(x, e)) < 0 || bring_back(x, e))
		return -1;
	if (!x->o->dry_run && (x->result.n_snapshots || x->result.records) &&
	    settle(x, e) < 0)
		return -1;
	conclude(x);
	return 0;
}

int heal_run(const char *url, const struct keyring_credential *c,
	     const struct heal_options *o, struct heal_result *ret,
	     struct err *e)
{
	struct healing x = { .url = url, .credential = c, .o = o };
	const int failed = run(&x, e);

	if (!failed) {
		*ret = x.result;
		x.result = (struct heal_result){ .sound = false };
	}
	healing_done(&x);
	return failed;
}

#include <check.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/seam.h"
#include "tests/support/guard_place.h"
#include "tests/support/power_cut_internal.h"
#include "tests/support/random.h"

static const char *const kind_words[] = {
	[BYTES] = "write",
	[SIZE] = "truncate",
	[NAMED] = "name",
	[UNNAMED] = "unlink",
	[MOVED] = "rename",
	[ATTRIBUTES] = "attributes",
	[FILE_SYNCED] = "fsync",
	[NAMES_SYNCED] = "syncdir",
	[SYNC_FAILED] = "failed sync",
	[ACK] = "acknowledge",
};

static const char *const disk_words[] = {
	[NONE] = "nothing uncertain",
	[ALL] = "all",
	[ONLY_NAMES] = "only the names",
	[ONLY_BYTES] = "only the bytes",
	[ALONE] = "one uncertain change, that of call",
	[ALL_BUT] = "all but call",
	[HALF] = "half of the last write, and all else",
	[HALF_ALONE] = "half of the last write",
	[ZEROS] = "zeros for the last write, and all else",
	[AT_RANDOM] = "some of it, by dice",
};

/* ---- A disk -------------------------------------------------------------- */

/* What is on a disk; of another one what it shares with that. */
struct state {
	struct on_disk {
		uint8_t *bytes;
		size_t size;
		size_t room;		/* 0: shared */
		uint64_t hash;		/* of the bytes; 0: not known */
		const char *attributes; /* the recording's; or NULL */
		struct names names;
		bool shares_names;
	} * of;
};

/* What is certain up to a cut, and what is not: made from cut to cut. */
struct progress {
	struct state certain;
	size_t cut;
	size_t *uncertain; /* changes, in order */
	size_t n;
};

/* The last change before the cut, if that is an uncertain write; or NOBODY. */
static size_t last_write(const struct power_cut *p, size_t cut)
{
	for (size_t i = cut; i > 0; i--) {
		if (p->changes[i - 1].kind == ACK)
			continue;
		return p->changes[i - 1].kind == BYTES &&
				       p->changes[i - 1].n > 1
			       ? i - 1
			       : NOBODY;
	}
	return NOBODY;
}

/* Whether the disk has an uncertain change. */
static bool has(const struct power_cut *p, const struct disk *d, size_t i,
		struct random *dice)
{
	const enum kind kind = p->changes[i].kind;
	const bool bytes = kind == BYTES || kind == SIZE || kind == ATTRIBUTES;

	if (p->changes[i].lost < d->cut)
		return false;
	switch (d->kind) {
	case ALL:
	case HALF:
	case ZEROS:
		return true;
	case ONLY_NAMES:
		return !bytes;
	case ONLY_BYTES:
		return bytes;
	case ALONE:
		return i == d->which;
	case ALL_BUT:
		return i != d->which;
	case HALF_ALONE:
		return i == last_write(p, d->cut);
	case AT_RANDOM:
		return random_below(dice, 2) == 1;
	case NONE:
		break;
	}
	return false;
}

static void set_size(struct on_disk *f, size_t size)
{
	if (size > f->room || f->room == 0) {
		const size_t room = 2 * size + 16;
		uint8_t *bytes = calloc(1, room);

		ck_assert_ptr_nonnull(bytes);
		if (f->bytes && f->size)
			memcpy(bytes, f->bytes,
			       f->size < size ? f->size : size);
		if (f->room)
			free(f->bytes);
		f->bytes = bytes;
		f->room = room;
	}
	if (size > f->size)
		memset(f->bytes + f->size, 0, size - f->size);
	f->size = size;
	f->hash = 0;
}

static struct names *names_of(struct state *s, size_t folder)
{
	struct on_disk *f = &s->of[folder];

	if (f->shares_names)
		f->names = names_copy(&f->names);
	f->shares_names = false;
	return &f->names;
}

static void put_bytes(struct on_disk *f, const struct change *c, size_t n,
		      bool zeros)
{
	const size_t end = c->offset + n;

	set_size(f, end > f->size ? end : f->size);
	if (zeros)
		memset(f->bytes + c->offset, 0, n);
	else
		memcpy(f->bytes + c->offset, c->bytes, n);
}

static void apply(struct state *s, const struct change *c, size_t n, bool zeros)
{
	switch (c->kind) {
	case BYTES:
		put_bytes(&s->of[c->object], c, n, zeros);
		break;
	case SIZE:
		set_size(&s->of[c->object], c->offset);
		break;
	case MOVED:
		names_remove(names_of(s, c->old_folder), c->old_name);
		names_set(names_of(s, c->object), c->name, c->target);
		break;
	case NAMED:
		names_set(names_of(s, c->object), c->name, c->target);
		break;
	case UNNAMED:
		names_remove(names_of(s, c->object), c->name);
		break;
	case ATTRIBUTES:
		s->of[c->object].attributes = (const char *)c->bytes;
		break;
	case FILE_SYNCED:
	case NAMES_SYNCED:
	case SYNC_FAILED:
	case ACK:
		break;
	}
}

static struct state state_new(const struct power_cut *p)
{
	struct state s = { calloc(p->n_objects, sizeof(*s.of)) };

	ck_assert_ptr_nonnull(s.of);
	return s;
}

static void state_done(const struct power_cut *p, struct state *s)
{
	for (size_t i = 0; i < p->n_objects; i++) {
		if (s->of[i].room)
			free(s->of[i].bytes);
		if (!s->of[i].shares_names)
			names_done(&s->of[i].names);
	}
	free(s->of);
}

static void progress_init(const struct power_cut *p, struct progress *g)
{
	g->certain = state_new(p);
	g->cut = 0;
	g->n = 0;
	g->uncertain = NULL;
	for (size_t i = 0; i < p->n_objects; i++) {
		g->certain.of[i].bytes = p->objects[i].bytes;
		g->certain.of[i].size = p->objects[i].size;
		g->certain.of[i].attributes = p->objects[i].attributes;
		g->certain.of[i].names = p->objects[i].names;
		g->certain.of[i].shares_names = true;
	}
}

/* Go on to a later cut. */
static void progress_to(const struct power_cut *p, struct progress *g,
			size_t cut)
{
	size_t left = 0;

	for (; g->cut < cut; g->cut++) {
		g->uncertain = power_cut_grow(g->uncertain, g->n,
					      sizeof(*g->uncertain));
		g->uncertain[g->n++] = g->cut;
	}
	for (size_t i = 0; i < g->n; i++) {
		const struct change *c = &p->changes[g->uncertain[i]];

		if (c->certain < cut)
			apply(&g->certain, c, c->n, false);
		else
			g->uncertain[left++] = g->uncertain[i];
	}
	g->n = left;
}

static void progress_done(const struct power_cut *p, struct progress *g)
{
	state_done(p, &g->certain);
	free(g->uncertain);
}

static struct state state_of(const struct power_cut *p,
			     const struct progress *g, const struct disk *d)
{
	const size_t last = last_write(p, d->cut);
	struct random dice = { .state = d->which + d->cut * 1000 };
	struct state s = state_new(p);

	for (size_t i = 0; i < p->n_objects; i++) {
		s.of[i] = g->certain.of[i];
		s.of[i].room = 0;
		s.of[i].shares_names = true;
	}
	for (size_t k = 0; k < g->n; k++) {
		const size_t i = g->uncertain[k];
		const struct change *c = &p->changes[i];
		const bool torn = i == last &&
				  (d->kind == HALF || d->kind == HALF_ALONE);

		if (has(p, d, i, &dice))
			apply(&s, c, torn ? c->n / 2 : c->n,
			      i == last && d->kind == ZEROS);
	}
	return s;
}

static uint64_t mix(uint64_t hash, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;

	for (; n >= 8; n -= 8, p += 8) {
		uint64_t word;

		memcpy(&word, p, 8);
		hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
		hash ^= hash >> 29;
	}
	for (; n > 0; n--, p++)
		hash = (hash ^ *p) * UINT64_C(0x100000001b3);
	return hash;
}

static uint64_t bytes_hash(struct on_disk *f)
{
	if (f->hash == 0)
		f->hash = mix(mix(2, &f->size, sizeof(f->size)), f->bytes,
			      f->size) |
			  1;
	return f->hash;
}

/* Sums over names, whose order means nothing. */
static uint64_t state_hash(const struct power_cut *p, struct state *s,
			   size_t object)
{
	const char *attributes = s->of[object].attributes;
	uint64_t hash = attributes ? mix(4, attributes, strlen(attributes)) : 1;

	if (!p->objects[object].folder)
		return mix(hash,
			   &(const uint64_t){ bytes_hash(&s->of[object]) },
			   sizeof(uint64_t));
	for (size_t i = 0; i < s->of[object].names.n; i++) {
		const struct name *name = &s->of[object].names.all[i];
		const uint64_t below = state_hash(p, s, name->object);

		hash += mix(mix(3, name->name, strlen(name->name)), &below,
			    sizeof(below));
	}
	return hash;
}

static void state_write(const struct power_cut *p, const struct state *s,
			size_t object, const char *path)
{
	FILE *f;

	if (!p->objects[object].folder) {
		f = fopen(path, "wxe");
		ck_assert_msg(f != NULL, "cannot write %s", path);
		ck_assert_uint_eq(
			fwrite(s->of[object].bytes, 1, s->of[object].size, f),
			s->of[object].size);
		ck_assert_int_eq(fclose(f), 0);
		ck_assert_int_eq(chmod(path, 0600), 0);
		if (s->of[object].attributes)
			power_cut_give(path, s->of[object].attributes);
		return;
	}
	ck_assert_int_eq(mkdir(path, 0700), 0);
	for (size_t i = 0; i < s->of[object].names.n; i++) {
		const struct name *name = &s->of[object].names.all[i];
		char below[PATH_MAX];

		(void)snprintf(below, sizeof(below), "%s/%s", path, name->name);
		state_write(p, s, name->object, below);
	}
	if (s->of[object].attributes)
		power_cut_give(path, s->of[object].attributes);
}

/* ---- All disks ----------------------------------------------------------- */

static bool is_new(const struct power_cut *p, const struct disk *d)
{
	/* The newest first: mostly it is like the one before. */
	for (size_t i = p->n_disks; i > 0; i--)
		if (p->disks[i - 1].hash == d->hash &&
		    p->disks[i - 1].acknowledged >= d->acknowledged)
			return false;
	return true;
}

static void consider(struct power_cut *p, const struct progress *g,
		     struct disk d, enum disk_kind kind, size_t which)
{
	struct state s;

	d.kind = kind;
	d.which = which;
	s = state_of(p, g, &d);
	d.hash = state_hash(p, &s, 0);
	state_done(p, &s);
	if (!is_new(p, &d))
		return;
	p->disks = power_cut_grow(p->disks, p->n_disks, sizeof(*p->disks));
	p->disks[p->n_disks++] = d;
}

#define EACH_OF_LAST 6
#define DICE	     3

static void consider_cut(struct power_cut *p, struct progress *g, size_t cut,
			 unsigned int acknowledged)
{
	const struct disk d = { .cut = cut, .acknowledged = acknowledged };

	progress_to(p, g, cut);
	/* What is certain has no hash of its own until it is asked for. */
	(void)state_hash(p, &g->certain, 0);
	consider(p, g, d, NONE, 0);
	if (g->n == 0)
		return;
	consider(p, g, d, ALL, 0);
	for (size_t i = g->n; i > 0 && g->n - i < EACH_OF_LAST; i--) {
		consider(p, g, d, ALONE, g->uncertain[i - 1]);
		consider(p, g, d, ALL_BUT, g->uncertain[i - 1]);
	}
	if (g->n > 1) {
		consider(p, g, d, ONLY_NAMES, 0);
		consider(p, g, d, ONLY_BYTES, 0);
	}
	for (size_t i = 0; g->n > 2 && i < DICE; i++)
		consider(p, g, d, AT_RANDOM, i + 1);
	if (last_write(p, cut) == NOBODY)
		return;
	consider(p, g, d, HALF, 0);
	consider(p, g, d, HALF_ALONE, 0);
	consider(p, g, d, ZEROS, 0);
}

void power_cut_expect(const struct power_cut *p)
{
	const struct disk whole = { .cut = p->n_changes, .kind = ALL };
	struct power_cut *there = power_cut_record(p->root);
	struct progress g;
	struct state s;
	uint64_t hash;

	seam_set_recorder(NULL, NULL);
	progress_init(p, &g);
	progress_to(p, &g, p->n_changes);
	s = state_of(p, &g, &whole);
	hash = state_hash(p, &s, 0);
	state_done(p, &s);
	progress_done(p, &g);
	progress_init(there, &g);
	ck_assert_msg(hash == state_hash(there, &g.certain, 0),
		      "what was recorded is not what is in %s", p->root);
	progress_done(there, &g);
	power_cut_free(there);
}

/* All of all cuts, in order. */
static void consider_all(struct power_cut *p)
{
	unsigned int acknowledged = 0;
	struct progress g;

	progress_init(p, &g);
	consider_cut(p, &g, 0, 0);
	for (size_t i = 0; i < p->n_changes; i++) {
		acknowledged += p->changes[i].kind == ACK;
		consider_cut(p, &g, i + 1, acknowledged);
	}
	progress_done(p, &g);
}

const char *power_cut_describe(const struct power_cut *p)
{
	return p->described;
}

static void describe(struct power_cut *p, const struct disk *d)
{
	const struct change *c = d->cut ? &p->changes[d->cut - 1] : NULL;
	char which[32] = "";

	if (d->kind == ALONE || d->kind == ALL_BUT)
		(void)snprintf(which, sizeof(which), " %zu", d->which + 1);
	(void)snprintf(p->described, sizeof(p->described),
		       "cut after call %zu of %zu (%s %s), with %s%s", d->cut,
		       p->n_changes, c ? kind_words[c->kind] : "none",
		       c && c->name ? c->name : "", disk_words[d->kind], which);
}

unsigned int power_cut_each(struct power_cut *p, const char *at,
			    unsigned int most, power_cut_check *check,
			    void *arg)
{
	struct random dice = random_seed();
	unsigned int looked = 0;
	struct progress g;
	size_t step = 1;

	consider_all(p);
	if (most && p->n_disks > most)
		step = (p->n_disks + most - 1) / most;
	progress_init(p, &g);
	for (size_t i = random_below(&dice, step); i < p->n_disks; i += step) {
		const struct disk *d = &p->disks[i];
		struct state s;

		progress_to(p, &g, d->cut);
		s = state_of(p, &g, d);
		state_write(p, &s, 0, at);
		state_done(p, &s);
		describe(p, d);
		check(arg, at, d->acknowledged);
		if (p->has_attributes)
			guard_place_remove(at);
		else
			scratch_remove(at);
		looked++;
	}
	progress_done(p, &g);
	return looked;
}

/* Every index object, block by block, against the packs' directories. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/repository/check_internal.h"
#include "storage/repository/voids.h"

static const struct chunk_id whole = { { 0 } };

static int keep_name(void *arg, const struct store_entry *entry, struct err *e)
{
	struct check *c = arg;
	struct object_id first;
	struct object_id id;

	if (!object_name_parse(OBJECT_INDEX, entry->name, &first, &id))
		return 0;
	return buf_add(&c->index_ids, id.b, sizeof(id.b), e);
}

int check_index_list(struct check *c, struct err *e)
{
	return store_list(c->store, "index/", keep_name, c, e);
}

/*
 * Objects.
 */
static int compare_ids(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct object_id));
}

/* All ids that some readable root supersedes, sorted. */
static int superseded(struct check *c, struct buf *ret, struct err *e)
{
	for (size_t i = 0; i < c->n_index; i++) {
		const struct index_object *o = c->index[i];

		assert(o);
		if (buf_add(ret, o->superseded,
			    o->n_superseded * sizeof(*o->superseded), e))
			return -1;
	}
	if (ret->len)
		qsort(ret->data, ret->len / sizeof(struct object_id),
		      sizeof(struct object_id), compare_ids);
	return 0;
}

/* An object of a voided session that its voids do not name is none. */
static int leave_out_voided(struct check *c, struct err *e)
{
	CLEANUP(voids_free) struct voids *v = NULL;
	enum voids_answer answer;
	size_t n = 0;

	if (voids_read(c->store, c->keys, &v, e))
		return -1;
	for (size_t i = 0; i < c->n_index; i++) {
		struct index_object *o = c->index[i];

		assert(o);
		if (voids_judge(v, o->session, o->in.id, &answer, e))
			return -1;
		if (answer == VOIDS_DOES_NOT) {
			index_object_free(o);
			c->index[i] = NULL;
		}
	}
	for (size_t i = 0; i < c->n_index; i++)
		if (c->index[i])
			c->index[n++] = c->index[i];
	c->n_index = n;
	return 0;
}

static bool is_among(const struct buf *ids, struct object_id id)
{
	return ids->len && bsearch(&id, ids->data, ids->len / sizeof(id),
				   sizeof(id), compare_ids);
}

/* One that a later object supersedes was given up, or merged, before. */
static int note_broken(struct check *c, struct object_id id, bool is_superseded,
		       const char *why, struct err *e)
{
	const uint32_t number = check_find(c, object_name(OBJECT_INDEX, id).s,
					   OBJECT_INDEX, why);
	struct check_finding *f = check_finding(c, number);
	struct object_id *grown;

	if (f)
		f->quarantined = is_superseded || check_given_up(c, &whole, id);
	if (is_superseded)
		return 0;
	c->index_finding = number;
	grown = reallocarray(c->broken_index, c->n_broken_index + 1,
			     sizeof(*grown));
	if (!grown)
		return err_oom(e);
	c->broken_index = grown;
	c->broken_index[c->n_broken_index++] = id;
	return 0;
}

/* A failure to read that is the object's own. */
struct broken {
	struct object_id id;
	struct err why;
};

static int open_objects(struct check *c, struct buf *broken, struct err *e)
{
	const size_t n = c->index_ids.len / sizeof(struct object_id);
	struct broken b = { 0 };

	c->index = calloc(n + 1, sizeof(struct index_object *));
	if (!c->index)
		return err_oom(e);
	for (size_t i = 0; i < n; i++) {
		memcpy(b.id.b, c->index_ids.data + i * sizeof(b.id),
		       sizeof(b.id));
		b.why = (struct err){ 0 };
		if (index_object_open(c->store, c->keys, b.id,
				      &c->index[c->n_index], &b.why) == 0) {
			c->n_index++;
		} else if (check_is_damage(&b.why)) {
			check_note_unread(c, &b.why);
			if (buf_add(broken, &b, sizeof(b), e))
				return -1;
		} else if (b.why.code == ERR_NOT_FOUND) {
			return check_moved_meanwhile(
				c, "the index was merged meanwhile", e);
		} else {
			*e = b.why;
			return -1;
		}
	}
	return 0;
}

/*
 * Entries.
 */
static bool agrees(const struct check_place *p, const struct pack_entry *x)
{
	return p->offset == x->place.offset && p->len == x->place.len &&
	       p->plain_len == x->seal.plain_len && p->epoch == x->seal.epoch &&
	       p->domain == x->seal.domain && p->kind == (uint8_t)x->seal.kind;
}

/* The pack that an entry names, which may not be there. */
static int entry_pack(struct check *c, const struct pack_entry *x,
		      struct check_pack **ret, struct err *e)
{
	const enum object_kind kind = chunk_kind_is_meta(x->seal.kind)
					      ? OBJECT_META_PACK
					      : OBJECT_DATA_PACK;
	struct check_pack *p;
	struct check_finding *f;
	void *value;

	if (filemap_add(c->packs, x->place.pack.b, &value, e) < 0)
		return -1;
	p = value;
	*ret = p;
	if (p->listed || p->unusable)
		return 0;
	p->kind = (uint8_t)kind;
	p->unusable = true;
	p->quarantined = check_given_up(c, &whole, x->place.pack);
	if (p->marked)
		return 0;
	p->finding = check_find(c, object_name(kind, x->place.pack).s, kind,
				"it is missing");
	f = check_finding(c, p->finding);
	if (f)
		f->quarantined = p->quarantined;
	return 0;
}

static int place_of(struct check *c, const struct pack_entry *x,
		    const struct check_pack *pack, struct check_place **ret,
		    struct err *e)
{
	const struct check_key key = check_key(&x->seal.id, x->place.pack);
	struct check_place *place;
	void *value;
	const int fresh = filemap_add(c->places, key.b, &value, e);

	if (fresh < 0)
		return -1;
	place = value;
	*ret = place;
	if (fresh) {
		*place = (struct check_place){
			.offset = x->place.offset,
			.len = x->place.len,
			.plain_len = x->seal.plain_len,
			.epoch = x->seal.epoch,
			.domain = x->seal.domain,
			.kind = (uint8_t)x->seal.kind,
			.quarantined = pack->quarantined ||
				       check_given_up(c, &x->seal.id,
						      x->place.pack),
		};
	}
	if (pack->unusable || (place->in_directory && agrees(place, x)))
		return 0;
	return check_damage_chunk(
		c, x,
		"an index object says of a chunk what its directory does "
		"not say",
		e);
}

/*
 * A chunk opens by its own tag, whatever became of its pack's directory.
 * Nothing is lost then, yet.
 */
static int note_loose(struct check *c, const struct pack_entry *x,
		      const struct check_pack *pack, struct check_place *place,
		      struct err *e)
{
	struct check_finding *f = check_finding(c, pack->finding);
	int opens = 0;

	if (pack->listed && !place->quarantined)
		opens = check_opens(c, c->store, x, e);
	if (opens < 0)
		return -1;
	place->loose = opens;
	if (!opens && f && pack->unusable)
		f->chunks++;
	return 0;
}

static int note_chunk(struct check *c, const struct pack_entry *x,
		      const struct check_pack *pack, struct check_place *place,
		      struct err *e)
{
	const bool unsound = place->damaged || place->quarantined ||
			     pack->unusable;
	struct check_chunk *chunk;
	void *value;

	if (filemap_add(c->chunks, x->seal.id.b, &value, e) < 0)
		return -1;
	chunk = value;
	chunk->kind = (uint8_t)x->seal.kind;
	if (unsound) {
		if (note_loose(c, x, pack, place, e))
			return -1;
		chunk->finding = pack->finding;
	}
	chunk->sound += !unsound;
	chunk->loose += place->loose;
	return 0;
}

static int note_entry(struct check *c, const struct pack_entry *x,
		      struct err *e)
{
	struct check_pack *pack;
	struct check_place *place;

	c->out->index_entries++;
	if (entry_pack(c, x, &pack, e) || place_of(c, x, pack, &place, e))
		return -1;
	if (place->indexed)
		return 0;
	place->indexed = true;
	return note_chunk(c, x, pack, place, e);
}

static int note_block(struct check *c, const struct index_object *o,
		      uint32_t block, const uint8_t *plain, struct err *e)
{
	struct pack_entry x;

	for (size_t i = 0; i < index_object_count(o, block); i++) {
		index_decode(plain + 2 + i * INDEX_ENTRY_SIZE, &x);
		if (note_entry(c, &x, e))
			return -1;
	}
	return 0;
}

static int read_object(struct check *c, struct index_object *o, struct err *e)
{
	uint8_t plain[INDEX_BLOCK_PLAIN];
	bool noted = false;

	for (uint32_t b = 0; b < o->blocks + o->fillers; b++) {
		struct err why = { 0 };

		if (check_stopped(c, e))
			return -1;
		if (index_object_block(o, b, plain, &why) == 0) {
			if (!o->ignored && note_block(c, o, b, plain, e))
				return -1;
			continue;
		}
		if (!check_is_damage(&why)) {
			*e = why;
			return -1;
		}
		check_note_unread(c, &why);
		if (!noted && note_broken(c, o->in.id, o->ignored, why.text, e))
			return -1;
		noted = true;
	}
	check_advance(c, 1, o->in.size);
	return 0;
}

static void count_unindexed(struct check *c)
{
	const void *key;
	uint64_t pos = 0;
	void *value;

	while (filemap_next(c->places, &pos, &key, &value)) {
		const struct check_place *p = value;

		c->out->unindexed += p->in_directory && !p->indexed &&
				     !p->quarantined;
	}
}

static int read_objects(struct check *c, const struct buf *broken,
			const struct buf *ids, struct err *e)
{
	for (size_t at = 0; at < broken->len; at += sizeof(struct broken)) {
		struct broken b;

		memcpy(&b, broken->data + at, sizeof(b));
		if (note_broken(c, b.id, is_among(ids, b.id), b.why.text, e))
			return -1;
	}
	for (size_t i = 0; i < c->n_index; i++) {
		c->index[i]->ignored = is_among(ids, c->index[i]->in.id);
		if (read_object(c, c->index[i], e))
			return -1;
	}
	count_unindexed(c);
	return 0;
}

int check_index(struct check *c, struct err *e)
{
	CLEANUP(buf_done) struct buf broken;
	CLEANUP(buf_done) struct buf ids;

	check_stage(c, "index", 0);
	buf_init(&broken, (size_t)256 << 20);
	buf_init(&ids, (size_t)1 << 30);
	if (open_objects(c, &broken, e) || leave_out_voided(c, e) ||
	    superseded(c, &ids, e))
		return -1;
	return read_objects(c, &broken, &ids, e);
}

/*
 * What was given up.
 *
 * A quarantine is never taken back, since others may have acted on it; but
 * the object may be sound again, because somebody put it back or it never was
 * more than out of reach.  Every chunk of it that opens is itself, by its
 * tag, and repair can copy it.  After losses alone: what no snapshot misses
 * need not come back.  Chunks that no index names are among them, since what
 * a lost node refers to is not known.
 */
static int note_returned(struct check *c, const struct pack_entry *x,
			 struct check_place *place, struct err *e)
{
	const struct check_pack *pack = filemap_find(c->packs, x->place.pack.b);
	struct check_chunk *chunk;
	struct check_finding *f;
	void *value;
	int opens;

	if (!pack || !pack->listed)
		return 0;
	if (filemap_add(c->chunks, x->seal.id.b, &value, e) < 0)
		return -1;
	chunk = value;
	if (chunk->sound || chunk->loose)
		return 0;
	opens = check_opens(c, c->store, x, e);
	if (opens <= 0)
		return opens;
	place->loose = true;
	chunk->loose++;
	c->out->returned++;
	f = check_finding(c, pack->finding);
	if (f && f->quarantined)
		(void)snprintf(f->message, sizeof(f->message),
			       "an earlier repair gave it up, and it opens "
			       "again");
	return 0;
}

int check_returned(struct check *c, struct err *e)
{
	const void *key;
	uint64_t pos = 0;
	void *value;

	check_stage(c, "given up", 0);
	while (filemap_next(c->places, &pos, &key, &value)) {
		struct check_place *place = value;
		struct pack_entry x;

		if (!place->quarantined)
			continue;
		if (check_stopped(c, e))
			return -1;
		x = check_entry(key, place);
		check_advance(c, 1, x.place.len);
		if (note_returned(c, &x, place, e))
			return -1;
	}
	return 0;
}

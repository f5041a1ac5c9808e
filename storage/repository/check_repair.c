/*
 * Repairing, which only adds.  The order makes a kill anywhere harmless:
 *
 *  1. copy what can still be opened in unusable packs, and what opens again
 *     of what was given up, and what other regions have of the rest, into new
 *     packs
 *  2. write index objects for those, and for everything in sound packs that
 *     no sound index object names; the last of them supersedes the broken
 *     ones, so that these stay in force until all is durable
 *  3. write quarantine records for what cannot be trusted, unless a
 *     collector gave the session up meanwhile
 *
 * What was copied is named by an index before its old place counts as absent.
 */
#include <stdlib.h>
#include <string.h>

#include "storage/repository/check_internal.h"
#include "storage/repository/inventory.h"
#include "storage/repository/writer.h"

/* As many entries as a session writes into one index object. */
#define INDEX_ENTRIES 64000
/* Packs of copies are closed at what sessions aim at for data. */
#define PACK_BYTES ((uint64_t)32 << 20)

static const struct chunk_id whole = { { 0 } };

struct repair {
	struct check *c;
	struct pack_writer *pack[2]; /* data, meta */
	struct pack_entry *fresh;
	size_t n_fresh;
	struct record record;
};

/* A collector that gave us up may have taken what we named. */
static int check_fenced(struct check *c, struct err *e)
{
	const int fenced = writer_is_fenced(c->r, c->session, e);

	if (fenced <= 0)
		return fenced;
	(void)err_set(e, ERR_BUSY,
		      "the repair was given up by a garbage "
		      "collection while it stood still");
	return err_hint(e, "repair again");
}

/*
 * 2. Index objects.
 */
static int write_index(struct repair *x, bool last, struct err *e)
{
	CLEANUP(index_writer_free) struct index_writer *w = NULL;
	struct check *c = x->c;
	const size_t n = index_sort(x->fresh, x->n_fresh);

	if (writer_check_keys(c->r, e) || check_fenced(c, e) ||
	    index_writer_open(c->store, c->keys, c->session, &w, e))
		return -1;
	for (size_t i = 0; i < n; i++)
		if (index_writer_add(w, &x->fresh[i], e))
			return -1;
	for (size_t i = 0; last && i < c->n_broken_index; i++)
		if (index_writer_supersede(w, c->broken_index[i], e))
			return -1;
	if (index_writer_commit(w, NULL, e))
		return -1;
	c->out->indexed += n;
	x->n_fresh = 0;
	return 0;
}

static int add_fresh(struct repair *x, const struct pack_entry *entry,
		     struct err *e)
{
	if (x->n_fresh == INDEX_ENTRIES && write_index(x, false, e))
		return -1;
	x->fresh[x->n_fresh++] = *entry;
	return 0;
}

/* Which places a sound object names: known only now that one is broken. */
static int note_sound_object(struct check *c, const struct index_object *o,
			     struct err *e)
{
	uint8_t plain[INDEX_BLOCK_PLAIN];

	for (uint32_t b = 0; b < o->blocks; b++) {
		if (index_object_block(o, b, plain, e))
			return -1;
		for (size_t i = 0; i < index_object_count(o, b); i++) {
			struct check_place *p = filemap_find(
				c->places, plain + 2 + i * INDEX_ENTRY_SIZE);

			if (p)
				p->indexed_soundly = true;
		}
	}
	return 0;
}

static bool is_broken(const struct check *c, struct object_id id)
{
	for (size_t i = 0; i < c->n_broken_index; i++)
		if (object_id_equal(c->broken_index[i], id))
			return true;
	return false;
}

static int note_sound_objects(struct check *c, struct err *e)
{
	for (size_t i = 0; i < c->n_index; i++)
		if (!c->index[i]->ignored &&
		    !is_broken(c, c->index[i]->in.id) &&
		    note_sound_object(c, c->index[i], e))
			return -1;
	return 0;
}

/* Whether it is to get an index object: nothing is wrong but that it has none.
 */
static bool is_unindexed(const struct check *c, const struct pack_entry *entry,
			 const struct check_place *p)
{
	const struct check_pack *pack;
	const bool named = c->n_broken_index ? p->indexed_soundly : p->indexed;

	if (!p->in_directory || p->damaged || p->quarantined || named)
		return false;
	pack = filemap_find(c->packs, entry->place.pack.b);
	return pack && !pack->unusable && !pack->marked;
}

/* What sound packs hold and no sound index object names. */
static int index_places(struct repair *x, struct err *e)
{
	struct check *c = x->c;
	struct pack_entry entry;
	const void *key;
	uint64_t pos = 0;
	void *value;

	while (filemap_next(c->places, &pos, &key, &value)) {
		entry = check_entry(key, value);
		if (is_unindexed(c, &entry, value) && add_fresh(x, &entry, e))
			return -1;
	}
	return 0;
}

/*
 * 1. Copies.
 */
static int close_pack(struct repair *x, size_t which, struct err *e)
{
	const struct pack_entry *entries;
	size_t n;
	int failed;

	if (!x->pack[which])
		return 0;
	failed = pack_writer_commit(x->pack[which], e);
	n = pack_writer_entries(x->pack[which], &entries);
	for (size_t i = 0; !failed && i < n; i++)
		failed = add_fresh(x, &entries[i], e);
	pack_writer_free(x->pack[which]);
	x->pack[which] = NULL;
	return failed;
}

static int copy_chunk(struct repair *x, const struct pack_entry *entry,
		      struct err *e)
{
	struct check *c = x->c;
	const size_t which = chunk_kind_is_meta(entry->seal.kind);

	if (x->pack[which] &&
	    (pack_writer_size(x->pack[which]) >= PACK_BYTES ||
	     !pack_writer_fits(x->pack[which], entry->place.len)) &&
	    close_pack(x, which, e))
		return -1;
	if (!x->pack[which] &&
	    pack_writer_open(c->store, c->keys,
			     which ? OBJECT_META_PACK : OBJECT_DATA_PACK,
			     &x->pack[which], e))
		return -1;
	return pack_writer_add(x->pack[which], &entry->seal, c->sealed.data,
			       entry->place.len, e);
}

/*
 * What lies here and will be indexed need not come from anywhere: after the
 * index was lost, and when an earlier repair was cut off.
 */
static int note_unindexed(struct check *c, struct err *e)
{
	uint64_t pos = 0;
	const void *key;
	void *value;

	while (c->out->lost && filemap_next(c->places, &pos, &key, &value)) {
		const struct pack_entry entry = check_entry(key, value);
		struct check_chunk *chunk = filemap_find(c->chunks,
							 entry.seal.id.b);

		if (check_stopped(c, e))
			return -1;
		if (chunk && is_unindexed(c, &entry, value))
			chunk->sound++;
	}
	return 0;
}

static int salvage(struct repair *x, struct err *e)
{
	struct check *c = x->c;
	struct pack_entry entry;
	const void *key;
	uint64_t pos = 0;
	void *value;

	while (filemap_next(c->places, &pos, &key, &value)) {
		const struct check_place *p = value;
		struct check_chunk *chunk;
		int opens;

		if (!p->loose)
			continue;
		entry = check_entry(key, p);
		chunk = filemap_find(c->chunks, entry.seal.id.b);
		if (!chunk || chunk->sound)
			continue;
		if (check_stopped(c, e))
			return -1;
		opens = check_opens(c, c->store, &entry, e);
		if (opens < 0 || (opens && copy_chunk(x, &entry, e)))
			return -1;
		chunk->sound += (uint32_t)opens;
		c->out->salvaged += (uint64_t)opens;
	}
	return 0;
}

static int take(void *arg, const struct pack_entry *entry, struct err *e)
{
	return copy_chunk(arg, entry, e);
}

static int copy(struct repair *x, struct err *e)
{
	return note_unindexed(x->c, e) || salvage(x, e) ||
			       check_fetch(x->c, take, x, e) ||
			       close_pack(x, 0, e) || close_pack(x, 1, e)
		       ? -1
		       : 0;
}

/*
 * 3. Quarantine.
 */
static int write_record(struct repair *x, struct err *e)
{
	struct check *c = x->c;
	int failed;

	if (x->record.n_ids == 0)
		return 0;
	x->record.id = object_id_new();
	x->record.time = c->o->now;
	(void)memcpy(x->record.reason, "found damaged by a check", 25);
	failed = record_put(c->store, c->keys, &x->record, 0, e);
	if (!failed)
		c->out->quarantined += x->record.n_ids;
	record_done(&x->record);
	return failed;
}

static int give_up(struct repair *x, const struct chunk_id *chunk,
		   struct object_id id, struct err *e)
{
	if (x->record.n_ids == RECORD_IDS_MAX && write_record(x, e))
		return -1;
	return record_add_chunk(&x->record, chunk, id, e);
}

/* A snapshot needs it, and it is not in its place again. */
static bool is_missed(struct check *c, const struct chunk_id *id)
{
	const struct check_chunk *chunk = filemap_find(c->chunks, id->b);

	return chunk && chunk->lost && !chunk->sound;
}

/* What is left, and which packs held it. */
static int note_missed(struct check *c, struct err *e)
{
	uint64_t pos = 0;
	const void *key;
	void *value;

	while (c->out->lost && filemap_next(c->chunks, &pos, &key, &value)) {
		const struct check_chunk *chunk = value;

		c->out->left += chunk->lost && !chunk->sound;
	}
	pos = 0;
	while (c->out->left && filemap_next(c->places, &pos, &key, &value)) {
		const struct pack_entry entry = check_entry(key, value);
		struct check_pack *pack = filemap_find(c->packs,
						       entry.place.pack.b);

		if (check_stopped(c, e))
			return -1;
		if (pack && is_missed(c, &entry.seal.id))
			pack->missed = true;
	}
	return 0;
}

static int give_up_chunks(struct repair *x, struct err *e)
{
	struct check *c = x->c;
	struct pack_entry entry;
	const void *key;
	uint64_t pos = 0;
	void *value;

	while (filemap_next(c->places, &pos, &key, &value)) {
		const struct check_place *p = value;

		if (!p->damaged)
			continue;
		entry = check_entry(key, p);
		if (c->o->only_replaced && is_missed(c, &entry.seal.id))
			continue;
		if (give_up(x, &entry.seal.id, entry.place.pack, e))
			return -1;
	}
	return 0;
}

/* Chunks of which any pack or index object says that they are somewhere. */
static int note_known(struct check *c, struct filemap *known, struct err *e)
{
	uint64_t pos = 0;
	const void *key;
	void *value;

	while (filemap_next(c->places, &pos, &key, &value))
		if (filemap_add(known, key, &value, e) < 0)
			return -1;
	return 0;
}

/* What nothing is known of: so that no collection waits for it. */
static int give_up_lost(struct repair *x, struct err *e)
{
	static const struct object_id nowhere = { { 0 } };
	CLEANUP(filemap_free) struct filemap *known = NULL;
	struct check *c = x->c;
	uint64_t pos = 0;
	const void *key;
	void *value;

	if (!c->out->lost)
		return 0;
	if (filemap_new(&known, c->o->scratch, CHUNK_ID_SIZE, 0, e) ||
	    note_known(c, known, e))
		return -1;
	while (filemap_next(c->chunks, &pos, &key, &value)) {
		const struct check_chunk *chunk = value;
		struct chunk_id id;

		memcpy(id.b, key, sizeof(id.b));
		if (chunk->lost && !chunk->sound && !filemap_find(known, key) &&
		    !check_given_up(c, &id, nowhere) &&
		    give_up(x, &id, nowhere, e))
			return -1;
	}
	return 0;
}

/* Whether another pack holds it as the index is now: 1, 0, -1. */
static int is_elsewhere(struct index_set *now, const struct pack_entry *entry,
			struct err *e)
{
	const struct object_id here[] = { entry->place.pack };
	struct pack_entry other;

	return index_set_find_other(now, &entry->seal.id, here, 1, &other, e);
}

/*
 * A pack that is marked is not given up, as a collector may have copied what
 * is needed and taken it, which is no damage.  What it then holds nowhere else
 * is: else no collection would ever go on.
 */
static int give_up_marked(struct repair *x, struct err *e)
{
	CLEANUP(index_set_free) struct index_set *now = NULL;
	struct check *c = x->c;
	uint64_t pos = 0;
	const void *key;
	void *value;

	if (!c->out->lost)
		return 0;
	if (repository_index_open(c->r, false, &now, e))
		return -1;
	while (filemap_next(c->places, &pos, &key, &value)) {
		const struct check_place *p = value;
		const struct pack_entry entry = check_entry(key, p);
		const struct check_chunk *chunk = filemap_find(c->chunks,
							       entry.seal.id.b);
		const struct check_pack *pack = filemap_find(
			c->packs, entry.place.pack.b);
		int other;

		if (!chunk || !chunk->lost || p->damaged || p->quarantined ||
		    !pack || !pack->unusable || !pack->marked || pack->newer)
			continue;
		other = is_elsewhere(now, &entry, e);
		if (other < 0 ||
		    (!other && give_up(x, &entry.seal.id, entry.place.pack, e)))
			return -1;
	}
	return 0;
}

static int give_up_packs(struct repair *x, struct err *e)
{
	struct check *c = x->c;
	struct object_id id;
	const void *key;
	uint64_t pos = 0;
	void *value;

	while (filemap_next(c->packs, &pos, &key, &value)) {
		const struct check_pack *p = value;

		if (!p->unusable || p->quarantined || p->marked || p->newer ||
		    (c->o->only_replaced && p->missed))
			continue;
		memcpy(id.b, key, sizeof(id.b));
		if (give_up(x, &whole, id, e))
			return -1;
	}
	return 0;
}

/* A manifest beside which another of the same snapshot is sound. */
static bool is_replaced(const struct check *c, enum object_kind kind,
			struct object_id snapshot)
{
	for (size_t i = 0; kind == OBJECT_MANIFEST && i < c->n_snapshots; i++)
		if (object_id_equal(c->snapshots[i].id, snapshot))
			return true;
	return false;
}

/* Small objects: nothing brings them back, but they are known from now on. */
static int give_up_objects(struct repair *x, struct err *e)
{
	const struct check_result *out = x->c->out;

	for (uint64_t i = 0; i < out->n_findings && i < CHECK_FINDINGS_MAX;
	     i++) {
		const struct check_finding *f = &out->findings[i];
		struct object_id first;
		struct object_id id;

		if (f->quarantined || f->newer || f->is_absent || f->chunks ||
		    f->kind == OBJECT_DATA_PACK ||
		    f->kind == OBJECT_META_PACK || f->kind == OBJECT_INDEX ||
		    !object_name_parse(f->kind, f->object, &first, &id) ||
		    (x->c->o->only_replaced &&
		     !is_replaced(x->c, f->kind, first)))
			continue;
		if (give_up(x, &whole, id, e))
			return -1;
	}
	return 0;
}

/*
 * When it was received, as another region knows it; else what readers went by
 * without the receipt.  1; 0 when a region may know, and cannot say; -1.
 */
static int find_receipt(const struct check *c, const struct check_snapshot *s,
			struct record *ret, struct err *e)
{
	const struct object_name name = object_name(OBJECT_RECEIPT, s->id);
	int got = 0;

	for (size_t i = 0; got == 0 && i < c->o->n_others; i++) {
		struct check_other *o = &c->o->others[i];

		got = record_get(repository_store(o->r), repository_keys(o->r),
				 OBJECT_RECEIPT, name.s, ret, e);
		if (got == 1 && !object_id_equal(ret->snapshot, s->id))
			got = err_set(e, ERR_CORRUPT,
				      "a receipt speaks of another snapshot");
		if (got >= 0)
			continue;
		if (e->code == ERR_INTERRUPTED || e->code == ERR_NO_MEMORY)
			return -1;
		if (!o->why.code)
			o->why = *e;
		err_clear(e);
		return 0;
	}
	if (got == 0) {
		record_init(ret, OBJECT_RECEIPT);
		ret->time = s->received;
		ret->clock = RECORD_PROCESS;
	}
	ret->id = ret->snapshot = s->id;
	return 1;
}

/*
 * They are fixed once: with only_replaced none is written, as what heals a
 * region brings those of the others.
 */
static int put_receipts(struct check *c, struct err *e)
{
	bool asked = false;

	for (size_t i = 0; !c->o->only_replaced && i < c->n_snapshots; i++) {
		const struct check_snapshot *s = &c->snapshots[i];
		struct record r;
		int got;

		if (!s->lacks_receipt)
			continue;
		if (check_stopped(c, e) ||
		    (!asked && writer_check_keys(c->r, e)))
			return -1;
		asked = true;
		got = find_receipt(c, s, &r, e);
		if (got < 0)
			return -1;
		if (got == 0)
			continue;
		if (record_put(c->store, c->keys, &r, 0, e) == 0)
			c->out->receipts++;
		else if (e->code == ERR_EXISTS)
			err_clear(e); /* it has come meanwhile */
		else
			return err_wrap(e, "cannot write a receipt");
	}
	return 0;
}

static int run(struct repair *x, struct err *e)
{
	struct check *c = x->c;

	x->fresh = calloc(INDEX_ENTRIES, sizeof(*x->fresh));
	if (!x->fresh)
		return err_oom(e);
	/* A newer program's index may name what only it can read. */
	if (c->has_newer)
		c->n_broken_index = 0;
	if (copy(x, e) || (c->n_broken_index && note_sound_objects(c, e)) ||
	    index_places(x, e))
		return -1;
	if ((x->n_fresh || c->n_broken_index) && write_index(x, true, e))
		return -1;
	if (check_fenced(c, e) || note_missed(c, e))
		return -1;
	if (!c->o->only_replaced &&
	    (give_up_lost(x, e) || give_up_marked(x, e)))
		return -1;
	if (put_receipts(c, e) || give_up_chunks(x, e) || give_up_packs(x, e) ||
	    give_up_objects(x, e) || write_record(x, e))
		return -1;
	/* What is gone is gone: garbage can be collected again. */
	return c->is_short && !c->o->only_replaced
		       ? inventory_put(c->store, c->keys, c->o->now, true, e)
		       : 0;
}

int check_repair(struct check *c, struct err *e)
{
	struct repair x = { .c = c };
	int failed;

	check_stage(c, "repairing", 0);
	record_init(&x.record, OBJECT_QUARANTINE);
	failed = run(&x, e);
	pack_writer_free(x.pack[0]);
	pack_writer_free(x.pack[1]);
	record_done(&x.record);
	free(x.fresh);
	return failed;
}

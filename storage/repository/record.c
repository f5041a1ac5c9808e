#include "storage/repository/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/repository/fields.h"
#include "storage/repository/seal.h"

/* The table of FORMAT.md §9, once: which member each tag of a kind is. */
enum member {
	M_ID,
	M_SNAPSHOT,
	M_IDS,
	M_CHUNKS,
	M_TIME,
	M_UNTIL,
	M_RELEASES,
	M_COUNTER,
	M_PID,
	M_CLOCK,
	M_PURPOSE,
	M_SCOPE,
	M_BY,
	M_REASON,
	M_CUSTODIAN,
	M_SOURCE,
	M_SESSION,
	M_COUNTS,
};

struct row {
	enum object_kind kind;
	uint8_t tag;
	enum member member;
};

static const struct row rows[] = {
	{ OBJECT_RECEIPT, 1, M_SNAPSHOT },  { OBJECT_RECEIPT, 2, M_TIME },
	{ OBJECT_RECEIPT, 3, M_CLOCK },	    { OBJECT_SESSION, 1, M_ID },
	{ OBJECT_SESSION, 2, M_IDS },	    { OBJECT_SESSION, 3, M_BY },
	{ OBJECT_SESSION, 4, M_PID },	    { OBJECT_SESSION, 5, M_TIME },
	{ OBJECT_SESSION, 6, M_COUNTER },   { OBJECT_SESSION, 7, M_PURPOSE },
	{ OBJECT_FENCE, 1, M_ID },	    { OBJECT_FENCE, 2, M_TIME },
	{ OBJECT_FENCE, 3, M_BY },	    { OBJECT_VOID, 1, M_SESSION },
	{ OBJECT_VOID, 2, M_TIME },	    { OBJECT_VOID, 3, M_BY },
	{ OBJECT_VOID, 4, M_IDS },	    { OBJECT_MARK, 1, M_TIME },
	{ OBJECT_MARK, 2, M_IDS },	    { OBJECT_MARK, 3, M_BY },
	{ OBJECT_CENSUS, 1, M_ID },	    { OBJECT_CENSUS, 2, M_IDS },
	{ OBJECT_INVENTORY, 1, M_TIME },    { OBJECT_INVENTORY, 2, M_COUNTS },
	{ OBJECT_INVENTORY, 3, M_IDS },	    { OBJECT_TOMBSTONE, 1, M_SNAPSHOT },
	{ OBJECT_TOMBSTONE, 2, M_TIME },    { OBJECT_TOMBSTONE, 3, M_BY },
	{ OBJECT_TOMBSTONE, 4, M_REASON },  { OBJECT_TOMBSTONE, 5, M_UNTIL },
	{ OBJECT_TOMBSTONE, 6, M_SCOPE }, /* of version 1 */
	{ OBJECT_UNDELETE, 1, M_SNAPSHOT }, { OBJECT_UNDELETE, 2, M_TIME },
	{ OBJECT_UNDELETE, 3, M_BY },	    { OBJECT_UNDELETE, 4, M_IDS },
	{ OBJECT_UNDELETE, 5, M_SESSION },  { OBJECT_HOLD, 1, M_ID },
	{ OBJECT_HOLD, 2, M_TIME },	    { OBJECT_HOLD, 3, M_BY },
	{ OBJECT_HOLD, 4, M_IDS },	    { OBJECT_HOLD, 5, M_SOURCE },
	{ OBJECT_HOLD, 6, M_REASON },	    { OBJECT_HOLD, 7, M_CUSTODIAN },
	{ OBJECT_HOLD, 8, M_RELEASES },	    { OBJECT_LOCK, 1, M_SNAPSHOT },
	{ OBJECT_LOCK, 2, M_UNTIL },	    { OBJECT_LOCK, 3, M_TIME },
	{ OBJECT_LOCK, 4, M_BY },	    { OBJECT_LOCK, 5, M_SESSION },
	{ OBJECT_GUARD, 1, M_TIME },	    { OBJECT_GUARD, 2, M_UNTIL },
	{ OBJECT_GUARD, 3, M_IDS },	    { OBJECT_GUARD, 4, M_BY },
	{ OBJECT_PIN, 1, M_IDS },	    { OBJECT_PIN, 2, M_BY },
	{ OBJECT_PIN, 3, M_PID },	    { OBJECT_PIN, 4, M_TIME },
	{ OBJECT_PIN, 5, M_COUNTER },	    { OBJECT_PIN, 6, M_PURPOSE },
	{ OBJECT_QUARANTINE, 1, M_TIME },   { OBJECT_QUARANTINE, 2, M_CHUNKS },
	{ OBJECT_QUARANTINE, 3, M_REASON },
};

void record_init(struct record *r, enum object_kind kind)
{
	*r = (struct record){ .kind = kind };
}

void record_done(struct record *r)
{
	free(r->ids);
	free(r->chunks);
	record_init(r, r->kind);
}

int record_add_id(struct record *r, struct object_id id, struct err *e)
{
	struct object_id *grown;

	if (r->n_ids >= RECORD_IDS_MAX)
		return err_set(e, ERR_CORRUPT, "more than %d ids in a record",
			       RECORD_IDS_MAX);
	if ((r->n_ids & (r->n_ids + 1)) == 0) {
		grown = reallocarray(r->ids, 2 * r->n_ids + 1, sizeof(*grown));
		if (!grown)
			return err_oom(e);
		r->ids = grown;
	}
	r->ids[r->n_ids++] = id;
	return 0;
}

int record_add_chunk(struct record *r, const struct chunk_id *chunk,
		     struct object_id pack, struct err *e)
{
	struct chunk_id *grown;

	if ((r->n_ids & (r->n_ids + 1)) == 0) {
		grown = reallocarray(r->chunks, 2 * r->n_ids + 1,
				     sizeof(*grown));
		if (!grown)
			return err_oom(e);
		r->chunks = grown;
	}
	if (record_add_id(r, pack, e))
		return -1;
	r->chunks[r->n_ids - 1] = *chunk;
	return 0;
}

/* Of both ids; by chance they are alike once in 2^64. */
#define HERE_BYTES 8

struct object_id record_lock_id(struct object_id snapshot, bool here)
{
	struct object_id id = object_id_new();

	if (here)
		memcpy(id.b, snapshot.b, HERE_BYTES);
	return id;
}

bool record_lock_is_here(const char *name)
{
	struct object_id snapshot;
	struct object_id id;

	return object_name_parse(OBJECT_LOCK, name, &snapshot, &id) &&
	       memcmp(id.b, snapshot.b, HERE_BYTES) == 0;
}

struct object_name record_name(const struct record *r)
{
	switch (r->kind) {
	case OBJECT_TOMBSTONE:
	case OBJECT_UNDELETE:
	case OBJECT_LOCK:
		return object_name_pair(r->kind, r->snapshot, r->id);
	case OBJECT_VOID:
		return object_name_pair(r->kind, r->session, r->id);
	case OBJECT_RECEIPT:
		return object_name(r->kind, r->snapshot);
	default:
		return object_name(r->kind, r->id);
	}
}

static int encode_many(const struct record *r, const struct row *row,
		       struct buf *out, struct err *e)
{
	uint8_t pair[CHUNK_ID_SIZE + sizeof(struct object_id)];

	for (size_t i = 0; i < r->n_ids; i++) {
		if (row->member == M_IDS) {
			if (fields_add_id(out, row->tag, r->ids[i], e))
				return -1;
			continue;
		}
		memcpy(pair, r->chunks[i].b, CHUNK_ID_SIZE);
		memcpy(pair + CHUNK_ID_SIZE, r->ids[i].b, sizeof(r->ids[i].b));
		if (fields_add(out, row->tag, pair, sizeof(pair), e))
			return -1;
	}
	return 0;
}

static int encode_counts(const struct record *r, uint64_t tag, struct buf *out,
			 struct err *e)
{
	CLEANUP(buf_done) struct buf pair;

	buf_init(&pair, 64);
	for (unsigned int kind = 1; kind < OBJECT_KIND_END; kind++) {
		buf_clear(&pair);
		if (r->counts[kind] &&
		    (buf_add(&pair, &(uint8_t){ (uint8_t)kind }, 1, e) ||
		     buf_add_varint(&pair, r->counts[kind], e) ||
		     fields_add(out, tag, pair.data, pair.len, e)))
			return -1;
	}
	return 0;
}

static int encode_text(const char *s, uint64_t tag, struct buf *out,
		       struct err *e)
{
	return *s ? fields_add_str(out, tag, s, e) : 0;
}

static int encode_id(struct object_id id, uint64_t tag, struct buf *out,
		     struct err *e)
{
	return object_id_is_zero(id) ? 0 : fields_add_id(out, tag, id, e);
}

static int encode_member(const struct record *r, const struct row *row,
			 struct buf *out, struct err *e)
{
	switch (row->member) {
	case M_ID:
		return encode_id(r->id, row->tag, out, e);
	case M_SNAPSHOT:
		return encode_id(r->snapshot, row->tag, out, e);
	case M_RELEASES:
		return encode_id(r->releases, row->tag, out, e);
	case M_SESSION:
		return encode_id(r->session, row->tag, out, e);
	case M_COUNTS:
		return encode_counts(r, row->tag, out, e);
	case M_IDS:
	case M_CHUNKS:
		return encode_many(r, row, out, e);
	case M_TIME:
		return fields_add_instant(out, row->tag, r->time, e);
	case M_UNTIL:
		return fields_add_instant(out, row->tag, r->until, e);
	case M_COUNTER:
		return fields_add_uint(out, row->tag, r->counter, e);
	case M_PID:
		return fields_add_uint(out, row->tag, r->pid, e);
	case M_CLOCK:
		return fields_add_uint(out, row->tag, r->clock, e);
	case M_PURPOSE:
		return fields_add_uint(out, row->tag, r->purpose, e);
	case M_SCOPE:
		return r->scope ? fields_add_uint(out, row->tag, r->scope, e)
				: 0;
	case M_BY:
		return encode_text(r->by, row->tag, out, e);
	case M_REASON:
		return encode_text(r->reason, row->tag, out, e);
	case M_CUSTODIAN:
		return encode_text(r->custodian, row->tag, out, e);
	case M_SOURCE:
		return encode_text(r->source, row->tag, out, e);
	}
	return err_set(e, ERR_BUG, "a record has no member %u",
		       (unsigned int)row->member);
}

/*
 * A program that does not know scopes must take neither side of one: it counts
 * such a tombstone as absent, and copies it nowhere.
 */
static struct seal_as seal_of(const struct record *r)
{
	return (struct seal_as){ .kind = r->kind, .version = r->scope ? 1 : 0 };
}

int record_put(struct store *s, const struct keys *k, const struct record *r,
	       unsigned int put_flags, struct err *e)
{
	const struct object_name name = record_name(r);
	CLEANUP(buf_done) struct buf payload;

	buf_init(&payload, CHUNK_MAX);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].kind == r->kind &&
		    encode_member(r, &rows[i], &payload, e))
			return -1;
	return seal_box_put_as(s, k, seal_of(r), name.s, payload.data,
			       payload.len, put_flags, e);
}

static int decode_many(struct field *f, struct record *r, struct err *e)
{
	struct chunk_id chunk;
	struct object_id pack;

	cursor_copy(&f->value, chunk.b, sizeof(chunk.b));
	cursor_copy(&f->value, pack.b, sizeof(pack.b));
	if (f->value.left)
		f->value.bad = true;
	return f->value.bad ? 0 : record_add_chunk(r, &chunk, pack, e);
}

/* Kinds that this program does not know are somebody else's business. */
static void decode_count(struct field *f, struct record *r)
{
	const uint8_t kind = cursor_u8(&f->value);
	const uint64_t n = cursor_varint(&f->value);

	if (f->value.left)
		f->value.bad = true;
	if (!f->value.bad && kind > 0 && kind < OBJECT_KIND_END)
		r->counts[kind] = n;
}

static void decode_number(struct field *f, enum member member, struct record *r)
{
	const uint64_t v = field_uint(f);

	if (member == M_COUNTER)
		r->counter = v;
	else if (member == M_PID)
		r->pid = v;
	else if (v > 255)
		f->value.bad = true;
	else if (member == M_CLOCK)
		r->clock = (unsigned int)v;
	else if (member == M_SCOPE)
		r->scope = (unsigned int)v;
	else
		r->purpose = (unsigned int)v;
}

static int decode_member(struct field *f, enum member member, struct record *r,
			 struct err *e)
{
	switch (member) {
	case M_ID:
		/* The name says the id already, under the same tag. */
		return 0;
	case M_SNAPSHOT:
		r->snapshot = field_id(f);
		return 0;
	case M_RELEASES:
		r->releases = field_id(f);
		return 0;
	case M_SESSION:
		r->session = field_id(f);
		return 0;
	case M_COUNTS:
		decode_count(f, r);
		return 0;
	case M_IDS:
		return record_add_id(r, field_id(f), e);
	case M_CHUNKS:
		return decode_many(f, r, e);
	case M_TIME:
		r->time = field_instant(f);
		return 0;
	case M_UNTIL:
		r->until = field_instant(f);
		return 0;
	case M_BY:
		field_str(f, r->by, sizeof(r->by));
		return 0;
	case M_REASON:
		field_str(f, r->reason, sizeof(r->reason));
		return 0;
	case M_CUSTODIAN:
		field_str(f, r->custodian, sizeof(r->custodian));
		return 0;
	case M_SOURCE:
		field_str(f, r->source, sizeof(r->source));
		return 0;
	default:
		decode_number(f, member, r);
		return 0;
	}
}

static const struct row *row_of(enum object_kind kind, uint64_t tag)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].kind == kind && rows[i].tag == tag)
			return &rows[i];
	return NULL;
}

static int decode(const struct buf *payload, struct record *r, struct err *e)
{
	struct cursor c = cursor_of(payload->data, payload->len);
	uint64_t last = 0;
	struct field f;
	int more;

	while ((more = fields_next(&c, &last, &f, e)) == 1) {
		const struct row *row = row_of(r->kind, f.tag);

		if (row && decode_member(&f, row->member, r, e))
			return -1;
		if (f.value.bad)
			return err_set(
				e, ERR_CORRUPT, "field %u of a %s is malformed",
				(unsigned int)f.tag, object_kind_name(r->kind));
	}
	return more;
}

/* One that is not known may delete here or not: as if of a newer version. */
static int check_scope(const struct record *r, struct err *e)
{
	return r->scope <= RECORD_THIS_REGION
		       ? 0
		       : err_set(e, ERR_NEWER, "its scope is not known");
}

/* Names and contents are sealed by one hand: what differs is no record. */
static int check_name(const struct record *r, struct object_id first,
		      struct err *e)
{
	const struct object_id named = r->kind == OBJECT_RECEIPT ? r->id
								 : first;

	switch (r->kind) {
	case OBJECT_RECEIPT:
	case OBJECT_TOMBSTONE:
	case OBJECT_UNDELETE:
	case OBJECT_LOCK:
		if (!object_id_equal(r->snapshot, named))
			return err_set(e, ERR_CORRUPT,
				       "it speaks of another snapshot");
		return 0;
	case OBJECT_VOID:
		if (!object_id_equal(r->session, first))
			return err_set(e, ERR_CORRUPT,
				       "it speaks of another session");
		return 0;
	default:
		return 0;
	}
}

int record_get(struct store *s, const struct keys *k, enum object_kind kind,
	       const char *name, struct record *ret, struct err *e)
{
	struct object_id first;
	struct object_id last;
	CLEANUP(buf_done) struct buf payload;
	int found;

	buf_init(&payload, CHUNK_MAX);
	if (!object_name_parse(kind, name, &first, &last))
		return err_set(e, ERR_CORRUPT,
			       "object \"%s\" has no name of a %s", name,
			       object_kind_name(kind));
	found = seal_box_get(s, k, kind, name, &payload, e);
	if (found != 1)
		return found;
	record_init(ret, kind);
	ret->id = last;
	if (decode(&payload, ret, e) || check_name(ret, first, e) ||
	    check_scope(ret, e)) {
		record_done(ret);
		return err_wrap(e, "object \"%s\"", name);
	}
	return 1;
}

struct listing {
	struct store *store;
	const struct keys *keys;
	enum object_kind kind;
	record_wanted *wanted; /* NULL: all */
	record_visit *visit;
	void *arg;
};

static bool is_unwanted(const struct listing *l, const char *name)
{
	struct object_id first;
	struct object_id last;

	if (!l->wanted || !object_name_parse(l->kind, name, &first, &last))
		return false;
	return !l->wanted(l->arg, object_id_is_zero(first) ? last : first);
}

static int visit_one(void *arg, const struct store_entry *entry, struct err *e)
{
	const struct listing *l = (const struct listing *)arg;
	struct err why = { 0 };
	struct record r;
	int result;

	if (is_unwanted(l, entry->name))
		return 0;
	switch (record_get(l->store, l->keys, l->kind, entry->name, &r, &why)) {
	case 1:
		result = l->visit(l->arg, entry->name, &r, NULL, e);
		record_done(&r);
		return result;
	case 0:
		return 0; /* removed since it was listed */
	default:
		/* An epoch that we do not know is no damage: the keyring
		 * has moved on, and whoever asks must open it again. */
		if (!object_is_damage(&why) && why.code != ERR_NEWER) {
			*e = why;
			return -1;
		}
		return l->visit(l->arg, entry->name, NULL, &why, e);
	}
}

static int list_all(struct listing *l, struct err *e)
{
	char prefix[64];

	(void)snprintf(prefix, sizeof(prefix), "%s/",
		       object_kind_folder(l->kind));
	/* Those two are replaced or soon gone: they are read as they are. */
	if (l->kind == OBJECT_SESSION || l->kind == OBJECT_PIN)
		return store_list(l->store, prefix, visit_one, l, e);
	return store_list_reading(l->store, prefix, visit_one, l, e);
}

int record_list(struct store *s, const struct keys *k, enum object_kind kind,
		record_visit *visit, void *arg, struct err *e)
{
	struct listing l = {
		.store = s, .keys = k, .kind = kind, .visit = visit, .arg = arg
	};

	return list_all(&l, e);
}

int record_list_some(struct store *s, const struct keys *k,
		     enum object_kind kind, record_wanted *wanted,
		     record_visit *visit, void *arg, struct err *e)
{
	struct listing l = { .store = s,
			     .keys = k,
			     .kind = kind,
			     .wanted = wanted,
			     .visit = visit,
			     .arg = arg };

	return list_all(&l, e);
}

int record_list_of(struct store *s, const struct keys *k, enum object_kind kind,
		   struct object_id snapshot, record_visit *visit, void *arg,
		   struct err *e)
{
	struct listing l = {
		.store = s, .keys = k, .kind = kind, .visit = visit, .arg = arg
	};
	char prefix[64 + OBJECT_ID_TEXT];
	char id[OBJECT_ID_TEXT];

	object_id_format(snapshot, id);
	(void)snprintf(prefix, sizeof(prefix), "%s/%s",
		       object_kind_folder(kind), id);
	return store_list(s, prefix, visit_one, &l, e);
}

/* Everything that is listed: names, sizes, and small objects opened. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "storage/repository/check_internal.h"
#include "storage/repository/inventory.h"
#include "storage/repository/keyring_internal.h"

static const struct chunk_id whole = { { 0 } };

/* The finding, or NULL when it was not kept. */
static struct check_finding *found(struct check *c, const char *name,
				   enum object_kind kind, const char *message)
{
	struct object_id first;
	struct object_id last;
	struct check_finding *f;

	f = check_finding(c, check_find(c, name, kind, message));
	if (f && object_name_parse(kind, name, &first, &last) &&
	    check_given_up(c, &whole, last))
		f->quarantined = true;
	if (f && kind == OBJECT_MANIFEST &&
	    object_name_parse(kind, name, &first, &last))
		check_add_snapshot(f, first);
	return f;
}

/* The kind whose folder name lies in, or 0. */
static enum object_kind kind_of(const char *name)
{
	const size_t n = strcspn(name, "/");

	for (unsigned int k = OBJECT_CONFIG; k < OBJECT_KIND_END; k++) {
		const char *folder = object_kind_folder((enum object_kind)k);

		if (folder && strlen(folder) == n &&
		    strncmp(folder, name, n) == 0)
			return (enum object_kind)k;
	}
	return (enum object_kind)0;
}

static bool is_named_well(enum object_kind kind, const char *name)
{
	struct object_id first;
	struct object_id last;
	uint64_t number;

	if (kind == OBJECT_CONFIG)
		return strcmp(name, "config") == 0;
	if (kind == OBJECT_KEYRING)
		return object_name_parse_number(kind, name, &number);
	return kind && object_name_parse(kind, name, &first, &last);
}

/* The slots of the newest keyring, which comes last, and before all slots. */
static int note_slots(struct check *c, const struct keyring_shell *shell,
		      struct err *e)
{
	const size_t each = sizeof(struct object_id) + KEYRING_SHARE;
	struct object_id *ids = calloc(shell->n_slots + 1, sizeof(*ids));

	if (!ids)
		return err_oom(e);
	for (size_t i = 0; i < shell->n_slots; i++)
		memcpy(ids[i].b, shell->slots + i * each, sizeof(ids[i].b));
	free(c->slots);
	c->slots = ids;
	c->n_slots = shell->n_slots;
	return 1;
}

static void see_slot(struct check *c, struct object_id id)
{
	const struct object_id seen = { { 0 } };

	for (size_t i = 0; i < c->n_slots; i++)
		if (object_id_equal(c->slots[i], id))
			c->slots[i] = seen;
}

/* The public parts: what is sealed in them only their owners open. */
static int open_opening(struct check *c, enum object_kind kind,
			const char *name, struct err *e)
{
	static const struct keyring_credential nobody = {
		.type = KEYRING_KEY_FILE
	};
	uint8_t pair[KEYRING_PUBLIC + KEYRING_PRIVATE];
	CLEANUP(buf_done) struct buf b;
	struct keyring_shell shell;
	struct object_id first;
	struct object_id id;
	uint64_t number;
	int got;

	buf_init(&b, KEYRING_MAX);
	/* Whatever comes of reading it: a slot that was listed is not lost, and
	 * older keyrings do not tell of slots. */
	if (kind == OBJECT_SLOT && object_name_parse(kind, name, &first, &id))
		see_slot(c, id);
	if (kind == OBJECT_KEYRING)
		c->n_slots = 0;
	got = store_get(c->store, name, &b, e);
	if (got != 1)
		return got;
	if (kind == OBJECT_CONFIG) {
		if (keyring_config_decode(b.data, b.len, &id, e))
			return -1;
		return object_id_equal(id, keys_repository(c->keys))
			       ? 1
			       : err_set(e, ERR_CORRUPT,
					 "it is of another repository");
	}
	if (kind == OBJECT_KEYRING)
		return object_name_parse_number(kind, name, &number) &&
				       keyring_shell_decode(&b,
							    (uint32_t)number,
							    &shell, e) == 0
			       ? note_slots(c, &shell, e)
			       : -1;
	if (!object_name_parse(kind, name, &first, &id))
		return err_set(e, ERR_BUG, "a slot without a name");
	return keyring_slot_open(&nobody, keys_repository(c->keys), id, &b,
				 pair, e) < 0
		       ? -1
		       : 1;
}

static int open_manifest(struct check *c, const char *name, struct err *e)
{
	CLEANUP(buf_wipe) struct buf payload;
	CLEANUP(manifest_done) struct manifest m;
	struct object_id snapshot;
	struct object_id session;
	int got;

	manifest_init(&m);
	buf_init(&payload, SEAL_PAYLOAD_MAX);
	got = seal_box_get(c->store, c->keys, OBJECT_MANIFEST, name, &payload,
			   e);
	if (got != 1)
		return got;
	if (manifest_decode(payload.data, payload.len, &m, e))
		return -1;
	if (!object_name_parse(OBJECT_MANIFEST, name, &snapshot, &session) ||
	    !object_id_equal(m.snapshot, snapshot) ||
	    !object_id_equal(m.session, session))
		return err_set(e, ERR_CORRUPT, "it speaks of another snapshot");
	return 1;
}

static int open_segment(struct check *c, const char *name, struct err *e)
{
	CLEANUP(buf_wipe) struct buf payload;

	buf_init(&payload, SEAL_PAYLOAD_MAX);
	return seal_box_get(c->store, c->keys, OBJECT_SEGMENT, name, &payload,
			    e);
}

static int open_record(struct check *c, enum object_kind kind, const char *name,
		       struct err *e)
{
	struct record r;
	int got = record_get(c->store, c->keys, kind, name, &r, e);

	if (got != 1)
		return got;
	if (kind == OBJECT_RECEIPT && !object_id_equal(r.snapshot, r.id))
		got = err_set(e, ERR_CORRUPT, "it speaks of another snapshot");
	record_done(&r);
	return got;
}

/* 1 when it opens, 0 when it went away meanwhile, -1. */
static int open_small(struct check *c, enum object_kind kind, const char *name,
		      struct err *e)
{
	switch (kind) {
	case OBJECT_CONFIG:
	case OBJECT_SLOT:
	case OBJECT_KEYRING:
		return open_opening(c, kind, name, e);
	case OBJECT_MANIFEST:
		return open_manifest(c, name, e);
	case OBJECT_SEGMENT:
		return open_segment(c, name, e);
	default:
		return open_record(c, kind, name, e);
	}
}

static int note_pack(struct check *c, enum object_kind kind,
		     const struct store_entry *entry, struct err *e)
{
	struct check_pack *p;
	struct object_id first;
	struct object_id id;
	void *value;
	int fresh;

	if (!object_name_parse(kind, entry->name, &first, &id))
		return err_set(e, ERR_BUG, "a pack without a name");
	fresh = filemap_add(c->packs, id.b, &value, e);
	if (fresh < 0)
		return -1;
	p = value;
	if (!fresh && p->listed) {
		/* One id, in data/ and in meta/: the second is not read. */
		(void)found(c, entry->name, kind,
			    "its id is that of another pack as well");
		return 0;
	}
	p->size = entry->size;
	p->kind = (uint8_t)kind;
	p->listed = true;
	p->quarantined = check_given_up(c, &whole, id);
	c->out->packs++;
	c->bytes_total += entry->size;
	if (c->o->level == CHECK_LISTED &&
	    (!object_is_padded(entry->size) || entry->size > PACK_MAX))
		(void)found(c, entry->name, kind, "it has a wrong size");
	return 0;
}

/*
 * One that was no snapshot's, as it did not open then, and does now: what it
 * needs is not looked at.  A repair would give up what is whole.
 */
static int was_passed(const struct check *c, const char *name, struct err *e)
{
	struct check_passed p;

	for (size_t at = 0; at < c->passed.len; at += sizeof(p)) {
		memcpy(&p, c->passed.data + at, sizeof(p));
		if (strcmp(p.name.s, name) != 0)
			continue;
		*e = p.why;
		if (!c->o->repair)
			return 1;
		return err_hint(e, "it opened when it was read again: repair "
				   "again");
	}
	return 0;
}

/* 1: it is what it should be; 0: it is not, as *why says; -1. */
static int judge_small(struct check *c, enum object_kind kind, const char *name,
		       struct err *why, struct err *e)
{
	int passed;

	if (open_small(c, kind, name, why) < 0) {
		if (check_is_damage(why))
			return 0;
		*e = *why;
		return -1;
	}
	passed = kind == OBJECT_MANIFEST ? was_passed(c, name, why) : 0;
	if (passed < 0)
		*e = *why;
	return passed < 0 ? -1 : !passed;
}

static int visit(void *arg, const struct store_entry *entry, struct err *e)
{
	struct check *c = arg;
	const enum object_kind kind = kind_of(entry->name);
	struct check_finding *f;
	struct object_id first;
	struct object_id id;
	struct err why = { 0 };
	int sound;

	if (check_stopped(c, e))
		return -1;
	if ((kind == OBJECT_SESSION || kind == OBJECT_PIN) &&
	    object_name_parse(kind, entry->name, &first, &id) &&
	    object_id_equal(id, c->own))
		return 0;
	c->out->objects++;
	check_advance(c, 1, 0);
	if (!is_named_well(kind, entry->name)) {
		c->out->unknown++;
		return 0;
	}
	if (kind == OBJECT_DATA_PACK || kind == OBJECT_META_PACK)
		return note_pack(c, kind, entry, e);
	if (kind == OBJECT_INDEX) /* check_index() reads all of them */
		return 0;
	sound = judge_small(c, kind, entry->name, &why, e);
	if (sound)
		return sound < 0 ? -1 : 0;
	check_note_unread(c, &why);
	f = found(c, entry->name, kind, why.text);
	if (f)
		f->newer = check_is_newer(&why);
	return 0;
}

static int mark_packs(void *arg, const char *name, const struct record *r,
		      const struct err *why, struct err *e)
{
	struct check *c = arg;

	void *value;

	(void)name;
	/* What that one let a collector remove is found missing. */
	if (!r)
		check_note_unread(c, why);
	/* Also one that is gone already: the index may name it still. */
	for (size_t i = 0; r && i < r->n_ids; i++) {
		if (filemap_add(c->packs, r->ids[i].b, &value, e) < 0)
			return -1;
		((struct check_pack *)value)->marked = true;
	}
	return 0;
}

/* Somebody, or the store, lost what never goes away. */
static int note_short(void *arg, enum object_kind kind, uint64_t listed,
		      uint64_t counted, struct object_id by, struct err *e)
{
	struct check *c = arg;
	char message[160];

	(void)e;
	(void)snprintf(message, sizeof(message),
		       "it counted %llu objects in \"%s/\", of which %llu are "
		       "there",
		       (unsigned long long)counted, object_kind_folder(kind),
		       (unsigned long long)listed);
	(void)found(c, object_name(OBJECT_INVENTORY, by).s, OBJECT_INVENTORY,
		    message);
	c->is_short = true;
	return 0;
}

/* A key that no longer opens anything, found before somebody needs it. */
static void find_lost_slots(struct check *c)
{
	for (size_t i = 0; i < c->n_slots; i++)
		if (!object_id_is_zero(c->slots[i]))
			(void)found(c, object_name(OBJECT_SLOT, c->slots[i]).s,
				    OBJECT_SLOT,
				    "it is not there, and its key opens "
				    "nothing");
}

int check_objects(struct check *c, struct err *e)
{
	static const struct store_question both[] = {
		{ STORE_ASK_LISTING, "marks/", 0 },
		{ STORE_ASK_LISTING, "inventories/", 0 },
	};
	struct store_asked *asked;
	int failed;

	check_stage(c, "listing", 0);
	/* Most are small, and read.  A session may be replaced meanwhile: then
	 * it is one of the two that is looked at. */
	if (store_list_reading(c->store, "", visit, c, e))
		return -1;
	asked = store_ask(c->store, both, 2);
	failed = record_list(c->store, c->keys, OBJECT_MARK, mark_packs, c,
			     e) ||
		 inventory_compare(c->store, c->keys, NULL, note_short, c, e);
	store_ask_done(asked);
	if (failed)
		return -1;
	find_lost_slots(c);
	return 0;
}

/*
 * A manifest is published after its receipt, which never goes away: somebody,
 * or the store, lost it, and by its writer's clock alone the snapshot may pass
 * for the newest.  One that does not open was found as an object.  Last
 * of all, so that there is room for what was lost of the data.
 */
int check_receipts(struct check *c, struct err *e)
{
	static const char why[] = "it is not there, and its snapshot counts as "
				  "received when its writer says that it ended";

	for (size_t i = 0; i < c->n_snapshots; i++) {
		struct check_snapshot *s = &c->snapshots[i];
		const struct object_name name = object_name(OBJECT_RECEIPT,
							    s->id);
		struct check_finding *f;
		uint64_t size;
		int there;

		if (!s->lacks_receipt)
			continue;
		if (check_stopped(c, e))
			return -1;
		there = store_size(c->store, name.s, &size, e);
		if (there < 0)
			return -1;
		s->lacks_receipt = !there;
		if (there)
			continue;
		f = check_finding(c,
				  check_find(c, name.s, OBJECT_RECEIPT, why));
		if (!f)
			continue;
		f->is_absent = true;
		check_add_snapshot(f, s->id);
	}
	return 0;
}

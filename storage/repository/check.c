#include "storage/repository/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "storage/repository/beat.h"
#include "storage/repository/check_internal.h"
#include "storage/repository/guards.h"

bool check_in_part(struct object_id pack, unsigned int part, unsigned int parts)
{
	uint64_t v = 0;

	if (parts == 0)
		return true;
	/* Ids are random: any of their bytes spread evenly. */
	for (unsigned int i = 0; i < 8; i++)
		v = v << 8 | pack.b[8 + i];
	return v % parts == part;
}

/*
 * Findings.
 */
uint32_t check_find(struct check *c, const char *object, enum object_kind kind,
		    const char *message)
{
	struct check_result *out = c->out;
	struct check_finding *f;
	const char *tail;

	/* Errors name the object and what was tried; a finding does already. */
	while ((tail = strstr(message, ": ")))
		message = tail + 2;
	out->n_findings++;
	if (out->n_findings > CHECK_FINDINGS_MAX)
		return FINDING_NOT_KEPT;
	if (out->n_findings > c->cap_findings) {
		const uint32_t cap = c->cap_findings ? c->cap_findings * 2 : 16;

		f = reallocarray(out->findings, cap, sizeof(*f));
		if (!f) {
			/* run() fails for it: what is not kept is not told. */
			c->no_memory = true;
			out->n_findings--;
			return FINDING_NOT_KEPT;
		}
		out->findings = f;
		c->cap_findings = cap;
	}
	f = &out->findings[out->n_findings - 1];
	*f = (struct check_finding){ .kind = kind };
	(void)snprintf(f->object, sizeof(f->object), "%s", object);
	(void)snprintf(f->message, sizeof(f->message), "%s", message);
	return (uint32_t)out->n_findings;
}

struct check_finding *check_finding(struct check *c, uint32_t number)
{
	if (number == 0 || number == FINDING_NOT_KEPT)
		return NULL;
	return &c->out->findings[number - 1];
}

bool check_is_damage(const struct err *why)
{
	return object_is_damage(why) || check_is_newer(why);
}

void check_note_unread(struct check *c, const struct err *why)
{
	if (why->code != ERR_IO &&
	    !(why->code == ERR_CORRUPT && why->sys == EIO))
		return;
	if (c->out->unread.code == ERR_NONE)
		c->out->unread = *why;
	c->out->unread.code = ERR_IO;
}

bool check_is_newer(const struct err *why)
{
	return why->code == ERR_NEWER || why->code == ERR_BAD_KEY;
}

void check_add_snapshot(struct check_finding *f, struct object_id id)
{
	const uint64_t kept = f->n_snapshots < CHECK_SNAPSHOTS_MAX
				      ? f->n_snapshots
				      : CHECK_SNAPSHOTS_MAX;

	/* Snapshots are walked one after the other. */
	if (kept && object_id_equal(f->snapshots[kept - 1], id))
		return;
	if (f->n_snapshots < CHECK_SNAPSHOTS_MAX)
		f->snapshots[f->n_snapshots] = id;
	f->n_snapshots++;
}

int check_add_path(struct check_finding *f, const char *path, size_t len,
		   struct err *e)
{
	struct check_path p = { .len = len };

	for (uint64_t i = 0; i < f->n_paths && i < CHECK_PATHS_MAX; i++)
		if (f->paths[i].len == len &&
		    memcmp(f->paths[i].bytes, path, len) == 0)
			return 0;
	if (f->n_paths < CHECK_PATHS_MAX) {
		p.bytes = malloc(len + 1);
		if (!p.bytes)
			return err_oom(e);
		memcpy(p.bytes, path, len);
		p.bytes[len] = '\0';
		f->paths[f->n_paths] = p;
	}
	f->n_paths++;
	return 0;
}

void check_result_done(struct check_result *x)
{
	for (uint64_t i = 0; i < x->n_findings && i < CHECK_FINDINGS_MAX; i++) {
		struct check_finding *f = &x->findings[i];

		for (uint64_t k = 0; k < f->n_paths && k < CHECK_PATHS_MAX; k++)
			free(f->paths[k].bytes);
	}
	free(x->findings);
	*x = (struct check_result){ 0 };
}

/*
 * What the stages share.
 */
struct check_key check_key(const struct chunk_id *chunk, struct object_id pack)
{
	struct check_key k;

	memcpy(k.b, chunk->b, CHUNK_ID_SIZE);
	memcpy(k.b + CHUNK_ID_SIZE, pack.b, sizeof(pack.b));
	return k;
}

struct pack_entry check_entry(const void *key, const struct check_place *p)
{
	const uint8_t *k = key;
	struct pack_entry x = {
		.seal = { .kind = (enum chunk_kind)p->kind,
			  .domain = p->domain,
			  .epoch = p->epoch,
			  .plain_len = p->plain_len },
		.place = { .offset = p->offset, .len = p->len },
	};

	memcpy(x.seal.id.b, k, CHUNK_ID_SIZE);
	memcpy(x.place.pack.b, k + CHUNK_ID_SIZE, sizeof(x.place.pack.b));
	return x;
}

bool check_given_up(struct check *c, const struct chunk_id *chunk,
		    struct object_id id)
{
	const struct check_key k = check_key(chunk, id);

	return filemap_find(c->given_up, k.b) != NULL;
}

/* What the chunk's own tag, and its id, say of the bytes. */
static int judge(struct check *c, const struct pack_entry *entry,
		 const uint8_t *sealed, struct err *why)
{
	if (!c->worker && chunk_worker_new(c->keys, &c->worker, why))
		return -1;
	return buf_reserve(&c->plain, entry->seal.plain_len, why) ||
			       chunk_open(c->worker, &entry->seal, sealed,
					  entry->place.len, c->plain.data,
					  why) ||
			       chunk_verify(c->worker, &entry->seal,
					    c->plain.data, why)
		       ? -1
		       : 0;
}

/* 0 when that is damage, or there is none; else it failed, -1. */
static int no_chunk(struct check *c, const struct err *why, struct err *e)
{
	c->unopened = *why;
	if (check_is_damage(why) || why->code == ERR_NOT_FOUND)
		return 0;
	*e = *why;
	return -1;
}

struct opening {
	struct check *c;
	const struct pack_entry *at;
};

static int opens(void *arg, const uint8_t *sealed, struct err *e)
{
	const struct opening *o = arg;

	return judge(o->c, o->at, sealed, e);
}

int check_opens(struct check *c, struct store *s,
		const struct pack_entry *entry, struct err *e)
{
	struct opening o = { c, entry };
	struct err why = { 0 };

	if (buf_reserve(&c->sealed, entry->place.len, &why) == 0 &&
	    pack_read_that(s,
			   chunk_kind_is_meta(entry->seal.kind)
				   ? OBJECT_META_PACK
				   : OBJECT_DATA_PACK,
			   &entry->place, c->sealed.data, opens, &o, &why) == 0)
		return 1;
	if (s == c->store)
		check_note_unread(c, &why);
	return no_chunk(c, &why, e);
}

int check_opens_read(struct check *c, const struct pack_entry *entry,
		     const uint8_t *sealed, struct err *e)
{
	struct err why = { 0 };

	/* Who asks finds it there. */
	if (buf_reserve(&c->sealed, entry->place.len, &why) == 0) {
		memcpy(c->sealed.data, sealed, entry->place.len);
		if (judge(c, entry, c->sealed.data, &why) == 0)
			return 1;
	}
	return no_chunk(c, &why, e);
}

void check_stage(struct check *c, const char *stage, uint64_t bytes_total)
{
	c->progress = (struct check_progress){ .stage = stage,
					       .bytes_total = bytes_total };
	if (c->o->progress)
		c->o->progress(c->o->arg, &c->progress);
}

void check_advance(struct check *c, uint64_t items, uint64_t bytes)
{
	c->progress.done += items;
	c->progress.bytes += bytes;
	if (c->o->progress)
		c->o->progress(c->o->arg, &c->progress);
}

int check_stopped(struct check *c, struct err *e)
{
	if (c->o->cancel &&
	    atomic_load_explicit(c->o->cancel, memory_order_relaxed))
		return err_set(e, ERR_INTERRUPTED, "interrupted");
	return 0;
}

int check_damage_chunk(struct check *c, const struct pack_entry *entry,
		       const char *why, struct err *e)
{
	const struct check_key key = check_key(&entry->seal.id,
					       entry->place.pack);
	struct check_place *place = filemap_find(c->places, key.b);
	struct check_pack *pack = filemap_find(c->packs, entry->place.pack.b);
	struct object_name name;
	struct check_finding *f;

	if (!place || !pack)
		return err_set(e, ERR_BUG, "a damaged chunk that nobody knows");
	if (place->damaged || place->quarantined || pack->quarantined)
		return 0;
	place->damaged = true;
	pack->damaged++;
	if (!pack->finding) {
		name = object_name((enum object_kind)pack->kind,
				   entry->place.pack);
		pack->finding = check_find(c, name.s,
					   (enum object_kind)pack->kind, why);
	}
	f = check_finding(c, pack->finding);
	if (f)
		f->chunks++;
	return 0;
}

/*
 * First of all: what is listed now is complete in what is listed later.
 */
static int keep_snapshot(void *arg, struct repository_snapshot *s,
			 struct err *e)
{
	struct check *c = arg;
	const struct manifest *m = &s->manifest;
	struct check_snapshot *grown;

	/* Collectors may be taking apart what nobody can restore any more. */
	if (s->deleted && instant_compare(s->restorable_until, c->o->now) <= 0)
		return 0;
	if ((c->n_snapshots & (c->n_snapshots + 1)) == 0) {
		grown = reallocarray(c->snapshots, 2 * c->n_snapshots + 1,
				     sizeof(*grown));
		if (!grown)
			return err_oom(e);
		c->snapshots = grown;
	}
	c->snapshots[c->n_snapshots++] = (struct check_snapshot){
		.id = m->snapshot,
		.name = object_name_pair(OBJECT_MANIFEST, m->snapshot,
					 m->session),
		.tree = m->tree,
		.hints = m->hints,
		.error_list = m->error_list,
		.has_errors = m->errors > 0,
		.received = s->received,
		.lacks_receipt = !s->has_receipt,
	};
	return 0;
}

/* check_objects() reads it again, and must not find it sound then. */
static int pass_over(void *arg, const char *name, const struct err *why,
		     struct err *e)
{
	struct check *c = arg;
	struct check_passed p = { .why = *why };

	(void)snprintf(p.name.s, sizeof(p.name.s), "%s", name);
	return buf_add(&c->passed, &p, sizeof(p), e);
}

int check_snapshots(struct check *c, struct err *e)
{
	struct store_asked *asked = repository_ask_snapshots(c->r);
	const int failed = repository_snapshots(c->r, true, keep_snapshot,
						pass_over, c, e);

	store_ask_done(asked);
	if (failed)
		return -1;
	c->out->snapshots = c->n_snapshots;
	return 0;
}

/* A quarantine that does not open gives up nothing (FORMAT.md §9). */
static int keep_given_up(void *arg, const char *name, const struct record *r,
			 const struct err *why, struct err *e)
{
	struct check *c = arg;
	void *value;

	(void)name;
	/* What that one gave up is found as if nobody had. */
	if (!r)
		check_note_unread(c, why);
	for (size_t i = 0; r && i < r->n_ids; i++) {
		const struct check_key k = check_key(&r->chunks[i], r->ids[i]);

		if (filemap_add(c->given_up, k.b, &value, e) < 0)
			return -1;
	}
	return 0;
}

static int make_maps(struct check *c, struct err *e)
{
	const char *folder = c->o->scratch;

	if (filemap_new(&c->packs, folder, sizeof(struct object_id),
			sizeof(struct check_pack), e) ||
	    filemap_new(&c->places, folder, INDEX_KEY_SIZE,
			sizeof(struct check_place), e) ||
	    filemap_new(&c->chunks, folder, CHUNK_ID_SIZE,
			sizeof(struct check_chunk), e) ||
	    filemap_new(&c->given_up, folder, INDEX_KEY_SIZE, 1, e))
		return -1;
	return 0;
}

/* Sound: nothing new is damaged, and no snapshot misses anything. */
static void conclude(struct check *c)
{
	struct check_result *out = c->out;
	const uint64_t kept = out->n_findings < CHECK_FINDINGS_MAX
				      ? out->n_findings
				      : CHECK_FINDINGS_MAX;

	out->sound = out->lost == 0 && out->n_findings == kept;
	for (uint64_t i = 0; i < kept; i++)
		if (!out->findings[i].quarantined)
			out->sound = false;
}

static int newest_keyring(void *arg, const struct store_entry *entry,
			  struct err *e)
{
	uint64_t *newest = arg;
	uint64_t n;

	(void)e;
	if (object_name_parse_number(OBJECT_KEYRING, entry->name, &n))
		*newest = n; /* they come in order */
	return 0;
}

/*
 * What collectors do meanwhile must not look like damage: they leave alone
 * what is pinned, and wait for a session that repairs.
 */
static int announce(struct check *c, struct beat **ret, struct err *e)
{
	struct record r;
	int failed;

	if (!c->o->repair) {
		failed = beat_pin(c->store, c->keys, RECORD_READ_VERIFY, NULL,
				  0, ret, e);
		c->pinned = failed > 0;
		return failed < 0 ? -1 : 0;
	}
	record_init(&r, OBJECT_SESSION);
	c->session = object_id_new();
	r.id = c->session;
	r.time = c->o->now;
	r.pid = (uint64_t)getpid();
	r.purpose = RECORD_REPAIR;
	failed = beat_start(c->store, c->keys, &r, ret, e);
	record_done(&r);
	return failed;
}

/* What is given up, and after the snapshots, which it is to name, the index. */
static int list_given_up_and_index(struct check *c, struct err *e)
{
	static const struct store_question both[] = {
		{ STORE_ASK_LISTING, "quarantine/", 0 },
		{ STORE_ASK_LISTING, "index/", 0 },
	};
	struct store_asked *asked = store_ask(c->store, both, 2);
	const int failed = record_list(c->store, c->keys, OBJECT_QUARANTINE,
				       keep_given_up, c, e) ||
			   check_index_list(c, e);

	store_ask_done(asked);
	return failed;
}

static int stages(struct check *c, struct err *e)
{
	if (make_maps(c, e) || check_snapshots(c, e) ||
	    list_given_up_and_index(c, e) || check_objects(c, e))
		return -1;
	if (c->o->level >= CHECK_STRUCTURE &&
	    (check_packs(c, e) || check_index(c, e) || check_trees(c, e) ||
	     check_folders(c, e)))
		return -1;
	if (c->out->lost && (check_returned(c, e) || check_losses(c, e)))
		return -1;
	return check_receipts(c, e);
}

/* Index objects that are there no more. */
static int count_gone(struct check *c, size_t *ret, struct err *e)
{
	uint64_t size;

	*ret = 0;
	for (size_t at = 0; at < c->index_ids.len; at += 16) {
		struct object_id id;
		int found;

		memcpy(id.b, c->index_ids.data + at, sizeof(id.b));
		found = store_size(c->store, object_name(OBJECT_INDEX, id).s,
				   &size, e);
		if (found < 0)
			return -1;
		*ret += !found;
	}
	return 0;
}

/*
 * Whether the index names a place by now of a chunk that was lost to us: a
 * collector that looked for pins before ours was there copied it, and removed
 * what we knew; or a snapshot stored it anew.  1, 0, -1.
 */
static int has_moved(struct check *c, struct err *e)
{
	CLEANUP(index_set_free) struct index_set *now = NULL;
	uint64_t at = 0;
	const void *key;
	void *value;

	if (!c->out->lost)
		return 0;
	if (repository_index_open(c->r, false, &now, e))
		return -1;
	while (filemap_next(c->chunks, &at, &key, &value)) {
		const struct check_chunk *chunk = value;
		const struct check_place *place;
		struct pack_entry entry;
		struct check_key k;
		struct chunk_id id;
		int found;

		if (!chunk->lost)
			continue;
		memcpy(id.b, key, sizeof(id.b));
		found = index_set_find(now, &id, &entry, e);
		if (found < 0)
			return -1;
		if (!found)
			continue;
		k = check_key(&id, entry.place.pack);
		place = filemap_find(c->places, k.b);
		if (!place || !place->indexed)
			return 1;
	}
	return 0;
}

int check_moved_meanwhile(const struct check *c, const char *what,
			  struct err *e)
{
	if (c->o->moved)
		*c->o->moved = true;
	(void)err_set(e, ERR_BUSY, "%s", what);
	return err_hint(e, "check again");
}

/* Where the disk failed, what was not found before may be there all along. */
static int moved(const struct check *c, struct err *e)
{
	if (!c->out->unread.code)
		return check_moved_meanwhile(
			c, "data was moved or stored anew meanwhile", e);
	*e = c->out->unread;
	return err_hint(e, "check again");
}

/* A manifest of that snapshot that was looked at, if any was: 1, 0, -1. */
static int is_there(const struct check *c, struct object_id id, struct err *e)
{
	uint64_t size;
	int found = 1;

	for (size_t i = 0; i < c->n_snapshots; i++) {
		if (!object_id_equal(c->snapshots[i].id, id))
			continue;
		found = store_size(c->store, c->snapshots[i].name.s, &size, e);
		if (found)
			return found;
	}
	return found;
}

/*
 * Whether what lost something was removed since: by a collector that looked for
 * pins before ours was there, and which removes manifests first.  1, 0, -1.
 */
static int has_gone(const struct check *c, struct err *e)
{
	const struct check_result *out = c->out;

	for (uint64_t i = 0; i < out->n_findings && i < CHECK_FINDINGS_MAX;
	     i++) {
		const struct check_finding *f = &out->findings[i];
		int there = f->n_snapshots == 0 ||
			    f->n_snapshots > CHECK_SNAPSHOTS_MAX;

		for (uint64_t k = 0; there == 0 && k < f->n_snapshots; k++)
			there = is_there(c, f->snapshots[k], e);
		if (there <= 0)
			return there < 0 ? -1 : 1;
	}
	return 0;
}

/*
 * Without a pin, or with one that came late or was given up, what collectors
 * moved looks lost in the index as it was, and what they removed lost to the
 * snapshots as they were.
 */
static int check_moved(struct check *c, struct err *e)
{
	size_t gone;
	int has;

	if (!c->out->n_findings)
		return 0;
	if (beat_judge(c->beat, "the check", e))
		return -1;
	has = has_moved(c, e);
	if (has == 0)
		has = has_gone(c, e);
	if (has)
		return has < 0 ? -1 : moved(c, e);
	if (c->pinned)
		return 0;
	if (count_gone(c, &gone, e))
		return -1;
	return gone ? moved(c, e) : 0;
}

/* What no pack seems to hold may be in what its index did not say. */
static void note_index(struct check *c)
{
	struct index_set *index;
	struct err why = { 0 };

	if (repository_index(c->r, &index, &why) == 0 &&
	    index_set_left_out_sys(index)) {
		(void)err_set(&why, ERR_IO, "the index cannot be read");
		err_add_reason(&why, index_set_left_out_sys(index));
	}
	check_note_unread(c, &why);
}

/* What was written under keys that came after ours would look damaged. */
static int examine(struct check *c, struct err *e)
{
	uint64_t before = 0;
	uint64_t after = 0;

	if (store_list(c->store, "keyring/", newest_keyring, &before, e) ||
	    stages(c, e) ||
	    store_list(c->store, "keyring/", newest_keyring, &after, e))
		return -1;
	if (c->no_memory)
		return err_oom(e);
	if (c->out->n_findings && before != after)
		return check_moved_meanwhile(
			c, "the keys were changed meanwhile", e);
	if (c->out->n_findings)
		note_index(c);
	if (check_moved(c, e))
		return -1;
	conclude(c);
	return c->o->repair ? check_repair(c, e)
			    : check_fetch(c, NULL, NULL, e);
}

static int run(struct check *c, struct err *e)
{
	int failed;

	/* What comes back may be what a lock is on. */
	if (c->o->repair && guards_begin_short(c->r, c->o->now, e) < 0)
		return -1;
	if (announce(c, &c->beat, e))
		return -1;
	if (c->beat)
		c->own = beat_id(c->beat);
	failed = examine(c, e);
	beat_stop(c->beat);
	return failed;
}

/* A quarter of a million manifests. */
#define PASSED_MAX ((size_t)1 << 28)

int check_run(struct repository *r, const struct check_options *o,
	      struct check_result *ret, struct err *e)
{
	struct check_result out = { 0 };
	struct check c = { .r = r,
			   .store = repository_store(r),
			   .keys = repository_keys(r),
			   .o = o,
			   .out = &out };
	int failed;

	(void)pthread_mutex_init(&c.lock, NULL);
	buf_init(&c.index_ids, (size_t)1 << 24);
	buf_init(&c.passed, PASSED_MAX);
	buf_init(&c.sealed, CHUNK_SEALED_MAX);
	buf_init(&c.plain, CHUNK_MAX);
	failed = run(&c, e);
	for (size_t i = 0; i < c.n_index; i++)
		index_object_free(c.index[i]);
	free(c.index);
	chunk_worker_free(c.worker);
	buf_done(&c.passed);
	buf_done(&c.sealed);
	buf_wipe(&c.plain);
	free(c.broken_index);
	free(c.slots);
	buf_done(&c.index_ids);
	free(c.snapshots);
	filemap_free(c.packs);
	filemap_free(c.places);
	filemap_free(c.chunks);
	filemap_free(c.given_up);
	(void)pthread_mutex_destroy(&c.lock);
	if (failed) {
		check_result_done(&out);
		return -1;
	}
	*ret = out;
	return 0;
}

#include "storage/repository/keyring.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/secret.h"
#include "base/text.h"
#include "storage/repository/keyring_internal.h"
#include "storage/repository/versions.h"

/* Rivals that come before us are few: who loses sixteen times gives up. */
#define ATTEMPTS 16

struct ring *keyring_ring_new(struct err *e)
{
	struct ring *r = secret_new(sizeof(*r));

	if (!r)
		(void)err_oom(e);
	return r;
}

void keyring_ring_free(struct ring *r)
{
	secret_free(r);
}

struct config_version {
	struct store *store;
	struct object_id *ret;
};

static int get_config(void *arg, struct err *e)
{
	const struct config_version *x = arg;
	CLEANUP(buf_done) struct buf b;
	int found;

	buf_init(&b, 4096);
	found = store_get(x->store, "config", &b, e);
	if (found <= 0)
		return found;
	return keyring_config_decode(b.data, b.len, x->ret, e) ? -1 : 1;
}

static int read_config(struct store *s, struct object_id *ret, struct err *e)
{
	struct config_version x = { s, ret };
	const int found = versions_open(s, "config", get_config, &x, e);

	if (found >= 0)
		return found;
	if (e->code == ERR_CORRUPT)
		(void)err_hint(e, "nothing was changed; its copies in other "
				  "regions open without this one");
	return err_wrap(e, "its object \"config\"");
}

static int visit_generation(void *arg, const struct store_entry *entry,
			    struct err *e)
{
	uint64_t *newest = arg;
	uint64_t n;

	(void)e;
	if (object_name_parse_number(OBJECT_KEYRING, entry->name, &n) &&
	    n > *newest)
		*newest = n;
	return 0;
}

static int list_newest(struct store *s, uint32_t *ret, struct err *e)
{
	uint64_t newest = 0;

	if (store_list(s, "keyring/", visit_generation, &newest, e))
		return -1;
	*ret = (uint32_t)newest;
	return 0;
}

struct ring_version {
	struct store *store;
	uint32_t generation;
	struct buf *ret;
};

/* Nobody who reads it needs to open it: its check tells damage. */
static int get_ring(void *arg, struct err *e)
{
	const struct ring_version *x = arg;
	struct keyring_shell shell;
	int found;

	buf_clear(x->ret);
	found = store_get(x->store, object_name_generation(x->generation).s,
			  x->ret, e);
	if (found <= 0)
		return found;
	return keyring_shell_decode(x->ret, x->generation, &shell, e) ? -1 : 1;
}

/*
 * 1 and the newest generation (0: there is none) with its bytes; first: what a
 * listing has just told, or 0.
 */
static int read_newest(struct store *s, uint32_t first,
		       uint32_t *ret_generation, struct buf *ret, struct err *e)
{
	struct ring_version x = { s, 0, ret };
	uint32_t newest = first;
	int found;

	/* A generation that was listed is gone when a newer one came. */
	for (int i = 0; i < ATTEMPTS; i++) {
		if (!newest && list_newest(s, &newest, e))
			return -1;
		*ret_generation = newest;
		if (newest == 0)
			return 0;
		x.generation = newest;
		found = versions_open(s, object_name_generation(newest).s,
				      get_ring, &x, e);
		/* Damage is for whoever decodes it. */
		if (found < 0 && ret->len && object_is_damage(e)) {
			err_clear(e);
			return 1;
		}
		if (found)
			return found;
		newest = 0;
	}
	return err_set(e, ERR_BUSY, "the keyring changes all the time");
}

/* The newest keyring and its public part; it may be damaged, or missing. */
static int read_shell(struct store *s, uint32_t first, struct buf *ret,
		      struct keyring_shell *shell, struct err *e)
{
	uint32_t generation;
	const int found = read_newest(s, first, &generation, ret, e);

	if (found < 0)
		return -1;
	if (found == 0) {
		err_put_(e, ERR_CORRUPT, "the repository has no keyring");
		return err_hint(e, "if snapctl repo init was interrupted, "
				   "run it again");
	}
	if (keyring_shell_decode(ret, generation, shell, e) == 0)
		return 0;
	if (e->code != ERR_CORRUPT)
		return -1;
	(void)err_wrap(e, "%s", object_name_generation(generation).s);
	return err_hint(e, "another region of the repository has the same "
			   "object, if its keys are as old: copy it from "
			   "there");
}

int keyring_epoch(struct store *s, uint32_t *ret, struct err *e)
{
	CLEANUP(buf_done) struct buf bytes;
	struct keyring_shell shell;

	buf_init(&bytes, KEYRING_MAX);
	if (read_shell(s, 0, &bytes, &shell, e))
		return -1;
	*ret = shell.epoch;
	return 0;
}

int keyring_epoch_since(struct store *s, const struct keys *k, uint32_t *ret,
			struct err *e)
{
	CLEANUP(buf_done) struct buf bytes;
	struct keyring_shell shell;
	uint32_t newest;

	buf_init(&bytes, KEYRING_MAX);
	if (list_newest(s, &newest, e))
		return -1;
	/* Written once, and never replaced. */
	if (newest && newest == keys_generation(k)) {
		*ret = keys_epoch(k);
		return 0;
	}
	if (read_shell(s, newest, &bytes, &shell, e))
		return -1;
	*ret = shell.epoch;
	return 0;
}

/* What trying the slots of a keyring came to. */
struct trial {
	size_t at; /* the slot that opened */
	size_t damaged;
	struct err why; /* of the last one damaged */
};

struct slot_version {
	struct store *store;
	struct object_id repository;
	const struct keyring_credential *credential;
	struct object_id id;
	uint8_t *pair;
	int opened;
};

static int get_slot(void *arg, struct err *e)
{
	struct slot_version *x = arg;
	CLEANUP(buf_done) struct buf b;
	int found;

	buf_init(&b, 4096);
	found = store_get(x->store, object_name(OBJECT_SLOT, x->id).s, &b, e);
	if (found <= 0)
		return found;
	x->opened = keyring_slot_open(x->credential, x->repository, x->id, &b,
				      x->pair, e);
	return x->opened < 0 ? -1 : 1;
}

/* As keyring_slot_open(), for the slot object of that id; 0 when absent. */
static int try_slot(struct store *s, struct object_id repository,
		    const struct keyring_credential *c, struct object_id id,
		    uint8_t pair[KEYRING_PUBLIC + KEYRING_PRIVATE],
		    struct err *e)
{
	struct slot_version x = {
		.store = s, .repository = repository, .credential = c, .id = id
	};
	int found;

	x.pair = pair;
	found = versions_open(s, object_name(OBJECT_SLOT, id).s, get_slot, &x,
			      e);
	return found > 0 ? x.opened : found;
}

/* A slot that is damaged does not keep another from opening. */
static bool concerns_one_slot(const struct err *e)
{
	return object_is_damage(e) || e->code == ERR_NEWER;
}

/* 1 when c opens one of the slots, 0 when none, -1. */
static int try_slots(struct store *s, struct object_id repository,
		     const struct keyring_credential *c,
		     const struct keyring_shell *shell, struct trial *t,
		     uint8_t pair[KEYRING_PUBLIC + KEYRING_PRIVATE])
{
	t->damaged = 0;
	for (t->at = 0; t->at < shell->n_slots; t->at++) {
		struct object_id id;
		struct err e;
		int r;

		memcpy(id.b, shell->slots + t->at * (16 + KEYRING_SHARE), 16);
		r = try_slot(s, repository, c, id, pair, &e);
		if (r > 0)
			return 1;
		if (r == 0)
			continue;
		t->why = e;
		if (!concerns_one_slot(&e))
			return -1;
		t->damaged++;
	}
	return 0;
}

static int no_slot_opens(const struct trial *t, size_t n_slots,
			 enum keyring_slot_type type, struct err *e)
{
	const bool phrase = type == KEYRING_PASSPHRASE;

	if (t->damaged) {
		*e = t->why;
		return err_wrap(e, "the %s opens none of the sound slots",
				phrase ? "passphrase" : "key");
	}
	err_put_(e, ERR_BAD_KEY, "the %s opens none of its %zu key slot%s",
		 phrase ? "passphrase" : "key", n_slots,
		 n_slots == 1 ? "" : "s");
	return err_hint(e, phrase ? "it is mistyped, belongs to another "
				    "repository, or was revoked"
				  : "it belongs to another repository, or was "
				    "revoked");
}

static int open_share(const struct keyring_shell *shell, size_t at,
		      const uint8_t *pair, uint8_t ring_key[KEYS_SIZE],
		      struct err *e)
{
	const uint8_t *share = shell->slots + at * (16 + KEYRING_SHARE) + 16;

	if (crypto_box_seal_open(ring_key, share, KEYRING_SHARE, pair,
				 pair + KEYRING_PUBLIC))
		return err_set(e, ERR_CORRUPT,
			       "the slot's share of the keyring is damaged");
	return 0;
}

static int open_shell(struct store *s, const struct keyring_credential *c,
		      const struct buf *bytes,
		      const struct keyring_shell *shell, struct ring *r,
		      struct err *e)
{
	uint8_t pair[KEYRING_PUBLIC + KEYRING_PRIVATE];
	uint8_t ring_key[KEYS_SIZE];
	struct trial t;
	int found = try_slots(s, r->repository, c, shell, &t, pair);

	if (found < 0) {
		*e = t.why;
		return -1;
	}
	if (found == 0)
		return no_slot_opens(&t, shell->n_slots, c->type, e);
	found = open_share(shell, t.at, pair, ring_key, e);
	if (found == 0)
		found = keyring_ring_open(bytes, shell, ring_key, r, e);
	secret_wipe(pair, sizeof(pair));
	secret_wipe(ring_key, sizeof(ring_key));
	if (found == 0)
		r->slots[t.at].info.is_yours = true;
	return found;
}

/* Slots, by name, that are had before it is known whether they count. */
#define SLOTS_AHEAD 8
struct slots {
	struct store_question v[SLOTS_AHEAD + 1];
	size_t n;
};

static int visit_slot(void *arg, const struct store_entry *entry,
		      struct err *e UNUSED)
{
	struct slots *x = arg;

	if (x->n == SLOTS_AHEAD)
		return 1;
	x->v[x->n].kind = STORE_ASK_OBJECT;
	(void)snprintf(x->v[x->n].name, sizeof(x->v[x->n].name), "%s",
		       entry->name);
	x->n++;
	return 0;
}

/*
 * The newest keyring and its public part, where a request takes long; *asked
 * has the slots on their way.
 */
static int ask_shell(struct store *s, struct buf *bytes,
		     struct keyring_shell *shell, struct store_asked **asked,
		     struct err *e)
{
	struct slots slots = { .n = 0 };
	uint32_t newest;

	if (list_newest(s, &newest, e))
		return -1;
	if (newest && store_list(s, "keys/", visit_slot, &slots, e))
		return -1;
	if (newest) {
		struct store_question *q = &slots.v[slots.n++];

		q->kind = STORE_ASK_OBJECT;
		(void)snprintf(q->name, sizeof(q->name), "%s",
			       object_name_generation(newest).s);
		*asked = store_ask(s, slots.v, slots.n);
	}
	return read_shell(s, newest, bytes, shell, e);
}

static int no_repository(struct err *e)
{
	err_put_(e, ERR_NOT_FOUND, "there is no repository");
	return err_hint(e, "snapctl repo init makes one");
}

/* The newest keyring into r, opened by c. */
static int open_near(struct store *s, const struct keyring_credential *c,
		     struct ring *r, struct err *e)
{
	CLEANUP(buf_done) struct buf bytes;
	struct keyring_shell shell;
	int found;

	buf_init(&bytes, KEYRING_MAX);
	found = read_config(s, &r->repository, e);
	if (found < 0)
		return -1;
	if (found == 0)
		return no_repository(e);
	if (read_shell(s, 0, &bytes, &shell, e))
		return -1;
	return open_shell(s, c, &bytes, &shell, r, e);
}

/* The same where a request takes long: in two rounds instead of four. */
static int open_far(struct store *s, const struct keyring_credential *c,
		    struct ring *r, struct err *e)
{
	static const struct store_question first[] = {
		{ STORE_ASK_OBJECT, "config", 0 },
		{ STORE_ASK_LISTING, "keyring/", 0 },
		{ STORE_ASK_LISTING, "keys/", 0 },
	};
	CLEANUP(buf_done) struct buf bytes;
	struct store_asked *asked = store_ask(s, first, 3);
	struct store_asked *slots = NULL;
	struct keyring_shell shell;
	int failed;

	buf_init(&bytes, KEYRING_MAX);
	failed = read_config(s, &r->repository, e);
	if (failed == 0)
		failed = no_repository(e);
	else if (failed > 0)
		failed = ask_shell(s, &bytes, &shell, &slots, e) ||
			 open_shell(s, c, &bytes, &shell, r, e);
	store_ask_done(slots);
	store_ask_done(asked);
	return failed ? -1 : 0;
}

static int open_ring(struct store *s, const struct keyring_credential *c,
		     struct ring *r, struct err *e)
{
	return (store_features(s) & STORE_LOCAL ? open_near : open_far)(s, c, r,
									e);
}

int keyring_ring_newest(struct store *s, const struct keyring_credential *c,
			struct ring *r, struct err *e)
{
	if (open_ring(s, c, r, e))
		return err_wrap(e, "cannot open repository %s",
				store_shown(s).s);
	return 0;
}

static int keys_of(const struct ring *r, struct keys **ret, struct err *e)
{
	CLEANUP(keys_free) struct keys *k = NULL;

	if (keys_new(r->repository, &k, e))
		return -1;
	for (size_t i = 0; i < r->n_domains; i++)
		if (keys_add_domain(k, r->domains[i].number,
				    r->domains[i].secret, e))
			return -1;
	for (size_t i = 0; i < r->n_epochs; i++)
		if (keys_add_epoch(k, r->epochs[i].number, r->epochs[i].key, e))
			return -1;
	keys_set_generation(k, r->generation);
	*ret = TAKE(k);
	return 0;
}

int keyring_open(struct store *s, const struct keyring_credential *c,
		 struct keys **ret, struct err *e)
{
	CLEANUP(keyring_ring_free) struct ring *r = keyring_ring_new(e);

	if (!r || keyring_ring_newest(s, c, r, e))
		return -1;
	return keys_of(r, ret, e);
}

int keyring_list(struct store *s, const struct keyring_credential *c,
		 keyring_visit *visit, void *arg, struct err *e)
{
	CLEANUP(keyring_ring_free) struct ring *r = keyring_ring_new(e);

	if (!r || keyring_ring_newest(s, c, r, e))
		return -1;
	for (size_t i = 0; i < r->n_slots; i++)
		if (visit(arg, &r->slots[i].info, e))
			return -1;
	return 0;
}

/*
 * Changing it.
 */
static int check_label(const char *label, struct err *e)
{
	const size_t n = strlen(label);

	if (n >= sizeof(((struct keyring_slot *)NULL)->label) ||
	    !text_is_utf8(label, n))
		return err_set(e, ERR_USAGE,
			       "label %s is not UTF-8 of at most 127 bytes",
			       text_quote(label, n).s);
	return 0;
}

/* Put a new slot for c into the store, and into *ret. */
static int put_slot(struct store *s, struct object_id repository,
		    const struct keyring_credential *c, struct ring_slot *ret,
		    struct err *e)
{
	uint8_t bytes[KEYRING_SLOT_SIZE];

	ret->info.id = object_id_new();
	ret->info.type = c->type;
	if (keyring_slot_make(c, repository, ret->info.id, bytes, ret->public,
			      e))
		return -1;
	return store_put(s, object_name(OBJECT_SLOT, ret->info.id).s, bytes,
			 sizeof(bytes), 0, e);
}

/* A slot that no keyring names opens nothing: failing to remove it is fine. */
static void drop_slot(struct store *s, struct object_id id)
{
	struct err ignored;

	if (store_remove(s, object_name(OBJECT_SLOT, id).s, &ignored))
		return;
}

/* ERR_EXISTS when a rival wrote this generation. */
static int put_ring(struct store *s, const struct ring *r, struct err *e)
{
	CLEANUP(buf_done) struct buf b;

	buf_init(&b, KEYRING_MAX);
	if (keyring_ring_encode(r, &b, e))
		return -1;
	return store_put(s, object_name_generation(r->generation).s, b.data,
			 b.len, 0, e);
}

static int new_epoch(struct ring *r, struct instant now, struct err *e)
{
	struct ring_epoch *x = &r->epochs[r->n_epochs];

	if (r->n_epochs == KEYS_EPOCHS_MAX || r->current == UINT16_MAX)
		return err_set(e, ERR_FULL, "there is no room for a new epoch");
	x->number = ++r->current;
	x->created = now;
	secret_random(x->key, sizeof(x->key));
	r->n_epochs++;
	return 0;
}

static int next_generation(struct ring *r, struct err *e)
{
	if (r->generation == KEYRING_GENERATIONS_MAX)
		return err_set(e, ERR_FULL, "no keyring can follow this one");
	memcpy(r->earlier[r->n_earlier++], r->self, sizeof(r->self));
	r->generation++;
	return 0;
}

struct place {
	bool has_config;
	bool has_keyring;
	bool has_other;
	char other[STORE_NAME_MAX + 1];
};

static int visit_place(void *arg, const struct store_entry *entry,
		       struct err *e)
{
	struct place *p = arg;

	(void)e;
	if (strcmp(entry->name, "config") == 0) {
		p->has_config = true;
	} else if (strncmp(entry->name, "keyring/", 8) == 0) {
		p->has_keyring = true;
	} else if (strncmp(entry->name, "keys/", 5) != 0) {
		p->has_other = true;
		memcpy(p->other, entry->name, strlen(entry->name) + 1);
		return 1;
	}
	return 0;
}

/* Only what an interrupted init can have left may be there. */
static int check_place(struct store *s, struct err *e)
{
	struct place p = { .has_config = false };

	if (store_pure(s, e) || store_list(s, "", visit_place, &p, e))
		return -1;
	if (p.has_config && p.has_keyring)
		return err_set(e, ERR_EXISTS, "there is a repository already");
	if (p.has_keyring)
		return err_set(e, ERR_EXISTS,
			       "there are the remains of a repository");
	if (p.has_other)
		return err_set(e, ERR_EXISTS, "it is not empty: it holds %s",
			       text_quote_str(p.other).s);
	return 0;
}

/* The config that is there or, durably, a new one. */
static int settle_config(struct store *s, struct object_id *ret, struct err *e)
{
	uint8_t config[KEYRING_CONFIG_SIZE];
	int found = read_config(s, ret, e);

	if (found)
		return found < 0 ? -1 : 0;
	*ret = object_id_new();
	keyring_config_encode(*ret, config);
	if (store_put(s, "config", config, sizeof(config), 0, e) == 0)
		return 0;
	if (e->code != ERR_EXISTS)
		return -1;
	found = read_config(s, ret, e);
	if (found == 0)
		return err_set(e, ERR_BUSY, "the config comes and goes");
	return found < 0 ? -1 : 0;
}

/*
 * 1. config, which only names the repository
 * 2. the slot, which no keyring names yet
 * 3. keyring generation 1: from here on there is a repository.  It can be
 *    written once only, so of two rivals one succeeds.
 * Interrupted before 3, the next init finds no keyring and does the same with
 * the config that is there.
 */
static int make_repository(struct store *s, const struct keyring_credential *c,
			   struct ring *r, struct err *e)
{
	if (check_place(s, e) || settle_config(s, &r->repository, e) ||
	    put_slot(s, r->repository, c, &r->slots[0], e))
		return -1;
	if (put_ring(s, r, e) == 0)
		return 0;
	if (e->code == ERR_EXISTS) {
		drop_slot(s, r->slots[0].info.id);
		(void)err_set(e, ERR_EXISTS, "someone else just made one");
	}
	return -1;
}

int keyring_init(struct store *s, const struct keyring_credential *c,
		 const char *label, struct instant now, struct keys **ret,
		 struct err *e)
{
	CLEANUP(keyring_ring_free) struct ring *r = keyring_ring_new(e);

	if (!r || check_label(label, e) || new_epoch(r, now, e))
		return -1;
	r->generation = 1;
	r->n_domains = 1;
	secret_random(r->domains[0].secret, sizeof(r->domains[0].secret));
	r->n_slots = 1;
	memcpy(r->slots[0].info.label, label, strlen(label) + 1);
	r->slots[0].info.added = now;
	if (make_repository(s, c, r, e))
		return err_wrap(e, "cannot make a repository in %s",
				store_shown(s).s);
	return keys_of(r, ret, e);
}

/* ERR_EXISTS when fresh opens a slot of r. */
static int check_fresh(struct store *s, const struct ring *r,
		       const struct keyring_credential *fresh, struct err *e)
{
	uint8_t pair[KEYRING_PUBLIC + KEYRING_PRIVATE];

	for (size_t i = 0; i < r->n_slots; i++) {
		const int opens = try_slot(s, r->repository, fresh,
					   r->slots[i].info.id, pair, e);

		secret_wipe(pair, sizeof(pair));
		if (opens > 0)
			return err_set(
				e, ERR_EXISTS,
				"the new key opens slot %s already",
				text_quote_str(r->slots[i].info.label).s);
		if (opens < 0 && !concerns_one_slot(e))
			return -1;
	}
	return 0;
}

/* 0, or -1: with ERR_EXISTS when a rival was first. */
static int append_slot(struct store *s, struct ring *r,
		       const struct ring_slot *slot, struct err *e)
{
	if (r->n_slots == KEYRING_SLOTS_MAX)
		return err_set(e, ERR_FULL, "there are %d key slots already",
			       KEYRING_SLOTS_MAX);
	if (next_generation(r, e))
		return -1;
	r->slots[r->n_slots++] = *slot;
	return put_ring(s, r, e);
}

/*
 * The slot first, then the keyring that names it: interrupted in between,
 * there is a slot that opens nothing.  It is written once, whatever rivals
 * do, and stays when it is not known whether the keyring was written.
 */
int keyring_add(struct store *s, const struct keyring_credential *c,
		const struct keyring_credential *fresh, const char *label,
		struct instant now, struct object_id *ret_slot, struct err *e)
{
	CLEANUP(keyring_ring_free) struct ring *r = keyring_ring_new(e);
	struct ring_slot slot = { .info = { .added = now } };

	if (!r || check_label(label, e))
		return -1;
	memcpy(slot.info.label, label, strlen(label) + 1);
	for (int i = 0; i < ATTEMPTS; i++) {
		if (keyring_ring_newest(s, c, r, e) ||
		    check_fresh(s, r, fresh, e))
			return -1;
		if (i == 0 && put_slot(s, r->repository, fresh, &slot, e))
			return -1;
		if (append_slot(s, r, &slot, e) == 0) {
			*ret_slot = slot.info.id;
			return 0;
		}
		if (e->code != ERR_EXISTS)
			return err_wrap(e, "cannot add a key slot");
	}
	drop_slot(s, slot.info.id);
	return err_set(e, ERR_BUSY, "the keyring changes all the time");
}

struct older {
	struct store *store;
	const struct ring *than;
	struct buf names; /* each with its NUL */
};

/* One that is no ancestor may hold the only copy of a key: it stays. */
static int visit_older(void *arg, const struct store_entry *entry,
		       struct err *e)
{
	struct older *o = arg;
	CLEANUP(buf_done) struct buf b;
	uint64_t n;
	int found;

	buf_init(&b, KEYRING_MAX);
	if (!object_name_parse_number(OBJECT_KEYRING, entry->name, &n) ||
	    n >= o->than->generation)
		return 0;
	found = store_get(o->store, entry->name, &b, e);
	if (found <= 0 || !keyring_ring_follows(o->than, n, &b))
		return found < 0 ? -1 : 0;
	return buf_add(&o->names, entry->name, strlen(entry->name) + 1, e);
}

/*
 * What the store guards stays until its time is over: it tells the revoked key
 * nothing that it did not tell before.
 */
static int remove_unless_guarded(struct store *s, const char *name,
				 struct err *e)
{
	struct store_guard guard;
	struct err ignored;

	if (store_remove(s, name, e) == 0)
		return 0;
	if (e->code != ERR_DENIED ||
	    store_guarded(s, name, &guard, &ignored) <= 0 ||
	    (!guard.held && guard.until.sec == 0))
		return -1;
	err_clear(e);
	return 0;
}

static int remove_older(struct store *s, const struct ring *than, struct err *e)
{
	struct older o = { .store = s, .than = than };
	int r;

	buf_init(&o.names, (size_t)1 << 20);
	r = store_list(s, "keyring/", visit_older, &o, e);
	for (size_t at = 0; r == 0 && at < o.names.len;) {
		const char *name = (const char *)o.names.data + at;

		r = remove_unless_guarded(s, name, e);
		at += strlen(name) + 1;
	}
	buf_done(&o.names);
	return r;
}

static struct ring_slot *find_slot(struct ring *r, struct object_id id)
{
	for (size_t i = 0; i < r->n_slots; i++)
		if (object_id_equal(r->slots[i].info.id, id))
			return &r->slots[i];
	return NULL;
}

/* The slot's object goes last: while it is there, repeating finishes. */
static int finish_revoke(struct store *s, const struct ring *r,
			 struct object_id slot, struct err *e)
{
	if (remove_older(s, r, e))
		return -1;
	return remove_unless_guarded(s, object_name(OBJECT_SLOT, slot).s, e);
}

static int finish_interrupted(struct store *s, const struct ring *r,
			      struct object_id slot, struct err *e)
{
	uint64_t size;
	int found = store_size(s, object_name(OBJECT_SLOT, slot).s, &size, e);
	char text[OBJECT_ID_TEXT];

	if (found < 0)
		return -1;
	object_id_format(slot, text);
	if (found == 0)
		return err_set(e, ERR_NOT_FOUND, "there is no key slot %s",
			       text);
	return finish_revoke(s, r, slot, e);
}

/* Without slot, under a new epoch.  ERR_EXISTS when a rival was first. */
static int write_without(struct store *s, struct ring *r,
			 struct ring_slot *slot, struct instant now,
			 struct err *e)
{
	const size_t behind = (size_t)(r->slots + r->n_slots - (slot + 1));

	memmove(slot, slot + 1, behind * sizeof(*slot));
	r->n_slots--;
	if (new_epoch(r, now, e) || next_generation(r, e))
		return -1;
	return put_ring(s, r, e);
}

/*
 * 1. the keyring of the next generation: from here on the slot opens nothing
 * 2. older generations, which it could open, are removed
 * 3. its slot object is removed
 * Interrupted after 1, the repository opens with the remaining slots, and
 * revoking again goes on with 2.
 */
int keyring_revoke(struct store *s, const struct keyring_credential *c,
		   struct object_id slot, struct instant now, struct err *e)
{
	CLEANUP(keyring_ring_free) struct ring *r = keyring_ring_new(e);

	if (!r)
		return -1;
	for (int i = 0; i < ATTEMPTS; i++) {
		struct ring_slot *found;

		if (keyring_ring_newest(s, c, r, e))
			return -1;
		found = find_slot(r, slot);
		if (!found)
			return finish_interrupted(s, r, slot, e);
		if (found->info.is_yours) {
			err_put_(e, ERR_USAGE,
				 "a key cannot revoke its own slot");
			return err_hint(e, "use another key; a repository "
					   "keeps one at least");
		}
		if (write_without(s, r, found, now, e) == 0)
			return finish_revoke(s, r, slot, e);
		if (e->code != ERR_EXISTS)
			return err_wrap(e, "cannot revoke the key slot");
	}
	return err_set(e, ERR_BUSY, "the keyring changes all the time");
}

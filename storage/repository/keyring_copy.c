/* A further region of a repository: the same config, slots and keyrings. */
#include <string.h>

#include "base/text.h"
#include "storage/repository/keyring_internal.h"

/* What an object is asked of: whether it is the same in both regions. */
struct copying {
	struct store *from;
	struct store *to;
	const struct ring *ring; /* the newest of from */
	bool has_other;
	char other[STORE_NAME_MAX + 1];
};

/* 1 same bytes, 0 one lacks it or they differ (*ret_both), -1. */
static int is_same(const struct copying *c, const char *name, bool *ret_both,
		   struct err *e)
{
	CLEANUP(buf_done) struct buf a;
	CLEANUP(buf_done) struct buf b;
	int in_from;
	int in_to;

	buf_init(&a, KEYRING_MAX);
	buf_init(&b, KEYRING_MAX);
	in_from = store_get(c->from, name, &a, e);
	if (in_from < 0)
		return -1;
	in_to = store_get(c->to, name, &b, e);
	if (in_to < 0)
		return -1;
	*ret_both = in_from && in_to;
	return *ret_both && a.len == b.len && !memcmp(a.data, b.data, a.len);
}

static int put_copy(const struct copying *c, const char *name, struct err *e)
{
	CLEANUP(buf_done) struct buf b;
	int found;

	buf_init(&b, KEYRING_MAX);
	found = store_get(c->from, name, &b, e);
	if (found <= 0)
		return found; /* revoked since it was listed */
	if (store_put(c->to, name, b.data, b.len, 0, e) == 0)
		return 0;
	if (e->code != ERR_EXISTS)
		return -1;
	err_clear(e); /* a rival makes the same region */
	return 0;
}

/* Before there is a config: only what an interrupted copy left may be here. */
static int visit_place(void *arg, const struct store_entry *entry,
		       struct err *e)
{
	struct copying *c = (struct copying *)arg;
	bool both;
	int same = 0;

	if (strncmp(entry->name, "keys/", 5) == 0 ||
	    strncmp(entry->name, "keyring/", 8) == 0)
		same = is_same(c, entry->name, &both, e);
	if (same)
		return same < 0 ? -1 : 0;
	c->has_other = true;
	(void)memcpy(c->other, entry->name, strlen(entry->name) + 1);
	return 1;
}

/* 1 when it is a region already, 0 when it can become one, -1. */
static int check_target(struct copying *c, struct err *e)
{
	bool both;
	int same = is_same(c, "config", &both, e);

	if (same)
		return same;
	if (both) {
		(void)err_set(e, ERR_EXISTS, "it holds another repository");
		return err_hint(e, "choose an empty place for the new region");
	}
	if (store_pure(c->to, e))
		return err_hint(e, "choose an empty place for the new region");
	if (store_list(c->to, "", visit_place, c, e))
		return -1;
	if (c->has_other) {
		(void)err_set(e, ERR_EXISTS, "it is not empty: it holds %s",
			      text_quote_str(c->other).s);
		return err_hint(e, "choose an empty place for the new region");
	}
	return 0;
}

static int find_newest(void *arg, const struct store_entry *entry,
		       struct err *e)
{
	uint64_t *newest = (uint64_t *)arg;
	uint64_t n;

	(void)e;
	if (object_name_parse_number(OBJECT_KEYRING, entry->name, &n) &&
	    n > *newest)
		*newest = n;
	return 0;
}

static int copy_if_absent(void *arg, const struct store_entry *entry,
			  struct err *e)
{
	const struct copying *c = (const struct copying *)arg;
	uint64_t size;
	int there;

	there = store_size(c->to, entry->name, &size, e);
	if (there < 0)
		return -1;
	return there ? 0 : put_copy(c, entry->name, e);
}

/*
 * Nothing beyond the generation that the credential opened.  Nor what that one
 * came from, which a revocation left because its time was not over: all its
 * keys are in the newest, and it names slots that are not copied.
 */
static int copy_generation(void *arg, const struct store_entry *entry,
			   struct err *e)
{
	const struct copying *c = (const struct copying *)arg;
	CLEANUP(buf_done) struct buf b;
	uint64_t n;
	int found;

	buf_init(&b, KEYRING_MAX);
	if (!object_name_parse_number(OBJECT_KEYRING, entry->name, &n) ||
	    n == c->ring->generation)
		return copy_if_absent(arg, entry, e);
	if (n > c->ring->generation)
		return 0;
	found = store_get(c->from, entry->name, &b, e);
	if (found <= 0)
		return found; /* removed since it was listed */
	return keyring_ring_follows(c->ring, n, &b)
		       ? 0
		       : copy_if_absent(arg, entry, e);
}

/* The slots that the newest keyring names; the others open nothing. */
static int copy_slots(const struct copying *c, struct err *e)
{
	for (size_t i = 0; i < c->ring->n_slots; i++) {
		const struct object_name name = object_name(
			OBJECT_SLOT, c->ring->slots[i].info.id);
		const struct store_entry entry = { .name = name.s };

		if (copy_if_absent((void *)(uintptr_t)c, &entry, e))
			return -1;
	}
	return 0;
}

static int tell_fork(uint64_t generation, struct err *e)
{
	(void)err_set(e, ERR_CORRUPT,
		      "generation %u of its keyring is not the repository's",
		      (unsigned int)generation);
	return err_hint(e, "its keys were changed apart from the others; keep "
			   "it for what only it holds, or empty it and add it "
			   "again; add and revoke keys in one region only");
}

/* A region on its way to our keyring; what is gone here goes there, too. */
struct following {
	const struct copying *c;
	uint64_t theirs; /* its newest generation */
	struct buf revoked;
};

/* Asked one by one: a listing that leaves something out must not cost a key. */
static int note_revoked(struct following *f, const char *name, struct err *e)
{
	uint64_t size;
	const int there = store_size(f->c->from, name, &size, e);

	if (there)
		return there < 0 ? -1 : 0;
	return buf_add(&f->revoked, name, strlen(name) + 1, e);
}

/*
 * A generation that ours did not come from was written apart from it: its
 * epoch key, of which this may be the only copy, seals what is there.
 */
static int visit_generation(void *arg, const struct store_entry *entry,
			    struct err *e)
{
	struct following *f = (struct following *)arg;
	CLEANUP(buf_done) struct buf b;
	uint64_t n;
	int found;

	buf_init(&b, KEYRING_MAX);
	if (!object_name_parse_number(OBJECT_KEYRING, entry->name, &n))
		return 0;
	found = store_get(f->c->to, entry->name, &b, e);
	if (found <= 0)
		return found; /* removed since it was listed */
	if (!keyring_ring_follows(f->c->ring, n, &b))
		return tell_fork(n, e);
	return n < f->c->ring->generation ? note_revoked(f, entry->name, e) : 0;
}

static int visit_slot(void *arg, const struct store_entry *entry, struct err *e)
{
	struct following *f = (struct following *)arg;
	const struct ring *ring = f->c->ring;

	/* One that our keyring names was lost here, not revoked. */
	for (size_t i = 0; i < ring->n_slots; i++)
		if (strcmp(object_name(OBJECT_SLOT, ring->slots[i].info.id).s,
			   entry->name) == 0)
			return 0;
	return note_revoked(f, entry->name, e);
}

static int remove_revoked(const struct following *f, struct err *e)
{
	for (size_t at = 0; at < f->revoked.len;) {
		const char *name = (const char *)f->revoked.data + at;

		if (store_remove(f->c->to, name, e))
			return -1;
		at += strlen(name) + 1;
	}
	return 0;
}

/*
 * 1. look at every generation there: all are ours or came before it
 * 2. copy what is missing, also of what was lost there: slots, then the newest
 *    generation, with those that it did not come from
 * 3. as a revocation does, remove older generations and then slots, of those
 *    that were looked at; also when nothing was missing, as the last time may
 *    have been cut off
 */
static int follow(struct following *f, struct err *e)
{
	const struct copying *c = f->c;

	if (store_list(c->to, "keyring/", visit_generation, f, e) ||
	    store_list(c->to, "keys/", visit_slot, f, e) || copy_slots(c, e) ||
	    store_list(c->from, "keyring/", copy_generation,
		       (void *)(uintptr_t)c, e))
		return -1;
	return remove_revoked(f, e);
}

/* It stays as it is when its newer keyring came from ours: the roles swap. */
static int check_newer(const struct copying *c,
		       const struct keyring_credential *credential,
		       struct err *e)
{
	CLEANUP(keyring_ring_free) struct ring *theirs = keyring_ring_new(e);
	const struct copying back = { .from = c->to,
				      .to = c->from,
				      .ring = theirs };
	struct following f = { .c = &back };
	int failed;

	if (!theirs || keyring_ring_newest(c->to, credential, theirs, e))
		return -1;
	buf_init(&f.revoked, KEYRING_MAX);
	failed = store_list(c->from, "keyring/", visit_generation, &f, e);
	buf_done(&f.revoked); /* for it to tell us, not to be done here */
	return failed;
}

/* Bring a region's keys up to date. */
static int update(const struct copying *c,
		  const struct keyring_credential *credential, struct err *e)
{
	struct following f = { .c = c };
	int failed;

	if (store_list(c->to, "keyring/", find_newest, &f.theirs, e))
		return -1;
	if (f.theirs > c->ring->generation)
		return check_newer(c, credential, e);
	buf_init(&f.revoked, KEYRING_MAX);
	failed = follow(&f, e);
	buf_done(&f.revoked);
	return failed;
}

/*
 * 1. slots and keyrings, which mean nothing without a config
 * 2. config: from here on it is a region
 * The config comes last, unlike in a new repository, so that what an
 * interrupted copy leaves can never be taken for an interrupted init and get
 * keys of its own under the same repository id.
 */
int keyring_copy(struct store *from, struct store *to,
		 const struct keyring_credential *c, struct err *e)
{
	CLEANUP(keyring_ring_free) struct ring *ring = keyring_ring_new(e);
	struct copying x = { .from = from, .to = to, .ring = ring };
	const int is_region = ring ? check_target(&x, e) : -1;

	/* Nobody's keyring but one that our key opens is passed on. */
	if (is_region < 0 || keyring_ring_newest(from, c, ring, e))
		return -1;
	if (is_region)
		return update(&x, c, e);
	if (copy_slots(&x, e) ||
	    store_list(from, "keyring/", copy_generation, &x, e))
		return -1;
	return put_copy(&x, "config", e);
}

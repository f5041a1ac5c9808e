/* A further region of a repository: the same config, slots and keyrings. */
#include <string.h>

#include "base/text.h"
#include "storage/repository/keyring_internal.h"

/* What an object is asked of: whether it is the same in both regions. */
struct copying {
	struct store *from;
	struct store *to;
	uint64_t newest; /* generation */
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
	uint64_t n;
	int there;

	/* Nothing beyond the generation that the credential opened. */
	if (object_name_parse_number(OBJECT_KEYRING, entry->name, &n) &&
	    n > c->newest)
		return 0;
	there = store_size(c->to, entry->name, &size, e);
	if (there < 0)
		return -1;
	return there ? 0 : put_copy(c, entry->name, e);
}

/* The slots that the newest keyring names; the others open nothing. */
static int read_shell(const struct copying *c, struct buf *bytes,
		      struct keyring_shell *shell, struct err *e)
{
	const struct object_name name = object_name_generation(
		(uint32_t)c->newest);
	const int found = store_get(c->from, name.s, bytes, e);

	if (found < 0)
		return -1;
	if (!found)
		return err_set(e, ERR_BUSY, "the keyring changes just now");
	return keyring_shell_decode(bytes, (uint32_t)c->newest, shell, e);
}

static int copy_slots(const struct copying *c, struct err *e)
{
	CLEANUP(buf_done) struct buf bytes;
	struct keyring_shell shell;

	buf_init(&bytes, KEYRING_MAX);
	if (read_shell(c, &bytes, &shell, e))
		return -1;
	for (size_t i = 0; i < shell.n_slots; i++) {
		struct store_entry entry = { .size = 0 };
		struct object_name name;
		struct object_id id;

		memcpy(id.b, shell.slots + i * (16 + KEYRING_SHARE), 16);
		name = object_name(OBJECT_SLOT, id);
		entry.name = name.s;
		if (copy_if_absent((void *)(uintptr_t)c, &entry, e))
			return -1;
	}
	return 0;
}

/* What is gone from the source is named to be removed from the target. */
struct revoking {
	const struct copying *c;
	struct buf names;
};

static int visit_revoked(void *arg, const struct store_entry *entry,
			 struct err *e)
{
	struct revoking *r = (struct revoking *)arg;
	uint64_t size;
	uint64_t n;
	int there;

	if (object_name_parse_number(OBJECT_KEYRING, entry->name, &n) &&
	    n >= r->c->newest)
		return 0;
	/* Asked one by one: a listing that leaves something out must not
	 * cost a slot. */
	there = store_size(r->c->from, entry->name, &size, e);
	if (there)
		return there < 0 ? -1 : 0;
	return buf_add(&r->names, entry->name, strlen(entry->name) + 1, e);
}

/* As a revocation does: older generations first, then slots. */
static int follow_revocations(const struct copying *c, struct err *e)
{
	struct revoking r = { .c = c };
	size_t at = 0;
	int failed;

	buf_init(&r.names, KEYRING_MAX);
	failed = store_list(c->to, "keyring/", visit_revoked, &r, e) ||
		 store_list(c->to, "keys/", visit_revoked, &r, e);
	while (!failed && at < r.names.len) {
		const char *name = (const char *)r.names.data + at;

		failed = store_remove(c->to, name, e);
		at += strlen(name) + 1;
	}
	buf_done(&r.names);
	return failed ? -1 : 0;
}

/* A region whose keys changed on their own cannot follow ours. */
static int check_fork(const struct copying *c, uint64_t theirs, struct err *e)
{
	const struct object_name name = object_name_generation(
		(uint32_t)theirs);
	bool both = false;
	const int same = is_same(c, name.s, &both, e);

	if (same < 0)
		return -1;
	if (same || !both)
		return 0;
	(void)err_set(e, ERR_CORRUPT,
		      "its keyring %u is not the one that the repository has",
		      (unsigned int)theirs);
	return err_hint(e, "its keys were changed apart from the others; add "
			   "and revoke keys in one region only, or empty it "
			   "and add it again");
}

/* Bring a region's keys up to date: slots, then generations in order. */
static int update(struct copying *c, struct err *e)
{
	uint64_t theirs = 0;

	if (store_list(c->to, "keyring/", find_newest, &theirs, e))
		return -1;
	if (theirs && check_fork(c, theirs, e))
		return -1;
	if (theirs > c->newest)
		return 0;
	if (theirs < c->newest &&
	    (copy_slots(c, e) ||
	     store_list(c->from, "keyring/", copy_if_absent, c, e)))
		return -1;
	/* Also when it is the same: the last time may have been cut off. */
	return follow_revocations(c, e);
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
	CLEANUP(keys_free) struct keys *keys = NULL;
	struct copying x = { .from = from, .to = to };
	const int is_region = check_target(&x, e);

	if (is_region < 0 ||
	    store_list(from, "keyring/", find_newest, &x.newest, e))
		return -1;
	/* Nobody's keyring but one that our key opens is passed on. */
	if (keyring_open(from, c, &keys, e))
		return -1;
	if (is_region)
		return update(&x, e);
	if (copy_slots(&x, e) ||
	    store_list(from, "keyring/", copy_if_absent, &x, e))
		return -1;
	return put_copy(&x, "config", e);
}

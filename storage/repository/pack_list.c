/*
 * Listing all packs.
 *
 * A listing comes in pages of a thousand names, each of which has to be there
 * before the next one can be asked for.  So a long one is taken by the 256
 * folders that packs lie in, many of them at once; a short one would only be
 * more requests so.
 *
 * It is long from 2000 names on: two pages, had in vain.  Of 100,000 packs on a
 * server in Python, which is busy for 40 ms with each page, and 20 ms away, one
 * listing took 8.2 s (100 requests), the folders 2.9 s (256), with both of the
 * machine's processors at work.
 */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "storage/repository/pack.h"

#define SHORT	2000
#define FOLDERS 256
/* Folders that are asked for at a time, and kept: 128 KiB each at most. */
#define TOGETHER 32

struct listing {
	struct store *store;
	const char *folder;
	store_visit *visit;
	void *arg;
	bool ended; /* the visitor wants no more */
	/* The first names: u64 size, and name with its NUL, of each. */
	struct buf first;
	size_t n;
};

static int visit_one(void *arg, const struct store_entry *entry, struct err *e)
{
	struct listing *l = arg;
	const int r = l->visit(l->arg, entry, e);

	l->ended = r > 0;
	return r;
}

static int keep_first(void *arg, const struct store_entry *entry, struct err *e)
{
	struct listing *l = arg;

	if (buf_add(&l->first, &entry->size, sizeof(entry->size), e) ||
	    buf_add(&l->first, entry->name, strlen(entry->name) + 1, e))
		return -1;
	return ++l->n == SHORT;
}

static int visit_first(struct listing *l, struct err *e)
{
	size_t at = 0;

	while (at < l->first.len && !l->ended) {
		struct store_entry entry;

		memcpy(&entry.size, l->first.data + at, sizeof(entry.size));
		at += sizeof(entry.size);
		entry.name = (const char *)l->first.data + at;
		at += strlen(entry.name) + 1;
		if (visit_one(l, &entry, e) < 0)
			return -1;
	}
	return 0;
}

static int visit_some(struct listing *l, unsigned int from, struct err *e)
{
	struct store_question v[TOGETHER] = { 0 };
	struct store_asked *asked;
	int failed = 0;

	for (unsigned int i = 0; i < TOGETHER; i++) {
		v[i].kind = STORE_ASK_LISTING;
		(void)snprintf(v[i].name, sizeof(v[i].name), "%s%02x/",
			       l->folder, from + i);
	}
	asked = store_ask(l->store, v, TOGETHER);
	for (unsigned int i = 0; !failed && !l->ended && i < TOGETHER; i++)
		failed = store_list(l->store, v[i].name, visit_one, l, e);
	store_ask_done(asked);
	return failed;
}

static int list_far(struct listing *l, struct err *e)
{
	int failed;

	buf_init(&l->first, SHORT * (sizeof(uint64_t) + STORE_NAME_MAX + 1));
	l->n = 0;
	failed = store_list(l->store, l->folder, keep_first, l, e);
	if (!failed && l->n < SHORT)
		failed = visit_first(l, e);
	buf_done(&l->first);
	for (unsigned int i = 0;
	     !failed && l->n == SHORT && !l->ended && i < FOLDERS;
	     i += TOGETHER)
		failed = visit_some(l, i, e);
	return failed;
}

int pack_list(struct store *s, store_visit *visit, void *arg, struct err *e)
{
	static const char *const folders[] = { "data/", "meta/" };
	struct listing l = { .store = s, .visit = visit, .arg = arg };
	int failed = 0;

	for (size_t i = 0; !failed && !l.ended && i < 2; i++) {
		l.folder = folders[i];
		failed = store_features(s) & STORE_LOCAL
				 ? store_list(s, l.folder, visit_one, &l, e)
				 : list_far(&l, e);
	}
	return failed;
}

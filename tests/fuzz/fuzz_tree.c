/*
 * Whole trees, whose nodes name one another at will.  The first byte is the
 * root's height; then nodes, each a u16 length and its bytes: what the reader
 * would fetch is the node of the number that an id begins with.
 *
 * Whatever the nodes say, paths ascend, and no walk takes more steps than
 * there are bytes: nodes that lead to one another again and again would have a
 * restore go on for ever.
 */
#include "storage/repository/content.h"
#include "storage/repository/tree.h"
#include "tests/support/fuzz.h"

#define NODES 64

static struct {
	const uint8_t *p;
	size_t len;
	bool seen;
} nodes[NODES];
static size_t n_nodes;

int __wrap_reader_get(struct reader *x, const struct chunk_id *id,
		      enum chunk_kind kind, const uint8_t **ret,
		      size_t *ret_len, struct err *e);
int __wrap_reader_get(struct reader *x, const struct chunk_id *id,
		      enum chunk_kind kind, const uint8_t **ret,
		      size_t *ret_len, struct err *e)
{
	(void)x;
	(void)kind;
	if (id->b[0] >= n_nodes)
		return err_set(e, ERR_CORRUPT, "there is no such node");
	*ret = nodes[id->b[0]].p;
	*ret_len = nodes[id->b[0]].len;
	return 0;
}

static void take_nodes(struct cursor c)
{
	n_nodes = 0;
	while (c.left > 2 && n_nodes < NODES) {
		const size_t want = cursor_u16(&c);
		const size_t len = want < c.left ? want : c.left;

		nodes[n_nodes].p = cursor_bytes(&c, len);
		nodes[n_nodes].seen = false;
		nodes[n_nodes++].len = len;
	}
}

static void walk(struct tree *t, size_t steps)
{
	CLEANUP(buf_done) struct buf before;
	struct content content;
	struct entry en;
	struct err e = { 0 };
	size_t len;
	int got;

	buf_init(&before, ENTRY_PATH_MAX);
	while ((got = tree_next(t, &en, &content, &e))) {
		FUZZ_PROMISE(steps-- > 0);
		if (got < 0) {
			FUZZ_PROMISE(e.code == ERR_CORRUPT);
			FUZZ_PROMISE(tree_lost(t, &len) != NULL);
			continue;
		}
		FUZZ_PROMISE(entry_valid(&en));
		FUZZ_PROMISE(!before.len ||
			     entry_path_compare(before.data, before.len,
						en.path, en.path_len) < 0);
		buf_clear(&before);
		FUZZ_PROMISE(buf_add(&before, en.path, en.path_len, &e) == 0);
	}
}

/* Leaves alone, as a comparison of two trees skips them. */
static void skip(struct tree *t, size_t steps)
{
	struct chunk_id id;
	struct err e = { 0 };
	int got;

	while ((got = tree_at_leaf(t, &id, &e))) {
		FUZZ_PROMISE(steps-- > 0);
		if (got > 0)
			tree_skip_leaf(t);
	}
}

static int see(void *arg, const struct chunk_id *id, enum chunk_kind kind,
	       struct err *e)
{
	size_t *steps = arg;
	bool *seen = &nodes[id->b[0] % NODES].seen;

	(void)e;
	FUZZ_PROMISE((*steps)-- > 0);
	if (kind == CHUNK_DATA || kind == CHUNK_VALUE)
		return 0;
	if (*seen)
		return 1;
	*seen = true;
	return 0;
}

static int tell(void *arg, const struct chunk_id *id, enum chunk_kind kind,
		const struct err *why, struct err *e)
{
	(void)arg;
	(void)id;
	(void)kind;
	(void)e;
	FUZZ_PROMISE(why->code == ERR_CORRUPT);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct manifest_root root = { .height = 0 };
	CLEANUP(tree_close) struct tree *t = NULL;
	static uint64_t nobody; /* whom the wrapped reader_get() never asks */
	struct reader *const x = (struct reader *)(void *)&nobody;
	size_t steps = 2 * n + 16;
	struct err e = { 0 };

	if (n < 1 || n > (1 << 16))
		return 0;
	root.height = bytes[0] % 14;
	take_nodes(cursor_of(bytes + 1, n - 1));
	FUZZ_PROMISE(tree_open(x, &root, &root, &t, &e) == 0);
	walk(t, steps);
	for (const char *const *at =
		     (const char *const[]){ "/", "/b", "/b/c", NULL };
	     *at; at++) {
		if (tree_seek(t, *at, strlen(*at), &e))
			FUZZ_PROMISE(e.code == ERR_CORRUPT);
		walk(t, steps);
	}
	tree_close(TAKE(t));
	FUZZ_PROMISE(tree_open(x, &root, NULL, &t, &e) == 0);
	skip(t, steps);
	if (tree_references(x, &root, false, see, tell, &steps, &e))
		FUZZ_PROMISE(e.code == ERR_CORRUPT);
	return 0;
}

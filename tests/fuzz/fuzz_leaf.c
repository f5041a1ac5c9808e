/*
 * A leaf, its hints and the values that it names, read through tree_next():
 * what the reader would fetch is cut from the input instead.  The first two
 * bytes say how long the hints are, the rest is the leaf; a value is as long
 * as its id's first byte, and lost when that is 255.
 */
#include "storage/repository/tree.h"
#include "tests/support/fuzz.h"

#define LOST 255

static struct {
	const uint8_t *leaf;
	size_t leaf_len;
	const uint8_t *hints;
	size_t hints_len;
} served;

int __wrap_reader_get(struct reader *x, const struct chunk_id *id,
		      enum chunk_kind kind, const uint8_t **ret,
		      size_t *ret_len, struct err *e);
int __wrap_reader_get(struct reader *x, const struct chunk_id *id,
		      enum chunk_kind kind, const uint8_t **ret,
		      size_t *ret_len, struct err *e)
{
	static const uint8_t value[LOST];

	(void)x;
	switch (kind) {
	case CHUNK_LEAF:
		*ret = served.leaf;
		*ret_len = served.leaf_len;
		return 0;
	case CHUNK_HINTS:
		*ret = served.hints;
		*ret_len = served.hints_len;
		return 0;
	default:
		break;
	}
	FUZZ_PROMISE(kind == CHUNK_VALUE);
	if (id->b[0] == LOST)
		return err_set(e, ERR_CORRUPT, "the value is lost");
	*ret = value;
	*ret_len = id->b[0];
	return 0;
}

static void check_content(const struct entry *en, const struct content *c)
{
	uint64_t sum = 0;

	FUZZ_PROMISE(c->level <= CONTENT_LEVEL_MAX);
	FUZZ_PROMISE(c->n <= CONTENT_EXTENTS_MAX);
	for (size_t i = 0; i < c->n; i++) {
		FUZZ_PROMISE(c->v[i].len > 0);
		sum += c->v[i].len;
	}
	FUZZ_PROMISE(sum == en->size);
}

/* Everything that is borrowed can be read to its end. */
static void check_entry(const struct entry *en, const struct content *c)
{
	struct entry copy;
	struct err e;

	FUZZ_PROMISE(entry_path_valid(en->path, en->path_len));
	FUZZ_PROMISE(entry_valid(en));
	FUZZ_PROMISE(content_valid(c, en->size));
	check_content(en, c);
	FUZZ_PROMISE(entry_copy(&copy, en, &e) == 0);
	for (size_t i = 0; i < copy.xattr_count; i++)
		FUZZ_PROMISE(copy.xattrs[i].name[0] != '\0');
	entry_done(&copy);
}

static void read_all(struct tree *t)
{
	CLEANUP(buf_done) struct buf before;
	struct content content;
	struct entry en;
	struct err e = { 0 };
	size_t lost;
	int got;

	buf_init(&before, ENTRY_PATH_MAX);
	while ((got = tree_next(t, &en, &content, &e))) {
		if (got < 0) {
			FUZZ_PROMISE(e.code == ERR_CORRUPT);
			FUZZ_PROMISE(tree_lost(t, &lost) != NULL);
			continue;
		}
		check_entry(&en, &content);
		FUZZ_PROMISE(!before.len ||
			     entry_path_compare(before.data, before.len,
						en.path, en.path_len) < 0);
		buf_clear(&before);
		FUZZ_PROMISE(buf_add(&before, en.path, en.path_len, &e) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	static const struct manifest_root root = { .height = 0 };
	CLEANUP(tree_close) struct tree *t = NULL;
	static uint64_t nobody; /* whom the wrapped reader_get() never asks */
	struct err e = { 0 };

	if (n < 2)
		return 0;
	served.hints_len = (size_t)(bytes[0] | bytes[1] << 8);
	if (served.hints_len > n - 2)
		served.hints_len = n - 2;
	served.hints = bytes + 2;
	served.leaf = served.hints + served.hints_len;
	served.leaf_len = n - 2 - served.hints_len;
	FUZZ_PROMISE(tree_open((struct reader *)(void *)&nobody, &root, &root,
			       &t, &e) == 0);
	read_all(t);
	(void)!tree_seek(t, "/b", 2, &e);
	read_all(t);
	return 0;
}

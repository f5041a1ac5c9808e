/* An inner node; the first byte is the height that its parent claims. */
#include "storage/repository/tree_node.h"
#include "tests/support/fuzz.h"

static void check_node(const struct tree_inner *in)
{
	const struct tree_child *before = NULL;

	FUZZ_PROMISE(in->n > 0 && in->n <= TREE_CHILDREN_MAX);
	for (size_t i = 0; i < in->n; i++) {
		const struct tree_child *c = &in->v[i];
		const uint8_t *path = in->paths.data + c->path_at;

		FUZZ_PROMISE(c->path_at + c->path_len <= in->paths.len);
		FUZZ_PROMISE(entry_path_valid(path, c->path_len));
		FUZZ_PROMISE(!before ||
			     entry_path_compare(
				     in->paths.data + before->path_at,
				     before->path_len, path, c->path_len) < 0);
		before = c;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	static const struct tree_range all = { .first = NULL };
	struct tree_inner in = { 0 };
	struct err e = { 0 };

	if (n < 1)
		return 0;
	/* Twice: a node is parsed into again and again. */
	for (int i = 0; i < 2; i++) {
		if (tree_inner_parse(&in, bytes + 1, n - 1, bytes[0], &all,
				     &e)) {
			FUZZ_PROMISE(e.code == ERR_CORRUPT);
			FUZZ_PROMISE(in.n == 0);
			continue;
		}
		FUZZ_PROMISE(in.height == bytes[0]);
		check_node(&in);
	}
	tree_inner_done(&in);
	return 0;
}

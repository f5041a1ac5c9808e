#include "service/yaml.h"
#include "tests/support/fuzz.h"

static size_t count(const struct yaml_node *node, unsigned int depth)
{
	size_t n = 1;

	FUZZ_PROMISE(depth <= YAML_DEPTH);
	FUZZ_PROMISE(node->line > 0 && node->column > 0);
	for (node = node->first; node; node = node->next)
		n += count(node, depth + 1);
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct problem_list problems;
	struct yaml *y;
	struct err e;
	size_t nodes = 0;

	problem_init(&problems);
	if (yaml_parse("f", bytes, n, &y, &problems, &e) < 0) {
		FUZZ_PROMISE(e.code == ERR_USAGE && problems.errors == 1);
	} else {
		FUZZ_PROMISE(problems.errors == 0);
		for (size_t i = 0; i < yaml_count(y); i++)
			nodes += count(yaml_document(y, i), 0);
		FUZZ_PROMISE(nodes <= YAML_NODES);
		yaml_free(y);
	}
	problem_done(&problems);
	return 0;
}

/*
 * What a file system says when it is asked for items: the kernel is the input.
 * The first byte tells how many items the answer has; the rest is the answer,
 * given anew each time.
 */
#include <errno.h>
#include <stdarg.h>

#include "storage/sources/btrfs_tree.h"
#include "tests/support/fuzz.h"

#define ROOM	 ((size_t)4 << 10)
#define ANSWERS	 50
#define ITEM_MAX 100000

static const uint8_t *answer;
static size_t answer_len;
static uint32_t items;
static unsigned int asked;

int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
	struct btrfs_ioctl_search_args_v2 *a;
	va_list ap;

	(void)fd;
	FUZZ_PROMISE(request == BTRFS_IOC_TREE_SEARCH_V2);
	va_start(ap, request);
	a = va_arg(ap, struct btrfs_ioctl_search_args_v2 *);
	va_end(ap);
	FUZZ_PROMISE(a->buf_size == ROOM);
	if (++asked > ANSWERS) {
		errno = EIO;
		return -1;
	}
	memcpy((uint8_t *)a + sizeof(*a), answer, answer_len);
	a->key.nr_items = items;
	return 0;
}

static bool is_after(const struct btrfs_item_key *a,
		     const struct btrfs_item_key *b)
{
	if (a->object != b->object)
		return a->object > b->object;
	return a->type != b->type ? a->type > b->type : a->offset > b->offset;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	const struct btrfs_range range = {
		.from = { 0, 0, 0 }, .to = { UINT64_MAX, UINT8_MAX, UINT64_MAX }
	};
	struct btrfs_item_key last = { 0 };
	struct btrfs_search s;
	struct btrfs_found found;
	bool any = false;
	size_t seen = 0;
	int got;

	if (n < 1)
		return 0;
	items = bytes[0];
	answer = bytes + 1;
	answer_len = n - 1 < ROOM ? n - 1 : ROOM;
	asked = 0;
	got = btrfs_search_begin(&s, 0, &range, ROOM);
	FUZZ_PROMISE(got == 0);
	while ((got = btrfs_search_next(&s, &found)) == 1) {
		FUZZ_PROMISE(++seen < ITEM_MAX);
		FUZZ_PROMISE(!any || is_after(&found.key, &last));
		FUZZ_PROMISE(found.bytes.left <= ROOM && !found.bytes.bad);
		while (found.bytes.left)
			(void)cursor_u8(&found.bytes);
		last = found.key;
		any = true;
	}
	btrfs_search_end(&s);
	return 0;
}

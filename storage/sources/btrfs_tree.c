#include "storage/sources/btrfs_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"

/* ---- Searching ---------------------------------------------------------- */

/*
 * An answer lies behind its question.  The struct's end is an array that the
 * kernel fills, which is why both are one block of bytes.
 */
static int ask(struct btrfs_search *s)
{
	struct btrfs_ioctl_search_args_v2 *a =
		(struct btrfs_ioctl_search_args_v2 *)(void *)s->answer;

	memset(a, 0, sizeof(*a));
	a->key = s->key;
	a->key.nr_items = UINT32_MAX;
	a->buf_size = s->room;
	if (ioctl(s->fd, BTRFS_IOC_TREE_SEARCH_V2, a) < 0)
		return -1;
	s->left = cursor_of(s->answer + sizeof(*a), s->room);
	s->items = a->key.nr_items;
	s->at_end = s->items == 0;
	return 0;
}

int btrfs_search_begin(struct btrfs_search *s, int fd,
		       const struct btrfs_range *range, size_t room)
{
	*s = (struct btrfs_search){
		.fd = fd,
		.key = { .tree_id = range->tree,
			 .min_objectid = range->from.object,
			 .max_objectid = range->to.object,
			 .min_type = range->from.type,
			 .max_type = range->to.type,
			 .min_offset = range->from.offset,
			 .max_offset = range->to.offset,
			 .min_transid = range->since,
			 .max_transid = UINT64_MAX },
		.answer = malloc(sizeof(struct btrfs_ioctl_search_args_v2) +
				 room),
		.room = room,
	};
	if (!s->answer) {
		errno = ENOMEM;
		return -1;
	}
	return ask(s);
}

void btrfs_search_end(struct btrfs_search *s)
{
	free(s->answer);
	s->answer = NULL;
}

static int compare_keys(const struct btrfs_item_key *a,
			const struct btrfs_item_key *b)
{
	if (a->object != b->object)
		return a->object < b->object ? -1 : 1;
	if (a->type != b->type)
		return a->type < b->type ? -1 : 1;
	if (a->offset != b->offset)
		return a->offset < b->offset ? -1 : 1;
	return 0;
}

/* The next answer begins behind that key. */
static void go_behind(struct btrfs_search *s, const struct btrfs_item_key *last)
{
	struct btrfs_ioctl_search_key *k = &s->key;

	k->min_objectid = last->object;
	k->min_type = last->type;
	k->min_offset = last->offset + 1;
	if (k->min_offset == 0 && ++k->min_type > UINT8_MAX) {
		k->min_type = 0;
		k->min_objectid++;
	}
}

int btrfs_search_next(struct btrfs_search *s, struct btrfs_found *ret)
{
	const struct btrfs_item_key to = { s->key.max_objectid, s->key.max_type,
					   s->key.max_offset };
	struct btrfs_ioctl_search_header h;
	struct btrfs_item_key least;

	if (s->items == 0 && !s->at_end && ask(s) < 0)
		return -1;
	if (s->at_end)
		return 0;
	least = (struct btrfs_item_key){ s->key.min_objectid, s->key.min_type,
					 s->key.min_offset };
	cursor_copy(&s->left, &h, sizeof(h));
	*ret = (struct btrfs_found){ .key = { h.objectid, h.type, h.offset },
				     .transid = h.transid,
				     .bytes = cursor_sub(&s->left, h.len) };
	/* A type is a byte on the disk: with others keys could run in rings. */
	if (s->left.bad || ret->key.type > UINT8_MAX ||
	    compare_keys(&ret->key, &least) < 0 ||
	    compare_keys(&ret->key, &to) > 0) {
		errno = EPROTO;
		return -1;
	}
	s->items--;
	s->at_end = compare_keys(&ret->key, &to) == 0;
	go_behind(s, &ret->key);
	return 1;
}

int btrfs_find_item(int fd, uint64_t tree, const struct btrfs_item_key *key,
		    uint8_t *out, size_t n)
{
	const struct btrfs_range range = { .tree = tree,
					   .from = *key,
					   .to = *key };
	struct btrfs_search s;
	struct btrfs_found i;
	int got = btrfs_search_begin(&s, fd, &range, BTRFS_TREE_FEW);

	if (got == 0)
		got = btrfs_search_next(&s, &i);
	if (got == 1) {
		cursor_copy(&i.bytes, out, n);
		got = i.bytes.bad ? 0 : 1;
	}
	btrfs_search_end(&s);
	return got;
}

/* ---- Mountings ---------------------------------------------------------- */

static int read_boot(uint8_t out[16])
{
	CLEANUP(file_close)
	const int fd = open("/proc/sys/kernel/random/boot_id",
			    O_RDONLY | O_CLOEXEC);
	char text[36];
	char digits[33] = "";
	size_t n = 0;

	if (fd < 0 || file_read(fd, text, sizeof(text)) != sizeof(text))
		return -1;
	for (size_t i = 0; i < sizeof(text); i++) {
		if (text[i] == '-')
			continue;
		if (n == sizeof(digits) - 1)
			return -1;
		digits[n++] = text[i];
	}
	return text_unhex(digits, 16, out) ? 0 : -1;
}

/* The number of the folder that the kernel makes for it when it is mounted. */
static int read_number(const uint8_t fs[16], uint64_t *ret)
{
	char path[64] = "/sys/fs/btrfs/";
	size_t n = strlen(path);
	struct stat st;

	for (size_t i = 0; i < 16; i++) {
		const char *dash = i == 4 || i == 6 || i == 8 || i == 10 ? "-"
									 : "";

		n += (size_t)snprintf(path + n, sizeof(path) - n, "%s%02x",
				      dash, fs[i]);
	}
	if (stat(path, &st) < 0)
		return -1;
	*ret = st.st_ino;
	return 0;
}

bool btrfs_mounting_of(int fd, struct btrfs_mounting *ret)
{
	struct btrfs_ioctl_fs_info_args info = { 0 };
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0 ||
	    (unsigned long)fs.f_type != BTRFS_SUPER_MAGIC ||
	    ioctl(fd, BTRFS_IOC_FS_INFO, &info) < 0)
		return false;
	memcpy(ret->file_system, info.fsid, sizeof(ret->file_system));
	return read_boot(ret->boot) == 0 &&
	       read_number(ret->file_system, &ret->number) == 0;
}

bool btrfs_mounting_same(const struct btrfs_mounting *a,
			 const struct btrfs_mounting *b)
{
	return memcmp(a->file_system, b->file_system, sizeof(a->file_system)) ==
		       0 &&
	       memcmp(a->boot, b->boot, sizeof(a->boot)) == 0 &&
	       a->number == b->number;
}

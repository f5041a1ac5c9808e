#include <string.h>

#include "storage/sources/files_internal.h"

/*
 * A number is the inode's own with the ordinal of its device (in order of
 * appearance) above it; where the inode number is too large for that (overlay
 * file systems use its upper bits), one counted from the top bit on, looked
 * up in a map.  So no two inodes ever share one.
 */
#define INODE_BITS    48U
#define ORDINAL_LIMIT 32768U
#define COUNTED	      ((uint64_t)1 << 63)

void files_links_init(struct files_links *l, const char *temporary)
{
	memset(l, 0, sizeof(*l));
	l->temporary = temporary;
	pthread_mutex_init(&l->lock, NULL);
}

void files_links_done(struct files_links *l)
{
	filemap_free(l->devices);
	filemap_free(l->large);
	pthread_mutex_destroy(&l->lock);
}

/* The value of key in a map that is made at first use; new ones count up. */
static int number_of(struct filemap **map, const char *folder, const void *key,
		     size_t key_size, uint64_t *ret, struct err *e)
{
	void *value;
	int added;

	if (!*map && filemap_new(map, folder, key_size, sizeof(*ret), e) < 0)
		return -1;
	added = filemap_add(*map, key, &value, e);
	if (added < 0)
		return -1;
	if (added > 0) {
		const uint64_t number = filemap_count(*map) - 1;

		memcpy(value, &number, sizeof(number));
	}
	memcpy(ret, value, sizeof(*ret));
	return 0;
}

static int find(struct files_links *l, uint64_t dev, uint64_t ino,
		uint64_t *ret, struct err *e)
{
	const uint64_t pair[2] = { dev, ino };
	uint64_t ordinal;
	uint64_t counted;

	if (number_of(&l->devices, l->temporary, &dev, sizeof(dev), &ordinal,
		      e) < 0)
		return -1;
	if (ino >> INODE_BITS == 0 && ordinal < ORDINAL_LIMIT) {
		*ret = ordinal << INODE_BITS | ino;
		return 0;
	}
	if (number_of(&l->large, l->temporary, pair, sizeof(pair), &counted,
		      e) < 0)
		return -1;
	*ret = COUNTED | counted;
	return 0;
}

int files_links_number(struct files_links *l, uint64_t dev, uint64_t ino,
		       uint64_t *ret, struct err *e)
{
	int r;

	pthread_mutex_lock(&l->lock);
	r = find(l, dev, ino, ret, e);
	pthread_mutex_unlock(&l->lock);
	return r;
}

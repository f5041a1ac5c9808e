#include "service/own_folders.h"

#include <linux/btrfs_tree.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

void own_folders_done(struct own_folders *x)
{
	for (size_t i = 0; i < x->count; i++)
		free(x->paths[i]);
	free(x->paths);
	free(x->list);
	*x = (struct own_folders){ 0 };
}

/* Takes over path, which may be NULL, in any case. */
static int add(struct own_folders *x, struct files_identity folder, char *path,
	       struct err *e)
{
	const size_t n = x->count + 1;
	struct files_identity *list = reallocarray(x->list, n, sizeof(*list));
	char **paths = list ? reallocarray(x->paths, n, sizeof(*paths)) : NULL;

	if (list)
		x->list = list;
	if (!paths) {
		free(path);
		return err_oom(e);
	}
	x->paths = paths;
	x->list[x->count] = folder;
	x->paths[x->count++] = path;
	return 0;
}

int own_folders_add_path(struct own_folders *x, const char *path, struct err *e)
{
	struct stat st;

	if (!path || stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
		return 0;
	return add(x, (struct files_identity){ st.st_dev, st.st_ino },
		   realpath(path, NULL), e);
}

int own_folders_add_store(struct own_folders *x, const struct store *s,
			  struct err *e)
{
	struct store_folder folder;
	const int r = store_local_folder(s, &folder, e);

	if (r <= 0)
		return r;
	return add(x, (struct files_identity){ folder.dev, folder.ino },
		   realpath(folder.path, NULL), e);
}

/* What comes after folder in path, "" when they are the same; NULL: it is not
 * in it. */
static const char *below(const char *path, const char *folder)
{
	const size_t n = strcmp(folder, "/") == 0 ? 0 : strlen(folder);

	return strncmp(path, folder, n) == 0 &&
			       (path[n] == '/' || path[n] == '\0')
		       ? path + n
		       : NULL;
}

/*
 * What stands in a btrfs snapshot for a subvolume within: an empty folder,
 * whose inode is that of all such folders.
 */
static bool is_placeholder(const char *path)
{
	struct statfs fs;
	struct stat st;

	return statfs(path, &fs) == 0 &&
	       (unsigned long)fs.f_type == BTRFS_SUPER_MAGIC &&
	       stat(path, &st) == 0 &&
	       st.st_ino == BTRFS_EMPTY_SUBVOL_DIR_OBJECTID;
}

static int move_one(struct own_folders *x, const char *own, const char *folder,
		    const char *copy, struct err *e)
{
	const char *rest = own ? below(own, folder) : NULL;
	char *moved;
	int failed;

	if (!rest)
		return 0;
	if (asprintf(&moved, "%s%s", copy, rest) < 0)
		return err_oom(e);
	failed = is_placeholder(moved) ? 0 : own_folders_add_path(x, moved, e);
	free(moved);
	return failed;
}

int own_folders_move(struct own_folders *x, const struct own_folders *from,
		     const char *path, const char *copy, struct err *e)
{
	char *folder = realpath(path, NULL);
	int failed = 0;

	for (size_t i = 0; folder && i < from->count && !failed; i++)
		failed = move_one(x, from->paths[i], folder, copy, e);
	free(folder);
	return failed;
}

int own_folders_add_region(struct own_folders *x,
			   const struct resource_region *region, struct err *e)
{
	CLEANUP(store_close) struct store *s = NULL;
	struct err why = { 0 };

	/* One that is not there, or away, lies in nobody's way. */
	return store_open(region->url, false, &s, &why) == 0
		       ? own_folders_add_store(x, s, e)
		       : 0;
}

int own_folders_add_regions(struct own_folders *x,
			    const struct resource *repository, struct err *e)
{
	const struct resource_repository *r = &repository->repository;

	for (size_t i = 0; i < r->region_count; i++)
		if (own_folders_add_region(x, &r->regions[i], e) < 0)
			return -1;
	return 0;
}

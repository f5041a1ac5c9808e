#include "service/own_folders.h"

#include <stdlib.h>
#include <sys/stat.h>

void own_folders_done(struct own_folders *x)
{
	free(x->list);
	*x = (struct own_folders){ 0 };
}

static int add(struct own_folders *x, struct files_identity folder,
	       struct err *e)
{
	struct files_identity *list = reallocarray(x->list, x->count + 1,
						   sizeof(*list));

	if (!list)
		return err_oom(e);
	list[x->count++] = folder;
	x->list = list;
	return 0;
}

int own_folders_add_path(struct own_folders *x, const char *path, struct err *e)
{
	struct stat st;

	if (!path || stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
		return 0;
	return add(x, (struct files_identity){ st.st_dev, st.st_ino }, e);
}

int own_folders_add_store(struct own_folders *x, const struct store *s,
			  struct err *e)
{
	struct store_folder folder;
	const int r = store_local_folder(s, &folder, e);

	if (r <= 0)
		return r;
	return add(x, (struct files_identity){ folder.dev, folder.ino }, e);
}

int own_folders_move(struct own_folders *x, const struct own_folders *from,
		     dev_t device, dev_t copy, struct err *e)
{
	for (size_t i = 0; i < from->count; i++) {
		const struct files_identity moved = { copy, from->list[i].ino };

		if (from->list[i].dev == device && add(x, moved, e) < 0)
			return -1;
	}
	return 0;
}

int own_folders_add_regions(struct own_folders *x,
			    const struct resource *repository, struct err *e)
{
	const struct resource_repository *r = &repository->repository;

	for (size_t i = 0; i < r->region_count; i++) {
		CLEANUP(store_close) struct store *s = NULL;
		struct err why = { 0 };

		/* One that is not there, or away, lies in nobody's way. */
		if (store_open(r->regions[i].url, false, &s, &why) == 0 &&
		    own_folders_add_store(x, s, e) < 0)
			return -1;
	}
	return 0;
}

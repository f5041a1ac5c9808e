/*
 * What a restore will read, told before: ahead.h.
 *
 * By the same rules as the walk: what is not wanted, is there already, or is
 * another name of what was before, is passed over.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "storage/restore_internal.h"

/* Of hard-link groups that were met last. */
#define GROUPS 4096

struct restore_ahead {
	struct restore_run *run;
	const struct restore_folder *root;
	bool is_empty; /* the target is */
	struct buf path;
	uint64_t groups[GROUPS];
};

bool restore_is_wanted(struct restore_run *r, const struct entry *en)
{
	bool wanted;

	if (!r->o->wanted)
		return true;
	(void)pthread_mutex_lock(&r->wanted_lock);
	wanted = r->o->wanted(r->o->arg, en->path, en->path_len,
			      en->type == ENTRY_FOLDER);
	(void)pthread_mutex_unlock(&r->wanted_lock);
	return wanted;
}

static bool is_empty(int folder)
{
	const int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *x;
	bool any = false;

	if (!d) {
		if (fd >= 0)
			(void)close(fd);
		return false;
	}
	while (!any && (x = readdir(d)) != NULL)
		any = strcmp(x->d_name, ".") != 0 &&
		      strcmp(x->d_name, "..") != 0;
	(void)closedir(d);
	return !any;
}

/* Whether the walk will find nothing to write. */
static bool is_there(struct restore_ahead *a, const struct entry *en)
{
	const struct restore_options *o = a->run->o;
	size_t strip = o->path && o->path_len > 1 ? o->path_len : 0;
	struct err ignored = { 0 };

	if (a->is_empty || o->overwrite == RESTORE_ALWAYS)
		return false;
	/* SNAP:FILE puts the file itself below the target. */
	if (strip == en->path_len)
		strip = (size_t)((const char *)memrchr(en->path, '/',
						       en->path_len) -
				 en->path);
	if (strip < en->path_len && en->path[strip] == '/')
		strip++;
	buf_clear(&a->path);
	if (buf_add(&a->path, en->path + strip, en->path_len - strip, &ignored))
		return false;
	return restore_is_there(a->run, a->root, buf_str(&a->path), en);
}

/* Another name of what was written before. */
static bool is_link(struct restore_ahead *a, const struct entry *en)
{
	uint64_t *group = &a->groups[en->link_group % GROUPS];

	if (!(en->flags & ENTRY_HARD_LINK))
		return false;
	if (*group == en->link_group)
		return true;
	*group = en->link_group;
	return false;
}

static bool reads(void *arg, const struct entry *en)
{
	struct restore_ahead *a = arg;

	return restore_is_wanted(a->run, en) && !is_link(a, en) &&
	       !is_there(a, en);
}

void restore_ahead_start(struct restore_run *r,
			 const struct manifest_root *tree,
			 const struct restore_folder *root)
{
	struct restore_ahead *a;
	struct ahead_work w = {
		.bytes = PREFETCH_BYTES,
		.tree = tree,
		.path = r->o->path,
		.path_len = r->o->path_len,
		.reads = reads,
	};

	if (store_features(repository_store(r->repository)) & STORE_LOCAL ||
	    r->o->dry_run)
		return;
	a = calloc(1, sizeof(*a));
	if (!a)
		return;
	a->run = r;
	a->root = root;
	a->is_empty = is_empty(root->fd);
	buf_init(&a->path, ENTRY_PATH_MAX);
	w.arg = a;
	r->ahead_plan = a;
	r->ahead = ahead_start(r->repository, &w);
}

void restore_ahead_end(struct restore_run *r)
{
	ahead_end(r->ahead);
	if (r->ahead_plan) {
		buf_done(&r->ahead_plan->path);
		free(r->ahead_plan);
		r->ahead_plan = NULL;
	}
}

void restore_ahead_done(struct restore_run *r)
{
	ahead_free(r->ahead);
	r->ahead = NULL;
}

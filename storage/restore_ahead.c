/*
 * The thread that walks the tree before the restore does, where a request
 * takes long, and tells which chunks it will need: prefetch.h.
 *
 * It goes by the same rules as the walk: what is not wanted, is there already,
 * or is another name of what was before, is passed over.  Where it errs, bytes
 * are fetched in vain, or are read by those who need them; where it meets what
 * cannot be read it goes on, or ends, and the walk finds out.
 *
 * Position, for both: the bytes of the files before this one, and within it.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "storage/repository/prefetch.h"
#include "storage/repository/tree.h"
#include "storage/restore_internal.h"

/* The tree's nodes and maps. */
#define CACHE_BYTES (2U << 20)
/* Of hard-link groups that were met last. */
#define GROUPS 4096

struct restore_ahead {
	struct restore_run *run;
	const struct restore_folder *root;
	struct manifest_root tree;
	pthread_t thread;
	bool is_empty; /* the target is */
	struct index_set *index;
	struct reader *reader;
	uint64_t position; /* of this entry */
	struct chunk_id last;
	bool ended;
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

static int want(void *arg, uint64_t offset, const struct extent *x,
		struct err *e)
{
	struct restore_ahead *a = arg;
	struct pack_entry at;
	int found;

	if (x->hole || chunk_id_equal(&a->last, &x->id))
		return 0;
	a->last = x->id;
	/* What is not found, whoever needs it tells. */
	found = index_set_find(a->index, &x->id, &at, e);
	if (found < 0 && !object_is_damage(e))
		a->ended = true;
	if (found == 1)
		a->ended = !prefetch_want(a->run->prefetch, OBJECT_DATA_PACK,
					  &at.place, a->position + offset);
	return a->ended;
}

static bool is_past(const struct restore_ahead *a, const struct entry *en)
{
	const struct restore_options *o = a->run->o;

	return o->path &&
	       !entry_path_within(en->path, en->path_len, o->path, o->path_len);
}

static void walk(struct restore_ahead *a, struct tree *t)
{
	struct content content;
	struct entry en;
	struct err e = { 0 };
	int got;

	while (!a->ended && (got = tree_next(t, &en, &content, &e)) != 0) {
		if (got < 0 && e.code != ERR_CORRUPT)
			return;
		if (got < 0)
			continue;
		if (is_past(a, &en))
			return;
		if (en.type != ENTRY_FILE)
			continue;
		if (restore_is_wanted(a->run, &en) && !is_link(a, &en) &&
		    !is_there(a, &en) &&
		    content_walk(a->reader, &content, want, a, &e) &&
		    e.code != ERR_CORRUPT)
			return;
		a->position += en.size;
	}
}

static void *run(void *arg)
{
	struct restore_ahead *a = arg;
	const struct restore_options *o = a->run->o;
	CLEANUP(reader_free) struct reader *reader = NULL;
	CLEANUP(tree_close) struct tree *t = NULL;
	struct err e = { 0 };

	if (reader_new(a->run->repository, CACHE_BYTES, &reader, &e) ||
	    repository_index(a->run->repository, &a->index, &e) ||
	    tree_open(reader, &a->tree, NULL, &t, &e))
		return NULL;
	a->reader = reader;
	if (!o->path || tree_seek(t, o->path, o->path_len, &e) == 0 ||
	    e.code == ERR_CORRUPT)
		walk(a, t);
	prefetch_wanted_all(a->run->prefetch);
	return NULL;
}

void restore_ahead_start(struct restore_run *r,
			 const struct manifest_root *tree,
			 const struct restore_folder *root)
{
	struct store *s = repository_store(r->repository);
	struct restore_ahead *a;
	struct err ignored = { 0 };

	if (store_features(s) & STORE_LOCAL || r->o->dry_run)
		return;
	a = calloc(1, sizeof(*a));
	if (!a || prefetch_new(s, PREFETCH_BYTES, &r->prefetch, &ignored)) {
		free(a);
		return;
	}
	a->run = r;
	a->root = root;
	a->tree = *tree;
	a->is_empty = is_empty(root->fd);
	buf_init(&a->path, ENTRY_PATH_MAX);
	/* Without the thread all is read by those who need it. */
	if (pthread_create(&a->thread, NULL, run, a) == 0) {
		r->ahead = a;
		return;
	}
	free(a);
}

void restore_ahead_end(struct restore_run *r)
{
	if (r->prefetch)
		prefetch_end(r->prefetch);
	if (r->ahead) {
		(void)pthread_join(r->ahead->thread, NULL);
		buf_done(&r->ahead->path);
		free(r->ahead);
		r->ahead = NULL;
	}
}

void restore_ahead_done(struct restore_run *r)
{
	prefetch_free(r->prefetch);
	r->prefetch = NULL;
}

/* The tree thread: entries in order, each with the chunks it waited for. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/filemap.h"
#include "base/seam.h"
#include "storage/snapshot_internal.h"

/*
 * Contents of hard-link groups, so that the later names of a file need not be
 * read again: an unlinked file of extents, found by group number.
 */
struct snapshot_links {
	struct filemap *map; /* group → struct link_place */
	int fd;
	int64_t end;
};

struct link_place {
	int64_t at;
	uint64_t n;
	uint64_t level;
};

/*
 * Ids of groups, so that a file can name a piece of one that was closed long
 * before: an unlinked file of ids, found by the group's number.
 */
struct snapshot_groups {
	int fd;
	uint32_t last;
};

struct tree_thread {
	struct snapshot_pipeline *p;
	struct chunk_worker *worker;
	struct content_builder *content;
	struct tree_builder *tree;
	struct snapshot_links links;
	struct snapshot_groups groups;
	struct extent *scratch;
};

/* The chunk's id, once a worker has found it.  False when all has failed. */
static bool wait_for(struct snapshot_pipeline *p, struct snapshot_job *j)
{
	bool done;

	(void)pthread_mutex_lock(&p->lock);
	while (!j->done && !p->failed)
		(void)pthread_cond_wait(&p->job_done, &p->lock);
	done = j->done;
	(void)pthread_mutex_unlock(&p->lock);
	return done;
}

static int remember_link(struct tree_thread *t, uint64_t group,
			 const struct content *c, struct err *e)
{
	const size_t bytes = c->n * sizeof(*c->v);
	struct link_place *place;
	void *value;

	if (!t->links.map &&
	    (filemap_new(&t->links.map, t->p->options->scratch,
			 sizeof(uint64_t), sizeof(struct link_place), e) ||
	     file_open_unnamed(t->p->options->scratch, &t->links.fd, e)))
		return -1;
	if (filemap_add(t->links.map, &group, &value, e) < 0)
		return -1;
	if (bytes && seam_pwrite(t->links.fd, c->v, bytes, t->links.end))
		return err_sys(e, "cannot write to a temporary file");
	place = (struct link_place *)value;
	*place = (struct link_place){ t->links.end, c->n, c->level };
	t->links.end += (int64_t)bytes;
	return 0;
}

static int recall_link(struct tree_thread *t, uint64_t group,
		       struct content *ret, struct err *e)
{
	const struct link_place *place =
		t->links.map ? (const struct link_place *)filemap_find(
				       t->links.map, &group)
			     : NULL;
	size_t bytes;

	if (!place)
		return err_set(e, ERR_BUG, "a hard link has no first name");
	bytes = (size_t)place->n * sizeof(*t->scratch);
	if (file_pread(t->links.fd, t->scratch, bytes, place->at) !=
	    (ssize_t)bytes)
		return err_sys(e, "cannot read a temporary file");
	*ret = (struct content){ .level = (uint8_t)place->level,
				 .n = (size_t)place->n,
				 .v = t->scratch };
	return 0;
}

static int64_t group_at(uint32_t group)
{
	return (int64_t)group * (int64_t)sizeof(struct chunk_id);
}

static int remember_group(struct tree_thread *t, const struct snapshot_job *j,
			  struct err *e)
{
	struct snapshot_groups *g = &t->groups;

	if (j->group <= g->last)
		return 0;
	if (g->fd < 0 && file_open_unnamed(t->p->options->scratch, &g->fd, e))
		return -1;
	if (seam_pwrite(g->fd, &j->id, sizeof(j->id), group_at(j->group)))
		return err_sys(e, "cannot write to a temporary file");
	g->last = j->group;
	return 0;
}

static int recall_group(struct tree_thread *t, uint32_t group,
			struct chunk_id *ret, struct err *e)
{
	if (group == 0 || group > t->groups.last)
		return err_set(e, ERR_BUG, "a group has no first file");
	if (file_pread(t->groups.fd, ret, sizeof(*ret), group_at(group)) !=
	    (ssize_t)sizeof(*ret))
		return err_sys(e, "cannot read a temporary file");
	return 0;
}

static int add_entry(struct tree_thread *t, const struct entry *en,
		     const struct content *c, struct err *e)
{
	struct snapshot_pipeline *p = t->p;

	if (en->type == ENTRY_FILE) {
		p->files++;
		/* A few sparse files are enough to go beyond what is told. */
		if (__builtin_add_overflow(p->bytes, en->size, &p->bytes) ||
		    p->bytes > INT64_MAX)
			p->bytes = INT64_MAX;
	} else if (en->type == ENTRY_FOLDER) {
		p->dirs++;
	} else {
		p->others++;
	}
	return tree_builder_add(t->tree, en, c, e);
}

static int end_file(struct tree_thread *t, const struct entry *en,
		    struct err *e)
{
	struct content c;

	if (content_builder_finish(t->content, &c, e))
		return -1;
	if (en->flags & ENTRY_HARD_LINK &&
	    remember_link(t, en->link_group, &c, e))
		return -1;
	return add_entry(t, en, &c, e);
}

static int add_piece(struct tree_thread *t, const struct snapshot_event *ev,
		     struct err *e)
{
	struct extent x = { .len = ev->len, .offset = ev->offset };

	if (ev->job) {
		if (!wait_for(t->p, ev->job))
			return err_set(e, ERR_INTERRUPTED, "stopped");
		if (remember_group(t, ev->job, e))
			return -1;
		x.id = ev->job->id;
	} else if (ev->kept) {
		x.id = ev->id;
	} else if (ev->group) {
		if (recall_group(t, ev->group, &x.id, e))
			return -1;
	} else {
		x.hole = true;
	}
	return content_builder_add(t->content, &x, e);
}

static int handle(struct tree_thread *t, const struct snapshot_event *ev,
		  struct err *e)
{
	struct content c;

	switch (ev->type) {
	case EVENT_ENTRY:
		return add_entry(
			t, &ev->entry,
			ev->entry.type == ENTRY_FILE ? &ev->content : NULL, e);
	case EVENT_PIECE:
		return add_piece(t, ev, e);
	case EVENT_FILE:
		if (ev->len && add_piece(t, ev, e))
			return -1;
		return end_file(t, &ev->entry, e);
	case EVENT_DROP:
		return content_builder_finish(t->content, &c, e);
	case EVENT_LINK:
		if (recall_link(t, ev->entry.link_group, &c, e))
			return -1;
		return add_entry(t, &ev->entry, &c, e);
	}
	return err_set(e, ERR_BUG, "an event has no type");
}

static int run(struct tree_thread *t, struct err *e)
{
	struct snapshot_pipeline *p = t->p;
	void *item;

	t->scratch = calloc(CONTENT_EXTENTS_MAX, sizeof(*t->scratch));
	if (!t->scratch)
		return err_oom(e);
	if (chunk_worker_new(repository_keys(writer_repository(p->writer)),
			     &t->worker, e) ||
	    content_builder_new(p->writer, t->worker, &t->content, e) ||
	    tree_builder_new(p->writer, t->worker, &t->tree, e))
		return -1;
	while (queue_pop(p->events, &item)) {
		struct snapshot_batch *b = (struct snapshot_batch *)item;
		int failed = 0;

		for (size_t i = 0; i < b->n && !failed; i++)
			failed = handle(t, &b->v[i], e);
		snapshot_batch_free(p, b);
		if (failed)
			return -1;
	}
	if (snapshot_failed(p))
		return 0;
	return tree_builder_finish(t->tree, &p->tree, &p->hints, e);
}

void *snapshot_tree_thread(void *arg)
{
	struct tree_thread t = { .p = (struct snapshot_pipeline *)arg,
				 .links = { .fd = -1 },
				 .groups = { .fd = -1 } };
	struct err e = { 0 };

	if (run(&t, &e))
		snapshot_fail(t.p, &e);
	tree_builder_free(t.tree);
	content_builder_free(t.content);
	chunk_worker_free(t.worker);
	filemap_free(t.links.map);
	file_close(t.links.fd);
	file_close(t.groups.fd);
	free(t.scratch);
	return NULL;
}

#include "storage/repository/stats.h"

#include <stdbool.h>
#include <string.h>

struct counting {
	struct stats x;
	repository_damaged *damaged;
	void *arg;
	struct chunk_id last;
	bool any;
};

static int count_object(void *arg, const struct store_entry *entry,
			struct err *e)
{
	struct counting *c = arg;

	(void)e;
	c->x.stored_bytes += entry->size;
	if (strncmp(entry->name, "data/", 5) == 0 ||
	    strncmp(entry->name, "meta/", 5) == 0)
		c->x.packs++;
	return 0;
}

static int count_snapshot(void *arg, struct repository_snapshot *s,
			  struct err *e)
{
	struct counting *c = arg;

	(void)e;
	c->x.snapshots++;
	c->x.logical_bytes += s->manifest.bytes;
	return 0;
}

/* Entries come in order of chunks, so that those of one chunk are together. */
static int count_entry(void *arg, const struct pack_entry *entry, struct err *e)
{
	struct counting *c = arg;

	(void)e;
	c->x.index_entries++;
	if (!c->any || !chunk_id_equal(&c->last, &entry->seal.id))
		c->x.chunks++;
	c->last = entry->seal.id;
	c->any = true;
	return 0;
}

static int tell_manifest(void *arg, const char *name, const struct err *why,
			 struct err *e)
{
	struct counting *c = arg;

	return c->damaged(c->arg, name, why, e);
}

static int tell_index(void *arg, struct object_id id, const struct err *why,
		      struct err *e)
{
	struct counting *c = arg;

	return c->damaged(c->arg, object_name(OBJECT_INDEX, id).s, why, e);
}

int stats_count(struct repository *r, repository_damaged *damaged, void *arg,
		struct stats *ret, struct err *e)
{
	struct counting c = { .damaged = damaged, .arg = arg };
	CLEANUP(index_set_free) struct index_set *index = NULL;

	/* A set of its own, without a cache: each block is read once. */
	if (store_list(repository_store(r), "", count_object, &c, e) ||
	    repository_snapshots(r, false, count_snapshot, tell_manifest, &c,
				 e) ||
	    index_set_open(
		    repository_store(r), repository_keys(r),
		    &(const struct index_set_options){ .cache_bytes = 0,
						       .damaged = tell_index,
						       .arg = &c },
		    &index, e) ||
	    index_set_walk(index, count_entry, &c, e))
		return -1;
	*ret = c.x;
	return 0;
}

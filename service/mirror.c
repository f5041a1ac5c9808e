#include "service/mirror.h"

#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "service/catalog_audit.h"
#include "service/catalog_keep.h"

/* 4096 names of 4096 bytes, quoted. */
#define LIST_MAX ((size_t)64 << 20)

static const char *clock_name(const struct repository_snapshot *s)
{
	if (!s->has_receipt)
		return "process";
	switch (s->clock) {
	case RECORD_DAEMON:
		return "daemon";
	case RECORD_STORE:
		return "store";
	default:
		return "process";
	}
}

/* Names that are no text have no place in the catalog's rows. */
static int write_list(const struct manifest_list *l, struct buf *out,
		      struct err *e)
{
	struct json j;

	json_init(&j, json_to_buf, out);
	json_begin_list(&j);
	for (size_t i = 0; i < l->n; i++)
		if (text_is_utf8(l->v[i].data, l->v[i].len))
			json_strn(&j, (const char *)l->v[i].data, l->v[i].len);
	json_end_list(&j);
	return json_finish(&j, e);
}

int mirror_snapshot(struct catalog *c, const struct mirror_origin *origin,
		    const struct repository_snapshot *s, struct err *e)
{
	const struct manifest *m = &s->manifest;
	CLEANUP(buf_done) struct buf paths;
	CLEANUP(buf_done) struct buf tags;
	char id[OBJECT_ID_TEXT];
	char parent[OBJECT_ID_TEXT];
	struct catalog_snapshot row = {
		.repository = origin->repository,
		.id = id,
		.source = m->source,
		.type = m->type,
		.host = m->host,
		.schedule = origin->schedule,
		.run = origin->run,
		.state = m->state == MANIFEST_COMPLETE ? "complete" : "partial",
		.parent = object_id_is_zero(m->parent) ? "" : parent,
		.time = m->has_claimed ? m->claimed : m->begun,
		.received = s->received,
		.receipt = clock_name(s),
		.started = m->begun,
		.finished = m->ended,
		.files = m->files,
		.dirs = m->dirs,
		.errors = m->errors,
		.bytes = m->bytes,
		.bytes_read = origin->bytes_read,
		.bytes_new = origin->bytes_new,
	};

	buf_init(&paths, LIST_MAX);
	buf_init(&tags, LIST_MAX);
	object_id_format(m->snapshot, id);
	object_id_format(m->parent, parent);
	if (write_list(&m->paths, &paths, e) < 0 ||
	    write_list(&m->tags, &tags, e) < 0)
		return -1;
	row.paths_json = buf_str(&paths);
	row.tags_json = buf_str(&tags);
	/* A lock record that does not open has no end that a row can hold. */
	if (s->locked && s->locked_until.sec != INT64_MAX)
		row.lock_until = s->locked_until;
	return catalog_snapshot_put(c, &row, e);
}

/* What is known of a copy, and stays. */
struct known_copy {
	const char *region;
	bool found;
	bool complete;
	struct instant completed, verified;
	uint64_t bytes;
};

static int recall_copy(void *arg, const struct catalog_replica *row,
		       struct err *e UNUSED)
{
	struct known_copy *k = arg;

	k->found = true;
	k->complete = strcmp(row->state, "complete") == 0;
	k->completed = row->completed;
	k->verified = row->oldest_verified;
	k->bytes = row->bytes;
	return 0;
}

/* A tombstone that was not known leaves an audit record, whoever wrote it. */
static int audit_copy(struct catalog *c, const struct catalog_replica *row,
		      struct err *e)
{
	const struct catalog_actor who = { .uid = -1,
					   .name = "snapctld",
					   .now = clock_now() };
	CLEANUP(buf_done) struct buf details;
	struct json j;

	buf_init(&details, 4096);
	json_init(&j, json_to_buf, &details);
	json_begin_object(&j);
	json_kv_str(&j, "repository", row->repository);
	json_kv_str(&j, "region", row->region);
	json_end_object(&j);
	if (json_finish(&j, e) < 0)
		return -1;
	return catalog_audit_add(c, &who, "copy.delete", row->snapshot,
				 buf_str(&details), e);
}

static int put_copy(struct catalog *c, const struct catalog_replica *row,
		    bool audit, struct err *e)
{
	if (catalog_begin(c, e) < 0)
		return -1;
	if (catalog_replica_put(c, row, e) < 0 ||
	    (audit && audit_copy(c, row, e) < 0)) {
		catalog_rollback(c);
		return -1;
	}
	return catalog_commit(c, e);
}

int mirror_copy(struct catalog *c, const char *repository, const char *region,
		const struct repository_snapshot *s, struct instant completed,
		struct err *e)
{
	char id[OBJECT_ID_TEXT];
	const struct catalog_replica_filter filter = { .repository = repository,
						       .snapshot = id,
						       .region = region };
	struct known_copy k = { .region = region };
	struct catalog_replica row = { .repository = repository,
				       .snapshot = id,
				       .region = region };

	object_id_format(s->manifest.snapshot, id);
	if (catalog_replicas(c, &filter, recall_copy, &k, e) < 0)
		return -1;
	if (s->deleted ? k.found && !k.complete : k.complete)
		return 0;
	row.state = s->deleted ? "gone" : "complete";
	row.completed = k.completed.sec ? k.completed : completed;
	row.oldest_verified = k.verified;
	row.bytes = k.bytes;
	row.message = "";
	return put_copy(c, &row, s->deleted && k.complete, e);
}

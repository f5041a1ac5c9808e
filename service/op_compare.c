/* Looking into snapshots: find, verify. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "service/args.h"
#include "service/engine.h"
#include "service/engine_read.h"
#include "service/notes.h"
#include "service/op.h"
#include "service/progress.h"
#include "storage/repository/tree.h"
#include "storage/sources/exclude.h"

#define CACHE_BYTES (4U << 20)

struct finding {
	struct operation_call *call;
	struct repository *repository;
	struct exclude *pattern;
	const char *source;
	bool any; /* a snapshot of source was looked into */
	uint64_t found;
};

static void write_found(struct json *j, const struct repository_snapshot *s,
			const struct entry *en)
{
	char id[OBJECT_ID_TEXT];

	object_id_format(s->manifest.snapshot, id);
	json_begin_object(j);
	json_kv_str(j, "snapshot", id);
	json_kv_instant(j, "received", s->received);
	json_path(j, "path", en->path, en->path_len);
	json_kv_str(j, "type", entry_type_name(en->type));
	json_kv_uint(j, "size", en->size);
	json_kv_instant(j, "mtime", en->mtime);
	json_end_object(j);
}

static bool matches(const struct finding *f, const struct entry *en)
{
	if (en->path_len < 2)
		return false;
	return exclude_verdict(f->pattern, en->path + 1, en->path_len - 1,
			       en->type == ENTRY_FOLDER) == EXCLUDE_YES;
}

static int find_in(void *arg, struct repository_snapshot *s, struct err *e)
{
	struct finding *f = (struct finding *)arg;
	CLEANUP(reader_free) struct reader *x = NULL;
	CLEANUP(tree_close) struct tree *t = NULL;
	struct content content;
	struct entry en;
	int got;

	if (f->source && strcmp(f->source, s->manifest.source) != 0)
		return 0;
	f->any = true;
	if (reader_new(f->repository, CACHE_BYTES, &x, e) ||
	    tree_open(x, &s->manifest.tree, NULL, &t, e))
		return -1;
	while ((got = tree_next(t, &en, &content, e)) == 1) {
		if (operation_stopped(f->call, e))
			return -1;
		if (!matches(f, &en))
			continue;
		if (f->found++ == 0)
			json_begin_list(f->call->reply);
		write_found(f->call->reply, s, &en);
	}
	return got;
}

static int find(struct operation_call *call, struct err *e)
{
	CLEANUP(repository_close) struct repository *r = NULL;
	CLEANUP(exclude_free) struct exclude *pattern = NULL;
	struct finding f = { .call = call };

	if (exclude_new(&pattern, e) ||
	    exclude_add(pattern, args_text(call->args, "pattern"), e) ||
	    engine_read(call, &r, e))
		return -1;
	f.repository = r;
	f.pattern = pattern;
	f.source = args_text(call->args, "source");
	if (repository_snapshots(r, false, find_in, NULL, &f, e) ||
	    (f.source && !f.any && engine_expect_source(call, r, f.source, e)))
		return -1;
	if (f.found == 0)
		json_begin_list(call->reply);
	json_end_list(call->reply);
	return 0;
}

/* Every chunk of one snapshot, read and rederived. */
struct verifying {
	struct operation_call *call;
	struct reader *reader;
	struct index_set *index;
	uint64_t chunks;
	uint64_t damaged;
	struct notes notes;
};

static void note_chunk(struct verifying *v, const struct chunk_id *id,
		       const struct err *why)
{
	char hex[2 * CHUNK_ID_SIZE + 1];

	text_hex(id->b, CHUNK_ID_SIZE, hex);
	v->damaged++;
	notes_add(&v->notes, hex, strlen(hex), why->text);
}

static int verify_chunk(void *arg, const struct chunk_id *id,
			enum chunk_kind kind, struct err *e)
{
	struct verifying *v = (struct verifying *)arg;
	struct pack_entry at;
	const uint8_t *plain;
	struct err why = { 0 };
	size_t n;
	int found;

	(void)kind;
	if (operation_stopped(v->call, e))
		return -1;
	v->chunks++;
	found = index_set_find(v->index, id, &at, &why);
	/* The index knows what kind it is; a leaf's table does not say. */
	if (found < 0 || reader_get(v->reader, id, found ? at.seal.kind : kind,
				    &plain, &n, &why)) {
		if (!object_is_damage(&why)) {
			*e = why;
			return -1;
		}
		note_chunk(v, id, &why);
		return 1;
	}
	progress_add(v->call->progress, 1, n);
	return 0;
}

static int verify_damaged(void *arg, const struct chunk_id *id,
			  enum chunk_kind kind, const struct err *why,
			  struct err *e)
{
	(void)kind;
	(void)e;
	note_chunk((struct verifying *)arg, id, why);
	return 0;
}

static int verify_trees(struct verifying *v, struct repository *r,
			const struct manifest *m, struct err *e)
{
	CLEANUP(reader_free) struct reader *nodes = NULL;

	if (reader_new(r, CACHE_BYTES, &nodes, e) ||
	    tree_references(nodes, &m->tree, false, verify_chunk,
			    verify_damaged, v, e))
		return -1;
	return tree_references(nodes, &m->hints, true, verify_chunk,
			       verify_damaged, v, e);
}

static int verify(struct operation_call *call, struct err *e)
{
	CLEANUP(repository_close) struct repository *r = NULL;
	CLEANUP(repository_snapshot_done) struct repository_snapshot s;
	CLEANUP(reader_free) struct reader *x = NULL;
	CLEANUP(engine_reading_free) struct engine_reading *reading = NULL;
	struct verifying v = { .call = call };
	const int64_t begun_ms = clock_boot_ms();
	struct json *j = call->reply;
	const char *text = args_text(call->args, "snapshot");
	char id[OBJECT_ID_TEXT];

	manifest_init(&s.manifest);
	if (engine_reading_new(call, &reading, e) ||
	    engine_reading_open(reading, NULL, &r, NULL, e) ||
	    engine_snapshot(call, r, text, &s, e) ||
	    repository_index(r, &v.index, e) ||
	    reader_new(r, CACHE_BYTES, &x, e))
		return -1;
	if (strcmp(text, "latest") == 0)
		engine_reading_tell_latest(reading, s.received);
	reader_verify_ids(x, true);
	v.reader = x;
	notes_init(&v.notes);
	progress_stage(call->progress, "verifying", s.manifest.bytes);
	if (verify_trees(&v, r, &s.manifest, e)) {
		notes_done(&v.notes);
		return -1;
	}
	if (v.damaged)
		operation_damaged(call);
	object_id_format(s.manifest.snapshot, id);
	json_begin_object(j);
	json_kv_str(j, "snapshot", id);
	engine_reading_write(reading, j);
	json_kv_bool(j, "sound", v.damaged == 0);
	json_kv_uint(j, "chunks", v.chunks);
	json_kv_uint(j, "stored_bytes_read", reader_bytes(x));
	json_kv_double(j, "seconds",
		       (double)(clock_boot_ms() - begun_ms) / 1000.0);
	notes_write(&v.notes, j, "damaged");
	json_end_object(j);
	notes_done(&v.notes);
	return 0;
}

#define SNAPSHOT_PARAM(key, how)                                           \
	{                                                                  \
		.name = (key), .kind = PARAM_POSITIONAL, .required = true, \
		.value = "SNAP", .help = (how)                             \
	}
#define SOURCE_PARAM                                                        \
	{                                                                   \
		.name = "source", .kind = PARAM_OPTION, .value = "NAME",    \
		.help = "whose snapshots are meant; \"\" means ad hoc ones" \
	}

static const struct operation_param find_params[] = {
	{ .name = "pattern",
	  .kind = PARAM_POSITIONAL,
	  .required = true,
	  .value = "PATTERN",
	  .help = "what to look for, in gitignore's manner: nginx.conf, "
		  "/etc/*.conf" },
	SOURCE_PARAM,
	{ 0 },
};

static const struct operation_param verify_params[] = {
	SNAPSHOT_PARAM("snapshot", "an id, a prefix of one, or latest"),
	SOURCE_PARAM,
	{ 0 },
};

const struct operation op_compare_rows[] = {
	{ .verb = "snapshot find",
	  .flags = OPERATION_DIRECT | OPERATION_NEEDS_REPO | OPERATION_READS,
	  .params = find_params,
	  .view = "snapshot:short received:time path type size:size "
		  "mtime:time",
	  .summary = "find files in all snapshots",
	  .run = find },
	{ .verb = "snapshot verify",
	  .flags = OPERATION_DIRECT | OPERATION_NEEDS_REPO | OPERATION_READS,
	  .params = verify_params,
	  .view = "snapshot sound:yesno chunks:count "
		  "stored_bytes_read:size=read seconds:seconds damaged",
	  .summary = "read everything that a snapshot needs and prove it sound",
	  .run = verify },
	{ 0 },
};

#include "service/findings.h"

#include "base/text.h"
#include "storage/repository/entry.h"

#define PATH_B64 ((ENTRY_PATH_MAX / 3 + 1) * 4 + 1)

static void write_paths(struct json *j, const struct check_finding *f)
{
	bool all_text = true;

	json_key(j, "paths");
	json_begin_list(j);
	for (uint64_t i = 0; i < f->n_paths && i < CHECK_PATHS_MAX; i++) {
		if (text_is_utf8(f->paths[i].bytes, f->paths[i].len))
			json_strn(j, f->paths[i].bytes, f->paths[i].len);
		else
			all_text = false;
	}
	json_end_list(j);
	if (all_text)
		return;
	json_key(j, "paths_b64");
	json_begin_list(j);
	for (uint64_t i = 0; i < f->n_paths && i < CHECK_PATHS_MAX; i++) {
		char b64[PATH_B64];

		if (text_is_utf8(f->paths[i].bytes, f->paths[i].len) ||
		    text_base64_size(f->paths[i].len) > sizeof(b64))
			continue;
		text_base64(f->paths[i].bytes, f->paths[i].len, b64);
		json_str(j, b64);
	}
	json_end_list(j);
}

static void write_finding(struct json *j, const struct check_finding *f)
{
	char id[OBJECT_ID_TEXT];

	json_begin_object(j);
	json_kv_str(j, "object", f->object);
	json_kv_str(j, "kind", object_kind_name(f->kind));
	json_kv_str(j, "message", f->message);
	json_kv_uint(j, "chunks", f->chunks);
	json_key(j, "snapshots");
	json_begin_list(j);
	for (uint64_t i = 0; i < f->n_snapshots && i < CHECK_SNAPSHOTS_MAX;
	     i++) {
		object_id_format(f->snapshots[i], id);
		json_str(j, id);
	}
	json_end_list(j);
	json_kv_uint(j, "snapshot_count", f->n_snapshots);
	write_paths(j, f);
	json_kv_uint(j, "path_count", f->n_paths);
	json_end_object(j);
}

bool findings_settled(const struct check_finding *f)
{
	return f->quarantined && (f->n_snapshots == 0 || f->chunks == 0);
}

void findings_write(struct json *j, const struct check_result *x, bool settled)
{
	json_begin_list(j);
	for (uint64_t i = 0; i < x->n_findings && i < CHECK_FINDINGS_MAX; i++)
		if (findings_settled(&x->findings[i]) == settled)
			write_finding(j, &x->findings[i]);
	json_end_list(j);
}

uint64_t findings_unsettled(const struct check_result *x)
{
	uint64_t n = x->n_findings;

	for (uint64_t i = 0; i < x->n_findings && i < CHECK_FINDINGS_MAX; i++)
		n -= findings_settled(&x->findings[i]);
	return n;
}

static void write_lock(struct json *j, const struct guards_finding *f)
{
	char id[OBJECT_ID_TEXT];

	object_id_format(f->snapshot, id);
	json_begin_object(j);
	json_kv_str(j, "object", f->object);
	json_kv_str(j, "snapshot", id);
	if (f->until.sec)
		json_kv_instant(j, "until", f->until);
	if (f->need.sec)
		json_kv_instant(j, "needed", f->need);
	json_kv_bool(j, "hold_missing", f->unheld);
	json_end_object(j);
}

void findings_write_locks(struct json *j, const struct guards_result *x)
{
	json_key(j, "findings");
	json_begin_list(j);
	for (uint64_t i = 0; i < x->too_short && i < GUARDS_FINDINGS_MAX; i++)
		write_lock(j, &x->findings[i]);
	json_end_list(j);
}

#include "service/engine.h"

#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cursor.h"
#include "base/text.h"
#include "service/args.h"
#include "service/engine_named.h"
#include "service/progress.h"
#include "storage/repository/entry.h"
#include "storage/repository/reader.h"

int engine_credential(const struct operation_call *call,
		      struct keyring_credential **ret, struct err *e)
{
	const char *key = args_text(call->args, "key-file");
	const char *passphrase = args_text(call->args, "passphrase-file");

	if (key && passphrase && args_given(call->args, "key-file"))
		return err_set(e, ERR_USAGE,
			       "both a key file and a passphrase file are "
			       "given");
	if (passphrase)
		return keyring_credential_passphrase_file(passphrase, ret, e);
	if (key)
		return keyring_credential_key_file(key, ret, e);
	(void)err_set(e, ERR_USAGE, "no key is given");
	return err_hint(e, "name one with --key-file or --passphrase-file, or "
			   "set SNAPCTL_KEY_FILE: there is no default key");
}

int engine_open(const struct operation_call *call, struct repository **ret,
		struct err *e)
{
	CLEANUP(keyring_credential_free) struct keyring_credential *c = NULL;
	CLEANUP(resource_free) struct resource *named = NULL;
	const char *url = args_text(call->args, "repo");

	if (engine_named(call, &named, e) < 0 ||
	    engine_named_key(call, named, &c, e))
		return -1;
	if (named)
		url = resource_region(named, NULL)->url;
	return repository_open(url, c, ret, e);
}

int engine_snapshot(const struct operation_call *call, struct repository *r,
		    const char *text, struct repository_snapshot *ret,
		    struct err *e)
{
	const char *source = operation_param_named(call->operation, "source")
				     ? args_text(call->args, "source")
				     : NULL;
	struct object_id partial = { { 0 } };
	char id[OBJECT_ID_TEXT];

	if (repository_find(r, text, source, true, ret, &partial, e))
		return -1;
	if (strcmp(text, "latest") == 0 && !object_id_is_zero(partial)) {
		object_id_format(partial, id);
		progress_note(call->progress,
			      "note: a newer snapshot, %s, is partial; latest "
			      "means the newest complete one",
			      id);
	}
	return 0;
}

struct source_search {
	const char *source;
	char *near;
	unsigned int distance;
	bool found;
};

static int see_source(void *arg, struct repository_snapshot *s, struct err *e)
{
	struct source_search *q = (struct source_search *)arg;
	const char *source = s->manifest.source;
	const unsigned int distance = text_distance(q->source, source);

	(void)e;
	if (strcmp(q->source, source) == 0)
		q->found = true;
	if (*source && distance < q->distance) {
		q->distance = distance;
		memcpy(q->near, source, MANIFEST_TEXT_MAX + 1);
	}
	return 0;
}

int engine_source(struct repository *r, const char *source,
		  char near[MANIFEST_TEXT_MAX + 1], struct err *e)
{
	struct source_search q = { .source = source,
				   .near = near,
				   .distance = UINT_MAX };

	near[0] = '\0';
	if (repository_snapshots(r, true, see_source, NULL, &q, e))
		return -1;
	return q.found;
}

static int ignore(void *arg, const struct resource *r, struct err *e)
{
	(void)arg;
	(void)r;
	(void)e;
	return 0;
}

int engine_expect_source(const struct operation_call *call,
			 struct repository *r, const char *source,
			 struct err *e)
{
	char near[MANIFEST_TEXT_MAX + 1];
	struct err why = { 0 };
	int known;

	if (!*source)
		return 0;
	known = engine_source(r, source, near, e);
	if (known != 0)
		return known < 0 ? -1 : 0;
	if (!engine_is_location(args_text(call->args, "repo")) &&
	    engine_declared(call, "source", source, ignore, NULL, &why) == 0)
		return 0;
	(void)err_set(e, ERR_NOT_FOUND, "no snapshot is of source %s",
		      text_quote_str(source).s);
	if (*near)
		return err_hint(e, "the nearest is %s", text_quote_str(near).s);
	return err_hint(e, "`snapctl snapshot list` shows what there is");
}

int engine_split(const char *text, struct buf *snap, struct buf *path,
		 struct err *e)
{
	const char *colon = strchr(text, ':');
	size_t n;

	if (!colon)
		return buf_add_str(snap, text, e);
	if (buf_add(snap, text, (size_t)(colon - text), e))
		return -1;
	text = colon + 1;
	n = strlen(text);
	while (n > 1 && text[n - 1] == '/')
		n--;
	if (!entry_path_valid(text, n)) {
		(void)err_set(e, ERR_USAGE, "%s is no path in a snapshot",
			      text_quote(text, n).s);
		return err_hint(e, "paths are absolute, as they were: "
				   "SNAP:/etc/nginx");
	}
	return n == 1 ? 0 : buf_add(path, text, n, e);
}

static void write_list(struct json *j, const char *key,
		       const struct manifest_list *l)
{
	json_key(j, key);
	json_begin_list(j);
	for (size_t i = 0; i < l->n; i++)
		json_strn(j, (const char *)l->v[i].data, l->v[i].len);
	json_end_list(j);
}

/* Paths need not be UTF-8; those that are not go into a list of their own. */
static void write_paths(struct json *j, const struct manifest_list *l)
{
	bool all_text = true;

	json_key(j, "paths");
	json_begin_list(j);
	for (size_t i = 0; i < l->n; i++) {
		if (text_is_utf8(l->v[i].data, l->v[i].len))
			json_strn(j, (const char *)l->v[i].data, l->v[i].len);
		else
			all_text = false;
	}
	json_end_list(j);
	if (all_text)
		return;
	json_key(j, "paths_b64");
	json_begin_list(j);
	for (size_t i = 0; i < l->n; i++) {
		char b64[4096 * 4 / 3 + 8];

		if (text_is_utf8(l->v[i].data, l->v[i].len) ||
		    text_base64_size(l->v[i].len) > sizeof(b64))
			continue;
		text_base64(l->v[i].data, l->v[i].len, b64);
		json_str(j, b64);
	}
	json_end_list(j);
}

/* The keys of design §10 for `snapshot list`, within an open object. */
static void write_summary(struct json *j, const struct repository_snapshot *s)
{
	const struct manifest *m = &s->manifest;
	char id[OBJECT_ID_TEXT];

	object_id_format(m->snapshot, id);
	json_kv_str(j, "id", id);
	json_kv_instant(j, "time", m->has_claimed ? m->claimed : m->begun);
	json_kv_instant(j, "received", s->received);
	json_kv_str(j, "source", *m->source ? m->source : NULL);
	json_kv_str(j, "host", m->host);
	write_paths(j, &m->paths);
	write_list(j, "tags", &m->tags);
	json_kv_str(j, "state",
		    m->state == MANIFEST_COMPLETE ? "complete" : "partial");
	json_kv_uint(j, "files", m->files);
	json_kv_uint(j, "bytes", m->bytes);
	if (s->deleted) {
		json_kv_instant(j, "deleted", s->deleted_at);
		json_kv_instant(j, "restorable_until", s->restorable_until);
	}
	if (s->held)
		json_kv_bool(j, "held", true);
	if (s->locked)
		json_kv_instant(j, "locked_until", s->locked_until);
}

void engine_write_snapshot(struct json *j, const struct repository_snapshot *s)
{
	json_begin_object(j);
	write_summary(j, s);
	json_end_object(j);
}

static const char *clock_name(unsigned int clock)
{
	switch (clock) {
	case RECORD_DAEMON:
		return "daemon";
	case RECORD_STORE:
		return "store";
	case RECORD_PROCESS:
		return "process";
	default:
		return NULL;
	}
}

/* The list that the snapshot's own run left: paths and why. */
static int write_errors(struct json *j, struct repository *r,
			const struct manifest *m, struct err *e)
{
	CLEANUP(reader_free) struct reader *x = NULL;
	const uint8_t *plain;
	struct cursor c;
	size_t n;

	json_key(j, "errors");
	json_begin_list(j);
	if (m->errors) {
		if (reader_new(r, 0, &x, e) ||
		    reader_get(x, &m->error_list, CHUNK_VALUE, &plain, &n, e))
			return -1;
		c = cursor_of(plain, n);
		while (c.left && !c.bad) {
			const size_t path_len = (size_t)cursor_varint(&c);
			const uint8_t *path = cursor_bytes(&c, path_len);
			const size_t len = (size_t)cursor_varint(&c);
			const uint8_t *message = cursor_bytes(&c, len);

			if (c.bad)
				break;
			json_begin_object(j);
			json_path(j, "path", path, path_len);
			json_key(j, "message");
			json_strn(j, (const char *)message, len);
			json_end_object(j);
		}
	}
	json_end_list(j);
	return 0;
}

int engine_write_details(struct operation_call *call, struct repository *r,
			 const struct repository_snapshot *s,
			 const char *region, struct err *e)
{
	const struct manifest *m = &s->manifest;
	struct json *j = call->reply;
	char id[OBJECT_ID_TEXT];

	write_summary(j, s);
	if (region)
		json_kv_str(j, "region", region);
	json_kv_str(j, "type", m->type);
	json_kv_str(j, "user", m->user);
	json_kv_str(j, "program", m->program);
	json_kv_instant(j, "begun", m->begun);
	json_kv_instant(j, "ended", m->ended);
	json_kv_str(j, "clock", clock_name(s->clock));
	json_kv_uint(j, "folders", m->dirs);
	json_kv_uint(j, "others", m->others);
	object_id_format(m->parent, id);
	json_kv_str(j, "parent", object_id_is_zero(m->parent) ? NULL : id);
	write_list(j, "excludes", &m->excludes);
	json_kv_uint(j, "error_count", m->errors);
	return write_errors(j, r, m, e);
}

void engine_host(char *out, size_t n)
{
	if (gethostname(out, n) != 0)
		(void)snprintf(out, n, "unknown");
	out[n - 1] = '\0';
}

void engine_who(const struct operation_call *call, char *out, size_t n)
{
	char memory[4096];
	char host[128];
	struct passwd entry;
	struct passwd *found = NULL;

	engine_host(host, sizeof(host));
	if (getpwuid_r(call->caller.uid, &entry, memory, sizeof(memory),
		       &found) == 0 &&
	    found)
		(void)snprintf(out, n, "%s@%s", found->pw_name, host);
	else
		(void)snprintf(out, n, "uid %u@%s",
			       (unsigned int)call->caller.uid, host);
}

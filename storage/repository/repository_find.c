/* Which snapshot a person means. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "storage/repository/repository.h"
#include "storage/repository/voids.h"

/*
 * A manifest that does not open.  Only its name and the records beside it
 * tell of its snapshot, so that what is asked for is not answered with an
 * older one in silence.
 */
struct broken {
	struct object_id snapshot;
	struct object_id session;
	bool newer;  /* made by a newer snapctl */
	bool beside; /* voided, or another manifest of the same is sound */
	bool deleted;
	bool undeleted;
	bool has_receipt;
	struct instant received;
	char why[256];
};

/* How many of the snapshots with one prefix are told. */
#define SHOWN_MAX 5

struct search {
	const char *text;
	size_t text_len;
	const char *source; /* NULL: any */
	bool latest;
	bool with_deleted;
	struct repository_snapshot found;
	bool has_found;
	char matches[SHOWN_MAX][OBJECT_ID_TEXT];
	size_t n_matches;
	struct object_id newer_partial;
	char first_source[MANIFEST_TEXT_MAX + 1];
	char second_source[MANIFEST_TEXT_MAX + 1];
	bool has_first;
	bool several_sources;
	char nearest[OBJECT_ID_TEXT];
	unsigned int nearest_distance;
	struct broken *broken;
	size_t n_broken;
};

static void search_done(struct search *q)
{
	repository_snapshot_done(&q->found);
	free(q->broken);
}

static inline void cleanup_search_done(struct search *q)
{
	search_done(q);
}

static int note_broken(void *arg, const char *name, const struct err *why,
		       struct err *e)
{
	struct search *q = (struct search *)arg;
	struct broken b = { .newer = why->code == ERR_NEWER };
	struct broken *grown;

	(void)text_fit(why->text, b.why, sizeof(b.why));
	if (!object_name_parse(OBJECT_MANIFEST, name, &b.snapshot, &b.session))
		return 0;
	grown = reallocarray(q->broken, q->n_broken + 1, sizeof(*grown));
	if (!grown)
		return err_oom(e);
	q->broken = grown;
	q->broken[q->n_broken++] = b;
	return 0;
}

static void add_match(struct search *q, struct object_id id)
{
	if (q->n_matches < SHOWN_MAX)
		object_id_format(id, q->matches[q->n_matches]);
	q->n_matches++;
}

/* Move a visited snapshot out of the borrowed struct. */
static void take_found(struct search *q, struct repository_snapshot *s)
{
	repository_snapshot_done(&q->found);
	q->found = *s;
	q->has_found = true;
	manifest_init(&s->manifest);
}

static void visit_for_latest(struct search *q, struct repository_snapshot *s)
{
	if (s->deleted)
		return;
	if (q->source && strcmp(q->source, s->manifest.source) != 0)
		return;
	if (!q->has_first) {
		memcpy(q->first_source, s->manifest.source,
		       sizeof(q->first_source));
		q->has_first = true;
	} else if (strcmp(q->first_source, s->manifest.source) != 0 &&
		   !q->several_sources) {
		memcpy(q->second_source, s->manifest.source,
		       sizeof(q->second_source));
		q->several_sources = true;
	}
	if (s->manifest.state == MANIFEST_PARTIAL) {
		q->newer_partial = s->manifest.snapshot;
		return;
	}
	q->newer_partial = (struct object_id){ { 0 } };
	take_found(q, s);
}

static int visit_for_find(void *arg, struct repository_snapshot *s,
			  struct err *e)
{
	struct search *q = (struct search *)arg;
	char id[OBJECT_ID_TEXT];
	unsigned int distance;

	(void)e;
	/* An undelete publishes a manifest anew: one sound one will do. */
	for (size_t i = 0; i < q->n_broken; i++)
		if (object_id_equal(q->broken[i].snapshot,
				    s->manifest.snapshot))
			q->broken[i].beside = true;
	if (q->latest) {
		visit_for_latest(q, s);
		return 0;
	}
	object_id_format(s->manifest.snapshot, id);
	if (strncasecmp(id, q->text, q->text_len) == 0) {
		add_match(q, s->manifest.snapshot);
		take_found(q, s);
		return 0;
	}
	distance = text_distance(id, q->text);
	if (!q->nearest[0] || distance < q->nearest_distance) {
		memcpy(q->nearest, id, sizeof(id));
		q->nearest_distance = distance;
	}
	return 0;
}

static int not_found(const struct search *q, struct err *e)
{
	if (q->latest && q->source && !*q->source)
		(void)err_set(e, ERR_NOT_FOUND,
			      "there is no complete ad hoc snapshot");
	else if (q->latest && q->source)
		(void)err_set(e, ERR_NOT_FOUND,
			      "there is no complete snapshot of source %s",
			      text_quote_str(q->source).s);
	else if (q->latest)
		(void)err_set(e, ERR_NOT_FOUND,
			      "there is no complete snapshot");
	else
		(void)err_set(e, ERR_NOT_FOUND, "there is no snapshot %s",
			      text_quote_str(q->text).s);
	if (q->latest && !object_id_is_zero(q->newer_partial)) {
		char id[OBJECT_ID_TEXT];

		object_id_format(q->newer_partial, id);
		return err_hint(e, "the newest partial one is %s", id);
	}
	if (!q->latest && q->nearest[0])
		return err_hint(e,
				"the nearest is %s; `snapctl snapshot list` "
				"shows all",
				q->nearest);
	return err_hint(e, "`snapctl snapshot list` shows what is there");
}

static struct text_quoted source_or_ad_hoc(const char *s)
{
	struct text_quoted ad_hoc = { "ad hoc ones" };

	return *s ? text_quote_str(s) : ad_hoc;
}

/* ---- Manifests that do not open ----------------------------------------- */

/* What its session's voids do not name was never published. */
static int see_voids(struct search *q, struct store *s, const struct keys *k,
		     struct err *e)
{
	CLEANUP(voids_free) struct voids *v = NULL;
	enum voids_answer answer;

	if (voids_read(s, k, &v, e))
		return -1;
	for (size_t i = 0; i < q->n_broken; i++) {
		if (voids_judge(v, q->broken[i].session, q->broken[i].snapshot,
				&answer, e))
			return -1;
		if (answer == VOIDS_DOES_NOT)
			q->broken[i].beside = true;
	}
	return 0;
}

static int see_record(void *arg, const char *name, const struct record *r,
		      const struct err *why, struct err *e)
{
	struct search *q = (struct search *)arg;

	(void)name;
	(void)why;
	(void)e;
	for (size_t i = 0; r && i < q->n_broken; i++) {
		struct broken *b = &q->broken[i];

		if (!object_id_equal(b->snapshot, r->snapshot))
			continue;
		switch (r->kind) {
		case OBJECT_RECEIPT:
			b->has_receipt = true;
			b->received = r->time;
			break;
		case OBJECT_TOMBSTONE:
			b->deleted = true;
			break;
		default:
			b->undeleted = true;
			break;
		}
	}
	return 0;
}

/* What is known of the broken ones besides their manifests. */
static int see_broken(struct search *q, struct repository *r, struct err *e)
{
	struct store *s = repository_store(r);
	const struct keys *k = repository_keys(r);

	if (q->n_broken == 0)
		return 0;
	return see_voids(q, s, k, e) ||
			       record_list(s, k, OBJECT_RECEIPT, see_record, q,
					   e) ||
			       record_list(s, k, OBJECT_TOMBSTONE, see_record,
					   q, e) ||
			       record_list(s, k, OBJECT_UNDELETE, see_record, q,
					   e)
		       ? -1
		       : 0;
}

/* Whose it is nobody can tell, so it may be of any source. */
static bool may_be_latest(const struct search *q, const struct broken *b)
{
	if (b->deleted && !b->undeleted)
		return false;
	return !q->has_found || !b->has_receipt ||
	       instant_compare(b->received, q->found.received) >= 0;
}

static bool is_meant(const struct search *q, const struct broken *b)
{
	char id[OBJECT_ID_TEXT];

	if (b->beside)
		return false;
	if (q->latest)
		return may_be_latest(q, b);
	object_id_format(b->snapshot, id);
	return strncasecmp(id, q->text, q->text_len) == 0;
}

static int refuse_broken(const struct search *q, const struct broken *b,
			 struct err *e)
{
	const char *is = b->newer ? "is of a newer format" : "is damaged";
	const enum err_code code = b->newer ? ERR_NEWER : ERR_CORRUPT;
	char id[OBJECT_ID_TEXT];

	object_id_format(b->snapshot, id);
	if (!q->latest) {
		(void)err_set(e, code, "the manifest of snapshot %s %s: %s", id,
			      is, b->why);
		return err_hint(e, "another region may have it whole; "
				   "`snapctl repo check` says more");
	}
	(void)err_set(e, code,
		      "which snapshot is the latest cannot be known: the "
		      "manifest of %s, which may be newer than all others, "
		      "%s: %s",
		      id, is, b->why);
	if (!q->has_found)
		return err_hint(e, "another region may have it whole; "
				   "`snapctl repo check` says more");
	object_id_format(q->found.manifest.snapshot, id);
	return err_hint(e,
			"name one by its id: the newest that can be read is "
			"%s; another region may have all",
			id);
}

static int judge_broken(struct search *q, struct err *e)
{
	for (size_t i = 0; i < q->n_broken; i++) {
		if (!is_meant(q, &q->broken[i]))
			continue;
		if (q->latest || !q->has_found)
			return refuse_broken(q, &q->broken[i], e);
		add_match(q, q->broken[i].snapshot);
	}
	return 0;
}

static int refuse_several(const struct search *q, struct err *e)
{
	char list[SHOWN_MAX * (OBJECT_ID_TEXT + 1) + 1] = "";
	size_t len = 0;

	for (size_t i = 0; i < q->n_matches && i < SHOWN_MAX; i++)
		len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s",
					i ? ", " : "", q->matches[i]);
	(void)err_set(e, ERR_USAGE, "several snapshots begin with %s",
		      text_quote_str(q->text).s);
	return err_hint(e, "give more digits of %s%s", list,
			q->n_matches > SHOWN_MAX ? " or others" : "");
}

static int judge(struct search *q, struct err *e)
{
	if (q->latest && q->several_sources) {
		(void)err_set(e, ERR_USAGE,
			      "\"latest\" could be of several sources, such as "
			      "%s and %s",
			      source_or_ad_hoc(q->first_source).s,
			      source_or_ad_hoc(q->second_source).s);
		return err_hint(e, "name one with --source (\"\" means ad hoc "
				   "snapshots), or give an id");
	}
	if (judge_broken(q, e))
		return -1;
	if (!q->has_found)
		return not_found(q, e);
	return q->n_matches > 1 ? refuse_several(q, e) : 0;
}

static bool is_prefix(const char *text)
{
	const size_t n = strlen(text);

	return n >= 1 && n < OBJECT_ID_TEXT &&
	       strspn(text, "0123456789abcdefABCDEF") == n;
}

int repository_find(struct repository *r, const char *text, const char *source,
		    bool with_deleted, struct repository_snapshot *ret,
		    struct object_id *ret_newer_partial, struct err *e)
{
	CLEANUP(search_done)
	struct search q = { .text = text,
			    .text_len = strlen(text),
			    .source = source,
			    .latest = strcmp(text, "latest") == 0 };
	struct store_asked *asked;
	int failed;

	if (!q.latest && !is_prefix(text)) {
		(void)err_set(e, ERR_NOT_FOUND, "there is no snapshot %s",
			      text_quote_str(text).s);
		return err_hint(e, "an id has 32 hexadecimal digits; "
				   "`snapctl snapshot list` shows all");
	}
	manifest_init(&q.found.manifest);
	asked = repository_ask_snapshots(r);
	failed = repository_snapshots(r, with_deleted, visit_for_find,
				      note_broken, &q, e);
	store_ask_done(asked);
	if (failed || see_broken(&q, r, e) || judge(&q, e))
		return -1;
	*ret = q.found;
	manifest_init(&q.found.manifest);
	if (ret_newer_partial)
		*ret_newer_partial = q.newer_partial;
	return 0;
}

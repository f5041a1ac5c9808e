#include "storage/repository/deletion.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/filemap.h"
#include "base/text.h"
#include "storage/repository/fields.h"
#include "storage/repository/guards.h"
#include "storage/repository/reader.h"
#include "storage/repository/tree.h"
#include "storage/repository/writer.h"

static void set_text(char to[RECORD_TEXT_MAX + 1], const char *from)
{
	fields_text(to, RECORD_TEXT_MAX + 1, from);
}

static int put(struct repository *r, const struct record *record, struct err *e)
{
	return record_put(repository_store(r), repository_keys(r), record, 0,
			  e);
}

void deletion_rules_reason(char out[DELETION_RULES_MAX], const char *policy,
			   int64_t version)
{
	(void)snprintf(out, DELETION_RULES_MAX, "policy %s version %" PRId64,
		       policy, version);
}

/* Exactly so: anything else is somebody's own words. */
bool deletion_is_by_rules(const struct record *tombstone)
{
	const char *words = tombstone->reason;
	const char *version;

	if (strcmp(tombstone->by, DELETION_SERVICE) != 0 ||
	    strncmp(words, "policy ", 7) != 0)
		return false;
	words += 7;
	words += strcspn(words, " ");
	if (strncmp(words, " version ", 9) != 0)
		return false;
	version = words + 9;
	return *version && strspn(version, "0123456789") == strlen(version);
}

int deletion_may(const struct repository_snapshot *s, struct instant now,
		 struct err *e)
{
	char id[OBJECT_ID_TEXT];
	char until[INSTANT_TEXT];

	object_id_format(s->manifest.snapshot, id);
	if (s->held) {
		(void)err_set(e, ERR_DENIED, "snapshot %s is under a hold", id);
		return err_hint(e, "`snapctl hold list` shows by whom and why");
	}
	if (s->locked && instant_compare(s->locked_until, now) > 0) {
		instant_format(s->locked_until, until);
		(void)err_set(e, ERR_DENIED, "snapshot %s is locked until %s",
			      id, until);
		return err_hint(e, "a lock can be lengthened, never shortened");
	}
	return 0;
}

int deletion_delete(struct repository *r, const struct repository_snapshot *s,
		    const struct deletion *d, struct err *e)
{
	struct repository_snapshot now = *s; /* borrows the manifest */
	struct record t;

	if (s->deleted && (d->this_region || !s->this_region))
		return 0;
	/* What was decided on may be minutes old; holds outrank it. */
	if (repository_snapshot_guards(r, &now, e) ||
	    deletion_may(&now, d->now, e))
		return -1;
	record_init(&t, OBJECT_TOMBSTONE);
	t.id = object_id_new();
	t.snapshot = s->manifest.snapshot;
	t.time = d->now;
	t.until = instant_add_ms(d->now, d->grace_ms);
	t.scope = d->this_region ? RECORD_THIS_REGION : RECORD_ALL_REGIONS;
	set_text(t.by, d->by);
	set_text(t.reason, d->reason);
	return put(r, &t, e);
}

/* What the collecting visitors of undelete share. */
struct undelete {
	struct writer *writer;
	struct filemap *seen; /* chunk id → bits of kinds */
	struct object_id snapshot;
	struct record record; /* the undelete: revoked tombstones */
};

static int add_tombstone(void *arg, const char *name, const struct record *t,
			 const struct err *why, struct err *e)
{
	struct undelete *u = (struct undelete *)arg;

	(void)name;
	/* One that only we cannot read would go on deleting the snapshot. */
	if (!t && why->code == ERR_IO) {
		*e = *why;
		return -1;
	}
	if (!t || !object_id_equal(t->snapshot, u->snapshot))
		return 0;
	return record_add_id(&u->record, t->id, e);
}

static int need_chunk(void *arg, const struct chunk_id *id,
		      enum chunk_kind kind, struct err *e)
{
	const struct undelete *u = (const struct undelete *)arg;
	const uint8_t bit = (uint8_t)(1U << kind);
	void *value;
	const int fresh = filemap_add(u->seen, id->b, &value, e);
	uint8_t *kinds = (uint8_t *)value;
	int has = 1;

	if (fresh < 0)
		return -1;
	/* A map may be named again and again, and each of those below it. */
	if (*kinds & bit)
		return 1;
	*kinds |= bit;
	if (fresh)
		has = writer_has(u->writer, id, e);
	if (has == 0 && index_set_is_damaged(writer_index(u->writer))) {
		(void)err_set(e, ERR_CORRUPT,
			      "whether all of its data is there is not known, "
			      "as the index is damaged, or cannot be read now");
		err_add_reason(e,
			       index_set_left_out_sys(writer_index(u->writer)));
		return err_hint(e, "`snapctl repo check` says more");
	}
	if (has == 0 && !index_set_is_whole(writer_index(u->writer))) {
		(void)err_set(
			e, ERR_BUSY,
			"whether all of its data is there is not known "
			"before a garbage collection has told what counts "
			"of a session that it gave up");
		return err_hint(
			e, "`snapctl repo gc` settles that; try again then");
	}
	if (has == 0)
		return err_set(e, ERR_NOT_FOUND,
			       "some of its data was collected already");
	return has < 0 ? -1 : 0;
}

static int check_references(struct repository *r, const struct manifest *m,
			    struct undelete *u, struct err *e)
{
	CLEANUP(reader_free) struct reader *x = NULL;

	if (reader_new_in(r, writer_index(u->writer), 4U << 20, &x, e) ||
	    filemap_new(&u->seen, NULL, CHUNK_ID_SIZE, 1, e) ||
	    tree_references(x, &m->tree, false, need_chunk, NULL, u, e) ||
	    tree_references(x, &m->hints, true, need_chunk, NULL, u, e))
		return -1;
	return m->errors ? need_chunk(u, &m->error_list, CHUNK_VALUE, e) : 0;
}

/* Tombstones stay: one was seen, so that one has to be listed. */
static int collect_tombstones(struct repository *r, struct undelete *u,
			      struct err *e)
{
	if (record_list(repository_store(r), repository_keys(r),
			OBJECT_TOMBSTONE, add_tombstone, u, e))
		return -1;
	if (u->record.n_ids)
		return 0;
	return err_set(e, ERR_CORRUPT,
		       "the store does not give what deleted the snapshot, "
		       "which it gave before; nothing was changed");
}

int deletion_undelete(struct repository *r, const struct repository_snapshot *s,
		      const struct deletion *d, struct err *e)
{
	const struct writer_options o = {
		.purpose = RECORD_UNDELETE,
		.snapshot = s->manifest.snapshot,
		.host = s->manifest.host,
	};
	CLEANUP(writer_close) struct writer *w = NULL;
	struct undelete u = { .snapshot = s->manifest.snapshot };
	struct manifest again = s->manifest; /* borrows the lists */
	int failed;

	if (!s->deleted && s->deletion_unread) {
		(void)err_set(e, ERR_CORRUPT,
			      "what may have deleted the snapshot does not "
			      "open");
		err_add_reason(e, s->unread_sys);
		return -1;
	}
	if (!s->deleted)
		return err_set(e, ERR_NOT_FOUND, "the snapshot is not deleted");
	if (guards_begin_short(r, d->now, e) < 0 || writer_open(r, &o, &w, e))
		return -1;
	u.writer = w;
	record_init(&u.record, OBJECT_UNDELETE);
	u.record.id = object_id_new();
	u.record.snapshot = s->manifest.snapshot;
	u.record.session = writer_session(w);
	u.record.time = d->now;
	set_text(u.record.by, d->by);
	/* The manifest is published before the tombstones are revoked: in
	 * between the snapshot is still deleted, never half there.  Should
	 * the undelete come too late, the void of our session annuls it. */
	failed = check_references(r, &s->manifest, &u, e) ||
		 collect_tombstones(r, &u, e) ||
		 writer_publish(w, &again, s->received, RECORD_PROCESS, e) ||
		 put(r, &u.record, e) || writer_confirm(w, e);
	record_done(&u.record);
	filemap_free(u.seen);
	if (failed)
		writer_explain(w, e);
	return failed ? -1 : 0;
}

static int put_lock(struct repository *r, const struct repository_snapshot *s,
		    struct instant until, const char *by, struct instant now,
		    bool here, struct err *e)
{
	struct record l;

	if (s->locked && instant_compare(until, s->locked_until) <= 0)
		return 0;
	record_init(&l, OBJECT_LOCK);
	l.id = record_lock_id(s->manifest.snapshot, here);
	l.snapshot = s->manifest.snapshot;
	l.until = until;
	l.session = s->manifest.session;
	l.time = now;
	set_text(l.by, by);
	return put(r, &l, e);
}

int deletion_lock(struct repository *r, const struct repository_snapshot *s,
		  struct instant until, const char *by, struct instant now,
		  struct err *e)
{
	return put_lock(r, s, until, by, now, false, e);
}

int deletion_lock_here(struct repository *r,
		       const struct repository_snapshot *s,
		       struct instant until, const char *by, struct instant now,
		       struct err *e)
{
	return put_lock(r, s, until, by, now, true, e);
}

int deletion_hold(struct repository *r, const struct deletion_hold *h,
		  struct object_id *ret, struct err *e)
{
	struct record record;
	int failed = 0;

	if (h->source && (strlen(h->source) > RECORD_TEXT_MAX ||
			  !text_is_utf8(h->source, strlen(h->source))))
		return err_set(e, ERR_USAGE, "no source can be called %s",
			       text_quote_str(h->source).s);
	record_init(&record, OBJECT_HOLD);
	record.id = object_id_is_zero(h->id) ? object_id_new() : h->id;
	record.time = h->now;
	set_text(record.by, h->by);
	set_text(record.source, h->source);
	set_text(record.reason, h->case_name);
	set_text(record.custodian, h->custodian);
	for (size_t i = 0; !failed && i < h->n_snapshots; i++)
		failed = record_add_id(&record, h->snapshots[i], e);
	if (!failed)
		failed = put(r, &record, e);
	if (!failed)
		*ret = record.id;
	record_done(&record);
	return failed;
}

struct hold_search {
	struct object_id hold;
	bool found;
	bool released;
	struct err unread; /* the first that does not open, and why; or none */
};

static int see_hold(void *arg, const char *name, const struct record *h,
		    const struct err *why, struct err *e)
{
	struct hold_search *q = (struct hold_search *)arg;

	(void)name;
	(void)e;
	if (!h) {
		if (!q->unread.code)
			q->unread = *why;
		return 0;
	}
	if (object_id_equal(h->id, q->hold) && object_id_is_zero(h->releases))
		q->found = true;
	if (object_id_equal(h->releases, q->hold))
		q->released = true;
	return 0;
}

int deletion_release(struct repository *r, struct object_id hold,
		     const char *by, struct instant now, struct err *e)
{
	struct hold_search q = { .hold = hold };
	char text[OBJECT_ID_TEXT];
	struct record record;
	int failed;

	if (record_list(repository_store(r), repository_keys(r), OBJECT_HOLD,
			see_hold, &q, e))
		return -1;
	if (!q.found && q.unread.code) {
		*e = q.unread;
		return -1;
	}
	if (!q.found || q.released) {
		object_id_format(hold, text);
		(void)err_set(e, ERR_NOT_FOUND, "there is no hold \"%s\"",
			      text);
		return err_hint(e, "`snapctl hold list` shows all in force");
	}
	record_init(&record, OBJECT_HOLD);
	record.id = object_id_new();
	record.time = now;
	record.releases = hold;
	set_text(record.by, by);
	failed = put(r, &record, e);
	record_done(&record);
	return failed;
}

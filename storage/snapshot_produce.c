/* The producer: the walk beside the parent's tree; reading and cutting. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/filemap.h"
#include "storage/snapshot_ahead.h"
#include "storage/snapshot_producer.h"

/* Bytes read ahead of the cutter: chunks are cut from the front of it. */
#define WINDOW_BYTES ((size_t)2 * SNAPSHOT_CHUNK_MAX)
/* A ctime this close to the read could change again unseen (promise §4). */
#define FRESH_MS 2000

/* What the first name of a hard-link group was like when it was read. */
struct link_seen {
	struct instant mtime;
	struct instant ctime;
	uint64_t size;
	uint64_t valid;
};

/*
 * What lay in a folder that vanished may still be had, from its descriptor: it
 * was renamed then, and its attributes are what is missing.  One that was
 * removed with all that it had is no loss, as with files that vanish.
 */
static void tell_vanished(struct snapshot_producer *q, const struct entry *en)
{
	struct buf *v = &q->vanished;

	if (v->len == 0 ||
	    !entry_path_within(en->path, en->path_len, v->data, v->len))
		return;
	snapshot_report(q->p->errors, buf_str(v), v->len,
			"it vanished while it was read: its attributes are "
			"missing, and whatever was not read by then");
	buf_clear(v);
}

/* Cut a chunk off the front of the window and send it. */
static int send_chunk(struct snapshot_producer *q, const uint8_t *from,
		      size_t n, struct err *e)
{
	struct snapshot_job *j = snapshot_job_new(n, e);

	if (!j)
		return -1;
	memcpy(j->data, from, n);
	j->len = n;
	j->large = q->large;
	if (snapshot_send_piece(q, j, n, e)) {
		snapshot_job_unref(q->p, j);
		return -1;
	}
	return snapshot_send_job(q, j, e);
}

/* Where content says so; or, of a disk, at its blocks, which have come whole.
 */
static size_t next_chunk(const struct snapshot_producer *q, const uint8_t *from,
			 size_t n)
{
	if (!q->blocks)
		return cut_find(q->cutter, from, n);
	return n < SOURCE_BLOCK ? n : SOURCE_BLOCK;
}

/*
 * Cut what is in the window.  Without last, bytes that could still belong to
 * a longer chunk stay; they are moved to the front.
 */
static int cut_window(struct snapshot_producer *q, size_t *have, bool last,
		      struct err *e)
{
	size_t at = 0;

	while (*have - at >= (last ? 1U : SNAPSHOT_CHUNK_MAX)) {
		const size_t n = next_chunk(q, q->window + at, *have - at);

		if (send_chunk(q, q->window + at, n, e))
			return -1;
		at += n;
	}
	memmove(q->window, q->window + at, *have - at);
	*have -= at;
	if (snapshot_bound_group(q, e))
		return -1;
	return snapshot_poll(q, e);
}

static int find_missing(void *arg, uint64_t offset, const struct extent *x,
			struct err *e)
{
	struct snapshot_producer *q = (struct snapshot_producer *)arg;
	int has;

	(void)offset;
	if (x->hole)
		return 0;
	has = writer_has(q->p->writer, &x->id, e);
	if (has == 0)
		return err_set(e, ERR_NOT_FOUND, "a chunk is missing");
	return has < 0 ? -1 : 0;
}

/* A part of a file that is as the parent has it. */
struct keeping {
	struct snapshot_producer *q;
	uint64_t from;
	uint64_t to;
	uint64_t at; /* visited up to here */
};

/*
 * Whether the parent's extent can be taken over: its chunks were cut at the
 * same places, and are there.
 */
static int judge_extent(void *arg, uint64_t offset, const struct extent *x,
			struct err *e)
{
	struct keeping *k = (struct keeping *)arg;
	const uint64_t end = offset + x->len;

	if (offset > k->at)
		return err_set(e, ERR_BUG, "a content has a gap");
	k->at = end < k->to ? end : k->to;
	if (x->hole)
		return 0;
	if (x->offset != 0 || x->len > SOURCE_BLOCK ||
	    offset % SOURCE_BLOCK != 0)
		return err_set(e, ERR_NOT_FOUND, "it was cut otherwise");
	if (writer_trusts_parent(k->q->p->writer))
		return 0;
	return find_missing(k->q, offset, x, e);
}

static int keep_extent(void *arg, uint64_t offset, const struct extent *x,
		       struct err *e)
{
	struct keeping *k = (struct keeping *)arg;
	const uint64_t end = offset + x->len < k->to ? offset + x->len : k->to;
	const struct snapshot_event ev = { .type = EVENT_PIECE,
					   .len = end - k->at,
					   .kept = !x->hole,
					   .id = x->id };

	k->at = end;
	return snapshot_send_event(k->q, &ev, e) ||
			       snapshot_bound_group(k->q, e)
		       ? -1
		       : 0;
}

/*
 * The parent's chunks for that part of the file: 1; 0, with nothing done, when
 * the parent does not have all of it, or as something else.  Maps are gone
 * through twice, as nothing can be taken back.
 */
static int keep_range(struct snapshot_producer *q, const struct entry *en,
		      uint64_t from, uint64_t len, struct err *e)
{
	struct keeping k = { q, from, from + len, from };
	struct err ignored = { 0 };

	if (!q->blocks || from % SOURCE_BLOCK || len % SOURCE_BLOCK ||
	    !q->has_was || q->was.type != ENTRY_FILE ||
	    entry_path_compare(q->was.path, q->was.path_len, en->path,
			       en->path_len) != 0 ||
	    content_walk_range(q->reader, &q->was_content, k.from, k.to,
			       judge_extent, &k, &ignored) ||
	    k.at != k.to)
		return 0;
	k.at = from;
	return content_walk_range(q->reader, &q->was_content, k.from, k.to,
				  keep_extent, &k, e)
		       ? -1
		       : 1;
}

/* What source_read() gave, of a file that is in the window up to *have. */
static int take_extent(struct snapshot_producer *q, const struct ahead_item *i,
		       const struct source_extent *x, size_t *have,
		       uint64_t *at, struct err *e)
{
	int done = 1;

	if (!x->hole && !x->same) {
		*have += (size_t)x->len;
		q->progress.bytes_read += x->len;
		if (*have == WINDOW_BYTES && cut_window(q, have, false, e))
			return -1;
	} else {
		if (cut_window(q, have, true, e))
			return -1;
		if (x->same)
			done = keep_range(q, &i->entry, *at, x->len, e);
		else if (snapshot_send_piece(q, NULL, x->len, e))
			return -1;
	}
	if (done < 0)
		return -1;
	if (done == 0) {
		source_refuse(i->handle);
		return 0;
	}
	*at += x->len;
	q->progress.bytes += x->len;
	return 0;
}

/*
 * Behind the first `have` bytes of the window.  What a read that fails may have
 * written there is no more than what it was to read.
 */
static int read_extent(struct snapshot_producer *q, const struct ahead_item *i,
		       uint64_t at, size_t have, struct source_extent *x,
		       struct err *e)
{
	const size_t room = WINDOW_BYTES - have;
	const int got = source_read(i->handle, q->window + have, room, x, e);
	const uint64_t left = i->entry.size > at ? i->entry.size - at : 0;
	const uint64_t wrote = got < 0 ? room : got == 0 ? left : x->len;
	const size_t end = have + (size_t)(wrote < room ? wrote : room);

	if (q->window_dirty < end)
		q->window_dirty = end;
	return got;
}

static int read_large(struct snapshot_producer *q, const struct ahead_item *i,
		      struct err *e)
{
	struct source_extent x;
	uint64_t at = 0;
	size_t have = 0;
	int got;

	if (!q->window)
		q->window = malloc(WINDOW_BYTES);
	if (!q->window)
		return err_oom(e);
	while ((got = read_extent(q, i, at, have, &x, e)) == 1)
		if (take_extent(q, i, &x, &have, &at, e))
			return -1;
	if (got < 0)
		return -1;
	return cut_window(q, &have, true, e);
}

/* An entry that was looked at ahead; what it owns is moved where it can be. */
static int record_item(struct snapshot_producer *q, struct snapshot_event *ev,
		       struct ahead_item *i, struct err *e)
{
	tell_vanished(q, &i->entry);
	if (i->handle) { /* it has what the entry borrows */
		if (entry_copy(&ev->entry, &i->entry, e))
			return -1;
	} else {
		ev->entry = i->entry;
		i->listed = (struct entry){ 0 };
	}
	return snapshot_send_event(q, ev, e);
}

/* It was read as it is, or could have changed again within its ctime. */
static bool is_doubtful(const struct entry *en, struct instant now)
{
	return en->flags & ENTRY_CHANGED ||
	       instant_ms_between(en->ctime, now) < FRESH_MS;
}

/* When it was as it was read: a snapshot of it may be older than its reading.
 */
static struct instant moment(const struct snapshot_producer *q,
			     struct instant taken)
{
	const struct instant held = q->p->options->held_at;

	return (held.sec || held.nsec) && instant_compare(held, taken) < 0
		       ? held
		       : taken;
}

/* Hints that are not to be trusted are inode 0. */
static void doubt_fresh(const struct snapshot_producer *q, struct entry *en,
			struct instant taken)
{
	if (is_doubtful(en, moment(q, taken)))
		en->inode = 0;
}

/* The group's first name was read, and nothing has changed since. */
static bool link_is_read(struct snapshot_producer *q, const struct entry *en)
{
	const struct link_seen *seen;

	if (!(en->flags & ENTRY_HARD_LINK) || !q->links)
		return false;
	seen = (const struct link_seen *)filemap_find(q->links,
						      &en->link_group);
	return seen && seen->valid && seen->size == en->size &&
	       instant_compare(seen->mtime, en->mtime) == 0 &&
	       instant_compare(seen->ctime, en->ctime) == 0;
}

static int link_was_read(struct snapshot_producer *q, const struct entry *en,
			 struct instant now, struct err *e)
{
	void *value;
	bool valid;

	if (!(en->flags & ENTRY_HARD_LINK))
		return 0;
	if (!q->links &&
	    filemap_new(&q->links, q->p->options->scratch, sizeof(uint64_t),
			sizeof(struct link_seen), e))
		return -1;
	if (filemap_add(q->links, &en->link_group, &value, e) < 0)
		return -1;
	valid = !is_doubtful(en, moment(q, now));
	*(struct link_seen *)value = (struct link_seen){ .mtime = en->mtime,
							 .ctime = en->ctime,
							 .size = en->size,
							 .valid = valid };
	return 0;
}

static int open_group(struct snapshot_producer *q, struct err *e)
{
	q->group = snapshot_job_new(SNAPSHOT_GROUP_MAX, e);
	if (!q->group)
		return -1;
	/* Each has taken a file, or a good many events. */
	assert(q->groups < UINT32_MAX);
	q->group->group = ++q->groups;
	q->group_events = 0;
	q->group_content = 0;
	return 0;
}

/*
 * Where a small file's data lies: behind its neighbours in the open group,
 * unless this session stored the same before.  Only what stays ends a group,
 * so that groups are about as long as they ought to be.
 */
static int place_small(struct snapshot_producer *q, const struct ahead_item *i,
		       struct snapshot_place *ret, bool *ret_ends,
		       struct err *e)
{
	int stored;

	if (q->group && q->group->len + i->len > SNAPSHOT_GROUP_MAX &&
	    snapshot_close_group(q, e))
		return -1;
	if (!q->group && open_group(q, e))
		return -1;
	*ret = (struct snapshot_place){ q->group->group,
					(uint32_t)q->group->len };
	*ret_ends = false;
	if (i->len == 0)
		return 0;
	stored = snapshot_small_place(q->small, &i->name, i->len, ret, e);
	if (stored)
		return stored < 0 ? -1 : 0;
	memcpy(q->group->data + q->group->len, i->data, i->len);
	q->group->len += i->len;
	*ret_ends = snapshot_small_ends(&i->name, i->len);
	return 0;
}

/*
 * The pieces of a small file whose data lies at that place; the last of them
 * is left to *last, to be sent with its entry.  Entries come in order: the
 * tree thread has waited for every group that was closed before.
 */
static int send_small(struct snapshot_producer *q, const struct ahead_item *i,
		      struct snapshot_place place, struct snapshot_event *last,
		      struct err *e)
{
	struct snapshot_job *open = place.group == q->group->group ? q->group
								   : NULL;

	for (size_t n = 0; n < i->n_pieces; n++) {
		const struct source_extent *x = &i->pieces[n];

		if (n && snapshot_send_event(q, last, e))
			return -1;
		*last = (struct snapshot_event){ .type = EVENT_PIECE,
						 .len = x->len };
		if (x->hole)
			continue;
		last->job = open;
		last->group = place.group;
		last->offset = place.offset;
		place.offset += (uint32_t)x->len;
	}
	return 0;
}

static int take_small(struct snapshot_producer *q, struct ahead_item *i,
		      struct err *e)
{
	struct snapshot_event ev = { 0 };
	struct snapshot_place place;
	bool ends;

	q->progress.files++;
	q->progress.bytes_read += i->len;
	q->progress.bytes += i->entry.size;
	if (place_small(q, i, &place, &ends, e) ||
	    send_small(q, i, place, &ev, e))
		return -1;
	if (link_was_read(q, &i->entry, i->taken, e))
		return -1;
	doubt_fresh(q, &i->entry, i->taken);
	ev.type = EVENT_FILE;
	if (record_item(q, &ev, i, e))
		return -1;
	/* The group last: from then on nothing but events keep it. */
	return ends ? snapshot_close_group(q, e) : 0;
}

/* A file that the threads ahead left to us. */
static int take_large(struct snapshot_producer *q, struct ahead_item *i,
		      struct err *e)
{
	struct snapshot_event ev = { .type = EVENT_DROP };
	struct entry *en = &i->entry;

	q->large = en->size >= SNAPSHOT_LARGE;
	if (read_large(q, i, e))
		return -1;
	i->state = source_finish(i->handle, en);
	if (!source_state_recorded(i->state))
		return snapshot_send_event(q, &ev, e);
	if (link_was_read(q, en, i->taken, e))
		return -1;
	q->progress.files++;
	doubt_fresh(q, en, i->taken);
	ev.type = EVENT_FILE;
	return record_item(q, &ev, i, e);
}

static int take_file(struct snapshot_producer *q, struct ahead_item *i,
		     struct err *e)
{
	struct snapshot_event ev = { .type = EVENT_LINK };
	struct entry *en = &i->entry;

	if (link_is_read(q, en)) {
		q->progress.files++;
		q->progress.bytes += en->size;
		doubt_fresh(q, en, i->taken);
		return record_item(q, &ev, i, e);
	}
	if (en->size >= SNAPSHOT_SMALL)
		return take_large(q, i, e);
	if (!i->is_read && snapshot_ahead_read(q->ahead, i, e))
		return -1;
	return source_state_recorded(i->state) ? take_small(q, i, e) : 0;
}

/*
 * A folder that could not be looked at closely.  What lies in it comes all the
 * same, and belongs below an entry: it is what its listing told.  Hints would
 * pass that on to the next snapshot as if it were the whole of it.
 */
static int keep_folder(struct snapshot_producer *q, const struct entry *listed,
		       enum source_state state, struct err *e)
{
	struct entry en = *listed;
	struct buf *v = &q->vanished;

	en.inode = 0;
	if (snapshot_send_entry(q, &en, NULL, e))
		return -1;
	/* Folders below one that vanished say nothing new. */
	if (state != SOURCE_VANISHED ||
	    (v->len &&
	     entry_path_within(en.path, en.path_len, v->data, v->len)))
		return 0;
	buf_clear(v);
	return buf_add(v, en.path, en.path_len, e);
}

/* An entry that is new or changed, after it was looked at. */
static int take_item(struct snapshot_producer *q, struct ahead_item *i,
		     struct err *e)
{
	struct snapshot_event ev = { .type = EVENT_ENTRY };

	if (i->described == 0) { /* reported when due */
		if (source_state_recorded(i->state))
			return err_set(e, ERR_BUG,
				       "a source contradicts itself");
		return i->listed.type == ENTRY_FOLDER
			       ? keep_folder(q, &i->listed, i->state, e)
			       : 0;
	}
	if (i->entry.type == ENTRY_FILE)
		return take_file(q, i, e);
	doubt_fresh(q, &i->entry, i->taken);
	return record_item(q, &ev, i, e);
}

/* The one whose turn it is of those that are looked at ahead. */
static int take_next(struct snapshot_producer *q, struct err *e)
{
	struct ahead_item *i;

	if (snapshot_ahead_next(q->ahead, &i, e) || take_item(q, i, e) ||
	    snapshot_bound_group(q, e))
		return -1;
	return snapshot_poll(q, e);
}

static int take_all(struct snapshot_producer *q, struct err *e)
{
	while (!snapshot_ahead_is_empty(q->ahead))
		if (take_next(q, e))
			return -1;
	return 0;
}

static int take_entry(struct snapshot_producer *q, const struct entry *en,
		      struct err *e)
{
	while (!snapshot_ahead_has_room(q->ahead, en))
		if (take_next(q, e))
			return -1;
	return snapshot_ahead_take(q->ahead, en, e);
}

/* A damaged node of the parent only makes us read what it held. */
static void next_of_parent(struct snapshot_producer *q)
{
	struct err why;
	int got;

	assert(q->parent);
	do {
		why = (struct err){ 0 };
		got = tree_next(q->parent, &q->was, &q->was_content, &why);
		q->has_gap |= got < 0;
	} while (got < 0 && why.code == ERR_CORRUPT);
	q->has_was = got == 1;
}

/* Bring the parent's tree up to the path: true when it has that entry. */
static bool parent_has(struct snapshot_producer *q, const struct entry *en)
{
	int c;

	while (q->has_was) {
		c = entry_path_compare(q->was.path, q->was.path_len, en->path,
				       en->path_len);
		if (c >= 0)
			return c == 0;
		next_of_parent(q);
	}
	return false;
}

/* Whether everything that the parent's entry refers to is still there. */
static bool is_whole(struct snapshot_producer *q)
{
	struct err ignored = { 0 };

	if (writer_trusts_parent(q->p->writer))
		return true;
	for (size_t i = 0; q->was_content.level && i < q->was_content.n; i++)
		if (writer_has(q->p->writer, &q->was_content.v[i].id,
			       &ignored) != 1)
			return false;
	return content_walk(q->reader, &q->was_content, find_missing, q,
			    &ignored) == 0;
}

static bool is_unchanged(struct snapshot_producer *q, const struct entry *en)
{
	return entry_unchanged(&q->was, en) && is_whole(q);
}

/* As the parent has it, but for what stat told just now. */
static int keep_entry(struct snapshot_producer *q, const struct entry *en,
		      struct err *e)
{
	struct entry same = *en;

	if (take_all(q, e))
		return -1;
	same.target = q->was.target;
	same.target_len = q->was.target_len;
	same.xattrs = q->was.xattrs;
	same.xattr_count = q->was.xattr_count;
	same.flags |= q->was.flags & ENTRY_CHANGED;
	q->progress.bytes += en->size;
	if (en->type == ENTRY_FILE)
		q->progress.files++;
	tell_vanished(q, &same);
	return snapshot_send_entry(q, &same, &q->was_content, e);
}

/*
 * Whether the parent's entry is good also without a look at what it is of.
 * That its times were in doubt is of no account: the source does not go by
 * them.  Links are numbered by inodes, as far as that can be.
 */
static bool can_keep_unseen(struct snapshot_producer *q)
{
	const struct entry *was = &q->was;

	return !(was->flags & ENTRY_CHANGED) &&
	       (!(was->flags & ENTRY_HARD_LINK) ||
		was->link_group == was->inode) &&
	       is_whole(q);
}

/*
 * After a folder was kept: all below it, of which the source says that it is as
 * the parent has it.  Where the parent lacks something of it, the source goes
 * on to deliver it, and what was kept by then is passed over.
 */
static int keep_below(struct snapshot_producer *q, const struct entry *folder,
		      struct err *e)
{
	q->has_gap = false;
	next_of_parent(q);
	while (!q->has_gap && q->has_was &&
	       entry_path_within(q->was.path, q->was.path_len, folder->path,
				 folder->path_len)) {
		if (!can_keep_unseen(q))
			return 0;
		buf_clear(&q->kept_up_to);
		if (buf_add(&q->kept_up_to, q->was.path, q->was.path_len, e) ||
		    keep_entry(q, &q->was, e) || snapshot_bound_group(q, e))
			return -1;
		q->progress.entries++;
		q->kept_bytes += q->was.size;
		next_of_parent(q);
		if (snapshot_poll(q, e))
			return -1;
	}
	if (!q->has_gap)
		source_skip_below(q->source);
	return 0;
}

static bool was_kept(const struct snapshot_producer *q, const struct entry *en)
{
	return q->kept_up_to.len &&
	       entry_path_compare(en->path, en->path_len, q->kept_up_to.data,
				  q->kept_up_to.len) <= 0;
}

/* Also what lies below a folder was kept if what was kept last lies behind. */
static int pass_over(struct snapshot_producer *q, const struct entry *en,
		     struct err *e)
{
	q->kept_bytes -= en->size;
	if (en->type == ENTRY_FOLDER &&
	    !entry_path_within(q->kept_up_to.data, q->kept_up_to.len, en->path,
			       en->path_len) &&
	    source_same_below(q->source))
		source_skip_below(q->source);
	return snapshot_poll(q, e);
}

static int walk_entry(struct snapshot_producer *q, const struct entry *en,
		      struct err *e)
{
	if (!parent_has(q, en) || !is_unchanged(q, en))
		return take_entry(q, en, e);
	if (keep_entry(q, en, e))
		return -1;
	return source_same_below(q->source) ? keep_below(q, en, e) : 0;
}

static int walk(struct snapshot_producer *q, struct err *e)
{
	struct entry en;
	int got;

	if (q->parent)
		next_of_parent(q);
	while ((got = source_next(q->source, &en, e)) == 1) {
		if (was_kept(q, &en)) {
			if (pass_over(q, &en, e))
				return -1;
			continue;
		}
		q->progress.entries++;
		if (walk_entry(q, &en, e) || snapshot_bound_group(q, e) ||
		    snapshot_poll(q, e))
			return -1;
	}
	if (got < 0 || take_all(q, e) || snapshot_close_group(q, e))
		return -1;
	return snapshot_send_batch(q, e);
}

int snapshot_produce(struct snapshot_pipeline *p, struct source *source,
		     struct tree *parent, struct reader *reader,
		     uint64_t *ret_bytes_read, struct err *e)
{
	struct snapshot_producer q = {
		.p = p, .source = source, .parent = parent, .reader = reader
	};
	const uint8_t *cut_key = keys_cut(
		repository_keys(writer_repository(p->writer)), 0);
	int failed;

	if (!cut_key)
		return err_set(e, ERR_BAD_KEY, "the keyring lacks domain 0");
	q.blocks = source_features(source) & SOURCE_BLOCKS;
	buf_init(&q.vanished, ENTRY_PATH_MAX + 1);
	buf_init(&q.kept_up_to, ENTRY_PATH_MAX + 1);
	failed = cut_new(cut_key, SNAPSHOT_CHUNK_MIN, SNAPSHOT_CHUNK_AIM,
			 SNAPSHOT_CHUNK_MAX, &q.cutter, e) ||
		 snapshot_small_new(p->options->scratch, &q.small, e) ||
		 snapshot_ahead_new(source, cut_key, &q.ahead, e) ||
		 walk(&q, e);
	*ret_bytes_read = q.progress.bytes_read;
	if (q.group)
		snapshot_job_unref(p, q.group);
	snapshot_ahead_free(q.ahead);
	snapshot_batch_free(p, q.batch);
	cut_free(q.cutter);
	snapshot_small_free(q.small);
	filemap_free(q.links);
	buf_done(&q.vanished);
	buf_done(&q.kept_up_to);
	if (q.window)
		explicit_bzero(q.window, q.window_dirty);
	free(q.window);
	return failed ? -1 : 0;
}

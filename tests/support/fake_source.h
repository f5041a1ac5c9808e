/*
 * A source whose entries a test makes up: times, holes at any byte, files
 * that end in whatever state, errors.
 */
#ifndef TESTS_SUPPORT_FAKE_SOURCE_H
#define TESTS_SUPPORT_FAKE_SOURCE_H

#include <stdlib.h>
#include <string.h>

#include "storage/sources/source.h"

struct fake_entry {
	struct entry entry; /* as a walk tells it; sizes as delivered */
	uint8_t fill;	    /* every byte of its data … */
	uint64_t stamp;	    /* … but of the first eight: this; 0: those too */
	uint64_t turn; /* data and holes take turns of this length; 0: all data
			*/
	bool hole_first;
	bool gone; /* describe says so */
	enum source_state state;
	int error; /* of read: an enum err_code that ends the walk */
};

/* The byte at offset of the file's content. */
static inline uint8_t fake_byte(const struct fake_entry *f, uint64_t offset)
{
	if (f->turn && (offset / f->turn + f->hole_first) % 2)
		return 0;
	if (f->stamp && offset < sizeof(f->stamp))
		return (uint8_t)(f->stamp >> (8 * offset));
	return f->fill;
}

struct fake_source {
	struct source base;
	const struct fake_entry *v;
	size_t n;
	size_t next;
	bool rooted;		/* "/" was delivered, which v may leave out */
	_Atomic uint64_t reads; /* bytes of data that were asked for */
	const char *same; /* the folder below which all is as it was; or NULL */
	size_t delivered;
	/* Called before each entry is delivered.  May be NULL. */
	void (*before)(void *arg, size_t i);
	void *arg;
};

struct fake_handle {
	struct source_handle base;
	const struct fake_entry *en;
	uint64_t offset;
};

static inline struct fake_source *fake_of(struct source *s)
{
	return (struct fake_source *)s;
}

static inline void fake_close(struct source *s)
{
	(void)s;
}

static inline unsigned int fake_features(const struct source *s)
{
	(void)s;
	return 0;
}

static const struct fake_entry fake_root = {
	.entry = { .path = "/", .path_len = 1, .type = ENTRY_FOLDER }
};

static inline int fake_next(struct source *s, struct entry *ret, struct err *e)
{
	struct fake_source *f = fake_of(s);

	(void)e;
	if (f->next == f->n)
		return 0;
	f->delivered++;
	if (!f->rooted && f->v[0].entry.path_len > 1) {
		f->rooted = true;
		*ret = fake_root.entry;
		return 1;
	}
	if (f->before)
		f->before(f->arg, f->next);
	*ret = f->v[f->next++].entry;
	ret->target = NULL;
	ret->xattrs = NULL;
	ret->xattr_count = 0;
	return 1;
}

static inline bool fake_same_below(const struct source *s)
{
	const struct fake_source *f = (const struct fake_source *)s;

	return f->same && f->next &&
	       strcmp(f->v[f->next - 1].entry.path, f->same) == 0;
}

static inline void fake_skip_below(struct source *s)
{
	struct fake_source *f = fake_of(s);

	while (f->next < f->n && entry_path_within(f->v[f->next].entry.path,
						   f->v[f->next].entry.path_len,
						   f->same, strlen(f->same)))
		f->next++;
}

static inline int fake_take(struct source *s, struct source_handle **ret,
			    struct err *e)
{
	struct fake_handle *h = calloc(1, sizeof(*h));

	if (!h)
		return err_oom(e);
	h->base.source = s;
	h->en = fake_of(s)->next ? &fake_of(s)->v[fake_of(s)->next - 1]
				 : &fake_root;
	*ret = &h->base;
	return 0;
}

static inline int fake_describe(struct source_handle *h, struct entry *en,
				struct err *e)
{
	const struct fake_entry *f = ((struct fake_handle *)h)->en;
	const struct entry given = *en;

	(void)e;
	if (f->gone)
		return 0;
	*en = f->entry;
	en->path = given.path;
	en->owned = given.owned;
	return 1;
}

static inline int fake_read(struct source_handle *handle, void *out, size_t n,
			    struct source_extent *ret, struct err *e)
{
	struct fake_handle *h = (struct fake_handle *)handle;
	const struct fake_entry *f = h->en;
	const uint64_t left = f->entry.size - h->offset;
	uint64_t len = left;

	if (f->error)
		return err_set(e, (enum err_code)f->error, "made up");
	if (left == 0)
		return 0;
	ret->hole = false;
	if (f->turn) {
		const uint64_t turn = h->offset / f->turn;

		ret->hole = (turn + f->hole_first) % 2;
		len = (turn + 1) * f->turn - h->offset;
		len = len < left ? len : left;
	}
	if (!ret->hole) {
		len = len < n ? len : n;
		memset(out, f->fill, (size_t)len);
		for (uint64_t i = 0; i < len && h->offset + i < 8; i++)
			((uint8_t *)out)[i] = fake_byte(f, h->offset + i);
		fake_of(handle->source)->reads += len;
	}
	h->offset += len;
	ret->len = len;
	return 1;
}

static inline enum source_state fake_finish(struct source_handle *handle,
					    struct entry *en)
{
	const struct fake_entry *f = ((struct fake_handle *)handle)->en;

	if (f->gone)
		return f->state == SOURCE_FAILED ? SOURCE_FAILED
						 : SOURCE_VANISHED;
	if (f->state == SOURCE_CHANGED || f->state == SOURCE_GREW ||
	    f->state == SOURCE_SHRANK)
		en->flags |= ENTRY_CHANGED;
	return f->state;
}

static inline void fake_release(struct source_handle *h)
{
	free(h);
}

static inline void fake_progress(const struct source *s,
				 struct source_progress *ret)
{
	(void)s;
	*ret = (struct source_progress){ .all_found = true };
}

static const struct source_ops fake_ops = {
	.type = "fake",
	.close = fake_close,
	.features = fake_features,
	.next = fake_next,
	.same_below = fake_same_below,
	.skip_below = fake_skip_below,
	.take = fake_take,
	.describe = fake_describe,
	.read = fake_read,
	.finish = fake_finish,
	.release = fake_release,
	.progress = fake_progress,
};

static inline struct fake_source fake_source_of(const struct fake_entry *v,
						size_t n)
{
	return (struct fake_source){ .base = { .ops = &fake_ops },
				     .v = v,
				     .n = n };
}

/* An entry of some inode; ctime and mtime at that second. */
static inline struct fake_entry fake_entry(const char *path,
					   enum entry_type type, uint64_t size,
					   int64_t sec)
{
	return (struct fake_entry){ .entry = { .path = path,
					       .path_len = strlen(path),
					       .type = type,
					       .mode = 0600,
					       .mtime = { .sec = sec },
					       .ctime = { .sec = sec },
					       .inode = 7,
					       .size = size },
				    .fill = 'x' };
}

#endif

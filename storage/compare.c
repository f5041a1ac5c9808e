#include "storage/compare.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/filemap.h"
#include "storage/compare_stream.h"
#include "storage/repository/tree.h"
#include "storage/sources/files.h"

#define CACHE_BYTES (4U << 20)
/* Sealed chunks that come ahead, where a request takes long. */
#define AHEAD_BYTES ((size_t)32 << 20)
/* Of a mode: what only root, or a group's member, gives back. */
#define SET_ID_BITS 06000U

struct compare {
	const struct compare_options *o;
	struct compare_result result;
	size_t prefix; /* bytes of the folder's path */
	bool reported; /* the source could not read something */

	struct tree *tree;
	struct entry want;
	struct content content;
	bool has_want;

	struct source *source;
	struct entry got; /* its path is the one below the folder */
	bool has_got;

	struct compare_stream stream;
	/* Hard links: the group of one side for that of the other. */
	struct filemap *to_got;
	struct filemap *to_want;
};

static void compare_done(struct compare *c)
{
	tree_close(c->tree);
	source_close(c->source);
	reader_free(c->stream.nodes);
	reader_free(c->stream.data);
	ahead_free(c->stream.ahead);
	filemap_free(c->to_got);
	filemap_free(c->to_want);
	free(c->stream.bytes);
}
static inline void cleanup_compare_done(struct compare *c)
{
	compare_done(c);
}

static void note(struct compare *c, const struct entry *en, const char *message)
{
	c->result.differences++;
	if (c->o->differs)
		c->o->differs(c->o->arg, en->path, en->path_len, message);
}

static int poll_outside(const struct compare *c, struct err *e)
{
	if (!c->o->cancel || !atomic_load(c->o->cancel))
		return 0;
	return err_set(e, ERR_INTERRUPTED, "asked to stop");
}

/* ---- Both sides --------------------------------------------------------- */

/* What the walk cannot read is told by the entry's own comparison, or here
 * when it is a folder that cannot be listed. */
static void on_report(void *arg, const char *path, size_t len,
		      const char *message)
{
	struct compare *c = (struct compare *)arg;
	struct entry en = { .path = path, .path_len = len };

	if (len > c->prefix) {
		en.path += c->prefix;
		en.path_len -= c->prefix;
	}
	c->reported = true;
	note(c, &en, message);
}

static int next_want(struct compare *c, struct err *e)
{
	struct err why = { 0 };
	struct entry lost = { 0 };
	int got;

	if (c->has_want && c->want.type == ENTRY_FILE)
		c->stream.position += c->want.size;
	while ((got = tree_next(c->tree, &c->want, &c->content, &why)) < 0) {
		if (why.code != ERR_CORRUPT) {
			*e = why;
			return -1;
		}
		lost.path = tree_lost(c->tree, &lost.path_len);
		note(c, &lost, why.text);
	}
	c->has_want = got == 1;
	c->result.entries += c->has_want;
	ahead_reached(c->stream.ahead, c->stream.position);
	return 0;
}

/* Skips the folders that lead to ours. */
static int next_got(struct compare *c, struct err *e)
{
	int got;

	c->has_got = false;
	while (c->source && (got = source_next(c->source, &c->got, e)) != 0) {
		if (got < 0)
			return -1;
		if (c->got.path_len < c->prefix ||
		    !entry_path_within(c->got.path, c->got.path_len,
				       c->o->folder, c->prefix))
			continue;
		c->has_got = true;
		return 0;
	}
	return 0;
}

/* The path within the folder. */
static struct entry below(const struct compare *c)
{
	struct entry en = c->got;

	en.path += c->prefix;
	en.path_len -= c->prefix;
	if (en.path_len == 0) {
		en.path = "/";
		en.path_len = 1;
	}
	return en;
}

/* ---- Content ------------------------------------------------------------ */

/* Whether the file's bytes are the snapshot's: 1, 0 with why, -1. */
static int same_content(struct compare *c, struct source_handle *h, char *why,
			size_t why_size, struct err *e)
{
	struct err own = { 0 };
	const int same = compare_stream_same(&c->stream, h, &c->content, &own);

	(void)snprintf(why, why_size, "content");
	if (same >= 0)
		return same;
	/* Damage is a finding about this entry; all else ends it. */
	if (own.code != ERR_CORRUPT) {
		*e = own;
		return -1;
	}
	(void)snprintf(why, why_size, "%s", own.text);
	return 0;
}

/* ---- Hard links --------------------------------------------------------- */

/* Whether from always meant to: 1, 0, -1. */
static int pair(struct filemap **m, const char *scratch, uint64_t from,
		uint64_t to, struct err *e)
{
	void *value;
	int is_new;

	if (!*m &&
	    filemap_new(m, scratch, sizeof(uint64_t), sizeof(uint64_t), e))
		return -1;
	is_new = filemap_add(*m, &from, &value, e);
	if (is_new < 0)
		return -1;
	if (is_new)
		memcpy(value, &to, sizeof(to));
	return memcmp(value, &to, sizeof(to)) == 0 && (is_new || to != 0);
}

/*
 * Names of one inode there are names of one inode here, and the reverse.  A
 * group of which one name alone is in the snapshot is no group here (0).
 */
static int same_links(struct compare *c, const struct entry *want,
		      const struct entry *got, struct err *e)
{
	const bool here = got->flags & ENTRY_HARD_LINK;
	int same;

	if (!(want->flags & ENTRY_HARD_LINK))
		return !here;
	same = pair(&c->to_got, c->o->scratch, want->link_group,
		    here ? got->link_group : 0, e);
	if (same != 1 || !here)
		return same;
	return pair(&c->to_want, c->o->scratch, got->link_group,
		    want->link_group, e);
}

/* ---- One entry ---------------------------------------------------------- */

struct verdict {
	char text[sizeof(((struct err *)0)->text) + 64];
	bool excused;
};

static void differ(struct verdict *v, const char *what)
{
	const size_t n = strlen(v->text);

	(void)snprintf(v->text + n, sizeof(v->text) - n, "%s%s", n ? ", " : "",
		       what);
}

static bool same_xattr(const struct entry_xattr *a, const struct entry_xattr *b)
{
	return strcmp(a->name, b->name) == 0 && a->value_len == b->value_len &&
	       (a->value_len == 0 ||
		memcmp(a->value, b->value, a->value_len) == 0);
}

static bool takes_root(const struct entry_xattr *x)
{
	return strncmp(x->name, "security.", 9) == 0 ||
	       strncmp(x->name, "trusted.", 8) == 0;
}

static void compare_xattrs(const struct compare *c, const struct entry *want,
			   const struct entry *got, struct verdict *v)
{
	size_t j = 0;

	for (size_t i = 0; i < want->xattr_count; i++) {
		if (j < got->xattr_count &&
		    same_xattr(&want->xattrs[i], &got->xattrs[j])) {
			j++;
		} else if (c->o->unprivileged && takes_root(&want->xattrs[i])) {
			v->excused = true;
		} else {
			differ(v, "xattrs");
			return;
		}
	}
	if (j < got->xattr_count)
		differ(v, "xattrs");
}

static void compare_mode(const struct compare *c, const struct entry *want,
			 const struct entry *got, struct verdict *v)
{
	if (want->type == ENTRY_SYMLINK || want->mode == got->mode)
		return;
	if (c->o->unprivileged && (want->mode & SET_ID_BITS) &&
	    (want->mode & ~SET_ID_BITS) == got->mode)
		v->excused = true;
	else
		differ(v, "mode");
}

static void compare_fields(const struct compare *c, const struct entry *want,
			   const struct entry *got, struct verdict *v)
{
	compare_mode(c, want, got, v);
	if (want->uid != got->uid || want->gid != got->gid) {
		if (c->o->unprivileged)
			v->excused = true;
		else
			differ(v, "owner");
	}
	if (instant_compare(want->mtime, got->mtime) != 0)
		differ(v, "mtime");
	if (want->target_len != got->target_len ||
	    (want->target_len &&
	     memcmp(want->target, got->target, want->target_len) != 0))
		differ(v, "target");
	if (want->device_major != got->device_major ||
	    want->device_minor != got->device_minor)
		differ(v, "device");
	compare_xattrs(c, want, got, v);
}

static int compare_file(struct compare *c, struct source_handle *h,
			const struct entry *got, struct verdict *v,
			struct err *e)
{
	const int links = same_links(c, &c->want, got, e);
	char why[sizeof(((struct err *)0)->text)];
	int same;

	if (links < 0)
		return -1;
	if (!links)
		differ(v, "links");
	if (c->want.size != got->size) {
		differ(v, "size");
		return 0;
	}
	same = same_content(c, h, why, sizeof(why), e);
	if (same < 0)
		return -1;
	if (!same)
		differ(v, why);
	return 0;
}

/* Both sides have it. */
static int compare_entry(struct compare *c, struct err *e)
{
	CLEANUP(source_release) struct source_handle *h = NULL;
	struct verdict v = { .text = "" };
	struct entry got = c->got;
	int there;

	if (c->want.type != got.type) {
		note(c, &c->want, "type");
		return 0;
	}
	if (source_take(c->source, &h, e))
		return -1;
	c->reported = false;
	there = source_describe(h, &got, e);
	if (there < 0)
		return -1;
	if (there) {
		compare_fields(c, &c->want, &got, &v);
		if (got.type == ENTRY_FILE) {
			if (compare_file(c, h, &got, &v, e))
				return -1;
			c->result.files++;
		}
	}
	if (!there) {
		/* It reports why, but for what is gone. */
		differ(&v, source_finish(h, &got) == SOURCE_VANISHED
				   ? "vanished"
				   : "cannot be read");
	} else if (got.type == ENTRY_FILE) {
		/* Also of one that differs: its end may be where it could not
		 * be read. */
		const enum source_state state = source_finish(h, &got);

		if (state != SOURCE_OK && !v.text[0])
			differ(&v, "changed while it was read");
	}
	if (v.text[0] && !c->reported)
		note(c, &c->want, v.text);
	else if (!c->reported)
		c->result.excused += v.excused;
	return 0;
}

static void compare_missing(struct compare *c)
{
	if (c->o->unprivileged &&
	    (c->want.type == ENTRY_CHARACTER || c->want.type == ENTRY_BLOCK))
		c->result.excused++;
	else
		note(c, &c->want, "missing");
}

/* ---- The merge ---------------------------------------------------------- */

/* <0: only the snapshot has its next entry; >0: only the folder. */
static int order(const struct compare *c)
{
	struct entry got;

	if (!c->has_got)
		return -1;
	if (!c->has_want)
		return 1;
	got = below(c);
	return entry_path_compare(c->want.path, c->want.path_len, got.path,
				  got.path_len);
}

static int step(struct compare *c, struct err *e)
{
	const int side = order(c);
	struct entry extra;

	if (side > 0) {
		extra = below(c);
		if (!c->o->shared)
			note(c, &extra, "not in the snapshot");
		return next_got(c, e);
	}
	if (side < 0)
		compare_missing(c);
	else if (!(c->o->later && c->want.path_len == 1) && compare_entry(c, e))
		return -1;
	if (side == 0 && next_got(c, e))
		return -1;
	return next_want(c, e);
}

/* ---- Opening ------------------------------------------------------------ */

/* What the snapshot covers, as it lies in the folder now. */
struct paths {
	char **v;
	size_t n;
};

static void paths_done(struct paths *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->v[i]);
	free(p->v);
}
static inline void cleanup_paths_done(struct paths *p)
{
	paths_done(p);
}

static int paths_fill(struct paths *p, const struct manifest *m,
		      const char *folder, struct err *e)
{
	struct stat st;

	p->v = calloc(m->paths.n + 1, sizeof(*p->v));
	if (!p->v)
		return err_oom(e);
	for (size_t i = 0; i < m->paths.n; i++) {
		const struct manifest_bytes *b = &m->paths.v[i];
		char *path;

		/* One with ".." would lead out of the folder. */
		if (!entry_path_valid(b->data, b->len))
			continue;
		if (asprintf(&path, "%s%.*s", folder, (int)b->len,
			     (const char *)b->data) < 0)
			return err_oom(e);
		/* What cannot be looked at the walk tells of. */
		if (lstat(path, &st) == 0 ||
		    (errno != ENOENT && errno != ENOTDIR))
			p->v[p->n++] = path;
		else
			free(path); /* found missing by the merge */
	}
	return 0;
}

static int open_source(struct compare *c, const struct manifest *m,
		       struct err *e)
{
	CLEANUP(paths_done) struct paths paths = { 0 };
	struct files_options options = {
		.report = on_report,
		.report_arg = c,
		.temporary = c->o->scratch,
		/* This thread alone touches what on_report() does. */
		.threads = 1,
	};

	if (paths_fill(&paths, m, c->o->folder, e))
		return -1;
	/* The cleanup frees paths; clang-tidy 14 misses those of structs. */
	if (paths.n == 0)
		return 0; // NOLINT(clang-analyzer-unix.Malloc)
	options.paths = (const char *const *)paths.v;
	options.path_count = paths.n;
	return files_open(&options, &c->source, e);
}

static int open_tree(struct compare *c, struct repository *r,
		     const struct manifest *m, struct err *e)
{
	const struct ahead_work all = { .bytes = AHEAD_BYTES,
					.tree = &m->tree };

	c->stream.bytes = malloc(COMPARE_STREAM_BYTES);
	c->stream.cancel = c->o->cancel;
	if (!c->stream.bytes)
		return err_oom(e);
	if (reader_new(r, CACHE_BYTES, &c->stream.nodes, e) ||
	    reader_new(r, CACHE_BYTES, &c->stream.data, e))
		return -1;
	reader_verify_ids(c->stream.nodes, true);
	reader_verify_ids(c->stream.data, true);
	c->stream.ahead = ahead_start(r, &all);
	reader_take_from(c->stream.data, ahead_prefetch(c->stream.ahead));
	return tree_open(c->stream.nodes, &m->tree, NULL, &c->tree, e);
}

int compare_run(struct repository *r, const struct manifest *m,
		const struct compare_options *o, struct compare_result *ret,
		struct err *e)
{
	CLEANUP(compare_done)
	struct compare c = { .o = o, .prefix = strlen(o->folder) };

	assert(c.prefix > 1 && o->folder[0] == '/' &&
	       o->folder[c.prefix - 1] != '/');
	if (open_tree(&c, r, m, e) || open_source(&c, m, e) ||
	    next_want(&c, e) || next_got(&c, e))
		return -1;
	while (c.has_want || c.has_got)
		if (poll_outside(&c, e) || step(&c, e))
			return -1;
	c.result.bytes = c.stream.compared;
	*ret = c.result;
	return 0;
}

#include "storage/diff_live.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"
#include "storage/compare_stream.h"
#include "storage/diff_internal.h"
#include "storage/repository/tree.h"
#include "storage/sources/exclude.h"

#define CACHE_BYTES (4U << 20)

struct live {
	const struct diff_live_options *o;
	diff_visit *visit;
	void *arg;

	struct compare_stream stream; /* with both readers */
	struct reader *wholes;	      /* chunks for diff_read() */
	struct tree *tree;
	struct entry was;
	struct content content;
	bool has_was;

	char **paths; /* the snapshot's */
	size_t n_paths;
	struct exclude *patterns;
	struct exclude_scope scope;

	struct source *source; /* NULL: nothing of it is there any more */
	struct entry is;       /* as the walk delivered it */
	bool has_is;

	/* Of the entry that is looked at: why it cannot be had. */
	char message[300];
	/* What the walk had to leave out on its way to `is`: "path\0message\0",
	 * again and again. */
	struct buf lost;
	bool walking;
};

static void live_done(struct live *x)
{
	source_close(x->source);
	tree_close(x->tree);
	reader_free(x->stream.nodes);
	reader_free(x->stream.data);
	reader_free(x->wholes);
	free(x->stream.bytes);
	for (size_t i = 0; i < x->n_paths; i++)
		free(x->paths[i]);
	free(x->paths);
	exclude_free(x->patterns);
	buf_done(&x->lost);
}
static inline void cleanup_live_done(struct live *x)
{
	live_done(x);
}

static int poll_outside(const struct live *x, struct err *e)
{
	if (!x->o->cancel || !atomic_load(x->o->cancel))
		return 0;
	return err_set(e, ERR_INTERRUPTED, "asked to stop");
}

/* ---- What cannot be read ------------------------------------------------ */

/* More than this in one folder are not told one by one. */
#define LOST_MAX ((size_t)16 << 20)

/* One thread alone walks, and reads: this one. */
static void on_report(void *arg, const char *path, size_t len,
		      const char *message)
{
	struct live *x = (struct live *)arg;
	const size_t before = x->lost.len;
	struct err ignored;

	if (!x->walking)
		(void)snprintf(x->message, sizeof(x->message), "%s", message);
	else if (buf_add(&x->lost, path, len, &ignored) ||
		 buf_add_byte(&x->lost, 0, &ignored) ||
		 buf_add(&x->lost, message, strlen(message) + 1, &ignored))
		x->lost.len = before;
}

static int tell_unreadable(struct live *x, const struct entry *before,
			   const struct entry *after, const char *message,
			   struct err *e)
{
	const struct diff_change c = { .before = before,
				       .after = after,
				       .unreadable = message };

	return x->visit(x->arg, &c, e);
}

/* Folders that cannot be listed, mostly. */
static int tell_lost(struct live *x, struct err *e)
{
	const char *at = buf_str(&x->lost);
	const char *end = at + x->lost.len;

	while (at < end) {
		const struct entry en = { .path = at,
					  .path_len = strlen(at),
					  .type = ENTRY_FOLDER };
		const char *message = at + en.path_len + 1;

		if (tell_unreadable(x, NULL, &en, message, e))
			return -1;
		at = message + strlen(message) + 1;
	}
	return 0;
}

/* Whether the walk would have found it in something that it left out. */
static bool is_lost(const struct live *x, const struct entry *en)
{
	const char *at = buf_str(&x->lost);
	const char *end = at + x->lost.len;

	while (at < end) {
		const size_t n = strlen(at);

		if (entry_path_within(en->path, en->path_len, at, n))
			return true;
		at += n + 1;
		at += strlen(at) + 1;
	}
	return false;
}

/* ---- Both sides --------------------------------------------------------- */

static int next_was(struct live *x, struct err *e)
{
	const int got = tree_next(x->tree, &x->was, &x->content, e);

	x->has_was = got == 1;
	return got < 0 ? -1 : 0;
}

static int next_is(struct live *x, struct err *e)
{
	int got;

	x->has_is = false;
	buf_clear(&x->lost);
	if (!x->source)
		return 0;
	x->walking = true;
	got = source_next(x->source, &x->is, e);
	x->walking = false;
	x->has_is = got == 1;
	return got < 0 ? -1 : tell_lost(x, e);
}

/* All that a file holds now; 0 when that cannot be had. */
static int read_now(struct live *x, struct buf *out, struct err *e)
{
	CLEANUP(source_release) struct source_handle *h = NULL;
	struct source_extent extent;
	struct entry en = x->is;
	int got;

	if (source_take(x->source, &h, e))
		return -1;
	got = source_describe(h, &en, e);
	if (got != 1)
		return got;
	while ((got = source_read(h, x->stream.bytes, COMPARE_STREAM_BYTES,
				  &extent, e)) == 1) {
		/* It may have grown since it was listed. */
		if (extent.len > DIFF_READ_MAX - out->len)
			return 0;
		if (extent.hole ? buf_add_zeros(out, (size_t)extent.len, e)
				: buf_add(out, x->stream.bytes,
					  (size_t)extent.len, e))
			return -1;
	}
	if (got < 0)
		return -1;
	return source_state_recorded(source_finish(h, &en));
}

static int read_side(void *arg, bool after, struct buf *out, struct err *e)
{
	struct live *x = (struct live *)arg;

	if (after)
		return read_now(x, out, e);
	return diff_whole(x->stream.nodes, x->wholes, &x->content, out, e) < 0
		       ? -1
		       : 1;
}

static int tell(struct live *x, const struct entry *before,
		const struct entry *after, unsigned int aspects, struct err *e)
{
	const struct diff_change c = { .before = before,
				       .after = after,
				       .aspects = aspects,
				       .read = read_side,
				       .read_arg = x };

	return x->visit(x->arg, &c, e);
}

/* ---- One entry ---------------------------------------------------------- */

/*
 * Look closely at what the walk delivered.  1; 0 when it was told to be
 * unreadable, or is gone, and then *ret_gone; -1.
 */
static int describe(struct live *x, struct source_handle *h,
		    const struct entry *before, struct entry *is,
		    bool *ret_gone, struct err *e)
{
	int got;

	x->message[0] = '\0';
	*ret_gone = false;
	got = source_describe(h, is, e);
	if (got < 0)
		return -1;
	if (got == 0 && source_finish(h, is) == SOURCE_VANISHED) {
		*ret_gone = true;
		return 0;
	}
	/* Also of one of which an attribute alone cannot be read. */
	if (x->message[0] && tell_unreadable(x, before, &x->is, x->message, e))
		return -1;
	return got;
}

static int tell_added(struct live *x, struct err *e)
{
	CLEANUP(source_release) struct source_handle *h = NULL;
	struct entry is = x->is;
	bool gone;
	int got;

	if (source_take(x->source, &h, e))
		return -1;
	got = describe(x, h, NULL, &is, &gone, e);
	return got == 1 ? tell(x, NULL, &is, 0, e) : got;
}

/* A folder above a path that is gone is not walked, and may be there. */
static bool is_above_path(const struct live *x, const struct entry *en)
{
	char path[4096];
	struct stat st;

	if (en->type != ENTRY_FOLDER || en->path_len >= sizeof(path))
		return false;
	memcpy(path, en->path, en->path_len);
	path[en->path_len] = '\0';
	for (size_t i = 0; i < x->n_paths; i++) {
		const size_t n = strlen(x->paths[i]);

		if (n > en->path_len &&
		    entry_path_within(x->paths[i], n, path, en->path_len))
			return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
	}
	return false;
}

static int tell_removed(struct live *x, struct err *e)
{
	if (is_lost(x, &x->was) || is_above_path(x, &x->was))
		return 0;
	return tell(x, &x->was, NULL, 0, e);
}

/* What a file holds, in the handle that was described. */
static int file_differs(struct live *x, struct source_handle *h,
			const struct entry *is, struct err *e)
{
	int same;

	if (x->was.size != is->size)
		return 1;
	same = compare_stream_same(&x->stream, h, &x->content, e);
	return same < 0 ? -1 : !same;
}

static int compare_described(struct live *x, struct source_handle *h,
			     struct entry *is, struct err *e)
{
	unsigned int aspects = diff_aspects(&x->was, is);
	int differs = 0;

	if (is->type == ENTRY_FILE && x->was.type == ENTRY_FILE) {
		differs = file_differs(x, h, is, e);
		if (differs < 0)
			return -1;
		/* One that cannot be read to its end is not what it was, nor
		 * known to be anything else. */
		if (differs && x->was.size == is->size &&
		    source_finish(h, is) == SOURCE_FAILED)
			return tell_unreadable(x, &x->was, &x->is, x->message,
					       e);
	}
	if (differs)
		aspects |= DIFF_CONTENT;
	return aspects ? tell(x, &x->was, is, aspects, e) : 0;
}

static int compare_entry(struct live *x, struct err *e)
{
	CLEANUP(source_release) struct source_handle *h = NULL;
	struct entry is = x->is;
	bool gone;
	int got;

	if (entry_unchanged(&x->was, &is))
		return 0;
	if (source_take(x->source, &h, e))
		return -1;
	got = describe(x, h, &x->was, &is, &gone, e);
	if (got == 1)
		return compare_described(x, h, &is, e);
	return gone ? tell(x, &x->was, NULL, 0, e) : got;
}

/* ---- The merge ---------------------------------------------------------- */

static int step(struct live *x, struct err *e)
{
	int order = x->has_was ? -1 : 1;

	if (x->has_was && x->has_is)
		order = entry_path_compare(x->was.path, x->was.path_len,
					   x->is.path, x->is.path_len);
	if (order < 0)
		return tell_removed(x, e) || next_was(x, e) ? -1 : 0;
	if (order > 0)
		return tell_added(x, e) || next_is(x, e) ? -1 : 0;
	return compare_entry(x, e) || next_was(x, e) || next_is(x, e) ? -1 : 0;
}

/* ---- Opening ------------------------------------------------------------ */

static int open_tree(struct live *x, struct repository *r,
		     const struct manifest *m, struct err *e)
{
	x->stream.cancel = x->o->cancel;
	x->stream.bytes = malloc(COMPARE_STREAM_BYTES);
	if (!x->stream.bytes)
		return err_oom(e);
	return reader_new(r, CACHE_BYTES, &x->stream.nodes, e) ||
			       reader_new(r, CACHE_BYTES, &x->stream.data, e) ||
			       reader_new(r, CACHE_BYTES, &x->wholes, e) ||
			       tree_open(x->stream.nodes, &m->tree, &m->hints,
					 &x->tree, e)
		       ? -1
		       : 0;
}

/* What the snapshot says that a path of its own was. */
static int type_in_tree(struct live *x, const char *path,
			enum entry_type *ret_type, struct err *e)
{
	const size_t n = strlen(path);
	struct content content;
	struct entry en;
	int got;

	*ret_type = ENTRY_TYPE_END;
	if (tree_seek(x->tree, path, n, e))
		return -1;
	got = tree_next(x->tree, &en, &content, e);
	if (got == 1 && entry_path_compare(en.path, en.path_len, path, n) == 0)
		*ret_type = en.type;
	return got < 0 ? -1 : 0;
}

/*
 * The paths that are there, for the walk.  What was reached through a symlink
 * was named with a slash at its end, which the manifest does not have.
 */
static int paths_now(struct live *x, char **ret, size_t *ret_n, struct err *e)
{
	for (size_t i = 0; i < x->n_paths; i++) {
		enum entry_type type;
		struct stat st;

		if (lstat(x->paths[i], &st) != 0) {
			if (errno == ENOENT || errno == ENOTDIR)
				continue;
			return err_sys(e, "cannot look at %s",
				       text_quote_str(x->paths[i]).s);
		}
		if (type_in_tree(x, x->paths[i], &type, e))
			return -1;
		if (asprintf(&ret[*ret_n], "%s%s", x->paths[i],
			     S_ISLNK(st.st_mode) && type == ENTRY_FOLDER
				     ? "/"
				     : "") < 0)
			return err_oom(e);
		++*ret_n;
	}
	return tree_seek(x->tree, "/", 1, e);
}

static int read_manifest(struct live *x, const struct manifest *m,
			 struct err *e)
{
	x->paths = calloc(m->paths.n + 1, sizeof(*x->paths));
	if (!x->paths)
		return err_oom(e);
	for (size_t i = 0; i < m->paths.n; i++) {
		const struct manifest_bytes *b = &m->paths.v[i];

		x->paths[x->n_paths] = strndup((const char *)b->data, b->len);
		if (!x->paths[x->n_paths])
			return err_oom(e);
		x->n_paths++;
	}
	if (exclude_new(&x->patterns, e))
		return -1;
	for (size_t i = 0; i < m->excludes.n; i++) {
		const struct manifest_bytes *b = &m->excludes.v[i];
		char pattern[EXCLUDE_PATTERN_MAX + 1];

		(void)snprintf(pattern, sizeof(pattern), "%.*s", (int)b->len,
			       (const char *)b->data);
		if (exclude_add(x->patterns, pattern, e))
			return -1;
	}
	x->scope = (struct exclude_scope){
		.set = x->patterns,
		.roots = (const char *const *)x->paths,
		.root_count = x->n_paths,
	};
	return 0;
}

static int open_source(struct live *x, struct err *e)
{
	struct files_options o = {
		.excluded = exclude_empty(x->patterns) ? NULL : exclude_below,
		.excluded_arg = &x->scope,
		.exclude_caches = x->o->exclude_caches,
		.cross_file_systems = x->o->cross_file_systems,
		.skip = x->o->skip,
		.skip_count = x->o->skip_count,
		.report = on_report,
		.report_arg = x,
		/* This thread alone touches what on_report() does. */
		.threads = 1,
	};
	char **paths = calloc(x->n_paths + 1, sizeof(*paths));
	size_t n = 0;
	int failed;

	if (!paths)
		return err_oom(e);
	failed = paths_now(x, paths, &n, e);
	o.paths = (const char *const *)paths;
	o.path_count = n;
	if (!failed && n)
		failed = files_open(&o, &x->source, e);
	for (size_t i = 0; i < n; i++)
		free(paths[i]);
	free(paths);
	return failed ? -1 : 0;
}

int diff_live(struct repository *r, const struct manifest *m,
	      const struct diff_live_options *o, diff_visit *visit, void *arg,
	      struct err *e)
{
	CLEANUP(live_done)
	struct live x = { .o = o, .visit = visit, .arg = arg };

	buf_init(&x.lost, LOST_MAX);
	if (strcmp(m->type, "files") != 0)
		return err_set(e, ERR_USAGE,
			       "the snapshot is of type %s: only what is of "
			       "type files can be compared with this machine",
			       text_quote_str(m->type).s);
	/* The cleanup frees paths; clang-tidy 14 misses those of structs. */
	if (open_tree(&x, r, m, e) || read_manifest(&x, m, e) ||
	    open_source(&x, e) || next_was(&x, e) || next_is(&x, e))
		return -1; // NOLINT(clang-analyzer-unix.Malloc)
	while (x.has_was || x.has_is)
		if (poll_outside(&x, e) || step(&x, e))
			return -1;
	return 0;
}

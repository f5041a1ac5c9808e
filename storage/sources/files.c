#include "storage/sources/files.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "storage/sources/files_internal.h"

/* A folder that the walk is in. */
struct files_level {
	struct files_list *list; /* a reference */
	size_t next;		 /* record */
	size_t path_len;	 /* of the folder, in files.path */
};

static struct files *files_of(struct source *s)
{
	return (struct files *)(void *)s;
}

static void report(const struct files *f, size_t path_len, const char *doing,
		   int sys)
{
	char message[300];

	if (!f->options.report)
		return;
	(void)snprintf(message, sizeof(message), "%s: %s", doing,
		       err_errno_text(sys));
	f->options.report(f->options.report_arg, buf_str(&f->path), path_len,
			  message);
}

/* What was named is never left out in silence. */
static void report_skipped(const struct files *f)
{
	if (f->options.report)
		f->options.report(f->options.report_arg, buf_str(&f->path),
				  f->path.len,
				  "it is left out: it belongs to the "
				  "repository, or to the service itself");
}

void files_report_lost(const struct files *f, struct files_folder *folder)
{
	char *path;

	if (!f->options.report || atomic_exchange(&folder->told, true))
		return;
	path = malloc(folder->path_len + 1U);
	if (path)
		files_folder_path(folder, path);
	f->options.report(f->options.report_arg, path ? path : "/",
			  path ? folder->path_len : 1U,
			  "it vanished while it was read: what lies in it may "
			  "be missing");
	free(path);
}

static void set_path(struct files *f, size_t folder_len, const char *name,
		     size_t name_len)
{
	char *path = (char *)f->path.data;
	size_t n = folder_len;

	if (n > 1)
		path[n++] = '/';
	memcpy(path + n, name, name_len);
	f->path.len = n + name_len;
	path[f->path.len] = '\0';
}

static int push(struct files *f, struct files_list *list, size_t path_len,
		struct err *e)
{
	if (f->depth == f->level_cap) {
		const size_t cap = f->level_cap ? 2 * f->level_cap : 32;
		struct files_level *levels = realloc(f->levels,
						     cap * sizeof(*levels));

		if (!levels)
			return err_oom(e);
		f->levels = levels;
		f->level_cap = cap;
	}
	f->levels[f->depth++] = (struct files_level){ files_list_ref(list), 0,
						      path_len };
	return 0;
}

static void pop(struct files *f)
{
	files_list_unref(f->levels[--f->depth].list);
}

/* A folder that nobody reads ahead. */
static int read_late(struct files *f, struct files_list **ret, struct err *e)
{
	if (!f->late) {
		f->late = calloc(1, sizeof(*f->late));
		if (!f->late)
			return err_oom(e);
		if (files_reader_init(f->late, &f->rules, e) < 0) {
			free(f->late);
			f->late = NULL;
			return -1;
		}
	}
	if (files_list_read(f->late, f->list, f->index, ret, e) < 0)
		return -1;
	files_ahead_count(f->ahead, *ret);
	return 0;
}

/* Go into the folder that was delivered last. */
static int enter(struct files *f, struct err *e)
{
	CLEANUP(files_list_unref) struct files_list *list = NULL;
	const uint8_t flags = f->list->records[f->index].flags;
	const bool planned = flags & RECORD_PLANNED;
	const size_t path_len = f->path.len;

	f->enter = false;
	if (flags & RECORD_LATER ? read_late(f, &list, e) < 0
				 : files_ahead_next(f->ahead, f->list, f->index,
						    &list, e) < 0)
		return -1;
	if (list->lost)
		files_report_lost(f, f->list->folder);
	else if (list->sys &&
		 (!list->gone || planned || f->options.holds_still))
		report(f, path_len, "cannot list the folder", list->sys);
	return push(f, list, path_len, e);
}

static void report_record(const struct files *f, const struct files_record *r)
{
	const char *doing = "cannot look at it";

	if (r->flags & RECORD_SKIPPED) {
		report_skipped(f);
		return;
	}
	if (r->sys == ENAMETOOLONG)
		doing = "its path is too long for a snapshot";
	else if (r->flags & RECORD_STAYS)
		doing = "cannot go into it";
	report(f, f->path.len, doing, r->sys);
}

/* The next record of the walk; 0 at the end. */
static int advance(struct files *f, const struct files_record **ret,
		   struct err *e)
{
	while (f->enter || f->depth > 0) {
		struct files_level *level;

		if (f->enter && enter(f, e) < 0)
			return -1;
		level = &f->levels[f->depth - 1];
		if (level->next == level->list->count) {
			pop(f);
			continue;
		}
		f->list = level->list;
		f->index = level->next++;
		*ret = &f->list->records[f->index];
		if (f->depth > 1)
			set_path(f, level->path_len,
				 f->list->names + (*ret)->name,
				 (*ret)->name_len);
		if ((*ret)->sys)
			report_record(f, *ret);
		if ((*ret)->sys == 0 || (*ret)->flags & RECORD_STAYS)
			return 1;
	}
	return 0;
}

static int start_ahead(struct files *f, struct err *e)
{
	struct files_ahead *a;

	if (files_ahead_start(&f->rules, f->levels[0].list, &a, e) < 0)
		return -1;
	atomic_store(&f->ahead, a);
	return 0;
}

static void begin(struct source *s, const struct object_id *parent,
		  struct object_id own)
{
	const struct files_known *known = files_of(s)->options.known;

	if (known)
		known->begin(known->arg, parent, own);
}

static int next(struct source *s, struct entry *ret, struct err *e)
{
	struct files *f = files_of(s);
	const struct files_record *rec;
	struct entry en = { 0 };
	int r;

	if (!f->ahead && start_ahead(f, e) < 0)
		return -1;
	r = advance(f, &rec, e);
	if (r == 0)
		atomic_store(&f->at_end, true);
	if (r <= 0)
		return r;
	f->enter = rec->flags & RECORD_DESCEND;
	en.path = buf_str(&f->path);
	en.path_len = f->path.len;
	files_record_get(rec, &en);
	if (rec->linked && files_links_number(&f->links, rec->dev, rec->ino,
					      &en.link_group, e) < 0)
		return -1;
	atomic_fetch_add_explicit(&f->delivered, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&f->delivered_bytes, en.size,
				  memory_order_relaxed);
	*ret = en;
	return 1;
}

static bool same_below(const struct source *s)
{
	const struct files *f = (const struct files *)(const void *)s;
	const struct files_known *known = f->options.known;
	const struct files_record *rec;
	struct files_identity folder;

	if (!known || !f->enter)
		return false;
	rec = &f->list->records[f->index];
	folder = (struct files_identity){ rec->dev, rec->ino };
	return rec->flags & RECORD_LATER &&
	       known->same_below(known->arg, &folder);
}

static void skip_below(struct source *s)
{
	files_of(s)->enter = false;
}

static int take(struct source *s, struct source_handle **ret, struct err *e)
{
	struct files *f = files_of(s);

	assert(f->list);
	return files_handle_new(f, ret, e);
}

static unsigned int features(const struct source *s)
{
	(void)s;
	return 0;
}

/* Folders that are not read ahead may still be. */
static void progress(const struct source *s, struct source_progress *ret)
{
	const struct files *f = (const struct files *)(const void *)s;

	struct files_ahead *a = atomic_load(&f->ahead);

	*ret = (struct source_progress){ 0 };
	if (a)
		files_ahead_found(a, ret);
	if (f->options.known)
		ret->all_found = atomic_load(&f->at_end);
	ret->entries_delivered = atomic_load(&f->delivered);
	ret->bytes_delivered = atomic_load(&f->delivered_bytes);
}

/* Also of one that files_open() has not finished. */
static void files_close(struct source *s)
{
	struct files *f = files_of(s);

	if (!f)
		return;
	files_ahead_stop(f->ahead);
	if (f->late)
		files_reader_done(f->late);
	free(f->late);
	while (f->depth > 0)
		pop(f);
	free(f->levels);
	buf_done(&f->path);
	files_links_done(&f->links);
	files_plan_done(&f->plan);
	files_pool_done(&f->pool);
	free(f->temporary);
	free(f);
}

static const struct source_ops files_ops = {
	.type = "files",
	.close = files_close,
	.features = features,
	.begin = begin,
	.same_below = same_below,
	.skip_below = skip_below,
	.next = next,
	.take = take,
	.describe = files_handle_describe,
	.read = files_handle_read,
	.finish = files_handle_finish,
	.release = files_handle_free,
	.progress = progress,
};

/* The path itself need not exist, but what lies above it is read. */
static int check_place(const struct files_options *o, struct err *e)
{
	const struct text_quoted shown = text_quote_str(o->paths[0]);
	const char *slash = strrchr(o->paths[0], '/');
	struct stat st;
	char *above;
	bool there;

	assert(o->path_count == 1);
	if (stat(o->place, &st) < 0 || !S_ISDIR(st.st_mode))
		return err_set(e, ERR_IO,
			       "what is to be read for %s is no folder",
			       shown.s);
	if (!slash || slash == o->paths[0])
		return 0;
	above = strndup(o->paths[0], (size_t)(slash - o->paths[0]));
	if (!above)
		return err_oom(e);
	there = stat(above, &st) == 0 && S_ISDIR(st.st_mode);
	free(above);
	return there ? 0
		     : err_set(e, ERR_USAGE,
			       "there is no folder above %s, as which it is to "
			       "be recorded",
			       shown.s);
}

/* Whether one of the paths leads somewhere, or may. */
static int check_paths(const struct files_options *o, struct err *e)
{
	size_t i;

	if (o->place)
		return check_place(o, e);
	for (i = 0; i < o->path_count; i++) {
		struct stat st;

		if (lstat(o->paths[i], &st) == 0 ||
		    (errno != ENOENT && errno != ENOTDIR))
			return 0;
	}
	if (o->path_count == 0)
		return err_set(e, ERR_USAGE, "no path was given");
	if (o->path_count == 1)
		return err_set(e, ERR_USAGE, "%s does not exist",
			       text_quote_str(o->paths[0]).s);
	return err_set(e, ERR_USAGE, "none of the %zu paths exists",
		       o->path_count);
}

static int set_up(struct files *f, const struct files_options *options,
		  struct err *e)
{
	f->options = *options;
	f->options.paths = NULL;
	f->options.path_count = 0;
	if (options->temporary) {
		f->temporary = strdup(options->temporary);
		if (!f->temporary)
			return err_oom(e);
		f->options.temporary = f->temporary;
		f->links.temporary = f->temporary;
	}
	f->rules = (struct files_rules){ &f->options, &f->plan, &f->pool };
	if (buf_reserve(&f->path, ENTRY_PATH_MAX + 257, e) < 0)
		return -1;
	f->options.place = NULL;
	return files_plan_init(&f->plan, options, e);
}

/* What nothing is known of is read ahead from now on. */
static int start(struct files *f, struct err *e)
{
	CLEANUP(files_list_unref) struct files_list *root = NULL;

	if (files_list_root(&f->plan, &root, e) < 0)
		return -1;
	set_path(f, 0, "/", 1);
	if (push(f, root, 0, e) < 0)
		return -1;
	return f->options.known ? 0 : start_ahead(f, e);
}

int files_open(const struct files_options *options, struct source **ret,
	       struct err *e)
{
	struct files *f;

	if (check_paths(options, e) < 0)
		return -1;
	f = calloc(1, sizeof(*f));
	if (!f)
		return err_oom(e);
	f->base.ops = &files_ops;
	buf_init(&f->path, ENTRY_PATH_MAX + 257);
	files_pool_init(&f->pool);
	files_links_init(&f->links, NULL);
	if (set_up(f, options, e) < 0 || start(f, e) < 0) {
		files_close(&f->base);
		return -1;
	}
	*ret = &f->base;
	return 0;
}

#include "storage/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/filemap.h"
#include "base/seam.h"
#include "base/text.h"
#include "storage/repository/beat.h"
#include "storage/repository/tree.h"
#include "storage/restore_internal.h"

/* A job is sent when its pieces cover this much. */
#define JOB_BYTES	  (4U << 20)
#define PROGRESS_EVERY_MS 100
/* The tree's nodes and maps, for the walking thread. */
#define WALK_CACHE_BYTES (2U << 20)

/*
 * The first name of each hard-link group: group → where its path is kept, and
 * what it led to.
 */
struct link_place {
	int64_t at;
	uint64_t len;
	dev_t dev;
	ino_t ino;
};

struct walk {
	struct restore_run *run;
	const struct restore_options *o;
	struct reader *reader;
	struct reader *data;	    /* of what is written in this thread */
	struct restore_folder *top; /* innermost open folder */
	struct buf open;	    /* its path, or one that goes on from it */
	struct restore_job *job;
	struct filemap *links;
	int links_fd;
	int64_t links_end;
	int64_t told_ms;
	uint64_t bytes_total;
	uint64_t position; /* of this entry: ahead.h */
	size_t strip;	   /* bytes of each path that are above the target */
	bool any;
	bool lost;   /* a node on the way could not be read */
	bool direct; /* write pieces at once, in this thread */
};

void restore_fail(struct restore_run *r, const struct err *why)
{
	(void)pthread_mutex_lock(&r->lock);
	if (!r->failed)
		r->failure = *why;
	r->failed = true;
	(void)pthread_mutex_unlock(&r->lock);
}

bool restore_failed(struct restore_run *r)
{
	bool failed;

	(void)pthread_mutex_lock(&r->lock);
	failed = r->failed;
	(void)pthread_mutex_unlock(&r->lock);
	return failed;
}

void restore_note_unread(struct restore_run *r, const struct err *why)
{
	if (why->code == ERR_CORRUPT || why->code == ERR_NO_MEMORY ||
	    why->code == ERR_INTERRUPTED)
		return;
	(void)pthread_mutex_lock(&r->lock);
	r->result.unread = true;
	(void)pthread_mutex_unlock(&r->lock);
	if (why->code == ERR_BUSY) {
		/* What is asked yet is for nothing. */
		store_set_patience(repository_store(r->repository),
				   STORE_HURRIED);
		restore_fail(r, why);
	}
}

void restore_error(struct restore_run *r, const struct entry *en,
		   const struct err *why)
{
	/* A full disk does not get better with the next. */
	const bool hopeless = why->code == ERR_FULL ||
			      why->code == ERR_NO_MEMORY ||
			      why->code == ERR_INTERRUPTED || why->sys == EROFS;

	(void)pthread_mutex_lock(&r->lock);
	r->result.errors++;
	if (why->code == ERR_CORRUPT)
		r->result.damaged = true;
	if (hopeless && !r->failed) {
		r->failed = true;
		r->failure = *why;
		(void)err_wrap(&r->failure, "%s",
			       text_quote(en->path, en->path_len).s);
	}
	if (r->o->failed)
		r->o->failed(r->o->arg, en->path, en->path_len, why->text);
	(void)pthread_mutex_unlock(&r->lock);
}

void restore_leave_out(struct restore_run *r, const struct entry *en,
		       const char *what)
{
	(void)pthread_mutex_lock(&r->lock);
	r->result.left_out++;
	if (r->o->left_out)
		r->o->left_out(r->o->arg, en->path, en->path_len, what);
	(void)pthread_mutex_unlock(&r->lock);
}

static int poll_outside(struct walk *w, struct err *e)
{
	struct restore_progress p;
	int64_t now_ms;

	if (w->o->cancel && atomic_load(w->o->cancel))
		return err_set(e, ERR_INTERRUPTED, "interrupted");
	if (restore_failed(w->run)) {
		*e = w->run->failure;
		return -1;
	}
	if (!w->o->progress)
		return 0;
	now_ms = clock_boot_ms();
	if (now_ms < w->told_ms + PROGRESS_EVERY_MS)
		return 0;
	w->told_ms = now_ms;
	(void)pthread_mutex_lock(&w->run->lock);
	p = (struct restore_progress){ .files = w->run->result.files,
				       .bytes = w->run->result.bytes,
				       .bytes_total = w->bytes_total };
	(void)pthread_mutex_unlock(&w->run->lock);
	w->o->progress(w->o->arg, &p);
	return 0;
}

static int send_job(struct walk *w, struct err *e)
{
	struct restore_job *job = w->job;

	w->job = NULL;
	if (!job)
		return 0;
	if (w->direct) {
		restore_job_write(w->run, w->data, job);
		free(job);
		return 0;
	}
	if (queue_push(w->run->work, job))
		return 0;
	for (size_t i = 0; i < job->n; i++)
		restore_file_unref(w->run, job->pieces[i].file);
	free(job);
	*e = w->run->failure;
	return -1;
}

/* Neighbours that lie in one chunk go to one worker. */
static bool belongs(const struct walk *w, const struct extent *x)
{
	const struct restore_job *job = w->job;
	const struct restore_piece *last = &job->pieces[job->n - 1];

	if (job->n == w->run->job_max || job->bytes >= JOB_BYTES)
		return false;
	return chunk_id_equal(&last->extent.id, &x->id) ||
	       job->bytes < JOB_BYTES / 4;
}

static int add_piece(struct walk *w, struct restore_file *file, uint64_t offset,
		     const struct extent *x, struct err *e)
{
	if (w->job && !belongs(w, x) && send_job(w, e))
		return -1;
	if (!w->job) {
		w->job = calloc(1, sizeof(*w->job));
		if (!w->job)
			return err_oom(e);
		w->job->position = w->position + offset;
	}
	restore_file_ref(w->run, file);
	w->job->pieces[w->job->n++] = (struct restore_piece){ .file = file,
							      .offset = offset,
							      .extent = *x };
	w->job->bytes += x->len;
	return 0;
}

struct pieces {
	struct walk *w;
	struct restore_file *file;
	bool stopped; /* e is about the run, not about the file */
};

static int visit_extent(void *arg, uint64_t offset, const struct extent *x,
			struct err *e)
{
	struct pieces *p = (struct pieces *)arg;

	p->stopped = true;
	if ((!x->hole && add_piece(p->w, p->file, offset, x, e)) ||
	    poll_outside(p->w, e))
		return -1;
	p->stopped = false;
	return 0;
}

static int write_file(struct walk *w, struct restore_file *file,
		      const struct content *content, struct err *e)
{
	struct pieces p = { w, file, false };
	struct err own = { 0 };
	int result = 0;

	file->ends_in_data = content->level == 0 && content->n &&
			     !content->v[content->n - 1].hole;
	if (content_walk(w->reader, content, visit_extent, &p, &own)) {
		if (p.stopped) {
			*e = own;
			(void)pthread_mutex_lock(&w->run->lock);
			file->failed = true;
			(void)pthread_mutex_unlock(&w->run->lock);
			result = -1;
		} else {
			restore_note_unread(w->run, &own);
			restore_file_error(w->run, file, &own);
		}
	}
	restore_file_unref(w->run, file);
	return result;
}

/*
 * Write a file here and now, to its end: the first name of a hard-link group.
 * The later names are linked to it, and must not find what was there before,
 * or what turns out to be damaged.
 */
static int write_now(struct walk *w, struct restore_file *file,
		     const struct content *content, bool *ret_done,
		     struct err *e)
{
	bool done = false;
	int result;

	/* cppcheck-suppress autoVariables ; the file is written before this
	 * function returns */
	file->done = &done;
	if (send_job(w, e) ||
	    (!w->data && reader_new(w->run->repository, RESTORE_CACHE_BYTES,
				    &w->data, e))) {
		restore_file_error(w->run, file, e);
		restore_file_unref(w->run, file);
		return -1;
	}
	reader_take_from(w->data, ahead_prefetch(w->run->ahead));
	w->direct = true;
	result = write_file(w, file, content, e);
	if (send_job(w, e))
		result = -1;
	w->direct = false;
	*ret_done = done;
	return result;
}

/* The path below the target, without a leading '/'. */
static const char *below(const struct walk *w, const struct entry *en,
			 size_t *ret_len)
{
	size_t at = w->strip;

	if (at < en->path_len && en->path[at] == '/')
		at++;
	if (at > en->path_len)
		at = en->path_len;
	*ret_len = en->path_len - at;
	return en->path + at;
}

/*
 * Whether what is there can be the entry.  Not by its times: file systems
 * keep them more coarsely.
 */
static bool is_like(const struct stat *st, const struct entry *en)
{
	return (st->st_mode & S_IFMT) == entry_type_to_format(en->type) &&
	       (en->type != ENTRY_FILE || (uint64_t)st->st_size == en->size);
}

static const char not_first[] = "the first name is not what it was";

static void leave_out_link(struct walk *w, const struct entry *en,
			   const struct err *why)
{
	char what[sizeof(why->text) + 16];

	(void)snprintf(what, sizeof(what), "hard link (%s)", why->text);
	restore_leave_out(w->run, en, what);
}

/* The entry is at name, as it was: later names of its group link to it. */
static int remember_link(struct walk *w, const struct entry *en,
			 const char *name, struct err *e)
{
	struct link_place *place;
	struct err why = { 0 };
	struct stat st;
	void *value;
	size_t len;
	const char *path = below(w, en, &len);
	const int there = restore_look(w->top, name, &st, &why);

	if (there != 1 || !is_like(&st, en)) {
		/* Somebody took it away at once, or it cannot be looked at:
		 * the other names become files of their own. */
		if (there >= 0)
			(void)err_set(&why, ERR_NOT_FOUND, "%s", not_first);
		leave_out_link(w, en, &why);
		return 0;
	}
	if (!w->links &&
	    (filemap_new(&w->links, w->o->scratch, sizeof(uint64_t),
			 sizeof(struct link_place), e) ||
	     file_open_unnamed(w->o->scratch, &w->links_fd, e)))
		return -1;
	if (filemap_add(w->links, &en->link_group, &value, e) < 0)
		return -1;
	if (seam_pwrite(w->links_fd, path, len, w->links_end))
		return err_sys(e, "cannot write to a temporary file");
	place = (struct link_place *)value;
	*place = (struct link_place){ w->links_end, len, st.st_dev, st.st_ino };
	w->links_end += (int64_t)len;
	return 0;
}

static struct restore_folder *root_of(struct restore_folder *f)
{
	while (f->up)
		f = f->up;
	return f;
}

static int link_name(const struct restore_folder *f, int fd, const char *name,
		     struct err *e)
{
	if (restore_link_fd(fd, f->fd, name))
		return err_sys(e, "cannot link to the first name");
	return 0;
}

/*
 * In place of what is there: linked beside it, then renamed over it.  1; 0 and
 * *why when a copy has to do; -1.
 */
static int link_over(const struct walk *w, int fd, const struct entry *en,
		     const char *name, struct err *why, struct err *e)
{
	const struct restore_folder *f = w->top;
	char *temporary = restore_temporary_name(w->run, f, en, e);
	int failed;

	if (!temporary)
		return -1;
	failed = link_name(f, fd, temporary, why) ||
		 restore_put_in_place(f, fd, temporary, name, why);
	if (failed && restore_leads_to(f, temporary, fd))
		(void)!seam_unlink(f->fd, temporary, 0);
	free(temporary);
	return !failed;
}

/*
 * What the first name led to: 1 and *ret_fd; 0 and *why when it does so no
 * more, or cannot be opened; -1.
 */
static int open_first(const struct walk *w, const struct link_place *place,
		      const struct entry *en, int *ret_fd, struct err *why,
		      struct err *e)
{
	CLEANUP(buf_done) struct buf path;
	CLEANUP(file_close) int fd = -1;
	struct stat st;

	buf_init(&path, ENTRY_PATH_MAX);
	if (buf_reserve(&path, place->len, e))
		return -1;
	if (file_pread(w->links_fd, path.data, place->len, place->at) !=
	    (ssize_t)place->len)
		return err_sys(e, "cannot read a temporary file");
	path.len = place->len;
	path.data[path.len] = 0;
	fd = restore_open_entry(root_of(w->top), buf_str(&path));
	if (fd < 0 || fstat(fd, &st)) {
		(void)err_sys(why, "cannot open the first name");
		return 0;
	}
	if (st.st_dev != place->dev || st.st_ino != place->ino ||
	    !is_like(&st, en)) {
		(void)err_set(why, ERR_NOT_FOUND, "%s", not_first);
		return 0;
	}
	*ret_fd = TAKE_FD(fd);
	return 1;
}

/*
 * Link to the first name of the group: 1 when done; 0 when there is none yet,
 * when nothing may be done, or when a copy has to do (the entry is restored
 * like any other); -1.
 */
static int try_link(struct walk *w, const struct entry *en, const char *name,
		    struct err *e)
{
	const struct link_place *place =
		w->links ? (const struct link_place *)filemap_find(
				   w->links, &en->link_group)
			 : NULL;
	CLEANUP(file_close) int fd = -1;
	struct err why = { 0 };
	struct stat old;
	int there;
	int got;

	if (!place)
		return 0;
	there = restore_look(w->top, name, &old, e);
	if (there < 0)
		return -1;
	if (there && w->o->overwrite == RESTORE_NEVER &&
	    !restore_is_unfinished(&old, en))
		return 0;
	if (there && old.st_dev == place->dev && old.st_ino == place->ino)
		return 1;
	if (there && S_ISDIR(old.st_mode))
		return err_set(e, ERR_EXISTS, "a folder is in the way");
	got = open_first(w, place, en, &fd, &why, e);
	if (got == 1)
		got = there ? link_over(w, fd, en, name, &why, e)
			    : link_name(w->top, fd, name, &why) == 0;
	/* As where a mount point or the file system allows none. */
	if (got == 0)
		leave_out_link(w, en, &why);
	return got;
}

static void count_file(struct walk *w, const struct entry *en)
{
	(void)pthread_mutex_lock(&w->run->lock);
	w->run->result.files++;
	w->run->result.bytes += en->size;
	(void)pthread_mutex_unlock(&w->run->lock);
}

static int restore_file(struct walk *w, const struct entry *en,
			const struct content *content, const char *name,
			struct err *e)
{
	const bool linked = en->flags & ENTRY_HARD_LINK;
	const bool now = linked || restore_weight(en) > RESTORE_HEAVY_BYTES;
	struct restore_file *file;
	struct err own = { 0 };
	bool done;
	int got = 0;

	if (linked && !w->o->dry_run)
		got = try_link(w, en, name, &own);
	if (got == 1) {
		count_file(w, en);
		return 0;
	}
	if (got == 0)
		got = restore_file_begin(w->run, w->top, en, name, &file, &own);
	if (got < 0) {
		restore_error(w->run, en, &own);
		return 0;
	}
	/* What is kept as it is, and is not as it was, lends nobody that. */
	done = got == RESTORE_SAME &&
	       (w->o->overwrite != RESTORE_NEVER ||
		restore_has_metadata(w->run, w->top, name, en));
	if (got == RESTORE_WRITE && (now ? write_now(w, file, content, &done, e)
					 : write_file(w, file, content, e)))
		return -1;
	return linked && done && !w->o->dry_run ? remember_link(w, en, name, e)
						: 0;
}

/* Leave folders that the path is not below. */
static void leave_folders(struct walk *w, const struct entry *en)
{
	while (w->top->up &&
	       !entry_path_within(en->path, en->path_len, buf_str(&w->open),
				  w->top->path_len)) {
		struct restore_folder *up = w->top->up;

		restore_folder_unref(w->run, w->top);
		w->top = up;
	}
}

/* The paths of all folders that are open are how this one begins. */
static int set_open(struct walk *w, const char *path, size_t len, struct err *e)
{
	buf_clear(&w->open);
	return buf_add(&w->open, path, len, e);
}

static int enter_folder(struct walk *w, const struct entry *en,
			const char *name, bool wanted, struct err *e)
{
	struct restore_folder *f;
	struct err own = { 0 };

	f = restore_folder_enter(w->run, w->top, en, name, wanted, e);
	if (!f)
		return -1;
	w->top = f;
	if (set_open(w, en->path, en->path_len, e))
		return -1;
	if (!wanted)
		return 0;
	if (restore_folder_make(w->run, f, &own)) {
		if (f->up->failed) /* else it was told already */
			restore_error(w->run, en, &own);
		return 0;
	}
	(void)pthread_mutex_lock(&w->run->lock);
	w->run->result.folders++;
	(void)pthread_mutex_unlock(&w->run->lock);
	return 0;
}

/* The last component, as a string. */
static int name_of(const char *path, size_t len, char out[256], struct err *e)
{
	const char *slash = memrchr(path, '/', len);
	const char *name = slash ? slash + 1 : path;
	const size_t n = len - (size_t)(name - path);

	if (n == 0 || n > 255)
		return err_set(e, ERR_IO, "its name is too long to be made");
	memcpy(out, name, n);
	out[n] = '\0';
	return 0;
}

/* Symlinks, fifos, sockets and devices have hard links, too. */
static int restore_unwritten(struct walk *w, const struct entry *en,
			     const char *name, struct err *e)
{
	const bool linked = en->flags & ENTRY_HARD_LINK && !w->o->dry_run;
	struct err own = { 0 };
	int got = 0;

	if (linked)
		got = try_link(w, en, name, &own);
	if (got == 0)
		got = restore_special(w->run, w->top, en, name, &own);
	if (got < 0)
		restore_error(w->run, en, &own);
	if (got <= 0)
		return 0;
	(void)pthread_mutex_lock(&w->run->lock);
	w->run->result.others++;
	(void)pthread_mutex_unlock(&w->run->lock);
	return linked ? remember_link(w, en, name, e) : 0;
}

/*
 * Folders of which only the names are known, because the node that held them
 * is damaged: what lies in them must not end up elsewhere.
 */
static int enter_lost_folders(struct walk *w, const struct entry *en,
			      struct err *e)
{
	const char *last = memrchr(en->path, '/', en->path_len);
	const size_t from = w->top->up ? w->top->path_len : w->strip;
	size_t at = from;

	while (en->path + at < last) {
		const char *next = memchr(en->path + at + 1, '/',
					  en->path_len - at - 1);
		const struct entry folder = { .path = en->path,
					      .path_len = (size_t)(next -
								   en->path),
					      .type = ENTRY_FOLDER };
		struct restore_folder *f;
		char name[256];

		if (name_of(folder.path, folder.path_len, name, e))
			return -1;
		f = restore_folder_enter(w->run, w->top, &folder, name, false,
					 e);
		if (!f)
			return -1;
		f->is_lost = true;
		w->top = f;
		at = folder.path_len;
		/* Also should a later one have no name that can be made. */
		if (set_open(w, en->path, at, e))
			return -1;
	}
	return 0;
}

static int restore_other(struct walk *w, const struct entry *en,
			 const struct content *content, const char *name,
			 struct err *e)
{
	struct err own = { 0 };

	if (restore_folder_make(w->run, w->top, &own)) {
		restore_error(w->run, en, &own);
		return 0;
	}
	if (en->type == ENTRY_FILE)
		return restore_file(w, en, content, name, e);
	return restore_unwritten(w, en, name, e);
}

/* The entry that stands for the target itself: "/" or SNAP:PATH's folder. */
static int restore_top(struct walk *w, const struct entry *en, struct err *e)
{
	struct restore_folder *root = root_of(w->top);

	(void)pthread_mutex_lock(&w->run->lock);
	w->run->result.folders++;
	(void)pthread_mutex_unlock(&w->run->lock);
	return root->entry.type ? 0 : entry_copy(&root->entry, en, e);
}

static int restore_entry(struct walk *w, const struct entry *en,
			 const struct content *content, struct err *e)
{
	const bool folder = en->type == ENTRY_FOLDER;
	const bool wanted = restore_is_wanted(w->run, en);
	char name[256];
	size_t len;
	const char *path = below(w, en, &len);
	struct err own = { 0 };

	if (len == 0)
		return restore_top(w, en, e);
	leave_folders(w, en);
	if (!wanted && !folder)
		return 0;
	if (name_of(path, len, name, &own) || enter_lost_folders(w, en, &own)) {
		restore_error(w->run, en, &own);
		return 0;
	}
	if (folder)
		return enter_folder(w, en, name, wanted, e);
	return restore_other(w, en, content, name, e);
}

static void note_lost(struct walk *w, const struct tree *t,
		      const struct err *why)
{
	struct entry lost = { 0 };
	struct err more = *why;

	w->lost = true;
	lost.path = tree_lost(t, &lost.path_len);
	(void)err_wrap(&more, "the entries from here on, up to the next that "
			      "is sound, are lost");
	restore_error(w->run, &lost, &more);
}

/* Whether the walk is past everything below SNAP:PATH. */
static bool is_past(const struct walk *w, const struct entry *en)
{
	return w->o->path && !entry_path_within(en->path, en->path_len,
						w->o->path, w->o->path_len);
}

static int walk_tree(struct walk *w, struct tree *t, struct err *e)
{
	struct err why = { 0 };
	struct content content;
	struct entry en;
	int got;

	while ((got = tree_next(t, &en, &content, &why)) != 0) {
		if (got < 0 && why.code != ERR_CORRUPT) {
			restore_note_unread(w->run, &why);
			*e = why;
			return -1;
		}
		if (got < 0) {
			note_lost(w, t, &why);
			continue;
		}
		if (is_past(w, &en))
			break;
		if (!w->any && w->o->path && en.type != ENTRY_FOLDER &&
		    en.path_len == w->o->path_len)
			/* SNAP:FILE puts the file itself below the target. */
			w->strip = (size_t)((const char *)memrchr(en.path, '/',
								  en.path_len) -
					    en.path);
		w->any = true;
		if (restore_entry(w, &en, &content, e) || poll_outside(w, e))
			return -1;
		if (en.type == ENTRY_FILE)
			w->position += en.size;
	}
	if (w->any || w->lost || !w->o->path)
		return send_job(w, e);
	(void)err_set(e, ERR_NOT_FOUND, "%s is not in the snapshot",
		      text_quote(w->o->path, w->o->path_len).s);
	return err_hint(e, "`snapctl ls` shows what is");
}

/* Folders on the way to a deep entry stay open: allow what root allows. */
static void allow_descriptors(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
		l.rlim_cur = l.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &l);
	}
}

/* Collectors leave alone what is being restored. */
static int pin(struct restore_run *r, const struct manifest *m,
	       struct beat **ret, struct err *e)
{
	const int pinned = beat_pin(
		repository_store(r->repository), repository_keys(r->repository),
		RECORD_READ_RESTORE, &m->snapshot, 1, ret, e);

	r->result.pinned = pinned > 0;
	return pinned < 0 ? -1 : 0;
}

/* Before SNAP:PATH, with what is damaged on the way there told. */
static int seek_path(struct walk *w, struct tree *t, struct err *e)
{
	struct err why = { 0 };

	if (!w->o->path || !tree_seek(t, w->o->path, w->o->path_len, &why))
		return 0;
	if (why.code != ERR_CORRUPT) {
		restore_note_unread(w->run, &why);
		*e = why;
		return -1;
	}
	note_lost(w, t, &why);
	return 0;
}

/* Finish what is still open, and make everything durable. */
static int finish_walk(struct walk *w, struct restore_folder *root, bool failed,
		       struct err *e)
{
	struct restore_run *r = w->run;

	/* Of a deep tree first those that are open, for descriptors. */
	while (w->top != root) {
		struct restore_folder *up = w->top->up;

		restore_folder_unref(r, w->top);
		w->top = up;
	}
	restore_folder_unref(r, root);
	if (failed)
		return -1;
	if (r->failed) {
		*e = r->failure;
		return -1;
	}
	return restore_settle_disks(r, e);
}

static int run_walk(struct restore_run *r, const struct manifest *m,
		    struct err *e)
{
	struct walk w = { .run = r, .o = r->o, .links_fd = -1 };
	CLEANUP(reader_free) struct reader *reader = NULL;
	CLEANUP(tree_close) struct tree *t = NULL;
	struct restore_folder *root = NULL;
	int failed;

	buf_init(&w.open, ENTRY_PATH_MAX);
	if (reader_new(r->repository, WALK_CACHE_BYTES, &reader, e) ||
	    tree_open(reader, &m->tree, NULL, &t, e)) {
		restore_note_unread(r, e);
		return -1;
	}
	w.reader = reader;
	w.bytes_total = r->o->path || r->o->wanted ? 0 : m->bytes;
	w.strip = r->o->path && r->o->path_len > 1 ? r->o->path_len : 0;
	if (seek_path(&w, t, e) || restore_target_open(r, &root, e))
		return -1;
	w.top = root;
	restore_ahead_start(r, &m->tree, root);
	failed = restore_work_start(r, e) || walk_tree(&w, t, e);
	if (failed)
		restore_fail(r, e);
	if (w.job) {
		struct err ignored = { 0 };

		(void)!send_job(&w, &ignored);
	}
	restore_work_stop(r);
	restore_ahead_end(r);
	restore_settle_end(r);
	failed = finish_walk(&w, root, failed, e);
	restore_settle_done(r);
	reader_free(w.data);
	restore_ahead_done(r);
	filemap_free(w.links);
	file_close(w.links_fd);
	buf_done(&w.open);
	return failed;
}

/*
 * Before there was a pin, or after we stood still, a collector may have taken
 * what was deleted, its manifest first: that is no damage.
 */
static int judge_missing(struct repository *r, const struct manifest *m,
			 struct err *e)
{
	char id[OBJECT_ID_TEXT];
	struct err why = { 0 };

	if (repository_counts(r, m->snapshot, &why))
		return 0;
	object_id_format(m->snapshot, id);
	return err_set(
		e, ERR_NOT_FOUND,
		"snapshot %s was deleted, and went while it was restored", id);
}

int restore_run(struct repository *r, const struct manifest *m,
		const struct restore_options *o, struct restore_result *ret,
		struct err *e)
{
	struct restore_run run = {
		.repository = r,
		.snapshot = m->snapshot,
		.o = o,
		.uid = geteuid(),
		.gid = getegid(),
	};
	struct beat *b = NULL;
	int failed;

	run.privileged = run.uid == 0 && !o->no_privileged;
	(void)pthread_mutex_init(&run.lock, NULL);
	(void)pthread_mutex_init(&run.popping, NULL);
	(void)pthread_mutex_init(&run.wanted_lock, NULL);
	allow_descriptors();
	failed = !o->dry_run && pin(&run, m, &b, e);
	if (failed)
		restore_note_unread(&run, e);
	failed = failed || run_walk(&run, m, e);
	if (failed ? e->code == ERR_CORRUPT : run.result.damaged)
		failed = judge_missing(r, m, e) ||
			 beat_judge(b, "the restore", e) || failed;
	beat_stop(b);
	store_set_patience(repository_store(r), STORE_PATIENT);
	(void)pthread_mutex_destroy(&run.wanted_lock);
	(void)pthread_mutex_destroy(&run.popping);
	(void)pthread_mutex_destroy(&run.lock);
	*ret = run.result;
	return failed ? -1 : 0;
}

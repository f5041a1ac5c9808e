#include "service/volume.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/child.h"
#include "base/instant.h"
#include "base/secret.h"
#include "base/text.h"
#include "service/hooks.h"

#define PREFIX	  "snapctl-"
#define ID_DIGITS 16
#define HOLE	  VOLUME_HOLE
/* Reading takes as long as it takes, but the guardian's limit is a number. */
#define LIMIT_MS (INT64_C(366) * 86400 * 1000)

enum { CREATE, LOCATE, REMOVE, PROGRAMS };

/* An argument vector with the name filled in. */
struct program {
	struct resource_texts argv;
	const char **words;
	struct buf text;
};

struct volume {
	struct volume_settings settings;
	char folder[4096];
	char name[VOLUME_NAME_BYTES];
	char printed[4096];   /* by locate */
	char place[4096 + 2]; /* as it is opened */
	struct program programs[PROGRAMS];
	struct resource_hook create_and_remove[2];
	struct hooks *hooks;
	bool is_removed;
	size_t left;		 /* by earlier runs, and still there */
	struct err left_failure; /* of the last of them */
};

void volume_folder(const char *state, char out[4096])
{
	(void)snprintf(out, 4096, "%s/volumes", state);
}

/* ---- What they print ---------------------------------------------------- */

static bool is_plain_path(const char *p)
{
	if (p[0] != '/')
		return false;
	while (*p == '/') {
		const size_t n = strcspn(++p, "/");

		if (n == 0 || (n == 1 && p[0] == '.') ||
		    (n == 2 && p[0] == '.' && p[1] == '.'))
			return false;
		p += n;
	}
	return true;
}

int volume_parse_place(const char *printed, size_t n, char ret[4096],
		       struct err *e)
{
	if (n > 0 && printed[n - 1] == '\n')
		n--;
	if (n == 0)
		return err_set(e, ERR_USAGE,
			       "it printed nothing, expected where the "
			       "snapshot is to be read");
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)printed[i] < ' ' || printed[i] == 127)
			return err_set(e, ERR_USAGE,
				       "it printed %s, expected one line",
				       text_quote(printed, n).s);
	if (n >= 4095)
		return err_set(e, ERR_USAGE,
			       "it printed more than a path can be");
	memcpy(ret, printed, n);
	ret[n] = '\0';
	if (!is_plain_path(ret))
		return err_set(e, ERR_USAGE,
			       "it printed %s, expected an absolute path, "
			       "without . and .. and //",
			       text_quote_str(ret).s);
	return 0;
}

/* ---- Where it is -------------------------------------------------------- */

/* Whether there is nothing in it; false when that cannot be told. */
static bool is_empty(const char *folder)
{
	DIR *d = opendir(folder);
	const struct dirent *entry;
	bool empty = d != NULL;

	while (d && empty && (entry = readdir(d)))
		empty = strcmp(entry->d_name, ".") == 0 ||
			strcmp(entry->d_name, "..") == 0;
	if (d)
		(void)closedir(d);
	return empty;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
	return (a->st_dev == b->st_dev && a->st_ino == b->st_ino) ||
	       (S_ISBLK(a->st_mode) && S_ISBLK(b->st_mode) &&
		a->st_rdev == b->st_rdev);
}

static bool is_disk(const struct volume *v)
{
	return strcmp(v->settings.declared->content, "block") == 0;
}

static int check_place(const struct volume *v, struct err *e)
{
	const char *path = v->settings.declared->paths.items[0];
	const struct text_quoted shown = text_quote_str(v->printed);
	struct stat is;
	struct stat of;

	if (stat(v->place, &is) < 0 && errno == ENOTDIR)
		is.st_mode = 0;
	else if (stat(v->place, &is) < 0)
		return err_set(e, ERR_IO, "nothing can be read at %s: %s",
			       shown.s, err_errno_text(errno));
	if (is_disk(v) ? !S_ISBLK(is.st_mode) && !S_ISREG(is.st_mode)
		       : !S_ISDIR(is.st_mode))
		return err_set(e, ERR_IO, "%s is no %s", shown.s,
			       is_disk(v) ? "device and no image" : "folder");
	if (stat(path, &of) < 0)
		return 0;
	if (is_same(&of, &is))
		return err_set(e, ERR_IO,
			       "%s is what is protected itself, and no "
			       "snapshot of it",
			       shown.s);
	/* A mount that failed leaves its mount point. */
	if (S_ISDIR(of.st_mode) && is_empty(v->place) && !is_empty(path))
		return err_set(e, ERR_IO,
			       "%s is an empty folder, and no snapshot of %s",
			       shown.s, text_quote_str(path).s);
	return 0;
}

/* ---- What they are called with ------------------------------------------ */

static int add_word(const struct volume *v, const char *word, struct buf *out,
		    struct err *e)
{
	const char *hole;

	while ((hole = strstr(word, HOLE))) {
		if (buf_add(out, word, (size_t)(hole - word), e) < 0 ||
		    buf_add_str(out, v->name, e) < 0)
			return -1;
		word = hole + strlen(HOLE);
	}
	return buf_add(out, word, strlen(word) + 1, e);
}

/* The words in one block, then an array of them, NULL-terminated. */
static int fill_in(const struct volume *v, const struct resource_texts *list,
		   struct program *ret, struct err *e)
{
	bool named = false;
	const char *at;

	for (size_t i = 0; i < list->count; i++) {
		named = named || strstr(list->items[i], HOLE);
		if (add_word(v, list->items[i], &ret->text, e) < 0)
			return -1;
	}
	if (!named && add_word(v, v->name, &ret->text, e) < 0)
		return -1;
	ret->argv.count = list->count + !named;
	ret->words = calloc(ret->argv.count, sizeof(*ret->words));
	if (!ret->words)
		return err_oom(e);
	at = (const char *)ret->text.data;
	for (size_t i = 0; i < ret->argv.count; i++, at += strlen(at) + 1)
		ret->words[i] = at;
	ret->argv.items = ret->words;
	return 0;
}

static int fill_in_all(struct volume *v, struct err *e)
{
	const struct resource_source *s = v->settings.declared;

	volume_folder(v->settings.state, v->folder);
	for (int i = 0; i < PROGRAMS; i++)
		buf_init(&v->programs[i].text, 1U << 20);
	if (fill_in(v, &s->create, &v->programs[CREATE], e) < 0 ||
	    fill_in(v, &s->locate, &v->programs[LOCATE], e) < 0 ||
	    fill_in(v, &s->remove, &v->programs[REMOVE], e) < 0)
		return -1;
	v->create_and_remove[0] = (struct resource_hook){
		.when = "before",
		.argv = v->programs[CREATE].argv,
		.timeout_ms = s->timeout_ms,
		.called = "provider's create",
	};
	/* Also when create failed: it may have done half of its work. */
	v->create_and_remove[1] = (struct resource_hook){
		.when = "always",
		.argv = v->programs[REMOVE].argv,
		.timeout_ms = s->timeout_ms,
		.called = "provider's remove",
	};
	return 0;
}

static void programs_done(struct volume *v)
{
	for (int i = 0; i < PROGRAMS; i++) {
		buf_done(&v->programs[i].text);
		free(v->programs[i].words);
	}
}

/* ---- Locate ------------------------------------------------------------- */

static int run_locate(struct volume *v, const struct resource_texts *argv,
		      struct child_tail *out, struct child_tail *said,
		      struct err *e)
{
	const int64_t timeout_ms = v->settings.declared->timeout_ms;
	const struct child_options options = { .argv = argv->items,
					       .argc = argv->count,
					       .apart = true };
	CLEANUP(child_drop) struct child c;
	enum child_watched how;
	char text[INSTANT_TEXT > 64 ? INSTANT_TEXT : 64];
	int status;

	if (child_start(&c, &options, e) < 0)
		return -1;
	how = child_watch(&c, timeout_ms, v->settings.stop, out, said);
	status = child_end(&c);
	(void)child_tail_read(out, c.out);
	(void)child_tail_read(said, c.err);
	if (how == CHILD_STOPPED)
		return err_set(e, ERR_INTERRUPTED, "asked to stop");
	if (how == CHILD_TIMED_OUT) {
		instant_duration_format(timeout_ms, text);
		return err_set(e, ERR_IO,
			       "it was not done within %s, and was killed",
			       text);
	}
	if (status == 0)
		return 0;
	child_tell_end(status, text);
	return err_set(e, ERR_IO, "%s", text);
}

int volume_locate(struct volume *v, struct err *e)
{
	const struct resource_texts *argv = &v->programs[LOCATE].argv;
	struct child_tail out = { 0 };
	struct child_tail said = { 0 };
	struct err why = { 0 };
	const char *line;
	size_t n;

	if (run_locate(v, argv, &out, &said, &why) == 0 &&
	    volume_parse_place(out.bytes, out.len, v->printed, &why) == 0) {
		/* A symlink is followed, and what mounts itself is mounted. */
		(void)snprintf(v->place, sizeof(v->place), "%s%s", v->printed,
			       is_disk(v) ? "" : "/.");
		if (check_place(v, &why) == 0)
			return 0;
	}
	n = child_tail_line(&said, &line);
	return err_set(e, why.code == ERR_INTERRUPTED ? why.code : ERR_IO,
		       "the provider's locate, %s, failed: %.250s%s%s",
		       text_quote_str(argv->items[0]).s, why.text,
		       n ? ", saying " : "", n ? text_quote(line, n).s : "");
}

/* ---- What earlier runs left --------------------------------------------- */

static struct hooks_settings settings_of(const struct volume *v,
					 const char *journal)
{
	return (struct hooks_settings){
		.source = v->settings.source,
		.list = v->create_and_remove,
		.count = 2,
		.limit_ms = LIMIT_MS,
		.folder = v->folder,
		.journal = journal,
		.lasts = true,
		.run = v->settings.run,
		.stop = v->settings.stop,
		.become = v->settings.become,
	};
}

size_t volume_name_length(const char *source)
{
	return strlen(PREFIX) + strlen(source) + 1 + ID_DIGITS;
}

bool volume_is_name(const char *name, const char *source)
{
	const size_t own = strlen(PREFIX) + strlen(source);

	return name && strlen(name) == volume_name_length(source) &&
	       strncmp(name, PREFIX, strlen(PREFIX)) == 0 &&
	       strncmp(name + strlen(PREFIX), source, strlen(source)) == 0 &&
	       name[own] == '-' &&
	       strspn(name + own + 1, "0123456789abcdef") == ID_DIGITS;
}

/* With today's remove: that of then may have been mended. */
static int settle_one(struct volume *v, const char *name, struct err *e)
{
	struct volume left = { .settings = v->settings };
	struct hooks_settings settings;
	int failed;

	(void)snprintf(left.name, sizeof(left.name), "%s", name);
	failed = fill_in_all(&left, e);
	settings = settings_of(&left, left.name);
	if (failed == 0)
		failed = hooks_settle(&settings, e);
	programs_done(&left);
	if (failed < 0) {
		v->left++;
		(void)err_set(&v->left_failure, e->code, "%s: %.400s", name,
			      e->text);
	}
	return e->code == ERR_NO_MEMORY ? -1 : 0;
}

static int settle_left(struct volume *v, struct err *e)
{
	DIR *d = opendir(v->folder);
	const struct dirent *entry;
	struct err why = { 0 };
	int failed = 0;

	while (d && !failed && (entry = readdir(d)))
		if (volume_is_name(entry->d_name, v->settings.source))
			failed = settle_one(v, entry->d_name, &why);
	if (d)
		(void)closedir(d);
	if (failed) {
		*e = why;
		return -1;
	}
	if (v->left < VOLUME_LEFT_MAX)
		return 0;
	(void)err_set(e, ERR_IO,
		      "%zu snapshots that earlier runs took of this volume "
		      "cannot be removed, so none is taken: %.300s",
		      v->left, v->left_failure.text);
	return err_hint(e,
			"what is none any more is forgotten when its file in "
			"%s is removed",
			v->folder);
}

/* ---- From outside ------------------------------------------------------- */

int volume_new(const struct volume_settings *settings, struct volume **ret,
	       struct err *e)
{
	struct volume *v = calloc(1, sizeof(*v));
	uint64_t id;

	if (!v)
		return err_oom(e);
	v->settings = *settings;
	secret_random(&id, sizeof(id));
	(void)snprintf(v->name, sizeof(v->name), PREFIX "%s-%016jx",
		       v->settings.source, (uintmax_t)id);
	if (fill_in_all(v, e) < 0) {
		volume_free(v);
		return -1;
	}
	*ret = v;
	return 0;
}

int volume_ready(struct volume *v, struct err *e)
{
	const struct hooks_settings settings = settings_of(v, v->name);

	return settle_left(v, e) < 0 || hooks_open(&settings, &v->hooks, e) < 0
		       ? -1
		       : 0;
}

int volume_create(struct volume *v, struct err *e)
{
	return hooks_before(v->hooks, e);
}

const char *volume_place(const struct volume *v)
{
	return v->place;
}

int volume_remove(struct volume *v, struct err *e)
{
	struct err why;

	if (v->is_removed || !v->hooks)
		return 0;
	v->is_removed = true;
	/* What need not be there, and failed, the log tells. */
	if (hooks_after(v->hooks, &why) < 0 && hooks_are_kept(v->hooks))
		return err_set(e, why.code,
			       "the volume's snapshot %s is still there, to be "
			       "removed later: %.350s",
			       v->name, why.text);
	if (v->left > 0)
		return err_set(e, ERR_IO,
			       "%zu snapshot%s that earlier runs took of this "
			       "volume cannot be removed: %.350s",
			       v->left, v->left == 1 ? "" : "s",
			       v->left_failure.text);
	return 0;
}

void volume_write(const struct volume *v, struct json *j)
{
	if (v->hooks) {
		hooks_write(v->hooks, j);
	} else {
		json_begin_list(j);
		json_end_list(j);
	}
}

void volume_free(struct volume *v)
{
	if (!v)
		return;
	hooks_close(v->hooks);
	programs_done(v);
	free(v);
}

#include "storage/sources/command.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"

/* How often a wish to stop is looked for. */
#define POLL_MS 200
/* Fewer turns between it and us than with the usual 64 KiB. */
#define PIPE_BYTES (1 << 20)

enum stage { STAGE_ROOT, STAGE_STREAM, STAGE_DONE };

struct command {
	struct source base;
	struct command_options options;
	struct child child;
	struct child_tail said;
	struct instant begun;
	int64_t deadline_ms;
	int64_t heard_ms; /* when it printed, or ended, last */
	bool ended;	  /* seen by its descriptor; not waited for */
	enum stage stage; /* what source_next() delivers next */
	atomic_ullong bytes;
	char path[258];
};

struct command_handle {
	struct source_handle base;
};

static struct command *command_of(struct source *s)
{
	return (struct command *)(void *)s;
}

/* ---- As a tree of one file ---------------------------------------------- */

/*
 * It belongs to whom the command ran as.  There is nothing that a later
 * snapshot could compare: it is always read.
 */
static struct entry entry_of(const struct command *c, bool is_root)
{
	struct entry en = {
		.path = is_root ? "/" : c->path,
		.path_len = is_root ? 1 : strlen(c->path),
		.type = is_root ? ENTRY_FOLDER : ENTRY_FILE,
		.mode = is_root ? 0700 : 0600,
		.uid = c->child.uid,
		.gid = c->child.gid,
		.mtime = c->begun,
		.ctime = c->begun,
	};

	if (!is_root)
		en.size = SOURCE_SIZE_UNKNOWN;
	return en;
}

static int next(struct source *s, struct entry *ret, struct err *e)
{
	struct command *c = command_of(s);

	(void)e;
	if (c->stage == STAGE_DONE)
		return 0;
	*ret = entry_of(c, c->stage == STAGE_ROOT);
	c->stage++;
	return 1;
}

static int take(struct source *s, struct source_handle **ret, struct err *e)
{
	struct command_handle *h = calloc(1, sizeof(*h));

	if (!h)
		return err_oom(e);
	h->base.source = s;
	*ret = &h->base;
	return 0;
}

static int describe(struct source_handle *h, struct entry *en, struct err *e)
{
	const struct entry listed = *en;

	(void)e;
	*en = entry_of(command_of(h->source), listed.path_len == 1);
	en->path = listed.path;
	en->owned = listed.owned;
	return 1;
}

/* ---- Its output --------------------------------------------------------- */

/* "pg_dump", of whatever path it has. */
static struct text_quoted called(const struct command *c)
{
	const char *program = c->options.child.argv[0];
	const char *slash = strrchr(program, '/');

	return text_quote_str(slash && slash[1] ? slash + 1 : program);
}

struct words {
	char s[220];
};

/* What it said last is mostly the reason. */
static struct words last_words(const struct command *c)
{
	struct words w = { "" };
	const char *line;
	const size_t n = child_tail_line(&c->said, &line);

	if (n)
		(void)snprintf(w.s, sizeof(w.s), ", saying %s",
			       text_quote(line, n).s);
	return w;
}

static int too_late(const struct command *c, struct err *e)
{
	char limit[INSTANT_TEXT];

	instant_duration_format(c->options.timeout_ms, limit);
	(void)err_set(e, ERR_IO,
		      "%s was not done within %s, its time limit, and was "
		      "killed%s",
		      called(c).s, limit, last_words(c).s);
	return err_hint(e, "--timeout (in a Source: timeout) sets the limit");
}

/*
 * Its output is at its end, and so is it: 0 when both are as they should be.
 */
static int judge(struct command *c, struct err *e)
{
	const uint64_t bytes = atomic_load(&c->bytes);
	const uint64_t floor = c->options.at_least;
	const int status = child_end(&c->child);
	char end[64];

	(void)child_tail_read(&c->said, c->child.err);
	child_tell_end(status, end);
	if (status != 0)
		return err_set(e, ERR_IO, "%s failed: %s%s", called(c).s, end,
			       last_words(c).s);
	if (bytes >= floor)
		return 0;
	(void)err_set(e, ERR_IO,
		      "%s ended well, but printed %" PRIu64
		      " bytes, fewer than the %" PRIu64 " it has to%s",
		      called(c).s, bytes, floor, last_words(c).s);
	return err_hint(e, "--min-size (in a Source: minSize) sets the least");
}

/* Up to n bytes: 1, 0 at the end, -1 with errno EAGAIN when there are none. */
static int read_some(struct command *c, void *out, size_t n,
		     struct source_extent *ret)
{
	const ssize_t got = read(c->child.out, out, n);

	if (got < 0)
		return -1;
	if (got == 0)
		return 0;
	c->heard_ms = clock_boot_ms();
	atomic_fetch_add(&c->bytes, (unsigned long long)got);
	*ret = (struct source_extent){ .len = (uint64_t)got };
	return 1;
}

/* Wait for output, for words, for its end, or for a moment. */
static void wait_for_more(struct command *c)
{
	struct pollfd fds[3] = {
		{ .fd = c->child.out, .events = POLLIN },
		{ .fd = c->child.err, .events = POLLIN },
		{ .fd = c->ended ? -1 : c->child.pid_fd, .events = POLLIN },
	};

	(void)poll(fds, 3, POLL_MS);
	if (fds[1].revents && !child_tail_read(&c->said, c->child.err)) {
		file_close(c->child.err);
		c->child.err = -1;
	}
	if (fds[2].revents) {
		c->ended = true;
		c->heard_ms = clock_boot_ms();
	}
}

/* Whether to go on waiting. */
static int check_limits(const struct command *c, struct err *e)
{
	const int64_t now_ms = clock_boot_ms();

	if (c->options.cancel && atomic_load(c->options.cancel))
		return err_set(e, ERR_INTERRUPTED, "interrupted");
	return now_ms >= c->deadline_ms ? too_late(c, e) : 0;
}

/* There is nothing to be read just now; will there be? */
static int check_silence(const struct command *c, struct err *e)
{
	if (!c->ended || clock_boot_ms() < c->heard_ms + COMMAND_LINGER_MS)
		return 0;
	return err_set(e, ERR_IO,
		       "%s has ended, but something that it started keeps its "
		       "output open and prints nothing",
		       called(c).s);
}

static int read_stream(struct source_handle *h, void *out, size_t n,
		       struct source_extent *ret, struct err *e)
{
	struct command *c = command_of(h->source);

	for (;;) {
		if (check_limits(c, e) < 0)
			return -1;
		if (c->child.out >= 0) {
			const int got = read_some(c, out, n, ret);

			if (got > 0)
				return 1;
			if (got < 0 && errno != EAGAIN && errno != EINTR)
				return err_sys(e, "cannot read what %s prints",
					       called(c).s);
			if (got < 0 && check_silence(c, e) < 0)
				return -1;
			if (got == 0) {
				file_close(c->child.out);
				c->child.out = -1;
			}
		}
		if (c->child.out < 0 && c->ended)
			return judge(c, e);
		wait_for_more(c);
	}
}

static enum source_state finish(struct source_handle *h, struct entry *en)
{
	if (en->type == ENTRY_FILE)
		en->size = atomic_load(&command_of(h->source)->bytes);
	return SOURCE_OK;
}

static void release(struct source_handle *h)
{
	free(h);
}

static void progress(const struct source *s, struct source_progress *ret)
{
	const struct command *c = (const struct command *)(const void *)s;
	const uint64_t bytes = atomic_load(&c->bytes);

	*ret = (struct source_progress){ .entries_found = 2,
					 .bytes_found = bytes,
					 .entries_delivered = 2,
					 .bytes_delivered = bytes };
}

static unsigned int features(const struct source *s)
{
	(void)s;
	return 0;
}

static void command_close(struct source *s)
{
	struct command *c = command_of(s);

	if (!c)
		return;
	child_drop(&c->child);
	free(c);
}

static const struct source_ops command_ops = {
	.type = "command",
	.close = command_close,
	.features = features,
	.next = next,
	.take = take,
	.describe = describe,
	.read = read_stream,
	.finish = finish,
	.release = release,
	.progress = progress,
};

int command_open(const struct command_options *o, struct source **ret,
		 struct err *e)
{
	struct command *c;

	assert(source_name_valid(o->name) && o->timeout_ms > 0);
	c = calloc(1, sizeof(*c));
	if (!c)
		return err_oom(e);
	c->base.ops = &command_ops;
	c->options = *o;
	c->options.child.apart = true;
	(void)snprintf(c->path, sizeof(c->path), "/%s", o->name);
	c->begun = clock_now();
	c->heard_ms = clock_boot_ms();
	c->deadline_ms = c->heard_ms + o->timeout_ms;
	if (child_start(&c->child, &c->options.child, e) < 0) {
		command_close(&c->base);
		return -1;
	}
	(void)fcntl(c->child.out, F_SETPIPE_SZ, PIPE_BYTES);
	*ret = &c->base;
	return 0;
}

const struct child_tail *command_said(const struct source *s)
{
	assert(s->ops == &command_ops);
	return &((const struct command *)(const void *)s)->said;
}

#include "service/progress.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/instant.h"
#include "base/text.h"

/* Progress that cannot be shown is no failure: dprintf()'s word is void. */

/* Ten frames a second look smooth; a line a minute would look like a hang. */
enum { BAR_EVERY_MS = 100, LINE_EVERY_MS = 30000 };

struct progress {
	int fd;
	enum progress_mode mode;
	atomic_uint_fast64_t items;
	atomic_uint_fast64_t bytes;
	atomic_uint_fast64_t total;
	atomic_int_fast64_t next_ms; /* boot time of the next print */
	pthread_mutex_t lock;	     /* what follows, and fd */
	int64_t started_ms;
	char stage[64];
	bool drawn; /* a bar stands on the last line */
};

enum progress_mode progress_mode_of(int fd, bool quiet)
{
	if (quiet)
		return PROGRESS_NONE;
	return isatty(fd) ? PROGRESS_BAR : PROGRESS_LINES;
}

int progress_new(struct progress **ret, int fd, enum progress_mode mode,
		 struct err *e)
{
	struct progress *p = calloc(1, sizeof(*p));

	if (!p)
		return err_oom(e);
	p->fd = fd;
	p->mode = mode;
	pthread_mutex_init(&p->lock, NULL);
	*ret = p;
	return 0;
}

static void erase(struct progress *p)
{
	if (p->drawn)
		(void)dprintf(p->fd, "\r\033[K");
	p->drawn = false;
}

void progress_free(struct progress *p)
{
	if (!p)
		return;
	erase(p);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static int columns_of(int fd)
{
	struct winsize size;

	if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		return size.ws_col;
	return 80;
}

struct figures {
	uint64_t items;
	uint64_t bytes;
	uint64_t total;
	uint64_t rate;	 /* bytes a second */
	int64_t left_ms; /* -1 when nobody knows */
};

static struct figures figures_of(struct progress *p, int64_t now_ms)
{
	struct figures f = { .items = atomic_load(&p->items),
			     .bytes = atomic_load(&p->bytes),
			     .total = atomic_load(&p->total),
			     .left_ms = -1 };
	const int64_t ran_ms = now_ms - p->started_ms;

	if (ran_ms > 0)
		f.rate = (uint64_t)((double)f.bytes * 1000.0 / (double)ran_ms);
	/* The first two seconds predict nothing. */
	if (f.total > f.bytes && f.rate > 0 && ran_ms > 2000)
		f.left_ms = (int64_t)((f.total - f.bytes) / f.rate) *
			    (int64_t)1000;
	return f;
}

/* "reading  1.2 GiB of 4.0 GiB, 3 files, 310 MiB/s, 9s left" */
static void describe(const struct progress *p, const struct figures *f,
		     char *out, size_t room)
{
	char bytes[16];
	char total[16];
	char rate[16];
	char left[INSTANT_TEXT] = "";
	char of[32] = "";
	char items[40] = "";

	text_size(f->bytes, bytes);
	text_size(f->rate, rate);
	if (f->total) {
		text_size(f->total, total);
		(void)snprintf(of, sizeof(of), " of %s", total);
	}
	if (f->items)
		(void)snprintf(items, sizeof(items), ", %ju items",
			       (uintmax_t)f->items);
	if (f->left_ms >= 0)
		instant_duration_format(f->left_ms, left);
	(void)snprintf(out, room, "%s  %s%s%s, %s/s%s%s%s", p->stage, bytes, of,
		       items, rate, *left ? ", " : "", left,
		       *left ? " left" : "");
}

/* "████████░░░░  reading …", never wider than the terminal. */
static void draw_bar(struct progress *p, const struct figures *f)
{
	enum { CELLS = 20 };
	char text[256];
	char line[512];
	size_t n = 0;
	const int columns = columns_of(p->fd);
	int room = columns - 1;

	describe(p, f, text, sizeof(text));
	if (f->total && columns >= 60) {
		const uint64_t share = f->bytes >= f->total
					       ? CELLS
					       : f->bytes * CELLS / f->total;

		for (uint64_t i = 0; i < CELLS; i++)
			n += (size_t)snprintf(line + n, sizeof(line) - n, "%s",
					      i < share ? "█" : "░");
		n += (size_t)snprintf(line + n, sizeof(line) - n, "  ");
		room -= CELLS + 2;
	}
	(void)snprintf(line + n, sizeof(line) - n, "%.*s", room > 0 ? room : 0,
		       text);
	(void)dprintf(p->fd, "\r\033[K%s", line);
	p->drawn = true;
}

static void draw_line(struct progress *p, const struct figures *f)
{
	char text[256];

	describe(p, f, text, sizeof(text));
	(void)dprintf(p->fd, "%s\n", text);
}

/* Print if it is time to; whoever comes while another prints goes on. */
static void tick(struct progress *p)
{
	const int64_t now = clock_boot_ms();
	struct figures f;

	if (p->mode == PROGRESS_NONE || now < atomic_load(&p->next_ms) ||
	    pthread_mutex_trylock(&p->lock) != 0)
		return;
	if (now >= atomic_load(&p->next_ms)) {
		f = figures_of(p, now);
		if (p->mode == PROGRESS_BAR)
			draw_bar(p, &f);
		else
			draw_line(p, &f);
		atomic_store(&p->next_ms,
			     now + (p->mode == PROGRESS_BAR ? BAR_EVERY_MS
							    : LINE_EVERY_MS));
	}
	pthread_mutex_unlock(&p->lock);
}

void progress_stage(struct progress *p, const char *stage, uint64_t total)
{
	const int64_t now = clock_boot_ms();

	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	erase(p);
	(void)snprintf(p->stage, sizeof(p->stage), "%s", stage);
	p->started_ms = now;
	pthread_mutex_unlock(&p->lock);
	atomic_store(&p->items, 0);
	atomic_store(&p->bytes, 0);
	atomic_store(&p->total, total);
	/* What is over at once is not worth a bar. */
	atomic_store(&p->next_ms,
		     now + (p->mode == PROGRESS_BAR ? 3 * BAR_EVERY_MS
						    : LINE_EVERY_MS));
}

void progress_total(struct progress *p, uint64_t total)
{
	if (p)
		atomic_store(&p->total, total);
}

void progress_add(struct progress *p, uint64_t items, uint64_t bytes)
{
	if (!p)
		return;
	atomic_fetch_add(&p->items, items);
	atomic_fetch_add(&p->bytes, bytes);
	tick(p);
}

void progress_set(struct progress *p, uint64_t items, uint64_t bytes)
{
	if (!p)
		return;
	atomic_store(&p->items, items);
	atomic_store(&p->bytes, bytes);
	tick(p);
}

void progress_note(struct progress *p, const char *fmt, ...)
{
	char text[700];
	va_list ap;

	if (!p || p->mode == PROGRESS_NONE)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	pthread_mutex_lock(&p->lock);
	erase(p);
	(void)dprintf(p->fd, "%s\n", text);
	pthread_mutex_unlock(&p->lock);
}

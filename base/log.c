#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"

static const struct {
	const char *name;
	char priority; /* syslog's, for the journal */
} levels[] = {
	[LOG_LEVEL_ERROR] = { "error", '3' },
	[LOG_LEVEL_WARN] = { "warn", '4' },
	[LOG_LEVEL_INFO] = { "info", '6' },
	[LOG_LEVEL_DEBUG] = { "debug", '7' },
};
#define LEVELS (sizeof(levels) / sizeof(levels[0]))

static _Atomic int threshold = LOG_LEVEL_INFO;

void log_set_level(enum log_level level)
{
	atomic_store(&threshold, (int)level);
}

int log_level_named(const char *name)
{
	for (size_t i = 0; i < LEVELS; i++)
		if (strcmp(levels[i].name, name) == 0)
			return (int)i;
	return -1;
}

/*
 * systemd names device and inode of the stream it reads; a standard error
 * that was redirected since then is another file (sd-daemon(3)).
 */
static bool journal_reads(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char own[64];
	struct stat st;

	if (!stream || fstat(STDERR_FILENO, &st))
		return false;
	(void)snprintf(own, sizeof(own), "%llu:%llu",
		       (unsigned long long)st.st_dev,
		       (unsigned long long)st.st_ino);
	return strcmp(stream, own) == 0;
}

/* Room for the longest err text and hint with some escapes. */
#define LINE_MAX_BYTES 4096

struct line {
	size_t len;
	char s[LINE_MAX_BYTES];
};

/* Text of our own: names, numbers. */
static void line_add(struct line *l, const char *s)
{
	const size_t room = sizeof(l->s) - l->len;
	size_t n = strlen(s);

	if (n >= room)
		n = room - 1;
	memcpy(l->s + l->len, s, n);
	l->len += n;
	l->s[l->len] = '\0';
}

static void line_add_value(struct line *l, const char *value)
{
	line_add(l, "\"");
	/* Keeps room for the quote and the end of the line. */
	if (sizeof(l->s) - l->len > 4)
		l->len += text_escape(value, strlen(value), l->s + l->len,
				      sizeof(l->s) - l->len - 4);
	line_add(l, "\"");
}

static void line_start(struct line *l, enum log_level level)
{
	char now[INSTANT_TEXT];
	const char prefix[] = { '<', levels[level].priority, '>', '\0' };

	l->len = 0;
	if (journal_reads()) {
		line_add(l, prefix);
	} else {
		struct instant t = clock_now();

		t.nsec -= t.nsec % 1000000;
		instant_format(t, now);
		line_add(l, "time=");
		line_add(l, now);
		line_add(l, " ");
	}
	line_add(l, "level=");
	line_add(l, levels[level].name);
	line_add(l, " msg=");
}

/* One write for one line, so that lines of several processes stay whole. */
static void line_end(struct line *l)
{
	if (l->len > sizeof(l->s) - 2)
		l->len = sizeof(l->s) - 2;
	l->s[l->len++] = '\n';
	(void)fwrite(l->s, 1, l->len, stderr);
}

void log_event(enum log_level level, const char *fmt, ...)
{
	char text[1024];
	struct line l;
	va_list ap;

	if ((int)level > atomic_load(&threshold))
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	line_start(&l, level);
	line_add_value(&l, text);
	line_end(&l);
}

void log_failure(enum log_level level, const char *doing, const struct err *e)
{
	char text[sizeof(e->text) + 256];
	struct line l;

	if ((int)level > atomic_load(&threshold))
		return;
	(void)snprintf(text, sizeof(text), "%.250s: %s", doing, e->text);
	line_start(&l, level);
	line_add_value(&l, text);
	line_add(&l, " code=");
	line_add(&l, err_kind(e->code)->name);
	if (e->hint[0]) {
		line_add(&l, " hint=");
		line_add_value(&l, e->hint);
	}
	line_end(&l);
}

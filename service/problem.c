#include "service/problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void problem_init(struct problem_list *p)
{
	memset(p, 0, sizeof(*p));
}

void problem_done(struct problem_list *p)
{
	for (size_t i = 0; i < p->count; i++) {
		free(p->items[i].file);
		free(p->items[i].text);
		free(p->items[i].mend);
	}
	problem_init(p);
}

/* An error outranks a warning: a full list gives up its last warning. */
static struct problem *room(struct problem_list *p, bool warning)
{
	if (p->count < PROBLEM_MAX)
		return &p->items[p->count++];
	p->left_out++;
	if (warning)
		return NULL;
	for (size_t i = p->count; i-- > 0;) {
		struct problem old = p->items[i];

		if (!old.warning)
			continue;
		free(old.file);
		free(old.text);
		free(old.mend);
		memmove(&p->items[i], &p->items[i + 1],
			(p->count - i - 1) * sizeof(old));
		return &p->items[p->count - 1];
	}
	return NULL;
}

static void PRINTF_LIKE(4, 0)
	add(struct problem_list *p, struct problem_place at, bool warning,
	    const char *fmt, va_list ap)
{
	struct problem one = { .line = at.line,
			       .column = at.column,
			       .warning = warning };
	struct problem *to;

	if (!warning)
		p->errors++;
	to = room(p, warning);
	if (to == NULL)
		return;
	one.file = strdup(at.file ? at.file : "");
	if (vasprintf(&one.text, fmt, ap) < 0)
		one.text = NULL;
	if (one.file == NULL || one.text == NULL)
		p->no_memory = true;
	*to = one;
}

void problem_add(struct problem_list *p, struct problem_place at,
		 const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(p, at, false, fmt, ap);
	va_end(ap);
}

void problem_warn(struct problem_list *p, struct problem_place at,
		  const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(p, at, true, fmt, ap);
	va_end(ap);
}

void problem_mend(struct problem_list *p, const char *fmt, ...)
{
	struct problem *last;
	char *mend;
	va_list ap;

	/* One that was left out has no place for its mend either. */
	if (p->count == 0 || p->left_out > 0)
		return;
	last = &p->items[p->count - 1];
	va_start(ap, fmt);
	if (vasprintf(&mend, fmt, ap) < 0)
		mend = NULL;
	va_end(ap);
	if (mend == NULL)
		p->no_memory = true;
	free(last->mend);
	last->mend = mend;
}

static const char *or_empty(const char *s)
{
	return s ? s : "";
}

static int place(const struct problem *one, struct buf *out, struct err *e)
{
	const char *file = or_empty(one->file);

	if (one->line > 0 && one->column > 0)
		return buf_addf(out, e, "%s:%u:%u: ", file, one->line,
				one->column);
	if (one->line > 0)
		return buf_addf(out, e, "%s:%u: ", file, one->line);
	return file[0] ? buf_addf(out, e, "%s: ", file) : 0;
}

int problem_err(const struct problem_list *p, struct err *e)
{
	/* What struct err holds, less "; and 1000000 more". */
	const size_t most = sizeof(e->text) - 32;
	CLEANUP(buf_done) struct buf all = { 0 };
	size_t shown = 0;
	struct err ignored;

	if (p->no_memory)
		return err_oom(e);
	if (p->errors == 0)
		return 0;
	buf_init(&all, 1 << 16);
	(void)err_set(e, ERR_USAGE,
		      "the text of the problems is too long to show");
	for (size_t i = 0; i < p->count; i++) {
		const struct problem *one = &p->items[i];
		size_t before = all.len;

		if (one->warning)
			continue;
		if ((shown > 0 && buf_add_str(&all, "; ", &ignored) < 0) ||
		    place(one, &all, &ignored) < 0 ||
		    buf_add_str(&all, or_empty(one->text), &ignored) < 0)
			return -1;
		if (all.len > most && shown > 0) {
			all.len = before;
			break;
		}
		shown++;
	}
	if (shown < p->errors)
		(void)err_set(e, ERR_USAGE, "%.*s; and %zu more", (int)all.len,
			      buf_str(&all), p->errors - shown);
	else
		(void)err_set(e, ERR_USAGE, "%.*s", (int)all.len,
			      buf_str(&all));
	for (size_t i = 0; i < p->count; i++) {
		if (p->items[i].warning)
			continue;
		if (p->items[i].mend)
			(void)err_hint(e, "%s", p->items[i].mend);
		break;
	}
	return -1;
}

int problem_format(const struct problem_list *p, struct buf *out, struct err *e)
{
	for (size_t i = 0; i < p->count; i++) {
		const struct problem *one = &p->items[i];

		if (place(one, out, e) < 0 ||
		    (one->warning && buf_add_str(out, "warning: ", e) < 0) ||
		    buf_add_str(out, or_empty(one->text), e) < 0)
			return -1;
		if (one->mend && buf_addf(out, e, "; %s", one->mend) < 0)
			return -1;
		if (buf_add_byte(out, '\n', e) < 0)
			return -1;
	}
	if (p->left_out > 0)
		return buf_addf(out, e, "and %zu more\n", p->left_out);
	return 0;
}

void problem_write(const struct problem_list *p, struct json *j)
{
	json_begin_list(j);
	for (size_t i = 0; i < p->count; i++) {
		const struct problem *one = &p->items[i];

		json_begin_object(j);
		json_kv_str(j, "file", or_empty(one->file));
		json_kv_uint(j, "line", one->line);
		json_kv_uint(j, "column", one->column);
		json_kv_str(j, "level", one->warning ? "warning" : "error");
		json_kv_str(j, "message", or_empty(one->text));
		json_kv_str(j, "mend", one->mend);
		json_end_object(j);
	}
	json_end_list(j);
}

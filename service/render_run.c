/*
 * The view "!run": one run and its steps, each in a line that says what came
 * of it.
 *
 *	✓ run 1 of nightly succeeded in 1.1 s
 *	  attempt 1, by root on vm, 2026-11-23 06:03:14Z
 *
 *	  ✓ snapshot   documents  0.7 s  c8337052, 5,426 files, 51.8 MiB new
 *	  ✗ replicate  there      0.2 s  cannot reach …
 *
 * Below the snapshot of a source of configuration stands what changed.
 */
#include <string.h>

#include "base/text.h"
#include "service/render_internal.h"

/* Below its step. */
#define DRIFT_INDENT "      "

static const char *text_of(const json_t *value, const char *key)
{
	const char *text = json_string_value(json_object_get(value, key));

	return text ? text : "";
}

static double seconds_of(const json_t *value)
{
	struct err ignored = { 0 };
	struct instant begun;
	struct instant ended;

	if (instant_parse(text_of(value, "started"), &begun, &ignored) ||
	    instant_parse(text_of(value, "finished"), &ended, &ignored))
		return -1;
	return (double)instant_ms_between(begun, ended) / 1000.0;
}

static const char *mark_of(const char *state)
{
	if (strcmp(state, "succeeded") == 0 || strcmp(state, "skipped") == 0)
		return "✓";
	if (strcmp(state, "partial") == 0)
		return "!";
	if (strcmp(state, "failed") == 0 || strcmp(state, "cancelled") == 0 ||
	    strcmp(state, "interrupted") == 0)
		return "✗";
	return "·";
}

static int add_mark(const struct render_style *style, const char *state,
		    struct buf *out, struct err *e)
{
	return buf_addf(out, e, "%s%s%s ",
			render_colour(style, render_state_colour(state)),
			mark_of(state), render_plain(style));
}

static int add_text(const char *text, struct buf *out, struct err *e)
{
	return render_escape(text, strlen(text), false, out, e);
}

static int add_seconds(const json_t *value, struct buf *out, struct err *e)
{
	const double s = seconds_of(value);

	return s < 0 ? 0 : buf_addf(out, e, "%.1f s", s);
}

static int add_head(const struct render_style *style, const json_t *run,
		    struct buf *out, struct err *e)
{
	const char *state = text_of(run, "state");
	const char *message = text_of(run, "message");

	if (add_mark(style, state, out, e) ||
	    buf_addf(out, e, "run %lld of ",
		     (long long)json_integer_value(
			     json_object_get(run, "id"))) ||
	    add_text(text_of(run, "schedule"), out, e) ||
	    buf_add_byte(out, ' ', e) || render_word(state, 64, 0, out, e) ||
	    (seconds_of(run) >= 0 &&
	     (buf_add_str(out, " in ", e) || add_seconds(run, out, e))) ||
	    buf_addf(out, e, "\n  attempt %lld",
		     (long long)json_integer_value(
			     json_object_get(run, "attempt"))))
		return -1;
	if (*text_of(run, "requested_by") &&
	    (buf_add_str(out, ", asked for by ", e) ||
	     add_text(text_of(run, "requested_by"), out, e)))
		return -1;
	if (*text_of(run, "host") && (buf_add_str(out, ", on ", e) ||
				      add_text(text_of(run, "host"), out, e)))
		return -1;
	if (*message &&
	    (buf_add_str(out, "\n  ", e) || add_text(message, out, e)))
		return -1;
	return buf_add_str(out, "\n", e);
}

/* A number of the details with what it counts, when it is there. */
static int add_number(const struct render_style *style, const json_t *details,
		      const char *key, const char *what, struct buf *out,
		      struct err *e)
{
	const json_t *value = json_object_get(details, key);
	const bool is_size = strncmp(key, "bytes", 5) == 0;
	const json_int_t n = json_integer_value(value);

	/* No bytes and no errors go without saying. */
	if (!json_is_integer(value) ||
	    (n == 0 && (is_size || strcmp(what, "error") == 0)))
		return 0;
	if (buf_add_str(out, ", ", e) ||
	    render_value(style, is_size ? CELL_SIZE : CELL_COUNT, value, out,
			 e))
		return -1;
	return buf_addf(out, e, "%s%s%s", *what ? " " : "", what,
			!is_size && n != 1 ? "s" : "");
}

/* What the step's details say, in a few words. */
static int add_details(const struct render_style *style, const json_t *step,
		       struct buf *out, struct err *e)
{
	const json_t *details = json_object_get(step, "details");
	const char *snapshot = text_of(details, "snapshot");
	const size_t before = out->len;

	if (*snapshot &&
	    (buf_add_str(out, ", ", e) || render_word(snapshot, 8, 0, out, e)))
		return -1;
	if (add_number(style, details, "files", "file", out, e) ||
	    add_number(style, details, "bytes", "", out, e) ||
	    add_number(style, details, "bytes_new", "new", out, e) ||
	    add_number(style, details, "copied", "snapshot", out, e) ||
	    add_number(style, details, "bytes_freed", "freed", out, e) ||
	    add_number(style, details, "bytes_pending", "to be freed", out,
		       e) ||
	    add_number(style, details, "chunks", "chunk", out, e) ||
	    add_number(style, details, "error_count", "error", out, e))
		return -1;
	/* The first comma is one too many. */
	if (out->len > before) {
		memmove(out->data + before, out->data + before + 2,
			out->len - before - 1);
		out->len -= 2;
	}
	return 0;
}

/* What changed since the snapshot before, file by file. */
static int add_drift(const struct render_style *style, const json_t *step,
		     struct buf *out, struct err *e)
{
	const json_t *drift = json_object_get(json_object_get(step, "details"),
					      "drift");
	const json_t *files = json_object_get(drift, "files");
	const json_int_t more = json_integer_value(
		json_object_get(drift, "more"));

	for (size_t i = 0; i < json_array_size(files); i++) {
		const json_t *file = json_array_get(files, i);

		if (buf_add_str(out, DRIFT_INDENT, e) ||
		    render_diff_head(style, file, out, e) ||
		    render_diff_lines(style, DRIFT_INDENT, file, out, e))
			return -1;
	}
	return more ? buf_addf(out, e, DRIFT_INDENT "… and %jd more\n",
			       (intmax_t)more)
		    : 0;
}

/*
 * What only repeats what stands elsewhere: the whole run (in the head), that
 * a snapshot is in the region that it was taken into, and that a step for
 * everything went as its parts did.
 */
static bool repeats(const json_t *step)
{
	const char *name = text_of(step, "step");
	const bool fine = strcmp(text_of(step, "state"), "succeeded") == 0;

	if (strcmp(name, "snapshot") == 0)
		return *text_of(step, "region");
	if (strcmp(name, "replicate") == 0 || strcmp(name, "verify") == 0 ||
	    strcmp(name, "gc") == 0)
		return fine && !*text_of(step, "region");
	return strcmp(name, "run") == 0;
}

static int pad_to(size_t width, const char *text, struct buf *out,
		  struct err *e)
{
	const size_t has = render_width(text, strlen(text));

	if (add_text(text, out, e))
		return -1;
	for (size_t i = has; i < width + 2; i++)
		if (buf_add_byte(out, ' ', e))
			return -1;
	return 0;
}

static const char *about(const json_t *step)
{
	const char *source = text_of(step, "source");

	return *source ? source : text_of(step, "region");
}

static int add_step(const struct render_style *style, const json_t *step,
		    size_t width, struct buf *out, struct err *e)
{
	const char *message = text_of(step, "message");
	CLEANUP(buf_done) struct buf took;

	buf_init(&took, 64);
	if (add_seconds(step, &took, e) || buf_add_str(out, "  ", e) ||
	    add_mark(style, text_of(step, "state"), out, e) ||
	    pad_to(9, text_of(step, "step"), out, e) ||
	    pad_to(width, about(step), out, e) ||
	    pad_to(6, buf_str(&took), out, e) ||
	    add_details(style, step, out, e))
		return -1;
	if (*message &&
	    (buf_add_str(out, "  ", e) || add_text(message, out, e)))
		return -1;
	while (out->len && out->data[out->len - 1] == ' ')
		out->len--;
	return buf_add_str(out, "\n", e) || add_drift(style, step, out, e) ? -1
									   : 0;
}

int render_run(FILE *out, const struct render_style *style, const json_t *value,
	       struct err *e)
{
	const json_t *steps = json_object_get(value, "steps");
	CLEANUP(buf_done) struct buf text;
	const json_t *step;
	size_t width = 0;
	size_t i;

	buf_init(&text, RENDER_VALUE);
	if (add_head(style, value, &text, e))
		return -1;
	json_array_foreach((json_t *)(uintptr_t)steps, i,
			   step) if (render_width(about(step),
						  strlen(about(step))) > width)
		width = render_width(about(step), strlen(about(step)));
	if (json_array_size(steps) && buf_add_str(&text, "\n", e))
		return -1;
	json_array_foreach(
		(json_t *)(uintptr_t)steps, i,
		step) if (!repeats(step) &&
			  add_step(style, step, width, &text, e)) return -1;
	return render_put(out, buf_str(&text), text.len, e);
}

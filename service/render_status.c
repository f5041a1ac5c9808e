/*
 * The view "!status": is everything protected, when did it last work, what
 * is next, what is wrong; in this order, in as few lines as it takes.
 *
 *	● everything is protected
 *	  3 sources, 2 regions; last success 4 h ago, next run in 2 h
 *
 *	SOURCE      SCHEDULE  STATE      LAST     NEXT
 *	web-config  nightly   protected  4 h ago  in 2 h
 *
 *	~ web-config: 2 changed 3 h ago; "snapctl run show 17" shows it
 *
 *	! nightly: the last run failed 2 h ago
 *	  "snapctl run show 17" says why
 */
#include <stdlib.h>
#include <string.h>

#include "service/jsontree.h"
#include "service/render_internal.h"

struct page {
	FILE *out;
	const struct render_style *style;
	struct buf text;
};

static int add_line(struct page *p, enum render_colour colour, const char *mark,
		    const char *text, struct err *e)
{
	if (buf_addf(&p->text, e, "%s%s%s ", render_colour(p->style, colour),
		     mark, render_plain(p->style)) < 0 ||
	    render_escape(text, strlen(text), false, &p->text, e) < 0)
		return -1;
	return buf_add_byte(&p->text, '\n', e);
}

static const char *text_of(const json_t *value, const char *key)
{
	const char *text = json_string_value(json_object_get(value, key));

	return text ? text : "";
}

static int add_head(struct page *p, const json_t *status, struct err *e)
{
	const char *state = text_of(status, "state");
	enum render_colour colour = render_state_colour(state);

	return add_line(p, colour, "●", text_of(status, "summary"), e);
}

/* ", last success 4 h ago" when the time is known. */
static int add_moment(struct page *p, const json_t *status, const char *key,
		      const char *label, struct err *e)
{
	const json_t *value = json_object_get(status, key);

	if (!json_is_string(value))
		return 0;
	if (buf_addf(&p->text, e, ", %s ", label) < 0)
		return -1;
	return render_value(p->style, CELL_AGE, value, &p->text, e);
}

static int add_counts(struct page *p, const json_t *status, struct err *e)
{
	const size_t sources = json_array_size(
		json_object_get(status, "sources"));
	const size_t regions = json_array_size(
		json_object_get(status, "regions"));

	if (buf_addf(&p->text, e, "  %zu source%s, %zu region%s", sources,
		     sources == 1 ? "" : "s", regions,
		     regions == 1 ? "" : "s") < 0 ||
	    add_moment(p, status, "last_success", "last success", e) < 0 ||
	    add_moment(p, status, "next", "next run", e) < 0)
		return -1;
	return buf_add_byte(&p->text, '\n', e);
}

/* A table through the same code as every other. */
static int put_table(struct page *p, const char *view, const json_t *rows,
		     struct err *e)
{
	CLEANUP(render_free) struct render *table = NULL;
	char *json;
	int status;

	if (json_array_size(rows) == 0)
		return 0;
	json = jsontree_dump(rows, JSON_COMPACT);
	if (!json)
		return err_oom(e);
	status = render_new(&table, p->out, view, p->style, e);
	if (status == 0)
		status = render_put(p->out, "\n", 1, e);
	if (status == 0)
		status = render_write(table, json, strlen(json), e);
	if (status == 0)
		status = render_finish(table, e);
	free(json);
	return status;
}

/* "~ web-config: 2 changed, 1 added 3 h ago; "snapctl run show 17" shows it" */
static int add_drift(struct page *p, const json_t *source, struct err *e)
{
	static const char *const kinds[] = { "changed", "added", "removed" };
	const json_t *drift = json_object_get(source, "drift");
	const char *name = text_of(source, "source");
	const char *comma = "";

	if (!drift)
		return 0;
	if (buf_addf(&p->text, e, "%s~%s ",
		     render_colour(p->style, COLOUR_YELLOW),
		     render_plain(p->style)) < 0 ||
	    render_escape(name, strlen(name), false, &p->text, e) < 0 ||
	    buf_add_str(&p->text, ": ", e) < 0)
		return -1;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		const json_int_t n = json_integer_value(
			json_object_get(drift, kinds[i]));

		if (n && buf_addf(&p->text, e, "%s%jd %s", comma, (intmax_t)n,
				  kinds[i]) < 0)
			return -1;
		comma = n ? ", " : comma;
	}
	if (buf_add_byte(&p->text, ' ', e) < 0 ||
	    render_value(p->style, CELL_AGE, json_object_get(drift, "at"),
			 &p->text, e) < 0)
		return -1;
	return buf_addf(
		&p->text, e, "; \"snapctl run show %jd\" shows it\n",
		(intmax_t)json_integer_value(json_object_get(drift, "run")));
}

static int add_drifts(struct page *p, const json_t *sources, struct err *e)
{
	bool any = false;

	for (size_t i = 0; i < json_array_size(sources); i++) {
		const json_t *source = json_array_get(sources, i);

		if (!any && json_object_get(source, "drift") &&
		    buf_add_byte(&p->text, '\n', e) < 0)
			return -1;
		any |= json_object_get(source, "drift") != NULL;
		if (add_drift(p, source, e) < 0)
			return -1;
	}
	return 0;
}

static int put_text(struct page *p, struct err *e)
{
	const int status = render_put(p->out, buf_str(&p->text), p->text.len,
				      e);

	buf_clear(&p->text);
	return status;
}

static int add_problems(struct page *p, const json_t *problems, struct err *e)
{
	for (size_t i = 0; i < json_array_size(problems); i++) {
		const json_t *problem = json_array_get(problems, i);
		const char *hint = text_of(problem, "hint");

		if ((i == 0 && buf_add_byte(&p->text, '\n', e) < 0) ||
		    add_line(p, COLOUR_RED, "!", text_of(problem, "message"),
			     e) < 0 ||
		    (*hint && add_line(p, COLOUR_NONE, " ", hint, e) < 0))
			return -1;
	}
	return 0;
}

int render_status(FILE *out, const struct render_style *style,
		  const json_t *value, struct err *e)
{
	struct page p = { .out = out, .style = style };
	int status;

	buf_init(&p.text, RENDER_VALUE);
	status = add_head(&p, value, e);
	if (status == 0)
		status = add_counts(&p, value, e);
	if (status == 0)
		status = put_text(&p, e);
	if (status == 0)
		status = put_table(&p,
				   "source schedule state:state "
				   "last_success:age=last next:age",
				   json_object_get(value, "sources"), e);
	if (status == 0)
		status = put_table(&p,
				   "repository region state:state "
				   "newest:age=newest_copy lag=behind "
				   "collected:age=collected "
				   "bytes_pending:size=to_be_freed waits_for",
				   json_object_get(value, "regions"), e);
	if (status == 0)
		status = add_drifts(&p, json_object_get(value, "sources"), e);
	if (status == 0)
		status = add_problems(&p, json_object_get(value, "problems"),
				      e);
	if (status == 0)
		status = put_text(&p, e);
	buf_done(&p.text);
	return status;
}

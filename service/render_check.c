/*
 * The view "!check": is the repository sound, what was looked at, and, object
 * by object, what is damaged and who loses by it.
 *
 *	● sound: every stored byte is what it should be
 *	  12 snapshots, 1.6 GiB in 53 packs, 10,213 chunks; 3.1 s
 *	  3 locked or held snapshots: 61 objects, all locked in the store
 *
 *	● not sound: 1 object is damaged, 2 paths are lost
 *	  12 snapshots, 1.6 GiB in 53 packs; 0.2 s
 *
 *	! data/ab/ab02c64f…  2 chunks: it fails authentication
 *	    in snapshots 1a7027ca, 77e0b2c4
 *	    /etc/nginx/nginx.conf
 *	    /etc/nginx/mime.types
 *
 *	  "snapctl repo check --repair" …
 */
#include <string.h>

#include "base/text.h"
#include "service/render_internal.h"

/* Lists are shortened for people; --json has more. */
#define SNAPSHOTS_SHOWN 6
#define PATHS_SHOWN	10
#define OBJECTS_SHOWN	20

struct page {
	const struct render_style *style;
	struct buf text;
};

static uint64_t number(const json_t *value, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(value, key));
}

static const char *text_of(const json_t *value, const char *key)
{
	const char *text = json_string_value(json_object_get(value, key));

	return text ? text : "";
}

static int add_text(struct page *p, const char *text, struct err *e)
{
	return render_escape(text, strlen(text), false, &p->text, e);
}

/* "1 object", "1,234 objects" */
static int add_count(struct page *p, uint64_t n, const char *what,
		     struct err *e)
{
	json_t *value = json_integer((json_int_t)n);
	int status;

	if (!value)
		return err_oom(e);
	status = render_value(p->style, CELL_COUNT, value, &p->text, e);
	json_decref(value);
	if (status < 0)
		return -1;
	return buf_addf(&p->text, e, " %s%s", what, n == 1 ? "" : "s");
}

static int add_mark(struct page *p, enum render_colour colour, const char *mark,
		    struct err *e)
{
	return buf_addf(&p->text, e, "%s%s%s ", render_colour(p->style, colour),
			mark, render_plain(p->style));
}

static int add_verdict(struct page *p, const json_t *value, struct err *e)
{
	const uint64_t damaged = number(value, "damaged_count");
	const uint64_t lost = number(value, "lost");

	if (json_is_true(json_object_get(value, "sound")))
		return add_mark(p, COLOUR_GREEN, "●", e) < 0 ||
				       buf_add_str(
					       &p->text,
					       strcmp(text_of(value, "level"),
						      "data") == 0
						       ? "sound: every stored "
							 "byte is what it "
							 "should be\n"
						       : "sound: all that "
							 "snapshots need is "
							 "in its place\n",
					       e) < 0
			       ? -1
			       : 0;
	if (add_mark(p, COLOUR_RED, "●", e) < 0 ||
	    buf_add_str(&p->text, "not sound: ", e) < 0 ||
	    add_count(p, damaged, "damaged object", e) < 0)
		return -1;
	if (lost && (buf_add_str(&p->text, ", ", e) < 0 ||
		     add_count(p, lost, "chunk", e) < 0 ||
		     buf_add_str(&p->text, " lost", e) < 0))
		return -1;
	return buf_add_byte(&p->text, '\n', e);
}

static int add_counts(struct page *p, const json_t *value, struct err *e)
{
	const bool data = strcmp(text_of(value, "level"), "data") == 0;
	char size[16];

	text_size(number(value, "bytes"), size);
	if (buf_add_str(&p->text, "  ", e) < 0 ||
	    add_count(p, number(value, "snapshots"), "snapshot", e) < 0 ||
	    buf_add_str(&p->text, ", ", e) < 0 ||
	    (data && buf_addf(&p->text, e, "%s in ", size) < 0) ||
	    add_count(p, number(value, "packs"), "pack", e) < 0)
		return -1;
	if (data && (buf_add_str(&p->text, ", ", e) < 0 ||
		     add_count(p, number(value, "chunks"), "chunk", e) < 0))
		return -1;
	if (buf_add_str(&p->text, "; ", e) < 0 ||
	    render_value(p->style, CELL_SECONDS,
			 json_object_get(value, "seconds"), &p->text, e) < 0)
		return -1;
	return buf_add_byte(&p->text, '\n', e);
}

static int add_leavings(struct page *p, const json_t *value, struct err *e)
{
	const bool sound = json_is_true(json_object_get(value, "sound"));
	/* After damage to the index it would say something else. */
	const uint64_t unindexed = sound ? number(value, "unindexed") : 0;
	const uint64_t unknown = number(value, "unknown");

	if (unindexed &&
	    (buf_add_str(&p->text, "  ", e) < 0 ||
	     add_count(p, unindexed, "chunk", e) < 0 ||
	     buf_add_str(&p->text, " of interrupted sessions\n", e) < 0))
		return -1;
	if (unknown &&
	    (buf_add_str(&p->text, "  ", e) < 0 ||
	     add_count(p, unknown, "file", e) < 0 ||
	     buf_add_str(&p->text, " that are not snapctl's\n", e) < 0))
		return -1;
	return 0;
}

static int add_more(struct page *p, uint64_t all, size_t shown, struct err *e)
{
	if (all <= shown)
		return 0;
	return buf_addf(&p->text, e, " and %llu more",
			(unsigned long long)(all - shown));
}

static int add_snapshots(struct page *p, const json_t *finding, struct err *e)
{
	const json_t *list = json_object_get(finding, "snapshots");
	size_t shown = json_array_size(list);

	if (shown == 0)
		return 0;
	if (shown > SNAPSHOTS_SHOWN)
		shown = SNAPSHOTS_SHOWN;
	if (buf_add_str(&p->text, "    in snapshot ", e) < 0)
		return -1;
	for (size_t i = 0; i < shown; i++) {
		const char *id = json_string_value(json_array_get(list, i));

		if (buf_add_str(&p->text, i ? ", " : "", e) < 0 ||
		    render_word(id ? id : "", 8, 0, &p->text, e) < 0)
			return -1;
	}
	if (add_more(p, number(finding, "snapshot_count"), shown, e) < 0)
		return -1;
	return buf_add_byte(&p->text, '\n', e);
}

static int add_paths(struct page *p, const json_t *finding, struct err *e)
{
	const json_t *list = json_object_get(finding, "paths");
	size_t shown = json_array_size(list);

	if (shown > PATHS_SHOWN)
		shown = PATHS_SHOWN;
	for (size_t i = 0; i < shown; i++) {
		const char *path = json_string_value(json_array_get(list, i));

		if (buf_add_str(&p->text, "    ", e) < 0 ||
		    add_text(p, path ? path : "", e) < 0 ||
		    buf_add_byte(&p->text, '\n', e) < 0)
			return -1;
	}
	if (number(finding, "path_count") <= shown)
		return 0;
	if (buf_add_str(&p->text, "   ", e) < 0 ||
	    add_more(p, number(finding, "path_count"), shown, e) < 0)
		return -1;
	return buf_add_byte(&p->text, '\n', e);
}

static int add_finding(struct page *p, const json_t *finding,
		       enum render_colour colour, const char *mark,
		       struct err *e)
{
	const uint64_t chunks = number(finding, "chunks");

	if (add_mark(p, colour, mark, e) < 0 ||
	    add_text(p, text_of(finding, "object"), e) < 0 ||
	    buf_add_str(&p->text, "\n    ", e) < 0)
		return -1;
	if (chunks && (add_count(p, chunks, "chunk", e) < 0 ||
		       buf_add_str(&p->text, ": ", e) < 0))
		return -1;
	if (add_text(p, text_of(finding, "message"), e) < 0 ||
	    buf_add_byte(&p->text, '\n', e) < 0 ||
	    add_snapshots(p, finding, e) < 0)
		return -1;
	return add_paths(p, finding, e);
}

static int add_findings(struct page *p, const json_t *list,
			enum render_colour colour, const char *mark,
			struct err *e)
{
	const size_t n = json_array_size(list);
	const size_t shown = n < OBJECTS_SHOWN ? n : OBJECTS_SHOWN;

	if (n && buf_add_byte(&p->text, '\n', e) < 0)
		return -1;
	for (size_t i = 0; i < shown; i++)
		if (add_finding(p, json_array_get(list, i), colour, mark, e) <
		    0)
			return -1;
	if (n == shown)
		return 0;
	return buf_addf(&p->text, e, "  and %zu more objects\n", n - shown);
}

static int add_repaired(struct page *p, const json_t *value, struct err *e)
{
	const json_t *r = json_object_get(value, "repaired");

	if (!r)
		return 0;
	if (buf_add_str(&p->text, "\n  repaired: ", e) < 0 ||
	    add_count(p, number(r, "indexed"), "chunk", e) < 0 ||
	    buf_add_str(&p->text, " indexed, ", e) < 0 ||
	    add_count(p, number(r, "salvaged"), "chunk", e) < 0 ||
	    buf_add_str(&p->text, " copied out of damaged packs, ", e) < 0 ||
	    (number(r, "fetched") &&
	     (add_count(p, number(r, "fetched"), "chunk", e) < 0 ||
	      buf_add_str(&p->text, " from the other region, ", e) < 0)) ||
	    (number(r, "receipts") &&
	     (add_count(p, number(r, "receipts"), "receipt", e) < 0 ||
	      buf_add_str(&p->text, " written, ", e) < 0)) ||
	    add_count(p, number(r, "quarantined"), "damaged thing", e) < 0)
		return -1;
	return buf_add_str(&p->text, " given up\n", e);
}

static int add_short_one(struct page *p, const json_t *f, struct err *e)
{
	const char *until = text_of(f, "until");
	const char *needed = text_of(f, "needed");
	const bool unheld = json_is_true(json_object_get(f, "hold_missing"));

	if (add_mark(p, COLOUR_YELLOW, "!", e) < 0 ||
	    add_text(p, text_of(f, "object"), e) < 0 ||
	    buf_add_str(&p->text,
			unheld	 ? "\n    it is not held"
			: *until ? "\n    it is locked until "
				 : "\n    it is not locked",
			e) < 0 ||
	    (!unheld && add_text(p, until, e) < 0) ||
	    (*needed && buf_add_str(&p->text, ", and needed until ", e) < 0) ||
	    add_text(p, needed, e) < 0)
		return -1;
	return buf_add_byte(&p->text, '\n', e);
}

/* What is not locked in the store as it has to be. */
static int add_short(struct page *p, const json_t *locks, struct err *e)
{
	const json_t *list = json_object_get(locks, "findings");
	const uint64_t all = number(locks, "short");
	size_t shown = json_array_size(list);

	if (shown > OBJECTS_SHOWN)
		shown = OBJECTS_SHOWN;
	for (size_t i = 0; i < shown; i++)
		if (buf_add_str(&p->text, i ? "" : "\n", e) < 0 ||
		    add_short_one(p, json_array_get(list, i), e) < 0)
			return -1;
	if (all <= shown)
		return 0;
	return buf_addf(&p->text, e, "  and %llu more objects\n",
			(unsigned long long)(all - shown));
}

static int add_locks(struct page *p, const json_t *value, struct err *e)
{
	const json_t *locks = json_object_get(value, "object_lock");
	const uint64_t short_ = number(locks, "short");

	if (!number(locks, "snapshots") || json_object_get(locks, "error"))
		return 0;
	if (buf_add_str(&p->text, "  ", e) < 0 ||
	    add_count(p, number(locks, "snapshots"), "locked or held snapshot",
		      e) < 0 ||
	    buf_add_str(&p->text, ": ", e) < 0 ||
	    add_count(p, number(locks, "objects"), "object", e) < 0)
		return -1;
	if (short_ == 0)
		return buf_add_str(&p->text, ", all locked in the store\n", e);
	return buf_addf(&p->text, e, ", %llu of them not as long as needed\n",
			(unsigned long long)short_);
}

static int add_page(struct page *p, const json_t *value, struct err *e)
{
	const char *advice = text_of(value, "advice");

	if (add_verdict(p, value, e) < 0 || add_counts(p, value, e) < 0 ||
	    add_leavings(p, value, e) < 0 || add_locks(p, value, e) < 0 ||
	    add_short(p, json_object_get(value, "object_lock"), e) < 0 ||
	    add_findings(p, json_object_get(value, "damaged"), COLOUR_RED, "!",
			 e) < 0 ||
	    add_findings(p, json_object_get(value, "quarantined"), COLOUR_DIM,
			 "given up:", e) < 0 ||
	    add_repaired(p, value, e) < 0)
		return -1;
	if (!*advice)
		return 0;
	if (buf_add_str(&p->text, "\n  ", e) < 0 || add_text(p, advice, e) < 0)
		return -1;
	return buf_add_byte(&p->text, '\n', e);
}

int render_check(FILE *out, const struct render_style *style,
		 const json_t *value, struct err *e)
{
	struct page p = { .style = style };
	int status;

	buf_init(&p.text, RENDER_VALUE);
	status = add_page(&p, value, e);
	if (status == 0)
		status = render_put(out, buf_str(&p.text), p.text.len, e);
	buf_done(&p.text);
	return status;
}

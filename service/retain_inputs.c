/*
 * The inputs of an evaluation as JSON:
 *
 *	{"policies":[SET],"former":[SET],"format":2,"cooling_off_ms":MS,
 *	 "budget":{"present":N,"deleted":N},"doubtful":BOOL,
 *	 "elsewhere":[{"region","policies":[SET],"former":[SET]}],
 *	 "snapshots":[SNAPSHOT]}
 *
 *	SET		{"policy","uid","version","spec":{…},"zone_data"}, of
 *			a former one "until" and perhaps "before_all" as well;
 *			"floor_only" where a region has rules of its own.
 *			Without a spec it keeps everything.  Elsewhere, the
 *			former ones are those that are asked, if any is.
 *	SNAPSHOT	{"id","received","complete","scheduled","tags","held",
 *			"locked","locked_until","shown","cancelled",
 *			"copies":[{"region","verified"}],"lacks":[REGION],
 *			"gone":[REGION]}; what is false or not so is left out,
 *			but for complete, scheduled and held
 *
 * Where there is anything of a floor only the format is 3, and where there is
 * anything elsewhere it is 4, which programs before do not know.  Those of
 * format 3 asked elsewhere as if there were no others than these.  Programs
 *before format 2 stored no spec, no copies and only what was left of the
 *budget.
 *
 * What a person reads comes first; the snapshots come last, for they are read
 * one by one: a document tree of all of them would take ten times the memory.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "service/jsontree.h"
#include "service/retain_decide.h"
#include "service/zoneinfo.h"

#define FORMAT		2
#define FORMAT_APART	3
#define FORMAT_OPEN	4
#define SNAPSHOTS_BEGIN ",\"snapshots\":["

/* Memory for one case that is read. */
#define STORED_MAX ((size_t)1 << 30)

/* ---- Writing ------------------------------------------------------------ */

static void write_set(const struct retain_case *c, const struct retain_rules *r,
		      struct json *out)
{
	char digest[RETAIN_ZONE_DIGEST];

	json_begin_object(out);
	json_kv_str(out, "policy", r->name);
	json_kv_str(out, "uid", r->uid);
	json_kv_int(out, "version", r->version);
	if (r->former)
		json_kv_instant(out, "until", r->until);
	if (r->before_all)
		json_kv_bool(out, "before_all", true);
	if (r->floor_only)
		json_kv_bool(out, "floor_only", true);
	if (r->spec && r->zone) {
		json_key(out, "spec");
		json_raw(out, r->spec);
		retain_zone_digest(r->zone, c->now, digest);
		json_kv_str(out, "zone_data", digest);
	}
	json_end_object(out);
}

static void write_sets(const struct retain_case *c,
		       const struct retain_rule_sets *s, bool former,
		       struct json *out)
{
	json_begin_list(out);
	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].former == former)
			write_set(c, &s->v[i], out);
	json_end_list(out);
}

static void write_asked(const struct retain_case *c,
			const struct retain_rule_sets *s, struct json *out)
{
	bool any = false;

	for (size_t i = 0; i < s->n; i++) {
		if (!s->v[i].former || !retain_rules_is_asked(&s->v[i]))
			continue;
		if (!any) {
			json_key(out, "former");
			json_begin_list(out);
		}
		any = true;
		write_set(c, &s->v[i], out);
	}
	if (any)
		json_end_list(out);
}

static void write_elsewhere(const struct retain_case *c, struct json *out)
{
	json_key(out, "elsewhere");
	json_begin_list(out);
	for (size_t i = 0; i < c->n_elsewhere; i++) {
		json_begin_object(out);
		json_kv_str(out, "region", c->elsewhere[i].region);
		json_key(out, "policies");
		write_sets(c, c->elsewhere[i].rules, false, out);
		write_asked(c, c->elsewhere[i].rules, out);
		json_end_object(out);
	}
	json_end_list(out);
}

static void write_regions(const struct retain_case *c, const char *key,
			  uint32_t bits, struct json *out)
{
	if (!bits)
		return;
	json_key(out, key);
	json_begin_list(out);
	for (size_t i = 0; i < c->n_elsewhere; i++)
		if (bits & UINT32_C(1) << i)
			json_str(out, c->elsewhere[i].region);
	json_end_list(out);
}

/* What programs before would not obey. */
static bool is_apart(const struct retain_case *c)
{
	for (size_t i = 0; i < c->rules->n; i++)
		if (c->rules->v[i].floor_only)
			return true;
	return c->n_elsewhere > 0;
}

static void write_copies(const struct retain_input *in, struct json *out)
{
	json_key(out, "copies");
	json_begin_list(out);
	for (size_t i = 0; i < in->n_copies; i++) {
		const struct retain_verified *k = &in->copies[i];

		json_begin_object(out);
		json_kv_str(out, "region", k->region);
		if (k->copy.verified)
			json_kv_instant(out, "verified", k->copy.oldest);
		json_end_object(out);
	}
	json_end_list(out);
}

static void write_input(const struct retain_case *c,
			const struct retain_input *in, struct json *out)
{
	json_begin_object(out);
	json_kv_str(out, "id", in->id);
	json_kv_instant(out, "received", in->received);
	json_kv_bool(out, "complete", in->complete);
	json_kv_bool(out, "scheduled", in->scheduled);
	json_key(out, "tags");
	json_begin_list(out);
	for (size_t i = 0; i < in->n_tags; i++)
		json_str(out, in->tags[i]);
	json_end_list(out);
	json_kv_bool(out, "held", in->held);
	/* A lock that does not open has no end. */
	if (in->locked && in->locked_until.sec == INT64_MAX)
		json_kv_bool(out, "locked", true);
	else if (in->locked)
		json_kv_instant(out, "locked_until", in->locked_until);
	if (in->shown)
		json_kv_instant(out, "shown", in->shown_at);
	if (in->cancelled)
		json_kv_bool(out, "cancelled", true);
	if (in->n_copies)
		write_copies(in, out);
	write_regions(c, "lacks", in->lacks, out);
	write_regions(c, "gone", in->gone, out);
	json_end_object(out);
}

int retain_inputs_write(const struct retain_case *c, struct buf *out,
			struct err *e)
{
	struct json j;

	json_init(&j, json_to_buf, out);
	json_begin_object(&j);
	json_key(&j, "policies"); /* first: RETAIN_INPUTS_BEGIN */
	write_sets(c, c->rules, false, &j);
	json_key(&j, "former");
	write_sets(c, c->rules, true, &j);
	json_kv_int(&j, "format",
		    !is_apart(c)			 ? FORMAT
		    : c->n_elsewhere && !c->asks_exactly ? FORMAT_OPEN
							 : FORMAT_APART);
	json_kv_int(&j, "cooling_off_ms", c->cooling_off_ms);
	json_key(&j, "budget");
	json_begin_object(&j);
	json_kv_uint(&j, "present", c->present);
	json_kv_uint(&j, "deleted", c->deleted);
	json_end_object(&j);
	json_kv_bool(&j, "doubtful", c->is_doubtful);
	if (c->n_elsewhere)
		write_elsewhere(c, &j);
	json_key(&j, "snapshots"); /* last: SNAPSHOTS_BEGIN */
	json_begin_list(&j);
	for (size_t i = 0; i < c->n; i++)
		write_input(c, &c->v[i], &j);
	json_end_list(&j);
	json_end_object(&j);
	return json_finish(&j, e);
}

/* ---- Reading ------------------------------------------------------------ */

static int unreadable(struct err *e, const char *what)
{
	return err_set(e, ERR_CORRUPT, "the stored inputs cannot be read: %s",
		       what);
}

/* Set when the key is there: 1, 0 when not, -1 when it is no moment. */
static int read_moment(const json_t *from, const char *key, struct instant *ret,
		       struct err *e)
{
	const json_t *value = json_object_get(from, key);
	struct err why;

	if (!value)
		return 0;
	if (!json_is_string(value) ||
	    instant_parse(json_string_value(value), ret, &why) < 0)
		return unreadable(e, key);
	return 1;
}

static int read_spec(struct retain_stored *s, struct retain_rules *r,
		     const json_t *from, struct err *e)
{
	const json_t *spec = json_object_get(from, "spec");
	const char *then = json_string_value(
		json_object_get(from, "zone_data"));
	char now[RETAIN_ZONE_DIGEST];
	struct resource_form form = { .kind = "Policy", .name = r->name };
	char *text;
	int failed;

	if (!spec)
		return 0;
	text = jsontree_dump(spec, JSON_COMPACT);
	if (!text)
		return err_oom(e);
	form.spec_json = text;
	failed = retain_rules_prepare(r, &form, e);
	free(text);
	if (failed < 0)
		return err_wrap(e, "the stored rules of policy %s",
				text_quote_str(r->name).s);
	retain_zone_digest(r->zone, s->c.now, now);
	if (!then || strcmp(then, now) != 0)
		s->zone_changed = r->resource->policy.time_zone;
	return 0;
}

static int read_set(struct retain_stored *s, struct retain_rule_sets *sets,
		    const json_t *from, bool former, struct err *e)
{
	const char *name = json_string_value(json_object_get(from, "policy"));
	const char *uid = json_string_value(json_object_get(from, "uid"));
	const json_t *version = json_object_get(from, "version");
	struct retain_rules *r;
	int dated;

	if (!name || !uid || !json_is_integer(version))
		return unreadable(e, "a set of rules has no name");
	r = retain_rules_add(sets, e);
	if (!r)
		return -1;
	(void)snprintf(r->name, sizeof(r->name), "%s", name);
	(void)snprintf(r->uid, sizeof(r->uid), "%s", uid);
	r->version = json_integer_value(version);
	r->former = former;
	r->before_all = json_is_true(json_object_get(from, "before_all"));
	r->floor_only = json_is_true(json_object_get(from, "floor_only"));
	dated = read_moment(from, "until", &r->until, e);
	if (dated < 0)
		return -1;
	if (former != (dated == 1))
		return unreadable(e, "until when a set of rules was in force");
	return read_spec(s, r, from, e);
}

static int read_sets(struct retain_stored *s, struct retain_rule_sets *sets,
		     const json_t *list, bool former, struct err *e)
{
	if (!json_is_array(list))
		return unreadable(e, "the rules");
	for (size_t i = 0; i < json_array_size(list); i++)
		if (read_set(s, sets, json_array_get(list, i), former, e) < 0)
			return -1;
	return 0;
}

/* Those that were asked as long as their change cooled off, if any. */
static int read_asked(struct retain_stored *s, struct retain_rule_sets *sets,
		      const json_t *list, struct err *e)
{
	const size_t n = sets->n;

	if (list && read_sets(s, sets, list, true, e) < 0)
		return -1;
	for (size_t i = n; i < sets->n; i++)
		sets->v[i].was_own = true;
	return 0;
}

static int read_elsewhere(struct retain_stored *s, const json_t *list,
			  struct err *e)
{
	const size_t n = json_array_size(list);

	if (n > RETAIN_ELSEWHERE_MAX)
		return unreadable(e, "too many regions");
	for (size_t i = 0; i < n; i++) {
		const json_t *from = json_array_get(list, i);
		const json_t *region = json_object_get(from, "region");

		if (!json_is_string(region))
			return unreadable(e, "a region");
		s->elsewhere[i].region = arena_text(
			&s->arena, json_string_value(region),
			json_string_length(region), e);
		if (!s->elsewhere[i].region ||
		    read_sets(s, &s->others[i],
			      json_object_get(from, "policies"), false,
			      e) < 0 ||
		    read_asked(s, &s->others[i],
			       json_object_get(from, "former"), e) < 0)
			return -1;
		s->c.n_elsewhere = i + 1;
	}
	return 0;
}

static int read_regions(const struct retain_stored *s, const json_t *list,
			uint32_t *ret, struct err *e)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *name = json_string_value(json_array_get(list, i));
		size_t at = 0;

		while (name && at < s->c.n_elsewhere &&
		       strcmp(s->elsewhere[at].region, name) != 0)
			at++;
		if (!name || at == s->c.n_elsewhere)
			return unreadable(e, "a region");
		*ret |= UINT32_C(1) << at;
	}
	return 0;
}

static int read_count(const json_t *value, uint64_t *ret, struct err *e)
{
	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return unreadable(e, "the budget");
	*ret = (uint64_t)json_integer_value(value);
	return 0;
}

static int read_head(struct retain_stored *s, const json_t *head, struct err *e)
{
	const json_t *budget = json_object_get(head, "budget");
	const json_t *cooling = json_object_get(head, "cooling_off_ms");
	const json_t *format = json_object_get(head, "format");

	if (!format)
		return 0;
	if (!json_is_integer(format) ||
	    (json_integer_value(format) != FORMAT &&
	     json_integer_value(format) != FORMAT_APART &&
	     json_integer_value(format) != FORMAT_OPEN))
		return err_set(e, ERR_NEWER,
			       "the stored inputs are of an unknown format");
	if (read_sets(s, &s->rules, json_object_get(head, "policies"), false,
		      e) < 0 ||
	    read_sets(s, &s->rules, json_object_get(head, "former"), true, e) <
		    0 ||
	    read_elsewhere(s, json_object_get(head, "elsewhere"), e) < 0 ||
	    read_count(json_object_get(budget, "present"), &s->c.present, e) <
		    0 ||
	    read_count(json_object_get(budget, "deleted"), &s->c.deleted, e) <
		    0)
		return -1;
	if (s->rules.n == 0 || s->rules.v[0].former)
		return unreadable(e, "no rules");
	if (!json_is_integer(cooling))
		return unreadable(e, "cooling_off_ms");
	s->c.cooling_off_ms = json_integer_value(cooling);
	s->c.asks_exactly = json_integer_value(format) == FORMAT_APART;
	s->c.is_doubtful = json_is_true(json_object_get(head, "doubtful"));
	return 1;
}

static int read_tags(struct retain_stored *s, const json_t *list,
		     struct retain_input *in, struct err *e)
{
	const size_t n = json_array_size(list);
	const char **tags = arena_new(&s->arena, (n + 1) * sizeof(*tags), e);

	if (!tags)
		return -1;
	for (size_t i = 0; i < n; i++) {
		const json_t *tag = json_array_get(list, i);

		if (!json_is_string(tag))
			return unreadable(e, "a tag");
		tags[i] = arena_text(&s->arena, json_string_value(tag),
				     json_string_length(tag), e);
		if (!tags[i])
			return -1;
	}
	in->tags = tags;
	in->n_tags = n;
	return 0;
}

static int read_copies(struct retain_stored *s, const json_t *list,
		       struct retain_input *in, struct err *e)
{
	const size_t n = json_array_size(list);
	struct retain_verified *copies;

	if (n == 0)
		return 0;
	if (n > RETAIN_COPIES_MAX)
		return unreadable(e, "too many copies");
	copies = arena_new(&s->arena, n * sizeof(*copies), e);
	if (!copies)
		return -1;
	for (size_t i = 0; i < n; i++) {
		const json_t *from = json_array_get(list, i);
		const char *region = json_string_value(
			json_object_get(from, "region"));
		const int verified = read_moment(from, "verified",
						 &copies[i].copy.oldest, e);

		if (verified < 0)
			return -1;
		if (!region)
			return unreadable(e, "a copy");
		(void)snprintf(copies[i].region, sizeof(copies[i].region), "%s",
			       region);
		copies[i].copy.verified = verified == 1;
	}
	in->copies = copies;
	in->n_copies = n;
	return 0;
}

static int read_lock(const json_t *from, struct retain_input *in, struct err *e)
{
	const int locked = read_moment(from, "locked_until", &in->locked_until,
				       e);

	if (locked < 0)
		return -1;
	in->locked = locked == 1;
	if (json_is_true(json_object_get(from, "locked"))) {
		in->locked = true;
		in->locked_until = (struct instant){ .sec = INT64_MAX };
	}
	return 0;
}

static int read_input(struct retain_stored *s, const json_t *from,
		      struct retain_input *in, struct err *e)
{
	const json_t *id = json_object_get(from, "id");
	int shown;

	if (!json_is_string(id))
		return unreadable(e, "a snapshot has no id");
	in->id = arena_text(&s->arena, json_string_value(id),
			    json_string_length(id), e);
	if (!in->id)
		return -1;
	in->complete = json_is_true(json_object_get(from, "complete"));
	in->scheduled = json_is_true(json_object_get(from, "scheduled"));
	in->held = json_is_true(json_object_get(from, "held"));
	in->cancelled = json_is_true(json_object_get(from, "cancelled"));
	if (read_moment(from, "received", &in->received, e) != 1)
		return unreadable(e, "when a snapshot was received");
	shown = read_moment(from, "shown", &in->shown_at, e);
	in->shown = shown == 1;
	return shown < 0 || read_lock(from, in, e) < 0 ||
			       read_tags(s, json_object_get(from, "tags"), in,
					 e) < 0 ||
			       read_copies(s, json_object_get(from, "copies"),
					   in, e) < 0 ||
			       read_regions(s, json_object_get(from, "lacks"),
					    &in->lacks, e) < 0 ||
			       read_regions(s, json_object_get(from, "gone"),
					    &in->gone, e) < 0
		       ? -1
		       : 0;
}

/* How many objects begin at this depth: an upper bound for the array. */
static size_t count_snapshots(const char *text)
{
	size_t n = 0;

	for (; (text = strstr(text, "{\"id\":")); text++)
		n++;
	return n;
}

/* text stands behind SNAPSHOTS_BEGIN. */
static int read_snapshots(struct retain_stored *s, const char *text,
			  struct err *e)
{
	const size_t room = count_snapshots(text);
	struct retain_input *v = arena_new(&s->arena, (room + 1) * sizeof(*v),
					   e);
	bool more = *text != ']';

	if (!v)
		return -1;
	while (more) {
		json_error_t why;
		json_t *from = jsontree_loads(text, JSON_DISABLE_EOF_CHECK,
					      &why);
		int failed;

		if (!from || s->c.n == room) {
			json_decref(from);
			return unreadable(e, "the snapshots");
		}
		text += why.position;
		failed = read_input(s, from, &v[s->c.n++], e);
		json_decref(from);
		if (failed < 0)
			return -1;
		more = *text == ',';
		text += more;
	}
	if (strcmp(text, "]}") != 0)
		return unreadable(e, "they are cut");
	s->c.v = v;
	return 0;
}

static int load_head(const char *inputs, size_t n, json_t **ret, struct err *e)
{
	CLEANUP(buf_done) struct buf head;
	json_error_t why;

	buf_init(&head, RETAIN_INPUTS_MAX);
	if (buf_add(&head, inputs, n, e) < 0 || buf_add_byte(&head, '}', e) < 0)
		return -1;
	*ret = jsontree_loads(buf_str(&head), 0, &why);
	return *ret ? 0 : unreadable(e, why.text);
}

int retain_inputs_read(const char *inputs, struct instant now,
		       struct retain_stored *ret, struct err *e)
{
	const char *snapshots = strstr(inputs, SNAPSHOTS_BEGIN);
	json_t *head = NULL;
	int got;

	*ret = (struct retain_stored){ .c = { .now = now } };
	arena_init(&ret->arena, STORED_MAX);
	if (!snapshots)
		return 0;
	if (load_head(inputs, (size_t)(snapshots - inputs), &head, e) < 0)
		return -1;
	got = read_head(ret, head, e);
	json_decref(head);
	if (got > 0 &&
	    read_snapshots(ret, snapshots + strlen(SNAPSHOTS_BEGIN), e) < 0)
		got = -1;
	if (got > 0) {
		retain_rules_summarize(&ret->rules);
		ret->c.rules = &ret->rules;
		ret->c.elsewhere = ret->elsewhere;
		for (size_t i = 0; i < ret->c.n_elsewhere; i++)
			ret->elsewhere[i].rules = &ret->others[i];
	}
	if (got < 0)
		retain_stored_done(ret);
	return got;
}

void retain_stored_done(struct retain_stored *s)
{
	retain_rules_done(&s->rules);
	for (size_t i = 0; i < RETAIN_ELSEWHERE_MAX; i++)
		retain_rules_done(&s->others[i]);
	arena_done(&s->arena);
}

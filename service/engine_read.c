#include "service/engine_read.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "service/args.h"
#include "service/engine.h"
#include "service/engine_named.h"
#include "service/progress.h"
#include "service/region_choice.h"
#include "storage/stores/store.h"

#define REPLY_MAX ((size_t)64 << 20)

struct candidate {
	const struct resource_region *region;
	struct region_fact fact;
	char newest[OBJECT_ID_TEXT]; /* of what is asked for, or "" */
	bool left;		     /* it may have more than is known */
};

struct engine_reading {
	const struct operation_call *call;
	struct resource *named; /* or NULL: a location */
	struct keyring_credential *key;
	struct candidate *all;
	size_t *order;
	size_t n, next;
	size_t *silent; /* of those: asked once more, when no other is left */
	size_t n_silent, next_silent;
	bool is_hurried;		/* the one that is tried */
	bool asked;			/* the daemon, for what it knows */
	const struct candidate *tried;	/* last */
	const struct candidate *opened; /* last: what is read */
	struct err first;		/* of the region that was asked first */
	char why[500];	/* what was wrong with those before, or "" */
	char none[500]; /* and with all of them */
};

void engine_reading_free(struct engine_reading *x)
{
	if (!x)
		return;
	keyring_credential_free(x->key);
	resource_free(x->named);
	free(x->all);
	free(x->order);
	free(x->silent);
	free(x);
}

/* ---- What there is ------------------------------------------------------ */

static int find_candidates(struct engine_reading *x, const char *region,
			   struct err *e)
{
	const struct resource_region *one = NULL;
	const size_t n = x->named && !region ? x->named->repository.region_count
					     : 1;
	const char *url;

	if (region && engine_is_location(region))
		return err_set(e, ERR_USAGE,
			       "--region takes a name; --repo takes locations");
	if (region && engine_named_region(x->named, region, &one, &url, e))
		return -1;
	x->all = calloc(n, sizeof(*x->all));
	x->order = calloc(n, sizeof(*x->order));
	x->silent = calloc(n, sizeof(*x->silent));
	if (!x->all || !x->order || !x->silent)
		return err_oom(e);
	x->n = n;
	for (size_t i = 0; i < n; i++) {
		const struct resource_region *r =
			one	   ? one
			: x->named ? &x->named->repository.regions[i]
				   : NULL;

		x->all[i].region = r;
		x->all[i].fact.primary = r && r->primary;
	}
	return 0;
}

static int settle(struct engine_reading *x, struct err *e)
{
	const char *region = operation_param_named(x->call->operation, "region")
				     ? args_text(x->call->args, "region")
				     : NULL;

	return engine_named(x->call, &x->named, e) < 0 ||
			       engine_named_key(x->call, x->named, &x->key,
						e) ||
			       find_candidates(x, region, e)
		       ? -1
		       : 0;
}

/* What is not tried yet, in the order of what is known. */
static int put_in_order(struct engine_reading *x, bool is_latest, struct err *e)
{
	struct region_fact *facts = calloc(x->n, sizeof(*facts));

	if (!facts)
		return err_oom(e);
	for (size_t i = 0; i < x->n; i++)
		facts[i] = x->all[i].fact;
	region_choice_order(facts, x->n, is_latest, x->order);
	free(facts);
	return 0;
}

int engine_reading_new(const struct operation_call *call,
		       struct engine_reading **ret, struct err *e)
{
	CLEANUP(engine_reading_free)
	struct engine_reading *x = calloc(1, sizeof(*x));

	if (!x)
		return err_oom(e);
	x->call = call;
	if (settle(x, e) || put_in_order(x, false, e))
		return -1;
	*ret = x;
	x = NULL;
	return 0;
}

/* ---- What is known ------------------------------------------------------ */

static void see_newest(struct candidate *c, const json_t *list,
		       const char *source)
{
	const json_t *row;
	size_t i;

	json_array_foreach(list, i, row)
	{
		const char *of = json_string_value(
			json_object_get(row, "source"));
		const char *id = json_string_value(
			json_object_get(row, "snapshot"));
		const char *text = json_string_value(
			json_object_get(row, "received"));
		struct instant received;
		struct err ignored;

		if (!id || !text ||
		    (source && (!of || strcmp(of, source) != 0)) ||
		    instant_parse(text, &received, &ignored) < 0 ||
		    instant_compare(received, c->fact.received) <= 0)
			continue;
		c->fact.received = received;
		(void)snprintf(c->newest, sizeof(c->newest), "%s", id);
	}
}

static void see_region(struct engine_reading *x, const json_t *row,
		       const char *source)
{
	const char *name = json_string_value(json_object_get(row, "region"));

	for (size_t i = 0; name && i < x->n; i++) {
		struct candidate *c = &x->all[i];

		if (strcmp(c->region->name, name) != 0)
			continue;
		c->fact.failed = json_is_false(json_object_get(row, "answers"));
		c->fact.damaged = json_is_false(json_object_get(row, "sound"));
		c->fact.failures =
			(unsigned int)(1000 * json_number_value(json_object_get(
						      row, "failures")));
		c->fact.latency_ms = json_integer_value(
			json_object_get(row, "latency_ms"));
		see_newest(c, json_object_get(row, "newest"), source);
	}
}

/* Without the daemon's word the order is that of the manifest. */
static void ask(struct engine_reading *x)
{
	const char *const params[][2] = { { "repository", x->named->name },
					  { NULL, NULL } };
	const char *source = operation_param_named(x->call->operation, "source")
				     ? args_text(x->call->args, "source")
				     : NULL;
	struct err ignored = { 0 };
	json_t *value;
	size_t i;

	x->asked = true;
	if (engine_ask_tree(x->call, "region health", params, REPLY_MAX, &value,
			    &ignored))
		return;
	for (i = 0; i < json_array_size(value); i++)
		see_region(x, json_array_get(value, i), source);
	json_decref(value);
}

/* ---- One after the other ------------------------------------------------ */

static const char *name_of(const struct candidate *c)
{
	return c->region ? c->region->name : "";
}

/* "region "here" lacks it (there is no snapshot "3f2a")", after others. */
static void add_why(char out[500], const char *region, const char *what,
		    const char *text, int room)
{
	const size_t used = strlen(out);

	(void)snprintf(out + used, 500 - used, "%sregion \"%s\" %s (%.*s)",
		       used ? "; " : "", region, what, room, text);
}

static void leave_for(struct engine_reading *x, const struct err *why,
		      bool is_open)
{
	const char *what = why->code == ERR_CORRUPT ? "is damaged"
			   : is_open && why->code == ERR_NOT_FOUND ? "lacks it"
			   : is_open ? "cannot be read"
				     : "cannot be reached";
	const char *region = name_of(x->tried);

	if (!is_open || why->code != ERR_NOT_FOUND)
		x->all[x->tried - x->all].left = true;
	/* Whatever there is of the others, the first is told whole; and of
	 * each what came first. */
	if (x->next_silent == 0)
		add_why(x->none, region, what, why->text,
			x->first.code == ERR_NONE ? 280 : 60);
	if (x->first.code == ERR_NONE)
		x->first = *why;
	add_why(x->why, region, what, why->text, 240);
}

/* It gets its second turn, which is the last one. */
static void note_silent(struct engine_reading *x, const struct err *why)
{
	if (why->code == ERR_BUSY && x->n > 1 && x->next_silent == 0)
		x->silent[x->n_silent++] = (size_t)(x->tried - x->all);
}

void engine_reading_leave(struct engine_reading *x, const struct err *why)
{
	leave_for(x, why, true);
	note_silent(x, why);
}

/* "26h", to the hour when it is days. */
static void write_span(struct instant from, struct instant to,
		       char out[INSTANT_TEXT])
{
	const int64_t ms = instant_ms_between(from, to);
	const int64_t unit = ms >= INT64_C(86400000)  ? 3600000
			     : ms >= INT64_C(3600000) ? 60000
						      : 1000;

	instant_duration_format(ms - ms % unit, out);
}

static void tell_age(const struct engine_reading *x, struct instant received,
		     char out[80])
{
	char text[INSTANT_TEXT];

	write_span(received, x->call->now, text);
	(void)snprintf(out, 80, ", whose newest snapshot is %s old", text);
}

/* That it is not the one that was meant, and what that means. */
static void tell(struct engine_reading *x)
{
	const struct candidate *c = x->opened;
	char age[80] = "";

	if (!x->why[0] && (x->n == 1 || c->fact.primary))
		return;
	if (!x->why[0])
		(void)snprintf(x->why, sizeof(x->why),
			       "the primary region does not have the newest "
			       "snapshot yet");
	if (c->newest[0])
		tell_age(x, c->fact.received, age);
	progress_note(x->call->progress, "note: %s; reading from \"%s\"%s",
		      x->why, name_of(c), age);
	x->why[0] = '\0';
}

/* That holds the newest known, if that is newer. */
static const struct candidate *find_newer(const struct engine_reading *x,
					  struct instant received)
{
	const struct candidate *best = NULL;

	for (size_t i = 0; i < x->n; i++) {
		const struct candidate *c = &x->all[i];

		if (c != x->opened &&
		    instant_compare(c->fact.received, received) > 0 &&
		    (!best || instant_compare(c->fact.received,
					      best->fact.received) > 0))
			best = c;
	}
	/* One that it had, and has no more, was deleted since. */
	return instant_compare(x->opened->fact.received, received) > 0 ? NULL
								       : best;
}

void engine_reading_tell_latest(const struct engine_reading *x,
				struct instant received)
{
	const struct candidate *best = find_newer(x, received);
	char newer[INSTANT_TEXT];
	char text[INSTANT_TEXT];
	char span[INSTANT_TEXT];
	size_t i = 0;

	instant_format(received, text);
	if (best) {
		instant_format(best->fact.received, newer);
		write_span(received, best->fact.received, span);
		progress_note(x->call->progress,
			      "note: a newer snapshot is known, %.8s of %s, in "
			      "region \"%s\"; latest is of %s, %s behind it",
			      best->newest, newer, name_of(best), text, span);
		return;
	}
	while (i < x->n && (&x->all[i] == x->opened || !x->all[i].left))
		i++;
	if (i < x->n)
		progress_note(x->call->progress,
			      "note: latest is of %s, the newest in region "
			      "\"%s\"; region \"%s\" may have newer ones",
			      text, name_of(x->opened), name_of(&x->all[i]));
}

static int open_one(struct engine_reading *x, struct repository **ret,
		    struct err *e)
{
	const struct resource_region *r = x->tried->region;
	struct store *s = NULL;

	if (store_open(r ? r->url : args_text(x->call->args, "repo"), false, &s,
		       e))
		return -1;
	if (x->is_hurried)
		store_set_patience(s, STORE_HURRIED);
	return repository_open_on(s, x->key, ret, e);
}

/* 1 it is open and has it; 0 it does not, and *why says why; -1. */
static int try(struct engine_reading *x, const char *text,
	       struct repository **ret,
	       struct repository_snapshot *ret_snapshot, struct err *why,
	       struct err *e)
{
	CLEANUP(repository_close) struct repository *r = NULL;
	bool is_open = false;

	if (open_one(x, &r, why) == 0) {
		is_open = true;
		if (!text ||
		    engine_snapshot(x->call, r, text, ret_snapshot, why) == 0) {
			store_set_patience(repository_store(r), STORE_PATIENT);
			*ret = TAKE(r);
			return 1;
		}
	}
	/* Something else than a folder may be where it should be. */
	if (x->n > 1 && (region_choice_is_away(why, REGION_READ) ||
			 (!is_open && why->code == ERR_USAGE))) {
		leave_for(x, why, is_open);
		if (x->is_hurried)
			note_silent(x, why);
		return 0;
	}
	*e = *why;
	return -1;
}

/* The next one: 1, or 0 when there is none. */
static int peek(const struct engine_reading *x, size_t *ret)
{
	if (x->next < x->n)
		*ret = x->order[x->next];
	else if (x->next_silent < x->n_silent)
		*ret = x->silent[x->next_silent];
	else
		return 0;
	return 1;
}

const char *engine_reading_other(const struct engine_reading *x)
{
	size_t i;

	return peek(x, &i) ? name_of(&x->all[i]) : NULL;
}

/*
 * Each is asked in a hurry first, while there are others; one that was silent
 * then has all patience in the end.
 */
static int go_on(struct engine_reading *x)
{
	size_t i;

	if (!peek(x, &i))
		return 0;
	x->is_hurried = x->n > 1 && x->next < x->n;
	if (x->next < x->n)
		x->next++;
	else
		x->next_silent++;
	x->tried = &x->all[i];
	return 1;
}

/* None is left: what was wrong with each; the first says of what kind. */
static int give_up(const struct engine_reading *x, struct err *e)
{
	if (x->first.code == ERR_NONE)
		return err_set(e, ERR_NOT_FOUND, "there is no other region");
	*e = x->first;
	if (x->n == 1)
		return -1;
	(void)snprintf(e->text, sizeof(e->text), "%s", x->none);
	if (!e->hint[0])
		return err_hint(e,
				"none of the %zu regions of %s could give "
				"it: \"snapctl region status\"",
				x->n, text_quote_str(x->named->name).s);
	return -1;
}

/* Once the first one failed, and for "latest", what is known counts. */
static int look_around(struct engine_reading *x, bool is_latest, struct err *e)
{
	const size_t done = x->next ? x->order[0] : x->n;

	if (x->asked || x->n < 2 || !(is_latest || x->next))
		return 0;
	ask(x);
	if (put_in_order(x, is_latest, e))
		return -1;
	/* What was tried stays in front. */
	for (size_t i = 0, last = done; done < x->n && i < x->n; i++) {
		const size_t here = x->order[i];

		x->order[i] = last;
		if (here == done)
			break;
		last = here;
	}
	return 0;
}

int engine_reading_open(struct engine_reading *x, const char *text,
			struct repository **ret,
			struct repository_snapshot *ret_snapshot, struct err *e)
{
	const bool is_latest = text && strcmp(text, "latest") == 0;

	for (;;) {
		struct err why = { 0 };
		int found;

		if (look_around(x, is_latest, e))
			return -1;
		if (!go_on(x))
			return give_up(x, e);
		if (ret_snapshot) {
			repository_snapshot_done(ret_snapshot);
			manifest_init(&ret_snapshot->manifest);
		}
		found = try(x, text, ret, ret_snapshot, &why, e);
		if (found < 0)
			return -1;
		if (found) {
			x->opened = x->tried;
			tell(x);
			if (is_latest)
				engine_reading_tell_latest(
					x, ret_snapshot->received);
			return 0;
		}
		if (operation_stopped(x->call, e))
			return -1;
	}
}

const char *engine_reading_region(const struct engine_reading *x)
{
	return x->opened && x->opened->region ? x->opened->region->name : NULL;
}

void engine_reading_write(const struct engine_reading *x, struct json *j)
{
	if (engine_reading_region(x))
		json_kv_str(j, "region", engine_reading_region(x));
}

int engine_read(const struct operation_call *call, struct repository **ret,
		struct err *e)
{
	CLEANUP(engine_reading_free) struct engine_reading *x = NULL;

	return engine_reading_new(call, &x, e) ||
			       engine_reading_open(x, NULL, ret, NULL, e)
		       ? -1
		       : 0;
}

/*
 * Who else is here: sessions and pins, watched until it is known of each
 * whether it is alive.
 *
 * An owner is alive when its record changed, gone when the record is, and
 * given up when it stood still for the lease of our own boot-time clock, as
 * far as we watched: time that we spent stopped ourselves does not count.
 * What does not open is in force, unless a quarantine names it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "storage/repository/fields.h"
#include "storage/repository/gc_internal.h"
#include "storage/repository/index_internal.h"
#include "storage/repository/voids.h"

int gc_announce(struct gc *g, struct err *e)
{
	struct record r;
	int failed;

	g->session = object_id_new();
	record_init(&r, OBJECT_SESSION);
	r.id = g->session;
	r.time = g->o->now;
	r.pid = (uint64_t)getpid();
	r.purpose = RECORD_COLLECT;
	fields_text(r.by, sizeof(r.by), g->o->host);
	failed = beat_start(g->store, g->keys, &r, &g->beat, e);
	record_done(&r);
	return failed ? err_wrap(e, "cannot open a session") : 0;
}

/* ---- Watching ----------------------------------------------------------- */

enum state { WATCHED, ALIVE, LEFT, STOOD_STILL };

struct owner {
	enum object_kind kind;
	struct object_id id;
	enum state state;
	bool seen; /* counter and host are known */
	uint64_t counter;
	unsigned int purpose;
	char host[RECORD_TEXT_MAX + 1];
};

struct watch {
	struct gc *g;
	struct owner *v;
	size_t n;
	size_t room;
	enum object_kind kind; /* what is being listed */
};

static int add_owner(void *arg, const struct store_entry *entry, struct err *e)
{
	struct watch *w = arg;
	struct object_id first;
	struct object_id id;

	if (!object_name_parse(w->kind, entry->name, &first, &id) ||
	    object_id_equal(id, w->g->session))
		return 0;
	if (w->n == w->room) {
		const size_t room = w->room ? 2 * w->room : 8;
		struct owner *grown;

		grown = reallocarray(w->v, room, sizeof(*grown));
		if (!grown)
			return err_oom(e);
		w->v = grown;
		w->room = room;
	}
	w->v[w->n++] = (struct owner){ .kind = w->kind, .id = id };
	return 0;
}

static int list_owners(struct watch *w, struct err *e)
{
	static const struct store_question both[] = {
		{ STORE_ASK_LISTING, "sessions/", 0 },
		{ STORE_ASK_LISTING, "pins/", 0 },
	};
	struct store_asked *asked = store_ask(w->g->store, both, 2);
	int failed;

	w->kind = OBJECT_SESSION;
	failed = store_list(w->g->store, "sessions/", add_owner, w, e);
	w->kind = OBJECT_PIN;
	failed = failed || store_list(w->g->store, "pins/", add_owner, w, e);
	store_ask_done(asked);
	return failed ? -1 : 0;
}

struct quarantined {
	struct object_id id;
	bool is;
};

static int see_quarantine(void *arg, const char *name, const struct record *r,
			  const struct err *why, struct err *e)
{
	static const struct chunk_id whole = { { 0 } };
	struct quarantined *q = arg;

	(void)name;
	(void)why;
	(void)e;
	for (size_t i = 0; r && i < r->n_ids; i++)
		if (object_id_equal(r->ids[i], q->id) &&
		    chunk_id_equal(&r->chunks[i], &whole))
			q->is = true;
	return 0;
}

/* It does not open: whoever it is may be at work. */
static int judge_unreadable(struct watch *w, struct owner *o, struct err *e)
{
	struct quarantined q = { .id = o->id };

	if (record_list(w->g->store, w->g->keys, OBJECT_QUARANTINE,
			see_quarantine, &q, e))
		return -1;
	if (!q.is) {
		o->state = ALIVE;
		(void)snprintf(o->host, sizeof(o->host), "?");
	}
	o->purpose = 0;
	return 0;
}

static int look(struct watch *w, struct owner *o, struct err *e)
{
	const struct object_name name = object_name(o->kind, o->id);
	struct err why = { 0 };
	struct record r;
	const int got = record_get(w->g->store, w->g->keys, o->kind, name.s, &r,
				   &why);

	if (got == 0) {
		o->state = LEFT;
		return 0;
	}
	if (got < 0) {
		if (!object_is_damage(&why) && why.code != ERR_NEWER) {
			*e = why;
			return -1;
		}
		return judge_unreadable(w, o, e);
	}
	if (o->seen && r.counter != o->counter)
		o->state = ALIVE;
	o->seen = true;
	o->counter = r.counter;
	o->purpose = r.purpose;
	memcpy(o->host, r.by, sizeof(o->host));
	record_done(&r);
	return 0;
}

static int look_at_all(struct watch *w, size_t *ret_watched, struct err *e)
{
	*ret_watched = 0;
	for (size_t i = 0; i < w->n; i++) {
		if (w->v[i].state != WATCHED)
			continue;
		if (look(w, &w->v[i], e))
			return -1;
		*ret_watched += w->v[i].state == WATCHED;
	}
	return 0;
}

static void sleep_ms(int64_t ms)
{
	struct timespec t = { .tv_sec = ms / 1000,
			      .tv_nsec = ms % 1000 * 1000000 };

	(void)nanosleep(&t, NULL);
}

static int watch_all(struct watch *w, struct err *e)
{
	const int64_t step_ms = w->g->lease_ms / 120 + 1;
	int64_t watched_ms = 0;
	size_t left;

	if (look_at_all(w, &left, e))
		return -1;
	while (left && watched_ms < w->g->lease_ms) {
		const int64_t before_ms = clock_boot_ms();
		int64_t passed_ms;

		if (gc_stopped(w->g, e))
			return -1;
		gc_stage(w->g, "waiting to see who is alive",
			 (uint64_t)watched_ms / 1000,
			 (uint64_t)w->g->lease_ms / 1000);
		sleep_ms(step_ms);
		if (look_at_all(w, &left, e))
			return -1;
		/* What we overslept ourselves they may have, too. */
		passed_ms = clock_boot_ms() - before_ms;
		watched_ms += passed_ms < 2 * step_ms ? passed_ms : 2 * step_ms;
	}
	for (size_t i = 0; i < w->n; i++)
		if (w->v[i].state == WATCHED)
			w->v[i].state = STOOD_STILL;
	return 0;
}

/* ---- Giving up ---------------------------------------------------------- */

/* What sessions that stood still had written: by session, for their voids. */
struct estate {
	struct gc *g;
	struct gc_ids sessions;
	struct record *voids; /* one for each session */
};

static struct record *void_of(struct estate *x, struct object_id session)
{
	for (size_t i = 0; i < x->sessions.n; i++)
		if (object_id_equal(x->sessions.v[i], session))
			return &x->voids[i];
	return NULL;
}

static bool is_among(const struct estate *x, struct object_id session)
{
	for (size_t i = 0; i < x->sessions.n; i++)
		if (object_id_equal(x->sessions.v[i], session))
			return true;
	return false;
}

static int note(struct estate *x, struct object_id session,
		struct object_id object, struct err *e)
{
	struct record *v = void_of(x, session);

	return v ? record_add_id(v, object, e) : 0;
}

static int note_index(void *arg, const struct index_object *o, struct err *e)
{
	return note(arg, o->session, o->in.id, e);
}

static int note_manifest(void *arg, const struct store_entry *entry,
			 struct err *e)
{
	struct object_id snapshot;
	struct object_id session;

	if (!object_name_parse(OBJECT_MANIFEST, entry->name, &snapshot,
			       &session))
		return 0;
	return note(arg, session, snapshot, e);
}

/* Whose one is that cannot be read is not known: it may be anybody's. */
static int note_undelete(void *arg, const char *name, const struct record *r,
			 const struct err *why, struct err *e)
{
	struct estate *x = arg;
	struct object_id snapshot;
	struct object_id id;

	(void)why;
	if (r)
		return note(x, r->session, r->id, e);
	if (!object_name_parse(OBJECT_UNDELETE, name, &snapshot, &id))
		return 0;
	for (size_t i = 0; i < x->sessions.n; i++)
		if (record_add_id(&x->voids[i], id, e))
			return -1;
	return 0;
}

/*
 * In the opposite order of their writing: what is seen of one, all before it
 * are seen of.  A damaged index object does not tell whose it is: a void that
 * left it out would annul it for ever, also when it is mended.
 */
static int list_estate(struct estate *x, struct err *e)
{
	const struct index_set_options o = { .cache_bytes = 0 };
	struct gc *g = x->g;
	CLEANUP(index_set_free) struct index_set *index = NULL;

	if (record_list(g->store, g->keys, OBJECT_UNDELETE, note_undelete, x,
			e) ||
	    store_list(g->store, "snapshots/", note_manifest, x, e) ||
	    index_set_open(g->store, g->keys, &o, &index, e))
		return -1;
	return index_set_each(index, note_index, x, e);
}

/* fence: from now on it acknowledges nothing. */
static int fence(struct gc *g, struct object_id session, struct err *e)
{
	struct record r;
	int failed;

	record_init(&r, OBJECT_FENCE);
	r.id = session;
	r.time = g->o->now;
	fields_text(r.by, sizeof(r.by), g->o->host);
	failed = record_put(g->store, g->keys, &r, 0, e);
	record_done(&r);
	if (failed && e->code == ERR_EXISTS) {
		err_clear(e); /* that it is there is all that counts */
		failed = 0;
	}
	return failed;
}

/* void: what it had written counts, and nothing that comes after. */
static int put_voids(struct estate *x, struct err *e)
{
	for (size_t i = 0; i < x->sessions.n; i++) {
		struct record *v = &x->voids[i];

		v->id = object_id_new();
		v->session = x->sessions.v[i];
		v->time = x->g->o->now;
		fields_text(v->by, sizeof(v->by), x->g->o->host);
		if (record_put(x->g->store, x->g->keys, v, 0, e) ||
		    store_remove(x->g->store,
				 object_name(OBJECT_SESSION, v->session).s, e))
			return -1;
	}
	return 0;
}

static int settle(struct estate *x, struct err *e)
{
	int failed = 0;

	if (x->sessions.n == 0)
		return 0;
	x->voids = calloc(x->sessions.n, sizeof(*x->voids));
	if (!x->voids)
		return err_oom(e);
	for (size_t i = 0; i < x->sessions.n; i++)
		record_init(&x->voids[i], OBJECT_VOID);
	for (size_t i = 0; !failed && i < x->sessions.n; i++)
		failed = fence(x->g, x->sessions.v[i], e);
	failed = failed || list_estate(x, e) || put_voids(x, e);
	for (size_t i = 0; i < x->sessions.n; i++)
		record_done(&x->voids[i]);
	free(x->voids);
	return failed ? -1 : 0;
}

/* Somebody fenced these, and died before the void. */
struct half {
	struct watch *w;
	struct estate *x;
	struct gc_ids voided;
};

static int add_voided(void *arg, const struct store_entry *entry, struct err *e)
{
	struct half *h = arg;
	struct object_id session;
	struct object_id id;

	return object_name_parse(OBJECT_VOID, entry->name, &session, &id)
		       ? gc_ids_add(&h->voided, session, e)
		       : 0;
}

static int add_fenced(void *arg, const struct store_entry *entry, struct err *e)
{
	struct half *h = arg;
	struct object_id first;
	struct object_id id;

	if (!object_name_parse(OBJECT_FENCE, entry->name, &first, &id) ||
	    gc_ids_has(&h->voided, id) || is_among(h->x, id))
		return 0;
	/* Its owner still moves: it will find the fence, and leave. */
	for (size_t i = 0; i < h->w->n; i++)
		if (object_id_equal(h->w->v[i].id, id) &&
		    h->w->v[i].state == ALIVE)
			return 0;
	return gc_ids_add(&h->x->sessions, id, e);
}

static int add_half_done(struct watch *w, struct estate *x, struct err *e)
{
	/* Who sees a fence and not yet its void settles it once more, as when
	 * the fence came in between. */
	static const struct store_question both[] = {
		{ STORE_ASK_LISTING, "voids/", 0 },
		{ STORE_ASK_LISTING, "fences/", 0 },
	};
	struct store_asked *asked = store_ask(w->g->store, both, 2);
	struct half h = { .w = w, .x = x };
	int failed;

	failed = store_list(w->g->store, "voids/", add_voided, &h, e);
	gc_ids_sort(&h.voided);
	failed = failed ||
		 store_list(w->g->store, "fences/", add_fenced, &h, e);
	store_ask_done(asked);
	gc_ids_done(&h.voided);
	return failed ? -1 : 0;
}

static int give_up(struct watch *w, struct err *e)
{
	struct estate x = { .g = w->g };
	int failed = 0;

	for (size_t i = 0; !failed && i < w->n; i++) {
		const struct owner *o = &w->v[i];

		if (o->state != STOOD_STILL)
			continue;
		if (o->kind == OBJECT_PIN)
			failed = store_remove(w->g->store,
					      object_name(o->kind, o->id).s, e);
		else
			failed = gc_ids_add(&x.sessions, o->id, e);
		w->g->out->sessions_ended += !failed;
	}
	failed = failed || add_half_done(w, &x, e) || settle(&x, e);
	for (size_t i = 0; !failed && i < x.sessions.n; i++)
		failed = gc_ids_add(&w->g->ended, x.sessions.v[i], e);
	gc_ids_sort(&w->g->ended);
	gc_ids_done(&x.sessions);
	return failed ? -1 : 0;
}

static const char *doing(const struct owner *o)
{
	static const char *const purposes[] = {
		[0] = ("does not open: `snapctl repo check --repair` gives it "
		       "up"),
		[RECORD_SNAPSHOT] = "is taking a snapshot",
		[RECORD_REPLICATE] = "is copying snapshots here",
		[RECORD_UNDELETE] = "is undeleting a snapshot",
		[RECORD_COLLECT] = "is collecting garbage",
		[RECORD_REPAIR] = "is repairing",
	};

	if (o->purpose >= sizeof(purposes) / sizeof(purposes[0]))
		return "is at work";
	return purposes[o->purpose];
}

/* Whom the marks that are due wait for, told when they do. */
static int keep_alive(struct watch *w, struct err *e)
{
	struct gc *g = w->g;

	for (size_t i = 0; i < w->n; i++) {
		const struct owner *o = &w->v[i];

		if (o->state != ALIVE || o->kind != OBJECT_SESSION)
			continue;
		if (gc_ids_add(&g->sessions, o->id, e))
			return -1;
		/* Another collector never relies on what is marked. */
		for (size_t k = 0; k < g->n_marks; k++) {
			struct gc_mark *m = &g->marks[k];

			if (!m->due || o->purpose == RECORD_COLLECT ||
			    (m->has_census && !gc_ids_has(&m->census, o->id)))
				continue;
			m->blocked = true;
			gc_block(g, o->kind, o->id, o->host, doing(o));
		}
	}
	gc_ids_sort(&g->sessions);
	return 0;
}

int gc_wait(struct gc *g, struct err *e)
{
	struct watch w = { .g = g };
	int failed;

	failed = list_owners(&w, e) || watch_all(&w, e) || give_up(&w, e) ||
		 keep_alive(&w, e);
	free(w.v);
	return failed ? -1 : 0;
}

/* ---- Others ------------------------------------------------------------- */

struct others {
	struct gc *g;
	struct gc_ids *ids;
};

static int add_other(void *arg, const struct store_entry *entry, struct err *e)
{
	struct others *x = arg;
	struct object_id first;
	struct object_id id;

	if (!object_name_parse(OBJECT_SESSION, entry->name, &first, &id) ||
	    object_id_equal(id, x->g->session) || gc_ids_has(&x->g->ended, id))
		return 0;
	return gc_ids_add(x->ids, id, e);
}

int gc_others(struct gc *g, struct gc_ids *ret, struct err *e)
{
	struct others x = { g, ret };

	return store_list(g->store, "sessions/", add_other, &x, e);
}

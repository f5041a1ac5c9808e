#include "storage/repository/voids.h"

#include <stdlib.h>

#include "storage/repository/record.h"

/* More sessions than ever died in one region. */
#define VOIDS_MAX ((size_t)1 << 24)

/* One void; its record is read when it is first asked for. */
struct one {
	struct object_id session;
	struct object_id id;
	bool is_read;
	bool in_doubt;
	bool is_gone;
	struct record record;
};

struct voids {
	struct store *store;
	const struct keys *keys;
	struct one *v; /* by session, as names are listed */
	size_t n;
	size_t room;
	bool locks_are_read;
	struct object_id *locked; /* sessions that locks name */
	size_t n_locked;
};

static int add(void *arg, const struct store_entry *entry, struct err *e)
{
	struct voids *v = arg;
	struct one one = { .is_read = false };

	if (!object_name_parse(OBJECT_VOID, entry->name, &one.session, &one.id))
		return 0;
	if (v->n == v->room) {
		const size_t room = v->room ? 2 * v->room : 16;
		struct one *grown;

		if (room > VOIDS_MAX)
			return err_set(e, ERR_CORRUPT,
				       "there are too many "
				       "voids");
		grown = reallocarray(v->v, room, sizeof(*grown));
		if (!grown)
			return err_oom(e);
		v->v = grown;
		v->room = room;
	}
	v->v[v->n++] = one;
	return 0;
}

int voids_read(struct store *s, const struct keys *k, struct voids **ret,
	       struct err *e)
{
	CLEANUP(voids_free) struct voids *v = calloc(1, sizeof(*v));

	if (!v)
		return err_oom(e);
	v->store = s;
	v->keys = k;
	if (store_list(s, "voids/", add, v, e))
		return -1;
	*ret = TAKE(v);
	return 0;
}

void voids_free(struct voids *v)
{
	if (!v)
		return;
	for (size_t i = 0; i < v->n; i++)
		if (v->v[i].is_read)
			record_done(&v->v[i].record);
	free(v->v);
	free(v->locked);
	free(v);
}

/* The first void of that session, or n. */
static size_t first_of(const struct voids *v, struct object_id session)
{
	size_t low = 0;
	size_t high = v->n;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (object_id_compare(v->v[middle].session, session) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int read_one(struct voids *v, struct one *one, struct err *e)
{
	const struct object_name name = object_name_pair(OBJECT_VOID,
							 one->session, one->id);
	struct err why = { 0 };
	int got;

	record_init(&one->record, OBJECT_VOID);
	got = record_get(v->store, v->keys, OBJECT_VOID, name.s, &one->record,
			 &why);
	/* One that its disk cannot give, or only a newer program reads, may
	 * say no to anything. */
	if (got < 0 && !object_is_damage(&why) && why.code != ERR_NEWER) {
		*e = why;
		return -1;
	}
	one->in_doubt = got < 0;
	one->is_gone = got == 0;
	one->is_read = true;
	return 0;
}

static bool names(const struct record *r, struct object_id object)
{
	for (size_t i = 0; i < r->n_ids; i++)
		if (object_id_equal(r->ids[i], object))
			return true;
	return false;
}

bool voids_has(const struct voids *v, struct object_id session)
{
	const size_t i = first_of(v, session);

	return i < v->n && object_id_equal(v->v[i].session, session);
}

static int add_locked(void *arg, const char *name, const struct record *r,
		      const struct err *why, struct err *e)
{
	struct voids *v = arg;
	struct object_id *grown;

	(void)name;
	(void)why;
	if (!r || object_id_is_zero(r->session))
		return 0;
	if ((v->n_locked & (v->n_locked + 1)) == 0) {
		grown = reallocarray(v->locked, 2 * v->n_locked + 1,
				     sizeof(*grown));
		if (!grown)
			return err_oom(e);
		v->locked = grown;
	}
	v->locked[v->n_locked++] = r->session;
	return 0;
}

/*
 * A lock is put once a snapshot was acknowledged: every void that a collector
 * put names all that its session wrote, and one that does not is forged.
 */
static int is_locked(struct voids *v, struct object_id session, struct err *e)
{
	if (!v->locks_are_read &&
	    record_list(v->store, v->keys, OBJECT_LOCK, add_locked, v, e))
		return -1;
	v->locks_are_read = true;
	for (size_t i = 0; i < v->n_locked; i++)
		if (object_id_equal(v->locked[i], session))
			return 1;
	return 0;
}

int voids_judge(struct voids *v, struct object_id session,
		struct object_id object, enum voids_answer *ret, struct err *e)
{
	*ret = VOIDS_COUNTS;
	if (object_id_is_zero(session))
		return 0; /* nobody's */
	for (size_t i = first_of(v, session);
	     i < v->n && object_id_equal(v->v[i].session, session); i++) {
		struct one *one = &v->v[i];

		if (!one->is_read && read_one(v, one, e))
			return -1;
		if (one->is_gone)
			continue;
		if (one->in_doubt) {
			*ret = VOIDS_IN_DOUBT;
		} else if (!names(&one->record, object)) {
			const int locked = is_locked(v, session, e);

			*ret = locked > 0 ? VOIDS_COUNTS : VOIDS_DOES_NOT;
			return locked < 0 ? -1 : 0;
		}
	}
	return 0;
}

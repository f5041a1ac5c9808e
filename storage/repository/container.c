#include "storage/repository/container.h"

#include <assert.h>
#include <string.h>

#include "base/cursor.h"
#include "base/text.h"
#include "storage/repository/versions.h"

void container_ad(const struct container *c, const char *label,
		  struct seal_ad *ret)
{
	seal_ad_object(c->header, keys_repository(c->keys), label, c->name.s,
		       ret);
}

int container_begin(struct container *c, struct store *s, const struct keys *k,
		    const struct container_spec *spec, struct err *e)
{
	struct object_header h = { .kind = spec->kind,
				   .epoch = keys_epoch(k),
				   .id = object_id_new() };

	*c = (struct container){
		.store = s, .keys = k, .spec = spec, .id = h.id
	};
	c->name = object_name(spec->kind, c->id);
	c->key = keys_object(k, h.epoch);
	if (!c->key)
		return err_set(e, ERR_BUG, "no epoch to seal with");
	object_header_encode(&h, c->header);
	if (store_begin(s, c->name.s, 0, STORE_FRESH | STORE_OR_NONE,
			&c->upload, e))
		return -1;
	if (container_append(c, c->header, sizeof(c->header), e)) {
		container_abort(c);
		return -1;
	}
	return 0;
}

int container_append(struct container *c, const void *bytes, size_t n,
		     struct err *e)
{
	if (store_append(c->upload, bytes, n, e))
		return -1;
	c->size += n;
	return 0;
}

uint64_t container_bare_size(const struct container *c, size_t tail)
{
	return c->size + tail + SEAL_OVERHEAD + CONTAINER_TRAILER;
}

static int append_sealed(struct container *c, const char *label,
			 const struct buf *plain, struct err *e)
{
	CLEANUP(buf_done) struct buf sealed;
	struct seal_ad ad;

	buf_init(&sealed, plain->len + SEAL_OVERHEAD);
	if (buf_reserve(&sealed, plain->len + SEAL_OVERHEAD, e))
		return -1;
	container_ad(c, label, &ad);
	seal_bytes(c->key, &ad, plain->data, plain->len, sealed.data);
	return container_append(c, sealed.data, plain->len + SEAL_OVERHEAD, e);
}

static int append_tail(struct container *c, struct buf *tail, struct err *e)
{
	CLEANUP(buf_done) struct buf trailer;
	const uint64_t bare = container_bare_size(c, tail->len);
	const uint64_t tail_at = c->size;

	buf_init(&trailer, CONTAINER_TRAILER_PLAIN);
	if (buf_add_zeros(tail, (size_t)(object_padded(bare) - bare), e) ||
	    append_sealed(c, c->spec->tail_label, tail, e))
		return -1;
	if (buf_add_u64(&trailer, tail_at, e) ||
	    buf_add_u64(&trailer, c->size - tail_at, e) ||
	    buf_add_u64(&trailer, 0, e))
		return -1;
	return append_sealed(c, "trailer", &trailer, e);
}

int container_end(struct container *c, struct buf *tail, struct err *e)
{
	assert(c->upload);
	if (append_tail(c, tail, e)) {
		container_abort(c);
		return -1;
	}
	assert(object_is_padded(c->size) && c->size <= c->spec->size_max);
	return store_commit(TAKE(c->upload), e);
}

void container_abort(struct container *c)
{
	if (c->upload)
		store_abort(TAKE(c->upload));
}

int container_read(struct store *s, const char *name, uint64_t offset,
		   void *out, size_t n, struct err *e)
{
	size_t got;
	const int found = store_read(s, name, offset, out, n, &got, e);

	if (found < 0)
		return -1;
	if (!found)
		return err_set(e, ERR_NOT_FOUND, "it does not exist");
	if (got != n)
		return err_set(e, ERR_CORRUPT, "it was cut off");
	return 0;
}

/* The end of an object, and with a small object all of it, in one read. */
#define READ_AHEAD ((size_t)32 << 10)

static int read_header(struct container *c, const struct buf *ahead,
		       struct err *e)
{
	struct object_header h;

	if (ahead->len == c->size)
		memcpy(c->header, ahead->data, sizeof(c->header));
	else if (container_read(c->store, c->name.s, 0, c->header,
				sizeof(c->header), e))
		return -1;
	if (object_header_decode(c->header, c->spec->kind, &h, e))
		return -1;
	if (!object_id_equal(h.id, c->id))
		return err_set(e, ERR_CORRUPT, "it belongs to another name");
	c->key = keys_object(c->keys, h.epoch);
	return c->key ? 0 : seal_epoch_unknown(c->keys, h.epoch, e);
}

static int read_trailer(struct container *c, const struct buf *ahead,
			struct err *e)
{
	uint8_t plain[CONTAINER_TRAILER_PLAIN];
	struct cursor in = cursor_of(plain, sizeof(plain));
	const uint64_t end = c->size - CONTAINER_TRAILER;
	struct seal_ad ad;
	uint64_t length;

	container_ad(c, "trailer", &ad);
	if (!seal_open(c->key, &ad,
		       ahead->data + ahead->len - CONTAINER_TRAILER,
		       CONTAINER_TRAILER, plain))
		return err_set(e, ERR_CORRUPT, "it fails authentication");
	c->tail_at = cursor_u64(&in);
	length = cursor_u64(&in);
	if (cursor_u64(&in) != 0 || c->tail_at < OBJECT_HEADER_SIZE ||
	    c->tail_at > end || length != end - c->tail_at ||
	    length < SEAL_OVERHEAD ||
	    length - SEAL_OVERHEAD > c->spec->tail_max)
		return err_set(e, ERR_CORRUPT, "its trailer makes no sense");
	return 0;
}

static int read_tail(struct container *c, const struct buf *ahead,
		     struct buf *tail, struct err *e)
{
	const size_t n = (size_t)(c->size - CONTAINER_TRAILER - c->tail_at);
	const uint64_t ahead_at = c->size - ahead->len;
	CLEANUP(buf_done) struct buf apart;
	const uint8_t *sealed;
	struct seal_ad ad;

	buf_init(&apart, n);
	if (c->tail_at >= ahead_at) {
		sealed = ahead->data + (c->tail_at - ahead_at);
	} else {
		if (buf_reserve(&apart, n, e) ||
		    container_read(c->store, c->name.s, c->tail_at, apart.data,
				   n, e))
			return -1;
		sealed = apart.data;
	}
	if (buf_reserve(tail, n, e))
		return -1;
	container_ad(c, c->spec->tail_label, &ad);
	if (!seal_open(c->key, &ad, sealed, n, tail->data))
		return err_set(e, ERR_CORRUPT, "it fails authentication");
	tail->len = n - SEAL_OVERHEAD;
	return 0;
}

/*
 * A version or an epoch that is not known here may be one that came later, or
 * a header that was damaged: then the trailer opens under what it was.
 */
static bool is_altered(struct container *c, const struct buf *ahead)
{
	struct object_header h = { .kind = c->spec->kind, .id = c->id };
	struct err ignored;

	for (h.epoch = 1; h.epoch <= keys_epoch(c->keys); h.epoch++) {
		c->key = keys_object(c->keys, h.epoch);
		object_header_encode(&h, c->header);
		if (c->key && read_trailer(c, ahead, &ignored) == 0)
			return true;
	}
	return false;
}

static int open_header(struct container *c, const struct buf *ahead,
		       struct err *e)
{
	if (read_header(c, ahead, e) == 0)
		return 0;
	if (seal_is_unknown(e) && is_altered(c, ahead))
		return err_set(e, ERR_CORRUPT, "its header is damaged");
	return -1;
}

/* ahead: the object's end, or all of it. */
static int open_ahead(struct container *c, const struct buf *ahead,
		      struct buf *tail, struct err *e)
{
	if (open_header(c, ahead, e) || read_trailer(c, ahead, e))
		return -1;
	return read_tail(c, ahead, tail, e);
}

static int check_size(const struct container *c, struct err *e)
{
	if (c->size < OBJECT_HEADER_SIZE + SEAL_OVERHEAD + CONTAINER_TRAILER ||
	    c->size > c->spec->size_max || !object_is_padded(c->size))
		return err_set(e, ERR_CORRUPT, "it has a wrong size");
	return 0;
}

static int open_parts(struct container *c, struct buf *tail, struct err *e)
{
	CLEANUP(buf_done) struct buf ahead;
	size_t n;
	int found;

	buf_init(&ahead, READ_AHEAD);
	found = store_size(c->store, c->name.s, &c->size, e);
	if (found < 0)
		return -1;
	if (!found)
		return err_set(e, ERR_NOT_FOUND, "it does not exist");
	if (check_size(c, e))
		return -1;
	n = c->size < READ_AHEAD ? (size_t)c->size : READ_AHEAD;
	if (buf_reserve(&ahead, n, e) ||
	    container_read(c->store, c->name.s, c->size - n, ahead.data, n, e))
		return -1;
	ahead.len = n;
	return open_ahead(c, &ahead, tail, e);
}

/* The same by one read when it is small: 1, 0 when it is not, -1. */
static int open_whole(struct container *c, struct buf *whole, struct buf *tail,
		      struct err *e)
{
	const size_t n = whole->max;
	size_t got = 0;
	int found;

	if (buf_reserve(whole, n, e))
		return -1;
	found = store_read(c->store, c->name.s, 0, whole->data, n, &got, e);
	if (found < 0)
		return -1;
	if (!found)
		return err_set(e, ERR_NOT_FOUND, "it does not exist");
	if (got == n)
		return 0;
	whole->len = got;
	c->size = got;
	return check_size(c, e) || open_ahead(c, whole, tail, e) ? -1 : 1;
}

struct opening {
	struct container *c;
	struct buf *whole; /* or NULL */
	struct buf *tail;
};

static int open_version(void *arg, struct err *e)
{
	struct opening *x = arg;
	int r = 0;

	x->tail->len = 0;
	if (x->whole) {
		x->whole->len = 0;
		r = open_whole(x->c, x->whole, x->tail, e);
	}
	if (r == 0)
		r = open_parts(x->c, x->tail, e);
	return r < 0 ? -1 : 1;
}

int container_open_small(struct container *c, struct store *s,
			 const struct keys *k,
			 const struct container_spec *spec, struct buf *whole,
			 struct buf *tail, struct err *e)
{
	struct opening x = { c, whole, tail };

	c->store = s;
	c->keys = k;
	c->spec = spec;
	c->upload = NULL;
	c->name = object_name(spec->kind, c->id);
	if (versions_open(s, c->name.s, open_version, &x, e) < 0)
		return err_wrap(e, "cannot read %s %s",
				object_kind_name(spec->kind),
				text_quote_str(c->name.s).s);
	return 0;
}

int container_open(struct container *c, struct store *s, const struct keys *k,
		   const struct container_spec *spec, struct buf *tail,
		   struct err *e)
{
	return container_open_small(c, s, k, spec, NULL, tail, e);
}

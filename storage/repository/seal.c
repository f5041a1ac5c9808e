#include "storage/repository/seal.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#include "base/cursor.h"
#include "base/secret.h"
#include "base/text.h"
#include "storage/repository/compress.h"
#include "storage/repository/versions.h"

_Static_assert(SEAL_NONCE == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
	       "nonce");
_Static_assert(SEAL_TAG == crypto_aead_xchacha20poly1305_ietf_ABYTES, "tag");
_Static_assert(KEYS_SIZE == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "key");

void seal_ad_add(struct seal_ad *ad, const void *bytes, size_t n)
{
	assert(n <= sizeof(ad->b) - ad->len);
	memcpy(ad->b + ad->len, bytes, n);
	ad->len += n;
}

void seal_ad_object(const uint8_t header[OBJECT_HEADER_SIZE],
		    struct object_id repository, const char *label,
		    const char *name, struct seal_ad *ret)
{
	ret->len = 0;
	seal_ad_add(ret, header, OBJECT_HEADER_SIZE);
	seal_ad_add(ret, repository.b, sizeof(repository.b));
	seal_ad_add(ret, label, strlen(label) + 1);
	seal_ad_add(ret, name, strlen(name));
}

void seal_ad_u64(struct seal_ad *ad, uint64_t v)
{
	uint8_t le[8];

	for (unsigned int i = 0; i < sizeof(le); i++)
		le[i] = (uint8_t)(v >> (8 * i));
	seal_ad_add(ad, le, sizeof(le));
}

void seal_bytes(const uint8_t key[KEYS_SIZE], const struct seal_ad *ad,
		const void *in, size_t n, uint8_t *out)
{
	secret_nonce(out, SEAL_NONCE);
	/* Cannot fail: its only error is a length of 256 GiB. */
	(void)crypto_aead_xchacha20poly1305_ietf_encrypt(
		out + SEAL_NONCE, NULL, in, n, ad->b, ad->len, NULL, out, key);
}

bool seal_open(const uint8_t key[KEYS_SIZE], const struct seal_ad *ad,
	       const void *in, size_t n, uint8_t *out)
{
	const uint8_t *nonce = in;

	return n >= SEAL_OVERHEAD &&
	       crypto_aead_xchacha20poly1305_ietf_decrypt(
		       out, NULL, NULL, nonce + SEAL_NONCE, n - SEAL_NONCE,
		       ad->b, ad->len, nonce, key) == 0;
}

/*
 * Boxes.
 */
#define BOX_FRAMING	 (OBJECT_HEADER_SIZE + SEAL_OVERHEAD + 5)
#define BOX_COMPRESS_MIN 1024

/* The id that a name ends in goes into the header. */
static int header_for(const struct keys *k, enum object_kind kind,
		      const char *name, struct object_header *ret,
		      struct err *e)
{
	struct object_id first;

	*ret = (struct object_header){ .kind = kind, .epoch = keys_epoch(k) };
	if (kind < OBJECT_MANIFEST || kind >= OBJECT_KIND_END ||
	    !object_name_parse(kind, name, &first, &ret->id))
		return err_set(e, ERR_BUG, "%s is no name of a %s",
			       text_quote_str(name).s, object_kind_name(kind));
	return 0;
}

/* payload as a frame in frame, if that is shorter: else frame stays empty. */
static int try_compress(const void *payload, size_t n, struct buf *frame,
			struct err *e)
{
	CLEANUP(compress_free) struct compress *c = NULL;

	if (n < BOX_COMPRESS_MIN)
		return 0;
	if (compress_new(&c, e) || buf_reserve(frame, n, e))
		return -1;
	frame->len = compress_frame(c, COMPRESS_WELL, payload, n, frame->data,
				    n - 1);
	return 0;
}

static int box_plaintext(const void *payload, size_t n, struct buf *plain,
			 struct err *e)
{
	CLEANUP(buf_wipe) struct buf frame;
	uint64_t size;

	buf_init(&frame, SEAL_PAYLOAD_MAX);
	if (try_compress(payload, n, &frame, e))
		return -1;
	if (frame.len) {
		payload = frame.data;
		n = frame.len;
	}
	size = object_padded(BOX_FRAMING + n);
	if (buf_add_byte(plain, frame.len ? 1 : 0, e) ||
	    buf_add_u32(plain, (uint32_t)n, e) || buf_add(plain, payload, n, e))
		return -1;
	return buf_add_zeros(plain, (size_t)size - BOX_FRAMING - n, e);
}

static int seal_box_as(const struct keys *k, struct seal_as as,
		       const char *name, const void *payload, size_t n,
		       struct buf *out, struct err *e)
{
	CLEANUP(buf_wipe) struct buf plain;
	uint8_t header[OBJECT_HEADER_SIZE];
	struct object_header h;
	struct seal_ad ad;
	const uint8_t *key = keys_object(k, keys_epoch(k));

	buf_init(&plain, SEAL_BOX_MAX);
	if (!key)
		return err_set(e, ERR_BUG, "no epoch to seal with");
	if (n > SEAL_PAYLOAD_MAX)
		return err_set(e, ERR_BUG, "%zu bytes are too many for a %s", n,
			       object_kind_name(as.kind));
	if (header_for(k, as.kind, name, &h, e) ||
	    box_plaintext(payload, n, &plain, e) ||
	    buf_reserve(out, OBJECT_HEADER_SIZE + plain.len + SEAL_OVERHEAD, e))
		return -1;
	h.version = as.version;
	object_header_encode(&h, header);
	seal_ad_object(header, keys_repository(k), "box", name, &ad);
	if (buf_add(out, header, sizeof(header), e))
		return -1;
	seal_bytes(key, &ad, plain.data, plain.len, out->data + out->len);
	out->len += plain.len + SEAL_OVERHEAD;
	return 0;
}

int seal_box(const struct keys *k, enum object_kind kind, const char *name,
	     const void *payload, size_t n, struct buf *out, struct err *e)
{
	return seal_box_as(k, (struct seal_as){ .kind = kind }, name, payload,
			   n, out, e);
}

static int inflate(const uint8_t *frame, size_t n, struct buf *out,
		   struct err *e)
{
	CLEANUP(compress_free) struct compress *c = NULL;
	uint64_t size;

	if (compress_content_size(frame, n, &size, e))
		return -1;
	if (size > SEAL_PAYLOAD_MAX)
		return err_set(e, ERR_CORRUPT, "holds more than it may");
	if (compress_new(&c, e) || buf_reserve(out, (size_t)size, e) ||
	    compress_open(c, frame, n, out->data + out->len, (size_t)size, e))
		return -1;
	out->len += (size_t)size;
	return 0;
}

int seal_box_parse(const void *plain, size_t n, struct buf *out, struct err *e)
{
	struct cursor c = cursor_of(plain, n);
	const uint8_t method = cursor_u8(&c);
	const uint32_t len = cursor_u32(&c);
	const uint8_t *payload = cursor_bytes(&c, len);

	if (c.bad || len > SEAL_PAYLOAD_MAX || method > 1)
		return err_set(e, ERR_CORRUPT, "its framing is wrong");
	if (!cursor_zeros(&c) || !object_is_padded(BOX_FRAMING - 5 + n))
		return err_set(e, ERR_CORRUPT, "its padding is wrong");
	if (method == 1)
		return inflate(payload, len, out, e);
	return buf_add(out, payload, len, e);
}

static bool opens_as(const struct keys *k, uint8_t version,
		     enum object_kind kind, const char *name, struct cursor c,
		     struct buf *plain)
{
	uint8_t header[OBJECT_HEADER_SIZE];
	struct object_header h;
	struct seal_ad ad;
	struct err ignored;

	if (header_for(k, kind, name, &h, &ignored) ||
	    buf_reserve(plain, c.left, &ignored))
		return false;
	h.version = version;
	for (h.epoch = 1; h.epoch <= keys_epoch(k); h.epoch++) {
		const uint8_t *key = keys_object(k, h.epoch);

		object_header_encode(&h, header);
		seal_ad_object(header, keys_repository(k), "box", name, &ad);
		if (key && seal_open(key, &ad, c.p, c.left, plain->data))
			return true;
	}
	return false;
}

/*
 * A version or an epoch that is not known here may be one that came later, or
 * a header that was damaged: then the box opens under what it was.
 */
static bool is_altered(const struct keys *k, enum object_kind kind,
		       const char *name, struct cursor c, struct buf *plain)
{
	for (unsigned int v = 0; v <= object_kind_version(kind); v++)
		if (opens_as(k, (uint8_t)v, kind, name, c, plain))
			return true;
	return false;
}

static int check_box_header(const struct keys *k, enum object_kind kind,
			    const char *name, const uint8_t *header,
			    const uint8_t **ret_key, struct err *e)
{
	struct object_header expected;
	struct object_header h;

	if (object_header_decode(header, kind, &h, e) ||
	    header_for(k, kind, name, &expected, e))
		return -1;
	if (!object_id_equal(h.id, expected.id))
		return err_set(e, ERR_CORRUPT, "it belongs to another name");
	*ret_key = keys_object(k, h.epoch);
	return *ret_key ? 0 : seal_epoch_unknown(k, h.epoch, e);
}

static int open_box(const struct keys *k, enum object_kind kind,
		    const char *name, struct cursor c, struct buf *out,
		    struct err *e)
{
	CLEANUP(buf_wipe) struct buf plain;
	struct seal_ad ad;
	const uint8_t *key;
	const uint8_t *header = cursor_bytes(&c, OBJECT_HEADER_SIZE);

	buf_init(&plain, SEAL_BOX_MAX);
	if (!header || c.left < SEAL_OVERHEAD || c.left > SEAL_BOX_MAX)
		return err_set(e, ERR_CORRUPT, "it has a wrong size");
	if (check_box_header(k, kind, name, header, &key, e)) {
		if (seal_is_unknown(e) && is_altered(k, kind, name, c, &plain))
			return err_set(e, ERR_CORRUPT, "its header is damaged");
		return -1;
	}
	if (buf_reserve(&plain, c.left, e))
		return -1;
	seal_ad_object(header, keys_repository(k), "box", name, &ad);
	if (!seal_open(key, &ad, c.p, c.left, plain.data))
		return err_set(e, ERR_CORRUPT, "it fails authentication");
	plain.len = c.left - SEAL_OVERHEAD;
	return seal_box_parse(plain.data, plain.len, out, e);
}

int seal_box_open(const struct keys *k, enum object_kind kind, const char *name,
		  const void *box, size_t n, struct buf *out, struct err *e)
{
	if (open_box(k, kind, name, cursor_of(box, n), out, e))
		return err_wrap(e, "cannot open %s %s", object_kind_name(kind),
				text_quote_str(name).s);
	return 0;
}

int seal_epoch_unknown(const struct keys *k, uint32_t epoch, struct err *e)
{
	if (!keys_came_later(k, epoch))
		return err_set(e, ERR_BAD_KEY, "epoch %u is not in the keyring",
			       epoch);
	(void)err_set(
		e, ERR_BUSY,
		"it is sealed under epoch %u: a key was revoked meanwhile",
		epoch);
	return err_hint(e, "run it again, under the new keys");
}

bool seal_is_unknown(const struct err *why)
{
	return why->code == ERR_NEWER || why->code == ERR_BAD_KEY ||
	       why->code == ERR_BUSY;
}

int seal_box_put_as(struct store *s, const struct keys *k, struct seal_as as,
		    const char *name, const void *payload, size_t n,
		    unsigned int put_flags, struct err *e)
{
	CLEANUP(buf_done) struct buf box;

	buf_init(&box, SEAL_BOX_MAX);
	if (seal_box_as(k, as, name, payload, n, &box, e))
		return -1;
	return store_put(s, name, box.data, box.len, put_flags, e);
}

int seal_box_put(struct store *s, const struct keys *k, enum object_kind kind,
		 const char *name, const void *payload, size_t n,
		 unsigned int put_flags, struct err *e)
{
	return seal_box_put_as(s, k, (struct seal_as){ .kind = kind }, name,
			       payload, n, put_flags, e);
}

struct getting {
	struct store *store;
	const struct keys *keys;
	enum object_kind kind;
	const char *name;
	struct buf *out;
	size_t before; /* bytes that out held */
};

static int get_version(void *arg, struct err *e)
{
	const struct getting *x = arg;
	CLEANUP(buf_done) struct buf box;
	int found;

	buf_init(&box, SEAL_BOX_MAX);
	x->out->len = x->before;
	found = store_get(x->store, x->name, &box, e);
	if (found <= 0)
		return found;
	return seal_box_open(x->keys, x->kind, x->name, box.data, box.len,
			     x->out, e)
		       ? -1
		       : 1;
}

int seal_box_get(struct store *s, const struct keys *k, enum object_kind kind,
		 const char *name, struct buf *out, struct err *e)
{
	struct getting x = { s, k, kind, name, out, out->len };

	return versions_open(s, name, get_version, &x, e);
}

#include "storage/repository/chunk.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "storage/repository/chunk_cipher.h"
#include "storage/repository/hash.h"

struct chunk_worker {
	const struct keys *keys;
	struct compress *compress;
	struct chunk_cipher *cipher;
	struct hash *hash; /* under the id key of that domain, or NULL */
	uint16_t domain;

	/* A frame that is to be sealed; then method and body, as opened. */
	struct buf body;
	struct buf sealed;
	struct buf again; /* the plaintext, as verified */
};

bool chunk_id_equal(const struct chunk_id *a, const struct chunk_id *b)
{
	return chunk_id_compare(a, b) == 0;
}

int chunk_id_compare(const struct chunk_id *a, const struct chunk_id *b)
{
	return memcmp(a->b, b->b, sizeof(a->b));
}

bool chunk_kind_is_meta(enum chunk_kind kind)
{
	return kind != CHUNK_DATA;
}

int chunk_worker_new(const struct keys *k, struct chunk_worker **ret,
		     struct err *e)
{
	CLEANUP(chunk_worker_free)
	struct chunk_worker *w = calloc(1, sizeof(*w));

	if (!w)
		return err_oom(e);
	w->keys = k;
	buf_init(&w->sealed, CHUNK_SEALED_MAX);
	buf_init(&w->body, CHUNK_SEALED_MAX);
	buf_init(&w->again, CHUNK_MAX);
	if (compress_new(&w->compress, e) || chunk_cipher_new(&w->cipher, e))
		return -1;
	*ret = TAKE(w);
	return 0;
}

void chunk_worker_free(struct chunk_worker *w)
{
	if (!w)
		return;
	buf_wipe(&w->sealed);
	buf_wipe(&w->body);
	buf_wipe(&w->again);
	compress_free(w->compress);
	chunk_cipher_free(w->cipher);
	hash_free(w->hash);
	free(w);
}

int chunk_identify(struct chunk_worker *w, uint16_t domain,
		   enum chunk_kind kind, const void *plain, size_t n,
		   struct chunk_id *ret, struct err *e)
{
	const uint8_t *key = keys_id(w->keys, domain);

	if (!key)
		return err_set(e, ERR_BAD_KEY,
			       "domain %u is not in the keyring", domain);
	if (!w->hash) {
		if (hash_new(key, &w->hash, e))
			return -1;
	} else if (w->domain != domain) {
		hash_use(w->hash, key);
	}
	w->domain = domain;
	return hash_tagged(w->hash, (uint8_t)kind, plain, n, ret->b, e);
}

/* FORMAT.md §4: names neither pack nor offset, so that a chunk can move. */
static struct chunk_binding binding_of(const struct keys *k,
				       const struct chunk_seal *s,
				       const uint8_t *data_key)
{
	static const char prefix[] = "snapctl/1 chunk";
	const struct object_id repository = keys_repository(k);
	const uint8_t rest[5] = { (uint8_t)s->domain, (uint8_t)(s->domain >> 8),
				  (uint8_t)s->epoch, (uint8_t)(s->epoch >> 8),
				  (uint8_t)s->kind };
	struct chunk_binding b = { .data_key = data_key, .id = &s->id };

	seal_ad_add(&b.ad, prefix, sizeof(prefix));
	seal_ad_add(&b.ad, repository.b, sizeof(repository.b));
	seal_ad_add(&b.ad, rest, sizeof(rest));
	seal_ad_add(&b.ad, s->id.b, sizeof(s->id.b));
	return b;
}

/* zstd may write the sequences of its last block behind what it keeps. */
#define BEHIND_FRAME ((size_t)128 << 10)

/*
 * A frame of plain in w->body, which stays empty when that would save less
 * than 1/64: it would cost every reader more time than it saves anyone.
 */
static int try_frame(struct chunk_worker *w, const struct chunk_plain *plain,
		     struct err *e)
{
	const size_t n = plain->n;
	struct buf *f = &w->body;
	size_t got;

	buf_clear(f);
	if (plain->effort == COMPRESS_NOT || n == 0 ||
	    !compress_is_worth_it(plain->bytes, n))
		return 0;
	if (buf_room(f, n, e))
		return -1;
	got = compress_frame(w->compress, plain->effort, plain->bytes, n,
			     f->data, n - n / 64 - 1);
	/* One that was given up, or made both ways, may have been longer. */
	if (got && plain->effort != COMPRESS_FITTING && n - got > BEHIND_FRAME)
		buf_wrote(f, got + BEHIND_FRAME);
	else
		buf_wrote(f, n);
	f->len = got;
	return 0;
}

/* Method and body into w->sealed. */
static int seal(struct chunk_worker *w, const struct chunk_binding *to,
		const struct chunk_plain *plain, struct err *e)
{
	const bool framed = w->body.len > 0;
	const void *body = framed ? w->body.data : plain->bytes;
	const size_t n = framed ? w->body.len : plain->n;

	buf_clear(&w->sealed);
	if (buf_reserve(&w->sealed, n + 1 + SEAL_OVERHEAD, e) ||
	    chunk_cipher_seal(w->cipher, to, framed ? 1 : 0, body, n,
			      w->sealed.data, e))
		return -1;
	w->sealed.len = n + 1 + SEAL_OVERHEAD;
	return 0;
}

/* What was opened into w->body, decompressed into out. */
static int unframe(struct chunk_worker *w, size_t want, uint8_t *out,
		   struct err *e)
{
	const uint8_t *body = w->body.data + 1;
	const size_t n = w->body.len - 1;

	if (w->body.data[0] == 1)
		return compress_open(w->compress, body, n, out, want, e);
	if (w->body.data[0] != 0)
		return err_set(e, ERR_CORRUPT, "its method %u is not known",
			       w->body.data[0]);
	if (n != want)
		return err_set(e, ERR_CORRUPT,
			       "it holds %zu bytes where %zu belong", n, want);
	if (n)
		memcpy(out, body, n);
	return 0;
}

/* Decrypt into w->body: method and body. */
static int unseal(struct chunk_worker *w, const struct chunk_seal *s,
		  const void *sealed, size_t n, struct err *e)
{
	const uint8_t *key = keys_data(w->keys, s->domain, s->epoch);
	struct chunk_binding to;

	if (!key && !keys_object(w->keys, s->epoch))
		return seal_epoch_unknown(w->keys, s->epoch, e);
	if (!key)
		return err_set(e, ERR_BAD_KEY,
			       "domain %u is not in the keyring", s->domain);
	if (n < SEAL_OVERHEAD + 1 || n > CHUNK_SEALED_MAX ||
	    s->plain_len > CHUNK_MAX)
		return err_set(e, ERR_CORRUPT, "it has a wrong size");
	buf_clear(&w->body);
	if (buf_reserve(&w->body, n, e))
		return -1;
	to = binding_of(w->keys, s, key);
	if (chunk_cipher_open(w->cipher, &to, sealed, n, w->body.data, e))
		return -1;
	w->body.len = n - SEAL_OVERHEAD;
	return 0;
}

/* Promise 6: what was sealed opens to what is still in memory. */
static int verify_sealed(struct chunk_worker *w, const struct chunk_seal *s,
			 const void *plain, struct err *e)
{
	const size_t n = s->plain_len;
	const uint8_t *got;

	if (unseal(w, s, w->sealed.data, w->sealed.len, e))
		return -1;
	if (w->body.data[0] == 0 && w->body.len == n + 1) {
		got = w->body.data + 1;
	} else {
		buf_clear(&w->again);
		if (buf_reserve(&w->again, n, e) ||
		    unframe(w, n, w->again.data, e))
			return -1;
		got = w->again.data;
	}
	if (n && memcmp(got, plain, n) != 0)
		return err_set(e, ERR_CORRUPT, "it holds other bytes");
	return 0;
}

int chunk_seal_new(struct chunk_worker *w, const struct chunk_id *id,
		   const struct chunk_plain *plain, struct chunk_sealed *ret,
		   struct err *e)
{
	const uint32_t epoch = keys_epoch(w->keys);
	const uint8_t *key = keys_data(w->keys, plain->domain, epoch);
	const struct chunk_seal s = { .id = *id,
				      .kind = plain->kind,
				      .domain = plain->domain,
				      .epoch = (uint16_t)epoch,
				      .plain_len = (uint32_t)plain->n };
	struct chunk_binding to;

	assert(plain->n <= CHUNK_MAX);
	assert(s.kind >= CHUNK_DATA && s.kind < CHUNK_KIND_END);
	if (!key)
		return err_set(e, ERR_BAD_KEY,
			       "domain %u is not in the keyring", s.domain);
	to = binding_of(w->keys, &s, key);
	if (try_frame(w, plain, e) || seal(w, &to, plain, e))
		return -1;
	if (verify_sealed(w, &s, plain->bytes, e)) {
		if (e->code == ERR_CORRUPT)
			e->code = ERR_BUG;
		return err_wrap(e, "a chunk does not open as it was sealed");
	}
	*ret = (struct chunk_sealed){ s, w->sealed.data, w->sealed.len };
	return 0;
}

int chunk_open(struct chunk_worker *w, const struct chunk_seal *s,
	       const void *sealed, size_t n, uint8_t *out, struct err *e)
{
	if (unseal(w, s, sealed, n, e) || unframe(w, s->plain_len, out, e))
		return err_wrap(e, "cannot open a chunk");
	return 0;
}

int chunk_verify(struct chunk_worker *w, const struct chunk_seal *s,
		 const void *plain, struct err *e)
{
	struct chunk_id id;

	if (chunk_identify(w, s->domain, s->kind, plain, s->plain_len, &id, e))
		return -1;
	if (!chunk_id_equal(&id, &s->id))
		return err_set(e, ERR_CORRUPT, "a chunk's id is not its own");
	return 0;
}

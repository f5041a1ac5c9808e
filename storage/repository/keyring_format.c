/*
 * Config, slots and keyrings as bytes.  Each ends in a plain BLAKE2b-256 of
 * what is before it: no authentication, but it tells damage from a wrong key,
 * which otherwise look the same.
 */
#include <assert.h>
#include <sodium.h>
#include <string.h>

#include "base/secret.h"
#include "storage/repository/fields.h"
#include "storage/repository/keyring_internal.h"

_Static_assert(KEYRING_PUBLIC == crypto_box_PUBLICKEYBYTES, "public key");
_Static_assert(KEYRING_PRIVATE == crypto_box_SECRETKEYBYTES, "private key");
_Static_assert(KEYRING_SHARE == KEYS_SIZE + crypto_box_SEALBYTES, "share");
_Static_assert(KEYRING_SALT == crypto_pwhash_SALTBYTES, "salt");

/* What new passphrases cost (RFC 9106 asks for no less with 64 MiB). */
#define ARGON_PASSES	 3
#define ARGON_KIB	 65536
#define ARGON_PASSES_MAX 16
#define ARGON_KIB_MAX	 (1U << 20)
#define ARGON_KIB_MIN	 8

#define FORMAT 1

enum ring_field {
	RING_FORMAT = 1,
	RING_GENERATION,
	RING_CURRENT,
	RING_EPOCH,
	RING_DOMAIN,
	RING_SLOT,
	RING_EARLIER,
};

static void hash(const void *bytes, size_t n, uint8_t out[KEYRING_CHECK])
{
	const int bad = crypto_generichash(out, KEYRING_CHECK, bytes, n, NULL,
					   0);

	assert(bad == 0);
}

/* Whether bytes end in the check of what is before. */
static int check(const uint8_t *bytes, size_t n, size_t least, const char *what,
		 struct err *e)
{
	uint8_t want[KEYRING_CHECK];

	if (n < least + KEYRING_CHECK)
		return err_set(e, ERR_CORRUPT, "the %s was cut off", what);
	hash(bytes, n - KEYRING_CHECK, want);
	if (memcmp(want, bytes + n - KEYRING_CHECK, KEYRING_CHECK) != 0)
		return err_set(e, ERR_CORRUPT, "the %s is damaged", what);
	return 0;
}

static const uint8_t *check_of(const struct buf *bytes)
{
	return bytes->data + bytes->len - KEYRING_CHECK;
}

static uint8_t *put(uint8_t *to, const void *bytes, size_t n)
{
	memcpy(to, bytes, n);
	return to + n;
}

static uint8_t *put_u32(uint8_t *to, uint32_t v)
{
	for (unsigned int i = 0; i < 4; i++)
		*to++ = (uint8_t)(v >> (8 * i));
	return to;
}

static int check_format(uint64_t format, struct err *e)
{
	if (format > FORMAT)
		return err_set(e, ERR_NEWER,
			       "its format %llu is newer than this program",
			       (unsigned long long)format);
	if (format < FORMAT)
		return err_set(e, ERR_CORRUPT,
			       "its format %llu was a draft that only the "
			       "programs of its time read",
			       (unsigned long long)format);
	return 0;
}

/*
 * config: as a header, with the format where others have their epoch.
 */
void keyring_config_encode(struct object_id repository,
			   uint8_t out[KEYRING_CONFIG_SIZE])
{
	const struct object_header h = { .kind = OBJECT_CONFIG,
					 .epoch = FORMAT,
					 .id = repository };

	object_header_encode(&h, out);
	hash(out, OBJECT_HEADER_SIZE, out + OBJECT_HEADER_SIZE);
}

int keyring_config_decode(const void *bytes, size_t n,
			  struct object_id *ret_repository, struct err *e)
{
	struct object_header h;

	/* The header first: a newer config may be longer. */
	if (n < OBJECT_HEADER_SIZE)
		return err_set(e, ERR_CORRUPT, "the config was cut off");
	if (object_header_decode(bytes, OBJECT_CONFIG, &h, e))
		return -1;
	if (h.epoch == FORMAT && n != KEYRING_CONFIG_SIZE)
		return err_set(e, ERR_CORRUPT, "the config has a wrong size");
	if (check(bytes, n, OBJECT_HEADER_SIZE, "config", e))
		return -1;
	if (check_format(h.epoch, e))
		return -1;
	*ret_repository = h.id;
	return 0;
}

/*
 * Slots.
 */
static int derive_kek(const struct keyring_credential *c, uint32_t passes,
		      uint32_t kib, const uint8_t salt[KEYRING_SALT],
		      uint8_t kek[KEYS_SIZE], struct err *e)
{
	if (c->type == KEYRING_KEY_FILE) {
		keys_derive(c->key, "slot", salt, KEYRING_SALT, kek);
		return 0;
	}
	if (crypto_pwhash(kek, KEYS_SIZE, c->passphrase, c->len, salt, passes,
			  (size_t)kib * 1024, crypto_pwhash_ALG_ARGON2ID13))
		return err_set(e, ERR_NO_MEMORY,
			       "no %u MiB of memory for the passphrase",
			       kib / 1024);
	return 0;
}

static void slot_ad(const uint8_t *bytes, struct object_id repository,
		    struct object_id slot, struct seal_ad *ad)
{
	seal_ad_object(bytes, repository, "slot",
		       object_name(OBJECT_SLOT, slot).s, ad);
	seal_ad_add(ad, bytes + OBJECT_HEADER_SIZE, KEYRING_SLOT_FIXED);
}

int keyring_slot_make(const struct keyring_credential *c,
		      struct object_id repository, struct object_id slot,
		      uint8_t out[KEYRING_SLOT_SIZE],
		      uint8_t ret_public[KEYRING_PUBLIC], struct err *e)
{
	const struct object_header h = { .kind = OBJECT_SLOT, .id = slot };
	const bool derived = c->type == KEYRING_PASSPHRASE;
	uint8_t private[KEYRING_PRIVATE];
	uint8_t salt[KEYRING_SALT];
	uint8_t kek[KEYS_SIZE];
	struct seal_ad ad;
	uint8_t *p = out + OBJECT_HEADER_SIZE;

	secret_random(salt, sizeof(salt));
	if (derive_kek(c, ARGON_PASSES, ARGON_KIB, salt, kek, e))
		return -1;
	(void)crypto_box_keypair(ret_public, private);
	object_header_encode(&h, out);
	*p++ = (uint8_t)c->type;
	p = put_u32(p, derived ? ARGON_PASSES : 0);
	p = put_u32(p, derived ? ARGON_KIB : 0);
	p = put(p, salt, sizeof(salt));
	p = put(p, ret_public, KEYRING_PUBLIC);
	slot_ad(out, repository, slot, &ad);
	seal_bytes(kek, &ad, private, sizeof(private), p);
	secret_wipe(kek, sizeof(kek));
	secret_wipe(private, sizeof(private));
	hash(out, KEYRING_SLOT_SIZE - KEYRING_CHECK,
	     out + KEYRING_SLOT_SIZE - KEYRING_CHECK);
	return 0;
}

struct slot_fields {
	uint8_t type;
	uint32_t passes;
	uint32_t kib;
	uint8_t salt[KEYRING_SALT];
	uint8_t public[KEYRING_PUBLIC];
};

static int slot_decode(struct object_id slot, const struct buf *bytes,
		       struct slot_fields *ret, struct err *e)
{
	struct cursor c = cursor_of(bytes->data, bytes->len);
	const uint8_t *header = cursor_bytes(&c, OBJECT_HEADER_SIZE);
	struct object_header h;

	if (!header)
		return err_set(e, ERR_CORRUPT, "the slot was cut off");
	if (object_header_decode(header, OBJECT_SLOT, &h, e))
		return -1;
	if (bytes->len != KEYRING_SLOT_SIZE)
		return err_set(e, ERR_CORRUPT, "the slot has a wrong size");
	if (check(bytes->data, bytes->len, 0, "slot", e))
		return -1;
	ret->type = cursor_u8(&c);
	ret->passes = cursor_u32(&c);
	ret->kib = cursor_u32(&c);
	cursor_copy(&c, ret->salt, sizeof(ret->salt));
	cursor_copy(&c, ret->public, sizeof(ret->public));
	if (h.epoch != 0 || !object_id_equal(h.id, slot))
		return err_set(e, ERR_CORRUPT, "the slot is another one");
	/* A hostile slot must not make us burn hours or all memory. */
	if (ret->type == KEYRING_PASSPHRASE &&
	    (ret->passes == 0 || ret->passes > ARGON_PASSES_MAX ||
	     ret->kib < ARGON_KIB_MIN || ret->kib > ARGON_KIB_MAX))
		return err_set(e, ERR_CORRUPT,
			       "the slot asks for too costly a derivation");
	return 0;
}

int keyring_slot_open(const struct keyring_credential *c,
		      struct object_id repository, struct object_id slot,
		      const struct buf *bytes,
		      uint8_t ret_pair[KEYRING_PUBLIC + KEYRING_PRIVATE],
		      struct err *e)
{
	const size_t sealed = OBJECT_HEADER_SIZE + KEYRING_SLOT_FIXED;
	uint8_t private[KEYRING_PRIVATE];
	uint8_t kek[KEYS_SIZE];
	struct slot_fields f;
	struct seal_ad ad;
	bool opened;

	if (slot_decode(slot, bytes, &f, e))
		return -1;
	if (f.type != (uint8_t)c->type)
		return 0;
	if (derive_kek(c, f.passes, f.kib, f.salt, kek, e))
		return -1;
	slot_ad(bytes->data, repository, slot, &ad);
	opened = seal_open(kek, &ad, bytes->data + sealed,
			   SEAL_OVERHEAD + KEYRING_PRIVATE, private);
	secret_wipe(kek, sizeof(kek));
	if (!opened)
		return 0;
	memcpy(ret_pair, f.public, KEYRING_PUBLIC);
	memcpy(ret_pair + KEYRING_PUBLIC, private, KEYRING_PRIVATE);
	secret_wipe(private, sizeof(private));
	return 1;
}

/*
 * Keyrings.
 */
int keyring_shell_decode(const struct buf *bytes, uint32_t generation,
			 struct keyring_shell *ret, struct err *e)
{
	struct cursor c = cursor_of(bytes->data, bytes->len);
	const uint8_t *header = cursor_bytes(&c, OBJECT_HEADER_SIZE);
	struct object_header h;

	if (!header)
		return err_set(e, ERR_CORRUPT, "the keyring was cut off");
	if (object_header_decode(header, OBJECT_KEYRING, &h, e) ||
	    check(bytes->data, bytes->len, 0, "keyring", e))
		return -1;
	ret->epoch = h.epoch;
	ret->generation = cursor_u32(&c);
	ret->n_slots = cursor_u16(&c);
	ret->slots = cursor_bytes(&c, ret->n_slots * (16 + KEYRING_SHARE));
	ret->sealed_len = cursor_u32(&c);
	ret->sealed = cursor_bytes(&c, ret->sealed_len);
	if (c.bad || c.left != KEYRING_CHECK || h.epoch == 0 ||
	    ret->generation != generation || ret->n_slots > KEYRING_SLOTS_MAX ||
	    ret->sealed_len < SEAL_OVERHEAD || !object_is_padded(bytes->len))
		return err_set(e, ERR_CORRUPT, "the keyring makes no sense");
	ret->between = 4 + 2 + ret->n_slots * (16 + KEYRING_SHARE) + 4;
	return 0;
}

static void ring_ad(const uint8_t *bytes, size_t between, const struct ring *r,
		    struct seal_ad *ad)
{
	uint8_t digest[KEYRING_CHECK];

	seal_ad_object(bytes, r->repository, "keyring",
		       object_name_generation(r->generation).s, ad);
	hash(bytes + OBJECT_HEADER_SIZE, between, digest);
	seal_ad_add(ad, digest, sizeof(digest));
}

static struct instant take_instant(struct cursor *c)
{
	struct instant t;

	t.sec = cursor_svarint(c);
	t.nsec = (uint32_t)cursor_varint_max(c, 999999999);
	return t;
}

static bool parse_epoch(struct ring *r, struct cursor *c)
{
	struct ring_epoch *x;

	if (r->n_epochs == KEYS_EPOCHS_MAX)
		return false;
	x = &r->epochs[r->n_epochs++];
	x->number = cursor_u32(c);
	cursor_copy(c, x->key, sizeof(x->key));
	x->created = take_instant(c);
	return !c->bad && c->left == 0;
}

static bool parse_domain(struct ring *r, struct cursor *c)
{
	struct ring_domain *x;

	if (r->n_domains == KEYS_DOMAINS_MAX)
		return false;
	x = &r->domains[r->n_domains++];
	x->number = cursor_u16(c);
	cursor_copy(c, x->secret, sizeof(x->secret));
	return !c->bad && c->left == 0;
}

static bool parse_slot(struct ring *r, struct cursor *c)
{
	struct ring_slot *x;
	struct field label = { 0 };

	if (r->n_slots == KEYRING_SLOTS_MAX)
		return false;
	x = &r->slots[r->n_slots++];
	cursor_copy(c, x->info.id.b, sizeof(x->info.id.b));
	x->info.type = (enum keyring_slot_type)cursor_u8(c);
	cursor_copy(c, x->public, sizeof(x->public));
	x->info.added = take_instant(c);
	x->info.is_yours = false;
	label.value = cursor_sub(c, cursor_varint_max(c, SIZE_MAX));
	field_str(&label, x->info.label, sizeof(x->info.label));
	return !c->bad && c->left == 0 && !label.value.bad;
}

static bool parse_earlier(struct ring *r, struct cursor *c)
{
	if (r->n_earlier == KEYRING_GENERATIONS_MAX - 1)
		return false;
	cursor_copy(c, r->earlier[r->n_earlier++], KEYRING_CHECK);
	return !c->bad && c->left == 0;
}

static bool parse_u32(struct field *f, uint32_t *ret)
{
	const uint64_t v = field_uint(f);

	*ret = (uint32_t)v;
	return !f->value.bad && v <= UINT32_MAX;
}

static bool parse_field(struct ring *r, struct field *f, uint64_t *format)
{
	switch (f->tag) {
	case RING_FORMAT:
		*format = field_uint(f);
		return !f->value.bad;
	case RING_GENERATION:
		return parse_u32(f, &r->generation);
	case RING_CURRENT:
		return parse_u32(f, &r->current);
	case RING_EPOCH:
		return parse_epoch(r, &f->value);
	case RING_DOMAIN:
		return parse_domain(r, &f->value);
	case RING_SLOT:
		return parse_slot(r, &f->value);
	case RING_EARLIER:
		return parse_earlier(r, &f->value);
	default:
		return true;
	}
}

static bool knows_newest(const struct ring *r)
{
	bool found = false;

	for (size_t i = 0; i < r->n_epochs; i++) {
		if (r->epochs[i].number > r->current)
			return false;
		found |= r->epochs[i].number == r->current;
	}
	return found;
}

int keyring_ring_parse(const void *plain, size_t n, struct ring *r,
		       struct err *e)
{
	struct cursor all = cursor_of(plain, n);
	struct cursor c = cursor_sub(&all, cursor_u32(&all));
	uint64_t format = 0;
	uint64_t last = 0;
	struct field f;
	int more;

	if (all.bad || !cursor_zeros(&all))
		return err_set(e, ERR_CORRUPT, "the keyring makes no sense");
	r->n_epochs = 0;
	r->n_domains = 0;
	r->n_slots = 0;
	r->n_earlier = 0;
	while ((more = fields_next(&c, &last, &f, e)) == 1) {
		if (!parse_field(r, &f, &format))
			return err_set(e, ERR_CORRUPT,
				       "field %u of the keyring makes no sense",
				       (unsigned int)f.tag);
		/* The first field, before others that came with a later one. */
		if (check_format(format, e))
			return -1;
	}
	if (more < 0)
		return -1;
	if (!knows_newest(r) || r->n_slots == 0)
		return err_set(e, ERR_CORRUPT, "the keyring lacks its keys");
	if (r->n_earlier + 1 != r->generation)
		return err_set(e, ERR_CORRUPT,
			       "the keyring does not name those before it");
	return 0;
}

/* The slots that can open it are those that it tells of, in their order. */
static bool slots_agree(const struct keyring_shell *shell, const struct ring *r)
{
	if (shell->n_slots != r->n_slots)
		return false;
	for (size_t i = 0; i < r->n_slots; i++)
		if (memcmp(shell->slots + i * (16 + KEYRING_SHARE),
			   r->slots[i].info.id.b, 16) != 0)
			return false;
	return true;
}

int keyring_ring_open(const struct buf *bytes,
		      const struct keyring_shell *shell,
		      const uint8_t ring_key[KEYS_SIZE], struct ring *r,
		      struct err *e)
{
	const size_t n = shell->sealed_len - SEAL_OVERHEAD;
	uint8_t *plain = secret_new(n ? n : 1);
	struct seal_ad ad;
	int result;

	if (!plain)
		return err_oom(e);
	r->generation = shell->generation;
	ring_ad(bytes->data, shell->between, r, &ad);
	if (!seal_open(ring_key, &ad, shell->sealed, shell->sealed_len, plain))
		result = err_set(e, ERR_CORRUPT,
				 "the keyring fails authentication");
	else
		result = keyring_ring_parse(plain, n, r, e);
	secret_free(plain);
	if (result)
		return -1;
	if (r->generation != shell->generation || r->current != shell->epoch ||
	    !slots_agree(shell, r))
		return err_set(e, ERR_CORRUPT,
			       "the keyring contradicts itself");
	memcpy(r->self, check_of(bytes), sizeof(r->self));
	return 0;
}

bool keyring_ring_follows(const struct ring *r, uint64_t n,
			  const struct buf *bytes)
{
	if (n == 0 || n > r->generation || bytes->len < KEYRING_CHECK)
		return false;
	return memcmp(check_of(bytes),
		      n < r->generation ? r->earlier[n - 1] : r->self,
		      KEYRING_CHECK) == 0;
}

static int add_epoch(struct buf *b, const struct ring_epoch *x, struct err *e)
{
	CLEANUP(buf_wipe) struct buf v;

	buf_init(&v, 128);
	if (buf_reserve(&v, 128, e) || buf_add_u32(&v, x->number, e) ||
	    buf_add(&v, x->key, sizeof(x->key), e) ||
	    buf_add_svarint(&v, x->created.sec, e) ||
	    buf_add_varint(&v, x->created.nsec, e))
		return -1;
	return fields_add(b, RING_EPOCH, v.data, v.len, e);
}

static int add_domain(struct buf *b, const struct ring_domain *x, struct err *e)
{
	uint8_t v[2 + KEYS_SIZE] = { (uint8_t)x->number,
				     (uint8_t)(x->number >> 8) };
	int r;

	memcpy(v + 2, x->secret, sizeof(x->secret));
	r = fields_add(b, RING_DOMAIN, v, sizeof(v), e);
	secret_wipe(v, sizeof(v));
	return r;
}

static int add_slot(struct buf *b, const struct ring_slot *x, struct err *e)
{
	const size_t label = strlen(x->info.label);
	CLEANUP(buf_done) struct buf v;

	buf_init(&v, 512);
	if (buf_add(&v, x->info.id.b, sizeof(x->info.id.b), e) ||
	    buf_add_byte(&v, (uint8_t)x->info.type, e) ||
	    buf_add(&v, x->public, sizeof(x->public), e) ||
	    buf_add_svarint(&v, x->info.added.sec, e) ||
	    buf_add_varint(&v, x->info.added.nsec, e) ||
	    buf_add_varint(&v, label, e) ||
	    buf_add(&v, x->info.label, label, e))
		return -1;
	return fields_add(b, RING_SLOT, v.data, v.len, e);
}

static int ring_fields(const struct ring *r, struct buf *b, struct err *e)
{
	if (fields_add_uint(b, RING_FORMAT, FORMAT, e) ||
	    fields_add_uint(b, RING_GENERATION, r->generation, e) ||
	    fields_add_uint(b, RING_CURRENT, r->current, e))
		return -1;
	for (size_t i = 0; i < r->n_epochs; i++)
		if (add_epoch(b, &r->epochs[i], e))
			return -1;
	for (size_t i = 0; i < r->n_domains; i++)
		if (add_domain(b, &r->domains[i], e))
			return -1;
	for (size_t i = 0; i < r->n_slots; i++)
		if (add_slot(b, &r->slots[i], e))
			return -1;
	for (size_t i = 0; i < r->n_earlier; i++)
		if (fields_add(b, RING_EARLIER, r->earlier[i], KEYRING_CHECK,
			       e))
			return -1;
	return 0;
}

/* Header, generation and the ring key for each slot. */
static int add_shell(const struct ring *r, const uint8_t ring_key[KEYS_SIZE],
		     struct buf *out, struct err *e)
{
	const struct object_header h = { .kind = OBJECT_KEYRING,
					 .epoch = r->current,
					 .id = object_id_new() };
	uint8_t header[OBJECT_HEADER_SIZE];
	uint8_t share[KEYRING_SHARE];

	object_header_encode(&h, header);
	if (buf_add(out, header, sizeof(header), e) ||
	    buf_add_u32(out, r->generation, e) ||
	    buf_add_u16(out, (uint16_t)r->n_slots, e))
		return -1;
	for (size_t i = 0; i < r->n_slots; i++) {
		if (crypto_box_seal(share, ring_key, KEYS_SIZE,
				    r->slots[i].public))
			return err_set(e, ERR_CORRUPT,
				       "a slot's public key is none");
		if (buf_add(out, r->slots[i].info.id.b, 16, e) ||
		    buf_add(out, share, sizeof(share), e))
			return -1;
	}
	return 0;
}

/* Length, fields, and zeros up to a Padmé size of the whole object. */
static int ring_plain(const struct ring *r, size_t shell, struct buf *plain,
		      struct err *e)
{
	CLEANUP(buf_wipe) struct buf fields;
	size_t bare;

	buf_init(&fields, KEYRING_MAX);
	if (ring_fields(r, &fields, e))
		return -1;
	bare = shell + 4 + SEAL_OVERHEAD + 4 + fields.len + KEYRING_CHECK;
	if (buf_add_u32(plain, (uint32_t)fields.len, e) ||
	    buf_add(plain, fields.data, fields.len, e))
		return -1;
	return buf_add_zeros(plain, (size_t)object_padded(bare) - bare, e);
}

static int seal_ring(const struct ring *r, const uint8_t ring_key[KEYS_SIZE],
		     struct buf *out, struct err *e)
{
	CLEANUP(buf_wipe) struct buf plain;
	uint8_t digest[KEYRING_CHECK];
	struct seal_ad ad;
	size_t n;

	buf_init(&plain, KEYRING_MAX);
	if (ring_plain(r, out->len, &plain, e))
		return -1;
	n = plain.len + SEAL_OVERHEAD;
	if (buf_add_u32(out, (uint32_t)n, e) || buf_reserve(out, n, e))
		return -1;
	ring_ad(out->data, out->len - OBJECT_HEADER_SIZE, r, &ad);
	seal_bytes(ring_key, &ad, plain.data, plain.len, out->data + out->len);
	out->len += n;
	hash(out->data, out->len, digest);
	return buf_add(out, digest, sizeof(digest), e);
}

int keyring_ring_encode(const struct ring *r, struct buf *out, struct err *e)
{
	uint8_t ring_key[KEYS_SIZE];
	int result;

	secret_random(ring_key, sizeof(ring_key));
	result = add_shell(r, ring_key, out, e);
	if (result == 0)
		result = seal_ring(r, ring_key, out, e);
	secret_wipe(ring_key, sizeof(ring_key));
	return result;
}

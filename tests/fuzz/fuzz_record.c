/*
 * The small records: the first byte chooses the kind, the rest is the payload
 * that its box would hold.  What is taken can be written, and that is taken
 * again and is its own form.
 */
#include "storage/repository/record.h"
#include "storage/repository/seal.h"
#include "tests/support/fuzz.h"

static const enum object_kind kinds[] = {
	OBJECT_RECEIPT, OBJECT_SESSION,	  OBJECT_FENCE,	     OBJECT_VOID,
	OBJECT_MARK,	OBJECT_TOMBSTONE, OBJECT_UNDELETE,   OBJECT_HOLD,
	OBJECT_LOCK,	OBJECT_PIN,	  OBJECT_QUARANTINE,
};
/*
 * Those that came later have numbers that no input had that was kept: what all
 * others mean must not change.
 */
static const enum object_kind later[] = {
	OBJECT_CENSUS,
	OBJECT_INVENTORY,
	OBJECT_GUARD,
};

static enum object_kind kind_of(uint8_t byte)
{
	if (byte >> 4 == 0xe)
		return later[byte % 16 % (sizeof(later) / sizeof(*later))];
	return kinds[byte % (sizeof(kinds) / sizeof(*kinds))];
}

static const uint8_t *payload;
static size_t payload_len;
static struct buf *written;
static uint64_t nobody; /* whom the wrapped functions never ask */
static struct store *const store = (struct store *)(void *)&nobody;
static const struct keys *const keys = (const struct keys *)(void *)&nobody;

int __wrap_seal_box_get(struct store *s, const struct keys *k,
			enum object_kind kind, const char *name,
			struct buf *out, struct err *e);
int __wrap_seal_box_get(struct store *s, const struct keys *k,
			enum object_kind kind, const char *name,
			struct buf *out, struct err *e)
{
	(void)s;
	(void)k;
	(void)kind;
	(void)name;
	return buf_add(out, payload, payload_len, e) ? -1 : 1;
}

int __wrap_seal_box_put_as(struct store *s, const struct keys *k,
			   struct seal_as as, const char *name,
			   const void *bytes, size_t n, unsigned int put_flags,
			   struct err *e);
int __wrap_seal_box_put_as(struct store *s, const struct keys *k,
			   struct seal_as as, const char *name,
			   const void *bytes, size_t n, unsigned int put_flags,
			   struct err *e)
{
	(void)as;
	(void)s;
	(void)k;
	(void)name;
	(void)put_flags;
	return buf_add(written, bytes, n, e);
}

static void write_to(const struct record *r, struct buf *out)
{
	struct err e = { 0 };

	buf_init(out, (size_t)64 << 20);
	written = out;
	FUZZ_PROMISE(record_put(store, keys, r, 0, &e) == 0);
}

static void write_again(const struct record *r, const char *name)
{
	CLEANUP(record_done) struct record again;
	CLEANUP(buf_done) struct buf one;
	CLEANUP(buf_done) struct buf two;
	struct err e = { 0 };

	write_to(r, &one);
	payload = one.data;
	payload_len = one.len;
	FUZZ_PROMISE(record_get(store, keys, r->kind, name, &again, &e) == 1);
	FUZZ_PROMISE(again.n_ids == r->n_ids);
	FUZZ_PROMISE(memcmp(again.counts, r->counts, sizeof(r->counts)) == 0);
	write_to(&again, &two);
	FUZZ_PROMISE(one.len == two.len &&
		     (!one.len || memcmp(one.data, two.data, one.len) == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct record about; /* all that it is needed for is its name */
	struct object_name name;
	struct record r;
	struct err e = { 0 };

	if (n < 1 || n > (1U << 20))
		return 0;
	record_init(&about, kind_of(bytes[0]));
	memset(about.id.b, 0x11, sizeof(about.id.b));
	memset(about.snapshot.b, 0x22, sizeof(about.snapshot.b));
	name = record_name(&about);
	payload = bytes + 1;
	payload_len = n - 1;
	if (record_get(store, keys, about.kind, name.s, &r, &e) < 0) {
		FUZZ_PROMISE(e.code == ERR_CORRUPT || e.code == ERR_NEWER);
		return 0;
	}
	write_again(&r, name.s);
	record_done(&r);
	return 0;
}

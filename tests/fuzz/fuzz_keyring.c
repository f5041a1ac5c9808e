/*
 * A keyring's public shell, its secret fields, a slot and a config: the first
 * byte chooses.  The check at the end of objects is mended, so that the
 * fuzzer gets behind it.
 */
#include <sodium.h>
#include <stdlib.h>

#include "storage/repository/keyring_internal.h"
#include "tests/support/fuzz.h"

static void mend(struct buf *b)
{
	if (b->len >= KEYRING_CHECK)
		(void)crypto_generichash(b->data + b->len - KEYRING_CHECK,
					 KEYRING_CHECK, b->data,
					 b->len - KEYRING_CHECK, NULL, 0);
}

static void shell(const struct buf *b)
{
	struct keyring_shell s;
	struct err e;

	if (keyring_shell_decode(b, 1, &s, &e))
		return;
	FUZZ_PROMISE(s.slots >= b->data);
	FUZZ_PROMISE(s.sealed + s.sealed_len + KEYRING_CHECK ==
		     b->data + b->len);
}

static void fields(const uint8_t *data, size_t n)
{
	struct ring *r = calloc(1, sizeof(*r));
	struct err e;

	if (r && keyring_ring_parse(data, n, r, &e) == 0) {
		FUZZ_PROMISE(r->n_slots > 0 && r->n_slots <= KEYRING_SLOTS_MAX);
		FUZZ_PROMISE(r->n_epochs > 0 && r->n_epochs <= KEYS_EPOCHS_MAX);
	}
	free(r);
}

static void slot(const struct buf *b)
{
	const struct keyring_credential c = { .type = KEYRING_KEY_FILE };
	const struct object_id id = { { 0 } };
	uint8_t pair[KEYRING_PUBLIC + KEYRING_PRIVATE];
	struct err e;

	FUZZ_PROMISE(keyring_slot_open(&c, id, id, b, pair, &e) <= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	CLEANUP(buf_done) struct buf b;
	struct object_id id;
	struct err e;

	buf_init(&b, KEYRING_MAX);
	if (n < 1 || n > KEYRING_MAX)
		return 0;
	if (buf_add(&b, data + 1, n - 1, &e))
		return 0;
	mend(&b);
	switch (data[0] % 4) {
	case 0:
		shell(&b);
		break;
	case 1:
		fields(data + 1, n - 1);
		break;
	case 2:
		slot(&b);
		break;
	default:
		(void)!keyring_config_decode(b.data, b.len, &id, &e);
		break;
	}
	return 0;
}

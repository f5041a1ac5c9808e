/* The text of a key file: what is taken is written back the same. */
#include "base/text.h"
#include "storage/repository/keyring_internal.h"
#include "tests/support/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	uint8_t key[KEYS_SIZE];
	char text[64];
	struct err e;

	if (keyring_credential_parse((const char *)data, n, key, &e)) {
		FUZZ_PROMISE(e.code == ERR_USAGE);
		return 0;
	}
	text_base64(key, sizeof(key), text);
	FUZZ_PROMISE(memcmp(data + 14, text, 44) == 0);
	return 0;
}

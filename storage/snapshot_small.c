/*
 * Small files by content: where a group ends, and what lies in one already.
 *
 * A file is named by HMAC-SHA256: two files of one name are taken for the
 * same, so no hash of 64 bits will do; and keyed, because names lie in a
 * temporary file and decide where groups end.  Nanoseconds a file, the least
 * of three runs (OpenSSL 3.0 with SHA-NI, libsodium 1.0.18):
 *
 *	  bytes  SipHash-2-4  HMAC-SHA256  BLAKE2b
 *	     64           46          472      411
 *	    200          102          582      575
 *	  1,024          434          954    1,388
 *	  4,096        1,680        3,096    4,953
 *	102,400       51,061       71,223  127,144
 *
 * SipHash for the group's end beside the name would cost up to seven tenths as
 * much again.
 */
#include <stdlib.h>

#include "base/filemap.h"
#include "base/secret.h"
#include "storage/snapshot.h"
#include "storage/snapshot_small.h"

struct snapshot_small {
	struct filemap *places; /* name → struct snapshot_place */
};

int snapshot_small_new(const char *scratch, struct snapshot_small **ret,
		       struct err *e)
{
	CLEANUP(snapshot_small_free)
	struct snapshot_small *s = calloc(1, sizeof(*s));

	if (!s)
		return err_oom(e);
	if (filemap_new(&s->places, scratch, sizeof(struct snapshot_name),
			sizeof(struct snapshot_place), e))
		return -1;
	*ret = TAKE(s);
	return 0;
}

void snapshot_small_free(struct snapshot_small *s)
{
	if (!s)
		return;
	filemap_free(s->places);
	free(s);
}

int snapshot_small_hash(const uint8_t cut_key[KEYS_SIZE], struct hash **ret,
			struct err *e)
{
	uint8_t key[KEYS_SIZE];
	int failed;

	keys_derive(cut_key, "small", NULL, 0, key);
	failed = hash_new(key, ret, e);
	secret_wipe(key, sizeof(key));
	return failed;
}

int snapshot_small_name(struct hash *h, const void *data, size_t n,
			struct snapshot_name *ret, struct err *e)
{
	return hash_bytes(h, data, n, ret->b, e);
}

bool snapshot_small_ends(const struct snapshot_name *name, size_t n)
{
	const uint64_t share = UINT64_MAX / SNAPSHOT_GROUP_AIM;
	uint64_t v = 0;

	for (unsigned int i = 0; i < sizeof(v); i++)
		v |= (uint64_t)name->b[i] << (8 * i);
	return v < share * n;
}

int snapshot_small_place(struct snapshot_small *s,
			 const struct snapshot_name *name, size_t n,
			 struct snapshot_place *place, struct err *e)
{
	void *value;
	int added;

	if (n < SNAPSHOT_NAMED_MIN)
		return 0;
	added = filemap_add(s->places, name->b, &value, e);
	if (added < 0)
		return -1;
	if (added)
		*(struct snapshot_place *)value = *place;
	else
		*place = *(const struct snapshot_place *)value;
	return !added;
}

/* Who may open a repository: storage/repository/keyring.h. */
#include "storage/repository/keyring.h"

#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/seam.h"
#include "base/secret.h"
#include "base/text.h"
#include "storage/repository/keyring_internal.h"
#include "tests/support/check_main.h"
#include "tests/support/repo_store.h"
#include "tests/support/scratch.h"

#define KEY_FILES 5

static const struct instant now = { .sec = 1700000000, .nsec = 5 };
static struct scratch dir;
static struct store *store;
/* Key files, made once for each test. */
static struct keyring_credential *key[KEY_FILES];

static void set_up(void)
{
	char path[SCRATCH_PATH];
	struct err e;

	ck_ok(secret_start(&e));
	scratch_init(&dir);
	for (int i = 0; i < KEY_FILES; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "key%d", i);
		ck_ok(keyring_credential_make_key_file(
			scratch_path(&dir, name, path), &key[i], &e));
	}
	ck_ok(store_open("mem:keyring", true, &store, &e));
}

static void tear_down(void)
{
	for (int i = 0; i < KEY_FILES; i++)
		keyring_credential_free(key[i]);
	store_close(store);
	store_mem_forget("mem:keyring");
	scratch_done(&dir);
}

static struct keyring_credential *passphrase(const char *text)
{
	struct keyring_credential *c = NULL;
	char path[SCRATCH_PATH];
	struct err e;

	(void)scratch_path(&dir, "passphrase", path);
	ck_ok(file_replace(path, text, strlen(text), 0600, &e));
	ck_ok(keyring_credential_passphrase_file(path, &c, &e));
	return c;
}

static void init(struct store *s)
{
	CLEANUP(keys_free) struct keys *k = NULL;
	struct err e;

	ck_ok(keyring_init(s, key[0], "first", now, &k, &e));
	ck_assert_uint_eq(keys_epoch(k), 1);
}

static enum err_code open_code(struct store *s,
			       const struct keyring_credential *c)
{
	CLEANUP(keys_free) struct keys *k = NULL;
	struct err e;

	return keyring_open(s, c, &k, &e) ? e.code : ERR_NONE;
}

static struct object_id add(struct store *s, int which, const char *label)
{
	struct object_id slot;
	struct err e;

	ck_ok(keyring_add(s, key[0], key[which], label, now, &slot, &e));
	return slot;
}

struct listed {
	size_t n;
	struct keyring_slot slot[8];
};

static int note_slot(void *arg, const struct keyring_slot *slot, struct err *e)
{
	struct listed *l = arg;

	(void)e;
	ck_assert_uint_lt(l->n, 8);
	l->slot[l->n++] = *slot;
	return 0;
}

static int note_name(void *arg, const struct store_entry *entry, struct err *e)
{
	if (buf_add_str(arg, entry->name, e))
		return -1;
	return buf_add_byte(arg, ' ', e);
}

/* All names of a store. */
static void names(struct store *s, const char *prefix, struct buf *out)
{
	struct err e;

	buf_init(out, 100000);
	ck_ok(store_list(s, prefix, note_name, out, &e));
}

START_TEST(the_key_that_made_it_opens_it)
{
	CLEANUP(keys_free) struct keys *made = NULL;
	CLEANUP(keys_free) struct keys *opened = NULL;
	CLEANUP(keyring_credential_free) struct keyring_credential *c = NULL;
	char path[SCRATCH_PATH];
	char link[SCRATCH_PATH];
	struct err e;

	ck_assert_int_eq(open_code(store, key[0]), ERR_NOT_FOUND);
	ck_ok(keyring_init(store, key[0], "first", now, &made, &e));
	ck_assert_int_eq(open_code(store, key[1]), ERR_BAD_KEY);
	/* From the file, by way of a link. */
	ck_assert_int_eq(symlink(scratch_path(&dir, "key0", path),
				 scratch_path(&dir, "link", link)),
			 0);
	ck_ok(keyring_credential_key_file(link, &c, &e));
	ck_ok(keyring_open(store, c, &opened, &e));
	ck_assert(object_id_equal(keys_repository(made),
				  keys_repository(opened)));
	ck_assert_mem_eq(keys_object(made, 1), keys_object(opened, 1),
			 KEYS_SIZE);
	ck_assert_mem_eq(keys_data(made, 0, 1), keys_data(opened, 0, 1),
			 KEYS_SIZE);
	ck_assert_mem_eq(keys_id(made, 0), keys_id(opened, 0), KEYS_SIZE);
}
END_TEST

START_TEST(only_an_empty_place_is_taken)
{
	CLEANUP(keys_free) struct keys *k = NULL;
	struct err e;

	ck_ok(store_put(store, "data/xx/file", "x", 1, 0, &e));
	ck_assert_int_eq(keyring_init(store, key[0], "", now, &k, &e), -1);
	ck_assert_int_eq(e.code, ERR_EXISTS);
	ck_assert_ptr_nonnull(strstr(e.text, "it holds \"data/xx/file\""));
	ck_ok(store_remove(store, "data/xx/file", &e));
	init(store);
	ck_assert_int_eq(keyring_init(store, key[1], "", now, &k, &e), -1);
	ck_assert_int_eq(e.code, ERR_EXISTS);
	ck_assert_ptr_nonnull(strstr(e.text, "there is a repository already"));
	ck_assert_int_eq(open_code(store, key[0]), ERR_NONE);
	/* A repository that lost its config is not an empty place either. */
	ck_ok(store_remove(store, "config", &e));
	ck_assert_int_eq(keyring_init(store, key[1], "", now, &k, &e), -1);
	ck_assert_int_eq(e.code, ERR_EXISTS);
	ck_assert_ptr_nonnull(strstr(e.text, "the remains of a repository"));
}
END_TEST

START_TEST(key_files_are_strict)
{
	static const char *const wrong[] = {
		"",
		"snapctl-key-1\n",
		"snapctl-key-1\nAAAA\n",
		"snapctl-key-2\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
		"snapctl-key-1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n",
		"snapctl-key-1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==\n",
		"snapctl-key-1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n",
		"snapctl-key-1\nAAAAAAAAAAAAAAAAAAAAA!AAAAAAAAAAAAAAAAAAAAA=\n",
	};
	CLEANUP(keyring_credential_free) struct keyring_credential *c = NULL;
	char path[SCRATCH_PATH];
	struct stat st;
	struct err e;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		ck_ok(file_replace(scratch_path(&dir, "wrong", path), wrong[i],
				   strlen(wrong[i]), 0600, &e));
		ck_assert_msg(keyring_credential_key_file(path, &c, &e) == -1,
			      "case %zu", i);
		ck_assert_int_eq(e.code, ERR_USAGE);
	}
	ck_assert_int_eq(keyring_credential_key_file(dir.path, &c, &e), -1);
	ck_assert_int_eq(keyring_credential_key_file(
				 scratch_path(&dir, "none", path), &c, &e),
			 -1);
	ck_assert_int_eq(e.code, ERR_NOT_FOUND);
	(void)scratch_path(&dir, "key1", path);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_int_eq(keyring_credential_make_key_file(path, &c, &e), -1);
	ck_assert_int_eq(e.code, ERR_EXISTS);
}
END_TEST

START_TEST(key_files_that_others_read_are_refused)
{
	static const mode_t modes[] = { 0640, 0604, 0620, 0601, 0666 };
	CLEANUP(keyring_credential_free) struct keyring_credential *c = NULL;
	char path[SCRATCH_PATH];
	struct err e;

	(void)scratch_path(&dir, "key1", path);
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		ck_assert_int_eq(chmod(path, modes[i]), 0);
		ck_assert_int_eq(keyring_credential_key_file(path, &c, &e), -1);
		ck_assert_int_eq(e.code, ERR_DENIED);
		ck_assert_ptr_nonnull(strstr(e.hint, "chmod 600 "));
	}
	ck_assert_int_eq(chmod(path, 0400), 0);
	ck_ok(keyring_credential_key_file(path, &c, &e));
}
END_TEST

START_TEST(passphrases_are_first_lines)
{
	CLEANUP(keyring_credential_free)
	struct keyring_credential *a = passphrase("a b\nsecond line\n");
	CLEANUP(keyring_credential_free) struct keyring_credential *b = NULL;
	static char text[KEYRING_PASSPHRASE_MAX + 2];
	char path[SCRATCH_PATH];
	struct err e;

	ck_assert_uint_eq(a->len, 3);
	ck_assert_mem_eq(a->passphrase, "a b", 3);
	(void)scratch_path(&dir, "passphrase", path);
	ck_ok(file_replace(path, "\nx\n", 3, 0600, &e));
	ck_assert_int_eq(keyring_credential_passphrase_file(path, &b, &e), -1);
	ck_assert_int_eq(e.code, ERR_USAGE);
	memset(text, 'x', sizeof(text));
	ck_ok(file_replace(path, text, KEYRING_PASSPHRASE_MAX + 1, 0600, &e));
	ck_assert_int_eq(keyring_credential_passphrase_file(path, &b, &e), -1);
	ck_assert_int_eq(e.code, ERR_USAGE);
	ck_ok(file_replace(path, text, KEYRING_PASSPHRASE_MAX, 0600, &e));
	ck_ok(keyring_credential_passphrase_file(path, &b, &e));
	ck_assert_uint_eq(b->len, KEYRING_PASSPHRASE_MAX);
}
END_TEST

/*
 * From libgcrypt 1.10: gcry_kdf_open(GCRY_KDF_ARGON2, GCRY_KDF_ARGON2ID) with
 * { 32, 3, 65536, 1 } (RFC 9106, version 1.3).
 */
START_TEST(the_derivation_has_a_known_answer)
{
	static const char want_hex[] = "e3c889ca40ed01e6b6771fc8a5bf16e3"
				       "5ad60b41c9bd5d7e6d63adf51e50b0fd";
	uint8_t want[32];
	uint8_t got[32];
	uint8_t salt[16];

	for (size_t i = 0; i < sizeof(salt); i++)
		salt[i] = (uint8_t)i;
	ck_assert(text_unhex(want_hex, sizeof(want), want));
	ck_assert_int_eq(crypto_pwhash(got, sizeof(got), "correct horse", 13,
				       salt, 3, (size_t)64 << 20,
				       crypto_pwhash_ALG_ARGON2ID13),
			 0);
	ck_assert_mem_eq(got, want, sizeof(want));
}
END_TEST

START_TEST(passphrases_open_too)
{
	CLEANUP(keyring_credential_free)
	struct keyring_credential *right = passphrase("correct horse");
	CLEANUP(keyring_credential_free)
	struct keyring_credential *wrong = passphrase("correct mule");
	struct listed l = { .n = 0 };
	struct object_id slot;
	struct err e;

	init(store);
	ck_ok(keyring_add(store, key[0], right, "spoken", now, &slot, &e));
	ck_assert_int_eq(open_code(store, right), ERR_NONE);
	ck_assert_int_eq(open_code(store, wrong), ERR_BAD_KEY);
	ck_assert_int_eq(open_code(store, key[0]), ERR_NONE);
	ck_assert_int_eq(keyring_add(store, key[0], right, "", now, &slot, &e),
			 -1);
	ck_assert_int_eq(e.code, ERR_EXISTS);
	ck_ok(keyring_list(store, right, note_slot, &l, &e));
	ck_assert_uint_eq(l.n, 2);
	ck_assert(l.slot[0].type == KEYRING_KEY_FILE && !l.slot[0].is_yours);
	ck_assert(l.slot[1].type == KEYRING_PASSPHRASE && l.slot[1].is_yours);
}
END_TEST

START_TEST(slots_are_listed_in_order)
{
	struct listed l = { .n = 0 };
	struct object_id slot;
	char label[129];
	struct err e;

	init(store);
	slot = add(store, 1, "sch\xc3\xb6n");
	(void)add(store, 2, "");
	ck_ok(keyring_list(store, key[1], note_slot, &l, &e));
	ck_assert_uint_eq(l.n, 3);
	ck_assert_str_eq(l.slot[0].label, "first");
	ck_assert_str_eq(l.slot[1].label, "sch\xc3\xb6n");
	ck_assert_str_eq(l.slot[2].label, "");
	ck_assert(object_id_equal(l.slot[1].id, slot));
	ck_assert(!l.slot[0].is_yours && l.slot[1].is_yours);
	ck_assert_int_eq(instant_compare(l.slot[1].added, now), 0);
	memset(label, 'x', 128);
	label[128] = '\0';
	ck_assert_int_eq(
		keyring_add(store, key[0], key[3], label, now, &slot, &e), -1);
	ck_assert_int_eq(e.code, ERR_USAGE);
	ck_assert_int_eq(
		keyring_add(store, key[0], key[3], "\xff", now, &slot, &e), -1);
	ck_assert_int_eq(open_code(store, key[3]), ERR_BAD_KEY);
	label[127] = '\0';
	ck_ok(keyring_add(store, key[0], key[3], label, now, &slot, &e));
}
END_TEST

START_TEST(the_revoked_opens_nothing_and_what_is_new_is_sealed_anew)
{
	CLEANUP(keys_free) struct keys *before = NULL;
	CLEANUP(keys_free) struct keys *after = NULL;
	CLEANUP(buf_done) struct buf left;
	CLEANUP(buf_done) struct buf slots;
	struct object_id slot;
	struct err e;

	init(store);
	slot = add(store, 1, "leaving");
	(void)add(store, 2, "staying");
	ck_ok(keyring_open(store, key[1], &before, &e));
	ck_ok(keyring_revoke(store, key[0], slot, now, &e));
	ck_assert_int_eq(open_code(store, key[1]), ERR_BAD_KEY);
	ck_assert_int_eq(open_code(store, key[0]), ERR_NONE);
	ck_ok(keyring_open(store, key[2], &after, &e));
	ck_assert_uint_eq(keys_epoch(after), 2);
	ck_assert_mem_eq(keys_object(after, 1), keys_object(before, 1),
			 KEYS_SIZE);
	ck_assert_mem_ne(keys_object(after, 2), keys_object(before, 1),
			 KEYS_SIZE);
	ck_assert_ptr_null(keys_object(before, 2));
	/* The ids stay, so that deduplication goes on. */
	ck_assert_mem_eq(keys_id(after, 0), keys_id(before, 0), KEYS_SIZE);
	names(store, "keyring/", &left);
	ck_assert_str_eq(buf_str(&left), "keyring/00000004 ");
	names(store, "keys/", &slots);
	ck_assert_uint_eq(slots.len, 2 * (5 + 32 + 1));
	ck_assert_int_eq(keyring_revoke(store, key[0], slot, now, &e), -1);
	ck_assert_int_eq(e.code, ERR_NOT_FOUND);
}
END_TEST

/* It may hold the only copy of an epoch's key. */
START_TEST(a_generation_of_other_descent_is_not_removed)
{
	CLEANUP(store_close) struct store *other = NULL;
	CLEANUP(keys_free) struct keys *k = NULL;
	CLEANUP(buf_done) struct buf theirs;
	CLEANUP(buf_done) struct buf left;
	struct object_id slot;
	struct err e;

	init(store);
	slot = add(store, 1, "leaving");
	ck_ok(store_open("mem:other", true, &other, &e));
	ck_ok(keyring_init(other, key[0], "", now, &k, &e));
	repo_get(other, "keyring/00000001", &theirs);
	repo_set(store, "keyring/00000001", theirs.data, theirs.len);
	ck_ok(keyring_revoke(store, key[0], slot, now, &e));
	names(store, "keyring/", &left);
	ck_assert_str_eq(buf_str(&left), "keyring/00000001 keyring/00000003 ");
	store_mem_forget("mem:other");
}
END_TEST

START_TEST(nobody_revokes_their_own_slot)
{
	struct listed l = { .n = 0 };
	struct err e;

	init(store);
	(void)add(store, 1, "second");
	ck_ok(keyring_list(store, key[0], note_slot, &l, &e));
	ck_assert_int_eq(keyring_revoke(store, key[0], l.slot[0].id, now, &e),
			 -1);
	ck_assert_int_eq(e.code, ERR_USAGE);
	ck_assert_int_eq(open_code(store, key[0]), ERR_NONE);
	ck_ok(keyring_revoke(store, key[1], l.slot[0].id, now, &e));
	ck_assert_int_eq(open_code(store, key[0]), ERR_BAD_KEY);
}
END_TEST

/* Damage must be told from a wrong key. */
static bool believed(void *arg)
{
	const enum err_code code = open_code(store, arg);

	ck_assert(code == ERR_NONE || code == ERR_CORRUPT || code == ERR_NEWER);
	return code == ERR_NONE;
}

START_TEST(any_damage_is_found)
{
	CLEANUP(buf_done) struct buf slot;

	init(store);
	repo_damage(store, "config", 1, believed, key[0]);
	repo_damage(store, "keyring/00000001", 1, believed, key[0]);
	names(store, "keys/", &slot);
	slot.data[slot.len - 1] = '\0';
	repo_damage(store, buf_str(&slot), 1, believed, key[0]);
}
END_TEST

static void fix_check(struct buf *b)
{
	ck_assert_int_eq(crypto_generichash(b->data + b->len - 32, 32, b->data,
					    b->len - 32, NULL, 0),
			 0);
}

/* Flip each bit of name and mend the check: nothing may open. */
static void forge(const char *name)
{
	CLEANUP(buf_done) struct buf b;
	CLEANUP(buf_done) struct buf forged;
	struct err e;

	repo_get(store, name, &b);
	for (size_t bit = 0; bit < (b.len - 32) * 8; bit++) {
		buf_init(&forged, b.len);
		ck_ok(buf_add(&forged, b.data, b.len, &e));
		forged.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		fix_check(&forged);
		repo_set(store, name, forged.data, forged.len);
		ck_assert_msg(open_code(store, key[0]) != ERR_NONE,
			      "bit %zu of %s", bit, name);
		buf_done(&forged);
	}
	repo_set(store, name, b.data, b.len);
	ck_assert_int_eq(open_code(store, key[0]), ERR_NONE);
}

START_TEST(any_forgery_is_found)
{
	CLEANUP(buf_done) struct buf slot;

	init(store);
	forge("config");
	forge("keyring/00000001");
	names(store, "keys/", &slot);
	slot.data[slot.len - 1] = '\0';
	forge(buf_str(&slot));
}
END_TEST

START_TEST(a_damaged_slot_harms_no_other)
{
	CLEANUP(buf_done) struct buf b;
	struct object_name name;
	struct object_id slot;

	init(store);
	slot = add(store, 1, "second");
	name = object_name(OBJECT_SLOT, slot);
	repo_get(store, name.s, &b);
	b.data[100] ^= 1;
	repo_set(store, name.s, b.data, b.len);
	ck_assert_int_eq(open_code(store, key[0]), ERR_NONE);
	ck_assert_int_eq(open_code(store, key[1]), ERR_CORRUPT);
}
END_TEST

START_TEST(slots_and_keyrings_open_only_in_their_place)
{
	CLEANUP(store_close) struct store *other = NULL;
	CLEANUP(keys_free) struct keys *k = NULL;
	CLEANUP(buf_done) struct buf mine;
	CLEANUP(buf_done) struct buf theirs;
	struct object_id a;
	struct object_id b;
	struct err e;

	init(store);
	a = add(store, 1, "a");
	b = add(store, 2, "b");
	repo_swap(store, object_name(OBJECT_SLOT, a).s,
		  object_name(OBJECT_SLOT, b).s);
	ck_assert_int_eq(open_code(store, key[1]), ERR_CORRUPT);
	repo_swap(store, object_name(OBJECT_SLOT, a).s,
		  object_name(OBJECT_SLOT, b).s);
	ck_assert_int_eq(open_code(store, key[1]), ERR_NONE);
	/* An older generation under the newest name. */
	repo_get(store, "keyring/00000003", &mine);
	repo_swap(store, "keyring/00000002", "keyring/00000003");
	ck_assert_int_eq(open_code(store, key[0]), ERR_CORRUPT);
	/* The keyring, then all, of another repository of the same key. */
	ck_ok(store_open("mem:other", true, &other, &e));
	ck_ok(keyring_init(other, key[0], "", now, &k, &e));
	repo_get(other, "keyring/00000001", &theirs);
	repo_set(store, "keyring/00000003", theirs.data, theirs.len);
	ck_assert_int_ne(open_code(store, key[0]), ERR_NONE);
	repo_set(store, "keyring/00000003", mine.data, mine.len);
	ck_assert_int_eq(open_code(store, key[0]), ERR_NONE);
	buf_done(&theirs);
	repo_get(other, "config", &theirs);
	repo_set(store, "config", theirs.data, theirs.len);
	ck_assert_int_eq(open_code(store, key[0]), ERR_BAD_KEY);
	store_mem_forget("mem:other");
}
END_TEST

START_TEST(another_format_is_told)
{
	CLEANUP(buf_done) struct buf b;
	struct err e;

	init(store);
	repo_get(store, "config", &b);
	b.data[12]--;
	fix_check(&b);
	repo_set(store, "config", b.data, b.len);
	ck_assert_int_eq(open_code(store, key[0]), ERR_CORRUPT);
	b.data[12] += 2;
	ck_ok(buf_add(&b, "more", 4, &e));
	fix_check(&b);
	repo_set(store, "config", b.data, b.len);
	ck_assert_int_eq(open_code(store, key[0]), ERR_NEWER);
}
END_TEST

START_TEST(a_slot_cannot_cost_more_than_it_may)
{
	CLEANUP(keyring_credential_free)
	struct keyring_credential *c = passphrase("x");
	static const uint32_t costs[][2] = {
		{ 0, 65536 },
		{ 17, 65536 },
		{ 3, 7 },
		{ 3, 1048577 },
		{ UINT32_MAX, UINT32_MAX },
	};
	const struct object_id none = { { 1 } };
	uint8_t pair[64];
	uint8_t bytes[KEYRING_SLOT_SIZE];
	uint8_t public[KEYRING_PUBLIC];
	CLEANUP(buf_done) struct buf b;
	struct err e;

	ck_ok(keyring_slot_make(key[0], none, none, bytes, public, &e));
	buf_init(&b, sizeof(bytes));
	ck_ok(buf_add(&b, bytes, sizeof(bytes), &e));
	b.data[32] = KEYRING_PASSPHRASE;
	for (size_t i = 0; i < sizeof(costs) / sizeof(costs[0]); i++) {
		memcpy(b.data + 33, costs[i], 8); /* little-endian here */
		fix_check(&b);
		ck_assert_int_eq(keyring_slot_open(c, none, none, &b, pair, &e),
				 -1);
		ck_assert_int_eq(e.code, ERR_CORRUPT);
	}
}
END_TEST

START_TEST(hostile_rings_are_refused)
{
	/* format, generation 1, current 1, and an epoch, a slot to spoil */
	static const char good[] =
		"\x01\x01\x01\x02\x01\x01\x03\x01\x01"
		"\x04\x26\x01\0\0\0kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk\x02\0"
		"\x06\x35iiiiiiiiiiiiiiii\x01"
		"pppppppppppppppppppppppppppppppp\x02\0\1x";
	static const struct {
		size_t at;
		char value;
	} spoilt[] = {
		{ 2, 2 },     /* format */
		{ 2, 0 },     /* a draft */
		{ 5, 2 },     /* generation: names none before it */
		{ 8, 2 },     /* current is no epoch */
		{ 8, 0 },     /* nor below one */
		{ 10, 0x25 }, /* shorter epoch */
		{ 10, 0x27 }, /* longer */
		{ 49, 0x07 }, /* no slot */
		{ 50, 0x34 }, /* shorter slot */
		{ 102, 9 },   /* label beyond it */
		{ 103, '\0' }, { 103, '\xff' }, { 9, 2 }, /* out of order */
	};
	const size_t n = sizeof(good) - 1;
	struct ring *r = calloc(1, sizeof(*r));
	uint8_t plain[200] = { (uint8_t)n };
	struct err e;

	ck_assert_ptr_nonnull(r);
	memcpy(plain + 4, good, n);
	ck_ok(keyring_ring_parse(plain, n + 20, r, &e));
	ck_assert_uint_eq(r->n_slots, 1);
	ck_assert_str_eq(r->slots[0].info.label, "x");
	plain[n + 10] = 1;
	ck_assert_int_eq(keyring_ring_parse(plain, n + 20, r, &e), -1);
	plain[n + 10] = 0;
	ck_assert_int_eq(keyring_ring_parse(plain, n + 3, r, &e), -1);
	for (size_t i = 0; i < sizeof(spoilt) / sizeof(spoilt[0]); i++) {
		plain[4 + spoilt[i].at] = (uint8_t)spoilt[i].value;
		ck_assert_msg(keyring_ring_parse(plain, n + 20, r, &e) == -1,
			      "case %zu", i);
		ck_assert_int_eq(e.code, i ? ERR_CORRUPT : ERR_NEWER);
		plain[4 + spoilt[i].at] = (uint8_t)good[spoilt[i].at];
	}
	free(r);
}
END_TEST

/*
 * Killed at every write.  The child kills itself before the nth change of the
 * file system; the parent looks at what is there.
 */
struct deadline {
	uint64_t calls;
	uint64_t at;
};

static int kill_at(void *arg, enum seam_call call, const char *path)
{
	struct deadline *d = arg;

	(void)call;
	(void)path;
	if (++d->calls == d->at)
		(void)kill(getpid(), SIGKILL);
	return 0;
}

/* Whether the story was told to its end before the nth write. */
static bool told(void (*story)(struct store *s), struct store *s, uint64_t at)
{
	struct deadline d = { .at = at };
	const pid_t pid = check_fork_child();
	int status;

	if (pid == 0) {
		seam_set_hook(kill_at, &d);
		story(s);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status)) {
		ck_assert_int_eq(WEXITSTATUS(status), 0);
		return true;
	}
	ck_assert_int_eq(WTERMSIG(status), SIGKILL);
	return false;
}

static struct store *local_store(void)
{
	struct store *s = NULL;
	char path[SCRATCH_PATH];
	struct err e;
	static int n;
	char name[16];

	(void)snprintf(name, sizeof(name), "repo%d", n++);
	ck_ok(store_open(scratch_path(&dir, name, path), true, &s, &e));
	return s;
}

static void story_init(struct store *s)
{
	CLEANUP(keys_free) struct keys *k = NULL;
	struct err e;

	if (keyring_init(s, key[0], "", now, &k, &e))
		_exit(2);
}

START_TEST(init_killed_anywhere_can_be_done_again)
{
	bool whole = false;

	for (uint64_t at = 1; !whole; at++) {
		CLEANUP(store_close) struct store *s = local_store();
		CLEANUP(keys_free) struct keys *k = NULL;
		struct err e;

		whole = told(story_init, s, at);
		if (open_code(s, key[0]) != ERR_NONE) {
			ck_assert(!whole);
			ck_ok(keyring_init(s, key[1], "", now, &k, &e));
			ck_assert_int_eq(open_code(s, key[1]), ERR_NONE);
		}
		ck_assert_uint_lt(at, 100);
	}
}
END_TEST

static void story_add(struct store *s)
{
	struct object_id slot;
	struct err e;

	if (keyring_add(s, key[0], key[1], "", now, &slot, &e))
		_exit(2);
}

START_TEST(add_killed_anywhere_leaves_it_open)
{
	bool whole = false;

	for (uint64_t at = 1; !whole; at++) {
		CLEANUP(store_close) struct store *s = local_store();

		init(s);
		whole = told(story_add, s, at);
		ck_assert_int_eq(open_code(s, key[0]), ERR_NONE);
		if (open_code(s, key[1]) != ERR_NONE) {
			ck_assert(!whole);
			(void)add(s, 1, "again");
		}
		ck_assert_int_eq(open_code(s, key[1]), ERR_NONE);
		ck_assert_uint_lt(at, 100);
	}
}
END_TEST

static struct object_id to_revoke;

static void story_revoke(struct store *s)
{
	struct err e;

	if (keyring_revoke(s, key[0], to_revoke, now, &e))
		_exit(2);
}

START_TEST(revoke_killed_anywhere_can_be_finished)
{
	bool whole = false;

	for (uint64_t at = 1; !whole; at++) {
		CLEANUP(store_close) struct store *s = local_store();
		CLEANUP(keys_free) struct keys *k = NULL;
		CLEANUP(buf_done) struct buf left;
		struct err e;

		init(s);
		to_revoke = add(s, 1, "leaving");
		(void)add(s, 2, "staying");
		whole = told(story_revoke, s, at);
		ck_assert_int_eq(open_code(s, key[0]), ERR_NONE);
		ck_assert_int_eq(open_code(s, key[2]), ERR_NONE);
		if (keyring_revoke(s, key[0], to_revoke, now, &e))
			ck_assert_int_eq(e.code, ERR_NOT_FOUND);
		ck_assert_int_eq(open_code(s, key[1]), ERR_BAD_KEY);
		ck_ok(keyring_open(s, key[2], &k, &e));
		ck_assert_uint_eq(keys_epoch(k), 2);
		names(s, "keyring/", &left);
		ck_assert_str_eq(buf_str(&left), "keyring/00000004 ");
		ck_assert_uint_lt(at, 100);
	}
}
END_TEST

/* Several at once: none is lost, whoever came second tries again on top. */
START_TEST(rivals_do_not_undo_one_another)
{
	CLEANUP(store_close) struct store *s = local_store();
	struct listed l = { .n = 0 };
	pid_t pid[KEY_FILES];
	int status;
	struct err e;

	init(s);
	for (int i = 1; i < KEY_FILES; i++) {
		pid[i] = check_fork_child();
		if (pid[i] == 0) {
			struct object_id slot;

			_exit(keyring_add(s, key[0], key[i], "", now, &slot,
					  &e) != 0);
		}
	}
	for (int i = 1; i < KEY_FILES; i++) {
		ck_assert_int_eq(waitpid(pid[i], &status, 0), pid[i]);
		ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
		ck_assert_int_eq(open_code(s, key[i]), ERR_NONE);
	}
	ck_ok(keyring_list(s, key[0], note_slot, &l, &e));
	ck_assert_uint_eq(l.n, KEY_FILES);
}
END_TEST

/* Two inits at once: one repository, opened by the one that succeeded. */
START_TEST(of_two_inits_one_succeeds)
{
	for (int round = 0; round < 20; round++) {
		CLEANUP(store_close) struct store *s = local_store();
		pid_t pid[2];
		int made = 0;

		for (int i = 0; i < 2; i++) {
			pid[i] = check_fork_child();
			if (pid[i] == 0) {
				struct keys *k;
				struct err e;

				_exit(keyring_init(s, key[i], "", now, &k,
						   &e) == 0
					      ? 0
				      : e.code == ERR_EXISTS ? 1
							     : 2);
			}
		}
		for (int i = 0; i < 2; i++) {
			int status;

			ck_assert_int_eq(waitpid(pid[i], &status, 0), pid[i]);
			ck_assert(WIFEXITED(status) && WEXITSTATUS(status) < 2);
			made += WEXITSTATUS(status) == 0;
			ck_assert_int_eq(open_code(s, key[i]),
					 WEXITSTATUS(status) == 0
						 ? ERR_NONE
						 : ERR_BAD_KEY);
		}
		ck_assert_int_eq(made, 1);
	}
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, the_key_that_made_it_opens_it);
	tcase_add_test(tc, only_an_empty_place_is_taken);
	tcase_add_test(tc, key_files_are_strict);
	tcase_add_test(tc, key_files_that_others_read_are_refused);
	tcase_add_test(tc, passphrases_are_first_lines);
	tcase_add_test(tc, the_derivation_has_a_known_answer);
	tcase_add_test(tc, passphrases_open_too);
	tcase_add_test(tc, slots_are_listed_in_order);
	tcase_add_test(
		tc, the_revoked_opens_nothing_and_what_is_new_is_sealed_anew);
	tcase_add_test(tc, a_generation_of_other_descent_is_not_removed);
	tcase_add_test(tc, nobody_revokes_their_own_slot);
	tcase_add_test(tc, any_damage_is_found);
	tcase_add_test(tc, any_forgery_is_found);
	tcase_add_test(tc, a_damaged_slot_harms_no_other);
	tcase_add_test(tc, slots_and_keyrings_open_only_in_their_place);
	tcase_add_test(tc, another_format_is_told);
	tcase_add_test(tc, a_slot_cannot_cost_more_than_it_may);
	tcase_add_test(tc, hostile_rings_are_refused);
	tcase_add_test(tc, init_killed_anywhere_can_be_done_again);
	tcase_add_test(tc, add_killed_anywhere_leaves_it_open);
	tcase_add_test(tc, revoke_killed_anywhere_can_be_finished);
	tcase_add_test(tc, rivals_do_not_undo_one_another);
	tcase_add_test(tc, of_two_inits_one_succeeds);
}
CHECK_MAIN("storage/keyring", cases)

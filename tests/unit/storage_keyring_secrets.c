/*
 * Which secrets a repository has, and what those who make one, or change who
 * may open it, do when a call fails or somebody else was first.
 */
#include "storage/repository/keyring.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/secret.h"
#include "storage/repository/keyring_internal.h"
#include "storage/stores/fault.h"
#include "tests/support/check_main.h"
#include "tests/support/repo_store.h"
#include "tests/support/scratch.h"

#define KEY_FILES 3
#define URL	  "mem:keyring_secrets"

static const struct instant now = { .sec = 1700000000, .nsec = 5 };
static struct scratch dir;
static struct store *store;
static struct keyring_credential *key[KEY_FILES];
static struct object_id to_revoke;

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
	ck_ok(store_open(URL, true, &store, &e));
}

static void tear_down(void)
{
	for (int i = 0; i < KEY_FILES; i++)
		keyring_credential_free(key[i]);
	store_close(store);
	store_mem_forget(URL);
	scratch_done(&dir);
}

static void init(struct store *s)
{
	CLEANUP(keys_free) struct keys *k = NULL;
	struct err e;

	ck_ok(keyring_init(s, key[0], "first", now, &k, &e));
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

static int count_slot(void *arg, const struct keyring_slot *slot, struct err *e)
{
	(void)slot;
	(void)e;
	++*(size_t *)arg;
	return 0;
}

static struct ring *newest(struct store *s)
{
	struct err e;
	struct ring *r = keyring_ring_new(&e);

	ck_assert_ptr_nonnull(r);
	ck_ok(keyring_ring_newest(s, key[0], r, &e));
	return r;
}

static void expect_secret(const uint8_t *a, const uint8_t *b)
{
	static const uint8_t zeros[KEYS_SIZE];

	ck_assert_mem_ne(a, zeros, KEYS_SIZE);
	ck_assert_mem_ne(a, b, KEYS_SIZE);
}

/* Its place, its time, its name, its key file: none of it is the secret. */
START_TEST(no_two_repositories_share_a_secret)
{
	CLEANUP(store_close) struct store *other = NULL;
	struct ring *a;
	struct ring *b;
	struct err e;

	ck_ok(store_open("mem:other", true, &other, &e));
	init(store);
	init(other);
	a = newest(store);
	b = newest(other);
	ck_assert_uint_eq(a->n_domains, 1);
	ck_assert_uint_eq(b->n_domains, 1);
	expect_secret(a->domains[0].secret, b->domains[0].secret);
	expect_secret(a->epochs[0].key, b->epochs[0].key);
	expect_secret(a->epochs[0].key, a->domains[0].secret);
	ck_assert_int_eq(instant_compare(a->epochs[0].created, now), 0);
	keyring_ring_free(a);
	keyring_ring_free(b);
	store_mem_forget("mem:other");
}
END_TEST

/* The key of one generation, out of the share of its only slot. */
static void ring_key(struct ring *r, const uint8_t *pair,
		     uint8_t out[KEYS_SIZE])
{
	CLEANUP(buf_done) struct buf b;
	struct keyring_shell shell;
	struct err e;

	buf_init(&b, KEYRING_MAX);
	ck_ok(keyring_ring_encode(r, &b, &e));
	ck_ok(keyring_shell_decode(&b, r->generation, &shell, &e));
	ck_assert_uint_eq(shell.n_slots, 1);
	ck_assert_int_eq(crypto_box_seal_open(
				 out, shell.slots + sizeof(struct object_id),
				 KEYRING_SHARE, pair, pair + KEYRING_PUBLIC),
			 0);
	ck_ok(keyring_ring_open(&b, &shell, out, r, &e));
}

START_TEST(each_generation_and_each_slot_has_a_secret_of_its_own)
{
	const struct object_id none = { { 0 } };
	uint8_t pair[KEYRING_PUBLIC + KEYRING_PRIVATE];
	uint8_t slots[2][KEYRING_SLOT_SIZE];
	uint8_t publics[2][KEYRING_PUBLIC];
	const size_t salt = OBJECT_HEADER_SIZE + 1 + 4 + 4;
	CLEANUP(buf_done) struct buf b;
	uint8_t first[KEYS_SIZE];
	uint8_t second[KEYS_SIZE];
	struct ring *r;
	struct err e;

	init(store);
	r = newest(store);
	buf_init(&b, KEYRING_SLOT_SIZE);
	ck_assert_int_eq(
		store_get(store,
			  object_name(OBJECT_SLOT, r->slots[0].info.id).s, &b,
			  &e),
		1);
	ck_assert_int_eq(keyring_slot_open(key[0], r->repository,
					   r->slots[0].info.id, &b, pair, &e),
			 1);
	ring_key(r, pair, first);
	ring_key(r, pair, second);
	expect_secret(first, second);
	keyring_ring_free(r);
	for (int i = 0; i < 2; i++)
		ck_ok(keyring_slot_make(key[0], none, none, slots[i],
					publics[i], &e));
	ck_assert_mem_ne(slots[0] + salt, slots[1] + salt, KEYRING_SALT);
	expect_secret(publics[0], publics[1]);
}
END_TEST

static void count_call(void *arg, const char *name)
{
	(void)name;
	++*(uint64_t *)arg;
}

/* What each does with a key, on a store where a call fails; 0 when it did. */
static int do_open(struct store *s, struct err *e)
{
	CLEANUP(keys_free) struct keys *k = NULL;

	return keyring_open(s, key[0], &k, e);
}
static int do_init(struct store *s, struct err *e)
{
	CLEANUP(keys_free) struct keys *k = NULL;

	return keyring_init(s, key[0], "first", now, &k, e);
}
static int do_list(struct store *s, struct err *e)
{
	size_t n = 0;

	if (keyring_list(s, key[0], count_slot, &n, e))
		return -1;
	ck_assert_uint_eq(n, 2);
	return 0;
}
static int do_add(struct store *s, struct err *e)
{
	struct object_id slot;

	if (keyring_add(s, key[0], key[2], "second", now, &slot, e))
		return -1;
	ck_assert_int_eq(open_code(store, key[2]), ERR_NONE);
	return 0;
}
static int do_revoke(struct store *s, struct err *e)
{
	if (keyring_revoke(s, key[0], to_revoke, now, e))
		return -1;
	ck_assert_int_eq(open_code(store, key[1]), ERR_BAD_KEY);
	return 0;
}

START_TEST(a_call_that_fails_once_is_not_passed_over)
{
	static int (*const tried[])(struct store * s, struct err * e) = {
		do_init, do_open, do_list, do_add, do_revoke
	};

	for (size_t i = 0; i < sizeof(tried) / sizeof(tried[0]); i++) {
		int failed = -1;

		for (uint64_t nth = 1; failed; nth++) {
			uint64_t calls = 0;
			const struct fault count = { .call = FAULT_ANY,
						     .action = FAULT_RUN,
						     .run = count_call,
						     .arg = &calls };
			const struct fault fail = { .call = FAULT_ANY,
						    .action = FAULT_FAIL,
						    .nth = nth,
						    .times = 1 };
			struct store *s = NULL;
			struct err e;

			store_close(store);
			store_mem_forget(URL);
			ck_ok(store_open(URL, true, &store, &e));
			if (tried[i] != do_init) {
				init(store);
				to_revoke = add(store, 1, "first");
			}
			ck_ok(store_open(URL, false, &s, &e));
			ck_ok(fault_wrap(s, &s, &e));
			fault_add(s, &fail);
			ck_ok(fault_wrap(s, &s, &e));
			fault_add(s, &count);
			failed = tried[i](s, &e);
			store_close(s);
			if (failed)
				ck_assert_int_eq(e.code, ERR_IO);
			else
				ck_assert_uint_lt(calls, nth);
			if (tried[i] != do_init || !failed)
				ck_assert_int_eq(open_code(store, key[0]),
						 ERR_NONE);
		}
	}
}
END_TEST

static void put_config(void *arg, const char *name)
{
	const struct object_id id = { { 'r', 'i', 'v', 'a', 'l' } };
	uint8_t config[KEYRING_CONFIG_SIZE];
	struct err e;

	(void)arg;
	keyring_config_encode(id, config);
	ck_ok(store_put(store, name, config, sizeof(config), 0, &e));
}

/* Between our look and our config: theirs names the repository. */
START_TEST(whose_config_came_first_names_it)
{
	CLEANUP(store_close) struct store *s = NULL;
	CLEANUP(keys_free) struct keys *k = NULL;
	const struct fault first = { .call = FAULT_BEGIN,
				     .action = FAULT_RUN,
				     .prefix = "config",
				     .times = 1,
				     .run = put_config };
	struct err e;

	ck_ok(store_open(URL, false, &s, &e));
	ck_ok(fault_wrap(s, &s, &e));
	fault_add(s, &first);
	ck_ok(keyring_init(s, key[0], "", now, &k, &e));
	ck_assert_mem_eq(keys_repository(k).b, "rival", 6);
	ck_assert_int_eq(open_code(store, key[0]), ERR_NONE);
}
END_TEST

/* The generation that is about to be written. */
static void put_rival(void *arg, const char *name)
{
	struct ring *r = newest(store);
	CLEANUP(buf_done) struct buf b;
	struct err e;

	(void)name;
	++*(unsigned int *)arg;
	memcpy(r->earlier[r->n_earlier++], r->self, sizeof(r->self));
	r->generation++;
	buf_init(&b, KEYRING_MAX);
	ck_ok(keyring_ring_encode(r, &b, &e));
	ck_ok(store_put(store, object_name_generation(r->generation).s, b.data,
			b.len, 0, &e));
	keyring_ring_free(r);
}

static int count_name(void *arg, const struct store_entry *entry, struct err *e)
{
	(void)entry;
	(void)e;
	++*(size_t *)arg;
	return 0;
}

/* Somebody else is first each time: no slot of ours stays behind. */
START_TEST(who_is_always_second_gives_up)
{
	CLEANUP(store_close) struct store *s = NULL;
	struct object_id slot = { { 0 } };
	unsigned int rivals = 0;
	const struct fault first = { .call = FAULT_BEGIN,
				     .action = FAULT_RUN,
				     .prefix = "keyring/",
				     .run = put_rival,
				     .arg = &rivals };
	size_t slots = 0;
	struct err e;

	init(store);
	to_revoke = add(store, 1, "second");
	ck_ok(store_open(URL, false, &s, &e));
	ck_ok(fault_wrap(s, &s, &e));
	fault_add(s, &first);
	ck_assert_int_eq(keyring_add(s, key[0], key[2], "", now, &slot, &e),
			 -1);
	ck_assert_int_eq(e.code, ERR_BUSY);
	ck_assert_uint_eq(rivals, 16);
	ck_assert(object_id_is_zero(slot));
	ck_ok(store_list(store, "keys/", count_name, &slots, &e));
	ck_assert_uint_eq(slots, 2);
	ck_assert_int_eq(keyring_revoke(s, key[0], to_revoke, now, &e), -1);
	ck_assert_int_eq(e.code, ERR_BUSY);
	ck_assert_uint_eq(rivals, 32);
	ck_assert_int_eq(open_code(store, key[1]), ERR_NONE);
}
END_TEST

/* As a program would write it that knows one version more of them. */
static void make_newer(const char *name)
{
	CLEANUP(buf_done) struct buf b;
	struct object_header h;
	size_t at = 0;
	struct err e = { 0 };

	repo_get(store, name, &b);
	for (; e.code != ERR_NEWER; at++) {
		ck_assert_uint_lt(at, OBJECT_HEADER_SIZE);
		b.data[at]++;
		if (object_header_decode(b.data, OBJECT_SLOT, &h, &e) == 0)
			err_clear(&e);
		if (e.code != ERR_NEWER)
			b.data[at]--;
	}
	repo_set(store, name, b.data, b.len);
}

START_TEST(a_slot_of_a_newer_program_harms_no_other)
{
	struct object_id slot;
	struct ring *r;
	struct err e;

	init(store);
	(void)add(store, 1, "second");
	r = newest(store);
	make_newer(object_name(OBJECT_SLOT, r->slots[0].info.id).s);
	keyring_ring_free(r);
	ck_assert_int_eq(open_code(store, key[0]), ERR_NEWER);
	ck_assert_int_eq(open_code(store, key[1]), ERR_NONE);
	ck_ok(keyring_add(store, key[1], key[2], "third", now, &slot, &e));
	ck_assert_int_eq(open_code(store, key[2]), ERR_NONE);
}
END_TEST

/* What a store does not list it does not show, and it is there all the same. */
START_TEST(a_place_of_other_things_is_not_taken)
{
	CLEANUP(store_close) struct store *s = NULL;
	CLEANUP(keys_free) struct keys *k = NULL;
	char path[SCRATCH_PATH];
	struct err e;

	ck_ok(store_open(scratch_path(&dir, "place", path), true, &s, &e));
	(void)scratch_path(&dir, "place/My Documents", path);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	ck_assert_int_eq(keyring_init(s, key[0], "", now, &k, &e), -1);
	ck_assert_int_eq(e.code, ERR_EXISTS);
	ck_assert_int_eq(rmdir(path), 0);
	ck_ok(keyring_init(s, key[0], "", now, &k, &e));
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, no_two_repositories_share_a_secret);
	tcase_add_test(tc,
		       each_generation_and_each_slot_has_a_secret_of_its_own);
	tcase_add_test(tc, a_call_that_fails_once_is_not_passed_over);
	tcase_add_test(tc, whose_config_came_first_names_it);
	tcase_add_test(tc, who_is_always_second_gives_up);
	tcase_add_test(tc, a_slot_of_a_newer_program_harms_no_other);
	tcase_add_test(tc, a_place_of_other_things_is_not_taken);
}

CHECK_MAIN("storage/keyring_secrets", cases)

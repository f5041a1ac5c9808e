/* What a check tells of what a repository is opened by. */
#include "storage/repository/check.h"

#include "storage/repository/keyring.h"
#include "storage/stores/fault.h"
#include "tests/support/repo_frame.h"

static struct err e;

static int keep_name(void *arg, const struct store_entry *entry,
		     struct err *why UNUSED)
{
	(void)snprintf(arg, STORE_NAME_MAX + 1, "%s", entry->name);
	return 0;
}

/* The last name that begins so. */
static void last(struct repo_frame *f, const char *prefix,
		 char out[STORE_NAME_MAX + 1])
{
	out[0] = '\0';
	ck_ok(store_list(repository_store(f->r), prefix, keep_name, out, &e));
	ck_assert_str_ne(out, "");
}

static void spoil(struct repo_frame *f, const char *name)
{
	CLEANUP(buf_done) struct buf b;

	buf_init(&b, 1 << 20);
	ck_assert_int_eq(store_get(repository_store(f->r), name, &b, &e), 1);
	b.data[b.len / 2] ^= 1;
	ck_ok(store_put(repository_store(f->r), name, b.data, b.len,
			STORE_REPLACE, &e));
}

/* The one thing that a check finds, or nothing ("", ""). */
static void expect(struct repo_frame *f, const char *object, const char *what)
{
	CLEANUP(check_result_done) struct check_result r = { 0 };
	const struct check_options o = { .now = { .sec = 1700000000 } };

	ck_ok(check_run(f->r, &o, &r, &e));
	ck_assert_int_eq(r.sound, !*object);
	ck_assert_uint_eq(r.n_findings, *object ? 1 : 0);
	if (!*object)
		return;
	ck_assert_str_eq(r.findings[0].object, object);
	ck_assert_msg(strstr(r.findings[0].message, what), "%s",
		      r.findings[0].message);
}

START_TEST(a_slot_that_is_gone_is_told)
{
	CLEANUP(repo_frame_done) struct repo_frame f;
	char slot[STORE_NAME_MAX + 1];

	repo_frame_init(&f, "mem:check-keys");
	expect(&f, "", "");
	last(&f, "keys/", slot);
	ck_ok(store_remove(repository_store(f.r), slot, &e));
	expect(&f, slot, "its key opens nothing");
}
END_TEST

START_TEST(a_slot_that_no_keyring_names_is_none)
{
	CLEANUP(repo_frame_done) struct repo_frame f;
	CLEANUP(buf_done) struct buf b;
	char slot[STORE_NAME_MAX + 1];
	struct store *s;

	repo_frame_init(&f, "mem:check-keys-more");
	s = repository_store(f.r);
	last(&f, "keys/", slot);
	buf_init(&b, 1 << 20);
	ck_assert_int_eq(store_get(s, slot, &b, &e), 1);
	ck_ok(store_remove(s, slot, &e));
	slot[5] = slot[5] == '0' ? '1' : '0';
	ck_ok(store_put(s, slot, b.data, b.len, 0, &e));
	/* It is damaged in that place, and the other one is missing. */
	{
		CLEANUP(check_result_done) struct check_result r = { 0 };
		const struct check_options o = { .now = { .sec = 1700000000 } };

		ck_ok(check_run(f.r, &o, &r, &e));
		ck_assert_uint_eq(r.n_findings, 2);
	}
}
END_TEST

START_TEST(what_is_damaged_has_a_name)
{
	CLEANUP(repo_frame_done) struct repo_frame f;
	char name[STORE_NAME_MAX + 1];
	uint32_t epoch;

	repo_frame_init(&f, "mem:check-keys-spoilt");
	last(&f, "keyring/", name);
	ck_assert_str_eq(name, "keyring/00000001");
	spoil(&f, name);
	expect(&f, name, "the keyring is damaged");
	ck_assert_int_eq(keyring_epoch(repository_store(f.r), &epoch, &e), -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	ck_assert_str_eq(e.text, "keyring/00000001: the keyring is damaged");
	ck_assert_ptr_nonnull(strstr(e.hint, "another region"));
}
END_TEST

/* From now on reading a slot does so. */
static void slots_do(struct repo_frame *f, enum fault_action action)
{
	const struct fault does = { .call = FAULT_READ,
				    .action = action,
				    .prefix = "keys/",
				    .code = ERR_CORRUPT };
	struct store *s = NULL;

	repository_close(f->r);
	f->r = NULL;
	ck_ok(store_open(f->url, false, &s, &e));
	ck_ok(fault_wrap(s, &s, &e));
	ck_ok(repository_open_on(s, f->credential, &f->r, &e));
	fault_add(s, &does);
}

START_TEST(a_damaged_slot_is_told_once)
{
	CLEANUP(repo_frame_done) struct repo_frame f;
	char slot[STORE_NAME_MAX + 1];

	repo_frame_init(&f, "mem:check-keys-slot");
	last(&f, "keys/", slot);
	slots_do(&f, FAULT_FAIL);
	expect(&f, slot, "a fault was injected");
}
END_TEST

/* A key was revoked between the listing and the reading. */
START_TEST(a_slot_that_goes_meanwhile_is_not_lost)
{
	CLEANUP(repo_frame_done) struct repo_frame f;

	repo_frame_init(&f, "mem:check-keys-gone");
	slots_do(&f, FAULT_ABSENT);
	expect(&f, "", "");
}
END_TEST

/* The next to newest, which is there still, tells nothing of slots. */
START_TEST(only_the_newest_keyring_tells_of_slots)
{
	CLEANUP(repo_frame_done) struct repo_frame f;
	char slot[STORE_NAME_MAX + 1];

	repo_frame_init(&f, "mem:check-keys-newest");
	last(&f, "keys/", slot);
	ck_ok(store_remove(repository_store(f.r), slot, &e));
	ck_ok(store_put(repository_store(f.r), "keyring/00000002", "torn", 4, 0,
			&e));
	expect(&f, "keyring/00000002", "");
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, a_damaged_slot_is_told_once);
	tcase_add_test(tc, a_slot_that_goes_meanwhile_is_not_lost);
	tcase_add_test(tc, only_the_newest_keyring_tells_of_slots);
	tcase_add_test(tc, a_slot_that_is_gone_is_told);
	tcase_add_test(tc, a_slot_that_no_keyring_names_is_none);
	tcase_add_test(tc, what_is_damaged_has_a_name);
}

CHECK_MAIN("storage/check/keys", cases)

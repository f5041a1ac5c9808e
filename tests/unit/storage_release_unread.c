/* Holds that cannot be read, and what asks for them:
 * storage/repository/deletion.h. */
#include "storage/repository/deletion.h"

#include <errno.h>

#include "storage/stores/fault.h"
#include "tests/support/region.h"
#include "tests/support/scratch.h"

static struct scratch dir;
static struct keyring_credential *key;
static struct repository *r;
static struct store *faulty;
static struct err e;
static struct object_id hold;

#define URL "mem:release-unread"

static void set_up(void)
{
	const struct deletion_hold h = { .source = "web",
					 .case_name = "c",
					 .custodian = "k",
					 .by = "me",
					 .now = clock_now() };
	char path[SCRATCH_PATH];

	scratch_init(&dir);
	key = region_key(scratch_path(&dir, "key", path));
	region_init(URL, key);
	ck_ok(store_open(URL, false, &faulty, &e));
	ck_ok(fault_wrap(faulty, &faulty, &e));
	ck_ok(repository_open_on(faulty, key, &r, &e));
	ck_ok(deletion_hold(r, &h, &hold, &e));
}

static void tear_down(void)
{
	repository_close(r);
	keyring_credential_free(key);
	store_mem_forget(URL);
	scratch_done(&dir);
}

static int count(void *arg, const struct store_entry *entry UNUSED,
		 struct err *x UNUSED)
{
	++*(int *)arg;
	return 0;
}

static int records(void)
{
	int n = 0;

	ck_ok(store_list(faulty, "holds/", count, &n, &e));
	return n;
}

static int release(struct object_id id)
{
	return deletion_release(r, id, "me", clock_now(), &e);
}

/* That it was not found would say that there is no such hold. */
START_TEST(a_hold_that_cannot_be_read_is_not_called_missing)
{
	static const struct fault faults[] = {
		{ .action = FAULT_FAIL, .code = ERR_IO, .sys = EIO },
		{ .action = FAULT_FLIP, .amount = 200 },
		{ .action = FAULT_SHORT, .amount = 10 },
	};

	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		struct fault fault = faults[i];

		fault.call = FAULT_READ;
		fault.prefix = "holds/";
		fault.everyone = true;
		fault_add(faulty, &fault);
		ck_assert_int_eq(release(hold), -1);
		ck_assert_msg(e.code == (fault.sys ? ERR_IO : ERR_CORRUPT),
			      "%s", e.text);
		ck_assert_int_eq(e.sys, fault.sys);
		ck_assert_int_eq(records(), 1);
		fault_clear(faulty);
	}
	/* The next time it opens. */
	ck_ok(release(hold));
	ck_assert_int_eq(records(), 2);
}
END_TEST

/* Of one that is there another one that does not open says nothing. */
START_TEST(another_that_cannot_be_read_is_nothing_to_it)
{
	struct object_id other;
	const struct deletion_hold h = { .source = "db",
					 .case_name = "c",
					 .custodian = "k",
					 .by = "me",
					 .now = clock_now() };
	struct fault fault = { .call = FAULT_READ,
			       .action = FAULT_FLIP,
			       .amount = 200 };
	char id[OBJECT_ID_TEXT];
	char prefix[OBJECT_ID_TEXT + 8];

	ck_ok(deletion_hold(r, &h, &other, &e));
	object_id_format(other, id);
	(void)snprintf(prefix, sizeof(prefix), "holds/%s", id);
	fault.prefix = prefix;
	fault.everyone = true;
	fault_add(faulty, &fault);
	ck_ok(release(hold));
	ck_assert_int_eq(release(hold), -1);
	ck_assert_int_eq(e.code, ERR_NOT_FOUND);
	ck_assert_int_eq(release(other), -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, a_hold_that_cannot_be_read_is_not_called_missing);
	tcase_add_test(tc, another_that_cannot_be_read_is_nothing_to_it);
}

CHECK_MAIN("storage/release_unread", cases)

/* Holds of one region that are put into another: service/hold_copies.h. */
#include "service/hold_copies.h"

#include <errno.h>

#include "storage/repository/deletion.h"
#include "storage/stores/fault.h"
#include "tests/support/region.h"
#include "tests/support/scratch.h"

#define HERE  "mem:hold-copies-here"
#define THERE "mem:hold-copies-there"

static struct scratch dir;
static struct keyring_credential *key;
static struct repository *here;
static struct repository *there;
static struct store *faulty; /* of there */
static struct hold_copies copies;
static struct object_id holds[3];
static struct err e;

static void set_up(void)
{
	char path[SCRATCH_PATH];

	scratch_init(&dir);
	key = region_key(scratch_path(&dir, "key", path));
	region_init(HERE, key);
	here = region_open(HERE, key);
	repository_close(region_add(here, THERE, key));
	ck_ok(store_open(THERE, false, &faulty, &e));
	ck_ok(fault_wrap(faulty, &faulty, &e));
	ck_ok(repository_open_on(faulty, key, &there, &e));
	for (size_t i = 0; i < 3; i++) {
		const struct deletion_hold h = { .source = "web",
						 .case_name = "c",
						 .custodian = "k",
						 .by = "me",
						 .now = clock_now() };

		ck_ok(deletion_hold(here, &h, &holds[i], &e));
	}
	copies = (struct hold_copies){ .n = 0 };
	ck_ok(hold_copies_read(&copies, here, &e));
	ck_assert_uint_eq(copies.n, 3);
}

static void tear_down(void)
{
	hold_copies_done(&copies);
	repository_close(here);
	repository_close(there);
	keyring_credential_free(key);
	store_mem_forget(HERE);
	store_mem_forget(THERE);
	scratch_done(&dir);
}

static bool is_first(const void *arg UNUSED, struct object_id id)
{
	return object_id_equal(id, holds[0]);
}

static int put(struct hold_ids *ret)
{
	*ret = (struct hold_ids){ .n = 0 };
	return hold_copies_put(&copies, there, is_first, NULL, ret, &e);
}

START_TEST(it_has_those_that_nobody_released)
{
	struct hold_ids got;

	for (int i = 0; i < 2; i++) {
		ck_ok(put(&got));
		ck_assert_uint_eq(got.n, 2);
		ck_assert(!hold_ids_has(&got, holds[0]));
		ck_assert(hold_ids_has(&got, holds[1]));
		ck_assert(hold_ids_has(&got, holds[2]));
		hold_ids_done(&got);
	}
}
END_TEST

/* One that is there by then does not make up for one that is not. */
START_TEST(one_that_is_not_written_is_told)
{
	const struct fault fault = { .call = FAULT_COMMIT,
				     .action = FAULT_FAIL,
				     .code = ERR_IO,
				     .sys = EIO,
				     .prefix = "holds/",
				     .times = 1 };
	struct hold_ids got;

	fault_add(faulty, &fault);
	ck_assert_int_eq(put(&got), -1);
	ck_assert_int_eq(e.sys, EIO);
	ck_assert_uint_eq(got.n, 0);
	ck_ok(put(&got));
	ck_assert_uint_eq(got.n, 2);
	hold_ids_done(&got);
}
END_TEST

START_TEST(a_region_that_cannot_be_listed_is_told)
{
	const struct fault fault = { .call = FAULT_LIST,
				     .action = FAULT_FAIL,
				     .code = ERR_IO,
				     .sys = EIO,
				     .prefix = "holds/",
				     .everyone = true };
	struct hold_ids got;

	fault_add(faulty, &fault);
	ck_assert_int_eq(put(&got), -1);
	ck_assert_int_eq(e.sys, EIO);
	ck_assert_uint_eq(got.n, 0);
	fault_clear(faulty);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, it_has_those_that_nobody_released);
	tcase_add_test(tc, one_that_is_not_written_is_told);
	tcase_add_test(tc, a_region_that_cannot_be_listed_is_told);
}

CHECK_MAIN("service/hold_copies", cases)

/* A check of which one call fails, and none after it, calls nothing sound. */
#include <errno.h>
#include <stdatomic.h>

#include "tests/support/gc_frame.h"

static struct gc_frame frame;
static struct gc_frame *const g = &frame;

static void set_up(void)
{
	gc_frame_init(g, "mem:check_once");
	gc_file(g, "kept");
	(void)gc_take(g);
	gc_erase(g, 0);
	gc_ok(gc_undelete(g, 0));
	gc_mark_all(g);
}

static void tear_down(void)
{
	gc_frame_done(g);
}

static void count_call(void *arg, const char *name)
{
	(void)name;
	atomic_fetch_add((atomic_ullong *)arg, 1);
}

/* Whether it ends, and says that all is sound. */
static bool says_sound(enum check_level level)
{
	CLEANUP(check_result_done) struct check_result x = { 0 };
	const struct check_options o = { .level = level, .now = g->now };

	err_clear(&g->e);
	return check_run(g->f.r, &o, &x, &g->e) == 0 && x.sound;
}

static void expect_never_sound(enum check_level level)
{
	static const enum fault_call tried[] = { FAULT_READ, FAULT_SIZE,
						 FAULT_LIST };

	for (size_t i = 0; i < sizeof(tried) / sizeof(tried[0]); i++) {
		atomic_ullong calls = 0;
		struct fault f = { .call = tried[i],
				   .action = FAULT_RUN,
				   .everyone = true,
				   .run = count_call,
				   .arg = &calls };

		gc_reopen(g);
		fault_add(gc_store(g), &f);
		ck_assert(says_sound(level));
		ck_assert_uint_gt(calls, 0);
		f.action = FAULT_FAIL;
		f.times = 1;
		for (f.nth = 1; f.nth <= calls; f.nth++) {
			gc_reopen(g);
			fault_add(gc_store(g), &f);
			ck_assert_msg(!says_sound(level), "%zu, call %llu", i,
				      (unsigned long long)f.nth);
		}
	}
}

START_TEST(a_call_that_fails_once_is_not_passed_over)
{
	expect_never_sound(CHECK_STRUCTURE);
	expect_never_sound(CHECK_DATA);
}
END_TEST

/* In a folder: where there are no versions nothing is read twice for them. */
static void begin_in_folder(void)
{
	tear_down();
	gc_frame_init(g, NULL);
	gc_never_still();
	gc_file(g, "kept");
	(void)gc_take(g);
}

/*
 * Of all that it says, nothing but that the disk failed explains what it
 * found; and whether it found anything.
 */
static bool says_disk(uint64_t nth)
{
	CLEANUP(check_result_done) struct check_result x = { 0 };
	const struct check_options o = { .level = CHECK_DATA, .now = g->now };
	const char *said = err_errno_text(EIO);
	bool told = false;

	err_clear(&g->e);
	if (check_run(g->f.r, &o, &x, &g->e)) {
		ck_assert_msg(g->e.code == ERR_IO && strstr(g->e.text, said),
			      "read %llu: %s", (unsigned long long)nth,
			      g->e.text);
		return true;
	}
	for (uint64_t i = 0; i < x.n_findings; i++)
		told = told || strstr(x.findings[i].message, said);
	ck_assert_msg(told || x.sound, "read %llu: %s: %s",
		      (unsigned long long)nth, x.findings[0].object,
		      x.findings[0].message);
	return told;
}

/*
 * A disk that fails once gives later what it did not give before, and it was
 * no collector who put that there.  (What is read again is all there then.)
 */
START_TEST(a_disk_that_fails_once_is_told_as_that)
{
	atomic_ullong calls = 0;
	struct fault f = { .call = FAULT_READ,
			   .action = FAULT_RUN,
			   .everyone = true,
			   .run = count_call,
			   .arg = &calls };
	unsigned int told = 0;

	begin_in_folder();
	gc_reopen(g);
	fault_add(gc_store(g), &f);
	ck_assert(says_sound(CHECK_DATA));
	f = (struct fault){ .call = FAULT_READ,
			    .action = FAULT_FAIL,
			    .everyone = true,
			    .code = ERR_IO,
			    .sys = EIO,
			    .times = 1 };
	for (f.nth = 1; f.nth <= calls; f.nth++) {
		gc_reopen(g);
		fault_add(gc_store(g), &f);
		told += says_disk(f.nth);
	}
	ck_assert_uint_gt(told, 5);
}
END_TEST

/* It is not a snapshot's then, of which something may be missing. */
START_TEST(a_manifest_that_does_not_open_once_is_not_passed_over)
{
	struct fault f = { .call = FAULT_READ,
			   .prefix = "snapshots/",
			   .code = ERR_IO,
			   .sys = EIO,
			   .amount = 1000,
			   .times = 1 };

	begin_in_folder();
	gc_ok(store_remove(gc_store(g), gc_last(g, "index/").s, &g->e));
	for (int i = 0; i < 2; i++) {
		CLEANUP(check_result_done) struct check_result x = { 0 };
		const struct check_options o = { .level = CHECK_DATA,
						 .now = g->now };

		f.action = i ? FAULT_FLIP : FAULT_FAIL;
		gc_reopen(g);
		fault_add(gc_store(g), &f);
		gc_ok(check_run(g->f.r, &o, &x, &g->e));
		ck_assert(!x.sound);
		ck_assert_int_eq(x.findings[0].kind, OBJECT_MANIFEST);
		/* Nor does a repair give it up. */
		fault_add(gc_store(g), &f);
		ck_assert_int_eq(gc_repair_with(g), -1);
		ck_assert_int_eq(g->e.code, i ? ERR_CORRUPT : ERR_IO);
		ck_assert_uint_eq(gc_objects(g, "quarantine/"), 0);
	}
	gc_repair(g);
	gc_expect(g, 0);
}
END_TEST

#define STRIDE (3 * CHECK_EVERY)

/*
 * The index is gone, and all else is there: whichever call fails, nothing is
 * given up for it, and the next repair names everything again.
 */
START_TEST(a_repair_of_which_one_call_fails_gives_nothing_up)
{
	uint64_t nth = 1 + random_below(&g->dice, STRIDE);
	uint64_t calls;
	int failed;

	do {
		const struct fault fail = { .call = FAULT_ANY,
					    .action = FAULT_FAIL,
					    .everyone = true,
					    .nth = nth,
					    .times = 1 };

		tear_down();
		gc_frame_init(g, "mem:check_once");
		gc_never_still();
		gc_file(g, "kept");
		(void)gc_take(g);
		while (gc_objects(g, "index/"))
			gc_ok(store_remove(gc_store(g), gc_last(g, "index/").s,
					   &g->e));
		calls = fault_calls(gc_store(g), FAULT_ANY);
		fault_add(gc_store(g), &fail);
		failed = gc_repair_with(g);
		fault_clear(gc_store(g));
		calls = fault_calls(gc_store(g), FAULT_ANY) - calls;
		if (failed)
			ck_assert_msg(g->e.code == ERR_IO, "call %llu: %s",
				      (unsigned long long)nth, g->e.text);
		else
			gc_expect(g, 0);
		ck_assert_uint_eq(gc_objects(g, "quarantine/"), 0);
		gc_repair(g);
		ck_assert_uint_eq(gc_objects(g, "quarantine/"), 0);
		gc_expect(g, 0);
		gc_expect_sound(g);
		nth += STRIDE;
	} while (calls >= nth - STRIDE);
	ck_assert_int_eq(failed, 0);
}
END_TEST

static void take_away(struct gc_frame *x, const char *name)
{
	gc_ok(store_remove(gc_store(x), name, &x->e));
}

/* Before which read of it, if there are so many, a pack goes: whether. */
static bool pack_goes(const char *name, uint64_t nth, bool needed)
{
	CLEANUP(check_result_done) struct check_result x = { 0 };
	const struct check_options o = { .level = CHECK_DATA, .now = g->now };
	CLEANUP(buf_done) struct buf pack;

	repo_get(gc_store(g), name, &pack);
	gc_reopen(g);
	gc_meanwhile(g, FAULT_READ, name, nth, take_away);
	gc_ok(check_run(g->f.r, &o, &x, &g->e));
	if (g->acted == 0)
		return false;
	ck_assert_msg(x.sound == !needed, "read %llu: %s",
		      (unsigned long long)nth,
		      x.n_findings ? x.findings[0].message : "");
	if (needed) {
		ck_assert_str_eq(x.findings[0].object, name);
		ck_assert_str_eq(x.findings[0].message, "it does not exist");
	}
	repo_set(gc_store(g), name, pack.data, pack.len);
	return true;
}

/* A collector removes packs that it marked while they are being checked. */
START_TEST(a_pack_that_goes_while_it_is_read_is_judged_as_gone)
{
	struct object_name name;
	uint64_t nth;
	bool needed = true;

	do {
		tear_down();
		gc_frame_init(g, "mem:check_once");
		gc_never_still();
		gc_file(g, "goes");
		(void)gc_take(g);
		name = gc_last(g, "data/");
		if (!needed) {
			gc_unfile(g, "goes");
			gc_file(g, "kept");
			(void)gc_take(g);
			gc_erase(g, 0);
			g->now = instant_add_ms(g->now, 2 * GC_DAY_MS);
			gc_collect(g, GC_DAY_MS);
			ck_assert_uint_gt(g->result.marked, 0);
		}
		nth = 1;
		while (pack_goes(name.s, nth, needed))
			nth++;
		/* Its directory, and after that its chunks. */
		ck_assert_uint_gt(nth, 2);
		needed = !needed;
	} while (!needed);
}
END_TEST

/* What a collector removes that looked for pins before the check's was there:
 * the manifest, if it is to, and then the pack. */
static struct {
	struct object_name manifest, pack;
	bool whole;
} going;

static void collect_meanwhile(void *arg, const struct check_progress *p)
{
	struct gc_frame *x = arg;

	if (strcmp(p->stage, "listing") != 0 || p->done)
		return;
	if (going.whole)
		take_away(x, going.manifest.s);
	take_away(x, going.pack.s);
}

START_TEST(a_snapshot_that_goes_while_it_is_checked_is_no_damage)
{
	const struct check_options o = { .level = CHECK_DATA,
					 .now = g->now,
					 .progress = collect_meanwhile,
					 .arg = g };

	for (int whole = 0; whole < 2; whole++) {
		CLEANUP(check_result_done) struct check_result x = { 0 };

		tear_down();
		gc_frame_init(g, "mem:check_once");
		gc_never_still();
		gc_file(g, "goes");
		(void)gc_take(g);
		going.manifest = gc_last(g, "snapshots/");
		going.pack = gc_last(g, "data/");
		going.whole = whole;
		gc_reopen(g);
		if (whole) {
			ck_assert_int_eq(check_run(g->f.r, &o, &x, &g->e), -1);
			ck_assert_msg(g->e.code == ERR_BUSY, "%s", g->e.text);
			continue;
		}
		gc_ok(check_run(g->f.r, &o, &x, &g->e));
		ck_assert(!x.sound);
		ck_assert_str_eq(x.findings[0].object, going.pack.s);
	}
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, a_call_that_fails_once_is_not_passed_over);
	tcase_add_test(tc, a_disk_that_fails_once_is_told_as_that);
	tcase_add_test(tc,
		       a_manifest_that_does_not_open_once_is_not_passed_over);
	tcase_add_test(tc, a_repair_of_which_one_call_fails_gives_nothing_up);
	tcase_add_test(tc, a_pack_that_goes_while_it_is_read_is_judged_as_gone);
	tcase_add_test(tc,
		       a_snapshot_that_goes_while_it_is_checked_is_no_damage);
}

CHECK_MAIN("storage/check_once", cases)

/*
 * What a collection, and what keeps from it, does when one call fails, or one
 * listing is short, and none after it.
 */
#include "storage/repository/gc.h"

#include "tests/support/gc_frame.h"

static struct gc_frame frame;
static struct gc_frame *const g = &frame;
static size_t packs;

static void set_up(void)
{
	gc_frame_init(g, "mem:gc_once");
	gc_file(g, "kept");
	gc_file(g, "gone");
	gc_file(g, "gone too");
	(void)gc_take(g);
	gc_unfile(g, "gone");
	gc_unfile(g, "gone too");
	(void)gc_take(g);
	gc_erase(g, 0);
	packs = gc_packs(g);
}

static void tear_down(void)
{
	gc_frame_done(g);
}

static void expect_collection(void)
{
	gc_collect(g, 0);
	ck_assert_uint_gt(g->result.deleted, 0);
	gc_expect(g, 1);
}

/* The folder, what is counted by all of them, and the first survey's. */
START_TEST(a_listing_that_fails_once_ends_it)
{
	static const struct {
		const char *prefix;
		uint64_t nth;
	} which[] = { { "receipts/", 1 }, { ">", 1 }, { "receipts/", 2 } };

	for (size_t i = 0; i < sizeof(which) / sizeof(which[0]); i++) {
		const struct fault f = { .call = FAULT_LIST,
					 .action = FAULT_FAIL,
					 .prefix = which[i].prefix,
					 .nth = which[i].nth,
					 .times = 1 };

		fault_add(gc_store(g), &f);
		ck_assert_int_eq(gc_collect_with(g, 0, GC_REWRITE_BYTES), -1);
		ck_assert_int_eq(g->e.code, ERR_IO);
		fault_clear(gc_store(g));
		ck_assert_uint_eq(gc_packs(g), packs);
	}
	expect_collection();
}
END_TEST

static void name_in(const char *folder, const char *first, bool pair,
		    char out[STORE_NAME_MAX + 1])
{
	static const char zeros[] = "00000000000000000000000000000000";

	(void)snprintf(out, STORE_NAME_MAX + 1, "%s/%s%s%s%s", folder, first,
		       zeros + strlen(first), pair ? "-" : "",
		       pair ? zeros : "");
}

/* Some ids, and a name that is none and comes before them all. */
static const char *const begins[] = { "00", "01", "10", "f0" };
#define BEGINS (sizeof(begins) / sizeof(begins[0]))

static void fill(const char *folder, bool pair, bool there)
{
	char name[STORE_NAME_MAX + 1];

	for (size_t i = 0; i < BEGINS; i++) {
		name_in(folder, begins[i], pair, name);
		if (there)
			repo_set(gc_store(g), name, "rubbish", 7);
		else
			gc_ok(store_remove(gc_store(g), name, &g->e));
	}
	(void)snprintf(name, sizeof(name), "%s/-", folder);
	if (there)
		repo_set(gc_store(g), name, "rubbish", 7);
	else
		gc_ok(store_remove(gc_store(g), name, &g->e));
}

/* A folder lists all but the last one or two, and the listing of all does. */
START_TEST(each_folder_that_decides_is_listed_twice)
{
	static const struct {
		const char *name;
		bool pair;
	} folders[] = { { "sessions", false }, { "pins", false },
			{ "marks", false },    { "snapshots", true },
			{ "index", false },    { "tombstones", true },
			{ "undeletes", true }, { "holds", false },
			{ "locks", true },     { "receipts", false } };
	char prefix[STORE_NAME_MAX + 1];

	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		struct fault cut = { .call = FAULT_LIST,
				     .action = FAULT_SHORT,
				     .prefix = prefix };

		(void)snprintf(prefix, sizeof(prefix), "%s/", folders[i].name);
		fill(folders[i].name, folders[i].pair, true);
		cut.amount = gc_objects(g, prefix);
		for (int left_out = 1; left_out <= 2; left_out++) {
			cut.amount--;
			fault_add(gc_store(g), &cut);
			ck_assert_int_eq(
				gc_collect_with(g, 0, GC_REWRITE_BYTES), -1);
			fault_clear(gc_store(g));
			ck_assert_msg(strstr(g->e.text, "asked for more"),
				      "%s %d: %s", prefix, left_out, g->e.text);
		}
		fill(folders[i].name, folders[i].pair, false);
	}
	/* Receipts of nobody are in nobody's way, nor is what is no id. */
	fill("receipts", false, true);
	expect_collection();
}
END_TEST

/* One file of one chunk, so that each time the calls are the same. */
static void take_and_mark(void)
{
	char path[2 * SCRATCH_PATH];
	FILE *file;

	gc_frame_done(g);
	gc_frame_init(g, "mem:gc_once");
	/* No session beats meanwhile: a beat that fails is nobody's loss. */
	gc_never_still();
	(void)snprintf(path, sizeof(path), "%s/small", g->f.from);
	file = fopen(path, "we");
	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(fputs("small", file) >= 0, 1);
	ck_assert_int_eq(fclose(file), 0);
	(void)gc_take(g);
	gc_mark_all(g);
}

/* Calls of the kind that fail_once() was told, but the one that failed. */
static uint64_t calls;
/* Of what that was; "": none. */
static struct object_name failed_on;

static void count_call(void *arg, const char *name)
{
	(void)arg;
	(void)name;
	calls++;
}

static void note_failure(void *arg, const char *name)
{
	(void)arg;
	(void)snprintf(failed_on.s, sizeof(failed_on.s), "%s", name);
}

/* The nth of these; fewer are made when all went well without it. */
static void fail_once(enum fault_call call, const char *prefix, uint64_t nth)
{
	const struct fault fail = { .call = call,
				    .action = FAULT_FAIL,
				    .prefix = prefix,
				    .nth = nth,
				    .times = 1,
				    .note = note_failure };
	const struct fault count = { .call = call,
				     .action = FAULT_RUN,
				     .prefix = prefix,
				     .run = count_call };

	calls = 0;
	failed_on.s[0] = '\0';
	fault_add(gc_store(g), &fail);
	fault_add(gc_store(g), &count);
}

/*
 * All packs are marked, and what is needed of them is to be copied, when one
 * call fails, and none after it: what was not seen was not copied, and that it
 * was not is told.
 */
START_TEST(a_call_that_fails_once_is_not_passed_over)
{
	static const struct {
		enum fault_call call;
		const char *prefix;
		uint64_t stride;
	} tried[] = { { FAULT_READ, "index/", 1 }, { FAULT_READ, NULL, 3 },
		      { FAULT_SIZE, NULL, 2 },	   { FAULT_LIST, NULL, 11 },
		      { FAULT_BEGIN, NULL, 1 },	   { FAULT_APPEND, NULL, 3 },
		      { FAULT_COMMIT, NULL, 1 },   { FAULT_REMOVE, "data/", 1 },
		      { FAULT_REMOVE, "meta/", 1 } };

	for (size_t i = 0; i < sizeof(tried) / sizeof(tried[0]); i++) {
		const uint64_t stride = CHECK_EVERY * tried[i].stride;
		uint64_t nth = 1 + random_below(&g->dice, stride);
		int failed;

		for (;; nth += stride) {
			take_and_mark();
			fail_once(tried[i].call, tried[i].prefix, nth);
			failed = gc_collect_with(g, 0, GC_REWRITE_BYTES);
			fault_clear(gc_store(g));
			gc_expect(g, 0);
			if (!failed_on.s[0])
				break;
			if (failed) {
				ck_assert_int_eq(failed, -1);
				ck_assert_int_eq(g->e.code, ERR_IO);
				continue;
			}
			/* What another index object replaces need not open;
			 * the next one takes it. */
			gc_collect(g, 0);
			ck_assert_msg(strncmp(failed_on.s, "index/", 6) == 0 &&
					      !gc_objects(g, failed_on.s),
				      "passed over: %s", failed_on.s);
			gc_expect(g, 0);
		}
		ck_assert_int_eq(failed, 0);
		ck_assert_uint_gt(g->result.deleted, 0);
	}
}
END_TEST

/* What keeps and what deletes, done by who sees it for the first time. */
static struct object_id a_hold;

static int do_delete(struct repository_snapshot *s)
{
	const struct deletion d = gc_asked(g);

	return deletion_delete(g->f.r, s, &d, &g->e);
}
static int do_undelete(struct repository_snapshot *s)
{
	const struct deletion d = gc_asked(g);

	return deletion_undelete(g->f.r, s, &d, &g->e);
}
static int do_lock(struct repository_snapshot *s)
{
	return deletion_lock(g->f.r, s, instant_add_ms(g->now, 5000), "me",
			     g->now, &g->e);
}
static int do_hold(struct repository_snapshot *s)
{
	const struct deletion_hold h = { .snapshots = &s->manifest.snapshot,
					 .n_snapshots = 1,
					 .case_name = "case",
					 .custodian = "who",
					 .by = "me",
					 .now = g->now };

	return deletion_hold(g->f.r, &h, &a_hold, &g->e);
}
static int do_release(struct repository_snapshot *s)
{
	(void)s;
	return deletion_release(g->f.r, a_hold, "me", g->now, &g->e);
}

/* Each of them once without a fault, and then with each of its calls failing.
 */
START_TEST(what_keeps_and_deletes_passes_no_failure_over)
{
	static int (*const tried[])(struct repository_snapshot *) = {
		do_delete, do_undelete, do_lock, do_hold, do_release
	};

	for (size_t i = 0; i < sizeof(tried) / sizeof(tried[0]); i++) {
		int failed = -1;

		for (uint64_t nth = check_first(); failed; nth += CHECK_EVERY) {
			CLEANUP(repository_snapshot_done)
			struct repository_snapshot s = { .deleted = false };

			take_and_mark();
			gc_ok(store_remove(gc_store(g), gc_last(g, "marks/").s,
					   &g->e));
			if (tried[i] == do_undelete)
				gc_erase(g, 0);
			s = gc_look(g, 0);
			if (tried[i] == do_release)
				gc_ok(do_hold(&s));
			gc_reopen(g);
			fail_once(FAULT_ANY, NULL, nth);
			failed = tried[i](&s);
			fault_clear(gc_store(g));
			if (failed)
				ck_assert_int_eq(g->e.code, ERR_IO);
			else
				/* Its own session may stay: the next collector
				 * sees to it. */
				ck_assert_msg(!failed_on.s[0] ||
						      strncmp(failed_on.s,
							      "sessions/",
							      9) == 0,
					      "passed over: %s", failed_on.s);
		}
	}
}
END_TEST

/* Who stood still, and cannot be given up as a call fails, is not let go. */
START_TEST(who_cannot_be_given_up_ends_it)
{
	static const struct {
		enum fault_call call;
		const char *prefix;
	} tried[] = { { FAULT_REMOVE, "pins/" },
		      { FAULT_BEGIN, "fences/" },
		      { FAULT_COMMIT, "voids/" } };

	(void)gc_dead(g, OBJECT_PIN, g->ids[1]);
	(void)gc_dead(g, OBJECT_SESSION, g->ids[1]);
	for (size_t i = 0; i < sizeof(tried) / sizeof(tried[0]); i++) {
		const struct fault f = { .call = tried[i].call,
					 .action = FAULT_FAIL,
					 .prefix = tried[i].prefix,
					 .times = 1 };

		fault_add(gc_store(g), &f);
		ck_assert_int_eq(gc_collect_with(g, 0, GC_REWRITE_BYTES), -1);
		ck_assert_int_eq(g->e.code, ERR_IO);
		fault_clear(gc_store(g));
	}
	expect_collection();
}
END_TEST

/* A census goes with its mark, unless it cannot be seen whether that is there.
 */
START_TEST(a_mark_that_cannot_be_seen_just_now_ends_it)
{
	const struct fault f = { .call = FAULT_SIZE,
				 .action = FAULT_FAIL,
				 .prefix = "marks/",
				 .times = 1 };

	gc_mark_all(g);
	fault_add(gc_store(g), &f);
	ck_assert_int_eq(gc_collect_with(g, 0, GC_REWRITE_BYTES), -1);
	ck_assert_int_eq(g->e.code, ERR_IO);
	gc_expect(g, 1);
}
END_TEST

/* More than any list of them begins with room for. */
#define DEAD 20

START_TEST(all_that_stood_still_are_given_up_at_once)
{
	for (int i = 0; i < DEAD; i++)
		(void)gc_dead(g, i % 2 ? OBJECT_PIN : OBJECT_SESSION,
			      g->ids[1]);
	expect_collection();
	ck_assert_uint_eq(g->result.sessions_ended, DEAD);
	ck_assert_uint_eq(gc_objects(g, "sessions/"), 0);
	ck_assert_uint_eq(gc_objects(g, "pins/"), 0);
	ck_assert_uint_eq(gc_objects(g, "fences/"), DEAD / 2);
	ck_assert_uint_eq(gc_objects(g, "voids/"), DEAD / 2);
}
END_TEST

/* Whose session cannot be read may be anybody; and it is not given up. */
START_TEST(a_session_that_cannot_be_read_just_now_ends_it)
{
	const struct object_id id = gc_dead(g, OBJECT_SESSION, g->ids[1]);
	const struct object_name name = object_name(OBJECT_SESSION, id);
	const uint64_t which[] = { 1, 3 };

	for (size_t i = 0; i < sizeof(which) / sizeof(which[0]); i++) {
		const struct fault f = { .call = FAULT_READ,
					 .action = FAULT_FAIL,
					 .prefix = name.s,
					 .nth = which[i],
					 .times = 1 };

		fault_add(gc_store(g), &f);
		ck_assert_int_eq(gc_collect_with(g, 0, GC_REWRITE_BYTES), -1);
		ck_assert_int_eq(g->e.code, ERR_IO);
		fault_clear(gc_store(g));
		ck_assert_uint_eq(gc_packs(g), packs);
		ck_assert_uint_eq(gc_objects(g, "fences/"), 0);
	}
	expect_collection();
}
END_TEST

static void leave(struct gc_frame *x, const char *name)
{
	gc_ok(store_remove(gc_store(x), name, &x->e));
}

/* It left when it was done: between our listing and our look, or later. */
START_TEST(a_session_that_leaves_is_not_given_up)
{
	const uint64_t which[] = { 1, 3 };

	for (size_t i = 0; i < sizeof(which) / sizeof(which[0]); i++) {
		const struct object_id id = gc_dead(g, OBJECT_SESSION,
						    g->ids[1]);
		const struct object_name name = object_name(OBJECT_SESSION, id);

		gc_meanwhile(g, FAULT_READ, name.s, which[i], leave);
		gc_collect(g, 0);
		ck_assert_uint_eq(g->acted, 1);
		ck_assert_uint_eq(g->result.sessions_ended, 0);
		ck_assert_uint_eq(g->result.n_blocked, 0);
		ck_assert_uint_eq(gc_objects(g, "fences/"), 0);
		fault_clear(gc_store(g));
	}
	gc_expect(g, 1);
}
END_TEST

struct waiting {
	atomic_bool cancel;
	uint64_t seconds;
};

static void stop_waiting(void *arg, const struct gc_progress *p)
{
	struct waiting *w = arg;

	if (strcmp(p->stage, "waiting to see who is alive") != 0)
		return;
	w->seconds = p->total;
	atomic_store(&w->cancel, true);
}

START_TEST(it_waits_as_long_as_it_is_told_to)
{
	struct waiting w = { .seconds = 0 };
	const struct gc_options o = { .now = g->now,
				      .lease_ms = 7000,
				      .host = "host",
				      .cancel = &w.cancel,
				      .progress = stop_waiting,
				      .arg = &w };

	(void)gc_dead(g, OBJECT_PIN, object_id_new());
	ck_assert_int_eq(gc_run(g->f.r, &o, &g->result, &g->e), -1);
	ck_assert_int_eq(g->e.code, ERR_INTERRUPTED);
	ck_assert_uint_eq(w.seconds, 7);
}
END_TEST

/* A name that is too long is cut where there is no more room for it. */
START_TEST(a_long_name_is_cut)
{
	char by[2 * RECORD_TEXT_MAX];
	struct deletion d = gc_asked(g);
	CLEANUP(repository_snapshot_done)
	struct repository_snapshot s = { .deleted = false };
	CLEANUP(record_done) struct record t;

	memset(by, 'b', sizeof(by));
	by[sizeof(by) - 1] = '\0';
	d.by = d.reason = by;
	gc_ok(store_remove(gc_store(g), gc_last(g, "tombstones/").s, &g->e));
	s = gc_look(g, 0);
	gc_ok(deletion_delete(g->f.r, &s, &d, &g->e));
	ck_assert_int_eq(record_get(gc_store(g), repository_keys(g->f.r),
				    OBJECT_TOMBSTONE,
				    gc_last(g, "tombstones/").s, &t, &g->e),
			 1);
	ck_assert_uint_eq(strlen(t.by), RECORD_TEXT_MAX);
	ck_assert_uint_eq(strlen(t.reason), RECORD_TEXT_MAX);
}
END_TEST

/* ---- What is dead, by one listing --------------------------------------- */

enum dead {
	ONCE,
	TWICE, /* with an undelete in between: of two manifests */
	LATE,  /* taken and deleted while the collection is under way */
};

static void start_anew(enum dead dead)
{
	tear_down();
	set_up();
	if (dead != TWICE)
		return;
	gc_ok(gc_undelete(g, 0));
	gc_erase(g, 0);
	ck_assert_uint_eq(gc_objects(g, "snapshots/"), 3);
}

static void take_and_delete(struct gc_frame *x, const char *name)
{
	struct snapshot_result taken;

	(void)name;
	gc_file(x, "late");
	taken = repo_take(&x->f);
	gc_unfile(x, "late");
	x->ids[x->n] = taken.id;
	repo_list(&x->trees[x->n], x->f.from);
	gc_erase(x, x->n++);
}

/* Once the collection has looked at what there is, before its first survey. */
static int collect_dead(enum dead dead)
{
	if (dead == LATE)
		gc_meanwhile(g, FAULT_LIST, "quarantine/", 1, take_and_delete);
	return gc_collect_with(g, 0, GC_REWRITE_BYTES);
}

/* What a collection did by it is no damage, and the next does the rest. */
static void expect_one_lie_harms_nothing(enum dead dead, const struct fault *f)
{
	start_anew(dead);
	fault_add(gc_store(g), f);
	if (collect_dead(dead) < 0)
		ck_assert_msg(g->e.code == ERR_CORRUPT || g->e.code == ERR_BUSY,
			      "%s", g->e.text);
	fault_clear(gc_store(g));
	gc_expect_sound(g);
	gc_collect(g, 0);
	ck_assert(!gc_exists(g, 0));
	ck_assert_uint_eq(gc_objects(g, "snapshots/"), 1);
	gc_expect(g, 1);
	gc_expect_sound(g);
}

/* Each listing below the folder, one after the other, is cut to so many. */
static void lie_once_each(enum dead dead, const char *folder, uint64_t amount)
{
	const struct fault count = { .call = FAULT_LIST,
				     .action = FAULT_RUN,
				     .prefix = folder,
				     .run = count_call };
	struct fault cut = { .call = FAULT_LIST,
			     .action = FAULT_SHORT,
			     .prefix = folder,
			     .amount = amount,
			     .times = 1 };
	uint64_t n;

	start_anew(dead);
	calls = 0;
	fault_add(gc_store(g), &count);
	gc_ok(collect_dead(dead));
	n = calls;
	ck_assert_uint_gt(n, 4);
	for (cut.nth = 1; cut.nth <= n; cut.nth++)
		expect_one_lie_harms_nothing(dead, &cut);
}

START_TEST(a_manifest_that_is_not_listed_once_keeps_what_it_needs)
{
	lie_once_each(ONCE, "snapshots/", 0);
	lie_once_each(TWICE, "snapshots/", 1);
	lie_once_each(LATE, "snapshots/", 0);
}
END_TEST

START_TEST(a_tombstone_that_is_not_listed_once_keeps_what_its_manifest_needs)
{
	lie_once_each(ONCE, "tombstones/", 0);
	lie_once_each(TWICE, "tombstones/", 1);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, a_listing_that_fails_once_ends_it);
	tcase_add_test(tc, each_folder_that_decides_is_listed_twice);
	tcase_add_test(tc, a_call_that_fails_once_is_not_passed_over);
	tcase_add_test(tc, what_keeps_and_deletes_passes_no_failure_over);
	tcase_add_test(tc, who_cannot_be_given_up_ends_it);
	tcase_add_test(tc, a_mark_that_cannot_be_seen_just_now_ends_it);
	tcase_add_test(tc, all_that_stood_still_are_given_up_at_once);
	tcase_add_test(tc, a_session_that_cannot_be_read_just_now_ends_it);
	tcase_add_test(tc, a_session_that_leaves_is_not_given_up);
	tcase_add_test(tc, it_waits_as_long_as_it_is_told_to);
	tcase_add_test(tc, a_long_name_is_cut);
	tcase_add_test(tc,
		       a_manifest_that_is_not_listed_once_keeps_what_it_needs);
	tcase_add_test(
		tc,
		a_tombstone_that_is_not_listed_once_keeps_what_its_manifest_needs);
}

CHECK_MAIN("storage/gc_once", cases)

/* That all a locked snapshot needs is guarded, and what it costs. */
#include "storage/repository/guards.h"

#include "storage/replicate.h"
#include "tests/support/guard_frame.h"

static struct gc_frame frame;
static struct gc_frame *const g = &frame;

static void set_up(void)
{
	guard_frame_init(g, "mem:guard-guards");
	gc_file(g, "kept");
}

static void tear_down(void)
{
	gc_frame_done(g);
	store_mem_forget(
		"mem:guard-guards"); /* whose copy the frame may be of */
}

static uint64_t asked(void)
{
	return fault_calls(gc_store(g), FAULT_GUARD);
}

/* ---- With the snapshot -------------------------------------------------- */

START_TEST(all_that_a_locked_snapshot_needs_is_guarded)
{
	const struct snapshot_result r = guard_take(g);

	ck_assert(r.guarding.is);
	ck_assert_int_eq(r.guarding.why.code, ERR_NONE);
	guard_expect(g, 0);
}
END_TEST

/* What is ahead of need is for these. */
START_TEST(an_unchanged_snapshot_a_day_later_lengthens_nothing)
{
	struct snapshot_result r;

	(void)guard_take(g);
	guard_later(g, GC_DAY_MS);
	r = guard_take(g);
	ck_assert_uint_eq(r.guarding.lengthened, 0);
	ck_assert_uint_eq(asked(), 0);
	guard_expect(g, 1);
}
END_TEST

START_TEST(what_is_guarded_too_briefly_is_lengthened)
{
	struct snapshot_result r;

	(void)guard_take(g);
	guard_later(g, 3 * GC_DAY_MS);
	gc_file(g, "new");
	r = guard_take(g);
	ck_assert_uint_gt(r.guarding.lengthened, 0);
	guard_expect(g, 1);
	/* And then it is known again. */
	guard_later(g, GC_DAY_MS);
	r = guard_take(g);
	ck_assert_uint_eq(r.guarding.lengthened, 0);
	guard_expect(g, 2);
}
END_TEST

START_TEST(what_was_there_before_the_first_lock_is_guarded_then)
{
	struct snapshot_result r;

	(void)guard_take_for(g, 0);
	(void)guard_take_for(g, 0);
	r = guard_take(g);
	ck_assert_uint_gt(r.guarding.lengthened, 2);
	ck_assert_uint_lt(r.bytes_new, GC_FILE_BYTES);
	guard_expect(g, 2);
}
END_TEST

/* For years, day by day: every snapshot, and requests that stay few. */
START_TEST(a_month_of_snapshots_is_guarded_at_a_few_requests)
{
	uint64_t lengthened = 0;

	for (int day = 0; day < 30; day++) {
		if (day % 3 == 0)
			gc_file(g, "changing");
		lengthened += guard_take(g).guarding.lengthened;
		guard_expect(g, (size_t)day);
		guard_later(g, GC_DAY_MS);
	}
	ck_assert_uint_gt(lengthened, 0);
	ck_assert_uint_lt(lengthened, 30 * 15);
}
END_TEST

static void remove_all(const char *prefix)
{
	while (gc_objects(g, prefix))
		gc_ok(store_remove(gc_store(g), gc_last(g, prefix).s, &g->e));
}

START_TEST(records_that_are_lost_only_cost_requests)
{
	struct snapshot_result r;

	(void)guard_take(g);
	ck_assert_uint_gt(gc_objects(g, "guards/"), 0);
	remove_all("guards/");
	guard_later(g, GC_DAY_MS);
	r = guard_take(g);
	ck_assert_uint_gt(r.guarding.lengthened, 0);
	guard_expect(g, 1);
}
END_TEST

START_TEST(a_record_that_is_damaged_says_nothing)
{
	struct snapshot_result r;

	(void)guard_take(g);
	while (gc_objects(g, "guards/") > 1)
		gc_ok(store_remove(gc_store(g), gc_last(g, "guards/").s,
				   &g->e));
	gc_damage(g, gc_last(g, "guards/").s);
	guard_later(g, GC_DAY_MS);
	r = guard_take(g);
	ck_assert_uint_gt(r.guarding.lengthened, 0);
	guard_expect(g, 1);
}
END_TEST

/* The snapshot is whole all the same, and says what it lacks. */
START_TEST(a_guard_that_fails_is_told_and_made_good_by_the_next)
{
	struct snapshot_options o = { .lock_ms = GUARD_LOCK_MS };
	struct snapshot_result r;

	(void)guard_take_for(g, 0);
	for (uint64_t n = 1;; n++) {
		const struct fault f = { .call = FAULT_GUARD,
					 .action = FAULT_FAIL,
					 .nth = n,
					 .times = 1,
					 .everyone = true };

		gc_reopen(g);
		fault_add(gc_store(g), &f);
		gc_ok(repo_take_with(&g->f, &o, &r, &g->e));
		ck_assert(r.guarding.is);
		if (r.guarding.why.code == ERR_NONE)
			break;
		ck_assert_int_eq(r.guarding.why.code, ERR_IO);
		ck_assert_uint_lt(n, 100);
	}
	ck_assert_uint_gt(r.guarding.lengthened, 2);
	(void)guard_take(g);
	guard_expect(g, 1);
}
END_TEST

START_TEST(what_is_gone_is_told_and_nothing_noted)
{
	struct snapshot_options o = { .lock_ms = GUARD_LOCK_MS };
	struct snapshot_result r;

	(void)guard_take_for(g, 0);
	gc_ok(store_remove(gc_store(g), gc_last(g, "data/").s, &g->e));
	gc_reopen(g);
	gc_ok(repo_take_with(&g->f, &o, &r, &g->e));
	ck_assert(r.guarding.is);
	ck_assert_int_eq(r.guarding.why.code, ERR_NOT_FOUND);
	ck_assert_uint_eq(gc_objects(g, "guards/"), 0);
}
END_TEST

static int three_days_pass(void *arg, struct err *e)
{
	(void)e;
	guard_later(arg, 3 * GC_DAY_MS);
	return 0;
}

/* A snapshot of something new that takes so long. */
static struct snapshot_result take_slowly(void)
{
	struct snapshot_options o = { .lock_ms = GUARD_LOCK_MS,
				      .was_read = three_days_pass,
				      .arg = g };
	struct snapshot_result r;

	gc_file(g, "new");
	gc_reopen(g);
	gc_ok(repo_take_with(&g->f, &o, &r, &g->e));
	ck_assert(r.guarding.is);
	return r;
}

/* What the parent has was not looked at, so that it cannot be lengthened. */
START_TEST(who_takes_longer_than_its_parent_is_guarded_says_so)
{
	struct snapshot_result r;

	(void)guard_take(g);
	r = take_slowly();
	ck_assert_int_eq(r.guarding.why.code, ERR_BUSY);
	(void)guard_take(g);
	guard_expect(g, 1);
}
END_TEST

START_TEST(what_was_written_long_before_the_end_is_lengthened)
{
	struct snapshot_result r = take_slowly();

	ck_assert_int_eq(r.guarding.why.code, ERR_NONE);
	ck_assert_uint_gt(r.guarding.lengthened, 4);
	/* And it is known. */
	guard_later(g, GC_DAY_MS);
	r = guard_take(g);
	ck_assert_uint_eq(r.guarding.lengthened, 0);
	guard_expect(g, 0);
}
END_TEST

START_TEST(where_nothing_can_be_guarded_nothing_is_tried)
{
	struct snapshot_result r;

	gc_frame_done(g);
	guard_frame_init(g, "mem:unguarded");
	gc_file(g, "kept");
	r = guard_take(g);
	ck_assert(!r.guarding.is);
	ck_assert_uint_eq(gc_objects(g, "guards/"), 0);
}
END_TEST

/* What a new keyring tells is needed as much. */
START_TEST(keys_that_came_since_are_guarded)
{
	CLEANUP(buf_done) struct buf b;
	char name[64];

	(void)guard_take(g);
	(void)snprintf(name, sizeof(name), "keys/%032x", 7U);
	repo_get(gc_store(g), gc_last(g, "keys/").s, &b);
	gc_reopen(g); /* by somebody who guards nothing */
	repo_set(gc_store(g), name, b.data, b.len);
	ck_assert_int_eq(guard_of(g, name).until.sec, 0);
	(void)guard_take(g);
	ck_assert_int_gt(guard_of(g, name).until.sec, g->now.sec);
}
END_TEST

/* ---- Many at once ------------------------------------------------------- */

static int count_done(void *arg, const char *name, struct instant until,
		      struct err *e)
{
	uint64_t *told = arg;

	(void)until;
	(void)e;
	ck_assert_str_eq(name, "config");
	(*told)++;
	return 0;
}

/* What is not there is not counted. */
START_TEST(thousands_are_guarded_each_once)
{
	CLEANUP(guards_bulk_free) struct guards_bulk *b = NULL;
	const struct instant until = instant_add_ms(g->now, GC_DAY_MS);
	uint64_t told = 0;
	uint64_t there;

	gc_reopen(g);
	gc_ok(guards_bulk_new(gc_store(g), count_done, &told, &b, &g->e));
	for (int i = 0; i < 10000; i++)
		gc_ok(guards_bulk_add(b, i % 2 ? "config" : "gone", until,
				      &g->e));
	gc_ok(guards_bulk_run(b, &there, &g->e));
	ck_assert_uint_eq(there, 5000);
	ck_assert_uint_eq(told, 5000);
	gc_ok(guards_bulk_run(b, &there, &g->e));
	ck_assert_uint_eq(there, 0);
	ck_assert_uint_eq(told, 5000);
}
END_TEST

START_TEST(where_all_fail_few_are_tried)
{
	const struct fault f = { .call = FAULT_GUARD,
				 .action = FAULT_FAIL,
				 .everyone = true };
	CLEANUP(guards_bulk_free) struct guards_bulk *b = NULL;
	uint64_t there;

	gc_reopen(g);
	fault_add(gc_store(g), &f);
	gc_ok(guards_bulk_new(gc_store(g), NULL, NULL, &b, &g->e));
	for (int i = 0; i < 1000; i++)
		gc_ok(guards_bulk_add(b, "config", g->now, &g->e));
	ck_assert_int_eq(guards_bulk_run(b, &there, &g->e), -1);
	ck_assert_int_eq(g->e.code, ERR_IO);
	ck_assert_uint_eq(there, 0);
	ck_assert_uint_lt(asked(), 100);
	/* The next time they are tried again. */
	fault_clear(gc_store(g));
	gc_ok(guards_bulk_add(b, "config", g->now, &g->e));
	gc_ok(guards_bulk_run(b, &there, &g->e));
	ck_assert_uint_eq(there, 1);
}
END_TEST

/* More than a record has room for. */
START_TEST(thousands_are_known)
{
	static struct object_id ids[RECORD_IDS_MAX + 2];
	CLEANUP(guards_free) struct guards *known = NULL;
	const struct instant until = { g->now.sec + 1000, 0 };
	const size_t n = sizeof(ids) / sizeof(ids[0]);

	for (size_t i = 0; i < n; i++)
		ids[i] = object_id_new();
	gc_ok(guards_note(gc_store(g), repository_keys(g->f.r), ids, n, until,
			  g->now, &g->e));
	gc_ok(guards_read(gc_store(g), repository_keys(g->f.r), &known, &g->e));
	for (size_t i = 0; i < n; i++)
		ck_assert_int_eq(guards_until(known, ids[i]).sec, until.sec);
}
END_TEST

/* ---- Whose lock --------------------------------------------------------- */

static int see_longest(void *arg, const struct store_entry *entry,
		       struct err *e)
{
	struct instant *until = arg;
	const struct store_guard x = guard_of(g, entry->name);

	(void)e;
	if (instant_compare(x.until, *until) > 0)
		*until = x.until;
	return 0;
}

/* Days from now that anything of the prefix is guarded for, rounded down. */
static int64_t longest_days(const char *prefix)
{
	struct instant until = g->now;

	gc_ok(store_list(gc_store(g), prefix, see_longest, &until, &g->e));
	return instant_ms_between(g->now, until) / GC_DAY_MS;
}

static void lock_days(size_t i, int64_t days)
{
	CLEANUP(repository_snapshot_done)
	struct repository_snapshot s = gc_look(g, i);

	gc_ok(deletion_lock(g->f.r, &s,
			    instant_add_ms(s.received, days * GC_DAY_MS), "me",
			    g->now, &g->e));
}

/* As who has the key, and nothing else, writes it. */
static void forge_lock(struct object_id snapshot)
{
	struct record r;

	record_init(&r, OBJECT_LOCK);
	r.id = object_id_new();
	r.snapshot = snapshot;
	r.time = g->now;
	r.until = instant_add_ms(g->now, 36500 * GC_DAY_MS);
	gc_ok(record_put(gc_store(g), repository_keys(g->f.r), &r, 0, &g->e));
	record_done(&r);
}

START_TEST(a_snapshot_is_guarded_for_its_own_lock)
{
	(void)guard_take_for(g, 0);
	lock_days(0, 1000);
	forge_lock(g->ids[0]);
	gc_file(g, "new");
	(void)guard_take(g);
	ck_assert_int_eq(longest_days(""), GUARD_ALL_MS / GC_DAY_MS);
	guard_expect(g, 1);
}
END_TEST

/* Nor does what somebody was told before last. */
START_TEST(a_snapshot_that_is_not_locked_is_guarded_for_none)
{
	struct snapshot_options o = { .lock_ms = 0 };
	struct snapshot_result r;

	gc_ok(guards_begin(g->f.r, instant_add_ms(g->now, GUARD_LOCK_MS),
			   g->now, &g->e));
	gc_ok(repo_take_with(&g->f, &o, &r, &g->e));
	ck_assert_int_eq(longest_days("snapshots/"), 0);
	ck_assert_int_eq(longest_days("data/"), 0);
}
END_TEST

static unsigned int unguarded; /* copies that were said to be */

static int see_copied(void *arg, const struct replicate_one *one, struct err *e)
{
	(void)arg;
	(void)e;
	unguarded += one->unguarded != NULL;
	return 0;
}

static void copy_to(const char *url)
{
	const struct replicate_options o = { .host = "h", .done = see_copied };
	CLEANUP(repository_close) struct repository *from = g->f.r;
	struct replicate_result r;
	struct store *s;

	unguarded = 0;
	g->f.r = NULL;
	gc_ok(store_open(url, true, &s, &g->e));
	gc_ok(replicate_settle(repository_store(from), s, g->f.credential,
			       &g->e));
	store_close(s);
	(void)snprintf(g->f.url, sizeof(g->f.url), "%s", url);
	gc_reopen(g);
	gc_ok(replicate_run(from, g->f.r, &o, &r, &g->e));
	ck_assert_uint_eq(r.copied, g->n);
}

static int64_t manifest_days(size_t i)
{
	char id[OBJECT_ID_TEXT];
	char prefix[64];

	object_id_format(g->ids[i], id);
	(void)snprintf(prefix, sizeof(prefix), "snapshots/%s", id);
	return longest_days(prefix);
}

START_TEST(each_copy_is_guarded_for_its_own_lock)
{
	static const int64_t days[] = { 0, 8, 400, 0, 8 };
	static const int64_t all[] = { 0, 10, 430, 0, 10 };
	char name[16];

	for (size_t i = 0; i < 5; i++) {
		(void)snprintf(name, sizeof(name), "f%zu", i);
		gc_file(g, name);
		(void)guard_take_for(g, days[i] * GC_DAY_MS);
	}
	copy_to("mem:guard-copies");
	for (size_t i = 0; i < 5; i++)
		ck_assert_int_le(llabs(manifest_days(i) - all[i]), 1);
	for (size_t i = 0; i < 5; i++)
		if (days[i])
			guard_expect(g, i);
	ck_assert_uint_eq(unguarded, 0);
}
END_TEST

/* No longer than it is locked already, by another region's session. */
static struct object_name lock_of_nobody(struct object_id snapshot)
{
	struct record r;

	store_guard_none(gc_store(g));
	record_init(&r, OBJECT_LOCK);
	r.id = object_id_new();
	r.snapshot = snapshot;
	r.session = object_id_new();
	r.time = g->now;
	r.until = instant_add_ms(g->now, GC_DAY_MS);
	(void)snprintf(r.by, sizeof(r.by), "there");
	gc_ok(record_put(gc_store(g), repository_keys(g->f.r), &r, 0, &g->e));
	return object_name_pair(OBJECT_LOCK, snapshot, r.id);
}

/* Locks go both ways: one that a copy got comes back here. */
START_TEST(a_lock_that_is_copied_later_is_guarded_too)
{
	const struct replicate_options o = { .host = "h" };
	const struct guards_options pass = { .now = g->now };
	const struct guards_options ask = { .now = g->now, .ask = true };
	CLEANUP(repository_close) struct repository *to = NULL;
	struct guards_result found;
	struct object_name late;
	struct replicate_result r;
	size_t locks;

	(void)guard_take(g);
	locks = gc_objects(g, "locks/");
	copy_to("mem:guard-copies");
	to = g->f.r;
	g->f.r = NULL;
	(void)snprintf(g->f.url, sizeof(g->f.url), "mem:guard-guards");
	gc_reopen(g);
	gc_ok(replicate_run(g->f.r, to, &o, &r, &g->e));
	ck_assert_uint_gt(gc_objects(g, "locks/"), locks);
	gc_ok(guards_run(g->f.r, &ask, &found, &g->e));
	ck_assert_msg(found.too_short == 0, "%s", found.findings[0].object);
	/* As when who copied it died before it was guarded. */
	late = lock_of_nobody(g->ids[0]);
	gc_ok(guards_run(g->f.r, &ask, &found, &g->e));
	ck_assert_uint_eq(found.too_short, 1);
	ck_assert_str_eq(found.findings[0].object, late.s);
	gc_ok(guards_run(g->f.r, &pass, &found, &g->e));
	ck_assert_uint_ge(found.lengthened, 1);
	gc_ok(guards_run(g->f.r, &ask, &found, &g->e));
	ck_assert_uint_eq(found.too_short, 0);
	gc_ok(guards_run(g->f.r, &pass, &found, &g->e));
	ck_assert_uint_eq(found.lengthened, 0);
	guard_expect(g, 0);
	store_mem_forget("mem:guard-copies");
}
END_TEST

/* Nobody knows for how long it has to be guarded. */
START_TEST(a_copy_of_what_an_unreadable_lock_is_on_is_said_to_be_unguarded)
{
	const struct fault f = { .call = FAULT_READ,
				 .action = FAULT_FLIP,
				 .prefix = "locks/",
				 .amount = 999,
				 .everyone = true };

	(void)guard_take_for(g, GUARD_LOCK_MS);
	gc_file(g, "new");
	(void)guard_take_for(g, 0);
	gc_reopen(g);
	fault_add(gc_store(g), &f);
	copy_to("mem:guard-copies");
	ck_assert_uint_eq(unguarded, 1);
}
END_TEST

static void copy_by_rule(struct repository *from, const char *url,
			 int64_t lock_ms)
{
	const struct replicate_options o = { .host = "h", .lock_ms = lock_ms };
	struct replicate_result r;
	struct store *s;

	gc_ok(store_open(url, true, &s, &g->e));
	gc_ok(replicate_settle(repository_store(from), s, g->f.credential,
			       &g->e));
	store_close(s);
	(void)snprintf(g->f.url, sizeof(g->f.url), "%s", url);
	gc_reopen(g);
	/* Again: nothing comes of it, nor goes back. */
	for (int i = 0; i < 2; i++)
		gc_ok(replicate_run(from, g->f.r, &o, &r, &g->e));
}

static int64_t locked_days(size_t i)
{
	CLEANUP(repository_snapshot_done)
	struct repository_snapshot s = gc_look(g, i);

	return s.locked ? instant_ms_between(s.received, s.locked_until) /
				  GC_DAY_MS
			: 0;
}

static void lock_here_days(size_t i, int64_t days)
{
	CLEANUP(repository_snapshot_done)
	struct repository_snapshot s = gc_look(g, i);

	gc_ok(deletion_lock_here(g->f.r, &s,
				 instant_add_ms(s.received, days * GC_DAY_MS),
				 "me", g->now, &g->e));
}

/* For longer, and for less long, than the region it comes from. */
START_TEST(a_copy_is_locked_by_the_rule_of_its_region)
{
	CLEANUP(repository_close) struct repository *from = NULL;
	char first[sizeof(g->f.url)];

	(void)guard_take_for(g, 0);
	lock_here_days(0, 40);
	gc_file(g, "new");
	(void)guard_take_for(g, 0);
	memcpy(first, g->f.url, sizeof(first));
	from = g->f.r;
	g->f.r = NULL;
	copy_by_rule(from, "mem:guard-long", 400 * GC_DAY_MS);
	for (size_t i = 0; i < 2; i++) {
		ck_assert_int_eq(locked_days(i), 400);
		ck_assert_int_ge(manifest_days(i), 400);
		guard_expect(g, i);
	}
	copy_by_rule(from, "mem:guard-short", 8 * GC_DAY_MS);
	for (size_t i = 0; i < 2; i++) {
		ck_assert_int_eq(locked_days(i), 8);
		ck_assert_int_le(manifest_days(i), 11);
		guard_expect(g, i);
	}
	/* By none of its own: as where it comes from. */
	copy_by_rule(from, "mem:guard-same", 0);
	ck_assert_int_eq(locked_days(0), 40);
	ck_assert_int_eq(locked_days(1), 0);
	ck_assert_int_ge(manifest_days(0), 40);
	ck_assert_int_eq(manifest_days(1), 0);
	memcpy(g->f.url, first, sizeof(first));
	gc_reopen(g);
	ck_assert_int_eq(locked_days(0), 40);
	ck_assert_int_eq(locked_days(1), 0);
	ck_assert_uint_eq(gc_objects(g, "locks/"), 1);
	store_mem_forget("mem:guard-long");
	store_mem_forget("mem:guard-short");
	store_mem_forget("mem:guard-same");
}
END_TEST

START_TEST(a_copy_of_a_snapshot_with_a_forged_lock_is_guarded_within_bounds)
{
	(void)guard_take_for(g, 0);
	forge_lock(g->ids[0]);
	forge_lock(object_id_new());
	gc_file(g, "new");
	(void)guard_take_for(g, 0);
	copy_to("mem:guard-copies");
	ck_assert_int_ge(manifest_days(0), 3650);
	ck_assert_int_le(manifest_days(0), 3700);
	ck_assert_int_eq(manifest_days(1), 0);
}
END_TEST

/* Somebody with the key says that its session was given up, and left nothing.
 */
static void forge_void(size_t i)
{
	CLEANUP(repository_snapshot_done)
	struct repository_snapshot s = gc_look(g, i);

	gc_ok(repo_give_up(g->f.r, s.manifest.session,
			   (struct object_id){ { 0 } }, &g->e));
}

START_TEST(a_void_that_is_forged_hides_no_copy_of_what_is_locked)
{
	(void)guard_take_for(g, 0);
	gc_file(g, "new");
	(void)guard_take(g); /* the newest, which is copied first */
	copy_to("mem:guard-copies");
	guard_expect(g, 1); /* the new lock, too */
	forge_void(0);
	forge_void(1);
	gc_reopen(g);
	ck_assert(!gc_exists(g, 0));
	ck_assert(gc_exists(g, 1));
	gc_expect(g, 1);
}
END_TEST

/* The copy is there, and its writer died before it put a lock. */
static struct repository *die_before_a_lock(const char *url,
					    const struct fault *dies,
					    const struct replicate_options *o)
{
	struct repository *from = g->f.r;
	struct replicate_result r;
	struct store *s;

	g->f.r = NULL;
	gc_ok(store_open(url, true, &s, &g->e));
	gc_ok(replicate_settle(repository_store(from), s, g->f.credential,
			       &g->e));
	store_close(s);
	(void)snprintf(g->f.url, sizeof(g->f.url), "%s", url);
	gc_reopen(g);
	fault_add(gc_store(g), dies);
	ck_assert_int_eq(replicate_run(from, g->f.r, o, &r, &g->e), -1);
	ck_assert_int_eq(g->e.code, ERR_IO);
	fault_clear(gc_store(g));
	err_clear(&g->e);
	ck_assert_uint_eq(gc_objects(g, "snapshots/"), 1);
	return from;
}

/* One that names its session; the locks that were copied before name that of
 * the other region. */
static struct repository *die_before_the_lock(const char *url)
{
	const struct replicate_options o = { .host = "h" };
	const struct fault dies = { .call = FAULT_COMMIT,
				    .action = FAULT_FAIL,
				    .prefix = "locks/",
				    .nth = 2,
				    .everyone = true };
	struct repository *from = die_before_a_lock(url, &dies, &o);

	ck_assert_uint_eq(gc_objects(g, "locks/"), 1);
	return from;
}

static void expect_named(void)
{
	ck_assert_uint_eq(gc_objects(g, "locks/"), 2);
	guard_expect(g, 0); /* the new lock, too */
	forge_void(0);
	gc_reopen(g);
	ck_assert(gc_exists(g, 0));
	gc_expect(g, 0);
}

START_TEST(a_copy_that_died_before_its_lock_gets_it_from_the_next_copying)
{
	const struct replicate_options o = { .host = "h" };
	CLEANUP(repository_close) struct repository *from = NULL;
	struct replicate_result r;

	(void)guard_take(g);
	from = die_before_the_lock("mem:guard-copies");
	for (int i = 0; i < 2; i++) {
		gc_reopen(g);
		gc_ok(replicate_run(from, g->f.r, &o, &r, &g->e));
		ck_assert_uint_eq(r.copied, 0);
	}
	expect_named();
}
END_TEST

START_TEST(a_copy_that_died_before_its_lock_gets_it_from_the_next_pass)
{
	const struct guards_options o = { .now = g->now };
	CLEANUP(repository_close) struct repository *from = NULL;
	struct guards_result pass;

	(void)guard_take(g);
	from = die_before_the_lock("mem:guard-copies");
	for (int i = 0; i < 2; i++) {
		gc_reopen(g);
		gc_ok(guards_run(g->f.r, &o, &pass, &g->e));
	}
	expect_named();
}
END_TEST

static const struct fault no_lock = { .call = FAULT_COMMIT,
				      .action = FAULT_FAIL,
				      .prefix = "locks/",
				      .everyone = true };

/* By a rule of its own it is locked where it comes from by none. */
START_TEST(a_copy_that_died_before_the_lock_of_its_region_gets_it)
{
	const struct replicate_options o = { .host = "h",
					     .lock_ms = 400 * GC_DAY_MS };
	CLEANUP(repository_close) struct repository *from = NULL;
	struct replicate_result r;

	(void)guard_take_for(g, 0);
	from = die_before_a_lock("mem:guard-copies", &no_lock, &o);
	ck_assert_uint_eq(gc_objects(g, "locks/"), 0);
	for (int i = 0; i < 2; i++) {
		gc_reopen(g);
		gc_ok(replicate_run(from, g->f.r, &o, &r, &g->e));
		ck_assert_uint_eq(r.copied, 0);
		ck_assert_int_eq(locked_days(0), 400);
	}
	ck_assert_uint_eq(gc_objects(g, "locks/"), 1);
	guard_expect(g, 0);
}
END_TEST

/* As promoting does, records alone, or by hand: its rule nobody tells. */
START_TEST(a_copy_that_is_there_gets_no_lock_of_the_others_alone)
{
	static const struct object_id none;
	const struct replicate_options dying = { .host = "h",
						 .lock_ms = 8 * GC_DAY_MS };
	const struct replicate_options o[] = { { .only = &none },
					       { .host = "h" } };
	CLEANUP(repository_close) struct repository *from = NULL;
	struct replicate_result r;

	(void)guard_take_for(g, 0);
	lock_here_days(0, 3650);
	from = die_before_a_lock("mem:guard-copies", &no_lock, &dying);
	gc_reopen(g);
	for (int i = 0; i < 2; i++)
		gc_ok(replicate_run(from, g->f.r, &o[i], &r, &g->e));
	ck_assert_int_eq(locked_days(0), 0);
	gc_ok(replicate_run(from, g->f.r, &dying, &r, &g->e));
	ck_assert_int_eq(locked_days(0), 8);
}
END_TEST

START_TEST(a_copy_that_was_given_up_gets_no_lock)
{
	const struct guards_options o = { .now = g->now };
	CLEANUP(repository_close) struct repository *from = NULL;
	struct guards_result pass;

	(void)guard_take(g);
	from = die_before_the_lock("mem:guard-copies");
	{
		CLEANUP(repository_snapshot_done)
		struct repository_snapshot s = gc_look(g, 0);
		struct record r;

		record_init(&r, OBJECT_FENCE);
		r.id = s.manifest.session;
		r.time = g->now;
		gc_ok(record_put(gc_store(g), repository_keys(g->f.r), &r, 0,
				 &g->e));
		record_done(&r);
	}
	gc_reopen(g);
	gc_ok(guards_run(g->f.r, &o, &pass, &g->e));
	ck_assert_uint_eq(gc_objects(g, "locks/"), 1);
}
END_TEST

START_TEST(what_a_collector_writes_is_guarded_shortly)
{
	(void)guard_take_for(g, 0);
	forge_lock(object_id_new());
	gc_mark_all(g);
	gc_reopen(g);
	gc_collect(g, 0);
	ck_assert_int_eq(longest_days("data/"), 0);
	lock_days(0, 1000);
	gc_mark_all(g);
	gc_reopen(g);
	gc_collect(g, 0);
	ck_assert_uint_gt(g->result.chunks_copied, 0);
	ck_assert_int_ge(longest_days("data/"), 29);
	ck_assert_int_le(longest_days(""), 30);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, all_that_a_locked_snapshot_needs_is_guarded);
	tcase_add_test(tc, an_unchanged_snapshot_a_day_later_lengthens_nothing);
	tcase_add_test(tc, what_is_guarded_too_briefly_is_lengthened);
	tcase_add_test(tc,
		       what_was_there_before_the_first_lock_is_guarded_then);
	tcase_add_test(tc, a_month_of_snapshots_is_guarded_at_a_few_requests);
	tcase_add_test(tc, records_that_are_lost_only_cost_requests);
	tcase_add_test(tc, a_record_that_is_damaged_says_nothing);
	tcase_add_test(tc,
		       a_guard_that_fails_is_told_and_made_good_by_the_next);
	tcase_add_test(tc, what_is_gone_is_told_and_nothing_noted);
	tcase_add_test(tc, who_takes_longer_than_its_parent_is_guarded_says_so);
	tcase_add_test(tc, what_was_written_long_before_the_end_is_lengthened);
	tcase_add_test(tc, where_nothing_can_be_guarded_nothing_is_tried);
	tcase_add_test(tc, keys_that_came_since_are_guarded);
	tcase_add_test(tc, thousands_are_guarded_each_once);
	tcase_add_test(tc, where_all_fail_few_are_tried);
	tcase_add_test(tc, thousands_are_known);
	tcase_add_test(tc, a_snapshot_is_guarded_for_its_own_lock);
	tcase_add_test(tc, a_snapshot_that_is_not_locked_is_guarded_for_none);
	tcase_add_test(tc, each_copy_is_guarded_for_its_own_lock);
	tcase_add_test(tc, a_lock_that_is_copied_later_is_guarded_too);
	tcase_add_test(
		tc,
		a_copy_of_what_an_unreadable_lock_is_on_is_said_to_be_unguarded);
	tcase_add_test(tc, a_copy_is_locked_by_the_rule_of_its_region);
	tcase_add_test(
		tc,
		a_copy_of_a_snapshot_with_a_forged_lock_is_guarded_within_bounds);
	tcase_add_test(tc,
		       a_void_that_is_forged_hides_no_copy_of_what_is_locked);
	tcase_add_test(
		tc,
		a_copy_that_died_before_its_lock_gets_it_from_the_next_copying);
	tcase_add_test(
		tc,
		a_copy_that_died_before_its_lock_gets_it_from_the_next_pass);
	tcase_add_test(tc,
		       a_copy_that_died_before_the_lock_of_its_region_gets_it);
	tcase_add_test(tc,
		       a_copy_that_is_there_gets_no_lock_of_the_others_alone);
	tcase_add_test(tc, a_copy_that_was_given_up_gets_no_lock);
	tcase_add_test(tc, what_a_collector_writes_is_guarded_shortly);
}

CHECK_MAIN("storage/guards", cases)

/*
 * Where a store keeps versions, what somebody puts on top of objects, garbage
 * or what authenticates, changes nothing for those who read.
 */
#include "storage/repository/versions.h"

#include "storage/repository/aliens.h"
#include "storage/repository/seal.h"
#include "tests/support/guard_frame.h"

static struct gc_frame frame;
static struct gc_frame *const g = &frame;

/* As where nothing was listed yet: only what is read tells that there are. */
static bool knows_nothing;

bool __real_store_has_several(struct store *s, const char *name);
bool __wrap_store_has_several(struct store *s, const char *name);
bool __wrap_store_has_several(struct store *s, const char *name)
{
	return !knows_nothing && __real_store_has_several(s, name);
}

/* So many turns of that store are refused, after so many that are not. */
static const struct store *turning;
static unsigned int turns_refused;
static unsigned int turns_first;
static unsigned int turned_to; /* by the last one */

int __real_store_turn(struct store *s, const char *name, unsigned int n,
		      struct err *e);
int __wrap_store_turn(struct store *s, const char *name, unsigned int n,
		      struct err *e);
int __wrap_store_turn(struct store *s, const char *name, unsigned int n,
		      struct err *e)
{
	if (s != turning)
		return __real_store_turn(s, name, n, e);
	if (turns_first)
		turns_first--;
	else if (turns_refused) {
		turns_refused--;
		return err_set(e, ERR_DENIED, "no turning");
	}
	turned_to = n;
	return __real_store_turn(s, name, n, e);
}

static void set_up(void)
{
	knows_nothing = false;
	turning = NULL;
	guard_frame_init(g, "mem:guard-versions");
	gc_file(g, "kept");
	gc_file(g, "and more");
	(void)guard_take(g);
}

static void tear_down(void)
{
	gc_frame_done(g);
}

static int put_garbage(void *arg, const struct store_entry *entry,
		       struct err *e)
{
	static const char garbage[300] = "not what was written";
	const uint64_t size = entry->size;
	CLEANUP(buf_done) struct buf b;

	(void)arg;
	buf_init(&b, size + 1);
	if (!object_is_guarded(entry->name))
		return 0;
	/* Of the same size, so that only what is in it tells. */
	while (b.len < size)
		gc_ok(buf_add(&b, garbage,
			      size - b.len < sizeof(garbage) ? size - b.len
							     : sizeof(garbage),
			      e));
	repo_set(gc_store(g), entry->name, b.data, b.len);
	return 0;
}

START_TEST(garbage_on_top_of_everything_changes_nothing)
{
	gc_reopen(g);
	gc_ok(store_list(gc_store(g), "", put_garbage, NULL, &g->e));
	gc_expect(g, 0);
	/* Nor is it damage of what is there, in whatever order it is read. */
	gc_reopen(g);
	gc_expect_sound(g);
	(void)guard_take(g);
	gc_expect(g, 1);
	gc_collect(g, 0);
	gc_expect(g, 0);
}
END_TEST

START_TEST(nor_does_it_where_nobody_knows_of_it)
{
	gc_reopen(g);
	gc_ok(store_list(gc_store(g), "", put_garbage, NULL, &g->e));
	knows_nothing = true;
	gc_expect(g, 0);
	gc_reopen(g);
	gc_expect_sound(g);
}
END_TEST

static int put_again(void *arg, const struct store_entry *entry, struct err *e)
{
	CLEANUP(buf_done) struct buf b;

	(void)e;
	buf_init(&b, 1);
	if (!object_is_guarded(entry->name))
		return 0;
	++*(size_t *)arg;
	repo_get(gc_store(g), entry->name, &b);
	repo_set(gc_store(g), entry->name, b.data, b.len);
	return 0;
}

static int put_more(void *arg, const struct store_entry *entry, struct err *e)
{
	(void)e;
	if (object_is_guarded(entry->name))
		repo_set(gc_store(g), entry->name, arg, 5);
	return 0;
}

START_TEST(what_somebody_else_put_on_top_is_found)
{
	struct aliens_result found;
	char more[] = "other";
	size_t n = 0;

	gc_ok(aliens_find(g->f.r, NULL, &found, &g->e));
	ck_assert_uint_eq(found.objects, 0);
	/* An upload that was sent again is no stranger's. */
	gc_ok(store_list(gc_store(g), "", put_again, &n, &g->e));
	gc_reopen(g);
	gc_ok(aliens_find(g->f.r, NULL, &found, &g->e));
	ck_assert_uint_eq(found.objects, 0);
	gc_ok(store_list(gc_store(g), "", put_garbage, NULL, &g->e));
	gc_reopen(g);
	gc_ok(aliens_find(g->f.r, NULL, &found, &g->e));
	ck_assert_uint_eq(found.objects, n);
	ck_assert_uint_eq(found.findings[0].versions, 3);
	ck_assert(object_is_guarded(found.findings[n - 1].object));
	gc_expect(g, 0);
	/* Of another size it need not be read. */
	gc_ok(store_list(gc_store(g), "", put_more, more, &g->e));
	gc_reopen(g);
	gc_ok(aliens_find(g->f.r, NULL, &found, &g->e));
	ck_assert_uint_eq(found.objects, n);
	ck_assert_uint_eq(found.findings[0].versions, 4);
	gc_expect(g, 0);
}
END_TEST

/* What was there, but for a bit of its first byte, or its last. */
static int put_flipped(void *arg, const struct store_entry *entry,
		       struct err *e)
{
	CLEANUP(buf_done) struct buf b;

	(void)e;
	buf_init(&b, 1);
	if (!object_is_guarded(entry->name))
		return 0;
	repo_get(gc_store(g), entry->name, &b);
	b.data[*(int *)arg ? b.len - 1 : 0] ^= 1;
	repo_set(gc_store(g), entry->name, b.data, b.len);
	return 0;
}

START_TEST(one_bit_of_what_is_on_top_tells)
{
	struct aliens_result found;
	size_t n = 0;
	int last = _i;

	gc_ok(store_list(gc_store(g), "", put_again, &n, &g->e));
	gc_ok(store_list(gc_store(g), "", put_flipped, &last, &g->e));
	gc_reopen(g);
	gc_ok(aliens_find(g->f.r, NULL, &found, &g->e));
	ck_assert_uint_eq(found.objects, n);
	gc_expect(g, 0);
}
END_TEST

/* The first object's, which there are three of. */
static int find_with(unsigned int first, unsigned int refused,
		     const struct fault *f)
{
	struct aliens_result found;

	turning = NULL;
	gc_reopen(g);
	if (f)
		fault_add(gc_store(g), f);
	turning = gc_store(g);
	turns_first = first;
	turns_refused = refused;
	turned_to = 0;
	err_clear(&g->e);
	return aliens_find(g->f.r, NULL, &found, &g->e);
}

/* Nobody is told that there is nothing, nor left with what is on top. */
START_TEST(what_cannot_be_looked_at_is_told_and_turned_back)
{
	static const enum fault_call calls[] = { FAULT_SIZE, FAULT_READ };
	struct fault f = { .action = FAULT_FAIL,
			   .prefix = "config",
			   .code = ERR_IO,
			   .nth = 2 };
	size_t n = 0;

	gc_ok(store_list(gc_store(g), "", put_again, &n, &g->e));
	gc_ok(store_list(gc_store(g), "", put_garbage, NULL, &g->e));
	/* Until there is none, and to each of three; one more turns back. */
	for (unsigned int i = 0; i < 4 + 3; i++) {
		ck_assert_int_eq(find_with(i, 1, NULL), -1);
		ck_assert_int_eq(g->e.code, ERR_DENIED);
		ck_assert_uint_eq(turned_to, 1);
	}
	for (size_t i = 0; i < 2; i++) {
		f.call = calls[i];
		ck_assert_int_eq(find_with(0, 0, &f), -1);
		ck_assert_int_eq(g->e.code, ERR_IO);
		ck_assert_uint_eq(turned_to, 1);
	}
	/* Of two failures the first is told. */
	f.call = FAULT_SIZE;
	ck_assert_int_eq(find_with(2, 1, &f), -1);
	ck_assert_int_eq(g->e.code, ERR_IO);
	gc_reopen(g);
	gc_expect(g, 0);
}
END_TEST

/* Where packs are read ahead, a repair gives nothing up for it, either. */
START_TEST(a_repair_from_afar_gives_nothing_up_for_garbage_on_top)
{
	const size_t given_up = gc_objects(g, "quarantine/");

	gc_reopen(g);
	gc_ok(store_list(gc_store(g), "", put_garbage, NULL, &g->e));
	gc_reopen(g);
	fault_set_far(gc_store(g));
	gc_repair(g);
	ck_assert_uint_eq(gc_objects(g, "quarantine/"), given_up);
	gc_expect_sound(g);
	gc_expect(g, 0);
}
END_TEST

/* With the key, one can say what one likes; but not first. */
START_TEST(what_authenticates_does_not_count_above_what_was_there)
{
	const struct instant until = guard_locked_until(g, 0);
	struct object_name lock = gc_last(g, "locks/");
	struct object_id first;
	struct record r;

	gc_reopen(g);
	record_init(&r, OBJECT_LOCK);
	ck_assert(object_name_parse(OBJECT_LOCK, lock.s, &first, &r.id));
	r.snapshot = first;
	r.until = g->now;
	r.time = g->now;
	gc_ok(record_put(gc_store(g), repository_keys(g->f.r), &r,
			 STORE_REPLACE, &g->e));
	gc_reopen(g);
	ck_assert_int_eq(instant_compare(guard_locked_until(g, 0), until), 0);
}
END_TEST

static const char *const name = "guards/00000000000000000000000000000001";

static int open_it(struct record *r)
{
	return record_get(gc_store(g), repository_keys(g->f.r), OBJECT_GUARD,
			  name, r, &g->e);
}

/* By whoever knew that it would be written. */
START_TEST(garbage_below_is_passed_over)
{
	struct record r;
	struct object_id first;

	for (int i = 0; i < 2; i++) {
		knows_nothing = i;
		gc_reopen(g);
		repo_set(gc_store(g), name, "a", 1);
		record_init(&r, OBJECT_GUARD);
		ck_assert(object_name_parse(OBJECT_GUARD, name, &first, &r.id));
		r.until = g->now;
		gc_ok(record_put(gc_store(g), repository_keys(g->f.r), &r,
				 STORE_REPLACE, &g->e));
		repo_set(gc_store(g), name, "b", 1);
		ck_assert_int_eq(open_it(&r), 1);
		ck_assert_int_eq(instant_compare(r.until, g->now), 0);
		record_done(&r);
	}
}
END_TEST

START_TEST(an_object_that_no_version_of_opens_is_damaged)
{
	struct record r;
	uint64_t reads;

	repo_set(gc_store(g), name, "a", 1);
	repo_set(gc_store(g), name, "b", 1);
	for (int i = 0; i < 2; i++) {
		CLEANUP(buf_done) struct buf b;

		knows_nothing = i;
		reads = fault_calls(gc_store(g), FAULT_READ);
		ck_assert_int_eq(open_it(&r), -1);
		ck_assert_int_eq(g->e.code, ERR_CORRUPT);
		/* Each once, and the newest again. */
		ck_assert_uint_le(fault_calls(gc_store(g), FAULT_READ) - reads,
				  5);
		/* Turned back to the newest, whichever that is. */
		repo_set(gc_store(g), name, "c", 1);
		repo_get(gc_store(g), name, &b);
		ck_assert_int_eq(b.data[0], 'c');
	}
}
END_TEST

/* One on top of another, whatever is in them. */
static void put_two(void)
{
	struct record r;
	struct object_id first;

	knows_nothing = false;
	gc_reopen(g);
	repo_set(gc_store(g), name, "a", 1);
	record_init(&r, OBJECT_GUARD);
	ck_assert(object_name_parse(OBJECT_GUARD, name, &first, &r.id));
	r.until = g->now;
	gc_ok(record_put(gc_store(g), repository_keys(g->f.r), &r,
			 STORE_REPLACE, &g->e));
	ck_assert(__real_store_has_several(gc_store(g), name));
}

/* So often it is damaged, and then it says that, or fails otherwise. */
struct saying {
	int damaged, says;
};

static int say(void *arg, struct err *e)
{
	struct saying *x = arg;

	if (x->damaged-- > 0)
		return err_set(e, ERR_CORRUPT, "it does not open");
	return x->says < 0 ? err_set(e, ERR_IO, "it cannot be read") : x->says;
}

/* What was wrong with others is nothing that went wrong; 0 is an answer. */
START_TEST(what_one_version_says_is_all_that_is_said)
{
	for (int i = 0; i < 2 * 2; i++) {
		struct saying x = { .damaged = 1 + i / 2, .says = i % 2 };

		put_two();
		knows_nothing = i / 2;
		err_clear(&g->e);
		ck_assert_int_eq(
			versions_open(gc_store(g), name, say, &x, &g->e),
			i % 2);
		ck_assert_int_eq(g->e.code, ERR_NONE);
		ck_assert_str_eq(g->e.text, "");
	}
}
END_TEST

/* Whoever takes that for damage gives up what is there. */
START_TEST(what_cannot_be_read_just_now_is_not_damaged)
{
	for (int i = 0; i < 2 * 2; i++) {
		struct saying x = { .damaged = i / 2, .says = -1 };

		put_two();
		knows_nothing = i % 2;
		turning = gc_store(g);
		ck_assert_int_eq(
			versions_open(gc_store(g), name, say, &x, &g->e), -1);
		ck_assert_int_eq(g->e.code, ERR_IO);
		/* It was not asked again. */
		ck_assert_int_eq(x.damaged, -1);
		turning = NULL;
	}
}
END_TEST

/* Nor is that it is damaged; and the newest is there again. */
START_TEST(what_cannot_be_turned_is_told)
{
	struct saying x = { .damaged = 9 };

	put_two();
	for (int i = 0; i < 2; i++) {
		knows_nothing = i;
		turning = gc_store(g);
		turns_first = 1;
		turns_refused = 1;
		x.damaged = 9;
		ck_assert_int_eq(
			versions_open(gc_store(g), name, say, &x, &g->e), -1);
		ck_assert_int_eq(g->e.code, ERR_DENIED);
		ck_assert_uint_eq(turned_to, 0);
		turning = NULL;
	}
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, garbage_on_top_of_everything_changes_nothing);
	tcase_add_test(tc, what_somebody_else_put_on_top_is_found);
	tcase_add_loop_test(tc, one_bit_of_what_is_on_top_tells, 0, 2);
	tcase_add_test(tc, what_cannot_be_looked_at_is_told_and_turned_back);
	tcase_add_test(tc,
		       a_repair_from_afar_gives_nothing_up_for_garbage_on_top);
	tcase_add_test(tc,
		       what_authenticates_does_not_count_above_what_was_there);
	tcase_add_test(tc, nor_does_it_where_nobody_knows_of_it);
	tcase_add_test(tc, garbage_below_is_passed_over);
	tcase_add_test(tc, an_object_that_no_version_of_opens_is_damaged);
	tcase_add_test(tc, what_one_version_says_is_all_that_is_said);
	tcase_add_test(tc, what_cannot_be_read_just_now_is_not_damaged);
	tcase_add_test(tc, what_cannot_be_turned_is_told);
}

CHECK_MAIN("storage/versions", cases)

/*
 * Buckets with object lock: whether they have it, what guards what, and what a
 * key that may only write can still do.
 */
#include "tests/support/s3_lock_frame.h"

/* ---- whether there are locks --------------------------------------------- */

START_TEST(whether_there_are_locks_is_asked_once)
{
	set_up("locked", "");
	ck_assert_int_eq(store_can_guard(store, &e), 1);
	ck_assert_int_eq(store_can_guard(store, &e), 1);
	expect_count("GetObjectLockConfiguration", 1);
	tear_down();
	set_up("plain", "");
	ck_assert_int_eq(store_can_guard(store, &e), 0);
	ck_assert_int_eq(store_can_guard(store, &e), 0);
	expect_count("GetObjectLockConfiguration", 1);
	/* Nothing is written as if it were. */
	ck_assert_int_eq(store_guard(store, "a", in_s(HOUR), &e), -1);
	ck_assert_int_eq(e.code, ERR_USAGE);
	ck_assert_int_eq(store_hold(store, "a", true, &e), -1);
	ck_assert_int_eq(e.code, ERR_USAGE);
	tear_down();
	set_up("locked", "&lock=off");
	ck_assert_int_eq(store_can_guard(store, &e), 0);
	expect_count("GetObjectLockConfiguration", 0);
	ck_assert_int_eq(store_guard(store, "a", in_s(HOUR), &e), -1);
	ck_assert_ptr_nonnull(strstr(e.text, "lock=off"));
	tear_down();
}
END_TEST

START_TEST(what_does_not_say_whether_is_not_taken_for_no)
{
	static const struct {
		const char *more;
		int r;
		enum err_code code;
		const char *words;
	} rows[] = {
		{ ", \"code\": \"AccessDenied\"", -1, ERR_DENIED,
		  "access denied" },
		{ ", \"code\": \"NoSuchBucket\"", -1, ERR_NOT_FOUND,
		  "no such bucket" },
		{ ", \"code\": \"NotImplemented\", \"status\": 501", 0,
		  ERR_NONE, "" },
		{ ", \"code\": \"MethodNotAllowed\", \"status\": 405", 0,
		  ERR_NONE, "" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		set_up("locked", "");
		fault("GetObjectLockConfiguration", "error", rows[i].more);
		ck_assert_int_eq(store_can_guard(store, &e), rows[i].r);
		if (rows[i].r < 0) {
			ck_assert_int_eq(e.code, rows[i].code);
			ck_assert_ptr_nonnull(strstr(e.text, rows[i].words));
			/* It is asked again. */
			ck_assert_int_eq(store_can_guard(store, &e), 1);
		}
		tear_down();
	}
	set_up("locked", "");
	fault("GetObjectLockConfiguration", "error",
	      ", \"code\": \"AccessDenied\"");
	ck_assert_int_eq(store_can_guard(store, &e), -1);
	ck_assert_ptr_nonnull(
		strstr(e.hint, "s3:GetBucketObjectLockConfiguration"));
	ck_assert_ptr_nonnull(strstr(e.hint, "lock=off"));
	tear_down();
}
END_TEST

/* There is no object lock without versions, which what is read tells. */
START_TEST(who_may_not_ask_goes_on_where_no_versions_are_kept)
{
	static const struct {
		const char *bucket;
		const char *more;
		int r;
	} rows[] = { { "plain", "", 0 },
		     { "locked", "", -1 },
		     { "plain", "&lock=compliance", -1 } };
	char byte;
	size_t got;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		set_up(rows[i].bucket, rows[i].more);
		ck_ok(store_put(store, "a", "1", 1, 0, &e));
		ck_assert_int_eq(store_read(store, "a", 0, &byte, 1, &got, &e),
				 1);
		fault("GetObjectLockConfiguration", "error",
		      ", \"code\": \"AccessDenied\"");
		ck_assert_int_eq(store_can_guard(store, &e), rows[i].r);
		tear_down();
	}
}
END_TEST

START_TEST(locks_that_are_wanted_must_be_there)
{
	set_up("plain", "&lock=governance");
	ck_assert_int_eq(store_can_guard(store, &e), -1);
	ck_assert_int_eq(e.code, ERR_USAGE);
	ck_assert_ptr_nonnull(strstr(e.text, "lock=governance"));
	tear_down();
}
END_TEST

/* What the URL says, else the bucket's rule, else compliance. */
START_TEST(the_mode_is_the_one_that_was_asked_for)
{
	static const struct {
		const char *rule;
		const char *more;
		const char *mode;
	} rows[] = {
		{ NULL, "", "COMPLIANCE" },
		{ NULL, "&lock=governance", "GOVERNANCE" },
		{ "GOVERNANCE", "", "GOVERNANCE" },
		{ "COMPLIANCE", "", "COMPLIANCE" },
		{ "GOVERNANCE", "&lock=compliance", "COMPLIANCE" },
		{ "COMPLIANCE", "&lock=governance", "GOVERNANCE" },
	};
	char bucket[32];
	char told[64];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		(void)snprintf(bucket, sizeof(bucket), "rule-%zu", i);
		set_rule(bucket, rows[i].rule);
		set_up(bucket, rows[i].more);
		ck_assert_int_eq(store_can_guard(store, &e), 1);
		ck_assert_int_eq(
			strcasecmp(store_guard_mode(store), rows[i].mode), 0);
		put("data/aa/1", "1");
		ck_assert_int_eq(
			store_guard(store, "data/aa/1", in_s(HOUR * 240), &e),
			1);
		(void)snprintf(told, sizeof(told), "\"mode\": \"%s\"",
			       rows[i].rule ? rows[i].rule : rows[i].mode);
		/* What the rule locked stays in its mode, and gets longer. */
		ck_assert_uint_eq(told_in(bucket, told), 1);
		tear_down();
	}
}
END_TEST

START_TEST(a_rule_that_locks_all_wants_sums_of_all)
{
	static const char large[9 << 20] = "parts";

	set_rule("all-locked", "GOVERNANCE");
	set_up("all-locked", "");
	put("sessions/1", "1");
	put("sessions/2", "2");
	/* One was refused, and none after it. */
	expect_count("PutObject", 3);
	ck_ok(store_put(store, "data/aa/1", large, sizeof(large), 0, &e));
	tear_down();
}
END_TEST

/* A writer's stolen key: it may neither remove nor shorten, only add. */
START_TEST(a_key_that_may_only_write_takes_nothing_away)
{
	struct store *thief;
	struct store_guard g;
	struct instant until;

	set_up("locked", "");
	ck_assert_int_eq(store_can_guard(store, &e), 1);
	store_guard_new(store, in_s(2 * HOUR), is_data);
	put("data/aa/1", "mine");
	ck_assert_int_eq(store_guarded(store, "data/aa/1", &g, &e), 1);
	until = g.until;
	thief = opened_as("locked", "AKIDTHIEF",
			  "^(Get|List|Put|CreateM|UploadP|CompleteM)");
	/* Shorten. */
	ck_assert_int_eq(store_guard(thief, "data/aa/1", in_s(60), &e), 1);
	ck_assert_int_eq(store_guarded(store, "data/aa/1", &g, &e), 1);
	ck_assert_int_eq(instant_compare(g.until, until), 0);
	/* Delete. */
	ck_assert_int_eq(store_remove(thief, "data/aa/1", &e), -1);
	ck_assert_int_eq(e.code, ERR_DENIED);
	ck_assert_uint_eq(versions_in("locked"), 1);
	/* Overwrite. */
	put_to(thief, "data/aa/1", "forged", STORE_REPLACE);
	expect("data/aa/1", "forged");
	ck_assert_int_eq(store_turn(store, "data/aa/1", 1, &e), 1);
	expect("data/aa/1", "mine");
	ck_assert_int_eq(store_guarded(store, "data/aa/1", &g, &e), 1);
	ck_assert_int_eq(instant_compare(g.until, until), 0);
	store_close(thief);
	/* Nor may who removes anything else. */
	ck_assert_int_eq(store_remove(store, "data/aa/1", &e), -1);
	ck_assert_int_eq(e.code, ERR_DENIED);
	ck_assert_ptr_nonnull(strstr(e.text, "locked until"));
	ck_assert_uint_eq(versions_in("locked"), 2);
	tear_down();
}
END_TEST

/* What is on top must not have the guard in the place of what is below. */
START_TEST(of_several_versions_the_oldest_is_guarded_too)
{
	struct store_guard g;

	set_up("locked", "");
	put("data/aa/1", "mine");
	put_on_top("locked", "data/aa/1", FORGED, 3);
	expect_list("data/aa/1=6 ");
	ck_assert_int_eq(store_guard(store, "data/aa/1", in_s(HOUR), &e), 1);
	ck_assert_uint_eq(told_in("locked", "\"COMPLIANCE\""), 2);
	ck_assert_int_eq(store_turn(store, "data/aa/1", 2, &e), 1);
	ck_assert_int_eq(store_guarded(store, "data/aa/1", &g, &e), 1);
	ck_assert_int_eq(g.until.sec, 0);
	ck_assert_int_eq(store_turn(store, "data/aa/1", 1, &e), 1);
	ck_assert_int_eq(store_guarded(store, "data/aa/1", &g, &e), 1);
	ck_assert_int_ge(g.until.sec, in_s(HOUR - 60).sec);
	/* Of one that is turned to, that one alone. */
	ck_assert_int_eq(store_hold(store, "data/aa/1", true, &e), 1);
	ck_assert_uint_eq(told_in("locked", "\"held\": true"), 1);
	ck_assert_int_eq(store_turn(store, "data/aa/1", 0, &e), 1);
	ck_assert_int_eq(store_guarded(store, "data/aa/1", &g, &e), 1);
	ck_assert(!g.held); /* the newest is not */
	ck_assert_int_ge(g.until.sec, in_s(HOUR - 60).sec);
	ck_assert_int_eq(store_hold(store, "data/aa/1", false, &e), 1);
	ck_assert_uint_eq(told_in("locked", "\"held\": true"), 0);
	/* One that is guarded, and none of the others goes. */
	ck_assert_int_eq(store_remove(store, "data/aa/1", &e), -1);
	ck_assert_int_eq(e.code, ERR_DENIED);
	ck_assert_uint_eq(versions_in("locked"), 4);
	tear_down();
}
END_TEST

START_TEST(none_goes_when_any_is_guarded)
{
	set_up("locked", "");
	put("data/aa/1", "mine");
	put_on_top("locked", "data/aa/1", FORGED, 2);
	put_on_top("locked", "data/aa/1", DELETED, 1);
	for (unsigned int n = 2; n <= 3; n++) {
		ck_assert_int_eq(store_turn(store, "data/aa/1", n, &e), 1);
		ck_assert_int_eq(store_hold(store, "data/aa/1", true, &e), 1);
		ck_assert_int_eq(store_remove(store, "data/aa/1", &e), -1);
		ck_assert_int_eq(e.code, ERR_DENIED);
		ck_assert_ptr_nonnull(strstr(e.text, "it is held"));
		ck_assert_uint_eq(versions_in("locked"), 4);
	}
	/* Released are those that were held when they were the newest, too. */
	ck_assert_int_eq(store_turn(store, "data/aa/1", 0, &e), 1);
	put_on_top("locked", "data/aa/1", FORGED, 1);
	expect_list("data/aa/1=6 ");
	ck_assert_int_eq(store_hold(store, "data/aa/1", false, &e), 1);
	ck_assert_uint_eq(told_in("locked", "\"held\": true"), 0);
	ck_ok(store_remove(store, "data/aa/1", &e));
	ck_assert_uint_eq(versions_in("locked"), 0);
	tear_down();
}
END_TEST

/* As Ceph 16 does: an upload in parts is not locked by what it began with. */
START_TEST(what_the_server_does_not_lock_is_locked_afterwards)
{
	static const char large[9 << 20] = "two parts";
	char name[32];

	for (unsigned int locks = 0; locks < 2; locks++) {
		set_up("locked", "");
		(void)s3_server_tell(&server,
				     "{\"do\": \"set\", \"parts_lock\": %s}",
				     locks ? "true" : "false");
		ck_assert_int_eq(store_can_guard(store, &e), 1);
		store_guard_new(store, in_s(HOUR), is_data);
		for (int i = 0; i < 3; i++) {
			(void)snprintf(name, sizeof(name), "data/aa/%d", i);
			ck_ok(store_put(store, name, large, sizeof(large), 0,
					&e));
		}
		ck_assert_uint_eq(told_in("locked", "\"COMPLIANCE\""), 3);
		/* It is looked at once, and known then. */
		expect_count("GetObject", 1);
		expect_count("PutObjectRetention", locks ? 0 : 3);
		tear_down();
	}
}
END_TEST

/* An acknowledged object is locked: else its writing fails. */
START_TEST(what_cannot_be_locked_afterwards_fails)
{
	static const char large[9 << 20] = "two parts";

	set_up("locked", "");
	(void)s3_server_tell(&server,
			     "{\"do\": \"set\", \"parts_lock\": false}");
	ck_assert_int_eq(store_can_guard(store, &e), 1);
	store_guard_new(store, in_s(HOUR), is_data);
	fault("PutObjectRetention", "error", ", \"code\": \"AccessDenied\"");
	ck_assert_int_eq(
		store_put(store, "data/aa/1", large, sizeof(large), 0, &e), -1);
	ck_assert_int_eq(e.code, ERR_DENIED);
	ck_assert_ptr_nonnull(strstr(e.hint, "s3:PutObjectRetention"));
	(void)s3_server_tell(&server,
			     "{\"do\": \"set\", \"parts_lock\": true}");
	tear_down();
}
END_TEST

START_TEST(what_is_locked_is_sent_with_a_sum)
{
	static const char large[9 << 20] = "two parts";

	for (unsigned int i = 0; i < 2; i++) {
		set_up("locked", "");
		ck_assert_int_eq(store_can_guard(store, &e), 1);
		store_guard_new(store, in_s(HOUR), is_data);
		ck_ok(store_put(store, "data/aa/1", large,
				i ? sizeof(large) : 10, 0, &e));
		/* None was refused for want of it. */
		expect_count("PutObject", i ? 0 : 1);
		expect_count("UploadPart", i ? 2 : 0);
		ck_assert_uint_eq(told_in("locked", "\"COMPLIANCE\""), 1);
		tear_down();
	}
}
END_TEST

/* ---- what guards it -------------------------------------------------------
 */

/* Whoever may not see what guards it is told so, not that nothing does. */
START_TEST(guards_that_may_not_be_seen_are_not_none)
{
	struct store_guard g;
	struct store *other;

	set_up("locked", "");
	put("a", "1");
	other = opened_as("locked", "AKIDBLIND",
			  "^(?!GetObjectRetention|GetObjectLegalHold)");
	ck_assert_int_eq(store_guarded(other, "a", &g, &e), -1);
	ck_assert_int_eq(e.code, ERR_DENIED);
	ck_assert_ptr_nonnull(strstr(e.hint, "s3:GetObjectRetention"));
	store_close(other);
	/* Once replies have told, one request is enough. */
	ck_assert_int_eq(store_guard(store, "a", in_s(HOUR), &e), 1);
	ck_assert_int_eq(store_guarded(store, "a", &g, &e), 1);
	reset_counts();
	ck_assert_int_eq(store_guarded(store, "a", &g, &e), 1);
	ck_assert(g.until.sec && !g.held);
	expect_count("GetObject", 1);
	expect_count("GetObjectRetention", 0);
	expect_count("GetObjectLegalHold", 0);
	tear_down();
}
END_TEST

/* By a client that has not seen yet that replies would say it. */
static int guarded_anew(struct store_guard *ret)
{
	struct store *other = opened("locked", server.port, "");
	const int r = store_guarded(other, "a", ret, &e);

	store_close(other);
	return r;
}

START_TEST(what_a_reply_does_not_say_is_asked_for)
{
	struct store_guard g;

	set_up("locked", "");
	put("a", "1");
	ck_assert_int_eq(store_guard(store, "a", in_s(HOUR), &e), 1);
	fault("GetObject", "no_lock", ", \"every\": 1");
	ck_assert_int_eq(guarded_anew(&g), 1);
	ck_assert_int_gt(instant_compare(g.until, in_s(HOUR / 2)), 0);
	ck_assert(!g.held);
	ck_assert_int_eq(store_hold(store, "a", true, &e), 1);
	ck_assert_int_eq(guarded_anew(&g), 1);
	ck_assert(g.held);
	ck_assert_int_eq(store_hold(store, "a", false, &e), 1);
	ck_assert_int_eq(guarded_anew(&g), 1);
	ck_assert(!g.held);
	expect_count("GetObjectRetention", 3);
	tear_down();
}
END_TEST

/* What says nothing that can be understood does not say that nothing does. */
START_TEST(what_is_said_of_guards_has_to_make_sense)
{
	static const char *const garbage[] = { "GetObjectRetention",
					       "GetObjectLegalHold" };
	struct store_guard g;

	for (size_t i = 0; i < 2; i++) {
		set_up("locked", "");
		put("a", "1");
		ck_assert_int_eq(store_guard(store, "a", in_s(HOUR), &e), 1);
		ck_assert_int_eq(store_hold(store, "a", i, &e), 1);
		fault("GetObject", "no_lock", ", \"every\": 1");
		fault(garbage[i], "garbage", "");
		ck_assert_int_eq(guarded_anew(&g), -1);
		ck_assert_int_eq(e.code, ERR_IO);
		tear_down();
	}
	set_up("locked", "");
	put("a", "1");
	ck_assert_int_eq(store_guard(store, "a", in_s(HOUR), &e), 1);
	fault("GetObject", "odd_lock", "");
	ck_assert_int_eq(guarded_anew(&g), -1);
	ck_assert_int_eq(e.code, ERR_IO);
	ck_assert_ptr_nonnull(strstr(e.text, "locked until \"soon\""));
	tear_down();
}
END_TEST

START_TEST(who_may_not_guard_is_told_what_is_missing)
{
	struct store *other;

	set_up("locked", "");
	put("a", "1");
	other = opened_as("locked", "AKIDNOGUARD",
			  "^(?!PutObjectRetention|PutObjectLegalHold|"
			  "DeleteObjectVersion)");
	ck_assert_int_eq(store_guard(other, "a", in_s(HOUR), &e), -1);
	ck_assert_int_eq(e.code, ERR_DENIED);
	ck_assert_ptr_nonnull(strstr(e.hint, "s3:PutObjectRetention"));
	ck_assert_int_eq(store_hold(other, "a", true, &e), -1);
	ck_assert_ptr_nonnull(strstr(e.hint, "s3:PutObjectLegalHold"));
	ck_assert_int_eq(store_remove(other, "a", &e), -1);
	ck_assert_int_eq(e.code, ERR_DENIED);
	ck_assert_ptr_nonnull(strstr(e.hint, "s3:DeleteObjectVersion"));
	store_close(other);
	tear_down();
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_unchecked_fixture(tc, start_server, stop_server);
	tcase_add_test(tc, who_may_not_ask_goes_on_where_no_versions_are_kept);
	tcase_add_test(tc, whether_there_are_locks_is_asked_once);
	tcase_add_test(tc, what_does_not_say_whether_is_not_taken_for_no);
	tcase_add_test(tc, locks_that_are_wanted_must_be_there);
	tcase_add_test(tc, the_mode_is_the_one_that_was_asked_for);
	tcase_add_test(tc, a_rule_that_locks_all_wants_sums_of_all);
	tcase_add_test(tc, a_key_that_may_only_write_takes_nothing_away);
	tcase_add_test(tc, of_several_versions_the_oldest_is_guarded_too);
	tcase_add_test(tc, none_goes_when_any_is_guarded);
	tcase_add_test(tc, what_the_server_does_not_lock_is_locked_afterwards);
	tcase_add_test(tc, what_cannot_be_locked_afterwards_fails);
	tcase_add_test(tc, what_is_locked_is_sent_with_a_sum);
	tcase_add_test(tc, guards_that_may_not_be_seen_are_not_none);
	tcase_add_test(tc, what_a_reply_does_not_say_is_asked_for);
	tcase_add_test(tc, what_is_said_of_guards_has_to_make_sense);
	tcase_add_test(tc, who_may_not_guard_is_told_what_is_missing);
}

CHECK_MAIN("storage/s3/lock", cases)

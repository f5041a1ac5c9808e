/*
 * A server that is silent, and how calls learn from one another that it is:
 * s3_silence.h, and calls of an S3 client by it.  Time and the server are
 * played here; no call waits, and each try takes what its limits allow.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/seam.h"
#include "storage/stores/s3_call.h"
#include "storage/stores/s3_silence.h"
#include "storage/stores/store.h"
#include "tests/support/check_main.h"

#define SECOND	   INT64_C(1000)
#define MINUTE	   (60 * SECOND)
#define CONNECT_MS (10 * SECOND)
#define STALL_MS   (30 * SECOND)

static struct err e;

/* ---- Clocks ------------------------------------------------------------- */

static _Atomic int64_t boot_ms;

int64_t __wrap_clock_boot_ms(void);
int64_t __wrap_clock_boot_ms(void)
{
	return boot_ms;
}

struct instant __wrap_clock_now(void);
struct instant __wrap_clock_now(void)
{
	return instant_add_ms((struct instant){ .sec = 1700000000 }, boot_ms);
}

static atomic_bool stopping;
static int64_t stop_at_ms;	   /* 0: never */
static _Atomic int64_t hold_at_ms; /* whoever sleeps then waits; 0: nobody */

void __wrap_clock_sleep_ms(int64_t ms);
void __wrap_clock_sleep_ms(int64_t ms)
{
	boot_ms += ms;
	if (stop_at_ms && boot_ms >= stop_at_ms)
		stopping = true;
	while (hold_at_ms && boot_ms >= hold_at_ms)
		(void)sched_yield();
}

/* ---- A server ----------------------------------------------------------- */

enum manner {
	ANSWERS,
	IS_BUSY,       /* 503 */
	TAKES_NOTHING, /* no connection */
	SAYS_NOTHING,  /* on one that it took */
	IS_NOT_THERE,  /* refuses connections, at once */
	IS_STRANGE,    /* its certificate is not to be trusted */
};

static enum manner manner;
static int64_t back_ms; /* from when on it answers; 0: as manner says */
static _Thread_local unsigned int tries, fresh;
static _Thread_local int64_t stall_ms,
	connect_ms;		/* of the last, as it was asked for */
static void (*meanwhile)(void); /* before a try ends */

static void end(struct s3_exchange *x, enum s3_http_outcome outcome,
		const char *why)
{
	x->outcome = outcome;
	(void)snprintf(x->why, sizeof(x->why), "%s", why);
}

static void answer(struct s3_exchange *x, int status)
{
	x->outcome = S3_HTTP_REPLIED;
	x->reply.status = status;
	boot_ms += 5;
}

static bool is_back(int64_t by_ms)
{
	return back_ms && by_ms >= back_ms;
}

/* Silent for as long as it may be, unless the server is back by then. */
static void be_silent(struct s3_exchange *x, int64_t ms,
		      enum s3_http_outcome outcome)
{
	if (is_back(boot_ms + ms)) {
		boot_ms = boot_ms > back_ms ? boot_ms : back_ms;
		answer(x, 200);
		return;
	}
	boot_ms += ms;
	end(x, outcome, "time was up");
}

void __wrap_s3_http_start(struct s3_http *h, struct s3_exchange *x);
void __wrap_s3_http_start(struct s3_http *h UNUSED, struct s3_exchange *x)
{
	void (*now)(void) = meanwhile;

	tries++;
	fresh += x->is_fresh;
	stall_ms = x->stall_ms;
	connect_ms = x->connect_ms;
	meanwhile = NULL;
	if (now)
		now();
	memset(&x->reply, 0, sizeof(x->reply));
	switch (is_back(boot_ms) ? ANSWERS : manner) {
	case ANSWERS:
		answer(x, 200);
		break;
	case IS_BUSY:
		answer(x, 503);
		break;
	case TAKES_NOTHING:
		be_silent(x, connect_ms ? connect_ms : CONNECT_MS,
			  S3_HTTP_UNREACHED);
		break;
	case SAYS_NOTHING:
		be_silent(x, stall_ms ? stall_ms : STALL_MS, S3_HTTP_TIMEOUT);
		break;
	case IS_NOT_THERE:
		end(x, S3_HTTP_UNREACHED, "nobody listens");
		break;
	case IS_STRANGE:
		end(x, S3_HTTP_UNTRUSTED, "it is a stranger's");
		break;
	}
}

bool __wrap_s3_http_wait_ms(struct s3_http *h, struct s3_exchange *x,
			    int64_t ms);
bool __wrap_s3_http_wait_ms(struct s3_http *h UNUSED,
			    struct s3_exchange *x UNUSED, int64_t ms UNUSED)
{
	return true;
}

/* ---- Clients ------------------------------------------------------------ */

static struct s3_client *client, *other, *elsewhere;

static struct s3_client *client_of(const char *url)
{
	const struct s3_defaults none = { .region = NULL };
	struct s3_client *c = NULL;
	struct s3_place place;

	ck_ok(s3_place_parse(url, &none, &place, &e));
	ck_ok(s3_client_new(&place, &c, &e));
	return c;
}

static void set_up(void)
{
	ck_assert_int_eq(setenv("AWS_ACCESS_KEY_ID", "id", 1), 0);
	ck_assert_int_eq(setenv("AWS_SECRET_ACCESS_KEY", "secret", 1), 0);
	err_clear(&e);
	boot_ms = 100 * MINUTE;
	manner = ANSWERS;
	back_ms = 0;
	meanwhile = NULL;
	stopping = false;
	stop_at_ms = 0;
	hold_at_ms = 0;
	store_stop_when(&stopping);
	s3_client_forget_all();
	client = client_of("s3://bucket/p?endpoint=http://127.0.0.1:9");
	other = client_of("s3://another/q?endpoint=http://127.0.0.1:9");
	elsewhere = client_of("s3://bucket/p?endpoint=http://127.0.0.1:8");
	tries = fresh = 0;
}

static void tear_down(void)
{
	s3_client_free(client);
	s3_client_free(other);
	s3_client_free(elsewhere);
}

static int64_t took_ms; /* the last call */

static int call(struct s3_client *c, const char *method)
{
	struct s3_call x = { .method = method,
			     .right = "s3:GetObject",
			     .name = "k" };
	const int64_t began = boot_ms;
	int r;

	tries = fresh = 0;
	r = s3_call(c, &x, &e);
	took_ms = boot_ms - began;
	ck_assert_uint_eq(x.attempts, tries);
	return r;
}

/* It fails after so many tries. */
static void fails(struct s3_client *c, unsigned int n)
{
	err_clear(&e);
	ck_assert_int_eq(call(c, "GET"), -1);
	ck_assert_int_eq(e.code, ERR_BUSY);
	ck_assert_msg(tries == n, "%u tries, not %u, in %lld ms: %s", tries, n,
		      (long long)took_ms, e.text);
}

static void passes(struct s3_client *c)
{
	ck_ok(call(c, "GET"));
}

static void pass(int64_t ms)
{
	boot_ms += ms;
}

/* ---- With all patience -------------------------------------------------- */

/* Half a minute, and what a probe that began by then takes. */
static void fails_slowly(struct s3_client *c)
{
	err_clear(&e);
	ck_assert_int_eq(call(c, "GET"), -1);
	ck_assert_int_eq(e.code, ERR_BUSY);
	ck_assert_uint_ge(tries, 1);
	ck_assert_uint_le(tries, 3);
	ck_assert_int_ge(took_ms, 3 * CONNECT_MS);
	ck_assert_int_le(took_ms, 4 * CONNECT_MS + SECOND);
}

START_TEST(the_patient_lose_nothing_for_three_minutes)
{
	const int64_t began = boot_ms;

	manner = TAKES_NOTHING;
	while (boot_ms - began < 2 * MINUTE) {
		fails(client, 3);
		ck_assert_int_ge(took_ms, 3 * CONNECT_MS);
		ck_assert_ptr_nonnull(strstr(e.text, "cannot be reached: time "
						     "was up, after 3 tries"));
	}
	fails(client, 3);
	/* Who began before the three minutes were over has no more than others
	 * have then. */
	pass(15 * SECOND);
	fails_slowly(client);
	ck_assert_int_ge(boot_ms - began, 3 * MINUTE);
	fails_slowly(client);
}
END_TEST

START_TEST(an_outage_that_was_survived_is_survived)
{
	manner = TAKES_NOTHING;
	/* Each of two in turn, the second of which the server is back for. */
	back_ms = boot_ms + 55 * SECOND;
	fails(client, 3);
	passes(client);
	back_ms = boot_ms + 85 * SECOND;
	manner = SAYS_NOTHING;
	passes(other);
	ck_assert_int_ge(took_ms, 85 * SECOND);
	ck_assert_int_le(took_ms, 86 * SECOND);
}
END_TEST

/* He is refused at once. */
static void is_refused(struct s3_client *c)
{
	s3_client_set_patience(c, STORE_HURRIED);
	fails(c, 0);
	ck_assert_int_eq(took_ms, 0);
	s3_client_set_patience(c, STORE_PATIENT);
}

/* Until it is given up for good, by so many tries. */
static void wear_out(struct s3_client *c, unsigned int n)
{
	manner = TAKES_NOTHING;
	for (unsigned int i = 0; i < n; i += 3)
		fails(c, 3);
	is_refused(c);
}

START_TEST(the_patient_wait_for_their_turn)
{
	wear_out(client, 18);
	/* It is back soon after it was asked. */
	pass(SECOND);
	manner = ANSWERS;
	passes(client);
	ck_assert_uint_eq(tries, 1);
	ck_assert_int_ge(took_ms, 8 * SECOND);
	ck_assert_int_le(took_ms, 10 * SECOND);
	/* It is so only once the own probe has failed. */
	wear_out(client, 18);
	pass(8 * SECOND);
	back_ms = boot_ms + 15 * SECOND;
	passes(client);
	ck_assert_uint_eq(tries, 2);
	ck_assert_int_le(took_ms, 3 * CONNECT_MS);
}
END_TEST

START_TEST(who_waits_is_stopped)
{
	wear_out(client, 18);
	stop_at_ms = boot_ms + 2 * SECOND;
	ck_assert_int_eq(call(client, "GET"), -1);
	ck_assert_int_eq(e.code, ERR_INTERRUPTED);
	ck_assert_uint_eq(tries, 0);
	ck_assert_int_le(took_ms, 3 * SECOND);
	/* And waits no more from then on. */
	fails(client, 0);
	ck_assert_int_eq(took_ms, 0);
}
END_TEST

static pthread_t waiter;
static atomic_bool waiter_ended;
static int waiter_result;

static void *wait_beside(void *arg UNUSED)
{
	struct s3_call x = { .method = "GET",
			     .right = "s3:GetObject",
			     .name = "k" };
	struct err why;

	waiter_result = s3_call(other, &x, &why);
	waiter_ended = true;
	return NULL;
}

/* It lasts, as its bytes move slowly, and is answered. */
static void last_long(void)
{
	const int64_t until = boot_ms + 45 * SECOND;

	hold_at_ms = until;
	ck_assert_int_eq(pthread_create(&waiter, NULL, wait_beside, NULL), 0);
	while (boot_ms < until && !waiter_ended)
		(void)sched_yield();
	manner = ANSWERS;
}

START_TEST(the_patient_wait_for_a_probe_that_lasts)
{
	wear_out(client, 18);
	pass(10 * SECOND);
	meanwhile = last_long;
	passes(client);
	hold_at_ms = 0;
	ck_assert_int_eq(pthread_join(waiter, NULL), 0);
	ck_assert_int_eq(waiter_result, 0);
}
END_TEST

static void sleep_long(void)
{
	pass(4 * MINUTE);
}

/* As a machine that was suspended sees it. */
START_TEST(a_sleep_is_no_silence)
{
	manner = TAKES_NOTHING;
	meanwhile = sleep_long;
	fails(client, 1);
	fails(client, 3);
	fails(client, 3);
	/* With others before it. */
	meanwhile = sleep_long;
	fails(other, 1);
	fails(other, 3);
	fails(other, 3);
}
END_TEST

static void ask_beside(void)
{
	const unsigned int mine = tries;
	const unsigned int my_fresh = fresh;

	is_refused(other);
	ck_assert_ptr_nonnull(strstr(e.text, "and it is being asked again ("));
	tries = mine;
	fresh = my_fresh;
}

START_TEST(then_one_asks_and_all_others_are_told)
{
	wear_out(client, 18);
	is_refused(other);
	ck_assert_msg(strstr(e.text,
			     "\"127.0.0.1:9\" is away: no reply to 18 tries "
			     "since 2023-11-14T23:53:20Z, and it is asked "
			     "again in 10s (time was up)") != NULL,
		      "%s", e.text);
	fails(elsewhere, 3);
	/* That took so long that it is time. */
	meanwhile = ask_beside;
	s3_client_set_patience(client, STORE_HURRIED);
	fails(client, 1);
	ck_assert_uint_eq(fresh, 1);
	pass(9 * SECOND);
	is_refused(client);
	ck_assert_ptr_nonnull(strstr(e.text, "again in 1s"));
	pass(SECOND);
	manner = ANSWERS;
	passes(client);
	manner = TAKES_NOTHING;
	fails(other, 3);
}
END_TEST

START_TEST(any_reply_ends_it)
{
	wear_out(client, 18);
	pass(10 * SECOND);
	manner = IS_BUSY;
	fails(client, 8);
	wear_out(other, 18);
	pass(10 * SECOND);
	manner = IS_STRANGE;
	ck_assert_int_eq(call(client, "GET"), -1);
	ck_assert_int_eq(e.code, ERR_DENIED);
	manner = TAKES_NOTHING;
	fails(client, 3);
}
END_TEST

START_TEST(what_is_known_for_a_minute_is_old)
{
	wear_out(client, 18);
	pass(MINUTE);
	fails(client, 3);
	fails(client, 3);
}
END_TEST

START_TEST(who_is_refused_has_sent_nothing)
{
	uint64_t before;

	wear_out(client, 18);
	s3_client_set_patience(client, STORE_HURRIED);
	before = seam_calls();
	ck_assert_int_eq(call(client, "PUT"), -1);
	ck_assert_uint_eq(tries, 0);
	ck_assert_uint_eq(seam_calls(), before);
	/* What was sent may have been done. */
	pass(10 * SECOND);
	manner = SAYS_NOTHING;
	ck_assert_int_eq(call(client, "PUT"), -1);
	ck_assert_uint_eq(tries, 1);
	ck_assert_uint_eq(seam_calls(), before + 1);
	ck_assert_ptr_nonnull(strstr(e.text, "did not answer in time"));
}
END_TEST

START_TEST(what_ends_at_once_is_tried_as_ever)
{
	const int64_t began = boot_ms;

	manner = IS_NOT_THERE;
	s3_client_set_patience(other, STORE_HURRIED);
	s3_client_set_patience(elsewhere, STORE_FICKLE);
	while (boot_ms - began < 4 * MINUTE) {
		fails(client, 3);
		fails(other, 3);
		fails(elsewhere, 3);
		pass(SECOND);
	}
}
END_TEST

/* ---- In a hurry --------------------------------------------------------- */

START_TEST(who_is_in_a_hurry_waits_once)
{
	s3_client_set_patience(client, STORE_HURRIED);
	manner = SAYS_NOTHING;
	fails(client, 1);
	ck_assert_int_eq(took_ms, CONNECT_MS);
	fails(client, 0);
	/* Which is nobody else's affair. */
	fails(other, 3);
	ck_assert_int_ge(took_ms, 3 * STALL_MS);
	s3_client_set_patience(other, STORE_FICKLE);
	fails(other, 0);
	pass(10 * SECOND);
	fails(client, 1);
	ck_assert_int_eq(took_ms, CONNECT_MS);
	s3_client_set_patience(client, STORE_PATIENT);
	s3_client_set_patience(other, STORE_PATIENT);
	fails(elsewhere, 3);
	ck_assert_int_eq(stall_ms, 0);
	ck_assert_int_eq(connect_ms, 0);
}
END_TEST

START_TEST(who_is_fickle_waits_once_more)
{
	s3_client_set_patience(client, STORE_FICKLE);
	manner = SAYS_NOTHING;
	fails(client, 2);
	ck_assert_int_ge(took_ms, STALL_MS + CONNECT_MS);
	ck_assert_int_le(took_ms, STALL_MS + CONNECT_MS + SECOND);
	ck_assert_uint_eq(fresh, 1);
	fails(client, 0);
	pass(MINUTE);
	/* It comes back in between. */
	back_ms = boot_ms + STALL_MS + SECOND;
	passes(client);
	ck_assert_uint_eq(tries, 2);
}
END_TEST

static void let_other_pass(void)
{
	const enum manner before = manner;
	const unsigned int mine = tries;

	manner = ANSWERS;
	passes(other);
	manner = before;
	tries = mine;
}

START_TEST(a_request_that_is_lost_is_no_silence)
{
	s3_client_set_patience(client, STORE_HURRIED);
	manner = SAYS_NOTHING;
	meanwhile = let_other_pass;
	fails(client, 1);
	fails(client, 1);
	fails(client, 0);
	/* Nor are those that follow it, of the same call. */
	pass(MINUTE);
	s3_client_set_patience(client, STORE_PATIENT);
	meanwhile = let_other_pass;
	fails(client, 3);
	s3_client_set_patience(client, STORE_HURRIED);
	fails(client, 1);
}
END_TEST

START_TEST(after_silence_connections_are_new)
{
	passes(client);
	ck_assert_uint_eq(fresh, 0);
	manner = IS_BUSY;
	fails(client, 8);
	ck_assert_uint_eq(fresh, 0);
	manner = SAYS_NOTHING;
	fails(client, 3);
	ck_assert_uint_eq(fresh, 2);
}
END_TEST

START_TEST(of_many_servers_some_are_known_by_who_asks)
{
	struct s3_client *many[20];
	char url[64];

	manner = TAKES_NOTHING;
	for (int i = 0; i < 20; i++) {
		(void)snprintf(url, sizeof(url),
			       "s3://bucket/p?endpoint=http://127.0.0.1:%d",
			       20 + i);
		many[i] = client_of(url);
		s3_client_set_patience(many[i], STORE_HURRIED);
	}
	for (int i = 0; i < 20; i++) {
		fails(many[i], 1);
		fails(many[i], 0);
	}
	for (int i = 0; i < 20; i++)
		s3_client_free(many[i]);
}
END_TEST

static void add_cases(TCase *t)
{
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, the_patient_lose_nothing_for_three_minutes);
	tcase_add_test(t, an_outage_that_was_survived_is_survived);
	tcase_add_test(t, the_patient_wait_for_their_turn);
	tcase_add_test(t, who_waits_is_stopped);
	tcase_add_test(t, the_patient_wait_for_a_probe_that_lasts);
	tcase_add_test(t, a_sleep_is_no_silence);
	tcase_add_test(t, then_one_asks_and_all_others_are_told);
	tcase_add_test(t, any_reply_ends_it);
	tcase_add_test(t, what_is_known_for_a_minute_is_old);
	tcase_add_test(t, who_is_refused_has_sent_nothing);
	tcase_add_test(t, what_ends_at_once_is_tried_as_ever);
	tcase_add_test(t, who_is_in_a_hurry_waits_once);
	tcase_add_test(t, who_is_fickle_waits_once_more);
	tcase_add_test(t, a_request_that_is_lost_is_no_silence);
	tcase_add_test(t, after_silence_connections_are_new);
	tcase_add_test(t, of_many_servers_some_are_known_by_who_asks);
}

CHECK_MAIN("storage/s3_call", add_cases)

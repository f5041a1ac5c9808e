#include "tests/support/fault_story.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/openssl.h"
#include "tests/support/alloc_all.h"
#include "tests/support/call_fail.h"
#include "tests/support/check_main.h"
#include "tests/support/random.h"

/* In place of an errno: an allocation fails. */
#define NO_MEMORY (-2)

static const int errors[] = { EIO, ENOSPC, EMFILE, EDQUOT, ESTALE, EINTR };
#define ERRORS (sizeof(errors) / sizeof(errors[0]))

static unsigned int counted; /* calls, or allocations, of the last telling */
static long lost;	     /* allocations that it did not free */

/* Tell it with the nth call failing, or the nth allocation; what failed. */
static const char *tell(const struct fault_story *s, unsigned int n, int sys)
{
	const long live = alloc_all_live();

	if (sys != NO_MEMORY) {
		call_fail_at(n, sys);
		s->tell();
		counted = call_fail_end();
		return call_fail_happened();
	}
	alloc_all_fail_at(n);
	s->tell();
	counted = alloc_all_end();
	lost = alloc_all_live() - live;
	return alloc_all_happened() ? "allocation" : NULL;
}

/*
 * Libraries keep things for the next time: the C library the memory of
 * threads, libcrypto its last 16 errors.  What is lost each time is no such.
 */
#define TELLINGS_OF_A_LOSS 20

/* The story with the nth call failing; whether it came to that. */
static bool told(const struct fault_story *s, unsigned int n, int sys)
{
	struct telling f = { .n = n };
	char when[200];
	int before = 0;

	for (int i = 0; i < TELLINGS_OF_A_LOSS; i++) {
		s->begin();
		before = check_open_descriptors();
		f.what = tell(s, n, sys);
		if (sys != NO_MEMORY || !f.what || lost <= 0)
			break;
	}
	(void)snprintf(when, sizeof(when), "%s, call %u (%s), %s", s->name, n,
		       f.what ? f.what : "none",
		       sys == CALL_SHORT  ? "by half"
		       : sys == NO_MEMORY ? "out of memory"
					  : strerrorname_np(sys));
	f.when = when;
	if (f.what)
		f.sys = sys == NO_MEMORY ? ENOMEM : sys == CALL_SHORT ? 0 : sys;
	f.must_work = !f.what || sys == CALL_SHORT;
	ck_assert_msg(check_open_descriptors() == before,
		      "after %s: %d descriptors stay open", when,
		      check_open_descriptors() - before);
	ck_assert_msg(sys != NO_MEMORY || !f.what || lost <= 0,
		      "after %s: %ld allocations are lost", when, lost);
	s->judge(&f);
	return f.what != NULL;
}

/* Of every so many in turn the how manieth is tried here. */
static unsigned int of_parts(unsigned int *part)
{
	const char *text = getenv("SNAPCTL_TEST_PART");
	char *slash = NULL;
	char *end = NULL;
	unsigned long n;

	*part = 1;
	if (!text)
		return 1;
	*part = (unsigned int)strtoul(text, &slash, 10);
	n = *slash == '/' ? strtoul(slash + 1, &end, 10) : 0;
	ck_assert_msg(end && !*end && n <= 1000 && *part >= 1 && *part <= n,
		      "SNAPCTL_TEST_PART: not \"1/2\" or the like");
	return (unsigned int)n;
}

/* How many calls, or allocations, an untroubled telling makes. */
static unsigned int untroubled(const struct fault_story *s, int sys)
{
	(void)told(s, UINT32_MAX, sys);
	return counted;
}

/*
 * A call fails in each of about so many tellings (0: in turn each call, up to
 * the most that one telling made: their number varies with what threads do
 * meanwhile), with an errno, or 0: with any.  Returns how many failed.
 */
static unsigned int each(const struct fault_story *s, int sys,
			 unsigned int tellings, unsigned int *most)
{
	struct random dice = random_seed();
	unsigned int points = 0;
	unsigned int part;
	unsigned int every = of_parts(&part);

	if (tellings) {
		every = *most / tellings + 1;
		part = 1 + (unsigned int)random_below(&dice, every);
	}
	for (unsigned int n = part; n <= *most; n += every) {
		const int now = sys ? sys : errors[random_below(&dice, ERRORS)];

		points += told(s, n, now);
		*most = counted > *most ? counted : *most;
	}
	return points;
}

/* About how many in all, of most; a part beyond them says nothing of it. */
static unsigned int in_all(unsigned int points, unsigned int most)
{
	unsigned int part;
	const unsigned int parts = of_parts(&part);

	return part > most ? UINT_MAX : points * parts;
}

static bool is_code_of(int sys, enum err_code code)
{
	switch (sys) {
	case ENOMEM:
		return code == ERR_NO_MEMORY;
	case ENOSPC:
	case EDQUOT:
		return code == ERR_FULL;
	case EIO:
		return code == ERR_IO || code == ERR_CORRUPT;
	default:
		return code == ERR_IO;
	}
}

static bool ends_with(const char *text, const char *end)
{
	const size_t n = strlen(text), k = strlen(end);

	return n >= k && strcmp(text + n - k, end) == 0;
}

/* The C library's word for a thread that it has no memory for. */
static bool lacks_thread(const struct telling *x, const char *text)
{
	return x->sys == ENOMEM && strstr(text, "cannot start a thread: ") &&
	       strstr(text, err_errno_text(EAGAIN));
}

void fault_expect_cause(const struct telling *x, const struct err *e,
			const char *said, bool damage)
{
	const char *text = e ? e->text : said;

	ck_assert_msg(text[0] != '\0', "%s: it says nothing", x->when);
	ck_assert_msg(!e || (e->code != ERR_NONE && e->code != ERR_BUG),
		      "%s: %s: %s", x->when, err_kind(e->code)->name, text);
	/* Who tries all calls is told of each place that hides the cause; a
	 * few at random must not fail for one that nobody has met yet. */
	if (!getenv("SNAPCTL_TEST_FULL"))
		return;

	/* A second look that finds something else than the first: which of them
	 * the disk spoilt is not known, and the next try finds out. */
	if (e && e->code == ERR_BUSY && x->sys == EIO &&
	    ends_with(text, " meanwhile"))
		return;
	if (lacks_thread(x, text))
		return;
	ck_assert_msg(x->sys != 0, "%s: nothing failed: %s", x->when, text);
	ck_assert_msg(strstr(text, err_errno_text(x->sys)) != NULL,
		      "%s: the cause is not told: %s", x->when, text);
	ck_assert_msg(!e || is_code_of(x->sys, e->code), "%s: %s: %s", x->when,
		      err_kind(e->code)->name, text);
	ck_assert_msg(!damage || x->sys == EIO, "%s: it is called damage: %s",
		      x->when, text);
}

unsigned int fault_each_call(const struct fault_story *s, unsigned int tellings)
{
	unsigned int points = 0;
	unsigned int most = untroubled(s, EIO);
	unsigned int moving = untroubled(s, CALL_SHORT); /* bytes: fewer */

	if (!getenv("SNAPCTL_TEST_FULL")) {
		points = each(s, 0, tellings, &most) +
			 each(s, CALL_SHORT, (tellings + 3) / 4, &moving);
	} else {
		for (size_t k = 0; k < ERRORS; k++)
			points += each(s, errors[k], 0, &most);
		points += each(s, CALL_SHORT, 0, &moving);
	}
	(void)printf("%s: %u calls failed\n", s->name, points);
	return in_all(points, most);
}

/* What libcrypto allocates once, some thousand times, is no story's. */
static void begin_libcrypto(void)
{
	struct err e;
	const struct openssl_crypto *lib = openssl_crypto(&e);
	EVP_CIPHER *aes;
	EVP_MD *sha256;

	ck_assert_msg(lib != NULL, "%s", e.text);
	aes = lib->EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	sha256 = lib->EVP_MD_fetch(NULL, "SHA256", NULL);
	ck_assert(aes && sha256);
	lib->EVP_CIPHER_free(aes);
	lib->EVP_MD_free(sha256);
}

unsigned int fault_each_allocation(const struct fault_story *s,
				   unsigned int tellings)
{
	unsigned int points;
	unsigned int most;

	begin_libcrypto();
	most = untroubled(s, NO_MEMORY);
	points = each(s, NO_MEMORY, getenv("SNAPCTL_TEST_FULL") ? 0 : tellings,
		      &most);
	(void)printf("%s: %u allocations failed\n", s->name, points);
	return in_all(points, most);
}

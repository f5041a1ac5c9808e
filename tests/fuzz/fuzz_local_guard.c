/*
 * The attribute that says what guards a file: until when, and whether it is
 * held.  Whatever else it is, it is held; and what is written of it says the
 * same.
 */
#include "storage/stores/local_internal.h"
#include "tests/support/fuzz.h"

#define HELD " held"

/* Bytes of a time, none of which is a NUL. */
static bool may_be_a_time(const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!bytes[i] || !strchr("0123456789-+:.TtZz ", bytes[i]))
			return false;
	return n >= strlen("2027-01-31T09:30:00Z");
}

static bool ends_held(const uint8_t *bytes, size_t n)
{
	return n >= strlen(HELD) &&
	       memcmp(bytes + n - strlen(HELD), HELD, strlen(HELD)) == 0;
}

static void read_again(const struct store_guard *g)
{
	char text[INSTANT_TEXT + sizeof(HELD)];
	char until[INSTANT_TEXT];
	struct store_guard again;

	instant_format(g->until, until);
	(void)snprintf(text, sizeof(text), "%s%s", until, g->held ? HELD : "");
	local_guard_parse(text, strlen(text), &again);
	/* Years that are written with a sign are not read. */
	if (until[0] == '+' || until[0] == '-')
		FUZZ_PROMISE(again.held && !again.until.sec);
	else
		FUZZ_PROMISE(again.held == g->held &&
			     instant_compare(again.until, g->until) == 0);
}

/* Which a time with "held" behind it is, and a time alone. */
static void compare(const uint8_t *bytes, size_t n, const struct store_guard *g)
{
	const bool held = ends_held(bytes, n);
	char *text = fuzz_text(bytes, held ? n - strlen(HELD) : n);
	struct instant until;
	struct err ignored;

	if (!memchr(bytes, '\0', n) &&
	    instant_parse(text, &until, &ignored) == 0)
		FUZZ_PROMISE(g->held == held &&
			     instant_compare(g->until, until) == 0);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct store_guard g = { .until = { .sec = -1 } };
	char *text = fuzz_text(bytes, n);

	local_guard_parse(text, n, &g);
	free(text);
	if (!g.held)
		FUZZ_PROMISE(may_be_a_time(bytes, n));
	else if (!ends_held(bytes, n))
		FUZZ_PROMISE(g.until.sec == 0 && g.until.nsec == 0);
	else if (g.until.sec)
		FUZZ_PROMISE(may_be_a_time(bytes, n - strlen(HELD)));
	compare(bytes, n, &g);
	read_again(&g);
	return 0;
}

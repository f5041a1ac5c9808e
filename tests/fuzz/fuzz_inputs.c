/*
 * What an evaluation was made with, as a segment of the catalog can bring it
 * in.  What is taken is written, and that is taken again and is its own form.
 */
#include "base/secret.h"
#include "service/retain_decide.h"
#include "tests/support/fuzz.h"

static const struct instant now = { .sec = 1774749600 };

static void write_again(const struct retain_stored *s)
{
	CLEANUP(retain_stored_done) struct retain_stored again;
	CLEANUP(buf_done) struct buf one;
	CLEANUP(buf_done) struct buf two;
	struct err e = { 0 };

	buf_init(&one, RETAIN_INPUTS_MAX);
	buf_init(&two, RETAIN_INPUTS_MAX);
	FUZZ_PROMISE(retain_inputs_write(&s->c, &one, &e) == 0);
	FUZZ_PROMISE(retain_inputs_read(buf_str(&one), now, &again, &e) == 1);
	FUZZ_PROMISE(again.c.n == s->c.n && again.rules.n == s->rules.n);
	FUZZ_PROMISE(retain_inputs_write(&again.c, &two, &e) == 0);
	FUZZ_PROMISE(strcmp(buf_str(&one), buf_str(&two)) == 0);
}

static void decide(const struct retain_stored *s)
{
	CLEANUP(retain_decisions_done)
	struct retain_decisions d = { .v = NULL };
	struct err e = { 0 };

	if (retain_decide(&s->c, &d, &e) == 0)
		FUZZ_PROMISE(d.n == s->c.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct retain_stored s;
	char *text = fuzz_text(bytes, n);
	struct err e = { 0 };
	int got;

	got = retain_inputs_read(text, now, &s, &e);
	if (got < 0)
		FUZZ_PROMISE(e.code == ERR_CORRUPT || e.code == ERR_NEWER ||
			     e.code == ERR_USAGE || e.code == ERR_FULL);
	if (got == 1) {
		write_again(&s);
		decide(&s);
	}
	if (got >= 0)
		retain_stored_done(&s);
	free(text);
	return 0;
}

/*
 * Unified diffs: what they say, done by somebody else, makes the one text of
 * the other; and of small texts no shorter ones could be had, by an oracle
 * that knows nothing but a table.
 */
#include "storage/lines.h"

#include <string.h>

#include "tests/support/check_main.h"
#include "tests/support/random.h"

#define TEXT_MAX 4096

struct text {
	char s[TEXT_MAX];
	size_t n;
};

/* Of few different lines, so that they are easily mistaken for each other. */
static struct text make(struct random *r, size_t lines, unsigned int kinds)
{
	struct text t = { .n = 0 };

	for (size_t i = 0; i < lines; i++) {
		t.s[t.n++] = (char)('a' + random_below(r, kinds));
		t.s[t.n++] = '\n';
	}
	if (t.n && random_below(r, 4) == 0)
		t.n--;
	return t;
}

/* Some of its lines go, some come. */
static struct text edit(struct random *r, const struct text *from,
			unsigned int kinds)
{
	struct text t = { .n = 0 };

	for (size_t i = 0; i < from->n && t.n + 4 < TEXT_MAX; i++) {
		const bool begins = i == 0 || from->s[i - 1] == '\n';

		if (begins && random_below(r, 12) == 0) {
			t.s[t.n++] = (char)('a' + random_below(r, kinds));
			t.s[t.n++] = '\n';
		}
		if (begins && random_below(r, 12) == 0) {
			while (i < from->n && from->s[i] != '\n')
				i++;
			continue;
		}
		t.s[t.n++] = from->s[i];
	}
	return t;
}

static size_t line_end(const char *s, size_t n, size_t at)
{
	while (at < n && s[at] != '\n')
		at++;
	return at < n ? at + 1 : at;
}

/* One number of a hunk's head; a count that is not said is 1. */
static const char *number(const char *p, size_t *from, size_t *count)
{
	char *end;

	*from = strtoul(p, &end, 10);
	*count = 1;
	if (*end == ',')
		*count = strtoul(end + 1, &end, 10);
	return end;
}

struct applying {
	const struct text *from;
	size_t at, line; /* in it, from 0 */
	struct text to;
};

static void copy_line(struct applying *x)
{
	const size_t end = line_end(x->from->s, x->from->n, x->at);

	memcpy(x->to.s + x->to.n, x->from->s + x->at, end - x->at);
	x->to.n += end - x->at;
	x->at = end;
	x->line++;
}

/* One line of a hunk, of n bytes with its mark; bare: without its newline. */
static void apply_line(struct applying *x, const char *line, size_t n,
		       bool bare)
{
	const size_t len = n - 1 - bare;

	if (line[0] != '+') {
		ck_assert_uint_le(x->at + len, x->from->n);
		ck_assert_mem_eq(x->from->s + x->at, line + 1, len);
	}
	if (line[0] == ' ') {
		copy_line(x);
	} else if (line[0] == '-') {
		x->at += len;
		x->line++;
	} else {
		ck_assert_int_eq(line[0], '+');
		memcpy(x->to.s + x->to.n, line + 1, len);
		x->to.n += len;
	}
}

/* A small patch(1). */
static struct text apply(const struct text *from, const char *diff, size_t n)
{
	struct applying x = { .from = from };

	for (size_t p = 0; p < n;) {
		const size_t end = line_end(diff, n, p);

		if (diff[p] == '@') {
			size_t line;
			size_t count;

			(void)number(diff + p + 4, &line, &count);
			while (x.line < (count ? line - 1 : line))
				copy_line(&x);
		} else if (diff[p] != '\\') {
			apply_line(&x, diff + p, end - p,
				   end < n && diff[end] == '\\');
		}
		p = end;
	}
	while (x.at < from->n)
		copy_line(&x);
	return x.to;
}

/* The longest common subsequence of lines, by the textbook's table. */
static size_t common(const struct lines *a, const struct lines *b)
{
	static size_t t[64][64];

	ck_assert(a->n < 64 && b->n < 64);
	memset(t, 0, sizeof(t));
	for (size_t i = a->n; i-- > 0;)
		for (size_t j = b->n; j-- > 0;) {
			const size_t n = a->at[i + 1] - a->at[i];

			if (n == b->at[j + 1] - b->at[j] &&
			    memcmp(a->bytes + a->at[i], b->bytes + b->at[j],
				   n) == 0)
				t[i][j] = t[i + 1][j + 1] + 1;
			else
				t[i][j] = t[i + 1][j] > t[i][j + 1]
						  ? t[i + 1][j]
						  : t[i][j + 1];
		}
	return t[0][0];
}

static void judge(const struct text *from, const struct text *to, bool small)
{
	CLEANUP(lines_done) struct lines a = { .at = NULL };
	CLEANUP(lines_done) struct lines b = { .at = NULL };
	CLEANUP(lines_changes_done) struct lines_changes x = { .v = NULL };
	CLEANUP(buf_done) struct buf out;
	struct err e = { 0 };
	struct text got;

	buf_init(&out, 1 << 20);
	ck_ok(lines_split(from->s, from->n, &a, &e));
	ck_ok(lines_split(to->s, to->n, &b, &e));
	ck_ok(lines_compare(&a, &b, &x, &e));
	ck_ok(lines_unified(&x, &a, &b, &out, &e));
	got = apply(from, buf_str(&out), out.len);
	ck_assert_uint_eq(got.n, to->n);
	ck_assert_mem_eq(got.s, to->s, to->n);
	ck_assert_uint_eq(a.n - x.removed, b.n - x.added);
	for (size_t i = 1; i < x.n; i++)
		ck_assert_uint_gt(x.v[i].a, x.v[i - 1].a + x.v[i - 1].a_n);
	if (small)
		ck_assert_uint_eq(a.n - x.removed, common(&a, &b));
}

START_TEST(small_ones_are_the_shortest)
{
	struct random r = random_seed();

	for (int i = 0; i < 3000; i++) {
		const unsigned int kinds = 1 +
					   (unsigned int)random_below(&r, 6);
		const struct text a = make(&r, random_below(&r, 24), kinds);
		const struct text b = make(&r, random_below(&r, 24), kinds);

		judge(&a, &b, true);
	}
}
END_TEST

START_TEST(an_edit_is_told_as_one)
{
	struct random r = random_seed();

	for (int i = 0; i < 400; i++) {
		const unsigned int kinds = 1 +
					   (unsigned int)random_below(&r, 26);
		const struct text a = make(&r, random_below(&r, 700), kinds);
		const struct text b = edit(&r, &a, kinds);

		judge(&a, &b, false);
	}
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, small_ones_are_the_shortest);
	tcase_add_test(tc, an_edit_is_told_as_one);
}

CHECK_MAIN("storage/lines", cases)

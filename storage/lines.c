#include "storage/lines.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- Lines -------------------------------------------------------------- */

int lines_split(const void *bytes, size_t n, struct lines *ret, struct err *e)
{
	const uint8_t *p = (const uint8_t *)bytes;
	size_t count = 0;
	uint32_t *at;

	if (n > LINES_TEXT_MAX)
		return err_set(
			e, ERR_USAGE,
			"a text of %zu bytes is too large to be compared", n);
	for (size_t i = 0; i < n; i++)
		count += p[i] == '\n' || i + 1 == n;
	at = calloc(count + 1, sizeof(*at));
	if (!at)
		return err_oom(e);
	*ret = (struct lines){ .bytes = p, .at = at, .n = count };
	for (size_t i = 0; i < n; i++)
		if (p[i] == '\n' || i + 1 == n)
			*++at = (uint32_t)i + 1;
	return 0;
}

void lines_done(struct lines *x)
{
	free(x->at);
	*x = (struct lines){ .at = NULL };
}

static size_t length(const struct lines *x, size_t i)
{
	return x->at[i + 1] - x->at[i];
}

static const uint8_t *line(const struct lines *x, size_t i)
{
	return x->bytes + x->at[i];
}

/* ---- Lines as numbers --------------------------------------------------- */

/* Equal lines get equal numbers, by sorting: no hash that an enemy could know.
 */
struct named {
	const uint8_t *bytes;
	uint32_t len;
	uint32_t where; /* in the numbers of both texts, one after the other */
};

static int by_bytes(const void *x, const void *y)
{
	const struct named *a = (const struct named *)x;
	const struct named *b = (const struct named *)y;

	if (a->len != b->len)
		return a->len < b->len ? -1 : 1;
	return memcmp(a->bytes, b->bytes, a->len);
}

static int number_all(const struct lines *a, const struct lines *b,
		      uint32_t **ret, struct err *e)
{
	const size_t n = a->n + b->n;
	struct named *v = calloc(n + 1, sizeof(*v));
	uint32_t *numbers = calloc(n + 1, sizeof(*numbers));
	uint32_t number = 0;

	if (!v || !numbers) {
		free(v);
		free(numbers);
		return err_oom(e);
	}
	for (size_t i = 0; i < n; i++) {
		const struct lines *from = i < a->n ? a : b;
		const size_t k = i < a->n ? i : i - a->n;

		v[i] = (struct named){ line(from, k), (uint32_t)length(from, k),
				       (uint32_t)i };
	}
	qsort(v, n, sizeof(*v), by_bytes);
	for (size_t i = 0; i < n; i++) {
		number += i > 0 && by_bytes(&v[i - 1], &v[i]) != 0;
		numbers[v[i].where] = number;
	}
	free(v);
	*ret = numbers;
	return 0;
}

/* ---- The shortest way --------------------------------------------------- */

/* Nothing leads here. */
#define NOWHERE INT32_MIN

/* Lines a … a_end of one text and b … b_end of the other. */
struct box {
	size_t a, a_end;
	size_t b, b_end;
};

struct search {
	const uint32_t *a, *b; /* the lines' numbers */
	uint8_t *gone, *come;  /* the result: a flag for each line */
	/*
	 * How far a way of so many differences gets on each diagonal (lines of
	 * a less lines of b), from the front and from the back; [0] is that
	 * of the diagonal `base`.
	 */
	int32_t *front, *back;
	int64_t work; /* steps left */
	bool rough;
};

/* One end's view of a box: lines counted from that end on. */
struct view {
	const uint32_t *a, *b; /* the first line from there */
	ptrdiff_t step;	       /* 1, or -1 from the back */
	int32_t n, m;	       /* lines */
	int32_t *far;	       /* by diagonal, -m - 1 … n + 1 */
};

/* As far as a way with one difference more gets on diagonal k. */
static int32_t reach(struct search *s, const struct view *v, int32_t k)
{
	const int32_t down = v->far[k + 1];
	const int32_t right = v->far[k - 1];
	int32_t x = NOWHERE;
	int32_t from;

	if (down != NOWHERE && down - k <= v->m)
		x = down;
	if (right != NOWHERE && right + 1 <= v->n && right + 1 > x)
		x = right + 1;
	if (x == NOWHERE)
		return x;
	from = x;
	while (x < v->n && x - k < v->m &&
	       v->a[v->step * x] == v->b[v->step * (x - k)])
		x++;
	s->work -= x - from;
	return x;
}

/* Where both ways meet on a diagonal; of one end and the other. */
static bool meet(const struct view *v, const struct view *other, int32_t k)
{
	const int32_t x = v->far[k];
	const int32_t y = other->far[v->n - v->m - k];

	return x != NOWHERE && y != NOWHERE && x + y >= v->n;
}

/* The next difference from one end: whether that end has met the other. */
static bool advance(struct search *s, const struct view *v,
		    const struct view *other, int32_t d, bool may_meet,
		    int32_t *ret_x, int32_t *ret_k)
{
	const int32_t lowest = d > v->m ? -v->m + ((d - v->m) & 1) : -d;
	const int32_t highest = d > v->n ? v->n - ((d - v->n) & 1) : d;

	for (int32_t k = lowest; k <= highest; k += 2) {
		s->work--;
		v->far[k] = reach(s, v, k);
		if (may_meet && meet(v, other, k)) {
			*ret_x = v->far[k];
			*ret_k = k;
			return true;
		}
	}
	return false;
}

static void clear(int32_t *far, int32_t n, int32_t m)
{
	for (int32_t k = -m - 1; k <= n + 1; k++)
		far[k] = NOWHERE;
	far[0] = 0;
}

/*
 * A point on a shortest way through a box of which neither the first nor the
 * last lines are alike: false when the bound of work was met.
 */
static bool find_middle(struct search *s, const struct box *x, size_t *ret_a,
			size_t *ret_b)
{
	const int32_t n = (int32_t)(x->a_end - x->a);
	const int32_t m = (int32_t)(x->b_end - x->b);
	const struct view front = {
		s->a + x->a, s->b + x->b, 1, n, m, s->front + m + 1
	};
	const struct view back = {
		s->a + x->a_end - 1, s->b + x->b_end - 1, -1, n, m,
		s->back + m + 1
	};
	const bool odd = (n - m) & 1;
	int32_t at;
	int32_t k;

	clear(front.far, n, m);
	clear(back.far, n, m);
	s->work -= n + m;
	/* Without differences neither gets anywhere, so begin with one. */
	for (int32_t d = 1; s->work > 0 && d <= n + m; d++) {
		if (advance(s, &front, &back, d, odd, &at, &k)) {
			*ret_a = x->a + (size_t)at;
			*ret_b = x->b + (size_t)(at - k);
			return true;
		}
		if (advance(s, &back, &front, d, !odd, &at, &k)) {
			*ret_a = x->a_end - (size_t)at;
			*ret_b = x->b_end - (size_t)(at - k);
			return true;
		}
	}
	return false;
}

static void trim(const struct search *s, struct box *x)
{
	while (x->a < x->a_end && x->b < x->b_end && s->a[x->a] == s->b[x->b]) {
		x->a++;
		x->b++;
	}
	while (x->a < x->a_end && x->b < x->b_end &&
	       s->a[x->a_end - 1] == s->b[x->b_end - 1]) {
		x->a_end--;
		x->b_end--;
	}
}

static void replace_all(struct search *s, const struct box *x)
{
	memset(s->gone + x->a, 1, x->a_end - x->a);
	memset(s->come + x->b, 1, x->b_end - x->b);
}

/*
 * Each half has half the differences, so boxes that wait are as many as the
 * differences have binary digits; 64 would do for any text.
 */
#define BOXES 64

static void search_all(struct search *s, struct box whole)
{
	struct box wait[BOXES];
	size_t n = 0;

	wait[n++] = whole;
	while (n > 0) {
		struct box x = wait[--n];
		size_t a;
		size_t b;

		trim(s, &x);
		if (x.a == x.a_end || x.b == x.b_end) {
			replace_all(s, &x);
		} else if (n + 2 > BOXES || !find_middle(s, &x, &a, &b)) {
			s->rough = true;
			replace_all(s, &x);
		} else {
			wait[n++] = (struct box){ x.a, a, x.b, b };
			wait[n++] = (struct box){ a, x.a_end, b, x.b_end };
		}
	}
}

/* ---- Changes ------------------------------------------------------------ */

void lines_changes_done(struct lines_changes *x)
{
	free(x->v);
	*x = (struct lines_changes){ .v = NULL };
}

/*
 * Lines that come or go among equal ones can be said to be others of them.
 * The last that it can be are chosen, as diff does: "}" and an empty line stay
 * with what they end.
 */
static void slide(const struct search *s, struct lines_change *c, size_t a_end,
		  size_t b_end)
{
	while (c->b_n == 0 && c->a + c->a_n < a_end &&
	       s->a[c->a] == s->a[c->a + c->a_n]) {
		c->a++;
		c->b++;
	}
	while (c->a_n == 0 && c->b + c->b_n < b_end &&
	       s->b[c->b] == s->b[c->b + c->b_n]) {
		c->a++;
		c->b++;
	}
}

/* Backwards, so that what the next one became is known. */
static void slide_all(const struct search *s, struct lines_changes *x,
		      size_t a_n, size_t b_n)
{
	size_t kept = x->n; /* from here on they are done */

	for (size_t i = x->n; i-- > 0;) {
		struct lines_change c = x->v[i];
		struct lines_change *next = kept < x->n ? &x->v[kept] : NULL;

		slide(s, &c, next ? next->a : a_n, next ? next->b : b_n);
		if (next && c.a + c.a_n == next->a) {
			next->a = c.a;
			next->a_n += c.a_n;
			next->b = c.b;
			next->b_n += c.b_n;
		} else {
			x->v[--kept] = c;
		}
	}
	x->n -= kept;
	memmove(x->v, x->v + kept, x->n * sizeof(*x->v));
}

static size_t run_of(const uint8_t *flags, size_t from, size_t n)
{
	size_t i = from;

	while (i < n && flags[i])
		i++;
	return i - from;
}

/* The next change from the lines a and b on, which are at the same place. */
static bool next_change(const struct search *s, const struct lines *a,
			const struct lines *b, struct lines_change *c)
{
	size_t i = c->a + c->a_n;
	size_t j = c->b + c->b_n;

	while (i < a->n && j < b->n && !s->gone[i] && !s->come[j]) {
		i++;
		j++;
	}
	*c = (struct lines_change){ i, run_of(s->gone, i, a->n), j,
				    run_of(s->come, j, b->n) };
	return c->a_n || c->b_n;
}

static int collect(const struct search *s, const struct lines *a,
		   const struct lines *b, struct lines_changes *ret,
		   struct err *e)
{
	struct lines_change c = { 0 };
	size_t n = 0;

	while (next_change(s, a, b, &c))
		n++;
	ret->v = calloc(n + 1, sizeof(*ret->v));
	if (!ret->v)
		return err_oom(e);
	for (c = (struct lines_change){ 0 }; next_change(s, a, b, &c);) {
		ret->v[ret->n++] = c;
		ret->removed += c.a_n;
		ret->added += c.b_n;
	}
	slide_all(s, ret, a->n, b->n);
	ret->rough = s->rough;
	return 0;
}

static void search_done(struct search *s)
{
	free(s->gone);
	free(s->come);
	free(s->front);
	free(s->back);
}

static int search_init(struct search *s, size_t a_n, size_t b_n, struct err *e)
{
	const size_t diagonals = a_n + b_n + 3;

	s->gone = calloc(a_n + 1, 1);
	s->come = calloc(b_n + 1, 1);
	s->front = calloc(diagonals, sizeof(*s->front));
	s->back = calloc(diagonals, sizeof(*s->back));
	s->work = LINES_WORK;
	if (s->gone && s->come && s->front && s->back)
		return 0;
	return err_oom(e);
}

int lines_compare(const struct lines *a, const struct lines *b,
		  struct lines_changes *ret, struct err *e)
{
	struct search s = { .rough = false };
	uint32_t *numbers;
	int failed;

	*ret = (struct lines_changes){ .v = NULL };
	if (number_all(a, b, &numbers, e))
		return -1;
	s.a = numbers;
	s.b = numbers + a->n;
	failed = search_init(&s, a->n, b->n, e);
	if (!failed) {
		search_all(&s, (struct box){ 0, a->n, 0, b->n });
		failed = collect(&s, a, b, ret, e);
	}
	search_done(&s);
	free(numbers);
	return failed;
}

/* ---- Hunks -------------------------------------------------------------- */

static int put_line(const struct lines *x, size_t i, char mark, struct buf *out,
		    struct err *e)
{
	const size_t n = length(x, i);

	if (buf_add_byte(out, (uint8_t)mark, e) ||
	    buf_add(out, line(x, i), n, e))
		return -1;
	if (n && line(x, i)[n - 1] == '\n')
		return 0;
	return buf_add_str(out, "\n\\ No newline at end of file\n", e);
}

static int put_lines(const struct lines *x, size_t from, size_t n, char mark,
		     struct buf *out, struct err *e)
{
	for (size_t i = from; i < from + n; i++)
		if (put_line(x, i, mark, out, e))
			return -1;
	return 0;
}

/* "3", "3,2"; of no lines the one before them: "2,0". */
static int put_range(size_t from, size_t n, struct buf *out, struct err *e)
{
	if (n == 1)
		return buf_addf(out, e, "%zu", from + 1);
	return buf_addf(out, e, "%zu,%zu", n ? from + 1 : from, n);
}

static bool looks_alike(const struct lines *a, const struct lines *b,
			const struct lines_change *c)
{
	const size_t n = a->at[c->a + c->a_n] - a->at[c->a];

	return n == b->at[c->b + c->b_n] - b->at[c->b] &&
	       memcmp(line(a, c->a), line(b, c->b), n) == 0;
}

/* Changes first … last, which are near each other, as one hunk. */
static int put_hunk(const struct lines_change *first,
		    const struct lines_change *last, const struct lines *a,
		    const struct lines *b, struct buf *out, struct err *e)
{
	const size_t before = first->a < LINES_CONTEXT ? first->a
						       : LINES_CONTEXT;
	const size_t end = last->a + last->a_n;
	const size_t after = a->n - end < LINES_CONTEXT ? a->n - end
							: LINES_CONTEXT;
	const size_t b_end = last->b + last->b_n + after;
	const char *note = "";
	size_t at = first->a - before;

	for (const struct lines_change *c = first; c <= last; c++)
		if (looks_alike(a, b, c))
			note = " what changed is masked";
	if (buf_add_str(out, "@@ -", e) ||
	    put_range(at, end + after - at, out, e) ||
	    buf_add_str(out, " +", e) ||
	    put_range(first->b - before, b_end - (first->b - before), out, e) ||
	    buf_addf(out, e, " @@%s\n", note))
		return -1;
	for (const struct lines_change *c = first; c <= last; c++) {
		if (put_lines(a, at, c->a - at, ' ', out, e) ||
		    put_lines(a, c->a, c->a_n, '-', out, e) ||
		    put_lines(b, c->b, c->b_n, '+', out, e))
			return -1;
		at = c->a + c->a_n;
	}
	return put_lines(a, at, after, ' ', out, e);
}

int lines_unified(const struct lines_changes *x, const struct lines *a,
		  const struct lines *b, struct buf *out, struct err *e)
{
	for (size_t i = 0; i < x->n;) {
		size_t last = i;

		while (last + 1 < x->n &&
		       x->v[last + 1].a - x->v[last].a - x->v[last].a_n <=
			       2 * (size_t)LINES_CONTEXT)
			last++;
		if (put_hunk(&x->v[i], &x->v[last], a, b, out, e))
			return -1;
		i = last + 1;
	}
	return 0;
}

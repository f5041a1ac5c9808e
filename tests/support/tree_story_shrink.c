/* Stories for people: cut down, and told. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/tree_story.h"

/* ---- Cutting down ------------------------------------------------------- */

struct shrink {
	struct tree_story *t; /* fails */
	bool (*fails)(void *arg, const struct tree_story *t);
	void *arg;
	unsigned int left; /* questions */
};

/* Takes candidate over when that fails, too; frees it in any case. */
static bool better(struct shrink *x, struct tree_story *candidate)
{
	struct tree_story old = *x->t;

	if (x->left == 0 || !x->fails(x->arg, candidate)) {
		x->left -= x->left > 0;
		tree_story_done(candidate);
		return false;
	}
	x->left--;
	*x->t = *candidate;
	tree_story_done(&old);
	return true;
}

static bool without(struct shrink *x, size_t first, size_t n)
{
	struct tree_story c;

	tree_story_copy(&c, x->t);
	memmove(c.steps + first, c.steps + first + n,
		(c.n - first - n) * sizeof(*c.steps));
	c.n -= n;
	return better(x, &c);
}

/* From the end, where what is not needed is found soonest. */
static bool fewer(struct shrink *x)
{
	bool any = false;

	for (size_t n = x->t->n; n > 0; n /= 2)
		for (size_t at = x->t->n; at > 0;) {
			const size_t take = n < at ? n : at;

			at -= take;
			any |= without(x, at, take);
		}
	return any;
}

/*
 * Two at once of which the story needs both or neither: a snapshot, and its
 * deletion.
 */
static bool fewer_by_pairs(struct shrink *x)
{
	bool any = false;

	for (size_t k = x->t->n; k-- > 1;)
		for (size_t i = k; i-- > 0 && k < x->t->n;) {
			struct tree_story c;
			size_t kept = 0;

			tree_story_copy(&c, x->t);
			for (size_t j = 0; j < c.n; j++)
				if (j != i && j != k)
					c.steps[kept++] = c.steps[j];
			c.n = kept;
			any |= better(x, &c);
		}
	return any;
}

/* One step that is simpler; each kind of simplicity has its turn. */
static bool simplify(struct tree_step *s, unsigned int way)
{
	const struct tree_step old = *s;

	switch (way) {
	case 0:
		s->a = 0;
		break;
	case 1:
		s->b = 0;
		break;
	case 2:
		s->a /= 2;
		break;
	case 3:
		s->b /= 2;
		break;
	case 4:
		s->c %= 8;
		break;
	case 5:
		s->c = 1;
		break;
	case 6:
		if (s->a > 1)
			s->a--;
		break;
	default:
		if (s->act == TREE_FOLDERS || s->act == TREE_MANY)
			s->act = TREE_FOLDER;
	}
	return old.act != s->act || old.a != s->a || old.b != s->b ||
	       old.c != s->c;
}

static bool smaller(struct shrink *x)
{
	bool any = false;

	for (size_t i = 0; i < x->t->n; i++)
		for (unsigned int way = 0; way < 8; way++) {
			struct tree_story c;

			tree_story_copy(&c, x->t);
			if (simplify(&c.steps[i], way))
				any |= better(x, &c);
			else
				tree_story_done(&c);
		}
	return any;
}

static bool is_path(const struct tree_path *a, const struct tree_path *b)
{
	return a->n == b->n && memcmp(a->name, b->name, a->n) == 0;
}

/* What a step does to a link, or to what was moved, done to what it was. */
static bool nearer(struct shrink *x)
{
	bool any = false;

	for (size_t i = 1; i < x->t->n; i++)
		for (size_t k = 0; k < i; k++) {
			const struct tree_path *to = &x->t->steps[k].at;
			struct tree_story c;

			if (x->t->steps[i].act >= TREE_TAKE ||
			    is_path(to, &x->t->steps[i].at))
				continue;
			tree_story_copy(&c, x->t);
			c.steps[i].at = *to;
			if (better(x, &c)) {
				any = true;
				break;
			}
		}
	return any;
}

/* A name in the root that no step mentions, if there is one. */
static bool new_name(const struct tree_story *t, struct tree_path *ret)
{
	bool used[TREE_NAMES] = { false };

	for (size_t i = 0; i < t->n; i++) {
		for (uint8_t k = 0; k < t->steps[i].at.n; k++)
			used[t->steps[i].at.name[k]] = true;
		for (uint8_t k = 0; k < t->steps[i].to.n; k++)
			used[t->steps[i].to.name[k]] = true;
	}
	for (uint8_t k = 0; k < TREE_NAMES; k++)
		if (!used[k]) {
			*ret = (struct tree_path){ .n = 1, .name = { k } };
			return true;
		}
	return false;
}

/* Step i done to what step k made, and nothing to the tree between them. */
static bool at_once(struct shrink *x, size_t k, size_t i)
{
	struct tree_story c;
	size_t kept = k + 1;

	tree_story_copy(&c, x->t);
	c.steps[i].at = c.steps[k].at;
	if (c.steps[i].to.n > 0 && !new_name(&c, &c.steps[i].to)) {
		tree_story_done(&c);
		return false;
	}
	for (size_t j = k + 1; j < c.n; j++)
		if (j >= i || c.steps[j].act >= TREE_TAKE)
			c.steps[kept++] = c.steps[j];
	c.n = kept;
	return better(x, &c);
}

/* In place of a way on which what was made was moved, or made again. */
static bool sooner(struct shrink *x)
{
	bool any = false;

	for (size_t i = 2; i < x->t->n; i++)
		for (size_t k = 0; k + 1 < i; k++) {
			if (x->t->steps[i].act >= TREE_TAKE ||
			    x->t->steps[i - 1].act >= TREE_TAKE ||
			    x->t->steps[k].act >= TREE_TAKE)
				continue;
			if (at_once(x, k, i)) {
				any = true;
				i = 1; /* all over again */
				break;
			}
		}
	return any;
}

/* Where a second path leads to: to a name of its own in the root. */
static bool to_the_root(struct shrink *x)
{
	bool any = false;

	for (size_t i = 0; i < x->t->n; i++)
		for (uint8_t k = 0; k < TREE_NAMES; k++) {
			struct tree_story c;

			if (x->t->steps[i].to.n < 2)
				break;
			tree_story_copy(&c, x->t);
			c.steps[i].to = (struct tree_path){ .n = 1,
							    .name = { k } };
			any |= better(x, &c);
		}
	return any;
}

/* Without a folder on its way, in all paths alike. */
static void drop_folder(struct tree_path *p, const struct tree_path *folder)
{
	if (p->n <= folder->n || memcmp(p->name, folder->name, folder->n) != 0)
		return;
	memmove(p->name + folder->n - 1, p->name + folder->n,
		(size_t)(p->n - folder->n));
	p->n--;
}

/* Nor what makes that folder, which may have the name of what is in it. */
static void drop_maker(struct tree_story *t, const struct tree_path *folder)
{
	size_t kept = 0;

	for (size_t k = 0; k < t->n; k++)
		if (t->steps[k].act > TREE_MANY ||
		    !is_path(&t->steps[k].at, folder))
			t->steps[kept++] = t->steps[k];
	t->n = kept;
}

static bool without_folder(struct shrink *x, struct tree_path folder,
			   bool with_maker)
{
	struct tree_story c;

	folder.n--;
	tree_story_copy(&c, x->t);
	if (!with_maker)
		drop_maker(&c, &folder);
	for (size_t k = 0; k < c.n; k++) {
		drop_folder(&c.steps[k].at, &folder);
		drop_folder(&c.steps[k].to, &folder);
	}
	return better(x, &c);
}

static bool shallower(struct shrink *x)
{
	bool any = false;

	for (size_t i = 0; i < x->t->n; i++) {
		const struct tree_path at = x->t->steps[i].at;

		if (at.n < 2)
			continue;
		if (without_folder(x, at, false) ||
		    without_folder(x, at, true)) {
			any = true;
			i = (size_t)-1; /* all over again */
		}
	}
	return any;
}

/* Plain names, where it is not about names. */
static bool plainer(struct shrink *x)
{
	bool any = false;

	for (int i = 0; i < TREE_NAMES; i++) {
		struct tree_story c;
		char plain[8];

		(void)snprintf(plain, sizeof(plain), "n%d", i);
		if (strcmp(x->t->names[i].bytes, plain) == 0)
			continue;
		tree_story_copy(&c, x->t);
		memset(&c.names[i], 0, sizeof(c.names[i]));
		(void)snprintf(c.names[i].bytes, sizeof(c.names[i].bytes), "%s",
			       plain);
		any |= better(x, &c);
	}
	return any;
}

void tree_story_shrink(struct tree_story *t,
		       bool (*fails)(void *arg, const struct tree_story *t),
		       void *arg, unsigned int most)
{
	struct shrink x = { .t = t, .fails = fails, .arg = arg, .left = most };
	bool any = true;

	while (any && x.left) {
		any = fewer(&x);
		/* Steps that may go once nobody looks at what they made. */
		(void)nearer(&x);
		(void)to_the_root(&x);
		any |= fewer(&x);
		any |= shallower(&x);
		any |= plainer(&x);
		any |= smaller(&x);
		/* The square of their number: when nothing else helps. */
		if (!any)
			any = fewer_by_pairs(&x) || sooner(&x);
	}
}

/* ---- Telling ------------------------------------------------------------ */

static void print_name(FILE *out, const char *name)
{
	(void)fputs("$'", out);
	for (; *name; name++) {
		const unsigned char c = (unsigned char)*name;

		if (c == '\'' || c == '\\')
			(void)fprintf(out, "\\%c", c);
		else if (c < ' ' || c > '~')
			(void)fprintf(out, "\\x%02x", c);
		else
			(void)fputc(c, out);
	}
	(void)fputc('\'', out);
}

/* In the folder "tree"; a path that is too long for a call is so here. */
static void print_path(FILE *out, const struct tree_story *t,
		       const struct tree_path *p)
{
	(void)fputs("tree", out);
	for (uint8_t i = 0; i < p->n; i++) {
		(void)fputc('/', out);
		print_name(out, t->names[p->name[i]].bytes);
	}
}

static void print_bytes(FILE *out, const char *count, uint64_t c)
{
	if (c % 4 == 0)
		(void)fprintf(out, "yes snapshot | head -c %s", count);
	else if (c % 4 == 1)
		(void)fprintf(out, "tr '\\0' '\\%o' </dev/zero | head -c %s",
			      (unsigned int)(c >> 8 & 0xff), count);
	else
		(void)fprintf(out, "head -c %s /dev/urandom", count);
}

static void print_content(FILE *out, const struct tree_story *t,
			  const struct tree_step *s)
{
	char count[32];

	(void)snprintf(count, sizeof(count), "%jd",
		       (intmax_t)(s->act == TREE_FILE ? s->a : s->b));
	switch (s->act) {
	case TREE_CUT:
		(void)fprintf(out, "truncate -c -s %jd ", (intmax_t)s->a);
		break;
	case TREE_PUNCH:
		(void)fprintf(out, "fallocate -p -o %jd -l %jd ",
			      (intmax_t)s->a, (intmax_t)(s->b ? s->b : 1));
		break;
	case TREE_REWRITE:
		(void)fputs("rewrite() { touch -r \"$1\" was; ", out);
		print_bytes(out, "$(stat -c %s \"$1\")", s->c);
		(void)fputs(" | dd conv=notrunc of=\"$1\"; touch -r was "
			    "\"$1\"; }; rewrite ",
			    out);
		break;
	case TREE_WRITE:
		print_bytes(out, count, s->c);
		(void)fprintf(out,
			      " | dd conv=notrunc,nocreat oflag=seek_bytes "
			      "seek=%jd of=",
			      (intmax_t)s->a);
		break;
	default:
		print_bytes(out, count, s->c);
		(void)fputs(s->act == TREE_FILE ? " >" : " >>", out);
	}
	print_path(out, t, &s->at);
}

static void print_made(FILE *out, const struct tree_story *t,
		       const struct tree_step *s)
{
	static const char *const words[TREE_ACTS] = {
		[TREE_FOLDER] = "mkdir ",     [TREE_FOLDERS] = "mkdir -p ",
		[TREE_FIFO] = "mkfifo ",      [TREE_REMOVE] = "rm -rf ",
		[TREE_SOCKET] = "socket at ", [TREE_MANY] = "mkdir ",
		[TREE_DEVICE] = "mknod ",     [TREE_SYMLINK] = "ln -sT ",
	};

	(void)fputs(words[s->act], out);
	if (s->act == TREE_SYMLINK && s->c % 2)
		(void)fprintf(out, "\"%jd bytes of nonsense\" ",
			      (intmax_t)(1 + s->a % 4094));
	else if (s->act == TREE_SYMLINK)
		print_path(out, t, &s->to);
	if (s->act == TREE_SYMLINK)
		(void)fputc(' ', out);
	print_path(out, t, &s->at);
	if (s->act == TREE_DEVICE)
		(void)fprintf(out, " %c %u %u", s->c % 2 ? 'c' : 'b',
			      (unsigned int)(s->c >> 8 & 0xfff),
			      (unsigned int)(s->c >> 20 & 0xfffff));
	if (s->act == TREE_MANY)
		(void)fprintf(out,
			      " # with %jd files, a third of them of up "
			      "to 900 bytes",
			      (intmax_t)(1 + s->a % 1500));
}

static void print_meta(FILE *out, const struct tree_story *t,
		       const struct tree_step *s)
{
	static const char *const words[TREE_ACTS] = {
		[TREE_MODE] = "chmod",
		[TREE_OWNER] = "chown -h",
		[TREE_TIME] = "touch -hm",
		[TREE_ATTR] = "setfattr -h",
		[TREE_UNATTR] = "setfattr -h -x",
		[TREE_ACL] = "setfacl",
	};

	(void)fprintf(out, "%s ", words[s->act]);
	print_path(out, t, &s->at);
	(void)fprintf(out, " # choice %ju of tree_story.c, %jd bytes",
		      (uintmax_t)(s->c % 8), (intmax_t)(s->a % 600));
}

static void print_engine(FILE *out, const struct tree_step *s)
{
	static const char *const modes[] = { "changed", "always", "never" };

	switch (s->act) {
	case TREE_TAKE:
		(void)fprintf(out, "snapctl snapshot create tree%s%s",
			      s->a ? " # without a parent" : "",
			      s->b ? " # by a clock 10 s ahead" : "");
		break;
	case TREE_FORGET:
		(void)fprintf(out, "snapctl snapshot delete # number %jd",
			      (intmax_t)s->a);
		break;
	case TREE_COLLECT:
		(void)fputs("snapctl repo gc --grace 0s", out);
		break;
	case TREE_CHECK:
		(void)fputs("snapctl repo check --read-data", out);
		break;
	case TREE_RESTORE:
		(void)fprintf(out, "snapctl restore --to new # number %jd",
			      (intmax_t)s->a);
		break;
	default:
		(void)fprintf(out,
			      "snapctl restore --to new --overwrite %s # "
			      "number %jd over number %jd",
			      modes[s->c % 3], (intmax_t)s->a, (intmax_t)s->b);
	}
}

static void print_step(FILE *out, const struct tree_story *t,
		       const struct tree_step *s)
{
	static const char *const pairs[TREE_ACTS] = {
		[TREE_LINK] = "ln -PT ",
		[TREE_MOVE] = "mv -T ",
		[TREE_SWAP] = "mv -T --exchange ",
	};

	if (s->act >= TREE_TAKE) {
		print_engine(out, s);
	} else if (pairs[s->act]) {
		(void)fputs(pairs[s->act], out);
		print_path(out, t, &s->at);
		(void)fputc(' ', out);
		print_path(out, t, &s->to);
	} else if (s->act >= TREE_MODE) {
		print_meta(out, t, s);
	} else if ((s->act >= TREE_FILE && s->act <= TREE_REWRITE)) {
		print_content(out, t, s);
	} else {
		print_made(out, t, s);
	}
	(void)fputc('\n', out);
}

void tree_story_print(const struct tree_story *t, FILE *out)
{
	(void)fputs("mkdir tree\n", out);
	for (size_t i = 0; i < t->n; i++)
		print_step(out, t, &t->steps[i]);
	(void)fflush(out);
}

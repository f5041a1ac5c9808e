/*
 * Random stories of a tree: made, taken, changed, taken again, with or without
 * a parent, collected, checked, restored into an empty folder and over what
 * another version left.  What comes back is what was there.
 *
 * A story that fails is cut down to what matters and printed, with the seed
 * that repeats it (SNAPCTL_TEST_SEED).  `./dev trees [SECONDS]` tells stories
 * for that long.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "storage/repository/check.h"
#include "storage/repository/deletion.h"
#include "storage/repository/gc.h"
#include "tests/support/long_run.h"
#include "tests/support/random.h"
#include "tests/support/repo_frame.h"
#include "tests/support/tree_picture.h"
#include "tests/support/tree_story.h"

#define STORIES	    30
#define TAKES_MOST  16
#define SHRINK_MOST 3000
/* Two of these are different stamps in any file system's times. */
#define STAMP_MS 12

/* The clock is so far ahead, so that what was written just now is trusted. */
static int64_t ahead_s;
struct instant __real_clock_now(void);
struct instant __wrap_clock_now(void);
struct instant __wrap_clock_now(void)
{
	struct instant t = __real_clock_now();

	t.sec += ahead_s;
	return t;
}

/* ---- Telling a story, in a process of its own ---------------------------- */

/* What shrinking is tried on. */
enum planted { NOTHING, SETUID_IS_LOST, A_LINK_IS_LOST };

/* In memory that survives the process. */
struct verdict {
	char why[1500];
	enum planted planted;
	uintmax_t takes, reused, restores, overs, entries, checks, collected;
};
static struct verdict *verdict;

struct telling {
	const struct tree_story *t;
	struct repo_frame f;
	struct object_id ids[TAKES_MOST];
	bool forgotten[TAKES_MOST];
	struct tree_picture pictures[TAKES_MOST];
	size_t n;
	unsigned int folders;
	struct err e;
};

static void no(const char *form, ...) PRINTF_LIKE(1, 2)
	__attribute__((noreturn));
static void no(const char *form, ...)
{
	va_list args;

	va_start(args, form);
	(void)vsnprintf(verdict->why, sizeof(verdict->why), form, args);
	va_end(args);
	_exit(9);
}

#define must(condition, ...)             \
	do {                             \
		if (!(condition))        \
			no(__VA_ARGS__); \
	} while (0)

static void take(struct telling *w, const struct tree_step *s)
{
	struct snapshot_options o = { .no_parent = s->a != 0 };
	struct snapshot_result got = { .files = 0 };

	if (w->n == TAKES_MOST)
		return;
	repo_frame_reopen(&w->f);
	ahead_s = s->b;
	must(repo_take_with(&w->f, &o, &got, &w->e) == 0, "taking: %s",
	     w->e.text);
	ahead_s = 0;
	must(got.state == MANIFEST_COMPLETE && got.errors == 0,
	     "the snapshot is partial: %ju errors", (uintmax_t)got.errors);
	w->ids[w->n] = got.id;
	tree_picture_take(&w->pictures[w->n], w->f.from);
	must(got.files + got.dirs + got.others >= w->pictures[w->n].n,
	     "%ju entries were taken, %zu are there",
	     (uintmax_t)(got.files + got.dirs + got.others),
	     w->pictures[w->n].n);
	verdict->takes++;
	verdict->reused += got.bytes > got.bytes_read;
	verdict->entries += w->pictures[w->n].n;
	w->n++;
	clock_sleep_ms(STAMP_MS);
}

/* The one that a step means: any that is not forgotten; or none is. */
static bool number(const struct telling *w, int64_t k, size_t *ret)
{
	for (size_t i = 0; i < w->n; i++) {
		*ret = ((size_t)k + i) % w->n;
		if (!w->forgotten[*ret])
			return true;
	}
	return false;
}

static void forget(struct telling *w, const struct tree_step *s)
{
	CLEANUP(repository_snapshot_done) struct repository_snapshot x;
	const struct deletion d = { .now = clock_now(),
				    .grace_ms = 86400000,
				    .by = "me",
				    .reason = "" };
	char text[OBJECT_ID_TEXT];
	size_t i;

	manifest_init(&x.manifest);
	if (!number(w, s->a, &i))
		return;
	object_id_format(w->ids[i], text);
	must(repository_find(w->f.r, text, NULL, true, &x, NULL, &w->e) == 0 &&
		     deletion_delete(w->f.r, &x, &d, &w->e) == 0,
	     "deleting: %s", w->e.text);
	w->forgotten[i] = true;
}

static void collect(struct telling *w)
{
	const struct gc_options o = { .now = clock_now(),
				      .rewrite_bytes = GC_REWRITE_BYTES,
				      .host = "host" };
	struct gc_result got = { .marked = 0 };

	repo_frame_reopen(&w->f);
	must(gc_run(w->f.r, &o, &got, &w->e) == 0, "collecting: %s", w->e.text);
	must(got.n_blocked == 0, "somebody is in the way of a collection");
	repo_frame_reopen(&w->f);
	verdict->collected += got.deleted;
}

static void check(struct telling *w)
{
	CLEANUP(check_result_done) struct check_result x = { .sound = false };
	const struct check_options o = { .level = CHECK_DATA,
					 .now = clock_now() };

	must(check_run(w->f.r, &o, &x, &w->e) == 0, "checking: %s", w->e.text);
	must(x.sound, "damage: %s %s", x.n_findings ? x.findings[0].object : "",
	     x.n_findings ? x.findings[0].message : "");
	verdict->checks++;
}

static void restore_to(struct telling *w, size_t i, enum restore_overwrite mode,
		       struct restore_result *ret)
{
	struct restore_options o = { .overwrite = mode };

	must(repo_restore_with(&w->f, w->ids[i], &o, ret, &w->e) == 0,
	     "restoring: %s", w->e.text);
	verdict->restores++;
}

/* Into a folder that is not there. */
static void restore_anew(struct telling *w, size_t i)
{
	struct restore_result got = { .files = 0 };
	char name[20];

	(void)snprintf(name, sizeof(name), "to%u", w->folders++);
	(void)scratch_path(&w->f.dir, name, w->f.to);
	restore_to(w, i, RESTORE_CHANGED, &got);
	must(got.errors == 0, "restoring: %s", w->f.failed);
	must(got.left_out == 0, "left out: %s", w->f.left);
}

/* A defect that restoring does not have, to be found. */
static void plant(const struct telling *w, const struct tree_picture *p)
{
	for (size_t i = 0; i < p->n; i++) {
		const struct tree_dot *dot = &p->v[i];
		char path[2 * SCRATCH_PATH];

		if (strlen(dot->path) > SCRATCH_PATH)
			continue;
		(void)snprintf(path, sizeof(path), "%s%s", w->f.to, dot->path);
		if (verdict->planted == SETUID_IS_LOST &&
		    S_ISREG(dot->st.st_mode) && dot->st.st_mode & S_ISUID &&
		    dot->st.st_size > 0)
			(void)!chmod(path, 0);
		if (verdict->planted == A_LINK_IS_LOST && dot->first != i)
			(void)!unlink(path);
	}
}

static void expect(struct telling *w, const struct tree_picture *want)
{
	struct tree_picture got;
	char why[1200];

	plant(w, want);
	tree_picture_take(&got, w->f.to);
	must(tree_picture_same(&got, want, why, sizeof(why)), "%s", why);
	tree_picture_done(&got);
}

static void restore(struct telling *w, const struct tree_step *s)
{
	size_t i;

	if (!number(w, s->a, &i))
		return;
	restore_anew(w, i);
	expect(w, &w->pictures[i]);
	scratch_remove(w->f.to);
}

/* ---- Over what is there -------------------------------------------------- */

/* Whether a folder above, or what is there itself, is of the other kind. */
static bool is_blocked(const struct tree_picture *before,
		       const struct tree_dot *want)
{
	char *path = strdup(want->path);
	bool blocked = false;
	char *slash;

	while (!blocked && (slash = strrchr(path, '/'))) {
		const struct tree_dot *there;

		there = tree_picture_find(before, path);
		if (there && strcmp(path, want->path) == 0)
			blocked = S_ISDIR(there->st.st_mode) !=
				  S_ISDIR(want->st.st_mode);
		else if (there)
			blocked = !S_ISDIR(there->st.st_mode);
		*slash = '\0';
	}
	free(path);
	return blocked;
}

static bool is_kept(const struct tree_dot *there, const struct tree_dot *want)
{
	return S_ISREG(there->st.st_mode) && S_ISREG(want->st.st_mode) &&
	       there->st.st_size == want->st.st_size &&
	       there->st.st_mtim.tv_sec == want->st.st_mtim.tv_sec &&
	       there->st.st_mtim.tv_nsec == want->st.st_mtim.tv_nsec;
}

struct over {
	const struct tree_picture *before, *want, *got;
	enum restore_overwrite mode;
};

/* Whose content may be that of before, or of another that it is one with. */
static bool may_be_kept(const struct over *o, const struct tree_dot *want)
{
	if (o->mode != RESTORE_CHANGED)
		return false;
	for (size_t i = 0; i < o->want->n; i++) {
		const struct tree_dot *fellow = &o->want->v[i];
		const struct tree_dot *there;

		if (fellow->first != want->first)
			continue;
		there = tree_picture_find(o->before, fellow->path);
		if (there && is_kept(there, fellow))
			return true;
	}
	return false;
}

static void same_text(const char *path, const char *got, const char *want)
{
	char why[1200];

	if (strcmp(got, want) == 0)
		return;
	tree_picture_say(why, sizeof(why), path, got, want);
	no("over another version: %s", why);
}

/* One that the snapshot has. */
static void expect_put(const struct over *o, const struct tree_dot *want)
{
	const struct tree_dot *got = tree_picture_find(o->got, want->path);
	const struct tree_dot *there = tree_picture_find(o->before, want->path);

	if (is_blocked(o->before, want))
		return;
	must(got != NULL, "over another version: \"%s\" is not there",
	     want->path);
	if (there && o->mode == RESTORE_NEVER) {
		same_text(want->path, got->what, there->what);
		if (!S_ISDIR(there->st.st_mode))
			same_text(want->path, got->meta, there->meta);
		return;
	}
	/* The target itself is its owner's, once it is there. */
	if (*want->path)
		same_text(want->path, got->meta, want->meta);
	if (!may_be_kept(o, want))
		same_text(want->path, got->what, want->what);
}

/* One that the snapshot has not: it stays. */
static void expect_left(const struct over *o, const struct tree_dot *there)
{
	const struct tree_dot *got = tree_picture_find(o->got, there->path);

	must(got != NULL, "over another version: \"%s\" went", there->path);
	/* One that it is one with may have been set right. */
	if (there->st.st_nlink == 1)
		same_text(there->path, got->meta, there->meta);
	same_text(there->path, got->what, there->what);
}

static void over(struct telling *w, const struct tree_step *s)
{
	struct restore_result got = { .files = 0 };
	struct tree_picture after;
	struct over o = { .mode = (enum restore_overwrite)(s->c % 3),
			  .got = &after };
	bool blocked = false;
	size_t i;
	size_t k;

	if (!number(w, s->a, &i) || !number(w, s->b, &k))
		return;
	restore_anew(w, k);
	restore_to(w, i, o.mode, &got);
	tree_picture_take(&after, w->f.to);
	o.before = &w->pictures[k];
	o.want = &w->pictures[i];
	for (size_t x = 0; x < o.want->n; x++) {
		blocked |= is_blocked(o.before, &o.want->v[x]);
		expect_put(&o, &o.want->v[x]);
	}
	for (size_t x = 0; x < o.before->n; x++)
		if (!tree_picture_find(o.want, o.before->v[x].path))
			expect_left(&o, &o.before->v[x]);
	must(got.errors == 0 || blocked, "over another version: %s",
	     w->f.failed);
	verdict->overs++;
	tree_picture_done(&after);
	scratch_remove(w->f.to);
}

/* ---- Whole stories ------------------------------------------------------- */

static void do_step(struct telling *w, const struct tree_step *s)
{
	switch (s->act) {
	case TREE_TAKE:
		take(w, s);
		break;
	case TREE_FORGET:
		forget(w, s);
		break;
	case TREE_COLLECT:
		collect(w);
		break;
	case TREE_CHECK:
		check(w);
		break;
	case TREE_RESTORE:
		restore(w, s);
		break;
	case TREE_OVER:
		over(w, s);
		break;
	default:
		tree_story_do(w->t, s, w->f.from);
	}
}

/* Never returns. */
static void tell(const struct tree_story *t)
{
	static struct telling w;

	w.t = t;
	repo_frame_init(&w.f, "mem:trees");
	(void)mkdir(w.f.from, 0755);
	for (size_t i = 0; i < t->n; i++)
		do_step(&w, &t->steps[i]);
	_exit(0);
}

/* Whether a story fails, and why. */
static bool fails(void *arg, const struct tree_story *t)
{
	struct scratch dir;
	int status;
	pid_t pid;

	(void)arg;
	verdict->why[0] = '\0';
	/* Its folders go also when it dies. */
	scratch_init(&dir);
	pid = check_fork_child();
	if (pid == 0) {
		(void)setenv("SNAPCTL_TEST_SCRATCH", dir.path, 1);
		tell(t);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	scratch_done(&dir);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return false;
	if (!verdict->why[0])
		(void)snprintf(verdict->why, sizeof(verdict->why),
			       "it ended with status %x", (unsigned)status);
	return true;
}

static void begin(void)
{
	verdict = mmap(NULL, sizeof(*verdict), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(verdict, MAP_FAILED);
}

static void draw(struct tree_story *t, uint64_t seed)
{
	struct random r = { seed };
	const unsigned int size = 1 + (unsigned int)random_below(&r, 70);
	int64_t takes = 0;

	tree_story_draw(t, size, &r);
	for (size_t i = 0; i < t->n; i++)
		takes += t->steps[i].act == TREE_TAKE;
	/* In the end each of them comes back. */
	for (int64_t i = 0; i < takes; i++) {
		const struct tree_step last = { .act = TREE_RESTORE, .a = i };

		tree_story_add(t, &last);
	}
}

static void one_story(uint64_t seed)
{
	struct tree_story t;
	char why[1500];

	draw(&t, seed);
	if (fails(NULL, &t)) {
		(void)printf("SNAPCTL_TEST_SEED=%ju: %s\nof %zu steps:\n",
			     (uintmax_t)seed, verdict->why, t.n);
		tree_story_shrink(&t, fails, NULL, SHRINK_MOST);
		(void)printf("%zu matter:\n", t.n);
		tree_story_print(&t, stdout);
		(void)fails(NULL, &t);
		(void)snprintf(why, sizeof(why), "%s", verdict->why);
		ck_abort_msg("SNAPCTL_TEST_SEED=%ju: %s", (uintmax_t)seed, why);
	}
	tree_story_done(&t);
}

START_TEST(what_was_there_comes_back)
{
	struct long_run l = long_run_of(STORIES / CHECK_EVERY);
	struct random r = random_seed();
	uint64_t seed = r.state;

	begin();
	while (long_run_next(&l)) {
		one_story(seed);
		seed = random_u64(&r);
	}
	(void)printf("%ju stories: %ju snapshots of %ju entries, %ju with "
		     "bytes taken over, %ju restores, %ju over others, %ju "
		     "checks, %ju packs collected\n",
		     (uintmax_t)l.rounds, verdict->takes, verdict->entries,
		     verdict->reused, verdict->restores, verdict->overs,
		     verdict->checks, verdict->collected);
	ck_assert_uint_gt(verdict->takes, 0);
	(void)munmap(verdict, sizeof(*verdict));
}
END_TEST

/* Each of the few that are left matters. */
static void expect_small(const struct tree_story *t)
{
	ck_assert_uint_le(t->n, 6);
	for (size_t i = 0; i < t->n; i++) {
		struct tree_story c;

		tree_story_copy(&c, t);
		memmove(c.steps + i, c.steps + i + 1,
			(c.n - i - 1) * sizeof(*c.steps));
		c.n--;
		ck_assert(!fails(NULL, &c));
		tree_story_done(&c);
	}
}

/* A story in which the planted defect shows, cut down. */
static void cut_down(enum planted planted, struct tree_story *t)
{
	struct random r = random_seed();

	begin();
	verdict->planted = planted;
	for (int i = 0; i < 1000; i++) {
		draw(t, random_u64(&r));
		if (fails(NULL, t)) {
			tree_story_shrink(t, fails, NULL, SHRINK_MOST);
			ck_assert(fails(NULL, t));
			tree_story_print(t, stdout);
			expect_small(t);
			(void)munmap(verdict, sizeof(*verdict));
			return;
		}
		tree_story_done(t);
	}
	ck_abort_msg("the defect did not show in a thousand stories");
}

static size_t count(const struct tree_story *t, enum tree_act act)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++)
		n += t->steps[i].act == act;
	return n;
}

START_TEST(a_story_is_cut_down_to_what_matters)
{
	struct tree_story t;

	cut_down(SETUID_IS_LOST, &t);
	/* A file with something in it, its mode; taken and restored. */
	ck_assert_uint_eq(count(&t, TREE_MODE), 1);
	ck_assert_uint_eq(count(&t, TREE_TAKE), 1);
	ck_assert_uint_eq(count(&t, TREE_RESTORE), 1);
	tree_story_done(&t);
}
END_TEST

START_TEST(what_only_two_steps_make_is_kept)
{
	struct tree_story t;

	cut_down(A_LINK_IS_LOST, &t);
	ck_assert_uint_eq(count(&t, TREE_LINK), 1);
	ck_assert_uint_eq(count(&t, TREE_TAKE), 1);
	ck_assert_uint_eq(count(&t, TREE_RESTORE), 1);
	tree_story_done(&t);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, what_was_there_comes_back);
	tcase_add_test(tc, a_story_is_cut_down_to_what_matters);
	/* A process for each question: once is enough where that costs much. */
	if (CHECK_EVERY == 1)
		tcase_add_test(tc, what_only_two_steps_make_is_kept);
}

CHECK_MAIN("storage, stories of trees", cases)

/*
 * A snapshot beside this machine.  The oracle is the next snapshot: what
 * differs between both is what differs now.
 */
#include "storage/diff_live.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/secret.h"
#include "tests/support/repo_frame.h"
#include "tests/support/tree_gen.h"

struct world {
	struct repo_frame f;
	struct repository_snapshot a, b;
};

/* The folder of a world. */
static const char *root;

static void world_open(struct world *w)
{
	struct err e = { 0 };

	memset(w, 0, sizeof(*w));
	ck_ok(secret_start(&e));
	repo_frame_init(&w->f, "mem:diff-live");
	manifest_init(&w->a.manifest);
	manifest_init(&w->b.manifest);
	ck_assert_int_eq(mkdir(w->f.from, 0755), 0);
	root = w->f.dir.path;
}

static void world_done(struct world *w)
{
	repository_snapshot_done(&w->a);
	repository_snapshot_done(&w->b);
	repo_frame_done(&w->f);
}
static inline void cleanup_world_done(struct world *w)
{
	world_done(w);
}

static void take(struct world *w, struct repository_snapshot *ret)
{
	char text[OBJECT_ID_TEXT];
	struct err e = { 0 };

	object_id_format(repo_take(&w->f).id, text);
	repo_frame_reopen(&w->f);
	ck_ok(repository_find(w->f.r, text, NULL, false, ret, NULL, &e));
}

static void put(struct world *w, const char *name, const char *text)
{
	char path[2 * SCRATCH_PATH];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", w->f.from, name);
	f = fopen(path, "w");
	ck_assert(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

/* Folders above it, whose times move with what others put there. */
static bool is_above(const struct entry *en)
{
	return en->path_len < strlen(root) &&
	       memcmp(en->path, root, en->path_len) == 0;
}

static int note(void *arg, const struct diff_change *c, struct err *e)
{
	struct buf *out = (struct buf *)arg;
	const struct entry *en = c->after ? c->after : c->before;

	ck_assert_ptr_nonnull(en);
	if (is_above(en) && c->before && c->after && c->aspects == DIFF_TIME)
		return 0;
	return buf_addf(out, e, "%s %u %.*s%s%s\n",
			!c->before  ? "+"
			: !c->after ? "-"
				    : "!",
			c->aspects, (int)en->path_len, en->path,
			c->unreadable ? ": " : "",
			c->unreadable ? c->unreadable : "");
}

static const char *live(struct world *w, struct buf *out)
{
	const struct diff_live_options o = { .skip = NULL };
	struct err e = { 0 };

	buf_clear(out);
	ck_ok(diff_live(w->f.r, &w->a.manifest, &o, note, out, &e));
	return buf_str(out);
}

START_TEST(tells_what_the_next_snapshot_would)
{
	CLEANUP(world_done) struct world w;
	CLEANUP(buf_done) struct buf now;
	CLEANUP(buf_done) struct buf later;
	struct random r = random_seed();
	struct err e = { 0 };

	buf_init(&now, 1 << 24);
	buf_init(&later, 1 << 24);
	world_open(&w);
	tree_gen_fill(w.f.from, 150, &r);
	take(&w, &w.a);
	for (int i = 0; i < 4; i++) {
		tree_gen_mutate(w.f.from, 25, &r);
		(void)live(&w, &now);
		repository_snapshot_done(&w.b);
		take(&w, &w.b);
		buf_clear(&later);
		ck_ok(diff_run(w.f.r, &w.a.manifest.tree, &w.b.manifest.tree,
			       note, &later, &e));
		ck_assert_str_eq(buf_str(&now), buf_str(&later));
	}
}
END_TEST

/* Its own folder may be there all the same. */
START_TEST(a_path_that_is_gone_takes_no_folder_along)
{
	CLEANUP(world_done) struct world w;
	CLEANUP(buf_done) struct buf out;
	char path[2 * SCRATCH_PATH];
	char want[4 * SCRATCH_PATH];

	buf_init(&out, 1 << 16);
	world_open(&w);
	put(&w, "a", "a");
	take(&w, &w.a);
	(void)snprintf(path, sizeof(path), "%s/a", w.f.from);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(rmdir(w.f.from), 0);
	(void)snprintf(want, sizeof(want), "- 0 %s\n- 0 %s/a\n", w.f.from,
		       w.f.from);
	ck_assert_str_eq(live(&w, &out), want);
}
END_TEST

static int read_both(void *arg, const struct diff_change *c, struct err *e)
{
	struct buf *out = (struct buf *)arg;

	if (!c->after || c->after->type != ENTRY_FILE)
		return 0;
	ck_assert_int_eq(diff_read(c, false, out, e), c->before != NULL);
	return diff_read(c, true, out, e) == 1 ? 0 : -1;
}

START_TEST(both_sides_can_be_read)
{
	CLEANUP(world_done) struct world w;
	CLEANUP(buf_done) struct buf out;
	const struct diff_live_options o = { .skip = NULL };
	struct err e = { 0 };

	buf_init(&out, 1 << 16);
	world_open(&w);
	put(&w, "a", "one");
	take(&w, &w.a);
	put(&w, "a", "two");
	put(&w, "b", "new");
	ck_ok(diff_live(w.f.r, &w.a.manifest, &o, read_both, &out, &e));
	ck_assert_str_eq(buf_str(&out), "onetwonew");
}
END_TEST

/* What nobody may look into is unreadable, and nothing in it was removed. */
START_TEST(what_cannot_be_read_is_not_gone)
{
	CLEANUP(world_done) struct world w;
	CLEANUP(buf_done) struct buf out;
	char path[2 * SCRATCH_PATH];
	const char *got;

	if (geteuid() != 0)
		ck_skip("what_cannot_be_read_is_not_gone", "takes root");
	buf_init(&out, 1 << 16);
	world_open(&w);
	(void)snprintf(path, sizeof(path), "%s/shut", w.f.from);
	ck_assert_int_eq(mkdir(path, 0755), 0);
	put(&w, "shut/x", "x");
	put(&w, "closed", "x");
	take(&w, &w.a);
	ck_assert_int_eq(chmod(path, 0700), 0);
	put(&w, "closed", "yy");
	(void)snprintf(path, sizeof(path), "%s/closed", w.f.from);
	ck_assert_int_eq(chmod(path, 0600), 0);
	ck_assert_int_eq(chmod(w.f.dir.path, 0755), 0);
	ck_assert_int_eq(seteuid(65534), 0);
	got = live(&w, &out);
	ck_assert_int_eq(seteuid(0), 0);
	ck_assert_msg(strstr(got, "/closed: cannot open it: permission "
				  "denied\n") != NULL,
		      "%s", got);
	ck_assert_msg(strstr(got, "/shut: cannot list the folder: permission "
				  "denied\n") != NULL,
		      "%s", got);
	ck_assert_msg(!strstr(got, "/shut/x"), "%s", got);
}
END_TEST

START_TEST(takes_files_only)
{
	CLEANUP(world_done) struct world w;
	const struct diff_live_options o = { .skip = NULL };
	struct err e = { 0 };

	world_open(&w);
	put(&w, "a", "a");
	take(&w, &w.a);
	(void)snprintf(w.a.manifest.type, sizeof(w.a.manifest.type), "block");
	ck_assert_int_eq(diff_live(w.f.r, &w.a.manifest, &o, note, NULL, &e),
			 -1);
	ck_assert_int_eq(e.code, ERR_USAGE);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, tells_what_the_next_snapshot_would);
	tcase_add_test(tc, a_path_that_is_gone_takes_no_folder_along);
	tcase_add_test(tc, both_sides_can_be_read);
	tcase_add_test(tc, what_cannot_be_read_is_not_gone);
	tcase_add_test(tc, takes_files_only);
}

CHECK_MAIN("storage/diff_live", cases)

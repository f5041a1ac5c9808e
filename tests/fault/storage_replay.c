/*
 * Old objects put back, as whoever has the store alone can do it, or a store
 * that fell back to what it was (FORMAT.md §11).  Of a long story all that each
 * of its stages had, and that went or was replaced since, comes back into the
 * region as it is at the end: object by object, and stage by stage.
 *
 * What comes of it is the same each time: what is kept restores bit for bit,
 * what is held or locked is not deleted, what was let go of is not there, a key
 * that was revoked opens nothing.  And, by kind:
 *
 *	slot, keyring	nothing: the newest keyring says whose slots open it
 *	session, pin	a collector gives it up, as one that stands still
 *	mark, census	nothing: what they name is gone, and so are they again
 *	inventory	nothing: it counts fewer than there are
 *	guard record	a pass may believe it: then a check, which asks the
 *			store, says what is guarded too briefly
 *	pack		garbage again; one that was given up is told to be back
 *	manifest	garbage again: the tombstone is there
 *	index object	nothing while one that is there supersedes it; else it
 *			may name packs that are gone: a check names these, a
 *			collector stops, and the next snapshot, which takes
 *			them for present, is damaged as the check then says
 *
 * Of all other kinds nothing ever goes or is replaced, so that there is nothing
 * to be put back.  A whole older state of the store is sound, and not told from
 * a new one: in it the key that was revoked later opens.
 */
#include "tests/support/guard_pass_frame.h"

#define STAGES	 24
#define GONE_MAX 2000
#define BACK_MAX 400

struct old_object {
	char name[STORE_NAME_MAX + 1];
	struct buf bytes;
	struct store_guard guard;
};

struct stage {
	const char *name;
	struct old_object *v;
	size_t n;
};

static struct stage stages[STAGES];
static size_t n_stages;
static struct stage end;
static struct keyring_credential *revoked;
static char trial[300]; /* what comes back, for messages */

/* The snapshots; there are more, of which nothing special is known. */
enum { FIRST, LOCKED, HELD, UNDELETED, RELEASED, LET_GO };

/* ---- Keeping ------------------------------------------------------------ */

static int keep_object(void *arg, const struct store_entry *entry,
		       struct err *e)
{
	struct stage *s = arg;
	struct old_object *grown = realloc(s->v, (s->n + 1) * sizeof(*s->v));
	struct old_object *o;

	(void)e;
	ck_assert_ptr_nonnull(grown);
	s->v = grown;
	o = &s->v[s->n++];
	(void)snprintf(o->name, sizeof(o->name), "%s", entry->name);
	repo_get(gc_store(g), o->name, &o->bytes);
	o->guard = guard_of(g, o->name);
	return 0;
}

static void keep_in(struct stage *s, const char *name)
{
	s->name = name;
	gc_reopen(g);
	gc_ok(store_list(gc_store(g), "", keep_object, s, &g->e));
}

static void keep(const char *name)
{
	ck_assert_uint_lt(n_stages, STAGES);
	keep_in(&stages[n_stages++], name);
}

static void forget(struct stage *s)
{
	for (size_t i = 0; i < s->n; i++)
		buf_done(&s->v[i].bytes);
	free(s->v);
	*s = (struct stage){ .n = 0 };
}

static const struct old_object *in_stage(const struct stage *s,
					 const char *name)
{
	for (size_t i = 0; i < s->n; i++)
		if (strcmp(s->v[i].name, name) == 0)
			return &s->v[i];
	return NULL;
}

static bool same(const struct old_object *a, const struct old_object *b)
{
	return a->bytes.len == b->bytes.len &&
	       memcmp(a->bytes.data, b->bytes.data, a->bytes.len) == 0;
}

/* It went, or is another one now. */
static bool is_over(const struct old_object *o)
{
	const struct old_object *now = in_stage(&end, o->name);

	return !now || !same(o, now);
}

/* ---- The story ---------------------------------------------------------- */

static const char *in_the_middle;

static void keep_meanwhile(struct gc_frame *g_, const char *name)
{
	(void)g_;
	(void)name;
	keep(in_the_middle);
}

/* Whichever thread comes by. */
static void keep_before(enum fault_call call, const char *prefix,
			const char *stage)
{
	const struct fault f = { .call = call,
				 .action = FAULT_RUN,
				 .prefix = prefix,
				 .times = 1,
				 .everyone = true,
				 .run = gc_act,
				 .arg = g };

	in_the_middle = stage;
	g->act = keep_meanwhile;
	fault_add(gc_store(g), &f);
}

/* Of the folder that snapshots are taken of: into another, or back. */
static void move(const char *name, bool away)
{
	char in[2 * SCRATCH_PATH];
	char out[2 * SCRATCH_PATH];

	(void)snprintf(in, sizeof(in), "%s/%s", g->f.from, name);
	(void)snprintf(out, sizeof(out), "%s/%s", g->f.dir.path, name);
	ck_assert_int_eq(away ? rename(in, out) : rename(out, in), 0);
}

/* Before anything is locked: guarded keys of old would stay for good. */
static void add_and_revoke_a_key(void)
{
	struct object_id slot;
	char path[SCRATCH_PATH];

	keep("the beginning");
	gc_ok(keyring_credential_make_key_file(
		scratch_path(&g->f.dir, "second", path), &revoked, &g->e));
	gc_ok(keyring_add(gc_store(g), g->f.credential, revoked, "second",
			  g->now, &slot, &g->e));
	gc_file(g, "first");
	gc_reopen(g);
	(void)gc_take(g);
	keep("a second key");
	gc_ok(keyring_revoke(gc_store(g), g->f.credential, slot, g->now,
			     &g->e));
	keep("a revocation");
}

/* As gc_take(); somebody looks in when nothing is published yet. */
static void take(const char *stage)
{
	struct snapshot_options o = { .no_parent = false };
	struct snapshot_result result;

	gc_reopen(g);
	keep_before(FAULT_COMMIT, "snapshots/", stage);
	gc_ok(repo_take_with(&g->f, &o, &result, &g->e));
	g->ids[g->n] = result.id;
	repo_list(&g->trees[g->n++], g->f.from);
}

static void take_all(void)
{
	struct object_id hold;

	gc_file(g, "a");
	(void)guard_take(g);
	keep("a lock");
	gc_file(g, "b");
	take("during a snapshot");
	(void)hold_one(HELD);
	run();
	keep("a hold");
	gc_file(g, "c");
	(void)gc_take(g);
	gc_file(g, "gone");
	(void)gc_take(g);
	hold = hold_one(RELEASED);
	run();
	keep("another hold");
	gc_ok(deletion_release(g->f.r, hold, "me", g->now, &g->e));
	gc_ok(run_with(true));
	move("gone", true);
	gc_file(g, "let go");
	(void)gc_take(g);
	move("let go", true);
	keep("a release");
}

static void let_go(void)
{
	for (size_t i = UNDELETED; i <= LET_GO; i++)
		gc_erase(g, i);
	keep("deletions");
	/* One that is alive keeps what is marked. */
	guard_later(g, 1000);
	gc_reopen(g);
	keep_before(FAULT_COMMIT, "marks/", "during a collection");
	gc_collect(g, 2000);
	gc_ok(gc_undelete(g, UNDELETED));
	keep("an undeletion");
	gc_reopen(g);
	gc_collect(g, 0);
	keep("a collection");
}

/* What the last stage has of these and the one before has not. */
static const char *new_one(const char *prefix)
{
	const struct stage *last = &stages[n_stages - 1];

	for (size_t i = 0; i < last->n; i++)
		if (strncmp(last->v[i].name, prefix, strlen(prefix)) == 0 &&
		    !in_stage(last - 1, last->v[i].name))
			return last->v[i].name;
	ck_abort_msg("nothing is new in %s", prefix);
}

static void damage_and_mend(void)
{
	gc_file(g, "hurt");
	(void)gc_take(g);
	keep("a snapshot");
	gc_damage_chunks(g, new_one("data/"));
	keep("damage");
	gc_repair(g);
	keep("a repair");
	(void)gc_take(g); /* stores it anew */
	keep("what was mended");
}

static void restore(size_t i, const char *stage)
{
	const struct scratch *dir = &g->f.dir;

	gc_reopen(g);
	(void)scratch_path(dir, "restored", g->f.to);
	if (stage)
		keep_before(FAULT_READ, "data/", stage);
	(void)repo_restore(&g->f, g->ids[i]);
	fault_clear(gc_store(g));
	ck_assert_msg(g->f.failures == 0, "%s: snapshot %zu: %s", trial, i,
		      g->f.failed);
	repo_expect_same(&g->trees[i], g->f.to);
	scratch_remove(g->f.to);
}

static void tell_story(void)
{
	add_and_revoke_a_key();
	take_all();
	let_go();
	damage_and_mend();
	restore(HELD, "during a restore");
	/* Until the guards of what was merged are over. */
	for (int i = 0; i < 3; i++) {
		lock_for(LOCKED, 90 * GC_DAY_MS);
		guard_later(g, 31 * GC_DAY_MS);
		run();
		gc_file(g, i ? "b" : "a");
		take("during another snapshot");
		gc_reopen(g);
		gc_collect(g, 0);
		keep("another collection");
	}
	keep_in(&end, "the end");
}

/* ---- Another region just like it ---------------------------------------- */

static void put(struct store *s, const struct old_object *o, bool guarded)
{
	gc_ok(store_put(s, o->name, o->bytes.data, o->bytes.len, STORE_REPLACE,
			&g->e));
	if (guarded && o->guard.until.sec)
		gc_ok(store_guard(s, o->name, o->guard.until, &g->e));
	if (guarded && o->guard.held)
		gc_ok(store_hold(s, o->name, true, &g->e));
}

static void lay_out(const struct stage *s)
{
	static unsigned int n;
	struct store *inner;

	repository_close(g->f.r);
	g->f.r = NULL;
	store_mem_forget(g->f.url);
	(void)snprintf(g->f.url, sizeof(g->f.url), "mem:guard-replay%u", n++);
	gc_ok(store_open(g->f.url, true, &inner, &g->e));
	for (size_t i = 0; i < s->n; i++)
		put(inner, &s->v[i], true);
	store_close(inner);
	gc_reopen(g);
}

/* ---- What comes of it --------------------------------------------------- */

struct verdict {
	bool sound;	/* as a check says */
	bool named;	/* it says something of what came back */
	bool taken;	/* the next snapshot restores */
	bool collected; /* or the collector stopped */
	char said[200];
};

static void look_at(struct check_result *x)
{
	const struct check_options o = { .level = CHECK_DATA, .now = g->now };
	int failed = -1;

	gc_reopen(g);
	for (int i = 0; failed && i < GC_PATIENCE; i++) {
		check_result_done(x);
		*x = (struct check_result){ 0 };
		failed = check_run(g->f.r, &o, x, &g->e);
		if (failed)
			ck_assert_msg(g->e.code == ERR_BUSY, "%s: %s", trial,
				      g->e.text);
	}
	ck_assert_int_eq(failed, 0);
}

static void ask_check(struct verdict *v, const struct old_object *const *back,
		      size_t n)
{
	CLEANUP(check_result_done) struct check_result x = { 0 };

	look_at(&x);
	v->sound = x.sound;
	for (uint64_t i = 0; i < x.n_findings; i++) {
		const struct check_finding *f = &x.findings[i];

		for (size_t k = 0; k < n; k++)
			v->named = v->named ||
				   strcmp(f->object, back[k]->name) == 0;
		if (!f->quarantined)
			(void)snprintf(v->said, sizeof(v->said), "%.99s: %.90s",
				       f->object, f->message);
	}
}

/* A check says of that snapshot that it is damaged. */
static bool is_named_damaged(struct object_id snapshot)
{
	CLEANUP(check_result_done) struct check_result x = { 0 };

	look_at(&x);
	for (uint64_t i = 0; i < x.n_findings; i++)
		for (uint64_t k = 0;
		     k < x.findings[i].n_snapshots && k < CHECK_SNAPSHOTS_MAX;
		     k++)
			if (object_id_equal(x.findings[i].snapshots[k],
					    snapshot))
				return true;
	return false;
}

/* Of what was let go of: what came back may say that it is there. */
static bool take_what_went(void)
{
	struct snapshot_options o = { .no_parent = true };
	struct snapshot_result result;
	struct tree_list tree;
	bool whole;

	gc_reopen(g);
	move("gone", false);
	move("let go", false);
	gc_ok(repo_take_with(&g->f, &o, &result, &g->e));
	repo_list(&tree, g->f.from);
	move("gone", true);
	move("let go", true);
	(void)scratch_path(&g->f.dir, "restored", g->f.to);
	gc_reopen(g);
	(void)repo_restore(&g->f, result.id);
	whole = g->f.failures == 0;
	if (whole)
		repo_expect_same(&tree, g->f.to);
	ck_assert_msg(whole || is_named_damaged(result.id), "%s: %s", trial,
		      g->f.failed);
	if (access(g->f.to, F_OK) == 0)
		scratch_remove(g->f.to);
	tree_list_done(&tree);
	return whole;
}

static void expect_denied(size_t i)
{
	CLEANUP(repository_snapshot_done)
	struct repository_snapshot s = gc_look(g, i);
	const struct deletion d = gc_asked(g);

	ck_assert_msg(deletion_delete(g->f.r, &s, &d, &g->e) == -1, "%s",
		      trial);
	ck_assert_int_eq(g->e.code, ERR_DENIED);
}

static void expect_let_go(size_t i)
{
	struct repository_snapshot s;
	char id[OBJECT_ID_TEXT];

	object_id_format(g->ids[i], id);
	manifest_init(&s.manifest);
	ck_assert_msg(
		repository_find(g->f.r, id, NULL, false, &s, NULL, &g->e) == -1,
		"%s: %s is back", trial, id);
	ck_assert_int_eq(g->e.code, ERR_NOT_FOUND);
}

static bool opens_for_the_revoked(void)
{
	struct repository *r = NULL;

	if (repository_open(g->f.url, revoked, &r, &g->e) == 0) {
		repository_close(r);
		return true;
	}
	ck_assert_int_eq(g->e.code, ERR_BAD_KEY);
	return false;
}

static void expect_promises(void)
{
	static size_t turn;

	gc_reopen(g);
	/* One of those of which nothing special is known, in turn. */
	for (size_t i = 0; i <= UNDELETED; i++)
		restore(i, NULL);
	restore(LET_GO + 1 + turn++ % (g->n - LET_GO - 1), NULL);
	expect_denied(LOCKED);
	expect_denied(HELD);
	expect_let_go(RELEASED);
	expect_let_go(LET_GO);
	ck_assert_msg(!opens_for_the_revoked(), "%s", trial);
}

static bool collect(struct verdict *v)
{
	gc_reopen(g);
	if (gc_collect_with(g, 0, GC_REWRITE_BYTES) == 0)
		return true;
	ck_assert_msg(g->e.code == ERR_CORRUPT, "%s: %s", trial, g->e.text);
	ck_assert_ptr_nonnull(strstr(g->e.text, "nothing was deleted"));
	(void)snprintf(v->said, sizeof(v->said), "%.190s", g->e.text);
	return false;
}

static bool is_kind(const struct old_object *o, enum object_kind kind)
{
	const char *folder = object_kind_folder(kind);
	const size_t n = strlen(folder);

	return strncmp(o->name, folder, n) == 0 && o->name[n] == '/';
}

/*
 * Owners that stand still are given up, and what is garbage goes again; but
 * packs that came back with their index, which the next snapshot uses.
 */
static void expect_gone(const struct old_object *const *back, size_t n)
{
	static const enum object_kind kinds[] = {
		OBJECT_SESSION,	 OBJECT_PIN,	   OBJECT_MARK,
		OBJECT_MANIFEST, OBJECT_DATA_PACK, OBJECT_META_PACK,
	};

	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < (n == 1 ? 6 : 4); k++)
			if (is_kind(back[i], kinds[k]) &&
			    !in_stage(&end, back[i]->name))
				ck_assert_msg(!gc_objects(g, back[i]->name),
					      "%s: %s stays", trial,
					      back[i]->name);
}

static struct verdict put_back(const struct old_object *const *back, size_t n)
{
	struct verdict v = { .sound = false };

	lay_out(&end);
	for (size_t i = 0; i < n; i++)
		put(gc_store(g), back[i], false);
	ask_check(&v, back, n);
	v.taken = take_what_went();
	v.collected = collect(&v);
	if (v.collected)
		expect_gone(back, n);
	expect_promises();
	return v;
}

static void expect_harmless(const struct verdict *v)
{
	ck_assert_msg(v->sound && v->taken && v->collected, "%s: %s", trial,
		      v->said);
}

/* It is told, and a repair gets over it. */
static void expect_mended(const struct verdict *v)
{
	struct verdict after = { .sound = false };

	ck_assert_msg(!v->sound && !v->collected, "%s: %s", trial, v->said);
	gc_reopen(g);
	gc_repair(g);
	ck_assert_msg(take_what_went(), "%s", trial);
	ck_assert_msg(collect(&after), "%s: %s", trial, after.said);
	expect_promises();
}

/* ---- All that went ------------------------------------------------------ */

static const struct old_object *gone[GONE_MAX];
static size_t n_gone;

static bool is_known(const struct old_object *o)
{
	for (size_t i = 0; i < n_gone; i++)
		if (strcmp(gone[i]->name, o->name) == 0 && same(gone[i], o))
			return true;
	return false;
}

static void find_gone(void)
{
	for (size_t k = 0; k < n_stages; k++)
		for (size_t i = 0; i < stages[k].n; i++) {
			const struct old_object *o = &stages[k].v[i];

			if (!is_over(o) || is_known(o))
				continue;
			ck_assert_uint_lt(n_gone, GONE_MAX);
			gone[n_gone++] = o;
		}
}

/* Segments of the catalog, which nobody wrote here, go as little. */
START_TEST(of_some_kinds_nothing_ever_goes)
{
	static const bool goes[OBJECT_KIND_END] = {
		[OBJECT_SLOT] = true,	   [OBJECT_KEYRING] = true,
		[OBJECT_DATA_PACK] = true, [OBJECT_META_PACK] = true,
		[OBJECT_INDEX] = true,	   [OBJECT_MANIFEST] = true,
		[OBJECT_SESSION] = true,   [OBJECT_MARK] = true,
		[OBJECT_PIN] = true,	   [OBJECT_CENSUS] = true,
		[OBJECT_INVENTORY] = true, [OBJECT_GUARD] = true,
	};

	for (unsigned int k = OBJECT_CONFIG; k < OBJECT_KIND_END; k++) {
		size_t n = 0;

		for (size_t i = 0; i < n_gone; i++)
			n += is_kind(gone[i], (enum object_kind)k);
		ck_assert_msg((n > 0) == goes[k], "%zu objects went from %s", n,
			      object_kind_folder((enum object_kind)k));
	}
}
END_TEST

START_TEST(each_object_by_itself)
{
	for (size_t i = 0; i < n_gone; i++) {
		struct verdict v;

		(void)snprintf(trial, sizeof(trial), "%s", gone[i]->name);
		v = put_back(&gone[i], 1);
		if (is_kind(gone[i], OBJECT_INDEX) && !v.sound)
			expect_mended(&v);
		else
			expect_harmless(&v);
		if (!is_kind(gone[i], OBJECT_DATA_PACK))
			ck_assert_msg(!v.named, "%s: %s", trial, v.said);
	}
}
END_TEST

static size_t of_stage(const struct stage *s,
		       const struct old_object *back[BACK_MAX])
{
	size_t n = 0;

	ck_assert_uint_lt(s->n, BACK_MAX);
	for (size_t i = 0; i < s->n; i++)
		if (is_over(&s->v[i]))
			back[n++] = &s->v[i];
	return n;
}

START_TEST(all_of_each_stage)
{
	for (size_t k = 0; k < n_stages; k++) {
		const struct old_object *back[BACK_MAX];
		struct verdict v;

		(void)snprintf(trial, sizeof(trial), "%s", stages[k].name);
		v = put_back(back, of_stage(&stages[k], back));
		if (v.sound)
			expect_harmless(&v);
		else
			expect_mended(&v);
	}
}
END_TEST

/* ---- Guards ------------------------------------------------------------- */

/*
 * The manifest of a snapshot that was let go of, held by the store as it was
 * once, with nothing else of it: collectors stop until it is let go again.
 */
START_TEST(a_manifest_that_is_held_again_stops_collectors)
{
	struct verdict v = { .sound = false };
	char prefix[64] = "snapshots/";
	size_t n = 0;

	lay_out(&end);
	object_id_format(g->ids[RELEASED], prefix + strlen(prefix));
	for (size_t i = 0; i < n_gone; i++)
		if (strncmp(gone[i]->name, prefix, strlen(prefix)) == 0) {
			put(gc_store(g), gone[i], true);
			gc_ok(store_hold(gc_store(g), gone[i]->name, true,
					 &g->e));
			n++;
		}
	ck_assert_uint_gt(n, 0);
	ck_assert(!collect(&v));
	expect_promises();
	for (size_t i = 0; i < n_gone; i++)
		if (strncmp(gone[i]->name, prefix, strlen(prefix)) == 0)
			gc_ok(store_hold(gc_store(g), gone[i]->name, false,
					 &g->e));
	ck_assert_msg(collect(&v), "%s", v.said);
	expect_promises();
}
END_TEST

/* That it is held, which it was before the release, and is to be once more. */
START_TEST(a_guard_record_that_comes_back_may_be_believed_and_is_told)
{
	const struct guards_options afresh = { .now = g->now, .afresh = true };
	struct stage held = { .n = 0 };
	struct object_id hold;

	lay_out(&end);
	hold = hold_one(FIRST);
	run();
	keep_in(&held, "held");
	gc_ok(deletion_release(g->f.r, hold, "me", g->now, &g->e));
	gc_ok(run_with(true));
	(void)hold_one(FIRST);
	for (size_t i = 0; i < held.n; i++)
		if (is_kind(&held.v[i], OBJECT_GUARD))
			put(gc_store(g), &held.v[i], false);
	forget(&held);
	run();
	ck_assert_uint_gt(guard_short(g, FIRST, (struct instant){ 0 }, true),
			  0);
	ck_assert_uint_gt(ask(), 0);
	/* As a repair does it, which believes no record. */
	gc_ok(guards_run(g->f.r, &afresh, &pass, &g->e));
	ck_assert_uint_eq(ask(), 0);
	expect_denied(FIRST);
}
END_TEST

/* ---- The whole ---------------------------------------------------------- */

static int restore_this(void *arg, struct repository_snapshot *s, struct err *e)
{
	size_t i = 0;

	(void)arg;
	(void)e;
	while (i < g->n && !object_id_equal(g->ids[i], s->manifest.snapshot))
		i++;
	ck_assert_uint_lt(i, g->n);
	restore(i, NULL);
	return 0;
}

static void restore_all(void)
{
	struct repository *r = NULL;

	gc_ok(repository_open(g->f.url, g->f.credential, &r, &g->e));
	gc_ok(repository_snapshots(r, false, restore_this, NULL, NULL, &g->e));
	repository_close(r);
}

START_TEST(a_whole_older_state_is_sound)
{
	size_t sound = 0;

	for (size_t k = 0; k < n_stages; k++) {
		CLEANUP(check_result_done) struct check_result x = { 0 };
		struct verdict v;

		(void)snprintf(trial, sizeof(trial), "the whole of %s",
			       stages[k].name);
		lay_out(&stages[k]);
		ck_assert_msg(
			opens_for_the_revoked() ==
				(strcmp(stages[k].name, "a second key") == 0),
			"%s", trial);
		look_at(&x);
		if (!x.sound)
			continue;
		sound++;
		restore_all();
		ck_assert_msg(collect(&v), "%s: %s", trial, v.said);
		restore_all();
	}
	/* But those in which a pack is damaged. */
	ck_assert_uint_eq(sound, n_stages - 2);
}
END_TEST

static void set_up(void)
{
	guard_frame_init(g, "mem:guard-replay");
	g->lease_ms = 60; /* nobody else is alive here */
	tell_story();
	find_gone();
}

static void tear_down(void)
{
	for (size_t k = 0; k < n_stages; k++)
		forget(&stages[k]);
	forget(&end);
	keyring_credential_free(revoked);
	gc_frame_done(g);
}

static void cases(TCase *tc)
{
	/* One story for all; each trial lays out a region of its own. */
	tcase_add_unchecked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, of_some_kinds_nothing_ever_goes);
	tcase_add_test(tc, each_object_by_itself);
	tcase_add_test(tc, all_of_each_stage);
	tcase_add_test(tc, a_manifest_that_is_held_again_stops_collectors);
	tcase_add_test(
		tc, a_guard_record_that_comes_back_may_be_believed_and_is_told);
	tcase_add_test(tc, a_whole_older_state_is_sound);
}

CHECK_MAIN("storage, old objects", cases)

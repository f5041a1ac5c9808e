/*
 * What a collection does when something is damaged, missing, or listed by
 * half: it deletes nothing, and says so.
 */
#include "storage/repository/gc.h"

#include <errno.h>

#include "storage/repository/inventory.h"
#include "tests/support/gc_frame.h"

static struct gc_frame frame;
static struct gc_frame *const g = &frame;
static size_t packs;

/* A file that only the first of two snapshots has; the first is deleted. */
static void set_up(void)
{
	gc_frame_init(g, "mem:gc_bad");
	gc_file(g, "kept");
	/* More than is kept, however the key cuts: the pack is mostly dead. */
	gc_file(g, "gone");
	gc_file(g, "gone too");
	(void)gc_take(g);
	gc_unfile(g, "gone");
	gc_unfile(g, "gone too");
	(void)gc_take(g);
	gc_erase(g, 0);
	packs = gc_packs(g);
}

static void tear_down(void)
{
	gc_frame_done(g);
}

/* Refused as damage; and all that was there is. */
static void expect_refusal_at(int64_t grace_ms, const char *says)
{
	ck_assert_int_eq(gc_collect_with(g, grace_ms, GC_REWRITE_BYTES), -1);
	ck_assert_msg(g->e.code == ERR_CORRUPT, "%s", g->e.text);
	ck_assert_msg(strstr(g->e.text, says), "\"%s\" lacks \"%s\"", g->e.text,
		      says);
	ck_assert_msg(strstr(g->e.text, "nothing was deleted"), "%s",
		      g->e.text);
	fault_clear(gc_store(g));
	ck_assert_uint_eq(gc_packs(g), packs);
	ck_assert_uint_eq(gc_objects(g, "snapshots/"), 2);
	ck_assert_uint_eq(gc_objects(g, "sessions/"), 0);
}

static void expect_refusal(const char *says)
{
	expect_refusal_at(0, says);
}

static void expect_collection(void)
{
	gc_collect(g, 0);
	ck_assert_uint_gt(g->result.deleted, 0);
	gc_expect(g, 1);
}

/* ---- Damage ------------------------------------------------------------- */

START_TEST(a_damaged_manifest_stops_it_until_it_is_given_up)
{
	gc_damage(g, gc_last(g, "snapshots/").s);
	expect_refusal("what a snapshot needs is not known");
	gc_repair(g);
	gc_collect(g, 0);
}
END_TEST

START_TEST(a_damaged_index_stops_it_until_it_is_repaired)
{
	gc_damage(g, gc_last(g, "index/").s);
	expect_refusal("the index is damaged");
	gc_repair(g);
	expect_collection();
	gc_expect_sound(g);
}
END_TEST

START_TEST(an_index_object_that_is_gone_stops_it)
{
	gc_ok(store_remove(gc_store(g), gc_last(g, "index/").s, &g->e));
	expect_refusal("which no pack holds");
	gc_repair(g);
	expect_collection();
}
END_TEST

struct names {
	struct object_name v[8];
	size_t n;
};

static int add_name(void *arg, const struct store_entry *entry, struct err *e)
{
	struct names *l = arg;

	(void)e;
	ck_assert_uint_lt(l->n, 8);
	(void)snprintf(l->v[l->n++].s, sizeof(l->v[0].s), "%s", entry->name);
	return 0;
}

/* Trees cannot be walked, so that what snapshots need is not known. */
START_TEST(a_tree_that_cannot_be_read_stops_it)
{
	struct names metadata = { .n = 0 };

	gc_ok(store_list(gc_store(g), "meta/", add_name, &metadata, &g->e));
	for (size_t i = 0; i < metadata.n; i++)
		gc_damage_chunks(g, metadata.v[i].s);
	expect_refusal("which cannot be read");
	gc_repair(g);
	gc_collect(g, 0);
}
END_TEST

/* A disk, or a cable, that was at fault for a while, and a hasty repair. */
START_TEST(what_a_node_reaches_that_was_given_up_and_opens_again_stays)
{
	struct names metadata = { .n = 0 };
	struct buf sound[sizeof(metadata.v) / sizeof(metadata.v[0])];

	gc_ok(store_list(gc_store(g), "meta/", add_name, &metadata, &g->e));
	for (size_t i = 0; i < metadata.n; i++) {
		repo_get(gc_store(g), metadata.v[i].s, &sound[i]);
		gc_damage_chunks(g, metadata.v[i].s);
	}
	gc_repair(g);
	for (size_t i = 0; i < metadata.n; i++) {
		repo_set(gc_store(g), metadata.v[i].s, sound[i].data,
			 sound[i].len);
		buf_done(&sound[i]);
	}
	gc_collect(g, 0);
	ck_assert_uint_gt(g->result.deleted, 0);
	gc_repair(g);
	gc_expect(g, 1);
}
END_TEST

/* Nobody has the chunks whole; what is left of them may yet be mended. */
START_TEST(what_is_left_of_a_chunk_that_was_given_up_stays)
{
	const struct object_name data = gc_last(g, "data/");
	CLEANUP(buf_done) struct buf sound;

	repo_get(gc_store(g), data.s, &sound);
	gc_damage_chunks(g, data.s);
	gc_repair(g);
	gc_mark_all(g);
	gc_collect(g, 0);
	ck_assert_uint_eq(gc_objects(g, data.s), 1);
	repo_set(gc_store(g), data.s, sound.data, sound.len);
	gc_repair(g);
	gc_expect(g, 1);
}
END_TEST

/* One pack holds it damaged, which a repair saw; one holds it, and must go. */
START_TEST(what_was_given_up_in_one_pack_is_copied_out_of_another)
{
	const struct object_name data = gc_last(g, "data/");
	struct names packs_now = { .n = 0 };
	struct object_id first;
	struct object_id id;
	struct record mark;

	gc_damage_chunks(g, data.s);
	gc_repair(g);
	(void)gc_take(g); /* stores it anew */
	gc_ok(store_list(gc_store(g), "data/", add_name, &packs_now, &g->e));
	ck_assert_uint_eq(packs_now.n, 2);
	record_init(&mark, OBJECT_MARK);
	mark.id = object_id_new();
	mark.time = g->now;
	for (size_t i = 0; i < 2; i++) {
		if (strcmp(packs_now.v[i].s, data.s) == 0)
			continue;
		ck_assert(object_name_parse(OBJECT_DATA_PACK, packs_now.v[i].s,
					    &first, &id));
		gc_ok(record_add_id(&mark, id, &g->e));
	}
	gc_ok(record_put(gc_store(g), repository_keys(g->f.r), &mark, 0,
			 &g->e));
	record_done(&mark);
	gc_collect(g, 0);
	ck_assert_uint_gt(g->result.bytes_copied, GC_FILE_BYTES);
	ck_assert_uint_eq(gc_objects(g, object_name(OBJECT_DATA_PACK, id).s),
			  0);
	gc_expect(g, 2);
}
END_TEST

START_TEST(a_pack_that_is_gone_stops_it_until_it_is_given_up)
{
	gc_ok(store_remove(gc_store(g), gc_last(g, "data/").s, &g->e));
	packs--;
	expect_refusal("which is not there");
	gc_repair(g);
	gc_collect(g, 0);
}
END_TEST

/* It was marked, so that somebody may well have deleted it; but not so far. */
START_TEST(what_is_needed_of_a_marked_pack_that_is_gone_stops_it)
{
	gc_mark_all(g);
	gc_ok(store_remove(gc_store(g), gc_last(g, "data/").s, &g->e));
	packs--;
	g->now = instant_add_ms(g->now, 10);
	expect_refusal_at(1, "which no pack holds");
	expect_refusal("which no pack holds");
	gc_repair(g);
	gc_collect(g, 0);
}
END_TEST

/* Nothing is known any more of chunks that snapshots need. */
START_TEST(what_is_in_no_pack_and_no_index_stops_it_until_it_is_given_up)
{
	while (gc_objects(g, "index/"))
		gc_ok(store_remove(gc_store(g), gc_last(g, "index/").s, &g->e));
	gc_ok(store_remove(gc_store(g), gc_last(g, "data/").s, &g->e));
	packs--;
	expect_refusal("which no pack holds");
	/* The first finds the trees again, the second what they miss. */
	gc_repair(g);
	gc_repair(g);
	gc_collect(g, 0);
	ck_assert_uint_gt(g->result.deleted, 0);
	gc_file(g, "kept"); /* another one of that name */
	(void)gc_take(g);
	gc_collect(g, 0);
	gc_expect(g, 2);
}
END_TEST

static int data_pack(void *arg, const struct pack_entry *x, struct err *e)
{
	(void)e;
	/* A tree would have stopped it before. */
	if (!chunk_kind_is_meta(x->seal.kind))
		*(struct pack_entry *)arg = *x;
	return 0;
}

/* What is to be copied out of a pack that goes must open. */
START_TEST(a_chunk_that_cannot_be_copied_stops_it)
{
	const struct index_set_options o = { .cache_bytes = 0 };
	CLEANUP(index_set_free) struct index_set *x = NULL;
	CLEANUP(buf_done) struct buf b;
	struct pack_entry last = { 0 };
	struct object_name name;
	struct record mark;

	/* Another collector's mark on a pack; all of them are needed. */
	gc_ok(gc_undelete(g, 0));
	gc_ok(index_set_open(gc_store(g), repository_keys(g->f.r), &o, &x,
			     &g->e));
	gc_ok(index_set_walk(x, data_pack, &last, &g->e));
	record_init(&mark, OBJECT_MARK);
	mark.id = object_id_new();
	mark.time = g->now;
	gc_ok(record_add_id(&mark, last.place.pack, &g->e));
	gc_ok(record_put(gc_store(g), repository_keys(g->f.r), &mark, 0,
			 &g->e));
	record_done(&mark);
	name = object_name(OBJECT_DATA_PACK, last.place.pack);
	repo_get(gc_store(g), name.s, &b);
	for (size_t i = OBJECT_HEADER_SIZE; i < b.len - 400; i += 13)
		b.data[i] ^= 1;
	repo_set(gc_store(g), name.s, b.data, b.len);
	ck_assert_int_eq(gc_collect_with(g, 0, GC_REWRITE_BYTES), -1);
	ck_assert_int_eq(g->e.code, ERR_CORRUPT);
	ck_assert_ptr_nonnull(strstr(g->e.text, "cannot be copied"));
	ck_assert_uint_eq(gc_objects(g, name.s), 1);
}
END_TEST

/* ---- Records that do not open ------------------------------------------- */

static void put_rubbish(struct object_name name)
{
	repo_set(gc_store(g), name.s, "rubbish", 7);
}

/* It cannot be told whether it deletes anything: it does not. */
START_TEST(a_tombstone_that_does_not_open_deletes_nothing)
{
	gc_damage(g, gc_last(g, "tombstones/").s);
	gc_collect(g, 0);
	ck_assert_uint_eq(g->result.deleted, 0);
	gc_expect(g, 0);
}
END_TEST

START_TEST(an_undelete_that_does_not_open_is_in_force)
{
	put_rubbish(
		object_name_pair(OBJECT_UNDELETE, g->ids[0], object_id_new()));
	gc_collect(g, 0);
	ck_assert_uint_eq(g->result.snapshots, 0);
	ck_assert_uint_eq(g->result.deleted, 0);
}
END_TEST

/* Somebody undeletes, is acknowledged, and dies before it leaves. */
static void undelete_and_die(void)
{
	struct record undelete;
	struct record session;

	gc_ok(gc_undelete(g, 0));
	ck_assert_int_eq(record_get(gc_store(g), repository_keys(g->f.r),
				    OBJECT_UNDELETE, gc_last(g, "undeletes/").s,
				    &undelete, &g->e),
			 1);
	record_init(&session, OBJECT_SESSION);
	session.id = undelete.session;
	gc_ok(record_put(gc_store(g), repository_keys(g->f.r), &session, 0,
			 &g->e));
	record_done(&undelete);
}

/* A bad sector, once: the void of its session must not leave it out. */
START_TEST(an_undelete_that_cannot_be_read_is_not_annulled)
{
	const struct fault bad = { .call = FAULT_READ,
				   .action = FAULT_FAIL,
				   .prefix = "undeletes/",
				   .times = 1,
				   .sys = EIO };

	undelete_and_die();
	fault_add(gc_store(g), &bad);
	gc_collect(g, 0);
	ck_assert_uint_eq(g->result.sessions_ended, 1);
	ck_assert_uint_eq(g->result.snapshots, 0);
	{
		CLEANUP(repository_snapshot_done)
		struct repository_snapshot s = gc_look(g, 0);

		ck_assert(!s.deleted);
	}
	gc_expect(g, 0);
	gc_expect_sound(g);
}
END_TEST

/* It would go on deleting the snapshot. */
START_TEST(undelete_stops_at_a_tombstone_that_cannot_be_read)
{
	CLEANUP(repository_snapshot_done)
	struct repository_snapshot s = gc_look(g, 0);
	const struct deletion d = gc_asked(g);
	const struct fault unreadable = { .call = FAULT_READ,
					  .action = FAULT_FAIL,
					  .prefix = "tombstones/",
					  .sys = EIO };

	fault_add(gc_store(g), &unreadable);
	ck_assert_int_eq(deletion_undelete(g->f.r, &s, &d, &g->e), -1);
	ck_assert_int_eq(g->e.code, ERR_IO);
	fault_clear(gc_store(g));
	ck_assert_uint_eq(gc_objects(g, "undeletes/"), 0);
	gc_ok(gc_undelete(g, 0));
}
END_TEST

START_TEST(a_hold_that_does_not_open_holds_everything)
{
	put_rubbish(object_name(OBJECT_HOLD, object_id_new()));
	gc_collect(g, 0);
	ck_assert_uint_eq(g->result.deleted, 0);
}
END_TEST

START_TEST(a_lock_that_does_not_open_has_no_end)
{
	put_rubbish(object_name_pair(OBJECT_LOCK, g->ids[0], object_id_new()));
	gc_collect(g, 0);
	ck_assert_uint_eq(g->result.deleted, 0);
}
END_TEST

/* Nothing is known of whoever it is: until a repair gives it up. */
START_TEST(a_session_that_does_not_open_is_at_work)
{
	put_rubbish(object_name(OBJECT_SESSION, object_id_new()));
	gc_collect(g, 0);
	ck_assert_uint_eq(g->result.deleted, 0);
	ck_assert_uint_eq(g->result.n_blocked, 1);
	ck_assert_ptr_nonnull(
		strstr(g->result.blocked[0].why, "does not open"));
	gc_repair(g);
	expect_collection();
}
END_TEST

START_TEST(a_pin_that_does_not_open_pins_everything)
{
	put_rubbish(object_name(OBJECT_PIN, object_id_new()));
	gc_collect(g, 0);
	ck_assert_uint_eq(g->result.snapshots, 0);
	ck_assert_uint_eq(g->result.deleted, 0);
	gc_repair(g);
	expect_collection();
}
END_TEST

START_TEST(a_mark_that_does_not_open_marks_nothing)
{
	put_rubbish(object_name(OBJECT_MARK, object_id_new()));
	expect_collection();
}
END_TEST

/* What it names is not known, and a newer collector may delete it. */
START_TEST(a_mark_of_a_newer_program_ends_collections_and_writers)
{
	struct snapshot_options so = { .no_parent = false };
	struct snapshot_result taken;
	struct object_name name;
	CLEANUP(buf_done) struct buf b;

	gc_mark_all(g);
	name = gc_last(g, "marks/");
	repo_get(gc_store(g), name.s, &b);
	b.data[9]++;		/* the version of the format, */
	b.data[b.len - 1] ^= 1; /* which is sealed in it */
	repo_set(gc_store(g), name.s, b.data, b.len);
	ck_assert_int_eq(gc_collect_with(g, 0, GC_REWRITE_BYTES), -1);
	ck_assert_msg(g->e.code == ERR_NEWER, "%s", g->e.text);
	ck_assert_uint_eq(g->result.deleted, 0);
	ck_assert_uint_eq(gc_packs(g), packs);
	gc_file(g, "new");
	ck_assert_int_eq(repo_take_with(&g->f, &so, &taken, &g->e), -1);
	ck_assert_msg(g->e.code == ERR_NEWER, "%s", g->e.text);
	gc_expect(g, 1);
}
END_TEST

START_TEST(a_fence_and_a_void_that_do_not_open_harm_nothing)
{
	const struct object_id session = object_id_new();

	put_rubbish(object_name(OBJECT_FENCE, session));
	put_rubbish(object_name_pair(OBJECT_VOID, session, object_id_new()));
	expect_collection();
}
END_TEST

/* ---- Listings ----------------------------------------------------------- */

static void lie(enum fault_action action, const char *prefix, uint64_t amount)
{
	const struct fault f = { .call = FAULT_LIST,
				 .action = action,
				 .prefix = prefix,
				 .amount = amount };

	fault_add(gc_store(g), &f);
}

/* As what is in front of a server may do. */
START_TEST(a_manifest_that_is_listed_and_not_there_stops_it)
{
	fault_add(gc_store(g), &(struct fault){ .call = FAULT_READ,
						.action = FAULT_ABSENT,
						.prefix = "snapshots/" });
	ck_assert_int_eq(gc_collect_with(g, 0, GC_REWRITE_BYTES), -1);
	ck_assert_int_eq(g->e.code, ERR_BUSY);
	ck_assert_ptr_nonnull(
		strstr(g->e.text, "is listed, and cannot be read"));
	fault_clear(gc_store(g));
	ck_assert_uint_eq(gc_packs(g), packs);
	expect_collection();
}
END_TEST

START_TEST(a_listing_that_fails_ends_it)
{
	static const char *const folders[] = {
		"data/",      "meta/",	 "index/", "snapshots/", "sessions/",
		"marks/",     "pins/",	 "holds/", "locks/",	 "tombstones/",
		"undeletes/", "fences/", "voids/", "receipts/",	 "quarantine/",
	};

	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		lie(FAULT_FAIL, folders[i], 0);
		ck_assert_msg(gc_collect_with(g, 0, GC_REWRITE_BYTES) == -1,
			      "%s", folders[i]);
		ck_assert_int_eq(g->e.code, ERR_IO);
		fault_clear(gc_store(g));
		ck_assert_uint_eq(gc_packs(g), packs);
	}
	expect_collection();
}
END_TEST

/*
 * From one on, whichever it is, but for the first: a store that never tells of
 * any has none.  It refuses, or what is needed stays.
 */
START_TEST(listings_of_manifests_that_are_empty_harm_nothing)
{
	bool met = true;

	for (uint64_t nth = 2; met; nth++) {
		const struct fault f = { .call = FAULT_LIST,
					 .action = FAULT_ABSENT,
					 .prefix = "snapshots/",
					 .nth = nth };
		uint64_t calls;

		fault_add(gc_store(g), &f);
		calls = fault_calls(gc_store(g), FAULT_LIST);
		if (gc_collect_with(g, 0, GC_REWRITE_BYTES) < 0)
			ck_assert_msg(g->e.code == ERR_CORRUPT ||
					      g->e.code == ERR_BUSY,
				      "%s", g->e.text);
		met = fault_calls(gc_store(g), FAULT_LIST) - calls > nth &&
		      nth < 80;
		fault_clear(gc_store(g));
		gc_expect(g, 1);
	}
}
END_TEST

START_TEST(a_listing_that_is_cut_short_stops_it)
{
	static const char *const folders[] = { "snapshots/", "index/" };

	for (size_t i = 0; i < 2; i++) {
		const struct fault cut = { .call = FAULT_LIST,
					   .action = FAULT_SHORT,
					   .prefix = folders[i],
					   .amount = 1 };

		fault_add(gc_store(g), &cut);
		expect_refusal("when asked for more");
	}
	expect_collection();
}
END_TEST

/* As a server does that forgets to say that there is more. */
START_TEST(a_store_that_cuts_all_listings_is_refused)
{
	const uint64_t most = gc_objects(g, "") - gc_objects(g, "data/");
	struct fault cut = { .call = FAULT_LIST, .action = FAULT_SHORT };

	/* The config comes before data packs; but there is a session more. */
	for (cut.amount = 0; cut.amount < most; cut.amount++) {
		fault_add(gc_store(g), &cut);
		ck_assert_int_eq(gc_collect_with(g, 0, GC_REWRITE_BYTES), -1);
		ck_assert_msg(g->e.code == ERR_CORRUPT, "%s", g->e.text);
		fault_clear(gc_store(g));
		ck_assert_uint_eq(gc_packs(g), packs);
		ck_assert_uint_eq(gc_objects(g, "sessions/"), 0);
	}
	expect_collection();
}
END_TEST

START_TEST(packs_that_are_not_listed_stop_it)
{
	lie(FAULT_ABSENT, "data/", 0);
	/* Their sizes can be asked for, one by one: none is lost. */
	gc_collect(g, 0);
	fault_clear(gc_store(g));
	gc_expect(g, 1);
	gc_expect_sound(g);
}
END_TEST

/* They may be copied and deleted, but are not taken for gone. */
START_TEST(marked_packs_that_are_not_listed_are_asked_for)
{
	gc_mark_all(g);
	lie(FAULT_ABSENT, "data/", 0);
	gc_collect(g, 0);
	fault_clear(gc_store(g));
	ck_assert_uint_gt(g->result.chunks_copied, 0);
	ck_assert_uint_eq(g->result.snapshots, 1);
	gc_collect(g, 0);
	gc_expect(g, 1);
	gc_expect_sound(g);
}
END_TEST

/* Short just now, while something else grew: what was counted stays so. */
START_TEST(a_short_listing_does_not_become_the_inventory)
{
	gc_collect(g, -1);
	gc_erase(g, 1);
	/* Fences come before receipts. */
	repo_set(gc_store(g),
		 object_name(OBJECT_FENCE, (struct object_id){ { 1 } }).s,
		 "rubbish", 7);
	lie(FAULT_SHORT, ">", 1);
	gc_ok(inventory_put(gc_store(g), repository_keys(g->f.r), g->now, false,
			    &g->e));
	fault_clear(gc_store(g));
	ck_assert_uint_eq(gc_objects(g, "inventories/"), 1);
	gc_ok(store_remove(gc_store(g), gc_last(g, "receipts/").s, &g->e));
	expect_refusal("where there were 2 at the last collection");
}
END_TEST

START_TEST(an_empty_listing_where_there_were_objects_stops_it)
{
	static const char *const folders[] = { "receipts/", "tombstones/" };

	gc_collect(g, -1); /* counts what there is */
	for (size_t i = 0; i < 2; i++) {
		lie(FAULT_ABSENT, folders[i], 0);
		expect_refusal("when asked for more");
		lie(FAULT_HIDE, folders[i], 0);
		expect_refusal("at the last collection");
	}
	expect_collection();
}
END_TEST

START_TEST(a_store_that_does_not_list_our_session_is_refused)
{
	lie(FAULT_HIDE, "sessions/", 0);
	expect_refusal("which was just put there");
}
END_TEST

/* A repair accepts it, as somebody may know why: then it goes on. */
START_TEST(what_is_gone_for_good_is_damage_until_it_is_accepted)
{
	CLEANUP(check_result_done) struct check_result x = { 0 };
	const struct check_options o = { .level = CHECK_STRUCTURE,
					 .now = g->now };

	gc_collect(g, -1);
	gc_ok(store_remove(gc_store(g), gc_last(g, "receipts/").s, &g->e));
	expect_refusal("at the last collection");
	gc_never_still();
	gc_ok(check_run(g->f.r, &o, &x, &g->e));
	ck_assert(!x.sound);
	ck_assert_int_eq(x.findings[0].kind, OBJECT_INVENTORY);
	ck_assert_ptr_nonnull(strstr(x.findings[0].message, "\"receipts/\""));
	gc_repair(g);
	gc_expect_sound(g);
	expect_collection();
}
END_TEST

/* ---- A store that fails ------------------------------------------------- */

#define STRIDE 23

/*
 * Whatever call fails, or was done and its answer lost: everything that was
 * acknowledged restores, the next collection ends the work, and nothing is
 * left that belongs to nobody.
 */
START_TEST(a_collection_that_fails_anywhere_harms_nothing)
{
	/* Every one of them is `tests/scenario/kill.py`'s; here some. */
	uint64_t nth = 1 + random_below(&g->dice, STRIDE);
	int failed;

	do {
		const struct fault f = {
			.call = FAULT_ANY,
			.action = nth % 2 ? FAULT_FAIL : FAULT_FAIL_AFTER,
			.nth = nth,
		};

		tear_down();
		set_up();
		fault_add(gc_store(g), &f);
		failed = gc_collect_with(g, 0, GC_REWRITE_BYTES);
		fault_clear(gc_store(g));
		gc_expect(g, 1);
		gc_collect(g, 0);
		gc_collect(g, 0);
		ck_assert_uint_eq(gc_objects(g, "sessions/"), 0);
		ck_assert(!gc_exists(g, 0));
		gc_expect_sound(g);
		gc_expect(g, 1);
		nth += STRIDE;
	} while (failed);
}
END_TEST

/* ---- Standing still ----------------------------------------------------- */

/* Whoever else is here, when the check has listed snapshots and the index. */
static void collect_meanwhile(void *arg, const struct check_progress *p)
{
	const struct gc_options o = { .now = g->now,
				      .rewrite_bytes = GC_REWRITE_BYTES,
				      .host = "host" };

	if (strcmp(p->stage, "listing") != 0 || p->done)
		return;
	gc_ok(gc_run(arg, &o, &g->result, &g->e));
	ck_assert_uint_eq(g->result.sessions_ended, 1);
	ck_assert_uint_gt(g->result.deleted, 0);
}

/* Its pin was given up: what went meanwhile is no damage. */
START_TEST(a_check_that_stood_still_is_no_judge)
{
	CLEANUP(repository_close) struct repository *other = NULL;
	CLEANUP(check_result_done) struct check_result x = { 0 };
	struct check_options o = { .level = CHECK_DATA,
				   .now = g->now,
				   .progress = collect_meanwhile };

	gc_ok(repository_open(g->f.url, g->f.credential, &other, &g->e));
	o.arg = other;
	fault_add(gc_store(g), &(struct fault){ .call = FAULT_COMMIT,
						.action = FAULT_FAIL,
						.prefix = "pins/",
						.nth = 2 });
	ck_assert_int_eq(check_run(g->f.r, &o, &x, &g->e), -1);
	ck_assert_msg(g->e.code == ERR_BUSY, "%s", g->e.text);
	gc_expect_sound(g);
}
END_TEST

/* Whoever else is here, before ours looks whether its session is listed. */
static void give_up_meanwhile(void *arg, const struct gc_progress *p)
{
	struct repository **other = arg;
	const struct gc_options o = { .now = g->now,
				      .rewrite_bytes = GC_REWRITE_BYTES,
				      .host = "host" };
	struct repository *r = *other;
	struct gc_result result;

	if (!r || strcmp(p->stage, "listing") != 0)
		return;
	*other = NULL; /* once */
	gc_ok(gc_run(r, &o, &result, &g->e));
	ck_assert_uint_eq(result.sessions_ended, 1);
	repository_close(r);
}

/* That its session is gone is no fault of the store. */
START_TEST(a_collection_that_stood_still_is_no_judge)
{
	struct repository *other;
	struct gc_options o = { .now = g->now,
				.rewrite_bytes = GC_REWRITE_BYTES,
				.host = "host",
				.progress = give_up_meanwhile,
				.arg = &other };

	gc_ok(repository_open(g->f.url, g->f.credential, &other, &g->e));
	fault_add(gc_store(g), &(struct fault){ .call = FAULT_COMMIT,
						.action = FAULT_FAIL,
						.prefix = "sessions/",
						.nth = 2 });
	ck_assert_int_eq(gc_run(g->f.r, &o, &g->result, &g->e), -1);
	ck_assert_msg(g->e.code == ERR_BUSY, "%s", g->e.text);
	fault_clear(gc_store(g));
	gc_expect(g, 1);
	gc_expect_sound(g);
}
END_TEST

/* What another collection takes while ours looks at what snapshots need. */
struct taken {
	struct object_id snapshot;
	struct buf before; /* names of metadata packs, each with its NUL */
	bool done;
};

static int note_name(void *arg, const struct store_entry *entry, struct err *e)
{
	return buf_add(arg, entry->name, strlen(entry->name) + 1, e);
}

static int take_pack(void *arg, const struct store_entry *entry, struct err *e)
{
	const struct buf *before = arg;
	const size_t n = strlen(entry->name) + 1;

	return memmem(before->data, before->len, entry->name, n)
		       ? 0
		       : store_remove(gc_store(g), entry->name, e);
}

static int take_object(void *arg, const struct store_entry *entry,
		       struct err *e)
{
	(void)arg;
	return store_remove(gc_store(g), entry->name, e);
}

static void let_go_meanwhile(void *arg, const struct gc_progress *p)
{
	struct taken *t = arg;
	char prefix[64] = "snapshots/";

	if (t->done || strcmp(p->stage, "trees") != 0)
		return;
	t->done = true;
	object_id_format(t->snapshot, prefix + strlen(prefix));
	gc_ok(store_list(gc_store(g), prefix, take_object, NULL, &g->e));
	gc_ok(store_list(gc_store(g), "meta/", take_pack, &t->before, &g->e));
}

/* Who waits less lets go of what counts for a collection with more grace. */
START_TEST(a_collection_that_is_more_patient_is_no_judge)
{
	struct taken t = { .done = false };
	const struct gc_options o = { .now = g->now,
				      .grace_ms = GC_DAY_MS,
				      .rewrite_bytes = GC_REWRITE_BYTES,
				      .host = "host",
				      .progress = let_go_meanwhile,
				      .arg = &t };

	buf_init(&t.before, 1 << 20);
	gc_ok(store_list(gc_store(g), "meta/", note_name, &t.before, &g->e));
	gc_file(g, "more");
	t.snapshot = g->ids[gc_take(g)];
	gc_erase(g, 2);
	gc_reopen(g);
	ck_assert_int_eq(gc_run(g->f.r, &o, &g->result, &g->e), -1);
	ck_assert(t.done);
	ck_assert_msg(g->e.code == ERR_BUSY, "%s", g->e.text);
	gc_expect(g, 1);
	buf_done(&t.before);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, a_damaged_manifest_stops_it_until_it_is_given_up);
	tcase_add_test(tc, a_damaged_index_stops_it_until_it_is_repaired);
	tcase_add_test(tc, an_index_object_that_is_gone_stops_it);
	tcase_add_test(tc, a_tree_that_cannot_be_read_stops_it);
	tcase_add_test(
		tc,
		what_a_node_reaches_that_was_given_up_and_opens_again_stays);
	tcase_add_test(tc, what_is_left_of_a_chunk_that_was_given_up_stays);
	tcase_add_test(tc,
		       what_was_given_up_in_one_pack_is_copied_out_of_another);
	tcase_add_test(tc, a_pack_that_is_gone_stops_it_until_it_is_given_up);
	tcase_add_test(tc,
		       what_is_needed_of_a_marked_pack_that_is_gone_stops_it);
	tcase_add_test(
		tc,
		what_is_in_no_pack_and_no_index_stops_it_until_it_is_given_up);
	tcase_add_test(tc, a_chunk_that_cannot_be_copied_stops_it);
	tcase_add_test(tc, a_tombstone_that_does_not_open_deletes_nothing);
	tcase_add_test(tc, an_undelete_that_does_not_open_is_in_force);
	tcase_add_test(tc, an_undelete_that_cannot_be_read_is_not_annulled);
	tcase_add_test(tc, undelete_stops_at_a_tombstone_that_cannot_be_read);
	tcase_add_test(tc, a_hold_that_does_not_open_holds_everything);
	tcase_add_test(tc, a_lock_that_does_not_open_has_no_end);
	tcase_add_test(tc, a_session_that_does_not_open_is_at_work);
	tcase_add_test(tc, a_pin_that_does_not_open_pins_everything);
	tcase_add_test(tc, a_mark_that_does_not_open_marks_nothing);
	tcase_add_test(tc,
		       a_mark_of_a_newer_program_ends_collections_and_writers);
	tcase_add_test(tc, a_fence_and_a_void_that_do_not_open_harm_nothing);
	tcase_add_test(tc, a_manifest_that_is_listed_and_not_there_stops_it);
	tcase_add_test(tc, a_listing_that_fails_ends_it);
	tcase_add_test(tc, listings_of_manifests_that_are_empty_harm_nothing);
	tcase_add_test(tc, a_listing_that_is_cut_short_stops_it);
	tcase_add_test(tc, a_store_that_cuts_all_listings_is_refused);
	tcase_add_test(tc, packs_that_are_not_listed_stop_it);
	tcase_add_test(tc, marked_packs_that_are_not_listed_are_asked_for);
	tcase_add_test(tc, a_short_listing_does_not_become_the_inventory);
	tcase_add_test(tc, an_empty_listing_where_there_were_objects_stops_it);
	tcase_add_test(tc, a_store_that_does_not_list_our_session_is_refused);
	tcase_add_test(tc,
		       what_is_gone_for_good_is_damage_until_it_is_accepted);
	tcase_add_test(tc, a_collection_that_fails_anywhere_harms_nothing);
	tcase_add_test(tc, a_check_that_stood_still_is_no_judge);
	tcase_add_test(tc, a_collection_that_stood_still_is_no_judge);
	tcase_add_test(tc, a_collection_that_is_more_patient_is_no_judge);
}

CHECK_MAIN("storage/gc_bad", cases)

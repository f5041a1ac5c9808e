/*
 * What becomes of damage: of a check that runs out of memory over it, of what
 * a disk cannot read any more, and of what repairs give up.
 */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/repository/check.h"
#include "storage/repository/deletion.h"
#include "storage/repository/index.h"
#include "storage/stores/fault.h"
#include "tests/support/alloc_fail.h"
#include "tests/support/random.h"
#include "tests/support/repo_frame.h"
#include "tests/support/repo_records.h"
#include "tests/support/repo_store.h"

#define URL "mem:damage"

static struct repo_frame f;
static struct random dice = { 1 };
static struct err e;

static void write_file(const char *name, size_t n)
{
	char path[SCRATCH_PATH + 64];
	uint8_t *bytes = malloc(n + 1);
	FILE *file;

	ck_assert_ptr_nonnull(bytes);
	random_bytes(&dice, bytes, n);
	(void)snprintf(path, sizeof(path), "%s/%s", f.from, name);
	file = fopen(path, "we");
	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(bytes, 1, n, file), n);
	ck_assert_int_eq(fclose(file), 0);
	free(bytes);
}

static void set_up(void)
{
	repo_frame_init(&f, URL);
	ck_assert_int_eq(mkdir(f.from, 0700), 0);
	write_file("small", 900);
	write_file("large", 900000);
}

static void tear_down(void)
{
	repo_frame_done(&f);
}

/* A disk on which the reads that bad describes fail; NULL: a sound one. */
static int open_on(const struct fault *bad, struct repository **ret,
		   struct err *_e)
{
	struct store *inner = NULL;
	struct store *s = NULL;

	if (store_open(URL, false, &inner, _e) || fault_wrap(inner, &s, _e))
		return -1;
	if (bad)
		fault_add(s, bad);
	return repository_open_on(s, f.credential, ret, _e);
}

static int look_on(const struct fault *bad, enum check_level level, bool repair,
		   struct check_result *ret, struct err *_e)
{
	const struct check_options o = { .level = level,
					 .repair = repair,
					 .now = clock_now(),
					 .scratch = f.dir.path };
	CLEANUP(repository_close) struct repository *r = NULL;

	if (open_on(bad, &r, _e))
		return -1;
	return check_run(r, &o, ret, _e);
}

static int look(enum check_level level, bool repair, struct check_result *ret,
		struct err *_e)
{
	return look_on(NULL, level, repair, ret, _e);
}

static const struct check_finding *finding(const struct check_result *x,
					   const char *object)
{
	for (uint64_t i = 0; i < x->n_findings; i++)
		if (strcmp(x->findings[i].object, object) == 0)
			return &x->findings[i];
	return NULL;
}

static int keep_name(void *arg, const struct store_entry *entry, struct err *_e)
{
	(void)_e;
	(void)snprintf(arg, STORE_NAME_MAX + 1, "%s", entry->name);
	return 0;
}

/* The last object whose name begins with prefix. */
static void find_object(const char *prefix, char name[STORE_NAME_MAX + 1])
{
	name[0] = '\0';
	ck_ok(store_list(repository_store(f.r), prefix, keep_name, name, &e));
	ck_assert_msg(name[0] != '\0', "there is nothing in %s", prefix);
}

/*
 * Out of memory.
 */
static int story_check(void *arg, struct err *_e)
{
	CLEANUP(check_result_done) struct check_result x = { 0 };

	(void)arg;
	if (look(CHECK_STRUCTURE, false, &x, _e))
		return -1;
	return x.sound ? err_set(_e, ERR_BUG, "it is sound") : 0;
}

START_TEST(a_check_without_memory_never_says_sound)
{
	char name[STORE_NAME_MAX + 1];

	(void)repo_take(&f);
	find_object("data/", name);
	ck_ok(store_remove(repository_store(f.r), name, &e));
	ck_assert_uint_gt(alloc_fail_each(story_check, NULL), 20);
}
END_TEST

/*
 * Bad sectors.
 */
static struct fault bad_sector(const char *name)
{
	return (struct fault){ .call = FAULT_READ,
			       .action = FAULT_FAIL,
			       .prefix = name,
			       .sys = EIO };
}

static int add_name(void *arg, const struct store_entry *entry, struct err *_e)
{
	return buf_add(arg, entry->name, strlen(entry->name) + 1, _e);
}

/* Levels that open the object. */
static enum check_level lowest(const char *name)
{
	return strncmp(name, "data/", 5) == 0 ||
			       strncmp(name, "meta/", 5) == 0 ||
			       strncmp(name, "index/", 6) == 0
		       ? CHECK_STRUCTURE
		       : CHECK_LISTED;
}

START_TEST(a_check_names_whatever_cannot_be_read)
{
	CLEANUP(buf_done) struct buf names;

	buf_init(&names, 1 << 20);
	(void)repo_take(&f);
	repo_put_records(repository_store(f.r), repository_keys(f.r));
	ck_ok(store_list(repository_store(f.r), "", add_name, &names, &e));
	for (const char *name = buf_str(&names); *name;
	     name += strlen(name) + 1) {
		const struct fault bad = bad_sector(name);

		/* Without these nothing opens. */
		if (strcmp(name, "config") == 0 || strncmp(name, "key", 3) == 0)
			continue;
		for (unsigned int l = lowest(name); l <= CHECK_DATA; l++) {
			CLEANUP(check_result_done)
			struct check_result x = { 0 };
			const struct check_finding *it;

			ck_assert_msg(look_on(&bad, (enum check_level)l, false,
					      &x, &e) == 0,
				      "%s at level %u: %s", name, l, e.text);
			it = finding(&x, name);
			ck_assert_msg(!x.sound && it, "%s at level %u", name,
				      l);
			ck_assert_str_eq(it->message, "input/output error");
		}
	}
}
END_TEST

/* Of four chunks that are read at once, the one on the bad sector is lost. */
START_TEST(a_bad_sector_costs_no_neighbours)
{
	CLEANUP(check_result_done) struct check_result x = { 0 };
	const struct check_finding *it;
	char name[STORE_NAME_MAX + 1];
	struct fault bad;

	(void)repo_take(&f);
	find_object("data/", name);
	bad = bad_sector(name);
	/* Its end, its header; all chunks at once; the first by itself. */
	bad.nth = 3;
	bad.times = 2;
	ck_ok(look_on(&bad, CHECK_DATA, false, &x, &e));
	it = finding(&x, name);
	ck_assert(!x.sound && it);
	ck_assert_uint_ge(x.chunks, 3);
	ck_assert_uint_eq(it->chunks, 1);
}
END_TEST

/* In place of the index, one with blocks that are read when they are needed. */
#define LARGE ((size_t)20 * INDEX_BLOCK_ENTRIES)

struct entries {
	struct pack_entry v[LARGE];
	size_t n;
};

static int keep_entry(void *arg, const struct pack_entry *x, struct err *_e)
{
	struct entries *all = arg;

	(void)_e;
	ck_assert_uint_lt(all->n, LARGE);
	all->v[all->n++] = *x;
	return 0;
}

static void enlarge_index(struct object_id *ret)
{
	static struct entries all;
	CLEANUP(index_writer_free) struct index_writer *w = NULL;
	struct index_set *index;
	struct pack_entry x = {
		.seal = { .kind = CHUNK_DATA, .epoch = 1, .plain_len = 100 },
		.place = { .offset = 32, .len = 120 }
	};
	char old[STORE_NAME_MAX + 1];

	find_object("index/", old);
	all.n = 0;
	ck_ok(repository_index(f.r, &index, &e));
	ck_ok(index_set_walk(index, keep_entry, &all, &e));
	x.place.pack = object_id_new();
	while (all.n < LARGE) {
		random_bytes(&dice, x.seal.id.b, sizeof(x.seal.id.b));
		all.v[all.n++] = x;
	}
	all.n = index_sort(all.v, all.n);
	ck_ok(index_writer_open(repository_store(f.r), repository_keys(f.r),
				(struct object_id){ { 0 } }, &w, &e));
	for (size_t i = 0; i < all.n; i++)
		ck_ok(index_writer_add(w, &all.v[i], &e));
	ck_ok(index_writer_commit(w, ret, &e));
	ck_ok(store_remove(repository_store(f.r), old, &e));
}

/* What a restore of all there is says, which is seen to be true. */
static struct restore_result restored_on(const struct fault *bad,
					 struct object_id id)
{
	struct repository *sound = f.r;
	struct restore_options o = { .overwrite = RESTORE_CHANGED };
	struct restore_result result;
	struct tree_list want;

	if (access(f.to, F_OK) == 0)
		scratch_remove(f.to);
	ck_ok(open_on(bad, &f.r, &e));
	ck_ok(repo_restore_with(&f, id, &o, &result, &e));
	ck_assert_uint_eq(f.failures, result.errors);
	repo_list(&want, f.from);
	repo_expect_rest(&f, &want, f.to);
	tree_list_done(&want);
	repository_close(f.r);
	f.r = sound;
	return result;
}

START_TEST(blocks_of_a_large_index_that_cannot_be_read_are_damage)
{
	const struct object_id id = repo_take(&f).id;
	struct restore_result result;
	struct object_name name;
	struct object_id index;
	uint64_t damaged = 0;

	enlarge_index(&index);
	name = object_name(OBJECT_INDEX, index);
	/* Opening it takes two reads; then come its blocks. */
	for (unsigned int nth = 1; nth < 6; nth++) {
		CLEANUP(check_result_done) struct check_result x = { 0 };
		struct fault bad = bad_sector(name.s);

		bad.nth = nth;
		ck_ok(look_on(&bad, CHECK_STRUCTURE, false, &x, &e));
		ck_assert(!x.sound);
		ck_assert_uint_gt(x.lost, 0);
		ck_assert_ptr_nonnull(finding(&x, name.s));
		result = restored_on(&bad, id);
		ck_assert_uint_eq(result.errors > 0, result.damaged);
		damaged += result.damaged;
	}
	ck_assert_uint_ge(damaged, 3);
}
END_TEST

START_TEST(a_restore_goes_on_behind_a_bad_sector)
{
	struct object_id id;
	struct restore_result result;
	char name[STORE_NAME_MAX + 1];
	struct fault bad;

	id = repo_take(&f).id;
	write_file("new", 300000);
	id = repo_take(&f).id;
	find_object("data/", name);
	bad = bad_sector(name);
	result = restored_on(&bad, id);
	ck_assert(result.damaged);
	ck_assert_uint_ge(result.errors, 1);
	ck_assert_uint_ge(result.files, 1);
	ck_assert_uint_eq(result.errors + result.files, 3);
	ck_assert_msg(strstr(f.failed, name) != NULL, "%s", f.failed);
	ck_assert_msg(strstr(f.failed, "input/output error") != NULL, "%s",
		      f.failed);
	/* All nodes of the tree: there is nothing to go on with. */
	bad = bad_sector("meta/");
	result = restored_on(&bad, id);
	ck_assert(result.damaged);
	ck_assert_uint_eq(result.files, 0);
}
END_TEST

/* A second holder of every chunk: stored again while the first was hidden. */
static int give_up_entry(void *arg, const struct pack_entry *x, struct err *_e)
{
	return record_add_chunk(arg, &x->seal.id, x->place.pack, _e);
}

START_TEST(a_bad_sector_is_no_loss_with_another_holder)
{
	CLEANUP(check_result_done) struct check_result x = { 0 };
	struct restore_result result;
	struct index_set *index;
	char first[STORE_NAME_MAX + 1];
	char meta[STORE_NAME_MAX + 1];
	struct fault bad;
	struct object_id id;
	struct record q;

	(void)repo_take(&f);
	find_object("data/", first);
	find_object("meta/", meta);
	ck_ok(repository_index(f.r, &index, &e));
	record_init(&q, OBJECT_QUARANTINE);
	q.id = object_id_new();
	ck_ok(index_set_walk(index, give_up_entry, &q, &e));
	ck_ok(record_put(repository_store(f.r), repository_keys(f.r), &q, 0,
			 &e));
	repo_frame_reopen(&f);
	id = repo_take(&f).id;
	ck_ok(store_remove(repository_store(f.r), record_name(&q).s, &e));
	record_done(&q);
	for (int i = 0; i < 2; i++) {
		bad = bad_sector(i ? meta : first);
		result = restored_on(&bad, id);
		ck_assert_msg(result.errors == 0, "%s", f.failed);
		ck_assert_uint_eq(result.files, 2);
	}
	bad = bad_sector(first);
	ck_ok(look_on(&bad, CHECK_DATA, false, &x, &e));
	ck_assert_uint_eq(x.lost, 0);
}
END_TEST

/* What a collector or a reader sees again later must not count as absent. */
START_TEST(deletions_that_cannot_be_read_are_not_absent)
{
	const struct deletion d = {
		.now = clock_now(), .grace_ms = 1000, .by = "test", .reason = ""
	};
	const struct fault no_marks = bad_sector("marks/");
	const struct fault no_tombstones = bad_sector("tombstones/");
	struct snapshot_options o = { .no_parent = false };
	struct repository *sound = f.r;
	struct snapshot_result got;
	struct repository_snapshot s;
	char id[OBJECT_ID_TEXT];

	object_id_format(repo_take(&f).id, id);
	repo_put_record(repository_store(f.r), repository_keys(f.r),
			OBJECT_MARK);
	ck_ok(open_on(&no_marks, &f.r, &e));
	ck_assert_int_eq(repo_take_with(&f, &o, &got, &e), -1);
	ck_assert_int_eq(e.code, ERR_IO);
	repository_close(f.r);
	manifest_init(&s.manifest);
	ck_ok(repository_find(sound, id, NULL, true, &s, NULL, &e));
	ck_ok(deletion_delete(sound, &s, &d, &e));
	s.deleted = true;
	ck_ok(open_on(&no_tombstones, &f.r, &e));
	ck_assert_int_eq(deletion_undelete(f.r, &s, &d, &e), -1);
	ck_assert_int_eq(e.code, ERR_IO);
	repository_close(f.r);
	repository_snapshot_done(&s);
	f.r = sound;
}
END_TEST

/*
 * Repairs.
 */
/* As one would look that a newer program wrote, or one with newer keys. */
static void renew(struct buf *bytes, bool keys)
{
	bytes->data[keys ? 12 : 9] = 99;
	bytes->data[bytes->len - 5] ^= 1; /* the trailer, under other keys */
}

START_TEST(what_is_newer_is_not_given_up)
{
	static const char *const prefixes[] = { "data/", "meta/", "receipts/" };

	(void)repo_take(&f);
	/* With a record of a later epoch the question has no answer at all. */
	for (unsigned int i = 0; i < 5; i++) {
		CLEANUP(check_result_done) struct check_result x = { 0 };
		CLEANUP(buf_done) struct buf was;
		CLEANUP(buf_done) struct buf now;
		struct store *s = repository_store(f.r);
		const struct check_finding *it;
		char name[STORE_NAME_MAX + 1];

		find_object(prefixes[i / 2], name);
		repo_get(s, name, &was);
		repo_get(s, name, &now);
		renew(&now, i % 2);
		repo_set(s, name, now.data, now.len);
		ck_ok(look(CHECK_DATA, true, &x, &e));
		it = finding(&x, name);
		ck_assert_msg(!x.sound && it && it->newer, "%s", name);
		ck_assert_uint_eq(x.quarantined, 0);
		check_result_done(&x);
		/* What the newer program sees. */
		repo_set(s, name, was.data, was.len);
		ck_ok(look(CHECK_DATA, false, &x, &e));
		ck_assert(x.sound);
		ck_assert_uint_eq(x.n_findings, 0);
	}
}
END_TEST

/* The objects that a case takes away, or damages, and puts back. */
struct kept {
	char name[STORE_NAME_MAX + 1];
	struct buf bytes;
};

static void take_away(const char *prefix, struct kept *k)
{
	find_object(prefix, k->name);
	repo_get(repository_store(f.r), k->name, &k->bytes);
	ck_ok(store_remove(repository_store(f.r), k->name, &e));
}

static struct instant received(struct object_id id, bool *has_receipt)
{
	CLEANUP(repository_snapshot_done) struct repository_snapshot s;
	char text[OBJECT_ID_TEXT];

	object_id_format(id, text);
	manifest_init(&s.manifest);
	ck_ok(repository_find(f.r, text, NULL, true, &s, NULL, &e));
	*has_receipt = s.has_receipt;
	return s.received;
}

/*
 * Without its receipt a snapshot is as old as its writer said, who may have
 * been wrong by years: that is told, and a repair fixes what readers go by.
 */
START_TEST(a_receipt_that_went_is_found)
{
	const struct object_id id = repo_take(&f).id;
	CLEANUP(check_result_done) struct check_result x = { 0 };
	struct kept k;
	struct instant then;
	const struct check_finding *it;
	bool has_receipt;

	take_away("receipts/", &k);
	then = received(id, &has_receipt);
	ck_assert(!has_receipt);
	ck_ok(look(CHECK_LISTED, false, &x, &e));
	it = finding(&x, k.name);
	ck_assert(!x.sound && it && !it->quarantined);
	ck_assert_uint_eq(it->n_snapshots, 1);
	ck_assert(object_id_equal(it->snapshots[0], id));
	ck_assert_uint_eq(x.lost, 0);
	check_result_done(&x);

	ck_ok(look(CHECK_STRUCTURE, true, &x, &e));
	ck_assert_uint_eq(x.receipts, 1);
	ck_assert_uint_eq(x.quarantined, 0);
	check_result_done(&x);
	ck_ok(look(CHECK_STRUCTURE, true, &x, &e));
	ck_assert(x.sound);
	ck_assert_uint_eq(x.receipts + x.n_findings, 0);
	ck_assert(instant_compare(received(id, &has_receipt), then) == 0);
	ck_assert(has_receipt);
	buf_done(&k.bytes);
}
END_TEST

static void put_back(struct kept *k)
{
	repo_set(repository_store(f.r), k->name, k->bytes.data, k->bytes.len);
	buf_done(&k->bytes);
}

/* k is sound again, and was given up: a check says so, a repair mends it. */
static void expect_returned(struct object_id id, const struct kept *k)
{
	CLEANUP(check_result_done) struct check_result x = { 0 };
	const struct check_finding *it;

	ck_ok(look(CHECK_STRUCTURE, false, &x, &e));
	ck_assert(!x.sound);
	ck_assert_uint_gt(x.lost, 0);
	ck_assert_uint_gt(x.returned, 0);
	it = finding(&x, k->name);
	ck_assert(it && it->quarantined);
	ck_assert_str_eq(it->message,
			 "an earlier repair gave it up, and it opens again");
	ck_assert_uint_gt(restored_on(NULL, id).errors, 0);
	check_result_done(&x);

	ck_ok(look(CHECK_STRUCTURE, true, &x, &e));
	ck_assert_uint_gt(x.salvaged, 0);
	ck_assert_uint_eq(x.quarantined, 0);
	check_result_done(&x);

	/* What stays given up is no damage: nothing needs it any more. */
	ck_ok(look(CHECK_DATA, false, &x, &e));
	ck_assert(x.sound);
	ck_assert_uint_eq(x.returned, 0);
	ck_assert_uint_eq(x.unindexed, 0);
	it = finding(&x, k->name);
	ck_assert(it && it->quarantined);
	ck_assert_uint_eq(it->n_snapshots, 0);
	ck_assert_uint_eq(restored_on(NULL, id).errors, 0);
	check_result_done(&x);

	/* Nor does another repair find more to do. */
	ck_ok(look(CHECK_DATA, true, &x, &e));
	ck_assert_uint_eq(x.salvaged + x.indexed + x.quarantined, 0);
}

START_TEST(a_pack_that_is_put_back_comes_back)
{
	static const char *const prefixes[] = { "data/", "meta/", "index/" };
	/* One of two packs; both; both, and then the index that named them. */
	static const unsigned int away[] = { 1, 2, 3, 7 };

	for (size_t c = 0; c < sizeof(away) / sizeof(*away); c++) {
		CLEANUP(check_result_done) struct check_result x = { 0 };
		const unsigned int which = away[c];
		struct object_id id;
		struct kept kept[3];

		tear_down();
		set_up();
		id = repo_take(&f).id;
		for (unsigned int i = 0; i < 2; i++)
			if (which & 1U << i)
				take_away(prefixes[i], &kept[i]);
		ck_ok(look(CHECK_STRUCTURE, true, &x, &e));
		ck_assert_uint_gt(x.quarantined, 0);
		if (which & 4) {
			take_away(prefixes[2], &kept[2]);
			buf_done(&kept[2].bytes);
		}
		for (unsigned int i = 0; i < 2; i++)
			if (which & 1U << i)
				put_back(&kept[i]);
		expect_returned(id, &kept[which == 1 ? 0 : 1]);
	}
}
END_TEST

START_TEST(a_chunk_that_is_put_back_comes_back)
{
	CLEANUP(check_result_done) struct check_result x = { 0 };
	const struct object_id id = repo_take(&f).id;
	struct kept kept;

	take_away("data/", &kept);
	kept.bytes.data[100] ^= 1;
	repo_set(repository_store(f.r), kept.name, kept.bytes.data,
		 kept.bytes.len);
	kept.bytes.data[100] ^= 1;
	ck_ok(look(CHECK_DATA, true, &x, &e));
	ck_assert_uint_eq(x.quarantined, 1);
	put_back(&kept);
	expect_returned(id, &kept);
}
END_TEST

/* Put back as damaged as it was, it stays lost, and nobody says otherwise. */
START_TEST(what_is_put_back_damaged_stays_given_up)
{
	CLEANUP(check_result_done) struct check_result x = { 0 };
	struct kept kept;

	(void)repo_take(&f);
	take_away("data/", &kept);
	ck_ok(look(CHECK_STRUCTURE, true, &x, &e));
	for (size_t at = 32; at < kept.bytes.len - 200; at += 64)
		kept.bytes.data[at] ^= 1;
	put_back(&kept);
	check_result_done(&x);
	ck_ok(look(CHECK_STRUCTURE, true, &x, &e));
	ck_assert(!x.sound);
	ck_assert_uint_eq(x.returned, 0);
	ck_assert_uint_eq(x.salvaged, 0);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, a_check_without_memory_never_says_sound);
	tcase_add_test(tc, a_check_names_whatever_cannot_be_read);
	tcase_add_test(tc, a_bad_sector_costs_no_neighbours);
	tcase_add_test(tc,
		       blocks_of_a_large_index_that_cannot_be_read_are_damage);
	tcase_add_test(tc, a_restore_goes_on_behind_a_bad_sector);
	tcase_add_test(tc, a_bad_sector_is_no_loss_with_another_holder);
	tcase_add_test(tc, deletions_that_cannot_be_read_are_not_absent);
	tcase_add_test(tc, a_receipt_that_went_is_found);
	tcase_add_test(tc, what_is_newer_is_not_given_up);
	tcase_add_test(tc, a_pack_that_is_put_back_comes_back);
	tcase_add_test(tc, a_chunk_that_is_put_back_comes_back);
	tcase_add_test(tc, what_is_put_back_damaged_stays_given_up);
}

CHECK_MAIN("storage, damaged", cases)

/*
 * Damage of every kind to every object of a small repository: check finds it
 * and names the object, says whose paths are lost, repairs without deleting
 * or changing anything, and the next snapshot makes good what it can.
 */
#include "storage/repository/check.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/secret.h"
#include "storage/restore.h"
#include "storage/snapshot.h"
#include "storage/sources/files.h"
#include "tests/support/random.h"
#include "tests/support/repo_frame.h"
#include "tests/support/repo_records.h"
#include "tests/support/repo_store.h"
#include "tests/support/scratch.h"

#define URL	    "mem:check"
#define OBJECTS_MAX 256

struct object {
	char name[STORE_NAME_MAX + 1];
	struct buf bytes;
};

/* The repository as it was made, to begin each case from. */
struct fixture {
	struct scratch dir;
	char tree[SCRATCH_PATH];
	struct tree_list want; /* what is in it */
	struct store *store;
	struct keyring_credential *credential;
	struct object objects[OBJECTS_MAX];
	size_t n;
	size_t present; /* counted by a listing */
};

static struct fixture fx;

/* Making it. */
static void write_file(const char *name, uint64_t seed, size_t n)
{
	struct random r = { seed };
	char path[SCRATCH_PATH + 64];
	uint8_t *bytes = malloc(n + 1);
	int fd;

	ck_assert_ptr_nonnull(bytes);
	random_bytes(&r, bytes, n);
	(void)snprintf(path, sizeof(path), "%s/%s", fx.tree, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, bytes, n), (ssize_t)n);
	ck_assert_int_eq(close(fd), 0);
	free(bytes);
}

static struct repository *opened(void)
{
	struct repository *r = NULL;
	struct err e;

	ck_ok(repository_open(URL, fx.credential, &r, &e));
	return r;
}

static int snapshot(struct err *ret)
{
	CLEANUP(snapshot_errors_free) struct snapshot_errors *errors = NULL;
	CLEANUP(source_close) struct source *source = NULL;
	CLEANUP(repository_close) struct repository *r = NULL;
	CLEANUP(manifest_done) struct manifest about;
	const char *const paths[] = { fx.tree };
	struct snapshot_options o = { .about = &about, .scratch = fx.dir.path };
	struct snapshot_result result;
	struct err e;

	manifest_init(&about);
	(void)snprintf(about.type, sizeof(about.type), "files");
	(void)snprintf(about.host, sizeof(about.host), "here");
	ck_ok(manifest_list_add(&about.paths, fx.tree, strlen(fx.tree), &e));
	ck_ok(snapshot_errors_new(&errors, &e));
	ck_ok(files_open(&(struct files_options){ .paths = paths,
						  .path_count = 1,
						  .report = snapshot_report,
						  .report_arg = errors },
			 &source, &e));
	r = opened();
	return snapshot_take(r, source, errors, &o, &result, ret);
}

static int remember(void *arg, const struct store_entry *entry, struct err *e)
{
	struct object *o = &fx.objects[fx.n];

	(void)arg;
	(void)e;
	ck_assert_uint_lt(fx.n, OBJECTS_MAX);
	(void)snprintf(o->name, sizeof(o->name), "%s", entry->name);
	fx.n++;
	return 0;
}

static void setup(void)
{
	CLEANUP(repository_close) struct repository *r = NULL;
	CLEANUP(keys_free) struct keys *keys = NULL;
	char path[SCRATCH_PATH];
	struct err e;

	ck_ok(secret_start(&e));
	scratch_init(&fx.dir);
	(void)scratch_path(&fx.dir, "tree", fx.tree);
	ck_assert_int_eq(mkdir(fx.tree, 0700), 0);
	for (uint64_t i = 0; i < 6; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "small%d", (int)i);
		write_file(name, i + 1, 900);
	}
	write_file("large", 100, 900000);
	store_mem_forget(URL);
	ck_ok(keyring_credential_make_key_file(
		scratch_path(&fx.dir, "key", path), &fx.credential, &e));
	ck_ok(store_open(URL, true, &fx.store, &e));
	ck_ok(keyring_init(fx.store, fx.credential, "", clock_now(), &keys,
			   &e));
	ck_ok(snapshot(&e));
	write_file("new", 200, 300000);
	ck_ok(snapshot(&e));
	repo_add_passphrase(fx.store, fx.credential, &fx.dir);
	repo_list(&fx.want, fx.tree);
	r = opened();
	repo_put_records(fx.store, repository_keys(r));
	fx.n = 0;
	ck_ok(store_list(fx.store, "", remember, NULL, &e));
	for (size_t i = 0; i < fx.n; i++)
		repo_get(fx.store, fx.objects[i].name, &fx.objects[i].bytes);
}

static void teardown(void)
{
	for (size_t i = 0; i < fx.n; i++)
		buf_done(&fx.objects[i].bytes);
	tree_list_done(&fx.want);
	store_close(fx.store);
	store_mem_forget(URL);
	keyring_credential_free(fx.credential);
	scratch_done(&fx.dir);
}

/* Remove what a case added. */
static int collect(void *arg, const struct store_entry *entry, struct err *e)
{
	for (size_t i = 0; i < fx.n; i++)
		if (strcmp(fx.objects[i].name, entry->name) == 0)
			return 0;
	return buf_add(arg, entry->name, strlen(entry->name) + 1, e);
}

static void reset(void)
{
	CLEANUP(buf_done) struct buf extra;
	struct err e;

	buf_init(&extra, 1 << 20);
	ck_ok(store_list(fx.store, "", collect, &extra, &e));
	for (size_t at = 0; at < extra.len;
	     at += strlen((char *)extra.data + at) + 1)
		ck_ok(store_remove(fx.store, (char *)extra.data + at, &e));
	for (size_t i = 0; i < fx.n; i++)
		repo_set(fx.store, fx.objects[i].name, fx.objects[i].bytes.data,
			 fx.objects[i].bytes.len);
}

/*
 * Looking.
 */
static bool is_pack(const char *name)
{
	return strncmp(name, "data/", 5) == 0 || strncmp(name, "meta/", 5) == 0;
}

static bool opens_all(const char *name)
{
	return strcmp(name, "config") == 0 || strncmp(name, "key", 3) == 0;
}

static int look(enum check_level level, bool repair, struct check_result *ret,
		struct err *e)
{
	const struct check_options o = { .level = level,
					 .repair = repair,
					 .now = clock_now(),
					 .scratch = fx.dir.path };
	CLEANUP(repository_close) struct repository *r = NULL;

	if (repository_open(URL, fx.credential, &r, e))
		return -1;
	return check_run(r, &o, ret, e);
}

static const struct check_finding *finding(const struct check_result *x,
					   const char *object)
{
	for (uint64_t i = 0; i < x->n_findings; i++)
		if (strcmp(x->findings[i].object, object) == 0)
			return &x->findings[i];
	return NULL;
}

/* Damage to name is found: the repository does not open, or name is named. */
static void expect_found(const char *name, const char *what, size_t where)
{
	CLEANUP(check_result_done) struct check_result x = { 0 };
	struct err e = { 0 };
	const int status = look(is_pack(name) ? CHECK_DATA : CHECK_STRUCTURE,
				false, &x, &e);

	if (status < 0) {
		ck_assert_msg(opens_all(name) &&
				      err_kind(e.code)->exit_status != 0,
			      "%s %s at %zu: %s", name, what, where, e.text);
		return;
	}
	ck_assert_msg(!x.sound, "%s %s at %zu is sound", name, what, where);
	ck_assert_msg(finding(&x, name) != NULL, "%s %s at %zu is not named",
		      name, what, where);
}

static void expect_sound(void)
{
	CLEANUP(check_result_done) struct check_result x = { 0 };
	struct err e;

	ck_ok(look(CHECK_DATA, false, &x, &e));
	for (uint64_t i = 0; i < x.n_findings; i++)
		ck_abort_msg("%s: %s", x.findings[i].object,
			     x.findings[i].message);
	ck_assert(x.sound);
}

START_TEST(a_sound_repository_is_sound)
{
	CLEANUP(check_result_done) struct check_result x = { 0 };
	struct err e;

	expect_sound();
	ck_ok(look(CHECK_DATA, false, &x, &e));
	ck_assert_uint_eq(x.objects, fx.n);
	ck_assert_uint_eq(x.packs_read, x.packs);
	ck_assert_uint_eq(x.snapshots, 2);
	ck_assert_uint_eq(x.unknown, 0);
	ck_assert_uint_eq(x.unindexed, 0);
	ck_assert_uint_gt(x.chunks, 4);
}
END_TEST

/*
 * All bits of headers; of what follows, and is small, a bit of each ninth byte,
 * others each time, and samples of packs.  With $SNAPCTL_TEST_FULL each bit of
 * what is small, and of the ends of packs, where directory and trailer are.
 */
#define SMALL	 4096
#define PACK_END 400

static size_t next_place(size_t at, size_t n, bool full, struct random *dice)
{
	const bool is_end = n <= SMALL || n - at <= PACK_END;
	size_t next = at + 1;

	if (at == 31 && !full)
		next += random_below(dice, 9);
	else if (at > 31 && !is_end)
		next = at + n / 25;
	else if (at > 31 && !full)
		next = at + (n <= SMALL ? 9 : 7);
	return !is_end && next > n - PACK_END ? n - PACK_END : next;
}

static unsigned int flip_bits(struct object *o, bool full, struct random *dice)
{
	static unsigned int places;
	const size_t n = o->bytes.len;
	unsigned int flipped = 0;

	if (places == 0)
		places = check_first();

	for (size_t at = 0; at < n; at = next_place(at, n, full, dice)) {
		const bool is_end = n <= SMALL || n - at <= PACK_END;
		const unsigned int bits = at < 32 || (full && is_end) ? 8 : 1;
		const size_t first = random_below(dice, 8);

		for (unsigned int b = 0; b < bits; b++) {
			const uint8_t bit = (uint8_t)(1U << ((first + b) % 8));

			if (places++ % CHECK_EVERY)
				continue;
			o->bytes.data[at] ^= bit;
			repo_set(fx.store, o->name, o->bytes.data, n);
			o->bytes.data[at] ^= bit;
			expect_found(o->name, "flipped", at);
			flipped++;
		}
	}
	repo_set(fx.store, o->name, o->bytes.data, n);
	return flipped;
}

START_TEST(every_flipped_bit_is_found)
{
	struct random dice = random_seed();
	unsigned int flipped = 0;

	for (size_t i = 0; i < fx.n; i++)
		flipped += flip_bits(&fx.objects[i],
				     getenv("SNAPCTL_TEST_FULL") != NULL,
				     &dice);
	(void)printf("%u bits of %zu objects flipped\n", flipped, fx.n);
	expect_sound();
}
END_TEST

START_TEST(other_lengths_are_found)
{
	for (size_t i = 0; i < fx.n; i++) {
		struct object *o = &fx.objects[i];
		const size_t n = o->bytes.len;
		const size_t lengths[] = {
			0, 1, 31, 32, 33, n / 2, n - 1, n + 1, n + 8, n + 300
		};
		CLEANUP(buf_done) struct buf longer;
		struct err e;

		buf_init(&longer, REPO_OBJECT_MAX);
		ck_ok(buf_add(&longer, o->bytes.data, n, &e));
		ck_ok(buf_add_zeros(&longer, 300, &e));
		for (size_t k = 0; k < sizeof(lengths) / sizeof(*lengths);
		     k++) {
			repo_set(fx.store, o->name, longer.data, lengths[k]);
			expect_found(o->name, "cut", lengths[k]);
		}
		repo_set(fx.store, o->name, o->bytes.data, n);
	}
}
END_TEST

START_TEST(exchanged_objects_are_found)
{
	for (size_t i = 0; i + 1 < fx.n; i++)
		for (size_t k = i + 1; k < fx.n; k += 1 + (k - i) * 3) {
			const char *a = fx.objects[i].name;
			const char *b = fx.objects[k].name;

			repo_swap(fx.store, a, b);
			expect_found(opens_all(b) ? b : a, "exchanged", k);
			if (!opens_all(a))
				expect_found(b, "exchanged", i);
			repo_swap(fx.store, a, b);
		}
	expect_sound();
}
END_TEST

/* A copy of an object under a fresh name of its kind. */
static struct object_name fresh_name(const char *name)
{
	uint64_t number;

	if (object_name_parse_number(OBJECT_KEYRING, name, &number))
		return object_name_generation((uint32_t)number + 1);
	if (object_name_parse_number(OBJECT_SEGMENT, name, &number))
		return object_name_segment(number, object_id_new());
	for (unsigned int k = OBJECT_SLOT; k < OBJECT_KIND_END; k++) {
		const enum object_kind kind = (enum object_kind)k;
		struct object_id first;
		struct object_id last;

		if (!object_name_parse(kind, name, &first, &last))
			continue;
		if (object_id_is_zero(first))
			return object_name(kind, object_id_new());
		return object_name_pair(kind, first, object_id_new());
	}
	return (struct object_name){ "" };
}

START_TEST(copies_under_other_names_are_found)
{
	for (size_t i = 0; i < fx.n; i++) {
		const struct object_name copy = fresh_name(fx.objects[i].name);
		struct err e;

		if (!*copy.s)
			continue;
		repo_set(fx.store, copy.s, fx.objects[i].bytes.data,
			 fx.objects[i].bytes.len);
		expect_found(copy.s, "copied", i);
		ck_ok(store_remove(fx.store, copy.s, &e));
	}
}
END_TEST

START_TEST(what_is_called_like_nothing_is_counted)
{
	CLEANUP(check_result_done) struct check_result x = { 0 };
	struct err e;

	repo_set(fx.store, "lost.found/readme", "x", 1);
	repo_set(fx.store, "data/zz/what", "x", 1);
	ck_ok(look(CHECK_DATA, false, &x, &e));
	ck_assert(x.sound);
	ck_assert_uint_eq(x.unknown, 2);
	reset();
}
END_TEST

/*
 * Missing objects.
 */
START_TEST(missing_packs_and_indexes_are_found)
{
	for (size_t i = 0; i < fx.n; i++) {
		const char *name = fx.objects[i].name;
		CLEANUP(check_result_done) struct check_result x = { 0 };
		struct err e;

		if (!is_pack(name) && strncmp(name, "index/", 6) != 0)
			continue;
		ck_ok(store_remove(fx.store, name, &e));
		ck_ok(look(CHECK_STRUCTURE, false, &x, &e));
		ck_assert(!x.sound);
		ck_assert_uint_gt(x.lost, 0);
		if (is_pack(name)) {
			const struct check_finding *f = finding(&x, name);

			ck_assert_ptr_nonnull(f);
			ck_assert_str_eq(f->message, "it is missing");
			ck_assert_uint_gt(f->n_snapshots, 0);
		}
		reset();
	}
}
END_TEST

/* What a restore of the newest snapshot says, which is seen to be true. */
static struct restore_result restored(void)
{
	CLEANUP(repository_close) struct repository *r = opened();
	CLEANUP(repository_snapshot_done) struct repository_snapshot s;
	struct repo_frame heard = { .failures = 0 };
	struct restore_result result;
	struct restore_options o = { .scratch = fx.dir.path,
				     .failed = repo_note_failed,
				     .arg = &heard };
	char to[2 * SCRATCH_PATH];
	struct err e;

	ck_ok(repository_find(r, "latest", NULL, false, &s, NULL, &e));
	(void)snprintf(heard.from, sizeof(heard.from), "%s", fx.tree);
	o.to = scratch_path(&fx.dir, "out", heard.to);
	if (access(o.to, F_OK) == 0)
		scratch_remove(o.to);
	ck_ok(restore_run(r, &s.manifest, &o, &result, &e));
	ck_assert_uint_eq(heard.failures, result.errors);
	(void)snprintf(to, sizeof(to), "%s%s", heard.to, fx.tree);
	repo_expect_rest(&heard, &fx.want, to);
	return result;
}

START_TEST(a_restore_misses_just_what_a_check_names)
{
	for (size_t i = 0; i < fx.n; i++) {
		struct object *o = &fx.objects[i];
		CLEANUP(check_result_done) struct check_result x = { 0 };
		const struct check_finding *f;
		struct restore_result result;
		struct err e;

		if (strncmp(o->name, "data/", 5) != 0)
			continue;
		o->bytes.data[100] ^= 1;
		repo_set(fx.store, o->name, o->bytes.data, o->bytes.len);
		o->bytes.data[100] ^= 1;
		ck_ok(look(CHECK_DATA, false, &x, &e));
		f = finding(&x, o->name);
		ck_assert_ptr_nonnull(f);
		ck_assert_uint_eq(f->chunks, 1);
		ck_assert_uint_eq(x.lost, 1);
		ck_assert_uint_gt(f->n_paths, 0);
		result = restored();
		ck_assert(result.damaged);
		ck_assert_uint_eq(result.errors, f->n_paths);
		ck_assert_uint_eq(result.files + result.errors, 8);
		reset();
	}
}
END_TEST

/*
 * Another sound holder.
 */
struct copying {
	struct pack_writer *to;
};

static int copy_chunk(void *arg, const struct pack_entry *x, struct err *e)
{
	struct copying *c = arg;
	uint8_t *sealed = malloc(x->place.len);
	int failed;

	ck_assert_ptr_nonnull(sealed);
	ck_assert_int_eq(
		pack_read(fx.store, OBJECT_DATA_PACK, &x->place, sealed, e), 0);
	failed = pack_writer_add(c->to, &x->seal, sealed, x->place.len, e);
	free(sealed);
	return failed;
}

START_TEST(a_chunk_with_another_holder_is_no_loss)
{
	CLEANUP(repository_close) struct repository *r = opened();
	CLEANUP(index_writer_free) struct index_writer *w = NULL;
	CLEANUP(check_result_done) struct check_result x = { 0 };
	struct object *o = fx.objects;
	const struct pack_entry *entries;
	struct pack_entry sorted[64];
	struct copying c;
	const struct check_finding *f;
	struct object_id first;
	struct object_id id;
	struct err e;
	size_t n;

	while (strncmp(o->name, "data/", 5) != 0)
		o++;
	ck_assert(object_name_parse(OBJECT_DATA_PACK, o->name, &first, &id));
	ck_ok(pack_writer_open(fx.store, repository_keys(r), OBJECT_DATA_PACK,
			       &c.to, &e));
	ck_ok(pack_read_directory(fx.store, repository_keys(r),
				  OBJECT_DATA_PACK, id, copy_chunk, &c, &e));
	ck_ok(pack_writer_commit(c.to, &e));
	n = pack_writer_entries(c.to, &entries);
	ck_assert_uint_le(n, 64);
	memcpy(sorted, entries, n * sizeof(*entries));
	pack_writer_free(c.to);
	n = index_sort(sorted, n);
	ck_ok(index_writer_open(fx.store, repository_keys(r),
				(struct object_id){ { 0 } }, &w, &e));
	for (size_t i = 0; i < n; i++)
		ck_ok(index_writer_add(w, &sorted[i], &e));
	ck_ok(index_writer_commit(w, NULL, &e));

	o->bytes.data[100] ^= 1;
	repo_set(fx.store, o->name, o->bytes.data, o->bytes.len);
	o->bytes.data[100] ^= 1;
	ck_ok(look(CHECK_DATA, true, &x, &e));
	ck_assert(!x.sound);
	ck_assert_uint_eq(x.lost, 0);
	f = finding(&x, o->name);
	ck_assert(f && f->n_paths == 0);
	check_result_done(&x);

	/* Given up, it is damage no more; restores do without it. */
	ck_ok(look(CHECK_DATA, false, &x, &e));
	ck_assert(x.sound);
	f = finding(&x, o->name);
	ck_assert(f && f->quarantined);
	ck_assert_uint_eq(restored().errors, 0);
	reset();
}
END_TEST

/*
 * Repairing.
 */
static void damage(size_t i, int how)
{
	struct object *o = &fx.objects[i];
	const size_t at = how == 1 ? o->bytes.len / 2 : o->bytes.len - 5;
	struct err e;

	switch (how) {
	case 0:
		ck_ok(store_remove(fx.store, o->name, &e));
		return;
	case 1:
	case 2:
		o->bytes.data[at] ^= 4;
		repo_set(fx.store, o->name, o->bytes.data, o->bytes.len);
		o->bytes.data[at] ^= 4;
		return;
	case 3:
		repo_set(fx.store, o->name, o->bytes.data, o->bytes.len / 2);
		return;
	case 4:
		repo_set(fx.store, o->name, o->bytes.data, 0);
		return;
	default:
		repo_swap(fx.store, o->name, fx.objects[(i + 1) % fx.n].name);
		return;
	}
}

struct listing {
	struct object v[OBJECTS_MAX];
	size_t n;
};

static int list_object(void *arg, const struct store_entry *entry,
		       struct err *e)
{
	struct listing *l = arg;

	(void)e;
	ck_assert_uint_lt(l->n, OBJECTS_MAX);
	(void)snprintf(l->v[l->n].name, sizeof(l->v[l->n].name), "%s",
		       entry->name);
	l->n++;
	return 0;
}

static void list_all(struct listing *l)
{
	struct err e;

	l->n = 0;
	ck_ok(store_list(fx.store, "", list_object, l, &e));
	for (size_t i = 0; i < l->n; i++)
		repo_get(fx.store, l->v[i].name, &l->v[i].bytes);
}

static void expect_all_there(struct listing *l)
{
	for (size_t i = 0; i < l->n; i++) {
		CLEANUP(buf_done) struct buf now;

		repo_get(fx.store, l->v[i].name, &now);
		ck_assert_msg(now.len == l->v[i].bytes.len &&
				      memcmp(buf_str(&now),
					     buf_str(&l->v[i].bytes),
					     now.len) == 0,
			      "%s was changed", l->v[i].name);
		buf_done(&l->v[i].bytes);
	}
}

/* What is unsound after a repair and a new snapshot is what is lost. */
static void expect_made_good(const char *name, int how)
{
	CLEANUP(check_result_done) struct check_result x = { 0 };
	struct restore_result result;
	struct err e;

	ck_ok(look(CHECK_DATA, false, &x, &e));
	for (uint64_t i = 0; i < x.n_findings; i++)
		ck_assert_msg(x.findings[i].quarantined ||
				      x.findings[i].n_snapshots,
			      "%s damaged by %d: %s: %s", name, how,
			      x.findings[i].object, x.findings[i].message);
	ck_assert_msg(x.sound || x.lost, "%s damaged by %d", name, how);
	result = restored();
	ck_assert_msg(result.errors == 0 && result.files == 8,
		      "%s damaged by %d: %d errors", name, how,
		      (int)result.errors);
}

START_TEST(repairing_deletes_nothing_and_the_next_snapshot_is_whole)
{
	static struct listing before;

	for (size_t i = 0; i < fx.n; i++) {
		const char *name = fx.objects[i].name;
		const char *next = fx.objects[(i + 1) % fx.n].name;

		for (int how = 0; how < 6; how++) {
			struct check_result x = { 0 };
			struct err e = { 0 };

			if (opens_all(name) || (how == 5 && opens_all(next)))
				continue;
			damage(i, how);
			list_all(&before);
			ck_assert_msg(look(CHECK_DATA, true, &x, &e) == 0,
				      "%s damaged by %d: %s", name, how,
				      e.text);
			check_result_done(&x);
			expect_all_there(&before);
			ck_assert_msg(snapshot(&e) == 0, "%s damaged by %d: %s",
				      name, how, e.text);
			expect_made_good(name, how);
			reset();
		}
	}
}
END_TEST

START_TEST(without_any_index_all_comes_back)
{
	CLEANUP(check_result_done) struct check_result x = { 0 };
	struct err e;

	for (size_t i = 0; i < fx.n; i++)
		if (strncmp(fx.objects[i].name, "index/", 6) == 0)
			ck_ok(store_remove(fx.store, fx.objects[i].name, &e));
	ck_ok(look(CHECK_STRUCTURE, true, &x, &e));
	ck_assert(!x.sound);
	ck_assert_uint_eq(x.indexed, x.unindexed);
	expect_sound();
	ck_assert_uint_eq(restored().files, 8);
	reset();
}
END_TEST

/* An index object, sealed by whoever has the key, that lies about a chunk. */
struct lying {
	struct index_writer *w;
	int how;
	size_t n;
};

static int lie(void *arg, const struct pack_entry *entry, struct err *e)
{
	struct lying *l = arg;
	struct pack_entry x = *entry;

	if (l->n++)
		return 0;
	if (l->how == 0)
		x.place.offset++;
	else if (l->how == 1)
		x.seal.plain_len++;
	else
		x.seal.id.b[0] ^= 1;
	return index_writer_add(l->w, &x, e);
}

START_TEST(an_index_that_lies_is_found)
{
	const struct object *o = fx.objects;
	struct object_id first;
	struct object_id id;

	while (strncmp(o->name, "data/", 5) != 0)
		o++;
	ck_assert(object_name_parse(OBJECT_DATA_PACK, o->name, &first, &id));
	for (int how = 0; how < 3; how++) {
		CLEANUP(repository_close) struct repository *r = opened();
		CLEANUP(index_writer_free) struct index_writer *w = NULL;
		CLEANUP(check_result_done) struct check_result x = { 0 };
		struct lying l = { .how = how };
		struct err e;

		ck_ok(index_writer_open(fx.store, repository_keys(r),
					(struct object_id){ { 0 } }, &w, &e));
		l.w = w;
		ck_ok(pack_read_directory(fx.store, repository_keys(r),
					  OBJECT_DATA_PACK, id, lie, &l, &e));
		ck_ok(index_writer_commit(w, NULL, &e));
		ck_ok(look(CHECK_STRUCTURE, true, &x, &e));
		ck_assert(!x.sound);
		ck_assert_ptr_nonnull(finding(&x, o->name));
		ck_ok(snapshot(&e));
		expect_made_good(o->name, how);
		reset();
	}
}
END_TEST

/*
 * Coverage in parts.
 */
struct coverage {
	unsigned int packs;
	uint64_t bytes;
};

static void covered(void *arg, struct object_id pack, uint64_t size,
		    struct instant when)
{
	struct coverage *c = arg;

	(void)pack;
	(void)when;
	c->packs++;
	c->bytes += size;
}

START_TEST(parts_cover_every_pack_once)
{
	struct coverage all = { 0 };
	uint64_t want = 0;
	unsigned int packs = 0;

	for (size_t i = 0; i < fx.n; i++)
		if (is_pack(fx.objects[i].name)) {
			want += fx.objects[i].bytes.len;
			packs++;
		}
	for (unsigned int part = 0; part < 5; part++) {
		CLEANUP(check_result_done) struct check_result x = { 0 };
		CLEANUP(repository_close) struct repository *r = opened();
		const struct check_options o = { .level = CHECK_DATA,
						 .part = part,
						 .parts = 5,
						 .now = clock_now(),
						 .scratch = fx.dir.path,
						 .verified = covered,
						 .arg = &all };
		struct err e;

		ck_ok(check_run(r, &o, &x, &e));
		ck_assert(x.sound);
	}
	ck_assert_uint_eq(all.packs, packs);
	ck_assert_uint_eq(all.bytes, want);
}
END_TEST

START_TEST(an_interrupted_check_says_so)
{
	CLEANUP(check_result_done) struct check_result x = { 0 };
	CLEANUP(repository_close) struct repository *r = opened();
	const atomic_bool stop = true;
	const struct check_options o = { .level = CHECK_DATA,
					 .now = clock_now(),
					 .scratch = fx.dir.path,
					 .cancel = &stop };
	struct err e;

	ck_assert_int_eq(check_run(r, &o, &x, &e), -1);
	ck_assert_int_eq(e.code, ERR_INTERRUPTED);
}
END_TEST

/* A listing that fails is no empty repository. */
START_TEST(a_listing_that_fails_is_never_sound)
{
	static const char *const folders[] = {
		"data", "meta", "index", "keyring", "snapshots", "voids"
	};
	CLEANUP(keys_free) struct keys *keys = NULL;
	CLEANUP(store_close) struct store *s = NULL;
	char url[SCRATCH_PATH];
	struct err e;

	ck_ok(store_open(scratch_path(&fx.dir, "local", url), true, &s, &e));
	ck_ok(keyring_init(s, fx.credential, "", clock_now(), &keys, &e));
	for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++) {
		const struct check_options o = { .level = CHECK_STRUCTURE,
						 .now = clock_now(),
						 .scratch = fx.dir.path };
		CLEANUP(repository_close) struct repository *r = NULL;
		CLEANUP(check_result_done) struct check_result x = { 0 };
		char folder[SCRATCH_PATH + 32];
		char aside[SCRATCH_PATH + 32];

		ck_ok(repository_open(url, fx.credential, &r, &e));
		(void)snprintf(folder, sizeof(folder), "%s/%s", url,
			       folders[i]);
		(void)snprintf(aside, sizeof(aside), "%s/aside", fx.dir.path);
		(void)rename(folder, aside);
		ck_assert_int_eq(symlink(folders[i], folder), 0);
		ck_assert_msg(check_run(r, &o, &x, &e) == -1,
			      "%s could not be listed", folders[i]);
		ck_assert_int_eq(unlink(folder), 0);
		(void)rename(aside, folder);
	}
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_unchecked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_sound_repository_is_sound);
	tcase_add_test(tc, every_flipped_bit_is_found);
	tcase_add_test(tc, other_lengths_are_found);
	tcase_add_test(tc, exchanged_objects_are_found);
	tcase_add_test(tc, copies_under_other_names_are_found);
	tcase_add_test(tc, what_is_called_like_nothing_is_counted);
	tcase_add_test(tc, missing_packs_and_indexes_are_found);
	tcase_add_test(tc, a_restore_misses_just_what_a_check_names);
	tcase_add_test(tc, a_chunk_with_another_holder_is_no_loss);
	tcase_add_test(
		tc, repairing_deletes_nothing_and_the_next_snapshot_is_whole);
	tcase_add_test(tc, without_any_index_all_comes_back);
	tcase_add_test(tc, an_index_that_lies_is_found);
	tcase_add_test(tc, parts_cover_every_pack_once);
	tcase_add_test(tc, an_interrupted_check_says_so);
	tcase_add_test(tc, a_listing_that_fails_is_never_sound);
}

CHECK_MAIN("storage/repository/check", cases)

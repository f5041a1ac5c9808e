/*
 * A check at level `data` judges each chunk by itself: those sealed rightly
 * under an id that is not theirs, which no tag betrays, and those whose seal is
 * broken, among sound ones: storage/repository/check.h.
 */
#include "storage/repository/check.h"

#include <stdatomic.h>

#include "storage/repository/pack.h"
#include "tests/support/random.h"
#include "tests/support/repo_frame.h"

#define PACKS  3
#define CHUNKS 60

struct world {
	struct repo_frame f;
	struct random dice;
	struct chunk_worker *worker;
	char names[PACKS][STORE_NAME_MAX + 1];
	uint64_t wrong[PACKS];
	uint64_t verified; /* packs that were said to be */
};

static void open_world(struct world *w)
{
	struct err e;

	memset(w, 0, sizeof(*w));
	repo_frame_init(&w->f, "mem:ids");
	w->dice = random_seed();
	ck_ok(chunk_worker_new(repository_keys(w->f.r), &w->worker, &e));
}

static void close_world(struct world *w)
{
	chunk_worker_free(w->worker);
	repo_frame_done(&w->f);
}
static inline void cleanup_close_world(struct world *w)
{
	close_world(w);
}

/* 1 when the chunk that was added is not what it should be. */
static uint64_t add_chunk(struct world *w, struct pack_writer *to,
			  bool all_well)
{
	const size_t n = random_below(&w->dice, 300000);
	const uint64_t what = all_well ? 9 : random_below(&w->dice, 10);
	uint8_t *plain = malloc(n + 1);
	uint8_t *sealed;
	struct chunk_plain whole = { .kind = CHUNK_DATA,
				     .effort = COMPRESS_NOT,
				     .bytes = plain,
				     .n = n };
	struct chunk_sealed out;
	struct chunk_id id;
	struct err e;

	ck_assert_ptr_nonnull(plain);
	random_bytes(&w->dice, plain, n);
	ck_ok(chunk_identify(w->worker, 0, CHUNK_DATA, plain, n, &id, &e));
	id.b[5] ^= what == 0;
	ck_ok(chunk_seal_new(w->worker, &id, &whole, &out, &e));
	sealed = malloc(out.len);
	ck_assert_ptr_nonnull(sealed);
	memcpy(sealed, out.bytes, out.len);
	sealed[out.len / 2] ^= what == 1;
	ck_ok(pack_writer_add(to, &out.seal, sealed, out.len, &e));
	free(sealed);
	free(plain);
	return what <= 1;
}

static void add_pack(struct world *w, int i, bool all_well)
{
	CLEANUP(pack_writer_free) struct pack_writer *to = NULL;
	const struct pack_entry *entries;
	struct err e;

	ck_ok(pack_writer_open(repository_store(w->f.r),
			       repository_keys(w->f.r), OBJECT_DATA_PACK, &to,
			       &e));
	for (int k = 0; k < CHUNKS; k++)
		w->wrong[i] += add_chunk(w, to, all_well);
	ck_ok(pack_writer_commit(to, &e));
	ck_assert_uint_eq(pack_writer_entries(to, &entries), CHUNKS);
	(void)snprintf(w->names[i], sizeof(w->names[i]), "%s",
		       object_name(OBJECT_DATA_PACK, entries->place.pack).s);
}

static void note_verified(void *arg, struct object_id pack, uint64_t size,
			  struct instant when)
{
	struct world *w = arg;

	(void)pack;
	(void)when;
	ck_assert_uint_gt(size, 0);
	w->verified++;
}

static uint64_t wrong_in(const struct check_result *x, const char *name)
{
	for (uint64_t i = 0; i < x->n_findings; i++)
		if (strcmp(x->findings[i].object, name) == 0)
			return x->findings[i].chunks;
	return 0;
}

START_TEST(each_chunk_is_judged_by_itself)
{
	CLEANUP(close_world) struct world w;
	CLEANUP(check_result_done) struct check_result x = { 0 };
	const struct check_options o = { .level = CHECK_DATA,
					 .now = clock_now(),
					 .scratch = w.f.dir.path,
					 .verified = note_verified,
					 .arg = &w };
	uint64_t sound = 0;
	struct err e;

	open_world(&w);
	for (int i = 0; i < PACKS; i++)
		add_pack(&w, i, i == PACKS - 1);
	ck_ok(check_run(w.f.r, &o, &x, &e));
	ck_assert_uint_eq(x.chunks, PACKS * CHUNKS);
	for (int i = 0; i < PACKS; i++) {
		ck_assert_uint_eq(wrong_in(&x, w.names[i]), w.wrong[i]);
		sound += !w.wrong[i];
	}
	ck_assert_uint_eq(w.verified, sound);
	ck_assert_uint_eq(x.packs_read, sound);
}
END_TEST

/* The fault of one opening, which is no damage; 0: none. */
static unsigned int failing;
static atomic_uint opened;

int __real_chunk_open(struct chunk_worker *w, const struct chunk_seal *s,
		      const void *sealed, size_t n, uint8_t *out,
		      struct err *e);
int __wrap_chunk_open(struct chunk_worker *w, const struct chunk_seal *s,
		      const void *sealed, size_t n, uint8_t *out,
		      struct err *e);
int __wrap_chunk_open(struct chunk_worker *w, const struct chunk_seal *s,
		      const void *sealed, size_t n, uint8_t *out, struct err *e)
{
	if (s->kind == CHUNK_DATA && failing &&
	    atomic_fetch_add(&opened, 1) + 1 == failing)
		return err_set(e, ERR_BUSY, "not now");
	return __real_chunk_open(w, s, sealed, n, out, e);
}

START_TEST(what_was_not_judged_is_not_verified)
{
	static const unsigned int at[] = { 1, 2, CHUNKS / 2, CHUNKS - 1,
					   CHUNKS };
	CLEANUP(close_world) struct world w;
	const struct check_options o = { .level = CHECK_DATA,
					 .now = clock_now(),
					 .scratch = w.f.dir.path,
					 .verified = note_verified,
					 .arg = &w };
	struct err e;

	open_world(&w);
	add_pack(&w, 0, true);
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		CLEANUP(check_result_done) struct check_result x = { 0 };

		failing = at[i];
		atomic_store(&opened, 0);
		ck_assert_int_eq(check_run(w.f.r, &o, &x, &e), -1);
		ck_assert_int_eq(e.code, ERR_BUSY);
		ck_assert_uint_eq(w.verified, 0);
	}
	failing = 0;
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, what_was_not_judged_is_not_verified);
	tcase_add_test(tc, each_chunk_is_judged_by_itself);
}
CHECK_MAIN("storage/check_ids", cases)

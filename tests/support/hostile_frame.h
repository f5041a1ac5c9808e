/*
 * A repository by someone who has its key and means ill: leaves, nodes, maps
 * and manifests of any bytes, put together by hand and sealed as ours are.
 *
 * Beside the target of restores stands a folder "outside" with a file, which
 * nothing may touch.
 */
#ifndef TESTS_SUPPORT_HOSTILE_FRAME_H
#define TESTS_SUPPORT_HOSTILE_FRAME_H

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "storage/compare.h"
#include "storage/diff.h"
#include "storage/repository/check.h"
#include "storage/repository/gc.h"
#include "storage/repository/tree.h"
#include "storage/repository/writer.h"
#include "tests/support/repo_frame.h"

#define HOSTILE_SECRET "nobody's but mine"
#define HOSTILE_IDS    64

static struct repo_frame f;
static struct err e;
static struct writer *writer;
static struct chunk_worker *worker;
static struct object_id publishing; /* the snapshot's id */
static char outside[SCRATCH_PATH];
static const char *taken_of; /* the path in the next manifests; NULL: "/" */

/* ---- Its beginning and end ---------------------------------------------- */

/* A session, when there is none: collectors wait for those that are open. */
static inline void hostile_open(void)
{
	struct writer_options o = { .purpose = RECORD_SNAPSHOT,
				    .host = "host" };

	if (writer)
		return;
	publishing = o.snapshot = object_id_new();
	ck_ok(writer_open(f.r, &o, &writer, &e));
	ck_ok(chunk_worker_new(repository_keys(f.r), &worker, &e));
}

static inline void hostile_close(void)
{
	writer_close(writer);
	chunk_worker_free(worker);
	writer = NULL;
	worker = NULL;
	repo_frame_reopen(&f);
}

static inline const char *hostile_at(const char *folder, const char *name)
{
	static char paths[4][2 * SCRATCH_PATH];
	static unsigned int next;
	char *path = paths[next++ % 4];

	(void)snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

static inline void set_up(void)
{
	FILE *file;

	repo_frame_init(&f, "mem:hostile");
	err_clear(&e);
	taken_of = NULL;
	(void)scratch_path(&f.dir, "outside", outside);
	ck_assert_int_eq(mkdir(outside, 0711), 0);
	file = fopen(hostile_at(outside, "file"), "we");
	ck_assert_ptr_nonnull(file);
	(void)fputs(HOSTILE_SECRET, file);
	ck_assert_int_eq(fclose(file), 0);
	ck_assert_int_eq(chmod(hostile_at(outside, "file"), 0604), 0);
}

/* Of the test's folder only the target is other than it was. */
static inline void expect_outside_untouched(void)
{
	char got[64] = "";
	struct stat st;
	FILE *file = fopen(hostile_at(outside, "file"), "re");

	ck_assert_ptr_nonnull(file);
	got[fread(got, 1, sizeof(got) - 1, file)] = '\0';
	(void)fclose(file);
	ck_assert_str_eq(got, HOSTILE_SECRET);
	ck_assert_int_eq(lstat(hostile_at(outside, "file"), &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0604);
	ck_assert_uint_eq(st.st_nlink, 1);
	ck_assert_int_eq(lstat(outside, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0711);
	ck_assert_int_eq(lstat(hostile_at(outside, "x"), &st), -1);
	/* The key, what is outside, the target, and what is protected. */
	ck_assert_uint_eq(scratch_count(&f.dir),
			  2U + (lstat(f.to, &st) == 0) +
				  (lstat(f.from, &st) == 0));
}

static inline void tear_down(void)
{
	expect_outside_untouched();
	hostile_close();
	repo_frame_done(&f);
}

/* ---- Nodes -------------------------------------------------------------- */

struct node {
	struct chunk_id table[HOSTILE_IDS];
	size_t n_table;
	struct buf body;
	size_t n;
};

static inline void node_init(struct node *x)
{
	memset(x, 0, sizeof(*x));
	buf_init(&x->body, CHUNK_MAX);
}

static inline void put_varint(struct buf *b, uint64_t v)
{
	ck_ok(buf_add_varint(b, v, &e));
}
static inline void put_bytes(struct buf *b, const void *p, size_t n)
{
	ck_ok(buf_add(b, p, n, &e));
}

static inline struct chunk_id put_chunk(enum chunk_kind kind, const void *p,
					size_t n)
{
	struct chunk_id id;

	hostile_open();
	ck_ok(writer_add(writer, worker, kind, p, n, &id, NULL, &e));
	return id;
}

/* An entry up to its body; owners are ours, times 0. */
static inline void put_entry(struct node *x, const char *path, size_t len,
			     enum entry_type type, unsigned int flags)
{
	put_varint(&x->body, 0);
	put_varint(&x->body, len);
	put_bytes(&x->body, path, len);
	ck_ok(buf_add_byte(&x->body, (uint8_t)type, &e));
	put_varint(&x->body, flags);
	put_varint(&x->body, 0755);
	ck_ok(buf_add_svarint(&x->body, x->n ? 0 : (int64_t)geteuid(), &e));
	ck_ok(buf_add_svarint(&x->body, x->n ? 0 : (int64_t)getegid(), &e));
	ck_ok(buf_add_svarint(&x->body, 0, &e));
	put_varint(&x->body, 0);
	x->n++;
}

static inline void put_folder(struct node *x, const char *path)
{
	put_entry(x, path, strlen(path), ENTRY_FOLDER, 0);
}

static inline void put_symlink(struct node *x, const char *path,
			       const char *target, uint64_t group)
{
	put_entry(x, path, strlen(path), ENTRY_SYMLINK,
		  group ? ENTRY_HARD_LINK : 0);
	put_varint(&x->body, strlen(target));
	put_bytes(&x->body, target, strlen(target));
	if (group)
		ck_ok(buf_add_u64(&x->body, group, &e));
}

static inline size_t table_number(struct node *x, const struct chunk_id *id)
{
	ck_assert_uint_lt(x->n_table, HOSTILE_IDS);
	x->table[x->n_table] = *id;
	return x->n_table++;
}

/* One extent over a chunk of its own: offset and length as they are said. */
static inline void put_file(struct node *x, const char *path, const char *text,
			    uint64_t offset, uint64_t len, uint64_t group)
{
	const struct chunk_id id = put_chunk(CHUNK_DATA, text, strlen(text));

	put_entry(x, path, strlen(path), ENTRY_FILE,
		  group ? ENTRY_HARD_LINK : 0);
	put_varint(&x->body, len);
	put_varint(&x->body, 0); /* level */
	put_varint(&x->body, 1); /* extents */
	put_varint(&x->body, table_number(x, &id) + 1);
	put_varint(&x->body, offset);
	put_varint(&x->body, len);
	if (group)
		ck_ok(buf_add_u64(&x->body, group, &e));
}

static inline void put_hole(struct node *x, const char *path, uint64_t size)
{
	put_entry(x, path, strlen(path), ENTRY_FILE, 0);
	put_varint(&x->body, size);
	put_varint(&x->body, 0);
	put_varint(&x->body, size != 0);
	if (size) {
		put_varint(&x->body, 0);
		put_varint(&x->body, size);
	}
}

/* Table, number of entries, entries. */
static inline struct chunk_id node_end(struct node *x, enum chunk_kind kind)
{
	CLEANUP(buf_done) struct buf whole;
	struct chunk_id id;

	buf_init(&whole, CHUNK_MAX);
	put_varint(&whole, x->n_table);
	put_bytes(&whole, x->table, x->n_table * sizeof(x->table[0]));
	if (kind == CHUNK_LEAF)
		put_varint(&whole, x->n);
	put_bytes(&whole, x->body.data, x->body.len);
	id = put_chunk(kind, whole.data, whole.len);
	buf_done(&x->body);
	return id;
}

/* An inner node: n paths in order, and for each the same child or its own. */
static inline struct chunk_id put_inner(uint8_t height,
					const char *const *paths,
					const struct chunk_id *ids, size_t n)
{
	CLEANUP(buf_done) struct buf b;

	buf_init(&b, CHUNK_MAX);
	ck_ok(buf_add_byte(&b, height, &e));
	put_varint(&b, n);
	for (size_t i = 0; i < n; i++) {
		put_varint(&b, 0);
		put_varint(&b, strlen(paths[i]));
		put_bytes(&b, paths[i], strlen(paths[i]));
		put_bytes(&b, ids[i].b, sizeof(ids[i].b));
		put_varint(&b, 1);
		put_varint(&b, 0);
	}
	return put_chunk(CHUNK_INNER, b.data, b.len);
}

/* The snapshot of that tree, which ends the session. */
static inline struct object_id publish(struct chunk_id root, uint8_t height)
{
	const struct object_id id = publishing;
	const struct instant now = clock_now();
	const char *path = taken_of ? taken_of : "/";
	struct manifest m;

	manifest_init(&m);
	m.snapshot = id;
	m.begun = m.ended = now;
	(void)snprintf(m.source, sizeof(m.source), "web");
	(void)snprintf(m.type, sizeof(m.type), "files");
	(void)snprintf(m.host, sizeof(m.host), "host");
	ck_ok(manifest_list_add(&m.paths, path, strlen(path), &e));
	m.tree = (struct manifest_root){ .height = height, .id = root };
	ck_ok(writer_publish(writer, &m, now, RECORD_PROCESS, &e));
	manifest_done(&m);
	hostile_close();
	return id;
}

/* ---- Readers ------------------------------------------------------------ */

static inline int restore_it(struct object_id id, struct restore_result *ret)
{
	struct restore_options o = { .path = "/", .path_len = 1 };

	err_clear(&e);
	return repo_restore_with(&f, id, &o, ret, &e);
}

static inline struct repository_snapshot look_up(struct object_id id)
{
	struct repository_snapshot s;
	char text[OBJECT_ID_TEXT];

	object_id_format(id, text);
	manifest_init(&s.manifest);
	ck_ok(repository_find(f.r, text, NULL, true, &s, NULL, &e));
	return s;
}

/* What was restored under that name. */
static inline struct stat look(const char *name)
{
	struct stat st;

	ck_assert_msg(lstat(hostile_at(f.to, name), &st) == 0, "no %s", name);
	return st;
}

static inline bool is_there(const char *name)
{
	struct stat st;

	return lstat(hostile_at(f.to, name), &st) == 0;
}

/* What `ls` walks: entries, and in *ret_lost what could not be read. */
static inline size_t list_it(struct object_id id, size_t *ret_lost)
{
	CLEANUP(repository_snapshot_done)
	struct repository_snapshot s = look_up(id);
	CLEANUP(reader_free) struct reader *x = NULL;
	CLEANUP(tree_close) struct tree *t = NULL;
	struct content content;
	struct entry en;
	size_t n = 0;
	int got;

	*ret_lost = 0;
	ck_ok(reader_new(f.r, 1 << 20, &x, &e));
	ck_ok(tree_open(x, &s.manifest.tree, NULL, &t, &e));
	while ((got = tree_next(t, &en, &content, &e)) != 0) {
		if (got < 0)
			ck_assert_msg(e.code == ERR_CORRUPT, "%s", e.text);
		n += got > 0;
		*ret_lost += got < 0;
	}
	return n;
}

static inline int ignore_change(void *arg, const struct diff_change *c,
				struct err *why)
{
	(void)c;
	(void)why;
	++*(size_t *)arg;
	return 0;
}

/* Against nothing: 0, or the code of the failure. */
static inline enum err_code diff_it(struct object_id id)
{
	static const struct manifest_root none = { .empty = true };
	CLEANUP(repository_snapshot_done)
	struct repository_snapshot s = look_up(id);
	size_t changes = 0;

	err_clear(&e);
	if (diff_run(f.r, &none, &s.manifest.tree, ignore_change, &changes, &e))
		return e.code;
	return ERR_NONE;
}

static inline struct compare_result compare_it(struct object_id id)
{
	CLEANUP(repository_snapshot_done)
	struct repository_snapshot s = look_up(id);
	const struct compare_options o = { .folder = f.to,
					   .unprivileged = geteuid() != 0 };
	struct compare_result x = { 0 };

	ck_ok(compare_run(f.r, &s.manifest, &o, &x, &e));
	return x;
}

/* Whether a check finds it sound. */
static inline bool check_it(void)
{
	CLEANUP(check_result_done) struct check_result x = { 0 };
	const struct check_options o = { .level = CHECK_DATA,
					 .now = clock_now() };

	ck_ok(check_run(f.r, &o, &x, &e));
	ck_assert_int_eq(x.sound, x.n_findings == 0);
	return x.sound;
}

/* A collection: 0, or the code of the failure. */
static inline enum err_code collect_it(void)
{
	const struct gc_options o = { .now = clock_now(),
				      .grace_ms = -1,
				      .host = "host" };
	struct gc_result x = { 0 };

	err_clear(&e);
	return gc_run(f.r, &o, &x, &e) ? e.code : ERR_NONE;
}

/* ---- Limits -------------------------------------------------------------- */

/* The most memory that this process has had, in MiB. */
static inline unsigned long peak_mib(void)
{
	struct rusage u;

	ck_assert_int_eq(getrusage(RUSAGE_SELF, &u), 0);
	return (unsigned long)u.ru_maxrss / 1024;
}

/* In a process of its own, for its peak and its limits are. */
static inline void in_child(void (*act)(struct object_id id),
			    struct object_id id)
{
	const pid_t pid = check_fork_child();
	int status;

	if (pid == 0) {
		repo_frame_reopen(&f);
		act(id);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0,
		      "status %d", status);
}

#endif

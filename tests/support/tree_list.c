#include "tests/support/tree_list.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#define HASH_START UINT64_C(0xcbf29ce484222325)

/* FNV-1a. */
static uint64_t hash(uint64_t h, const uint8_t *bytes, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		h = (h ^ bytes[i]) * UINT64_C(0x100000001b3);
	return h;
}

static struct tree_line *add_line(struct tree_list *t, const char *path,
				  size_t len)
{
	struct tree_line *line;

	if ((t->count & (t->count - 1)) == 0) {
		const size_t cap = t->count ? 2 * t->count : 1;

		t->lines = realloc(t->lines, cap * sizeof(*t->lines));
		ck_assert_ptr_nonnull(t->lines);
	}
	line = &t->lines[t->count++];
	memset(line, 0, sizeof(*line));
	line->path = strndup(path, len);
	return line;
}

void tree_list_report(void *arg, const char *path, size_t path_len,
		      const char *message)
{
	struct tree_list *t = arg;
	char *line;

	t->errors = realloc(t->errors, (t->error_count + 1) * sizeof(char *));
	ck_assert_ptr_nonnull(t->errors);
	ck_assert_int_ge(
		asprintf(&line, "%.*s: %s", (int)path_len, path, message), 0);
	t->errors[t->error_count++] = line;
}

static void write_attr(FILE *f, const char *name, const uint8_t *value,
		       size_t n)
{
	size_t i;

	fprintf(f, " %s=", name);
	for (i = 0; i < n; i++)
		fprintf(f, "%02x", value[i]);
}

static uint64_t hash_zeros(uint64_t h, uint64_t n)
{
	static const uint8_t zeros[4096];

	for (; n > sizeof(zeros); n -= sizeof(zeros))
		h = hash(h, zeros, sizeof(zeros));
	return hash(h, zeros, n);
}

static uint64_t read_source(struct source_handle *h, struct entry *en,
			    size_t piece, struct tree_line *line)
{
	struct source_extent x;
	uint64_t sum = HASH_START;
	struct err e = { 0 };
	uint8_t *bytes = malloc(piece);
	uint64_t total = 0;
	int r;

	ck_assert_ptr_nonnull(bytes);
	while ((r = source_read(h, bytes, piece, &x, &e)) > 0) {
		ck_assert_uint_gt(x.len, 0);
		total += x.len;
		if (x.hole) {
			line->holes += x.len;
			sum = hash_zeros(sum, x.len);
		} else {
			ck_assert_uint_le(x.len, piece);
			sum = hash(sum, bytes, x.len);
		}
	}
	ck_assert_int_eq(r, 0);
	free(bytes);
	line->state = source_finish(h, en);
	if (source_state_recorded(line->state))
		ck_assert_uint_eq(en->size, total);
	return sum;
}

static void describe(FILE *f, struct source_handle *h, struct entry *en,
		     size_t piece, struct tree_line *line)
{
	struct err e = { 0 };
	const int r = source_describe(h, en, &e);
	uint64_t sum = 0;
	size_t i;

	ck_assert_int_ge(r, 0);
	if (r == 0) {
		line->state = source_finish(h, en);
		ck_assert(!source_state_recorded(line->state));
		return;
	}
	if (en->type == ENTRY_FILE)
		sum = read_source(h, en, piece, line);
	fprintf(f, "%s %o %u:%u %" PRId64 ".%09u %" PRIu64,
		entry_type_name(en->type), en->mode, en->uid, en->gid,
		en->mtime.sec, en->mtime.nsec, en->size);
	fprintf(f, " ino %" PRIu64 " ctime %" PRId64 ".%09u", en->inode,
		en->ctime.sec, en->ctime.nsec);
	if (en->type == ENTRY_FILE)
		fprintf(f, " content %016" PRIx64, sum);
	if (en->type == ENTRY_CHARACTER || en->type == ENTRY_BLOCK)
		fprintf(f, " device %u:%u", en->device_major, en->device_minor);
	if (en->target)
		fprintf(f, " -> %.*s", (int)en->target_len, en->target);
	ck_assert_int_eq(!!(en->flags & ENTRY_XATTRS), en->xattr_count > 0);
	for (i = 0; i < en->xattr_count; i++)
		write_attr(f, en->xattrs[i].name, en->xattrs[i].value,
			   en->xattrs[i].value_len);
	if (en->flags & ENTRY_HARD_LINK) {
		line->group[0] = 1;
		line->group[1] = en->link_group;
	}
}

void tree_list_source(struct tree_list *t, struct source *s, size_t piece)
{
	struct err e = { 0 };
	struct entry en;
	char *last = NULL;
	int r;

	while ((r = source_next(s, &en, &e)) > 0) {
		CLEANUP(source_release) struct source_handle *h = NULL;
		struct tree_line *line = add_line(t, en.path, en.path_len);
		size_t size;
		FILE *f = open_memstream(&line->text, &size);

		ck_assert(entry_path_valid(en.path, en.path_len));
		ck_assert_uint_eq(strlen(en.path), en.path_len);
		if (last)
			ck_assert_int_lt(entry_path_compare(last, strlen(last),
							    en.path,
							    en.path_len),
					 0);
		last = line->path;
		ck_assert_int_eq(source_take(s, &h, &e), 0);
		describe(f, h, &en, piece, line);
		(void)fclose(f);
	}
	if (r < 0)
		ck_abort_msg("source_next: %s", e.text);
}

/* From here on: the slow walker. */

static void naive_attrs(FILE *f, const char *path)
{
	char names[65536];
	char value[65536];
	const char *sorted[1000];
	const ssize_t n = llistxattr(path, names, sizeof(names));
	ssize_t at;
	size_t count = 0;
	size_t i;

	for (at = 0; at < n; at += (ssize_t)strlen(names + at) + 1) {
		size_t j = count++;

		for (; j > 0 && strcmp(sorted[j - 1], names + at) > 0; j--)
			sorted[j] = sorted[j - 1];
		sorted[j] = names + at;
	}
	for (i = 0; i < count; i++) {
		const ssize_t len = lgetxattr(path, sorted[i], value,
					      sizeof(value));

		ck_assert_int_ge(len, 0);
		write_attr(f, sorted[i], (uint8_t *)value, (size_t)len);
	}
}

static uint64_t naive_content(const char *path)
{
	uint8_t bytes[8192];
	uint64_t sum = HASH_START;
	FILE *f = fopen(path, "re");
	size_t n;

	ck_assert_ptr_nonnull(f);
	while ((n = fread(bytes, 1, sizeof(bytes), f)) > 0)
		sum = hash(sum, bytes, n);
	(void)fclose(f);
	return sum;
}

static const char *naive_type(const struct stat *st)
{
	if (S_ISDIR(st->st_mode))
		return "folder";
	if (S_ISREG(st->st_mode))
		return "file";
	if (S_ISLNK(st->st_mode))
		return "symlink";
	if (S_ISFIFO(st->st_mode))
		return "fifo";
	if (S_ISSOCK(st->st_mode))
		return "socket";
	return S_ISCHR(st->st_mode) ? "character-device" : "block-device";
}

static void naive_line(struct tree_list *t, const char *path,
		       const struct stat *st)
{
	struct tree_line *line = add_line(t, path, strlen(path));
	size_t size;
	FILE *f = open_memstream(&line->text, &size);
	char target[PATH_MAX];
	const bool is_file = S_ISREG(st->st_mode);

	fprintf(f, "%s %o %u:%u %" PRId64 ".%09ld %" PRId64, naive_type(st),
		st->st_mode & 07777U, st->st_uid, st->st_gid,
		(int64_t)st->st_mtim.tv_sec, st->st_mtim.tv_nsec,
		is_file ? (int64_t)st->st_size : 0);
	fprintf(f, " ino %" PRIu64 " ctime %" PRId64 ".%09ld",
		(uint64_t)st->st_ino, (int64_t)st->st_ctim.tv_sec,
		st->st_ctim.tv_nsec);
	if (is_file)
		fprintf(f, " content %016" PRIx64, naive_content(path));
	if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode))
		fprintf(f, " device %u:%u", major(st->st_rdev),
			minor(st->st_rdev));
	if (S_ISLNK(st->st_mode)) {
		const ssize_t n = readlink(path, target, sizeof(target));

		ck_assert_int_ge(n, 0);
		fprintf(f, " -> %.*s", (int)n, target);
	}
	naive_attrs(f, path);
	if (!S_ISDIR(st->st_mode) && st->st_nlink > 1) {
		line->group[0] = st->st_dev;
		line->group[1] = st->st_ino;
	}
	(void)fclose(f);
}

static void naive_walk(struct tree_list *t, const char *path)
{
	const struct dirent *d;
	struct stat st;
	DIR *dir;

	ck_assert_int_eq(lstat(path, &st), 0);
	naive_line(t, path, &st);
	if (!S_ISDIR(st.st_mode))
		return;
	dir = opendir(path);
	ck_assert_ptr_nonnull(dir);
	while ((d = readdir(dir))) {
		char *below;

		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			continue;
		ck_assert_int_ge(asprintf(&below, "%s/%s", path, d->d_name), 0);
		naive_walk(t, below);
		free(below);
	}
	(void)closedir(dir);
}

/* Component by component, which is what '/' as the lowest byte amounts to. */
static int compare_lines(const void *a, const void *b)
{
	const char *x = ((const struct tree_line *)a)->path;
	const char *y = ((const struct tree_line *)b)->path;

	for (;;) {
		const size_t n = strcspn(x, "/");
		const size_t m = strcspn(y, "/");
		const int c = memcmp(x, y, n < m ? n : m);

		if (c != 0 || n != m)
			return c ? c : n < m ? -1 : 1;
		x += n;
		y += m;
		if (!*x || !*y)
			return *x ? 1 : *y ? -1 : 0;
		x++;
		y++;
	}
}

void tree_list_naive(struct tree_list *t, const char *root)
{
	naive_walk(t, root);
	qsort(t->lines, t->count, sizeof(*t->lines), compare_lines);
}

static void line_done(struct tree_line *line)
{
	free(line->path);
	free(line->text);
}

void tree_list_cut(struct tree_list *t, const char *root)
{
	size_t kept = 0;
	size_t i;

	for (i = 0; i < t->count; i++) {
		if (strlen(t->lines[i].path) < strlen(root))
			line_done(&t->lines[i]);
		else
			t->lines[kept++] = t->lines[i];
	}
	t->count = kept;
}

static size_t first_fellow(const struct tree_list *t, size_t i)
{
	const uint64_t *group = t->lines[i].group;
	size_t j = 0;

	if (group[0] == 0)
		return i;
	while (memcmp(t->lines[j].group, group, sizeof(t->lines[j].group)) != 0)
		j++;
	return j;
}

static void expect_same_line(const struct tree_line *got,
			     const struct tree_line *want)
{
	ck_assert_str_eq(got->path, want->path);
	if (strcmp(got->text, want->text) != 0)
		ck_abort_msg("%s\n got %s\nwant %s", got->path, got->text,
			     want->text);
	ck_assert_uint_eq(got->group[0] != 0, want->group[0] != 0);
}

void tree_list_expect_same(const struct tree_list *got,
			   const struct tree_list *want)
{
	size_t i;

	for (i = 0; i < got->count && i < want->count; i++) {
		expect_same_line(&got->lines[i], &want->lines[i]);
		ck_assert_uint_eq(first_fellow(got, i), first_fellow(want, i));
	}
	ck_assert_uint_eq(got->count, want->count);
}

const struct tree_line *tree_list_find(const struct tree_list *t,
				       const char *path)
{
	size_t i;

	for (i = 0; i < t->count; i++)
		if (strcmp(t->lines[i].path, path) == 0)
			return &t->lines[i];
	return NULL;
}

void tree_list_done(struct tree_list *t)
{
	size_t i;

	for (i = 0; i < t->count; i++)
		line_done(&t->lines[i]);
	for (i = 0; i < t->error_count; i++)
		free(t->errors[i]);
	free(t->lines);
	free(t->errors);
	memset(t, 0, sizeof(*t));
}

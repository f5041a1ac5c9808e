#include "storage/sources/block_map.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cursor.h"
#include "base/file.h"
#include "base/seam.h"
#include "storage/repository/hash.h"

#define PIECE_BYTES 56
#define PAGE_BYTES  ((size_t)BLOCK_MAP_PAGE * PIECE_BYTES)
#define HEAD_BYTES  112
/* In front of what is hashed: the snapshot, and the page's number. */
#define TAG_BYTES   24
#define HEAD_NUMBER UINT64_MAX

enum { KIND_DATA = 1, KIND_ZERO };

static const char magic[8] = { 's', 'n', 'a', 'p', 'm', 'a', 'p', '1' };

/* It keeps no secret: it makes another use of the hash another hash. */
static const uint8_t label[KEYS_SIZE] = "snapctl: map of an image, v1";

struct block_map {
	struct block_map_head head;
	uint64_t pieces;
	uint64_t end;  /* of the last piece that was added or read */
	uint64_t next; /* piece to be read */
	bool is_ended; /* it can be read */
	struct hash *hash;
	int fd;
	/* TAG_BYTES ‖ the page ‖ its checksum */
	uint8_t bytes[TAG_BYTES + PAGE_BYTES + HASH_SIZE];
};

static void put_u64(uint8_t **at, uint64_t v)
{
	for (unsigned int i = 0; i < 8; i++)
		*(*at)++ = (uint8_t)(v >> (8 * i));
}

static void put(uint8_t **at, const void *bytes, size_t n)
{
	memcpy(*at, bytes, n);
	*at += n;
}

static uint8_t *page_of(struct block_map *m)
{
	return m->bytes + TAG_BYTES;
}

static int64_t page_at(uint64_t number)
{
	return (int64_t)(HEAD_BYTES + HASH_SIZE +
			 number * (PAGE_BYTES + HASH_SIZE));
}

static uint64_t pages_of(uint64_t pieces)
{
	return (pieces + BLOCK_MAP_PAGE - 1) / BLOCK_MAP_PAGE;
}

/* Of the first n bytes in the page. */
static int checksum(struct block_map *m, uint64_t number, size_t n,
		    uint8_t out[HASH_SIZE], struct err *e)
{
	uint8_t *at = m->bytes;

	put(&at, m->head.snapshot.b, sizeof(m->head.snapshot.b));
	put_u64(&at, number);
	return hash_bytes(m->hash, m->bytes, TAG_BYTES + n, out, e);
}

static int map_new(const struct block_map_head *head, struct block_map **ret,
		   struct err *e)
{
	struct block_map *m = calloc(1, sizeof(*m));

	if (!m)
		return err_oom(e);
	m->head = *head;
	m->fd = -1;
	if (hash_new(label, &m->hash, e) < 0) {
		block_map_free(m);
		return -1;
	}
	*ret = m;
	return 0;
}

void block_map_free(struct block_map *m)
{
	if (!m)
		return;
	hash_free(m->hash);
	file_close(m->fd);
	free(m);
}

const struct block_map_head *block_map_head(const struct block_map *m)
{
	return &m->head;
}

/* What a piece may be that begins at `end` or later. */
static bool is_valid(const struct block_piece *p, uint64_t end)
{
	uint64_t behind;

	if (p->len == 0 || p->at < end ||
	    __builtin_add_overflow(p->at, p->len, &behind) ||
	    behind > INT64_MAX)
		return false;
	if (p->zero)
		return !p->disk && !p->disk_len && !p->offset && !p->transid &&
		       !p->compression;
	if (p->disk == 0 || p->disk_len == 0 || p->transid == 0 ||
	    __builtin_add_overflow(p->offset, p->len, &behind))
		return false;
	return p->compression || behind <= p->disk_len;
}

/* ---- Writing ------------------------------------------------------------ */

int block_map_new(const char *scratch, const struct block_map_head *head,
		  struct block_map **ret, struct err *e)
{
	struct block_map *m = NULL;

	if (map_new(head, &m, e) < 0)
		return -1;
	if (file_open_unnamed(scratch, &m->fd, e) < 0) {
		block_map_free(m);
		return -1;
	}
	*ret = m;
	return 0;
}

static int write_page(struct block_map *m, uint64_t number, struct err *e)
{
	if (checksum(m, number, PAGE_BYTES, page_of(m) + PAGE_BYTES, e) < 0)
		return -1;
	if (seam_pwrite(m->fd, page_of(m), PAGE_BYTES + HASH_SIZE,
			page_at(number)))
		return err_sys(e, "cannot write to a temporary file");
	memset(page_of(m), 0, PAGE_BYTES);
	return 0;
}

int block_map_add(struct block_map *m, const struct block_piece *p,
		  struct err *e)
{
	const uint64_t in_page = m->pieces % BLOCK_MAP_PAGE;
	uint8_t *at = page_of(m) + in_page * PIECE_BYTES;

	assert(!m->is_ended);
	if (!is_valid(p, m->end))
		return err_set(e, ERR_CORRUPT, "a piece is out of order");
	if (m->pieces == BLOCK_MAP_PIECES_MAX)
		return err_set(e, ERR_FULL, "an image has too many pieces");
	put_u64(&at, p->at);
	put_u64(&at, p->len);
	put_u64(&at, p->disk);
	put_u64(&at, p->disk_len);
	put_u64(&at, p->offset);
	put_u64(&at, p->transid);
	put_u64(&at, (p->zero ? KIND_ZERO : KIND_DATA) |
			     (uint64_t)p->compression << 8);
	m->end = p->at + p->len;
	m->pieces++;
	return in_page == BLOCK_MAP_PAGE - 1
		       ? write_page(m, m->pieces / BLOCK_MAP_PAGE - 1, e)
		       : 0;
}

static void put_head(struct block_map *m)
{
	const struct block_map_head *h = &m->head;
	uint8_t *at = page_of(m);

	put(&at, magic, sizeof(magic));
	put(&at, h->snapshot.b, sizeof(h->snapshot.b));
	put(&at, h->mounting.file_system, sizeof(h->mounting.file_system));
	put(&at, h->mounting.boot, sizeof(h->mounting.boot));
	put_u64(&at, h->mounting.number);
	put_u64(&at, h->tree);
	put_u64(&at, h->inode);
	put_u64(&at, h->generation);
	put_u64(&at, h->transid);
	put_u64(&at, h->size);
	put_u64(&at, m->pieces);
	assert(at == page_of(m) + HEAD_BYTES);
}

int block_map_end(struct block_map *m, struct err *e)
{
	assert(!m->is_ended);
	if (m->pieces % BLOCK_MAP_PAGE &&
	    write_page(m, m->pieces / BLOCK_MAP_PAGE, e) < 0)
		return -1;
	put_head(m);
	if (checksum(m, HEAD_NUMBER, HEAD_BYTES, page_of(m) + HEAD_BYTES, e) <
	    0)
		return -1;
	if (seam_pwrite(m->fd, page_of(m), HEAD_BYTES + HASH_SIZE, 0))
		return err_sys(e, "cannot write to a temporary file");
	m->is_ended = true;
	m->end = 0;
	return 0;
}

/* ---- Reading ------------------------------------------------------------ */

static int damaged(struct err *e)
{
	return err_set(e, ERR_CORRUPT, "the map of an image is damaged");
}

/* n bytes and their checksum. */
static int read_checked(struct block_map *m, uint64_t number, size_t n,
			int64_t at, struct err *e)
{
	uint8_t want[HASH_SIZE];
	const ssize_t got = file_pread(m->fd, page_of(m), n + HASH_SIZE, at);

	if (got < 0)
		return err_sys(e, "cannot read the map of an image");
	if (got != (ssize_t)(n + HASH_SIZE))
		return damaged(e);
	if (checksum(m, number, n, want, e) < 0)
		return -1;
	return memcmp(want, page_of(m) + n, HASH_SIZE) ? damaged(e) : 0;
}

static int read_head(struct block_map *m, struct err *e)
{
	struct block_map_head *h = &m->head;
	const struct object_id want = h->snapshot;
	struct cursor c = cursor_of(page_of(m), HEAD_BYTES);
	const uint8_t *begin;

	if (read_checked(m, HEAD_NUMBER, HEAD_BYTES, 0, e) < 0)
		return -1;
	begin = cursor_bytes(&c, sizeof(magic));
	if (!begin || memcmp(begin, magic, sizeof(magic)) != 0)
		return damaged(e);
	cursor_copy(&c, h->snapshot.b, sizeof(h->snapshot.b));
	cursor_copy(&c, h->mounting.file_system,
		    sizeof(h->mounting.file_system));
	cursor_copy(&c, h->mounting.boot, sizeof(h->mounting.boot));
	h->mounting.number = cursor_u64(&c);
	h->tree = cursor_u64(&c);
	h->inode = cursor_u64(&c);
	h->generation = cursor_u64(&c);
	h->transid = cursor_u64(&c);
	h->size = cursor_u64(&c);
	m->pieces = cursor_u64(&c);
	if (cursor_finish(&c, "the head of a map", e) < 0)
		return -1;
	if (!object_id_equal(h->snapshot, want) ||
	    m->pieces > BLOCK_MAP_PIECES_MAX)
		return damaged(e);
	return 0;
}

/* Pieces behind the last are zeros. */
static int read_page(struct block_map *m, uint64_t number, struct err *e)
{
	const uint64_t first = number * BLOCK_MAP_PAGE;
	const uint64_t n = m->pieces - first < BLOCK_MAP_PAGE
				   ? m->pieces - first
				   : BLOCK_MAP_PAGE;
	struct cursor rest;

	if (read_checked(m, number, PAGE_BYTES, page_at(number), e) < 0)
		return -1;
	rest = cursor_of(page_of(m) + n * PIECE_BYTES,
			 PAGE_BYTES - n * PIECE_BYTES);
	return cursor_zeros(&rest) ? 0 : damaged(e);
}

int block_map_next(struct block_map *m, struct block_piece *ret, struct err *e)
{
	const uint64_t in_page = m->next % BLOCK_MAP_PAGE;
	struct block_piece p = { 0 };
	struct cursor c;
	uint64_t what;

	assert(m->is_ended);
	if (m->next == m->pieces)
		return 0;
	if (in_page == 0 && read_page(m, m->next / BLOCK_MAP_PAGE, e) < 0)
		return -1;
	c = cursor_of(page_of(m) + in_page * PIECE_BYTES, PIECE_BYTES);
	p.at = cursor_u64(&c);
	p.len = cursor_u64(&c);
	p.disk = cursor_u64(&c);
	p.disk_len = cursor_u64(&c);
	p.offset = cursor_u64(&c);
	p.transid = cursor_u64(&c);
	what = cursor_u64(&c);
	p.zero = (what & 0xff) == KIND_ZERO;
	p.compression = (uint8_t)(what >> 8);
	if (cursor_finish(&c, "a piece of a map", e) < 0)
		return -1;
	if ((!p.zero && (what & 0xff) != KIND_DATA) || what >> 16 ||
	    !is_valid(&p, m->end))
		return damaged(e);
	m->end = p.at + p.len;
	m->next++;
	*ret = p;
	return 1;
}

static int check_all(struct block_map *m, struct err *e)
{
	struct block_piece p;
	struct stat st;
	int got;

	if (fstat(m->fd, &st) < 0)
		return err_sys(e, "cannot read the map of an image");
	if (!S_ISREG(st.st_mode))
		return damaged(e);
	if (read_head(m, e) < 0)
		return -1;
	if (st.st_size != page_at(pages_of(m->pieces)))
		return damaged(e);
	m->is_ended = true;
	while ((got = block_map_next(m, &p, e)) == 1)
		;
	m->next = m->end = 0;
	return got;
}

int block_map_open(int dir_fd, const char *name, struct object_id snapshot,
		   struct block_map **ret, struct err *e)
{
	const struct block_map_head head = { .snapshot = snapshot };
	struct block_map *m = NULL;

	if (map_new(&head, &m, e) < 0)
		return -1;
	m->fd = openat(dir_fd, name,
		       O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK |
			       O_NOCTTY);
	if (m->fd < 0 ? err_sys(e, "cannot open the map of an image") < 0
		      : check_all(m, e) < 0) {
		block_map_free(m);
		return -1;
	}
	*ret = m;
	return 0;
}

/* ---- Keeping ------------------------------------------------------------ */

static int copy_all(struct block_map *m, int to)
{
	const int64_t end = page_at(pages_of(m->pieces));
	uint8_t bytes[1 << 14];

	for (int64_t at = 0; at < end;) {
		const size_t want = end - at < (int64_t)sizeof(bytes)
					    ? (size_t)(end - at)
					    : sizeof(bytes);

		if (file_pread(m->fd, bytes, want, at) != (ssize_t)want ||
		    seam_pwrite(to, bytes, want, at))
			return -1;
		at += (int64_t)want;
	}
	return seam_fsync(to);
}

/* Durable before it has its name, so that no name leads to a part of one. */
int block_map_save(struct block_map *m, int dir_fd, const char *name,
		   struct err *e)
{
	CLEANUP(file_close) int fd = -1;
	char temporary[256];

	assert(m->is_ended);
	(void)snprintf(temporary, sizeof(temporary), "%.200s.tmp", name);
	fd = seam_open(dir_fd, temporary,
		       O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
		       0600);
	if (fd < 0 || copy_all(m, fd) < 0 ||
	    seam_rename(dir_fd, temporary, dir_fd, name, 0) < 0) {
		(void)err_sys(e, "cannot write the map of an image");
		if (fd >= 0)
			(void)!seam_unlink(dir_fd, temporary, 0);
		return -1;
	}
	return 0;
}

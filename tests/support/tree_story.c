#include "tests/support/tree_story.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

/* What is not permitted, or not there: a step does nothing then. */
static void may_fail(int result)
{
	(void)result;
}

/* ---- Drawing ------------------------------------------------------------ */

/* What sorts oddly, what is no text, what looks like something else. */
static const char *const odd_names[] = {
	"a",
	"b",
	"c",
	"d",
	"a!",
	"a b",
	"a.b",
	"a0",
	"A",
	"-rf",
	"~",
	"...",
	"..a",
	"new\nline",
	"tab\t",
	"\x01",
	"\xff\xfe",
	"\xc3\xa9",
	"\x80",
	"$(x)",
	"a\\b",
	"*",
	" ",
	"CACHEDIR.TAG",
	"\xe2\x80\xae",
	".snapctl",
	"'",
	"\"",
};

static void draw_names(struct tree_story *t, struct random *r)
{
	const size_t odd = sizeof(odd_names) / sizeof(odd_names[0]);

	for (size_t i = 0; i < TREE_NAMES; i++) {
		struct tree_name *name = &t->names[i];

		memset(name, 0, sizeof(*name));
		if (i < odd) {
			(void)snprintf(name->bytes, sizeof(name->bytes), "%s",
				       odd_names[i]);
			continue;
		}
		/* As long as they may be. */
		memset(name->bytes, (int)('p' + i - odd), 255);
		name->bytes[random_below(r, 255)] = (char)(1 +
							   random_below(r, 46));
	}
}

/* Paths that a story has spoken of; most steps are about one of them. */
struct known {
	struct tree_path v[256];
	size_t n;
};

static void learn(struct known *k, const struct tree_path *p, struct random *r)
{
	const size_t most = sizeof(k->v) / sizeof(k->v[0]);

	k->v[k->n < most ? k->n++ : random_below(r, most)] = *p;
}

static struct tree_path draw_known(const struct known *k, struct random *r)
{
	const struct tree_path root = { .n = 0 };

	return k->n == 0 || random_below(r, 30) == 0
		       ? root
		       : k->v[random_below(r, k->n)];
}

static uint8_t draw_name(struct random *r)
{
	/* Few names, so that they meet again. */
	return (uint8_t)(random_below(r, 3) ? random_below(r, 4)
					    : random_below(r, TREE_NAMES));
}

static struct tree_path draw_new(struct known *k, struct random *r)
{
	struct tree_path p = draw_known(k, r);

	if (random_below(r, 4) == 0)
		p.n = 0;
	else if (random_below(r, 3) == 0 && p.n)
		p.n--;
	if (p.n < TREE_DEPTH)
		p.name[p.n++] = draw_name(r);
	learn(k, &p, r);
	return p;
}

/* Longer than the system takes a path. */
static struct tree_path draw_deep(struct known *k, struct random *r)
{
	struct tree_path p = { .n = 0 };
	const uint8_t depth = (uint8_t)(18 + random_below(r, 26));

	while (p.n < depth)
		p.name[p.n++] = (uint8_t)(TREE_NAMES - 1 - random_below(r, 2));
	learn(k, &p, r);
	return p;
}

/* Around what the engine counts in. */
static int64_t draw_size(struct random *r)
{
	static const int64_t bounds[] = { 0,	   1,	   64,	   512,
					  4096,	   65536,  262144, 524288,
					  1 << 20, 2 << 20 };
	const int64_t at = bounds[random_below(r, random_below(r, 4) ? 6 : 10)];

	switch (random_below(r, 4)) {
	case 0:
		return at + (int64_t)random_below(r, 3) - (at > 0);
	case 1:
		return (int64_t)(random_any_size(r) % (3 << 20));
	default:
		return (int64_t)random_below(r, 3000);
	}
}

static enum tree_act draw_act(struct random *r, bool making)
{
	static const enum tree_act make[] = {
		TREE_FOLDER, TREE_FOLDER, TREE_FOLDER,	TREE_FOLDERS,
		TREE_FILE,   TREE_FILE,	  TREE_FILE,	TREE_FILE,
		TREE_FILE,   TREE_WRITE,  TREE_SYMLINK, TREE_LINK,
		TREE_LINK,   TREE_FIFO,	  TREE_SOCKET,	TREE_DEVICE,
		TREE_MODE,   TREE_OWNER,  TREE_TIME,	TREE_ATTR,
		TREE_ACL,    TREE_CUT
	};

	if (random_below(r, 60) == 0)
		return TREE_MANY;
	if (making || random_below(r, 4) == 0)
		return make[random_below(r, sizeof(make) / sizeof(make[0]))];
	return (enum tree_act)(TREE_FILE +
			       random_below(r, TREE_ACL + 1 - TREE_FILE));
}

void tree_story_add(struct tree_story *t, const struct tree_step *s)
{
	if (t->n == t->room) {
		t->room = t->room ? 2 * t->room : 64;
		t->steps = reallocarray(t->steps, t->room, sizeof(*t->steps));
		ck_assert_ptr_nonnull(t->steps);
	}
	t->steps[t->n++] = *s;
}

static void draw_step(struct tree_story *t, struct known *k, struct random *r,
		      bool making)
{
	struct tree_step s = { .act = draw_act(r, making) };

	s.c = random_u64(r);
	s.a = draw_size(r);
	s.b = draw_size(r);
	switch (s.act) {
	case TREE_FOLDERS:
		s.at = random_below(r, 3) ? draw_new(k, r) : draw_deep(k, r);
		break;
	case TREE_FOLDER:
	case TREE_MANY:
	case TREE_SYMLINK:
	case TREE_FIFO:
	case TREE_SOCKET:
	case TREE_DEVICE:
		s.at = draw_new(k, r);
		s.to = draw_known(k, r);
		break;
	case TREE_FILE:
		s.at = random_below(r, 8) ? draw_new(k, r) : draw_known(k, r);
		break;
	case TREE_LINK:
	case TREE_MOVE:
		s.at = draw_known(k, r);
		s.to = random_below(r, 4) ? draw_new(k, r) : draw_known(k, r);
		break;
	default:
		s.at = draw_known(k, r);
		s.to = draw_known(k, r);
	}
	tree_story_add(t, &s);
}

static void add_act(struct tree_story *t, enum tree_act act, struct random *r)
{
	tree_story_add(t,
		       &(struct tree_step){ .act = act,
					    .a = (int64_t)random_below(r, 1000),
					    .b = (int64_t)random_below(r, 1000),
					    .c = random_u64(r) });
}

static void add_take(struct tree_story *t, struct random *r)
{
	tree_story_add(t,
		       &(struct tree_step){ .act = TREE_TAKE,
					    .a = random_below(r, 4) == 0,
					    .b = random_below(r, 4) ? 10 : 0 });
}

void tree_story_draw(struct tree_story *t, unsigned int size, struct random *r)
{
	struct known known = { .n = 0 };
	const unsigned int takes = 1 + (unsigned int)random_below(r, 5);

	memset(t, 0, sizeof(*t));
	draw_names(t, r);
	for (unsigned int i = 0; i < size; i++)
		draw_step(t, &known, r, true);
	for (unsigned int k = 0; k < takes; k++) {
		const uint64_t changes = k ? random_below(r, 4 + size / 4) : 0;

		for (uint64_t i = 0; i < changes; i++)
			draw_step(t, &known, r, false);
		add_take(t, r);
		if (random_below(r, 5) == 0)
			add_act(t, TREE_FORGET, r);
		if (random_below(r, 4) == 0)
			add_act(t, TREE_COLLECT, r);
		if (random_below(r, 3) == 0)
			add_act(t, TREE_CHECK, r);
		if (random_below(r, 2) == 0)
			add_act(t, TREE_RESTORE, r);
		if (random_below(r, 2) == 0)
			add_act(t, TREE_OVER, r);
	}
}

void tree_story_copy(struct tree_story *to, const struct tree_story *from)
{
	*to = *from;
	to->room = from->n + 1;
	to->steps = reallocarray(NULL, to->room, sizeof(*to->steps));
	ck_assert_ptr_nonnull(to->steps);
	if (from->n)
		memcpy(to->steps, from->steps, from->n * sizeof(*to->steps));
}

void tree_story_done(struct tree_story *t)
{
	free(t->steps);
	memset(t, 0, sizeof(*t));
}

/* ---- Doing -------------------------------------------------------------- */

/* Where a step is done: a folder and a name in it. */
struct place {
	int fd; /* -1: it is not there */
	char name[256];
};

/* With `make`, folders on the way are made. */
static struct place find(const struct tree_story *t, const char *root,
			 const struct tree_path *p, bool make)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	struct place at = { .fd = open(root, flags), .name = "." };

	for (uint8_t i = 0; i < p->n && at.fd >= 0; i++) {
		const int above = at.fd;

		(void)snprintf(at.name, sizeof(at.name), "%s",
			       t->names[p->name[i]].bytes);
		if (i + 1 == p->n)
			break;
		if (make)
			may_fail(mkdirat(above, at.name, 0755));
		at.fd = openat(above, at.name, flags);
		(void)close(above);
	}
	return at;
}

/* Bytes that c chooses: noise, text, or one letter. */
static void fill(uint8_t *out, size_t n, uint64_t c)
{
	struct random r = { c };

	switch (c % 4) {
	case 0:
		for (size_t i = 0; i < n; i++)
			out[i] = (uint8_t)("snapshot\n"[i % 9] +
					   (random_below(&r, 50) == 0));
		break;
	case 1:
		memset(out, (int)(c >> 8 & 0xff), n);
		break;
	default:
		random_bytes(&r, out, n);
	}
}

static void write_at(int fd, int64_t at, int64_t n, uint64_t c)
{
	uint8_t *bytes;

	if (n <= 0 || at < 0)
		return;
	bytes = malloc((size_t)n);
	ck_assert_ptr_nonnull(bytes);
	fill(bytes, (size_t)n, c);
	(void)!pwrite(fd, bytes, (size_t)n, at);
	free(bytes);
}

/* What a step does to the content of a file that is there, or of a new one. */
static void do_content(const struct tree_step *s, const struct place *at)
{
	const int make = s->act == TREE_FILE ? O_CREAT | O_TRUNC : 0;
	const int fd = openat(
		at->fd, at->name,
		O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | make, 0644);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		if (fd >= 0)
			(void)close(fd);
		return;
	}
	switch (s->act) {
	case TREE_FILE:
		write_at(fd, 0, s->a, s->c);
		break;
	case TREE_WRITE:
		write_at(fd, s->a, s->b, s->c);
		break;
	case TREE_APPEND:
		write_at(fd, st.st_size, s->b, s->c);
		break;
	case TREE_CUT:
		may_fail(ftruncate(fd, s->a));
		break;
	case TREE_PUNCH:
		may_fail(fallocate(fd,
				   FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				   s->a, s->b ? s->b : 1));
		break;
	case TREE_REWRITE: {
		const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT },
						   st.st_mtim };

		write_at(fd, 0, st.st_size, s->c);
		may_fail(futimens(fd, times));
		break;
	}
	default:
		break;
	}
	(void)close(fd);
}

static void do_symlink(const struct tree_story *t, const struct tree_step *s,
		       const struct place *at)
{
	char target[4096];
	size_t n = 0;

	if (s->c % 2) {
		n = 1 + (size_t)(s->a % 4094);
		fill((uint8_t *)target, n, s->c);
		for (size_t i = 0; i < n; i++)
			if (!target[i])
				target[i] = 'x';
	}
	for (uint8_t i = 0; s->c % 2 == 0 && i < s->to.n && i < 15; i++)
		n += (size_t)snprintf(target + n, sizeof(target) - n, "%s%s",
				      i ? "/" : "",
				      t->names[s->to.name[i]].bytes);
	target[n] = '\0';
	may_fail(symlinkat(n ? target : ".", at->fd, at->name));
}

static void do_socket(const struct place *at)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	/* A socket's address is short: go through a descriptor. */
	if (strlen(at->name) < 60 && fd >= 0) {
		(void)snprintf(a.sun_path, sizeof(a.sun_path),
			       "/proc/self/fd/%d/%.60s", at->fd, at->name);
		may_fail(bind(fd, (struct sockaddr *)&a, sizeof(a)));
	}
	if (fd >= 0)
		(void)close(fd);
}

static void do_many(const struct tree_step *s, const struct place *at)
{
	const int64_t n = 1 + s->a % 1500;
	char name[20];
	int dir;

	may_fail(mkdirat(at->fd, at->name, 0755));
	dir = openat(at->fd, at->name,
		     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	for (int64_t i = 0; dir >= 0 && i < n; i++) {
		int fd;

		(void)snprintf(name, sizeof(name), "%jx",
			       (uintmax_t)(i * 7919 % 104729));
		fd = openat(dir, name,
			    O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK |
				    O_CLOEXEC,
			    0644);
		if (fd < 0)
			continue;
		if (i % 3 == 0)
			write_at(fd, 0, 1 + i % 900, s->c + (uint64_t)i % 50);
		(void)close(fd);
	}
	if (dir >= 0)
		(void)close(dir);
}

static void remove_all(int dir, const char *name)
{
	struct dirent *entry;
	DIR *d;
	int fd;

	if (strcmp(name, ".") == 0 || unlinkat(dir, name, 0) == 0)
		return;
	may_fail(fchmodat(dir, name, 0700, 0));
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	d = fd < 0 ? NULL : fdopendir(fd);
	while (d && (entry = readdir(d)))
		if (strcmp(entry->d_name, ".") != 0 &&
		    strcmp(entry->d_name, "..") != 0)
			remove_all(fd, entry->d_name);
	if (d)
		(void)closedir(d);
	may_fail(unlinkat(dir, name, AT_REMOVEDIR));
}

/* Of the entry itself, whatever it is. */
static void proc_path(const struct place *at, char out[320])
{
	(void)snprintf(out, 320, "/proc/self/fd/%d/%s", at->fd, at->name);
}

static void do_attr(const struct tree_step *s, const struct place *at)
{
	static const char *const names[] = { "user.a", "user.\xff\n",
					     "trusted.snap",
					     "security.capability" };
	/* VFS_CAP_REVISION_2, cap_net_raw permitted and effective */
	static const uint8_t capability[20] = { 1, 0, 0, 2, 0, 32 };
	const char *name = names[s->c % 4];
	uint8_t value[600];
	char path[320];

	proc_path(at, path);
	fill(value, sizeof(value), s->c);
	if (s->act == TREE_UNATTR)
		may_fail(lremovexattr(path, name));
	else if (s->c % 4 == 3)
		may_fail(lsetxattr(path, name, capability, sizeof(capability),
				   0));
	else
		may_fail(lsetxattr(path, name, value,
				   (size_t)(s->a % (int64_t)sizeof(value)), 0));
}

static void do_acl(const struct tree_step *s, const struct place *at)
{
	/* user::rwx user:1:r-x group::r-x mask::r-x other::--- */
	static const uint8_t acl[] = {
		2, 0, 0,   0,	1,   0,	  7,  0, 255, 255, 255, 255, 2,	  0,  5,
		0, 1, 0,   0,	0,   4,	  0,  5, 0,   255, 255, 255, 255, 16, 0,
		5, 0, 255, 255, 255, 255, 32, 0, 0,   0,   255, 255, 255, 255
	};
	char path[320];

	proc_path(at, path);
	may_fail(lsetxattr(path,
			   s->c % 2 ? "system.posix_acl_access"
				    : "system.posix_acl_default",
			   acl, sizeof(acl), 0));
}

static void do_meta(const struct tree_step *s, const struct place *at)
{
	static const int64_t odd_times[] = { -1,	  0,
					     -2000000000, 2000000000,
					     1,		  4000000000,
					     1700000000,  15000000000 };
	static const mode_t odd_modes[] = { 0,	   07777, 04755, 02755,
					    01777, 0400,  0700,	 0644 };
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT } };
	mode_t mode = odd_modes[s->c % 8];
	struct stat st;

	if (fstatat(at->fd, at->name, &st, AT_SYMLINK_NOFOLLOW))
		return;
	switch (s->act) {
	case TREE_MODE:
		/* Whoever is not root has to read it afterwards. */
		if (geteuid() != 0)
			mode |= S_ISDIR(st.st_mode) ? 0700 : 0600;
		if (!S_ISLNK(st.st_mode))
			may_fail(fchmodat(at->fd, at->name, mode, 0));
		break;
	case TREE_OWNER:
		if (geteuid() == 0)
			may_fail(fchownat(at->fd, at->name,
					  (uid_t)(s->c & 0xfffffffe),
					  (gid_t)(s->c >> 32 & 0xfffffffe),
					  AT_SYMLINK_NOFOLLOW));
		break;
	default:
		times[1].tv_sec = odd_times[s->c % 8];
		times[1].tv_nsec = s->c >> 3 & 1
					   ? (long)(s->c >> 8) % 1000000000
					   : 0;
		if (times[1].tv_nsec < 0)
			times[1].tv_nsec += 1000000000;
		may_fail(utimensat(at->fd, at->name, times,
				   AT_SYMLINK_NOFOLLOW));
	}
}

static void do_device(const struct tree_step *s, const struct place *at)
{
	may_fail(mknodat(at->fd, at->name,
			 (s->c % 2 ? S_IFCHR : S_IFBLK) | 0600,
			 makedev((unsigned int)(s->c >> 8 & 0xfff),
				 (unsigned int)(s->c >> 20 & 0xfffff))));
}

/* Two places. */
static void do_both(const struct tree_step *s, const struct place *at,
		    const struct place *to)
{
	/* No name of the root's own. */
	if (at->fd < 0 || to->fd < 0 || strcmp(at->name, ".") == 0 ||
	    strcmp(to->name, ".") == 0)
		return;
	if (s->act == TREE_LINK)
		may_fail(linkat(at->fd, at->name, to->fd, to->name, 0));
	else
		may_fail(renameat2(at->fd, at->name, to->fd, to->name,
				   s->act == TREE_SWAP ? RENAME_EXCHANGE : 0));
}

static void do_at(const struct tree_story *t, const struct tree_step *s,
		  const struct place *at)
{
	switch (s->act) {
	case TREE_FOLDER:
	case TREE_FOLDERS:
		may_fail(mkdirat(at->fd, at->name, 0755));
		break;
	case TREE_MANY:
		do_many(s, at);
		break;
	case TREE_SYMLINK:
		do_symlink(t, s, at);
		break;
	case TREE_FIFO:
		may_fail(mkfifoat(at->fd, at->name, 0600));
		break;
	case TREE_SOCKET:
		do_socket(at);
		break;
	case TREE_DEVICE:
		do_device(s, at);
		break;
	case TREE_REMOVE:
		remove_all(at->fd, at->name);
		break;
	case TREE_MODE:
	case TREE_OWNER:
	case TREE_TIME:
		do_meta(s, at);
		break;
	case TREE_ATTR:
	case TREE_UNATTR:
		do_attr(s, at);
		break;
	case TREE_ACL:
		do_acl(s, at);
		break;
	default:
		do_content(s, at);
	}
}

void tree_story_do(const struct tree_story *t, const struct tree_step *s,
		   const char *root)
{
	const struct place at = find(t, root, &s->at, s->act == TREE_FOLDERS);
	struct place to = { .fd = -1 };

	if (s->act == TREE_LINK || s->act == TREE_MOVE || s->act == TREE_SWAP) {
		to = find(t, root, &s->to, false);
		do_both(s, &at, &to);
	} else if (at.fd >= 0) {
		do_at(t, s, &at);
	}
	if (at.fd >= 0)
		(void)close(at.fd);
	if (to.fd >= 0)
		(void)close(to.fd);
}

#include "storage/repository/entry.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const struct {
	const char *name;
	uint32_t format;
} entry_types[ENTRY_TYPE_END] = {
	[ENTRY_FOLDER] = { "folder", S_IFDIR },
	[ENTRY_FILE] = { "file", S_IFREG },
	[ENTRY_SYMLINK] = { "symlink", S_IFLNK },
	[ENTRY_FIFO] = { "fifo", S_IFIFO },
	[ENTRY_SOCKET] = { "socket", S_IFSOCK },
	[ENTRY_CHARACTER] = { "character-device", S_IFCHR },
	[ENTRY_BLOCK] = { "block-device", S_IFBLK },
};

bool entry_holds_xattr(const char *name)
{
	if (strncmp(name, "system.", 7) == 0)
		return strcmp(name, "system.posix_acl_access") == 0 ||
		       strcmp(name, "system.posix_acl_default") == 0;
	return strcmp(name, "security.ima") != 0 &&
	       strcmp(name, "security.evm") != 0;
}

const char *entry_type_name(enum entry_type type)
{
	const unsigned int t = (unsigned int)type;

	return t < ENTRY_TYPE_END ? entry_types[t].name : NULL;
}

uint32_t entry_type_to_format(enum entry_type type)
{
	const unsigned int t = (unsigned int)type;

	return t < ENTRY_TYPE_END ? entry_types[t].format : 0;
}

enum entry_type entry_type_from_format(uint32_t st_mode)
{
	const uint32_t format = st_mode & S_IFMT;
	unsigned int t;

	for (t = ENTRY_FOLDER; t < ENTRY_TYPE_END; t++)
		if (entry_types[t].format == format)
			return (enum entry_type)t;
	return (enum entry_type)0;
}

int entry_path_compare(const void *a, size_t a_len, const void *b, size_t b_len)
{
	const uint8_t *x = a;
	const uint8_t *y = b;
	const size_t n = a_len < b_len ? a_len : b_len;
	size_t i = 0;

	while (i < n && x[i] == y[i])
		i++;
	if (i == n)
		return a_len < b_len ? -1 : a_len > b_len;
	if (x[i] == '/')
		return -1;
	if (y[i] == '/')
		return 1;
	return x[i] < y[i] ? -1 : 1;
}

static bool component_valid(const char *s, size_t n)
{
	if (n == 0 || memchr(s, '\0', n))
		return false;
	return !(s[0] == '.' && (n == 1 || (n == 2 && s[1] == '.')));
}

bool entry_path_goes_on(const void *path, size_t len, size_t known)
{
	const char *p = path;
	const char *last = known ? memrchr(p, '/', known) : NULL;
	size_t from = last ? (size_t)(last - p) + 1 : 1;

	if (len == 0 || len > ENTRY_PATH_MAX || p[0] != '/')
		return false;
	if (len == 1)
		return true;
	while (from <= len) {
		const char *slash = from < len
					    ? memchr(p + from, '/', len - from)
					    : NULL;
		const size_t to = slash ? (size_t)(slash - p) : len;

		if (!component_valid(p + from, to - from))
			return false;
		from = to + 1;
	}
	return true;
}

bool entry_path_valid(const void *path, size_t len)
{
	return entry_path_goes_on(path, len, 0);
}

static bool target_valid(const struct entry *en)
{
	if (en->type != ENTRY_SYMLINK)
		return en->target_len == 0;
	return en->target_len > 0 && en->target_len <= ENTRY_TARGET_MAX &&
	       !memchr(en->target, '\0', en->target_len);
}

static bool xattrs_valid(const struct entry *en)
{
	size_t sum = 0;

	if (en->xattr_count > ENTRY_XATTRS_MAX)
		return false;
	for (size_t i = 0; i < en->xattr_count; i++) {
		const struct entry_xattr *x = &en->xattrs[i];

		if (!*x->name || strlen(x->name) > ENTRY_XATTR_NAME_MAX ||
		    x->value_len > ENTRY_XATTR_VALUE_MAX)
			return false;
		sum += x->value_len;
	}
	return sum <= ENTRY_XATTR_VALUES_MAX;
}

bool entry_valid(const struct entry *en)
{
	return entry_type_name(en->type) && en->mode <= ENTRY_MODE_BITS &&
	       en->mtime.nsec <= INSTANT_NSEC_MAX &&
	       en->ctime.nsec <= INSTANT_NSEC_MAX &&
	       (en->type == ENTRY_FILE || en->size == 0) && target_valid(en) &&
	       xattrs_valid(en);
}

bool entry_path_within(const void *path, size_t len, const void *folder,
		       size_t folder_len)
{
	if (folder_len == 1)
		return true;
	if (len < folder_len || memcmp(path, folder, folder_len) != 0)
		return false;
	return len == folder_len || ((const char *)path)[folder_len] == '/';
}

bool entry_has_folder(const struct entry *before, const void *path, size_t len)
{
	const char *slash = memrchr(path, '/', len);
	size_t above;

	if (len == 1) /* "/" lies in nothing */
		return true;
	if (!before || !slash)
		return false;
	above = slash == path ? 1 : (size_t)(slash - (const char *)path);
	if (before->path_len == above)
		return before->type == ENTRY_FOLDER &&
		       memcmp(before->path, path, above) == 0;
	return entry_path_within(before->path, before->path_len, path, above);
}

static size_t copy_size(const struct entry *src)
{
	size_t n = src->xattr_count * sizeof(struct entry_xattr);
	size_t i;

	n += src->path_len + 1 + src->target_len + 1;
	for (i = 0; i < src->xattr_count; i++)
		n += strlen(src->xattrs[i].name) + 1 + src->xattrs[i].value_len;
	return n;
}

/* Copies n bytes to *at, moves it on, and yields where they went. */
static char *put(char **at, const void *bytes, size_t n)
{
	char *where = *at;

	if (n)
		memcpy(where, bytes, n);
	*at += n;
	return where;
}

static char *put_text(char **at, const void *bytes, size_t n)
{
	char *where = put(at, bytes, n);

	*(*at)++ = '\0';
	return where;
}

int entry_copy(struct entry *ret, const struct entry *src, struct err *e)
{
	struct entry copy = *src;
	struct entry_xattr *xattrs;
	char *at;
	size_t i;

	copy.owned = malloc(copy_size(src));
	if (!copy.owned)
		return err_oom(e);
	xattrs = copy.owned;
	at = (char *)(xattrs + src->xattr_count);
	copy.path = put_text(&at, src->path, src->path_len);
	if (src->target)
		copy.target = put_text(&at, src->target, src->target_len);
	for (i = 0; i < src->xattr_count; i++) {
		const struct entry_xattr *x = &src->xattrs[i];

		xattrs[i].name = put_text(&at, x->name, strlen(x->name));
		xattrs[i].value = (uint8_t *)put(&at, x->value, x->value_len);
		xattrs[i].value_len = x->value_len;
	}
	copy.xattrs = src->xattr_count ? xattrs : NULL;
	*ret = copy;
	return 0;
}

void entry_done(struct entry *en)
{
	free(en->owned);
	memset(en, 0, sizeof(*en));
}

bool entry_unchanged(const struct entry *was, const struct entry *is)
{
	return was->inode != 0 && was->inode == is->inode &&
	       was->type == is->type && was->size == is->size &&
	       was->device_major == is->device_major &&
	       was->device_minor == is->device_minor &&
	       instant_compare(was->mtime, is->mtime) == 0 &&
	       instant_compare(was->ctime, is->ctime) == 0;
}

#include "tests/support/power_cut.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/seam.h"
#include "tests/support/power_cut_internal.h"

void *power_cut_grow(void *array, size_t n, size_t each)
{
	void *larger;

	if (array && (n & (n - 1)))
		return array;
	larger = reallocarray(array, n ? 2 * n : 1, each);
	ck_assert_ptr_nonnull(larger);
	return larger;
}

static void *copy_of(const void *bytes, size_t n)
{
	void *copy = malloc(n + 1);

	ck_assert_ptr_nonnull(copy);
	if (n)
		memcpy(copy, bytes, n);
	((char *)copy)[n] = '\0';
	return copy;
}

static struct name *names_find(const struct names *names, const char *name)
{
	for (size_t i = 0; i < names->n; i++)
		if (strcmp(names->all[i].name, name) == 0)
			return &names->all[i];
	return NULL;
}

void names_set(struct names *names, const char *name, size_t object)
{
	struct name *found = names_find(names, name);

	if (found) {
		found->object = object;
		return;
	}
	names->all = power_cut_grow(names->all, names->n, sizeof(*names->all));
	ck_assert_ptr_nonnull(names->all);
	names->all[names->n++] = (struct name){ copy_of(name, strlen(name)),
						object };
}

void names_remove(struct names *names, const char *name)
{
	struct name *found = names_find(names, name);

	if (!found)
		return;
	free(found->name);
	*found = names->all[--names->n];
}

void names_done(struct names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->all[i].name);
	free(names->all);
}

struct names names_copy(const struct names *from)
{
	struct names to = { NULL, 0 };

	for (size_t i = 0; i < from->n; i++)
		names_set(&to, from->all[i].name, from->all[i].object);
	return to;
}

static size_t object_new(struct power_cut *p, const struct stat *st)
{
	p->objects = power_cut_grow(p->objects, p->n_objects,
				    sizeof(*p->objects));
	p->objects[p->n_objects] = (struct object){
		.dev = st->st_dev,
		.ino = st->st_ino,
		.folder = S_ISDIR(st->st_mode),
	};
	return p->n_objects++;
}

/* The newest first: numbers of inodes are used again. */
static size_t object_find(const struct power_cut *p, const struct stat *st)
{
	for (size_t i = p->n_objects; i > 0; i--)
		if (p->objects[i - 1].ino == st->st_ino &&
		    p->objects[i - 1].dev == st->st_dev)
			return i - 1;
	return NOBODY;
}

static struct change *change_new(struct power_cut *p, enum kind kind,
				 size_t object)
{
	p->changes = power_cut_grow(p->changes, p->n_changes,
				    sizeof(*p->changes));
	p->changes[p->n_changes] = (struct change){ .kind = kind,
						    .object = object };
	return &p->changes[p->n_changes++];
}

/* ---- Recording ----------------------------------------------------------- */

/* What nobody relies on after a power cut, and that has no seam. */
static bool is_ignored(const char *name)
{
	const size_t n = strlen(name);

	return n > 4 && strcmp(name + n - 4, "-shm") == 0;
}

/* The folder in which path lies, or NOBODY; *ret_name is the last part. */
static size_t folder_of(const struct power_cut *p, int dir_fd, const char *path,
			const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	char folder[PATH_MAX] = ".";
	struct stat st;
	size_t found;

	*ret_name = slash ? slash + 1 : path;
	if (slash)
		(void)snprintf(folder, sizeof(folder), "%.*s",
			       (int)(slash - path + 1), path);
	if (fstatat(dir_fd, folder, &st, 0) < 0)
		return NOBODY;
	found = object_find(p, &st);
	return found != NOBODY && p->objects[found].folder ? found : NOBODY;
}

/* The file of a deed, or NOBODY. */
static size_t file_of(const struct power_cut *p, const struct seam_deed *d)
{
	struct stat st;

	if (d->fd >= 0 ? fstat(d->fd, &st) < 0
		       : fstatat(d->dir_fd, d->path, &st, 0) < 0)
		return NOBODY;
	return object_find(p, &st);
}

static void note_name(struct power_cut *p, size_t folder, const char *name,
		      size_t target)
{
	struct change *c = change_new(p, NAMED, folder);

	c->name = copy_of(name, strlen(name));
	c->target = target;
	names_set(&p->objects[folder].now, name, target);
}

static void note_size(struct power_cut *p, size_t file, int64_t size)
{
	change_new(p, SIZE, file)->offset = (size_t)size;
}

static void note_open(struct power_cut *p, const struct seam_deed *d)
{
	const char *name;
	struct stat st;
	size_t folder;
	const struct name *known;

	if (d->fd >= 0 ? fstat(d->fd, &st) < 0
		       : fstatat(d->dir_fd, d->path, &st, 0) < 0)
		return;
	if ((d->flags & O_TMPFILE) == O_TMPFILE) {
		(void)object_new(p, &st);
		return;
	}
	folder = folder_of(p, d->dir_fd, d->path, &name);
	if (folder == NOBODY || is_ignored(name))
		return;
	known = names_find(&p->objects[folder].now, name);
	if (!known)
		note_name(p, folder, name, object_new(p, &st));
	else if (d->flags & O_TRUNC)
		note_size(p, known->object, 0);
}

static void note_bytes(struct power_cut *p, const struct seam_deed *d)
{
	const size_t file = file_of(p, d);
	struct change *c;
	int64_t offset = d->offset;

	if (file == NOBODY)
		return;
	if (offset < 0)
		offset = lseek(d->fd, 0, SEEK_CUR) - (int64_t)d->n;
	ck_assert_int_ge(offset, 0);
	c = change_new(p, BYTES, file);
	c->offset = (size_t)offset;
	c->bytes = copy_of(d->bytes, d->n);
	c->n = d->n;
}

static void note_move(struct power_cut *p, const struct seam_deed *d)
{
	const char *old_name;
	const char *name;
	const size_t old = folder_of(p, d->old_dir_fd, d->old_path, &old_name);
	const size_t folder = folder_of(p, d->dir_fd, d->path, &name);
	const struct name *moved;
	struct change *c;

	if (old == NOBODY && folder == NOBODY)
		return;
	ck_assert_msg(old != NOBODY && folder != NOBODY &&
			      !(d->flags & RENAME_EXCHANGE),
		      "%s became %s: not recorded", d->old_path, d->path);
	moved = names_find(&p->objects[old].now, old_name);
	ck_assert_msg(moved != NULL, "%s was not recorded", old_name);
	c = change_new(p, MOVED, folder);
	c->target = moved->object;
	c->old_folder = old;
	c->old_name = copy_of(old_name, strlen(old_name));
	c->name = copy_of(name, strlen(name));
	names_remove(&p->objects[old].now, old_name);
	names_set(&p->objects[folder].now, name, c->target);
}

static void note_made(struct power_cut *p, const struct seam_deed *d)
{
	const char *name;
	const size_t folder = folder_of(p, d->dir_fd, d->path, &name);
	struct stat st;
	size_t object = NOBODY;

	if (folder == NOBODY ||
	    fstatat(d->dir_fd, d->path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	if (d->call == SEAM_LINK)
		object = object_find(p, &st);
	if (object == NOBODY)
		object = object_new(p, &st);
	note_name(p, folder, name, object);
}

static void note_removed(struct power_cut *p, const struct seam_deed *d)
{
	const char *name;
	const size_t folder = folder_of(p, d->dir_fd, d->path, &name);

	if (folder == NOBODY)
		return;
	change_new(p, UNNAMED, folder)->name = copy_of(name, strlen(name));
	names_remove(&p->objects[folder].now, name);
}

static void note_synced(struct power_cut *p, const struct seam_deed *d)
{
	const char *name;
	size_t object;

	if (d->call == SEAM_SYNC_DIR && d->fd < 0)
		object = folder_of(p, d->dir_fd, d->path, &name);
	else
		object = file_of(p, d);
	if (object != NOBODY)
		(void)change_new(
			p, d->call == SEAM_FSYNC ? FILE_SYNCED : NAMES_SYNCED,
			object);
}

#define GUARD "user.snapctl.guard"

char *power_cut_attributes(int fd)
{
	char text[128];
	char guard[64] = "";
	int flags[2] = { 0, 0 };
	const ssize_t n = fgetxattr(fd, GUARD, guard, sizeof(guard) - 1);

	if (ioctl(fd, FS_IOC_GETFLAGS, flags) < 0)
		flags[0] = 0;
	flags[0] &= FS_APPEND_FL | FS_IMMUTABLE_FL;
	if (n <= 0 && flags[0] == 0)
		return NULL;
	(void)snprintf(text, sizeof(text), "%d %s", flags[0], guard);
	return copy_of(text, strlen(text));
}

void power_cut_give(const char *path, const char *attributes)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	const char *guard = strchr(attributes, ' ') + 1;
	int flags[2] = { (int)strtol(attributes, NULL, 10), 0 };

	ck_assert_int_ge(fd, 0);
	if (*guard)
		ck_assert_int_eq(fsetxattr(fd, GUARD, guard, strlen(guard), 0),
				 0);
	if (flags[0])
		ck_assert_int_eq(ioctl(fd, FS_IOC_SETFLAGS, flags), 0);
	(void)close(fd);
}

static void note_attributes(struct power_cut *p, const struct seam_deed *d)
{
	const size_t object = file_of(p, d);
	char *attributes;
	struct change *c;

	if (object == NOBODY)
		return;
	attributes = power_cut_attributes(d->fd);
	c = change_new(p, ATTRIBUTES, object);
	c->bytes = (uint8_t *)attributes;
	c->n = 1;
	p->has_attributes = true;
}

static void note(void *arg, const struct seam_deed *d)
{
	struct power_cut *p = arg;
	size_t file;

	(void)pthread_mutex_lock(&p->lock);
	switch (d->call) {
	case SEAM_OPEN_WRITE:
		note_open(p, d);
		break;
	case SEAM_WRITE:
		note_bytes(p, d);
		break;
	case SEAM_TRUNCATE:
		file = file_of(p, d);
		if (file != NOBODY)
			note_size(p, file, d->offset);
		break;
	case SEAM_FSYNC:
	case SEAM_SYNC_DIR:
		note_synced(p, d);
		break;
	case SEAM_RENAME:
		note_move(p, d);
		break;
	case SEAM_LINK:
	case SEAM_MKDIR:
		note_made(p, d);
		break;
	case SEAM_UNLINK:
		note_removed(p, d);
		break;
	case SEAM_META:
		note_attributes(p, d);
		break;
	case SEAM_SEND:
	case SEAM_COUNT:
		break;
	}
	(void)pthread_mutex_unlock(&p->lock);
}

static void read_file(struct object *o, const char *path, size_t size)
{
	FILE *f = fopen(path, "re");

	ck_assert_ptr_nonnull(f);
	o->bytes = copy_of("", 0);
	o->bytes = realloc(o->bytes, size + 1);
	ck_assert_ptr_nonnull(o->bytes);
	o->size = fread(o->bytes, 1, size, f);
	ck_assert_uint_eq(o->size, size);
	(void)fclose(f);
}

static void learn_attributes(struct power_cut *p, size_t object,
			     const char *path)
{
	const int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	p->objects[object].attributes = power_cut_attributes(fd);
	p->has_attributes = p->has_attributes || p->objects[object].attributes;
	(void)close(fd);
}

/* What is at path, with all below; its object. */
static size_t learn(struct power_cut *p, const char *path)
{
	const struct dirent *entry;
	struct stat st;
	size_t made;
	DIR *d;

	ck_assert_int_eq(lstat(path, &st), 0);
	made = object_new(p, &st);
	learn_attributes(p, made, path);
	if (S_ISREG(st.st_mode))
		read_file(&p->objects[made], path, (size_t)st.st_size);
	if (!S_ISDIR(st.st_mode))
		return made;
	d = opendir(path);
	ck_assert_ptr_nonnull(d);
	while ((entry = readdir(d))) {
		char below[PATH_MAX];
		size_t child;

		if (strcmp(entry->d_name, ".") == 0 ||
		    strcmp(entry->d_name, "..") == 0 ||
		    is_ignored(entry->d_name))
			continue;
		(void)snprintf(below, sizeof(below), "%s/%s", path,
			       entry->d_name);
		child = learn(p, below);
		names_set(&p->objects[made].names, entry->d_name, child);
		names_set(&p->objects[made].now, entry->d_name, child);
	}
	(void)closedir(d);
	return made;
}

struct power_cut *power_cut_record(const char *root)
{
	struct power_cut *p = calloc(1, sizeof(*p));

	ck_assert_ptr_nonnull(p);
	(void)pthread_mutex_init(&p->lock, NULL);
	(void)snprintf(p->root, sizeof(p->root), "%s", root);
	(void)learn(p, root);
	seam_set_recorder(note, p);
	return p;
}

void power_cut_acknowledge(struct power_cut *p)
{
	(void)pthread_mutex_lock(&p->lock);
	(void)change_new(p, ACK, NOBODY);
	(void)pthread_mutex_unlock(&p->lock);
}

void power_cut_sync_failed(struct power_cut *p, int fd)
{
	struct stat st;
	size_t object;

	ck_assert_int_eq(fstat(fd, &st), 0);
	(void)pthread_mutex_lock(&p->lock);
	object = object_find(p, &st);
	if (object != NOBODY)
		(void)change_new(p, SYNC_FAILED, object);
	(void)pthread_mutex_unlock(&p->lock);
}

static bool is_name_of(const struct change *c, size_t folder, const char *name)
{
	if (!c->name)
		return false;
	return (c->object == folder && strcmp(c->name, name) == 0) ||
	       (c->kind == MOVED && c->old_folder == folder &&
		strcmp(c->old_name, name) == 0);
}

/* Of the names of a move that is certain nothing older is in doubt. */
static void settle_names(struct power_cut *p, size_t move)
{
	const struct change *m = &p->changes[move];

	for (size_t i = 0; i < move; i++) {
		struct change *c = &p->changes[i];

		if (c->certain > m->certain && c->lost == NOBODY &&
		    (is_name_of(c, m->object, m->name) ||
		     is_name_of(c, m->old_folder, m->old_name)))
			c->certain = m->certain;
	}
}

/* When each change becomes certain, or is lost by a sync that failed. */
static void settle(struct power_cut *p, bool loses)
{
	for (size_t i = 0; i < p->n_changes; i++) {
		struct change *c = &p->changes[i];
		const bool bytes = c->kind == BYTES || c->kind == SIZE ||
				   c->kind == ATTRIBUTES;

		c->certain = NOBODY;
		c->lost = NOBODY;
		for (size_t k = i + 1; k < p->n_changes; k++) {
			const struct change *s = &p->changes[k];

			if (s->kind != (bytes ? FILE_SYNCED : NAMES_SYNCED) &&
			    !(loses && s->kind == SYNC_FAILED))
				continue;
			if (s->object != c->object &&
			    !(c->kind == MOVED && s->object == c->old_folder))
				continue;
			*(s->kind == SYNC_FAILED ? &c->lost : &c->certain) = k;
			break;
		}
		if (c->kind >= FILE_SYNCED)
			c->certain = i;
	}
	for (size_t i = p->n_changes; i > 0; i--)
		if (p->changes[i - 1].kind == MOVED)
			settle_names(p, i - 1);
}

size_t power_cut_calls(const struct power_cut *p)
{
	return p->n_changes;
}

void power_cut_stop(struct power_cut *p)
{
	seam_set_recorder(NULL, NULL);
	settle(p, false);
	/* All that was done passed the seam. */
	power_cut_expect(p);
	settle(p, true);
}

void power_cut_free(struct power_cut *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->n_objects; i++) {
		free(p->objects[i].bytes);
		free(p->objects[i].attributes);
		names_done(&p->objects[i].names);
		names_done(&p->objects[i].now);
	}
	for (size_t i = 0; i < p->n_changes; i++) {
		free(p->changes[i].bytes);
		free(p->changes[i].name);
		free(p->changes[i].old_name);
	}
	free(p->objects);
	free(p->changes);
	free(p->disks);
	(void)pthread_mutex_destroy(&p->lock);
	free(p);
}

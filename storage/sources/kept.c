#include "storage/sources/kept.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/seam.h"
#include "base/text.h"
#include "storage/repository/hash.h"

/* Entries of the folder that are looked at. */
#define ENTRIES_MAX 100000
/* What is younger may be another's who writes it now. */
#define HALF_WRITTEN_S 3600

static const uint8_t label[KEYS_SIZE] = "snapctl: path of an image, v1";

static int make_mark(const char *path, char out[KEPT_MARK_DIGITS + 1],
		     struct err *e)
{
	CLEANUP(hash_free) struct hash *h = NULL;
	uint8_t bytes[HASH_SIZE];

	if (hash_new(label, &h, e) < 0 ||
	    hash_bytes(h, path, strlen(path), bytes, e) < 0)
		return -1;
	text_hex(bytes, KEPT_MARK_DIGITS / 2, out);
	return 0;
}

int kept_init(struct kept *k, const char *above, const char *folder,
	      const char *ending, const char *path, struct err *e)
{
	assert(strlen(ending) == 4);
	*k = (struct kept){ .ending = ending };
	if (make_mark(path, k->mark, e) < 0)
		return -1;
	if (asprintf(&k->folder, "%s/%s", above, folder) < 0) {
		k->folder = NULL;
		return err_oom(e);
	}
	return 0;
}

void kept_done(struct kept *k)
{
	free(k->folder);
	k->folder = NULL;
}

int kept_open(const struct kept *k, struct err *e)
{
	CLEANUP(file_close)
	int fd = open(k->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, "cannot open the folder %s",
			       text_quote_str(k->folder).s);
	if (st.st_uid != geteuid() || st.st_mode & 022)
		return err_set(e, ERR_DENIED,
			       "others can write to the folder %s",
			       text_quote_str(k->folder).s);
	return TAKE_FD(fd);
}

int kept_make(const struct kept *k, struct err *e)
{
	return file_make_folders(k->folder, 0700, e) < 0 ? -1 : kept_open(k, e);
}

void kept_name(const struct kept *k, struct object_id snapshot,
	       char out[KEPT_NAME_BYTES])
{
	char id[OBJECT_ID_TEXT];

	object_id_format(snapshot, id);
	(void)snprintf(out, KEPT_NAME_BYTES, "%s-%s%s", k->mark, id, k->ending);
}

/* ---- Dropping ----------------------------------------------------------- */

struct old_file {
	char name[KEPT_NAME_BYTES];
	struct timespec written;
};

static bool is_newer(struct timespec a, struct timespec b)
{
	return a.tv_sec != b.tv_sec ? a.tv_sec > b.tv_sec
				    : a.tv_nsec > b.tv_nsec;
}

/* Among the newest, newest first; what falls out at the end is dropped. */
static void sift(int folder, struct old_file kept[KEPT_FILES],
		 const struct old_file *o)
{
	struct old_file in_hand = *o;

	for (size_t i = 0; i < KEPT_FILES && in_hand.name[0]; i++)
		if (!kept[i].name[0] ||
		    is_newer(in_hand.written, kept[i].written)) {
			const struct old_file out = kept[i];

			kept[i] = in_hand;
			in_hand = out;
		}
	if (in_hand.name[0])
		(void)!seam_unlink(folder, in_hand.name, 0);
}

void kept_drop_old(const struct kept *k, int folder, struct object_id own,
		   struct object_id parent)
{
	struct old_file kept[KEPT_FILES] = { 0 };
	const int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	char own_name[KEPT_NAME_BYTES];
	char parent_name[KEPT_NAME_BYTES];
	const struct dirent *en;

	if (!d) {
		file_close(fd);
		return;
	}
	kept_name(k, own, own_name);
	kept_name(k, parent, parent_name);
	for (size_t i = 0; i < ENTRIES_MAX && (en = readdir(d)); i++) {
		struct old_file o = { 0 };
		struct stat st;

		if (strncmp(en->d_name, k->mark, strlen(k->mark)) != 0 ||
		    strcmp(en->d_name, own_name) == 0 ||
		    strcmp(en->d_name, parent_name) == 0 ||
		    fstatat(folder, en->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (strlen(en->d_name) != KEPT_NAME_BYTES - 1) {
			if (clock_now().sec - st.st_mtim.tv_sec >
			    HALF_WRITTEN_S)
				(void)!seam_unlink(folder, en->d_name, 0);
			continue;
		}
		(void)snprintf(o.name, sizeof(o.name), "%s", en->d_name);
		o.written = st.st_mtim;
		sift(folder, kept, &o);
	}
	(void)closedir(d);
}

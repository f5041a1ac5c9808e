/*
 * Hidden here: what of a story is recorded (power_cut.c), and how disks are
 * made of that (power_cut_disk.c).
 */
#ifndef TESTS_SUPPORT_POWER_CUT_INTERNAL_H
#define TESTS_SUPPORT_POWER_CUT_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/support/power_cut.h"
#include "tests/support/scratch.h"

#define NOBODY SIZE_MAX

struct name {
	char *name;
	size_t object;
};
struct names {
	struct name *all;
	size_t n;
};

/* A file or a folder, under whatever names. */
struct object {
	dev_t dev;
	ino_t ino;
	bool folder;
	uint8_t *bytes; /* of a file, when the recording began */
	size_t size;
	char *attributes;   /* then; or NULL */
	struct names names; /* of a folder, then */
	struct names now;   /* and as the story left them */
};

enum kind {
	BYTES,
	SIZE,
	NAMED,
	UNNAMED,
	MOVED,
	ATTRIBUTES, /* bytes: all that it has then */
	FILE_SYNCED,
	NAMES_SYNCED,
	SYNC_FAILED,
	ACK
};

struct change {
	enum kind kind;
	size_t object; /* the file; the folder whose name it is */
	size_t target; /* NAMED, MOVED: what has the name */
	size_t old_folder;
	char *name;
	char *old_name;
	uint8_t *bytes;
	size_t n;
	size_t offset; /* of bytes; SIZE: the new one */
	/* The sync after which it is certain: an index of changes. */
	size_t certain;
	size_t lost; /* the one that failed, and lost it; or NOBODY */
};

/* One disk to look at: what of the changes up to the cut it has. */
enum disk_kind {
	NONE,
	ALL,
	ONLY_NAMES,
	ONLY_BYTES,
	ALONE,	 /* of the uncertain ones, that one */
	ALL_BUT, /* all but that one */
	HALF,	 /* all, the last write by half */
	HALF_ALONE,
	ZEROS, /* all, the last write as zeros */
	AT_RANDOM,
};

struct disk {
	size_t cut; /* so many changes were made */
	enum disk_kind kind;
	size_t which; /* ALONE, ALL_BUT: a change; AT_RANDOM: the dice */
	unsigned int acknowledged;
	uint64_t hash;
};

struct power_cut {
	pthread_mutex_t lock;
	char root[SCRATCH_PATH];
	struct object *objects;
	size_t n_objects;
	struct change *changes;
	size_t n_changes;
	struct disk *disks;
	size_t n_disks;
	char described[SCRATCH_PATH];
	bool has_attributes; /* any object */
};

/* Room for one more of an array of n; what it holds grows by doubling. */
void *power_cut_grow(void *array, size_t n, size_t each);

/* What guards a file, and makes a folder append-only: as words; or NULL. */
char *power_cut_attributes(int fd);
void power_cut_give(const char *path, const char *attributes);

/* That what was recorded is what the story has left on the disk. */
void power_cut_expect(const struct power_cut *p);

void names_set(struct names *names, const char *name, size_t object);
void names_remove(struct names *names, const char *name);
struct names names_copy(const struct names *from);
void names_done(struct names *names);

#endif

#include "service/zoneinfo.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/text.h"

#define DATABASE "/usr/share/zoneinfo"

/* "America/Argentina/ComodRivadavia" has 32 characters and three parts. */
#define NAME_MAX_LEN 63
#define PARTS_MAX    3

static bool join(const char *folder, const char *name, char out[PATH_MAX])
{
	const int n = snprintf(out, PATH_MAX, "%s%s%s", folder,
			       *folder && *name ? "/" : "", name);

	return n >= 0 && n < PATH_MAX;
}

/* Names this far, or with more than a third changed, are no suggestion. */
#define FAR 5

static const char *database(void)
{
	const char *folder = getenv("TZDIR");

	return folder && *folder ? folder : DATABASE;
}

static bool is_name_char(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '+';
}

/* Entries of the folder that are no zones of their own. */
static bool is_foreign(const char *name)
{
	static const char *const foreign[] = { "localtime", "posixrules",
					       "posix", "right" };

	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
		const size_t n = strlen(foreign[i]);

		if (strncmp(name, foreign[i], n) == 0 &&
		    (name[n] == '\0' || name[n] == '/'))
			return true;
	}
	return false;
}

/* Parts of letters, digits, "_", "-" and "+" separated by single slashes. */
static bool is_name(const char *name)
{
	size_t parts = 1;
	bool part_is_empty = true;

	if (strlen(name) > NAME_MAX_LEN || is_foreign(name))
		return false;
	for (const char *p = name; *p; p++) {
		if (*p == '/') {
			if (part_is_empty)
				return false;
			part_is_empty = true;
			parts++;
		} else if (is_name_char(*p)) {
			part_is_empty = false;
		} else {
			return false;
		}
	}
	return !part_is_empty && parts <= PARTS_MAX;
}

struct nearest {
	const char *wanted;
	unsigned int distance;
	char name[NAME_MAX_LEN + 1];
};

static void lower(const char *s, char out[NAME_MAX_LEN + 1])
{
	size_t i = 0;

	for (; i < NAME_MAX_LEN && s[i]; i++)
		out[i] = (char)(s[i] >= 'A' && s[i] <= 'Z' ? s[i] + 32 : s[i]);
	out[i] = '\0';
}

/* The whole name, or its last part, for those who only know the city. */
static void consider(struct nearest *n, const char *name)
{
	char a[NAME_MAX_LEN + 1];
	char b[NAME_MAX_LEN + 1];
	const char *city;
	unsigned int d;

	lower(n->wanted, a);
	lower(name, b);
	d = text_distance(a, b);
	city = strrchr(b, '/');
	if (city && text_distance(a, city + 1) < d)
		d = text_distance(a, city + 1);
	if (d < n->distance ||
	    (d == n->distance && strcmp(name, n->name) < 0)) {
		n->distance = d;
		memcpy(n->name, name, strlen(name) + 1); /* is_name() */
	}
}

static void search(struct nearest *n, const char *below, size_t depth);

static void visit(struct nearest *n, const char *name, size_t depth)
{
	char path[PATH_MAX];
	struct stat st;

	if (!is_name(name) || !join(database(), name, path) || stat(path, &st))
		return;
	if (S_ISDIR(st.st_mode))
		search(n, name, depth + 1);
	else if (S_ISREG(st.st_mode))
		consider(n, name);
}

/* At most PARTS_MAX deep. */
static void search(struct nearest *n, const char *below, size_t depth)
{
	char path[PATH_MAX];
	DIR *folder;
	struct dirent *entry;

	if (depth >= PARTS_MAX || !join(database(), below, path))
		return;
	folder = opendir(path);
	if (!folder)
		return;
	while ((entry = readdir(folder)) != NULL) {
		char name[PATH_MAX];

		if (join(below, entry->d_name, name))
			visit(n, name, depth);
	}
	(void)closedir(folder);
}

static int unknown(const char *name, struct err *e)
{
	const size_t third = strlen(name) / 3 + 1;
	struct nearest n = { .wanted = name,
			     .distance = third < FAR ? (unsigned int)third
						     : FAR };

	(void)err_set(e, ERR_USAGE, "there is no time zone %s",
		      text_quote_str(name).s);
	search(&n, "", 0);
	if (*n.name)
		return err_hint(e, "did you mean %s?", n.name);
	return err_hint(e, "write an IANA name like Europe/Berlin");
}

static int read_zone(const char *name, struct buf *bytes, struct err *e)
{
	char path[PATH_MAX];
	struct stat st;

	if (stat(database(), &st)) {
		(void)err_sys(e, "cannot read the time zones in %s",
			      text_quote_str(database()).s);
		return err_hint(e, "install the package tzdata");
	}
	if (!join(database(), name, path) ||
	    (stat(path, &st) == 0 && !S_ISREG(st.st_mode)))
		return unknown(name, e);
	if (file_read_all(path, bytes, e) == 0)
		return 0;
	/* A zone's name with more behind it, as in Etc/GMT/3, is none, too. */
	return e->code == ERR_NOT_FOUND || e->sys == ENOTDIR ? unknown(name, e)
							     : -1;
}

int zoneinfo_load(const char *name, struct zone **ret, struct err *e)
{
	CLEANUP(buf_done) struct buf bytes;

	buf_init(&bytes, ZONE_FILE_MAX);
	if (strcmp(name, "UTC") == 0)
		return zone_new_utc(ret, e);
	if (!is_name(name))
		return unknown(name, e);
	if (read_zone(name, &bytes, e))
		return -1;
	if (zone_new(bytes.data, bytes.len, ret, e))
		return err_wrap(e, "time zone %s", text_quote_str(name).s);
	return 0;
}

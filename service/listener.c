#include "service/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/file.h"
#include "base/seam.h"
#include "base/text.h"

/* More than the busiest hour brings; the kernel refuses beyond. */
enum { BACKLOG = 1024 };

static int address_of(const char *path, struct sockaddr_un *ret, struct err *e)
{
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(ret->sun_path))
		return err_set(e, ERR_USAGE,
			       "the socket's path %s is longer than %zu bytes",
			       text_quote_str(path).s,
			       sizeof(ret->sun_path) - 1);
	memcpy(ret->sun_path, path, strlen(path) + 1);
	return 0;
}

static int new_socket(int *ret_fd, struct err *e)
{
	*ret_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			 0);
	return *ret_fd >= 0 ? 0 : err_sys(e, "cannot make a socket");
}

/* Whether the socket is somebody's. */
static int is_answered(const struct sockaddr_un *address, bool *ret,
		       struct err *e)
{
	CLEANUP(file_close) int fd = -1;

	if (new_socket(&fd, e) < 0)
		return -1;
	/* A full backlog (EAGAIN) is somebody, and so is a program whose
	 * socket is of another type (EPROTOTYPE). */
	*ret = connect(fd, (const struct sockaddr *)address,
		       sizeof(*address)) == 0 ||
	       errno != ECONNREFUSED;
	return 0;
}

/* Take away a socket of ours that a dead daemon left behind. */
static int clear(const struct sockaddr_un *address, struct err *e)
{
	const char *path = address->sun_path;
	struct stat st;
	bool answered;

	if (lstat(path, &st) < 0) {
		if (errno == ENOENT)
			return 0;
		return err_sys(e, "cannot look at %s", text_quote_str(path).s);
	}
	if (!S_ISSOCK(st.st_mode) || st.st_uid != geteuid()) {
		(void)err_set(e, ERR_EXISTS, "%s is not a socket of ours",
			      text_quote_str(path).s);
		return err_hint(e, "look at it with \"ls -l\", and move it "
				   "away or configure another socket");
	}
	if (is_answered(address, &answered, e) < 0)
		return -1;
	if (answered) {
		(void)err_set(e, ERR_BUSY, "another program listens at %s",
			      text_quote_str(path).s);
		return err_hint(e, "\"snapctl status\" tells whether it is a "
				   "snapctld; else configure another socket");
	}
	if (seam_unlink(AT_FDCWD, path, 0) < 0)
		return err_sys(e, "cannot remove the stale socket %s",
			       text_quote_str(path).s);
	return 0;
}

/*
 * A system without the group lets only this user connect; so does a user's
 * own daemon, unless the user belongs to the group.
 */
static int give_to_group(const char *path, const char *group, struct err *e)
{
	struct group entry;
	struct group *found = NULL;
	char room[16384];

	if (*group &&
	    getgrnam_r(group, &entry, room, sizeof(room), &found) != 0)
		found = NULL;
	if (found &&
	    seam_chown(AT_FDCWD, path, (uid_t)-1, found->gr_gid, 0) < 0) {
		if (errno != EPERM || geteuid() == 0)
			return err_sys(e, "cannot give %s to the group %s",
				       text_quote_str(path).s,
				       text_quote_str(group).s);
		found = NULL;
	}
	if (seam_chmod(AT_FDCWD, path, found ? 0660 : 0600) < 0)
		return err_sys(e, "cannot set the mode of %s",
			       text_quote_str(path).s);
	return 0;
}

/* The group must get there, whatever umask the daemon was started with. */
static int make_folder(const char *path, struct err *e)
{
	char folder[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	char *slash;
	mode_t mask;
	int made;

	(void)snprintf(folder, sizeof(folder), "%s", path);
	slash = strrchr(folder, '/');
	if (!slash || slash == folder)
		return 0;
	*slash = '\0';
	mask = umask(0022);
	made = file_make_folders(folder, 0755, e);
	(void)umask(mask);
	return made;
}

int listener_open(const char *path, const char *group, int *ret_fd,
		  struct listener_file *ret, struct err *e)
{
	CLEANUP(file_close) int fd = -1;
	struct sockaddr_un address;
	struct stat st;
	mode_t mask;
	int bound;

	if (address_of(path, &address, e) < 0 || make_folder(path, e) < 0 ||
	    clear(&address, e) < 0 || new_socket(&fd, e) < 0)
		return -1;
	/* Nobody may connect before the group and the mode are right. */
	mask = umask(0177);
	bound = bind(fd, (const struct sockaddr *)&address, sizeof(address));
	(void)umask(mask);
	/* fstat() would tell of the socket, not of its file. */
	if (bound < 0 || lstat(path, &st) < 0)
		return err_sys(e, "cannot make the socket %s",
			       text_quote_str(path).s);
	if (give_to_group(path, group, e) < 0)
		return -1;
	if (listen(fd, BACKLOG) < 0)
		return err_sys(e, "cannot listen at %s",
			       text_quote_str(path).s);
	*ret = (struct listener_file){ .dev = st.st_dev, .ino = st.st_ino };
	*ret_fd = TAKE_FD(fd);
	return 0;
}

void listener_remove(const char *path, const struct listener_file *made)
{
	struct stat st;

	if (lstat(path, &st) < 0 || st.st_dev != made->dev ||
	    st.st_ino != made->ino)
		return;
	/* What cannot be removed is found stale at the next start. */
	(void)!seam_unlink(AT_FDCWD, path, 0);
}

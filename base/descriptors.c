#include "base/descriptors.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "base/file.h"

/* Aligned as the kernel's heads are. */
union control {
	struct cmsghdr head;
	char bytes[CMSG_SPACE(DESCRIPTORS_MAX * sizeof(int))];
};

int descriptors_send(int to, const int *fds, size_t n, struct err *e)
{
	union control room = { .bytes = { 0 } };
	char byte = 'f';
	struct iovec bytes = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr message = { .msg_iov = &bytes,
				  .msg_iovlen = 1,
				  .msg_control = room.bytes,
				  .msg_controllen = CMSG_SPACE(n *
							       sizeof(int)) };
	struct cmsghdr *head = &room.head;

	if (n == 0 || n > DESCRIPTORS_MAX)
		return err_set(e, ERR_BUG, "%zu descriptors at once", n);
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(head), fds, n * sizeof(int));
	while (sendmsg(to, &message, MSG_NOSIGNAL) < 0)
		if (errno != EINTR)
			return err_sys(e, "cannot hand on a descriptor");
	return 0;
}

/*
 * What came.  The room is rounded up to whole words, so more may be in it than
 * it was made for: each is ours to close, and only the first are kept.
 */
struct taken {
	int fds[DESCRIPTORS_MAX];
	size_t n;     /* kept */
	bool is_more; /* than that, or something else */
};

static void take_one(struct taken *t, int fd)
{
	if (t->n < DESCRIPTORS_MAX) {
		t->fds[t->n++] = fd;
		return;
	}
	t->is_more = true;
	file_close(fd);
}

static void take_all(struct taken *t, struct msghdr *message)
{
	struct cmsghdr *head = CMSG_FIRSTHDR(message);

	t->is_more = message->msg_flags & MSG_CTRUNC;
	for (; head; head = CMSG_NXTHDR(message, head)) {
		const size_t n = head->cmsg_len - CMSG_LEN(0);

		if (head->cmsg_level != SOL_SOCKET ||
		    head->cmsg_type != SCM_RIGHTS) {
			t->is_more = true;
			continue;
		}
		for (size_t at = 0; at + sizeof(int) <= n; at += sizeof(int)) {
			int fd;

			memcpy(&fd, CMSG_DATA(head) + at, sizeof(fd));
			take_one(t, fd);
		}
	}
}

int descriptors_receive(int from, int *ret_fds, size_t n, struct err *e)
{
	union control room = { .bytes = { 0 } };
	char byte;
	struct iovec bytes = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr message = { .msg_iov = &bytes,
				  .msg_iovlen = 1,
				  .msg_control = room.bytes,
				  .msg_controllen = sizeof(room.bytes) };
	struct taken taken = { .n = 0 };
	ssize_t k;

	do
		k = recvmsg(from, &message, MSG_CMSG_CLOEXEC);
	while (k < 0 && errno == EINTR);
	if (k > 0)
		take_all(&taken, &message);
	if (k > 0 && taken.n == n && !taken.is_more) {
		memcpy(ret_fds, taken.fds, n * sizeof(int));
		return 0;
	}
	while (taken.n > 0)
		file_close(taken.fds[--taken.n]);
	return err_set(e, ERR_IO, "a descriptor did not arrive");
}

/*
 * Descriptors that come over a socket from somebody who keeps to nothing.
 */
#ifndef TESTS_SUPPORT_HOSTILE_CONTROL_H
#define TESTS_SUPPORT_HOSTILE_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#define HOSTILE_MAX 16 /* in each of two messages */

static inline void hostile_fill(struct cmsghdr *head, size_t n)
{
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(n * sizeof(int));
	for (size_t i = 0; i < n; i++)
		memcpy(CMSG_DATA(head) + i * sizeof(int), &(int){ 0 },
		       sizeof(int));
}

/*
 * One byte, with `first` copies of standard input in a control message and
 * `second` in another one; none where that is 0.
 */
static inline bool hostile_control(int to, size_t first, size_t second)
{
	union {
		struct cmsghdr head; /* what it is aligned as */
		char bytes[2 * CMSG_SPACE(HOSTILE_MAX * sizeof(int))];
	} room = { .bytes = { 0 } };
	char byte = 'x';
	struct iovec bytes = { .iov_base = &byte, .iov_len = 1 };
	const size_t used = (first ? CMSG_SPACE(first * sizeof(int)) : 0) +
			    (second ? CMSG_SPACE(second * sizeof(int)) : 0);
	struct msghdr message = { .msg_iov = &bytes, .msg_iovlen = 1 };
	struct cmsghdr *head;

	if (used) {
		message.msg_control = room.bytes;
		message.msg_controllen = used;
	}
	head = CMSG_FIRSTHDR(&message);
	if (first) {
		hostile_fill(head, first);
		head = CMSG_NXTHDR(&message, head);
	}
	if (second)
		hostile_fill(head, second);
	return sendmsg(to, &message, MSG_NOSIGNAL) == 1;
}

#endif

/* What a run says to the guardian of its hooks: frames on a socket. */
#include <sys/socket.h>
#include <unistd.h>

#include "service/guardian.h"
#include "tests/support/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	CLEANUP(buf_done) struct buf b;
	size_t taken = 0;
	struct err e;
	int fds[2];
	int got;

	buf_init(&b, GUARDIAN_FRAME_MAX + 1);
	if (n > (1 << 16)) /* what a socket holds */
		return 0;
	FUZZ_PROMISE(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	FUZZ_PROMISE(n == 0 || send(fds[0], bytes, n, 0) == (ssize_t)n);
	(void)close(fds[0]);
	while ((got = guardian_receive(fds[1], &b, &e)) == 1) {
		FUZZ_PROMISE(memcmp(b.data, bytes + taken + 4, b.len) == 0);
		FUZZ_PROMISE(buf_str(&b)[b.len] == '\0');
		taken += 4 + b.len;
	}
	FUZZ_PROMISE(got < 0 || taken == n);
	(void)close(fds[1]);
	return 0;
}

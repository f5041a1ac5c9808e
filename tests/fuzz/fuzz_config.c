#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "service/config.h"
#include "tests/support/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	char etc[] = "SNAPCTL_ETC=/nonexistent";
	char *environment[] = { etc, NULL };
	struct config_input in = { .environment = environment, .daemon = true };
	struct problem_list problems;
	struct config *c;
	struct err e;
	char path[64];
	int fd = memfd_create("config", MFD_CLOEXEC);

	FUZZ_PROMISE(fd >= 0);
	FUZZ_PROMISE(n == 0 || write(fd, bytes, n) == (ssize_t)n);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	in.config_file = path;
	problem_init(&problems);
	if (config_load(&in, &c, &problems, &e) < 0) {
		FUZZ_PROMISE(e.code == ERR_USAGE && problems.errors > 0);
	} else {
		FUZZ_PROMISE(config_ms(c, CONFIG_TICK) >= 1000);
		FUZZ_PROMISE(config_text(c, CONFIG_STATE)[0] == '/');
		config_free(c);
	}
	problem_done(&problems);
	(void)close(fd);
	return 0;
}

#include "service/start.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "base/seam.h"
#include "base/secret.h"

int start_process(struct err *e)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	int fd;

	do {
		fd = open("/dev/null", O_RDWR | O_NOCTTY);
	} while (fd >= 0 && fd <= 2);
	if (fd < 0)
		return err_sys(e, "cannot open /dev/null");
	close(fd);
	if (sigaction(SIGPIPE, &ignore, NULL) < 0)
		return err_sys(e, "cannot ignore SIGPIPE");
	seam_from_environment();
	return secret_start(e);
}

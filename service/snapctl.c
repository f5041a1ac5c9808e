/* snapctl: the client. */
#include <stdio.h>

#include "service/cli.h"
#include "service/start.h"

int main(int argc, char **argv)
{
	struct err e;

	if (start_process(&e) < 0) {
		(void)fprintf(stderr, "snapctl: %s\n", e.text);
		return err_kind(e.code)->exit_status;
	}
	return cli_main(argc, argv);
}

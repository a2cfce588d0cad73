/* SPDX-License-Identifier: Apache-2.0 */
/*
 * demo.c - see demo.h. What it does is what somebody would type: a script,
 * sluice-demo, which finds this program in $SLUICE.
 */
#include "cluster/demo.h"

#include "cluster/run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int demo_main(int argc, char **argv)
{
	static const char *const places[] = {"../libexec/sluice/sluice-demo", "sluice-demo", NULL};
	static const char *const self[] = {"sluice", NULL};
	char *script = run_program_beside(places), *sluice = run_program_beside(self);

	if (!script) {
		fprintf(stderr, "sluice demo: sluice-demo is not installed\n");
		return 1;
	}
	if (sluice)
		setenv("SLUICE", sluice, 1);
	argv[0] = script;
	execv(script, argv);
	fprintf(stderr, "sluice demo: %s: %s\n", script, strerror(errno));
	free(sluice);
	free(script);
	return 1;
}

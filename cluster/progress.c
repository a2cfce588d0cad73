/* SPDX-License-Identifier: Apache-2.0 */
/* progress.c - see progress.h. */
#include "cluster/progress.h"

#include "cluster/description.h"
#include "transport/clock.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void progress_step(struct progress *progress, const char *format, ...)
{
	va_list args;

	progress_end(progress, true);
	va_start(args, format);
	if (vasprintf(&progress->step, format, args) < 0)
		progress->step = NULL;
	va_end(args);
	progress->start_ns = clock_now_ns();
	if (!progress->json && !progress->quiet && progress->step) {
		printf("%s ...", progress->step);
		fflush(stdout);
	}
}

void progress_end(struct progress *progress, bool ok)
{
	double seconds = (double)(clock_now_ns() - progress->start_ns) / 1e9;

	if (!progress->step)
		return;
	if (progress->json) {
		json_t *step = json_pack("{s:s, s:f, s:b}", "step", progress->step, "seconds",
		                         seconds, "ok", ok);

		json_dumpf(step, stdout, JSON_COMPACT | JSON_REAL_PRECISION(4));
		putchar('\n');
		json_decref(step);
	} else if (!progress->quiet) {
		printf(ok ? " %.1f s\n" : " failed after %.1f s\n", seconds);
	}
	fflush(stdout);
	free(progress->step);
	progress->step = NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * progress.h - what a long command tells while it works: a line per step with
 * its time, or a JSON object per step.
 */
#ifndef CLUSTER_PROGRESS_H
#define CLUSTER_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
	bool json;
	bool quiet;
	char *step; /* that runs; NULL between steps */
	uint64_t start_ns;
};

/* "initializing 5 servers": ends the step before as done. */
void progress_step(struct progress *progress, const char *format, ...)
        __attribute__((format(printf, 2, 3)));

/* End the step that runs. */
void progress_end(struct progress *progress, bool ok);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* crowd.c - see crowd.h. */
#include "walstream/pg/crowd.h"

#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOOK_NS       UINT64_C(2000000)
#define STALE_NS      UINT64_C(50000000)
#define ONE           256u
#define HALF          (ONE / 2)
#define AVERAGE_LOOKS 8u

void crowd_note(struct crowd *crowd, unsigned running)
{
	uint32_t look = running * ONE;

	if (!crowd->average)
		crowd->average = look;
	else
		crowd->average =
		        crowd->average - crowd->average / AVERAGE_LOOKS + look / AVERAGE_LOOKS;
}

bool crowd_exceeds(const struct crowd *crowd, unsigned cores)
{
	return cores < 2 || crowd->average > cores * ONE + HALF;
}

/* Runnable processes of the host, the caller among them; 0: not known. The file is kept
 * open, so that a look costs one system call. */
static unsigned running_count(void)
{
	static int fd = -2;
	char text[128];
	const char *at = text;
	ssize_t length;

	if (fd == -2)
		fd = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	length = pread(fd, text, sizeof(text) - 1, 0);
	if (length <= 0)
		return 0;
	text[length] = '\0';
	for (unsigned field = 0; field < 3; field++) { /* "0.20 0.18 0.12 1/80 11206" */
		at = strchr(at, ' ');
		if (!at)
			return 0;
		at++;
	}
	return (unsigned)strtoul(at, NULL, 10);
}

static unsigned core_count(void)
{
	static unsigned count;
	cpu_set_t set;

	if (!count)
		count = sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned)CPU_COUNT(&set)
		                                                     : 1;
	return count;
}

bool crowd_is_here(uint64_t now_ns)
{
	static struct crowd here;

	if (now_ns - here.looked_ns >= STALE_NS)
		here.average = 0; /* what was then says nothing about now */
	if (now_ns - here.looked_ns >= LOOK_NS) {
		here.looked_ns = now_ns;
		crowd_note(&here, running_count());
	}
	return crowd_exceeds(&here, core_count());
}

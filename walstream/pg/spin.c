/* SPDX-License-Identifier: Apache-2.0 */
/* spin.c - see spin.h. */
#include "walstream/pg/spin.h"

#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WAIT_NS_MAX      UINT64_C(1000000)
#define AVERAGE_SHIFT    3u
#define FAILURES_MAX     7u
#define CROWD_LOOK_NS    UINT64_C(5000000)
#define AFTER_WAKE_TIMES 2u

/* Runnable processes of the host, the caller among them; 0: not known. The file is
 * kept open: a look costs one system call every few milliseconds of spinning. */
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

static bool is_crowded(uint64_t now_ns)
{
	static uint64_t looked_ns;
	static bool crowded;

	if (now_ns - looked_ns >= CROWD_LOOK_NS) {
		looked_ns = now_ns;
		crowded = core_count() < 2 || running_count() > core_count();
	}
	return crowded;
}

uint64_t spin_begin(struct spin *spin, uint64_t limit_ns, uint64_t now_ns)
{
	spin->start_ns = now_ns;
	spin->spinning = false;
	/* A wait that ended asleep looks longer than the news took, by a wake-up. */
	if (!limit_ns || spin->average_ns > AFTER_WAKE_TIMES * limit_ns)
		return now_ns;
	if (spin->skips) {
		spin->skips--;
		return now_ns;
	}
	if (is_crowded(now_ns))
		return now_ns;
	spin->spinning = true;
	return now_ns + limit_ns;
}

void spin_over(struct spin *spin)
{
	if (!spin->spinning)
		return;
	spin->spinning = false;
	if (spin->failures < FAILURES_MAX)
		spin->failures++;
	spin->skips = 1u << spin->failures;
}

void spin_end(struct spin *spin, bool news, uint64_t now_ns)
{
	uint64_t wait_ns = now_ns - spin->start_ns;

	if (!news && wait_ns < spin->average_ns)
		return; /* cut short: says nothing */
	if (wait_ns > WAIT_NS_MAX)
		wait_ns = WAIT_NS_MAX;
	spin->average_ns += (wait_ns >> AVERAGE_SHIFT) - (spin->average_ns >> AVERAGE_SHIFT);
	if (!news)
		return;
	if (spin->spinning) {
		spin->failures = 0;
		spin->spins++;
	} else {
		spin->sleeps++;
	}
	spin->spinning = false;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* log.c - see log.h. */
#include "transport/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static enum log_level log_level_min = LOG_LEVEL_INFO;

void log_set_level(enum log_level level)
{
	log_level_min = level;
}

void log_event(enum log_level level, const char *event, const char *format, ...)
{
	static const char *const names[] = {"debug", "info", "warning", "error"};
	char line[1024];
	struct timespec now;
	struct tm utc;
	va_list args;
	size_t used;
	int n;

	if (level < log_level_min)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	used = strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%S", &utc);
	n = snprintf(line + used, sizeof(line) - used, ".%03ldZ level=%s event=%s ",
	             now.tv_nsec / 1000000, names[level], event);
	used += (size_t)n;
	va_start(args, format);
	n = vsnprintf(line + used, sizeof(line) - used - 1, format, args);
	va_end(args);
	if (n > 0)
		used += (size_t)n < sizeof(line) - used - 1 ? (size_t)n : sizeof(line) - used - 2;
	line[used++] = '\n';
	/* A log that cannot be written must not stop the agent. */
	if (write(STDERR_FILENO, line, used) < 0)
		return;
}

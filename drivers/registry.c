/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry.c - finding drivers by name, and reading their options. The build
 * defines SLU_DRIVER_LIST as X(loop) X(sim) ..., one entry per driver that this
 * machine can build. Ops that a driver does not have are filled here, in copies
 * of the tables.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/fault/fault.h"
#include "transport/driver.h"

#define X(name) extern const struct slu_driver_ops slu_driver_##name;
SLU_DRIVER_LIST
#undef X

enum {
#define X(name) DRIVER_##name,
	SLU_DRIVER_LIST
#undef X
	        DRIVER_COUNT
};

static struct slu_driver_ops plain_ops[DRIVER_COUNT];
static struct slu_driver_ops fault_ops[DRIVER_COUNT];
static pthread_once_t filled = PTHREAD_ONCE_INIT;

static int missing_open(const struct slu_driver_config *config, const struct slu_driver_host *host,
                        struct slu_driver **ret_driver)
{
	snprintf(config->error, SLU_DRIVER_ERROR_MAX, "the driver cannot be opened");
	return -ENOTSUP;
}

static void missing_close(struct slu_driver *driver)
{
}

static int missing_address(struct slu_driver *driver, char *ret_address)
{
	return -ENOTSUP;
}

static int missing_connect(struct slu_driver *driver, const char *address, const void *hello,
                           void *user, struct slu_session **ret_session)
{
	return -ENOTSUP;
}

static int missing_session_protect(struct slu_driver *driver, struct slu_session *session,
                                   const struct slu_driver_keys *keys)
{
	return -ENOTSUP;
}

static int missing_session_accept(struct slu_driver *driver, struct slu_session *session,
                                  void *user)
{
	return -ENOTSUP;
}

static void missing_session_close(struct slu_driver *driver, struct slu_session *session)
{
}

static int missing_send(struct slu_driver *driver, struct slu_session *session, const void *message,
                        uint32_t size_bytes, uint64_t cookie)
{
	return -ENOTSUP;
}

static int missing_send_small(struct slu_driver *driver, struct slu_session *session,
                              const void *message, uint32_t size_bytes)
{
	return -ENOTSUP;
}

static void missing_flush(struct slu_driver *driver)
{
}

static int missing_poll(struct slu_driver *driver, struct slu_driver_event *ret_events, int count)
{
	return 0;
}

static int missing_fd(struct slu_driver *driver)
{
	return -1;
}

static int missing_arm(struct slu_driver *driver)
{
	return 0;
}

static uint64_t missing_deadline(struct slu_driver *driver)
{
	return UINT64_MAX;
}

static uint32_t missing_rx_posted(struct slu_driver *driver)
{
	return 0;
}

static void missing_stats(struct slu_driver *driver, struct slu_driver_stats *ret_stats)
{
	memset(ret_stats, 0, sizeof(*ret_stats));
}

static int missing_probe(const struct slu_driver_config *config, bool json, FILE *out)
{
	return -ENOTSUP;
}

#define FILL(op)                                                                                   \
	do {                                                                                       \
		if (!ops->op)                                                                      \
			ops->op = missing_##op;                                                    \
	} while (0)

static void ops_fill(struct slu_driver_ops *ops)
{
	FILL(open);
	FILL(close);
	FILL(address);
	FILL(connect);
	FILL(session_protect);
	FILL(session_accept);
	FILL(session_close);
	FILL(send);
	FILL(send_small);
	FILL(flush);
	FILL(poll);
	FILL(fd);
	FILL(arm);
	FILL(deadline);
	FILL(rx_posted);
	FILL(stats);
	FILL(probe);
}

/* The wrapper's open does not get the name it was found under, so each wrapped
 * driver has its own. */
#define X(driver)                                                                                  \
	static int fault_open_##driver(const struct slu_driver_config *config,                     \
	                               const struct slu_driver_host *host,                         \
	                               struct slu_driver **ret_driver)                             \
	{                                                                                          \
		return slu_fault_open(&plain_ops[DRIVER_##driver], config, host, ret_driver);      \
	}
SLU_DRIVER_LIST
#undef X

static void ops_fill_all(void)
{
#define X(driver)                                                                                  \
	plain_ops[DRIVER_##driver] = slu_driver_##driver;                                          \
	ops_fill(&plain_ops[DRIVER_##driver]);                                                     \
	fault_ops[DRIVER_##driver] = slu_fault_ops;                                                \
	fault_ops[DRIVER_##driver].name = "fault:" #driver;                                        \
	fault_ops[DRIVER_##driver].caps = slu_fault_caps(slu_driver_##driver.caps);                \
	fault_ops[DRIVER_##driver].open = fault_open_##driver;                                     \
	ops_fill(&fault_ops[DRIVER_##driver]);
	SLU_DRIVER_LIST
#undef X
}

const struct slu_driver_ops *slu_driver_find(const char *name)
{
	int idx;

	pthread_once(&filled, ops_fill_all);
	for (idx = 0; idx < DRIVER_COUNT; idx++) {
		if (strcmp(plain_ops[idx].name, name) == 0)
			return &plain_ops[idx];
		if (strcmp(fault_ops[idx].name, name) == 0)
			return &fault_ops[idx];
	}
	return NULL;
}

const char *const *slu_driver_names(void)
{
#define X(name) #name,
	static const char *const names[] = {SLU_DRIVER_LIST NULL};
#undef X

	return names;
}

const char *slu_driver_option(const struct slu_driver_config *config, const char *name,
                              const char *fallback)
{
	size_t idx = config->option_count;

	while (idx-- > 0) { /* the last one given counts */
		if (strcmp(config->options[idx].name, name) == 0)
			return config->options[idx].value;
	}
	return fallback;
}

int slu_driver_options_check(const struct slu_driver_config *config, const char *const *known)
{
	const char *const *name;
	size_t idx;

	for (idx = 0; idx < config->option_count; idx++) {
		for (name = known; *name; name++) {
			if (strcmp(config->options[idx].name, *name) == 0)
				break;
		}
		if (!*name) {
			snprintf(config->error, SLU_DRIVER_ERROR_MAX, "unknown option \"%s\"",
			         config->options[idx].name);
			return -EINVAL;
		}
	}
	return 0;
}

int slu_driver_option_u64(const struct slu_driver_config *config, const char *name, uint64_t min,
                          uint64_t max, uint64_t fallback, uint64_t *ret_value)
{
	const char *text = slu_driver_option(config, name, NULL);
	unsigned long long value;
	char *end;

	if (!text) {
		*ret_value = fallback;
		return 0;
	}
	errno = 0;
	value = strtoull(text, &end, 10);
	/* strtoull takes leading space and a sign; a setting must not have them. */
	if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || value < min ||
	    value > max) {
		snprintf(config->error, SLU_DRIVER_ERROR_MAX,
		         "%s = \"%s\": not a whole number from %llu to %llu", name, text,
		         (unsigned long long)min, (unsigned long long)max);
		return -EINVAL;
	}
	*ret_value = value;
	return 0;
}

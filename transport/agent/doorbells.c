/* SPDX-License-Identifier: Apache-2.0 */
/* doorbells.c - see doorbells.h. */
#include "transport/agent/doorbells.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

int doorbells_init(struct doorbells *doorbells, uint32_t slot_count)
{
	doorbells->fds = malloc(slot_count * sizeof(*doorbells->fds));
	if (!doorbells->fds)
		return -ENOMEM;
	doorbells->count = slot_count;
	for (uint32_t slot = 0; slot < slot_count; slot++)
		atomic_init(&doorbells->fds[slot], -1);
	return 0;
}

void doorbells_fini(struct doorbells *doorbells)
{
	for (uint32_t slot = 0; doorbells->fds && slot < doorbells->count; slot++)
		if (atomic_load(&doorbells->fds[slot]) >= 0)
			close(atomic_load(&doorbells->fds[slot]));
	free(doorbells->fds);
	doorbells->fds = NULL;
}

int doorbells_make(struct doorbells *doorbells, uint32_t slot)
{
	int fd = atomic_load(&doorbells->fds[slot]);

	if (fd >= 0)
		return fd;
	fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	atomic_store(&doorbells->fds[slot], fd);
	return fd;
}

int doorbells_find(uint32_t slot, void *ctx)
{
	struct doorbells *doorbells = ctx;

	return slot < doorbells->count ? atomic_load(&doorbells->fds[slot]) : -1;
}

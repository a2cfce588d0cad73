/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena_memory.h - get the memory of an arena from the kernel: hugepages or
 * ordinary ones, on the right NUMA node, all of it now or not at all.
 */
#ifndef TRANSPORT_ARENA_MEMORY_H
#define TRANSPORT_ARENA_MEMORY_H

#include "transport/arena.h"

/*
 * config->size_bytes of zeroed, sealed, mapped memory. *ret_fd is returned
 * owned, *ret_base is mapped from it. note (ARENA_ERROR_BYTES) says what was
 * chosen and why. -ENOMEM: not enough memory or hugepages; -ENODEV: no such NUMA
 * node; with words in error (ARENA_ERROR_BYTES).
 */
int arena_memory_create(const struct arena_config *config, char *error, char *note, int *ret_fd,
                        uint8_t **ret_base, uint32_t *ret_page_bytes);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* arena_memory.c - see arena_memory.h. */
#include "transport/arena_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <hwloc.h>
#include <numa.h>
#include <numaif.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HUGEPAGE_BYTES (UINT64_C(2) << 20)
/* What a host needs beside the arena to stay alive. */
#define MEMORY_SPARE_BYTES (UINT64_C(64) << 20)

/* ---- how much there is -------------------------------------------------- */

static uint64_t read_number(const char *path, const char *format)
{
	FILE *file = fopen(path, "re");
	unsigned long long value;
	uint64_t found = UINT64_MAX;
	char line[256];

	if (!file)
		return UINT64_MAX;
	while (found == UINT64_MAX && fgets(line, sizeof(line), file))
		if (sscanf(line, format, &value) == 1)
			found = value;
	fclose(file);
	return found;
}

/* Room under the memory limit of our control group (version 2), if it has one. */
static uint64_t cgroup_available_bytes(void)
{
	char group[256] = "", path[512];
	uint64_t max, used;
	FILE *file = fopen("/proc/self/cgroup", "re");

	if (!file)
		return UINT64_MAX;
	while (fgets(path, sizeof(path), file))
		if (sscanf(path, "0::%255s", group) == 1)
			break;
	fclose(file);
	snprintf(path, sizeof(path), "/sys/fs/cgroup%s/memory.max", group);
	max = read_number(path, "%llu");
	snprintf(path, sizeof(path), "/sys/fs/cgroup%s/memory.current", group);
	used = read_number(path, "%llu");
	if (max == UINT64_MAX || used == UINT64_MAX)
		return UINT64_MAX;
	return max > used ? max - used : 0;
}

/* Faulting in more than there is ends with the OOM killer, not with an error:
 * so ask first. */
static int memory_check(uint64_t size_bytes, char *error)
{
	uint64_t available = read_number("/proc/meminfo", "MemAvailable: %llu kB");
	uint64_t cgroup = cgroup_available_bytes();

	available = available == UINT64_MAX ? available : available * 1024;
	if (cgroup < available)
		available = cgroup;
	if (available == UINT64_MAX || size_bytes + MEMORY_SPARE_BYTES <= available)
		return 0;
	snprintf(error, ARENA_ERROR_BYTES,
	         "arena: %llu MiB wanted, %llu MiB of memory available (%llu MiB are left for "
	         "others)",
	         (unsigned long long)(size_bytes >> 20), (unsigned long long)(available >> 20),
	         (unsigned long long)(MEMORY_SPARE_BYTES >> 20));
	return -ENOMEM;
}

/* ---- where it should be ------------------------------------------------- */

/* NUMA node of a network device, by hwloc's map of the machine; -1: unknown. */
static int device_node(const char *device)
{
	hwloc_topology_t topology;
	hwloc_obj_t object = NULL;
	int node = -1;

	if (!device || hwloc_topology_init(&topology) < 0)
		return -1;
	hwloc_topology_set_io_types_filter(topology, HWLOC_TYPE_FILTER_KEEP_IMPORTANT);
	if (hwloc_topology_load(topology) == 0)
		while ((object = hwloc_get_next_osdev(topology, object))) {
			hwloc_obj_t near;

			if (!object->name || strcmp(object->name, device))
				continue;
			near = hwloc_get_non_io_ancestor_obj(topology, object);
			if (near && near->nodeset)
				node = hwloc_bitmap_first(near->nodeset);
		}
	hwloc_topology_destroy(topology);
	return node;
}

static void note_add(char *note, const char *text)
{
	size_t used = strlen(note);

	snprintf(note + used, ARENA_ERROR_BYTES - used, "%s%s", used ? "; " : "", text);
}

/* Bind memory not yet faulted in. */
static int bind_node(const struct arena_config *config, void *base, char *error, char *note)
{
	int node = config->numa_node;
	struct bitmask *mask;
	char text[128];
	long r;

	if (node == ARENA_NUMA_OFF)
		return 0;
	if (numa_available() < 0 || numa_max_node() == 0) {
		if (node <= 0)
			return 0; /* one node: nothing to choose */
		snprintf(error, ARENA_ERROR_BYTES, "arena: NUMA node %d: this host has one node",
		         node);
		return -ENODEV;
	}
	if (node == ARENA_NUMA_AUTO)
		node = device_node(config->net_device);
	if (node == -1) {
		note_add(note, "numa: not bound, the network device's node is unknown");
		return 0;
	}
	mask = numa_allocate_nodemask();
	numa_bitmask_setbit(mask, (unsigned)node);
	r = mbind(base, config->size_bytes, MPOL_BIND, mask->maskp, mask->size + 1, 0);
	numa_free_nodemask(mask);
	if (r < 0) {
		snprintf(error, ARENA_ERROR_BYTES, "arena: NUMA node %d: %s", node,
		         strerror(errno));
		return -ENODEV;
	}
	snprintf(text, sizeof(text), "numa: node %d", node);
	note_add(note, text);
	return 0;
}

/* ---- getting it --------------------------------------------------------- */

/* One kind of page: the whole size, mapped and faulted in, or nothing. */
static int memory_try(const struct arena_config *config, bool huge, char *error, char *note,
                      int *ret_fd, uint8_t **ret_base)
{
	size_t size = config->size_bytes;
	uint8_t *base;
	int fd, r;

	fd = memfd_create("sluice-arena",
	                  MFD_CLOEXEC | MFD_ALLOW_SEALING | (huge ? MFD_HUGETLB : 0u));
	if (fd < 0 || ftruncate(fd, (off_t)size) < 0) {
		r = -errno;
		goto err_words;
	}
	base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED) {
		r = -errno;
		goto err_words;
	}
	r = bind_node(config, base, error, note);
	if (r < 0)
		goto err_unmap;
	if (!huge)
		madvise(base, size, MADV_HUGEPAGE); /* helps where shmem_enabled=advise */
	if (fallocate(fd, 0, 0, (off_t)size) < 0 || madvise(base, size, MADV_POPULATE_WRITE) < 0) {
		r = errno == ENOSPC ? -ENOMEM : -errno;
		munmap(base, size);
		goto err_words;
	}
	/* Nobody can shrink it under the others. */
	fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	madvise(base, size, MADV_DONTDUMP);
	*ret_fd = fd;
	*ret_base = base;
	return 0;

err_unmap:
	munmap(base, size);
	close(fd);
	return r;
err_words:
	snprintf(error, ARENA_ERROR_BYTES, "arena: %llu MiB of %s: %s",
	         (unsigned long long)(size >> 20), huge ? "hugepages" : "memory", strerror(-r));
	if (fd >= 0)
		close(fd);
	return r;
}

static int hugepages_check(uint64_t size_bytes, char *error)
{
	uint64_t pages = (size_bytes + HUGEPAGE_BYTES - 1) / HUGEPAGE_BYTES;
	uint64_t available =
	        read_number("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "%llu");

	if (available != UINT64_MAX && available >= pages && size_bytes % HUGEPAGE_BYTES == 0)
		return 0;
	if (size_bytes % HUGEPAGE_BYTES)
		snprintf(error, ARENA_ERROR_BYTES,
		         "arena: size is no multiple of the hugepage's 2 MiB");
	else
		snprintf(error, ARENA_ERROR_BYTES,
		         "arena: %llu hugepages of 2 MiB wanted, %llu free (vm.nr_hugepages)",
		         (unsigned long long)pages,
		         (unsigned long long)(available == UINT64_MAX ? 0 : available));
	return -ENOMEM;
}

int arena_memory_create(const struct arena_config *config, char *error, char *note, int *ret_fd,
                        uint8_t **ret_base, uint32_t *ret_page_bytes)
{
	int r;

	note[0] = '\0';
	if (config->hugepages != ARENA_HUGEPAGES_NEVER) {
		r = hugepages_check(config->size_bytes, error);
		if (r == 0)
			r = memory_try(config, true, error, note, ret_fd, ret_base);
		if (r == 0) {
			note_add(note, "hugepages of 2 MiB");
			*ret_page_bytes = (uint32_t)HUGEPAGE_BYTES;
			return 0;
		}
		if (config->hugepages == ARENA_HUGEPAGES_ALWAYS || r == -ENODEV)
			return r;
		snprintf(note, ARENA_ERROR_BYTES, "ordinary pages, no hugepages: %.180s", error);
	}
	r = memory_check(config->size_bytes, error);
	if (r < 0)
		return r;
	*ret_page_bytes = (uint32_t)sysconf(_SC_PAGESIZE);
	return memory_try(config, false, error, note, ret_fd, ret_base);
}

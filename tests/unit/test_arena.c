/* SPDX-License-Identifier: Apache-2.0 */
/* test_arena.c - making and mapping an arena: layout, every size that is refused,
 * memory that is not there, hugepages or a note, and descriptors that are no
 * arena. */
#include "tests/unit/unit.h"
#include "transport/arena.h"
#include "transport/frame_pool.h"
#include "transport/readyset.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct arena_config config_small(void)
{
	struct arena_config config = {
	        .cluster = 0x1122334455667788,
	        .generation = 99,
	        .node = "host-a",
	        .frame_bytes = 4096,
	        .max_channels = 100,
	        .receive_frames = 10,
	        .max_processes = 5,
	        .window_slots = 16,
	        .pollers = 1,
	        .hugepages = ARENA_HUGEPAGES_NEVER,
	        .numa_node = ARENA_NUMA_OFF,
	};

	config.size_bytes = arena_size_min(&config) + 50 * 4096;
	return config;
}

static struct arena *create(const struct arena_config *config)
{
	char error[ARENA_ERROR_BYTES] = "";
	struct arena *arena = NULL;

	CU_ASSERT_EQUAL_FATAL(arena_create(config, error, &arena), 0);
	return arena;
}

/* ---- layout -------------------------------------------------------------- */

static void regions_do_not_overlap_and_fill_the_arena(void)
{
	struct arena_config config = config_small();
	struct arena *arena = create(&config);
	size_t proc_bytes = sizeof(struct proc_shm) + readyset_size_bytes(config.max_channels);
	size_t chan_bytes = sizeof(struct chan_shm) + config.window_slots * sizeof(uint64_t);
	size_t bitmap_bytes = (arena->frame_count + 63) / 64 * 8;
	uint8_t *shared = (uint8_t *)arena->shared_free, *receive = (uint8_t *)arena->receive_free;

	CU_ASSERT_TRUE(arena->base + sizeof(struct arena_header_shm) <= arena->procs);
	CU_ASSERT_TRUE(arena->proc_stride_bytes >= proc_bytes);
	CU_ASSERT_TRUE(arena->procs + config.max_processes * arena->proc_stride_bytes <=
	               arena->chans);
	CU_ASSERT_TRUE(arena->chan_stride_bytes >= chan_bytes);
	CU_ASSERT_TRUE(arena->chans + config.max_channels * arena->chan_stride_bytes <= shared);
	CU_ASSERT_TRUE(shared + bitmap_bytes <= receive);
	CU_ASSERT_TRUE(receive + bitmap_bytes <= arena->frames);
	CU_ASSERT_TRUE(arena->frames + (size_t)arena->frame_count * config.frame_bytes <=
	               arena->base + config.size_bytes);
	CU_ASSERT_EQUAL(arena->frame_count, 100 + 10 + 1 + 50);
	CU_ASSERT_EQUAL((uintptr_t)arena->procs % ARENA_CACHE_LINE, 0);
	CU_ASSERT_EQUAL(arena->proc_stride_bytes % ARENA_CACHE_LINE, 0);
	CU_ASSERT_EQUAL((uintptr_t)arena->chans % ARENA_CACHE_LINE, 0);
	CU_ASSERT_EQUAL(arena->chan_stride_bytes % ARENA_CACHE_LINE, 0);
	CU_ASSERT_EQUAL((uintptr_t)arena->frames % 4096, 0);
	arena_destroy(arena);
}

static void finds_frames_by_index_and_back(void)
{
	struct arena_config config = config_small();
	struct arena *arena = create(&config);

	CU_ASSERT_EQUAL(arena->frame_capacity, 4096 - FRAME_HEADER_BYTES);
	for (uint32_t i = 0; i < arena->frame_count; i++) {
		struct frame_shm *frame = arena_frame(arena, i);

		CU_ASSERT_EQUAL((uintptr_t)frame->payload % 32, 0);
		CU_ASSERT_EQUAL(arena_frame_idx(arena, frame), i);
		CU_ASSERT_EQUAL(arena_frame_idx(arena, &frame->wire), i);
		CU_ASSERT_EQUAL(arena_frame_idx(arena, frame->payload + arena->frame_capacity - 1),
		                i);
	}
	arena_destroy(arena);
}

static void begins_with_every_frame_free_and_no_end_taken(void)
{
	struct arena_config config = config_small();
	struct arena *arena = create(&config);
	struct frame_pool_counts counts;

	frame_pool_count(arena, &counts);
	CU_ASSERT_EQUAL(counts.home, 100);
	CU_ASSERT_EQUAL(counts.receive_free, 10);
	CU_ASSERT_EQUAL(counts.shared_free, 51);
	CU_ASSERT_EQUAL(counts.free, 61);
	CU_ASSERT_EQUAL(counts.cached + counts.held + counts.queued, 0);
	for (uint32_t i = 0; i < config.max_channels; i++) {
		CU_ASSERT_EQUAL(atomic_load(&arena_chan(arena, i)->state), CHAN_FREE);
		CU_ASSERT_EQUAL(atomic_load(&arena_chan(arena, i)->tx_slot), SLOT_NONE);
		CU_ASSERT_EQUAL(atomic_load(&arena_chan(arena, i)->rx_slot), SLOT_NONE);
	}
	for (uint32_t i = 0; i < config.max_processes; i++)
		CU_ASSERT_EQUAL(atomic_load(&arena_proc(arena, i)->state), PROC_FREE);
	arena_destroy(arena);
}

/* ---- memory -------------------------------------------------------------- */

static void memory_is_faulted_in_whole(void)
{
	struct arena_config config = config_small();
	struct arena *arena = create(&config);
	size_t pages = (config.size_bytes + 4095) / 4096;
	unsigned char *resident = malloc(pages);

	CU_ASSERT_PTR_NOT_NULL_FATAL(resident);
	CU_ASSERT_EQUAL_FATAL(mincore(arena->base, config.size_bytes, resident), 0);
	for (size_t i = 0; i < pages; i++)
		CU_ASSERT_EQUAL(resident[i] & 1, 1);
	free(resident);
	arena_destroy(arena);
}

static void nobody_can_resize_it(void)
{
	struct arena_config config = config_small();
	struct arena *arena = create(&config);
	int seals = fcntl(arena->fd, F_GET_SEALS);

	CU_ASSERT_EQUAL(seals & (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL),
	                F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	CU_ASSERT_EQUAL(ftruncate(arena->fd, 4096), -1);
	CU_ASSERT_EQUAL(errno, EPERM);
	CU_ASSERT_EQUAL(ftruncate(arena->fd, (off_t)config.size_bytes * 2), -1);
	CU_ASSERT_EQUAL(fcntl(arena->fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	arena_destroy(arena);
}

static void says_which_pages_it_got(void)
{
	struct arena_config config = config_small();
	struct arena *arena;

	config.hugepages = ARENA_HUGEPAGES_AUTO;
	config.size_bytes = (config.size_bytes + (2u << 20) - 1) / (2u << 20) * (2u << 20);
	arena = create(&config);
	if (arena->header->page_bytes == 2u << 20)
		CU_ASSERT_PTR_NOT_NULL(strstr(arena->note, "hugepages of 2 MiB"))
	else
		CU_ASSERT_PTR_NOT_NULL(strstr(arena->note, "no hugepages"))
	arena_destroy(arena);
}

static void refuses_without_the_hugepages_it_must_have(void)
{
	struct arena_config config = config_small();
	char error[ARENA_ERROR_BYTES] = "";
	struct arena *arena = NULL;

	config.hugepages = ARENA_HUGEPAGES_ALWAYS;
	config.size_bytes = UINT64_C(1) << 42; /* 4 TiB of hugepages no test machine has */
	CU_ASSERT_EQUAL(arena_create(&config, error, &arena), -ENOMEM);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "hugepages"));
	CU_ASSERT_PTR_NULL(arena);
	config.size_bytes = (UINT64_C(4) << 20) + 4096;
	CU_ASSERT_EQUAL(arena_create(&config, error, &arena), -ENOMEM);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "multiple"));
	CU_ASSERT_PTR_NULL(arena);
}

static void refuses_more_memory_than_there_is(void)
{
	struct arena_config config = config_small();
	char error[ARENA_ERROR_BYTES] = "";
	struct arena *arena = NULL;

	config.size_bytes = UINT64_C(1) << 42;
	config.frame_bytes = 1u << 20;
	CU_ASSERT_EQUAL(arena_create(&config, error, &arena), -ENOMEM);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "4194304 MiB wanted"));
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "available"));
	CU_ASSERT_PTR_NULL(arena);
	/* hugepages are tried first, and then the same is said of ordinary pages */
	config.hugepages = ARENA_HUGEPAGES_AUTO;
	CU_ASSERT_EQUAL(arena_create(&config, error, &arena), -ENOMEM);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "available"));
	CU_ASSERT_PTR_NULL(arena);
}

static void refuses_a_numa_node_that_is_not_there(void)
{
	struct arena_config config = config_small();
	char error[ARENA_ERROR_BYTES] = "";
	struct arena *arena = NULL;

	config.numa_node = 500;
	CU_ASSERT_EQUAL(arena_create(&config, error, &arena), -ENODEV);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "NUMA node 500"));
	CU_ASSERT_PTR_NULL(arena);
}

/* ---- sizes --------------------------------------------------------------- */

static void smallest_size_is_exact(void)
{
	static const uint32_t channels[] = {1, 7, 64, 1000, 5000};

	for (size_t i = 0; i < sizeof(channels) / sizeof(channels[0]); i++) {
		struct arena_config config = config_small();
		char error[ARENA_ERROR_BYTES] = "";
		struct arena *arena = NULL;

		config.max_channels = channels[i];
		config.size_bytes = arena_size_min(&config);
		arena = create(&config);
		CU_ASSERT_EQUAL(arena->frame_count, channels[i] + config.receive_frames + 1);
		arena_destroy(arena);
		arena = NULL;
		config.size_bytes--;
		CU_ASSERT_EQUAL(arena_create(&config, error, &arena), -EINVAL);
		CU_ASSERT_PTR_NOT_NULL(strstr(error, "too small"));
		CU_ASSERT_PTR_NULL(arena);
	}
}

static void refuses_sizes_out_of_range(void)
{
	const struct arena_config good = config_small();
	struct arena_config bad[12];
	size_t count = 0;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		bad[i] = good;
	bad[count++].frame_bytes = 0;
	bad[count++].frame_bytes = 2048;
	bad[count++].frame_bytes = 4097;
	bad[count++].frame_bytes = 32u << 20;
	bad[count++].window_slots = 0;
	bad[count++].window_slots = 12;
	bad[count++].window_slots = 1u << 17;
	bad[count++].max_channels = 0;
	bad[count++].max_channels = UINT32_MAX;
	bad[count++].receive_frames = UINT32_MAX;
	bad[count++].max_processes = good.pollers; /* no room for a client */
	bad[count++].size_bytes = 0;
	for (size_t i = 0; i < count; i++) {
		char error[ARENA_ERROR_BYTES] = "";
		struct arena *arena = NULL;

		CU_ASSERT_EQUAL(arena_create(&bad[i], error, &arena), -EINVAL);
		CU_ASSERT_NOT_EQUAL(error[0], '\0');
		CU_ASSERT_PTR_NULL(arena);
	}
}

/* ---- mapping ------------------------------------------------------------- */

static void mapping_shows_the_same_memory(void)
{
	struct arena_config config = config_small();
	struct arena *agent = create(&config);
	struct arena *client = NULL;

	CU_ASSERT_EQUAL_FATAL(arena_map(agent->fd, true, &client), 0);
	CU_ASSERT_PTR_NOT_EQUAL(client->base, agent->base);
	CU_ASSERT_EQUAL(client->fd, -1);
	CU_ASSERT_EQUAL(client->header->cluster, config.cluster);
	CU_ASSERT_EQUAL(client->generation, config.generation);
	CU_ASSERT_STRING_EQUAL(client->header->node, "host-a");
	CU_ASSERT_EQUAL(client->header->agent_pid, getpid());
	CU_ASSERT_EQUAL(client->frame_count, agent->frame_count);
	CU_ASSERT_EQUAL(client->max_channels, config.max_channels);
	memset(arena_frame(client, 120)->payload, 0xa5, client->frame_capacity);
	CU_ASSERT_EQUAL(arena_frame(agent, 120)->payload[client->frame_capacity - 1], 0xa5);
	arena_destroy(agent); /* the client's mapping goes on without it */
	CU_ASSERT_EQUAL(arena_frame(client, 120)->payload[0], 0xa5);
	arena_destroy(client);
}

static void observer_maps_it_from_a_read_only_descriptor(void)
{
	struct arena_config config = config_small();
	struct arena *agent = create(&config);
	struct arena *observer = NULL;
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", agent->fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_EQUAL(arena_map(fd, true, &observer), -EACCES);
	CU_ASSERT_PTR_NULL(observer);
	CU_ASSERT_EQUAL_FATAL(arena_map(fd, false, &observer), 0);
	arena_count(agent, ARENA_CHANNELS_TOTAL, 3);
	CU_ASSERT_EQUAL(atomic_load(&observer->header->counters[ARENA_CHANNELS_TOTAL]), 3);
	arena_destroy(observer);
	close(fd);
	arena_destroy(agent);
}

static void refuses_descriptors_that_are_no_arena(void)
{
	struct arena *arena = NULL;
	int fds[2], fd;

	CU_ASSERT_EQUAL(arena_map(-1, true, &arena), -EBADF);
	CU_ASSERT_EQUAL_FATAL(pipe2(fds, O_CLOEXEC), 0);
	CU_ASSERT_EQUAL(arena_map(fds[0], true, &arena), -EBADMSG);
	close(fds[0]);
	close(fds[1]);
	fd = memfd_create("empty", MFD_CLOEXEC);
	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_EQUAL(arena_map(fd, true, &arena), -EBADMSG);
	CU_ASSERT_EQUAL_FATAL(ftruncate(fd, 64), 0);
	CU_ASSERT_EQUAL(arena_map(fd, true, &arena), -EBADMSG);
	CU_ASSERT_EQUAL_FATAL(ftruncate(fd, 1 << 20), 0); /* zeroes */
	CU_ASSERT_EQUAL(arena_map(fd, true, &arena), -EBADMSG);
	close(fd);
	CU_ASSERT_PTR_NULL(arena);
}

/* What map says of an arena whose header was changed. */
static int map_changed(const struct arena *good, const struct arena_header_shm *header)
{
	struct arena_header_shm saved = *good->header;
	struct arena *arena = NULL;
	int r;

	*good->header = *header;
	r = arena_map(good->fd, true, &arena);
	*good->header = saved;
	if (r == 0)
		arena_destroy(arena);
	return r;
}

static void refuses_another_layout(void)
{
	struct arena_config config = config_small();
	struct arena *arena = create(&config);
	struct arena_header_shm header = *arena->header;

	CU_ASSERT_EQUAL(map_changed(arena, &header), 0);
	header.layout_version++;
	CU_ASSERT_EQUAL(map_changed(arena, &header), -EPROTONOSUPPORT);
	header = *arena->header;
	header.counter_count++;
	CU_ASSERT_EQUAL(map_changed(arena, &header), -EPROTONOSUPPORT);
	arena_destroy(arena);
}

/* Every bit that leads a pointer somewhere: flipped alone, it is noticed. */
static void refuses_a_header_that_leads_out_of_the_mapping(void)
{
	struct arena_config config = config_small();
	struct arena *arena = create(&config);
	const size_t first = offsetof(struct arena_header_shm, size_bytes);
	const size_t last = offsetof(struct arena_header_shm, agent_pid);
	struct arena *mapped = NULL;

	for (size_t bit = first * 8; bit < last * 8; bit++) {
		struct arena_header_shm header = *arena->header;
		int r;

		((uint8_t *)&header)[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		*arena->header = header;
		r = arena_map(arena->fd, true, &mapped);
		/* what it accepts may be another arrangement, but not one outside */
		if (r == 0) {
			size_t end = (size_t)(mapped->frames - mapped->base) +
			             ((size_t)mapped->frame_count << mapped->frame_shift);

			CU_ASSERT_TRUE(end <= config.size_bytes);
			CU_ASSERT_TRUE(mapped->max_channels + mapped->receive_frames <
			               mapped->frame_count);
			arena_destroy(mapped);
		} else {
			CU_ASSERT_EQUAL(r, -EBADMSG);
		}
		((uint8_t *)&header)[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		*arena->header = header;
	}
	arena_destroy(arena);
}

static void destroys_nothing_when_there_is_nothing(void)
{
	arena_destroy(NULL);
	CU_PASS("returned");
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(regions_do_not_overlap_and_fill_the_arena),
	        UNIT_TEST(finds_frames_by_index_and_back),
	        UNIT_TEST(begins_with_every_frame_free_and_no_end_taken),
	        UNIT_TEST(memory_is_faulted_in_whole),
	        UNIT_TEST(nobody_can_resize_it),
	        UNIT_TEST(says_which_pages_it_got),
	        UNIT_TEST(refuses_without_the_hugepages_it_must_have),
	        UNIT_TEST(refuses_more_memory_than_there_is),
	        UNIT_TEST(refuses_a_numa_node_that_is_not_there),
	        UNIT_TEST(smallest_size_is_exact),
	        UNIT_TEST(refuses_sizes_out_of_range),
	        UNIT_TEST(mapping_shows_the_same_memory),
	        UNIT_TEST(observer_maps_it_from_a_read_only_descriptor),
	        UNIT_TEST(refuses_descriptors_that_are_no_arena),
	        UNIT_TEST(refuses_another_layout),
	        UNIT_TEST(refuses_a_header_that_leads_out_of_the_mapping),
	        UNIT_TEST(destroys_nothing_when_there_is_nothing),
	        {NULL, NULL},
	};
	return unit_run("arena", tests);
}

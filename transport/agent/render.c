/* SPDX-License-Identifier: Apache-2.0 */
/* render.c - see render.h. */
#include "transport/agent/render.h"

#include "transport/agent/counters.h"
#include "transport/frame_pool.h"

#include <inttypes.h>

static void render_head(FILE *out, const char *name, const char *help, bool gauge)
{
	const char *suffix = gauge ? "" : "_total";

	fprintf(out, "# HELP sluice_%s%s %s.\n# TYPE sluice_%s%s %s\n", name, suffix, help, name,
	        suffix, gauge ? "gauge" : "counter");
}

static void render_counters(FILE *out, const struct arena *arena)
{
	for (int i = 0; i < ARENA_COUNTERS; i++) {
		const struct counter_info *info = counter_info((enum arena_counter)i);

		render_head(out, info->name, info->help, info->gauge);
		fprintf(out, "sluice_%s%s %" PRIu64 "\n", info->name, info->gauge ? "" : "_total",
		        counter_get(arena, (enum arena_counter)i));
	}
}

static void render_frames(FILE *out, const struct arena *arena)
{
	struct frame_pool_counts counts;

	frame_pool_count(arena, &counts);
	render_head(out, "frames", "Frames of the arena by what they are", true);
	fprintf(out, "sluice_frames{state=\"free\"} %u\n", counts.free);
	fprintf(out, "sluice_frames{state=\"cached\"} %u\n", counts.cached);
	fprintf(out, "sluice_frames{state=\"held\"} %u\n", counts.held);
	fprintf(out, "sluice_frames{state=\"queued\"} %u\n", counts.queued);
	fprintf(out, "sluice_frames{state=\"home\"} %u\n", counts.home);
}

static void render_pollers(FILE *out, const struct arena *arena)
{
	render_head(out, "poller_wakeups_sent", "Doorbells rung for processes", false);
	for (uint32_t i = 0; i < arena->pollers; i++)
		fprintf(out, "sluice_poller_wakeups_sent_total{poller=\"%u\"} %" PRIu64 "\n", i,
		        atomic_load_explicit(&arena_proc(arena, i)->wakeups_sent,
		                             memory_order_relaxed));
}

void render_metrics(FILE *out, void *ctx)
{
	const struct arena *arena = ((struct render *)ctx)->arena;

	render_head(out, "arena_bytes", "Size of the arena", true);
	fprintf(out, "sluice_arena_bytes{node=\"%s\",generation=\"%016" PRIx64 "\"} %zu\n",
	        arena->header->node, arena->generation, arena->size_bytes);
	render_counters(out, arena);
	render_frames(out, arena);
	render_pollers(out, arena);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot.c - see snapshot.h. All loads are relaxed: a report. */
#include "cluster/snapshot.h"

#include "transport/agent/counters.h"
#include "transport/channel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOAD(field) atomic_load_explicit(&(field), memory_order_relaxed)

/* Texts in shared memory may be anything: bounded, and safe for a terminal. */
static void copy_text(char *to, size_t to_bytes, const char *from, size_t from_bytes)
{
	size_t length = strnlen(from, from_bytes);

	if (length >= to_bytes)
		length = to_bytes - 1;
	for (size_t i = 0; i < length; i++)
		to[i] = (unsigned char)from[i] < 0x20 || from[i] == 0x7f ? '?' : from[i];
	to[length] = '\0';
}

static void process_read(const struct arena *arena, uint32_t slot, struct snapshot_process *process)
{
	struct proc_shm *proc = arena_proc(arena, slot);

	*process = (struct snapshot_process){
	        .slot = slot,
	        .pid = proc->pid,
	        .uid = proc->uid,
	        .poller = slot < arena->pollers,
	        .sleeping = LOAD(proc->sleeping) != 0,
	        .spins = LOAD(proc->spins),
	        .sleeps = LOAD(proc->sleeps),
	        .wakeups_sent = LOAD(proc->wakeups_sent),
	};
	copy_text(process->name, sizeof(process->name), proc->name, sizeof(proc->name));
}

static void channel_read(const struct arena *arena, uint32_t chan_idx,
                         struct snapshot_channel *channel)
{
	struct chan_shm *chan = arena_chan(arena, chan_idx);
	uint64_t released = LOAD(chan->released_pos);
	uint64_t published = LOAD(chan->published_pos);
	int error = chan_reset_error(chan);

	*channel = (struct snapshot_channel){
	        .chan_idx = chan_idx,
	        .open_count = chan->open_count,
	        .query = chan->query,
	        .motion = chan->motion,
	        .source = chan->source,
	        .destination = chan->destination,
	        .tx_slot = LOAD(chan->tx_slot),
	        .rx_slot = LOAD(chan->rx_slot),
	        .remote = chan->remote != 0,
	        .eos = LOAD(chan->eos_pos) != 0,
	        .stopped = LOAD(chan->stop) != 0,
	        .reset_error = error < 0 ? -error : 0,
	        .frames = published,
	        .bytes = LOAD(chan->tx_bytes),
	        .in_flight = published > released ? published - released : 0,
	        .window = LOAD(chan->window),
	        .tx_stalls = LOAD(chan->tx_stalls),
	        .rx_stalls = LOAD(chan->rx_stalls),
	        .tx_blocked_ns = LOAD(chan->tx_blocked_ns),
	        .rx_blocked_ns = LOAD(chan->rx_blocked_ns),
	};
	if (channel->reset_error)
		copy_text(channel->reset_text, sizeof(channel->reset_text), chan_reset_text(chan),
		          sizeof(chan->agent_reset.text));
}

static void count_end(struct snapshot *snapshot, uint32_t slot, bool sender)
{
	for (size_t i = 0; i < snapshot->process_count; i++)
		if (snapshot->processes[i].slot == slot)
			*(sender ? &snapshot->processes[i].senders
			         : &snapshot->processes[i].receivers) += 1;
}

/* Two passes would count twice and differ, so there is room for all. */
static int snapshot_read(const struct arena *arena, struct snapshot *snapshot)
{
	snapshot->processes = calloc(arena->max_processes, sizeof(*snapshot->processes));
	if (!snapshot->processes)
		return -ENOMEM;
	for (uint32_t slot = 0; slot < arena->max_processes; slot++)
		if (LOAD(arena_proc(arena, slot)->state) == PROC_ATTACHED)
			process_read(arena, slot, &snapshot->processes[snapshot->process_count++]);

	for (uint32_t i = 0; i < arena->max_channels; i++) {
		struct snapshot_channel *channel;

		if (LOAD(arena_chan(arena, i)->state) != CHAN_OPEN)
			continue;
		if (snapshot->channel_count % 256 == 0) {
			size_t room = snapshot->channel_count + 256;

			channel = realloc(snapshot->channels, room * sizeof(*channel));
			if (!channel)
				return -ENOMEM;
			snapshot->channels = channel;
		}
		channel = &snapshot->channels[snapshot->channel_count++];
		channel_read(arena, i, channel);
		count_end(snapshot, channel->tx_slot, true);
		count_end(snapshot, channel->rx_slot, false);
	}
	return 0;
}

int snapshot_take(const struct arena *arena, uint64_t now_ns, struct snapshot **ret_snapshot)
{
	const struct arena_header_shm *header = arena->header;
	struct snapshot *snapshot = calloc(1, sizeof(*snapshot));
	int result;

	if (!snapshot)
		return -ENOMEM;
	snapshot->time_ns = now_ns;
	copy_text(snapshot->node, sizeof(snapshot->node), header->node, sizeof(header->node));
	snapshot->cluster = header->cluster;
	snapshot->generation = arena->generation;
	snapshot->size_bytes = arena->size_bytes;
	snapshot->frame_bytes = arena->frame_bytes;
	snapshot->frame_count = arena->frame_count;
	snapshot->max_channels = arena->max_channels;
	snapshot->max_processes = arena->max_processes - arena->pollers;
	snapshot->agent_pid = (uint32_t)header->agent_pid;
	snapshot->agent_stopped = LOAD(header->agent_stopped) != 0;
	for (int i = 0; i < ARENA_COUNTERS; i++)
		snapshot->counters[i] = counter_get(arena, (enum arena_counter)i);
	frame_pool_count(arena, &snapshot->frames);
	result = snapshot_read(arena, snapshot);
	if (result < 0) {
		snapshot_free(snapshot);
		return result;
	}
	*ret_snapshot = snapshot;
	return 0;
}

void snapshot_free(struct snapshot *snapshot)
{
	if (!snapshot)
		return;
	free(snapshot->processes);
	free(snapshot->channels);
	free(snapshot);
}

const struct snapshot_channel *snapshot_channel_before(const struct snapshot *before,
                                                       const struct snapshot_channel *channel)
{
	size_t low = 0, high = before ? before->channel_count : 0;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (before->channels[middle].chan_idx < channel->chan_idx)
			low = middle + 1;
		else
			high = middle;
	}
	if (before && low < before->channel_count &&
	    before->channels[low].chan_idx == channel->chan_idx &&
	    before->channels[low].open_count == channel->open_count)
		return &before->channels[low];
	return NULL;
}

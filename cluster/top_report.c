/* SPDX-License-Identifier: Apache-2.0 */
/* top_report.c - see top_report.h. */
#include "cluster/top_report.h"

#include "transport/agent/counters.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>

static void scale_text(double value, double step, char *ret_text)
{
	static const char *const units[] = {"", "k", "M", "G", "T", "P"};
	size_t unit = 0;

	while (value >= step && unit + 1 < sizeof(units) / sizeof(units[0])) {
		value /= step;
		unit++;
	}
	snprintf(ret_text, 16, unit && value < 100 ? "%.1f%s" : "%.0f%s", value, units[unit]);
}

void top_count_text(double value, char *ret_text)
{
	scale_text(value, 1000, ret_text);
}

void top_bytes_text(double value, char *ret_text)
{
	scale_text(value, 1024, ret_text);
}

const char *top_channel_state(const struct snapshot_channel *channel)
{
	if (channel->reset_error)
		return "reset";
	if (channel->stopped)
		return "stopped";
	if (channel->eos)
		return "eos";
	return channel->tx_slot == SLOT_NONE || channel->rx_slot == SLOT_NONE ? "half" : "open";
}

/* ---- text -------------------------------------------------------------- */

static const char *agent_text(const struct snapshot *snapshot, bool agent_lives)
{
	if (agent_lives)
		return "alive";
	return snapshot->agent_stopped ? "stopped" : "not asked, or gone";
}

static void slot_text(uint32_t slot, char *ret_text)
{
	if (slot == SLOT_NONE)
		snprintf(ret_text, 16, "-");
	else
		snprintf(ret_text, 16, "%u", slot);
}

static void text_channels(const struct snapshot *snapshot, FILE *out)
{
	fprintf(out, "\n%6s %12s %6s %6s %6s %5s %5s %-7s %12s %14s %6s %6s %8s\n", "chan", "query",
	        "motion", "source", "dest", "tx", "rx", "state", "frames", "bytes", "flight",
	        "window", "stalls");
	for (size_t i = 0; i < snapshot->channel_count; i++) {
		const struct snapshot_channel *channel = &snapshot->channels[i];
		char tx[16], rx[16];

		slot_text(channel->tx_slot, tx);
		slot_text(channel->rx_slot, rx);
		fprintf(out,
		        "%6u %12" PRIu64 " %6u %6u %6u %5s %5s %-7s %12" PRIu64 " %14" PRIu64
		        " %6" PRIu64 " %6u %8" PRIu64 "\n",
		        channel->chan_idx, channel->query, channel->motion, channel->source,
		        channel->destination, tx, rx, top_channel_state(channel), channel->frames,
		        channel->bytes, channel->in_flight, channel->window,
		        channel->tx_stalls + channel->rx_stalls);
		if (channel->reset_error)
			fprintf(out, "%6s %s\n", "", channel->reset_text);
	}
}

void top_report_text(const struct snapshot *snapshot, bool agent_lives, FILE *out)
{
	char size[16];

	top_bytes_text((double)snapshot->size_bytes, size);
	fprintf(out, "node %s  cluster %" PRIu64 "  generation %016" PRIx64 "  agent %u (%s)\n",
	        snapshot->node, snapshot->cluster, snapshot->generation, snapshot->agent_pid,
	        agent_text(snapshot, agent_lives));
	fprintf(out,
	        "arena %s  frames %u of %u bytes: %u free, %u cached, %u held, %u queued, "
	        "%u at home\n",
	        size, snapshot->frame_count, snapshot->frame_bytes, snapshot->frames.free,
	        snapshot->frames.cached, snapshot->frames.held, snapshot->frames.queued,
	        snapshot->frames.home);
	for (int i = 0; i < ARENA_COUNTERS; i++)
		fprintf(out, "%-22s %20" PRIu64 "\n", counter_info((enum arena_counter)i)->name,
		        snapshot->counters[i]);
	fprintf(out, "\n%5s %8s %-32s %5s %5s %10s %10s %10s\n", "slot", "pid", "name", "tx", "rx",
	        "spins", "sleeps", "wakeups");
	for (size_t i = 0; i < snapshot->process_count; i++) {
		const struct snapshot_process *process = &snapshot->processes[i];

		fprintf(out, "%5u %8u %-32s %5u %5u %10" PRIu64 " %10" PRIu64 " %10" PRIu64 "\n",
		        process->slot, process->pid, process->name, process->senders,
		        process->receivers, process->spins, process->sleeps, process->wakeups_sent);
	}
	text_channels(snapshot, out);
}

/* ---- JSON -------------------------------------------------------------- */

static json_t *json_slot(uint32_t slot)
{
	return slot == SLOT_NONE ? json_null() : json_integer(slot);
}

/* A name in another encoding than UTF-8 must not cost the whole report. */
static json_t *json_text(const char *text)
{
	json_t *value = json_string(text);

	return value ? value : json_string("(not UTF-8)");
}

static json_t *json_process(const struct snapshot_process *process)
{
	return json_pack("{s:i, s:i, s:i, s:o, s:b, s:b, s:i, s:i, s:I, s:I, s:I}", "slot",
	                 (int)process->slot, "pid", (int)process->pid, "uid", (int)process->uid,
	                 "name", json_text(process->name), "poller", process->poller, "sleeping",
	                 process->sleeping, "senders", (int)process->senders, "receivers",
	                 (int)process->receivers, "spins", (json_int_t)process->spins, "sleeps",
	                 (json_int_t)process->sleeps, "wakeups_sent",
	                 (json_int_t)process->wakeups_sent);
}

static json_t *json_channel(const struct snapshot_channel *channel)
{
	json_t *value = json_pack(
	        "{s:i, s:I, s:I, s:I, s:I, s:o, s:o, s:b, s:s, s:I, s:I, s:I, s:i}", "channel",
	        (int)channel->chan_idx, "query", (json_int_t)channel->query, "motion",
	        (json_int_t)channel->motion, "source", (json_int_t)channel->source, "destination",
	        (json_int_t)channel->destination, "tx_slot", json_slot(channel->tx_slot), "rx_slot",
	        json_slot(channel->rx_slot), "remote", channel->remote, "state",
	        top_channel_state(channel), "frames", (json_int_t)channel->frames, "bytes",
	        (json_int_t)channel->bytes, "in_flight", (json_int_t)channel->in_flight, "window",
	        (int)channel->window);

	if (!value)
		return NULL;
	json_object_set_new(value, "tx_stalls", json_integer((json_int_t)channel->tx_stalls));
	json_object_set_new(value, "rx_stalls", json_integer((json_int_t)channel->rx_stalls));
	json_object_set_new(value, "tx_blocked_ns",
	                    json_integer((json_int_t)channel->tx_blocked_ns));
	json_object_set_new(value, "rx_blocked_ns",
	                    json_integer((json_int_t)channel->rx_blocked_ns));
	if (channel->reset_error) {
		json_object_set_new(value, "reset_error", json_integer(channel->reset_error));
		json_object_set_new(value, "reset_text", json_text(channel->reset_text));
	}
	return value;
}

static json_t *json_arena(const struct snapshot *snapshot, bool agent_lives)
{
	const struct frame_pool_counts *frames = &snapshot->frames;
	char generation[24];

	snprintf(generation, sizeof(generation), "%016" PRIx64, snapshot->generation);
	return json_pack(
	        "{s:o, s:I, s:s, s:i, s:b, s:b, s:I, s:I, s:I, s:I, s:I, "
	        "s:{s:I, s:I, s:I, s:I, s:I}}",
	        "node", json_text(snapshot->node), "cluster", (json_int_t)snapshot->cluster,
	        "generation", generation, "agent_pid", (int)snapshot->agent_pid, "agent_alive",
	        agent_lives, "agent_stopped", snapshot->agent_stopped, "size_bytes",
	        (json_int_t)snapshot->size_bytes, "frame_bytes", (json_int_t)snapshot->frame_bytes,
	        "frame_count", (json_int_t)snapshot->frame_count, "max_channels",
	        (json_int_t)snapshot->max_channels, "max_processes",
	        (json_int_t)snapshot->max_processes, "frames", "free", (json_int_t)frames->free,
	        "cached", (json_int_t)frames->cached, "held", (json_int_t)frames->held, "queued",
	        (json_int_t)frames->queued, "home", (json_int_t)frames->home);
}

int top_report_json(const struct snapshot *snapshot, bool agent_lives, FILE *out)
{
	json_t *root = json_arena(snapshot, agent_lives);
	json_t *counters = json_object(), *processes = json_array(), *channels = json_array();
	int result;

	for (int i = 0; i < ARENA_COUNTERS; i++)
		json_object_set_new(counters, counter_info((enum arena_counter)i)->name,
		                    json_integer((json_int_t)snapshot->counters[i]));
	for (size_t i = 0; i < snapshot->process_count; i++)
		json_array_append_new(processes, json_process(&snapshot->processes[i]));
	for (size_t i = 0; i < snapshot->channel_count; i++)
		json_array_append_new(channels, json_channel(&snapshot->channels[i]));
	result = json_object_set_new(root, "counters", counters) ||
	                         json_object_set_new(root, "processes", processes) ||
	                         json_object_set_new(root, "channels", channels)
	                 ? -ENOMEM
	                 : 0;
	if (result == 0 && (json_dumpf(root, out, JSON_INDENT(1)) < 0 || fputc('\n', out) == EOF))
		result = -EIO;
	json_decref(root);
	return result;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* top_screen.c - see top_screen.h. Keys: c channels, p processes, q quit. */
#include "cluster/top_screen.h"

#include "cluster/snapshot.h"
#include "cluster/top_report.h"
#include "transport/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <ncurses.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum screen_view { VIEW_CHANNELS, VIEW_PROCESSES };

struct screen {
	const struct observe *observe;
	struct snapshot *before, *now; /* before: NULL at first */
	enum screen_view view;
	int scroll;
};

/* A channel of the screen with what it did since the last look. */
struct screen_channel {
	const struct snapshot_channel *channel;
	double frames_per_s, bytes_per_s;
};

static double seconds_between(const struct screen *screen)
{
	return screen->before ? (double)(screen->now->time_ns - screen->before->time_ns) /
	                                (double)SLU_NS_PER_S
	                      : 0;
}

static double rate(uint64_t before, uint64_t now, double seconds)
{
	return seconds > 0 && now >= before ? (double)(now - before) / seconds : 0;
}

static double counter_rate(const struct screen *screen, enum arena_counter counter)
{
	return screen->before ? rate(screen->before->counters[counter],
	                             screen->now->counters[counter], seconds_between(screen))
	                      : 0;
}

static void show_head(const struct screen *screen)
{
	const struct snapshot *now = screen->now;
	char arena[16], tx[16], rx[16];

	top_bytes_text((double)now->size_bytes, arena);
	top_bytes_text(counter_rate(screen, ARENA_TX_BYTES), tx);
	top_bytes_text(counter_rate(screen, ARENA_RX_BYTES), rx);
	attron(A_BOLD);
	mvprintw(0, 0, "sluice top - node %s, cluster %" PRIu64 ", agent %u %s", now->node,
	         now->cluster, now->agent_pid,
	         observe_agent_lives(screen->observe) ? ""
	         : now->agent_stopped                 ? "(stopped)"
	                                              : "(gone, or not asked)");
	attroff(A_BOLD);
	mvprintw(1, 0, "arena %s   frames %u: %u free, %u cached, %u held, %u queued, %u home",
	         arena, now->frame_count, now->frames.free, now->frames.cached, now->frames.held,
	         now->frames.queued, now->frames.home);
	mvprintw(2, 0,
	         "processes %" PRIu64 "   channels %" PRIu64 " of %u   resets %" PRIu64
	         "   killed %" PRIu64,
	         now->counters[ARENA_PROCESSES_ATTACHED], now->counters[ARENA_CHANNELS_OPEN],
	         now->max_channels, now->counters[ARENA_CHANNELS_RESET],
	         now->counters[ARENA_PROCESSES_KILLED]);
	mvprintw(3, 0,
	         "peers %" PRIu64 " (%" PRIu64 " encrypted)   sessions %" PRIu64
	         "   sent %sB/s   received %sB/s   resent %" PRIu64 "   check sum errors %" PRIu64,
	         now->counters[ARENA_PEERS_UP], now->counters[ARENA_PEERS_ENCRYPTED],
	         now->counters[ARENA_SESSIONS_UP], tx, rx, now->counters[ARENA_TX_RESENT_FRAMES],
	         now->counters[ARENA_CRC_ERRORS]);
}

static int busiest_first(const void *a, const void *b)
{
	const struct screen_channel *left = a, *right = b;

	if (left->bytes_per_s != right->bytes_per_s)
		return left->bytes_per_s < right->bytes_per_s ? 1 : -1;
	return left->channel->chan_idx < right->channel->chan_idx ? -1 : 1;
}

static void show_channel(int row, const struct screen_channel *shown)
{
	const struct snapshot_channel *channel = shown->channel;
	char frames[16], bytes[16], stalls[16], key[64];

	top_count_text(shown->frames_per_s, frames);
	top_bytes_text(shown->bytes_per_s, bytes);
	top_count_text((double)(channel->tx_stalls + channel->rx_stalls), stalls);
	snprintf(key, sizeof(key), "%" PRIu64 "/%u %u->%u", channel->query, channel->motion,
	         channel->source, channel->destination);
	mvprintw(row, 0, "%6u %-28s %-7s %-6s %9s %9s %6" PRIu64 "/%-6u %8s  %s", channel->chan_idx,
	         key, top_channel_state(channel), channel->remote ? "remote" : "local", frames,
	         bytes, channel->in_flight, channel->window, stalls, channel->reset_text);
}

static void show_channels(const struct screen *screen, int first_row)
{
	const struct snapshot *now = screen->now;
	struct screen_channel *shown = calloc(now->channel_count + 1, sizeof(*shown));
	double seconds = seconds_between(screen);

	if (!shown)
		return;
	for (size_t i = 0; i < now->channel_count; i++) {
		const struct snapshot_channel *channel = &now->channels[i];
		const struct snapshot_channel *was =
		        snapshot_channel_before(screen->before, channel);

		shown[i].channel = channel;
		shown[i].frames_per_s = was ? rate(was->frames, channel->frames, seconds) : 0;
		shown[i].bytes_per_s = was ? rate(was->bytes, channel->bytes, seconds) : 0;
	}
	qsort(shown, now->channel_count, sizeof(*shown), busiest_first);
	attron(A_REVERSE);
	mvprintw(first_row, 0, "%6s %-28s %-7s %-6s %9s %9s %6s/%-6s %8s  %s", "chan",
	         "query/motion src->dst", "state", "where", "frames/s", "bytes/s", "flight",
	         "window", "stalls", "reason");
	attroff(A_REVERSE);
	for (int i = 0; first_row + 1 + i < LINES; i++)
		if ((size_t)(i + screen->scroll) < now->channel_count)
			show_channel(first_row + 1 + i, &shown[i + screen->scroll]);
	free(shown);
}

static void show_processes(const struct screen *screen, int first_row)
{
	const struct snapshot *now = screen->now;

	attron(A_REVERSE);
	mvprintw(first_row, 0, "%5s %8s %6s %-32s %6s %6s %-8s %12s %12s %12s", "slot", "pid",
	         "uid", "name", "send", "recv", "state", "spins", "sleeps", "wakeups");
	attroff(A_REVERSE);
	for (int i = 0; first_row + 1 + i < LINES; i++) {
		const struct snapshot_process *process;

		if ((size_t)(i + screen->scroll) >= now->process_count)
			break;
		process = &now->processes[i + screen->scroll];
		mvprintw(first_row + 1 + i, 0,
		         "%5u %8u %6u %-32s %6u %6u %-8s %12" PRIu64 " %12" PRIu64 " %12" PRIu64,
		         process->slot, process->pid, process->uid, process->name, process->senders,
		         process->receivers, process->sleeping ? "sleeping" : "running",
		         process->spins, process->sleeps, process->wakeups_sent);
	}
}

static void show(const struct screen *screen)
{
	erase();
	show_head(screen);
	if (screen->view == VIEW_CHANNELS)
		show_channels(screen, 5);
	else
		show_processes(screen, 5);
	refresh();
}

/* Returns false when it is time to end. */
static bool handle_key(struct screen *screen, int key)
{
	switch (key) {
	case 'q':
	case 'Q':
		return false;
	case 'c':
		screen->view = VIEW_CHANNELS;
		screen->scroll = 0;
		break;
	case 'p':
		screen->view = VIEW_PROCESSES;
		screen->scroll = 0;
		break;
	case KEY_DOWN:
		screen->scroll++;
		break;
	case KEY_UP:
		screen->scroll -= screen->scroll > 0;
		break;
	default:
		break;
	}
	return true;
}

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number)
{
	interrupted = 1;
}

static int screen_loop(struct screen *screen, uint64_t interval_ns)
{
	bool go_on = true;

	while (go_on && !interrupted) {
		uint64_t now_ns = clock_now_ns();
		int key;

		if (!screen->now || now_ns - screen->now->time_ns >= interval_ns) {
			struct snapshot *snapshot;
			int result = snapshot_take(screen->observe->arena, now_ns, &snapshot);

			if (result < 0)
				return result;
			snapshot_free(screen->before);
			screen->before = screen->now;
			screen->now = snapshot;
		}
		show(screen);
		timeout((int)((interval_ns - (now_ns - screen->now->time_ns)) / SLU_NS_PER_MS) + 1);
		key = getch();
		if (key != ERR)
			go_on = handle_key(screen, key);
	}
	return 0;
}

int top_screen_run(const struct observe *observe, uint64_t interval_ns, char *error)
{
	struct screen screen = {.observe = observe};
	struct sigaction action = {.sa_handler = on_interrupt};
	int result;

	if (!isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO)) {
		snprintf(error, OBSERVE_ERROR_BYTES,
		         "not a terminal; --once prints once, --json for scripts");
		return -ENOTTY;
	}
	/* no SA_RESTART: it ends the wait for a key */
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	if (!initscr()) {
		snprintf(error, OBSERVE_ERROR_BYTES, "the terminal is not known to ncurses");
		return -ENOTTY;
	}
	cbreak();
	noecho();
	curs_set(0);
	keypad(stdscr, TRUE);
	result = screen_loop(&screen, interval_ns);
	endwin();
	snapshot_free(screen.before);
	snapshot_free(screen.now);
	if (result < 0)
		snprintf(error, OBSERVE_ERROR_BYTES, "%s", strerror(-result));
	return result;
}

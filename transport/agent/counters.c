/* SPDX-License-Identifier: Apache-2.0 */
/* counters.c - see counters.h. */
#include "transport/agent/counters.h"

static const struct counter_info infos[ARENA_COUNTERS] = {
        [ARENA_PROCESSES_ATTACHED] = {"processes_attached", "Processes attached", true},
        [ARENA_PROCESSES_TOTAL] = {"processes", "Processes that have attached", false},
        [ARENA_PROCESSES_KILLED] = {"processes_killed", "Processes that ended without detaching",
                                    false},
        [ARENA_CHANNELS_OPEN] = {"channels_open", "Channels open", true},
        [ARENA_CHANNELS_TOTAL] = {"channels", "Channels opened", false},
        [ARENA_CHANNELS_RESET] = {"channels_reset", "Channels reset by the agent", false},
        [ARENA_FRAMES_RECLAIMED] = {"frames_reclaimed", "Frames taken back from dead processes",
                                    false},
        [ARENA_CLIENTS_REFUSED] = {"clients_refused", "Connections refused", false},
        [ARENA_PEERS_UP] = {"peers_up", "Peers connected", true},
        [ARENA_PEERS_ENCRYPTED] = {"peers_encrypted", "Peers connected, data encrypted", true},
        [ARENA_PEERS_LOST] = {"peers_lost", "Peer connections lost", false},
        [ARENA_TX_FRAMES] = {"tx_frames", "Frames sent to peers", false},
        [ARENA_TX_BYTES] = {"tx_bytes", "Payload sent to peers", false},
        [ARENA_RX_FRAMES] = {"rx_frames", "Frames received from peers", false},
        [ARENA_RX_BYTES] = {"rx_bytes", "Payload received from peers", false},
        [ARENA_TX_RESENT_FRAMES] = {"tx_resent_frames", "Frames sent again", false},
        [ARENA_TX_COPIED_BYTES] = {"tx_copied_bytes", "Bytes copied on the way out", false},
        [ARENA_RX_COPIED_BYTES] = {"rx_copied_bytes", "Bytes copied on the way in", false},
        [ARENA_RX_DUPLICATE_FRAMES] = {"rx_duplicate_frames", "Frames received twice and dropped",
                                       false},
        [ARENA_CRC_ERRORS] = {"crc_errors", "Frames with a wrong check sum", false},
        [ARENA_SESSIONS_UP] = {"sessions_up", "Driver sessions up", true},
        [ARENA_SESSIONS_LOST] = {"sessions_lost", "Driver sessions lost", false},
        [ARENA_POLLER_LOOPS] = {"poller_loops", "Rounds of the first poller", false},
        [ARENA_POLLER_SLEEPS] = {"poller_sleeps", "Sleeps of the first poller", false},
};

const struct counter_info *counter_info(enum arena_counter counter)
{
	return &infos[counter];
}

/* SPDX-License-Identifier: Apache-2.0 */
/* engine_pair.c - see engine_pair.h. */
#include "tests/unit/engine_pair.h"

#include "tests/unit/unit.h"

struct hosts hosts;

void two_start(void)
{
	hosts_start(&hosts, &(struct hosts_config){.count = 2,
	                                           .receive_frames = 24,
	                                           .advertise_ns = 3600 * SLU_NS_PER_S});
}

void channel_open(struct chan_tx *tx, struct chan_rx *rx, uint32_t number)
{
	CU_ASSERT_EQUAL_FATAL(host_open(A, 0, 1, SLU_SEND, number, number), 0);
	CU_ASSERT_EQUAL_FATAL(host_open(B, 0, 0, SLU_RECV, number, number), 0);
	chan_tx_init(tx, &A->ports[HOST_PROCESS], 0);
	chan_rx_init(rx, &B->ports[HOST_PROCESS], 0, 0);
	hosts_settle(&hosts);
}

int reset_error(const struct host *host, uint32_t chan_idx)
{
	return chan_reset_error(arena_chan(host->arena, chan_idx));
}

const char *reset_text(const struct host *host, uint32_t chan_idx)
{
	return chan_reset_text(arena_chan(host->arena, chan_idx));
}

void traffic_flows(struct chan_tx *tx, struct chan_rx *rx, uint32_t count)
{
	uint32_t sent = 0, received = 0, number;
	int idle = 0;

	while (received < count && idle < 3) {
		idle++;
		while (sent < count && host_send(tx, sent))
			sent++;
		hosts_settle(&hosts);
		while (host_recv(rx, &number) == SLU_OK) {
			CU_ASSERT_EQUAL(number, received);
			received++;
			idle = 0;
		}
		hosts_settle(&hosts);
	}
	CU_ASSERT_EQUAL(received, count);
}

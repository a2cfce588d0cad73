/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stray.c - an RDMA client that was not invited: connects to the port of an
 * agent with no private data, with noise, with a request that is well formed but
 * shows a secret nobody granted, and with one of another version. Each must be
 * refused, none may come up.
 *
 *   vm-stray ADDRESS PORT
 */
#include "drivers/verbs/verbs_wire.h"
#include "transport/engine/engine_wire.h"

#include <arpa/inet.h>
#include <poll.h>
#include <rdma/rdma_cma.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REJECT_CONSUMER 28 /* IB specification, CM REJ reasons */

struct stray {
	struct rdma_event_channel *channel;
	struct rdma_cm_id *id;
	struct ibv_pd *pd;
};

/* The next event within 5 s must be that. Returns its status; -1: another. */
static int expect(struct stray *stray, enum rdma_cm_event_type type)
{
	struct pollfd ready = {.fd = stray->channel->fd, .events = POLLIN};
	struct rdma_cm_event *event;
	int status = -1;

	if (poll(&ready, 1, 5000) != 1 || rdma_get_cm_event(stray->channel, &event) != 0) {
		printf("stray: no answer within 5 s\n");
		return -1;
	}
	if (event->event == type)
		status = abs(event->status);
	else
		printf("stray: %s instead of %s\n", rdma_event_str(event->event),
		       rdma_event_str(type));
	rdma_ack_cm_event(event);
	return status;
}

static int knock(struct stray *stray, struct sockaddr *address, const void *data, uint8_t bytes)
{
	struct ibv_qp_init_attr qp = {
	        .qp_type = IBV_QPT_RC,
	        .cap = {.max_send_wr = 4, .max_recv_wr = 4, .max_send_sge = 1, .max_recv_sge = 1}};
	struct rdma_conn_param param = {.private_data = data, .private_data_len = bytes};
	int status;

	if (rdma_create_id(stray->channel, &stray->id, NULL, RDMA_PS_TCP) != 0 ||
	    rdma_resolve_addr(stray->id, NULL, address, 2000) != 0 ||
	    expect(stray, RDMA_CM_EVENT_ADDR_RESOLVED) != 0 ||
	    rdma_resolve_route(stray->id, 2000) != 0 ||
	    expect(stray, RDMA_CM_EVENT_ROUTE_RESOLVED) != 0 ||
	    rdma_create_qp(stray->id, NULL, &qp) != 0 || rdma_connect(stray->id, &param) != 0) {
		perror("stray");
		return -1;
	}
	status = expect(stray, RDMA_CM_EVENT_REJECTED);
	rdma_destroy_qp(stray->id);
	rdma_destroy_id(stray->id);
	return status;
}

static void request_make(struct verbs_wire_request *ret_request, uint16_t version)
{
	struct wire_hello hello = {.index = 1, .peer = 0};

	memset(hello.secret, 0x5a, sizeof(hello.secret));
	*ret_request = (struct verbs_wire_request){
	        .magic = htonl(VERBS_WIRE_MAGIC), .version = htons(version), .window = htons(32)};
	wire_hello_encode(ret_request->hello, &hello);
}

int main(int argc, char **argv)
{
	struct stray stray = {.channel = rdma_create_event_channel()};
	struct verbs_wire_request forged, newer;
	uint8_t noise[56];
	const struct {
		const char *what;
		const void *data;
		uint8_t bytes;
	} knocks[] = {
	        {"no private data", NULL, 0},
	        {"noise", noise, sizeof(noise)},
	        {"a short request", &forged, 20},
	        {"another version", &newer, sizeof(newer)},
	        {"a forged secret", &forged, sizeof(forged)},
	};
	struct sockaddr_in address = {.sin_family = AF_INET};
	int result = 0;

	if (argc != 3 || !stray.channel || inet_pton(AF_INET, argv[1], &address.sin_addr) != 1)
		return 2;
	address.sin_port = htons((uint16_t)atoi(argv[2]));
	memset(noise, 0xa5, sizeof(noise));
	request_make(&forged, VERBS_WIRE_VERSION);
	request_make(&newer, VERBS_WIRE_VERSION + 1);
	for (size_t i = 0; i < sizeof(knocks) / sizeof(*knocks); i++) {
		int status =
		        knock(&stray, (struct sockaddr *)&address, knocks[i].data, knocks[i].bytes);

		printf("stray with %s: %s (%d)\n", knocks[i].what,
		       status == REJECT_CONSUMER ? "refused" : "NOT REFUSED", status);
		if (status != REJECT_CONSUMER)
			result = 1;
	}
	rdma_destroy_event_channel(stray.channel);
	return result;
}

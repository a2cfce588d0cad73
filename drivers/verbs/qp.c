/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qp.c - the queue pair of a session. It lies in the device context of the rail
 * and not in that of the connection manager, which is why its states are changed
 * here, with what rdma_init_qp_attr() says was agreed on.
 */
#include <errno.h>
#include <limits.h>

#include "drivers/verbs/verbs.h"

/* The device sends again after 4.096 us << 16, a quarter of a second, and that 7
 * times: a path that is gone is known within about 2 s. The connection manager
 * would take 17 s for RoCE. */
#define ACK_TIMEOUT 16
#define ACK_RETRIES 7
/* Without end: a receiver that is not ready is alive, and its credit says when to
 * send. */
#define RNR_RETRIES 7

static int qp_modify(struct slu_session *session, enum ibv_qp_state state)
{
	struct ibv_qp_attr attr = {.qp_state = state};
	int mask;

	if (rdma_init_qp_attr(session->id, &attr, &mask) != 0)
		return -errno;
	if (state == IBV_QPS_RTR) {
		attr.max_dest_rd_atomic = 0;
	} else if (state == IBV_QPS_RTS) {
		attr.max_rd_atomic = 0;
		attr.timeout = ACK_TIMEOUT;
		attr.retry_cnt = ACK_RETRIES;
		attr.rnr_retry = RNR_RETRIES;
	}
	return -ibv_modify_qp(session->qp, &attr, mask);
}

int verbs_qp_create(struct slu_session *session)
{
	struct verbs_rail *rail = session->rail;
	struct ibv_qp_init_attr attr = {
	        .send_cq = rail->cq,
	        .recv_cq = rail->cq,
	        .srq = rail->srq,
	        .qp_type = IBV_QPT_RC,
	        .cap = {.max_send_sge = 1,
	                .max_inline_data = rail->inline_small ? SLU_DRIVER_SMALL_MAX : 0}};
	int r;

	if (rail->session_count >= rail->sessions_max)
		return -EMFILE;
	r = verbs_tx_init(session);
	if (r < 0)
		return r;
	attr.cap.max_send_wr = session->tx.mask + 1;
	session->qp = ibv_create_qp(rail->pd, &attr);
	if (!session->qp)
		return -errno;
	session->qp_num = session->qp->qp_num;
	HASH_ADD(hh, rail->by_qp_num, qp_num, sizeof session->qp_num, session);
	rail->session_count++;
	verbs_rx_refill(rail);
	return qp_modify(session, IBV_QPS_INIT);
}

int verbs_qp_connect(struct slu_session *session)
{
	int r = qp_modify(session, IBV_QPS_RTR);

	return r == 0 ? qp_modify(session, IBV_QPS_RTS) : r;
}

void verbs_qp_destroy(struct slu_session *session)
{
	struct ibv_qp_attr attr = {.qp_state = IBV_QPS_ERR};
	struct verbs_rail *rail = session->rail;

	if (!session->qp)
		return;
	/* The error state gives back what the queue pair holds. */
	ibv_modify_qp(session->qp, &attr, IBV_QP_STATE);
	verbs_completions(rail, INT_MAX);
	ibv_destroy_qp(session->qp);
	verbs_completions(rail, INT_MAX);
	HASH_DEL(rail->by_qp_num, session);
	rail->session_count--;
	session->qp = NULL;
	verbs_rx_queue_pair_gone(rail);
}

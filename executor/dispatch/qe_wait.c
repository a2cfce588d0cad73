/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qe_wait.c - waiting for QEs: on all their sockets and the latch at once; and the
 * end of what they do, by a cancel request that does not block on a slow host.
 */
#include <postgres.h>

#include <fcntl.h>
#include <libpq/pqcomm.h>
#include <miscadmin.h>
#include <poll.h>
#include <port/pg_bswap.h>
#include <storage/latch.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utils/memutils.h>
#include <utils/timestamp.h>
#include <utils/wait_event.h>

#include "executor/dispatch/qe.h"

static WaitEventSet *wait_set; /* latch, postmaster, then every open connection */
static bool *wait_writes;      /* [qe_count] the socket is also waited for to take bytes */

void qe_wait_changed(void)
{
	if (wait_set != NULL)
		FreeWaitEventSet(wait_set);
	wait_set = NULL;
}

void qe_wait_reset(void)
{
	qe_wait_changed();
	if (wait_writes != NULL)
		pfree(wait_writes);
	wait_writes = NULL;
}

static uint32 wait_events(const Qe *qe)
{
	return WL_SOCKET_READABLE | (qe->flushing ? WL_SOCKET_WRITEABLE : 0);
}

static void wait_set_make(void)
{
	if (wait_writes == NULL)
		wait_writes = MemoryContextAllocZero(TopMemoryContext, qe_count * sizeof(bool));
	wait_set = CreateWaitEventSet(TopMemoryContext, qe_count + 2);
	AddWaitEventToSet(wait_set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(wait_set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	for (int i = 0; i < qe_count; i++) {
		Qe *qe = &qe_array[i];

		if (qe->conn == NULL)
			continue;
		qe->wait_pos =
		        AddWaitEventToSet(wait_set, wait_events(qe), PQsocket(qe->conn), NULL, qe);
		wait_writes[i] = qe->flushing;
	}
}

void qe_wait(long timeout_ms)
{
	WaitEvent event;

	if (wait_set == NULL)
		wait_set_make();
	for (int i = 0; i < qe_count; i++) {
		Qe *qe = &qe_array[i];

		if (qe->conn == NULL || wait_writes[i] == qe->flushing)
			continue;
		ModifyWaitEvent(wait_set, qe->wait_pos, wait_events(qe), NULL);
		wait_writes[i] = qe->flushing;
	}
	if (WaitEventSetWait(wait_set, timeout_ms, &event, 1, PG_WAIT_EXTENSION) == 1 &&
	    event.events == WL_LATCH_SET)
		ResetLatch(MyLatch);
}

/* ---- cancel ---- */

/* A socket on its way to the postmaster of this QE, or -1. */
static int cancel_connect(const Qe *qe)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);
	int fd;

	if (getpeername(PQsocket(qe->conn), (struct sockaddr *)&address, &length) != 0)
		return -1;
	fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (connect(fd, (struct sockaddr *)&address, length) != 0 && errno != EINPROGRESS) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Moves a request on. True when it has ended: the server closes when it is done. */
static bool cancel_step(int fd, const Qe *qe, bool *sent)
{
	struct {
		uint32 length;
		CancelRequestPacket packet;
	} request = {
	        pg_hton32(sizeof(request)),
	        {pg_hton32(CANCEL_REQUEST_CODE), pg_hton32(qe->pid), pg_hton32(qe->cancel_key)}};
	char byte;

	if (!*sent) {
		if (send(fd, &request, sizeof(request), MSG_NOSIGNAL) != sizeof(request))
			return errno != EAGAIN && errno != ENOTCONN;
		*sent = true;
	}
	return recv(fd, &byte, 1, 0) >= 0 || (errno != EAGAIN && errno != EINTR);
}

/* Until all have ended, or the time is over. */
static void cancel_poll(struct pollfd *fds, Qe **qes, int count, int timeout_ms)
{
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), timeout_ms);
	bool *sent = calloc(count, sizeof(bool));
	int open = count;

	while (open > 0 && sent != NULL && GetCurrentTimestamp() < deadline) {
		open = 0;
		for (int i = 0; i < count; i++) {
			if (fds[i].fd < 0)
				continue;
			if (cancel_step(fds[i].fd, qes[i], &sent[i])) {
				close(fds[i].fd);
				fds[i].fd = -1;
				continue;
			}
			fds[i].events = sent[i] ? POLLIN : POLLOUT;
			open++;
		}
		if (open > 0)
			poll(fds, count, 100);
	}
	for (int i = 0; i < count; i++)
		if (fds[i].fd >= 0) {
			close(fds[i].fd);
			qes[i]->doomed = true; /* it may arrive later, and hit what runs then */
		}
	free(sent);
}

void qe_cancel(int timeout_ms)
{
	struct pollfd *fds = calloc(qe_count, sizeof(*fds));
	Qe **qes = calloc(qe_count, sizeof(*qes));
	int count = 0;

	for (int i = 0; fds != NULL && qes != NULL && i < qe_count; i++) {
		Qe *qe = &qe_array[i];

		if (qe->conn == NULL || !qe->stopping || qe->cancel_key == 0 ||
		    (qe->command_count == 0 && qe->copy == QE_COPY_NONE))
			continue;
		qes[count] = qe;
		fds[count].fd = cancel_connect(qe);
		if (fds[count].fd >= 0)
			count++;
	}
	if (count > 0)
		cancel_poll(fds, qes, count, timeout_ms);
	free(fds);
	free(qes);
}

void qe_drain(int timeout_ms)
{
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), timeout_ms);

	HOLD_INTERRUPTS();
	for (;;) {
		long left_ms = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline);
		int busy = 0;

		for (int i = 0; i < qe_count; i++) {
			qe_take(&qe_array[i]);
			if (qe_array[i].item_count == 0 || !qe_array[i].stopping)
				continue;
			if (left_ms <= 0)
				qe_close(&qe_array[i]);
			else
				busy++;
		}
		if (busy == 0)
			break;
		qe_wait(left_ms);
	}
	RESUME_INTERRUPTS();
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dtx.c - the transactions of the QEs follow that of the QD: begun with the first
 * command that goes there, with the savepoints that are open, in the same message.
 */
#include <postgres.h>

#include <access/xact.h>
#include <miscadmin.h>

#include "executor/catalog/node.h"
#include "executor/dispatch/commit.h"
#include "executor/dispatch/dtx.h"
#include "executor/dispatch/qe.h"

static uint64 statement_number = 1;

uint64 mpp_dtx_statement(void)
{
	return statement_number;
}

uint64 mpp_dtx_new_statement(void)
{
	return ++statement_number;
}

static void begin_push(Qe *qe, const char *format, int number)
{
	if (qe->begin_count == QE_BEGIN_MAX)
		if (!qe_send_begin(qe) || !qe_sync(qe))
			qe_throw_lost(qe);
	snprintf(qe->begin[qe->begin_count++], sizeof(qe->begin[0]), format, number);
}

/* A segment cannot tell whether transactions are serializable across the cluster;
 * like Greenplum, the most it gives is repeatable read. */
static void begin_transaction(Qe *qe)
{

	snprintf(qe->begin[qe->begin_count++], sizeof(qe->begin[0]),
	         "START TRANSACTION ISOLATION LEVEL %s, READ %s, %s",
	         IsolationUsesXactSnapshot() ? "REPEATABLE READ" : "READ COMMITTED",
	         XactReadOnly ? "ONLY" : "WRITE", XactDeferrable ? "DEFERRABLE" : "NOT DEFERRABLE");
	qe->level = 1;
}

void mpp_dtx_join(const Bitmapset *contents, bool writes)
{
	int content = -1;
	int level = GetCurrentTransactionNestLevel();

	mpp_gang_require(contents);
	if (writes)
		PreventCommandIfReadOnly("writing to a segment");
	while ((content = bms_next_member(contents, content)) >= 0) {
		Qe *qe = &qe_array[content];

		if (qe->level == 0)
			begin_transaction(qe);
		for (; qe->level < level; qe->level++)
			begin_push(qe, "SAVEPOINT s%d", qe->level + 1);
		qe->writes = qe->writes || writes;
	}
}

void mpp_dtx_join_single_read(int content)
{
	Bitmapset *contents = bms_make_singleton(content);

	if (IsTransactionBlock() || GetCurrentTransactionNestLevel() > 1 ||
	    (qe_count > content && qe_array[content].level > 0))
		mpp_dtx_join(contents, false);
	else
		mpp_gang_require(contents);
	bms_free(contents);
}

/* ---- savepoints ---- */

/* Drops what has not been sent yet from SAVEPOINT s<level> on. Whether it was found. */
static bool savepoint_unsent(Qe *qe, int level)
{
	char name[32];

	snprintf(name, sizeof(name), "SAVEPOINT s%d", level);
	for (int i = 0; i < qe->begin_count; i++)
		if (strcmp(qe->begin[i], name) == 0) {
			qe->begin_count = i;
			return true;
		}
	return false;
}

static void sub_commit(int level)
{
	for (int i = 0; i < qe_count; i++) {
		Qe *qe = &qe_array[i];

		if (qe->level < level)
			continue;
		/* Commands are sent together with what waits in begin: if the savepoint
		 * still waits there, nothing has happened in it. */
		if (!savepoint_unsent(qe, level))
			begin_push(qe, "RELEASE SAVEPOINT s%d", level);
		qe->level = level - 1;
	}
}

static void sub_abort(int level)
{
	char sql[80];

	commit_stop_commands(level);
	snprintf(sql, sizeof(sql), "ROLLBACK TO SAVEPOINT s%d", level);
	for (int i = 0; i < qe_count; i++) {
		Qe *qe = &qe_array[i];

		qe->settings = 0;
		if (qe->level < level)
			continue;
		qe->level = level - 1;
		if (savepoint_unsent(qe, level))
			continue;
		qe->begin_count = 0;
		if (qe_send(qe, QE_ITEM_INTERNAL, sql, 0, NULL, NULL, NULL))
			qe_sync(qe);
		snprintf(qe->begin[qe->begin_count++], sizeof(qe->begin[0]),
		         "RELEASE SAVEPOINT s%d", level);
	}
}

static void on_subtransaction(SubXactEvent event, SubTransactionId id, SubTransactionId parent,
                              void *arg)
{
	if (qe_count == 0)
		return;
	if (event == SUBXACT_EVENT_PRE_COMMIT_SUB)
		sub_commit(GetCurrentTransactionNestLevel());
	else if (event == SUBXACT_EVENT_ABORT_SUB)
		sub_abort(GetCurrentTransactionNestLevel());
}

void dtx_init(void)
{
	RegisterSubXactCallback(on_subtransaction, NULL);
}

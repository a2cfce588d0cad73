/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dtx.h - distributed transactions. A transaction of the QD is, on each segment
 * it has reached, a transaction of that QE; it commits everywhere or nowhere:
 * in one phase when one node alone wrote, else by PREPARE TRANSACTION on each
 * writer, the commit of the coordinator, in which the decision is recorded, and
 * COMMIT PREPARED. A background worker of the coordinator finishes what a crash
 * left. Savepoints of the QD are savepoints of the QEs.
 */
#ifndef EXECUTOR_DISPATCH_DTX_H
#define EXECUTOR_DISPATCH_DTX_H

#include <postgres.h>

#include <nodes/bitmapset.h>

/* Must be called before a command is sent to these segments: requires the gang
 * (gang.h) and begins the transaction there, with its isolation level and access
 * mode and the open savepoints. writes: what is sent changes data there. */
extern void mpp_dtx_join(const Bitmapset *contents, bool writes);

/* For a command that is the whole transaction and reads on one segment: no
 * BEGIN there when the QD is not in a transaction block. */
extern void mpp_dtx_join_single_read(int content);

/* Number of the statement within the session; the same for all that one
 * statement of the client sends. QEs use one snapshot per number. The executor
 * takes a new number where a statement takes its snapshot on the QD. */
extern uint64 mpp_dtx_statement(void);
extern uint64 mpp_dtx_new_statement(void);

/* Number of this QD session, of 32 bits. No other session that could still be
 * known to a segment has it. */
extern uint64 mpp_dtx_session(void);

#endif

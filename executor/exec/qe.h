/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qe.h - executing a slice that came in a message.
 */
#ifndef EXECUTOR_EXEC_QE_H
#define EXECUTOR_EXEC_QE_H

#include <postgres.h>

#include "executor/exec/wire.h"

/* In the active snapshot. Appends the report. In an error, the processes at the other
 * ends of its motions are told. */
extern void mpp_qe_run_slice(MppMessage *message, MppSliceText *slice, StringInfo report);

#endif

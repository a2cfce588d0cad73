/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sender.h - the top of a slice: a DestReceiver that forms each row in the frame
 * in which it travels.
 */
#ifndef EXECUTOR_EXEC_SENDER_H
#define EXECUTOR_EXEC_SENDER_H

#include <postgres.h>

#include <nodes/execnodes.h>
#include <sluice/motion.h>
#include <tcop/dest.h>

#include "executor/exec/run.h"

typedef struct MppSender MppSender;

/* Opens the sending side of the Motion; row_type is of the slice's top. In the
 * current memory context, which must last as long as the run. */
extern MppSender *mpp_sender_create(MppRun *run, const CustomScan *motion);
extern DestReceiver *mpp_sender_dest(MppSender *sender);

/* After ExecutorStart(): hash keys may refer to its parameters. */
extern void mpp_sender_set_estate(MppSender *sender, EState *estate);

/* No more rows. */
extern void mpp_sender_finish(MppSender *sender);

extern const slu_motion_sender *mpp_sender_motion(const MppSender *sender);
extern int mpp_sender_number(const MppSender *sender); /* of the motion */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shared.h - memory that the coordinator's processes share, private to dispatch/.
 */
#ifndef EXECUTOR_DISPATCH_SHARED_H
#define EXECUTOR_DISPATCH_SHARED_H

#include <postgres.h>

extern void shared_init(void);

/* The recovery launcher: from now on kicks wake this process. */
extern void shared_launcher_started(void);
/* How often it was kicked since the start of the server. */
extern uint32 shared_kicks(void);

/* A transaction was left prepared. Throws nothing. */
extern void shared_kick(void);

#endif

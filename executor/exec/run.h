/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run.h - the channels of one dispatch in one process: QD, QE or reader. All
 * calls of motion.h that may wait go through here: a wait takes interrupts and,
 * in the QD, what segments say by libpq.
 */
#ifndef EXECUTOR_EXEC_RUN_H
#define EXECUTOR_EXEC_RUN_H

#include <postgres.h>

#include <lib/ilist.h>
#include <nodes/bitmapset.h>
#include <sluice/motion.h>

#include "executor/exec/motion_plan.h"
#include "executor/exec/wire.h"

/* Of one segment, as its function returned it. */
typedef struct MppRunReport {
	struct MppRunReport *next;
	int content;
	char text[FLEXIBLE_ARRAY_MEMBER];
} MppRunReport;

typedef struct MppRun {
	dlist_node live;
	SubTransactionId subid; /* that ends it, if it has not ended before */
	MemoryContext memory;   /* of all below; deleted with it */
	MppDispatch dispatch;
	int content; /* of this process */
	slu_motion_context *context;

	/* QD */
	Bitmapset *contents; /* segments that were sent slices */
	int foreign_fd;      /* epoll of their sockets; -1: none */
	uint64 processed;    /* rows that slices have written */
	MppRunReport *reports;
	Bitmapset *inbound; /* Motions to the slice of the coordinator being started */
	/* An abort ends the run, not its owner: a cursor that was first read in a savepoint.
	 * NULL: nobody is to know. */
	void (*on_lost)(void *owner);
	void *owner;
} MppRun;

/* The run whose slice is being started: Motions of the plan belong to it. */
extern MppRun *mpp_run_starting;

/* Copies dispatch. The caller sets what is of the QD. Attaches this process to
 * the agent of its host when it is not. */
extern MppRun *mpp_run_create(const MppDispatch *dispatch, int content);

/* Closes its motions and frees it: receivers that have not had all stop their
 * senders; senders that have sent no EOS reset their receivers. */
extern void mpp_run_close(MppRun *run);

/* Tell the other processes why this one ends, before close. */
extern void mpp_run_fail(MppRun *run, const ErrorData *error);

extern slu_motion_receiver *mpp_run_open_receiver(MppRun *run, const MppMotion *motion,
                                                  slu_motion_compare compare, void *ctx);
extern slu_motion_sender *mpp_run_open_sender(MppRun *run, const MppMotion *motion);

/* A call of motion.h has returned r, neither a row, EOS nor STOPPED. Returns when it
 * should be repeated: it will wait then, for a while. ERROR: what r or a segment said. */
extern void mpp_run_wait(MppRun *run, int r);

/* Take in what has arrived for all runs of this process; never blocks. ctx unused. */
extern void mpp_run_drain_all(void *ctx);

/* ---- by mpp_exec_init() ---- */
extern void mpp_run_init(void);

#endif

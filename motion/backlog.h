/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backlog.h - frames that were taken in while their process waited for something
 * else, in their order, per sender: in memory while all backlogs of a context
 * together fit its limit, else in its temporary file.
 */
#ifndef MOTION_BACKLOG_H
#define MOTION_BACKLOG_H

#include "motion/spill.h"

#include <sluice/motion.h>
#include <sys/queue.h>

/* What all backlogs of a context share. */
struct backlog_store {
	uint64_t memory_bytes_max;
	struct spill spill;
	struct slu_motion_context_stats stats;
};

struct backlog_frame {
	STAILQ_ENTRY(backlog_frame) entry;
	uint64_t block; /* of the temporary file; BACKLOG_IN_MEMORY */
	uint32_t size_bytes;
	uint16_t tag;
	_Alignas(8) uint8_t data[]; /* in memory only */
};
#define BACKLOG_IN_MEMORY UINT64_MAX

struct backlog {
	STAILQ_HEAD(, backlog_frame) frames;
	uint64_t drained_frames;
	uint64_t spilled_bytes;
};

void backlog_init(struct backlog *backlog);
/* Give everything back. */
void backlog_clear(struct backlog *backlog, struct backlog_store *store);
bool backlog_empty(const struct backlog *backlog);

/* Copy a frame to the end. -ENOMEM; as spill_write(). */
int backlog_push(struct backlog *backlog, struct backlog_store *store,
                 const struct slu_frame *frame);

/* Take the first one off; it is in memory now, and returned owned: end it with
 * backlog_frame_free(). Must not be empty. -ENOMEM; as spill_read(). */
int backlog_pop(struct backlog *backlog, struct backlog_store *store,
                struct backlog_frame **ret_frame);
/* Takes frame; NULL is allowed. */
void backlog_frame_free(struct backlog_frame *frame, struct backlog_store *store);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spill.h - a temporary file of equal blocks, one frame each. It has no name, so
 * that nothing stays behind whatever happens to the process; its blocks are used
 * again before it grows. It is made with the first block.
 */
#ifndef MOTION_SPILL_H
#define MOTION_SPILL_H

#include <stddef.h>
#include <stdint.h>

struct spill {
	const char *directory; /* owned */
	size_t block_bytes;
	uint64_t bytes_max;
	int fd;               /* -1: not made yet */
	uint64_t block_count; /* of the file */
	uint64_t *free;       /* owned; blocks that hold nothing */
	size_t free_count;
	size_t free_room;
};

/* directory is copied; NULL: $TMPDIR, else /tmp. bytes_max 0: no limit. -ENOMEM */
int spill_init(struct spill *spill, const char *directory, size_t block_bytes, uint64_t bytes_max);
void spill_fini(struct spill *spill);

/* Write at most block_bytes to a block, which *ret_block names until spill_free().
 * -EDQUOT: bytes_max; -ENOMEM; else as open(2) and pwrite(2). */
int spill_write(struct spill *spill, const void *data, size_t size_bytes, uint64_t *ret_block);
/* -EIO when the file is not as it was written; else as pread(2). */
int spill_read(struct spill *spill, uint64_t block, void *data, size_t size_bytes);
void spill_free(struct spill *spill, uint64_t block);

uint64_t spill_file_bytes(const struct spill *spill);

#endif

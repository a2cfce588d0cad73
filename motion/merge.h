/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merge.h - a k-way merge: a binary heap of inputs by their current row. Equal
 * rows come in the order of their inputs, so that the result depends on the
 * input alone.
 */
#ifndef MOTION_MERGE_H
#define MOTION_MERGE_H

#include <sluice/motion.h>

struct merge_input {
	const void *row;
	uint32_t input;
};

struct merge {
	slu_motion_compare compare;
	void *ctx;
	uint32_t count;
	struct merge_input *heap; /* [inputs]; owned */
};

int merge_init(struct merge *merge, uint32_t input_count, slu_motion_compare compare,
               void *ctx); /* -ENOMEM */
void merge_fini(struct merge *merge);

/* An input that is not in the heap has this row now. */
void merge_push(struct merge *merge, uint32_t input, const void *row);
/* The input with the least row; count must not be 0. */
const struct merge_input *merge_top(const struct merge *merge);
/* The top input's next row; NULL: it has none and leaves. */
void merge_replace_top(struct merge *merge, const void *row);

#endif

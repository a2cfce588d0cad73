/* SPDX-License-Identifier: Apache-2.0 */
/* merge.c - see merge.h. Knuth, The Art of Computer Programming 3, 5.4.1 and 5.2.3. */
#include "motion/merge.h"

#include <errno.h>
#include <stdlib.h>

int merge_init(struct merge *merge, uint32_t input_count, slu_motion_compare compare, void *ctx)
{
	*merge = (struct merge){.compare = compare, .ctx = ctx};
	merge->heap = calloc(input_count, sizeof(*merge->heap));
	return merge->heap ? 0 : -ENOMEM;
}

void merge_fini(struct merge *merge)
{
	free(merge->heap);
	merge->heap = NULL;
}

static bool before(const struct merge *merge, const struct merge_input *left,
                   const struct merge_input *right)
{
	int order = merge->compare(left->row, right->row, merge->ctx);

	return order < 0 || (order == 0 && left->input < right->input);
}

void merge_push(struct merge *merge, uint32_t input, const void *row)
{
	struct merge_input added = {.row = row, .input = input};
	uint32_t hole = merge->count++;

	while (hole > 0 && before(merge, &added, &merge->heap[(hole - 1) / 2])) {
		merge->heap[hole] = merge->heap[(hole - 1) / 2];
		hole = (hole - 1) / 2;
	}
	merge->heap[hole] = added;
}

const struct merge_input *merge_top(const struct merge *merge)
{
	return &merge->heap[0];
}

static void sift_down(struct merge *merge, struct merge_input sinking)
{
	uint32_t hole = 0;

	for (;;) {
		uint32_t child = 2 * hole + 1;

		if (child >= merge->count)
			break;
		if (child + 1 < merge->count &&
		    before(merge, &merge->heap[child + 1], &merge->heap[child]))
			child++;
		if (!before(merge, &merge->heap[child], &sinking))
			break;
		merge->heap[hole] = merge->heap[child];
		hole = child;
	}
	merge->heap[hole] = sinking;
}

void merge_replace_top(struct merge *merge, const void *row)
{
	struct merge_input sinking = merge->heap[0];

	if (row)
		sinking.row = row;
	else if (--merge->count == 0)
		return;
	else
		sinking = merge->heap[merge->count];
	sift_down(merge, sinking);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * receive_budget.c - see receive_budget.h.
 */
#include "transport/engine/receive_budget.h"

#include <assert.h>

/* A channel begins with this many frames while at least half are unpromised. */
#define RECEIVE_WINDOW_INITIAL 4u

static uint32_t receive_budget_usable(const struct receive_budget *budget)
{
	return budget->frames > budget->reserved ? budget->frames - budget->reserved : 0;
}

static uint32_t receive_budget_free(const struct receive_budget *budget)
{
	uint32_t usable = receive_budget_usable(budget);

	return usable > budget->promised ? usable - budget->promised : 0;
}

static void receive_budget_charge(struct receive_budget *budget, struct receive_share *share,
                                  uint32_t charge)
{
	assert(budget->promised >= share->charge);
	budget->promised += charge - share->charge;
	share->charge = charge;
}

void receive_budget_init(struct receive_budget *budget, uint32_t frames)
{
	*budget = (struct receive_budget){.frames = frames};
}

void receive_budget_reserve(struct receive_budget *budget, uint32_t reserved)
{
	budget->reserved = reserved;
}

bool receive_budget_admit(struct receive_budget *budget, struct receive_share *share,
                          uint32_t window_max)
{
	uint32_t free_frames = receive_budget_free(budget);

	if (free_frames < 1)
		return false;
	*share = (struct receive_share){.window = 1};
	if (free_frames > receive_budget_usable(budget) / 2 && free_frames > RECEIVE_WINDOW_INITIAL)
		share->window = RECEIVE_WINDOW_INITIAL;
	if (share->window > window_max)
		share->window = window_max;
	receive_budget_charge(budget, share, share->window);
	budget->channels++;
	return true;
}

void receive_budget_leave(struct receive_budget *budget, struct receive_share *share)
{
	receive_budget_charge(budget, share, 0);
	share->window = 0;
	budget->channels--;
}

/* How many frames more growth may promise: half of what is left above the
 * quarter that is kept for channels yet to come. */
static uint32_t receive_budget_growth(const struct receive_budget *budget)
{
	uint32_t free_frames = receive_budget_free(budget);
	uint32_t kept = receive_budget_usable(budget) / 4;

	return free_frames > kept ? (free_frames - kept + 1) / 2 : 0;
}

static uint32_t receive_budget_window(const struct receive_budget *budget,
                                      const struct receive_share *share, uint32_t window_max,
                                      bool wants_more)
{
	uint32_t usable = receive_budget_usable(budget);
	uint32_t window = share->window;

	if (wants_more) {
		uint32_t growth = receive_budget_growth(budget);

		window += growth < window ? growth : window;
		if (window > window_max)
			window = window_max;
	}
	if (receive_budget_free(budget) < usable / 8) {
		uint32_t fair = usable / 2 / budget->channels;

		if (window > fair)
			window = fair;
	}
	return window ? window : 1;
}

uint64_t receive_budget_settle(struct receive_budget *budget, struct receive_share *share,
                               uint64_t released_pos, uint64_t limit_pos, uint64_t limit_cap,
                               uint32_t window_max, bool wants_more)
{
	uint64_t limit;
	uint64_t told;

	/* What was given back is free before the window is looked at. */
	told = limit_pos - released_pos;
	receive_budget_charge(budget, share, told > share->window ? (uint32_t)told : share->window);
	share->window = receive_budget_window(budget, share, window_max, wants_more);
	limit = released_pos + share->window;
	if (limit > limit_cap)
		limit = limit_cap;
	if (limit < limit_pos)
		limit = limit_pos;
	told = limit - released_pos;
	receive_budget_charge(budget, share, told > share->window ? (uint32_t)told : share->window);
	return limit;
}

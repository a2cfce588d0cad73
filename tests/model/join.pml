/* SPDX-License-Identifier: Apache-2.0 */
/*
 * join.pml - the moment at which two ends find each other (agent/entries.c,
 * entry_publish_slots): an end may write before the other has a slot, and then
 * has nobody to ring. The agent writes the slot and rings both ends, so that each
 * looks again. Store buffers as on x86.
 *
 * Shown: the early end's changes are seen. It must fence between its change and
 * its look at the other's slot: else it may see no slot yet while its change is
 * still on the way, and the other end, rung by the agent, sees no change yet.
 *
 * The early end here is a sender that publishes; a receiver that stops or resets
 * is the same with names exchanged.
 *
 * Bound: CHANGES changes; one is made before, while or after the agent joins, a
 * second meets the first in each of these.
 */
#ifndef CHANGES
#define CHANGES 2
#endif

byte changes; /* in memory */
bit slot_known, ready;
chan stores = [2] of { byte };

active proctype early_end()
{
	byte n;
	bit known;

	do
	:: n < CHANGES ->
		n++;
		stores!n;
#ifdef SLOT_BEFORE_FENCE
		known = slot_known;
		empty(stores);
#else
		empty(stores);
		known = slot_known;
#endif
		if
		:: known -> ready = 1
		:: else
		fi;
		known = 0
	:: else -> break
	od
}

active proctype drain()
{
	byte n;
end_drain:
	do
	:: atomic { stores?n -> changes = n; n = 0 }
	od
}

active proctype agent()
{
	slot_known = 1;
#ifndef AGENT_DOES_NOT_RING
	ready = 1
#endif
}

active proctype late_end()
{
	do
	:: changes == CHANGES -> break
	:: else -> atomic { ready; ready = 0 }
	od
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ring.pml - one local channel (transport/channel.c): a sender and a receiver
 * over a ring of self-validating slots, credit by an absolute limit, EOS, STOP,
 * a home frame and shared frames that another channel may take and keep. Both
 * processes have a store buffer as on x86 (README.md), or none (INTERLEAVED) to
 * afford a wider ring.
 *
 * Shown: frames arrive in order, exactly once and unharmed, nobody waits for
 * ever, and at the end every frame is back.
 *
 * What the code decides by measurement is left open here, so the result holds
 * for every choice: the window after each release is any of 1, 2 and RING,
 * the receiver publishes credit earlier than it must or not, the sender asks to
 * be woken one or two frames of credit away. The receiver holds any number of
 * frames, gives them back in any order, also after it was told "empty" and before
 * it waits; with STOP it stops at any time or never, and closes at once or not.
 *
 * That a notification reaches a sleeper is shown in wake.pml; here it is a bit.
 *
 * Bound: FRAMES frames. RING + 2 of them fill the ring, use a slot a second
 * time, and leave one more stall at every position of the limit to the ring; the
 * protocol knows only differences of positions, so further laps are the same.
 */
#ifndef RING
#define RING 2
#endif
#ifndef FRAMES
#define FRAMES (RING + 2)
#endif

/* Frame 0 is the home frame, the others are shared. */
#define HOME_FRAME  0
#define FRAME_COUNT RING
#define NO_FRAME    7

/* owner words */
#define FREE          0 /* a shared frame in the pool, the home frame at home */
#define HELD_SENDER   1
#define QUEUED        2
#define HELD_RECEIVER 3
#define HELD_OTHER    4

/* Memory by address: the ring, the fields of chan_shm, the owner words. */
#define EOS_POS   RING
#define TX_WAKE   (RING + 1)
#define TX_WAIT   (RING + 2)
#define LIMIT_POS (RING + 3)
#define STOPPED   (RING + 4)
#define OWNER(f)  (RING + 5 + (f))
byte memory[RING + 5 + FRAME_COUNT];

#define SLOT(pos, f)     (((pos) + 1) * 4 + (f))
#define SLOT_POS(entry)  ((entry) >> 2)
#define SLOT_FRAME(entry) ((entry) & 3)

/* Plain stores on their way to memory; between fences there are never more. */
#ifdef INTERLEAVED
#define sender_store(address, value) memory[address] = value
#define receiver_store(address, value) memory[address] = value
#define sender_drained true
#define receiver_drained true
#else
chan sender_stores = [4] of { byte, byte };
chan receiver_stores = [4] of { byte, byte };
#define sender_store(address, value) sender_stores!address, value
#define receiver_store(address, value) receiver_stores!address, value
#define sender_drained empty(sender_stores)
#define receiver_drained empty(receiver_stores)

proctype drain_sender()
{
	byte address, value;
end_drain:
	do
	:: atomic { sender_stores?address, value -> memory[address] = value; address = 0; value = 0 }
	od
}

proctype drain_receiver()
{
	byte address, value;
end_drain:
	do
	:: atomic { receiver_stores?address, value -> memory[address] = value; address = 0; value = 0 }
	od
}
#endif

#ifdef NO_FENCE_SENDER
#define sender_fence true
#else
#define sender_fence sender_drained
#endif
#ifdef NO_FENCE_RECEIVER
#define receiver_fence true
#else
#define receiver_fence receiver_drained
#endif

bit ready_sender, ready_receiver; /* bits of the ready sets */

/* What the model is asked about; the code has none of it. */
byte content[FRAME_COUNT]; /* the position that the frame was filled for */
byte sent, taken, given_back;
bit sender_done, receiver_done, receiver_left;

/* The other channels take the last shared frame at some time or never, and give
 * it back or never. */
proctype others()
{
end_others:
	atomic { memory[OWNER(FRAME_COUNT - 1)] == FREE -> memory[OWNER(FRAME_COUNT - 1)] = HELD_OTHER };
	if
	:: memory[OWNER(FRAME_COUNT - 1)] = FREE
	:: true
	fi
}

/* frame_pool_take, then frame_pool_take_home: compare and swap. */
inline take_frame()
{
	atomic {
		sender_drained;
		if
		:: FRAME_COUNT > 1 && memory[OWNER(1)] == FREE -> frame = 1
		:: FRAME_COUNT > 2 && memory[OWNER(2 % FRAME_COUNT)] == FREE -> frame = 2
		:: FRAME_COUNT > 3 && memory[OWNER(3 % FRAME_COUNT)] == FREE -> frame = 3
		:: else
		fi;
		if
		:: frame != NO_FRAME -> memory[OWNER(frame)] = HELD_SENDER
		:: else
		fi
	}
#ifndef NO_HOME_FRAME
	if
	:: frame == NO_FRAME ->
		atomic {
			if
			:: memory[OWNER(HOME_FRAME)] == FREE ->
				memory[OWNER(HOME_FRAME)] = HELD_SENDER;
				frame = HOME_FRAME
			:: else
			fi
		}
	:: else
	fi
#endif
}

/* tx_has_credit() */
inline look_limit()
{
	if
	:: pos >= limit -> limit = memory[LIMIT_POS]
	:: else
	fi
}

/* tx_wait_begin() */
inline wait_begin()
{
	look_limit();
	if
	:: pos < limit -> sender_store(TX_WAKE, 0)
	:: else ->
		if
		:: sender_store(TX_WAKE, pos + 1)
		:: sender_store(TX_WAKE, pos + 2)
		fi
	fi;
	sender_store(TX_WAIT, 1);
	waiting = 1;
	sender_fence;
	look_limit();
	if
	:: pos < limit -> take_frame()
	:: else
	fi
}

/* chan_tx_publish() */
inline publish()
{
	atomic {
		assert(taken + RING > pos); /* what was in the slot has been taken */
		assert(sent - given_back < RING);
		content[frame] = pos;
		sent = pos + 1;
		sender_store(OWNER(frame), QUEUED)
	}
	sender_store(pos % RING, SLOT(pos, frame));
	atomic { sender_drained; ready_receiver = 1; pos++; frame = NO_FRAME }
}

proctype sender()
{
	byte pos, limit, frame = NO_FRAME;
	bit waiting;

	do
	:: memory[STOPPED] || pos == FRAMES -> break
	:: else ->
		look_limit();
		if
		:: pos < limit -> take_frame()
		:: else
		fi;
		if
		:: frame == NO_FRAME -> wait_begin()
		:: else
		fi;
		if
		:: frame == NO_FRAME ->
			if
			:: memory[STOPPED] -> break
			:: else
			fi;
			/* sleeps here */
			atomic { ready_sender && sender_drained; ready_sender = 0 }
		:: else ->
			if
			:: waiting ->
				sender_store(TX_WAKE, 0);
				sender_store(TX_WAIT, 0);
				waiting = 0
			:: else
			fi;
			publish()
		fi
	od;
	/* chan_tx_eos() */
#ifdef EOS_IS_A_FLAG
	sender_store(EOS_POS, 1);
#else
	sender_store(EOS_POS, pos + 1);
#endif
	atomic { sender_drained; ready_receiver = 1; sender_done = 1; pos = 0; limit = 0; waiting = 0 }
}

#define filled (SLOT_POS(memory[pos % RING]) == pos + 1)

inline notify_sender()
{
	atomic { receiver_drained; ready_sender = 1 }
}

/* rx_publish_limit(); any: the sender is woken at whatever limit */
inline publish_limit(any)
{
	atomic {
		if
		:: given_back + window > limit -> limit = given_back + window
		:: else
		fi;
		receiver_store(LIMIT_POS, limit)
	}
	receiver_fence;
	if
	:: memory[TX_WAIT] && (any || limit >= memory[TX_WAKE]) -> notify_sender()
	:: else
	fi
}

/* rx_before_empty() */
inline before_empty()
{
#ifdef NO_WAKE_BEFORE_EMPTY
	skip
#else
	if
	:: given_back + window > limit -> publish_limit(1)
	:: limit > pos -> /* may leave for later what it need not say now */
		if
		:: memory[TX_WAIT] && memory[TX_WAKE] > limit -> notify_sender()
		:: else
		fi
	:: given_back + window <= limit && limit <= pos
	fi
#endif
}

/* chan_rx_release() */
inline release()
{
#ifdef LIMIT_BEFORE_FRAME
	given_back++;
	publish_limit(1);
	receiver_store(OWNER(frame), FREE)
#else
	atomic {
		if
		:: frame == HOME_FRAME -> receiver_store(OWNER(HOME_FRAME), FREE)
		:: else -> receiver_drained; memory[OWNER(frame)] = FREE
		fi;
		given_back++;
		/* window_adapt() */
		if
		:: window = 1
		:: window = RING
		:: RING > 2 -> window = 2
		fi
	}
#ifdef RELEASE_FORGETS_EMPTY
	if
	:: frame == HOME_FRAME -> publish_limit(0)
	:: frame != HOME_FRAME -> publish_limit(0)
	:: frame != HOME_FRAME
	fi
#else
	if
	:: frame == HOME_FRAME || told_empty -> publish_limit(1)
	:: frame != HOME_FRAME && !told_empty -> publish_limit(0)
	:: frame != HOME_FRAME && !told_empty
	fi
#endif
#endif
	frame = NO_FRAME
}

#ifdef IN_ORDER
#define may_release(f) ((held & (1 << f)) && held_pos[f % FRAME_COUNT] == given_back)
#else
#define may_release(f) (held & (1 << f))
#endif

proctype receiver()
{
	byte pos, limit = RING, window = RING, eos, entry, held, frame = NO_FRAME;
	byte held_pos[FRAME_COUNT];
	bit told_empty, may_look = 1, ended, stopped;

	do
	:: !ended && (may_look || ready_receiver) ->
		/* readyset_take(), then chan_rx_next() */
		atomic { receiver_drained; ready_receiver = 0 }
		if
		:: filled -> entry = memory[pos % RING]
		:: else ->
			eos = memory[EOS_POS];
#ifndef EOS_IS_A_FLAG
			if
			:: filled -> entry = memory[pos % RING]
			:: else
			fi
#endif
		fi;
		if
		:: entry -> atomic {
				entry = SLOT_FRAME(entry);
				assert(memory[OWNER(entry)] == QUEUED);
				assert(content[entry] == pos);
				held = held | (1 << entry);
				held_pos[entry] = pos;
				taken++;
				receiver_store(OWNER(entry), HELD_RECEIVER);
				pos++;
				entry = 0;
				eos = 0;
				told_empty = 0;
				may_look = 1
			}
		:: else ->
#ifdef EOS_IS_A_FLAG
			if
			:: eos -> ended = 1
#else
			if
			:: eos && pos + 1 >= eos -> ended = 1
#endif
			:: else ->
				before_empty();
				atomic { told_empty = 1; may_look = 0 }
			fi
		fi
	:: held -> atomic {
			if
			:: may_release(0) -> frame = 0
			:: may_release(1) -> frame = 1
			:: may_release(2) -> frame = 2
			:: may_release(3) -> frame = 3
			fi;
			/* and then it waits, or looks again first */
			if
			:: may_look = 1
#ifndef IN_ORDER
			:: true
#endif
			fi;
			assert(content[frame] == held_pos[frame]);
			held = held & ~(1 << frame)
		}
		release()
#ifdef STOP
	:: !stopped && !ended ->
		stopped = 1;
		receiver_store(STOPPED, 1);
		notify_sender();
		if
		:: receiver_left = 1; break
		:: true
		fi
#endif
	:: ended && !held -> break
	od;
	/* One that leaves holding frames: close and the agent see to it, frames.pml. */
	atomic { receiver_drained; receiver_done = 1 }
}

init
{
	atomic {
		memory[LIMIT_POS] = RING; /* the agent's, for a sender that comes first */
#ifndef INTERLEAVED
		run drain_sender();
		run drain_receiver();
#endif
#ifndef ALONE
		run others();
#endif
		run sender();
		run receiver()
	}
	atomic {
		sender_done && receiver_done;
		assert(receiver_left || (sent == taken && taken == given_back));
		assert(receiver_left || memory[OWNER(HOME_FRAME)] == FREE)
	}
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frames.pml - who owns a frame (transport/frame_pool.c): a sender and a receiver
 * process take frames (own cache, bitmap, the other's cache, home frame), give
 * them back, and hand them over through a ring, while either may be killed
 * between any two accesses to shared memory. The agent reclaims what a dead
 * process had, while the other one goes on, and the channel when both have ended.
 *
 * Shown: no two processes ever believe that they hold the same frame; a taken
 * frame is never taken again; at the end every frame is free and can be found,
 * in the bitmap, in a cache, or at home.
 *
 * Bound: one home and two shared frames, caches of one entry, OPS takes per
 * process, a ring of two slots. Two shared frames make bit, cache entry and owner
 * of one disagree with those of the other in every way; the frame words know no
 * counts, so more takes only repeat this.
 */
#ifndef OPS
#define OPS 3
#endif

#define HOME_FRAME 0
#define FRAMES     3
#define NONE       3

#define FREE        0
#define HOME        1
#define QUEUED      2
#define HELD(p)     (4 + (p))
#define CACHED(p)   (8 + (p))

#define SENDER   0
#define RECEIVER 1

byte owner[FRAMES] = { HOME, FREE, FREE };
byte bitmap = 6; /* bit f: shared frame f may be free */
byte cache[2];   /* frame + 1; 0: empty */
byte slot[2];    /* (pos + 1) * 4 + frame */

byte holder[FRAMES]; /* bit p: process p believes that it holds the frame */
bit killed[2], dead[2], finished[2], reclaimed[2];

inline believe(p, frame)
{
	assert(holder[frame] == 0);
	holder[frame] = 1 << p
}

/* Compare and swap of an owner word; got says whether it was done. */
inline owner_change(p, frame, from, to)
{
	atomic {
		if
#ifdef PLAIN_TAKE
		:: true -> owner[frame] = to; believe(p, frame); got = frame
#else
		:: owner[frame] == from -> owner[frame] = to; believe(p, frame); got = frame
		:: else
#endif
		fi
	}
}

inline cache_take(p, from)
{
#ifdef PLAIN_TAKE
	entry = cache[from];
	cache[from] = 0;
#else
	atomic { entry = cache[from]; cache[from] = 0 }
#endif
	if
	:: entry -> owner_change(p, entry - 1, CACHED(from), HELD(p))
	:: else
	fi;
	entry = 0
}

inline region_take_frame(p, frame)
{
	if
	:: got == NONE && (bitmap & (1 << frame)) ->
		atomic { entry = bitmap & (1 << frame); bitmap = bitmap & ~(1 << frame) }
		if
		:: entry -> owner_change(p, frame, FREE, HELD(p))
		:: else
		fi;
		entry = 0
	:: else
	fi
}

/* frame_pool_take() */
inline take(p)
{
	cache_take(p, p);
	region_take_frame(p, 1);
	region_take_frame(p, 2);
	if
	:: got == NONE -> cache_take(p, 1 - p)
	:: else
	fi
}

/* region_free() */
inline region_free(frame)
{
#ifdef BIT_BEFORE_OWNER
	bitmap = bitmap | (1 << frame);
	owner[frame] = FREE
#else
	owner[frame] = FREE;
	bitmap = bitmap | (1 << frame)
#endif
}

/* frame_pool_give(): got goes back. */
inline give(p)
{
	if
	:: got == HOME_FRAME -> atomic { holder[HOME_FRAME] = 0; owner[HOME_FRAME] = HOME }
	:: got != HOME_FRAME && !cache[p] ->
		atomic { holder[got] = 0; owner[got] = CACHED(p) }
		cache[p] = got + 1
	:: else ->
		holder[got] = 0;
		region_free(got)
	fi;
	got = NONE
}

proctype sender()
{
	byte got = NONE, entry, pos, n;

	{
		do
		:: n < OPS ->
			n++;
			take(SENDER);
			if
			:: got == NONE -> owner_change(SENDER, HOME_FRAME, HOME, HELD(SENDER))
			:: else
			fi;
			if
			:: got == NONE
			:: got != NONE -> give(SENDER)
			:: got != NONE && pos < 2 ->
				atomic { holder[got] = 0; owner[got] = QUEUED }
				slot[pos] = (pos + 1) * 4 + got;
				atomic { pos++; got = NONE }
			fi
		:: else -> break
		od;
		atomic { finished[SENDER] = 1; got = NONE; entry = 0; pos = 0; n = 0 }
	} unless {
		atomic {
			killed[SENDER];
			dead[SENDER] = 1;
			got = NONE; entry = 0; pos = 0; n = 0
		}
	}
end_sender:
	false
}

proctype receiver()
{
	byte got = NONE, entry, pos, n;

	{
		do
		:: pos < 2 && (slot[pos] >> 2) == pos + 1 ->
			atomic { got = slot[pos] & 3; assert(owner[got] == QUEUED) }
			atomic { owner[got] = HELD(RECEIVER); believe(RECEIVER, got); pos++ }
			give(RECEIVER)
		:: n < OPS -> /* it also sends on other channels */
			n++;
			take(RECEIVER);
			if
			:: got == NONE
			:: got != NONE -> give(RECEIVER)
			fi
		:: n == OPS -> break
		od;
		atomic { finished[RECEIVER] = 1; got = NONE; entry = 0; pos = 0; n = 0 }
	} unless {
		atomic {
			killed[RECEIVER];
			dead[RECEIVER] = 1;
			got = NONE; entry = 0; pos = 0; n = 0
		}
	}
end_receiver:
	false
}

proctype killer(byte p)
{
end_killer:
	atomic { !finished[p] && !dead[p]; killed[p] = 1 }
}

inline give_back(frame)
{
	if
	:: frame == HOME_FRAME -> atomic { holder[HOME_FRAME] = 0; owner[HOME_FRAME] = HOME }
	:: else ->
		holder[frame] = 0;
		region_free(frame)
	fi
}

#define ring_holds(frame) ((slot[0] && (slot[0] & 3) == frame) || (slot[1] && (slot[1] & 3) == frame))

/* frame_pool_reclaim_process() */
inline reclaim_process(p)
{
	frame = 0;
	do
	:: frame < FRAMES ->
		seen = owner[frame];
		if
		:: seen == HELD(p) -> give_back(frame)
#ifndef NO_QUEUED_RECLAIM
		:: seen == QUEUED && p == SENDER && !ring_holds(frame) -> give_back(frame)
#endif
#ifdef OWN_CACHE_ONLY
		:: seen == CACHED(p) ->
#else
		:: seen == CACHED(0) || seen == CACHED(1) ->
#endif
			atomic {
				if
				:: owner[frame] == seen -> owner[frame] = HELD(p); seen = HELD(p)
				:: else
				fi
			}
			if
			:: seen == HELD(p) -> give_back(frame)
			:: else
			fi
#ifndef NO_REMARK
		:: seen == FREE && frame != HOME_FRAME -> bitmap = bitmap | (1 << frame)
#endif
		:: else
		fi;
		atomic { frame++; seen = 0 }
	:: else -> break
	od;
	reclaimed[p] = 1
}

#define ended(p) (finished[p] || reclaimed[p])
#define found(f) ((owner[f] == FREE && (bitmap & (1 << f))) || \
                  (owner[f] == CACHED(0) && cache[0] == f + 1) || \
                  (owner[f] == CACHED(1) && cache[1] == f + 1))

active proctype agent()
{
	byte frame, seen;

	atomic {
		run sender();
		run receiver();
		run killer(SENDER);
		run killer(RECEIVER)
	}
	do
	:: dead[SENDER] && !reclaimed[SENDER] -> reclaim_process(SENDER)
	:: dead[RECEIVER] && !reclaimed[RECEIVER] -> reclaim_process(RECEIVER)
	:: ended(SENDER) && ended(RECEIVER) -> break
	od;
	/* frame_pool_reclaim_channel() */
	frame = 0;
	do
	:: frame < 2 ->
		seen = slot[frame];
		if
		:: seen && owner[seen & 3] == QUEUED -> give_back((seen & 3))
		:: else
		fi;
		atomic { frame++; seen = 0 }
	:: else -> break
	od;
	assert(owner[HOME_FRAME] == HOME);
	assert(found(1));
	assert(found(2))
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wake.pml - the ready set and the doorbell (transport/readyset.c, port.c): two
 * publishers, each with its own channel and bit, and one consumer that takes
 * bits, looks at the channels and sleeps when nothing is marked. Every process
 * has a store buffer as on x86: a plain store reaches memory some time later, in
 * order; a fence or a locked instruction waits until its own are there.
 *
 * Shown: the consumer sees every change and does not sleep for ever while there
 * is one it has not seen, also when a publisher is killed between any two
 * instructions. A lost wake-up is an invalid end state: the consumer sleeps and
 * nobody is left to ring.
 *
 * Bound: EVENTS changes per publisher. Two are enough to meet the bit in each
 * state (clear, set by the change before, taken meanwhile) and `sleeping` in
 * each; a third change only repeats one of these.
 */
#ifndef EVENTS
#define EVENTS 2
#endif

#ifdef SAME_WORD
#define WORD_OF(bit) 0
#else
#define WORD_OF(bit) (bit)
#endif

byte changes[2];  /* channel i in memory: changes so far */
byte reset_by_agent; /* bit i: channel i was reset */
byte words[2];    /* bits of the ready set, bit i in words[WORD_OF(i)] */
byte summary;     /* bit w: words[w] may be non-zero */
bit sleeping;
bit doorbell;     /* the eventfd is readable */

byte killed;      /* publishers that were killed, dead: and are seen to be */
byte dead;
byte finished;

/* Store buffers: a publisher's plain stores are changes[i], the consumer's
 * are `sleeping`. */
chan publisher_stores[2] = [2] of { byte };
chan consumer_stores = [2] of { bit };

#define drained(i) empty(publisher_stores[i])

#ifdef NO_FENCE_PUBLISHER
#define publisher_fence(i) skip
#else
#define publisher_fence(i) drained(i)
#endif

#ifdef NO_FENCE_SLEEPER
#define sleeper_fence() skip
#else
#define sleeper_fence() empty(consumer_stores)
#endif

/* readyset_mark_always(): locked instructions. */
inline mark_always(bit_idx)
{
	atomic { drained(bit_idx); words[WORD_OF(bit_idx)] = words[WORD_OF(bit_idx)] | (1 << bit_idx) }
	atomic { summary = summary | (1 << WORD_OF(bit_idx)) }
}

inline mark(bit_idx)
{
	if
	:: words[WORD_OF(bit_idx)] & (1 << bit_idx)
	:: else -> mark_always(bit_idx)
	fi
}

proctype publisher(byte i)
{
	byte n = 0;
	bool was_sleeping;

	{
		do
		:: n < EVENTS ->
			n++;
			publisher_stores[i]!n;
			/* port_notify */
			publisher_fence(i);
			mark(i);
			if
			:: sleeping ->
				atomic { drained(i); was_sleeping = sleeping; sleeping = 0 }
				if
				:: was_sleeping -> doorbell = 1
				:: else
				fi
			:: else
			fi
		:: else -> break
		od;
		atomic { n = 0; was_sleeping = 0; finished = finished | (1 << i) }
	} unless {
		atomic { killed & (1 << i); n = 0; was_sleeping = 0; dead = dead | (1 << i) }
	}
end_publisher:
	false
}

/* What a killed process had stored still reaches memory. */
proctype drain_publisher(byte i)
{
	byte n;
end_drain:
	do
	:: atomic { publisher_stores[i]?n -> changes[i] = n; n = 0 }
	od
}

proctype drain_consumer()
{
	bit value;
end_drain:
	do
	:: atomic { consumer_stores?value -> sleeping = value; value = 0 }
	od
}

#ifdef KILL
/* Kills publisher 0 at some time or never; the agent then repairs. */
active proctype killer()
{
end_killer:
	atomic {
		!(finished & 1);
		killed = 1
	}
}

active proctype agent()
{
end_agent:
	dead & 1;
	drained(0); /* the process is gone: so are its stores */
	reset_by_agent = 1;
#ifndef NO_RING_ON_DEATH
	/* port_notify_always */
#ifdef MARK_ON_DEATH
	mark(0);
#else
	mark_always(0);
#endif
	sleeping = 0;
	doorbell = 1;
#endif
}
#endif

byte seen[2];
byte seen_reset;

inline look(i)
{
	atomic {
		assert(changes[i] >= seen[i]);
		seen[i] = changes[i];
		seen_reset = seen_reset | (reset_by_agent & (1 << i))
	}
}

inline take_word(w)
{
#ifdef CLEAR_AFTER_LOOK
	bits = words[w];
#else
	atomic { empty(consumer_stores); bits = words[w]; words[w] = 0 }
#endif
	if
	:: bits & 1 -> look(0)
	:: else
	fi;
	if
	:: bits & 2 -> look(1)
	:: else
	fi;
#ifdef CLEAR_AFTER_LOOK
	atomic { empty(consumer_stores); words[w] = 0 }
#endif
	bits = 0
}

inline take()
{
#ifdef WORDS_BEFORE_SUMMARY
	take_word(0);
	take_word(1);
	atomic { empty(consumer_stores); summary = 0 }
#else
	if
	:: summary ->
		atomic { empty(consumer_stores); some = summary; summary = 0 }
		if
		:: some & 1 -> take_word(0)
		:: else
		fi;
		if
		:: some & 2 -> take_word(1)
		:: else
		fi;
		some = 0
	:: else
	fi
#endif
}

#define all_seen(i) (seen[i] == EVENTS || (seen_reset & (1 << i)))

active proctype consumer()
{
	byte some, bits;

	atomic {
		run publisher(0);
		run publisher(1);
		run drain_publisher(0);
		run drain_publisher(1);
		run drain_consumer()
	}
	do
	:: take();
		if
		:: all_seen(0) && all_seen(1) -> break
		:: else
		fi;
		/* port_try_sleep */
		consumer_stores!1;
		sleeper_fence();
		if
		:: summary -> consumer_stores!0
		:: else ->
			doorbell; /* sleeps here */
			/* port_wake */
			consumer_stores!0;
			doorbell = 0
		fi
	od
}

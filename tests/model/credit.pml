/* SPDX-License-Identifier: Apache-2.0 */
/*
 * credit.pml - a channel between two hosts (transport/engine): frames and credit
 * travel over sessions that may be lost with everything in them. The sending
 * engine keeps a frame until the other one says that it has it, and sends from
 * there again on the next session; the receiving engine drops what it has
 * already, and says its limit and position again when nothing moves.
 *
 * Shown: the receiver gets every frame once and in order, and neither side waits
 * for ever, with a window of one frame, however sessions are lost. One repeated
 * credit per lost session is enough.
 *
 * The local process at the receiving host takes frames from its ring and gives
 * them back when it likes; it tells the engine at the latest when it runs dry.
 *
 * Bound: FRAMES frames, LOSSES lost sessions, a window of one or two frames. With
 * three frames one is acknowledged, one on its way and one waits for credit; a
 * second loss strikes while the first is being repaired.
 */
#ifndef FRAMES
#define FRAMES 3
#endif
#ifndef LOSSES
#define LOSSES 2
#endif
#ifndef WINDOW
#define WINDOW 1
#endif

chan data = [FRAMES] of { byte };         /* pos */
chan credit = [2] of { byte, byte };      /* limit_pos, received_pos */
bit resume;                               /* there is a new session: sender's engine */
byte losses;

byte delivered_pos; /* the local ring at the receiving host: frames put in it */
byte released_pos;  /* as its process last published it */
byte got;

active proctype network()
{
	byte a, b;
end_network:
	do
	:: losses < LOSSES && (nempty(data) || nempty(credit)) ->
		atomic {
			do
			:: data?a
			:: credit?a, b
			:: empty(data) && empty(credit) -> break
			od;
			losses++;
			resume = 1;
			a = 0;
			b = 0
		}
	od
}

active proctype sending_engine()
{
	byte next, acked, limit = WINDOW, new_limit, new_acked;

	do
	:: acked == FRAMES -> break
	:: resume -> atomic {
#ifdef NO_RESEND
			resume = 0
#else
			resume = 0;
			next = acked
#endif
		}
	:: !resume && next < limit && next < FRAMES ->
		atomic {
			if
			:: resume /* lost meanwhile: not sent */
			:: else -> data!next; next++
			fi
		}
	:: credit?new_limit, new_acked -> atomic {
#ifdef RELATIVE_CREDIT
			limit = limit + new_limit;
#else
			assert(new_limit <= FRAMES + WINDOW);
			if
			:: new_limit > limit -> limit = new_limit
			:: else
			fi;
#endif
			if
			:: new_acked > acked -> acked = new_acked
			:: else
			fi;
			if
			:: acked > next -> next = acked
			:: else
			fi;
			new_limit = 0;
			new_acked = 0
		}
	od
}

inline advertise()
{
	atomic {
#ifdef RELATIVE_CREDIT
		credit!(released_pos + WINDOW - said), expected;
#else
		credit!(released_pos + WINDOW), expected;
#endif
		said = released_pos + WINDOW;
		said_received = expected
	}
}

active proctype receiving_engine()
{
	byte pos, expected, said = WINDOW, said_received, repeats;
end_receiving:
	do
	:: data?pos -> atomic {
			if
			:: pos == expected ->
				assert(pos < released_pos + WINDOW);
				expected++;
				delivered_pos = expected
			:: pos < expected /* has it */
			:: pos > expected -> assert(false)
			fi;
			pos = 0
		}
	:: nfull(credit) && (said < released_pos + WINDOW || said_received < expected) -> advertise()
	/* nothing else moves anywhere: the timer */
#ifndef NO_REPEAT
	:: timeout && nfull(credit) && repeats < losses -> repeats++; advertise()
#endif
	od
}

active proctype receiving_process()
{
	byte taken, given_back;

	do
	:: taken < delivered_pos -> atomic { taken++; got = taken }
	:: given_back < taken -> given_back++
	:: given_back < taken -> atomic { given_back++; released_pos = given_back }
#ifndef DRY_KEEPS_SILENT
	:: taken == delivered_pos && released_pos < given_back -> released_pos = given_back
#endif
	:: given_back == FRAMES -> break
	od
}

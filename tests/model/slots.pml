/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slots.pml - process slots when processes die: a notifier that read a slot
 * number and was then held up may come when the slot has another tenant, and a
 * process that has closed its end may still be in the middle of being rung.
 *
 * The bystander sleeps in the slot that the notifier read: as its new tenant
 * (LATE_TENANT: the one before it was killed), or because it has since closed
 * the channel that the notifier rings it for. Another publisher then has news
 * for it and relies on `sleeping`. The notifier may be killed anywhere; the agent
 * then rings.
 *
 * Shown: the bystander gets its news. Two rules are needed: a doorbell belongs to
 * the slot, for all its tenants, so that whoever clears `sleeping` rings who
 * sleeps; and at a death the agent rings every process, not only those at the
 * other ends of channels still open.
 *
 * Interleaving only: the fences are the subject of wake.pml.
 */
#define NOTIFIER  1
#define PUBLISHER 2

byte ready;  /* bits of the ready set: who marked them */
bit sleeping;
bit bell[2]; /* of the first tenant, of the second; rule: one for both */
bit tenant;
bit news;
bit killed, dead, notified, attached, closed;

#ifdef BELL_PER_TENANT
#define bell_known_to(t) bell[t]
#else
#define bell_known_to(t) bell[0]
#endif

/* port_notify; bells: the tenant whose doorbell the caller has. */
inline notify(who, bells)
{
	atomic { ready = ready | who }
	if
	:: sleeping ->
		atomic { was_sleeping = sleeping; sleeping = 0 }
		if
		:: was_sleeping -> bell_known_to(bells) = 1
		:: else
		fi
	:: else
	fi
}

active proctype notifier()
{
	bit was_sleeping;

	{
		/* has read the slot number, long ago */
		notify(NOTIFIER, 0);
		notified = 1
	} unless {
		atomic { killed; dead = 1 }
	}
}

active proctype killer()
{
end_killer:
	atomic { !notified; killed = 1 }
}

active proctype agent()
{
#ifdef LATE_TENANT
	/* the first tenant is gone, its slot is made anew and given away */
	sleeping = 0;
	tenant = 1;
#endif
	attached = 1;
end_agent:
	dead;
#ifdef RINGS_OPEN_ENDS_ONLY
	if
	:: closed
	:: else ->
		sleeping = 0;
		bell_known_to(tenant) = 1
	fi
#else
	sleeping = 0;
	bell_known_to(tenant) = 1
#endif
}

active proctype publisher()
{
	bit was_sleeping;

	closed; /* the bystander's other channel, joined by then */
	news = 1;
	notify(PUBLISHER, tenant)
}

active proctype bystander()
{
	attached;
	closed = 1; /* what the notifier rings for; news comes on another channel */
	do
	:: news -> break
	:: else ->
		ready = 0;
		if
		:: news -> break
		:: else
		fi;
		sleeping = 1;
		if
		:: ready -> sleeping = 0
		:: else ->
			bell_known_to(tenant);
			sleeping = 0;
			bell_known_to(tenant) = 0
		fi
	od
}

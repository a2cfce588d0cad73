/* SPDX-License-Identifier: Apache-2.0 */
/*
 * member_idle.c - the members of the idle modes: they hold channels open and
 * wait for rows that never come, as executors do between commands.
 *
 * Channel c goes from member c mod P to the next one; both ends are open. With
 * two agents neighbours are on different hosts, so every channel is remote.
 */
#include "bench/member.h"

#include <errno.h>

static void open_channels(struct member *member)
{
	uint32_t member_count = member->run->member_count;

	for (uint32_t c = 0; c < member->options->channel_count; c++) {
		uint32_t source = c % member_count;
		uint32_t destination = (source + 1) % member_count;

		if (source == member->member_idx)
			member_open(member, c, source, destination, SLU_SEND);
		if (destination == member->member_idx &&
		    slu_set_add(member->set, member_open(member, c, source, destination, SLU_RECV)))
			member_fail(member, "cannot add a channel to the set");
	}
}

void member_idle(struct member *member)
{
	int rc;

	/* The parent looks at the memory before and after the channels. */
	member_ready(member);
	open_channels(member);
	member_count_rows(member, 1);
	while ((rc = slu_set_wait(member->set, UINT64_MAX, member->run->exit_fd[0])) !=
	       SLU_FOREIGN) {
		struct slu_frame frame;

		if (rc != SLU_OK && rc != -EINTR)
			member_fail_channel(member, NULL, "wait", rc);
		if (rc == SLU_OK && (rc = slu_set_recv(member->set, &frame)) != SLU_AGAIN)
			member_fail_channel(member, frame.channel, "receive", rc);
	}
}

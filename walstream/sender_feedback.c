/* SPDX-License-Identifier: Apache-2.0 */
/* sender_feedback.c - what the receiver says: from where it wants the log, and how
 * far it is. */
#include "walstream/sender.h"

#include <errno.h>
#include <string.h>

/* Which end the timeline has that the receiver asks for. */
static int timeline_find(slu_walsender *sender, uint32_t timeline)
{
	const struct slu_wal_source *source = &sender->options.source;
	int r;

	sender->historic = timeline != sender->engine_timeline;
	if (!sender->historic)
		return 0;
	r = source->timeline ? source->timeline(source->context, timeline,
	                                        &sender->timeline_end_lsn, &sender->next_timeline)
	                     : -ESTALE;
	if (r == -ESTALE)
		return wal_link_refuse(&sender->link, ESTALE,
		                       "timeline %u is not in the history of timeline %u", timeline,
		                       sender->engine_timeline);
	if (r < 0)
		return wal_link_refuse(&sender->link, -r, "timeline %u: %s", timeline,
		                       strerror(-r));
	return 0;
}

static int start_take(slu_walsender *sender, const struct wal_start *start)
{
	struct slu_walsender_status *status = &sender->status;
	int r;

	if (status->state != SLU_WALSENDER_WAITING &&
	    !(status->state == SLU_WALSENDER_ENDING && !sender->started))
		return wal_link_refuse(&sender->link, EPROTO, "a START out of turn");
	if (start->system_id != sender->options.system_id)
		return wal_link_refuse(&sender->link, EXDEV,
		                       "the receiver's system is %llu, this one is %llu",
		                       (unsigned long long)start->system_id,
		                       (unsigned long long)sender->options.system_id);
	r = timeline_find(sender, start->timeline);
	if (r < 0)
		return r;
	if (start->start_lsn > sender_limit_lsn(sender))
		return wal_link_refuse(
		        &sender->link, ERANGE, "%llX is beyond the end %llX of timeline %u here",
		        (unsigned long long)start->start_lsn,
		        (unsigned long long)sender_limit_lsn(sender), start->timeline);
	memcpy(status->receiver, start->name, sizeof(status->receiver));
	status->timeline = start->timeline;
	status->positions = (struct slu_wal_positions){0, 0, 0};
	status->state = sender->finishing ? SLU_WALSENDER_ENDING : SLU_WALSENDER_CATCHUP;
	sender_log_seek(sender, start->start_lsn);
	wal_lag_init(&sender->lag);
	sender->started = true;
	sender->owes_welcome = true;
	return 0;
}

static uint64_t no_more_than(uint64_t lsn, uint64_t limit_lsn)
{
	return lsn < limit_lsn ? lsn : limit_lsn;
}

static int status_take(slu_walsender *sender, const struct wal_status *message)
{
	struct slu_walsender_status *status = &sender->status;
	const struct slu_wal_positions *heard = &message->positions;
	uint64_t sent_lsn = status->sent_lsn;

	if (!sender->started)
		return wal_link_refuse(&sender->link, EPROTO, "a STATUS before START");
	/* A receiver cannot vouch for what it was not sent: its own bytes there may be
	 * of another history. */
	status->positions = (struct slu_wal_positions){
	        .write_lsn = no_more_than(heard->write_lsn, sent_lsn),
	        .flush_lsn = no_more_than(heard->flush_lsn, sent_lsn),
	        .apply_lsn = no_more_than(heard->apply_lsn, sent_lsn),
	};
	status->lag_ns[SLU_WAL_WRITE] = wal_lag_heard(&sender->lag, SLU_WAL_WRITE,
	                                              status->positions.write_lsn, sender->now_ns);
	status->lag_ns[SLU_WAL_FLUSH] = wal_lag_heard(&sender->lag, SLU_WAL_FLUSH,
	                                              status->positions.flush_lsn, sender->now_ns);
	status->lag_ns[SLU_WAL_APPLY] = wal_lag_heard(&sender->lag, SLU_WAL_APPLY,
	                                              status->positions.apply_lsn, sender->now_ns);
	if (message->echo_stamp_ns && message->echo_stamp_ns <= sender->now_ns) {
		uint64_t away_ns = sender->now_ns - message->echo_stamp_ns;

		status->round_trip_ns = away_ns > message->hold_ns ? away_ns - message->hold_ns : 0;
	}
	status->told_wall_ns = message->wall_ns;
	status->feedbacks++;
	if (message->flags & WAL_FLAG_REPLY)
		sender->owes_keepalive = true;
	return 0;
}

static int message_take(slu_walsender *sender, const struct wal_message *message)
{
	sender->status.heard_ns = sender->now_ns;
	sender->asked = false;
	switch (message->type) {
	case WAL_START:
		return start_take(sender, &message->start);
	case WAL_STATUS:
		return status_take(sender, &message->status);
	default:
		return wal_link_refuse(&sender->link, EPROTO, "a message of type %u on feedback",
		                       message->type);
	}
}

static bool all_is_durable(const slu_walsender *sender)
{
	return sender->finish_sent && sender->status.positions.flush_lsn >= sender->status.sent_lsn;
}

int sender_feedback_take(slu_walsender *sender)
{
	for (;;) {
		struct wal_message message;
		struct slu_frame frame;
		int r = wal_link_recv(&sender->link, &frame, &message);

		if (r == SLU_EOS)
			return all_is_durable(sender) ? SLU_EOS : SLU_STOPPED;
		if (r == SLU_AGAIN)
			return all_is_durable(sender) ? SLU_EOS : SLU_OK;
		if (r < 0)
			return r;
		r = message_take(sender, &message);
		slu_frame_release(&frame);
		if (r < 0)
			return r;
	}
}

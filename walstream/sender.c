/* SPDX-License-Identifier: Apache-2.0 */
/* sender.c - slu_walsender of walstream.h: what is due, and when. */
#include "walstream/sender.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#define KEEPALIVE_NS    UINT64_C(10000000000)
#define BATCH_BYTES_MAX (UINT64_C(1) << 20)

/* What turns a time of the caller's clock into wall-clock time. */
static uint64_t wall_offset_ns(uint64_t now_ns)
{
	struct timespec wall;

	clock_gettime(CLOCK_REALTIME, &wall);
	return (uint64_t)wall.tv_sec * UINT64_C(1000000000) + (uint64_t)wall.tv_nsec - now_ns;
}

int slu_walsender_open(slu_endpoint *endpoint, const struct slu_walsender_options *options,
                       uint64_t now_ns, slu_walsender **ret_sender)
{
	struct slu_channel_stats stats;
	slu_walsender *sender;
	int r;

	if (!options->source.read)
		return -EINVAL;
	sender = calloc(1, sizeof(*sender));
	if (!sender)
		return -ENOMEM;
	r = wal_link_open(&sender->link, endpoint, &options->stream, true);
	if (r < 0) {
		free(sender);
		return r;
	}
	if (options->cut_bytes > sender->link.frame_capacity - sizeof(struct wal_data_wire)) {
		wal_link_close(&sender->link);
		free(sender);
		return -EMSGSIZE;
	}
	slu_channel_stats(sender->link.out, &stats);
	sender->options = *options;
	sender->options.stream.peer = NULL;
	if (!sender->options.keepalive_ns)
		sender->options.keepalive_ns = KEEPALIVE_NS;
	if (!sender->options.batch_bytes_max)
		sender->options.batch_bytes_max = BATCH_BYTES_MAX;
	sender->engine_timeline = options->timeline;
	sender->now_ns = sender->spoke_ns = now_ns;
	wal_lag_init(&sender->lag);
	sender->status = (struct slu_walsender_status){
	        .state = SLU_WALSENDER_WAITING,
	        .timeline = options->timeline,
	        .end_lsn = options->end_lsn,
	        .lag_ns = {SLU_WAL_LAG_UNKNOWN, SLU_WAL_LAG_UNKNOWN, SLU_WAL_LAG_UNKNOWN},
	        .round_trip_ns = SLU_WAL_LAG_UNKNOWN,
	        .heard_ns = now_ns,
	        .remote = stats.remote,
	};
	*ret_sender = sender;
	return 0;
}

void slu_walsender_close(slu_walsender *sender)
{
	if (!sender)
		return;
	if (sender->finish_sent && sender->result == SLU_OK)
		wal_link_eos(&sender->link); /* what is under way still arrives */
	wal_link_close(&sender->link);
	free(sender);
}

void slu_walsender_switch(slu_walsender *sender, uint64_t end_lsn, uint32_t next_timeline)
{
	if (!sender->historic) {
		sender->historic = sender->started;
		sender->timeline_end_lsn = end_lsn;
		sender->next_timeline = next_timeline;
		sender_frame_truncate(sender, end_lsn);
	}
	sender->engine_timeline = next_timeline;
	sender->status.end_lsn = end_lsn;
}

void slu_walsender_finish(slu_walsender *sender)
{
	sender->finishing = true;
	if (sender->status.state != SLU_WALSENDER_ENDED)
		sender->status.state = SLU_WALSENDER_ENDING;
}

void slu_walsender_ping(slu_walsender *sender, bool reply)
{
	sender->owes_keepalive = true;
	sender->owes_question |= reply;
}

/* Publish a message in a frame of its own. There is no log in the frame being
 * written: it was published, or the timeline is over. */
static int say(slu_walsender *sender, const struct wal_message *message)
{
	int r;

	if (sender->out_stopped)
		return SLU_AGAIN;
	r = wal_link_send(&sender->link, message);
	if (r == SLU_AGAIN)
		sender->stalled = true;
	if (r == SLU_STOPPED) {
		sender->out_stopped = true;
		return SLU_AGAIN;
	}
	if (r != SLU_OK)
		return r;
	sender->frame = NULL; /* an empty one was used for this */
	sender->spoke_ns = sender->now_ns;
	sender->status.frames++;
	return SLU_OK;
}

static int welcome(slu_walsender *sender)
{
	struct wal_message message = {.type = WAL_WELCOME};
	int r;

	message.welcome = (struct wal_welcome){
	        .system_id = sender->options.system_id,
	        .start_lsn = sender->status.sent_lsn,
	        .end_lsn = sender_limit_lsn(sender),
	        .stamp_ns = sender->now_ns,
	        .wall_offset_ns = wall_offset_ns(sender->now_ns),
	        .timeline = sender->status.timeline,
	};
	r = say(sender, &message);
	sender->owes_welcome = r != SLU_OK;
	return r;
}

/* After the last byte of a timeline, or of all. */
static int tell_end(slu_walsender *sender)
{
	struct wal_message message;
	int r;

	if (sender->historic) {
		message.type = WAL_TIMELINE_END;
		message.timeline_end = (struct wal_timeline_end){
		        .end_lsn = sender->timeline_end_lsn,
		        .timeline = sender->status.timeline,
		        .next_timeline = sender->next_timeline,
		};
	} else {
		message.type = WAL_FINISH;
		message.finish = (struct wal_finish){.end_lsn = sender->status.sent_lsn,
		                                     .timeline = sender->status.timeline};
	}
	r = say(sender, &message);
	if (r != SLU_OK)
		return r;
	sender->finish_sent = !sender->historic;
	if (sender->historic) {
		sender->status.state = SLU_WALSENDER_WAITING;
		if (sender->status.sent_lsn > sender->timeline_end_lsn)
			sender_log_seek(sender, sender->timeline_end_lsn);
	}
	return SLU_OK;
}

static int send_due(slu_walsender *sender)
{
	struct slu_walsender_status *status = &sender->status;
	int r;

	if (status->state == SLU_WALSENDER_WAITING || !sender->started || sender->finish_sent)
		return SLU_OK;
	r = sender->owes_welcome ? welcome(sender) : SLU_OK;
	if (r == SLU_OK)
		r = sender_log_send(sender);
	if (r != SLU_OK || slu_walsender_pending(sender))
		return r;
	if (sender->historic || sender->finishing)
		return tell_end(sender);
	status->state = SLU_WALSENDER_STREAMING;
	return SLU_OK;
}

static int keep_alive(slu_walsender *sender)
{
	const struct slu_walsender_options *options = &sender->options;
	uint64_t silence_ns = sender->now_ns - sender->status.heard_ns;
	struct wal_message message = {.type = WAL_KEEPALIVE};
	bool ask;
	int r;

	if (!sender->started)
		return SLU_OK;
	if (options->timeout_ns && silence_ns >= options->timeout_ns)
		return wal_link_refuse(&sender->link, ETIMEDOUT,
		                       "nothing heard from the receiver for %llu ms",
		                       (unsigned long long)(silence_ns / 1000000));
	ask = options->timeout_ns && silence_ns >= options->timeout_ns / 2 && !sender->asked;
	if (sender->now_ns - sender->spoke_ns >= options->keepalive_ns || ask)
		sender->owes_keepalive = true;
	if (!sender->owes_keepalive)
		return SLU_OK;
	ask |= sender->owes_question;
	message.keepalive = (struct wal_keepalive){
	        .sent_lsn = sender->status.sent_lsn,
	        .end_lsn = sender_limit_lsn(sender),
	        .stamp_ns = sender->now_ns,
	        .timeline = sender->status.timeline,
	        .flags = ask ? WAL_FLAG_REPLY : 0,
	};
	r = say(sender, &message);
	if (r == SLU_OK) {
		sender->owes_keepalive = false;
		sender->owes_question = false;
		sender->asked |= ask;
		sender->status.keepalives++;
	}
	return r;
}

int slu_walsender_process(slu_walsender *sender, uint64_t now_ns)
{
	int r;

	if (sender->result != SLU_OK)
		return sender->result;
	sender->now_ns = now_ns;
	sender->stalled = false;
	r = sender_feedback_take(sender);
	if (r == SLU_OK)
		r = send_due(sender);
	if (r == SLU_OK || r == SLU_AGAIN)
		r = keep_alive(sender);
	if (r == SLU_OK || r == SLU_AGAIN)
		return SLU_OK;
	if (r > 0) {
		wal_link_eos(&sender->link);
		sender->frame = NULL;
	}
	sender->status.state = SLU_WALSENDER_ENDED;
	sender->result = r;
	return r;
}

static uint64_t earlier(uint64_t a_ns, uint64_t b_ns)
{
	return a_ns < b_ns ? a_ns : b_ns;
}

uint64_t slu_walsender_deadline(const slu_walsender *sender)
{
	const struct slu_walsender_options *options = &sender->options;
	uint64_t deadline_ns = UINT64_MAX;

	if (sender->backlog || sender->result != SLU_OK)
		return 0;
	if (!sender->started)
		return UINT64_MAX;
	if (options->timeout_ns)
		deadline_ns = sender->status.heard_ns + options->timeout_ns;
	if (sender->stalled || sender->out_stopped) /* what is due waits for credit */
		return deadline_ns;
	if (options->timeout_ns && !sender->asked)
		deadline_ns =
		        earlier(deadline_ns, sender->status.heard_ns + options->timeout_ns / 2);
	return earlier(deadline_ns, sender->spoke_ns + options->keepalive_ns);
}

int slu_walsender_wait(slu_walsender *sender, uint64_t deadline_ns, int foreign_fd)
{
	return slu_set_wait(sender->link.set, earlier(deadline_ns, slu_walsender_deadline(sender)),
	                    foreign_fd);
}

const struct slu_walsender_status *slu_walsender_status(const slu_walsender *sender)
{
	return &sender->status;
}

const char *slu_walsender_error(const slu_walsender *sender)
{
	return sender->link.error;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* receiver.c - slu_walreceiver of walstream.h. */
#include "walstream/wal_link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STATUS_NS UINT64_C(10000000000)

enum stage {
	STAGE_STARTING,      /* START is due or out, WELCOME has not come */
	STAGE_STREAMING,     /* log comes */
	STAGE_TIMELINE_OVER, /* waits for slu_walreceiver_follow() */
	STAGE_FINISHED,      /* FINISH has come */
};

struct slu_walreceiver {
	struct wal_link link;
	struct slu_walreceiver_options options; /* stream.peer and name are not kept */
	struct slu_walreceiver_status status;
	char name[SLU_WAL_NAME_MAX];
	enum stage stage;
	bool holds_frame;
	struct slu_frame frame;

	bool owes_start;
	bool owes_status;
	bool wants_reply; /* the next STATUS asks for a keepalive */
	bool asked;       /* since the sender was last heard */
	bool stalled;     /* no credit: only an event helps */

	uint64_t now_ns;
	uint64_t spoke_ns;
	uint64_t stamp_ns;    /* of the newest frame that has one, by the sender's clock */
	uint64_t stamped_ns;  /* when that came */
	uint64_t wall_offset; /* stamp + wall_offset: ns since 1970 */
	int result;           /* SLU_OK while it goes on */
};

int slu_walreceiver_open(slu_endpoint *endpoint, const struct slu_walreceiver_options *options,
                         uint64_t now_ns, slu_walreceiver **ret_receiver)
{
	struct slu_channel_stats stats;
	slu_walreceiver *receiver = calloc(1, sizeof(*receiver));
	int r;

	if (!receiver)
		return -ENOMEM;
	r = wal_link_open(&receiver->link, endpoint, &options->stream, false);
	if (r < 0) {
		free(receiver);
		return r;
	}
	slu_channel_stats(receiver->link.in, &stats);
	receiver->options = *options;
	receiver->options.stream.peer = NULL;
	receiver->options.name = NULL;
	if (!receiver->options.status_ns)
		receiver->options.status_ns = STATUS_NS;
	snprintf(receiver->name, sizeof(receiver->name), "%s", options->name ? options->name : "");
	receiver->now_ns = receiver->spoke_ns = now_ns;
	receiver->owes_start = true;
	receiver->status = (struct slu_walreceiver_status){
	        .timeline = options->timeline,
	        .received_lsn = options->start_lsn,
	        .heard_ns = now_ns,
	        .remote = stats.remote,
	};
	*ret_receiver = receiver;
	slu_walreceiver_process(receiver, now_ns); /* what fails here fails again later */
	return 0;
}

static void frame_let_go(slu_walreceiver *receiver)
{
	if (receiver->holds_frame)
		slu_frame_release(&receiver->frame);
	receiver->holds_frame = false;
}

void slu_walreceiver_close(slu_walreceiver *receiver)
{
	if (!receiver)
		return;
	frame_let_go(receiver);
	wal_link_eos(&receiver->link); /* leaves in order, whatever the stage */
	wal_link_close(&receiver->link);
	free(receiver);
}

/* ---- receiving ----------------------------------------------------------------- */

static int out_of_turn(slu_walreceiver *receiver, uint16_t type)
{
	return wal_link_refuse(&receiver->link, EPROTO, "a message of type %u out of turn", type);
}

static void stamp_take(slu_walreceiver *receiver, uint64_t stamp_ns)
{
	if (!stamp_ns)
		return;
	receiver->stamp_ns = stamp_ns;
	receiver->stamped_ns = receiver->now_ns;
	receiver->status.sent_wall_ns = (int64_t)(stamp_ns + receiver->wall_offset);
}

static int welcome_take(slu_walreceiver *receiver, const struct wal_welcome *welcome)
{
	struct slu_walreceiver_status *status = &receiver->status;

	if (receiver->stage != STAGE_STARTING)
		return out_of_turn(receiver, WAL_WELCOME);
	if (welcome->system_id != receiver->options.system_id)
		return wal_link_refuse(&receiver->link, EXDEV,
		                       "the sender's system is %llu, this one is %llu",
		                       (unsigned long long)welcome->system_id,
		                       (unsigned long long)receiver->options.system_id);
	if (welcome->timeline != status->timeline || welcome->start_lsn != status->received_lsn)
		return wal_link_refuse(&receiver->link, EPROTO,
		                       "a WELCOME to another timeline or place");
	receiver->wall_offset = welcome->wall_offset_ns;
	stamp_take(receiver, welcome->stamp_ns);
	status->sender_end_lsn = welcome->end_lsn;
	status->streaming = true;
	receiver->stage = STAGE_STREAMING;
	receiver->owes_status = true;
	return SLU_AGAIN;
}

static int data_take(slu_walreceiver *receiver, const struct wal_data *data,
                     struct slu_wal_chunk *ret_chunk)
{
	struct slu_walreceiver_status *status = &receiver->status;

	if (receiver->stage != STAGE_STREAMING || data->timeline != status->timeline)
		return out_of_turn(receiver, WAL_DATA);
	if (data->lsn != status->received_lsn)
		return wal_link_refuse(&receiver->link, EPROTO, "log at %llX came for that at %llX",
		                       (unsigned long long)data->lsn,
		                       (unsigned long long)status->received_lsn);
	stamp_take(receiver, data->stamp_ns);
	status->received_lsn += data->size_bytes;
	status->sender_end_lsn = data->end_lsn;
	status->bytes += data->size_bytes;
	*ret_chunk = (struct slu_wal_chunk){
	        .data = data->bytes,
	        .size_bytes = data->size_bytes,
	        .lsn = data->lsn,
	        .timeline = data->timeline,
	};
	return SLU_OK;
}

static int keepalive_take(slu_walreceiver *receiver, const struct wal_keepalive *keepalive)
{
	struct slu_walreceiver_status *status = &receiver->status;

	if (receiver->stage == STAGE_STREAMING && (keepalive->timeline != status->timeline ||
	                                           keepalive->sent_lsn != status->received_lsn))
		return wal_link_refuse(&receiver->link, EPROTO,
		                       "log up to %llX was sent, up to %llX has come",
		                       (unsigned long long)keepalive->sent_lsn,
		                       (unsigned long long)status->received_lsn);
	stamp_take(receiver, keepalive->stamp_ns);
	if (receiver->stage == STAGE_STREAMING)
		status->sender_end_lsn = keepalive->end_lsn;
	status->keepalives++;
	if (keepalive->flags & WAL_FLAG_REPLY) {
		receiver->owes_status = true;
		status->reply_requests++;
	}
	return SLU_AGAIN;
}

static int timeline_end_take(slu_walreceiver *receiver, const struct wal_timeline_end *end,
                             struct slu_wal_chunk *ret_chunk)
{
	struct slu_walreceiver_status *status = &receiver->status;

	if (receiver->stage != STAGE_STREAMING || end->timeline != status->timeline ||
	    end->next_timeline == end->timeline)
		return out_of_turn(receiver, WAL_TIMELINE_END);
	if (end->end_lsn > status->received_lsn)
		return wal_link_refuse(&receiver->link, EPROTO,
		                       "timeline %u ended at %llX, log up to %llX has come",
		                       end->timeline, (unsigned long long)end->end_lsn,
		                       (unsigned long long)status->received_lsn);
	receiver->stage = STAGE_TIMELINE_OVER;
	status->streaming = false;
	*ret_chunk = (struct slu_wal_chunk){
	        .lsn = end->end_lsn,
	        .timeline = end->timeline,
	        .next_timeline = end->next_timeline,
	};
	return SLU_WAL_TIMELINE_END;
}

static int finish_take(slu_walreceiver *receiver, const struct wal_finish *finish)
{
	if (receiver->stage != STAGE_STREAMING || finish->timeline != receiver->status.timeline ||
	    finish->end_lsn != receiver->status.received_lsn)
		return out_of_turn(receiver, WAL_FINISH);
	receiver->stage = STAGE_FINISHED;
	receiver->status.streaming = false;
	receiver->owes_status = true;
	return SLU_EOS;
}

/* SLU_AGAIN: nothing for the caller in this message. */
static int message_take(slu_walreceiver *receiver, const struct wal_message *message,
                        struct slu_wal_chunk *ret_chunk)
{
	receiver->status.heard_ns = receiver->now_ns;
	receiver->status.frames++;
	receiver->asked = false;
	switch (message->type) {
	case WAL_WELCOME:
		return welcome_take(receiver, &message->welcome);
	case WAL_DATA:
		return data_take(receiver, &message->data, ret_chunk);
	case WAL_KEEPALIVE:
		return keepalive_take(receiver, &message->keepalive);
	case WAL_TIMELINE_END:
		return timeline_end_take(receiver, &message->timeline_end, ret_chunk);
	case WAL_FINISH:
		return finish_take(receiver, &message->finish);
	default:
		return out_of_turn(receiver, message->type);
	}
}

int slu_walreceiver_next(slu_walreceiver *receiver, uint64_t now_ns,
                         struct slu_wal_chunk *ret_chunk)
{
	int r = SLU_AGAIN;

	frame_let_go(receiver);
	if (receiver->result < 0)
		return receiver->result;
	if (receiver->stage == STAGE_FINISHED)
		return SLU_EOS;
	receiver->now_ns = now_ns;
	while (r == SLU_AGAIN) {
		struct wal_message message;

		r = wal_link_recv(&receiver->link, &receiver->frame, &message);
		if (r == SLU_AGAIN)
			return r;
		if (r == SLU_EOS) {
			r = wal_link_refuse(&receiver->link, EPROTO, "the stream broke off");
			break;
		}
		if (r < 0)
			break;
		receiver->holds_frame = true;
		r = message_take(receiver, &message, ret_chunk);
		if (r != SLU_OK)
			frame_let_go(receiver);
	}
	if (r < 0)
		receiver->result = r;
	return r;
}

int slu_walreceiver_follow(slu_walreceiver *receiver, uint32_t timeline, uint64_t lsn)
{
	if (receiver->stage != STAGE_TIMELINE_OVER)
		return -EINVAL;
	receiver->stage = STAGE_STARTING;
	receiver->status.timeline = timeline;
	receiver->status.received_lsn = lsn;
	receiver->owes_start = true;
	return 0;
}

/* ---- telling -------------------------------------------------------------------- */

void slu_walreceiver_report(slu_walreceiver *receiver, const struct slu_wal_positions *positions)
{
	if (memcmp(positions, &receiver->status.positions, sizeof(*positions)) == 0)
		return;
	receiver->status.positions = *positions;
	receiver->owes_status = true;
}

void slu_walreceiver_repeat(slu_walreceiver *receiver)
{
	receiver->owes_status = true;
}

void slu_walreceiver_ping(slu_walreceiver *receiver)
{
	receiver->owes_status = true;
	receiver->wants_reply = true;
}

static int say(slu_walreceiver *receiver, const struct wal_message *message)
{
	int r = wal_link_send(&receiver->link, message);

	if (r == SLU_AGAIN) {
		receiver->status.stalls += !receiver->stalled;
		receiver->stalled = true;
	}
	if (r == SLU_OK) {
		receiver->stalled = false;
		receiver->spoke_ns = receiver->now_ns;
	}
	return r;
}

static int say_start(slu_walreceiver *receiver)
{
	struct wal_message message = {.type = WAL_START};
	int r;

	message.start = (struct wal_start){
	        .version = WAL_PROTOCOL_VERSION,
	        .timeline = receiver->status.timeline,
	        .system_id = receiver->options.system_id,
	        .start_lsn = receiver->status.received_lsn,
	};
	memcpy(message.start.name, receiver->name, sizeof(message.start.name));
	r = say(receiver, &message);
	if (r == SLU_OK)
		receiver->owes_start = false;
	return r;
}

static int say_status(slu_walreceiver *receiver)
{
	struct wal_message message = {.type = WAL_STATUS};
	struct timespec wall;
	int r;

	clock_gettime(CLOCK_REALTIME, &wall);
	message.status = (struct wal_status){
	        .positions = receiver->status.positions,
	        .echo_stamp_ns = receiver->stamp_ns,
	        .hold_ns = receiver->now_ns - receiver->stamped_ns,
	        .wall_ns = (int64_t)wall.tv_sec * INT64_C(1000000000) + wall.tv_nsec,
	        .flags = receiver->wants_reply ? WAL_FLAG_REPLY : 0,
	};
	r = say(receiver, &message);
	if (r == SLU_OK) {
		receiver->owes_status = false;
		receiver->wants_reply = false;
		receiver->status.feedbacks++;
	}
	return r;
}

static bool all_is_durable(const slu_walreceiver *receiver)
{
	return receiver->stage == STAGE_FINISHED &&
	       receiver->status.positions.flush_lsn >= receiver->status.received_lsn;
}

static int watch(slu_walreceiver *receiver)
{
	const struct slu_walreceiver_options *options = &receiver->options;
	uint64_t silence_ns = receiver->now_ns - receiver->status.heard_ns;

	if (options->timeout_ns && silence_ns >= options->timeout_ns)
		return wal_link_refuse(&receiver->link, ETIMEDOUT,
		                       "nothing heard from the sender for %llu ms",
		                       (unsigned long long)(silence_ns / 1000000));
	if (options->timeout_ns && silence_ns >= options->timeout_ns / 2 && !receiver->asked) {
		receiver->asked = true;
		slu_walreceiver_ping(receiver);
	}
	if (receiver->now_ns - receiver->spoke_ns >= options->status_ns)
		receiver->owes_status = true;
	return SLU_OK;
}

int slu_walreceiver_process(slu_walreceiver *receiver, uint64_t now_ns)
{
	int r;

	if (receiver->result != SLU_OK)
		return receiver->result;
	receiver->now_ns = now_ns;
	r = watch(receiver);
	if (r == SLU_OK && receiver->owes_start)
		r = say_start(receiver);
	if (r == SLU_OK && receiver->owes_status)
		r = say_status(receiver);
	if (r == SLU_STOPPED) { /* the sender is gone: its data tells how */
		receiver->stalled = true;
		r = all_is_durable(receiver) ? SLU_EOS : SLU_OK;
	} else if (r == SLU_OK && all_is_durable(receiver)) {
		r = SLU_EOS;
	}
	if (r == SLU_AGAIN)
		return SLU_OK;
	receiver->result = r;
	return r;
}

static uint64_t earlier(uint64_t a_ns, uint64_t b_ns)
{
	return a_ns < b_ns ? a_ns : b_ns;
}

uint64_t slu_walreceiver_deadline(const slu_walreceiver *receiver)
{
	const struct slu_walreceiver_options *options = &receiver->options;
	uint64_t deadline_ns = UINT64_MAX;

	if (receiver->result != SLU_OK)
		return 0;
	if (options->timeout_ns)
		deadline_ns = receiver->status.heard_ns + options->timeout_ns;
	if (receiver->stalled) /* what is due waits for credit */
		return deadline_ns;
	if (receiver->owes_start || receiver->owes_status)
		return 0;
	if (options->timeout_ns && !receiver->asked)
		deadline_ns =
		        earlier(deadline_ns, receiver->status.heard_ns + options->timeout_ns / 2);
	return earlier(deadline_ns, receiver->spoke_ns + options->status_ns);
}

int slu_walreceiver_wait(slu_walreceiver *receiver, uint64_t deadline_ns, int foreign_fd)
{
	return slu_set_wait(receiver->link.set,
	                    earlier(deadline_ns, slu_walreceiver_deadline(receiver)), foreign_fd);
}

const struct slu_walreceiver_status *slu_walreceiver_status(const slu_walreceiver *receiver)
{
	return &receiver->status;
}

const char *slu_walreceiver_error(const slu_walreceiver *receiver)
{
	return receiver->link.error;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* wal_link.c - see wal_link.h. */
#include "walstream/wal_link.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define FRAME_BYTES_MIN 512u

static int channel_open(slu_endpoint *endpoint, const struct slu_wal_stream *stream, bool data,
                        enum slu_direction direction, slu_channel **ret_channel)
{
	struct slu_open_options options = {
	        .key = {.cluster = stream->cluster,
	                .query = stream->stream,
	                .motion = data ? SLU_WAL_MOTION_DATA : SLU_WAL_MOTION_FEEDBACK,
	                .source = data ? stream->source : stream->destination,
	                .destination = data ? stream->destination : stream->source},
	        .token = stream->token,
	        .direction = direction,
	        .peer = stream->peer,
	        .rendezvous_timeout_ns = stream->rendezvous_timeout_ns,
	        .window_frames_max = data ? stream->window_frames_max : 0,
	        .urgent = 1,
	        .encrypted = stream->encrypted,
	};

	return slu_channel_open(endpoint, &options, ret_channel);
}

int wal_link_open(struct wal_link *link, slu_endpoint *endpoint,
                  const struct slu_wal_stream *stream, bool sends_data)
{
	int r;

	memset(link, 0, sizeof(*link));
	link->frame_capacity = slu_endpoint_frame_capacity(endpoint);
	if (link->frame_capacity < FRAME_BYTES_MIN)
		return -EMSGSIZE;
	r = channel_open(endpoint, stream, sends_data, SLU_SEND, &link->out);
	if (r < 0)
		return r;
	r = channel_open(endpoint, stream, !sends_data, SLU_RECV, &link->in);
	if (r < 0)
		goto err_out;
	r = slu_set_create(endpoint, &link->set);
	if (r < 0)
		goto err_in;
	if ((r = slu_set_add(link->set, link->out)) < 0 ||
	    (r = slu_set_add(link->set, link->in)) < 0)
		goto err_set;
	return 0;

err_set:
	slu_set_destroy(link->set);
err_in:
	slu_channel_close(link->in);
err_out:
	slu_channel_close(link->out);
	return r;
}

void wal_link_close(struct wal_link *link)
{
	slu_set_destroy(link->set);
	slu_channel_close(link->out);
	slu_channel_close(link->in);
}

int wal_link_failed(struct wal_link *link, slu_channel *channel, int result)
{
	const char *reason = slu_channel_reason(channel);

	snprintf(link->error, sizeof(link->error), "%s", reason[0] ? reason : strerror(-result));
	return result;
}

int wal_link_send(struct wal_link *link, const struct wal_message *message)
{
	size_t capacity_bytes;
	void *data;
	int r = slu_channel_acquire(link->out, &data, &capacity_bytes);

	if (r < 0)
		return wal_link_failed(link, link->out, r);
	if (r != SLU_OK)
		return r;
	return slu_channel_commit(link->out, wal_message_encode(message, data), message->type);
}

int wal_link_recv(struct wal_link *link, struct slu_frame *ret_frame,
                  struct wal_message *ret_message)
{
	char error[WAL_TEXT_MAX];
	int r = slu_channel_recv(link->in, ret_frame);

	if (r < 0)
		return wal_link_failed(link, link->in, r);
	if (r != SLU_OK)
		return r;
	r = wal_message_decode(ret_frame->tag, ret_frame->data, ret_frame->size_bytes, ret_message,
	                       error);
	if (r < 0) {
		slu_frame_release(ret_frame);
		return wal_link_refuse(link, -r, "%s", error);
	}
	return SLU_OK;
}

void wal_link_eos(struct wal_link *link)
{
	if (!link->out_ended)
		slu_channel_eos(link->out);
	link->out_ended = true;
}

int wal_link_refuse(struct wal_link *link, int error, const char *format, ...)
{
	char text[WAL_TEXT_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	slu_channel_reset(link->out, error, text);
	slu_channel_reset(link->in, error, text);
	link->out_ended = true;
	snprintf(link->error, sizeof(link->error), "%s", text);
	return -error;
}

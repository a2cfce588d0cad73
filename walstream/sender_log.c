/* SPDX-License-Identifier: Apache-2.0 */
/* sender_log.c - the log into frames: copied as the engine writes it while the
 * stream is level with it, read from the source otherwise. */
#include "walstream/sender.h"

#include <errno.h>
#include <string.h>

static size_t room(const slu_walsender *sender)
{
	return sender->link.frame_capacity - sizeof(struct wal_data_wire) - sender->filled_bytes;
}

/* How much of size_bytes goes into the frame being written; 0: it is full enough. */
static size_t part_of(const slu_walsender *sender, uint64_t size_bytes)
{
	uint64_t lsn = sender_next_lsn(sender), end_lsn = lsn + room(sender);

	if (size_bytes <= room(sender))
		return (size_t)size_bytes;
	if (sender->options.cut_bytes > 1)
		end_lsn -= end_lsn % sender->options.cut_bytes;
	return end_lsn > lsn ? (size_t)(end_lsn - lsn) : 0;
}

static uint8_t *next_byte(const slu_walsender *sender)
{
	return sender->frame + sizeof(struct wal_data_wire) + sender->filled_bytes;
}

void sender_log_seek(slu_walsender *sender, uint64_t lsn)
{
	sender->frame_lsn = lsn;
	sender->filled_bytes = 0;
	sender->status.sent_lsn = lsn;
	sender->sampled_lsn = lsn;
}

int sender_frame_begin(slu_walsender *sender)
{
	size_t capacity_bytes;
	void *data;
	int r;

	if (sender->frame)
		return SLU_OK;
	if (sender->out_stopped)
		return SLU_AGAIN;
	r = slu_channel_acquire(sender->link.out, &data, &capacity_bytes);
	if (r == SLU_AGAIN) {
		sender->status.stalls += !sender->stalled;
		sender->stalled = true;
	} else if (r == SLU_STOPPED) {
		sender->out_stopped = true;
		return SLU_AGAIN;
	}
	if (r < 0)
		return wal_link_failed(&sender->link, sender->link.out, r);
	if (r == SLU_OK) {
		sender->frame = data;
		sender->stalled = false;
	}
	return r;
}

void sender_frame_publish(slu_walsender *sender, uint64_t stamp_ns)
{
	struct wal_message message = {.type = WAL_DATA};
	uint64_t limit_lsn = sender_limit_lsn(sender);
	size_t header_bytes;

	if (!sender->filled_bytes)
		return;
	message.data = (struct wal_data){
	        .lsn = sender->frame_lsn,
	        .end_lsn = limit_lsn,
	        .stamp_ns = stamp_ns,
	        .timeline = sender->status.timeline,
	};
	header_bytes = wal_message_encode(&message, sender->frame);
	slu_channel_commit(sender->link.out, header_bytes + sender->filled_bytes, WAL_DATA);
	sender->status.frames++;
	sender->status.bytes += sender->filled_bytes;
	sender->frame = NULL;
	sender->frame_lsn += sender->filled_bytes;
	sender->filled_bytes = 0;
	sender->status.sent_lsn = sender->frame_lsn;
}

void sender_frame_truncate(slu_walsender *sender, uint64_t lsn)
{
	if (sender_next_lsn(sender) > lsn)
		sender->filled_bytes = lsn > sender->frame_lsn ? lsn - sender->frame_lsn : 0;
}

/* ---- from the engine's hands ------------------------------------------------- */

/* Whether the stream is level, so that what comes next may go straight to a frame. */
static bool is_level(const slu_walsender *sender)
{
	bool sends = sender->status.state == SLU_WALSENDER_CATCHUP ||
	             sender->status.state == SLU_WALSENDER_STREAMING;

	return sends && !sender->historic && !sender->finishing && !sender->owes_welcome &&
	       sender->result == SLU_OK && sender_next_lsn(sender) == sender->status.end_lsn;
}

int slu_walsender_append(slu_walsender *sender, uint64_t lsn, const void *data, size_t size_bytes)
{
	const uint8_t *next = data;
	bool level = is_level(sender);

	if (lsn != sender->status.end_lsn || size_bytes > SLU_WAL_LSN_MAX - lsn)
		return -EINVAL;
	sender->status.end_lsn = lsn + size_bytes;
	while (level && size_bytes) {
		size_t part;

		/* What goes wrong here shows again in process(): not here, where the
		 * engine has a commit to finish. */
		if (sender_frame_begin(sender) != SLU_OK)
			break;
		part = part_of(sender, size_bytes);
		memcpy(next_byte(sender), next, part);
		sender->filled_bytes += part;
		sender->status.appended_bytes += part;
		next += part;
		size_bytes -= part;
		if (size_bytes || !room(sender))
			sender_frame_publish(sender, 0);
	}
	return 0;
}

void slu_walsender_advance(slu_walsender *sender, uint64_t end_lsn)
{
	if (end_lsn > sender->status.end_lsn)
		sender->status.end_lsn = end_lsn;
}

void slu_walsender_retreat(slu_walsender *sender, uint64_t end_lsn)
{
	if (end_lsn >= sender_next_lsn(sender) && end_lsn < sender->status.end_lsn)
		sender->status.end_lsn = end_lsn;
}

/* ---- from the source ----------------------------------------------------------- */

static int read_refused(slu_walsender *sender, int r)
{
	unsigned long long lsn = sender_next_lsn(sender);

	if (r == -ENODATA)
		return wal_link_refuse(&sender->link, ENODATA,
		                       "the log at %llX on timeline %u has been removed", lsn,
		                       sender->status.timeline);
	return wal_link_refuse(&sender->link, -r, "the log at %llX on timeline %u: %s", lsn,
	                       sender->status.timeline, strerror(-r));
}

/* One read into the frame being written; SLU_STOPPED: it takes no more. */
static int read_some(slu_walsender *sender)
{
	size_t size_bytes = part_of(sender, sender_limit_lsn(sender) - sender_next_lsn(sender));
	size_t read_bytes = 0;
	const struct slu_wal_source *source = &sender->options.source;
	int r;

	if (!size_bytes)
		return SLU_STOPPED;
	r = source->read(source->context, sender->status.timeline, sender_next_lsn(sender),
	                 next_byte(sender), size_bytes, &read_bytes);
	if (r == SLU_OK && (read_bytes == 0 || read_bytes > size_bytes))
		r = -EIO;
	if (r < 0)
		return read_refused(sender, r);
	if (r != SLU_OK)
		return SLU_AGAIN;
	sender->filled_bytes += read_bytes;
	sender->status.read_bytes += read_bytes;
	return SLU_OK;
}

int sender_log_send(slu_walsender *sender)
{
	uint64_t stop_at = sender->status.read_bytes + sender->options.batch_bytes_max;
	int r = SLU_OK;

	sender->backlog = false;
	while (r == SLU_OK && sender_next_lsn(sender) < sender_limit_lsn(sender)) {
		sender->backlog = sender->status.read_bytes >= stop_at;
		if (sender->backlog)
			break;
		r = sender_frame_begin(sender);
		if (r == SLU_OK)
			r = read_some(sender);
		if (r == SLU_STOPPED || (r == SLU_OK && !room(sender))) {
			sender_frame_publish(sender, sender->now_ns);
			r = SLU_OK;
		}
	}
	if (r < 0)
		return r;
	sender_frame_publish(sender, sender->now_ns);
	if (sender->status.sent_lsn != sender->sampled_lsn) {
		sender->sampled_lsn = sender->status.sent_lsn;
		wal_lag_sent(&sender->lag, sender->status.sent_lsn, sender->now_ns);
		sender->spoke_ns = sender->now_ns;
	}
	return r;
}

bool slu_walsender_pending(const slu_walsender *sender)
{
	return sender->status.sent_lsn < sender_limit_lsn(sender);
}

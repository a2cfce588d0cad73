/* SPDX-License-Identifier: Apache-2.0 */
/* client_codec.c - see client_codec.h. */
#include "transport/client_codec.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

struct client_kind {
	enum client_type type;
	enum client_side from;
	uint32_t size_bytes;
	unsigned fd_count_min, fd_count_max;
	const char *name;
};

static const struct client_kind client_kinds[] = {
        {CLIENT_ATTACH, CLIENT_SIDE_PROCESS, sizeof(struct client_attach), 0, 0, "ATTACH"},
        {CLIENT_OBSERVE, CLIENT_SIDE_PROCESS, sizeof(struct client_attach), 0, 0, "OBSERVE"},
        {CLIENT_OPEN, CLIENT_SIDE_PROCESS, sizeof(struct client_open), 0, 0, "OPEN"},
        {CLIENT_CLOSE, CLIENT_SIDE_PROCESS, sizeof(struct client_close), 0, 0, "CLOSE"},
        {CLIENT_DETACH, CLIENT_SIDE_PROCESS, sizeof(struct client_detach), 0, 0, "DETACH"},
        {CLIENT_ATTACHED, CLIENT_SIDE_AGENT, sizeof(struct client_attached), 1, 2, "ATTACHED"},
        {CLIENT_OPENED, CLIENT_SIDE_AGENT, sizeof(struct client_opened), 0, 0, "OPENED"},
        {CLIENT_ERROR, CLIENT_SIDE_AGENT, sizeof(struct client_error), 0, 0, "ERROR"},
        {CLIENT_NEIGHBOUR, CLIENT_SIDE_AGENT, sizeof(struct client_slot), 1, 1, "NEIGHBOUR"},
};

static const struct client_kind *client_kind_find(uint32_t type)
{
	for (size_t i = 0; i < sizeof(client_kinds) / sizeof(client_kinds[0]); i++)
		if (client_kinds[i].type == type)
			return &client_kinds[i];
	return NULL;
}

__attribute__((format(printf, 3, 4))) static int client_fail(char *error, int result,
                                                             const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, CLIENT_TEXT_BYTES, format, args);
	va_end(args);
	return result;
}

/* A text from another process ends up in logs, terminals and reasons. */
static bool client_text_clean(char *text, size_t room_bytes)
{
	size_t length = strnlen(text, room_bytes);

	if (length == room_bytes)
		return false;
	memset(text + length, 0, room_bytes - length);
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			text[i] = '?';
	return true;
}

static bool client_direction_ok(uint32_t direction)
{
	return direction == SLU_SEND || direction == SLU_RECV;
}

static int client_check_attach(struct client_attach *attach, char *error)
{
	if (attach->magic != CLIENT_MAGIC)
		return client_fail(error, -EPROTO, "not a sluice client (wrong magic number)");
	if (attach->reserved != 0)
		return client_fail(error, -EPROTO, "reserved field of an attach is not 0");
	if (!client_text_clean(attach->name, sizeof(attach->name)))
		return client_fail(error, -EPROTO, "name of the process is not terminated");
	return 0;
}

static int client_check_open(struct client_open *open, char *error)
{
	if (open->request_id == 0)
		return client_fail(error, -EPROTO, "open with request 0");
	if (!client_direction_ok(open->direction))
		return client_fail(error, -EPROTO, "open with direction %u", open->direction);
	if (open->key.reserved != 0)
		return client_fail(error, -EPROTO, "reserved field of a channel key is not 0");
	if (open->flags & ~(uint32_t)CLIENT_OPEN_FLAGS)
		return client_fail(error, -EPROTO, "open with flags %#x", open->flags);
	if (!client_text_clean(open->peer, sizeof(open->peer)))
		return client_fail(error, -EPROTO, "name of the peer node is not terminated");
	return 0;
}

static int client_check_attached(struct client_attached *attached, unsigned fd_count, char *error)
{
	unsigned fd_count_wanted = attached->slot == SLOT_NONE ? 1 : 2;

	if (fd_count != fd_count_wanted)
		return client_fail(error, -EPROTO, "attached with %u descriptors in place of %u",
		                   fd_count, fd_count_wanted);
	if (attached->generation == 0)
		return client_fail(error, -EPROTO, "attached to generation 0");
	if (!client_text_clean(attached->node, sizeof(attached->node)))
		return client_fail(error, -EPROTO, "name of this node is not terminated");
	return 0;
}

/* The fields of a message whose size is that of its type. */
static int client_check(union client_message *message, unsigned fd_count, char *error)
{
	switch ((enum client_type)message->header.type) {
	case CLIENT_ATTACH:
	case CLIENT_OBSERVE:
		return client_check_attach(&message->attach, error);
	case CLIENT_OPEN:
		return client_check_open(&message->open, error);
	case CLIENT_CLOSE:
		if (!client_direction_ok(message->close.direction) || message->close.flags != 0)
			return client_fail(error, -EPROTO, "close with direction %u, flags %#x",
			                   message->close.direction, message->close.flags);
		return 0;
	case CLIENT_ATTACHED:
		return client_check_attached(&message->attached, fd_count, error);
	case CLIENT_OPENED:
		if (message->opened.request_id == 0)
			return client_fail(error, -EPROTO, "opened with request 0");
		return 0;
	case CLIENT_ERROR:
		if (message->error.error == 0 || message->error.error > INT32_MAX)
			return client_fail(error, -EPROTO, "error without an errno");
		if (!client_text_clean(message->error.text, sizeof(message->error.text)))
			return client_fail(error, -EPROTO, "text of an error is not terminated");
		return 0;
	case CLIENT_DETACH:
	case CLIENT_NEIGHBOUR:
		return 0;
	}
	return client_fail(error, -EPROTO, "unknown message");
}

int client_decode(const void *packet, size_t size_bytes, unsigned fd_count, enum client_side from,
                  union client_message *ret_message, char *error)
{
	const struct client_kind *kind;
	struct client_header header;
	union client_message message;
	int result;

	if (size_bytes < sizeof(header))
		return client_fail(error, -EPROTO, "message of %zu bytes, shorter than a header",
		                   size_bytes);
	memcpy(&header, packet, sizeof(header));
	/* Before all else: of another version nothing else is known. */
	if (header.version != CLIENT_PROTOCOL_VERSION && header.type != CLIENT_ERROR)
		return client_fail(error, -EPROTONOSUPPORT,
		                   "client protocol version %u, this side speaks %u",
		                   header.version, CLIENT_PROTOCOL_VERSION);
	kind = client_kind_find(header.type);
	if (!kind || kind->from != from)
		return client_fail(error, -EPROTO, "unexpected message type %u", header.type);
	if (size_bytes != kind->size_bytes || header.size_bytes != kind->size_bytes)
		return client_fail(error, -EPROTO, "%s of %zu bytes (header says %u), not %u",
		                   kind->name, size_bytes, header.size_bytes, kind->size_bytes);
	if (fd_count < kind->fd_count_min || fd_count > kind->fd_count_max)
		return client_fail(error, -EPROTO, "%s with %u descriptors", kind->name, fd_count);

	memset(&message, 0, sizeof(message));
	memcpy(&message, packet, size_bytes);
	result = client_check(&message, fd_count, error);
	if (result == 0)
		*ret_message = message;
	return result;
}

void client_message_init(union client_message *message, enum client_type type)
{
	memset(message, 0, sizeof(*message));
	message->header.type = (uint16_t)type;
	message->header.version = CLIENT_PROTOCOL_VERSION;
	message->header.size_bytes = client_kind_find(type)->size_bytes;
}

union client_control {
	struct cmsghdr header; /* for its alignment */
	char bytes[CMSG_SPACE(CLIENT_FDS_MAX * sizeof(int))];
};

int client_send(int socket_fd, const union client_message *message, const int *fds,
                unsigned fd_count)
{
	union client_control control = {.bytes = {0}};
	struct iovec part = {(void *)(uintptr_t)message, message->header.size_bytes};
	struct msghdr packet = {.msg_iov = &part, .msg_iovlen = 1};
	ssize_t sent;

	if (fd_count > 0) {
		packet.msg_control = control.bytes;
		packet.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(&control.header), fds, fd_count * sizeof(int));
	}
	do
		sent = sendmsg(socket_fd, &packet, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : 0;
}

/* Every descriptor that came, also from a packet that is refused: they are ours
 * to close. */
static unsigned client_fds_take(struct msghdr *packet, int *fds)
{
	unsigned fd_count = 0;

	for (struct cmsghdr *part = CMSG_FIRSTHDR(packet); part; part = CMSG_NXTHDR(packet, part)) {
		size_t bytes = part->cmsg_len - CMSG_LEN(0);

		if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0; at + sizeof(int) <= bytes && fd_count < CLIENT_FDS_MAX;
		     at += sizeof(int))
			memcpy(&fds[fd_count++], CMSG_DATA(part) + at, sizeof(int));
	}
	return fd_count;
}

int client_recv(int socket_fd, enum client_side from, union client_message *ret_message,
                int *ret_fds, unsigned *ret_fd_count, char *error)
{
	union client_control control;
	union client_message bytes;
	struct iovec part = {&bytes, sizeof(bytes)};
	struct msghdr packet = {.msg_iov = &part,
	                        .msg_iovlen = 1,
	                        .msg_control = control.bytes,
	                        .msg_controllen = sizeof(control.bytes)};
	int fds[CLIENT_FDS_MAX];
	unsigned fd_count;
	ssize_t size;
	int result;

	do
		size = recvmsg(socket_fd, &packet, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (size < 0 && errno == EINTR);
	/* Who closes with something unread resets the connection, which is told once,
	 * ahead of what he said before. */
	if (size < 0 && errno == ECONNRESET)
		size = recvmsg(socket_fd, &packet, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (size < 0)
		return client_fail(error, -errno, "receive: %s", strerror(errno));

	fd_count = client_fds_take(&packet, fds);
	if (packet.msg_flags & MSG_TRUNC)
		result = client_fail(error, -EPROTO, "message of more than %zu bytes",
		                     sizeof(bytes));
	else if (packet.msg_flags & MSG_CTRUNC)
		result = client_fail(error, -EMFILE, "no room for the descriptors of a message");
	else if (size == 0)
		result = client_fail(error, -ENOTCONN, "connection closed");
	else
		result = client_decode(&bytes, (size_t)size, fd_count, from, ret_message, error);
	if (result != 0) {
		for (unsigned i = 0; i < fd_count; i++)
			close(fds[i]);
		return result;
	}
	memcpy(ret_fds, fds, fd_count * sizeof(int));
	*ret_fd_count = fd_count;
	return 0;
}

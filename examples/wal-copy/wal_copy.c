/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal_copy.c - keeps a copy of an append-only log file up to date in another
 * process, on this host or another: the smallest use of walstream.h.
 *
 *   wal-copy send LOG OPTIONS      ships LOG, and what is appended to it
 *   wal-copy receive LOG OPTIONS   writes the copy; goes on where that ends
 *
 *   --token HEX     16 bytes, the same on both sides; who has it may read the log
 *   --stream N      the same on both sides, a new one for each try (default 1)
 *   --cluster N     cluster id of the agent (default 1)
 *   --socket PATH   the agent's socket
 *   --peer NODE     node of the other side (default: this host)
 *   --until-eof     send: end in order at the end of LOG instead of waiting for more
 *
 * Here LSNs are offsets in the file. The sender says when the copy is durable; both
 * exit with 0 after an orderly end, and with 1 and a reason otherwise.
 */
#include <sluice/walstream.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

struct arguments {
	const char *path;
	struct slu_attach_options attach;
	struct slu_wal_stream stream;
	bool has_token;
	bool until_eof;
};

static int complain(const char *what, int error, const char *why)
{
	fprintf(stderr, "wal-copy: %s: %s\n", what, why && why[0] ? why : strerror(-error));
	return 1;
}

/* ---- send -------------------------------------------------------------------------- */

static int file_read(void *context, uint32_t timeline, uint64_t lsn, void *data, size_t size_bytes,
                     size_t *ret_size_bytes)
{
	ssize_t count = pread(*(const int *)context, data, size_bytes, (off_t)lsn);

	if (count <= 0)
		return count < 0 ? -errno : -ENODATA; /* it was cut */
	*ret_size_bytes = (size_t)count;
	return SLU_OK;
}

static uint64_t file_size(int fd)
{
	struct stat file;

	return fstat(fd, &file) == 0 ? (uint64_t)file.st_size : 0;
}

static void forget_events(int notify_fd)
{
	char events[4096];

	while (read(notify_fd, events, sizeof(events)) > 0)
		;
}

static int send_loop(slu_walsender *sender, int fd, int notify_fd, bool until_eof)
{
	const struct slu_walsender_status *status = slu_walsender_status(sender);
	uint64_t told_lsn = 0;
	int r;

	if (until_eof)
		slu_walsender_finish(sender);
	for (;;) {
		if (!until_eof)
			slu_walsender_advance(sender, file_size(fd));
		r = slu_walsender_process(sender, slu_now_ns());
		if (status->positions.flush_lsn != told_lsn) {
			told_lsn = status->positions.flush_lsn;
			printf("durable: %llu\n", (unsigned long long)told_lsn);
			fflush(stdout);
		}
		if (r != SLU_OK)
			return r;
		r = slu_walsender_wait(sender, UINT64_MAX, notify_fd);
		if (r == SLU_FOREIGN)
			forget_events(notify_fd);
		else if (r < 0 && r != -EINTR)
			return r;
	}
}

static int run_sender(const struct arguments *arguments, slu_endpoint *endpoint)
{
	int fd = open(arguments->path, O_RDONLY | O_CLOEXEC);
	int notify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	struct slu_walsender_options options = {
	        .stream = arguments->stream,
	        .source = {.read = file_read, .context = &fd},
	        .timeline = 1,
	};
	slu_walsender *sender;
	int r;

	if (fd < 0 || notify_fd < 0 || inotify_add_watch(notify_fd, arguments->path, IN_MODIFY) < 0)
		return complain(arguments->path, -errno, NULL);
	options.end_lsn = file_size(fd);
	r = slu_walsender_open(endpoint, &options, slu_now_ns(), &sender);
	if (r < 0)
		return complain("open", r, slu_endpoint_error(endpoint));
	r = send_loop(sender, fd, notify_fd, arguments->until_eof);
	if (r < 0)
		complain("send", r, slu_walsender_error(sender));
	else if (r == SLU_STOPPED)
		complain("send", 0, "the receiver has left");
	slu_walsender_close(sender);
	close(notify_fd);
	close(fd);
	return r == SLU_EOS ? 0 : 1;
}

/* ---- receive ------------------------------------------------------------------------- */

/* Write all that has come; *positions grows. */
static int take(slu_walreceiver *receiver, int fd, struct slu_wal_positions *positions)
{
	struct slu_wal_chunk chunk;
	int r = SLU_OK;

	for (unsigned i = 0; i < 64 && r == SLU_OK; i++) { /* a flush now and then, too */
		r = slu_walreceiver_next(receiver, slu_now_ns(), &chunk);
		if (r != SLU_OK)
			break;
		if (pwrite(fd, chunk.data, chunk.size_bytes, (off_t)chunk.lsn) !=
		    (ssize_t)chunk.size_bytes)
			return -EIO;
		positions->write_lsn = chunk.lsn + chunk.size_bytes;
	}
	return r;
}

static int receive_loop(slu_walreceiver *receiver, int fd, uint64_t start_lsn)
{
	struct slu_wal_positions positions = {start_lsn, start_lsn, start_lsn};

	for (;;) {
		int taken = take(receiver, fd, &positions);
		int r;

		if (taken < 0)
			return taken;
		slu_walreceiver_report(receiver, &positions);
		slu_walreceiver_process(receiver, slu_now_ns());
		if (positions.flush_lsn != positions.write_lsn && fdatasync(fd) < 0)
			return -errno;
		positions.flush_lsn = positions.apply_lsn = positions.write_lsn;
		slu_walreceiver_report(receiver, &positions);
		r = slu_walreceiver_process(receiver, slu_now_ns());
		if (r == SLU_OK && taken != SLU_OK)
			r = slu_walreceiver_wait(receiver, UINT64_MAX, -1);
		if (r == SLU_EOS || (r < 0 && r != -EINTR))
			return r;
	}
}

static int run_receiver(const struct arguments *arguments, slu_endpoint *endpoint)
{
	int fd = open(arguments->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	struct slu_walreceiver_options options = {
	        .stream = arguments->stream, .name = "wal-copy", .timeline = 1};
	slu_walreceiver *receiver;
	int r;

	if (fd < 0)
		return complain(arguments->path, -errno, NULL);
	options.start_lsn = file_size(fd);
	r = slu_walreceiver_open(endpoint, &options, slu_now_ns(), &receiver);
	if (r < 0)
		return complain("open", r, slu_endpoint_error(endpoint));
	r = receive_loop(receiver, fd, options.start_lsn);
	if (r < 0)
		complain("receive", r, slu_walreceiver_error(receiver));
	slu_walreceiver_close(receiver);
	close(fd);
	return r == SLU_EOS ? 0 : 1;
}

/* ---- arguments -------------------------------------------------------------------------- */

static bool token_read(const char *text, struct slu_token *ret_token)
{
	if (strlen(text) != 2 * sizeof(ret_token->bytes))
		return false;
	for (size_t i = 0; i < sizeof(ret_token->bytes); i++) {
		char digits[3] = {text[2 * i], text[2 * i + 1], '\0'}, *end;

		ret_token->bytes[i] = (uint8_t)strtoul(digits, &end, 16);
		if (end != digits + 2)
			return false;
	}
	return true;
}

static bool arguments_read(int argc, char **argv, struct arguments *ret_arguments)
{
	static const struct option names[] = {
	        {"token", required_argument, NULL, 't'},
	        {"stream", required_argument, NULL, 's'},
	        {"cluster", required_argument, NULL, 'c'},
	        {"socket", required_argument, NULL, 'S'},
	        {"peer", required_argument, NULL, 'p'},
	        {"until-eof", no_argument, NULL, 'e'},
	        {NULL, 0, NULL, 0},
	};
	int option;

	*ret_arguments =
	        (struct arguments){.stream = {.cluster = 1, .stream = 1, .destination = 1}};
	while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (option) {
		case 't':
			ret_arguments->has_token = token_read(optarg, &ret_arguments->stream.token);
			break;
		case 's':
			ret_arguments->stream.stream = strtoull(optarg, NULL, 0);
			break;
		case 'c':
			ret_arguments->stream.cluster = strtoull(optarg, NULL, 0);
			break;
		case 'S':
			ret_arguments->attach.socket_path = optarg;
			break;
		case 'p':
			ret_arguments->stream.peer = optarg;
			break;
		case 'e':
			ret_arguments->until_eof = true;
			break;
		default:
			return false;
		}
	}
	ret_arguments->attach.cluster = ret_arguments->stream.cluster;
	ret_arguments->attach.name = "wal-copy";
	ret_arguments->path = argc == optind + 2 ? argv[optind + 1] : NULL;
	return ret_arguments->path && ret_arguments->has_token;
}

int main(int argc, char **argv)
{
	struct arguments arguments;
	slu_endpoint *endpoint;
	bool sends;
	int r;

	if (!arguments_read(argc, argv, &arguments) ||
	    (strcmp(argv[optind], "send") != 0 && strcmp(argv[optind], "receive") != 0)) {
		fprintf(stderr, "usage: wal-copy send|receive LOG --token HEX [--stream N] "
		                "[--cluster N] [--socket PATH] [--peer NODE] [--until-eof]\n");
		return 2;
	}
	sends = strcmp(argv[optind], "send") == 0;
	r = slu_endpoint_attach(&arguments.attach, &endpoint);
	if (r < 0)
		return complain("attach", r, slu_attach_error());
	r = sends ? run_sender(&arguments, endpoint) : run_receiver(&arguments, endpoint);
	slu_endpoint_detach(endpoint);
	return r;
}

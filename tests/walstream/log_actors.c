/* SPDX-License-Identifier: Apache-2.0 */
/* log_actors.c - see log_actors.h. */
#include "tests/walstream/log_actors.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WRITE_BYTES_MAX 3000u
#define AHEAD_BYTES_MAX (256u << 10) /* of the log that no standby has acknowledged */
#define LOOK_NS         UINT64_C(1000000)
#define RENDEZVOUS_NS   UINT64_C(20000000000)

/* splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators) */
static uint64_t mix(uint64_t value)
{
	value += UINT64_C(0x9e3779b97f4a7c15);
	value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
	return value ^ (value >> 31);
}

static void log_fill(uint8_t *data, uint64_t lsn, size_t size_bytes)
{
	for (size_t i = 0; i < size_bytes; i++)
		data[i] = (uint8_t)(mix((lsn + i) / 8) >> (lsn + i) % 8 * 8);
}

uint64_t log_file_check(const char *path)
{
	uint8_t found[8192], right[8192];
	uint64_t lsn = 0;
	ssize_t count;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	while ((count = read(fd, found, sizeof(found))) > 0) {
		log_fill(right, lsn, (size_t)count);
		if (memcmp(found, right, (size_t)count) != 0)
			count = -1;
		if (count < 0)
			break;
		lsn += (uint64_t)count;
	}
	close(fd);
	return count < 0 ? UINT64_MAX : lsn;
}

static int log_open(struct log_actor *actor, uint64_t *ret_end_lsn)
{
	struct stat stat_buffer;
	int fd = open(actor->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0 || fstat(fd, &stat_buffer) < 0)
		return -errno;
	*ret_end_lsn = (uint64_t)stat_buffer.st_size;
	atomic_store(&actor->written_lsn, *ret_end_lsn);
	return fd;
}

static int attach(struct log_actor *actor, const char *name, slu_endpoint **ret_endpoint)
{
	struct slu_attach_options options = {.socket_path = actor->socket_path,
	                                     .cluster = LOG_CLUSTER,
	                                     .name = name,
	                                     .spin_ns_max = SLU_SPIN_NEVER};
	int r = slu_endpoint_attach(&options, ret_endpoint);

	if (r < 0)
		snprintf(actor->reason, sizeof(actor->reason), "attach: %s", slu_attach_error());
	return r;
}

static struct slu_wal_stream stream_of(const struct log_actor *actor, unsigned i)
{
	struct slu_wal_stream stream = {
	        .cluster = LOG_CLUSTER,
	        .stream = actor->streams[i].stream,
	        .source = 1,
	        .destination = 2 + actor->streams[i].destination,
	        .peer = actor->streams[i].peer,
	        .rendezvous_timeout_ns = RENDEZVOUS_NS,
	};

	memcpy(stream.token.bytes, &actor->streams[i].token, sizeof(actor->streams[i].token));
	return stream;
}

/* ---- primary --------------------------------------------------------------------- */

struct primary {
	struct log_actor *actor;
	slu_endpoint *endpoint;
	slu_walquorum *quorum;
	slu_walsender *senders[LOG_STANDBYS_MAX];
	unsigned sending;
	int fd;
	uint64_t end_lsn;
	uint64_t random;
	int result;
};

static int primary_read(void *context, uint32_t timeline, uint64_t lsn, void *data,
                        size_t size_bytes, size_t *ret_size_bytes)
{
	const struct primary *primary = context;
	ssize_t count = pread(primary->fd, data, size_bytes, (off_t)lsn);

	if (count <= 0)
		return count < 0 ? -errno : -ENODATA;
	*ret_size_bytes = (size_t)count;
	return SLU_OK;
}

static int primary_open(struct primary *primary)
{
	struct log_actor *actor = primary->actor;
	struct slu_walsender_options options = {
	        .source = {.read = primary_read, .context = primary},
	        .system_id = actor->system_id,
	        .timeline = 1,
	        .end_lsn = primary->end_lsn,
	};
	int r = slu_walquorum_create(SLU_WALQUORUM_ANY, actor->needed, actor->stream_count,
	                             &primary->quorum);

	for (unsigned i = 0; r == 0 && i < actor->stream_count; i++) {
		options.stream = stream_of(actor, i);
		r = slu_walsender_open(primary->endpoint, &options, slu_now_ns(),
		                       &primary->senders[i]);
		primary->sending += r == 0;
	}
	if (r < 0)
		snprintf(actor->reason, sizeof(actor->reason), "open: %s",
		         slu_endpoint_error(primary->endpoint));
	return r;
}

static bool may_write(const struct primary *primary)
{
	uint64_t acknowledged = slu_walquorum_lsn(primary->quorum, SLU_WAL_FLUSH);

	return primary->end_lsn < atomic_load(&primary->actor->until_lsn) &&
	       primary->end_lsn < acknowledged + AHEAD_BYTES_MAX;
}

/* As an engine does: to its own log first, then to whoever is there. */
static int primary_write(struct primary *primary)
{
	uint64_t left = atomic_load(&primary->actor->until_lsn) - primary->end_lsn;
	uint8_t data[WRITE_BYTES_MAX];
	size_t size_bytes;

	primary->random = mix(primary->random);
	size_bytes = 1 + primary->random % WRITE_BYTES_MAX;
	if (size_bytes > left)
		size_bytes = left;
	log_fill(data, primary->end_lsn, size_bytes);
	if (pwrite(primary->fd, data, size_bytes, (off_t)primary->end_lsn) != (ssize_t)size_bytes)
		return -EIO;
	for (unsigned i = 0; i < primary->actor->stream_count; i++)
		if (primary->senders[i] &&
		    slu_walsender_append(primary->senders[i], primary->end_lsn, data, size_bytes))
			return -EINVAL;
	primary->end_lsn += size_bytes;
	atomic_store(&primary->actor->written_lsn, primary->end_lsn);
	return 0;
}

/* One sender; it leaves when its stream ends. */
static void primary_serve(struct primary *primary, unsigned i)
{
	const struct slu_walsender_status *status = slu_walsender_status(primary->senders[i]);
	int r = slu_walsender_process(primary->senders[i], slu_now_ns());

	if (status->state == SLU_WALSENDER_STREAMING || status->state == SLU_WALSENDER_ENDING ||
	    r == SLU_EOS)
		slu_walquorum_update(primary->quorum, i, &status->positions);
	if (r == SLU_OK)
		return;
	primary->result = r;
	if (r < 0)
		snprintf(primary->actor->reason, sizeof(primary->actor->reason), "%s",
		         slu_walsender_error(primary->senders[i]));
	slu_walquorum_leave(primary->quorum, i);
	atomic_fetch_add(&primary->actor->appended_bytes, status->appended_bytes);
	slu_walsender_close(primary->senders[i]);
	primary->senders[i] = NULL;
	primary->sending--;
}

static void primary_finish(struct primary *primary)
{
	for (unsigned i = 0; i < primary->actor->stream_count; i++)
		if (primary->senders[i])
			slu_walsender_finish(primary->senders[i]);
}

/* What was acknowledged before a restart stays so. */
static void acknowledge(struct primary *primary)
{
	uint64_t lsn = slu_walquorum_lsn(primary->quorum, SLU_WAL_FLUSH);

	if (lsn > atomic_load(&primary->actor->acknowledged_lsn))
		atomic_store(&primary->actor->acknowledged_lsn, lsn);
}

/* The channels of several senders: sleep on the endpoint's descriptor, as an
 * engine's own loop would, and look now and then for what the test wants. */
static void primary_sleep(struct primary *primary)
{
	uint64_t deadline_ns = slu_now_ns() + LOOK_NS;
	struct timespec pause;
	uint64_t now_ns;
	fd_set fds;
	int fd = slu_endpoint_fd(primary->endpoint);

	for (unsigned i = 0; i < primary->actor->stream_count; i++)
		if (primary->senders[i] &&
		    slu_walsender_deadline(primary->senders[i]) < deadline_ns)
			deadline_ns = slu_walsender_deadline(primary->senders[i]);
	now_ns = slu_now_ns();
	if (deadline_ns > now_ns && slu_endpoint_arm(primary->endpoint) == SLU_OK) {
		FD_ZERO(&fds);
		FD_SET(fd, &fds);
		pause = (struct timespec){0, (long)(deadline_ns - now_ns)};
		pselect(fd + 1, &fds, NULL, NULL, &pause, NULL);
	}
	slu_endpoint_disarm(primary->endpoint);
}

static int primary_act(struct log_actor *actor)
{
	struct primary primary = {.actor = actor, .random = actor->seed};
	bool finishing = false;
	int r;

	primary.fd = log_open(actor, &primary.end_lsn);
	r = primary.fd < 0 ? primary.fd : attach(actor, "primary", &primary.endpoint);
	if (r == 0)
		r = primary_open(&primary);
	while (r == 0 && primary.sending) {
		bool wrote = may_write(&primary);

		if (wrote)
			r = primary_write(&primary);
		else if (atomic_load(&actor->finish) && !finishing &&
		         primary.end_lsn >= atomic_load(&actor->until_lsn)) {
			finishing = true;
			primary_finish(&primary);
		}
		for (unsigned i = 0; i < actor->stream_count; i++)
			if (primary.senders[i])
				primary_serve(&primary, i);
		acknowledge(&primary);
		if (!wrote && primary.sending)
			primary_sleep(&primary);
	}
	slu_endpoint_detach(primary.endpoint);
	return r < 0 ? r : primary.result;
}

/* ---- standby ----------------------------------------------------------------------- */

static int standby_take(struct log_actor *actor, slu_walreceiver *receiver, int fd)
{
	struct slu_wal_chunk chunk;
	int r = slu_walreceiver_next(receiver, slu_now_ns(), &chunk);
	uint64_t end_lsn;

	atomic_store(&actor->streaming, slu_walreceiver_status(receiver)->streaming);
	if (r != SLU_OK)
		return r;
	if (pwrite(fd, chunk.data, chunk.size_bytes, (off_t)chunk.lsn) != (ssize_t)chunk.size_bytes)
		return -EIO;
	/* Durable against kill -9, which is all that happens here. */
	end_lsn = chunk.lsn + chunk.size_bytes;
	slu_walreceiver_report(receiver, &(struct slu_wal_positions){end_lsn, end_lsn, end_lsn});
	atomic_store(&actor->written_lsn, end_lsn);
	return SLU_OK;
}

static int standby_stream(struct log_actor *actor, slu_walreceiver *receiver, int fd)
{
	for (;;) {
		int taken = standby_take(actor, receiver, fd);
		int r = slu_walreceiver_process(receiver, slu_now_ns());

		if (taken < 0)
			return taken;
		if (r != SLU_OK)
			return r;
		if (taken != SLU_OK)
			r = slu_walreceiver_wait(receiver, UINT64_MAX, -1);
		if (r < 0 && r != -EINTR)
			return r;
	}
}

static int standby_act(struct log_actor *actor)
{
	struct slu_walreceiver_options options = {
	        .stream = stream_of(actor, 0),
	        .name = "standby",
	        .system_id = actor->system_id,
	        .timeline = 1,
	};
	slu_walreceiver *receiver;
	slu_endpoint *endpoint;
	int fd = log_open(actor, &options.start_lsn);
	int r = fd < 0 ? fd : attach(actor, "standby", &endpoint);

	if (r < 0)
		return r;
	r = slu_walreceiver_open(endpoint, &options, slu_now_ns(), &receiver);
	if (r < 0) {
		snprintf(actor->reason, sizeof(actor->reason), "open: %s",
		         slu_endpoint_error(endpoint));
	} else {
		uint64_t start_lsn = options.start_lsn;

		slu_walreceiver_report(
		        receiver, &(struct slu_wal_positions){start_lsn, start_lsn, start_lsn});
		r = standby_stream(actor, receiver, fd);
		snprintf(actor->reason, sizeof(actor->reason), "%s",
		         slu_walreceiver_error(receiver));
		slu_walreceiver_close(receiver);
	}
	slu_endpoint_detach(endpoint);
	return r;
}

/* ---- processes ----------------------------------------------------------------------- */

static void start(struct log_actor *actor, int (*act)(struct log_actor *))
{
	pid_t pid;

	actor->result = 0;
	actor->reason[0] = '\0';
	atomic_store(&actor->streaming, false);
	pid = fork();
	if (pid != 0) { /* actor is shared: the child must not write its 0 */
		actor->pid = pid;
		return;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	actor->result = act(actor);
	_exit(0);
}

void log_primary_start(struct log_actor *actor)
{
	start(actor, primary_act);
}

void log_standby_start(struct log_actor *actor)
{
	start(actor, standby_act);
}

bool log_actor_join(struct log_actor *actor)
{
	uint64_t deadline_ns = slu_now_ns() + UINT64_C(10000000000);
	struct timespec pause = {.tv_nsec = 200000};

	if (!actor->pid)
		return true;
	while (slu_now_ns() < deadline_ns) {
		if (waitpid(actor->pid, NULL, WNOHANG) == actor->pid) {
			actor->pid = 0;
			return true;
		}
		nanosleep(&pause, NULL);
	}
	log_actor_kill(actor);
	return false;
}

void log_actor_kill(struct log_actor *actor)
{
	if (!actor->pid)
		return;
	kill(actor->pid, SIGKILL);
	waitpid(actor->pid, NULL, 0);
	actor->pid = 0;
}

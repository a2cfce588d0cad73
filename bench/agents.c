/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agents.c - starts and stops sluiced for a run; see agents.h.
 *
 * Two agents of one host are told apart by node name, socket and port. The
 * ports are free ones that the kernel picked a moment before.
 */
#include "bench/agents.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define START_TIMEOUT_MS  15000
#define STOP_TIMEOUT_MS   5000
#define SPARE_CHANNELS    16u
#define WINDOW_MAX_FRAMES 256u
#define HUGEPAGE_BYTES    (UINT64_C(2) << 20)
#define PROCESSES_MAX     (BENCH_PROCESSES_MAX + 16)

static const char *const agent_letters[2] = {"a", "b"};

/* Every channel from another host is promised one at least. */
static uint32_t receive_frames(uint32_t channel_count, unsigned agent_count)
{
	return agent_count == 2 ? 1024 + channel_count : 16;
}

uint64_t bench_agents_arena_bytes(uint64_t frame_bytes, uint32_t channel_count,
                                  unsigned agent_count)
{
	/* Home frames, receive frames, and shared ones: a window of 64 for each of
	 * the first channels, beyond that they share. */
	uint64_t shared = (uint64_t)channel_count * 64;
	uint64_t frames, overhead, bytes;

	if (shared < 512)
		shared = 512;
	if (shared > 4096)
		shared = 4096;
	frames = channel_count + receive_frames(channel_count, agent_count) + shared;
	/* Rings, process slots, bitmaps: generous, they are small. */
	overhead = channel_count * (UINT64_C(4096) + 8 * WINDOW_MAX_FRAMES) +
	           PROCESSES_MAX * UINT64_C(16384) + channel_count * UINT64_C(64);
	bytes = frames * frame_bytes + overhead + (UINT64_C(8) << 20);
	/* Hugepages only back an arena of whole ones. */
	return (bytes + HUGEPAGE_BYTES - 1) / HUGEPAGE_BYTES * HUGEPAGE_BYTES;
}

/* A TCP port of 127.0.0.1 that was free a moment ago; 0: none. */
static uint16_t free_port(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
	                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	uint16_t port = 0;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return 0;
	if (bind(fd, (struct sockaddr *)&address, size) == 0 &&
	    getsockname(fd, (struct sockaddr *)&address, &size) == 0)
		port = ntohs(address.sin_port);
	close(fd);
	return port;
}

/* Beside this program as built, then beside it as installed, then PATH. */
static int find_sluiced(const struct bench_options *options, char *ret_path, char *error)
{
	static const char *const beside[] = {"../transport/agent/sluiced", "sluiced"};
	const char *given = options->sluiced ? options->sluiced : getenv("SLUICED");
	char self[PATH_MAX];
	ssize_t size;

	if (given) {
		if (access(given, X_OK) != 0) {
			snprintf(error, BENCH_ERROR_BYTES, "%.200s: %s", given, strerror(errno));
			return -ENOENT;
		}
		snprintf(ret_path, PATH_MAX, "%s", given);
		return 0;
	}
	size = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (size > 0) {
		self[size] = '\0';
		*strrchr(self, '/') = '\0';
		for (size_t i = 0; i < sizeof(beside) / sizeof(beside[0]); i++) {
			if (snprintf(ret_path, PATH_MAX, "%s/%s", self, beside[i]) < PATH_MAX &&
			    access(ret_path, X_OK) == 0)
				return 0;
		}
	}
	snprintf(ret_path, PATH_MAX, "sluiced"); /* execvp looks in PATH */
	return 0;
}

/* What --set says for one section. */
static void write_settings(FILE *file, const struct bench_options *options, const char *section)
{
	size_t size = strlen(section);

	for (size_t i = 0; i < options->setting_count; i++) {
		const char *setting = options->settings[i];

		if (strncmp(setting, section, size) == 0 && setting[size] == '.')
			fprintf(file, "%s\n", setting + size + 1);
	}
}

/* Whether --set gives SECTION.KEY, whose default is then not written: a key
 * that is there twice is an error to the agent. */
static bool is_set(const struct bench_options *options, const char *name)
{
	size_t size = strlen(name);

	for (size_t i = 0; i < options->setting_count; i++)
		if (strncmp(options->settings[i], name, size) == 0 &&
		    options->settings[i][size] == '=')
			return true;
	return false;
}

static void write_number(FILE *file, const struct bench_options *options, const char *section,
                         const char *key, uint64_t value)
{
	char name[64];

	snprintf(name, sizeof(name), "%s.%s", section, key);
	if (!is_set(options, name))
		fprintf(file, "%s=%" PRIu64 "\n", key, value);
}

static void write_network(FILE *file, const struct bench_options *options,
                          const struct bench_agents *agents, const uint16_t *ports, unsigned idx)
{
	fprintf(file, "[control]\nlisten=127.0.0.1:%u\n", ports[idx]);
	if (!is_set(options, "control.auth"))
		fprintf(file, "auth=none\n");
	write_settings(file, options, "control");
	fprintf(file, "[driver]\nname=%s\n", options->driver);
	write_settings(file, options, "driver");
	fprintf(file, "[peer %s]\naddress=127.0.0.1:%u\n", agents->node[!idx], ports[!idx]);
}

static int write_config(const struct bench_options *options, const struct bench_agents *agents,
                        const uint16_t *ports, uint32_t channel_count, unsigned idx,
                        const char *path)
{
	uint64_t arena_bytes = options->arena_bytes;
	FILE *file = fopen(path, "we");

	if (!file)
		return -errno;
	if (!arena_bytes)
		arena_bytes = bench_agents_arena_bytes(options->frame_bytes, channel_count,
		                                       agents->count);
	fprintf(file, "[agent]\nnode=%s\nsocket=%s\n", agents->node[idx], agents->socket_path[idx]);
	write_number(file, options, "agent", "cluster_id", options->cluster);
	write_settings(file, options, "agent");
	fprintf(file, "[arena]\n");
	write_number(file, options, "arena", "size", arena_bytes);
	write_number(file, options, "arena", "frame_size", options->frame_bytes);
	write_number(file, options, "arena", "max_channels", channel_count);
	write_number(file, options, "arena", "receive_frames",
	             receive_frames(channel_count, agents->count));
	write_number(file, options, "arena", "window_max", WINDOW_MAX_FRAMES);
	write_number(file, options, "arena", "max_processes", PROCESSES_MAX);
	write_settings(file, options, "arena");
	if (agents->count == 2)
		write_network(file, options, agents, ports, idx);
	return fclose(file) == 0 ? 0 : -errno;
}

/* In the child. Does not return. */
static void exec_sluiced(const char *program, const char *config_path, const char *log_path,
                         pid_t parent)
{
	int log_fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND, 0600);
	int null_fd = open("/dev/null", O_RDONLY);

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (log_fd < 0 || null_fd < 0 || getppid() != parent)
		_exit(127);
	/* Ctrl-C is for sluice-perf, which stops its agents itself. */
	setpgid(0, 0);
	dup2(null_fd, STDIN_FILENO);
	dup2(log_fd, STDOUT_FILENO);
	dup2(log_fd, STDERR_FILENO);
	execlp(program, "sluiced", "--config", config_path, (char *)NULL);
	dprintf(STDERR_FILENO, "cannot run %s: %s\n", program, strerror(errno));
	_exit(127);
}

/* The last bytes of the agent's log, as one line, into error. */
static void quote_log(const char *path, const char *what, char *error)
{
	char tail[300];
	size_t size = 0;
	FILE *log = fopen(path, "re");

	if (log) {
		if (fseek(log, -(long)(sizeof(tail) - 1), SEEK_END) != 0)
			rewind(log);
		size = fread(tail, 1, sizeof(tail) - 1, log);
		fclose(log);
	}
	tail[size] = '\0';
	for (size_t i = 0; i < size; i++)
		if (tail[i] == '\n')
			tail[i] = i + 1 < size ? '|' : '\0';
	snprintf(error, BENCH_ERROR_BYTES, "sluiced %s; its log ends: %s", what, tail);
}

static bool answers(const char *socket_path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	bool connected;

	if (fd < 0)
		return false;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", socket_path);
	connected = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 ||
	            errno == EPROTOTYPE; /* somebody listens, on another kind of socket */
	close(fd);
	return connected;
}

static int wait_for_agent(struct bench_agents *agents, unsigned idx, const char *log_path,
                          char *error)
{
	struct timespec pause = {0, 5000000};
	int status;

	for (int waited_ms = 0; waited_ms < START_TIMEOUT_MS; waited_ms += 5) {
		if (answers(agents->socket_path[idx]))
			return 0;
		if (waitpid(agents->pid[idx], &status, WNOHANG) == agents->pid[idx]) {
			agents->pid[idx] = 0;
			quote_log(log_path, "ended at its start", error);
			return -EIO;
		}
		nanosleep(&pause, NULL);
	}
	quote_log(log_path, "does not listen", error);
	return -ETIMEDOUT;
}

static int start_one(const struct bench_options *options, struct bench_agents *agents,
                     const char *program, const uint16_t *ports, uint32_t channel_count,
                     unsigned idx, char *error)
{
	char config_path[160], log_path[160];
	pid_t parent = getpid();
	int rc;

	snprintf(config_path, sizeof(config_path), "%s/%s.conf", agents->directory,
	         agent_letters[idx]);
	snprintf(log_path, sizeof(log_path), "%s/%s.log", agents->directory, agent_letters[idx]);
	rc = write_config(options, agents, ports, channel_count, idx, config_path);
	if (rc) {
		snprintf(error, BENCH_ERROR_BYTES, "%s: %s", config_path, strerror(-rc));
		return rc;
	}
	agents->pid[idx] = fork();
	if (agents->pid[idx] < 0) {
		rc = -errno;
		agents->pid[idx] = 0;
		snprintf(error, BENCH_ERROR_BYTES, "fork: %s", strerror(-rc));
		return rc;
	}
	if (agents->pid[idx] == 0)
		exec_sluiced(program, config_path, log_path, parent);
	return wait_for_agent(agents, idx, log_path, error);
}

static int use_running(const struct bench_options *options, struct bench_agents *agents,
                       char *error)
{
	agents->count = options->socket[1] ? 2 : 1;
	for (unsigned i = 0; i < agents->count; i++) {
		if (strlen(options->socket[i]) >= sizeof(agents->socket_path[i])) {
			snprintf(error, BENCH_ERROR_BYTES, "%.200s: longer than a socket's path",
			         options->socket[i]);
			return -EINVAL;
		}
		strcpy(agents->socket_path[i], options->socket[i]);
		if (options->node[i])
			snprintf(agents->node[i], sizeof(agents->node[i]), "%s", options->node[i]);
	}
	return 0;
}

int bench_agents_start(const struct bench_options *options, uint32_t channel_count,
                       struct bench_agents *ret_agents, char *error)
{
	const char *temp = getenv("TMPDIR");
	char program[PATH_MAX];
	uint16_t ports[2];
	int rc;

	memset(ret_agents, 0, sizeof(*ret_agents));
	if (!options->start)
		return use_running(options, ret_agents, error);
	rc = find_sluiced(options, program, error);
	if (rc)
		return rc;
	ret_agents->keep_files = options->keep_files;
	ret_agents->count = strcmp(options->driver, "local") == 0 ? 1 : 2;
	/* The socket's path must fit sun_path, so a long TMPDIR is not used. */
	snprintf(ret_agents->directory, sizeof(ret_agents->directory), "%s/sluice-perf.XXXXXX",
	         temp && strlen(temp) < 60 ? temp : "/tmp");
	if (!mkdtemp(ret_agents->directory)) {
		rc = -errno;
		snprintf(error, BENCH_ERROR_BYTES, "%s: %s", ret_agents->directory, strerror(-rc));
		ret_agents->directory[0] = '\0';
		return rc;
	}
	for (unsigned i = 0; i < ret_agents->count; i++) {
		snprintf(ret_agents->node[i], sizeof(ret_agents->node[i]), "node-%s",
		         agent_letters[i]);
		snprintf(ret_agents->socket_path[i], sizeof(ret_agents->socket_path[i]),
		         "%.96s/%s.sock", ret_agents->directory, agent_letters[i]);
		ports[i] = free_port();
	}
	channel_count += SPARE_CHANNELS;
	for (unsigned i = 0; i < ret_agents->count && rc == 0; i++)
		rc = start_one(options, ret_agents, program, ports, channel_count, i, error);
	if (rc)
		bench_agents_stop(ret_agents);
	return rc;
}

int bench_agents_check(struct bench_agents *agents, char *error)
{
	char log_path[160];
	int status;

	for (unsigned i = 0; i < agents->count; i++) {
		if (!agents->pid[i] || waitpid(agents->pid[i], &status, WNOHANG) != agents->pid[i])
			continue;
		agents->pid[i] = 0;
		snprintf(log_path, sizeof(log_path), "%s/%s.log", agents->directory,
		         agent_letters[i]);
		quote_log(log_path, "ended during the run", error);
		return -ECHILD;
	}
	return 0;
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
	return remove(path);
}

static void stop_one(pid_t pid)
{
	struct pollfd waiter = {.fd = pidfd_open(pid, 0), .events = POLLIN};

	kill(pid, SIGTERM);
	if (waiter.fd < 0 || poll(&waiter, 1, STOP_TIMEOUT_MS) != 1) {
		fprintf(stderr, "sluice-perf: sluiced (pid %d) did not stop in %d s, killed\n",
		        (int)pid, STOP_TIMEOUT_MS / 1000);
		kill(pid, SIGKILL);
	}
	if (waiter.fd >= 0)
		close(waiter.fd);
	waitpid(pid, NULL, 0);
}

void bench_agents_stop(struct bench_agents *agents)
{
	for (unsigned i = 0; i < agents->count; i++) {
		if (agents->pid[i])
			stop_one(agents->pid[i]);
		agents->pid[i] = 0;
	}
	if (!agents->directory[0])
		return;
	if (agents->keep_files)
		fprintf(stderr, "sluice-perf: the agents' files are in %s\n", agents->directory);
	else
		nftw(agents->directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	agents->directory[0] = '\0';
}

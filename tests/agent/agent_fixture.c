/* SPDX-License-Identifier: Apache-2.0 */
/* agent_fixture.c - see agent_fixture.h. */
#include "tests/agent/agent_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FIXTURE_READY_MS 30000 /* sanitizers on a busy machine */
#define FIXTURE_STOP_MS  20000

static const char *const arena_default = "size = 16M\n"
                                         "frame_size = 16k\n"
                                         "max_channels = 64\n"
                                         "receive_frames = 64\n"
                                         "max_processes = 24\n"
                                         "window_max = 32\n"
                                         "hugepages = never\n"
                                         "numa = off\n";

static const char *program(void)
{
	const char *path = getenv("SLUICED");

	if (!path) {
		fprintf(stderr, "SLUICED is not set: which program to test?\n");
		exit(2);
	}
	return path;
}

uint16_t agent_fixture_free_port(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
	                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) < 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &size) < 0) {
		perror("free port");
		exit(2);
	}
	close(fd);
	return ntohs(address.sin_port);
}

static char *file_text(const char *path)
{
	FILE *file = fopen(path, "re");
	char *text = NULL;
	size_t room = 0;

	if (!file || getdelim(&text, &room, '\0', file) < 0) {
		free(text);
		text = strdup("");
	}
	if (file)
		fclose(file);
	return text;
}

/* ---- the process ------------------------------------------------------- */

static void child_surroundings(const struct agent_fixture_options *options)
{
	if (options->network_fd && setns(options->network_fd, CLONE_NEWNET) < 0)
		_exit(99);
	if (options->descriptors_max) {
		struct rlimit limit = {options->descriptors_max, options->descriptors_max};

		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* In a PID namespace a child of ours must be there to be its process 1. */
static void child_unshare(void)
{
	pid_t pid;
	int status;

	if (unshare(CLONE_NEWPID) < 0)
		_exit(99);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		return;
	}
	signal(SIGTERM, SIG_IGN); /* meant for the agent: the group gets it */
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		_exit(99);
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 98);
}

/* Returns the reading end of its standard output. */
static int spawn(struct agent_fixture *fixture)
{
	int pipe_fds[2];

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return -1;
	fixture->pid = fork();
	if (fixture->pid == 0) {
		int log_fd =
		        open(fixture->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

		setpgid(0, 0);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(pipe_fds[1], STDOUT_FILENO);
		dup2(log_fd, STDERR_FILENO);
		if (fixture->options.own_pid_namespace)
			child_unshare();
		child_surroundings(&fixture->options);
		execl(program(), "sluiced", "--config", fixture->config_path, (char *)NULL);
		_exit(127);
	}
	close(pipe_fds[1]);
	if (fixture->pid < 0) {
		close(pipe_fds[0]);
		fixture->pid = 0;
		return -1;
	}
	setpgid(fixture->pid, fixture->pid);
	return pipe_fds[0];
}

/* One line, or "" when the other end closed or time is up. */
static void read_line(int fd, char *line, size_t room)
{
	size_t used = 0;
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	while (used + 1 < room && poll(&poll_fd, 1, FIXTURE_READY_MS) > 0 &&
	       read(fd, line + used, 1) == 1 && line[used] != '\n')
		used++;
	line[used] = '\0';
}

/* Returns as waitpid's status; -1: still there after timeout_ms. */
static int wait_status(pid_t pid, int timeout_ms)
{
	struct pollfd poll_fd = {.fd = pidfd_open(pid, 0), .events = POLLIN};
	int ready = poll(&poll_fd, 1, timeout_ms);
	int status = -1;

	if (poll_fd.fd >= 0)
		close(poll_fd.fd);
	if (ready == 1 && waitpid(pid, &status, 0) == pid)
		return status;
	return -1;
}

static int exit_code(int status)
{
	return status != -1 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void word_after(const char *line, const char *key, char *ret_word, size_t room)
{
	const char *at = strstr(line, key);
	size_t length;

	ret_word[0] = '\0';
	if (!at)
		return;
	at += strlen(key);
	length = strcspn(at, " \n");
	if (length < room) {
		memcpy(ret_word, at, length);
		ret_word[length] = '\0';
	}
}

int agent_fixture_restart(struct agent_fixture *fixture)
{
	char line[512], port[16];
	int fd = spawn(fixture);
	int status;

	if (fd < 0)
		return -1;
	read_line(fd, line, sizeof(line));
	close(fd);
	if (strncmp(line, "sluiced ready ", strlen("sluiced ready ")) == 0) {
		word_after(line, " control=", fixture->control, sizeof(fixture->control));
		word_after(line, " metrics=", port, sizeof(port));
		fixture->metrics_port = (uint16_t)atoi(port);
		return 0;
	}
	status = wait_status(fixture->pid, FIXTURE_STOP_MS);
	if (status == -1) {
		agent_fixture_kill(fixture);
		return -1;
	}
	fixture->pid = 0;
	return exit_code(status) > 0 ? exit_code(status) : -1;
}

int agent_fixture_stop(struct agent_fixture *fixture)
{
	int status;

	if (!fixture->pid)
		return -1;
	kill(-fixture->pid, SIGTERM);
	status = wait_status(fixture->pid, FIXTURE_STOP_MS);
	if (status == -1) {
		agent_fixture_kill(fixture);
		return -1;
	}
	fixture->pid = 0;
	return exit_code(status);
}

void agent_fixture_kill(struct agent_fixture *fixture)
{
	if (!fixture->pid)
		return;
	kill(-fixture->pid, SIGKILL);
	waitpid(fixture->pid, NULL, 0);
	fixture->pid = 0;
}

/* ---- its surroundings -------------------------------------------------- */

static void write_section(FILE *file, const char *name, const char *lines)
{
	if (lines)
		fprintf(file, "[%s]\n%s\n", name, lines);
}

static int write_config(const struct agent_fixture *fixture)
{
	const struct agent_fixture_options *options = &fixture->options;
	uint64_t cluster_id = options->cluster_id ? options->cluster_id : AGENT_FIXTURE_CLUSTER;
	FILE *file = fopen(fixture->config_path, "we");

	if (!file)
		return -1;
	fprintf(file, "[agent]\nnode = %s\ncluster_id = %llu\nsocket = %s\n", fixture->node,
	        (unsigned long long)cluster_id, fixture->socket_path);
	if (options->agent)
		fprintf(file, "%s\n", options->agent);
	else
		fprintf(file, "allow_users = 0,%u\n", (unsigned)geteuid());
	write_section(file, "arena", options->arena ? options->arena : arena_default);
	write_section(file, "control", options->control);
	write_section(file, "driver", options->driver);
	if (options->peers)
		fprintf(file, "%s\n", options->peers);
	return fclose(file);
}

static int fixture_prepare(struct agent_fixture *fixture,
                           const struct agent_fixture_options *options)
{
	const char *base = getenv("TMPDIR");

	*fixture = (struct agent_fixture){.options = *options};
	snprintf(fixture->node, sizeof(fixture->node), "%s", options->node ? options->node : "a");
	snprintf(fixture->directory, sizeof(fixture->directory), "%s/sluiced-XXXXXX",
	         base && strlen(base) < 40 ? base : "/tmp");
	if (!mkdtemp(fixture->directory))
		return -1;
	chmod(fixture->directory, 0755); /* tests come as other users too */
	snprintf(fixture->socket_path, sizeof(fixture->socket_path), "%s/sock", fixture->directory);
	snprintf(fixture->config_path, sizeof(fixture->config_path), "%s/conf", fixture->directory);
	snprintf(fixture->log_path, sizeof(fixture->log_path), "%s/log", fixture->directory);
	return write_config(fixture);
}

int agent_fixture_start(struct agent_fixture *fixture, const struct agent_fixture_options *options)
{
	if (fixture_prepare(fixture, options) < 0) {
		perror("agent fixture");
		return -1;
	}
	return agent_fixture_restart(fixture);
}

int agent_fixture_start_pair(struct agent_fixture fixtures[2],
                             const struct agent_fixture_options *options)
{
	static const char *const nodes[2] = {"a", "b"};
	const unsigned ports[2] = {agent_fixture_free_port(), agent_fixture_free_port()};

	for (int i = 0; i < 2; i++) {
		struct agent_fixture_options own = *options;
		char control[128], peers[128];
		int result;

		snprintf(control, sizeof(control), "listen = 127.0.0.1:%u\nauth = none\n",
		         ports[i]);
		snprintf(peers, sizeof(peers), "[peer %s]\naddress = 127.0.0.1:%u\n", nodes[!i],
		         ports[!i]);
		own.node = nodes[i];
		own.control = control;
		own.peers = peers;
		result = agent_fixture_start(&fixtures[i], &own);
		/* what a restart needs is in the file */
		fixtures[i].options.control = fixtures[i].options.peers = NULL;
		if (result != 0) {
			if (i == 0)
				fixtures[1] = (struct agent_fixture){.pid = 0};
			return result;
		}
	}
	return 0;
}

char *agent_fixture_log(const struct agent_fixture *fixture)
{
	return file_text(fixture->log_path);
}

bool agent_fixture_logged(const struct agent_fixture *fixture, const char *text)
{
	char *log = agent_fixture_log(fixture);
	bool found = strstr(log, text) != NULL;

	free(log);
	return found;
}

static void remove_file(const struct agent_fixture *fixture, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", fixture->directory, name);
	unlink(path);
}

void agent_fixture_end(struct agent_fixture *fixture)
{
	int status;

	if (!fixture->directory[0])
		return;
	if (fixture->pid && waitpid(fixture->pid, &status, WNOHANG) == fixture->pid) {
		char *log = agent_fixture_log(fixture);

		fprintf(stderr, "sluiced %s ended by itself, status %#x; it logged:\n%s\n",
		        fixture->node, (unsigned)status, log);
		free(log);
		fixture->pid = 0;
	}
	agent_fixture_kill(fixture);
	remove_file(fixture, "sock");
	remove_file(fixture, "sock.lock");
	remove_file(fixture, "conf");
	remove_file(fixture, "log");
	if (rmdir(fixture->directory) < 0)
		perror(fixture->directory);
	fixture->directory[0] = '\0';
}

const char *agent_fixture_socket(const struct agent_fixture *fixture)
{
	return fixture->socket_path;
}

const char *agent_fixture_node(const struct agent_fixture *fixture)
{
	return fixture->node;
}

/* ---- only its output --------------------------------------------------- */

int agent_fixture_run(const char *const *arguments, char **ret_output)
{
	char path[] = "/tmp/sluiced-output-XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC);
	pid_t pid = fd < 0 ? -1 : fork();
	int status;

	if (pid == 0) {
		const char *argv[16] = {"sluiced"};

		for (int i = 0; i < 14 && arguments[i]; i++)
			argv[i + 1] = arguments[i];
		dup2(fd, STDOUT_FILENO);
		dup2(fd, STDERR_FILENO);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execv(program(), (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	if (pid < 0) {
		perror("agent_fixture_run");
		exit(2);
	}
	status = wait_status(pid, FIXTURE_READY_MS);
	if (status == -1) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	*ret_output = file_text(path);
	unlink(path);
	close(fd);
	return exit_code(status);
}

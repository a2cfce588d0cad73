/* SPDX-License-Identifier: Apache-2.0 */
/* test_agent_start.c - how sluiced starts, refuses to start with words, stops and
 * starts again. */
#include "tests/agent/raw_client.h"
#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static const struct agent_fixture_options no_options;

static void assert_has(const char *text, const char *words)
{
	if (!strstr(text, words))
		fprintf(stderr, "\nnot \"%s\" in:\n%s\n", words, text);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, words));
}

/* Does not start, with exit status 1 and these words. */
static void assert_start_fails(const struct agent_fixture_options *options, const char *words)
{
	struct agent_fixture fixture;
	char *log;

	CU_ASSERT_EQUAL(agent_fixture_start(&fixture, options), 1);
	log = agent_fixture_log(&fixture);
	assert_has(log, words);
	free(log);
	agent_fixture_end(&fixture);
}

static void explains_itself(void)
{
	char *output;

	CU_ASSERT_EQUAL(agent_fixture_run((const char *[]){"--help", NULL}, &output), 0);
	assert_has(output, "--config");
	assert_has(output, "--check-config");
	free(output);
	CU_ASSERT_EQUAL(agent_fixture_run((const char *[]){"--version", NULL}, &output), 0);
	assert_has(output, "sluiced ");
	free(output);
}

static void refuses_arguments_it_does_not_know(void)
{
	char *output;

	CU_ASSERT_EQUAL(agent_fixture_run((const char *[]){"--frobnicate", NULL}, &output), 2);
	assert_has(output, "usage:");
	free(output);
	CU_ASSERT_EQUAL(agent_fixture_run((const char *[]){"start", NULL}, &output), 2);
	assert_has(output, "unexpected argument 'start'");
	free(output);
}

static void probes_the_driver_of_a_configuration(void)
{
	struct agent_fixture fixture;
	char *output;

	CU_ASSERT_EQUAL_FATAL(agent_fixture_start(&fixture, &no_options), 0);
	CU_ASSERT_EQUAL(agent_fixture_run(
	                        (const char *[]){"--probe", "--config", fixture.config_path, NULL},
	                        &output),
	                0);
	assert_has(output, "driver tcp\n  needs no device of its own");
	free(output);
	agent_fixture_end(&fixture);
	CU_ASSERT_EQUAL(agent_fixture_run((const char *[]){"--json", NULL}, &output), 2);
	assert_has(output, "--json goes with --probe");
	free(output);
}

static void checks_a_good_configuration_without_starting(void)
{
	struct agent_fixture fixture;
	char *output;

	CU_ASSERT_EQUAL_FATAL(agent_fixture_start(&fixture, &no_options), 0);
	/* while it runs: checking takes neither socket nor memory */
	CU_ASSERT_EQUAL(agent_fixture_run((const char *[]){"--check-config", "--config",
	                                                   fixture.config_path, NULL},
	                                  &output),
	                0);
	assert_has(output, "configuration is good");
	assert_has(output, "one per channel, guaranteed            1M");
	assert_has(output, "16M");
	free(output);
	agent_fixture_end(&fixture);
}

static void says_where_a_configuration_is_wrong(void)
{
	assert_start_fails(&(struct agent_fixture_options){.arena = "size = lots"}, "conf:");
	assert_start_fails(&(struct agent_fixture_options){.arena = "size = 1M\nframe_size = 64k\n"
	                                                            "max_channels = 64\n"},
	                   "[arena] size");
	assert_start_fails(&(struct agent_fixture_options){.driver = "name = carrier-pigeon",
	                                                   .control = "listen = 127.0.0.1:0\n"
	                                                              "auth = none"},
	                   "carrier-pigeon");
}

static void does_not_start_where_it_could_not_encrypt(void)
{
	char path[] = "/tmp/sluice-key-XXXXXX", control[128];
	int fd = mkstemp(path);

	CU_ASSERT_FATAL(fd >= 0 && ftruncate(fd, 64) == 0);
	snprintf(control, sizeof(control), "listen = 127.0.0.1:0\nauth = psk\npsk_file = %s", path);
	assert_start_fails(&(struct agent_fixture_options){.driver = "name = loop\nencrypt = yes",
	                                                   .control = control},
	                   "driver 'loop' does not encrypt");
	assert_start_fails(&(struct agent_fixture_options){.driver = "encrypt = yes",
	                                                   .control = "listen = 127.0.0.1:0\n"
	                                                              "auth = none"},
	                   "[driver] encrypt = yes and [control] auth = none");
	close(fd);
	unlink(path);
}

static void says_that_memory_is_short(void)
{
	assert_start_fails(&(struct agent_fixture_options){.arena = "size = 4000G\n"
	                                                            "hugepages = never\n"},
	                   "memory");
}

static void says_that_hugepages_are_missing(void)
{
	struct agent_fixture_options always = {
	        .arena = "size = 4000G\nhugepages = always\nframe_size = 16k\n"};

	assert_start_fails(&always, "hugepages");
}

static long hugepages_free(void)
{
	FILE *file = fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "re");
	long count = 0;

	if (file) {
		if (fscanf(file, "%ld", &count) != 1)
			count = 0;
		fclose(file);
	}
	return count;
}

static void notes_that_it_does_without_hugepages(void)
{
	struct agent_fixture_options options = {.arena = "size = 16M\nframe_size = 16k\n"
	                                                 "max_channels = 64\n"
	                                                 "receive_frames = 64\n"
	                                                 "hugepages = auto\n"};
	struct agent_fixture fixture;
	bool there = hugepages_free() >= 8; /* 16 MiB */

	CU_ASSERT_EQUAL_FATAL(agent_fixture_start(&fixture, &options), 0);
	CU_ASSERT_TRUE(agent_fixture_logged(&fixture, "event=arena"));
	CU_ASSERT_TRUE(there || agent_fixture_logged(&fixture, "no hugepages"));
	agent_fixture_end(&fixture);
}

static void says_that_the_port_is_taken(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
	                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char control[80], metrics[80], words[32];

	CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&address, size), 0);
	CU_ASSERT_EQUAL_FATAL(listen(fd, 1), 0);
	getsockname(fd, (struct sockaddr *)&address, &size);
	snprintf(control, sizeof(control), "listen = 127.0.0.1:%u\nauth = none",
	         ntohs(address.sin_port));
	snprintf(metrics, sizeof(metrics), "allow_users = 0\nmetrics_listen = 127.0.0.1:%u",
	         ntohs(address.sin_port));
	snprintf(words, sizeof(words), "%u", ntohs(address.sin_port));
	assert_start_fails(&(struct agent_fixture_options){.control = control}, words);
	assert_start_fails(&(struct agent_fixture_options){.agent = metrics}, words);
	close(fd);
}

/* A second agent on the socket of the first: as restart of a fixture whose first
 * process still runs. */
static void leaves_the_socket_of_a_living_agent_alone(void)
{
	struct agent_fixture fixture, second;
	union client_message answer;
	char *log;
	int fd;

	CU_ASSERT_EQUAL_FATAL(agent_fixture_start(&fixture, &no_options), 0);
	second = fixture;
	CU_ASSERT_EQUAL(agent_fixture_restart(&second), 1);
	log = agent_fixture_log(&fixture);
	assert_has(log, "another agent serves");
	assert_has(log, fixture.socket_path);
	free(log);
	fd = raw_attach(&fixture, "still served", &answer);
	CU_ASSERT_TRUE(fd >= 0 && answer.header.type == CLIENT_ATTACHED);
	close(fd);
	CU_ASSERT_EQUAL(agent_fixture_stop(&fixture), 0);
	agent_fixture_end(&fixture);
}

/* Puts a file system in the place of the fixture's directory that holds a copy of
 * the configuration and an empty log, and no file more. */
static int fill_directory(const struct agent_fixture *fixture)
{
	char config[4096];
	FILE *file = fopen(fixture->config_path, "re");
	size_t size;

	if (!file)
		return -errno;
	size = fread(config, 1, sizeof(config), file);
	fclose(file);
	/* three inodes: the directory and two files */
	if (unshare(CLONE_NEWNS) < 0)
		return -errno;
	/* EINVAL: our root is no mount, in a chroot: then the unmount is seen outside
	 * as the mount was */
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 && errno != EINVAL)
		return -errno;
	if (mount("none", fixture->directory, "tmpfs", 0, "nr_inodes=3") < 0)
		return -errno;
	file = fopen(fixture->config_path, "we");
	if (!file || fwrite(config, 1, size, file) != size || fclose(file) != 0)
		return -EIO;
	file = fopen(fixture->log_path, "we");
	return file && fclose(file) == 0 ? 0 : -EIO;
}

static void says_that_the_disk_is_full(void)
{
	struct agent_fixture fixture;
	char *log;

	CU_ASSERT_EQUAL_FATAL(agent_fixture_start(&fixture, &no_options), 0);
	CU_ASSERT_EQUAL(agent_fixture_stop(&fixture), 0);
	CU_ASSERT_EQUAL_FATAL(fill_directory(&fixture), 0);
	CU_ASSERT_EQUAL(agent_fixture_restart(&fixture), 1);
	log = agent_fixture_log(&fixture);
	assert_has(log, "No space left on device");
	free(log);
	CU_ASSERT_EQUAL(umount(fixture.directory), 0);
	agent_fixture_end(&fixture);
}

static void replaces_the_socket_of_a_dead_agent(void)
{
	struct agent_fixture fixture;
	union client_message answer;
	struct stat status;
	int fd;

	CU_ASSERT_EQUAL_FATAL(agent_fixture_start(&fixture, &no_options), 0);
	agent_fixture_kill(&fixture);
	CU_ASSERT_EQUAL(stat(fixture.socket_path, &status), 0);
	CU_ASSERT_EQUAL_FATAL(agent_fixture_restart(&fixture), 0);
	fd = raw_attach(&fixture, "x", &answer);
	CU_ASSERT_TRUE(fd >= 0 && answer.header.type == CLIENT_ATTACHED);
	close(fd);
	agent_fixture_end(&fixture);
}

static void does_not_remove_a_file_that_is_no_socket(void)
{
	struct agent_fixture fixture;
	FILE *file;
	char *log;

	CU_ASSERT_EQUAL_FATAL(agent_fixture_start(&fixture, &no_options), 0);
	CU_ASSERT_EQUAL(agent_fixture_stop(&fixture), 0);
	file = fopen(fixture.socket_path, "w");
	fputs("precious", file);
	fclose(file);
	CU_ASSERT_EQUAL(agent_fixture_restart(&fixture), 1);
	log = agent_fixture_log(&fixture);
	assert_has(log, "is there and no socket");
	free(log);
	CU_ASSERT_EQUAL(access(fixture.socket_path, F_OK), 0);
	agent_fixture_end(&fixture);
}

static void gives_the_socket_the_mode_it_was_told(void)
{
	struct agent_fixture_options options = {.agent = "allow_users = 0\nsocket_mode = 0640"};
	struct agent_fixture fixture;
	struct stat status = {0};

	CU_ASSERT_EQUAL_FATAL(agent_fixture_start(&fixture, &options), 0);
	CU_ASSERT_EQUAL(stat(fixture.socket_path, &status), 0);
	CU_ASSERT_EQUAL(status.st_mode & 07777, 0640);
	agent_fixture_end(&fixture);
}

static void stops_in_order_and_starts_with_a_new_generation(void)
{
	struct agent_fixture fixture;
	union client_message first, second;
	int fd;

	CU_ASSERT_EQUAL_FATAL(agent_fixture_start(&fixture, &no_options), 0);
	fd = raw_attach(&fixture, "before", &first);
	CU_ASSERT_TRUE_FATAL(fd >= 0);
	CU_ASSERT_EQUAL(agent_fixture_stop(&fixture), 0);
	CU_ASSERT_TRUE(raw_is_closed(fd));
	close(fd);
	CU_ASSERT_EQUAL(access(fixture.socket_path, F_OK), -1);
	CU_ASSERT_TRUE(agent_fixture_logged(&fixture, "event=stopped"));
	CU_ASSERT_EQUAL_FATAL(agent_fixture_restart(&fixture), 0);
	fd = raw_attach(&fixture, "after", &second);
	CU_ASSERT_TRUE_FATAL(fd >= 0);
	CU_ASSERT_NOT_EQUAL(first.attached.generation, second.attached.generation);
	CU_ASSERT_STRING_EQUAL(second.attached.node, "a");
	close(fd);
	agent_fixture_end(&fixture);
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(explains_itself),
	        UNIT_TEST(refuses_arguments_it_does_not_know),
	        UNIT_TEST(probes_the_driver_of_a_configuration),
	        UNIT_TEST(checks_a_good_configuration_without_starting),
	        UNIT_TEST(says_where_a_configuration_is_wrong),
	        UNIT_TEST(does_not_start_where_it_could_not_encrypt),
	        UNIT_TEST(says_that_memory_is_short),
	        UNIT_TEST(says_that_hugepages_are_missing),
	        UNIT_TEST(notes_that_it_does_without_hugepages),
	        UNIT_TEST(says_that_the_port_is_taken),
	        UNIT_TEST(says_that_the_disk_is_full),
	        UNIT_TEST(leaves_the_socket_of_a_living_agent_alone),
	        UNIT_TEST(replaces_the_socket_of_a_dead_agent),
	        UNIT_TEST(does_not_remove_a_file_that_is_no_socket),
	        UNIT_TEST(gives_the_socket_the_mode_it_was_told),
	        UNIT_TEST(stops_in_order_and_starts_with_a_new_generation),
	        {NULL, NULL},
	};

	return unit_run("agent_start", tests);
}

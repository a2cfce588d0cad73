/* SPDX-License-Identifier: Apache-2.0 */
/* test_config.c - sluiced.conf: what is accepted, and what each mistake says. */
#include "transport/agent/config.h"
#include "transport/clock.h"

#include "tests/unit/unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define AGENT "[agent]\nnode = bravo\ncluster_id = 7\n"

static char error[CONFIG_ERROR_MAX];

static int read_text(const char *text, struct config **ret_config)
{
	FILE *stream = fmemopen((void *)text, strlen(text), "r");
	int rc;

	*ret_config = NULL;
	error[0] = '\0';
	rc = config_read(stream, "t.conf", ret_config, error);
	fclose(stream);
	return rc;
}

/* Returns owned. Ends the program when text is refused: nothing else can be tested. */
static struct config *must_read(const char *text)
{
	struct config *config;

	if (read_text(text, &config) != 0) {
		fprintf(stderr, "unexpected: %s\n", error);
		abort();
	}
	return config;
}

static void assert_refused(const char *text, const char *reason)
{
	struct config *config;

	CU_ASSERT_EQUAL(read_text(text, &config), -EINVAL);
	CU_ASSERT_PTR_NULL(config);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, reason));
	if (!strstr(error, reason))
		fprintf(stderr, "expected '%s' in '%s'\n", reason, error);
	config_free(config);
}

static void assert_check_refuses(const char *text, const char *reason)
{
	struct config *config = must_read(text);

	error[0] = '\0';
	CU_ASSERT_EQUAL(config_check(config, error), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, reason));
	if (!strstr(error, reason))
		fprintf(stderr, "expected '%s' in '%s'\n", reason, error);
	config_free(config);
}

static void assert_check_accepts(const char *text)
{
	struct config *config = must_read(text);

	error[0] = '\0';
	CU_ASSERT_EQUAL(config_check(config, error), 0);
	CU_ASSERT_STRING_EQUAL(error, "");
	config_free(config);
}

static void fills_in_every_default(void)
{
	struct config *config = must_read("[agent]\ncluster_id = 0x10\n");
	char host[CONFIG_NAME_MAX] = "";

	gethostname(host, sizeof(host) - 1);
	CU_ASSERT_STRING_EQUAL(config->agent.node, host);
	CU_ASSERT_EQUAL(config->agent.cluster_id, 16);
	CU_ASSERT_STRING_EQUAL(config->agent.socket_path, "/run/sluice/sluiced.sock");
	CU_ASSERT_EQUAL(config->agent.socket_mode, 0666);
	CU_ASSERT(config->agent.allow_uid_count >= 1);
	CU_ASSERT_EQUAL(config->agent.allow_uids[0], 0);
	CU_ASSERT_EQUAL(config->agent.allow_uids[config->agent.allow_uid_count - 1], geteuid());
	CU_ASSERT_EQUAL(config->agent.poller_count, 1);
	CU_ASSERT_EQUAL(config->agent.peer_timeout_ns, 5 * SLU_NS_PER_S);
	CU_ASSERT_EQUAL(config->agent.keepalive_ns, SLU_NS_PER_S);
	CU_ASSERT_STRING_EQUAL(config->agent.metrics_listen.host, "");
	CU_ASSERT_EQUAL(config->arena.size_bytes, 256u << 20);
	CU_ASSERT_EQUAL(config->arena.frame_size_bytes, 64u << 10);
	CU_ASSERT_EQUAL(config->arena.max_channels, 1024);
	CU_ASSERT_EQUAL(config->arena.receive_frames, 1024);
	CU_ASSERT_EQUAL(config->arena.max_processes, 256);
	CU_ASSERT_EQUAL(config->arena.window_max_frames, 64);
	CU_ASSERT_EQUAL(config->arena.hugepages, CONFIG_HUGEPAGES_AUTO);
	CU_ASSERT_EQUAL(config->arena.numa_node, CONFIG_NUMA_AUTO);
	CU_ASSERT_EQUAL(config->control.auth, CONFIG_AUTH_CERT);
	CU_ASSERT_STRING_EQUAL(config->driver.name, "tcp");
	CU_ASSERT_EQUAL(config->driver.session_count, 1);
	CU_ASSERT_FALSE(config->driver.crc32c);
	CU_ASSERT_FALSE(config->driver.encrypt);
	CU_ASSERT_EQUAL(config->peer_count, 0);
	CU_ASSERT_EQUAL(config_check(config, error), 0);
	config_free(config);
}

static void reads_every_key(void)
{
	struct config *config = must_read(
	        "; comment\n# comment\n[agent] ; here\nnode=n1\ncluster_id = 42 ; tail\n"
	        "socket = /tmp/s\nsocket_mode = 0660\nallow_users = root, 12 ,7\npollers = 2\n"
	        "spin_us = 5\nlog_level = warning\nrendezvous_timeout = 2s\n"
	        "peer_timeout = 1500ms\nkeepalive = 500000us\nmetrics_listen = [::1]:9100\n"
	        "[arena]\nsize = 1G\nframe_size = 8K\nmax_channels = 10\nreceive_frames = 11\n"
	        "max_processes = 12\nwindow_max = 32\nhugepages = never\nnuma = 3\n"
	        "[control]\nlisten = 10.0.0.1:7400\nauth = psk\npsk_file = /k\npsk_identity = i\n"
	        "ca_file = /ca\ncert_file = /c\nkey_file = /p\nauth_none_anywhere = yes\n"
	        "[driver]\nname = fault:tcp\nsessions = 4\ncrc32c = yes\nencrypt = yes\n"
	        "sndbuf_bytes = 65536\n"
	        "[peer n2]\naddress = n2.example:7400\n[peer n3]\naddress = 10.0.0.3:7401\n");

	CU_ASSERT_STRING_EQUAL(config->agent.node, "n1");
	CU_ASSERT_EQUAL(config->agent.cluster_id, 42);
	CU_ASSERT_EQUAL(config->agent.socket_mode, 0660);
	CU_ASSERT_EQUAL(config->agent.allow_uid_count, 3);
	CU_ASSERT_EQUAL(config->agent.allow_uids[1], 12);
	CU_ASSERT_EQUAL(config->agent.spin_ns, 5000);
	CU_ASSERT_EQUAL(config->agent.log_level, LOG_LEVEL_WARNING);
	CU_ASSERT_EQUAL(config->agent.peer_timeout_ns, 1500 * SLU_NS_PER_MS);
	CU_ASSERT_EQUAL(config->agent.keepalive_ns, 500 * SLU_NS_PER_MS);
	CU_ASSERT_STRING_EQUAL(config->agent.metrics_listen.host, "::1");
	CU_ASSERT_STRING_EQUAL(config->agent.metrics_listen.port, "9100");
	CU_ASSERT_EQUAL(config->arena.size_bytes, 1u << 30);
	CU_ASSERT_EQUAL(config->arena.frame_size_bytes, 8192);
	CU_ASSERT_EQUAL(config->arena.hugepages, CONFIG_HUGEPAGES_NEVER);
	CU_ASSERT_EQUAL(config->arena.numa_node, 3);
	CU_ASSERT_EQUAL(config->control.auth, CONFIG_AUTH_PSK);
	CU_ASSERT_STRING_EQUAL(config->control.key_file, "/p");
	CU_ASSERT_TRUE(config->driver.encrypt);
	CU_ASSERT_TRUE(config->control.auth_none_anywhere);
	CU_ASSERT_STRING_EQUAL(config->driver.name, "fault:tcp");
	CU_ASSERT_EQUAL(config->driver.option_count, 1);
	CU_ASSERT_STRING_EQUAL(config->driver.options[0].name, "sndbuf_bytes");
	CU_ASSERT_STRING_EQUAL(config->driver.options[0].value, "65536");
	CU_ASSERT_EQUAL(config->peer_count, 2);
	CU_ASSERT_STRING_EQUAL(config->peers[1].name, "n3");
	CU_ASSERT_STRING_EQUAL(config->peers[1].address.port, "7401");
	config_free(config);
}

static void one_file_serves_all_hosts(void)
{
	struct config *config =
	        must_read(AGENT "[peer alpha]\naddress = 127.0.0.1:1\n[peer Bravo]\n"
	                        "address = 127.0.0.1:2\n[peer charlie]\n"
	                        "address = 127.0.0.1:3\n");

	CU_ASSERT_EQUAL(config->peer_count, 2);
	CU_ASSERT_STRING_EQUAL(config->peers[0].name, "alpha");
	CU_ASSERT_STRING_EQUAL(config->peers[1].name, "charlie");
	config_free(config);
}

static void names_file_and_line_of_a_mistake(void)
{
	assert_refused(AGENT "nodes = 1\n", "t.conf:4: no key 'nodes' in [agent]");
	assert_refused(AGENT "\n[agnet]\n", "t.conf:5: no section [agnet]");
	assert_refused(AGENT "[arena]\nsize = 1T\n", "t.conf:5: size: '1T' is not a size");
	assert_refused(AGENT "rubbish\npollers = x\n", "t.conf:4: neither a section nor");
	assert_refused(AGENT "pollers = x\nrubbish\n", "t.conf:4: pollers: 'x' is not");
}

static void refuses_what_is_there_twice(void)
{
	assert_refused(AGENT "node = a\n", "t.conf:4: 'node' is there twice");
	assert_refused(AGENT "[arena]\n[agent]\n", "section [agent] is there twice");
	assert_refused(AGENT "[peer a]\n[peer A]\n", "peer 'A' is there twice");
	assert_refused(AGENT "[peer a]\naddress=h:1\naddress=h:1\n", "'address' is there twice");
	assert_refused(AGENT "[driver]\nx = 1\nx = 1\n", "'x' is there twice");
}

static void refuses_bad_values(void)
{
	assert_refused("[agent]\nnode = a\n", "cluster_id is not given");
	assert_refused("[agent]\ncluster_id = 0\n", "not in 1 ..");
	assert_refused("[agent]\ncluster_id = -1\n", "not a whole number");
	assert_refused("[agent]\ncluster_id = 18446744073709551616\n", "does not fit 64 bits");
	assert_refused("[agent]\ncluster_id =\n", "'cluster_id' has no value");
	assert_refused("[agent]\nnode = .a\n", "not a node name");
	assert_refused("[agent]\nsocket = run/x\n", "not an absolute path");
	assert_refused("[agent]\nsocket_mode = 0888\n", "not a mode");
	assert_refused("[agent]\nallow_users = root,,root\n", "no user ''");
	assert_refused("[agent]\nallow_users = nobody-has-this-name\n", "no user");
	assert_refused("[agent]\npollers = 17\n", "not in 1 .. 16");
	assert_refused("[agent]\npeer_timeout = 5\n", "a time with its unit");
	assert_refused("[agent]\npeer_timeout = 99999999999999s\n", "too large");
	assert_refused("[agent]\nlog_level = loud\n", "none of debug|info|warning|error");
	assert_refused("[agent]\nmetrics_listen = ::1:80\n", "in brackets");
	assert_refused("[agent]\nmetrics_listen = :80\n", "has no host");
	assert_refused("[agent]\nmetrics_listen = a:65536\n", "not host:port");
	assert_refused("[agent]\nmetrics_listen = a b:1\n", "no host name has");
	assert_refused("[arena]\nframe_size = 2k\n", "not in 4096 ..");
	assert_refused("[arena]\nnuma = here\n", "not a whole number");
	assert_refused("[control]\nauth_none_anywhere = true\n", "neither yes nor no");
	assert_refused("[peer ..]\n", "not a node name");
}

static void refuses_lines_that_would_be_misread(void)
{
	char line[400];

	assert_refused("node = a\n", "before the first section");
	assert_refused("[agent]\nnode = a\n cluster_id = 1\n",
	               "t.conf:3: the line begins with a space");
	assert_refused("[agent\n", "has no ']'");
	assert_refused("[agent] node = a\n", "text after the section's ']'");
	assert_refused("[agent]\ncluster_id = 1 # one\n", "begins with ';'");
	memset(line, 'a', sizeof(line));
	memcpy(line, "[agent]\nnode = ", 15);
	line[sizeof(line) - 1] = '\0';
	assert_refused(line, "t.conf:2: the line is longer than 198 bytes");
}

static void a_file_that_is_not_there_is_named(void)
{
	struct config *config = NULL;

	CU_ASSERT_EQUAL(config_load("/nonexistent/x.conf", &config, error), -ENOENT);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "/nonexistent/x.conf: No such file"));
}

static void checks_that_the_arena_holds_what_it_guarantees(void)
{
	assert_check_refuses(AGENT "[arena]\nsize = 128M\n", "size is 128M, but 1024 channels");
	assert_check_refuses(AGENT "[arena]\nsize = 128M\n", " bytes: raise size");
	assert_check_refuses(AGENT "[arena]\nframe_size = 65537\n",
	                     "frame_size is not a power of two");
	assert_check_refuses(AGENT "[arena]\nwindow_max = 48\n",
	                     "window_max is not a power of two");
	assert_check_accepts(AGENT "[arena]\nsize = 8M\nframe_size = 4k\nmax_channels = 16\n"
	                           "receive_frames = 16\nmax_processes = 8\n");
}

static void checks_that_one_late_sign_of_life_is_no_death(void)
{
	assert_check_refuses(AGENT "peer_timeout = 1s\nkeepalive = 600ms\n",
	                     "less than twice keepalive");
}

static void refuses_no_authentication_beyond_loopback(void)
{
	assert_check_refuses(AGENT "[control]\nauth = none\nlisten = 0.0.0.0:1\n", "not loopback");
	assert_check_refuses(AGENT "[control]\nauth = none\nlisten = [::]:1\n", "not loopback");
	assert_check_refuses(AGENT "[control]\nauth = none\nlisten = 127.evil.example:1\n",
	                     "not loopback");
	assert_check_refuses(
	        AGENT "[control]\nauth = none\nlisten = [::1]:1\n[peer c]\naddress = 10.0.0.1:1\n",
	        "peer 'c' is at 10.0.0.1");
	assert_check_accepts(AGENT "[control]\nauth = none\nlisten = 127.9.9.9:1\n");
	assert_check_accepts(AGENT "[control]\nauth = none\nlisten = localhost:1\n");
	assert_check_accepts(
	        AGENT "[control]\nauth = none\nauth_none_anywhere = yes\nlisten = 0.0.0.0:1\n");
}

static void refuses_encryption_without_authentication(void)
{
	assert_check_refuses(AGENT "[control]\nauth = none\nlisten = 127.0.0.1:1\n"
	                           "[driver]\nencrypt = yes\n",
	                     "no secret to make keys of");
	assert_check_accepts(AGENT "[control]\nauth = none\nlisten = 127.0.0.1:1\n"
	                           "[driver]\nencrypt = no\n");
}

static void peers_must_be_able_to_find_each_other(void)
{
	const char *none = AGENT "[control]\nauth = none\n";
	char text[512];

	snprintf(text, sizeof(text), "%s[peer charlie]\n", none);
	assert_check_refuses(text, "[peer charlie] has no address");
	snprintf(text, sizeof(text), "%s[peer charlie]\naddress = 127.0.0.1:0\n", none);
	assert_check_refuses(text, "address has port 0");
	snprintf(text, sizeof(text), "%s[peer alpha]\n", none);
	assert_check_refuses(text, "listen is not given; peer 'alpha' connects");
	snprintf(text, sizeof(text), "%slisten = 127.0.0.1:1\n[peer alpha]\n", none);
	assert_check_accepts(text);
}

static void write_file(const char *path, mode_t mode, size_t size_bytes)
{
	FILE *file = fopen(path, "w");

	if (!file)
		abort();
	for (size_t i = 0; i < size_bytes; i++)
		fputc('k', file);
	fclose(file);
	chmod(path, mode);
}

static void secrets_must_be_there_private_and_long_enough(void)
{
	char directory[] = "/tmp/sluice-config-XXXXXX";
	char path[64], text[512];

	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/key", directory);
	snprintf(text, sizeof(text),
	         AGENT "[control]\nlisten = 0.0.0.0:1\nauth = psk\npsk_file = %s\n", path);
	assert_check_refuses(AGENT "[control]\nlisten = 0.0.0.0:1\nauth = psk\n",
	                     "auth needs psk_file");
	assert_check_refuses(text, "No such file");
	write_file(path, 0600, 31);
	assert_check_refuses(text, "has 31 bytes; a key has 32 to 4096");
	write_file(path, 0640, 64);
	assert_check_refuses(text, "has mode 0640");
	write_file(path, 0600, 64);
	assert_check_accepts(text);

	snprintf(text, sizeof(text),
	         AGENT
	         "[control]\nlisten = 0.0.0.0:1\nca_file = %s\ncert_file = %s\nkey_file = %s\n",
	         path, path, path);
	assert_check_refuses(AGENT "[control]\nlisten = 0.0.0.0:1\n", "auth needs ca_file");
	assert_check_accepts(text);
	chmod(path, 0604);
	assert_check_refuses(text, "key_file");
	snprintf(text, sizeof(text),
	         AGENT "[control]\nlisten = 0.0.0.0:1\nauth = psk\npsk_file = %s\n", directory);
	assert_check_refuses(text, "is not a file");
	unlink(path);
	rmdir(directory);
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(fills_in_every_default),
	        UNIT_TEST(reads_every_key),
	        UNIT_TEST(one_file_serves_all_hosts),
	        UNIT_TEST(names_file_and_line_of_a_mistake),
	        UNIT_TEST(refuses_what_is_there_twice),
	        UNIT_TEST(refuses_bad_values),
	        UNIT_TEST(refuses_lines_that_would_be_misread),
	        UNIT_TEST(a_file_that_is_not_there_is_named),
	        UNIT_TEST(checks_that_the_arena_holds_what_it_guarantees),
	        UNIT_TEST(checks_that_one_late_sign_of_life_is_no_death),
	        UNIT_TEST(refuses_no_authentication_beyond_loopback),
	        UNIT_TEST(refuses_encryption_without_authentication),
	        UNIT_TEST(peers_must_be_able_to_find_each_other),
	        UNIT_TEST(secrets_must_be_there_private_and_long_enough),
	        {NULL, NULL},
	};

	return unit_run("config", tests);
}

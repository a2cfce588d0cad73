/* SPDX-License-Identifier: Apache-2.0 */
/* test_metrics.c - the agent's counters over HTTP. */
#include "transport/agent/metrics.h"

#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static char error[CONFIG_ERROR_MAX];

static void render(FILE *out, void *ctx)
{
	int *calls = ctx;

	fprintf(out, "# TYPE sluice_calls counter\nsluice_calls %d\n", ++*calls);
}

static struct metrics *must_start(int *calls)
{
	const struct config_address listen = {.host = "127.0.0.1", .port = "0"};
	struct metrics *metrics;

	if (metrics_start(&listen, render, calls, &metrics, error)) {
		fprintf(stderr, "start: %s\n", error);
		abort();
	}
	return metrics;
}

/* The whole answer to a request, NUL-terminated. */
static void ask(const struct metrics *metrics, const char *request, char *ret_answer, size_t size)
{
	struct sockaddr_in address = {
	        .sin_family = AF_INET,
	        .sin_port = htons(metrics_port(metrics)),
	        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	struct timeval patience = {.tv_sec = 20};
	size_t used = 0;
	ssize_t n;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) ||
	    send(fd, request, strlen(request), MSG_NOSIGNAL) < 0)
		abort();
	while (used + 1 < size && (n = recv(fd, ret_answer + used, size - used - 1, 0)) > 0)
		used += (size_t)n;
	ret_answer[used] = '\0';
	close(fd);
}

#define REQUEST(line) line " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

static void serves_what_the_callback_writes(void)
{
	char answer[4096];
	int calls = 0;
	struct metrics *metrics = must_start(&calls);

	ask(metrics, REQUEST("GET /metrics"), answer, sizeof(answer));
	CU_ASSERT(strncmp(answer, "HTTP/1.1 200", 12) == 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(answer, "Content-Type: text/plain; version=0.0.4"));
	CU_ASSERT_PTR_NOT_NULL(strstr(answer, "\nsluice_calls 1\n"));
	ask(metrics, REQUEST("GET /metrics"), answer, sizeof(answer));
	CU_ASSERT_PTR_NOT_NULL(strstr(answer, "\nsluice_calls 2\n"));
	metrics_stop(metrics);
}

static void refuses_everything_else_without_asking_the_callback(void)
{
	char answer[4096];
	int calls = 0;
	struct metrics *metrics = must_start(&calls);

	ask(metrics, REQUEST("GET /"), answer, sizeof(answer));
	CU_ASSERT(strncmp(answer, "HTTP/1.1 404", 12) == 0);
	ask(metrics, REQUEST("GET /metrics/../metrics"), answer, sizeof(answer));
	CU_ASSERT(strncmp(answer, "HTTP/1.1 404", 12) == 0);
	ask(metrics, REQUEST("HEAD /metrics"), answer, sizeof(answer));
	CU_ASSERT(strncmp(answer, "HTTP/1.1 405", 12) == 0);
	ask(metrics,
	    "POST /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: "
	    "5\r\n\r\nhello",
	    answer, sizeof(answer));
	CU_ASSERT(strncmp(answer, "HTTP/1.1 405", 12) == 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(answer, "Allow: GET\r\n"));
	ask(metrics, "rubbish\r\n\r\n", answer, sizeof(answer));
	CU_ASSERT(strncmp(answer, "HTTP/1.1 200", 12) != 0);
	CU_ASSERT_EQUAL(calls, 0);
	metrics_stop(metrics);
}

static void a_port_that_is_taken_is_named(void)
{
	int calls = 0;
	struct metrics *metrics = must_start(&calls);
	struct config_address listen = {.host = "127.0.0.1"};
	struct metrics *second = NULL;

	snprintf(listen.port, sizeof(listen.port), "%u", metrics_port(metrics));
	CU_ASSERT_EQUAL(metrics_start(&listen, render, &calls, &second, error), -EADDRINUSE);
	CU_ASSERT_PTR_NULL(second);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "metrics_listen: cannot listen on 127.0.0.1:"));
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "Address already in use"));
	metrics_stop(metrics);
}

static void a_name_that_is_not_there_is_named(void)
{
	const struct config_address listen = {.host = "999.999.999.999", .port = "1"};
	struct metrics *metrics = NULL;
	int calls = 0;

	CU_ASSERT_EQUAL(metrics_start(&listen, render, &calls, &metrics, error), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "999.999.999.999"));
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(serves_what_the_callback_writes),
	        UNIT_TEST(refuses_everything_else_without_asking_the_callback),
	        UNIT_TEST(a_port_that_is_taken_is_named),
	        UNIT_TEST(a_name_that_is_not_there_is_named),
	        {NULL, NULL},
	};

	return unit_run("metrics", tests);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* metrics.c - see metrics.h. */
#include "transport/agent/metrics.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A scraper needs one connection; more are somebody's mistake. */
#define METRICS_CONNECTIONS_MAX  16u
#define METRICS_IDLE_SECONDS_MAX 10u

struct metrics {
	struct MHD_Daemon *daemon;
	metrics_render render;
	void *ctx;
	uint16_t port;
};

static enum MHD_Result metrics_answer(struct MHD_Connection *connection, unsigned status,
                                      const char *type, const char *text, size_t size_bytes,
                                      enum MHD_ResponseMemoryMode mode)
{
	struct MHD_Response *response =
	        MHD_create_response_from_buffer(size_bytes, (void *)text, mode);
	enum MHD_Result result;

	if (!response) {
		if (mode == MHD_RESPMEM_MUST_FREE)
			free((void *)text);
		return MHD_NO;
	}
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET");
	result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result metrics_refuse(struct MHD_Connection *connection, unsigned status,
                                      const char *text)
{
	return metrics_answer(connection, status, "text/plain", text, strlen(text),
	                      MHD_RESPMEM_PERSISTENT);
}

static enum MHD_Result metrics_request(void *ctx, struct MHD_Connection *connection,
                                       const char *url, const char *method, const char *version,
                                       const char *upload, size_t *upload_bytes, void **state)
{
	struct metrics *metrics = ctx;
	size_t size_bytes = 0;
	char *text = NULL;
	FILE *out;

	if (*upload_bytes) { /* the body of a refused method: read and forget */
		*upload_bytes = 0;
		return MHD_YES;
	}
	if (!*state) { /* headers only; answering here would reset a peer that still sends */
		*state = metrics;
		return MHD_YES;
	}
	if (strcmp(url, "/metrics") != 0)
		return metrics_refuse(connection, MHD_HTTP_NOT_FOUND, "only /metrics is here\n");
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0)
		return metrics_refuse(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET\n");
	out = open_memstream(&text, &size_bytes);
	if (!out)
		return MHD_NO;
	metrics->render(out, metrics->ctx);
	if (fclose(out)) {
		free(text);
		return MHD_NO;
	}
	return metrics_answer(connection, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8",
	                      text, size_bytes, MHD_RESPMEM_MUST_FREE);
}

static int metrics_fail(const struct config_address *listen, const char *why, int rc, char *error)
{
	snprintf(error, CONFIG_ERROR_MAX, "metrics_listen: cannot listen on %s:%s: %s",
	         listen->host, listen->port, why);
	return rc;
}

/* The socket is made here, not by libmicrohttpd: it would not say why it failed. */
static int metrics_listen(const struct config_address *listen_on, int *ret_fd, char *error)
{
	const struct addrinfo hints = {
	        .ai_family = AF_UNSPEC,
	        .ai_socktype = SOCK_STREAM,
	        .ai_flags = AI_PASSIVE | AI_NUMERICSERV,
	};
	struct addrinfo *list;
	int one = 1;
	int fd;
	int rc = getaddrinfo(listen_on->host, listen_on->port, &hints, &list);

	if (rc)
		return metrics_fail(listen_on, gai_strerror(rc), -EINVAL, error);
	rc = 0;
	fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    bind(fd, list->ai_addr, list->ai_addrlen) || listen(fd, SOMAXCONN))
		rc = -errno;
	freeaddrinfo(list);
	if (rc) {
		if (fd >= 0)
			close(fd);
		return metrics_fail(listen_on, strerror(-rc), rc, error);
	}
	*ret_fd = fd;
	return 0;
}

int metrics_start(const struct config_address *listen, metrics_render render, void *ctx,
                  struct metrics **ret_metrics, char *error)
{
	struct metrics *metrics = calloc(1, sizeof(*metrics));
	struct sockaddr_storage bound;
	socklen_t size = sizeof(bound);
	char port[8] = "0";
	sigset_t all, before;
	int fd, rc;

	if (!metrics)
		return metrics_fail(listen, "out of memory", -ENOMEM, error);
	metrics->render = render;
	metrics->ctx = ctx;
	rc = metrics_listen(listen, &fd, error);
	if (rc)
		goto err_free;
	if (getsockname(fd, (struct sockaddr *)&bound, &size) == 0)
		getnameinfo((struct sockaddr *)&bound, size, NULL, 0, port, sizeof(port),
		            NI_NUMERICSERV);
	metrics->port = (uint16_t)strtoul(port, NULL, 10);

	/* Signals are the agent's business: none is delivered to the server's thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	metrics->daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_AUTO, 0, NULL,
	                                   NULL, metrics_request, metrics, MHD_OPTION_LISTEN_SOCKET,
	                                   fd, MHD_OPTION_CONNECTION_LIMIT, METRICS_CONNECTIONS_MAX,
	                                   MHD_OPTION_CONNECTION_TIMEOUT, METRICS_IDLE_SECONDS_MAX,
	                                   MHD_OPTION_END);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!metrics->daemon) {
		close(fd);
		rc = metrics_fail(listen, "the HTTP server did not start", -ENOMEM, error);
		goto err_free;
	}
	*ret_metrics = metrics;
	return 0;

err_free:
	free(metrics);
	return rc;
}

void metrics_stop(struct metrics *metrics)
{
	if (!metrics)
		return;
	MHD_stop_daemon(metrics->daemon); /* also closes the socket */
	free(metrics);
}

uint16_t metrics_port(const struct metrics *metrics)
{
	return metrics->port;
}

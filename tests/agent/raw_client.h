/* SPDX-License-Identifier: Apache-2.0 */
/* raw_client.h - talks to the agent's socket without the client library, so that
 * it can say what the library never would. */
#ifndef TESTS_AGENT_RAW_CLIENT_H
#define TESTS_AGENT_RAW_CLIENT_H

#include "tests/agent/agent_fixture.h"
#include "transport/client_codec.h"

/* A connection, owned; -errno. */
int raw_connect(const struct agent_fixture *fixture);

/* Wait for a message (its descriptors are closed). 0; -ETIMEDOUT; -ENOTCONN: the
 * agent closed; else as client_recv. */
int raw_receive(int socket_fd, union client_message *ret_message);

/* Whether the agent closes the connection, messages before that skipped. */
bool raw_is_closed(int socket_fd);

/* An ATTACH that is good. */
union client_message raw_attach_message(const char *name);
/* An OPEN that is good, of query, on this host. */
union client_message raw_open_message(uint64_t query, enum slu_direction direction);

/* Send a message; 0 or -errno. */
int raw_send(int socket_fd, const union client_message *message);

/* Connect and attach; the answer is written. The connection, owned, or -errno. */
int raw_attach(const struct agent_fixture *fixture, const char *name,
               union client_message *ret_answer);

/* Send bytes on a new connection: the answer is an ERROR with that errno and
 * those words, and then the connection ends. Returns whether. */
bool raw_is_refused(const struct agent_fixture *fixture, const void *bytes, size_t size_bytes,
                    int error, const char *words);

/* As raw_is_refused on a connection that is there; takes it. */
bool raw_says_refused(int socket_fd, const void *bytes, size_t size_bytes, int error,
                      const char *words);

#endif

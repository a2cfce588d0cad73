/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unix_socket.h - the agent's Unix socket in the file system. A lock file beside it
 * says whether an agent lives: the socket of a dead one is replaced, that of a
 * live one is not.
 */
#ifndef TRANSPORT_AGENT_UNIX_SOCKET_H
#define TRANSPORT_AGENT_UNIX_SOCKET_H

#include <stdint.h>

/* Lock PATH.lock and listen on PATH with that mode; both descriptors are returned
 * owned, the lock lasts as long as its own. -EADDRINUSE: another agent serves
 * PATH; or the errno of what failed; error: CONFIG_ERROR_MAX bytes. Call before
 * there are threads: it sets the umask for a moment. */
int unix_socket_open(const char *path, uint32_t mode, int *ret_socket_fd, int *ret_lock_fd,
                     char *error);

/* Takes socket_fd; removes PATH. The lock file stays: removing it would let two
 * agents lock two files of the same name. */
void unix_socket_close(const char *path, int socket_fd);

#endif

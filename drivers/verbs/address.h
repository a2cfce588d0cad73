/* SPDX-License-Identifier: Apache-2.0 */
/*
 * address.h - texts like "10.0.0.1:7433" and "[fd00::1]:7433" to addresses of
 * RDMA ports and back. Numbers alone: the connection manager's own resolution of
 * names would block.
 */
#ifndef DRIVERS_VERBS_ADDRESS_H
#define DRIVERS_VERBS_ADDRESS_H

#include <stddef.h>
#include <sys/socket.h>

/* -EINVAL: not HOST:PORT. */
int verbs_address_parse(const char *text, struct sockaddr_storage *ret_address);
void verbs_address_format(const struct sockaddr *address, char *ret_text, size_t size_bytes);
void verbs_address_port_set(struct sockaddr_storage *address, unsigned port);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * address.h - texts like "10.0.0.1:7433" and "[fd00::1]:7433" to addresses of
 * RDMA ports and back. Numbers alone: the connection manager's own resolution of
 * names would block. To peers, a rail other than the first adds its number:
 * "10.1.0.1:7434/1".
 */
#ifndef DRIVERS_VERBS_ADDRESS_H
#define DRIVERS_VERBS_ADDRESS_H

#include <stddef.h>
#include <sys/socket.h>

/* -EINVAL: not HOST:PORT. */
int verbs_address_parse(const char *text, struct sockaddr_storage *ret_address);
int verbs_address_parse_rail(const char *text, struct sockaddr_storage *ret_address,
                             unsigned *ret_rail);
void verbs_address_format(const struct sockaddr *address, char *ret_text, size_t size_bytes);
unsigned verbs_address_port(const struct sockaddr_storage *address);
void verbs_address_port_set(struct sockaddr_storage *address, unsigned port);

#endif

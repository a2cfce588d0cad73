/* SPDX-License-Identifier: Apache-2.0 */
/*
 * address.h - texts like "10.0.0.1:7433", "[fe80::1%eth0]:7433" or "db7:7433"
 * to socket addresses and back, and the address that other hosts reach us at.
 */
#ifndef DRIVERS_TCP_ADDRESS_H
#define DRIVERS_TCP_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

/* "[" 45 "%" 15 "]:" 5 NUL, and to spare. */
#define TCP_ADDRESS_TEXT_BYTES 96u

struct tcp_address {
	struct sockaddr_storage storage;
	socklen_t size_bytes;
};

/* Read HOST:PORT. Without names a HOST that is not a number is refused and no
 * resolver is asked, which could block. default_port: the port when it is left
 * out, or NULL where it must be given.
 * -EINVAL: not an address; -ENOENT: no host of that name. */
int tcp_address_parse(const char *text, bool names, const char *default_port,
                      struct tcp_address *ret_address);

/* Numbers; an IPv4 peer of an IPv6 socket is written as IPv4. */
void tcp_address_format(const struct tcp_address *address,
                        char ret_text[static TCP_ADDRESS_TEXT_BYTES]);

unsigned tcp_address_port(const struct tcp_address *address);

/* 0.0.0.0 or [::] */
bool tcp_address_is_wildcard(const struct tcp_address *address);

/* The same host address, the port left aside. */
bool tcp_address_same_host(const struct tcp_address *a, const struct tcp_address *b);

/* In place of a wildcard, an address of this host with its port: the first that
 * is up and neither loopback nor link-local, IPv4 first; else loopback. */
void tcp_address_reachable(struct tcp_address *address);

#endif

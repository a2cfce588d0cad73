/* SPDX-License-Identifier: Apache-2.0 */
/* address.c - see address.h. */
#include "drivers/tcp/address.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transport/driver.h"

static const struct sockaddr_in *as_in(const struct tcp_address *address)
{
	return (const struct sockaddr_in *)&address->storage;
}

static const struct sockaddr_in6 *as_in6(const struct tcp_address *address)
{
	return (const struct sockaddr_in6 *)&address->storage;
}

/* getaddrinfo would take the low 16 bits of a larger number. */
static bool port_is_valid(const char *port)
{
	size_t digits = strspn(port, "0123456789");

	return digits > 0 && digits <= 5 && port[digits] == '\0' && atoi(port) <= UINT16_MAX;
}

/* Cut "HOST:PORT", "[HOST]:PORT" or "HOST" in two, in place. */
static int text_split(char *text, char **ret_host, char **ret_port)
{
	char *colon = strrchr(text, ':');
	char *bracket = strrchr(text, ']');

	*ret_port = NULL;
	if (text[0] == '[') {
		if (!bracket || (bracket[1] != '\0' && bracket + 1 != colon))
			return -EINVAL;
		*bracket = '\0';
		*ret_host = text + 1;
		if (bracket + 1 == colon)
			*ret_port = colon + 1;
	} else {
		if (bracket || (colon && strchr(text, ':') != colon))
			return -EINVAL; /* an IPv6 address wants its brackets */
		*ret_host = text;
		if (colon) {
			*colon = '\0';
			*ret_port = colon + 1;
		}
	}
	return **ret_host && (!*ret_port || port_is_valid(*ret_port)) ? 0 : -EINVAL;
}

int tcp_address_parse(const char *text, bool names, const char *default_port,
                      struct tcp_address *ret_address)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC,
	                         .ai_socktype = SOCK_STREAM,
	                         .ai_flags = AI_NUMERICSERV | (names ? 0 : AI_NUMERICHOST)};
	char copy[SLU_DRIVER_ADDRESS_MAX];
	struct addrinfo *found;
	char *host, *port;
	int r;

	if (strlen(text) >= sizeof copy || strpbrk(text, " \t\r\n"))
		return -EINVAL;
	strcpy(copy, text);
	r = text_split(copy, &host, &port);
	if (r < 0)
		return r;
	if (!port && !default_port)
		return -EINVAL;
	r = getaddrinfo(host, port ? port : default_port, &hints, &found);
	if (r != 0)
		return names ? -ENOENT : -EINVAL;
	memset(ret_address, 0, sizeof *ret_address);
	memcpy(&ret_address->storage, found->ai_addr, found->ai_addrlen);
	ret_address->size_bytes = found->ai_addrlen;
	freeaddrinfo(found);
	return 0;
}

/* An IPv4 address that an IPv6 socket shows as ::ffff:a.b.c.d. */
static struct tcp_address address_unmap(const struct tcp_address *address)
{
	const struct sockaddr_in6 *in6 = as_in6(address);
	struct tcp_address plain = *address;

	if (address->storage.ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
		struct sockaddr_in *in = (struct sockaddr_in *)&plain.storage;

		memset(&plain, 0, sizeof plain);
		in->sin_family = AF_INET;
		in->sin_port = in6->sin6_port;
		memcpy(&in->sin_addr, in6->sin6_addr.s6_addr + 12, sizeof in->sin_addr);
		plain.size_bytes = sizeof *in;
	}
	return plain;
}

void tcp_address_format(const struct tcp_address *address,
                        char ret_text[static TCP_ADDRESS_TEXT_BYTES])
{
	struct tcp_address plain = address_unmap(address);
	bool v6 = plain.storage.ss_family == AF_INET6;
	char host[72], port[8];

	if (getnameinfo((const struct sockaddr *)&plain.storage, plain.size_bytes, host,
	                sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
		strcpy(ret_text, "?");
		return;
	}
	snprintf(ret_text, TCP_ADDRESS_TEXT_BYTES, "%s%s%s:%s", v6 ? "[" : "", host, v6 ? "]" : "",
	         port);
}

unsigned tcp_address_port(const struct tcp_address *address)
{
	/* sin_port and sin6_port share their place. */
	return ntohs(as_in(address)->sin_port);
}

bool tcp_address_is_wildcard(const struct tcp_address *address)
{
	if (address->storage.ss_family == AF_INET6)
		return IN6_IS_ADDR_UNSPECIFIED(&as_in6(address)->sin6_addr);
	return as_in(address)->sin_addr.s_addr == htonl(INADDR_ANY);
}

bool tcp_address_same_host(const struct tcp_address *a, const struct tcp_address *b)
{
	if (a->storage.ss_family != b->storage.ss_family)
		return false;
	if (a->storage.ss_family == AF_INET6)
		return IN6_ARE_ADDR_EQUAL(&as_in6(a)->sin6_addr, &as_in6(b)->sin6_addr);
	return as_in(a)->sin_addr.s_addr == as_in(b)->sin_addr.s_addr;
}

/* Whether other hosts may reach us there. */
static bool interface_address_usable(const struct ifaddrs *interface, sa_family_t family)
{
	const struct sockaddr *address = interface->ifa_addr;

	if (!address || address->sa_family != family || !(interface->ifa_flags & IFF_UP) ||
	    (interface->ifa_flags & IFF_LOOPBACK))
		return false;
	return family == AF_INET ||
	       !IN6_IS_ADDR_LINKLOCAL(&((const struct sockaddr_in6 *)address)->sin6_addr);
}

void tcp_address_reachable(struct tcp_address *address)
{
	/* A wildcard of IPv6 takes IPv4 peers too, see listen.c. */
	bool v6 = address->storage.ss_family == AF_INET6;
	const sa_family_t families[2] = {AF_INET, AF_INET6};
	in_port_t port = as_in(address)->sin_port;
	struct ifaddrs *interfaces = NULL;
	struct tcp_address found = *address;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&found.storage;
	struct sockaddr_in *in = (struct sockaddr_in *)&found.storage;
	bool done = false;

	if (v6)
		in6->sin6_addr = in6addr_loopback;
	else
		in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (getifaddrs(&interfaces) == 0) {
		for (int f = 0; f < (v6 ? 2 : 1) && !done; f++)
			for (struct ifaddrs *i = interfaces; i && !done; i = i->ifa_next) {
				done = interface_address_usable(i, families[f]);
				if (!done)
					continue;
				found.size_bytes =
				        families[f] == AF_INET6 ? sizeof *in6 : sizeof *in;
				memset(&found.storage, 0, sizeof found.storage);
				memcpy(&found.storage, i->ifa_addr, found.size_bytes);
				in->sin_port = port;
			}
		freeifaddrs(interfaces);
	}
	*address = found;
}

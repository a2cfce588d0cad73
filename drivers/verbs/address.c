/* SPDX-License-Identifier: Apache-2.0 */
/* address.c - see address.h. */
#include "drivers/verbs/address.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transport/driver.h"

int verbs_address_parse(const char *text, struct sockaddr_storage *ret_address)
{
	struct addrinfo hints = {.ai_family = AF_INET,
	                         .ai_socktype = SOCK_STREAM,
	                         .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
	char copy[SLU_DRIVER_ADDRESS_MAX], *host = copy, *port;
	struct addrinfo *found;
	size_t digits;

	if (strlen(text) >= sizeof copy)
		return -EINVAL;
	strcpy(copy, text);
	port = strrchr(copy, ':');
	if (!port)
		return -EINVAL;
	*port++ = '\0';
	if (copy[0] == '[') {
		char *bracket = strchr(copy, ']');

		if (!bracket || bracket[1] != '\0')
			return -EINVAL;
		*bracket = '\0';
		host = copy + 1;
		hints.ai_family = AF_INET6;
	}
	/* getaddrinfo would take the low 16 bits of a larger number. */
	digits = strspn(port, "0123456789");
	if (digits == 0 || digits > 5 || port[digits] != '\0' || atoi(port) > UINT16_MAX)
		return -EINVAL;
	if (getaddrinfo(host, port, &hints, &found) != 0)
		return -EINVAL;
	memset(ret_address, 0, sizeof *ret_address);
	memcpy(ret_address, found->ai_addr, found->ai_addrlen);
	freeaddrinfo(found);
	return 0;
}

int verbs_address_parse_rail(const char *text, struct sockaddr_storage *ret_address,
                             unsigned *ret_rail)
{
	const char *slash = strchr(text, '/');
	char copy[SLU_DRIVER_ADDRESS_MAX];

	*ret_rail = 0;
	if (!slash)
		return verbs_address_parse(text, ret_address);
	if (strlen(text) >= sizeof copy || slash[1] < '0' || slash[1] > '9' || slash[2] != '\0')
		return -EINVAL;
	strcpy(copy, text);
	copy[slash - text] = '\0';
	*ret_rail = (unsigned)(slash[1] - '0');
	return verbs_address_parse(copy, ret_address);
}

void verbs_address_format(const struct sockaddr *address, char *ret_text, size_t size_bytes)
{
	bool v6 = address->sa_family == AF_INET6;
	socklen_t length = v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
	char host[64], port[8];

	if (getnameinfo(address, length, host, sizeof host, port, sizeof port,
	                NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		snprintf(ret_text, size_bytes, "?");
	else
		snprintf(ret_text, size_bytes, v6 ? "[%s]:%s" : "%s:%s", host, port);
}

void verbs_address_port_set(struct sockaddr_storage *address, unsigned port)
{
	if (address->ss_family == AF_INET6)
		((struct sockaddr_in6 *)address)->sin6_port = htons((uint16_t)port);
	else
		((struct sockaddr_in *)address)->sin_port = htons((uint16_t)port);
}

unsigned verbs_address_port(const struct sockaddr_storage *address)
{
	return ntohs(address->ss_family == AF_INET6
	                     ? ((const struct sockaddr_in6 *)address)->sin6_port
	                     : ((const struct sockaddr_in *)address)->sin_port);
}

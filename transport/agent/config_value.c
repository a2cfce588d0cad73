/* SPDX-License-Identifier: Apache-2.0 */
/* config_value.c - see config_value.h. */
#include "transport/agent/config_value.h"

#include "transport/clock.h"

#include <ctype.h>
#include <errno.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct value_unit {
	const char *name;
	uint64_t factor;
};

__attribute__((format(printf, 2, 3))) static int value_error(char *error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, CONFIG_ERROR_MAX, format, args);
	va_end(args);
	return -EINVAL;
}

/* The digits text begins with; *ret_rest is what follows. strtoull alone would
 * take a sign, leading space and, on overflow, the largest number. */
static int value_digits(const char *text, int base, uint64_t *ret_value, const char **ret_rest)
{
	char *end;

	if (base == 16 ? !isxdigit((unsigned char)*text) : !isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	*ret_value = strtoull(text, &end, base);
	*ret_rest = end;
	return errno ? -ERANGE : 0;
}

int config_value_u64(const char *text, uint64_t *ret_value, char *error)
{
	bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
	const char *rest;
	uint64_t value;
	int rc = value_digits(hex ? text + 2 : text, hex ? 16 : 10, &value, &rest);

	if (rc == -ERANGE)
		return value_error(error, "'%s' does not fit 64 bits", text);
	if (rc || *rest)
		return value_error(error, "'%s' is not a whole number", text);
	*ret_value = value;
	return 0;
}

int config_value_octal(const char *text, uint64_t *ret_value, char *error)
{
	const char *rest;
	uint64_t value;

	if (value_digits(text, 8, &value, &rest) || *rest || value > 0777)
		return value_error(error, "'%s' is not a mode such as 0660", text);
	*ret_value = value;
	return 0;
}

static int value_with_unit(const char *text, const struct value_unit *units, const char *example,
                           uint64_t *ret_value, char *error)
{
	const char *rest;
	uint64_t value;

	if (value_digits(text, 10, &value, &rest) == -EINVAL)
		return value_error(error, "'%s' is not %s", text, example);
	for (; units->name; units++)
		if (strcasecmp(rest, units->name) == 0)
			break;
	if (!units->name && !(value == 0 && !*rest))
		return value_error(error, "'%s' is not %s", text, example);
	if (units->name && __builtin_mul_overflow(value, units->factor, &value))
		return value_error(error, "'%s' is too large", text);
	*ret_value = value;
	return 0;
}

int config_value_size(const char *text, uint64_t *ret_bytes, char *error)
{
	static const struct value_unit units[] = {
	        {"", 1},
	        {"k", UINT64_C(1) << 10},
	        {"m", UINT64_C(1) << 20},
	        {"g", UINT64_C(1) << 30},
	        {NULL, 0},
	};

	return value_with_unit(text, units, "a size such as 64k, 256M or 1G", ret_bytes, error);
}

int config_value_duration(const char *text, uint64_t *ret_ns, char *error)
{
	static const struct value_unit units[] = {
	        {"us", SLU_NS_PER_US},
	        {"ms", SLU_NS_PER_MS},
	        {"s", SLU_NS_PER_S},
	        {NULL, 0},
	};

	return value_with_unit(text, units, "a time with its unit: 5s, 500ms or 20us", ret_ns,
	                       error);
}

int config_value_bool(const char *text, bool *ret_value, char *error)
{
	if (strcmp(text, "yes") != 0 && strcmp(text, "no") != 0)
		return value_error(error, "'%s' is neither yes nor no", text);
	*ret_value = text[0] == 'y';
	return 0;
}

int config_value_address(const char *text, struct config_address *ret_address, char *error)
{
	const char *colon = strrchr(text, ':');
	struct config_address address;
	const char *host = text;
	const char *rest;
	size_t host_size;
	uint64_t port;

	if (!colon || value_digits(colon + 1, 10, &port, &rest) || *rest || port > 65535)
		return value_error(error, "'%s' is not host:port", text);
	host_size = (size_t)(colon - text);
	if (text[0] == '[') {
		if (host_size < 3 || text[host_size - 1] != ']')
			return value_error(error, "'%s' is not [IPv6 address]:port", text);
		host++;
		host_size -= 2;
	} else if (memchr(text, ':', host_size)) {
		return value_error(error, "'%s': write an IPv6 address in brackets, [::1]:7400",
		                   text);
	}
	if (host_size == 0)
		return value_error(error, "'%s' has no host; 0.0.0.0 or [::] is every address",
		                   text);
	if (host_size >= sizeof(address.host))
		return value_error(error, "the host is longer than %zu bytes",
		                   sizeof(address.host) - 1);
	for (size_t i = 0; i < host_size; i++)
		if (!isalnum((unsigned char)host[i]) && !strchr("._-:%", host[i]))
			return value_error(error, "'%s' has a character no host name has", text);

	memset(&address, 0, sizeof(address));
	memcpy(address.host, host, host_size);
	snprintf(address.port, sizeof(address.port), "%u", (unsigned)port);
	*ret_address = address;
	return 0;
}

static int value_user(const char *text, uid_t *ret_uid, char *error)
{
	char buffer[4096];
	struct passwd entry;
	struct passwd *found = NULL;
	const char *rest;
	uint64_t number;

	if (value_digits(text, 10, &number, &rest) == 0 && !*rest) {
		if (number >= UINT32_MAX) /* (uid_t)-1 means "no user" to the kernel */
			return value_error(error, "'%s' is not a user id", text);
		*ret_uid = (uid_t)number;
		return 0;
	}
	if (!*text || getpwnam_r(text, &entry, buffer, sizeof(buffer), &found) || !found)
		return value_error(error, "no user '%s' on this host", text);
	*ret_uid = entry.pw_uid;
	return 0;
}

int config_value_users(const char *text, uid_t **ret_uids, size_t *ret_count, char *error)
{
	char *copy = strdup(text);
	char *next = copy;
	uid_t *uids = NULL;
	size_t count = 0;
	char *user;
	int rc = copy ? 0 : -ENOMEM;

	while (!rc && (user = strsep(&next, ","))) {
		uid_t *grown = reallocarray(uids, count + 1, sizeof(*uids));
		size_t size;

		if (!grown) {
			rc = -ENOMEM;
			break;
		}
		uids = grown;
		user += strspn(user, " \t");
		size = strlen(user);
		while (size && isspace((unsigned char)user[size - 1]))
			user[--size] = '\0';
		rc = value_user(user, &uids[count], error);
		count += !rc;
	}
	free(copy);
	if (rc) {
		free(uids);
		return rc;
	}
	*ret_uids = uids;
	*ret_count = count;
	return 0;
}

void config_value_size_text(uint64_t size_bytes, char *ret_text)
{
	static const char suffixes[] = {'G', 'M', 'k'};
	unsigned shift = 30;

	for (size_t i = 0; i < sizeof(suffixes); i++, shift -= 10) {
		if (size_bytes && size_bytes % (UINT64_C(1) << shift) == 0) {
			snprintf(ret_text, 24, "%llu%c", (unsigned long long)(size_bytes >> shift),
			         suffixes[i]);
			return;
		}
	}
	snprintf(ret_text, 24, "%llu", (unsigned long long)size_bytes);
}

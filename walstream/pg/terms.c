/* SPDX-License-Identifier: Apache-2.0 */
/* terms.c - see terms.h. Takes any text: it comes from another server. */
#include "walstream/pg/terms.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void terms_wish_write(const struct terms_wish *wish, char *ret_text)
{
	snprintf(ret_text, TERMS_TEXT_BYTES, "%u:%" PRIu64 ":%s", wish->version, wish->cluster,
	         wish->node);
}

void terms_offer_write(const struct terms_offer *offer, char *ret_text)
{
	char token[2 * sizeof(offer->token.bytes) + 1];

	for (size_t i = 0; i < sizeof(offer->token.bytes); i++)
		snprintf(token + 2 * i, 3, "%02x", offer->token.bytes[i]);
	snprintf(ret_text, TERMS_TEXT_BYTES, "ok %u %016" PRIx64 " %s %s", offer->version,
	         offer->stream, token, offer->node);
}

/* A number and the one character behind it. */
static bool number_read(const char **text, int base, char end, uint64_t *ret_number)
{
	char *rest;

	if (**text == '\0' || !strchr("0123456789abcdef", **text)) /* no sign, no space */
		return false;
	errno = 0;
	*ret_number = strtoull(*text, &rest, base);
	if (errno || *rest != end)
		return false;
	*text = rest + (end != '\0');
	return true;
}

static bool node_read(const char *text, char *ret_node)
{
	size_t length = strlen(text);

	if (length == 0 || length >= TERMS_NODE_BYTES)
		return false;
	for (size_t i = 0; i < length; i++)
		if (text[i] <= ' ' || text[i] > '~')
			return false;
	memcpy(ret_node, text, length + 1);
	return true;
}

static bool version_read(const char **text, char end, unsigned *ret_version)
{
	uint64_t version;

	if (!number_read(text, 10, end, &version) || version > UINT32_MAX)
		return false;
	*ret_version = (unsigned)version;
	return true;
}

bool terms_wish_read(const char *text, struct terms_wish *ret_wish)
{
	memset(ret_wish, 0, sizeof(*ret_wish));
	if (!version_read(&text, ':', &ret_wish->version))
		return false;
	if (ret_wish->version != TERMS_VERSION)
		return true;
	return number_read(&text, 10, ':', &ret_wish->cluster) && node_read(text, ret_wish->node);
}

static bool token_read(const char **text, struct slu_token *ret_token)
{
	for (size_t i = 0; i < sizeof(ret_token->bytes); i++) {
		char digits[3] = {(*text)[0], '\0', '\0'};
		const char *at = digits;
		uint64_t byte;

		if (digits[0])
			digits[1] = (*text)[1];
		if (!digits[1] || !number_read(&at, 16, '\0', &byte))
			return false;
		ret_token->bytes[i] = (uint8_t)byte;
		*text += 2;
	}
	return *(*text)++ == ' ';
}

bool terms_offer_read(const char *text, struct terms_offer *ret_offer)
{
	memset(ret_offer, 0, sizeof(*ret_offer));
	if (strncmp(text, "ok ", 3) != 0)
		return false;
	text += 3;
	if (!version_read(&text, ' ', &ret_offer->version))
		return false;
	if (ret_offer->version != TERMS_VERSION)
		return true;
	return number_read(&text, 16, ' ', &ret_offer->stream) &&
	       token_read(&text, &ret_offer->token) && node_read(text, ret_offer->node);
}

const char *terms_refusal(const char *text)
{
	return strncmp(text, "no ", 3) == 0 ? text + 3 : NULL;
}

bool terms_cluster_read(const char *text, uint64_t *ret_cluster)
{
	return number_read(&text, 10, '\0', ret_cluster) && *ret_cluster != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * failure.c - an error on its way through the text of a channel's reset:
 * "[SQLSTATE] headline". The transport puts before it who reset the channel and
 * after it which channel it was. Never blocks and needs no credit, unlike a
 * frame: that is worth more than a long text.
 */
#include "motion/context.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SQLSTATE_CHARS 5u
#define MARK_CHARS     (SQLSTATE_CHARS + 3) /* "[SSSSS] " */

const char *failure_sqlstate(int error)
{
	switch (-error) {
	case ECANCELED:
		return "57014"; /* query_canceled */
	case ETIMEDOUT:
		return "08001"; /* sqlclient_unable_to_establish_sqlconnection */
	case EBADMSG:
	case EPROTO:
		return "08P01"; /* protocol_violation */
	case ENOSPC:
		return "53100"; /* disk_full */
	case EDQUOT:
		return "53400"; /* configuration_limit_exceeded */
	case ENOMEM:
		return "53200"; /* out_of_memory */
	case EMSGSIZE:
		return "54000"; /* program_limit_exceeded */
	case EIO:
		return "58030"; /* io_error */
	default:
		return "08006"; /* connection_failure */
	}
}

/* Copy what fits, whole characters of UTF-8 only, and end it. */
static void copy_text(char *ret_text, size_t room, const char *text, size_t length)
{
	if (length >= room) {
		length = room - 1;
		while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80)
			length--;
	}
	memcpy(ret_text, text, length);
	ret_text[length] = '\0';
}

void failure_encode(char *ret_text, const char *sqlstate, const char *text)
{
	snprintf(ret_text, FAILURE_TEXT_BYTES, "[%.5s] ", sqlstate);
	copy_text(ret_text + strlen(ret_text), FAILURE_TEXT_BYTES - strlen(ret_text), text,
	          strlen(text));
}

static bool are_sqlstate_chars(const char *text)
{
	for (size_t i = 0; i < SQLSTATE_CHARS; i++)
		if (!isdigit((unsigned char)text[i]) && !isupper((unsigned char)text[i]))
			return false;
	return true;
}

bool failure_sqlstate_valid(const char *sqlstate)
{
	return are_sqlstate_chars(sqlstate) && sqlstate[SQLSTATE_CHARS] == '\0';
}

static bool is_mark(const char *text)
{
	return text[0] == '[' && are_sqlstate_chars(text + 1) && text[SQLSTATE_CHARS + 1] == ']' &&
	       text[SQLSTATE_CHARS + 2] == ' ';
}

/* Who reset it comes before, with names of the user's choice: the mark follows ": ". */
static const char *find_mark(const char *reason)
{
	if (is_mark(reason))
		return reason;
	for (const char *at = strstr(reason, ": ["); at; at = strstr(at + 1, ": ["))
		if (is_mark(at + 2))
			return at + 2;
	return NULL;
}

static size_t headline_length(const char *headline)
{
	const char *end = NULL;

	for (const char *at = strstr(headline, "; channel "); at; at = strstr(at + 1, "; channel "))
		end = at;
	return end ? (size_t)(end - headline) : strlen(headline);
}

void failure_decode(const char *reason, int error, struct slu_motion_error *ret_error, char *relay)
{
	const char *mark = find_mark(reason);
	char headline[FAILURE_TEXT_BYTES];

	ret_error->error = error;
	if (!mark) {
		const char *text = reason[0] ? reason : strerror(-error);

		snprintf(ret_error->sqlstate, sizeof(ret_error->sqlstate), "%s",
		         failure_sqlstate(error));
		copy_text(ret_error->text, sizeof(ret_error->text), text, strlen(text));
		failure_encode(relay, ret_error->sqlstate, text);
		return;
	}
	snprintf(ret_error->sqlstate, sizeof(ret_error->sqlstate), "%.5s", mark + 1);
	copy_text(headline, sizeof(headline), mark + MARK_CHARS,
	          headline_length(mark + MARK_CHARS));
	snprintf(ret_error->text, sizeof(ret_error->text), "%.*s%s", (int)(mark - reason), reason,
	         mark + MARK_CHARS);
	failure_encode(relay, ret_error->sqlstate, headline);
}

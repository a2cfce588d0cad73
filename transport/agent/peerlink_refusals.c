/* SPDX-License-Identifier: Apache-2.0 */
/* peerlink_refusals.c - see peerlink_refusals.h. */
#include "transport/agent/peerlink_refusals.h"

#include <stdio.h>
#include <string.h>

/* The one with that text; else the place of the one not seen for longest. */
static struct refusal *refusal_find(struct refusals *refusals, const char *text)
{
	struct refusal *oldest = &refusals->known[0];

	for (unsigned i = 0; i < REFUSALS_KNOWN_MAX; i++) {
		struct refusal *refusal = &refusals->known[i];

		if (strcmp(refusal->text, text) == 0)
			return refusal;
		if (refusal->seen_ns < oldest->seen_ns)
			oldest = refusal;
	}
	return oldest;
}

bool refusals_line_new(struct refusals *refusals, uint64_t now_ns)
{
	if (now_ns < refusals->next_ns) {
		refusals->unlogged++;
		return false;
	}
	refusals->next_ns = now_ns + REFUSALS_NEW_NS;
	return true;
}

bool refusals_line(struct refusals *refusals, const char *address, const char *reason,
                   uint64_t now_ns, uint64_t *ret_again, uint64_t *ret_others)
{
	const char *colon = strrchr(address, ':'); /* the port is another each time */
	struct refusal *refusal;
	char text[sizeof(refusal->text)];

	snprintf(text, sizeof(text), "%.*s %s",
	         (int)(colon ? (size_t)(colon - address) : strlen(address)), address, reason);
	refusal = refusal_find(refusals, text);
	if (strcmp(refusal->text, text) == 0 && now_ns < refusal->seen_ns + REFUSALS_NS_MIN) {
		refusal->seen_ns = now_ns;
		if (now_ns < refusal->next_ns) {
			refusal->unlogged++;
			return false;
		}
		refusal->quiet_ns *= 2;
		if (refusal->quiet_ns > REFUSALS_NS_MAX)
			refusal->quiet_ns = REFUSALS_NS_MAX;
	} else {
		if (!refusals_line_new(refusals, now_ns))
			return false;
		*refusal = (struct refusal){.seen_ns = now_ns, .quiet_ns = REFUSALS_NS_MIN};
		memcpy(refusal->text, text, sizeof(text));
	}
	refusal->next_ns = now_ns + refusal->quiet_ns;
	*ret_again = refusal->unlogged;
	*ret_others = refusals->unlogged;
	refusal->unlogged = refusals->unlogged = 0;
	return true;
}

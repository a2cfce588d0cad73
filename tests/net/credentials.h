/* SPDX-License-Identifier: Apache-2.0 */
/*
 * credentials.h - keys and certificates for the agents of a test, in a directory
 * that goes away with credentials_end().
 */
#ifndef TESTS_NET_CREDENTIALS_H
#define TESTS_NET_CREDENTIALS_H

#include <stddef.h>

struct credentials {
	char directory[48];
};

/* Two authorities and what is needed to make more. Ends the program when it
 * cannot: there is no test without. */
void credentials_begin(struct credentials *credentials);
void credentials_end(struct credentials *credentials);

/* The lines of [control] for auth = cert: a new certificate that speaks for
 * node, of authority 0 or 1, which is also the one it trusts. */
void credentials_cert(const struct credentials *credentials, const char *node, unsigned authority,
                      char *ret_lines, size_t size_bytes);
/* The lines of [control] for auth = psk, with key 0 or 1. */
void credentials_psk(const struct credentials *credentials, unsigned key, char *ret_lines,
                     size_t size_bytes);

#endif

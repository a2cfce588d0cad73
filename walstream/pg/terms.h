/* SPDX-License-Identifier: Apache-2.0 */
/*
 * terms.h - what standby and primary say to each other about a stream, as text, on
 * the replication connection that PostgreSQL has authenticated:
 *
 *   standby -> primary  its wish, a setting given while connecting:  1:CLUSTER:NODE
 *   primary -> standby  its offer, shown by a setting:  ok 1 STREAM TOKEN NODE
 *                       or why not:                     no REASON
 *
 * The number is TERMS_VERSION. STREAM and TOKEN are hexadecimal. NODE is the name of
 * the agent's node, at the end because it may be any printable text.
 */
#ifndef WALSTREAM_PG_TERMS_H
#define WALSTREAM_PG_TERMS_H

#include <sluice/sluice.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TERMS_VERSION    1u
#define TERMS_NODE_BYTES 64u  /* with its NUL */
#define TERMS_TEXT_BYTES 256u /* largest text here with its NUL */

struct terms_wish {
	unsigned version;
	uint64_t cluster;
	char node[TERMS_NODE_BYTES];
};

struct terms_offer {
	unsigned version;
	uint64_t stream;
	struct slu_token token;
	char node[TERMS_NODE_BYTES];
};

/* ret_text has TERMS_TEXT_BYTES. */
void terms_wish_write(const struct terms_wish *wish, char *ret_text);
void terms_offer_write(const struct terms_offer *offer, char *ret_text);

/* false: not such a text. Of another version only ret_...->version is read. */
bool terms_wish_read(const char *text, struct terms_wish *ret_wish);
bool terms_offer_read(const char *text, struct terms_offer *ret_offer);

/* The reason in "no REASON"; NULL: another text. */
const char *terms_refusal(const char *text);

/* A cluster id as in sluiced.conf: any number but 0. */
bool terms_cluster_read(const char *text, uint64_t *ret_cluster);

#endif

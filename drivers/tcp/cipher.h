/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cipher.h - one direction of an encrypted session: records sealed and opened by
 * AES-256-GCM (NIST SP 800-38D). The nonce is not on the wire: it is the number of
 * the record, which both ends count, so one that is repeated, left out, moved or
 * of another session does not open. A key is used for cipher->blocks_max blocks,
 * then both ends replace it by one that is derived from it.
 *
 * Bytes in, bytes out; the only file of the driver that knows OpenSSL is cipher.c.
 */
#ifndef DRIVERS_TCP_CIPHER_H
#define DRIVERS_TCP_CIPHER_H

#include <stdbool.h>
#include <stdint.h>

#include "drivers/tcp/tcp_wire.h"

/* 64 GiB by one key. What an attacker gains by that much of it is (2^32)^2 / 2^128
 * at most; RFC 8446, 5.5, allows TLS six times as many blocks. */
#define TCP_CIPHER_BLOCKS_MAX (UINT64_C(1) << 32)

struct tcp_cipher {
	struct evp_cipher_ctx_st *context; /* NULL: not in use, the session is plain */
	uint64_t record_number;            /* of the next under this key */
	uint64_t blocks, blocks_max;       /* of 16 bytes, through the cipher by this key */
	uint8_t key[SLU_DRIVER_KEY_BYTES];
};

/* seals: this end sends. key is copied. Ended by tcp_cipher_fini. -ENOMEM. */
int tcp_cipher_init(struct tcp_cipher *cipher, const uint8_t *key, bool seals);
/* Also of one that is all zeros. The key is wiped. */
void tcp_cipher_fini(struct tcp_cipher *cipher);

/*
 * The payload of a record, encrypted, and its tag of TCP_WIRE_TAG_BYTES. header:
 * TCP_WIRE_HEADER_BYTES as they go on the wire. ret_sealed: room for size_bytes and
 * the tag. size_bytes is at least 1. 0; -EIO: OpenSSL failed.
 */
int tcp_cipher_seal(struct tcp_cipher *cipher, const void *header, const void *payload,
                    uint32_t size_bytes, uint8_t *ret_sealed);

/* The payload of the next record, decrypted where it lies. -EBADMSG: it is not what
 * the peer sealed; what then is in payload must not be used, and nothing that
 * follows can be opened. */
int tcp_cipher_open(struct tcp_cipher *cipher, const void *header, void *payload,
                    uint32_t size_bytes, const void *tag);

#endif

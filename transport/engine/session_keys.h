/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_keys.h - what an encrypted session is made of. The secret of a session is
 * random, good once, and travels on the conductors' authenticated connection alone;
 * by HKDF-Expand (RFC 5869, SHA-256) it gives a proof, which the hello shows in its
 * place, and a key for each direction, which depend on every byte of that hello.
 */
#ifndef TRANSPORT_ENGINE_SESSION_KEYS_H
#define TRANSPORT_ENGINE_SESSION_KEYS_H

#include "transport/driver.h"
#include "transport/engine/engine_wire.h"

/* What the hello shows: who sends it has the secret, and who reads it has not. 0;
 * -EIO: OpenSSL failed. */
int session_keys_proof(const uint8_t *secret, uint8_t *ret_proof);

/* hello: SLU_DRIVER_HELLO_BYTES as they were sent. connects: this side connects.
 * 0; -EIO. */
int session_keys_derive(const uint8_t *secret, const void *hello, bool connects,
                        struct slu_driver_keys *ret_keys);

#endif

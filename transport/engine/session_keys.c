/* SPDX-License-Identifier: Apache-2.0 */
/* session_keys.c - see session_keys.h. */
#include "transport/engine/session_keys.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#define LABEL_BYTES 24u
#define INFO_BYTES  (LABEL_BYTES + SLU_DRIVER_HELLO_BYTES + 1)

/* HKDF-Expand of one block: as many bytes as SHA-256 has. The secret is uniformly
 * random already, so there is nothing to extract. */
static int expand(const uint8_t *secret, const char *label, const void *hello, uint8_t *ret_bytes)
{
	uint8_t info[INFO_BYTES] = {0};
	unsigned size = 0;

	memcpy(info, label, strlen(label));
	if (hello)
		memcpy(info + LABEL_BYTES, hello, SLU_DRIVER_HELLO_BYTES);
	info[INFO_BYTES - 1] = 1; /* number of the block */
	if (!HMAC(EVP_sha256(), secret, WIRE_SECRET_BYTES, info, sizeof(info), ret_bytes, &size))
		return -EIO;
	return 0;
}

int session_keys_proof(const uint8_t *secret, uint8_t *ret_proof)
{
	static_assert(WIRE_SECRET_BYTES == 32, "a proof is as long as a secret, and as SHA-256");
	return expand(secret, "sluice session proof", NULL, ret_proof);
}

int session_keys_derive(const uint8_t *secret, const void *hello, bool connects,
                        struct slu_driver_keys *ret_keys)
{
	static_assert(SLU_DRIVER_KEY_BYTES == 32, "a key is as long as SHA-256");
	uint8_t *there = connects ? ret_keys->send : ret_keys->receive;
	uint8_t *back = connects ? ret_keys->receive : ret_keys->send;

	if (expand(secret, "sluice session there", hello, there) < 0)
		return -EIO;
	return expand(secret, "sluice session back", hello, back);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* cipher.c - see cipher.h. */
#include "drivers/tcp/cipher.h"

#include <endian.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#define NONCE_BYTES 12
#define BLOCK_BYTES 16u

int tcp_cipher_init(struct tcp_cipher *cipher, const uint8_t *key, bool seals)
{
	*cipher = (struct tcp_cipher){.blocks_max = TCP_CIPHER_BLOCKS_MAX};
	cipher->context = EVP_CIPHER_CTX_new();
	if (!cipher->context)
		return -ENOMEM;
	memcpy(cipher->key, key, sizeof cipher->key);
	if (EVP_CipherInit_ex(cipher->context, EVP_aes_256_gcm(), NULL, key, NULL, seals) == 1)
		return 0;
	tcp_cipher_fini(cipher);
	return -ENOMEM;
}

void tcp_cipher_fini(struct tcp_cipher *cipher)
{
	EVP_CIPHER_CTX_free(cipher->context); /* wipes what it holds */
	OPENSSL_cleanse(cipher, sizeof *cipher);
}

/* HKDF-Expand (RFC 5869) of one block. Who comes to know the new key does not learn
 * from it what the old one protected. */
static bool cipher_next_key(struct tcp_cipher *cipher)
{
	static const uint8_t info[] = "sluice tcp next key\x01";
	uint8_t next[EVP_MAX_MD_SIZE] = {0};
	unsigned size = 0;
	bool done = HMAC(EVP_sha256(), cipher->key, sizeof cipher->key, info, sizeof info - 1, next,
	                 &size) &&
	            EVP_CipherInit_ex(cipher->context, NULL, NULL, next, NULL, -1) == 1;

	memcpy(cipher->key, next, sizeof cipher->key);
	OPENSSL_cleanse(next, sizeof next);
	cipher->record_number = 0;
	cipher->blocks = 0;
	return done;
}

/* The nonce of the next record, and the header that is authenticated with it. */
static bool cipher_begin(struct tcp_cipher *cipher, const void *header, uint32_t size_bytes)
{
	/* of the payload, and what GCM spends on a record besides */
	uint64_t blocks = (size_bytes + BLOCK_BYTES - 1) / BLOCK_BYTES + 2;
	uint8_t nonce[NONCE_BYTES] = {0};
	uint64_t number;
	int written;

	if (cipher->blocks && cipher->blocks + blocks > cipher->blocks_max &&
	    !cipher_next_key(cipher))
		return false;
	cipher->blocks += blocks;
	number = htobe64(cipher->record_number++);
	memcpy(nonce + sizeof nonce - sizeof number, &number, sizeof number);
	return EVP_CipherInit_ex(cipher->context, NULL, NULL, NULL, nonce, -1) == 1 &&
	       EVP_CipherUpdate(cipher->context, NULL, &written, header,
	                        (int)TCP_WIRE_HEADER_BYTES) == 1;
}

int tcp_cipher_seal(struct tcp_cipher *cipher, const void *header, const void *payload,
                    uint32_t size_bytes, uint8_t *ret_sealed)
{
	int written, rest;

	if (!cipher_begin(cipher, header, size_bytes) ||
	    EVP_CipherUpdate(cipher->context, ret_sealed, &written, payload, (int)size_bytes) !=
	            1 ||
	    EVP_CipherFinal_ex(cipher->context, ret_sealed + written, &rest) != 1 ||
	    EVP_CIPHER_CTX_ctrl(cipher->context, EVP_CTRL_AEAD_GET_TAG, TCP_WIRE_TAG_BYTES,
	                        ret_sealed + size_bytes) != 1)
		return -EIO;
	return 0;
}

int tcp_cipher_open(struct tcp_cipher *cipher, const void *header, void *payload,
                    uint32_t size_bytes, const void *tag)
{
	uint8_t *bytes = payload;
	uint8_t expected[TCP_WIRE_TAG_BYTES];
	int written, rest;

	memcpy(expected, tag, sizeof expected);
	if (!cipher_begin(cipher, header, size_bytes) ||
	    EVP_CipherUpdate(cipher->context, bytes, &written, bytes, (int)size_bytes) != 1 ||
	    EVP_CIPHER_CTX_ctrl(cipher->context, EVP_CTRL_AEAD_SET_TAG, TCP_WIRE_TAG_BYTES,
	                        expected) != 1 ||
	    EVP_CipherFinal_ex(cipher->context, bytes + written, &rest) != 1)
		return -EBADMSG;
	return 0;
}

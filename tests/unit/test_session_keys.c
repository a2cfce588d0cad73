/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_session_keys.c - what encrypted sessions are made of: keys that both ends come
 * to and nobody else, by themselves and as two engines give them to their drivers.
 */
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <string.h>

#include "tests/unit/engine_pair.h"
#include "tests/unit/unit.h"
#include "transport/engine/session_keys.h"

static const uint8_t secret[WIRE_SECRET_BYTES] = "the secret of a session ........";
static const uint8_t hello[SLU_DRIVER_HELLO_BYTES] = "a hello";

static struct slu_driver_keys derive(const uint8_t *of, const uint8_t *with, bool connects)
{
	struct slu_driver_keys keys;

	CU_ASSERT_FATAL(session_keys_derive(of, with, connects, &keys) == 0);
	return keys;
}

/* OpenSSL's own HKDF, for what docs/wire-format.md says. */
static void expand(const char *label, const uint8_t *with, uint8_t *ret_bytes)
{
	uint8_t info[24 + SLU_DRIVER_HELLO_BYTES] = {0};
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL);
	size_t size = 32;

	memcpy(info, label, strlen(label));
	if (with)
		memcpy(info + 24, with, SLU_DRIVER_HELLO_BYTES);
	CU_ASSERT_FATAL(context && EVP_PKEY_derive_init(context) == 1);
	CU_ASSERT(EVP_PKEY_CTX_set_hkdf_mode(context, EVP_PKEY_HKDEF_MODE_EXPAND_ONLY) == 1);
	CU_ASSERT(EVP_PKEY_CTX_set_hkdf_md(context, EVP_sha256()) == 1);
	CU_ASSERT(EVP_PKEY_CTX_set1_hkdf_key(context, secret, sizeof(secret)) == 1);
	CU_ASSERT(EVP_PKEY_CTX_add1_hkdf_info(context, info, sizeof(info)) == 1);
	CU_ASSERT(EVP_PKEY_derive(context, ret_bytes, &size) == 1 && size == 32);
	EVP_PKEY_CTX_free(context);
}

static void are_hkdf_of_the_secret_and_the_hello(void)
{
	struct slu_driver_keys keys = derive(secret, hello, true);
	uint8_t proof[WIRE_SECRET_BYTES], expected[32];

	CU_ASSERT(session_keys_proof(secret, proof) == 0);
	expand("sluice session proof", NULL, expected);
	CU_ASSERT(memcmp(proof, expected, 32) == 0);
	expand("sluice session there", hello, expected);
	CU_ASSERT(memcmp(keys.send, expected, 32) == 0);
	expand("sluice session back", hello, expected);
	CU_ASSERT(memcmp(keys.receive, expected, 32) == 0);
}

static void are_those_of_the_other_end_the_other_way_round(void)
{
	struct slu_driver_keys connecting = derive(secret, hello, true);
	struct slu_driver_keys accepting = derive(secret, hello, false);

	CU_ASSERT(memcmp(connecting.send, accepting.receive, SLU_DRIVER_KEY_BYTES) == 0);
	CU_ASSERT(memcmp(connecting.receive, accepting.send, SLU_DRIVER_KEY_BYTES) == 0);
	CU_ASSERT(memcmp(connecting.send, connecting.receive, SLU_DRIVER_KEY_BYTES) != 0);
}

static void change_with_any_byte_of_the_hello_and_of_the_secret(void)
{
	struct slu_driver_keys keys = derive(secret, hello, true);

	for (size_t i = 0; i < SLU_DRIVER_HELLO_BYTES; i++) {
		uint8_t altered[SLU_DRIVER_HELLO_BYTES];
		struct slu_driver_keys others;

		memcpy(altered, hello, sizeof(altered));
		altered[i] ^= 1;
		others = derive(secret, altered, true);
		CU_ASSERT(memcmp(keys.send, others.send, SLU_DRIVER_KEY_BYTES) != 0);
		CU_ASSERT(memcmp(keys.receive, others.receive, SLU_DRIVER_KEY_BYTES) != 0);
	}
	for (size_t i = 0; i < sizeof(secret); i++) {
		uint8_t altered[WIRE_SECRET_BYTES];

		memcpy(altered, secret, sizeof(altered));
		altered[i] ^= 1;
		CU_ASSERT(memcmp(keys.send, derive(altered, hello, true).send,
		                 SLU_DRIVER_KEY_BYTES) != 0);
	}
}

/* ---- two engines ------------------------------------------------------------ */

#define GIVEN_MAX 64

/* What the engines gave to their drivers. */
static struct {
	struct slu_driver_keys keys[GIVEN_MAX];
	int keys_count;
	uint8_t hellos[GIVEN_MAX][SLU_DRIVER_HELLO_BYTES];
	int hello_count;
	int result; /* of session_protect */
} given;

static int given_connect(struct slu_driver *driver, const char *address, const void *bytes,
                         void *user, struct slu_session **ret_session)
{
	CU_ASSERT_FATAL(given.hello_count < GIVEN_MAX);
	memcpy(given.hellos[given.hello_count++], bytes, SLU_DRIVER_HELLO_BYTES);
	return slu_driver_find("loop")->connect(driver, address, bytes, user, ret_session);
}

static int given_protect(struct slu_driver *driver, struct slu_session *session,
                         const struct slu_driver_keys *keys)
{
	CU_ASSERT_FATAL(given.keys_count < GIVEN_MAX);
	given.keys[given.keys_count++] = *keys;
	return given.result;
}

static void given_start(bool encrypted, int result)
{
	static struct slu_driver_ops ops;

	ops = *slu_driver_find("loop");
	ops.connect = given_connect;
	ops.session_protect = given_protect;
	memset(&given, 0, sizeof(given));
	given.result = result;
	hosts_start(&hosts, &(struct hosts_config){.count = 2,
	                                           .receive_frames = 24,
	                                           .advertise_ns = 3600 * SLU_NS_PER_S,
	                                           .encrypted = encrypted,
	                                           .ops = &ops});
}

/* How many of the keys given are those of i the other way round. */
static int others_of(int i)
{
	int count = 0;

	for (int k = 0; k < given.keys_count; k++)
		count += memcmp(given.keys[i].send, given.keys[k].receive, SLU_DRIVER_KEY_BYTES) ==
		                 0 &&
		         memcmp(given.keys[i].receive, given.keys[k].send, SLU_DRIVER_KEY_BYTES) ==
		                 0;
	return count;
}

static void engines_give_every_session_keys_of_its_own(void)
{
	struct chan_tx tx;
	struct chan_rx rx;

	given_start(true, 0);
	channel_open(&tx, &rx, 1);
	traffic_flows(&tx, &rx, 100);
	CU_ASSERT(given.hello_count > 1);
	CU_ASSERT_EQUAL(given.keys_count, 2 * given.hello_count);
	for (int i = 0; i < given.keys_count; i++)
		CU_ASSERT_EQUAL(others_of(i), 1);
	hosts_stop(&hosts);
}

static void a_session_that_is_made_again_has_other_keys(void)
{
	int before;

	given_start(true, 0);
	hosts_settle(&hosts);
	before = given.keys_count;
	hosts_peer_down(&hosts, 0, 1);
	engine_peer_dead(A->engine, 1, ECONNRESET, "gone", hosts.now_ns);
	engine_peer_dead(B->engine, 0, ECONNRESET, "gone", hosts.now_ns);
	hosts_settle(&hosts);
	hosts_peer_up(&hosts, 0, 1);
	hosts_pass(&hosts, SLU_NS_PER_S);
	CU_ASSERT_EQUAL(given.keys_count, 2 * before);
	for (int i = 0; i < given.keys_count; i++)
		CU_ASSERT_EQUAL(others_of(i), 1);
	hosts_stop(&hosts);
}

static void no_keys_are_given_where_nothing_is_to_be_encrypted(void)
{
	struct chan_tx tx;
	struct chan_rx rx;

	given_start(false, 0);
	channel_open(&tx, &rx, 1);
	traffic_flows(&tx, &rx, 100);
	CU_ASSERT_EQUAL(given.keys_count, 0);
	hosts_stop(&hosts);
}

static void no_session_comes_up_plain_when_the_driver_cannot_encrypt(void)
{
	struct chan_tx tx;
	struct chan_rx rx;
	struct engine_stats stats;

	given_start(true, -ENOTSUP);
	channel_open(&tx, &rx, 1);
	CU_ASSERT_TRUE(host_send(&tx, 0));
	hosts_pass(&hosts, 10 * SLU_NS_PER_S);
	engine_stats(A->engine, &stats);
	CU_ASSERT_EQUAL(stats.tx_frames, 0);
	CU_ASSERT_EQUAL(reset_error(A, 0), -EHOSTUNREACH);
	CU_ASSERT_PTR_NOT_NULL(strstr(reset_text(A, 0), "not supported"));
	hosts_stop(&hosts);
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(are_hkdf_of_the_secret_and_the_hello),
	        UNIT_TEST(are_those_of_the_other_end_the_other_way_round),
	        UNIT_TEST(change_with_any_byte_of_the_hello_and_of_the_secret),
	        UNIT_TEST(engines_give_every_session_keys_of_its_own),
	        UNIT_TEST(a_session_that_is_made_again_has_other_keys),
	        UNIT_TEST(no_keys_are_given_where_nothing_is_to_be_encrypted),
	        UNIT_TEST(no_session_comes_up_plain_when_the_driver_cannot_encrypt),
	        {NULL, NULL},
	};

	return unit_run("session_keys", tests);
}

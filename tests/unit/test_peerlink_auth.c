/* SPDX-License-Identifier: Apache-2.0 */
/* test_peerlink_auth.c - who may speak for a node: shared keys and certificates,
 * made anew in a temporary directory by every run. */
#include "tests/unit/peerlink_rig.h"

#include <fcntl.h>
#include <ftw.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#define DAY_S (24 * 3600)

static struct rig_node alpha, bravo;
static char directory[] = "/tmp/sluice-auth-XXXXXX";

struct authority {
	EVP_PKEY *key;
	X509 *certificate;
	const char *name;
};
static struct authority cluster_ca = {.name = "cluster-ca"};
static struct authority other_ca = {.name = "other-ca"};

/* Paths live as long as the program: configurations point to them. */
static char *in_directory(const char *name, const char *suffix)
{
	static char paths[128][96];
	static size_t count;

	if (count == sizeof(paths) / sizeof(paths[0]))
		abort();
	snprintf(paths[count], sizeof(paths[0]), "%s/%s%s", directory, name, suffix);
	return paths[count++];
}

static char *write_text(const char *name, const char *text)
{
	char *path = in_directory(name, "");
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		abort();
	close(fd);
	return path;
}

static void write_pem(const char *name, X509 *certificate, EVP_PKEY *key, const char *passphrase)
{
	FILE *file = fopen(in_directory(name, ".crt"), "w");

	if (!file || !PEM_write_X509(file, certificate))
		abort();
	fclose(file);
	file = fopen(in_directory(name, ".key"), "w");
	if (!file || !PEM_write_PrivateKey(file, key, passphrase ? EVP_aes_128_cbc() : NULL, NULL,
	                                   0, NULL, (void *)passphrase))
		abort();
	fclose(file);
}

static void add_extension(X509 *certificate, int nid, const char *value)
{
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	if (!extension || !X509_add_ext(certificate, extension, -1))
		abort();
	X509_EXTENSION_free(extension);
}

/* Valid until now + valid_s. san: NULL: the name is in CN only. */
static X509 *make_certificate(EVP_PKEY *key, const char *cn, const char *san, long valid_s,
                              const struct authority *issuer)
{
	X509 *certificate = X509_new();
	X509_NAME *subject = X509_get_subject_name(certificate);
	static long serial;

	X509_set_version(certificate, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
	X509_gmtime_adj(X509_getm_notBefore(certificate), -DAY_S);
	X509_gmtime_adj(X509_getm_notAfter(certificate), valid_s);
	X509_set_pubkey(certificate, key);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1,
	                           0);
	X509_set_issuer_name(certificate, issuer->certificate
	                                          ? X509_get_subject_name(issuer->certificate)
	                                          : subject);
	add_extension(certificate, NID_basic_constraints,
	              issuer->certificate ? "CA:FALSE" : "CA:TRUE");
	if (san)
		add_extension(certificate, NID_subject_alt_name, san);
	if (!X509_sign(certificate, issuer->key, EVP_sha256()))
		abort();
	return certificate;
}

static void make_authority(struct authority *authority)
{
	authority->key = EVP_EC_gen("P-256");
	authority->certificate =
	        make_certificate(authority->key, authority->name, NULL, DAY_S, authority);
	write_pem(authority->name, authority->certificate, authority->key, NULL);
}

static void make_node(const char *file, const char *cn, const char *san, long valid_s,
                      const struct authority *authority, const char *passphrase)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = make_certificate(key, cn, san, valid_s, authority);

	write_pem(file, certificate, key, passphrase);
	X509_free(certificate);
	EVP_PKEY_free(key);
}

static void make_files(void)
{
	if (!mkdtemp(directory))
		abort();
	make_authority(&cluster_ca);
	make_authority(&other_ca);
	make_node("alpha", "alpha", NULL, DAY_S, &cluster_ca, NULL);
	make_node("bravo", "host 2", "DNS:other.example,DNS:bravo", DAY_S, &cluster_ca, NULL);
	make_node("charlie", "charlie", "DNS:charlie", DAY_S, &cluster_ca, NULL);
	make_node("wildcard", "*", "DNS:*", DAY_S, &cluster_ca, NULL);
	make_node("expired", "alpha", NULL, -60, &cluster_ca, NULL);
	make_node("foreign", "alpha", NULL, DAY_S, &other_ca, NULL);
	make_node("locked", "alpha", NULL, DAY_S, &cluster_ca, "secret");
	EVP_PKEY_free(cluster_ca.key);
	EVP_PKEY_free(other_ca.key);
	X509_free(cluster_ca.certificate);
	X509_free(other_ca.certificate);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *where)
{
	return remove(path);
}

static void use_psk(struct rig_node *node, const char *key, const char *identity)
{
	node->config.control.auth = CONFIG_AUTH_PSK;
	node->config.control.psk_file = write_text(node->config.agent.node, key);
	node->config.control.psk_identity = (char *)identity;
}

static void use_cert(struct rig_node *node, const char *file, const char *ca)
{
	node->config.control.auth = CONFIG_AUTH_CERT;
	node->config.control.ca_file = in_directory(ca, ".crt");
	node->config.control.cert_file = in_directory(file, ".crt");
	node->config.control.key_file = in_directory(file, ".key");
}

/* alpha's attempt fails and neither side comes up. */
static void assert_pair_fails(void)
{
	struct peerlink_stats stats;

	rig_pair_start(&alpha, &bravo);
	RIG_UNTIL((peerlink_stats(alpha.link, &stats), stats.refused == 1));
	/* The accepting side may learn of it a moment later. */
	RIG_UNTIL((peerlink_stats(bravo.link, &stats), stats.refused == 1));
	CU_ASSERT_EQUAL(alpha.ups + bravo.ups, 0);
	rig_pair_stop(&alpha, &bravo);
}

static void assert_pair_works(void)
{
	static uint8_t large[PEERLINK_MESSAGE_BYTES_MAX];

	rig_pair_start(&alpha, &bravo);
	RIG_UNTIL(alpha.ups == 1 && bravo.ups == 1);
	for (int i = 0; i < 40 && alpha.ups && bravo.ups; i++) {
		CU_ASSERT_EQUAL(peerlink_send(alpha.link, 0, large, sizeof(large)), 0);
		CU_ASSERT_EQUAL(peerlink_send(bravo.link, 0, large, sizeof(large)), 0);
	}
	CU_ASSERT_EQUAL(peerlink_send(alpha.link, 0, "tail", 4), 0);
	RIG_UNTIL(bravo.messages == 41 && alpha.messages == 40);
	CU_ASSERT_EQUAL(bravo.message_bytes, 4);
	CU_ASSERT(memcmp(bravo.message, "tail", 4) == 0);
	CU_ASSERT_EQUAL(alpha.downs + bravo.downs, 0);
	rig_pair_stop(&alpha, &bravo);
}

#define KEY_1 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define KEY_2 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdeF"

static void a_shared_key_lets_two_agents_talk(void)
{
	rig_pair_init(&alpha, &bravo);
	use_psk(&alpha, KEY_1, "sluice");
	use_psk(&bravo, KEY_1 "\n", "sluice");
	assert_pair_works();
}

static bool is_encrypted(const struct rig_node *node)
{
	struct peerlink_peer peer;

	peerlink_peer_get(node->link, 0, &peer);
	CU_ASSERT_TRUE(peer.known);
	return peer.encrypted;
}

static void data_is_encrypted_when_either_side_wants_it(void)
{
	for (int wants = 0; wants < 4; wants++) {
		rig_pair_init(&alpha, &bravo);
		use_psk(&alpha, KEY_1, "sluice");
		use_psk(&bravo, KEY_1, "sluice");
		alpha.config.driver.encrypt = wants & 1;
		bravo.config.driver.encrypt = wants & 2;
		rig_pair_start(&alpha, &bravo);
		RIG_UNTIL(alpha.ups == 1 && bravo.ups == 1);
		CU_ASSERT_EQUAL(is_encrypted(&alpha), wants != 0);
		CU_ASSERT_EQUAL(is_encrypted(&bravo), wants != 0);
		rig_pair_stop(&alpha, &bravo);
	}
}

/* Its keys would have been for all to read. */
static void nothing_counts_as_encrypted_without_authentication(void)
{
	rig_pair_init(&alpha, &bravo);
	alpha.config.driver.encrypt = bravo.config.driver.encrypt = true;
	rig_pair_start(&alpha, &bravo);
	RIG_UNTIL(alpha.ups == 1 && bravo.ups == 1);
	CU_ASSERT_FALSE(is_encrypted(&alpha) || is_encrypted(&bravo));
	rig_pair_stop(&alpha, &bravo);
}

static void another_key_is_refused(void)
{
	rig_pair_init(&alpha, &bravo);
	use_psk(&alpha, KEY_1, "sluice");
	use_psk(&bravo, KEY_2, "sluice");
	assert_pair_fails();
}

static void another_name_of_the_key_is_refused(void)
{
	rig_pair_init(&alpha, &bravo);
	use_psk(&alpha, KEY_1, "sluice");
	use_psk(&bravo, KEY_1, "slu");
	assert_pair_fails();
}

static void a_server_with_a_certificate_does_not_pass_for_one_with_the_key(void)
{
	rig_pair_init(&alpha, &bravo);
	use_psk(&alpha, KEY_1, "sluice");
	use_cert(&bravo, "bravo", "cluster-ca");
	assert_pair_fails();
}

static void certificates_of_the_same_authority_let_two_agents_talk(void)
{
	rig_pair_init(&alpha, &bravo);
	use_cert(&alpha, "alpha", "cluster-ca");
	use_cert(&bravo, "bravo", "cluster-ca");
	assert_pair_works();
}

static void a_certificate_of_another_authority_is_refused(void)
{
	rig_pair_init(&alpha, &bravo);
	use_cert(&alpha, "foreign", "cluster-ca");
	use_cert(&bravo, "bravo", "cluster-ca");
	assert_pair_fails();
}

static void an_authority_the_connecting_side_does_not_trust_is_refused(void)
{
	rig_pair_init(&alpha, &bravo);
	use_cert(&alpha, "alpha", "other-ca");
	use_cert(&bravo, "bravo", "cluster-ca");
	assert_pair_fails();
}

static void an_expired_certificate_is_refused(void)
{
	rig_pair_init(&alpha, &bravo);
	use_cert(&alpha, "expired", "cluster-ca");
	use_cert(&bravo, "bravo", "cluster-ca");
	assert_pair_fails();
}

static void a_key_instead_of_a_certificate_is_refused(void)
{
	rig_pair_init(&alpha, &bravo);
	use_cert(&alpha, "alpha", "cluster-ca");
	use_psk(&bravo, KEY_1, "sluice");
	assert_pair_fails();
}

/* A node of the cluster whose key was stolen speaks for itself at most. */
static void a_node_cannot_speak_for_another(void)
{
	rig_pair_init(&alpha, &bravo);
	use_cert(&alpha, "charlie", "cluster-ca"); /* says it is alpha */
	use_cert(&bravo, "bravo", "cluster-ca");
	assert_pair_fails();

	rig_pair_init(&alpha, &bravo);
	use_cert(&alpha, "alpha", "cluster-ca");
	use_cert(&bravo, "charlie", "cluster-ca"); /* answers at bravo's address */
	assert_pair_fails();

	rig_pair_init(&alpha, &bravo);
	use_cert(&alpha, "wildcard", "cluster-ca");
	use_cert(&bravo, "bravo", "cluster-ca");
	assert_pair_fails();
}

/* Over TLS as well: the reason arrives before the connection ends. */
static void another_cluster_is_told_so_over_tls(void)
{
	rig_pair_init(&alpha, &bravo);
	use_cert(&alpha, "alpha", "cluster-ca");
	use_cert(&bravo, "bravo", "cluster-ca");
	alpha.config.agent.cluster_id = 8;
	assert_pair_fails();
}

static void a_plain_client_on_a_tls_port_is_refused(void)
{
	struct peer_hello hello = rig_stranger_hello();
	struct peerlink_stats stats;
	uint8_t waste[4096];
	ssize_t n;
	int fd;

	rig_pair_init(&alpha, &bravo);
	use_cert(&bravo, "bravo", "cluster-ca");
	rig_node_start(&bravo, 200);
	fd = rig_stranger(&bravo);
	rig_stranger_greet(fd, &hello);
	RIG_UNTIL((peerlink_stats(bravo.link, &stats), stats.refused == 1));
	do
		n = recv(fd, waste, sizeof(waste), 0); /* a TLS alert, then the end */
	while (n > 0);
	CU_ASSERT_EQUAL(bravo.ups, 0);
	peerlink_stats(bravo.link, &stats);
	CU_ASSERT_EQUAL(stats.half_open, 0);
	close(fd);
	rig_node_stop(&bravo);
}

static void a_tls_client_on_a_plain_port_is_refused(void)
{
	rig_pair_init(&alpha, &bravo);
	use_cert(&alpha, "alpha", "cluster-ca");
	assert_pair_fails();
}

/* As another agent does, to see whether this one listens: no matter for the log. */
static void a_connection_to_a_tls_port_that_says_nothing_is_not_refused(void)
{
	struct peerlink_stats stats;

	rig_pair_init(&alpha, &bravo);
	use_cert(&bravo, "bravo", "cluster-ca");
	rig_node_start(&bravo, 200);
	close(rig_stranger(&bravo));
	RIG_UNTIL(
	        (peerlink_stats(bravo.link, &stats), stats.accepted == 1 && stats.half_open == 0));
	CU_ASSERT_EQUAL(stats.refused, 0);
	rig_node_stop(&bravo);
}

static void a_handshake_that_stops_halfway_is_ended(void)
{
	static const uint8_t client_hello[] = {0x16, 0x03, 0x01, 0x01, 0x00, 0x01, 0x00, 0x00};
	struct peerlink_stats stats;
	uint8_t byte;
	int fd;

	rig_pair_init(&alpha, &bravo);
	use_cert(&bravo, "bravo", "cluster-ca");
	rig_node_start(&bravo, 200);
	fd = rig_stranger(&bravo);
	CU_ASSERT_EQUAL(send(fd, client_hello, sizeof(client_hello), 0), sizeof(client_hello));
	RIG_UNTIL((peerlink_stats(bravo.link, &stats), stats.half_open == 1));
	rig_advance(PEERLINK_HANDSHAKE_NS);
	rig_process();
	CU_ASSERT_FALSE(rig_stranger_read(fd, &byte, 1));
	close(fd);
	rig_node_stop(&bravo);
}

/* Run the client's side of a handshake with what max_version allows. */
static int stranger_handshake(int max_version)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl;
	int fd = rig_stranger(&bravo);
	int result;

	SSL_CTX_set_max_proto_version(ctx, max_version);
	ssl = SSL_new(ctx);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	SSL_set_fd(ssl, fd);
	do {
		result = SSL_connect(ssl);
		rig_process();
	} while (result != 1 && SSL_get_error(ssl, result) == SSL_ERROR_WANT_READ && rig_wait(fd));
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	close(fd);
	return result;
}

static void nothing_older_than_tls_1_3_is_spoken(void)
{
	rig_pair_init(&alpha, &bravo);
	use_cert(&bravo, "bravo", "cluster-ca");
	rig_node_start(&bravo, 200);
	CU_ASSERT_NOT_EQUAL(stranger_handshake(TLS1_2_VERSION), 1);
	CU_ASSERT_EQUAL(stranger_handshake(TLS1_3_VERSION), 1); /* ends at our request for a
	                                                           certificate, one step later */
	CU_ASSERT_EQUAL(bravo.ups, 0);
	rig_node_stop(&bravo);
}

static void assert_start_fails(const char *words)
{
	CU_ASSERT_EQUAL(rig_node_try_start(&alpha, 100), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(rig_error, words));
	if (!strstr(rig_error, words))
		fprintf(stderr, "expected '%s' in '%s'\n", words, rig_error);
}

static void unusable_credentials_are_named_at_start(void)
{
	rig_node_init(&alpha, "alpha");
	use_cert(&alpha, "alpha", "cluster-ca");
	alpha.config.control.key_file = in_directory("bravo", ".key");
	assert_start_fails("key_file: ");
	use_cert(&alpha, "locked", "cluster-ca");
	assert_start_fails("key_file: ");
	use_cert(&alpha, "missing", "cluster-ca");
	assert_start_fails("cert_file: ");
	use_cert(&alpha, "alpha", "missing");
	assert_start_fails("ca_file: ");
	use_psk(&alpha, "too short", "sluice");
	assert_start_fails("a key has 32 to 4096 bytes");
	alpha.config.control.psk_file = in_directory("missing", "");
	assert_start_fails("No such file");
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(a_shared_key_lets_two_agents_talk),
	        UNIT_TEST(data_is_encrypted_when_either_side_wants_it),
	        UNIT_TEST(nothing_counts_as_encrypted_without_authentication),
	        UNIT_TEST(another_key_is_refused),
	        UNIT_TEST(another_name_of_the_key_is_refused),
	        UNIT_TEST(a_server_with_a_certificate_does_not_pass_for_one_with_the_key),
	        UNIT_TEST(certificates_of_the_same_authority_let_two_agents_talk),
	        UNIT_TEST(a_certificate_of_another_authority_is_refused),
	        UNIT_TEST(an_authority_the_connecting_side_does_not_trust_is_refused),
	        UNIT_TEST(an_expired_certificate_is_refused),
	        UNIT_TEST(a_key_instead_of_a_certificate_is_refused),
	        UNIT_TEST(a_node_cannot_speak_for_another),
	        UNIT_TEST(another_cluster_is_told_so_over_tls),
	        UNIT_TEST(a_plain_client_on_a_tls_port_is_refused),
	        UNIT_TEST(a_tls_client_on_a_plain_port_is_refused),
	        UNIT_TEST(a_connection_to_a_tls_port_that_says_nothing_is_not_refused),
	        UNIT_TEST(a_handshake_that_stops_halfway_is_ended),
	        UNIT_TEST(nothing_older_than_tls_1_3_is_spoken),
	        UNIT_TEST(unusable_credentials_are_named_at_start),
	        {NULL, NULL},
	};
	int result;

	make_files();
	result = unit_run("peerlink_auth", tests);
	nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	return result;
}

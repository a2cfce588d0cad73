/* SPDX-License-Identifier: Apache-2.0 */
/* credentials.c - see credentials.h. */
#include "tests/net/credentials.h"

#include <dirent.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAY_S       (24L * 3600)
#define AUTHORITIES 2u

static struct {
	EVP_PKEY *key;
	X509 *certificate;
} authorities[AUTHORITIES];

static void fail(const char *what)
{
	fprintf(stderr, "credentials: %s failed\n", what);
	exit(2);
}

/* Opened for its owner alone. */
static FILE *file_open(const struct credentials *credentials, const char *name)
{
	char path[128];
	mode_t mask = umask(077);
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", credentials->directory, name);
	file = fopen(path, "we");
	umask(mask);
	if (!file)
		fail(path);
	return file;
}

static void extension_add(X509 *certificate, int nid, const char *value)
{
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	if (!extension || !X509_add_ext(certificate, extension, -1))
		fail(value);
	X509_EXTENSION_free(extension);
}

/* authority NULL: it signs itself, and may sign others. */
static X509 *certificate_make(EVP_PKEY *key, const char *name, X509 *authority,
                              EVP_PKEY *authority_key)
{
	static long serial;
	X509 *certificate = X509_new();
	X509_NAME *subject = X509_get_subject_name(certificate);
	char dns[80];

	X509_set_version(certificate, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
	X509_gmtime_adj(X509_getm_notBefore(certificate), -DAY_S);
	X509_gmtime_adj(X509_getm_notAfter(certificate), DAY_S);
	X509_set_pubkey(certificate, key);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1,
	                           0);
	X509_set_issuer_name(certificate, authority ? X509_get_subject_name(authority) : subject);
	if (authority) {
		snprintf(dns, sizeof(dns), "DNS:%s", name);
		extension_add(certificate, NID_subject_alt_name, dns);
	} else {
		extension_add(certificate, NID_basic_constraints, "critical,CA:TRUE");
	}
	if (!X509_sign(certificate, authority ? authority_key : key, EVP_sha256()))
		fail("signing");
	return certificate;
}

static void authority_begin(const struct credentials *credentials, unsigned i)
{
	char name[32];
	FILE *file;

	snprintf(name, sizeof(name), "authority-%u", i);
	authorities[i].key = EVP_EC_gen("P-256");
	authorities[i].certificate = certificate_make(authorities[i].key, name, NULL, NULL);
	snprintf(name, sizeof(name), "ca-%u.pem", i);
	file = file_open(credentials, name);
	if (!PEM_write_X509(file, authorities[i].certificate))
		fail(name);
	fclose(file);
}

void credentials_begin(struct credentials *credentials)
{
	snprintf(credentials->directory, sizeof(credentials->directory), "/tmp/sluice-net-XXXXXX");
	if (!mkdtemp(credentials->directory))
		fail(credentials->directory);
	for (unsigned i = 0; i < AUTHORITIES; i++) {
		char name[32];
		FILE *file;

		authority_begin(credentials, i);
		snprintf(name, sizeof(name), "psk-%u", i);
		file = file_open(credentials, name);
		fprintf(file, "a key for tests and nothing else, number %u\n", i);
		fclose(file);
	}
}

void credentials_end(struct credentials *credentials)
{
	DIR *directory = opendir(credentials->directory);
	struct dirent *entry;

	while (directory && (entry = readdir(directory)))
		if (entry->d_name[0] != '.')
			unlinkat(dirfd(directory), entry->d_name, 0);
	if (directory)
		closedir(directory);
	if (rmdir(credentials->directory) < 0)
		perror(credentials->directory);
	for (unsigned i = 0; i < AUTHORITIES; i++) {
		EVP_PKEY_free(authorities[i].key);
		X509_free(authorities[i].certificate);
	}
}

void credentials_cert(const struct credentials *credentials, const char *node, unsigned authority,
                      char *ret_lines, size_t size_bytes)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = certificate_make(key, node, authorities[authority].certificate,
	                                     authorities[authority].key);
	char name[64];
	FILE *file;

	snprintf(name, sizeof(name), "%s-%u.pem", node, authority);
	file = file_open(credentials, name);
	if (!PEM_write_X509(file, certificate) ||
	    !PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL))
		fail(name);
	fclose(file);
	snprintf(ret_lines, size_bytes,
	         "auth = cert\nca_file = %s/ca-%u.pem\ncert_file = %s/%s\nkey_file = %s/%s",
	         credentials->directory, authority, credentials->directory, name,
	         credentials->directory, name);
	X509_free(certificate);
	EVP_PKEY_free(key);
}

void credentials_psk(const struct credentials *credentials, unsigned key, char *ret_lines,
                     size_t size_bytes)
{
	snprintf(ret_lines, size_bytes, "auth = psk\npsk_file = %s/psk-%u", credentials->directory,
	         key);
}

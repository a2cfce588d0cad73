/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proof.c - how a segment's process knows that its client is the coordinator of its
 * cluster. All servers of a cluster have the same secret in a file of the data
 * directory. The process makes a nonce; who answers with the HMAC of it under that
 * secret is the coordinator. The answer is the secret of this session alone: logged,
 * or told to another session, it is of no use.
 */
#include <postgres.h>

#include <common/hmac.h>
#include <common/sha2.h>
#include <fcntl.h>
#include <miscadmin.h>
#include <storage/fd.h>
#include <utils/builtins.h>

#include "executor/catalog/node.h"
#include "executor/dispatch/qe.h"
#include "executor/function.h"

#define SECRET_FILE      "sluice_cluster_secret"
#define SECRET_BYTES_MIN 32
#define NONCE_BYTES      16

MPP_FUNCTION(mpp_qe_nonce);

static char own_nonce[2 * NONCE_BYTES + 1]; /* of this process as a QE */
static char own_proof[QE_SECRET_BYTES + 1];

/* ---- for both sides ---------------------------------------------------------- */

/* The first line of the file; returns its length. */
static int read_secret(char *buffer, int size_bytes)
{
	int fd = OpenTransientFile(SECRET_FILE, O_RDONLY);
	int length = fd < 0 ? -1 : (int)read(fd, buffer, (size_t)size_bytes);

	if (length < 0)
		ereport(ERROR, (errcode_for_file_access(),
		                errmsg("could not read the cluster's secret, file \"%s\": %m",
		                       SECRET_FILE),
		                errhint("\"sluice init\" makes it. All servers of a cluster have "
		                        "the same, and only their user may read it.")));
	CloseTransientFile(fd);
	while (length > 0 && (buffer[length - 1] == '\n' || buffer[length - 1] == '\r'))
		length--;
	if (length < SECRET_BYTES_MIN)
		ereport(ERROR,
		        (errcode(ERRCODE_CONFIG_FILE_ERROR),
		         errmsg("the cluster's secret, file \"%s\", is shorter than %d bytes",
		                SECRET_FILE, SECRET_BYTES_MIN)));
	return length;
}

/* Of the nonce and the segment's number, so that one segment cannot ask for another's. */
static void make_proof(const char *nonce, int content, char *ret_proof)
{
	uint8 secret[256], digest[PG_SHA256_DIGEST_LENGTH];
	char text[64];
	int length = read_secret((char *)secret, sizeof(secret));
	pg_hmac_ctx *hmac = pg_hmac_create(PG_SHA256);

	snprintf(text, sizeof(text), "%.*s %d", 2 * NONCE_BYTES, nonce, content);
	if (!hmac || pg_hmac_init(hmac, secret, (size_t)length) < 0 ||
	    pg_hmac_update(hmac, (const uint8 *)text, strlen(text)) < 0 ||
	    pg_hmac_final(hmac, digest, sizeof(digest)) < 0)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
		                errmsg("could not compute an HMAC: %s", pg_hmac_error(hmac))));
	pg_hmac_free(hmac);
	explicit_bzero(secret, sizeof(secret));
	ret_proof[hex_encode((const char *)digest, sizeof(digest), ret_proof)] = '\0';
}

/* ---- QD -------------------------------------------------------------------- */

const char mpp_gang_secret[1];

void qe_prove(Qe *qe, const char *nonce)
{
	make_proof(nonce, qe->content, qe->secret);
}

/* ---- QE -------------------------------------------------------------------- */

Datum mpp_qe_nonce(PG_FUNCTION_ARGS)
{
	char random[NONCE_BYTES];

	if (mpp_role != MPP_ROLE_SEGMENT || mpp_session_role != MPP_SESSION_EXECUTE)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
		                errmsg("permission denied: this session does not execute for a "
		                       "coordinator")));
	if (!own_nonce[0]) {
		if (!pg_strong_random(random, sizeof(random)))
			ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
			                errmsg("could not generate random values")));
		hex_encode(random, sizeof(random), own_nonce);
	}
	PG_RETURN_TEXT_P(cstring_to_text(own_nonce));
}

/* In a time that tells nothing about where they differ. */
static bool is_equal(const char *a, const char *b)
{
	unsigned char difference = 0;
	int i;

	for (i = 0; i < QE_SECRET_BYTES; i++)
		difference |= (unsigned char)a[i] ^ (unsigned char)b[i];
	return difference == 0;
}

void mpp_qe_check_secret(const char *secret)
{
	if (own_nonce[0] && !own_proof[0])
		make_proof(own_nonce, mpp_content, own_proof);
	if (!own_proof[0] || strlen(secret) != QE_SECRET_BYTES || !is_equal(secret, own_proof))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
		                errmsg("permission denied: only the coordinator may call this")));
	mpp_session_is_proven = true;
}

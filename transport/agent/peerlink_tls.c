/* SPDX-License-Identifier: Apache-2.0 */
/* peerlink_tls.c - see peerlink_tls.h. The only file that knows OpenSSL. */
#include "transport/agent/peerlink_tls.h"

#include <sluice/sluice.h>

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TLS_KEY_BYTES 32u

/* To OpenSSL a shared key is a session that is resumed; where certificates are
 * verified it insists on a context, the same on both sides. */
static const unsigned char tls_context[] = {'s', 'l', 'u', 'i', 'c', 'e'};

struct peer_tls {
	enum config_auth auth;
	SSL_CTX *ctx; /* NULL with auth=none */
	char *psk_identity;
	uint8_t psk[TLS_KEY_BYTES];
};

__attribute__((format(printf, 2, 3))) static int tls_fail(char *error, const char *format, ...)
{
	unsigned long code = ERR_get_error();
	const char *reason = code ? ERR_reason_error_string(code) : NULL;
	va_list args;
	int used;

	va_start(args, format);
	used = vsnprintf(error, CONFIG_ERROR_MAX, format, args);
	va_end(args);
	if (reason && used >= 0 && (unsigned)used < CONFIG_ERROR_MAX)
		snprintf(error + used, CONFIG_ERROR_MAX - (unsigned)used, ": %s", reason);
	ERR_clear_error();
	return -EINVAL;
}

/*
 * The file is a passphrase or raw bytes of any length; TLS wants a key of the
 * hash's size: HKDF-Extract (RFC 5869) with a salt of our own gives one. A line
 * end at its end does not count, so that editors and `openssl rand -hex` agree.
 */
static int tls_psk_read(struct peer_tls *tls, const char *path, char *error)
{
	static const char salt[] = "sluice control connection v1";
	uint8_t text[CONFIG_PSK_BYTES_MAX + 1];
	unsigned key_size = 0;
	ssize_t size;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return tls_fail(error, "psk_file: %.255s: %s", path, strerror(errno));
	size = read(fd, text, sizeof(text));
	close(fd);
	while (size > 0 && (text[size - 1] == '\n' || text[size - 1] == '\r'))
		size--;
	if (size < (ssize_t)CONFIG_PSK_BYTES_MIN || size > (ssize_t)CONFIG_PSK_BYTES_MAX) {
		OPENSSL_cleanse(text, sizeof(text));
		return tls_fail(error, "psk_file: %.255s: a key has %u to %u bytes", path,
		                CONFIG_PSK_BYTES_MIN, CONFIG_PSK_BYTES_MAX);
	}
	HMAC(EVP_sha256(), salt, sizeof(salt) - 1, text, (size_t)size, tls->psk, &key_size);
	OPENSSL_cleanse(text, sizeof(text));
	return key_size == TLS_KEY_BYTES ? 0 : tls_fail(error, "psk_file: SHA-256 failed");
}

/* Returns owned, NULL when out of memory. */
static SSL_SESSION *tls_psk_session(SSL *ssl, const struct peer_tls *tls)
{
	static const unsigned char aes_128_gcm_sha256[] = {0x13, 0x01};
	const SSL_CIPHER *cipher = SSL_CIPHER_find(ssl, aes_128_gcm_sha256);
	SSL_SESSION *session = SSL_SESSION_new();

	if (session && cipher && SSL_SESSION_set1_master_key(session, tls->psk, TLS_KEY_BYTES) &&
	    SSL_SESSION_set_cipher(session, cipher) &&
	    SSL_SESSION_set1_id_context(session, tls_context, sizeof(tls_context)) &&
	    SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION))
		return session;
	SSL_SESSION_free(session);
	return NULL;
}

/* OpenSSL asks the connecting side for its key. md: the hash the server wants, on
 * the second try; it is ours, because no other cipher suite is on. */
static int tls_psk_use(SSL *ssl, const EVP_MD *md, const unsigned char **ret_identity,
                       size_t *ret_size, SSL_SESSION **ret_session)
{
	const struct peer_tls *tls = SSL_get_app_data(ssl);

	*ret_session = tls_psk_session(ssl, tls);
	*ret_identity = (const unsigned char *)tls->psk_identity;
	*ret_size = strlen(tls->psk_identity);
	return *ret_session != NULL;
}

/* OpenSSL asks the accepting side for the key of an identity. */
static int tls_psk_find(SSL *ssl, const unsigned char *identity, size_t size,
                        SSL_SESSION **ret_session)
{
	const struct peer_tls *tls = SSL_get_app_data(ssl);

	*ret_session = NULL;
	if (size != strlen(tls->psk_identity) || CRYPTO_memcmp(identity, tls->psk_identity, size))
		return 1; /* no such key: the handshake ends, as there is no certificate */
	*ret_session = tls_psk_session(ssl, tls);
	return *ret_session != NULL;
}

static int tls_psk_setup(struct peer_tls *tls, const struct config_control *config, char *error)
{
	if (!config->psk_file)
		return tls_fail(error, "psk_file is not given");
	if (tls_psk_read(tls, config->psk_file, error))
		return -EINVAL;
	tls->psk_identity = strdup(config->psk_identity);
	if (!tls->psk_identity)
		return -ENOMEM;
	if (!SSL_CTX_set_ciphersuites(tls->ctx, "TLS_AES_128_GCM_SHA256"))
		return tls_fail(error, "TLS_AES_128_GCM_SHA256 is not there");
	/* No certificate is trusted: a server that ignores the key is refused. */
	SSL_CTX_set_verify(tls->ctx, SSL_VERIFY_PEER, NULL);
	if (!SSL_CTX_set_session_id_context(tls->ctx, tls_context, sizeof(tls_context)))
		return tls_fail(error, "TLS could not be set up");
	SSL_CTX_set_psk_use_session_callback(tls->ctx, tls_psk_use);
	SSL_CTX_set_psk_find_session_callback(tls->ctx, tls_psk_find);
	return 0;
}

/* A key with a passphrase is refused: OpenSSL would ask the terminal for it. */
static int tls_no_passphrase(char *ret_text, int size, int writing, void *ctx)
{
	return -1;
}

static int tls_cert_setup(struct peer_tls *tls, const struct config_control *config, char *error)
{
	SSL_CTX *ctx = tls->ctx;

	if (!config->ca_file || !config->cert_file || !config->key_file)
		return tls_fail(error, "ca_file, cert_file and key_file are needed");
	SSL_CTX_set_default_passwd_cb(ctx, tls_no_passphrase);
	if (SSL_CTX_load_verify_file(ctx, config->ca_file) != 1)
		return tls_fail(error, "ca_file: %.255s", config->ca_file);
	if (SSL_CTX_use_certificate_chain_file(ctx, config->cert_file) != 1)
		return tls_fail(error, "cert_file: %.255s", config->cert_file);
	if (SSL_CTX_use_PrivateKey_file(ctx, config->key_file, SSL_FILETYPE_PEM) != 1)
		return tls_fail(error, "key_file: %.255s", config->key_file);
	if (SSL_CTX_check_private_key(ctx) != 1)
		return tls_fail(error, "key_file: %.100s is not the key of %.100s",
		                config->key_file, config->cert_file);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	return 0;
}

int peer_tls_create(const struct config_control *config, struct peer_tls **ret_tls, char *error)
{
	struct peer_tls *tls = calloc(1, sizeof(*tls));
	int rc = -ENOMEM;

	snprintf(error, CONFIG_ERROR_MAX, "out of memory");
	if (!tls)
		return -ENOMEM;
	tls->auth = config->auth;
	if (tls->auth != CONFIG_AUTH_NONE) {
		ERR_clear_error();
		tls->ctx = SSL_CTX_new(TLS_method());
		if (!tls->ctx)
			goto err_destroy;
		SSL_CTX_set_min_proto_version(tls->ctx, TLS1_3_VERSION);
		/* Every connection proves itself anew: nothing is resumed. */
		SSL_CTX_set_session_cache_mode(tls->ctx, SSL_SESS_CACHE_OFF);
		SSL_CTX_set_options(tls->ctx, SSL_OP_NO_TICKET);
		SSL_CTX_set_num_tickets(tls->ctx, 0);
		SSL_CTX_set_mode(tls->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
		                                   SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
		                                   SSL_MODE_RELEASE_BUFFERS);
		rc = tls->auth == CONFIG_AUTH_PSK ? tls_psk_setup(tls, config, error)
		                                  : tls_cert_setup(tls, config, error);
		if (rc)
			goto err_destroy;
	}
	*ret_tls = tls;
	return 0;

err_destroy:
	peer_tls_destroy(tls);
	return rc;
}

void peer_tls_destroy(struct peer_tls *tls)
{
	if (!tls)
		return;
	SSL_CTX_free(tls->ctx);
	free(tls->psk_identity);
	OPENSSL_cleanse(tls, sizeof(*tls));
	free(tls);
}

int peer_stream_open(struct peer_tls *tls, int fd, bool outgoing, struct peer_stream *ret_stream)
{
	SSL *ssl = NULL;

	if (tls->ctx) {
		ssl = SSL_new(tls->ctx);
		if (!ssl || !SSL_set_fd(ssl, fd)) {
			SSL_free(ssl);
			close(fd);
			return -ENOMEM;
		}
		SSL_set_app_data(ssl, tls);
		if (outgoing)
			SSL_set_connect_state(ssl);
		else
			SSL_set_accept_state(ssl);
	}
	*ret_stream = (struct peer_stream){.fd = fd, .ssl = ssl};
	return 0;
}

void peer_stream_close(struct peer_stream *stream)
{
	SSL_free(stream->ssl);
	stream->ssl = NULL;
	if (stream->fd >= 0)
		close(stream->fd);
	stream->fd = -1;
}

/* What to look at when a handshake fails for a reason that only TLS knows. */
static const char *stream_tls_hint(const struct peer_stream *stream, int reason)
{
	const struct peer_tls *tls = SSL_get_app_data(stream->ssl);

	if (SSL_is_init_finished(stream->ssl))
		return "";
	if (tls->auth == CONFIG_AUTH_PSK)
		return "; auth, psk_identity and the key in psk_file must be the same on both "
		       "sides";
	return reason == SSL_R_WRONG_VERSION_NUMBER ? "; auth must be the same on both sides" : "";
}

/* What an SSL call that did not succeed means. result is what it returned. */
static int stream_tls_result(struct peer_stream *stream, int result, char *error)
{
	int saved_errno = errno;
	unsigned long code;
	const char *reason;

	switch (SSL_get_error(stream->ssl, result)) {
	case SSL_ERROR_WANT_READ:
		return SLU_AGAIN;
	case SSL_ERROR_WANT_WRITE:
		stream->wants_write = true;
		return SLU_AGAIN;
	case SSL_ERROR_ZERO_RETURN:
		snprintf(error, PEER_STREAM_ERROR_MAX, "closed by the other side");
		return -ECONNRESET;
	case SSL_ERROR_SYSCALL:
		snprintf(error, PEER_STREAM_ERROR_MAX, "%s",
		         saved_errno ? strerror(saved_errno) : "closed by the other side");
		return -ECONNRESET;
	default:
		code = ERR_peek_error();
		reason = ERR_reason_error_string(code);
		if (ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
			snprintf(error, PEER_STREAM_ERROR_MAX, "closed by the other side");
		else if (ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED)
			snprintf(error, PEER_STREAM_ERROR_MAX, "TLS: certificate: %s",
			         X509_verify_cert_error_string(SSL_get_verify_result(stream->ssl)));
		else
			snprintf(error, PEER_STREAM_ERROR_MAX, "TLS: %s%s",
			         reason ? reason : "failed",
			         stream_tls_hint(stream, ERR_GET_REASON(code)));
		ERR_clear_error();
		return -EPROTO;
	}
}

int peer_stream_handshake(struct peer_stream *stream, char *error)
{
	const struct peer_tls *tls;
	int result;

	if (!stream->ssl)
		return 0;
	stream->wants_write = false;
	ERR_clear_error();
	errno = 0;
	result = SSL_do_handshake(stream->ssl);
	if (result != 1)
		return stream_tls_result(stream, result, error);
	tls = SSL_get_app_data(stream->ssl);
	/* A handshake that did without the key proves nothing. */
	if (tls->auth == CONFIG_AUTH_PSK && !SSL_session_reused(stream->ssl)) {
		snprintf(error, PEER_STREAM_ERROR_MAX, "TLS: the shared key was not used");
		return -EPROTO;
	}
	return 0;
}

static int stream_errno_result(struct peer_stream *stream, bool writing, char *error)
{
	if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) {
		stream->wants_write = writing;
		return SLU_AGAIN;
	}
	snprintf(error, PEER_STREAM_ERROR_MAX, "%s", strerror(errno));
	return -ECONNRESET;
}

int peer_stream_read(struct peer_stream *stream, void *ret_data, size_t size_bytes,
                     size_t *ret_read_bytes, char *error)
{
	ssize_t n;

	stream->wants_write = false;
	if (stream->ssl) {
		ERR_clear_error();
		errno = 0;
		if (SSL_read_ex(stream->ssl, ret_data, size_bytes, ret_read_bytes) != 1)
			return stream_tls_result(stream, 0, error);
		return 0;
	}
	n = recv(stream->fd, ret_data, size_bytes, 0);
	if (n < 0)
		return stream_errno_result(stream, false, error);
	if (n == 0) {
		snprintf(error, PEER_STREAM_ERROR_MAX, "closed by the other side");
		return -ECONNRESET;
	}
	stream->heard = true;
	*ret_read_bytes = (size_t)n;
	return 0;
}

int peer_stream_write(struct peer_stream *stream, const void *data, size_t size_bytes,
                      size_t *ret_written_bytes, char *error)
{
	ssize_t n;

	stream->wants_write = false;
	if (stream->ssl) {
		ERR_clear_error();
		errno = 0;
		if (SSL_write_ex(stream->ssl, data, size_bytes, ret_written_bytes) != 1)
			return stream_tls_result(stream, 0, error);
		return 0;
	}
	n = send(stream->fd, data, size_bytes, MSG_NOSIGNAL);
	if (n < 0)
		return stream_errno_result(stream, true, error);
	*ret_written_bytes = (size_t)n;
	return 0;
}

bool peer_stream_heard(const struct peer_stream *stream)
{
	return stream->ssl ? BIO_number_read(SSL_get_rbio(stream->ssl)) > 0 : stream->heard;
}

void peer_stream_shutdown(struct peer_stream *stream)
{
	if (stream->ssl && SSL_is_init_finished(stream->ssl)) {
		ERR_clear_error();
		SSL_shutdown(stream->ssl); /* close_notify, if there is room for it */
		ERR_clear_error();
	}
	shutdown(stream->fd, SHUT_WR);
}

bool peer_stream_is_node(const struct peer_stream *stream, const char *node)
{
	const struct peer_tls *tls;
	X509 *certificate;

	if (!stream->ssl)
		return true;
	tls = SSL_get_app_data(stream->ssl);
	if (tls->auth == CONFIG_AUTH_PSK)
		return true;
	certificate = SSL_get0_peer_certificate(stream->ssl);
	return certificate && SSL_get_verify_result(stream->ssl) == X509_V_OK &&
	       X509_check_host(certificate, node, 0,
	                       X509_CHECK_FLAG_NO_WILDCARDS | X509_CHECK_FLAG_ALWAYS_CHECK_SUBJECT,
	                       NULL) == 1;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* tls.c - see tls.h. openssl's command line makes the certificates. */
#include "cluster/tls.h"

#include "cluster/run.h"

#include <stdlib.h>

bool tls_is_used(const struct cluster *cluster)
{
	for (size_t i = 0; i < cluster->host_count; i++)
		if (!cluster_is_local(&cluster->hosts[i]))
			return true;
	return false;
}

static const char make_authority[] =
        "umask 077 && mkdir -p \"$1/tls\" && cd \"$1/tls\" && "
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500 "
        "-subj '/CN=sluice cluster authority' -keyout ca.key -out ca.crt 2>&1";

static const char make_certificate[] =
        "umask 077 && cd \"$1/tls\" && "
        "openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj \"/CN=$2\" "
        "-keyout \"$2.key\" -out \"$2.csr\" 2>&1 && "
        "openssl x509 -req -in \"$2.csr\" -CA ca.crt -CAkey ca.key -days 36500 "
        "-out \"$2.crt\" 2>&1 && rm \"$2.csr\"";

/* A file of the coordinator's tls directory goes to the host's. */
static int hand_over(const struct cluster *cluster, const struct cluster_host *host,
                     const char *name)
{
	char *path = cluster_path(cluster, "tls/%s", name), *content;
	char *what = cluster_text("reading %s", path);
	const char *const argv[] = {"cat", path, NULL};
	int result = -1;

	if (run(cluster, &cluster->hosts[0], what, argv, NULL, &content) == 0)
		result = run_write_file(cluster, host, path, "600", content);
	free(content);
	free(what);
	free(path);
	return result;
}

static int host_certificate(const struct cluster *cluster, const struct cluster_host *host)
{
	const char *const words[] = {cluster->directory, host->name, NULL};
	const char *const directory[] = {cluster->directory, NULL};
	char *certificate = cluster_text("%s.crt", host->name);
	char *key = cluster_text("%s.key", host->name);
	int result = -1;

	if (run_script(cluster, &cluster->hosts[0], "making a certificate", make_certificate, words,
	               NULL) == 0 &&
	    run_script(cluster, host, "making the tls directory",
	               "umask 077 && mkdir -p \"$1/tls\"", directory, NULL) == 0 &&
	    hand_over(cluster, host, certificate) == 0 && hand_over(cluster, host, key) == 0 &&
	    hand_over(cluster, host, "ca.crt") == 0)
		result = 0;
	free(key);
	free(certificate);
	return result;
}

int tls_create(const struct cluster *cluster)
{
	const char *const words[] = {cluster->directory, NULL};

	if (run_script(cluster, &cluster->hosts[0], "making the cluster's authority",
	               make_authority, words, NULL) != 0)
		return -1;
	for (size_t i = 0; i < cluster->host_count; i++)
		if (host_certificate(cluster, &cluster->hosts[i]) < 0)
			return -1;
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls.h - certificates by which servers on several hosts know each other: an
 * authority of the cluster's own, and one certificate per host, which is the
 * server's and, towards other servers, the client's. In DIRECTORY/tls of each
 * host: ca.crt, HOST.crt, HOST.key; the authority's key stays with the coordinator.
 */
#ifndef CLUSTER_TLS_H
#define CLUSTER_TLS_H

#include "cluster/description.h"

/* Whether servers speak to each other over a network. */
bool tls_is_used(const struct cluster *cluster);

/* Make all, and hand them to the hosts. 0, or -1 after a message. */
int tls_create(const struct cluster *cluster);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node.h - what this server and this backend are. A server is the coordinator
 * or a segment (GUC sluice.role, set at start); a server without a role has the
 * module loaded and behaves as plain PostgreSQL. A backend of the coordinator
 * that serves a client is a QD; a backend of a segment that serves a QD is a QE.
 */
#ifndef EXECUTOR_CATALOG_NODE_H
#define EXECUTOR_CATALOG_NODE_H

#define MPP_COORDINATOR (-1) /* its content id; segments count from 0 */

#include <postgres.h>

typedef enum MppRole {
	MPP_ROLE_NONE = 0,
	MPP_ROLE_COORDINATOR,
	MPP_ROLE_SEGMENT,
} MppRole;

/* GUC sluice.session_role, given at connect. */
typedef enum MppSessionRole {
	MPP_SESSION_CLIENT = 0, /* on a segment: may read, not write */
	MPP_SESSION_EXECUTE,    /* a QD's, once that has proved to be one: QE */
	MPP_SESSION_UTILITY,    /* a superuser's: this server alone, as plain PostgreSQL */
} MppSessionRole;

extern int mpp_role;           /* MppRole: GUC sluice.role (postmaster) */
extern int mpp_content;        /* GUC sluice.content (postmaster) */
extern int mpp_session_role;   /* MppSessionRole: GUC sluice.session_role (backend) */
extern char *mpp_cluster_id;   /* GUC sluice.cluster_id (postmaster), decimal uint64 */
extern char *mpp_agent_socket; /* GUC sluice.agent_socket (postmaster) */

extern bool mpp_session_is_proven; /* MPP_SESSION_EXECUTE: see dispatch/proof.c */

/* Whether this backend distributes: on the coordinator, for a client, in a
 * database that has the extension. Cheap; false while no transaction is open. */
extern bool mpp_is_qd(void);
extern bool mpp_is_qe(void);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node.c - the GUCs that say what this server and this session are, and the rule
 * that a client may not write to a segment.
 */
#include <postgres.h>

#include <access/parallel.h>
#include <access/xact.h>
#include <catalog/pg_am.h>
#include <commands/defrem.h>
#include <commands/extension.h>
#include <executor/executor.h>
#include <libpq/libpq-be.h>
#include <miscadmin.h>
#include <postmaster/autovacuum.h>
#include <tcop/utility.h>
#include <utils/guc.h>
#include <utils/inval.h>
#include <utils/syscache.h>

#include "executor/catalog/catalog.h"
#include "executor/catalog/node.h"

int mpp_role = MPP_ROLE_NONE;
int mpp_content = MPP_COORDINATOR;
int mpp_session_role = MPP_SESSION_CLIENT;
bool mpp_session_is_proven;
char *mpp_cluster_id;
char *mpp_agent_socket;

static const struct config_enum_entry role_options[] = {
        {"none", MPP_ROLE_NONE, false},
        {"coordinator", MPP_ROLE_COORDINATOR, false},
        {"segment", MPP_ROLE_SEGMENT, false},
        {NULL, 0, false},
};

static const struct config_enum_entry session_role_options[] = {
        {"client", MPP_SESSION_CLIENT, false},
        {"execute", MPP_SESSION_EXECUTE, false},
        {"utility", MPP_SESSION_UTILITY, false},
        {NULL, 0, false},
};

static ExecutorStart_hook_type previous_executor_start;

/* Whether this database has the extension. */
static bool installed;
static bool installed_is_known;

/* Utility mode passes by the cluster, so it is for superusers; the coordinator is
 * nobody's QE. The check can be made when the setting arrives, with the connection's
 * options: the user is known then and a transaction open. */
static bool check_session_role(int *value, void **extra, GucSource source)
{
	if (MyProcPort == NULL || !IsTransactionState())
		return true;
	if (*value == MPP_SESSION_UTILITY && !superuser_arg(GetSessionUserId())) {
		GUC_check_errmsg("only superusers may connect in utility mode");
		return false;
	}
	if (*value == MPP_SESSION_EXECUTE && mpp_role != MPP_ROLE_SEGMENT) {
		GUC_check_errmsg("only segments execute for a coordinator");
		return false;
	}
	return true;
}

static bool check_cluster_id(char **value, void **extra, GucSource source)
{
	char *end;

	if (**value == '\0')
		return true;
	errno = 0;
	(void)strtoull(*value, &end, 10);
	return errno == 0 && *end == '\0' && **value >= '0' && **value <= '9';
}

static void define_settings(void)
{
	DefineCustomEnumVariable("sluice.role", "What this server is in the cluster.",
	                         "Without a role it behaves as plain PostgreSQL.", &mpp_role,
	                         MPP_ROLE_NONE, role_options, PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("sluice.content", "Number of this segment; -1 for the coordinator.",
	                        NULL, &mpp_content, MPP_COORDINATOR, MPP_COORDINATOR, 65535,
	                        PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("sluice.cluster_id", "The cluster's number, decimal.", NULL,
	                           &mpp_cluster_id, "", PGC_POSTMASTER, 0, check_cluster_id, NULL,
	                           NULL);
	DefineCustomStringVariable("sluice.agent_socket", "Socket of this host's agent (sluiced).",
	                           NULL, &mpp_agent_socket, "", PGC_POSTMASTER, 0, NULL, NULL,
	                           NULL);
	DefineCustomEnumVariable("sluice.session_role",
	                         "Whom this session serves: a client, the coordinator (execute), "
	                         "or a superuser who works on this server alone (utility).",
	                         NULL, &mpp_session_role, MPP_SESSION_CLIENT, session_role_options,
	                         PGC_BACKEND, GUC_DISALLOW_IN_FILE, check_session_role, NULL, NULL);
}

static void forget_installed(Datum arg, int cache_id, uint32 hash_value)
{
	installed_is_known = false;
}

/* The access method comes and goes with the extension, and has a syscache to tell
 * when; pg_extension has none. */
bool mpp_installed(void)
{
	if (!installed_is_known) {
		installed = OidIsValid(get_table_am_oid(MPP_TABLE_AM_NAME, true)) &&
		            OidIsValid(get_extension_oid("sluice", true));
		installed_is_known = true;
	}
	return installed;
}

bool mpp_is_qd(void)
{
	return mpp_role == MPP_ROLE_COORDINATOR && mpp_session_role == MPP_SESSION_CLIENT &&
	       IsTransactionState() && OidIsValid(MyDatabaseId) && !IsAutoVacuumWorkerProcess() &&
	       !IsParallelWorker() && mpp_installed();
}

bool mpp_is_qe(void)
{
	return mpp_role == MPP_ROLE_SEGMENT && mpp_session_role == MPP_SESSION_EXECUTE &&
	       (mpp_session_is_proven || IsParallelWorker());
}

/* Such a session can ask for its nonce, and answer it. */
static void forbid_unproven(const PlannedStmt *statement)
{
	ListCell *cell;
	bool harmless = statement->commandType == CMD_SELECT;

	foreach (cell, statement->rtable)
		harmless = harmless && lfirst_node(RangeTblEntry, cell)->rtekind != RTE_RELATION;
	if (!harmless)
		ereport(ERROR,
		        (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
		         errmsg("permission denied: the client has not proved to be this "
		                "cluster's coordinator"),
		         errhint("The session role \"execute\" is the coordinator's. Clients "
		                 "connect to the coordinator.")));
}

void mpp_forbid_segment_writes(const PlannedStmt *statement)
{
	if (mpp_role != MPP_ROLE_SEGMENT || mpp_session_role == MPP_SESSION_UTILITY ||
	    MyProcPort == NULL || mpp_is_qe())
		return;
	if (mpp_session_role == MPP_SESSION_EXECUTE)
		forbid_unproven(statement);
	if (!CommandIsReadOnly((PlannedStmt *)statement))
		ereport(ERROR,
		        (errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
		         errmsg("this is segment %d of a cluster: a client may only read here",
		                mpp_content),
		         errhint("Connect to the coordinator. A superuser may repair a segment in "
		                 "utility mode: PGOPTIONS='-c sluice.session_role=utility'.")));
	/* What a function of the statement does is stopped by PostgreSQL's own rules. */
	XactReadOnly = true;
}

static void executor_start(QueryDesc *query_desc, int flags)
{
	mpp_forbid_segment_writes(query_desc->plannedstmt);
	if (previous_executor_start)
		previous_executor_start(query_desc, flags);
	else
		standard_ExecutorStart(query_desc, flags);
}

void mpp_node_init(void)
{
	define_settings();
	CacheRegisterSyscacheCallback(AMOID, forget_installed, (Datum)0);
	previous_executor_start = ExecutorStart_hook;
	ExecutorStart_hook = executor_start;
}

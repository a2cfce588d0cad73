/* SPDX-License-Identifier: Apache-2.0 */
/*
 * utility.c - COPY of distributed tables is taken from PostgreSQL here. COPY of a
 * query, of views and of tables of the coordinator alone stays its own.
 */
#include <postgres.h>

#include <access/table.h>
#include <catalog/namespace.h>
#include <tcop/cmdtag.h>
#include <tcop/utility.h>
#include <utils/rls.h>

#include "executor/catalog/distribution.h"
#include "executor/catalog/node.h"
#include "executor/load/load.h"
#include "executor/parts.h"

static ProcessUtility_hook_type previous_process_utility;

/* Whether the statement is for us. */
static bool copies_distributed(const CopyStmt *statement)
{
	Oid relid;

	if (statement->relation == NULL || !mpp_is_qd())
		return false;
	relid = RangeVarGetRelid(statement->relation,
	                         statement->is_from ? RowExclusiveLock : AccessShareLock, true);
	if (!OidIsValid(relid) || mpp_distribution_get(relid) == NULL)
		return false;
	/* PostgreSQL makes a query of it, with the policies. */
	return statement->is_from || check_enable_rls(relid, InvalidOid, false) != RLS_ENABLED;
}

static uint64 copy(const CopyStmt *statement, const char *query_string)
{
	ParseState *pstate = make_parsestate(NULL);
	LOCKMODE lock = statement->is_from ? RowExclusiveLock : AccessShareLock;
	Relation relation = table_openrv(statement->relation, lock);
	uint64 rows;

	pstate->p_sourcetext = query_string;
	rows = statement->is_from ? load_copy_from(pstate, statement, relation)
	                          : load_copy_to(pstate, statement, relation);
	table_close(relation, NoLock);
	free_parsestate(pstate);
	return rows;
}

static void process_utility(PlannedStmt *statement, const char *query_string, bool read_only_tree,
                            ProcessUtilityContext context, ParamListInfo params,
                            QueryEnvironment *environment, DestReceiver *destination,
                            QueryCompletion *completion)
{
	if (IsA(statement->utilityStmt, CopyStmt) &&
	    copies_distributed((CopyStmt *)statement->utilityStmt)) {
		uint64 rows = copy((CopyStmt *)statement->utilityStmt, query_string);

		if (completion != NULL)
			SetQueryCompletion(completion, CMDTAG_COPY, rows);
		return;
	}
	(previous_process_utility ? previous_process_utility : standard_ProcessUtility)(
	        statement, query_string, read_only_tree, context, params, environment, destination,
	        completion);
}

void mpp_load_init(void)
{
	previous_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}

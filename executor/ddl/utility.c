/* SPDX-License-Identifier: Apache-2.0 */
/*
 * utility.c - the hook that utility statements pass.
 */
#include <postgres.h>

#include <access/xact.h>
#include <catalog/namespace.h>
#include <commands/extension.h>
#include <tcop/utility.h>
#include <utils/lsyscache.h>

#include "executor/catalog/catalog.h"
#include "executor/catalog/node.h"
#include "executor/catalog/tableam.h"
#include "executor/ddl/ddl.h"
#include "executor/parts.h"

static ProcessUtility_hook_type previous_process_utility;

/* The arguments of the hook. */
typedef struct Call {
	PlannedStmt *statement;
	const char *query_string;
	bool read_only_tree;
	ProcessUtilityContext context;
	ParamListInfo params;
	QueryEnvironment *environment;
	DestReceiver *destination;
	QueryCompletion *completion;
} Call;

static void run_locally(const Call *call)
{
	ProcessUtility_hook_type next =
	        previous_process_utility ? previous_process_utility : standard_ProcessUtility;

	mpp_shell_scans_allowed++;
	PG_TRY();
	{
		next(call->statement, call->query_string, call->read_only_tree, call->context,
		     call->params, call->environment, call->destination, call->completion);
	}
	PG_FINALLY();
	{
		mpp_shell_scans_allowed--;
	}
	PG_END_TRY();
}

/* The statement is changed: let it be a copy, since plans may hold it. */
static Node *own_statement(Call *call)
{
	if (call->read_only_tree) {
		call->statement = copyObject(call->statement);
		call->read_only_tree = false;
	}
	return call->statement->utilityStmt;
}

static void create_table(Call *call)
{
	CreateStmt *statement = (CreateStmt *)own_statement(call);
	MppTableOption option;
	CreateStmt *original;
	Oid relid;

	if (!mpp_creates_distributed(statement)) {
		run_locally(call);
		return;
	}
	mpp_prepare_create(statement, &option);
	original = copyObject(statement);
	relid = RangeVarGetRelid(statement->relation, NoLock, true);
	if (OidIsValid(relid) || !mpp_is_qd()) {
		run_locally(call); /* IF NOT EXISTS or an error; or the QD labels it */
		return;
	}
	run_locally(call);
	CommandCounterIncrement();
	relid = RangeVarGetRelid(original->relation, NoLock, false);
	mpp_finish_create(relid, original, &option);
}

static void process_utility(PlannedStmt *statement, const char *query_string, bool read_only_tree,
                            ProcessUtilityContext context, ParamListInfo params,
                            QueryEnvironment *environment, DestReceiver *destination,
                            QueryCompletion *completion)
{
	Call call = {statement, query_string, read_only_tree, context,
	             params,    environment,  destination,    completion};

	mpp_forbid_segment_writes(statement);
	if (creating_extension || !(mpp_is_qd() || mpp_is_qe()))
		run_locally(&call);
	else if (IsA(statement->utilityStmt, CreateStmt))
		create_table(&call);
	else
		run_locally(&call);
}

void mpp_ddl_init(void)
{
	previous_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * utility.c - the hook that utility statements pass. A statement that concerns all
 * nodes is run here first, where it meets its locks and most of its errors, and
 * then, as text, on all segments in the same distributed transaction.
 */
#include <postgres.h>

#include <access/xact.h>
#include <catalog/namespace.h>
#include <commands/defrem.h>
#include <commands/extension.h>
#include <parser/analyze.h>
#include <tcop/cmdtag.h>
#include <utils/memutils.h>

#include "executor/catalog/catalog.h"
#include "executor/catalog/node.h"
#include "executor/catalog/tableam.h"
#include "executor/ddl/ddl.h"
#include "executor/dispatch/gang.h"
#include "executor/parts.h"

static ProcessUtility_hook_type previous_process_utility;

/* How many statements of mpp_run_everywhere() are being run, one in another. */
static int depth;

/* What the segments have to run after the outermost of them, in the order in which the
 * statements began. In TopTransactionContext. */
typedef struct Queued {
	char *text;
	SubTransactionId made_in;
} Queued;

static List *queue;

static void call_next(const MppCall *call)
{
	ProcessUtility_hook_type next =
	        previous_process_utility ? previous_process_utility : standard_ProcessUtility;

	next(call->statement, call->query_string, call->read_only_tree, call->context, call->params,
	     call->environment, call->destination, call->completion);
}

void mpp_run_here(const MppCall *call)
{
	mpp_shell_scans_allowed++;
	PG_TRY();
	{
		call_next(call);
	}
	PG_FINALLY();
	{
		mpp_shell_scans_allowed--;
	}
	PG_END_TRY();
}

Node *mpp_own_statement(MppCall *call)
{
	if (call->read_only_tree) {
		call->statement = copyObject(call->statement);
		call->read_only_tree = false;
	}
	return call->statement->utilityStmt;
}

char *mpp_statement_text(const MppCall *call)
{
	int location = call->statement->stmt_location;
	int length = call->statement->stmt_len;
	const char *text = CleanQuerytext(call->query_string, &location, &length);

	return pnstrdup(text, length);
}

static void enqueue(const char *text)
{
	MemoryContext previous = MemoryContextSwitchTo(TopTransactionContext);

	Queued *queued = palloc(sizeof(*queued));

	queued->text = pstrdup(text);
	queued->made_in = GetCurrentSubTransactionId();
	queue = lappend(queue, queued);
	MemoryContextSwitchTo(previous);
}

void mpp_send_later(const char *text)
{
	if (depth == 0)
		(void)mpp_gang_command(mpp_gang_all(), text, true);
	else
		enqueue(text);
}

bool mpp_is_sent(void)
{
	return depth == 0;
}

static void flush_queue(void)
{
	List *texts = queue;
	ListCell *cell;

	queue = NIL;
	foreach (cell, texts)
		(void)mpp_gang_command(mpp_gang_all(), ((Queued *)lfirst(cell))->text, true);
}

/* Subtransactions have ascending numbers: what was queued in one that is aborted, or
 * in those within it, has no lower number. */
static void subtransaction_ended(SubXactEvent event, SubTransactionId subtransaction,
                                 SubTransactionId parent, void *ctx)
{
	ListCell *cell;

	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	foreach (cell, queue)
		if (((Queued *)lfirst(cell))->made_in >= subtransaction)
			queue = foreach_delete_current(queue, cell);
}

/* A view over temporary relations is temporary itself; that is known afterwards. */
static bool has_become_temporary(const Node *statement)
{
	Oid relid;

	if (!IsA(statement, ViewStmt))
		return false;
	relid = RangeVarGetRelid(((const ViewStmt *)statement)->view, NoLock, true);
	return OidIsValid(relid) && mpp_is_temporary(relid);
}

/* text NULL: nothing of the statement itself is sent. */
static void run_and_send(MppCall *call, const char *text, void (*after)(void *ctx), void *ctx)
{
	bool is_outermost = depth == 0;
	int place;

	if (is_outermost)
		queue = NIL;
	place = list_length(queue);
	if (text != NULL)
		enqueue(text);
	depth++;
	PG_TRY();
	{
		mpp_run_here(call);
		CommandCounterIncrement();
		if (after != NULL)
			after(ctx);
		if (text != NULL && has_become_temporary(call->statement->utilityStmt))
			queue = list_delete_nth_cell(queue, place);
	}
	PG_CATCH();
	{
		depth--;
		/* It may be within another, which goes on. */
		queue = list_truncate(queue, place);
		PG_RE_THROW();
	}
	PG_END_TRY();
	depth--;
	if (is_outermost)
		flush_queue();
}

void mpp_run_everywhere(MppCall *call, const char *text, void (*after)(void *ctx), void *ctx)
{
	/* Parts of a statement go with its text. */
	if (call->context == PROCESS_UTILITY_SUBCOMMAND)
		text = NULL;
	else if (text == NULL)
		text = mpp_statement_text(call);
	run_and_send(call, text, after, ctx);
}

void mpp_run_here_and_send(MppCall *call, void (*after)(void *ctx), void *ctx)
{
	run_and_send(call, NULL, after, ctx);
}

static void refuse(const MppCall *call)
{
	ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
	                errmsg("this form of %s is not supported in a cluster",
	                       GetCommandTagName(CreateCommandTag(call->statement->utilityStmt)))));
}

/* EXPLAIN ANALYZE would create the table on the coordinator alone. */
static void check_explain(const ExplainStmt *statement)
{
	const Query *query = castNode(Query, statement->query);
	const CreateTableAsStmt *creation = (const CreateTableAsStmt *)query->utilityStmt;
	ListCell *cell;

	if (query->commandType != CMD_UTILITY || !IsA(creation, CreateTableAsStmt) ||
	    creation->objtype == OBJECT_MATVIEW || mpp_creates_temporary((const Node *)creation))
		return;
	foreach (cell, statement->options) {
		DefElem *option = lfirst(cell);

		if (strcmp(option->defname, "analyze") == 0 && defGetBoolean(option))
			ereport(ERROR,
			        (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			         errmsg("EXPLAIN ANALYZE of CREATE TABLE AS is not supported for "
			                "distributed tables"),
			         errhint("Explain the query alone.")));
	}
}

static void run_on_all_nodes(MppCall *call)
{
	switch (nodeTag(call->statement->utilityStmt)) {
	case T_CreateStmt:
		mpp_create_table(call);
		break;
	case T_CreateTableAsStmt:
		mpp_create_table_as(call);
		break;
	case T_AlterTableStmt:
		mpp_alter_table(call);
		break;
	case T_RenameStmt:
		mpp_rename(call);
		break;
	case T_IndexStmt:
		mpp_create_index(call);
		break;
	case T_CreateTrigStmt:
		mpp_create_trigger(call);
		break;
	case T_SecLabelStmt:
		mpp_security_label(call);
		break;
	case T_CreateEnumStmt:
		mpp_create_enum(call);
		break;
	case T_AlterEnumStmt:
		mpp_alter_enum(call);
		break;
	default:
		mpp_run_everywhere(call, NULL, NULL, NULL);
	}
}

static void run_on_coordinator(MppCall *call)
{
	Node *statement = call->statement->utilityStmt;
	MppStatementKind kind = mpp_classify(statement);

	if (IsA(statement, ExplainStmt))
		check_explain((ExplainStmt *)statement);
	if (kind == MPP_STATEMENT_REFUSED)
		refuse(call);
	else if (kind == MPP_STATEMENT_LOCAL)
		call_next(call);
	else if (mpp_concerns_temporary(statement)) {
		mpp_make_local(call);
		call_next(call);
	} else if (kind == MPP_STATEMENT_EACH_NODE)
		mpp_run_on_each_node(call);
	else
		run_on_all_nodes(call);
}

/* The QD sends statements; what a function on a segment does, only that one sees. */
static void check_sent(const MppCall *call)
{
	if (call->context != PROCESS_UTILITY_TOPLEVEL && mpp_shell_scans_allowed == 0)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		                errmsg("a function that runs on a segment cannot execute %s",
		                       GetCommandTagName(
		                               CreateCommandTag(call->statement->utilityStmt)))));
}

static void run_on_segment(MppCall *call)
{
	Node *statement = call->statement->utilityStmt;

	if (mpp_classify(statement) == MPP_STATEMENT_LOCAL) {
		call_next(call);
		return;
	}
	check_sent(call);
	if (IsA(statement, CreateStmt))
		mpp_create_table_on_segment(call);
	else if (IsA(statement, CreateTableAsStmt))
		mpp_create_table_as_on_segment(call);
	else
		mpp_run_here(call);
}

/* As mpp_is_qd(), in a database without the extension. */
static bool is_client_of_coordinator(void)
{
	return mpp_role == MPP_ROLE_COORDINATOR && mpp_session_role == MPP_SESSION_CLIENT;
}

static void process_utility(PlannedStmt *statement, const char *query_string, bool read_only_tree,
                            ProcessUtilityContext context, ParamListInfo params,
                            QueryEnvironment *environment, DestReceiver *destination,
                            QueryCompletion *completion)
{
	MppCall call = {statement, query_string, read_only_tree, context,
	                params,    environment,  destination,    completion};

	mpp_forbid_segment_writes(statement);
	if (creating_extension) {
		mpp_make_local(&call);
		mpp_run_here(&call);
	} else if (mpp_creates_own_extension(statement->utilityStmt) &&
	           is_client_of_coordinator() && !mpp_installed())
		mpp_create_own_extension(&call);
	else if (mpp_is_qd())
		run_on_coordinator(&call);
	else if (mpp_is_qe())
		run_on_segment(&call);
	else if (mpp_session_role == MPP_SESSION_UTILITY)
		mpp_run_here(&call);
	else
		call_next(&call);
}

void mpp_ddl_init(void)
{
	previous_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
	RegisterSubXactCallback(subtransaction_ended, NULL);
	mpp_alter_table_init();
	mpp_sample_init();
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * create_table_as.c - CREATE TABLE AS and SELECT INTO: a CREATE TABLE with the
 * columns of the query, and an INSERT of its rows, which the planner distributes.
 * Materialized views are filled on the coordinator and stay empty on segments.
 */
#include <postgres.h>

#include <access/table.h>
#include <access/xact.h>
#include <catalog/namespace.h>
#include <commands/defrem.h>
#include <executor/executor.h>
#include <lib/stringinfo.h>
#include <miscadmin.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <parser/parser.h>
#include <rewrite/rewriteHandler.h>
#include <tcop/dest.h>
#include <tcop/tcopprot.h>
#include <utils/builtins.h>
#include <utils/lsyscache.h>
#include <utils/rel.h>
#include <utils/ruleutils.h>
#include <utils/snapmgr.h>

#include "executor/ddl/ddl.h"

void mpp_run_statement(const char *text)
{
	ListCell *cell;

	foreach (cell, raw_parser(text, RAW_PARSE_DEFAULT)) {
		PlannedStmt *statement = makeNode(PlannedStmt);

		statement->commandType = CMD_UTILITY;
		statement->utilityStmt = lfirst_node(RawStmt, cell)->stmt;
		statement->stmt_location = -1;
		ProcessUtility(statement, text, false, PROCESS_UTILITY_QUERY, NULL, NULL,
		               None_Receiver, NULL);
		CommandCounterIncrement();
	}
}

/* The columns of the result: List of TargetEntry, with the names they are to have. */
static List *result_columns(const Query *query, const IntoClause *into)
{
	ListCell *name = list_head(into->colNames);
	List *columns = NIL;
	ListCell *cell;

	foreach (cell, query->targetList) {
		TargetEntry *entry = lfirst(cell);

		if (entry->resjunk)
			continue;
		entry = copyObject(entry);
		if (name != NULL) {
			entry->resname = pstrdup(strVal(lfirst(name)));
			name = lnext(into->colNames, name);
		}
		columns = lappend(columns, entry);
	}
	if (name != NULL)
		ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR),
		                errmsg("too many column names were specified")));
	return columns;
}

static void append_column(StringInfo text, const TargetEntry *column)
{
	Oid type = exprType((Node *)column->expr);
	Oid collation = exprCollation((Node *)column->expr);

	appendStringInfo(
	        text, "%s %s", quote_identifier(column->resname),
	        format_type_extended(type, exprTypmod((Node *)column->expr),
	                             FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY));
	if (type_is_collatable(type) && !OidIsValid(collation))
		ereport(ERROR,
		        (errcode(ERRCODE_INDETERMINATE_COLLATION),
		         errmsg("no collation was derived for column "
		                "\"%s\" with collatable type %s",
		                column->resname, format_type_be(type)),
		         errhint("Use the COLLATE clause to set the collation explicitly.")));
	if (OidIsValid(collation) && collation != get_typcollation(type))
		appendStringInfo(text, " COLLATE %s", generate_collation_name(collation));
}

static void append_options(StringInfo text, const IntoClause *into)
{
	ListCell *cell;

	if (into->accessMethod != NULL)
		appendStringInfo(text, " USING %s", quote_identifier(into->accessMethod));
	foreach (cell, into->options) {
		DefElem *option = lfirst(cell);

		appendStringInfoString(text, cell == list_head(into->options) ? " WITH (" : ", ");
		if (option->defnamespace != NULL)
			appendStringInfo(text, "%s.", quote_identifier(option->defnamespace));
		appendStringInfoString(text, quote_identifier(option->defname));
		if (option->arg != NULL)
			appendStringInfo(text, " = %s", quote_literal_cstr(defGetString(option)));
	}
	if (into->options != NIL)
		appendStringInfoChar(text, ')');
	if (into->tableSpaceName != NULL)
		appendStringInfo(text, " TABLESPACE %s", quote_identifier(into->tableSpaceName));
}

/* Returns the new table. */
static Oid create_table(const IntoClause *into, const List *columns)
{
	Oid namespace = RangeVarGetCreationNamespace(into->rel);
	StringInfoData text;
	ListCell *cell;

	initStringInfo(&text);
	appendStringInfo(
	        &text, "CREATE %sTABLE %s (",
	        into->rel->relpersistence == RELPERSISTENCE_UNLOGGED ? "UNLOGGED " : "",
	        quote_qualified_identifier(get_namespace_name(namespace), into->rel->relname));
	foreach (cell, columns) {
		if (cell != list_head(columns))
			appendStringInfoString(&text, ", ");
		append_column(&text, lfirst(cell));
	}
	appendStringInfoChar(&text, ')');
	append_options(&text, into);
	mpp_run_statement(text.data);
	return get_relname_relid(into->rel->relname, namespace);
}

static RangeTblEntry *target_entry(Oid relid, const List *columns)
{
	RangeTblEntry *entry = makeNode(RangeTblEntry);

	entry->rtekind = RTE_RELATION;
	entry->relid = relid;
	entry->relkind = get_rel_relkind(relid);
	entry->rellockmode = RowExclusiveLock;
	entry->eref = makeAlias(get_rel_name(relid), NIL);
	entry->requiredPerms = ACL_INSERT;
	for (int i = 0; i < list_length(columns); i++) {
		TargetEntry *column = list_nth(columns, i);

		entry->eref->colnames =
		        lappend(entry->eref->colnames, makeString(pstrdup(column->resname)));
		entry->insertedCols = bms_add_member(entry->insertedCols,
		                                     i + 1 - FirstLowInvalidHeapAttributeNumber);
	}
	return entry;
}

Query *mpp_make_insert(Oid relid, Query *source, const List *columns)
{
	Query *insert = makeNode(Query);
	RangeTblEntry *subquery = makeNode(RangeTblEntry);
	RangeTblRef *reference = makeNode(RangeTblRef);

	subquery->rtekind = RTE_SUBQUERY;
	subquery->subquery = source;
	subquery->eref = makeAlias("*SELECT*", NIL);
	reference->rtindex = 2;
	for (int i = 0; i < list_length(columns); i++) {
		TargetEntry *column = list_nth(columns, i);
		Node *value = (Node *)column->expr;
		Var *var = makeVar(2, column->resno, exprType(value), exprTypmod(value),
		                   exprCollation(value), 0);

		subquery->eref->colnames =
		        lappend(subquery->eref->colnames, makeString(pstrdup(column->resname)));
		insert->targetList = lappend(
		        insert->targetList,
		        makeTargetEntry((Expr *)var, i + 1, pstrdup(column->resname), false));
	}
	insert->commandType = CMD_INSERT;
	insert->querySource = QSRC_ORIGINAL;
	insert->canSetTag = true;
	insert->rtable = list_make2(target_entry(relid, columns), subquery);
	insert->resultRelation = 1;
	insert->jointree = makeFromExpr(list_make1(reference), NULL);
	return insert;
}

/* Plans and runs it; returns the number of rows. */
static uint64 run_insert(Query *insert, const MppCall *call)
{
	List *rewritten = QueryRewrite(insert);
	PlannedStmt *plan;
	QueryDesc *query;
	uint64 rows;

	if (list_length(rewritten) != 1)
		elog(ERROR, "unexpected rewrite result for CREATE TABLE AS");
	PushCopiedSnapshot(GetActiveSnapshot());
	UpdateActiveSnapshotCommandId();
	plan = pg_plan_query(linitial(rewritten), call->query_string, 0, call->params);
	query = CreateQueryDesc(plan, call->query_string, GetActiveSnapshot(), InvalidSnapshot,
	                        None_Receiver, call->params, call->environment, 0);
	ExecutorStart(query, 0);
	ExecutorRun(query, ForwardScanDirection, 0, true);
	ExecutorFinish(query);
	rows = query->estate->es_processed;
	ExecutorEnd(query);
	FreeQueryDesc(query);
	PopActiveSnapshot();
	return rows;
}

void mpp_create_table_as(MppCall *call)
{
	CreateTableAsStmt *statement = (CreateTableAsStmt *)mpp_own_statement(call);
	Query *query = castNode(Query, statement->query);
	List *columns;
	uint64 rows;
	Oid relid;

	if (statement->objtype == OBJECT_MATVIEW) {
		mpp_make_local(call);
		mpp_run_everywhere(call, NULL, NULL, NULL);
		return;
	}
	if (OidIsValid(mpp_relation_to_create(statement->into->rel))) {
		mpp_run_here(call); /* says that it exists */
		return;
	}
	if (query->commandType == CMD_UTILITY)
		ereport(ERROR,
		        (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		         errmsg("CREATE TABLE AS EXECUTE is not supported for distributed tables"),
		         errhint("Give the query itself, or create a temporary table.")));
	if (query->hasModifyingCTE)
		ereport(ERROR,
		        (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		         errmsg("CREATE TABLE AS of a query that changes data is not supported for "
		                "distributed tables")));
	columns = result_columns(query, statement->into);
	relid = create_table(statement->into, columns);
	if (statement->into->skipData)
		return;
	rows = run_insert(mpp_make_insert(relid, query, columns), call);
	if (call->completion != NULL)
		SetQueryCompletion(call->completion, CMDTAG_SELECT, rows);
}

void mpp_create_table_as_on_segment(MppCall *call)
{
	CreateTableAsStmt *statement = (CreateTableAsStmt *)mpp_own_statement(call);

	mpp_make_local(call);
	statement->into->skipData = true;
	mpp_run_here(call);
}

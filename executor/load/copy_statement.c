/* SPDX-License-Identifier: Apache-2.0 */
/*
 * copy_statement.c - the COPY statement that segments run, and the checks that
 * PostgreSQL makes before its own.
 */
#include <postgres.h>

#include <access/xact.h>
#include <catalog/pg_authid.h>
#include <executor/executor.h>
#include <lib/stringinfo.h>
#include <miscadmin.h>
#include <nodes/makefuncs.h>
#include <optimizer/optimizer.h>
#include <parser/parse_coerce.h>
#include <parser/parse_collate.h>
#include <parser/parse_expr.h>
#include <parser/parse_relation.h>
#include <utils/acl.h>
#include <utils/builtins.h>
#include <utils/lsyscache.h>
#include <utils/rls.h>

#include "executor/load/load.h"

static void append_columns(StringInfo sql, Relation relation, const List *attnums)
{
	const char *separator = "(";
	ListCell *cell;

	foreach (cell, attnums) {
		Form_pg_attribute attribute =
		        TupleDescAttr(RelationGetDescr(relation), lfirst_int(cell) - 1);

		appendStringInfo(sql, "%s%s", separator,
		                 quote_identifier(NameStr(attribute->attname)));
		separator = ", ";
	}
	if (attnums != NIL)
		appendStringInfoString(sql, ")");
}

static void append_names(StringInfo sql, const char *option, const List *names)
{
	const char *separator = "(";
	ListCell *cell;

	if (names == NIL)
		return;
	appendStringInfo(sql, ", %s ", option);
	foreach (cell, names) {
		appendStringInfo(sql, "%s%s", separator, quote_identifier(strVal(lfirst(cell))));
		separator = ", ";
	}
	appendStringInfoString(sql, ")");
}

char *load_copy_sql(Relation relation, const List *attnums, bool is_from,
                    const CopyFormatOptions *options)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(
	        &sql, "COPY %s ",
	        quote_qualified_identifier(get_namespace_name(RelationGetNamespace(relation)),
	                                   RelationGetRelationName(relation)));
	append_columns(&sql, relation, attnums);
	appendStringInfoString(&sql, is_from ? " FROM STDIN" : " TO STDOUT");
	if (options->binary) {
		appendStringInfo(&sql, " (FORMAT binary%s)", options->freeze ? ", FREEZE" : "");
		return sql.data;
	}
	appendStringInfo(&sql, " (FORMAT %s, DELIMITER %s, NULL %s",
	                 options->csv_mode ? "csv" : "text", quote_literal_cstr(options->delim),
	                 quote_literal_cstr(options->null_print));
	if (options->csv_mode)
		appendStringInfo(&sql, ", QUOTE %s, ESCAPE %s", quote_literal_cstr(options->quote),
		                 quote_literal_cstr(options->escape));
	if (options->freeze)
		appendStringInfoString(&sql, ", FREEZE");
	append_names(&sql, "FORCE_NOT_NULL", options->force_notnull);
	append_names(&sql, "FORCE_NULL", options->force_null);
	if (options->force_quote_all)
		appendStringInfoString(&sql, ", FORCE_QUOTE *");
	else
		append_names(&sql, "FORCE_QUOTE", options->force_quote);
	appendStringInfoString(&sql, ")");
	return sql.data;
}

static void check_file(const CopyStmt *statement)
{
	if (statement->filename == NULL)
		return;
	if (statement->is_program) {
		if (!has_privs_of_role(GetUserId(), ROLE_PG_EXECUTE_SERVER_PROGRAM))
			ereport(ERROR,
			        (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			         errmsg("must be superuser or have privileges of the "
			                "pg_execute_server_program role to COPY to or from an "
			                "external program"),
			         errhint("Anyone can COPY to stdout or from stdin. psql's \\copy "
			                 "command also works for anyone.")));
		return;
	}
	if (!has_privs_of_role(GetUserId(), statement->is_from ? ROLE_PG_READ_SERVER_FILES
	                                                       : ROLE_PG_WRITE_SERVER_FILES))
		ereport(ERROR,
		        (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
		         errmsg("must be superuser or have privileges of the %s role to COPY %s a "
		                "file",
		                statement->is_from ? "pg_read_server_files"
		                                   : "pg_write_server_files",
		                statement->is_from ? "from" : "to"),
		         errhint("Anyone can COPY to stdout or from stdin. psql's \\copy command "
		                 "also works for anyone.")));
}

static List *where_clause(ParseState *pstate, const CopyStmt *statement)
{
	Node *clause =
	        transformExpr(pstate, copyObject(statement->whereClause), EXPR_KIND_COPY_WHERE);

	clause = coerce_to_boolean(pstate, clause, "WHERE");
	assign_expr_collations(pstate, clause);
	clause = eval_const_expressions(NULL, clause);
	clause = (Node *)canonicalize_qual((Expr *)clause, false);
	return make_ands_implicit((Expr *)clause);
}

List *load_copy_check(ParseState *pstate, const CopyStmt *statement, Relation relation,
                      const List *attnums)
{
	ParseNamespaceItem *item = addRangeTableEntryForRelation(
	        pstate, relation, statement->is_from ? RowExclusiveLock : AccessShareLock, NULL,
	        false, false);
	RangeTblEntry *entry = item->p_rte;
	List *where = NIL;
	ListCell *cell;

	check_file(statement);
	entry->requiredPerms = statement->is_from ? ACL_INSERT : ACL_SELECT;
	foreach (cell, attnums) {
		int column = lfirst_int(cell) - FirstLowInvalidHeapAttributeNumber;
		Bitmapset **columns =
		        statement->is_from ? &entry->insertedCols : &entry->selectedCols;

		*columns = bms_add_member(*columns, column);
	}
	if (statement->whereClause != NULL) {
		addNSItemToQuery(pstate, item, false, true, true);
		where = where_clause(pstate, statement); /* adds the columns it reads */
	}
	ExecCheckRTPerms(pstate->p_rtable, true);
	if (!statement->is_from)
		return NIL;
	if (check_enable_rls(entry->relid, InvalidOid, false) == RLS_ENABLED)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		                errmsg("COPY FROM not supported with row-level security"),
		                errhint("Use INSERT statements instead.")));
	PreventCommandIfReadOnly("COPY FROM");
	return where;
}

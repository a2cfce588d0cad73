/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redistribute.c - gives a table another distribution. Its rows go to a table with
 * that distribution and come back when all nodes know it, so that everything that
 * belongs to the table, and its identity, stay. All in the transaction.
 */
#include <postgres.h>

#include <access/table.h>
#include <access/xact.h>
#include <catalog/namespace.h>
#include <catalog/objectaddress.h>
#include <catalog/pg_class.h>
#include <catalog/pg_inherits.h>
#include <commands/defrem.h>
#include <commands/tablecmds.h>
#include <executor/spi.h>
#include <lib/stringinfo.h>
#include <miscadmin.h>
#include <storage/lmgr.h>
#include <utils/acl.h>
#include <utils/builtins.h>
#include <utils/lsyscache.h>
#include <utils/rel.h>

#include "executor/catalog/catalog.h"
#include "executor/catalog/label.h"
#include "executor/ddl/ddl.h"

static void check_can_move(Oid relid)
{
	Relation table;

	if (!pg_class_ownercheck(relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, get_relkind_objtype(get_rel_relkind(relid)),
		               get_rel_name(relid));
	if (mpp_parents(relid) != NIL)
		ereport(ERROR,
		        (errcode(ERRCODE_WRONG_OBJECT_TYPE),
		         errmsg("table \"%s\" is distributed as its parent", get_rel_name(relid)),
		         errhint("Change the distribution of the parent.")));
	table = table_open(relid, AccessExclusiveLock);
	if (table->rd_rules != NULL)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		                errmsg("the rows of table \"%s\" cannot be moved: it has rules",
		                       get_rel_name(relid))));
	if (table->rd_rel->relkind == RELKIND_RELATION && table->rd_rel->relhassubclass &&
	    find_inheritance_children(relid, NoLock) != NIL)
		ereport(ERROR,
		        (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		         errmsg("the rows of table \"%s\" cannot be moved: other tables inherit it",
		                get_rel_name(relid))));
	table_close(table, NoLock);
}

/* What an error leaves of the security context, the end of the transaction restores. */
uint64 mpp_execute_on_all_rows(const char *command, int expected)
{
	uint64 rows;
	int context;
	Oid user;

	GetUserIdAndSecContext(&user, &context);
	SPI_connect();
	SetUserIdAndSecContext(user, context | SECURITY_NOFORCE_RLS);
	if (SPI_execute(command, false, 0) != expected)
		elog(ERROR, "could not execute: %s", command);
	rows = SPI_processed;
	SetUserIdAndSecContext(user, context);
	SPI_finish();
	return rows;
}

/* Columns that can be inserted. */
static char *stored_columns(Oid relid)
{
	Relation table = table_open(relid, NoLock);
	TupleDesc descriptor = RelationGetDescr(table);
	StringInfoData text;

	initStringInfo(&text);
	for (int i = 0; i < descriptor->natts; i++) {
		Form_pg_attribute column = TupleDescAttr(descriptor, i);

		if (!column->attisdropped && column->attgenerated == '\0')
			appendStringInfo(&text, "%s%s", text.len > 0 ? ", " : "",
			                 quote_identifier(NameStr(column->attname)));
	}
	table_close(table, NoLock);
	return text.data;
}

static void label_all(Oid relid, MppPolicy policy, List *columns)
{
	ListCell *cell;

	foreach (cell, find_all_inheritors(relid, AccessExclusiveLock, NULL))
		mpp_label_everywhere(lfirst_oid(cell), policy, columns);
	foreach (cell, find_all_inheritors(relid, NoLock, NULL))
		mpp_check_new_distribution(lfirst_oid(cell));
}

static void move_rows(Oid relid, MppPolicy policy, List *columns)
{
	char *table = mpp_qualified_name(relid);
	char *stored = stored_columns(relid);
	char *option = policy == MPP_POLICY_RANDOM       ? "random"
	               : policy == MPP_POLICY_REPLICATED ? "replicated"
	                                                 : mpp_label_columns(columns);
	char *moved = quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
	                                         psprintf("sluice_moved_%u", relid));

	mpp_run_statement(psprintf("CREATE UNLOGGED TABLE %s (LIKE %s) WITH (distributed_by = %s)",
	                           moved, table, quote_literal_cstr(option)));
	mpp_execute_on_all_rows(
	        psprintf("INSERT INTO %s (%s) SELECT %s FROM %s", moved, stored, stored, table),
	        SPI_OK_INSERT);
	mpp_run_statement(psprintf("TRUNCATE %s", table));
	label_all(relid, policy, columns);
	mpp_execute_on_all_rows(
	        psprintf("INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM %s", table,
	                 stored, stored, moved),
	        SPI_OK_INSERT);
	mpp_run_statement(psprintf("DROP TABLE %s", moved));
}

void mpp_redistribute(Oid relid, MppPolicy policy, List *columns)
{
	const MppDistribution *current;
	MppDistribution wanted;

	check_can_move(relid);
	(void)find_all_inheritors(relid, AccessExclusiveLock, NULL);
	mpp_distribution_of_columns(relid, policy, columns, &wanted);
	current = mpp_distribution_get(relid);
	if (current != NULL && current->policy == policy &&
	    equal(mpp_key_names(relid, current), columns))
		return;
	mpp_check_unique_keys(relid, &wanted);
	if (mpp_table_is_empty(relid))
		label_all(relid, policy, columns);
	else
		move_rows(relid, policy, columns);
}

void mpp_security_label(MppCall *call)
{
	SecLabelStmt *statement = (SecLabelStmt *)call->statement->utilityStmt;
	MppPolicy policy;
	List *columns;
	Oid relid;

	if (statement->provider == NULL || strcmp(statement->provider, MPP_LABEL_PROVIDER) != 0 ||
	    statement->objtype != OBJECT_TABLE || statement->label == NULL) {
		mpp_run_everywhere(call, NULL, NULL, NULL);
		return;
	}
	relid = RangeVarGetRelidExtended(
	        makeRangeVarFromNameList(castNode(List, statement->object)), AccessExclusiveLock, 0,
	        RangeVarCallbackOwnsRelation, NULL);
	mpp_label_parse(statement->label, &policy, &columns);
	/* pg_restore labels the partitions, too, after they have what their parent has. */
	if (mpp_parents(relid) != NIL && mpp_distribution_get(relid) != NULL) {
		const MppDistribution *current = mpp_distribution_get(relid);

		if (current->policy == policy && equal(mpp_key_names(relid, current), columns))
			return;
	}
	mpp_redistribute(relid, policy, columns);
}

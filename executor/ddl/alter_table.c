/* SPDX-License-Identifier: Apache-2.0 */
/*
 * alter_table.c - ALTER TABLE and what else changes a distributed table or its
 * columns: refused where segments could not do it right, and checked afterwards.
 */
#include <postgres.h>

#include <access/htup_details.h>
#include <access/table.h>
#include <catalog/dependency.h>
#include <catalog/namespace.h>
#include <catalog/objectaccess.h>
#include <catalog/pg_attrdef.h>
#include <catalog/pg_attribute.h>
#include <catalog/pg_class.h>
#include <catalog/pg_inherits.h>
#include <catalog/pg_type.h>
#include <commands/tablecmds.h>
#include <executor/spi.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <optimizer/optimizer.h>
#include <parser/parse_type.h>
#include <rewrite/rewriteHandler.h>
#include <storage/lmgr.h>
#include <utils/builtins.h>
#include <utils/fmgroids.h>
#include <utils/lsyscache.h>
#include <utils/rel.h>
#include <utils/syscache.h>

#include "executor/catalog/label.h"
#include "executor/catalog/node.h"
#include "executor/catalog/tableam.h"
#include "executor/ddl/ddl.h"

static object_access_hook_type previous_object_access;

static void pg_attribute_noreturn() refuse(const char *what, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
	                errmsg("%s is not supported for distributed tables", what),
	                hint != NULL ? errhint("%s", hint) : 0));
}

/* InvalidOid: does not exist. ERROR: the user does not own it. */
static Oid lock_owned(const RangeVar *relation, LOCKMODE mode)
{
	return RangeVarGetRelidExtended(relation, mode, RVR_MISSING_OK,
	                                RangeVarCallbackOwnsRelation, NULL);
}

static bool is_key(Oid relid, AttrNumber column)
{
	const MppDistribution *distribution = mpp_distribution_get(relid);

	for (int i = 0; distribution != NULL && i < distribution->key_count; i++)
		if (distribution->keys[i] == column)
			return true;
	return false;
}

/* Whether any table of the hierarchy has rows. */
bool mpp_table_is_empty(Oid relid)
{
	return mpp_execute_on_all_rows(
	               psprintf("SELECT 1 FROM %s LIMIT 1", mpp_qualified_name(relid)),
	               SPI_OK_SELECT) == 0;
}

/* ---- columns of the distribution key ---- */

/* Whether all values of the old type, as the new one, have the hash they had. */
static bool keeps_hash(Oid old_type, int32 old_typmod, Oid new_type, int32 new_typmod)
{
	/* A length or precision may change values; none cannot. */
	if (new_typmod >= 0 && new_typmod != old_typmod)
		return false;
	return mpp_hash_alike(old_type, new_type);
}

static void check_key_type(Oid relid, const AlterTableCmd *command)
{
	const ColumnDef *definition = castNode(ColumnDef, command->def);
	AttrNumber number = get_attnum(relid, command->name);
	Oid old_type, new_type;
	Oid old_collation, new_collation;
	int32 old_typmod, new_typmod;

	if (number <= 0 || !is_key(relid, number))
		return;
	get_atttypetypmodcoll(relid, number, &old_type, &old_typmod, &old_collation);
	typenameTypeIdAndMod(NULL, definition->typeName, &new_type, &new_typmod);
	new_collation = GetColumnDefCollation(NULL, (ColumnDef *)definition, new_type);
	if (definition->raw_default == NULL && old_collation == new_collation &&
	    keeps_hash(old_type, old_typmod, new_type, new_typmod))
		return;
	ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
	                errmsg("the type of column \"%s\" cannot be changed "
	                       "so: table \"%s\" is distributed by it",
	                       command->name, get_rel_name(relid)),
	                errdetail("Rows could then belong to other segments."),
	                errhint("Distribute the table otherwise first: ALTER TABLE ... SET "
	                        "(distributed_by = 'random').")));
}

/* Sequences are the coordinator's; a segment's number would be given twice. What ALTER
 * TABLE evaluates, the coordinator has checked. */
static void forbid_sequences(Oid function)
{
	if (mpp_shell_scans_allowed == 0 &&
	    (function == F_NEXTVAL || function == F_SETVAL_REGCLASS_INT8 ||
	     function == F_SETVAL_REGCLASS_INT8_BOOL))
		ereport(ERROR,
		        (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		         errmsg("sequences are the coordinator's: a segment cannot call %s()",
		                get_func_name(function))));
}

/* However a column is dropped: with its type, for example. */
static void object_access(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id,
                          void *argument)
{
	if (previous_object_access)
		previous_object_access(access, class_id, object_id, sub_id, argument);
	if (access == OAT_FUNCTION_EXECUTE && mpp_is_qe())
		forbid_sequences(object_id);
	if (access == OAT_DROP && class_id == RelationRelationId && sub_id > 0 && mpp_is_qd() &&
	    is_key(object_id, sub_id))
		ereport(ERROR,
		        (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		         errmsg("column \"%s\" cannot be dropped: "
		                "table \"%s\" is distributed by it",
		                get_attname(object_id, sub_id, false), get_rel_name(object_id)),
		         errhint("Distribute the table otherwise first: ALTER TABLE ... SET "
		                 "(distributed_by = ...).")));
}

/* ---- ADD COLUMN ---- */

static bool has_nextval(Node *node, void *ctx)
{
	if (node == NULL)
		return false;
	if (IsA(node, NextValueExpr) ||
	    (IsA(node, FuncExpr) && ((FuncExpr *)node)->funcid == F_NEXTVAL))
		return true;
	return expression_tree_walker(node, has_nextval, ctx);
}

static void pg_attribute_noreturn()
        refuse_column(Oid relid, const ColumnDef *column, const char *detail, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
	                errmsg("column \"%s\" cannot be added to table \"%s\", which has rows",
	                       column->colname, get_rel_name(relid)),
	                errdetail("%s", detail), errhint("%s", hint)));
}

/* What a column's default is evaluated to on each segment must be what the cluster
 * would evaluate it to. */
static void check_added_column(Oid relid, const ColumnDef *column, bool is_empty)
{
	Relation table = table_open(relid, NoLock);
	AttrNumber number = get_attnum(relid, column->colname);
	Node *value = number > 0 ? build_column_default(table, number) : NULL;
	const MppDistribution *distribution = mpp_distribution_get(relid);

	table_close(table, NoLock);
	if (value == NULL || is_empty || !contain_mutable_functions(value))
		return;
	if (has_nextval(value, NULL))
		refuse_column(relid, column, "Its rows would need numbers of a sequence.",
		              "Create a new table with the column, and insert the rows there.");
	if (!contain_volatile_functions(value))
		refuse_column(relid, column, "Its default has another value on each segment.",
		              "Add it with a constant, and SET DEFAULT afterwards.");
	if (distribution->policy == MPP_POLICY_REPLICATED)
		refuse_column(relid, column, "The copies of a row would get different values.",
		              "Create a new table with the column, and insert the rows there.");
}

/* Of ADD COLUMN, before: whether there may be a default that is not constant, so that
 * it matters whether there are rows. */
static bool may_have_volatile_default(const ColumnDef *column)
{
	ListCell *cell;

	if (column->typeName != NULL && column->typeName->names != NIL) {
		const char *name = strVal(llast(column->typeName->names));

		if (strstr(name, "serial") != NULL)
			return true;
	}
	foreach (cell, column->constraints) {
		const Constraint *constraint = lfirst(cell);

		if (constraint->contype == CONSTR_IDENTITY ||
		    (constraint->contype == CONSTR_DEFAULT && constraint->raw_expr != NULL &&
		     !IsA(constraint->raw_expr, A_Const)))
			return true;
	}
	return false;
}

/* ---- ALTER TABLE ---- */

typedef struct Alteration {
	Oid relid;
	List *added; /* of ColumnDef, to check afterwards */
	bool is_empty;
} Alteration;

static void prepare_constraint(Constraint *constraint)
{
	/* The segments look through their rows. */
	if (constraint->contype == CONSTR_FOREIGN && constraint->initially_valid)
		constraint->skip_validation = true;
}

static void check_command(AlterTableCmd *command, Alteration *alteration)
{
	Oid relid = alteration->relid;

	switch (command->subtype) {
	case AT_SetAccessMethod:
		refuse("ALTER TABLE ... SET ACCESS METHOD", NULL);
	case AT_AttachPartition:
		mpp_check_bound(((PartitionCmd *)command->def)->bound);
		break;
	case AT_DetachPartition:
		if (((PartitionCmd *)command->def)->concurrent)
			refuse("DETACH PARTITION CONCURRENTLY", "Detach it without CONCURRENTLY.");
		break;
	case AT_AlterColumnType:
		check_key_type(relid, command);
		break;
	case AT_AddConstraint:
		prepare_constraint(castNode(Constraint, command->def));
		break;
	case AT_AddColumn:
		if (may_have_volatile_default(castNode(ColumnDef, command->def))) {
			alteration->added = lappend(alteration->added, copyObject(command->def));
			alteration->is_empty = mpp_table_is_empty(relid);
		}
		break;
	default:
		break;
	}
}

static void after_alter(void *ctx)
{
	Alteration *alteration = ctx;
	ListCell *cell;

	foreach (cell, alteration->added)
		check_added_column(alteration->relid, lfirst(cell), alteration->is_empty);
	foreach (cell, find_all_inheritors(alteration->relid, NoLock, NULL))
		mpp_check_distribution(lfirst_oid(cell));
}

/* ALTER TABLE ... SET (distributed_by = ...), or false when it is not that. */
static bool alter_distribution(AlterTableStmt *statement, Oid relid)
{
	ListCell *cell;

	foreach (cell, statement->cmds) {
		AlterTableCmd *command = lfirst(cell);
		MppTableOption option;
		List *options;

		if (command->subtype != AT_SetRelOptions)
			continue;
		options = (List *)command->def;
		mpp_take_table_option(&options, &option);
		if (!option.is_given)
			continue;
		if (options != NIL || list_length(statement->cmds) > 1)
			refuse("A change of distribution together with others",
			       "Give SET (distributed_by = ...) in a statement of its own.");
		mpp_redistribute(relid, option.policy, option.columns);
		return true;
	}
	return false;
}

void mpp_alter_table(MppCall *call)
{
	AlterTableStmt *statement = (AlterTableStmt *)mpp_own_statement(call);
	Alteration alteration = {.relid = RangeVarGetRelid(statement->relation, NoLock, true)};
	ListCell *cell;

	if (statement->objtype == OBJECT_TYPE)
		foreach (cell, statement->cmds)
			if (((AlterTableCmd *)lfirst(cell))->behavior == DROP_CASCADE)
				refuse("ALTER TYPE ... CASCADE",
				       "Alter the tables of the type first.");
	if (!OidIsValid(alteration.relid) || mpp_distribution_get(alteration.relid) == NULL) {
		mpp_run_everywhere(call, NULL, NULL, NULL);
		return;
	}
	/* Before anything is looked at that another statement could change. */
	(void)lock_owned(statement->relation, AlterTableGetLockLevel(statement->cmds));
	if (alter_distribution(statement, alteration.relid))
		return;
	foreach (cell, statement->cmds)
		check_command(lfirst(cell), &alteration);
	mpp_run_everywhere(call, NULL, after_alter, &alteration);
}

/* ---- RENAME COLUMN ---- */

/* The keys of a table and its heirs, by number, while their names change. */
typedef struct Renaming {
	List *relids;
	List *keys; /* lists of integers */
} Renaming;

static void after_rename(void *ctx)
{
	Renaming *renaming = ctx;
	ListCell *table;
	ListCell *key;

	forboth (table, renaming->relids, key, renaming->keys) {
		List *columns = NIL;
		ListCell *number;

		foreach (number, (List *)lfirst(key))
			columns = lappend(columns,
			                  makeString(get_attname(lfirst_oid(table),
			                                         lfirst_int(number), false)));
		mpp_label_everywhere(lfirst_oid(table), MPP_POLICY_HASH, columns);
	}
}

static void remember_key(Renaming *renaming, Oid relid, const char *column)
{
	const MppDistribution *distribution = mpp_distribution_get(relid);
	List *numbers = NIL;

	if (distribution == NULL || !is_key(relid, get_attnum(relid, column)))
		return;
	for (int i = 0; i < distribution->key_count; i++)
		numbers = lappend_int(numbers, distribution->keys[i]);
	renaming->relids = lappend_oid(renaming->relids, relid);
	renaming->keys = lappend(renaming->keys, numbers);
}

void mpp_rename(MppCall *call)
{
	RenameStmt *statement = (RenameStmt *)call->statement->utilityStmt;
	Renaming renaming = {0};
	ListCell *cell;
	Oid relid;

	if (statement->renameType == OBJECT_ATTRIBUTE && statement->behavior == DROP_CASCADE)
		refuse("ALTER TYPE ... CASCADE", "Alter the tables of the type first.");
	if (statement->renameType == OBJECT_COLUMN) {
		relid = lock_owned(statement->relation, AccessExclusiveLock);
		if (OidIsValid(relid))
			foreach (cell, find_all_inheritors(relid, AccessExclusiveLock, NULL))
				remember_key(&renaming, lfirst_oid(cell), statement->subname);
	}
	mpp_run_everywhere(call, NULL, after_rename, &renaming);
}

/* ---- indexes and triggers ---- */

static void after_index(void *ctx)
{
	mpp_check_distribution(*(Oid *)ctx);
}

void mpp_create_index(MppCall *call)
{
	IndexStmt *statement = (IndexStmt *)call->statement->utilityStmt;
	Oid relid = lock_owned(statement->relation, ShareLock);

	if (statement->concurrent)
		refuse("CREATE INDEX CONCURRENTLY", "Create it without CONCURRENTLY.");
	mpp_run_everywhere(call, NULL, OidIsValid(relid) ? after_index : NULL, &relid);
	/* The planner should know of it what ANALYZE would say. */
	if (mpp_is_sent() && mpp_distribution_get(relid) != NULL)
		mpp_refresh_sizes(find_all_inheritors(relid, NoLock, NULL));
}

void mpp_create_trigger(MppCall *call)
{
	CreateTrigStmt *statement = (CreateTrigStmt *)call->statement->utilityStmt;
	Oid relid = RangeVarGetRelid(statement->relation, NoLock, true);

	if (OidIsValid(relid) && mpp_distribution_get(relid) != NULL)
		refuse("CREATE TRIGGER",
		       "Its function would run on a segment, where it cannot read or "
		       "write the tables of the cluster.");
	mpp_run_everywhere(call, NULL, NULL, NULL);
}

void mpp_alter_table_init(void)
{
	previous_object_access = object_access_hook;
	object_access_hook = object_access;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * classify.c - which utility statements concern the coordinator alone, which all
 * nodes, and which cannot be done in a cluster; and the relations a statement is
 * about, since temporary ones live on the coordinator alone.
 */
#include <postgres.h>

#include <access/relation.h>
#include <catalog/namespace.h>
#include <catalog/objectaddress.h>
#include <catalog/pg_class.h>
#include <commands/defrem.h>
#include <nodes/makefuncs.h>
#include <utils/lsyscache.h>
#include <utils/rel.h>

#include "executor/ddl/ddl.h"

static bool has_option(const List *options, const char *name)
{
	ListCell *cell;

	foreach (cell, options)
		if (strcmp(((DefElem *)lfirst(cell))->defname, name) == 0)
			return true;
	return false;
}

/* DROP INDEX CONCURRENTLY; and this extension, without which there is no cluster. */
static bool drops_refused(const DropStmt *statement)
{
	ListCell *cell;

	if (statement->removeType == OBJECT_EXTENSION)
		foreach (cell, statement->objects)
			if (strcmp(strVal(lfirst(cell)), "sluice") == 0)
				return true;
	return statement->concurrent;
}

/* Their functions run on the coordinator, and what those do is sent. */
static bool is_about_event_trigger(const Node *statement)
{
	switch (nodeTag(statement)) {
	case T_CreateEventTrigStmt:
	case T_AlterEventTrigStmt:
		return true;
	case T_DropStmt:
		return ((const DropStmt *)statement)->removeType == OBJECT_EVENT_TRIGGER;
	case T_RenameStmt:
		return ((const RenameStmt *)statement)->renameType == OBJECT_EVENT_TRIGGER;
	case T_AlterOwnerStmt:
		return ((const AlterOwnerStmt *)statement)->objectType == OBJECT_EVENT_TRIGGER;
	case T_CommentStmt:
		return ((const CommentStmt *)statement)->objtype == OBJECT_EVENT_TRIGGER;
	default:
		return false;
	}
}

MppStatementKind mpp_classify(const Node *statement)
{
	if (is_about_event_trigger(statement))
		return MPP_STATEMENT_LOCAL;
	switch (nodeTag(statement)) {
	case T_CopyStmt:
	case T_ExplainStmt:
	case T_TransactionStmt:
	case T_DeclareCursorStmt:
	case T_ClosePortalStmt:
	case T_FetchStmt:
	case T_DoStmt:
	case T_CallStmt:
	case T_PrepareStmt:
	case T_ExecuteStmt:
	case T_DeallocateStmt:
	case T_NotifyStmt:
	case T_ListenStmt:
	case T_UnlistenStmt:
	case T_LoadStmt:
	case T_LockStmt:
	case T_VariableSetStmt:
	case T_VariableShowStmt:
	case T_DiscardStmt:
	case T_RefreshMatViewStmt:
	case T_AlterSystemStmt:
		return MPP_STATEMENT_LOCAL;

	case T_AlterDatabaseStmt:
		return has_option(((const AlterDatabaseStmt *)statement)->options, "tablespace")
		               ? MPP_STATEMENT_REFUSED
		               : MPP_STATEMENT_EVERYWHERE;
	case T_DropStmt:
		return drops_refused((const DropStmt *)statement) ? MPP_STATEMENT_REFUSED
		                                                  : MPP_STATEMENT_EVERYWHERE;

	case T_CreateTableSpaceStmt:
	case T_DropTableSpaceStmt:
	case T_CreatePublicationStmt:
	case T_AlterPublicationStmt:
	case T_CreateSubscriptionStmt:
	case T_AlterSubscriptionStmt:
	case T_DropSubscriptionStmt:
	case T_ImportForeignSchemaStmt:
	case T_AlterTableMoveAllStmt:
		return MPP_STATEMENT_REFUSED;

	case T_VacuumStmt:
	case T_CreatedbStmt:
	case T_DropdbStmt:
	case T_CheckPointStmt:
		return MPP_STATEMENT_EACH_NODE;
	case T_ReindexStmt:
		if (has_option(((const ReindexStmt *)statement)->params, "concurrently"))
			return MPP_STATEMENT_REFUSED;
		/* fall through */
	case T_ClusterStmt:
		return mpp_needs_own_transaction(statement) ? MPP_STATEMENT_EACH_NODE
		                                            : MPP_STATEMENT_EVERYWHERE;
	default:
		return MPP_STATEMENT_EVERYWHERE;
	}
}

static bool is_partitioned(RangeVar *relation)
{
	Oid relid = RangeVarGetRelid(relation, NoLock, true);
	char kind = OidIsValid(relid) ? get_rel_relkind(relid) : '\0';

	return kind == RELKIND_PARTITIONED_TABLE || kind == RELKIND_PARTITIONED_INDEX;
}

bool mpp_needs_own_transaction(const Node *statement)
{
	if (IsA(statement, ReindexStmt)) {
		const ReindexStmt *reindex = (const ReindexStmt *)statement;

		return (reindex->kind != REINDEX_OBJECT_INDEX &&
		        reindex->kind != REINDEX_OBJECT_TABLE) ||
		       is_partitioned(reindex->relation);
	}
	if (IsA(statement, ClusterStmt)) {
		const ClusterStmt *cluster = (const ClusterStmt *)statement;

		return cluster->relation == NULL || is_partitioned(cluster->relation);
	}
	return false;
}

/* ---- relations ---- */

static List *add_relation(List *relations, const RangeVar *relation)
{
	Oid relid;

	if (relation == NULL)
		return relations;
	relid = RangeVarGetRelid(relation, NoLock, true);
	return OidIsValid(relid) ? list_append_unique_oid(relations, relid) : relations;
}

static List *add_relations(List *relations, const List *range_vars)
{
	ListCell *cell;

	foreach (cell, range_vars)
		relations = add_relation(relations, lfirst(cell));
	return relations;
}

/* Of the name of a relation, or of a column, rule, trigger or policy of one. */
static List *add_named(List *relations, List *name, ObjectType type)
{
	switch (type) {
	case OBJECT_TABLE:
	case OBJECT_SEQUENCE:
	case OBJECT_VIEW:
	case OBJECT_MATVIEW:
	case OBJECT_INDEX:
	case OBJECT_FOREIGN_TABLE:
		break;
	case OBJECT_COLUMN:
	case OBJECT_RULE:
	case OBJECT_TRIGGER:
	case OBJECT_POLICY:
	case OBJECT_TABCONSTRAINT:
		name = list_truncate(list_copy(name), list_length(name) - 1);
		break;
	default:
		return relations;
	}
	return name == NIL ? relations : add_relation(relations, makeRangeVarFromNameList(name));
}

static List *add_object(List *relations, const Node *object, ObjectType type)
{
	return object != NULL && IsA(object, List) ? add_named(relations, (List *)object, type)
	                                           : relations;
}

List *mpp_statement_relations(const Node *statement)
{
	List *relations = NIL;
	ListCell *cell;

	switch (nodeTag(statement)) {
	case T_IndexStmt:
		return add_relation(NIL, ((const IndexStmt *)statement)->relation);
	case T_AlterTableStmt:
		return add_relation(NIL, ((const AlterTableStmt *)statement)->relation);
	case T_RenameStmt:
		return add_relation(NIL, ((const RenameStmt *)statement)->relation);
	case T_AlterObjectSchemaStmt:
		return add_relation(NIL, ((const AlterObjectSchemaStmt *)statement)->relation);
	case T_AlterObjectDependsStmt:
		return add_relation(NIL, ((const AlterObjectDependsStmt *)statement)->relation);
	case T_AlterOwnerStmt:
		return add_relation(NIL, ((const AlterOwnerStmt *)statement)->relation);
	case T_RuleStmt:
		return add_relation(NIL, ((const RuleStmt *)statement)->relation);
	case T_CreateTrigStmt:
		return add_relation(NIL, ((const CreateTrigStmt *)statement)->relation);
	case T_CreatePolicyStmt:
		return add_relation(NIL, ((const CreatePolicyStmt *)statement)->table);
	case T_AlterPolicyStmt:
		return add_relation(NIL, ((const AlterPolicyStmt *)statement)->table);
	case T_ClusterStmt:
		return add_relation(NIL, ((const ClusterStmt *)statement)->relation);
	case T_ReindexStmt:
		return add_relation(NIL, ((const ReindexStmt *)statement)->relation);
	case T_AlterSeqStmt:
		return add_relation(NIL, ((const AlterSeqStmt *)statement)->sequence);
	case T_CreateStatsStmt:
		foreach (cell, ((const CreateStatsStmt *)statement)->relations)
			if (IsA(lfirst(cell), RangeVar))
				relations = add_relation(relations, lfirst(cell));
		return relations;
	case T_TruncateStmt:
		return add_relations(NIL, ((const TruncateStmt *)statement)->relations);
	case T_GrantStmt:
		return ((const GrantStmt *)statement)->targtype == ACL_TARGET_OBJECT &&
		                       (((const GrantStmt *)statement)->objtype == OBJECT_TABLE ||
		                        ((const GrantStmt *)statement)->objtype == OBJECT_SEQUENCE)
		               ? add_relations(NIL, ((const GrantStmt *)statement)->objects)
		               : NIL;
	case T_VacuumStmt:
		foreach (cell, ((const VacuumStmt *)statement)->rels)
			relations =
			        add_relation(relations, ((VacuumRelation *)lfirst(cell))->relation);
		return relations;
	case T_DropStmt:
		foreach (cell, ((const DropStmt *)statement)->objects)
			relations = add_object(relations, lfirst(cell),
			                       ((const DropStmt *)statement)->removeType);
		return relations;
	case T_CommentStmt:
		return add_object(NIL, ((const CommentStmt *)statement)->object,
		                  ((const CommentStmt *)statement)->objtype);
	case T_SecLabelStmt:
		return add_object(NIL, ((const SecLabelStmt *)statement)->object,
		                  ((const SecLabelStmt *)statement)->objtype);
	default:
		return NIL;
	}
}

/* ---- what a statement makes ---- */

/* Also without a schema: pg_temp may be the first of the search path. */
static bool is_temporary_name(List *name)
{
	char *object;

	if (list_length(name) > 1)
		return strcmp(strVal(linitial(name)), "pg_temp") == 0;
	return isTempNamespace(QualifiedNameGetCreationNamespace(name, &object));
}

static bool is_temporary_relation(const RangeVar *relation)
{
	if (relation->relpersistence == RELPERSISTENCE_TEMP)
		return true;
	if (relation->schemaname != NULL)
		return strcmp(relation->schemaname, "pg_temp") == 0;
	return isTempNamespace(RangeVarGetCreationNamespace(relation));
}

/* A function or type of DROP. */
static bool is_temporary_object(const Node *object)
{
	List *name = NIL;

	if (IsA(object, ObjectWithArgs))
		name = ((const ObjectWithArgs *)object)->objname;
	else if (IsA(object, TypeName))
		name = ((const TypeName *)object)->names;
	return list_length(name) > 1 && strcmp(strVal(linitial(name)), "pg_temp") == 0;
}

static bool drops_temporary(const DropStmt *statement)
{
	ListCell *cell;

	foreach (cell, statement->objects)
		if (is_temporary_object(lfirst(cell)))
			return true;
	return false;
}

bool mpp_creates_temporary(const Node *statement)
{
	switch (nodeTag(statement)) {
	case T_CreateStmt:
		return is_temporary_relation(((const CreateStmt *)statement)->relation);
	case T_CreateForeignTableStmt:
		return is_temporary_relation(
		        ((const CreateForeignTableStmt *)statement)->base.relation);
	case T_CreateTableAsStmt:
		return is_temporary_relation(((const CreateTableAsStmt *)statement)->into->rel);
	case T_ViewStmt:
		return is_temporary_relation(((const ViewStmt *)statement)->view);
	case T_CreateSeqStmt:
		return is_temporary_relation(((const CreateSeqStmt *)statement)->sequence);
	case T_CompositeTypeStmt:
		return is_temporary_relation(((const CompositeTypeStmt *)statement)->typevar);
	case T_CreateFunctionStmt:
		return is_temporary_name(((const CreateFunctionStmt *)statement)->funcname);
	case T_DefineStmt:
		return is_temporary_name(((const DefineStmt *)statement)->defnames);
	case T_CreateEnumStmt:
		return is_temporary_name(((const CreateEnumStmt *)statement)->typeName);
	case T_CreateRangeStmt:
		return is_temporary_name(((const CreateRangeStmt *)statement)->typeName);
	case T_CreateDomainStmt:
		return is_temporary_name(((const CreateDomainStmt *)statement)->domainname);
	case T_DropStmt:
		return drops_temporary((const DropStmt *)statement);
	default:
		return false;
	}
}

bool mpp_is_temporary(Oid relid)
{
	return get_rel_persistence(relid) == RELPERSISTENCE_TEMP;
}

bool mpp_concerns_temporary(const Node *statement)
{
	List *relations = mpp_statement_relations(statement);
	int temporary = 0;
	ListCell *cell;

	if (mpp_creates_temporary(statement))
		return true;
	foreach (cell, relations)
		temporary += mpp_is_temporary(lfirst_oid(cell));
	if (temporary != 0 && temporary != list_length(relations))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		                errmsg("temporary and other tables cannot be in one statement"),
		                errdetail("Temporary tables are on the coordinator, others on the "
		                          "segments, too."),
		                errhint("Use a statement for each.")));
	return temporary != 0;
}

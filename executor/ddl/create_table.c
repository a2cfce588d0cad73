/* SPDX-License-Identifier: Apache-2.0 */
/*
 * create_table.c - CREATE TABLE of a distributed table: its option, its default
 * distribution, and the rule that unique keys contain the distribution key (a
 * segment can only see the duplicates among its own rows).
 */
#include <postgres.h>

#include <access/genam.h>
#include <access/table.h>
#include <catalog/namespace.h>
#include <catalog/pg_class.h>
#include <catalog/pg_index.h>
#include <commands/defrem.h>
#include <lib/stringinfo.h>
#include <nodes/makefuncs.h>
#include <utils/builtins.h>
#include <utils/lsyscache.h>
#include <utils/rel.h>

#include "executor/catalog/catalog.h"
#include "executor/catalog/label.h"
#include "executor/catalog/node.h"
#include "executor/ddl/ddl.h"

#define OPTION_NAME "distributed_by"

void mpp_take_table_option(List **options, MppTableOption *ret_option)
{
	ListCell *cell;

	*ret_option = (MppTableOption){0};
	foreach(cell, *options)
	{
		DefElem *option = lfirst(cell);

		if (option->defnamespace != NULL || strcmp(option->defname, OPTION_NAME) != 0)
			continue;
		if (ret_option->is_given)
			ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR),
			                errmsg("option %s is given twice", OPTION_NAME)));
		ret_option->is_given = true;
		mpp_label_parse_option(defGetString(option), &ret_option->policy,
		                       &ret_option->columns);
		*options = foreach_delete_current(*options, cell);
	}
}

static void prepare_create(CreateStmt *statement, MppTableOption *ret_option)
{
	const char *method = statement->accessMethod;

	mpp_take_table_option(&statement->options, ret_option);
	if (method != NULL && strcmp(method, "heap") != 0 && strcmp(method, MPP_TABLE_AM_NAME) != 0)
		ereport(ERROR,
		        (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		         errmsg("access method \"%s\" is not supported for distributed tables",
		                method)));
	/* A partitioned table has none; its partitions have. */
	if (statement->partspec == NULL)
		statement->accessMethod = pstrdup(MPP_TABLE_AM_NAME);
}

/* Columns of the primary key, or NIL. */
static List *primary_key_columns(Relation table)
{
	List *columns = NIL;
	Relation index;

	(void)RelationGetIndexList(table);
	if (!OidIsValid(table->rd_pkindex))
		return NIL;
	index = index_open(table->rd_pkindex, AccessShareLock);
	for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); i++)
		columns = lappend(
		        columns, makeString(get_attname(RelationGetRelid(table),
		                                        index->rd_index->indkey.values[i], false)));
	index_close(index, AccessShareLock);
	return columns;
}

static List *first_hashable_column(Relation table)
{
	TupleDesc descriptor = RelationGetDescr(table);

	for (int i = 0; i < descriptor->natts; i++) {
		Form_pg_attribute column = TupleDescAttr(descriptor, i);

		if (!column->attisdropped && mpp_type_has_hash(column->atttypid))
			return list_make1(makeString(pstrdup(NameStr(column->attname))));
	}
	return NIL;
}

static char *column_list(const List *columns)
{
	StringInfoData text;
	ListCell *cell;

	initStringInfo(&text);
	foreach(cell, columns) appendStringInfo(
	        &text, "%s\"%s\"", cell == list_head(columns) ? "" : ", ", strVal(lfirst(cell)));
	return text.data;
}

static void choose_default(Relation table, MppPolicy *ret_policy, List **ret_columns)
{
	*ret_policy = MPP_POLICY_HASH;
	*ret_columns = primary_key_columns(table);
	if (*ret_columns != NIL)
		return; /* as everybody expects: no notice */
	*ret_columns = first_hashable_column(table);
	if (*ret_columns == NIL)
		*ret_policy = MPP_POLICY_RANDOM;
	ereport(NOTICE,
	        (*ret_columns != NIL
	                 ? errmsg("table has no distribution key: it is distributed by column %s",
	                          column_list(*ret_columns))
	                 : errmsg("table has no column that can be hashed: it is distributed "
	                          "randomly"),
	         errhint("Choose the distribution by CREATE TABLE ... WITH (distributed_by = "
	                 "'column, ...' | 'random' | 'replicated').")));
}

List *mpp_key_names(Oid relid, const MppDistribution *distribution)
{
	List *columns = NIL;

	for (int i = 0; i < distribution->key_count; i++)
		columns = lappend(columns,
		                  makeString(get_attname(relid, distribution->keys[i], false)));
	return columns;
}

static bool index_has_column(Relation index, AttrNumber column)
{
	for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); i++)
		if (index->rd_index->indkey.values[i] == column)
			return true;
	return false;
}

static void check_unique_index(Relation index, Relation table, const MppDistribution *distribution)
{
	bool suits = distribution->policy == MPP_POLICY_HASH;

	for (int i = 0; i < distribution->key_count; i++)
		suits = suits && index_has_column(index, distribution->keys[i]);
	if (suits)
		return;
	if (distribution->policy == MPP_POLICY_RANDOM)
		ereport(ERROR,
		        (errcode(ERRCODE_INVALID_TABLE_DEFINITION),
		         errmsg("table \"%s\" is distributed randomly, so it cannot have a unique "
		                "key",
		                RelationGetRelationName(table))));
	ereport(ERROR,
	        (errcode(ERRCODE_INVALID_TABLE_DEFINITION),
	         errmsg("unique key \"%s\" of table \"%s\" must contain the distribution key (%s)",
	                RelationGetRelationName(index), RelationGetRelationName(table),
	                column_list(mpp_key_names(RelationGetRelid(table), distribution))),
	         errdetail("Equal rows could otherwise be on different segments.")));
}

void mpp_check_unique_keys(Oid relid, const MppDistribution *distribution)
{
	Relation table;
	ListCell *cell;

	if (distribution->policy == MPP_POLICY_REPLICATED)
		return;
	table = table_open(relid, AccessShareLock);
	foreach(cell, RelationGetIndexList(table))
	{
		Relation index = index_open(lfirst_oid(cell), AccessShareLock);

		if (index->rd_index->indisunique || index->rd_index->indisexclusion)
			check_unique_index(index, table, distribution);
		index_close(index, AccessShareLock);
	}
	table_close(table, AccessShareLock);
}

/* A partition or child has the distribution of its parents. */
static bool parents_distribution(const CreateStmt *statement, MppPolicy *ret_policy,
                                 List **ret_columns)
{
	ListCell *cell;

	foreach(cell, statement->inhRelations)
	{
		Oid parent = RangeVarGetRelid(lfirst(cell), NoLock, false);
		const MppDistribution *distribution = mpp_distribution_get(parent);

		if (distribution == NULL)
			ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			                errmsg("parent table \"%s\" is not distributed",
			                       get_rel_name(parent))));
		if (cell != list_head(statement->inhRelations) &&
		    (*ret_policy != distribution->policy ||
		     !equal(*ret_columns, mpp_key_names(parent, distribution))))
			ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			                errmsg("the parent tables have different distributions")));
		*ret_policy = distribution->policy;
		*ret_columns = mpp_key_names(parent, distribution);
	}
	return statement->inhRelations != NIL;
}

void mpp_label_everywhere(Oid relid, MppPolicy policy, const List *columns)
{
	char *label = mpp_label_format(policy, columns);

	mpp_label_set(relid, label);
	mpp_send_later(
	        psprintf("SECURITY LABEL FOR %s ON TABLE %s IS %s", MPP_LABEL_PROVIDER,
	                 quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
	                                            get_rel_name(relid)),
	                 quote_literal_cstr(label)));
}

static void finish_create(Oid relid, const CreateStmt *statement, const MppTableOption *option)
{
	MppPolicy policy = option->policy;
	List *columns = option->columns;
	MppDistribution distribution;
	MppPolicy parents_policy = MPP_POLICY_HASH;
	List *parents_columns = NIL;

	if (parents_distribution(statement, &parents_policy, &parents_columns)) {
		if (option->is_given &&
		    (policy != parents_policy || !equal(columns, parents_columns)))
			ereport(ERROR, (errcode(ERRCODE_INVALID_TABLE_DEFINITION),
			                errmsg("table \"%s\" must be distributed as its parent",
			                       get_rel_name(relid))));
		policy = parents_policy;
		columns = parents_columns;
	} else if (!option->is_given) {
		Relation table = table_open(relid, AccessShareLock);

		choose_default(table, &policy, &columns);
		table_close(table, AccessShareLock);
	}
	mpp_distribution_of_columns(relid, policy, columns, &distribution);
	mpp_check_unique_keys(relid, &distribution);
	mpp_label_everywhere(relid, policy, columns);
}

Oid mpp_relation_to_create(const RangeVar *relation)
{
	return get_relname_relid(relation->relname, RangeVarGetCreationNamespace(relation));
}

void mpp_create_table(MppCall *call)
{
	CreateStmt *statement = (CreateStmt *)mpp_own_statement(call);
	MppTableOption option;
	CreateStmt *original;
	Oid relid;

	prepare_create(statement, &option);
	original = copyObject(statement);
	relid = mpp_relation_to_create(statement->relation);
	mpp_run_everywhere(call, NULL);
	if (OidIsValid(relid))
		return; /* IF NOT EXISTS */
	finish_create(mpp_relation_to_create(original->relation), original, &option);
}

void mpp_create_table_on_segment(MppCall *call)
{
	CreateStmt *statement = (CreateStmt *)mpp_own_statement(call);
	MppTableOption option;

	prepare_create(statement, &option);
	mpp_run_here(call);
}

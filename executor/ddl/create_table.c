/* SPDX-License-Identifier: Apache-2.0 */
/*
 * create_table.c - CREATE TABLE of a distributed table: its option and its
 * default distribution.
 */
#include <postgres.h>

#include <access/genam.h>
#include <access/table.h>
#include <access/tableam.h>
#include <catalog/namespace.h>
#include <catalog/pg_class.h>
#include <catalog/pg_index.h>
#include <commands/defrem.h>
#include <lib/stringinfo.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
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
	foreach (cell, *options) {
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

static bool is_evaluated(Node *node, void *ctx)
{
	if (node == NULL)
		return false;
	if (IsA(node, FuncCall) || IsA(node, SQLValueFunction))
		return true;
	return raw_expression_tree_walker(node, is_evaluated, ctx);
}

void mpp_check_bound(const PartitionBoundSpec *bound)
{
	if (bound != NULL && (is_evaluated((Node *)bound->listdatums, NULL) ||
	                      is_evaluated((Node *)bound->lowerdatums, NULL) ||
	                      is_evaluated((Node *)bound->upperdatums, NULL)))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		                errmsg("a partition bound must be a constant: "
		                       "each node would evaluate it by itself")));
}

static void prepare_create(CreateStmt *statement, MppTableOption *ret_option)
{
	const char *method = statement->accessMethod;

	mpp_take_table_option(&statement->options, ret_option);
	mpp_check_bound(statement->partbound);
	if (method != NULL && strcmp(method, "heap") != 0 && strcmp(method, MPP_TABLE_AM_NAME) != 0)
		ereport(ERROR,
		        (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		         errmsg("access method \"%s\" is not supported for distributed tables",
		                method)));
	/* A partitioned table has none; its partitions have. */
	if (statement->partspec == NULL)
		statement->accessMethod = pstrdup(MPP_TABLE_AM_NAME);
}

/* Of those columns, which are in the key of the index, too. */
static List *columns_in_index(const List *columns, Oid index_oid)
{
	Relation index = index_open(index_oid, AccessShareLock);
	List *kept = NIL;
	ListCell *cell;

	foreach (cell, columns)
		for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); i++)
			if (index->rd_index->indkey.values[i] == lfirst_int(cell))
				kept = list_append_unique_int(kept, lfirst_int(cell));
	index_close(index, AccessShareLock);
	return kept;
}

static List *index_columns(Oid index_oid, bool *ret_is_unique)
{
	Relation index = index_open(index_oid, AccessShareLock);
	List *columns = NIL;

	*ret_is_unique = index->rd_index->indisunique;
	for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); i++)
		columns = lappend_int(columns, index->rd_index->indkey.values[i]);
	index_close(index, AccessShareLock);
	return columns;
}

/* What the primary and unique keys have in common, in the order of the first, so that
 * segments can enforce all of them. NIL: nothing, or there are none. */
static List *common_key_columns(Relation table)
{
	bool is_first = true;
	List *common = NIL;
	List *names = NIL;
	ListCell *cell;

	foreach (cell, RelationGetIndexList(table)) {
		bool is_unique;
		List *columns = index_columns(lfirst_oid(cell), &is_unique);

		if (is_unique)
			common = is_first ? columns : columns_in_index(common, lfirst_oid(cell));
		is_first = is_first && !is_unique;
	}
	foreach (cell, common)
		if (lfirst_int(cell) > 0) /* not an expression */
			names = lappend(names, makeString(get_attname(RelationGetRelid(table),
			                                              lfirst_int(cell), false)));
	return names;
}

static List *first_hashable_column(Relation table)
{
	TupleDesc descriptor = RelationGetDescr(table);

	for (int i = 0; i < descriptor->natts; i++) {
		Form_pg_attribute column = TupleDescAttr(descriptor, i);

		if (!column->attisdropped && column->attgenerated == '\0' &&
		    mpp_type_has_hash(column->atttypid))
			return list_make1(makeString(pstrdup(NameStr(column->attname))));
	}
	return NIL;
}

static void choose_default(Relation table, MppPolicy *ret_policy, List **ret_columns)
{
	*ret_policy = MPP_POLICY_HASH;
	*ret_columns = common_key_columns(table);
	if (*ret_columns != NIL)
		return; /* as everybody expects: no notice */
	*ret_columns = first_hashable_column(table);
	if (*ret_columns == NIL)
		*ret_policy = MPP_POLICY_RANDOM;
	ereport(NOTICE,
	        (*ret_columns != NIL
	                 ? errmsg("table has no distribution key: it is distributed by column %s",
	                          mpp_label_columns(*ret_columns))
	                 : errmsg("table has no column that can be "
	                          "hashed: it is distributed randomly"),
	         errhint("Choose the distribution by CREATE TABLE ... WITH (distributed_by = "
	                 "'column, ...' | 'random' | 'replicated').")));
}

/* A partition or child has the distribution of its parents. */
static bool parents_distribution(const CreateStmt *statement, MppPolicy *ret_policy,
                                 List **ret_columns)
{
	ListCell *cell;

	foreach (cell, statement->inhRelations) {
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
	mpp_send_later(psprintf("SECURITY LABEL FOR %s ON TABLE %s IS %s", MPP_LABEL_PROVIDER,
	                        mpp_qualified_name(relid), quote_literal_cstr(label)));
}

static void distribute(Oid relid, const CreateStmt *statement, const MppTableOption *option)
{
	MppPolicy policy = option->policy;
	List *columns = option->columns;
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
	mpp_label_everywhere(relid, policy, columns);
	mpp_check_distribution(relid);
}

Oid mpp_relation_to_create(const RangeVar *relation)
{
	return get_relname_relid(relation->relname, RangeVarGetCreationNamespace(relation));
}

/* What is left to do when the table exists on the coordinator. */
typedef struct Creation {
	CreateStmt *statement;
	MppTableOption option;
} Creation;

static void after_create(void *ctx)
{
	Creation *creation = ctx;

	distribute(mpp_relation_to_create(creation->statement->relation), creation->statement,
	           &creation->option);
}

void mpp_create_table(MppCall *call)
{
	CreateStmt *statement = (CreateStmt *)mpp_own_statement(call);
	bool exists = OidIsValid(mpp_relation_to_create(statement->relation));
	Creation creation;

	prepare_create(statement, &creation.option);
	creation.statement = copyObject(statement);
	/* When it exists, CREATE TABLE says so. */
	mpp_run_everywhere(call, NULL, exists ? NULL : after_create, &creation);
}

void mpp_create_table_on_segment(MppCall *call)
{
	CreateStmt *statement = (CreateStmt *)mpp_own_statement(call);
	MppTableOption option;

	prepare_create(statement, &option);
	mpp_run_here(call);
}

static bool is_to_be_shell(const char *method)
{
	return strcmp(method != NULL ? method : default_table_access_method, MPP_TABLE_AM_NAME) ==
	       0;
}

/* A temporary table may be said to be distributed, as in other systems. */
static void forget_distribution(List **options)
{
	MppTableOption option;

	mpp_take_table_option(options, &option);
}

void mpp_make_local(MppCall *call)
{
	Node *statement = call->statement->utilityStmt;

	if (IsA(statement, CreateStmt)) {
		CreateStmt *creation = (CreateStmt *)mpp_own_statement(call);

		forget_distribution(&creation->options);
		if (creation->partspec == NULL && is_to_be_shell(creation->accessMethod))
			creation->accessMethod = pstrdup("heap");
	} else if (IsA(statement, CreateTableAsStmt)) {
		IntoClause *into = ((CreateTableAsStmt *)mpp_own_statement(call))->into;

		forget_distribution(&into->options);
		if (is_to_be_shell(into->accessMethod))
			into->accessMethod = pstrdup("heap");
	}
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keys.c - what must hold of a distributed table, whatever statement has changed
 * it: a segment can check unique and foreign keys by its own rows, and a table
 * hierarchy has one distribution.
 */
#include <postgres.h>

#include <access/genam.h>
#include <access/htup_details.h>
#include <access/table.h>
#include <catalog/indexing.h>
#include <catalog/pg_constraint.h>
#include <catalog/pg_index.h>
#include <catalog/pg_inherits.h>
#include <utils/builtins.h>
#include <utils/fmgroids.h>
#include <utils/lsyscache.h>
#include <utils/rel.h>

#include "executor/catalog/label.h"
#include "executor/ddl/ddl.h"

List *mpp_key_names(Oid relid, const MppDistribution *distribution)
{
	List *columns = NIL;

	for (int i = 0; i < distribution->key_count; i++)
		columns = lappend(columns,
		                  makeString(get_attname(relid, distribution->keys[i], false)));
	return columns;
}

/* ---- unique keys ---- */

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
		         errmsg("table \"%s\" is distributed randomly, so it cannot have the "
		                "unique key \"%s\"",
		                RelationGetRelationName(table), RelationGetRelationName(index)),
		         errdetail("Equal rows could be on different segments.")));
	ereport(ERROR,
	        (errcode(ERRCODE_INVALID_TABLE_DEFINITION),
	         errmsg("unique key \"%s\" of table \"%s\" must contain the distribution key (%s)",
	                RelationGetRelationName(index), RelationGetRelationName(table),
	                mpp_label_columns(mpp_key_names(RelationGetRelid(table), distribution))),
	         errdetail("Equal rows could otherwise be on different segments.")));
}

/* Exclusion compares by operators of the constraint; rows that conflict are on one
 * segment when the distribution key is compared by equality. */
static void check_exclusion(Relation index, Relation table, const MppDistribution *distribution)
{
	Oid *operators;
	Oid *functions;
	uint16 *strategies;

	RelationGetExclusionInfo(index, &operators, &functions, &strategies);
	for (int i = 0; i < distribution->key_count; i++) {
		int column = 0;

		while (column < IndexRelationGetNumberOfKeyAttributes(index) &&
		       !(index->rd_index->indkey.values[column] == distribution->keys[i] &&
		         op_hashjoinable(operators[column], distribution->types[i])))
			column++;
		if (column == IndexRelationGetNumberOfKeyAttributes(index))
			ereport(ERROR, (errcode(ERRCODE_INVALID_TABLE_DEFINITION),
			                errmsg("exclusion constraint \"%s\" of table \"%s\" must "
			                       "compare the distribution key (%s) by equality",
			                       RelationGetRelationName(index),
			                       RelationGetRelationName(table),
			                       mpp_label_columns(mpp_key_names(
			                               RelationGetRelid(table), distribution)))));
	}
}

void mpp_check_unique_keys(Oid relid, const MppDistribution *distribution)
{
	Relation table;
	ListCell *cell;

	if (distribution->policy == MPP_POLICY_REPLICATED)
		return;
	table = table_open(relid, AccessShareLock);
	foreach (cell, RelationGetIndexList(table)) {
		Relation index = index_open(lfirst_oid(cell), AccessShareLock);

		if (index->rd_index->indisexclusion && distribution->policy == MPP_POLICY_HASH)
			check_exclusion(index, table, distribution);
		else if (index->rd_index->indisunique || index->rd_index->indisexclusion)
			check_unique_index(index, table, distribution);
		index_close(index, AccessShareLock);
	}
	table_close(table, AccessShareLock);
}

/* ---- foreign keys ---- */

/* Whether each distribution key of the referencing table refers to the same one of
 * the other, so that both rows are on one segment. */
static bool are_colocated(const MppDistribution *from, const MppDistribution *to, int key_count,
                          const AttrNumber *from_columns, const AttrNumber *to_columns)
{
	if (from->policy != MPP_POLICY_HASH || to->policy != MPP_POLICY_HASH ||
	    from->key_count != to->key_count)
		return false;
	for (int i = 0; i < from->key_count; i++) {
		int column = 0;

		while (column < key_count && !(from_columns[column] == from->keys[i] &&
		                               to_columns[column] == to->keys[i]))
			column++;
		if (column == key_count || from->opfamilies[i] != to->opfamilies[i] ||
		    from->collations[i] != to->collations[i])
			return false;
	}
	return true;
}

static void check_foreign_key(Oid relid, Oid referenced, int key_count,
                              const AttrNumber *from_columns, const AttrNumber *to_columns)
{
	const MppDistribution *from = mpp_distribution_get(relid);
	const MppDistribution *to = mpp_distribution_get(referenced);

	if (from != NULL && to != NULL &&
	    (to->policy == MPP_POLICY_REPLICATED ||
	     are_colocated(from, to, key_count, from_columns, to_columns)))
		return;
	ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
	                errmsg("a foreign key from table \"%s\" to \"%s\" cannot be enforced",
	                       get_rel_name(relid), get_rel_name(referenced)),
	                errdetail("A segment would not find the rows that its own rows refer to."),
	                errhint("Distribute both tables by the columns of "
	                        "the foreign key, or replicate \"%s\".",
	                        get_rel_name(referenced))));
}

static void check_foreign_keys(Relation table)
{
	ListCell *cell;

	foreach (cell, RelationGetFKeyList(table)) {
		const ForeignKeyCacheInfo *key = lfirst(cell);

		check_foreign_key(key->conrelid, key->confrelid, key->nkeys, key->conkey,
		                  key->confkey);
	}
}

static int constraint_columns(HeapTuple tuple, Relation constraints, int attribute,
                              AttrNumber *columns)
{
	bool is_null;
	ArrayType *array = DatumGetArrayTypeP(
	        heap_getattr(tuple, attribute, RelationGetDescr(constraints), &is_null));
	int count = ARR_DIMS(array)[0];

	memcpy(columns, ARR_DATA_PTR(array), count * sizeof(AttrNumber));
	return count;
}

/* Of other tables, to this one. */
static void check_foreign_keys_to(Oid relid)
{
	Relation constraints = table_open(ConstraintRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(constraints, InvalidOid, false, NULL, 0, NULL);
	HeapTuple tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan))) {
		Form_pg_constraint constraint = (Form_pg_constraint)GETSTRUCT(tuple);
		AttrNumber from_columns[INDEX_MAX_KEYS];
		AttrNumber to_columns[INDEX_MAX_KEYS];
		int count;

		if (constraint->contype != CONSTRAINT_FOREIGN || constraint->confrelid != relid)
			continue;
		count = constraint_columns(tuple, constraints, Anum_pg_constraint_conkey,
		                           from_columns);
		(void)constraint_columns(tuple, constraints, Anum_pg_constraint_confkey,
		                         to_columns);
		check_foreign_key(constraint->conrelid, relid, count, from_columns, to_columns);
	}
	systable_endscan(scan);
	table_close(constraints, AccessShareLock);
}

/* ---- hierarchies ---- */

static void check_same(Oid parent, Oid child)
{
	const MppDistribution *parents = mpp_distribution_get(parent);
	const MppDistribution *childs = mpp_distribution_get(child);

	if (parents == NULL && childs == NULL)
		return;
	if (parents != NULL && childs != NULL && parents->policy == childs->policy &&
	    equal(mpp_key_names(parent, parents), mpp_key_names(child, childs)))
		return;
	ereport(ERROR, (errcode(ERRCODE_INVALID_TABLE_DEFINITION),
	                errmsg("table \"%s\" must be distributed as its parent \"%s\"",
	                       get_rel_name(child), get_rel_name(parent))));
}

List *mpp_parents(Oid relid)
{
	Relation inherits = table_open(InheritsRelationId, AccessShareLock);
	List *parents = NIL;
	SysScanDesc scan;
	HeapTuple tuple;
	ScanKeyData key;

	ScanKeyInit(&key, Anum_pg_inherits_inhrelid, BTEqualStrategyNumber, F_OIDEQ,
	            ObjectIdGetDatum(relid));
	scan = systable_beginscan(inherits, InheritsRelidSeqnoIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		parents = lappend_oid(parents, ((Form_pg_inherits)GETSTRUCT(tuple))->inhparent);
	systable_endscan(scan);
	table_close(inherits, AccessShareLock);
	return parents;
}

static void check_hierarchy(Oid relid)
{
	ListCell *cell;

	foreach (cell, mpp_parents(relid))
		check_same(lfirst_oid(cell), relid);
	foreach (cell, find_inheritance_children(relid, NoLock))
		check_same(relid, lfirst_oid(cell));
}

void mpp_check_distribution(Oid relid)
{
	const MppDistribution *distribution = mpp_distribution_get(relid);
	Relation table;

	if (distribution == NULL)
		return;
	mpp_check_unique_keys(relid, distribution);
	table = table_open(relid, AccessShareLock);
	check_foreign_keys(table);
	check_hierarchy(relid);
	table_close(table, AccessShareLock);
}

void mpp_check_new_distribution(Oid relid)
{
	mpp_check_distribution(relid);
	check_foreign_keys_to(relid);
}

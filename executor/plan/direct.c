/* SPDX-License-Identifier: Apache-2.0 */
/*
 * direct.c - direct dispatch: a condition that fixes every distribution key of a
 * table leaves one segment that can have such rows.
 */
#include "executor/plan/plan.h"

#include <nodes/nodeFuncs.h>
#include <optimizer/optimizer.h>
#include <utils/lsyscache.h>

#include "executor/catalog/distribution.h"

typedef struct FixedKey {
	Oid type;
	Datum value;
	bool null;
} FixedKey;

static Node *strip(Node *node)
{
	while (node != NULL && IsA(node, RelabelType))
		node = (Node *)((RelabelType *)node)->arg;
	return node;
}

static bool is_column(const Node *node, Index rti, AttrNumber attno)
{
	return node != NULL && IsA(node, Var) && (Index)((const Var *)node)->varno == rti &&
	       ((const Var *)node)->varattno == attno && ((const Var *)node)->varlevelsup == 0;
}

/* column = constant, by the equality of the family rows are distributed by. */
static bool fixed_by_operator(const OpExpr *op, const RelOptInfo *rel,
                              const MppDistribution *distribution, int key, FixedKey *ret_key)
{
	Node *left = strip(linitial(op->args));
	Node *right = list_length(op->args) == 2 ? strip(lsecond(op->args)) : NULL;
	const Const *constant;

	if (is_column(right, rel->relid, distribution->keys[key])) {
		Node *swap = left;

		left = right;
		right = swap;
	}
	if (!is_column(left, rel->relid, distribution->keys[key]) || right == NULL ||
	    !IsA(right, Const))
		return false;
	constant = (const Const *)right;
	if (!op_in_opfamily(op->opno, distribution->opfamilies[key]) ||
	    mpp_hash_family((Expr *)constant) != distribution->opfamilies[key] ||
	    !mpp_same_collation_hash(op->inputcollid, distribution->collations[key]))
		return false;
	*ret_key = (FixedKey){.type = getBaseType(constant->consttype),
	                      .value = constant->constvalue,
	                      .null = constant->constisnull};
	return true;
}

static bool fixed_key(const RelOptInfo *rel, const MppDistribution *distribution, int key,
                      FixedKey *ret_key)
{
	ListCell *lc;

	foreach (lc, rel->baserestrictinfo) {
		Node *clause = (Node *)lfirst_node(RestrictInfo, lc)->clause;

		if (IsA(clause, OpExpr) &&
		    fixed_by_operator((OpExpr *)clause, rel, distribution, key, ret_key))
			return true;
		if (IsA(clause, NullTest) && ((NullTest *)clause)->nulltesttype == IS_NULL &&
		    is_column((Node *)((NullTest *)clause)->arg, rel->relid,
		              distribution->keys[key])) {
			*ret_key = (FixedKey){.type = distribution->types[key], .null = true};
			return true;
		}
	}
	return false;
}

int mpp_single_segment(const RelOptInfo *rel, const MppDistribution *distribution)
{
	Oid *types = palloc(distribution->key_count * sizeof(Oid));
	Datum *values = palloc(distribution->key_count * sizeof(Datum));
	bool *nulls = palloc(distribution->key_count * sizeof(bool));
	MppHash hash;

	if (!mpp_enable_direct_dispatch || distribution->key_count == 0)
		return MPP_NOT_SINGLE;
	for (int i = 0; i < distribution->key_count; i++) {
		FixedKey key;

		if (!fixed_key(rel, distribution, i, &key))
			return MPP_NOT_SINGLE;
		types[i] = key.type;
		values[i] = key.value;
		nulls[i] = key.null;
	}
	mpp_hash_init(&hash, distribution->key_count, types, distribution->collations);
	return mpp_hash_segment(mpp_hash_row(&hash, values, nulls), mpp_plan_state->segment_count);
}

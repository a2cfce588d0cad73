/* SPDX-License-Identifier: Apache-2.0 */
/*
 * locus.c - where the rows of a variant are, and what follows from it.
 */
#include "executor/plan/plan.h"

#include <catalog/pg_type.h>
#include <nodes/nodeFuncs.h>
#include <optimizer/paths.h>
#include <utils/lsyscache.h>
#include <utils/pg_locale.h>
#include <utils/typcache.h>

#include "executor/catalog/label.h"

bool mpp_locus_partitioned(const MppLocus *locus)
{
	return locus->kind == MPP_LOCUS_HASHED || locus->kind == MPP_LOCUS_STREWN;
}

/* Whether hashes under both collations agree on what is equal. */
bool mpp_same_collation_hash(Oid left, Oid right)
{
	if (left == right)
		return true;
	return (!OidIsValid(left) || get_collation_isdeterministic(left)) &&
	       (!OidIsValid(right) || get_collation_isdeterministic(right));
}

/* Without what only gives the value another name: some types of the same bytes differ in
 * what is equal (text and bpchar), and so do collations. */
static Expr *strip_relabel(Expr *expr)
{
	while (expr != NULL && IsA(expr, RelabelType)) {
		Expr *arg = ((RelabelType *)expr)->arg;

		if (!mpp_hash_alike(exprType((Node *)arg), exprType((Node *)expr)) ||
		    !mpp_same_collation_hash(exprCollation((Node *)arg),
		                             exprCollation((Node *)expr)))
			break;
		expr = arg;
	}
	return expr;
}

MppLocusKey *mpp_locus_key(Expr *expr, Oid opfamily, Oid collation)
{
	MppLocusKey *key = palloc0(sizeof(MppLocusKey));

	key->expr = strip_relabel(expr);
	key->opfamily = opfamily;
	key->collation = collation;
	return key;
}

List *mpp_all_segments(void)
{
	List *contents = NIL;

	for (int i = 0; i < mpp_plan_state->segment_count; i++)
		contents = lappend_int(contents, i);
	return contents;
}

List *mpp_locus_senders(const MppLocus *locus)
{
	if (locus->single != MPP_NOT_SINGLE)
		return list_make1_int(locus->single);
	return mpp_all_segments();
}

static bool in_class(const EquivalenceClass *ec, const Expr *expr)
{
	ListCell *lc;

	foreach (lc, ec->ec_members) {
		const EquivalenceMember *em = lfirst(lc);

		if (!em->em_is_child && equal(strip_relabel(em->em_expr), expr))
			return true;
	}
	return false;
}

/* Equal in every row that holds both: the same expression, or of one equivalence
 * class. Below an outer join a class may hold before, and not after, the join. */
bool mpp_same_value(PlannerInfo *root, Expr *left, Expr *right)
{
	ListCell *lc;

	left = strip_relabel(left);
	right = strip_relabel(right);
	if (equal(left, right))
		return true;
	foreach (lc, root->eq_classes) {
		const EquivalenceClass *ec = lfirst(lc);

		if (ec->ec_has_volatile || ec->ec_below_outer_join || ec->ec_merged != NULL)
			continue;
		if (in_class(ec, left) && in_class(ec, right))
			return true;
	}
	return false;
}

/* Values of some types hold OIDs, which are each server's own. */
Oid mpp_hash_family(Expr *expr)
{
	Oid type = getBaseType(exprType((Node *)expr));
	TypeCacheEntry *entry;

	if (!mpp_type_has_hash(type))
		return InvalidOid;
	entry = lookup_type_cache(type, TYPECACHE_HASH_OPFAMILY | TYPECACHE_HASH_EXTENDED_PROC);
	return OidIsValid(entry->hash_extended_proc) ? entry->hash_opf : InvalidOid;
}

bool mpp_locus_groups_in_place(PlannerInfo *root, const MppLocus *locus, List *exprs)
{
	ListCell *lc;
	ListCell *le;

	if (!mpp_locus_partitioned(locus) || locus->single != MPP_NOT_SINGLE)
		return true;
	if (locus->kind != MPP_LOCUS_HASHED || locus->keys == NIL)
		return false;
	foreach (lc, locus->keys) {
		MppLocusKey *key = lfirst(lc);
		bool found = false;

		foreach (le, exprs)
			if (mpp_same_value(root, key->expr, lfirst(le)) &&
			    mpp_same_collation_hash(key->collation, exprCollation(lfirst(le))))
				found = true;
		if (!found)
			return false;
	}
	return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * here.c - rows that only the coordinator can make: of temporary tables, materialized
 * views and catalogs, of subqueries with a limit. Another table's segments can be sent
 * them, by a slice the coordinator executes on its own. Such a slice is a plan apart from
 * the statement's, so it must not share state with it: no WITH query, no subplan and no
 * parameter that is not a value by then. And it sends to segments that wait for its rows,
 * so no function of users, which could execute statements on the same segments.
 */
#include "executor/plan/plan.h"

#include <access/htup_details.h>
#include <access/transam.h>
#include <catalog/namespace.h>
#include <catalog/pg_proc.h>
#include <catalog/pg_type.h>
#include <nodes/nodeFuncs.h>
#include <optimizer/pathnode.h>
#include <parser/parsetree.h>
#include <utils/lsyscache.h>
#include <utils/syscache.h>

#include "executor/catalog/node.h"

/* ---- what shares state, or the segments ---- */

static bool may_execute(Oid funcid, void *ctx)
{
	return funcid >= FirstNormalObjectId && func_volatile(funcid) != PROVOLATILE_IMMUTABLE;
}

static bool bound_walker(Node *node, void *ctx)
{
	PlannerInfo *root = ctx;

	if (node == NULL)
		return false;
	if (check_functions_in_node(node, may_execute, NULL))
		return true;
	switch (nodeTag(node)) {
	case T_SubPlan:
	case T_AlternativeSubPlan:
	case T_SubLink:
	case T_CurrentOfExpr:
		return true;
	case T_Var:
		return ((Var *)node)->varlevelsup != 0;
	case T_PlaceHolderVar:
		if (((PlaceHolderVar *)node)->phlevelsup != 0)
			return true;
		break;
	case T_Param:
		return !mpp_param_is_value(root, (const Param *)node);
	default:
		break;
	}
	return expression_tree_walker(node, bound_walker, ctx);
}

static bool any_bound(PlannerInfo *root, const void *node)
{
	return bound_walker(unconstify(void *, node), root);
}

static bool query_alone(PlannerInfo *root)
{
	const Query *query = root->parse;
	ListCell *lc;

	foreach (lc, root->placeholder_list)
		if (any_bound(root, lfirst_node(PlaceHolderInfo, lc)->ph_var))
			return false;
	return (query->commandType == CMD_SELECT || query->commandType == CMD_INSERT) &&
	       query->rowMarks == NIL && root->rowMarks == NIL && !any_bound(root, query->jointree);
}

/* What a query does above its joins. */
static bool rest_alone(PlannerInfo *root)
{
	const Query *query = root->parse;

	return !query->hasModifyingCTE && !any_bound(root, root->processed_tlist) &&
	       !any_bound(root, query->targetList) && !any_bound(root, query->havingQual) &&
	       !any_bound(root, query->windowClause) && !any_bound(root, query->limitOffset) &&
	       !any_bound(root, query->limitCount);
}

static bool rel_alone(PlannerInfo *root, Index rti)
{
	const RelOptInfo *rel = root->simple_rel_array[rti];
	const RangeTblEntry *rte = planner_rt_fetch(rti, root);
	ListCell *lc;

	if (any_bound(root, rte->securityQuals))
		return false;
	foreach (lc, root->append_rel_list)
		if (lfirst_node(AppendRelInfo, lc)->parent_relid == rti &&
		    !rel_alone(root, lfirst_node(AppendRelInfo, lc)->child_relid))
			return false;
	switch (rte->rtekind) {
	case RTE_RELATION:
		return rte->tablesample == NULL || !any_bound(root, rte->tablesample);
	case RTE_SUBQUERY:
		if (rel == NULL || rel->subroot == NULL)
			return rte->inh; /* of UNION ALL: its arms are looked at */
		return mpp_query_alone(rel->subroot);
	case RTE_FUNCTION:
		return !any_bound(root, rte->functions);
	case RTE_VALUES:
		return !any_bound(root, rte->values_lists);
	case RTE_RESULT:
		return true;
	default:
		return false;
	}
}

/* The relations of one, or of a whole query. */
static bool all_alone(PlannerInfo *root, const RelOptInfo *among)
{
	for (int rti = 1; rti < root->simple_rel_array_size; rti++) {
		const RelOptInfo *rel = root->simple_rel_array[rti];

		if (rel == NULL || (among != NULL && !bms_is_member(rti, among->relids)))
			continue;
		if (!rel_alone(root, rti))
			return false;
	}
	return true;
}

bool mpp_query_alone(PlannerInfo *root)
{
	return query_alone(root) && rest_alone(root) && all_alone(root, NULL);
}

/* ---- what can be sent ---- */

/* Types that segments have, of values that mean the same there. */
static bool type_travels(Oid type)
{
	HeapTuple tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	bool travels;
	Oid element;

	if (!HeapTupleIsValid(tuple))
		return false;
	const FormData_pg_type *form = (const FormData_pg_type *)GETSTRUCT(tuple);

	travels = form->typtype != TYPTYPE_COMPOSITE && form->typtype != TYPTYPE_PSEUDO &&
	          !isTempNamespace(form->typnamespace) && type != ACLITEMOID &&
	          (type == OIDOID || type == NAMEOID || type == NAMEARRAYOID ||
	           !mpp_names_catalog_row(type));
	element = form->typtype == TYPTYPE_DOMAIN ? form->typbasetype : form->typelem;
	if (form->typtype == TYPTYPE_RANGE)
		element = get_range_subtype(type);
	ReleaseSysCache(tuple);
	return travels && (!OidIsValid(element) || type_travels(element));
}

static bool columns_travel(const RelOptInfo *rel)
{
	ListCell *lc;

	foreach (lc, rel->reltarget->exprs)
		if (!type_travels(exprType(lfirst(lc))))
			return false;
	return true;
}

MppVariant *mpp_coordinator_variant(PlannerInfo *root, const RelOptInfo *rel)
{
	Path *path = rel->cheapest_total_path;
	MppVariant *variant;

	if (path == NULL || path->param_info != NULL || rel->lateral_relids != NULL ||
	    !columns_travel(rel) || any_bound(root, rel->reltarget->exprs) || !query_alone(root) ||
	    !all_alone(root, rel))
		return NULL;
	variant = palloc0(sizeof(MppVariant));
	variant->locus = (MppLocus){.kind = MPP_LOCUS_STREWN, .single = MPP_COORDINATOR};
	variant->rel = mpp_scratch_rel(rel);
	variant->rel->pathlist = list_make1(path);
	variant->rel->cheapest_total_path = path;
	return variant;
}

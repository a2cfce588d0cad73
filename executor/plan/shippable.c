/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shippable.c - what a segment may compute: the result there must be the one the
 * coordinator would get. What is in doubt stays above the Motion.
 */
#include "executor/plan/plan.h"

#include <access/sysattr.h>
#include <access/transam.h>
#include <catalog/pg_class.h>
#include <catalog/pg_proc.h>
#include <catalog/pg_type.h>
#include <nodes/nodeFuncs.h>
#include <nodes/primnodes.h>
#include <optimizer/optimizer.h>
#include <utils/lsyscache.h>
#include <utils/syscache.h>

typedef struct ShipContext {
	PlannerInfo *root;
	Relids relids; /* NULL: any */
} ShipContext;

bool mpp_names_catalog_row(Oid type)
{
	switch (type) {
	case OIDOID:
	case NAMEOID:
	case NAMEARRAYOID:
	case REGPROCOID:
	case REGPROCEDUREOID:
	case REGOPEROID:
	case REGOPERATOROID:
	case REGCLASSOID:
	case REGTYPEOID:
	case REGROLEOID:
	case REGNAMESPACEOID:
	case REGCONFIGOID:
	case REGDICTIONARYOID:
	case REGCOLLATIONOID:
		return true;
	default:
		return false;
	}
}

bool mpp_means_another_row(Oid type)
{
	type = getBaseType(type);
	return mpp_names_catalog_row(type) && type != OIDOID && type != NAMEOID &&
	       type != NAMEARRAYOID;
}

/* Stable functions may read tables and settings of the server they run on. Those of
 * PostgreSQL itself that compute from their arguments and from settings that every
 * QE has from its QD are let through. */
static bool stable_function_unsafe(Oid funcid)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(funcid));
	bool unsafe;
	bool input;

	if (!HeapTupleIsValid(tuple))
		return true;
	const FormData_pg_proc *proc = (const FormData_pg_proc *)GETSTRUCT(tuple);

	unsafe = funcid >= FirstNormalObjectId || proc->pronargs == 0 ||
	         proc->proparallel != PROPARALLEL_SAFE || mpp_names_catalog_row(proc->prorettype);
	/* Input functions are told the type; each server tells its own OID. */
	input = proc->pronargs > 0 && proc->proargtypes.values[0] == CSTRINGOID;
	for (int i = 0; i < proc->pronargs && !unsafe && !input; i++)
		unsafe = mpp_names_catalog_row(proc->proargtypes.values[i]);
	ReleaseSysCache(tuple);
	return unsafe;
}

static bool function_unsafe(Oid funcid, void *ctx)
{
	switch (func_volatile(funcid)) {
	case PROVOLATILE_IMMUTABLE:
		return false;
	case PROVOLATILE_STABLE:
		return stable_function_unsafe(funcid);
	default:
		return true;
	}
}

static bool is_init_plan_param(PlannerInfo *root, int paramid)
{
	for (; root != NULL; root = root->parent_root) {
		ListCell *lc;

		foreach (lc, root->init_plans) {
			const SubPlan *plan = lfirst_node(SubPlan, lc);

			if (plan->subLinkType != CTE_SUBLINK &&
			    list_member_int(plan->setParam, paramid))
				return true;
		}
	}
	return false;
}

bool mpp_param_is_value(PlannerInfo *root, const Param *param)
{
	return param->paramkind == PARAM_EXTERN ||
	       (param->paramkind == PARAM_EXEC && is_init_plan_param(root, param->paramid));
}

static bool names_object(Oid type)
{
	Oid element = get_base_element_type(type);

	return mpp_means_another_row(OidIsValid(element) ? element : type);
}

/* What names an object (regclass), as the number it has on one server, or a number as a name.
 * Comparisons of names do so. */
static bool becomes_number_or_name(const RelabelType *relabel)
{
	return names_object(exprType((Node *)relabel->arg)) || names_object(relabel->resulttype);
}

static bool unshippable_walker(Node *node, void *ctx)
{
	ShipContext *context = ctx;

	if (node == NULL)
		return false;
	if (check_functions_in_node(node, function_unsafe, NULL))
		return true;
	switch (nodeTag(node)) {
	case T_Var: {
		const Var *var = (const Var *)node;

		return var->varlevelsup != 0 ||
		       (context->relids != NULL && !bms_is_member(var->varno, context->relids));
	}
	case T_Param:
		return !mpp_param_is_value(context->root, (const Param *)node);
	case T_Const: {
		const Const *value = (const Const *)node;

		return mpp_names_catalog_row(value->consttype) && value->consttype != NAMEOID &&
		       !value->constisnull && value->constlen == sizeof(Oid) &&
		       value->consttype != OIDOID &&
		       DatumGetObjectId(value->constvalue) >= FirstNormalObjectId;
	}
	case T_RelabelType:
		if (becomes_number_or_name((const RelabelType *)node))
			return true;
		break;
	case T_RestrictInfo:
		return unshippable_walker((Node *)((RestrictInfo *)node)->clause, ctx);
	case T_PlaceHolderVar:
		if (((PlaceHolderVar *)node)->phlevelsup != 0)
			return true;
		break;
	case T_SubLink:
	case T_SubPlan:
	case T_AlternativeSubPlan:
	case T_SQLValueFunction:
	case T_NextValueExpr:
	case T_CurrentOfExpr:
	case T_Query:
		return true;
	default:
		break;
	}
	return expression_tree_walker(node, unshippable_walker, ctx);
}

bool mpp_shippable_within(PlannerInfo *root, Node *node, Relids relids)
{
	ShipContext context = {.root = root, .relids = relids};

	return !unshippable_walker(node, &context);
}

bool mpp_shippable(PlannerInfo *root, Node *node)
{
	return mpp_shippable_within(root, node, NULL);
}

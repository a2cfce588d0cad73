/* SPDX-License-Identifier: Apache-2.0 */
/*
 * refuse.c - statements that cannot be done to distributed tables yet, told before
 * anything has run.
 */
#include "executor/plan/plan.h"

#include <nodes/nodeFuncs.h>
#include <parser/parsetree.h>
#include <utils/lsyscache.h>

#include "executor/catalog/distribution.h"

static bool is_distributed(const RangeTblEntry *rte)
{
	return rte->rtekind == RTE_RELATION && mpp_distribution_get(rte->relid) != NULL;
}

static const char *statement_name(CmdType command)
{
	switch (command) {
	case CMD_UPDATE:
		return "UPDATE";
	case CMD_DELETE:
		return "DELETE";
	case CMD_MERGE:
		return "MERGE";
	default:
		return "INSERT";
	}
}

static void refuse_change(const Query *query, bool inside)
{
	const RangeTblEntry *target;

	if (query->resultRelation == 0)
		return;
	target = rt_fetch(query->resultRelation, query->rtable);
	if (!is_distributed(target))
		return;
	if (query->commandType != CMD_INSERT)
		ereport(ERROR,
		        (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		         errmsg("%s is not supported on distributed table \"%s\"",
		                statement_name(query->commandType), get_rel_name(target->relid)),
		         errdetail("Distributed tables take INSERT, COPY and TRUNCATE.")));
	if (query->onConflict != NULL)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		                errmsg("INSERT ... ON CONFLICT is not supported on distributed "
		                       "table \"%s\"",
		                       get_rel_name(target->relid))));
	if (inside)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		                errmsg("INSERT into distributed table \"%s\" is not supported in a "
		                       "WITH clause",
		                       get_rel_name(target->relid))));
}

static void refuse_row_locks(const Query *query)
{
	ListCell *lc;

	foreach (lc, query->rowMarks) {
		const RowMarkClause *mark = lfirst_node(RowMarkClause, lc);
		const RangeTblEntry *rte = rt_fetch(mark->rti, query->rtable);

		if (is_distributed(rte))
			ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			                errmsg("SELECT FOR UPDATE or SHARE is not supported on "
			                       "distributed table \"%s\"",
			                       get_rel_name(rte->relid))));
	}
}

static bool refuse_walker(Node *node, void *ctx)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query)) {
		bool inside = true;

		refuse_change((Query *)node, *(bool *)ctx);
		refuse_row_locks((Query *)node);
		return query_tree_walker((Query *)node, refuse_walker, &inside, 0);
	}
	return expression_tree_walker(node, refuse_walker, ctx);
}

void mpp_refuse_query(Query *query)
{
	bool inside = false;

	refuse_walker((Node *)query, &inside);
}

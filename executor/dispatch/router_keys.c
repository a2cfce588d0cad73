/* SPDX-License-Identifier: Apache-2.0 */
/*
 * router_keys.c - finds what the distribution keys of all tables of a query are
 * fixed to, from equalities with values and with each other. A clause says something
 * about the tables whose rows it can drop: WHERE and inner joins about all, ON of an
 * outer join about its nullable side.
 */
#include <postgres.h>

#include <access/stratnum.h>
#include <catalog/pg_class.h>
#include <catalog/pg_collation.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <optimizer/optimizer.h>
#include <parser/parsetree.h>
#include <utils/lsyscache.h>
#include <utils/typcache.h>

#include "executor/catalog/cluster.h"
#include "executor/dispatch/router_keys.h"

/* left = right, where left is a Var of this level; drops rows of targets. */
typedef struct Equality {
	Var *left;
	Node *right; /* a Var of this or an outer level, or a value */
	Oid operator;
	Oid collation;
	Bitmapset *targets; /* range table indexes */
} Equality;

typedef struct Known {
	Index rti;
	AttrNumber attnum;
	Node *value;
} Known;

typedef struct Level {
	struct Level *outer;
	Query *query;
	List *equalities;
	List *known;
} Level;

typedef struct Search {
	RouterKeys *keys;
	Level *level;
} Search;

/* ---- values ---- */

static bool not_a_value(Node *node, void *context)
{
	if (node == NULL)
		return false;
	switch (nodeTag(node)) {
	case T_Var:
	case T_SubLink:
	case T_Query:
	case T_Aggref:
	case T_GroupingFunc:
	case T_WindowFunc:
	case T_CurrentOfExpr:
	case T_SetToDefault:
		return true;
	case T_Param:
		return ((Param *)node)->paramkind != PARAM_EXTERN;
	default:
		return expression_tree_walker(node, not_a_value, context);
	}
}

bool router_is_value(Node *node)
{
	return !not_a_value(node, NULL);
}

Oid router_hash_type(Node *value, Oid opfamily)
{
	Oid type = getBaseType(exprType(value));

	return lookup_type_cache(type, TYPECACHE_HASH_OPFAMILY)->hash_opf == opfamily ? type
	                                                                              : InvalidOid;
}

static Node *strip(Node *node)
{
	while (node != NULL && IsA(node, RelabelType))
		node = (Node *)((RelabelType *)node)->arg;
	return node;
}

/* ---- what the clauses say ---- */

static void add_equality(Level *level, Node *left, Node *right, const OpExpr *operator,
                         Bitmapset * targets)
{
	Node *stripped = strip(right);
	Equality *equality;

	if (!IsA(left, Var) || ((Var *)left)->varlevelsup > 0 ||
	    !bms_is_member(((Var *)left)->varno, targets))
		return;
	if (!IsA(stripped, Var) && (!router_is_value(right) || contain_volatile_functions(right)))
		return;
	equality = palloc(sizeof(*equality));
	*equality = (Equality){.left = (Var *)left,
	                       .right = IsA(stripped, Var) ? stripped : right,
	                       .operator= operator->opno,
	                       .collation = operator->inputcollid,
	                       .targets = targets};
	level->equalities = lappend(level->equalities, equality);
}

static void read_clause(Level *level, Node *clause, Bitmapset *targets)
{
	if (clause == NULL)
		return;
	if (IsA(clause, List)) {
		ListCell *cell;

		foreach (cell, (List *)clause)
			read_clause(level, lfirst(cell), targets);
	} else if (is_andclause(clause)) {
		read_clause(level, (Node *)((BoolExpr *)clause)->args, targets);
	} else if (IsA(clause, OpExpr) && list_length(((OpExpr *)clause)->args) == 2) {
		OpExpr *operator=(OpExpr *) flatten_join_alias_vars(level->query, clause);
		Node *left = linitial(operator->args);
		Node *right = lsecond(operator->args);

		add_equality(level, strip(left), right, operator, targets);
		add_equality(level, strip(right), left, operator, targets);
	}
}

static Bitmapset *read_jointree(Level *level, Node *node)
{
	Bitmapset *below = NULL;

	if (IsA(node, RangeTblRef))
		return bms_make_singleton(((RangeTblRef *)node)->rtindex);
	if (IsA(node, FromExpr)) {
		ListCell *cell;

		foreach (cell, ((FromExpr *)node)->fromlist)
			below = bms_join(below, read_jointree(level, lfirst(cell)));
		read_clause(level, ((FromExpr *)node)->quals, below);
	} else {
		JoinExpr *join = (JoinExpr *)node;
		Bitmapset *left = read_jointree(level, join->larg);
		Bitmapset *right = read_jointree(level, join->rarg);

		below = bms_union(left, right);
		if (join->jointype == JOIN_INNER)
			read_clause(level, join->quals, below);
		else if (join->jointype == JOIN_LEFT)
			read_clause(level, join->quals, right);
		else if (join->jointype == JOIN_RIGHT)
			read_clause(level, join->quals, left);
	}
	return below;
}

/* ---- what follows ---- */

static Node *known_value(const Level *level, Index levels_up, Index rti, AttrNumber attnum)
{
	ListCell *cell;

	while (levels_up-- > 0 && level != NULL)
		level = level->outer;
	if (level == NULL)
		return NULL;
	foreach (cell, level->known) {
		const Known *known = lfirst(cell);

		if (known->rti == rti && known->attnum == attnum)
			return known->value;
	}
	return NULL;
}

/* Whether the operator is the equality that the hash of this key column respects. */
static bool respects_key(const Equality *equality, const RangeTblEntry *entry)
{
	const MppDistribution *distribution;

	if (entry->rtekind != RTE_RELATION)
		return false;
	distribution = mpp_distribution_get(entry->relid);
	for (int i = 0; distribution != NULL && i < distribution->key_count; i++) {
		if (distribution->keys[i] != equality->left->varattno)
			continue;
		if (!op_in_opfamily(equality->operator, distribution->opfamilies[i]))
			return false;
		return equality->collation == distribution->collations[i] ||
		       !OidIsValid(equality->collation) ||
		       (get_collation_isdeterministic(equality->collation) &&
		        get_collation_isdeterministic(distribution->collations[i]));
	}
	return false;
}

static void find_known(Level *level)
{
	bool found;

	do {
		ListCell *cell;

		found = false;
		foreach (cell, level->equalities) {
			const Equality *equality = lfirst(cell);
			const Var *left = equality->left;
			Node *value = equality->right;
			Known *known;

			if (known_value(level, 0, left->varno, left->varattno) != NULL ||
			    !respects_key(equality, rt_fetch(left->varno, level->query->rtable)))
				continue;
			if (IsA(value, Var))
				value = known_value(level, ((Var *)value)->varlevelsup,
				                    ((Var *)value)->varno,
				                    ((Var *)value)->varattno);
			if (value == NULL)
				continue;
			known = palloc(sizeof(*known));
			*known = (Known){left->varno, left->varattno, value};
			level->known = lappend(level->known, known);
			found = true;
		}
	} while (found);
}

/* ---- tables ---- */

static bool all_consts(const List *values)
{
	ListCell *cell;

	foreach (cell, values)
		if (!IsA(lfirst(cell), Const))
			return false;
	return true;
}

static int const_segment(const RouterKeys *keys)
{
	int count = list_length(keys->values);
	Datum *values = palloc(count * sizeof(Datum));
	bool *nulls = palloc(count * sizeof(bool));

	for (int i = 0; i < count; i++) {
		values[i] = ((Const *)list_nth(keys->values, i))->constvalue;
		nulls[i] = ((Const *)list_nth(keys->values, i))->constisnull;
	}
	return router_keys_segment(keys, values, nulls);
}

/* Whether these keys lead to the segment that the others lead to. */
static bool add_keys(RouterKeys *keys, const RouterKeys *more)
{
	if (!keys->any_hashed) {
		keys->values = more->values;
		keys->types = more->types;
		keys->collations = more->collations;
		keys->any_hashed = true;
		return true;
	}
	if (equal(keys->values, more->values) && equal(keys->collations, more->collations))
		return true;
	return all_consts(keys->values) && all_consts(more->values) &&
	       const_segment(keys) == const_segment(more);
}

static bool add_table(RouterKeys *keys, const Level *level, Index rti)
{
	const RangeTblEntry *entry = rt_fetch(rti, level->query->rtable);
	const MppDistribution *distribution = mpp_distribution_get(entry->relid);
	RouterKeys more = {0};

	if (distribution == NULL || entry->tablesample != NULL || entry->securityQuals != NIL)
		return false;
	if (distribution->policy == MPP_POLICY_REPLICATED) {
		keys->any_replicated = true;
		return true;
	}
	if (distribution->policy != MPP_POLICY_HASH)
		return false;
	for (int i = 0; i < distribution->key_count; i++) {
		Node *value = known_value(level, 0, rti, distribution->keys[i]);
		Oid type =
		        value ? router_hash_type(value, distribution->opfamilies[i]) : InvalidOid;

		if (!OidIsValid(type))
			return false;
		more.values = lappend(more.values, value);
		more.types = lappend_oid(more.types, type);
		more.collations = lappend_oid(more.collations, distribution->collations[i]);
	}
	return add_keys(keys, &more);
}

static bool is_elsewhere(Node *node, void *context);

/* True when the query is not of one segment. */
static bool query_is_elsewhere(Query *query, Search *outer)
{
	Level level = {.outer = outer->level, .query = query};
	Search search = {.keys = outer->keys, .level = &level};
	ListCell *cell;

	if (query->commandType != CMD_SELECT || query->hasModifyingCTE || query->hasRowSecurity)
		return true;
	(void)read_jointree(&level, (Node *)query->jointree);
	find_known(&level);
	foreach (cell, query->rtable) {
		const RangeTblEntry *entry = lfirst(cell);

		switch (entry->rtekind) {
		case RTE_RELATION:
			if (!add_table(search.keys, &level, foreach_current_index(cell) + 1))
				return true;
			break;
		case RTE_SUBQUERY: /* walked below */
		case RTE_JOIN:
		case RTE_VALUES:
		case RTE_CTE:
		case RTE_RESULT:
			break;
		case RTE_FUNCTION:
			if (contain_mutable_functions((Node *)entry->functions))
				return true;
			break;
		default:
			return true;
		}
	}
	return query_tree_walker(query, is_elsewhere, &search, 0);
}

bool router_is_special(Node *node)
{
	return IsA(node, Var) && ((Var *)node)->varattno <= 0;
}

static bool is_elsewhere(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return query_is_elsewhere((Query *)node, context);
	if (router_is_special(node))
		return true;
	return expression_tree_walker(node, is_elsewhere, context);
}

bool router_keys_find(Query *query, RouterKeys *ret_keys)
{
	Search search = {.keys = ret_keys};

	*ret_keys = (RouterKeys){0};
	return !query_is_elsewhere(query, &search) &&
	       (ret_keys->any_hashed || ret_keys->any_replicated);
}

bool router_keys_of_row(const Query *query, const MppDistribution *distribution,
                        RouterKeys *ret_keys)
{
	*ret_keys = (RouterKeys){.any_hashed = true};
	for (int i = 0; i < distribution->key_count; i++) {
		Node *value = NULL;
		Oid type;
		ListCell *cell;

		foreach (cell, query->targetList)
			if (((TargetEntry *)lfirst(cell))->resno == distribution->keys[i])
				value = (Node *)((TargetEntry *)lfirst(cell))->expr;
		if (value == NULL)
			value = (Node *)makeNullConst(distribution->types[i], -1,
			                              distribution->collations[i]);
		type = router_hash_type(value, distribution->opfamilies[i]);
		if (!OidIsValid(type))
			return false;
		ret_keys->values = lappend(ret_keys->values, value);
		ret_keys->types = lappend_oid(ret_keys->types, type);
		ret_keys->collations =
		        lappend_oid(ret_keys->collations, distribution->collations[i]);
	}
	return true;
}

int router_keys_segment(const RouterKeys *keys, const Datum *values, const bool *nulls)
{
	int count = list_length(keys->values);
	Oid *types = palloc(count * sizeof(Oid));
	Oid *collations = palloc(count * sizeof(Oid));
	MppHash hash;

	for (int i = 0; i < count; i++) {
		types[i] = list_nth_oid(keys->types, i);
		collations[i] = list_nth_oid(keys->collations, i);
	}
	mpp_hash_init(&hash, count, types, collations);
	return mpp_hash_segment(mpp_hash_row(&hash, values, nulls), mpp_segment_count());
}

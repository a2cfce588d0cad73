/* SPDX-License-Identifier: Apache-2.0 */
/*
 * label.c - reads and writes the security labels that hold the distribution of
 * tables, and takes part in SECURITY LABEL as their provider.
 */
#include <postgres.h>

#include <access/xact.h>
#include <catalog/objectaddress.h>
#include <catalog/pg_class.h>
#include <catalog/pg_type.h>
#include <commands/seclabel.h>
#include <fmgr.h>
#include <lib/stringinfo.h>
#include <parser/scansup.h>
#include <utils/array.h>
#include <utils/builtins.h>
#include <utils/inval.h>
#include <utils/lsyscache.h>
#include <utils/varlena.h>

#include "executor/catalog/catalog.h"
#include "executor/catalog/label.h"
#include "executor/function.h"

MPP_FUNCTION(mpp_distribution_keys);

static void pg_attribute_noreturn() bad_label(const char *label)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
	                errmsg("invalid distribution \"%s\"", label),
	                errhint("A distribution is hash(column, ...), random or replicated.")));
}

/* Splits 'a, "B"'; takes text. */
static List *parse_columns(char *text, const char *label)
{
	List *names = NIL;
	List *columns = NIL;
	ListCell *cell;

	if (!SplitIdentifierString(text, ',', &names) || names == NIL)
		bad_label(label);
	foreach (cell, names)
		columns = lappend(columns, makeString(pstrdup(lfirst(cell))));
	return columns;
}

void mpp_label_parse(const char *label, MppPolicy *ret_policy, List **ret_columns)
{
	size_t length = strlen(label);

	*ret_columns = NIL;
	if (strcmp(label, "random") == 0)
		*ret_policy = MPP_POLICY_RANDOM;
	else if (strcmp(label, "replicated") == 0)
		*ret_policy = MPP_POLICY_REPLICATED;
	else if (length > 6 && strncmp(label, "hash(", 5) == 0 && label[length - 1] == ')') {
		*ret_policy = MPP_POLICY_HASH;
		*ret_columns = parse_columns(pnstrdup(label + 5, length - 6), label);
	} else
		bad_label(label);
}

void mpp_label_parse_option(const char *option, MppPolicy *ret_policy, List **ret_columns)
{
	*ret_columns = NIL;
	if (pg_strcasecmp(option, "random") == 0)
		*ret_policy = MPP_POLICY_RANDOM;
	else if (pg_strcasecmp(option, "replicated") == 0)
		*ret_policy = MPP_POLICY_REPLICATED;
	else {
		*ret_policy = MPP_POLICY_HASH;
		*ret_columns = parse_columns(pstrdup(option), option);
	}
}

char *mpp_label_columns(const List *columns)
{
	StringInfoData text;
	ListCell *cell;

	initStringInfo(&text);
	foreach (cell, columns)
		appendStringInfo(&text, "%s%s", cell == list_head(columns) ? "" : ", ",
		                 quote_identifier(strVal(lfirst(cell))));
	return text.data;
}

char *mpp_label_format(MppPolicy policy, const List *columns)
{
	if (policy == MPP_POLICY_RANDOM)
		return pstrdup("random");
	if (policy == MPP_POLICY_REPLICATED)
		return pstrdup("replicated");
	return psprintf("hash(%s)", mpp_label_columns(columns));
}

/* sluice.distribution_keys(label): the columns of a hash distribution. */
Datum mpp_distribution_keys(PG_FUNCTION_ARGS)
{
	MppPolicy policy;
	ListCell *cell;
	List *columns;
	Datum *names;

	mpp_label_parse(text_to_cstring(PG_GETARG_TEXT_PP(0)), &policy, &columns);
	if (columns == NIL)
		PG_RETURN_NULL();
	names = palloc(sizeof(Datum) * list_length(columns));
	foreach (cell, columns)
		names[foreach_current_index(cell)] = CStringGetTextDatum(strVal(lfirst(cell)));
	PG_RETURN_ARRAYTYPE_P(
	        construct_array(names, list_length(columns), TEXTOID, -1, false, TYPALIGN_INT));
}

void mpp_label_set(Oid relid, const char *label)
{
	const ObjectAddress table = {RelationRelationId, relid, 0};

	SetSecurityLabel(&table, MPP_LABEL_PROVIDER, label);
	/* Labels have no cache of their own: let distributions and plans be made anew. */
	CacheInvalidateRelcacheByRelid(relid);
	CommandCounterIncrement();
}

/* SECURITY LABEL FOR sluice: on tables, with a distribution that suits them. */
static void check_label(const ObjectAddress *object, const char *label)
{
	MppDistribution distribution;
	MppPolicy policy;
	List *columns;
	char kind;

	kind = object->classId == RelationRelationId ? get_rel_relkind(object->objectId) : '\0';
	if (object->objectSubId != 0 ||
	    (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE))
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
		                errmsg("only tables have a distribution")));
	if (label == NULL)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		                errmsg("the distribution of a table cannot be removed")));
	mpp_label_parse(label, &policy, &columns);
	mpp_distribution_of_columns(object->objectId, policy, columns, &distribution);
	CacheInvalidateRelcacheByRelid(object->objectId);
}

void mpp_label_init(void)
{
	register_label_provider(MPP_LABEL_PROVIDER, check_label);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hash.c - which segment a row belongs to.
 */
#include <postgres.h>

#include <catalog/dependency.h>
#include <catalog/pg_type.h>
#include <common/hashfn.h>
#include <fmgr.h>
#include <utils/builtins.h>
#include <utils/fmgrprotos.h>
#include <utils/lsyscache.h>
#include <utils/typcache.h>

#include "executor/catalog/cluster.h"
#include "executor/catalog/distribution.h"
#include "executor/catalog/label.h"
#include "executor/function.h"
#include "sluice/motion.h"

MPP_FUNCTION(mpp_hash_segment_of);

static Oid hash_function(Oid type)
{
	return lookup_type_cache(getBaseType(type), TYPECACHE_HASH_EXTENDED_PROC)
	        ->hash_extended_proc;
}

/* Types whose values are OIDs of catalog objects. */
static bool is_catalog_type(Oid type)
{
	static const Oid types[] = {REGPROCOID,       REGPROCEDUREOID, REGOPEROID,
	                            REGOPERATOROID,   REGCLASSOID,     REGTYPEOID,
	                            REGROLEOID,       REGNAMESPACEOID, REGCONFIGOID,
	                            REGDICTIONARYOID, REGCOLLATIONOID, ACLITEMOID};

	for (int i = 0; i < (int)lengthof(types); i++)
		if (types[i] == type)
			return true;
	return false;
}

/* Whether equal values of the type are of the same bytes on all nodes. Values that
 * hold OIDs may not be: those of composite types, of enums that an extension has made
 * on each node by itself (others: executor/ddl/enum.c), and of catalog objects. */
static bool is_same_everywhere(Oid type)
{
	Oid base = getBaseType(type);
	Oid element = get_base_element_type(base);

	if (OidIsValid(element))
		return is_same_everywhere(element);
	switch (get_typtype(base)) {
	case TYPTYPE_ENUM:
		return !OidIsValid(getExtensionOfObject(TypeRelationId, base));
	case TYPTYPE_COMPOSITE:
		return false;
	case TYPTYPE_RANGE:
		return is_same_everywhere(get_range_subtype(base));
	case TYPTYPE_MULTIRANGE:
		return is_same_everywhere(get_range_subtype(get_multirange_range(base)));
	default:
		return base != RECORDOID && !is_catalog_type(base);
	}
}

bool mpp_type_has_hash(Oid type)
{
	return OidIsValid(hash_function(type)) && is_same_everywhere(type);
}

bool mpp_hash_alike(Oid type, Oid other)
{
	Oid element;
	Oid other_element;

	type = getBaseType(type);
	other = getBaseType(other);
	element = get_base_element_type(type);
	other_element = get_base_element_type(other);
	if (OidIsValid(element) != OidIsValid(other_element))
		return false;
	/* All arrays are of one operator family, and hash as their elements do. */
	if (OidIsValid(element))
		return mpp_hash_alike(element, other_element);
	return type == other ||
	       (get_typtype(type) == TYPTYPE_BASE &&
	        lookup_type_cache(type, TYPECACHE_HASH_OPFAMILY)->hash_opf ==
	                lookup_type_cache(other, TYPECACHE_HASH_OPFAMILY)->hash_opf);
}

static MppHashKind kind_of(const FmgrInfo *function)
{
	if (function->fn_addr == hashint4extended)
		return MPP_HASH_INT4;
	if (function->fn_addr == hashint8extended)
		return MPP_HASH_INT8;
	return MPP_HASH_FUNCTION;
}

void mpp_hash_init(MppHash *hash, int key_count, const Oid *types, const Oid *collations)
{
	hash->key_count = key_count;
	hash->kinds = palloc(sizeof(MppHashKind) * Max(key_count, 1));
	hash->functions = palloc(sizeof(FmgrInfo) * Max(key_count, 1));
	hash->collations = palloc(sizeof(Oid) * Max(key_count, 1));
	for (int i = 0; i < key_count; i++) {
		Oid function = hash_function(types[i]);

		if (!OidIsValid(function))
			ereport(ERROR,
			        (errcode(ERRCODE_UNDEFINED_FUNCTION),
			         errmsg("could not identify an extended hash function for type %s",
			                format_type_be(types[i]))));
		fmgr_info(function, &hash->functions[i]);
		hash->kinds[i] = kind_of(&hash->functions[i]);
		hash->collations[i] = collations[i];
	}
}

/* As hashint8extended(): that of the int4, for a value that has one. */
static uint64 hash_int8(int64 value)
{
	uint32 low = (uint32)value;
	uint32 high = (uint32)((uint64)value >> 32);

	return hash_bytes_uint32_extended(low ^ (value >= 0 ? high : ~high), 0);
}

static uint64 hash_column(const MppHash *hash, int i, Datum value)
{
	switch (hash->kinds[i]) {
	case MPP_HASH_INT4:
		return hash_bytes_uint32_extended(DatumGetUInt32(value), 0);
	case MPP_HASH_INT8:
		return hash_int8(DatumGetInt64(value));
	case MPP_HASH_FUNCTION:
		break;
	}
	return DatumGetUInt64(FunctionCall2Coll(&hash->functions[i], hash->collations[i], value,
	                                        UInt64GetDatum(0)));
}

uint64 mpp_hash_row(const MppHash *hash, const Datum *values, const bool *nulls)
{
	uint64 row = 0;

	for (int i = 0; i < hash->key_count; i++) {
		uint64 column = nulls[i] ? 0 : hash_column(hash, i, values[i]);

		/* One key: its hash itself. */
		row = i == 0 ? column : hash_combine64(row, column);
	}
	return row;
}

int mpp_hash_segment(uint64 hash, int segment_count)
{
	return (int)slu_motion_jump_hash(hash, (uint32)segment_count);
}

/* sluice.hash_segment(VARIADIC "any"): where a row with this key lives. */
Datum mpp_hash_segment_of(PG_FUNCTION_ARGS)
{
	int count = PG_NARGS();
	Datum *values = palloc(sizeof(Datum) * count);
	bool *nulls = palloc(sizeof(bool) * count);
	Oid *types = palloc(sizeof(Oid) * count);
	Oid *collations = palloc(sizeof(Oid) * count);
	int segments = mpp_cluster_get()->segment_count;
	MppHash hash;

	if (get_fn_expr_variadic(fcinfo->flinfo))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		                errmsg("the key must be given column by column")));
	for (int i = 0; i < count; i++) {
		values[i] = PG_GETARG_DATUM(i);
		nulls[i] = PG_ARGISNULL(i);
		types[i] = get_fn_expr_argtype(fcinfo->flinfo, i);
		collations[i] = PG_GET_COLLATION();
	}
	mpp_hash_init(&hash, count, types, collations);
	PG_RETURN_INT32(mpp_hash_segment(mpp_hash_row(&hash, values, nulls), segments));
}

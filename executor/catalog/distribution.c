/* SPDX-License-Identifier: Apache-2.0 */
/*
 * distribution.c - the distribution of each table, from its security label, kept
 * by relation until something about the relation changes.
 */
#include <postgres.h>

#include <access/htup_details.h>
#include <access/transam.h>
#include <catalog/objectaddress.h>
#include <catalog/pg_am.h>
#include <catalog/pg_class.h>
#include <commands/defrem.h>
#include <commands/seclabel.h>
#include <utils/builtins.h>
#include <utils/hsearch.h>
#include <utils/inval.h>
#include <utils/lsyscache.h>
#include <utils/memutils.h>
#include <utils/syscache.h>
#include <utils/typcache.h>

#include "executor/catalog/catalog.h"
#include "executor/catalog/distribution.h"
#include "executor/catalog/label.h"
#include "executor/catalog/node.h"

typedef struct CacheEntry {
	Oid relid; /* key */
	bool is_valid;
	MppDistribution *distribution; /* NULL: not distributed */
	MemoryContext context;         /* of distribution */
} CacheEntry;

static HTAB *cache;

void mpp_distribution_of_columns(Oid relid, MppPolicy policy, List *columns,
                                 MppDistribution *ret_distribution)
{
	int count = list_length(columns);
	MppDistribution built = {.policy = policy, .key_count = count};
	ListCell *cell;
	int i = 0;

	built.keys = palloc0(sizeof(AttrNumber) * Max(count, 1));
	built.types = palloc0(sizeof(Oid) * Max(count, 1));
	built.collations = palloc0(sizeof(Oid) * Max(count, 1));
	built.opfamilies = palloc0(sizeof(Oid) * Max(count, 1));
	foreach (cell, columns) {
		const char *name = strVal(lfirst(cell));
		AttrNumber number = get_attnum(relid, name);
		Oid type;
		int32 modifier;

		if (number <= 0)
			ereport(ERROR,
			        (errcode(ERRCODE_UNDEFINED_COLUMN),
			         errmsg("distribution key column \"%s\" does not exist in \"%s\"",
			                name, get_rel_name(relid))));
		for (int j = 0; j < i; j++)
			if (built.keys[j] == number)
				ereport(ERROR,
				        (errcode(ERRCODE_DUPLICATE_COLUMN),
				         errmsg("distribution key has column \"%s\" twice", name)));
		if (get_attgenerated(relid, number) != '\0')
			ereport(ERROR,
			        (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			         errmsg("generated column \"%s\" cannot be a distribution key",
			                name)));
		get_atttypetypmodcoll(relid, number, &type, &modifier, &built.collations[i]);
		type = getBaseType(type);
		if (!mpp_type_has_hash(type))
			ereport(ERROR, (errcode(ERRCODE_UNDEFINED_FUNCTION),
			                errmsg("type %s of column \"%s\" cannot be "
			                       "hashed, so it cannot be a distribution key",
			                       format_type_be(type), name)));
		built.keys[i] = number;
		built.types[i] = type;
		built.opfamilies[i] = lookup_type_cache(type, TYPECACHE_HASH_OPFAMILY)->hash_opf;
		i++;
	}
	*ret_distribution = built;
}

/* Cheap test that keeps most relations from reading pg_seclabel. */
static bool may_be_distributed(Oid relid)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	bool may = false;

	if (HeapTupleIsValid(tuple)) {
		Form_pg_class class = (Form_pg_class)GETSTRUCT(tuple);

		may = class->relkind == RELKIND_PARTITIONED_TABLE ||
		      (class->relkind == RELKIND_RELATION && class->relam != HEAP_TABLE_AM_OID);
		ReleaseSysCache(tuple);
	}
	return may;
}

static MppDistribution *load(Oid relid)
{
	const ObjectAddress table = {RelationRelationId, relid, 0};
	MppDistribution *loaded;
	MppPolicy policy;
	List *columns;
	char *label;

	if (!may_be_distributed(relid))
		return NULL;
	label = GetSecurityLabel(&table, MPP_LABEL_PROVIDER);
	if (label == NULL)
		return NULL;
	mpp_label_parse(label, &policy, &columns);
	loaded = palloc(sizeof(*loaded));
	mpp_distribution_of_columns(relid, policy, columns, loaded);
	return loaded;
}

static void create_cache(void)
{
	HASHCTL control = {.keysize = sizeof(Oid),
	                   .entrysize = sizeof(CacheEntry),
	                   .hcxt = CacheMemoryContext};

	cache = hash_create("sluice distributions", 128, &control,
	                    HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

const MppDistribution *mpp_distribution_get(Oid relid)
{
	MemoryContext context;
	MemoryContext previous;
	MppDistribution *loaded;
	CacheEntry *entry;
	bool found;

	if (relid < FirstNormalObjectId || mpp_role == MPP_ROLE_NONE)
		return NULL;
	if (cache == NULL)
		create_cache();
	entry = hash_search(cache, &relid, HASH_FIND, NULL);
	if (entry != NULL && entry->is_valid)
		return entry->distribution;

	context = AllocSetContextCreate(CurrentMemoryContext, "sluice distribution",
	                                ALLOCSET_SMALL_SIZES);
	previous = MemoryContextSwitchTo(context);
	loaded = load(relid);
	MemoryContextSwitchTo(previous);

	entry = hash_search(cache, &relid, HASH_ENTER, &found);
	/* Somebody may still look at what was handed out before. */
	if (found && entry->context != NULL)
		MemoryContextSetParent(entry->context, TopTransactionContext);
	if (loaded == NULL)
		MemoryContextDelete(context);
	else
		MemoryContextSetParent(context, CacheMemoryContext);
	entry->distribution = loaded;
	entry->context = loaded != NULL ? context : NULL;
	entry->is_valid = true;
	return loaded;
}

static void forget(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS scan;
	CacheEntry *entry;

	if (cache == NULL)
		return;
	if (OidIsValid(relid)) {
		entry = hash_search(cache, &relid, HASH_FIND, NULL);
		if (entry != NULL)
			entry->is_valid = false;
		return;
	}
	hash_seq_init(&scan, cache);
	while ((entry = hash_seq_search(&scan)) != NULL)
		entry->is_valid = false;
}

void mpp_distribution_init(void)
{
	CacheRegisterRelcacheCallback(forget, (Datum)0);
	mpp_label_init();
}

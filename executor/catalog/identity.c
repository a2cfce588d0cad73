/* SPDX-License-Identifier: Apache-2.0 */
/*
 * identity.c - whether two nodes may work together.
 */
#include <postgres.h>

#include <access/genam.h>
#include <access/htup_details.h>
#include <access/table.h>
#include <catalog/catversion.h>
#include <catalog/indexing.h>
#include <catalog/pg_database.h>
#include <catalog/pg_extension.h>
#include <commands/extension.h>
#include <lib/stringinfo.h>
#include <mb/pg_wchar.h>
#include <miscadmin.h>
#include <utils/builtins.h>
#include <utils/fmgroids.h>
#include <utils/rel.h>
#include <utils/syscache.h>

#include "executor/catalog/identity.h"
#include "executor/catalog/node.h"
#include "executor/function.h"

MPP_FUNCTION(mpp_node_identity);

static char *extension_version(void)
{
	Relation extensions = table_open(ExtensionRelationId, AccessShareLock);
	char *version = NULL;
	SysScanDesc scan;
	HeapTuple tuple;
	ScanKeyData key;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
	            CStringGetDatum("sluice"));
	scan = systable_beginscan(extensions, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple)) {
		bool is_null;
		Datum value = heap_getattr(tuple, Anum_pg_extension_extversion,
		                           RelationGetDescr(extensions), &is_null);

		version = TextDatumGetCString(value);
	}
	systable_endscan(scan);
	table_close(extensions, AccessShareLock);
	return version != NULL ? version : pstrdup("none");
}

static char *database_setting(HeapTuple tuple, int attribute)
{
	bool is_null;
	Datum value = SysCacheGetAttr(DATABASEOID, tuple, attribute, &is_null);

	return is_null ? pstrdup("none") : TextDatumGetCString(value);
}

char *mpp_identity(void)
{
	HeapTuple database = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(MyDatabaseId));
	StringInfoData text;

	if (!HeapTupleIsValid(database))
		elog(ERROR, "cache lookup failed for database %u", MyDatabaseId);
	initStringInfo(&text);
	appendStringInfo(&text, "PostgreSQL: %d\n", PG_VERSION_NUM / 10000);
	appendStringInfo(&text, "catalog version: %d\n", CATALOG_VERSION_NO);
	appendStringInfo(&text, "block size: %d\n", BLCKSZ);
	appendStringInfo(&text, "extension sluice: %s\n", extension_version());
	appendStringInfo(&text, "cluster: %s\n", mpp_cluster_id);
	appendStringInfo(&text, "encoding: %s\n", GetDatabaseEncodingName());
	appendStringInfo(&text, "collation: %s\n",
	                 database_setting(database, Anum_pg_database_datcollate));
	appendStringInfo(&text, "character type: %s\n",
	                 database_setting(database, Anum_pg_database_datctype));
	appendStringInfo(&text, "ICU locale: %s\n",
	                 database_setting(database, Anum_pg_database_daticulocale));
	ReleaseSysCache(database);
	return text.data;
}

/* sluice.node_identity(): its content id, and then the lines. */
Datum mpp_node_identity(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(
	        psprintf("%s %d\n%s", mpp_role == MPP_ROLE_SEGMENT ? "segment" : "coordinator",
	                 mpp_content, mpp_identity())));
}

static void pg_attribute_noreturn() refuse(const char *segment, const char *detail)
{
	ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
	                errmsg("%s does not fit this cluster", segment), errdetail("%s", detail)));
}

void mpp_identity_check(const char *segment, int content, const char *answer)
{
	char *own_state = NULL;
	char *answer_state = NULL;
	char *lines = pstrdup(answer);
	char *first = strtok_r(lines, "\n", &answer_state);
	char *expected = psprintf("segment %d", content);

	if (first == NULL || strcmp(first, expected) != 0)
		refuse(segment, psprintf("It says it is %s, and should be %s.",
		                         first != NULL ? first : "nothing", expected));
	for (char *own = strtok_r(mpp_identity(), "\n", &own_state); own != NULL;
	     own = strtok_r(NULL, "\n", &own_state)) {
		char *theirs = strtok_r(NULL, "\n", &answer_state);

		if (theirs == NULL || strcmp(own, theirs) != 0)
			refuse(segment, psprintf("It has \"%s\", the coordinator \"%s\".",
			                         theirs != NULL ? theirs : "", own));
	}
}

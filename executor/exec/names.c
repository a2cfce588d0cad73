/* SPDX-License-Identifier: Apache-2.0 */
/*
 * names.c - the names are PostgreSQL's own addresses of objects (pg_identify_object
 * _as_address()), which exist for every kind of object and are found again by
 * pg_get_object_address(). Both directions are remembered until a catalog changes.
 */
#include "executor/exec/names.h"

#include <access/htup_details.h>
#include <catalog/objectaddress.h>
#include <catalog/pg_enum.h>
#include <catalog/pg_type.h>
#include <common/hashfn.h>
#include <funcapi.h>
#include <libpq/pqformat.h>
#include <utils/array.h>
#include <utils/builtins.h>
#include <utils/fmgrprotos.h>
#include <utils/hsearch.h>
#include <utils/inval.h>
#include <utils/lsyscache.h>
#include <utils/memutils.h>
#include <utils/syscache.h>

#define ENUM_VALUE "enum value" /* type of address that PostgreSQL has not */

typedef struct ObjectKey {
	Oid class_id;
	Oid object_id;
} ObjectKey;

/* An address, encoded as it is sent: type, names, arguments. */
typedef struct AddressOfObject {
	ObjectKey key;
	int size;
	char *bytes;
} AddressOfObject;

typedef struct ObjectOfAddress {
	const char *bytes;
	int size;
	uint32 hash;
	Oid object_id;
	struct ObjectOfAddress *next;
} ObjectOfAddress;

#define BUCKETS 1024

struct MppNames {
	HTAB *numbers; /* ObjectKey -> number */
	List *keys;    /* AddressOfObject, by number */
};

typedef struct NumberOfObject {
	ObjectKey key;
	int number;
} NumberOfObject;

/* What is known until a catalog changes. */
static MemoryContext cache_context;
static HTAB *addresses;
static ObjectOfAddress **objects; /* [BUCKETS] */
static bool stale = true;

static void forget(Datum arg, int cache_id, uint32 hash_value)
{
	stale = true;
}

void mpp_names_init(void)
{
	static const int caches[] = {RELOID,      TYPEOID,   PROCOID,         OPEROID,      COLLOID,
	                             OPFAMILYOID, CLAOID,    ENUMOID,         NAMESPACEOID, AUTHOID,
	                             TSCONFIGOID, TSDICTOID, FOREIGNSERVEROID};
	size_t i;

	for (i = 0; i < lengthof(caches); i++)
		CacheRegisterSyscacheCallback(caches[i], forget, 0);
}

/* An empty cache when something has changed; called before it is used. */
static void cache_refresh(void)
{
	HASHCTL control = {.keysize = sizeof(ObjectKey), .entrysize = sizeof(AddressOfObject)};

	if (!stale)
		return;
	if (cache_context)
		MemoryContextDelete(cache_context);
	cache_context =
	        AllocSetContextCreate(CacheMemoryContext, "sluice names", ALLOCSET_DEFAULT_SIZES);
	control.hcxt = cache_context;
	addresses = hash_create("sluice addresses of objects", 256, &control,
	                        HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	objects = MemoryContextAllocZero(cache_context, BUCKETS * sizeof(*objects));
	stale = false;
}

/* ---- sender ---------------------------------------------------------------- */

MppNames *mpp_names_create(void)
{
	HASHCTL control = {.keysize = sizeof(ObjectKey),
	                   .entrysize = sizeof(NumberOfObject),
	                   .hcxt = CurrentMemoryContext};
	MppNames *names = palloc0(sizeof(*names));

	names->numbers = hash_create("sluice numbers of objects", 32, &control,
	                             HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	return names;
}

static void put_string(StringInfo out, const char *string)
{
	int length = (int)strlen(string);

	pq_sendint32(out, (uint32)length);
	pq_sendbytes(out, string, length);
}

static void put_strings(StringInfo out, const List *strings)
{
	ListCell *cell;

	pq_sendint32(out, (uint32)list_length(strings));
	foreach (cell, strings)
		put_string(out, lfirst(cell));
}

static void address_of_enum_value(StringInfo out, Oid value)
{
	HeapTuple tuple = SearchSysCache1(ENUMOID, ObjectIdGetDatum(value));
	Form_pg_enum form;
	ObjectAddress type;
	List *names = NIL, *arguments = NIL;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for enum value %u", value);
	form = (Form_pg_enum)GETSTRUCT(tuple);
	ObjectAddressSet(type, TypeRelationId, form->enumtypid);
	pfree(getObjectIdentityParts(&type, &names, &arguments, false));
	put_string(out, ENUM_VALUE);
	put_strings(out, lappend(names, pstrdup(NameStr(form->enumlabel))));
	put_strings(out, NIL);
	ReleaseSysCache(tuple);
}

static void address_of_object(StringInfo out, ObjectKey key)
{
	ObjectAddress address;
	List *names = NIL, *arguments = NIL;

	if (key.class_id == EnumRelationId) {
		address_of_enum_value(out, key.object_id);
		return;
	}
	ObjectAddressSet(address, key.class_id, key.object_id);
	pfree(getObjectIdentityParts(&address, &names, &arguments, false));
	put_string(out, getObjectTypeDescription(&address, false));
	put_strings(out, names);
	put_strings(out, arguments);
}

static AddressOfObject *address_get(ObjectKey key)
{
	AddressOfObject *address;
	StringInfoData out;

	cache_refresh();
	address = hash_search(addresses, &key, HASH_FIND, NULL);
	if (address)
		return address;
	initStringInfo(&out);
	address_of_object(&out, key); /* may make the cache stale, and is right */
	cache_refresh();
	address = hash_search(addresses, &key, HASH_ENTER, NULL);
	address->size = out.len;
	address->bytes = MemoryContextAlloc(cache_context, (Size)out.len);
	memcpy(address->bytes, out.data, (size_t)out.len);
	pfree(out.data);
	return address;
}

int mpp_names_add(MppNames *names, Oid class_id, Oid object_id)
{
	ObjectKey key = {class_id, object_id};
	bool found;
	NumberOfObject *number = hash_search(names->numbers, &key, HASH_FIND, NULL);
	AddressOfObject *copy;

	if (number)
		return number->number;
	copy = palloc(sizeof(*copy));
	*copy = *address_get(key);
	copy->bytes = memcpy(palloc((Size)copy->size), copy->bytes, (size_t)copy->size);
	number = hash_search(names->numbers, &key, HASH_ENTER, &found);
	number->number = list_length(names->keys);
	names->keys = lappend(names->keys, copy);
	return number->number;
}

void mpp_names_write(const MppNames *names, StringInfo message)
{
	ListCell *cell;

	pq_sendint32(message, (uint32)list_length(names->keys));
	foreach (cell, names->keys) {
		const AddressOfObject *address = lfirst(cell);

		pq_sendint32(message, (uint32)address->size);
		pq_sendbytes(message, address->bytes, address->size);
	}
}

/* ---- receiver -------------------------------------------------------------- */

static text *get_text(StringInfo in)
{
	int length = (int)pq_getmsgint(in, 4);

	return cstring_to_text_with_len(pq_getmsgbytes(in, length), length);
}

/* An array of text, and its elements. */
static Datum get_texts(StringInfo in, int *ret_count, Datum **ret_elements)
{
	int count = (int)pq_getmsgint(in, 4);
	Datum *elements;
	int i;

	if (count < 0 || count > in->len)
		elog(ERROR, "malformed name of an object");
	elements = palloc(sizeof(Datum) * (Size)Max(count, 1));
	for (i = 0; i < count; i++)
		elements[i] = PointerGetDatum(get_text(in));
	*ret_count = count;
	*ret_elements = elements;
	return PointerGetDatum(construct_array(elements, count, TEXTOID, -1, false, TYPALIGN_INT));
}

static Oid object_of_address(text *type, Datum names, Datum arguments)
{
	HeapTupleHeader header = DatumGetHeapTupleHeader(DirectFunctionCall3(
	        pg_get_object_address, PointerGetDatum(type), names, arguments));
	bool null;

	return DatumGetObjectId(GetAttributeByNum(header, 2, &null));
}

static Oid find_enum_value(Datum *names, int count)
{
	Datum none = PointerGetDatum(construct_empty_array(TEXTOID));
	Datum array;
	Oid type, value;

	if (count != 2)
		elog(ERROR, "malformed name of an object");
	array = PointerGetDatum(construct_array(names, 1, TEXTOID, -1, false, TYPALIGN_INT));
	type = object_of_address(cstring_to_text("type"), array, none);
	value = GetSysCacheOid2(ENUMTYPOIDNAME, Anum_pg_enum_oid, ObjectIdGetDatum(type),
	                        CStringGetDatum(TextDatumGetCString(names[1])));
	if (!OidIsValid(value))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
		                errmsg("enum %s has no value \"%s\" on this segment",
		                       format_type_be(type), TextDatumGetCString(names[1]))));
	return value;
}

static Oid find_object(const char *bytes, int size)
{
	StringInfoData in = {.data = unconstify(char *, bytes), .len = size, .maxlen = size};
	text *type = get_text(&in);
	Datum *elements, *unused;
	int count, unused_count;
	Datum names = get_texts(&in, &count, &elements);
	Datum arguments = get_texts(&in, &unused_count, &unused);

	if (strcmp(text_to_cstring(type), ENUM_VALUE) == 0)
		return find_enum_value(elements, count);
	return object_of_address(type, names, arguments);
}

static Oid object_get(const char *bytes, int size)
{
	uint32 hash = (uint32)hash_bytes((const unsigned char *)bytes, size);
	ObjectOfAddress *object;
	Oid object_id;

	cache_refresh();
	for (object = objects[hash % BUCKETS]; object; object = object->next)
		if (object->hash == hash && object->size == size &&
		    memcmp(object->bytes, bytes, (size_t)size) == 0)
			return object->object_id;
	object_id = find_object(bytes, size);
	cache_refresh();
	object = MemoryContextAlloc(cache_context, sizeof(*object));
	object->bytes = memcpy(MemoryContextAlloc(cache_context, (Size)size), bytes, (size_t)size);
	object->size = size;
	object->hash = hash;
	object->object_id = object_id;
	object->next = objects[hash % BUCKETS];
	objects[hash % BUCKETS] = object;
	return object_id;
}

Oid *mpp_names_read(StringInfo message, int *ret_count)
{
	int count = (int)pq_getmsgint(message, 4);
	Oid *oids;
	int i;

	if (count < 0 || count > message->len)
		elog(ERROR, "malformed list of names");
	oids = palloc(sizeof(Oid) * (Size)Max(count, 1));
	for (i = 0; i < count; i++) {
		int size = (int)pq_getmsgint(message, 4);

		oids[i] = object_get(pq_getmsgbytes(message, size), size);
	}
	*ret_count = count;
	return oids;
}

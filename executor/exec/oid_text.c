/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oid_text.c - a reference is `<N`: number N of the names; nodeToString() escapes a
 * string that begins so. In a constant by value it stands for all its bytes.
 *
 * Tokens of nodeToString() end at white space, parentheses and braces, which it
 * escapes in strings. The name of a field is a token that begins with a colon; a
 * string may look like one, but is followed by the name of a field, never by
 * the number or list that is looked for.
 */
#include "executor/exec/oid_text.h"

#include <access/transam.h>
#include <catalog/pg_authid.h>
#include <catalog/pg_class.h>
#include <catalog/pg_collation.h>
#include <catalog/pg_enum.h>
#include <catalog/pg_foreign_server.h>
#include <catalog/pg_namespace.h>
#include <catalog/pg_opclass.h>
#include <catalog/pg_operator.h>
#include <catalog/pg_opfamily.h>
#include <catalog/pg_proc.h>
#include <catalog/pg_ts_config.h>
#include <catalog/pg_ts_dict.h>
#include <catalog/pg_type.h>
#include <ctype.h>
#include <nodes/makefuncs.h>
#include <nodes/nodes.h>
#include <utils/lsyscache.h>

#include "executor/exec/value_text.h"

typedef struct Field {
	const char *name;
	Oid class_id; /* 0: the value is of no use elsewhere and becomes 0 */
} Field;

/* Every field of a plan or an expression that holds OIDs, of PostgreSQL 15; sorted. */
static const Field fields[] = {
        {"aggargtypes", TypeRelationId},
        {"aggcollid", CollationRelationId},
        {"aggfnoid", ProcedureRelationId},
        {"aggtranstype", TypeRelationId},
        {"aggtype", TypeRelationId},
        {"arbiterIndexes", RelationRelationId},
        {"array_collid", CollationRelationId},
        {"array_typeid", TypeRelationId},
        {"arraycollid", CollationRelationId},
        {"casecollid", CollationRelationId},
        {"casetype", TypeRelationId},
        {"checkAsUser", InvalidOid},
        {"cmpfns", ProcedureRelationId},
        {"coalescecollid", CollationRelationId},
        {"coalescetype", TypeRelationId},
        {"colcollations", CollationRelationId},
        {"collOid", CollationRelationId},
        {"collation", CollationRelationId},
        {"collations", CollationRelationId},
        {"coltypes", TypeRelationId},
        {"constcollid", CollationRelationId},
        {"consttype", TypeRelationId},
        {"dupCollations", CollationRelationId},
        {"dupOperators", OperatorRelationId},
        {"element_typeid", TypeRelationId},
        {"endInRangeFunc", ProcedureRelationId},
        {"eqop", OperatorRelationId},
        {"firstColCollation", CollationRelationId},
        {"firstColType", TypeRelationId},
        {"fs_server", ForeignServerRelationId},
        {"funccolcollations", CollationRelationId},
        {"funccollid", CollationRelationId},
        {"funccoltypes", TypeRelationId},
        {"funcid", ProcedureRelationId},
        {"funcresulttype", TypeRelationId},
        {"grpCollations", CollationRelationId},
        {"grpOperators", OperatorRelationId},
        {"hashOperators", OperatorRelationId},
        {"hashcollations", CollationRelationId},
        {"hashfuncid", ProcedureRelationId},
        {"hashoperators", OperatorRelationId},
        {"inRangeColl", CollationRelationId},
        {"indexid", RelationRelationId},
        {"indexorderbyops", OperatorRelationId},
        {"infercollid", CollationRelationId},
        {"inferopclass", OperatorClassRelationId},
        {"inputcollid", CollationRelationId},
        {"inputcollids", CollationRelationId},
        {"mergeCollations", CollationRelationId},
        {"mergeFamilies", OperatorFamilyRelationId},
        {"minmaxcollid", CollationRelationId},
        {"minmaxtype", TypeRelationId},
        {"negfuncid", ProcedureRelationId},
        {"opcollid", CollationRelationId},
        {"opfamilies", OperatorFamilyRelationId},
        {"opfuncid", ProcedureRelationId},
        {"opno", OperatorRelationId},
        {"opnos", OperatorRelationId},
        {"opresulttype", TypeRelationId},
        {"ordCollations", CollationRelationId},
        {"ordOperators", OperatorRelationId},
        {"paramExecTypes", TypeRelationId},
        {"paramcollid", CollationRelationId},
        {"paramtype", TypeRelationId},
        {"partCollations", CollationRelationId},
        {"partOperators", OperatorRelationId},
        {"refcollid", CollationRelationId},
        {"refcontainertype", TypeRelationId},
        {"refelemtype", TypeRelationId},
        {"refrestype", TypeRelationId},
        {"relationOids", RelationRelationId},
        {"relid", RelationRelationId},
        {"relid_map", RelationRelationId},
        {"resorigtbl", InvalidOid},
        {"resultcollid", CollationRelationId},
        {"resulttype", TypeRelationId},
        {"row_typeid", TypeRelationId},
        {"seqid", RelationRelationId},
        {"skewTable", RelationRelationId},
        {"sortOperators", OperatorRelationId},
        {"sortop", OperatorRelationId},
        {"startInRangeFunc", ProcedureRelationId},
        {"tsmhandler", ProcedureRelationId},
        {"type", TypeRelationId},
        {"typeId", TypeRelationId},
        {"uniqCollations", CollationRelationId},
        {"uniqOperators", OperatorRelationId},
        {"varcollid", CollationRelationId},
        {"vartype", TypeRelationId},
        {"wincollid", CollationRelationId},
        {"winfnoid", ProcedureRelationId},
        {"wintype", TypeRelationId},
};

static const Field *field_find(const char *name, size_t length)
{
	size_t low = 0, high = lengthof(fields);

	while (low < high) {
		size_t middle = (low + high) / 2;
		int order = strncmp(fields[middle].name, name, length);

		if (order == 0 && fields[middle].name[length] != '\0')
			order = 1;
		if (order == 0)
			return &fields[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* Catalog that a value of an OID-like or enum type points into; 0: none. */
static Oid class_of_type(Oid type)
{
	switch (type) {
	case REGCLASSOID:
		return RelationRelationId;
	case REGPROCOID:
	case REGPROCEDUREOID:
		return ProcedureRelationId;
	case REGOPEROID:
	case REGOPERATOROID:
		return OperatorRelationId;
	case REGTYPEOID:
		return TypeRelationId;
	case REGROLEOID:
		return AuthIdRelationId;
	case REGNAMESPACEOID:
		return NamespaceRelationId;
	case REGCOLLATIONOID:
		return CollationRelationId;
	case REGCONFIGOID:
		return TSConfigRelationId;
	case REGDICTIONARYOID:
		return TSDictionaryRelationId;
	default:
		if (type < FirstNormalObjectId)
			return InvalidOid;
		if (get_typtype(type) == TYPTYPE_ENUM)
			return EnumRelationId;
		return get_typtype(type) == TYPTYPE_DOMAIN ? class_of_type(getBaseType(type))
		                                           : InvalidOid;
	}
}

/* Whether to look closer at a constant: types that are built in are known. */
static bool may_hold_oids(Oid type)
{
	return type >= MPP_FIRST_NAMED_OID || type == RECORDOID || type == RECORDARRAYOID ||
	       type == REGCLASSARRAYOID || type == REGTYPEARRAYOID || type == REGROLEARRAYOID ||
	       type == REGPROCARRAYOID || type == REGPROCEDUREARRAYOID ||
	       type == REGNAMESPACEARRAYOID || type == REGOPERARRAYOID ||
	       type == REGOPERATORARRAYOID || type == REGCOLLATIONARRAYOID ||
	       type == REGCONFIGARRAYOID || type == REGDICTIONARYARRAYOID;
}

/* What gives the constant on another server. */
static Expr *expr_of_text(const Const *node, const char *text)
{
	CoerceViaIO *coerce = makeNode(CoerceViaIO);

	coerce->arg = (Expr *)makeConst(CSTRINGOID, -1, InvalidOid, -2, CStringGetDatum(text),
	                                false, false);
	coerce->resulttype = node->consttype;
	coerce->resultcollid = node->constcollid;
	coerce->coerceformat = COERCE_IMPLICIT_CAST;
	coerce->location = -1;
	return (Expr *)coerce;
}

/* ---- scanning -------------------------------------------------------------- */

typedef struct TextScan {
	const char *next;
	const char *end;
	StringInfo out;
	MppNames *names;
	MppTextRefs *refs;
	Oid const_type; /* of the constant being read */
	int param_kind; /* of the parameter being read */
} TextScan;

static bool ends_token(char c)
{
	return c == ' ' || c == '\n' || c == '\t' || c == '(' || c == ')' || c == '{' || c == '}' ||
	       c == '\0';
}

static const char *token_end(const char *at)
{
	while (!ends_token(*at)) {
		if (*at == '\\' && at[1] != '\0')
			at++;
		at++;
	}
	return at;
}

static bool token_is(const char *token, const char *end, const char *word)
{
	size_t length = strlen(word);

	return (size_t)(end - token) == length && memcmp(token, word, length) == 0;
}

static void put_object(TextScan *scan, Oid class_id, Oid object_id)
{
	if (object_id < MPP_FIRST_NAMED_OID)
		appendStringInfo(scan->out, "%u", object_id);
	else if (!OidIsValid(class_id))
		appendStringInfoChar(scan->out, '0');
	else
		appendStringInfo(scan->out, "<%d", mpp_names_add(scan->names, class_id, object_id));
}

/* The value of a field of OIDs: a number, several of an array, or a list "(o ...)". */
static void rewrite_oids(TextScan *scan, Oid class_id)
{
	const char *at = scan->next;

	for (;;) {
		if (*at == ' ' || *at == '(') {
			appendStringInfoChar(scan->out, *at++);
		} else if (*at == 'o' && at[-1] == '(') {
			appendStringInfoChar(scan->out, *at++);
		} else if (isdigit((unsigned char)*at)) {
			char *end;

			put_object(scan, class_id, (Oid)strtoul(at, &end, 10));
			at = end;
		} else {
			break;
		}
	}
	scan->next = at;
}

static Bitmapset *add_numbers(Bitmapset *set, const char *at)
{
	while (*at == ' ' || *at == '(' || *at == 'i')
		at++;
	while (isdigit((unsigned char)*at)) {
		char *end;

		set = bms_add_member(set, (int)strtol(at, &end, 10));
		for (at = end; *at == ' ';)
			at++;
	}
	return set;
}

/* Parameters and subplans: scan->next is behind the name of the field. */
static void note_reference(TextScan *scan, const char *name, const char *end)
{
	MppTextRefs *refs = scan->refs;

	if (token_is(name, end, "paramkind")) {
		scan->param_kind = atoi(scan->next);
	} else if (token_is(name, end, "paramid")) {
		if (scan->param_kind == PARAM_EXEC)
			refs->exec_params = add_numbers(refs->exec_params, scan->next);
		else
			refs->extern_params = add_numbers(refs->extern_params, scan->next);
	} else if (token_is(name, end, "plan_id")) {
		refs->subplans = add_numbers(refs->subplans, scan->next);
	} else if (token_is(name, end, "setParam") || token_is(name, end, "parParam") ||
	           token_is(name, end, "paramno") || token_is(name, end, "wtParam")) {
		refs->set_params = add_numbers(refs->set_params, scan->next);
	}
}

/* "4 [ 1 64 0 0 0 0 0 0 ]" of an OID-like type: one reference for the bytes. */
static void rewrite_const_value(TextScan *scan)
{
	Oid class_id = class_of_type(scan->const_type);
	const char *open = strchr(scan->next, '[');
	const char *at;
	union {
		Datum datum;
		unsigned char bytes[sizeof(Datum)];
	} value;
	size_t i;

	if (!OidIsValid(class_id) || strncmp(scan->next, " <>", 3) == 0 || !open)
		return;
	at = open + 1;
	for (i = 0; i < sizeof(Datum); i++) {
		char *end;

		value.bytes[i] = (unsigned char)strtol(at, &end, 10);
		at = end;
	}
	if (DatumGetObjectId(value.datum) < MPP_FIRST_NAMED_OID)
		return;
	appendBinaryStringInfo(scan->out, scan->next, (int)(open + 1 - scan->next));
	appendStringInfoChar(scan->out, ' ');
	put_object(scan, class_id, DatumGetObjectId(value.datum));
	scan->next = at;
}

/* A constant whose bytes hold OIDs otherwise: its text, and the way back from it. */
static bool rewrite_const(TextScan *scan, const char *open)
{
	const char *close = strchr(open, '}');
	const char *type = strstr(open, ":consttype ");
	const Const *node;
	MppValueText io;
	Expr *expr;
	char *text;

	if (!close || !type || type > close ||
	    !may_hold_oids((Oid)strtoul(type + strlen(":consttype "), NULL, 10)))
		return false;
	node = stringToNode(pnstrdup(open, (Size)(close + 1 - open)));
	if (node->constisnull || OidIsValid(class_of_type(node->consttype)) ||
	    !mpp_type_holds_oids(node->consttype))
		return false;
	mpp_value_text_init(&io, node->consttype);
	expr = expr_of_text(node, mpp_value_to_text(&io, node->constvalue));
	text = nodeToString(expr);
	mpp_oid_text_write(scan->out, text, scan->names, NULL);
	scan->next = close + 1;
	return true;
}

/* scan->next is behind the name. */
static void rewrite_field(TextScan *scan, const char *name, const char *end)
{
	const Field *field;

	if (token_is(name, end, "consttype"))
		scan->const_type = (Oid)strtoul(scan->next, NULL, 10);
	field = field_find(name, (size_t)(end - name));
	if (field)
		rewrite_oids(scan, field->class_id);
	else if (token_is(name, end, "constvalue"))
		rewrite_const_value(scan);
	else if (scan->refs)
		note_reference(scan, name, end);
}

void mpp_oid_text_write(StringInfo out, const char *text, MppNames *names, MppTextRefs *refs)
{
	TextScan scan = {.next = text, .out = out, .names = names, .refs = refs};
	const char *copied = text;

	while (*scan.next) {
		const char *token = scan.next;

		if (*token == '{' && strncmp(token, "{CONST ", 7) == 0) {
			int length = out->len;

			appendBinaryStringInfo(out, copied, (int)(token - copied));
			if (rewrite_const(&scan, token)) {
				copied = scan.next;
				continue;
			}
			out->len = length;
			out->data[length] = '\0';
		}
		if (ends_token(*token)) {
			scan.next++;
			continue;
		}
		scan.next = token_end(token);
		if (*token != ':')
			continue;
		appendBinaryStringInfo(out, copied, (int)(scan.next - copied));
		copied = scan.next;
		rewrite_field(&scan, token + 1, copied);
		copied = scan.next;
	}
	appendBinaryStringInfo(out, copied, (int)(scan.next - copied));
}

/* ---- the other direction --------------------------------------------------- */

static void put_bytes(StringInfo out, Oid oid)
{
	union {
		Datum datum;
		signed char bytes[sizeof(Datum)];
	} value = {.datum = ObjectIdGetDatum(oid)};
	size_t i;

	for (i = 0; i < sizeof(Datum); i++)
		appendStringInfo(out, "%d ", value.bytes[i]);
}

char *mpp_oid_text_read(const char *text, int size, const Oid *oids, int oid_count)
{
	const char *copied = text, *at, *limit = text + size;
	StringInfoData out;

	initStringInfo(&out);
	enlargeStringInfo(&out, size);
	for (at = text; (at = memchr(at, '<', (size_t)(limit - at))) != NULL;) {
		char *end;
		long number;

		if (at == text || at[-1] != ' ' || !isdigit((unsigned char)at[1])) {
			at++;
			continue;
		}
		number = strtol(at + 1, &end, 10);
		if (number >= oid_count)
			elog(ERROR, "malformed reference in a plan");
		appendBinaryStringInfo(&out, copied, (int)(at - copied));
		if (at - text >= 2 && at[-2] == '[')
			put_bytes(&out, oids[number]);
		else
			appendStringInfo(&out, "%u", oids[number]);
		copied = at = end;
	}
	appendBinaryStringInfo(&out, copied, (int)(limit - copied));
	return out.data;
}

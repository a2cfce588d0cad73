/* SPDX-License-Identifier: Apache-2.0 */
/*
 * settings.c - the session of a QE is made like that of its QD: user and role, and
 * every setting that the session, its role or its database has changed, with some
 * that decide how values read and print, whoever has set them. Whether something
 * has changed is known from a fingerprint of the values, taken before each command.
 */
#include <postgres.h>

#include <catalog/pg_type.h>
#include <common/hashfn.h>
#include <fmgr.h>
#include <miscadmin.h>
#include <port/pg_bswap.h>
#include <utils/acl.h>
#include <utils/array.h>
#include <utils/builtins.h>
#include <utils/fmgroids.h>
#include <utils/guc.h>
#include <utils/guc_tables.h>
#include <utils/lsyscache.h>
#include <utils/memutils.h>

#include "executor/catalog/node.h"
#include "executor/dispatch/qe.h"
#include "executor/function.h"

MPP_FUNCTION(mpp_qe_settings);

/* Of the QD's own connection, its transaction, or its clock. */
static const char *const settings_local[] = {
        "application_name",
        "client_connection_check_interval",
        "client_encoding",
        "default_transaction_deferrable",
        "default_transaction_isolation",
        "default_transaction_read_only",
        "idle_in_transaction_session_timeout",
        "idle_session_timeout",
        "is_superuser",
        "role",
        "seed",
        "session_authorization",
        "session_preload_libraries",
        "statement_timeout",
        "tcp_keepalives_count",
        "tcp_keepalives_idle",
        "tcp_keepalives_interval",
        "tcp_user_timeout",
        "temp_buffers",
        "transaction_deferrable",
        "transaction_isolation",
        "transaction_read_only",
};

/* Sent even when they come from a configuration file. */
static const char *const settings_always[] = {
        "DateStyle",
        "IntervalStyle",
        "TimeZone",
        "array_nulls",
        "bytea_output",
        "default_text_search_config",
        "extra_float_digits",
        "lc_messages",
        "lc_monetary",
        "lc_numeric",
        "lc_time",
        "quote_all_identifiers",
        "row_security",
        "search_path",
        "standard_conforming_strings",
        "timezone_abbreviations",
        "transform_null_equals",
        "xmlbinary",
        "xmloption",
};

typedef struct Setting {
	struct config_generic *guc;
	char *name; /* lasts longer than guc */
	bool always;
	bool sent; /* to some QE of this session: from then on it may need a reset there */
} Setting;

static Setting *settings;
static int settings_count;
static struct config_generic **settings_known; /* all there were when the list was made */
static int settings_known_count;

static bool name_in(const char *name, const char *const *names, int count)
{
	for (int i = 0; i < count; i++)
		if (pg_strcasecmp(name, names[i]) == 0)
			return true;
	return false;
}

/* The list that is given up may point to settings that are gone: a module that is loaded
 * puts its own in the place of those that had been given before, and frees them. */
static void settings_forget(void)
{
	for (int i = 0; i < settings_count; i++)
		pfree(settings[i].name);
	if (settings != NULL) {
		pfree(settings);
		pfree(settings_known);
	}
}

/* The settings a session can change. Made again when a module has added some. */
static void settings_list(void)
{
	struct config_generic **gucs = get_guc_variables();
	int guc_count = GetNumConfigOptions();
	struct config_generic **known;
	Setting *list;
	int count = 0;

	if (settings_known_count == guc_count &&
	    memcmp(settings_known, gucs, guc_count * sizeof(*gucs)) == 0)
		return;
	known = MemoryContextAlloc(TopMemoryContext, guc_count * sizeof(*known));
	memcpy(known, gucs, guc_count * sizeof(*known));
	list = MemoryContextAllocZero(TopMemoryContext, guc_count * sizeof(Setting));
	for (int i = 0; i < guc_count; i++) {
		if ((gucs[i]->context != PGC_USERSET && gucs[i]->context != PGC_SUSET) ||
		    name_in(gucs[i]->name, settings_local, lengthof(settings_local)))
			continue;
		list[count].guc = gucs[i];
		list[count].name = MemoryContextStrdup(TopMemoryContext, gucs[i]->name);
		list[count].always =
		        name_in(gucs[i]->name, settings_always, lengthof(settings_always));
		for (int j = 0; j < settings_count; j++)
			if (strcmp(settings[j].name, gucs[i]->name) == 0)
				list[count].sent = settings[j].sent;
		count++;
	}
	settings_forget();
	settings = list;
	settings_count = count;
	settings_known = known;
	settings_known_count = guc_count;
}

static bool setting_applies(const Setting *setting)
{
	return setting->always || setting->guc->source >= PGC_S_GLOBAL;
}

/* In the unit of the setting, as its assignment takes it. buffer is 32 bytes. */
static const char *setting_value(struct config_generic *guc, char *buffer)
{
	switch (guc->vartype) {
	case PGC_BOOL:
		return *((struct config_bool *)guc)->variable ? "on" : "off";
	case PGC_INT:
		snprintf(buffer, 32, "%d", *((struct config_int *)guc)->variable);
		return buffer;
	case PGC_REAL:
		snprintf(buffer, 32, "%.17g", *((struct config_real *)guc)->variable);
		return buffer;
	case PGC_STRING:
		if (*((struct config_string *)guc)->variable != NULL)
			return *((struct config_string *)guc)->variable;
		return "";
	case PGC_ENUM:
		return config_enum_lookup_by_value((struct config_enum *)guc,
		                                   *((struct config_enum *)guc)->variable);
	}
	return "";
}

uint64 qe_settings_fingerprint(void)
{
	uint64 hash;
	Oid user;
	int context;

	settings_list();
	GetUserIdAndSecContext(&user, &context);
	hash = hash_combine64(GetSessionUserId(), ((uint64)user << 32) | (uint32)context);
	for (int i = 0; i < settings_count; i++) {
		char buffer[32];
		const char *value;

		if (!setting_applies(&settings[i]))
			continue;
		value = setting_value(settings[i].guc, buffer);
		hash = hash_combine64(hash, i);
		hash = hash_combine64(
		        hash, hash_bytes_extended((const unsigned char *)value, strlen(value), 0));
	}
	return hash == 0 ? 1 : hash;
}

/* name, value (NULL: reset) of each, as an array of text in its binary format. */
static bytea *settings_array(void)
{
	Datum *values = palloc(settings_count * 2 * sizeof(Datum));
	bool *nulls = palloc0(settings_count * 2 * sizeof(bool));
	int count = 0;
	int lower = 1;

	for (int i = 0; i < settings_count; i++) {
		Setting *setting = &settings[i];
		char buffer[32];
		bool applies = setting_applies(setting);

		if (!applies && !setting->sent)
			continue;
		setting->sent = true;
		values[count++] = CStringGetTextDatum(setting->guc->name);
		nulls[count] = !applies;
		values[count++] = applies ? CStringGetTextDatum(setting_value(setting->guc, buffer))
		                          : (Datum)0;
	}
	return OidSendFunctionCall(F_ARRAY_SEND, PointerGetDatum(construct_md_array(
	                                                 values, nulls, 1, &count, &lower, TEXTOID,
	                                                 -1, false, TYPALIGN_INT)));
}

/* In front of a command, in a pipeline of its own, so that it holds even when the
 * command fails - or within the transaction, and then ends with it. */
bool qe_settings_send(Qe *qe, uint64 fingerprint)
{
	bytea *array = settings_array();
	Oid user;
	int context;
	uint32 context_net;
	char *user_name;
	char *session_name = GetUserNameFromId(GetSessionUserId(), false);
	MppParam params[5];

	GetUserIdAndSecContext(&user, &context);
	user_name = GetUserNameFromId(user, false);
	context_net = pg_hton32((uint32)context);
	params[0] = MPP_PARAM_SECRET;
	params[1] = (MppParam){session_name, strlen(session_name), TEXTOID};
	params[2] = (MppParam){user_name, strlen(user_name), TEXTOID};
	params[3] = (MppParam){(char *)&context_net, sizeof(context_net), INT4OID};
	params[4] = (MppParam){VARDATA(array), VARSIZE(array) - VARHDRSZ, TEXTARRAYOID};
	qe->settings = fingerprint;
	return qe_send(qe, QE_ITEM_SETTINGS, "SELECT sluice.qe_settings($1, $2, $3, $4, $5)", 5,
	               params, NULL, NULL) &&
	       qe_sync(qe);
}

void qe_settings_answer(Qe *qe, const PGresult *result)
{
	if (PQntuples(result) == 1)
		qe->cancel_key = atoi(PQgetvalue(result, 0, 0));
}

/* ---- on the QE ---- */

static void settings_apply(ArrayType *array)
{
	Datum *values;
	bool *nulls;
	int count;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &count);
	for (int i = 0; i + 1 < count; i += 2)
		/* The QD has checked that its user may. */
		SetConfigOption(TextDatumGetCString(values[i]),
		                nulls[i + 1] ? NULL : TextDatumGetCString(values[i + 1]), PGC_SUSET,
		                PGC_S_SESSION);
}

Datum mpp_qe_settings(PG_FUNCTION_ARGS)
{
	Oid session;
	Oid user;

	mpp_qe_check_secret(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	session = get_role_oid(text_to_cstring(PG_GETARG_TEXT_PP(1)), false);
	user = get_role_oid(text_to_cstring(PG_GETARG_TEXT_PP(2)), false);
	settings_apply(PG_GETARG_ARRAYTYPE_P(4));
	SetSessionAuthorization(session, superuser_arg(session));
	SetUserIdAndSecContext(user, PG_GETARG_INT32(3));
	PG_RETURN_INT32(MyCancelKey);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oid_text.h - nodeToString() texts for another server: OIDs in them become
 * numbers of names (names.h) and OIDs of the other server again. The text is
 * rewritten by the names of its fields, which costs a scan instead of a walker
 * for each of a hundred kinds of node.
 */
#ifndef EXECUTOR_EXEC_OID_TEXT_H
#define EXECUTOR_EXEC_OID_TEXT_H

#include <postgres.h>

#include <nodes/bitmapset.h>

#include "executor/exec/names.h"

/* What a text refers to, noted as it is rewritten. */
typedef struct MppTextRefs {
	Bitmapset *subplans;      /* plan_id of SubPlans */
	Bitmapset *exec_params;   /* PARAM_EXEC that are read */
	Bitmapset *set_params;    /* and those that the text's own nodes set */
	Bitmapset *extern_params; /* PARAM_EXTERN */
} MppTextRefs;

/* Append text to out, with references in place of OIDs. refs may be NULL. */
extern void mpp_oid_text_write(StringInfo out, const char *text, MppNames *names,
                               MppTextRefs *refs);

/* The text with the OIDs of this server. */
extern char *mpp_oid_text_read(const char *text, int size, const Oid *oids, int oid_count);

#endif

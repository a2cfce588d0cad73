/* SPDX-License-Identifier: Apache-2.0 */
/*
 * value_text.h - values with OIDs inside: the reg* types, rows, ranges and arrays of
 * user types, enums of extensions. Their bytes mean something else on another
 * server, so they travel as text.
 */
#ifndef EXECUTOR_EXEC_VALUE_TEXT_H
#define EXECUTOR_EXEC_VALUE_TEXT_H

#include <postgres.h>

#include <fmgr.h>

extern bool mpp_type_holds_oids(Oid type);

typedef struct MppValueText {
	Oid type;
	Oid io_param;
	FmgrInfo output;
	FmgrInfo input;
} MppValueText;

/* In the current memory context, which must last as long as it is used. */
extern void mpp_value_text_init(MppValueText *io, Oid type);

/* In the current memory context. */
extern char *mpp_value_to_text(MppValueText *io, Datum value);
extern Datum mpp_value_from_text(MppValueText *io, const char *text);

#endif

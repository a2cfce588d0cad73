/* SPDX-License-Identifier: Apache-2.0 */
/*
 * function.h - declares a C function that SQL calls. PostgreSQL 15 exports the
 * record about the function, and leaves the function itself to the module.
 */
#ifndef EXECUTOR_FUNCTION_H
#define EXECUTOR_FUNCTION_H

#include <postgres.h>

#include <fmgr.h>

#define MPP_FUNCTION(name)                                                                         \
	extern PGDLLEXPORT Datum name(PG_FUNCTION_ARGS);                                           \
	PG_FUNCTION_INFO_V1(name)

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * init.c - the entry point of the extension `sluice`, in every server of the
 * cluster: coordinator and segments load the same module.
 */
#include <postgres.h>

#include <fmgr.h>
#include <miscadmin.h>

#include "executor/parts.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

void _PG_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		                errmsg("sluice must be loaded by shared_preload_libraries")));

	mpp_catalog_init();
	mpp_dispatch_init();
	mpp_ddl_init();
	mpp_load_init();
	mpp_plan_init();
	mpp_exec_init();
}

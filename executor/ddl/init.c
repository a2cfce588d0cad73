/* SPDX-License-Identifier: Apache-2.0 */
/*
 * init.c - what executor/ddl/ does when a server loads the extension.
 */
#include <postgres.h>

#include "executor/parts.h"

void mpp_ddl_init(void)
{
}

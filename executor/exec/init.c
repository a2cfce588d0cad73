/* SPDX-License-Identifier: Apache-2.0 */
/*
 * init.c - what executor/exec/ does when a server loads the extension.
 */
#include <postgres.h>

#include "executor/parts.h"

void mpp_exec_init(void)
{
}

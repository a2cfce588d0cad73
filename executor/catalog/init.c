/* SPDX-License-Identifier: Apache-2.0 */
/*
 * init.c - what executor/catalog/ does when a server loads the extension.
 */
#include <postgres.h>

#include "executor/catalog/catalog.h"
#include "executor/parts.h"

void mpp_catalog_init(void)
{
	mpp_node_init();
	mpp_cluster_init();
	mpp_distribution_init();
}

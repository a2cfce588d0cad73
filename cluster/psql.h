/* SPDX-License-Identifier: Apache-2.0 */
/* psql.h - `sluice psql`: psql on the coordinator. */
#ifndef CLUSTER_PSQL_H
#define CLUSTER_PSQL_H

int psql_main(int argc, char **argv);

#endif

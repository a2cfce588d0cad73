/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tables.h - the eight tables of TPC-H at a scale factor, row by row, in the
 * format of dbgen's .tbl files: fields ended by '|'. Distributions as in the
 * specification, revision 3, 4.2.3; not the same random numbers as dbgen's.
 */
#ifndef TPCH_TABLES_H
#define TPCH_TABLES_H

#include <stdint.h>
#include <stdio.h>

struct tpch {
	double scale;
	uint64_t seed;
};

/* A table has rows 1 ... count; rows of orders and lineitem are orders: for
 * lineitem all its lines are written. */
struct tpch_table {
	const char *name;
	int64_t (*row_count)(const struct tpch *tpch);
	void (*write_row)(const struct tpch *tpch, int64_t row, FILE *out);
};

#define TPCH_TABLE_COUNT 8
extern const struct tpch_table tpch_tables[TPCH_TABLE_COUNT];

#endif

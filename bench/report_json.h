/* SPDX-License-Identifier: Apache-2.0 */
/* report_json.h - the JSON form of a report; see report.h. */
#ifndef BENCH_REPORT_JSON_H
#define BENCH_REPORT_JSON_H

#include "bench/report.h"

/* One object, with a line end. 0 or -ENOMEM, -EIO. */
int bench_report_json(const struct bench_report *report, FILE *out);

#endif
